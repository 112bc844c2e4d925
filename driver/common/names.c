// SPDX-License-Identifier: Apache-2.0
// Names and sentences of statuses, names of algorithms, from the lists that make the enumerations.
#include "espalier/engine.h"

const char *esp_status_name(enum esp_status s)
{
    switch (s) {
#define X(name, value, text)                                                                                 \
    case ESP_STATUS_##name: return #name;
        ESP_STATUS_LIST(X)
#undef X
    }
    return "UNKNOWN";
}

const char *esp_status_text(enum esp_status s)
{
    switch (s) {
#define X(name, value, text)                                                                                 \
    case ESP_STATUS_##name: return text;
        ESP_STATUS_LIST(X)
#undef X
    }
    return "";
}

const char *esp_alg_name(enum esp_alg a)
{
    switch (a) {
#define X(sym, name, key, salt, iv, icv, align)                                                              \
    case ESP_ALG_##sym: return name;
        ESP_ALG_LIST(X)
#undef X
    case ESP_ALG_NONE:
    case ESP_ALG_COUNT: break;
    }
    return "none";
}

const char *esp_integ_name(enum esp_integ a)
{
    switch (a) {
#define X(sym, name, key, salt, iv, icv)                                                                     \
    case ESP_INTEG_##sym: return name;
        ESP_INTEG_LIST(X)
#undef X
    case ESP_INTEG_NONE:
    case ESP_INTEG_COUNT: break;
    }
    return "none";
}
