// SPDX-License-Identifier: Apache-2.0
// Traffic selectors on the wire and their intersection: RFC 7296 sections 2.9 and 3.13.1.
#include "ctrl/ike/selectors.h"

#include <stdio.h>

#include "ctrl/lib/log.h"

enum { TS_IPV4 = 7, TS_IPV6 = 8 };

// False: a length that is not its type's, or a range that runs backwards.
static bool read_one(struct reader *r, struct ts *t, bool *known)
{
    uint8_t type = rd_u8(r);
    memset(t, 0, sizeof(*t));
    t->proto = rd_u8(r);
    uint16_t len = rd_u16(r);
    struct reader b = reader_of(rd_bytes(r, len >= 4 ? len - 4u : r->left + 1));
    *known = type == TS_IPV4 || type == TS_IPV6;
    if (!*known)
        return !r->bad && len >= 4;
    size_t size = type == TS_IPV4 ? 4 : 16;
    t->family = type == TS_IPV4 ? 4 : 6;
    t->port_lo = rd_u16(&b);
    t->port_hi = rd_u16(&b);
    struct slice lo = rd_bytes(&b, size), hi = rd_bytes(&b, size);
    if (r->bad || !rd_done(&b))
        return false;
    memcpy(t->lo, lo.p, size);
    memcpy(t->hi, hi.p, size);
    bool opaque = t->port_lo == 65535 && t->port_hi == 0;
    return memcmp(t->lo, t->hi, size) <= 0 && (opaque || t->port_lo <= t->port_hi);
}

int selectors_read(struct slice body, const char *name, struct ts_list *out, struct refusal *r)
{
    struct reader rd = reader_of(body);
    unsigned count = rd_u8(&rd), cut = 0;
    rd_bytes(&rd, 3);
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < count; i++) {
        struct ts t;
        bool known = false;
        if (!read_one(&rd, &t, &known))
            return refuse(r, N_INVALID_SYNTAX, name, "selector %u of %u is malformed (RFC 7296 3.13.1)",
                          i + 1, count);
        if (known && out->count < TS_MAX)
            out->t[out->count++] = t;
        else if (known)
            cut++;
    }
    if (cut)
        LOGF(CHD, 1, "%s holds %u selectors, the last %u are left out: %d are taken", name, count, cut,
             TS_MAX);
    if (!count || !rd_done(&rd))
        return refuse(r, N_INVALID_SYNTAX, name,
                      "%u selectors do not fill the payload's %zu octets (RFC 7296 3.13)", count, body.len);
    return 0;
}

void pb_selectors(struct pb *b, uint8_t type, const struct ts_list *l)
{
    pb_begin(b, type);
    wr_u8(&b->w, l->count);
    wr_uint(&b->w, 0, 3);
    for (unsigned i = 0; i < l->count; i++) {
        const struct ts *t = &l->t[i];
        size_t size = t->family == 4 ? 4 : 16;
        wr_u8(&b->w, t->family == 4 ? TS_IPV4 : TS_IPV6);
        wr_u8(&b->w, t->proto);
        wr_u16(&b->w, (uint16_t)(8 + 2 * size));
        wr_u16(&b->w, t->port_lo);
        wr_u16(&b->w, t->port_hi);
        wr_bytes(&b->w, t->lo, size);
        wr_bytes(&b->w, t->hi, size);
    }
    pb_end(b);
}

void selectors_resolve(const struct ts_list *in, const struct addr *host, struct ts_list *out)
{
    struct ts_list l; // in may be as long as it is
    ts_list_copy(&l, in);
    for (unsigned i = 0; i < l.count; i++) {
        struct ts *t = &l.t[i];
        if (t->family == 0 && host->family) {
            t->family = host->family;
            memcpy(t->lo, host->a, 16);
            memcpy(t->hi, host->a, 16);
        }
    }
    ts_list_copy(out, &l);
}

bool selectors_narrow(const struct ts_list *ours, const struct ts_list *theirs, struct ts_list *out)
{
    unsigned cut = 0;
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < ours->count; i++) {
        for (unsigned k = 0; k < theirs->count; k++) {
            struct ts t;
            bool twice = false;
            if (!ours->t[i].family || !theirs->t[k].family || !ts_intersect(&ours->t[i], &theirs->t[k], &t))
                continue;
            for (unsigned n = 0; n < out->count; n++)
                twice = twice || ts_contains(&out->t[n], &t);
            if (!twice && out->count < TS_MAX)
                out->t[out->count++] = t;
            else if (!twice)
                cut++;
        }
    }
    if (cut)
        LOGF(CHD, 1, "what is common has %u selectors, the last %u are left out: %d are taken",
             out->count + cut, cut, TS_MAX);
    return out->count > 0;
}

bool selectors_within(const struct ts_list *outer, const struct ts_list *inner)
{
    for (unsigned i = 0; i < inner->count; i++) {
        bool inside = false;
        for (unsigned k = 0; k < outer->count; k++)
            inside = inside || ts_contains(&outer->t[k], &inner->t[i]);
        if (!inside)
            return false;
    }
    return inner->count > 0;
}

char *selectors_print(const struct ts_list *l, char *buf, size_t size)
{
    size_t at = 0;
    buf[0] = 0;
    for (unsigned i = 0; i < l->count && at < size; i++) {
        char one[128];
        at +=
            (size_t)snprintf(buf + at, size - at, "%s%s", i ? " " : "", ts_print(&l->t[i], one, sizeof(one)));
    }
    return buf;
}
