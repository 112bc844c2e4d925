// SPDX-License-Identifier: Apache-2.0
// The way out: TUN -> policy -> SA -> engine, and from the engine to the network.
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "ctrl/lib/fence.h"
#include "ctrl/lib/log.h"
#include "ctrl/path/icmp.h"
#include "ctrl/path/io.h"
#include "ctrl/path/mtu.h"
#include "ctrl/path/outer.h"

static void note_acquire(struct worker *w, struct policy *pol, const struct fields *f)
{
    uint64_t now = loop_now(w->p->loop);
    struct policy *base = policy_base(pol);
    uint64_t before = atomic_load_explicit(&base->whole->acquired_at, memory_order_relaxed);
    if (!base->trap || (before && now - before < 1000))
        return;
    struct msg_ACQUIRE m = {.policy_id = base->id};
    fields_selectors(f, &m.local_ts, &m.remote_ts);
    snprintf(m.conn, sizeof(m.conn), "%s", policy_conn(base));
    snprintf(m.child, sizeof(m.child), "%s", policy_child(base));
    if (note_to_ike(w, MSG_ACQUIRE, &m))
        atomic_store_explicit(&base->whole->acquired_at, now, memory_order_relaxed);
}

// The fleet's, and not this node's any more.
static bool is_fenced(struct worker *w, const struct child *c, uint64_t now)
{
    bool fenced = !fence_open_at(w->p->fence, c->c.fence, now);
    w->fenced += fenced;
    return fenced;
}

static void protect(struct worker *w, struct packet *pkt, struct policy *pol, const struct fields *f)
{
    struct child *c = outbound_sa(w->p, pol, f);
    if (!c) {
        note_acquire(w, pol, f);
        if (trapped_keep(w, pkt, policy_base(pol)))
            return;
        w->no_sa_out++;
        io_drop(w, pkt, ESP_STATUS_POLICY);
        return;
    }
    if (c->w != w) {
        hand_over(w, c->w, pkt, f);
        return;
    }
    if (is_fenced(w, c, c->c.fence ? fence_now() : 0)) { // before it has a sequence number
        io_drop(w, pkt, ESP_STATUS_POLICY);
        return;
    }
    if (pkt->job.in_len > c->inner_mtu && !mtu_takes(w, pkt, c))
        return;
    mtu_clamp(w, c, pkt->job.in, pkt->job.in_len);
    pkt->child = c;
    c->in_flight++;
    pkt->inner_len = pkt->job.in_len;
    queue_put(w, pkt);
}

// What came by a TUN of its own and meets none of its policies has no other way.
static void not_for_this(struct worker *w, struct packet *pkt, const struct fields *f)
{
    w->vti_no_policy++;
    icmp_prohibited(w, pkt->job.in, pkt->job.in_len, f);
    io_drop(w, pkt, ESP_STATUS_POLICY);
}

void out_take(struct worker *w, struct packet *pkt, struct look_up *l)
{
    const struct fields *f = &l->f;
    struct policy *pol;
    pkt->job.op = ESP_ENCAP;
    if (!l->ip) {
        io_drop(w, pkt, ESP_STATUS_BAD_IP);
        return;
    }
    enum spd_verdict v = look_up_policy(w, l, &pol);
    bool first = f->first && f->ports;
    if (first)
        fragment_keep(&w->flows, f, false, loop_now(w->p->loop));
    if (pkt->vti && vti_is_own(w, pkt, f)) {
        w->vti_own++;
        io_drop(w, pkt, ESP_STATUS_POLICY);
    } else if (v == SPD_FOUND && pol->action == POLICY_PROTECT) {
        protect(w, pkt, pol, f);
    } else if (pkt->vti && v != SPD_UNCLEAR) {
        not_for_this(w, pkt, f);
    } else if (v == SPD_NONE || (v == SPD_FOUND && pol->action == POLICY_BYPASS)) {
        past_us(w, pkt->job.in, pkt->job.in_len);
        packet_release(w, pkt);
    } else if (v == SPD_UNCLEAR && f->later) {
        orphan_keep(w, pkt);
    } else {
        io_drop(w, pkt, ESP_STATUS_POLICY);
    }
    if (first)
        orphans_found(w, f, false);
}

void out_looked_at(struct worker *w, struct packet **pkt, struct look_up *l, unsigned n)
{
    look_up_burst(w, l, n);
    for (unsigned i = 0; i < n; i++) {
        packet_arrives(w, pkt[i]);
        out_take(w, pkt[i], &l[i]);
    }
}

