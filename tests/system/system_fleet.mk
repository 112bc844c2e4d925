# SPDX-License-Identifier: Apache-2.0
# Three gateways on Debian's etcd; skips, and says so, where that is not installed.
SYSTEM_TESTS += $(BUILD)/tests/system_fleet
.PHONY: check-fleet
check-fleet: ## three gateways that share their connections by etcd: killed, frozen, etcd away (root)
	@tests/deps.sh fleet
	@tests/need.sh lab
	@$(AGAIN) $(BUILD)/tests/system_fleet programs
	@BUILD=$(BUILD) tests/run.sh "tests/as_root.sh $(BUILD)/tests/system_fleet"
