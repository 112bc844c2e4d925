// SPDX-License-Identifier: Apache-2.0
// See mtu.h.
#include "ctrl/path/mtu.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "ctrl/path/icmp.h"
#include "ctrl/path/io.h"

enum { IP4 = 20, IP6 = 40, UDP = 8, ESP = 8, AH = 12, TRAILER = 2, LEAST4 = 552, LEAST6 = 1280 };
enum { ASK_AGAIN_MS = 10000, ASK_AT_MOST_MS = 100 };

struct sizes {
    uint8_t iv, icv, align;
};

static struct sizes cipher(enum esp_alg a)
{
    static const struct sizes all[] = {[ESP_ALG_NONE] = {0, 0, 1},
#define X(sym, name, key, salt, iv, icv, align) [ESP_ALG_##sym] = {iv, icv, align},
                                       ESP_ALG_LIST(X)
#undef X
    };
    return all[a];
}

static struct sizes integrity(enum esp_integ a)
{
    static const struct sizes all[] = {[ESP_INTEG_NONE] = {0, 0, 0},
#define X(sym, name, key, salt, iv, icv) [ESP_INTEG_##sym] = {iv, icv, 0},
                                       ESP_INTEG_LIST(X)
#undef X
    };
    return all[a];
}

uint32_t mtu_inside(const struct esp_sa_params *s, uint32_t path_mtu)
{
    struct sizes c = cipher(s->alg), i = integrity(s->integ);
    bool ah = s->protocol == ESP_PROTOCOL_AH, transport = s->mode == ESP_TRANSPORT;
    uint32_t ip = s->ipv6 ? IP6 : IP4, step = s->ipv6 ? 8 : 4;
    uint32_t own =
        ah ? (AH + i.iv + i.icv + step - 1) / step * step : (uint32_t)ESP + c.iv + (c.icv ? c.icv : i.icv);
    uint32_t around = ip + (s->udp_encap ? UDP : 0) + own;
    if (path_mtu < around + 64)
        return 0;
    uint32_t room = path_mtu - around;
    if (!ah)
        room = room / c.align * c.align - TRAILER;
    return room + (transport ? ip : 0); // which is the packet's own there
}

static void learn(struct worker *w, struct child *c)
{
    struct esp_sa_params s;
    const struct addr *from = &c->c.local, *to = &c->c.remote;
    uint32_t least =
        from->family == 6 ? LEAST6 : LEAST4; // Linux believes in no less (net.ipv4.route.min_pmtu)
    int mtu = w->net.path_mtu ? w->net.path_mtu(w->net.ctx, from, to) : -ENOSYS;
    c->mtu_at = loop_now(w->p->loop);
    c->path_mtu = mtu <= 0 ? 0 : (uint32_t)mtu < least ? least : (uint32_t)mtu;
    sadb_shape(&c->out, &s);
    c->inner_mtu = c->path_mtu ? mtu_inside(&s, c->path_mtu) : UINT32_MAX;
}

static void learn_if_due(struct worker *w, struct child *c)
{
    if (!c->inner_mtu || loop_now(w->p->loop) - c->mtu_at >= ASK_AGAIN_MS)
        learn(w, c);
}

uint16_t mtu_padded(struct worker *w, struct child *c)
{
    uint32_t most = w->p->set.mtu; // nothing longer comes out of the TUN
    learn_if_due(w, c);
    if (c->inner_mtu < most)
        most = c->inner_mtu;
    return most == 0 ? 1 : most < UINT16_MAX ? (uint16_t)most : UINT16_MAX;
}

void mtu_forget(struct child *c)
{
    c->inner_mtu = c->path_mtu = 0;
}

static bool is4(const uint8_t *p)
{
    return p[0] >> 4 == 4;
}

// WHOLE: encrypted as it is, and where the kernel refuses that, the outer packet goes in fragments.
enum way { WHOLE, INSIDE, TELL };

static enum way way_of(const struct child *c, const uint8_t *p, uint32_t len)
{
    if (!is4(p) && len <= LEAST6)
        return WHOLE;
    if (c->c.local.family == 6)
        return is4(p) && !(p[6] & 0x40) ? INSIDE : TELL;
    if (!c->c.copy_df)
        return WHOLE;
    if (!is4(p) || p[6] & 0x40)
        return TELL;
    return c->c.mode == MODE_TUNNEL ? INSIDE : WHOLE; // ESP holds no fragments in transport mode
}

// ---- before encryption

