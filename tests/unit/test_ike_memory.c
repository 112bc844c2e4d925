// SPDX-License-Identifier: Apache-2.0
// The ike room when memory runs out: at each allocation of a connection's load, of an IKE SA with its CHILD
// SA, and of their rekeying, at either end (and in the keys rooms beside them) what was asked for is done or
// refused, nothing is half there, and everything works when there is memory again.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "ctrl/ike/creds.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/no_memory.h"

enum { LIMIT = 2000, WANTED = 5, LONG_MS = 400000 };

// The heap of timers has room: without it a room ends, as documented in loop.c.
static void keep_timers(struct pair *p)
{
    static struct timer t;
    t = (struct timer){0};
    timer_set(p->loop, &t, UINT64_MAX / 2);
}

static void send_edit(struct pair *p, uint32_t req, unsigned priority)
{
    static uint8_t buf[65536];
    struct conn_config c;
    struct writer w = writer_of(buf, sizeof(buf));
    pair_default_conn(&c, 1);
    c.children[0].priority = priority;
    conn_write(&w, &c);
    ipc_send(p->s[1].ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = req, .conn = wr_written(&w)});
    pair_run(p);
}

static void send_conn(struct pair *p, uint32_t req)
{
    send_edit(p, req, 0);
}

static void up(struct pair *p, unsigned n)
{
    uint32_t req = pair_initiate(p, 0, "c");
    pair_wait(p, 1000);
    if (p->s[0].last_req != req || !p->s[0].last_ok)
        fail_msg("without allocation %u: initiate afterwards: %s", n, p->s[0].last_text);
    pair_forget_deleted(&p->s[0]);
    pair_forget_deleted(&p->s[1]);
    if (p->s[0].ike->sa_count != 1 || p->s[1].ike->sa_count != 1 || pair_live(&p->s[0]) != 1 ||
        pair_live(&p->s[1]) != 1 || !pair_agree(p))
        fail_msg("without allocation %u: %u and %u IKE SAs, %u and %u CHILD SAs", n, p->s[0].ike->sa_count,
                 p->s[1].ike->sa_count, pair_live(&p->s[0]), pair_live(&p->s[1]));
}

static void test_connection_without_memory_is_whole_or_not_there(void **state)
{
    unsigned n = 0, failures = 0;
    bool failed = true;
    (void)state;
    while (failed && ++n < LIMIT) {
        struct pair *p = pair_new(NULL);
        struct conn_config c;
        for (int i = 0; i < 2; i++)
            pair_psk(p, i, "secret", NULL, NULL);
        pair_default_conn(&c, 0);
        pair_load(p, 0, &c);
        keep_timers(p);
        no_memory_at(n);
        send_conn(p, 900);
        failed = no_memory_end();
        bool answered = p->s[1].last_req == 900, there = p->s[1].ike->conns != NULL;
        if (!answered || p->s[1].last_ok != there)
            fail_msg("without allocation %u: %s, and the connection is %s", n,
                     !answered         ? "no answer"
                     : p->s[1].last_ok ? "taken"
                                       : p->s[1].last_text,
                     there ? "there" : "not there");
        if (!p->s[1].last_ok && !strstr(p->s[1].last_text, "memory")) // and not the connection's fault
            fail_msg("without allocation %u: refused for \"%s\"", n, p->s[1].last_text);
        failures += !p->s[1].last_ok;
        send_conn(p, 901);
        pair_result(p, 1, 901, true);
        up(p, n);
        pair_free(p);
    }
    assert_true(failures >= WANTED && n < LIMIT);
}

static void one_of_many(struct pair *p, unsigned i)
{
    static uint8_t buf[65536];
    struct conn_config c;
    char name[20];
    struct writer w = writer_of(buf, sizeof(buf));
    pair_default_conn(&c, 1);
    snprintf(name, sizeof(name), "many%u", i);
    c.name = name;
    c.remote_addrs[0].a[3] = (uint8_t)(10 + i);
    conn_write(&w, &c);
    ipc_send(p->s[1].ctl_ike, MSG_CONN_LOAD, &(struct msg_CONN_LOAD){.req = 900 + i, .conn = wr_written(&w)});
    pair_run(p);
}

