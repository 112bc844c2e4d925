// SPDX-License-Identifier: Apache-2.0
// The whole card at its bus: registers, handshake, rings, completions, interrupts, SA commands, errors and
// reset, with the real pipelines between. A packet's bytes are checked by decrypting them with OpenSSL and by
// sending them back.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/rtl/top_host.h"
#include "tests/rtl/top_esp.h"

#define READY       ESPC_STATUS_READY_MASK
#define FEATURES_OK ESPC_STATUS_FEATURES_OK_MASK
#define FATAL       ESPC_STATUS_FATAL_MASK
#define DRAINED     ESPC_STATUS_DRAINED_MASK
#define ZEROIZED    ESPC_STATUS_ZEROIZED_MASK

static struct host h;
static struct queue sq, q1, q2;

static card_new make = card_model_l1_new;

static int open_card(void **state)
{
    (void)state;
    host_open(&h, make, (struct card_model_config){0});
    host_enable(&h);
    queue_open(&sq, &h, 0, 3, 3, 0);
    queue_open(&q1, &h, 1, 4, 5, 1);
    queue_open(&q2, &h, 2, 4, 4, 2);
    return 0;
}

static int close_card(void **state)
{
    (void)state;
    host_idle(&h);
    host_close(&h);
    return 0;
}

static uint32_t status(void)
{
    return host_read(&h, ESPC_REG_STATUS);
}

// A descriptor for a packet of random inner bytes with its buffers from host memory.
static struct espc_packet_desc packet(uint8_t op, uint32_t len, uint64_t cookie)
{
    struct espc_packet_desc d = {
        .op = op, .src_len = len, .dst_cap = 10240, .sa_index = 1, .generation = 1, .cookie = cookie};
    d.src_iova = host_alloc(&h, len + 64, 64) + (cookie & 3);
    d.dst_iova = host_alloc(&h, d.dst_cap, 64);
    esp_inner(host_at(&h, d.src_iova), len);
    memset(host_at(&h, d.dst_iova), 0xee, d.dst_cap);
    return d;
}

static struct espc_completion submit(struct queue *q, const struct espc_packet_desc *d)
{
    struct espc_completion c;
    queue_put(q, d);
    queue_ring(q);
    queue_wait(q, &c);
    queue_consumed(q, false);
    assert_int_equal(c.cookie, d->cookie);
    return c;
}

static void add_sa(uint8_t dir, uint32_t slot, uint16_t generation)
{
    struct espc_sa_command add = {
        .op = ESPC_SA_OP_ADD, .dir = dir, .sa_index = slot, .generation = generation, .cookie = 0xc0ffee};
    struct espc_sa_blob blob = esp_blob(slot);
    assert_int_equal(sa_command(&sq, add, &blob, NULL), ESPC_STATUS_OK);
}

static void test_identity_reads_as_the_register_source_says(void **state)
{
    (void)state;
    assert_int_equal(host_read(&h, ESPC_REG_MAGIC), 0x4c505345);
    assert_int_equal(host_read(&h, ESPC_REG_ABI), 2 << 16);
    assert_int_equal(host_read(&h, ESPC_REG_LANES), card_model_lanes(h.card));
    assert_int_equal(host_read(&h, ESPC_REG_QUEUES), 2);
    assert_int_equal(host_read(&h, ESPC_REG_SA_SLOTS), 1024);
    assert_int_equal(host_read(&h, ESPC_REG_MAX_LEN), 9216);
    assert_int_equal(host_read(&h, ESPC_REG_VECTORS), card_model_vectors(h.card));
    assert_int_equal(host_read(&h, ESPC_REG_MAGIC + 0x7000), 0);
    assert_int_equal(status(), READY | FEATURES_OK | DRAINED | ZEROIZED);
}

static void test_directory_lists_every_block_once(void **state)
{
    (void)state;
    unsigned seen = 0, entries = 0;
    for (uint32_t at = ESPC_REG_BLOCK(0); at; at = host_read(&h, at + 12)) {
        assert_true(entries++ < ESPC_BLOCK_COUNT);
        seen |= 1u << host_read(&h, at);
        assert_int_equal(host_read(&h, at + 4), 2 << 16);
        assert_true(host_read(&h, at + 8) < 0x10000);
    }
    assert_int_equal(seen, 0x7e);
}

static void name_is(unsigned index, const char *want)
{
    char name[ESPC_COUNTER_NAME_STRIDE + 1] = {0};
    for (unsigned i = 0; i < ESPC_COUNTER_NAME_STRIDE / 4; i++) {
        uint32_t w = host_read(&h, ESPC_REG_COUNTER_NAME(index) + 4 * i);
        memcpy(name + (size_t)4 * i, &w, 4);
    }
    assert_string_equal(name, want);
}

static void test_counters_carry_the_names_of_the_register_source(void **state)
{
    (void)state;
#define CHECK_COUNTER(n, v, d) name_is(v, #n);
    ESPC_COUNTER_LIST(CHECK_COUNTER)
#define CHECK_STATUS(n, v, d)                                                                                \
    if ((v) < 32)                                                                                            \
        name_is(32 + (v), (v) == ESPC_STATUS_OK ? "packets_OK" : (v) == ESPC_STATUS_POLICY ? "" : "drop_" #n);
    ESPC_STATUS_LIST(CHECK_STATUS) // POLICY is the host's alone
    name_is(16, "");
    name_is(63, "");
}

static void test_enable_without_feature_agreement_is_refused(void **state)
{
    (void)state;
    host_write(&h, ESPC_REG_CTRL, 0);
    host_write(&h, ESPC_REG_FEATURES_ACCEPTED, ESPC_FEATURES_OFFERED_WIRE_MASK);
    assert_false(status() & FEATURES_OK);
    host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK);
    assert_int_equal(host_read(&h, ESPC_REG_CTRL), 0);
    host_write(&h, ESPC_REG_FEATURES_ACCEPTED, ESPC_FEATURES_OFFERED_TUNNEL_MASK);
    assert_true(status() & FEATURES_OK);
    host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK);
    assert_int_equal(host_read(&h, ESPC_REG_CTRL), ESPC_CTRL_ENABLE_MASK);
    host_write(&h, ESPC_REG_FEATURES_ACCEPTED, 0xffffffff); // too late
    assert_int_equal(host_read(&h, ESPC_REG_FEATURES_ACCEPTED), ESPC_FEATURES_OFFERED_TUNNEL_MASK);
}

