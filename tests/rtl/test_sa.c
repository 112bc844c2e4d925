// SPDX-License-Identifier: Apache-2.0
// The SA manager at the ports of esp_pipe, by its outbound side: slot life, draining, refusals by field, an
// add's time, and zeroize, with the model's memory searched for keys. Statuses and formats:
// hw/regs/espalier.rdl. Arguments: none, or the seed of the random tests.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/rtl/tx_expect.h"

static void test_slot_life(void **state)
{
    struct pipe *p = new_pipe(1);
    uint32_t rng = seed;
    struct model_sa sa, other;
    struct model_result r;

    (void)state;
    model_sa_random(&sa, 3, &rng);
    assert_int_equal(one_of(p, &sa, 40, &rng), ESPC_STATUS_SA_INVALID);
    sa.slot = SLOTS;
    assert_int_equal(one_of(p, &sa, 40, &rng), ESPC_STATUS_SA_INVALID);
    sa.slot = 3;
    add_ok(p, &sa);
    assert_int_equal(one_of(p, &sa, 40, &rng), ESPC_STATUS_OK);
    model_sa_random(&other, 3, &rng);
    assert_int_equal(model_add(p, &other), ESPC_STATUS_SLOT_BUSY);
    assert_int_equal(one_of(p, &sa, 41, &rng), ESPC_STATUS_OK);
    assert_int_equal(model_op(p, ESPC_SA_OP_QUERY, 0, 3, sa.gen + 1, 0, &r), ESPC_STATUS_SA_STALE_GEN);
    assert_int_equal(model_op(p, ESPC_SA_OP_DELETE, 0, 3, sa.gen + 1, 0, &r), ESPC_STATUS_SA_STALE_GEN);
    assert_int_equal(model_op(p, ESPC_SA_OP_QUERY, 0, 4, sa.gen, 0, &r), ESPC_STATUS_SA_INVALID);
    assert_int_equal(model_op(p, ESPC_SA_OP_DRAIN, 0, 3, sa.gen, 0, &r), ESPC_STATUS_OK);
    sa.draining = true;
    assert_int_equal(r.packets, 2);
    assert_int_equal(r.bytes, 81);
    assert_int_equal(one_of(p, &sa, 40, &rng), ESPC_STATUS_SA_DRAINING);
    assert_int_equal(model_op(p, ESPC_SA_OP_DELETE, 0, 3, sa.gen, 0, &r), ESPC_STATUS_OK);
    assert_int_equal(r.last_seq, sa.seq - 1);
    assert_int_equal(r.drops, sa.drops);
    // an answer has nothing of the one before
    assert_true(r.last_seq && r.packets && r.bytes && r.drops);
    assert_int_equal(model_op(p, ESPC_SA_OP_QUERY, 0, SLOTS, 1, 0, &r), ESPC_STATUS_BAD_INDEX);
    assert_false(r.last_seq || r.packets || r.bytes || r.drops);
    sa.valid = false;
    assert_int_equal(one_of(p, &sa, 40, &rng), ESPC_STATUS_SA_INVALID);
    assert_int_equal(model_op(p, ESPC_SA_OP_DELETE, 0, 3, sa.gen, 0, &r), ESPC_STATUS_SA_INVALID);
    // the slot's next SA, and a packet of the old one
    other.gen = (uint16_t)(sa.gen + 1);
    add_ok(p, &other);
    assert_int_equal(one_of(p, &other, 40, &rng), ESPC_STATUS_OK);
    uint8_t buf[64];
    model_inner(buf, 40, &rng);
    assert_int_equal(one(p, &other, sa.gen, buf, 40), ESPC_STATUS_SA_STALE_GEN);
    pipe_free(p);
}

