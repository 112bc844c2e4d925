// SPDX-License-Identifier: Apache-2.0
// IKE_AUTH as initiator (RFC 7296 sections 1.2, 2.15, 2.16, 2.21.2). The first CHILD SA comes with it; where
// only that fails the IKE SA stays. With EAP it is several exchanges: what is asked for goes with the first
// request, and is answered with the last.
#include "ctrl/ike/auth.h"

#include <stdio.h>
#include <string.h>

#include "ctrl/ike/child_payloads.h"
#include "ctrl/ike/childless.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/eap_client.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/info.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/own_auth.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/ppk.h"
#include "ctrl/ike/proof.h"
#include "ctrl/ike/redirect.h"
#include "ctrl/ike/resume.h"
#include "ctrl/ike/resume_session.h"
#include "ctrl/ike/resume_ticket.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/unique.h"
#include "ctrl/ike/virtual.h"
#include "ctrl/lib/log.h"

enum { AUTH_ALONE_MAX = 256, ID_BODY_MAX = ID_DATA_MAX + 4 };

struct slice auth_id_body(const struct identity *id, uint8_t *buf, size_t size)
{
    struct writer w = writer_of(buf, size);
    identity_write(&w, id);
    return wr_written(&w);
}

void auth_log_proven(const struct msg_AUTH_PROVEN *m)
{
    LOGF(IKE, 2, "it knows the secret '%s'%s%s%s", m->secret,
         m->owner[0] ? ", whose owner is '" : ", which serves for everyone", m->owner,
         m->owner[0] ? "'" : "");
}

static void failed(struct ike_sa *sa)
{
    if (resume_falls_back(sa))
        return;
    LOGF(IKE, 1, "establishing IKE_SA failed: %s", sa_reason(sa));
    sa_destroy(sa);
}

// 2.21.2: the peer thinks that the SA is up; tell it, without waiting for its answer.
static void refuse_peer(struct ike_sa *sa)
{
    uint8_t buf[64];
    struct pb b = pb_of(buf, sizeof(buf));
    COUNT(sa->ike, auth_failed);
    counts_notify(sa, N_AUTHENTICATION_FAILED);
    sa_alert(sa, ALERT_PEER_AUTH);
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_AUTHENTICATION_FAILED, slice_of(NULL, 0));
    send_once(sa, EX_INFORMATIONAL, &b);
    failed(sa);
}

// With EAP the first request has no AUTH, and the last nothing else.
static void send_auth(struct ike_sa *sa, struct slice auth)
{
    uint8_t buf[AUTH_ALONE_MAX];
    struct pb b = pb_of(buf, sizeof(buf));
    own_auth_log(sa, auth);
    pb_own_auth(&b, sa, auth);
    COUNT(sa->ike, ike_auth_out_req);
    exchange_send_inner(sa, EX_AUTH, &b);
}

static void build(struct ike_sa *sa, struct slice auth, struct slice no_ppk)
{
    uint8_t id[ID_BODY_MAX];
    struct handshake *hs = sa->hs;
    struct pb b = pb_of(sa->ike->scratch.message, BUILT_MESSAGE_MAX);
    hs->later->pending = childless_wanted(sa) ? NULL : child_new(sa, sa->conn, hs->later->child);
    pb_payload(&b, PL_IDI, auth_id_body(sa->local_id, id, sizeof(id)));
    if (!hs->later->eap_client) {
        own_auth_log(sa, auth);
        pb_own_certs(&b, sa);
    }
    if (!hs->later->resumption)
        pb_ask_certs(&b, sa);
    if (sa_first_to_peer(sa))
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_INITIAL_CONTACT, slice_of(NULL, 0));
    if (sa->remote_id->type != ID_ANY)
        pb_payload(&b, PL_IDR, auth_id_body(sa->remote_id, id, sizeof(id)));
    if (!hs->later->eap_client)
        pb_own_auth(&b, sa, auth);
    else if (conn_eap_only(&sa->conn->cfg))
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_EAP_ONLY_AUTHENTICATION, slice_of(NULL, 0));
    virtual_put_request(&b, sa);
    ppk_put_offer(&b, sa, no_ppk);
    if (hs->later->pending) {
        LOGF_CHILD(CHD, 1, hs->later->child->name, hs->later->pending->id, "establishing CHILD_SA %s{%u}",
                   hs->later->child->name, hs->later->pending->id);
        child_put_request(&b, hs->later->pending, false, NULL);
    }
    mobike_offer(&b, sa);
    ticket_request(&b, sa);
    rounds_put_supported(&b, sa);
    rounds_put_follows(&b, sa);
    COUNT(sa->ike, ike_auth_out_req);
    exchange_send_inner(sa, EX_AUTH, &b);
}

