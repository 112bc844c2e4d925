// SPDX-License-Identifier: Apache-2.0
// The peer's steps are few and in one order: identity where there is an eap_id, challenge, response, its
// "success", AUTH; with EAP-TLS a bounded number of packets between identity and AUTH. Anything else ends the
// IKE SA, so a peer has as many messages as there are steps, and half_open_timeout for all of them.
#include "ctrl/ike/eap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/auth.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/eap_tls.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/own_auth.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/ike/task.h"

enum step { WAITS_FOR_IDENTITY, WAITS_FOR_RESPONSE, WAITS_FOR_SUCCESS, WAITS_FOR_AUTH };

struct eap_session {
    struct inmsg *first; // the first request: what it asks for is answered at the end
    enum step step;
    uint8_t id; // of the last request of ours
    uint8_t challenge[MSCHAP_CHALLENGE_LEN];
    struct identity user; // who has shown the password, from step WAITS_FOR_SUCCESS on
    char name[EAP_NAME_MAX + 1];
};

// --- the session ---

int eap_check_conn(const struct conn *c, struct esp_error *err)
{
    const struct conn_config *cfg = &c->cfg;
    struct identity id;
    const struct auth_side *last = conn_round(cfg, false, ROUNDS_MAX);
    if (last != &cfg->remote && last->auth == AUTH_EAP && !identity_parse(auth_id(last, AUTH_EAP_ID), &id))
        return esp_fail(err, -EINVAL, "remote.eap_id", "'%.100s' is not an identity that is supported",
                        auth_id(last, AUTH_EAP_ID));
    if (cfg->remote.auth != AUTH_EAP)
        return 0;
    bool only = conn_eap_only(cfg) && cfg->local.eap_type == EAP_TLS && cfg->remote.eap_type == EAP_TLS;
    if (cfg->local.auth != AUTH_PUBKEY && !only)
        return esp_fail(err, -EINVAL, "local.auth",
                        "with EAP we prove ourselves to whoever asks: that takes a certificate (pubkey), or "
                        "eap-tls at both ends");
    if (!identity_parse(auth_id(&cfg->remote, AUTH_EAP_ID), &id))
        return esp_fail(err, -EINVAL, "remote.eap_id", "'%.100s' is not an identity that is supported",
                        auth_id(&cfg->remote, AUTH_EAP_ID));
    return 0;
}

void eap_free(struct eap_session *e)
{
    if (e)
        free(e->first);
    free(e);
}

struct slice eap_idi(const struct ike_sa *sa)
{
    return payload_find(&sa->hs->later->eap->first->pl, PL_IDI)->body;
}

void eap_first_again(struct task *t)
{
    struct eap_session *e = t->sa->hs->later->eap;
    free(t->msg);
    t->msg = e->first;
    e->first = NULL;
}

// RFC 3748 4.2, RFC 7296 2.16: the peer hears a failure, and the IKE SA is over.
static void fail(struct ike_sa *sa, const char *why)
{
    uint8_t buf[64];
    struct pb b = pb_of(buf, sizeof(buf));
    char text[200];
    snprintf(text, sizeof(text), "%.190s", why);
    sa_why(sa, "%s", text);
    LOGF(IKE, 1, "EAP failed: %s", text);
    COUNT(sa->ike, auth_failed);
    sa->failure = IKE_FAILURE_AUTHENTICATION;
    proof_failed(sa->ike, &sa->path.remote);
    pb_eap(&b, EAP_CODE_FAILURE, sa->hs->later->eap->id, 0, slice_of(NULL, 0));
    exchange_reply(sa, EX_AUTH, &b);
    sa_refused(sa);
}

static void send_request(struct ike_sa *sa, struct pb *b, uint8_t type, struct slice data)
{
    pb_eap(b, EAP_CODE_REQUEST, sa->hs->later->eap->id, type, data);
    if (!exchange_reply(sa, EX_AUTH, b)) {
        sa_why(sa, "the IKE_AUTH response could not be built");
        sa_destroy(sa);
    }
}

static bool by_tls(const struct ike_sa *sa)
{
    return rounds_peer(sa)->eap_type == EAP_TLS;
}

