// SPDX-License-Identifier: Apache-2.0
// Connections as ike takes them: all or nothing, the policies that path is told, dynamic selectors, modes,
// and what moves with a NAT's mapping.
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "tests/unit/ike_pair.h"

static void load_refused(struct pair *p, int side, struct conn_config *c)
{
    static uint8_t buf[65536];
    struct writer w = writer_of(buf, sizeof(buf));
    conn_write(&w, c);
    p->s[side].refuse_policies = true;
    ipc_send(p->s[side].ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = 7, .conn = wr_written(&w)});
    pair_run(p);
    pair_result(p, side, 7, false);
    p->s[side].refuse_policies = false;
}

static void up(struct pair *p, const char *child)
{
    pair_result(p, 0, pair_initiate(p, 0, child), true);
    assert_true(pair_live(&p->s[0]) == 1 && pair_agree(p));
}

// Of a device of its own, as thousands of which are loaded: names, addresses and selectors are its alone.
static void load_device(struct pair *p, unsigned i)
{
    struct conn_config c;
    char name[40], id[40];
    pair_default_conn(&c, 1);
    snprintf(name, sizeof(name), "device-%05u", i);
    snprintf(id, sizeof(id), "device-%05u.other.test", i);
    c.name = name;
    c.remote.id = id;
    c.children[0].name = "net";
    c.remote_addrs[0].a[2] = (uint8_t)(i >> 8);
    c.remote_addrs[0].a[3] = (uint8_t)i;
    struct ts *t = &c.children[0].remote_ts->t[0];
    t->lo[2] = t->hi[2] = (uint8_t)(i >> 8);
    t->lo[3] = t->hi[3] = (uint8_t)i;
    p->s[1].policies = 0;
    pair_load(p, 1, &c);
}

// All that is allocated for one, its places in the tables and the gaps of malloc among it.
static void test_a_loaded_connection_is_small(void **state)
{
    enum { FIRST = 500, SOME = 2000, MOST_OCTETS = 1450 };
    (void)state;
    struct pair *p = pair_new(NULL);
    for (unsigned i = 0; i < FIRST; i++)
        load_device(p, i);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (unsigned i = FIRST; i < FIRST + SOME; i++)
        load_device(p, i);
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    print_message("ike: %zu octets a loaded connection\n", (after - before) / SOME);
    assert_true(after - before <= (size_t)SOME * MOST_OCTETS);
    pair_free(p);
}

static void test_connection_whose_policies_are_refused_is_not_there(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (int i = 0; i < 2; i++)
        pair_psk(p, i, "secret", NULL, NULL);
    pair_default_conn(&c, 0);
    pair_load(p, 0, &c);
    pair_default_conn(&c, 1);
    load_refused(p, 1, &c);
    assert_string_equal(p->s[1].last_text, "the test's path refuses");
    assert_null(p->s[1].ike->conns);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false); // nobody answers by it
    pair_load(p, 1, &c);
    up(p, "c");
    pair_free(p);
}

static void test_edit_whose_policies_are_refused_leaves_the_old_one(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    struct conn_config c;
    uint32_t id = p->s[1].policy[0].id;
    pair_default_conn(&c, 1);
    c.children[0].local_ts->t[0].lo[1] = c.children[0].local_ts->t[0].hi[1] = 9;
    load_refused(p, 1, &c);
    up(p, "c"); // by the old one, with its policy
    assert_int_equal(pair_sa(&p->s[1], 0)->child.policy_id, id);
    pair_default_conn(&c, 1);
    pair_load(p, 1, &c); // the file as it was: nothing is different
    assert_int_equal(p->s[1].policy[0].id, id);
    pair_free(p);
}

static void test_unload_that_path_refuses_leaves_the_connection(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    p->s[1].refuse_policies = true;
    ipc_send(p->s[1].ctl_ike, MSG_CONN_UNLOAD, &(struct msg_CONN_UNLOAD){.req = 9, .conn = "t"});
    pair_run(p);
    pair_result(p, 1, 9, false);
    assert_non_null(p->s[1].ike->conns);
    pair_free(p);
}

