// SPDX-License-Identifier: Apache-2.0
// Revocation: CRLs that `openssl ca` makes and answers of `openssl ocsp`, good, late, of somebody else and
// broken, in the three modes; which URLs are asked for, in which order, and what is remembered.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/pki_rig.h"

enum { DAY = 86400 };
#define NAMED(n) RIG_END "subjectAltName=DNS:" n ".test\n"

static const struct pki_rules strict = {.revocation = PKI_STRICT}, ifuri = {.revocation = PKI_IFURI},
                              relaxed = {.revocation = PKI_RELAXED};

// index.txt of `openssl ca` and `openssl ocsp`: of each certificate whether it is revoked ("R"), good ("V")
// or not there.
static void index_begin(void)
{
    pki_run(": >index.txt; echo 01 >number; printf "
            "'[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\ncrlnumber=number\\n"
            "default_md=sha256\\ncrl_extensions=x\\n[x]\\nauthorityKeyIdentifier=keyid\\n' >ca.cnf");
}

static void index_add(const char *name, const char *how)
{
    bool revoked = strcmp(how, "V") != 0;
    pki_run("printf '%s\\t400101000000Z\\t%s\\t%%s\\tunknown\\t/CN=%s\\n' \"$(openssl x509 -in %s.crt -noout "
            "-serial | "
            "cut -d= -f2)\" >>index.txt",
            revoked ? "R" : "V", revoked ? how : "", name, name);
}
#define REVOKED "200101000000Z,keyCompromise"

// OUT.der: the CA's CRL of what the index says.
static void make_crl(const char *ca, const char *out, const char *options)
{
    pki_run("openssl ca -config ca.cnf -gencrl -keyfile %s.pem -cert %s.crt -crldays 7 %s -out crl.pem && "
            "openssl crl -in crl.pem -outform DER -out %s.der",
            ca, ca, options, out);
}

