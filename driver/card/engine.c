// SPDX-License-Identifier: Apache-2.0
// The card behind engine.h: opening in the order of the manual, sleeping and waking, events, counters, and
// the end.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "driver/card/card.h"

void card_wake(struct card *c)
{
    uint64_t one = 1;

    (void)!write(c->wake_fd, &one, sizeof(one));
}

static void drain(int fd)
{
    uint64_t value;

    if (fd >= 0)
        (void)!read(fd, &value, sizeof(value)); // non-blocking
}

static int card_attach_pool(struct esp_engine *e, struct esp_pool *pool, struct esp_error *err)
{
    struct card *c = card_of(e);
    struct dma_pool *d = &c->pool[c->pools];
    void *base;
    int fd, rc;

    if (c->pools == CARD_MAX_POOLS)
        return esp_fail(err, -ENOSPC, e->name, "%d pools are attached already", CARD_MAX_POOLS);
    esp_pool_region(pool, &base, &d->length, &fd);
    d->base = base;
    pthread_mutex_lock(&c->control);
    rc = bus_dma_map(c->bus, base, d->length, fd, &d->iova, err);
    pthread_mutex_unlock(&c->control);
    if (!rc)
        c->pools++;
    return rc;
}

static unsigned card_events(struct esp_engine *e, struct esp_event *ev, unsigned max)
{
    struct card *c = card_of(e);
    unsigned n = 0;

    card_settle(c);
    card_commands_complete(c);
    while (n < max) {
        struct event_node *node = event_queue_pop(&c->events, 0);
        if (!node)
            break;
        if (node->ev->type == ESP_EVENT_SA_DELETED)
            card_sa_free(c, node->ev->sa);
        ev[n++] = *node->ev;
        free(node);
    }
    return n;
}

static bool anything_ready(struct card *c)
{
    bool ready;

    card_settle(c);
    card_queues_settle(c);
    ready = event_queue_ready(&c->events, 0);
    for (unsigned i = 0; i <= c->queues && !ready; i++) {
        struct queue *q = &c->queue[i];
        if (!queue_busy(q))
            continue;
        ready = card_failed(c) ? i > 0 && card_dead(c)
                               : (queue_posted(q) && queue_ready(q)) || queue_health(q) == QUEUE_QUIET ||
                                     q->entry[q->oldest & (q->size - 1)].state == ENTRY_LOCAL;
    }
    return ready;
}

// Interrupts that came are cleared before the look, and the look is repeated after arming: none is lost in
// between. Nothing here asks the bus or waits for it.
static bool card_arm(struct esp_queue *packets)
{
    struct card *c = card_of(packets->engine);

    drain(c->wake_fd);
    for (unsigned i = 0; i < c->irqs; i++)
        drain(c->irq_fd[i]);
    if (!card_failed(c))
        card_commands_complete(c);
    if (anything_ready(c))
        return true;
    for (unsigned i = 0; i <= c->queues && !card_failed(c); i++) {
        queue_ring(c, &c->queue[i]);
        if (queue_posted(&c->queue[i]))
            queue_tell_head(c, &c->queue[i], true);
    }
    return anything_ready(c);
}

// Names stand in the card itself; they are read once.
static bool read_names(struct card *c)
{
    c->counter_name = calloc(ESPC_COUNTER_COUNT, sizeof(*c->counter_name));
    if (!c->counter_name)
        return false;
    for (uint32_t i = 0; c->off_names && i < ESPC_COUNTER_COUNT; i++) {
        uint32_t word = 0;
        for (uint32_t w = 0; w < ESPC_COUNTER_NAME_STRIDE; w++) {
            char ch;
            if (w % 4 == 0)
                word = bus_read32(c->bus, c->off_names + i * ESPC_COUNTER_NAME_STRIDE + w);
            ch = (char)(word >> w % 4 * 8);
            if (ch <= ' ' || ch > '~')
                break;
            c->counter_name[i][w] = ch;
        }
    }
    return !c->bus->gone;
}

// On the card's thread: latches all counters and reads those that have names.
void card_snapshot(struct card *c)
{
    unsigned next = atomic_load(&c->snapshots) + 1;

    if (!c->counter_name && !read_names(c))
        return;
    bus_write32(c->bus, ESPC_REG_SNAPSHOT, 1);
    for (uint32_t i = 0; c->off_counters && i < ESPC_COUNTER_COUNT; i++) {
        uint32_t reg = c->off_counters + i * ESPC_COUNTER_STRIDE;
        if (c->counter_name[i][0])
            atomic_store(&c->counter[next % 2][i],
                         bus_read32(c->bus, reg) | (uint64_t)bus_read32(c->bus, reg + 4) << 32);
    }
    if (!c->bus->gone)
        atomic_store(&c->snapshots, next);
}

