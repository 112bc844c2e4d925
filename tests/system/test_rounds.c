// SPDX-License-Identifier: Apache-2.0
// Two and three rounds of authentication (RFC 4739) with stock strongSwan in both roles: a certificate or a
// pre-shared key, and then EAP-MSCHAPv2, EAP-TLS or another certificate; the server with several of its own;
// and a second proof that is wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

static struct lab lab;
static char files[96];
static char *const no_card[] = {"--card", "none", NULL};

#define MAKE(...) assert_int_equal(sh(__VA_ARGS__), 0)

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "esprnd") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static int make_files(void **state)
{
    static const char *const names[] = {"west", "east", "west2", "east2"};
    (void)state;
    snprintf(files, sizeof(files), "/tmp/espalier-rounds-XXXXXX");
    assert_non_null(mkdtemp(files));
    MAKE("cd %s && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key && "
         "openssl req -new -x509 -days 60 -key ca.key -subj /CN=root -addext keyUsage=critical,keyCertSign "
         "-out ca.pem",
         files);
    for (int i = 0; i < 4; i++)
        MAKE("cd %s && n=%s && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $n.key && "
             "openssl req -new -key $n.key -subj /CN=$n -out $n.csr && printf "
             "'subjectAltName=DNS:%%s.example' "
             "$n >$n.ext && openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 "
             "-extfile $n.ext -out $n.pem",
             files, names[i]);
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    sh("rm -rf %s", files);
    return 0;
}

#define PLUGINS "x509 constraints pubkey pkcs1 pkcs8 md4 des eap-identity eap-mschapv2 eap-tls"
#define SECRET  "  eap-1 {\n    id = bob\n    secret = \"right\"\n  }\n"
#define WRONG   "  eap-1 {\n    id = bob\n    secret = \"wrong\"\n  }\n"
// One more section behind the one that the harness writes.
#define THEN(section) "\n    }\n    " section " {\n      "

struct ends { // how either end proves itself: its own section or sections, as the other end has them too
    const char *client, *client_seen, *server, *server_seen;
};
static const struct ends
    password = {"auth = pubkey\n      certs = %s.pem" THEN(
                    "local-2") "auth = eap-mschapv2\n      eap_id = bob\n      id = %s.example",
                "auth = pubkey" THEN(
                    "remote-2") "auth = eap-mschapv2\n      eap_id = %%any\n      id = %s.example",
                "auth = pubkey\n      certs = %s.pem", "auth = pubkey"},
    shared = {"auth = psk" THEN("local-2") "auth = eap-mschapv2\n      eap_id = bob\n      id = %s.example",
              "auth = psk" THEN(
                  "remote-2") "auth = eap-mschapv2\n      eap_id = %%any\n      id = %s.example",
              "auth = psk", "auth = psk"},
    tls = {"auth = pubkey\n      certs = %s.pem" THEN(
               "local-2") "auth = eap-tls\n      certs = %s2.pem\n      id = %s2.example",
           "auth = pubkey" THEN("remote-2") "auth = eap-tls\n      id = %s2.example",
           "auth = pubkey\n      certs = %s.pem", "auth = pubkey"},
    certs = {"auth = psk" THEN("local-2") "auth = pubkey\n      certs = %s2.pem\n      id = %s2.example",
             "auth = psk" THEN("remote-2") "auth = pubkey\n      id = %s2.example", "auth = psk",
             "auth = psk"},
    twice = {"auth = pubkey\n      certs = %s.pem" THEN(
                 "local-2") "auth = pubkey\n      certs = %s2.pem\n      id = %s2.example",
             "auth = pubkey" THEN("remote-2") "auth = pubkey\n      id = %s2.example",
             "auth = pubkey\n      certs = %s.pem" THEN(
                 "local-2") "auth = pubkey\n      certs = %s2.pem\n      id = %s2.example",
             "auth = pubkey" THEN("remote-2") "auth = pubkey\n      id = %s2.example"},
    thrice =
        {"auth = psk" THEN("local-2") "auth = pubkey\n      certs = %s2.pem\n      id = %s2.example" THEN(
             "local-3") "auth = eap-mschapv2\n      eap_id = bob\n      id = %s.example",
         "auth = psk" THEN("remote-2") "auth = pubkey\n      id = %s2.example" THEN(
             "remote-3") "auth = eap-mschapv2\n      eap_id = %%any\n      id = %s.example",
         "auth = psk", "auth = psk"},
    three_each = {"auth = pubkey\n      certs = %s.pem" THEN(
                      "local-2") "auth = pubkey\n      certs = %s2.pem\n      "
                                 "id = %s2.example" THEN("local-3") "auth = psk\n      id = "
                                                                    "%s.example",
                  "auth = pubkey" THEN("remote-2") "auth = pubkey\n      id = %s2.example" THEN(
                      "remote-3") "auth = psk\n      id = %s.example",
                  "auth = pubkey\n      certs = %s.pem" THEN(
                      "local-2") "auth = pubkey\n      certs = %s2.pem\n      "
                                 "id = %s2.example" THEN("local-3") "auth = psk\n      id = "
                                                                    "%s.example",
                  "auth = pubkey" THEN("remote-2") "auth = pubkey\n      id = %s2.example" THEN(
                      "remote-3") "auth = psk\n      id = %s.example"};