// A neighbour that has no memory for its end of the channel, or has died: another ike gets others.
static void test_one_in_the_place_of_another_that_a_neighbour_does_not_take_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct pair *p = pair_new(NULL);
        struct side *s = &p->s[0];
        struct ipc_chan **end[] = {&s->ctl_ike, &s->path_ike};
        ike_follow(s->ike, i < 4, 0);
        if (i > 1 && i < 4)
            ipc_send(s->ctl_ike, MSG_WHOLE, &(struct msg_WHOLE){.pid = 4711});
        pair_run(p);
        assert_false(loop_stopped(p->loop));
        ipc_close(*end[i % 2]);
        *end[i % 2] = NULL;
        pair_run(p);
        assert_int_equal(loop_stopped(p->loop), i < 2); // what has it all, or is nobody's successor, goes on
        pair_free(p);
    }
}

// A peer that was refused by what is loaded so far might give up.
static void test_one_in_the_place_of_another_refuses_nobody_before_it_has_all(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    ike_follow(p->s[1].ike, 1, 0);
    for (int i = 0; i < 2; i++)
        pair_psk(p, i, "secret", NULL, NULL);
    pair_default_conn(&c, 0);
    pair_load(p, 0, &c);
    uint32_t req = pair_initiate(p, 0, "c");
    pair_run(p);
    assert_int_equal(p->sent, 1); // it is not answered
    pair_default_conn(&c, 1);
    pair_load(p, 1, &c);
    pair_wait(p, 30000);
    assert_int_equal(pair_live(&p->s[0]), 0);
    ipc_send(p->s[1].ctl_ike, MSG_WHOLE, &(struct msg_WHOLE){.pid = 4711});
    pair_wait(p, 60000);
    pair_result(p, 0, req, true);
    assert_true(pair_live(&p->s[0]) == 1 && pair_agree(p));
    pair_free(p);
}

static uint64_t peer_of(struct pair *p, const struct conn_config *c)
{
    pair_load(p, 0, c);
    assert_true(p->s[0].policy_peer != 0);
    return p->s[0].policy_peer;
}

// By whom path knows what may take over what: what a connection is called, how it goes about it and what it
// has for children is the peer's business no more.
static void test_path_is_told_which_connections_are_to_the_same_peer(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_NO, NULL);
    struct conn_config c;
    uint64_t peer = p->s[0].policy_peer;
    pair_default_conn(&c, 0);
    c.name = "renamed";
    c.children[0].name = "too";
    c.dpd_delay = 7;
    assert_true(peer_of(p, &c) == peer);
    for (int how = 0; how < 6; how++) {
        char name[20];
        pair_default_conn(&c, 0);
        snprintf(name, sizeof(name), "u%d", how);
        c.name = name;
        if (how == 0)
            c.remote.id = "somebody.else";
        else if (how == 1)
            c.local.id = "we.to.somebody.else";
        else if (how == 2)
            c.remote_addrs[0].a[3]++;
        else if (how == 3)
            c.remote_count = 0;
        else if (how == 4)
            c.remote.auth = AUTH_PUBKEY;
        else
            c.ppk_id = "ppk";
        assert_true(peer_of(p, &c) != peer);
    }
    pair_free(p);
}

static void test_policy_keeps_its_id_until_it_is_another(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    struct conn_config c;
    uint32_t id = p->s[0].policy[0].id;
    assert_int_not_equal(id, 0);
    pair_default_conn(&c, 0);
    c.dpd_delay = 7;
    c.children[0].start_action = ACTION_TRAP;
    pair_load(p, 0, &c);
    assert_int_equal(p->s[0].policy[0].id, id);
    assert_true(p->s[0].policy[0].trap);
    for (int i = 0; i < 3; i++) {
        pair_default_conn(&c, 0);
        if (i == 0)
            c.children[0].priority = 5;
        else if (i == 1)
            c.children[0].action = POLICY_DISCARD;
        else
            c.children[0].remote_ts->t[0].proto = 17;
        pair_load(p, 0, &c);
        assert_int_not_equal(p->s[0].policy[0].id, id);
        id = p->s[0].policy[0].id;
    }
    assert_int_equal(p->s[0].policy[0].priority, 0);
    assert_int_equal(p->s[0].policy[0].action, POLICY_PROTECT);
    pair_free(p);
}

