// SPDX-License-Identifier: Apache-2.0
// What local and remote say of certificates, and an authority: what is handed on, and what is refused.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/config/authority_load.h"
#include "ctrl/config/conn_load.h"
#include "ctrl/crypto/signature.h"
#include "tests/unit/cred_dir.h"

static struct esp_error err;
static struct conn_config conn;
static struct authority_config authority;
static char warnings[600];

static void warn(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    (void)ctx;
    (void)at;
    snprintf(warnings, sizeof(warnings), "%s: %s", path, text);
}
static const struct load_report report = {.warn = warn};

static int up(void **state)
{
    (void)state;
    pki_files_begin();
    cred_dir_make();
    return 0;
}

static int down(void **state)
{
    (void)state;
    conn_clear(&conn);
    authority_clear(&authority);
    pki_files_end();
    return 0;
}

// ---- one more key

enum place { LOCAL, REMOTE };
struct more { // of a side
    enum place place;
    const char *key;
    struct slice value;
    bool list;
    const char *section; // around it, or NULL
};

static void put_more(struct vici_out *o, const struct more *m)
{
    if (m->section)
        vici_section(o, m->section);
    if (m->list) {
        char text[20000];
        assert_true(m->value.len < sizeof(text));
        memcpy(text, m->value.p, m->value.len);
        text[m->value.len] = 0;
        vici_list(o, m->key);
        vici_item(o, text);
        vici_list_end(o);
    } else if (m->key) {
        vici_put_blob(o, m->key, m->value.p, m->value.len);
    }
    if (m->section)
        vici_section_end(o);
}

static bool remote_first; // in the file

static int load(const char *local_auth, const char *remote_auth, const char *remote_id,
                const struct more *more, unsigned count)
{
    struct vici_out o;
    struct vici_msg m;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    for (int at = LOCAL; at <= REMOTE; at++) {
        int side = remote_first ? REMOTE - at : at;
        vici_section(&o, side == LOCAL ? "local" : "remote");
        vici_put(&o, "auth", side == LOCAL ? local_auth : remote_auth);
        if (side == REMOTE && remote_id)
            vici_put(&o, "id", remote_id);
        for (unsigned i = 0; i < count; i++)
            if (more[i].place == (enum place)side)
                put_more(&o, &more[i]);
        vici_section_end(&o);
    }
    vici_section_end(&o);
    assert_int_equal(vici_out_finish(&o), 0);
    assert_int_equal(vici_msg_parse(&m, o.data + 5, o.len - 5, &err), 0);
    warnings[0] = 0;
    err = (struct esp_error){0};
    conn_clear(&conn);
    int r = config_load_conn(&conn, m.root->child, &report, &err);
    vici_msg_free(&m);
    vici_out_free(&o);
    return r;
}

static int load_one(enum place place, const char *key, struct slice value)
{
    const struct more m = {.place = place, .key = key, .value = value};
    return load("pubkey", "pubkey", "east.lab", &m, 1);
}

static void assert_refused(int r, const char *why)
{
    if (r != -EINVAL || !strstr(err.text, why))
        fail_msg("got \"%s\", expected \"%s\" in it", err.text, why);
}

static struct slice path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s/%s", pki_files_dir(), name);
    return slice_str(path);
}

// ---- what is handed on

static void test_certificates_are_handed_on_as_der(void **state)
{
    (void)state;
    struct slice pem = pki_read("x509/west.pem"), ca = pki_read("x509ca/sub.der");
    pki_run("openssl x509 -in made/west.pem -outform DER -out west.der");
    const struct more more[] = {{LOCAL, "certs", pem, true, NULL}, {REMOTE, "cacerts", ca, false, NULL}};
    assert_int_equal(load("pubkey", "pubkey", NULL, more, 2), 0);
    assert_int_equal(conn.local.certs.count, 1);
    assert_true(slice_eq(blobs_at(&conn.local.certs, 0), pki_read("west.der")));
    assert_int_equal(conn.remote.cacerts.count, 1);
    assert_true(slice_eq(blobs_at(&conn.remote.cacerts, 0), ca));
    assert_int_equal(conn.remote.certs.count, 0);
    assert_string_equal(warnings, "");
}

static void test_files_of_cert_sections_are_read(void **state)
{
    (void)state;
    struct more more[] = {{LOCAL, "file", path_of("x509/north.der"), false, "cert1"}};
    assert_int_equal(load("pubkey", "pubkey", "east.lab", more, 1), 0);
    assert_true(slice_eq(blobs_at(&conn.local.certs, 0), pki_read("x509/north.der")));
    struct more ca[] = {{REMOTE, "file", path_of("x509ca/sub.der"), false, "cacert-x"}};
    assert_int_equal(load("pubkey", "pubkey", NULL, ca, 1), 0);
    assert_int_equal(conn.remote.cacerts.count, 1);
    struct more pinned[] = {{REMOTE, "file", path_of("x509/east.pem"), false, "certificate"}};
    assert_int_equal(load("pubkey", "pubkey", NULL, pinned, 1), 0);
    assert_int_equal(conn.remote.certs.count, 1);
}

