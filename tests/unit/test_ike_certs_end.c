// SPDX-License-Identifier: Apache-2.0
// What ends a tunnel that certificates have proven, or keeps it from beginning: lists of the revoked, fetched
// and loaded, the end of certificates by a clock that is set, and the tickets (RFC 5723) that go with them.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/sa.h"
#include "tests/unit/ike_certs_rig.h"
#include "tests/unit/ike_watch.h"

// --- revocation ---

static struct msg_FETCH asked; // of `fetch`, which the test plays
static unsigned asked_count;

static void to_fetch(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct pair *p = ctx;
    (void)c;
    assert_int_equal(t, MSG_FETCH);
    asked = m->FETCH;
    asked_count++;
    p->activity++;
}

static void fetch_closed(void *ctx, struct ipc_chan *c)
{
    (void)ctx;
    ipc_close(c);
}

static const struct ipc_handler fetch_handler = {to_fetch, fetch_closed};

// The responder wants to know whether the initiator's certificate, which names a list, is revoked.
static struct pair *begin_listed(uint8_t revocation, struct ipc_chan **fetch)
{
    int fd[2];
    struct conn_config c;
    struct pair *p = certs_begin("listed");
    asked_count = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    assert_int_equal(ike_attach(p->s[1].ike, ROOM_FETCH, fd[0]), 0);
    *fetch = ipc_open(p->loop, fd[1], ROOM_FETCH, ROOM_IKE, &fetch_handler, p);
    certs_conn(&c, 1, "b");
    c.remote.revocation = revocation;
    pair_load(p, 1, &c);
    certs_drop_conn(&c);
    return p;
}

static void fetch_says(struct pair *p, struct ipc_chan *fetch, bool ok, const char *crl)
{
    struct slice all = ok ? certs_file(crl, "der") : slice_of(NULL, 0), first = slice_of(all.p, all.len / 2);
    struct slice rest = slice_of(all.p + all.len / 2, all.len - all.len / 2);
    struct msg_FETCHED m = {.req = asked.req, .ok = ok, .more = ok, .body = first};
    if (ok) { // in two pieces
        ipc_send(fetch, MSG_FETCHED, &m);
        m.more = 0;
        m.body = rest;
    } else {
        snprintf(m.text, sizeof(m.text), "nobody answers");
    }
    ipc_send(fetch, MSG_FETCHED, &m);
    pair_run(p);
}

static void test_lists_of_revoked_ones_are_fetched_and_obeyed(void **state)
{
    static const struct {
        uint8_t mode;
        const char *crl; // NULL: no answer
        bool up;
        const char *said;
    } cases[] = {{PKI_STRICT, "clean", true, "successful"},   {PKI_STRICT, "revoked", false, "is revoked"},
                 {PKI_STRICT, NULL, false, "nobody answers"}, {PKI_IFURI, NULL, false, "nobody answers"},
                 {PKI_RELAXED, NULL, true, "successful"},     {PKI_RELAXED, "revoked", false, "is revoked"},
                 {PKI_RELAXED, "other", true, "successful"}}; // what is fetched is no list
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ipc_chan *fetch;
        struct pair *p = begin_listed(cases[i].mode, &fetch);
        uint32_t first = pair_initiate(p, 0, "c");
        assert_int_equal(asked_count, 1);
        assert_string_equal(asked.url, "http://crl.lab/ca.crl");
        assert_int_equal(pair_live(&p->s[1]), 0); // not before the answer
        fetch_says(p, fetch, cases[i].crl != NULL, cases[i].crl);
        pair_result(p, 0, first, cases[i].up);
        assert_true(watch_said(cases[i].said));
        assert_int_equal(pair_live(&p->s[1]), cases[i].up);
        ipc_close(fetch);
        certs_end(p);
    }
}

// A stranger who shows another's certificate makes nobody fetch anything.
static void test_nothing_is_fetched_before_the_signature_is_good(void **state)
{
    (void)state;
    struct ipc_chan *fetch;
    struct pair *p = begin_listed(PKI_STRICT, &fetch);
    struct conn *c = p->s[0].ike->conns;
    certs_load_key(p, 0, "mallory");
    blobs_clear(&c->cfg.local.certs);
    assert_int_equal(blobs_add(&c->cfg.local.certs, certs_file("mallory", "der")), 0);
    assert_false(certs_initiate_with(p, "listed"));
    assert_true(watch_said("is not this key's over this exchange"));
    assert_int_equal(asked_count, 0);
    ipc_close(fetch);
    certs_end(p);
}

