// SPDX-License-Identifier: Apache-2.0
// The software engine's queue: submit does the work at once, poll hands the jobs back in order. Commands come
// through a lock-free list which the queue's thread takes whole, answers go back through another.
#include "driver/soft/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "driver/common/params.h"

static struct soft_queue *queue_of(struct esp_queue *q)
{
    return (struct soft_queue *)q;
}

// ---- answers

void soft_queue_answer(struct esp_sa *sa, enum esp_event_type type, struct esp_event *ev)
{
    ev->type = type;
    ev->sa = sa;
    ev->cookie = sa->cookie;
    ev->stats.last_seq = sa->dir == ESP_OUT ? sa->next_seq - 1 : sa->window.top;
    ev->stats.packets = sa->packets;
    ev->stats.bytes = sa->bytes;
    ev->stats.drops = sa->drops;
    if (type == ESP_EVENT_SA_DELETED) // the work is done already: nothing can follow
        soft_sa_hand_over(sa, &ev->next.seq, ev->next.seen);
}

static void refuse(struct esp_sa *sa, int rc, struct esp_event *ev)
{
    ev->type = ESP_EVENT_SA_REFUSED;
    ev->status = rc == -EEXIST ? ESP_STATUS_SPI_EXISTS : ESP_STATUS_BUCKET_FULL;
    esp_fail(&ev->error, rc, "spi",
             rc == -EEXIST ? "an SA with SPI 0x%08x and this destination exists" : "no memory for SPI 0x%08x",
             sa->spi);
}

void soft_queue_flush(struct soft_queue *q)
{
    struct soft_engine *s = q->engine;
    struct event_node *n;
    uint64_t one = 1;
    bool any = false;

    while ((n = event_queue_pop(&q->held, q->returned))) {
        n->next = atomic_load(&s->done);
        while (!atomic_compare_exchange_weak(&s->done, &n->next, n))
            ;
        any = true;
    }
    if (any && s->threads)
        (void)!write(s->base.fd, &one, sizeof(one));
}

// ---- commands

static void add(struct soft_queue *q, struct esp_sa *sa, struct event_node *n)
{
    int rc = sa->dir == ESP_IN ? spi_table_add(&q->spis, sa) : 0;

    soft_queue_answer(sa, ESP_EVENT_SA_ADDED, n->ev);
    if (rc)
        refuse(sa, rc, n->ev);
}

static void remove_sa(struct soft_queue *q, struct esp_sa *sa)
{
    sa->deleted = (struct event_node){.after = q->submitted}; // where its command was
    sa->draining = true;
    if (sa->dir == ESP_IN)
        spi_table_remove(&q->spis, sa);
    soft_sa_wipe(sa); // the key can go at once
    event_queue_push(&q->held, &sa->deleted);
}

static void lease(struct esp_sa *sa, uint64_t seq_limit, struct event_node *n)
{
    soft_queue_answer(sa, ESP_EVENT_SA_LEASED, n->ev);
    sa->seq_limit = seq_limit;
    sa->lease_low_from = lease_low_mark(sa->next_seq, seq_limit);
}

static void run_order(struct soft_queue *q, const struct soft_order *o)
{
    switch (o->c.op) {
    case SOFT_ADD: add(q, o->sa, o->node); break;
    case SOFT_QUERY: soft_queue_answer(o->sa, ESP_EVENT_SA_STATS, o->node->ev); break;
    case SOFT_LEASE: lease(o->sa, o->seq_limit, o->node); break;
    case SOFT_ENDPOINT: soft_sa_set_endpoint(o->sa, &o->to); break; // its place in the table hangs on the SPI
    case SOFT_DELETE: break;
    }
    if (o->node)
        event_queue_push(&q->held, o->node);
}

static void run_command(struct soft_queue *q, struct soft_command *c)
{
    if (c->op == SOFT_DELETE)
        remove_sa(q, (struct esp_sa *)(void *)((char *)c - offsetof(struct esp_sa, farewell)));
    else
        run_order(q, (struct soft_order *)c);
    atomic_store_explicit(&q->inbound, (unsigned)q->spis.count, memory_order_relaxed);
}

static void take_inbox(struct soft_queue *q)
{
    struct soft_command *c, *oldest = NULL, *next;

    if (!atomic_load_explicit(&q->inbox, memory_order_relaxed))
        return;
    for (c = atomic_exchange(&q->inbox, NULL); c; c = next) {
        next = c->next;
        c->next = oldest;
        oldest = c;
    }
    for (; oldest; oldest = next) {
        bool deletes = oldest->op == SOFT_DELETE; // then it may be gone with its SA
        next = oldest->next;
        run_command(q, oldest);
        if (!deletes)
            free(oldest);
    }
    soft_queue_flush(q);
}

static void hand(struct soft_queue *q, struct soft_command *own)
{
    uint64_t one = 1;

    own->next = atomic_load(&q->inbox);
    while (!atomic_compare_exchange_weak(&q->inbox, &own->next, own))
        ;
    if (!atomic_exchange(&q->rung, 1))
        (void)!write(q->base.fd, &one, sizeof(one));
}