static void test_auth_and_rules_are_handed_on(void **state)
{
    (void)state;
    const struct more more[] = {{REMOTE, "revocation", slice_str("ifuri"), false, NULL},
                                {REMOTE, "cert_policy", slice_str("1.3.6.1.4.1.9"), true, NULL},
                                {REMOTE, "ca_id", slice_str("C=CH, O=Lab, CN=*"), false, NULL}};
    assert_int_equal(load("ike:rsa/pss-sha256", "ecdsa-384-sha384", "east.lab", more, 3), 0);
    assert_int_equal(conn.local.auth, AUTH_PUBKEY);
    assert_int_equal(conn.local.schemes, CR_SCHEME_RSA_PSS_SHA256);
    assert_int_equal(conn.remote.schemes, CR_SCHEME_ECDSA_SHA384);
    assert_int_equal(conn.remote.ecdsa_bits, 384);
    assert_int_equal(conn.remote.rsa_bits, UINT16_MAX);
    assert_int_equal(conn.remote.cert_hashes, 1u << CR_HASH_SHA384);
    assert_int_equal(conn.remote.revocation, PKI_IFURI);
    assert_true(slice_eq(blobs_at(&conn.remote.cert_policy, 0), slice_str("1.3.6.1.4.1.9")));
    assert_string_equal(auth_id(&conn.remote, AUTH_CA_ID), "C=CH, O=Lab, CN=*");
}

// ---- what is refused

static void test_any_certificate_of_any_authority_is_refused(void **state)
{
    (void)state;
    static const char *const anybody[] = {NULL, "%any", "*", "", "0.0.0.0"};
    for (size_t i = 0; i < sizeof(anybody) / sizeof(anybody[0]); i++)
        assert_refused(load("pubkey", "pubkey", anybody[i], NULL, 0),
                       "any certificate of any authority would do");
    const struct more more[] = {{REMOTE, "cacerts", pki_read("x509ca/ca.pem"), true, NULL},
                                {REMOTE, "pubkeys", pki_read("pubkey/west.pub"), true, NULL},
                                {REMOTE, "certs", pki_read("x509/west.pem"), true, NULL},
                                {REMOTE, "ca_id", slice_str("CN=x"), false, NULL}};
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        assert_int_equal(load("pubkey", "pubkey", "%any", &more[i], 1), 0);
    assert_int_equal(load("pubkey", "psk", NULL, NULL, 0), 0); // whoever knows the secret
}

static void test_values_that_are_not_what_they_should_be(void **state)
{
    (void)state;
    struct slice west = pki_read("x509/west.pem"), pub = pki_read("pubkey/west.pub");
    assert_refused(load_one(LOCAL, "certs", slice_str("hello")), "invalid value for: certs: ");
    assert_refused(load_one(LOCAL, "certs", slice_str("")), "invalid value for: certs: it is empty");
    assert_refused(load_one(LOCAL, "certs", pub), "invalid value for: certs: ");
    assert_refused(load_one(REMOTE, "cacerts", west), "invalid value for: cacerts: ");
    assert_refused(load_one(REMOTE, "pubkeys", west), "invalid value for: pubkeys: ");
    assert_refused(load_one(REMOTE, "cert_policy", slice_str("foo")), "an object identifier in dots");
    assert_refused(load_one(REMOTE, "cert_policy", slice_str("1.2..3")), "an object identifier in dots");
    assert_refused(load_one(REMOTE, "cert_policy", slice_str("9.2.3")), "an object identifier in dots");
    assert_refused(load_one(REMOTE, "ca_id", slice_str("ca.lab")), "a distinguished name");
    assert_refused(load_one(REMOTE, "revocation", slice_str("hard")), "one of relaxed, ifuri, strict");
    assert_refused(load_one(LOCAL, "revocation", slice_str("strict")), "expected in the remote section");
    assert_refused(load_one(LOCAL, "cacerts", slice_str("x")), "expected in the remote section");
    assert_refused(load_one(LOCAL, "cert_policy", slice_str("1.2.3")), "expected in the remote section");
    assert_int_equal(load_one(LOCAL, "cacerts", slice_str("")), 0); // none are asked for
    assert_int_equal(load_one(LOCAL, "cert_policy", slice_str("")), 0);
    assert_refused(load("rsa-1024", "psk", NULL, NULL, 0), "2048 to 8192 bits");
}

