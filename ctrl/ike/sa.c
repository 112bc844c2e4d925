// SPDX-License-Identifier: Apache-2.0
// The life of an IKE SA: making, finding, establishing, liveness (RFC 7296 section 2.4),
// keepalives (RFC 3948 section 4) and its end. A destroyed SA leaves every table at once and is freed when
// the loop comes round.
#include "ctrl/ike/sa.h"

#include <ctype.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/fragments.h"
#include "ctrl/ike/eap.h"
#include "ctrl/ike/eap_client.h"
#include "ctrl/ike/eap_tls.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/own_auth.h"
#include "ctrl/ike/ppk_int.h"
#include "ctrl/ike/proof.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/mobike_paths.h"
#include "ctrl/ike/resume_session.h"
#include "ctrl/ike/resume_ticket.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/shared.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/virtual.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/fence.h"
#include "ctrl/lib/log.h"
#include "ctrl/pki/pki.h"

enum { REFUSAL_MS = 5000 }; // outlasts the first retransmission of charon's defaults

static struct ike_sa *of_node(void *n, size_t offset)
{
    return n ? (struct ike_sa *)(void *)((char *)n - offset) : NULL;
}

struct ike_sa *sa_by_id(struct ike *ike, uint32_t id)
{
    return of_node(table_get(&ike->by_id, id), offsetof(struct ike_sa, by_id));
}

struct ike_sa *sa_by_spi(struct ike *ike, uint64_t own)
{
    return of_node(table_get(&ike->by_spi, own), offsetof(struct ike_sa, by_spi));
}

uint64_t sa_own_spi(const struct ike_sa *sa)
{
    return sa->initiator ? sa->spi_i : sa->spi_r;
}

struct ike_sa *sa_by_peer(struct ike *ike, uint64_t spi_i, const struct net_path *path)
{
    struct ike_sa *sa = of_node(table_find(&ike->by_peer, peer_key(ike, spi_i, &path->remote)),
                                offsetof(struct ike_sa, by_peer));
    return sa && sa->spi_i == spi_i && addr_eq(&sa->path.remote, &path->remote) ? sa : NULL;
}

static uint64_t mix_id(uint64_t h, const struct identity *id)
{
    h = (h ^ id->type) * 0x100000001b3u;
    for (unsigned i = 0; i < id->len; i++)
        h = (h ^ (uint64_t)tolower(id->data[i])) * 0x100000001b3u; // names compare without case
    return (h ^ id->len) * 0x100000001b3u;
}

static uint64_t ends_key(const struct ike *ike, const struct identity *local, const struct identity *remote)
{
    return mix_id(mix_id(ike->peer_salt, local), remote);
}

bool sa_add_peer(struct ike_sa *sa)
{
    return table_add(&sa->ike->by_peer, &sa->by_peer, peer_key(sa->ike, sa->spi_i, &sa->path.remote));
}

const char *sa_label(const struct ike_sa *sa)
{
    struct ike_scratch *s = &sa->ike->scratch;
    snprintf(s->label, sizeof(s->label), "%s[%u]", sa->conn->cfg.name, sa->id);
    return s->label;
}

const char *sa_reason(const struct ike_sa *sa)
{
    return sa->why ? sa->why : "";
}

int sa_why(struct ike_sa *sa, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    free(sa->why);
    sa->why = strdup(text);
    return -1;
}

static uint64_t conn_key(const struct ike *ike, const char *name)
{
    uint64_t h = ~ike->peer_salt;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3u;
    return h;
}

struct ike_sa *sa_of_conn(struct ike *ike, const char *name, struct ike_sa *after)
{
    uint64_t key = conn_key(ike, name);
    struct table_node *n = after ? table_next(&after->by_conn) : table_find(&ike->sa_conns, key);
    for (; n; n = table_next(n)) {
        struct ike_sa *sa = of_node(n, offsetof(struct ike_sa, by_conn));
        if (strcmp(sa->conn->cfg.name, name) == 0)
            return sa;
    }
    return NULL;
}

