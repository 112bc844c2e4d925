// SPDX-License-Identifier: Apache-2.0
// OpenSSL's provider interface (provider-keymgmt(7), provider-signature(7)) for keys that are elsewhere: the
// public half answers all questions; a signature notes what is to be signed and lets the handshake stand
// still (ASYNC_pause_job(3)) until somebody brings it.
#include "ctrl/ike/tls_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/async.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

enum { SIGNED_MAX = 128 * 1024 }; // octets: those of a TLS 1.2 client are its whole handshake

#define PARAM_SIGNER "signer" // of import: the address of a struct tls_signer

struct key {
    const char *name;
    struct tls_signer *signer; // NULL: a public key alone
    EVP_PKEY *public;
};

// --- keys ---

static void *key_new(const char *name)
{
    struct key *k = calloc(1, sizeof(*k));
    if (k)
        k->name = name;
    return k;
}
static void *new_rsa(void *ctx)
{
    (void)ctx;
    return key_new("RSA");
}
static void *new_ec(void *ctx)
{
    (void)ctx;
    return key_new("EC");
}
static void *new_ed25519(void *ctx)
{
    (void)ctx;
    return key_new("ED25519");
}
static void *new_ed448(void *ctx)
{
    (void)ctx;
    return key_new("ED448");
}

static void key_free(void *key)
{
    struct key *k = key;
    if (k)
        EVP_PKEY_free(k->public);
    free(k);
}

static int key_has(const void *key, int selection)
{
    const struct key *k = key;
    return k->public && (k->signer || !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY));
}

static int key_match(const void *a, const void *b, int selection)
{
    const struct key *x = a, *y = b;
    (void)selection;
    return x->public && y->public && EVP_PKEY_eq(x->public, y->public) == 1;
}

// Ours by its signer; a certificate's public key, to be compared with it, by its parameters.
static int key_import(void *key, int selection, const OSSL_PARAM params[])
{
    struct key *k = key;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_SIGNER);
    (void)selection;
    if (p && p->data_size == sizeof(void *)) {
        memcpy(&k->signer, p->data, sizeof(void *));
        k->public = k->signer->public;
        return EVP_PKEY_up_ref(k->public);
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, k->name, NULL);
    int good = ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
               EVP_PKEY_fromdata(ctx, &k->public, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static const OSSL_PARAM *key_import_types(int selection)
{
    static const OSSL_PARAM types[] = {OSSL_PARAM_octet_string(PARAM_SIGNER, NULL, 0),
                                       OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                       OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
                                       OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
                                       OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
                                       OSSL_PARAM_END};
    (void)selection;
    return types;
}

// Never where the private half is asked for too: OpenSSL would sign by itself with what it gets.
static int key_export(void *key, int selection, OSSL_CALLBACK *cb, void *arg)
{
    const struct key *k = key;
    OSSL_PARAM *params = NULL;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || !k->public ||
        EVP_PKEY_todata(k->public, EVP_PKEY_PUBLIC_KEY, &params) != 1)
        return 0;
    int good = cb(params, arg);
    OSSL_PARAM_free(params);
    return good;
}

static int key_get_params(void *key, OSSL_PARAM params[])
{
    const struct key *k = key;
    return k->public && EVP_PKEY_get_params(k->public, params);
}

static const OSSL_PARAM *key_gettable(void *ctx)
{
    static const OSSL_PARAM list[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
                                      OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
                                      OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
                                      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
                                      OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
                                      OSSL_PARAM_END};
    (void)ctx;
    return list;
}

static const char *ec_operation(int id)
{
    return id == OSSL_OP_SIGNATURE ? "ECDSA" : "EC";
}

typedef void (*fn)(void);
#define KEYMGMT(name, new, more)                                                                             \
    static const OSSL_DISPATCH name[] = {{OSSL_FUNC_KEYMGMT_NEW, (fn) new},                                  \
                                         {OSSL_FUNC_KEYMGMT_FREE, (fn)key_free},                             \
                                         {OSSL_FUNC_KEYMGMT_HAS, (fn)key_has},                               \
                                         {OSSL_FUNC_KEYMGMT_MATCH, (fn)key_match},                           \
                                         {OSSL_FUNC_KEYMGMT_IMPORT, (fn)key_import},                         \
                                         {OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (fn)key_import_types},             \
                                         {OSSL_FUNC_KEYMGMT_EXPORT, (fn)key_export},                         \
                                         {OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (fn)key_import_types},             \
                                         {OSSL_FUNC_KEYMGMT_GET_PARAMS, (fn)key_get_params},                 \
                                         {OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (fn)key_gettable},              \
                                         more{0, NULL}}
#define ECDSA_NAME {OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (fn)ec_operation},
KEYMGMT(rsa_keys, new_rsa, );
KEYMGMT(ec_keys, new_ec, ECDSA_NAME);
KEYMGMT(ed25519_keys, new_ed25519, );
KEYMGMT(ed448_keys, new_ed448, );

static const OSSL_ALGORITHM all_keys[] = {{"RSA:rsaEncryption", "provider=espalier", rsa_keys, NULL},
                                          {"EC:id-ecPublicKey", "provider=espalier", ec_keys, NULL},
                                          {"ED25519", "provider=espalier", ed25519_keys, NULL},
                                          {"ED448", "provider=espalier", ed448_keys, NULL},
                                          {NULL, NULL, NULL, NULL}};

// --- signatures ---

struct signing {
    const struct key *key;
    char digest[32];
    bool pss;
};