static void test_cert_sections_that_cannot_be_read(void **state)
{
    (void)state;
    struct more m = {LOCAL, "file", slice_str("west.pem"), false, "cert1"};
    assert_refused(load("pubkey", "pubkey", "e", &m, 1), "expected an absolute path");
    m.value = slice_str("/nonexistent/x.pem");
    assert_refused(load("pubkey", "pubkey", "e", &m, 1), "/nonexistent/x.pem: No such file");
    m.value = slice_str("/");
    assert_refused(load("pubkey", "pubkey", "e", &m, 1), "expected a plain file");
    m.value = slice_str("/dev/zero");
    assert_refused(load("pubkey", "pubkey", "e", &m, 1), "expected a plain file");
    m.key = "handle";
    assert_refused(load("pubkey", "pubkey", "e", &m, 1), "keys on tokens are not supported yet");
    m.key = NULL;
    assert_refused(load("pubkey", "pubkey", "e", &m, 1), "cert1: file is missing");
    m.section = "frobnicate";
    assert_refused(load("pubkey", "pubkey", "e", &m, 1), "unknown option: frobnicate");
    m.section = "cacert1";
    assert_refused(load("pubkey", "pubkey", "e", &m, 1), "expected in the remote section");
}

static void test_lists_are_bounded(void **state)
{
    (void)state;
    struct more more[BLOBS_MAX + 1];
    for (unsigned i = 0; i <= BLOBS_MAX; i++)
        more[i] = (struct more){LOCAL, "file", path_of("x509/west.pem"), false, "cert1"};
    char names[BLOBS_MAX + 1][16];
    for (unsigned i = 0; i <= BLOBS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "cert%u", i);
        more[i].section = names[i];
    }
    assert_int_equal(load("pubkey", "pubkey", "e", more, BLOBS_MAX), 0);
    assert_int_equal(conn.local.certs.count, BLOBS_MAX);
    assert_refused(load("pubkey", "pubkey", "e", more, BLOBS_MAX + 1), "more than 16 of them");
}

static void test_what_has_no_effect_or_does_not_go_together_is_said(void **state)
{
    (void)state;
    const struct more both[] = {{REMOTE, "certs", pki_read("x509/west.pem"), true, NULL},
                                {REMOTE, "pubkeys", pki_read("pubkey/west.pub"), true, NULL}};
    assert_refused(load("pubkey", "pubkey", "e", both, 2), "certs and pubkeys do not go together");
    assert_int_equal(load("psk", "psk", NULL, both, 1), 0);
    assert_non_null(strstr(warnings, "without effect where auth = psk"));
}

// ---- authorities

static int load_authority(const char *key, struct slice value, const char *key2, const char *value2,
                          bool list2)
{
    struct vici_out o;
    struct vici_msg m;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "lab");
    if (key)
        vici_put_blob(&o, key, value.p, value.len);
    if (key2 && list2) {
        vici_list(&o, key2);
        vici_item(&o, value2);
        vici_list_end(&o);
    } else if (key2) {
        vici_put(&o, key2, value2);
    }
    vici_section_end(&o);
    assert_int_equal(vici_out_finish(&o), 0);
    assert_int_equal(vici_msg_parse(&m, o.data + 5, o.len - 5, &err), 0);
    warnings[0] = 0;
    err = (struct esp_error){0};
    authority_clear(&authority);
    int r = config_load_authority(&authority, m.root->child, &report, &err);
    vici_msg_free(&m);
    vici_out_free(&o);
    return r;
}

static void test_authority_is_handed_on(void **state)
{
    (void)state;
    struct slice der = pki_read("x509ca/sub.der");
    assert_int_equal(load_authority("cacert", der, "crl_uris", "http://c/x.crl", true), 0);
    assert_string_equal(authority.name, "lab");
    assert_true(slice_eq(blobs_at(&authority.cacert, 0), der));
    assert_true(slice_eq(blobs_at(&authority.crl_uris, 0), slice_str("http://c/x.crl")));
    assert_string_equal(warnings, "");
    assert_int_equal(load_authority("file", path_of("x509ca/sub.der"), "ocsp_uris", "http://o/", true), 0);
    assert_true(slice_eq(blobs_at(&authority.cacert, 0), der));
    assert_true(slice_eq(blobs_at(&authority.ocsp_uris, 0), slice_str("http://o/")));
    assert_int_equal(load_authority("cacert", der, "cert_uri_base", "http://b/", false), 0);
    assert_non_null(strstr(warnings, "cert_uri_base = http://b/ has no effect"));
    assert_int_equal(load_authority("cacert", der, "crl_uris", "ldap://x/", true), 0);
    assert_non_null(strstr(warnings, "crl_uris: ldap://x/ has no effect"));
    assert_int_equal(load_authority("cacert", der, "crl_uris", "https://x/", true), 0); // nobody asks by TLS
    assert_non_null(strstr(warnings, "crl_uris: https://x/ has no effect"));
    assert_int_equal(load_authority("cacert", der, "ocsp_uris", "https://o/", true), 0);
    assert_non_null(strstr(warnings, "ocsp_uris: https://o/ has no effect"));
}