static void test_drain_waits_for_the_packets_inside(void **state)
{
    struct pipe *p = new_pipe(1);
    uint32_t rng = seed;
    struct model_sa sa;
    struct model_result r;
    uint8_t buf[200];

    (void)state;
    model_sa_random(&sa, 3, &rng);
    add_ok(p, &sa);
    for (unsigned n = 0; n < 40; n++) {
        model_inner(buf, 200, &rng);
        pipe_push(p, PIPE_ENC, buf, 200, (uint16_t)n, 3, sa.gen);
    }
    pipe_step(p, 100);
    assert_int_equal(model_op(p, ESPC_SA_OP_DELETE, 0, 3, sa.gen, 0, &r), ESPC_STATUS_OK);
    size_t out = pipe_out_count(p, PIPE_ENC);
    assert_true(pipe_run(p, PIPE_ENC, 40, 3000));
    unsigned ok = 0;
    for (unsigned n = 0; n < 40; n++) {
        assert_true(pipe_pop(p, PIPE_ENC, &got));
        assert_int_equal(got.tag, n);
        ok += got.status == ESPC_STATUS_OK;
        if (n >= out)
            assert_int_not_equal(got.status, ESPC_STATUS_OK);
    }
    assert_int_equal(r.packets, ok);
    assert_int_equal(r.last_seq, sa.seq + ok - 1);
    assert_in_range(ok, 1, 39);
    pipe_free(p);
}

// `size` bytes from `offset` on are `value`; the field at `expected` is what is refused
static void refused_at(struct pipe *p, const struct model_sa *sa, uint8_t dir, unsigned offset, unsigned size,
                       uint64_t value, uint16_t status, uint32_t expected)
{
    uint8_t cmd[64] = {ESPC_SA_OP_ADD, dir, 1, 0, 7}, blob[512], result[64];

    model_blob(sa, dir, blob);
    for (unsigned i = 0; i < size; i++)
        blob[offset + i] = (uint8_t)(value >> 8 * i);
    pipe_command(p, cmd, blob);
    int r = pipe_result(p, result);
    uint32_t field = result[32] | (uint32_t)result[33] << 8;
    if (r != status || (status == ESPC_STATUS_BAD_FIELD && field != expected))
        fail_msg("field 0x%x = 0x%llx, dir %u: status %d, refused 0x%x, expected status %u", offset,
                 (unsigned long long)value, dir, r, field, status);
    assert_int_equal(model_op(p, ESPC_SA_OP_QUERY, dir, 7, 1, 0, NULL), ESPC_STATUS_SA_INVALID);
}

static void refused(struct pipe *p, const struct model_sa *sa, uint8_t dir, unsigned offset, unsigned size,
                    uint64_t value, uint16_t status)
{
    // what is not offered beyond the fields is found by words; the second half of a key and the rest of an
    // address belong to fields that begin before
    uint32_t expected = offset == 0x20                    ? 0x10
                        : offset >= 0x180                 ? offset / 8 * 8
                        : offset >= 0x38 && offset < 0x58 ? (offset - 0x38) / 16 * 16 + 0x38
                                                          : offset;

    refused_at(p, sa, dir, offset, size, value, status, expected);
}

