// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/swanctl_tree.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "ctrl/config/cred_file.h"
#include "ctrl/config/swanctl_creds.h"
#include "ctrl/pki/pki.h"

struct placed {
    struct vici_node node;
    struct placed *next;
    char *value;
    size_t value_len;
    const char *where; // of the tree
    char *error;       // why its file could not be read, or NULL
};
enum { FILE_NAME_MAX = 1024 };

struct maker {
    struct swanctl_tree *to;
    const struct conf_tree *from;
    const char *dir; // of the swanctl.conf
    const char *names[CONF_MAX_DEPTH + 1];
};

const struct vici_node *tree_root(const struct swanctl_tree *t)
{
    return &t->root->node;
}

static const struct placed *placed_of(const struct vici_node *n)
{
    return (const struct placed *)(const void *)((const char *)n - offsetof(struct placed, node));
}

const char *tree_where(const struct vici_node *n)
{
    return placed_of(n)->where;
}

const char *tree_error(const struct vici_node *n)
{
    return placed_of(n)->error;
}

void tree_free(struct swanctl_tree *t)
{
    while (t->all) {
        struct placed *p = t->all;
        t->all = p->next;
        if (p->value)
            OPENSSL_cleanse(p->value, p->value_len);
        free(p->value);
        free(p->error);
        free(p);
    }
    t->root = NULL;
}

static char *copy(const char *value, size_t len)
{
    char *c = malloc(len + 1);
    if (c) {
        memcpy(c, value, len);
        c[len] = 0;
    }
    return c;
}

// A node behind the children of its parent. The name and the line stay the file's.
static struct placed *add(struct maker *m, struct placed *parent, enum vici_kind kind,
                          const struct conf_node *from, const char *value, size_t len)
{
    struct placed *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->next = m->to->all;
    m->to->all = p;
    p->where = from->where;
    p->node.kind = kind;
    p->node.name = kind == VICI_ITEM ? "" : from->name;
    if (value && !(p->value = copy(value, len)))
        return NULL;
    p->value_len = value ? len : 0;
    p->node.value = (const uint8_t *)p->value;
    p->node.len = value ? len : 0;
    if (parent) {
        struct vici_node **at = &parent->node.child;
        while (*at)
            at = &(*at)->next;
        *at = &p->node;
        p->node.parent = &parent->node;
    }
    return p;
}

