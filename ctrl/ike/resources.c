// SPDX-License-Identifier: Apache-2.0
// Counting a peer's CHILD SAs of one child of ours.
#include "ctrl/ike/resources.h"

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/sa.h"

enum { RESOURCE_SAS_MAX = 16 }; // of one child: more processors than a gateway's peer has use for

bool resources_full(const struct child_sa *c, const struct payloads *pl)
{
    struct notify n;
    unsigned same = 0;
    if (!notify_find(pl, N_SA_RESOURCE_INFO, &n))
        return false;
    for (const struct child_sa *k = c->sa->children; k; k = k->next)
        same += k != c && k->cfg == c->cfg && !k->replaced;
    return same >= RESOURCE_SAS_MAX;
}
