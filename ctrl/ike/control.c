// SPDX-License-Identifier: Apache-2.0
// What ctl asks for, and path's events: initiating, terminating, loading, shutting down. A request that takes
// time is a job that ends in exactly one RESULT.
#include "ctrl/ike/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/create_child.h"
#include "ctrl/ike/creds.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/info.h"
#include "ctrl/ike/initiate.h"
#include "ctrl/ike/jobs.h"
#include "ctrl/ike/load.h"
#include "ctrl/ike/redirect.h"
#include "ctrl/ike/rekey_ike.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/pools.h"
#include "ctrl/ike/report.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"

enum { SHUTDOWN_MS = 1000 };

// --- initiate ---

static struct conn *conn_with_child(struct ike *ike, const char *name)
{
    struct conn *c = ike->conns;
    while (c && !conn_child(c, name))
        c = c->next;
    return c;
}

static bool is_being_made(const struct child_sa *k)
{
    return k->state == CHILD_CREATED || k->state == CHILD_INSTALLING;
}

// An SA of that connection which has the CHILD SA, or is on its way to it: by our own request, or by the
// peer's.
static struct ike_sa *sa_with_child(struct ike *ike, const struct conn *c, const struct child_config *child,
                                    bool *up)
{
    for (struct ike_sa *sa = NULL; (sa = sa_of_conn(ike, c->cfg.name, sa));) {
        if (sa->state == SA_DELETING)
            continue;
        for (struct child_sa *k = sa->children; k; k = k->next) {
            if ((child_is_up(k) || is_being_made(k)) && edition_serves(k, c, child)) {
                *up = child_is_up(k);
                return sa;
            }
        }
        if (sa->hs && sa->initiator && sa->hs->later->child &&
            conn_same_child(sa->conn, sa->hs->later->child, c, child))
            return sa;
        if (create_child_makes(sa, c, child))
            return sa;
    }
    return NULL;
}

// The IKE SA alone (RFC 6023).
static void initiate_alone(struct ike *ike, struct conn *c, const struct msg_INITIATE *m)
{
    struct ipc_chan *ctl = ike->chan[ROOM_CTL];
    struct esp_error err = {0};
    if (conn_only_policies(&c->cfg)) {
        ipc_result(ctl, m->req, false, "'%.120s' has policies alone: there is nothing to initiate",
                   c->cfg.name);
        return;
    }
    for (struct ike_sa *sa = NULL; (sa = sa_of_conn(ike, c->cfg.name, sa));) {
        if (sa->state == SA_ESTABLISHED && sa_follows(sa, c) && !sa->hs) {
            ipc_result(ctl, m->req, true, "%s", "");
            return;
        }
    }
    struct job *j = job_new(ike, JOB_INITIATE, m->req);
    if (!j) {
        ipc_result(ctl, m->req, false, "no memory");
        return;
    }
    job_limit(j, m->timeout_ms);
    j->sa_id = ike->next_id + 1;
    if (initiate_anew(ike, c, NULL, &err) != 0)
        job_end(j, false, err.text);
}

