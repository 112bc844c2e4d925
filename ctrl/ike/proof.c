// SPDX-License-Identifier: Apache-2.0
// The peer's proof, step by step: each asks somebody else, and the next one goes on from the answer.
#include "ctrl/ike/proof.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/dn.h"
#include "ctrl/ike/auth.h"
#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/creds.h"
#include "ctrl/ike/fetching.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/own_auth.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/ike/task.h"

enum { ID_BODY_MAX = ID_DATA_MAX + 4 };

struct proof_state {
    struct auth auth;
    struct slice id;
    proof_fn fn;
    struct pki_check *check;
    enum pki_verdict verdict; // of it, so far
    unsigned waiting;         // answers of `fetch` that are to come
    struct esp_error why;
    bool certs_only; // of another handshake: no AUTH goes with them
};

void proof_free(struct proof_state *p)
{
    if (p)
        pki_check_free(p->check);
    free(p);
}

// --- the connection ---

static int check_blobs(const struct blobs *l, enum pki_kind kind, const char *field, struct esp_error *err)
{
    for (unsigned i = 0; i < l->count; i++) {
        struct slice der = blobs_at(l, i);
        struct pki_info info;
        struct esp_error why = {0};
        if (pki_describe(kind, der, &info, &why) != 0)
            return esp_fail(err, -EINVAL, field, "entry %u: %.170s", i + 1, why.text);
    }
    return 0;
}

static int check_side(const struct auth_side *s, const struct identity *id, struct esp_error *err)
{
    uint8_t dn[DN_DER_MAX];
    size_t len;
    if (s->auth != AUTH_PUBKEY && !(s->auth == AUTH_EAP && s->eap_type == EAP_TLS))
        return 0;
    if ((s->auth == AUTH_EAP && auth_id(s, AUTH_EAP_ID)[0] ? strcmp(auth_id(s, AUTH_EAP_ID), "%any") == 0
                                                           : id->type == ID_ANY) &&
        !s->certs.count && !s->cacerts.count && !s->pubkeys.count)
        return esp_fail(
            err, -EINVAL, "remote",
            "whoever has any trusted certificate would be let in: give remote.id, cacerts, certs or "
            "pubkeys");
    if (auth_id(s, AUTH_CA_ID)[0] && dn_parse(auth_id(s, AUTH_CA_ID), dn, sizeof(dn), &len) != 0)
        return esp_fail(err, -EINVAL, "remote.ca_id", "'%.100s' is not a distinguished name",
                        auth_id(s, AUTH_CA_ID));
    if (check_blobs(&s->certs, PKI_X509, "remote.certs", err) != 0 ||
        check_blobs(&s->cacerts, PKI_CA, "remote.cacerts", err) != 0 ||
        check_blobs(&s->pubkeys, PKI_PUBKEY, "remote.pubkeys", err) != 0)
        return -EINVAL;
    return 0;
}

int proof_check_conn(const struct conn *c, struct esp_error *err)
{
    struct identity id = {0};
    int rc = check_side(&c->cfg.remote, c->remote_id, err);
    for (const struct auth_round *more = c->cfg.remote_more; !rc && more; more = more->next)
        if (identity_parse(more->side.id, &id)) // what it cannot be is told by rounds.c
            rc = check_side(&more->side, &id, err);
    return rc;
}

// --- the end ---

static void finish(struct task *t, enum proof how, const char *why)
{
    struct handshake *hs = t->sa->hs;
    proof_fn fn = hs->later->proof->fn;
    char text[300];
    snprintf(text, sizeof(text), "%s", why); // it may lie in what is freed
    proof_free(hs->later->proof);
    hs->later->proof = NULL;
    fn(t, how, text);
}

static void good(struct task *t)
{
    struct ike_sa *sa = t->sa;
    const struct proof_state *p = sa->hs->later->proof;
    char text[ID_TEXT_MAX];
    LOGF(IKE, 1, "authentication of '%s' with %s successful",
         identity_print(sa->remote_id, text, sizeof(text)),
         sa->hs->eap_over            ? "EAP"
         : sa->hs->later->resumption ? "its session ticket"
                                     : auth_print(p->auth.method, p->auth.value));
    finish(t, PROOF_GOOD, "");
}

