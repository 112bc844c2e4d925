// SPDX-License-Identifier: Apache-2.0
// The server asks in its own order: who we are (and as often as it likes), the challenge, its proof, success.
// What it may cost us is bounded by the number of its requests; anything that is out of order ends the
// attempt.
#include "ctrl/ike/eap_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/conns.h"
#include "ctrl/ike/eap_tls.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/own_auth.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"

enum { REQUESTS_MAX = 16, TEXT_MAX = 80 }; // beside those of EAP-TLS, which counts for itself
enum step { WAITS_FOR_SERVER, WAITS_FOR_CHALLENGE, WAITS_FOR_PROOF, WAITS_FOR_SUCCESS, IN_TLS, OVER };

struct eap_client {
    eap_end_fn end;
    struct inmsg *first; // by which the server proved itself
    enum step step;
    unsigned requests;
    bool refused; // it was told that it asks by another method than ours
    uint8_t id, mschap_id;
    struct identity user;
    char name[ID_TEXT_MAX];
};

// --- the connection ---

static bool by_tls(const struct ike_sa *sa)
{
    return rounds_own(sa)->eap_type == EAP_TLS;
}

// A name that goes on the wire as it stands.
static bool is_name(const struct identity *id)
{
    return (id->type == ID_FQDN || id->type == ID_RFC822 || id->type == ID_KEY) && id->len > 0 &&
           id->len <= EAP_NAME_MAX && !identity_is_pattern(id);
}

static bool user_of(const struct auth_side *s, struct identity *out)
{
    return identity_parse(auth_id(s, AUTH_EAP_ID)[0] ? auth_id(s, AUTH_EAP_ID) : s->id, out) && is_name(out);
}

static int check_side(const struct auth_side *s, struct esp_error *err)
{
    struct identity id;
    if (auth_id(s, AUTH_AAA_ID)[0] &&
        (!identity_parse(auth_id(s, AUTH_AAA_ID), &id) || identity_is_pattern(&id)))
        return esp_fail(err, -EINVAL, "local.aaa_id", "'%.100s' is no server's identity",
                        auth_id(s, AUTH_AAA_ID));
    if (!user_of(s, &id))
        return esp_fail(err, -EINVAL, "local.eap_id",
                        "'%.80s' is no user name: expected local.eap_id or local.id to be one",
                        auth_id(s, AUTH_EAP_ID)[0] ? auth_id(s, AUTH_EAP_ID) : s->id);
    return 0;
}

int eap_client_check(const struct conn *c, struct esp_error *err)
{
    const struct conn_config *cfg = &c->cfg;
    const struct auth_side *last = conn_round(cfg, true, ROUNDS_MAX);
    bool tls = cfg->local.eap_type == EAP_TLS;
    if (last->auth != AUTH_EAP)
        return 0;
    if (last != &cfg->local)
        return check_side(last, err);
    if (cfg->remote.auth == AUTH_EAP && auth_id(&cfg->local, AUTH_AAA_ID)[0])
        return esp_fail(err, -EINVAL, "local.aaa_id",
                        "where EAP is all the server's proof its certificate is that of its IKE identity");
    if (cfg->remote.auth == AUTH_EAP ? !(tls && cfg->remote.eap_type == EAP_TLS)
                                     : cfg->remote.auth != AUTH_PUBKEY)
        return esp_fail(err, -EINVAL, "remote.auth",
                        "our proof is for a server that has proven itself by a certificate (pubkey), or does "
                        "so by eap-tls too");
    return check_side(&cfg->local, err);
}

// --- the session ---

bool eap_client_begin(struct ike_sa *sa, eap_end_fn end)
{
    struct eap_client *e = calloc(1, sizeof(*e));
    if (!e || !user_of(rounds_own(sa), &e->user)) { // it was one when the connection was loaded
        free(e);
        return false;
    }
    e->end = end;
    identity_print(&e->user, e->name, sizeof(e->name));
    eap_client_free(sa->hs->later->eap_client);
    sa->hs->later->eap_client = e;
    return true;
}

void eap_client_free(struct eap_client *e)
{
    if (e)
        free(e->first);
    free(e);
}

bool eap_client_waits(const struct ike_sa *sa)
{
    const struct eap_client *e = sa->hs->later->eap_client;
    return e && e->step != WAITS_FOR_SERVER && e->step != OVER;
}

struct slice eap_client_idr(const struct ike_sa *sa)
{
    const struct payload *p = payload_find(&sa->hs->later->eap_client->first->pl, PL_IDR);
    return p ? p->body : rounds_last_idr(sa);
}

static void fail(struct task *t, const char *why)
{
    char text[200];
    snprintf(text, sizeof(text), "EAP failed: %.180s", why);
    t->sa->hs->later->eap_client->end(t, text);
}

static void reply(struct task *t, uint8_t type, struct slice data)
{
    uint8_t buf[EAP_TLS_PACKET_MAX + 100];
    struct pb b = pb_of(buf, sizeof(buf));
    pb_eap(&b, EAP_CODE_RESPONSE, t->sa->hs->later->eap_client->id, type, data);
    COUNT(t->sa->ike, ike_auth_out_req);
    exchange_send_inner(t->sa, EX_AUTH, &b);
}

