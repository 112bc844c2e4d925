// SPDX-License-Identifier: Apache-2.0
// Requests of ctl that take time: each ends in exactly one RESULT, when all that it waits for is done or its
// time is up.
#include "ctrl/ike/jobs.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctrl/ike/conns.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ipc/ipc.h"

struct job *job_find(struct ike *ike, uint32_t id)
{
    struct job *j = ike->jobs;
    while (j && j->id != id)
        j = j->next;
    return id ? j : NULL;
}

bool job_waits(const struct ike *ike, uint32_t sa_id)
{
    const struct job *j = ike->jobs;
    while (j && (j->kind != JOB_INITIATE || j->sa_id != sa_id))
        j = j->next;
    return j;
}

void job_end(struct job *j, bool ok, const char *text)
{
    struct ike *ike = j->ike;
    for (struct job **at = &ike->jobs; *at; at = &(*at)->next) {
        if (*at == j) {
            *at = j->next;
            break;
        }
    }
    timer_stop(ike->loop, &j->timer);
    if (j->req)
        ipc_result(ike->chan[ROOM_CTL], j->req, ok, "%s", text);
    conn_unref(j->conn);
    free(j);
}

struct job *job_new(struct ike *ike, enum job_kind kind, uint32_t req)
{
    struct job *j = calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    j->ike = ike;
    j->kind = kind;
    j->req = req;
    j->id = ++ike->next_job;
    j->next = ike->jobs;
    ike->jobs = j;
    return j;
}

void job_step(struct ike *ike, uint32_t id, bool ok, const char *why)
{
    struct job *j = job_find(ike, id);
    char text[sizeof(j->why)];
    if (!j)
        return;
    if (!ok && !j->failed) {
        j->failed = true;
        snprintf(j->why, sizeof(j->why), "%s", why);
    }
    if (j->remaining && --j->remaining)
        return;
    snprintf(text, sizeof(text), "%s", j->why);
    if (!j->failed && j->kind == JOB_TERMINATE)
        snprintf(text, sizeof(text), "%u", j->matched);
    job_end(j, !j->failed, text);
}

static void job_late(struct timer *t)
{
    struct job *j = t->ctx;
    job_end(j, false,
            j->kind == JOB_INITIATE ? "not established before the time-out"
                                    : "not closed before the time-out");
}

void job_limit(struct job *j, uint32_t ms)
{
    j->timer.fire = job_late;
    j->timer.ctx = j;
    if (ms)
        timer_set(j->ike->loop, &j->timer, loop_now(j->ike->loop) + ms);
}

void job_free_all(struct ike *ike)
{
    while (ike->jobs) {
        struct job *j = ike->jobs;
        ike->jobs = j->next;
        timer_stop(ike->loop, &j->timer);
        conn_unref(j->conn);
        free(j);
    }
}
