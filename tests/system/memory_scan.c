// SPDX-License-Identifier: Apache-2.0
#include "tests/system/memory_scan.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, SHADOW = 1 << 28 }; // a sanitizer's is longer

static int count_in(const uint8_t *b, size_t n, const struct scan *s)
{
    int found = 0;
    for (const uint8_t *at = b; (at = memmem(at, n - (size_t)(at - b), s->what, s->len)); at += s->len)
        found++;
    return found;
}

// One that lies across two reads is not missed, nor counted twice where the shorter ones stand in both.
static void scan_range(int mem, unsigned long from, unsigned long to, struct scan *s, unsigned count)
{
    static uint8_t b[CHUNK + SCAN_MOST];
    for (unsigned long at = from; at < to; at += CHUNK) {
        size_t n = to - at < sizeof(b) ? to - at : sizeof(b);
        ssize_t got = pread(mem, b, n, (off_t)at);
        for (unsigned i = 0; got > 0 && i < count; i++) {
            size_t most = CHUNK + s[i].len - 1;
            s[i].found += count_in(b, (size_t)got < most ? (size_t)got : most, &s[i]);
        }
    }
}

bool scan_memory_for(pid_t pid, struct scan *s, unsigned count)
{
    char path[64], line[400], *end;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "r");
    snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    FILE *mem = fopen(path, "r");
    for (unsigned i = 0; i < count; i++)
        s[i].found = 0;
    while (maps && mem && fgets(line, sizeof(line), maps)) {
        unsigned long from = strtoul(line, &end, 16), to = strtoul(end + 1, &end, 16);
        if (end[1] == 'r' && to - from <= SHADOW && !strstr(line, "[v"))
            scan_range(fileno(mem), from, to, s, count);
    }
    if (maps)
        fclose(maps);
    if (mem)
        fclose(mem);
    return maps && mem;
}

int scan_memory(pid_t pid, const void *what, size_t len)
{
    struct scan s = {.what = what, .len = len};
    return len <= SCAN_MOST && scan_memory_for(pid, &s, 1) ? s.found : -1;
}
