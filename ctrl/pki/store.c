// SPDX-License-Identifier: Apache-2.0
// The store: certificates, keys and CRLs by their content, in the order of their coming, within bounds;
// authorities by name; the cache of fetched CRLs, whose longest unused goes first.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/pki/internal.h"

static uint64_t key_of(const uint8_t digest[SHA256_LEN])
{
    uint64_t h;
    memcpy(&h, digest, sizeof(h));
    return h;
}

struct pki *pki_new(void)
{
    struct pki *p = calloc(1, sizeof(*p));
    if (p && cr_random(&p->seed, sizeof(p->seed))) {
        free(p);
        p = NULL;
    }
    return p;
}

struct pki_item *store_find(const struct pki *p, const uint8_t digest[SHA256_LEN])
{
    for (struct hash_node *n = hash_first(&p->by_digest, key_of(digest)); n; n = hash_next(n)) {
        struct pki_item *i = (struct pki_item *)((char *)n - offsetof(struct pki_item, by_digest));
        if (memcmp(i->digest, digest, SHA256_LEN) == 0)
            return i;
    }
    return NULL;
}

static void account(struct pki *p, const struct pki_item *i, int sign)
{
    size_t n = i->e.der.len, one = sign > 0 ? 1 : (size_t)-1;
    if (i->e.fetched) {
        p->cached_crls += one;
        p->cached_crl_octets += sign > 0 ? n : -n;
        return;
    }
    *(i->crl ? &p->crls : &p->certs) += one;
    p->octets += sign > 0 ? n : -n;
}

static int insert(struct pki *p, struct pki_item *i)
{
    if (p->count == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 16;
        struct pki_item **more = realloc(p->items, cap * sizeof(struct pki_item *));
        if (!more)
            return -ENOMEM;
        p->items = more;
        p->cap = cap;
    }
    if (hash_add(&p->by_digest, &i->by_digest, key_of(i->digest)))
        return -ENOMEM;
    i->e.number = ++p->next_number;
    p->items[p->count++] = i;
    account(p, i, 1);
    return 0;
}

static void take_out(struct pki *p, size_t at)
{
    struct pki_item *i = p->items[at];
    hash_del(&p->by_digest, &i->by_digest);
    memmove(p->items + at, p->items + at + 1, (p->count - at - 1) * sizeof(struct pki_item *));
    p->count--;
    account(p, i, -1);
    item_unref(i);
}

static int check_room(const struct pki *p, const struct pki_item *i, struct esp_error *err)
{
    if (i->crl ? p->crls >= PKI_STORE_CRLS_MAX : p->certs >= PKI_STORE_MAX)
        return esp_fail(err, -ENOSPC, "certificates", "there are %d %s already, which is the most",
                        i->crl ? PKI_STORE_CRLS_MAX : PKI_STORE_MAX,
                        i->crl ? "CRLs" : "certificates and keys");
    if (i->e.der.len > PKI_STORE_OCTETS - p->octets)
        return esp_fail(err, -ENOSPC, "certificates", "the certificates already have %zu octets of %d",
                        p->octets, PKI_STORE_OCTETS);
    return 0;
}

// It is there: the same once more, a certificate that becomes a CA, or a CRL that was fetched before.
static int add_again(struct pki *p, struct pki_item *there, const struct pki_item *given)
{
    if (there->e.kind == PKI_X509 && given->e.kind == PKI_CA)
        there->e.kind = PKI_CA;
    if (there->e.fetched) {
        account(p, there, -1);
        there->e.fetched = false;
        account(p, there, 1);
        return 0;
    }
    return 1;
}

int pki_add(struct pki *p, enum pki_kind kind, const uint8_t *data, size_t len, struct esp_error *err)
{
    uint8_t *der;
    size_t der_len;
    int rc = pki_read_der(kind, data, len, &der, &der_len, err);
    if (rc)
        return rc;
    struct pki_item *i = item_new(kind, slice_of(der, der_len), err), *there;
    free(der);
    if (!i)
        return -ENOMEM; // it was readable a moment ago
    there = store_find(p, i->digest);
    if (there) {
        rc = add_again(p, there, i);
    } else if ((rc = check_room(p, i, err)) == 0) {
        if (insert(p, i) == 0)
            return 0;
        rc = esp_fail(err, -ENOMEM, "certificates", "no memory");
    }
    item_unref(i);
    return rc;
}