// The keys whose values swanctl cuts at commas.
static bool is_list(const char *key)
{
    static const char *const lists[] = {"local_addrs",  "remote_addrs", "proposals",   "esp_proposals",
                                        "ah_proposals", "local_ts",     "remote_ts",   "vips",
                                        "pools",        "groups",       "cert_policy", "certs",
                                        "cacerts",      "pubkeys",      "crl_uris",    "ocsp_uris"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (strcasecmp(lists[i], key) == 0)
            return true;
    return false;
}

// The keys whose values are names of files that swanctl reads and sends.
static bool is_file(const struct maker *m, const char *key)
{
    static const char *const files[] = {"certs", "cacerts", "pubkeys"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (strcasecmp(files[i], key) == 0)
            return true;
    return strcmp(m->names[0], "authorities") == 0 && strcasecmp(key, "cacert") == 0;
}

// What the file holds is no certificate or key: its name and why.
static int check_content(const char *key, const char *file, const uint8_t *data, size_t n,
                         struct esp_error *err)
{
    enum pki_kind kind = strcasecmp(key, "certs") == 0     ? PKI_X509
                         : strcasecmp(key, "pubkeys") == 0 ? PKI_PUBKEY
                                                           : PKI_CA;
    struct esp_error e = {0};
    uint8_t *der = NULL;
    size_t len;
    int r = pki_read_der(kind, data, n, &der, &len, &e);
    free(der);
    return r ? esp_fail(err, r, "", "invalid value for: %s: %.80s: %.90s", key, file, e.text) : 0;
}

// A node whose value is what the file holds, or an empty one that knows why not.
static int add_file(struct maker *m, struct placed *parent, enum vici_kind kind, const struct conf_node *v,
                    const char *name, size_t len)
{
    struct esp_error err = {0};
    char file[FILE_NAME_MAX];
    uint8_t *data = NULL;
    size_t n = 0;
    snprintf(file, sizeof(file), "%.*s", (int)len, name);
    struct esp_error e = {0};
    int r = creds_read(m->dir, v->name, file, &data, &n, &e);
    r = r ? esp_fail(&err, r, "", "invalid value for: %s: %.200s", v->name, e.text)
          : check_content(v->name, file, data, n, &err);
    struct placed *p = r == -ENOMEM ? NULL : add(m, parent, kind, v, r ? "" : (const char *)data, r ? 0 : n);
    cred_free(data, n);
    if (p && r)
        p->error = strdup(err.text);
    return p && (!r || p->error) ? 0 : -ENOMEM;
}

static int add_value(struct maker *m, struct placed *parent, enum vici_kind kind, const struct conf_node *v,
                     const char *value, size_t len)
{
    if (m->dir && is_file(m, v->name))
        return add_file(m, parent, kind, v, value, len);
    return add(m, parent, kind, v, value, len) ? 0 : -ENOMEM;
}

static int add_list(struct maker *m, struct placed *parent, const struct conf_node *v)
{
    struct placed *list = add(m, parent, VICI_LIST, v, NULL, 0);
    const char *at = v->value;
    while (list && *(at += strspn(at, ", "))) {
        size_t len = strcspn(at, ","), next = len;
        while (at[len - 1] == ' ')
            len--;
        if (add_value(m, list, VICI_ITEM, v, at, len) < 0)
            return -ENOMEM;
        at += next;
    }
    return list ? 0 : -ENOMEM;
}

bool tree_seen(const struct conf_view *v, unsigned i, const char *name)
{
    for (unsigned k = 0; k < i; k++)
        if (conf_find(&v->at[k]->sections, name))
            return true;
    return false;
}

static bool value_seen(const struct conf_view *v, unsigned i, const char *name)
{
    for (unsigned k = 0; k < i; k++)
        if (conf_find(&v->at[k]->values, name))
            return true;
    return false;
}

static int fill(struct maker *m, struct placed *section, unsigned depth)
{
    struct conf_view v;
    int r = 0;
    conf_view(&v, m->from, m->names, depth);
    if (v.endless || depth > CONF_MAX_DEPTH)
        return -ELOOP;
    for (unsigned i = 0; i < v.count; i++) {
        for (const struct conf_node *k = v.at[i]->values.first; k && r == 0; k = k->next) {
            if (!k->value || value_seen(&v, i, k->name))
                continue;
            if (is_list(k->name) || (strcmp(m->names[0], "pools") == 0 && strcasecmp(k->name, "addrs") != 0))
                r = add_list(m, section, k);
            else
                r = add_value(m, section, VICI_VALUE, k, k->value, strlen(k->value));
        }
    }
    for (unsigned i = 0; i < v.count; i++) {
        for (const struct conf_node *s = v.at[i]->sections.first; s && r == 0; s = s->next) {
            if (tree_seen(&v, i, s->name))
                continue;
            struct placed *inside = add(m, section, VICI_SECTION, s, NULL, 0);
            m->names[depth] = s->name;
            r = inside ? fill(m, inside, depth + 1) : -ENOMEM;
        }
    }
    return r;
}

int tree_make(struct swanctl_tree *t, const struct conf_tree *from, const char *dir, const char *above,
              const struct conf_node *n)
{
    *t = (struct swanctl_tree){0};
    struct maker m = {.to = t, .from = from, .dir = dir, .names = {above, n->name}};
    t->root = add(&m, NULL, VICI_SECTION, n, NULL, 0);
    return t->root ? fill(&m, t->root, 2) : -ENOMEM;
}
