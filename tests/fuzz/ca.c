// SPDX-License-Identifier: Apache-2.0
// The authority of ca.h.
#include "tests/fuzz/ca.h"

#include <stdio.h>
#include <stdlib.h>
#include <openssl/x509v3.h>

static const uint8_t seed[32] = {1, 2, 3, 4, 5, 6, 7, 8};

EVP_PKEY *ca_key(void)
{
    static EVP_PKEY *key;
    if (!key)
        key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
    if (!key)
        abort();
    return key;
}

struct slice ca_private(void)
{
    uint8_t *der = NULL;
    int len = i2d_PrivateKey(ca_key(), &der);
    if (len <= 0)
        abort();
    return slice_of(der, (size_t)len);
}

static void extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (!e || X509_add_ext(x, e, -1) != 1)
        abort();
    X509_EXTENSION_free(e);
}

static void set_name(X509 *x, int (*set)(X509 *, const X509_NAME *), const char *text)
{
    X509_NAME *n = X509_NAME_new();
    X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const uint8_t *)text, -1, -1, 0);
    set(x, n);
    X509_NAME_free(n);
}

struct slice ca_cert(const char *name, bool authority)
{
    X509 *x = X509_new();
    uint8_t *der = NULL;
    char san[80];
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), authority ? 1 : 2);
    set_name(x, X509_set_issuer_name, "root");
    set_name(x, X509_set_subject_name, name);
    ASN1_TIME_set_string(X509_getm_notBefore(x), "20200101000000Z");
    ASN1_TIME_set_string(X509_getm_notAfter(x), "20400101000000Z");
    X509_set_pubkey(x, ca_key());
    extension(x, NID_basic_constraints, authority ? "critical,CA:TRUE" : "CA:FALSE");
    snprintf(san, sizeof(san), "DNS:%s.test", name);
    if (authority) {
        extension(x, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else {
        extension(x, NID_subject_alt_name, san);
        extension(x, NID_crl_distribution_points, "URI:http://crl.test/x");
        extension(x, NID_info_access, "OCSP;URI:http://ocsp.test/");
    }
    X509_sign(x, ca_key(), NULL);
    int len = i2d_X509(x, &der);
    if (len <= 0)
        abort();
    X509_free(x);
    return slice_of(der, (size_t)len);
}
