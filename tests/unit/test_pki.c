// SPDX-License-Identifier: Apache-2.0
// The certificate store and the judgement of a peer's certificates, without revocation: certificates are made
// by the openssl command and, where it is there, strongSwan's pki; what a stranger can send is cut, doubled
// and made up.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/pki_rig.h"

#define MOON RIG_END "subjectAltName=DNS:moon.test,email:moon@lab.test,IP:192.0.2.1,IP:2001:db8::1\n"
enum { DAY = 86400, YEAR = 365 * DAY };

static struct pki *with_root(void)
{
    struct pki *p = pki_new();
    assert_non_null(p);
    rig_add(p, PKI_CA, "root");
    return p;
}

static int begin(void **state)
{
    (void)state;
    pki_files_begin();
    rig_cert("root", NULL, RIG_CA);
    rig_cert("sub", "root", RIG_CA "authorityKeyIdentifier=keyid\n");
    rig_cert("moon", "root", MOON);
    rig_cert("deep", "sub", RIG_END "subjectAltName=DNS:deep.test\n");
    rig_cert("other", NULL, RIG_CA);
    rig_cert("stranger", "other", RIG_END "subjectAltName=DNS:moon.test\n");
    rig_cert("alone", NULL, "basicConstraints=CA:FALSE\nsubjectAltName=DNS:alone.test\n");
    return 0;
}

static int end(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

// ---- identities

static void test_certificate_is_of_its_subject_and_alternative_names_alone(void **state)
{
    static const struct {
        const char *id;
        bool yes;
    } ids[] = {
        {"dns:moon.test", true},
        {"dns:MOON.test", true},
        {"dns:moon.tes", false},
        {"dns:moon", false}, // the common name
        {"dns:*.test", false},
        {"dns:192.0.2.1", false},
        {"email:moon@lab.test", true},
        {"email:moon.test", false},
        {"dns:moon@lab.test", false},
        {"ip:192.0.2.1", true},
        {"ip:192.0.2.2", false},
        {"ip:2001:db8::1", true},
        {"ip:2001:db8::2", false},
        {"dn:C=CH, O=Lab, CN=moon", true},
        {"dn:C=CH, O=lab, CN=MOON", true},
        {"dn:C=CH, O=Lab, CN=*", true},
        {"dn:C=CH, O=Lab", false},
        {"dn:CN=moon, O=Lab, C=CH", false},
        {"dn:C=CH, O=Lab, CN=sun", false},
    };
    struct pki *p = with_root();
    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        const struct rig_try t = {.certs = "moon", .id = ids[i].id};
        if (ids[i].yes)
            rig_valid(p, &t);
        else
            rig_refused(p, &t, "not of the peer's identity");
    }
    pki_free(p);
}

static void test_alternative_name_with_a_zero_octet_is_not_its_beginning(void **state)
{
    struct pki *p = with_root();
    (void)state;
    // DNS:moon.test\0.evil
    rig_cert("zero", "root",
             RIG_END "subjectAltName=DER:3012821"
                     "06d6f6f6e2e74657374002e6576696c31\n");
    rig_refused(p, &(struct rig_try){"zero", "dns:moon.test", {0}, 0}, "not of the peer's identity");
    pki_free(p);
}

// ---- paths

static void test_path_needs_a_trusted_ca_at_its_end(void **state)
{
    struct pki *p = with_root();
    (void)state;
    rig_valid(p, &(struct rig_try){.certs = "moon", .id = "dns:moon.test"});
    rig_refused(p, &(struct rig_try){.certs = "stranger", .id = "dns:moon.test"},
                "\"C=CH, O=Lab, CN=stranger\" is of no trusted CA: its issuer is \"C=CH, O=Lab, CN=other\"");
    // its own root besides it changes nothing
    rig_refused(p, &(struct rig_try){.certs = "stranger other", .id = "dns:moon.test"},
                "\"C=CH, O=Lab, CN=other\" is self-signed and no trusted CA");
    rig_refused(p, &(struct rig_try){.certs = "alone", .id = "dns:alone.test"},
                "is self-signed and no trusted CA");
    pki_free(p);
}

static void test_intermediate_comes_from_the_peer_or_the_store(void **state)
{
    struct pki *p = with_root();
    (void)state;
    rig_refused(p, &(struct rig_try){.certs = "deep", .id = "dns:deep.test"},
                "its issuer is \"C=CH, O=Lab, CN=sub\"");
    rig_valid(p, &(struct rig_try){.certs = "deep sub", .id = "dns:deep.test"});
    rig_valid(p, &(struct rig_try){.certs = "deep stranger moon sub root", .id = "dns:deep.test"});
    rig_add(p, PKI_X509, "sub");
    rig_valid(p, &(struct rig_try){.certs = "deep", .id = "dns:deep.test"});
    pki_free(p);
    // an intermediate that is loaded as a CA is the end of the path
    p = pki_new();
    rig_add(p, PKI_CA, "sub");
    rig_valid(p, &(struct rig_try){.certs = "deep", .id = "dns:deep.test"});
    rig_refused(p, &(struct rig_try){.certs = "moon", .id = "dns:moon.test"}, "of no trusted CA");
    pki_free(p);
}

