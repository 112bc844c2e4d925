// SPDX-License-Identifier: Apache-2.0
// What the test programs of the encapsulation pipeline and the SA manager share: a packet through the
// pipeline and through the reference, and the comparison of the two.
#ifndef TESTS_RTL_TX_EXPECT_H
#define TESTS_RTL_TX_EXPECT_H

#include "tests/rtl/pipe_model.h"

#define UDP   ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK
#define ESN   ESPC_SA_BLOB_FLAGS_ESN_MASK
#define SLOTS 64u

extern uint32_t seed;         // of the random tests; the first argument of the program
extern struct model_out want; // what the reference made of the last packet
extern struct pipe_out got;   // what the pipeline made of it

struct pipe *new_pipe(unsigned lanes);
void add_ok(struct pipe *p, struct model_sa *sa);
// compares the next output packet with `want`
void expect_out(struct pipe *p, uint16_t tag);
// one packet through both; the status
uint16_t one(struct pipe *p, struct model_sa *sa, uint16_t gen, const uint8_t *buf, size_t size);
// one random inner packet of `total` bytes through both; the status
uint16_t one_of(struct pipe *p, struct model_sa *sa, size_t total, uint32_t *rng);
#endif