#define KEY_FIRST                                                                                            \
    "auth = psk" THEN("local-2") "auth = pubkey\n      certs = %s.pem\n      id = %s.example" THEN(          \
        "local-3") "auth = pubkey\n      certs = %s2.pem\n      id = %s2.example"
#define KEY_FIRST_SEEN                                                                                       \
    "auth = psk" THEN("remote-2") "auth = pubkey\n      id = %s.example" THEN(                               \
        "remote-3") "auth = pubkey\n      id = %s2.example"
static const struct ends key_first = {KEY_FIRST, KEY_FIRST_SEEN, KEY_FIRST, KEY_FIRST_SEEN};

static const struct ends first_alone = {
    "auth = pubkey\n      certs = %s.pem",
    "auth = pubkey" THEN("remote-2") "auth = eap-mschapv2\n      eap_id = %%any\n      id = %s.example",
    "auth = pubkey\n      certs = %s.pem", "auth = pubkey"};

// Where there is one section the harness writes the identity; of two each has its own.
static char *text_of(const char *format, const char *name, char *buf, size_t size)
{
    char body[600];
    snprintf(body, sizeof(body), format, name, name, name, name);
    const char *second = strstr(body, "\n    }\n");
    if (second)
        snprintf(buf, size, "id = %s.example\n      %s", name, body);
    else
        snprintf(buf, size, "%s", body);
    return buf;
}

static void put_certs(void)
{
    const struct site *sites[] = {&lab.east, &lab.west};
    for (int i = 0; i < 2; i++)
        MAKE("d=%s/swanctl n=%s && mkdir -p $d/x509ca $d/x509 $d/private && cp %s/ca.pem $d/x509ca/ && "
             "cp %s/$n.pem %s/${n}2.pem $d/x509/ && cp %s/$n.key %s/${n}2.key $d/private/",
             sites[i]->dir, sites[i]->name, files, files, files, files, files);
}

// west is ours, east strongSwan's.
static void start(const struct ends *e, bool we_begin, const char *their_secret)
{
    char t[4][700];
    const char *client = we_begin ? "west" : "east", *server = we_begin ? "east" : "west";
    char *own = text_of(e->client, client, t[0], 700), *seen = text_of(e->client_seen, client, t[1], 700),
         *its = text_of(e->server, server, t[2], 700), *its_seen = text_of(e->server_seen, server, t[3], 700);
    const char *id = strstr(e->client_seen, THEN("remote-2")) ? "" : NULL,
               *its_id = e == &twice || e == &three_each || e == &key_first ? "" : NULL;
    struct tunnel_options theirs = {.local_id = we_begin            ? its_id
                                                : e == &first_alone ? NULL
                                                                    : id,
                                    .remote_id = we_begin ? id : its_id,
                                    .local = we_begin ? its : own,
                                    .remote = we_begin ? seen : its_seen,
                                    .secrets = their_secret,
                                    .conn = "send_cert = always",
                                    .charon_plugins = PLUGINS},
                          ours = {.local_id = we_begin ? id : its_id,
                                  .remote_id = we_begin ? its_id : id,
                                  .local = we_begin ? own : its,
                                  .remote = we_begin ? its_seen : seen,
                                  .secrets = SECRET,
                                  .conn = "send_cert = always"};
    put_certs();
    assert_true(charon_start(&lab, &lab.east, &lab.west, &theirs));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &ours, no_card));
}

