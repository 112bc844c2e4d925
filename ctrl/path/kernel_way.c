// SPDX-License-Identifier: Apache-2.0
// The policies and routes by which packets come to the kernel's own ESP, one set for all SAs of a policy: see
// kernel_esp.h. What cannot be set is no way: its SAs are rekeyed, and no more go there.
#include "ctrl/path/kernel_way.h"

#include <errno.h>
#include <stdlib.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/kernel_esp.h"

enum {
    PAIRS_MAX = 64,            // of networks
    PRIORITY = 0x40000000 - 2, // before all of ours: no policy of ours overlaps
    ASK_MS = 1000,             // where there was no way to the peer
};

struct pair {
    uint8_t local[4], remote[4], local_len, remote_len;
};
struct ends { // of the SAs that a policy in the kernel asks for
    uint32_t group;
    struct addr local, remote;
};
struct kernel_way {
    struct kernel_way *next;
    uint32_t group;           // of its inbound SAs: a policy that gets another name has these still
    unsigned users;           // SAs
    struct child *newest;     // of these that is there; NULL: none. As of this turn
    struct ends in, out;      // that policies are set for; group 0: none are
    struct kset_hold *routes; // NULL: there are none
    uint32_t link;            // by which they lead
    struct addr to;           // the peer's; family 0: by which they lead is to be asked
    uint64_t ask_at;          // ms, where that could not be said
    bool suspect;             // another policy has come since it was looked at
    bool told;                // its SAs cannot stay
    bool closed;              // a policy before theirs is to be asked first: nothing goes by them
    bool broken;              // a policy could not be set: none is
    unsigned count;
    struct pair pair[];
};

// ---- which policies

struct prefixes {
    struct {
        uint8_t addr[4], len;
    } p[PAIRS_MAX];
    unsigned count;
};

static void collect(void *ctx, const uint8_t *addr, unsigned len)
{
    struct prefixes *l = ctx;
    if (l->count < PAIRS_MAX) {
        memcpy(l->p[l->count].addr, addr, 4);
        l->p[l->count].len = (uint8_t)len;
    }
    l->count++;
}

static bool plain(struct selectors l)
{
    for (unsigned i = 0; i < l.count; i++)
        if (l.t[i].family != 4 || l.t[i].proto || !ts_any_port(&l.t[i]) || ts_opaque(&l.t[i]))
            return false;
    return true;
}

static bool overlap(struct selectors a, struct selectors b)
{
    struct ts both;
    for (unsigned i = 0; i < a.count; i++)
        for (unsigned j = 0; j < b.count; j++)
            if (ts_intersect(&a.t[i], &b.t[j], &both))
                return true;
    return false;
}

// Of one link (see one_link in kset_objects.c): what lets these by would have to come before us.
static bool has_links(struct selectors remote)
{
    static const struct ts links[] = {{4, 0, 0, 65535, {224}, {224, 0, 0, 255}},
                                      {4, 0, 0, 65535, {255, 255, 255, 255}, {255, 255, 255, 255}}};
    return overlap(remote, (struct selectors){links, 2});
}

static void split(struct selectors l, struct prefixes *out)
{
    out->count = 0;
    for (unsigned i = 0; i < l.count; i++)
        ts_prefixes(&l.t[i], collect, out);
}

static bool has_sas(const struct path *p, struct policy *pol)
{
    const struct kernel_child *i = p->kern.children;
    while (i && !(i->c->policy && policy_now(i->c->policy) == pol && !i->c->dying))
        i = i->next;
    return i;
}

// What an instance is one of, and equal ones that this one stands for. Where that has SAs in the kernel
// itself, these would take the instance's packets.
static bool is_its_own(const struct path *p, struct policy *a, struct policy *b)
{
    if (policy_now(b) == a)
        return true;
    return (policy_now(b) == policy_base(a) || b == a->of) && !has_sas(p, policy_now(b));
}

// A policy that a packet of this one could meet, too.
static bool meets(const struct path *p, struct policy *a, struct policy *b)
{
    return b->vti == 0 && overlap(policy_local(a), policy_local(b)) &&
           overlap(policy_remote(a), policy_remote(b)) && !is_its_own(p, a, b);
}

// The first of them in the order of the data base; NULL: there is none.
static struct policy *in_the_way(const struct path *p, struct policy *pol)
{
    const struct hash *both[] = {&p->spd.by_id, &p->spd.instances};
    struct policy *first = NULL;
    for (int i = 0; i < 2; i++)
        for (const struct hash_node *n = NULL; (n = hash_each(both[i], n));) {
            struct policy *b = (struct policy *)(uintptr_t)n;
            if ((!first || b->rank < first->rank) && meets(p, pol, b))
                first = b;
        }
    return first;
}

