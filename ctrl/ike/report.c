// SPDX-License-Identifier: Apache-2.0
// What ctl shows of SAs: lists, events and counters. No key is in any of these.
#include "ctrl/ike/report.h"

#include <stdio.h>
#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/virtual.h"
#include "ctrl/ipc/ipc.h"

static const char *sa_state_name(enum sa_state s)
{
    static const char *const names[] = {"CONNECTING", "REFUSED",  "ESTABLISHED",
                                        "REKEYED",    "DELETING", "DESTROYING"};
    return names[s];
}

static const char *child_state_name(const struct child_sa *c)
{
    static const char *const names[] = {"CREATED", "INSTALLING", "INSTALLED", "REKEYING",
                                        "REKEYED", "DELETING",   "DELETED"};
    return c->lost && c->state != CHILD_DELETED ? "LOST" : names[c->state];
}

// Seconds until then.
static uint32_t left(const struct ike *ike, uint64_t at)
{
    uint64_t now = loop_now(ike->loop);
    return at > now ? (uint32_t)((at - now) / 1000) : 0;
}

static uint32_t age(const struct ike *ike, uint64_t since)
{
    return since ? (uint32_t)((loop_now(ike->loop) - since) / 1000) : 0;
}

static void send_ike(const struct ike_sa *sa, uint32_t req)
{
    struct msg_IKE_INFO m = {.req = req,
                             .id = sa->id,
                             .initiator = sa->initiator,
                             .local = sa->path.local,
                             .local_port = sa->path.local_port,
                             .remote = sa->path.remote,
                             .remote_port = sa->path.remote_port,
                             .spi_i = sa->spi_i,
                             .spi_r = sa->spi_r,
                             .encr = sa->suite->encr.id,
                             .encr_bits = sa->suite->encr.key_bits,
                             .integ = sa->suite->integ.id,
                             .prf = sa->suite->prf.id,
                             .ke = sa->suite->ke.id,
                             .established_s = age(sa->ike, sa->established_at),
                             .rekey_s = left(sa->ike, sa->later->rekey_at),
                             .nat_local = sa->nat.local,
                             .nat_remote = sa->nat.remote,
                             .handshake_us = sa->later->handshake_us,
                             .ppk = sa->ppk,
                             .edition = (uint8_t)edition_of_sa(sa)};
    snprintf(m.conn, sizeof(m.conn), "%s", sa->conn->cfg.name);
    snprintf(m.state, sizeof(m.state), "%s", sa_state_name(sa->state));
    identity_print(sa->local_id, m.local_id, sizeof(m.local_id));
    identity_print(sa->remote_id, m.remote_id, sizeof(m.remote_id));
    virtual_print(sa->vips ? sa->vips->local : NULL, sa->local_vip_count, m.local_vips, sizeof(m.local_vips));
    virtual_print_dns(sa, m.dns, sizeof(m.dns));
    virtual_print(sa->vips ? sa->vips->remote : NULL, sa->remote_vip_count, m.remote_vips,
                  sizeof(m.remote_vips));
    ipc_send(sa->ike->chan[ROOM_CTL], MSG_IKE_INFO, &m);
}

static void send_child(const struct child_sa *c, uint32_t req)
{
    struct msg_CHILD_INFO m = {.req = req,
                               .id = c->id,
                               .ike_id = c->sa->id,
                               .reqid = c->reqid,
                               .spi_in = c->spi_in,
                               .spi_out = c->spi_out,
                               .encr = c->suite->encr.id,
                               .encr_bits = c->suite->encr.key_bits,
                               .integ = c->suite->integ.id,
                               .esn = c->suite->esn.id == TRID_ESN,
                               .udp_encap = c->sa->nat.local || c->sa->nat.remote,
                               .mode = c->cfg->mode,
                               .install_s = age(c->sa->ike, c->installed_at),
                               .rekey_s = left(c->sa->ike, c->rekey_at),
                               .life_s = left(c->sa->ike, c->life_at),
                               .edition = (uint8_t)edition_of_child(c)};
    ts_list_copy(&m.local_ts, c->local_ts);
    ts_list_copy(&m.remote_ts, c->remote_ts);
    snprintf(m.name, sizeof(m.name), "%s", c->cfg->name);
    snprintf(m.state, sizeof(m.state), "%s", child_state_name(c));
    ipc_send(c->sa->ike->chan[ROOM_CTL], MSG_CHILD_INFO, &m);
}

