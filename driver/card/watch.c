// SPDX-License-Identifier: Apache-2.0
// Failure: how it is found (the bus, FATAL, a lost EPOCH, nonsense, a queue that stands still while the
// card's own clock runs on, or a clock that has stopped) and what follows: first the card is made silent,
// then the failure is told, then the jobs come back. Everything here that waits for the card runs beside the
// thread of the packets (thread.c).
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "driver/card/card.h"

enum { CHECK_BUSY_MS = 10, CHECK_IDLE_MS = 250, STILL_READS = 3, SNAPSHOT_MS = 1000 };
// Of the card's clock, many times what the longest queue takes. With the time until work is looked at first,
// and that between two looks, it is less than 100 ms from a queue's last completion to its being found.
enum { HANG_MS = 60, DEFAULT_KHZ = 250000 };

static void add_reason(struct card *c, const char *text)
{
    size_t used = strlen(c->reason);

    snprintf(c->reason + used, sizeof(c->reason) - used, "; %s", text);
}

// What was found first may be what followed from it: the card has wiped its keys.
static void look_for_fatal(struct card *c)
{
    uint32_t status = strstr(c->reason, "FATAL") ? 0 : bus_read32(c->bus, ESPC_REG_STATUS);

    if (status != UINT32_MAX && status & ESPC_STATUS_FATAL_MASK)
        add_reason(c, "it has stopped: FATAL");
}

// Silent: nothing that the card does from now on can reach memory. In look-aside it has no wire. That comes
// before any question, which may have to wait for its answer.
static bool silence(struct card *c)
{
    if (c->bus->ops->dead(c->bus))
        return true; // see the bus for why a device that has ended can do no more DMA
    if (bus_master(c->bus, false) == 0) {
        look_for_fatal(c);                                       // before the reset clears it
        bus_post32(c->bus, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK); // zeroises the keys, where it still listens
        return true;
    }
    if (!c->bus->gone && c->bus->ops->reset(c->bus) == 0)
        return true;
    return c->bus->ops->dead(c->bus); // no answer is no proof
}

// From either side; the first reason counts. From here on nothing is submitted and nothing that the card
// writes is believed.
void card_fail(struct card *c, const char *fmt, ...)
{
    int running = CARD_RUNNING;
    va_list ap;

    if (!atomic_compare_exchange_strong(&c->state, &running, CARD_CLAIMED))
        return;
    va_start(ap, fmt);
    vsnprintf(c->reason, sizeof(c->reason), fmt, ap);
    va_end(ap);
    atomic_store(&c->state, CARD_FAILING);
    card_nudge(c);
}

// Beside the packets: what card_fail has asked for.
static void end_card(struct card *c)
{
    c->silent = silence(c);
    if (!c->silent)
        add_reason(c, "it could not be shown silent");
    atomic_store(&c->state, CARD_DEAD);
    card_wake(c);
}

// On the packets' side: FAILED is told before any job comes back.
void card_settle(struct card *c)
{
    struct event_node *n = c->failed_node;

    if (!n || !card_dead(c))
        return;
    c->failed_node = NULL;
    n->ev->type = ESP_EVENT_FAILED;
    n->ev->status = ESP_STATUS_ABORTED;
    n->ev->silent = c->silent;
    esp_fail(&n->ev->error, -ENODEV, c->base.name, "%s", c->reason);
    event_queue_push(&c->events, n);
}

// FATAL, a reset that was not ours, or nobody there.
static bool check_state(struct card *c, uint64_t now)
{
    uint32_t status = bus_read32(c->bus, ESPC_REG_STATUS), epoch = bus_read32(c->bus, ESPC_REG_EPOCH);

    bool ones = status == UINT32_MAX || epoch == UINT32_MAX; // it may have gone between the two

    if (bus_check_gone(c->bus) && c->bus->ops->dead(c->bus))
        card_fail(c, "the card is gone");
    else if (c->bus->gone || (ones && bus_read32(c->bus, ESPC_REG_MAGIC) == UINT32_MAX))
        card_fail(c, "the card no longer answers (registers read all ones)");
    else if (status & ESPC_STATUS_FATAL_MASK)
        card_fail(c, "the card stopped: FATAL, cause 0x%x, detail 0x%x",
                  bus_read32(c->bus, ESPC_REG_ERR_CAUSE), bus_read32(c->bus, ESPC_REG_ERR_SYNDROME));
    else if (epoch != c->epoch)
        card_fail(c, "the card was reset behind our back: EPOCH reads 0x%08x, expected 0x%08x", epoch,
                  c->epoch);
    else
        card_check_queues(c, now, status & ESPC_STATUS_QUEUE_ERROR_MASK);
    return !card_failed(c);
}

