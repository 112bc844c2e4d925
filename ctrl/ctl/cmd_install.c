// SPDX-License-Identifier: Apache-2.0
// install and uninstall: whether packets of a child's policy ask for its SA, as an operator says after the
// configuration. The policy itself stands as long as its connection is loaded: without a trap what it
// protects waits for an SA that comes otherwise, and goes nowhere in clear. It is a part of the connection as
// ike has it, so that it outlives an ike or a ctl that dies, and is shown by list-policies.
#include "ctrl/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/log.h"

static struct child_config *find_child(struct conn_config *cfg, const char *name)
{
    for (unsigned i = 0; i < cfg->child_count; i++)
        if (strcmp(cfg->children[i].name, name) == 0)
            return &cfg->children[i];
    return NULL;
}

bool ctl_keep_by_hand(const struct ctl *c, struct conn_config *cfg)
{
    const struct conn_entry *e = ctl_find_conn(c, cfg->name);
    struct conn_config old = {0};
    if (!e || !e->by_hand)
        return true;
    if (!ctl_read_conn(e, &old))
        return false;
    for (unsigned i = 0; i < old.child_count; i++) {
        struct child_config *now = find_child(cfg, old.children[i].name);
        if (now && now->start_action == old.children[i].start_action)
            now->trap_by_hand = old.children[i].trap_by_hand;
    }
    conn_clear(&old);
    return true;
}

// Where anything but a hand traps it.
static bool is_trapped(const struct child_config *k)
{
    return k->start_action & ACTION_TRAP || k->close_action & ACTION_TRAP || k->dpd_action == DPD_TRAP;
}

// False: it has been answered. Pass and drop are in force since they were loaded.
static bool install(struct command *cmd, struct child_config *k)
{
    if (k->route && k->route->metric) {
        server_reply_error(cmd,
                           "'%.128s' has a route_metric: its tunnel carries before there is a packet for it; "
                           "initiate it",
                           k->name);
        return false;
    }
    if (k->action == POLICY_PROTECT)
        k->trap_by_hand = k->start_action & ACTION_TRAP ? TRAP_AS_CONFIGURED : TRAP_INSTALLED;
    return true;
}

static bool uninstall(struct command *cmd, struct child_config *k)
{
    if (k->action != POLICY_PROTECT) {
        server_reply_error(
            cmd, "policy '%.128s' of mode %s holds as long as its connection is loaded: unload that", k->name,
            k->action == POLICY_BYPASS ? "pass" : "drop");
        return false;
    }
    if (k->trap_by_hand == TRAP_UNINSTALLED || (!is_trapped(k) && k->trap_by_hand == TRAP_AS_CONFIGURED)) {
        server_reply_error(cmd, "policy '%.128s' not found", k->name);
        return false;
    }
    k->trap_by_hand = is_trapped(k) ? TRAP_UNINSTALLED : TRAP_AS_CONFIGURED;
    return true;
}

static void load_anew(struct ctl *c, struct command *cmd, const struct conn_entry *old,
                      const struct conn_config *cfg)
{
    struct writer w = writer_of(c->conn_wire, sizeof(c->conn_wire));
    conn_write(&w, cfg);
    struct conn_entry *e = w.bad ? NULL : ctl_new_conn(cfg, wr_written(&w));
    if (e && slice_eq(wr_written(&w), slice_of(conn_entry_wire(old), old->wire_len))) {
        free(e);
        server_reply_ok(cmd);
    } else if (e) {
        ctl_load_conn(c, cmd, e);
    } else {
        server_reply_error(cmd, "out of memory");
    }
}

static void change(struct ctl *c, struct command *cmd,
                   bool (*how)(struct command *cmd, struct child_config *k))
{
    const char *child = vici_get(cmd->msg.root, "child"), *ike = vici_get(cmd->msg.root, "ike");
    const struct conn_entry *e = child ? ctl_find_child(c, ike ? ike : "", child) : NULL;
    struct conn_config cfg = {0};
    if (!child) {
        server_reply_error(cmd, "missing configuration name");
        return;
    }
    if (!e) {
        server_reply_error(cmd, "CHILD_SA config '%.128s' not found", child);
        return;
    }
    if (ctl_under_way(c, conn_entry_name(e))) {
        server_reply_error(cmd, "connection '%.128s' is being loaded or unloaded: try again",
                           conn_entry_name(e));
        return;
    }
    if (!ctl_read_conn(e, &cfg)) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    LOGF(CFG, 1, "vici %s '%.128s'", cmd->name, child);
    if (how(cmd, find_child(&cfg, child)))
        load_anew(c, cmd, e, &cfg);
    conn_clear(&cfg);
}

void cmd_install(struct ctl *c, struct command *cmd)
{
    change(c, cmd, install);
}

void cmd_uninstall(struct ctl *c, struct command *cmd)
{
    change(c, cmd, uninstall);
}