static void *sign_new(void *provider, const char *properties)
{
    (void)provider, (void)properties;
    return calloc(1, sizeof(struct signing));
}

static int sign_params(void *ctx, const OSSL_PARAM params[])
{
    struct signing *s = ctx;
    const OSSL_PARAM *p = params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
    int mode = 0;
    if (p && p->data_type == OSSL_PARAM_UTF8_STRING)
        s->pss = strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
    else if (p && OSSL_PARAM_get_int(p, &mode) == 1)
        s->pss = mode == RSA_PKCS1_PSS_PADDING;
    return 1; // the salt is always as long as the hash
}

static const OSSL_PARAM *sign_settable(void *ctx, void *provider)
{
    static const OSSL_PARAM list[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0), // or its number
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0), OSSL_PARAM_END};
    (void)ctx, (void)provider;
    return list;
}

static int sign_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct signing *s = ctx;
    if (key)
        s->key = key;
    snprintf(s->digest, sizeof(s->digest), "%s", digest ? digest : "");
    return s->key != NULL && sign_params(ctx, params);
}

// 0: none that we sign by.
static uint32_t scheme_of(const struct signing *s)
{
    static const struct {
        const char *key, *digest;
        bool pss;
        uint32_t scheme;
    } list[] = {{"RSA", "SHA256", false, CR_SCHEME_RSA_SHA256},
                {"RSA", "SHA384", false, CR_SCHEME_RSA_SHA384},
                {"RSA", "SHA512", false, CR_SCHEME_RSA_SHA512},
                {"RSA", "SHA256", true, CR_SCHEME_RSA_PSS_SHA256},
                {"RSA", "SHA384", true, CR_SCHEME_RSA_PSS_SHA384},
                {"RSA", "SHA512", true, CR_SCHEME_RSA_PSS_SHA512},
                {"EC", "SHA256", false, CR_SCHEME_ECDSA_SHA256},
                {"EC", "SHA384", false, CR_SCHEME_ECDSA_SHA384},
                {"EC", "SHA512", false, CR_SCHEME_ECDSA_SHA512},
                {"ED25519", "", false, CR_SCHEME_ED25519},
                {"ED448", "", false, CR_SCHEME_ED448}};
    EVP_MD *md = s->digest[0] ? EVP_MD_fetch(NULL, s->digest, NULL) : NULL;
    uint32_t scheme = 0;
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        if (strcmp(s->key->name, list[i].key) == 0 && s->pss == list[i].pss &&
            (list[i].digest[0] ? md && EVP_MD_is_a(md, list[i].digest) : !md))
            scheme = list[i].scheme;
    EVP_MD_free(md);
    return scheme;
}

static int sign(void *ctx, unsigned char *out, size_t *len, size_t cap, const unsigned char *data, size_t n)
{
    const struct signing *s = ctx;
    struct tls_signer *to = s->key->signer;
    int most = EVP_PKEY_get_size(s->key->public);
    if (!out) {
        *len = most > 0 ? (size_t)most : 0;
        return most > 0;
    }
    if (!to || to->data || !n || n > SIGNED_MAX || !ASYNC_get_current_job() || !(to->scheme = scheme_of(s)) ||
        !(to->data = malloc(n)))
        return 0;
    memcpy(to->data, data, n);
    to->len = n;
    to->pending = true;
    ASYNC_pause_job();
    to->pending = false;
    if (!to->signature_len || to->signature_len > cap)
        return 0;
    memcpy(out, to->signature, to->signature_len);
    *len = to->signature_len;
    return 1;
}

static const OSSL_DISPATCH signatures[] = {{OSSL_FUNC_SIGNATURE_NEWCTX, (fn)sign_new},
                                           {OSSL_FUNC_SIGNATURE_FREECTX, (fn)free},
                                           {OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (fn)sign_init},
                                           {OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (fn)sign},
                                           {OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (fn)sign_params},
                                           {OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (fn)sign_settable},
                                           {0, NULL}};
static const OSSL_ALGORITHM all_signatures[] = {{"RSA:rsaEncryption", "provider=espalier", signatures, NULL},
                                                {"ECDSA", "provider=espalier", signatures, NULL},
                                                {"ED25519", "provider=espalier", signatures, NULL},
                                                {"ED448", "provider=espalier", signatures, NULL},
                                                {NULL, NULL, NULL, NULL}};

// --- the provider ---

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_cache)
{
    (void)provider;
    *no_cache = 0;
    return operation == OSSL_OP_KEYMGMT ? all_keys : operation == OSSL_OP_SIGNATURE ? all_signatures : NULL;
}

int tls_key_provider(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                     void **ctx)
{
    static const OSSL_DISPATCH functions[] = {{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (fn)query}, {0, NULL}};
    (void)in;
    *out = functions;
    *ctx = (void *)(uintptr_t)handle; // a context that is not NULL
    return 1;
}

EVP_PKEY *tls_key_new(OSSL_LIB_CTX *ctx, struct tls_signer *s)
{
    static const char *const names[] = {"RSA", "EC", "ED25519", "ED448"};
    const char *name = NULL;
    EVP_PKEY *key = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        name = EVP_PKEY_is_a(s->public, names[i]) ? names[i] : name;
    EVP_PKEY_CTX *c = name ? EVP_PKEY_CTX_new_from_name(ctx, name, "provider=espalier") : NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(PARAM_SIGNER, &s, sizeof(void *)),
                           OSSL_PARAM_END};
    if (c && EVP_PKEY_fromdata_init(c) == 1 && EVP_PKEY_fromdata(c, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(c);
    return key;
}