static const char *overlaps(const struct policy *b, char *other, unsigned size)
{
    if (!b)
        return NULL;
    snprintf(other, size, " %.24s/%.24s", policy_conn(b), policy_child(b));
    return "another policy overlaps with its:";
}

static bool is_in(struct selectors l, const struct addr *a)
{
    for (unsigned i = 0; i < l.count; i++)
        if (ts_match(&l.t[i], a->family, a->a, 0, 0))
            return true;
    return false;
}

const char *kernel_way_unfit(const struct path *p, const struct child *c, char *other, unsigned size)
{
    struct policy *pol = policy_now(c->policy);
    struct prefixes l, r;
    other[0] = 0;
    if (!plain(policy_local(pol)) || !plain(policy_remote(pol)))
        return "its selectors are not IPv4 networks alone";
    if (overlap(policy_local(pol), policy_remote(pol)) || has_links(policy_remote(pol)))
        return "its remote networks contain local ones";
    if (is_in(policy_local(pol), &c->c.local) && is_in(policy_remote(pol), &c->c.remote))
        return "its networks contain both ends of the tunnel"; // so its ESP would go by their routes
    split(policy_local(pol), &l);
    split(policy_remote(pol), &r);
    if (l.count * r.count > PAIRS_MAX)
        return "it has too many networks";
    return overlaps(in_the_way(p, pol), other, size);
}

// ---- SAs come and go

static struct kernel_way *new_way(struct path *p, const struct policy *pol)
{
    struct prefixes l, r;
    split(policy_local(pol), &l);
    split(policy_remote(pol), &r);
    struct kernel_way *y = calloc(1, sizeof(*y) + (size_t)l.count * r.count * sizeof(struct pair));
    if (!y)
        return NULL;
    for (unsigned i = 0; i < l.count; i++)
        for (unsigned j = 0; j < r.count; j++) {
            struct pair *n = &y->pair[y->count++];
            memcpy(n->local, l.p[i].addr, 4);
            memcpy(n->remote, r.p[j].addr, 4);
            n->local_len = l.p[i].len;
            n->remote_len = r.p[j].len;
        }
    y->group = ++p->kern.groups | 0x80000000u; // outbound ones have their child's number
    y->next = p->kern.ways;
    p->kern.ways = y;
    return y;
}

static struct kernel_way *way_of(struct path *p, const struct child *c)
{
    for (struct kernel_child *i = p->kern.children; i; i = i->next)
        if (i->c->policy && policy_now(i->c->policy) == policy_now(c->policy))
            return i->way;
    return new_way(p, policy_now(c->policy));
}

int kernel_child_new(struct path *p, struct child *c, struct esp_error *err)
{
    struct kernel_child *k = calloc(1, sizeof(*k));
    struct kernel_way *y = k ? way_of(p, c) : NULL;
    if (!y) {
        free(k);
        return esp_fail(err, -ENOMEM, "kernel", "out of memory");
    }
    *k = (struct kernel_child){.next = p->kern.children, .c = c, .way = y};
    p->kern.children = k;
    p->kern.count++;
    y->users++;
    y->told = y->closed = false;
    c->in_kernel = true;
    return 0;
}

uint32_t kernel_group(const struct half *h)
{
    const struct child *c = h->child;
    const struct kernel_child *i = c->in_kernel ? c->w->p->kern.children : NULL;
    while (i && i->c != c)
        i = i->next;
    return half_dir(h) == ESP_IN && i ? i->way->group : c->c.child_id;
}

void kernel_esp_goes(struct path *p, struct child *c)
{
    struct kernel_child **at = &p->kern.children, *k;
    while (c->in_kernel && *at && (*at)->c != c)
        at = &(*at)->next;
    if (!c->in_kernel || !(k = *at))
        return;
    *at = k->next;
    p->kern.count--;
    k->way->users--;
    free(k);
}

// ---- policies