static void initiate(struct ike *ike, const struct msg_INITIATE *m)
{
    struct ipc_chan *ctl = ike->chan[ROOM_CTL];
    struct conn *c = m->conn[0] ? conn_find(ike, m->conn) : conn_with_child(ike, m->child);
    const struct child_config *child = NULL;
    struct esp_error err = {0};
    bool up = false;
    if (c && m->child[0])
        child = conn_child(c, m->child);
    if (c && !m->child[0]) {
        initiate_alone(ike, c, m);
        return;
    }
    if (!c || !child) {
        ipc_result(ctl, m->req, false, "%s config '%.120s' not found",
                   c || !m->conn[0] ? "CHILD_SA" : "IKE_SA", c || !m->conn[0] ? m->child : m->conn);
        return;
    }
    if (child->action != POLICY_PROTECT) {
        ipc_result(ctl, m->req, false, "'%.120s' is a policy of mode %s: there is nothing to initiate",
                   child->name, child->action == POLICY_BYPASS ? "pass" : "drop");
        return;
    }
    struct ike_sa *sa = sa_with_child(ike, c, child, &up);
    if (up) {
        log_set_context(c->cfg.name, sa->id);
        LOGF(IKE, 1, "CHILD_SA %s is established already", child->name);
        log_set_context("", 0);
        ipc_result(ctl, m->req, true, "%s", "");
        return;
    }
    // The job stands before the SA moves: it may fail at once.
    struct job *j = job_new(ike, JOB_INITIATE, m->req);
    if (!j) {
        ipc_result(ctl, m->req, false, "no memory");
        return;
    }
    snprintf(j->child, sizeof(j->child), "%s", child->name);
    job_limit(j, m->timeout_ms);
    struct ike_sa *on = sa ? sa : initiate_on(ike, c, child);
    j->sa_id = on ? on->id : ike->next_id + 1;
    if (sa)
        revive_wanted(sa, child->name);
    if (!sa && initiate_child(ike, c, child, &err) != 0)
        job_end(j, false, err.text);
}

static void end_initiate(struct ike_sa *sa, const char *child, bool ok, const char *why)
{
    struct job *next;
    for (struct job *j = sa->ike->jobs; j; j = next) {
        next = j->next;
        if (j->kind == JOB_INITIATE && j->sa_id == sa->id &&
            (!child || !child[0] || strcmp(j->child, child) == 0))
            job_end(j, ok, why);
    }
}

void control_sa_alone(struct ike_sa *sa)
{
    end_initiate(sa, NULL, true, "");
}

// On an IKE SA that goes for another one's sake: whoever waits for it gets it there, once. True: it is there
// already.
static bool begin_elsewhere(struct ike_sa *sa, const char *child)
{
    struct ike *ike = sa->ike;
    struct conn *c = conn_find(ike, sa->conn->cfg.name);
    const struct child_config *cfg = c ? conn_child(c, child) : NULL;
    struct esp_error err = {0};
    bool up = false, any = false;
    if (!cfg || cfg->action != POLICY_PROTECT)
        return false;
    struct ike_sa *there = sa_with_child(ike, c, cfg, &up), *on = there ? there : initiate_on(ike, c, cfg);
    uint32_t id = on ? on->id : ike->next_id + 1;
    for (struct job *j = up ? NULL : ike->jobs; j; j = j->next) {
        if (j->kind != JOB_INITIATE || j->sa_id != sa->id || j->anew || strcmp(j->child, child) != 0)
            continue;
        j->sa_id = id;
        j->anew = any = true;
    }
    if (any && there)
        revive_wanted(there, child);
    if (!any)
        return up;
    LOGF(IKE, 1, "%s/%s begins anew: there is another IKE_SA in the place of this one", c->cfg.name, child);
    if (there || initiate_child(ike, c, cfg, &err) == 0)
        return false;
    for (struct job *j = ike->jobs, *next; j; j = next) {
        next = j->next;
        if (j->kind == JOB_INITIATE && j->sa_id == id && strcmp(j->child, child) == 0)
            job_end(j, false, err.text);
    }
    return false;
}

void control_child_up(struct ike_sa *sa, const char *child)
{
    revive_up(sa, child);
    if (sa->state == SA_DELETING && !sa->job)
        (void)begin_elsewhere(sa, child);
    end_initiate(sa, child, true, "");
    revive_step(sa, NULL);
}

void control_child_failed(struct ike_sa *sa, const char *child, const char *why)
{
    char text[512];
    esp_text_end(text, sizeof(text),
                 snprintf(text, sizeof(text), "establishing CHILD_SA '%s' failed: %s", child, why));
    end_initiate(sa, child, false, text);
    sa_why(sa, "%.190s", why);
    revive_failed(sa, child);
    revive_step(sa, child);
}

