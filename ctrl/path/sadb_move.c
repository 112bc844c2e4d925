// SPDX-License-Identifier: Apache-2.0
// The halves of a child SA in engines: added to one, leased numbers by a card, from one to another in order.
#include "ctrl/path/sadb.h"

#include <errno.h>
#include <stdlib.h>
#include <openssl/crypto.h>

#include "ctrl/lib/log.h"

#define NEVER UINT64_MAX

bool sadb_seen_room(struct child *c)
{
    size_t octets = child_seen_octets(c);
    if (!c->seen && octets)
        c->seen = calloc(1, octets);
    return c->seen || !octets;
}

void sadb_no_seen(struct child *c)
{
    free(c->seen);
    c->seen = NULL;
}

int sadb_add_half(struct path *p, struct half *h, struct esp_engine *e, struct esp_error *err)
{
    if (!e)
        return esp_fail(err, -ENODEV, "engine", "there is none");
    if (h->child->in_kernel && e != path_kernel(p)) // whose IVs nobody else knows
        return esp_fail(err, -EINVAL, "engine", "its keys are the kernel's");
    struct esp_sa_params params;
    struct child_lease *l = &h->child->lease;
    if (half_dir(h) == ESP_OUT) {
        if (e == path_card(p)) {
            uint64_t room = h->child->c.esn ? UINT64_MAX : 1ull << 32;
            l->size = l->size ? l->size : p->set.lease_min;
            l->limit = room - h->seq > l->size ? h->seq + l->size : room;
            l->extended = loop_now(p->loop);
        } else {
            l->limit = NEVER;
        }
    }
    if (h == &h->child->in && e == path_card(p) && !sadb_seen_room(h->child))
        return esp_fail(err, -ENOMEM, "sa", "out of memory");
    h->leasing = h->spent = h->moved = false;
    sadb_params(h, &params);
    params.queue = e == path_card(p) ? 0 : (uint16_t)h->child->w->index;
    int rc = e->ops->sa_add(e, &params, h, &h->sa, err);
    OPENSSL_cleanse(&params, sizeof(params));
    h->queued = rc == -EAGAIN; // its command ring is full: again when it has answered some
    if (h->queued) {
        p->retry = true;
        rc = 0;
    }
    if (rc == 0) {
        h->engine = e;
        h->state = HALF_ADDING;
        sadb_slot(p, h, e == path_card(p));
    }
    return rc;
}

bool sadb_let_leave(struct half *h)
{
    if (h->child->in_kernel)
        return false;
    if (h->engine->ops->sa_delete(h->engine, h->sa) < 0)
        return false; // a failed card: FAILED comes and moves it
    h->state = HALF_MOVING;
    return true;
}

void sadb_leave(struct path *p, struct half *h, const char *why)
{
    if (!sadb_let_leave(h))
        return;
    h->child->declined = true;
    LOGF_SA(1, h->child, "child %s{%u}: %s; on in software", h->child->c.name, h->child->c.child_id, why);
    sadb_set_offload(p, h->child, false, why);
}

// About a second of the observed rate: a lease that lasts less than a second is doubled, up to 2^22 packets,
// so that the numbers skipped when a card fails stay far below what a peer's window inference bears (RFC 4303
// appendix A).
void sadb_lease_low(struct path *p, struct half *h)
{
    uint64_t now = loop_now(p->loop);
    uint64_t room = h->child->c.esn ? UINT64_MAX : 1ull << 32;
    struct child_lease *l = &h->child->lease;
    if (h->leasing || h->state != HALF_READY || h->engine != path_card(p))
        return;
    if (now - l->extended < 1000 && l->size < 1u << 22)
        l->size *= 2;
    uint64_t limit = room - l->limit > l->size ? l->limit + l->size : room;
    if (limit == l->limit) {
        h->spent = true;
        return;
    }
    int rc = h->engine->ops->sa_lease(h->engine, h->sa, limit);
    if (rc == 0) {
        h->leasing = true;
        l->extended = now;
        l->limit = limit;
    } else if (rc == -EINVAL) {
        sadb_leave(p, h, "the card takes no lease");
    } else {
        p->retry = true; // a card that has failed: FAILED comes first
    }
}

static int continue_in(struct path *p, struct half *h, struct esp_engine *e, struct esp_error *err)
{
    sadb_forget_half(p, h);
    return sadb_add_half(p, h, e, err);
}

void sadb_continue(struct path *p, struct half *h, struct esp_error *err)
{
    if (continue_in(p, h, path_soft(p), err) < 0)
        h->state = HALF_FAILED;
}

static void go_home(struct path *p, struct half *h)
{
    if (h->engine == path_soft(p) && h->engine->ops->sa_delete(h->engine, h->sa) == 0) {
        h->state = HALF_MOVING;
        h->homeward = true;
        sadb_slot(p, h, true);
    }
}

bool sadb_return(struct path *p, struct child *c)
{
    struct esp_engine *card = path_card(p);
    struct esp_error why = {0};
    if (!c->card_missing || c->dying || c->w != p->worker || c->in.state != HALF_READY ||
        c->out.state != HALF_READY || sadb_capable(card, &c->in, &why) < 0 ||
        sadb_capable(card, &c->out, &why) < 0 || !sadb_seen_room(c))
        return false;
    go_home(p, &c->in);
    go_home(p, &c->out);
    return c->in.homeward || c->out.homeward;
}

// Software has let go of it. A card that has gone again, or has no room: software it is.
void sadb_arrive_home(struct path *p, struct half *h, struct esp_error *err)
{
    struct esp_engine *card = path_card_failed(p) ? NULL : path_card(p);
    h->homeward = false;
    if (!card || continue_in(p, h, card, err) < 0) {
        h->child->path_since = loop_now(p->loop); // it does not try again at once
        sadb_continue(p, h, err);
    }
}

bool sadb_is_home(const struct path *p, const struct child *c)
{
    return c->in.state == HALF_READY && c->out.state == HALF_READY && c->in.engine == path_card(p) &&
           c->out.engine == path_card(p);
}
