// SPDX-License-Identifier: Apache-2.0
// Two daemons, one of which shows a password by EAP-MSCHAPv2 to the other, which has a certificate: both
// roles, names and who they are allowed to be, wrong passwords, every message lost, doubled and late, and a
// server that asks without end. And by EAP-TLS: certificates at both ends, the same
// orders and losses; alone too (RFC 5998).
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/eap_client.h"
#include "ctrl/ike/initiate.h"
#include "tests/unit/ike_eap_rig.h"
#include "tests/unit/ike_watch.h"

// --- what goes well ---

static void test_client_and_server_agree_and_go_on(void **state)
{
    static const struct eap_names *const how[] = {&eap_plain,     &eap_asked, &eap_tls,
                                                  &eap_tls_asked, &eap_only,  &eap_only_asked};
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct pair *p = eap_pair(how[i]);
        const char *user = i % 2 ? "bob" : "a.test";
        for (int side = 0; side < 2; side++)
            eap_password(p, side, user, "geheim");
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_assert_one(p);
        bool signs =
            strstr(watch_lines, "authentication of 'b.test' with ECDSA_WITH_SHA256_DER successful") != NULL;
        assert_int_equal(signs, !how[i]->only);
        assert_true(watch_said("authentication of 'b.test' with EAP successful"));
        assert_true(watch_said("authentication of 'a.test' (myself) with EAP"));
        char text[ID_TEXT_MAX];
        assert_string_equal(identity_print(p->s[1].ike->sas->remote_id, text, sizeof(text)), user);
        for (int side = 0; side < 2; side++) { // its keys are good for new ones, by either end
            rekey_ike(p->s[side].ike->sas);
            pair_wait(p, 1000);
            pair_assert_one(p);
        }
        pair_terminate(p, 0, NULL, false);
        assert_int_equal(p->s[0].ike->sa_count + p->s[1].ike->sa_count, 0);
        eap_pair_end(p);
    }
}

static void test_a_ppk_goes_with_eap_by_an_intermediate(void **state)
{
    static const struct eap_names *const how[] = {&eap_plain, &eap_asked, &eap_tls, &eap_only};
    (void)state;
    eap_with_ppk = true;
    for (int i = 0; i < 4; i++) {
        struct pair *p = eap_pair(how[i]);
        for (int side = 0; side < 2; side++)
            eap_password(p, side, i == 1 ? "bob" : "a.test", "geheim");
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_assert_one(p);
        assert_true(p->s[0].ike->sas->ppk && p->s[1].ike->sas->ppk);
        assert_true(watch_said("using PPK for PPK_ID 'p' from IKE_AUTH on"));
        eap_pair_end(p);
    }
    eap_with_ppk = false;
}

// The settings of either end may not have it: then there is none, and none is enough for nobody here.
static void test_a_ppk_with_eap_and_without_an_intermediate_is_none(void **state)
{
    (void)state;
    for (int off = 0; off < 2; off++) {
        eap_with_ppk = true;
        struct pair *p = eap_pair(&eap_plain);
        eap_with_ppk = false;
        for (int side = 0; side < 2; side++)
            eap_password(p, side, "a.test", "geheim");
        p->s[off].ike->set.ppk_intermediate = false;
        eap_refused(p, "the peer does not support PPKs");
        eap_pair_end(p);
    }
}

// --- loss and repetition ---

// Each of its messages once lost, twice there, or late, either end's.
static void lose_each(const struct eap_names *n, unsigned datagrams)
{
    static const int copies[] = {0, 2, 3, -1};
    for (unsigned k = 0; k < sizeof(copies) / sizeof(copies[0]); k++) {
        for (unsigned at = 0; at < datagrams; at++) {
            struct pair *p = eap_pair(n);
            struct watch_fault f = {.at = at, .copies = copies[k]};
            for (int side = 0; side < 2; side++)
                eap_password(p, side, "bob", "geheim");
            p->ctx = &f;
            p->filter = watch_once;
            uint32_t first = pair_initiate(p, 0, "c");
            pair_wait(p, 20000);
            if (!p->s[0].last_ok || p->s[0].last_req != first)
                fail_msg("datagram %u, %d copies: %s", at, copies[k], p->s[0].last_text);
            pair_assert_one(p);
            assert_true(f.seen >= datagrams);
            eap_pair_end(p);
        }
    }
}

