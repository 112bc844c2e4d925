# SPDX-License-Identifier: Apache-2.0
# Certificates with charon: one PKI's files for all of these.
CERT_LAB := $(patsubst %.c,$(BUILD)/obj/%.o,tests/system/cert_lab.c tests/system/http_server.c tests/system/steps.c) $(HARNESS)
CERT_TESTS := $(BUILD)/tests/system_certs $(BUILD)/tests/system_revocation $(BUILD)/tests/system_signatures
SYSTEM_TESTS += $(CERT_TESTS)
$(CERT_TESTS): $(BUILD)/tests/system_%: $(BUILD)/obj/tests/system/test_%.o $(CERT_LAB)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $^ -lcmocka
