# SPDX-License-Identifier: Apache-2.0
# Register source: `make regs` regenerates hw/regs/gen, `make check-regs` fails when it drifts.
RDL_VENV := $(BUILD)/rdl-venv
$(RDL_VENV)/.done:
	@echo "  VENV    systemrdl-compiler"
	@python3 -m venv $(RDL_VENV)
	@$(RDL_VENV)/bin/pip install -q --disable-pip-version-check systemrdl-compiler==1.33.0
	@touch $@

.PHONY: regs check-regs
regs: $(RDL_VENV)/.done ## make C header, Verilog header and manual from hw/regs/espalier.rdl
	@$(RDL_VENV)/bin/python hw/regs/gen.py
check-regs: $(RDL_VENV)/.done ## fail when hw/regs/gen does not match its source
	@$(RDL_VENV)/bin/python hw/regs/gen.py --check
	@echo "check-regs: hw/regs/gen matches its source"
