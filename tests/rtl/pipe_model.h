// SPDX-License-Identifier: Apache-2.0
// A plain reference of the encapsulation pipeline for RTL tests, with OpenSSL's AES-GCM, and the SA commands
// that put the same SA into the card. RFC 4303 tunnel and transport mode, RFC 4106, RFC 3948; statuses of
// hw/regs/espalier.rdl.
#ifndef TESTS_RTL_PIPE_MODEL_H
#define TESTS_RTL_PIPE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hw/regs/gen/espalier_card.h"
#include "tests/rtl/pipe_shim.h"

struct model_sa {
    bool valid, draining, transport;
    uint32_t slot, spi, flags, alg;
    uint16_t gen, sport, dport;
    uint8_t key[32], salt[4], src[4], dst[4], ttl;
    uint64_t seq, limit, span; // next sequence number, lease's end, lease's length when it was last set
    uint64_t soft_bytes, hard_bytes, soft_packets, hard_packets;
    uint64_t packets, bytes, drops;
    uint16_t id_offset;
};

struct model_out {
    uint16_t status;
    uint64_t seq;
    bool soft, lease_low;
    size_t size;
    uint8_t data[10240];
};

struct model_result {
    uint64_t last_seq, packets, bytes, drops;
    uint32_t refused;
};

#define MODEL_MAX_LEN 9216

uint32_t model_random(uint32_t *state);
// a random SA with room in its lease and no limits
void model_sa_random(struct model_sa *sa, uint32_t slot, uint32_t *rng);
// an inner IPv4 packet of `total` bytes with random payload, TOS and DF
void model_inner(uint8_t *buf, size_t total, uint32_t *rng);
// an IPv4 packet of `total` bytes between the SA's ends, with a right checksum, for an SA in transport mode
void model_own(const struct model_sa *sa, uint8_t *buf, size_t total, uint32_t *rng);
// Which of the two this SA takes.
void model_taken(const struct model_sa *sa, uint8_t *buf, size_t total, uint32_t *rng);
void model_ip_checksum(uint8_t *ip);
// the outer packet's bytes for `total` bytes
size_t model_outer(const struct model_sa *sa, size_t total);
// what the pipeline must do with `size` bytes under SA `sa` when the descriptor says generation `gen`
void model_encap(struct model_sa *sa, uint16_t gen, const uint8_t *buf, size_t size, struct model_out *out);

void model_blob(const struct model_sa *sa, uint8_t dir, uint8_t blob[512]);
int model_add(struct pipe *p, struct model_sa *sa); // returns the status and marks the SA valid if it is OK
int model_op(struct pipe *p, uint8_t op, uint8_t dir, uint32_t slot, uint16_t gen, uint64_t limit,
             struct model_result *result);
#endif
