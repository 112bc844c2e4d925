// SPDX-License-Identifier: Apache-2.0
#include "ctrl/cli/names.h"

#include <stdlib.h>
#include <string.h>

static bool room(struct names *n)
{
    if (n->count < n->cap)
        return true;
    size_t cap = n->cap ? 2 * n->cap : 64;
    struct name_pair *pairs = realloc(n->pairs, cap * sizeof(*pairs));
    if (!pairs)
        return false;
    n->pairs = pairs;
    n->cap = cap;
    return true;
}

void names_add(struct names *n, const char *conn, const char *child)
{
    struct name_pair p = {strdup(conn), strdup(child)};
    if (!p.conn || !p.child || !room(n)) {
        free(p.conn);
        free(p.child);
        n->no_memory = true;
        return;
    }
    n->pairs[n->count++] = p;
    n->sorted = false;
}

static int order(const void *a, const void *b)
{
    const struct name_pair *x = a, *y = b;
    int o = strcmp(x->conn, y->conn);
    return o ? o : strcmp(x->child, y->child);
}

// The number of pairs before that one, or before and with it.
static size_t bound(const struct names *n, const struct name_pair *key, bool with)
{
    size_t lo = 0, hi = n->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int o = order(&n->pairs[mid], key);
        if (o < 0 || (with && o == 0))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

size_t names_count(struct names *n, const char *conn, const char *child)
{
    const struct name_pair key = {(char *)(uintptr_t)conn, (char *)(uintptr_t)child};
    if (!n->sorted && n->count)
        qsort(n->pairs, n->count, sizeof(*n->pairs), order);
    n->sorted = true;
    return bound(n, &key, true) - bound(n, &key, false);
}

void names_free(struct names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        free(n->pairs[i].conn);
        free(n->pairs[i].child);
    }
    free(n->pairs);
    *n = (struct names){0};
}

int names_take(void *names, const char *event, const struct vici_node *root)
{
    bool sa = strcmp(event, "list-sa") == 0;
    const struct vici_node *conn = root->child;
    if ((!sa && strcmp(event, "list-conn") != 0) || !conn || conn->kind != VICI_SECTION)
        return 0;
    names_add(names, conn->name, "");
    const struct vici_node *children = vici_find(conn, sa ? "child-sas" : "children");
    for (const struct vici_node *k = children ? children->child : NULL; k; k = k->next) {
        const char *name = sa ? vici_get(k, "name") : NULL;
        names_add(names, conn->name, name ? name : k->name);
    }
    return 0;
}
