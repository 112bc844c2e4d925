// SPDX-License-Identifier: Apache-2.0
// The path of one end dies, and another one comes: what ike gives it, and what becomes of SAs meanwhile.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/ike_pair.h"

enum { SOON_MS = 2000, LINGER_MS = 70000 };

static struct ike_sa *only_sa(struct pair *p, int side)
{
    struct ike_sa *sa = p->s[side].ike->sas;
    assert_true(sa && !sa->next);
    return sa;
}

// Who may come from anywhere, to their own addresses alone.
static void host_to_anybody(struct conn_config *c, int side)
{
    const struct ts any = {.port_hi = 65535};
    c->children[0].local_ts->t[0] = c->children[0].remote_ts->t[0] = any;
    if (side)
        c->remote_count = 0;
}

static int nothing_arrives(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)number, (void)d;
    return 0;
}

static unsigned lost_children(const struct ike_sa *sa)
{
    unsigned n = 0;
    for (const struct child_sa *c = sa->children; c; c = c->next)
        n += c->lost;
    return n;
}

// By either end, whoever began the IKE SA: no other one is made.
static void test_child_sas_are_made_anew_on_the_ike_sa_that_lives_on(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = pair_established(UNIQUE_REPLACE, pair_two_children);
        pair_initiate(p, 0, "d");
        pair_run(p);
        struct side *s = &p->s[side];
        uint32_t id = only_sa(p, side)->id,
                 spi[2] = {only_sa(p, side)->children->spi_in, only_sa(p, side)->children->next->spi_in};
        pair_path_dies(p, side);
        assert_int_equal(lost_children(only_sa(p, side)), 2);
        pair_wait(p, SOON_MS);
        assert_int_equal(only_sa(p, side)->id, id); // whose channel is lost does not end for that
        assert_int_equal(s->policies, 0);
        pair_path_comes(p, side);
        assert_true(s->policies == 1 && s->policy_count == 2 && s->opens == 1 && s->whole);
        pair_wait(p, SOON_MS);
        assert_int_equal(only_sa(p, side)->id, id);
        assert_int_equal(pair_live(s), 2);
        pair_wait(p, LINGER_MS); // what was replaced is gone at both ends
        assert_true(pair_agree(p));
        assert_int_equal(pair_live(&p->s[1 - side]), 2);
        assert_int_equal(lost_children(only_sa(p, side)), 0);
        for (const struct child_sa *c = only_sa(p, side)->children; c; c = c->next)
            assert_true(c->spi_in != spi[0] && c->spi_in != spi[1]);
        pair_free(p);
    }
}

// ... and dies again while it is given the policies.
static void test_path_that_dies_at_once_again_is_given_all_again(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    pair_path_dies(p, 0);
    p->s[0].hold_policies = true;
    pair_path_comes(p, 0);
    assert_int_equal(p->s[0].opens, 0);
    p->s[0].held_count = 0;
    p->s[0].hold_policies = false;
    pair_path_dies(p, 0);
    pair_path_comes(p, 0);
    assert_true(p->s[0].policies == 1 && p->s[0].opens == 1 && p->s[0].whole);
    pair_wait(p, LINGER_MS);
    pair_assert_one(p);
    pair_free(p);
}

// The peer's request waits, and so does what ctl loads.
static void test_what_comes_while_there_is_no_path_waits_for_it(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, pair_two_children);
    struct conn_config c;
    pair_path_dies(p, 0);
    uint32_t asked = pair_initiate(p, 1, "d");
    pair_run(p);
    unsigned results = p->s[0].results;
    pair_default_conn(&c, 0);
    c.name = "another";
    uint8_t buf[8192];
    struct writer w = writer_of(buf, sizeof(buf));
    conn_write(&w, &c);
    ipc_send(p->s[0].ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = 77, .conn = wr_written(&w)});
    pair_run(p);
    assert_int_equal(p->s[0].results, results);
    pair_path_comes(p, 0);
    assert_true(p->s[0].last_req == 77 && p->s[0].last_ok);
    assert_true(p->s[0].policies == 2 && p->s[0].opens == 1 && p->s[0].whole);
    pair_wait(p, LINGER_MS);
    pair_result(p, 1, asked, true);
    assert_int_equal(pair_live(&p->s[0]), 2);
    assert_true(pair_agree(p));
    pair_free(p);
}

// What path has no memory for is said to be missing until it is there.
static void test_policies_that_path_has_no_memory_for_are_said_to_be_missing(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    p->s[0].refuse_policies = true;
    pair_path_dies(p, 0);
    pair_path_comes(p, 0);
    assert_true(p->s[0].opens == 1 && !p->s[0].whole);
    p->s[0].refuse_policies = false;
    pair_wait(p, 10000);
    assert_true(p->s[0].opens == 2 && p->s[0].whole);
    pair_wait(p, LINGER_MS);
    pair_assert_one(p);
    pair_free(p);
}