// A further round (RFC 4739): who we are there and its proof, or nothing where only the peer has one.
static void build_round(struct ike_sa *sa, struct slice auth)
{
    uint8_t id[ID_BODY_MAX];
    struct identity peer;
    struct pb b = pb_of(sa->ike->scratch.message, BUILT_MESSAGE_MAX);
    bool own = rounds_own_has(sa);
    if (own)
        pb_payload(&b, PL_IDI, auth_id_body(sa->local_id, id, sizeof(id)));
    if (auth.len) {
        own_auth_log(sa, auth);
        pb_own_certs(&b, sa);
    }
    rounds_peer_id(sa, &peer);
    if (own && rounds_peer_has(sa) && peer.type != ID_ANY && !identity_is_pattern(&peer))
        pb_payload(&b, PL_IDR, auth_id_body(&peer, id, sizeof(id)));
    if (auth.len)
        pb_own_auth(&b, sa, auth);
    rounds_put_follows(&b, sa);
    COUNT(sa->ike, ike_auth_out_req);
    exchange_send_inner(sa, EX_AUTH, &b);
}

static void got_auth(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    if (type == MSG_AUTH_IS && sa->hs->eap_over) {
        send_auth(sa, m->AUTH_IS.auth);
        return;
    }
    if (type == MSG_AUTH_IS && sa->hs->later->rounds) {
        build_round(sa, m->AUTH_IS.auth);
        return;
    }
    if (type == MSG_AUTH_IS) {
        build(sa, m->AUTH_IS.auth, m->AUTH_IS.no_ppk);
        return;
    }
    sa_why(sa, "%.190s", answer_text(type, m));
    if (sa->hs->later->rounds)
        refuse_peer(sa);
    else
        failed(sa);
}

static void eap_ended(struct task *t, const char *why);

static void with_ppk(struct task *t, bool good, const char *no)
{
    struct ike_sa *sa = t->sa;
    char why[200];
    snprintf(why, sizeof(why), "%.190s", no);
    if (good && sa->conn->cfg.local.auth == AUTH_EAP) {
        if (eap_client_begin(sa, eap_ended)) {
            build(sa, slice_of(NULL, 0), slice_of(NULL, 0));
            return;
        }
        snprintf(why, sizeof(why), "no memory");
    } else if (good && own_auth_make(t, got_auth, why, sizeof(why)))
        return;
    sa_why(sa, "%.190s", why);
    failed(sa);
}

static void eap_ended(struct task *t, const char *why)
{
    struct ike_sa *sa = t->sa;
    char text[200];
    if (why) {
        sa_why(sa, "%.190s", why);
        refuse_peer(sa);
    } else if (!own_auth_make(t, got_auth, text, sizeof(text))) {
        sa_why(sa, "%.190s", text);
        refuse_peer(sa);
    }
}

static void next_round(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct inmsg *m = sa->hs->later->answer;
    char text[200] = "no memory";
    sa->hs->later->answer = NULL;
    bool good = rounds_next(sa, m);
    if (good && !rounds_own_has(sa))
        build_round(sa, slice_of(NULL, 0));
    else if (good && !rounds_own_signs(sa) && (good = eap_client_begin(sa, eap_ended)))
        build_round(sa, slice_of(NULL, 0));
    else if (good)
        good = own_auth_make(t, got_auth, text, sizeof(text));
    if (good)
        return;
    sa_why(sa, "%.190s", text);
    refuse_peer(sa);
}