void sa_set_conn(struct ike_sa *sa, struct conn *c)
{
    struct ike *ike = sa->ike;
    bool up = sa->counted;
    c->refs++;
    (void)counts_begin(ike, c); // without memory it is not counted
    counts_sa_up(sa, false);
    table_del(&ike->sa_conns, &sa->by_conn);
    conn_unref(sa->conn);
    sa->conn = c;
    if (sa->state == SA_CONNECTING)
        sa->fence = c->cfg.fence;
    counts_sa_up(sa, up);
    table_add(&ike->sa_conns, &sa->by_conn, conn_key(ike, c->cfg.name)); // takes no memory: as many as before
}

// What is read of an IKE SA before there is room for it.
static const struct identity nobody;
static const struct ike_sa_later nothing_later;
static const struct handshake_later nothing_of_hs;

static void *unwritten(const void *p)
{
    return (void *)(uintptr_t)p;
}

static bool has_room(const struct ike_sa *sa)
{
    return sa->later != &nothing_later;
}

static void free_name(struct identity *id)
{
    if (id != &nobody)
        free(id);
}

static void free_later(struct ike_sa *sa)
{
    if (!has_room(sa))
        return;
    mobike_free(sa);
    free(sa->later);
}

static void free_hs(struct handshake *hs)
{
    if (hs && hs->later != &nothing_of_hs)
        free(hs->later);
    free(hs);
}

static void free_sa(struct ike_sa *sa)
{
    free_hs(sa->hs);
    if (sa->own_shared)
        shared_put(sa->local_id);
    else
        free_name(sa->local_id);
    free_name(sa->remote_id);
    free(sa->vips);
    free(sa->why);
    suite_leave(&sa->suite);
    free_later(sa);
    free(sa);
}

static struct handshake *handshake_new(void)
{
    struct handshake *hs = calloc(1, sizeof(*hs));
    if (hs)
        hs->later = unwritten(&nothing_of_hs);
    return hs;
}

bool sa_room(struct ike_sa *sa)
{
    if (has_room(sa))
        return true;
    struct identity *local = calloc(1, sizeof(*local)), *remote = calloc(1, sizeof(*remote));
    struct ike_sa_later *later = calloc(1, sizeof(*later));
    struct handshake_later *of_hs = calloc(1, sizeof(*of_hs));
    if (!local || !remote || !later || !of_hs) {
        free(local);
        free(remote);
        free(later);
        free(of_hs);
        return false;
    }
    sa->local_id = local;
    sa->remote_id = remote;
    sa->later = later;
    later->sa = sa;
    sa->hs->later = of_hs;
    return true;
}

static struct ike_sa *allocate(bool initiator)
{
    struct ike_sa *sa = calloc(1, sizeof(*sa));
    if (!sa)
        return NULL;
    sa->suite = &suite_none;
    sa->later = unwritten(&nothing_later);
    sa->local_id = unwritten(&nobody);
    sa->remote_id = unwritten(&nobody);
    sa->hs = handshake_new();
    if (sa->hs && (!initiator || sa_room(sa)))
        return sa;
    free_sa(sa);
    return NULL;
}

struct ike_sa *sa_new(struct ike *ike, struct conn *conn, bool initiator, const struct net_path *path)
{
    struct ike_sa *sa = counts_begin(ike, conn) ? allocate(initiator) : NULL;
    uint64_t spi = 0;
    if (!sa)
        return NULL;
    while (spi == 0 || sa_by_spi(ike, spi))
        if (cr_random(&spi, sizeof(spi)) != 0)
            break;
    sa->ike = ike;
    sa->initiator = initiator;
    sa->path = *path;
    sa->id = ++ike->next_id;
    *(initiator ? &sa->spi_i : &sa->spi_r) = spi;
    if (!spi || !table_put(&ike->by_id, &sa->by_id, sa->id)) {
        free_sa(sa);
        return NULL;
    }
    if (!table_put(&ike->by_spi, &sa->by_spi, spi) ||
        !table_add(&ike->sa_conns, &sa->by_conn, conn_key(ike, conn->cfg.name))) {
        table_take(&ike->by_id, &sa->by_id);
        table_take(&ike->by_spi, &sa->by_spi);
        free_sa(sa);
        return NULL;
    }
    sa->conn = conn;
    sa->fence = conn->cfg.fence;
    sa->nat.pretends = conn->cfg.encap;
    conn->refs++;
    sa->hs->began_us = loop_now_us(ike->loop);
    sa->began_at = loop_now(ike->loop);
    sa->last_in = sa->last_out = loop_now(ike->loop);
    sa->next = ike->sas;
    if (ike->sas)
        ike->sas->prev = sa;
    ike->sas = sa;
    ike->sa_count++;
    return sa;
}