// It is the same connection, whose SAs stay, and whose start_action is not looked at again.
static void test_trap_by_hand_changes_the_policy_alone(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    struct conn_config c;
    uint8_t digest[32];
    up(p, "c");
    uint32_t id = p->s[0].policy[0].id;
    unsigned down = p->s[0].child_down, sent = p->sent;
    memcpy(digest, p->s[0].ike->conns->digest, sizeof(digest));
    for (uint8_t by_hand = TRAP_AS_CONFIGURED; by_hand <= TRAP_UNINSTALLED; by_hand++) {
        pair_default_conn(&c, 0);
        c.children[0].trap_by_hand = by_hand;
        pair_load(p, 0, &c);
        assert_int_equal(p->s[0].policy[0].id, id);
        assert_int_equal(p->s[0].policy[0].trap, by_hand == TRAP_INSTALLED);
        assert_memory_equal(p->s[0].ike->conns->digest, digest, sizeof(digest));
        assert_ptr_equal(p->s[0].ike->sas->children->conn, p->s[0].ike->conns); // as of one that is unchanged
    }
    pair_default_conn(&c, 0);
    c.children[0].start_action = ACTION_TRAP;
    c.children[0].trap_by_hand = TRAP_UNINSTALLED;
    pair_load(p, 0, &c);
    assert_false(p->s[0].policy[0].trap);
    assert_int_equal(p->s[0].child_down, down);
    assert_int_equal(p->sent, sent);
    pair_free(p);
}

// What is for another peer is another policy, and what its SA is rekeyed to goes on under the one that it
// has.
static void test_policy_for_another_peer_has_another_id(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    struct conn_config c;
    up(p, "c");
    uint32_t id = p->s[0].policy[0].id;
    pair_default_conn(&c, 0);
    c.ppk_id = "ppk";
    pair_load(p, 0, &c);
    uint32_t now = p->s[0].policy[0].id;
    assert_int_not_equal(now, id);
    unsigned count = p->s[0].sa_count;
    for (int side = 0; side < 2; side++) { // of either end's doing
        expiry_rekey(p->s[side].ike->sas->children);
        pair_run(p);
        assert_int_equal(p->s[0].sa_count, ++count);
        assert_int_equal(p->s[0].sas[count - 1].child.policy_id, id);
        pair_wait(p, 10000);
    }
    pair_load(p, 0, &c);
    assert_int_equal(p->s[0].policy[0].id, now);
    pair_free(p);
}

// --- dynamic selectors ---

static void dynamic(struct conn_config *c, int side)
{
    (void)side;
    c->children[0].local_ts->t[0] = c->children[0].remote_ts->t[0] =
        (struct ts){.proto = 17, .port_hi = 65535};
}

static bool is_host(const struct ts_list *l, const char *text)
{
    struct addr a;
    addr_parse(text, &a);
    return l->count == 1 && l->t[0].family == a.family && memcmp(l->t[0].lo, a.a, 4) == 0 &&
           memcmp(l->t[0].hi, a.a, 4) == 0 && l->t[0].proto == 17;
}

static void test_dynamic_selectors_are_written_out_where_the_addresses_are_known(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, dynamic);
    const struct policy_spec *s = p->s[0].policy;
    assert_int_equal(p->s[0].policy_count, 1);
    assert_true(is_host(&s->local, "10.0.0.1") && is_host(&s->remote, "10.0.0.2"));
    up(p, "c");
    assert_int_equal(pair_sa(&p->s[0], 0)->child.policy_id, s->id);
    assert_true(is_host(&pair_sa(&p->s[0], 0)->child.remote_ts, "10.0.0.2"));
    pair_free(p);
}

static void any_peer(struct conn_config *c, int side)
{
    dynamic(c, side);
    if (side)
        c->remote_count = 0;
    else
        c->local_count = 0;
}

static void test_dynamic_selectors_stay_dynamic_where_the_peer_is_anyone(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, any_peer);
    assert_int_equal(p->s[1].policy[0].remote.t[0].family, 0);
    assert_true(is_host(&p->s[1].policy[0].local, "10.0.0.2"));
    up(p, "c");
    assert_true(is_host(&pair_sa(&p->s[1], 0)->child.remote_ts, "10.0.0.1"));
    pair_free(p);
}

