// SPDX-License-Identifier: Apache-2.0
// See virtual.h. A peer's payload is looked at when the peer is proven, and costs at most VIPS_MAX leases;
// CFG_SET and CFG_ACK are ignored (3.15).
#include "ctrl/ike/virtual.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/cp.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/load.h"
#include "ctrl/ike/pools.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"

char *virtual_print(const struct vip *v, unsigned count, char *buf, size_t size)
{
    size_t at = 0;
    char a[64];
    buf[0] = 0;
    for (unsigned i = 0; i < count && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? " " : "", addr_print(&v[i].a, a, sizeof(a)));
    return buf;
}

bool virtual_request_fits(const struct payloads *pl, struct refusal *r)
{
    struct cp cp;
    for (unsigned i = 0; i < pl->count; i++)
        if (pl->p[i].type == PL_CP && !cp_read(pl->p[i].body, &cp)) {
            refuse(r, N_INVALID_SYNTAX, "CP", "its %zu octets are malformed (RFC 7296 3.15)",
                   pl->p[i].body.len);
            return false;
        }
    return true;
}

static void tell_cut(const struct cp *cp)
{
    if (cp->cut)
        LOGF(IKE, 1, "the Configuration payload has %u attributes, the last %u are left out: %d are taken",
             cp->count + cp->cut, cp->cut, CP_ATTRS_MAX);
}

static bool request_read(const struct payloads *pl, struct cp *out)
{
    for (unsigned i = 0; i < pl->count; i++)
        if (pl->p[i].type == PL_CP && cp_read(pl->p[i].body, out) && out->type == CP_REQUEST)
            return true;
    return false;
}

// Where virtual addresses are written; false: no memory.
static bool has_room(struct ike_sa *sa)
{
    if (!sa->vips)
        sa->vips = calloc(1, sizeof(*sa->vips));
    if (!sa->vips)
        LOGF(IKE, 0, "no memory for virtual IPs");
    return sa->vips != NULL;
}

static void assign(struct ike_sa *sa, const struct addr *wish)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    bool again = sa->hs->initial_contact || cfg->unique == UNIQUE_REPLACE;
    char a[64], id[ID_TEXT_MAX];
    if (!has_room(sa))
        return;
    struct vip *v = &sa->vips->remote[sa->remote_vip_count];
    LOGF(IKE, 1, "peer requested virtual IP %s",
         addr_is_zero(wish) ? "%any" : addr_print(wish, a, sizeof(a)));
    v->lease = pools_take(sa->ike, cfg, sa->remote_id, wish, again);
    if (!v->lease) {
        LOGF(IKE, 1, "no virtual IPv%u address found for '%s'", wish->family,
             identity_print(sa->remote_id, id, sizeof(id)));
        return;
    }
    pools_address(v->lease, &v->a);
    sa->remote_vip_count++;
    LOGF(IKE, 1, "assigning virtual IP %s to peer '%s'", addr_print(&v->a, a, sizeof(a)),
         identity_print(sa->remote_id, id, sizeof(id)));
}

uint16_t virtual_assign(struct ike_sa *sa, const struct payloads *pl)
{
    struct cp cp;
    unsigned wishes = 0;
    if (!request_read(pl, &cp))
        return 0;
    tell_cut(&cp);
    for (unsigned i = 0; i < cp.count; i++) {
        struct addr wish;
        if (cp_address(&cp.a[i], &wish) && wishes++ < VIPS_MAX)
            assign(sa, &wish);
    }
    sa->hs->peer_asks_address = wishes > 0;
    if (wishes > VIPS_MAX)
        LOGF(IKE, 1, "the peer asks for %u virtual IPs, the first %d were looked at", wishes, VIPS_MAX);
    if (!wishes || sa->remote_vip_count)
        return 0;
    sa_alert(sa, ALERT_ADDRESS);
    return N_INTERNAL_ADDRESS_FAILURE;
}

static void put_attributes(void *ctx, struct slice attrs)
{
    struct pb *b = ctx;
    wr_slice(&b->w, attrs);
}

