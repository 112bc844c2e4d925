# SPDX-License-Identifier: Apache-2.0
$(eval $(call unit_test,test_sad,tests/unit/test_sad.c $(WB_PARSER_SRCS),-lpcap))
$(eval $(call unit_test,test_capture,tests/unit/test_capture.c $(WB_PARSER_SRCS),-lpcap))
$(eval $(call unit_test,test_flow,tests/unit/test_flow.c $(WB_PARSER_SRCS),-lpcap))
$(eval $(call unit_test,test_progress,tests/unit/test_progress.c sim/workbench/progress.c,))
$(eval $(call unit_test,test_explain,tests/unit/test_explain.c $(WB_PARSER_SRCS) $(addprefix sim/workbench/explain_,run.c shrink.c words.c),-lpcap))
