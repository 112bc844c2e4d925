# SPDX-License-Identifier: Apache-2.0
# What takes longer than `make check`: the card going in every way, and everything in C under the sanitizers. The daemons'
# reports are written to files, because a lab's logs go with it.
LONG_TESTS := $(BUILD)/tests/system_failover
SAN_BUILD := $(BUILD)/san
SAN_MAKE = $(AGAIN) SAN=1 BUILD=$(SAN_BUILD)
SAN_REPORT = $(abspath $(SAN_BUILD))/report
SAN_ENV = ESPALIER_LAB=espsan ASAN_OPTIONS=log_path=$(SAN_REPORT) UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$(SAN_REPORT)
# the C around them is instrumented, the Verilated models are taken as they are
SAN_MODELS = $(foreach n,1 4,$(SAN_BUILD)/lib/libcard_l$(n).a)
SAN_SYSTEM = $(foreach t,$(SYSTEM_TESTS),"$(SAN_ENV) tests/as_root.sh $(SAN_BUILD)/tests/$(notdir $(t))")

.PHONY: check-san check-failover
check-san: programs ## unit and system tests under AddressSanitizer, LeakSanitizer and UBSan
	@tests/need.sh lab
	@mkdir -p $(SAN_BUILD)/lib $(SAN_BUILD)/tests && rm -f $(SAN_REPORT).*
	@cp -p $(BUILD)/lib/libcard_l1.a $(BUILD)/lib/libcard_l4.a $(SAN_BUILD)/lib/
	@ln -sfn ../vl $(SAN_BUILD)/vl
	@$(SAN_MAKE) $(addprefix -o ,$(SAN_MODELS)) programs unit-tests system-tests
	@ok=0; export BUILD=$(SAN_BUILD); $(SAN_ENV) tests/run.sh $(patsubst $(BUILD)/%,$(SAN_BUILD)/%,$(UNIT_TESTS)) || ok=1; \
	tests/run.sh $(SAN_SYSTEM) || ok=1; \
	for f in $$(grep -lE 'ERROR: |runtime error:' $(SAN_REPORT).* 2>/dev/null); do echo "sanitizer report $$f"; head -n 40 "$$f"; ok=1; done; exit $$ok

# ThreadSanitizer looks at the daemon alone, the rest is as it is. It waits a second at a process's end for reports that
# are still on their way, of which the supervisor knows nothing. Under it the daemon takes ten times as long for a packet,
# so there are a tenth as many, or a machine that has something else to do would lose some.
TSAN_BUILD := $(BUILD)/tsan
TSAN_REPORT = $(abspath $(TSAN_BUILD))/report
TSAN_ENV = ESPALIER_LAB=esptsan ESPALIER_RATE=200 ESPALIER_BIN=$(abspath $(TSAN_BUILD))/bin TSAN_OPTIONS=log_path=$(TSAN_REPORT):atexit_sleep_ms=0
TSAN_NAMES := workers route_based tunnel families fragments outer marks mobike transport selectors wide ah
TSAN_TESTS := $(TSAN_NAMES:%=$(BUILD)/tests/system_%)
TSAN_RUNS = $(foreach n,2 4,$(foreach t,$(TSAN_TESTS),"ESPALIER_WORKERS=$(n) $(TSAN_ENV) tests/as_root.sh $(t)"))
.PHONY: check-tsan
check-tsan: $(TSAN_TESTS) programs ## the daemon with two and with four workers under ThreadSanitizer, in the system tests that need no card
	@tests/need.sh lab
	@mkdir -p $(TSAN_BUILD)/bin && rm -f $(TSAN_REPORT).*
	@$(AGAIN) SAN=thread BUILD=$(TSAN_BUILD) $(TSAN_BUILD)/bin/espalierd
	@ln -sf $(abspath $(BUILD))/bin/espalier $(abspath $(BUILD))/bin/espalier-card $(TSAN_BUILD)/bin/
	@ok=0; BUILD=$(BUILD) JOBS=1 tests/run.sh $(TSAN_RUNS) || ok=1; \
	for f in $$(grep -l 'ThreadSanitizer' $(TSAN_REPORT).* 2>/dev/null); do echo "sanitizer report $$f"; head -n 40 "$$f"; ok=1; done; exit $$ok