static void test_answer_that_comes_too_late_goes_nowhere(void **state)
{
    (void)state;
    struct ipc_chan *fetch;
    struct pair *p = begin_listed(PKI_STRICT, &fetch);
    pair_initiate(p, 0, "c");
    pair_wait(p, 200000); // both gave up
    assert_int_equal(p->s[1].ike->sa_count, 0);
    fetch_says(p, fetch, true, "clean");
    assert_int_equal(p->s[1].ike->sa_count, 0);
    pair_initiate(p, 0, "c");
    ipc_close(fetch); // and a `fetch` that dies is an answer too
    pair_run(p);
    assert_true(watch_said("the fetch process is gone"));
    certs_end(p);
}

// --- when they end ---

enum { LEFT_S = 600 };
static int64_t wall_base;

static int64_t wall(void *ctx)
{
    const struct side *s = ctx;
    return wall_base + (int64_t)(loop_now(s->pair->loop) / 1000);
}

// As the supervisor does when `fetch` has died and is started again.
static struct ipc_chan *fetch_again(struct pair *p, struct ipc_chan *super)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
    struct ipc_chan *fetch = ipc_open(p->loop, fd[1], ROOM_FETCH, ROOM_IKE, &fetch_handler, p);
    assert_int_equal(ipc_send_channel(super, ROOM_FETCH, fd[0]), 0);
    pair_run(p);
    return fetch;
}

static void not_heard(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx, (void)c, (void)t, (void)m;
}

static void test_fetch_that_died_is_asked_again_by_its_new_channel(void **state)
{
    static const struct ipc_handler quiet = {not_heard, fetch_closed};
    (void)state;
    for (int told_first = 0; told_first < 2; told_first++) { // of the old channel's end, or of the new one
        int fd[2];
        struct ipc_chan *fetch, *again;
        struct pair *p = begin_listed(PKI_STRICT, &fetch);
        wall_base = (int64_t)time(NULL) - (int64_t)(loop_now(p->loop) / 1000);
        p->s[1].ike->net.wall = wall;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd), 0);
        assert_int_equal(ike_attach(p->s[1].ike, ROOM_SUPER, fd[0]), 0);
        struct ipc_chan *super = ipc_open(p->loop, fd[1], ROOM_SUPER, ROOM_IKE, &quiet, p);
        uint32_t first = pair_initiate(p, 0, "c");
        assert_int_equal(asked_count, 1);
        if (told_first) {
            ipc_close(fetch);
            pair_run(p);
            pair_result(p, 0, first, false);
            assert_true(watch_said("the fetch process is gone"));
            pair_wait(p, 31000); // what it was asked for may have been its end
            pair_result(p, 0, pair_initiate(p, 0, "c"), false);
            assert_true(watch_said("it cannot be fetched"));
        }
        again = fetch_again(p, super);
        if (!told_first) {
            pair_result(p, 0, first, false);
            assert_true(watch_said("the fetch process is gone"));
            pair_wait(p, 31000);
        }
        uint32_t second = pair_initiate(p, 0, "c"); // not refused for a URL that nobody was asked for
        assert_int_equal(asked_count, 2);
        fetch_says(p, again, true, "clean");
        pair_result(p, 0, second, true);
        assert_int_equal(pair_live(&p->s[1]), 1);
        ipc_close(again);
        ipc_close(super);
        certs_end(p);
    }
}

// Certificates of both ends that hold for ten minutes more; their authority's for weeks.
static struct pair *begin_late(void)
{
    struct pki_info info;
    struct esp_error err = {0};
    assert_int_equal(pki_describe(PKI_X509, certs_file("p256", "der"), &info, &err), 0);
    int64_t end_a = info.not_after;
    assert_int_equal(pki_describe(PKI_X509, certs_file("b", "der"), &info, &err), 0);
    int64_t first = end_a < info.not_after ? end_a : info.not_after;
    struct pair *p = certs_begin("p256");
    wall_base = first - LEFT_S - (int64_t)(loop_now(p->loop) / 1000);
    for (int side = 0; side < 2; side++)
        p->s[side].ike->net.wall = wall;
    return p;
}

static void test_tunnel_ends_with_the_certificate_it_was_proven_by(void **state)
{
    (void)state;
    struct pair *p = begin_late();
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    rekey_ike(p->s[0].ike->sas); // which proves nothing anew
    pair_run(p);
    pair_wait(p, (LEFT_S - 5) * 1000);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 2);
    pair_wait(p, 5000 + PROOF_OVER_MS + 20000);
    assert_true(watch_said("expired"));
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    certs_end(p);
}

// A peer that rekeys more often than a proof is waited for gains nothing by it.
static void test_rekeying_again_and_again_puts_no_end_off(void **state)
{
    (void)state;
    struct pair *p = begin_late();
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_wait(p, (LEFT_S - 5) * 1000);
    for (unsigned ms = 0; ms < 5000 + PROOF_OVER_MS + 30000; ms += 10000) {
        for (struct ike_sa *sa = p->s[1].ike->sas; sa; sa = sa->next)
            if (sa->state == SA_ESTABLISHED)
                rekey_ike(sa);
        pair_run(p);
        pair_wait(p, 10000);
    }
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    certs_end(p);
}

