// SPDX-License-Identifier: Apache-2.0
// IKE_AUTH as responder (RFC 7296 sections 1.2, 2.9, 2.15, 2.21.2): the peer is verified first, then our AUTH
// is made, then the CHILD SA installed, then the answer goes out. What fails is answered by name.
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/auth.h"
#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/child_payloads.h"
#include "ctrl/ike/childless.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/eap.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/own_auth.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/ppk.h"
#include "ctrl/ike/proof.h"
#include "ctrl/ike/resume.h"
#include "ctrl/ike/resume_session.h"
#include "ctrl/ike/resume_ticket.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/unique.h"
#include "ctrl/ike/virtual.h"
#include "ctrl/lib/log.h"

enum { ID_BODY_MAX = ID_DATA_MAX + 4 };

// Every refusal ends in one of these: the answer, and the SA is over.
static void refuse_for(struct ike_sa *sa, uint16_t notify, bool kept)
{
    LOGF(IKE, 1, "%s, sending %s", sa_reason(sa), notify_name(notify));
    if (notify == N_AUTHENTICATION_FAILED) {
        COUNT(sa->ike, auth_failed);
        sa_alert(sa, kept ? ALERT_KEPT : ALERT_PEER_AUTH);
    }
    counts_notify(sa, notify);
    exchange_reply_notify(sa, EX_AUTH, notify, slice_of(NULL, 0));
    sa_refused(sa);
}

static void refuse_with(struct ike_sa *sa, uint16_t notify)
{
    refuse_for(sa, notify, false);
}

// --- the answer ---

// child NULL and notify 0: the peer asked for none.
static void finish(struct ike_sa *sa, struct child_sa *c, uint16_t notify)
{
    uint8_t id[ID_BODY_MAX];
    struct handshake *hs = sa->hs;
    struct pb b = pb_of(sa->ike->scratch.message, BUILT_MESSAGE_MAX);
    bool contact = hs->initial_contact;
    if (notify)
        sa_alert(sa, ALERT_CHILDLESS);
    if (hs->later->resumption ||
        (!hs->later->eap && rounds_own_signs(sa))) { // with EAP they came with the first AUTH
        pb_payload(&b, PL_IDR, auth_id_body(sa->local_id, id, sizeof(id)));
        pb_own_certs(&b, sa);
    }
    if (!hs->later->eap && !hs->later->rounds && sa_only_one(sa)) // 2.4: in the first response, or not at all
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_INITIAL_CONTACT, slice_of(NULL, 0));
    if (hs->later->answer) // otherwise our first round was all
        pb_own_auth(&b, sa, slice_of(hs->later->answer->data, hs->later->answer->len));
    virtual_put_reply(&b, sa);
    if (!hs->later->rounds && !hs->later->resumption)
        ppk_put_answer(&b, sa);
    if (c)
        child_put_answer(&b, c, NULL);
    else if (notify)
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), notify, slice_of(NULL, 0));
    mobike_accept(&b, sa);
    ticket_put(&b, sa);
    if (!exchange_reply(sa, EX_AUTH, &b)) {
        sa_why(sa, "the IKE_AUTH response could not be built");
        sa_destroy(sa);
        return;
    }
    handshake_free(sa);
    uint32_t made = c ? c->id : 0;
    if (c)
        child_installed(c, 0);
    if (made && !contact && (c = child_by_id(sa->ike, made)) != NULL) // a peer that begins anew means it
        unique_child_made(c);
    sa->ike->events->sa_at_rest(sa);
    if (sa->state == SA_ESTABLISHED) // one that lost to another meanwhile ends nobody
        sa_unique(sa, contact);      // make before break: the old one goes when the new one is there
}

static void child_answer(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    struct child_sa *c = child_by_id(sa->ike, t->child_id);
    if (!c || !sa->hs)
        return;
    if (answer_ok(type, m)) {
        finish(sa, c, 0);
        return;
    }
    COUNT(sa->ike, child_failed);
    counts_child_failed(sa, c->cfg->name);
    LOGF_SA(IKE, 1, c, "installing the CHILD_SA failed: %s, sending NO_PROPOSAL_CHOSEN",
            answer_text(type, m));
    sa_alert(sa, ALERT_INSTALL);
    sa->ike->events->child_failed(sa, c->cfg->name, answer_text(type, m)); // somebody here may wait for it
    child_destroy(c);
    finish(sa, NULL, N_NO_PROPOSAL_CHOSEN);
}

