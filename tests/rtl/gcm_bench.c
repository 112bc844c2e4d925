// SPDX-License-Identifier: Apache-2.0
// See gcm_bench.h. What must come out is OpenSSL's (SP 800-38D).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "tests/rtl/gcm_bench.h"

static uint64_t rng_state;

uint32_t gcm_rng(void)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng_state >> 33);
}

void gcm_rng_fill(uint8_t *p, size_t n)
{
    while (n-- > 0)
        *p++ = (uint8_t)gcm_rng();
}

// ---- expected values from OpenSSL
// ----------------------------------------------------------------------------------

void gcm_openssl_seal(struct gcm_bench *b, struct gcm_packet *p)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n;
    assert_non_null(c);
    assert_int_equal(EVP_EncryptInit_ex(c, b->key_256[p->sa] ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), NULL,
                                        b->key[p->sa], p->nonce),
                     1);
    if (p->aad_len)
        assert_int_equal(EVP_EncryptUpdate(c, NULL, &n, p->aad, (int)p->aad_len), 1);
    if (p->len)
        assert_int_equal(EVP_EncryptUpdate(c, p->cipher, &n, p->plain, (int)p->len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, p->cipher + p->len, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, p->tag), 1);
    EVP_CIPHER_CTX_free(c);
}

void gcm_random_packet(struct gcm_bench *b, struct gcm_packet *p, uint32_t sa, uint32_t len)
{
    memset(p, 0, sizeof(*p));
    p->sa = sa;
    p->len = len;
    p->aad_len = gcm_rng() % 17;
    gcm_rng_fill(p->nonce, sizeof(p->nonce));
    gcm_rng_fill(p->aad, p->aad_len);
    gcm_rng_fill(p->plain, p->len);
    gcm_openssl_seal(b, p);
}

// ---- driving and checking
// ------------------------------------------------------------------------------------------

static void check_beat(struct gcm_bench *b, int side)
{
    uint8_t want[64] = {0};
    size_t width = 16u * (size_t)b->lanes, i = b->expect_packet[side], at = b->expect_offset[side];
    const struct gcm_packet *p = &b->packets[i];
    size_t n = p->len - at < width ? p->len - at : width;
    const char *name = side ? "decrypt" : "encrypt";
    bool last = at + n == p->len;

    memcpy(want, (side ? p->plain : p->cipher) + at, n);
    if (b->pins.out[side].bytes != n || b->pins.out[side].eop != last || b->pins.out[side].sop != (at == 0))
        fail_msg(
            "%s packet %zu (length %u) offset %zu: got %u bytes sop %d eop %d, expected %zu sop %d eop %d",
            name, i, p->len, at, b->pins.out[side].bytes, b->pins.out[side].sop, b->pins.out[side].eop, n,
            at == 0, last);
    assert_int_equal(b->pins.out[side].meta, (uint32_t)i);
    if (memcmp(b->pins.out[side].data, want, width) != 0)
        fail_msg("%s packet %zu (sa %u, length %u): wrong bytes at offset %zu", name, i, p->sa, p->len, at);
    assert_int_equal(b->cycle - b->beat_cycle[b->beats_out[side] % 64], OUT_LATENCY);
    b->beats_out[side]++;
    b->expect_offset[side] = last ? 0 : at + n;
    b->expect_packet[side] += last;
}

static void check_tag(struct gcm_bench *b, int side)
{
    size_t i = b->expect_tag[side]++;

    if (memcmp(b->pins.out[side].tag, b->packets[i].tag, 16) != 0)
        fail_msg("%s packet %zu (sa %u, length %u, aad %u): wrong tag", side ? "decrypt" : "encrypt", i,
                 b->packets[i].sa, b->packets[i].len, b->packets[i].aad_len);
    assert_int_equal(b->pins.out[side].tag_meta, (uint32_t)i);
    assert_int_equal(b->cycle - b->tag_cycle[b->tags_out[side] % 64], OUT_LATENCY + TAG_AFTER_EOP);
    b->tags_out[side]++;
}

void gcm_cycle(struct gcm_bench *b)
{
    gcm_step(b->dut, &b->pins);
    if (b->pins.in_valid) {
        b->beat_cycle[b->beats_in++ % 64] = b->cycle;
        if (b->pins.in_eop)
            b->tag_cycle[b->eops_in++ % 64] = b->cycle;
    }
    for (int side = 0; side < 2; side++) {
        if (b->pins.out[side].valid)
            check_beat(b, side);
        if (b->pins.out[side].tag_valid)
            check_tag(b, side);
    }
    b->cycle++;
}

void gcm_idle(struct gcm_bench *b, int cycles)
{
    b->pins.in_valid = false;
    while (cycles-- > 0)
        gcm_cycle(b);
}

