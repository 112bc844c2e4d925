// SPDX-License-Identifier: Apache-2.0
// What the kernel holds for policies: from the order of the data base to the kernel's, and one hold of
// objects for each policy whose selectors are known.
#include "ctrl/path/path.h"

#include <errno.h>
#include <stdlib.h>

// The kernel's own priorities are narrower than a rank: of its upper half, explicit priorities as far as
// there is room, then the computed ones. Policies that are equal there differ in the order of loading alone;
// of these what blocks goes first.
enum { EXPLICIT_MAX = 0x1ffbffff, COMPUTED_OPEN = 0x1ffc0000, COMPUTED_PROTECT = 0x1ffd0000 };

static uint32_t kernel_rank(const struct policy *pol)
{
    uint32_t first = (uint32_t)(pol->rank >> 32);
    if (first & SPD_RANK_COMPUTED)
        return (first & SPD_RANK_PROTECT ? COMPUTED_PROTECT : COMPUTED_OPEN) + (first & 0xffff);
    return first < EXPLICIT_MAX ? first : EXPLICIT_MAX;
}

// Of what has a TUN of its own the kernel holds nothing (vti.c).
static struct kset_spec spec_of(const struct policy *pol)
{
    return (struct kset_spec){.action = pol->action,
                              .rank = kernel_rank(pol),
                              .local = policy_local(pol).t,
                              .remote = policy_remote(pol).t,
                              .local_count = pol->vti ? 0 : pol->local_count,
                              .remote_count = pol->vti ? 0 : pol->remote_count};
}

int policy_kernel(struct path *p, struct policies drop, struct policies take, struct esp_error *err)
{
    struct kset_spec *spec = calloc(take.count + 1u, sizeof(*spec));
    struct kset_hold **taken = calloc(take.count + 1u, sizeof(struct kset_hold *)),
                     **gone = calloc(drop.count + 1u, sizeof(struct kset_hold *));
    unsigned n = 0;
    int rc = spec && taken && gone ? 0 : esp_fail(err, -ENOMEM, "kernel policies", "out of memory");
    for (unsigned i = 0; spec && i < take.count && rc == 0; i++)
        spec[i] = spec_of(take.p[i]);
    for (unsigned i = 0; gone && i < drop.count && rc == 0; i++)
        if (drop.p[i]->hold)
            gone[n++] = drop.p[i]->hold;
    if (rc == 0)
        rc = kset_change(p->kset, spec, taken, take.count, gone, n, err);
    kernel_watch_changed(p);
    for (unsigned i = 0; taken && i < take.count && rc == 0; i++) {
        take.p[i]->hold = taken[i];
        kernel_esp_beside(p, take.p[i]);
    }
    for (unsigned i = 0; i < drop.count && rc == 0; i++)
        drop.p[i]->hold = NULL;
    free(spec);
    free(taken);
    free(gone);
    return rc;
}
