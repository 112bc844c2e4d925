# SPDX-License-Identifier: Apache-2.0
# espalier-sim, the workbench: Verilated AES-GCM cores and ESP pipelines, and the C program around them.
WB_VL = $(BUILD)/vl
WB_CXX = $(RTL_OBJCACHE) $(CXX) $(CPPFLAGS) -std=c++17 $(RTL_CXXFLAGS) $(SANFLAGS)
WB_PIPE_F := rtl/gcm/gcm.f rtl/esp/esp.f rtl/esp/esp_rx.f
WB_PIPE_SRCS := $(sort $(call rtl_sources,$(WB_PIPE_F)))
WB_PIPE_FLAGS := $(call rtl_includes,$(WB_PIPE_F)) -I. --trace-fst

# ---- Verilated models
$(eval $(call verilated,gcm_pair_model,gcm_pair,sim/workbench/gcm_pair.v $(call rtl_sources,rtl/gcm/gcm.f),$(call rtl_includes,rtl/gcm/gcm.f)))
$(foreach l,1 2 4,$(eval $(call verilated,pipe_l$(l),esp_pipe,$(WB_PIPE_SRCS),$(WB_PIPE_FLAGS) -GLANES=$(l))))

$(BUILD)/obj/sim/gcm_model.o: sim/gcm_model.cpp $(WB_VL)/gcm_pair_model/libgcm_pair_model.a
	@mkdir -p $(@D)
	@echo "  CXX     $<"
	@$(WB_CXX) -isystem $(WB_VL)/gcm_pair_model -MMD -MP -c -o $@ $<

define pipe_model
$$(WB_VL)/pipe_l$(1)/libpipe_l$(1).a: hw/regs/gen/espalier_card.vh
$$(BUILD)/obj/sim/pipe_model_l$(1).o: sim/pipe_model.cpp sim/pipe_model.h $$(WB_VL)/pipe_l$(1)/libpipe_l$(1).a
	@mkdir -p $$(@D)
	@echo "  CXX     $$< ($(1) lanes)"
	@$$(WB_CXX) -isystem $$(WB_VL)/pipe_l$(1) -DPIPE_LANES=$(1) -DPIPE_CLASS=pipe_l$(1) -DPIPE_OPS=pipe_ops_l$(1) \
	    -DPIPE_HEADER='"pipe_l$(1).h"' -c -o $$@ $$<
endef
$(foreach l,1 2 4,$(eval $(call pipe_model,$(l))))

# Verilator's own run-time, with FST tracing, once for all models of the workbench
WB_RUNTIME := $(patsubst %,$(BUILD)/obj/sim/runtime/%.o,verilated verilated_threads verilated_fst_c)
$(BUILD)/obj/sim/runtime/%.o: $(VERILATOR_ROOT)/include/%.cpp
	@mkdir -p $(@D)
	@echo "  CXX     $(notdir $<)"
	@$(RTL_OBJCACHE) $(CXX) -std=c++17 -O2 -I$(VERILATOR_ROOT)/include -I$(VERILATOR_ROOT)/include/vltstd -c -o $@ $<

# ---- the program
WB_PARSER_SRCS := $(addprefix sim/workbench/,util.c sad.c sad_words.c sad_state.c sad_policy.c capture.c flow.c pass.c) driver/common/names.c
WB_SRCS := $(WB_PARSER_SRCS) $(addprefix sim/workbench/,main.c gcm_check.c vectors.c esp_vectors.c ike_vectors.c replay.c stats.c summary.c progress.c explain.c explain_run.c explain_shrink.c explain_words.c \
    engine_soft.c engine_card.c)
# what ike-vectors runs: the daemon's messages and key schedule, from an archive so that only those are linked
WB_IKE_SRCS := $(addprefix ctrl/ike/,message.c) $(addprefix ctrl/keys/,derive.c) $(addprefix ctrl/crypto/,key.c prf.c signature.c sk.c) \
    $(wildcard ctrl/lib/*.c)
$(BUILD)/lib/libike_parts.a: $(WB_IKE_SRCS:%.c=$(BUILD)/obj/%.o)
	@mkdir -p $(@D)
	@echo "  AR      $@"
	@rm -f $@
	@$(AR) rcs $@ $^

WB_MODELS := $(BUILD)/obj/sim/gcm_model.o $(BUILD)/obj/sim/pipe_model_l1.o $(BUILD)/obj/sim/pipe_model_l2.o $(BUILD)/obj/sim/pipe_model_l4.o
WB_MODEL_LIBS := $(foreach m,gcm_pair_model pipe_l1 pipe_l2 pipe_l4,$(WB_VL)/$(m)/lib$(m).a)

$(BUILD)/bin/espalier-sim: $(WB_SRCS:%.c=$(BUILD)/obj/%.o) $(PAIR_SRCS:%.c=$(BUILD)/obj/%.o) $(WB_MODELS) $(WB_MODEL_LIBS) $(WB_RUNTIME) $(BUILD)/lib/libike_parts.a $(LIBESPALIER)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CXX) $(LDFLAGS) -o $@ $^ $(LIBESPALIER_LIBS) -ljansson -lpcap -lcrypto -lz -lpthread

PROGRAMS += $(BUILD)/bin/espalier-sim

.PHONY: lint-workbench
lint-workbench: ## Verilator -Wall over the workbench's own Verilog
	@$(VERILATOR) --lint-only -Wall $(call rtl_includes,rtl/gcm/gcm.f) --top-module gcm_pair \
	    sim/workbench/gcm_pair.v $(call rtl_sources,rtl/gcm/gcm.f)
CHECKS += lint-workbench