// A page that is being sent. SAs are listed from the newest on, as they stand in the list, a long one's
// children over several pages; the cursor is the IKE SA and the CHILD SA to go on with.
struct page {
    struct ike *ike;
    const struct msg_IKE_LIST *m;
    unsigned left;
};

static uint64_t cursor(uint32_t ike_id, uint32_t child_id)
{
    return (uint64_t)ike_id << 32 | child_id;
}

static bool page_full(const struct page *p)
{
    return !p->left || !ipc_has_room(p->ike->chan[ROOM_CTL]);
}

static void page_more(const struct page *p, uint64_t next)
{
    ipc_send(p->ike->chan[ROOM_CTL], MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = p->m->req, .next = next});
}

static bool listed(const struct page *p, const struct ike_sa *sa)
{
    return sa->state != SA_REFUSED && !sa->successor && (!p->m->ike_id || sa->id == p->m->ike_id) &&
           (!p->m->conn[0] || strcmp(p->m->conn, sa->conn->cfg.name) == 0);
}

// Ids grow, and new ones are put in front: where the one to go on with is gone, the next older one stands.
static struct ike_sa *page_start(const struct page *p, uint32_t id)
{
    struct ike_sa *sa = p->m->from ? sa_by_id(p->ike, id) : p->ike->sas;
    if (sa || !p->m->from)
        return sa;
    for (sa = p->ike->sas; sa && sa->id > id;)
        sa = sa->next;
    return sa;
}

// False: the page is full, and says where it goes on.
static bool page_sa(struct page *p, struct ike_sa *sa, uint32_t first_child)
{
    struct child_sa *c = first_child ? child_by_id(p->ike, first_child) : NULL;
    if (!c || c->sa != sa) // the first, or the one to go on with is gone: new ones stand behind
        for (c = sa->children; c && c->id < first_child;)
            c = c->next;
    if (page_full(p)) {
        page_more(p, cursor(sa->id, first_child));
        return false;
    }
    p->left -= !first_child; // named again for its children's sake it is not one more, or a small page would
                             // get nowhere
    send_ike(sa, p->m->req);
    for (; c; c = c->next) {
        if (page_full(p)) {
            page_more(p, cursor(sa->id, c->id));
            return false;
        }
        p->left--;
        send_child(c, p->m->req);
    }
    return true;
}

void report_sas(struct ike *ike, const struct msg_IKE_LIST *m)
{
    struct page p = {ike, m, ipc_page(m->most)};
    uint32_t id = (uint32_t)(m->from >> 32), child = (uint32_t)m->from;
    for (struct ike_sa *sa = page_start(&p, id); sa; sa = sa->next)
        if (listed(&p, sa) && !page_sa(&p, sa, sa->id == id ? child : 0))
            return;
    ipc_result(ike->chan[ROOM_CTL], m->req, true, "%s", "");
}

void report_stats(struct ike *ike, uint32_t req)
{
    static const char *const names[] = {
#define X(sym, text) #sym,
        COUNTER_LIST(X)
#undef X
    };
    char text[4096];
    uint8_t handshakes[HANDSHAKES_OCTETS];
    size_t at = 0;
    ike->counters[CNT_log_left_out] = ike->log_limit.left_out;
    ike->counters[CNT_log_dropped] = ipc_logs_dropped(ike->chan[ROOM_CTL]);
    for (unsigned i = 0; i < CNT_COUNT && at < sizeof(text); i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s %llu\n", names[i],
                               (unsigned long long)ike->counters[i]);
    struct msg_IKE_STATS_IS m = {.req = req,
                                 .total = ike->sa_count,
                                 .half_open = ike->half_open_count,
                                 .counters = slice_str(text),
                                 .handshakes = counts_handshakes(ike, handshakes)};
    ipc_send(ike->chan[ROOM_CTL], MSG_IKE_STATS_IS, &m);
    ipc_result(ike->chan[ROOM_CTL], req, true, "%s", "");
}