void early_free(struct early *e)
{
    while (e) {
        struct early *next = e->next;
        free(e);
        e = next;
    }
}

void handshake_free(struct ike_sa *sa)
{
    struct handshake *hs = sa->hs;
    if (!hs)
        return;
    ike_kex_forget(sa->ike, &hs->kex);
    free(hs->later->cookie);
    free(hs->peer_cas);
    free(hs->own_init);
    free(hs->peer_init);
    early_free(hs->early);
    free(hs->later->answer);
    own_auth_free(hs->later->own);
    proof_free(hs->later->proof);
    session_free(hs->later->resumption);
    ticket_answer_free(hs->later->ticket);
    rounds_free(hs->later->rounds);
    ppk_int_free(hs->later->ppk_int);
    eap_free(hs->later->eap);
    eap_client_free(hs->later->eap_client);
    eap_tls_free(hs->later->eap_tls);
    free_hs(hs);
    sa->hs = NULL;
}

bool handshake_anew(struct ike_sa *sa)
{
    const struct handshake_later *was = sa->hs->later;
    uint64_t began_us = sa->hs->began_us;
    struct handshake *hs = handshake_new();
    struct handshake_later *later = hs ? calloc(1, sizeof(*later)) : NULL;
    if (!later) {
        free_hs(hs);
        return false;
    }
    hs->later = later;
    later->child = was->child;
    later->unwanted = was->unwanted;
    hs->began_us = began_us;
    handshake_free(sa);
    sa->hs = hs;
    return true;
}

static void free_dead(struct timer *t)
{
    struct ike *ike = t->ctx;
    while (ike->dead) {
        struct ike_sa *sa = ike->dead;
        ike->dead = sa->next;
        exchange_clear(sa);
        conn_unref(sa->conn);
        free_sa(sa);
    }
}

static bool starves(const struct ike_sa *sa)
{
    return sa->without_memory || sa->ends_soon;
}

static void unlink_sa(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    sa_set_half_open(sa, false);
    table_take(&ike->by_id, &sa->by_id);
    table_take(&ike->by_spi, &sa->by_spi);
    table_del(&ike->by_peer, &sa->by_peer);
    table_del(&ike->sa_conns, &sa->by_conn);
    timer_stop(ike->loop, &sa->later->retransmit);
    sa_stop_work(sa);
    if (sa->prev)
        sa->prev->next = sa->next;
    else
        ike->sas = sa->next;
    if (sa->next)
        sa->next->prev = sa->prev;
    if (ike->starving_at == sa)
        ike->starving_at = sa->next;
    if (starves(sa))
        ike->starving_count--;
    ike->sa_count--;
}

static void not_up(struct ike_sa *sa)
{
    COUNT(sa->ike, failed);
    counts_sa_failed(sa);
}

static void forget_proof(struct ike_sa_later *l)
{
    session_free(l->session);
    l->session = NULL;
    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        pki_standing_unref(l->standing[i]);
        l->standing[i] = NULL;
    }
}

