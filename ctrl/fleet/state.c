// SPDX-License-Identifier: Apache-2.0
// What etcd says: read whole, as of one revision, then followed from there. Connections are read as one
// generation, when `current` names it, and not followed one by one, so that a load is whole for every node.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "ctrl/fleet/internal.h"
#include "ctrl/lib/log.h"

enum { PAGE = 64 }; // so that one of the largest connections is within ETCD_ANSWER_MOST, in base64
enum { READ_WAIT_MOST = 60000 }; // ms

// The parts of a reading; what of the first ones is not seen any more has gone.
enum part { NODES, DRAINS, OWNERS, CURRENT, CONNS, PARTS };
static const char *const part_key[] = {"nodes/", "drain/", "owners/", "current"};

// What ctl has taken, or is about to.
static void keep_last(struct item *i)
{
    bool taken = i->message && (i->told_version == i->version || (i->req && i->asked_version == i->version));
    free(taken ? i->last : i->message);
    if (!taken)
        return;
    i->last = i->message;
    i->last_len = i->len;
}

static bool take_message(struct fleet *f, struct item *i, const struct etcd_kv *kv)
{
    i->seen = true;
    if (i->wanted && i->len == kv->len && memcmp(i->message, kv->value, kv->len) == 0)
        return true;
    bool fits = f->octets - i->len + kv->len <= f->octets_most;
    uint8_t *copy = fits ? malloc(kv->len ? kv->len : 1) : NULL;
    if (!copy)
        return false;
    memcpy(copy, kv->value, kv->len);
    keep_last(i);
    f->octets += kv->len - i->len;
    i->message = copy;
    i->len = kv->len;
    i->version = ++f->versions;
    i->wanted = true;
    return true;
}

// ---- whose

static bool node_of(const struct etcd_kv *kv, char name[FLEET_NODE_LEN])
{
    json_t *o = json_loadb((const char *)kv->value, kv->len, 0, NULL);
    const char *node = json_string_value(json_object_get(o, "node"));
    bool ok = node && node[0] && strlen(node) < FLEET_NODE_LEN;
    snprintf(name, FLEET_NODE_LEN, "%s",
             ok ? node : "?"); // somebody's, who cannot be told: not to be claimed
    json_decref(o);
    return ok;
}

// Whose lease the key goes with, and for how long that is.
static void take_node(struct fleet *f, struct peer *p, const struct etcd_kv *kv)
{
    json_t *o = json_loadb((const char *)kv->value, kv->len, 0, NULL);
    json_int_t ttl = json_integer_value(json_object_get(o, "ttl"));
    p->session = kv->created;
    p->settled = json_is_true(json_object_get(o, "settled"));
    p->ttl = ttl > 0 && ttl < FLEET_TTL_MOST ? (uint32_t)ttl : ttl > 0 ? FLEET_TTL_MOST : f->cfg.ttl;
    json_decref(o);
}

static void take_owner(struct fleet *f, const char *name, const struct etcd_kv *kv)
{
    struct item *i = state_item(f, name, true);
    if (!i)
        return;
    i->owner_seen = true;
    if (kv->changed < i->owner_as_of) // an answer of later has been heard already
        return;
    i->owner_as_of = kv->changed;
    i->owner_revision = kv->changed;
    i->claim_at = 0;
    node_of(kv, i->owner);
    // with the lease of another session it is what this node had in that, and ends with it
    bool mine = f->lease && kv->lease == f->lease && strcmp(i->owner, f->cfg.node) == 0;
    if (i->ours && !mine)
        LOGF(CFG, 0, "fleet: connection %s is another node's now: %s", name, i->owner);
    if (mine && !i->ours)
        i->ours_at = loop_now(f->loop);
    i->ours = mine && f->phase == FLEET_IN;
    i->former[0] = 0;
    i->held_until = 0;
}

// Its node is there, and has not given it away: it may go on until it hears of this.
static void hold(struct item *i)
{
    struct fleet *f = i->fleet;
    const struct peer *p = state_peer(f, i->owner, false);
    i->former[0] = 0;
    i->held_until = 0;
    if (!p || !p->present || i->given == i->owner_as_of || strcmp(i->owner, f->cfg.node) == 0)
        return;
    snprintf(i->former, sizeof(i->former), "%s", i->owner);
    i->former_session = p->session;
    i->held_until = loop_now(f->loop) + (uint64_t)(p->ttl > f->cfg.ttl ? p->ttl : f->cfg.ttl) * 1000;
}