static void load_crl(struct pair *p, int side, const char *name)
{
    certs_load(p, side, PKI_CRL, name);
    pair_run(p);
}

static void stands(struct pair *p, bool yes)
{
    pair_run(p);
    assert_int_equal(pair_live(&p->s[0]), yes);
    assert_int_equal(pair_live(&p->s[1]), yes);
}

// A CRL that is loaded while the tunnel is up counts at once, in every mode, for what was rekeyed since too.
static void test_crl_loaded_meanwhile_ends_the_tunnel_of_the_revoked_one(void **state)
{
    (void)state;
    for (int rekeyed = 0; rekeyed < 2; rekeyed++) {
        struct pair *p = certs_begin("listed");
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        if (rekeyed) {
            rekey_ike(p->s[1].ike->sas);
            pair_run(p);
        }
        load_crl(p, 1, "clean");
        stands(p, true);
        load_crl(p, 1, "alien"); // of another authority, with the same serial in it
        certs_load(p, 1, PKI_X509, "mallory");
        stands(p, true);
        load_crl(p, 1, "revoked");
        stands(p, false);
        assert_true(watch_said("certificate \"C=CH, O=Lab, CN=listed\" is revoked"));
        pair_result(p, 0, pair_initiate(p, 0, "c"), false);
        certs_end(p);
    }
}

// --- no memory to find out ---

static bool no_memory;   // for the question whether whoever has proven himself is revoked
static unsigned in_vain; // how often it was asked so
int __real_pki_standing_judge(struct pki *p, struct pki_standing *s, int64_t now, struct esp_error *err);
int __wrap_pki_standing_judge(struct pki *p, struct pki_standing *s, int64_t now, struct esp_error *err);
int __wrap_pki_standing_judge(struct pki *p, struct pki_standing *s, int64_t now, struct esp_error *err)
{
    in_vain += no_memory && s;
    return no_memory && s ? esp_fail(err, -ENOMEM, "certificate", "no memory")
                          : __real_pki_standing_judge(p, s, now, err);
}

// It is asked again by itself, as soon as there is memory: no other CRL and no other message has to come.
static void test_crl_without_memory_to_look_ends_the_tunnel_when_there_is(void **state)
{
    (void)state;
    struct pair *p = certs_begin("listed");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    no_memory = true;
    load_crl(p, 1, "revoked");
    stands(p, true);
    in_vain = 0;
    for (int i = 0; i < 100; i++) { // each message is no reason to ask all again
        ipc_send(p->s[1].ctl_ike, MSG_IKE_STATS, &(struct msg_IKE_STATS){.req = 9000});
        pair_run(p);
    }
    assert_int_equal(in_vain, 0);
    pair_wait(p, 3000);
    assert_in_range(in_vain, 2, 4);
    stands(p, true);
    no_memory = false;
    pair_wait(p, 1500);
    stands(p, false);
    assert_true(watch_said("certificate \"C=CH, O=Lab, CN=listed\" is revoked"));
    certs_end(p);
}

// Who is just proving himself does not get in by it.
static void test_peer_is_refused_without_memory_to_ask_the_crl_that_has_come(void **state)
{
    (void)state;
    struct ipc_chan *fetch;
    struct pair *p = begin_listed(PKI_RELAXED, &fetch);
    uint32_t first = pair_initiate(p, 0, "c");
    load_crl(p, 1, "revoked");
    no_memory = true;
    fetch_says(p, fetch, false, NULL);
    no_memory = false;
    pair_result(p, 0, first, false);
    stands(p, false);
    ipc_close(fetch);
    certs_end(p);
}

// --- tickets (RFC 5723) ---

static void load_authority(struct pair *p, const char *ca)
{
    struct msg_AUTHORITY_LOAD m = {.req = 5100, .name = "lab", .cacert = certs_file(ca, "der")};
    ipc_send(p->s[1].ctl_ike, MSG_AUTHORITY_LOAD, &m);
    pair_run(p);
    pair_result(p, 1, 5100, true);
}

// Up, with a ticket, and given up by the client.
static struct pair *begin_silent(void)
{
    struct pair *p = certs_begin("listed");
    for (int i = 0; i < 2; i++)
        p->s[i].ike->set.session_resumption = true;
    load_authority(p, "ca");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    p->filter = pair_lose_all;
    exchange_queue(p->s[0].ike->sas, TASK_LIVENESS, 0);
    pair_wait(p, 200000);
    p->filter = NULL;
    assert_int_equal(p->s[0].ike->sa_count, 0);
    return p;
}

