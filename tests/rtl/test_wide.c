// SPDX-License-Identifier: Apache-2.0
// Numbers of all sizes through both pipelines, at LANES 1, 2 and 4: SAs with random SPIs, keys, addresses,
// ports, flags, limits and 64-bit sequence numbers. What one pipeline makes the other has to take: the inner
// packet comes back, under the number that was asked for, and a second time it does not. Then the SA moves
// (ENDPOINT), and what each says of itself (QUERY) is what was done. The seed is printed; the first argument
// sets it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/pipe_model.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { ROUNDS = 60, BUFFER = 65536, IP = 20, TUNNEL = 20 + 8 + 8 + 16, LONGEST = 9216, EPOCHS = 300 };

static const struct pipe_ops *const WIDTHS[] = {&pipe_ops_l1, &pipe_ops_l2, &pipe_ops_l4};

static struct pipe_model *model;
static const struct pipe_ops *ops;
static uint8_t inner[BUFFER], outer[BUFFER], opened[BUFFER], unread[BUFFER];
static uint64_t seed = 0x3d1e5;

static uint64_t rnd(void)
{
    uint64_t high;

    seed = seed * 6364136223846793005u + 1442695040888963407u;
    high = seed & 0xffffffff00000000u;
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return high | seed >> 32;
}

static void fill(void *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)p)[i] = (uint8_t)rnd();
}

static uint16_t command(enum espc_sa_op op, bool inbound, uint32_t slot, uint16_t generation,
                        const struct espc_sa_blob *blob, struct espc_sa_result *result)
{
    struct espc_sa_command c = {
        .op = (uint8_t)op, .dir = inbound, .generation = generation, .sa_index = slot, .cookie = rnd()};
    uint16_t status = 0;

    assert_int_equal(ops->sa_command(model, &c, blob, result, &status), 0);
    return status;
}

static uint16_t add(bool inbound, uint32_t slot, uint16_t generation, const struct espc_sa_blob *blob)
{
    struct espc_sa_result result;

    return command(ESPC_SA_OP_ADD, inbound, slot, generation, blob, &result);
}

// An SA of both ends: everything random but what has to fit.
static struct espc_sa_blob random_sa(uint64_t number)
{
    struct espc_sa_blob b = {
        .mode = ESPC_SA_MODE_TUNNEL, .outer = ESPC_FAMILY_IPV4, .inner = ESPC_FAMILY_IPV4};

    b.spi = (uint32_t)rnd() | 0x100;
    b.alg = rnd() & 1 ? ESPC_SA_ALG_AES256_GCM16 : ESPC_SA_ALG_AES128_GCM16;
    b.flags = ESPC_SA_BLOB_FLAGS_ESN_MASK | (rnd() & 1 ? ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK : 0);
    fill(b.key, b.alg == ESPC_SA_ALG_AES256_GCM16 ? 32 : 16);
    fill(b.salt, 4);
    fill(b.src, 4);
    fill(b.dst, 4);
    if (b.flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK) {
        b.sport = (uint16_t)(rnd() | 1);
        b.dport = (uint16_t)(rnd() | 1);
    }
    b.seq = number;
    b.soft_bytes = rnd() | 1ull << 40;
    b.hard_bytes = rnd() | 1ull << 40;
    b.soft_packets = rnd() | 1ull << 40;
    b.hard_packets = rnd() | 1ull << 40;
    return b;
}

static struct espc_sa_blob outbound(const struct espc_sa_blob *sa)
{
    struct espc_sa_blob b = *sa;

    b.flags |= rnd() & (ESPC_SA_BLOB_FLAGS_DF_CLEAR_MASK | ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_MASK);
    b.ttl = (uint8_t)(rnd() | 1);
    b.seq_limit = sa->seq + 1 + rnd() % (~sa->seq);
    b.deadline = rnd() | 1ull << 63;
    b.id_offset = (uint16_t)rnd();
    return b;
}

static struct espc_sa_blob inbound(const struct espc_sa_blob *sa)
{
    struct espc_sa_blob b = *sa;

    b.window = 1 + rnd() % 1024;
    b.seq = sa->seq - 1;
    fill(b.seen, sizeof(b.seen));
    b.seen[0] |= 1;
    return b;
}

