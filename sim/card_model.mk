# SPDX-License-Identifier: Apache-2.0
# The card's RTL as C libraries: $(BUILD)/lib/libcard_l1.a and libcard_l4.a (sim/card_model.h). Link them with the C++
# compiler and $(CARD_MODEL_LIBS) behind. Tracing is built in: it costs 5 % of the speed while no wave is written.
CARD_LOG2_SA := 10
CARD_VECTORS := 4
CARD_FILES := rtl/gcm/gcm.f rtl/esp/esp.f $(wildcard rtl/esp/esp_rx.f) rtl/ring/ring.f rtl/csr/csr.f
CARD_RTL := $(sort $(call rtl_sources,$(CARD_FILES))) rtl/top/espalier_top.v
CARD_INCLUDES := -I. $(call rtl_includes,$(CARD_FILES))
CARD_HASH = $(shell cat $(CARD_RTL) $(RTL_HEADERS) hw/regs/gen/espalier_card.vh 2>/dev/null | sha256sum | cut -c1-8)
CARD_MODEL_LIBS := -lstdc++ -lm -lpthread -lz

define card_model
$(eval $(call verilated,card_l$(1),espalier_top,$(CARD_RTL),$(CARD_INCLUDES) --trace-fst -GLANES=$(1) -GLOG2_SA=$(CARD_LOG2_SA) \
    -GN_VEC=$(CARD_VECTORS) -GBUILD_HASH="32'h$(CARD_HASH)"))
$$(BUILD)/vl/card_l$(1)/libcard_l$(1).a: hw/regs/gen/espalier_card.vh
$$(BUILD)/obj/sim/card_model_l$(1).o: sim/card_model.cpp sim/card_model.h sim/card_model_ops.h \
    $$(BUILD)/vl/card_l$(1)/libcard_l$(1).a
	@mkdir -p $$(@D)
	@echo "  CXX     $$< ($(1) lanes)"
	@$$(RTL_OBJCACHE) $$(CXX) -std=c++17 $$(RTL_CXXFLAGS) -Wextra -Werror -I. -I$$(BUILD)/vl/card_l$(1) -DCARD_LANES=$(1) -DCARD_VECTORS=$(CARD_VECTORS) -DCARD_TRACE \
	    -DVCARD=card_l$(1) -DCARD_SYMS=card_l$(1)__Syms -DCARD_SLOTS=$$(shell echo $$$$((1 << $(CARD_LOG2_SA)))) -c -o $$@ $$<
$$(BUILD)/lib/libcard_l$(1).a: $$(BUILD)/obj/sim/card_model_l$(1).o $$(BUILD)/obj/sim/card_model.o \
    $$(BUILD)/obj/sim/verilated_fst_c.o $(ZEROED_NEW)
	@mkdir -p $$(@D)
	@echo "  AR      $$@"
	@rm -f $$@
	@cp $$(BUILD)/vl/card_l$(1)/card_l$(1)__ALL.a $$@
	@ar rs $$@ $$^ $$(BUILD)/vl/card_l$(1)/verilated.o $$(BUILD)/vl/card_l$(1)/verilated_threads.o 2>/dev/null
endef
$(eval $(call card_model,1))
$(eval $(call card_model,4))

$(BUILD)/obj/sim/verilated_fst_c.o: $(VERILATOR_ROOT)/include/verilated_fst_c.cpp
	@mkdir -p $(@D)
	@echo "  CXX     $<"
	@$(RTL_OBJCACHE) $(CXX) -std=c++17 -O2 -isystem $(VERILATOR_ROOT)/include -isystem $(VERILATOR_ROOT)/include/vltstd \
	    -c -o $@ $<