static void test_dynamic_selectors_follow_the_machines_addresses(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, any_peer);
    uint32_t id = p->s[0].policy[0].id;
    unsigned applied = p->s[0].policies;
    assert_true(is_host(&p->s[0].policy[0].local, "10.0.0.1")); // the route's source
    ipc_send(p->s[0].path_ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
    pair_run(p);
    assert_int_equal(p->s[0].policies, applied); // nothing differs, nothing is said
    addr_parse("10.0.0.7", &p->s[0].source);
    ipc_send(p->s[0].path_ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
    pair_run(p);
    assert_int_equal(p->s[0].policies, applied + 1);
    assert_true(is_host(&p->s[0].policy[0].local, "10.0.0.7"));
    assert_int_not_equal(p->s[0].policy[0].id, id);
    pair_free(p);
}

// What path had no memory for then is asked of it again: until it has it another address is not protected.
static void test_policies_that_path_refuses_to_renew_are_renewed_later(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, any_peer);
    struct side *s = &p->s[0];
    unsigned applied = s->policies;
    addr_parse("10.0.0.7", &s->source);
    s->refuse_policies = true;
    ipc_send(s->path_ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
    pair_run(p);
    pair_wait(p, 4000);
    assert_int_equal(s->policies, applied + 3); // at once, after 1 s, and 2 s later
    assert_true(is_host(&s->policy[0].local, "10.0.0.1"));
    s->refuse_policies = false;
    pair_wait(p, 5000);
    assert_int_equal(s->policies, applied + 4);
    assert_true(is_host(&s->policy[0].local, "10.0.0.7"));
    pair_wait(p, 600000);
    assert_int_equal(s->policies, applied + 4);
    pair_free(p);
}

// One that this ike had no memory for, and the one before had.
static void test_unload_of_a_connection_that_is_not_there_takes_what_path_has_of_it(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    p->s[1].policy_count = 1;
    ipc_send(p->s[1].ctl_ike, MSG_CONN_UNLOAD, &(struct msg_CONN_UNLOAD){.req = 9, .conn = "t"});
    pair_run(p);
    pair_result(p, 1, 9, true);
    assert_int_equal(p->s[1].policy_count, 0);
    pair_free(p);
}

static void addrs_changed(struct pair *p)
{
    ipc_send(p->s[0].path_ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
    pair_run(p);
}

static void load_held(struct pair *p, struct conn_config *c)
{
    static uint8_t buf[65536];
    struct writer w = writer_of(buf, sizeof(buf));
    conn_write(&w, c);
    ipc_send(p->s[0].ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = 7, .conn = wr_written(&w)});
    pair_run(p);
}

static void answer_held(struct pair *p, bool good)
{
    struct side *s = &p->s[0];
    s->hold_policies = false;
    for (unsigned i = 0; i < s->held_count; i++)
        ipc_result(s->path_ike, s->policies_held[i], good, "%s", good ? "" : "the test's path refuses");
    s->held_count = 0;
    pair_run(p);
}

// What is asked of path behind the unloading would be there for ever, in nobody's name.
static void test_address_that_changes_while_an_unload_is_under_way_is_no_policy_again(void **state)
{
    (void)state;
    for (int refused = 0; refused < 2; refused++) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, any_peer);
        struct side *s = &p->s[0];
        unsigned applied = s->policies;
        s->hold_policies = true;
        ipc_send(s->ctl_ike, MSG_CONN_UNLOAD, &(struct msg_CONN_UNLOAD){.req = 9, .conn = "t"});
        pair_run(p);
        assert_int_equal(s->held_count, 1);
        addr_parse("10.0.0.7", &s->source);
        addrs_changed(p);
        assert_int_equal(s->policies, applied);
        assert_int_equal(s->held_count, 1);
        answer_held(p, !refused);
        pair_result(p, 0, 9, !refused);
        assert_int_equal(s->policies, applied + (unsigned)refused);
        if (refused) // it stays, and follows
            assert_true(is_host(&s->policy[0].local, "10.0.0.7"));
        else
            assert_null(s->ike->conns);
        pair_free(p);
    }
}

