// SPDX-License-Identifier: Apache-2.0
// Two daemons with several rounds of authentication (RFC 4739): every pair of proofs of either end, with the
// names of the last round, and up to four rounds; every message lost, doubled and late; and each way in which
// a further proof is missing, wrong or not wanted.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/initiate.h"
#include "ctrl/lib/log.h"
#include "tests/unit/ike_watch.h"
#include "tests/unit/pki_files.h"

static uint32_t req = 50000;

static void make_end(const char *name, const char *san)
{
    pki_run("openssl genpkey -algorithm ED25519 -outform DER -out %s.key", name);
    pki_run("openssl req -new -key %s.key -keyform DER -subj /CN=%s -out %s.csr", name, name, name);
    pki_run("printf 'subjectAltName=%s\\nkeyUsage=digitalSignature\\n' > %s.ext", san, name);
    pki_run("openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.keypem -CAcreateserial -days 30 -extfile "
            "%s.ext -outform DER -out %s.der",
            name, name, name);
}

static int make_files(void **state)
{
    (void)state;
    pki_files_begin();
    pki_run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.keypem");
    pki_run("openssl req -new -x509 -days 60 -key ca.keypem -subj /CN=root -addext "
            "keyUsage=critical,keyCertSign -out ca.pem");
    pki_run("openssl x509 -in ca.pem -outform DER -out ca.der");
    make_end("a", "DNS:a.test");
    make_end("a2", "DNS:a2.test");
    make_end("b", "DNS:b.test");
    make_end("b2", "DNS:b2.test");
    for (int i = 3; i <= 4; i++) {
        char name[16], san[32];
        for (const char *end = "ab"; *end; end++) {
            snprintf(name, sizeof(name), "%c%d", *end, i);
            snprintf(san, sizeof(san), "DNS:%s.test", name);
            make_end(name, san);
        }
    }
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

// --- two daemons: 0 begins, a.test and a2.test; 1 answers, b.test and b2.test ---

enum how { NO, PSK, CERT, MSCHAP, TLS };
struct ends { // by round; NO: there is none
    enum how a[ROUNDS_MAX], b[ROUNDS_MAX];
};
static const char *const names[2][ROUNDS_MAX] = {{"a.test", "a2.test", "a3.test", "a4.test"},
                                                 {"b.test", "b2.test", "b3.test", "b4.test"}};
static const char *const certs[2][ROUNDS_MAX] = {{"a.der", "a2.der", "a3.der", "a4.der"},
                                                 {"b.der", "b2.der", "b3.der", "b4.der"}};
static const char *const keys[2][ROUNDS_MAX] = {{"a.key", "a2.key", "a3.key", "a4.key"},
                                                {"b.key", "b2.key", "b3.key", "b4.key"}};

static void put(struct auth_side *s, enum how how, int side, int round, bool own)
{
    s->auth = how == PSK ? AUTH_PSK : how == CERT ? AUTH_PUBKEY : AUTH_EAP;
    s->eap_type = how == MSCHAP ? EAP_MSCHAPV2 : how == TLS ? EAP_TLS : 0;
    s->id = names[side][round];
    if (own && (how == CERT || how == TLS))
        assert_int_equal(blobs_add(&s->certs, pki_read(certs[side][round])), 0);
}

static void load_as(struct pair *p, int side, const struct ends *e)
{
    const enum how *own = side ? e->b : e->a, *peer = side ? e->a : e->b;
    struct conn_config c;
    pair_default_conn(&c, side);
    c.send_cert = SEND_CERT_ALWAYS;
    c.send_certreq = 1;
    put(&c.local, own[0], side, 0, true);
    put(&c.remote, peer[0], !side, 0, false);
    for (int round = 1; round < ROUNDS_MAX; round++) {
        if (own[round])
            put(conn_add_round(&c, true), own[round], side, round, true);
        if (peer[round])
            put(conn_add_round(&c, false), peer[round], !side, round, false);
    }
    pair_load(p, side, &c);
    c.children = NULL; // these are the rig's
    c.pools = NULL;
    c.vips = NULL;
    c.local_addrs = c.remote_addrs = NULL;
    c.proposals = NULL;
    c.child_count = 0;
    conn_clear(&c);
}

static void secret(struct pair *p, int side, const char *type, const char *id, const char *owner,
                   const char *text)
{
    uint8_t buf[100];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_cstr(&w, owner);
    struct msg_SECRET_LOAD m = {.req = ++req, .data = slice_str(text), .owners = wr_written(&w)};
    snprintf(m.type, sizeof(m.type), "%s", type);
    snprintf(m.id, sizeof(m.id), "%s", id);
    ipc_send(p->s[side].ctl_keys, MSG_SECRET_LOAD, &m);
}

// Each end's view, and what the first one's second secret is.
static struct pair *begin_as(const struct ends *a, const struct ends *b, const char *a_password)
{
    struct pair *p = pair_new(NULL);
    watch_log();
    for (int side = 0; side < 2; side++) {
        struct msg_CERT_LOAD ca = {.req = ++req, .kind = PKI_CA, .data = pki_read("ca.der")};
        ipc_send(p->s[side].ctl_ike, MSG_CERT_LOAD, &ca);
        for (int round = 0; round < ROUNDS_MAX; round++) {
            struct msg_KEY_LOAD k = {.req = ++req, .type = "any", .data = pki_read(keys[side][round])};
            ipc_send(p->s[side].ctl_keys, MSG_KEY_LOAD, &k);
        }
        const char *password = side ? "second" : a_password;
        secret(p, side, "ike", "ike-1", "a.test", "first");
        secret(p, side, "ike", "ike-2", "a2.test", password);
        secret(p, side, "ike", "ike-3", "a3.test", password);
        secret(p, side, "eap", "eap", "a2.test", password);
        secret(p, side, "eap", "eap-3", "a3.test", password);
        secret(p, side, "eap", "eap-4", "a4.test", password);
        secret(p, side, "eap", "eap-b", "b2.test", "second");
    }
    pair_run(p);
    load_as(p, 0, a);
    load_as(p, 1, b);
    return p;
}

static struct pair *begin(const struct ends *e)
{
    return begin_as(e, e, "second");
}

static void end(struct pair *p)
{
    pair_free(p);
    log_set_sink(NULL, NULL);
}

static void refused(struct pair *p, const char *why)
{
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_true(watch_said(why));
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    pair_wait(p, 60000);
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
}

static const struct ends all[] = {
    {{CERT, MSCHAP}, {CERT, NO}},
    {{PSK, MSCHAP}, {PSK, NO}},
    {{CERT, TLS}, {CERT, NO}},
    {{CERT, PSK}, {CERT, NO}},
    {{PSK, CERT}, {PSK, NO}},
    {{CERT, CERT}, {CERT, CERT}},
    {{CERT, NO}, {CERT, CERT}},
    {{PSK, NO}, {CERT, PSK}},
    {{PSK, PSK}, {PSK, PSK}},
    {{PSK, MSCHAP}, {PSK, CERT}},
    {{CERT, MSCHAP}, {CERT, CERT}},
    {{CERT, TLS}, {CERT, CERT}},
    {{PSK, TLS}, {CERT, NO}},
    {{CERT, CERT, CERT}, {CERT}}, // three and more
    {{CERT}, {CERT, CERT, CERT}},
    {{PSK, CERT, MSCHAP}, {CERT}},
    {{PSK, PSK, PSK}, {PSK, CERT}},
    {{PSK, CERT, PSK, MSCHAP}, {CERT, PSK}},
    {{CERT, PSK, CERT, TLS}, {CERT, CERT, CERT, CERT}},
    {{CERT, CERT}, {PSK, CERT, CERT, CERT}},
};
enum { ALL = sizeof(all) / sizeof(all[0]) };

static unsigned last(const enum how *rounds)
{
    unsigned n = 0;
    while (n + 1 < ROUNDS_MAX && rounds[n + 1])
        n++;
    return n;
}

static void assert_names(struct pair *p, const struct ends *e)
{
    char text[ID_TEXT_MAX];
    const struct ike_sa *a = p->s[0].ike->sas, *b = p->s[1].ike->sas;
    const char *of_a = names[0][last(e->a)], *of_b = names[1][last(e->b)];
    assert_string_equal(identity_print(b->remote_id, text, sizeof(text)), of_a);
    assert_string_equal(identity_print(a->remote_id, text, sizeof(text)), of_b);
}

static void test_each_pair_of_proofs_of_either_end_makes_a_tunnel(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ALL; i++) {
        struct pair *p = begin(&all[i]);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_assert_one(p);
        assert_names(p, &all[i]);
        for (int side = 0; side < 2; side++) { // its keys are good for new ones, by either end
            rekey_ike(p->s[side].ike->sas);
            pair_wait(p, 1000);
            pair_assert_one(p);
        }
        pair_terminate(p, 0, NULL, false);
        assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
        end(p);
    }
}

