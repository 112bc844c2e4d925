# SPDX-License-Identifier: Apache-2.0
# Both pipelines at every width, over the workbench's models (sim/workbench.mk): every reason, direction and size, and numbers of
# all sizes.
PIPES_TESTS := $(BUILD)/tests/test_reasons $(BUILD)/tests/test_wide
$(PIPES_TESTS): $(BUILD)/tests/%: $(BUILD)/obj/tests/rtl/%.o $(foreach l,1 2 4,$(BUILD)/obj/sim/pipe_model_l$(l).o) \
    $(foreach l,1 2 4,$(BUILD)/vl/pipe_l$(l)/libpipe_l$(l).a) $(WB_RUNTIME)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CXX) $(LDFLAGS) -o $@ $^ -lcmocka -lcrypto -lz -lpthread

RTL_TESTS += $(PIPES_TESTS)
