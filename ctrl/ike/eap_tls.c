// SPDX-License-Identifier: Apache-2.0
// A handshake is a few flights; each goes in fragments that the other end acknowledges by empty packets. What
// a peer may send is bounded in all its octets and packets. Nothing is signed as the client, and nothing is
// over as the server, before the peer's certificates are good (ctrl/pki, revocation too).
#include "ctrl/ike/eap_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>

#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/own_auth.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/proof.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/tls.h"

enum { FLAG_LENGTH = 0x80, FLAG_MORE = 0x40, FLAG_START = 0x20 };
enum { INPUT_MAX = 96 << 10, PACKETS_MAX = 200 }; // of the peer, of the whole handshake

struct eap_tls {
    struct tls *tls;
    eap_tls_fn fn;
    bool server, started, judged, finished;
    enum tls_step step;
    struct identity peer;
    uint8_t key_id[CREDS_KEY_ID];
    size_t received;         // octets of all flights
    unsigned packets;        // likewise
    size_t flight, declared; // octets of this flight so far; that it says to have (0: it does not)
    bool in_flight, sending; // sending: fragments of ours are left
};

void eap_tls_free(struct eap_tls *e)
{
    if (e)
        tls_free(e->tls);
    free(e);
}

struct eap_tls *eap_tls_new(struct ike_sa *sa, bool server, const struct identity *peer, eap_tls_fn fn,
                            char *why, size_t size)
{
    const struct own_auth *own = sa->hs->later->own;
    struct slice chain[BLOBS_MAX];
    struct esp_error err = {0};
    struct eap_tls *e = calloc(1, sizeof(*e));
    snprintf(why, size, "no memory");
    if (!sa->ike->tls)
        sa->ike->tls = tls_room_new();
    if (!e || !sa->ike->tls) {
        free(e);
        return NULL;
    }
    *e = (struct eap_tls){.fn = fn, .server = server, .peer = *peer, .started = !server};
    if (!own || own->encoding != CERT_X509) {
        snprintf(why, size, "EAP-TLS needs a certificate of ours");
        free(e);
        return NULL;
    }
    memcpy(e->key_id, own->key_id, sizeof(e->key_id));
    for (unsigned i = 0; i < own->chain.count; i++)
        chain[i] = blobs_at(&own->chain, i);
    e->tls = tls_new(sa->ike->tls, server, chain, own->chain.count, &err);
    if (!e->tls) {
        snprintf(why, size, "%s", err.text);
        free(e);
        return NULL;
    }
    return e;
}

// --- our packets ---

void eap_tls_packet(struct eap_tls *e, struct writer *w)
{
    uint8_t buf[EAP_TLS_FRAGMENT];
    if (e->server && !e->started) {
        e->started = true;
        wr_u8(w, FLAG_START);
        return;
    }
    size_t all = tls_output(e->tls), n = all > sizeof(buf) ? sizeof(buf) : all;
    bool first = !e->sending, more = all > n;
    wr_u8(w, (uint8_t)((first && more ? FLAG_LENGTH : 0) | (more ? FLAG_MORE : 0)));
    if (first && more)
        wr_u32(w, (uint32_t)all);
    if (n)
        wr_bytes(w, buf, tls_take(e->tls, buf, n));
    e->sending = more;
}

static void fail(struct task *t, const char *why)
{
    char text[200];
    snprintf(text, sizeof(text), "%.190s", why);
    t->sa->hs->later->eap_tls->fn(t, EAP_TLS_FAILED, text);
}

// --- the end ---

static void has_msk(struct task *t, enum msg_type type, const union msg *m)
{
    if (answer_ok(type, m))
        t->sa->hs->later->eap_tls->fn(t, EAP_TLS_OVER, NULL);
    else
        fail(t, answer_text(type, m));
}

static void over(struct task *t)
{
    struct eap_tls *e = t->sa->hs->later->eap_tls;
    uint8_t msk[TLS_MSK_LEN];
    if (!tls_msk(e->tls, msk)) {
        fail(t, "the handshake makes no key");
        return;
    }
    LOGF(IKE, 1, "EAP-TLS by %s", tls_version(e->tls));
    struct msg_EAP_TLS_MSK q = {
        .req = ask_new(t, has_msk), .ike_id = t->sa->id, .msk = slice_of(msk, sizeof(msk))};
    ask(t->sa->ike, ROOM_KEYS, q.req, MSG_EAP_TLS_MSK, &q);
    OPENSSL_cleanse(msk, sizeof(msk));
}

void eap_tls_success(struct task *t)
{
    const struct eap_tls *e = t->sa->hs->later->eap_tls;
    if (e && e->finished && !e->sending)
        over(t);
    else if (e)
        fail(t, "the server says success before the handshake is over (RFC 9190 2.5)");
}

// --- steps ---

static void act(struct task *t);

