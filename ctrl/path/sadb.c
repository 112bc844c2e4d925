// SPDX-License-Identifier: Apache-2.0
// Child SAs: how they are found and end, and what the engines answer. They are installed in sadb_install.c
// and change their engine in sadb_move.c.
#include "ctrl/path/sadb.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "ctrl/lib/log.h"

// hash_u64 gives no two numbers of 32 bits the same hash: what is found is it.
struct child *sadb_by_spi(struct path *p, uint32_t spi)
{
    struct hash_one *n = hash_only(&p->by_spi, hash_u64(spi));
    return n ? (struct child *)((char *)n - offsetof(struct child, spi_node)) : NULL;
}

struct child *sadb_by_id(struct path *p, uint32_t child_id)
{
    struct hash_one *n = hash_only(&p->by_id, hash_u64(child_id));
    return n ? (struct child *)((char *)n - offsetof(struct child, id_node)) : NULL;
}

// Nothing but a text hangs on it: without memory there is none.
static struct reason *reason_want(struct path *p, const char *text)
{
    size_t octets = strlen(text) + 1;
    if (!p->reason || strcmp(p->reason->text, text)) {
        struct reason *r = malloc(sizeof(*r) + octets);
        if (!r)
            return NULL;
        r->users = 0;
        memcpy(r->text, text, octets);
        p->reason = r;
    }
    p->reason->users++;
    return p->reason;
}

static void reason_leave(struct path *p, struct reason *r)
{
    if (!r || --r->users)
        return;
    if (p->reason == r)
        p->reason = NULL;
    free(r);
}

void sadb_set_offload(struct path *p, struct child *c, bool on_card, const char *reason)
{
    struct reason *old = c->reason;
    c->reason = reason[0] ? reason_want(p, reason) : NULL;
    reason_leave(p, old);
    c->on_card = on_card;
    c->path_since = loop_now(p->loop);
}

void sadb_slot(struct path *p, struct half *h, bool takes)
{
    uint32_t *count = &p->card_slots[half_dir(h)];
    if (h->slot != takes)
        *count = takes ? *count + 1 : *count - 1;
    h->slot = takes;
}

static void unlink_child(struct path *p, struct child *c)
{
    idle_stop(p, c);
    dummies_stop(p, c);
    sadb_slot(p, &c->in, false);
    sadb_slot(p, &c->out, false);
    p->of_mode[c->c.hw_offload]--;
    p->survivors -= c->survivor;
    vti_child_goes(p, c);
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    hash_take(&p->by_spi, &c->spi_node);
    hash_take(&p->by_id, &c->id_node);
}

static void free_child(struct path *p, struct child *c)
{
    unlink_child(p, c);
    kernel_esp_goes(p, c);
    spd_release(p, c);
    reason_leave(p, c->reason);
    free(c->before);
    free(c->seen);
    OPENSSL_cleanse(c, c->size);
    free(c); // still locked: its page may hold another one's keys
}

static bool half_gone(const struct half *h)
{
    return h->state == HALF_NONE || h->state == HALF_FAILED;
}

static void delete_half(struct path *p, struct half *h);

// Its outbound half leaves its engine after its last packet.
void sadb_maybe_free(struct path *p, struct child *c)
{
    if (!c->dying || c->in_flight)
        return;
    delete_half(p, &c->out);
    if (half_gone(&c->out) && half_gone(&c->in))
        free_child(p, c);
}

void sadb_free_dying(struct path *p)
{
    for (struct child *c = p->children, *next; c; c = next) {
        next = c->next;
        sadb_maybe_free(p, c);
    }
}

void sadb_forget_half(struct path *p, struct half *h)
{
    sadb_slot(p, h, false);
    h->state = HALF_NONE;
    h->sa = NULL;
    h->engine = NULL;
    h->leasing = h->queued = h->spent = h->homeward = false;
}

void sadb_hold(struct child *c)
{
    c->in_flight++;
}

void sadb_let_go(struct path *p, struct child *c)
{
    c->in_flight--;
    sadb_maybe_free(p, c);
}

static void drop_waiting(struct half *h)
{
    struct packet *pkt;
    while ((pkt = list_pop(&h->waiting))) {
        h->child->w->waiting--;
        io_drop(h->child->w, pkt, ESP_STATUS_SA_INVALID);
    }
}

static void delete_half(struct path *p, struct half *h)
{
    if (h->queued) {
        sadb_forget_half(p, h);
    } else if (h->state == HALF_READY) {
        (void)h->engine->ops->sa_delete(h->engine,
                                        h->sa); // refused by a failed card: then FAILED comes and ends it
        h->state = HALF_DELETING;
    } else if (h->state == HALF_MOVING) {
        h->state = HALF_DELETING;
    }
    // ADDING: its answer finds the child dying and deletes it then
}

