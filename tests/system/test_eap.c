// SPDX-License-Identifier: Apache-2.0
// EAP-MSCHAPv2 with stock strongSwan as the client: the right password, a wrong one, a user that is not
// there, somebody else's password, a user behind any IKE identity. We prove ourselves by a certificate first.
// And as the server, with us as the client: the right password, a wrong one. Then EAP-TLS in both roles, and
// alone (RFC 5998).
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
    return lab_up(&lab, "espeap") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static int make_files(void **state)
{
    (void)state;
    snprintf(files, sizeof(files), "/tmp/espalier-eap-XXXXXX");
    assert_non_null(mkdtemp(files));
    MAKE("cd %s && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key && "
         "openssl req -new -x509 -days 60 -key ca.key -subj /CN=root -addext keyUsage=critical,keyCertSign "
         "-out ca.pem",
         files);
    for (int east = 0; east < 2; east++) {
        const char *name = east ? "east" : "west";
        MAKE(
            "cd %s && openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out %s.key && openssl "
            "req -new -key %s.key -subj /CN=%s -out %s.csr && printf 'subjectAltName=DNS:%s.example' >%s.ext "
            "&& openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile "
            "%s.ext -out %s.pem",
            files, name, name, name, name, name, name, name, name, name);
    }
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    sh("rm -rf %s", files);
    return 0;
}

#define SECRET(user, password) "  eap-1 {\n    id = " user "\n    secret = \"" password "\"\n  }\n"
#define CLIENT(user)           "auth = eap-mschapv2\n      eap_id = " user

#define PLUGINS "x509 constraints pubkey pkcs1 pkcs8 md4 des eap-identity eap-mschapv2 eap-tls"

// Both trust the authority; the one that is not known by a password has a certificate.
static void put_certs(const struct site *with)
{
    MAKE("for d in %s %s; do mkdir -p $d/swanctl/x509ca && cp %s/ca.pem $d/swanctl/x509ca/ || exit 1; done",
         lab.east.dir, lab.west.dir, files);
    MAKE("mkdir -p %s/swanctl/x509 %s/swanctl/private && cp %s/%s.pem %s/swanctl/x509/ && cp %s/%s.key "
         "%s/swanctl/private/",
         with->dir, with->dir, files, with->name, with->dir, files, with->name, with->dir);
}

static void start(const char *eap_id, const char *secret, const char *client, const char *its_secret)
{
    char remote[200], local[] = "auth = pubkey\n      certs = west.pem";
    snprintf(remote, sizeof(remote), "auth = eap-mschapv2\n      %s", eap_id);
    struct tunnel_options theirs = {.local = client,
                                    .remote = "auth = pubkey",
                                    .secrets = its_secret,
                                    .charon_plugins = PLUGINS},
                          ours = {.local = local,
                                  .remote = remote,
                                  .secrets = secret,
                                  .conn = "send_cert = always"};
    put_certs(&lab.west);
    assert_true(charon_start(&lab, &lab.east, &lab.west, &theirs));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &ours, no_card));
}

// strongSwan is the server, and we are the client.
static void start_client(const char *client, const char *secret, const char *its_secret)
{
    struct tunnel_options theirs = {.local = "auth = pubkey\n      certs = east.pem",
                                    .remote = "auth = eap-mschapv2\n      eap_id = %any",
                                    .secrets = its_secret,
                                    .conn = "send_cert = always",
                                    .charon_plugins = PLUGINS},
                          ours = {.local = client, .remote = "auth = pubkey", .secrets = secret};
    put_certs(&lab.east);
    assert_true(charon_start(&lab, &lab.east, &lab.west, &theirs));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &ours, no_card));
}

