// SPDX-License-Identifier: Apache-2.0
// The invariants, in the world's own terms: octets on the wires, what operators were told, what hosts sent;
// but `proof` looks at what ike has up, and `kept` at the leases' file.
//   clear       nothing leaves in clear that a loaded policy protects, or an SA that still lives
//   nonce       no (key, IV) twice: the key as path was given it, the IV as it stands in the packet
//   selectors   what goes into an SA lies in its selectors
//   order       what a child passes or drops goes into no SA, and what one drops comes out of none
//   foreign     what comes to a host was sent by a host, as it was, to it
//   twice       no packet comes twice out of a tunnel
//   clear-in    nothing that came in clear gets behind a gateway whose policies want it protected
//   agreement   at the end both ends name the same SAs
//   one         at rest there is exactly one IKE SA for each connection that is to be up
//   lease       no virtual address is in SAs of two peers
//   proof       nobody takes a certificate that has ended, or that he has to know as revoked (certs.c)
//   kept        leases outlive their daemon: what found room on the disk is there (kept.c)
//   lost        in fair weather every packet arrives but in the windows of what happens (service.c)
//   void        in fair weather nobody sends into an SA that its peer has let go of
//   log         who reads the log and stands still gets what there was room for, and is told what is missing
//   leak        path lets go of packets and SAs
//   up          at the end what is to be up carries packets both ways
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/path.h"
#include "tests/world/world.h"

// ---- keys and IVs

// Called in the place of path's own installation, which it then does.
void __real_sadb_install(struct path *p, const struct msg_CHILD_INSTALL *m);
void __wrap_sadb_install(struct path *p, const struct msg_CHILD_INSTALL *m);
void __wrap_sadb_install(struct path *p, const struct msg_CHILD_INSTALL *m)
{
    union msg inner;
    bool known = msg_read(m->child, &inner) == MSG_CHILD;
    if (known) {
        check_learn_key(the_site->index, &inner.CHILD, m->key_out.p, m->key_out.len);
        service_installs(the_site, inner.CHILD.spi_in);
    }
    __real_sadb_install(p, m);
    if (known)
        warriors_installed(the_site, &inner.CHILD);
}

static uint64_t hash(const void *p, size_t len, uint64_t h)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < len; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

void check_learn_key(unsigned site, const struct msg_CHILD *c, const uint8_t *key, size_t len)
{
    struct ledger *l = &the_world->ledger;
    if (l->key_count == l->key_cap) {
        l->key_cap = l->key_cap ? 2 * l->key_cap : 64;
        l->keys = realloc(l->keys, l->key_cap * sizeof(*l->keys));
        if (!l->keys)
            abort();
    }
    l->keys[l->key_count].site = (uint8_t)site;
    l->keys[l->key_count].spi = c->spi_out;
    memcpy(l->keys[l->key_count].local, c->local_ts.t, sizeof(l->keys[0].local)); // the rest is zero
    memcpy(l->keys[l->key_count].remote, c->remote_ts.t, sizeof(l->keys[0].remote));
    if (c->local_ts.count > 2 || c->remote_ts.count > 2)
        abort();
    l->keys[l->key_count++].key = hash(key, len, 0xcbf29ce484222325u);
}

static bool nonce_is_new(struct nonces *n, uint64_t h)
{
    if (2 * n->count >= n->cap) {
        struct nonces old = *n;
        n->cap = old.cap ? 2 * old.cap : 1 << 14;
        n->count = 0;
        n->slot = calloc(n->cap, sizeof(*n->slot));
        if (!n->slot)
            abort();
        for (size_t i = 0; i < old.cap; i++)
            if (old.slot[i])
                nonce_is_new(n, old.slot[i]);
        free(old.slot);
    }
    size_t i = h & (n->cap - 1);
    for (; n->slot[i]; i = (i + 1) & (n->cap - 1))
        if (n->slot[i] == h)
            return false;
    n->slot[i] = h;
    n->count++;
    return true;
}

static void sealed(uint64_t key, uint64_t seq)
{
    uint64_t h = hash(&seq, sizeof(seq), key);
    if (!nonce_is_new(&the_world->ledger.sealed, h ? h : 1))
        world_fail(the_world, "nonce",
                   "an engine of %c seals a second packet under one key with sequence %llu", the_site->letter,
                   (unsigned long long)seq);
}

