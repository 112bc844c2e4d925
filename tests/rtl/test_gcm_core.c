// SPDX-License-Identifier: Apache-2.0
// The AES-GCM core against OpenSSL: many keys interleaved without a gap and with gaps, key add in the
// background, clearing of a slot and zeroise. SP 800-38D, FIPS 197.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/aes.h>
#include <openssl/evp.h>

#include "tests/rtl/gcm_bench.h"

// ---- random packets
// ------------------------------------------------------------------------------------------------

static void run_random(int lanes, unsigned gap_percent, uint64_t seed)
{
    enum { N = 1000 };
    struct gcm_packet *packets = calloc(N, sizeof(*packets));
    struct gcm_bench *b = calloc(1, sizeof(*b));
    uint64_t beats = 0, start;

    gcm_bench_open(b, lanes, seed);
    assert_true(gcm_all_keys(b) <= KEY_ADD_MAX);
    for (size_t i = 0; i < N; i++) {
        // every length 0..300 once, then at random
        gcm_random_packet(b, &packets[i], gcm_rng() % SLOTS, i <= 300 ? (uint32_t)i : gcm_rng() % 301);
        beats +=
            ((packets[i].len + 15) / 16 + (uint32_t)lanes) / (uint32_t)lanes; // E(K,J0) is a block as well
    }
    gcm_expect(b, packets);
    start = b->cycle;
    for (size_t i = 0; i < N; i++)
        gcm_send_packet(b, &packets[i], (uint32_t)i, gap_percent);
    if (gap_percent == 0)
        assert_int_equal(b->cycle - start, beats);
    gcm_drain(b, N);
    gcm_free(b->dut);
    free(b);
    free(packets);
}

static void test_random_lanes1_back_to_back_equals_openssl(void **state)
{
    (void)state;
    run_random(1, 0, 1);
}

static void test_random_lanes1_with_gaps_equals_openssl(void **state)
{
    (void)state;
    run_random(1, 30, 2);
}

static void test_random_lanes2_back_to_back_equals_openssl(void **state)
{
    (void)state;
    run_random(2, 0, 3);
}

static void test_random_lanes4_back_to_back_equals_openssl(void **state)
{
    (void)state;
    run_random(4, 0, 4);
}

static void test_random_lanes4_with_gaps_equals_openssl(void **state)
{
    (void)state;
    run_random(4, 30, 5);
}

// ---- keys while packets flow
// ---------------------------------------------------------------------------------------

static void run_key_under_load(int lanes)
{
    enum { N = 2000, LIVE = 8 };
    struct gcm_packet *packets = calloc(N, sizeof(*packets));
    struct gcm_bench *b = calloc(1, sizeof(*b));
    size_t sent = 0, at = 0, width = 16u * (size_t)lanes;
    uint32_t next_slot = LIVE;
    uint64_t accepted = 0;
    bool busy = false, own = false;

    gcm_bench_open(b, lanes, 6);
    gcm_all_keys(b);
    for (size_t i = 0; i < N; i++)
        gcm_random_packet(b, &packets[i], gcm_rng() % LIVE, gcm_rng() % 200);
    gcm_expect(b, packets);
    while (sent < N) {
        b->pins.in_valid = false;
        if (!own) {
            gcm_put_beat(b, &packets[sent], (uint32_t)sent, at);
            at += width;
            if (at >= packets[sent].len) {
                sent++;
                at = 0;
            }
        }
        if (!busy && next_slot < SLOTS) {
            gcm_random_key(b, next_slot);
            gcm_put_key(b, next_slot);
        }
        gcm_cycle(b);
        if (b->pins.key_done) {
            assert_true(b->cycle - 1 - accepted <= KEY_ADD_MAX);
            busy = false;
            next_slot++;
        }
        if (b->pins.key_valid && b->pins.key_ready) {
            busy = true;
            accepted = b->cycle - 1;
            gcm_drop_key(b);
        }
        own = !own && gcm_wants_cycle(b);
    }
    gcm_drop_key(b);
    gcm_drain(b, N);
    assert_true(next_slot > LIVE + 20);
    // the keys that went in meanwhile work
    gcm_idle(b, KEY_ADD_MAX);
    for (size_t i = 0; i < 200; i++)
        gcm_random_packet(b, &packets[i], LIVE + gcm_rng() % (next_slot - LIVE), gcm_rng() % 100);
    gcm_expect(b, packets);
    for (size_t i = 0; i < 200; i++)
        gcm_send_packet(b, &packets[i], (uint32_t)i, 0);
    gcm_drain(b, 200);
    gcm_free(b->dut);
    free(b);
    free(packets);
}

static void test_key_add_under_load_delays_no_beat(void **state)
{
    (void)state;
    run_key_under_load(1);
    run_key_under_load(4);
}

