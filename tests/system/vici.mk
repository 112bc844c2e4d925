# SPDX-License-Identifier: Apache-2.0
# The daemon's supervisor and VICI, with stock swanctl as the client.
SYSTEM_TESTS += $(BUILD)/tests/system_vici $(BUILD)/tests/system_swanctl $(BUILD)/tests/system_install $(BUILD)/tests/system_journal

$(BUILD)/tests/system_secrets: $(BUILD)/obj/tests/system/vici_client.o
.PHONY: check-secrets
check-secrets: $(BUILD)/tests/system_secrets programs ## the secrets of 100,000 devices: loaded within 30 s, loaded again, changed one by one (root; DEVICES=N)
	@tests/need.sh lab
	@BUILD=$(BUILD) tests/run.sh "tests/as_root.sh $(BUILD)/tests/system_secrets"

# strongSwan's module for Python is not in Debian: it comes from PyPI, into a folder of its own.
VICI_PYTHON := $(BUILD)/vici-python
$(VICI_PYTHON)/.done:
	@echo "  PIP     vici"
	@mkdir -p $(VICI_PYTHON)
	@$(PYTHON) -m pip install -q --retries 1 --disable-pip-version-check --no-deps --target $(VICI_PYTHON) vici==6.0.3 2>$(VICI_PYTHON)/log || { \
	    [ -z "$${ESPALIER_LACKS:-}" ] || echo "PyPI cannot be reached, or has no vici 6.0.3: $$(tail -n 1 $(VICI_PYTHON)/log)" >>"$$ESPALIER_LACKS"; \
	    echo "check-vici-python: PyPI cannot be reached, or has no vici 6.0.3: $$(tail -n 1 $(VICI_PYTHON)/log)" >&2; exit 1; }
	@touch $@

.PHONY: check-vici-python
check-vici-python: $(VICI_PYTHON)/.done $(BUILD)/tests/system_vici_python programs ## every command and event of VICI by strongSwan's module for Python (root; fetches it from PyPI)
	@tests/need.sh lab
	@BUILD=$(BUILD) tests/run.sh "ESPALIER_VICI=$(abspath $(VICI_PYTHON)) tests/as_root.sh $(BUILD)/tests/system_vici_python"