static void start_resumed(struct task *t)
{
    struct ike_sa *sa = t->sa;
    char why[200];
    session_ids(sa, sa->hs->later->resumption);
    if (own_auth_make(t, got_auth, why, sizeof(why)))
        return;
    sa_why(sa, "%.190s", why);
    failed(sa);
}

static void start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    if (sa->hs->later->resumption) {
        start_resumed(t);
        return;
    }
    identity_copy(sa->local_id, sa->conn->local_id);
    identity_copy(sa->remote_id, sa->conn->remote_id);
    if (sa->local_id->type == ID_ANY)
        identity_of_addr(&sa->path.local, sa->local_id);
    if (identity_is_pattern(sa->remote_id))
        memset(sa->remote_id, 0, sizeof(*sa->remote_id)); // a pattern is no name to ask for
    if (rounds_of(sa->conn) && !sa->hs->peer_rounds) {
        sa_why(sa, "the peer takes one round of authentication, and the connection has several (RFC 4739)");
        failed(sa);
    } else {
        ppk_offer(t, with_ppk);
    }
}

// --- the response ---

static void no_child(struct ike_sa *sa, const char *why)
{
    struct child_sa *c = sa->hs->later->pending;
    char name[NAME_MAX_LEN] = "";
    if (sa->hs->later->child)
        snprintf(name, sizeof(name), "%s", sa->hs->later->child->name);
    COUNT(sa->ike, child_failed);
    counts_child_failed(sa, name);
    LOGF(IKE, 1, "failed to establish CHILD_SA, keeping IKE_SA: %s", why);
    if (c)
        child_destroy(c);
    handshake_free(sa);
    sa->ike->events->child_failed(sa, name, why);
    exchange_done(sa);
    sa->ike->events->sa_at_rest(sa);
}

static void child_answer(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    struct child_sa *c = child_by_id(sa->ike, t->child_id);
    char why[200], name[NAME_MAX_LEN];
    bool unwanted = sa->hs->later->unwanted;
    snprintf(name, sizeof(name), "%s", sa->hs->later->child ? sa->hs->later->child->name : "");
    handshake_free(sa);
    if (!c) {
        sa->ike->events->child_failed(sa, name, "the peer closed it while it was installed");
        sa->ike->events->child_lost(sa->ike, sa->conn, name, LOST_CLOSED);
        exchange_done(sa);
        sa->ike->events->sa_at_rest(sa);
        return;
    }
    if (answer_ok(type, m)) {
        child_installed(c, 0);
        if (unwanted)
            exchange_queue(sa, TASK_DELETE_CHILD, t->child_id);
        exchange_done(sa);
        return;
    }
    snprintf(why, sizeof(why), "installing the CHILD_SA failed: %.150s", answer_text(type, m));
    LOGF(IKE, 1, "%s", why);
    COUNT(sa->ike, child_failed);
    counts_child_failed(sa, name);
    sa_alert(sa, ALERT_INSTALL);
    sa->ike->events->child_failed(sa, name, why);
    exchange_queue(sa, TASK_DELETE_CHILD, c->id); // the peer has it: it must go there too
    exchange_done(sa);
}

// What came is no CHILD SA for us; where the peer has installed one it goes there too.
static void refused(struct ike_sa *sa, const char *why)
{
    struct handshake *hs = sa->hs;
    uint32_t id = hs->later->pending ? hs->later->pending->id : 0;
    if (!id || !payload_find(&hs->later->answer->pl, PL_SA)) {
        no_child(sa, why);
        return;
    }
    COUNT(sa->ike, child_failed);
    counts_child_failed(sa, hs->later->pending->cfg->name);
    LOGF(IKE, 1, "failed to establish CHILD_SA, keeping IKE_SA: %s", why);
    sa->ike->events->child_failed(sa, hs->later->pending->cfg->name, why);
    handshake_free(sa);
    exchange_queue(sa, TASK_DELETE_CHILD, id);
    exchange_done(sa);
}

static void install(struct task *t);

static void address_there(struct task *t, enum msg_type type, const union msg *m);

