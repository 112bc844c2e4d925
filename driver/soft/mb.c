// SPDX-License-Identifier: Apache-2.0
// See mb.h. The library's functions are reached through its manager, whose layout is that of the header: no
// other version is taken than the one of the header.
#include "driver/soft/mb.h"

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>

enum { KEY_ALIGN = 64 };

struct mb {
    void *library;
    IMB_MGR *mgr; // read alone: its functions keep their state with the key
    void (*free_mgr)(IMB_MGR *);
};
struct mb_gcm {
    struct gcm_key_data key;
    struct gcm_context_data ctx;
    aes_gcm_enc_dec_t seal, open;
};

const char *mb_version(void)
{
    return IMB_VERSION_STR;
}

// The library of this version, with a manager for this processor.
static bool load(struct mb *m)
{
    IMB_MGR *(*alloc)(uint64_t);
    void (*init)(IMB_MGR *, IMB_ARCH *);
    unsigned (*version)(void);
    IMB_ARCH arch = IMB_ARCH_NONE;
    char name[40];

    snprintf(name, sizeof(name), "libIPSec_MB.so.%d", IMB_VERSION_NUM >> 16);
    m->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!m->library)
        return false;
    *(void **)&version = dlsym(m->library, "imb_get_version");
    *(void **)&alloc = dlsym(m->library, "alloc_mb_mgr");
    *(void **)&init = dlsym(m->library, "init_mb_mgr_auto");
    *(void **)&m->free_mgr = dlsym(m->library, "free_mb_mgr");
    if (!version || !alloc || !init || !m->free_mgr || version() != IMB_VERSION_NUM)
        return false;
    m->mgr = alloc(0);
    if (m->mgr)
        init(m->mgr, &arch);
    return arch >= IMB_ARCH_AVX2; // what is older gains little
}

struct mb *mb_open(void)
{
    struct mb *m = calloc(1, sizeof(*m));

    if (m && load(m))
        return m;
    mb_close(m);
    return NULL;
}

void mb_close(struct mb *m)
{
    if (m && m->mgr)
        m->free_mgr(m->mgr);
    if (m && m->library)
        dlclose(m->library);
    free(m);
}

struct mb_gcm *mb_gcm_new(const struct mb *m, const uint8_t *key, size_t octets)
{
    size_t size = (sizeof(struct mb_gcm) + KEY_ALIGN - 1) / KEY_ALIGN * KEY_ALIGN;
    struct mb_gcm *k = aligned_alloc(KEY_ALIGN, size);
    const IMB_MGR *g = m->mgr;

    if (!k)
        return NULL;
    (octets == 16 ? g->gcm128_pre : octets == 24 ? g->gcm192_pre : g->gcm256_pre)(key, &k->key);
    k->seal = octets == 16 ? g->gcm128_enc : octets == 24 ? g->gcm192_enc : g->gcm256_enc;
    k->open = octets == 16 ? g->gcm128_dec : octets == 24 ? g->gcm192_dec : g->gcm256_dec;
    return k;
}

void mb_gcm_free(struct mb_gcm *k)
{
    if (k)
        OPENSSL_cleanse(k, sizeof(*k));
    free(k);
}

void mb_gcm_seal(struct mb_gcm *k, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, uint8_t *out, size_t len, uint8_t *tag, size_t tag_len)
{
    k->seal(&k->key, &k->ctx, out, in, len, nonce, aad, aad_len, tag, tag_len);
}

void mb_gcm_open(struct mb_gcm *k, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, uint8_t *out, size_t len, uint8_t *tag, size_t tag_len)
{
    k->open(&k->key, &k->ctx, out, in, len, nonce, aad, aad_len, tag, tag_len);
}

#else

struct mb *mb_open(void)
{
    return NULL;
}

void mb_close(struct mb *m)
{
    (void)m;
}

const char *mb_version(void)
{
    return "none";
}

struct mb_gcm *mb_gcm_new(const struct mb *m, const uint8_t *key, size_t octets)
{
    (void)m;
    (void)key;
    (void)octets;
    return NULL;
}

void mb_gcm_free(struct mb_gcm *k)
{
    (void)k;
}

void mb_gcm_seal(struct mb_gcm *k, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, uint8_t *out, size_t len, uint8_t *tag, size_t tag_len)
{
    (void)k;
    (void)nonce;
    (void)aad;
    (void)aad_len;
    (void)in;
    (void)out;
    (void)len;
    (void)tag;
    (void)tag_len;
}

void mb_gcm_open(struct mb_gcm *k, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, uint8_t *out, size_t len, uint8_t *tag, size_t tag_len)
{
    mb_gcm_seal(k, nonce, aad, aad_len, in, out, len, tag, tag_len);
}

#endif
