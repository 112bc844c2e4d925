// SPDX-License-Identifier: Apache-2.0
// Addresses, traffic selectors (RFC 7296 section 3.13, narrowing as in section 2.9) and the written form of a
// connection.
#include "ctrl/lib/conn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned addr_len(uint8_t family)
{
    return family == 6 ? 16 : 4;
}

bool addr_eq(const struct addr *x, const struct addr *y)
{
    return x->family == y->family && !memcmp(x->a, y->a, addr_len(x->family));
}

bool addr_parse(const char *text, struct addr *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, out->a) == 1)
        out->family = 4;
    else if (inet_pton(AF_INET6, text, out->a) == 1)
        out->family = 6;
    return out->family != 0;
}

const char *addr_print(const struct addr *a, char *buf, unsigned size)
{
    if (!a->family || !inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->a, buf, size))
        snprintf(buf, size, "%%any");
    return buf;
}

void addr_from_sockaddr(const struct sockaddr_storage *ss, struct addr *a, uint16_t *port)
{
    memset(a, 0, sizeof(*a));
    *port = 0;
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
        a->family = 4;
        memcpy(a->a, &in->sin_addr, 4);
        *port = ntohs(in->sin_port);
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
        a->family = 6;
        memcpy(a->a, &in6->sin6_addr, 16);
        *port = ntohs(in6->sin6_port);
    }
}

void addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    if (a->family == 6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        memcpy(&in6->sin6_addr, a->a, 16);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)ss;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, a->a, 4);
    }
}

bool ts_eq(const struct ts *a, const struct ts *b)
{
    unsigned n = addr_len(a->family);
    return a->family == b->family && a->proto == b->proto && a->port_lo == b->port_lo &&
           a->port_hi == b->port_hi && !memcmp(a->lo, b->lo, n) && !memcmp(a->hi, b->hi, n);
}

bool ts_lists_eq(const struct ts_list *a, const struct ts_list *b)
{
    bool eq = a->count == b->count;
    for (unsigned i = 0; eq && i < a->count; i++)
        eq = ts_eq(&a->t[i], &b->t[i]);
    return eq;
}

bool ts_any_port(const struct ts *t)
{
    return t->port_lo == 0 && t->port_hi == 65535;
}

bool ts_opaque(const struct ts *t)
{
    return t->port_lo == 65535 && t->port_hi == 0;
}

// OPAQUE lies in ANY and in itself alone.
static bool ports_intersect(struct ts *r, const struct ts *b)
{
    uint16_t lo = r->port_lo > b->port_lo ? r->port_lo : b->port_lo,
             hi = r->port_hi < b->port_hi ? r->port_hi : b->port_hi;
    bool fits = ts_opaque(r) ? ts_opaque(b) || ts_any_port(b) : ts_opaque(b) ? ts_any_port(r) : lo <= hi;
    r->port_lo = lo;
    r->port_hi = hi;
    return fits;
}

bool ts_intersect(const struct ts *a, const struct ts *b, struct ts *out)
{
    unsigned n = addr_len(a->family);
    struct ts r = *a;
    if (a->family != b->family || (a->proto && b->proto && a->proto != b->proto))
        return false;
    if (!r.proto)
        r.proto = b->proto;
    if (memcmp(b->lo, r.lo, n) > 0)
        memcpy(r.lo, b->lo, n);
    if (memcmp(b->hi, r.hi, n) < 0)
        memcpy(r.hi, b->hi, n);
    if (!ports_intersect(&r, b) || memcmp(r.lo, r.hi, n) > 0)
        return false;
    *out = r;
    return true;
}

bool ts_contains(const struct ts *outer, const struct ts *inner)
{
    struct ts common;
    return ts_intersect(outer, inner, &common) && ts_eq(&common, inner);
}

bool ts_match(const struct ts *t, uint8_t family, const uint8_t *addr, uint8_t proto, uint16_t port)
{
    unsigned n = addr_len(family);
    return t->family == family && (!t->proto || t->proto == proto) && port >= t->port_lo &&
           port <= t->port_hi && memcmp(addr, t->lo, n) >= 0 && memcmp(addr, t->hi, n) <= 0;
}