enum { LAST_WAIT_MS = 2000 };

static void make_child(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct child_wish *w = malloc(sizeof(*w));
    struct refusal r = {0};
    uint16_t notify = N_NO_ADDITIONAL_SAS;
    bool none = w && !child_wish_read(&t->msg->pl, w, &r) && !w->offers.count; // it was read once already
    uint16_t no_address = w ? virtual_assign(sa, &t->msg->pl) : 0;
    if (none) { // RFC 6023; childless = never was refused before
        free(w);
        sa->alone = true;
        finish(sa, NULL, no_address);
        return;
    }
    uint16_t no_child = childless_refuses_one(sa);
    notify = no_child ? no_child : notify;
    struct child_sa *c = w && !no_address && !no_child ? child_choose(sa, w, NULL, false, &notify) : NULL;
    free(w);
    if (!c)
        notify = virtual_why(sa, no_address, notify);
    if (!c) {
        COUNT(sa->ike, child_failed);
        LOGF(IKE, 1, "failed to establish CHILD_SA, keeping IKE_SA");
        finish(sa, NULL, notify);
        return;
    }
    sa->hs->later->pending = c;
    t->child_id = c->id;
    // A peer that reauthenticates has the new one only when the answer has come: until then by the old one.
    const struct child_sa *old = sa->hs->initial_contact ? NULL : sa_served_already(c);
    if (old) {
        c->out_after = old->id;
        c->out_at = loop_now(sa->ike->loop) + LAST_WAIT_MS; // it may be gone without a word
    }
    child_install(c, t, false, &sa->hs->kex, child_answer);
}

// --- authentication ---

// All that is to be proven has been.
static void proven(struct task *t)
{
    struct ike_sa *sa = t->sa;
    if (sa->hs->later->eap)
        eap_first_again(t);
    rounds_first_again(t);
    sa_established(sa);
    session_bound(sa, sa->hs->later->resumption);
    ticket_give(t, make_child);
}

// The answer of a round but the last one (RFC 4739): our AUTH, where we have one, and nothing of what the
// first request asks for.
static void answer_round(struct task *t, struct slice auth)
{
    struct ike_sa *sa = t->sa;
    uint8_t id[ID_BODY_MAX];
    struct pb b = pb_of(sa->ike->scratch.message, BUILT_MESSAGE_MAX);
    struct inmsg *m = t->msg;
    if (auth.len) {
        pb_payload(&b, PL_IDR, auth_id_body(sa->local_id, id, sizeof(id)));
        pb_own_certs(&b, sa);
        pb_own_auth(&b, sa, auth);
    }
    if (!sa->hs->later->rounds)
        ppk_put_answer(&b, sa);
    rounds_put_follows(&b, sa);
    t->msg = NULL;
    if (!rounds_next(sa, m) || !exchange_reply(sa, EX_AUTH, &b)) {
        sa_why(sa, "the IKE_AUTH response could not be built");
        sa_destroy(sa);
    }
}

