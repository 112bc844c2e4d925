// SPDX-License-Identifier: Apache-2.0
// initiate and terminate, and the log lines that go to VICI clients: to all that asked for `log`, and as
// `control-log` to the client whose initiate or terminate is under way.
#include "ctrl/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/config/values.h"
#include "ctrl/lib/log.h"

enum { GRACE_MS = 2000 }; // `ike` keeps the client's time-out; this is for the case that it does not

// ---- log events

static void put_log(struct vici_out *o, const struct msg_LOG *m)
{
    char group[8];
    snprintf(group, sizeof(group), "%s", log_subsys_name((enum log_subsys)m->subsys));
    for (char *g = group; *g; g++)
        *g = *g >= 'a' && *g <= 'z' ? (char)(*g - 'a' + 'A') : *g;
    vici_put(o, "group", group);
    vici_putf(o, "level", "%d", (int8_t)m->level);
    if (m->ike_id) {
        vici_put(o, "ikesa-name", m->ike_name);
        vici_putf(o, "ikesa-uniqueid", "%u", m->ike_id);
    }
}

void ctl_log_event(struct ctl *c, const struct msg_LOG *m)
{
    struct vici_out o;
    if (!server_wants(c->server, VICI_EV_LOG))
        return;
    server_event_begin(&o, VICI_EV_LOG);
    put_log(&o, m);
    vici_putf(&o, "thread", "%u", m->room);
    vici_put(&o, "msg", m->text);
    server_event(c->server, VICI_EV_LOG, &o);
}

void ctl_control_log(struct ctl *c, const struct msg_LOG *m)
{
    for (struct pending *p = c->pending; p; p = p->next) {
        struct vici_out o;
        if (!p->cmd || (int8_t)m->level > p->control_level ||
            !server_command_wants(p->cmd, VICI_EV_CONTROL_LOG))
            continue;
        server_event_begin(&o, VICI_EV_CONTROL_LOG);
        put_log(&o, m);
        vici_put(&o, "msg", m->text);
        server_event_to(p->cmd, VICI_EV_CONTROL_LOG, &o);
    }
}

bool ctl_takes_logs(const struct ctl *c)
{
    const struct pending *p = c->pending;
    while (p && !(p->cmd && p->control_level >= 0 && server_command_wants(p->cmd, VICI_EV_CONTROL_LOG)))
        p = p->next;
    return p || server_wants(c->server, VICI_EV_LOG);
}

// ---- arguments

struct control {
    const char *conn, *child;
    uint32_t ike_id, child_id;
    bool force, detached;
    uint32_t timeout_ms;
    int loglevel;
};

static int read_name(const struct command *cmd, const char *key, const char **out)
{
    const struct vici_node *n = vici_find(cmd->msg.root, key);
    *out = n ? vici_text(n) : "";
    return *out && strlen(*out) < NAME_MAX_LEN ? 0 : -1;
}

static int read_number(const struct command *cmd, const char *key, uint32_t *out)
{
    const char *text = vici_get(cmd->msg.root, key);
    uint64_t n = 0;
    if (text && !value_number(text, 0, UINT32_MAX, &n))
        return -1;
    *out = (uint32_t)n;
    return 0;
}

// False: the command has been answered.
static bool read_control(struct command *cmd, struct control *a)
{
    const char *timeout = vici_get(cmd->msg.root, "timeout"), *level = vici_get(cmd->msg.root, "loglevel");
    uint64_t n = 1;
    *a = (struct control){0};
    a->detached = timeout && strcmp(timeout, "-1") == 0;
    const char *bad = NULL;
    if (read_name(cmd, "ike", &a->conn) < 0)
        bad = "ike: expected a connection's name";
    else if (read_name(cmd, "child", &a->child) < 0)
        bad = "child: expected a child's name";
    else if (read_number(cmd, "ike-id", &a->ike_id) < 0)
        bad = "ike-id: expected a number";
    else if (read_number(cmd, "child-id", &a->child_id) < 0)
        bad = "child-id: expected a number";
    else if (!a->detached && read_number(cmd, "timeout", &a->timeout_ms) < 0)
        bad = "timeout: expected milliseconds, 0 for none, -1 not to wait";
    else if (level && strcmp(level, "-1") != 0 && !value_number(level, 0, 4, &n))
        bad = "loglevel: expected -1 to 4";
    a->loglevel = level && level[0] == '-' ? -1 : (int)n;
    a->force = vici_get_yes(cmd->msg.root, "force", false);
    if (bad)
        server_reply_error(cmd, "%s", bad);
    return bad == NULL;
}

static struct pending *ask_control(struct ctl *c, struct command *cmd, const struct control *a)
{
    struct pending *p = ctl_ask(c, a->detached ? NULL : cmd, a->timeout_ms ? a->timeout_ms + GRACE_MS : 0);
    if (!p && a->detached)
        server_reply_error(cmd, "too many commands under way");
    if (p) {
        p->control_level = a->loglevel;
        ctl_listen(c); // before the rooms hear what they are to do
    }
    return p;
}

// ---- initiate

static void started(struct pending *p, bool ok, const char *text)
{
    if (!ok)
        LOGF(CFG, 1, "initiating failed: %s", text);
    ctl_done_simple(p, ok, text);
}

