// SPDX-License-Identifier: Apache-2.0
// Tables for people, and how numbers are written for them.
#ifndef CTRL_CLI_TABLE_H
#define CTRL_CLI_TABLE_H

#include "ctrl/cli/cli.h"

enum tone { PLAIN, GOOD, NOTABLE, BAD, FAINT };
enum { TABLE_COLUMNS = 12 };
struct table_column {
    const char *head;
    unsigned least;      // it may be cut down to so many characters where the table is too wide; 0: it is not
    unsigned expendable; // it goes where that is not enough, the greatest first; 0: it stays
    bool right;
};
struct table_cell {
    char *text;
    enum tone tone;
};
struct table {
    const struct table_column *columns; // ends in a head of NULL
    unsigned count;
    struct table_cell *cells;
    size_t used, cap;
    bool no_memory;
};

void table_begin(struct table *t, const struct table_column *columns);
// The next cell, row after row, made printable. What does not fit on a terminal ends in '~'.
__attribute__((format(printf, 3, 4))) void table_add(struct table *t, enum tone tone, const char *fmt, ...);
void table_add_list(struct table *t, const struct vici_node *list, const char *none); // as join
// Prints it with its head, or `nothing` where it has no row, and frees it.
void table_end(struct table *t, struct cli *cli, const char *nothing);

void table_free(struct table *t);

void put_tone(struct cli *cli, enum tone tone, const char *text);

enum { FIGURE = 32 };
const char *figure_octets(char buf[FIGURE], uint64_t n);  // "1.2 KiB"
const char *figure_seconds(char buf[FIGURE], uint64_t s); // "1h05m"
const char *figure_number(char buf[FIGURE], uint64_t n);  // "1,234"

// The items of a list with ", " between them, or `none`; to be freed. NULL: no memory.
char *join(const struct vici_node *list, const char *none);

#endif
