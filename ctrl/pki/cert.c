// SPDX-License-Identifier: Apache-2.0
// One certificate, CRL or public key: read within its bounds, described, and matched with an identity (RFC
// 4945 3.1: subject or subjectAltName, by type and octets; no common name stands for a DNS name).
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "ctrl/crypto/key.h"
#include "ctrl/pki/internal.h"

static const char *kind_name(enum pki_kind k)
{
    return k == PKI_CRL      ? "CRL"
           : k == PKI_PUBKEY ? "public key"
           : k == PKI_CA     ? "CA certificate"
                             : "certificate";
}

static size_t kind_max(enum pki_kind k)
{
    return k == PKI_CRL ? PKI_CRL_MAX : PKI_CERT_MAX;
}

int digest_of(struct slice der, uint8_t out[SHA256_LEN])
{
    return cr_sha256(NULL, &(struct cr_slice){der.p, der.len}, 1, out);
}

int64_t unix_time(const ASN1_TIME *t)
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
        return INT64_MIN;
    return (int64_t)timegm(&tm);
}

struct slice name_der(const X509_NAME *n)
{
    const unsigned char *p = NULL;
    size_t len = 0;
    if (!n || X509_NAME_get0_der(n, &p, &len) != 1)
        return slice_of(NULL, 0);
    return slice_of(p, len);
}

char *name_print(const X509_NAME *n, char *buf, size_t size)
{
    struct slice der = name_der(n);
    if (!der.len || !dn_print(der.p, der.len, buf, size))
        snprintf(buf, size, "(an unreadable name)");
    else if (!buf[0])
        snprintf(buf, size, "(no name)");
    return buf;
}

char *subject_of(const X509 *x, char *buf, size_t size)
{
    char name[PKI_TEXT_LEN];
    name_print(X509_get_subject_name(x), name, sizeof(name));
    size_t n = strlen(name);
    // the end of a name tells more than its beginning
    bool cut = n + 3 > size;
    snprintf(buf, size, "\"%s%s\"", cut ? "..." : "", cut ? name + (n + 6 - size) : name);
    return buf;
}

bool is_self_signed(X509 *x)
{
    return X509_self_signed(x, 0) == 1;
}

bool issued_by(X509 *x, X509 *issuer)
{
    int r = X509_check_issued(issuer, x);
    ERR_clear_error();
    return r == X509_V_OK;
}

// Its key has been decoded with it, which costs OpenSSL 3.0 a tenth of a millisecond.
int crt_key(X509 *x, struct cr_key **out, struct esp_error *err)
{
    unsigned char *der = NULL;
    X509_PUBKEY *pub = X509_get_X509_PUBKEY(x);
    int n = i2d_X509_PUBKEY(pub, &der);
    int rc = n > 0 ? cr_key_of(pub, der, (size_t)n, out, err) : esp_fail(err, -ENOMEM, "key", "no memory");
    OPENSSL_free(der);
    return rc;
}

uint8_t hash_of_nid(int nid)
{
    int md = NID_undef;
    if (OBJ_find_sigid_algs(nid, &md, NULL) != 1)
        return 0;
    switch (md) {
    case NID_sha1: return CR_HASH_SHA1;
    case NID_sha256: return CR_HASH_SHA256;
    case NID_sha384: return CR_HASH_SHA384;
    case NID_sha512: return CR_HASH_SHA512;
    case NID_undef: return nid == NID_ED25519 || nid == NID_ED448 ? CR_HASH_IDENTITY : 0;
    default: return 0;
    }
}

uint8_t crt_hash(X509 *x)
{
    int md = NID_undef;
    if (X509_get_signature_nid(x) != NID_rsassaPss)
        return hash_of_nid(X509_get_signature_nid(x));
    if (X509_get_signature_info(x, &md, NULL, NULL, NULL) != 1)
        return 0;
    return md == NID_sha256   ? CR_HASH_SHA256
           : md == NID_sha384 ? CR_HASH_SHA384
           : md == NID_sha512 ? CR_HASH_SHA512
           : md == NID_sha1   ? CR_HASH_SHA1
                              : 0;
}

// ---- reading

// OpenSSL reads extensions when it is asked for them; one that cannot be read makes a certificate that says
// something else to everybody.
static int check_extensions(X509 *x, struct esp_error *err)
{
    char who[100];
    if (X509_get_extension_flags(x) & EXFLAG_INVALID)
        return esp_fail(err, -EINVAL, "certificate", "%s has an extension that is malformed or there twice",
                        subject_of(x, who, sizeof(who)));
    return 0;
}

