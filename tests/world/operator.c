// SPDX-License-Identifier: Apache-2.0
// Operators: what two sites want to say to each other (plans, from the seed), and one operator a site who
// speaks VICI octets to ctl, one command after another, as swanctl does. What it has been told counts: a
// connection protects from the moment when its load was confirmed until an unload or another form is asked
// for.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/ctl/vici_msg.h"
#include "ctrl/lib/log.h"
#include "tests/world/world.h"

// ---- plans

static void plain_pair(const struct plain *plain, struct pair *p)
{
    struct child_plan *c = &p->variant[0].child[0];
    p->variants = p->variant[0].children = 1;
    p->hw_offload = "auto";
    p->encap = plain->encap;
    p->unique = plain->unique;
    p->dummies = plain->dummies;
    p->dpd_s = 10;
    if (plain->edit) {
        p->variants = 2;
        p->variant[1] = (struct variant){.children = 1};
        p->variant[1].child[0] = (struct child_plan){
            .name = "net", .proto = 17, .lo = 7000, .hi = 7999, .start = {plain->start[0], plain->start[1]}};
    }
    *c = (struct child_plan){.name = "net", .hi = 65535, .start = {plain->start[0], plain->start[1]}};
}

// Ports within what "net" protects, or beside it.
static struct range range(struct rng *r, uint16_t from)
{
    uint16_t lo = (uint16_t)(from + rng_below(r, 100));
    return (struct range){lo, (uint16_t)(lo + rng_below(r, 100))};
}

// Every mix of families inside and outside.
static void plan_families(struct world *w, struct pair *p)
{
    const struct plain *plain = w->o.plain;
    uint64_t x = rng_below(&w->rng, 100);
    p->inner = plain ? (plain->inner ? plain->inner : IN4) : x < 60 ? IN4 : x < 80 ? IN6 : IN4 | IN6;
    p->outer6 = plain ? plain->outer6 : rng_chance(&w->rng, 250);
    p->natted = w->site[p->a].nat.on && !p->outer6;
    p->roams = w->site[p->a].roam.on;
}

// Transport mode does not go through a NAT, pretended or not.
static void plan_own(struct world *w, struct pair *p)
{
    const struct plain *plain = w->o.plain;
    uint16_t lo = (uint16_t)rng_between(&w->rng, 8000, 8100);
    p->own.on = (plain ? plain->own : rng_chance(&w->rng, 700)) && !p->natted && !p->roams;
    p->own.transport = (plain ? plain->transport : rng_chance(&w->rng, 600)) && !p->encap;
    p->own.trap = plain || rng_chance(&w->rng, 800);
    if (!plain && rng_chance(&w->rng, 500))
        p->own.ports = (struct range){lo, (uint16_t)(lo + rng_below(&w->rng, 300))};
    if (p->own.on)
        TRACE(w, 44, p->own.ports.lo, "plan %s: own programs in %s mode, %s, ports %u-%u", p->name,
              p->own.transport ? "transport" : "tunnel", p->own.trap ? "trap" : "none", p->own.ports.lo,
              p->own.ports.hi);
}

static void plan_variant(struct world *w, struct variant *v, bool nat)
{
    struct rng *r = &w->rng;
    enum start s = (enum start)rng_below(r, 3), t = (enum start)rng_below(r, 3);
    v->children = rng_chance(r, 400) ? 2 : 1;
    for (unsigned i = 0; i < v->children; i++) {
        struct child_plan *c = &v->child[i];
        snprintf(c->name, sizeof(c->name), i ? "aux" : "net");
        c->lo = 0, c->hi = 65535;
        if (v->children > 1 || rng_chance(r, 300)) {
            c->proto = 17;
            c->lo = (uint16_t)(i ? 9000 : 7000);
            c->hi = (uint16_t)(c->lo + rng_below(r, 2) * 999);
        }
        c->start[0] = i ? START_NONE : s;
        c->start[1] = i || nat ? START_NONE : t;
    }
    if (rng_chance(r, 400))
        v->pass = range(r, 7100);
    if (rng_chance(r, 400))
        v->drop = range(r, 7300);
}