static void send_challenge(struct ike_sa *sa, struct pb *b)
{
    const struct eap_session *e = sa->hs->later->eap;
    uint8_t data[64];
    struct writer w = writer_of(data, sizeof(data));
    wr_u8(&w, MSCHAP_OP_CHALLENGE);
    wr_u8(&w, e->id);
    wr_u16(&w, 4 + 1 + MSCHAP_CHALLENGE_LEN + 9);
    wr_u8(&w, MSCHAP_CHALLENGE_LEN);
    wr_bytes(&w, e->challenge, MSCHAP_CHALLENGE_LEN);
    wr_bytes(&w, "espalierd", 9);
    LOGF(IKE, 1, "initiating EAP_MSCHAPV2 method (id 0x%02X)", e->id);
    send_request(sa, b, EAP_TYPE_MSCHAPV2, wr_written(&w));
}

static void on_success(struct ike_sa *sa);

static void send_tls(struct ike_sa *sa, struct pb *b)
{
    uint8_t data[EAP_TLS_PACKET_MAX];
    struct writer w = writer_of(data, sizeof(data));
    eap_tls_packet(sa->hs->later->eap_tls, &w);
    send_request(sa, b, EAP_TYPE_TLS, wr_written(&w));
}

static void tls_next(struct task *t, enum eap_tls_next next, const char *why)
{
    uint8_t buf[EAP_TLS_PACKET_MAX + 100];
    struct pb b = pb_of(buf, sizeof(buf));
    t->sa->hs->later->eap->id++;
    if (next == EAP_TLS_FAILED)
        fail(t->sa, why);
    else if (next == EAP_TLS_OVER)
        on_success(t->sa);
    else
        send_tls(t->sa, &b);
}

static void begin_method(struct ike_sa *sa, struct pb *b)
{
    struct eap_session *e = sa->hs->later->eap;
    char why[200];
    if (!by_tls(sa)) {
        send_challenge(sa, b);
        return;
    }
    if (!auth_id(rounds_peer(sa), AUTH_EAP_ID)[0])
        identity_copy(&e->user, sa->remote_id);
    if (!sa->hs->later->own && !own_auth_certs(sa, why, sizeof(why))) {
        fail(sa, why);
        return;
    }
    sa->hs->later->eap_tls = eap_tls_new(sa, true, &e->user, tls_next, why, sizeof(why));
    if (!sa->hs->later->eap_tls) {
        fail(sa, why);
        return;
    }
    LOGF(IKE, 1, "initiating EAP_TLS method (id 0x%02X)", e->id);
    send_tls(sa, b);
}

// --- the first answer ---

// auth: empty where EAP is our proof too, or we have given it in the first round.
static void first_answer(struct ike_sa *sa, struct slice auth)
{
    struct eap_session *e = sa->hs->later->eap;
    uint8_t id[ID_DATA_MAX + 4];
    struct pb b = pb_of(sa->ike->scratch.message, BUILT_MESSAGE_MAX);
    if (!sa->hs->later->rounds || auth.len)
        pb_payload(&b, PL_IDR, auth_id_body(sa->local_id, id, sizeof(id)));
    if (auth.len) {
        own_auth_log(sa, auth);
        pb_own_certs(&b, sa);
        pb_own_auth(&b, sa, auth);
    }
    if (e->step == WAITS_FOR_IDENTITY)
        send_request(sa, &b, EAP_TYPE_IDENTITY, slice_of(NULL, 0));
    else
        begin_method(sa, &b);
}

static void got_auth(struct task *t, enum msg_type type, const union msg *m)
{
    if (type == MSG_AUTH_IS)
        first_answer(t->sa, m->AUTH_IS.auth);
    else
        fail(t->sa, answer_text(type, m));
}

static void may_begin(struct task *t, enum msg_type type, const union msg *m)
{
    char why[200];
    if (!answer_ok(type, m))
        fail(t->sa, answer_text(type, m));
    else if (!rounds_own_signs(t->sa))
        first_answer(t->sa, slice_of(NULL, 0));
    else if (!own_auth_make(t, got_auth, why, sizeof(why)))
        fail(t->sa, why);
}

static void got_challenge(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    struct eap_session *e = sa->hs->later->eap;
    char why[200];
    if (type != MSG_EAP_CHALLENGE || m->EAP_CHALLENGE.challenge.len != MSCHAP_CHALLENGE_LEN) {
        fail(sa, answer_text(type, m));
        return;
    }
    memcpy(e->challenge, m->EAP_CHALLENGE.challenge.p, MSCHAP_CHALLENGE_LEN);
    if (!rounds_own_signs(sa))
        first_answer(sa, slice_of(NULL, 0));
    else if (!own_auth_make(t, got_auth, why, sizeof(why)))
        fail(sa, why);
}

