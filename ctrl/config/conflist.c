// SPDX-License-Identifier: Apache-2.0
// A tree of settings as a flat list.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/conffile.h"

int conf_add(struct conf *c, const char *path, const char *value, const char *where)
{
    if (c->count == CONF_MAX_ENTRIES)
        return -E2BIG;
    if (c->count == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 32;
        struct conf_entry *e = realloc(c->entries, cap * sizeof(*e));
        if (!e)
            return -ENOMEM;
        c->entries = e;
        c->cap = cap;
    }
    struct conf_entry *e = &c->entries[c->count];
    *e = (struct conf_entry){strdup(path), strdup(value), strdup(where)};
    c->count++; // counted even when a copy failed, so that conf_free releases the others
    return e->path && e->value && e->where ? 0 : -ENOMEM;
}

void conf_free(struct conf *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->entries[i].path);
        free(c->entries[i].value);
        free(c->entries[i].where);
    }
    free(c->entries);
    *c = (struct conf){0};
}

static int join(char *path, const char *above, const char *name, const char *where, struct esp_error *err)
{
    int n = snprintf(path, CONF_MAX_PATH, "%s%s%s", above, above[0] ? "." : "", name);
    if (n >= 0 && n < CONF_MAX_PATH)
        return 0;
    return esp_fail(err, -E2BIG, where, "path of %.60s longer than %d characters", name, CONF_MAX_PATH - 1);
}

static int add_section(struct conf *c, const struct conf_node *n, const char *above, struct esp_error *err)
{
    char path[CONF_MAX_PATH];
    int r = 0;
    if (n->references.first)
        return esp_fail(err, -EOPNOTSUPP, n->where, "%.60s: section references are not supported", n->name);
    for (const struct conf_node *v = n->values.first; v && r == 0; v = v->next) {
        r = join(path, above, v->name, v->where, err);
        int added = r ? 0 : conf_add(c, path, v->value ? v->value : "", v->where);
        if (added)
            r = esp_fail(err, added, v->where, "%s", added == -E2BIG ? "too many settings" : "out of memory");
    }
    for (const struct conf_node *s = n->sections.first; s && r == 0; s = s->next) {
        r = join(path, above, s->name, s->where, err);
        r = r ? r : add_section(c, s, path, err);
    }
    return r;
}

int conf_flatten(struct conf *c, const struct conf_tree *t, struct esp_error *err)
{
    *c = (struct conf){0};
    int r = add_section(c, &t->top, "", err);
    if (r)
        conf_free(c);
    return r;
}

int conf_read_file(struct conf *c, const char *file, struct esp_error *err)
{
    struct conf_tree t;
    *c = (struct conf){0};
    int r = conf_tree_read(&t, file, NULL, err);
    r = r ? r : conf_flatten(c, &t, err);
    conf_tree_free(&t);
    return r;
}

int conf_read_text(struct conf *c, const char *text, size_t len, const char *name, const char *dir,
                   struct esp_error *err)
{
    struct conf_tree t;
    *c = (struct conf){0};
    int r = conf_tree_parse(&t, text, len, name, dir, NULL, err);
    r = r ? r : conf_flatten(c, &t, err);
    conf_tree_free(&t);
    return r;
}