void virtual_put_reply(struct pb *b, const struct ike_sa *sa)
{
    if (!sa->remote_vip_count)
        return;
    pb_cp_begin(b, CP_REPLY);
    for (unsigned i = 0; i < sa->remote_vip_count; i++)
        pb_cp_address(b, &sa->vips->remote[i].a);
    pools_attributes(sa->ike->pools, &sa->conn->cfg, put_attributes, b);
    pb_end(b);
}

uint16_t virtual_why(const struct ike_sa *sa, uint16_t no_address, uint16_t notify)
{
    if (no_address)
        return no_address;
    bool asked = sa->hs && sa->hs->peer_asks_address;
    return notify == N_TS_UNACCEPTABLE && sa->conn->cfg.pool_count && !asked ? N_FAILED_CP_REQUIRED : notify;
}

// --- selectors ---

static bool add(struct ts_list *l, const struct ts *t)
{
    if (l->count == TS_MAX)
        return false;
    l->t[l->count++] = *t;
    return true;
}

static struct ts host_of(const struct ts *dynamic, const struct addr *a)
{
    struct ts t = *dynamic;
    t.family = a->family;
    memcpy(t.lo, a->a, 16);
    memcpy(t.hi, a->a, 16);
    return t;
}

bool virtual_remote_ts(const struct ike_sa *sa, const struct child_config *cfg, struct ts_list *out)
{
    if (!sa->conn->cfg.pool_count || cfg->mode == MODE_TRANSPORT)
        return false;
    out->count = 0;
    for (unsigned i = 0; i < cfg->remote_ts->count; i++) {
        const struct ts *t = &cfg->remote_ts->t[i];
        if (t->family)
            add(out, t);
        for (unsigned k = 0; !t->family && k < sa->remote_vip_count; k++) {
            struct ts host = host_of(t, &sa->vips->remote[k].a);
            add(out, &host);
        }
    }
    return true;
}

static bool ranges(const struct ike *ike, const struct conn_config *cfg, const struct ts *dynamic,
                   struct ts_list *out)
{
    unsigned before = out->count;
    for (unsigned i = 0; i < cfg->pool_count; i++) {
        struct ts range;
        if (!pools_range(ike->pools, cfg->pools[i], &range))
            continue;
        range.proto = dynamic->proto;
        range.port_lo = dynamic->port_lo;
        range.port_hi = dynamic->port_hi;
        if (!add(out, &range))
            return false;
    }
    return out->count > before || add(out, dynamic); // none is loaded: not known yet
}

bool virtual_pools_known(const struct ike *ike, const struct conn_config *cfg)
{
    struct ts range;
    for (unsigned i = 0; i < cfg->pool_count; i++)
        if (!pools_range(ike->pools, cfg->pools[i], &range))
            return false;
    return true;
}

bool virtual_pool_ts(const struct ike *ike, const struct conn_config *cfg, struct ts_list *l)
{
    struct ts_list in;
    ts_list_copy(&in, l);
    l->count = 0;
    for (unsigned i = 0; i < in.count; i++)
        if (in.t[i].family ? !add(l, &in.t[i]) : !ranges(ike, cfg, &in.t[i], l))
            return false;
    return true;
}

// --- as the one that asks ---

// Of any of a family the one that the connection had last, so that it is the same again.
static struct addr wish(const struct conn *c, const struct addr *vip)
{
    for (unsigned i = 0; i < c->vip_count && addr_is_zero(vip); i++)
        if (c->vips[i].family == vip->family)
            return c->vips[i];
    return *vip;
}

void virtual_put_request(struct pb *b, const struct ike_sa *sa)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    unsigned families = 0;
    if (!cfg->vip_count)
        return;
    pb_cp_begin(b, CP_REQUEST);
    for (unsigned i = 0; i < cfg->vip_count; i++) {
        struct addr a = wish(sa->conn, &cfg->vips[i]);
        pb_cp_address(b, &a);
        families |= a.family == 4 ? 1 : 2;
    }
    if (families & 1)
        pb_cp_attr(b, CP_IP4_DNS, slice_of(NULL, 0));
    if (families & 2)
        pb_cp_attr(b, CP_IP6_DNS, slice_of(NULL, 0));
    pb_end(b);
}

static bool has_vip(const struct ike_sa *sa, const struct addr *a)
{
    for (unsigned i = 0; i < sa->local_vip_count; i++)
        if (addr_eq(&sa->vips->local[i].a, a))
            return true;
    return false;
}

