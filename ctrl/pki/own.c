// SPDX-License-Identifier: Apache-2.0
// Our own certificates: which one to send, the intermediates that go with it, and CERTREQ both ways (RFC
// 7296 3.7).
#include <string.h>

#include "ctrl/pki/internal.h"

static bool is_valid(X509 *x, int64_t now)
{
    return unix_time(X509_get0_notBefore(x)) <= now && now <= unix_time(X509_get0_notAfter(x));
}

const struct pki_entry *pki_find_cert(const struct pki *p, uint8_t id_type, struct slice id,
                                      const uint8_t *key_id, int64_t now)
{
    const struct pki_item *best = NULL;
    for (size_t i = 0; i < p->count; i++) {
        const struct pki_item *it = p->items[i];
        uint8_t own[20];
        if (!it->crt || it->e.kind != PKI_X509)
            continue;
        cr_key_id(it->e.key, own);
        if (key_id && memcmp(own, key_id, sizeof(own)) != 0)
            continue;
        if (id_type && !crt_matches(it->crt, it->e.key, id_type, id))
            continue;
        if (!best || is_valid(it->crt, now) >= is_valid(best->crt, now))
            best = it; // the newer one, unless only the older is valid
    }
    return best ? &best->e : NULL;
}

// The loaded issuer of x, by names and signature.
static const struct pki_item *issuer_of(const struct pki *p, X509 *x)
{
    for (size_t i = 0; i < p->count + p->authority_count; i++) {
        const struct pki_item *it = i < p->count ? p->items[i] : p->authority_cas[i - p->count];
        if (it->crt && it->is_ca && issued_by(x, it->crt) && X509_verify(x, X509_get0_pubkey(it->crt)) == 1)
            return it;
    }
    return NULL;
}

// Read once for very many handshakes: that costs as much as a signature. NULL: no certificate, or no memory.
static struct pki_item *own_item(struct pki *p, struct slice cert, struct esp_error *err)
{
    struct pki_item *i = NULL;
    for (unsigned k = 0; k < OWN_KEPT && !i; k++)
        if (p->own[k] && slice_eq(p->own[k]->e.der, cert))
            i = p->own[k];
    if (!i) {
        i = item_new(PKI_X509, cert, err);
        if (!i)
            return NULL;
        item_unref(p->own[p->own_next]);
        p->own[p->own_next] = i;
        p->own_next = (p->own_next + 1) % OWN_KEPT;
    }
    i->refs++;
    return i;
}

int pki_describe_own(struct pki *p, struct slice cert, struct pki_info *out, struct esp_error *err)
{
    struct esp_error why = {0};
    struct pki_item *own = own_item(p, cert, &why);
    memset(out, 0, sizeof(*out));
    if (!own)
        return esp_fail(err, why.code, why.field, "%s", why.text);
    item_describe(own, out);
    item_unref(own);
    return 0;
}

size_t pki_intermediates(struct pki *p, struct slice cert, struct slice *out, size_t cap)
{
    struct pki_item *own = own_item(p, cert, NULL);
    X509 *x = own ? own->crt : NULL;
    size_t n = 0;
    for (int depth = 0; x && !is_self_signed(x) && depth < PKI_CHAIN_MAX && n < cap; depth++) {
        const struct pki_item *issuer = issuer_of(p, x);
        x = issuer ? issuer->crt : NULL;
        if (x && !is_self_signed(x))
            out[n++] = issuer->e.der;
    }
    item_unref(own);
    return n;
}

static size_t put_hash(const struct cr_key *k, uint8_t *out, size_t at, size_t cap)
{
    uint8_t id[20];
    cr_key_info_id(k, id);
    for (size_t i = 0; i + 20 <= at; i += 20)
        if (memcmp(out + i, id, 20) == 0)
            return at;
    if (at + 20 > cap)
        return at;
    memcpy(out + at, id, 20);
    return at + 20;
}

size_t pki_certreq(const struct pki *p, const struct slice *cacerts, size_t count, uint8_t *out, size_t cap)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct pki_item *ca = item_new(PKI_CA, cacerts[i], NULL);
        if (ca)
            at = put_hash(ca->e.key, out, at, cap);
        item_unref(ca);
    }
    for (size_t i = 0; !count && i < p->count; i++)
        if (p->items[i]->e.kind == PKI_CA)
            at = put_hash(p->items[i]->e.key, out, at, cap);
    for (size_t i = 0; !count && i < p->authority_count; i++)
        at = put_hash(p->authority_cas[i]->e.key, out, at, cap);
    return at;
}

static bool names_key(struct slice hashes, const struct cr_key *k)
{
    uint8_t id[20];
    cr_key_info_id(k, id);
    for (size_t i = 0; i + 20 <= hashes.len; i += 20)
        if (memcmp(hashes.p + i, id, 20) == 0)
            return true;
    return false;
}

bool pki_certreq_names(struct pki *p, struct slice cert, struct slice hashes)
{
    struct pki_item *own = own_item(p, cert, NULL);
    const struct pki_item *it = own;
    bool found = own && names_key(hashes, own->e.key);
    for (int depth = 0; it && !found && !is_self_signed(it->crt) && depth < PKI_CHAIN_MAX; depth++) {
        it = issuer_of(p, it->crt);
        found = it && names_key(hashes, it->e.key);
    }
    item_unref(own);
    return found;
}
