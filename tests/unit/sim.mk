# SPDX-License-Identifier: Apache-2.0
# Tests of the simulated card's process, with a model that is not the RTL.
SIM_TEST_CLIENT := tests/unit/vfu_client.c
SIM_TEST_CARD := $(SIM_TEST_CLIENT) tests/unit/fake_card_model.c $(VFIO_USER_SRCS) $(CARD_SRCS)
$(eval $(call unit_test,test_vfio_user,tests/unit/test_vfio_user.c $(SIM_TEST_CLIENT) $(VFIO_USER_SRCS),-ljansson))
$(eval $(call unit_test,test_vfio_user_dma,tests/unit/test_vfio_user_dma.c $(SIM_TEST_CLIENT) $(VFIO_USER_SRCS),-ljansson))
# Undefined behaviour of the framing ends this program in every build, not in that of check-san alone.
UBSAN := -fsanitize=undefined -fno-sanitize-recover=undefined
$(BUILD)/obj/undefined/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $< (undefined behaviour ends it)"
	@$(CC) $(CPPFLAGS) $(CFLAGS) $(UBSAN) -MMD -MP -c -o $@ $<
$(eval $(call unit_test,test_vfio_user_wire,tests/unit/test_vfio_user_wire.c $(BUILD)/obj/undefined/sim/vfio_user/wire.o,$(UBSAN)))
$(eval $(call unit_test,test_card_device,tests/unit/test_card_device.c $(SIM_TEST_CARD),$(CARD_LIBS)))
$(eval $(call unit_test,test_card_tree,tests/unit/test_card_tree.c $(SIM_TEST_CARD),$(CARD_LIBS) -lpci))
