// SPDX-License-Identifier: Apache-2.0
// Certificate and key from PEM files.
#include "tests/load/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static int read_cert(struct credentials *c, const char *path, struct esp_error *err)
{
    FILE *f = fopen(path, "re");
    X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    int len = x ? i2d_X509(x, &c->cert) : -1;

    if (f)
        fclose(f);
    X509_free(x);
    if (!f)
        return esp_fail(err, -errno, "--cert", "%s: %s", path, strerror(errno));
    if (len <= 0)
        return esp_fail(err, -EINVAL, "--cert", "%s: expected an X.509 certificate in PEM", path);
    c->cert_len = (size_t)len;
    return 0;
}

static int read_key(struct credentials *c, const char *path, struct esp_error *err)
{
    FILE *f = fopen(path, "re");
    EVP_PKEY *k = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    uint8_t *der = NULL;
    int len = k ? i2d_PrivateKey(k, &der) : -1, ret;

    if (f)
        fclose(f);
    EVP_PKEY_free(k);
    if (!f)
        return esp_fail(err, -errno, "--key", "%s: %s", path, strerror(errno));
    if (len <= 0)
        return esp_fail(err, -EINVAL, "--key", "%s: expected a private key in PEM without a passphrase",
                        path);
    ret = cr_key_private(der, (size_t)len, &c->key, err);
    OPENSSL_clear_free(der, (size_t)len);
    return ret;
}

int credentials_load(const char *cert, const char *key, struct credentials **out, struct esp_error *err)
{
    struct credentials *c = calloc(1, sizeof(*c));
    int ret = c ? read_cert(c, cert, err) : esp_fail(err, -ENOMEM, "", "out of memory");

    if (ret == 0)
        ret = read_key(c, key, err);
    if (ret != 0) {
        credentials_free(c);
        return ret;
    }
    *out = c;
    return 0;
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    cr_key_free(c->key);
    OPENSSL_free(c->cert);
    free(c);
}

int credentials_check(struct slice cert_der, uint8_t method, struct slice auth, const struct cr_slice *parts,
                      size_t count, struct esp_error *err)
{
    const uint8_t *at = cert_der.p;
    X509 *x = d2i_X509(NULL, &at, (long)cert_der.len);
    uint8_t *spki = NULL;
    int len = x ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &spki) : -1, ret;
    struct cr_key *k = NULL;

    X509_free(x);
    if (len <= 0)
        return esp_fail(err, -EBADMSG, "CERT", "the peer's is no X.509 certificate");
    ret = cr_key_public(spki, (size_t)len, &k, err);
    OPENSSL_free(spki);
    if (ret == 0)
        ret = cr_verify(k, cr_schemes_default(), method, auth.p, auth.len, parts, count, err);
    cr_key_free(k);
    return ret;
}
