// SPDX-License-Identifier: Apache-2.0
// References between sections, resolved as strongSwan does: a section has its own content and that of the
// sections it refers to, in their order; a section inside it also what these hold under the same name.
#include <string.h>

#include "ctrl/config/conffile.h"

enum { MAX_STEPS = 2000, MAX_NESTED = 24, MAX_NAMES = 16 };

static void find(struct conf_view *v, const struct conf_tree *t, const struct conf_node *from,
                 const char *const *names, unsigned count, bool own_only, unsigned nested);

// Cuts "a.b.c" into names, in `copy`.
static unsigned split(char *copy, size_t size, const char *reference, const char **names)
{
    char *save = NULL;
    unsigned n = 0;
    if (strlen(reference) >= size)
        return 0;
    strcpy(copy, reference);
    for (char *at = strtok_r(copy, ".", &save); at && n < MAX_NAMES; at = strtok_r(NULL, ".", &save))
        names[n++] = at;
    return n;
}

static void resolve(struct conf_view *v, const struct conf_tree *t, const char *reference, unsigned nested)
{
    char copy[CONF_MAX_NAME];
    const char *names[MAX_NAMES];
    unsigned n = split(copy, sizeof(copy), reference, names);
    if (n)
        find(v, t, &t->top, names, n, false, nested + 1);
}

static bool add(struct conf_view *v, const struct conf_node *n)
{
    for (unsigned i = 0; i < v->count; i++)
        if (v->at[i] == n)
            return false;
    if (v->count == CONF_MAX_VIEW) {
        v->endless = true;
        return false;
    }
    v->at[v->count++] = n;
    return true;
}

// What the sections that `from` refers to hold under these names.
static void find_inherited(struct conf_view *v, const struct conf_tree *t, const struct conf_node *from,
                           const char *const *names, unsigned count, unsigned nested)
{
    for (const struct conf_node *ref = from->references.first; ref; ref = ref->next) {
        struct conf_view of = {.steps = v->steps};
        resolve(&of, t, ref->name, nested);
        v->steps = of.steps;
        v->endless = v->endless || of.endless;
        for (unsigned i = 0; i < of.count && !v->endless; i++)
            find(v, t, of.at[i], names, count, true, nested + 1);
    }
}

static void find(struct conf_view *v, const struct conf_tree *t, const struct conf_node *from,
                 const char *const *names, unsigned count, bool own_only, unsigned nested)
{
    if (++v->steps > MAX_STEPS || nested > MAX_NESTED)
        v->endless = true;
    if (v->endless)
        return;
    const struct conf_node *n = conf_find(&from->sections, names[0]);
    if (n && count > 1) {
        find(v, t, n, names + 1, count - 1, false, nested + 1);
    } else if (n && add(v, n)) {
        for (const struct conf_node *ref = n->references.first; ref; ref = ref->next)
            resolve(v, t, ref->name, nested);
    }
    if (!own_only)
        find_inherited(v, t, from, names, count, nested);
}

void conf_view(struct conf_view *v, const struct conf_tree *t, const char *const *names, unsigned count)
{
    *v = (struct conf_view){0};
    find(v, t, &t->top, names, count, false, 0);
}

bool conf_refers(const struct conf_tree *t, const char *reference)
{
    struct conf_view v = {0};
    resolve(&v, t, reference, 0);
    return v.count > 0;
}
