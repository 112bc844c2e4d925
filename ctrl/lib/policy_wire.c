// SPDX-License-Identifier: Apache-2.0
// Policies on their way from ike to path: a count, then the entries in rank order.
#include "ctrl/lib/policy_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t octets_of(const struct addr *a)
{
    return !a->family ? 0 : a->family == 6 ? 16 : 4;
}

static void addr_write(struct writer *w, const struct addr *a)
{
    wr_u8(w, a->family);
    wr_bytes(w, a->a, octets_of(a));
}

static void addr_read(struct reader *r, struct addr *a)
{
    a->family = rd_u8(r);
    struct slice s = rd_bytes(r, octets_of(a));
    if (s.len)
        memcpy(a->a, s.p, s.len);
    if (a->family && a->family != 4 && a->family != 6)
        r->bad = true;
}

void policies_write(struct writer *w, const struct policy_spec *p, unsigned count)
{
    wr_u32(w, count);
    for (unsigned i = 0; i < count; i++, p++) {
        wr_u32(w, p->id);
        wr_cstr(w, p->child);
        wr_u8(w, p->action);
        wr_u8(w, p->mode);
        wr_u32(w, p->if_id);
        wr_u32(w, p->priority);
        wr_u8(w, p->trap);
        wr_u8(w, p->given);
        wr_u8(w, p->later);
        wr_u8(w, p->route_metric);
        wr_u32(w, p->probe_delay);
        addr_write(w, &p->probe);
        addr_write(w, &p->probe_from);
        ts_list_write(w, &p->local);
        ts_list_write(w, &p->remote);
    }
}

static void read_one(struct reader *r, struct policy_spec *p)
{
    p->id = rd_u32(r);
    rd_cstr(r, p->child, sizeof(p->child));
    p->action = rd_u8(r);
    p->mode = rd_u8(r);
    p->if_id = rd_u32(r);
    p->priority = rd_u32(r);
    p->trap = rd_u8(r);
    p->given = rd_u8(r);
    p->later = rd_u8(r);
    p->route_metric = rd_u8(r);
    p->probe_delay = rd_u32(r);
    addr_read(r, &p->probe);
    addr_read(r, &p->probe_from);
    ts_list_read(r, &p->local);
    ts_list_read(r, &p->remote);
    if (!p->id || p->action < POLICY_PROTECT || p->action > POLICY_DISCARD || p->mode < MODE_TUNNEL ||
        p->mode > MODE_TRANSPORT || p->trap > 1 || p->given > 1 || p->later > 1 ||
        p->route_metric > ROUTE_METRICS || (p->route_metric && !p->if_id))
        r->bad = true;
    if ((p->probe.family && (!p->route_metric || !p->probe_delay)) ||
        (p->probe_from.family && p->probe_from.family != p->probe.family))
        r->bad = true;
}

int policies_read(struct slice s, struct policy_spec **out, unsigned *count)
{
    enum { ENTRY_MIN = 27 }; // octets of an entry with nothing in it: bounds what is allocated
    struct reader r = reader_of(s);
    unsigned n = rd_u32(&r);
    *out = NULL;
    *count = 0;
    if (r.bad || n > r.left / ENTRY_MIN)
        return -EBADMSG;
    struct policy_spec *p = n ? calloc(n, sizeof(*p)) : NULL;
    if (n && !p)
        return -ENOMEM;
    for (unsigned i = 0; i < n && !r.bad; i++)
        read_one(&r, &p[i]);
    if (!rd_done(&r)) {
        free(p);
        return -EBADMSG;
    }
    *out = p;
    *count = n;
    return 0;
}