static void test_crl_counts_for_who_is_resumed(void **state)
{
    (void)state;
    struct pair *p = begin_silent();
    load_crl(p, 1, "clean");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(watch_said("authentication of 'a.test' with its session ticket successful"));
    stands(p, true);
    load_crl(p, 1, "revoked"); // no certificate came with it, and it ends by that of before
    stands(p, false);
    certs_end(p);
    p = begin_silent();
    p->s[1].ike->sas->lost = true; // the gateway has given it up as well: nothing is left but the ticket
    sa_destroy(p->s[1].ike->sas);
    load_crl(p, 1, "revoked");
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_true(watch_said("not resuming an IKE_SA: a certificate that proved the peer is revoked"));
    stands(p, false);
    certs_end(p);
}

static void test_authority_of_another_certificate_ends_tickets(void **state)
{
    (void)state;
    struct pair *p = begin_silent();
    load_authority(p, "ca"); // the same
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(p->s[1].ike->counters[CNT_resumed], 1);
    certs_end(p);
    p = begin_silent();
    load_authority(p, "mid");
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(p->s[1].ike->counters[CNT_resumed], 0);
    assert_true(watch_said("certificates or authorities have gone since"));
    certs_end(p);
}

// And one that comes while the peer is being judged by another answer.
static void test_crl_that_comes_during_the_judgement_counts(void **state)
{
    (void)state;
    struct ipc_chan *fetch;
    struct pair *p = begin_listed(PKI_RELAXED, &fetch);
    uint32_t first = pair_initiate(p, 0, "c");
    assert_int_equal(asked_count, 1);
    load_crl(p, 1, "revoked");
    fetch_says(p, fetch, false, NULL);
    pair_result(p, 0, first, false);
    assert_true(watch_said("is revoked"));
    stands(p, false);
    ipc_close(fetch);
    certs_end(p);
}

// A tunnel of the pinned certificate stands: nobody else has a say in that.
static void test_crl_has_no_say_in_a_pinned_certificate(void **state)
{
    (void)state;
    struct pair *p = certs_begin("listed");
    struct conn_config c;
    certs_conn(&c, 1, "b");
    assert_int_equal(blobs_add(&c.remote.certs, certs_file("listed", "der")), 0);
    pair_load(p, 1, &c);
    certs_drop_conn(&c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    load_crl(p, 1, "revoked");
    stands(p, true);
    certs_end(p);
}

// The clock is set to beyond the end of the certificates: the tunnel does not go on for weeks.
static void test_clock_that_is_set_forward_brings_the_end_nearer(void **state)
{
    (void)state;
    struct pair *p = begin_late();
    wall_base -= 1000000; // eleven days more
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_wait(p, 1000000);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 2);
    wall_base += 2000000;
    for (int side = 0; side < 2; side++)
        ike_clock_set(p->s[side].ike);
    pair_wait(p, PROOF_LEAST_S * 1000 + PROOF_OVER_MS + 20000);
    assert_true(watch_said("expired"));
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    certs_end(p);
}

static void test_clock_that_is_set_back_ends_nothing(void **state)
{
    (void)state;
    struct pair *p = begin_late();
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    wall_base -= 300;
    for (int side = 0; side < 2; side++)
        ike_clock_set(p->s[side].ike);
    pair_wait(p, (LEFT_S + 100) * 1000);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 2); // proven again, and again until the end
    certs_end(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_of_revoked_ones_are_fetched_and_obeyed),
        cmocka_unit_test(test_nothing_is_fetched_before_the_signature_is_good),
        cmocka_unit_test(test_answer_that_comes_too_late_goes_nowhere),
        cmocka_unit_test(test_fetch_that_died_is_asked_again_by_its_new_channel),
        cmocka_unit_test(test_tunnel_ends_with_the_certificate_it_was_proven_by),
        cmocka_unit_test(test_rekeying_again_and_again_puts_no_end_off),
        cmocka_unit_test(test_crl_loaded_meanwhile_ends_the_tunnel_of_the_revoked_one),
        cmocka_unit_test(test_crl_without_memory_to_look_ends_the_tunnel_when_there_is),
        cmocka_unit_test(test_peer_is_refused_without_memory_to_ask_the_crl_that_has_come),
        cmocka_unit_test(test_crl_counts_for_who_is_resumed),
        cmocka_unit_test(test_authority_of_another_certificate_ends_tickets),
        cmocka_unit_test(test_crl_that_comes_during_the_judgement_counts),
        cmocka_unit_test(test_crl_has_no_say_in_a_pinned_certificate),
        cmocka_unit_test(test_clock_that_is_set_forward_brings_the_end_nearer),
        cmocka_unit_test(test_clock_that_is_set_back_ends_nothing),
    };
    return cmocka_run_group_tests(tests, certs_make_files, certs_drop_files);
}