static void refused(const char *why)
{
    assert_false(initiate(&lab.east));
    assert_true(logged(&lab.west, why));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

static void test_right_password_opens_the_tunnel(void **state)
{
    char out[16384];
    (void)state;
    needs_strongswan();
    start("", SECRET("east.example", "geheim"), CLIENT("east.example"), SECRET("east.example", "geheim"));
    for (int i = 0; i < 2; i++) {
        assert_true(initiate(&lab.east));
        assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
        assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--rekey --ike site"), 0);
        assert_true(ping(&lab, &lab.west, &lab.east, 3));
        assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--terminate --ike site --timeout 10"), 0);
    }
    assert_true(logged(&lab.west, "authentication of 'east.example' with EAP successful"));
    assert_true(logged(&lab.east, "authentication of 'west.example' with EAP successful"));
    assert_true(logged(&lab.east, "authentication of 'west.example' with ECDSA_WITH_SHA256_DER successful"));
}

static void test_wrong_password_is_said_and_refused(void **state)
{
    (void)state;
    needs_strongswan();
    start("", SECRET("east.example", "geheim"), CLIENT("east.example"), SECRET("east.example", "Geheim"));
    refused("EAP-MS-CHAPv2 verification of 'east.example' failed: wrong password");
}

static void test_user_that_is_not_there_is_refused(void **state)
{
    (void)state;
    needs_strongswan();
    start("eap_id = %any", SECRET("bob", "geheim"), CLIENT("alice"), SECRET("alice", "geheim"));
    refused("verification of 'alice' failed: no EAP secret of that identity is loaded");
}

static void test_password_of_somebody_else_is_no_proof(void **state)
{
    (void)state;
    needs_strongswan();
    start("eap_id = alice", SECRET("bob", "geheim"), CLIENT("bob"), SECRET("bob", "geheim"));
    refused("the peer shows the password of 'bob', which is not whom eap_id 'alice' allows");
}

static void test_any_user_counts_as_who_he_shows_to_be(void **state)
{
    char out[16384];
    (void)state;
    needs_strongswan();
    start("eap_id = %any", SECRET("bob", "geheim"), CLIENT("bob"), SECRET("bob", "geheim"));
    assert_true(initiate(&lab.east));
    assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--list-sas --raw"), 0);
    assert_non_null(strstr(out, "remote-id=bob"));
}

static void test_we_show_our_password_to_strongswan(void **state)
{
    char out[16384];
    (void)state;
    needs_strongswan();
    start_client(CLIENT("bob"), SECRET("bob", "geheim"), SECRET("bob", "geheim"));
    for (int i = 0; i < 2; i++) {
        assert_true(initiate(&lab.west));
        assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
        assert_int_equal(swanctl(i ? &lab.west : &lab.east, out, sizeof(out), "--rekey --ike site"), 0);
        assert_true(ping(&lab, &lab.west, &lab.east, 3));
        assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--terminate --ike site --timeout 10"), 0);
    }
    assert_true(logged(&lab.west, "authentication of 'east.example' with ECDSA_WITH_SHA256_DER successful"));
    assert_true(logged(&lab.west, "authentication of 'east.example' with EAP successful"));
    assert_true(logged(&lab.east, "EAP method EAP_MSCHAPV2 succeeded, MSK established"));
    assert_true(logged(&lab.east, "authentication of 'west.example' with EAP successful"));
}

static void test_our_wrong_password_is_said_at_both_ends(void **state)
{
    (void)state;
    needs_strongswan();
    start_client(CLIENT("bob"), SECRET("bob", "Geheim"), SECRET("bob", "geheim"));
    assert_false(initiate(&lab.west));
    assert_true(logged(&lab.east, "EAP-MS-CHAPv2 verification failed"));
    assert_true(logged(&lab.west, "the server does not take the password of 'bob'"));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

// strongSwan 5.9.8's EAP-TLS is that of TLS 1.2: with 1.3 it has neither RFC 9190's key nor its last octet.
// Of strongSwan 6 (ESPALIER_CHARON_ROOT names a folder with another Debian) nothing but 1.3 is asked.
static const char *tls_version(void)
{
    return getenv("ESPALIER_CHARON_ROOT") ? "EAP-TLS by TLSv1.3" : "EAP-TLS by TLSv1.2";
}

static bool alone; // EAP is the only proof of either (RFC 5998)

static void start_tls(bool server, const char *theirs_eap, const char *ours_eap)
{
    char their_side[200], our_side[200];
    snprintf(their_side, sizeof(their_side), "auth = eap-tls\n      %s", theirs_eap);
    snprintf(our_side, sizeof(our_side), "auth = eap-tls\n      %s", ours_eap);
    const char *tls13 =
        getenv("ESPALIER_CHARON_ROOT") ? "tls {\n    version_min = 1.3\n    version_max = 1.3\n  }\n" : NULL;
    struct tunnel_options theirs = {.local = server ? their_side : "auth = pubkey\n      certs = east.pem",
                                    .remote = server ? "auth = pubkey" : their_side,
                                    .conn = "send_cert = always",
                                    .charon_plugins = PLUGINS,
                                    .charon_root = getenv("ESPALIER_CHARON_ROOT"),
                                    .charon_settings = tls13},
                          ours = {.local = server ? "auth = pubkey\n      certs = west.pem" : our_side,
                                  .remote = server ? our_side : "auth = pubkey",
                                  .conn = "send_cert = always"};
    if (alone) {
        theirs.local = "auth = eap-tls\n      certs = east.pem";
        theirs.remote = ours.remote = "auth = eap-tls";
        ours.local = "auth = eap-tls\n      certs = west.pem";
    }
    put_certs(&lab.west);
    put_certs(&lab.east);
    assert_true(charon_start(&lab, &lab.east, &lab.west, &theirs));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &ours, no_card));
}

