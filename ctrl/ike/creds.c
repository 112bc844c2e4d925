// SPDX-License-Identifier: Apache-2.0
// The store of certificates from ctl's side: loading, listing in pages, clearing; and the identifiers of the
// private keys, which tell which of the certificates are our own.
#include "ctrl/ike/creds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"

struct creds *creds_new(void)
{
    struct creds *c = calloc(1, sizeof(*c));
    if (c)
        c->pki = pki_new();
    if (c && !c->pki) {
        free(c);
        return NULL;
    }
    return c;
}

void creds_free(struct creds *c)
{
    if (!c)
        return;
    pki_free(c->pki);
    free(c->keys);
    free(c);
}

int64_t creds_now(const struct ike *ike)
{
    return ike->net.wall ? ike->net.wall(ike->net.ctx) : (int64_t)time(NULL);
}

// --- which private keys there are ---

static unsigned key_at(const struct creds *c, const uint8_t *id)
{
    unsigned i = 0;
    while (i < c->key_count && memcmp(c->keys[i], id, CREDS_KEY_ID) != 0)
        i++;
    return i;
}

bool creds_has_key(const struct creds *c, const uint8_t id[CREDS_KEY_ID])
{
    return key_at(c, id) < c->key_count;
}

static bool make_room(struct creds *c)
{
    if (c->key_count < c->key_room)
        return true;
    unsigned room = c->key_room ? 2 * c->key_room : 8;
    uint8_t(*more)[CREDS_KEY_ID] = realloc(c->keys, room * sizeof(*more));
    if (!more)
        return false;
    c->keys = more;
    c->key_room = room;
    return true;
}

bool creds_have(struct creds *c, const struct msg_KEY_HAVE *m)
{
    if (!m->id.len) {
        c->key_count = 0;
        return true;
    }
    if (m->id.len != CREDS_KEY_ID)
        return true;
    unsigned i = key_at(c, m->id.p);
    if (m->have && i == c->key_count) {
        if (!make_room(c)) {
            LOGF(IKE, 0, "no memory: a private key that was loaded will not be used");
            return false;
        }
        memcpy(c->keys[c->key_count++], m->id.p, CREDS_KEY_ID);
    } else if (!m->have && i < c->key_count) {
        memmove(c->keys[i], c->keys[c->key_count - 1], CREDS_KEY_ID);
        c->key_count--;
    }
    return true;
}

// Made once, as every stranger's first message is answered with it.
struct slice creds_certreq(struct creds *c)
{
    if (!c->certreq_made)
        c->certreq_len = pki_certreq(c->pki, NULL, 0, c->certreq, sizeof(c->certreq));
    c->certreq_made = true;
    return slice_of(c->certreq, c->certreq_len);
}

// --- loading ---

static void answer(struct ike *ike, uint32_t req, int rc, const struct esp_error *err)
{
    ipc_result(ike->chan[ROOM_CTL], req, rc >= 0, "%s", rc < 0 ? err->text : "");
}

static void cert_load(struct ike *ike, const struct msg_CERT_LOAD *m)
{
    struct esp_error err = {0};
    int rc = m->kind >= PKI_X509 && m->kind <= PKI_PUBKEY
                 ? pki_add(ike->creds->pki, (enum pki_kind)m->kind, m->data.p, m->data.len, &err)
                 : esp_fail(&err, -1, "kind", "a kind of credential that is not known: %u", m->kind);
    answer(ike, m->req, rc, &err);
}

static bool read_uris(struct slice blob, struct slice *out, size_t *count, struct esp_error *err)
{
    struct reader r = reader_of(blob);
    *count = 0;
    while (r.left && !r.bad) {
        struct slice s = rd_slice16(&r);
        if (*count == PKI_URIS_MAX)
            return esp_fail(err, -1, "uris", "more than %d URIs of a kind", PKI_URIS_MAX) == 0;
        out[(*count)++] = s;
    }
    return !r.bad || esp_fail(err, -1, "uris", "a malformed list") == 0;
}

