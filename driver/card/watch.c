// SPDX-License-Identifier: Apache-2.0
// Failure: how it is found (the bus, FATAL, a lost EPOCH, nonsense, a card whose own clock runs on without an
// answer or has stopped) and what follows: first the card is made silent, then the failure is told, then the
// jobs come back.
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>

#include "driver/card/card.h"

enum { CHECK_BUSY_MS = 20, CHECK_IDLE_MS = 250, STILL_READS = 3 };
#define STALL_CYCLES                                                                                         \
    (1ull << 26) // of the card's clock: a quarter of a second at 250 MHz, far beyond any queue

// Silent: nothing that the card does from now on can reach memory. In look-aside it has no wire.
static bool silence(struct card *c)
{
    if (c->bus->ops->dead(c->bus))
        return true; // see the bus for why a device that has ended can do no more DMA
    if (bus_master(c->bus, false) == 0) {
        bus_post32(c->bus, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK); // zeroises the keys, where it still listens
        return true;
    }
    if (!c->bus->gone && c->bus->ops->reset(c->bus) == 0)
        return true;
    return c->bus->ops->dead(c->bus); // no answer is no proof
}

void card_fail(struct card *c, const char *fmt, ...)
{
    struct event_node *n = c->failed_node;
    va_list ap;
    size_t used;

    if (c->failed)
        return;
    c->failed = true;
    c->silent = silence(c);
    c->failed_node = NULL;
    if (c->bus->fd >= 0) // an ended stream stays readable: the caller must be able to sleep again
        (void)epoll_ctl(c->base.fd, EPOLL_CTL_DEL, c->bus->fd, NULL);
    n->ev.type = ESP_EVENT_FAILED;
    n->ev.status = ESP_STATUS_ABORTED;
    esp_fail(&n->ev.error, -ENODEV, c->base.name, "%s", "");
    va_start(ap, fmt);
    vsnprintf(n->ev.error.text, sizeof(n->ev.error.text), fmt, ap);
    va_end(ap);
    used = strlen(n->ev.error.text);
    if (!c->silent)
        snprintf(n->ev.error.text + used, sizeof(n->ev.error.text) - used, "; it could not be shown silent");
    event_queue_push(&c->events, n);
    card_wake(c);
}

static bool work_outstanding(const struct card *c)
{
    for (unsigned i = 0; i <= c->queues; i++)
        if (queue_posted(&c->queue[i]) && !queue_ready(&c->queue[i]))
            return true;
    return false;
}

// FATAL, a reset that was not ours, or nobody there.
static bool check_state(struct card *c)
{
    uint32_t status = bus_read32(c->bus, ESPC_REG_STATUS), epoch = bus_read32(c->bus, ESPC_REG_EPOCH);

    if (c->bus->gone || (status == UINT32_MAX && bus_read32(c->bus, ESPC_REG_MAGIC) == UINT32_MAX))
        card_fail(c, "the card no longer answers (registers read all ones)");
    else if (status & ESPC_STATUS_FATAL_MASK)
        card_fail(c, "the card stopped: FATAL, cause 0x%x, detail 0x%x",
                  bus_read32(c->bus, ESPC_REG_ERR_CAUSE), bus_read32(c->bus, ESPC_REG_ERR_SYNDROME));
    else if (epoch != c->epoch)
        card_fail(c, "the card was reset behind our back: EPOCH reads 0x%08x, expected 0x%08x", epoch,
                  c->epoch);
    return !c->failed;
}

// By the card's own clock, so that a slow card is not taken for a dead one. A clock that stands still is
// judged by several reads: between two of them a living card has run.
static void check_stall(struct card *c)
{
    uint64_t freerun = bus_read32(c->bus, ESPC_REG_FREERUN_LO);

    freerun |= (uint64_t)bus_read32(c->bus, ESPC_REG_FREERUN_HI) << 32;
    if (c->bus->gone) {
        card_fail(c, "the card no longer answers");
        return;
    }
    if (!c->stalled || c->seen_completions != c->completions) {
        c->stalled = true;
        c->seen_completions = c->completions;
        c->stall_freerun = freerun;
        c->stall_still = 0;
        return;
    }
    if (freerun - c->stall_freerun > STALL_CYCLES)
        card_fail(c, "the card hangs: %llu of its cycles without a completion",
                  (unsigned long long)(freerun - c->stall_freerun));
    else if (freerun != c->stall_freerun)
        c->stall_still = 0;
    else if (++c->stall_still >= STILL_READS)
        card_fail(c, "the card hangs: its clock stands still with work outstanding");
}

void card_tick(struct esp_engine *e, uint64_t now)
{
    struct card *c = card_of(e);
    bool busy;

    if (c->failed)
        return;
    if (bus_check_gone(c->bus)) {
        card_fail(c, "the card is gone");
        return;
    }
    card_commands_complete(c);
    busy = work_outstanding(c);
    if (!busy)
        c->stalled = false;
    if (c->failed || now - c->checked_ms < (busy ? CHECK_BUSY_MS : CHECK_IDLE_MS))
        return;
    c->checked_ms = now;
    if (check_state(c) && busy)
        check_stall(c);
}
