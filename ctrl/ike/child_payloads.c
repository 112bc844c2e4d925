// SPDX-License-Identifier: Apache-2.0
// The payloads that make a CHILD SA, in IKE_AUTH (RFC 7296 section 1.2) and in CREATE_CHILD_SA (1.3.1, 1.3.3)
// alike: what is asked for, what is chosen of it, and the answer.
#include "ctrl/ike/child_payloads.h"

#include <stdio.h>
#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/kex.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/nat_transport.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/selectors.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"

// A NAT changes what AH vouches for, and there is no encapsulation of it (RFC 3715 section 2.1): those of the
// child's proposals that can be used between these ends.
struct usable {
    uint8_t count;
    struct proposal p[PROPOSALS_MAX];
};

static void find_usable(const struct ike_sa *sa, const struct child_config *cfg, struct usable *u)
{
    u->count = 0;
    for (unsigned i = 0; i < cfg->proposal_count; i++)
        if (cfg->proposals[i].protocol != PROTO_AH || (!sa->nat.local && !sa->nat.remote))
            proposal_copy(&u->p[u->count++], &cfg->proposals[i]);
    if (u->count < cfg->proposal_count)
        LOGF(IKE, 1, "CHILD_SA %s: AH does not go through a NAT (RFC 3715 2.1)", cfg->name);
}

// In transport mode nothing tells TFC padding from the packet, so none is taken there (RFC 7296 section
// 3.10.1, RFC 4303 section 2.7).
static void put_mode(struct pb *b, const struct child_config *cfg)
{
    if (cfg->mode != MODE_TRANSPORT)
        return;
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_USE_TRANSPORT_MODE, slice_of(NULL, 0));
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_ESP_TFC_PADDING_NOT_SUPPORTED, slice_of(NULL, 0));
}

static bool refuses_tfc(const struct payloads *pl)
{
    struct notify n;
    return notify_find(pl, N_ESP_TFC_PADDING_NOT_SUPPORTED, &n);
}

static void take_no_tfc(struct child_sa *c, bool refused)
{
    c->no_tfc = refused;
    if (refused && c->cfg->tfc_padding)
        LOGF_SA(IKE, 1, c, "CHILD_SA %s: the peer takes no TFC padding, tfc_padding is without effect",
                c->cfg->name);
}

// --- as initiator ---

void child_put_request(struct pb *b, struct child_sa *c, bool with_ke, const struct kex *k)
{
    const struct child_config *cfg = c->cfg;
    child_wanted_ts(c->sa, cfg, c->local_ts, c->remote_ts);
    struct usable u;
    find_usable(c->sa, cfg, &u);
    if (u.count)
        pb_offer(b, u.p, u.count, with_ke, c->spi_in, 4);
    else // an SA payload holds one at least; whatever the answer is, it is not taken
        pb_offer(b, cfg->proposals, cfg->proposal_count, with_ke, c->spi_in, 4);
    if (k)
        ike_kex_put(b, k);
    pb_selectors(b, PL_TSI, c->local_ts);
    pb_selectors(b, PL_TSR, c->remote_ts);
    put_mode(b, cfg);
    ipc_send(c->sa->ike->chan[ROOM_PATH], MSG_CHILD_EXPECT, &(struct msg_CHILD_EXPECT){.spi = c->spi_in});
}

void child_alert(const struct ike_sa *sa, uint16_t notify)
{
    if (notify == N_NO_PROPOSAL_CHOSEN)
        sa_alert(sa, ALERT_CHILD_PROPOSAL);
    else if (notify == N_TS_UNACCEPTABLE)
        sa_alert(sa, ALERT_SELECTORS);
    else if (notify == N_INTERNAL_ADDRESS_FAILURE || notify == N_FAILED_CP_REQUIRED)
        sa_alert(sa, ALERT_ADDRESS);
}

