// SPDX-License-Identifier: Apache-2.0
// The card's ESP pipelines (rtl/esp/esp_pipe.v) as a C object, driven at their AXI-Stream ports without host
// or rings. Packets queued on either side go in back to back; results come out in order for each direction,
// with cycle stamps. One library for each number of lanes; one thread owns a model.
#ifndef SIM_PIPE_MODEL_H
#define SIM_PIPE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hw/regs/gen/espalier_card.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PIPE_SLOTS    1024
#define PIPE_MAX_LEN  65535
#define PIPE_CYCLE_NS 4 // the nominal clock: 250 MHz

struct pipe_model;

struct pipe_packet {
    uint16_t tag;        // comes back with the result
    const uint8_t *data; // lives until the result is there
    uint32_t len;        // 1 ... PIPE_MAX_LEN
    uint32_t sa;         // encapsulation only: slot and generation
    uint16_t generation;
    uint8_t *out; // PIPE_MAX_LEN octets
};

struct pipe_result {
    bool decap;
    uint16_t tag;
    uint16_t status; // enum espc_status
    uint32_t len;    // octets in the packet's `out`
    uint64_t seq;
    uint32_t sa; // 0xffffffff: none found
    uint16_t generation;
    bool soft_limit, lease_low, src_changed;
    uint64_t first_in, first_out, last_out; // clock cycles of first beat in, first and last beat out
};

struct pipe_span { // of one direction, since the model was made or pipe_ops.mark was called
    uint64_t packets, beats_in, beats_out;
    uint64_t first_in, last_in, first_out, last_out;
    // cycles between first_in and last_in in which a beat was offered and not taken, and with none offered
    uint64_t refused, unoffered;
};

struct pipe_ops {
    unsigned lanes;
    // fst: NULL, or the file that gets the signals of cycles from ... to, PIPE_CYCLE_NS each (cycle n starts
    // at n * PIPE_CYCLE_NS). NULL and errno where it cannot be made.
    struct pipe_model *(*create)(const char *fst, uint64_t from, uint64_t to);
    void (*destroy)(struct pipe_model *m); // zeroizes first
    // One SA command with its blob (ADD; else NULL). 0 with *result and *status, -ETIMEDOUT, -EPROTO.
    int (*sa_command)(struct pipe_model *m, const struct espc_sa_command *c, const struct espc_sa_blob *blob,
                      struct espc_sa_result *result, uint16_t *status);
    void (*push)(struct pipe_model *m, bool decap, const struct pipe_packet *p);
    // Runs the clock until the next result of either side. 1: *r is filled, 0: nothing is inside, -ETIMEDOUT:
    // packets are inside and nothing moved for a long time, -EPROTO: the pipeline broke its contract (see
    // broken).
    int (*pull)(struct pipe_model *m, struct pipe_result *r);
    const char *(*broken)(const struct pipe_model *m);
    void (*mark)(struct pipe_model *m);
    void (*span)(const struct pipe_model *m, bool decap, struct pipe_span *s);
    uint64_t (*cycles)(const struct pipe_model *m);
    void (*set_freerun)(struct pipe_model *m, uint64_t now); // what deadlines are compared with; 0 at first
};

extern const struct pipe_ops pipe_ops_l1, pipe_ops_l2, pipe_ops_l4;

#ifdef __cplusplus
}
#endif
#endif