void state_no_owner(struct item *i, uint64_t as_of)
{
    if (as_of < i->owner_as_of)
        return;
    i->owner_as_of = as_of;
    if (i->owner[0])
        hold(i);
    if (i->ours)
        LOGF(CFG, 0, "fleet: connection %s is taken from this node: its key has gone from etcd", i->name);
    i->ours = false;
    i->owner[0] = 0;
    i->owner_revision = 0;
    i->claim_at = 0;
}

// ---- reading

static void next_page(struct fleet *f);

static void begin_reading(struct fleet *f, bool whole)
{
    struct reading *r = &f->read;
    timer_stop(f->loop, &f->read_again);
    if (r->on) {
        r->again = true;
        r->whole |= whole;
        return;
    }
    whole |= r->whole;
    *r = (struct reading){.on = true, .part = whole ? NODES : CURRENT};
    r->whole = whole;
    for (struct item *i = f->items; i; i = i->next)
        i->seen = i->owner_seen = false;
    for (struct peer *p = f->peers; p; p = p->next)
        p->seen = false;
    next_page(f);
}

void state_read(struct fleet *f)
{
    etcd_unwatch(f->etcd);
    f->watching = f->known = false;
    begin_reading(f, true);
}

static void read_later(struct fleet *f, uint64_t ms)
{
    f->read.on = false;
    timer_set(f->loop, &f->read_again, loop_now(f->loop) + ms + fleet_jitter(f, f->cfg.jitter_ms));
}

static void read_due(struct timer *t)
{
    struct fleet *f = t->ctx;
    begin_reading(f, f->read.whole || !f->known);
}

static void take_current(struct fleet *f, const struct etcd_kv *kv)
{
    struct reading *r = &f->read;
    json_t *o = json_loadb((const char *)kv->value, kv->len, 0, NULL);
    json_int_t schema = json_integer_value(json_object_get(o, "schema"));
    const char *generation = json_string_value(json_object_get(o, "generation"));
    bool ok =
        schema == FLEET_SCHEMA && generation && generation[0] && strlen(generation) < sizeof(r->generation);
    if (!ok && !f->foreign)
        LOGF(CFG, 0,
             "fleet: %scurrent in etcd is of schema %lld, and this is one of schema %d: nothing of it is "
             "loaded, and what is here stays as it is",
             f->cfg.prefix, (long long)schema, FLEET_SCHEMA);
    f->foreign = !ok;
    r->there = ok;
    if (ok) {
        snprintf(r->generation, sizeof(r->generation), "%s", generation);
        r->expected = (uint64_t)json_integer_value(json_object_get(o, "connections"));
    }
    json_decref(o);
}

static void take(struct fleet *f, const struct etcd_kv *kv)
{
    struct reading *r = &f->read;
    const char *name = kv->key + strlen(r->key);
    struct peer *p;
    struct item *i;
    switch (r->part) {
    case NODES:
    case DRAINS:
        if (!(p = state_peer(f, name, true)))
            return;
        p->present = r->part == NODES || (p->seen && p->present);
        p->draining = r->part == DRAINS;
        p->seen = true;
        if (r->part == NODES)
            take_node(f, p, kv);
        break;
    case OWNERS: take_owner(f, name, kv); break;
    case CURRENT: take_current(f, kv); break;
    default:
        if (kv->len > FLEET_CONN_MOST || !(i = state_item(f, name, true)) || !take_message(f, i, kv))
            LOGF(CFG, strcmp(f->incomplete, r->generation) == 0 || r->left++ ? 1 : 0,
                 "fleet: connection %.100s is not taken: it is too large, or one too many", name);
        else
            r->got++;
    }
}