// Path has the policies of all of them: none may fail any more, however many wait for it at once.
static void test_connections_that_path_has_taken_need_no_memory(void **state)
{
    enum { MANY = 30 };
    (void)state;
    struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
    struct side *s = &p->s[1];
    char name[16];
    keep_timers(p);
    s->hold_policies = true;
    for (unsigned i = 0; i < MANY; i++)
        one_of_many(p, i);
    assert_int_equal(s->held_count, MANY);
    no_memory_from(1);
    for (unsigned i = 0; i < MANY; i++) {
        ipc_result(s->path_ike, s->policies_held[i], true, "%s", "");
        pair_run(p);
    }
    no_memory_end();
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "many%u", i);
        if (!conn_find(s->ike, name))
            fail_msg("%s is not there, and path has its policies", name);
    }
    pair_free(p);
}

// Ike and path go by the same edition, and by the one that the answer says.
static void expect_edition(struct pair *p, unsigned n, unsigned priority)
{
    struct side *s = &p->s[1];
    const struct conn *c = conn_find(s->ike, "t");
    if (!c || s->policy_count != 1 || c->cfg.child_count != 1) {
        fail_msg("without allocation %u: %s, %u policies", n, c ? "there" : "not there", s->policy_count);
        return;
    }
    if (c->cfg.children[0].priority != priority || s->policy[0].priority != priority ||
        c->numbers[0].policy_id != s->policy[0].id)
        fail_msg("without allocation %u: edition %u, by path %u, should be %u; policy %u, by path %u", n,
                 c->cfg.children[0].priority, s->policy[0].priority, priority, c->numbers[0].policy_id,
                 s->policy[0].id);
}

static void test_edit_without_memory_is_the_new_edition_or_the_old_in_ike_and_path(void **state)
{
    unsigned n = 0, failures = 0;
    bool failed = true;
    (void)state;
    while (failed && ++n < LIMIT) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
        keep_timers(p);
        send_edit(p, 899, 5);
        pair_result(p, 1, 899, true);
        no_memory_at(n);
        send_edit(p, 900, 7);
        failed = no_memory_end();
        if (p->s[1].last_req != 900)
            fail_msg("without allocation %u: no answer", n);
        expect_edition(p, n, p->s[1].last_ok ? 7 : 5);
        failures += !p->s[1].last_ok;
        up(p, n);
        pair_free(p);
    }
    assert_true(failures >= WANTED && n < LIMIT);
}

static void unload(struct pair *p, uint32_t req)
{
    struct msg_CONN_UNLOAD m = {.req = req};
    snprintf(m.conn, sizeof(m.conn), "t");
    ipc_send(p->s[1].ctl_ike, MSG_CONN_UNLOAD, &m);
    pair_run(p);
}

static void test_connection_that_goes_without_memory_is_gone_or_whole(void **state)
{
    unsigned n = 0, failures = 0;
    bool failed = true;
    (void)state;
    while (failed && ++n < LIMIT) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
        keep_timers(p);
        no_memory_at(n);
        unload(p, 900);
        failed = no_memory_end();
        if (p->s[1].last_req != 900)
            fail_msg("without allocation %u: no answer", n);
        if (p->s[1].last_ok == (p->s[1].ike->conns != NULL))
            fail_msg("without allocation %u: %s, and the connection is %s", n,
                     p->s[1].last_ok ? "removed" : p->s[1].last_text, p->s[1].ike->conns ? "there" : "gone");
        if (p->s[1].ike->conns && p->s[1].ike->conns->leaving)
            fail_msg("without allocation %u: it stays, and is said to leave", n);
        failures += !p->s[1].last_ok;
        if (!p->s[1].last_ok)
            up(p, n);
        unload(p, 901);
        pair_free(p);
    }
    assert_true(failures >= 2 && n < LIMIT);
}

// What an end that has lost the other's message still holds is over by the next attempt at the latest.
static void test_ike_sa_without_memory_is_up_or_not_and_up_the_next_time(void **state)
{
    unsigned n = 0, failures = 0;
    bool failed = true;
    (void)state;
    while (failed && ++n < LIMIT) {
        struct pair *p = pair_loaded(UNIQUE_REPLACE, NULL);
        keep_timers(p);
        no_memory_at(n);
        uint32_t req = pair_initiate(p, 0, "c");
        failed = no_memory_end();
        pair_wait(p, LONG_MS);
        bool good = p->s[0].last_req == req && p->s[0].last_ok;
        failures += !good;
        if (good && pair_live(&p->s[0]) != 1)
            fail_msg("without allocation %u: up is said, %u CHILD SAs", n, pair_live(&p->s[0]));
        up(p, n);
        pair_free(p);
    }
    assert_true(failures >= WANTED && n < LIMIT);
}