check-failover: $(LONG_TESTS) $(BUILD)/tests/system_matrix programs ## the card failing in every way: a table (ESPALIER_FAULTS=FAULT: that one); then at random moments, under load
	@tests/need.sh lab
	@ESPALIER_FAULTS=$${ESPALIER_FAULTS:-all} tests/as_root.sh $(BUILD)/tests/system_matrix
	@BUILD=$(BUILD) tests/run.sh $(foreach t,$(LONG_TESTS),"tests/as_root.sh $(t)")

.PHONY: check-policy
check-policy: $(BUILD)/tests/policy_property $(BUILD)/tests/kernel_twin $(BUILD)/tests/policy_twin programs ## ten minutes of random things happening to policies, and the kernel's model (ESPALIER_SEED=N)
	@tests/need.sh lab
	@tests/as_root.sh $(BUILD)/tests/kernel_twin $${ESPALIER_SEED:-$$(date +%s)} 2000
	@tests/as_root.sh $(BUILD)/tests/policy_twin $${ESPALIER_SEED:-$$(date +%s)} 2000
	@tests/as_root.sh $(BUILD)/tests/policy_property $${ESPALIER_SEED:-$$(date +%s)} 600

.PHONY: check-card-model
check-card-model: $(BUILD)/tests/card_model_twin ## 100,000 random descriptors and faults into the card in C and the Verilated one (SEED=N)
	@tests/run.sh "$(BUILD)/tests/card_model_twin $${SEED:-$$(date +%s)} 100000"

.PHONY: check-debian12 check-debian13 check-long
check-debian12 check-debian13: check-debian%: ## `make demo`, then `make check`, on a bare Debian 12 or 13, made on the spot (root or sudo, debootstrap; FRESH=1: made anew; AS_USER=1: as a user with sudo)
	@tests/deps.sh roots
	@BUILD=$(BUILD) tests/debian.sh $(if $(AS_USER),--user) $(if $(filter 12,$*),bookworm,trixie) demo
	@FRESH= BUILD=$(BUILD) tests/debian.sh $(if $(AS_USER),--user) $(if $(filter 12,$*),bookworm,trixie) check

.PHONY: check-kill
check-kill: $(BUILD)/tests/system_kill programs ## ike, keys and path killed with -9 while a thousand peers have tunnels (root; PEERS=N)
	@tests/need.sh lab
	@for t in ike keys path; do BUILD=$(BUILD) tests/run.sh "ESPALIER_KILLED_PEERS=$${PEERS:-1000} tests/as_root.sh $(BUILD)/tests/system_kill test_$${t}_dies_with_many_peers" || exit 1; done

check-long: ## everything: check, the manual's examples, a routing daemon, sanitizers (of threads too), hostile input, fail-over, policies, the card in C, each RTL block, the cost of a look-up, proofs, what the RTL tests reach, the packages, virtual machines, Debian 13
	@$(AGAIN) check
	@$(AGAIN) check-manual
	@if command -v lowdown >/dev/null; then $(AGAIN) manual; else echo "check-long: skip: make manual, because lowdown is not installed (apt-get install lowdown)"; fi
	@if PATH=$$PATH:/usr/sbin command -v bird >/dev/null; then $(AGAIN) check-routing; else echo "check-long: skip: make check-routing, because bird is not installed (apt-get install bird2)"; fi
	@$(AGAIN) check-san
	@$(AGAIN) check-tsan
	@$(AGAIN) check-failover
	@$(AGAIN) check-kill
	@$(AGAIN) check-policy
	@$(AGAIN) check-orders ORDERS_CPU=3600
	@$(AGAIN) fuzz SECONDS=30
	@$(AGAIN) check-card-model
	@$(AGAIN) check-churn
	@$(AGAIN) -j1 lint-rtl-blocks lint-tests
	@$(AGAIN) bench-lookup
	@$(AGAIN) formal formal-mutants
	@$(AGAIN) coverage
	@$(AGAIN) check-secrets
	@tests/or_skip.sh $(AGAIN) check-vici-python
	@tests/or_skip.sh $(AGAIN) check-deb
	@tests/or_skip.sh $(AGAIN) check-image
	@tests/or_skip.sh $(AGAIN) check-qemu
	@tests/or_skip.sh $(AGAIN) check-debian13
