# SPDX-License-Identifier: Apache-2.0
# Tests of the scripts behind make deps, make check and make world-mutants.
$(eval $(call unit_test,test_deps,tests/unit/test_deps.c tests/unit/script_rig.c,))
$(eval $(call unit_test,test_runner,tests/unit/test_runner.c tests/unit/script_rig.c,))
$(eval $(call unit_test,test_world_mutants,tests/unit/test_world_mutants.c tests/unit/script_rig.c,))
$(eval $(call unit_test,test_world_run,tests/unit/test_world_run.c tests/unit/script_rig.c,))
$(BUILD)/tests/test_world_run: | $(BUILD)/tests/world $(BUILD)/tests/orders
