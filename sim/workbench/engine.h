// SPDX-License-Identifier: Apache-2.0
// What a replay needs of an engine: SAs that serve both ways, jobs that finish in order of submission for
// each direction, and figures. Behind it the card's Verilated pipeline or the software engine of libespalier.
#ifndef SIM_WORKBENCH_ENGINE_H
#define SIM_WORKBENCH_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "espalier/engine.h"
#include "sim/workbench/sad.h"

#define WB_MAX_SAS    1024
#define WB_MAX_PACKET 65535
#define WB_OUTER_TTL  64

struct wb_job {
    uint8_t *in, *out; // WB_MAX_PACKET octets each, the engine's
    uint32_t in_len;
    bool encap;
    unsigned state; // ENCAP: the state's index. DECAP: result, the state found, or UINT32_MAX

    bool done;
    enum esp_status status;
    uint32_t out_len;
    uint64_t seq;
    // clock cycles, 0 in software; latency: from first beat in to first beat out
    uint64_t latency, first_in, last_out;
};

// One direction at the port where the outer packets pass: its cycles from first to last beat there, the ideal
// (a cycle for each beat of 16 * lanes octets), and what the difference went to.
struct wb_way {
    uint64_t packets, cycles, ideal;
    uint64_t dropped; // taking in packets that were dropped (encapsulation; at most)
    uint64_t waiting; // no packet of this direction was offered (encapsulation: at most)
    uint64_t stalled; // the rest: the pipeline itself
};

struct wb_timing {
    bool measured;
    uint64_t cycles;  // first beat in to last beat out, both directions side by side
    uint64_t egress;  // first to last beat out, summed over the directions
    uint64_t packets; // that went through either pipeline
    uint64_t bytes;   // inner octets of those that came out
    struct wb_way encap, decap;
};

struct wb_engine;
struct wb_engine_ops {
    // Puts state `index` into both directions' tables. An SA that the engine cannot take is an error.
    int (*add)(struct wb_engine *e, unsigned index, const struct sad_state *st, struct esp_error *err);
    int (*remove)(struct wb_engine *e, unsigned index, struct esp_error *err);
    // Takes e->jobs[n], n not in flight; at most e->depth are in flight.
    int (*submit)(struct wb_engine *e, struct wb_job *job, struct esp_error *err);
    int (*wait)(struct wb_engine *e, struct wb_job *job, struct esp_error *err); // until job->done
    int (*stats)(struct wb_engine *e, unsigned index, enum esp_dir dir, struct esp_sa_stats *s,
                 struct esp_error *err);
    void (*timing)(struct wb_engine *e, struct wb_timing *t);
    void (*close)(struct wb_engine *e);
};

struct wb_engine {
    const struct wb_engine_ops *ops;
    const char *name; // "card", "soft"
    unsigned lanes;   // 0 in software
    unsigned depth;
    struct wb_job *jobs;
};

struct wb_card_options {
    unsigned lanes;
    const char *fst; // NULL: none
    uint64_t fst_from, fst_to;
};
int wb_card_open(struct wb_engine **e, const struct wb_card_options *o, struct esp_error *err);
int wb_soft_open(struct wb_engine **e, struct esp_error *err);

#endif
