// SPDX-License-Identifier: Apache-2.0
// `espalierd --check`: every fault of a swanctl.conf or a settings file, with what it includes, and nothing
// else happens.
#ifndef CTRL_CONFIG_CHECK_H
#define CTRL_CONFIG_CHECK_H

#include <stdbool.h>
#include <stdio.h>

#include "ctrl/config/options.h"

// Prints on standard output; a file is a swanctl.conf, settings or both by its sections. 0, -EINVAL: there
// are faults, or -ENOMEM.
int config_check(const struct options *o);

// One file, for others than standard output.
struct check_counts {
    unsigned faults, warnings, conns, secrets, certs, keys;
    bool settings; // it is no swanctl.conf
};
struct check_report {
    void *ctx;
    // kind: "", or "warning: "; path may be empty
    void (*line)(void *ctx, const char *kind, const char *where, const char *path, const char *text);
    void (*settings_warn)(const char *text); // of a settings file
};
int config_check_file(const char *file, bool settings, const struct check_report *report,
                      struct check_counts *counts);
void config_check_print(FILE *out, const char *file,
                        const struct check_counts *n); // the line that sums it up
// Where swanctl has the directories of credentials: $SWANCTL_DIR, or where its file is.
void config_swanctl_dir(char *dir, size_t size, const char *file);

#endif