void sa_destroy(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    if (sa->state == SA_DEAD)
        return;
    bool was_up = sa->established_at != 0;
    ike->events->sa_ends(sa);
    virtual_release(sa); // before its policies may go
    while (sa->children)
        child_destroy(sa->children);
    if (was_up && !sa->replaced)
        ike->events->sa_down(sa);
    else if (!sa->replaced && !sa->successor)
        not_up(sa);
    unlink_sa(sa);
    sa->state = SA_DEAD;
    fragments_forget(sa, false);
    fragments_forget(sa, true);
    handshake_free(sa);
    ipc_send(ike->chan[ROOM_KEYS], MSG_IKE_FORGET,
             &(struct msg_IKE_FORGET){.ike_id = sa->id, .lost = sa->lost});
    cr_sk_free(sa->sk_in);
    cr_sk_free(sa->sk_out);
    sa->sk_in = sa->sk_out = NULL;
    if (has_room(sa))
        forget_proof(sa->later);
    sa->next = ike->dead;
    ike->dead = sa;
    ike->reaper.fire = free_dead;
    ike->reaper.ctx = ike;
    timer_set(ike->loop, &ike->reaper, loop_now(ike->loop));
    ike->events->sa_over(sa);
}

static void end_starved(struct ike_sa *sa)
{
    log_set_context(sa->conn->cfg.name, sa->id);
    if (!sa->ends_soon) {
        sa_why(sa, "no memory for its exchange");
        LOGF(IKE, 0, "%s ends: no memory for its exchange", sa_label(sa));
    }
    sa_destroy(sa);
    log_set_context("", 0);
}

// With one others may go, the next too, and others may come to starve: those that it has passed already have
// it begin again.
static void end_starving(struct timer *t)
{
    struct ike *ike = t->ctx;
    ike->starving_at = ike->sas;
    while (ike->starving_at && ike->starving_count) {
        struct ike_sa *sa = ike->starving_at;
        ike->starving_at = sa->next;
        if (starves(sa))
            end_starved(sa);
    }
    ike->starving_at = NULL;
}

static void starve(struct ike_sa *sa, bool *why)
{
    struct ike *ike = sa->ike;
    bool linked = sa->state != SA_DEAD;
    if (linked && !starves(sa))
        ike->starving_count++;
    *why = true;
    if (!linked)
        return;
    ike->starving.fire = end_starving;
    ike->starving.ctx = ike;
    timer_set(ike->loop, &ike->starving, loop_now(ike->loop));
}

void sa_out_of_memory(struct ike_sa *sa)
{
    starve(sa, &sa->without_memory);
}

void sa_end_soon(struct ike_sa *sa)
{
    starve(sa, &sa->ends_soon);
}

static void end_now(struct timer *t)
{
    sa_destroy(t->ctx);
}

// Counted as half-open, so that the limits for strangers hold for those who fail too.
void sa_refused(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    handshake_free(sa);
    ipc_send(ike->chan[ROOM_KEYS], MSG_IKE_FORGET, &(struct msg_IKE_FORGET){.ike_id = sa->id});
    sa->state = SA_REFUSED;
    counts_sa_failed(sa);
    sa_set_half_open(sa, true);
    sa->life.fire = end_now;
    sa->life.ctx = sa;
    timer_set(ike->loop, &sa->life, loop_now(ike->loop) + REFUSAL_MS);
}

// --- liveness and keepalives ---

static uint64_t keepalive_at(const struct ike_sa *sa) // 0: never
{
    uint64_t every = (uint64_t)sa->ike->set.keep_alive * 1000;
    return sa->nat.local && every ? sa->last_out + every : 0;
}

static void keepalive(struct ike_sa *sa)
{
    static const uint8_t byte = 0xff;
    if (!fence_open(sa->ike->fence, sa->fence))
        return;
    sa->ike->net.send(sa->ike->net.ctx, &sa->path, slice_of(&byte, 1), false);
    sa->last_out = loop_now(sa->ike->loop);
}

static void ask_whether_alive(struct ike_sa *sa)
{
    uint64_t every = (uint64_t)sa->conn->cfg.dpd_delay * 1000, now = loop_now(sa->ike->loop);
    sa->later->liveness_at = sa->last_in + every;
    if (sa->later->liveness_at > now)
        return;
    sa->later->liveness_at = now + every;
    if (sa->active) // a request on its way asks the same question
        return;
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 1, "sending DPD request");
    COUNT(sa->ike, dpd_sent);
    exchange_queue(sa, mobike_tells_first(sa) ? TASK_MOBIKE : TASK_LIVENESS, 0);
    log_set_context("", 0);
}

