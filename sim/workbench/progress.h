// SPDX-License-Identifier: Apache-2.0
// How far a long run is, as one line on a terminal that is written over again; nothing where standard error
// is no terminal or the run is short.
#ifndef SIM_WORKBENCH_PROGRESS_H
#define SIM_WORKBENCH_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
    const char *what;
    bool on, shown;
    uint64_t started, next; // ms
    uint64_t calls;
};

void progress_start(struct progress *p, const char *what);
// permille: how much is done, -1: unknown. Cheap: looks at the clock at every 64th call only.
void progress_show(struct progress *p, int permille, uint64_t packets);
// One line without its end: "IN.pcap: 120 packets, 30 %, 3 s, about 7 s left".
void progress_line(char *buf, size_t size, const char *what, int permille, uint64_t packets, uint64_t ms);
void progress_end(struct progress *p); // wipes the line

#endif
