// SPDX-License-Identifier: Apache-2.0
// What a replay counts, and its JSON.
#ifndef SIM_WORKBENCH_STATS_H
#define SIM_WORKBENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "sim/workbench/pass.h"

#define STATS_REASONS 128

struct stats {
    uint64_t in, out, encrypted, decrypted, bypassed, dropped;
    uint64_t drops[STATS_REASONS];
    uint32_t *latency; // one for each packet that went through the card's pipeline
    size_t n_latency, cap_latency;
};

void stats_take(struct stats *s, const struct pass_result *r);
void stats_clear(struct stats *s);

// Writes the JSON file (a temporary one first, then renamed). 0 or negative errno with *err.
int stats_write(struct stats *s, const char *path, struct wb_engine *e, const struct sad *sad,
                struct esp_error *err);

#endif
