// SPDX-License-Identifier: Apache-2.0
// The set of kernel objects over the kernel itself, in a network namespace of the test's own: set-ups that
// the tests of policies against the kernel share.
#ifndef TESTS_SYSTEM_KERNEL_LAB_H
#define TESTS_SYSTEM_KERNEL_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "ctrl/path/kset.h"
#include "ctrl/path/netlink.h"
#include "tests/unit/kset_pol.h"

struct kernel_lab {
    int tun;
    char name[16];
    struct kernel *k;
    struct kset *s;
    struct kset_options o;
};
extern bool lab_without_hooks; // as on a kernel that has none
extern bool lab_kernel_esp;    // what is opened next has the kernel's own ESP beside it

int lab_namespace(void **state); // a set-up
void lab_open(struct kernel_lab *l, const char *owner, const char *tun);
void lab_close(struct kernel_lab *l);
// As kill -9 does: nobody frees what it had, which is kept in reach of a leak checker.
void lab_die(struct kernel_lab *l);
extern struct kset *lab_dead[16];
int lab_shell(const char *command);
void lab_lan_and_wan(void); // a router between two links, whose other ends are lan1 and wan1
int lab_wire(const char *link);

struct kset_hold *lab_take(struct kernel_lab *l, const struct pol *p);

struct heard { // notices, which the set has been told
    struct kset *s;
    unsigned objects, flushed, down, up, gone, addresses, lost;
    bool repair;
};
struct heard lab_listen(struct kernel_lab *l);

#endif
