# SPDX-License-Identifier: Apache-2.0
# Tests of the simulated card's process, with a model that is not the RTL.
SIM_TEST_CLIENT := tests/unit/vfu_client.c
SIM_TEST_CARD := $(SIM_TEST_CLIENT) tests/unit/fake_card_model.c $(VFIO_USER_SRCS) $(CARD_SRCS)
$(eval $(call unit_test,test_vfio_user,tests/unit/test_vfio_user.c $(SIM_TEST_CLIENT) $(VFIO_USER_SRCS),-ljansson))
$(eval $(call unit_test,test_vfio_user_dma,tests/unit/test_vfio_user_dma.c $(SIM_TEST_CLIENT) $(VFIO_USER_SRCS),-ljansson))
$(eval $(call unit_test,test_vfio_user_wire,tests/unit/test_vfio_user_wire.c sim/vfio_user/wire.c))
$(eval $(call unit_test,test_card_device,tests/unit/test_card_device.c $(SIM_TEST_CARD),$(CARD_LIBS)))
$(eval $(call unit_test,test_card_tree,tests/unit/test_card_tree.c $(SIM_TEST_CARD),$(CARD_LIBS) -lpci))
