// SPDX-License-Identifier: Apache-2.0
// Dummy packets on an SA that has nothing to say (swanctl.conf's tfc_dummies): how many and how long, and
// that they are no use of it. What they are on the wire: test_soft_modes and system_outer.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/path_rig.h"

enum { TO = 60, STEP = 100 };

static struct msg_CHILD filled(struct rig *r, uint32_t id)
{
    struct msg_CHILD c = rig_child(r, id);
    c.tfc_padding = TO;
    c.tfc_dummies = 1000 / STEP;
    return c;
}

static void install(struct rig *r, uint32_t id)
{
    struct msg_CHILD c = filled(r, id);
    rig_must_install_child(r, &c);
}

static void pass(struct rig *r, unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 10)
        rig_pass(r, 10);
}

// The peer takes each that was sent for what it is.
static unsigned dummies(struct rig *r)
{
    unsigned n = 0;
    for (; r->seen < r->sent_count; r->seen++) {
        struct esp_job j = {.op = ESP_DECAP,
                            .in = r->sent[r->seen].bytes,
                            .in_len = r->sent[r->seen].len,
                            .out = r->out,
                            .out_cap = sizeof(r->out)},
                       *one = &j;
        assert_int_equal(esp_submit(r->peer, &one, 1), 1);
        assert_int_equal(esp_poll(r->peer, &one, 1), 1);
        n += j.status == ESP_STATUS_DUMMY;
        assert_true(j.status == ESP_STATUS_DUMMY || j.status == ESP_STATUS_OK);
    }
    return n;
}

static void test_a_silent_sa_sends_its_number_of_dummies(void **state)
{
    struct rig *r = *state;
    install(r, 1);
    pass(r, 1000);
    assert_int_equal(r->sent_count, 10);
    assert_int_equal(dummies(r), 10);
    struct child *c = sadb_by_id(r->p, 1);
    assert_int_equal(c->out.packets + c->out.bytes + c->out.used_at, 0);
    assert_int_equal(c->out.used.packets + c->out.used.bytes, 0);
    assert_int_equal(c->out.last_seq, 10);
    assert_int_equal(r->p->worker->count[PATH_SOFT].packets_out, 0);
    assert_int_equal(r->p->worker->dummies, 10);
    assert_int_equal(child_dummies(c)->sent, 10);
    rig_unique(r);
}

// All that leaves has one length, and there are no more packets than there is silence.
static void test_dummies_fill_what_packets_leave_free(void **state)
{
    struct rig *r = *state;
    install(r, 1);
    for (uint32_t i = 0; i < 40; i++) {
        if (i % 4 != 3)
            assert_true(rig_write(r, i));
        pass(r, STEP);
    }
    assert_int_equal(r->sent_count, 40);
    for (unsigned i = 1; i < 40; i++)
        assert_int_equal(r->sent[i].len, r->sent[0].len);
    assert_int_equal(dummies(r), 10);
    assert_int_equal(sadb_by_id(r->p, 1)->out.packets, 30);
    rig_unique(r);
}

static void test_an_sa_that_was_not_told_to_sends_none(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = rig_child(r, 1);
    c.tfc_padding = TO;
    rig_must_install_child(r, &c);
    pass(r, 1000);
    assert_int_equal(r->sent_count, 0);
}

// What was missed while the process had no time is not made up for at once.
static void test_a_late_look_sends_one(void **state)
{
    struct rig *r = *state;
    install(r, 1);
    rig_pass(r, 5000);
    assert_int_equal(r->sent_count, 1);
    pass(r, STEP);
    assert_int_equal(r->sent_count, 2);
}

static void test_an_sa_with_dummies_is_idle_all_the_same(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = filled(r, 1);
    c.idle_s = 3;
    rig_must_install_child(r, &c);
    pass(r, 2900);
    assert_int_equal(rig_events(r, CHILD_EVENT_IDLE), 0);
    pass(r, 200);
    assert_int_equal(rig_events(r, CHILD_EVENT_IDLE), 1);
    assert_true(dummies(r) >= 30);
}

static void test_dummies_use_up_no_lifetime(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = filled(r, 1);
    c.life_packets = 5;
    c.life_bytes = 400;
    rig_must_install_child(r, &c);
    pass(r, 2000);
    assert_int_equal(dummies(r), 20);
    assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 0);
    rig_out(r, 0, 6);
    assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 1);
    assert_int_equal(sadb_by_id(r->p, 1)->out.packets, 5);
    unsigned before = r->sent_count;
    pass(r, 1000); // it has ended
    assert_int_equal(r->sent_count, before);
}