static bool heard(const struct ike *ike)
{
    return ipc_takes_events(ike->chan[ROOM_CTL]);
}

void report_updown(struct ike_sa *sa, bool up)
{
    if (!heard(sa->ike))
        return;
    struct msg_IKE_UPDOWN m = {.up = up, .ike_id = sa->id};
    snprintf(m.conn, sizeof(m.conn), "%s", sa->conn->cfg.name);
    ipc_send(sa->ike->chan[ROOM_CTL], MSG_IKE_UPDOWN, &m);
    send_ike(sa, 0);
    for (struct child_sa *c = sa->children; c; c = c->next)
        send_child(c, 0);
}

void report_child_updown(struct child_sa *c, bool up)
{
    if (!heard(c->sa->ike))
        return;
    struct msg_CHILD_UPDOWN m = {.up = up, .ike_id = c->sa->id, .child_id = c->id};
    snprintf(m.conn, sizeof(m.conn), "%s", c->sa->conn->cfg.name);
    ipc_send(c->sa->ike->chan[ROOM_CTL], MSG_CHILD_UPDOWN, &m);
    send_ike(c->sa, 0);
    send_child(c, 0);
}

void report_ike_rekey(const struct ike_sa *old, const struct ike_sa *next)
{
    if (!heard(next->ike))
        return;
    struct msg_IKE_REKEY m = {.old_id = old->id, .new_id = next->id};
    snprintf(m.conn, sizeof(m.conn), "%s", next->conn->cfg.name);
    ipc_send(next->ike->chan[ROOM_CTL], MSG_IKE_REKEY, &m);
    send_ike(old, 0);
    send_ike(next, 0);
}

void report_child_rekey(const struct child_sa *old, const struct child_sa *next)
{
    if (!heard(next->sa->ike))
        return;
    struct msg_CHILD_REKEY m = {.old_id = old->id, .new_id = next->id};
    snprintf(m.conn, sizeof(m.conn), "%s", next->sa->conn->cfg.name);
    ipc_send(next->sa->ike->chan[ROOM_CTL], MSG_CHILD_REKEY, &m);
    send_ike(next->sa, 0);
    send_child(old, 0);
    send_child(next, 0);
}

void report_ike_moves(const struct ike_sa *sa, const struct net_path *to)
{
    if (!heard(sa->ike))
        return;
    struct msg_IKE_MOVES m = {.ike_id = sa->id,
                              .local = to->local,
                              .local_port = to->local_port,
                              .remote = to->remote,
                              .remote_port = to->remote_port};
    snprintf(m.conn, sizeof(m.conn), "%s", sa->conn->cfg.name);
    ipc_send(sa->ike->chan[ROOM_CTL], MSG_IKE_MOVES, &m);
    send_ike(sa, 0);
}

static bool may_alert(struct ike *ike)
{
    uint64_t now = loop_now(ike->loop);
    if (now - ike->alerts.since >= 1000) {
        ike->alerts.since = now;
        ike->alerts.raised = 0;
    }
    return ike->alerts.raised++ < ALERTS_A_SECOND;
}

void report_alert(struct ike *ike, const struct ike_sa *sa, uint8_t what)
{
    if (!ipc_takes_alerts(ike->chan[ROOM_CTL]))
        return;
    if (!may_alert(ike)) {
        COUNT(ike, alerts_left_out);
        return;
    }
    ipc_send(ike->chan[ROOM_CTL], MSG_ALERT, &(struct msg_ALERT){.alert = what, .ike_id = sa ? sa->id : 0});
    if (sa)
        send_ike(sa, 0);
}
