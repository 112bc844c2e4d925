// SPDX-License-Identifier: Apache-2.0
// What is counted of a connection and its children: by name, over rekeyings, reloads and the end of SAs; and
// why those attempts failed that led to nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ctrl/ike/counts.h"
#include "tests/unit/ike_pair.h"

static struct {
    unsigned conns, children;
    bool over, ok;
    struct msg_CONN_COUNTS conn;
    struct msg_CHILD_COUNTS child;
    uint64_t failed[IKE_FAILURE_COUNT], child_failed[CHILD_FAILURE_COUNT];
} got;

static void note(struct side *s, enum msg_type t, const union msg *m)
{
    (void)s;
    if (t == MSG_CONN_COUNTS) {
        struct reader r = reader_of(m->CONN_COUNTS.failed);
        got.conns++;
        got.conn = m->CONN_COUNTS;
        for (unsigned i = 0; i < IKE_FAILURE_COUNT; i++)
            got.failed[i] = rd_u64(&r);
        assert_true(rd_done(&r));
    } else if (t == MSG_CHILD_COUNTS) {
        struct reader r = reader_of(m->CHILD_COUNTS.failed);
        got.children++;
        got.child = m->CHILD_COUNTS;
        for (unsigned i = 0; i < CHILD_FAILURE_COUNT; i++)
            got.child_failed[i] = rd_u64(&r);
        assert_true(rd_done(&r));
    } else if (t == MSG_RESULT && m->RESULT.req == 99) {
        got.over = true;
        got.ok = m->RESULT.ok;
    }
}

static void ask_for(struct pair *p, int side, struct slice names)
{
    memset(&got, 0, sizeof(got));
    p->s[side].on_ctl = note;
    ipc_send(p->s[side].ctl_ike, MSG_COUNTS_LIST, &(struct msg_COUNTS_LIST){.req = 99, .names = names});
    pair_run(p);
    assert_true(got.over);
}

static void ask_of(struct pair *p, int side, const char *name)
{
    uint8_t names[NAME_MAX_LEN + 2];
    struct writer w = writer_of(names, sizeof(names));
    wr_cstr(&w, name);
    ask_for(p, side, wr_written(&w));
    assert_true(got.ok);
}

// Of connection t and its child c.
static void expect_up(struct pair *p, int side, unsigned ike, unsigned child)
{
    ask_of(p, side, "t");
    assert_int_equal(got.conns, 1);
    assert_string_equal(got.conn.conn, "t");
    assert_int_equal(got.conn.up, ike);
    assert_int_equal(got.child.up, child);
}

static void rekey(struct pair *p, int side, const char *child)
{
    struct msg_REKEY m = {.req = 7, .conn = "t"};
    snprintf(m.child, sizeof(m.child), "%s", child);
    ipc_send(p->s[side].ctl_ike, MSG_REKEY, &m);
    pair_run(p);
    pair_wait(p, 70000); // what was replaced is gone
}

static void test_counts_go_on_over_rekeyings_and_the_end(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    for (int side = 0; side < 2; side++) {
        expect_up(p, side, 0, 0);                   // it is there before it ever was up
        assert_null(p->s[side].ike->conns->counts); // thousands never are
        assert_int_equal(got.conn.established + got.child.installed, 0);
    }
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_run(p);
    for (int side = 0; side < 2; side++) {
        expect_up(p, side, 1, 1);
        assert_int_equal(got.conn.established, 1);
        assert_int_equal(got.child.installed, 1);
    }
    rekey(p, 0, "c");
    rekey(p, 1, "c");
    for (int side = 0; side < 2; side++) {
        expect_up(p, side, 1, 1);
        assert_int_equal(got.child.installed, 3);
        assert_int_equal(got.child.rekeyed, 2);
        assert_int_equal(got.conn.rekeyed, 0);
    }
    rekey(p, 0, "");
    for (int side = 0; side < 2; side++) {
        expect_up(p, side, 1, 1);
        assert_int_equal(got.conn.rekeyed, 1);
        assert_int_equal(got.conn.established, 1);
    }
    pair_terminate(p, 0, NULL, false);
    pair_run(p);
    pair_wait(p, 70000);
    for (int side = 0; side < 2; side++) {
        expect_up(p, side, 0, 0);
        assert_int_equal(got.conn.established, 1);
        assert_int_equal(got.conn.rekeyed, 1);
        assert_int_equal(got.child.installed, 3);
        assert_int_equal(got.child.rekeyed, 2);
        for (unsigned i = 0; i < IKE_FAILURE_COUNT; i++)
            assert_int_equal(got.failed[i], 0);
    }
    pair_free(p);
}