static int check_ca(X509 *x, struct esp_error *err)
{
    char who[100];
    if (X509_check_ca(x) != 1)
        return esp_fail(
            err, -EINVAL, "certificate",
            "%s is no CA certificate: basicConstraints with CA, and keyCertSign in a keyUsage, are expected",
            subject_of(x, who, sizeof(who)));
    return 0;
}

static int read_crt(struct pki_item *i, struct esp_error *err)
{
    struct esp_error why = {0};
    struct cr_key *key = NULL;
    char who[100];
    const unsigned char *p = i->e.der.p;
    i->crt = d2i_X509(NULL, &p, (long)i->e.der.len);
    if (!i->crt || p != i->e.der.p + i->e.der.len)
        return esp_fail(err, -EINVAL, "certificate", "%s of %zu octets is no X.509 certificate in DER",
                        kind_name(i->e.kind), i->e.der.len);
    if (name_der(X509_get_subject_name(i->crt)).len > PKI_DN_MAX ||
        name_der(X509_get_issuer_name(i->crt)).len > PKI_DN_MAX)
        return esp_fail(err, -E2BIG, "certificate", "%s has a name of more than %d octets",
                        subject_of(i->crt, who, sizeof(who)), PKI_DN_MAX);
    int rc = check_extensions(i->crt, err);
    if (rc == 0 && i->e.kind == PKI_CA)
        rc = check_ca(i->crt, err);
    if (rc == 0 && (rc = crt_key(i->crt, &key, &why)) != 0)
        esp_fail(err, rc, "certificate", "%s: %s", subject_of(i->crt, who, sizeof(who)), why.text);
    i->e.key = key;
    i->is_ca = X509_check_ca(i->crt) == 1;
    return rc;
}

static int read_crl(struct pki_item *i, struct esp_error *err)
{
    const unsigned char *p = i->e.der.p;
    i->crl = d2i_X509_CRL(NULL, &p, (long)i->e.der.len);
    if (!i->crl || p != i->e.der.p + i->e.der.len)
        return esp_fail(err, -EINVAL, "CRL", "%zu octets are no X.509 CRL in DER", i->e.der.len);
    return 0;
}

static int read_item(struct pki_item *i, struct esp_error *err)
{
    struct cr_key *key = NULL;
    int rc;
    switch (i->e.kind) {
    case PKI_X509:
    case PKI_CA: return read_crt(i, err);
    case PKI_CRL: return read_crl(i, err);
    default:
        rc = cr_key_public(i->e.der.p, i->e.der.len, &key, err);
        i->e.key = key;
        return rc;
    }
}

void item_unref(struct pki_item *i)
{
    if (!i || --i->refs)
        return;
    X509_free(i->crt);
    X509_CRL_free(i->crl);
    cr_key_free((struct cr_key *)(uintptr_t)i->e.key);
    free((void *)(uintptr_t)i->e.der.p);
    free(i);
}

struct pki_item *item_new(enum pki_kind kind, struct slice der, struct esp_error *err)
{
    if (kind < PKI_X509 || kind > PKI_PUBKEY) {
        esp_fail(err, -EINVAL, "kind", "%d is none of certificate, CA, CRL and public key", (int)kind);
        return NULL;
    }
    if (der.len == 0 || der.len > kind_max(kind)) {
        esp_fail(err, der.len ? -E2BIG : -EINVAL, kind_name(kind), "a %s of %zu octets: 1 to %zu are taken",
                 kind_name(kind), der.len, kind_max(kind));
        return NULL;
    }
    struct pki_item *i = calloc(1, sizeof(*i));
    uint8_t *copy = malloc(der.len);
    if (!i || !copy) {
        free(i);
        free(copy);
        esp_fail(err, -ENOMEM, kind_name(kind), "no memory");
        return NULL;
    }
    memcpy(copy, der.p, der.len);
    i->refs = 1;
    i->e.kind = kind;
    i->e.der = slice_of(copy, der.len);
    int rc = read_item(i, err);
    if (rc == 0 && digest_of(i->e.der, i->digest))
        rc = esp_fail(err, -ENOMEM, kind_name(kind), "no memory");
    ERR_clear_error();
    if (rc == 0)
        return i;
    item_unref(i);
    return NULL;
}

// ---- PEM

