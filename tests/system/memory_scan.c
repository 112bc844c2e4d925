// SPDX-License-Identifier: Apache-2.0
#include "tests/system/memory_scan.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, SHADOW = 1 << 28 }; // a sanitizer's is longer

static int count_in(const uint8_t *b, size_t n, const void *what, size_t len)
{
    int found = 0;
    for (const uint8_t *at = b; (at = memmem(at, n - (size_t)(at - b), what, len)); at += len)
        found++;
    return found;
}

static int scan_range(int mem, unsigned long from, unsigned long to, const void *what, size_t len)
{
    static uint8_t b[CHUNK];
    int found = 0;
    for (unsigned long at = from; at < to; at += CHUNK - (len - 1)) { // it may lie across two reads
        size_t n = to - at < CHUNK ? to - at : CHUNK;
        ssize_t got = pread(mem, b, n, (off_t)at);
        if (got > 0)
            found += count_in(b, (size_t)got, what, len);
    }
    return found;
}

int scan_memory(pid_t pid, const void *what, size_t len)
{
    char path[64], line[400], *end;
    int found = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "r");
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    FILE *mem = fopen(path, "r");
    while (maps && mem && len <= SCAN_MOST && fgets(line, sizeof(line), maps)) {
        unsigned long from = strtoul(line, &end, 16), to = strtoul(end + 1, &end, 16);
        if (end[1] == 'r' && to - from <= SHADOW && !strstr(line, "[v"))
            found += scan_range(fileno(mem), from, to, what, len);
    }
    if (maps)
        fclose(maps);
    if (mem)
        fclose(mem);
    return maps && mem ? found : -1;
}
