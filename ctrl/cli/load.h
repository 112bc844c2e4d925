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

struct load_kind_words {
    const char *word, *words; // for people, and the key in JSON
    const char *get, *list;   // the command that lists them, and what of its answer; NULL: the sections
    const char *unload, *key; // of its message
};
extern const struct load_kind_words load_kinds[LOAD_KINDS];

// Sends it, and takes away what the daemon has and it has not. 0, -EREMOTEIO where the daemon refused some of
// it (each said), or why no more could be asked. `done`, where it is not NULL, gets what became of it.
int load_send(struct load *l, json_t *done, struct esp_error *err);

// load_names.c: what the daemon has.
struct load_had { // in pages: more than one message may hold
    struct vici_msg *pages;
    unsigned count;
};
int load_had_get(struct cli *cli, enum load_kind kind, struct load_had *h, struct esp_error *err);
void load_had_free(struct load_had *h);
// Calls f for each that the daemon has and `list` has not, and the other way round. What f returns, where
// that is not 0, ends it.
typedef int load_name_fn(void *ctx, enum load_kind kind, const char *name, struct esp_error *err);
int load_had_rest(const struct load_had *h, const struct load_list *list, enum load_kind kind,
                  load_name_fn *f, void *ctx, struct esp_error *err);
int load_had_lacks(const struct load_had *h, const struct load_list *list, enum load_kind kind,
                   load_name_fn *f, void *ctx, struct esp_error *err);

// load_apply.c: behind a load, the SAs that were made by what has been edited. done as above.
int load_apply(struct cli *cli, json_t *done, struct esp_error *err);
// load_dry.c: what a load would change; the requests were read with --dry-run. done as above.
int load_dry(struct load *l, json_t *done, struct esp_error *err);

#endif