static void test_add_refuses_bad_fields_by_offset(void **state)
{
    struct pipe *p = new_pipe(1);
    uint32_t rng = seed;
    struct model_sa sa;

    (void)state;
    model_sa_random(&sa, 7, &rng);
    sa.alg = 1;
    memset(sa.key + 16, 0, 16);
    sa.flags = 0;
    refused(p, &sa, 0, 0x000, 4, 0, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x004, 4, 0x40, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x004, 4, 0x80000000, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x008, 4, 0, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x008, 4, 3, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x00c, 4, ESPC_SA_INTEG_HMAC_SHA256_128, ESPC_STATUS_BAD_FIELD);
    refused_at(p, &sa, 0, 0x05d, 3, ESPC_SA_MODE_TRANSPORT | ESPC_FAMILY_IPV6 << 8, ESPC_STATUS_BAD_FIELD,
               0x5e);
    // in transport mode nothing is inside but a payload, and none of it in UDP
    for (uint8_t dir = 0; dir < 2; dir++) {
        refused_at(p, &sa, dir, 0x05d, 3,
                   ESPC_SA_MODE_TRANSPORT | ESPC_FAMILY_IPV4 << 8 | ESPC_FAMILY_IPV4 << 16,
                   ESPC_STATUS_BAD_FIELD, 0x5f);
        sa.flags = UDP;
        refused_at(p, &sa, dir, 0x05d, 3, ESPC_SA_MODE_TRANSPORT | ESPC_FAMILY_IPV4 << 8,
                   ESPC_STATUS_BAD_FIELD, 0x5d);
        sa.flags = 0;
    }
    refused(p, &sa, 0, 0x05d, 1, 2, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x05e, 1, ESPC_FAMILY_IPV6, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 1, 0x05f, 1, ESPC_FAMILY_IPV4 | ESPC_FAMILY_IPV6, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x020, 1, 1, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 1, 0x034, 4, 1025, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x05c, 1, 0, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x060, 8, 0, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x038 + 4, 1, 1, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 1, 0x048 + 15, 1, 1, ESPC_STATUS_BAD_FIELD);
    sa.flags = UDP | ESN;
    refused(p, &sa, 1, 0x034, 4, 0, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x058, 2, 0, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x05a, 2, 0, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x068, 8, sa.seq, ESPC_STATUS_BAD_LEASE);
    refused(p, &sa, 0, 0x098, 4, 1, ESPC_STATUS_BAD_FIELD);
    refused(p, &sa, 0, 0x09e, 1, 1, ESPC_STATUS_BAD_FIELD);
    for (unsigned at = 0xa0; at < 0x100; at += 8)
        refused(p, &sa, 0, at, 8, 1ull << (at & 63), ESPC_STATUS_BAD_FIELD);
    sa.flags = 0; // inbound too
    sa.seq = 9;
    refused(p, &sa, 1, 0x090, 8, 1ull << 63, ESPC_STATUS_BAD_FIELD); // a deadline is for outbound
    refused(p, &sa, 1, 0x09c, 2, 0x100, ESPC_STATUS_BAD_FIELD);      // and so is an identification
    for (unsigned at = 0x180; at < 0x200; at += 8)                   // integrity key, wire, reserved
        refused(p, &sa, at >> 3 & 1, at + (at >> 3 & 7), 1, 0x80, ESPC_STATUS_BAD_FIELD);
    // and commands that are not
    assert_int_equal(model_op(p, 0, 0, 1, 1, 0, NULL), ESPC_STATUS_BAD_OPCODE);
    assert_int_equal(model_op(p, ESPC_SA_OP_ENDPOINT, 0, 1, 1, 0, NULL), ESPC_STATUS_SA_INVALID);
    assert_int_equal(model_op(p, 200, 0, 1, 1, 0, NULL), ESPC_STATUS_BAD_OPCODE);
    assert_int_equal(model_op(p, ESPC_SA_OP_QUERY, 0, SLOTS, 1, 0, NULL), ESPC_STATUS_BAD_INDEX);
    assert_int_equal(model_op(p, ESPC_SA_OP_QUERY, 2, 0, 1, 0, NULL), ESPC_STATUS_BAD_INDEX);
    assert_int_equal(model_op(p, ESPC_SA_OP_LEASE, 1, 0, 1, 9, NULL), ESPC_STATUS_BAD_OPCODE);
    assert_int_equal(model_op(p, ESPC_SA_OP_FENCE, 0, 0, 0, 0, NULL), ESPC_STATUS_OK);
    sa.gen = 1;
    add_ok(p, &sa);
    assert_int_equal(one_of(p, &sa, 40, &rng), ESPC_STATUS_OK);
    pipe_free(p);
}

