// SPDX-License-Identifier: Apache-2.0
// The decapsulation pipeline's slots: added, drained, cleared and written again under load; clear and zeroise
// leave no key behind, at whatever moment they come.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/rtl/rx_bench.h"

// ---- slots
// ---------------------------------------------------------------------------------------------------------

static void test_slot_operations_check_state_and_generation(void **state)
{
    struct rx_bench *b = rx_bench_new(1, 5);
    struct rx_sa sa[6];
    (void)state;

    rx_sa_init(b, &sa[0], 0x500, 64, 0, true);
    assert_int_equal(rx_op(b, RX_QUERY, 4, 0, NULL), ESPC_STATUS_SA_INVALID);
    assert_int_equal(rx_op(b, RX_CLEAR, 4, 0, NULL), ESPC_STATUS_SA_INVALID);
    assert_int_equal(rx_sa_add(b, &sa[0], 4), ESPC_STATUS_OK);
    assert_int_equal(rx_sa_add(b, &sa[0], 4), ESPC_STATUS_SLOT_BUSY);
    assert_int_equal(rx_sa_add(b, &sa[0], 5), ESPC_STATUS_SPI_EXISTS);
    assert_int_equal(rx_op(b, RX_QUERY, 4, (uint16_t)(sa[0].gen + 1), NULL), ESPC_STATUS_SA_STALE_GEN);
    assert_int_equal(rx_op(b, RX_DRAIN, 4, (uint16_t)(sa[0].gen + 1), NULL), ESPC_STATUS_SA_STALE_GEN);
    assert_int_equal(rx_op(b, RX_QUERY, 5, sa[0].gen, NULL), ESPC_STATUS_SA_INVALID);
    // the same SPI to another address is another SA; a bucket holds four
    for (unsigned i = 1; i < 5; i++) {
        rx_sa_init(b, &sa[i], 0x500, 64, 0, false);
        assert_int_equal(rx_sa_add(b, &sa[i], 10 + i), i < 4 ? ESPC_STATUS_OK : ESPC_STATUS_BUCKET_FULL);
    }
    assert_int_equal(rx_op(b, RX_QUERY, 14, sa[4].gen, NULL), ESPC_STATUS_SA_INVALID);
    assert_int_equal(rx_op(b, RX_CLEAR, 12, sa[2].gen, NULL), ESPC_STATUS_OK);
    assert_int_equal(rx_sa_add(b, &sa[4], 14), ESPC_STATUS_OK);
    struct rx_packet *p = rx_packets(5);
    for (unsigned i = 0; i < 5; i++) {
        rx_good(b, &p[i], &sa[i], i ? 10 + i : 4, 1, 100);
        if (i == 2)
            rx_fail(&p[i], ESPC_STATUS_SA_MISMATCH), p[i].slot = 0xfffffffe;
    }
    // which of the SAs with the SPI is told for another destination is left open: leave that one out
    p[2] = p[3];
    p[3] = p[4];
    rx_run_all(b, p, 4);
    rx_bench_done(b, p);
}

