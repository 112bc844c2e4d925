// SPDX-License-Identifier: Apache-2.0
// The command `espalier-sim replay`: a capture through an engine, by the SAs and policies of an `ip -batch`
// file.
#ifndef SIM_WORKBENCH_REPLAY_H
#define SIM_WORKBENCH_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "espalier/error.h"

struct replay_options {
    const char *sad, *in, *out;
    const char *json;          // NULL: no statistics
    const char *fst;           // NULL: no waves
    bool ipv6;                 // take states between IPv6 ends
    bool soft;                 // the software engine in place of the card's pipeline
    unsigned lanes;            // 1, 2 or 4
    unsigned sas;              // SA slots in each direction
    uint64_t fst_from, fst_to; // clock cycles
};

// Returns 0, or a negative errno with *err filled.
int wb_replay(const struct replay_options *o, struct esp_error *err);

#endif
