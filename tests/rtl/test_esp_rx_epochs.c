// SPDX-License-Identifier: Apache-2.0
// Wipes while packets stand in the decapsulation pipeline: whatever their number, these are ABORTED, as their
// SA's key is gone.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/rtl/rx_bench.h"

// Packets stand inside, as many as there is room for, while nothing is taken out, when `wipes` cycles of
// `zeroize` come.
static void wiped_within(int lanes, unsigned wipes)
{
    enum { PACKETS = 100 };
    struct rx_bench *b = rx_bench_new(lanes, 79);
    struct rx_packet *p = rx_packets(PACKETS);
    struct rx_sa sa;

    rx_sa_init(b, &sa, 0x1234, 64, 0, true);
    assert_int_equal(rx_sa_add(b, &sa, 2), ESPC_STATUS_OK);
    for (size_t i = 0; i < PACKETS; i++)
        rx_good(b, &p[i], &sa, 2, i + 1, 60);
    b->out_stall = 100;
    rx_expect(b, p, PACKETS);
    rx_idle(b, 3000);
    size_t inside = b->sent;
    assert_in_range(inside, 20, PACKETS - 2);
    b->in_gap = 100;
    b->pins.zeroize = true;
    rx_idle(b, (int)wipes);
    b->pins.zeroize = false;
    do
        rx_cycle(b);
    while (!b->pins.zeroized);
    b->in_gap = b->out_stall = 0;
    b->loose = true; // the first one had begun to leave
    for (size_t i = 1; i < PACKETS; i++) {
        rx_fail(&p[i], (i < inside) ? ESPC_STATUS_ABORTED : ESPC_STATUS_NO_SA);
        p[i].slot = 0xffffffff;
    }
    rx_run(b);
    rx_bench_done(b, p);
}

static void test_packets_inside_are_aborted_after_any_number_of_wipes(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 4; lanes *= 2) {
        for (unsigned wipes = 1; wipes <= 3; wipes++)
            wiped_within(lanes, wipes);
        for (unsigned wipes = 255; wipes <= 258; wipes++) // an epoch has 8 bits
            wiped_within(lanes, wipes);
        wiped_within(lanes, 512); // were there one every other cycle
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets_inside_are_aborted_after_any_number_of_wipes),
    };
    return cmocka_run_group_tests_name("esp_rx_epochs", tests, NULL, NULL);
}
