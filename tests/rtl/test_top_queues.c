// SPDX-License-Identifier: Apache-2.0
// The card's queues where several things come together: rings that begin anywhere in a page, more refused
// descriptors at once than the card has room for, and interrupts of two queues while the shell takes none.
#include "tests/rtl/top_rig.h"

#include <string.h>

// A card as of open_card() on another bus.
static void open_on(struct card_model_config config)
{
    host_close(&h);
    host_open(&h, make, config);
    host_enable(&h);
    queue_open(&sq, &h, 0, 3, 3, 0);
    queue_open(&q1, &h, 1, 5, 6, 1);
    queue_open(&q2, &h, 2, 5, 6, 2);
}

// No burst may cross 4 KiB (host_idle() sees strays). A ring's blocks of 256 bytes need not begin where it
// does.
static void test_ring_that_begins_within_a_block_of_256_bytes_is_fetched_by_blocks(void **state)
{
    (void)state;
    struct espc_packet_desc bad = {.op = 3, .cookie = 1};
    struct espc_completion c;
    for (unsigned within = 0; within < 4; within++) {
        for (unsigned first = 0; first < 4; first++) {
            host_alloc(&h, 4096 - 256 + 64 * within, 4096); // what follows begins in the page's last block
            queue_open(&q2, &h, 2, 4, 4, 2);
            assert_int_equal(q2.sq % 4096, 4096 - 256 + 64 * within);
            for (unsigned n = 1; n <= first + 5;
                 n++) { // the second burst begins where the first one has ended
                queue_put(&q2, &bad);
                if (n == first || n == first + 5) {
                    queue_ring(&q2);
                    host_idle(&h);
                }
            }
            for (unsigned n = 0; n < first + 5; n++) {
                queue_wait(&q2, &c);
                assert_int_equal(c.status, ESPC_STATUS_BAD_DESC);
            }
            queue_consumed(&q2, false);
            host_idle(&h);
        }
    }
}

static void test_more_refused_descriptors_than_the_card_holds_complete_in_order(void **state)
{
    (void)state;
    open_on((struct card_model_config){.write_latency = 300});
    struct espc_packet_desc bad = {.op = 3};
    struct espc_completion c;
    for (unsigned i = 0; i < 32; i++) {
        bad.cookie = i;
        queue_put(&q1, &bad);
        queue_put(&q2, &bad);
    }
    queue_ring(&q1);
    queue_ring(&q2);
    for (unsigned i = 0; i < 64; i++) {
        queue_wait((i < 32) ? &q1 : &q2, &c);
        assert_int_equal(c.status, ESPC_STATUS_BAD_DESC);
        assert_int_equal(c.cookie, i % 32);
    }
    assert_int_equal(host_counter(&h, 32 + ESPC_STATUS_BAD_DESC), 64);
}

static void test_interrupts_of_two_queues_at_once_both_come(void **state)
{
    (void)state;
    open_on((struct card_model_config){.stalls = true, .seed = 1});
    struct espc_packet_desc bad = {.op = 3, .cookie = 1};
    for (unsigned round = 1; round <= 300; round++) {
        if (round == 1) { // one completion each stays unread, so arming fires
            queue_put(&q1, &bad);
            queue_put(&q2, &bad);
            queue_ring(&q1);
            queue_ring(&q2);
            host_idle(&h);
        }
        queue_consumed(&q1, true);
        queue_consumed(&q2, true);
        host_idle(&h);
        assert_int_equal(h.irqs[1], round);
        assert_int_equal(h.irqs[2], round);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CARD(test_ring_that_begins_within_a_block_of_256_bytes_is_fetched_by_blocks),
        CARD(test_more_refused_descriptors_than_the_card_holds_complete_in_order),
        CARD(test_interrupts_of_two_queues_at_once_both_come),
    };
    return at_each_width(tests, sizeof tests / sizeof tests[0]);
}
