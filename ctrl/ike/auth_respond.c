// SPDX-License-Identifier: Apache-2.0
// IKE_AUTH as responder (RFC 7296 sections 1.2, 2.9, 2.15, 2.21.2): the peer is verified first, then our AUTH
// is made, then the CHILD SA installed, then the answer goes out. What fails is answered by name.
#include "ctrl/ike/ike.h"

#include <stdio.h>

enum { AUTH_PSK_METHOD = 2, AUTH_MESSAGE_MAX = 16384, ID_BODY_MAX = ID_DATA_MAX + 4 };

// Every refusal ends in one of these: the answer, and the SA is over.
static void refuse_with(struct ike_sa *sa, uint16_t notify)
{
    LOGF(IKE, 1, "%s, sending %s", sa->why, notify_name(notify));
    if (notify == N_AUTHENTICATION_FAILED)
        COUNT(sa->ike, auth_failed);
    exchange_reply_notify(sa, EX_AUTH, notify, slice_of(NULL, 0));
    sa_refused(sa);
}

// --- the answer ---

static void put_child(struct pb *b, const struct child_sa *c)
{
    pb_chosen(b, &c->suite, c->sa->hs->number, PROTO_ESP, c->spi_in, 4);
    pb_selectors(b, PL_TSI, &c->remote_ts);
    pb_selectors(b, PL_TSR, &c->local_ts);
    if (c->cfg->mode == MODE_TRANSPORT)
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_USE_TRANSPORT_MODE, slice_of(NULL, 0));
}

// child NULL and notify 0: the peer asked for none.
static void finish(struct ike_sa *sa, struct child_sa *c, uint16_t notify)
{
    static uint8_t buf[AUTH_MESSAGE_MAX];
    uint8_t id[ID_BODY_MAX];
    struct handshake *hs = sa->hs;
    struct pb b = pb_of(buf, sizeof(buf));
    bool contact = hs->initial_contact;
    pb_payload(&b, PL_IDR, auth_id_body(&sa->local_id, id, sizeof(id)));
    pb_auth(&b, AUTH_PSK_METHOD, slice_of(hs->answer->data, hs->answer->len));
    if (c)
        put_child(&b, c);
    else if (notify)
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), notify, slice_of(NULL, 0));
    exchange_reply(sa, EX_AUTH, &b);
    handshake_free(sa);
    if (c)
        child_installed(c);
    revive_watch(sa);
    if (sa->state == SA_ESTABLISHED) // one that lost to another meanwhile ends nobody
        sa_unique(sa, contact);      // make before break: the old one goes when the new one is there
}

static void child_answer(struct ike_sa *sa, uint32_t child_id, enum msg_type t, const union msg *m)
{
    struct child_sa *c = child_by_id(sa->ike, child_id);
    if (!c || !sa->hs)
        return;
    if (answer_ok(t, m)) {
        finish(sa, c, 0);
        return;
    }
    COUNT(sa->ike, child_failed);
    LOGF(IKE, 1, "installing the CHILD_SA failed: %s, sending NO_PROPOSAL_CHOSEN", answer_text(t, m));
    child_destroy(c);
    finish(sa, NULL, N_NO_PROPOSAL_CHOSEN);
}

// --- the CHILD SA that is asked for ---

struct wanted {
    struct offers offers;
    struct ts_list local, remote; // as we call the ends
    bool transport;
};

static bool read_wanted(const struct payloads *pl, struct wanted *w, struct refusal *r)
{
    const struct payload *s = payload_find(pl, PL_SA), *i = payload_find(pl, PL_TSI),
                         *t = payload_find(pl, PL_TSR);
    struct notify n;
    memset(w, 0, sizeof(*w));
    w->transport = notify_find(pl, N_USE_TRANSPORT_MODE, &n);
    if (!s && !i && !t)
        return true;
    if (!s || !i || !t) {
        refuse(r, N_INVALID_SYNTAX, "IKE_AUTH", "SA, TSi and TSr come together (RFC 7296 1.2)");
        return false;
    }
    return !offers_read(s->body, &w->offers, r) && !selectors_read(i->body, "TSi", &w->remote, r) &&
           !selectors_read(t->body, "TSr", &w->local, r);
}