// What is being made in its place. A peer that knows who makes it may have deleted the old one for its sake;
// one that does not wants an end of both.
static void end_heir(struct ike_sa *old)
{
    for (struct ike_sa *sa = old->wanted_new ? old->ike->sas : NULL; sa; sa = sa->next) {
        bool unknown = task_is(sa->active, TASK_INIT) || task_is(sa->active, TASK_INTERMEDIATE);
        if (sa->replaces != old->id || sa->state != SA_CONNECTING || !unknown || job_waits(sa->ike, sa->id) ||
            !addr_eq(&sa->path.remote, &old->path.remote) || revive_comes_back(sa, sa->hs->later->child))
            continue;
        sa_why(sa, "the peer deleted the IKE_SA that it was to replace");
        sa_destroy(sa);
        return;
    }
}

// The peer has deleted the IKE SA while an operator waited for a CHILD SA on it: nobody has refused that, the
// two have crossed (RFC 7296 2.25.2). It begins anew, once.
void control_sa_deleted(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    struct conn *c = conn_find(ike, sa->conn->cfg.name);
    revive_sa_deleted(sa);
    end_heir(sa);
    for (struct job *j = c ? ike->jobs : NULL; j; j = j->next) {
        const struct child_config *child = conn_child(c, j->child);
        struct esp_error err = {0};
        if (j->kind != JOB_INITIATE || j->sa_id != sa->id || j->anew || !child ||
            child->action != POLICY_PROTECT)
            continue;
        j->anew = true;
        LOGF(IKE, 1, "%s/%s begins anew: the peer deleted the IKE_SA meanwhile", c->cfg.name, child->name);
        j->sa_id = ike->next_id + 1;
        if (initiate_anew(ike, c, child, &err) != 0)
            j->sa_id = sa->id; // and ends with it
        return;                // who else waits is told as before
    }
}

void control_sa_replaced(struct ike_sa *sa)
{
    sa->gave_way = true;
    revive_replaced(sa);
}

static bool has_ike_sa(struct ike *ike, const struct conn *c)
{
    struct ike_sa *sa = NULL;
    while ((sa = sa_of_conn(ike, c->cfg.name, sa)) != NULL)
        if (sa->state == SA_ESTABLISHED || sa->state == SA_CONNECTING)
            return true;
    return false;
}

// What was asked of it and had not begun is asked of the one that it gave way to; not where that is another
// connection's, nor where an operator ended it.
static void begin_all_elsewhere(struct ike_sa *sa)
{
    const struct conn *c = conn_find(sa->ike, sa->conn->cfg.name);
    if (!c || !sa->gave_way || sa->job || !has_ike_sa(sa->ike, c))
        return;
    for (unsigned i = 0; i < c->cfg.child_count; i++)
        if (begin_elsewhere(sa, c->cfg.children[i].name))
            end_initiate(sa, c->cfg.children[i].name, true, "");
}

void control_child_later(struct ike_sa *sa, const struct child_config *cfg)
{
    for (const struct child_sa *c = sa->children; c; c = c->next)
        if (child_is_up(c) && strcmp(c->cfg->name, cfg->name) == 0) { // the peer made it meanwhile
            control_child_up(sa, cfg->name);
            return;
        }
    revive_later(sa, cfg->name);
}

void control_sa_rekeyed(struct ike_sa *old, struct ike_sa *next)
{
    struct ike *ike = old->ike;
    for (struct job *j = ike->jobs; j; j = j->next)
        if (j->sa_id == old->id)
            j->sa_id = next->id;
    next->job = old->job;
    old->job = 0;
    next->wanted_new = old->wanted_new;
    if (old->retired)
        lifetime_ike_retire(next, old->later->over_at);
    for (struct ike_sa *sa = old->wanted_new ? ike->sas : NULL; sa; sa = sa->next)
        if (sa->replaces == old->id)
            sa->replaces = next->id;
}

