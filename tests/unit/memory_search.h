// SPDX-License-Identifier: Apache-2.0
// Whether a secret is still in memory: every writable mapping of the process is searched, stacks apart.
#ifndef TESTS_MEMORY_SEARCH_H
#define TESTS_MEMORY_SEARCH_H

#include <stddef.h>
#include <stdint.h>

// How often it stands there. It is given as its complement, which the test may have where it likes.
unsigned memory_count(const uint8_t *complement, size_t len);

#endif
