// SPDX-License-Identifier: Apache-2.0
// Reader of files in strongswan.conf's syntax: sections in braces, `key = value` lines, quoted values, #
// comments and include directives. The result is a flat list of entries with dotted paths, in file order; a
// later one overrides.
#ifndef CTRL_CONFIG_CONFFILE_H
#define CTRL_CONFIG_CONFFILE_H

#include <stddef.h>

#include "espalier/error.h"

enum {
    CONF_MAX_FILE = 1 << 20,
    CONF_MAX_ENTRIES = 4096,
    CONF_MAX_INCLUDES = 10, // depth
    CONF_MAX_PATH = 200,
    CONF_MAX_DEPTH = 12,
};

struct conf_entry {
    char *path; // "charon.retransmit_tries"
    char *value;
    char *where; // "FILE:LINE"
};
struct conf {
    struct conf_entry *entries;
    size_t count, cap;
};

// 0, or a negative errno with err->field = FILE:LINE. On failure *c is empty.
int conf_read_file(struct conf *c, const char *file, struct esp_error *err);
// The same from memory; `name` stands for the file in messages, relative includes are looked for in `dir`.
int conf_read_text(struct conf *c, const char *text, size_t len, const char *name, const char *dir,
                   struct esp_error *err);
int conf_add(struct conf *c, const char *path, const char *value, const char *where);
void conf_free(struct conf *c);

#endif
