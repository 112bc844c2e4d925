# SPDX-License-Identifier: Apache-2.0
# Faults that unit tests must find (mutants/LIST).
.PHONY: unit-mutants unit-mutants-apply
check-mutants: unit-mutants-apply
unit-mutants-apply:
	@tests/unit/mutants.sh apply
unit-mutants: ## faults of EAP planted again: the unit test that is named must fail with each
	@BUILD=$(BUILD) tests/unit/mutants.sh
