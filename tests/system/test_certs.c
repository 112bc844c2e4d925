// SPDX-License-Identifier: Apache-2.0
// Certificates with stock strongSwan, in both roles: every kind of key, RSA both ways, a chain of three, one
// end by certificate and the other by a shared secret; and what neither end may take: another authority,
// another identity, what is expired, what is revoked. Keys and certificates are made by the openssl command,
// loaded by stock swanctl; each tunnel carries traffic and each log says by what it was authenticated.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/cert_lab.h"
#include "tests/unit/pki_files.h"

static struct lab lab;

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espcert") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

// --- files ---

static int make_files(void **state)
{
    (void)state;
    certs_begin();
    make_ca("ca", "/C=CH/O=Lab/CN=root", NULL, "");
    make_ca("other", "/C=CH/O=Lab/CN=root", NULL, ""); // the same name, another key
    make_ca("mid", "/C=CH/O=Lab/CN=mid", "ca", "");
    make_ca("low", "/C=CH/O=Lab/CN=low", "mid", "");
    static const char *const kinds[][2] = {{"rsa", "RSA -pkeyopt rsa_keygen_bits:3072"},
                                           {"p256", "EC -pkeyopt ec_paramgen_curve:P-256"},
                                           {"p384", "EC -pkeyopt ec_paramgen_curve:P-384"},
                                           {"p521", "EC -pkeyopt ec_paramgen_curve:P-521"},
                                           {"ed25519", "ED25519"},
                                           {"ed448", "ED448"}};
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char name[40];
        for (int east = 0; east < 2; east++) {
            snprintf(name, sizeof(name), "%s-%s", kinds[i][0], east ? "east" : "west");
            make_end(name, "ca", kinds[i][1], east ? "east.example" : "west.example", "", "");
        }
    }
    make_end("low-west", "low", kinds[1][1], "west.example", "", "");
    make_end("low-east", "low", kinds[1][1], "east.example", "", "");
    make_end("false-west", "other", kinds[1][1], "west.example", "", "");
    make_end("false-east", "other", kinds[1][1], "east.example", "", "");
    make_end("wrong-west", "ca", kinds[1][1], "north.example", "", "");
    make_end("wrong-east", "ca", kinds[1][1], "north.example", "", "");
    make_end("old-west", "ca", kinds[1][1], "west.example", "", PKI_EXPIRED);
    make_end("old-east", "ca", kinds[1][1], "east.example", "", PKI_EXPIRED);
    make_crl("ca", "ca", "p384-west");
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    certs_end();
    return 0;
}

// --- a tunnel ---

static void start(const struct end *west, const struct end *east)
{
    struct tunnel_options o;
    struct end_lines lines;
    prepare(&lab.east, east, west, &o, &lines);
    assert_true(charon_start(&lab, &lab.east, &lab.west, &o));
    prepare(&lab.west, west, east, &o, &lines);
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
}

// Each end begins once; traffic passes both ways.
static void both_ways(void)
{
    char out[8192];
    struct site *first[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        assert_true(initiate(first[i]));
        assert_true(ping(&lab, &lab.west, &lab.east, 3) && ping(&lab, &lab.east, &lab.west, 3));
        assert_int_equal(swanctl(first[i], out, sizeof(out), "--terminate --ike site --timeout 10"), 0);
    }
}

static void again(void)
{
    lab_down(&lab);
    assert_true(lab_up(&lab, "espcert"));
}

static void test_every_kind_of_key_in_both_roles(void **state)
{
    static const struct {
        const char *key, *auth, *with;
    } cases[] = {
        {"rsa", "ike:rsa/pss-sha256", "RSA_EMSA_PSS_SHA2_256_SALT_32"},
        {"rsa", "ike:rsa-sha384", "RSA_EMSA_PKCS1_SHA2_384"},
        {"p256", NULL, "ECDSA_WITH_SHA256_DER"},
        {"p384", NULL, "ECDSA_WITH_SHA384_DER"},
        {"p521", NULL, "ECDSA_WITH_SHA512_DER"},
        {"ed25519", NULL, "ED25519"},
        {"ed448", NULL, "ED448"},
    };
    (void)state;
    needs_strongswan();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char west[40], east[40];
        snprintf(west, sizeof(west), "%s-west", cases[i].key);
        snprintf(east, sizeof(east), "%s-east", cases[i].key);
        if (i)
            again();
        start(&(struct end){.cert = west, .auth = cases[i].auth},
              &(struct end){.cert = east, .auth = cases[i].auth});
        both_ways();
        assert_true(authenticated(&lab.west, "east.example", cases[i].with));
        assert_true(authenticated(&lab.east, "west.example", cases[i].with));
        assert_true(logged(&lab.west, "received end entity cert \"C=CH, O=Lab, CN="));
    }
}

