# SPDX-License-Identifier: Apache-2.0
# Faults that unit tests must find (mutants/LIST).
.PHONY: unit-mutants
unit-mutants: ## faults of authentication and of the fleet planted again: the unit test that is named must fail with each
	@BUILD=$(BUILD) tests/unit/mutants.sh
