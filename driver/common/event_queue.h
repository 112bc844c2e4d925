// SPDX-License-Identifier: Apache-2.0
// Events waiting for the caller of an engine. Nodes are reserved when a command is accepted, so that its
// answer can always be delivered; a node may be held back until a stated number of jobs has been returned.
#ifndef ESPALIER_COMMON_EVENT_QUEUE_H
#define ESPALIER_COMMON_EVENT_QUEUE_H

#include <stdbool.h>

#include "espalier/engine.h"

struct event_node {
    struct esp_event *ev; // NULL: its owner, which it is a part of, makes the event when it is taken
    uint64_t after;       // deliver once this many jobs have been returned in all
    struct event_node *next;
};

struct event_queue {
    struct event_node *first, **last;
};

void event_queue_init(struct event_queue *q);
void event_queue_clear(struct event_queue *q);
struct event_node *event_node_new(void);    // NULL: no memory
void event_node_free(struct event_node *n); // but of one that is a part of its owner; may be NULL
void event_queue_push(struct event_queue *q, struct event_node *n);
bool event_queue_ready(const struct event_queue *q, uint64_t returned);
// Takes the first node if it may be delivered; the caller frees it
// (event_node_free).
struct event_node *event_queue_pop(struct event_queue *q, uint64_t returned);

#endif
