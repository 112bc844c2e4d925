// SPDX-License-Identifier: Apache-2.0
// The ike room put together: its channels, what comes in from each, and its end.
#include "ctrl/ike/room.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/crypto.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/control.h"
#include "ctrl/ike/creds.h"
#include "ctrl/ike/datagram.h"
#include "ctrl/ike/edition.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/expiry.h"
#include "ctrl/ike/fetching.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/invalid_spi.h"
#include "ctrl/ike/jobs.h"
#include "ctrl/ike/load.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/pools.h"
#include "ctrl/ike/resume.h"
#include "ctrl/ike/resume_ticket.h"
#include "ctrl/ike/revive.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/ways.h"
#include "ctrl/ike/standing.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/tls.h"
#include "ctrl/ike/wiring.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"

static void rebound(struct ike_sa *sa, const struct msg_CHILD_EVENT *m)
{
    struct net_path path = sa->path;
    path.remote = m->remote;
    path.remote_port = m->remote_port;
    if (path.remote.family == sa->path.remote.family && path.remote_port && sa_moved(sa, &path))
        expiry_moved(sa);
}

static void limit(struct child_sa *c, const char *what)
{
    log_set_context(c->sa->conn->cfg.name, c->sa->id);
    LOGF_SA(KNL, 1, c, "CHILD_SA %s{%u} %s, rekeying it", c->cfg->name, c->id, what);
    expiry_rekey(c);
    log_set_context("", 0);
}

// Nobody misses it; where its policy is trapped, a packet brings it back.
static void idle(struct child_sa *c)
{
    if (!child_is_up(c))
        return;
    log_set_context(c->sa->conn->cfg.name, c->sa->id);
    LOGF_SA(IKE, 1, c, "CHILD_SA %s{%u} has been idle for %u s, closing it", c->cfg->name, c->id,
            c->cfg->inactivity);
    revive_forget(c->sa->ike, c->sa->conn->cfg.name, c->cfg->name);
    expiry_close(c);
    log_set_context("", 0);
}

static void child_event(struct ike *ike, const struct msg_CHILD_EVENT *m)
{
    struct child_sa *c = child_by_id(ike, m->child_id);
    if (!c)
        return;
    switch (m->event) {
    case CHILD_EVENT_TRAFFIC_IN: sa_alive(c->sa); break;
    case CHILD_EVENT_HARD_LIMIT: expiry_limit(c, ""); break;
    case CHILD_EVENT_SOFT_LIMIT: limit(c, "reached its soft limit"); break;
    case CHILD_EVENT_MOVED: limit(c, "left a card that failed"); break;
    case CHILD_EVENT_IDLE: idle(c); break;
    case CHILD_EVENT_REBOUND: rebound(c->sa, m); break;
    default: break;
    }
}

static void addrs_changed(struct ike *ike)
{
    conn_addrs_changed(ike);
    mobike_addrs_changed(ike);
    ways_addrs_changed(ike);
    revive_addrs_changed(ike);
}

// It came to path, together with others of the same peer.
static void datagram(struct ike *ike, const struct msg_IKE_DATAGRAM *m)
{
    struct net_path path = {.local = m->local,
                            .remote = m->remote,
                            .local_port = ike_settings(ike)->port_nat_t,
                            .remote_port = m->remote_port,
                            .nat_t = true};
    if (settings_use_index(ike_settings(ike), m->interface))
        ike_receive(ike, &path, m->datagram);
}

static void from_path(struct ike *ike, enum msg_type t, const union msg *m)
{
    if (t == MSG_RESULT)
        ask_answer(ike, m->RESULT.req, t, m);
    else if (t == MSG_ACQUIRE)
        control_acquire(ike, &m->ACQUIRE);
    else if (t == MSG_ADDRS_CHANGED)
        addrs_changed(ike);
    else if (t == MSG_CHILD_EVENT)
        child_event(ike, &m->CHILD_EVENT);
    else if (t == MSG_IKE_DATAGRAM)
        datagram(ike, &m->IKE_DATAGRAM);
    else if (t == MSG_UNKNOWN_SPI)
        invalid_spi_seen(ike, &m->UNKNOWN_SPI);
}

