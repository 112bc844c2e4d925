// SPDX-License-Identifier: Apache-2.0
// One AEAD vector through the RTL's AES-GCM core (NIST SP 800-38D) and through OpenSSL, both ways, compared
// with what the vector promises. A shorter tag is the first octets of the full one (SP 800-38D section 7.1).
#include "sim/workbench/gcm_check.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/gcm_model.h"

struct gcm_check {
    struct gcm_model *model;
    EVP_CIPHER_CTX *evp;
    unsigned slot;
};

struct gcm_check *gcm_check_new(void)
{
    struct gcm_check *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->model = gcm_model_new();
    c->evp = EVP_CIPHER_CTX_new();
    if (!c->model || !c->evp) {
        gcm_check_free(c);
        return NULL;
    }
    return c;
}

void gcm_check_free(struct gcm_check *c)
{
    if (!c)
        return;
    EVP_CIPHER_CTX_free(c->evp);
    gcm_model_free(c->model);
    free(c);
}

static int differs(const struct gcm_vector *v, const char *engine, const char *what)
{
    fprintf(stderr, "FAILED %s: vector %lu: %s: %s\n", v->file, v->id, engine, what);
    return -EBADMSG;
}

static int rtl_direction(struct gcm_check *c, const struct gcm_vector *v, bool decrypt, uint8_t *out)
{
    struct gcm_message m = {
        .decrypt = decrypt,
        .slot = c->slot,
        .nonce = v->iv.data,
        .aad = v->aad.data,
        .aad_len = v->aad.len,
        .in = decrypt ? v->ct.data : v->msg.data,
        .len = v->ct.len,
        .out = out,
    };
    const char *name = decrypt ? "RTL decryption" : "RTL encryption";
    bool same;

    if (gcm_model_run(c->model, &m) != 0)
        return differs(v, name, "the core gave no tag or too few octets");
    same = CRYPTO_memcmp(m.tag, v->tag.data, v->tag.len) == 0;
    if (v->invalid)
        return same ? differs(v, name, "the tag is right, expected a wrong one") : 0;
    if (!same)
        return differs(v, name, "another tag");
    if (memcmp(out, decrypt ? v->msg.data : v->ct.data, v->ct.len) != 0)
        return differs(v, name, decrypt ? "another plaintext" : "another ciphertext");
    return 0;
}

static int rtl_check(struct gcm_check *c, const struct gcm_vector *v, uint8_t *out)
{
    int ret;

    c->slot = (c->slot + 1) % GCM_MODEL_SLOTS;
    if (gcm_model_set_key(c->model, c->slot, v->key.data, v->key.len) != 0)
        return differs(v, "RTL", "the key was not taken");
    ret = rtl_direction(c, v, true, out);
    if (ret == 0 && !v->invalid)
        ret = rtl_direction(c, v, false, out);
    return ret;
}

static bool evp_start(struct gcm_check *c, const struct gcm_vector *v, int enc)
{
    const EVP_CIPHER *cipher = v->chacha          ? EVP_chacha20_poly1305()
                               : v->key.len == 16 ? EVP_aes_128_gcm()
                               : v->key.len == 24 ? EVP_aes_192_gcm()
                                                  : EVP_aes_256_gcm();
    int n;

    return EVP_CipherInit_ex(c->evp, cipher, NULL, NULL, NULL, enc) == 1 &&
           EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_SET_IVLEN, (int)v->iv.len, NULL) == 1 &&
           EVP_CipherInit_ex(c->evp, NULL, NULL, v->key.data, v->iv.data, enc) == 1 &&
           (v->aad.len == 0 || EVP_CipherUpdate(c->evp, NULL, &n, v->aad.data, (int)v->aad.len) == 1);
}

static bool evp_data(struct gcm_check *c, const uint8_t *in, size_t len, uint8_t *out)
{
    int n;

    return len == 0 || (EVP_CipherUpdate(c->evp, out, &n, in, (int)len) == 1 && (size_t)n == len);
}

static int soft_check(struct gcm_check *c, const struct gcm_vector *v, uint8_t *out)
{
    uint8_t tag[16];
    int n, good;

    if (!evp_start(c, v, 0) || !evp_data(c, v->ct.data, v->ct.len, out) ||
        EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_SET_TAG, (int)v->tag.len, v->tag.data) != 1)
        return differs(v, "software decryption", "OpenSSL refused the vector");
    good = EVP_CipherFinal_ex(c->evp, out, &n) == 1;
    if (v->invalid)
        return good ? differs(v, "software decryption", "the tag is right, expected a wrong one") : 0;
    if (!good)
        return differs(v, "software decryption", "another tag");
    if (memcmp(out, v->msg.data, v->msg.len) != 0)
        return differs(v, "software decryption", "another plaintext");

    if (!evp_start(c, v, 1) || !evp_data(c, v->msg.data, v->msg.len, out) ||
        EVP_CipherFinal_ex(c->evp, out + v->msg.len, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_GET_TAG, sizeof(tag), tag) != 1)
        return differs(v, "software encryption", "OpenSSL refused the vector");
    if (memcmp(tag, v->tag.data, v->tag.len) != 0)
        return differs(v, "software encryption", "another tag");
    if (memcmp(out, v->ct.data, v->ct.len) != 0)
        return differs(v, "software encryption", "another ciphertext");
    return 0;
}

int gcm_check_one(struct gcm_check *c, const struct gcm_vector *v)
{
    uint8_t *out = malloc(v->ct.len + 16);
    int rtl, soft;

    if (!out)
        return differs(v, "workbench", "out of memory");
    rtl = gcm_check_in_rtl(v) ? rtl_check(c, v, out) : 0;
    soft = soft_check(c, v, out);
    OPENSSL_cleanse(out, v->ct.len);
    free(out);
    return rtl ? rtl : soft;
}

bool gcm_check_in_rtl(const struct gcm_vector *v)
{
    return !v->chacha && v->key.len != 24;
}

static bool fits_algorithm(const struct gcm_vector *v)
{
    bool key = v->chacha ? v->key.len == 32 : v->key.len == 16 || v->key.len == 24 || v->key.len == 32;

    return key && v->tag.len <= 16 && (v->invalid || v->msg.len == v->ct.len);
}

void gcm_check_vector(struct gcm_check *c, const struct gcm_vector *v, struct wb_tally *t)
{
    if (v->iv.len != 12) {
        wb_skip(t, "IV of other than 96 bits");
    } else if (v->aad.len > GCM_MODEL_MAX_AAD) {
        wb_skip(t, "more than 16 octets of additional data");
    } else if (v->tag.len < 4) {
        wb_skip(t, "tag of fewer than 4 octets");
    } else if (!fits_algorithm(v)) {
        differs(v, "workbench", "lengths of key, tag or plaintext do not fit the algorithm");
        t->failed++;
    } else if (gcm_check_one(c, v) == 0) {
        t->passed++;
        t->software_only += !gcm_check_in_rtl(v);
    } else {
        t->failed++;
    }
}