// Asked for twice, and refused once: until the other answer it is on its way out.
static void test_connection_that_is_unloaded_twice_leaves_until_both_are_answered(void **state)
{
    (void)state;
    for (int good = 0; good < 2; good++) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, any_peer);
        struct side *s = &p->s[0];
        unsigned applied = s->policies;
        s->hold_policies = true;
        for (uint32_t req = 9; req < 11; req++)
            ipc_send(s->ctl_ike, MSG_CONN_UNLOAD, &(struct msg_CONN_UNLOAD){.req = req, .conn = "t"});
        pair_run(p);
        assert_int_equal(s->held_count, 2);
        assert_true(s->ike->conns->leaving);
        addr_parse("10.0.0.7", &s->source);
        ipc_result(s->path_ike, s->policies_held[0], false, "%s", "the test's path refuses");
        pair_run(p);
        pair_result(p, 0, 9, false);
        assert_true(s->ike->conns->leaving);
        addrs_changed(p);
        assert_int_equal(s->held_count, 2); // nothing is asked of path behind the second one
        s->hold_policies = false;
        ipc_result(s->path_ike, s->policies_held[1], good, "%s", "");
        pair_run(p);
        pair_result(p, 0, 10, good);
        assert_true(good ? !s->ike->conns : !s->ike->conns->leaving);
        assert_int_equal(s->policies, applied + !good);
        pair_free(p);
    }
}

// Path has not answered yet when the address changes: of an edit, of one that is new, and of one that path
// then refuses, where the old one has to follow.
static void test_address_that_changes_while_a_load_is_under_way_is_taken(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, any_peer);
        struct side *s = &p->s[0];
        struct conn_config c;
        pair_default_conn(&c, 0);
        any_peer(&c, 0);
        if (how == 1)
            c.name = "new";
        c.children[0].priority = 9;
        s->hold_policies = true;
        load_held(p, &c);
        assert_int_equal(s->held_count, 1);
        addr_parse("10.0.0.7", &s->source);
        addrs_changed(p);
        answer_held(p, how != 2);
        pair_result(p, 0, 7, how != 2);
        assert_true(is_host(&s->policy[0].local, "10.0.0.7"));
        assert_int_equal(s->policy[0].priority, how == 2 ? 0 : 9);
        pair_free(p);
    }
}

// The policy would name nobody's address, and what it kept closed would be open.
static void test_an_address_that_was_known_stays_when_the_route_to_the_peer_goes(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, any_peer);
    struct side *s = &p->s[0];
    uint32_t id = s->policy[0].id;
    s->no_way = true;
    addrs_changed(p);
    assert_true(is_host(&s->policy[0].local, "10.0.0.1"));
    assert_int_equal(s->policy[0].id, id);
    // an edition that is loaded meanwhile has it too
    struct conn_config edited;
    pair_default_conn(&edited, 0);
    any_peer(&edited, 0);
    edited.dpd_delay += 7;
    pair_load(p, 0, &edited);
    assert_true(is_host(&s->policy[0].local, "10.0.0.1"));
    s->no_way = false;
    addr_parse("10.0.0.7", &s->source);
    addrs_changed(p);
    assert_true(is_host(&s->policy[0].local, "10.0.0.7"));
    pair_free(p);
}

static void test_pool_that_comes_while_a_load_is_under_way_is_taken(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    struct side *s = &p->s[0];
    struct conn_config c;
    pair_default_conn(&c, 0);
    any_peer(&c, 0);
    c.name = "new";
    static char pools[1][NAME_MAX_LEN] = {"p1"};
    c.pools = pools;
    c.pool_count = 1;
    s->hold_policies = true;
    load_held(p, &c);
    assert_true(pair_load_pool(p, 0, "p1", "10.9.0.0/24", slice_of(NULL, 0)));
    answer_held(p, true);
    pair_result(p, 0, 7, true);
    assert_int_equal(s->policy[0].later, 0);
    assert_memory_equal(s->policy[0].remote.t[0].lo, ((uint8_t[]){10, 9, 0}), 3);
    pair_free(p);
}

static void fixed_ends(struct conn_config *c, int side)
{
    (void)side;
    c->local_count = 0;
}

static bool count_routes(void *ctx, const struct addr *remote, struct addr *local)
{
    (void)remote;
    (void)local;
    ((struct side *)ctx)->asked_routes++;
    return false;
}

// Whoever makes routes come and go costs nothing where no selector follows them.
static void test_routes_are_not_asked_for_where_no_selector_follows_them(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, fixed_ends);
    p->s[0].ike->net.source_for = count_routes;
    addrs_changed(p);
    assert_int_equal(p->s[0].asked_routes, 0);
    pair_free(p);
}

