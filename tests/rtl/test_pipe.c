// SPDX-License-Identifier: Apache-2.0
// Both ESP pipelines and the SA manager together at the ports of esp_pipe: what one direction makes the other
// takes back, at once and at full rate, with commands in between; damage, repetition, deletion and zeroize
// end where they should. RFC 4303, RFC 3948. Arguments: none, or the seed of the random tests.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/rtl/pipe_model.h"

#define SLOTS 64u

static uint32_t seed = 20240301;
static struct pipe_out got;
static struct pipe_out outer[1000];

static int add_inbound(struct pipe *p, const struct model_sa *sa, uint32_t slot, uint16_t gen,
                       uint32_t window)
{
    uint8_t cmd[64] = {ESPC_SA_OP_ADD, 1, (uint8_t)gen, (uint8_t)(gen >> 8), (uint8_t)slot}, blob[512],
            result[64];

    model_blob(sa, 1, blob);
    memset(blob + 0x60, 0, 16);      // seq, seq_limit
    for (unsigned i = 0; i < 8; i++) // the peer's counter may start high
        blob[0x60 + i] = (uint8_t)((sa->seq - 1) >> 8 * i);
    memset(blob + 0x70, 0, 32);
    blob[0x34] = (uint8_t)window;
    blob[0x35] = (uint8_t)(window >> 8);
    blob[0x100] = 1;
    pipe_command(p, cmd, blob);
    return pipe_result(p, result);
}

// `n` SAs, outbound in slot i, inbound in slot n - 1 - i
static struct pipe *both_ways(unsigned lanes, struct model_sa *sas, unsigned n, uint32_t *rng)
{
    struct pipe *p = pipe_new(lanes);

    assert_non_null(p);
    for (uint32_t i = 0; i < n; i++) {
        int status;

        do { // an SPI whose bucket is full is not taken: another one then, as a daemon does
            model_sa_random(&sas[i], i, rng);
            sas[i].transport = i % 3 == 2;
            if (sas[i].transport)
                sas[i].flags &= ~(uint32_t)ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK;
        } while ((status = add_inbound(p, &sas[i], n - 1 - i, (uint16_t)(sas[i].gen + 1), 64)) ==
                 ESPC_STATUS_BUCKET_FULL);
        assert_int_equal(status, ESPC_STATUS_OK);
        assert_int_equal(model_add(p, &sas[i]), ESPC_STATUS_OK);
    }
    return p;
}

static void round_trip(unsigned lanes, unsigned packets, unsigned in_stall, unsigned out_stall, size_t max)
{
    static struct model_sa sas[SLOTS];
    static uint8_t inner[1000][1600];
    static size_t sizes[1000];
    static unsigned which[1000];
    uint32_t rng = seed;
    struct pipe *p = both_ways(lanes, sas, SLOTS, &rng);
    unsigned done = 0;

    assert_true(packets <= 1000);
    pipe_stalls(p, in_stall, out_stall, rng);
    for (unsigned n = 0; n < packets; n++) {
        which[n] = (n / 64 % 4 == 3 ? n / 64 : model_random(&rng)) % SLOTS;
        sizes[n] = 20 + model_random(&rng) % max;
        model_taken(&sas[which[n]], inner[n], sizes[n], &rng);
        pipe_push(p, PIPE_ENC, inner[n], sizes[n], (uint16_t)n, sas[which[n]].slot, sas[which[n]].gen);
    }
    // what comes out of one pipeline goes into the other while the first still works
    for (unsigned limit = packets * 600; done < packets && limit; limit--) {
        pipe_step(p, 1);
        if (pipe_pop(p, PIPE_ENC, &got)) {
            assert_int_equal(got.status, ESPC_STATUS_OK);
            pipe_push(p, PIPE_DEC, got.data, got.size, (uint16_t)(got.tag + 7), 0, 0);
        }
        if (!pipe_pop(p, PIPE_DEC, &got))
            continue;
        const struct model_sa *sa = &sas[which[done]];
        if (got.tag != (uint16_t)(done + 7) || got.status != ESPC_STATUS_OK || got.size != sizes[done] ||
            got.len != got.size || memcmp(got.data, inner[done], got.size) != 0)
            fail_msg("packet %u: tag %u status %u size %zu, expected tag %u status 0 size %zu and the same "
                     "bytes (seed %u)",
                     done, got.tag, got.status, got.size, done + 7, sizes[done], seed);
        assert_int_equal(got.sa, SLOTS - 1 - sa->slot);
        assert_int_equal(got.gen, (uint16_t)(sa->gen + 1));
        assert_false(got.src_changed);
        done++;
    }
    assert_int_equal(done, packets);
    assert_int_equal(pipe_done_pulses(p, PIPE_ENC), packets);
    assert_int_equal(pipe_done_pulses(p, PIPE_DEC), packets);
    pipe_step(p, 100);
    assert_false(pipe_busy(p));
    pipe_free(p);
}