// The numbers are those of an undisturbed handshake where the user is asked for.
static void test_every_message_may_be_lost_doubled_or_late(void **state)
{
    (void)state;
    lose_each(&eap_asked, 12);
    lose_each(&eap_tls_asked, 14);
    lose_each(&eap_only_asked, 14);
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
        struct pair *p = eap_pair(&eap_plain);
        if (cases[i].client)
            eap_password(p, 0, "a.test", cases[i].client);
        if (cases[i].server)
            eap_password(p, 1, "a.test", cases[i].server);
        eap_refused(p, cases[i].why);
        eap_pair_end(p);
    }
}

// The password of whom eap_id allows, or without it of the IKE identity, and nobody else's, right as it is.
static void test_only_the_name_that_is_allowed_is_taken(void **state)
{
    static const struct {
        struct eap_names n;
        bool taken;
    } cases[] = {{{"a.test", "", "a.test", "", NULL, NULL, 0, false}, true},
                 {{"a.test", "bob", "a.test", "", NULL, NULL, 0, false}, false},
                 {{"a.test", "bob", "%any", "", NULL, NULL, 0, false}, false},
                 {{"bob", "bob", "%any", "", NULL, NULL, 0, false}, true},
                 {{"a.test", "bob", "a.test", "bob", NULL, NULL, 0, false}, true},
                 {{"a.test", "alice", "a.test", "bob", NULL, NULL, 0, false}, false},
                 {{"a.test", "", "a.test", "bob", NULL, NULL, 0, false}, false},
                 {{"a.test", "bob@lab", "a.test", "*@lab", NULL, NULL, 0, false}, true},
                 {{"a.test", "bob@lab", "a.test", "*@other", NULL, NULL, 0, false}, false},
                 {{"a.test", "alice", "a.test", "%any", NULL, NULL, 0, false}, true}};
    static const char *const users[] = {"a.test", "bob", "alice", "bob@lab", NULL, NULL, 0, false};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = eap_pair(&cases[i].n);
        for (unsigned u = 0; u < 4; u++)
            for (int side = 0; side < 2; side++)
                eap_password(p, side, users[u], "one for all");
        if (cases[i].taken) {
            pair_result(p, 0, pair_initiate(p, 0, "c"), true);
            pair_assert_one(p);
        } else {
            eap_refused(p, "which is not whom");
        }
        eap_pair_end(p);
    }
}

// A connection of a client answers nobody: as responder there is no way to prove ourselves by EAP.
static void test_clients_connection_answers_nobody(void **state)
{
    (void)state;
    struct pair *p = eap_pair(&eap_plain);
    for (int side = 0; side < 2; side++)
        eap_password(p, side, "a.test", "geheim");
    pair_result(p, 1, pair_initiate(p, 1, "c"), false);
    assert_true(watch_said("no matching peer config found"));
    eap_pair_end(p);
}

static int hold_after(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p, (void)d;
    return number <= 3 ? 1 : 0; // up to the server's proof and first question
}

static void test_server_that_asks_without_end_is_left(void **state)
{
    (void)state;
    struct pair *p = eap_pair(&eap_plain);
    eap_password(p, 0, "a.test", "geheim");
    eap_password(p, 1, "a.test", "geheim");
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
    eap_pair_end(p);
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
        struct pair *p = eap_pair(&eap_plain);
        eap_password(p, 0, "a.test", "geheim");
        eap_password(p, 1, "a.test", "geheim");
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
        eap_pair_end(p);
    }
}

// --- EAP-TLS ---

static void test_certificate_must_be_the_name_s_and_good(void **state)
{
    static const struct {
        struct eap_names n;
        const char *why; // NULL: taken
    } cases[] = {
        {{"a.test", "bob", "a.test", "bob", "bob", NULL, 0, false}, NULL},
        {{"a.test", "alice", "a.test", "bob", "bob", NULL, 0, false}, "the peer says that it is 'alice'"},
        {{"a.test", "bob", "a.test", "bob", "a", NULL, 0, false}, "not of the peer's identity"},
        {{"a.test", "bob", "a.test", "%any", "a", NULL, 0, false}, "not of the peer's identity"},
        {{"a.test", "", "a.test", "", "bob", NULL, 0, false}, "not of the peer's identity"},
        {{"a.test", "", "a.test", "", "other", NULL, 0, false}, "EAP failed"},
        {{"a.test", "", "a.test", "", "a", "b.test", 0, false}, NULL},
        {{"a.test", "", "a.test", "", "a", "aaa.test", 0, false}, "not of the peer's identity"},
        {{"a.test", "", "a.test", "", "listed", NULL, PKI_IFURI, false}, "EAP failed"},
        {{"a.test", "", "a.test", "", "a", NULL, PKI_STRICT, false}, "EAP failed"},
        {{"a.test", "", "a.test", "", "a", NULL, PKI_IFURI, false}, NULL}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = eap_pair(&cases[i].n);
        if (cases[i].why) {
            eap_refused(p, cases[i].why);
        } else {
            pair_result(p, 0, pair_initiate(p, 0, "c"), true);
            pair_assert_one(p);
        }
        eap_pair_end(p);
    }
}

