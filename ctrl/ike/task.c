// SPDX-License-Identifier: Apache-2.0
// Tasks: exchanges at work, in either role. What keys and path answer finds a task by its number; one that is
// gone has been undone, and its answers go nowhere.
#include "ctrl/ike/task.h"

#include <stddef.h>
#include <stdlib.h>

#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"

void task_become(struct task *t, enum task_kind kind)
{
    t->kind = kind;
    t->ops = t->sa->ike->exchanges[kind];
}

// An IKE SA that is not there yet goes nowhere without its task; one that is goes on, and what must be asked
// for is asked for again (expiry_unasked).
static struct task *no_task(struct ike_sa *sa)
{
    if (sa->state != SA_ESTABLISHED)
        sa_out_of_memory(sa);
    return NULL;
}

struct inmsg *inmsg_new(size_t octets)
{
    struct inmsg *m = malloc(sizeof(*m) + octets);
    if (!m)
        return NULL;
    memset(m, 0, offsetof(struct inmsg, pl));
    m->pl.count = 0;
    m->fragmented = false;
    memset(m->hash, 0, sizeof(m->hash));
    m->len = 0;
    return m;
}

struct task *task_new(struct ike_sa *sa, enum task_kind kind, uint32_t child_id)
{
    struct ike *ike = sa->ike;
    struct task *t = calloc(1, sizeof(*t));
    if (!t)
        return no_task(sa);
    t->sa = sa;
    task_become(t, kind);
    t->child_id = child_id;
    do {
        t->number = ++ike->next_task;
    } while (!t->number || table_find(&ike->tasks, t->number));
    if (!table_add(&ike->tasks, &t->by_number, t->number)) {
        free(t);
        return no_task(sa);
    }
    return t;
}

void task_free(struct task *t)
{
    if (!t)
        return;
    table_del(&t->sa->ike->tasks, &t->by_number);
    timer_stop(t->sa->ike->loop, &t->over);
    if (t->ops->undo)
        t->ops->undo(t);
    free(t->msg);
    free(t);
}

struct task *task_by_number(struct ike *ike, uint32_t number)
{
    struct table_node *n = table_find(&ike->tasks, number);
    struct task *t = n ? (struct task *)(void *)((char *)n - offsetof(struct task, by_number)) : NULL;
    return t && t->sa->state != SA_DEAD ? t : NULL;
}

void task_drop_all(struct ike_sa *sa)
{
    struct task *gone[] = {sa->active, sa->passive};
    sa->active = sa->passive = NULL;
    for (unsigned i = 0; i < 2; i++)
        task_free(gone[i]);
    while (sa->parked) {
        struct task *t = sa->parked;
        sa->parked = t->next;
        task_free(t);
    }
    while (sa->queue) {
        struct task *t = sa->queue;
        sa->queue = t->next;
        task_free(t);
    }
}

bool task_is_asked(const struct ike_sa *sa, enum task_kind kind, uint32_t child_id)
{
    const struct task *all[] = {sa->active, sa->queue};
    for (unsigned i = 0; i < 2; i++)
        for (const struct task *t = all[i]; t; t = t->next)
            if (t->kind == kind && t->child_id == child_id)
                return true;
    return false;
}

void task_move_queue(struct ike_sa *from, struct ike_sa *to)
{
    struct task **end = &to->queue;
    while (*end)
        end = &(*end)->next;
    *end = from->queue;
    from->queue = NULL;
    for (struct task *t = *end; t; t = t->next)
        t->sa = to;
}
