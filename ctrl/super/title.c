// SPDX-License-Identifier: Apache-2.0
// Overwrites the memory of the arguments and the environment that the kernel shows as the command line; the
// environment is copied elsewhere first. Where that memory is not in one piece the title stays as it was.
#include "ctrl/super/title.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static char *area;
static size_t area_len;

void title_init(int argc, char **argv)
{
    char *end = argv[0];
    size_t n = 0;
    for (int i = 0; i < argc; i++) {
        if (argv[i] == end)
            end += strlen(argv[i]) + 1;
    }
    while (environ[n])
        n++;
    char **copy = calloc(n + 1, sizeof(*copy));
    if (!copy)
        return;
    for (size_t i = 0; i < n; i++) {
        if (environ[i] == end)
            end += strlen(environ[i]) + 1;
        copy[i] = strdup(environ[i]);
        if (!copy[i]) {
            while (i-- > 0)
                free(copy[i]);
            free(copy);
            return;
        }
    }
    environ = copy; // lives as long as the process
    area = argv[0];
    area_len = (size_t)(end - area);
}

void title_set(const char *title)
{
    const char *colon = strrchr(title, ' ');
    prctl(PR_SET_NAME, colon ? colon + 1 : title);
    if (!area)
        return;
    memset(area, 0, area_len);
    snprintf(area, area_len, "%s", title);
}
