// SPDX-License-Identifier: Apache-2.0
// One judgement of a peer's certificates: bounds, identity, path, then revocation of each certificate below
// the trusted CA, from what is cached or loaded, then by asking: OCSP first, then CRLs, one URL after the
// other for a certificate, all certificates at once. Only URLs out of the chain that has been built and
// checked, or of its CAs' authorities, are ever asked for.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/pki/internal.h"

enum { SOURCES_MAX = 8 }; // URLs for one certificate

struct target {
    int at;           // in the check's path:
    X509 *x, *issuer; // the certificate and the one behind it
    bool done;
    char (*urls)[PKI_URL_LEN]; // ocsp_count of OCSP, then CRLs
    size_t ocsp_count, count, next;
    uint32_t waiting; // the id of what is asked for; 0: nothing
    uint8_t *request; // its body
    size_t request_len;
    char why[200];
};

struct pki_check {
    struct pki *pki;
    struct pki_item *end; // NULL: a raw key
    struct cr_key *raw;
    struct chain path;
    enum pki_revocation mode;
    struct target targets[PKI_CHAIN_MAX];
    size_t target_count;
    uint32_t last_id;
    int64_t ends, until; // its certificates; and what is known of their revocation
    uint64_t newest;     // in the store when it began
};

static void targets_free(struct pki_check *c)
{
    for (size_t i = 0; i < c->target_count; i++) {
        free(c->targets[i].urls);
        free(c->targets[i].request);
    }
    c->target_count = 0;
}

void pki_check_free(struct pki_check *c)
{
    if (!c)
        return;
    targets_free(c);
    chain_free(&c->path);
    item_unref(c->end);
    cr_key_free(c->raw);
    free(c);
}

const struct cr_key *pki_check_key(const struct pki_check *c)
{
    return c->end ? c->end->e.key : c->raw;
}

struct slice pki_check_cert(const struct pki_check *c)
{
    return c->end ? c->end->e.der : slice_of(NULL, 0);
}

int64_t pki_check_until(const struct pki_check *c)
{
    return c->until;
}

int pki_check_standing(const struct pki_check *c, struct pki_standing **out)
{
    return pki_standing_new(c->pki, c->path.chain, c->newest, out);
}

static void not_after(struct pki_check *c, int64_t t)
{
    if (t < c->until)
        c->until = t;
}

// ---- URLs that do not answer are left alone for a while

static uint64_t url_hash(const struct pki *p, const char *url)
{
    return hash_str(p->seed, url) | 1;
}

static bool has_failed(const struct pki *p, const char *url, int64_t now)
{
    uint64_t h = url_hash(p, url);
    const struct failed_url *f = &p->failed[h / 2 % FAILED_URLS];
    return f->hash == h && f->until > now &&
           f->until <= now + FAILED_FOR_S; // the clock may have been set back
}

static void note_failed(struct pki *p, const char *url, int64_t now)
{
    uint64_t h = url_hash(p, url);
    p->failed[h / 2 % FAILED_URLS] = (struct failed_url){h, now + FAILED_FOR_S};
}

// ---- revocation

int revoked_error(const X509 *x, const struct status *s, struct esp_error *err)
{
    char who[100];
    return esp_fail(err, -EACCES, "certificate", "%s is revoked (%s)", subject_of(x, who, sizeof(who)),
                    reason_name(s->reason));
}

static int not_known(const struct pki_check *c, struct target *t, struct esp_error *err)
{
    char who[80];
    t->done = true;
    if (c->mode == PKI_RELAXED || (c->mode == PKI_IFURI && !t->count))
        return 0;
    return esp_fail(err, -EACCES, "certificate", "%s: whether it is revoked is not known: %.100s",
                    subject_of(t->x, who, sizeof(who)),
                    t->why[0] ? t->why : "it names no CRL and no OCSP responder, and no CRL is loaded");
}

