# SPDX-License-Identifier: Apache-2.0
# Register source: `make regs` regenerates hw/regs/gen, `make check-regs` fails when it drifts.
RDL_VENV := $(BUILD)/rdl-venv
$(RDL_VENV)/.done:
	@echo "  VENV    systemrdl-compiler"
	@python3 -m venv $(RDL_VENV)
	@$(RDL_VENV)/bin/pip install -q --retries 1 --disable-pip-version-check systemrdl-compiler==1.33.0 2>$(RDL_VENV)/log
	@touch $@

.PHONY: regs check-regs
regs: $(RDL_VENV)/.done ## make C header, Verilog header and manual from hw/regs/espalier.rdl
	@$(RDL_VENV)/bin/python hw/regs/gen.py
check-regs: ## fail when hw/regs/gen does not match its source
	@sha256sum --quiet -c hw/regs/gen/digests || { echo "hw/regs: gen/ does not match espalier.rdl: run \`make regs\`" >&2; exit 1; }
	@if $(MAKE) --no-print-directory -s $(RDL_VENV)/.done 2>/dev/null; then $(RDL_VENV)/bin/python hw/regs/gen.py --check && \
	    echo "check-regs: hw/regs/gen is what systemrdl-compiler makes of its source"; \
	else echo "check-regs: the digests match; skip: regenerating, because systemrdl-compiler cannot be installed from PyPI here"; fi

-include hw/synth/synth.mk
