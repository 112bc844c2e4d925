// SPDX-License-Identifier: Apache-2.0
// A connection section by section. What is wrong in one does not keep the others from being read: the load
// fails as a whole, and every fault has been told.
#include "ctrl/config/conn_load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctrl/config/keys.h"
#include "ctrl/config/swanctl_keys.h"

// Where the load is: "gw.children.net". Returns what to put back.
static size_t enter(struct load *l, const char *name)
{
    size_t n = strlen(l->path);
    snprintf(l->path + n, sizeof(l->path) - n, "%s%s", n ? "." : "", name);
    return n;
}

static void leave(struct load *l, size_t n)
{
    l->path[n] = 0;
    l->node = NULL;
}

static int refuse_at(struct load *l, const struct vici_node *at, const char *before, const char *text)
{
    l->node = at;
    int r = load_refuse(l, "%s%.80s%s", before, at->name, text);
    l->node = NULL;
    return r;
}

// cert*, cacert*: one certificate by the path of its file.
static void load_cert(struct load *l, const struct vici_node *section, bool local)
{
    bool cert = strncmp(section->name, "cert", 4) == 0, ca = strncmp(section->name, "cacert", 6) == 0;
    enum key_section keys = ca ? SEC_REMOTE_CACERT : local ? SEC_LOCAL_CERT : SEC_REMOTE_CERT;
    if (!cert && !ca) {
        refuse_at(l, section, "unknown option: ", "");
        return;
    }
    if (ca && local) {
        refuse_at(l, section, "", ": " OF_REMOTE);
        return;
    }
    size_t n = enter(l, section->name);
    for (const struct vici_node *k = section->child; k; k = k->next)
        load_key(l, l->conn, keys, k);
    leave(l, n);
    if (!vici_find(section, "file") && !vici_find(section, "handle"))
        refuse_at(l, section, "", ": file is missing: expected an absolute path");
}

static void swap_sides(struct auth_side *a, struct auth_side *b)
{
    struct auth_side s = *a;
    *a = *b;
    *b = s;
}

// As charon has it: by `round`, and those of one number as they come; all but the last one are in order.
static void order_rounds(struct auth_side *first, struct auth_round *more)
{
    struct auth_round *last = more;
    while (last->next)
        last = last->next;
    bool found = first->round > last->side.round; // its place: who is there moves up, and so do all behind
    if (found)
        swap_sides(first, &last->side);
    for (struct auth_round *r = more; r != last; r = r->next) {
        found = found || r->side.round > last->side.round;
        if (found)
            swap_sides(&r->side, &last->side);
    }
}

static void load_side(struct load *l, const struct vici_node *section, bool local)
{
    enum key_section keys = local ? SEC_LOCAL : SEC_REMOTE;
    size_t n = enter(l, section->name);
    unsigned before = l->faults;
    side_defaults(local ? &l->conn->local : &l->conn->remote, local); // charon's default is pubkey
    for (const struct vici_node *k = section->child; k; k = k->next) {
        if (k->kind == VICI_SECTION)
            load_cert(l, k, local);
        else
            load_key(l, l->conn, keys, k);
    }
    if (l->faults == before) // what is at fault has been given after all
        side_finish(l, local, section);
    leave(l, n);
}

_Static_assert(ROUNDS_MAX == 4, "what is refused says so");

static void load_auth(struct load *l, const struct vici_node *section, bool local, unsigned *seen)
{
    struct auth_side *side = local ? &l->conn->local : &l->conn->remote, first = *side;
    if ((*seen)++ == 0) {
        load_side(l, section, local);
        return;
    }
    struct auth_side *more = *seen <= ROUNDS_MAX ? conn_add_round(l->conn, local) : NULL;
    if (!more) {
        l->no_memory = l->no_memory || *seen <= ROUNDS_MAX;
        refuse_at(l, section, "", ": more than four rounds of authentication of one end");
        return;
    }
    *side = (struct auth_side){0}; // the keys' place is the first one's
    load_side(l, section, local);
    *more = *side;
    *side = first;
    order_rounds(side, local ? l->conn->local_more : l->conn->remote_more);
}

// Stock swanctl drops every key of a section with a longer name and sends the bare name: what the file wants
// to be protected would then not be.
static bool lost_its_keys(struct load *l, const struct vici_node *section)
{
    size_t len = strlen(section->name);
    if (section->child || len <= SWANCTL_NAME_MAX)
        return false;
    l->node = section;
    load_refuse(l,
                "swanctl sends no key of a section whose name is longer than %d characters: %.20s... has %zu",
                SWANCTL_NAME_MAX, section->name, len);
    return true;
}

