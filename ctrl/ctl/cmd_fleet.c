// SPDX-License-Identifier: Apache-2.0
// Connections of the fleet, as its room says: loaded as load-conn would load them, whole or not at all, and
// marked, so that clients of VICI neither see them among those that they may take away (get-conns) nor
// replace them. One that is closed begins nothing by itself, and its SAs end.
#include "ctrl/ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/in_clear.h"
#include "ctrl/lib/fence.h"
#include "ctrl/lib/log.h"

enum { LIST_PAGE = 64 };

static void say(struct ctl *c, uint32_t req, bool ok, const char *text)
{
    ipc_result(c->chan[ROOM_FLEET], req, ok, "%s", text);
}

int ctl_fence_conn(const struct ctl *c, struct conn_config *cfg, uint32_t fence, struct esp_error *err)
{
    char why[160];
    if (fence != FENCE_NONE && !c->settings.fleet_allow_clear && conn_in_clear(cfg, why, sizeof(why)))
        return esp_fail(err, -EPERM, "", "%s, which espalierd.fleet.allow_clear does not allow here", why);
    cfg->fence = fence;
    if (fence != FENCE_CLOSED)
        return 0;
    for (unsigned i = 0; i < cfg->child_count; i++) {
        struct child_config *k = &cfg->children[i];
        k->start_action = k->close_action = ACTION_NONE;
        k->dpd_action = DPD_NONE;
    }
    return 0;
}

// ---- what is closed has no SAs

static void ended(struct pending *p, bool ok, const char *text)
{
    (void)ok; // where there were none it is not
    (void)text;
    say(p->ctl, p->fleet_req, true, "");
}

static void end_sas(struct ctl *c, uint32_t req, const char *conn)
{
    struct pending *p = ctl_ask(c, NULL, CTL_ANSWER_MS);
    if (!p) {
        say(c, req, false, "too many commands under way");
        return;
    }
    p->fleet_req = req;
    p->done = ended;
    struct msg_TERMINATE m = {.req = p->req, .force = true};
    snprintf(m.conn, sizeof(m.conn), "%s", conn);
    ctl_send(p, ROOM_IKE, MSG_TERMINATE, &m);
}

static bool is_closed(const struct conn_entry *e)
{
    struct conn_config cfg;
    if (!ctl_read_conn(e, &cfg))
        return true;
    bool closed = cfg.fence == FENCE_CLOSED;
    conn_clear(&cfg);
    return closed;
}

void ctl_fleet_loaded(struct ctl *c, uint32_t req, const struct conn_entry *e, bool ok, const char *text)
{
    if (ok && e && is_closed(e))
        end_sas(c, req, conn_entry_name(e));
    else
        say(c, req, ok, text);
}

// ---- load

void ctl_fleet_conn(struct ctl *c, const struct msg_FLEET_CONN *m)
{
    struct vici_msg msg;
    struct esp_error err = {0};
    if (vici_msg_parse(&msg, m->conn.p, m->conn.len, &err) != 0) {
        say(c, m->req, false, err.text);
        return;
    }
    const struct vici_node *section = msg.root->child;
    const struct conn_entry *old;
    if (!m->fence || !section || section->kind != VICI_SECTION || section->next)
        say(c, m->req, false, "expected a session and one section, the connection's");
    else if (strcmp(section->name, m->name) != 0)
        say(c, m->req, false, "its key is another connection's than what it says it is");
    else if ((old = ctl_find_conn(c, section->name)) != NULL && !old->fleet)
        say(c, m->req, false, "a connection of this name that is not the fleet's is loaded here");
    else
        ctl_load_fleet_conn(c, section, m->fence, m->req);
    vici_msg_free(&msg);
}

void ctl_fleet_unload(struct ctl *c, const struct msg_FLEET_UNLOAD *m)
{
    const struct conn_entry *e = ctl_find_conn(c, m->conn);
    if (!e || !e->fleet)
        say(c, m->req, true, "");
    else
        ctl_unload_fleet_conn(c, m->conn, m->req);
}

// ---- what there is

static bool loads_under_way(const struct ctl *c)
{
    for (const struct pending *p = c->pending; p; p = p->next)
        if (p->fleet_req)
            return true;
    return false;
}

// An earlier `fleet` may have given some that are desired no more.
void ctl_fleet_list(struct ctl *c, const struct msg_FLEET_LIST *m)
{
    unsigned said = 0;
    if (!c->serving || loads_under_way(c)) {
        say(c, m->req, false, "it is not known yet what is loaded");
        return;
    }
    for (const struct conn_entry *e = c->conns; e; e = e->next) {
        struct msg_FLEET_HAS has = {.req = m->req};
        if (!e->fleet || e->number <= m->from)
            continue;
        snprintf(has.conn, sizeof(has.conn), "%s", conn_entry_name(e));
        ipc_send(c->chan[ROOM_FLEET], MSG_FLEET_HAS, &has);
        if (++said < LIST_PAGE)
            continue;
        ipc_send(c->chan[ROOM_FLEET], MSG_LIST_MORE,
                 &(struct msg_LIST_MORE){.req = m->req, .next = e->number});
        return;
    }
    say(c, m->req, true, "");
}
