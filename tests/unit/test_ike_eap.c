// SPDX-License-Identifier: Apache-2.0
// Two daemons, one of which shows a password by EAP-MSCHAPv2 to the other, which has a certificate: both
// roles, names and who they are allowed to be, wrong passwords, every message lost, doubled and late, and a
// server that asks without end.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/eap_client.h"
#include "ctrl/lib/log.h"
#include "tests/unit/ike_pair.h"
#include "tests/unit/pki_files.h"

static char lines[65536]; // of both daemons' logs
static uint32_t req = 50000;

static void keep(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                 const char *text)
{
    size_t n = strlen(lines);
    (void)ctx, (void)s, (void)level, (void)ike_name, (void)ike_id;
    snprintf(lines + n, sizeof(lines) - n, "%s\n", text);
}

static bool said(const char *text)
{
    bool found = strstr(lines, text) != NULL;
    if (!found)
        print_message("not said: %s\n%s", text, lines);
    return found;
}

static int make_files(void **state)
{
    (void)state;
    pki_files_begin();
    pki_run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.keypem");
    pki_run("openssl req -new -x509 -days 60 -key ca.keypem -subj /CN=root -addext "
            "keyUsage=critical,keyCertSign -out ca.pem");
    pki_run("openssl x509 -in ca.pem -outform DER -out ca.der");
    pki_run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out b.key");
    pki_run("openssl req -new -key b.key -keyform DER -subj /CN=b -out b.csr");
    pki_run("printf 'subjectAltName=DNS:b.test\\nkeyUsage=digitalSignature\\n' > b.ext");
    pki_run("openssl x509 -req -in b.csr -CA ca.pem -CAkey ca.keypem -CAcreateserial -days 30 -extfile b.ext "
            "-outform DER -out b.der");
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

// --- two daemons: 0 is the client, a.test; 1 the server, b.test ---

static void password(struct pair *p, int side, const char *user, const char *text)
{
    uint8_t buf[100];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_cstr(&w, user);
    struct msg_SECRET_LOAD m = {
        .req = ++req, .type = "eap", .data = slice_str(text), .owners = wr_written(&w)};
    snprintf(m.id, sizeof(m.id), "eap-%s", user);
    ipc_send(p->s[side].ctl_keys, MSG_SECRET_LOAD, &m);
    pair_run(p);
    pair_result(p, side, m.req, true);
}

struct names { // "": none
    const char *client_ike, *client_eap, *server_ike, *server_eap;
};

static void load_side(struct pair *p, int side, const struct names *n)
{
    struct conn_config c;
    pair_default_conn(&c, side);
    c.local.auth = side ? AUTH_PUBKEY : AUTH_EAP;
    c.remote.auth = side ? AUTH_EAP : AUTH_PUBKEY;
    c.send_cert = SEND_CERT_ALWAYS;
    c.send_certreq = 1;
    if (side) {
        assert_int_equal(blobs_add(&c.local.certs, pki_read("b.der")), 0);
        snprintf(c.remote.id, sizeof(c.remote.id), "%s", n->server_ike);
        snprintf(c.remote.eap_id, sizeof(c.remote.eap_id), "%s", n->server_eap);
    } else {
        snprintf(c.local.id, sizeof(c.local.id), "%s", n->client_ike);
        snprintf(c.local.eap_id, sizeof(c.local.eap_id), "%s", n->client_eap);
    }
    pair_load(p, side, &c);
    auth_side_clear(&c.local);
    auth_side_clear(&c.remote);
}

static struct pair *begin(const struct names *n)
{
    struct pair *p = pair_new(NULL);
    log_set_all(1);
    log_set_sink(keep, NULL);
    lines[0] = 0;
    struct msg_KEY_LOAD k = {.req = ++req, .type = "any", .data = pki_read("b.key")};
    ipc_send(p->s[1].ctl_keys, MSG_KEY_LOAD, &k);
    struct msg_CERT_LOAD ca = {.req = ++req, .kind = PKI_CA, .data = pki_read("ca.der")};
    ipc_send(p->s[0].ctl_ike, MSG_CERT_LOAD, &ca);
    pair_run(p);
    load_side(p, 0, n);
    load_side(p, 1, n);
    return p;
}

static const struct names plain = {"a.test", "", "a.test", ""}, asked = {"a.test", "bob", "a.test", "%any"};

static void end(struct pair *p)
{
    pair_free(p);
    log_set_sink(NULL, NULL);
}

static void refused(struct pair *p, const char *why)
{
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_true(said(why));
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    pair_wait(p, 60000); // half_open_timeout: a client that gives up is not heard before it is proven
    assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
}

// --- what goes well ---

static void test_client_and_server_agree_and_go_on(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pair *p = begin(i ? &asked : &plain);
        const char *user = i ? "bob" : "a.test";
        for (int side = 0; side < 2; side++)
            password(p, side, user, "geheim");
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_assert_one(p);
        assert_true(said("authentication of 'b.test' with ECDSA_WITH_SHA256_DER successful"));
        assert_true(said("authentication of 'b.test' with EAP successful"));
        assert_true(said("authentication of 'a.test' (myself) with EAP"));
        char text[ID_TEXT_MAX];
        assert_string_equal(identity_print(&p->s[1].ike->sas->remote_id, text, sizeof(text)), user);
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

struct fault {
    unsigned at, seen;
    int copies;
};

static int once(struct pair *p, unsigned number, struct datagram *d)
{
    struct fault *f = p->ctx;
    (void)d;
    f->seen = number + 1 > f->seen ? number + 1 : f->seen;
    return number == f->at ? f->copies : 1;
}

// Each of its messages once lost, twice there, or late, either end's.
static void test_every_message_may_be_lost_doubled_or_late(void **state)
{
    static const int copies[] = {0, 2, 3, -1};
    enum { DATAGRAMS = 12 }; // of an undisturbed handshake where the user is asked for
    (void)state;
    for (unsigned k = 0; k < sizeof(copies) / sizeof(copies[0]); k++) {
        for (unsigned at = 0; at < DATAGRAMS; at++) {
            struct pair *p = begin(&asked);
            struct fault f = {.at = at, .copies = copies[k]};
            for (int side = 0; side < 2; side++)
                password(p, side, "bob", "geheim");
            p->ctx = &f;
            p->filter = once;
            uint32_t first = pair_initiate(p, 0, "c");
            pair_wait(p, 20000);
            if (!p->s[0].last_ok || p->s[0].last_req != first)
                fail_msg("datagram %u, %d copies: %s", at, copies[k], p->s[0].last_text);
            pair_assert_one(p);
            assert_true(f.seen >= DATAGRAMS);
            end(p);
        }
    }
}

// --- what must not get in ---

static void test_password_must_be_right_at_both_ends(void **state)
{
    static const struct {
        const char *client, *server, *why; // NULL: none
    } cases[] = {{"geheim", "Geheim", "EAP-MS-CHAPv2 verification of 'a.test' failed: wrong password"},
                 {"geheim", NULL, "no EAP secret"},
                 {NULL, "geheim", "the password of 'a.test': no EAP secret of that identity is loaded"}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = begin(&plain);
        if (cases[i].client)
            password(p, 0, "a.test", cases[i].client);
        if (cases[i].server)
            password(p, 1, "a.test", cases[i].server);
        refused(p, cases[i].why);
        end(p);
    }
}

// The password of whom eap_id allows, or without it of the IKE identity, and nobody else's, right as it is.
static void test_only_the_name_that_is_allowed_is_taken(void **state)
{
    static const struct {
        struct names n;
        bool taken;
    } cases[] = {{{"a.test", "", "a.test", ""}, true},
                 {{"a.test", "bob", "a.test", ""}, false},
                 {{"a.test", "bob", "%any", ""}, false},
                 {{"bob", "bob", "%any", ""}, true},
                 {{"a.test", "bob", "a.test", "bob"}, true},
                 {{"a.test", "alice", "a.test", "bob"}, false},
                 {{"a.test", "", "a.test", "bob"}, false},
                 {{"a.test", "bob@lab", "a.test", "*@lab"}, true},
                 {{"a.test", "bob@lab", "a.test", "*@other"}, false},
                 {{"a.test", "alice", "a.test", "%any"}, true}};
    static const char *const users[] = {"a.test", "bob", "alice", "bob@lab"};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = begin(&cases[i].n);
        for (unsigned u = 0; u < 4; u++)
            for (int side = 0; side < 2; side++)
                password(p, side, users[u], "one for all");
        if (cases[i].taken) {
            pair_result(p, 0, pair_initiate(p, 0, "c"), true);
            pair_assert_one(p);
        } else {
            refused(p, "which is not whom");
        }
        end(p);
    }
}

// A connection of a client answers nobody: as responder there is no way to prove ourselves by EAP.
static void test_clients_connection_answers_nobody(void **state)
{
    (void)state;
    struct pair *p = begin(&plain);
    for (int side = 0; side < 2; side++)
        password(p, side, "a.test", "geheim");
    pair_result(p, 1, pair_initiate(p, 1, "c"), false);
    assert_true(said("no matching peer config found"));
    end(p);
}

static int hold_after(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)d;
    return number <= 3 ? 1 : 0; // up to the server's proof and first question
}