void eap_begin(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct eap_session *e = calloc(1, sizeof(*e));
    if (!e) {
        sa_destroy(sa);
        return;
    }
    e->first = t->msg;
    t->msg = NULL;
    e->id = 1;
    // Some clients say another name than their IKE identity only where they are asked for it.
    e->step = auth_id(rounds_peer(sa), AUTH_EAP_ID)[0] ? WAITS_FOR_IDENTITY : WAITS_FOR_RESPONSE;
    sa->hs->later->eap = e;
    if (!may_prove(sa->ike, &sa->path.remote)) {
        fail(sa, "too many proofs that failed came from there, none is looked at for some seconds");
        return;
    }
    if (by_tls(sa)) {
        struct msg_EAP_TLS_BEGIN tls = {
            .req = ask_new(t, may_begin), .ike_id = sa->id, .only = conn_eap_only(&sa->conn->cfg)};
        ask(sa->ike, ROOM_KEYS, tls.req, MSG_EAP_TLS_BEGIN, &tls);
        return;
    }
    struct msg_EAP_BEGIN q = {.req = ask_new(t, got_challenge), .ike_id = sa->id};
    ask(sa->ike, ROOM_KEYS, q.req, MSG_EAP_BEGIN, &q);
}

// --- the response ---

// The name is who the password is of, and no other: with eap_id whom that allows, without it the IKE
// identity.
static bool take_name(struct ike_sa *sa, struct slice name)
{
    struct eap_session *e = sa->hs->later->eap;
    const char *want = auth_id(rounds_peer(sa), AUTH_EAP_ID);
    struct identity pattern;
    if (!name.len || name.len > EAP_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.p[i] <= ' ' || name.p[i] == 0x7f)
            return false;
    memcpy(e->name, name.p, name.len);
    e->name[name.len] = 0;
    if (!want[0]) {
        identity_copy(&e->user, sa->remote_id);
        return slice_eq(name, slice_of(sa->remote_id->data, sa->remote_id->len));
    }
    return identity_parse(e->name, &e->user) && !identity_is_pattern(&e->user) &&
           slice_eq(name, slice_of(e->user.data, e->user.len)) && identity_parse(want, &pattern) &&
           identity_match(&e->user, &pattern) != MATCH_NONE;
}

static void refuse_name(struct ike_sa *sa)
{
    const char *want = auth_id(rounds_peer(sa), AUTH_EAP_ID);
    char id[ID_TEXT_MAX], why[200];
    snprintf(why, sizeof(why), "the peer %s '%.60s', which is not whom %s '%.60s' allows",
             by_tls(sa) ? "says that it is" : "shows the password of", sa->hs->later->eap->name,
             want[0] ? "eap_id" : "its IKE identity",
             want[0] ? want : identity_print(sa->remote_id, id, sizeof(id)));
    fail(sa, why);
}

static void shown(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    struct eap_session *e = sa->hs->later->eap;
    uint8_t buf[200], data[64];
    struct pb b = pb_of(buf, sizeof(buf));
    struct writer w = writer_of(data, sizeof(data));
    char hex[2 * MSCHAP_AUTHENTICATOR_LEN + 1], why[200];
    if (type != MSG_EAP_MSCHAP_IS || m->EAP_MSCHAP_IS.authenticator.len != MSCHAP_AUTHENTICATOR_LEN) {
        snprintf(why, sizeof(why), "EAP-MS-CHAPv2 verification of '%.60s' failed: %.80s", e->name,
                 answer_text(type, m));
        fail(sa, why);
        return;
    }
    for (unsigned i = 0; i < MSCHAP_AUTHENTICATOR_LEN; i++)
        snprintf(hex + 2 * i, 3, "%02X", m->EAP_MSCHAP_IS.authenticator.p[i]);
    e->step = WAITS_FOR_SUCCESS;
    wr_u8(&w, MSCHAP_OP_SUCCESS);
    wr_u8(&w, e->id++);
    wr_u16(&w, 4 + 2 + 2 * MSCHAP_AUTHENTICATOR_LEN + 5);
    wr_bytes(&w, "S=", 2);
    wr_bytes(&w, hex, 2 * MSCHAP_AUTHENTICATOR_LEN);
    wr_bytes(&w, " M=OK", 5);
    send_request(sa, &b, EAP_TYPE_MSCHAPV2, wr_written(&w));
}