// The prefix length when lo ... hi is one prefix, otherwise -1.
static int prefix_len(const struct ts *t)
{
    unsigned bits = 8 * addr_len(t->family), len = 0;
    while (len < bits && !((t->lo[len / 8] ^ t->hi[len / 8]) & (0x80 >> len % 8)))
        len++;
    for (unsigned i = len; i < bits; i++) {
        if ((t->lo[i / 8] & (0x80 >> i % 8)) || !(t->hi[i / 8] & (0x80 >> i % 8)))
            return -1;
    }
    return (int)len;
}

static const char *protocol_name(uint8_t proto)
{
    switch (proto) {
    case 1: return "icmp";
    case 6: return "tcp";
    case 17: return "udp";
    case 58: return "ipv6-icmp";
    default: return NULL;
    }
}

// Of ICMP the type, and the code where it is not 0 (RFC 4301 section 4.4.1.1).
static void port_print(const struct ts *t, uint16_t port, char *buf, size_t size)
{
    bool icmp = t->proto == 1 || t->proto == 58;
    if (icmp && port & 255)
        snprintf(buf, size, "%u(%u)", port >> 8, port & 255);
    else
        snprintf(buf, size, "%u", icmp ? port >> 8 : port);
}

static void ports_print(const struct ts *t, char *buf, size_t size)
{
    char lo[12], hi[12];
    port_print(t, t->port_lo, lo, sizeof(lo));
    port_print(t, t->port_hi, hi, sizeof(hi));
    if (ts_opaque(t))
        snprintf(buf, size, "/OPAQUE");
    else if (t->port_lo == t->port_hi)
        snprintf(buf, size, "/%s", lo);
    else if (t->port_lo || t->port_hi != 65535)
        snprintf(buf, size, "/%s-%s", lo, hi);
}

const char *ts_print(const struct ts *t, char *buf, unsigned size)
{
    char lo[INET6_ADDRSTRLEN], hi[INET6_ADDRSTRLEN], proto[48] = "";
    int af = t->family == 6 ? AF_INET6 : AF_INET;
    if (t->proto || t->port_lo || t->port_hi != 65535) {
        char port[32] = "";
        const char *name = protocol_name(t->proto);
        ports_print(t, port, sizeof(port));
        if (name)
            snprintf(proto, sizeof(proto), "[%s%s]", name, port);
        else
            snprintf(proto, sizeof(proto), "[%u%s]", t->proto, port);
    }
    if (!t->family) {
        snprintf(buf, size, "dynamic%s", proto);
        return buf;
    }
    inet_ntop(af, t->lo, lo, sizeof(lo));
    inet_ntop(af, t->hi, hi, sizeof(hi));
    int len = prefix_len(t);
    if (len >= 0)
        snprintf(buf, size, "%s/%d%s", lo, len, proto);
    else
        snprintf(buf, size, "%s..%s%s", lo, hi, proto);
    return buf;
}