// slots are drained, cleared and written again while packets of all SAs flow
static void run_churn(int lanes)
{
    enum { N = 400, ROUNDS = 12 };
    struct rx_bench *b = rx_bench_new(lanes, 6);
    struct rx_packet *p = rx_packets(N);
    struct rx_sa sa[RX_KINDS], extra;
    uint64_t seq[RX_KINDS] = {0};

    rx_add_kinds(b, sa);
    b->out_stall = 10;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned gone = round % RX_KINDS;
        size_t refused = 0;
        for (size_t i = 0; i < N; i++) {
            unsigned k = rx_rng(b) % RX_KINDS;
            rx_good(b, &p[i], &sa[k], rx_kind_slot[k], ++seq[k], (uint16_t)(20 + rx_rng(b) % 120));
        }
        rx_expect(b, p, N);
        while (b->received < N / 4)
            rx_cycle(b);
        // what has come in may be on either side of the mark; what comes well after it is refused
        rx_op_start(b, RX_DRAIN, rx_kind_slot[gone], sa[gone].gen, NULL);
        for (size_t i = b->received; i < N; i++)
            if (p[i].slot == rx_kind_slot[gone]) {
                if (i < b->sent + 40)
                    p[i].or_status = ESPC_STATUS_SA_DRAINING;
                else
                    rx_fail(&p[i], ESPC_STATUS_SA_DRAINING), refused++;
            }
        while (!b->op_done)
            rx_cycle(b);
        assert_int_equal(b->pins.slot_status, ESPC_STATUS_OK);
        // drained: no packet of this SA is inside any more
        for (size_t i = b->received; i < N; i++)
            if (p[i].slot == rx_kind_slot[gone] && p[i].or_status)
                rx_fail(&p[i], ESPC_STATUS_SA_DRAINING), p[i].or_status = 0;
        rx_run(b);
        assert_true(refused > 0);
        assert_int_equal(rx_op(b, RX_CLEAR, rx_kind_slot[gone], sa[gone].gen, NULL), ESPC_STATUS_OK);
        rx_sa_init(b, &extra, 0x40000 + round, 64, sa[gone].blob.flags, round & 1);
        sa[gone] = extra;
        seq[gone] = 0;
        assert_int_equal(rx_sa_add(b, &sa[gone], rx_kind_slot[gone]), ESPC_STATUS_OK);
    }
    rx_bench_done(b, p);
}

static void test_slots_come_and_go_under_load(void **state)
{
    (void)state;
    run_churn(1);
    run_churn(4);
}

// A full store holds up the opening of a packet, and behind that one wait packets which the draining SA has
// refused already, when the SA's slot is cleared and written again. They count for the SA that they came for,
// and the next one begins with nothing.
static void run_rewrite(unsigned lead)
{
    enum { JUMBO = 3, FILL = 6, LATE = 20, N = JUMBO + FILL + LATE };
    struct rx_bench *b = rx_bench_new(4, 9);
    struct rx_packet *p = rx_packets(N);
    struct rx_sa sa, other, next;
    unsigned step = 0, refused = 0, before = lead;
    uint64_t told = 0;

    rx_sa_init(b, &sa, 0x1111, 64, 0, true);
    rx_sa_init(b, &other, 0x2222, 64, 0, true);
    rx_sa_init(b, &next, 0x3333, 64, 0, true);
    assert_int_equal(rx_sa_add(b, &sa, 2), ESPC_STATUS_OK);
    assert_int_equal(rx_sa_add(b, &other, 3), ESPC_STATUS_OK);
    for (size_t i = 0; i < 5; i++)
        rx_good(b, &p[i], &sa, 2, i + 1, 100);
    rx_run_all(b, p, 5);
    assert_int_equal(rx_op(b, RX_DRAIN, 2, sa.gen, NULL), ESPC_STATUS_OK);
    for (size_t i = 0; i < JUMBO + FILL; i++)
        rx_good(b, &p[i], &other, 3, i + 1, i < JUMBO ? 9000 : 1000);
    for (size_t i = JUMBO + FILL; i < N; i++)
        rx_good(b, &p[i], &sa, 2, 100 + i, 46), rx_fail(&p[i], ESPC_STATUS_SA_DRAINING);
    b->out_stall = 100;
    rx_expect(b, p, N);
    for (unsigned i = 0; i < 2000; i++)
        rx_cycle(b);
    assert_int_equal(b->sent, N);
    assert_int_equal(b->received, 0);

    b->out_stall = 0;
    while (before-- > 0)
        rx_cycle(b), refused += b->received > JUMBO + FILL;
    assert_int_equal(refused, 0);
    rx_op_start(b, RX_CLEAR, 2, sa.gen, NULL);
    for (unsigned i = 0; step < 2 || b->received < N; i++) {
        size_t received = b->received;
        rx_cycle(b);
        refused += b->received > received && b->pins.m_status == ESPC_STATUS_SA_DRAINING;
        assert_true(i < 5000);
        if (step == 2 || !b->op_done)
            continue;
        assert_int_equal(b->pins.slot_status, ESPC_STATUS_OK);
        if (step++ == 0) {
            assert_int_equal(b->pins.slot_packets, 5);
            assert_int_equal(b->pins.slot_bytes, 500);
            told = b->pins.slot_drops;
            rx_op_start(b, RX_WRITE, 2, next.gen, &next.blob);
        }
    }
    assert_int_equal(refused, LATE);
    assert_int_equal(rx_op(b, RX_QUERY, 2, next.gen, NULL), ESPC_STATUS_OK);
    if (b->pins.slot_packets || b->pins.slot_bytes || b->pins.slot_drops)
        fail_msg("the store opened %u cycles before: the new SA has %llu packets, %llu bytes, %llu drops",
                 lead, (unsigned long long)b->pins.slot_packets, (unsigned long long)b->pins.slot_bytes,
                 (unsigned long long)b->pins.slot_drops);
    assert_int_equal(told, LATE);
    rx_bench_done(b, p);
}

