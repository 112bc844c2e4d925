# SPDX-License-Identifier: Apache-2.0
# Tests of espalier, the operator's command.
$(eval $(call unit_test,test_cli,tests/unit/test_cli.c tests/unit/cli_rig.c $(CLI_PARTS),$(CLI_LIBS)))