static int begin(void **state)
{
    (void)state;
    pki_files_begin();
    rig_cert("root", NULL, RIG_CA);
    rig_cert("other", NULL, RIG_CA);
    rig_cert("moon", "root", NAMED("moon"));
    rig_cert("sun", "root", NAMED("sun"));
    rig_cert("crl", "root", NAMED("crl") "crlDistributionPoints=URI:http://crl.test/root.crl\n");
    rig_cert("ocsp", "root", NAMED("ocsp") "authorityInfoAccess=OCSP;URI:http://ocsp.test/\n");
    rig_cert("both", "root",
             NAMED("both") "authorityInfoAccess=OCSP;URI:http://ocsp.test/\n"
                           "crlDistributionPoints=URI:ldap://crl.test/x,URI:http://crl.test/root.crl\n");
    rig_cert("responder", "root", RIG_END "extendedKeyUsage=OCSPSigning\n");
    index_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

static struct pki *with_root(void)
{
    struct pki *p = pki_new();
    assert_non_null(p);
    rig_add(p, PKI_CA, "root");
    return p;
}

static struct rig_try try_of(const char *name, const struct pki_rules *r)
{
    static char id[80];
    snprintf(id, sizeof(id), "dns:%s.test", name);
    return (struct rig_try){.certs = name, .id = id, .rules = *r};
}

static void valid(struct pki *p, const char *name, const struct pki_rules *r)
{
    const struct rig_try t = try_of(name, r);
    rig_valid(p, &t);
}

static void refused(struct pki *p, const char *name, const struct pki_rules *r, const char *says)
{
    const struct rig_try t = try_of(name, r);
    rig_refused(p, &t, says);
}

static struct pki_check *wants(struct pki *p, const char *name, const struct pki_rules *r, const char *url,
                               struct pki_fetch *f)
{
    const struct rig_try t = try_of(name, r);
    struct esp_error err = {0};
    struct pki_check *c = NULL;
    enum pki_verdict v = rig_judge(p, &t, &c, &err);
    if (v != PKI_WANTS_FETCH)
        fail_msg("%s: got verdict %d \"%s\", expected it to ask for %s", name, v, err.text, url);
    assert_true(pki_check_next(c, f));
    assert_string_equal(f->url, url);
    return c;
}

// Ends the check, which must say so.
static void answered(struct pki_check *c, const struct pki_fetch *f, bool ok, const char *text,
                     struct slice body, int64_t now, const char *says)
{
    struct esp_error err = {0};
    enum pki_verdict v = pki_check_fetched(c, f->id, ok, text, body, now, &err);
    if (v != (says ? PKI_REFUSED : PKI_VALID) || (says && !strstr(err.text, says)))
        fail_msg("got verdict %d, \"%s\", expected %s", v, err.text, says ? says : "it to be valid");
    pki_check_free(c);
}

// ---- CRLs that are loaded

static void test_loaded_crl_decides_in_every_mode(void **state)
{
    struct pki *p = with_root();
    (void)state;
    refused(p, "moon", &strict,
            "\"C=CH, O=Lab, CN=moon\": whether it is revoked is not known: it names no CRL");
    valid(p, "moon", &ifuri);
    valid(p, "moon", &relaxed);
    index_begin();
    index_add("sun", REVOKED);
    make_crl("root", "list", "");
    rig_add(p, PKI_CRL, "list");
    valid(p, "moon", &strict);
    refused(p, "sun", &strict, "\"C=CH, O=Lab, CN=sun\" is revoked (key compromise)");
    refused(p, "sun", &ifuri, "is revoked (key compromise)");
    refused(p, "sun", &relaxed, "is revoked (key compromise)");
    pki_free(p);
}

static void test_newer_crl_speaks_before_an_older_one(void **state)
{
    struct pki *p = with_root();
    (void)state;
    index_begin();
    index_add("sun", "200101000000Z,certificateHold");
    make_crl("root", "hold", "");
    pki_run("sleep 1");
    pki_run(": >index.txt"); // released
    make_crl("root", "free", "");
    rig_add(p, PKI_CRL, "free");
    rig_add(p, PKI_CRL, "hold");
    valid(p, "sun", &strict);
    pki_clear(p);
    rig_add(p, PKI_CA, "root");
    rig_add(p, PKI_CRL, "hold");
    refused(p, "sun", &strict, "is revoked (certificate hold)");
    pki_free(p);
}

// A CA that revokes twice within a second, which is all that thisUpdate tells apart.
static void test_of_two_crls_of_one_second_the_higher_number_speaks(void **state)
{
    static const char *const orders[][3] = {
        {"one", "two", "three"}, {"three", "two", "one"}, {"two", "three", "one"}, {"three", "one", "two"}};
    (void)state;
    index_begin();
    make_crl("root", "one", "-crl_lastupdate 20260101000000Z -crl_nextupdate 20400101000000Z");
    make_crl("root", "two", "-crl_lastupdate 20260101000000Z -crl_nextupdate 20400101000000Z");
    index_add("sun", REVOKED);
    make_crl("root", "three", "-crl_lastupdate 20260101000000Z -crl_nextupdate 20400101000000Z");
    for (unsigned i = 0; i < 4; i++) {
        struct pki *p = with_root();
        for (unsigned k = 0; k < 3; k++)
            rig_add(p, PKI_CRL, orders[i][k]);
        refused(p, "sun", &strict, "is revoked (key compromise)");
        valid(p, "moon", &strict);
        pki_free(p);
    }
}

static void test_crl_that_proves_nothing_is_as_none(void **state)
{
    static const struct {
        const char *ca, *options, *says;
        int64_t later;
    } v[] = {
        {"other", "", "names no CRL", 0},
        {"root", "", "CRL has expired", 8 * DAY},
        {"root", "-md sha1", "is signed with a hash that is not taken", 0},
    };
    (void)state;
    index_begin();
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct pki *p = with_root();
        make_crl(v[i].ca, "useless", v[i].options);
        rig_add(p, PKI_CRL, "useless");
        struct rig_try t = try_of("moon", &strict);
        t.now = rig_now() + v[i].later;
        rig_refused(p, &t, v[i].says);
        pki_free(p);
    }
    // of the issuer's name by another key
    pki_run("cp root.pem mine.pem; cp root.crt mine.crt; cp root.der mine.der; rm root.pem");
    rig_cert("root", NULL, RIG_CA);
    make_crl("root", "forged", "");
    pki_run("mv mine.pem root.pem; mv mine.crt root.crt; mv mine.der root.der");
    struct pki *p = with_root();
    rig_add(p, PKI_CRL, "forged");
    refused(p, "moon", &strict, "whether it is revoked is not known: the CRL of \"C=CH, O=Lab, CN=root\"");
    pki_free(p);
}

