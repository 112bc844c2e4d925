// SPDX-License-Identifier: Apache-2.0
// What was asked of `fetch` and has not been answered whole.
#include "ctrl/ike/fetching.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"

enum { FETCH_MS = 5000, FETCHES_MAX = 256 };

struct waiting {
    struct table_node node; // key: req
    uint32_t task, id;
    fetched_fn fn;
    uint32_t most;
    uint8_t *got;
    size_t len;
};

bool fetch_ask(struct task *t, const struct pki_fetch *what, fetched_fn fn)
{
    struct ike *ike = t->sa->ike;
    struct waiting *w = table_count(&ike->fetches) < FETCHES_MAX ? calloc(1, sizeof(*w)) : NULL;
    struct msg_FETCH q = {.body = what->body, .most = what->most, .timeout_ms = FETCH_MS};
    if (!++ike->next_req)
        ++ike->next_req; // 0 is no request
    q.req = ike->next_req;
    snprintf(q.url, sizeof(q.url), "%s", what->url);
    snprintf(q.content_type, sizeof(q.content_type), "%s", what->content_type ? what->content_type : "");
    if (!w)
        return false;
    *w = (struct waiting){.task = t->number, .id = what->id, .fn = fn, .most = what->most};
    if (!table_add(&ike->fetches, &w->node, q.req)) {
        free(w);
        return false;
    }
    if (ipc_send(ike->chan[ROOM_FETCH], MSG_FETCH, &q) == 0) {
        LOGF(CFG, 1, "  fetching from '%s' ...", what->url);
        return true;
    }
    table_del(&ike->fetches, &w->node);
    free(w);
    return false;
}

static void give(struct ike *ike, struct waiting *w, bool ok, const char *text)
{
    struct task *t = task_by_number(ike, w->task);
    if (t) {
        log_set_context(t->sa->conn->cfg.name, t->sa->id);
        if (t->sa->half_open)
            log_limit_begin(&ike->log_limit, &t->sa->path.remote);
        bool limited = t->sa->half_open;
        w->fn(t, w->id, ok, text, slice_of(w->got, ok ? w->len : 0));
        if (limited)
            log_limit_end(&ike->log_limit);
        log_set_context("", 0);
    }
    free(w->got);
    free(w);
}

// More than was asked for, or no memory: the rest is not kept, and the whole is no answer.
static bool keep(struct waiting *w, struct slice piece)
{
    uint8_t *more = w->len + piece.len <= w->most ? realloc(w->got, w->len + piece.len + 1) : NULL;
    if (!more)
        return false;
    w->got = more;
    if (piece.len)
        memcpy(w->got + w->len, piece.p, piece.len);
    w->len += piece.len;
    return true;
}

void fetch_got(struct ike *ike, const struct msg_FETCHED *m)
{
    struct waiting *w = (struct waiting *)(void *)table_find(&ike->fetches, m->req);
    if (!w)
        return;
    bool kept = !m->ok || keep(w, m->body);
    if (m->ok && kept && m->more)
        return;
    table_del(&ike->fetches, &w->node);
    give(ike, w, m->ok && kept, m->ok && !kept ? "the answer is too long, or there is no memory" : m->text);
}

void fetch_fail_all(struct ike *ike, const char *why)
{
    struct table_node *n;
    while ((n = table_pop(&ike->fetches)) != NULL)
        give(ike, (struct waiting *)(void *)n, false, why);
}

void fetch_drop_all(struct ike *ike)
{
    struct table_node *n;
    while ((n = table_pop(&ike->fetches)) != NULL) {
        struct waiting *w = (struct waiting *)(void *)n;
        free(w->got);
        free(w);
    }
}
