// SPDX-License-Identifier: Apache-2.0
// Reads bursts from the TUN and the sockets into pool buffers, gives them to the SA's engine, and sends what
// comes back. Nothing is allocated here; when no packet is free the descriptors are not watched until one is.
// This file drives the engines; the ways out and in are outbound.c, arrivals.c and inbound.c.
#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "ctrl/path/io.h"

// ---- engines

static struct child *child_of(struct worker *w, const struct packet *pkt)
{
    return pkt->job.op == ESP_ENCAP ? pkt->child : packet_owner(w, pkt);
}

static void events(struct worker *w, struct esp_engine *e);

// Seen by nobody: again, in the engine that has the SA now. The card's failure is taken note of first.
static void run_again(struct worker *w, struct esp_engine *e, struct packet *pkt)
{
    if (!path_card_failed(w->p))
        events(w, e);
    pkt->runs++;
    w->rerun++;
    queue_put(w, pkt);
}

// An inbound SA that a card has and says it has not: it is about to fail, or it has lost this one.
static bool lost_by_card(struct worker *w, const struct esp_engine *e, struct half *h,
                         const struct packet *pkt)
{
    if (e != path_card(w->p) || pkt->job.status != ESP_STATUS_NO_SA || h->state != HALF_READY)
        return false;
    if (pkt->runs + 1 == PATH_RUNS)
        sadb_leave(w->p, h, "the card has lost it");
    return true;
}

// It met an SA that had just left this engine for another: no number was spent and nobody has seen it.
static bool left_behind(struct worker *w, const struct esp_engine *e, const struct packet *pkt)
{
    enum esp_status st = pkt->job.status;
    struct child *c = child_of(w, pkt);
    if (!c || pkt->runs >= PATH_RUNS ||
        (st != ESP_STATUS_SA_DRAINING && st != ESP_STATUS_SA_INVALID && st != ESP_STATUS_NO_SA))
        return false;
    struct half *h = pkt->job.op == ESP_ENCAP ? &c->out : &c->in;
    return h->state == HALF_MOVING || (h->engine && h->engine != e) || lost_by_card(w, e, h, pkt);
}

struct finished { // a burst that an engine gave back
    unsigned jobs, opened;
    struct esp_job *job[PATH_BURST];
    struct look_up l[PATH_BURST]; // of those that came out of an SA, in their order
};

static void poll(struct worker *w, struct esp_engine *e, struct finished *b)
{
    struct esp_queue *q = path_queue(w, e);
    b->jobs = q->ops->poll(q, b->job, PATH_BURST);
    b->opened = 0;
    for (unsigned i = 0; i < b->jobs; i++) {
        struct packet *pkt = (struct packet *)b->job[i];
        packet_copy_result(w, pkt);
        if (pkt->job.op == ESP_DECAP && pkt->job.status == ESP_STATUS_OK)
            look_up_in(&b->l[b->opened++], pkt->job.out, pkt->job.out_len, pkt->spi,
                       vti_of_spi(w->p, pkt->spi));
    }
    look_up_burst(w, b->l, b->opened);
}

static unsigned finish(struct worker *w, struct esp_engine *e)
{
    struct finished b;
    unsigned opened = 0;
    poll(w, e, &b);
    if (b.jobs)
        w->now = loop_now(w->p->loop);
    if (b.jobs && e == path_card(w->p) && b.job[0]->status != ESP_STATUS_ABORTED)
        w->p->card_last_us = loop_now_us(w->p->loop);
    for (unsigned i = 0; i < b.jobs; i++) {
        struct packet *pkt = (struct packet *)b.job[i];
        struct child *c = child_of(w, pkt);
        bool looked_up = pkt->job.op == ESP_DECAP && pkt->job.status == ESP_STATUS_OK;
        if (c)
            limit_job(c, &pkt->job);
        if (pkt->job.status == ESP_STATUS_ABORTED && e == path_card(w->p) && pkt->runs < PATH_RUNS) {
            run_again(w, e, pkt);
        } else if (left_behind(w, e, pkt)) {
            pkt->runs++;
            queue_put(w, pkt);
        } else if (pkt->job.op == ESP_ENCAP) {
            out_done(w, e, pkt);
        } else {
            in_done(w, e, pkt, looked_up ? &b.l[opened++] : NULL);
        }
    }
    if (w->send_count)
        out_send(w);
    tun_flush(w);
    return b.jobs;
}