static void test_queue_with_senseless_rings_does_not_start(void **state)
{
    (void)state;
    static const struct {
        uint32_t reg, value;
    } bad[] = {
        {ESPC_REG_QUEUE_LOG2_SIZE(1), 1 | 4 << 8 | HOST_ENTRIES},
        {ESPC_REG_QUEUE_LOG2_SIZE(1), 4 | 3 << 8 | HOST_ENTRIES},
        {ESPC_REG_QUEUE_LOG2_SIZE(1), 4 | 16 << 8 | HOST_ENTRIES},
        {ESPC_REG_QUEUE_LOG2_SIZE(1), 16 | 16 << 8 | HOST_ENTRIES},
        {ESPC_REG_QUEUE_LOG2_SIZE(1), 4 | 4 << 8},
        {ESPC_REG_QUEUE_LOG2_SIZE(1), 4 | 4 << 8 | 7 << 16 | 5u << 24},
        {ESPC_REG_QUEUE_LOG2_SIZE(1), 4 | 4 << 8 | 6 << 16 | 6u << 24},
        {ESPC_REG_QUEUE_VECTOR(1), 4},
        {ESPC_REG_QUEUE_SQ_BASE_LO(1), 32},
        {ESPC_REG_QUEUE_CQ_BASE_LO(1), 8},
    };
    host_write(&h, ESPC_REG_QUEUE_CTRL(1), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint32_t good = host_read(&h, bad[i].reg);
        host_write(&h, bad[i].reg, bad[i].value);
        host_write(&h, ESPC_REG_QUEUE_CTRL(1), 1);
        assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CTRL(1)), 0);
        host_write(&h, bad[i].reg, good);
    }
    host_write(&h, ESPC_REG_QUEUE_CTRL(1), 1);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CTRL(1)), 1);
    host_write(&h, ESPC_REG_QUEUE_LOG2_SIZE(1), 7 | 7 << 8); // not while it runs
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_LOG2_SIZE(1)), 4 | 5 << 8 | HOST_ENTRIES);
}

static void test_freerun_counts_cycles_and_what_is_added(void **state)
{
    (void)state;
    host_idle(&h);
    uint32_t a = host_read(&h, ESPC_REG_FREERUN_LO);
    assert_int_equal(host_read(&h, ESPC_REG_FREERUN_HI), 0);
    card_model_freerun_add(h.card, (5ull << 32) + 1000);
    uint32_t b = host_read(&h, ESPC_REG_FREERUN_LO);
    assert_int_equal(host_read(&h, ESPC_REG_FREERUN_HI), 5);
    assert_in_range(b - a, 1001, 1010);
}

static void test_idle_card_needs_no_clock(void **state)
{
    (void)state;
    host_idle(&h);
    assert_int_equal(card_model_step(h.card, 1000), 0);
    host_write(&h, ESPC_REG_EPOCH, 7);
    assert_in_range(card_model_step(h.card, 1000), 0, 100);
    assert_int_equal(card_model_step(h.card, 1000), 0);
}

static void test_sa_commands_refuse_and_report(void **state)
{
    (void)state;
    struct espc_sa_result r;
    struct espc_sa_command c = {.op = 77, .sa_index = 1, .generation = 1, .cookie = 5};
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_BAD_OPCODE);
    c.op = ESPC_SA_OP_QUERY;
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_SA_INVALID);
    c.sa_index = 1024;
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_BAD_INDEX);
    struct espc_sa_blob blob = esp_blob(1);
    blob.alg = 9;
    c.op = ESPC_SA_OP_ADD;
    c.sa_index = 1;
    assert_int_equal(sa_command(&sq, c, &blob, &r), ESPC_STATUS_BAD_FIELD);
    assert_int_equal(r.refused_offset, offsetof(struct espc_sa_blob, alg));
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_BAD_DESC); // no blob
    c.op = ESPC_SA_OP_QUERY;
    c.reserved[1] = 1ull << 63;
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_BAD_DESC);
    c.reserved[1] = 0;
    c.op = ESPC_SA_OP_ENDPOINT; // no blob
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_BAD_DESC);
    assert_int_equal(host_counter(&h, ESPC_COUNTER_SA_COMMANDS), 7);
    assert_int_equal(host_counter(&h, ESPC_COUNTER_SA_REFUSED), 7);
    assert_true(status() & ZEROIZED);
}

static void test_sa_life_add_query_delete(void **state)
{
    (void)state;
    struct espc_sa_result r;
    struct espc_sa_command c = {.op = ESPC_SA_OP_QUERY, .sa_index = 1, .generation = 1, .cookie = 6};
    add_sa(0, 1, 1);
    assert_false(status() & ZEROIZED);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 100, 9);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_OK);
    assert_int_equal(r.packets, 1);
    assert_int_equal(r.bytes, 100);
    assert_int_equal(r.last_seq, 1);
    c.generation = 2;
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_SA_STALE_GEN);
    c.generation = 1;
    c.op = ESPC_SA_OP_DELETE;
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_OK);
    assert_int_equal(r.packets, 1);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_SA_INVALID);
}

static void test_packet_goes_out_and_comes_back(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    add_sa(1, 1, 1);
    for (uint32_t len = 20; len < 200; len += 13) {
        struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, len, len);
        struct espc_completion c = submit(&q1, &d);
        assert_int_equal(c.status, ESPC_STATUS_OK);
        assert_int_equal(c.sa_index, 1);
        assert_int_equal(c.generation, 1);
        esp_check(host_at(&h, d.dst_iova), c.out_len, c.seq, 1, host_at(&h, d.src_iova), len);
        assert_int_equal(host_at(&h, d.dst_iova)[c.out_len], 0xee);
        struct espc_packet_desc back = packet(ESPC_PKT_OP_DECAP, c.out_len, 1000 + len);
        memcpy(host_at(&h, back.src_iova), host_at(&h, d.dst_iova), c.out_len);
        struct espc_completion e = submit(&q2, &back);
        assert_int_equal(e.status, ESPC_STATUS_OK);
        assert_int_equal(e.seq, c.seq);
        assert_int_equal(e.out_len, len);
        assert_memory_equal(host_at(&h, back.dst_iova), host_at(&h, d.src_iova), len);
        assert_int_equal(submit(&q2, &back).status, ESPC_STATUS_REPLAY_SEEN);
        h.used = 1 << 20;
    }
    assert_int_equal(host_counter(&h, 32 + ESPC_STATUS_REPLAY_SEEN),
                     host_counter(&h, ESPC_COUNTER_DEC_PACKETS));
}

