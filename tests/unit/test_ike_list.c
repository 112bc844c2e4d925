// SPDX-License-Identifier: Apache-2.0
// What ike tells a ctl that takes the place of one that died: the connections that are loaded, octet by octet
// as they came, and who has which address of the pools.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "ctrl/ike/identity.h"
#include "ctrl/ike/pools.h"
#include "tests/unit/ike_pair.h"

enum { MOST = 8, OCTETS = 16384 };

static struct {
    unsigned count, leases;
    uint64_t number[MOST], next;
    size_t len[MOST], id_len;
    uint8_t octets[MOST][OCTETS], id[64];
    bool busy, ended;
} told;

static void hear(struct side *s, enum msg_type t, const union msg *m)
{
    (void)s;
    if (t == MSG_CONN_IS) {
        assert_true(told.count < MOST && m->CONN_IS.conn.len <= OCTETS);
        told.number[told.count] = m->CONN_IS.number;
        told.len[told.count] = m->CONN_IS.conn.len;
        memcpy(told.octets[told.count++], m->CONN_IS.conn.p, m->CONN_IS.conn.len);
    } else if (t == MSG_LEASE_IS) {
        told.id_len = m->LEASE_IS.id.len;
        assert_true(told.id_len <= sizeof(told.id));
        memcpy(told.id, m->LEASE_IS.id.p, told.id_len);
        told.leases++;
    } else if (t == MSG_LIST_MORE) {
        told.next = m->LIST_MORE.next;
    } else if (t == MSG_RESULT) {
        told.busy = !m->RESULT.ok && strcmp(m->RESULT.text, CONN_LIST_BUSY) == 0;
        told.ended = m->RESULT.ok;
    }
}

static void list(struct pair *p, uint64_t from, uint32_t most)
{
    memset(&told, 0, sizeof(told));
    p->s[0].on_ctl = hear;
    ipc_send(p->s[0].ctl_ike, MSG_CONN_LIST, &(struct msg_CONN_LIST){.req = 9, .from = from, .most = most});
    pair_run(p);
    p->s[0].on_ctl = NULL;
}

static size_t load(struct pair *p, const struct conn_config *c, uint64_t number, uint8_t *buf)
{
    struct writer w = writer_of(buf, OCTETS);
    conn_write(&w, c);
    assert_false(w.bad);
    ipc_send(p->s[0].ctl_ike, MSG_CONN_LOAD,
             &(struct msg_CONN_LOAD){.req = 7, .number = number, .conn = wr_written(&w)});
    pair_run(p);
    return w.len;
}

static void named(struct conn_config *c, const char *name)
{
    pair_default_conn(c, 0);
    c->name = name;
}

static void test_connections_are_told_as_they_came(void **state)
{
    (void)state;
    static uint8_t sent[3][OCTETS];
    static const char *const names[] = {"one", "two", "three"};
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    size_t len[3];
    for (unsigned i = 0; i < 3; i++) {
        named(&c, names[i]);
        c.dpd_delay = i;
        c.children[0].start_action = i == 2 ? ACTION_TRAP : 0;
        c.local.certs = (struct blobs){0};
        len[i] = load(p, &c, i + 1, sent[i]);
    }
    named(&c, "two"); // edited: behind the others for ike
    c.rekey_time = 77;
    len[1] = load(p, &c, 2, sent[1]);
    list(p, 0, 0);
    static const unsigned order[] = {0, 2, 1};
    assert_true(told.ended);
    assert_int_equal(told.count, 3);
    for (unsigned i = 0; i < 3; i++) {
        unsigned k = order[i];
        assert_int_equal(told.number[i], k + 1);
        assert_int_equal(told.len[i], len[k]);
        assert_memory_equal(told.octets[i], sent[k], len[k]);
    }
    pair_free(p);
}

static void test_connections_are_told_in_pages(void **state)
{
    (void)state;
    static uint8_t sent[OCTETS];
    static const char *const names[] = {"one", "two", "three"};
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    for (unsigned i = 0; i < 3; i++) {
        named(&c, names[i]);
        load(p, &c, i + 1, sent);
    }
    list(p, 0, 2);
    assert_int_equal(told.count, 2);
    assert_true(told.next && !told.ended);
    list(p, told.next, 2);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.number[0], 3);
    assert_true(told.ended);
    pair_free(p);
}

static void answer_held(struct pair *p)
{
    struct side *s = &p->s[0];
    s->hold_policies = false;
    for (unsigned i = 0; i < s->held_count; i++)
        ipc_result(s->path_ike, s->policies_held[i], true, "%s", "");
    s->held_count = 0;
    pair_run(p);
}

// It is loaded when path has said yes, and is in the list then or never.
static void test_nothing_is_told_while_one_is_being_loaded_or_unloaded(void **state)
{
    (void)state;
    static uint8_t sent[OCTETS];
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    named(&c, "one");
    p->s[0].hold_policies = true;
    load(p, &c, 1, sent);
    list(p, 0, 0);
    assert_true(told.busy && !told.count);
    answer_held(p);
    list(p, 0, 0);
    assert_true(told.ended && told.count == 1);
    p->s[0].hold_policies = true;
    ipc_send(p->s[0].ctl_ike, MSG_CONN_UNLOAD, &(struct msg_CONN_UNLOAD){.req = 8, .conn = "one"});
    pair_run(p);
    list(p, 0, 0);
    bool held = p->s[0].held_count > 0;
    assert_true(told.busy == held);
    answer_held(p);
    list(p, 0, 0);
    assert_true(told.ended && !told.count);
    pair_free(p);
}

static void test_leases_are_told_with_the_identity_as_it_is(void **state)
{
    (void)state;
    static const uint8_t ann[] = {2, 0, 0, 0, 'a', 'n', 'n'};
    struct pair *p = pair_new(NULL);
    uint8_t buf[64];
    struct writer w = writer_of(buf, sizeof(buf));
    assert_true(pair_load_pool(p, 0, "p", "10.3.0.0/24", slice_of(NULL, 0)));
    wr_u8(&w, 4);
    wr_bytes(&w, (const uint8_t[16]){10, 3, 0, 5}, 16);
    wr_slice16(&w, slice_of(ann, sizeof(ann)));
    ipc_send(p->s[0].ctl_ike, MSG_POOL_LEASES,
             &(struct msg_POOL_LEASES){.name = "p", .leases = wr_written(&w)});
    memset(&told, 0, sizeof(told));
    p->s[0].on_ctl = hear;
    ipc_send(p->s[0].ctl_ike, MSG_POOL_LIST, &(struct msg_POOL_LIST){.req = 9, .leases = 1});
    pair_run(p);
    assert_int_equal(told.leases, 1);
    assert_int_equal(told.id_len, sizeof(ann));
    assert_memory_equal(told.id, ann, sizeof(ann));
    pair_free(p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_told_as_they_came),
        cmocka_unit_test(test_connections_are_told_in_pages),
        cmocka_unit_test(test_nothing_is_told_while_one_is_being_loaded_or_unloaded),
        cmocka_unit_test(test_leases_are_told_with_the_identity_as_it_is),
    };
    return cmocka_run_group_tests_name("what ike tells a new ctl", tests, NULL, NULL);
}
