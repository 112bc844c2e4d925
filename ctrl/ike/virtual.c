// SPDX-License-Identifier: Apache-2.0
// See virtual.h. A peer's payload is looked at when the peer is proven, and costs at most VIPS_MAX leases;
// CFG_SET and CFG_ACK are ignored (3.15).
#include "ctrl/ike/virtual.h"

#include <stdio.h>
#include <string.h>

#include "ctrl/ike/conns.h"
#include "ctrl/ike/cp.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/pools.h"
#include "ctrl/ike/sa.h"
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

static bool request_read(const struct payloads *pl, struct cp *out)
{
    for (unsigned i = 0; i < pl->count; i++)
        if (pl->p[i].type == PL_CP && cp_read(pl->p[i].body, out) && out->type == CP_REQUEST)
            return true;
    return false;
}

static void assign(struct ike_sa *sa, const struct addr *wish)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    bool again = sa->hs->initial_contact || cfg->unique == UNIQUE_REPLACE;
    char a[64], id[ID_TEXT_MAX];
    struct vip *v = &sa->remote_vips[sa->remote_vip_count];
    LOGF(IKE, 1, "peer requested virtual IP %s",
         addr_is_zero(wish) ? "%any" : addr_print(wish, a, sizeof(a)));
    v->lease = pools_take(sa->ike, cfg, &sa->remote_id, wish, again);
    if (!v->lease) {
        LOGF(IKE, 1, "no virtual IPv%u address found for '%s'", wish->family,
             identity_print(&sa->remote_id, id, sizeof(id)));
        return;
    }
    pools_address(v->lease, &v->a);
    sa->remote_vip_count++;
    LOGF(IKE, 1, "assigning virtual IP %s to peer '%s'", addr_print(&v->a, a, sizeof(a)),
         identity_print(&sa->remote_id, id, sizeof(id)));
}

uint16_t virtual_assign(struct ike_sa *sa, const struct payloads *pl)
{
    struct cp cp;
    unsigned wishes = 0;
    if (!request_read(pl, &cp))
        return 0;
    for (unsigned i = 0; i < cp.count; i++) {
        struct addr wish;
        if (cp_address(&cp.a[i], &wish) && wishes++ < VIPS_MAX)
            assign(sa, &wish);
    }
    sa->hs->peer_asks_address = wishes > 0;
    if (wishes > VIPS_MAX)
        LOGF(IKE, 1, "the peer asks for %u virtual IPs, the first %d were looked at", wishes, VIPS_MAX);
    return wishes && !sa->remote_vip_count ? N_INTERNAL_ADDRESS_FAILURE : 0;
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
        pb_cp_address(b, &sa->remote_vips[i].a);
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
    for (unsigned i = 0; i < cfg->remote_ts.count; i++) {
        const struct ts *t = &cfg->remote_ts.t[i];
        if (t->family)
            add(out, t);
        for (unsigned k = 0; !t->family && k < sa->remote_vip_count; k++) {
            struct ts host = host_of(t, &sa->remote_vips[k].a);
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

bool virtual_pool_ts(const struct ike *ike, const struct conn_config *cfg, struct ts_list *l)
{
    struct ts_list in = *l;
    l->count = 0;
    for (unsigned i = 0; i < in.count; i++)
        if (in.t[i].family ? !add(l, &in.t[i]) : !ranges(ike, cfg, &in.t[i], l))
            return false;
    return true;
}

// --- the IKE SA's life ---

void virtual_release(struct ike_sa *sa)
{
    while (sa->remote_vip_count)
        pools_release(sa->ike, sa->remote_vips[--sa->remote_vip_count].lease);
}

void virtual_move(struct ike_sa *old, struct ike_sa *next)
{
    memcpy(next->remote_vips, old->remote_vips, sizeof(next->remote_vips));
    next->remote_vip_count = old->remote_vip_count;
    old->remote_vip_count = 0;
}
