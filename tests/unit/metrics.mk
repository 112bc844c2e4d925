# SPDX-License-Identifier: Apache-2.0
# The metrics room, with the test as ctl and as its clients.
$(eval $(call unit_test,test_metrics,tests/unit/test_metrics.c $(filter-out %/main.c,$(METRICS_SRCS)) driver/common/names.c $(CTRL_LIB_SRCS),-lmicrohttpd -lcrypto -lm))
# What it is told: by ctl, ike and path.
$(eval $(call unit_test,test_feed,tests/unit/test_feed.c tests/unit/ctl_rig.c $(CTL_SRCS) $(CONFIG_SRCS) $(CTRL_LIB_SRCS),-lcrypto -lm))
