// SPDX-License-Identifier: Apache-2.0
// See policy_naive.h.
#include "tests/system/policy_naive.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what may be in a file

// Of the last one west has no address.
static const char *const locals[] = {"10.1.0.0/16", "10.1.0.0/24", "10.1.0.1/32", "10.1.7.0/24"};
static const char *const locals6[] = {"fd01::/64", "fd01::1/128", "fd01::/64", "fd01::7:0/112"};
enum { LOCALS = 4, BEHIND = 3, REMOTES = 6, LEFT_OUT = 9 };
static const char *const remotes[] = {"10.2.0.0/16", "10.2.0.0/24", "10.2.1.0/24",
                                      "10.2.0.1/32", "fd02::/64",   "fd02::1/128"};
// of pass and drop: only these
static const char *const open_remotes[] = {"10.2.3.0/24", "10.2.3.1/32", "fd02::3:0/112"};
static const char *const shut_remotes[] = {"10.2.4.0/24", "10.2.4.1/32", "fd02::4:0/112"};
static const struct {
    const char *near, *far;
    int proto;
    uint16_t lo, hi; // of the remote side
} kinds[] = {{"", "", 0, 0, 65535},
             {"", "", 0, 0, 65535},
             {"[udp]", "[udp]", 17, 0, 65535},
             {"[udp]", "[udp/9000-9100]", 17, 9000, 9100},
             {"[udp]", "[udp/53]", 17, 53, 53},
             {"[tcp]", "[tcp/443]", 6, 443, 443},
             {"[icmp]", "[icmp]", NAIVE_ICMP, 0, 65535}};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

bool protects(const struct child *c)
{
    return c->mode == TUNNEL || c->mode == TRANSPORT;
}

bool local_left_out(const struct child *c)
{
    return c->local == LEFT_OUT;
}

bool remote_left_out(const struct child *c)
{
    return c->remote == LEFT_OUT;
}

const char *remote_text(const struct child *c)
{
    return remote_left_out(c) ? EAST_OUTER "/32"
           : c->mode == PASS  ? open_remotes[c->remote % 3]
           : c->mode == DROP  ? shut_remotes[c->remote % 3]
                              : remotes[c->remote];
}

bool six(const struct child *c)
{
    return strchr(remote_text(c), ':');
}

const char *local_text(const struct child *c)
{
    return local_left_out(c) ? WEST_OUTER "/32" : six(c) ? locals6[c->local] : locals[c->local];
}

bool local_is_wests(const struct child *c)
{
    return c->local != BEHIND;
}

const char *local_kind(const struct child *c)
{
    return six(c) && kinds[c->kind].proto == NAIVE_ICMP ? "[ipv6-icmp]" : kinds[c->kind].near;
}

const char *remote_kind(const struct child *c)
{
    return six(c) && kinds[c->kind].proto == NAIVE_ICMP ? "[ipv6-icmp]" : kinds[c->kind].far;
}

struct child_kind child_kind(const struct child *c)
{
    int proto = kinds[c->kind].proto;
    return (struct child_kind){.proto = proto == 17  ? "udp"
                                        : proto == 6 ? "tcp"
                                        : !proto     ? ""
                                        : six(c)     ? "ipv6-icmp"
                                                     : "icmp",
                               .ports = kinds[c->kind].lo || kinds[c->kind].hi != 65535,
                               .lo = kinds[c->kind].lo,
                               .hi = kinds[c->kind].hi};
}

bool same_child(const struct child *a, const struct child *b)
{
    return a->there == b->there && a->mode == b->mode && a->local == b->local && a->remote == b->remote &&
           a->kind == b->kind && a->trap == b->trap;
}

// ---- the naive reading

