# SPDX-License-Identifier: Apache-2.0
# The AES-GCM core's tests: three Verilated models (LANES 1, 2, 4), one bench, two C programs.
GCM_TB_SRCS := $(call rtl_sources,$(RTL_GCM)) tests/rtl/gcm_pair.v
GCM_TB_FLAGS := $(call rtl_includes,$(RTL_GCM))
GCM_TB_LIBS := $(foreach l,1 2 4,$(BUILD)/vl/gcm_pair_l$(l)/libgcm_pair_l$(l).a)
$(foreach l,1 2 4,$(eval $(call verilated,gcm_pair_l$(l),gcm_pair,$(GCM_TB_SRCS),$(GCM_TB_FLAGS) -GLANES=$(l))))

$(BUILD)/obj/tests/rtl/gcm_shim.o: tests/rtl/gcm_shim.cpp tests/rtl/gcm_shim.h $(GCM_TB_LIBS)
	@mkdir -p $(@D)
	@echo "  CXX     $<"
	@$(CXX) $(RTL_CXXFLAGS) $(foreach l,1 2 4,-isystem $(BUILD)/vl/gcm_pair_l$(l)) -Itests/rtl -c -o $@ $<

GCM_TESTS := $(BUILD)/tests/test_gcm_core $(BUILD)/tests/test_gcm_cavp
$(GCM_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/rtl/%.o $(BUILD)/obj/tests/rtl/gcm_bench.o \
    $(BUILD)/obj/tests/rtl/gcm_shim.o $(ZEROED_NEW) $(GCM_TB_LIBS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CXX) $(LDFLAGS) -o $@ $^ $(BUILD)/vl/gcm_pair_l1/libverilated.a -lcmocka -lcrypto -lpthread

RTL_TESTS += $(GCM_TESTS)