static bool send_inside(struct worker *w, const struct packet *whole, struct child *c)
{
    struct ip_cut g;
    struct packet *pkt;
    if (!ip_cut_begin(&g, whole->job.in, whole->job.in_len, c->inner_mtu, 0))
        return false;
    w->fragmented_before++;
    while (g.at < g.len) {
        if (!(pkt = packet_get(w))) {
            w->queue_full++;
            break;
        }
        pkt->job.op = ESP_ENCAP;
        pkt->vti = whole->vti;
        pkt->job.in_len = pkt->inner_len = ip_cut_next(&g, pkt->job.in, w->buffer);
        pkt->child = c;
        c->in_flight++;
        w->fragments++;
        packet_arrives(w, pkt);
        queue_put(w, pkt);
    }
    return true;
}

static void tell(struct worker *w, const struct child *c, const uint8_t *p, uint32_t len)
{
    struct fields f;
    uint32_t mtu = !is4(p) && c->inner_mtu < LEAST6 ? LEAST6 : c->inner_mtu;
    if (mtu >= len || !fields_parse(p, len, &f))
        return;
    f.vti = c->vti;
    icmp_too_big(w, p, len, &f, mtu);
}

bool mtu_takes(struct worker *w, struct packet *pkt, struct child *c)
{
    const uint8_t *p = pkt->job.in;
    uint32_t len = pkt->job.in_len;
    bool taken = true;
    learn_if_due(w, c);
    enum way way = len <= c->inner_mtu ? WHOLE : way_of(c, p, len);
    c->in_flight++; // it stays until the last fragment is on its way
    if (way == INSIDE && send_inside(w, pkt, c)) {
        packet_release(w, pkt);
    } else if (way == TELL) {
        tell(w, c, p, len);
        io_drop(w, pkt, ESP_STATUS_TOO_LONG);
    } else {
        taken = false;
    }
    c->in_flight--;
    return !taken;
}

// ---- after it

static bool send_one(struct worker *w, uint8_t *p, uint32_t len)
{
    struct sockaddr_storage to;
    struct iovec v = {p, len};
    struct addr a = {.family = is4(p) ? 4 : 6};
    memcpy(a.a, p + (is4(p) ? 16 : 24), is4(p) ? 4 : 16);
    addr_to_sockaddr(&a, 0, &to);
    struct mmsghdr m = {
        .msg_hdr = {.msg_name = &to,
                    .msg_namelen = is4(p) ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
                    .msg_iov = &v,
                    .msg_iovlen = 1}};
    return w->net.send(w->net.ctx, &m, 1) == 1;
}

// A fragment needs an ID, which an IPv4 packet with DF has not; AH's ICV is over it. Of IPv6 no two of 2^32
// packets of an SA have the same one, and SAs count from elsewhere.
static uint32_t fragment_id(const struct packet *pkt)
{
    const struct child *c = pkt->child;
    uint16_t id = (uint16_t)(pkt->job.seq + child_id_offset(c));
    return c->c.local.family == 6 ? (uint32_t)pkt->job.seq ^ c->c.spi_out : id ? id : 1;
}

static bool send_outside(struct worker *w, struct packet *pkt)
{
    struct ip_cut g;
    const struct child *c = pkt->child;
    uint32_t n;
    if (c->ah && c->c.local.family != 6 && pkt->job.out[6] & 0x40)
        return false;
    if (!c->path_mtu || !ip_cut_begin(&g, pkt->job.out, pkt->job.out_len, c->path_mtu, fragment_id(pkt)))
        return false;
    while ((n = ip_cut_next(&g, pkt->in, w->buffer))) { // what was in there is sealed
        if (!send_one(w, pkt->in, n))
            return false;
        w->fragments++;
    }
    w->fragmented_after++;
    return true;
}

bool mtu_refused(struct worker *w, struct packet *pkt)
{
    struct child *c = pkt->child;
    if (!c->path_mtu || loop_now(w->p->loop) - c->mtu_at >= ASK_AT_MOST_MS)
        learn(w, c);
    if (!c->path_mtu || pkt->job.out_len <= c->path_mtu) // the kernel knows better
        return false;
    // What fits but for its TFC padding was padded when the path took more.
    enum way way = pkt->job.in_len <= c->inner_mtu ? WHOLE : way_of(c, pkt->job.in, pkt->job.in_len);
    if (way == WHOLE || (way == INSIDE && c->c.local.family != 6))
        return send_outside(w, pkt);
    tell(w, c, pkt->job.in, pkt->job.in_len);
    return false;
}

// ----

void mtu_clamp_syn(struct worker *w, struct child *c, uint8_t *p, uint32_t len)
{
    const struct settings *s = &w->p->set;
    if (!s->mss_clamp || !mss_is_syn(p, len))
        return;
    if (!c->inner_mtu)
        learn(w, c);
    w->mss_clamped += mss_clamp(p, len, c->inner_mtu < s->mtu ? c->inner_mtu : s->mtu);
}
