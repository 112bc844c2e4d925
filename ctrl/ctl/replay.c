// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ctl/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ctl/configured.h"
#include "ctrl/ctl/ctl.h"
#include "ctrl/lib/log.h"

static void go_on(struct ctl *c);

// NULL: too many questions are under way; what has been asked goes on when one of them is answered.
static struct pending *question(struct ctl *c, void (*done)(struct pending *p, bool ok, const char *text))
{
    struct pending *p = ctl_ask(c, NULL, 0);
    if (p) {
        p->done = done;
        c->replay.asked++;
    }
    return p;
}

static bool answered(struct ctl *c, bool ok)
{
    if (!c->replay.active)
        return false;
    c->replay.asked--;
    c->replay.refused += !ok;
    return true;
}

// ---- certificates, authorities, pools

static void record_taken(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    if (!answered(c, ok))
        return;
    if (!ok)
        LOGF(CFG, 0, "ike does not take again what it had: %s", text);
    go_on(c);
}

static void send_record(struct pending *p, enum msg_type t, union msg *m)
{
    char name[NAME_MAX_LEN];
    struct reader r;
    switch (t) {
    case MSG_CERT_LOAD: m->CERT_LOAD.req = p->req; break;
    case MSG_AUTHORITY_LOAD: m->AUTHORITY_LOAD.req = p->req; break;
    default: m->POOL_LOAD.req = p->req; break;
    }
    struct ctl *c = p->ctl;
    ctl_send(p, ROOM_IKE, t, m);
    if (t != MSG_POOL_LOAD)
        return;
    r = reader_of(m->POOL_LOAD.pool);
    rd_cstr(&r, name, sizeof(name));
    ctl_tell_leases(c, name);
}

static bool next_record(struct ctl *c)
{
    enum msg_type t;
    union msg m;
    if (c->replay.records_told)
        return false;
    uint64_t number = c->configured ? configured_next(c->configured, c->replay.record, &t, &m) : 0;
    struct pending *p = number ? question(c, record_taken) : NULL;
    c->replay.records_told = !number;
    if (!p)
        return false;
    c->replay.record = number;
    send_record(p, t, &m);
    return true;
}

// ---- connections

static void conn_taken(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    if (!answered(c, ok))
        return;
    if (!ok) {
        LOGF(CFG, 0, "connection %s is not there again, and what it protects stays blocked: %s",
             (const char *)p->data, text);
        ctl_conn_lost(c, p->data);
    }
    go_on(c);
}

static const struct conn_entry *untold(const struct ctl *c)
{
    return c->replay.told ? c->replay.told->next : c->conns;
}

static bool next_conn(struct ctl *c)
{
    const struct conn_entry *e = untold(c);
    char *name = e ? strdup(conn_entry_name(e)) : NULL;
    struct pending *p = name ? question(c, conn_taken) : NULL;
    if (!p) {
        free(name);
        return false;
    }
    p->data = name;
    p->free_data = free;
    c->replay.told = e;
    ctl_send(p, ROOM_IKE, MSG_CONN_LOAD,
             &(struct msg_CONN_LOAD){
                 .req = p->req, .number = e->number, .conn = slice_of(conn_entry_wire(e), e->wire_len)});
    return true;
}

// ---- all of it

static void whole(struct ctl *c)
{
    LOGF(CFG, 1, "ike has what it had: %u connections%s", c->conn_count,
         c->replay.refused ? ", but for what it has refused" : "");
    replay_end(c);
    ctl_ask_held(c, ROOM_IKE);
    ipc_send(c->chan[ROOM_IKE], MSG_WHOLE, &(struct msg_WHOLE){.pid = c->replay.pid});
    ipc_send(c->chan[ROOM_SUPER], MSG_WHOLE, &(struct msg_WHOLE){.pid = c->replay.pid});
}

static bool next(struct ctl *c)
{
    return next_record(c) || (c->replay.records_told && next_conn(c));
}

static void again(struct timer *t)
{
    go_on(t->ctx);
}

static void go_on(struct ctl *c)
{
    struct replay *r = &c->replay;
    while (r->active && r->asked < REPLAY_WINDOW && next(c))
        ;
    if (!r->active || r->asked)
        return;
    if (r->records_told && !untold(c)) {
        whole(c);
    } else { // no memory, or too many questions are under way
        r->again = (struct timer){.fire = again, .ctx = c};
        timer_set(c->loop, &r->again, loop_now(c->loop) + REPLAY_AGAIN_MS);
    }
}

// keys has told ike of its private keys before it answers this.
static void keys_told(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    (void)text;
    if (answered(c, ok))
        go_on(c);
}

// What keys is still to answer of the ike before tells nothing of this one.
static void outdated(struct pending *p, bool ok, const char *text)
{
    (void)p;
    (void)ok;
    (void)text;
}

void replay_begin(struct ctl *c, uint32_t pid)
{
    replay_end(c);
    for (struct pending *p = c->pending; p; p = p->next)
        if (p->done == keys_told)
            p->done = outdated;
    c->replay = (struct replay){.active = true, .pid = pid};
    c->ike_died = false;
    struct pending *p = question(c, keys_told);
    if (p)
        ctl_send(p, ROOM_KEYS, MSG_KEY_LIST, &(struct msg_KEY_LIST){.req = p->req, .most = 1});
    else
        go_on(c);
}

void replay_end(struct ctl *c)
{
    c->replay.active = false;
    c->replay.told = NULL;
    if (c->replay.again.armed)
        timer_stop(c->loop, &c->replay.again);
}