// The longest lease of the others that have been there for one; 0: there are none.
static uint64_t settled_ms(const struct fleet *f)
{
    uint32_t most = 0;
    for (const struct peer *p = f->peers; p; p = p->next)
        if (p->present && p->settled && p->ttl > most && strcmp(p->name, f->cfg.node) != 0)
            most = p->ttl;
    return (uint64_t)most * 1000;
}

// What nobody has among nodes that are there for long somebody may have had until just now, and not know of
// its deletion.
static void forget_unseen(struct fleet *f)
{
    uint64_t doubt;
    for (struct peer *p = f->peers; p; p = p->next)
        if (!p->seen)
            p->present = p->draining = false;
    state_forget_gone_peers(f);
    doubt = settled_ms(f);
    for (struct item *i = f->items; i; i = i->next) {
        if (!i->owner_seen && (i->ours || i->owner[0]))
            state_no_owner(i, f->read.revision);
        else if (!i->owner_seen && !i->former[0])
            i->held_until = doubt ? loop_now(f->loop) + doubt : 0;
    }
}

static void on_news(void *ctx, const struct etcd_news *n);

static void follow(struct fleet *f)
{
    timer_stop(f->loop, &f->watch_again);
    f->watching = etcd_watch(f->etcd, f->cfg.prefix, f->revision + 1, on_news, f) == 0;
    if (!f->watching)
        timer_set(f->loop, &f->watch_again, loop_now(f->loop) + FLEET_AGAIN_MS);
}

static void watch_due(struct timer *t)
{
    follow(t->ctx);
}

// A load is under way, and the generation before has gone; or it cannot be taken here, for which nobody is to
// be asked for all of it each second: it is also read when `current` changes.
static void incomplete(struct fleet *f)
{
    const struct reading *r = &f->read;
    bool again = strcmp(f->incomplete, r->generation) == 0;
    f->read_wait = !again                              ? FLEET_AGAIN_MS
                   : f->read_wait < READ_WAIT_MOST / 2 ? 2 * f->read_wait
                                                       : READ_WAIT_MOST;
    LOGF(CFG, again ? 1 : 0,
         "fleet: generation %s has %" PRIu64 " connections that can be taken and should have %" PRIu64
         ": read again in %u ms",
         r->generation, r->got, r->expected, f->read_wait);
    snprintf(f->incomplete, sizeof(f->incomplete), "%s", r->generation);
    read_later(f, f->read_wait);
}

static void read_all(struct fleet *f)
{
    struct reading *r = &f->read;
    if (r->there && r->got != r->expected) {
        incomplete(f);
        return;
    }
    f->incomplete[0] = 0;
    for (struct item *i = f->items; i && r->there; i = i->next)
        i->wanted = i->seen;
    f->desired |= r->there;
    if (r->whole) {
        forget_unseen(f);
        f->revision = r->revision;
        f->known = true;
        follow(f);
    }
    r->on = r->whole = false;
    owners_kick(f, 0);
}

// A key that was asked for, behind all before it.
static bool is_in_place(const struct reading *r, const struct etcd_kv *kv, const char *before)
{
    size_t n = strlen(r->key);
    return strncmp(kv->key, r->key, n) == 0 && strlen(kv->key) < FLEET_KEY_LEN &&
           strcmp(kv->key, before) > 0 && (r->part != CURRENT || !kv->key[n]);
}

static bool take_page(struct fleet *f, const struct etcd_answer *a)
{
    const char *before = f->read.after;
    for (size_t i = 0; i < a->count; before = a->kv[i++].key) {
        if (!is_in_place(&f->read, &a->kv[i], before)) {
            LOGF(CFG, 0, "fleet: etcd's keys are not as expected: '%.100s' behind '%.100s', below %s",
                 a->kv[i].key, before, f->read.key);
            return false;
        }
        take(f, &a->kv[i]);
    }
    return true;
}

static void got_page(void *ctx, const struct etcd_answer *a)
{
    struct fleet *f = ctx;
    struct reading *r = &f->read;
    if (f->ending)
        return;
    if (r->again) { // something has changed that it had read already
        r->on = false;
        begin_reading(f, r->whole);
        return;
    }
    if (a->error) {
        LOGF(CFG, 1, "fleet: reading: %s", a->text);
        read_later(f, FLEET_AGAIN_MS);
        return;
    }
    r->revision = r->revision ? r->revision : a->revision;
    if (!take_page(f, a)) {
        read_later(f, FLEET_AGAIN_MS);
        return;
    }
    if (a->more && a->count) {
        snprintf(r->after, sizeof(r->after), "%s", a->kv[a->count - 1].key);
    } else {
        r->part++;
        r->after[0] = 0;
    }
    next_page(f);
}

