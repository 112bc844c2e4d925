// SPDX-License-Identifier: Apache-2.0
// What /proc says: schedstat counts nanoseconds where stat counts hundredths of a second.
#include "tests/load/process.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t cpu_of(int pid)
{
    char path[64];
    uint64_t all = 0;
    DIR *d;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        unsigned long long ns = 0;
        char file[400];
        FILE *f;

        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        snprintf(file, sizeof(file), "%s/%s/schedstat", path, e->d_name);
        f = fopen(file, "re");
        if (f && fscanf(f, "%llu", &ns) == 1)
            all += ns;
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return all;
}

// What is only read, of programs and libraries, is its own or not as others of the machine come and go.
static uint64_t octets_of(int pid)
{
    char line[160];
    uint64_t all = 0;
    FILE *f;

    snprintf(line, sizeof(line), "/proc/%d/smaps_rollup", pid);
    f = fopen(line, "re");
    while (f && fgets(line, sizeof(line), f)) {
        unsigned long long kb;
        if (sscanf(line, "Private_Dirty: %llu", &kb) == 1)
            all += kb * 1024;
    }
    if (f)
        fclose(f);
    return all;
}

// Its title: the command line's words, of a program at a path the name alone.
static void name_of(int pid, char *out, size_t size)
{
    char path[64], line[256] = "";
    const char *from = line, *slash;
    size_t n;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    f = fopen(path, "re");
    n = f ? fread(line, 1, sizeof(line) - 1, f) : 0;
    if (f)
        fclose(f);
    line[n] = 0;
    slash = strrchr(line, '/');
    if (slash && line[0] == '/')
        from = slash + 1;
    snprintf(out, size, "%.*s", (int)(size - 1), from);
}

static void add(struct processes *out, int pid)
{
    struct process *p;
    char path[64];
    DIR *d;

    if (out->count == PROCESSES_MAX || process_find(out, pid))
        return;
    p = &out->p[out->count++];
    p->pid = pid;
    p->cpu_ns = cpu_of(pid);
    p->own_octets = octets_of(pid);
    name_of(pid, p->name, sizeof(p->name));
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char file[400];
        int child;
        FILE *f;

        snprintf(file, sizeof(file), "%s/%s/children", path, e->d_name);
        f = isdigit((unsigned char)e->d_name[0]) ? fopen(file, "re") : NULL;
        while (f && fscanf(f, "%d", &child) == 1)
            add(out, child);
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
}

void processes_read(struct processes *out, const int *pids, unsigned count)
{
    out->count = 0;
    for (unsigned i = 0; i < count; i++)
        add(out, pids[i]);
}

uint64_t processes_cpu(const struct processes *p)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < p->count; i++)
        all += p->p[i].cpu_ns;
    return all;
}

uint64_t processes_octets(const struct processes *p)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < p->count; i++)
        all += p->p[i].own_octets;
    return all;
}

const struct process *process_find(const struct processes *l, int pid)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->p[i].pid == pid)
            return &l->p[i];
    return NULL;
}