// What will be known is told apart from what depends on who comes.
static void test_policy_without_a_way_to_its_peer_is_about_more_later(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, any_peer);
    struct conn_config elsewhere; // nothing is known of our end toward its peer
    assert_int_equal(p->s[0].policy[0].later, 0);
    assert_int_equal(p->s[1].policy[0].later, 0); // its peer is anyone
    p->s[0].no_way = true;
    pair_default_conn(&elsewhere, 0);
    any_peer(&elsewhere, 0);
    addr_parse("10.0.0.9", &elsewhere.remote_addrs[0]);
    pair_load(p, 0, &elsewhere);
    assert_int_equal(p->s[0].policy[0].local.t[0].family, 0);
    assert_int_equal(p->s[0].policy[0].later, 1);
    p->s[0].no_way = false;
    addrs_changed(p);
    assert_true(is_host(&p->s[0].policy[0].local, "10.0.0.1"));
    assert_int_equal(p->s[0].policy[0].later, 0);
    pair_free(p);
}

// --- modes ---

static void pass_and_drop(struct conn_config *c, int side)
{
    static struct child_config kids[2][3];
    for (int i = 0; i < 3; i++) {
        kids[side][i] = c->children[0];
        kids[side][i].name = i == 0 ? "p" : i == 1 ? "d" : "c";
        kids[side][i].action = i == 0 ? POLICY_BYPASS : i == 1 ? POLICY_DISCARD : POLICY_PROTECT;
    }
    c->children = kids[side];
    c->child_count = 3;
}

static void test_pass_and_drop_are_policies_without_an_sa(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, pass_and_drop);
    assert_int_equal(p->s[0].policy_count, 3);
    assert_int_equal(p->s[0].policy[0].action, POLICY_BYPASS);
    assert_int_equal(p->s[0].policy[1].action, POLICY_DISCARD);
    pair_result(p, 0, pair_initiate(p, 0, "p"), false);
    assert_int_equal(p->sent, 0);
    up(p, "c");
    assert_string_equal(pair_sa(&p->s[1], 0)->child.name, "c"); // the peer's request does not meet the others
    pair_free(p);
}

static void transport(struct conn_config *c, int side)
{
    dynamic(c, side);
    c->children[0].mode = MODE_TRANSPORT;
}

static void transport_at_0(struct conn_config *c, int side)
{
    dynamic(c, side);
    c->children[0].mode = side ? MODE_TUNNEL : MODE_TRANSPORT;
}

static void transport_at_1(struct conn_config *c, int side)
{
    transport_at_0(c, 1 - side);
}

static void test_transport_mode_is_negotiated_and_never_fallen_back_from(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, transport);
    up(p, "c");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pair_sa(&p->s[i], 0)->child.mode, MODE_TRANSPORT);
        assert_int_equal(p->s[i].policy[0].mode, MODE_TRANSPORT);
    }
    pair_free(p);
    void (*const one_sided[])(struct conn_config *, int) = {transport_at_0, transport_at_1};
    for (int i = 0; i < 2; i++) { // the policy allows one mode: what the peer makes of it is closed again
        p = pair_loaded(UNIQUE_REPLACE, one_sided[i]);
        pair_result(p, 0, pair_initiate(p, 0, "c"), false);
        pair_wait(p, 10000);
        assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
        pair_free(p);
    }
    p = pair_loaded(UNIQUE_REPLACE, transport);
    p->nat = true; // 2.23.1
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    pair_wait(p, 10000);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    pair_free(p);
}

static void transport_nets(struct conn_config *c, int side)
{
    (void)side;
    c->children[0].mode = MODE_TRANSPORT; // between networks: no packet has the endpoints' addresses
}

static void test_transport_mode_between_networks_has_no_selectors(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, transport_nets);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    pair_free(p);
}

// --- a NAT's mapping changes ---

static void through_nat(struct conn_config *c, int side)
{
    if (side)
        c->remote_count = 0;
    c->dpd_delay = side ? 0 : 10;
}

