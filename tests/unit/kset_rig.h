// SPDX-License-Identifier: Apache-2.0
// The set of kernel objects over a kernel in memory: set-up and questions that its tests share.
#ifndef TESTS_KSET_RIG_H
#define TESTS_KSET_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrl/path/kset.h"
#include "tests/unit/kernel_model.h"
#include "tests/unit/kset_pol.h"

struct kset_rig {
    struct kernel_model m;
    struct kset *s;
};
extern const struct kset_options rig_options;
void rig_up(struct kset_rig *l);
void rig_up_with(struct kset_rig *l, const struct kset_options *o);
void rig_down(struct kset_rig *l); // asserts that nothing is left

// "10.1.0.0/16", protocol and ports; several with one call each
void rig_selector(struct ts_list *l, const char *prefix, uint8_t proto, uint16_t lo, uint16_t hi);
void rig_pol(struct pol *p, uint8_t action, uint32_t rank, const char *l, const char *r, uint8_t proto,
             uint16_t lo, uint16_t hi);
struct kset_hold *rig_take(struct kset_rig *l, const struct pol *p);
void rig_drop(struct kset_rig *l, struct kset_hold *h);

int rig_says(const struct kernel_model *m, enum kobj_dir dir, const char *src, const char *dst, uint8_t proto,
             uint16_t sport, uint16_t dport);
unsigned rig_count_of(const struct kernel_model *m, uint8_t kind, uint8_t action); // action 0: any

#endif
