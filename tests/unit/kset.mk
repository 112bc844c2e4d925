# SPDX-License-Identifier: Apache-2.0
# The set of kernel objects against a kernel in memory.
$(eval $(call unit_test,test_kset,tests/unit/test_kset.c tests/unit/kernel_model.c ctrl/path/kset.c ctrl/path/kset_entries.c ctrl/path/kset_objects.c $(wildcard ctrl/lib/*.c),-lm))
