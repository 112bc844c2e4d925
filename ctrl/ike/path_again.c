// SPDX-License-Identifier: Apache-2.0
// See path_again.h. Written messages are held, in their order, and no secret is in any: keys sends those to
// path by itself.
#include "ctrl/ike/path_again.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/datagram.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/load.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/virtual.h"
#include "ctrl/lib/log.h"

enum {
    HELD_OCTETS = 16 << 20, // of messages
    CAME_OCTETS = 2 << 20,  // of datagrams,
    CAME_MOST = 1024,       // and as many
    REKEYS_A_MS = 25,       // begun, so that no peer's socket overflows by them
};

struct held_message {
    struct held_message *next;
    enum room to;
    size_t len;
    uint8_t octets[];
};
struct held_datagram {
    struct held_datagram *next;
    struct net_path path;
    size_t len;
    uint8_t octets[];
};

// ---- what waits

int path_again_hold(struct ike *ike, enum room to, enum msg_type t, const void *m)
{
    struct path_again *a = &ike->again;
    uint8_t *buf = malloc(IPC_MAX_MESSAGE);
    struct writer w = writer_of(buf, buf ? IPC_MAX_MESSAGE : 0);
    if (buf)
        msg_write(&w, t, m);
    bool fits = buf && !w.bad && a->held_octets + w.len <= HELD_OCTETS;
    struct held_message *h = fits ? malloc(sizeof(*h) + w.len) : NULL;
    if (h) {
        *h = (struct held_message){.to = to, .len = w.len};
        memcpy(h->octets, buf, w.len);
        *(a->last ? &a->last->next : &a->first) = h;
        a->last = h;
        a->held_octets += w.len;
    }
    free(buf);
    return h ? 0 : -ENOMEM;
}

static struct held_message *take_message(struct path_again *a)
{
    struct held_message *h = a->first;
    if (!h)
        return NULL;
    a->first = h->next;
    a->last = a->first ? a->last : NULL;
    a->held_octets -= h->len;
    return h;
}

bool path_again_hold_datagram(struct ike *ike, const struct net_path *path, struct slice d)
{
    struct path_again *a = &ike->again;
    if (!a->away || ike->stopping)
        return false;
    bool fits = a->came_count < CAME_MOST && a->came_octets + d.len <= CAME_OCTETS;
    struct held_datagram *h = fits ? malloc(sizeof(*h) + d.len) : NULL;
    if (!h) { // as a full socket does it; it is asked again
        COUNT(ike, dropped_limit);
        return true;
    }
    *h = (struct held_datagram){.path = *path, .len = d.len};
    memcpy(h->octets, d.p, d.len);
    *(a->last_came ? &a->last_came->next : &a->came) = h;
    a->last_came = h;
    a->came_octets += d.len;
    a->came_count++;
    return true;
}

static struct held_datagram *take_datagram(struct path_again *a)
{
    struct held_datagram *h = a->came;
    if (!h)
        return NULL;
    a->came = h->next;
    a->last_came = a->came ? a->last_came : NULL;
    a->came_octets -= h->len;
    a->came_count--;
    return h;
}

void path_again_end(struct ike *ike)
{
    struct path_again *a = &ike->again;
    struct held_message *h;
    struct held_datagram *d;
    timer_stop(ike->loop, &a->go_on);
    a->away = false;
    while ((h = take_message(a)) != NULL)
        free(h);
    while ((d = take_datagram(a)) != NULL)
        free(d);
}

// ---- it is gone

// What the last one blocked for it blocks on meanwhile: of an end whose address no policy knows, or of a
// connection that is loaded no more, nothing else says that it is protected.
static bool is_guarded(const struct child_sa *c)
{
    const struct conn *live = conn_find(c->sa->ike, c->sa->conn->cfg.name);
    return !live || !conn_protects(live, c);
}

void path_again_lose(struct child_sa *c)
{
    c->lost = true;
    counts_child_lost(c);
    if (c->guarded || !is_guarded(c))
        return;
    c->guarded = true;
    c->sa->ike->again.guarded++;
}

void path_again_gone(struct child_sa *c)
{
    struct ike *ike = c->sa->ike;
    if (!c->guarded)
        return;
    c->guarded = false;
    if (!--ike->again.guarded)
        path_again_whole(ike);
}