static int move_ends(struct pipe *p, const struct model_sa *sa, uint8_t dir, uint16_t gen, uint8_t result[64])
{
    uint8_t cmd[64] = {ESPC_SA_OP_ENDPOINT, dir, (uint8_t)gen, (uint8_t)(gen >> 8), (uint8_t)sa->slot},
            blob[512] = {0};

    memcpy(blob + 0x04, &sa->flags, 4);
    blob[0x5e] = ESPC_FAMILY_IPV4;
    memcpy(blob + 0x38, sa->src, 4);
    memcpy(blob + 0x48, sa->dst, 4);
    memcpy(blob + 0x58, &sa->sport, 2);
    memcpy(blob + 0x5a, &sa->dport, 2);
    pipe_command(p, cmd, blob);
    return pipe_result(p, result);
}

// An ENDPOINT does not say the mode: the card knows which of its SAs may not come into UDP, also where a slot
// was of the other mode before.
static void test_endpoint_of_transport_mode_moves_but_not_into_udp(void **state)
{
    struct pipe *p = new_pipe(1);
    uint32_t rng = seed;
    uint8_t result[64];
    struct model_sa sa, moved;

    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        for (uint8_t dir = 0; dir < 2; dir++) {
            uint8_t cmd[64] = {ESPC_SA_OP_ADD, dir, 1, 0, 5}, blob[512];

            model_sa_random(&sa, 5, &rng);
            sa.transport = (round + dir) & 1;
            sa.flags = 0;
            sa.seq = 5;
            sa.limit = sa.seq + sa.span;
            sa.gen = 1;
            model_blob(&sa, dir, blob);
            if (dir)
                blob[0x34] = 64, memset(blob + 0x60, 0, 16), memset(blob + 0x9c, 0, 2);
            pipe_command(p, cmd, blob);
            assert_int_equal(pipe_result(p, result), ESPC_STATUS_OK);
            sa.valid = true;
            moved = sa;
            moved.src[0] ^= 1;
            moved.dst[3] ^= 1;
            moved.flags = UDP;
            assert_int_equal(move_ends(p, &moved, dir, 1, result),
                             sa.transport ? ESPC_STATUS_BAD_FIELD : ESPC_STATUS_OK);
            if (sa.transport)
                assert_int_equal(result[32], offsetof(struct espc_sa_blob, flags));
            if (!dir) // what was refused has left the SA as it was
                assert_int_equal(one_of(p, sa.transport ? &sa : &moved, 60, &rng), ESPC_STATUS_OK);
            moved.seq = sa.seq > moved.seq ? sa.seq : moved.seq;
            moved.flags = 0;
            assert_int_equal(move_ends(p, &moved, dir, 1, result), ESPC_STATUS_OK);
            if (!dir)
                assert_int_equal(one_of(p, &moved, 60, &rng), ESPC_STATUS_OK);
            // its packets are now those of the new ends
            if (!dir && sa.transport) {
                uint8_t buf[60];

                model_own(&sa, buf, 60, &rng);
                assert_int_equal(one(p, &moved, 1, buf, 60), ESPC_STATUS_SA_MISMATCH);
            }
            assert_int_equal(model_op(p, ESPC_SA_OP_DELETE, dir, 5, 1, 0, NULL), ESPC_STATUS_OK);
        }
    }
    pipe_free(p);
}

static void test_add_takes_at_most_200_cycles_beside_the_blob_and_delays_no_packet(void **state)
{
    struct pipe *p = new_pipe(1);
    uint32_t rng = seed;
    struct model_sa sa, other;
    uint8_t buf[64];
    uint64_t last = 0;

    (void)state;
    model_sa_random(&sa, 3, &rng);
    model_sa_random(&other, 4, &rng);
    sa.flags &= ~UDP;
    other.alg = 2;
    add_ok(p, &sa);
    uint64_t before = pipe_cycles(p);
    for (unsigned n = 0; n < 100; n++) {
        model_inner(buf, 46, &rng);
        pipe_push(p, PIPE_ENC, buf, 46, (uint16_t)n, 3, sa.gen);
    }
    add_ok(p, &other);
    uint64_t took = pipe_cycles(p) - before;
    print_message("SA add: %llu cycles with 72 words of command and 8 of result\n", (unsigned long long)took);
    assert_in_range(took, 1, 72 + 8 + 200);
    assert_true(pipe_run(p, PIPE_ENC, 100, 2000));
    for (unsigned n = 0; n < 100; n++) {
        assert_true(pipe_pop(p, PIPE_ENC, &got));
        assert_int_equal(got.status, ESPC_STATUS_OK);
        if (n > 0)
            assert_int_equal(got.last_cycle - last, 7); // 100 bytes in beats of 16
        last = got.last_cycle;
    }
    pipe_free(p);
}