static void test_cas_of_a_connection_are_trusted_alone(void **state)
{
    struct pki *p = with_root();
    const struct slice other = rig_der("other"), root = rig_der("root");
    (void)state;
    rig_refused(p, &(struct rig_try){"moon", "dns:moon.test", {.cacerts = &other, .cacert_count = 1}, 0},
                "CN=root\" is self-signed and no trusted CA of this connection");
    rig_valid(p, &(struct rig_try){"stranger", "dns:moon.test", {.cacerts = &other, .cacert_count = 1}, 0});
    pki_clear(p);
    rig_valid(p, &(struct rig_try){"moon", "dns:moon.test", {.cacerts = &root, .cacert_count = 1}, 0});
    rig_refused(p, &(struct rig_try){.certs = "moon", .id = "dns:moon.test"}, "of no trusted CA");
    pki_free(p);
}

static void test_validity_is_held_against_the_time_given(void **state)
{
    struct pki *p = with_root();
    (void)state;
    rig_refused(p, &(struct rig_try){"moon", "dns:moon.test", {0}, rig_now() + 11LL * YEAR},
                " has expired, 20");
    rig_refused(p, &(struct rig_try){"moon", "dns:moon.test", {0}, rig_now() - DAY},
                "is not valid before 20");
    pki_free(p);
}

static void test_who_is_no_ca_issues_nothing(void **state)
{
    struct pki *p = with_root();
    (void)state;
    rig_cert("fake", "moon", RIG_END "subjectAltName=DNS:fake.test\n"); // by an end certificate
    rig_cert("noca", "root",
             "keyUsage=keyCertSign,digitalSignature\nsubjectKeyIdentifier=hash\n"); // no basicConstraints
    rig_cert("fake2", "noca", RIG_END "subjectAltName=DNS:fake.test\n");
    rig_cert("nosign", "root",
             "basicConstraints=critical,CA:TRUE\nkeyUsage=digitalSignature\nsubjectKeyIdentifier=hash\n");
    rig_cert("fake3", "nosign", RIG_END "subjectAltName=DNS:fake.test\n");
    rig_refused(p, &(struct rig_try){.certs = "fake moon", .id = "dns:fake.test"}, "CN=");
    rig_refused(p, &(struct rig_try){.certs = "fake2 noca", .id = "dns:fake.test"}, "CN=noca");
    rig_refused(p, &(struct rig_try){.certs = "fake3 nosign", .id = "dns:fake.test"}, "CN=");
    // nor does loading them as a CA help
    struct esp_error err = {0};
    struct slice der = rig_der("moon");
    assert_int_equal(pki_add(p, PKI_CA, der.p, der.len, &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"C=CH, O=Lab, CN=moon\" is no CA certificate"));
    der = rig_der("noca");
    assert_int_equal(pki_add(p, PKI_CA, der.p, der.len, &err), -EINVAL);
    pki_free(p);
}

static void test_constraints_of_a_ca_hold_below_it(void **state)
{
    struct pki *p = with_root();
    (void)state;
    rig_cert(
        "short", "root",
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign\nsubjectKeyIdentifier=hash\n");
    rig_cert("below", "short", RIG_CA);
    rig_cert("far", "below", RIG_END "subjectAltName=DNS:far.test\n");
    rig_cert("near", "short", RIG_END "subjectAltName=DNS:near.test\n");
    rig_valid(p, &(struct rig_try){.certs = "near short", .id = "dns:near.test"});
    rig_refused(p, &(struct rig_try){.certs = "far below short", .id = "dns:far.test"},
                "path length constraint exceeded");
    rig_cert("named", "root",
             RIG_CA "nameConstraints=critical,permitted;DNS:lab.test,excluded;DNS:no.lab.test\n");
    rig_cert("in", "named", RIG_END "subjectAltName=DNS:a.lab.test\n");
    rig_cert("out", "named", RIG_END "subjectAltName=DNS:moon.test\n");
    rig_cert("not", "named", RIG_END "subjectAltName=DNS:a.no.lab.test\n");
    rig_valid(p, &(struct rig_try){.certs = "in named", .id = "dns:a.lab.test"});
    rig_refused(p, &(struct rig_try){.certs = "out named", .id = "dns:moon.test"},
                "permitted subtree violation");
    rig_refused(p, &(struct rig_try){.certs = "not named", .id = "dns:a.no.lab.test"},
                "excluded subtree violation");
    pki_free(p);
}

static void test_usage_of_an_end_certificate_allows_ike(void **state)
{
    static const struct {
        const char *ext, *says; // NULL: valid
    } v[] = {
        {"subjectAltName=DNS:u.test\n", NULL}, // no keyUsage at all
        {"keyUsage=digitalSignature\n", NULL},
        {"keyUsage=nonRepudiation\n", NULL},
        {"keyUsage=keyEncipherment\n", "\"C=CH, O=Lab, CN=use\": its keyUsage allows no signatures"},
        {"keyUsage=digitalSignature\nextendedKeyUsage=1.3.6.1.5.5.7.3.17\n", NULL},
        {"extendedKeyUsage=serverAuth\n", NULL},
        {"extendedKeyUsage=clientAuth\n", NULL},
        {"extendedKeyUsage=codeSigning,anyExtendedKeyUsage\n", NULL},
        {"extendedKeyUsage=codeSigning\n", "its extendedKeyUsage is for neither IKE nor TLS"},
        {"1.2.3.4=critical,ASN1:NULL\n", "unhandled critical extension"},
        {"1.2.3.4=ASN1:NULL\n", NULL},
    };
    struct pki *p = with_root();
    (void)state;
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        char ext[300];
        snprintf(ext, sizeof(ext), "%s%s", v[i].ext, i ? "subjectAltName=DNS:u.test\n" : "");
        rig_cert("use", "root", ext);
        const struct rig_try t = {.certs = "use", .id = "dns:u.test"};
        if (v[i].says)
            rig_refused(p, &t, v[i].says);
        else
            rig_valid(p, &t);
    }
    pki_free(p);
}

