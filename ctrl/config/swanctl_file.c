// SPDX-License-Identifier: Apache-2.0
// Which keys are lists, which sections are messages and what is inherited is as swanctl 5.9.8 has it.
#include "ctrl/config/swanctl_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctrl/config/authority_load.h"
#include "ctrl/config/conn_load.h"
#include "ctrl/config/pool_load.h"
#include "ctrl/config/swanctl_creds.h"
#include "ctrl/config/swanctl_secret.h"
#include "ctrl/config/swanctl_tree.h"

struct check {
    const struct conf_tree *tree;
    const struct swanctl_report *report;
    const char *dir;             // of the file
    struct file_secret *secrets; // of files of private keys
    const char *section;         // "connections"
    const struct conf_node *node;
    bool no_memory;
};

static void fault(struct check *c, const struct conf_node *at, const char *path, const char *text)
{
    c->report->fault(c->report->ctx, at->where, path, text);
}

// ---- connections

static void tell(struct check *c, bool wrong, const struct vici_node *at, const char *path, const char *text)
{
    char full[700];
    snprintf(full, sizeof(full), "%s.%s", c->section, path);
    (wrong ? c->report->fault : c->report->warn)(c->report->ctx, at ? tree_where(at) : c->node->where, full,
                                                 text);
}

static void conn_fault(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    const char *error = at ? tree_error(at) : NULL;
    tell(ctx, true, at, path, error ? error : text);
}

static void conn_warn(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    tell(ctx, false, at, path, text);
}

static void take_section(struct check *c, const char *command, const struct swanctl_tree *t)
{
    if (c->report->section)
        c->report->section(c->report->ctx, command, tree_root(t));
}

// What is written is what ike gets: it has to fit into one message.
static void check_size(struct check *c, const struct conn_config *conn, const struct swanctl_tree *t)
{
    uint8_t *wire = malloc(CONN_WIRE_MAX);
    struct writer w = writer_of(wire, CONN_WIRE_MAX);
    if (!wire) {
        c->no_memory = true;
        return;
    }
    conn_write(&w, conn);
    if (w.bad)
        tell(c, true, NULL, conn->name, "the connection is too large");
    else
        take_section(c, "load-conn", t);
    if (!w.bad && c->report->conn)
        c->report->conn(c->report->ctx, conn);
    free(wire);
}

static void check_conn(struct check *c, const struct conf_node *n, struct swanctl_tree *t)
{
    const struct load_report report = {.ctx = c, .fault = conn_fault, .warn = conn_warn};
    struct conn_config conn;
    struct esp_error err;
    c->node = n;
    int r = config_load_conn(&conn, tree_root(t), &report, &err);
    if (r == -ENOMEM)
        c->no_memory = true;
    if (r == 0)
        check_size(c, &conn, t);
    if (r == 0)
        conn_clear(&conn);
}

// ---- secrets

// A secret that belongs to a file of private keys: the directories are read when all of them are known.
static int remember_secret(struct check *c, const struct conf_node *n, const char *path,
                           const struct vici_node *root)
{
    const struct vici_node *file = vici_find(root, "file"), *secret = vici_find(root, "secret");
    if (!secret_folder(n->name) || !file)
        return 0;
    struct file_secret *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->next = c->secrets;
    c->secrets = s;
    s->folder = secret_folder(n->name);
    s->where = n->where;
    s->path = strdup(path);
    s->file = strdup((const char *)file->value);
    s->secret = secret ? strdup((const char *)secret->value) : NULL;
    return s->path && s->file && (s->secret || !secret) ? 0 : -ENOMEM;
}

static void check_secret(struct check *c, const struct conf_node *n, struct swanctl_tree *t)
{
    char path[300];
    snprintf(path, sizeof(path), "secrets.%.280s", n->name);
    const struct secret_report report = {c->report->ctx, c->report->fault, c->report->secret};
    if (secret_check(n->where, path, tree_root(t), &report) == -ENOMEM ||
        remember_secret(c, n, path, tree_root(t)) == -ENOMEM)
        c->no_memory = true;
}

// ---- pools and authorities

static void check_pool(struct check *c, const struct conf_node *n, struct swanctl_tree *t)
{
    const struct load_report report = {.ctx = c, .fault = conn_fault, .warn = conn_warn};
    struct pool_config p;
    c->node = n;
    if (config_load_pool(&p, tree_root(t), &report, NULL) == 0)
        take_section(c, "load-pool", t);
}

static void check_authority(struct check *c, const struct conf_node *n, struct swanctl_tree *t)
{
    const struct load_report report = {.ctx = c, .fault = conn_fault, .warn = conn_warn};
    struct authority_config a;
    struct esp_error err;
    c->node = n;
    int r = config_load_authority(&a, tree_root(t), &report, &err);
    if (r == -ENOMEM)
        c->no_memory = true;
    if (r == 0) {
        take_section(c, "load-authority", t);
        authority_clear(&a);
    }
}