static void tell_plan(struct world *w, const struct pair *p)
{
    static const char *const start[] = {"none", "trap", "start"};
    TRACE(w, 45, p->variants, "plan %s: %s in %s, %u forms, unique %s, encap %d, dpd %u s, offload %s%s",
          p->name,
          p->inner == IN4   ? "IPv4"
          : p->inner == IN6 ? "IPv6"
                            : "both",
          p->outer6 ? "IPv6" : "IPv4", p->variants, p->unique ? p->unique : "(default)", p->encap, p->dpd_s,
          p->hw_offload ? p->hw_offload : "(default)", p->natted ? ", behind a NAT" : "");
    for (unsigned v = 0; v < p->variants; v++) {
        for (unsigned i = 0; i < p->variant[v].children; i++) {
            const struct child_plan *c = &p->variant[v].child[i];
            TRACE(w, 46, c->lo,
                  "plan %s form %u: child %s proto %u ports %u-%u, start_action %s at %c, %s at %c", p->name,
                  v, c->name, c->proto, c->lo, c->hi, start[c->start[0]], w->site[p->a].letter,
                  start[c->start[1]], w->site[p->b].letter);
        }
        TRACE(w, 47, p->variant[v].pass.lo, "plan %s form %u: passes udp %u-%u, drops udp %u-%u", p->name, v,
              p->variant[v].pass.lo, p->variant[v].pass.hi, p->variant[v].drop.lo, p->variant[v].drop.hi);
    }
}

void plans_make(struct world *w)
{
    for (unsigned a = 0; a < w->sites; a++) {
        for (unsigned b = a + 1; b < w->sites; b++) {
            struct pair *p = &w->pair[w->pairs++];
            *p = (struct pair){.a = a, .b = b, .variants = (unsigned)rng_between(&w->rng, 1, VARIANTS)};
            snprintf(p->name, sizeof(p->name), "%c-%c", w->site[a].letter, w->site[b].letter);
            snprintf(p->secret, sizeof(p->secret), "secret %llx", (unsigned long long)rng_next(&w->rng) >> 8);
            p->unique = rng_chance(&w->rng, 400) ? "replace" : NULL;
            p->hw_offload = rng_chance(&w->rng, 800) ? "auto" : NULL;
            p->encap = rng_chance(&w->rng, 300);
            p->dpd_s = (unsigned)rng_between(&w->rng, 5, 60);
            plan_families(w, p);
            for (unsigned v = 0; v < p->variants; v++)
                plan_variant(w, &p->variant[v], p->natted || p->roams);
            if (w->o.plain)
                plain_pair(w->o.plain, p);
            tell_plan(w, p);
            plan_own(w, p);
        }
    }
    for (unsigned s = 0; s < w->sites; s++) {
        w->site[s].op.fd = -1;
        for (unsigned i = 0; i < PAIRS; i++)
            w->site[s].op.want[i] = (struct want){.variant = -1, .pending = -1, .leaving = -1};
    }
}

struct pair *plan_of(struct world *w, unsigned a, unsigned b)
{
    for (unsigned i = 0; i < w->pairs; i++)
        if ((w->pair[i].a == a && w->pair[i].b == b) || (w->pair[i].a == b && w->pair[i].b == a))
            return &w->pair[i];
    return NULL;
}

// ---- commands as octets

static int print_addr(char *text, size_t size, bool six, uint32_t a)
{
    return snprintf(text, size, "%s%u.%u.%u.%u", six ? "2001:db8::" : "", a >> 24, a >> 16 & 255,
                    a >> 8 & 255, a & 255);
}

static void put_addr(struct vici_out *o, const char *key, const struct pair *p, uint32_t a)
{
    char text[64];
    print_addr(text, sizeof(text), p->outer6, a);
    vici_put(o, key, text);
}

// In both families where either may be gone to, the one to begin with first.
static void put_both(struct vici_out *o, const char *key, const struct pair *p, const uint32_t *a, unsigned n,
                     bool both)
{
    char text[64];
    vici_list(o, key);
    for (unsigned k = 0; n && k < n * (both ? 2 : 1); k++) {
        print_addr(text, sizeof(text), p->outer6 != (k >= n), a[k % n]);
        vici_item(o, text);
    }
    vici_list_end(o);
}

