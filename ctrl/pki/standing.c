// SPDX-License-Identifier: Apache-2.0
// Chains by which peers were proven, kept as octets, and asked again when a CRL comes that their issuers have
// signed: no certificate is parsed again for a CRL of somebody else's.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/pki/internal.h"

struct pki_standing {
    unsigned refs;
    uint64_t seen; // the number of the newest CRL that it was held against
    bool revoked;
    size_t count;
    uint64_t issuer[PKI_CHAIN_MAX]; // of each certificate but the last, hashed
    size_t len[PKI_CHAIN_MAX];
    uint8_t der[]; // one behind the other
};

static uint64_t name_hash(const struct pki *p, const X509_NAME *n)
{
    struct slice der = name_der(n);
    return hash_bytes(p->seed, der.p, der.len);
}

static size_t octets(STACK_OF(X509) * chain, int n)
{
    size_t all = 0;
    for (int i = 0; i < n; i++) {
        int len = i2d_X509(sk_X509_value(chain, i), NULL);
        all += len > 0 ? (size_t)len : 0;
    }
    return all;
}

int pki_standing_new(const struct pki *p, STACK_OF(X509) * chain, uint64_t seen, struct pki_standing **out)
{
    int n = chain ? sk_X509_num(chain) : 0;
    *out = NULL;
    if (n < 2 || n > PKI_CHAIN_MAX) // a raw key, or a certificate that is trusted as it is
        return 0;
    struct pki_standing *s = calloc(1, sizeof(*s) + octets(chain, n));
    if (!s)
        return -ENOMEM;
    uint8_t *to = s->der;
    *s = (struct pki_standing){.refs = 1, .seen = seen, .count = (size_t)n};
    for (int i = 0; i < n; i++) {
        X509 *x = sk_X509_value(chain, i);
        int len = i2d_X509(x, &to);
        if (len <= 0) {
            free(s);
            return -ENOMEM;
        }
        s->len[i] = (size_t)len;
        s->issuer[i] = name_hash(p, X509_get_issuer_name(x));
    }
    *out = s;
    return 0;
}

struct pki_standing *pki_standing_ref(struct pki_standing *s)
{
    if (s)
        s->refs++;
    return s;
}

void pki_standing_unref(struct pki_standing *s)
{
    if (s && --s->refs == 0)
        free(s);
}

uint64_t pki_newest(const struct pki *p)
{
    return p->next_number;
}

static bool concerns(const struct pki *p, const struct pki_standing *s)
{
    for (size_t i = p->count; i > 0 && p->items[i - 1]->e.number > s->seen; i--) {
        const struct pki_item *it = p->items[i - 1];
        uint64_t h = it->crl ? name_hash(p, X509_CRL_get_issuer(it->crl)) : 0;
        for (size_t k = 0; it->crl && k + 1 < s->count; k++)
            if (s->issuer[k] == h)
                return true;
    }
    return false;
}

static STACK_OF(X509) * chain_of(const struct pki_standing *s)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    const uint8_t *at = s->der;
    for (size_t i = 0; i < s->count && chain; i++) {
        X509 *x = d2i_X509(NULL, &at, (long)s->len[i]);
        if (x && sk_X509_push(chain, x) > 0)
            continue;
        X509_free(x);
        sk_X509_pop_free(chain, X509_free);
        chain = NULL;
    }
    return chain;
}

static int judge(struct pki *p, const struct pki_standing *s, int64_t now, struct esp_error *err)
{
    STACK_OF(X509) *chain = chain_of(s);
    int rc = chain ? 0 : -ENOMEM;
    for (int i = 0; rc == 0 && i + 1 < (int)s->count; i++) {
        struct status st;
        crl_status(p, chain, i, now, &st);
        if (st.known == KNOWN_REVOKED)
            rc = revoked_error(sk_X509_value(chain, i), &st, err);
        else if (st.known == KNOWN_NO_MEMORY)
            rc = -ENOMEM;
    }
    sk_X509_pop_free(chain, X509_free);
    return rc;
}

int pki_standing_judge(struct pki *p, struct pki_standing *s, int64_t now, struct esp_error *err)
{
    if (!s)
        return 0;
    if (s->revoked)
        return esp_fail(err, -EACCES, "certificate", "a certificate that proved the peer is revoked");
    uint64_t newest = pki_newest(p);
    int rc = concerns(p, s) ? judge(p, s, now, err) : 0;
    if (rc == -ENOMEM) // the same is asked again
        return esp_fail(err, rc, "certificate", "no memory to find out whether it is revoked");
    s->seen = newest;
    s->revoked = rc != 0;
    return rc;
}
