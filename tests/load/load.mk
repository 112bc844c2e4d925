# SPDX-License-Identifier: Apache-2.0
# espalier-load: IKEv2 clients by the thousand. It links the daemon's messages, selectors, keys and cryptography, from an archive
# so that only what it uses comes along, and nothing that holds a state.
LOAD_SRCS := $(wildcard tests/load/*.c)
LOAD_CTRL_SRCS := $(addprefix ctrl/ike/,message.c proposal.c transform_set.c selectors.c identity.c cert_payload.c) ctrl/keys/derive.c $(CRYPTO_SRCS) \
    $(addprefix ctrl/config/,proposal_text.c ts_text.c values.c) $(wildcard ctrl/lib/*.c)
$(BUILD)/lib/libload_parts.a: $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(LOAD_CTRL_SRCS)))
	@mkdir -p $(@D)
	@echo "  AR      $@"
	@rm -f $@
	@$(AR) rcs $@ $^

$(BUILD)/bin/espalier-load: $(LOAD_SRCS:%.c=$(BUILD)/obj/%.o) $(BUILD)/lib/libload_parts.a
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ -ljansson -lcrypto -lm
PROGRAMS += $(BUILD)/bin/espalier-load