static void wait_zeroized(struct pipe *p)
{
    for (unsigned limit = 0; limit < 5000 && !pipe_zeroized(p); limit++)
        pipe_step(p, 1);
    assert_true(pipe_zeroized(p));
}

static void zeroize_with_packets(unsigned lanes, unsigned when, unsigned out_stall, bool by_command)
{
    struct pipe *p = new_pipe(lanes);
    uint32_t rng = seed;
    struct model_sa sa;
    uint8_t buf[200];
    unsigned counts[3] = {0, 0, 0}; // OK, ABORTED, SA_INVALID

    model_sa_random(&sa, 3, &rng);
    add_ok(p, &sa);
    pipe_stalls(p, 0, out_stall, seed);
    struct model_sa before = sa;
    for (unsigned n = 0; n < 60; n++) {
        model_inner(buf, 100 + n, &rng);
        pipe_push(p, PIPE_ENC, buf, 100 + n, (uint16_t)n, 3, sa.gen);
    }
    pipe_step(p, when);
    if (by_command) {
        assert_int_equal(model_op(p, ESPC_SA_OP_ZEROIZE_ALL, 0, 0, 0, 0, NULL), ESPC_STATUS_OK);
    } else {
        pipe_zeroize(p);
        assert_false(pipe_zeroized(p));
    }
    assert_true(pipe_run(p, PIPE_ENC, 60, 20000));
    wait_zeroized(p);
    rng = seed;
    model_sa_random(&sa, 3, &rng);
    sa = before;
    for (unsigned n = 0; n < 60; n++) {
        model_inner(buf, 100 + n, &rng);
        assert_true(pipe_pop(p, PIPE_ENC, &got));
        assert_int_equal(got.tag, n);
        if (got.status == ESPC_STATUS_OK) {
            assert_int_equal(counts[1] + counts[2], 0);
            model_encap(&sa, sa.gen, buf, 100 + n, &want);
            assert_memory_equal(got.data, want.data, want.size);
        } else if (got.status == ESPC_STATUS_ABORTED)
            assert_int_equal(got.len, 0);
        else
            assert_int_equal(got.status, ESPC_STATUS_SA_INVALID);
        counts[got.status == ESPC_STATUS_OK ? 0 : got.status == ESPC_STATUS_ABORTED ? 1 : 2]++;
    }
    assert_true(counts[2] > 0);
    model_sa_random(&sa, 3, &rng);
    add_ok(p, &sa);
    assert_int_equal(one_of(p, &sa, 99, &rng), ESPC_STATUS_OK);
    pipe_free(p);
}

static void test_zeroize_aborts_the_packets_inside_and_frees_all_slots(void **state)
{
    (void)state;
    for (unsigned when = 0; when < 120; when += 13) {
        zeroize_with_packets(1, when, 0, false);
        zeroize_with_packets(4, when, 50, when & 1);
    }
}

// places in the model's memory where `needle` stands, in either byte order
static unsigned found(const struct pipe *p, const uint8_t *needle, size_t n)
{
    size_t size;
    unsigned count = 0;
    const uint8_t *memory = pipe_memory(p, &size);

    for (size_t i = 0; i + n <= size; i++) {
        size_t up = 0, down = 0;

        while (up < n && memory[i + up] == needle[up])
            up++;
        while (down < n && memory[i + down] == needle[n - 1 - down])
            down++;
        count += up == n || down == n;
    }
    return count;
}