// The card's part is what it last said: at most a second old while it works, and asked for anew.
static int card_counters(struct esp_engine *e, char *buf, size_t size)
{
    struct card *c = card_of(e);
    unsigned taken = atomic_load(&c->snapshots);
    size_t at = 0;

#define PUT(name, value)                                                                                     \
    at += (size_t)snprintf(at < size ? buf + at : NULL, at < size ? size - at : 0, "%s %llu\n", name,        \
                           (unsigned long long)(value))
    PUT("driver_doorbells", c->doorbells);
    PUT("driver_completions", c->completions);
    PUT("driver_jobs", c->jobs_done);
    PUT("driver_jobs_aborted", c->jobs_aborted);
    PUT("driver_failed", card_failed(c));
    PUT("driver_snapshots", taken);
    for (uint32_t i = 0; taken && i < ESPC_COUNTER_COUNT; i++)
        if (c->counter_name[i][0])
            PUT(c->counter_name[i], atomic_load(&c->counter[taken % 2][i]) - c->counted_from[i]);
#undef PUT
    atomic_store(&c->snapshot_wanted, 1);
    card_nudge(c);
    return (int)at;
}

static void free_requests(struct card *c)
{
    struct queue *q = &c->queue[0];

    for (; q->entry && q->oldest != q->next; q->oldest++) {
        struct entry *e = &q->entry[q->oldest & (q->size - 1)];
        struct request *r = e->state == ENTRY_POSTED ? e->owner : NULL;
        if (r)
            free(r->node);
        free(r);
    }
    while (c->requests) {
        struct request *r = c->requests;
        c->requests = r->next;
        free(r->node);
        free(r);
    }
}

static void card_destroy(struct esp_engine *e)
{
    struct card *c = card_of(e);

    card_thread_stop(c);
    if (c->bus && !card_failed(c) && !c->bus->gone)
        (void)card_reset(c, NULL); // zeroises all keys on the card
    if (c->bus && card_failed(c))  // it has been made silent as far as it could be: it is asked nothing more
        c->bus->gone = true;
    bus_close(c->bus);
    pthread_mutex_destroy(&c->control);
    free_requests(c);
    while (c->all)
        card_sa_free(c, c->all);
    event_queue_clear(&c->events);
    free(c->failed_node);
    card_queues_destroy(c);
    card_slots_destroy(c);
    free(c->counter_name);
    for (unsigned i = 0; i < CARD_MAX_QUEUES; i++)
        if (c->irq_fd[i] >= 0)
            close(c->irq_fd[i]);
    if (c->wake_fd >= 0)
        close(c->wake_fd);
    if (e->fd >= 0)
        close(e->fd);
    free(c);
}

static const struct esp_queue_ops card_queue_ops = {card_submit, card_poll, card_arm};
static const struct esp_engine_ops card_ops = {
    .capabilities = card_capabilities,
    .capable = card_capable,
    .attach_pool = card_attach_pool,
    .sa_add = card_sa_add,
    .sa_delete = card_sa_delete,
    .sa_query = card_sa_query,
    .sa_lease = card_sa_lease,
    .sa_endpoint = card_sa_endpoint,
    .sa_handover = card_sa_handover,
    .events = card_events,
    .tick = card_tick,
    .counters = card_counters,
    .destroy = card_destroy,
};

static struct card *card_new(struct esp_error *err)
{
    struct card *c = calloc(1, sizeof(*c));

    if (c)
        c->failed_node = event_node_new();
    if (!c || !c->failed_node) {
        free(c);
        esp_fail(err, -ENOMEM, "card", "out of memory");
        return NULL;
    }
    c->base.ops = &card_ops;
    c->base.kind = "card";
    c->packets = (struct esp_queue){.ops = &card_queue_ops, .engine = &c->base};
    c->queue_list[0] = &c->packets;
    c->base.queue = c->queue_list;
    c->base.fd = c->wake_fd = c->mem_fd = c->nudge_fd = -1;
    pthread_mutex_init(&c->control, NULL);
    for (unsigned i = 0; i < CARD_MAX_QUEUES; i++)
        c->irq_fd[i] = -1;
    c->requests_last = &c->requests;
    event_queue_init(&c->events);
    return c;
}