static void test_slot_written_again_has_nothing_of_the_one_before(void **state)
{
    (void)state;
    for (unsigned lead = 0; lead < 200; lead += 20)
        run_rewrite(lead);
}

// A packet of one SA is somewhere on its way, all its beats at once or one now and then, when the slot of
// another is cleared.
static void run_clear_beside(int lanes, unsigned gap)
{
    enum { N = 4 };
    struct rx_bench *b = rx_bench_new(lanes, 10);
    struct rx_packet *p = rx_packets(N);
    struct rx_sa sa, other;

    b->in_gap = gap;
    rx_sa_init(b, &other, 0x2222, 64, 0, true);
    assert_int_equal(rx_sa_add(b, &other, 3), ESPC_STATUS_OK);
    for (unsigned moment = 0; moment < 60; moment++) {
        rx_sa_init(b, &sa, 0x1111, 64, 0, true);
        assert_int_equal(rx_sa_add(b, &sa, 2), ESPC_STATUS_OK);
        for (size_t i = 0; i < N; i++)
            rx_good(b, &p[i], &other, 3, 1 + moment * N + i, 700);
        rx_op_start(b, RX_CLEAR, 2, sa.gen, NULL);
        rx_idle(b, (int)moment);
        rx_expect(b, p, N);
        rx_run(b);
        while (!b->op_done)
            rx_cycle(b);
        assert_int_equal(b->pins.slot_status, ESPC_STATUS_OK);
        rx_expect(b, p, 0);
    }
    rx_bench_done(b, p);
}

static void test_clear_does_no_harm_to_packets_of_others(void **state)
{
    (void)state;
    run_clear_beside(1, 0);
    run_clear_beside(1, 50);
    run_clear_beside(4, 0);
    run_clear_beside(4, 50);
}

// Packets without an SA come without a gap, all at the commit stage as if of slot 0: nothing of a slot that
// is written beside them is theirs, so the writing ends.
static void run_write_beside_strangers(int lanes, uint32_t slot)
{
    enum { N = 600, WITHIN = 500 };
    struct rx_bench *b = rx_bench_new(lanes, 11);
    struct rx_packet *p = rx_packets(N);
    struct rx_sa sa, stranger;

    rx_sa_init(b, &sa, 0x1111, 64, 0, true);
    rx_sa_init(b, &stranger, 0x2222, 64, 0, true);
    for (size_t i = 0; i < N; i++)
        rx_good(b, &p[i], &stranger, 0, i + 1, 46), rx_fail(&p[i], ESPC_STATUS_NO_SA);
    rx_expect(b, p, N);
    while (b->received == 0)
        rx_cycle(b);
    rx_op_start(b, RX_WRITE, slot, sa.gen, &sa.blob);
    for (unsigned i = 0; i < WITHIN && !b->op_done; i++)
        rx_cycle(b);
    if (!b->op_done)
        fail_msg("LANES %d: slot %u is not written within %d cycles beside packets without an SA", lanes,
                 slot, WITHIN);
    assert_int_equal(b->pins.slot_status, ESPC_STATUS_OK);
    assert_true(b->sent < N);
    rx_run(b);
    for (size_t i = 0; i < 4; i++)
        rx_good(b, &p[i], &sa, slot, i + 1, 100);
    rx_run_all(b, p, 4);
    rx_bench_done(b, p);
}