static void test_bad_descriptors_complete_with_bad_desc(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_packet_desc good = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    for (unsigned i = 0; i < 10; i++) {
        struct espc_packet_desc d = good;
        d.cookie = 100 + i;
        d.op = (i == 0) ? 3 : (i == 1) ? 0 : d.op;
        d.src_len = (i == 2) ? 0 : (i == 3) ? 9217 : d.src_len;
        d.dst_iova = (i == 4) ? 0 : d.dst_iova + (i == 5 ? 16 : 0);
        d.flags = i == 6;
        d.wire_port = i == 7;
        d.l3_offset = i == 8 ? 14 : 0;
        d.reserved1[1] = i == 9 ? 1ull << 63 : 0;
        struct espc_completion c = submit(&q1, &d);
        assert_int_equal(c.status, ESPC_STATUS_BAD_DESC);
        assert_int_equal(c.sa_index, 0xffffffff);
        assert_int_equal(c.out_len, 0);
    }
    assert_int_equal(submit(&q1, &good).status, ESPC_STATUS_OK);
    assert_int_equal(host_counter(&h, 32 + ESPC_STATUS_BAD_DESC), 10);
}

static void test_result_longer_than_its_buffer_writes_nothing(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 500, 1);
    struct espc_completion c = submit(&q1, &d);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    d.dst_cap = c.out_len;
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    d.dst_cap = c.out_len - 1u;
    d.cookie++;
    h.write_from = d.dst_iova;
    h.write_to = d.dst_iova + 10240;
    c = submit(&q1, &d);
    assert_int_equal(c.status, ESPC_STATUS_TOO_LONG);
    assert_int_equal(c.out_len, 0);
    assert_int_equal(h.writes, 0);
}

static void test_bus_error_on_payload_fails_that_packet_only(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 700, 1);
    h.bad_from = d.src_iova + 500;
    h.bad_to = h.bad_from + 1;
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_DMA_ERROR);
    h.bad_from = d.dst_iova + 300;
    h.bad_to = h.bad_from + 1;
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_DMA_ERROR);
    h.bad_from = h.bad_to = 0;
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    assert_false(status() & FATAL);
}

static void test_bus_error_on_blob_fails_the_add(void **state)
{
    (void)state;
    struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .sa_index = 1, .generation = 1};
    struct espc_sa_blob blob = esp_blob(1);
    h.bad_from = HOST_BASE + h.used + 256;
    h.bad_to = h.bad_from + 64;
    assert_int_equal(sa_command(&sq, add, &blob, NULL), ESPC_STATUS_DMA_ERROR);
    h.bad_from = h.bad_to = 0;
    assert_true(status() & ZEROIZED);
    assert_int_equal(sa_command(&sq, add, &blob, NULL), ESPC_STATUS_OK);
}

// The pipeline may refuse a packet at its first beat. Its completion gives the buffer back to the host all
// the same, so it waits for the reads; and an error among them is this packet's, not that of one 256 packets
// later.
static void read_error_behind_a_refused_packet(uint8_t op)
{
    struct espc_packet_desc bad = packet(op, 9000, 1), ok = packet(ESPC_PKT_OP_ENCAP, 60, 2);
    bad.sa_index = 500; // nothing is there; and as an outer packet it is no ESP
    h.bad_from = bad.src_iova + 8000;
    h.bad_to = h.bad_from + 1;
    struct espc_completion c = submit(&q1, &bad);
    assert_int_equal(c.status, ESPC_STATUS_DMA_ERROR);
    assert_int_equal(h.refused, 1); // before the completion, not after it
    host_idle(&h);
    assert_int_equal(h.refused, 1);
    h.bad_from = h.bad_to = 0;
    for (unsigned i = 0; i < 300; i++) {
        ok.cookie = i;
        c = submit(&q1, &ok);
        assert_int_equal(c.status, ESPC_STATUS_OK);
        if (op == ESPC_PKT_OP_ENCAP)
            continue;
        struct espc_packet_desc back = ok;
        back.op = op;
        back.src_iova = bad.src_iova;
        back.src_len = c.out_len;
        memcpy(host_at(&h, back.src_iova), host_at(&h, ok.dst_iova), c.out_len);
        assert_int_equal(submit(&q2, &back).status, ESPC_STATUS_OK);
    }
}

static void test_read_error_behind_a_refused_packet_is_its_own(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    add_sa(1, 1, 1);
    read_error_behind_a_refused_packet(ESPC_PKT_OP_ENCAP);
    h.refused = 0;
    read_error_behind_a_refused_packet(ESPC_PKT_OP_DECAP);
}

static uint32_t queue_status(unsigned q)
{
    return host_read(&h, ESPC_REG_QUEUE_STATUS(q));
}

// The queue has stopped for this cause, which is all that has happened: the others go on, and so does every
// SA, also in this queue once it is started afresh.
static void fails_alone(struct queue *q, enum espc_queue_cause cause)
{
    struct queue *other = q == &q1 ? &q2 : &q1;
    unsigned irqs = h.irqs[q->number];
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    host_idle(&h);
    assert_int_equal(status() & (FATAL | ESPC_STATUS_QUEUE_ERROR_MASK | ZEROIZED),
                     ESPC_STATUS_QUEUE_ERROR_MASK);
    assert_int_equal(queue_status(q->number),
                     ESPC_QUEUE_STATUS_ERROR_MASK | (uint32_t)cause << ESPC_QUEUE_STATUS_CAUSE_SHIFT);
    assert_int_equal(host_read(&h, ESPC_REG_ERR_CAUSE), 0);
    assert_int_equal(queue_status(other->number), 0);
    assert_int_equal(irqs, 1);
    uint32_t head = host_read(&h, ESPC_REG_QUEUE_SQ_HEAD(q->number));
    host_write(&h, ESPC_REG_DOORBELL_SQ_TAIL(q->number), head + 1);
    host_write(&h, ESPC_REG_DOORBELL_CQ_HEAD(q->number), 0x80000000u);
    host_idle(&h);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_SQ_HEAD(q->number)), head);
    assert_int_equal(h.irqs[q->number], 1);
    assert_int_equal(queue_status(q->number) >> ESPC_QUEUE_STATUS_CAUSE_SHIFT, cause); // still the first one
    struct espc_completion c = submit(other, &d);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    h.bad_from = h.bad_to = 0;
    queue_open(q, &h, q->number, 4, 5, q->number);
    assert_int_equal(queue_status(q->number), 0);
    assert_false(status() & ESPC_STATUS_QUEUE_ERROR_MASK);
    if (q == &sq) {
        struct espc_sa_command query = {.op = ESPC_SA_OP_QUERY, .sa_index = 1, .generation = 1};
        assert_int_equal(sa_command(&sq, query, NULL, NULL), ESPC_STATUS_OK);
    } else {
        uint64_t seq = c.seq;
        c = submit(q, &d);
        assert_int_equal(c.status, ESPC_STATUS_OK);
        assert_int_equal(c.seq, seq + 1);
    }
}