static void from_keys(struct ike *ike, enum msg_type t, const union msg *m)
{
    switch (t) {
    case MSG_RESULT: ask_answer(ike, m->RESULT.req, t, m); break;
    case MSG_KE_PUBLIC: ask_answer(ike, m->KE_PUBLIC.req, t, m); break;
    case MSG_IKE_KEYS: ask_answer(ike, m->IKE_KEYS.req, t, m); break;
    case MSG_TICKET_IS: ask_answer(ike, m->TICKET_IS.req, t, m); break;
    case MSG_TICKET_STATE: ask_answer(ike, m->TICKET_STATE.req, t, m); break;
    case MSG_PPK_CONFIRM_IS: ask_answer(ike, m->PPK_CONFIRM_IS.req, t, m); break;
    case MSG_AUTH_PROVEN: ask_answer(ike, m->AUTH_PROVEN.req, t, m); break;
    case MSG_AUTH_OCTETS_IS: ask_answer(ike, m->AUTH_OCTETS_IS.req, t, m); break;
    case MSG_KEY_HAVE: // what keys has it tells the one that follows another once
        if (!creds_have(ike->creds, &m->KEY_HAVE) && ike->partial)
            loop_stop(ike->loop);
        break;
    case MSG_EAP_CHALLENGE: ask_answer(ike, m->EAP_CHALLENGE.req, t, m); break;
    case MSG_EAP_MSCHAP_IS: ask_answer(ike, m->EAP_MSCHAP_IS.req, t, m); break;
    case MSG_EAP_TLS_SIGNED: ask_answer(ike, m->EAP_TLS_SIGNED.req, t, m); break;
    case MSG_EAP_ANSWER_IS: ask_answer(ike, m->EAP_ANSWER_IS.req, t, m); break;
    case MSG_AUTH_IS: ask_answer(ike, m->AUTH_IS.req, t, m); break;
    default: LOGF(DMN, 1, "message %s from keys is not for ike, ignored", msg_name(t)); break;
    }
}

static void closed(void *ctx, struct ipc_chan *c);
static void end_wait(struct ike *ike);
static void lose(struct ike *ike);

// A room that died is there again; what was asked of it before has no answer.
static void attach_again(struct ike *ike, enum room room, int fd)
{
    if (!room_comes_again(room)) {
        close(fd);
        return;
    }
    if (ike->chan[room])
        closed(ike, ike->chan[room]);
    if (ike_attach(ike, room, fd) < 0) {
        close(fd);
        if (room == ROOM_KEYS || room == ROOM_PATH) // which do not miss it
            lose(ike);
        return;
    }
    LOGF(DMN, 1, "the %s process is there again", ipc_peer(ike->chan[room]));
    if (room == ROOM_PATH) {
        end_wait(ike);
        path_again_here(ike);
    }
}

// Another one comes: its channel is no loss of ours.
static void died(struct ike *ike, const struct msg_ROOM_PID *m)
{
    if (m->room != ROOM_PATH || m->pid)
        return;
    ike->again.died = true;
    end_wait(ike);
}

static void message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct ike *ike = ctx;
    if (c == ike->chan[ROOM_KEYS])
        from_keys(ike, t, m);
    else if (c == ike->chan[ROOM_PATH])
        from_path(ike, t, m);
    else if (c == ike->chan[ROOM_FETCH] && t == MSG_FETCHED)
        fetch_got(ike, &m->FETCHED);
    else if (c == ike->chan[ROOM_CTL])
        control_message(ike, t, m);
    else if (t == MSG_CHANNEL)
        attach_again(ike, (enum room)m->CHANNEL.room, ipc_take_fd(c));
    else if (t == MSG_ROOM_PID)
        died(ike, &m->ROOM_PID);
    else if (t == MSG_SHUTDOWN)
        control_shutdown(ike);
    else if (t == MSG_SETTINGS && m->SETTINGS.settings.len == sizeof(ike->set))
        memcpy(&ike->set, m->SETTINGS.settings.p, sizeof(ike->set));
    standing_look(ike);
    log_set_context("", 0);
}

static void no_end_came(struct timer *t)
{
    struct ike *ike = t->ctx;
    LOGF(DMN, 0,
         "a channel is lost to it that nobody gives it again: it ends, and the next one is given another");
    loop_stop(ike->loop);
}

// Of keys or path, who took nothing more, or for which there was no memory; unless the daemon ends, or it is
// ended with keys.
static void lose(struct ike *ike)
{
    enum { ALONE_MS = 2000 }; // in which the daemon ends, when it does
    if (ike->stopping)
        return;
    ike->shutdown.fire = no_end_came;
    ike->shutdown.ctx = ike;
    timer_set(ike->loop, &ike->shutdown, loop_now(ike->loop) + ALONE_MS);
}

// That of path is found again; while that of keys is lost, too, it goes on.
static void end_wait(struct ike *ike)
{
    if (!ike->stopping && ike->shutdown.fire == no_end_came && ike->chan[ROOM_KEYS])
        timer_stop(ike->loop, &ike->shutdown);
}

static void closed(void *ctx, struct ipc_chan *c)
{
    struct ike *ike = ctx;
    for (int room = 0; room < ROOM_COUNT; room++) {
        if (ike->chan[room] != c)
            continue;
        ike->chan[room] = NULL;
        if (room == ROOM_KEYS || (room == ROOM_PATH && !ike->again.died))
            lose(ike);
        if (room == ROOM_KEYS)
            ike->keyless = !ike->stopping;
        if ((room == ROOM_KEYS || room == ROOM_PATH) && ike->stopping)
            ask_fail_all(ike, room == ROOM_KEYS ? KEYS_GONE : PATH_GONE);
        else if (room == ROOM_PATH)
            path_again_lost(ike);
        else if (room == ROOM_FETCH)
            fetch_fail_all(ike, "the fetch process is gone");
        // One in the place of another that a neighbour had no memory to take comes again.
        if (room == ROOM_SUPER || (ike->partial && room != ROOM_FETCH))
            loop_stop(ike->loop);
    }
    ipc_close(c);
}

