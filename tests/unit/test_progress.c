// SPDX-License-Identifier: Apache-2.0
// The workbench's progress line: what it says while the length of the input is known, and while it is not.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/workbench/progress.h"

static void test_line_with_known_length_tells_the_time_left(void **state)
{
    char line[160];

    (void)state;
    progress_line(line, sizeof(line), "in.pcap", 250, 1200, 10500);
    assert_string_equal(line, "in.pcap: 1200 packets, 25 %, 10 s, about 31 s left");
    progress_line(line, sizeof(line), "in.pcap", 1000, 4800, 42000);
    assert_string_equal(line, "in.pcap: 4800 packets, 100 %, 42 s, about 0 s left");
    progress_line(line, sizeof(line), "in.pcap", 0, 1, 1000);
    assert_string_equal(line, "in.pcap: 1 packets, 0 %, 1 s");
}

static void test_line_of_a_pipe_tells_packets_and_time(void **state)
{
    char line[160];

    (void)state;
    progress_line(line, sizeof(line), "fifo", -1, 7, 2999);
    assert_string_equal(line, "fifo: 7 packets, 2 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_with_known_length_tells_the_time_left),
        cmocka_unit_test(test_line_of_a_pipe_tells_packets_and_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
