// SPDX-License-Identifier: Apache-2.0
// The sections of `secrets`, as swanctl reads them and load-shared takes them. No text holds a
// secret.
#ifndef CTRL_CONFIG_SWANCTL_SECRET_H
#define CTRL_CONFIG_SWANCTL_SECRET_H

#include <stdbool.h>

#include "ctrl/ctl/vici_msg.h"

struct secret_report {
    void *ctx;
    void (*fault)(void *ctx, const char *where, const char *path, const char *text);
    void (*secret)(void *ctx, const struct vici_node *root);
};

// section: made by tree_make. 0, -EINVAL after its faults were told, or -ENOMEM.
int secret_check(const char *where, const char *path, const struct vici_node *section,
                 const struct secret_report *report);
// The directory of the files whose passwords sections of this name hold; NULL: it is no such section.
const char *secret_folder(const char *section);

#endif