static void random_inner(unsigned len)
{
    uint32_t sum = 0;

    fill(inner, len);
    inner[0] = 0x45;
    inner[1] &= 0xfc; // no ECN: what the outer header has of it is 0, so both ends agree
    inner[2] = (uint8_t)(len >> 8);
    inner[3] = (uint8_t)len;
    inner[6] &= 0x40; // a whole packet
    inner[7] = 0;
    inner[10] = inner[11] = 0;
    for (unsigned i = 0; i < IP; i += 2)
        sum += (uint32_t)inner[i] << 8 | inner[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~(sum + (sum >> 16));
    inner[10] = (uint8_t)(sum >> 8);
    inner[11] = (uint8_t)sum;
}

// One packet through one pipeline.
static struct pipe_result through(bool decap, const uint8_t *data, uint32_t len, uint32_t slot,
                                  uint16_t generation, uint8_t *out)
{
    struct pipe_packet p = {
        .tag = (uint16_t)rnd(), .data = data, .len = len, .sa = slot, .generation = generation, .out = out};
    struct pipe_result r;

    ops->push(model, decap, &p);
    assert_int_equal(ops->pull(model, &r), 1);
    assert_int_equal(r.tag, p.tag);
    assert_true(r.decap == decap);
    return r;
}

static void there_and_back(uint32_t slot, uint16_t generation, uint64_t number, unsigned len)
{
    struct pipe_result r;

    random_inner(len);
    r = through(false, inner, len, slot, generation, outer);
    assert_int_equal(r.status, ESPC_STATUS_OK);
    assert_true(r.seq == number && r.sa == slot && r.generation == generation);
    assert_true(r.len >= len + TUNNEL);
    r = through(true, outer, r.len, 0, 0, opened);
    assert_int_equal(r.status, ESPC_STATUS_OK);
    assert_true(r.seq == number && r.sa == slot && r.generation == generation && r.len == len);
    assert_memory_equal(opened, inner, len);
}

static void expect_state(bool decap, uint32_t slot, uint16_t generation, uint64_t number, uint64_t packets,
                         uint64_t bytes, uint64_t drops)
{
    struct espc_sa_result result;

    assert_int_equal(command(ESPC_SA_OP_QUERY, decap, slot, generation, NULL, &result), ESPC_STATUS_OK);
    assert_true(result.last_seq == number);
    assert_true(result.packets == packets);
    assert_true(result.bytes == bytes);
    assert_true(result.drops == drops);
}

static void move(const struct espc_sa_blob *sa, uint32_t slot, uint16_t generation)
{
    struct espc_sa_blob b = {.outer = ESPC_FAMILY_IPV4,
                             .flags = sa->flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK};
    struct espc_sa_result result;

    fill(b.src, 4);
    fill(b.dst, 4);
    if (b.flags) {
        b.sport = (uint16_t)(rnd() | 1);
        b.dport = (uint16_t)(rnd() | 1);
    }
    for (unsigned decap = 0; decap < 2; decap++)
        assert_int_equal(command(ESPC_SA_OP_ENDPOINT, decap, slot, generation, &b, &result), ESPC_STATUS_OK);
}

static void one_sa(void)
{
    const uint64_t number = (rnd() >> (rnd() % 3 * 20)) % 0xfffffff000000000u + 2;
    const uint32_t slot = (uint32_t)(rnd() % PIPE_SLOTS);
    const uint16_t generation = (uint16_t)rnd();
    const unsigned len = IP + (unsigned)(rnd() % 2 ? rnd() % 200 : rnd() % (LONGEST - TUNNEL - IP - 64));
    struct espc_sa_blob sa = random_sa(number), out = outbound(&sa), in = inbound(&sa);
    struct espc_sa_result result;
    uint32_t drops = 0;

    assert_int_equal(add(false, slot, generation, &out), ESPC_STATUS_OK);
    assert_int_equal(add(true, slot, generation, &in), ESPC_STATUS_OK);
    there_and_back(slot, generation, number, len);
    expect_state(false, slot, generation, number, 1, len, 0);
    expect_state(true, slot, generation, number, 1, len, 0);
    // the same again is a repetition
    drops++;
    assert_int_equal(through(true, outer, (uint32_t)(outer[2] << 8 | outer[3]), 0, 0, unread).status,
                     ESPC_STATUS_REPLAY_SEEN);
    expect_state(true, slot, generation, number, 1, len, drops);
    if (out.seq_limit > number + 1) {
        move(&sa, slot, generation);
        there_and_back(slot, generation, number + 1, len);
        expect_state(true, slot, generation, number + 1, 2, 2ull * len, drops);
    }
    for (unsigned decap = 0; decap < 2; decap++)
        assert_int_equal(command(ESPC_SA_OP_DELETE, decap, slot, generation, NULL, &result), ESPC_STATUS_OK);
}

static void test_random_sas_with_numbers_of_all_sizes_go_there_and_back(void **state)
{
    (void)state;
    for (unsigned w = 0; w < COUNT(WIDTHS); w++) {
        ops = WIDTHS[w];
        model = ops->create(NULL, 0, 0);
        assert_non_null(model);
        for (unsigned i = 0; i < ROUNDS; i++)
            one_sa();
        ops->destroy(model);
    }
}

// More wipes than an epoch has numbers: what was there before never comes back.
static void test_epochs_begin_again_and_nothing_comes_back(void **state)
{
    struct espc_sa_result result;

    (void)state;
    ops = &pipe_ops_l1;
    model = ops->create(NULL, 0, 0);
    assert_non_null(model);
    for (unsigned i = 0; i < EPOCHS; i++) {
        struct espc_sa_blob sa = random_sa(1 + i), out = outbound(&sa), in = inbound(&sa);
        in.seq = 0;
        memset(in.seen, 0, sizeof(in.seen));
        assert_int_equal(add(false, 1, 1, &out), ESPC_STATUS_OK);
        assert_int_equal(add(true, 1, 1, &in), ESPC_STATUS_OK);
        there_and_back(1, 1, 1 + i, 40);
        assert_int_equal(command(ESPC_SA_OP_ZEROIZE_ALL, false, 0, 0, NULL, &result), ESPC_STATUS_OK);
        assert_int_equal(through(false, inner, 40, 1, 1, unread).status, ESPC_STATUS_SA_INVALID);
        assert_int_equal(through(true, outer, (uint32_t)(outer[2] << 8 | outer[3]), 0, 0, unread).status,
                         ESPC_STATUS_NO_SA);
    }
    ops->destroy(model);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sas_with_numbers_of_all_sizes_go_there_and_back),
        cmocka_unit_test(test_epochs_begin_again_and_nothing_comes_back),
    };

    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    print_message("seed 0x%llx\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
