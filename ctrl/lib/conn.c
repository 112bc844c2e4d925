// SPDX-License-Identifier: Apache-2.0
// Addresses, traffic selectors (RFC 7296 section 3.13, narrowing as in section 2.9) and the written form of a
// connection.
#include "ctrl/lib/conn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/conn_fields.h"

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

// In as many octets as it has; of family 0 none.
static void octets_write(struct writer *w, uint8_t family, const uint8_t *a)
{
    wr_bytes(w, a, family ? addr_len(family) : 0);
}

static void octets_read(struct reader *r, uint8_t family, uint8_t *a)
{
    struct slice s = {0};
    if (family != 0 && family != 4 && family != 6)
        r->bad = true;
    else if (family)
        s = rd_bytes(r, addr_len(family));
    if (s.len && !r->bad)
        memcpy(a, s.p, s.len);
}

static void ts_write(struct writer *w, const struct ts *t)
{
    wr_u8(w, t->family);
    wr_u8(w, t->proto);
    wr_u16(w, t->port_lo);
    wr_u16(w, t->port_hi);
    octets_write(w, t->family, t->lo);
    octets_write(w, t->family, t->hi);
}

static void ts_read(struct reader *r, struct ts *t)
{
    t->family = rd_u8(r);
    t->proto = rd_u8(r);
    t->port_lo = rd_u16(r);
    t->port_hi = rd_u16(r);
    octets_read(r, t->family, t->lo);
    octets_read(r, t->family, t->hi);
    if (t->port_lo > t->port_hi && !ts_opaque(t))
        r->bad = true;
}

size_t ts_list_octets(const struct ts_list *l)
{
    return offsetof(struct ts_list, t) + l->count * sizeof(l->t[0]);
}

void ts_list_copy(struct ts_list *to, const struct ts_list *from)
{
    memcpy(to, from, ts_list_octets(from));
}