// An end that had to let go without a word is missed by the other.
static void with_liveness(struct conn_config *c, int side)
{
    (void)side;
    c->dpd_delay = 30;
}

static void rekey_without_memory(const char *child)
{
    unsigned n = 0;
    bool failed = true;
    while (failed && ++n < LIMIT) {
        struct pair *p = pair_established(UNIQUE_REPLACE, with_liveness);
        struct msg_REKEY m = {.req = 902};
        snprintf(m.conn, sizeof(m.conn), "t");
        snprintf(m.child, sizeof(m.child), "%s", child);
        keep_timers(p);
        no_memory_at(n);
        ipc_send(p->s[0].ctl_ike, MSG_REKEY, &m);
        pair_run(p);
        failed = no_memory_end();
        pair_wait(p, LONG_MS);
        for (int i = 0; i < 2; i++)
            pair_forget_deleted(&p->s[i]);
        if (p->s[0].ike->sa_count != p->s[1].ike->sa_count || pair_live(&p->s[0]) != pair_live(&p->s[1]) ||
            !pair_agree(p))
            fail_msg("without allocation %u: %u and %u IKE SAs, %u and %u CHILD SAs", n,
                     p->s[0].ike->sa_count, p->s[1].ike->sa_count, pair_live(&p->s[0]), pair_live(&p->s[1]));
        up(p, n);
        pair_free(p);
    }
    assert_true(n > WANTED && n < LIMIT);
}

static void test_child_sa_rekeyed_without_memory_leaves_the_ends_agreed(void **state)
{
    (void)state;
    rekey_without_memory("c");
}

static void test_ike_sa_rekeyed_without_memory_leaves_the_ends_agreed(void **state)
{
    (void)state;
    rekey_without_memory("");
}

static void ignore(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx, (void)c, (void)t, (void)m;
}

static void ignore_end(void *ctx, struct ipc_chan *c)
{
    (void)ctx;
    ipc_close(c);
}

// It would find no private key for its own certificates, and nobody would tell it again.
static void test_next_ike_knows_of_all_private_keys_or_ends(void **state)
{
    static const struct ipc_handler handler = {ignore, ignore_end};
    static const uint8_t id[CREDS_KEY_ID] = {1, 2, 3};
    unsigned n = 0, ended = 0;
    bool failed = true;
    (void)state;
    while (failed && ++n < LIMIT) {
        struct pair *p = pair_new(NULL);
        struct ike *ike = p->s[0].ike;
        int fd[2];
        ike_follow(ike, 1, 0);
        ipc_close(ike->chan[ROOM_KEYS]);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
        assert_int_equal(ike_attach(ike, ROOM_KEYS, fd[0]), 0);
        struct ipc_chan *keys = ipc_open(p->loop, fd[1], ROOM_KEYS, ROOM_IKE, &handler, NULL);
        ipc_send(keys, MSG_KEY_HAVE, &(struct msg_KEY_HAVE){.have = 1, .id = slice_of(id, sizeof(id))});
        keep_timers(p);
        no_memory_at(n);
        pair_run(p);
        failed = no_memory_end();
        assert_true(loop_stopped(p->loop) || creds_has_key(ike->creds, id));
        ended += loop_stopped(p->loop);
        ipc_close(keys);
        pair_free(p);
    }
    assert_true(n < LIMIT && ended > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection_without_memory_is_whole_or_not_there),
        cmocka_unit_test(test_connections_that_path_has_taken_need_no_memory),
        cmocka_unit_test(test_edit_without_memory_is_the_new_edition_or_the_old_in_ike_and_path),
        cmocka_unit_test(test_connection_that_goes_without_memory_is_gone_or_whole),
        cmocka_unit_test(test_ike_sa_without_memory_is_up_or_not_and_up_the_next_time),
        cmocka_unit_test(test_child_sa_rekeyed_without_memory_leaves_the_ends_agreed),
        cmocka_unit_test(test_next_ike_knows_of_all_private_keys_or_ends),
        cmocka_unit_test(test_ike_sa_rekeyed_without_memory_leaves_the_ends_agreed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
