// SPDX-License-Identifier: Apache-2.0
// The run directory: made where it is missing, and locked so that two daemons never share one.
#ifndef CTRL_SUPER_RUNDIR_H
#define CTRL_SUPER_RUNDIR_H

#include <stdbool.h>

#include "espalier/error.h"

// The locked pid file, to be kept open while the daemon lives; -errno naming the directory or the other
// daemon.
// killed: the last one that had it came to no orderly end, and its processes may hold ports and the TUN yet
// for a moment.
int rundir_take(const char *dir, bool *killed, struct esp_error *err);
void rundir_leave(int lock); // in good order

// For --debug-keys: a directory that nobody else can look into, made where it is missing.
int debug_dir_make(const char *dir, struct esp_error *err);

#endif
