// SPDX-License-Identifier: Apache-2.0
// The table that a run of the interoperability matrix ends with: rows are ways to authenticate, columns are
// features, and each cell has two verdicts: espalierd began, the peer began.
#ifndef TESTS_INTEROP_TABLE_H
#define TESTS_INTEROP_TABLE_H

#include <stdbool.h>
#include <stdio.h>

enum { MATRIX_ROWS = 16, MATRIX_COLUMNS = 16 };
enum verdict { NOT_RUN, PASSED, FAILED };
struct matrix {
    const char *peer;
    const char *row[MATRIX_ROWS], *column[MATRIX_COLUMNS];
    unsigned rows, columns;
    enum verdict at[MATRIX_ROWS][MATRIX_COLUMNS][2];
    unsigned passed, failed;
};
// Of the command line: what a person wants to see, and where the table is written; a peer's programs.
struct matrix_options {
    const char *method, *feature, *begins, *report, *peers;
};
bool matrix_options(int argc, char **argv, struct matrix_options *o); // false: said on stderr
// Runs every cell that is wanted, prints a line for each, the table at the end, and writes it. begins: whose
// name --begins takes for the peer. Exit status.
int matrix_run(struct matrix *m, const struct matrix_options *o,
               bool (*cell)(unsigned row, unsigned column, bool peer_begins, void *ctx), void *ctx);

#endif
