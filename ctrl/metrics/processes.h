// SPDX-License-Identifier: Apache-2.0
// What the kernel says of each of the daemon's processes, in /proc/PID/stat, which everybody may read.
#ifndef CTRL_METRICS_PROCESSES_H
#define CTRL_METRICS_PROCESSES_H

#include <sys/types.h>

#include "ctrl/lib/child.h"
#include "ctrl/metrics/exposition.h"

struct process {
    double cpu_s, start_s;      // start: since 1970
    uint64_t resident, virtual; // octets
};
// Of the text of /proc/PID/stat; boot: since 1970. False: it is none.
bool process_read(const char *stat, double boot, struct process *out);
// Of those whose number is not 0; one that is gone, or hidden (hidepid), is left out.
void processes_add(struct exposition *e, const pid_t pid[ROOM_COUNT]);

#endif
