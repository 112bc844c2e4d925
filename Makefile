# SPDX-License-Identifier: Apache-2.0
# Everything is built under $(BUILD); each room has its own .mk beside its sources.
BUILD ?= build
ifeq ($(origin CC),default) # make's own cc
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif
PYTHON ?= /usr/bin/python3
OPT ?= -O2 -g
# Warnings stop the build with the compilers that we test with (Debian 12's and 13's); a younger one may have new ones.
WERROR ?= $(if $(filter 12 14,$(firstword $(subst ., ,$(shell $(CC) -dumpversion 2>/dev/null)))),-Werror)
WARN := -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2
CFLAGS += -std=c11 $(OPT) $(WARN) $(HARDEN) $(SANFLAGS)
CPPFLAGS += -D_GNU_SOURCE -I. -Idriver/include
LDFLAGS += $(SANFLAGS)
ifdef SAN
# SAN=thread: ThreadSanitizer, which does not know fences (the card engine has some); anything else: the two that go together
SANFLAGS := $(if $(filter thread,$(SAN)),-fsanitize=thread -Wno-tsan,-fsanitize=address -fsanitize=undefined) -fno-omit-frame-pointer
HARDEN := -fstack-protector-strong
endif

PROGRAMS :=
UNIT_TESTS :=
RTL_TESTS :=
SYSTEM_TESTS :=
CHECKS :=

.PHONY: all
all: programs

include hw/hw.mk
-include rtl/rtl.mk
-include driver/driver.mk
-include ctrl/ctrl.mk
-include sim/sim.mk
include tests/tests.mk
include tests/lint.mk
-include tests/coverage/coverage.mk
include ctrl/pack/pack.mk

.SECONDARY: # keep object files
.PHONY: programs
programs: $(PROGRAMS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- people's commands
JOBS ?= $(shell nproc)
AGAIN := $(MAKE) --no-print-directory -s -j$(JOBS)

.PHONY: deps demo check check-rootless check-system
deps: ## install the Debian packages that everything needs (root or sudo; otherwise says what to install)
	@tests/deps.sh all

demo: ## the main job: two sites, IKEv2, software, the simulated card, and the card killed under load
	@tests/deps.sh demo
	@tests/need.sh lab
	@BUILD=$(BUILD) tests/progress.sh demo-build 300 $(AGAIN) programs $(BUILD)/tests/demo
	@tests/as_root.sh $(BUILD)/tests/demo

check: ## every test that CI runs; installs what it needs
	@tests/deps.sh all
	@BUILD=$(BUILD) tests/check.sh $(AGAIN)

# Each has namespaces and folders of its own, and waits more than it computes.
SYSTEM_JOBS ?= 3
check-system: programs system-tests ## tests with real daemons in network namespaces (root)
	@tests/need.sh lab
	@BUILD=$(BUILD) JOBS=$(SYSTEM_JOBS) tests/run.sh $(foreach t,$(SYSTEM_TESTS),"tests/as_root.sh $(t)")

check-rootless: ## two espalierd in an unprivileged user namespace
	@tests/deps.sh demo
	@tests/need.sh rootless
	@$(AGAIN) $(BUILD)/bin/espalierd $(BUILD)/tests/system_tunnel
	@BUILD=$(BUILD) tests/run.sh "tests/rootless.sh $(BUILD)"

.PHONY: help clean
help: ## list the targets
	@awk -F':.*## ' '/^[a-z][a-z0-9 -]*:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST) | sort

clean: ## remove everything that was built
	rm -rf $(BUILD)
