// SPDX-License-Identifier: Apache-2.0
// The network between the sites: it loses, delays, doubles, reorders and corrupts, parts of it go down, and a
// NAT in front of a site gives it other ports when it likes. Packets are whole IP packets.
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "tests/world/world.h"

struct flying {
    struct site *to;
    uint32_t len;
    uint8_t bytes[];
};

// ---- NAT, of IPv4: UDP alone, one outside port for each inside port

// What it sends from its address at home.
static bool translates(const struct site *s, const struct view *v)
{
    return s->nat.on && v->family == 4 && v->src == s->wan;
}

static bool nat_out(struct site *s, uint8_t *p)
{
    struct nat *n = &s->nat;
    unsigned i = 0;
    uint16_t port = get16(p + 20);
    if (p[9] != IPPROTO_UDP || get32(p + 12) != s->wan)
        return false;
    while (i < n->maps && n->map[i].in != port)
        i++;
    if (i == n->maps) {
        if (n->maps == sizeof(n->map) / sizeof(n->map[0]))
            return false;
        n->map[n->maps].in = port;
        n->map[n->maps++].out = n->next_port++;
    }
    put32(p + 12, n->outside);
    put16(p + 20, n->map[i].out);
    return true;
}

static bool nat_in(struct site *s, uint8_t *p)
{
    struct nat *n = &s->nat;
    for (unsigned i = 0; p[9] == IPPROTO_UDP && i < n->maps; i++) {
        if (n->map[i].out == get16(p + 22)) {
            put32(p + 16, s->wan);
            put16(p + 22, n->map[i].in);
            return true;
        }
    }
    return false;
}

void nat_rebind(struct site *s)
{
    TRACE(s->w, 10, s->index, "%c NAT rebinds", s->letter);
    s->nat.maps = 0;
}

// ---- the way

// What is in clear between two networks finds its way past a NAT, as on a line of one's own.
static bool to_lan(const struct site *s, const uint8_t *p)
{
    struct view v;
    return view_of(&v, p, PACKET_MAX) && (v.dst & 0xffff0000u) == s->lan;
}

// At its receiver: UDP 500, or 4500 with the marker.
static bool is_ike(const uint8_t *p, uint32_t len)
{
    struct view v;
    return view_of(&v, p, len) && v.proto == IPPROTO_UDP && len >= v.at + 12 &&
           (v.dport == 500 || (v.dport == 4500 && get32(p + v.at + 8) == 0));
}

enum { FROM_THE_WIRE, FROM_A_SOCKET };
static void arrive(struct world *w, void *ctx, uint64_t from)
{
    struct flying *f = ctx;
    struct site *s = f->to;
    if (from == FROM_THE_WIRE && s->nat.on && f->bytes[0] >> 4 == 4 &&
        get32(f->bytes + 16) == s->nat.outside && !nat_in(s, f->bytes)) {
        TRACE(w, 11, s->index, "net: the NAT of %c knows no such port", s->letter);
    } else if (w->now < s->d.frozen_until && is_ike(f->bytes, f->len)) {
        agenda_add(w, s->d.frozen_until - w->now, arrive, f, FROM_A_SOCKET);
        return;
    } else {
        s->rx++;
        service_arrived(s, f->bytes, f->len);
        gateway_in(s, IF_WAN, f->bytes, f->len);
    }
    free(f);
}

void network_forget(const struct event *e)
{
    if (e->fn == arrive)
        free(e->ctx);
}

// Somebody keeps what he sees of a site's ESP, and sends it once more when it suits him.
enum { KEPT = 32 };
static struct {
    uint32_t len;
    uint8_t bytes[PACKET_MAX];
} kept[SITES][KEPT];
static unsigned kept_count[SITES];

void network_clear(void)
{
    memset(kept_count, 0, sizeof(kept_count));
}

