# SPDX-License-Identifier: Apache-2.0
# Tests of espalier, the operator's command.
$(eval $(call unit_test,test_cli,tests/unit/test_cli.c tests/unit/cli_rig.c $(CLI_PARTS),$(CLI_LIBS)))
$(eval $(call unit_test,test_cli_line,tests/unit/test_cli_line.c tests/unit/cli_rig.c $(CLI_PARTS),$(CLI_LIBS)))
$(eval $(call unit_test,test_cli_load,tests/unit/test_cli_load.c tests/unit/cli_rig.c tests/unit/cred_dir.c tests/unit/pki_files.c $(CLI_PARTS),$(CLI_LIBS) -lutil))
$(BUILD)/tests/test_cli_load: | $(BUILD)/bin/espalierd
$(eval $(call unit_test,test_cli_doctor,tests/unit/test_cli_doctor.c tests/unit/cli_rig.c $(CLI_PARTS),$(CLI_LIBS)))
$(eval $(call unit_test,test_cli_card,tests/unit/test_cli_card.c tests/unit/cli_rig.c tests/unit/drv_fake_card.c $(CLI_PARTS),$(CLI_LIBS) -Wl$$(comma)--wrap=pci_write))
