// SPDX-License-Identifier: Apache-2.0
// A packet between the interfaces of one site: to the daemon's sockets, to the TUN, to the LAN or out.
#include <netinet/in.h>
#include <string.h>

#include "ctrl/lib/log.h"
#include "tests/world/world.h"

static bool put(struct site *s, struct queue *q, const uint8_t *p, uint32_t len)
{
    if (s->d.life == DOWN || !s->d.path || q->tail - q->head == QUEUE_LEN || len > PACKET_MAX)
        return false;
    unsigned i = q->tail++ % QUEUE_LEN;
    q->slot[i].len = len;
    memcpy(q->slot[i].bytes, p, len);
    daemon_wake(s);
    return true;
}

static void to_ike(struct site *s, const struct view *v, const uint8_t *p, uint32_t len, bool nat_t)
{
    struct net_path path = {.nat_t = nat_t, .local_port = nat_t ? 4500 : 500, .remote_port = v->sport};
    uint32_t at = v->at + (nat_t ? 12 : 8);
    if (!s->d.ike || len < at)
        return;
    path.local.family = path.remote.family = v->family;
    memcpy(path.local.a, v->to, 16);
    memcpy(path.remote.a, v->from, 16);
    the_site = s;
    struct log *before = log_use(s->d.log[ROOM_IKE]);
    unsigned memory = memory_of(s);
    ike_receive(s->d.ike, &path, slice_of(p + at, len - at));
    memory_as(memory);
    log_use(before);
    daemon_wake(s);
}

// See follows() in daemon.c: what is put together comes to the socket of what is first.
static bool goes_with_esp(const struct site *s, const struct view *v, uint32_t len)
{
    const struct queue *q = v->family == 6 ? &s->d.udp6 : &s->d.udp;
    unsigned last = (q->tail - 1) % QUEUE_LEN;
    struct view before;
    return (s->w->o.seed & 1) && q->head != q->tail && q->slot[last].len >= len &&
           view_of(&before, q->slot[last].bytes, q->slot[last].len) && before.sport == v->sport &&
           !memcmp(before.from, v->from, 16) && !memcmp(before.to, v->to, 16);
}

// The sockets of ike and path see their own before any policy does.
static bool to_sockets(struct site *s, const struct view *v, const uint8_t *p, uint32_t len)
{
    if (!site_has(s, v->family, v->dst))
        return false;
    if (v->proto == IPPROTO_ESP) {
        put(s, v->family == 6 ? &s->d.raw6 : &s->d.raw, p, len);
        return true;
    }
    if (v->proto != IPPROTO_UDP || len < v->at + 9)
        return false;
    if (v->dport == 500) {
        to_ike(s, v, p, len, false);
    } else if (v->dport == 4500) {
        if (len >= v->at + 12 && get32(p + v->at + 8) == 0 && !goes_with_esp(s, v, len))
            to_ike(s, v, p, len, true);
        else
            put(s, v->family == 6 ? &s->d.udp6 : &s->d.udp, p, len);
    } else {
        return false;
    }
    return true;
}

static void drops(struct site *s, enum verdict v, const uint8_t *p, uint32_t len)
{
    *(v == DROP_POLICY ? &s->dropped_policy : &s->no_route) += 1;
    TRACE(s->w, 20 + v, check_id(p, len), "%c drops id %lld (%s)", s->letter, (long long)check_id(p, len),
          v == DROP_POLICY ? "policy" : "no route");
}

void gateway_out(struct site *s, const uint8_t *p, uint32_t len)
{
    enum iface out = IF_NONE;
    enum verdict v = kernel_model_output(s->kernel, p, len, &out);
    if (v != PASS_TO)
        drops(s, v, p, len);
    else if (out == IF_TUN)
        put(s, &s->d.tun, p, len);
    else if (out == IF_WAN)
        wire_send(s, p, len);
}

void gateway_in(struct site *s, enum iface in, const uint8_t *p, uint32_t len)
{
    enum iface out = IF_NONE;
    struct view view;
    if (!view_of(&view, p, len))
        return;
    if (in == IF_WAN && to_sockets(s, &view, p, len))
        return;
    enum verdict v = kernel_model_forward(s->kernel, in, p, len, &out);
    if (v != PASS_TO) {
        drops(s, v, p, len);
        return;
    }
    switch (out) {
    case IF_TUN: put(s, &s->d.tun, p, len); break;
    case IF_LAN: check_delivered(s, p, len, in == IF_TUN); break;
    case IF_LOCAL: // to a program of its own, where there is one
        if (check_id(p, len) >= 0)
            check_delivered(s, p, len, in == IF_TUN);
        break;
    case IF_WAN:
        if (in == IF_WAN)
            return; // not a router of the network's
        wire_send(s, p, len);
        break;
    default: break;
    }
}
