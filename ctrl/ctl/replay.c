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

static bool answered(struct ctl *c)
{
    if (!c->replay.passing)
        return false;
    c->replay.asked--;
    return true;
}

static bool all_is_told(const struct ctl *c) // or what is missing alone
{
    return c->replay.active && !c->replay.passes;
}

// ---- certificates, authorities, pools

static void print_record(struct ctl *c, uint64_t number, char *text, size_t size)
{
    enum msg_type t;
    union msg m;
    char name[NAME_MAX_LEN] = "";
    struct reader r;
    if (configured_next(c->configured, number - 1, false, &t, &m) != number)
        t = MSG_NONE;
    if (t == MSG_POOL_LOAD) {
        r = reader_of(m.POOL_LOAD.pool);
        rd_cstr(&r, name, sizeof(name));
    }
    snprintf(text, size, "%s%s",
             t == MSG_CERT_LOAD        ? "a certificate"
             : t == MSG_AUTHORITY_LOAD ? "authority "
             : t == MSG_POOL_LOAD      ? "pool "
                                       : "what is unloaded",
             t == MSG_AUTHORITY_LOAD ? m.AUTHORITY_LOAD.name : name);
}

static void record_taken(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    char what[NAME_MAX_LEN + 20];
    if (!answered(c))
        return;
    if (ok && p->untold) {
        ok = false;
        text = "no memory for its leases";
    }
    bool was = configured_is_missing(c->configured, p->number, !ok);
    if (was == ok) {
        print_record(c, p->number, what, sizeof(what));
        LOGF(CFG, ok, "%s is %s%s", what, ok ? "there again" : "not there again: ", text);
    }
    go_on(c);
}

void replay_pool(struct ctl *c, const char *pool, const char *why)
{
    uint64_t number = c->configured ? configured_pool(c->configured, pool) : 0;
    if (!number || c->died[ROOM_IKE])
        return;
    LOGF(CFG, 0, "pool %s: not all of its leases are there again: %s", pool, why);
    configured_is_missing(c->configured, number, true);
    replay_later(c);
}

static void leases_taken(struct pending *p, bool ok, const char *text)
{
    if (!ok)
        replay_pool(p->ctl, p->data, text);
}

// Likewise, where the pass is not over before: what comes again begins no first pass.
static void leases_taken_again(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    if (!answered(c))
        return;
    leases_taken(p, ok, text);
    go_on(c);
}

static void unasked(struct pending *p, bool ok, const char *text)
{
    (void)p;
    (void)ok;
    (void)text;
}

static bool tell_leases(struct ctl *c, const char *pool, bool again)
{
    char *name = strdup(pool);
    struct pending *p = name ? ctl_ask(c, NULL, 0) : NULL;
    if (!p) {
        free(name);
        return false;
    }
    p->data = name;
    p->free_data = free;
    p->done = again ? leases_taken_again : leases_taken;
    p->room = ROOM_IKE; // that answers, or dies
    if (ctl_tell_leases(c, pool, p->req)) {
        c->replay.asked += again;
        return true;
    }
    p->done = unasked;
    ctl_drop(p, "");
    return false;
}

bool replay_leases(struct ctl *c, const char *pool)
{
    return tell_leases(c, pool, false);
}

// Where that is still to be answered.
void replay_untold(struct ctl *c, uint32_t req)
{
    for (struct pending *p = c->pending; p; p = p->next)
        p->untold |= p->req == req;
}

static void send_record(struct pending *p, enum msg_type t, union msg *m)
{
    char name[NAME_MAX_LEN];
    uint32_t req = p->req;
    struct reader r;
    switch (t) {
    case MSG_CERT_LOAD: m->CERT_LOAD.req = p->req; break;
    case MSG_AUTHORITY_LOAD: m->AUTHORITY_LOAD.req = p->req; break;
    default: m->POOL_LOAD.req = p->req; break;
    }
    struct ctl *c = p->ctl;
    r = reader_of(t == MSG_POOL_LOAD ? m->POOL_LOAD.pool : slice_of(NULL, 0));
    rd_cstr(&r, name, sizeof(name));
    ctl_send(p, ROOM_IKE, t, m);
    if (t == MSG_POOL_LOAD && !tell_leases(c, name, true))
        replay_untold(c, req);
}

