// SPDX-License-Identifier: Apache-2.0
// Writes a page anew on standard output, with its table of keys in its place.
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
        if (strcmp(line, TABLE_BEGIN) == 0)
            table_print(stdout);
        else if (strcmp(line, TABLE_TRIED_BEGIN) == 0)
            table_print_tried(stdout);
        else
            continue;
        inside = found = true;
    }
    fclose(in);
    if (inside || !found) {
        fprintf(stderr, "%s: expected the lines\n%s(or %s) and\n%s", argv[1], TABLE_BEGIN, TABLE_TRIED_BEGIN,
                TABLE_END);
        return 1;
    }
    return 0;
}