void soft_queue_delete(struct soft_queue *q, struct esp_sa *sa)
{
    if (q->engine->threads)
        hand(q, &sa->farewell);
    else
        run_command(q, &sa->farewell);
}

int soft_queue_give(struct soft_queue *q, const struct soft_order *o)
{
    struct soft_order copy = *o, *own;

    if (!q->engine->threads) {
        run_command(q, &copy.c);
        return 0;
    }
    own = malloc(sizeof(*own));
    if (!own)
        return -ENOMEM;
    *own = copy;
    hand(q, &own->c);
    return 0;
}

// ---- jobs

// Written by one thread and read by another: no locked instruction is needed.
static void grow(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

// Drops, and the flags that ask the owner for action whatever became of the packet.
static void account(struct esp_job *job, bool encap)
{
    struct esp_sa *sa = job->sa;

    if (job->status)
        sa->drops++;
    job->soft_limit = sa_soft(sa);
    job->lease_low = encap && sa->next_seq > sa->lease_low_from;
}

static void run_job(struct soft_queue *q, struct esp_job *job)
{
    bool encap = job->op == ESP_ENCAP;

    job->out_len = 0;
    job->seq = 0;
    job->soft_limit = job->lease_low = job->src_changed = false;
    if (encap && job->sa && job->sa->queue != q->base.index)
        job->status = ESP_STATUS_SA_INVALID;
    else
        job->status = encap ? soft_encap(job->sa, job) : soft_decap(&q->spis, job, q->scratch);
    if (job->sa && job->status != ESP_STATUS_SA_INVALID)
        account(job, encap);
    grow(&q->count[!encap][job->status % SOFT_STATUSES], 1);
    grow(&q->bytes[!encap], job->out_len);
}

static unsigned soft_submit(struct esp_queue *base, struct esp_job **jobs, unsigned n)
{
    struct soft_queue *q = queue_of(base);
    unsigned taken = 0;

    take_inbox(q);
    while (taken < n && q->submitted - q->returned < SOFT_RING) {
        run_job(q, jobs[taken]);
        q->ring[q->submitted++ & (SOFT_RING - 1)] = jobs[taken++];
    }
    return taken;
}

static unsigned soft_poll(struct esp_queue *base, struct esp_job **jobs, unsigned max)
{
    struct soft_queue *q = queue_of(base);
    unsigned n = 0;

    take_inbox(q);
    while (n < max && q->returned != q->submitted)
        jobs[n++] = q->ring[q->returned++ & (SOFT_RING - 1)];
    if (q->engine->threads && event_queue_ready(&q->held, q->returned))
        soft_queue_flush(q);
    return n;
}

bool soft_queue_waits(const struct soft_queue *q)
{
    return q->submitted != q->returned || event_queue_ready(&q->held, q->returned);
}

// With a thread of its own a command that comes after this look rings fd. Without, whoever gives it work
// looks here afterwards, and fd has nothing to tell.
static bool soft_arm(struct esp_queue *base)
{
    struct soft_queue *q = queue_of(base);
    struct soft_engine *s = q->engine;
    uint64_t value;

    if (!s->threads)
        return soft_queue_waits(q) || s->events.first || atomic_load(&s->done);
    (void)!read(q->base.fd, &value, sizeof(value)); // first: a ring after this line is heard
    atomic_store(&q->rung, 0);
    take_inbox(q);
    return soft_queue_waits(q);
}

// ---- life

static const struct esp_queue_ops queue_ops = {soft_submit, soft_poll, soft_arm};

struct soft_queue *soft_queue_new(struct soft_engine *s, unsigned index, struct mb *mb, struct esp_error *err)
{
    struct soft_queue *q = calloc(1, sizeof(*q));

    if (!q) {
        mb_close(mb);
        esp_fail(err, -ENOMEM, "software", "out of memory");
        return NULL;
    }
    q->base = (struct esp_queue){.ops = &queue_ops, .engine = &s->base, .index = index, .fd = s->base.fd};
    q->engine = s;
    q->mb = mb;
    event_queue_init(&q->held);
    q->scratch = malloc(SOFT_SCRATCH);
    if (s->threads)
        q->base.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int wrong = q->base.fd < 0 ? errno : !q->scratch || spi_table_init(&q->spis) ? ENOMEM : 0;
    if (wrong) {
        esp_fail(err, -wrong, "software", "cannot set up queue %u: %s", index, strerror(wrong));
        soft_queue_free(q);
        return NULL;
    }
    return q;
}

void soft_queue_forget(struct soft_queue *q)
{
    struct soft_command *next;

    for (struct soft_command *c = atomic_exchange(&q->inbox, NULL); c; c = next) {
        next = c->next;
        if (c->op == SOFT_DELETE)
            continue;
        free(((struct soft_order *)c)->node);
        free(c);
    }
    event_queue_clear(&q->held);
}

void soft_queue_free(struct soft_queue *q)
{
    if (!q)
        return;
    spi_table_free(&q->spis);
    mb_close(q->mb);
    if (q->scratch) {
        OPENSSL_cleanse(q->scratch, SOFT_SCRATCH);
        free(q->scratch);
    }
    if (q->engine->threads && q->base.fd >= 0)
        close(q->base.fd);
    free(q);
}