static void drop(struct pki *p, bool fetched)
{
    for (size_t i = p->count; i-- > 0;)
        if (p->items[i]->e.fetched == fetched)
            take_out(p, i);
}

void pki_clear(struct pki *p)
{
    drop(p, false);
}

void pki_flush(struct pki *p, unsigned caches)
{
    if (caches & PKI_CACHE_CRL)
        drop(p, true);
    if (caches & PKI_CACHE_OCSP)
        p->answer_count = 0;
    memset(p->failed, 0, sizeof(p->failed));
}

void pki_free(struct pki *p)
{
    if (!p)
        return;
    pki_clear(p);
    pki_flush(p, PKI_CACHE_ALL);
    for (size_t i = 0; i < p->authority_count; i++)
        item_unref(p->authority_cas[i]);
    for (size_t i = 0; i < OWN_KEPT; i++)
        item_unref(p->own[i]);
    free(p->authorities);
    free(p->authority_cas);
    free(p->answers);
    free(p->items);
    hash_free(&p->by_digest);
    free(p);
}

const struct pki_entry *pki_next(const struct pki *p, enum pki_kind kind, uint64_t after)
{
    size_t lo = 0, hi = p->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->items[mid]->e.number <= after)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < p->count; lo++)
        if (!kind || p->items[lo]->e.kind == kind)
            return &p->items[lo]->e;
    return NULL;
}

bool is_anchor(const struct pki *p, const struct pki_item *i)
{
    struct pki_item *there = store_find(p, i->digest);
    if (there && there->e.kind == PKI_CA)
        return true;
    for (size_t a = 0; a < p->authority_count; a++)
        if (memcmp(p->authority_cas[a]->digest, i->digest, SHA256_LEN) == 0)
            return true;
    return false;
}

// ---- the cache of CRLs

static void drop_unused_crl(struct pki *p)
{
    size_t oldest = p->count;
    for (size_t i = 0; i < p->count; i++)
        if (p->items[i]->e.fetched && (oldest == p->count || p->items[i]->used < p->items[oldest]->used))
            oldest = i;
    if (oldest < p->count)
        take_out(p, oldest);
}

int store_cache_crl(struct pki *p, struct pki_item *crl)
{
    struct pki_item *there = store_find(p, crl->digest);
    crl->used = ++p->clock;
    if (there) {
        there->used = crl->used;
        return 1;
    }
    for (size_t i = p->count; i-- > 0;) { // the older one from there
        struct pki_item *old = p->items[i];
        if (old->e.fetched && strcmp(old->url, crl->url) == 0 &&
            X509_NAME_cmp(X509_CRL_get_issuer(old->crl), X509_CRL_get_issuer(crl->crl)) == 0)
            take_out(p, i);
    }
    while (p->cached_crls >= PKI_CACHED_CRLS_MAX ||
           (p->cached_crls && p->cached_crl_octets + crl->e.der.len > PKI_CACHED_CRL_OCTETS))
        drop_unused_crl(p);
    crl->e.fetched = true;
    return insert(p, crl);
}

// ---- authorities

static size_t place_of(const struct pki *p, const char *name, bool *there)
{
    size_t i = 0;
    int order = 1;
    while (i < p->authority_count && (order = strcmp(p->authorities[i].name, name)) < 0)
        i++;
    *there = i < p->authority_count && order == 0;
    return i;
}

static int set_uris(const char *what, const struct slice *from, size_t count, char to[][PKI_URL_LEN],
                    size_t *n, struct esp_error *err)
{
    if (count > PKI_URIS_MAX)
        return esp_fail(err, -E2BIG, what, "%zu of them: at most %d", count, PKI_URIS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!is_uri(from[i]))
            return esp_fail(err, -EINVAL, what, "\"%.*s\" is no URI of less than %d printable octets",
                            (int)(from[i].len < 80 ? from[i].len : 80), (const char *)from[i].p, PKI_URL_LEN);
        memcpy(to[i], from[i].p, from[i].len);
        to[i][from[i].len] = 0;
    }
    *n = count;
    return 0;
}

