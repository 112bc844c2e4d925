// SPDX-License-Identifier: Apache-2.0
// CHILD SAs: numbers and SPIs, their selectors (RFC 7296 section 2.9), and installing them: ike describes,
// keys derives (2.17) and sends the keys to path. One that path did not take is rolled back, never reported
// as up. Their states are changed here alone but for the beginning of an exchange; so are collisions settled
// (2.8.1).
#include "ctrl/ike/childsa.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/jobs.h"
#include "ctrl/ike/kex.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/load.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/selectors.h"
#include "ctrl/ike/shared.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/virtual.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"

static struct child_sa *of_node(struct table_one *n, size_t offset)
{
    return n ? (struct child_sa *)(void *)((char *)n - offset) : NULL;
}

struct child_sa *child_by_id(struct ike *ike, uint32_t id)
{
    return of_node(table_get(&ike->children, id), offsetof(struct child_sa, by_id));
}

struct child_sa *child_by_spi_out(struct ike_sa *sa, uint32_t spi)
{
    for (struct child_sa *c = sa->children; c; c = c->next)
        if (c->spi_out == spi && c->state != CHILD_CREATED && c->state != CHILD_DELETED)
            return c;
    return NULL;
}

static void free_child(struct child_sa *c)
{
    suite_leave(&c->suite);
    if (c->own_shared)
        shared_put(c->local_ts);
    else
        free(c->local_ts);
    free(c->remote_ts);
    conn_unref(c->conn);
    free(c);
}

static struct child_sa *allocate(void)
{
    struct child_sa *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->suite = &suite_none;
    c->local_ts = calloc(1, sizeof(*c->local_ts));
    c->remote_ts = calloc(1, sizeof(*c->remote_ts));
    if (c->local_ts && c->remote_ts)
        return c;
    free_child(c);
    return NULL;
}

struct child_sa *child_new(struct ike_sa *sa, struct conn *conn, const struct child_config *cfg)
{
    struct ike *ike = sa->ike;
    struct child_sa *c = allocate();
    if (!c)
        return NULL;
    while (c->spi_in < 256 || table_get(&ike->spis, c->spi_in)) // below 256: reserved (RFC 4303 2.1)
        if (cr_random(&c->spi_in, sizeof(c->spi_in)) != 0)
            break;
    c->sa = sa;
    c->cfg = cfg;
    c->conn = conn;
    conn->refs++;
    c->id = ++ike->next_child;
    c->reqid = conn_reqid(ike, conn, cfg);
    if (!table_put(&ike->children, &c->by_id, c->id)) {
        free_child(c);
        return NULL;
    }
    if (c->spi_in < 256 || !table_put(&ike->spis, &c->by_spi, c->spi_in)) {
        table_take(&ike->children, &c->by_id);
        free_child(c);
        return NULL;
    }
    struct child_sa **end = &sa->children;
    while (*end)
        end = &(*end)->next;
    *end = c;
    return c;
}

void child_destroy(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    struct ike *ike = sa->ike;
    timer_stop(ike->loop, &c->timer);
    if (c->state != CHILD_CREATED)
        ipc_send(ike->chan[ROOM_PATH], MSG_CHILD_DELETE,
                 &(struct msg_CHILD_DELETE){.req = ++ike->next_req, .child_id = c->id});
    else // packets by it may wait for it
        ipc_send(ike->chan[ROOM_PATH], MSG_CHILD_EXPECT,
                 &(struct msg_CHILD_EXPECT){.spi = c->spi_in, .over = 1});
    if (c->announced)
        ike->events->child_down(c);
    counts_child_up(c, false);
    for (struct child_sa **at = &sa->children; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            break;
        }
    }
    table_take(&ike->children, &c->by_id);
    table_take(&ike->spis, &c->by_spi);
    if (sa->hs && sa->hs->later->pending == c)
        sa->hs->later->pending = NULL;
    job_step(ike, c->job, true, "");
    path_again_gone(c);
    free_child(c);
}

