// SPDX-License-Identifier: Apache-2.0
// Road warriors: programs of a and c that ask gateway b for a virtual address each, out of one small pool
// (which may have fewer addresses than there are warriors), and speak to the hosts behind b from it. Each has
// a connection, an identity and a secret of its own, is started, comes back when it was closed, and is closed
// now and then by either end's operator. The pool's leases are in a file, as daemons are killed.
//
// Judged: what has such an address at one end leaves in clear nowhere (clear, clear-in); an address is never
// in SAs of two warriors at the gateway (lease); at the end as many warriors have one as can, and it carries
// packets both ways (up).
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/ctl/vici_msg.h"
#include "ctrl/path/path.h"
#include "tests/world/world.h"

enum { GATEWAY = 1, POOL = 10u << 24 | 77 << 16, TRAFFIC_US = 300000 };

static bool in_pool(const struct world *w, uint32_t n)
{
    return w->warriors.count && n > POOL && n <= POOL + w->warriors.pool;
}

// By the seed alone, so that what the dice decide in other worlds stays what it was.
void warriors_make(struct world *w)
{
    struct warriors *all = &w->warriors;
    struct rng r;
    rng_seed(&r, w->o.seed ^ 0x77617272);
    unsigned most = w->o.plain            ? w->o.plain->warriors
                    : rng_chance(&r, 300) ? (unsigned)rng_between(&r, 1, WARRIORS)
                                          : 0;
    all->pool = w->o.plain ? w->o.plain->pool : (unsigned)rng_between(&r, 1, WARRIORS);
    for (unsigned i = 0; i < most; i++) {
        struct warrior *x = &all->one[all->count++];
        x->site = w->sites > 2 && rng_chance(&r, 500) ? 2 : 0;
        snprintf(x->name, sizeof(x->name), "warrior%u", i % 10);
        TRACE(w, 49, x->site, "plan %s: a program of %c wants one of %u addresses of b", x->name,
              w->site[x->site].letter, all->pool);
    }
    snprintf(all->leases, sizeof(all->leases), "/tmp/world-leases-XXXXXX");
    int fd = all->count ? mkstemp(all->leases) : -1;
    if (all->count && fd < 0)
        abort();
    if (fd >= 0)
        close(fd);
    (void)!unlink(all->leases);
}

void warriors_free(struct world *w)
{
    if (w->warriors.count)
        (void)!unlink(w->warriors.leases);
}

const char *warriors_leases(const struct site *s)
{
    return s->w->warriors.count && s->index == GATEWAY ? s->w->warriors.leases : NULL;
}

// ---- what is loaded

static void put_pool(struct vici_out *o, const struct world *w)
{
    vici_section(o, "pool");
    vici_putf(o, "addrs", "10.77.0.1-10.77.0.%u", w->warriors.pool);
    vici_section_end(o);
}

static void put_secret(struct vici_out *o, const struct warrior *x)
{
    vici_put(o, "id", x->name);
    vici_put(o, "type", "IKE");
    vici_putf(o, "data", "secret of %s", x->name);
    vici_list(o, "owners");
    vici_item(o, x->name);
    vici_list_end(o);
}

static void put_end(struct vici_out *o, const char *side, const char *id)
{
    vici_section(o, side);
    vici_put(o, "auth", "psk");
    vici_put(o, "id", id);
    vici_section_end(o);
}

// Of either family, as the warrior's site may have the one or the other alone.
static void put_gateway(struct vici_out *o, uint32_t n)
{
    char text[64];
    vici_list(o, "remote_addrs");
    for (int six = 0; six < 2; six++) {
        snprintf(text, sizeof(text), "%s%u.%u.%u.%u", six ? "2001:db8::" : "", n >> 24, n >> 16 & 255,
                 n >> 8 & 255, n & 255);
        vici_item(o, text);
    }
    vici_list_end(o);
}

static void put_net(struct vici_out *o, const char *key, uint32_t lan)
{
    vici_list(o, key);
    char text[32];
    snprintf(text, sizeof(text), "%u.%u.0.0/16", lan >> 24, lan >> 16 & 255);
    vici_item(o, text);
    vici_list_end(o);
}

