// SPDX-License-Identifier: Apache-2.0
// Which exchange of an IKE SA is at work and which wait: RFC 7296 section 2.3, a window of one. What a
// message means is its task's business.
#include "ctrl/ike/exchange.h"

#include <stdlib.h>

#include "ctrl/ike/expiry.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

const char *exchange_name(uint8_t x)
{
    switch (x) {
    case EX_SA_INIT: return "IKE_SA_INIT";
    case EX_AUTH: return "IKE_AUTH";
    case EX_CREATE_CHILD: return "CREATE_CHILD_SA";
    case EX_INFORMATIONAL: return "INFORMATIONAL";
    case EX_SESSION_RESUME: return "IKE_SESSION_RESUME";
    case EX_INTERMEDIATE: return "IKE_INTERMEDIATE";
    case EX_FOLLOWUP_KE: return "IKE_FOLLOWUP_KE";
    default: return "EXCHANGE";
    }
}

void exchange_log(const char *verb, uint8_t x, bool response, uint32_t mid, const struct payloads *pl)
{
    char list[800];
    LOGF(ENC, 1, "%s %s %s %u %s", verb, exchange_name(x), response ? "response" : "request", mid,
         payloads_print(pl, list, sizeof(list)));
    for (unsigned i = 0; i < pl->count; i++) {
        struct notify n;
        if (pl->p[i].type == PL_NOTIFY && notify_read(pl->p[i].body, &n) && !notify_has_effect(n.type, x))
            LOGF(ENC, 2, "notify %u, %s, has no effect in %s", n.type, notify_name(n.type), exchange_name(x));
    }
}

void exchange_queue_task(struct ike_sa *sa, struct task *t)
{
    struct task **end = &sa->queue;
    while (*end)
        end = &(*end)->next;
    *end = t;
    exchange_next(sa);
}

// NULL: no memory. The SA may be gone then, or it asks again.
static struct task *wanted(struct ike_sa *sa, enum task_kind kind, uint32_t child_id)
{
    bool goes_on = sa->state == SA_ESTABLISHED;
    struct task *t = task_new(sa, kind, child_id);
    if (!t && goes_on)
        expiry_unasked(sa, kind, child_id);
    return t;
}

void exchange_queue(struct ike_sa *sa, enum task_kind kind, uint32_t child_id)
{
    struct task *t = wanted(sa, kind, child_id);
    if (t)
        exchange_queue_task(sa, t);
}

// What is closed by itself is told by itself, before the whole ends: of an IKE SA that ends as another one is
// there the peer may want the CHILD SAs on that one. Where the daemon ends there is no time for it. Returns
// the place behind.
static struct task **deletes_first(struct ike_sa *sa)
{
    struct task **front = &sa->queue;
    for (struct task **at = &sa->queue; *at && !sa->ike->stopping;) {
        struct task *t = *at;
        if (t->kind != TASK_DELETE_CHILD) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        t->next = *front;
        *front = t;
        at = at == front ? &t->next : at;
        front = &t->next;
    }
    return front;
}

void exchange_first(struct ike_sa *sa, enum task_kind kind, uint32_t child_id)
{
    struct task *t = wanted(sa, kind, child_id);
    if (!t)
        return;
    struct task **at = kind == TASK_DELETE_IKE ? deletes_first(sa) : &sa->queue;
    t->next = *at;
    *at = t;
    exchange_next(sa);
}

void exchange_next(struct ike_sa *sa)
{
    struct task *t = sa->queue;
    if (!t || sa->active || sa->untried || sa->state == SA_DEAD)
        return;
    sa->queue = t->next;
    sa->active = t;
    t->next = NULL;
    t->ops->start(t);
}

void exchange_done(struct ike_sa *sa)
{
    struct task *t = sa->active;
    timer_stop(sa->ike->loop, &sa->later->retransmit);
    free(sa->request);
    sa->request = NULL;
    sa->active = NULL;
    task_free(t);
    exchange_next(sa);
}

void exchange_clear(struct ike_sa *sa)
{
    timer_stop(sa->ike->loop, &sa->later->retransmit);
    task_drop_all(sa);
    free(sa->request);
    free(sa->reply);
    sa->request = sa->reply = NULL;
}

// --- requests of the peer ---

void exchange_drop_request(struct ike_sa *sa)
{
    struct task *t = sa->passive;
    sa->passive = NULL;
    task_free(t);
}