// Our virtual addresses come behind the policies that protect them, and before the CHILD SA.
static void put_address(struct task *t)
{
    int rc = virtual_put(t, address_there);
    if (rc < 0)
        refused(t->sa, "the policies of the connection could not be set for its virtual address");
    else if (rc > 0)
        return;
    else if (childless_wanted(t->sa))
        childless_up(t);
    else
        install(t);
}

static void address_there(struct task *t, enum msg_type type, const union msg *m)
{
    if (!t->sa->hs->later->pending && !childless_wanted(t->sa))
        no_child(t->sa, "the peer closed it while its virtual address was put in place");
    else if (!answer_ok(type, m))
        refused(t->sa, answer_text(type, m));
    else
        put_address(t);
}

static void checked(struct task *t, enum proof how, const char *text)
{
    struct ike_sa *sa = t->sa;
    struct handshake *hs = sa->hs;
    char why[200], name[ID_TEXT_MAX];
    if (how != PROOF_GOOD) {
        sa_why(sa, "authentication of '%.80s' failed: %.100s",
               identity_print(sa->remote_id, name, sizeof(name)), text);
        LOGF(IKE, 1, "%s", text);
        refuse_peer(sa);
        return;
    }
    if (rounds_more(sa)) {
        next_round(t);
        return;
    }
    if (hs->later->eap_client && !hs->eap_over) {
        struct inmsg *m = hs->later->answer;
        hs->later->answer = NULL;
        eap_client_first(t, m);
        return;
    }
    if (redirect_auth(sa, &hs->later->answer->pl)) {
        delete_ike_unfinished(sa);
        sa_destroy(sa);
        return;
    }
    mobike_agreed(sa, &hs->later->answer->pl);
    session_inherit(sa, hs->later->resumption);
    sa_established(sa);
    session_bound(sa, hs->later->resumption);
    ticket_take(sa, &hs->later->answer->pl);
    sa_unique(sa, hs->initial_contact);
    bool alone = childless_wanted(sa);
    if (!hs->later->pending && !alone) {
        no_child(sa, "no memory");
        return;
    }
    if (!virtual_take(sa, hs->later->pending, &hs->later->answer->pl, why, sizeof(why)) ||
        (!alone && !child_take_answer(hs->later->pending, &hs->later->answer->pl, false, why, sizeof(why)))) {
        refused(sa, why);
        return;
    }
    unique_address(sa);
    put_address(t);
}

static void install(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct handshake *hs = sa->hs;
    t->child_id = hs->later->pending->id;
    // One that lost to the peer's is on its way out already: nothing is sent by it behind its own DELETE.
    const struct child_sa *stays = sa->state == SA_ESTABLISHED ? NULL : sa_served_already(hs->later->pending);
    hs->later->pending->out_after = stays ? stays->id : 0;
    child_install(hs->later->pending, t, true, &hs->kex, child_answer);
}

static void not_whole(struct ike_sa *sa)
{
    sa_why(sa, "the IKE_AUTH response lacks IDr or AUTH, or they are malformed (RFC 7296 1.2)");
    refuse_peer(sa);
}

// The one of a round in which the peer proves itself no more. True: m is kept.
static bool silent_response(struct task *t, struct inmsg *m)
{
    if (payload_find(&m->pl, PL_AUTH)) {
        sa_why(t->sa, "the peer proves itself once more than the connection asks for (RFC 4739)");
        refuse_peer(t->sa);
        return false;
    }
    t->sa->hs->later->answer = m;
    checked(t, PROOF_GOOD, "");
    return true;
}

static void no_eap_only(struct ike_sa *sa)
{
    sa_why(sa, "the peer proves itself by a signature, and by EAP alone the connection says (RFC 5998)");
    refuse_peer(sa);
}

