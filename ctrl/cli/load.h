// SPDX-License-Identifier: Apache-2.0
// `espalier load`: what a swanctl.conf and the directories beside it become, whole and checked, before any of
// it is sent.
#ifndef CTRL_CLI_LOAD_H
#define CTRL_CLI_LOAD_H

#include <jansson.h>

#include "ctrl/cli/cli.h"

enum load_kind { LOAD_CERT, LOAD_KEY, LOAD_SHARED, LOAD_AUTHORITY, LOAD_POOL, LOAD_CONN, LOAD_KINDS };

struct load_item {
    struct load_item *next;
    enum load_kind kind;
    char *name; // of the section, a secret's id, a key's identifier in hexadecimal; "" of a certificate
    struct vici_out request;
};
struct load_list {
    struct load_item *first, *last;
    unsigned count;
};
struct load {
    struct cli *cli;
    struct load_list lists[LOAD_KINDS];
    unsigned faults;
    json_t *fault_list, *warning_list; // with --json
    bool no_memory;
};

// Reads and checks all of it, with every fault and warning said. 0, -EINVAL: there are faults, or -ENOMEM.
int load_read(struct load *l, const char *file);
void load_free(struct load *l); // wipes the requests

// Sends it, and takes away what the daemon has and it has not. 0, -EREMOTEIO where the daemon refused some of
// it (each said), or why no more could be asked. `done`, where it is not NULL, gets what became of it.
int load_send(struct load *l, json_t *done, struct esp_error *err);

#endif