static void put_addrs(struct vici_out *o, const struct site *s, const struct site *peer, const struct pair *p)
{
    const struct roam *roam = &s->w->site[p->a].roam;
    const uint32_t mine[] = {s->wan, s->roam.away};
    if (p->roams && s->index == p->a && !roam->named)
        vici_put(o, "local_addrs", "%any");
    else if (p->roams)
        put_both(o, "local_addrs", p, mine, s->index == p->a ? 2 : 1, roam->families);
    else
        put_addr(o, "local_addrs", p, s->wan);
    if ((p->natted || p->roams) && peer->index == p->a)
        vici_put(o, "remote_addrs", "%any");
    else if (p->roams)
        put_both(o, "remote_addrs", p, &peer->wan, 1, roam->families);
    else
        put_addr(o, "remote_addrs", p, peer->wan);
}

static void put_one_ts(struct vici_out *o, bool six, uint32_t lan, const struct child_plan *c)
{
    char text[96];
    int n = print_addr(text, sizeof(text), six, lan);
    n += snprintf(text + n, sizeof(text) - (size_t)n, six ? "/112" : "/16");
    if (c->proto && c->lo == c->hi)
        snprintf(text + n, sizeof(text) - (size_t)n, "[udp/%u]", c->lo);
    else if (c->proto)
        snprintf(text + n, sizeof(text) - (size_t)n, "[udp/%u-%u]", c->lo, c->hi);
    vici_item(o, text);
}

static void put_ts(struct vici_out *o, const char *key, const struct pair *p, uint32_t lan,
                   const struct child_plan *c)
{
    vici_list(o, key);
    if (p->inner & IN4)
        put_one_ts(o, false, lan, c);
    if (p->inner & IN6)
        put_one_ts(o, true, lan, c);
    vici_list_end(o);
}

// ---- names: a connection has another one at either end, and so have its children

static const char *conn_name(const struct pair *p, unsigned named)
{
    static char text[sizeof(p->name) + 1];
    snprintf(text, sizeof(text), "%s%s", p->name, named & OTHER_CONN ? "~" : "");
    return text;
}

static const char *child_name(const char *child, unsigned named)
{
    static char text[sizeof(((struct child_plan *)0)->name) + 1];
    snprintf(text, sizeof(text), "%s%s", child, named & OTHER_CHILD ? "~" : "");
    return text;
}

bool names_pair(const struct pair *p, const char *conn)
{
    return !strcmp(conn, p->name) || !strcmp(conn, conn_name(p, OTHER_CONN));
}

static void put_child(struct vici_out *o, const struct site *s, const struct site *peer, const struct pair *p,
                      const struct child_plan *c, unsigned named)
{
    static const char *const start[] = {"none", "trap", "start"};
    enum start mine = c->start[s->index == p->b];
    vici_section(o, child_name(c->name, named));
    put_ts(o, "local_ts", p, s->lan, c);
    put_ts(o, "remote_ts", p, peer->lan, c);
    vici_put(o, "start_action", start[mine]);
    vici_put(o, "close_action", mine == START_START ? "start" : "none");
    vici_put(o, "dpd_action", mine == START_START ? "restart" : "clear");
    if (p->hw_offload)
        vici_put(o, "hw_offload", p->hw_offload);
    if (p->life_packets)
        vici_putf(o, "life_packets", "%llu", (unsigned long long)p->life_packets);
    if (p->dummies) {
        vici_put(o, "tfc_padding", "mtu");
        vici_putf(o, "tfc_dummies", "%u", p->dummies);
    }
    vici_section_end(o);
}

static void put_shunt(struct vici_out *o, const struct site *s, const struct site *peer, const struct pair *p,
                      const char *mode, struct range ports)
{
    const struct child_plan like = {.proto = 17, .lo = ports.lo, .hi = ports.hi};
    if (!ports.lo)
        return;
    vici_section(o, mode);
    put_ts(o, "local_ts", p, s->lan, &like);
    put_ts(o, "remote_ts", p, peer->lan, &like);
    vici_put(o, "mode", mode);
    vici_put(o, "start_action", "trap");
    vici_section_end(o);
}