// --- loss and repetition ---

static void lose_each(const struct ends *e, unsigned datagrams)
{
    static const int copies[] = {0, 2, -1};
    for (unsigned k = 0; k < sizeof(copies) / sizeof(copies[0]); k++) {
        for (unsigned at = 0; at < datagrams; at++) {
            struct pair *p = begin(e);
            struct watch_fault f = {.at = at, .copies = copies[k]};
            p->ctx = &f;
            p->filter = watch_once;
            uint32_t first = pair_initiate(p, 0, "c");
            pair_wait(p, 20000);
            if (!p->s[0].last_ok || p->s[0].last_req != first)
                fail_msg("datagram %u, %d copies: %s", at, copies[k], p->s[0].last_text);
            pair_assert_one(p);
            assert_names(p, e);
            assert_true(f.seen >= datagrams);
            p->filter = NULL;
            end(p);
        }
    }
}

// IKE_SA_INIT, the first round, the second one, which with EAP-MSCHAPv2 is four exchanges.
static void test_every_message_may_be_lost_doubled_or_late(void **state)
{
    (void)state;
    lose_each(&all[0], 12);
    lose_each(&all[5], 6);
    lose_each(&all[6], 6);
    lose_each(&all[13], 8); // three rounds
}

// --- what must not get in ---