// An edit that the next path refuses, asked for before the last one died or while there is none: what it was
// to replace is given to it all the same.
static void test_edit_that_the_next_path_refuses_leaves_the_old_one(void **state)
{
    (void)state;
    for (int before = 0; before < 2; before++) {
        struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
        struct side *s = &p->s[0];
        struct conn_config c;
        uint8_t buf[8192];
        struct writer w = writer_of(buf, sizeof(buf));
        uint32_t id = s->policy[0].id;
        pair_default_conn(&c, 0);
        c.children[0].local_ts->t[0].lo[1] = c.children[0].local_ts->t[0].hi[1] = 9;
        conn_write(&w, &c);
        if (!before)
            pair_path_dies(p, 0);
        s->hold_policies = before;
        ipc_send(s->ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = 77, .conn = wr_written(&w)});
        pair_run(p);
        if (before)
            pair_path_dies(p, 0);
        s->hold_policies = false;
        s->held_count = 0;
        s->refuse_policies = true;
        pair_path_comes(p, 0);
        pair_result(p, 0, 77, false);
        assert_false(s->whole);
        s->refuse_policies = false;
        pair_wait(p, 10000);
        assert_true(s->whole && s->policy_count == 1 && s->policy[0].id == id);
        pair_wait(p, LINGER_MS);
        pair_assert_one(p);
        pair_free(p);
    }
}

static void test_peer_that_refuses_again_and_again_gets_another_ike_sa(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    uint32_t id = only_sa(p, 0)->id;
    unsigned refused = 0;
    pair_path_dies(p, 0);
    p->s[1].refuse_next = true;
    pair_path_comes(p, 0);
    for (unsigned i = 0; i < 1000 && refused < 7; i++) {
        pair_wait(p, 10);
        refused += !p->s[1].refuse_next;
        p->s[1].refuse_next = true;
    }
    assert_int_equal(only_sa(p, 0)->id, id);
    pair_wait(p, LINGER_MS);
    assert_true(only_sa(p, 0)->id != id);
    pair_assert_one(p);
    pair_free(p);
}

// An ike that has died too: the next one knows of nothing that it lacks before ctl has said so.
static void test_ike_that_follows_another_lacks_something_until_ctl_says_otherwise(void **state)
{
    (void)state;
    for (int missing = 0; missing < 2; missing++) {
        struct pair *p = pair_new(NULL);
        struct side *s = &p->s[0];
        struct conn_config c;
        pair_path_dies(p, 0);
        ike_follow(s->ike, 1, 0);
        pair_path_comes(p, 0);
        assert_true(s->opens == 1 && !s->whole);
        pair_default_conn(&c, 0);
        pair_load(p, 0, &c);
        assert_false(s->whole);
        ipc_send(s->ctl_ike, MSG_WHOLE, &(struct msg_WHOLE){.pid = 1, .missing = (uint8_t)missing});
        pair_run(p);
        assert_int_equal(s->whole, !missing);
        ipc_send(s->ctl_ike, MSG_WHOLE, &(struct msg_WHOLE){.pid = 1});
        pair_run(p);
        assert_true(s->whole);
        pair_free(p);
    }
}

// What the last path blocked for a CHILD SA whose ends no policy names blocks on until there is another one,
// or none any more.
static void test_child_sa_that_no_policy_names_is_lacking_until_it_is_made_anew(void **state)
{
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, host_to_anybody);
        struct side *s = &p->s[1];
        pair_initiate(p, 0, "c");
        pair_run(p);
        pair_path_dies(p, 1);
        p->filter = nothing_arrives;
        pair_path_comes(p, 1);
        assert_true(s->opens == 1 && !s->whole);
        pair_wait(p, 1000);
        assert_false(s->whole);
        if (gone)
            pair_terminate(p, 1, "c", true);
        else
            p->filter = NULL;
        pair_wait(p, LINGER_MS);
        assert_true(s->whole);
        assert_int_equal(pair_live(s), !gone);
        pair_free(p);
    }
}

static void test_end_of_the_daemon_makes_nothing_whole(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, host_to_anybody);
    struct side *s = &p->s[1];
    pair_initiate(p, 0, "c");
    pair_run(p);
    pair_path_dies(p, 1);
    p->s[0].refuse_install = true; // its peer makes none anew
    pair_path_comes(p, 1);
    assert_true(s->opens == 1 && !s->whole);
    ipc_send(s->super_ike, MSG_SHUTDOWN, &(struct msg_SHUTDOWN){.orderly = 1});
    pair_wait(p, 1000);
    assert_null(s->ike->sas);
    assert_true(s->opens == 1 && !s->whole);
    pair_free(p);
}

// One that nothing can be heard by, as without memory for it.
static void hand_out(struct ipc_chan *to)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(ipc_send_channel(to, ROOM_PATH, dup(fileno(file))), 0);
    fclose(file);
}