// Selectors are left out where they can be: each end's own address then, whichever it is.
static void put_own(struct vici_out *o, const struct pair *p)
{
    char text[40];
    if (!p->own.on)
        return;
    vici_section(o, "own");
    snprintf(text, sizeof(text), "dynamic[udp/%u-%u]", p->own.ports.lo, p->own.ports.hi);
    for (int i = 0; i < 2 && p->own.ports.lo; i++) {
        vici_list(o, i ? "remote_ts" : "local_ts");
        vici_item(o, text);
        vici_list_end(o);
    }
    vici_put(o, "mode", p->own.transport ? "transport" : "tunnel");
    vici_put(o, "start_action", p->own.trap ? "trap" : "none");
    vici_section_end(o);
}

static void put_end(struct vici_out *o, const char *side, const struct site *s, bool by_cert,
                    const char *revocation)
{
    vici_section(o, side);
    vici_put(o, "auth", by_cert ? "pubkey" : "psk");
    vici_putf(o, "id", "%c.world", s->letter);
    if (by_cert && revocation)
        vici_put(o, "revocation", revocation);
    vici_section_end(o);
}

static void put_conn(struct vici_out *o, const struct site *s, const struct pair *p, unsigned variant,
                     unsigned named)
{
    const struct world *w = s->w;
    const struct site *peer = &w->site[s->index == p->a ? p->b : p->a];
    const struct variant *v = &p->variant[variant];
    vici_section(o, conn_name(p, named));
    put_addrs(o, s, peer, p);
    vici_put(o, "version", "2");
    vici_put(o, "encap", p->encap ? "yes" : "no");
    vici_put(o, "keyingtries", "0");
    if (p->unique)
        vici_put(o, "unique", p->unique);
    vici_putf(o, "dpd_delay", "%u", p->dpd_s);
    put_end(o, "local", s, p->by_cert[s->index == p->b], NULL);
    put_end(o, "remote", peer, p->by_cert[s->index == p->a], p->revocation);
    vici_section(o, "children");
    for (unsigned i = 0; i < v->children; i++)
        put_child(o, s, peer, p, &v->child[i], named);
    put_shunt(o, s, peer, p, "pass", v->pass);
    put_shunt(o, s, peer, p, "drop", v->drop);
    put_own(o, p);
    vici_section_end(o);
    vici_section_end(o);
}

static void put_shared(struct vici_out *o, const struct world *w, const struct pair *p)
{
    vici_put(o, "id", p->name);
    vici_put(o, "type", "IKE");
    vici_put(o, "data", p->secret);
    vici_list(o, "owners");
    for (int i = 0; i < 2; i++) {
        char id[16];
        snprintf(id, sizeof(id), "%c.world", w->site[i ? p->b : p->a].letter);
        vici_item(o, id);
    }
    vici_list_end(o);
}

static const char *const names[] = {"load-shared", "load-conn", "unload-conn", "initiate",   "terminate",
                                    "list-sas",    "list-sa",   "rekey",       "load-pool",  "load-shared",
                                    "load-conn",   "initiate",  "terminate",   "load-cert",  "load-cert",
                                    "load-key",    "load-cert", "load-conn",   "unload-conn"};

