# SPDX-License-Identifier: Apache-2.0
# The SPI table at full size, over the workbench's pipeline model (sim/workbench.mk).
$(BUILD)/tests/test_spi_table: $(BUILD)/obj/tests/rtl/test_spi_table.o $(BUILD)/obj/sim/pipe_model_l1.o \
    $(BUILD)/vl/pipe_l1/libpipe_l1.a $(WB_RUNTIME)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CXX) $(LDFLAGS) -o $@ $^ -lcmocka -lz -lpthread

RTL_TESTS += $(BUILD)/tests/test_spi_table
