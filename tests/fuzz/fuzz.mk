# SPDX-License-Identifier: Apache-2.0
# libFuzzer targets with ASan, UBSan and LSan. They need clang and its runtime library (make deps).
#   $(eval $(call fuzz_target,NAME,SOURCES,LIBS))
FUZZ := $(BUILD)/fuzz
FUZZ_CC ?= clang
FUZZ_FLAGS := -std=c11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZ_COV_FLAGS := -std=c11 -O1 -g -fprofile-instr-generate -fcoverage-mapping
SECONDS ?= 600
FUZZ_TARGETS :=
define fuzz_target
FUZZ_TARGETS += $(1)
$$(FUZZ)/bin/fuzz_$(1): $$(patsubst %.c,$$(FUZZ)/obj/%.o,$(sort $(2)))
	@mkdir -p $$(@D)
	@echo "  LD      $$@"
	@$$(FUZZ_CC) $$(FUZZ_FLAGS) -fsanitize=fuzzer -o $$@ $$^ $(3)
$$(FUZZ)/cov/bin/fuzz_$(1): $$(patsubst %.c,$$(FUZZ)/cov/obj/%.o,$(sort $(2)))
	@mkdir -p $$(@D)
	@echo "  LD      $$@"
	@$$(FUZZ_CC) $$(FUZZ_COV_FLAGS) -fsanitize=fuzzer -o $$@ $$^ $(3)
endef

$(FUZZ)/obj/%.o: %.c | fuzz-needs
	@mkdir -p $(@D)
	@echo "  FUZZ-CC $<"
	@$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
$(FUZZ)/cov/obj/%.o: %.c | fuzz-needs
	@mkdir -p $(@D)
	@echo "  COV-CC  $<"
	@$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_COV_FLAGS) -MMD -MP -c -o $@ $<
-include $(shell find $(FUZZ)/obj $(FUZZ)/cov/obj -name '*.d' 2>/dev/null)

# libFuzzer is a part of clang's runtime library, which clang alone does not bring.
.PHONY: fuzz-needs
fuzz-needs:
	@echo 'int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { return (void)p, (void)n, 0; }' | \
	    $(FUZZ_CC) -fsanitize=fuzzer,address -x c -o /dev/null - >/dev/null 2>&1 || \
	    { echo "missing: clang with libFuzzer (Debian: clang and libclang-rt-dev; make deps)" >&2; exit 3; }

FUZZ_PAIR := tests/fuzz/keyed.c tests/unit/ike_pair.c $(IKE_ROOM_SRCS)
$(eval $(call fuzz_target,payloads,tests/fuzz/fuzz_payloads.c tests/fuzz/ends.c tests/fuzz/ca.c $(FUZZ_PAIR),-lcmocka -lssl -lcrypto -lm))
$(eval $(call fuzz_target,datagram,tests/fuzz/fuzz_datagram.c $(FUZZ_PAIR),-lcmocka -lssl -lcrypto -lm))
$(eval $(call fuzz_target,fragments,tests/fuzz/fuzz_fragments.c $(FUZZ_PAIR),-lcmocka -lssl -lcrypto -lm))
$(eval $(call fuzz_target,eap,tests/fuzz/fuzz_eap.c tests/fuzz/ends.c tests/fuzz/ca.c $(FUZZ_PAIR),-lcmocka -lssl -lcrypto -lm))
$(eval $(call fuzz_target,ipc,tests/fuzz/fuzz_ipc.c tests/fuzz/rooms.c $(IKE_ROOM_SRCS),-lssl -lcrypto -lm))
$(eval $(call fuzz_target,vici,tests/fuzz/fuzz_vici.c tests/fuzz/rooms.c $(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm))
$(eval $(call fuzz_target,certs,tests/fuzz/fuzz_certs.c tests/fuzz/ca.c $(PKI_SRCS) $(CRYPTO_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm))

FUZZ_BINS = $(patsubst %,$(FUZZ)/bin/fuzz_%,$(FUZZ_TARGETS))
$(FUZZ)/seeds/.done: tests/fuzz/seeds.py $(wildcard tests/vectors/ikev2/*.json) ctrl/ipc/messages.h
	@rm -rf $(@D)
	@$(PYTHON) $< $(@D)
	@touch $@

.PHONY: fuzz fuzz-programs check-fuzz
fuzz-programs: $(FUZZ_BINS) $(FUZZ)/seeds/.done
fuzz: fuzz-programs ## hostile input, SECONDS=600 for each target (tests/fuzz); what breaks one stays in build/fuzz/found
	@tests/fuzz/run.sh $(FUZZ) $(SECONDS) $(FUZZ_TARGETS)
check-fuzz: fuzz-programs ## the same from its seeds, for four seconds each
	@tests/fuzz/run.sh $(FUZZ) 4 $(FUZZ_TARGETS)

.PHONY: fuzz-mutants fuzz-coverage
fuzz-coverage: $(patsubst %,$(FUZZ)/cov/bin/fuzz_%,$(FUZZ_TARGETS)) $(FUZZ)/seeds/.done ## lines that seeds and what earlier runs kept reach; 80 % at least
	@mkdir -p $(FUZZ)/log $(patsubst %,$(FUZZ)/corpus/%,$(FUZZ_TARGETS))
	@FUZZ_CC="$(FUZZ_CC)" tests/fuzz/coverage.sh $(FUZZ) $(FUZZ_TARGETS)
fuzz-mutants: fuzz-needs ## faults planted behind decryption, and how long it takes to find each
	@tests/fuzz/mutants.sh