static void encode(struct site *s, struct vici_out *o, const struct order *c)
{
    const struct pair *p = &s->w->pair[c->pair];
    const struct want *want = &s->op.want[c->pair];
    vici_out_begin(o, c->kind == CMD_REGISTER ? VICI_EVENT_REGISTER : VICI_CMD_REQUEST, names[c->kind]);
    switch (c->kind) {
    case CMD_SHARED: put_shared(o, s->w, p); break;
    case CMD_LOAD: put_conn(o, s, p, c->variant, want->named); break;
    case CMD_UNLOAD: vici_put(o, "name", conn_name(p, want->named)); break;
    case CMD_RENAME: put_conn(o, s, p, c->variant, c->how); break;
    case CMD_UNLOAD_FORMER: vici_put(o, "name", conn_name(p, want->named ^ OTHER_CONN)); break;
    case CMD_INITIATE:
        vici_put(o, "ike", conn_name(p, want->named));
        vici_put(o, "child", child_name(p->variant[c->variant].child[c->child].name, want->named));
        vici_put(o, "timeout", c->how & DETACHED ? "-1" : "20000");
        break;
    case CMD_TERMINATE:
        vici_put(o, "ike", conn_name(p, want->named));
        if (c->child)
            vici_put(o, "child", child_name("net", want->named));
        vici_put(o, "timeout", "20000");
        // While a request of that end is out nobody is told of a forced end, and service is not to be had.
        if (c->how & FORCED || (!s->w->fair && rng_chance(&s->w->rng, 200)))
            vici_put(o, "force", "yes");
        break;
    case CMD_REKEY: // the IKE SA, or its CHILD SA
        vici_put(o, c->child ? "child" : "ike",
                 c->child ? child_name("net", want->named) : conn_name(p, want->named));
        break;
    case CMD_CERT_CA:
    case CMD_CERT_MID:
    case CMD_CERT_KEY:
    case CMD_CERT_END: certs_encode(o, s, c); break;
    default: warriors_encode(o, s, c); break;
    }
}

// What is to be loaded counts for both forms until the answer.
static void sent(struct site *s, struct order *c)
{
    struct want *want = &s->op.want[c->pair];
    c->sent_at = s->w->now;
    if (c->kind == CMD_TERMINATE) {
        s->w->pair[c->pair].taken_down = true;
        s->w->pair[c->pair].taken_down_at = s->w->now;
    }
    if (c->kind == CMD_LOAD) {
        if (want->pending >= 0 && want->pending != (int)c->variant)
            want->unsure |= 1u << want->pending;
        want->pending = (int)c->variant;
    }
    if (c->kind == CMD_UNLOAD) {
        want->leaving = want->variant;
        want->variant = -1;
        want->pending = -1;
    }
}

static void next(struct site *s)
{
    struct operator* op = & s->op;
    struct vici_out o;
    if (op->busy || op->fd < 0 || !op->queue)
        return;
    encode(s, &o, op->queue);
    if (vici_out_finish(&o) < 0)
        abort();
    TRACE(s->w, 40 + op->queue->kind, op->queue->pair, "%c operator: %s %s variant %u child %u", s->letter,
          names[op->queue->kind], s->w->pair[op->queue->pair].name, op->queue->variant, op->queue->child);
    sent(s, op->queue);
    if (op->queue->kind == CMD_LIST)
        op->ikes = op->children = 0;
    op->busy = true;
    if (send(op->fd, o.data, o.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)o.len)
        world_fail(s->w, "control", "ctl of %c does not take a command", s->letter);
    vici_out_free(&o);
    daemon_wake(s);
}

static void put_order(struct site *s, const struct order *one)
{
    struct order *c = malloc(sizeof(*c)), **end = &s->op.queue;
    if (!c)
        abort();
    *c = *one;
    while (*end)
        end = &(*end)->next;
    *end = c;
    next(s);
}

void operator_order(struct site *s, enum command_kind k, unsigned pair, unsigned variant, unsigned child)
{
    put_order(s, &(struct order){.kind = k, .pair = pair, .variant = variant, .child = child});
}

void operator_hurry(struct site *s, enum command_kind k, unsigned pair, unsigned how)
{
    put_order(s, &(struct order){.kind = k, .pair = pair, .how = how});
}

static void drop_first(struct operator* op)
{
    struct order *c = op->queue;
    op->queue = c->next;
    free(c);
}

// ---- answers

static void note_sa(struct operator* op, const struct vici_node *ike)
{
    const struct vici_node *sas = vici_find(ike, "child-sas");
    struct sa_seen i = {0};
    snprintf(i.conn, sizeof(i.conn), "%s", ike->name);
    snprintf(i.state, sizeof(i.state), "%s", vici_get(ike, "state"));
    i.spi_i = strtoull(vici_get(ike, "initiator-spi"), NULL, 16);
    i.spi_r = strtoull(vici_get(ike, "responder-spi"), NULL, 16);
    if (op->ikes < SA_SEEN_MAX)
        op->ike[op->ikes++] = i;
    for (const struct vici_node *c = sas ? sas->child : NULL; c; c = c->next) {
        struct sa_seen k = i;
        snprintf(k.child, sizeof(k.child), "%s", vici_get(c, "name"));
        snprintf(k.state, sizeof(k.state), "%s", vici_get(c, "state"));
        k.spi_in = (uint32_t)strtoul(vici_get(c, "spi-in"), NULL, 16);
        k.spi_out = (uint32_t)strtoul(vici_get(c, "spi-out"), NULL, 16);
        if (op->children < SA_SEEN_MAX)
            op->child[op->children++] = k;
    }
}

