# SPDX-License-Identifier: Apache-2.0
# Unit tests of the driver library.
$(eval $(call unit_test,test_pool,tests/unit/test_pool.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_window,tests/unit/test_soft_window.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_sa,tests/unit/test_soft_sa.c tests/unit/soft_rig.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft,tests/unit/test_soft.c tests/unit/soft_rig.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_modes,tests/unit/test_soft_modes.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_queues,tests/unit/test_soft_queues.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_vectors,tests/unit/test_soft_vectors.c $(LIBESPALIER),$(LIBESPALIER_LIBS) -ljansson))
$(eval $(call unit_test,test_soft_algs,tests/unit/test_soft_algs.c tests/unit/soft_rig.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_ah,tests/unit/test_soft_ah.c tests/unit/soft_rig.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
CARD_RIG := tests/unit/card_rig.c tests/unit/drv_fake_card.c $(LIBESPALIER)
$(eval $(call unit_test,test_card,tests/unit/test_card.c $(CARD_RIG),$(LIBESPALIER_LIBS) -lpthread))
$(eval $(call unit_test,test_card_failure,tests/unit/test_card_failure.c $(CARD_RIG),$(LIBESPALIER_LIBS) -lpthread))
$(eval $(call unit_test,test_card_queues,tests/unit/test_card_queues.c $(CARD_RIG),$(LIBESPALIER_LIBS) -lpthread))
$(eval $(call unit_test,test_engine_memory,tests/unit/test_engine_memory.c tests/unit/no_memory.c $(CARD_RIG),$(LIBESPALIER_LIBS) -lpthread $$(NO_MEMORY_LDFLAGS)))
$(eval $(call unit_test,test_bus,tests/unit/test_bus.c $(LIBESPALIER),$(LIBESPALIER_LIBS) -lpthread))
$(eval $(call unit_test,test_soft_memory,tests/unit/test_soft_memory.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_keys,tests/unit/test_soft_keys.c tests/unit/memory_search.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))

# The rings with hooks in the place of their barriers.
$(BUILD)/obj/tests/unit/queue_hooked.o: driver/card/queue.c tests/unit/barrier_hooks.h
	@mkdir -p $(@D)
	@echo "  CC      $< (barriers hooked)"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -include tests/unit/barrier_hooks.h -c -o $@ $<
$(eval $(call unit_test,test_barrier,tests/unit/test_barrier.c $(BUILD)/obj/tests/unit/queue_hooked.o $(LIBESPALIER),$(LIBESPALIER_LIBS) -lpthread))

# Every call of the driver's that can fail.
CARD_CALLS := malloc calloc socket connect send sendmsg recv read write ftruncate epoll_create1 epoll_ctl poll eventfd memfd_create mmap mlock madvise \
    RAND_bytes pthread_create open fcntl
$(eval $(call unit_test,test_card_calls,tests/unit/test_card_calls.c $(CARD_RIG),$(LIBESPALIER_LIBS) -lpthread $(patsubst %,-Wl$$(comma)--wrap=%,$(CARD_CALLS))))

# The kernel's engine, with a model of the kernel; and its messages beside iproute2's.
$(BUILD)/tests/xfrm_shim.so: tests/unit/xfrm_shim.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	@$(CC) $(CPPFLAGS) -std=gnu11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -shared -fPIC -o $@ $< -ldl
$(eval $(call unit_test,test_kernel_engine,tests/unit/test_kernel_engine.c tests/unit/xfrm_model.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_kernel_messages,tests/unit/test_kernel_messages.c tests/unit/xfrm_model.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(BUILD)/tests/test_kernel_messages: | $(BUILD)/tests/xfrm_shim.so
