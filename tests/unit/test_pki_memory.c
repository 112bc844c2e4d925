// SPDX-License-Identifier: Apache-2.0
// Certificates when memory runs out: one allocation fails, our own or one of OpenSSL's, the n-th of a store's
// filling and of a judgement, for n in turn. Who must not get in does not, in no mode of revocation; who may
// is taken or refused; nothing leaks (with ASan) and all works when there is memory again.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "tests/unit/no_memory.h"
#include "tests/unit/pki_rig.h"

// OpenSSL's allocations are ours here, so that they can fail too.
static void *take(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return malloc(n);
}

static void *take_again(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return realloc(p, n);
}

static void give_back(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

static int64_t now;

static void make_crl(const char *ca, const char *out, const char *revoked)
{
    pki_run(": >index.txt; echo 01 >number; printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\n"
            "crlnumber=number\\ndefault_md=sha256\\n' >ca.cnf");
    if (revoked)
        pki_run("printf 'R\\t400101000000Z\\t200101000000Z\\t%%s\\tunknown\\t/CN=x\\n' \"$(openssl x509 -in "
                "%s.crt "
                "-noout -serial | cut -d= -f2)\" >>index.txt",
                revoked);
    pki_run(
        "openssl ca -config ca.cnf -gencrl -keyfile %s.pem -cert %s.crt -crldays 7 -out crl.pem && openssl "
        "crl -in crl.pem -outform DER -out %s.der",
        ca, ca, out);
}

static int begin(void **state)
{
    (void)state;
    pki_files_begin();
    rig_cert("root", NULL, RIG_CA);
    rig_cert("other", NULL, RIG_CA);
    rig_cert("mid", "root",
             RIG_CA "nameConstraints=critical,permitted;DNS:good.test,permitted;DNS:bad.test\n");
    rig_cert("good", "mid", RIG_END "subjectAltName=DNS:good.test\n");
    rig_cert("bad", "mid", RIG_END "subjectAltName=DNS:bad.test\n");
    rig_cert("out", "mid", RIG_END "subjectAltName=DNS:out.test\n");
    rig_cert("alien", "other", RIG_END "subjectAltName=DNS:alien.test\n");
    make_crl("mid", "mid-list", "bad");
    make_crl("root", "root-list", NULL);
    now = rig_now();
    return 0;
}

static int end(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

// A file is read once, while there is memory.
static struct slice der_of(const char *name)
{
    static struct {
        const char *name;
        struct slice der;
    } read[16];
    unsigned i = 0;
    while (read[i].name && strcmp(read[i].name, name) != 0)
        i++;
    assert_true(i + 1 < sizeof(read) / sizeof(read[0]));
    if (!read[i].name) {
        read[i].name = name;
        read[i].der = rig_der(name);
    }
    return read[i].der;
}

static void add(struct pki *p, enum pki_kind kind, const char *name)
{
    struct slice der = der_of(name);
    struct esp_error err = {0};
    if (pki_add(p, kind, der.p, der.len, &err) < 0)
        fail_msg("%s: %s", name, err.text);
}

// NAME and the authority in the middle, for the identity NAME.test.
static enum pki_verdict judge(struct pki *p, const char *name, uint8_t mode, struct pki_check **c,
                              struct esp_error *err)
{
    char id[40];
    const struct slice certs[] = {der_of(name), der_of("mid")};
    const struct pki_rules rules = {.revocation = mode};
    int n = snprintf(id, sizeof(id), "%s.test", name);
    const struct pki_peer peer = {
        .certs = certs, .count = 2, .id_type = 2, .id = slice_of((const uint8_t *)id, (size_t)n)};
    return pki_check_begin(p, &rules, &peer, now, c, err);
}

static struct pki *store(void)
{
    struct pki *p = pki_new();
    assert_non_null(p);
    add(p, PKI_CA, "root");
    add(p, PKI_X509, "mid");
    add(p, PKI_CRL, "mid-list");
    add(p, PKI_CRL, "root-list");
    return p;
}

// Every one of the first, then some: a judgement makes thousands.
static unsigned after(unsigned n)
{
    return n < 200 ? n + 1 : n + 1 + n / 60 + n % 7;
}

static void test_store_that_cannot_be_filled_says_so_and_is_whole(void **state)
{
    static const struct {
        const char *name;
        enum pki_kind kind;
    } what[] = {{"root", PKI_CA}, {"mid", PKI_X509}, {"mid-list", PKI_CRL}};
    unsigned tries = 0, refused = 0;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct slice der = rig_der(what[i].name);
        bool failed = true;
        for (unsigned n = 1; failed; n = after(n), tries++) {
            struct esp_error err = {0};
            struct pki *p = pki_new();
            assert_non_null(p);
            no_memory_at(n);
            int rc = pki_add(p, what[i].kind, der.p, der.len, &err);
            failed = no_memory_end();
            assert_true(rc == 0 || (failed && rc < 0 && err.text[0]));
            refused += rc != 0;
            const struct pki_entry *e = pki_next(p, what[i].kind, 0);
            assert_true((e != NULL) == (rc == 0)); // whole or not at all
            assert_int_equal(pki_add(p, what[i].kind, der.p, der.len, &err), rc == 0);
            pki_free(p);
        }
    }
    print_message("  %u allocations failed, %u loads were refused\n", tries, refused);
    assert_in_range(refused, 20, tries);
}

static void judge_all(const char *name, uint8_t mode, bool may)
{
    unsigned tries = 0, valid = 0, refused = 0;
    bool failed = true;
    struct pki *p = store();
    der_of(name);
    for (unsigned n = 1; failed; n = after(n), tries++) {
        struct esp_error err = {0};
        struct pki_check *c = NULL;
        no_memory_at(n);
        enum pki_verdict v = judge(p, name, mode, &c, &err);
        failed = no_memory_end();
        if (v == PKI_VALID && !may)
            fail_msg("%s, mode %u: taken when allocation %u failed", name, mode, n);
        assert_true(v == PKI_VALID ? c != NULL : (c == NULL && err.text[0]));
        valid += v == PKI_VALID;
        refused += v == PKI_REFUSED;
        if (c) {
            struct pki_standing *s = NULL;
            no_memory_at(1);
            assert_int_equal(pki_check_standing(c, &s), -12); // the certificates are not kept: that is told
            no_memory_end();
            assert_null(s);
        }
        pki_check_free(c);
        ERR_clear_error();
    }
    print_message("  %s, mode %u: %u allocations failed: %u times refused, %u taken\n", name, mode, tries,
                  refused, valid);
    assert_true(refused > 20);
    struct pki_check *c = NULL;
    struct esp_error err = {0};
    assert_int_equal(judge(p, name, mode, &c, &err), may ? PKI_VALID : PKI_REFUSED);
    pki_check_free(c);
    pki_free(p);
}

static void test_whoever_may_not_get_in_does_not_for_lack_of_memory(void **state)
{
    static const uint8_t modes[] = {PKI_STRICT, PKI_IFURI, PKI_RELAXED};
    (void)state;
    for (unsigned m = 0; m < 3; m++) {
        judge_all("bad", modes[m], false);
        judge_all("good", modes[m], true);
    }
    judge_all("out", PKI_RELAXED, false);
    judge_all("alien", PKI_RELAXED, false);
}

// A tunnel that stands is not taken for revoked where it cannot be looked at, and is looked at again.
static void test_standing_chain_is_judged_again_when_there_was_no_memory(void **state)
{
    bool failed = true;
    unsigned tries = 0, later = 0, silent = 0;
    (void)state;
    for (unsigned n = 1; failed; n = after(n), tries++) {
        struct pki *p = pki_new();
        struct pki_check *c = NULL;
        struct pki_standing *s = NULL;
        struct esp_error err = {0};
        add(p, PKI_CA, "root");
        assert_int_equal(judge(p, "bad", PKI_RELAXED, &c, &err), PKI_VALID);
        assert_int_equal(pki_check_standing(c, &s), 0);
        pki_check_free(c);
        add(p, PKI_CRL, "mid-list");
        no_memory_at(n);
        int rc = pki_standing_judge(p, s, now, &err);
        failed = no_memory_end();
        later += rc == -12;
        silent += rc == 0;
        if (rc == 0) // OpenSSL has not said that there was no memory: with whatever comes next
            add(p, PKI_CRL, "root-list");
        assert_int_equal(pki_standing_judge(p, s, now, &err), -13);
        pki_standing_unref(s);
        pki_free(p);
        ERR_clear_error();
    }
    print_message(
        "  %u allocations failed, %u times it was found out when asked again, %u with the next CRL\n", tries,
        later, silent);
    assert_true(later > 10 && silent < later);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_that_cannot_be_filled_says_so_and_is_whole),
        cmocka_unit_test(test_whoever_may_not_get_in_does_not_for_lack_of_memory),
        cmocka_unit_test(test_standing_chain_is_judged_again_when_there_was_no_memory),
    };
    if (!CRYPTO_set_mem_functions(take, take_again, give_back))
        return 1;
    return cmocka_run_group_tests(tests, begin, end);
}