bool child_take_answer(struct child_sa *c, const struct payloads *pl, bool with_ke, char *why, size_t size)
{
    const struct payload *s = payload_find(pl, PL_SA), *i = payload_find(pl, PL_TSI),
                         *r = payload_find(pl, PL_TSR);
    struct refusal ref = {0};
    struct notify n;
    struct ts_list local, remote;
    struct suite suite;
    uint64_t spi;
    if (!s && notify_first_error(pl, &n)) {
        counts_child_notify(c->sa, n.type);
        child_alert(c->sa, n.type);
        snprintf(why, size, "received %s notify, no CHILD_SA built", notify_name(n.type));
        return false;
    }
    if (!s || !i || !r) {
        snprintf(why, size, "the response lacks SA, TSi or TSr (RFC 7296 1.2)");
        return false;
    }
    struct usable u;
    find_usable(c->sa, c->cfg, &u);
    if (answer_read(s->body, u.p, u.count, with_ke, PROTO_NONE, 4, &suite, &spi, &ref) ||
        selectors_read(i->body, "TSi", &local, &ref) || selectors_read(r->body, "TSr", &remote, &ref)) {
        snprintf(why, size, "%s", ref.why.text);
        return false;
    }
    if (c->cfg->mode == MODE_TRANSPORT && !nat_transport_take(c->sa, &local, &remote)) {
        snprintf(why, size, "the peer's selectors are no single addresses (RFC 7296 2.23.1)");
        return false;
    }
    if (spi < 256 || !selectors_within(c->local_ts, &local) || !selectors_within(c->remote_ts, &remote)) {
        snprintf(why, size, "%s",
                 spi < 256 ? "the peer's SPI is a reserved one (RFC 4303 2.1)"
                           : "the peer's selectors are not within ours (RFC 7296 2.9)");
        return false;
    }
    // 1.3.1: a request for transport mode that is declined leaves a CHILD SA in tunnel mode, which the policy
    // does not allow here; what was not asked for must not come.
    if ((c->cfg->mode == MODE_TRANSPORT) != notify_find(pl, N_USE_TRANSPORT_MODE, &n)) {
        snprintf(
            why, size,
            c->cfg->mode == MODE_TRANSPORT
                ? "the peer declines transport mode, and mode = transport allows no other (RFC 7296 1.3.1)"
                : "the peer answers with transport mode, which was not asked for (RFC 7296 1.3.1)");
        return false;
    }
    if (!suite_keep(&c->sa->ike->shared, &c->suite, &suite)) {
        snprintf(why, size, "no memory");
        return false;
    }
    child_log_suite(c->suite);
    take_no_tfc(c, refuses_tfc(pl));
    if (!selectors_within(&local, c->local_ts) || !selectors_within(&remote, c->remote_ts))
        sa_alert(c->sa, ALERT_NARROWED);
    c->spi_out = (uint32_t)spi;
    *c->local_ts = local;
    *c->remote_ts = remote;
    return true;
}

// --- as responder ---

int child_wish_read(const struct payloads *pl, struct child_wish *w, struct refusal *r)
{
    const struct payload *s = payload_find(pl, PL_SA), *i = payload_find(pl, PL_TSI),
                         *t = payload_find(pl, PL_TSR);
    struct notify n;
    w->offers.count = 0; // what is behind that is never looked at, and is 32 KiB
    memset(&w->local, 0, sizeof(w->local));
    memset(&w->remote, 0, sizeof(w->remote));
    w->transport = notify_find(pl, N_USE_TRANSPORT_MODE, &n);
    w->no_tfc = refuses_tfc(pl);
    if (!s && !i && !t)
        return 0;
    if (!s || !i || !t)
        return refuse(r, N_INVALID_SYNTAX, "CHILD_SA", "SA, TSi and TSr come together (RFC 7296 1.2, 1.3)");
    int rc = offers_read(s->body, &w->offers, r);
    if (!rc)
        rc = selectors_read(i->body, "TSi", &w->remote, r);
    return rc ? rc : selectors_read(t->body, "TSr", &w->local, r);
}

// 1.3.1: transport mode is the initiator's wish; a child of ours has one mode. Where the peer wishes for it
// and ours is tunnel mode, ours stands and the answer does not repeat the wish.
static bool mode_fits(const struct child_config *child, const struct child_wish *w)
{
    return child->mode != MODE_TRANSPORT || w->transport;
}