void child_wanted_ts(const struct ike_sa *sa, const struct child_config *cfg, struct ts_list *local,
                     struct ts_list *remote)
{
    if (!virtual_local_ts(sa, cfg, local))
        selectors_resolve(cfg->local_ts, &sa->path.local, local);
    if (!virtual_remote_ts(sa, cfg, remote))
        selectors_resolve(cfg->remote_ts, &sa->path.remote, remote);
    if (cfg->mode != MODE_TRANSPORT)
        return;
    // Packets keep their addresses in transport mode: they are the endpoints' own (RFC 4301 section 5.1.2).
    struct ts_list host = {.count = 1, .t = {{.port_hi = 65535}}}, end, all;
    ts_list_copy(&all, local);
    selectors_resolve(&host, &sa->path.local, &end);
    selectors_narrow(&all, &end, local);
    ts_list_copy(&all, remote);
    selectors_resolve(&host, &sa->path.remote, &end);
    selectors_narrow(&all, &end, remote);
}

void child_moved(struct child_sa *c)
{
    struct ike *ike = c->sa->ike;
    const struct net_path *p = &c->sa->path;
    c->moved = c->state == CHILD_INSTALLING; // path may not have heard of it yet: said once more then
    if (c->state == CHILD_CREATED || c->state == CHILD_DELETED)
        return;
    struct msg_CHILD_ENDPOINT m = {.req = ++ike->next_req,
                                   .child_id = c->id,
                                   .local = p->local,
                                   .local_port = p->local_port,
                                   .remote = p->remote,
                                   .remote_port = p->remote_port,
                                   .udp_encap = c->sa->nat.local || c->sa->nat.remote};
    ipc_send(ike->chan[ROOM_PATH], MSG_CHILD_ENDPOINT, &m);
}

bool child_narrow(struct ike_sa *sa, const struct child_config *cfg, const struct ts_list *their_local,
                  const struct ts_list *their_remote, struct ts_list *local, struct ts_list *remote)
{
    struct ts_list mine, theirs;
    child_wanted_ts(sa, cfg, &mine, &theirs);
    return selectors_narrow(&mine, their_local, local) && selectors_narrow(&theirs, their_remote, remote);
}

uint8_t child_protocol(const struct child_sa *c)
{
    return c->suite->protocol == PROTO_AH ? PROTO_AH : PROTO_ESP;
}

void child_log_suite(const struct suite *s)
{
    char text[200];
    suite_print(s, s->protocol, text, sizeof(text));
    LOGF(CFG, 1, "selected proposal: %s", text);
}

// What is rekeyed goes on under the policy that it has, where an edit has made another one of its child, or
// of its peer: path keeps that as long as an SA of it is there. Where its connection has been renamed, it
// comes to be of the new one's.
static uint32_t policy_of(const struct child_sa *c, const struct child_sa *old)
{
    struct ike *ike = c->sa->ike;
    uint32_t now = conn_numbers(ike, c->conn, c->cfg)->policy_id;
    if (!old || !old->policy_id || old->lost) // what path kept for its sake is gone
        return now;
    const struct conn *live = conn_find(ike, c->sa->conn->cfg.name);
    const struct child_config *k = live ? conn_child(live, c->cfg->name) : NULL;
    return k && live->peer == c->sa->conn->peer && conn_takes(live, k, c)
               ? live->numbers[k - live->cfg.children].policy_id
               : old->policy_id;
}

