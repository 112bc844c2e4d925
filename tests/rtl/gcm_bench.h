// SPDX-License-Identifier: Apache-2.0
// Bench for the AES-GCM core: drives both directions at once, compares every beat and tag with OpenSSL's, and
// checks that each comes in the cycle in which it must.
#ifndef TESTS_RTL_GCM_BENCH_H
#define TESTS_RTL_GCM_BENCH_H
#include "tests/rtl/gcm_shim.h"

enum { SLOTS = 256, OUT_LATENCY = 17, TAG_AFTER_EOP = 5, KEY_ADD_MAX = 150, MAX_BYTES = 512 };

struct gcm_packet {
    uint32_t sa, aad_len, len;
    uint8_t nonce[12], aad[16], plain[MAX_BYTES], cipher[MAX_BYTES], tag[16];
};

struct gcm_bench {
    struct gcm_dut *dut;
    struct gcm_pins pins;
    int lanes;
    uint64_t cycle;
    uint8_t key[SLOTS][32];
    bool key_256[SLOTS];

    // what has gone in and is still to come out: one entry a beat, one a tag
    const struct gcm_packet *packets;
    size_t expect_packet[2], expect_offset[2], expect_tag[2];
    uint64_t beats_in, beats_out[2], tags_out[2];
    uint64_t beat_cycle[64], tag_cycle[64];
    uint64_t eops_in;
};

uint32_t gcm_rng(void);
void gcm_rng_fill(uint8_t *p, size_t n);
void gcm_openssl_seal(struct gcm_bench *b, struct gcm_packet *p);
void gcm_random_packet(struct gcm_bench *b, struct gcm_packet *p, uint32_t sa, uint32_t len);
void gcm_cycle(struct gcm_bench *b);
void gcm_idle(struct gcm_bench *b, int cycles);
void gcm_bench_open(struct gcm_bench *b, int lanes, uint64_t seed);
void gcm_expect(struct gcm_bench *b, const struct gcm_packet *packets);
void gcm_put_beat(struct gcm_bench *b, const struct gcm_packet *p, uint32_t meta, size_t at);
bool gcm_wants_cycle(const struct gcm_bench *b);
void gcm_send_packet(struct gcm_bench *b, const struct gcm_packet *p, uint32_t meta, unsigned gap_percent);
void gcm_drain(struct gcm_bench *b, size_t packets);
void gcm_put_key(struct gcm_bench *b, uint32_t sa);
void gcm_drop_key(struct gcm_bench *b);
unsigned gcm_add_key(struct gcm_bench *b, uint32_t sa);
void gcm_random_key_of(struct gcm_bench *b, uint32_t sa, bool is256);
void gcm_random_key(struct gcm_bench *b, uint32_t sa);
unsigned gcm_all_keys(struct gcm_bench *b);
#endif