// The former name goes when the new one is there; and until it has gone, all counts that it may let past.
static void former_goes(struct world *w, void *ctx, uint64_t pair)
{
    struct site *s = ctx;
    (void)w;
    if (s->d.life == UP && s->op.want[pair].twice)
        operator_order(s, CMD_UNLOAD_FORMER, (unsigned)pair, 0, 0);
}

static void renamed(struct site *s, const struct order *c, bool ok)
{
    struct want *want = &s->op.want[c->pair];
    bool conn = (want->named ^ c->how) & OTHER_CONN;
    if (!ok)
        return;
    want->named = c->how;
    want->twice |= conn;
    if (conn)
        former_goes(s->w, s, c->pair);
}

static void answered(struct site *s, const struct order *c, bool ok, const char *error)
{
    struct want *want = &s->op.want[c->pair];
    TRACE(s->w, 50 + ok, c->kind, "%c ctl: %s %s: %s%s", s->letter, names[c->kind], s->w->pair[c->pair].name,
          ok ? "done" : "failed: ", ok ? "" : error);
    s->op.refused |= !ok && (c->kind == CMD_LOAD || c->kind == CMD_SHARED || c->kind >= CMD_CERT_CA) &&
                     c->kind < CMD_RENAME;
    if (c->kind == CMD_RENAME)
        renamed(s, c, ok);
    if (c->kind == CMD_UNLOAD_FORMER && !ok && strstr(error, "memory"))
        agenda_add(s->w, SECOND / 20, former_goes, s, c->pair);
    else if (c->kind == CMD_UNLOAD_FORMER)
        want->twice = false;
    if (c->kind == CMD_LOAD) {
        if (ok) {
            want->variant = (int)c->variant;
            want->unsure = 0;
        }
        want->pending = -1;
        want->unknown = false;
        want->since = s->w->now;
    }
    if (c->kind == CMD_UNLOAD && !ok && strstr(error, "memory"))
        want->variant = want->leaving; // what stood before stands
    if (c->kind == CMD_UNLOAD && (ok || strstr(error, "memory")))
        want->leaving = -1;
    if (c->kind == CMD_UNLOAD && ok)
        want->unsure = 0;
    if (c->kind == CMD_INITIATE && ok && c->sent_at > s->w->pair[c->pair].taken_down_at)
        s->w->pair[c->pair].taken_down = false;
    if (c->kind == CMD_LIST)
        s->op.listed = true;
    warriors_answered(s, c, ok);
    snprintf(s->op.last_error, sizeof(s->op.last_error), "%s", error);
}

static void frame(struct site *s, const uint8_t *p, size_t len)
{
    struct operator* op = & s->op;
    struct vici_msg m = {0};
    struct esp_error err = {0};
    size_t head = p[0] == VICI_EVENT ? 2u + p[1] : 1;
    if (len < head || (len > head && vici_msg_parse(&m, p + head, len - head, &err) < 0)) {
        world_fail(s->w, "control", "ctl of %c sends what is not VICI: %s", s->letter, err.text);
        return;
    }
    if (p[0] == VICI_EVENT) {
        if (m.root && m.root->child)
            note_sa(op, m.root->child);
    } else if (op->queue && op->busy) {
        const char *text = m.root ? vici_get(m.root, "errmsg") : NULL;
        bool ok = p[0] == VICI_EVENT_CONFIRM || op->queue->kind == CMD_LIST ||
                  (m.root && vici_get_yes(m.root, "success", false));
        answered(s, op->queue, ok && p[0] != VICI_CMD_UNKNOWN, text ? text : "");
        drop_first(op);
        op->busy = false;
    }
    vici_msg_free(&m);
}

