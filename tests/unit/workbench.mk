# SPDX-License-Identifier: Apache-2.0
$(eval $(call unit_test,test_sad,tests/unit/test_sad.c $(WB_PARSER_SRCS),))
$(eval $(call unit_test,test_pcap,tests/unit/test_pcap.c $(WB_PARSER_SRCS),))
$(eval $(call unit_test,test_flow,tests/unit/test_flow.c $(WB_PARSER_SRCS),))