// Sets the low bits of addr (of n bytes) from bit position len on to one.
static void fill_ones(uint8_t *addr, unsigned n, unsigned len)
{
    for (unsigned i = len; i < 8 * n; i++)
        addr[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

static bool low_bit_set(const uint8_t *addr, unsigned bit)
{
    return addr[bit / 8] & (0x80 >> bit % 8);
}

void ts_prefixes(const struct ts *t, void (*f)(void *ctx, const uint8_t *addr, unsigned len), void *ctx)
{
    unsigned n = addr_len(t->family);
    uint8_t at[16] = {0}, last[16];
    memcpy(at, t->lo, n);
    for (int budget = 0; budget < 256; budget++) { // a range of n bits splits into fewer than 2n prefixes
        unsigned len = 8 * n;
        while (len > 0 && !low_bit_set(at, len - 1)) { // widen while aligned and inside the range
            memcpy(last, at, 16);
            fill_ones(last, n, len - 1);
            if (memcmp(last, t->hi, n) > 0)
                break;
            len--;
        }
        f(ctx, at, len);
        memcpy(last, at, 16);
        fill_ones(last, n, len);
        if (memcmp(last, t->hi, n) >= 0)
            return;
        memcpy(at, last, n);
        for (unsigned i = n; i-- > 0 && ++at[i] == 0;) // at = last + 1
            ;
    }
}

// ---- written form

static void ts_write(struct writer *w, const struct ts *t)
{
    wr_u8(w, t->family);
    wr_u8(w, t->proto);
    wr_u16(w, t->port_lo);
    wr_u16(w, t->port_hi);
    wr_bytes(w, t->lo, 16);
    wr_bytes(w, t->hi, 16);
}

static void copy(struct reader *r, void *dst, size_t n)
{
    struct slice s = rd_bytes(r, n);
    if (s.len == n)
        memcpy(dst, s.p, n);
}

static void ts_read(struct reader *r, struct ts *t)
{
    t->family = rd_u8(r);
    t->proto = rd_u8(r);
    t->port_lo = rd_u16(r);
    t->port_hi = rd_u16(r);
    copy(r, t->lo, 16);
    copy(r, t->hi, 16);
    if ((t->family != 0 && t->family != 4 && t->family != 6) || (t->port_lo > t->port_hi && !ts_opaque(t)))
        r->bad = true;
}

static size_t octets_of(const struct ts_list *l)
{
    return offsetof(struct ts_list, t) + l->count * sizeof(l->t[0]);
}

void ts_list_copy(struct ts_list *to, const struct ts_list *from)
{
    memcpy(to, from, octets_of(from));
}

struct ts_list *ts_list_dup(const struct ts_list *l)
{
    struct ts_list *copy = malloc(octets_of(l));
    if (copy)
        memcpy(copy, l, octets_of(l));
    return copy;
}

void ts_list_write(struct writer *w, const struct ts_list *l)
{
    wr_u8(w, l->count);
    for (int i = 0; i < l->count; i++)
        ts_write(w, &l->t[i]);
}

bool ts_list_read(struct reader *r, struct ts_list *l)
{
    memset(l, 0, sizeof(*l));
    unsigned n = rd_u8(r);
    if (n > TS_MAX)
        r->bad = true;
    for (unsigned i = 0; i < n && !r->bad; i++)
        ts_read(r, &l->t[i]);
    l->count = r->bad ? 0 : (uint8_t)n;
    return !r->bad;
}

static void proposals_write(struct writer *w, const struct proposal *p, unsigned count)
{
    wr_u8(w, (uint8_t)count);
    for (unsigned i = 0; i < count; i++) {
        wr_u8(w, p[i].protocol);
        wr_u8(w, p[i].count);
        for (int j = 0; j < p[i].count; j++) {
            wr_u8(w, p[i].t[j].type);
            wr_u16(w, p[i].t[j].id);
            wr_u16(w, p[i].t[j].key_bits);
        }
    }
}

static uint8_t bounded(struct reader *r, unsigned max)
{
    unsigned v = rd_u8(r);
    if (v > max)
        r->bad = true;
    return r->bad ? 0 : (uint8_t)v;
}

size_t proposals_octets(const struct proposal *p, unsigned count)
{
    return count ? (count - 1) * sizeof(*p) + offsetof(struct proposal, t) +
                       p[count - 1].count * sizeof(p->t[0])
                 : 0;
}

void proposal_copy(struct proposal *to, const struct proposal *from)
{
    memset(to, 0, sizeof(*to));
    memcpy(to, from, proposals_octets(from, 1));
}

static uint8_t proposals_read(struct reader *r, struct proposal **out)
{
    struct proposal p[PROPOSALS_MAX] = {0};
    uint8_t count = bounded(r, PROPOSALS_MAX);
    for (int i = 0; i < count; i++) {
        p[i].protocol = rd_u8(r);
        p[i].count = bounded(r, PROPOSAL_MAX_TRANSFORMS);
        for (int j = 0; j < p[i].count; j++) {
            p[i].t[j].type = rd_u8(r);
            p[i].t[j].id = rd_u16(r);
            p[i].t[j].key_bits = rd_u16(r);
        }
    }
    *out = count ? malloc(proposals_octets(p, count)) : NULL;
    if (count && !*out) {
        rd_no_memory(r);
        return 0;
    }
    if (count)
        memcpy(*out, p, proposals_octets(p, count));
    return count;
}

// Fields in the order of the structs; one list serves both directions.
// clang-format off
#define CHILD_SCALARS(F)                                                                                    \
    F(u8, action) F(u8, mode) F(u8, start_action) F(u8, close_action) F(u8, dpd_action) F(u8, hw_offload)                             \
    F(u8, copy_df) F(u8, copy_ecn) F(u8, copy_dscp_out) F(u8, copy_dscp_in) F(u16, tfc_padding) F(u32, replay_window)           \
    F(u32, rekey_time) F(u32, life_time) F(u32, rand_time) F(u32, inactivity)                               \
    F(u64, rekey_bytes) F(u64, life_bytes) F(u64, rand_bytes)                                               \
    F(u64, rekey_packets) F(u64, life_packets) F(u64, rand_packets) F(u32, reqid) F(u32, priority)
#define CONN_SCALARS(F)                                                                                     \
    F(u16, local_port) F(u16, remote_port) F(u8, encap)                \
    F(u8, mobike) F(u8, ppk_required) F(u8, send_certreq) F(u8, send_cert) F(u8, fragmentation) F(u8, unique) F(u8, childless) F(u32, dpd_delay) F(u32, keyingtries)                      \
    F(u32, rekey_time) F(u32, reauth_time) F(u32, over_time) F(u32, rand_time)
// clang-format on

static void addrs_write(struct writer *w, const struct addr *a, unsigned count)
{
    wr_u8(w, (uint8_t)count);
    for (unsigned i = 0; i < count; i++) {
        wr_u8(w, a[i].family);
        wr_bytes(w, a[i].a, 16);
    }
}

static uint8_t addrs_read(struct reader *r, struct addr *a, unsigned max)
{
    uint8_t count = bounded(r, max);
    for (int i = 0; i < count; i++) {
        a[i].family = rd_u8(r);
        copy(r, a[i].a, 16);
        if (a[i].family != 0 && a[i].family != 4 && a[i].family != 6) // 0: any
            r->bad = true;
    }
    return count;
}

static void round_write(struct writer *w, const struct auth_side *s)
{
    wr_u8(w, s != NULL);
    if (s)
        auth_side_write(w, s);
}

static void round_read(struct reader *r, struct conn_config *c, bool local)
{
    if (!bounded(r, 1))
        return;
    struct auth_side *s = conn_add_round(c, local);
    if (s)
        auth_side_read(r, s);
    else
        rd_no_memory(r);
    if (s && !s->auth)
        r->bad = true;
}

void conn_peer_write(struct writer *w, const struct conn_config *c)
{
    addrs_write(w, c->remote_addrs, c->remote_count);
    wr_cstr(w, c->local.id);
    auth_side_write(w, &c->remote);
    round_write(w, c->remote_more);
    wr_cstr(w, c->ppk_id);
}

void conn_write(struct writer *w, const struct conn_config *c)
{
    wr_cstr(w, c->name);
    addrs_write(w, c->local_addrs, c->local_count);
    addrs_write(w, c->remote_addrs, c->remote_count);
    proposals_write(w, c->proposals, c->proposal_count);
    auth_side_write(w, &c->local);
    auth_side_write(w, &c->remote);
    round_write(w, c->local_more);
    round_write(w, c->remote_more);
#define F(kind, name) wr_##kind(w, c->name);
    CONN_SCALARS(F)
#undef F
    addrs_write(w, c->vips, c->vip_count);
    wr_u8(w, c->pool_count);
    for (int i = 0; i < c->pool_count; i++)
        wr_cstr(w, c->pools[i]);
    wr_cstr(w, c->ppk_id);
    wr_u8(w, c->child_count);
    for (int i = 0; i < c->child_count; i++) {
        const struct child_config *k = &c->children[i];
        wr_cstr(w, k->name);
        proposals_write(w, k->proposals, k->proposal_count);
        ts_list_write(w, k->local_ts);
        ts_list_write(w, k->remote_ts);
#define F(kind, name) wr_##kind(w, k->name);
        CHILD_SCALARS(F)
#undef F
    }
}

static void round_clear(struct auth_side *s)
{
    if (s)
        auth_side_clear(s);
    free(s);
}

struct proposal *conn_room(struct proposal **proposals)
{
    if (!*proposals)
        *proposals = calloc(PROPOSALS_MAX, sizeof(**proposals));
    return *proposals;
}

struct addr *conn_add_addr(struct conn_config *c, bool local, const struct addr *a)
{
    struct addr **list = local ? &c->local_addrs : &c->remote_addrs;
    uint8_t *count = local ? &c->local_count : &c->remote_count;
    struct addr *more = *count < ADDRS_MAX ? realloc(*list, (*count + 1u) * sizeof(*more)) : NULL;
    if (!more)
        return NULL;
    *list = more;
    more[*count] = *a;
    return &more[(*count)++];
}

char *conn_add_pool(struct conn_config *c, const char *name)
{
    char(*more)[NAME_MAX_LEN] =
        c->pool_count < POOLS_MAX ? realloc(c->pools, (c->pool_count + 1u) * sizeof(*more)) : NULL;
    if (!more)
        return NULL;
    c->pools = more;
    snprintf(more[c->pool_count], sizeof(*more), "%s", name);
    return more[c->pool_count++];
}

struct ts_list *ts_room(struct ts_list **l)
{
    if (!*l)
        *l = calloc(1, sizeof(**l));
    return *l;
}

void conn_clear(struct conn_config *c)
{
    for (unsigned i = 0; i < c->child_count; i++) {
        free(c->children[i].proposals);
        free(c->children[i].local_ts);
        free(c->children[i].remote_ts);
    }
    free(c->children);
    free(c->proposals);
    free(c->local_addrs);
    free(c->remote_addrs);
    free(c->pools);
    auth_side_clear(&c->local);
    auth_side_clear(&c->remote);
    round_clear(c->local_more);
    round_clear(c->remote_more);
    memset(c, 0, sizeof(*c));
}

struct auth_side *conn_add_round(struct conn_config *c, bool local)
{
    struct auth_side **s = local ? &c->local_more : &c->remote_more;
    if (!*s)
        *s = calloc(1, sizeof(**s));
    return *s;
}

struct child_config *conn_add_child(struct conn_config *c)
{
    struct child_config *more =
        c->child_count < CHILDREN_MAX ? realloc(c->children, (c->child_count + 1u) * sizeof(*more)) : NULL;
    if (!more)
        return NULL;
    c->children = more;
    memset(&more[c->child_count], 0, sizeof(*more));
    return &more[c->child_count++];
}

static struct ts_list *selectors_read(struct reader *r)
{
    struct ts_list l;
    struct ts_list *copy = ts_list_read(r, &l) ? ts_list_dup(&l) : NULL;
    if (!copy && !r->bad)
        rd_no_memory(r);
    return copy;
}

static void child_read(struct reader *r, struct child_config *k)
{
    rd_cstr(r, k->name, sizeof(k->name));
    k->proposal_count = proposals_read(r, &k->proposals);
    k->local_ts = selectors_read(r);
    k->remote_ts = selectors_read(r);
#define F(kind, name) k->name = rd_##kind(r);
    CHILD_SCALARS(F)
#undef F
    if (k->action < POLICY_PROTECT || k->action > POLICY_DISCARD || k->mode < MODE_TUNNEL ||
        k->mode > MODE_TRANSPORT || k->start_action > ACTION_TRAP_START ||
        k->close_action > ACTION_TRAP_START || k->dpd_action > DPD_START)
        r->bad = true;
}

static void pools_read(struct reader *r, struct conn_config *c)
{
    unsigned pools = bounded(r, POOLS_MAX);
    for (unsigned i = 0; i < pools && !r->bad; i++) {
        char name[NAME_MAX_LEN];
        rd_cstr(r, name, sizeof(name));
        if (!r->bad && !conn_add_pool(c, name))
            rd_no_memory(r);
    }
}

static void ends_read(struct reader *r, struct conn_config *c, bool local)
{
    struct addr a[ADDRS_MAX];
    uint8_t count = addrs_read(r, a, ADDRS_MAX);
    for (unsigned i = 0; i < count && !r->bad; i++)
        if (!conn_add_addr(c, local, &a[i]))
            rd_no_memory(r);
}

bool conn_read(struct reader *r, struct conn_config *c)
{
    memset(c, 0, sizeof(*c));
    rd_cstr(r, c->name, sizeof(c->name));
    ends_read(r, c, true);
    ends_read(r, c, false);
    c->proposal_count = proposals_read(r, &c->proposals);
    auth_side_read(r, &c->local);
    auth_side_read(r, &c->remote);
    round_read(r, c, true);
    round_read(r, c, false);
#define F(kind, name) c->name = rd_##kind(r);
    CONN_SCALARS(F)
#undef F
    c->vip_count = addrs_read(r, c->vips, VIPS_MAX);
    pools_read(r, c);
    rd_cstr(r, c->ppk_id, sizeof(c->ppk_id));
    unsigned children = bounded(r, CHILDREN_MAX);
    for (unsigned i = 0; i < children && !r->bad; i++) {
        struct child_config *k = conn_add_child(c);
        if (k)
            child_read(r, k);
        else
            rd_no_memory(r);
    }
    if (c->send_cert > SEND_CERT_ALWAYS || c->unique > UNIQUE_REPLACE || c->childless > CHILDLESS_FORCE ||
        c->fragmentation > FRAGMENTATION_YES)
        r->bad = true;
    if (r->bad)
        conn_clear(c);
    return !r->bad;
}