static void test_chain_of_three_certificates(void **state)
{
    (void)state;
    needs_strongswan();
    start(&(struct end){.cert = "low-west", .chain = "low mid"},
          &(struct end){.cert = "low-east", .chain = "low mid"});
    both_ways();
    assert_true(logged(&lab.west, "sending issuer cert \"C=CH, O=Lab, CN=mid\""));
    assert_true(logged(&lab.west, "received issuer cert \"C=CH, O=Lab, CN=low\""));
    assert_true(authenticated(&lab.west, "east.example", "ECDSA_WITH_SHA256_DER"));
    assert_true(authenticated(&lab.east, "west.example", "ECDSA_WITH_SHA256_DER"));
}

static void test_each_end_in_its_own_way(void **state)
{
    (void)state;
    needs_strongswan();
    start(&(struct end){.cert = "p384-west"}, &(struct end){.cert = NULL});
    both_ways();
    assert_true(authenticated(&lab.west, "east.example", "pre-shared key"));
    assert_true(authenticated(&lab.east, "west.example", "ECDSA_WITH_SHA384_DER"));
    again();
    start(&(struct end){.cert = NULL}, &(struct end){.cert = "rsa-east"});
    both_ways();
    assert_true(authenticated(&lab.east, "west.example", "pre-shared key"));
}

static void test_subject_is_the_identity_where_none_is_given(void **state)
{
    struct tunnel_options o;
    struct end_lines lines;
    (void)state;
    needs_strongswan();
    prepare(&lab.east, &(struct end){.cert = "p256-east"}, &(struct end){.cert = ""}, &o, &lines);
    o.remote_id = "C=CH, O=Lab, CN=p256-west";
    assert_true(charon_start(&lab, &lab.east, &lab.west, &o));
    prepare(&lab.west, &(struct end){.cert = "p256-west", .id = ""}, &(struct end){.cert = ""}, &o, &lines);
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    both_ways();
    assert_true(authenticated(&lab.east, "C=CH, O=Lab, CN=p256-west", "ECDSA_WITH_SHA256_DER"));
}

// What charon sends is not what espalierd may take, whichever end begins.
static void refused(const char *cert, const char *why)
{
    start(&(struct end){.cert = "p256-west"}, &(struct end){.cert = cert, .id = "east.example"});
    assert_false(initiate(&lab.east));
    assert_false(initiate(&lab.west));
    assert_true(logged(&lab.west, why));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
    assert_true(unanswered(&lab, &lab.east, &lab.west, 1));
}

static void test_other_authority_is_refused(void **state)
{
    (void)state;
    needs_strongswan();
    refused("false-east", "is of no trusted CA");
}

static void test_expired_is_refused(void **state)
{
    (void)state;
    needs_strongswan();
    refused("old-east", "expired");
}

// charon itself would put the certificate's subject in the place of an identity that is not in it, so it is
// espalierd's connection that names another one.
static void test_wrong_identity_is_refused(void **state)
{
    struct tunnel_options o;
    struct end_lines lines;
    (void)state;
    needs_strongswan();
    prepare(&lab.east, &(struct end){.cert = "wrong-east", .id = "north.example"}, &(struct end){.cert = ""},
            &o, &lines);
    assert_true(charon_start(&lab, &lab.east, &lab.west, &o));
    prepare(&lab.west, &(struct end){.cert = "p256-west"}, &(struct end){.cert = ""}, &o, &lines);
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    assert_false(initiate(&lab.east));
    assert_false(initiate(&lab.west));
    assert_true(logged(&lab.west, "no matching peer config found"));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

// The revocation list is a file of espalierd's; the certificate is the peer's.
static void test_revoked_is_refused(void **state)
{
    (void)state;
    needs_strongswan();
    make_crl("ca", "ca", "p256-east");
    start(&(struct end){.cert = "p521-west", .crl = "ca"}, &(struct end){.cert = "p256-east"});
    assert_false(initiate(&lab.east));
    assert_false(initiate(&lab.west));
    assert_true(logged(&lab.west, "is revoked"));
    assert_true(unanswered(&lab, &lab.west, &lab.east, 1));
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_every_kind_of_key_in_both_roles), T(test_chain_of_three_certificates),
        T(test_each_end_in_its_own_way),         T(test_subject_is_the_identity_where_none_is_given),
        T(test_other_authority_is_refused),      T(test_expired_is_refused),
        T(test_wrong_identity_is_refused),       T(test_revoked_is_refused),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("certificates with strongSwan", tests, make_files, drop_files);
}
