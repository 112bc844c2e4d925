// SPDX-License-Identifier: Apache-2.0
#include "ctrl/metrics/processes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {
#define X(sym, name) name,
    ROOM_LIST(X)
#undef X
};

// proc(5): the name in brackets may hold anything, brackets too; utime, stime, starttime, vsize and rss are
// the fields 14, 15, 22, 23 and 24.
bool process_read(const char *stat, double boot, struct process *out)
{
    enum { FIRST = 3, UTIME = 14, STIME = 15, START = 22, VSIZE = 23, RSS = 24 };
    unsigned long long field[RSS + 1] = {0};
    const char *p = strrchr(stat, ')');
    double tick = (double)sysconf(_SC_CLK_TCK);
    int i = FIRST;
    if (!p)
        return false;
    for (p++; *p == ' ' && i <= RSS; i++) {
        p++;
        field[i] = strtoull(p, NULL, 10); // the state, a letter, is 0
        p += strcspn(p, " \n");
    }
    if (i <= RSS)
        return false;
    *out = (struct process){.cpu_s = (double)(field[UTIME] + field[STIME]) / tick,
                            .start_s = boot + (double)field[START] / tick,
                            .virtual = field[VSIZE],
                            .resident = field[RSS] * (uint64_t)sysconf(_SC_PAGESIZE)};
    return true;
}

static double boot_time(void)
{
    struct timespec now, up;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &up);
    return (double)(now.tv_sec - up.tv_sec) + (double)(now.tv_nsec - up.tv_nsec) / 1e9;
}

static bool read_stat(pid_t pid, char *buf, size_t size)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);
    if (fd >= 0)
        close(fd);
    buf[n > 0 ? n : 0] = 0;
    return n > 0;
}

void processes_add(struct exposition *e, const pid_t pid[ROOM_COUNT])
{
    double boot = boot_time();
    for (int r = 0; r < ROOM_COUNT; r++) {
        struct labels l = labels_none();
        struct process p;
        char stat[1024];
        if (pid[r] <= 0 || !read_stat(pid[r], stat, sizeof(stat)) || !process_read(stat, boot, &p))
            continue;
        labels_add(&l, "process", names[r]);
        exposition_add_real(e, FAM_PROCESS_CPU, &l, p.cpu_s);
        exposition_add(e, FAM_PROCESS_RESIDENT, &l, p.resident);
        exposition_add(e, FAM_PROCESS_VIRTUAL, &l, p.virtual);
        exposition_add(e, FAM_PROCESS_START, &l, (uint64_t)p.start_s);
    }
}
