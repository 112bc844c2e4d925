// SPDX-License-Identifier: Apache-2.0
// Events waiting for the caller of an engine: a linked list in order of arrival.
#include "driver/common/event_queue.h"

#include <stdlib.h>

void event_queue_init(struct event_queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

void event_queue_clear(struct event_queue *q)
{
    struct event_node *n;

    while ((n = event_queue_pop(q, UINT64_MAX)))
        event_node_free(n);
}

struct node_with_event {
    struct event_node n; // first: event_node_free
    struct esp_event ev;
};

struct event_node *event_node_new(void)
{
    struct node_with_event *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->n.ev = &w->ev;
    return &w->n;
}

void event_node_free(struct event_node *n)
{
    if (n && n->ev)
        free(n);
}

void event_queue_push(struct event_queue *q, struct event_node *n)
{
    n->next = NULL;
    *q->last = n;
    q->last = &n->next;
}

bool event_queue_ready(const struct event_queue *q, uint64_t returned)
{
    return q->first && q->first->after <= returned;
}

struct event_node *event_queue_pop(struct event_queue *q, uint64_t returned)
{
    struct event_node *n = q->first;

    if (!event_queue_ready(q, returned))
        return NULL;
    q->first = n->next;
    if (!q->first)
        q->last = &q->first;
    return n;
}