// What the peer asks for, in our addresses.
static bool in_our_addresses(const struct ike_sa *sa, const struct child_config *child,
                             const struct child_wish *w, struct ts_list *local, struct ts_list *remote)
{
    *local = w->local;
    *remote = w->remote;
    return child->mode != MODE_TRANSPORT || nat_transport_take(sa, local, remote);
}

struct choice {
    const struct child_config *cfg, *tried; // tried: the last whose proposals did not fit
    const struct offer *offer;
    struct suite suite;
    struct ts_list local, remote;
    bool all; // it gives the peer all that it asks for
};

static void consider(struct ike_sa *sa, const struct child_config *child, const struct child_wish *w,
                     bool with_ke, struct choice *best)
{
    struct choice k = {.cfg = child};
    struct ts_list local, remote;
    if (child->action != POLICY_PROTECT || !mode_fits(child, w) ||
        !in_our_addresses(sa, child, w, &local, &remote) ||
        !child_narrow(sa, child, &local, &remote, &k.local, &k.remote) ||
        (child->mode == MODE_TRANSPORT && nat_transport_taken(sa, &k.local, &k.remote)))
        return;
    best->tried = child;
    struct usable u;
    find_usable(sa, child, &u);
    if (!offers_choose(&w->offers, u.p, u.count, with_ke, &k.suite, &k.offer))
        return;
    k.all = selectors_within(&k.local, &local) && selectors_within(&k.remote, &remote);
    if (best->cfg && !k.all)
        return;
    k.tried = child;
    *best = k;
}

static uint16_t refused(const struct child_wish *w, const struct child_config *tried)
{
    char why[OFFERS_TEXT], a[SELECTORS_TEXT], b[SELECTORS_TEXT];
    if (!tried) {
        LOGF(IKE, 1, "traffic selectors %s === %s unacceptable (RFC 7296 2.9)",
             selectors_print(&w->local, a, sizeof(a)), selectors_print(&w->remote, b, sizeof(b)));
        return N_TS_UNACCEPTABLE;
    }
    LOGF(IKE, 1, "no acceptable proposal found for the CHILD_SA, %s (RFC 7296 2.7)",
         offers_print(&w->offers, tried->proposals, tried->proposal_count, why, sizeof(why)));
    return N_NO_PROPOSAL_CHOSEN;
}

struct child_sa *child_choose(struct ike_sa *sa, const struct child_wish *w, const struct child_sa *old,
                              bool with_ke, uint16_t *notify)
{
    struct conn *live = old ? NULL : conn_find(sa->ike, sa->conn->cfg.name);
    if (live)
        (void)sa_follows(sa, live);
    if (!old)
        edition_look(sa);
    struct conn *conn = old ? old->conn : sa->conn;
    struct choice best = {0};
    if (old)
        consider(sa, old->cfg, w, with_ke, &best);
    for (unsigned i = 0; !old && i < conn->cfg.child_count && !best.all; i++)
        consider(sa, &conn->cfg.children[i], w, with_ke, &best);
    if (!best.cfg) {
        *notify = refused(w, best.tried);
        child_alert(sa, *notify);
        return NULL;
    }
    struct child_sa *c = child_new(sa, conn, best.cfg);
    if (c && !suite_keep(&sa->ike->shared, &c->suite, &best.suite)) {
        child_destroy(c);
        c = NULL;
    }
    if (!c) {
        *notify = N_NO_ADDITIONAL_SAS;
        return NULL;
    }
    child_log_suite(&best.suite);
    if (!best.all)
        sa_alert(sa, ALERT_NARROWED);
    take_no_tfc(c, w->no_tfc);
    c->spi_out = (uint32_t)best.offer->spi;
    c->number = best.offer->number;
    *c->local_ts = best.local;
    *c->remote_ts = best.remote;
    return c;
}

void child_put_answer(struct pb *b, const struct child_sa *c, const struct kex *k)
{
    pb_chosen(b, c->suite, c->number, c->suite->protocol, c->spi_in, 4);
    if (k)
        ike_kex_put(b, k);
    pb_selectors(b, PL_TSI, c->remote_ts);
    pb_selectors(b, PL_TSR, c->local_ts);
    put_mode(b, c->cfg);
}