static void test_round_trip_gives_the_inner_packets_back(void **state)
{
    (void)state;
    round_trip(1, 1000, 0, 0, 300);
    round_trip(1, 400, 20, 20, 1500);
    round_trip(4, 1000, 0, 0, 300);
    round_trip(4, 400, 20, 20, 1500);
}

static void expect_dec(struct pipe *p, const struct pipe_out *o, size_t size, uint16_t status)
{
    pipe_push(p, PIPE_DEC, o->data, size, 9, 0, 0);
    assert_true(pipe_run(p, PIPE_DEC, 1, 5000));
    assert_true(pipe_pop(p, PIPE_DEC, &got));
    assert_int_equal(got.status, status);
    if (status == ESPC_STATUS_OK)
        return;
    assert_int_equal(got.size, 0);
    assert_int_equal(got.len, 0);
    assert_int_equal(got.beats, 1);
}

static void make_outer(struct pipe *p, const struct model_sa *sa, unsigned n, uint32_t *rng)
{
    uint8_t buf[1600];

    for (unsigned i = 0; i < n; i++) {
        size_t size = 40 + model_random(rng) % 200;

        model_taken(sa, buf, size, rng);
        pipe_push(p, PIPE_ENC, buf, size, 1, sa->slot, sa->gen);
        assert_true(pipe_run(p, PIPE_ENC, 1, 5000));
        assert_true(pipe_pop(p, PIPE_ENC, &outer[i]));
        assert_int_equal(outer[i].status, ESPC_STATUS_OK);
    }
}

static void test_damage_and_repetition_are_dropped(void **state)
{
    (void)state;
    for (unsigned lanes = 1; lanes <= 4; lanes += 3) {
        struct model_sa sas[4];
        uint32_t rng = seed;
        struct pipe *p = both_ways(lanes, sas, 4, &rng);
        size_t header = sas[2].flags & ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK ? 28 : 20;

        make_outer(p, &sas[2], 3, &rng);
        for (size_t at = header + 8; at < outer[0].size; at += 5) {
            outer[0].data[at] ^= 0x20;
            expect_dec(p, &outer[0], outer[0].size, ESPC_STATUS_ICV_FAIL);
            outer[0].data[at] ^= 0x20;
        }
        expect_dec(p, &outer[2], outer[2].size, ESPC_STATUS_OK);
        expect_dec(p, &outer[2], outer[2].size, ESPC_STATUS_REPLAY_SEEN);
        expect_dec(p, &outer[0], outer[0].size, ESPC_STATUS_OK);
        expect_dec(p, &outer[1], outer[1].size - 1, ESPC_STATUS_TRUNCATED);
        outer[1].data[header] ^= 0x80;
        expect_dec(p, &outer[1], outer[1].size, ESPC_STATUS_NO_SA);
        outer[1].data[header] ^= 0x80;
        expect_dec(p, &outer[1], outer[1].size, ESPC_STATUS_OK);
        pipe_free(p);
    }
}