static bool in_prefix(const char *prefix, const char *addr)
{
    char net[64];
    uint8_t a[16], b[16];
    const char *slash = strchr(prefix, '/');
    int family = strchr(addr, ':') ? AF_INET6 : AF_INET;
    snprintf(net, sizeof(net), "%.*s", (int)(slash - prefix), prefix);
    if (inet_pton(family, net, a) != 1 || inet_pton(family, addr, b) != 1)
        return false;
    for (int i = 0; i < atoi(slash + 1); i++)
        if ((a[i / 8] ^ b[i / 8]) & (0x80 >> i % 8))
            return false;
    return true;
}

static bool names_addresses(const struct child *c, const struct probe_kind *p)
{
    return c->there && in_prefix(local_text(c), p->near) && in_prefix(remote_text(c), p->far);
}

static bool names(const struct child *c, const struct probe_kind *p)
{
    if (!names_addresses(c, p) || (kinds[c->kind].proto && kinds[c->kind].proto != p->proto))
        return false;
    return p->proto == NAIVE_ICMP || (p->port >= kinds[c->kind].lo && p->port <= kinds[c->kind].hi);
}

// What shows no ports may be of any; of what is in pieces in IPv6 the kernel does not see the protocol.
static bool may_name(const struct child *c, const struct probe_kind *p)
{
    return names_addresses(c, p) && p->cut != WHOLE &&
           (strchr(p->near, ':') || !kinds[c->kind].proto || kinds[c->kind].proto == p->proto);
}

// A later piece alone has no ports in either family, and may be of all that its protocol may be.
static bool hides(const struct child *c, const struct probe_kind *p)
{
    return p->cut == LATER && names_addresses(c, p) &&
           (!kinds[c->kind].proto || kinds[c->kind].proto == p->proto);
}

struct reading {
    bool open, closed, maybe, near_by;
};

static void read_one(struct reading *r, const struct child *c, const struct probe_kind *p, bool sure)
{
    bool named = names(c, p) || hides(c, p);
    if (c->mode == PASS)
        r->open |= named || may_name(c, p);
    else if (sure)
        r->closed |= named;
    else
        r->maybe |= named;
    r->near_by |= may_name(c, p);
}

enum expected naive_expect(const struct naive *n, const struct probe_kind *p)
{
    struct reading r = {0};
    for (int i = 0; i < CONNS * CONN_CHILDREN; i++)
        read_one(&r, &n->loaded.child[i / CONN_CHILDREN][i % CONN_CHILDREN], p, true);
    for (unsigned i = 0; i < n->held_count; i++)
        read_one(&r, &n->held[i].was, p, !n->held[i].maybe);
    if (p->cut != WHOLE && r.open)
        return EITHER;
    // what is let pass lies beside what is dropped, and goes before what protects it
    return r.open ? MUST_PASS : r.closed ? NEVER_CLEAR : r.maybe || r.near_by ? EITHER : MUST_PASS;
}

bool naive_tunnelled(const struct naive *n, const struct probe_kind *p)
{
    bool named = false;
    for (int i = 0; i < CONNS * CONN_CHILDREN; i++) {
        const struct child *c = &n->loaded.child[i / CONN_CHILDREN][i % CONN_CHILDREN];
        if (names_addresses(c, p) && !protects(c))
            return false;
        named |= names(c, p);
    }
    return named && p->cut == WHOLE;
}

bool naive_delivered(const struct naive *n, const struct probe_kind *p)
{
    bool up = false;
    for (unsigned i = 0; i < n->held_count; i++)
        if (n->held[i].maybe && names_addresses(&n->held[i].was, p))
            return false;
    for (int i = 0; i < CONNS * CONN_CHILDREN; i++) {
        const struct child *c = &n->loaded.child[i / CONN_CHILDREN][i % CONN_CHILDREN];
        bool held = false;
        if (!names_addresses(c, p))
            continue;
        if (!protects(c) || (c->mode == TRANSPORT && p->cut != WHOLE)) // RFC 4303 3.3.4: no pieces
            return false;
        if (!names(c, p))
            continue;
        for (unsigned j = 0; j < n->held_count; j++)
            held |= n->held[j].conn == i / CONN_CHILDREN && n->held[j].child == i % CONN_CHILDREN &&
                    same_child(&n->held[j].was, c);
        if (!held)
            return false;
        up = true;
    }
    return up && p->cut != LATER;
}