static void got_auth(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    if (type == MSG_AUTH_IS && rounds_more(sa)) {
        own_auth_log(sa, m->AUTH_IS.auth);
        answer_round(t, m->AUTH_IS.auth);
        return;
    }
    if (type != MSG_AUTH_IS) {
        sa_why(sa, "%.190s", answer_text(type, m));
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    struct slice auth = m->AUTH_IS.auth;
    struct inmsg *keep = inmsg_new(auth.len); // until the CHILD SA is installed
    if (!keep) {
        sa_why(sa, "no memory");
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    keep->len = auth.len;
    memcpy(keep->data, auth.p, auth.len);
    sa->hs->later->answer = keep;
    own_auth_log(sa, auth);
    proven(t);
}

// Without a NAT the peer is where it began, whatever port it goes on from; an address that was seen only on
// the way of one datagram counts where a NAT may have changed it.
static void take_path(struct ike_sa *sa)
{
    const struct net_path *p = &sa->later->in_path;
    if (sa->nat.local || sa->nat.remote ||
        (addr_eq(&p->remote, &sa->path.remote) && addr_eq(&p->local, &sa->path.local)))
        sa->path = *p;
}

// The connection for these two names, which may be another than the one that IKE_SA_INIT was answered by.
static bool choose_conn(struct ike_sa *sa, const struct identity *idr, uint8_t auth)
{
    char a[ID_TEXT_MAX], b[ID_TEXT_MAX];
    struct conn_claim claim = {.path = &sa->path,
                               .suite = sa->suite,
                               .local = idr,
                               .remote = sa->remote_id,
                               .auth = auth,
                               .eap_only = sa->hs->eap_only,
                               .rounds = sa->hs->peer_rounds,
                               .another = sa->hs->peer_another,
                               .not_these = sa->hs->later->refused,
                               .not_count = sa->hs->later->refused_count};
    struct conn *c = conn_for_claim(sa->ike, &claim);
    if (!c) {
        LOGF(CFG, 1, "looking for peer configs matching %s[%s]",
             idr ? identity_print(idr, a, sizeof(a)) : "%any", identity_print(sa->remote_id, b, sizeof(b)));
        sa_why(sa, "no matching peer config found");
        return false;
    }
    sa_set_conn(sa, c);
    log_set_context(c->cfg.name, sa->id);
    LOGF(CFG, 1, "selected peer config '%s'", c->cfg.name);
    identity_copy(sa->local_id, c->local_id);
    if (sa->local_id->type == ID_ANY)
        identity_of_addr(&sa->path.local, sa->local_id);
    return true;
}

static void checked(struct task *t, enum proof how, const char *why);

// The certificates did not do for this connection: where there is another one for the same identities, by its
// rules.
static bool try_next(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct handshake *hs = sa->hs;
    const struct payloads *pl = &t->msg->pl;
    const struct payload *pi = payload_find(pl, PL_IDI), *pr = payload_find(pl, PL_IDR),
                         *ap = payload_find(pl, PL_AUTH);
    struct identity idr;
    struct auth auth;
    struct conn *before = sa->conn;
    if (hs->later->refused_count == sizeof(hs->later->refused) / sizeof(hs->later->refused[0]))
        return false;
    hs->later->refused[hs->later->refused_count++] = before;
    before->refs++;
    bool found = (!pr || identity_read(pr->body, &idr)) && auth_read(ap->body, &auth) &&
                 choose_conn(sa, pr ? &idr : NULL, proof_kind(auth.method)) && ppk_same(before, sa->conn);
    conn_unref(before);
    if (!found)
        return false;
    ppk_choose_auth(sa, pl, &auth);
    proof_begin(t, pl, &auth, pi->body, checked);
    return true;
}

static void checked(struct task *t, enum proof how, const char *why)
{
    struct ike_sa *sa = t->sa;
    char text[200];
    if (how != PROOF_GOOD) {
        snprintf(text, sizeof(text), "%.190s", why);
        LOGF(CFG, 1, "%s", text);
        if (how == PROOF_NOT_HERE && !sa->hs->later->rounds && try_next(t))
            return;
        if (rounds_peer(sa)->auth != AUTH_PSK)
            proof_failed(sa->ike, &sa->path.remote);
        sa_why(sa, "%.190s", text);
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    // Only now does it count where the request came from: the peer's port may have floated (2.23). Before
    // that anyone can be behind the integrity check, and what he did stays with the address that began.
    sa_set_half_open(sa, false);
    take_path(sa);
    resume_proven(sa);
    if (!rounds_more(sa) && sa->conn->cfg.unique == UNIQUE_KEEP && !sa->hs->initial_contact &&
        !sa_first_to_peer(sa)) {
        sa_why(sa, "cancelling IKE_SA setup due to uniqueness policy");
        refuse_for(sa, N_AUTHENTICATION_FAILED, true);
        return;
    }
    bool silent = !sa->hs->eap_over && !sa->hs->later->resumption && !rounds_own_signs(sa);
    if (silent && rounds_more(sa))
        answer_round(t, slice_of(NULL, 0));
    else if (silent)
        proven(t);
    else if (!own_auth_make(t, got_auth, text, sizeof(text))) {
        sa_why(sa, "%.190s", text);
        refuse_with(sa, N_AUTHENTICATION_FAILED);
    }
}

static void with_ppk(struct task *t, bool good, const char *why)
{
    struct ike_sa *sa = t->sa;
    const struct payloads *pl = &t->msg->pl;
    const struct payload *ap = payload_find(pl, PL_AUTH);
    struct auth auth;
    if (good && !ap) {
        eap_begin(t);
        return;
    }
    if (!good || !auth_read(ap->body, &auth)) {
        sa_why(sa, "%.190s", why);
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    ppk_choose_auth(sa, pl, &auth);
    proof_begin(t, pl, &auth, payload_find(pl, PL_IDI)->body, checked);
}

// Whether SA, TSi and TSr come together, or none of them; none: the peer wants no CHILD SA.
static bool wishes_fit(const struct payloads *pl, bool *none, struct refusal *r)
{
    struct child_wish *w = malloc(sizeof(*w));
    bool ok = w && child_wish_read(pl, w, r) == 0;
    *none = ok && !w->offers.count;
    free(w);
    return ok;
}

// The last one of EAP.
static void check_by_eap(struct task *t)
{
    struct auth auth;
    if (auth_read(payload_find(&t->msg->pl, PL_AUTH)->body, &auth)) {
        ppk_choose_auth(t->sa, &t->msg->pl, &auth);
        proof_begin(t, &t->msg->pl, &auth, eap_idi(t->sa), checked);
        return;
    }
    sa_why(t->sa, "AUTH is malformed (RFC 7296 3.8)");
    refuse_with(t->sa, N_INVALID_SYNTAX);
}

// A further round's request; where the peer has none it only asks for ours.
static void round_request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    const struct payloads *pl = &t->msg->pl;
    const struct payload *pi = payload_find(pl, PL_IDI), *ap = payload_find(pl, PL_AUTH);
    const struct auth_side *side = rounds_peer_has(sa) ? rounds_peer(sa) : NULL;
    const char *fault = rounds_fault(sa, pl);
    struct identity want;
    struct auth auth;
    char a[ID_TEXT_MAX], b[ID_TEXT_MAX];
    rounds_peer_id(sa, &want);
    if (fault) {
        sa_why(sa, "%s", fault);
    } else if (!side && !pi && !ap) {
        checked(t, PROOF_GOOD, "");
        return;
    } else if (!side || !pi || payload_count(pl, PL_IDI) != 1 || payload_count(pl, PL_AUTH) > 1 ||
               !identity_read(pi->body, sa->remote_id) || (ap && !auth_read(ap->body, &auth))) {
        sa_why(sa, "IDi or AUTH of round %u is missing, malformed or not wanted (RFC 4739)",
               rounds_at(sa) + 1);
    } else if (identity_match(sa->remote_id, &want) == MATCH_NONE) {
        sa_why(sa, "IDi '%.80s' of round %u does not match to '%.80s'",
               identity_print(sa->remote_id, a, sizeof(a)), rounds_at(sa) + 1,
               identity_print(&want, b, sizeof(b)));
    } else if (ap) {
        proof_begin(t, pl, &auth, pi->body, checked);
        return;
    } else if (side->auth == AUTH_EAP) {
        eap_begin(t);
        return;
    } else {
        sa_why(sa, "the peer wants EAP, and the connection another proof");
    }
    refuse_with(sa, N_AUTHENTICATION_FAILED);
}

// Behind IKE_SESSION_RESUME: who it is has been proven before, and is not to be another one (RFC 5723 4.3.3).
static void resumed_request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    const struct payloads *pl = &t->msg->pl;
    const struct payload *pi = payload_find(pl, PL_IDI), *pr = payload_find(pl, PL_IDR),
                         *ap = payload_find(pl, PL_AUTH);
    struct refusal r = {0};
    struct notify n;
    struct identity idi, idr;
    struct auth auth;
    bool none;
    if (!pi || payload_count(pl, PL_IDI) != 1 || !identity_read(pi->body, &idi) ||
        (pr && !identity_read(pr->body, &idr)) || !ap || payload_count(pl, PL_AUTH) != 1 ||
        !auth_read(ap->body, &auth) || !wishes_fit(pl, &none, &r) || !virtual_request_fits(pl, &r)) {
        sa_why(sa, "%.190s",
               r.why.text[0] ? r.why.text : "IDi, IDr or AUTH is missing or malformed (RFC 5723 4.3.3)");
        refuse_with(sa, N_INVALID_SYNTAX);
        return;
    }
    const char *fault = resume_fault(sa, &idi, pr ? &idr : NULL);
    if (!fault && none && childless_refuses_none(sa))
        fault = "the peer asks for no CHILD_SA, and childless is never";
    if (fault) {
        sa_why(sa, "%s", fault);
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    sa->hs->initial_contact = notify_find(pl, N_INITIAL_CONTACT, &n);
    mobike_offered(sa, pl);
    proof_begin(t, pl, &auth, pi->body, checked);
}

static void request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct inmsg *m = t->msg;
    const struct payload *pi = payload_find(&m->pl, PL_IDI), *pr = payload_find(&m->pl, PL_IDR),
                         *ap = payload_find(&m->pl, PL_AUTH);
    struct refusal r = {0};
    struct notify n;
    struct identity idr;
    struct auth auth;
    bool none;
    if (sa->hs->later->eap) {
        if (eap_request(t))
            check_by_eap(t);
        return;
    }
    if (sa->hs->later->resumption) {
        resumed_request(t);
        return;
    }
    if (sa->hs->later->rounds) {
        round_request(t);
        return;
    }
    if (!pi || payload_count(&m->pl, PL_IDI) != 1 || !identity_read(pi->body, sa->remote_id) ||
        (pr && !identity_read(pr->body, &idr)) || payload_count(&m->pl, PL_AUTH) > 1 ||
        !wishes_fit(&m->pl, &none, &r) || !virtual_request_fits(&m->pl, &r)) {
        sa_why(sa, "%.190s",
               r.why.text[0] ? r.why.text : "IDi, IDr or AUTH is missing or malformed (RFC 7296 1.2)");
        refuse_with(sa, N_INVALID_SYNTAX);
        return;
    }
    rounds_read_supported(sa, &m->pl);
    sa->hs->peer_another = notify_find(&m->pl, N_ANOTHER_AUTH_FOLLOWS, &n);
    sa->hs->eap_only = notify_find(&m->pl, N_EAP_ONLY_AUTHENTICATION, &n);
    // What a method that we do not have is refused for is told below, by its number.
    bool has_auth = ap && auth_read(ap->body, &auth);
    uint8_t kind = has_auth ? proof_kind(auth.method) : !ap && sa->ike->eap_conns ? AUTH_EAP : AUTH_NONE;
    if (!choose_conn(sa, pr ? &idr : NULL, kind)) {
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    if (none && childless_refuses_none(sa)) {
        sa_why(sa, "the peer asks for no CHILD_SA, and childless is never");
        refuse_with(sa, childless_refuses_none(sa));
        return;
    }
    if (!has_auth && kind != AUTH_EAP) {
        sa_why(sa, "the peer wants EAP (IKE_AUTH without AUTH), by which no connection lets anyone in");
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    sa->hs->initial_contact = notify_find(&m->pl, N_INITIAL_CONTACT, &n);
    mobike_offered(sa, &m->pl);
    sa->hs->peer_asks_cert = certreq_keep(&m->pl, &sa->hs->peer_cas);
    ppk_request(t, &m->pl, with_ppk);
}

const struct task_ops task_auth_respond = {.name = "IKE_AUTH", .exchange = EX_AUTH, .request = request};