// ---- the seal log: every software engine is watched at its operations, every card at its bus

struct sealer check_sealer(uint32_t spi, const uint8_t key[32], const uint8_t salt[4])
{
    struct sealer s = {.key = hash(salt, 4, hash(key, 32, 7)), .known = SIZE_MAX};
    for (size_t k = 0; k < the_world->ledger.key_count; k++)
        if (the_world->ledger.keys[k].site == the_site->index && the_world->ledger.keys[k].spi == spi)
            s.known = k;
    return s;
}

enum { WATCHED = 512 };
struct watched { // outbound SAs by their address
    const struct esp_engine *of;
    const struct esp_sa *sa;
    struct sealer sealer;
    bool gone; // its place may be another's when there is no other
};
static struct watched watched[WATCHED]; // cleared with the world
static const struct esp_engine_ops *real_ops;
static const struct esp_queue_ops *real_queue_ops;

static struct watched *place_of(const struct esp_sa *sa)
{
    struct watched *gone = NULL;
    for (unsigned i = 0; i < WATCHED; i++) {
        if (!watched[i].sa || watched[i].sa == sa)
            return &watched[i];
        if (watched[i].gone)
            gone = &watched[i];
    }
    if (!gone)
        abort();
    return gone;
}

static int watch_add(struct esp_engine *e, const struct esp_sa_params *p, void *cookie, struct esp_sa **sa,
                     struct esp_error *err)
{
    int rc = real_ops->sa_add(e, p, cookie, sa, err);
    if (rc == 0 && *sa && p->dir == ESP_OUT) {
        struct watched *one = place_of(*sa);
        *one = (struct watched){.of = e, .sa = *sa, .sealer = check_sealer(p->spi, p->key, p->salt)};
    }
    return rc;
}

static int watch_delete(struct esp_engine *e, struct esp_sa *sa)
{
    for (unsigned i = 0; i < WATCHED; i++)
        watched[i].gone |= watched[i].sa == sa;
    return real_ops->sa_delete(e, sa);
}

static void watch_destroy(struct esp_engine *e)
{
    for (unsigned i = 0; i < WATCHED; i++)
        watched[i].gone |= watched[i].of == e;
    real_ops->destroy(e);
}

// RFC 4301 section 5.1: what goes into an SA lies in its selectors. A later fragment shows no ports.
static bool in_one_of(const struct ts t[2], const struct view *v, const uint8_t *addr, uint16_t port)
{
    bool shown = v->proto == IPPROTO_UDP && !v->piece;
    for (int i = 0; i < 2; i++)
        if (ts_match(&t[i], v->family, addr, v->proto, shown ? port : t[i].port_lo))
            return true;
    return false;
}

static void check_selectors(const struct sealer *s, const uint8_t *p)
{
    const struct ledger *l = &the_world->ledger;
    struct view v;
    if (s->known == SIZE_MAX || !view_of(&v, p, PACKET_MAX) || v.proto == IPPROTO_ICMP ||
        v.proto == IPPROTO_ICMPV6)
        return;
    if (!in_one_of(l->keys[s->known].local, &v, v.from, v.sport) ||
        !in_one_of(l->keys[s->known].remote, &v, v.to, v.dport))
        world_fail(the_world, "selectors", "id %lld goes into SPI %08x of %c, whose selectors do not hold it",
                   (long long)check_id(p, PACKET_MAX), l->keys[s->known].spi, the_site->letter);
}

// RFC 4301 section 4.4.1: a packet belongs to the first policy that holds it. Only what was sent after the
// load was confirmed is judged: others may wait for an engine.
static void check_order(const uint8_t *p)
{
    uint64_t since;
    int64_t id = check_id(p, PACKET_MAX);
    enum said said = verdict(the_site, p, PACKET_MAX, false, &since);
    if ((said == SAYS_PASS || said == SAYS_DROP) && id >= 0 && the_world->ledger.sent[id].at > since)
        world_fail(the_world, "order", "id %lld goes into an SA of %c, where a child %s it", (long long)id,
                   the_site->letter, said == SAYS_PASS ? "passes" : "drops");
}

void check_seals(const struct sealer *s, uint64_t seq, const uint8_t *inner)
{
    sealed(s->key, seq);
    if (!inner) // a dummy
        return;
    check_selectors(s, inner);
    check_order(inner);
}