// ---- packets

bool naive_of_the_ends(const struct probe_kind *p)
{
    return !strcmp(p->near, WEST_OUTER) || !strcmp(p->far, EAST_OUTER);
}

struct probe_kind naive_probe(struct rng *r, bool ends)
{
    static const char *const near[] = {"10.1.0.1", "10.1.1.1", "10.1.0.9"};
    static const char *const far[] = {"10.2.0.1", "10.2.1.1", "10.2.9.1", "10.2.3.1", "10.2.4.1", "10.2.4.7"};
    static const char *const near6[] = {"fd01::1", "fd01::1", "fd01::9"};
    static const char *const far6[] = {"fd02::1", "fd02::1", "fd02::9", "fd02::3:1", "fd02::4:1", "fd03::1"};
    static const uint16_t ports[] = {53, 8999, 9000, 9050, 9100, 9101, 443, 80};
    static const int protos[] = {17, 17, 17, 6, NAIVE_ICMP};
    bool v6 = rng_chance(r, 400);
    struct probe_kind p = {.near = (v6 ? near6 : near)[rng_below(r, 3)],
                           .far = (v6 ? far6 : far)[rng_below(r, 6)],
                           .behind = rng_chance(r, 400),
                           .proto = protos[rng_below(r, 5)],
                           .port = ports[rng_below(r, 8)]};
    if (ends && !v6 && rng_chance(r, 300))
        p.near = WEST_OUTER;
    if (ends && !v6 && rng_chance(r, 300))
        p.far = EAST_OUTER;
    p.behind &= strcmp(p.near, WEST_OUTER) != 0;
    if (p.proto != 6 && rng_chance(r, 400))
        p.cut = rng_chance(r, 500) ? LATER : SPLIT;
    p.behind |= p.cut == LATER; // nobody sends one alone from here
    if (p.behind)
        p.near = v6 ? "fd01::7:7" : "10.1.7.7";
    return p;
}

// From a program of east to the host behind west, where its life ends.
struct probe_kind naive_error_probe(struct rng *r)
{
    static const uint16_t ports[] = {53, 9000, 9050, 8999};
    bool v6 = rng_chance(r, 400);
    return (struct probe_kind){.near = v6 ? "fd01::7:7" : "10.1.7.7",
                               .far = v6 ? "fd02::1" : "10.2.0.1",
                               .behind = true,
                               .proto = 17,
                               .port = ports[rng_below(r, 4)]};
}

// ---- what is done

static void print_child(char *to, size_t size, const struct child *c)
{
    static const char *const modes[] = {"tunnel", "pass", "drop", "transport"};
    if (c->there)
        snprintf(to, size, "%s %s%s > %s%s%s%s", modes[c->mode], local_text(c),
                 local_left_out(c) ? " (left out)" : "", remote_text(c),
                 remote_left_out(c) ? " (left out)" : "", remote_kind(c), c->trap ? " trap" : "");
    else
        snprintf(to, size, "gone");
}

// Where both sides are left out it is the two gateways that speak: in transport mode.
static void leave_out(struct rng *r, struct child *c)
{
    bool local = rng_chance(r, 600), remote = rng_chance(r, 500) && c->mode == TUNNEL;
    if (local && (remote || !six(c)))
        c->local = LEFT_OUT;
    if (remote)
        c->remote = LEFT_OUT;
    if (local_left_out(c) && remote)
        c->mode = TRANSPORT;
}

static void leave_own_address_out(struct rng *r, struct file *next, void (*say)(void *ctx, const char *text),
                                  void *ctx)
{
    int i = (int)rng_below(r, CONNS);
    char line[100];
    next->own_left_out[i] = !next->own_left_out[i];
    snprintf(line, sizeof(line), "load: c%d %s its own address", i,
             next->own_left_out[i] ? "leaves out" : "names");
    say(ctx, line);
}

