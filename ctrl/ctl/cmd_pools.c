// SPDX-License-Identifier: Apache-2.0
// Address pools: their names are kept and listed, so that `swanctl --load-all` runs through, and a warning
// says that they have no effect yet. Nothing that uses them can be configured either.
#include "ctrl/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/log.h"

void ctl_free_named(struct named **list)
{
    while (*list) {
        struct named *n = *list;
        *list = n->next;
        free(n);
    }
}

static struct named **find(struct named **list, const char *name, unsigned *count)
{
    *count = 0;
    while (*list && strcmp((*list)->name, name) != 0) {
        list = &(*list)->next;
        ++*count;
    }
    return list;
}

static void load(struct named **list, struct command *cmd, const char *what)
{
    const struct vici_node *section = cmd->msg.root->child;
    unsigned count;
    if (!section || section->kind != VICI_SECTION || section->next || !section->name[0] ||
        strlen(section->name) >= NAME_MAX_LEN) {
        server_reply_error(cmd, "%s: expected one section, with a name of 1 to %d characters", cmd->name,
                           NAME_MAX_LEN - 1);
        return;
    }
    struct named **at = find(list, section->name, &count);
    if (!*at) {
        struct named *n = count < CTL_MAX_NAMED ? calloc(1, sizeof(*n)) : NULL;
        if (!n) {
            server_reply_error(cmd, "%s: too many", cmd->name);
            return;
        }
        snprintf(n->name, sizeof(n->name), "%s", section->name);
        *at = n;
    }
    LOGF(CFG, 0, "warning: %s %s is stored without effect: not supported yet", what, section->name);
    server_reply_ok(cmd);
}

static void unload(struct named **list, struct command *cmd, const char *what)
{
    const char *name = vici_get(cmd->msg.root, "name");
    unsigned count;
    struct named **at = name ? find(list, name, &count) : NULL;
    if (!at || !*at) {
        server_reply_error(cmd, "unload: %s '%.128s' not found", what, name ? name : "");
        return;
    }
    struct named *n = *at;
    *at = n->next;
    free(n);
    server_reply_ok(cmd);
}

void cmd_load_pool(struct ctl *c, struct command *cmd)
{
    load(&c->pools, cmd, "pool");
}

void cmd_unload_pool(struct ctl *c, struct command *cmd)
{
    unload(&c->pools, cmd, "pool");
}

void cmd_get_pools(struct ctl *c, struct command *cmd)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    for (const struct named *n = c->pools; n; n = n->next) {
        vici_section(&o, n->name);
        vici_put(&o, "base", "none");
        vici_put(&o, "size", "0");
        vici_put(&o, "online", "0");
        vici_put(&o, "offline", "0");
        vici_section_end(&o);
    }
    server_reply(cmd, &o);
}
