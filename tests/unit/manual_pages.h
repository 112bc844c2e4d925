// SPDX-License-Identifier: Apache-2.0
// The manual's pages as tests read them: their fenced blocks with what stands behind the fence, in order.
// ctrl/manual/README.md says what the labels mean.
#ifndef TESTS_UNIT_MANUAL_PAGES_H
#define TESTS_UNIT_MANUAL_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define MANUAL_DIR "ctrl/manual"

struct block {
    int line;        // of the fence that opens it
    char lang[16];   // the first word behind the fence
    char label[160]; // the others
    char *text;
};
struct page {
    char name[64]; // without .md
    char *text;
    struct block *blocks;
    size_t count;
};

// From the folder above; false (and it says why on stderr): there is none, or a fence stays open.
bool page_read(struct page *p, const char *name);
void page_free(struct page *p);
// Every page of the folder, in the order of their names, freed by the caller: each, then the array.
struct page *pages_read(size_t *count);

// The value of a word of the label, "at" of `at=west file=/etc/x`; NULL: it is not among them. A word
// without `=` has the value "".
const char *block_label(const struct block *b, const char *word, char *buf, size_t size);
// Behind `not-run:`, to the end of the line; NULL: it is to be run.
const char *block_not_run(const struct block *b);
// Whether `line` is in `output`, anything standing for each … of it.
bool shows(const char *output, const char *line);

#endif
