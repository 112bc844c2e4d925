// SPDX-License-Identifier: Apache-2.0
// The whole card at its bus: registers, handshake, rings, completions, interrupts and SA commands, with the
// real pipelines between. A packet's bytes are checked by decrypting them with OpenSSL and by sending them
// back.
#include <string.h>
#include <unistd.h>

#include "tests/rtl/top_rig.h"

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
    for (unsigned bit = 16; bit < 32; bit++) { // entries of any other size
        host_write(&h, ESPC_REG_QUEUE_LOG2_SIZE(1), (4 | 5 << 8 | HOST_ENTRIES) ^ 1u << bit);
        host_write(&h, ESPC_REG_QUEUE_CTRL(1), 1);
        assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CTRL(1)), 0);
    }
    host_write(&h, ESPC_REG_QUEUE_LOG2_SIZE(1), 4 | 5 << 8 | HOST_ENTRIES);
    host_write(&h, ESPC_REG_QUEUE_CTRL(1), 1);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CTRL(1)), 1);
    host_write(&h, ESPC_REG_QUEUE_LOG2_SIZE(1), 7 | 7 << 8); // not while it runs
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_LOG2_SIZE(1)), 4 | 5 << 8 | HOST_ENTRIES);
}

static void test_queue_with_rings_of_the_largest_size_starts(void **state)
{
    (void)state;
    host_write(&h, ESPC_REG_QUEUE_CTRL(1), 0);
    host_write(&h, ESPC_REG_QUEUE_LOG2_SIZE(1), 15 | 15 << 8 | HOST_ENTRIES);
    host_write(&h, ESPC_REG_QUEUE_CTRL(1), 1);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CTRL(1)), 1);
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
    card_model_freerun_add(h.card, 1ull << 63);
    assert_in_range(host_read(&h, ESPC_REG_FREERUN_LO) - b, 1, 10);
    assert_int_equal(host_read(&h, ESPC_REG_FREERUN_HI), 1u << 31 | 5);
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

// Of each packet that is alone: from its first beat into a pipeline to its last one out, and of none between
// two.
static void test_busy_cycles_are_those_with_a_packet_in_a_pipeline(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    add_sa(1, 1, 1);
    uint64_t before = host_counter(&h, ESPC_COUNTER_CYCLES_BUSY);
    assert_int_equal(before, 0);
    for (unsigned i = 0; i < 6; i++) {
        struct espc_packet_desc d = packet(i % 2 ? ESPC_PKT_OP_DECAP : ESPC_PKT_OP_ENCAP, 300, i);
        submit(&q1, &d);
        host_idle(&h);
        uint64_t after = host_counter(&h, ESPC_COUNTER_CYCLES_BUSY);
        assert_in_range(after - before, 5, 100);
        assert_int_equal(host_counter(&h, ESPC_COUNTER_CYCLES_BUSY), after);
        before = after;
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CARD(test_identity_reads_as_the_register_source_says),
        CARD(test_directory_lists_every_block_once),
        CARD(test_counters_carry_the_names_of_the_register_source),
        CARD(test_enable_without_feature_agreement_is_refused),
        CARD(test_queue_with_senseless_rings_does_not_start),
        CARD(test_queue_with_rings_of_the_largest_size_starts),
        CARD(test_freerun_counts_cycles_and_what_is_added),
        CARD(test_idle_card_needs_no_clock),
        CARD(test_sa_commands_refuse_and_report),
        CARD(test_sa_life_add_query_delete),
        CARD(test_packet_goes_out_and_comes_back),
        CARD(test_bad_descriptors_complete_with_bad_desc),
        CARD(test_result_longer_than_its_buffer_writes_nothing),
        CARD(test_snapshots_are_of_one_instant_and_lose_nothing),
        CARD(test_busy_cycles_are_those_with_a_packet_in_a_pipeline),
        CARD(test_full_completion_ring_is_never_overrun),
        CARD(test_interrupt_comes_once_per_arm_after_its_completion),
        CARD(test_arming_with_unread_completions_fires_at_once),
        CARD(test_fence_completes_after_the_packets_before_it),
        CARD(test_slot_number_beyond_the_card_is_no_alias),
        CARD(test_fewer_slots_are_offered_when_asked),
    };
    return at_each_width(tests, sizeof(tests) / sizeof(tests[0]));
}