// The ports of a packet's fragments are known where its first one was seen: one worker sees them all.
static bool is_elsewhere(struct worker *w, struct packet *pkt, const struct look_up *l)
{
    if (w->p->workers == 1 || !l->ip || !(l->f.first || l->f.later))
        return false;
    struct worker *to = hand_for_fragments(w->p, &l->f);
    if (to == w)
        return false;
    pkt->job.op = ESP_ENCAP;
    hand_over(w, to, pkt, &l->f);
    return true;
}

void out_burst(struct worker *w, struct packet **pkt, unsigned n)
{
    struct look_up l[PATH_BURST];
    unsigned mine = 0;
    for (unsigned i = 0; i < n; i++) {
        look_up_out(&l[mine], pkt[i]->job.in, pkt[i]->job.in_len, pkt[i]->vti);
        if (!is_elsewhere(w, pkt[i], &l[mine]))
            pkt[mine++] = pkt[i];
    }
    out_looked_at(w, pkt, l, mine);
}

void tun_gone(struct worker *w)
{
    if (w->own.apart) { // control's to say
        w->own.gone = true;
        return;
    }
    if (!w->p->status)
        LOGF(NET, 0, "the TUN device is gone; what is protected stays blocked");
    w->p->status = PATH_MISSING;
    loop_stop(w->p->loop);
}

int out_read(struct worker *w, const struct path_tun *tun, uint8_t vti)
{
    struct packet *burst[PATH_BURST], *pkt;
    unsigned count = 0;
    int n = 1;
    if (w->big && tun->read_big)
        return big_ready(w, tun, vti);
    while (count < PATH_BURST && (pkt = packet_get(w))) {
        n = tun->read(tun, pkt->job.in, w->buffer);
        if (n <= 0) {
            packet_release(w, pkt);
            break;
        }
        pkt->job.in_len = (uint32_t)n;
        pkt->vti = vti;
        burst[count++] = pkt;
    }
    out_burst(w, burst, count);
    io_pump(w);
    return n;
}

void out_ready(struct loop_fd *f, uint32_t events)
{
    struct worker *w = f->ctx;
    (void)events;
    if (out_read(w, &w->net.tun, 0) == -EBADFD)
        tun_gone(w);
}