// ---- CRLs that are fetched

static void test_crl_is_asked_for_where_the_certificate_says_and_kept(void **state)
{
    struct pki *p = with_root();
    struct pki_fetch f;
    (void)state;
    index_begin();
    make_crl("root", "list", "");
    struct pki_check *c = wants(p, "crl", &strict, "http://crl.test/root.crl", &f);
    assert_int_equal(f.body.len, 0);
    assert_int_equal(f.most, PKI_CRL_MAX);
    struct pki_fetch more;
    assert_false(pki_check_next(c, &more));
    struct esp_error err = {0};
    assert_int_equal(pki_check_fetched(c, f.id + 1, true, "", rig_der("list"), rig_now(), &err),
                     PKI_WANTS_FETCH); // not ours
    answered(c, &f, true, "", rig_der("list"), rig_now(), NULL);
    valid(p, "crl", &strict); // from the cache
    const struct pki_entry *e = pki_next(p, PKI_CRL, 0);
    assert_non_null(e);
    assert_true(e->fetched);
    pki_clear(p); // which is not of the cache
    rig_add(p, PKI_CA, "root");
    valid(p, "crl", &strict);
    // after its nextUpdate it is asked for again
    struct rig_try t = try_of("crl", &strict);
    t.now = rig_now() + 8 * DAY;
    assert_int_equal(rig_judge(p, &t, &c, &err), PKI_WANTS_FETCH);
    pki_check_free(c);
    pki_flush(p, PKI_CACHE_CRL);
    c = wants(p, "crl", &strict, "http://crl.test/root.crl", &f);
    index_add("crl", REVOKED);
    make_crl("root", "list", "");
    answered(c, &f, true, "", rig_der("list"), rig_now(), "CN=crl\" is revoked (key compromise)");
    refused(p, "crl", &relaxed, "is revoked"); // that is kept as well
    pki_free(p);
}

static void test_url_without_an_answer_counts_by_the_mode_and_rests(void **state)
{
    struct pki_fetch f;
    (void)state;
    struct pki *p = with_root();
    answered(wants(p, "crl", &strict, "http://crl.test/root.crl", &f), &f, false, "it did not answer in time",
             slice_of(NULL, 0), rig_now(), "http://crl.test/root.crl: it did not answer in time");
    // for a while it is not asked again
    refused(p, "crl", &strict, "http://crl.test/root.crl has not answered a moment ago");
    valid(p, "crl", &relaxed);
    struct rig_try t = try_of("crl", &strict);
    t.now = rig_now() + 40;
    struct esp_error err;
    struct pki_check *c;
    assert_int_equal(rig_judge(p, &t, &c, &err), PKI_WANTS_FETCH);
    pki_check_free(c);
    pki_free(p);
    p = with_root();
    answered(wants(p, "crl", &ifuri, "http://crl.test/root.crl", &f), &f, false, "no", slice_of(NULL, 0),
             rig_now(), "http://crl.test/root.crl: no");
    pki_free(p);
    p = with_root();
    answered(wants(p, "crl", &relaxed, "http://crl.test/root.crl", &f), &f, false, "no", slice_of(NULL, 0),
             rig_now(), NULL);
    pki_free(p);
}

// Nobody was there to ask: that says nothing about the server, which is asked the next time.
static void test_url_that_was_not_asked_does_not_rest(void **state)
{
    struct pki_fetch f;
    struct esp_error err = {0};
    (void)state;
    struct pki *p = with_root();
    struct pki_check *c = wants(p, "crl", &strict, "http://crl.test/root.crl", &f);
    assert_int_equal(
        pki_check_fetched(c, f.id, PKI_NOT_ASKED, "it cannot be fetched", slice_of(NULL, 0), rig_now(), &err),
        PKI_REFUSED);
    assert_non_null(strstr(err.text, "it cannot be fetched"));
    pki_check_free(c);
    pki_check_free(wants(p, "crl", &strict, "http://crl.test/root.crl", &f));
    pki_free(p);
}