static uint32_t spi_sent(const struct rig *r, unsigned i)
{
    const uint8_t *p = r->sent[i].bytes + 28;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void expect_by(struct rig *r, uint32_t id)
{
    unsigned from = r->sent_count;
    pass(r, 1000);
    assert_int_equal(r->sent_count - from, 10);
    for (unsigned i = from; i < r->sent_count; i++)
        assert_int_equal(spi_sent(r, i), 0x2000 + id);
}

// A second stream of them would say that there was a rekeying.
static void test_of_several_sas_of_a_policy_the_one_that_sends_has_them(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = filled(r, 2);
    install(r, 1);
    c.out_after = 1;
    rig_must_install_child(r, &c);
    expect_by(r, 1);
    sadb_by_id(r->p, 2)->out_after = 0;
    expect_by(r, 2);
    sadb_delete(r->p, 2);
    expect_by(r, 1);
    sadb_delete(r->p, 1);
    unsigned before = r->sent_count;
    pass(r, 1000);
    assert_int_equal(r->sent_count, before);
}

static void test_what_is_out_of_bounds_is_refused_by_name(void **state)
{
    struct rig *r = *state;
    static const struct {
        uint16_t padding;
        uint8_t rate;
    } wrong[] = {{0, 10}, {TO, TFC_DUMMIES_MAX + 1}};
    for (uint32_t i = 0; i < 2; i++) {
        struct msg_CHILD c = filled(r, 1 + i);
        char text[300];
        bool ok = true;
        c.tfc_padding = wrong[i].padding;
        c.tfc_dummies = wrong[i].rate;
        rig_install_child(r, &c);
        rig_turn(r);
        assert_true(rig_result(r, &ok, text, sizeof(text)));
        assert_false(ok);
        assert_non_null(strstr(text, "tfc_dummies"));
    }
}

// A dummy that comes is dropped, and is no loss.
static void test_a_peers_dummies_are_no_loss(void **state)
{
    struct rig *r = *state;
    install(r, 1);
    struct child *c = sadb_by_id(r->p, 1);
    rig_in_bytes(r, 0x1001, 0);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_DUMMY], 1);
    assert_int_equal(c->in.drops + c->in.packets + c->in.used_at, 0);
    assert_int_equal(rig_read(r), UINT32_MAX);
}

static int count_only(void *ctx, struct mmsghdr *m, unsigned n)
{
    (void)ctx, (void)m;
    return (int)n;
}

static uint64_t sent_by(struct rig *r, unsigned worker)
{
    crew_stop(r->p);
    uint64_t n = r->p->worker[worker].dummies;
    crew_go(r->p);
    return n;
}

// Control sees that there is one due, the SA's worker sends it: nothing else wakes that one up.
static void test_workers_in_threads_send_dummies_too(void **state)
{
    struct rig *r = *state;
    struct esp_error err = {0};
    struct msg_CHILD c = filled(r, 1);
    for (unsigned i = 0; i < r->p->workers; i++)
        r->p->worker[i].net.send = count_only;
    r->now_us = 0; // the threads have a clock, too
    assert_int_equal(crew_start(r->p, &err), 0);
    crew_stop(r->p);
    rig_must_install_child(r, &c);
    unsigned mine = sadb_by_id(r->p, 1)->w->index;
    crew_go(r->p);
    assert_int_not_equal(mine, 0);
    for (int i = 0; i < 6000 && sent_by(r, mine) < 3; i++)
        loop_once(r->p->loop, 10);
    assert_true(sent_by(r, mine) >= 3);
    for (unsigned i = 0; i < r->p->workers; i++)
        assert_true(i == mine || !sent_by(r, i));
    crew_end(r->p);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_silent_sa_sends_its_number_of_dummies),
        T(test_dummies_fill_what_packets_leave_free),
        T(test_an_sa_that_was_not_told_to_sends_none),
        T(test_a_late_look_sends_one),
        T(test_an_sa_with_dummies_is_idle_all_the_same),
        T(test_dummies_use_up_no_lifetime),
        T(test_of_several_sas_of_a_policy_the_one_that_sends_has_them),
        T(test_what_is_out_of_bounds_is_refused_by_name),
        T(test_a_peers_dummies_are_no_loss),
        cmocka_unit_test_setup_teardown(test_workers_in_threads_send_dummies_too, rig_up_apart, rig_down),
    };
    return cmocka_run_group_tests_name("dummy packets", tests, NULL, NULL);
}