// ---- the file

// Each section of one of the four, with what it inherits.
static void check_each(struct check *c, const char *section,
                       void (*check)(struct check *c, const struct conf_node *n, struct swanctl_tree *t))
{
    struct conf_view v;
    c->section = section;
    conf_view(&v, c->tree, &section, 1);
    for (unsigned i = 0; i < v.count; i++) {
        for (const struct conf_node *k = v.at[i]->values.first; k; k = k->next)
            fault(c, k, section, "a key has no place here: expected a section, such as `NAME { ... }`");
        for (const struct conf_node *n = v.at[i]->sections.first; n && !c->no_memory; n = n->next) {
            struct swanctl_tree t;
            if (tree_seen(&v, i, n->name))
                continue;
            int r = tree_make(&t, c->tree, c->dir, section, n);
            if (r == -ELOOP)
                fault(c, n, section,
                      "the references of this section lead in a circle, or to too many sections");
            else if (r)
                c->no_memory = true;
            else
                check(c, n, &t);
            tree_free(&t);
        }
    }
}

static bool has_dot(const char *name)
{
    return strchr(name, '.') != NULL;
}

static void check_names(struct check *c, const struct conf_node *n, const char *path, unsigned depth)
{
    char text[400], inside[700];
    for (const struct conf_node *ref = n->references.first; ref; ref = ref->next) {
        snprintf(text, sizeof(text), "the section refers to %.200s, which is not there", ref->name);
        if (!conf_refers(c->tree, ref->name))
            fault(c, ref, path, text);
    }
    for (const struct conf_node *v = n->values.first; v; v = v->next) {
        snprintf(text, sizeof(text), "key %.200s: swanctl takes no '.' in a name", v->name);
        if (has_dot(v->name))
            fault(c, v, path, text);
    }
    for (const struct conf_node *s = n->sections.first; s; s = s->next) {
        snprintf(text, sizeof(text), "section %.200s: swanctl takes no '.' in a name", s->name);
        if (has_dot(s->name))
            fault(c, s, path, text);
        snprintf(text, sizeof(text),
                 "section %.200s: swanctl sends no key of one whose name is longer than %d characters",
                 s->name, SWANCTL_NAME_MAX);
        if (strlen(s->name) > SWANCTL_NAME_MAX)
            fault(c, s, path, text);
        snprintf(inside, sizeof(inside), "%.400s%s%.280s", path, path[0] ? "." : "", s->name);
        check_names(c, s, inside, depth + 1);
    }
}

static const char *const own_sections[] = {"connections", "secrets", "pools", "authorities"};
enum { OWN_SECTIONS = sizeof(own_sections) / sizeof(own_sections[0]) };

static bool is_own(const char *name)
{
    bool own = false;
    for (unsigned i = 0; i < OWN_SECTIONS; i++)
        own = own || strcmp(own_sections[i], name) == 0;
    return own;
}

bool swanctl_file_is(const struct conf_tree *t)
{
    for (const struct conf_node *s = t->top.sections.first; s; s = s->next)
        if (is_own(s->name))
            return true;
    return false;
}

static bool refers_into(const struct conf_node *n, const char *name)
{
    size_t len = strlen(name);
    for (const struct conf_node *ref = n->references.first; ref; ref = ref->next)
        if (strncmp(ref->name, name, len) == 0 && (ref->name[len] == 0 || ref->name[len] == '.'))
            return true;
    for (const struct conf_node *s = n->sections.first; s; s = s->next)
        if (refers_into(s, name))
            return true;
    return false;
}

// What swanctl reads past: a slip of the pen there loses all that is in it.
static void check_top(struct check *c)
{
    for (const struct conf_node *v = c->tree->top.values.first; v; v = v->next)
        fault(c, v, v->name, "a key has no place here: expected a section");
    for (const struct conf_node *s = c->tree->top.sections.first; s; s = s->next) {
        if (!is_own(s->name) && !refers_into(&c->tree->top, s->name))
            fault(c, s, s->name,
                  "nothing in this section has effect: expected connections, secrets, pools or authorities, "
                  "or a name that another section refers to");
    }
}

int swanctl_file_check(const struct conf_tree *t, const char *dir, const struct swanctl_report *report)
{
    struct check c = {.tree = t, .report = report, .dir = dir};
    const struct creds_report creds = {report->ctx,  report->fault, report->warn,
                                       report->cert, report->key,   report->ask};
    check_top(&c);
    check_names(&c, &t->top, "", 0);
    check_each(&c, "connections", check_conn);
    check_each(&c, "secrets", check_secret);
    check_each(&c, "pools", check_pool);
    check_each(&c, "authorities", check_authority);
    if (dir && !c.no_memory && creds_check(dir, c.secrets, &creds) == -ENOMEM)
        c.no_memory = true;
    file_secrets_free(&c.secrets);
    return c.no_memory ? -ENOMEM : 0;
}