static void test_fetched_crl_of_somebody_else_is_no_answer_and_not_kept(void **state)
{
    struct pki_fetch f;
    (void)state;
    index_begin();
    make_crl("other", "foreign", "");
    struct pki *p = with_root();
    answered(wants(p, "crl", &strict, "http://crl.test/root.crl", &f), &f, true, "", rig_der("foreign"),
             rig_now(), "is not known");
    assert_null(pki_next(p, PKI_CRL, 0));
    pki_free(p);
    p = with_root();
    answered(wants(p, "crl", &strict, "http://crl.test/root.crl", &f), &f, true, "", slice_str("<html>"),
             rig_now(), "6 octets are no X.509 CRL in DER");
    pki_free(p);
}

static void test_crl_with_any_octet_changed_is_no_answer(void **state)
{
    struct pki *p = with_root();
    uint8_t copy[4096];
    struct pki_fetch f;
    (void)state;
    index_begin();
    make_crl("root", "list", "");
    struct slice der = rig_der("list");
    for (size_t i = 0; i <= der.len; i++) {
        memcpy(copy, der.p, der.len);
        if (i < der.len)
            copy[i] ^= 1u << (i % 8);
        struct esp_error err = {0};
        struct pki_check *c = wants(p, "crl", &strict, "http://crl.test/root.crl", &f);
        enum pki_verdict v = pki_check_fetched(c, f.id, true, "", slice_of(copy, der.len), rig_now(), &err);
        if (v != (i < der.len ? PKI_REFUSED : PKI_VALID))
            fail_msg("octet %zu: got verdict %d", i, v);
        pki_check_free(c);
        pki_flush(p, PKI_CACHE_ALL);
    }
    pki_free(p);
}

static void test_authority_is_asked_before_the_certificate_says(void **state)
{
    struct pki *p = pki_new();
    const struct slice crl[] = {slice_str("http://ours.test/a.crl"), slice_str("http://crl.test/root.crl")};
    const struct slice ocsp = slice_str("http://ours.test/ocsp");
    struct esp_error err = {0};
    struct pki_fetch f;
    (void)state;
    index_begin();
    make_crl("root", "list", "");
    assert_int_equal(pki_authority_set(p, "lab", rig_der("root"), crl, 2, &ocsp, 1, &err), 0);
    struct pki_check *c = wants(p, "crl", &strict, "http://ours.test/ocsp", &f);
    assert_true(f.body.len > 0);
    assert_int_equal(pki_check_fetched(c, f.id, false, "x", slice_of(NULL, 0), rig_now(), &err),
                     PKI_WANTS_FETCH);
    assert_true(pki_check_next(c, &f));
    assert_string_equal(f.url, "http://ours.test/a.crl");
    assert_int_equal(pki_check_fetched(c, f.id, false, "x", slice_of(NULL, 0), rig_now(), &err),
                     PKI_WANTS_FETCH);
    assert_true(pki_check_next(c, &f));
    assert_string_equal(f.url, "http://crl.test/root.crl"); // once, although both name it
    answered(c, &f, true, "", rig_der("list"), rig_now(), NULL);
    pki_free(p);
}

static void test_no_url_of_a_chain_that_is_not_trusted_is_asked_for(void **state)
{
    struct pki *p = pki_new();
    (void)state;
    rig_add(p, PKI_CA, "other");
    refused(p, "crl", &relaxed, "of no trusted CA");
    pki_free(p);
}

static void test_all_certificates_of_a_chain_are_asked_for_at_once(void **state)
{
    struct pki *p = with_root();
    struct pki_fetch a, b, none;
    struct esp_error err = {0};
    struct pki_check *c;
    (void)state;
    rig_cert("sub", "root",
             RIG_CA "authorityKeyIdentifier=keyid\ncrlDistributionPoints=URI:http://crl.test/root.crl\n");
    rig_cert("deep", "sub", NAMED("deep") "crlDistributionPoints=URI:http://crl.test/sub.crl\n");
    index_begin();
    make_crl("sub", "sub-list", "");
    index_add("sub", REVOKED);
    make_crl("root", "root-list", "");
    rig_add(p, PKI_X509, "sub");
    struct rig_try t = try_of("deep", &relaxed);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(rig_judge(p, &t, &c, &err), PKI_WANTS_FETCH);
        assert_true(pki_check_next(c, &a));
        assert_string_equal(a.url, "http://crl.test/sub.crl");
        assert_true(pki_check_next(c, &b));
        assert_string_equal(b.url, "http://crl.test/root.crl");
        assert_false(pki_check_next(c, &none));
        if (round == 0) {
            assert_int_equal(pki_check_fetched(c, a.id, true, "", rig_der("sub-list"), rig_now(), &err),
                             PKI_WANTS_FETCH);
            answered(c, &b, true, "", rig_der("root-list"), rig_now(), "CN=sub\" is revoked");
        } else { // the other way round: one word is enough
            answered(c, &b, true, "", rig_der("root-list"), rig_now(), "CN=sub\" is revoked");
        }
        pki_flush(p, PKI_CACHE_ALL);
    }
    pki_free(p);
}