static unsigned watch_submit(struct esp_queue *q, struct esp_job **jobs, unsigned n)
{
    unsigned taken = real_queue_ops->submit(q, jobs, n);
    for (unsigned k = 0; k < taken; k++) {
        unsigned i = 0;
        if (jobs[k]->op != ESP_ENCAP || jobs[k]->status != ESP_STATUS_OK)
            continue;
        while (i < WATCHED && watched[i].sa != jobs[k]->sa)
            i++;
        if (i < WATCHED)
            check_seals(&watched[i].sealer, jobs[k]->seq, jobs[k]->dummy ? NULL : jobs[k]->in);
    }
    return taken;
}

static void watch(struct esp_engine *e, unsigned queues)
{
    static struct esp_engine_ops ops;
    static struct esp_queue_ops queue_ops;
    real_ops = e->ops;
    ops = *real_ops;
    ops.sa_add = watch_add;
    ops.sa_delete = watch_delete;
    ops.destroy = watch_destroy;
    e->ops = &ops;
    real_queue_ops = e->queue[0]->ops;
    queue_ops = *real_queue_ops;
    queue_ops.submit = watch_submit;
    for (unsigned i = 0; i < queues; i++)
        e->queue[i]->ops = &queue_ops;
}

int __real_esp_soft_open(struct esp_engine **e, struct esp_error *err);
int __wrap_esp_soft_open(struct esp_engine **e, struct esp_error *err);
int __wrap_esp_soft_open(struct esp_engine **e, struct esp_error *err)
{
    int rc = __real_esp_soft_open(e, err);
    if (!rc)
        watch(*e, 1);
    return rc;
}

int __real_esp_soft_open_queues(struct esp_engine **e, unsigned queues, struct esp_error *err);
int __wrap_esp_soft_open_queues(struct esp_engine **e, unsigned queues, struct esp_error *err);
int __wrap_esp_soft_open_queues(struct esp_engine **e, unsigned queues, struct esp_error *err)
{
    int rc = __real_esp_soft_open_queues(e, queues, err);
    if (!rc)
        watch(*e, queues);
    return rc;
}

// An exchange counts with its first answer, and once: neither what goes out again nor further fragments.
void check_exchange(struct world *w, struct slice ike)
{
    const uint8_t *p = ike.p;
    bool init = ike.len >= 28 && p[18] == 34, sealed = ike.len >= 28 && (p[16] == 46 || p[16] == 53);
    if (!(init || sealed) || !(p[19] & 0x20))
        return;
    uint64_t h = hash(p + 18, 6, hash(p, 8, 11));
    w->exchanges += nonce_is_new(&w->ledger.exchanges, h ? h : 1);
}

static void check_esp(struct site *s, const uint8_t *esp, uint32_t len)
{
    struct ledger *l = &s->w->ledger;
    uint32_t spi = get32(esp);
    if (len < 16)
        return;
    for (size_t i = l->key_count; i--;) {
        if (l->keys[i].site != s->index || l->keys[i].spi != spi)
            continue;
        uint64_t h = hash(esp + 8, 8, l->keys[i].key);
        if (!nonce_is_new(&l->sent_nonces, h ? h : 1))
            world_fail(s->w, "nonce", "%c sends SPI %08x sequence %u with an IV that its key has seen",
                       s->letter, spi, get32(esp + 4));
        return;
    }
    world_fail(s->w, "nonce", "%c sends ESP of SPI %08x, which path was never given", s->letter, spi);
}

// ---- packets

static bool holds_clear(const uint8_t *p, uint32_t len)
{
    for (uint32_t i = 20; i + MAGIC_LEN <= len; i++)
        if (p[i] == magic[0] && !memcmp(p + i, magic, MAGIC_LEN))
            return true;
    return false;
}

static bool list_has(struct selectors l, uint8_t family, const uint8_t *addr, uint8_t proto, uint16_t port)
{
    for (unsigned i = 0; i < l.count; i++)
        if (ts_match(&l.t[i], family, addr, proto, port))
            return true;
    return false;
}

// Both ends have been told that it is there, and it has not been deleted.
static bool living_sa_covers(struct site *s, const struct view *v)
{
    bool udp = v->proto == IPPROTO_UDP;
    for (struct child *c = s->d.path ? s->d.path->children : NULL; c; c = c->next)
        if (c->reported && !c->dying && c->out.state == HALF_READY && c->policy &&
            list_has(policy_local(c->policy), v->family, v->from, v->proto, udp ? v->sport : 0) &&
            list_has(policy_remote(c->policy), v->family, v->to, v->proto, udp ? v->dport : 0))
            return true;
    return false;
}