static int watch_fd(struct card *c, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};

    return fd < 0 || epoll_ctl(c->base.fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

// One descriptor for the caller: interrupts and our own events.
static int open_fds(struct card *c, struct esp_error *err)
{
    c->base.fd = c->packets.fd = epoll_create1(EPOLL_CLOEXEC);
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->base.fd < 0 || watch_fd(c, c->wake_fd))
        return esp_fail(err, -errno, c->base.name, "cannot set up wake-ups: %s", strerror(errno));
    c->irqs = c->queues + 1 < c->bus->irqs ? c->queues + 1 : c->bus->irqs;
    for (unsigned i = 0; i < c->irqs; i++) {
        c->irq_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (watch_fd(c, c->irq_fd[i]))
            return esp_fail(err, -errno, c->base.name, "cannot set up interrupts: %s", strerror(errno));
    }
    if (c->irqs == 0)
        return esp_fail(err, -ENOTSUP, c->base.name, "the card offers no MSI-X interrupts");
    return 0;
}

enum { DEADLINE_MS = 10000 };

static void start_deadlines(struct card *c, uint32_t ms)
{
    if (!(c->features & ESPC_FEATURES_OFFERED_DEADLINE_MASK) || !c->clock_khz || ms == ESP_NO_DEADLINE)
        return;
    c->deadline = (uint64_t)(ms ? ms : DEADLINE_MS) * c->clock_khz;
    c->renewed = card_freerun(c);
    atomic_store(&c->clock, c->renewed);
}

static int start(struct card *c, uint32_t ring_log2, struct esp_error *err)
{
    int rc;

    c->bus->timeout_ms = BUS_OPEN_TIMEOUT_MS;
    rc = card_identify(c, err);
    if (!rc)
        rc = card_reset(c, err);
    if (!rc)
        rc = card_handshake(c, err);
    if (!rc && card_draw_mark(c))
        rc = esp_fail(err, -EIO, c->base.name, "no random number for the marks in its buffers");
    if (!rc && card_slots_create(c))
        rc = esp_fail(err, -ENOMEM, c->base.name, "out of memory");
    if (!rc)
        rc = card_queues_create(c, ring_log2, err);
    if (!rc)
        rc = open_fds(c, err);
    if (!rc) {
        rc = c->bus->ops->irq_set(c->bus, c->irq_fd, c->irqs);
        if (rc)
            esp_fail(err, rc, c->base.name, "cannot set up interrupts: %s", strerror(-rc));
    }
    if (!rc) {
        rc = bus_master(c->bus, true);
        if (rc)
            esp_fail(err, rc, c->base.name, "cannot enable bus mastering: %s", strerror(-rc));
    }
    if (rc)
        return rc;
    for (unsigned i = 0; i <= c->queues; i++)
        card_queue_start(c, &c->queue[i]);
    bus_write32(c->bus, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK);
    if (!(bus_read32(c->bus, ESPC_REG_CTRL) & ESPC_CTRL_ENABLE_MASK))
        return esp_fail(err, -EIO, c->base.name, "the card does not take ENABLE");
    if (c->bus->gone)
        return esp_fail(err, -ENODEV, c->base.name, "the card no longer answers");
    if (bus_read32(c->bus, ESPC_REG_EPOCH) != c->epoch)
        return esp_fail(err, -EIO, c->base.name, "the card was reset while it was being set up");
    c->bus->timeout_ms = BUS_TIMEOUT_MS;
    return 0;
}

int esp_card_open(struct esp_engine **e, const struct esp_card_options *o, struct esp_error *err)
{
    uint32_t log2 = o->ring_log2 ? o->ring_log2 : CARD_RING_LOG2;
    struct card *c;
    int rc;

    *e = NULL;
    if (log2 < 2 || log2 > 15)
        return esp_fail(err, -EINVAL, "ring_log2", "a ring has 2^2 to 2^15 entries, 2^%u were asked for",
                        log2);
    c = card_new(err);
    if (!c)
        return -ENOMEM;
    c->give_up = o->give_up;
    rc = bus_open(&c->bus, o->pci_sysfs ? o->pci_sysfs : "/sys/bus/pci", o->bdf, CARD_VENDOR, CARD_DEVICE,
                  err);
    if (!rc) {
        snprintf(c->base.name, sizeof(c->base.name), "%s", c->bus->name);
        rc = start(c, log2, err);
    }
    if (!rc)
        start_deadlines(c, o->deadline_ms);
    for (unsigned i = 0; !rc && i < o->pool_count; i++)
        rc = card_attach_pool(&c->base, o->pool[i], err);
    if (!rc && !o->no_thread)
        rc = card_thread_start(c, err);
    if (!rc && !o->no_thread) // without the thread there is nobody who waits
        rc = card_selftest(c, err);
    if (rc) {
        card_destroy(&c->base);
        return rc;
    }
    c->give_up = NULL;
    *e = &c->base;
    return 0;
}