static bool label_fits(enum pki_kind kind, const char *label)
{
    static const char *const crt[] = {"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"};
    if (kind == PKI_CRL)
        return strcmp(label, "X509 CRL") == 0;
    if (kind == PKI_PUBKEY)
        return strcmp(label, "PUBLIC KEY") == 0;
    return strcmp(label, crt[0]) == 0 || strcmp(label, crt[1]) == 0;
}

// The first block that fits, allocated by OpenSSL; *seen: what was there instead.
static unsigned char *pem_block(enum pki_kind kind, const uint8_t *data, size_t len, long *out_len,
                                char seen[48])
{
    BIO *bio = BIO_new_mem_buf(data, (int)len);
    char *label = NULL, *head = NULL;
    unsigned char *block = NULL;
    long n = 0;
    bool found = false;
    while (bio && !found && PEM_read_bio(bio, &label, &head, &block, &n) == 1) {
        found = label_fits(kind, label);
        snprintf(seen, 48, "%s", label);
        OPENSSL_free(label);
        OPENSSL_free(head);
        if (!found) {
            OPENSSL_clear_free(block, (size_t)n); // it may be a private key
            block = NULL;
        }
    }
    BIO_free(bio);
    ERR_clear_error();
    *out_len = n;
    return found ? block : NULL;
}

static bool is_pem(const uint8_t *data, size_t len)
{
    return len >= 11 && data[0] != 0x30 && memmem(data, len, "-----BEGIN ", 11) != NULL;
}

// DER of what was given: *mine is to be freed by OPENSSL_free where it is set.
static int find_der(enum pki_kind kind, const uint8_t *data, size_t len, struct slice *der,
                    unsigned char **mine, struct esp_error *err)
{
    char seen[48] = "";
    long n = 0;
    *mine = NULL;
    *der = slice_of(data, len);
    if (len > 2 * kind_max(kind) + 64 * 1024)
        return esp_fail(err, -E2BIG, kind_name(kind), "%zu octets: a %s has at most %zu", len,
                        kind_name(kind), kind_max(kind));
    if (!is_pem(data, len))
        return 0;
    *mine = pem_block(kind, data, len, &n, seen);
    if (!*mine)
        return esp_fail(err, -EINVAL, kind_name(kind), "no %s in this PEM%s%s", kind_name(kind),
                        seen[0] ? ", but " : "", seen);
    *der = slice_of(*mine, (size_t)n);
    return 0;
}

int pki_read_der(enum pki_kind kind, const uint8_t *data, size_t len, uint8_t **out, size_t *out_len,
                 struct esp_error *err)
{
    struct slice der;
    unsigned char *mine;
    int rc = find_der(kind, data, len, &der, &mine, err);
    *out = NULL;
    struct esp_error own = {0};
    struct pki_item *i = rc == 0 ? item_new(kind, der, &own) : NULL;
    OPENSSL_free(mine);
    if (rc)
        return rc;
    if (!i)
        return esp_fail(err, own.code, own.field, "%s", own.text);
    *out = (uint8_t *)(uintptr_t)i->e.der.p;
    *out_len = i->e.der.len;
    i->e.der = slice_of(NULL, 0); // theirs now
    item_unref(i);
    return 0;
}

// ---- describing

// For a log or a terminal: what others wrote does not steer it.
static void printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            *text = '?';
}

