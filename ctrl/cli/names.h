// SPDX-License-Identifier: Apache-2.0
// Pairs of a connection's and a child's name, as many times as they come: what is configured, and what is up.
#ifndef CTRL_CLI_NAMES_H
#define CTRL_CLI_NAMES_H

#include "ctrl/cli/cli.h"

struct name_pair {
    char *conn, *child; // child: "" of the connection itself
};
struct names {
    struct name_pair *pairs;
    size_t count, cap;
    bool sorted, no_memory;
};

void names_add(struct names *n, const char *conn, const char *child);
size_t names_count(struct names *n, const char *conn, const char *child); // how often that pair is there
void names_free(struct names *n);

// Events list-conn and list-sa, registered for by cli_register: a pair for the connection and one for each
// child.
int names_take(void *names, const char *event, const struct vici_node *root);

#endif