// The one with the peer's proof; with EAP, by a signature, or none where EAP is to be it. True: m is kept.
static bool first_response(struct task *t, struct inmsg *m)
{
    struct ike_sa *sa = t->sa;
    const struct payload *idr = payload_find(&m->pl, PL_IDR), *ap = payload_find(&m->pl, PL_AUTH);
    struct auth auth;
    struct identity id, want;
    struct notify contact;
    char a[ID_TEXT_MAX], b[ID_TEXT_MAX], why[200];
    bool only = conn_eap_only(&sa->conn->cfg) && !sa->hs->later->resumption;
    if (!idr || !ap == !only || payload_count(&m->pl, PL_IDR) != 1 || !identity_read(idr->body, &id) ||
        (ap && (payload_count(&m->pl, PL_AUTH) != 1 || !auth_read(ap->body, &auth)))) {
        if (only && ap)
            no_eap_only(sa);
        else
            not_whole(sa);
        return false;
    }
    rounds_peer_id(sa, &want);
    if (sa->hs->later->resumption)
        identity_copy(&want, sa->hs->later->resumption->said);
    if (identity_match(&id, &want) == MATCH_NONE) {
        sa_why(sa, "IDir '%.80s' does not match to '%.80s'", identity_print(&id, a, sizeof(a)),
               identity_print(&want, b, sizeof(b)));
        refuse_peer(sa);
        return false;
    }
    if (!sa->hs->later->rounds && !sa->hs->later->resumption &&
        !ppk_take_answer(sa, &m->pl, why, sizeof(why))) {
        sa_why(sa, "%.190s", why);
        refuse_peer(sa);
        return false;
    }
    *sa->remote_id = id;
    sa->hs->initial_contact = !sa->hs->later->rounds && notify_find(&m->pl, N_INITIAL_CONTACT, &contact);
    if (only) {
        eap_client_first(t, m);
        return true;
    }
    sa->hs->later->answer = m;
    proof_begin(t, &m->pl, &auth, idr->body, checked);
    return true;
}

// The one behind EAP: AUTH by the MSK, and what the first request asked for. True: m is kept.
static bool last_response(struct task *t, struct inmsg *m)
{
    struct ike_sa *sa = t->sa;
    const struct payload *ap = payload_find(&m->pl, PL_AUTH);
    struct auth auth;
    if (!ap || payload_count(&m->pl, PL_AUTH) != 1 || !auth_read(ap->body, &auth)) {
        not_whole(sa);
        return false;
    }
    sa->hs->later->answer = m;
    proof_begin(t, &m->pl, &auth, eap_client_idr(sa), checked);
    return true;
}

static bool response(struct task *t, struct inmsg *m)
{
    struct ike_sa *sa = t->sa;
    struct notify n;
    if (payload_find(&m->pl, PL_AUTH) && notify_unknown_error(&m->pl, &n)) {
        sa_why(sa, "received error notify %u, which is not known (RFC 7296 3.10.1)", n.type);
        refuse_peer(sa);
        return false;
    }
    bool last = sa->hs->later->rounds && !rounds_more(sa) && !rounds_peer_signs(sa) &&
                !sa->hs->later->eap_client; // nobody proves himself by it
    if (!payload_find(&m->pl, PL_AUTH) && notify_first_error(&m->pl, &n) &&
        !(last && notify_is_of_child(n.type))) {
        LOGF(IKE, 1, "received %s notify error", notify_name(n.type));
        if (n.type == N_AUTHENTICATION_FAILED) {
            COUNT(sa->ike, auth_failed);
            sa_alert(sa, ALERT_LOCAL_AUTH);
            resume_refused(sa);
        }
        sa_why(sa, "received %s notify error", notify_name(n.type));
        counts_notify(sa, n.type);
        failed(sa);
        return false;
    }
    if (eap_client_waits(sa)) {
        eap_client_response(t, &m->pl); // what it needs of m it copies
        return false;
    }
    const char *fault = rounds_fault(sa, &m->pl);
    if (fault) {
        sa_why(sa, "%s", fault);
        refuse_peer(sa);
        return false;
    }
    return sa->hs->eap_over       ? last_response(t, m)
           : !rounds_peer_has(sa) ? silent_response(t, m)
                                  : first_response(t, m);
}

const struct task_ops task_auth = {
    .name = "IKE_AUTH", .start = start, .response = response, .restart = init_restart};
