// SPDX-License-Identifier: Apache-2.0
// Where a test judges a time that was promised: which part of it was the machine's. What comes at once on an
// idle machine comes late on one where processes wait for a processor, and the kernel tells for how long any
// of them did (PSI).
#ifndef ESPALIER_TESTS_BUSY_H
#define ESPALIER_TESTS_BUSY_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

// How long something may take that promises no time. Only what never comes takes so long.
enum { PATIENCE_MS = 30000 };

struct busy {
    uint64_t from_us, waited_us;
    unsigned times;
};

// 0 where the kernel does not tell.
static inline uint64_t busy_total_us(void)
{
    unsigned long long n = 0;
    FILE *f = fopen("/proc/pressure/cpu", "r");
    if (f && fscanf(f, "some avg10=%*f avg60=%*f avg300=%*f total=%llu", &n) != 1)
        n = 0;
    if (f)
        fclose(f);
    return n;
}

static inline uint64_t busy_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline void busy_from(struct busy *b)
{
    b->from_us = busy_now_us();
    b->waited_us = busy_total_us();
}

static inline uint64_t busy_waited_us(const struct busy *b)
{
    return busy_total_us() - b->waited_us;
}

// Since busy_from, without the time that anybody waited for a processor.
static inline uint64_t busy_own_ms(const struct busy *b)
{
    uint64_t waited = busy_waited_us(b), took = busy_now_us() - b->from_us;
    return took > waited ? (took - waited) / 1000 : 0;
}

#endif
