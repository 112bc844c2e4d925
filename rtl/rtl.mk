# SPDX-License-Identifier: Apache-2.0
# Source lists of the card's Verilog, read from the .f files of each block, and how a block becomes a Verilated model.
# $(call rtl_sources,rtl/gcm/gcm.f) names the files of one block, $(call rtl_includes,...) its include folders.
VERILATOR ?= verilator
RTL_HEADERS := $(wildcard rtl/*/*.vh) hw/regs/gen/espalier_card.vh
rtl_words = $(shell sed -e 's|//.*||' $(1))
rtl_sources = $(filter-out +%,$(call rtl_words,$(1)))
rtl_includes = $(patsubst +incdir+%,-I%,$(filter +incdir+%,$(call rtl_words,$(1))))

# Warnings are for `make lint`: a Verilator younger than ours may have new ones, and a user's build goes on.
VERILATOR_FLAGS := --cc -Wno-fatal -Wno-lint -Wno-style -O3 --x-assign fast --x-initial fast --noassert
VERILATOR_ROOT := $(shell $(VERILATOR) --getenv VERILATOR_ROOT 2>/dev/null)
# how the models' C++ is optimised; runs of which each is short are sooner done with less
RTL_OPT ?= -O2
RTL_CXXFLAGS := -O2 -g -Wall -isystem $(VERILATOR_ROOT)/include -isystem $(VERILATOR_ROOT)/include/vltstd $(PREFIX_MAP)
RTL_OBJCACHE := $(shell command -v ccache 2>/dev/null)

# $(eval $(call verilated,NAME,TOP,SOURCES,FLAGS)): $(BUILD)/vl/NAME/libNAME.a with class NAME; beside it
# its headers and libverilated.a (one copy serves a program). One make at a time writes a model's folder, and what an
# interrupted one left running is waited for: ccache takes a source that is replaced between its two looks at it for the
# one that it saw first, and gives that object to every later build. A model is one translation unit: in dozens of them
# half of the time went into Verilator's headers.
define verilated
$$(BUILD)/vl/$(1)/lib$(1).a: $(3) $$(RTL_HEADERS)
	@mkdir -p $$(@D)
	@echo "  VERILATE $(1) (takes up to a minute or two)"
	@exec 9>$$(@D)/.lock && flock 9 && rm -f $$(@D)/*.o $$(@D)/*.d $$(@D)/*.cpp $$(@D)/*.h && \
	$$(VERILATOR) $$(VERILATOR_FLAGS) $(4) --Mdir $$(@D) --prefix $(1) --top-module $(2) $(3) && \
	{ $$(MAKE) --no-print-directory -s -C $$(@D) -f $(1).mk OBJCACHE=$$(RTL_OBJCACHE) OPT_FAST=$$(RTL_OPT) OPT_SLOW=-O1 \
	    VM_PARALLEL_BUILDS=0 $(1)__ALL.a verilated.o verilated_threads.o > $$(@D)/build.log 2>&1 \
	    || { cat $$(@D)/build.log; exit 1; }; } && \
	rm -f $$(@D)/libverilated.a && ar rcs $$(@D)/libverilated.a $$(@D)/verilated.o $$(@D)/verilated_threads.o && \
	cp $$(@D)/$(1)__ALL.a $$@
endef

# every program with a Verilated model has this: memory of models begins as zeros
ZEROED_NEW := $(BUILD)/obj/sim/zeroed_new.o
$(ZEROED_NEW): sim/zeroed_new.cpp
	@mkdir -p $(@D)
	@echo "  CXX     $<"
	@$(RTL_OBJCACHE) $(CXX) -std=c++17 $(RTL_CXXFLAGS) -Wextra -Werror -c -o $@ $<

RTL_GCM := rtl/gcm/gcm.f

.PHONY: lint-rtl-gcm
lint-rtl-gcm: ## Verilator -Wall over the AES-GCM core at every width
	@for l in 1 2 4; do for e in 0 1; do \
	    $(VERILATOR) --lint-only -Wall -f $(RTL_GCM) --top-module gcm_core -GLANES=$$l -GENC=$$e -GMETA_W=16 || exit 1; \
	done; done
CHECKS += lint-rtl-gcm
.PHONY: lint-yosys-gcm
lint-yosys-gcm:
	@for l in 1 2 4; do yosys -q -w 'Replacing memory' -p "read_verilog $(call rtl_includes,$(RTL_GCM)) $(call rtl_sources,$(RTL_GCM)); \
	    chparam -set LANES $$l gcm_core; hierarchy -check -top gcm_core; proc; check -assert" || exit 1; done
YOSYS_BLOCKS += lint-yosys-gcm