static void put_conn(struct vici_out *o, const struct site *s, const struct warrior *x)
{
    const struct site *gateway = &s->w->site[GATEWAY];
    bool client = s->index == x->site;
    vici_section(o, x->name);
    vici_put(o, "version", "2");
    vici_put(o, "keyingtries", "0");
    vici_put(o, "dpd_delay", "10");
    vici_put(o, "local_addrs", "%any");
    if (client) {
        put_gateway(o, gateway->wan);
        vici_list(o, "vips");
        vici_item(o, "0.0.0.0");
        vici_list_end(o);
    } else {
        vici_put(o, "remote_addrs", "%any");
        vici_list(o, "pools");
        vici_item(o, "pool");
        vici_list_end(o);
    }
    put_end(o, "local", client ? x->name : "gateway.world");
    put_end(o, "remote", client ? "gateway.world" : x->name);
    vici_section(o, "children");
    vici_section(o, "net");
    put_net(o, client ? "remote_ts" : "local_ts", gateway->lan);
    vici_put(o, "start_action", client ? "start" : "none");
    vici_put(o, "close_action", client ? "start" : "none");
    vici_put(o, "dpd_action", client ? "restart" : "clear");
    if (!client && s->card && s->w->o.plain)
        vici_put(o, "hw_offload", "auto");
    vici_section_end(o);
    vici_section_end(o);
    vici_section_end(o);
}

void warriors_encode(struct vici_out *o, struct site *s, const struct order *c)
{
    const struct warrior *x = &s->w->warriors.one[c->pair];
    switch (c->kind) {
    case CMD_POOL: put_pool(o, s->w); break;
    case CMD_WARRIOR_SECRET: put_secret(o, x); break;
    case CMD_WARRIOR_LOAD: put_conn(o, s, x); break;
    case CMD_WARRIOR_INITIATE:
        vici_put(o, "ike", x->name);
        vici_put(o, "child", "net");
        vici_put(o, "timeout", "-1");
        break;
    case CMD_WARRIOR_TERMINATE:
        vici_put(o, "ike", x->name);
        vici_put(o, "timeout", "-1");
        break;
    default: break;
    }
}

void warriors_answered(struct site *s, const struct order *c, bool ok)
{
    if (c->kind == CMD_WARRIOR_LOAD && ok)
        s->w->warriors.one[c->pair].loaded[s->index == GATEWAY] = true;
    else if ((c->kind == CMD_POOL || c->kind == CMD_WARRIOR_SECRET || c->kind == CMD_WARRIOR_LOAD) && !ok)
        s->op.refused = true; // no memory: all is said again
}

// swanctl --load-all, behind what else the files say.
void warriors_connect(struct site *s)
{
    struct warriors *all = &s->w->warriors;
    if (all->count && s->index == GATEWAY)
        operator_order(s, CMD_POOL, 0, 0, 0);
    for (unsigned i = 0; i < all->count; i++) {
        if (s->index != GATEWAY && s->index != all->one[i].site)
            continue;
        operator_order(s, CMD_WARRIOR_SECRET, i, 0, 0);
        operator_order(s, CMD_WARRIOR_LOAD, i, 0, 0);
    }
}

// ---- judging

// From when it was loaded on, what an address of the pool says to, or hears from, the network behind the
// gateway is protected at the gateway, and at a warrior's site that which has the address.
bool warriors_require(struct site *s, uint32_t near, uint32_t far)
{
    struct world *w = s->w;
    uint32_t lan = w->site[GATEWAY].lan;
    for (unsigned i = 0; i < w->warriors.count; i++) {
        const struct warrior *x = &w->warriors.one[i];
        if (s->index == GATEWAY && x->loaded[1] && (near & 0xffff0000u) == lan && in_pool(w, far))
            return true;
        if (s->index == x->site && x->loaded[0] && (far & 0xffff0000u) == lan && in_pool(w, near) &&
            kernel_model_virtual(s->kernel, near))
            return true;
    }
    return false;
}

static bool lives(const struct site *s, uint32_t spi)
{
    for (const struct child *c = s->d.path ? s->d.path->children : NULL; c; c = c->next)
        if (c->c.spi_in == spi && !c->dying)
            return true;
    return false;
}

void warriors_installed(struct site *s, const struct msg_CHILD *c)
{
    struct warriors *all = &s->w->warriors;
    uint32_t at = c->remote_ts.count ? number_of(c->remote_ts.t[0].lo, 4) : 0;
    if (s->index != GATEWAY || !in_pool(s->w, at))
        return;
    for (unsigned i = 0; i < WARRIOR_SAS; i++) {
        const struct warrior_sa *o = &all->sa[i];
        if (o->at == at && strcmp(o->conn, c->conn) != 0 && lives(s, o->spi))
            world_fail(s->w, "lease", "%s and %s have virtual address %08x at %c", o->conn, c->conn, at,
                       s->letter);
    }
    struct warrior_sa *mine = &all->sa[all->sas++ % WARRIOR_SAS];
    *mine = (struct warrior_sa){.spi = c->spi_in, .at = at};
    snprintf(mine->conn, sizeof(mine->conn), "%.15s", c->conn);
}