static void watch(struct timer *t)
{
    struct ike_sa *sa = t->ctx;
    uint64_t now = loop_now(sa->ike->loop), keep = keepalive_at(sa);
    if (keep && keep <= now)
        keepalive(sa);
    if (sa->later->liveness_at && sa->later->liveness_at <= now)
        ask_whether_alive(sa);
    if (sa->state != SA_DEAD)
        sa_watch(sa);
}

void sa_watch(struct ike_sa *sa)
{
    uint64_t at = keepalive_at(sa);
    if (sa->later->liveness_at && (!at || sa->later->liveness_at < at))
        at = sa->later->liveness_at;
    sa->later->watch.fire = watch;
    sa->later->watch.ctx = sa;
    if (at)
        timer_set(sa->ike->loop, &sa->later->watch, at);
    else
        timer_stop(sa->ike->loop, &sa->later->watch);
}

void sa_alive(struct ike_sa *sa)
{
    sa->last_in = loop_now(sa->ike->loop);
}

// Names that stay as long as the SA does take as much as they are long; without memory for that they keep
// what they have.
static void settle_id(struct identity **id)
{
    struct identity *small = identity_dup(*id);
    if (!small)
        return;
    free(*id);
    *id = small;
}

// Our own is the same for all that come by one connection. Without what lies between its members: equal ones
// are equal as octets.
static void share_own_id(struct ike_sa *sa)
{
    struct identity clean, *once;
    if (sa->own_shared)
        return;
    memset(&clean, 0, sizeof(clean));
    clean.type = sa->local_id->type;
    clean.len = sa->local_id->len;
    memcpy(clean.data, sa->local_id->data, clean.len);
    if (!(once = shared_get(&sa->ike->shared, &clean, identity_octets(&clean)))) {
        settle_id(&sa->local_id);
        return;
    }
    free(sa->local_id);
    sa->local_id = once;
    sa->own_shared = true;
}

void sa_up(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    share_own_id(sa);
    settle_id(&sa->remote_id);
    sa->state = SA_ESTABLISHED;
    counts_sa_up(sa, true);
    if (!table_add(&ike->by_ends, &sa->later->by_ends, ends_key(ike, sa->local_id, sa->remote_id)) ||
        !table_add(&ike->by_host, &sa->later->by_host, peer_key(ike, 0, &sa->path.remote)))
        LOGF(IKE, 0, "no memory to find IKE_SA %s by its identities", sa_label(sa));
    sa->established_at = loop_now(ike->loop) ? loop_now(ike->loop) : 1;
    if (!sa->later->line_at) {
        sa->later->line_at = sa->established_at;
        sa->line_ours = sa->initiator;
    }
    sa->later->liveness_at =
        sa->conn->cfg.dpd_delay ? loop_now(ike->loop) + (uint64_t)sa->conn->cfg.dpd_delay * 1000 : 0;
    sa_watch(sa);
    lifetime_ike(sa);
}

void sa_stop_work(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    counts_sa_up(sa, false);
    table_del(&ike->by_ends, &sa->later->by_ends);
    table_del(&ike->by_host, &sa->later->by_host);
    timer_stop(ike->loop, &sa->life);
    timer_stop(ike->loop, &sa->later->watch);
    timer_stop(ike->loop, &sa->later->aging);
}

void sa_established(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    char a[64], b[64], ida[ID_TEXT_MAX], idb[ID_TEXT_MAX];
    sa_set_half_open(sa, false);
    timer_stop(ike->loop, &sa->life);
    sa_up(sa);
    sa->later->handshake_us = (uint32_t)(loop_now_us(sa->ike->loop) - sa->hs->began_us);
    COUNT(ike, established);
    counts_sa_established(sa);
    LOGF(IKE, 0, "IKE_SA %s established between %s[%s]...%s[%s]", sa_label(sa),
         addr_print(&sa->path.local, a, sizeof(a)), identity_print(sa->local_id, ida, sizeof(ida)),
         addr_print(&sa->path.remote, b, sizeof(b)), identity_print(sa->remote_id, idb, sizeof(idb)));
    ike->events->sa_up(sa);
}