static int load_child(struct load *l, const struct vici_node *section)
{
    struct conn_config *c = l->conn;
    l->node = section;
    if (section->kind != VICI_SECTION)
        return load_refuse(l, "unknown option: %.80s", section->name);
    if (!section->name[0])
        return load_refuse(l, "a child without a name");
    if (strlen(section->name) >= NAME_MAX_LEN)
        return load_refuse(l, "the name of child %.40s... is longer than %d characters", section->name,
                           NAME_MAX_LEN - 1);
    if (lost_its_keys(l, section))
        return -EINVAL;
    if (c->child_count == CHILDREN_MAX)
        return load_refuse(l, "child %.40s: more than %d children", section->name, CHILDREN_MAX);
    struct child_config *child = conn_add_child(c);
    if (!child) {
        l->no_memory = true;
        return -ENOMEM;
    }
    config_child_defaults(child);
    if (!conn_set_text(c, &child->name, section->name)) {
        l->no_memory = true;
        return -ENOMEM;
    }
    size_t n = enter(l, section->name);
    for (const struct vici_node *k = section->child; k; k = k->next)
        load_key(l, child, SEC_CHILD, k);
    l->node = section;
    child_finish(l, child);
    leave(l, n);
    return 0;
}

static int load_children(struct load *l, const struct vici_node *section)
{
    size_t n = enter(l, section->name);
    int r = 0;
    for (const struct vici_node *child = section->child; child && r != -ENOMEM; child = child->next)
        r = load_child(l, child);
    leave(l, n);
    return r;
}

// Children that pass or drop need nobody to talk to.
static bool only_policies(const struct conn_config *c)
{
    for (unsigned i = 0; i < c->child_count; i++)
        if (c->children[i].action == POLICY_PROTECT)
            return false;
    return c->child_count > 0;
}

static int load_sections(struct load *l, const struct vici_node *conn)
{
    unsigned seen[2] = {0, 0}; // remote, local
    int r = 0;
    for (const struct vici_node *n = conn->child; n && r != -ENOMEM && !l->no_memory; n = n->next) {
        bool local = strncmp(n->name, "local", 5) == 0;
        if (n->kind != VICI_SECTION)
            load_key(l, l->conn, SEC_CONN, n);
        else if (lost_its_keys(l, n))
            continue;
        else if (local || strncmp(n->name, "remote", 6) == 0)
            load_auth(l, n, local, &seen[local]);
        else if (strcmp(n->name, "children") == 0)
            r = load_children(l, n);
        else
            refuse_at(l, n, "unknown option: ", "");
    }
    if (r == -ENOMEM || l->no_memory)
        return -ENOMEM; // what was not read is not at fault
    for (int local = 1; local >= 0 && !only_policies(l->conn); local--) {
        l->node = conn;
        if (!seen[local])
            load_refuse(l, "%s is missing: expected a section with auth = psk or pubkey",
                        local ? "local" : "remote");
    }
    return 0;
}

static int load_all(struct load *l, const struct vici_node *section)
{
    l->node = section;
    if (!section->name[0])
        load_refuse(l, "a connection without a name");
    if (strlen(section->name) >= NAME_MAX_LEN)
        load_refuse(l, "the connection's name %.40s... is longer than %d characters", section->name,
                    NAME_MAX_LEN - 1);
    if (!conn_set_text(l->conn, &l->conn->name, section->name))
        return esp_fail(l->err, -ENOMEM, "", "out of memory, config discarded");
    enter(l, l->conn->name);
    if (lost_its_keys(l, section))
        return -EINVAL;
    if (load_sections(l, section) == 0 && !l->no_memory) {
        l->node = section;
        conn_finish(l);
    }
    if (l->no_memory)
        return esp_fail(l->err, -ENOMEM, "", "out of memory, config discarded");
    return l->faults ? -EINVAL : 0;
}

int config_load_conn(struct conn_config *out, const struct vici_node *section,
                     const struct load_report *report, struct esp_error *err)
{
    struct esp_error unused;
    struct load l = {.conn = out, .report = report, .err = err ? err : &unused, .what = "config"};
    config_conn_defaults(out);
    int r = load_all(&l, section);
    if (r)
        conn_clear(out);
    return r;
}
