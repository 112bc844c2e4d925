// SPDX-License-Identifier: Apache-2.0
// How far a long run is, on a terminal: the share of the input, packets, and the time that is left.
#include "sim/workbench/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_MS = 1000, EVERY_MS = 250, CALLS = 64 };

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void progress_start(struct progress *p, const char *what)
{
    const char *base = strrchr(what, '/');

    memset(p, 0, sizeof(*p));
    p->what = base ? base + 1 : what;
    p->on = isatty(STDERR_FILENO);
    p->started = now_ms();
    p->next = p->started + FIRST_MS;
}

void progress_line(char *buf, size_t size, const char *what, int permille, uint64_t packets, uint64_t ms)
{
    char share[24] = "", left[48] = "";

    if (permille >= 0)
        snprintf(share, sizeof(share), ", %d %%", permille / 10);
    if (permille > 0)
        snprintf(left, sizeof(left), ", about %" PRIu64 " s left",
                 ms * (uint64_t)(1000 - permille) / (uint64_t)permille / 1000);
    snprintf(buf, size, "%.40s: %" PRIu64 " packets%s, %" PRIu64 " s%s", what, packets, share, ms / 1000,
             left);
}

void progress_show(struct progress *p, int permille, uint64_t packets)
{
    char line[160];
    uint64_t now;

    if (!p->on || ++p->calls % CALLS != 0 || (now = now_ms()) < p->next)
        return;
    p->next = now + EVERY_MS;
    p->shown = true;
    progress_line(line, sizeof(line), p->what, permille, packets, now - p->started);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