void sadb_begin_delete(struct path *p, struct child *c)
{
    if (c->survivor)
        survivors_goes(p, c);
    c->dying = true;
    hash_take(&p->by_id, &c->id_node);
    idle_stop(p, c);
    dummies_stop(p, c);
    spd_retire(p, c); // a deleted one takes no new packets
    sadb_hold(c);
    drop_waiting(&c->in);
    delete_half(p, &c->in);
    io_move_on(c->w, c);
    sadb_let_go(p, c);
}

void sadb_delete(struct path *p, uint32_t child_id)
{
    struct child *c = sadb_by_id(p, child_id);
    if (c) {
        sadb_report(p, c, false, "it was deleted while it was being added"); // who asked waits no longer
        sadb_begin_delete(p, c);
    }
}

void sadb_clear(struct path *p)
{
    while (p->children) { // at exit: the engines are destroyed next, which zeroises their side
        struct child *c = p->children;
        sadb_hold(c);
        drop_waiting(&c->out);
        drop_waiting(&c->in);
        free_child(p, c);
    }
}

void sadb_next_keys(struct path *p)
{
    for (struct child *c = p->children; c; c = c->next)
        c->reported = true;
}

void sadb_report(struct path *p, struct child *c, bool ok, const char *text)
{
    if (c->reported)
        return;
    c->reported = true;
    ipc_result(p->keys, c->keys_req, ok, "%s", text);
}

// One that carried traffic and cannot go on: nothing of it leaves in clear, its packets are dropped until ike
// has another.
void sadb_give_up(struct path *p, struct child *c, const char *why)
{
    if (c->dying) { // its last packets cannot leave
        sadb_hold(c);
        drop_waiting(&c->out);
        sadb_let_go(p, c);
        return;
    }
    LOGF_SA(0, c, "child %s{%u} cannot go on and is deleted: %s", c->c.name, c->c.child_id, why);
    sadb_report(p, c, false, why);
    limit_last(p, c);
    sadb_begin_delete(p, c);
}

// ---- answers of the engines

// It has been deleted meanwhile: outbound for the packets that it had taken.
static void added_to_die(struct path *p, struct half *h)
{
    struct child *c = h->child;
    sadb_hold(c);
    if (h == &c->in)
        delete_half(p, h);
    else
        io_flush_waiting(c->w, h);
    sadb_let_go(p, c);
}

// Of one that had moved to the card as a whole the other half has not been taken: with it to software, where
// that may wait for another try, or be one SA less that takes a slot.
static void follow_refused(struct path *p, struct half *h)
{
    if (h->engine == path_card(p) && h->state == HALF_READY) {
        (void)sadb_let_leave(h);
    } else if (h->homeward) {
        h->homeward = false;
        sadb_slot(p, h, false);
    } // ADDING: once it is there
}

static void added(struct path *p, struct half *h, struct esp_sa *sa)
{
    struct child *c = h->child;
    bool unwanted = c->installed && c->declined && !c->dying;
    h->sa = sa;
    h->state = HALF_READY;
    if (h == &c->in && h->engine == path_soft(p))
        sadb_no_seen(c);
    if (c->dying) {
        added_to_die(p, h);
        return;
    }
    if (c->in.state == HALF_READY && c->out.state == HALF_READY && !c->reported) {
        LOGF_SA(1, c, "child %s{%u}: SPIs %08x_i %08x_o in %s%s%s", c->c.name, c->c.child_id, c->c.spi_in,
                c->c.spi_out, child_offload(c), c->reason ? ": " : "", child_reason(c));
        c->installed = true;
        heir_serves(p, c);
        idle_start(p, c);
        dummies_start(p, c);
        busiest_follows(p, c);
        sadb_report(p, c, true, "");
    }
    if (c->card_missing && sadb_is_home(p, c)) {
        c->card_missing = false;
        sadb_set_offload(p, c, true, "");
        LOGF_SA(1, c, "child %s{%u} is in card %s", c->c.name, c->c.child_id, p->engines[PATH_CARD].name);
    }
    sadb_endpoint_added(p, h);
    if (unwanted)
        follow_refused(p, h);
    if (h->state == HALF_READY)
        io_flush_waiting(c->w, h);
}