// 1.3.1: transport mode is the initiator's wish; a child of ours has one mode. Where the peer wishes for it
// and ours is tunnel mode, ours stands and the answer does not repeat the wish. Through a NAT (2.23.1) it is
// not supported.
static bool mode_fits(const struct ike_sa *sa, const struct child_config *child, const struct wanted *w)
{
    return child->mode != MODE_TRANSPORT || (w->transport && !sa->nat_local && !sa->nat_remote);
}

// The configured child that gives the peer all it asks for, otherwise the first that gives it something.
static const struct child_config *choose_child(struct ike_sa *sa, const struct wanted *w,
                                               struct child_sa *out, uint16_t *refusal)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    const struct child_config *found = NULL, *tried = NULL;
    char why[OFFERS_TEXT], a[SELECTORS_TEXT], b[SELECTORS_TEXT];
    *refusal = N_TS_UNACCEPTABLE;
    for (unsigned i = 0; i < cfg->child_count; i++) {
        const struct child_config *child = &cfg->children[i];
        struct ts_list local, remote;
        struct suite suite;
        const struct offer *chosen;
        if (child->action != POLICY_PROTECT || !mode_fits(sa, child, w))
            continue;
        if (!child_narrow(sa, child, &w->local, &w->remote, &local, &remote))
            continue;
        if (!offers_choose(&w->offers, child->proposals, child->proposal_count, false, &suite, &chosen)) {
            *refusal = N_NO_PROPOSAL_CHOSEN;
            tried = child;
            continue;
        }
        bool all = selectors_within(&local, &w->local) && selectors_within(&remote, &w->remote);
        if (found && !all)
            continue;
        found = child;
        out->suite = suite;
        out->spi_out = (uint32_t)chosen->spi;
        out->local_ts = local;
        out->remote_ts = remote;
        sa->hs->number = chosen->number;
        if (all)
            break;
    }
    if (!found && *refusal == N_TS_UNACCEPTABLE)
        LOGF(IKE, 1, "traffic selectors %s === %s unacceptable (RFC 7296 2.9)",
             selectors_print(&w->local, a, sizeof(a)), selectors_print(&w->remote, b, sizeof(b)));
    else if (!found)
        LOGF(IKE, 1, "no acceptable proposal found for the CHILD_SA, %s (RFC 7296 2.7)",
             offers_print(&w->offers, tried->proposals, tried->proposal_count, why, sizeof(why)));
    return found;
}

static void make_child(struct ike_sa *sa)
{
    struct wanted w;
    struct refusal r = {0};
    struct child_sa chosen;
    uint16_t notify = 0;
    read_wanted(&sa->in_msg->pl, &w, &r); // it was read once already
    if (!w.offers.count) {                // RFC 6023; childless = never was refused before
        finish(sa, NULL, 0);
        return;
    }
    memset(&chosen, 0, sizeof(chosen));
    const struct child_config *cfg = choose_child(sa, &w, &chosen, &notify);
    struct child_sa *c = cfg ? child_new(sa, cfg) : NULL;
    if (!c) {
        COUNT(sa->ike, child_failed);
        LOGF(IKE, 1, "failed to establish CHILD_SA, keeping IKE_SA");
        finish(sa, NULL, cfg ? N_NO_ADDITIONAL_SAS : notify);
        return;
    }
    child_log_suite(&chosen.suite);
    c->suite = chosen.suite;
    c->spi_out = chosen.spi_out;
    c->local_ts = chosen.local_ts;
    c->remote_ts = chosen.remote_ts;
    sa->hs->pending = c;
    child_install(c, false, sa->hs->peer_nonce, slice_of(sa->hs->nonce, NONCE_LEN), child_answer);
}

// --- authentication ---