static struct esp_policy policy_of(const struct pair *n, const struct ends *e, enum esp_dir dir)
{
    bool out = dir == ESP_OUT;
    struct esp_policy q = {.dir = dir,
                           .src_len = out ? n->local_len : n->remote_len,
                           .dst_len = out ? n->remote_len : n->local_len,
                           .priority = PRIORITY,
                           .protocol = ESP_PROTOCOL_ESP,
                           .mode = ESP_TUNNEL,
                           .group = e->group};
    memcpy(q.src, out ? n->local : n->remote, 4);
    memcpy(q.dst, out ? n->remote : n->local, 4);
    memcpy(q.outer_src, out ? e->local.a : e->remote.a, 4);
    memcpy(q.outer_dst, out ? e->remote.a : e->local.a, 4);
    return q;
}

static void drop_policies(struct path *p, struct kernel_way *y, struct ends *e, enum esp_dir dir)
{
    struct esp_engine *k = path_kernel(p);
    for (unsigned i = 0; e->group && i < y->count; i++) {
        struct esp_policy q = policy_of(&y->pair[i], e, dir);
        (void)k->ops->policy_drop(k, &q, NULL);
    }
    *e = (struct ends){0};
}

static bool same_ends(const struct ends *a, const struct ends *b)
{
    return a->group == b->group && addr_eq(&a->local, &b->local) && addr_eq(&a->remote, &b->remote);
}

// All of them, or none.
static int set_policies(struct path *p, struct kernel_way *y, struct ends *now, const struct ends *to,
                        enum esp_dir dir, struct esp_error *err)
{
    struct esp_engine *k = path_kernel(p);
    int rc = 0;
    if (same_ends(now, to))
        return 0;
    *now = *to; // in each the new one takes the place of the one before
    for (unsigned i = 0; i < y->count && rc == 0; i++) {
        struct esp_policy q = policy_of(&y->pair[i], to, dir);
        rc = k->ops->policy_set(k, &q, err);
    }
    if (rc)
        drop_policies(p, y, now, dir);
    return rc;
}

// ---- routes

static void drop_routes(struct path *p, struct kernel_way *y)
{
    struct esp_error err = {0};
    if (!y->routes)
        return;
    (void)kset_change(p->kset, NULL, NULL, 0, &y->routes, 1, &err);
    y->routes = NULL;
    y->link = 0;
    kernel_watch_changed(p);
}

int kernel_way_link(struct path *p, const struct child *c, struct esp_error *err)
{
    int link = p->kernel->ops->way_to(p->kernel, &c->c.remote);
    if (link == -EACCES)
        return esp_fail(err, link, "disable_xfrm",
                        "the interface to the peer passes XFRM over (disable_xfrm is 1)");
    if (link <= 0)
        return esp_fail(err, link ? link : -ENETUNREACH, "route", "there is none to the peer: %s",
                        strerror(link ? -link : ENETUNREACH));
    return link;
}

static int set_routes(struct path *p, struct kernel_way *y, const struct child *c, struct esp_error *err)
{
    const struct policy *pol = policy_now(c->policy);
    int link = kernel_way_link(p, c, err);
    struct kset_spec spec = {.action = POLICY_PROTECT,
                             .local = policy_local(pol).t,
                             .remote = policy_remote(pol).t,
                             .local_count = pol->local_count,
                             .remote_count = pol->remote_count,
                             .out_index = (uint32_t)link};
    struct kset_hold *now = NULL;
    if (link < 0)
        return link;
    y->to = c->c.remote;
    if ((uint32_t)link == y->link && y->routes)
        return 0;
    int rc = kset_change(p->kset, &spec, &now, 1, &y->routes, y->routes ? 1 : 0, err);
    kernel_watch_changed(p);
    y->routes = rc ? y->routes : now;
    y->link = rc ? y->link : (uint32_t)link;
    return rc;
}

// Where there is no way to the peer now nothing goes there; what comes into the TUN meanwhile is dropped.
static void keep_routes(struct path *p, struct kernel_way *y, const struct child *c)
{
    struct esp_error err = {0};
    uint64_t now = loop_now(p->loop);
    if ((y->routes && addr_eq(&y->to, &c->c.remote)) || now < y->ask_at)
        return;
    y->ask_at = now + ASK_MS;
    int rc = set_routes(p, y, c, &err);
    if (rc == -EACCES)
        drop_routes(p, y);
    if (rc == 0)
        y->ask_at = 0;
    else
        LOGF(KNL, 1, "child %s{%u}: %s: %s", c->c.name, c->c.child_id, err.field, err.text);
}

// ---- turns

static struct ends ends_of(const struct child *c, enum esp_dir dir)
{
    return (struct ends){
        .group = kernel_group(dir == ESP_OUT ? &c->out : &c->in), .local = c->c.local, .remote = c->c.remote};
}