static void test_bus_error_on_a_submission_ring_stops_its_queue_alone(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    h.bad_from = q1.sq;
    h.bad_to = q1.sq + 1;
    queue_put(&q1, &d);
    queue_ring(&q1);
    host_idle(&h);
    fails_alone(&q1, ESPC_QUEUE_CAUSE_SQ_READ);
    struct espc_sa_command c = {.op = ESPC_SA_OP_FENCE, .result_iova = host_alloc(&h, 64, 64)};
    h.bad_from = sq.sq;
    h.bad_to = sq.sq + (64u << sq.sq_log2);
    queue_put(&sq, &c);
    queue_ring(&sq);
    host_idle(&h);
    fails_alone(&sq, ESPC_QUEUE_CAUSE_SQ_READ);
}

// What was fetched before the bad entry completes.
static void test_good_entries_beside_a_bad_one_complete(void **state)
{
    (void)state;
    struct espc_completion c;
    unsigned done = 0;
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    for (unsigned i = 0; i < 12; i++)
        queue_put(&q1, &d);
    h.bad_from = q1.sq + 5 * 64;
    h.bad_to = h.bad_from + 64;
    queue_ring(&q1);
    host_idle(&h);
    while (queue_poll(&q1, &c)) {
        assert_int_equal(c.status, ESPC_STATUS_OK);
        done++;
    }
    assert_in_range(done, 4, 11);
    fails_alone(&q1, ESPC_QUEUE_CAUSE_SQ_READ);
}

static void test_bus_error_on_a_completion_ring_stops_its_queue_alone(void **state)
{
    (void)state;
    struct espc_sa_command c = {.op = ESPC_SA_OP_FENCE, .result_iova = host_alloc(&h, 64, 64)};
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    add_sa(0, 1, 1);
    h.bad_from = q2.cq;
    h.bad_to = q2.cq + 1;
    queue_put(&q2, &d);
    queue_put(&q2, &d);
    queue_ring(&q2);
    host_idle(&h);
    fails_alone(&q2, ESPC_QUEUE_CAUSE_CQ_WRITE);
    h.bad_from = sq.cq;
    h.bad_to = sq.cq + (32u << sq.cq_log2);
    queue_put(&sq, &c);
    queue_ring(&sq);
    host_idle(&h);
    fails_alone(&sq, ESPC_QUEUE_CAUSE_CQ_WRITE);
}

static void test_doorbell_beyond_the_ring_stops_its_queue_alone(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    host_write(&h, ESPC_REG_DOORBELL_SQ_TAIL(1), 17);
    host_idle(&h);
    fails_alone(&q1, ESPC_QUEUE_CAUSE_BAD_DOORBELL);
}

// The host takes back what it has offered, in any cycle of a fetch: either the card has it already, which
// stops the queue, or it stops at the new tail. It never runs entries that the host has not offered.
static void test_doorbell_that_goes_back_stops_the_queue_in_order_or_in_error(void **state)
{
    unsigned error = 0, stopped = 0;

    (void)state;
    for (unsigned delay = 0; delay < 60; delay++)
        for (unsigned ahead = 0; ahead < 6; ahead++) {
            host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK);
            host_idle(&h);
            host_forget(&h);
            host_enable(&h);
            queue_open(&q1, &h, 1, 6, 7, 1);
            struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
            for (unsigned i = 0; i < 64; i++)
                queue_put(&q1, &d);
            host_write(&h, ESPC_REG_DOORBELL_SQ_TAIL(1), 60);
            card_model_step(h.card, delay);
            uint32_t back = delay / 5 * 4 + ahead; // about as far as it is
            host_write(&h, ESPC_REG_DOORBELL_SQ_TAIL(1), back);
            host_idle(&h);
            uint32_t fetched = host_read(&h, ESPC_REG_QUEUE_SQ_HEAD(1));
            if (queue_status(1) & ESPC_QUEUE_STATUS_ERROR_MASK)
                error++;
            else if (fetched == back)
                stopped++;
            else
                fail_msg("tail 60, %u cycles later %u: the card fetched %u entries and is not in ERROR",
                         delay, back, fetched);
        }
    assert_true(error > 20 && stopped > 20); // both sides of the edge were met
}

static void test_completion_doorbell_beyond_the_tail_stops_its_queue_alone(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    host_write(&h, ESPC_REG_DOORBELL_CQ_HEAD(1), 1);
    host_idle(&h);
    fails_alone(&q1, ESPC_QUEUE_CAUSE_BAD_DOORBELL);
}

// A context whose tag is not that of the packet that leaves the pipeline: a bit has fallen over inside.
static void upset(void)
{
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 900, 0x1122334455667788);
    uint64_t context[2] = {d.cookie, d.dst_iova};
    unsigned found = 0;
    queue_put(&q1, &d);
    queue_ring(&q1);
    for (unsigned i = 0; i < 200 && !found; i++) {
        card_model_step(h.card, 1);
        found = card_model_flip(h.card, context, sizeof context, 2, 0x08);
    }
    assert_true(found);
    host_idle(&h);
}

static void test_fault_inside_is_fatal(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    upset();
    assert_true(status() & FATAL);
    assert_true(status() & ZEROIZED);
    assert_int_equal(host_read(&h, ESPC_REG_ERR_CAUSE), ESPC_ERR_CAUSE_INTERNAL_MASK);
    assert_int_equal(host_read(&h, ESPC_REG_ERR_SYNDROME), 1);
    uint32_t head = host_read(&h, ESPC_REG_QUEUE_SQ_HEAD(2));
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    queue_put(&q2, &d);
    queue_ring(&q2);
    host_idle(&h);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_SQ_HEAD(2)), head); // nothing more is fetched
    host_write(&h, ESPC_REG_ERR_CAUSE, ESPC_ERR_CAUSE_INTERNAL_MASK);
    assert_int_equal(host_read(&h, ESPC_REG_ERR_CAUSE), 0);
    assert_true(status() & FATAL);
    host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK);
    host_idle(&h);
    assert_int_equal(status(), READY | FEATURES_OK | DRAINED | ZEROIZED);
}

static uint64_t freerun(void)
{
    uint64_t low = host_read(&h, ESPC_REG_FREERUN_LO);
    return low | (uint64_t)host_read(&h, ESPC_REG_FREERUN_HI) << 32;
}