// What a client has asked to be changed comes first: what was there must not come behind it.
static bool is_being_changed(const struct ctl *c)
{
    for (const struct pending *p = c->pending; p; p = p->next)
        if (p->changes && p->done != record_taken)
            return true;
    return false;
}

static bool next_record(struct ctl *c)
{
    enum msg_type t;
    union msg m;
    if (c->replay.records_told || is_being_changed(c))
        return false;
    uint64_t number =
        !c->configured ? 0 : configured_next(c->configured, c->replay.record, !all_is_told(c), &t, &m);
    struct pending *p = number ? question(c, record_taken) : NULL;
    c->replay.records_told = !number;
    if (!p)
        return false;
    p->number = number;
    c->replay.record = number;
    send_record(p, t, &m);
    return true;
}

// ---- connections

static void conn_taken(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    const char *name = p->data;
    if (!answered(c))
        return;
    if (!ctl_conn_is_missing(c, name, !ok))
        LOGF(CFG, 2, "connection %s: %s", name, ok ? "taken" : text);
    else if (ok)
        LOGF(CFG, 1, "connection %s is there again", name);
    else
        LOGF(CFG, 0, "connection %s is not there again yet, and what it protects stays blocked: %s", name,
             text);
    go_on(c);
}

// What a client loads or unloads has the last word.
static const struct conn_entry *untold(const struct ctl *c)
{
    const struct conn_entry *e = c->replay.told ? c->replay.told->next : c->conns;
    while (e && !all_is_told(c) && (!e->missing || ctl_under_way(c, conn_entry_name(e))))
        e = e->next;
    return e;
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

static void begin_pass(struct ctl *c)
{
    struct replay *r = &c->replay;
    r->passing = true;
    r->asked = 0;
    r->record = 0;
    r->records_told = false;
    r->told = NULL;
    go_on(c);
}

static void again(struct timer *t)
{
    struct ctl *c = t->ctx;
    if (c->replay.passing)
        go_on(c);
    else
        begin_pass(c);
}

static void set_again(struct ctl *c, uint64_t ms)
{
    struct replay *r = &c->replay;
    r->again.fire = again;
    r->again.ctx = c;
    timer_set(c->loop, &r->again, loop_now(c->loop) + ms);
}

// The next pass; not before this one is over.
static void set_pass(struct ctl *c)
{
    unsigned n = c->replay.passes;
    uint64_t ms = n < 16 ? (uint64_t)REPLAY_FIRST_MS << (n ? n - 1 : 0) : REPLAY_LONGEST_MS;
    set_again(c, ms < REPLAY_LONGEST_MS ? ms : REPLAY_LONGEST_MS);
}

static unsigned missing_conns(const struct ctl *c)
{
    unsigned n = 0;
    for (const struct conn_entry *e = c->conns; e; e = e->next)
        n += e->missing;
    return n;
}

static bool misses_records(const struct ctl *c)
{
    enum msg_type t;
    union msg m;
    return c->configured && configured_next(c->configured, 0, true, &t, &m);
}

// They stay listed, and blocked, until somebody loads or unloads them; and the next ike is given them.
static void give_up(struct ctl *c)
{
    enum msg_type t;
    union msg m;
    char what[NAME_MAX_LEN + 20];
    for (uint64_t n = 0; c->configured && (n = configured_next(c->configured, n, true, &t, &m)) != 0;) {
        print_record(c, n, what, sizeof(what));
        LOGF(CFG, 0, "%s is not there again after %u tries: load it", what, c->replay.passes);
    }
    for (const struct conn_entry *e = c->conns; e; e = e->next)
        if (e->missing)
            LOGF(CFG, 0,
                 "connection %s is not there again after %u tries, and what it protects stays blocked: "
                 "load it",
                 conn_entry_name(e), c->replay.passes);
}

// What the ctl before had loaded and ike lacks is known by its name alone, from the file of these.
static bool lacks(const struct ctl *c)
{
    return missing_conns(c) || (c->follows && ctl_sweep_awaits(c));
}

static void tell_whole(struct ctl *c, enum room to)
{
    struct msg_WHOLE m = {.pid = c->replay.pid, .missing = lacks(c)};
    c->replay.told_missing = m.missing;
    ipc_send(c->chan[to], MSG_WHOLE, &m);
}

void replay_settled(struct ctl *c)
{
    if (!c->replay.active && c->replay.told_missing && !lacks(c))
        tell_whole(c, ROOM_IKE);
}

void replay_recovered(struct ctl *c)
{
    if (c->follows && !c->replay.active)
        tell_whole(c, ROOM_IKE);
}

static void whole(struct ctl *c, bool more)
{
    unsigned missing = missing_conns(c);
    LOGF(CFG, 1, "ike has what it had: %u connections%s", c->conn_count - missing,
         more ? ", but for what it has refused, which is tried again" : "");
    c->replay.active = false;
    ctl_ask_held(c, ROOM_IKE);
    tell_whole(c, ROOM_IKE);
    tell_whole(c, ROOM_SUPER);
}

// What memory was short for a moment for is there before anybody is served; what it is short for longer
// keeps nobody else waiting.
static void pass_over(struct ctl *c)
{
    struct replay *r = &c->replay;
    bool more = missing_conns(c) || misses_records(c);
    r->passing = false;
    r->told = NULL;
    r->passes++;
    if (more && r->passes >= REPLAY_PASSES)
        give_up(c);
    else if (more)
        set_pass(c);
    if (!r->active && !more)
        LOGF(CFG, 1, "ike has all that it had");
    replay_settled(c);
    if (r->active && (!more || r->passes > REPLAY_BEFORE))
        whole(c, more);
}

static bool next(struct ctl *c)
{
    return next_record(c) || (c->replay.records_told && next_conn(c));
}

static void go_on(struct ctl *c)
{
    struct replay *r = &c->replay;
    if (r->busy) // what could not be sent is answered at once
        return;
    r->busy = true;
    while (r->passing && r->asked < REPLAY_WINDOW && next(c))
        ;
    r->busy = false;
    if (!r->passing || r->asked)
        return;
    if (r->records_told && !untold(c))
        pass_over(c);
    else // no memory, or too many questions are under way
        set_again(c, REPLAY_AGAIN_MS);
}

// keys has told ike of its private keys before it answers this.
static void keys_told(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    (void)ok;
    (void)text;
    if (answered(c))
        go_on(c);
}

// What keys is still to answer of the ike before tells nothing of this one.
static void outdated(struct pending *p, bool ok, const char *text)
{
    (void)p;
    (void)ok;
    (void)text;
}

// Until it has answered nothing is told.
static void ask_keys(struct ctl *c)
{
    struct pending *p;
    c->replay.passing = true;
    p = question(c, keys_told);
    if (p)
        ctl_send(p, ROOM_KEYS, MSG_KEY_LIST, &(struct msg_KEY_LIST){.req = p->req, .most = 1});
    else
        go_on(c);
}

static void nothing_is_missing(struct ctl *c)
{
    enum msg_type t;
    union msg m;
    for (uint64_t n = 0; c->configured && (n = configured_next(c->configured, n, true, &t, &m)) != 0;)
        (void)configured_is_missing(c->configured, n, false);
    for (struct conn_entry *e = c->conns; e; e = e->next)
        e->missing = false;
}

void replay_begin(struct ctl *c, uint32_t pid)
{
    replay_end(c);
    for (struct pending *p = c->pending; p; p = p->next)
        if (p->done == keys_told)
            p->done = outdated;
    nothing_is_missing(c);
    c->replay = (struct replay){.active = true, .pid = pid};
    c->died[ROOM_IKE] = false;
    ask_keys(c);
}

void replay_later(struct ctl *c)
{
    struct replay *r = &c->replay;
    if (r->active || r->passing || r->again.armed)
        return;
    r->passes = 1;
    set_pass(c);
}

void replay_end(struct ctl *c)
{
    c->replay.active = c->replay.passing = false;
    c->replay.told = NULL;
    if (c->replay.again.armed)
        timer_stop(c->loop, &c->replay.again);
}
