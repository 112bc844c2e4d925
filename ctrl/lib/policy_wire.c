// SPDX-License-Identifier: Apache-2.0
// Policies on their way from ike to path: a count, then the entries in rank order.
#include "ctrl/lib/policy_wire.h"

#include <errno.h>
#include <stdlib.h>

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
        tunnel_route_write(w, &p->route);
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
    tunnel_route_read(r, &p->route);
    ts_list_read(r, &p->local);
    ts_list_read(r, &p->remote);
    if (!p->id || p->action < POLICY_PROTECT || p->action > POLICY_DISCARD || p->mode < MODE_TUNNEL ||
        p->mode > MODE_TRANSPORT || p->trap > 1 || p->given > 1 || p->later > 1 ||
        (p->route.metric && (!p->if_id || p->action != POLICY_PROTECT)))
        r->bad = true;
}

int policies_read(struct slice s, struct policy_spec **out, unsigned *count)
{
    enum { ENTRY_MIN = 21 }; // octets of an entry with nothing in it: bounds what is allocated
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