void warriors_address(struct site *s, uint32_t n, bool there)
{
    TRACE(s->w, 96, n, "%c %s virtual address %08x", s->letter, there ? "has" : "has no more", n);
    if (there && !in_pool(s->w, n))
        world_fail(s->w, "lease", "%c puts %08x on its TUN, which is not of the pool", s->letter, n);
}

// ---- packets

static struct site *holder_of(struct world *w, uint32_t n)
{
    for (unsigned i = 0; i < w->sites; i++)
        if (kernel_model_virtual(w->site[i].kernel, n))
            return &w->site[i];
    return NULL;
}

// Between that address and a host behind the gateway. Its number in the ledger.
static size_t say(struct world *w, uint32_t at, bool back)
{
    struct site *s = holder_of(w, at), *gateway = &w->site[GATEWAY];
    unsigned from = back ? GATEWAY : s->index, to = back ? s->index : GATEWAY;
    uint8_t p[PACKET_MAX];
    uint32_t host = gateway->lan | (uint32_t)rng_between(&w->rng, 2, 65000);
    size_t id = w->ledger.count;
    uint32_t len = host_packet(w, p, from, to, back ? host : at, back ? at : host);
    TRACE(w, 35, id, "%c %s id %zu: %08x > %08x", w->site[from].letter,
          back ? "host tells a road warrior" : "itself sends from its virtual address", id, back ? host : at,
          back ? at : host);
    if (back)
        gateway_in(gateway, IF_LAN, p, len);
    else
        gateway_out(s, p, len);
    return id;
}

static void traffic(struct world *w, void *ctx, uint64_t arg)
{
    uint32_t at = POOL + 1 + (uint32_t)rng_below(&w->rng, w->warriors.pool);
    (void)ctx, (void)arg;
    if (w->silent)
        return;
    if (holder_of(w, at))
        say(w, at, rng_chance(&w->rng, 500));
    agenda_add(w, rng_between(&w->rng, 1, TRAFFIC_US), traffic, NULL, 0);
}

// ---- acts

static void act(struct world *w, void *ctx, uint64_t arg)
{
    unsigned i = (unsigned)rng_below(&w->rng, w->warriors.count);
    struct site *s = &w->site[rng_chance(&w->rng, 500) ? GATEWAY : w->warriors.one[i].site];
    (void)ctx, (void)arg;
    if (w->calm)
        return;
    if (s->d.life == UP && !s->op.queue) {
        if (s->index == GATEWAY || rng_chance(&w->rng, 300))
            operator_order(s, CMD_WARRIOR_TERMINATE, i, 0, 0);
        else
            operator_order(s, CMD_WARRIOR_INITIATE, i, 0, 0);
    }
    agenda_add(w, rng_between(&w->rng, SECOND, 12 * SECOND), act, NULL, 0);
}

void warriors_start(struct world *w)
{
    if (!w->warriors.count)
        return;
    agenda_add(w, SECOND, traffic, NULL, 0);
    agenda_add(w, 5 * SECOND, act, NULL, 0);
}

// ---- the end

// All are wanted.
void warriors_settle(struct world *w)
{
    for (unsigned i = 0; i < w->warriors.count; i++)
        operator_order(&w->site[w->warriors.one[i].site], CMD_WARRIOR_INITIATE, i, 0, 0);
}

static bool carries(struct world *w, uint32_t at, bool back)
{
    for (unsigned i = 0; i < 2 && !w->failed; i++) {
        size_t id = say(w, at, back);
        world_run_until(w, w->now + 2 * SECOND);
        if (w->ledger.sent[id].delivered)
            return true;
    }
    return w->failed;
}

static unsigned warriors_up(struct world *w)
{
    unsigned up = 0;
    for (uint32_t n = POOL + 1; n <= POOL + w->warriors.pool && w->warriors.count && !w->failed; n++) {
        if (!holder_of(w, n))
            continue;
        up++;
        for (int back = 0; back < 2; back++)
            if (!carries(w, n, back))
                world_fail(w, "up",
                           "virtual address %08x does not carry packets %s, minutes after all is well", n,
                           back ? "back" : "forth");
    }
    return up;
}

void warriors_check_up(struct world *w)
{
    unsigned most = w->warriors.count < w->warriors.pool ? w->warriors.count : w->warriors.pool,
             up = warriors_up(w);
    if (w->warriors.count && up != most && !w->failed)
        world_fail(w, "up", "%u road warriors have an address minutes after all is well, %u can", up, most);
}
