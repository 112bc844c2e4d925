// SPDX-License-Identifier: Apache-2.0
// Writes a README anew on standard output, with the table of keys in its place.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ctrl/config/gen/table.h"

int main(int argc, char **argv)
{
    char line[4096];
    bool inside = false, found = false;
    FILE *in = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!in) {
        fprintf(stderr, "usage: config-table README.md\n");
        return 2;
    }
    while (fgets(line, sizeof(line), in)) {
        inside = inside && strcmp(line, TABLE_END) != 0;
        if (!inside)
            fputs(line, stdout);
        if (strcmp(line, TABLE_BEGIN) != 0)
            continue;
        table_print(stdout);
        inside = found = true;
    }
    fclose(in);
    if (inside || !found) {
        fprintf(stderr, "%s: expected the lines\n%s%s", argv[1], TABLE_BEGIN, TABLE_END);
        return 1;
    }
    return 0;
}
