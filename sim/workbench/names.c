// SPDX-License-Identifier: Apache-2.0
// The names and descriptions that hw/regs gives to statuses and drop reasons.
#include "sim/workbench/engine.h"

const char *wb_status_name(enum esp_status s)
{
    switch (s) {
#define X(name, value, text)                                                                                 \
    case ESP_STATUS_##name: return #name;
        ESP_STATUS_LIST(X)
#undef X
    }
    return "UNKNOWN";
}

const char *wb_status_text(enum esp_status s)
{
    switch (s) {
#define X(name, value, text)                                                                                 \
    case ESP_STATUS_##name: return text;
        ESP_STATUS_LIST(X)
#undef X
    }
    return "";
}
