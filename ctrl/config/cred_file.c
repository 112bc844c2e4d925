// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/cred_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

void cred_free(uint8_t *data, size_t len)
{
    if (data)
        OPENSSL_cleanse(data, len);
    free(data);
}

// ---- files

static int read_all(int fd, uint8_t *to, size_t *len)
{
    for (*len = 0; *len <= CRED_MAX;) {
        ssize_t n = read(fd, to + *len, CRED_MAX + 1 - *len);
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        *len += (size_t)n;
    }
    return -EFBIG;
}

int cred_read(const char *path, uint8_t **data, size_t *len, struct esp_error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r = 0;
    uint8_t *b = NULL;
    *data = NULL;
    if (fd < 0)
        return esp_fail(err, -errno, "file", "%.200s: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        r = esp_fail(err, -EINVAL, "file", "%.200s: expected a plain file", path);
    else if (!(b = malloc(CRED_MAX + 1)))
        r = esp_fail(err, -ENOMEM, "file", "out of memory");
    else if ((r = read_all(fd, b, len)) < 0)
        esp_fail(err, r, "file", "%.200s: %s", path, r == -EFBIG ? "longer than 65535 octets" : strerror(-r));
    close(fd);
    if (r)
        cred_free(b, b ? CRED_MAX + 1 : 0);
    else
        *data = b;
    return r;
}

// ---- private keys

static int copy(const uint8_t *from, size_t len, uint8_t **to, size_t *to_len, struct esp_error *err)
{
    *to = len ? malloc(len) : NULL;
    if (!*to)
        return esp_fail(err, len ? -ENOMEM : -EINVAL, "", len ? "out of memory" : "it is empty");
    memcpy(*to, from, len);
    *to_len = len;
    return 0;
}

static int info_to_der(const PKCS8_PRIV_KEY_INFO *info, uint8_t **der, size_t *len, struct esp_error *err)
{
    unsigned char *b = NULL;
    int n = i2d_PKCS8_PRIV_KEY_INFO(info, &b);
    int r =
        n > 0 ? copy(b, (size_t)n, der, len, err) : esp_fail(err, -EINVAL, "", "the key cannot be written");
    OPENSSL_clear_free(b, n > 0 ? (size_t)n : 0);
    return r;
}

static int refuse_password(const char *password, struct esp_error *err)
{
    return esp_fail(err, -EKEYREJECTED, "", "%s",
                    password ? "the password does not decrypt it"
                             : "it is encrypted, and no password is given");
}

// PKCS#8 EncryptedPrivateKeyInfo, the whole of the data. 1: it is none.
static int decrypt_pkcs8(const uint8_t *data, size_t len, const char *password, uint8_t **der,
                         size_t *der_len, struct esp_error *err)
{
    const unsigned char *at = data;
    X509_SIG *sealed = d2i_X509_SIG(NULL, &at, (long)len);
    if (!sealed || at != data + len) {
        X509_SIG_free(sealed);
        return 1;
    }
    PKCS8_PRIV_KEY_INFO *info = password ? PKCS8_decrypt(sealed, password, (int)strlen(password)) : NULL;
    int r = info ? info_to_der(info, der, der_len, err) : refuse_password(password, err);
    PKCS8_PRIV_KEY_INFO_free(info);
    X509_SIG_free(sealed);
    return r;
}

static const char *what_der_is(const uint8_t *data, size_t len)
{
    const unsigned char *at = data;
    const char *what = NULL;
    X509 *cert = d2i_X509(NULL, &at, (long)len);
    at = data;
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)len);
    at = data;
    PKCS12 *container = d2i_PKCS12(NULL, &at, (long)len);
    at = data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)len);
    what = cert        ? "a certificate"
           : crl       ? "a CRL"
           : container ? "a PKCS#12 container"
           : key       ? "a public key"
                       : NULL;
    X509_free(cert);
    X509_CRL_free(crl);
    PKCS12_free(container);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return what;
}

static int der_key(const uint8_t *data, size_t len, const char *password, uint8_t **der, size_t *der_len,
                   struct esp_error *err)
{
    const unsigned char *at = data;
    int r = decrypt_pkcs8(data, len, password, der, der_len, err);
    if (r <= 0)
        return r;
    EVP_PKEY *pkey = d2i_AutoPrivateKey(NULL, &at, (long)len);
    bool whole = pkey && at == data + len;
    EVP_PKEY_free(pkey);
    if (whole)
        return copy(data, len, der, der_len, err);
    const char *what = pkey ? "a private key with something behind it" : what_der_is(data, len);
    return esp_fail(err, -EINVAL, "",
                    "it is %s; expected a private key in PEM or DER (PKCS#8, PKCS#1 or SEC 1)",
                    what ? what : "none that is known");
}

static int password_cb(char *buf, int size, int writing, void *password)
{
    (void)writing;
    size_t n = password ? strlen(password) : 0;
    if (!password || n > (size_t)size)
        return -1;
    memcpy(buf, password, n);
    return (int)n;
}

// The traditional encryption of PEM: its header says how.
static int decrypt_header(char *header, uint8_t *data, long *len, const char *password, struct esp_error *err)
{
    EVP_CIPHER_INFO cipher;
    if (!header[0])
        return 0;
    if (!PEM_get_EVP_CIPHER_INFO(header, &cipher))
        return esp_fail(err, -EINVAL, "", "it is PEM with a header that is not known");
    if (!cipher.cipher)
        return 0;
    if (!password || !PEM_do_header(&cipher, data, len, password_cb, (void *)(uintptr_t)password))
        return refuse_password(password, err);
    return 0;
}

static int pem_block(char *header, uint8_t *data, long len, const char *password, uint8_t **der,
                     size_t *der_len, struct esp_error *err)
{
    int r = decrypt_header(header, data, &len, password, err);
    if (r == 0)
        r = der_key(data, (size_t)len, password, der, der_len, err);
    // a wrong password shows only in what comes out
    return r == -EINVAL && header[0] && password ? refuse_password(password, err) : r;
}

static int pem_key(const uint8_t *data, size_t len, const char *password, uint8_t **der, size_t *der_len,
                   struct esp_error *err)
{
    BIO *in = BIO_new_mem_buf(data, (int)len);
    char *name = NULL, *header = NULL, first[40] = "";
    unsigned char *block = NULL;
    long n;
    int r = 1;
    while (in && r == 1 && PEM_read_bio(in, &name, &header, &block, &n)) {
        bool key = strstr(name, "PRIVATE KEY") != NULL;
        if (!first[0])
            snprintf(first, sizeof(first), "%s", name);
        if (key)
            r = pem_block(header, block, n, password, der, der_len, err);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(block, (size_t)n);
    }
    BIO_free(in);
    if (r == 1)
        r = esp_fail(err, in ? -EINVAL : -ENOMEM, "", "%s%s%s", in ? "it is " : "out of memory",
                     !in        ? ""
                     : first[0] ? first
                                : "PEM that cannot be read",
                     in ? " in PEM; expected a private key" : "");
    return r;
}

int cred_key(const uint8_t *data, size_t len, const char *password, uint8_t **der, size_t *der_len,
             struct esp_error *err)
{
    static const char pem[] = "-----BEGIN ";
    bool is_pem = false;
    for (size_t i = 0; i + strlen(pem) <= len && !is_pem; i++)
        is_pem = (i == 0 || data[i - 1] == '\n') && memcmp(data + i, pem, strlen(pem)) == 0;
    *der = NULL;
    int r = is_pem ? pem_key(data, len, password, der, der_len, err)
                   : der_key(data, len, password, der, der_len, err);
    ERR_clear_error();
    return r;
}