void check_wire(struct site *s, const uint8_t *p, uint32_t len)
{
    struct world *w = s->w;
    struct view v;
    if (!view_of(&v, p, len))
        return;
    bool udp = v.proto == IPPROTO_UDP, nat_t = udp && v.sport == 4500;
    bool host = check_id(p, len) >= 0; // a host's packet, or that of a program of the gateway's, as it was
    if (host || !site_owns(s, v.src)) {
        TRACE(w, 62, check_id(p, len), "%c wire: in clear, id %lld", s->letter, (long long)check_id(p, len));
    } else if (v.proto == IPPROTO_ESP || (nat_t && len > v.at + 12 && get32(p + v.at + 8))) {
        uint32_t at = v.at + (nat_t ? 8 : 0);
        TRACE(w, 60, hash(p + at, 8, 1), "%c wire: ESP%s %08x seq %u, %u octets", s->letter,
              nat_t ? " in UDP" : "", get32(p + at), get32(p + at + 4), len);
        check_esp(s, p + at, len - at);
    } else {
        TRACE(w, 61, hash(p + v.at, len - v.at, 1), "%c wire: proto %u port %u, %u octets, id %lld",
              s->letter, v.proto, udp ? v.sport : 0, len, (long long)check_id(p, len));
    }
    if (!holds_clear(p, len))
        return;
    if (!host && site_owns(s, v.src))
        world_fail(w, "clear", "%c sends what a host said inside a packet of its own", s->letter);
    else if (check_required(s, p, len, false))
        world_fail(w, "clear", "id %lld leaves %c in clear; its policy is loaded",
                   (long long)check_id(p, len), s->letter);
    else if (living_sa_covers(s, &v) && !verdict_may_pass(s, p, len))
        world_fail(w, "clear", "id %lld leaves %c in clear; an SA for it lives", (long long)check_id(p, len),
                   s->letter);
}

// A virtual address is where it is given now.
static bool meant_for(const struct site *s, const struct sent *e, uint32_t dst)
{
    return e->to == s->index || (e->warrior && kernel_model_virtual(s->kernel, dst));
}