static int take_status(struct pki_check *c, struct target *t, const struct status *s, struct esp_error *err)
{
    char who[100];
    if (s->known == KNOWN_REVOKED)
        return revoked_error(t->x, s, err);
    if (s->known == KNOWN_NO_MEMORY) // in no mode is that taken for good
        return esp_fail(err, -ENOMEM, "certificate", "%s: no memory to find out whether it is revoked",
                        subject_of(t->x, who, sizeof(who)));
    if (s->known == KNOWN_GOOD) {
        t->done = true;
        not_after(c, s->until);
    } else if (s->why_not[0]) {
        snprintf(t->why, sizeof(t->why), "%s", s->why_not);
    }
    return 0;
}

static int look_up(struct pki_check *c, struct target *t, int64_t now, struct esp_error *err)
{
    struct status s;
    ocsp_cached(c->pki, t->x, t->issuer, now, &s);
    int rc = take_status(c, t, &s, err);
    if (rc || t->done)
        return rc;
    crl_status(c->pki, c->path.chain, t->at, now, &s);
    return take_status(c, t, &s, err);
}

static void skip_failed(struct pki_check *c, struct target *t, int64_t now)
{
    while (t->next < t->count && has_failed(c->pki, t->urls[t->next], now)) {
        if (!t->why[0])
            snprintf(t->why, sizeof(t->why), "%.120s has not answered a moment ago", t->urls[t->next]);
        t->next++;
    }
}

static int begin_target(struct pki_check *c, int at, int64_t now, struct esp_error *err)
{
    struct target *t = &c->targets[c->target_count];
    X509 *x = sk_X509_value(c->path.chain, at), *issuer = sk_X509_value(c->path.chain, at + 1);
    *t = (struct target){.at = at, .x = x, .issuer = issuer};
    int rc = look_up(c, t, now, err);
    if (rc)
        return rc;
    c->target_count++;
    if (t->done)
        return 0;
    t->urls = malloc(SOURCES_MAX * sizeof(*t->urls));
    if (!t->urls)
        return esp_fail(err, -ENOMEM, "certificates", "no memory");
    t->ocsp_count = ocsp_uris(c->pki, x, issuer, t->urls, SOURCES_MAX / 2);
    t->count =
        t->ocsp_count + crl_uris(c->pki, x, issuer, t->urls + t->ocsp_count, SOURCES_MAX - t->ocsp_count);
    skip_failed(c, t, now);
    return t->next < t->count ? 0 : not_known(c, t, err);
}

static int begin_revocation(struct pki_check *c, int64_t now, struct esp_error *err)
{
    int n = sk_X509_num(c->path.chain), rc = 0;
    for (int i = 0; i + 1 < n && i < PKI_CHAIN_MAX && rc == 0; i++)
        rc = begin_target(c, i, now, err);
    return rc;
}

static int64_t end_of(const struct pki_check *c, int at)
{
    return unix_time(X509_get0_notAfter(sk_X509_value(c->path.chain, at)));
}

static void first_end(struct pki_check *c)
{
    for (int i = 0; i < sk_X509_num(c->path.chain); i++)
        c->ends = end_of(c, i) < c->ends ? end_of(c, i) : c->ends;
    c->until = c->ends;
}

static int ended(const struct pki_check *c, struct esp_error *err)
{
    char who[100];
    int at = 0;
    while (end_of(c, at) != c->ends)
        at++;
    return esp_fail(err, -EACCES, "certificate", "%s has ended while its revocation was asked about",
                    subject_of(sk_X509_value(c->path.chain, at), who, sizeof(who)));
}

static enum pki_verdict verdict(const struct pki_check *c)
{
    for (size_t i = 0; i < c->target_count; i++)
        if (!c->targets[i].done)
            return PKI_WANTS_FETCH;
    return PKI_VALID;
}