static socklen_t destination(const uint8_t *o, struct sockaddr_storage *to)
{
    struct addr a = {.family = o[0] >> 4};
    memcpy(a.a, o + (a.family == 4 ? 16 : 24), a.family == 4 ? 4 : 16);
    addr_to_sockaddr(&a, 0, to);
    return a.family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

// Lost, as on any full or broken link; its sequence number is used up.
static void not_sent(struct worker *w, int error)
{
    uint64_t *count = error == EAGAIN || error == ENOBUFS || error == ENOMEM ? &w->send_full
                      : error == EMSGSIZE                                    ? &w->send_too_long
                      : error == EPERM || error == EACCES                    ? &w->send_refused
                      : error == EHOSTUNREACH || error == ENETUNREACH || error == ENETDOWN
                          ? &w->send_unreachable
                          : &w->send_errors;
    if (++*count % 1000 == 1)
        LOGF(NET, 1, "cannot send an ESP packet: %s", strerror(error));
}

// A process may be stopped anywhere, also between the look before a packet was sealed and here: what of the
// fleet's is sealed by then has lost its sequence number and nothing else.
static void drop_fenced(struct worker *w)
{
    uint64_t now = fence_now();
    unsigned kept = 0;
    for (unsigned i = 0; i < w->send_count; i++) {
        struct packet *pkt = w->send_list[i];
        if (pkt->child && is_fenced(w, pkt->child, now))
            packet_release(w, pkt);
        else
            w->send_list[kept++] = pkt;
    }
    w->send_count = kept;
}

void out_send(struct worker *w)
{
    if (w->p->fence)
        drop_fenced(w);
    struct mmsghdr msgs[PATH_BURST];
    struct iovec iov[PATH_BURST];
    struct sockaddr_storage to[PATH_BURST];
    unsigned n = w->send_count, done = 0;
    memset(msgs, 0, sizeof(msgs[0]) * n);
    for (unsigned i = 0; i < n; i++) {
        struct esp_job *j = &w->send_list[i]->job;
        iov[i] = (struct iovec){j->out, j->out_len};
        msgs[i].msg_hdr = (struct msghdr){.msg_name = &to[i],
                                          .msg_namelen = destination(j->out, &to[i]),
                                          .msg_iov = &iov[i],
                                          .msg_iovlen = 1};
    }
    while (done < n) {
        int rc = w->net.send(w->net.ctx, msgs + done, n - done);
        if (rc > 0) {
            done += (unsigned)rc;
            continue;
        }
        int error = errno;
        if (error == EINTR)
            continue;
        if (error != EMSGSIZE || !mtu_refused(w, w->send_list[done]))
            not_sent(w, error);
        done++;
    }
    for (unsigned i = 0; i < n; i++)
        packet_release(w, w->send_list[i]);
    w->send_count = 0;
}

// What leaves is this SA's ESP (or AH) or nothing, whatever an engine says: a buffer that was not written may
// hold an older packet, even one in clear.
static bool is_esp_between(const struct esp_job *j, const struct child *c, const struct esp_endpoint *e)
{
    struct outer o;
    size_t n = e->ipv6 ? 16 : 4;
    return outer_look(j->out, j->out_len, &o) && o.ah == c->ah && o.udp == e->udp_encap &&
           (o.src.family == 6) == e->ipv6 && !memcmp(o.src.a, e->src, n) && !memcmp(o.dst.a, e->dst, n) &&
           io_be32(j->out + o.esp) == c->c.spi_out && io_be32(j->out + o.esp + 4) == (uint32_t)j->seq;
}

static bool is_esp_of(const struct child *c, const struct esp_job *j)
{
    struct esp_endpoint now = half_ends(&c->out);
    return is_esp_between(j, c, &now) || (c->before && is_esp_between(j, c, c->before));
}

static bool unnumbered(enum esp_status st)
{
    return st == ESP_STATUS_LEASE_END || st == ESP_STATUS_HARD_LIMIT || st == ESP_STATUS_SEQ_OVERFLOW;
}

// Past a limit a newer SA may take it.
static void not_sealed(struct worker *w, struct half *h, struct packet *pkt)
{
    enum esp_status st = pkt->job.status;
    if (unnumbered(st)) {
        h->ended = true;
        limit_event(h->child, CHILD_EVENT_HARD_LIMIT);
        enum handed_on to = queue_hand_on(w, pkt);
        if (to == CHANGED)
            queue_put(w, pkt);
        if (to != STAYS)
            return;
    }
    io_drop(w, pkt, st);
}

// The card has not heard of us for so long that it has stopped the SA. It used no sequence number: on in
// software, from where the SA was.
static bool card_stopped_it(struct worker *w, struct half *h, const struct esp_engine *e, struct packet *pkt)
{
    if (pkt->job.status != ESP_STATUS_LEASE_EXPIRED || pkt->runs >= PATH_RUNS)
        return false;
    if (h->state == HALF_READY && h->engine == e)
        sadb_leave(w->p, h, "the card had stopped it: its deadline had passed");
    pkt->runs++;
    queue_put(w, pkt);
    return true;
}

// The first packet that software has sent since a card failed, of what that card had.
static void note_resumed(struct path *p)
{
    uint64_t from = atomic_load_explicit(&p->resume_from_us, memory_order_relaxed);
    if (from && atomic_compare_exchange_strong(&p->resume_from_us, &from, 0))
        p->failover_resume_us = loop_now_us(p->loop) - from;
}

static void sealed(struct worker *w, const struct esp_engine *e, struct half *h, const struct packet *pkt)
{
    struct engine_count *n = io_count(w, e);
    h->last_seq = pkt->job.seq;
    if (pkt->job.dummy) {
        dummy_sealed(w, h, pkt);
        return;
    }
    h->packets++;
    h->bytes += pkt->inner_len;
    limit_count(h, pkt->inner_len, pkt->job.seq);
    h->used_at = w->now;
    n->packets_out++;
    n->bytes_out += pkt->inner_len;
}

void out_done(struct worker *w, struct esp_engine *e, struct packet *pkt)
{
    struct child *c = pkt->child;
    struct half *h = &c->out;
    if (pkt->job.lease_low || pkt->job.status == ESP_STATUS_LEASE_END)
        sadb_lease_low(w->p, h);
    if (pkt->job.status == ESP_STATUS_LEASE_END &&
        !h->spent) { // it used no sequence number: again, when there are more
        pkt->runs++;
        if (h->state == HALF_READY && h->engine == e)
            queue_wait(w, h, pkt);
        else
            queue_put(w, pkt);
        return;
    }
    if (card_stopped_it(w, h, e, pkt))
        return;
    if (pkt->job.status == ESP_STATUS_OK && !is_esp_of(h->child, &pkt->job)) {
        LOGF(ESP, 0, "%s gave back what is not ESP of SPI %08x, dropped", e->name, h->child->c.spi_out);
        pkt->job.status = ESP_STATUS_DMA_ERROR;
    }
    if (pkt->job.status != ESP_STATUS_OK) {
        not_sealed(w, h, pkt);
        return;
    }
    sealed(w, e, h, pkt);
    if (e == path_soft(w->p) && c->card_missing && w == w->p->worker)
        note_resumed(w->p);
    w->send_list[w->send_count++] = pkt;
    if (w->send_count == PATH_BURST)
        out_send(w);
}