// ---- what ends while something is asked

static void test_certificate_that_ends_while_its_crl_is_asked_for_is_refused(void **state)
{
    static const struct {
        bool answer;
        int64_t later;
        const char *says;
    } v[] = {{true, 60, NULL},
             {true, 3600, " has ended while its revocation was asked about"},
             {false, 60, NULL},
             {false, 3600, " has ended while its revocation was asked about"}};
    (void)state;
    index_begin();
    make_crl("root", "long", "-crl_nextupdate 20500101000000Z");
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct pki *p = with_root();
        struct rig_try t = try_of("crl", &relaxed);
        struct pki_check *c;
        struct pki_fetch f;
        struct esp_error err = {0};
        t.now = rig_now() + 3650 * DAY - 3600; // in the last hour
        assert_int_equal(rig_judge(p, &t, &c, &err), PKI_WANTS_FETCH);
        assert_true(pki_check_next(c, &f));
        answered(c, &f, v[i].answer, "no", v[i].answer ? rig_der("long") : slice_of(NULL, 0),
                 t.now + v[i].later, v[i].says);
        pki_free(p);
    }
}

// Two of a chain: the answer about one has ended when the other's comes.
static void test_answer_that_ends_while_another_is_asked_for_is_asked_for_anew(void **state)
{
    static const char *const forever = "-crl_nextupdate 20400101000000Z";
    struct pki *p = with_root();
    struct pki_fetch a, b, again;
    struct esp_error err = {0};
    struct pki_check *c;
    (void)state;
    rig_cert("sub", "root",
             RIG_CA "authorityKeyIdentifier=keyid\ncrlDistributionPoints=URI:http://crl.test/root.crl\n");
    rig_cert("deep", "sub", NAMED("deep") "crlDistributionPoints=URI:http://crl.test/sub.crl\n");
    index_begin();
    make_crl("sub", "week", "");
    make_crl("sub", "newer", forever);
    make_crl("root", "root-list", forever);
    rig_add(p, PKI_X509, "sub");
    struct rig_try t = try_of("deep", &strict);
    assert_int_equal(rig_judge(p, &t, &c, &err), PKI_WANTS_FETCH);
    assert_true(pki_check_next(c, &a));
    assert_true(pki_check_next(c, &b));
    assert_int_equal(pki_check_fetched(c, a.id, true, "", rig_der("week"), rig_now(), &err), PKI_WANTS_FETCH);
    assert_int_equal(pki_check_fetched(c, b.id, true, "", rig_der("root-list"), rig_now() + 8 * DAY, &err),
                     PKI_WANTS_FETCH);
    assert_true(pki_check_next(c, &again));
    assert_string_equal(again.url, "http://crl.test/sub.crl");
    assert_false(pki_check_next(c, &b));
    assert_int_equal(pki_check_fetched(c, again.id, true, "", rig_der("newer"), rig_now() + 8 * DAY, &err),
                     PKI_VALID);
    assert_true(pki_check_until(c) > rig_now() + 8 * DAY);
    pki_check_free(c);
    pki_free(p);
}

// ---- OCSP

static struct slice respond(const struct pki_fetch *f, const char *signer, const char *options)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/req.der", pki_files_dir());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(f->body.p, 1, f->body.len, file), f->body.len);
    fclose(file);
    pki_run("openssl ocsp -index index.txt -CA root.crt -rsigner %s.crt -rkey %s.pem -reqin req.der -respout "
            "resp.der %s",
            signer, signer, options);
    return pki_read("resp.der");
}

