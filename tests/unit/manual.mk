# SPDX-License-Identifier: Apache-2.0
# The manual's text, and the tool that makes pages of it.
$(eval $(call unit_test,test_manual,tests/unit/test_manual.c tests/unit/manual_pages.c,))

.PHONY: manual
manual: ## the manual as HTML and man pages in build/manual (needs lowdown, which `make deps` does not install)
	@ctrl/manual/build.sh $(BUILD)/manual