// --- by a shared secret ---

static void secret_checked(struct task *t, enum msg_type type, const union msg *m)
{
    if (!answer_ok(type, m)) {
        finish(t, PROOF_BAD, answer_text(type, m));
        return;
    }
    good(t);
    auth_log_proven(&m->AUTH_PROVEN);
}

static void check_secret(struct task *t)
{
    struct ike_sa *sa = t->sa;
    uint8_t own[ID_BODY_MAX];
    struct handshake *hs = sa->hs;
    struct msg_AUTH_CHECK q = {.req = ask_new(t, secret_checked),
                               .ike_id = sa->id,
                               .method = hs->later->proof->auth.method,
                               .message = slice_of(hs->peer_init, hs->peer_init_len),
                               .own_nonce = slice_of(hs->kex.nonce, NONCE_LEN),
                               .id_body = auth_id_body(sa->local_id, own, sizeof(own)),
                               .peer_id_body = hs->later->proof->id,
                               .local = sa->path.local,
                               .remote = sa->path.remote,
                               .auth = hs->later->proof->auth.value};
    ask(sa->ike, ROOM_KEYS, q.req, MSG_AUTH_CHECK, &q);
}

// --- by a signature: revocation, last ---

static void revocation(struct task *t);

static void fetched(struct task *t, uint32_t id, bool ok, const char *text, struct slice body)
{
    struct proof_state *p = t->sa->hs ? t->sa->hs->later->proof : NULL;
    if (!p)
        return;
    p->waiting--;
    p->verdict = pki_check_fetched(p->check, id, ok ? PKI_ANSWERED : PKI_NO_ANSWER, text, body,
                                   creds_now(t->sa->ike), &p->why);
    revocation(t);
}

// Asks for what is wanted, and ends when nothing is any more.
static void revocation(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct proof_state *p = sa->hs->later->proof;
    struct pki_fetch f;
    while (p->verdict == PKI_WANTS_FETCH && pki_check_next(p->check, &f)) {
        if (fetch_ask(t, &f, fetched))
            p->waiting++;
        else
            p->verdict = pki_check_fetched(p->check, f.id, PKI_NOT_ASKED, "it cannot be fetched",
                                           slice_of(NULL, 0), creds_now(sa->ike), &p->why);
    }
    if (p->verdict == PKI_WANTS_FETCH && p->waiting)
        return;
    if (p->verdict != PKI_VALID) {
        struct esp_error why = p->why;
        finish(t, PROOF_BAD, why.text[0] ? why.text : "whether it is revoked is not known");
        return;
    }
    struct pki_standing **standing = &sa->later->standing[rounds_at(sa)];
    pki_standing_unref(*standing);
    *standing = NULL;
    if (pki_check_standing(p->check, standing) != 0 ||
        pki_standing_judge(sa->ike->creds->pki, *standing, creds_now(sa->ike), &p->why) != 0) {
        struct esp_error why = p->why;
        finish(t, PROOF_BAD, why.text[0] ? why.text : "no memory");
        return;
    }
    int64_t until = pki_check_until(p->check);
    if (until != INT64_MAX && (!sa->later->proven_until || until < sa->later->proven_until))
        sa->later->proven_until = until;
    if (p->certs_only) {
        finish(t, PROOF_GOOD, "");
        return;
    }
    ipc_send(sa->ike->chan[ROOM_KEYS], MSG_AUTH_VERIFIED, &(struct msg_AUTH_VERIFIED){.ike_id = sa->id});
    good(t);
}

// --- the signature, once ---

static void got_octets(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    struct handshake *hs = sa->hs;
    const struct proof_state *p = hs->later->proof;
    const struct auth_side *s = rounds_peer(sa);
    struct esp_error err = {0};
    if (type != MSG_AUTH_OCTETS_IS) {
        finish(t, PROOF_BAD, answer_text(type, m));
        return;
    }
    struct slice octets = m->AUTH_OCTETS_IS.octets;
    const struct cr_slice parts[] = {
        {hs->peer_init, hs->peer_init_len}, {hs->kex.nonce, NONCE_LEN}, {octets.p, octets.len}};
    if (cr_verify(pki_check_key(p->check), s->schemes ? s->schemes : cr_schemes_default(), p->auth.method,
                  p->auth.value.p, p->auth.value.len, parts, 3, &err) != 0)
        finish(t, PROOF_BAD, err.text);
    else
        revocation(t);
}