static void events(struct worker *w, struct esp_engine *e)
{
    struct esp_event ev[16];
    unsigned n;
    do {
        n = e->ops->events(e, ev, 16);
        for (unsigned i = 0; i < n; i++)
            sadb_event(w->p, e, &ev[i]);
    } while (n == 16 && (e == path_soft(w->p) || e == path_card(w->p)));
    if (e == path_card(w->p))
        sadb_retry(w->p);
}

static void pump_engine(struct worker *w, struct esp_engine *e)
{
    queue_drain(w, e);
    do {
        while (finish(w, e))
            queue_drain(w, e);
        if (!w->own.apart)
            events(w, e);
    } while (e == path_card(w->p) && path_card_failed(w->p) && finish(w, e)); // what FAILED gave back
}

// What a failed card never took goes after what it gave back.
void io_leave_card(struct worker *w)
{
    struct packet *pkt = w->backlog[PATH_CARD].head;
    list_init(&w->backlog[PATH_CARD]);
    for (struct packet *next; pkt; pkt = next) {
        next = pkt->next;
        queue_put(w, pkt);
    }
}

void io_pump(struct worker *w)
{
    bool first = w == w->p->worker;
    hand_reclaim(w);
    hand_take(w);
    if (first && path_card(w->p))
        pump_engine(w, path_card(w->p));
    if (first && path_card(w->p) && path_card_failed(w->p))
        card_leave(w->p);
    pump_engine(w, path_soft(w->p));
}

// What a worker in a thread of its own leaves to control.
static void look_after(struct worker *w)
{
    hand_reclaim(w);
    if (w->own.farewells)
        sadb_free_dying(w->p);
    w->own.farewells = false;
    if (w->own.gone)
        tun_gone(w->p->worker);
    w->own.gone = false;
}

// One worker's packets may be another one's to go on with.
void path_pump(struct path *p)
{
    bool more;
    do {
        for (unsigned i = 0; i < p->workers; i++)
            io_pump(&p->worker[i]);
        more = false;
        for (unsigned i = 0; i < p->workers; i++)
            more |= hand_waits(&p->worker[i]);
    } while (more);
    for (unsigned i = 0; i < p->workers; i++)
        look_after(&p->worker[i]);
    notes_forward(p);
}

static bool arm(const struct worker *w, const struct esp_engine *e)
{
    struct esp_queue *q = path_queue(w, e);
    return q->ops->arm(q);
}

// Runs before every sleep: true while an engine has more to say.
static bool before_sleep(void *ctx)
{
    struct path *p = ctx;
    bool more = false;
    path_pump(p);
    if (path_card(p))
        more |= arm(p->worker, path_card(p));
    for (unsigned i = 0; i < p->workers; i++)
        more |= !p->worker[i].own.apart && arm(&p->worker[i], path_soft(p));
    return more;
}

static int add_fd(struct worker *w, struct loop_fd *f, int fd, void (*ready)(struct loop_fd *, uint32_t),
                  struct esp_error *err, const char *what)
{
    bool ours = fd >= 0 && (w->index || !w->p->crew.apart); // beside the others control takes nothing
    *f = (struct loop_fd){.fd = ours ? fd : -1, .events = EPOLLIN, .ready = ready, .ctx = w};
    if (!ours || w->p->shut)
        return 0;
    int rc = loop_add(crew_loop(w), f);
    return rc < 0 ? esp_fail(err, rc, what, "cannot watch: %s", strerror(-rc)) : 0;
}

static uint64_t secret(void)
{
    uint64_t v = 0;
    RAND_bytes((unsigned char *)&v, sizeof(v));
    return v;
}

