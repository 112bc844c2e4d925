// SPDX-License-Identifier: Apache-2.0
// A queue that the card has stopped (a doorbell that made no sense to it, a bus error on a ring): what is in
// it comes back, and it is started afresh, while the other queues, every SA and every lease go on. Sequence
// numbers that the card had given to jobs that come back ABORTED are left out. The queue of SA commands is
// another matter: what the card has done of its commands is not known, so there the engine ends.
#include <errno.h>
#include <string.h>

#include "driver/card/card.h"

enum { QUIET_MS = 1000, STOPS_MOST = 4, STOPS_MS = 60000 };

static const char *cause_name(uint32_t status)
{
    switch ((status & ESPC_QUEUE_STATUS_CAUSE_MASK) >> ESPC_QUEUE_STATUS_CAUSE_SHIFT) {
    case ESPC_QUEUE_CAUSE_BAD_DOORBELL: return "a doorbell made no sense to the card";
    case ESPC_QUEUE_CAUSE_SQ_READ: return "a bus error when the card read its submissions";
    case ESPC_QUEUE_CAUSE_CQ_WRITE: return "a bus error when the card wrote its completions";
    default: return "for an unknown cause";
    }
}

static void stopped(struct card *c, struct queue *q, uint64_t now, uint32_t status)
{
    if (now - q->first_stop_ms >= STOPS_MS || !q->stops) {
        q->first_stop_ms = now;
        q->stops = 0;
    }
    snprintf(q->why, sizeof(q->why), "%s", cause_name(status));
    if (q->index == 0) {
        card_fail(c, "the queue of SA commands has stopped: %s", q->why);
    } else if (++q->stops > STOPS_MOST) {
        card_fail(c, "queue %u has stopped %u times in %llu s: %s", q->index, q->stops,
                  (unsigned long long)(now - q->first_stop_ms) / 1000, q->why);
    } else {
        card_queue_stop(c, q);
        q->stopped_ms = now;
        atomic_store(&q->health, QUEUE_STOPPED);
    }
}

static void await_quiet(struct card *c, struct queue *q, uint64_t now)
{
    if (!(card_queue_status(c, q) & ESPC_QUEUE_STATUS_ACTIVE_MASK)) {
        atomic_store(&q->health, QUEUE_QUIET);
        card_wake(c);
    } else if (now - q->stopped_ms > QUIET_MS) {
        card_fail(c, "queue %u has stopped (%s) and its work does not end", q->index, q->why);
    }
}

static void start_again(struct card *c, struct queue *q)
{
    q->stalled = false;
    card_queue_start(c, q);
    if (card_queue_status(c, q) & ESPC_QUEUE_STATUS_ERROR_MASK) {
        card_fail(c, "queue %u has stopped (%s) and does not start again", q->index, q->why);
        return;
    }
    atomic_store(&q->health, QUEUE_GOOD);
    card_wake(c);
}

void card_check_queues(struct card *c, uint64_t now, bool any)
{
    for (unsigned i = 0; i <= c->queues && !card_failed(c) && !c->bus->gone; i++) {
        struct queue *q = &c->queue[i];
        uint32_t status = 0;

        switch (queue_health(q)) {
        case QUEUE_GOOD:
            status = any ? card_queue_status(c, q) : 0;
            if (status & ESPC_QUEUE_STATUS_ERROR_MASK && status != UINT32_MAX)
                stopped(c, q, now, status);
            break;
        case QUEUE_STOPPED: await_quiet(c, q, now); break;
        case QUEUE_QUIET: break; // the packets' turn
        case QUEUE_FRESH: start_again(c, q); break;
        }
    }
}

bool card_mends_queues(const struct card *c)
{
    bool any = false;

    for (unsigned i = 1; i <= c->queues; i++)
        any = any || queue_health(&c->queue[i]) != QUEUE_GOOD;
    return any;
}

static void tell(struct card *c, const struct queue *q)
{
    struct event_node *n = event_node_new();

    if (!n)
        return; // the jobs came back all the same
    n->ev->type = ESP_EVENT_QUEUE_RESET;
    n->ev->status = ESP_STATUS_ABORTED;
    esp_fail(&n->ev->error, -EIO, c->base.name, "queue %u had stopped: %s", q->index, q->why);
    event_queue_push(&c->events, n);
}

void card_queues_settle(struct card *c)
{
    for (unsigned i = 1; i <= c->queues && !card_failed(c); i++) {
        struct queue *q = &c->queue[i];

        if (queue_health(q) != QUEUE_QUIET || queue_busy(q))
            continue;
        if (queue_draw_salt(q)) {
            card_fail(c, "no random number for queue %u", q->index);
            return;
        }
        queue_clear(q);
        tell(c, q);
        atomic_store(&q->health, QUEUE_FRESH);
        card_nudge(c);
    }
}