static void tell_all(struct path *p, const struct kernel_way *y)
{
    for (struct kernel_child *i = p->kern.children; i; i = i->next)
        if (i->way == y && i->c->installed && !i->c->dying)
            ipc_send(p->ike, MSG_CHILD_EVENT,
                     &(struct msg_CHILD_EVENT){.child_id = i->c->c.child_id, .event = CHILD_EVENT_MOVED});
}

// Its SAs cannot stay: software has them when they are rekeyed.
static void give_up(struct path *p, struct kernel_way *y, const char *field, const char *why)
{
    if (!y->told)
        LOGF(KNL, 0, "SAs leave the kernel's ESP, and are rekeyed: %s: %s", field, why);
    if (!y->told)
        tell_all(p, y);
    y->told = true;
}

// Of the SAs of each that are there and not on their way out.
static void find_newest(struct path *p)
{
    for (struct kernel_way *y = p->kern.ways; y; y = y->next)
        y->newest = NULL;
    for (struct kernel_child *i = p->kern.children; i; i = i->next)
        if (!i->way->newest && i->c->installed && i->c->in.state == HALF_READY)
            i->way->newest = i->c;
}

static struct child *sender_of(struct path *p, const struct child *c)
{
    struct child *s = c->policy ? outbound_now(p, policy_now(c->policy)) : NULL;
    return s && s->in_kernel && s->out.state == HALF_READY ? s : NULL;
}

// Another one has come that a packet could meet; or it stands for the same now.
static void judge(struct path *p, struct kernel_way *y, const struct child *c)
{
    char other[100];
    struct policy *pol = policy_now(c->policy), *b = in_the_way(p, pol);
    y->suspect = false;
    y->closed |= b && b->rank < pol->rank;
    if (b)
        give_up(p, y, c->c.name, overlaps(b, other, sizeof(other)));
}

// s: the SA that sends, NULL: none of these. c: one that is there.
static int set_all(struct path *p, struct kernel_way *y, const struct child *c, const struct child *s,
                   struct esp_error *err)
{
    struct ends in = ends_of(c, ESP_IN), out = s ? ends_of(s, ESP_OUT) : (struct ends){0};
    int rc = set_policies(p, y, &y->in, &in, ESP_IN, err);
    return rc || !s ? rc : set_policies(p, y, &y->out, &out, ESP_OUT, err);
}

static void turn(struct path *p, struct kernel_way *y)
{
    struct esp_error err = {0};
    struct child *c = y->newest, *s;
    if (c && y->suspect && c->policy)
        judge(p, y, c);
    c = y->broken || y->closed ? NULL : c;
    s = c ? sender_of(p, c) : NULL;
    if (!s) {
        drop_routes(p, y);
        drop_policies(p, y, &y->out, ESP_OUT);
    }
    if (!c) {
        drop_policies(p, y, &y->in, ESP_IN);
        return;
    }
    if (set_all(p, y, c, s, &err) == 0) {
        if (s)
            keep_routes(p, y, s);
        return;
    }
    y->broken = true; // what is for it comes into the TUN, and is dropped there
    kernel_unusable(p, err.field, err.text);
    give_up(p, y, err.field, err.text);
}

void kernel_esp_turn(struct path *p)
{
    struct kernel_way **at = &p->kern.ways, *y;
    if (!path_kernel(p))
        return;
    find_newest(p);
    while ((y = *at)) {
        turn(p, y);
        if (y->users) {
            at = &y->next;
            continue;
        }
        *at = y->next;
        free(y);
    }
}

void kernel_esp_again(struct path *p)
{
    for (struct kernel_way *y = p->kern.ways; y; y = y->next)
        y->to.family = 0; // asked anew
    kernel_esp_turn(p);
}

void kernel_esp_beside(struct path *p, struct policy *pol)
{
    find_newest(p);
    for (struct kernel_way *y = p->kern.ways; y; y = y->next)
        if (y->newest && y->newest->policy && meets(p, policy_now(y->newest->policy), pol))
            y->suspect = true;
}

// Its SAs are still to be freed.
void kernel_ways_close(struct path *p)
{
    struct kernel_way *y;
    struct kernel_child *k;
    while ((k = p->kern.children)) {
        p->kern.children = k->next;
        free(k);
    }
    p->kern.count = 0;
    while ((y = p->kern.ways)) {
        drop_routes(p, y);
        p->kern.ways = y->next;
        free(y);
    }
}
