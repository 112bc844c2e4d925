# SPDX-License-Identifier: Apache-2.0
# Session resumption between two of ours: no peer on this machine has it.
SYSTEM_TESTS += $(BUILD)/tests/system_resume