static void test_slot_is_written_beside_packets_without_an_sa(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 4; lanes *= 2) {
        run_write_beside_strangers(lanes, 0);
        run_write_beside_strangers(lanes, 5);
    }
}

// New ends come into the table and into what is beside it a few cycles apart. Packets from the old ends to
// the old ones and from the new ends to the new ones go by without a gap: each is the SA's or is not, and
// none is taken as one whose source has changed.
static void run_move_under_load(unsigned moment)
{
    enum { N = 60 };
    struct rx_bench *b = rx_bench_new(4, 12);
    struct rx_packet *p = rx_packets(N);
    struct rx_sa sa, moved;

    rx_sa_init(b, &sa, 0x1111, 64, 0, true);
    moved = sa;
    rx_fill(b, moved.blob.src, 4);
    rx_fill(b, moved.blob.dst, 4);
    assert_int_equal(rx_sa_add(b, &sa, 2), ESPC_STATUS_OK);
    for (size_t i = 0; i < N; i++) {
        rx_good(b, &p[i], i % 2 ? &moved : &sa, 2, i + 1, 46);
        p[i].or_status = ESPC_STATUS_SA_MISMATCH;
    }
    rx_expect(b, p, N);
    rx_idle(b, 40 + (int)moment);
    rx_op_start(b, RX_ENDPOINT, 2, sa.gen, &moved.blob);
    rx_run(b);
    assert_true(b->op_done);
    assert_int_equal(b->pins.slot_status, ESPC_STATUS_OK);
    assert_int_equal(rx_op(b, RX_QUERY, 2, sa.gen, NULL), ESPC_STATUS_OK);
    assert_in_range(b->pins.slot_packets, N / 4, 3 * N / 4);
    rx_bench_done(b, p);
}

static void test_ends_change_between_two_packets(void **state)
{
    (void)state;
    for (unsigned moment = 0; moment < 8; moment++)
        run_move_under_load(moment);
}

static size_t count_bytes(const struct rx_dut *dut, const void *needle, size_t n)
{
    size_t size, found = 0;
    const uint8_t *memory = rx_memory(dut, &size);
    for (size_t i = 0; i + n <= size; i++)
        found += memcmp(memory + i, needle, n) == 0;
    return found;
}