static void both_ways(struct site *from, const char *tls)
{
    char out[16384];
    for (int i = 0; i < 2; i++) {
        assert_true(initiate(from));
        assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
        assert_int_equal(swanctl(i ? &lab.west : &lab.east, out, sizeof(out), "--rekey --ike site"), 0);
        assert_true(ping(&lab, &lab.west, &lab.east, 3));
        assert_int_equal(swanctl(from, out, sizeof(out), "--terminate --ike site --timeout 10"), 0);
    }
    assert_true(logged(&lab.west, tls));
    assert_true(logged(&lab.west, "authentication of 'east.example' with EAP successful"));
    assert_true(logged(&lab.east, "authentication of 'west.example' with EAP successful"));
}

static void test_eap_tls_of_strongswan_at_our_server(void **state)
{
    (void)state;
    needs_strongswan();
    start_tls(true, "certs = east.pem", "");
    both_ways(&lab.east, tls_version());
}

static void test_eap_tls_of_strongswan_under_another_name(void **state)
{
    (void)state;
    needs_strongswan();
    start_tls(true, "certs = east.pem\n      eap_id = east.example", "eap_id = *.example");
    both_ways(&lab.east, tls_version());
}

static void test_our_eap_tls_at_strongswan(void **state)
{
    (void)state;
    needs_strongswan();
    start_tls(false, "", "certs = west.pem");
    both_ways(&lab.west, tls_version());
}

static void test_eap_tls_alone_in_both_roles(void **state)
{
    (void)state;
    needs_strongswan();
    alone = true;
    start_tls(true, "", "");
    alone = false;
    both_ways(&lab.east, tls_version());
    both_ways(&lab.west, tls_version());
    assert_false(file_says(lab.west.dir, "daemon.log", "with ECDSA_WITH_SHA256_DER successful"));
}

static void test_certificate_of_another_name_is_refused_by_eap_tls(void **state)
{
    (void)state;
    needs_strongswan();
    start_tls(true, "certs = east.pem\n      eap_id = east.example", "eap_id = bob");
    refused("the peer says that it is 'east.example', which is not whom eap_id 'bob' allows");
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_right_password_opens_the_tunnel),
        T(test_wrong_password_is_said_and_refused),
        T(test_user_that_is_not_there_is_refused),
        T(test_password_of_somebody_else_is_no_proof),
        T(test_any_user_counts_as_who_he_shows_to_be),
        T(test_we_show_our_password_to_strongswan),
        T(test_our_wrong_password_is_said_at_both_ends),
        T(test_eap_tls_of_strongswan_at_our_server),
        T(test_eap_tls_of_strongswan_under_another_name),
        T(test_our_eap_tls_at_strongswan),
        T(test_certificate_of_another_name_is_refused_by_eap_tls),
        T(test_eap_tls_alone_in_both_roles),
    };
    if (argc > 1 || getenv("ESPALIER_CHARON_ROOT"))
        cmocka_set_test_filter(argc > 1 ? argv[1] : "*tls*");
    return cmocka_run_group_tests_name("EAP-MSCHAPv2 with strongSwan", tests, make_files, drop_files);
}