static void test_mapping_that_changes_is_followed_after_an_authenticated_message(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    p->nat = true;
    for (int i = 1; i >= 0; i--) {
        pair_psk(p, i, "secret", NULL, NULL);
        pair_default_conn(&c, i);
        through_nat(&c, i);
        pair_load(p, i, &c);
    }
    up(p, "c");
    struct ike_sa *sa = p->s[1].ike->sas;
    assert_int_equal(sa->path.remote_port, 14500);
    p->nat_shift = 20000;
    struct net_path elsewhere = sa->path;
    elsewhere.remote_port = 24500;
    uint8_t junk[64] = {0}; // not authenticated: for that SA, but of nobody
    struct writer w = writer_of(junk, sizeof(junk));
    struct ike_header h = {sa->spi_i, sa->spi_r, PL_SK, IKE_VERSION, EX_INFORMATIONAL, FLAG_INITIATOR, 2, 64};
    header_write(&w, &h);
    pair_inject(p, 1, &elsewhere, junk, sizeof(junk));
    assert_int_equal(sa->path.remote_port, 14500);
    pair_wait(p, 11000); // a liveness check through the new mapping
    assert_int_equal(sa->path.remote_port, 24500);
    assert_int_equal(p->s[1].endpoints, 1);
    assert_int_equal(p->s[1].endpoint.remote_port, 24500);
    assert_int_equal(p->s[1].endpoint.child_id, pair_sa(&p->s[1], 0)->child.child_id);
    assert_int_equal(p->s[1].endpoint.udp_encap, 1);
    struct msg_CHILD_EVENT m = {.child_id = sa->children->id,
                                .event = CHILD_EVENT_REBOUND,
                                .remote = sa->path.remote,
                                .remote_port = 34500};
    ipc_send(p->s[1].path_ike, MSG_CHILD_EVENT, &m); // path saw it first
    pair_run(p);
    assert_int_equal(sa->path.remote_port, 34500);
    assert_int_equal(p->s[1].endpoints, 2);
    m.remote_port = 0; // nowhere
    ipc_send(p->s[1].path_ike, MSG_CHILD_EVENT, &m);
    pair_run(p);
    assert_int_equal(sa->path.remote_port, 34500);
    m.remote_port = 34500;
    m.child_id = p->s[0].ike->sas->children->id; // behind the NAT ourselves we stay (2.23)
    ipc_send(p->s[0].path_ike, MSG_CHILD_EVENT, &m);
    pair_run(p);
    assert_int_equal(p->s[0].endpoints, 0);
    pair_free(p);
}

static struct pair *two_ways_to_one_peer(bool first, bool second) // encap of the connections at side 1
{
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    p->nat = true;
    pair_psk(p, 0, "secret", NULL, NULL);
    pair_psk(p, 1, "secret", NULL, NULL);
    for (int i = 0; i < 2; i++) {
        pair_default_conn(&c, 1);
        through_nat(&c, 1);
        c.encap = i ? second : first;
        c.name = i ? "t" : "other";
        c.remote.id = i ? "a.test" : "z.test";
        pair_load(p, 1, &c);
    }
    pair_default_conn(&c, 0);
    pair_load(p, 0, &c);
    up(p, "c");
    assert_string_equal(p->s[1].ike->sas->conn->cfg.name, "t");
    return p;
}

static void rebinds(struct pair *p, uint16_t port)
{
    struct ike_sa *sa = p->s[1].ike->sas;
    p->nat_shift = (uint16_t)(port - 4500);
    ipc_send(p->s[1].path_ike, MSG_CHILD_EVENT,
             &(struct msg_CHILD_EVENT){.child_id = sa->children->id,
                                       .event = CHILD_EVENT_REBOUND,
                                       .remote = sa->path.remote,
                                       .remote_port = port});
    pair_run(p);
}

// IKE_SA_INIT is answered by the connection of another peer, as there are no names yet: what that pretends
// holds for the IKE SA, and is no NAT before us whatever the connection says that is chosen by the names.
static void test_nat_that_another_connection_pretends_is_not_taken_for_one(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct pair *p = two_ways_to_one_peer(i & 1, i & 2);
        bool pretended = p->s[1].ike->sas->nat.pretends;
        assert_int_equal(p->s[0].ike->sas->nat.remote, pretended);
        rebinds(p, 24500);
        assert_int_equal(p->s[1].ike->sas->path.remote_port, 24500);
        assert_int_equal(p->s[1].endpoint.remote_port, 24500);
        exchange_queue(p->s[0].ike->sas, TASK_REKEY_IKE, 0);
        pair_run(p);
        assert_int_equal(p->s[1].ike->sas->nat.pretends, pretended);
        rebinds(p, 34500);
        assert_int_equal(p->s[1].endpoint.remote_port, 34500);
        pair_free(p);
    }
}

