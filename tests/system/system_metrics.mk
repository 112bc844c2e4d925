# SPDX-License-Identifier: Apache-2.0
# Metrics, read by Prometheus' own client library (python3-prometheus-client) and promtool.
SYSTEM_TESTS += $(BUILD)/tests/system_metrics