// What a peer wrote for people to read: a log has no place for control characters.
static const char *readable(struct slice s, char out[TEXT_MAX])
{
    size_t n = s.len < TEXT_MAX - 1 ? s.len : TEXT_MAX - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(s.p[i] >= ' ' && s.p[i] < 0x7f ? s.p[i] : '?');
    out[n] = 0;
    return out;
}

// --- EAP-MSCHAPv2 ---

static void answered(struct task *t, enum msg_type type, const union msg *m)
{
    struct eap_client *e = t->sa->hs->later->eap_client;
    const struct msg_EAP_ANSWER_IS *is = &m->EAP_ANSWER_IS;
    uint8_t data[5 + MSCHAP_REPLY_LEN + EAP_NAME_MAX];
    struct writer w = writer_of(data, sizeof(data));
    char why[200];
    static const uint8_t reserved[8];
    if (type != MSG_EAP_ANSWER_IS || is->peer_challenge.len != MSCHAP_CHALLENGE_LEN ||
        is->response.len != MSCHAP_RESPONSE_LEN) {
        snprintf(why, sizeof(why), "the password of '%.60s': %.100s", e->name, answer_text(type, m));
        fail(t, why);
        return;
    }
    wr_u8(&w, MSCHAP_OP_RESPONSE);
    wr_u8(&w, e->mschap_id);
    wr_u16(&w, (uint16_t)(5 + MSCHAP_REPLY_LEN + e->user.len));
    wr_u8(&w, MSCHAP_REPLY_LEN);
    wr_slice(&w, is->peer_challenge);
    wr_bytes(&w, reserved, sizeof(reserved));
    wr_slice(&w, is->response);
    wr_u8(&w, 0); // flags
    wr_bytes(&w, e->user.data, e->user.len);
    e->step = WAITS_FOR_PROOF;
    reply(t, EAP_TYPE_MSCHAPV2, wr_written(&w));
}

static void on_challenge(struct task *t, struct slice data)
{
    struct eap_client *e = t->sa->hs->later->eap_client;
    struct mschap_challenge c;
    if (!mschap_read_challenge(data, &c)) {
        fail(t, "the server's MS-CHAPv2 challenge is malformed");
        return;
    }
    e->mschap_id = c.id;
    struct slice user = slice_of(e->user.data, e->user.len), account = user;
    for (size_t i = 0; i < user.len; i++) // RFC 2759 8.2: the name goes in without a domain
        if (user.p[i] == '\\')
            account = slice_of(user.p + i + 1, user.len - i - 1);
    struct msg_EAP_ANSWER q = {.req = ask_new(t, answered),
                               .ike_id = t->sa->id,
                               .user = user,
                               .account = account,
                               .challenge = c.challenge};
    ask(t->sa->ike, ROOM_KEYS, q.req, MSG_EAP_ANSWER, &q);
}

static void judged(struct task *t, enum msg_type type, const union msg *m)
{
    static const uint8_t success = MSCHAP_OP_SUCCESS;
    if (!answer_ok(type, m)) {
        fail(t, answer_text(type, m));
        return;
    }
    t->sa->hs->later->eap_client->step = WAITS_FOR_SUCCESS;
    reply(t, EAP_TYPE_MSCHAPV2, slice_of(&success, 1));
}

static void on_proof(struct task *t, struct slice data)
{
    uint8_t authenticator[MSCHAP_AUTHENTICATOR_LEN];
    char text[TEXT_MAX], why[200];
    if (data.len && data.p[0] == MSCHAP_OP_FAILURE) {
        struct slice said = slice_of(data.p + (data.len < 4 ? data.len : 4), data.len < 4 ? 0 : data.len - 4);
        snprintf(why, sizeof(why), "the server does not take the password of '%.50s' (%s)",
                 t->sa->hs->later->eap_client->name, readable(said, text));
        fail(t, why);
    } else if (!mschap_read_success(data, authenticator)) {
        fail(t, "the server's MS-CHAPv2 success is malformed");
    } else {
        struct msg_EAP_SERVER q = {.req = ask_new(t, judged),
                                   .ike_id = t->sa->id,
                                   .authenticator = slice_of(authenticator, sizeof(authenticator))};
        ask(t->sa->ike, ROOM_KEYS, q.req, MSG_EAP_SERVER, &q);
    }
}

static void on_mschap(struct task *t, struct slice data)
{
    switch (t->sa->hs->later->eap_client->step) {
    case WAITS_FOR_CHALLENGE: on_challenge(t, data); break;
    case WAITS_FOR_PROOF: on_proof(t, data); break;
    default: fail(t, "the server asks on after the method's end"); break;
    }
}

// --- EAP-TLS ---

static void over(struct task *t)
{
    struct eap_client *e = t->sa->hs->later->eap_client;
    LOGF(IKE, 1, "EAP method EAP_%s succeeded, MSK established", by_tls(t->sa) ? "TLS" : "MSCHAPV2");
    e->step = OVER;
    t->sa->hs->eap_over = true;
    e->end(t, NULL);
}

