// SPDX-License-Identifier: Apache-2.0
// NIST's Public Key Interoperability Test Suite (PKITS 1.0.1), as Debian's python3-cryptography-vectors has
// it: each end certificate that is called Valid or Invalid is judged with all its CA certificates and CRLs
// loaded and revocation strict, and has to be what it is called. Where this store knows less than the suite
// (indirect and delta CRLs, CRLs signed by another key, DSA), a valid one is refused, never an invalid one
// taken: those are listed with the reason.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <openssl/x509.h>

#include "ctrl/pki/pki.h"
#include "tests/unit/pki_files.h"

static const char *const packaged[] = {
    // Debian 12's and 13's
    "/usr/lib/python3/dist-packages/cryptography_vectors/x509/PKITS_data",
    "/usr/lib/python3/dist-packages/cryptography_vectors/vectors/x509/PKITS_data",
};
enum { NOW = 1577836800 }; // 2020-01-01, within the suite's 2010 to 2030

static const struct {
    const char *test, *why;
} refused[] = {
    {"ValidDSASignaturesTest4", "DSA"},
    {"ValidDSAParameterInheritanceTest5", "DSA"},
    {"ValidcRLIssuerTest30", "only the CRL itself says that its own signer is not revoked"},
};

static const char *root(void)
{
    for (size_t i = 0; i < sizeof(packaged) / sizeof(packaged[0]); i++)
        if (access(packaged[i], R_OK) == 0)
            return packaged[i];
    return NULL;
}

static bool ends(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);
    return n > t && strcmp(name + n - t, tail) == 0;
}

static struct slice file(const char *folder, const char *name)
{
    char path[600];
    snprintf(path, sizeof(path), "%s/%s/%s", root(), folder, name);
    return pki_read(path);
}

static void load(struct pki *p, const char *folder, const char *tail, enum pki_kind kind)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", root(), folder);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (!ends(e->d_name, tail) || strncmp(e->d_name, "TrustAnchor", 11) == 0)
            continue;
        struct slice der = file(folder, e->d_name);
        pki_add(p, kind, der.p, der.len, NULL); // what is not taken (DSA) is missing then
    }
    closedir(d);
}

static struct pki *suite(void)
{
    struct pki *p = pki_new();
    struct slice anchor = file("certs", "TrustAnchorRootCertificate.crt");
    struct esp_error err = {0};
    assert_non_null(p);
    if (pki_add(p, PKI_CA, anchor.p, anchor.len, &err))
        fail_msg("%s", err.text);
    anchor = file("crls", "TrustAnchorRootCRL.crl");
    assert_int_equal(pki_add(p, PKI_CRL, anchor.p, anchor.len, &err), 0);
    load(p, "certs", "Cert.crt", PKI_X509);
    load(p, "crls", ".crl", PKI_CRL);
    return p;
}

static bool judge(struct pki *p, const char *name, struct esp_error *err)
{
    struct slice der = file("certs", name);
    const unsigned char *at = der.p, *dn;
    size_t dn_len = 0;
    X509 *x = d2i_X509(NULL, &at, (long)der.len);
    assert_non_null(x);
    X509_NAME_get0_der(X509_get_subject_name(x), &dn, &dn_len);
    const struct pki_peer peer = {.certs = &der, .count = 1, .id_type = 9, .id = slice_of(dn, dn_len)};
    const struct pki_rules rules = {.revocation = PKI_STRICT};
    struct pki_check *c = NULL;
    enum pki_verdict v = pki_check_begin(p, &rules, &peer, NOW, &c, err);
    pki_check_free(c);
    X509_free(x);
    if (v == PKI_WANTS_FETCH)
        snprintf(err->text, sizeof(err->text), "wants to fetch");
    return v == PKI_VALID;
}

static const char *listed(const char *name)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (strlen(refused[i].test) + 6 == strlen(name) && // EE.crt

            strncmp(name, refused[i].test, strlen(refused[i].test)) == 0)
            return refused[i].why;
    return NULL;
}

static void test_each_pkits_certificate_is_what_it_is_called(void **state)
{
    char path[300];
    unsigned valid = 0, invalid = 0, less = 0, wrong = 0;
    (void)state;
    if (!root()) {
        print_message("PKITS is not installed (make deps brings python3-cryptography-vectors)\n");
        skip();
    }
    struct pki *p = suite();
    snprintf(path, sizeof(path), "%s/certs", root());
    DIR *d = opendir(path);
    for (struct dirent *e; (e = readdir(d));) {
        bool good = strncmp(e->d_name, "Valid", 5) == 0;
        if (!ends(e->d_name, "EE.crt") || (!good && strncmp(e->d_name, "Invalid", 7) != 0))
            continue;
        struct esp_error err = {0};
        bool taken = judge(p, e->d_name, &err);
        const char *why = listed(e->d_name);
        *(good ? &valid : &invalid) += 1;
        less += why != NULL;
        if (taken != (good && !why)) {
            print_error("%s: got %s, expected %s: %s\n", e->d_name, taken ? "valid" : "refused",
                        good && !why ? "valid" : "refused", err.text);
            wrong++;
        }
    }
    closedir(d);
    pki_free(p);
    print_message("%u valid (%u of them refused, as listed), %u invalid\n", valid, less, invalid);
    assert_int_equal(wrong, 0);
    assert_true(valid > 50 && invalid > 50);
}

static int begin(void **state)
{
    (void)state;
    pki_files_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_pkits_certificate_is_what_it_is_called)};
    return cmocka_run_group_tests(tests, begin, end);
}