static void describe(const struct child_sa *c, const struct child_sa *old, struct msg_CHILD *m)
{
    const struct ike_sa *sa = c->sa;
    const struct child_config *cfg = c->cfg;
    memset(m, 0, sizeof(*m));
    m->child_id = c->id;
    m->ike_id = sa->id;
    snprintf(m->conn, sizeof(m->conn), "%s", sa->conn->cfg.name);
    snprintf(m->name, sizeof(m->name), "%s", cfg->name);
    m->reqid = c->reqid;
    m->policy_id = policy_of(c, old);
    m->mode = cfg->mode;
    m->spi_in = c->spi_in;
    m->spi_out = c->spi_out;
    m->encr = c->suite->encr.id;
    m->encr_bits = c->suite->encr.key_bits;
    m->integ = c->suite->integ.id;
    m->esn = c->suite->esn.id == TRID_ESN;
    m->udp_encap = sa->nat.local || sa->nat.remote;
    m->local = sa->path.local;
    m->local_port = sa->path.local_port;
    m->remote = sa->path.remote;
    m->remote_port = sa->path.remote_port;
    ts_list_copy(&m->local_ts, c->local_ts);
    ts_list_copy(&m->remote_ts, c->remote_ts);
    m->hw_offload =
        cfg->hw_offload == OFFLOAD_DEFAULT ? (uint8_t)sa->ike->set.offload_default : cfg->hw_offload;
    m->replay_window = cfg->replay_window == UINT32_MAX ? sa->ike->set.replay_window : cfg->replay_window;
    m->copy_df = cfg->copy_df;
    m->copy_ecn = cfg->copy_ecn;
    m->copy_dscp_out = cfg->copy_dscp_out;
    m->copy_dscp_in = cfg->copy_dscp_in;
    m->tfc_padding = c->no_tfc ? 0 : cfg->tfc_padding;
    m->tfc_dummies = c->no_tfc ? 0 : cfg->tfc_dummies;
    m->rekey_bytes = lifetime_volume(cfg->rekey_bytes, cfg->rand_bytes);
    m->life_bytes = cfg->life_bytes;
    m->rekey_packets = lifetime_volume(cfg->rekey_packets, cfg->rand_packets);
    m->life_packets = cfg->life_packets;
    m->out_after = c->out_after;
    m->idle_s = cfg->inactivity;
    m->fence = sa->fence;
}

