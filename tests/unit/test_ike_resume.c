// SPDX-License-Identifier: Apache-2.0
// Session resumption (RFC 5723) between two daemons: what goes over the wire and what does not, with each
// message lost, doubled or late; tickets that are used up, void, expired or of another connection; what an
// IKE SA that was resumed takes over. The keys by OpenSSL's HMAC after the RFC's formulas.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <openssl/hmac.h>

#include "ctrl/ike/creds.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/resume_session.h"
#include "ctrl/keys/derive.h"
#include "ctrl/keys/room.h"
#include "tests/unit/ike_resume_rig.h"

static void test_a_lost_ike_sa_is_resumed_without_a_key_exchange(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    struct path_sa before = *pair_sa(&p->s[0], 0);
    uint64_t spi = p->s[0].ike->sas->spi_i;
    assert_non_null(p->s[0].ike->sas->later->session);
    assert_null(p->s[1].ike->sas->later->session);
    resume_silent(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_assert(p);
    assert_int_equal(resume_seen.of[EX_SESSION_RESUME], 2);
    assert_int_equal(resume_seen.of[EX_AUTH], 2);
    assert_true(p->s[0].ike->sas->spi_i != spi);
    assert_memory_not_equal(before.key_out, pair_sa(&p->s[0], 0)->key_out, before.key_len);
    for (int i = 0; i < 2; i++) { // the kind that it began with, over and over
        assert_int_equal(p->s[i].ike->half_open_count, 0);
        assert_string_equal(p->s[i].ike->sas->conn->cfg.name, "t");
    }
    for (unsigned i = 0; i < 3; i++) {
        resume_silent(p);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        resume_assert(p);
    }
    rekey_ike(p->s[0].ike->sas);
    pair_wait(p, 60000);
    pair_assert_one(p);
    pair_free(p);
}

// Whatever the connection says of several IKE SAs with one peer: this one takes the other's place.
static void test_the_gateway_keeps_none_of_the_old_one(void **state)
{
    static const uint8_t modes[] = {UNIQUE_NO, UNIQUE_NEVER, UNIQUE_KEEP, UNIQUE_REPLACE};
    (void)state;
    for (unsigned i = 0; i < sizeof(modes); i++) {
        struct pair *p = resume_pair_unique(modes[i], NULL);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        resume_silent(p);
        assert_int_equal(p->s[1].ike->sa_count, 1);
        unsigned before = resume_seen.of[EX_INFORMATIONAL];
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        resume_assert(p);
        assert_int_equal(resume_seen.of[EX_INFORMATIONAL], before); // without a word
        pair_free(p);
    }
}

static unsigned lost_one;

static bool lose_one(unsigned number, const struct datagram *d)
{
    (void)d;
    return number == lost_one;
}

static void test_any_message_may_be_lost(void **state)
{
    (void)state;
    for (lost_one = 0; lost_one < 4; lost_one++) {
        struct pair *p = resume_up(NULL);
        resume_silent(p);
        resume_seen.lose = lose_one;
        pair_initiate(p, 0, "c");
        pair_wait(p, RESUME_FALL_BACK_MS);
        resume_assert(p);
        pair_free(p);
    }
}

static int all_twice(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    resume_note(d);
    return 2;
}

static void test_every_message_may_come_twice(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    p->filter = all_twice;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_assert(p);
    pair_free(p);
}

static bool lose_resume(unsigned number, const struct datagram *d)
{
    (void)number;
    return d->data[18] == EX_SESSION_RESUME;
}

static void test_without_an_answer_it_begins_in_full(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    resume_seen.lose = lose_resume;
    pair_initiate(p, 0, "c");
    pair_wait(p, RESUME_FALL_BACK_MS);
    resume_assert_anew(p);
    assert_int_equal(resume_seen.of[EX_SESSION_RESUME], 3);
    pair_free(p);
}

// With fewer tries than a ticket would have, and one attempt: the full exchange is that one's.
static void test_however_few_tries_there_are_it_begins_in_full(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    p->s[0].ike->set.retransmit_tries = 1;
    resume_seen.lose = lose_resume;
    pair_initiate(p, 0, "c");
    pair_wait(p, RESUME_FALL_BACK_MS);
    resume_assert_anew(p);
    assert_int_equal(resume_seen.of[EX_SESSION_RESUME], 2);
    pair_free(p);
}

static bool lose_everything;
static bool lose_if(unsigned number, const struct datagram *d)
{
    (void)number;
    (void)d;
    return lose_everything;
}

static void tune_tries(struct conn_config *c, int side)
{
    (void)side;
    c->keyingtries = 0;
}

static void test_a_ticket_waits_until_there_is_a_way_again(void **state)
{
    (void)state;
    struct pair *p = resume_up(tune_tries);
    resume_silent(p);
    resume_seen.lose = lose_if;
    lose_everything = true;
    pair_initiate(p, 0, "c");
    for (int i = 0; i < 40 && resume_seen.of[EX_SA_INIT] < 6; i++)
        pair_wait(p, 10000);
    memset(resume_seen.of, 0, sizeof(resume_seen.of));
    while (!resume_seen.of[EX_SESSION_RESUME]) // IKE_SA_INIT has its tries, then the ticket has
        pair_wait(p, 10000);
    lose_everything = false;
    memset(resume_seen.of, 0, sizeof(resume_seen.of));
    pair_wait(p, 30000);
    resume_assert(p);
    pair_free(p);
}

// --- tickets that are none any more ---

static void test_a_ticket_is_good_once(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_assert(p);
    uint8_t used[2048];
    size_t len = resume_seen.resume_len;
    memcpy(used, resume_seen.resume, len);
    used[0] ^= 1; // another IKE SA of the initiator's
    struct net_path path = resume_seen.path;
    path.remote_port = 4711;
    assert_int_equal(resume_seen.nacks, 0);
    pair_inject(p, 1, &path, used, len);
    pair_run(p);
    assert_int_equal(resume_seen.nacks, 1);
    pair_assert_one(p);
    pair_free(p);
}

// A secret goes, and with it all tickets, while one is being used.
static int unload_between(struct pair *p, unsigned number, struct datagram *d)
{
    static const struct msg_SECRET_UNLOAD m = {.req = 4002, .id = "other"};
    if (d->data[18] == EX_SESSION_RESUME && d->data[19] & FLAG_RESPONSE)
        ipc_send(p->s[1].ctl_keys, MSG_SECRET_UNLOAD, &m);
    return resume_watch(p, number, d);
}

static void test_a_ticket_that_is_void_before_auth_proves_nobody(void **state)
{
    static const struct msg_SECRET_LOAD m = {
        .req = 4003, .id = "other", .type = "ike", .data = {(const uint8_t *)"x", 1}};
    (void)state;
    struct pair *p = resume_pair(NULL);
    ipc_send(p->s[1].ctl_keys, MSG_SECRET_LOAD, &m);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_silent(p);
    p->filter = unload_between;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    pair_wait(p, 6000); // the refusal is kept for a while
    resume_assert_anew(p);
    assert_int_equal(resume_seen.nacks, 0);
    assert_int_equal(p->s[1].ike->counters[CNT_auth_failed], 1);
    assert_true(p->s[0].ike->sas->conn->resumes_alone); // perhaps it was that
    // and the gateway takes the other form as well
    p->filter = resume_watch;
    resume_silent(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_assert(p);
    pair_free(p);
}

// Who has resume_seen a ticket on its way can begin with it as often as he likes, and gets no further.
static void test_who_saw_a_ticket_gets_nowhere_and_harms_nobody(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    resume_seen.lose = lose_resume;
    pair_initiate(p, 0, "c");
    resume_seen.lose = NULL;
    uint8_t copy[2048];
    size_t len = resume_seen.resume_len;
    memcpy(copy, resume_seen.resume, len);
    copy[0] ^= 1;
    pair_inject(p, 1, &resume_seen.path, copy, len);
    pair_run(p);
    assert_int_equal(p->s[1].ike->half_open_count, 1);
    pair_wait(p, RESUME_FALL_BACK_MS);
    resume_assert(p);
    assert_int_equal(p->s[1].ike->half_open_count, 0);
    pair_free(p);
}

static void unload_and_load(struct pair *p)
{
    struct msg_SECRETS_CLEAR m = {.req = 4000};
    ipc_send(p->s[1].ctl_keys, MSG_SECRETS_CLEAR, &m);
    pair_run(p);
    pair_psk(p, 1, "secret", NULL, NULL);
}

static void test_with_the_secrets_go_the_tickets(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    unload_and_load(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(resume_seen.nacks, 1);
    resume_assert_anew(p);
    pair_free(p);
}

static void test_certificates_that_went_end_tickets(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = resume_up(NULL);
        resume_silent(p);
        struct msg_CERTS_CLEAR m = {.req = 4001};
        ipc_send(p->s[side].ctl_ike, MSG_CERTS_CLEAR, &m);
        pair_run(p);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_int_equal(resume_seen.nacks, side);
        resume_assert_anew(p);
        pair_free(p);
    }
}

static void test_an_edited_connection_has_no_tickets(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = resume_up(NULL);
        struct conn_config c;
        resume_silent(p);
        pair_default_conn(&c, side);
        c.unique = UNIQUE_REPLACE;
        c.dpd_delay = 77;
        pair_load(p, side, &c);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_int_equal(resume_seen.nacks, side);
        assert_in_range(resume_seen.of[EX_SA_INIT], 2, 2);
        pair_free(p);
    }
}

static void test_an_orderly_end_ends_the_ticket(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    pair_terminate(p, 0, NULL, false);
    pair_run(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(resume_seen.of[EX_SESSION_RESUME], 0);
    pair_assert_one(p);
    // by the gateway, which the client did not hear of
    p->filter = pair_lose_all;
    pair_terminate(p, 1, NULL, true);
    pair_wait(p, RESUME_SILENCE_MS);
    if (p->s[0].ike->sa_count)
        resume_silent(p);
    p->filter = resume_watch;
    memset(resume_seen.of, 0, sizeof(resume_seen.of));
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(resume_seen.nacks, 1);
    resume_assert_anew(p);
    pair_free(p);
}

static void test_an_expired_ticket_is_not_used(void **state)
{
    (void)state;
    struct pair *p = resume_pair(NULL);
    p->s[1].ike->set.ticket_lifetime = 100;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_silent(p); // takes longer than that
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_int_equal(resume_seen.of[EX_SESSION_RESUME], 0);
    resume_assert_anew(p);
    pair_free(p);
}

// Nothing asks for it any more: that what opens every ticket is in no memory takes more than that it would
// open none.
static void test_the_key_of_tickets_goes_by_itself(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    struct keys *gw = p->s[1].keys;
    pair_terminate(p, 0, NULL, false);
    pair_run(p);
    pair_wait(p, 47 * 3600 * 1000);
    assert_non_null(gw->tickets.now.sk);
    pair_wait(p, 3600 * 1000);
    assert_null(gw->tickets.now.sk);
    assert_int_equal(gw->tickets.now.id, 0);
    assert_false(gw->ticket_timer.armed);
    pair_free(p);
}

// SK_d stands in it: where the gateway gives no other one, it goes when it is good for nothing any more.
static void test_a_ticket_that_is_not_renewed_goes_in_time(void **state)
{
    (void)state;
    struct pair *p = resume_pair(NULL);
    p->s[1].ike->set.ticket_lifetime = 600;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    struct table *kept = &p->s[0].keys->kept_tickets;
    p->s[1].ike->set.session_resumption = false;
    pair_wait(p, 590000);
    assert_int_equal(table_count(kept), 1);
    pair_wait(p, 20000);
    assert_int_equal(table_count(kept), 0);
    pair_assert_one(p);
    pair_free(p);
}

static void test_another_ticket_is_asked_for_in_time_and_behind_a_rekeying(void **state)
{
    (void)state;
    struct pair *p = resume_pair(NULL);
    p->s[1].ike->set.ticket_lifetime = 600;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    uint32_t first = p->s[0].ike->sas->later->session->id;
    pair_wait(p, 500000);
    assert_true(p->s[0].ike->sas->later->session->id != first);
    for (int side = 0; side < 2; side++) { // of either end
        first = p->s[0].ike->sas->later->session->id;
        rekey_ike(p->s[side].ike->sas);
        pair_wait(p, 20000);
        pair_assert_one(p);
        assert_true(p->s[0].ike->sas->later->session && p->s[0].ike->sas->later->session->id != first);
        resume_silent(p);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        resume_assert(p);
    }
    pair_free(p);
}

struct handed_over {
    uint8_t old[8]; // the initiator's SPI of the IKE SA that is rekeyed
    bool known, deleted;
    unsigned early,
        late; // datagrams to its initiator by the new IKE SA, before its DELETE of the old one and behind it
};

static int watch_order(struct pair *p, unsigned number, struct datagram *d)
{
    struct handed_over *o = p->ctx;
    if (!o->known)
        memcpy(o->old, d->data, sizeof(o->old));
    o->known = true;
    bool by_old = memcmp(d->data, o->old, sizeof(o->old)) == 0;
    (void)number;
    o->deleted = o->deleted || (d->to == 0 && by_old && d->data[18] == EX_INFORMATIONAL);
    if (d->to == 1 && !by_old)
        o->deleted ? o->late++ : o->early++;
    return 1;
}

// Whoever rekeys may not have the new keys yet, cannot read what comes by them, and gets it only seconds
// later.
static void test_responder_of_a_rekeying_asks_nothing_before_the_old_one_is_deleted(void **state)
{
    (void)state;
    struct pair *p = resume_pair(NULL);
    struct handed_over o = {.early = 0};
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    uint32_t first = p->s[0].ike->sas->later->session->id;
    p->ctx = &o;
    p->filter = watch_order;
    rekey_ike(p->s[1].ike->sas);
    pair_run(p);
    assert_true(o.deleted);
    assert_int_equal(o.early, 0);
    assert_int_equal(o.late, 1);
    assert_true(p->s[0].ike->sas->later->session && p->s[0].ike->sas->later->session->id != first);
    p->filter = NULL;
    pair_free(p);
}

// --- who does not take part ---

static void test_one_end_alone_changes_nothing(void **state)
{
    (void)state;
    for (int off = 0; off < 2; off++) {
        struct pair *p = resume_pair(NULL);
        p->s[off].ike->set.session_resumption = false;
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_null(p->s[0].ike->sas->later->session);
        resume_silent(p);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        assert_int_equal(resume_seen.of[EX_SESSION_RESUME], 0);
        resume_assert_anew(p);
        pair_free(p);
    }
}

static void test_a_gateway_that_stopped_to_resume_is_begun_with_in_full(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    p->s[1].ike->set.session_resumption = false;
    pair_initiate(p, 0, "c");
    pair_wait(p, RESUME_FALL_BACK_MS);
    resume_assert_anew(p);
    pair_free(p);
}

// --- as another one reads it ---

// What tshark says of one datagram.
static void tshark(const uint8_t *p, size_t len, char *out, size_t size)
{
    char dir[] = "/tmp/resume-XXXXXX", command[400];
    assert_non_null(mkdtemp(dir));
    snprintf(command, sizeof(command), "%s/hex", dir);
    FILE *f = fopen(command, "w");
    assert_non_null(f);
    for (size_t i = 0; i < len; i++) {
        if (i % 16 == 0)
            fprintf(f, "\n%06zx", i);
        fprintf(f, " %02x", p[i]);
    }
    fprintf(f, "\n");
    fclose(f);
    snprintf(
        command, sizeof(command),
        "cd %s && text2pcap -q -u 500,500 hex pcap 2>/dev/null && tshark -r pcap -V 2>/dev/null; rm -r %s",
        dir, dir);
    f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, size - 1, f);
    out[n] = 0;
    pclose(f);
}

static void test_tshark_reads_both_messages(void **state)
{
    static const char *const both[] = {"Exchange type: IKE_SESSION_RESUME (38)", "Payload: Nonce (40)",
                                       "NAT_DETECTION_SOURCE_IP", "NAT_DETECTION_DESTINATION_IP"};
    static char text[65536];
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    for (int response = 0; response < 2; response++) {
        if (response)
            tshark(resume_seen.answer, resume_seen.answer_len, text, sizeof(text));
        else
            tshark(resume_seen.resume, resume_seen.resume_len, text, sizeof(text));
        for (unsigned i = 0; i < sizeof(both) / sizeof(both[0]); i++)
            if (!strstr(text, both[i]))
                fail_msg("tshark does not say '%s' of the %s: %s", both[i], response ? "response" : "request",
                         text);
        assert_int_equal(strstr(text, "TICKET_OPAQUE") != NULL, !response);
        assert_null(strstr(text, "Malformed"));
    }
    pair_free(p);
}

// --- a flood, a NAT ---

static void test_a_cookie_is_asked_for_and_brought(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    p->s[1].ike->set.cookie_threshold = 1;
    p->s[1].ike->half_open_count++;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    p->s[1].ike->half_open_count--;
    assert_int_equal(resume_seen.cookies, 1);
    assert_int_equal(resume_seen.of[EX_SESSION_RESUME], 4);
    resume_assert(p);
    pair_free(p);
}

static void tune_any(struct conn_config *c, int side)
{
    if (side == 1) { // "%any", as swanctl sends it
        memset(c->remote_addrs, 0, sizeof(c->remote_addrs[0]));
        c->remote_count = 1;
    }
}

static void test_behind_a_nat_it_goes_on_by_4500(void **state)
{
    (void)state;
    struct pair *p = resume_pair(tune_any);
    p->nat = true;
    p->nat_shift = 10000;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_silent(p);
    p->nat_shift = 12000;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_assert(p);
    assert_true(p->s[0].ike->sas->nat.local && p->s[1].ike->sas->nat.remote);
    assert_true(p->s[0].ike->sas->path.nat_t && p->s[1].ike->sas->path.nat_t);
    assert_true(pair_sa(&p->s[0], 0)->child.udp_encap);
    pair_free(p);
}

// --- what was proven ---

static void test_it_ends_when_the_one_before_would_have(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    struct ike_sa *gw = p->s[1].ike->sas;
    int64_t until = creds_now(p->s[1].ike) + 3000;
    gw->later->proven_until = until;
    exchange_queue(p->s[0].ike->sas, TASK_TICKET, 0);
    pair_run(p);
    assert_in_range(p->s[0].ike->sas->later->session->until - loop_now(p->loop), 2999000, 3000000);
    resume_silent(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_assert(p);
    assert_int_equal(p->s[1].ike->sas->later->proven_until, until);
    // and where that is soon there is no other ticket
    p->s[1].ike->sas->later->proven_until = creds_now(p->s[1].ike) + 30;
    exchange_queue(p->s[0].ike->sas, TASK_TICKET, 0);
    uint32_t id = p->s[0].ike->sas->later->session->id;
    pair_run(p);
    assert_int_equal(p->s[0].ike->sas->later->session->id, id);
    pair_free(p);
}

static void tune_reauth(struct conn_config *c, int side)
{
    if (side == 1)
        c->reauth_time = 2000;
}

static void test_another_proof_is_due_when_it_was(void **state)
{
    (void)state;
    struct pair *p = resume_up(tune_reauth);
    uint64_t due = p->s[1].ike->sas->later->reauth_at;
    assert_in_range(p->s[0].ike->sas->later->session->until, 1, due);
    resume_silent(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    resume_assert(p);
    assert_in_range(p->s[1].ike->sas->later->reauth_at, 1, due);
    pair_free(p);
}

// Between that and the end of over_time the peer has to prove itself; it gets no ticket to do without.
static void test_no_ticket_is_given_when_another_proof_is_overdue(void **state)
{
    (void)state;
    struct pair *p = resume_up(tune_reauth);
    uint32_t id = p->s[0].ike->sas->later->session->id;
    p->s[1].ike->sas->later->reauth_at = 0; // as when it was asked for
    exchange_queue(p->s[0].ike->sas, TASK_TICKET, 0);
    pair_run(p);
    const struct session *s = p->s[0].ike->sas->later->session;
    assert_true(!s || s->id == id);
    pair_free(p);
}

static void test_rekeying_puts_off_no_other_proof(void **state)
{
    (void)state;
    struct pair *p = resume_up(tune_reauth);
    uint64_t due = p->s[1].ike->sas->later->reauth_at;
    pair_wait(p, 100000);
    rekey_ike(p->s[0].ike->sas);
    pair_run(p);
    assert_in_range(p->s[1].ike->sas->later->reauth_at, 1, due);
    resume_silent(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_in_range(p->s[1].ike->sas->later->reauth_at, 1, due);
    pair_free(p);
}

// An operator closes it at the gateway, and nobody answers the DELETE: its ticket is no good any more.
static void test_what_the_gateway_is_closing_is_not_resumed(void **state)
{
    (void)state;
    struct pair *p = resume_up(NULL);
    resume_silent(p);
    p->filter = pair_lose_all;
    pair_terminate(p, 1, NULL, false);
    assert_int_equal(p->s[1].ike->sas->state, SA_DELETING);
    p->filter = resume_watch;
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    assert_true(resume_seen.of[EX_SA_INIT] > 0);
    pair_free(p);
}

// --- the keys ---

static void hmac(const uint8_t *key, size_t key_len, const uint8_t *in, size_t len, uint8_t out[32])
{
    unsigned n = 0;
    assert_non_null(HMAC(EVP_sha256(), key, (int)key_len, in, len, out, &n));
    assert_int_equal(n, 32);
}

static void test_keys_and_auth_are_those_of_the_formulas(void **state)
{
    const struct cr_sk_alg alg = {20, 256, 0};
    struct ike_secrets s;
    uint8_t sk_d[32], ni[32], nr[16], text[256], seed[32], want[6 * 32], t[32], maced[32], auth[64],
        message[77];
    const uint8_t id[] = {2, 0, 0, 0, 'a', '.', 't'};
    size_t n = 0;
    (void)state;
    for (uint8_t i = 0; i < 32; i++) {
        sk_d[i] = i;
        ni[i] = (uint8_t)(100 + i);
    }
    memset(nr, 7, sizeof(nr));
    memset(message, 9, sizeof(message));
    assert_int_equal(derive_resumed(&alg, cr_prf_find(NULL, 5), slice_of(sk_d, 32), slice_of(ni, 32),
                                    slice_of(nr, 16), 0x0102030405060708, 0x1112131415161718, &s),
                     0);
    // SKEYSEED = prf(SK_d (old), "Resumption" | Ni | Nr)
    memcpy(text, "Resumption", 10);
    memcpy(text + 10, ni, 32);
    memcpy(text + 42, nr, 16);
    hmac(sk_d, 32, text, 58, seed);
    // prf+ (SKEYSEED, Ni | Nr | SPIi | SPIr)
    for (uint8_t i = 1; i <= 6; i++) {
        n = 0;
        if (i > 1) {
            memcpy(text, t, 32);
            n = 32;
        }
        memcpy(text + n, ni, 32);
        memcpy(text + n + 32, nr, 16);
        for (uint8_t k = 0; k < 8; k++) {
            text[n + 48 + k] = (uint8_t)(1 + k);
            text[n + 56 + k] = (uint8_t)(0x11 + k);
        }
        text[n + 64] = i;
        hmac(seed, 32, text, n + 65, t);
        memcpy(want + 32 * (i - 1), t, 32);
    }
    assert_memory_equal(s.sk_d, want, 32);
    assert_memory_equal(s.sk_ei, want + 32, 36);
    assert_memory_equal(s.sk_er, want + 68, 36);
    assert_memory_equal(s.sk_pi, want + 104, 32);
    assert_memory_equal(s.sk_pr, want + 136, 32);
    // AUTH = prf(SK_px, message | the other's nonce | prf(SK_px, IDx'))
    for (int of_initiator = 0; of_initiator < 2; of_initiator++) {
        const uint8_t *sk_p = of_initiator ? s.sk_pi : s.sk_pr;
        hmac(sk_p, 32, id, sizeof(id), maced);
        memcpy(text, message, 77);
        memcpy(text + 77, nr, 16);
        memcpy(text + 93, maced, 32);
        hmac(sk_p, 32, text, 125, t);
        assert_int_equal(derive_resumed_auth(&s, of_initiator, false, slice_of(message, 77), slice_of(nr, 16),
                                             slice_of(id, sizeof(id)), auth),
                         0);
        assert_memory_equal(auth, t, 32);
        hmac(sk_p, 32, message, 77, t); // and of the message alone
        assert_int_equal(derive_resumed_auth(&s, of_initiator, true, slice_of(message, 77), slice_of(nr, 16),
                                             slice_of(id, sizeof(id)), auth),
                         0);
        assert_memory_equal(auth, t, 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_lost_ike_sa_is_resumed_without_a_key_exchange),
        cmocka_unit_test(test_the_gateway_keeps_none_of_the_old_one),
        cmocka_unit_test(test_any_message_may_be_lost),
        cmocka_unit_test(test_every_message_may_come_twice),
        cmocka_unit_test(test_without_an_answer_it_begins_in_full),
        cmocka_unit_test(test_however_few_tries_there_are_it_begins_in_full),
        cmocka_unit_test(test_a_ticket_waits_until_there_is_a_way_again),
        cmocka_unit_test(test_a_ticket_is_good_once),
        cmocka_unit_test(test_a_ticket_that_is_void_before_auth_proves_nobody),
        cmocka_unit_test(test_who_saw_a_ticket_gets_nowhere_and_harms_nobody),
        cmocka_unit_test(test_with_the_secrets_go_the_tickets),
        cmocka_unit_test(test_certificates_that_went_end_tickets),
        cmocka_unit_test(test_an_edited_connection_has_no_tickets),
        cmocka_unit_test(test_an_orderly_end_ends_the_ticket),
        cmocka_unit_test(test_an_expired_ticket_is_not_used),
        cmocka_unit_test(test_the_key_of_tickets_goes_by_itself),
        cmocka_unit_test(test_a_ticket_that_is_not_renewed_goes_in_time),
        cmocka_unit_test(test_another_ticket_is_asked_for_in_time_and_behind_a_rekeying),
        cmocka_unit_test(test_responder_of_a_rekeying_asks_nothing_before_the_old_one_is_deleted),
        cmocka_unit_test(test_one_end_alone_changes_nothing),
        cmocka_unit_test(test_a_gateway_that_stopped_to_resume_is_begun_with_in_full),
        cmocka_unit_test(test_tshark_reads_both_messages),
        cmocka_unit_test(test_a_cookie_is_asked_for_and_brought),
        cmocka_unit_test(test_behind_a_nat_it_goes_on_by_4500),
        cmocka_unit_test(test_it_ends_when_the_one_before_would_have),
        cmocka_unit_test(test_another_proof_is_due_when_it_was),
        cmocka_unit_test(test_no_ticket_is_given_when_another_proof_is_overdue),
        cmocka_unit_test(test_rekeying_puts_off_no_other_proof),
        cmocka_unit_test(test_what_the_gateway_is_closing_is_not_resumed),
        cmocka_unit_test(test_keys_and_auth_are_those_of_the_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