bool pki_check_next(struct pki_check *c, struct pki_fetch *out)
{
    for (size_t i = 0; i < c->target_count; i++) {
        struct target *t = &c->targets[i];
        if (t->done || t->waiting || t->next >= t->count)
            continue;
        bool ocsp = t->next < t->ocsp_count;
        free(t->request);
        t->request = NULL;
        t->request_len = 0;
        if (ocsp)
            ocsp_request(t->x, t->issuer, &t->request, &t->request_len);
        t->waiting = ++c->last_id;
        // Without memory for the request it is a GET, which a responder does not answer: the same as no
        // answer.
        *out = (struct pki_fetch){.id = t->waiting,
                                  .body = slice_of(t->request, t->request_len),
                                  .content_type = ocsp ? "application/ocsp-request" : NULL,
                                  .most = ocsp ? PKI_OCSP_MAX : PKI_CRL_MAX};
        memcpy(out->url, t->urls[t->next], sizeof(out->url));
        return true;
    }
    return false;
}

static int fetched(struct pki_check *c, struct target *t, enum pki_answer how, const char *text,
                   struct slice body, int64_t now, struct esp_error *err)
{
    const char *url = t->urls[t->next];
    struct status s = {.known = KNOWN_NOT};
    bool ocsp = t->next < t->ocsp_count;
    t->waiting = 0;
    t->next++;
    if (how != PKI_ANSWERED)
        snprintf(s.why_not, sizeof(s.why_not), "%.80s: %.70s", url, text);
    else if (ocsp)
        ocsp_take(c->pki, slice_of(t->request, t->request_len), body, t->x, t->issuer, now, &s);
    else
        crl_take(c->pki, url, body, c->path.chain, t->at, now, &s);
    if (s.known == KNOWN_NOT && how != PKI_NOT_ASKED)
        note_failed(c->pki, url, now);
    int rc = take_status(c, t, &s, err);
    skip_failed(c, t, now);
    return rc || t->done || t->next < t->count ? rc : not_known(c, t, err);
}

// To ask takes time, in which what was good when it began may have ended: a certificate, or what was known of
// the revocation of one, which then is asked about anew.
static enum pki_verdict conclude(struct pki_check *c, int64_t now, struct esp_error *err)
{
    enum pki_verdict v = verdict(c);
    if (v != PKI_VALID || c->until > now)
        return v;
    if (c->ends <= now)
        return ended(c, err) ? PKI_REFUSED : v;
    targets_free(c);
    c->until = c->ends;
    return begin_revocation(c, now, err) ? PKI_REFUSED : verdict(c);
}

enum pki_verdict pki_check_fetched(struct pki_check *c, uint32_t id, enum pki_answer how, const char *text,
                                   struct slice body, int64_t now, struct esp_error *err)
{
    for (size_t i = 0; i < c->target_count && id; i++)
        if (c->targets[i].waiting == id && fetched(c, &c->targets[i], how, text, body, now, err))
            return PKI_REFUSED;
    return conclude(c, now, err);
}

// ---- the beginning

struct peer {
    struct pki_item *items[PKI_PEER_CERTS_MAX];
    size_t count;
};

static void peer_free(struct peer *p)
{
    while (p->count)
        item_unref(p->items[--p->count]);
}

// The first is the peer's own and has to be good; what stands behind it helps or does not.
static int read_peer(const struct pki_peer *from, struct peer *to, struct esp_error *err)
{
    if (from->count > PKI_PEER_CERTS_MAX)
        return esp_fail(err, -E2BIG, "certificate", "the peer sent %zu certificates: at most %d are taken",
                        from->count, PKI_PEER_CERTS_MAX);
    for (size_t i = 0; i < from->count; i++) {
        struct pki_item *item = item_new(PKI_X509, from->certs[i], i ? NULL : err);
        if (item)
            to->items[to->count++] = item;
        else if (i == 0)
            return -EACCES;
    }
    return 0;
}