static void test_weak_keys_and_hashes_are_refused(void **state)
{
    struct pki *p = with_root();
    const struct slice root = rig_der("root");
    (void)state;
    pki_run("openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out weak.pem && "
            "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem && "
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem");
    rig_cert("weak", "root", RIG_END "subjectAltName=DNS:weak.test\n");
    rig_refused(p, &(struct rig_try){.certs = "weak", .id = "dns:weak.test"},
                "\"C=CH, O=Lab, CN=weak\": RSA of 1024 bits: 2048 to 8192 are taken");
    pki_run("openssl req -new -key rsa.pem -subj '/C=CH/O=Lab/CN=old' -out r.csr && printf "
            "'subjectAltName=DNS:old.test' >e && "
            "openssl x509 -req -in r.csr -CA root.crt -CAkey root.pem -sha1 -days 30 -extfile e -outform DER "
            "-out old.der");
    rig_refused(p, &(struct rig_try){.certs = "old", .id = "dns:old.test"}, "CN=old");
    // what the connection asks for besides
    rig_cert("rsa", "root", RIG_END "subjectAltName=DNS:rsa.test\n");
    rig_cert("p384", "root", RIG_END "subjectAltName=DNS:p384.test\n");
    rig_valid(p, &(struct rig_try){"rsa", "dns:rsa.test", {.rsa_bits = 2048}, 0});
    rig_refused(p, &(struct rig_try){"rsa", "dns:rsa.test", {.rsa_bits = 3072}, 0},
                "its RSA key has 2048 bits, the connection wants 3072");
    rig_refused(p, &(struct rig_try){"p384", "dns:p384.test", {.ecdsa_bits = 384}, 0},
                "CN=root\": its ECDSA key has 256 bits, the connection wants 384");
    rig_refused(p, &(struct rig_try){"rsa", "dns:rsa.test", {.key_types = 1u << CR_KEY_ECDSA}, 0},
                "its key is RSA, which the connection does not take");
    rig_refused(p,
                &(struct rig_try){"rsa",
                                  "dns:rsa.test",
                                  {.cert_hashes = 1u << CR_HASH_SHA384, .cacerts = &root, .cacert_count = 1},
                                  0},
                "is signed with ecdsa-with-SHA256, which is not taken here");
    pki_free(p);
}

static void test_ca_id_and_policies_of_a_connection(void **state)
{
    static const char *const wanted[] = {"1.3.6.1.4.1.99999.1"}, *const other[] = {"1.3.6.1.4.1.99999.2"},
                             *const bad[] = {"not an oid"};
    struct pki *p = with_root();
    uint8_t dn[1024];
    size_t len;
    (void)state;
    assert_int_equal(dn_parse("C=CH, O=Lab, CN=sub", dn, sizeof(dn), &len), 0);
    struct pki_rules r = {.ca_id = slice_of(dn, len)};
    rig_valid(p, &(struct rig_try){"deep sub", "dns:deep.test", r, 0});
    rig_refused(p, &(struct rig_try){"moon", "dns:moon.test", r, 0},
                "\"C=CH, O=Lab, CN=moon\" has no CA \"C=CH, O=Lab, CN=sub\" in its chain");
    rig_cert("policy", "root",
             RIG_END "subjectAltName=DNS:policy.test\ncertificatePolicies=1.3.6.1.4.1.99999.1\n");
    rig_valid(p, &(struct rig_try){"policy", "dns:policy.test", {.policies = wanted, .policy_count = 1}, 0});
    rig_refused(p, &(struct rig_try){"policy", "dns:policy.test", {.policies = other, .policy_count = 1}, 0},
                "none of the wanted certificate policies");
    rig_refused(p, &(struct rig_try){"moon", "dns:moon.test", {.policies = wanted, .policy_count = 1}, 0},
                "none of the wanted certificate policies");
    rig_refused(p, &(struct rig_try){"policy", "dns:policy.test", {.policies = bad, .policy_count = 1}, 0},
                "is no object identifier");
    pki_free(p);
}

static void test_two_cas_of_one_name_are_told_apart_by_the_signature(void **state)
{
    struct pki *p = pki_new();
    (void)state;
    // without key identifiers: only the signature tells whose it is
    static const char bare[] =
        "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n";
    rig_cert("twin", NULL, bare);
    rig_add(p, PKI_CA, "twin");
    pki_run("rm twin.pem");
    rig_cert("twin", NULL, bare);
    rig_add(p, PKI_CA, "twin");
    rig_cert("child", "twin", "subjectAltName=DNS:child.test\nauthorityKeyIdentifier=none\n");
    rig_valid(p, &(struct rig_try){.certs = "child", .id = "dns:child.test"});
    // and with a third one, whose key is no longer loaded
    pki_run("rm twin.pem");
    rig_cert("twin", NULL, bare);
    rig_cert("child", "twin", "subjectAltName=DNS:child.test\nauthorityKeyIdentifier=none\n");
    rig_refused(p, &(struct rig_try){.certs = "child", .id = "dns:child.test"},
                "its signature is not its issuer's");
    pki_free(p);
}

// An impostor's certificate of the same issuer's name and the same number, refused, and even loaded.
static void test_refused_certificate_keeps_out_no_other_of_its_number(void **state)
{
    struct pki *p = with_root();
    const struct rig_try good = {.certs = "moon", .id = "dns:moon.test"},
                         bad = {.certs = "forged", .id = "dns:moon.test"};
    (void)state; // CVE-2026-77205
    pki_write("ext.cnf", "[req]\ndistinguished_name=d\nx509_extensions=e\n[d]\n[e]\n%s", MOON);
    pki_run(
        "made='openssl req -x509 -config ext.cnf -days 3650'; "
        "number=0x$(openssl x509 -in moon.crt -noout -serial | cut -d= -f2); "
        "$made -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout forger.pem -subj "
        "/C=CH/O=Lab/CN=root -out forger.crt && "
        "$made -key forger.pem -CA forger.crt -CAkey forger.pem -set_serial $number -subj "
        "/C=CH/O=Lab/CN=moon -out forged.crt && openssl x509 -in forged.crt -outform DER -out forged.der");
    for (int loaded = 0; loaded < 2; loaded++) {
        rig_refused(p, &bad, "");
        rig_valid(p, &good);
        struct slice forged = rig_der("forged"), moon = rig_der("moon");
        assert_int_equal(pki_add(p, PKI_X509, forged.p, forged.len, NULL), loaded);
        assert_int_equal(pki_add(p, PKI_X509, moon.p, moon.len, NULL), loaded);
    }
    pki_free(p);
}

// ---- certificates and keys that are trusted as they are

static void test_pinned_certificate_is_taken_without_a_ca_and_alone(void **state)
{
    struct pki *p = with_root();
    const struct slice alone = rig_der("alone"), other = rig_der("other"), moon = rig_der("moon");
    struct pki_rules r = {.certs = &alone, .cert_count = 1, .revocation = PKI_STRICT};
    (void)state;
    rig_valid(p, &(struct rig_try){"alone", "dns:alone.test", r, 0});
    rig_valid(p, &(struct rig_try){"", "dns:alone.test", r, 0}); // it need not send what we have
    rig_refused(p, &(struct rig_try){"", "dns:moon.test", r, 0}, "the peer sent no certificate, and none");
    rig_refused(p, &(struct rig_try){"alone", "dns:other.test", r, 0}, "not of the peer's identity");
    rig_refused(p, &(struct rig_try){"moon", "dns:moon.test", r, 0},
                "is none of the certificates that the connection names");
    rig_refused(p, &(struct rig_try){"alone", "dns:alone.test", r, rig_now() + 11LL * YEAR}, "has expired");
    // with CAs as well, both have to hold
    r = (struct pki_rules){.certs = &moon, .cert_count = 1, .cacerts = &other, .cacert_count = 1};
    rig_refused(p, &(struct rig_try){"moon", "dns:moon.test", r, 0}, "no trusted CA of this connection");
    pki_free(p);
}

static void test_loaded_end_certificate_is_trusted_where_the_rules_say_so(void **state)
{
    struct pki *p = with_root();
    const struct slice root = rig_der("root");
    (void)state;
    rig_refused(p, &(struct rig_try){"alone", "dns:alone.test", {.trust_loaded = true}, 0}, "self-signed");
    rig_add(p, PKI_X509, "alone");
    rig_add(p, PKI_X509, "stranger");
    rig_valid(p, &(struct rig_try){"alone", "dns:alone.test", {.trust_loaded = true}, 0});
    rig_valid(p, &(struct rig_try){"stranger", "dns:moon.test", {.trust_loaded = true}, 0});
    rig_refused(p, &(struct rig_try){"alone", "dns:alone.test", {0}, 0}, "self-signed");
    rig_refused(
        p,
        &(struct rig_try){
            "alone", "dns:alone.test", {.trust_loaded = true, .cacerts = &root, .cacert_count = 1}, 0},
        "self-signed");
    pki_free(p);
}

static void test_raw_public_key_is_one_of_those_that_are_named(void **state)
{
    struct pki *p = pki_new();
    struct pki_check *c;
    struct esp_error err = {0};
    (void)state;
    pki_run("for k in moon sub; do openssl pkey -in $k.pem -pubout -outform DER -out $k-pub.der; done");
    const struct slice keys[] = {rig_der("moon-pub"), rig_der("sub-pub")};
    struct pki_rules r = {.pubkeys = keys, .pubkey_count = 1};
    struct pki_peer peer = {.pubkey = keys[0], .id_type = 2, .id = slice_str("x")};
    assert_int_equal(pki_check_begin(p, &r, &peer, rig_now(), &c, &err), PKI_VALID);
    assert_int_equal(cr_key_type(pki_check_key(c)), CR_KEY_ECDSA);
    assert_int_equal(pki_check_cert(c).len, 0);
    pki_check_free(c);
    peer.pubkey = slice_of(NULL, 0); // none sent, one known
    assert_int_equal(pki_check_begin(p, &r, &peer, rig_now(), &c, &err), PKI_VALID);
    pki_check_free(c);
    r.pubkey_count = 2;
    assert_int_equal(pki_check_begin(p, &r, &peer, rig_now(), &c, &err), PKI_REFUSED);
    assert_non_null(strstr(err.text, "the connection names 2"));
    r = (struct pki_rules){.pubkeys = keys + 1, .pubkey_count = 1};
    peer.pubkey = keys[0];
    assert_int_equal(pki_check_begin(p, &r, &peer, rig_now(), &c, &err), PKI_REFUSED);
    assert_non_null(strstr(err.text, "none of the 1 that the connection names"));
    // a certificate with that key is taken if its chain is good too
    rig_add(p, PKI_CA, "root");
    r = (struct pki_rules){.pubkeys = keys, .pubkey_count = 1};
    rig_valid(p, &(struct rig_try){"moon", "dns:moon.test", r, 0});
    rig_refused(p, &(struct rig_try){"deep sub", "dns:deep.test", r, 0}, "has none of the 1 public keys");
    pki_free(p);
}

// ---- hostile octets

static void test_certificate_cut_anywhere_is_refused(void **state)
{
    struct pki *p = with_root();
    struct slice whole = rig_der("moon");
    (void)state;
    for (size_t n = 0; n < whole.len; n++) {
        uint8_t *exact = malloc(n ? n : 1); // an address checker sees any octet behind it
        memcpy(exact, whole.p, n);
        const struct slice cut = slice_of(exact, n);
        struct pki_peer peer = {.certs = &cut, .count = 1, .id_type = 2, .id = slice_str("moon.test")};
        struct pki_check *c;
        struct esp_error err = {0};
        assert_int_equal(pki_check_begin(p, &(struct pki_rules){0}, &peer, rig_now(), &c, &err), PKI_REFUSED);
        assert_true(err.text[0] != 0);
        free(exact);
    }
    pki_free(p);
}

static void test_certificate_with_any_octet_changed_is_refused(void **state)
{
    struct pki *p = with_root();
    struct slice whole = rig_der("moon");
    uint8_t copy[4096];
    (void)state;
    assert_true(whole.len <= sizeof(copy));
    for (size_t i = 0; i < whole.len; i++) {
        memcpy(copy, whole.p, whole.len);
        copy[i] ^= 1u << (i % 8);
        const struct slice changed = slice_of(copy, whole.len);
        struct pki_peer peer = {.certs = &changed, .count = 1, .id_type = 2, .id = slice_str("moon.test")};
        struct pki_check *c;
        struct esp_error err = {0};
        if (pki_check_begin(p, &(struct pki_rules){0}, &peer, rig_now(), &c, &err) != PKI_REFUSED)
            fail_msg("octet %zu", i);
        // as one of several it does no harm
        const struct slice two[] = {whole, changed};
        peer = (struct pki_peer){.certs = two, .count = 2, .id_type = 2, .id = slice_str("moon.test")};
        assert_int_equal(pki_check_begin(p, &(struct pki_rules){0}, &peer, rig_now(), &c, &err), PKI_VALID);
        pki_check_free(c);
    }
    pki_free(p);
}

static void test_more_than_a_peer_may_send_is_refused(void **state)
{
    struct pki *p = with_root();
    struct slice many[PKI_PEER_CERTS_MAX + 1];
    static uint8_t big[PKI_CERT_MAX + 1];
    struct esp_error err = {0};
    struct pki_check *c;
    (void)state;
    for (size_t i = 0; i <= PKI_PEER_CERTS_MAX; i++)
        many[i] = rig_der("moon");
    struct pki_peer peer = {
        .certs = many, .count = PKI_PEER_CERTS_MAX + 1, .id_type = 2, .id = slice_str("moon.test")};
    assert_int_equal(pki_check_begin(p, &(struct pki_rules){0}, &peer, rig_now(), &c, &err), PKI_REFUSED);
    assert_non_null(strstr(err.text, "the peer sent 17 certificates: at most 16 are taken"));
    peer.count = PKI_PEER_CERTS_MAX;
    assert_int_equal(pki_check_begin(p, &(struct pki_rules){0}, &peer, rig_now(), &c, &err), PKI_VALID);
    pki_check_free(c);
    many[0] = slice_of(big, sizeof(big));
    assert_int_equal(pki_check_begin(p, &(struct pki_rules){0}, &peer, rig_now(), &c, &err), PKI_REFUSED);
    assert_non_null(strstr(err.text, "16385 octets: 1 to 16384 are taken"));
    peer.count = 0;
    assert_int_equal(pki_check_begin(p, &(struct pki_rules){0}, &peer, rig_now(), &c, &err), PKI_REFUSED);
    assert_non_null(strstr(err.text, "the peer sent no certificate"));
    pki_free(p);
}

static void test_path_longer_than_the_bound_is_refused(void **state)
{
    struct pki *p = with_root();
    char name[16], issuer[16], list[200] = "";
    (void)state;
    for (int i = 1; i <= 10; i++) { // root, nine CAs and the end: eleven
        snprintf(name, sizeof(name), "c%d", i);
        snprintf(issuer, sizeof(issuer), "c%d", i - 1);
        rig_cert(name, i == 1 ? "root" : issuer,
                 i == 10 || i == 9 ? RIG_CA "subjectAltName=DNS:c.test\n" : RIG_CA);
    }
    for (int i = 9; i >= 1; i--)
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "c%d ", i);
    pki_run("true");
    struct esp_error err = {0};
    struct pki_check *c = NULL;
    // c9 as the peer's: ten in all. Its keyUsage is a CA's, so the path is found and the usage refused.
    assert_int_equal(rig_judge(p, &(struct rig_try){.certs = list, .id = "dns:c.test"}, &c, &err),
                     PKI_REFUSED);
    assert_non_null(strstr(err.text, "allows no signatures"));
    char longer[220];
    snprintf(longer, sizeof(longer), "c10 %s", list);
    rig_refused(p, &(struct rig_try){.certs = longer, .id = "dns:c.test"}, "C=CH, O=Lab, CN=c");
    pki_free(p);
}

