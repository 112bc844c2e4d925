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
#include <string.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

struct mb_schedule {
    _Alignas(64) struct gcm_key_data key;
    struct mb_gcm *of;        // whose it is
    struct mb_schedule *next; // of those that are nobody's
};
struct mb {
    void *library;
    IMB_MGR *mgr; // read alone: its functions keep their state with the key
    void (*free_mgr)(IMB_MGR *);
    struct gcm_context_data ctx; // of the packet that is worked on
    // The store: reserved at once, and memory from when a schedule is first used. The packet path asks for
    // none.
    struct mb_schedule *store, *free;
    size_t size, used, oldest; // used: from the first on
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

static bool reserve(struct mb *m)
{
    for (m->size = MB_SCHEDULES; m->size >= 64; m->size /= 4) { // where so much is not to be had, less
        void *p = mmap(NULL, m->size * sizeof(*m->store), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            continue;
        m->store = p;
        (void)madvise(p, m->size * sizeof(*m->store), MADV_DONTDUMP);
        return true;
    }
    return false;
}

struct mb *mb_open(void)
{
    struct mb *m = calloc(1, sizeof(*m));

    if (m && load(m) && reserve(m))
        return m;
    mb_close(m);
    return NULL;
}

void mb_close(struct mb *m)
{
    if (m && m->store) {
        OPENSSL_cleanse(&m->ctx, sizeof(m->ctx));
        OPENSSL_cleanse(m->store, m->used * sizeof(*m->store));
        munmap(m->store, m->size * sizeof(*m->store));
    }
    if (m && m->mgr)
        m->free_mgr(m->mgr);
    if (m && m->library)
        dlclose(m->library);
    free(m);
}

size_t mb_schedules(const struct mb *m)
{
    return m->used;
}

void mb_gcm_init(struct mb_gcm *k, struct mb *m, const uint8_t *key, size_t octets)
{
    *k = (struct mb_gcm){.mb = m, .octets = (uint8_t)octets};
    memcpy(k->key, key, octets);
}

static void leave(struct mb_schedule *s)
{
    s->of->schedule = NULL;
    OPENSSL_cleanse(&s->key, sizeof(s->key));
    s->of = NULL;
}

void mb_gcm_free(struct mb_gcm *k)
{
    struct mb_schedule *s = k->schedule;

    if (s) {
        leave(s);
        s->next = k->mb->free;
        k->mb->free = s;
    }
    OPENSSL_cleanse(k, sizeof(*k));
}

static struct mb_schedule *take(struct mb *m)
{
    struct mb_schedule *s = m->free;

    if (s) {
        m->free = s->next;
        return s;
    }
    if (m->used < m->size)
        return &m->store[m->used++];
    s = &m->store[m->oldest];
    m->oldest = (m->oldest + 1) % m->size;
    leave(s);
    return s;
}

static __attribute__((noinline)) void schedule(struct mb_gcm *k)
{
    const IMB_MGR *g = k->mb->mgr;
    struct mb_schedule *s = take(k->mb);

    (k->octets == 16 ? g->gcm128_pre : k->octets == 24 ? g->gcm192_pre : g->gcm256_pre)(k->key, &s->key);
    s->of = k;
    k->schedule = s;
}

void mb_gcm_seal(struct mb_gcm *k, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, uint8_t *out, size_t len, uint8_t *tag, size_t tag_len)
{
    const IMB_MGR *g = k->mb->mgr;

    if (!k->schedule)
        schedule(k);
    (k->octets == 16 ? g->gcm128_enc
     : k->octets == 24
         ? g->gcm192_enc
         : g->gcm256_enc)(&k->schedule->key, &k->mb->ctx, out, in, len, nonce, aad, aad_len, tag, tag_len);
}

void mb_gcm_open(struct mb_gcm *k, const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, uint8_t *out, size_t len, uint8_t *tag, size_t tag_len)
{
    const IMB_MGR *g = k->mb->mgr;

    if (!k->schedule)
        schedule(k);
    (k->octets == 16 ? g->gcm128_dec
     : k->octets == 24
         ? g->gcm192_dec
         : g->gcm256_dec)(&k->schedule->key, &k->mb->ctx, out, in, len, nonce, aad, aad_len, tag, tag_len);
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

size_t mb_schedules(const struct mb *m)
{
    (void)m;
    return 0;
}

void mb_gcm_init(struct mb_gcm *k, struct mb *m, const uint8_t *key, size_t octets)
{
    (void)k;
    (void)m;
    (void)key;
    (void)octets;
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