static void shutdown_done(struct timer *t)
{
    struct ike *ike = t->ctx;
    timer_stop(ike->loop, t);
    if (ike->stopping) {
        ipc_send(ike->chan[ROOM_SUPER], MSG_SHUTDOWN_DONE, &(struct msg_SHUTDOWN_DONE){.room = ROOM_IKE});
        loop_stop(ike->loop);
    }
}

void control_sa_over(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    revive_sa_over(sa);
    begin_all_elsewhere(sa);
    end_initiate(sa, NULL, false, sa_reason(sa)[0] ? sa_reason(sa) : "the IKE_SA was closed");
    job_step(ike, sa->job, true, "");
    if (ike->stopping && !ike->sas)
        timer_set(ike->loop, &ike->shutdown, loop_now(ike->loop));
}

void control_acquire(struct ike *ike, const struct msg_ACQUIRE *m)
{
    struct conn *c = conn_find(ike, m->conn);
    const struct child_config *child = c ? conn_child(c, m->child) : NULL;
    if (child && child->action == POLICY_PROTECT)
        revive_acquire(ike, c, child);
}

// --- terminate ---

#define NO_MATCH "no matching SAs to terminate found"

static bool child_matches(const struct child_sa *c, const struct msg_TERMINATE *m)
{
    return (!m->child[0] || strcmp(c->cfg->name, m->child) == 0) && (!m->child_id || c->id == m->child_id);
}

static bool sa_matches(const struct ike_sa *sa, const struct msg_TERMINATE *m)
{
    return sa->state != SA_REFUSED && !sa->replaced && !sa->successor &&
           (!m->conn[0] || strcmp(sa->conn->cfg.name, m->conn) == 0) && (!m->ike_id || sa->id == m->ike_id) &&
           (m->conn[0] || m->ike_id || m->child[0] || m->child_id);
}

// c will be gone when it is the task's turn.
static void remember(struct task *t, const struct child_sa *c)
{
    t->spi = c->spi_in;
    t->peer_spi = c->spi_out;
    t->reqid = c->reqid;
    t->protocol = child_protocol(c);
}

static void close_child(struct child_sa *c, struct job *j, bool force)
{
    struct ike_sa *sa = c->sa;
    bool again = job_find(sa->ike, c->job) || c->state == CHILD_DELETING;
    if ((!child_is_up(c) && c->state != CHILD_DELETING) || c->replaced || (again && !force))
        return;
    uint32_t before = c->job;
    c->job = j->id;
    j->matched++;
    j->remaining++;
    revive_forget(sa->ike, sa->conn->cfg.name, c->cfg->name);
    log_set_context(sa->conn->cfg.name, sa->id);
    expiry_unwanted(c);
    bool asked = c->state == CHILD_DELETING;
    struct task *t = asked ? NULL : task_new(sa, TASK_DELETE_CHILD, c->id);
    if (t) {
        if (force)
            remember(t, c);
        exchange_queue_task(sa, t);
        asked = true;
    } else if (!asked) {
        expiry_unasked(sa, TASK_DELETE_CHILD, c->id);
    }
    job_step(sa->ike, before, true, ""); // it ends for whoever waited before, too
    if (force && asked) {
        child_destroy(c); // its DELETE goes out when its turn comes, nobody waits for the answer
        revive_watch(sa);
    }
    log_set_context("", 0);
}

// What is being made in the place of an IKE SA that is closed by its number goes, too, unless an operator
// waits for that.
static void close_heirs(struct ike *ike, const struct msg_TERMINATE *m)
{
    for (struct ike_sa *sa = ike->sas, *next; sa; sa = next) {
        const struct ike_sa *old = sa->replaces ? sa_by_id(ike, sa->replaces) : NULL;
        next = sa->next;
        if (!old || !sa_matches(old, m) || sa_matches(sa, m) || job_waits(ike, sa->id))
            continue;
        sa_why(sa, "the IKE_SA that it was to replace was terminated");
        delete_ike_unfinished(sa);
        sa_delete(sa);
    }
}