// By the card's own clock, so that a slow card is not taken for a dead one, and each queue for itself: one
// that moves says nothing of another. A clock that stands still is judged by several reads: between two of
// them a living card has run.
static void check_stall(struct card *c, struct queue *q, uint64_t freerun)
{
    uint64_t limit = (uint64_t)HANG_MS * (c->clock_khz ? c->clock_khz : DEFAULT_KHZ);
    uint32_t done = atomic_load(&q->shown_done);

    if (!queue_waits_for_card(q)) {
        q->stalled = false;
    } else if (!q->stalled || q->stall_done != done) {
        q->stalled = true;
        q->stall_done = done;
        q->stall_freerun = q->stall_last = freerun;
        q->stall_still = 0;
    } else if (freerun - q->stall_freerun > limit) {
        card_fail(
            c, "the card hangs: queue %u had no completion in %llu ms of the card's clock", q->index,
            (unsigned long long)((freerun - q->stall_freerun) / (c->clock_khz ? c->clock_khz : DEFAULT_KHZ)));
    } else if (freerun != q->stall_last) {
        q->stall_last = freerun;
        q->stall_still = 0;
    } else if (++q->stall_still >= STILL_READS) {
        card_fail(c, "the card hangs: its clock stands still with work outstanding in queue %u", q->index);
    }
}

static void check_stalls(struct card *c, uint64_t freerun)
{
    for (unsigned i = 0; i <= c->queues; i++)
        check_stall(c, &c->queue[i], freerun);
}

static bool busy(struct card *c)
{
    bool any = false;

    for (unsigned i = 0; i <= c->queues; i++) {
        struct queue *q = &c->queue[i];
        if (queue_waits_for_card(q))
            any = true;
        else
            q->stalled = false;
    }
    return any;
}

static uint32_t completions(struct card *c)
{
    uint32_t n = 0;

    for (unsigned i = 0; i <= c->queues; i++)
        n += atomic_load(&c->queue[i].shown_done);
    return n;
}

// Asked for, or a second old where the card has done something since.
static bool snapshot_due(struct card *c, uint64_t now)
{
    uint32_t done = completions(c);
    bool due = atomic_exchange(&c->snapshot_wanted, 0) ||
               (now - c->snapshot_ms >= SNAPSHOT_MS && done != c->snapshot_done);

    if (due) {
        c->snapshot_ms = now;
        c->snapshot_done = done;
    }
    return due;
}

// The clock is read for the packets' side too, which counts deadlines from it.
static void check_clock(struct card *c, bool is_busy)
{
    uint64_t freerun = card_freerun(c);

    if (c->bus->gone) {
        card_fail(c, "%s", c->bus->ops->dead(c->bus) ? "the card is gone" : "the card no longer answers");
        return;
    }
    atomic_store(&c->clock, freerun);
    if (is_busy)
        check_stalls(c, freerun);
}

unsigned card_watch_ms(const struct card *c)
{
    return c->watches_work ? CHECK_BUSY_MS : 2 * CHECK_BUSY_MS;
}

void card_watch(struct card *c, uint64_t now)
{
    bool is_busy;

    if (atomic_load(&c->state) == CARD_FAILING)
        end_card(c);
    if (card_failed(c))
        return;
    is_busy = c->watches_work = busy(c) || card_mends_queues(c);
    if (now - c->checked_ms >= (is_busy ? CHECK_BUSY_MS : CHECK_IDLE_MS)) {
        c->checked_ms = now;
        if (bus_check_gone(c->bus))
            card_fail(c, "the card is gone");
        else if (check_state(c, now) && (is_busy || c->deadline))
            check_clock(c, is_busy);
    }
    if (!card_failed(c) && snapshot_due(c, now))
        card_snapshot(c);
    if (atomic_load(&c->state) == CARD_FAILING)
        end_card(c);
}

// The bus says that the other end has left, or why it is to be let go of while it still answers.
void card_bus_notice(struct card *c)
{
    const char *why = c->bus->ops->notice ? c->bus->ops->notice(c->bus) : NULL;

    if (why)
        card_fail(c, "%s", why);
    else if (!card_failed(c) && bus_check_gone(c->bus))
        card_fail(c, "the card is gone");
}

void card_tick(struct esp_engine *e, uint64_t now)
{
    struct card *c = card_of(e);

    if (!c->thread_runs)
        card_watch(c, now);
    card_settle(c);
    if (card_failed(c))
        return;
    card_commands_complete(c);
    card_renew(c);
    card_queues_settle(c);
    for (unsigned i = 0; i <= c->queues; i++)
        queue_retell(c, &c->queue[i]);
}