static void signed_(struct task *t, enum msg_type type, const union msg *m)
{
    struct eap_tls *e = t->sa->hs->later->eap_tls;
    struct esp_error err = {0};
    if (type != MSG_EAP_TLS_SIGNED) {
        fail(t, answer_text(type, m));
        return;
    }
    e->step = tls_signed(e->tls, m->EAP_TLS_SIGNED.signature, &err);
    if (e->step == TLS_FAILED)
        fail(t, err.text);
    else
        act(t);
}

static void ask_signature(struct task *t)
{
    struct eap_tls *e = t->sa->hs->later->eap_tls;
    uint32_t scheme;
    struct slice data = tls_to_sign(e->tls, &scheme);
    struct msg_EAP_TLS_SIGN q = {.req = ask_new(t, signed_),
                                 .ike_id = t->sa->id,
                                 .key_id = slice_of(e->key_id, sizeof(e->key_id)),
                                 .scheme = scheme,
                                 .data = data};
    ask(t->sa->ike, ROOM_KEYS, q.req, MSG_EAP_TLS_SIGN, &q);
}

static void judged(struct task *t, enum proof how, const char *why)
{
    if (how != PROOF_GOOD) {
        fail(t, why);
        return;
    }
    t->sa->hs->later->eap_tls->judged = true;
    act(t);
}

static void judge(struct task *t)
{
    struct eap_tls *e = t->sa->hs->later->eap_tls;
    struct peer_certs certs = {0};
    _Static_assert((int)TLS_PEER_CERTS_MAX <= (int)PKI_PEER_CERTS_MAX, "as many as are judged");
    certs.count = tls_peer_certs(e->tls, certs.certs);
    if (certs.count)
        proof_judge(t, &certs, &e->peer, judged);
    else
        fail(t, "the peer has shown no certificate");
}

static void done(struct task *t)
{
    struct eap_tls *e = t->sa->hs->later->eap_tls;
    bool v13 = tls_is_13(e->tls);
    if (!e->finished && e->server && v13 && !tls_say_done(e->tls)) {
        fail(t, "no memory");
        return;
    }
    e->finished = e->finished || e->server || !v13 || tls_heard_done(e->tls);
    e->fn(t, EAP_TLS_SEND, NULL);
}

static void act(struct task *t)
{
    struct eap_tls *e = t->sa->hs->later->eap_tls;
    bool certs_due = e->step == TLS_DONE || (e->step == TLS_SIGNS && !e->server);
    if (certs_due && !e->judged)
        judge(t);
    else if (e->step == TLS_SIGNS)
        ask_signature(t);
    else if (e->step == TLS_DONE)
        done(t);
    else if (!tls_output(e->tls))
        fail(t, "the peer's flight ends within a message");
    else
        e->fn(t, EAP_TLS_SEND, NULL);
}

// --- the peer's packets ---

static bool take(struct eap_tls *e, struct reader *r, uint8_t flags)
{
    uint32_t declared = flags & FLAG_LENGTH ? rd_u32(r) : 0;
    struct slice data = rd_rest(r);
    if (r->bad || (e->in_flight && declared && declared != e->declared) || declared > INPUT_MAX)
        return false;
    if (!e->in_flight) {
        e->declared = declared;
        e->flight = 0;
    }
    e->in_flight = flags & FLAG_MORE;
    e->flight += data.len;
    e->received += data.len;
    return data.len && e->received <= INPUT_MAX && (!e->declared || e->flight <= e->declared) &&
           (e->in_flight || !e->declared || e->flight == e->declared) && tls_feed(e->tls, data);
}

void eap_tls_input(struct task *t, struct slice data)
{
    struct eap_tls *e = t->sa->hs->later->eap_tls;
    struct reader r = reader_of(data);
    uint8_t flags = rd_u8(&r);
    struct esp_error err = {0};
    bool start = !e->server && e->packets == 0;
    if (++e->packets > PACKETS_MAX) {
        fail(t, "the peer sends EAP-TLS packets without end");
    } else if (r.bad || start != ((flags & FLAG_START) != 0) || (start && r.left)) {
        fail(t, "an EAP-TLS packet that is malformed, or a start that is not due (RFC 5216 3.1)");
    } else if (e->sending) { // acknowledged
        if (r.left)
            fail(t, "the peer speaks before it has our whole flight");
        else
            e->fn(t, EAP_TLS_SEND, NULL);
    } else if (!start && !r.left && e->server && e->finished) {
        over(t);
    } else if (!start && !take(e, &r, flags)) {
        fail(t, "an EAP-TLS flight that is too long, or not as long as it says");
    } else if (e->in_flight) {
        e->fn(t, EAP_TLS_SEND, NULL); // acknowledges
    } else {
        e->step = tls_step(e->tls, slice_of(NULL, 0), &err);
        if (e->step == TLS_FAILED)
            fail(t, err.text);
        else
            act(t);
    }
}