static void got_auth(struct ike_sa *sa, uint32_t arg, enum msg_type t, const union msg *m)
{
    char text[ID_TEXT_MAX];
    (void)arg;
    if (t != MSG_AUTH_IS) {
        sa_why(sa, "%.190s", answer_text(t, m));
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    struct slice auth = m->AUTH_IS.auth;
    struct inmsg *keep = malloc(sizeof(*keep) + auth.len); // until the CHILD SA is installed
    if (!keep) {
        sa_why(sa, "no memory");
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    memset(keep, 0, sizeof(*keep));
    keep->len = auth.len;
    memcpy(keep->data, auth.p, auth.len);
    sa->hs->answer = keep;
    LOGF(IKE, 1, "authentication of '%s' (myself) with pre-shared key",
         identity_print(&sa->local_id, text, sizeof(text)));
    sa_established(sa);
    make_child(sa);
}

// Without a NAT the peer is where it began, whatever port it goes on from; an address that was seen only on
// the way of one datagram counts where a NAT may have changed it.
static void take_path(struct ike_sa *sa)
{
    const struct net_path *p = &sa->in_msg->path;
    if (sa->nat_local || sa->nat_remote ||
        (addr_eq(&p->remote, &sa->path.remote) && addr_eq(&p->local, &sa->path.local)))
        sa->path = *p;
}

static void checked(struct ike_sa *sa, uint32_t arg, enum msg_type t, const union msg *m)
{
    char text[ID_TEXT_MAX];
    (void)arg;
    if (!answer_ok(t, m)) {
        sa_why(sa, "%.190s", answer_text(t, m));
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    LOGF(IKE, 1, "authentication of '%s' with pre-shared key successful",
         identity_print(&sa->remote_id, text, sizeof(text)));
    // Only now does it count where the request came from: the peer's port may have floated (2.23). Before
    // that anyone can be behind the integrity check, and what he did stays with the address that began.
    sa_set_half_open(sa, false);
    take_path(sa);
    if (sa->conn->cfg.unique == UNIQUE_KEEP && !sa->hs->initial_contact && !sa_first_to_peer(sa)) {
        sa_why(sa, "cancelling IKE_SA setup due to uniqueness policy");
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    auth_make(sa, got_auth);
}

// The connection for these two names, which may be another than the one that IKE_SA_INIT was answered by.
static bool choose_conn(struct ike_sa *sa, const struct identity *idr)
{
    char a[ID_TEXT_MAX], b[ID_TEXT_MAX];
    struct conn *c = conn_for_ids(sa->ike, &sa->path, &sa->suite, idr, &sa->remote_id);
    if (!c) {
        LOGF(CFG, 1, "looking for peer configs matching %s[%s]",
             idr ? identity_print(idr, a, sizeof(a)) : "%any", identity_print(&sa->remote_id, b, sizeof(b)));
        sa_why(sa, "no matching peer config found");
        return false;
    }
    sa_set_conn(sa, c);
    log_set_context(c->cfg.name, sa->id);
    LOGF(CFG, 1, "selected peer config '%s'", c->cfg.name);
    sa->local_id = c->local_id;
    if (sa->local_id.type == ID_ANY)
        identity_of_addr(&sa->path.local, &sa->local_id);
    return true;
}

void auth_request(struct ike_sa *sa, struct inmsg *m)
{
    const struct payload *pi = payload_find(&m->pl, PL_IDI), *pr = payload_find(&m->pl, PL_IDR),
                         *ap = payload_find(&m->pl, PL_AUTH);
    struct wanted w;
    struct refusal r = {0};
    struct notify n;
    struct identity idr;
    struct auth auth;
    if (!pi || payload_count(&m->pl, PL_IDI) != 1 || !identity_read(pi->body, &sa->remote_id) ||
        (pr && !identity_read(pr->body, &idr)) || payload_count(&m->pl, PL_AUTH) > 1 ||
        !read_wanted(&m->pl, &w, &r)) {
        sa_why(sa, "%.190s",
               r.why.text[0] ? r.why.text : "IDi, IDr or AUTH is missing or malformed (RFC 7296 1.2)");
        refuse_with(sa, N_INVALID_SYNTAX);
        return;
    }
    if (!choose_conn(sa, pr ? &idr : NULL)) {
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    if (sa->conn->cfg.childless == CHILDLESS_NEVER && !w.offers.count) {
        sa_why(sa, "the peer asks for no CHILD_SA, and childless is never");
        refuse_with(sa, N_INVALID_SYNTAX);
        return;
    }
    if (!ap || !auth_read(ap->body, &auth)) {
        sa_why(sa, "the peer wants EAP (IKE_AUTH without AUTH), which is not supported");
        refuse_with(sa, N_AUTHENTICATION_FAILED);
        return;
    }
    sa->hs->initial_contact = notify_find(&m->pl, N_INITIAL_CONTACT, &n);
    auth_check(sa, &auth, pi->body, checked);
}