static void talk_to(struct site *s)
{
    struct operator* op = & s->op;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 ||
        server_adopt(s->d.ctl->server, pair[0]) < 0)
        abort();
    op->queue = NULL;
    op->fd = pair[1];
    op->have = 0;
    op->busy = false;
    operator_order(s, CMD_REGISTER, 0, 0, 0);
}

static void append(struct operator* op, struct order *asked)
{
    struct order **end = &op->queue;
    while (*end)
        end = &(*end)->next;
    *end = asked;
}

// ctl has hung up, for want of memory. What was asked of it last counts as it does until it has answered: of
// a load both forms, of an unload neither.
static void cut_off(struct site *s)
{
    struct operator* op = & s->op;
    TRACE(s->w, 54, s->index, "%c ctl hangs up", s->letter);
    close(op->fd);
    op->fd = -1;
    if (s->d.life != UP || !s->d.ctl)
        return;
    op->refused = true;
    if (op->busy && op->queue) {
        if (op->queue->kind == CMD_RENAME || op->queue->kind == CMD_UNLOAD_FORMER) {
            op->want[op->queue->pair].twice = true;
            agenda_add(s->w, SECOND / 20, former_goes, s, op->queue->pair);
        }
        drop_first(op);
    }
    struct order *asked = op->queue;
    talk_to(s);
    append(op, asked);
}

void operator_read(struct site *s)
{
    struct operator* op = & s->op;
    ssize_t n = -1;
    while (op->fd >= 0 &&
           (n = recv(op->fd, op->in + op->have, sizeof(op->in) - op->have, MSG_DONTWAIT)) > 0) {
        op->have += (size_t)n;
        while (op->have >= 4 && op->have >= 4 + get32(op->in)) {
            size_t whole = 4 + get32(op->in);
            frame(s, op->in + 4, whole - 4);
            memmove(op->in, op->in + whole, op->have -= whole);
        }
    }
    if (op->fd >= 0 && (n == 0 || errno == ECONNRESET))
        cut_off(s);
    else
        next(s);
}

// What the file says by another name, loaded while its SAs are up.
void operator_rename(struct site *s, unsigned pair)
{
    struct want *want = &s->op.want[pair];
    if (s->op.queue || want->variant < 0 || want->pending >= 0 || want->twice)
        return;
    unsigned other = (unsigned)rng_between(&s->w->rng, 1, 3);
    put_order(s, &(struct order){.kind = CMD_RENAME,
                                 .pair = pair,
                                 .variant = (unsigned)want->variant,
                                 .how = want->named ^ other});
}

// ---- the daemon comes and goes

void operator_connect(struct site *s)
{
    struct order *asked = s->op.queue; // while it was down: after what its files say
    for (unsigned i = 0; i < s->w->pairs; i++)
        s->op.want[i].twice = false;
    talk_to(s);
    operator_load_all(s);
    append(&s->op, asked);
}

// swanctl --load-all: what its files say.
void operator_load_all(struct site *s)
{
    struct operator* op = & s->op;
    op->refused = false;
    certs_connect(s);
    for (unsigned i = 0; i < s->w->pairs; i++)
        former_goes(s->w, s, i);
    for (unsigned i = 0; i < s->w->pairs; i++)
        if (s->w->pair[i].a == s->index || s->w->pair[i].b == s->index)
            operator_order(s, CMD_SHARED, i, 0, 0);
    for (unsigned i = 0; i < s->w->pairs; i++) {
        struct pair *p = &s->w->pair[i];
        int v = op->want[i].variant >= 0 ? op->want[i].variant : op->want[i].pending;
        if ((p->a == s->index || p->b == s->index) && (v >= 0 || s->d.generation == 1))
            operator_order(s, CMD_LOAD, i, v < 0 ? 0 : (unsigned)v, 0);
    }
    warriors_connect(s);
}

void operator_gone(struct site *s)
{
    struct operator* op = & s->op;
    readers_gone(s);
    disk_gone(s);
    certs_gone(s);
    if (op->fd >= 0)
        close(op->fd);
    op->fd = -1;
    op->busy = false;
    while (op->queue)
        drop_first(op);
}