static void test_ocsp_of_the_issuer_or_its_responder_decides_and_is_kept(void **state)
{
    static const char *const signers[] = {"root", "responder"};
    struct pki_fetch f;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pki *p = with_root();
        index_begin();
        index_add("ocsp", "V");
        struct pki_check *c = wants(p, "ocsp", &strict, "http://ocsp.test/", &f);
        assert_string_equal(f.content_type, "application/ocsp-request");
        answered(c, &f, true, "", respond(&f, signers[i], "-ndays 1"), rig_now(), NULL);
        valid(p, "ocsp", &strict);
        pki_flush(p, PKI_CACHE_OCSP);
        c = wants(p, "ocsp", &relaxed, "http://ocsp.test/", &f);
        index_begin();
        index_add("ocsp", REVOKED);
        answered(c, &f, true, "", respond(&f, signers[i], "-ndays 1"), rig_now(),
                 "\"C=CH, O=Lab, CN=ocsp\" is revoked (key compromise)");
        refused(p, "ocsp", &relaxed, "is revoked (key compromise)");
        pki_free(p);
    }
}

static void test_ocsp_answer_that_proves_nothing_is_as_none(void **state)
{
    static const uint8_t unauthorized[] = {0x30, 0x03, 0x0a, 0x01, 0x06};
    static const struct {
        const char *what, *signer, *index, *options, *says;
        int64_t later;
    } v[] = {
        {"a certificate of the issuer without the right to", "sun", "V", "-ndays 1", "not signed by", 0},
        {"a responder of another CA", "other", "V", "-ndays 1", "not signed by", 0},
        {"an unknown certificate", "root", "", "-ndays 1", "the responder does not know the certificate", 0},
        {"one that is late", "root", "V", "-ndays 1", "out of date", 2 * DAY},
        {"one without nextUpdate that is late", "root", "V", "", "out of date", 3600},
        {"SHA-1", "root", "V", "-ndays 1 -rmd sha1", "", 0},
    };
    struct pki_fetch f;
    (void)state;
    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        struct pki *p = with_root();
        index_begin();
        if (v[i].index[0])
            index_add("ocsp", v[i].index);
        struct pki_check *c = wants(p, "ocsp", &strict, "http://ocsp.test/", &f);
        struct slice body = respond(&f, v[i].signer, v[i].options);
        struct esp_error err = {0};
        enum pki_verdict got = pki_check_fetched(c, f.id, true, "", body, rig_now() - 60 + v[i].later, &err);
        if (got != PKI_REFUSED || !strstr(err.text, v[i].says))
            fail_msg("%s: got verdict %d, \"%s\"", v[i].what, got, err.text);
        pki_check_free(c);
        pki_free(p);
    }
    struct pki *p = with_root();
    answered(wants(p, "ocsp", &strict, "http://ocsp.test/", &f), &f, true, "",
             slice_of(unauthorized, sizeof(unauthorized)), rig_now(),
             "the responder answered \"unauthorized\"");
    pki_flush(p, PKI_CACHE_ALL);
    answered(wants(p, "ocsp", &strict, "http://ocsp.test/", &f), &f, true, "", slice_of(NULL, 0), rig_now(),
             "no OCSP response");
    pki_free(p);
}

static void test_ocsp_answer_to_another_question_is_refused(void **state)
{
    struct pki_fetch first, f;
    struct pki *p = with_root();
    (void)state;
    index_begin();
    index_add("ocsp", "V");
    index_add("both", "V");
    struct pki_check *c = wants(p, "ocsp", &strict, "http://ocsp.test/", &first);
    struct slice old = respond(&first, "root", "-ndays 1");
    pki_check_free(c);
    // a replay: its nonce is another one's
    answered(wants(p, "ocsp", &strict, "http://ocsp.test/", &f), &f, true, "", old, rig_now(),
             "another question (nonce)");
    pki_flush(p, PKI_CACHE_ALL);
    // about another certificate
    c = wants(p, "both", &strict, "http://ocsp.test/", &f);
    struct slice about_both = respond(&f, "root", "-ndays 1");
    pki_check_free(c);
    answered(wants(p, "ocsp", &strict, "http://ocsp.test/", &f), &f, true, "", about_both, rig_now(),
             "about another certificate");
    pki_free(p);
}

