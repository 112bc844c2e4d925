# SPDX-License-Identifier: Apache-2.0
CTRL_LIB_SRCS := $(wildcard ctrl/lib/*.c ctrl/ipc/*.c)
$(eval $(call unit_test,test_lib,tests/unit/test_lib.c $(CTRL_LIB_SRCS),-lcrypto))
$(eval $(call unit_test,test_ipc_turns,tests/unit/test_ipc_turns.c $(CTRL_LIB_SRCS),-lcrypto))
$(eval $(call unit_test,test_records,tests/unit/test_records.c $(BUILD)/obj/counted/ctrl/lib/records.o ctrl/lib/hash.c))
$(eval $(call unit_test,test_hash,tests/unit/test_hash.c tests/unit/no_memory.c ctrl/lib/hash.c,$(NO_MEMORY_LDFLAGS)))
$(eval $(call unit_test,test_log,tests/unit/test_log.c ctrl/lib/log.c ctrl/lib/log_page.c,-ljansson))
$(eval $(call unit_test,test_log_limit,tests/unit/test_log_limit.c $(CTRL_LIB_SRCS),-lcrypto))
$(eval $(call unit_test,test_child_algs,tests/unit/test_child_algs.c $(CTRL_LIB_SRCS) $(LIBESPALIER),$(LIBESPALIER_LIBS)))
