// SPDX-License-Identifier: Apache-2.0
// CPU time and memory of the responder's processes: of each pid named and of all below it.
#ifndef TESTS_LOAD_PROCESS_H
#define TESTS_LOAD_PROCESS_H

#include <stdint.h>

enum { PROCESSES_MAX = 64, PROCESS_NAME_MAX = 48 };
struct process {
    int pid;
    char name[PROCESS_NAME_MAX];
    uint64_t cpu_ns;     // of all its threads, user and system
    uint64_t own_octets; // that it has written and no other process shares
};
struct processes {
    unsigned count;
    struct process p[PROCESSES_MAX];
};
void processes_read(struct processes *out, const int *pids, unsigned count);
uint64_t processes_cpu(const struct processes *p);
uint64_t processes_octets(const struct processes *p);
const struct process *process_find(const struct processes *l, int pid);

#endif
