// SPDX-License-Identifier: Apache-2.0
// What clients hear unasked of SAs: that they come, go, are rekeyed and move, and what goes wrong with them.
// ike says each in several messages, a head and the SAs that it is about.
#include "ctrl/ctl/ctl.h"

static void emit_updown(struct ctl *c, enum vici_event ev, const struct msg_CHILD_INFO *child)
{
    struct vici_out o;
    if (!server_wants(c->server, ev))
        return;
    server_event_begin(&o, ev);
    if (c->up)
        vici_put(&o, "up", "yes");
    vici_section(&o, c->updown_ike.conn[0] ? c->updown_ike.conn : "(unnamed)");
    ctl_put_ike(&o, &c->updown_ike);
    if (child) {
        vici_section(&o, "child-sas");
        ctl_put_child(&o, child, NULL);
        vici_section_end(&o);
    }
    vici_section_end(&o);
    server_event(c->server, ev, &o);
}

static const char *event_conn(const struct ctl *c)
{
    return c->updown_ike.conn[0] ? c->updown_ike.conn : "(unnamed)";
}

static void emit_ike_rekey(struct ctl *c, const struct msg_IKE_INFO *next)
{
    struct vici_out o;
    if (!server_wants(c->server, VICI_EV_IKE_REKEY))
        return;
    server_event_begin(&o, VICI_EV_IKE_REKEY);
    vici_section(&o, event_conn(c));
    vici_section(&o, "old");
    ctl_put_ike(&o, &c->updown_ike);
    vici_section_end(&o);
    vici_section(&o, "new");
    ctl_put_ike(&o, next);
    vici_section_end(&o);
    vici_section_end(&o);
    server_event(c->server, VICI_EV_IKE_REKEY, &o);
}

static void emit_child_rekey(struct ctl *c, const struct msg_CHILD_INFO *next)
{
    struct vici_out o;
    if (!server_wants(c->server, VICI_EV_CHILD_REKEY))
        return;
    server_event_begin(&o, VICI_EV_CHILD_REKEY);
    vici_section(&o, event_conn(c));
    ctl_put_ike(&o, &c->updown_ike);
    vici_section(&o, "child-sas");
    vici_section(&o, next->name);
    vici_section(&o, "old");
    ctl_put_child_keys(&o, &c->rekey_child, NULL);
    vici_section_end(&o);
    vici_section(&o, "new");
    ctl_put_child_keys(&o, next, NULL);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    server_event(c->server, VICI_EV_CHILD_REKEY, &o);
}

// Its ends are still the former ones.
static void emit_ike_update(struct ctl *c, const struct msg_IKE_INFO *was)
{
    char text[64];
    struct vici_out o;
    const struct msg_IKE_MOVES *to = &c->moves;
    if (!server_wants(c->server, VICI_EV_IKE_UPDATE) || was->id != to->ike_id)
        return;
    server_event_begin(&o, VICI_EV_IKE_UPDATE);
    vici_put(&o, "local-host", addr_print(&to->local, text, sizeof(text)));
    vici_putf(&o, "local-port", "%u", to->local_port);
    vici_put(&o, "remote-host", addr_print(&to->remote, text, sizeof(text)));
    vici_putf(&o, "remote-port", "%u", to->remote_port);
    vici_section(&o, was->conn[0] ? was->conn : "(unnamed)");
    ctl_put_ike(&o, was);
    vici_section_end(&o);
    server_event(c->server, VICI_EV_IKE_UPDATE, &o);
}

// sa: NULL: it is of none.
static void emit_alert(struct ctl *c, const struct msg_IKE_INFO *sa)
{
    static const char *const names[] = {
#define X(sym, name) name,
        ALERT_LIST(X)
#undef X
    };
    struct vici_out o;
    if (!server_wants(c->server, VICI_EV_ALERT) || c->alert.alert >= ALERT_COUNT)
        return;
    server_event_begin(&o, VICI_EV_ALERT);
    vici_put(&o, "type", names[c->alert.alert]);
    if (sa) {
        vici_section(&o, "ike-sa");
        vici_section(&o, sa->conn[0] ? sa->conn : "(unnamed)");
        ctl_put_ike(&o, sa);
        vici_section_end(&o);
        vici_section_end(&o);
    }
    server_event(c->server, VICI_EV_ALERT, &o);
}

static void on_ike_info(struct ctl *c, const struct msg_IKE_INFO *i)
{
    if (c->updown == MSG_IKE_MOVES)
        emit_ike_update(c, i);
    else if (c->updown == MSG_ALERT)
        emit_alert(c, i);
    bool second = c->updown == MSG_IKE_REKEY && c->rekey_seen;
    if (second)
        emit_ike_rekey(c, i);
    c->rekey_seen = c->updown == MSG_IKE_REKEY && !second;
    c->updown_ike = *i;
    if (c->updown == MSG_IKE_UPDOWN)
        emit_updown(c, VICI_EV_IKE_UPDOWN, NULL);
}

static void on_child_info(struct ctl *c, const struct msg_CHILD_INFO *i)
{
    if (c->updown == MSG_CHILD_UPDOWN && i->ike_id == c->updown_ike.id)
        emit_updown(c, VICI_EV_CHILD_UPDOWN, i);
    if (c->updown != MSG_CHILD_REKEY)
        return;
    if (c->rekey_seen)
        emit_child_rekey(c, i);
    c->rekey_child = *i;
    c->rekey_seen = !c->rekey_seen;
}

// An event's head, and what follows it: the IKE SA, or both of a rekeying, then the CHILD SAs.
void ctl_updown(struct ctl *c, enum msg_type t, const union msg *m)
{
    if (t == MSG_IKE_INFO) {
        on_ike_info(c, &m->IKE_INFO);
        return;
    }
    if (t == MSG_CHILD_INFO) {
        on_child_info(c, &m->CHILD_INFO);
        return;
    }
    c->updown = t;
    c->rekey_seen = false;
    if (t == MSG_IKE_UPDOWN)
        c->up = m->IKE_UPDOWN.up;
    else if (t == MSG_CHILD_UPDOWN)
        c->up = m->CHILD_UPDOWN.up;
    else if (t == MSG_IKE_MOVES)
        c->moves = m->IKE_MOVES;
    else if (t == MSG_ALERT)
        c->alert = m->ALERT;
    if (t == MSG_ALERT && !c->alert.ike_id)
        emit_alert(c, NULL);
}
