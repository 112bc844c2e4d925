// SPDX-License-Identifier: Apache-2.0
// Where the driver's barriers stand, shown on any machine: driver/card/queue.c is compiled with hooks in
// their place. What a card may not see too early is complete at `to_device`, and only the doorbell follows;
// what it writes late is written at `from_device`, and is what the driver reads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/card/card.h"
#include "driver/common/bytes.h"
#include "tests/unit/barrier_hooks.h"

enum { DOORBELLS = 0x2000, RING_LOG2 = 3 };

struct rig { // state at file scope: the hooks carry no context
    struct card *card;
    struct queue *queue;
    unsigned to, from, rung;
    uint8_t told[SQE_BYTES]; // the first submission, as it was when a barrier stood behind it
    uint64_t late;           // what the card's completion states, once it is all there
};
static struct rig rig;

void to_device(void)
{
    assert_int_equal(rig.rung, 0);
    memcpy(rig.told, rig.queue->sq, sizeof(rig.told));
    rig.to++;
}

void from_device(void)
{
    put_le64(rig.queue->cq + offsetof(struct espc_completion, seq), rig.late);
    put_le16(rig.queue->cq + offsetof(struct espc_completion, out_len), 77);
    put_le64(rig.queue->cq + offsetof(struct espc_completion, cookie), (uint64_t)rig.queue->salt << 32);
    put_le16(rig.queue->cq + offsetof(struct espc_completion, flags), (uint16_t)(rig.card->epoch & 0xff));
    rig.from++;
}

static int on_write(struct bus *b, unsigned region, uint64_t offset, const void *buf, uint32_t count,
                    bool posted)
{
    (void)b;
    assert_int_equal(region, BUS_REGION_BAR0);
    assert_int_equal(count, 4);
    assert_true(posted);
    if (offset == DOORBELLS + ESPC_DOORBELL_STRIDE) {
        assert_int_equal(get_le32(buf), 1);
        assert_int_equal(rig.to, 1); // nothing is told before the barrier
        assert_memory_equal(rig.told, rig.queue->sq, SQE_BYTES);
        rig.rung++;
    }
    return 0;
}

static int on_map(struct bus *b, void *base, size_t length, int memfd, uint64_t iova)
{
    (void)b, (void)base, (void)length, (void)memfd, (void)iova;
    return 0;
}

static const struct bus_ops ops = {.write = on_write, .dma_map = on_map};
static struct bus bus;

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    bus = (struct bus){.ops = &ops, .name = "test", .fd = -1, .next_iova = 1 << 21};
    rig.card = calloc(1, sizeof(*rig.card));
    assert_non_null(rig.card);
    rig.card->bus = &bus;
    rig.card->queues = 1;
    rig.card->off_doorbells = DOORBELLS;
    rig.card->epoch = 0x1234;
    assert_int_equal(card_queues_create(rig.card, RING_LOG2, NULL), 0);
    rig.queue = &rig.card->queue[1];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    card_queues_destroy(rig.card);
    free(rig.card);
    return 0;
}

static void submit(void)
{
    memset(queue_submission(rig.queue), 0xa5, SQE_BYTES);
    queue_push(rig.card, rig.queue, &rig, ENTRY_POSTED);
    queue_ring(rig.card, rig.queue);
}

static void test_a_doorbell_follows_its_descriptors(void **state)
{
    uint8_t whole[SQE_BYTES];

    (void)state;
    memset(whole, 0xa5, sizeof(whole));
    submit();
    assert_int_equal(rig.rung, 1);
    assert_memory_equal(rig.told, whole, sizeof(whole));
    queue_ring(rig.card, rig.queue); // nothing new
    assert_int_equal(rig.to, 1);
}

static void test_a_completion_is_read_after_its_phase(void **state)
{
    struct completion done = {0};

    (void)state;
    submit();
    rig.late = 0x1122334455667788;
    assert_int_equal(queue_fetch(rig.card, rig.queue, &done), 0); // no phase, no barrier
    assert_int_equal(rig.from, 0);
    put_le32(rig.queue->cq + offsetof(struct espc_completion, head_phase),
             1u << ESPC_COMPLETION_HEAD_PHASE_PHASE_SHIFT | 1);
    assert_int_equal(queue_fetch(rig.card, rig.queue, &done), 1);
    assert_int_equal(rig.from, 1);
    assert_true(done.seq == rig.late);
    assert_int_equal(done.out_len, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_doorbell_follows_its_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_completion_is_read_after_its_phase, setup, teardown),
    };
    return cmocka_run_group_tests_name("barriers", tests, NULL, NULL);
}