void cmd_initiate(struct ctl *c, struct command *cmd)
{
    struct control a;
    if (!read_control(cmd, &a))
        return;
    if (!a.conn[0] && !a.child[0]) {
        server_reply_error(cmd, "missing configuration name");
        return;
    }
    if (a.child[0] && !ctl_find_child(c, a.conn, a.child)) {
        server_reply_error(cmd, "CHILD_SA config '%s' not found", a.child);
        return;
    }
    if (!a.child[0] && !ctl_find_conn(c, a.conn)) {
        server_reply_error(cmd, "IKE_SA config '%s' not found", a.conn);
        return;
    }
    struct pending *p = ask_control(c, cmd, &a);
    if (!p)
        return;
    p->done = started;
    struct msg_INITIATE m = {.req = p->req, .timeout_ms = a.timeout_ms};
    snprintf(m.conn, sizeof(m.conn), "%s",
             a.child[0] ? conn_entry_name(ctl_find_child(c, a.conn, a.child)) : a.conn);
    snprintf(m.child, sizeof(m.child), "%s", a.child);
    ctl_send(p, ROOM_IKE, MSG_INITIATE, &m);
    if (a.detached)
        server_reply_ok(cmd);
}

void ctl_start_child(struct ctl *c, const char *conn, const char *child)
{
    struct pending *p = ctl_ask(c, NULL, 0);
    if (!p) {
        LOGF(CFG, 0, "%s is not started: too many commands under way", child);
        return;
    }
    p->done = started;
    struct msg_INITIATE m = {.req = p->req};
    snprintf(m.conn, sizeof(m.conn), "%s", conn);
    snprintf(m.child, sizeof(m.child), "%s", child);
    ctl_send(p, ROOM_IKE, MSG_INITIATE, &m);
}

// ---- rekey

static void rekeyed(struct pending *p, bool ok, const char *text)
{
    struct vici_out o;
    uint64_t matches = 0;
    if (!p->cmd)
        return;
    bool counted = value_number(text, 0, UINT32_MAX, &matches);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", ok ? "yes" : "no");
    vici_putf(&o, "matches", "%llu", (unsigned long long)matches);
    if (!ok)
        server_put_errmsg(&o, counted ? "no matching SAs to rekey found" : text);
    server_reply(p->cmd, &o);
}

void cmd_rekey(struct ctl *c, struct command *cmd)
{
    struct control a;
    if (!read_control(cmd, &a))
        return;
    bool reauth = vici_get_yes(cmd->msg.root, "reauth", false);
    bool anew = vici_get_yes(cmd->msg.root, "anew", false);
    if (!a.conn[0] && !a.child[0] && !a.ike_id && !a.child_id) {
        server_reply_error(cmd, "missing rekey selector");
        return;
    }
    if (reauth && (a.child[0] || a.child_id)) {
        server_reply_error(cmd,
                           "reauth: a CHILD_SA cannot be reauthenticated; name an IKE_SA by ike or ike-id");
        return;
    }
    if (anew && (reauth || (!a.child[0] && !a.child_id))) {
        server_reply_error(cmd, "anew: expected a CHILD_SA by child or child-id, and no reauth");
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->done = rekeyed;
    struct msg_REKEY m = {
        .req = p->req, .ike_id = a.ike_id, .child_id = a.child_id, .reauth = reauth, .anew = anew};
    snprintf(m.conn, sizeof(m.conn), "%s", a.conn);
    snprintf(m.child, sizeof(m.child), "%s", a.child);
    ctl_send(p, ROOM_IKE, MSG_REKEY, &m);
}

// ---- terminate

static void terminated(struct pending *p, bool ok, const char *text)
{
    struct vici_out o;
    if (!p->cmd)
        return;
    uint64_t matches = 0;
    if (ok)
        value_number(text, 0, UINT32_MAX, &matches);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", ok && matches ? "yes" : "no");
    vici_putf(&o, "matches", "%llu", (unsigned long long)matches);
    vici_putf(&o, "terminated", "%llu", (unsigned long long)matches);
    if (!ok)
        server_put_errmsg(&o, text[0] ? text : "failed");
    else if (!matches)
        server_put_errmsg(&o, "no matching SAs to terminate found");
    server_reply(p->cmd, &o);
}

void cmd_terminate(struct ctl *c, struct command *cmd)
{
    struct control a;
    if (!read_control(cmd, &a))
        return;
    if (!a.conn[0] && !a.child[0] && !a.ike_id && !a.child_id) {
        server_reply_error(cmd, "missing terminate selector");
        return;
    }
    struct pending *p = ask_control(c, cmd, &a);
    if (!p)
        return;
    p->done = terminated;
    struct msg_TERMINATE m = {.req = p->req,
                              .ike_id = a.ike_id,
                              .child_id = a.child_id,
                              .force = a.force,
                              .timeout_ms = a.timeout_ms};
    snprintf(m.conn, sizeof(m.conn), "%s", a.conn);
    snprintf(m.child, sizeof(m.child), "%s", a.child);
    ctl_send(p, ROOM_IKE, MSG_TERMINATE, &m);
    if (a.detached)
        server_reply_ok(cmd);
}