// whoever drives the port may be wrong about a length: such a packet is dropped, marks no window, and the
// next one's bytes stay its own
static void test_outer_packet_of_another_length_than_told_is_dropped(void **state)
{
    (void)state;
    for (unsigned lanes = 1; lanes <= 4; lanes += 3) {
        struct model_sa sas[4];
        uint32_t rng = seed;
        struct pipe *p = both_ways(lanes, sas, 4, &rng);
        uint8_t inner[3][400];

        for (unsigned i = 0; i < 3; i++) {
            model_inner(inner[i], 300 + 10 * i, &rng);
            pipe_push(p, PIPE_ENC, inner[i], 300 + 10 * i, 1, sas[1].slot, sas[1].gen);
            assert_true(pipe_run(p, PIPE_ENC, 1, 5000));
            assert_true(pipe_pop(p, PIPE_ENC, &outer[i]));
        }
        for (size_t given = 1; given < outer[0].size + 70; given++) {
            if (given == outer[0].size)
                continue;
            pipe_push_len(p, PIPE_DEC, outer[0].data, given, (uint16_t)outer[0].size, 5, 0, 0);
            pipe_push(p, PIPE_DEC, outer[1].data, outer[1].size, 6, 0, 0);
            assert_true(pipe_run(p, PIPE_DEC, 2, 20000));
            assert_true(pipe_pop(p, PIPE_DEC, &got));
            assert_int_equal(got.tag, 5);
            if (got.status != ESPC_STATUS_TRUNCATED || got.size != 0)
                fail_msg("LANES %u, %zu of %zu bytes: status %u, expected TRUNCATED", lanes, given,
                         outer[0].size, got.status);
            assert_true(pipe_pop(p, PIPE_DEC, &got));
            assert_int_equal(got.tag, 6);
            assert_int_equal(got.status, given == 1 ? ESPC_STATUS_OK : ESPC_STATUS_REPLAY_SEEN);
            if (given == 1)
                assert_memory_equal(got.data, inner[1], 310);
        }
        expect_dec(p, &outer[0], outer[0].size, ESPC_STATUS_OK);
        assert_memory_equal(got.data, inner[0], 300);
        expect_dec(p, &outer[2], outer[2].size, ESPC_STATUS_OK);
        assert_memory_equal(got.data, inner[2], 320);
        pipe_free(p);
    }
}

// a packet that stands at the output over any number of sweeps belongs to keys that are gone
static void test_packet_inside_is_aborted_after_any_number_of_zeroizes(void **state)
{
    struct model_sa sas[4];
    uint32_t rng = seed;
    struct pipe *p = both_ways(1, sas, 4, &rng);

    (void)state;
    make_outer(p, &sas[1], 1, &rng);
    for (unsigned times = 1; times <= 40; times += times == 3 ? 11 : 1) {
        pipe_stalls(p, 0, 100, seed);
        for (unsigned i = 0; i < 3; i++) // the output register and the one behind it fill first
            pipe_push(p, PIPE_DEC, outer[0].data, outer[0].size, (uint16_t)(i + 1), 0, 0);
        pipe_step(p, 400);
        for (unsigned i = 0; i < times; i++) {
            pipe_zeroize(p);
            for (unsigned limit = 0; limit < 5000 && !pipe_zeroized(p); limit++)
                pipe_step(p, 1);
            assert_true(pipe_zeroized(p));
            if (i + 1 < times) // something of this epoch, so that the next is another
                pipe_push(p, PIPE_DEC, outer[0].data, 40, 9, 0, 0), pipe_step(p, 50);
        }
        sas[1].seq = outer[0].seq;
        assert_int_equal(add_inbound(p, &sas[1], 2, 1, 64), ESPC_STATUS_OK);
        pipe_stalls(p, 0, 0, seed);
        assert_true(pipe_run(p, PIPE_DEC, 3 + times - 1, 20000));
        for (unsigned i = 0; i < 3 + times - 1; i++) {
            assert_true(pipe_pop(p, PIPE_DEC, &got));
            if (got.status == ESPC_STATUS_OK || (i == 2 && got.status != ESPC_STATUS_ABORTED))
                fail_msg("packet %u after %u zeroizes: status %u, expected ABORTED", i, times, got.status);
        }
        expect_dec(p, &outer[0], outer[0].size, ESPC_STATUS_OK);
        assert_int_equal(model_op(p, ESPC_SA_OP_DELETE, 1, 2, 1, 0, NULL), ESPC_STATUS_OK);
        assert_int_equal(add_inbound(p, &sas[1], 2, 1, 64), ESPC_STATUS_OK);
    }
    pipe_free(p);
}