// An edit waits for path while the first SA of the name comes up.
static void test_counts_that_begin_while_an_edit_is_loaded_are_its_too(void **state)
{
    static uint8_t buf[4096];
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    struct side *s = &p->s[0];
    struct conn_config c;
    pair_default_conn(&c, 0);
    c.dpd_delay = 17;
    struct writer w = writer_of(buf, sizeof(buf));
    conn_write(&w, &c);
    s->hold_policies = true;
    ipc_send(s->ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = 7, .conn = wr_written(&w)});
    pair_run(p);
    assert_int_equal(s->held_count, 1);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    s->hold_policies = false;
    s->held_count = 0;
    ipc_result(s->path_ike, s->policies_held[0], true, "%s", "");
    pair_run(p);
    assert_int_equal(s->ike->conns->cfg.dpd_delay, 17);
    expect_up(p, 0, 1, 1);
    pair_terminate(p, 0, NULL, false);
    pair_run(p);
    pair_wait(p, 70000); // the edition that it began with is gone
    expect_up(p, 0, 0, 0);
    assert_int_equal(got.conn.established, 1);
    assert_int_equal(got.child.installed, 1);
    pair_free(p);
}

static void unload(struct pair *p, int side)
{
    struct msg_CONN_UNLOAD m = {.req = 8, .conn = "t"};
    ipc_send(p->s[side].ctl_ike, MSG_CONN_UNLOAD, &m);
    pair_run(p);
}

static void test_counts_are_those_of_the_name_over_a_reload(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    struct conn_config c;
    pair_default_conn(&c, 0);
    c.dpd_delay = 17; // an edit
    pair_load(p, 0, &c);
    expect_up(p, 0, 1, 1);
    assert_int_equal(got.conn.starts, 0);
    unload(p, 0);
    ask_of(p, 0, "t");
    assert_int_equal(got.conns, 0); // nobody is told of what is not loaded
    pair_load(p, 0, &c);
    expect_up(p, 0, 1, 1); // whose SA is there all the while
    c.children[0].name = "other";
    pair_load(p, 0, &c);
    expect_up(p, 0, 1, 0);
    assert_string_equal(got.child.child, "other");
    assert_int_equal(got.children, 1);
    pair_terminate(p, 0, NULL, false);
    pair_run(p);
    pair_wait(p, 70000);
    expect_up(p, 0, 0, 0);
    c.children[0].name = "third";
    pair_load(p, 0, &c); // what neither it nor an SA has any more is forgotten
    assert_string_equal(p->s[0].ike->conns->counts->children->name, "third");
    assert_null(p->s[0].ike->conns->counts->children->next);
    unload(p, 0);
    pair_wait(p, 1000);
    assert_int_equal(table_count(&p->s[0].ike->counts), 0);
    pair_free(p);
}

static void test_failure_of_authentication_is_told_at_both_ends(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (int side = 0; side < 2; side++) {
        pair_default_conn(&c, side);
        pair_load(p, side, &c);
    }
    pair_psk(p, 0, "a secret of one end", "a.test", "b.test");
    pair_psk(p, 1, "a secret of the other", "a.test", "b.test");
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    pair_wait(p, 70000);
    for (int side = 0; side < 2; side++) {
        expect_up(p, side, 0, 0);
        for (unsigned i = 0; i < IKE_FAILURE_COUNT; i++)
            assert_int_equal(got.failed[i], i == IKE_FAILURE_AUTHENTICATION);
    }
    pair_free(p);
}