static uint16_t add_with_deadline(uint8_t dir, uint32_t slot, uint64_t limit, uint64_t deadline)
{
    struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .dir = dir, .sa_index = slot, .generation = 1};
    struct espc_sa_blob blob = esp_blob(slot);
    blob.seq_limit = limit;
    blob.deadline = deadline;
    return sa_command(&sq, add, &blob, NULL);
}

static uint16_t lease(uint32_t slot, uint64_t limit, uint64_t deadline)
{
    struct espc_sa_command c = {
        .op = ESPC_SA_OP_LEASE, .sa_index = slot, .generation = 1, .seq_limit = limit, .deadline = deadline};
    return sa_command(&sq, c, NULL, NULL);
}

enum { LONG = 1000000 };

static void test_past_its_deadline_an_sa_stops_and_says_so(void **state)
{
    (void)state;
    struct espc_sa_result r;
    struct espc_sa_command c = {.op = ESPC_SA_OP_DELETE, .sa_index = 1, .generation = 1};
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1), other = d;
    other.sa_index = 2;
    assert_int_equal(add_with_deadline(0, 1, 100, freerun() + LONG), ESPC_STATUS_OK);
    assert_int_equal(add_with_deadline(0, 2, 100, 0), ESPC_STATUS_OK);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    card_model_freerun_add(h.card, LONG);
    for (unsigned i = 0; i < 3; i++) {
        struct espc_completion done = submit(&q1, &d);
        assert_int_equal(done.status, ESPC_STATUS_LEASE_EXPIRED);
        assert_int_equal(done.out_len, 0);
        assert_int_equal(done.seq, 0);
        assert_int_equal(host_at(&h, d.dst_iova)[0], i ? 0xee : 0x45);
        memset(host_at(&h, d.dst_iova), 0xee, d.dst_cap);
    }
    assert_int_equal(submit(&q1, &other).status, ESPC_STATUS_OK);  // that one has none
    assert_int_equal(lease(1, 200, 0), ESPC_STATUS_LEASE_EXPIRED); // nothing revives it
    assert_int_equal(lease(1, 100, UINT64_MAX - 1), ESPC_STATUS_LEASE_EXPIRED);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_LEASE_EXPIRED);
    assert_int_equal(host_counter(&h, 32 + ESPC_STATUS_LEASE_EXPIRED), 4);
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_OK);
    assert_int_equal(r.last_seq, 1);
    assert_int_equal(r.packets, 1);
    assert_int_equal(r.drops, 4);
}

static void test_lease_moves_the_deadline_and_leaves_the_mark(void **state)
{
    (void)state;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    uint64_t from = freerun();
    assert_int_equal(add_with_deadline(0, 1, 17, from + LONG), ESPC_STATUS_OK); // numbers 1 ... 16
    for (unsigned i = 1; i <= 15; i++) {
        assert_int_equal(lease(1, 17, from + (i + 2) * LONG), ESPC_STATUS_OK);
        card_model_freerun_add(h.card, LONG);
        struct espc_completion c = submit(&q1, &d);
        assert_int_equal(c.status, ESPC_STATUS_OK);
        assert_int_equal(!!(c.flags & ESPC_COMPLETION_FLAGS_LEASE_LOW_MASK), i >= 13); // of 16: a quarter
    }
    assert_int_equal(lease(1, 16, from + 100ull * LONG), ESPC_STATUS_BAD_LEASE);
    assert_int_equal(lease(1, 30, 0), ESPC_STATUS_OK); // no deadline any more
    card_model_freerun_add(h.card, 1000ull * LONG);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    assert_int_equal(lease(1, 30, freerun() + LONG), ESPC_STATUS_OK);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    card_model_freerun_add(h.card, LONG);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_LEASE_EXPIRED);
}

static void test_deadlines_are_for_outbound_sas_and_leases(void **state)
{
    (void)state;
    struct espc_sa_command query = {.op = ESPC_SA_OP_QUERY, .sa_index = 1, .generation = 1, .deadline = 1};
    assert_int_equal(add_with_deadline(1, 1, 0, 5), ESPC_STATUS_BAD_FIELD);
    assert_int_equal(add_with_deadline(1, 1, 0, 0), ESPC_STATUS_OK);
    query.dir = 1;
    assert_int_equal(sa_command(&sq, query, NULL, NULL), ESPC_STATUS_BAD_DESC);
    query.deadline = 0;
    assert_int_equal(sa_command(&sq, query, NULL, NULL), ESPC_STATUS_OK);
}

static uint16_t move_ends(uint8_t dir, uint32_t slot, const struct espc_sa_blob *ends,
                          struct espc_sa_result *r)
{
    struct espc_sa_command c = {.op = ESPC_SA_OP_ENDPOINT, .dir = dir, .sa_index = slot, .generation = 1};
    return sa_command(&sq, c, ends, r);
}

static struct espc_sa_blob new_ends(void)
{
    struct espc_sa_blob b = {.flags = ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK,
                             .outer = ESPC_FAMILY_IPV4,
                             .src = {203, 0, 113, 9},
                             .dst = {198, 51, 100, 77},
                             .sport = 61000,
                             .dport = 62000};
    return b;
}

// The key, the numbers and the window stay; what leaves from then on has the new ends.
static void test_endpoint_moves_an_sa_and_nothing_else_of_it(void **state)
{
    (void)state;
    struct espc_sa_blob ends = new_ends();
    struct espc_sa_result r;
    add_sa(0, 1, 1);
    add_sa(1, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1), back = packet(ESPC_PKT_OP_DECAP, 200, 2);
    struct espc_completion c = submit(&q1, &d);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_int_equal(move_ends(0, 1, &ends, &r), ESPC_STATUS_OK);
    assert_int_equal(r.last_seq, 1);
    assert_int_equal(r.packets, 1);
    c = submit(&q1, &d);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_int_equal(c.seq, 2);
    uint8_t *o = host_at(&h, d.dst_iova);
    assert_memory_equal(o + 12, ends.src, 4);
    assert_memory_equal(o + 16, ends.dst, 4);
    assert_int_equal(o[20] << 8 | o[21], ends.sport);
    assert_int_equal(o[22] << 8 | o[23], ends.dport);
    esp_check(o, c.out_len, c.seq, 1, host_at(&h, d.src_iova), 60); // the same key
    back.src_len = c.out_len;
    memcpy(host_at(&h, back.src_iova), o, c.out_len);
    assert_int_equal(submit(&q2, &back).status, ESPC_STATUS_SA_MISMATCH); // the other end is where it was
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_OK);
    c = submit(&q2, &back);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_int_equal(c.flags & ESPC_COMPLETION_FLAGS_SRC_CHANGED_MASK, 0);
    ends.src[3]++; // it moves again, and the window is the old one
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_OK);
    assert_int_equal(r.packets, 1);
    c = submit(&q2, &back);
    assert_int_equal(c.status, ESPC_STATUS_REPLAY_SEEN);
    c = submit(&q1, &d);
    memcpy(host_at(&h, back.src_iova), o, c.out_len);
    c = submit(&q2, &back);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_true(c.flags & ESPC_COMPLETION_FLAGS_SRC_CHANGED_MASK);
}