static void run_secrets(int lanes)
{
    struct rx_bench *b = rx_bench_new(lanes, 7);
    struct rx_packet *p = rx_packets(RX_KINDS * 4);
    struct rx_sa sa[RX_KINDS];

    rx_add_kinds(b, sa);
    for (size_t i = 0; i < RX_KINDS * 4; i++)
        rx_good(b, &p[i], &sa[i % RX_KINDS], rx_kind_slot[i % RX_KINDS], i + 1, 200);
    rx_run_all(b, p, RX_KINDS * 4);
    for (unsigned i = 0; i < RX_KINDS; i++)
        assert_true(count_bytes(b->dut, sa[i].blob.key, 16) > 0 &&
                    count_bytes(b->dut, sa[i].blob.salt, 4) > 0);
    for (unsigned i = 0; i < RX_KINDS / 2; i++) {
        assert_int_equal(rx_op(b, RX_CLEAR, rx_kind_slot[i], sa[i].gen, NULL), ESPC_STATUS_OK);
        rx_idle(b, 3);
        assert_int_equal(count_bytes(b->dut, sa[i].blob.key, 16), 0);
        assert_int_equal(count_bytes(b->dut, sa[i].blob.salt, 4), 0);
    }
    // the others go with zeroise, while packets are inside
    for (size_t i = 0; i < RX_KINDS * 4; i++)
        rx_good(b, &p[i], &sa[RX_KINDS / 2 + i % (RX_KINDS / 2)],
                rx_kind_slot[RX_KINDS / 2 + i % (RX_KINDS / 2)], 100 + i, 200);
    rx_expect(b, p, RX_KINDS * 4);
    while (b->received < RX_KINDS)
        rx_cycle(b);
    b->loose = true;
    b->pins.zeroize = true;
    rx_cycle(b);
    b->pins.zeroize = false;
    rx_run(b);
    while (!b->pins.zeroized)
        rx_cycle(b);
    rx_idle(b, 3);
    for (unsigned i = 0; i < RX_KINDS; i++) {
        assert_int_equal(count_bytes(b->dut, sa[i].blob.key, 16), 0);
        assert_int_equal(count_bytes(b->dut, sa[i].blob.salt, 4), 0);
        assert_int_equal(rx_op(b, RX_QUERY, rx_kind_slot[i], sa[i].gen, NULL), ESPC_STATUS_SA_INVALID);
    }
    b->loose = false;
    for (size_t i = 0; i < 20; i++)
        rx_good(b, &p[i], &sa[i % RX_KINDS], rx_kind_slot[i % RX_KINDS], 1000 + i, 100),
            rx_fail(&p[i], ESPC_STATUS_NO_SA);
    rx_run_all(b, p, 20);
    rx_add_kinds(b, sa);
    for (size_t i = 0; i < RX_KINDS * 4; i++)
        rx_good(b, &p[i], &sa[i % RX_KINDS], rx_kind_slot[i % RX_KINDS], i + 1, 100);
    rx_run_all(b, p, RX_KINDS * 4);
    rx_bench_done(b, p);
}

static void test_clear_and_zeroize_leave_no_key(void **state)
{
    (void)state;
    run_secrets(1);
    run_secrets(4);
}

// zeroise at every moment of a packet's way; the pipeline must always give one packet for one
static void run_zeroize_moments(int lanes, unsigned stall)
{
    struct rx_bench *b = rx_bench_new(lanes, 8);
    struct rx_packet *p = rx_packets(40);
    struct rx_sa sa;

    rx_sa_init(b, &sa, 0x1234, 1024, 0, true);
    for (unsigned moment = 1; moment < 120; moment += 3) {
        assert_int_equal(rx_sa_add(b, &sa, 2), ESPC_STATUS_OK);
        for (size_t i = 0; i < 40; i++)
            rx_good(b, &p[i], &sa, 2, i + 1, (uint16_t)(20 + rx_rng(b) % 300));
        b->out_stall = stall;
        rx_expect(b, p, 40);
        rx_idle(b, (int)moment);
        b->loose = true;
        b->pins.zeroize = true;
        rx_cycle(b);
        b->pins.zeroize = false;
        for (size_t i = b->sent + 1; i < 40; i++)
            if (i > b->sent + 20)
                rx_fail(&p[i], ESPC_STATUS_NO_SA);
        rx_run(b);
        while (!b->pins.zeroized)
            rx_cycle(b);
        b->loose = false;
        b->out_stall = 0;
    }
    rx_bench_done(b, p);
}

static void test_zeroize_at_any_moment_loses_no_packet(void **state)
{
    (void)state;
    run_zeroize_moments(1, 0);
    run_zeroize_moments(4, 0);
    run_zeroize_moments(4, 50);
}

// ---- numbers of all sizes

enum { WAYS = 4 }; // SAs in a bucket of the SPI table

static uint64_t random_64(struct rx_bench *b)
{
    uint64_t v;

    rx_fill(b, &v, sizeof(v));
    return v;
}

