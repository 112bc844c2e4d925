// SPDX-License-Identifier: Apache-2.0
// `espalier-sim explain`: which packets of a capture are dropped, or end differently on the card and in
// software, and why; the smallest capture that still shows one of them; the waves of only its time.
#ifndef SIM_WORKBENCH_EXPLAIN_H
#define SIM_WORKBENCH_EXPLAIN_H

#include "sim/workbench/pass.h"

struct explain_options {
    const char *sad, *in;
    const char *small;    // where the smallest capture goes
    const char *fst;      // NULL: no waves
    bool ipv6;            // take states between IPv6 ends
    unsigned lanes;       // 1, 2 or 4
    unsigned long packet; // the one to shrink for, from 1; 0: the first wrong one, else the first dropped
};

// Returns 0, or a negative errno with *err filled; *wrong: packets on which card and software disagree.
int wb_explain(const struct explain_options *o, unsigned long *wrong, struct esp_error *err);

// ---- between its parts
struct told { // what became of a packet in one engine
    enum pass_end end;
    enum esp_status reason;
    struct flow_verdict verdict;
    unsigned state;
    uint64_t seq, first_in, last_out;
    bool went_in;
    uint8_t *out; // the frame that came out; also what came out of an SA and was then not allowed
    uint32_t out_len;
};

struct explain {
    struct sad sad;
    enum capture_link link;
    struct capture_packet *packets; // the whole capture, each with octets of its own
    size_t n;
    struct wb_engine *card, *soft; // card NULL: it does not take the SA file
    struct told *by_card, *by_soft;
};

// Runs the packets which[0 ... n-1] through an engine that holds no state, and leaves none. told[0 ... n-1]
// is filled; told_clear frees what it holds.
int explain_run(const struct explain *x, struct wb_engine *e, const size_t *which, size_t n,
                struct told *told, struct esp_error *err);
void told_clear(struct told *told, size_t n);
bool told_same(const struct told *a, const struct told *b);

// Sentences about packet i, which was dropped or is wrong.
void explain_words(FILE *f, const struct explain *x, size_t i);

// The fewest packets, the last of them `target`, that still end as it does: which[0 ... *n-1] (room for
// target + 1). *whole: false where the search gave up before it was through.
int explain_shrink(const struct explain *x, size_t target, size_t *which, size_t *n, bool *whole,
                   struct esp_error *err);

#endif
