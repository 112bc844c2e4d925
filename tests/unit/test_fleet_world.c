// SPDX-License-Identifier: Apache-2.0
// Worlds of gateways (tests/unit/fleet_world.h). ESPALIER_FLEET_SEEDS="FIRST COUNT" asks for others than
// these.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "ctrl/lib/log.h"
#include "tests/unit/fleet_world.h"

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// Small ones, in which everything comes together: partitions, frozen nodes, clocks that drift, keys that
// somebody deletes.
static void test_any_faults_never_two_and_soon_one(void **state)
{
    unsigned long first = 1, count = 100, bad = 0;
    const char *seeds = getenv("ESPALIER_FLEET_SEEDS");
    double minutes = 0, cpu = cpu_s();
    unsigned long long opened = 0;
    (void)state;
    if (seeds)
        assert_int_equal(sscanf(seeds, "%lu %lu", &first, &count), 2);
    for (unsigned long s = first; s < first + count; s++) {
        struct fleet_world_options o = {
            .seed = s, .nodes = 2 + s % 7, .conns = 4 + s % 29, .minutes = 4, .drift_ppm = 50000};
        struct fleet_world_result r;
        fleet_world_run(&o, &r);
        minutes += r.virtual_minutes;
        opened += r.opened;
        if (r.failed[0])
            print_message("seed %lu: %s\n", s, r.failed);
        bad += r.failed[0] != 0;
    }
    print_message("%lu worlds, %.0f virtual minutes, %llu connections opened, %.1f CPU s\n", count, minutes,
                  opened, cpu_s() - cpu);
    assert_int_equal(bad, 0);
}

static void test_a_hundred_gateways_of_which_thirty_die(void **state)
{
    struct fleet_world_options o = {.seed = 1, .nodes = 100, .conns = 1000, .kill = 30, .drift_ppm = 1000};
    struct fleet_world_result r;
    double cpu = cpu_s();
    (void)state;
    if (getenv("ESPALIER_FLEET_SEEDS"))
        skip(); // those are small ones
    fleet_world_run(&o, &r);
    print_message("100 gateways, 1000 connections, 30 die: all open again after %llu ms; %llu questions in "
                  "%.0f virtual "
                  "minutes, %.1f CPU s\n",
                  (unsigned long long)r.back_ms, (unsigned long long)r.asked, r.virtual_minutes,
                  cpu_s() - cpu);
    if (r.failed[0])
        fail_msg("%s", r.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_faults_never_two_and_soon_one),
        cmocka_unit_test(test_a_hundred_gateways_of_which_thirty_die),
    };
    log_set_all(getenv("ESPALIER_FLEET_LOG") ? 1 : -1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