static void tunnel_works(const struct ends *e, const char *proof)
{
    char out[16384];
    for (int we_begin = 0; we_begin < 2; we_begin++) {
        struct site *from = we_begin ? &lab.west : &lab.east;
        start(e, we_begin, SECRET);
        assert_true(initiate(from));
        assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
        assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --ike site"), 0);
        assert_true(ping(&lab, &lab.west, &lab.east, 3));
        assert_true(logged(we_begin ? &lab.east : &lab.west, proof));
        assert_int_equal(swanctl(from, out, sizeof(out), "--terminate --ike site --timeout 10"), 0);
        if (!we_begin) {
            tear_down(NULL);
            set_up(NULL);
        }
    }
}

static void test_certificate_and_then_a_password(void **state)
{
    (void)state;
    needs_strongswan();
    tunnel_works(&password, "with EAP successful");
}

static void test_shared_key_and_then_a_password(void **state)
{
    (void)state;
    needs_strongswan();
    tunnel_works(&shared, "with EAP successful");
}

static void test_certificate_and_then_eap_tls(void **state)
{
    (void)state;
    needs_strongswan();
    tunnel_works(&tls, "with EAP successful");
}

static void test_shared_key_and_then_a_certificate(void **state)
{
    (void)state;
    needs_strongswan();
    tunnel_works(&certs, "2.example' with ECDSA_WITH_SHA256_DER successful");
}

static void test_two_certificates_of_either_end(void **state)
{
    (void)state;
    needs_strongswan();
    tunnel_works(&twice, "2.example' with ECDSA_WITH_SHA256_DER successful");
}

static void test_shared_key_certificate_and_password(void **state)
{
    (void)state;
    needs_strongswan();
    tunnel_works(&thrice, "with EAP successful");
}

static void test_three_proofs_of_either_end(void **state)
{
    (void)state;
    needs_strongswan();
    tunnel_works(&three_each, "example' with pre-shared key successful");
}

// strongSwan as the client does not go on where its own proof in a round was by a pre-shared key and the
// server has further ones (ike_auth.c, require_strict: its configured rounds have to be done by then, whoever
// the server is). As the server it takes that.
static void test_shared_key_first_of_three_proofs_of_either_end(void **state)
{
    (void)state;
    needs_strongswan();
    start(&key_first, true, SECRET);
    assert_true(initiate(&lab.west));
    assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
    assert_true(logged(&lab.east, "2.example' with ECDSA_WITH_SHA256_DER successful"));
    tear_down(NULL);
    set_up(NULL);
    start(&key_first, false, SECRET);
    assert_false(initiate(&lab.east));
    assert_true(logged(&lab.east, "unacceptable: insufficient authentication rounds"));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

static void test_wrong_password_behind_the_right_certificate_opens_nothing(void **state)
{
    (void)state;
    needs_strongswan();
    for (int we_begin = 0; we_begin < 2; we_begin++) {
        start(&password, we_begin, WRONG);
        assert_false(initiate(we_begin ? &lab.west : &lab.east));
        assert_true(logged(&lab.west, we_begin
                                          ? "the server does not take the password of 'bob'"
                                          : "EAP-MS-CHAPv2 verification of 'bob' failed: wrong password"));
        assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
        if (!we_begin) {
            tear_down(NULL);
            set_up(NULL);
        }
    }
}

// A client with the first proof alone: strongSwan says so by ANOTHER_AUTH_FOLLOWS, or does not.
static void test_first_proof_alone_opens_nothing(void **state)
{
    (void)state;
    needs_strongswan();
    start(&first_alone, false, SECRET);
    assert_false(initiate(&lab.east));
    assert_true(logged(&lab.west, "no matching peer config found"));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_certificate_and_then_a_password),
        T(test_shared_key_and_then_a_password),
        T(test_certificate_and_then_eap_tls),
        T(test_shared_key_and_then_a_certificate),
        T(test_two_certificates_of_either_end),
        T(test_shared_key_certificate_and_password),
        T(test_three_proofs_of_either_end),
        T(test_shared_key_first_of_three_proofs_of_either_end),
        T(test_wrong_password_behind_the_right_certificate_opens_nothing),
        T(test_first_proof_alone_opens_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("several rounds of authentication with strongSwan", tests, make_files,
                                       drop_files);
}
