// SPDX-License-Identifier: Apache-2.0
// espalierd_inject is espalierd, whose allocations and system calls go through inject.c: one of them fails,
// the n-th that a process of it makes from when it is told so. What it is told, and what became of it, lies
// in a file that all of them map.
#ifndef TESTS_INJECT_H
#define TESTS_INJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define INJECT_FILE "ESPALIER_INJECT" // the environment: that file's name

struct inject {
    char room[16];            // "supervisor", "fetch" ...: the process whose calls count
    _Atomic(int) left;        // 1: the next one; 0: none
    _Atomic(unsigned) errors; // calls that were made to fail
    int error;                // the errno that the last of them failed with
    char what[24];            // its name
    uintptr_t where;          // who called it, from the beginning of the program
};

#endif
