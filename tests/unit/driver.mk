# SPDX-License-Identifier: Apache-2.0
# Unit tests of the driver library.
$(eval $(call unit_test,test_pool,tests/unit/test_pool.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_window,tests/unit/test_soft_window.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft,tests/unit/test_soft.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_modes,tests/unit/test_soft_modes.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_queues,tests/unit/test_soft_queues.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
$(eval $(call unit_test,test_soft_vectors,tests/unit/test_soft_vectors.c $(LIBESPALIER),$(LIBESPALIER_LIBS) -ljansson))
$(eval $(call unit_test,test_card,tests/unit/test_card.c tests/unit/drv_fake_card.c $(LIBESPALIER),$(LIBESPALIER_LIBS) -lpthread))
$(eval $(call unit_test,test_bus,tests/unit/test_bus.c $(LIBESPALIER),$(LIBESPALIER_LIBS) -lpthread))
$(eval $(call unit_test,test_soft_keys,tests/unit/test_soft_keys.c $(LIBESPALIER),$(LIBESPALIER_LIBS)))