void path_again_lost(struct ike *ike)
{
    struct path_again *a = &ike->again;
    unsigned n = 0;
    a->away = true;
    a->sending = false;
    a->lives++;
    timer_stop(ike->loop, &a->go_on);
    for (struct ike_sa *sa = ike->sas; sa; sa = sa->next)
        for (struct child_sa *c = sa->children; c; c = c->next, n++)
            if (c->state != CHILD_CREATED && c->state != CHILD_INSTALLING)
                path_again_lose(c);
    ask_fail_path(ike);
    LOGF(KNL, 0, "the path process is gone, and with it %u CHILD_SAs; IKE_SAs go on", n);
}

// ---- it is there again

void path_again_here(struct ike *ike)
{
    ike->again.died = false;
    if (ike->stopping)
        return;
    if (!ike->again.away) // it was not missed yet
        path_again_lost(ike);
    conn_apply_all(ike);
}

// By their timers: what is up and cannot be rekeyed now is looked at again (expiry_rekey).
static void rekey_all(struct ike *ike)
{
    uint64_t now = loop_now(ike->loop);
    unsigned n = 0;
    for (struct ike_sa *sa = ike->sas; sa; sa = sa->next)
        for (struct child_sa *c = sa->children; c; c = c->next) {
            if (!c->lost || !child_is_up(c))
                continue;
            c->rekey_at = now + n++ / REKEYS_A_MS;
            c->refusals = 0;
            lifetime_child_arm(c);
        }
    LOGF(KNL, 1, "the path process is there again: %u CHILD_SAs are made anew", n);
}

static void send_held(struct ike *ike)
{
    struct held_message *h;
    while ((h = take_message(&ike->again)) != NULL) {
        int rc = ipc_send_written(ike->chan[h->to], slice_of(h->octets, h->len));
        if (rc) // its channel tells so, too, and what was asked by it fails with that
            LOGF(DMN, 1, "what waited for path cannot be sent: %s", strerror(-rc));
        free(h);
    }
}

static void receive_held(struct ike *ike)
{
    struct held_datagram *d;
    while (!ike->again.away && (d = take_datagram(&ike->again)) != NULL) {
        ike_receive(ike, &d->path, slice_of(d->octets, d->len));
        free(d);
    }
}

// Of an ike that follows another one ctl says what it has: before, it cannot know what it lacks.
static bool has_all(const struct ike *ike)
{
    return !ike->partial && !ike->again.missing && !ike->again.guarded && conn_all_applied(ike);
}

static void tell_open(struct ike *ike)
{
    bool whole = has_all(ike);
    ike->again.lacks = !whole;
    ipc_send(ike->chan[ROOM_PATH], MSG_PATH_OPEN, &(struct msg_PATH_OPEN){.whole = whole});
}

static void go_on(struct timer *t)
{
    struct ike *ike = t->ctx;
    virtual_tell_again(ike);
    tell_open(ike);
    ike->again.away = false;
    ask_held_sent(ike);
    send_held(ike);
    rekey_all(ike);
    receive_held(ike);
}

// Out of the loop: whoever hears of the last answer is still at work.
void path_again_applied(struct ike *ike)
{
    ike->again.go_on.fire = go_on;
    ike->again.go_on.ctx = ike;
    timer_set(ike->loop, &ike->again.go_on, loop_now(ike->loop));
}

// Not as the daemon ends: what its SAs protected stays blocked.
void path_again_whole(struct ike *ike)
{
    if (!ike->stopping && !ike->again.away && ike->again.lacks && has_all(ike))
        tell_open(ike);
}

void path_again_told(struct ike *ike, bool missing)
{
    ike->again.missing = missing;
    if (!ike->again.away)
        tell_open(ike);
}

void path_again_refused(struct child_sa *c)
{
    struct ike_sa *sa = c->sa;
    LOGF(KNL, 0, "CHILD_SA %s{%u} cannot be made anew: %s", c->cfg->name, c->id,
         sa->initiator ? "another IKE_SA is made in the place of its own" : "closing it");
    if (sa->initiator)
        sa->ike->events->child_cannot_rekey(c);
    else
        exchange_queue(sa, TASK_DELETE_CHILD, c->id);
}
