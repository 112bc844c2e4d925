// SPDX-License-Identifier: Apache-2.0
// A CRL that comes, whether it is loaded or fetched for somebody else, is held against all that stand; and
// where the clock is set, the times at which their certificates end are reckoned anew.
#include "ctrl/ike/standing.h"

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/creds.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/sa.h"
#include "ctrl/lib/log.h"

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

static bool revoked(const struct ike_sa *sa, struct pki_standing *s, struct esp_error *err)
{
    return s && pki_standing_judge(sa->ike->creds->pki, s, creds_now(sa->ike), err) != 0;
}

void standing_look(struct ike *ike)
{
    struct creds *creds = ike->creds;
    uint64_t newest = pki_newest(creds->pki);
    if (newest == creds->judged)
        return;
    creds->judged = newest;
    for (struct ike_sa *sa = ike->sas, *next; sa; sa = next) {
        struct esp_error err = {0};
        next = sa->next;
        if (sa->state == SA_ESTABLISHED &&
            (revoked(sa, sa->standing[0], &err) || revoked(sa, sa->standing[1], &err)))
            end(sa, err.text);
    }
}

void standing_clock_set(struct ike *ike)
{
    LOGF(IKE, 1, "the system's clock was set, the ends of certificates are reckoned anew");
    for (struct ike_sa *sa = ike->sas; sa; sa = sa->next)
        if (sa->state == SA_ESTABLISHED)
            lifetime_clock_set(sa);
}
