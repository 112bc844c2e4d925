# SPDX-License-Identifier: Apache-2.0
$(eval $(call unit_test,test_wire,tests/unit/test_wire.c tests/system/harness.c tests/system/traffic.c tests/system/wire.c,))