struct ts_list *ts_list_dup(const struct ts_list *l)
{
    struct ts_list *copy = malloc(ts_list_octets(l));
    if (copy)
        memcpy(copy, l, ts_list_octets(l));
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
            wr_num(w, p[i].t[j].id);
            wr_num(w, p[i].t[j].key_bits);
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
            p[i].t[j].id = (uint16_t)rd_num(r, UINT16_MAX);
            p[i].t[j].key_bits = (uint16_t)rd_num(r, UINT16_MAX);
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

// Texts stand before everything else, each with its zero, in the order in which what holds them is read: so
// that all of them are one piece of memory.
static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static size_t text_write(struct writer *w, const char *text)
{
    size_t n = strlen(or_empty(text)) + 1;
    if (w)
        wr_bytes(w, or_empty(text), n);
    return n;
}

// Their octets; w: where they go, or NULL.
static size_t own_texts_write(struct writer *w, const struct conn_config *c)
{
    size_t n = text_write(w, c->name) + text_write(w, c->local.id) + text_write(w, c->remote.id);
    for (const struct auth_round *r = c->local_more; r; r = r->next)
        n += text_write(w, r->side.id);
    for (const struct auth_round *r = c->remote_more; r; r = r->next)
        n += text_write(w, r->side.id);
    return n + text_write(w, c->ppk_id);
}

static size_t texts_write(struct writer *w, const struct conn_config *c)
{
    size_t n = own_texts_write(w, c);
    for (unsigned i = 0; i < c->child_count; i++)
        n += text_write(w, c->children[i].name);
    return n;
}

size_t conn_names_at(const struct conn_config *c)
{
    return CONN_NAME_AT + own_texts_write(NULL, c);
}

struct texts { // that are being given out
    const char *at;
    size_t left;
};

static struct texts texts_read(struct reader *r, struct conn_config *c)
{
    struct slice s = rd_slice32(r);
    struct conn_text *t = r->bad ? NULL : malloc(sizeof(*t) + s.len + 1);
    if (!t) {
        if (!r->bad)
            rd_no_memory(r);
        return (struct texts){0};
    }
    *t = (struct conn_text){.next = NULL};
    if (s.len)
        memcpy(t->text, s.p, s.len);
    t->text[s.len] = 0;
    c->texts = t;
    return (struct texts){t->text, s.len};
}

static const char *text_next(struct reader *r, struct texts *t, size_t size)
{
    const char *text = t->at;
    size_t n = t->left ? strlen(text) + 1 : 0;
    if (!n || n > t->left || n > size) {
        r->bad = true;
        return "";
    }
    t->at += n;
    t->left -= n;
    return text;
}

bool conn_set_text(struct conn_config *c, const char **at, const char *text)
{
    size_t n = strlen(text) + 1;
    struct conn_text *t = malloc(sizeof(*t) + n);
    if (!t)
        return false;
    t->next = c->texts;
    c->texts = t;
    *at = memcpy(t->text, text, n);
    return true;
}

static void addrs_write(struct writer *w, const struct addr *a, unsigned count)
{
    wr_u8(w, (uint8_t)count);
    for (unsigned i = 0; i < count; i++) {
        wr_u8(w, a[i].family);
        octets_write(w, a[i].family, a[i].a);
    }
}

typedef struct addr *(*add_addr)(struct conn_config *c, const struct addr *a);

static void addrs_read(struct reader *r, struct conn_config *c, unsigned max, add_addr add)
{
    unsigned count = bounded(r, max);
    for (unsigned i = 0; i < count && !r->bad; i++) {
        struct addr a = {.family = rd_u8(r)}; // 0: any
        octets_read(r, a.family, a.a);
        if (!r->bad && !add(c, &a))
            rd_no_memory(r);
    }
}

// ---- routes into tunnels

static void probe_write(struct writer *w, const struct addr *a)
{
    wr_u8(w, a->family);
    if (a->family)
        octets_write(w, a->family, a->a);
}

static void probe_read(struct reader *r, struct addr *a)
{
    a->family = rd_u8(r);
    if (a->family)
        octets_read(r, a->family, a->a);
}

void tunnel_route_write(struct writer *w, const struct tunnel_route *t)
{
    wr_u8(w, t ? t->metric : 0);
    if (!t || !t->metric)
        return;
    wr_u32(w, t->probe_delay);
    probe_write(w, &t->probe);
    probe_write(w, &t->probe_from);
}

bool tunnel_route_read(struct reader *r, struct tunnel_route *t)
{
    t->metric = rd_u8(r);
    if (!t->metric)
        return false;
    t->probe_delay = rd_u32(r);
    probe_read(r, &t->probe);
    probe_read(r, &t->probe_from);
    if (t->metric > ROUTE_METRICS || (t->probe.family && !t->probe_delay) ||
        (t->probe_from.family && t->probe_from.family != t->probe.family))
        r->bad = true;
    return !r->bad;
}

bool tunnel_routes_eq(const struct tunnel_route *a, const struct tunnel_route *b)
{
    unsigned x = a ? a->metric : 0, y = b ? b->metric : 0;
    return x == y && (!x || (a->probe_delay == b->probe_delay && addr_eq(&a->probe, &b->probe) &&
                             addr_eq(&a->probe_from, &b->probe_from)));
}

struct tunnel_route *conn_child_route(struct child_config *c)
{
    if (!c->route && (c->route = calloc(1, sizeof(*c->route))))
        c->route->probe_delay = PROBE_DELAY;
    return c->route;
}

static void rounds_write(struct writer *w, const struct auth_round *first)
{
    uint8_t count = 0;
    for (const struct auth_round *r = first; r; r = r->next)
        count++;
    wr_u8(w, count);
    for (const struct auth_round *r = first; r; r = r->next)
        auth_side_write(w, &r->side);
}

static void side_read(struct reader *r, struct texts *t, struct auth_side *s)
{
    auth_side_read(r, s);
    s->id = text_next(r, t, ID_MAX_LEN);
}

static void rounds_read(struct reader *r, struct texts *t, struct conn_config *c, bool local)
{
    unsigned count = bounded(r, ROUNDS_MAX - 1);
    for (unsigned i = 0; i < count && !r->bad; i++) {
        struct auth_side *s = conn_add_round(c, local);
        if (s)
            side_read(r, t, s);
        else
            rd_no_memory(r);
        if (s && !s->auth)
            r->bad = true;
    }
}

void conn_peer_write(struct writer *w, const struct conn_config *c)
{
    addrs_write(w, c->remote_addrs, c->remote_count);
    auth_side_write(w, &c->remote);
    rounds_write(w, c->remote_more);
    text_write(w, c->local.id);
    text_write(w, c->remote.id);
    for (const struct auth_round *r = c->remote_more; r; r = r->next)
        text_write(w, r->side.id);
    text_write(w, c->ppk_id);
}

void conn_write(struct writer *w, const struct conn_config *c)
{
    wr_u32(w, (uint32_t)texts_write(NULL, c));
    texts_write(w, c);
    addrs_write(w, c->local_addrs, c->local_count);
    addrs_write(w, c->remote_addrs, c->remote_count);
    proposals_write(w, c->proposals, c->proposal_count);
    auth_side_write(w, &c->local);
    auth_side_write(w, &c->remote);
    rounds_write(w, c->local_more);
    rounds_write(w, c->remote_more);
#define F(bits, name) wr_num(w, c->name);
    CONN_SCALARS(F)
#undef F
    addrs_write(w, c->vips, c->vip_count);
    wr_u8(w, c->pool_count);
    for (int i = 0; i < c->pool_count; i++)
        wr_cstr(w, c->pools[i]);
    wr_u8(w, c->child_count);
    for (int i = 0; i < c->child_count; i++) {
        const struct child_config *k = &c->children[i];
        proposals_write(w, k->proposals, k->proposal_count);
        ts_list_write(w, k->local_ts);
        ts_list_write(w, k->remote_ts);
#define F(bits, name) wr_num(w, k->name);
        CHILD_SCALARS(F)
#undef F
        wr_u8(w, k->trap_by_hand);
        tunnel_route_write(w, k->route);
    }
}

static bool proposals_eq(const struct child_config *a, const struct child_config *b)
{
    size_t octets = proposals_octets(a->proposals, a->proposal_count);
    return a->proposal_count == b->proposal_count &&
           octets == proposals_octets(b->proposals, b->proposal_count) &&
           (!octets || memcmp(a->proposals, b->proposals, octets) == 0);
}

bool conn_child_eq(const struct child_config *a, const struct child_config *b)
{
    bool eq = strcmp(a->name, b->name) == 0 && proposals_eq(a, b) && ts_lists_eq(a->local_ts, b->local_ts) &&
              ts_lists_eq(a->remote_ts, b->remote_ts) && tunnel_routes_eq(a->route, b->route);
#define F(bits, name) eq = eq && a->name == b->name;
    CHILD_SCALARS(F)
#undef F
    return eq;
}

static void rounds_clear(struct auth_round *r)
{
    for (struct auth_round *next; r; r = next) {
        next = r->next;
        auth_side_clear(&r->side);
        free(r);
    }
}

struct proposal *conn_room(struct proposal **proposals)
{
    if (!*proposals)
        *proposals = calloc(PROPOSALS_MAX, sizeof(**proposals));
    return *proposals;
}

static struct addr *add_behind(struct addr **list, uint8_t *count, unsigned max, const struct addr *a)
{
    struct addr *more = *count < max ? realloc(*list, (*count + 1u) * sizeof(*more)) : NULL;
    if (!more)
        return NULL;
    *list = more;
    more[*count] = *a;
    return &more[(*count)++];
}

static struct addr *add_local(struct conn_config *c, const struct addr *a)
{
    return add_behind(&c->local_addrs, &c->local_count, ADDRS_MAX, a);
}

static struct addr *add_remote(struct conn_config *c, const struct addr *a)
{
    return add_behind(&c->remote_addrs, &c->remote_count, ADDRS_MAX, a);
}

struct addr *conn_add_addr(struct conn_config *c, bool local, const struct addr *a)
{
    return local ? add_local(c, a) : add_remote(c, a);
}

struct addr *conn_add_vip(struct conn_config *c, const struct addr *a)
{
    return add_behind(&c->vips, &c->vip_count, VIPS_MAX, a);
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
        free(c->children[i].route);
    }
    free(c->children);
    free(c->proposals);
    free(c->local_addrs);
    free(c->remote_addrs);
    free(c->pools);
    auth_side_clear(&c->local);
    auth_side_clear(&c->remote);
    rounds_clear(c->local_more);
    rounds_clear(c->remote_more);
    free(c->vips);
    for (struct conn_text *t; (t = c->texts) != NULL; free(t))
        c->texts = t->next;
    memset(c, 0, sizeof(*c));
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

static void child_read(struct reader *r, struct texts *t, struct child_config *k)
{
    k->name = text_next(r, t, NAME_MAX_LEN);
    k->proposal_count = proposals_read(r, &k->proposals);
    k->local_ts = selectors_read(r);
    k->remote_ts = selectors_read(r);
#define F(bits, name) k->name = (uint##bits##_t)rd_num(r, UINT##bits##_MAX);
    CHILD_SCALARS(F)
#undef F
    k->trap_by_hand = rd_u8(r);
    struct tunnel_route route = {0};
    if (tunnel_route_read(r, &route)) {
        if (conn_child_route(k))
            *k->route = route;
        else
            rd_no_memory(r);
    }
    if (k->action < POLICY_PROTECT || k->action > POLICY_DISCARD || k->mode < MODE_TUNNEL ||
        k->mode > MODE_TRANSPORT || k->start_action > ACTION_TRAP_START ||
        k->close_action > ACTION_TRAP_START || k->dpd_action > DPD_START ||
        k->trap_by_hand > TRAP_UNINSTALLED)
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

bool conn_read(struct reader *r, struct conn_config *c)
{
    memset(c, 0, sizeof(*c));
    struct texts t = texts_read(r, c);
    c->name = text_next(r, &t, NAME_MAX_LEN);
    addrs_read(r, c, ADDRS_MAX, add_local);
    addrs_read(r, c, ADDRS_MAX, add_remote);
    c->proposal_count = proposals_read(r, &c->proposals);
    side_read(r, &t, &c->local);
    side_read(r, &t, &c->remote);
    rounds_read(r, &t, c, true);
    rounds_read(r, &t, c, false);
#define F(bits, name) c->name = (uint##bits##_t)rd_num(r, UINT##bits##_MAX);
    CONN_SCALARS(F)
#undef F
    addrs_read(r, c, VIPS_MAX, conn_add_vip);
    pools_read(r, c);
    c->ppk_id = text_next(r, &t, ID_MAX_LEN);
    unsigned children = bounded(r, CHILDREN_MAX);
    for (unsigned i = 0; i < children && !r->bad; i++) {
        struct child_config *k = conn_add_child(c);
        if (k)
            child_read(r, &t, k);
        else
            rd_no_memory(r);
    }
    if (c->send_cert > SEND_CERT_ALWAYS || c->unique > UNIQUE_REPLACE || c->childless > CHILDLESS_FORCE ||
        c->fragmentation > FRAGMENTATION_YES || t.left)
        r->bad = true;
    if (r->bad)
        conn_clear(c);
    return !r->bad;
}
