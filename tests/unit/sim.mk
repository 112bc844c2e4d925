# SPDX-License-Identifier: Apache-2.0
# Tests of the simulated card's process, with a model that is not the RTL.
SIM_TEST_CLIENT := tests/unit/vfu_client.c
$(eval $(call unit_test,test_vfio_user,tests/unit/test_vfio_user.c $(SIM_TEST_CLIENT) $(VFIO_USER_SRCS),-ljansson))
