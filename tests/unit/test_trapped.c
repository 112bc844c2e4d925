// SPDX-License-Identifier: Apache-2.0
// What meets a policy that has no SA yet and asks for one waits for it (ctrl/path/trapped.c).
#include <stdio.h>
#include <unistd.h>

#include "tests/unit/spd_rig.h"

enum { OF_ONE = 32, OF_ALL = 128, WAIT_MS = 3000 };

static uint64_t lost(const struct rig *r)
{
    return r->p->worker->no_sa_out;
}

static void test_first_packets_of_a_trap_leave_by_the_sa_that_they_asked_for(void **state)
{
    struct rig *r = *state;
    rig_out(r, 1, 5);
    rig_expect(r, 1, 0);
    assert_int_equal(lost(r), 0);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_turn(r);
    rig_out(r, 6, 2);
    rig_expect(r, 1, 7);
    assert_int_equal(r->p->children->out.packets, 7);
    assert_int_equal(lost(r), 0);
    assert_int_equal(r->past_count, 0);
}

static void test_of_one_policy_the_first_ones_wait(void **state)
{
    struct rig *r = *state;
    rig_out(r, 0, OF_ONE + 3);
    assert_int_equal(lost(r), 3);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_turn(r);
    rig_expect(r, 0, OF_ONE);
}

static void test_of_all_policies_few_wait_and_the_oldest_go(void **state)
{
    struct rig *r = *state;
    char remote[20];
    for (uint32_t i = 0; i <= OF_ALL / OF_ONE; i++) {
        snprintf(remote, sizeof(remote), "10.%u.0.0/16", 3 + i);
        struct policy_spec s = rig_spec(10 + i, "c", "10.1.0.0/16", remote);
        s.trap = 1;
        snprintf(remote, sizeof(remote), "more%u", i);
        rig_must_apply(r, remote, &s, 1);
        snprintf(remote, sizeof(remote), "10.%u.0.1", 3 + i);
        for (uint32_t k = 0; k < OF_ONE; k++)
            spd_send_udp(r, "10.1.0.1", remote, 1, k);
    }
    assert_int_equal(r->p->worker->trapped.count, OF_ALL);
    assert_int_equal(lost(r), OF_ONE);
}

static void test_they_do_not_wait_for_ever(void **state)
{
    struct rig *r = *state;
    rig_out(r, 0, 2);
    uint64_t now = loop_now(r->p->loop);
    trapped_expire(r->p->worker, now + WAIT_MS - 1000);
    assert_int_equal(lost(r), 0);
    trapped_expire(r->p->worker, now + WAIT_MS);
    assert_int_equal(lost(r), 2);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_turn(r);
    rig_expect(r, 0, 0);
}

// An SA of another policy is none of theirs, and prolongs nothing.
static void test_another_sa_neither_takes_nor_keeps_them(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(7, "dns", "10.1.0.0/16[17]", "10.2.0.0/16[17/53]");
    rig_must_apply(r, "dns", &s, 1);
    rig_out(r, 0, 2);
    uint64_t since = r->p->worker->trapped.head->since;
    usleep(5000);
    struct msg_CHILD c = rig_child(r, 1);
    c.policy_id = 7;
    c.local_ts = s.local;
    c.remote_ts = s.remote;
    rig_must_install_child(r, &c);
    rig_turn(r);
    assert_int_equal(r->p->worker->trapped.count, 2);
    assert_int_equal(r->p->worker->trapped.head->since, since);
    rig_expect(r, 0, 0);
}

static void test_who_asks_for_no_sa_does_not_wait(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(1, "net", "10.1.0.0/16", "10.2.0.0/16");
    s.trap = 0;
    rig_must_apply(r, "rig", &s, 1);
    rig_out(r, 0, 2);
    assert_int_equal(lost(r), 2);
}

// Encrypted, or not at all.
static void test_what_is_protected_no_more_does_not_leave_in_clear(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(7, "far", "10.1.0.0/16", "10.9.0.0/16");
    rig_must_apply(r, "far", &s, 1);
    rig_out(r, 0, 2);
    rig_must_apply(r, "rig", NULL, 0);
    struct msg_CHILD c = rig_child(r, 1);
    c.policy_id = 7;
    c.local_ts = s.local;
    c.remote_ts = s.remote;
    rig_must_install_child(r, &c);
    rig_turn(r);
    assert_int_equal(r->p->worker->trapped.count, 0);
    assert_int_equal(r->past_count + r->sent_count, 0);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 2);
}

// Which comes by another one's queue.
static void test_what_waits_at_one_worker_leaves_by_the_sa_of_another(void **state)
{
    struct rig *r = *state;
    for (uint32_t i = 0; i < 10; i++)
        assert_true(rig_write_to(r->tun, i));
    rig_turn(r);
    assert_int_equal(r->p->worker[0].trapped.count, 10);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_turn(r);
    assert_int_equal(r->p->children->w->index, 1);
    assert_int_equal(r->p->worker[0].handed_over, 10);
    rig_expect(r, 0, 10);
    assert_int_equal(r->p->worker[0].no_sa_out + r->p->worker[1].no_sa_out + r->past_count, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
    const struct CMUnitTest tests[] = {
        T(test_first_packets_of_a_trap_leave_by_the_sa_that_they_asked_for),
        T(test_of_one_policy_the_first_ones_wait),
        T(test_of_all_policies_few_wait_and_the_oldest_go),
        T(test_they_do_not_wait_for_ever),
        T(test_another_sa_neither_takes_nor_keeps_them),
        T(test_who_asks_for_no_sa_does_not_wait),
        T(test_what_is_protected_no_more_does_not_leave_in_clear),
        cmocka_unit_test_setup_teardown(test_what_waits_at_one_worker_leaves_by_the_sa_of_another, rig_up_two,
                                        rig_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