static void next_page(struct fleet *f)
{
    struct reading *r = &f->read;
    char name[80];
    if (r->part == PARTS || (r->part == CONNS && !r->there)) {
        read_all(f);
        return;
    }
    if (r->part == CONNS)
        snprintf(name, sizeof(name), "%s/", r->generation);
    fleet_key(f, r->key, r->part == CONNS ? "conns/" : part_key[r->part], r->part == CONNS ? name : "");
    struct etcd_question q = {.kind = ETCD_RANGE,
                              .key = r->key,
                              .after = r->after[0] ? r->after : NULL,
                              .revision = r->revision,
                              .most = PAGE};
    if (etcd_ask(f->etcd, &q, got_page, f) < 0)
        read_later(f, FLEET_AGAIN_MS);
}

// ---- following

static const char *behind(const char *key, const char *part)
{
    size_t n = strlen(part);
    return strncmp(key, part, n) == 0 && key[n] ? key + n : NULL;
}

static void on_event(struct fleet *f, const struct etcd_event *e)
{
    const char *key = e->kv.key + strlen(f->cfg.prefix), *name;
    struct peer *p;
    struct item *i;
    if ((name = behind(key, "nodes/")) != NULL) {
        if ((p = state_peer(f, name, !e->deleted)) != NULL)
            p->present = !e->deleted;
        if (p && !e->deleted)
            take_node(f, p, &e->kv);
    } else if (behind(key, "given/") && !e->deleted) {
        if ((i = state_item(f, (const char *)e->kv.value, false)) != NULL)
            i->given = e->kv.changed;
    } else if ((name = behind(key, "drain/")) != NULL) {
        if ((p = state_peer(f, name, !e->deleted)) != NULL)
            p->draining = !e->deleted;
    } else if ((name = behind(key, "owners/")) != NULL) {
        if (!e->deleted)
            take_owner(f, name, &e->kv);
        else if ((i = state_item(f, name, false)) != NULL)
            state_no_owner(i, e->kv.changed);
    } else if (strcmp(key, "current") == 0 && !e->deleted) {
        begin_reading(f, false);
    }
}

static void on_news(void *ctx, const struct etcd_news *n)
{
    struct fleet *f = ctx;
    if (f->ending)
        return;
    if (n->error) {
        f->watching = false;
        LOGF(CFG, 1, "fleet: %s", n->text);
        if (n->error == -ESTALE || n->error == -EBADMSG) {
            f->read.whole = true; // what happened meanwhile is not to be had one by one
            timer_set(f->loop, &f->read_again, loop_now(f->loop) + fleet_jitter(f, f->cfg.jitter_ms));
        } else {
            timer_set(f->loop, &f->watch_again,
                      loop_now(f->loop) + FLEET_AGAIN_MS / 2 + fleet_jitter(f, f->cfg.jitter_ms));
        }
        return;
    }
    for (size_t i = 0; i < n->count; i++) {
        if (strncmp(n->event[i].kv.key, f->cfg.prefix, strlen(f->cfg.prefix)) == 0)
            on_event(f, &n->event[i]);
        if (n->event[i].kv.changed > f->revision)
            f->revision = n->event[i].kv.changed;
    }
    state_forget_gone_peers(f);
    owners_kick(f, 0);
}

void state_init(struct fleet *f)
{
    f->read_again = (struct timer){.fire = read_due, .ctx = f};
    f->watch_again = (struct timer){.fire = watch_due, .ctx = f};
}

void state_free(struct fleet *f)
{
    timer_stop(f->loop, &f->read_again);
    timer_stop(f->loop, &f->watch_again);
    while (f->items)
        state_forget(f, f->items);
    hash_free(&f->names);
    for (struct peer *p = f->peers, *next; p; p = next) {
        next = p->next;
        free(p);
    }
}