static void test_endpoint_is_refused_by_field_and_by_place(void **state)
{
    (void)state;
    struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .dir = 1, .sa_index = 2, .generation = 1};
    struct espc_sa_blob ends = new_ends(), twin = esp_blob(1);
    struct espc_sa_result r;
    assert_int_equal(move_ends(0, 1, &ends, &r), ESPC_STATUS_SA_INVALID);
    add_sa(1, 1, 1);
    ends.dport = 0;
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_BAD_FIELD);
    assert_int_equal(r.refused_offset, offsetof(struct espc_sa_blob, dport));
    ends = new_ends();
    ends.outer = ESPC_FAMILY_IPV6;
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_BAD_FIELD);
    assert_int_equal(r.refused_offset, offsetof(struct espc_sa_blob, outer));
    ends = new_ends();
    memcpy(twin.dst, ends.dst, 4); // another SA with this SPI is there already
    assert_int_equal(sa_command(&sq, add, &twin, NULL), ESPC_STATUS_OK);
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_SPI_EXISTS);
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1), back = packet(ESPC_PKT_OP_DECAP, 200, 2);
    struct espc_completion c = submit(&q1, &d);
    back.src_len = c.out_len;
    memcpy(host_at(&h, back.src_iova), host_at(&h, d.dst_iova), c.out_len);
    c = submit(&q2, &back); // and the refused one is where it was
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_int_equal(c.sa_index, 1);
    struct espc_sa_command del = {.op = ESPC_SA_OP_DELETE, .dir = 1, .sa_index = 2, .generation = 1};
    assert_int_equal(sa_command(&sq, del, NULL, NULL), ESPC_STATUS_OK);
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_OK); // now there is room
}

// RFC 6864: with DF any, here 0; without, no two SAs share a counter that begins at the same place.
static void test_identification_is_the_number_and_the_sas_offset(void **state)
{
    (void)state;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    uint8_t *in = host_at(&h, d.src_iova), *o = host_at(&h, d.dst_iova);
    for (uint32_t slot = 1; slot <= 2; slot++) {
        struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .sa_index = slot, .generation = 1};
        struct espc_sa_blob blob = esp_blob(slot);
        blob.id_offset = (uint16_t)(0xfffe * slot);
        assert_int_equal(sa_command(&sq, add, &blob, NULL), ESPC_STATUS_OK);
        d.sa_index = slot;
        for (unsigned i = 1; i <= 6; i++) {
            in[6] = i & 1 ? 0x40 : 0;
            assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
            assert_int_equal(o[4] << 8 | o[5], i & 1 ? 0 : (uint16_t)(i + blob.id_offset));
        }
    }
}

// Events of all kinds at once, and snapshots at every place of a round: each is one instant, and no event is
// lost.
static void test_snapshots_are_of_one_instant_and_lose_nothing(void **state)
{
    (void)state;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    struct espc_completion c;
    unsigned sent = 1;
    add_sa(0, 1, 1);
    unsigned outer = submit(&q1, &d).out_len;
    for (unsigned step = 0; step < 130; step += 3) {
        for (unsigned i = 0; i < 4; i++)
            queue_put(&q1, &d);
        queue_ring(&q1);
        card_model_step(h.card, step);
        host_write(&h, ESPC_REG_SNAPSHOT, 1);
        uint64_t n[3];
        const unsigned at[3] = {ESPC_COUNTER_ENC_PACKETS, 32 + ESPC_STATUS_OK, ESPC_COUNTER_ENC_BYTES};
        for (unsigned i = 0; i < 3; i++)
            n[i] = host_read(&h, ESPC_REG_COUNTER_LO(at[i]));
        assert_int_equal(n[0], n[1]);
        assert_int_equal(n[2], n[0] * outer);
        assert_in_range(n[0], sent, sent + 4);
        for (unsigned i = 0; i < 4; i++)
            queue_wait(&q1, &c);
        queue_consumed(&q1, false);
        sent += 4;
    }
    assert_int_equal(host_counter(&h, ESPC_COUNTER_ENC_PACKETS), sent);
    assert_int_equal(host_counter(&h, ESPC_COUNTER_DESC_FETCHED), sent);
    assert_int_equal(host_counter(&h, ESPC_COUNTER_COMPLETIONS), sent + 1);
}

static void test_quiesce_stops_fetching_until_it_is_lifted(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    struct espc_completion c;
    host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK | ESPC_CTRL_QUIESCE_MASK);
    queue_put(&q1, &d);
    queue_ring(&q1);
    host_idle(&h);
    assert_true(status() & DRAINED);
    assert_false(queue_poll(&q1, &c));
    host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK);
    queue_wait(&q1, &c);
    assert_int_equal(c.status, ESPC_STATUS_OK);
}

static void test_full_completion_ring_is_never_overrun(void **state)
{
    (void)state;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    struct espc_completion c;
    for (unsigned round = 0; round < 3;
         round++) { // q2: 16 entries in each ring; no CQ_HEAD doorbell but the last
        for (unsigned i = 0; i < 8; i++)
            queue_put(&q2, &d);
        queue_ring(&q2);
        host_idle(&h);
    }
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_SQ_HEAD(2)), 16);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CQ_TAIL(2)), 16);
    for (unsigned i = 0; i < 16; i++)
        assert_true(queue_poll(&q2, &c));
    assert_false(queue_poll(&q2, &c));
    queue_consumed(&q2, false);
    for (unsigned i = 0; i < 8; i++)
        queue_wait(&q2, &c);
}