static void test_authority_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct slice der = pki_read("x509ca/sub.der"), end = pki_read("x509/west.pem");
    assert_refused(load_authority(NULL, der, NULL, NULL, false),
                   "CA certificate missing: lab: expected cacert or file, authority discarded");
    assert_refused(load_authority("cacert", end, NULL, NULL, false), "invalid value for: cacert: ");
    assert_refused(load_authority("cacert", slice_str("hello"), NULL, NULL, false),
                   "invalid value for: cacert: ");
    assert_refused(load_authority("file", slice_str("ca.pem"), NULL, NULL, false),
                   "expected an absolute path");
    assert_refused(load_authority("frob", slice_str("x"), NULL, NULL, false),
                   "unknown option: frob, authority discarded");
    assert_refused(load_authority("cacert", der, "handle", "11", false),
                   "keys on tokens are not supported yet");
    assert_refused(load_authority("cacert", der, "file", (const char *)path_of("x509ca/ca.pem").p, false),
                   "expected one of cacert and file");
    assert_refused(load_authority("cacert", der, "crl_uris", "http://a b/", true), "without blanks");
}

static void test_eap_goes_with_a_certificate_at_the_other_end(void **state)
{
    static const struct {
        const char *local, *remote, *why; // NULL: taken
    } cases[] = {{"pubkey", "eap-mschapv2", NULL},
                 {"eap-mschapv2", "pubkey", NULL},
                 {"psk", "eap-mschapv2", "remote: an auth of EAP goes with a local auth of certificates"},
                 {"eap-mschapv2", "psk", "local: an auth of EAP goes with a remote auth of certificates"},
                 {"eap-tls", "eap-tls", NULL},
                 {"eap-mschapv2", "eap-mschapv2", "EAP at both ends is no proof but by eap-tls"},
                 {"eap-mschapv2", "eap-tls", "EAP at both ends is no proof but by eap-tls"}};
    (void)state;
    for (int order = 0; order < 2; order++) {
        remote_first = order;
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            int r = load(cases[i].local, cases[i].remote, "east.lab", NULL, 0);
            if (cases[i].why)
                assert_refused(r, cases[i].why);
            else
                assert_int_equal(r, 0);
        }
    }
    remote_first = false;
    struct more name = {LOCAL, "eap_id", slice_str("bob"), false, NULL};
    assert_int_equal(load("eap-mschapv2", "pubkey", "east.lab", &name, 1), 0);
    assert_string_equal(auth_id(&conn.local, AUTH_EAP_ID), "bob");
    assert_string_equal(warnings, "");
    assert_int_equal(load("pubkey", "pubkey", "east.lab", &name, 1), 0);
    assert_non_null(strstr(warnings, "local: eap_id is without effect"));
    name.key = "aaa_id";
    assert_int_equal(load("eap-tls", "pubkey", "east.lab", &name, 1), 0);
    assert_string_equal(auth_id(&conn.local, AUTH_AAA_ID), "bob");
    assert_true(conn.local.auth == AUTH_EAP && conn.local.eap_type == EAP_TLS);
    assert_string_equal(warnings, "");
    assert_refused(load("eap-mschapv2", "pubkey", "east.lab", &name, 1), "it goes with auth = eap-tls");
    assert_refused(load("eap-tls", "eap-tls", "east.lab", &name, 1), "aaa_id does not go with EAP at both");
    name.place = REMOTE;
    assert_refused(load("pubkey", "eap-tls", "east.lab", &name, 1), "it goes with auth = eap-tls");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificates_are_handed_on_as_der),
        cmocka_unit_test(test_files_of_cert_sections_are_read),
        cmocka_unit_test(test_auth_and_rules_are_handed_on),
        cmocka_unit_test(test_any_certificate_of_any_authority_is_refused),
        cmocka_unit_test(test_values_that_are_not_what_they_should_be),
        cmocka_unit_test(test_cert_sections_that_cannot_be_read),
        cmocka_unit_test(test_lists_are_bounded),
        cmocka_unit_test(test_what_has_no_effect_or_does_not_go_together_is_said),
        cmocka_unit_test(test_authority_is_handed_on),
        cmocka_unit_test(test_authority_is_refused_with_the_reason),
        cmocka_unit_test(test_eap_goes_with_a_certificate_at_the_other_end),
    };
    return cmocka_run_group_tests(tests, up, down);
}