static void close_sa(struct ike_sa *sa, struct job *j, bool force)
{
    struct ike *ike = sa->ike;
    uint32_t before = sa->job;
    if (job_find(ike, before) && !force)
        return;
    sa->job = j->id;
    j->matched++;
    j->remaining++;
    sa_why(sa, "terminated");
    sa->failure = IKE_FAILURE_TERMINATED;
    for (const struct child_sa *c = sa->children; c; c = c->next)
        revive_forget(ike, sa->conn->cfg.name, c->cfg->name);
    delete_ike_unfinished(sa);
    sa_delete(sa);
    if (force) { // one DELETE goes out, nobody waits for the answer
        rekey_ike_forgo(sa, true);
        delete_ike_at_once(sa);
        sa_destroy(sa);
    }
    job_step(ike, before, true, "");
}

// What would be tried again later is not.
static void forget_attempts(struct ike *ike, const struct msg_TERMINATE *m)
{
    if (m->ike_id || m->child_id)
        return;
    for (struct conn *c = ike->conns; c; c = c->next)
        for (unsigned i = 0; i < c->cfg.child_count; i++)
            if ((!m->conn[0] || strcmp(m->conn, c->cfg.name) == 0) &&
                (!m->child[0] || strcmp(m->child, c->cfg.children[i].name) == 0))
                revive_forget(ike, c->cfg.name, c->cfg.children[i].name);
}

static void survivors_ended(struct ike *ike, uint32_t job, enum msg_type t, const union msg *m)
{
    struct job *j = job_find(ike, job);
    if (!j)
        return;
    j->matched += answer_ok(t, m) ? (unsigned)strtoul(m->RESULT.text, NULL, 10) : 0;
    if (!j->matched)
        job_end(j, false, NO_MATCH);
    else
        job_step(ike, j->id, true, "");
}

// What the last ike has left in path goes too, where it is named. Its peer finds that out by its DPD.
static void end_survivors(struct ike *ike, struct job *j, const struct msg_TERMINATE *m)
{
    struct msg_SURVIVORS_END q = {.child_id = m->child_id};
    if (!ike->follows || m->ike_id)
        return;
    j->remaining++;
    snprintf(q.conn, sizeof(q.conn), "%s", m->conn);
    snprintf(q.child, sizeof(q.child), "%s", m->child);
    q.req = ask_new_room(ike, j->id, survivors_ended);
    if (q.req)
        ask(ike, ROOM_PATH, q.req, MSG_SURVIVORS_END, &q);
    else
        j->remaining--;
}

static void terminate(struct ike *ike, const struct msg_TERMINATE *m)
{
    struct job *j = job_new(ike, JOB_TERMINATE, m->req);
    struct ike_sa *next_sa;
    if (!j) {
        ipc_result(ike->chan[ROOM_CTL], m->req, false, "no memory");
        return;
    }
    j->remaining = 1; // until all are found
    forget_attempts(ike, m);
    if (!m->child[0] && !m->child_id)
        close_heirs(ike, m);
    for (struct ike_sa *sa = ike->sas; sa; sa = next_sa) {
        struct child_sa *next;
        next_sa = sa->next;
        if (!sa_matches(sa, m))
            continue;
        if (!m->child[0] && !m->child_id) {
            close_sa(sa, j, m->force);
            continue;
        }
        for (struct child_sa *c = sa->children; c; c = next) {
            next = c->next;
            if (child_matches(c, m))
                close_child(c, j, m->force);
        }
    }
    uint32_t id = j->id;
    end_survivors(ike, j, m);
    if (!(j = job_find(ike, id)))
        return;
    if (!j->matched && j->remaining == 1) {
        job_end(j, false, NO_MATCH);
        return;
    }
    job_limit(j, m->timeout_ms);
    job_step(ike, j->id, true, "");
}

// --- rekey ---