// ---- the store

static void test_store_has_a_certificate_once_by_its_content(void **state)
{
    struct pki *p = pki_new();
    struct slice der = rig_der("root"), pem = pki_read("root.crt"), sub = rig_der("sub");
    const struct pki_entry *e;
    (void)state;
    assert_int_equal(pki_add(p, PKI_X509, der.p, der.len, NULL), 0);
    assert_int_equal(pki_add(p, PKI_X509, pem.p, pem.len, NULL), 1);
    assert_int_equal(pki_add(p, PKI_X509, sub.p, sub.len, NULL), 0);
    assert_non_null(e = pki_next(p, 0, 0));
    assert_int_equal(e->kind, PKI_X509);
    assert_int_equal(pki_add(p, PKI_CA, pem.p, pem.len, NULL), 1); // now it is trusted
    assert_int_equal(pki_next(p, PKI_CA, 0)->number, e->number);
    assert_int_equal(pki_add(p, PKI_X509, pem.p, pem.len, NULL), 1); // and stays so
    assert_non_null(pki_next(p, PKI_CA, 0));
    assert_true(slice_eq(pki_next(p, 0, e->number)->der, sub));
    assert_null(pki_next(p, 0, pki_next(p, 0, e->number)->number));
    pki_clear(p);
    assert_null(pki_next(p, 0, 0));
    pki_free(p);
}

