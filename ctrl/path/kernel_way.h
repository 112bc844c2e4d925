// SPDX-License-Identifier: Apache-2.0
// What kernel_esp.c and kernel_way.c share.
#ifndef CTRL_PATH_KERNEL_WAY_H
#define CTRL_PATH_KERNEL_WAY_H

#include "ctrl/path/path.h"

struct kernel_child { // a child SA that is there
    struct kernel_child *next;
    struct child *c;
    struct kernel_way *way;
};

int kernel_child_new(struct path *p, struct child *c, struct esp_error *err); // it goes with the child
// Why an SA's policy cannot be there, and which other one is in the way; NULL: it can.
const char *kernel_way_unfit(const struct path *p, const struct child *c, char *other, unsigned size);
void kernel_unusable(struct path *p, const char *field, const char *text); // no more SAs go there, and why
// By which interface the peer is reached. -EACCES: one that passes XFRM over; another negative errno.
int kernel_way_link(struct path *p, const struct child *c, struct esp_error *err);
void kernel_ways_close(struct path *p);

#endif
