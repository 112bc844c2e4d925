// SPDX-License-Identifier: Apache-2.0
// What a daemon has loaded, by name, beside what a file has.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/cli/load.h"

const struct load_kind_words load_kinds[LOAD_KINDS] = {
    [LOAD_CERT] = {"certificate", "certificates", NULL, NULL, NULL, NULL},
    [LOAD_KEY] = {"private key", "private-keys", "get-keys", "keys", "unload-key", "id"},
    [LOAD_SHARED] = {"secret", "secrets", "get-shared", "keys", "unload-shared", "id"},
    [LOAD_AUTHORITY] = {"authority", "authorities", "get-authorities", "authorities", "unload-authority",
                        "name"},
    [LOAD_POOL] = {"pool", "pools", "get-pools", NULL, "unload-pool", "name"},
    [LOAD_CONN] = {"connection", "connections", "get-conns", "conns", "unload-conn", "name"},
};

// Secrets come by pages: espalierd says where the next one begins.
static int get_pages(struct cli *cli, enum load_kind kind, struct load_had *h, struct esp_error *err)
{
    const char *from = "0";
    while (from) {
        struct vici_msg *more = realloc(h->pages, (h->count + 1) * sizeof(*more));
        struct vici_out o;
        if (!more)
            return esp_fail(err, -ENOMEM, "", "out of memory");
        h->pages = more;
        vici_out_begin(&o, VICI_CMD_REQUEST, load_kinds[kind].get);
        if (kind == LOAD_SHARED)
            vici_put(&o, "from", from);
        int r = talk_ask_ok(cli->talk, &o, &h->pages[h->count], err);
        if (r)
            return r;
        const struct vici_node *root = h->pages[h->count++].root;
        from = kind == LOAD_SHARED ? vici_get(root, "next") : NULL;
    }
    return 0;
}

// A daemon whose process of the secrets has died between two pages says so: they are asked for once more.
int load_had_get(struct cli *cli, enum load_kind kind, struct load_had *h, struct esp_error *err)
{
    enum { TRIES = 5 };
    int r = get_pages(cli, kind, h, err);
    for (int i = 1; i < TRIES && r == -EREMOTEIO && h->count; i++) {
        load_had_free(h);
        *err = (struct esp_error){0};
        r = get_pages(cli, kind, h, err);
    }
    return r;
}

void load_had_free(struct load_had *h)
{
    for (unsigned i = 0; i < h->count; i++)
        vici_msg_free(&h->pages[i]);
    free(h->pages);
    *h = (struct load_had){0};
}

static const struct vici_node *first_of(const struct vici_msg *page, enum load_kind kind)
{
    const char *list = load_kinds[kind].list;
    const struct vici_node *at = list ? vici_find(page->root, list) : page->root;
    return at ? at->child : NULL;
}

static const char *name_of(const struct vici_node *n, enum load_kind kind)
{
    return load_kinds[kind].list ? vici_text(n) : n->kind == VICI_SECTION ? n->name : NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The names of a list in order, to be looked up by bsearch; NULL: no memory.
static const char **sorted(const struct load_list *list)
{
    const char **names = calloc(list->count + 1, sizeof(*names));
    size_t n = 0;
    for (const struct load_item *i = list->first; i && names; i = i->next)
        names[n++] = i->name;
    if (names)
        qsort(names, n, sizeof(*names), by_name);
    return names;
}

int load_had_rest(const struct load_had *h, const struct load_list *list, enum load_kind kind,
                  int (*f)(void *ctx, enum load_kind kind, const char *name, struct esp_error *err),
                  void *ctx, struct esp_error *err)
{
    const char **names = sorted(list);
    int r = 0;
    if (!names)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    for (unsigned i = 0; i < h->count && r == 0; i++) {
        for (const struct vici_node *n = first_of(&h->pages[i], kind); n && r == 0; n = n->next) {
            const char *name = name_of(n, kind);
            if (name && !bsearch(&name, names, list->count, sizeof(*names), by_name))
                r = f(ctx, kind, name, err);
        }
    }
    free(names);
    return r;
}

static size_t count_of(const struct load_had *h, enum load_kind kind)
{
    size_t n = 0;
    for (unsigned i = 0; i < h->count; i++)
        for (const struct vici_node *k = first_of(&h->pages[i], kind); k; k = k->next)
            n++;
    return n;
}

int load_had_lacks(const struct load_had *h, const struct load_list *list, enum load_kind kind,
                   load_name_fn *f, void *ctx, struct esp_error *err)
{
    const char **names = calloc(count_of(h, kind) + 1, sizeof(*names));
    size_t n = 0;
    int r = 0;
    if (!names)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    for (unsigned i = 0; i < h->count; i++)
        for (const struct vici_node *k = first_of(&h->pages[i], kind); k; k = k->next)
            if (name_of(k, kind))
                names[n++] = name_of(k, kind);
    qsort(names, n, sizeof(*names), by_name);
    for (const struct load_item *i = list->first; i && r == 0; i = i->next) {
        const char *name = i->name;
        if (!bsearch(&name, names, n, sizeof(*names), by_name))
            r = f(ctx, kind, name, err);
    }
    free(names);
    return r;
}