static void test_interrupt_comes_once_per_arm_after_its_completion(void **state)
{
    (void)state;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    submit(&q1, &d);
    host_idle(&h);
    assert_int_equal(h.irqs[1], 0); // never armed
    queue_consumed(&q1, true);
    host_idle(&h);
    assert_int_equal(h.irqs[1], 0);
    submit(&q1, &d);
    submit(&q1, &d);
    host_idle(&h);
    assert_int_equal(h.irqs[1], 1);
    q1.head--; // the head never moves back
    queue_consumed(&q1, false);
    host_idle(&h);
    assert_int_equal(queue_status(1) >> ESPC_QUEUE_STATUS_CAUSE_SHIFT, ESPC_QUEUE_CAUSE_BAD_DOORBELL);
    assert_int_equal(h.irqs[1], 2); // for the error
}

static void test_arming_with_unread_completions_fires_at_once(void **state)
{
    (void)state;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    queue_put(&q1, &d);
    queue_ring(&q1);
    host_idle(&h);
    queue_consumed(&q1, true);
    host_idle(&h);
    assert_int_equal(h.irqs[1], 1);
    assert_int_equal(h.irqs[0] + h.irqs[2] + h.irqs[3], 0);
}

static void test_fence_completes_after_the_packets_before_it(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_completion c;
    for (unsigned i = 0; i < 12; i++) {
        struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 1500, i);
        queue_put(&q1, &d);
    }
    queue_ring(&q1);
    card_model_step(h.card, 60);
    assert_false(status() & DRAINED);
    uint32_t fetched = host_read(&h, ESPC_REG_QUEUE_SQ_HEAD(1));
    struct espc_sa_command fence = {.op = ESPC_SA_OP_FENCE, .cookie = 4};
    assert_int_equal(sa_command(&sq, fence, NULL, NULL), ESPC_STATUS_OK);
    for (unsigned i = 0; i < fetched; i++)
        assert_true(queue_poll(&q1, &c));
    assert_true(fetched >= 1);
}

static void test_slot_number_beyond_the_card_is_no_alias(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    for (unsigned bit = 10; bit < 32; bit++) {
        d.sa_index = 1 | 1u << bit;
        assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_SA_INVALID);
    }
    struct espc_sa_command c = {.op = ESPC_SA_OP_QUERY, .sa_index = 1 | 1u << 20, .generation = 1};
    assert_int_equal(sa_command(&sq, c, NULL, NULL), ESPC_STATUS_BAD_INDEX);
}

static void test_fewer_slots_are_offered_when_asked(void **state)
{
    (void)state;
    struct host small;
    struct queue q;
    struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .sa_index = 16, .generation = 1};
    struct espc_sa_blob blob = esp_blob(16);
    host_open(&small, make, (struct card_model_config){.sa_slots = 16});
    assert_int_equal(host_read(&small, ESPC_REG_SA_SLOTS), 16);
    host_enable(&small);
    queue_open(&q, &small, 0, 2, 2, 0);
    assert_int_equal(sa_command(&q, add, &blob, NULL), ESPC_STATUS_BAD_INDEX);
    add.sa_index = 15;
    assert_int_equal(sa_command(&q, add, &blob, NULL), ESPC_STATUS_OK);
    host_idle(&small);
    host_close(&small);
}

static void test_disabled_queue_finishes_its_work_and_starts_afresh(void **state)
{
    (void)state;
    struct espc_completion c;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 1400, 1);
    queue_put(&q2, &d);
    queue_put(&q2, &d);
    queue_ring(&q2);
    card_model_step(h.card, 4);
    host_write(&h, ESPC_REG_QUEUE_CTRL(2), 0);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_STATUS(2)), ESPC_QUEUE_STATUS_ACTIVE_MASK);
    host_write(&h, ESPC_REG_QUEUE_CQ_BASE_LO(2), 0x1000); // still in use
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CQ_BASE_LO(2)), (uint32_t)q2.cq);
    host_write(&h, ESPC_REG_QUEUE_CTRL(2), 1);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CTRL(2)), 0);
    host_idle(&h);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_STATUS(2)), 0);
    assert_true(queue_poll(&q2, &c));
    host_write(&h, ESPC_REG_DOORBELL_SQ_TAIL(2), 99); // a disabled queue has no doorbell
    host_idle(&h);
    assert_false(status() & FATAL);
    queue_open(&q2, &h, 2, 2, 2, 3);
    assert_int_equal(submit(&q2, &d).status, ESPC_STATUS_SA_INVALID);
}

static void test_reset_under_load_forgets_everything(void **state)
{
    (void)state;
    for (unsigned delay = 0; delay < 400; delay += 23) {
        struct espc_packet_desc d;
        add_sa(0, 1, 1);
        for (unsigned i = 0; i < 12; i++) {
            d = packet(ESPC_PKT_OP_ENCAP, 200, i);
            queue_put(&q1, &d);
        }
        queue_ring(&q1);
        card_model_step(h.card, delay);
        host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK | ESPC_CTRL_ENABLE_MASK);
        assert_false(status() & READY);
        host_idle(&h);
        assert_int_equal(status(), READY | FEATURES_OK | DRAINED | ZEROIZED);
        assert_int_equal(host_read(&h, ESPC_REG_EPOCH), 0);
        assert_int_equal(host_read(&h, ESPC_REG_CTRL), 0);
        assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CTRL(1)), 0);
        assert_int_equal(host_read(&h, ESPC_REG_FEATURES_ACCEPTED), 0);
        host_forget(&h);
        host_enable(&h);
        queue_open(&sq, &h, 0, 3, 3, 0);
        queue_open(&q1, &h, 1, 4, 5, 1);
        d = packet(ESPC_PKT_OP_ENCAP, 60, 77);
        assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_SA_INVALID); // the slot is empty
    }
}

// The key's halves, wherever they stand: schedules start with them.
static unsigned keys_inside(void)
{
    struct espc_sa_blob b = esp_blob(1);
    return card_model_find(h.card, b.key, 16) + card_model_find(h.card, b.key + 16, 16);
}

