// SPDX-License-Identifier: Apache-2.0
// The one place that knows every file of the room: the table of its exchanges, and what follows from each
// event: ctl hears of it (report.c), whoever waits for it is answered (control.c), what ended comes back
// (revive.c), what is due is done (expiry.c).
#include "ctrl/ike/wiring.h"

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/control.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/events.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/rekey_ike.h"
#include "ctrl/ike/report.h"
#include "ctrl/ike/resume_ticket.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/unique.h"
#include "ctrl/ike/virtual.h"

const struct task_ops *const ike_exchanges[TASK_COUNT] = {
#define X(kind, name) [TASK_##kind] = &task_##name,
    TASK_LIST(X)
#undef X
};

static void on_sa_up(struct ike_sa *sa)
{
    report_updown(sa, true);
}

static void on_sa_alone(struct ike_sa *sa)
{
    control_sa_alone(sa);
    edition_look(sa);
}

static void on_sa_down(struct ike_sa *sa)
{
    report_updown(sa, false);
}

static void on_sa_rekeyed(struct ike_sa *old, struct ike_sa *next)
{
    control_sa_rekeyed(old, next);
    ticket_rekeyed(old, next);
    report_ike_rekey(old, next);
}

static void on_sa_renamed(struct ike_sa *sa, const struct conn *was, struct ike_sa *other)
{
    virtual_follow(sa);
    revive_renamed(sa, was, other);
}

static void on_sa_over(struct ike_sa *sa)
{
    control_sa_over(sa);
    rekey_ike_heir(sa);
}

static void on_sa_at_rest(struct ike_sa *sa)
{
    edition_look(sa);
    revive_watch(sa);
}

// What follows may begin an exchange, and that may end the IKE SA at once: c goes with it.
static void on_child_up(struct child_sa *c, struct child_sa *before)
{
    struct ike_sa *sa = c->sa;
    if (before)
        report_child_rekey(before, c);
    else
        report_child_updown(c, true);
    unique_child_up(c);
    control_child_up(sa, c->cfg->name);
    edition_look(sa);
}

// What is loaded by now has not come in the place of what there was.
static void on_child_failed(struct ike_sa *sa, const char *child, const char *why)
{
    edition_child_failed(sa);
    control_child_failed(sa, child, why);
}

static void on_child_later(struct ike_sa *sa, const struct child_config *cfg)
{
    edition_child_failed(sa);
    control_child_later(sa, cfg);
}

static void on_child_back(struct child_sa *c)
{
    report_child_updown(c, true);
}

static void on_child_down(struct child_sa *c)
{
    report_child_updown(c, false);
}

static void on_child_cannot_rekey(struct child_sa *c)
{
    revive_replace(c, 0);
}

const struct ike_events ike_events = {
    .conn_loaded = revive_loaded,
    .sa_up = on_sa_up,
    .sa_alone = on_sa_alone,
    .sa_redirected = control_sa_rekeyed,
    .sa_renamed = on_sa_renamed,
    .sa_rekeyed = on_sa_rekeyed,
    .sa_cannot_rekey = revive_reauth_due,
    .sa_unanswered = revive_reauthenticate,
    .sa_at_rest = on_sa_at_rest,
    .sa_due = expiry_ike,
    .sa_moves = report_ike_moves,
    .sa_goes = unique_step_aside,
    .sa_ends = revive_sa_ends,
    .sa_deleted = control_sa_deleted,
    .sa_replaced = control_sa_replaced,
    .sa_down = on_sa_down,
    .sa_over = on_sa_over,
    .child_up = on_child_up,
    .child_back = on_child_back,
    .child_due = expiry_child,
    .child_down = on_child_down,
    .child_cannot_rekey = on_child_cannot_rekey,
    .child_failed = on_child_failed,
    .child_later = on_child_later,
    .child_closed = revive_closed,
    .child_lost = revive_lost,
    .alert = report_alert,
};
