// SPDX-License-Identifier: Apache-2.0
#include "ctrl/path/traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/path.h"

static const char *child_of(const struct traffic *t)
{
    return t->names + strlen(t->names) + 1;
}

static uint64_t hash_of(const char *conn, const char *child)
{
    return hash_str(hash_str(0, conn), child);
}

struct traffic *traffic_ref(struct traffic *t)
{
    t->refs++;
    return t;
}

struct traffic *traffic_find(struct path *p, const char *conn, const char *child)
{
    uint64_t h = hash_of(conn, child);
    for (struct hash_node *n = hash_first(&p->traffic, h); n; n = hash_next(n)) {
        struct traffic *t = (struct traffic *)(void *)((char *)n - offsetof(struct traffic, node));
        if (strcmp(t->names, conn) == 0 && strcmp(child_of(t), child) == 0)
            return traffic_ref(t);
    }
    return NULL;
}

struct traffic *traffic_get(struct path *p, const char *conn, const char *child)
{
    uint64_t h = hash_of(conn, child);
    size_t a = strlen(conn) + 1, b = strlen(child) + 1;
    struct traffic *t = traffic_find(p, conn, child);
    if (t)
        return t;
    t = calloc(1, sizeof(*t) + a + b);
    if (t && hash_add(&p->traffic, &t->node, h) < 0) {
        free(t);
        t = NULL;
    }
    if (!t)
        return NULL;
    memcpy(t->names, conn, a);
    memcpy(t->names + a, child, b);
    return traffic_ref(t);
}

void traffic_put(struct path *p, struct traffic *t)
{
    if (!t || --t->refs)
        return;
    hash_del(&p->traffic, &t->node);
    free(t);
    if (!p->traffic.count)
        hash_free(&p->traffic);
}

void traffic_join(struct traffic *t, struct child *c)
{
    c->traffic = traffic_ref(t);
    c->counts_next = t->children;
    c->counts_at = &t->children;
    if (c->counts_next)
        c->counts_next->counts_at = &c->counts_next;
    t->children = c;
}

static void count(struct traffic_counts *n, const struct child *c)
{
    n->packets_in += c->in.packets;
    n->bytes_in += c->in.bytes;
    n->packets_out += c->out.packets;
    n->bytes_out += c->out.bytes;
    n->dropped += c->out.drops;
}

void traffic_leave(struct path *p, struct child *c)
{
    struct traffic *t = c->traffic;
    if (!t)
        return;
    count(&t->past, c);
    *c->counts_at = c->counts_next;
    if (c->counts_next)
        c->counts_next->counts_at = c->counts_at;
    c->traffic = NULL;
    traffic_put(p, t);
}

struct traffic_counts traffic_sum(const struct traffic *t)
{
    struct traffic_counts n = t->past;
    for (const struct child *c = t->children; c; c = c->counts_next)
        count(&n, c);
    return n;
}

static void tell(struct path *p, uint32_t req, const struct policy *pol)
{
    struct traffic_counts n = {0};
    struct traffic *t = pol->whole->traffic;
    if (t && t->told == p->traffic_lists) // by another policy of that child, which an edit has replaced
        return;
    if (t) {
        t->told = p->traffic_lists;
        n = traffic_sum(t);
    }
    struct msg_TRAFFIC m = {.req = req,
                            .packets_in = n.packets_in,
                            .bytes_in = n.bytes_in,
                            .packets_out = n.packets_out,
                            .bytes_out = n.bytes_out,
                            .dropped = n.dropped};
    snprintf(m.conn, sizeof(m.conn), "%s", policy_conn(pol));
    snprintf(m.child, sizeof(m.child), "%s", policy_child(pol));
    ipc_send(p->ctl, MSG_TRAFFIC, &m);
}

void traffic_list(struct path *p, const struct msg_TRAFFIC_LIST *m)
{
    struct reader r = reader_of(m->names);
    char conn[NAME_MAX_LEN];
    bool room = true;
    p->traffic_lists++;
    for (unsigned n = 0; r.left && !r.bad && room; n++) {
        rd_cstr(&r, conn, sizeof(conn));
        room = n < COUNTS_PAGE && ipc_has_room(p->ctl);
        const struct policy *pol = r.bad || !room ? NULL : spd_first_of_conn(&p->spd, conn);
        for (; pol; pol = spd_next_of_conn(pol))
            if (pol->whole->traffic || (pol->loaded && pol->action == POLICY_PROTECT))
                tell(p, m->req, pol);
    }
    ipc_result(p->ctl, m->req, room && !r.bad, "%s",
               !room   ? "more connections than a page holds, or no room for them"
               : r.bad ? "malformed list"
                       : "");
}

// ---- cards

void card_totals_keep(struct card_totals *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        c->t[i].before += c->t[i].now;
        c->t[i].now = 0;
    }
}

static void take_one(struct card_totals *c, const char *name, uint64_t value)
{
    unsigned i = 0;
    while (i < c->count && strcmp(c->t[i].name, name) != 0)
        i++;
    c->left_out += i == CARD_TOTALS;
    if (i == CARD_TOTALS)
        return;
    if (i == c->count)
        snprintf(c->t[c->count++].name, CARD_TOTAL_NAME, "%s", name);
    if (value < c->t[i].now) // reset, and nobody said so
        c->t[i].before += c->t[i].now;
    c->t[i].now = value;
}

void card_totals_take(struct card_totals *c, const char *text, size_t len)
{
    c->left_out = 0;
    while (len) {
        char name[CARD_TOTAL_NAME], *end;
        const char *stop = memchr(text, '\n', len), *blank = memchr(text, ' ', len);
        size_t n = blank ? (size_t)(blank - text) : 0;
        if (!stop || !n || blank > stop || n >= sizeof(name))
            return;
        memcpy(name, text, n);
        name[n] = 0;
        uint64_t value = strtoull(blank + 1, &end, 10);
        if (end == stop)
            take_one(c, name, value);
        len -= (size_t)(stop + 1 - text);
        text = stop + 1;
    }
}