// An SA in which whatever may be large is, and what inbound SAs do not have is anything.
static void wide_sa(struct rx_bench *b, struct rx_sa *sa, uint64_t top)
{
    struct espc_sa_blob *blob = &sa->blob;
    uint32_t udp = rx_rng(b) & 1 ? ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK : 0;

    rx_sa_init(b, sa, (uint32_t)random_64(b) | 0x100, 1 + rx_rng(b) % 1024, ESPC_SA_BLOB_FLAGS_ESN_MASK | udp,
               rx_rng(b) & 1);
    blob->sport = (uint16_t)random_64(b);
    blob->dport = (uint16_t)random_64(b);
    blob->seq = top;
    rx_fill(b, blob->seen, sizeof(blob->seen));
    blob->seen[0] |= 1;
    blob->soft_bytes = random_64(b) | 1ull << 40;
    blob->hard_bytes = random_64(b) | 1ull << 40;
    blob->soft_packets = random_64(b) | 1ull << 40;
    blob->hard_packets = random_64(b) | 1ull << 40;
    blob->ttl = (uint8_t)random_64(b);
    blob->seq_limit = random_64(b);
    b->pins.slot_limit = random_64(b);
    rx_fill(b, blob->src + 4, sizeof(blob->src) - 4); // of IPv6, which is none of this pipeline's
    rx_fill(b, blob->dst + 4, sizeof(blob->dst) - 4);
    blob->integ = (uint32_t)random_64(b);
    blob->deadline = random_64(b);
    blob->tfc_length = (uint32_t)random_64(b);
    blob->id_offset = (uint16_t)random_64(b);
    rx_fill(b, blob->reserved0, sizeof(blob->reserved0));
}

// New ends: whoever sends from the old ones to the old ones is told that they are not the SA's.
static void move_ends(struct rx_bench *b, struct rx_sa *sa, uint32_t slot, struct rx_packet *p)
{
    rx_fill(b, sa->blob.src, 4);
    rx_fill(b, sa->blob.dst, 4);
    sa->blob.sport = (uint16_t)random_64(b);
    sa->blob.dport = (uint16_t)random_64(b);
    assert_int_equal(rx_op(b, RX_ENDPOINT, slot, (uint16_t)(sa->gen + 1), &sa->blob),
                     ESPC_STATUS_SA_STALE_GEN);
    assert_int_equal(rx_op(b, RX_ENDPOINT, slot, sa->gen, &sa->blob), ESPC_STATUS_OK);
    rx_fail(&p[0], ESPC_STATUS_SA_MISMATCH);
    rx_run_all(b, p, 1);
}

// What the port is told of a packet's length is more than comes.
static void told_wrong(struct rx_bench *b, struct rx_packet *p)
{
    rx_fail(p, ESPC_STATUS_TRUNCATED);
    p->said = (uint16_t)(p->len + 1 + rx_rng(b) % 900);
    rx_run_all(b, p, 1);
    p->said = 0;
}

