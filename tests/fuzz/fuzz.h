// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share: the fuzzer's octets as a little program that never runs out (past the end
// there are zeros), and what a target says when the daemon has done what it must never do.
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctrl/lib/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static inline bool fuzz_more(const struct reader *r)
{
    return !r->bad && r->left;
}

static inline uint8_t fuzz_u8(struct reader *r)
{
    return fuzz_more(r) ? rd_u8(r) : 0;
}

static inline uint16_t fuzz_u16(struct reader *r)
{
    uint16_t hi = fuzz_u8(r);
    return (uint16_t)(hi << 8 | fuzz_u8(r));
}

static inline struct slice fuzz_bytes(struct reader *r, size_t most)
{
    if (r->bad)
        return slice_of(NULL, 0);
    return rd_bytes(r, most < r->left ? most : r->left);
}

#define FUZZ_NEVER(what)                                                                                     \
    do {                                                                                                     \
        fprintf(stderr, "%s:%d: never: %s\n", __FILE__, __LINE__, what);                                     \
        abort();                                                                                             \
    } while (0)

#endif