// The allocator gives the model memory that held keys before: what it finds must be the design's own.
static void test_new_card_on_memory_with_old_keys_shows_none(void **state)
{
    (void)state;
    struct espc_sa_blob b = esp_blob(1);
    enum { BLOCKS = 1024, SIZE = 16384 };
    unsigned char *p[BLOCKS];
    host_close(&h);
    for (unsigned i = 0; i < BLOCKS; i++) {
        p[i] = malloc(SIZE);
        assert_non_null(p[i]);
        for (size_t at = 0; at < SIZE; at += 16)
            memcpy(p[i] + at, b.key, 16);
        __asm__ volatile("" : : "r"(p[i]) : "memory"); // the writes are meant
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        free(p[i]);
    open_card(NULL);
    assert_int_equal(keys_inside(), 0);
}

static void test_no_key_stays_after_delete_reset_zeroize_and_fatal(void **state)
{
    (void)state;
    struct espc_sa_command del = {.op = ESPC_SA_OP_DELETE, .sa_index = 1, .generation = 1};
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    for (unsigned way = 0; way < 5; way++) {
        add_sa(0, 1, 1);
        add_sa(1, 1, 1);
        assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
        host_idle(&h);
        assert_true(keys_inside() >= 4); // both halves, in both directions
        switch (way) {
        case 0:
            assert_int_equal(sa_command(&sq, del, NULL, NULL), ESPC_STATUS_OK);
            del.dir = 1;
            assert_int_equal(sa_command(&sq, del, NULL, NULL), ESPC_STATUS_OK);
            break;
        case 1: host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK | ESPC_CTRL_ZEROIZE_MASK); break;
        case 2: upset(); break;
        case 3: host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK); break;
        default: card_model_hard_reset(h.card);
        }
        host_idle(&h);
        if (keys_inside())
            fail_msg("way %u: the key is still there, %u times", way, keys_inside());
        if (way >= 2) {
            host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK);
            host_idle(&h);
            host_enable(&h);
            queue_open(&sq, &h, 0, 3, 3, 0);
            queue_open(&q1, &h, 1, 4, 5, 1);
        }
    }
}

static void test_zeroize_frees_all_slots(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    add_sa(1, 1, 1);
    assert_false(status() & ZEROIZED);
    host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK | ESPC_CTRL_ZEROIZE_MASK);
    host_idle(&h);
    assert_true(status() & ZEROIZED);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_SA_INVALID);
    add_sa(0, 1, 1);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    struct espc_sa_command all = {.op = ESPC_SA_OP_ZEROIZE_ALL};
    assert_int_equal(sa_command(&sq, all, NULL, NULL), ESPC_STATUS_OK);
    assert_true(status() & ZEROIZED);
}

static void test_hard_reset_is_like_a_new_card(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 900, 1);
    queue_put(&q1, &d);
    queue_ring(&q1);
    card_model_step(h.card, 90);
    card_model_hard_reset(h.card);
    host_idle(&h);
    assert_int_equal(status(), READY | FEATURES_OK | DRAINED | ZEROIZED);
    assert_int_equal(host_counter(&h, ESPC_COUNTER_SA_COMMANDS), 0);
    host_forget(&h);
    host_enable(&h);
    queue_open(&sq, &h, 0, 3, 3, 0);
    queue_open(&q1, &h, 1, 4, 5, 1);
    add_sa(0, 1, 1);
    d = packet(ESPC_PKT_OP_ENCAP, 900, 2);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
}

static void test_waveform_is_written_while_it_is_on(void **state)
{
    (void)state;
    char path[] = "/tmp/test_top.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(card_model_wave_start(h.card, "/nonexistent/x.fst"), -EIO);
    assert_int_equal(card_model_wave_start(h.card, path), 0);
    assert_int_equal(card_model_wave_start(h.card, path), -EBUSY);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    submit(&q1, &d);
    card_model_wave_stop(h.card);
    struct stat st, later;
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 1000);
    submit(&q1, &d);
    assert_int_equal(stat(path, &later), 0);
    assert_int_equal(later.st_size, st.st_size);
    close(fd);
    unlink(path);
}

int main(void)
{
#define CARD(test) cmocka_unit_test_setup_teardown(test, open_card, close_card)
    const struct CMUnitTest tests[] = {
        CARD(test_identity_reads_as_the_register_source_says),
        CARD(test_directory_lists_every_block_once),
        CARD(test_counters_carry_the_names_of_the_register_source),
        CARD(test_enable_without_feature_agreement_is_refused),
        CARD(test_queue_with_senseless_rings_does_not_start),
        CARD(test_freerun_counts_cycles_and_what_is_added),
        CARD(test_idle_card_needs_no_clock),
        CARD(test_sa_commands_refuse_and_report),
        CARD(test_sa_life_add_query_delete),
        CARD(test_packet_goes_out_and_comes_back),
        CARD(test_bad_descriptors_complete_with_bad_desc),
        CARD(test_result_longer_than_its_buffer_writes_nothing),
        CARD(test_bus_error_on_payload_fails_that_packet_only),
        CARD(test_bus_error_on_blob_fails_the_add),
        CARD(test_read_error_behind_a_refused_packet_is_its_own),
        CARD(test_bus_error_on_a_submission_ring_stops_its_queue_alone),
        CARD(test_good_entries_beside_a_bad_one_complete),
        CARD(test_bus_error_on_a_completion_ring_stops_its_queue_alone),
        CARD(test_doorbell_beyond_the_ring_stops_its_queue_alone),
        CARD(test_doorbell_that_goes_back_stops_the_queue_in_order_or_in_error),
        CARD(test_completion_doorbell_beyond_the_tail_stops_its_queue_alone),
        CARD(test_fault_inside_is_fatal),
        CARD(test_past_its_deadline_an_sa_stops_and_says_so),
        CARD(test_lease_moves_the_deadline_and_leaves_the_mark),
        CARD(test_deadlines_are_for_outbound_sas_and_leases),
        CARD(test_snapshots_are_of_one_instant_and_lose_nothing),
        CARD(test_endpoint_moves_an_sa_and_nothing_else_of_it),
        CARD(test_endpoint_is_refused_by_field_and_by_place),
        CARD(test_identification_is_the_number_and_the_sas_offset),
        CARD(test_quiesce_stops_fetching_until_it_is_lifted),
        CARD(test_full_completion_ring_is_never_overrun),
        CARD(test_interrupt_comes_once_per_arm_after_its_completion),
        CARD(test_arming_with_unread_completions_fires_at_once),
        CARD(test_fence_completes_after_the_packets_before_it),
        CARD(test_slot_number_beyond_the_card_is_no_alias),
        CARD(test_fewer_slots_are_offered_when_asked),
        CARD(test_disabled_queue_finishes_its_work_and_starts_afresh),
        CARD(test_reset_under_load_forgets_everything),
        CARD(test_zeroize_frees_all_slots),
        CARD(test_new_card_on_memory_with_old_keys_shows_none),
        CARD(test_no_key_stays_after_delete_reset_zeroize_and_fatal),
        CARD(test_hard_reset_is_like_a_new_card),
        CARD(test_waveform_is_written_while_it_is_on),
    };
    int failed = cmocka_run_group_tests_name("1 lane", tests, NULL, NULL);
    make = card_model_l4_new;
    return failed + cmocka_run_group_tests_name("4 lanes", tests, NULL, NULL);
}