// Four SAs of one SPI to four addresses: each way of its bucket has one.
static void wide_round(struct rx_bench *b, struct rx_packet *p)
{
    const uint64_t top = (random_64(b) >> (rx_rng(b) % 3 * 20)) % 0xfffffffe00000000u;
    const uint32_t first = rx_rng(b);
    struct rx_sa sa[WAYS];
    uint64_t bytes[WAYS] = {0};

    b->first_tag = (uint16_t)random_64(b);
    for (uint32_t k = 0; k < WAYS; k++) {
        wide_sa(b, &sa[k], top);
        sa[k].blob.spi = sa[0].blob.spi;
        assert_int_equal(rx_sa_add(b, &sa[k], (first + 31 * k) % RX_SLOTS), ESPC_STATUS_OK);
    }
    for (uint32_t i = 0; i < 2 * WAYS; i++) {
        rx_good(b, &p[i], &sa[i % WAYS], (first + 31 * (i % WAYS)) % RX_SLOTS, top + 1 + i / WAYS,
                (uint16_t)(20 + rx_rng(b) % 1500));
        bytes[i % WAYS] += p[i].inner_len;
    }
    rx_run_all(b, p, 2 * WAYS);
    for (uint32_t k = 0; k < WAYS; k++) {
        assert_int_equal(rx_op(b, RX_QUERY, (first + 31 * k) % RX_SLOTS, sa[k].gen, NULL), ESPC_STATUS_OK);
        assert_true(b->pins.slot_last_seq == top + 2 && b->pins.slot_packets == 2 &&
                    b->pins.slot_bytes == bytes[k]);
        assert_true(b->pins.slot_drops == 0);
    }
    rx_good(b, &p[0], &sa[0], first % RX_SLOTS, top + 3, 400);
    told_wrong(b, p);
    // another has these ends already
    assert_int_equal(rx_op(b, RX_ENDPOINT, first % RX_SLOTS, sa[0].gen, &sa[1].blob), ESPC_STATUS_SPI_EXISTS);
    for (uint32_t k = 1; k < WAYS; k++)
        assert_int_equal(rx_op(b, RX_CLEAR, (first + 31 * k) % RX_SLOTS, sa[k].gen, NULL), ESPC_STATUS_OK);
    rx_good(b, &p[0], &sa[0], first % RX_SLOTS, top + 4, 300);
    move_ends(b, &sa[0], first % RX_SLOTS, p);
    rx_good(b, &p[0], &sa[0], first % RX_SLOTS, top + 5, 200);
    rx_run_all(b, p, 1);
    assert_int_equal(rx_op(b, RX_CLEAR, first % RX_SLOTS, sa[0].gen, NULL), ESPC_STATUS_OK);
}

static void test_numbers_of_all_sizes_are_taken(void **state)
{
    enum { ROUNDS = 40 };

    (void)state;
    for (int lanes = 1; lanes <= 4; lanes *= 2) {
        struct rx_bench *b = rx_bench_new(lanes, 77);
        struct rx_packet *p = rx_packets(2 * WAYS);

        for (unsigned i = 0; i < ROUNDS; i++)
            wide_round(b, p);
        rx_bench_done(b, p);
    }
}

// More wipes than an epoch has numbers: nothing of before comes back.
static void test_epochs_begin_again(void **state)
{
    enum { EPOCHS = 260 };
    struct rx_bench *b = rx_bench_new(1, 78);
    struct rx_packet *p = rx_packets(1);
    struct rx_sa sa;

    (void)state;
    for (unsigned i = 0; i < EPOCHS; i++) {
        wide_sa(b, &sa, 7);
        assert_int_equal(rx_sa_add(b, &sa, 3), ESPC_STATUS_OK);
        rx_good(b, p, &sa, 3, 8, 50);
        rx_run_all(b, p, 1);
        b->pins.zeroize = true;
        rx_cycle(b);
        b->pins.zeroize = false;
        do
            rx_cycle(b);
        while (!b->pins.zeroized);
        rx_fail(p, ESPC_STATUS_NO_SA);
        rx_run_all(b, p, 1);
    }
    rx_bench_done(b, p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_operations_check_state_and_generation),
        cmocka_unit_test(test_slots_come_and_go_under_load),
        cmocka_unit_test(test_slot_written_again_has_nothing_of_the_one_before),
        cmocka_unit_test(test_clear_does_no_harm_to_packets_of_others),
        cmocka_unit_test(test_slot_is_written_beside_packets_without_an_sa),
        cmocka_unit_test(test_ends_change_between_two_packets),
        cmocka_unit_test(test_clear_and_zeroize_leave_no_key),
        cmocka_unit_test(test_zeroize_at_any_moment_loses_no_packet),
        cmocka_unit_test(test_numbers_of_all_sizes_are_taken),
        cmocka_unit_test(test_epochs_begin_again),
    };
    return cmocka_run_group_tests_name("esp_rx_slots", tests, NULL, NULL);
}