void gcm_bench_open(struct gcm_bench *b, int lanes, uint64_t seed)
{
    memset(b, 0, sizeof(*b));
    rng_state = seed;
    b->lanes = lanes;
    b->dut = gcm_new(lanes);
    assert_non_null(b->dut);
    b->pins.rst = true;
    gcm_idle(b, 4);
    b->pins.rst = false;
    b->pins.zeroize = true;
    gcm_idle(b, 1);
    b->pins.zeroize = false;
    while (!b->pins.zeroize_done)
        gcm_idle(b, 1);
    b->cycle = 0;
}

void gcm_expect(struct gcm_bench *b, const struct gcm_packet *packets)
{
    b->packets = packets;
    for (int side = 0; side < 2; side++) {
        b->expect_packet[side] = b->expect_offset[side] = b->expect_tag[side] = 0;
        b->beats_out[side] = b->tags_out[side] = 0;
    }
    b->beats_in = b->eops_in = 0;
}

void gcm_put_beat(struct gcm_bench *b, const struct gcm_packet *p, uint32_t meta, size_t at)
{
    size_t width = 16u * (size_t)b->lanes, n = p->len - at < width ? p->len - at : width;
    struct gcm_pins *io = &b->pins;

    io->in_valid = true;
    io->in_sop = at == 0;
    io->in_eop = at + n == p->len;
    io->in_sa = p->sa;
    io->in_meta = meta;
    io->in_aad_len = p->aad_len;
    io->in_bytes = (uint32_t)n;
    memcpy(io->in_nonce, p->nonce, 12);
    memcpy(io->in_aad, p->aad, 16);
    // what lies beyond in_bytes must not matter
    memset(io->in_plain, 0xa5, width);
    memset(io->in_cipher, 0x5a, width);
    memcpy(io->in_plain, p->plain + at, n);
    memcpy(io->in_cipher, p->cipher + at, n);
}

// Does this beat end its packet and leave no lane for E(K,J0)? Then the next cycle is the core's own.
bool gcm_wants_cycle(const struct gcm_bench *b)
{
    return b->pins.in_valid && b->pins.in_eop && b->pins.in_bytes > 16u * (uint32_t)(b->lanes - 1);
}

void gcm_send_packet(struct gcm_bench *b, const struct gcm_packet *p, uint32_t meta, unsigned gap_percent)
{
    size_t width = 16u * (size_t)b->lanes, at = 0;
    do {
        if (gcm_rng() % 100 < gap_percent)
            gcm_idle(b, 1 + (int)(gcm_rng() % 3));
        gcm_put_beat(b, p, meta, at);
        gcm_cycle(b);
        at += width;
    } while (at < p->len);
    if (gcm_wants_cycle(b))
        gcm_idle(b, 1);
    b->pins.in_valid = false;
}

// every packet and tag must have come out
void gcm_drain(struct gcm_bench *b, size_t packets)
{
    gcm_idle(b, OUT_LATENCY + TAG_AFTER_EOP + 2);
    for (int side = 0; side < 2; side++) {
        assert_int_equal(b->expect_packet[side], packets);
        assert_int_equal(b->tags_out[side], packets);
        assert_int_equal(b->beats_out[side], b->beats_in);
    }
}

void gcm_put_key(struct gcm_bench *b, uint32_t sa)
{
    b->pins.key_valid = true;
    b->pins.key_sa = sa;
    b->pins.key_256 = b->key_256[sa];
    memcpy(b->pins.key, b->key[sa], 32);
}

void gcm_drop_key(struct gcm_bench *b)
{
    b->pins.key_valid = false;
    memset(b->pins.key, 0, 32);
}

// cycles from acceptance to key_done
unsigned gcm_add_key(struct gcm_bench *b, uint32_t sa)
{
    unsigned cycles = 0;
    gcm_put_key(b, sa);
    do
        gcm_idle(b, 1);
    while (!b->pins.key_ready);
    gcm_drop_key(b);
    do {
        gcm_idle(b, 1);
        cycles++;
    } while (!b->pins.key_done);
    return cycles;
}

void gcm_random_key_of(struct gcm_bench *b, uint32_t sa, bool is256)
{
    memset(b->key[sa], 0, 32);
    b->key_256[sa] = is256;
    gcm_rng_fill(b->key[sa], is256 ? 32 : 16);
}

void gcm_random_key(struct gcm_bench *b, uint32_t sa)
{
    gcm_random_key_of(b, sa, gcm_rng() & 1);
}

unsigned gcm_all_keys(struct gcm_bench *b)
{
    unsigned worst = 0;
    for (uint32_t sa = 0; sa < SLOTS; sa++) {
        unsigned n;
        gcm_random_key(b, sa);
        n = gcm_add_key(b, sa);
        worst = n > worst ? n : worst;
    }
    return worst;
}
