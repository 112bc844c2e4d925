// SPDX-License-Identifier: Apache-2.0
// IKE_FOLLOWUP_KE (RFC 9370 section 2.2.4): the additional key exchanges of a CREATE_CHILD_SA, one exchange
// each. The responder's answers carry an ADDITIONAL_KEY_EXCHANGE notify as long as one is left; what it holds
// comes back with the next request and finds the task that waits for it. As initiator the task stays at work
// from the first exchange to the last; as responder it waits in the SA, a few of them and not for long, and
// the peer may do other things meanwhile. Nothing is in force before the last one is done.
#include "ctrl/ike/followup.h"

#include <errno.h>
#include <stdlib.h>

#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

enum {
    WAIT_MS = 20000, // 2.2.4: 5 to 20 seconds
    WAITING_MAX = 4, // tasks of one IKE SA
    LINK_MAX = 256,  // octets of the peer's
    OWN_LINK = 5,
    FOLLOWUP_MAX = CR_DH_MAX + LINK_MAX + 64
};

// --- as initiator ---

int followup_begin(struct task *t, struct kex *k, const struct suite *s, const struct payloads *pl, kex_fn fn,
                   struct refusal *r)
{
    const struct transform *next = suite_addke(s, k->added);
    struct notify n;
    if (!next)
        return 0;
    if (!notify_find(pl, N_ADDITIONAL_KEY_EXCHANGE, &n) || n.data.len > LINK_MAX)
        return refuse(r, N_INVALID_SYNTAX, "ADDITIONAL_KEY_EXCHANGE",
                      "%s leads on to the additional key exchange with %s (RFC 9370 2.2.4)",
                      n.data.len > LINK_MAX ? "no notify of at most 256 octets" : "nothing",
                      transform_name(*next));
    if (!ike_kex_keep_link(k, n.data) || !ike_kex_room(k))
        return refuse(r, N_TEMPORARY_FAILURE, "ADDITIONAL_KEY_EXCHANGE", "no memory");
    ike_kex_generate(t, ike_kex_next(k), next->id, fn);
    return 1;
}

bool followup_send(struct task *t, struct kex *k, enum msg_type type, const union msg *m)
{
    uint8_t buf[FOLLOWUP_MAX];
    struct pb b = pb_of(buf, sizeof(buf));
    if (!ike_kex_public(k, type, m))
        return false;
    pb_ke(&b, ike_kex_next(k)->group, ike_kex_value(k));
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_ADDITIONAL_KEY_EXCHANGE, ike_kex_link(k));
    exchange_send_inner(t->sa, EX_FOLLOWUP_KE, &b);
    return true;
}

static void done(struct kex *k, const struct transform *t)
{
    LOGF(IKE, 1, "additional key exchange %d with %s done", t->type - TR_ADDKE1 + 1, transform_name(*t));
    k->added++;
}

int followup_take(struct kex *k, const struct suite *s, const struct payloads *pl, struct refusal *r)
{
    const struct transform *at = suite_addke(s, k->added);
    int rc = ike_kex_take_more(k, pl, at->id, true, r);
    if (!rc)
        done(k, at);
    return rc;
}

// --- as responder ---

bool followup_room(const struct ike_sa *sa)
{
    unsigned n = 0;
    for (const struct task *t = sa->parked; t; t = t->next)
        n++;
    return n < WAITING_MAX;
}

void followup_put(struct pb *b, const struct kex *k)
{
    pb_ke(b, k->added ? k->more[k->added - 1].group : k->first.group, ike_kex_value(k));
}

// Only this end has to understand it: which task, and how far it is.
static struct slice link_of(const struct task *t, uint8_t buf[OWN_LINK])
{
    struct writer w = writer_of(buf, OWN_LINK);
    wr_u32(&w, t->number);
    wr_u8(&w, t->followups);
    return wr_written(&w);
}

void followup_put_link(struct pb *b, struct task *t, const struct kex *k)
{
    uint8_t link[OWN_LINK];
    t->followups = (uint8_t)k->added;
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_ADDITIONAL_KEY_EXCHANGE, link_of(t, link));
}

static void unpark(struct ike_sa *sa, struct task *t)
{
    for (struct task **at = &sa->parked; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    t->next = NULL;
    timer_stop(sa->ike->loop, &t->over);
}

static void over(struct timer *timer)
{
    struct task *t = timer->ctx;
    struct ike_sa *sa = t->sa;
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 1, "%s given up: its IKE_FOLLOWUP_KE did not come (RFC 9370 2.2.4)", t->ops->name);
    unpark(sa, t);
    task_free(t);
    log_set_context("", 0);
}

void followup_wait(struct task *t, const struct pb *b)
{
    struct ike_sa *sa = t->sa;
    uint8_t exchange = t->msg->h.exchange;
    sa->passive = NULL; // the answer does not end it
    t->next = sa->parked;
    sa->parked = t;
    free(t->msg);
    t->msg = NULL;
    if (exchange_reply(sa, exchange, b)) {
        t->over = (struct timer){.fire = over, .ctx = t};
        timer_set(sa->ike->loop, &t->over, loop_now(sa->ike->loop) + WAIT_MS);
        return;
    }
    unpark(sa, t); // the peer asks again
    task_free(t);
}

int followup_answer(struct task *t, struct kex *k, const struct suite *s, kex_fn fn, struct refusal *r)
{
    const struct transform *at = suite_addke(s, k->added);
    int rc = ike_kex_room(k) ? ike_kex_take_more(k, &t->msg->pl, at->id, false, r)
                             : refuse(r, N_TEMPORARY_FAILURE, "KE", "no memory");
    if (!rc)
        ike_kex_respond(t, ike_kex_next(k), at->id, fn);
    return rc;
}

bool followup_answered(struct kex *k, const struct suite *s, enum msg_type type, const union msg *m)
{
    if (!ike_kex_public(k, type, m))
        return false;
    done(k, suite_addke(s, k->added));
    return true;
}

static struct task *linked(struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    uint8_t link[OWN_LINK];
    if (!notify_find(pl, N_ADDITIONAL_KEY_EXCHANGE, &n))
        return NULL;
    for (struct task *t = sa->parked; t; t = t->next)
        if (slice_eq(n.data, link_of(t, link)))
            return t;
    return NULL;
}

static void request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct task *waiting = linked(sa, &t->msg->pl);
    if (!waiting) {
        LOGF(IKE, 1, "IKE_FOLLOWUP_KE belongs to nothing that waits for it, sending STATE_NOT_FOUND");
        exchange_reply_notify(sa, EX_FOLLOWUP_KE, N_STATE_NOT_FOUND, slice_of(NULL, 0));
        return;
    }
    unpark(sa, waiting);
    waiting->msg = t->msg;
    t->msg = NULL;
    sa->passive = waiting;
    task_free(t);
    waiting->ops->followed(waiting);
}

const struct task_ops task_followup_respond = {
    .name = "IKE_FOLLOWUP_KE", .exchange = EX_FOLLOWUP_KE, .request = request};