// ---- nothing of a key stays
// ----------------------------------------------------------------------------------------

static size_t count_bytes(const struct gcm_dut *dut, const uint8_t *needle)
{
    size_t size, found = 0;
    const uint8_t *memory = gcm_memory(dut, &size);
    uint8_t mirrored[16];
    for (int i = 0; i < 16; i++)
        mirrored[i] = needle[15 - i];
    for (size_t i = 0; i + 16 <= size; i++)
        found += memcmp(memory + i, needle, 16) == 0 || memcmp(memory + i, mirrored, 16) == 0;
    return found;
}

// OpenSSL keeps the schedule as words, big-endian or not by code path: the first tells.
static void expand(const uint8_t *key, bool is_256, uint8_t expanded[240])
{
    AES_KEY schedule;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    AES_set_encrypt_key(key, is_256 ? 256 : 128, &schedule);
#pragma GCC diagnostic pop
    memcpy(expanded, schedule.rd_key, 240);
    if (memcmp(expanded, key, 4) != 0)
        for (int i = 0; i < 240; i += 4) {
            uint8_t t[4] = {expanded[i + 3], expanded[i + 2], expanded[i + 1], expanded[i]};
            memcpy(expanded + i, t, 4);
        }
}

// SubWord of FIPS 197, section 5.2, by OpenSSL: the first word that it makes of a key of which only the last
// one is not zero, whose octets it rotates, less the first round constant
static void sub_word(const uint8_t in[4], uint8_t out[4])
{
    uint8_t key[16] = {0}, expanded[240];
    for (int i = 0; i < 4; i++)
        key[12 + (i + 1) % 4] = in[i];
    expand(key, false, expanded);
    memcpy(out, expanded + 16, 4);
    out[0] ^= 1;
}

enum { ROUND_KEYS_MAX = 17 };

// The round keys, and two that the schedule would go on with: the key can be computed from these as well, and
// the unit that makes the schedule is ahead of what it writes.
static void round_keys(const uint8_t *key, bool is_256, uint8_t made[16 * ROUND_KEYS_MAX])
{
    uint8_t expanded[240];
    int nk = is_256 ? 8 : 4, have = is_256 ? 60 : 44;
    expand(key, is_256, expanded);
    memcpy(made, expanded, (size_t)have * 4);
    for (int i = have; i < have + 8; i++) {
        // of the 11th and 12th multiple of 4 words, and the 8th of 8
        static const uint8_t constant[2][2] = {{0x6c, 0xd8}, {0x80, 0}};
        const uint8_t *last = made + 4 * (i - 1);
        uint8_t rotated[4] = {last[1], last[2], last[3], last[0]}, t[4];
        if (i % nk == 0) {
            sub_word(rotated, t);
            t[0] ^= constant[is_256][is_256 ? 0 : (i - have) / 4];
        } else if (i % nk == 4) {
            sub_word(last, t);
        } else {
            memcpy(t, last, 4);
        }
        for (int n = 0; n < 4; n++)
            made[4 * i + n] = made[4 * (i - nk) + n] ^ t[n];
    }
}

// how many of the round keys of this slot and its H stand in the model; `ahead`: those that no slot keeps
static size_t count_secrets(const struct gcm_bench *b, uint32_t sa, size_t *ahead)
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t zero[16] = {0}, h[16], made[16 * ROUND_KEYS_MAX];
    int n, rounds = b->key_256[sa] ? 14 : 10;
    size_t found = 0;

    EVP_EncryptInit_ex(c, b->key_256[sa] ? EVP_aes_256_ecb() : EVP_aes_128_ecb(), NULL, b->key[sa], NULL);
    EVP_EncryptUpdate(c, h, &n, zero, 16);
    EVP_CIPHER_CTX_free(c);
    round_keys(b->key[sa], b->key_256[sa], made);
    for (int r = 0; r <= rounds; r++)
        found += count_bytes(b->dut, made + 16 * r) > 0;
    *ahead = 0;
    for (int r = rounds + 1; r <= rounds + 2; r++)
        *ahead += count_bytes(b->dut, made + 16 * r) > 0;
    return found + (count_bytes(b->dut, h) > 0);
}

static void expect_secrets(const struct gcm_bench *b, uint32_t sa, size_t count)
{
    size_t ahead, found = count_secrets(b, sa, &ahead);
    assert_int_equal(found, count);
    assert_int_equal(ahead, 0);
}