void naive_edit(struct rng *r, struct file *next, bool ends, void (*say)(void *ctx, const char *text),
                void *ctx)
{
    if (ends && rng_chance(r, 250))
        leave_own_address_out(r, next, say, ctx);
    for (uint64_t n = rng_between(r, 1, 3); n; n--) {
        int i = (int)rng_below(r, CONNS), k = (int)rng_below(r, CONN_CHILDREN);
        struct child *c = &next->child[i][k];
        char what[80], line[100];
        *c = (struct child){.there = rng_chance(r, 750),
                            .mode = rng_chance(r, 200)   ? PASS
                                    : rng_chance(r, 200) ? DROP
                                                         : TUNNEL,
                            .local = (int)rng_below(r, LOCALS),
                            .remote = (int)rng_below(r, REMOTES),
                            .kind = (int)rng_below(r, KINDS),
                            .trap = rng_chance(r, 250)};
        if (ends && rng_chance(r, 400))
            leave_out(r, c);
        print_child(what, sizeof(what), c);
        snprintf(line, sizeof(line), "load: k%d%d %s", i, k, what);
        say(ctx, line);
    }
}

static void hold(struct naive *n, int conn, int child, const struct child *was, bool maybe)
{
    if (n->held_count == HELD_MAX)
        abort();
    n->held[n->held_count++] = (struct held_up){.conn = conn, .child = child, .was = *was, .maybe = maybe};
}

void naive_loaded(struct naive *n, const struct file *next)
{
    for (int i = 0; i < CONNS * CONN_CHILDREN; i++) { // what a packet has asked for lives on
        const struct child *was = &n->loaded.child[i / CONN_CHILDREN][i % CONN_CHILDREN];
        bool changed = !same_child(was, &next->child[i / CONN_CHILDREN][i % CONN_CHILDREN]);
        if (was->there && protects(was) && was->trap && changed)
            hold(n, i / CONN_CHILDREN, i % CONN_CHILDREN, was, true);
    }
    for (unsigned i = 0; i < n->held_count; i++) // traffic may bring a newer one up
        n->held[i].maybe |= next->child[n->held[i].conn][n->held[i].child].trap &&
                            !same_child(&n->held[i].was, &next->child[n->held[i].conn][n->held[i].child]);
    n->loaded = *next;
}

void naive_up(struct naive *n, int conn, int child)
{
    const struct child *c = &n->loaded.child[conn][child];
    bool there = false;
    for (unsigned j = 0; j < n->held_count; j++) {
        struct held_up *h = &n->held[j];
        if (h->conn != conn || h->child != child)
            continue;
        bool same = same_child(&h->was, c);
        h->maybe = !same; // one from before an edit goes when the new one is up
        there |= same;
    }
    if (!there)
        hold(n, conn, child, c, false);
}

void naive_up_renamed(struct naive *n, int conn, int child)
{
    naive_up(n, conn, child);
    for (unsigned j = 0; j < n->held_count; j++)
        n->held[j].other_name |= n->held[j].conn == conn && n->held[j].child == child &&
                                 same_child(&n->held[j].was, &n->loaded.child[conn][child]);
}

void naive_unsure(struct naive *n, int conn, int child)
{
    for (unsigned j = 0; j < n->held_count; j++)
        n->held[j].maybe |= n->held[j].conn == conn && n->held[j].child == child;
}

void naive_down(struct naive *n, int conn, int child)
{
    unsigned k = 0;
    for (unsigned j = 0; j < n->held_count; j++) {
        bool meant = (conn < 0 || n->held[j].conn == conn) && (child < 0 || n->held[j].child == child);
        bool elsewhere = meant && child >= 0 && n->held[j].other_name; // asked for by the name of the file
        n->held[j].maybe |= elsewhere;
        if (!meant || elsewhere)
            n->held[k++] = n->held[j];
    }
    n->held_count = k;
}
