// SPDX-License-Identifier: Apache-2.0
// Reader of files in the syntax of strongswan.conf and swanctl.conf: sections in braces, `key = value` lines,
// quoted values, # comments, include directives and references to other sections. The result is a tree, in
// file order; a section that comes again is the same one, and a later value overrides.
#ifndef CTRL_CONFIG_CONFFILE_H
#define CTRL_CONFIG_CONFFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "ctrl/lib/hash.h"
#include "espalier/error.h"

enum {
    CONF_MAX_FILE = 64 << 20, // a hundred thousand secrets are 8 MB
    CONF_MAX_NODES = 1 << 22,
    CONF_MAX_ENTRIES = 4096,
    CONF_MAX_INCLUDES = 10, // depth
    CONF_MAX_PATH = 200,
    CONF_MAX_NAME = 256,
    CONF_MAX_DEPTH = 12,
};

struct conf_list {
    struct conf_node *first, *last;
    struct hash *names; // of a long one; NULL: it is looked through
    unsigned count;
};
struct conf_node {            // a section, a value or a reference
    struct hash_node by_name; // first
    struct conf_node *next;
    char *name;
    char *value; // of a value; NULL: `key =` without one, which takes back an inherited value
    char *where; // "FILE:LINE"
    struct conf_list values, sections, references;
};
struct conf_tree {
    struct conf_node top;
    struct conf_list lost; // sections whose head could not be read
    size_t count;
};

// Called for each fault, where = "FILE:LINE"; the reading goes on behind it.
struct conf_faults {
    void *ctx;
    void (*fault)(void *ctx, const char *where, const char *text);
};

// 0, or a negative errno with err->field = FILE:LINE. `faults` NULL: the first fault ends it and *t is empty;
// otherwise every fault is told and *t is what could be read (not when memory ran out).
int conf_tree_read(struct conf_tree *t, const char *file, const struct conf_faults *faults,
                   struct esp_error *err);
int conf_tree_parse(struct conf_tree *t, const char *text, size_t len, const char *name, const char *dir,
                    const struct conf_faults *faults, struct esp_error *err);
void conf_tree_free(struct conf_tree *t);
struct conf_node *conf_find(const struct conf_list *l, const char *name); // NULL: absent

// ---- the tree as a flat list of dotted paths, without references (conflist.c)
struct conf_entry {
    char *path; // "charon.retransmit_tries"
    char *value;
    char *where; // "FILE:LINE"
};
struct conf {
    struct conf_entry *entries;
    size_t count, cap;
};
int conf_flatten(struct conf *c, const struct conf_tree *t, struct esp_error *err);
int conf_read_file(struct conf *c, const char *file, struct esp_error *err);
// The same from memory; `name` stands for the file in messages, relative includes are looked for in `dir`.
int conf_read_text(struct conf *c, const char *text, size_t len, const char *name, const char *dir,
                   struct esp_error *err);
int conf_add(struct conf *c, const char *path, const char *value, const char *where);
void conf_free(struct conf *c);

// ---- a section together with those that it refers to (confview.c)
enum { CONF_MAX_VIEW = 32 };
struct conf_view { // the section itself first, then those that it inherits from; the first value holds
    const struct conf_node *at[CONF_MAX_VIEW];
    unsigned count, steps;
    bool endless; // references in a circle or too many: the view is cut
};
// The section at names[0].names[1]… of the tree, as strongSwan resolves references: own ones and those of
// each section above.
void conf_view(struct conf_view *v, const struct conf_tree *t, const char *const *names, unsigned count);
// Whether a reference ("a.b") leads to a section.
bool conf_refers(const struct conf_tree *t, const char *reference);

#endif