static void test_delete_and_zeroize_end_both_directions(void **state)
{
    struct model_sa sas[4];
    uint32_t rng = seed;
    struct pipe *p = both_ways(1, sas, 4, &rng);
    struct model_result r;

    (void)state;
    make_outer(p, &sas[1], 5, &rng);
    expect_dec(p, &outer[1], outer[1].size, ESPC_STATUS_OK);
    expect_dec(p, &outer[3], outer[3].size, ESPC_STATUS_OK);
    expect_dec(p, &outer[3], outer[3].size, ESPC_STATUS_REPLAY_SEEN);
    assert_int_equal(add_inbound(p, &sas[1], 9, 1, 64), ESPC_STATUS_SPI_EXISTS);
    assert_int_equal(add_inbound(p, &sas[3], 2, 1, 64), ESPC_STATUS_SLOT_BUSY);
    assert_int_equal(model_op(p, ESPC_SA_OP_DRAIN, 1, 2, (uint16_t)(sas[1].gen + 1), 0, &r), ESPC_STATUS_OK);
    expect_dec(p, &outer[2], outer[2].size, ESPC_STATUS_SA_DRAINING);
    assert_int_equal(model_op(p, ESPC_SA_OP_DELETE, 1, 2, (uint16_t)(sas[1].gen + 1), 0, &r), ESPC_STATUS_OK);
    assert_int_equal(r.last_seq, outer[3].seq);
    assert_int_equal(r.packets, 2);
    assert_int_equal(r.drops, 2);
    expect_dec(p, &outer[2], outer[2].size, ESPC_STATUS_NO_SA);
    make_outer(p, &sas[0], 3, &rng);
    expect_dec(p, &outer[0], outer[0].size, ESPC_STATUS_OK);
    assert_int_equal(model_op(p, ESPC_SA_OP_ZEROIZE_ALL, 0, 0, 0, 0, NULL), ESPC_STATUS_OK);
    assert_true(pipe_zeroized(p));
    expect_dec(p, &outer[1], outer[1].size, ESPC_STATUS_NO_SA);
    assert_int_equal(model_op(p, ESPC_SA_OP_QUERY, 0, 0, sas[0].gen, 0, NULL), ESPC_STATUS_SA_INVALID);
    assert_int_equal(model_op(p, ESPC_SA_OP_QUERY, 1, 3, (uint16_t)(sas[0].gen + 1), 0, NULL),
                     ESPC_STATUS_SA_INVALID);
    assert_int_equal(add_inbound(p, &sas[0], 40, 5, 64), ESPC_STATUS_OK);
    expect_dec(p, &outer[1], outer[1].size, ESPC_STATUS_OK);
    assert_int_equal(got.sa, 40);
    pipe_free(p);
}

// a command in work when zeroize comes is answered, and the next ones work
static void test_zeroize_in_the_middle_of_commands_answers_them(void **state)
{
    struct model_sa sa;
    uint32_t rng = seed;
    struct pipe *p = pipe_new(1);

    (void)state;
    model_sa_random(&sa, 1, &rng);
    for (unsigned when = 0; when < 400; when += 3) {
        uint8_t cmd[64] = {ESPC_SA_OP_ADD, (uint8_t)(when & 1), 1, 0, 1}, blob[512], result[64];

        model_blob(&sa, when & 1, blob);
        blob[0x34] = 32;
        pipe_command(p, cmd, blob);
        pipe_step(p, when);
        pipe_zeroize(p);
        int status = pipe_result(p, result);
        if (status != ESPC_STATUS_OK && status != ESPC_STATUS_ABORTED)
            fail_msg("zeroize at %u: status %d, expected OK or ABORTED", when, status);
        // an ADD whose first words came before and whose work came after the sweep holds
        cmd[0] = ESPC_SA_OP_ZEROIZE_ALL;
        pipe_command(p, cmd, NULL);
        assert_int_equal(pipe_result(p, result), ESPC_STATUS_OK);
        assert_true(pipe_zeroized(p));
    }
    assert_int_equal(model_add(p, &sa), ESPC_STATUS_OK);
    pipe_free(p);
}

