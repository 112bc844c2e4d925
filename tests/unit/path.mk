# SPDX-License-Identifier: Apache-2.0
# The path room with a fake card, a fake kernel and the real software engine.
PATH_ROOM_SRCS := $(filter-out ctrl/path/main.c ctrl/path/room.c ctrl/path/kernel_watch.c ctrl/path/netlink%.c,$(wildcard ctrl/path/*.c))
PATH_RIG := tests/unit/path_rig.c tests/unit/path_fake.c $(PATH_ROOM_SRCS) $(wildcard ctrl/lib/*.c ctrl/ipc/*.c) $(LIBESPALIER)
$(eval $(call unit_test,test_path,tests/unit/test_path.c $(PATH_RIG),$(LIBESPALIER_LIBS) -lm))
$(eval $(call unit_test,test_succession,tests/unit/test_succession.c $(PATH_RIG),$(LIBESPALIER_LIBS) -lm))
$(eval $(call unit_test,test_limits,tests/unit/test_limits.c $(PATH_RIG),$(LIBESPALIER_LIBS) -lm))
$(eval $(call unit_test,test_path_failover,tests/unit/test_path_failover.c $(PATH_RIG),$(LIBESPALIER_LIBS) -lm))
$(eval $(call unit_test,test_spd_fragments,tests/unit/test_spd_fragments.c tests/unit/spd_rig.c $(PATH_RIG),$(LIBESPALIER_LIBS) -lm))
$(eval $(call unit_test,test_path_ends,tests/unit/test_path_ends.c $(PATH_RIG),$(LIBESPALIER_LIBS) -lm))
$(eval $(call unit_test,test_spd,tests/unit/test_spd.c tests/unit/spd_rig.c $(PATH_RIG),$(LIBESPALIER_LIBS) -lm))
$(eval $(call unit_test,test_classifier,tests/unit/test_classifier.c ctrl/path/classifier.c ctrl/path/class_pairs.c ctrl/path/class_rules.c ctrl/path/class_table.c ctrl/path/fields.c $(wildcard ctrl/lib/*.c),))
$(eval $(call unit_test,test_path_memory,tests/unit/test_path_memory.c tests/unit/no_memory.c $(PATH_RIG),$(LIBESPALIER_LIBS) -lm $(NO_MEMORY_LDFLAGS)))
$(eval $(call unit_test,test_path6,tests/unit/test_path6.c $(PATH_RIG),$(LIBESPALIER_LIBS) -lm))