// Nobody's: it would make ours what is everybody's.
static bool usable(const struct addr *a)
{
    return !addr_is_zero(a) && (a->family == 4 ? a->a[0] != 127 && a->a[0] < 224
                                               : a->a[0] != 0xff && !(a->a[0] == 0xfe && a->a[1] >> 6 == 2));
}

static void take_attribute(struct ike_sa *sa, const struct cp_attr *at)
{
    char text[64];
    struct addr a;
    if (!has_room(sa))
        return;
    bool address = cp_address(at, &a) && usable(&a) && !has_vip(sa, &a), dns = !address && cp_dns(at, &a);
    if (address && sa->local_vip_count < VIPS_MAX) {
        sa->vips->local[sa->local_vip_count++] = (struct vip){.a = a};
        LOGF(IKE, 0, "received virtual IP %s", addr_print(&a, text, sizeof(text)));
    } else if (dns && sa->dns_count < VIPS_MAX) {
        sa->vips->dns[sa->dns_count++] = a;
        LOGF(IKE, 1, "received name server %s, which is told and not installed",
             addr_print(&a, text, sizeof(text)));
    } else if (address || dns) {
        LOGF(IKE, 1, "received %s %s, which is left out: %d are taken",
             address ? "virtual IP" : "name server", addr_print(&a, text, sizeof(text)), VIPS_MAX);
    } else {
        LOGF(IKE, 2, "attribute %s of the CFG_REPLY has no effect", cp_attr_name(at->type));
    }
}

bool virtual_take(struct ike_sa *sa, struct child_sa *c, const struct payloads *pl, char *why, size_t size)
{
    const struct payload *p = payload_find(pl, PL_CP);
    struct cp cp = {0};
    if (!sa->conn->cfg.vip_count || (c && !payload_find(pl, PL_SA)))
        return true; // not asked for; or the answer is a refusal, which says more
    if (p && !cp_read(p->body, &cp)) {
        snprintf(why, size, "the CFG_REPLY is malformed (RFC 7296 3.15)");
        return false;
    }
    tell_cut(&cp);
    for (unsigned i = 0; i < cp.count && cp.type == CP_REPLY; i++)
        take_attribute(sa, &cp.a[i]);
    if (!sa->local_vip_count) {
        snprintf(why, size, "the peer gave no virtual IP (RFC 7296 2.19)");
        return false;
    }
    if (c)
        child_wanted_ts(sa, c->cfg, c->local_ts, c->remote_ts);
    return true;
}

static void remember(struct ike_sa *sa, struct conn *c)
{
    c->vip_count = c->vips ? sa->local_vip_count : 0; // one that asks for none has no use for them
    for (unsigned i = 0; i < c->vip_count; i++)
        c->vips[i] = sa->vips->local[i].a;
}

void virtual_follow(struct ike_sa *sa)
{
    if (!sa->local_vip_count || !sa->vips_renewed)
        return;
    remember(sa, sa->conn);
    conn_renew(sa->ike, sa->conn);
}

int virtual_put(struct task *t, reply_fn fn)
{
    struct ike_sa *sa = t->sa;
    struct ike *ike = sa->ike;
    struct conn *loaded = conn_find(ike, sa->conn->cfg.name);
    if (sa->local_vip_count && !sa->vips_renewed) {
        sa->vips_renewed = true;
        remember(sa, sa->conn);
        if (loaded && loaded != sa->conn)
            remember(sa, loaded);
        if (loaded)
            conn_renew(ike, loaded);
    }
    if (sa->local_vip_count && loaded &&
        loaded->pending) { // path answers in order: behind its answer to them
        struct msg_CHILD_DELETE none = {.req = ask_new(t, fn)};
        ask(ike, ROOM_PATH, none.req, MSG_CHILD_DELETE, &none);
        return 1;
    }
    for (unsigned i = 0; i < sa->local_vip_count; i++) {
        struct vip *v = &sa->vips->local[i];
        if (v->put)
            continue;
        if (loaded && !conn_holds(loaded, &v->a))
            return -EAGAIN; // what is sent from it would leave in clear
        struct msg_VIRTUAL_ADD m = {.req = ask_new(t, fn), .address = v->a};
        v->put = true;
        v->path_life = ike->again.lives;
        ask(ike, ROOM_PATH, m.req, MSG_VIRTUAL_ADD, &m);
        if (i < sa->local_vip_count) // it has not ended for want of memory
            sa->vips->local[i].waits = ask_waits(ike, m.req);
        return 1;
    }
    return 0;
}