static void test_store_takes_pem_among_other_text_and_names_what_it_is_instead(void **state)
{
    static const struct {
        enum pki_kind kind;
        const char *file, *says;
    } v[] = {
        {PKI_X509, "moon.pem", "no certificate in this PEM, but "},
        {PKI_PUBKEY, "moon.crt", "no public key in this PEM, but CERTIFICATE"},
        {PKI_CRL, "moon.crt", "no CRL in this PEM, but CERTIFICATE"},
        {PKI_X509, "text", "is no X.509 certificate in DER"},
        {PKI_CRL, "moon.der", "are no X.509 CRL in DER"},
        {PKI_PUBKEY, "moon.der", "not a DER SubjectPublicKeyInfo"},
        {PKI_X509, "twice.der", "is no X.509 certificate in DER"},
        {PKI_X509, "none", "a certificate of 0 octets"},
        {PKI_OCSP, "moon.der", "is none of certificate, CA, CRL and public key"},
        {(enum pki_kind)0, "moon.der", "is none of certificate, CA, CRL and public key"},
    };
    struct pki *p = pki_new();
    (void)state;
    pki_run("echo hello >text; cat moon.der moon.der >twice.der; : >none; "
            "(openssl x509 -in moon.crt -text; cat moon.pem) >both; cat moon.pem moon.crt >behind");
    struct slice s = pki_read("both");
    assert_int_equal(pki_add(p, PKI_X509, s.p, s.len, NULL), 0);
    s = pki_read("behind");
    assert_int_equal(pki_add(p, PKI_X509, s.p, s.len, NULL), 1);
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct esp_error err = {0};
        s = pki_read(v[i].file);
        if (pki_add(p, v[i].kind, s.p, s.len, &err) >= 0 || !strstr(err.text, v[i].says))
            fail_msg("%s: got \"%s\", expected \"%s\"", v[i].file, err.text, v[i].says);
    }
    pki_free(p);
}