void check_delivered(struct site *s, const uint8_t *p, uint32_t len, bool from_tun)
{
    struct world *w = s->w;
    int64_t id = check_id(p, len);
    struct view v;
    if (!view_of(&v, p, len))
        return;
    if (((v.proto == IPPROTO_ICMP && v.sport == 3) || (v.proto == IPPROTO_ICMPV6 && v.sport < 128)) &&
        site_owns(s, v.src))
        return; // the gateway's own word about a packet that cannot go on
    if (id < 0 || (size_t)id >= w->ledger.count) {
        world_fail(w, "foreign", "%c delivers a packet that nobody sent", s->letter);
        return;
    }
    struct sent *e = &w->ledger.sent[id];
    TRACE(w, 70 + from_tun, id, "%c delivers id %lld%s", s->letter, (long long)id,
          from_tun ? " out of a tunnel" : "");
    if (!from_tun) {
        if (check_required(s, p, len, true))
            world_fail(w, "clear-in", "id %lld came to %c in clear and is delivered; its policy is loaded",
                       (long long)id, s->letter);
        e->seen = 1;
        return;
    }
    uint64_t since, h = 0xcbf29ce484222325u;
    if (verdict(s, p, len, true, &since) == SAYS_DROP && e->at > since)
        world_fail(w, "order", "id %lld comes out of a tunnel at %c, where a child drops it", (long long)id,
                   s->letter);
    for (uint32_t i = v.family == 6 ? 40 : 20; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    if (e->forged || !meant_for(s, e, v.dst) || e->len != len || e->hash != h)
        world_fail(w, "foreign", "id %lld out of a tunnel at %c is not what %c sent", (long long)id,
                   s->letter, w->site[e->from].letter);
    else if (e->delivered++)
        world_fail(w, "twice", "id %lld comes out of a tunnel at %c for the second time", (long long)id,
                   s->letter);
    w->packets_through++;
    if (e->own && !e->warrior)
        service_own_arrived(w, (uint64_t)id);
}

// ---- the end

static bool has_ike(const struct operator* op, const struct sa_seen *x)
{
    for (unsigned i = 0; i < op->ikes; i++)
        if (op->ike[i].spi_i == x->spi_i && op->ike[i].spi_r == x->spi_r)
            return true;
    return false;
}

static bool has_child(const struct operator* op, const struct sa_seen *x)
{
    for (unsigned i = 0; i < op->children; i++)
        if (op->child[i].spi_in == x->spi_out && op->child[i].spi_out == x->spi_in)
            return true;
    return false;
}

static void agree(struct site *s, struct site *peer, const struct pair *p)
{
    for (unsigned i = 0; i < s->op.ikes; i++) {
        const struct sa_seen *x = &s->op.ike[i];
        if (names_pair(p, x->conn) && !strcmp(x->state, "ESTABLISHED") && !has_ike(&peer->op, x))
            world_fail(s->w, "agreement", "%c has IKE_SA %s %016llx_i %016llx_r, %c has not", s->letter,
                       p->name, (unsigned long long)x->spi_i, (unsigned long long)x->spi_r, peer->letter);
    }
    for (unsigned i = 0; i < s->op.children; i++) {
        const struct sa_seen *x = &s->op.child[i];
        if (names_pair(p, x->conn) && !strcmp(x->state, "INSTALLED") && !has_child(&peer->op, x))
            world_fail(s->w, "agreement", "%c has CHILD_SA %s/%s %08x_i %08x_o, %c has not", s->letter,
                       p->name, x->child, x->spi_in, x->spi_out, peer->letter);
    }
}

void check_agreement(struct world *w)
{
    for (unsigned i = 0; i < w->pairs && !w->failed; i++) {
        struct site *a = &w->site[w->pair[i].a], *b = &w->site[w->pair[i].b];
        if (!a->op.listed || !b->op.listed) {
            world_fail(w, "control", "ctl of %c or %c does not list its SAs", a->letter, b->letter);
            return;
        }
        if (w->fair && w->pair[i].begins < 2)
            continue; // one end has come again, and the other waits for it or has to give up first
        agree(a, b, &w->pair[i]);
        agree(b, a, &w->pair[i]);
    }
}

static unsigned ikes_of(const struct operator* op, const struct pair *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < op->ikes; i++)
        n += names_pair(p, op->ike[i].conn) && !strcmp(op->ike[i].state, "ESTABLISHED");
    return n;
}

void check_one(struct world *w)
{
    for (unsigned i = 0; i < w->pairs; i++) {
        const struct pair *p = &w->pair[i];
        for (unsigned k = 0; k < 2; k++) {
            const struct site *s = &w->site[k ? p->b : p->a];
            unsigned n = ikes_of(&s->op, p);
            // Two that crossed, and then one end has gone before it had ended its own: the other waits for
            // it, or has to give up first.
            bool waits = p->up_from == UINT64_MAX && p->begins < 2;
            if ((n > 1 && !waits) || (n == 0 && p->up_from != UINT64_MAX))
                world_fail(w, "one", "%c has %u IKE_SAs of %s at rest", s->letter, n, p->name);
        }
    }
}

void check_leaks(struct world *w)
{
    for (unsigned i = 0; i < w->sites; i++) {
        const struct path *p = w->site[i].d.path;
        unsigned held = PATH_JOBS, waiting = 0, said = 0;
        held *= p ? p->workers : 1;
        for (unsigned n = 0; p && n < p->workers; n++) {
            for (const struct packet *k = p->worker[n].free; k; k = k->next)
                held--;
            said += p->worker[n].waiting;
        }
        for (const struct child *c = p ? p->children : NULL; c; c = c->next) {
            waiting += c->out.waiting.count + c->in.waiting.count;
            if (c->dying)
                world_fail(w, "leak", "%c still holds CHILD_SA %s{%u}, which is deleted", w->site[i].letter,
                           c->c.name, c->c.child_id);
        }
        if (p && (held || waiting || said))
            world_fail(w, "leak", "%c holds %u packets when all is silent, %u wait for an SA, %u are said to",
                       w->site[i].letter, held, waiting, said);
    }
}

void check_free(struct ledger *l)
{
    free(l->sent);
    free(l->sent_nonces.slot);
    free(l->sealed.slot);
    free(l->exchanges.slot);
    memset(watched, 0, sizeof(watched));
    free(l->keys);
    *l = (struct ledger){0};
}