int io_open(struct worker *w, struct esp_error *err)
{
    uint32_t fit = w->p->set.mtu + 160;
    w->buffer = fit > PATH_BUFFER ? (fit + 63) / 64 * 64 : PATH_BUFFER;
    int rc = esp_pool_create(&w->pool, 2 * PATH_JOBS, w->buffer, err);
    if (rc < 0)
        return rc;
    w->packets = calloc(PATH_JOBS, sizeof(*w->packets));
    if (!w->packets)
        return esp_fail(err, -ENOMEM, "packets", "out of memory");
    for (int i = 0; i < PATH_JOBS; i++) {
        struct packet *pkt = &w->packets[i];
        pkt->job.in = pkt->in = esp_pool_get(w->pool);
        pkt->job.out = pkt->out = esp_pool_get(w->pool);
        pkt->job.out_cap = w->buffer;
        pkt->next = w->free;
        w->free = pkt;
    }
    if (w->net.tun.read_big &&
        (!(w->big = malloc(w->buffer + GSO_MAX + 1)) || !(w->gro_bufs = malloc(GRO_FLOWS * GSO_MAX))))
        return esp_fail(err, -ENOMEM, "packets", "out of memory");
    for (size_t i = 0; i < GRO_FLOWS && w->gro_bufs; i++)
        w->gro[i].buf = w->gro_bufs + i * GSO_MAX;
    if (!(w->together = malloc(NET_RECEIVE_MAX * (size_t)(w->buffer + NET_TOGETHER))))
        return esp_fail(err, -ENOMEM, "packets", "out of memory");
    if (notes_open(&w->notes) < 0)
        return esp_fail(err, -ENOMEM, "notes", "out of memory");
    if (hand_open(w) < 0)
        return esp_fail(err, -ENOMEM, "workers", "out of memory");
    if (flows_init(&w->flows, secret()) < 0)
        return esp_fail(err, -ENOMEM, "flows", "out of memory");
    list_init(&w->orphans);
    list_init(&w->early);
    list_init(&w->trapped);
    list_init(&w->backlog[PATH_SOFT]);
    list_init(&w->backlog[PATH_CARD]);
    w->reading = !w->p->shut;
    if (!w->own.apart)
        loop_set_idle(w->p->loop, before_sleep, w->p);
    if ((rc = add_fd(w, &w->tun_fd, w->env->tun, out_ready, err, "TUN")) < 0 ||
        (rc = add_fd(w, &w->udp_fd, w->env->sock_esp_nat_t, in_udp, err, "UDP socket")) < 0 ||
        (rc = add_fd(w, &w->udp6_fd, w->env->sock_esp6_nat_t, in_udp6, err, "IPv6 UDP socket")) < 0 ||
        (rc = add_fd(w, &w->raw6_fd, w->env->sock_esp6, in_raw6, err, "raw IPv6 ESP socket")) < 0 ||
        (rc = add_fd(w, &w->ah_fd, w->env->sock_ah, in_ah, err, "raw AH socket")) < 0 ||
        (rc = add_fd(w, &w->ah6_fd, w->env->sock_ah6, in_ah6, err, "raw IPv6 AH socket")) < 0)
        return rc;
    return add_fd(w, &w->raw_fd, w->env->sock_esp, in_raw, err, "raw ESP socket");
}

// Not before: an error of a socket wakes the loop whatever it is watched for.
int io_read_on(struct worker *w)
{
    struct loop_fd *all[] = {&w->tun_fd,  &w->udp_fd, &w->raw_fd, &w->udp6_fd,
                             &w->raw6_fd, &w->ah_fd,  &w->ah6_fd};
    int rc = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && rc == 0; i++)
        rc = all[i]->fd < 0 ? 0 : loop_add(crew_loop(w), all[i]);
    w->reading = rc == 0;
    if (rc == 0)
        vti_watch(w, true);
    return rc;
}

void io_close(struct worker *w)
{
    esp_pool_destroy(w->pool);
    esp_pool_destroy(w->dma);
    free(w->packets);
    free(w->big);
    free(w->gro_bufs);
    free(w->together);
    notes_close(&w->notes);
    hand_close(w);
    flows_free(&w->flows);
    w->pool = w->dma = NULL;
    w->packets = w->free = NULL;
    memset(w->gro, 0, sizeof(w->gro));
    w->big = w->gro_bufs = w->together = NULL;
}

// While no packet is free the rest waits in the network's own queues, as it does in a socket.
static void worker_arrived(struct worker *w)
{
    if (w->reading)
        out_ready(&w->tun_fd, EPOLLIN);
    if (w->reading)
        in_udp(&w->udp_fd, EPOLLIN);
    if (w->reading)
        in_raw(&w->raw_fd, EPOLLIN);
    if (w->reading)
        in_udp6(&w->udp6_fd, EPOLLIN);
    if (w->reading)
        in_raw6(&w->raw6_fd, EPOLLIN);
}

void path_arrived(struct path *p)
{
    for (unsigned i = 0; i < p->workers; i++)
        worker_arrived(&p->worker[i]);
}

void path_set_workers(struct path *p, unsigned n)
{
    p->workers = n;
    for (unsigned i = 0; i < n; i++) {
        p->worker[i].p = p;
        p->worker[i].index = i;
        p->worker[i].env = p->env;
    }
}