static void test_description_has_what_openssl_shows(void **state)
{
    struct pki_info info;
    uint8_t id[20];
    struct slice der = rig_der("moon");
    (void)state;
    assert_int_equal(pki_describe(PKI_X509, der, &info, NULL), 0);
    assert_string_equal(info.subject, "C=CH, O=Lab, CN=moon");
    assert_string_equal(info.issuer, "C=CH, O=Lab, CN=root");
    assert_string_equal(info.names, "DNS:moon.test, email:moon@lab.test, IP Address:192.0.2.1, IP "
                                    "Address:2001:DB8:0:0:0:0:0:1");
    assert_false(info.is_ca || info.self_signed);
    assert_int_equal(info.key_bits, 256);
    assert_true(info.not_before <= rig_now() && info.not_after > rig_now() + 9LL * YEAR);
    pki_run("openssl x509 -in moon.crt -noout -serial | tr 'A-F' 'a-f' | grep -q %s", info.serial);
    pki_run("openssl x509 -in moon.crt -noout -pubkey | openssl pkey -pubin -outform DER | tail -c 65 | "
            "openssl dgst -sha1 -binary >id");
    memcpy(id, pki_read("id").p, sizeof(id));
    assert_memory_equal(info.key_id, id, 20);
    assert_int_equal(pki_describe(PKI_X509, rig_der("root"), &info, NULL), 0);
    assert_true(info.is_ca && info.self_signed);
}

static void test_store_full_of_certificates_refuses_by_name(void **state)
{
    struct pki *p = pki_new();
    struct slice der = rig_der("moon");
    uint8_t copy[4096];
    struct esp_error err = {0};
    (void)state;
    memcpy(copy, der.p, der.len);
    int rc = 0;
    unsigned n = 0;
    for (; n <= PKI_STORE_MAX && rc >= 0; n++) { // the signature's last octets make another content of it
        copy[der.len - 1] = (uint8_t)n;
        copy[der.len - 2] = (uint8_t)(n >> 8);
        rc = pki_add(p, PKI_X509, copy, der.len, &err);
    }
    assert_int_equal(rc, -ENOSPC);
    assert_int_equal(n, PKI_STORE_MAX + 1);
    assert_non_null(strstr(err.text, "there are 4096 certificates and keys already"));
    copy[der.len - 1] = copy[der.len - 2] = 0;
    assert_int_equal(pki_add(p, PKI_X509, copy, der.len, &err), 1); // one that is there is no other
    pki_free(p);
}