static void test_second_secret_must_be_right(void **state)
{
    static const struct {
        unsigned which;
        const char *why;
    } cases[] = {{0, "wrong password"},
                 {1, "wrong password"},
                 {3, "but MAC mismatched"},
                 {15, "wrong password"},      // in the third round
                 {16, "but MAC mismatched"}}; // in the second one of three
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = begin_as(&all[cases[i].which], &all[cases[i].which], "Second");
        refused(p, cases[i].why);
        end(p);
    }
}

// Whose view of the rounds is another's: nobody gets in with one proof where two are asked for, nor the other
// way.
static void test_ends_must_be_of_one_mind_about_the_rounds(void **state)
{
    static const struct ends single = {{CERT, NO}, {CERT, NO}}, two = {{CERT, CERT}, {CERT, NO}},
                             eap = {{CERT, MSCHAP}, {CERT, NO}}, both = {{CERT, CERT}, {CERT, CERT}},
                             theirs = {{CERT, NO}, {CERT, CERT}}, three = {{CERT, CERT, CERT}, {CERT}},
                             three_of_b = {{CERT}, {CERT, CERT, CERT}};
    static const struct {
        const struct ends *a, *b;
        const char *why;
    } cases[] = {
        {&single, &two, "no matching peer config found"},
        {&two, &single, "the peer takes one round of authentication, and the connection has several"},
        {&two, &theirs, "no matching peer config found"},
        {&two, &both, "announces another round of authentication than the connection has"},
        {&both, &two, "the peer has no further round of authentication, which the connection asks for"},
        {&single, &theirs, "no matching peer config found"},
        {&theirs, &two, "no matching peer config found"},
        {&two, &eap, "the peer authenticates by ED25519 (method 14), and by EAP the connection says"},
        {&three, &two, "announces another round of authentication than the connection has"},
        {&two, &three, "the peer has no further round of authentication, which the connection asks for"},
        {&theirs, &three_of_b, "announces another round of authentication than the connection has"},
        {&three_of_b, &theirs, "the peer has no further round of authentication, which"},
        {&eap, &two, "the peer wants EAP, and the connection another proof"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = begin_as(cases[i].a, cases[i].b, "second");
        refused(p, cases[i].why);
        end(p);
    }
}

static enum { NOBODY, INITIATOR, RESPONDER } forgets; // to announce its second round

void __real_rounds_put_follows(struct pb *b, const struct ike_sa *sa);
void __wrap_rounds_put_follows(struct pb *b, const struct ike_sa *sa);
void __wrap_rounds_put_follows(struct pb *b, const struct ike_sa *sa)
{
    if (forgets != (sa->initiator ? INITIATOR : RESPONDER))
        __real_rounds_put_follows(b, sa);
}

// An initiator that forgets to announce it is held to what it announced.
static void test_round_that_was_not_announced_is_not_begun(void **state)
{
    (void)state;
    forgets = INITIATOR;
    struct pair *p = begin(&all[5]);
    refused(p, "no matching peer config found");
    end(p);
    forgets = RESPONDER;
    p = begin(&all[5]);
    refused(p, "the peer has no further round of authentication");
    end(p);
    forgets = NOBODY;
}

// A name of the second round that the connection does not have.
static void test_second_name_must_be_the_connections(void **state)
{
    (void)state;
    struct pair *p = begin(&all[3]);
    struct conn *c = p->s[1].ike->conns;
    c->cfg.remote_more->side.id = "c.test";
    refused(p, "IDi 'a2.test' of round 2 does not match to 'c.test'");
    end(p);
}

// --- whether the peer is known already (RFC 7296 2.4) ---

static void unique_no(struct pair *p)
{
    for (int side = 0; side < 2; side++)
        p->s[side].ike->conns->cfg.unique = UNIQUE_NO;
}

// The names of an IKE SA are those of the last round, and the first request has those of the first one.
static void test_another_one_beside_the_first_does_not_say_initial_contact(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ALL; i++) {
        struct pair *p = begin(&all[i]);
        unique_no(p);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_wait(p, 10);
        struct conn *c = p->s[0].ike->conns;
        assert_int_equal(initiate_anew(p->s[0].ike, c, conn_child(c, "c"), NULL), 0);
        pair_run(p);
        for (int side = 0; side < 2; side++)
            assert_int_equal(p->s[side].ike->sa_count, 2);
        end(p);
    }
}

// Whoever has forgotten says so in his first request, and it counts once he has proven himself by all rounds.
static void test_initial_contact_counts_behind_the_last_round(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ALL; i++) {
        struct pair *p = begin(&all[i]);
        unique_no(p);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        p->filter = pair_lose_all;
        pair_terminate(p, 0, NULL, true); // gone here, without a word to the peer
        p->filter = NULL;
        pair_wait(p, 10);
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_assert_one(p);
        end(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_pair_of_proofs_of_either_end_makes_a_tunnel),
        cmocka_unit_test(test_every_message_may_be_lost_doubled_or_late),
        cmocka_unit_test(test_second_secret_must_be_right),
        cmocka_unit_test(test_ends_must_be_of_one_mind_about_the_rounds),
        cmocka_unit_test(test_round_that_was_not_announced_is_not_begun),
        cmocka_unit_test(test_second_name_must_be_the_connections),
        cmocka_unit_test(test_another_one_beside_the_first_does_not_say_initial_contact),
        cmocka_unit_test(test_initial_contact_counts_behind_the_last_round),
    };
    return cmocka_run_group_tests(tests, make_files, drop_files);
}
