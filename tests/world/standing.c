// SPDX-License-Identifier: Apache-2.0
// By which proofs the IKE SAs of a site stand (for certs.c, which cannot know ike from within beside ctl).
#include "ctrl/ike/creds.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"
#include "tests/world/standing.h"

uint64_t standing_newest(const struct ike *ike)
{
    return pki_newest(ike->creds->pki);
}

void standing_each(const struct ike *ike, void (*fn)(void *ctx, const void *proof), void *ctx)
{
    for (const struct ike_sa *sa = ike->sas; sa; sa = sa->next)
        if (sa->state == SA_ESTABLISHED && sa->later->standing[0])
            fn(ctx, sa->later->standing[0]);
}