static void on_response(struct task *t, const struct eap_packet *p)
{
    struct ike_sa *sa = t->sa;
    struct eap_session *e = sa->hs->later->eap;
    struct mschap_reply reply;
    if (!mschap_read_reply(p->data, e->id, &reply)) {
        fail(sa, "the peer's MS-CHAPv2 response is malformed");
        return;
    }
    if (!take_name(sa, reply.name)) {
        refuse_name(sa);
        return;
    }
    const char *domain = strrchr(e->name, '\\'); // RFC 2759 8.2: the name goes in without it
    struct msg_EAP_MSCHAP q = {.req = ask_new(t, shown),
                               .ike_id = sa->id,
                               .user = reply.name,
                               .account = slice_str(domain ? domain + 1 : e->name),
                               .peer_challenge = reply.peer_challenge,
                               .response = reply.response};
    ask(sa->ike, ROOM_KEYS, q.req, MSG_EAP_MSCHAP, &q);
}

static void on_success(struct ike_sa *sa)
{
    struct eap_session *e = sa->hs->later->eap;
    uint8_t buf[64];
    struct pb b = pb_of(buf, sizeof(buf));
    char id[ID_TEXT_MAX], name[ID_TEXT_MAX];
    e->step = WAITS_FOR_AUTH;
    sa->hs->eap_over = true;
    LOGF(IKE, 1, "EAP method EAP_%s succeeded for '%s', MSK established", by_tls(sa) ? "TLS" : "MSCHAPV2",
         identity_print(&e->user, name, sizeof(name)));
    if (!identity_eq(&e->user, sa->remote_id))
        LOGF(IKE, 1, "the peer counts as '%s' from here on, who has proven himself, and not as '%s'", name,
             identity_print(sa->remote_id, id, sizeof(id)));
    *sa->remote_id = e->user;
    pb_eap(&b, EAP_CODE_SUCCESS, e->id, 0, slice_of(NULL, 0));
    if (!exchange_reply(sa, EX_AUTH, &b))
        sa_destroy(sa);
}

// With a password, who it is is said by the name that comes with the response.
static void on_identity(struct ike_sa *sa, struct slice name)
{
    uint8_t buf[EAP_TLS_PACKET_MAX + 100];
    struct pb b = pb_of(buf, sizeof(buf));
    if (by_tls(sa) && !take_name(sa, name)) {
        refuse_name(sa);
        return;
    }
    sa->hs->later->eap->step = WAITS_FOR_RESPONSE;
    sa->hs->later->eap->id++;
    begin_method(sa, &b);
}

static void wrong_type(struct ike_sa *sa, const struct eap_packet *p)
{
    bool nak = p->type == EAP_TYPE_NAK && p->data.len;
    char why[100];
    snprintf(why, sizeof(why), "the peer %s EAP type %u, and %s is wanted", nak ? "asks for" : "answers with",
             nak ? p->data.p[0] : p->type, by_tls(sa) ? "EAP-TLS (13)" : "EAP-MSCHAPv2 (26)");
    fail(sa, why);
}

bool eap_request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct eap_session *e = sa->hs->later->eap;
    const struct payloads *pl = &t->msg->pl;
    const struct payload *body = payload_find(pl, PL_EAP);
    struct eap_packet p;
    if (e->step == WAITS_FOR_AUTH && !body && payload_count(pl, PL_AUTH) == 1)
        return true;
    if (!body || payload_count(pl, PL_EAP) != 1 || e->step == WAITS_FOR_AUTH || !eap_read(body->body, &p)) {
        fail(sa, "an IKE_AUTH request without the EAP packet or AUTH that is due, or a malformed one (RFC "
                 "7296 2.16)");
    } else if (p.code != EAP_CODE_RESPONSE || p.id != e->id) {
        fail(sa, "the EAP packet is no response to our last request (RFC 3748 4.1)");
    } else if (e->step == WAITS_FOR_IDENTITY && p.type == EAP_TYPE_IDENTITY) {
        on_identity(sa, p.data);
    } else if (e->step == WAITS_FOR_IDENTITY || p.type != rounds_peer(sa)->eap_type) {
        wrong_type(sa, &p);
    } else if (by_tls(sa)) {
        eap_tls_input(t, p.data);
    } else if (e->step == WAITS_FOR_RESPONSE) {
        on_response(t, &p);
    } else if (p.data.len >= 1 && p.data.p[0] == MSCHAP_OP_SUCCESS) {
        on_success(sa);
    } else {
        fail(sa, "the peer does not take our proof that we know its password");
    }
    return false;
}