static unsigned rekey_one(struct ike_sa *sa, const struct msg_REKEY *m, const struct msg_TERMINATE *which)
{
    unsigned matched = 0;
    if (sa->state != SA_ESTABLISHED || !sa_matches(sa, which))
        return 0;
    if (!m->child[0] && !m->child_id) {
        if (m->reauth)
            revive_reauthenticate(sa);
        else
            rekey_ike(sa);
        return 1;
    }
    // An exchange that cannot begin ends the IKE SA, and the CHILD SAs with it.
    for (struct child_sa *c = sa->children, *after; c && sa->state == SA_ESTABLISHED; c = after) {
        after = c->next;
        if (!child_is_up(c) || !child_matches(c, which))
            continue;
        if (m->anew) {
            matched += edition_apply(c);
            continue;
        }
        matched++;
        expiry_rekey(c);
    }
    return matched;
}

static void rekey(struct ike *ike, const struct msg_REKEY *m)
{
    struct msg_TERMINATE which = {.ike_id = m->ike_id, .child_id = m->child_id};
    unsigned matched = 0;
    memcpy(which.conn, m->conn, sizeof(which.conn));
    memcpy(which.child, m->child, sizeof(which.child));
    uint32_t newest = ike->next_id;
    for (struct ike_sa *sa = ike->sas, *next; sa; sa = next) {
        next = sa->next;
        if (sa->id <= newest)
            matched += rekey_one(sa, m, &which);
    }
    log_set_context("", 0);
    ipc_result(ike->chan[ROOM_CTL], m->req, matched > 0, "%u", matched);
}

// --- the rest ---

void control_shutdown(struct ike *ike)
{
    struct ike_sa *next;
    ike->stopping = true;
    if (ike->keyless)
        ask_fail_all(ike, KEYS_GONE);
    ike->keyless = false;
    path_again_end(ike);
    ike->shutdown.fire = shutdown_done;
    ike->shutdown.ctx = ike;
    timer_set(ike->loop, &ike->shutdown, loop_now(ike->loop) + (ike->sas ? SHUTDOWN_MS : 0));
    for (struct ike_sa *sa = ike->sas; sa; sa = next) {
        next = sa->next;
        sa_why(sa, "the daemon is shutting down");
        delete_ike_unfinished(sa);
        sa_delete(sa);
    }
}

void control_message(struct ike *ike, enum msg_type t, const union msg *m)
{
    switch (t) {
    case MSG_CONN_LOAD: conn_load(ike, &m->CONN_LOAD); break;
    case MSG_CONN_UNLOAD: conn_unload(ike, &m->CONN_UNLOAD); break;
    case MSG_CONN_LIST: conn_list(ike, &m->CONN_LIST); break;
    case MSG_INITIATE: initiate(ike, &m->INITIATE); break;
    case MSG_TERMINATE: terminate(ike, &m->TERMINATE); break;
    case MSG_REKEY: rekey(ike, &m->REKEY); break;
    case MSG_REDIRECT: redirect_ask(ike, &m->REDIRECT); break;
    case MSG_IKE_LIST: report_sas(ike, &m->IKE_LIST); break;
    case MSG_CERT_LOAD:
    case MSG_CERTS_CLEAR:
    case MSG_CERT_LIST:
    case MSG_CERTS_FLUSH:
    case MSG_AUTHORITY_LOAD:
    case MSG_AUTHORITY_UNLOAD:
    case MSG_AUTHORITY_LIST: creds_message(ike, t, m); break;
    case MSG_POOL_LOAD:
    case MSG_POOL_UNLOAD:
    case MSG_POOL_LEASES:
    case MSG_POOL_LIST: pools_message(ike, t, m); break;
    case MSG_COUNTS_LIST: counts_list(ike, &m->COUNTS_LIST); break;
    case MSG_WHOLE:
        ike->partial = false;
        path_again_told(ike, m->WHOLE.missing != 0);
        break;
    case MSG_IKE_STATS: report_stats(ike, m->IKE_STATS.req); break;
    default: LOGF(DMN, 1, "message %s from ctl is not for ike, ignored", msg_name(t)); break;
    }
}