// The peer does not hear that it is over at a mapping that is no more: what it sends shows where it is.
static void test_delete_follows_a_mapping_that_changes_while_it_is_not_answered(void **state)
{
    (void)state;
    struct pair *p = two_ways_to_one_peer(false, false);
    p->filter = pair_lose_all;
    pair_terminate(p, 1, NULL, false);
    pair_run(p);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    rebinds(p, 24500);
    p->filter = NULL;
    assert_int_equal(p->s[1].ike->sas->path.remote_port, 24500);
    pair_wait(p, 5000); // it is repeated
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
    pair_free(p);
}

static int moved_auth(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    if (number == 2) // IKE_AUTH, from another address, where no NAT was seen
        addr_parse("10.0.0.66", &d->path.remote);
    return 1;
}

static void test_auth_from_elsewhere_without_a_nat_does_not_move_the_sa(void **state)
{
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, any_peer);
    p->filter = moved_auth;
    pair_initiate(p, 0, "c");
    struct addr first;
    addr_parse("10.0.0.1", &first);
    assert_true(addr_eq(&p->s[1].ike->sas->path.remote, &first));
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_loaded_connection_is_small),
        cmocka_unit_test(test_connection_whose_policies_are_refused_is_not_there),
        cmocka_unit_test(test_edit_whose_policies_are_refused_leaves_the_old_one),
        cmocka_unit_test(test_unload_that_path_refuses_leaves_the_connection),
        cmocka_unit_test(test_one_in_the_place_of_another_refuses_nobody_before_it_has_all),
        cmocka_unit_test(test_one_in_the_place_of_another_that_a_neighbour_does_not_take_ends),
        cmocka_unit_test(test_address_that_changes_while_an_unload_is_under_way_is_no_policy_again),
        cmocka_unit_test(test_connection_that_is_unloaded_twice_leaves_until_both_are_answered),
        cmocka_unit_test(test_path_is_told_which_connections_are_to_the_same_peer),
        cmocka_unit_test(test_policy_keeps_its_id_until_it_is_another),
        cmocka_unit_test(test_trap_by_hand_changes_the_policy_alone),
        cmocka_unit_test(test_policy_for_another_peer_has_another_id),
        cmocka_unit_test(test_dynamic_selectors_are_written_out_where_the_addresses_are_known),
        cmocka_unit_test(test_dynamic_selectors_stay_dynamic_where_the_peer_is_anyone),
        cmocka_unit_test(test_dynamic_selectors_follow_the_machines_addresses),
        cmocka_unit_test(test_address_that_changes_while_a_load_is_under_way_is_taken),
        cmocka_unit_test(test_pool_that_comes_while_a_load_is_under_way_is_taken),
        cmocka_unit_test(test_policies_that_path_refuses_to_renew_are_renewed_later),
        cmocka_unit_test(test_unload_of_a_connection_that_is_not_there_takes_what_path_has_of_it),
        cmocka_unit_test(test_an_address_that_was_known_stays_when_the_route_to_the_peer_goes),
        cmocka_unit_test(test_routes_are_not_asked_for_where_no_selector_follows_them),
        cmocka_unit_test(test_policy_without_a_way_to_its_peer_is_about_more_later),
        cmocka_unit_test(test_pass_and_drop_are_policies_without_an_sa),
        cmocka_unit_test(test_transport_mode_is_negotiated_and_never_fallen_back_from),
        cmocka_unit_test(test_transport_mode_between_networks_has_no_selectors),
        cmocka_unit_test(test_mapping_that_changes_is_followed_after_an_authenticated_message),
        cmocka_unit_test(test_nat_that_another_connection_pretends_is_not_taken_for_one),
        cmocka_unit_test(test_delete_follows_a_mapping_that_changes_while_it_is_not_answered),
        cmocka_unit_test(test_auth_from_elsewhere_without_a_nat_does_not_move_the_sa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
