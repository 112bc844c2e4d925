# SPDX-License-Identifier: Apache-2.0
# The path room with a fake card, a fake kernel and the real software engine.
PATH_ROOM_SRCS := $(filter-out ctrl/path/main.c ctrl/path/room.c ctrl/path/netlink.c,$(wildcard ctrl/path/*.c))
$(eval $(call unit_test,test_path,tests/unit/test_path.c tests/unit/path_rig.c tests/unit/path_fake.c $(PATH_ROOM_SRCS) $(wildcard ctrl/lib/*.c ctrl/ipc/*.c) $(LIBESPALIER),$(LIBESPALIER_LIBS) -lm))