static void test_peer_that_does_not_answer_and_one_that_has_no_proposal_are_told_apart(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    struct conn_config c;
    pair_default_conn(&c, 0);
    c.keyingtries = 3;
    pair_load(p, 0, &c);
    p->filter = pair_lose_all;
    uint32_t req = pair_initiate(p, 0, "c");
    pair_wait(p, 3000000);
    pair_result(p, 0, req, false);
    expect_up(p, 0, 0, 0);
    assert_int_equal(got.failed[IKE_FAILURE_NO_ANSWER], 3); // each try of keyingtries
    p->filter = NULL;
    pair_proposal(&c.proposals[0], PROTO_IKE, "aes128gcm16 prfsha384 ecp256");
    pair_load(p, 0, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    expect_up(p, 0, 0, 0);
    assert_int_equal(got.failed[IKE_FAILURE_NO_ANSWER], 3);
    assert_int_equal(got.failed[IKE_FAILURE_NO_PROPOSAL], 1);
    pair_free(p);
}

// A CHILD SA in IKE_AUTH and one by CREATE_CHILD_SA: of another IKE SA's selectors, and of another cipher.
static void test_child_that_the_peer_refuses_is_told_with_its_reason(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    struct conn_config c;
    pair_default_conn(&c, 0);
    c.children[0].remote_ts->t[0].lo[1] = c.children[0].remote_ts->t[0].hi[1] = 77;
    pair_load(p, 0, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    expect_up(p, 0, 1, 0);
    for (unsigned i = 0; i < CHILD_FAILURE_COUNT; i++)
        assert_int_equal(got.child_failed[i], i == CHILD_FAILURE_SELECTORS);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    expect_up(p, 0, 1, 0);
    assert_int_equal(got.child_failed[CHILD_FAILURE_SELECTORS], 2);
    pair_default_conn(&c, 0);
    pair_proposal(&c.children[0].proposals[0], PROTO_ESP, "aes192gcm16");
    pair_load(p, 0, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    expect_up(p, 0, 1, 0);
    assert_int_equal(got.child_failed[CHILD_FAILURE_SELECTORS], 2);
    assert_int_equal(got.child_failed[CHILD_FAILURE_NO_PROPOSAL], 1);
    pair_free(p);
}

static void test_handshakes_are_counted_by_how_long_they_took(void **state)
{
    (void)state;
    uint8_t buf[HANDSHAKES_OCTETS];
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    struct reader r = reader_of(counts_handshakes(p->s[0].ike, buf));
    uint64_t us = rd_u64(&r), all = 0;
    for (unsigned i = 0; i <= HANDSHAKE_COUNT; i++)
        all += rd_u64(&r);
    assert_true(rd_done(&r));
    assert_int_equal(all, 1);
    assert_int_equal(us, p->s[0].ike->sas->later->handshake_us);
    pair_free(p);
}

static void test_next_try_of_what_is_to_be_up_is_told(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    struct conn_config c;
    expect_up(p, 0, 0, 0);
    assert_int_equal(got.child.failures, 0);
    assert_int_equal(got.child.next_ms, UINT32_MAX);
    pair_default_conn(&c, 0);
    c.keyingtries = 0;
    c.children[0].start_action = ACTION_START;
    pair_proposal(&c.proposals[0], PROTO_IKE, "aes128gcm16 prfsha384 ecp256"); // the peer has none of it
    pair_load(p, 0, &c);
    pair_run(p);
    for (uint32_t failures = 1; failures <= 3; failures++) {
        expect_up(p, 0, 0, 0);
        uint32_t most = 1000u << (failures - 1), next = got.child.next_ms;
        assert_int_equal(got.child.failures, failures);
        assert_in_range(next, most / 2, most);
        pair_wait(p, next - 1);
        expect_up(p, 0, 0, 0);
        assert_int_equal(got.child.failures, failures);
        assert_int_equal(got.child.next_ms, 1);
        pair_wait(p, 1);
        pair_run(p);
    }
    pair_default_conn(&c, 0);
    pair_load(p, 0, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_run(p);
    expect_up(p, 0, 1, 1);
    assert_int_equal(got.child.failures, 0);
    assert_int_equal(got.child.next_ms, UINT32_MAX);
    pair_free(p);
}

static void test_connection_that_is_never_up_is_not_told_of(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    struct conn_config c;
    pair_default_conn(&c, 0);
    c.children[0].start_action = ACTION_START;
    pair_load(p, 0, &c);
    ask_of(p, 0, "t");
    assert_int_equal(got.conn.starts, 1);
    pair_default_conn(&c, 0);
    c.children[0].action = POLICY_BYPASS;
    pair_load(p, 0, &c);
    ask_of(p, 0, "t");
    assert_int_equal(got.conns + got.children, 0);
    pair_free(p);
}

static void test_page_has_an_end(void **state)
{
    (void)state;
    static uint8_t names[4096];
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    struct writer w = writer_of(names, sizeof(names));
    for (unsigned i = 0; i < COUNTS_PAGE; i++)
        wr_cstr(&w, "t");
    ask_for(p, 0, wr_written(&w));
    assert_true(got.ok && got.conns == COUNTS_PAGE);
    wr_cstr(&w, "t");
    ask_for(p, 0, wr_written(&w));
    assert_false(got.ok);
    ask_for(p, 0, slice_of("\0\5ab", 4));
    assert_false(got.ok);
    ask_of(p, 0, "nobody");
    assert_int_equal(got.conns + got.children, 0);
    pair_free(p);
}

static void load_renamed(struct pair *p, const char *child)
{
    struct conn_config c;
    pair_default_conn(&c, 0);
    c.name = "n";
    c.unique = UNIQUE_NO;
    c.children[0].name = child;
    pair_load(p, 0, &c);
}

// It is up by the name that it has; the file has that name later only.
static void test_child_sa_whose_connection_was_renamed_is_counted_where_its_child_comes_later(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    load_renamed(p, "other");
    unload(p, 0);
    load_renamed(p, "c");
    ask_of(p, 0, "n");
    assert_int_equal(got.conn.up, 1);
    assert_string_equal(got.child.child, "c");
    assert_int_equal(got.child.up, 1);
    pair_terminate(p, 0, "c", false);
    pair_wait(p, 70000);
    ask_of(p, 0, "n");
    assert_int_equal(got.child.up, 0);
    pair_free(p);
}

// What there was no memory to count is not counted when it ends either.
static void test_child_sa_that_was_not_counted_takes_nothing_from_those_that_are(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, pair_two_children);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    struct conn *c = conn_find(p->s[0].ike, "t");
    struct conn_counts *counts = c->counts;
    c->counts = NULL;
    pair_result(p, 0, pair_initiate(p, 0, "d"), true);
    c->counts = counts;
    expect_up(p, 0, 1, 0);
    pair_terminate(p, 0, "d", false);
    pair_wait(p, 1000);
    expect_up(p, 0, 1, 0);
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_go_on_over_rekeyings_and_the_end),
        cmocka_unit_test(test_counts_that_begin_while_an_edit_is_loaded_are_its_too),
        cmocka_unit_test(test_counts_are_those_of_the_name_over_a_reload),
        cmocka_unit_test(test_failure_of_authentication_is_told_at_both_ends),
        cmocka_unit_test(test_peer_that_does_not_answer_and_one_that_has_no_proposal_are_told_apart),
        cmocka_unit_test(test_child_that_the_peer_refuses_is_told_with_its_reason),
        cmocka_unit_test(test_handshakes_are_counted_by_how_long_they_took),
        cmocka_unit_test(test_next_try_of_what_is_to_be_up_is_told),
        cmocka_unit_test(test_connection_that_is_never_up_is_not_told_of),
        cmocka_unit_test(test_page_has_an_end),
        cmocka_unit_test(test_child_sa_whose_connection_was_renamed_is_counted_where_its_child_comes_later),
        cmocka_unit_test(test_child_sa_that_was_not_counted_takes_nothing_from_those_that_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
