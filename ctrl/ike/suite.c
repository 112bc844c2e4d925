// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ike/suite.h"

#include <string.h>

#include "ctrl/ike/shared.h"

const struct suite suite_none;

// Without what lies between its members: equal ones are equal as octets.
static void copy_transform(struct transform *to, const struct transform *from)
{
    to->type = from->type;
    to->id = from->id;
    to->key_bits = from->key_bits;
}

bool suite_keep(struct hash *all, const struct suite **at, const struct suite *s)
{
    struct suite clean;
    memset(&clean, 0, sizeof(clean));
    clean.protocol = s->protocol;
    copy_transform(&clean.encr, &s->encr);
    copy_transform(&clean.prf, &s->prf);
    copy_transform(&clean.integ, &s->integ);
    copy_transform(&clean.ke, &s->ke);
    copy_transform(&clean.esn, &s->esn);
    for (unsigned i = 0; i < ADDKE_MAX; i++)
        copy_transform(&clean.addke[i], &s->addke[i]);
    const struct suite *kept = shared_get(all, &clean, sizeof(clean));
    if (!kept)
        return false;
    suite_leave(at);
    *at = kept;
    return true;
}

void suite_leave(const struct suite **at)
{
    if (*at != &suite_none)
        shared_put((void *)(uintptr_t)*at);
    *at = &suite_none;
}