// Nobody else misses that channel.
static void test_channel_of_the_next_path_that_cannot_be_had_ends_ike(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    pair_path_dies(p, 0);
    hand_out(p->s[0].super_ike);
    pair_wait(p, 1000);
    assert_false(loop_stopped(p->loop));
    pair_wait(p, 2000);
    assert_true(loop_stopped(p->loop));
    pair_free(p);
}

static void test_channel_of_the_next_path_that_cannot_be_had_ends_keys(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    pair_path_dies(p, 0);
    hand_out(p->s[0].super_keys);
    pair_wait(p, 1000);
    assert_false(loop_stopped(p->loop));
    pair_wait(p, 10000);
    assert_true(loop_stopped(p->loop));
    pair_free(p);
}

// Nothing is in force any more for what is loaded no more.
static void test_child_sa_of_a_connection_that_was_unloaded_ends(void **state)
{
    (void)state;
    for (int before = 0; before < 2; before++)
        for (int side = 0; side < 2; side++) {
            struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
            struct side *s = &p->s[side];
            if (!before)
                pair_path_dies(p, side);
            ipc_send(s->ctl_ike, MSG_CONN_UNLOAD, &(struct msg_CONN_UNLOAD){.req = 9, .conn = "t"});
            pair_run(p);
            if (before)
                pair_path_dies(p, side);
            pair_path_comes(p, side);
            pair_wait(p, LINGER_MS);
            assert_true(s->whole);
            assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
            pair_free(p);
        }
}

static void asks_for_an_address(struct conn_config *c, int side)
{
    const struct ts any = {.port_hi = 65535};
    if (side) {
        snprintf(c->pools[0], sizeof(c->pools[0]), "p");
        c->pool_count = 1;
        c->children[0].remote_ts->t[0] = any;
    } else {
        c->vip_count = 1;
        c->vips[0] = (struct addr){.family = 4};
        c->children[0].local_ts->t[0] = any;
    }
}

// Path counts who uses it. One that was to be told while there was no path is told once, however many die
// before one serves.
static void test_virtual_address_is_told_once_to_the_one_that_serves(void **state)
{
    (void)state;
    for (unsigned deaths = 1; deaths < 4; deaths++) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, asks_for_an_address);
        assert_true(pair_load_pool(p, 1, "p", "10.77.0.0/24", slice_of(NULL, 0)));
        pair_path_dies(p, 0);
        pair_initiate(p, 0, "c");
        for (unsigned i = 1; i < deaths; i++) {
            p->s[0].hold_policies = true;
            pair_path_comes(p, 0);
            pair_wait(p, 1000);
            pair_path_dies(p, 0);
            p->s[0].held_count = 0;
        }
        p->s[0].hold_policies = false;
        pair_path_comes(p, 0);
        pair_wait(p, LINGER_MS);
        assert_int_equal(p->s[0].virtual_count, 1);
        pair_terminate(p, 0, NULL, false);
        pair_wait(p, LINGER_MS);
        assert_int_equal(p->s[0].virtual_count, 0);
        pair_free(p);
    }
}

static void test_policies_are_edited_where_they_are_others(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    struct side *s = &p->s[0];
    struct conn_config c;
    pair_path_dies(p, 0);
    pair_path_comes(p, 0);
    assert_false(s->edit);
    pair_default_conn(&c, 0);
    c.children[0].local_ts->t[0].lo[1] = c.children[0].local_ts->t[0].hi[1] = 9;
    pair_load(p, 0, &c);
    assert_true(s->edit);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_sas_are_made_anew_on_the_ike_sa_that_lives_on),
        cmocka_unit_test(test_path_that_dies_at_once_again_is_given_all_again),
        cmocka_unit_test(test_what_comes_while_there_is_no_path_waits_for_it),
        cmocka_unit_test(test_policies_that_path_has_no_memory_for_are_said_to_be_missing),
        cmocka_unit_test(test_edit_that_the_next_path_refuses_leaves_the_old_one),
        cmocka_unit_test(test_peer_that_refuses_again_and_again_gets_another_ike_sa),
        cmocka_unit_test(test_ike_that_follows_another_lacks_something_until_ctl_says_otherwise),
        cmocka_unit_test(test_child_sa_that_no_policy_names_is_lacking_until_it_is_made_anew),
        cmocka_unit_test(test_end_of_the_daemon_makes_nothing_whole),
        cmocka_unit_test(test_channel_of_the_next_path_that_cannot_be_had_ends_ike),
        cmocka_unit_test(test_channel_of_the_next_path_that_cannot_be_had_ends_keys),
        cmocka_unit_test(test_child_sa_of_a_connection_that_was_unloaded_ends),
        cmocka_unit_test(test_virtual_address_is_told_once_to_the_one_that_serves),
        cmocka_unit_test(test_policies_are_edited_where_they_are_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