static const struct ipc_handler handler = {message, closed};

struct ike *ike_new(struct loop *l, const struct settings *s, const struct net *net)
{
    struct ike *ike = calloc(1, sizeof(*ike));
    if (!ike)
        return NULL;
    ike->loop = l;
    ike->set = *s;
    ike->net = *net;
    ike->events = &ike_events;
    ike->exchanges = ike_exchanges;
    ike->algs = cr_algs_new();
    ike->creds = creds_new();
    ike->pools = pools_new();
    if (!ike->algs || !ike->creds || !ike->pools || cr_random(&ike->peer_salt, sizeof(ike->peer_salt)) != 0) {
        cr_algs_free(ike->algs);
        creds_free(ike->creds);
        pools_free(ike->pools);
        free(ike);
        return NULL;
    }
    ike->conn_salt = ike->peer_salt;
    log_limit_init(&ike->log_limit, l, ike->peer_salt);
    return ike;
}

void ike_set_fence(struct ike *ike, const struct fence_page *page)
{
    ike->fence = page;
}

// path knows what the last ones made by number, and there are more numbers than one of them takes.
void ike_follow(struct ike *ike, uint32_t life, uint64_t conn_salt)
{
    enum { LIFE_AT = 24, LIVES = 256 };
    ike->next_id = ike->next_child = ike->next_policy = life % LIVES << LIFE_AT;
    ike->follows = ike->partial = life > 0;
    if (conn_salt)
        ike->conn_salt = conn_salt;
}

int ike_attach(struct ike *ike, enum room peer, int fd)
{
    ike->chan[peer] = ipc_open(ike->loop, fd, ROOM_IKE, peer, &handler, ike);
    return ike->chan[peer] ? 0 : -errno;
}

const struct settings *ike_settings(const struct ike *ike)
{
    return &ike->set;
}

struct ipc_chan *ike_channel(struct ike *ike, enum room peer)
{
    return ike->chan[peer];
}

void ike_receive(struct ike *ike, const struct net_path *path, struct slice datagram)
{
    if (!path_again_hold_datagram(ike, path, datagram))
        exchange_datagram(ike, path, datagram);
    log_set_context("", 0);
}

struct turned_away ike_turned_away(const struct ike *ike)
{
    static const enum counter those[] = {CNT_dropped_malformed, CNT_dropped_unknown,   CNT_dropped_state,
                                         CNT_dropped_limit,     CNT_dropped_integrity, CNT_cookies_sent};
    struct turned_away n = {.idle =
                                ike->counters[CNT_dropped_malformed] + ike->counters[CNT_dropped_unknown]};
    for (unsigned i = 0; i < sizeof(those) / sizeof(those[0]); i++)
        n.all += ike->counters[those[i]];
    return n;
}

void ike_clock_set(struct ike *ike)
{
    standing_clock_set(ike);
}

void ike_free(struct ike *ike)
{
    struct table_node *n;
    if (!ike)
        return;
    for (int room = 0; room < ROOM_COUNT; room++) {
        ipc_close(ike->chan[room]);
        ike->chan[room] = NULL;
    }
    ike->stopping = true;
    while (ike->sas)
        sa_destroy(ike->sas);
    if (ike->dead)
        ike->reaper.fire(&ike->reaper);
    timer_stop(ike->loop, &ike->reaper);
    timer_stop(ike->loop, &ike->starving);
    timer_stop(ike->loop, &ike->renewal);
    timer_stop(ike->loop, &ike->shutdown);
    log_limit_free(&ike->log_limit);
    path_again_end(ike);
    job_free_all(ike);
    revive_free(ike);
    standing_free(ike);
    fetch_drop_all(ike);
    tickets_free(ike);
    resume_free(ike);
    while ((n = table_pop(&ike->pending)) != NULL)
        free(n);
    while (ike->conns) {
        struct conn *c = ike->conns;
        conn_remove(ike, c);
        conn_unref(c);
    }
    struct table *tables[] = {
        &ike->by_id,   &ike->by_spi,    &ike->by_peer,    &ike->by_ends, &ike->children,   &ike->spis,
        &ike->pending, &ike->half_open, &ike->conn_names, &ike->counts,  &ike->conn_addrs, &ike->sa_conns,
        &ike->by_host, &ike->revives,   &ike->tasks,      &ike->fetches, &ike->strays};
    for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        table_free(tables[i]);
    hash_free(&ike->claims);
    creds_free(ike->creds);
    pools_free(ike->pools);
    tls_room_free(ike->tls);
    cr_algs_free(ike->algs);
    OPENSSL_cleanse(ike->secrets, sizeof(ike->secrets));
    free(ike);
}