static int grow_authorities(struct pki *p)
{
    size_t n = p->authority_count + 1;
    struct pki_authority *a = realloc(p->authorities, n * sizeof(struct pki_authority));
    if (a)
        p->authorities = a;
    struct pki_item **cas = realloc(p->authority_cas, n * sizeof(struct pki_item *));
    if (cas)
        p->authority_cas = cas;
    return a && cas ? 0 : -ENOMEM;
}

static int put_authority(struct pki *p, const struct pki_authority *a, struct pki_item *ca,
                         struct esp_error *err)
{
    bool there;
    size_t at = place_of(p, a->name, &there);
    if (there) {
        item_unref(p->authority_cas[at]);
    } else {
        if (p->authority_count >= PKI_AUTHORITIES_MAX)
            return esp_fail(err, -ENOSPC, a->name, "there are %d authorities already, which is the most",
                            PKI_AUTHORITIES_MAX);
        if (grow_authorities(p))
            return esp_fail(err, -ENOMEM, a->name, "no memory");
        size_t after = p->authority_count++ - at;
        memmove(p->authorities + at + 1, p->authorities + at, after * sizeof(struct pki_authority));
        memmove(p->authority_cas + at + 1, p->authority_cas + at, after * sizeof(struct pki_item *));
    }
    p->authorities[at] = *a;
    p->authority_cas[at] = ca;
    return 0;
}

int pki_authority_set(struct pki *p, const char *name, struct slice ca, const struct slice *crl_uris_in,
                      size_t crl_count, const struct slice *ocsp_uris_in, size_t ocsp_count,
                      struct esp_error *err)
{
    struct pki_authority *a = calloc(1, sizeof(*a));
    struct pki_item *item = NULL;
    uint8_t *der = NULL;
    size_t len = 0;
    int rc = 0;
    if (!a)
        return esp_fail(err, -ENOMEM, name, "no memory");
    if (!name[0] || strlen(name) >= sizeof(a->name))
        rc = esp_fail(err, -EINVAL, "authority", "its name has 1 to %zu octets", sizeof(a->name) - 1);
    if (rc == 0)
        rc = pki_read_der(PKI_CA, ca.p, ca.len, &der, &len, err);
    item = rc == 0 ? item_new(PKI_CA, slice_of(der, len), err) : NULL;
    if (rc == 0 && !item)
        rc = -ENOMEM;
    if (rc == 0)
        rc = set_uris("crl_uris", crl_uris_in, crl_count, a->crl_uris, &a->crl_count, err);
    if (rc == 0)
        rc = set_uris("ocsp_uris", ocsp_uris_in, ocsp_count, a->ocsp_uris, &a->ocsp_count, err);
    if (rc == 0 && item) {
        snprintf(a->name, sizeof(a->name), "%s", name);
        a->ca = item->e.der;
        rc = put_authority(p, a, item, err);
    }
    if (rc)
        item_unref(item);
    free(der);
    free(a);
    return rc;
}

int pki_authority_unset(struct pki *p, const char *name, struct esp_error *err)
{
    bool there;
    size_t at = place_of(p, name, &there);
    if (!there)
        return esp_fail(err, -ENOENT, "authority", "there is none called '%s'", name);
    item_unref(p->authority_cas[at]);
    size_t after = --p->authority_count - at;
    memmove(p->authorities + at, p->authorities + at + 1, after * sizeof(struct pki_authority));
    memmove(p->authority_cas + at, p->authority_cas + at + 1, after * sizeof(struct pki_item *));
    return 0;
}

const struct pki_authority *pki_authority_next(const struct pki *p, const char *name)
{
    bool there = false;
    size_t at = name ? place_of(p, name, &there) : 0;
    at += there;
    return at < p->authority_count ? &p->authorities[at] : NULL;
}
