// SPDX-License-Identifier: Apache-2.0
// A CRL that comes, whether it is loaded or fetched for somebody else, is held against all that stand; and
// where the clock is set, the times at which their certificates end are reckoned anew.
#include "ctrl/ike/standing.h"

#include <errno.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/creds.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/sa.h"
#include "ctrl/lib/log.h"

enum { AGAIN_MS = 1000 };

static void end(struct ike_sa *sa, const char *why)
{
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 0, "closing IKE_SA %s: certificate %s", sa_label(sa), why);
    for (struct child_sa *c = sa->children; c; c = c->next)
        if (child_is_up(c))
            revive_limit(c);
    sa_why(sa, "%s", why);
    sa_delete(sa);
    log_set_context("", 0);
}

static int judge(const struct ike_sa *sa, struct esp_error *err)
{
    int all = 0;
    for (unsigned i = 0; i < ROUNDS_MAX && all != -EACCES; i++) {
        int rc = pki_standing_judge(sa->ike->creds->pki, sa->later->standing[i], creds_now(sa->ike), err);
        all = rc ? rc : all;
    }
    return all;
}

static void look_again(struct timer *t)
{
    standing_look(t->ctx);
}

// Whom there was no memory to ask about stands no longer than until there is.
static void later(struct ike *ike)
{
    ike->unjudged.fire = look_again;
    ike->unjudged.ctx = ike;
    timer_set(ike->loop, &ike->unjudged, loop_now(ike->loop) + AGAIN_MS);
}

void standing_look(struct ike *ike)
{
    struct creds *creds = ike->creds;
    uint64_t newest = pki_newest(creds->pki);
    bool all = true;
    if (newest == creds->judged || (newest == creds->looked && ike->unjudged.armed))
        return;
    creds->looked = newest;
    for (struct ike_sa *sa = ike->sas, *next; sa; sa = next) {
        struct esp_error err = {0};
        next = sa->next;
        int rc = sa->state == SA_ESTABLISHED ? judge(sa, &err) : 0;
        all = all && rc != -ENOMEM;
        if (rc == -EACCES)
            end(sa, err.text);
    }
    if (all)
        creds->judged = newest;
    else
        later(ike);
}

void standing_free(struct ike *ike)
{
    timer_stop(ike->loop, &ike->unjudged);
}

void standing_clock_set(struct ike *ike)
{
    LOGF(IKE, 1, "the system's clock was set, the ends of certificates are reckoned anew");
    for (struct ike_sa *sa = ike->sas; sa; sa = sa->next)
        if (sa->state == SA_ESTABLISHED)
            lifetime_clock_set(sa);
}
