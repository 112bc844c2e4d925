# SPDX-License-Identifier: Apache-2.0
# What the RTL costs, by Yosys (hw/synth/synth.py). `make synth SYNTH_FAMILIES="xcup xc7 ecp5" SYNTH_LANES="1 2 4"` is everything;
# YOSYS=... is another Yosys than Debian's, such as that of hw/synth/tools.sh.
YOSYS ?= yosys
SYNTH_FAMILIES ?= xcup
SYNTH_LANES ?= 1 4
SYNTH_ARGS = --yosys "$(YOSYS)" --sources "$(CARD_INCLUDES) $(CARD_RTL)" --build $(BUILD)/synth --report $(BUILD)/report \
    --lanes "$(SYNTH_LANES)" --families "$(SYNTH_FAMILIES)" --jobs $(JOBS)

.PHONY: synth synth-levels synth-accept
synth: ## LUT, RAM, FF and logic levels of each module and in total; fails where one is worse than accepted
	@$(PYTHON) hw/synth/synth.py $(SYNTH_ARGS)
synth-levels: ## logic levels alone: a minute instead of ten
	@$(PYTHON) hw/synth/synth.py $(SYNTH_ARGS) --families ""
synth-accept: ## take the figures of `make synth` as the new measure and write them into rtl/README.md
	@$(PYTHON) hw/synth/synth.py $(SYNTH_ARGS) --accept