static void test_no_key_stays_after_delete_and_zeroize(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 4; way++) { // delete, zeroize pulse, command, pulse with packets inside
        struct pipe *p = new_pipe(1);
        uint32_t rng = seed;
        struct model_sa sa;
        uint8_t buf[120];

        model_sa_random(&sa, 3, &rng);
        sa.alg = 2;
        memcpy(sa.key, "0123456789abcdefFEDCBA9876543210", 32);
        memcpy(sa.salt, "\xa1\xb2\xc3\xd4", 4);
        add_ok(p, &sa);
        assert_int_equal(one_of(p, &sa, 100, &rng), ESPC_STATUS_OK);
        assert_int_not_equal(found(p, sa.key, 16) + found(p, sa.key + 16, 16), 0);
        assert_int_not_equal(found(p, sa.salt, 4), 0);
        for (unsigned n = 0; n < 30 && way == 3; n++) {
            model_inner(buf, 120, &rng);
            pipe_push(p, PIPE_ENC, buf, 120, (uint16_t)n, 3, sa.gen);
        }
        pipe_step(p, 50);
        if (way == 0)
            assert_int_equal(model_op(p, ESPC_SA_OP_DELETE, 0, 3, sa.gen, 0, NULL), ESPC_STATUS_OK);
        else if (way == 2)
            assert_int_equal(model_op(p, ESPC_SA_OP_ZEROIZE_ALL, 0, 0, 0, 0, NULL), ESPC_STATUS_OK);
        else
            pipe_zeroize(p);
        pipe_step(p, 10);
        wait_zeroized(p);
        assert_int_equal(found(p, sa.key, 16) + found(p, sa.key + 16, 16), 0);
        assert_int_equal(found(p, sa.salt, 4), 0);
        pipe_free(p);
    }
}

// the packets of other SAs go through the same queues all the time
static void test_no_salt_stays_after_delete_while_others_send(void **state)
{
    struct pipe *p = new_pipe(1);
    uint32_t rng = seed;
    struct model_sa sa, other;
    uint8_t buf[120];

    (void)state;
    model_sa_random(&sa, 3, &rng);
    model_sa_random(&other, 4, &rng);
    memcpy(sa.salt, "\xa1\xb2\xc3\xd4", 4);
    add_ok(p, &sa);
    add_ok(p, &other);
    for (unsigned n = 0; n < 300; n++) {
        bool mine = n < 200 && n % 3 == 0;

        model_inner(buf, 120, &rng);
        pipe_push(p, PIPE_ENC, buf, 120, (uint16_t)n, mine ? 3 : 4, mine ? sa.gen : other.gen);
    }
    pipe_step(p, 300);
    assert_int_not_equal(found(p, sa.salt, 4), 0);
    assert_int_equal(model_op(p, ESPC_SA_OP_DELETE, 0, 3, sa.gen, 0, NULL), ESPC_STATUS_OK);
    assert_true(pipe_out_count(p, PIPE_ENC) < 200); // others are still inside
    pipe_step(p, 50);
    assert_int_equal(found(p, sa.salt, 4), 0);
    pipe_free(p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_life),
        cmocka_unit_test(test_drain_waits_for_the_packets_inside),
        cmocka_unit_test(test_add_refuses_bad_fields_by_offset),
        cmocka_unit_test(test_endpoint_of_transport_mode_moves_but_not_into_udp),
        cmocka_unit_test(test_add_takes_at_most_200_cycles_beside_the_blob_and_delays_no_packet),
        cmocka_unit_test(test_zeroize_aborts_the_packets_inside_and_frees_all_slots),
        cmocka_unit_test(test_no_key_stays_after_delete_and_zeroize),
        cmocka_unit_test(test_no_salt_stays_after_delete_while_others_send),
    };

    if (argc > 1)
        seed = (uint32_t)strtoul(argv[1], NULL, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