// It sent none: one of those that the connection names.
static int find_peer(const struct pki_rules *r, const struct pki_peer *from, struct peer *to,
                     struct esp_error *err)
{
    for (size_t i = 0; i < r->cert_count; i++) {
        struct pki_item *item = item_new(PKI_X509, r->certs[i], NULL);
        if (item && crt_matches(item->crt, item->e.key, from->id_type, from->id)) {
            to->items[to->count++] = item;
            return 0;
        }
        item_unref(item);
    }
    return esp_fail(err, -EACCES, "certificate", "the peer sent no certificate%s",
                    r->cert_count ? ", and none that the connection names is of its identity" : "");
}

static int raw_key(const struct pki_rules *r, const struct pki_peer *peer, struct pki_check *c,
                   struct esp_error *err)
{
    struct slice key = peer->pubkey.len || r->pubkey_count != 1 ? peer->pubkey : r->pubkeys[0];
    if (!key.len)
        return esp_fail(err, -EACCES, "public key", "the peer sent no key, and the connection names %zu",
                        r->pubkey_count);
    for (size_t i = 0; i < r->pubkey_count; i++)
        if (slice_eq(r->pubkeys[i], key))
            return cr_key_public(key.p, key.len, &c->raw, err);
    return esp_fail(err, -EACCES, "public key",
                    "the peer's raw public key is none of the %zu that the connection names",
                    r->pubkey_count);
}

static int check_identity(const struct pki_item *end, const struct pki_peer *peer, struct esp_error *err)
{
    char who[100];
    if (crt_matches(end->crt, end->e.key, peer->id_type, peer->id))
        return 0;
    return esp_fail(err, -EACCES, "certificate",
                    "%s is not of the peer's identity: neither its subject nor a subjectAltName is that",
                    subject_of(end->crt, who, sizeof(who)));
}

static int one_of_pubkeys(const struct pki_rules *r, const struct pki_item *end, struct esp_error *err)
{
    uint8_t spki[PKI_CERT_MAX];
    char who[100];
    size_t len = 0;
    if (cr_key_spki(end->e.key, spki, sizeof(spki), &len) == 0)
        for (size_t i = 0; i < r->pubkey_count; i++)
            if (slice_eq(r->pubkeys[i], slice_of(spki, len)))
                return 0;
    return esp_fail(err, -EACCES, "certificate",
                    "%s has none of the %zu public keys that the connection names",
                    subject_of(end->crt, who, sizeof(who)), r->pubkey_count);
}

static int check_certs(struct pki_check *c, const struct pki_rules *r, const struct pki_peer *peer,
                       int64_t now, struct esp_error *err)
{
    struct peer certs = {.items = {NULL}};
    int rc = peer->count ? read_peer(peer, &certs, err) : find_peer(r, peer, &certs, err);
    struct pki_item *end = certs.items[0];
    if (rc || !end)
        return rc ? rc : -EACCES; // with nothing read yet
    rc = check_identity(end, peer, err);
    if (rc == 0 && r->pubkey_count)
        rc = one_of_pubkeys(r, end, err);
    if (rc == 0)
        rc = chain_build(c->pki, r, certs.items, certs.count, now, &c->path, err);
    if (rc == 0) {
        c->end = end;
        end->refs++;
        first_end(c);
        rc = begin_revocation(c, now, err);
    }
    peer_free(&certs);
    return rc;
}

enum pki_verdict pki_check_begin(struct pki *p, const struct pki_rules *rules, const struct pki_peer *peer,
                                 int64_t now, struct pki_check **out, struct esp_error *err)
{
    struct pki_check *c = calloc(1, sizeof(*c));
    bool raw = rules->pubkey_count && !peer->count;
    *out = NULL;
    if (!c) {
        esp_fail(err, -ENOMEM, "certificates", "no memory");
        return PKI_REFUSED;
    }
    c->pki = p;
    c->mode = (enum pki_revocation)rules->revocation;
    c->ends = c->until = INT64_MAX;
    c->newest = pki_newest(p);
    int rc = raw ? raw_key(rules, peer, c, err) : check_certs(c, rules, peer, now, err);
    if (rc) {
        pki_check_free(c);
        return PKI_REFUSED;
    }
    *out = c;
    return verdict(c);
}