static void test_authority_is_a_trusted_ca_while_it_is_there(void **state)
{
    struct pki *p = pki_new();
    struct esp_error err = {0};
    struct slice ca = pki_read("root.crt");
    const struct slice urls[] = {slice_str("http://crl.test/a.crl"), slice_str("ftp://crl.test/a.crl")};
    (void)state;
    rig_refused(p, &(struct rig_try){.certs = "moon", .id = "dns:moon.test"}, "of no trusted CA");
    assert_int_equal(pki_authority_set(p, "lab", ca, urls, 1, NULL, 0, &err), 0);
    assert_int_equal(pki_authority_set(p, "b", ca, urls, 1, urls, 1, &err), 0);
    // trusted, and there are URLs to be asked now
    const struct rig_try moon = {.certs = "moon", .id = "dns:moon.test"};
    struct pki_check *c;
    assert_int_equal(rig_judge(p, &moon, &c, &err), PKI_WANTS_FETCH);
    pki_check_free(c);
    const struct pki_authority *a = pki_authority_next(p, NULL);
    assert_string_equal(a->name, "b");
    assert_string_equal(a->ocsp_uris[0], "http://crl.test/a.crl");
    assert_string_equal(pki_authority_next(p, "b")->name, "lab");
    assert_null(pki_authority_next(p, "lab"));
    assert_int_equal(pki_authority_set(p, "lab", ca, NULL, 0, NULL, 0, &err), 0); // in place of it
    assert_int_equal(pki_authority_next(p, "b")->crl_count, 0);
    const struct slice blank[] = {slice_str("http://crl.test/a b")};
    assert_int_equal(pki_authority_set(p, "lab", ca, blank, 1, NULL, 0, &err), -EINVAL);
    assert_string_equal(err.field, "crl_uris");
    assert_non_null(strstr(err.text, "\"http://crl.test/a b\" is no URI of less than"));
    // what is not http or https is listed, and nobody is asked by it
    assert_int_equal(pki_authority_unset(p, "b", &err), 0);
    assert_int_equal(pki_authority_set(p, "lab", ca, urls + 1, 1, NULL, 0, &err), 0);
    assert_string_equal(pki_authority_next(p, NULL)->crl_uris[0], "ftp://crl.test/a.crl");
    assert_int_equal(rig_judge(p, &moon, &c, &err), PKI_VALID);
    pki_check_free(c);
    assert_int_equal(pki_authority_set(p, "b", ca, urls, 1, urls, 1, &err), 0);
    assert_int_equal(pki_authority_set(p, "lab", rig_der("moon"), NULL, 0, NULL, 0, &err), -EINVAL);
    assert_int_equal(pki_authority_unset(p, "b", &err), 0);
    assert_int_equal(pki_authority_unset(p, "b", &err), -ENOENT);
    assert_int_equal(pki_authority_unset(p, "lab", &err), 0);
    rig_refused(p, &(struct rig_try){.certs = "moon", .id = "dns:moon.test"}, "of no trusted CA");
    pki_free(p);
}

// ---- our own

static void test_own_certificate_is_found_by_identity_and_key(void **state)
{
    struct pki *p = with_root();
    struct pki_info info;
    (void)state;
    assert_int_equal(pki_describe(PKI_X509, rig_der("moon"), &info, NULL), 0);
    rig_add(p, PKI_X509, "deep");
    assert_null(pki_find_cert(p, 2, slice_str("moon.test"), NULL, rig_now()));
    rig_add(p, PKI_X509, "moon");
    assert_true(slice_eq(pki_find_cert(p, 2, slice_str("moon.test"), NULL, rig_now())->der, rig_der("moon")));
    assert_true(
        slice_eq(pki_find_cert(p, 0, slice_of(NULL, 0), info.key_id, rig_now())->der, rig_der("moon")));
    assert_null(pki_find_cert(p, 2, slice_str("deep.test"), info.key_id, rig_now()));
    pki_free(p);
}

// More of them than are kept as they were read, in turns; and what is none.
static void test_our_own_certificates_are_described_as_any_however_many_there_are(void **state)
{
    static const char *const names[] = {"moon",     "deep", "sub",    "root", "other",
                                        "stranger", "noca", "forged", "alone"};
    struct pki *p = pki_new();
    struct pki_info info, own;
    struct esp_error err = {0};
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            for (int twice = 0; twice < 2; twice++) {
                memset(&own, 0xff, sizeof(own));
                assert_int_equal(pki_describe(PKI_X509, rig_der(names[i]), &info, NULL), 0);
                assert_int_equal(pki_describe_own(p, rig_der(names[i]), &own, NULL), 0);
                assert_memory_equal(&own, &info, sizeof(own));
            }
        }
        assert_int_equal(pki_describe_own(p, rig_der("moon-pub"), &own, &err), -EINVAL);
        assert_non_null(strstr(err.text, "is no X.509 certificate"));
    }
    pki_free(p);
}