static void ask_octets(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct msg_AUTH_OCTETS q = {
        .req = ask_new(t, got_octets), .ike_id = sa->id, .id_body = sa->hs->later->proof->id};
    ask(sa->ike, ROOM_KEYS, q.req, MSG_AUTH_OCTETS, &q);
}

// --- the certificates, first ---

struct lists { // of a connection, as ctrl/pki takes them
    struct slice cacerts[BLOBS_MAX], certs[BLOBS_MAX], pubkeys[BLOBS_MAX];
    char policies[BLOBS_MAX][64];
    const char *policy[BLOBS_MAX];
    uint8_t ca_id[DN_DER_MAX];
};

static size_t slices(const struct blobs *l, struct slice *out)
{
    for (unsigned i = 0; i < l->count; i++)
        out[i] = blobs_at(l, i);
    return l->count;
}

static void rules_of(const struct ike_sa *sa, struct lists *l, struct pki_rules *r)
{
    const struct auth_side *s = rounds_peer(sa);
    struct identity id;
    size_t len = 0;
    rounds_peer_id(sa, &id);
    *r = (struct pki_rules){.cacerts = l->cacerts,
                            .cacert_count = slices(&s->cacerts, l->cacerts),
                            .certs = l->certs,
                            .cert_count = slices(&s->certs, l->certs),
                            .pubkeys = l->pubkeys,
                            .pubkey_count = slices(&s->pubkeys, l->pubkeys),
                            .policies = l->policy,
                            .policy_count = s->cert_policy.count,
                            .revocation = s->revocation,
                            .rsa_bits = s->rsa_bits,
                            .ecdsa_bits = s->ecdsa_bits,
                            .cert_hashes = s->cert_hashes,
                            .trust_loaded = id.type != ID_ANY || auth_id(s, AUTH_EAP_ID)[0]};
    if (auth_id(s, AUTH_CA_ID)[0] && dn_parse(auth_id(s, AUTH_CA_ID), l->ca_id, sizeof(l->ca_id), &len) == 0)
        r->ca_id = slice_of(l->ca_id, len);
    for (unsigned i = 0; i < s->cert_policy.count; i++) {
        struct slice text = blobs_at(&s->cert_policy, i);
        snprintf(l->policies[i], sizeof(l->policies[i]), "%.*s", (int)(text.len < 64 ? text.len : 63),
                 text.p);
        l->policy[i] = l->policies[i];
    }
    for (int type = CR_KEY_RSA; s->schemes && type <= CR_KEY_ED448; type++)
        if (s->schemes & cr_schemes_of_type((enum cr_key_type)type))
            r->key_types |= 1u << type;
}

static void log_certs(const struct peer_certs *certs)
{
    for (size_t i = 0; i < certs->count; i++) {
        struct pki_info info;
        struct esp_error err = {0};
        if (pki_describe(PKI_X509, certs->certs[i], &info, &err) == 0)
            LOGF(IKE, 1, "received %s cert \"%s\"", i ? "issuer" : "end entity", info.subject);
        else
            LOGF(IKE, 1, "received a certificate that cannot be used: %s", err.text);
    }
    if (certs->pubkey.len)
        LOGF(IKE, 1, "received a raw public key");
}

static void check_certs(struct task *t, const struct peer_certs *certs, const struct identity *id)
{
    struct ike_sa *sa = t->sa;
    struct lists *l = calloc(1, sizeof(*l));
    struct pki_rules rules;
    struct esp_error err = {0};
    if (!l) {
        finish(t, PROOF_BAD, "no memory");
        return;
    }
    log_certs(certs);
    rules_of(sa, l, &rules);
    const struct pki_peer peer = {.certs = certs->certs,
                                  .count = certs->count,
                                  .pubkey = certs->pubkey,
                                  .id_type = id->type,
                                  .id = slice_of(id->data, id->len)};
    struct proof_state *p = sa->hs->later->proof;
    p->verdict = pki_check_begin(sa->ike->creds->pki, &rules, &peer, creds_now(sa->ike), &p->check, &err);
    free(l);
    if (p->verdict == PKI_REFUSED)
        finish(t, PROOF_NOT_HERE, err.text);
    else if (p->certs_only)
        revocation(t);
    else
        ask_octets(t);
}

