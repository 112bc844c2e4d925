// SPDX-License-Identifier: Apache-2.0
// Two espalierd that rekey into each other as fast as they can: child and IKE SA, from both ends at once or
// at any offset within each other's exchanges, under traffic. Every so often it must become quiet: one IKE
// SA, one CHILD SA per child, the same at both ends; nothing lost, nothing in clear, no memory kept.
// ESPALIER_SECONDS: how long each (3); ESPALIER_SEED.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/rekey_lab.h"

enum { RATE = 500, BETWEEN_RESTS = 40, WARM_UP = 100, KEPT_KIB = 1024 };

static struct rig rig;
static struct flow_report flow;
static unsigned seconds = 3, seed;
static char *const settings[] = {"-o", "delete_rekeyed_delay=1", NULL};

static int tear_down(void **state)
{
    (void)state;
    rig_down(&rig);
    return 0;
}

// Of a daemon and its processes, KiB that belong to nobody else.
static uint64_t memory(const struct site *s)
{
    char out[64] = "";
    sh_read(out, sizeof(out),
            "for p in %d $(cat /proc/%d/task/%d/children); do cat /proc/$p/smaps_rollup; done | awk "
            "'/^Private/ {n += "
            "$2} END {print n}'",
            (int)s->daemon, (int)s->daemon, (int)s->daemon);
    return strtoull(out, NULL, 10);
}

struct mix {
    unsigned ike;       // of 100 asks: for the IKE SA
    unsigned children;  // children that may be asked for
    unsigned offset_us; // between the two ends' asks, at most
    unsigned delay_us;  // of the way
    unsigned pause_us;  // after both asks
    const char *esp;
};

static enum rekey some(const struct mix *m)
{
    return (unsigned)rand() % 100 < m->ike ? REKEY_IKE : REKEY_CHILD;
}

// What an ask finds may just be going: the answer is only waited for.
static void ask(int side, const struct mix *m)
{
    assert_true(rig_ask(&rig, side, some(m), (unsigned)rand() % m->children));
}

static void answer(int side, uint64_t *agreed)
{
    char why[256];
    if (vici_answer(rig.vici[side], why, sizeof(why)))
        ++*agreed;
    else if (strcmp(why, "no answer") == 0)
        fail_msg("%s does not answer", rig_site(&rig, side)->name);
}

static void one_round(const struct mix *m, uint64_t *agreed)
{
    int first = rand() % 2;
    ask(first, m);
    if (m->offset_us)
        usleep((unsigned)rand() % m->offset_us);
    ask(!first, m);
    answer(first, agreed);
    answer(!first, agreed);
    usleep(m->pause_us); // what is asked of an SA that is just being replaced is nobody's wish any more
}

static void rekey_wildly(const char *what, const struct mix *m)
{
    struct rig_options o = {.settings = settings, .children = m->children, .between = m->delay_us != 0};
    uint64_t rounds = 0, agreed = 0, first[2] = {0}, last[2], end;
    o.middle = (struct middle_control){.delay_us = m->delay_us, .seed = seed};
    for (int i = 0; i < 2; i++) {
        o.side[i].conn = "rekey_time = 0";
        o.side[i].esp = m->esp;
    }
    assert_true(rig_up(&rig, "esppair", &o));
    assert_true(rig_flow_start(&rig, RATE, seconds + 120));
    end = mono_us() + seconds * 1000000ull;
    while (mono_us() < end || rounds <= WARM_UP) {
        one_round(m, &agreed);
        if (++rounds % BETWEEN_RESTS == 0)
            assert_true(rig_at_rest(&rig, NULL));
        for (int i = 0; rounds == WARM_UP && i < 2; i++)
            first[i] = memory(rig_site(&rig, i));
    }
    assert_true(rig_at_rest(&rig, NULL));
    for (int i = 0; i < 2; i++)
        last[i] = memory(rig_site(&rig, i));
    assert_true(rig_flow_stop(&rig, &flow));
    flow_print(what, &flow);
    print_message(
        "  %llu asks of %llu taken, %llu CREATE_CHILD_SA requests; KiB %llu + %llu, then %llu + %llu\n",
        (unsigned long long)agreed, (unsigned long long)(2 * rounds), (unsigned long long)flow.create_child,
        (unsigned long long)first[0], (unsigned long long)first[1], (unsigned long long)last[0],
        (unsigned long long)last[1]);
    assert_true(flow_is_clean(&flow));
    assert_int_equal(flow.init + flow.auth, 0);
    assert_true(flow.create_child >= rounds / 2);
    for (int i = 0; i < 2; i++)
        assert_true(last[i] < first[i] + KEPT_KIB || !MEMORY_IS_JUDGED);
}

static void test_children_at_once(void **state)
{
    (void)state;
    rekey_wildly("children at once", &(struct mix){.children = 1, .delay_us = 1000, .pause_us = 12000});
}

static void test_ike_sas_at_once(void **state)
{
    (void)state;
    rekey_wildly("IKE SAs at once",
                 &(struct mix){.ike = 100, .children = 1, .delay_us = 1000, .pause_us = 6000});
}

static void test_anything_at_any_offset(void **state)
{
    (void)state;
    rekey_wildly("anything", &(struct mix){.ike = 30, .children = 2, .offset_us = 8000, .delay_us = 1000});
}

static void test_anything_with_new_key_exchanges(void **state)
{
    (void)state;
    rekey_wildly("anything, with key exchanges", &(struct mix){.ike = 30,
                                                               .children = 2,
                                                               .offset_us = 12000,
                                                               .delay_us = 2000,
                                                               .esp = "aes256gcm16-x25519-ecp256"});
}

static void test_without_any_delay(void **state)
{
    (void)state;
    rekey_wildly("without delay", &(struct mix){.ike = 30, .children = 2, .offset_us = 2000});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_children_at_once, tear_down),
        cmocka_unit_test_teardown(test_ike_sas_at_once, tear_down),
        cmocka_unit_test_teardown(test_anything_at_any_offset, tear_down),
        cmocka_unit_test_teardown(test_anything_with_new_key_exchanges, tear_down),
        cmocka_unit_test_teardown(test_without_any_delay, tear_down),
    };
    const char *n = getenv("ESPALIER_SECONDS"), *s = getenv("ESPALIER_SEED");
    seconds = n ? (unsigned)strtoul(n, NULL, 10) : seconds;
    seed = s ? (unsigned)strtoul(s, NULL, 10) : (unsigned)time(NULL);
    srand(seed);
    setenv("ESPALIER_REKEY_WEST", "espalierd", 1);
    setenv("ESPALIER_REKEY_EAST", "espalierd", 1);
    print_message("ESPALIER_SECONDS=%u ESPALIER_SEED=%u\n", seconds, seed);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("two espalierd rekeying into each other", tests, NULL, NULL);
}