static void test_both_directions_run_at_full_rate_together(void **state)
{
    // 62 and 1468: the ciphertext fills its beats, so that E(K,J0) needs a cycle behind it
    static const size_t sizes[] = {46, 62, 64, 128, 256, 576, 1468, 1500};

    (void)state;
    for (unsigned lanes = 1; lanes <= 4; lanes += 3) {
        static struct model_sa sas[SLOTS];
        uint32_t rng = seed;
        struct pipe *p = both_ways(lanes, sas, SLOTS, &rng);
        uint8_t buf[1600];

        for (unsigned s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
            unsigned n = sizes[s] > 500 ? 200 : 1000;
            uint64_t first[2], last[2] = {0, 0};

            for (unsigned i = 0; i < n; i++) {
                model_taken(&sas[i % SLOTS], buf, sizes[s], &rng);
                pipe_push(p, PIPE_ENC, buf, sizes[s], (uint16_t)i, i % SLOTS, sas[i % SLOTS].gen);
            }
            assert_true(pipe_run(p, PIPE_ENC, n, n * 200));
            for (unsigned i = 0; i < n; i++)
                assert_true(pipe_pop(p, PIPE_ENC, &outer[i]));
            for (unsigned i = 0; i < n; i++) {
                model_taken(&sas[i % SLOTS], buf, sizes[s], &rng);
                pipe_push(p, PIPE_ENC, buf, sizes[s], (uint16_t)i, i % SLOTS, sas[i % SLOTS].gen);
                pipe_push(p, PIPE_DEC, outer[i].data, outer[i].size, (uint16_t)i, 0, 0);
            }
            assert_true(pipe_run(p, PIPE_ENC, n, n * 200) && pipe_run(p, PIPE_DEC, n, n * 200));
            for (unsigned d = 0; d < 2; d++)
                for (unsigned i = 0; i < n; i++) {
                    assert_true(pipe_pop(p, (enum pipe_dir)d, &got));
                    assert_int_equal(got.status, ESPC_STATUS_OK);
                    if (i == 0)
                        first[d] = got.first_cycle;
                    last[d] = got.last_cycle;
                }
            print_message("LANES %u, %4zu bytes, both directions: %.3f cycles per packet out, %.3f in\n",
                          lanes, sizes[s], (double)(last[0] - first[0] + 1) / n,
                          (double)(last[1] - first[1] + 1) / n);
            size_t ideal = (60 + (sizes[s] + 5) / 4 * 4 + 16 * lanes - 1) / (16 * lanes);
            assert_true((double)(last[0] - first[0] + 1) / n <= (double)ideal + 25.0 / n);
            assert_true((double)(last[1] - first[1] + 1) / n <= (double)ideal + 60.0 / n);
        }
        pipe_free(p);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_gives_the_inner_packets_back),
        cmocka_unit_test(test_damage_and_repetition_are_dropped),
        cmocka_unit_test(test_outer_packet_of_another_length_than_told_is_dropped),
        cmocka_unit_test(test_packet_inside_is_aborted_after_any_number_of_zeroizes),
        cmocka_unit_test(test_delete_and_zeroize_end_both_directions),
        cmocka_unit_test(test_zeroize_in_the_middle_of_commands_answers_them),
        cmocka_unit_test(test_both_directions_run_at_full_rate_together),
    };

    if (argc > 1)
        seed = (uint32_t)strtoul(argv[1], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
