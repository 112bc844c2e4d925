# SPDX-License-Identifier: Apache-2.0
# The metrics room, with the test as ctl and as its clients.
$(eval $(call unit_test,test_metrics,tests/unit/test_metrics.c $(filter-out %/main.c,$(METRICS_SRCS)) driver/common/names.c $(CTRL_LIB_SRCS),-lmicrohttpd -lcrypto -lm))