static void read_certs(struct task *t, const struct payloads *pl)
{
    struct peer_certs certs;
    struct esp_error err = {0};
    if (certs_read(pl, &certs, &err))
        check_certs(t, &certs, t->sa->remote_id);
    else
        finish(t, PROOF_BAD, err.text);
}

void proof_judge(struct task *t, const struct peer_certs *certs, const struct identity *id, proof_fn fn)
{
    struct proof_state *p = calloc(1, sizeof(*p));
    if (!p) {
        fn(t, PROOF_BAD, "no memory");
        return;
    }
    *p = (struct proof_state){.fn = fn, .certs_only = true};
    proof_free(t->sa->hs->later->proof);
    t->sa->hs->later->proof = p;
    check_certs(t, certs, id);
}

// As responder it is not known yet which connection it will be; and whoever asks for a certificate may be
// anybody.
bool pb_ask_certs(struct pb *b, const struct ike_sa *sa)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    const struct auth_side *s = &cfg->remote; // the first round by certificates
    for (unsigned n = 1; s->auth != AUTH_PUBKEY && n < conn_rounds(cfg, false); n++)
        s = conn_round(cfg, false, n);
    struct slice cacerts[BLOBS_MAX];
    uint8_t hashes[CREDS_CERTREQ_MAX * 20];
    struct slice all = creds_certreq(sa->ike->creds);
    if (!sa->conn->cfg.send_certreq || (sa->initiator ? s->auth != AUTH_PUBKEY : !sa->ike->pubkey_conns))
        return false;
    if (sa->initiator && s->cacerts.count)
        all = slice_of(hashes, pki_certreq(sa->ike->creds->pki, cacerts, slices(&s->cacerts, cacerts), hashes,
                                           sizeof(hashes)));
    pb_certreq(b, all);
    LOGF(IKE, 1, "sending a cert request for %zu authorities", all.len / 20);
    return true;
}

static bool is_signature(uint8_t method)
{
    return method == CR_METHOD_SIGNATURE || method == CR_METHOD_RSA || method == CR_METHOD_ECDSA_256 ||
           method == CR_METHOD_ECDSA_384 || method == CR_METHOD_ECDSA_521;
}

uint8_t proof_kind(uint8_t method)
{
    return method == CR_METHOD_PSK ? AUTH_PSK : is_signature(method) ? AUTH_PUBKEY : AUTH_NONE;
}

void proof_begin(struct task *t, const struct payloads *pl, const struct auth *auth, struct slice id,
                 proof_fn fn)
{
    struct ike_sa *sa = t->sa;
    struct proof_state *p = calloc(1, sizeof(*p));
    char why[200];
    uint8_t kind = proof_kind(auth->method),
            wanted = sa->hs->eap_over || sa->hs->later->resumption ? AUTH_PSK
                                                                   : rounds_peer(sa)->auth; // by MSK, SK_p
    if (!p) {
        fn(t, PROOF_BAD, "no memory");
        return;
    }
    *p = (struct proof_state){.auth = *auth, .id = id, .fn = fn};
    proof_free(sa->hs->later->proof);
    sa->hs->later->proof = p;
    if (kind != wanted) {
        snprintf(why, sizeof(why), "the peer authenticates by %s (method %u), and by %s the connection says",
                 auth_print(auth->method, auth->value), auth->method,
                 sa->hs->eap_over                    ? "the key that EAP made"
                 : sa->hs->later->resumption         ? "its session ticket"
                 : rounds_peer(sa)->auth == AUTH_PSK ? "a pre-shared key"
                 : rounds_peer(sa)->auth == AUTH_EAP ? "EAP"
                                                     : "a certificate or public key");
        finish(t, PROOF_BAD, why);
    } else if (kind == AUTH_PSK) {
        check_secret(t);
    } else if (!sa->initiator && !may_prove(sa->ike, &sa->path.remote)) {
        finish(t, PROOF_BAD,
               "too many proofs that failed came from there, none is looked at for some seconds");
    } else {
        read_certs(t, pl);
    }
}
