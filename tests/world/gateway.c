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

static void to_ike(struct site *s, const uint8_t *p, uint32_t len, bool nat_t)
{
    struct net_path path = {.nat_t = nat_t, .local_port = nat_t ? 4500 : 500, .remote_port = get16(p + 20)};
    uint32_t at = nat_t ? 32 : 28;
    if (!s->d.ike || len < at)
        return;
    path.local.family = path.remote.family = 4;
    memcpy(path.local.a, p + 16, 4);
    memcpy(path.remote.a, p + 12, 4);
    the_site = s;
    struct log *before = log_use(s->d.log[ROOM_IKE]);
    ike_receive(s->d.ike, &path, slice_of(p + at, len - at));
    log_use(before);
    daemon_wake(s);
}

// The sockets of ike and path see their own before any policy does.
static bool to_sockets(struct site *s, const uint8_t *p, uint32_t len)
{
    if (get32(p + 16) != s->wan)
        return false;
    if (p[9] == IPPROTO_ESP) {
        put(s, &s->d.raw, p, len);
        return true;
    }
    if (p[9] != IPPROTO_UDP || len < 29)
        return false;
    if (get16(p + 22) == 500) {
        to_ike(s, p, len, false);
    } else if (get16(p + 22) == 4500) {
        if (len >= 32 && get32(p + 28) == 0)
            to_ike(s, p, len, true);
        else
            put(s, &s->d.udp, p, len);
    } else {
        return false;
    }
    return true;
}

void gateway_in(struct site *s, enum iface in, const uint8_t *p, uint32_t len)
{
    enum iface out = IF_NONE;
    if (len < 20 || p[0] != 0x45)
        return;
    if (in == IF_WAN && to_sockets(s, p, len))
        return;
    enum verdict v = kernel_model_forward(s->kernel, in, p, len, &out);
    if (v != PASS_TO) {
        *(v == DROP_POLICY ? &s->dropped_policy : &s->no_route) += 1;
        TRACE(s->w, 20 + v, check_id(p, len), "%c drops id %lld (%s)", s->letter, (long long)check_id(p, len),
              v == DROP_POLICY ? "policy" : "no route");
        return;
    }
    switch (out) {
    case IF_TUN: put(s, &s->d.tun, p, len); break;
    case IF_LAN: check_delivered(s, p, len, in == IF_TUN); break;
    case IF_WAN:
        if (in == IF_WAN)
            return; // not a router of the network's
        wire_send(s, p, len);
        break;
    default: break;
    }
}
