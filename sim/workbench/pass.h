// SPDX-License-Identifier: Apache-2.0
// One pass of packets through an engine, by the states and policies of an SA file: each packet is judged
// (flow.c), the engine's pipelines are kept full, and what became of each is told in the order of the input.
#ifndef SIM_WORKBENCH_PASS_H
#define SIM_WORKBENCH_PASS_H

#include "sim/workbench/capture.h"
#include "sim/workbench/engine.h"
#include "sim/workbench/flow.h"

enum pass_end { PASS_ENCRYPTED, PASS_DECRYPTED, PASS_BYPASSED, PASS_DROPPED };

struct pass_result {
    enum pass_end end;
    enum esp_status reason;      // DROPPED
    struct flow_verdict verdict; // what was to become of it
    unsigned state;              // the state that took it, or UINT32_MAX
    uint64_t seq;                // 0 where none is known
    bool went_in;                // through the engine; then on the card:
    uint64_t latency, first_in, last_out;
    uint32_t engine_in, engine_out;  // octets of the IP packets
    const struct capture_packet *in; // in and out live until the sink returns
    struct capture_packet out;       // but for DROPPED
};

// Takes a packet's end; 0 or negative errno with *err, which ends the pass.
typedef int (*pass_sink)(void *ctx, const struct pass_result *r, struct esp_error *err);

// -EINVAL with *err where a state of the file has IPv6 ends, which only --ipv6 admits.
int wb_refuse_ipv6(const struct sad *sad, const char *path, struct esp_error *err);

struct pass;
// The engine holds no state of *sad yet; `sad` and `engine` outlive the pass.
int pass_open(struct pass **p, const struct sad *sad, struct wb_engine *engine, enum capture_link link,
              pass_sink sink, void *ctx, struct esp_error *err);
int pass_take(struct pass *p, const struct capture_packet *packet, struct esp_error *err);
int pass_drain(struct pass *p, struct esp_error *err); // until every packet taken has come to its end
// Takes the states out of the engine, which then serves another pass.
int pass_remove_states(struct pass *p, struct esp_error *err);
void pass_close(struct pass *p); // NULL is allowed; leaves the engine alone

#endif