// --- the peer's address ---

void sa_alert(const struct ike_sa *sa, uint8_t what)
{
    sa->ike->events->alert(sa->ike, sa, what);
}

void sa_set_path(struct ike_sa *sa, const struct net_path *path)
{
    struct ike *ike = sa->ike;
    if (!path_eq(&sa->path, path))
        ike->events->sa_moves(sa, path);
    sa->path = *path;
    if (sa->state == SA_ESTABLISHED) {
        table_del(&ike->by_host, &sa->later->by_host);
        table_add(&ike->by_host, &sa->later->by_host, peer_key(ike, 0, &sa->path.remote));
    }
    for (struct child_sa *c = sa->children; c; c = c->next)
        child_moved(c);
}

// A NAT before the peer has another mapping for it now. Behind one ourselves we would follow whoever can
// repeat our packets (2.23). What waits for an answer, a DELETE too, goes there when it is repeated.
bool sa_moved(struct ike_sa *sa, const struct net_path *path)
{
    struct net_path now = sa->path;
    char a[64], b[64];
    bool up = sa->state == SA_ESTABLISHED || sa->state == SA_REKEYED || sa->state == SA_DELETING;
    bool elsewhere = !addr_eq(&sa->path.remote, &path->remote);
    if (!up || sa->nat.behind || !sa->nat.remote || (!elsewhere && sa->path.remote_port == path->remote_port))
        return false;
    LOGF(IKE, 0, "the peer's NAT mapping has changed: from %s[%u] to %s[%u]",
         addr_print(&sa->path.remote, a, sizeof(a)), sa->path.remote_port,
         addr_print(&path->remote, b, sizeof(b)), path->remote_port);
    now.remote = path->remote;
    now.remote_port = path->remote_port;
    sa_set_path(sa, &now);
    return elsewhere;
}

// --- its like ---

static struct ike_sa *between(const struct identity *local, const struct identity *remote,
                              enum sa_state state, const struct ike_sa *but, struct ike_sa *after)
{
    const struct ike *ike = but->ike;
    struct table_node *n =
        after ? table_next(&after->later->by_ends) : table_find(&ike->by_ends, ends_key(ike, local, remote));
    for (; n; n = table_next(n)) {
        struct ike_sa *o =
            ((struct ike_sa_later *)(void *)((char *)n - offsetof(struct ike_sa_later, by_ends)))->sa;
        if (o != but && o->state == state && identity_eq(o->local_id, local) &&
            identity_eq(o->remote_id, remote))
            return o;
    }
    return NULL;
}

bool sa_is_between(const struct identity *local, const struct identity *remote, const struct ike_sa *but)
{
    return between(local, remote, SA_ESTABLISHED, but, NULL) != NULL;
}

struct ike_sa *sa_twin_in(enum sa_state state, const struct ike_sa *sa, struct ike_sa *after)
{
    return between(sa->local_id, sa->remote_id, state, sa, after);
}

struct ike_sa *sa_twin(const struct ike_sa *sa, struct ike_sa *after)
{
    return sa_twin_in(SA_ESTABLISHED, sa, after);
}

struct ike_sa *sa_at_host(struct ike *ike, const struct addr *remote, struct ike_sa *after)
{
    struct table_node *n =
        after ? table_next(&after->later->by_host) : table_find(&ike->by_host, peer_key(ike, 0, remote));
    for (; n; n = table_next(n)) {
        struct ike_sa *o =
            ((struct ike_sa_later *)(void *)((char *)n - offsetof(struct ike_sa_later, by_host)))->sa;
        if (o->state == SA_ESTABLISHED && addr_eq(&o->path.remote, remote))
            return o;
    }
    return NULL;
}

void sa_delete(struct ike_sa *sa)
{
    if (sa->state == SA_CONNECTING || sa->state == SA_REFUSED) {
        sa_destroy(sa);
    } else if (sa->state == SA_ESTABLISHED || sa->state == SA_REKEYED) {
        sa->state = SA_DELETING;
        sa->ike->events->sa_goes(sa);
        exchange_first(sa, TASK_DELETE_IKE, 0);
    }
}
