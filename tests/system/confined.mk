# SPDX-License-Identifier: Apache-2.0
# What espalierd's processes may, and an espalierd whose `ike` tries what it may not (trying.c).
SYSTEM_TESTS += $(BUILD)/tests/system_confined
$(BUILD)/tests/system_confined: | $(BUILD)/tests/espalierd_trying
TRYING_OBJS := $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/trying.c $(sort $(ESPALIERD_SRCS)))
$(BUILD)/tests/espalierd_trying: $(TRYING_OBJS) $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -Wl,--wrap=ike_main -o $@ $^ $(LIBESPALIER_LIBS) $(PATH_LIBS) -lcurl -ljansson -lmicrohttpd -lseccomp -lcap-ng -lssl -lcrypto -lpci -lm