void child_install(struct child_sa *c, struct task *t, bool initiator, struct kex *k, reply_fn fn)
{
    struct ike *ike = c->sa->ike;
    struct msg_CHILD m;
    uint8_t buf[8192], more[KEX_MORE_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    bool with_ke = c->suite->ke.id != 0;
    const struct child_sa *old = t->child_id != c->id ? child_by_id(ike, t->child_id) : NULL; // rekeyed
    describe(c, old, &m);
    c->policy_id = m.policy_id;
    msg_write(&w, MSG_CHILD, &m);
    c->state = CHILD_INSTALLING;
    c->path_life = ike->again.lives;
    struct msg_CHILD_DERIVE q = {.req = ask_new_child(t, c->id, fn),
                                 .ike_id = c->sa->id,
                                 .ke_id = with_ke ? k->first.ke_id : 0,
                                 .peer_public = with_ke ? k->first.peer : slice_of(NULL, 0),
                                 .ni = ike_kex_ni(k, initiator),
                                 .nr = ike_kex_nr(k, initiator),
                                 .initiator = initiator,
                                 .child = wr_written(&w),
                                 .more = with_ke ? ike_kex_more(k, more) : slice_of(NULL, 0)};
    if (with_ke)
        ike_kex_used(k);
    ask(ike, ROOM_KEYS, q.req, MSG_CHILD_DERIVE, &q);
}

bool child_is_up(const struct child_sa *c)
{
    return (c->state == CHILD_INSTALLED || c->state == CHILD_REKEYING) && !c->replaced && !c->undeleted;
}

bool child_is_to_go(const struct child_sa *c)
{
    return c->job || c->undeleted || task_is_asked(c->sa, TASK_DELETE_CHILD, c->id);
}

// Selectors that stay as long as the CHILD SA does take as much as there are of them; without memory for that
// they keep what they have.
static void settle_ts(struct ts_list **l)
{
    struct ts_list *small = ts_list_dup(*l);
    if (!small)
        return;
    free(*l);
    *l = small;
}

// Without what lies between members, as share_own_id.
static void share_own_ts(struct child_sa *c)
{
    struct ts_list clean, *once;
    if (c->own_shared)
        return;
    memset(&clean, 0, sizeof(clean));
    clean.count = c->local_ts->count;
    memcpy(clean.t, c->local_ts->t, clean.count * sizeof(clean.t[0]));
    if (!(once = shared_get(&c->sa->ike->shared, &clean, ts_list_octets(&clean)))) {
        settle_ts(&c->local_ts);
        return;
    }
    free(c->local_ts);
    c->local_ts = once;
    c->own_shared = true;
}

void child_installed(struct child_sa *c, uint32_t old)
{
    char lts[SELECTORS_TEXT], rts[SELECTORS_TEXT];
    struct child_sa *before = old ? child_by_id(c->sa->ike, old) : NULL;
    c->state = CHILD_INSTALLED;
    share_own_ts(c);
    settle_ts(&c->remote_ts);
    c->installed_at = loop_now(c->sa->ike->loop);
    COUNT(c->sa->ike, child_installed);
    LOGF_SA(IKE, 0, c, "CHILD_SA %s{%u} established with SPIs %08x_i %08x_o and TS %s === %s", c->cfg->name,
            c->id, c->spi_in, c->spi_out, selectors_print(c->local_ts, lts, sizeof(lts)),
            selectors_print(c->remote_ts, rts, sizeof(rts)));
    bool lost = c->path_life != c->sa->ike->again.lives; // path said so, and died
    counts_child_up(c, true);
    counts_child_installed(c);
    c->sa->alone = false;
    lifetime_child(c);
    if (lost) {
        path_again_lose(c);
        c->rekey_at = c->installed_at;
        lifetime_child_arm(c);
    }
    if (c->moved)
        child_moved(c);
    c->sa->ike->events->child_up(c, before && before->announced ? before : NULL);
}

// --- rekeying ---

enum { DELETE_WAIT_MS = 60000, LOSER_WAIT_MS = 10000, RETRY_MS = 2000, RETRY_LOST_MS = 250, LOST_TRIES = 8 };

// after: 0, it sends from now on.
static void let_send(struct child_sa *c, uint32_t after)
{
    struct ike *ike = c->sa->ike;
    if (!after && !c->out_after) // otherwise path has to hear it: by itself it forgets who was waited for
        return;
    c->out_after = after;
    ipc_send(ike->chan[ROOM_PATH], MSG_CHILD_OUTBOUND,
             &(struct msg_CHILD_OUTBOUND){.req = ++ike->next_req, .child_id = c->id, .after = after});
}

// The peer has let go of it; it still receives for a while, and its successor may go before it does.
void child_send_no_more(struct child_sa *c)
{
    let_send(c, c->id);
}

void child_use_outbound(struct child_sa *c)
{
    let_send(c, 0);
}

void child_step_aside(struct child_sa *c, struct child_sa *other)
{
    if (other->out_after == c->id)
        let_send(other, 0);
    let_send(c, other->id);
}

// An operator wants old closed: what came in its place meanwhile goes instead.
static void close_instead(struct child_sa *old, struct child_sa *next)
{
    if (!old->job || !next || next->job)
        return;
    next->job = old->job;
    next->unwanted = true;
    old->job = 0;
    exchange_queue(next->sa, TASK_DELETE_CHILD, next->id);
}

// It has a successor: whoever made that one deletes it, and nobody misses it.
static void replaced(struct child_sa *old, uint32_t successor)
{
    struct loop *l = old->sa->ike->loop;
    if (old->state == CHILD_INSTALLED || old->state == CHILD_REKEYING)
        old->state = CHILD_REKEYED;
    COUNT(old->sa->ike, child_rekeyed);
    old->replaced = true;
    old->successor = successor;
    counts_child_up(old, false);
    counts_child_rekeyed(old);
    close_instead(old, child_by_id(old->sa->ike, successor));
    job_step(old->sa->ike, old->job, true, "");
    old->job = 0;
    if (old->state == CHILD_DELETED) // by the peer, quicker than the answer to our own rekeying: it lingers
        return;
    old->life_at = loop_now(l) + DELETE_WAIT_MS; // where the peer forgets to
    lifetime_child_arm(old);
}

// Of a peer whose own rekeying of old has lost to ours: it deletes what that made once it has our answer. If
// old went before that, it went in the middle of it: strongSwan then has no SA to send by until the next one.
static void delete_behind(struct child_sa *old, const struct child_sa *loser)
{
    struct loop *l = old->sa->ike->loop;
    if (!loser || old->state != CHILD_REKEYED) {
        exchange_queue(old->sa, TASK_DELETE_CHILD, old->id);
        return;
    }
    old->loser = loser->id;
    old->life_at = loop_now(l) + LOSER_WAIT_MS;
    lifetime_child_arm(old);
}

static void loser_closed(const struct child_sa *c)
{
    for (struct child_sa *old = c->sa->children; old; old = old->next) {
        if (old->loser != c->id)
            continue;
        old->loser = 0;
        if (old->state == CHILD_REKEYED && !task_is_asked(c->sa, TASK_DELETE_CHILD, old->id))
            exchange_queue(c->sa, TASK_DELETE_CHILD, old->id);
    }
}

void child_rekeyed_by_peer(struct child_sa *old, struct child_sa *c)
{
    replaced(old, c ? c->id : 0);
    if (!c)
        return;
    LOGF_SA(IKE, 1, old, "CHILD_SA %s{%u} is replaced by {%u}, the peer deletes it", old->cfg->name, old->id,
            c->id);
}

void child_rekeyed(struct child_sa *c, struct child_sa *old, const struct nonce *lowest,
                   const struct rekey_race *race)
{
    struct ike_sa *sa = c->sa;
    struct child_sa *other = race->child_id ? child_by_id(sa->ike, race->child_id) : NULL;
    if (!race->child_id || !nonce_lower(lowest, &race->lowest)) {
        if (old) {
            replaced(old, c->id);
            delete_behind(old, other);
        }
        if (other) // the peer made it, and deletes it
            other->successor = c->id;
        child_use_outbound(c);
        return;
    }
    // 2.8.1: what the lowest of the four nonces made is closed by the end that made it
    LOGF_SA(IKE, 1, c, "both ends rekeyed at once: CHILD_SA %s{%u} goes, {%u} stays", c->cfg->name, c->id,
            race->child_id);
    if (old)
        child_rekeyed_by_peer(old, other);
    child_send_no_more(c);
    replaced(c, race->child_id);
    exchange_queue(sa, TASK_DELETE_CHILD, c->id);
}

void child_retry_rekey(struct child_sa *old)
{
    struct loop *l = old->sa->ike->loop;
    uint32_t r = 0;
    cr_random(&r, sizeof(r));
    uint64_t base = old->lost ? RETRY_LOST_MS : RETRY_MS; // nothing goes by that one meanwhile
    if (old->state == CHILD_REKEYING)
        old->state = CHILD_INSTALLED;
    old->rekey_at = loop_now(l) + base + r % (2 * base); // apart from the peer, which may be as busy
    lifetime_child_arm(old);
    if (old->lost && ++old->refusals == LOST_TRIES)
        path_again_refused(old);
}

// What let c go on sending does so itself. Another successor's peer may still be on its way to it.
static void hand_over_outbound(const struct child_sa *c)
{
    for (struct child_sa *k = c->sa->children; k; k = k->next)
        if (child_is_up(k) && k->out_after == c->id)
            child_use_outbound(k);
}

// The end that made the successor takes it back: the old one, which it has not deleted, goes on.
static void back_from(const struct child_sa *successor)
{
    for (struct child_sa *old = successor->sa->children; old; old = old->next) {
        if (old->state != CHILD_REKEYED || old->successor != successor->id)
            continue;
        LOGF_SA(IKE, 1, old, "the peer takes CHILD_SA {%u} back, {%u} goes on", successor->id, old->id);
        old->state = CHILD_INSTALLED;
        old->replaced = false;
        old->successor = 0;
        counts_child_up(old, true);
        old->sa->ike->events->child_back(old);
        lifetime_child(old);
    }
}

void child_closed(struct child_sa *c)
{
    struct loop *l = c->sa->ike->loop;
    loser_closed(c);
    if (!c->replaced) // otherwise it has a successor of its own, and what it followed still goes
        back_from(c);
    if (!c->replaced || c->state == CHILD_CREATED) {
        child_destroy(c);
        return;
    }
    hand_over_outbound(c);
    child_send_no_more(c);
    c->state = CHILD_DELETED;
    timer_set(l, &c->timer, loop_now(l) + (uint64_t)c->sa->ike->set.delete_rekeyed_delay * 1000);
}