// How many of these there are while a key is being added, when its schedule has been made and its powers of H
// have not.
static size_t add_and_see_ahead(struct gcm_bench *b, uint32_t sa)
{
    size_t ahead;
    gcm_put_key(b, sa);
    do
        gcm_idle(b, 1);
    while (!b->pins.key_ready);
    gcm_drop_key(b);
    gcm_idle(b, 20);
    assert_false(b->pins.key_done);
    count_secrets(b, sa, &ahead);
    while (!b->pins.key_done)
        gcm_idle(b, 1);
    gcm_idle(b, 2);
    return ahead;
}

static void clear_slot(struct gcm_bench *b, uint32_t sa)
{
    b->pins.clr_valid = true;
    b->pins.clr_sa = sa;
    do
        gcm_idle(b, 1);
    while (!b->pins.clr_ready);
    b->pins.clr_valid = false;
    while (!b->pins.clr_done)
        gcm_idle(b, 1);
    gcm_idle(b, 2);
}

static void traffic(struct gcm_bench *b, uint32_t slots)
{
    struct gcm_packet packets[40];
    for (size_t i = 0; i < 40; i++)
        gcm_random_packet(b, &packets[i], gcm_rng() % slots, gcm_rng() % 200);
    gcm_expect(b, packets);
    for (size_t i = 0; i < 40; i++)
        gcm_send_packet(b, &packets[i], (uint32_t)i, 0);
    gcm_drain(b, 40);
}

static void run_clear(int lanes)
{
    struct gcm_bench *b = calloc(1, sizeof(*b));
    gcm_bench_open(b, lanes, 7);
    for (uint32_t sa = 0; sa < 3; sa++) {
        gcm_random_key_of(b, sa, sa != 1);
        assert_int_not_equal(add_and_see_ahead(b, sa), 0);
        expect_secrets(b, sa, b->key_256[sa] ? 16 : 12);
    }
    traffic(b, 3);
    clear_slot(b, 2);
    expect_secrets(b, 2, 0);
    expect_secrets(b, 0, 16);
    traffic(b, 2);
    clear_slot(b, 0);
    clear_slot(b, 1);
    for (uint32_t sa = 0; sa < 2; sa++)
        expect_secrets(b, sa, 0);
    gcm_free(b->dut);
    free(b);
}

static void test_clear_slot_leaves_no_key(void **state)
{
    (void)state;
    run_clear(1);
    run_clear(4);
}

static void run_zeroize(int lanes)
{
    struct gcm_bench *b = calloc(1, sizeof(*b));
    struct gcm_packet packets[10];
    unsigned cycles = 0;

    gcm_bench_open(b, lanes, 8);
    gcm_all_keys(b);
    traffic(b, SLOTS);
    for (size_t i = 0; i < 10; i++)
        gcm_random_packet(b, &packets[i], (uint32_t)i, 40);
    gcm_expect(b, packets);
    for (size_t i = 0; i < 10; i++)
        gcm_send_packet(b, &packets[i], (uint32_t)i, 0);
    // in the middle of everything, a key add included: nothing more may come out
    gcm_put_key(b, 5);
    gcm_idle(b, 8);
    gcm_drop_key(b);
    b->pins.zeroize = true;
    gcm_idle(b, 1);
    b->pins.zeroize = false;
    memset(b->pins.in_plain, 0, sizeof(b->pins.in_plain));
    while (!b->pins.zeroize_done) {
        gcm_step(b->dut, &b->pins);
        for (int side = 0; side < 2; side++)
            assert_false(b->pins.out[side].valid || b->pins.out[side].tag_valid);
        cycles++;
    }
    assert_true(cycles <= SLOTS + 8);
    for (uint32_t sa = 0; sa < SLOTS; sa += 17)
        expect_secrets(b, sa, 0);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(count_bytes(b->dut, packets[i].plain + 16), 0);
    // and it works again
    gcm_expect(b, NULL);
    for (uint32_t sa = 0; sa < 4; sa++) {
        gcm_random_key(b, sa);
        gcm_add_key(b, sa);
    }
    traffic(b, 4);
    gcm_free(b->dut);
    free(b);
}

static void test_zeroize_under_load_leaves_nothing(void **state)
{
    (void)state;
    run_zeroize(1);
    run_zeroize(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_lanes1_back_to_back_equals_openssl),
        cmocka_unit_test(test_random_lanes1_with_gaps_equals_openssl),
        cmocka_unit_test(test_random_lanes2_back_to_back_equals_openssl),
        cmocka_unit_test(test_random_lanes4_back_to_back_equals_openssl),
        cmocka_unit_test(test_random_lanes4_with_gaps_equals_openssl),
        cmocka_unit_test(test_key_add_under_load_delays_no_beat),
        cmocka_unit_test(test_clear_slot_leaves_no_key),
        cmocka_unit_test(test_zeroize_under_load_leaves_nothing),
    };
    return cmocka_run_group_tests_name("gcm_core", tests, NULL, NULL);
}