// The engine had second thoughts (a full bucket, a field it cannot do): in software where that is allowed,
// otherwise undone.
static void refused(struct path *p, struct half *h, const struct esp_event *ev)
{
    struct child *c = h->child;
    enum offload_mode mode;
    struct esp_error err = ev->error;
    bool was_card = h->engine == path_card(p);
    h->state = HALF_FAILED;
    h->sa = NULL;
    sadb_slot(p, h, false);
    sadb_want_card(p, c, &mode);
    c->declined |= was_card;
    if (was_card && (mode == OFFLOAD_AUTO || c->card_missing) && // missing: it was in software before
        (!c->dying || h->waiting.count)) {
        char why[200];
        snprintf(why, sizeof(why), "the card refuses it: %.150s",
                 ev->error.text[0] ? ev->error.text : esp_status_name(ev->status));
        LOGF_SA(1, c, "child %s{%u}: %s; in software", c->c.name, c->c.child_id, why);
        if (sadb_add_half(p, h, path_soft(p), &err) == 0) {
            sadb_set_offload(p, c, false, why);
            if (c->installed && !c->dying)
                follow_refused(p, h == &c->in ? &c->out : &c->in);
            return;
        }
    }
    char text[300];
    snprintf(text, sizeof(text), "%s: %s", err.field[0] ? err.field : "engine",
             err.text[0] ? err.text : esp_status_name(ev->status));
    if (c->dying || c->reported) { // it moved: ike believes that it is there
        sadb_give_up(p, c, text);
    } else {
        sadb_report(p, c, false, text);
        sadb_begin_delete(p, c);
    }
}

static void leased(struct path *p, struct half *h, const struct esp_event *ev)
{
    char why[100];
    h->leasing = false;
    if (h->state != HALF_READY)
        return;
    if (ev->status != ESP_STATUS_OK) {
        snprintf(why, sizeof(why), "the card refuses a lease or new ends: %s", esp_status_name(ev->status));
        sadb_leave(p, h, why);
    } else {
        io_flush_waiting(h->child->w, h);
    }
}

void sadb_take_over(struct half *h, uint64_t seq, const uint64_t *seen)
{
    struct child *c = h->child;
    size_t octets = half_dir(h) == ESP_IN ? child_seen_octets(c) : 0;
    h->seq = seq;
    if (octets)
        memcpy(c->seen, seen, octets);
    if (half_dir(h) == ESP_OUT && h->last_seq >= h->seq)
        h->seq = h->last_seq + 1;
}

// MOVING: it had drained, so the engine knows where the next one starts.
static void deleted(struct path *p, struct half *h, const struct esp_event *ev)
{
    struct child *c = h->child;
    struct esp_error err = {0};
    if (h->state != HALF_MOVING) {
        sadb_forget_half(p, h);
        sadb_maybe_free(p, c);
        return;
    }
    sadb_take_over(h, ev->next.seq, ev->next.seen);
    if (h->homeward)
        sadb_arrive_home(p, h, &err);
    else
        sadb_continue(p, h, &err);
    if (h->state == HALF_FAILED)
        sadb_give_up(p, c, err.text);
}

static void retry_half(struct path *p, struct half *h)
{
    struct esp_event ev = {.type = ESP_EVENT_SA_REFUSED, .cookie = h, .status = ESP_STATUS_SA_INVALID};
    if (h->queued && sadb_add_half(p, h, h->engine, &ev.error) < 0)
        refused(p, h, &ev);
    else if (h->state == HALF_READY && h->waiting.count)
        sadb_lease_low(p, h);
}

void sadb_retry(struct path *p)
{
    struct child *next;
    if (!p->retry)
        return;
    p->retry = false;
    for (struct child *c = p->children; c; c = next) {
        sadb_hold(c);
        retry_half(p, &c->in);
        retry_half(p, &c->out);
        next = c->next;
        sadb_let_go(p, c);
    }
}

void sadb_event(struct path *p, struct esp_engine *e, const struct esp_event *ev)
{
    struct half *h = ev->cookie;
    if (e == path_card(p) && path_card_failed(p))
        return; // after FAILED it knows of nothing any more
    if (e == path_kernel(p))
        kernel_esp_event(p, ev);
    switch (ev->type) {
    case ESP_EVENT_SA_ADDED: added(p, h, ev->sa); break;
    case ESP_EVENT_SA_REFUSED: refused(p, h, ev); break;
    case ESP_EVENT_SA_DELETED: deleted(p, h, ev); break;
    case ESP_EVENT_SA_LEASED: leased(p, h, ev); break;
    case ESP_EVENT_SA_STATS: break; // path counts for itself
    case ESP_EVENT_QUEUE_RESET:
        LOGF(ESP, 0, "card %s: %s; it was started afresh", ev->error.field, ev->error.text);
        break;
    case ESP_EVENT_SA_SOFT_LIMIT: // of the kernel's: kernel_esp_event
    case ESP_EVENT_SA_SOURCE:
    case ESP_EVENT_SA_ENDED: break;
    case ESP_EVENT_FAILED: card_failed(p, ev); break;
    }
}