static void test_chain_and_certreq_of_our_own_certificate(void **state)
{
    struct pki *p = with_root();
    struct slice out[4];
    uint8_t hashes[60], none[20] = {0};
    (void)state;
    rig_add(p, PKI_X509, "sub");
    assert_int_equal(pki_intermediates(p, rig_der("deep"), out, 4), 1);
    assert_true(slice_eq(out[0], rig_der("sub")));
    assert_int_equal(pki_intermediates(p, rig_der("moon"), out, 4), 0);
    // RFC 7296 3.7: SHA-1 of the SubjectPublicKeyInfo
    size_t n = pki_certreq(p, NULL, 0, hashes, sizeof(hashes));
    assert_int_equal(n, 20);
    pki_run("openssl pkey -in root.pem -pubout -outform DER | openssl dgst -sha1 -binary >root.id");
    assert_memory_equal(hashes, pki_read("root.id").p, 20);
    assert_true(pki_certreq_names(p, rig_der("deep"), slice_of(hashes, n)));
    assert_true(pki_certreq_names(p, rig_der("moon"), slice_of(hashes, n)));
    assert_false(pki_certreq_names(p, rig_der("stranger"), slice_of(hashes, n)));
    assert_false(pki_certreq_names(p, rig_der("deep"), slice_of(none, 20)));
    const struct slice both[] = {rig_der("other"), rig_der("root")};
    assert_int_equal(pki_certreq(p, both, 2, hashes, sizeof(hashes)), 40);
    assert_int_equal(pki_certreq(p, both, 2, hashes, 39), 20);
    pki_free(p);
}

// ---- strongSwan's pki

static void test_certificates_of_strongswan_are_taken(void **state)
{
    static const char *const types[] = {"rsa", "ecdsa", "ed25519", "ed448"};
    (void)state;
    if (!pki_try("command -v pki")) {
        print_message("pki is not installed (make deps brings strongswan-pki)\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct pki *p = pki_new();
        if (!pki_try("pki --gen --type %s > s-ca.key", types[i])) {
            print_message("pki makes no %s keys here\n", types[i]);
            pki_free(p);
            continue;
        }
        pki_run("pki --self --type priv --in s-ca.key --dn 'C=CH, O=strongSwan, CN=CA' --ca > s-ca.der && "
                "pki --gen --type %s > s.key && "
                "pki --pub --type priv --in s.key | pki --issue --cacert s-ca.der --cakey s-ca.key "
                "--dn 'C=CH, O=strongSwan, CN=sun' --san sun.strongswan.org --flag serverAuth --flag "
                "ikeIntermediate "
                "> s.der",
                types[i]);
        rig_add(p, PKI_CA, "s-ca");
        rig_valid(p, &(struct rig_try){.certs = "s", .id = "dns:sun.strongswan.org"});
        rig_valid(p, &(struct rig_try){.certs = "s", .id = "dn:C=CH, O=strongSwan, CN=sun"});
        rig_refused(p, &(struct rig_try){.certs = "s", .id = "dns:sun"}, "not of the peer's identity");
        pki_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate_is_of_its_subject_and_alternative_names_alone),
        cmocka_unit_test(test_alternative_name_with_a_zero_octet_is_not_its_beginning),
        cmocka_unit_test(test_path_needs_a_trusted_ca_at_its_end),
        cmocka_unit_test(test_intermediate_comes_from_the_peer_or_the_store),
        cmocka_unit_test(test_cas_of_a_connection_are_trusted_alone),
        cmocka_unit_test(test_validity_is_held_against_the_time_given),
        cmocka_unit_test(test_who_is_no_ca_issues_nothing),
        cmocka_unit_test(test_constraints_of_a_ca_hold_below_it),
        cmocka_unit_test(test_usage_of_an_end_certificate_allows_ike),
        cmocka_unit_test(test_weak_keys_and_hashes_are_refused),
        cmocka_unit_test(test_ca_id_and_policies_of_a_connection),
        cmocka_unit_test(test_two_cas_of_one_name_are_told_apart_by_the_signature),
        cmocka_unit_test(test_refused_certificate_keeps_out_no_other_of_its_number),
        cmocka_unit_test(test_pinned_certificate_is_taken_without_a_ca_and_alone),
        cmocka_unit_test(test_loaded_end_certificate_is_trusted_where_the_rules_say_so),
        cmocka_unit_test(test_raw_public_key_is_one_of_those_that_are_named),
        cmocka_unit_test(test_certificate_cut_anywhere_is_refused),
        cmocka_unit_test(test_certificate_with_any_octet_changed_is_refused),
        cmocka_unit_test(test_more_than_a_peer_may_send_is_refused),
        cmocka_unit_test(test_path_longer_than_the_bound_is_refused),
        cmocka_unit_test(test_store_has_a_certificate_once_by_its_content),
        cmocka_unit_test(test_store_takes_pem_among_other_text_and_names_what_it_is_instead),
        cmocka_unit_test(test_description_has_what_openssl_shows),
        cmocka_unit_test(test_store_full_of_certificates_refuses_by_name),
        cmocka_unit_test(test_authority_is_a_trusted_ca_while_it_is_there),
        cmocka_unit_test(test_own_certificate_is_found_by_identity_and_key),
        cmocka_unit_test(test_our_own_certificates_are_described_as_any_however_many_there_are),
        cmocka_unit_test(test_chain_and_certreq_of_our_own_certificate),
        cmocka_unit_test(test_certificates_of_strongswan_are_taken),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