static void test_ocsp_answer_with_any_octet_changed_proves_nothing(void **state)
{
    struct pki *p = with_root();
    static uint8_t copy[8192];
    struct pki_fetch f;
    (void)state;
    index_begin();
    index_add("ocsp", "V");
    struct pki_check *c = wants(p, "ocsp", &strict, "http://ocsp.test/", &f);
    // without certificates, which nobody has signed; without a nonce, so that it fits each question
    struct slice der = respond(&f, "root", "-ndays 1 -resp_no_certs -no_nonce");
    pki_check_free(c);
    unsigned good = 0;
    for (size_t i = 0; i <= der.len; i++) {
        memcpy(copy, der.p, der.len);
        if (i < der.len)
            copy[i] ^= 1u << (i % 8);
        struct esp_error err = {0};
        c = wants(p, "ocsp", &strict, "http://ocsp.test/", &f);
        if (pki_check_fetched(c, f.id, true, "", slice_of(copy, der.len), rig_now(), &err) == PKI_VALID)
            good++;
        pki_check_free(c);
        pki_flush(p, PKI_CACHE_ALL);
    }
    assert_in_range(good, 0, 1); // the one that is whole, where this openssl leaves the nonce out
    pki_free(p);
}

static void test_crl_is_asked_for_when_ocsp_does_not_answer(void **state)
{
    struct pki *p = with_root();
    struct pki_fetch f;
    struct esp_error err = {0};
    (void)state;
    index_begin();
    make_crl("root", "list", "");
    struct pki_check *c = wants(p, "both", &strict, "http://ocsp.test/", &f);
    assert_int_equal(pki_check_fetched(c, f.id, false, "no", slice_of(NULL, 0), rig_now(), &err),
                     PKI_WANTS_FETCH);
    assert_true(pki_check_next(c, &f));
    assert_string_equal(f.url, "http://crl.test/root.crl"); // ldap is none
    answered(c, &f, true, "", rig_der("list"), rig_now(), NULL);
    pki_free(p);
}

static void test_judgement_lasts_as_long_as_its_answers(void **state)
{
    struct pki *p = with_root();
    struct esp_error err = {0};
    struct pki_check *c;
    (void)state;
    struct rig_try t = try_of("moon", &relaxed);
    assert_int_equal(rig_judge(p, &t, &c, &err), PKI_VALID);
    assert_true(pki_check_until(c) > rig_now() + 3000LL * DAY); // the certificates' ten years
    pki_check_free(c);
    index_begin();
    make_crl("root", "list", "");
    rig_add(p, PKI_CRL, "list");
    assert_int_equal(rig_judge(p, &t, &c, &err), PKI_VALID);
    assert_in_range(pki_check_until(c), rig_now() + 6LL * DAY, rig_now() + 7LL * DAY);
    pki_check_free(c);
    pki_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loaded_crl_decides_in_every_mode),
        cmocka_unit_test(test_newer_crl_speaks_before_an_older_one),
        cmocka_unit_test(test_of_two_crls_of_one_second_the_higher_number_speaks),
        cmocka_unit_test(test_crl_that_proves_nothing_is_as_none),
        cmocka_unit_test(test_crl_is_asked_for_where_the_certificate_says_and_kept),
        cmocka_unit_test(test_url_without_an_answer_counts_by_the_mode_and_rests),
        cmocka_unit_test(test_url_that_was_not_asked_does_not_rest),
        cmocka_unit_test(test_fetched_crl_of_somebody_else_is_no_answer_and_not_kept),
        cmocka_unit_test(test_crl_with_any_octet_changed_is_no_answer),
        cmocka_unit_test(test_authority_is_asked_before_the_certificate_says),
        cmocka_unit_test(test_no_url_of_a_chain_that_is_not_trusted_is_asked_for),
        cmocka_unit_test(test_all_certificates_of_a_chain_are_asked_for_at_once),
        cmocka_unit_test(test_certificate_that_ends_while_its_crl_is_asked_for_is_refused),
        cmocka_unit_test(test_answer_that_ends_while_another_is_asked_for_is_asked_for_anew),
        cmocka_unit_test(test_ocsp_of_the_issuer_or_its_responder_decides_and_is_kept),
        cmocka_unit_test(test_ocsp_answer_that_proves_nothing_is_as_none),
        cmocka_unit_test(test_ocsp_answer_to_another_question_is_refused),
        cmocka_unit_test(test_ocsp_answer_with_any_octet_changed_proves_nothing),
        cmocka_unit_test(test_crl_is_asked_for_when_ocsp_does_not_answer),
        cmocka_unit_test(test_judgement_lasts_as_long_as_its_answers),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
