// SPDX-License-Identifier: Apache-2.0
// A kernel in memory behind the seam of ctrl/path/kernel.h: it keeps objects as Linux does (one value per
// key), logs what was done to it in order, and fails where a test wants it to.
#ifndef TESTS_KERNEL_MODEL_H
#define TESTS_KERNEL_MODEL_H

#include "ctrl/path/kernel.h"

struct model_step {
    bool add;
    struct kobj o;
};
struct kernel_model {
    struct kernel base; // first
    struct kobj *objects;
    unsigned count, room;
    struct model_step *steps; // those that succeeded
    unsigned step_count, step_room;
    unsigned asked;              // changes tried
    unsigned fail_at;            // the n-th change fails (1: the first), 0: none
    unsigned fail_from, fail_to; // so do these
    int fail_rc;
    int dump_rc;
    bool fail_does;           // ... and does it all the same: nobody was answered
    struct addr addresses[8]; // the machine's
    uint8_t lens[8];
    unsigned address_count;
    struct addr preferred[2];
};
void model_open(struct kernel_model *m);
void model_free(struct kernel_model *m); // ops.close does nothing: the kernel outlives its users
const struct kobj *model_find(const struct kernel_model *m, const struct kobj *key);
void model_remove(struct kernel_model *m, unsigned i); // behind everybody's back
bool model_same(const struct kernel_model *a, const struct kernel_model *b);
void model_copy(struct kernel_model *to, const struct kernel_model *from); // the objects alone
// What the policies in it say of a packet without a mark that has nothing to do with the TUN, in the order of
// their priorities: KXFRM_ALLOW, KXFRM_HOLD, KXFRM_BLOCK; 0: nothing.
int model_verdict(const struct kernel_model *m, enum kobj_dir dir, uint8_t family, const uint8_t *src,
                  const uint8_t *dst, uint8_t proto, uint16_t sport, uint16_t dport);

#endif
