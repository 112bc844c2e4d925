// SPDX-License-Identifier: Apache-2.0
// The functions of the provider itself that OpenSSL has for the key exchange are called, those of
// openssl-core_dispatch.h(7). By EVP_PKEY each multiplication makes two key objects and looks for their
// algorithms by name, a sixth of the time that it takes in all. Which provider it is OpenSSL's configuration
// says, as for EVP_PKEY.
#include "ctrl/crypto/x_curve.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>

// An algorithm's names stand one behind the other, by colons.
static bool has_name(const char *names, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = names; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL)
        if (strncasecmp(p, name, len) == 0 && (p[len] == ':' || p[len] == '\0'))
            return true;
    return false;
}

static void take_key(struct x_curve *x, const OSSL_DISPATCH *d)
{
    switch (d->function_id) {
    case OSSL_FUNC_KEYMGMT_NEW: x->key_new = OSSL_FUNC_keymgmt_new(d); break;
    case OSSL_FUNC_KEYMGMT_FREE: x->key_free = OSSL_FUNC_keymgmt_free(d); break;
    case OSSL_FUNC_KEYMGMT_IMPORT: x->key_import = OSSL_FUNC_keymgmt_import(d); break;
    default: break;
    }
}

static void take_exchange(struct x_curve *x, const OSSL_DISPATCH *d)
{
    switch (d->function_id) {
    case OSSL_FUNC_KEYEXCH_NEWCTX: x->ctx_new = OSSL_FUNC_keyexch_newctx(d); break;
    case OSSL_FUNC_KEYEXCH_FREECTX: x->ctx_free = OSSL_FUNC_keyexch_freectx(d); break;
    case OSSL_FUNC_KEYEXCH_INIT: x->init = OSSL_FUNC_keyexch_init(d); break;
    case OSSL_FUNC_KEYEXCH_SET_PEER: x->set_peer = OSSL_FUNC_keyexch_set_peer(d); break;
    case OSSL_FUNC_KEYEXCH_DERIVE: x->derive = OSSL_FUNC_keyexch_derive(d); break;
    default: break;
    }
}

static void take(struct x_curve *x, const OSSL_PROVIDER *of, int operation, const char *name,
                 void (*f)(struct x_curve *x, const OSSL_DISPATCH *d))
{
    int no_cache = 0;
    const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(of, operation, &no_cache), *a = all;
    while (a && a->algorithm_names && !has_name(a->algorithm_names, name))
        a++;
    for (const OSSL_DISPATCH *d = a && a->algorithm_names ? a->implementation : NULL; d && d->function_id;
         d++)
        f(x, d);
    if (all)
        OSSL_PROVIDER_unquery_operation(of, operation, all);
}

int x_curve_open(struct x_curve *x, const char *name)
{
    *x = (struct x_curve){.exchange = EVP_KEYEXCH_fetch(NULL, name, NULL)};
    const OSSL_PROVIDER *of = x->exchange ? EVP_KEYEXCH_get0_provider(x->exchange) : NULL;
    if (of) {
        x->provider = OSSL_PROVIDER_get0_provider_ctx(of);
        take(x, of, OSSL_OP_KEYMGMT, name, take_key);
        take(x, of, OSSL_OP_KEYEXCH, name, take_exchange);
    }
    if (x->key_new && x->key_free && x->key_import && x->ctx_new && x->ctx_free && x->init && x->set_peer &&
        x->derive)
        return 0;
    x_curve_close(x);
    ERR_clear_error();
    return -EOPNOTSUPP;
}

void x_curve_close(struct x_curve *x)
{
    EVP_KEYEXCH_free(x->exchange);
    *x = (struct x_curve){0};
}

static void drop_key(const struct x_curve *x, void *key)
{
    if (key)
        x->key_free(key); // wipes the scalar
}

// The public half of our own key is not looked at: any value serves.
static void *make_key(const struct x_curve *x, const uint8_t *scalar, const uint8_t *point, size_t len)
{
    OSSL_PARAM params[3];
    unsigned n = 0;
    params[n++] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point, len);
    if (scalar)
        params[n++] =
            OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)(uintptr_t)scalar, len);
    params[n] = OSSL_PARAM_construct_end();
    void *key = x->key_new(x->provider);
    int what = scalar ? OSSL_KEYMGMT_SELECT_KEYPAIR : OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
    if (key && x->key_import(key, what, params) == 1)
        return key;
    drop_key(x, key);
    return NULL;
}

int x_curve_multiply(const struct x_curve *x, const uint8_t *scalar, const uint8_t *point, size_t len,
                     uint8_t *out)
{
    size_t n = len;
    void *own = make_key(x, scalar, point, len), *peer = make_key(x, NULL, point, len);
    void *ctx = own && peer ? x->ctx_new(x->provider) : NULL;
    bool ok = ctx && x->init(ctx, own, NULL) == 1 && x->set_peer(ctx, peer) == 1 &&
              x->derive(ctx, out, &n, len) == 1 && n == len;
    if (ctx)
        x->ctx_free(ctx);
    drop_key(x, peer);
    drop_key(x, own);
    return ok ? 0 : -EBADMSG;
}
