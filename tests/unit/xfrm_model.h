// SPDX-License-Identifier: Apache-2.0
// A kernel in memory behind the seam of driver/kernel: it keeps SAs and policies as Linux does, says what it
// has, and refuses, forgets or takes something else where a test wants it to.
#ifndef TESTS_XFRM_MODEL_H
#define TESTS_XFRM_MODEL_H

#include "driver/kernel/kernel.h"

enum { MODEL_STATES = 32, MODEL_MESSAGE = 1024, MODEL_LOG = 64, MODEL_NEWS = 16 };
struct model_message {
    uint32_t len; // 0: none
    _Alignas(uint64_t) uint8_t bytes[MODEL_MESSAGE];
};
struct xfrm_model {
    struct xfrm_link base;                                          // first
    struct model_message state[MODEL_STATES], policy[MODEL_STATES]; // as they came
    struct {
        uint64_t packets, bytes;
        uint32_t oseq, seq, replay, integrity_failed;
    } count[MODEL_STATES];
    struct model_message log[MODEL_LOG], news[MODEL_NEWS]; // requests; notices to come
    unsigned logged, news_in, news_out;
    bool lost; // some notices are
    bool closed;
    uint16_t refuse; // requests of that type, with this
    int refuse_rc;
    unsigned refuse_from; // but for so many
    const char *words;
    bool does;                         // ... and does them all the same
    bool crypto, packet;               // what its devices offload
    void (*other)(struct nlmsghdr *h); // what it has of an SA or a policy in truth
};
void model_begin(struct xfrm_model *m);
unsigned model_states(const struct xfrm_model *m);
unsigned model_policies(const struct xfrm_model *m);
int model_state(const struct xfrm_model *m, uint32_t spi); // its place, -1: none
int model_policy(const struct xfrm_model *m, uint8_t dir); // the first one of that direction
struct nlmsghdr *model_header(struct model_message *m);
void model_state_gone(struct xfrm_model *m, uint32_t spi, bool told); // behind everybody's back
void model_expire(struct xfrm_model *m, uint32_t spi, bool hard);
void model_maps(struct xfrm_model *m, uint32_t spi, const uint8_t addr[4], uint16_t port);
void model_notice(struct xfrm_model *m, uint16_t type, const void *payload, size_t len);
void model_put_state(struct xfrm_model *m, uint32_t owner, uint32_t spi); // somebody's
void model_put_policy(struct xfrm_model *m, uint32_t owner, uint8_t dir);

#endif