// Of the authority's certificate; all zero: there is none of that name.
static void authority_digest(const struct creds *c, const char *name, uint8_t out[32])
{
    const struct pki_authority *a = pki_authority_next(c->pki, NULL);
    memset(out, 0, 32);
    while (a && strcmp(a->name, name) != 0)
        a = pki_authority_next(c->pki, a->name);
    struct cr_slice ca = a ? (struct cr_slice){a->ca.p, a->ca.len} : (struct cr_slice){0};
    if (a && cr_sha256(NULL, &ca, 1, out) != 0)
        memset(out, 0xff, 32);
}

static void authority_load(struct ike *ike, const struct msg_AUTHORITY_LOAD *m)
{
    struct slice crl[PKI_URIS_MAX], ocsp[PKI_URIS_MAX];
    size_t crls = 0, ocsps = 0;
    struct esp_error err = {0};
    int rc = -1;
    static const uint8_t none[32];
    uint8_t before[32], after[32];
    authority_digest(ike->creds, m->name, before);
    if (read_uris(m->crl_uris, crl, &crls, &err) && read_uris(m->ocsp_uris, ocsp, &ocsps, &err))
        rc = pki_authority_set(ike->creds->pki, m->name, m->cacert, crl, crls, ocsp, ocsps, &err);
    authority_digest(ike->creds, m->name, after);
    if (memcmp(before, none, sizeof(none)) != 0 && memcmp(before, after, sizeof(after)) != 0)
        ike->creds->gone++; // another one has its name now
    answer(ike, m->req, rc, &err);
}

// --- listing ---

static bool wanted(const struct pki_entry *e, const struct identity *subject)
{
    if (subject->type == ID_ANY)
        return true;
    return (e->kind == PKI_X509 || e->kind == PKI_CA) &&
           pki_match_id(e->der, subject->type, slice_of(subject->data, subject->len));
}

static void tell_cert(struct ike *ike, uint32_t req, const struct pki_entry *e)
{
    struct pki_info info;
    struct esp_error err = {0};
    struct msg_CERT_IS is = {
        .req = req, .kind = (uint8_t)e->kind, .trust = e->kind == PKI_CA, .data = e->der};
    uint8_t id[CREDS_KEY_ID];
    if (e->key && cr_key_id(e->key, id) == 0)
        is.has_key = creds_has_key(ike->creds, id);
    if (pki_describe(e->kind, e->der, &info, &err) == 0) {
        snprintf(is.subject, sizeof(is.subject), "%s", e->kind == PKI_CRL ? info.issuer : info.subject);
        is.not_before = info.not_before > 0 ? (uint64_t)info.not_before : 0;
        is.not_after = info.not_after > 0 && info.not_after < INT64_MAX ? (uint64_t)info.not_after : 0;
    }
    if (ipc_send(ike->chan[ROOM_CTL], MSG_CERT_IS, &is) == 0)
        return;
    is.data = slice_of(NULL, 0); // a list of revoked certificates that is longer than a message
    ipc_send(ike->chan[ROOM_CTL], MSG_CERT_IS, &is);
}

static void cert_list(struct ike *ike, const struct msg_CERT_LIST *m)
{
    struct ipc_chan *ctl = ike->chan[ROOM_CTL];
    struct identity subject;
    unsigned left = ipc_page(m->most);
    uint64_t after = m->from;
    const struct pki_entry *e;
    if (!identity_parse(m->subject, &subject)) {
        ipc_result(ctl, m->req, false, "'%.200s' is not an identity that is supported", m->subject);
        return;
    }
    while ((e = pki_next(ike->creds->pki, (enum pki_kind)m->kind, after)) != NULL && left &&
           ipc_has_room(ctl)) {
        after = e->number;
        if (!wanted(e, &subject))
            continue;
        tell_cert(ike, m->req, e);
        left--;
    }
    if (e)
        ipc_send(ctl, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = after});
    else
        ipc_result(ctl, m->req, true, "%s", "");
}

