// SPDX-License-Identifier: Apache-2.0
// A set of transforms of the registry, which is asked for one of them, or for one in common with another set,
// in a time that grows with neither: what a stranger proposes is held against every proposal that it may
// mean.
#ifndef CTRL_IKE_TRANSFORM_SET_H
#define CTRL_IKE_TRANSFORM_SET_H

#include "ctrl/lib/transforms.h"

struct transform_set {
    uint64_t
        word[TR_ADDKE7 + 1]; // a bit for each: of ENCR words 0 and 1, of another type the word of its number
};

bool transform_known(struct transform t); // one of the registry; only these are in sets
void transform_set_add(struct transform_set *s, struct transform t);
bool transform_set_has(const struct transform_set *s, struct transform t);
bool transform_sets_meet(const struct transform_set *a, const struct transform_set *b, uint8_t type);

#endif