// Without the private key there is no signature, whatever certificate is shown.
static void test_certificate_alone_is_no_proof(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct pair *p = eap_pair(&eap_tls);
        ipc_send(p->s[side].ctl_keys, MSG_SECRETS_CLEAR, &(struct msg_SECRETS_CLEAR){.req = 4000});
        pair_run(p);
        eap_refused(p, "found for");
        eap_pair_end(p);
    }
}

static struct pair *held_in_tls(unsigned after)
{
    struct pair *p = eap_pair(&eap_tls);
    static unsigned last;
    last = after;
    p->ctx = &last;
    return p;
}

static int hold_behind(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    return number <= *(const unsigned *)p->ctx;
}

// What a server that has proven itself may say in the midst of it: each ends the attempt, or is bounded.
static void test_tls_packets_that_lie_end_it(void **state)
{
    static const struct {
        uint8_t data[12];
        uint8_t len;
        const char *why;
    } cases[] = {{{0}, 0, "malformed"},
                 {{0x20}, 1, "a start that is not due"},
                 {{0}, 1, "too long, or not as long as it says"},
                 {{0x80, 0, 0, 0, 9, 1}, 6, "not as long as it says"},
                 {{0x80, 0, 0, 0, 1, 1, 2}, 7, "not as long as it says"},
                 {{0x80, 0xff, 0xff, 0xff, 0xff, 1}, 6, "too long"},
                 {{0x80, 0, 0}, 3, "too long, or not"},
                 {{0x40}, 1, "too long, or not"},
                 {{0, 0x16, 3, 3, 0, 4, 9, 9, 9, 9}, 10, "the handshake failed"},
                 {{0, 0x16, 3, 3, 0, 99, 2}, 7, "ends within a message"}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair *p = held_in_tls(4); // the client has said hello
        p->filter = hold_behind;
        uint32_t first = pair_initiate(p, 0, "c");
        uint8_t body[20] = {EAP_CODE_REQUEST, 9, 0, (uint8_t)(5 + cases[i].len), EAP_TYPE_TLS};
        memcpy(body + 5, cases[i].data, cases[i].len);
        struct payloads pl = {.count = 1, .p = {{.type = PL_EAP, .body = slice_of(body, body[3])}}};
        eap_client_response(p->s[0].ike->sas->active, &pl);
        pair_run(p);
        pair_result(p, 0, first, false);
        if (!strstr(p->s[0].last_text, cases[i].why))
            fail_msg("%u: '%s' does not say '%s'", i, p->s[0].last_text, cases[i].why);
        eap_pair_end(p);
    }
}

static void test_tls_flight_without_end_is_left(void **state)
{
    (void)state;
    for (int big = 0; big < 2; big++) {
        struct pair *p = held_in_tls(4);
        p->filter = hold_behind;
        uint32_t first = pair_initiate(p, 0, "c");
        unsigned sent = 0;
        for (; p->s[0].ike->sa_count && sent < 1000; sent++) {
            static uint8_t body[3000];
            size_t n = big ? sizeof(body) : 7;
            memset(body, 0, sizeof(body));
            memcpy(body, (uint8_t[]){EAP_CODE_REQUEST, 9, (uint8_t)(n >> 8), (uint8_t)n, EAP_TYPE_TLS, 0x40},
                   6);
            struct payloads pl = {.count = 1, .p = {{.type = PL_EAP, .body = slice_of(body, n)}}};
            eap_client_response(p->s[0].ike->sas->active, &pl);
            pair_run(p);
        }
        pair_result(p, 0, first, false);
        assert_int_equal(sent, big ? 33 : 200);
        assert_non_null(strstr(p->s[0].last_text, big ? "too long" : "without end"));
        eap_pair_end(p);
    }
}

