// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/memory_search.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static unsigned count_in(const uint8_t *p, size_t n, const uint8_t *complement, size_t len)
{
    unsigned found = 0;

    for (size_t i = 0; i + len <= n; i++) {
        size_t k = 0;
        while (k < len && p[i + k] + complement[k] == 0xff)
            k++;
        found += k == len;
    }
    return found;
}

// What the kernel says of each page of a mapping, before anything of it is read: that maps empty ones.
static uint64_t *pages_of(int pagemap, unsigned long from, unsigned long to, unsigned long page)
{
    size_t size = (to - from) / page * sizeof(uint64_t);
    uint64_t *entries = malloc(size);

    assert_non_null(entries);
    assert_int_equal(pread(pagemap, entries, size, (off_t)(from / page * sizeof(uint64_t))), (ssize_t)size);
    return entries;
}

// In memory or swapped. What is only reserved would take long to read.
static bool touched(const uint64_t *entries, size_t from, size_t to)
{
    for (size_t i = from; i <= to; i++)
        if (entries[i] >> 62)
            return true;
    return false;
}

unsigned memory_count(const uint8_t *complement, size_t len)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY), pagemap = open("/proc/self/pagemap", O_RDONLY);
    unsigned long size = (unsigned long)sysconf(_SC_PAGESIZE);
    unsigned found = 0;
    char line[512];

    assert_non_null(maps);
    assert_true(mem >= 0 && pagemap >= 0);
    while (fgets(line, sizeof(line), maps)) {
        static uint8_t page[1 << 16];
        unsigned long from, to;
        uint64_t *entries;
        char rights[8];

        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' ||
            strstr(line, "[stack]") || to - from > 1ul << 29)
            continue; // no memory of ours is so large, but a sanitizer's shadow is
        entries = pages_of(pagemap, from, to, size);
        for (unsigned long at = from; at < to; at += sizeof(page) - len) {
            size_t want = to - at < sizeof(page) ? to - at : sizeof(page);
            ssize_t n;
            if ((uintptr_t)page >= from && (uintptr_t)page < to && at <= (uintptr_t)page + sizeof(page) &&
                at + want > (uintptr_t)page)
                continue; // the buffer that we read into
            if (!touched(entries, (at - from) / size, (at + want - 1 - from) / size))
                continue;
            n = pread(mem, page, want, (off_t)at);
            found += n > 0 ? count_in(page, (size_t)n, complement, len) : 0;
            memset(page, 0, sizeof(page));
        }
        free(entries);
    }
    fclose(maps);
    close(mem);
    close(pagemap);
    return found;
}
