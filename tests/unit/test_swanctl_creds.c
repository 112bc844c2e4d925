// SPDX-License-Identifier: Apache-2.0
// `--check` of a swanctl.conf with its directories of credentials: what stock swanctl 5.9.8 would load from
// them is counted, and what it or charon would refuse is told with its file.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/config/swanctl_creds.h"
#include "ctrl/config/swanctl_file.h"
#include "ctrl/lib/trust.h"
#include "tests/unit/cred_dir.h"

static char faults[6000], warnings[6000], keys[2000];
static unsigned certs[PKI_OCSP + 1], conns;

static int up(void **state)
{
    (void)state;
    pki_files_begin();
    cred_dir_make();
    pki_run("rm -rf good && mkdir good && cp -r x509* pubkey private rsa ecdsa pkcs8 pkcs12 good/");
    return 0;
}

static int down(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

// The directory has another name each time.
static void append(char *to, size_t size, const char *where, const char *path, const char *text)
{
    size_t n = strlen(to);
    snprintf(to + n, size - n, "%s: %s: %s\n", where, path, text);
    for (char *at; (at = strstr(to, pki_files_dir()));)
        memmove(at, at + strlen(pki_files_dir()) + 1, strlen(at + strlen(pki_files_dir()) + 1) + 1);
}

static void fault(void *ctx, const char *where, const char *path, const char *text)
{
    (void)ctx;
    append(faults, sizeof(faults), where, path, text);
}

static void warn(void *ctx, const char *where, const char *path, const char *text)
{
    (void)ctx;
    append(warnings, sizeof(warnings), where, path, text);
}

static void conn(void *ctx, const struct conn_config *c)
{
    (void)ctx;
    (void)c;
    conns++;
}

static void cert(void *ctx, uint8_t kind, const char *flag, const uint8_t *der, size_t len)
{
    (void)ctx;
    (void)flag;
    assert_true(len > 0 && der[0] == 0x30);
    assert_true(kind <= PKI_OCSP);
    certs[kind]++;
}

static void key(void *ctx, const uint8_t id[20], const uint8_t *der, size_t len)
{
    assert_true(len > 0 && der[0] == 0x30);
    size_t n = strlen(keys);
    (void)ctx;
    for (int i = 0; i < 20; i++)
        n += (size_t)snprintf(keys + n, sizeof(keys) - n, "%02x", id[i]);
    snprintf(keys + n, sizeof(keys) - n, "\n");
}

static void check(const char *file)
{
    const struct swanctl_report report = {
        .fault = fault, .warn = warn, .conn = conn, .cert = cert, .key = key};
    struct conf_tree t;
    struct esp_error err = {0};
    struct slice text = slice_str(file);
    faults[0] = warnings[0] = keys[0] = 0;
    memset(certs, 0, sizeof(certs));
    conns = 0;
    if (conf_tree_parse(&t, file, text.len, "swanctl.conf", ".", NULL, &err) != 0)
        fail_msg("%s: %s", err.field, err.text);
    assert_int_equal(swanctl_file_check(&t, pki_files_dir(), &report), 0);
    conf_tree_free(&t);
}

static void reset(void)
{
    pki_run("rm -rf x509* pubkey private rsa ecdsa pkcs8 pkcs12 bliss && cp -r good/* .");
}

static unsigned count(const char *in, const char *what)
{
    unsigned n = 0;
    for (const char *at = in; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

#define SECRETS                                                                                              \
    "secrets { pkcs8-n { file = north.pem\n secret = geheim\n }\n private-w { file = westenc.pem\n "         \
    "secret = "                                                                                              \
    "sesam\n }\n pkcs12-e { file = east.p12\n secret = p12\n } }\n"
#define CONN(local, remote) "connections { c { local {\n" local "\n}\n remote {\n" remote "\n} } }\n"

// The numbers are those that stock swanctl --load-creds sent of the same files.
static void test_all_that_swanctl_loads_is_read(void **state)
{
    (void)state;
    reset();
    check(SECRETS CONN("certs = west.pem", "id = east.lab\n cacerts = ca.pem, sub.der"));
    assert_string_equal(faults, "");
    assert_string_equal(warnings, "");
    assert_int_equal(conns, 1);
    assert_int_equal(certs[PKI_X509], 3 + 2); // and out of the container
    assert_int_equal(certs[PKI_CA], 2);
    assert_int_equal(certs[PKI_CRL], 1);
    assert_int_equal(certs[PKI_PUBKEY], 1);
    assert_int_equal(count(keys, "\n"), 6);
    assert_int_equal(count(keys, cred_dir_key_id("west")), 2);
    assert_int_equal(count(keys, cred_dir_key_id("east")), 2);
    assert_int_equal(count(keys, cred_dir_key_id("north")), 2);
}

static void test_every_form_of_a_key_is_read(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "openssl pkey -in made/west.key", // PKCS#8
        "openssl pkey -in made/west.key -outform DER",
        "openssl rsa -in made/west.key -traditional",
        "openssl rsa -in made/west.key -traditional -outform DER",
        "openssl pkey -in made/east.key",
        "openssl pkey -in made/east.key -outform DER",
        "openssl ec -in made/east.key -outform DER",
        "openssl ecparam -name prime256v1; cat made/east.key", // parameters before it
        "openssl pkey -in made/north.key -outform DER",
        "cat made/west.pem; cat made/west.key",
        "openssl pkcs8 -topk8 -in made/west.key -passout pass:geheim",
        "openssl pkcs8 -topk8 -in made/west.key -passout pass:geheim -outform DER",
        "openssl pkcs8 -topk8 -in made/east.key -passout pass:geheim -v2 aes-128-cbc",
        "openssl ec -in made/east.key -aes256 -passout pass:geheim",
        "openssl rsa -in made/west.key -traditional -aes256 -passout pass:geheim",
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        pki_run("rm -rf x509* pubkey private rsa ecdsa pkcs8 pkcs12 && mkdir private && (%s) >private/k "
                "2>err.txt",
                forms[i]);
        check("secrets { private { file = k\n secret = geheim\n } }\n");
        if (faults[0] || warnings[0])
            fail_msg("%s: %s%s", forms[i], faults, warnings);
        assert_int_equal(count(keys, "\n"), 1);
    }
}

static void test_files_that_would_be_refused_are_told(void **state)
{
    (void)state;
    reset();
    pki_run(
        "rm -rf pkcs12 pkcs8 private/westenc.pem; echo hello >x509/garbage; : >x509/empty; cp made/root.crl "
        "x509/list.crl; cp made/west.pem x509ca/end.pem; echo hello >private/garbage; cp made/west.pem "
        "private/cert.pem; cp made/west.key ecdsa/wrong.pem; cp made/east.key rsa/wrong.pem; cp "
        "made/north.key "
        "rsa/north.pem; ln -s /nonexistent x509/dangling; mkdir x509/sub; echo x >x509/sub/no; cp "
        "made/west.pem "
        "x509/.hidden; cp made/ca.pem x509crl/no.crl; cp made/ca.pem pubkey/no.pub; cp made/west.pem "
        "x509aa/aa.pem; mkdir bliss; echo x >bliss/b; head -c 70000 /dev/zero >x509/long");
    check("");
    static const char *const told[] = {
        "x509/garbage: x509: ",
        "x509/empty: x509: ",
        "x509/list.crl: x509: ",
        "x509/long: x509: ",
        "x509/dangling: x509: ",
        "x509ca/end.pem: x509ca: ",
        "private/garbage: private: it is none that is known; expected a private key in PEM or DER",
        "private/cert.pem: private: it is CERTIFICATE in PEM; expected a private key",
        "ecdsa/wrong.pem: ecdsa: it is an RSA key; expected an ECDSA key in this directory",
        "rsa/wrong.pem: rsa: it is an ECDSA key; expected an RSA key in this directory",
        "x509crl/no.crl: x509crl: ",
        "pubkey/no.pub: pubkey: ",
        "x509aa/aa.pem: x509aa: attribute authorities and attribute certificates are not supported yet",
        "bliss/b: bliss: BLISS keys are not supported",
    };
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
        if (count(faults, told[i]) != 1)
            fail_msg("expected \"%s\" once in:\n%s", told[i], faults);
    assert_int_equal(count(faults, "\n"), sizeof(told) / sizeof(told[0]));
    assert_int_equal(certs[PKI_X509], 4); // .hidden too, as swanctl sends it; not what lies in x509/sub
    assert_int_equal(count(keys, cred_dir_key_id("north")), 2); // EdDSA from anywhere
}

static void test_passwords_are_tried_as_swanctl_does(void **state)
{
    (void)state;
    reset();
    pki_run("rm -rf x509* pubkey rsa ecdsa");
    check("");
    assert_string_equal(faults, "");
    assert_int_equal(count(warnings, "the key is encrypted and no section private* of secrets has"), 1);
    assert_int_equal(count(warnings, "the key is encrypted and no section pkcs8* of secrets has"), 1);
    assert_int_equal(count(warnings, "no section pkcs12* of secrets has its file"), 1);
    assert_int_equal(count(keys, "\n"), 1); // private/plain.pem
    check("secrets { pkcs8-n { file = north.pem\n secret = wrong\n }\n private-w { file = westenc.pem\n "
          "secret = "
          "sesam\n }\n pkcs12-e { file = east.p12\n secret = wrong\n }\n private-x { file = nowhere.pem\n "
          "secret = y\n "
          "}\n private-y { secret = y\n } }\n");
    assert_int_equal(count(keys, "\n"), 2); //
    assert_string_equal(warnings, "");
    static const char *const told[] = {
        "swanctl.conf:1: secrets.pkcs8-n: the secret does not decrypt pkcs8/north.pem",
        "secrets.pkcs12-e: the secret does not decrypt pkcs12/east.p12",
        "secrets.private-x: file = nowhere.pem: no such file in private, where",
        "secrets.private-y: file is missing",
    };
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
        if (count(faults, told[i]) != 1)
            fail_msg("expected \"%s\" once in:\n%s", told[i], faults);
    assert_int_equal(count(faults, "\n"), 4);
    assert_null(strstr(faults, "wrong"));
}

// As stock swanctl 5.9.8 was seen to: only sections whose names begin as the directory does.
static void test_a_secret_is_of_the_directory_of_its_name(void **state)
{
    (void)state;
    static const char *const names[] = {"private", "rsa", "ecdsa", "pkcs8"};
    for (size_t dir = 0; dir < 4; dir++) {
        for (size_t section = 0; section < 4; section++) {
            char conf[120];
            pki_run("rm -rf x509* pubkey private rsa ecdsa pkcs8 pkcs12; mkdir %s && cp good/pkcs8/north.pem "
                    "%s/k",
                    names[dir], names[dir]);
            snprintf(conf, sizeof(conf), "secrets { %s-x { file = k\n secret = geheim\n } }\n",
                     names[section]);
            check(conf);
            assert_int_equal(count(keys, "\n"), dir == section);
            assert_int_equal(count(faults, "file = k: no such file in "), dir != section);
            assert_int_equal(count(warnings, "the key is encrypted"), dir != section);
        }
    }
}

static void test_files_that_connections_and_authorities_name(void **state)
{
    (void)state;
    reset();
    pki_run("echo junk >x509/junk.pem");
    check(SECRETS CONN("certs = west.pem, nope.pem, junk.pem",
                       "cacerts = ca.pem\n pubkeys = gone.pub\n cacert1 { file "
                       "= x.pem\n}") "authorities { a { cacert = ca.pem\n "
                                     "crl_uris = file:///x, http://y/\n }\n b "
                                     "{ cacert = none.pem\n }\n c { "
                                     "file = /nonexistent\n }\n d { crl_uris = "
                                     "http://x/\n }\n e { cacert = west.pem\n "
                                     "}\n f { frob = 1\n } }\n");
    static const char *const told[] = {
        ("swanctl.conf:11: connections.c.local: invalid value for: certs: x509/nope.pem: No such file or "
         "directory"),
        "swanctl.conf:11: connections.c.local: invalid value for: certs: junk.pem: ",
        "x509/junk.pem: x509: ",
        ("swanctl.conf:15: connections.c.remote: invalid value for: pubkeys: pubkey/gone.pub: No such file "
         "or "
         "directory"),
        ("swanctl.conf:16: connections.c.remote.cacert1: invalid value for: file: 'x.pem', expected an "
         "absolute path"),
        "authorities.b: invalid value for: cacert: x509ca/none.pem: No such file or directory",
        "authorities.c: invalid value for: file: /nonexistent: No such file or directory",
        "authorities.d: CA certificate missing: d",
        "authorities.e: invalid value for: cacert: x509ca/west.pem: No such file or directory",
        "authorities.f: unknown option: frob",
    };
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
        if (count(faults, told[i]) != 1)
            fail_msg("expected \"%s\" once in:\n%s", told[i], faults);
    assert_int_equal(count(faults, "\n"), sizeof(told) / sizeof(told[0]));
    pki_run("rm x509/junk.pem");
    check(CONN("certs = west.pem", "certs = north.der"));
    assert_string_equal(faults, "");
}

static void test_expired_ones_are_said(void **state)
{
    (void)state;
    reset();
    pki_run("openssl x509 -req -in made/west.csr -CA made/ca.pem -CAkey made/ca.key " PKI_EXPIRED
            " -out x509/old.pem");
    check(SECRETS);
    assert_string_equal(faults, "");
    assert_non_null(strstr(warnings, "x509/old.pem: x509: the certificate expired at "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_swanctl_loads_is_read),
        cmocka_unit_test(test_every_form_of_a_key_is_read),
        cmocka_unit_test(test_files_that_would_be_refused_are_told),
        cmocka_unit_test(test_passwords_are_tried_as_swanctl_does),
        cmocka_unit_test(test_a_secret_is_of_the_directory_of_its_name),
        cmocka_unit_test(test_files_that_connections_and_authorities_name),
        cmocka_unit_test(test_expired_ones_are_said),
    };
    return cmocka_run_group_tests(tests, up, down);
}
