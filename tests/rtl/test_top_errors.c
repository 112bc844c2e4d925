// SPDX-License-Identifier: Apache-2.0
// The whole card at its bus when something is wrong there: errors of the bus fail a packet or stop a queue,
// never another one; doorbells that lie; a fault inside.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/rtl/top_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return at_each_width(tests, sizeof(tests) / sizeof(tests[0]));
}