static void tls_next(struct task *t, enum eap_tls_next next, const char *why)
{
    uint8_t data[EAP_TLS_PACKET_MAX];
    struct writer w = writer_of(data, sizeof(data));
    if (next == EAP_TLS_FAILED) {
        fail(t, why);
    } else if (next == EAP_TLS_OVER) {
        over(t);
    } else {
        eap_tls_packet(t->sa->hs->later->eap_tls, &w);
        reply(t, EAP_TYPE_TLS, wr_written(&w));
    }
}

// To the server's start, once `keys` takes that the server has proven itself.
static void tls_begun(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    const char *aaa = auth_id(rounds_own(sa), AUTH_AAA_ID);
    struct identity server;
    char why[200];
    static const uint8_t start = 0x20;
    identity_copy(&server, sa->remote_id);
    if (!answer_ok(type, m)) {
        fail(t, answer_text(type, m));
    } else if ((aaa[0] && !identity_parse(aaa, &server)) || !own_auth_certs(sa, why, sizeof(why)) ||
               !(sa->hs->later->eap_tls = eap_tls_new(sa, false, &server, tls_next, why, sizeof(why)))) {
        fail(t, why);
    } else {
        sa->hs->later->eap_client->step = IN_TLS;
        eap_tls_input(t, slice_of(&start, 1));
    }
}

static void on_tls(struct task *t, struct slice data)
{
    struct ike_sa *sa = t->sa;
    struct eap_client *e = sa->hs->later->eap_client;
    if (e->step == IN_TLS) {
        e->requests--;
        eap_tls_input(t, data);
    } else if (data.len != 1 || data.p[0] != 0x20) {
        fail(t, "the server's EAP-TLS start is malformed");
    } else {
        struct msg_EAP_TLS_BEGIN q = {
            .req = ask_new(t, tls_begun), .ike_id = sa->id, .only = conn_eap_only(&sa->conn->cfg)};
        ask(sa->ike, ROOM_KEYS, q.req, MSG_EAP_TLS_BEGIN, &q);
    }
}

// --- requests ---

// RFC 3748 5.3.1: once, and a server that has no other method ends it.
static void refuse_method(struct task *t, uint8_t type)
{
    uint8_t ours = rounds_own(t->sa)->eap_type;
    struct eap_client *e = t->sa->hs->later->eap_client;
    char why[100];
    snprintf(why, sizeof(why), "the server asks by EAP type %u, and %s is wanted", type,
             by_tls(t->sa) ? "EAP-TLS (13)" : "EAP-MSCHAPv2 (26)");
    if (e->refused || e->step != WAITS_FOR_CHALLENGE) {
        fail(t, why);
        return;
    }
    e->refused = true;
    LOGF(IKE, 1, "%s", why);
    reply(t, EAP_TYPE_NAK, slice_of(&ours, 1));
}

static void on_request(struct task *t, const struct eap_packet *p)
{
    struct eap_client *e = t->sa->hs->later->eap_client;
    char text[TEXT_MAX];
    e->id = p->id;
    if (++e->requests > REQUESTS_MAX) {
        fail(t, "the server asks without end");
    } else if (p->type == EAP_TYPE_IDENTITY) {
        LOGF(IKE, 1, "server requested EAP_IDENTITY (id 0x%02X), sending '%s'", p->id, e->name);
        reply(t, EAP_TYPE_IDENTITY, slice_of(e->user.data, e->user.len));
    } else if (p->type == EAP_TYPE_NOTIFICATION) {
        LOGF(IKE, 1, "the server says by EAP: %s", readable(p->data, text));
        reply(t, EAP_TYPE_NOTIFICATION, slice_of(NULL, 0));
    } else if (p->type != rounds_own(t->sa)->eap_type) {
        refuse_method(t, p->type);
    } else if (by_tls(t->sa)) {
        on_tls(t, p->data);
    } else {
        on_mschap(t, p->data);
    }
}

void eap_client_response(struct task *t, const struct payloads *pl)
{
    struct eap_client *e = t->sa->hs->later->eap_client;
    const struct payload *body = payload_find(pl, PL_EAP);
    struct eap_packet p;
    if (!body || payload_count(pl, PL_EAP) != 1 || !eap_read(body->body, &p)) {
        fail(t, "the IKE_AUTH response lacks an EAP packet, or it is malformed (RFC 7296 2.16)");
    } else if (p.code == EAP_CODE_SUCCESS && e->step == WAITS_FOR_SUCCESS) {
        over(t);
    } else if (p.code == EAP_CODE_SUCCESS && e->step == IN_TLS) {
        eap_tls_success(t);
    } else if (p.code == EAP_CODE_REQUEST) {
        on_request(t, &p);
    } else {
        fail(t, p.code == EAP_CODE_FAILURE
                    ? "the server says so"
                    : "the server's packet is neither a request nor a success that is due");
    }
}

void eap_client_first(struct task *t, struct inmsg *m)
{
    struct eap_client *e = t->sa->hs->later->eap_client;
    e->first = m;
    e->step = WAITS_FOR_CHALLENGE;
    eap_client_response(t, &m->pl);
}