static void keep(const struct site *to, const uint8_t *p, uint32_t len)
{
    struct rng *r = &to->w->rng;
    unsigned i = kept_count[to->index] < KEPT ? kept_count[to->index]++ : (unsigned)rng_below(r, KEPT);
    kept[to->index][i].len = len;
    memcpy(kept[to->index][i].bytes, p, len);
}

void replay(struct site *to)
{
    if (!kept_count[to->index])
        return;
    unsigned i = (unsigned)rng_below(&to->w->rng, kept_count[to->index]);
    uint8_t *p = kept[to->index][i].bytes;
    TRACE(to->w, 13, get32(p + (p[0] >> 4 == 6 ? 44 : 24)), "somebody sends to %c again what it has had",
          to->letter);
    gateway_in(to, IF_WAN, p, kept[to->index][i].len);
}

static void launch(struct world *w, struct site *to, const uint8_t *p, uint32_t len)
{
    struct flying *f = malloc(sizeof(*f) + len);
    if (!f)
        abort();
    f->to = to;
    f->len = len;
    memcpy(f->bytes, p, len);
    uint32_t at = p[0] >> 4 == 6 ? 48 : 28; // beyond what a checksum of IP or UDP would catch
    if (rng_chance(&w->rng, w->corrupt) && len > at && !to_lan(to, p) && check_id(p, len) < 0)
        f->bytes[rng_between(&w->rng, at, len - 1)] ^= (uint8_t)(1u << rng_below(&w->rng, 8));
    agenda_add(w, 4000 + rng_below(&w->rng, 1 + 1000ull * w->jitter), arrive, f, FROM_THE_WIRE);
}

// Before its ports are translated: UDP 500, or 4500 with the marker.
static bool is_ike_auth(const uint8_t *p, uint32_t len)
{
    enum { IKE_AUTH = 35, TYPE_AT = 18 };
    struct view v;
    if (!view_of(&v, p, len) || v.proto != IPPROTO_UDP)
        return false;
    bool nat_t = v.dport == 4500 || v.sport == 4500;
    uint32_t at = v.at + (nat_t ? 12 : 8);
    return len > at + 28 && (!nat_t || get32(p + v.at + 8) == 0) && p[at + TYPE_AT] == IKE_AUTH;
}

// Where what is sent to that address comes to, just now.
static bool is_at(const struct site *s, uint8_t family, uint32_t n)
{
    if (s->nat.on && family == 4 && (n == s->nat.outside || n == s->wan))
        return n == s->nat.outside && site_has(s, 4, s->wan);
    return site_has(s, family, n);
}

void wire_send(struct site *s, const uint8_t *packet, uint32_t len)
{
    struct world *w = s->w;
    uint8_t p[PACKET_MAX];
    struct site *to = NULL;
    struct view v;
    if (len > sizeof(p) || len < 28 || !view_of(&v, packet, len))
        return;
    memcpy(p, packet, len);
    s->tx++;
    check_wire(s, p, len);
    if (site_owns(s, v.src) && !site_has(s, v.family, v.src)) {
        TRACE(w, 15, len, "%c has the address no more from which it sends", s->letter);
        return;
    }
    if (translates(s, &v) && !nat_out(s, p))
        return;
    for (unsigned i = 0; i < w->sites; i++)
        if (is_at(&w->site[i], v.family, v.dst) || to_lan(&w->site[i], p))
            to = &w->site[i];
    if (to && !to_lan(to, p) && w->now < w->auth_lost_until && is_ike_auth(p, len)) {
        TRACE(w, 14, len, "net: an IKE_AUTH of %c is lost", s->letter);
        return;
    }
    if (!to || w->link_down[s->index][to->index] || rng_chance(&w->rng, w->loss)) {
        TRACE(w, 12, len, "net: %u octets of %c are lost%s", len, s->letter,
              to ? "" : ": nobody has the address");
        return;
    }
    launch(w, to, p, len);
    if (v.proto == IPPROTO_ESP && rng_chance(&w->rng, 100))
        keep(to, p, len);
    if (rng_chance(&w->rng, w->dup))
        launch(w, to, p, len);
}
