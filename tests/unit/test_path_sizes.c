// SPDX-License-Identifier: Apache-2.0
// What path holds for a child SA of a road warrior, in software and at rest: the SA, its instance of the
// policy, both SAs of the engine and its places in all tables. So that it does not grow unseen.
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/kset_entries.h"
#include "driver/soft/queue.h"
#include "tests/unit/path_rig.h"

enum { FIRST = 1000, CHILDREN = 2000, MOST_OCTETS = 1840 };

static void install_all(struct rig *r, uint32_t from, uint32_t to)
{
    char text[200];
    bool ok;

    for (uint32_t id = from; id < to; id++) {
        struct msg_CHILD c = rig_child(r, id);
        c.remote_ts.t[0].lo[2] = c.remote_ts.t[0].hi[2] = (uint8_t)(id >> 8); // 10.2.x.y/32
        c.remote_ts.t[0].lo[3] = c.remote_ts.t[0].hi[3] = (uint8_t)id;
        rig_ask_for_child(r, &c);
        rig_turn(r);
        assert_true(rig_result(r, &ok, text, sizeof(text)));
        if (!ok)
            fail_msg("%s", text);
    }
}

static void test_a_child_sa_at_rest_is_small(void **state)
{
    struct rig *r = *state;
    size_t before, after;

    log_set_output(-1);
    if (!((struct soft_engine *)path_soft(r->p))
             ->queue[0]
             ->mb) { // OpenSSL's contexts are larger, and not ours
        print_message("skip: ipsec-mb is not in use here\n");
        skip();
    }
    install_all(r, 1, FIRST); // so that a table that doubles is told of by its share
    before = mallinfo2().uordblks;
    install_all(r, FIRST, FIRST + CHILDREN);
    after = mallinfo2().uordblks;
    printf("%zu octets a child SA\n", (after - before) / CHILDREN);
    assert_true(after - before <= (size_t)CHILDREN * MOST_OCTETS);
}

// With what is kept of the kernel's objects, and its places in all tables. Those of ctl and ike are in
// test_vici_ctl and test_ike_load.
static void test_a_loaded_connection_is_small(void **state)
{
    enum { SOME = 2000, MOST_CONN_OCTETS = 1750 };
    struct rig *r = *state;
    size_t before = 0;

    log_set_output(-1);
    for (uint32_t i = 0; i < FIRST + SOME; i++) {
        char name[40], remote[40];
        struct policy_spec s;

        if (i == FIRST)
            before = mallinfo2().uordblks + mallinfo2().hblkhd;
        snprintf(name, sizeof(name), "device-%05u", i);
        snprintf(remote, sizeof(remote), "10.8.%u.%u/32", i >> 8, i & 255);
        s = rig_spec(100 + i, "net", "10.1.0.0/16", remote);
        r->conn_peer = i + 1;
        rig_must_apply(r, name, &s, 1);
    }
    size_t octets = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("path: %zu octets a loaded connection\n", octets / SOME);
    assert_true(octets <= (size_t)SOME * MOST_CONN_OCTETS);
}

static void test_a_child_sa_itself_is_small(void **state)
{
    (void)state;
    printf("child %zu, of it each half %zu; SA of the engine %zu; policy %zu\n", sizeof(struct child),
           sizeof(struct half), sizeof(struct esp_sa), sizeof(struct policy));
    assert_true(sizeof(struct child) <= 616);
    assert_true(sizeof(struct half) <= 136);
    assert_true(sizeof(struct esp_sa) <= 304);
    assert_true(sizeof(struct policy) <= 136);
}

// A loaded child has three policies in the kernel and two routes, more where its networks are more.
static void test_what_is_kept_of_the_kernels_objects_is_small(void **state)
{
    (void)state;
    printf("entry %zu, value %zu, hold %zu\n", sizeof(struct entry), sizeof(struct value),
           sizeof(struct kset_hold));
    assert_true(sizeof(struct entry) <= 56); // without its object
    assert_true(sizeof(struct value) <= 40);
    assert_true(sizeof(struct policy) + sizeof(struct policy_whole) <= 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_child_sa_at_rest_is_small, rig_up, rig_down),
        cmocka_unit_test_setup_teardown(test_a_loaded_connection_is_small, rig_up, rig_down),
        cmocka_unit_test(test_a_child_sa_itself_is_small),
        cmocka_unit_test(test_what_is_kept_of_the_kernels_objects_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
