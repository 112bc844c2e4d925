# SPDX-License-Identifier: Apache-2.0
# The set of kernel objects against a kernel in memory.
KSET_SRCS := tests/unit/kset_rig.c tests/unit/kset_pol.c tests/unit/kernel_model.c $(wildcard ctrl/path/kset*.c) $(wildcard ctrl/lib/*.c)
$(eval $(call unit_test,test_kset,tests/unit/test_kset.c $(KSET_SRCS),-lm))
$(eval $(call unit_test,test_kset_changes,tests/unit/test_kset_changes.c tests/unit/no_memory.c $(KSET_SRCS),-lm $$(NO_MEMORY_LDFLAGS)))
$(eval $(call unit_test,test_kset_own,tests/unit/test_kset_own.c $(KSET_SRCS),-lm))
$(eval $(call unit_test,test_kernel_watch,tests/unit/test_kernel_watch.c $(KSET_SRCS) ctrl/path/kernel_watch.c ctrl/path/policy_kernel.c ctrl/path/virtual_ip.c $(wildcard ctrl/ipc/*.c),-lm))
$(eval $(call unit_test,test_netlink_talk,tests/unit/test_netlink_talk.c ctrl/path/netlink_talk.c,-lmnl))