static void test_server_that_asks_without_end_is_left(void **state)
{
    (void)state;
    struct pair *p = begin(&plain);
    password(p, 0, "a.test", "geheim");
    password(p, 1, "a.test", "geheim");
    p->filter = hold_after;
    uint32_t first = pair_initiate(p, 0, "c");
    unsigned asked_for = 0;
    for (; p->s[0].ike->sa_count && asked_for < 100; asked_for++) {
        uint8_t body[] = {EAP_CODE_REQUEST, (uint8_t)asked_for, 0, 5, EAP_TYPE_IDENTITY};
        struct payloads pl = {.count = 1, .p = {{.type = PL_EAP, .body = slice_of(body, sizeof(body))}}};
        eap_client_response(p->s[0].ike->sas->active, &pl);
        pair_run(p);
    }
    assert_true(asked_for < 20);
    pair_result(p, 0, first, false);
    assert_non_null(strstr(p->s[0].last_text, "asks without end"));
    end(p);
}

// What is out of order, by a server that has proven itself: success before the method, a second challenge, a
// method that is not ours.
static void test_server_out_of_order_is_left(void **state)
{
    static const struct {
        uint8_t body[32];
        const char *why; // NULL: answered
    } cases[] = {{{EAP_CODE_SUCCESS, 1, 0, 4}, "neither a request nor a success that is due"},
                 {{EAP_CODE_FAILURE, 1, 0, 4}, "the server says so"},
                 {{EAP_CODE_RESPONSE, 1, 0, 5, EAP_TYPE_IDENTITY}, "neither a request nor"},
                 {{EAP_CODE_REQUEST, 1, 0, 26, EAP_TYPE_MSCHAPV2, 1, 1, 0, 21, 16}, "success is malformed"},
                 {{EAP_CODE_REQUEST, 1, 0, 5, 4}, "asks by EAP type 4"},
                 {{EAP_CODE_REQUEST, 1, 0, 4}, "it is malformed"}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = begin(&plain);
        password(p, 0, "a.test", "geheim");
        password(p, 1, "a.test", "geheim");
        p->filter = hold_after;
        uint32_t first = pair_initiate(p, 0, "c"); // and the challenge is answered
        struct payloads pl = {.count = 1,
                              .p = {{.type = PL_EAP, .body = slice_of(cases[i].body, cases[i].body[3])}}};
        eap_client_response(p->s[0].ike->sas->active, &pl);
        pair_run(p);
        pair_result(p, 0, first, false);
        if (!strstr(p->s[0].last_text, cases[i].why))
            fail_msg("'%s' does not say '%s'", p->s[0].last_text, cases[i].why);
        assert_int_equal(pair_live(&p->s[0]), 0);
        end(p);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_and_server_agree_and_go_on),
        cmocka_unit_test(test_every_message_may_be_lost_doubled_or_late),
        cmocka_unit_test(test_password_must_be_right_at_both_ends),
        cmocka_unit_test(test_only_the_name_that_is_allowed_is_taken),
        cmocka_unit_test(test_clients_connection_answers_nobody),
        cmocka_unit_test(test_server_that_asks_without_end_is_left),
        cmocka_unit_test(test_server_out_of_order_is_left),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("EAP between two daemons", tests, make_files, drop_files);
}