static void print_names(X509 *x, char *buf, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    buf[0] = 0;
    for (int i = 0; bio && i < sk_GENERAL_NAME_num(names); i++) {
        if (i)
            BIO_printf(bio, ", ");
        GENERAL_NAME_print(bio, sk_GENERAL_NAME_value(names, i));
    }
    long n = bio ? BIO_get_mem_data(bio, &text) : 0;
    if (n > 0)
        snprintf(buf, size, "%.*s", (int)n, text);
    printable(buf);
    BIO_free(bio);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

static void print_serial(const ASN1_INTEGER *serial, char *buf, size_t size)
{
    size_t at = 0;
    buf[0] = 0;
    for (int i = 0; serial && i < ASN1_STRING_length(serial) && at + 3 <= size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%02x", ASN1_STRING_get0_data(serial)[i]);
}

static void describe_crt(X509 *x, struct pki_info *out)
{
    name_print(X509_get_subject_name(x), out->subject, sizeof(out->subject));
    name_print(X509_get_issuer_name(x), out->issuer, sizeof(out->issuer));
    print_serial(X509_get0_serialNumber(x), out->serial, sizeof(out->serial));
    out->not_before = unix_time(X509_get0_notBefore(x));
    out->not_after = unix_time(X509_get0_notAfter(x));
    out->is_ca = X509_check_ca(x) == 1;
    out->self_signed = is_self_signed(x);
    print_names(x, out->names, sizeof(out->names));
}

static void describe_crl(const X509_CRL *c, struct pki_info *out)
{
    name_print(X509_CRL_get_issuer(c), out->issuer, sizeof(out->issuer));
    const ASN1_INTEGER *number = X509_CRL_get_ext_d2i(c, NID_crl_number, NULL, NULL);
    print_serial(number, out->serial, sizeof(out->serial));
    ASN1_INTEGER_free((ASN1_INTEGER *)(uintptr_t)number);
    out->not_before = unix_time(X509_CRL_get0_lastUpdate(c));
    out->not_after = X509_CRL_get0_nextUpdate(c) ? unix_time(X509_CRL_get0_nextUpdate(c)) : INT64_MAX;
}

void item_describe(const struct pki_item *i, struct pki_info *out)
{
    memset(out, 0, sizeof(*out));
    if (i->crt)
        describe_crt(i->crt, out);
    if (i->crl)
        describe_crl(i->crl, out);
    if (i->e.key) {
        out->key_type = (uint8_t)cr_key_type(i->e.key);
        out->key_bits = (uint16_t)cr_key_bits(i->e.key);
        cr_key_id(i->e.key, out->key_id);
    }
    ERR_clear_error();
}

int pki_describe(enum pki_kind kind, struct slice der, struct pki_info *out, struct esp_error *err)
{
    struct esp_error own = {0};
    struct pki_item *i = item_new(kind, der, &own);
    memset(out, 0, sizeof(*out));
    if (!i)
        return esp_fail(err, own.code, own.field, "%s", own.text);
    item_describe(i, out);
    item_unref(i);
    return 0;
}

// ---- identities

enum {
    ID_TYPE_IPV4 = 1,
    ID_TYPE_FQDN = 2,
    ID_TYPE_RFC822 = 3,
    ID_TYPE_IPV6 = 5,
    ID_TYPE_DN = 9,
    ID_TYPE_KEY = 11
};

static bool text_eq(const ASN1_STRING *s, struct slice id)
{
    return s && (size_t)ASN1_STRING_length(s) == id.len &&
           strncasecmp((const char *)ASN1_STRING_get0_data(s), (const char *)id.p, id.len) == 0 &&
           !memchr(id.p, 0, id.len);
}

static bool octets_eq(const ASN1_STRING *s, struct slice id)
{
    return s && slice_eq(slice_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)), id);
}

static bool name_is(const GENERAL_NAME *n, uint8_t id_type, struct slice id)
{
    switch (n->type) {
    case GEN_DNS: return id_type == ID_TYPE_FQDN && text_eq(n->d.dNSName, id);
    case GEN_EMAIL: return id_type == ID_TYPE_RFC822 && text_eq(n->d.rfc822Name, id);
    case GEN_IPADD:
        return ((id_type == ID_TYPE_IPV4 && id.len == 4) || (id_type == ID_TYPE_IPV6 && id.len == 16)) &&
               octets_eq(n->d.iPAddress, id);
    case GEN_DIRNAME: {
        struct slice dn = name_der(n->d.directoryName);
        return id_type == ID_TYPE_DN && dn_match(dn.p, dn.len, id.p, id.len) >= 0;
    }
    default: return false;
    }
}

static bool alt_name_is(X509 *x, uint8_t id_type, struct slice id)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++)
        found = name_is(sk_GENERAL_NAME_value(names, i), id_type, id);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return found;
}

bool crt_matches(X509 *x, const struct cr_key *key, uint8_t id_type, struct slice id)
{
    uint8_t key_id[20];
    if (id.len == 0)
        return false;
    if (id_type == ID_TYPE_DN) {
        struct slice dn = name_der(X509_get_subject_name(x));
        if (dn_match(dn.p, dn.len, id.p, id.len) >= 0)
            return true;
    }
    if (id_type == ID_TYPE_KEY) {
        cr_key_id(key, key_id);
        return octets_eq(X509_get0_subject_key_id(x), id) || slice_eq(slice_of(key_id, sizeof(key_id)), id);
    }
    return alt_name_is(x, id_type, id);
}

bool pki_match_id(struct slice cert, uint8_t id_type, struct slice id)
{
    struct pki_item *i = item_new(PKI_X509, cert, NULL);
    bool yes = i && crt_matches(i->crt, i->e.key, id_type, id);
    item_unref(i);
    return yes;
}