bool virtual_local_ts(const struct ike_sa *sa, const struct child_config *cfg, struct ts_list *out)
{
    const struct conn_config *conn = &sa->conn->cfg;
    if (!conn->vip_count || cfg->mode == MODE_TRANSPORT || (!sa->initiator && !sa->local_vip_count))
        return false;
    out->count = 0;
    for (unsigned i = 0; i < cfg->local_ts->count; i++) {
        const struct ts *t = &cfg->local_ts->t[i];
        if (t->family)
            add(out, t);
        for (unsigned k = 0; !t->family && k < sa->local_vip_count; k++) {
            struct ts host = host_of(t, &sa->vips->local[k].a);
            add(out, &host);
        }
        for (unsigned k = 0; !t->family && !sa->local_vip_count && k < conn->vip_count; k++) {
            struct ts all = *t;
            all.family = conn->vips[k].family;
            memset(all.hi, 0xff, all.family == 4 ? 4 : 16);
            add(out, &all);
        }
    }
    return true;
}

bool virtual_own_ts(const struct conn *c, struct ts_list *l)
{
    const struct addr *vips = c->vip_count ? c->vips : c->cfg.vips;
    unsigned count = c->vip_count ? c->vip_count : c->cfg.vip_count;
    struct ts_list in;
    ts_list_copy(&in, l);
    l->count = 0;
    for (unsigned i = 0; i < in.count; i++) {
        unsigned before = l->count;
        if (in.t[i].family && !add(l, &in.t[i]))
            return false;
        for (unsigned k = 0; !in.t[i].family && k < count; k++) {
            struct ts host = host_of(&in.t[i], &vips[k]);
            if (!addr_is_zero(&vips[k]) && !add(l, &host))
                return false;
        }
        if (l->count == before && !add(l, &in.t[i])) // not known yet
            return false;
    }
    return true;
}

char *virtual_print_dns(const struct ike_sa *sa, char *buf, size_t size)
{
    struct vip v[VIPS_MAX];
    for (unsigned i = 0; i < sa->dns_count; i++)
        v[i] = (struct vip){.a = sa->vips->dns[i]};
    return virtual_print(v, sa->dns_count, buf, size);
}

// --- the IKE SA's life ---

void virtual_release(struct ike_sa *sa)
{
    while (sa->remote_vip_count)
        pools_release(sa->ike, sa->vips->remote[--sa->remote_vip_count].lease);
    while (sa->local_vip_count) {
        const struct vip *v = &sa->vips->local[--sa->local_vip_count];
        if (!v->put)
            continue;
        ipc_send(sa->ike->chan[ROOM_PATH], MSG_VIRTUAL_DEL, &(struct msg_VIRTUAL_DEL){.address = v->a});
    }
}

void virtual_tell_again(struct ike *ike)
{
    for (struct ike_sa *sa = ike->sas; sa; sa = sa->next)
        for (unsigned i = 0; i < sa->local_vip_count; i++) {
            struct vip *v = &sa->vips->local[i];
            if (v->put && !v->waits && v->path_life != ike->again.lives)
                ipc_send(ike->chan[ROOM_PATH], MSG_VIRTUAL_ADD,
                         &(struct msg_VIRTUAL_ADD){.req = ++ike->next_req, .address = v->a});
            v->path_life = ike->again.lives;
            v->waits = false;
        }
}

void virtual_move(struct ike_sa *old, struct ike_sa *next)
{
    free(next->vips);
    next->vips = old->vips;
    old->vips = NULL;
    next->remote_vip_count = old->remote_vip_count;
    next->local_vip_count = old->local_vip_count;
    next->vips_renewed = old->vips_renewed;
    next->dns_count = old->dns_count;
    old->remote_vip_count = old->local_vip_count = old->dns_count = 0;
}