static struct slice write_uris(char (*uris)[PKI_URL_LEN], size_t count, uint8_t *buf, size_t size)
{
    struct writer w = writer_of(buf, size);
    for (size_t i = 0; i < count; i++)
        wr_cstr(&w, uris[i]);
    return wr_written(&w);
}

static void tell_authority(struct ike *ike, uint32_t req, const struct pki_authority *a)
{
    uint8_t crl[PKI_URIS_MAX * (PKI_URL_LEN + 2)], ocsp[PKI_URIS_MAX * (PKI_URL_LEN + 2)];
    struct pki_authority copy = *a;
    struct pki_info info;
    struct esp_error err = {0};
    struct msg_AUTHORITY_IS is = {.req = req};
    snprintf(is.name, sizeof(is.name), "%s", a->name);
    if (pki_describe(PKI_CA, a->ca, &info, &err) == 0)
        snprintf(is.subject, sizeof(is.subject), "%s", info.subject);
    is.crl_uris = write_uris(copy.crl_uris, a->crl_count, crl, sizeof(crl));
    is.ocsp_uris = write_uris(copy.ocsp_uris, a->ocsp_count, ocsp, sizeof(ocsp));
    ipc_send(ike->chan[ROOM_CTL], MSG_AUTHORITY_IS, &is);
}

static void authority_list(struct ike *ike, const struct msg_AUTHORITY_LIST *m)
{
    struct ipc_chan *ctl = ike->chan[ROOM_CTL];
    const struct pki_authority *a = pki_authority_next(ike->creds->pki, NULL);
    unsigned left = ipc_page(m->most);
    uint64_t at = 0;
    for (; a && at < m->from; at++)
        a = pki_authority_next(ike->creds->pki, a->name);
    for (; a && left && ipc_has_room(ctl); at++, a = pki_authority_next(ike->creds->pki, a->name)) {
        if (m->name[0] && strcmp(m->name, a->name) != 0)
            continue;
        tell_authority(ike, m->req, a);
        left--;
    }
    if (a)
        ipc_send(ctl, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = m->req, .next = at});
    else
        ipc_result(ctl, m->req, true, "%s", "");
}

static void certs_clear(struct ike *ike, uint32_t req)
{
    pki_clear(ike->creds->pki);
    ike->creds->gone++;
    pki_flush(ike->creds->pki, PKI_CACHE_ALL);
    ipc_result(ike->chan[ROOM_CTL], req, true, "%s", "");
}

static void certs_flush(struct ike *ike, const struct msg_CERTS_FLUSH *m)
{
    pki_flush(ike->creds->pki, m->kind == 0          ? PKI_CACHE_ALL
                               : m->kind == PKI_CRL  ? PKI_CACHE_CRL
                               : m->kind == PKI_OCSP ? PKI_CACHE_OCSP
                                                     : 0);
    ipc_result(ike->chan[ROOM_CTL], m->req, true, "%s", "");
}

void creds_message(struct ike *ike, enum msg_type t, const union msg *m)
{
    struct esp_error err = {0};
    int rc;
    ike->creds->certreq_made = false; // it may change
    switch (t) {
    case MSG_CERT_LOAD: cert_load(ike, &m->CERT_LOAD); break;
    case MSG_CERTS_CLEAR: certs_clear(ike, m->CERTS_CLEAR.req); break;
    case MSG_CERT_LIST: cert_list(ike, &m->CERT_LIST); break;
    case MSG_CERTS_FLUSH: certs_flush(ike, &m->CERTS_FLUSH); break;
    case MSG_AUTHORITY_LOAD: authority_load(ike, &m->AUTHORITY_LOAD); break;
    case MSG_AUTHORITY_UNLOAD:
        rc = pki_authority_unset(ike->creds->pki, m->AUTHORITY_UNLOAD.name, &err);
        ike->creds->gone += rc == 0;
        answer(ike, m->AUTHORITY_UNLOAD.req, rc, &err);
        break;
    case MSG_AUTHORITY_LIST: authority_list(ike, &m->AUTHORITY_LIST); break;
    default: break;
    }
}