// Success in the midst of the handshake is none.
static void test_success_before_tls_is_over_is_no_success(void **state)
{
    (void)state;
    for (unsigned after = 4; after <= 6; after++) { // 7 has the server's last word
        struct pair *p = held_in_tls(after);
        p->filter = hold_behind;
        uint32_t first = pair_initiate(p, 0, "c");
        uint8_t body[] = {EAP_CODE_SUCCESS, 9, 0, 4};
        struct payloads pl = {.count = 1, .p = {{.type = PL_EAP, .body = slice_of(body, 4)}}};
        eap_client_response(p->s[0].ike->sas->active, &pl);
        pair_run(p);
        pair_result(p, 0, first, false);
        assert_int_equal(pair_live(&p->s[0]), 0);
        assert_non_null(strstr(p->s[0].last_text, "success before the handshake is over"));
        eap_pair_end(p);
    }
}

// --- EAP alone (RFC 5998) ---

// It is for both ends to say: an initiator that wants a signature gets no other proof, and the other way
// round; a server's certificate of another name is none.
static void test_eap_alone_is_what_both_ends_say(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct pair *p = eap_pair(&eap_tls);
        if (i < 2) {
            eap_load_side(p, i, &eap_only);
            eap_refused(p, i ? "no matching peer config found"
                             : "the peer proves itself by a signature, and by EAP alone the connection says");
        } else if (i == 2) { // b.test says that it is c.test: what a dishonest one would say
            eap_load_side(p, 0, &eap_only);
            eap_load_side(p, 1, &eap_only);
            struct conn *client = p->s[0].ike->conns, *server = p->s[1].ike->conns;
            pair_identity(&server->local_id, "c.test");
            pair_identity(&client->remote_id, "%any");
            eap_refused(p, "not of the peer's identity");
        } else {
            eap_load_side(p, 0, &eap_only);
            eap_load_side(p, 1, &eap_only);
            pair_result(p, 0, pair_initiate(p, 0, "c"), true);
            pair_assert_one(p);
        }
        eap_pair_end(p);
    }
}

// --- INITIAL_CONTACT (RFC 7296 2.4) ---

// It is said in the first request, where nobody has proven anything yet, and counts behind the last one; and
// it is not said beside an IKE SA that is there, whoever the password was of.
static void test_initial_contact_counts_behind_eap(void **state)
{
    static const struct eap_names *const how[] = {&eap_plain,     &eap_asked, &eap_tls,
                                                  &eap_tls_asked, &eap_only,  &eap_only_asked};
    (void)state;
    for (int i = 0; i < 12; i++) {
        struct pair *p = eap_pair(how[i / 2]);
        for (int side = 0; side < 2; side++) {
            eap_password(p, side, i / 2 % 2 ? "bob" : "a.test", "geheim");
            p->s[side].ike->conns->cfg.unique = UNIQUE_NO;
        }
        pair_result(p, 0, pair_initiate(p, 0, "c"), true);
        pair_wait(p, 10);
        bool forgets = i % 2;
        struct conn *c = p->s[0].ike->conns;
        if (forgets) {
            p->filter = pair_lose_all;
            pair_terminate(p, 0, NULL, true);
            p->filter = NULL;
        }
        assert_int_equal(initiate_anew(p->s[0].ike, c, conn_child(c, "c"), NULL), 0);
        pair_run(p);
        for (int side = 0; side < 2; side++)
            assert_int_equal(p->s[side].ike->sa_count, forgets ? 1 : 2);
        eap_pair_end(p);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_and_server_agree_and_go_on),
        cmocka_unit_test(test_a_ppk_goes_with_eap_by_an_intermediate),
        cmocka_unit_test(test_a_ppk_with_eap_and_without_an_intermediate_is_none),
        cmocka_unit_test(test_every_message_may_be_lost_doubled_or_late),
        cmocka_unit_test(test_password_must_be_right_at_both_ends),
        cmocka_unit_test(test_only_the_name_that_is_allowed_is_taken),
        cmocka_unit_test(test_clients_connection_answers_nobody),
        cmocka_unit_test(test_server_that_asks_without_end_is_left),
        cmocka_unit_test(test_server_out_of_order_is_left),
        cmocka_unit_test(test_certificate_must_be_the_name_s_and_good),
        cmocka_unit_test(test_certificate_alone_is_no_proof),
        cmocka_unit_test(test_tls_packets_that_lie_end_it),
        cmocka_unit_test(test_tls_flight_without_end_is_left),
        cmocka_unit_test(test_success_before_tls_is_over_is_no_success),
        cmocka_unit_test(test_eap_alone_is_what_both_ends_say),
        cmocka_unit_test(test_initial_contact_counts_behind_eap),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("EAP between two daemons", tests, eap_make_files, eap_drop_files);
}
