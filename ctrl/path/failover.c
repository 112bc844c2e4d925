// SPDX-License-Identifier: Apache-2.0
// The card comes and goes. It is looked for twice a second and opened beside the packets; when it fails, its
// engine has made sure that it is silent, and every SA goes on in software: outbound from the end of its
// lease (never from "last seen"), inbound with exactly the sequences whose packets this process has taken.
// What the card had not given back is run again. It comes back as soon as it is well: new SAs use it, and
// those that it had, or that would have had it, go to it in order, number by number. Where it fails again,
// it is left alone for a while that doubles with each failure, and its SAs go back once it has been well for
// ten times as long, so that a card which fails again and again disturbs them less and less. One that does
// not even pass its test (driver/card/selftest.c) is left alone in the same way, but costs no SA anything.
#include "ctrl/path/path.h"

#include <errno.h>
#include <sys/epoll.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/opener.h"

enum { BACKOFF_FIRST_MS = 1000, BACKOFF_MOST_MS = 60000, CLOSE_WAIT_MS = 1500 };
enum { WELL_FOR_SAS = 10 }; // times the last back-off
// A card that was well for so long is no worse than one that has never failed. Of the longest back-off, not
// of the last: else one that fails at even intervals would for ever fail for the first time.
enum { WELL_AGAIN_MS = 100 * BACKOFF_MOST_MS };

static void card_ready(struct loop_fd *f, uint32_t events)
{
    struct path *p = f->ctx;
    (void)events;
    if (path_card(p))
        path_card(p)->ops->tick(path_card(p), loop_now(p->loop));
    path_pump(p);
}

static int watch(struct path *p, int fd, void (*ready)(struct loop_fd *, uint32_t), struct esp_error *err)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    en->fd = (struct loop_fd){.fd = fd, .events = EPOLLIN, .ready = ready, .ctx = p};
    int rc = loop_add(p->loop, &en->fd);
    return rc < 0 ? esp_fail(err, rc, "card", "cannot watch its events: %s", strerror(-rc)) : 0;
}

// After so many failures before this one: first at the next look, then after a while that doubles.
static uint64_t wait_ms(unsigned failures)
{
    uint64_t ms = failures ? BACKOFF_FIRST_MS : 0;
    for (unsigned i = 1; i < failures && ms < BACKOFF_MOST_MS; i++)
        ms *= 2;
    return ms < BACKOFF_MOST_MS ? ms : BACKOFF_MOST_MS;
}

// Each try has reset a card that is there and has given it memory; where there is none, or nobody answers
// for it, a look disturbs nobody.
static void rest(struct path_engine *en, uint64_t now, int code)
{
    if (code == -ENODEV || code == -ECONNREFUSED)
        return;
    uint64_t ms = wait_ms(en->refusals++);
    en->retry_at = now + (ms > en->backoff ? ms : en->backoff);
    en->state = ENGINE_BACKOFF;
}

static void not_opened(struct path *p, const struct esp_error *err)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    char why[200];
    rest(en, loop_now(p->loop), err->code);
    if (err->code == -ENODEV)
        snprintf(why, sizeof(why), "no card was found");
    else
        snprintf(why, sizeof(why), "the card is not usable: %.40s: %.120s", err->field, err->text);
    if (strcmp(why, en->reason) && err->code != -ENODEV)
        LOGF(ESP, 0, "%s", why);
    if (err->code == -ENODEV && en->failures) // after a failure its reason says more
        return;
    en->was_used = false;
    snprintf(en->reason, sizeof(en->reason), "%s", why);
}

// First those that must be in a card; others as far as there is room, and when others leave (busiest.c).
static void return_those(struct path *p, bool must)
{
    for (struct child *c = p->children; c && card_room(p, must); c = c->next)
        if (sadb_must_card(p, c) == must)
            (void)sadb_return(p, c);
}

static void return_sas(struct path *p)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    if (en->returned || loop_now(p->loop) - en->ready_at < WELL_FOR_SAS * en->backoff)
        return;
    en->returned = true;
    return_those(p, true);
    return_those(p, false);
}

static void opened(struct path *p, struct esp_engine *e, struct esp_error *err)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    en->state = ENGINE_ABSENT;
    if (e && watch(p, e->fd, card_ready, err) < 0) {
        e->ops->destroy(e);
        e = NULL;
    }
    if (!e) {
        not_opened(p, err);
        return;
    }
    en->e = e;
    en->state = ENGINE_READY;
    en->refusals = 0;
    card_totals_keep(&p->card_totals);
    en->ready_at = loop_now(p->loop);
    snprintf(en->name, sizeof(en->name), "%s", e->name);
    en->reason[0] = 0;
    en->was_used = false;
    en->returned = false;
    for (struct child *c = p->children; c; c = c->next)
        c->declined = false;
    LOGF(ESP, 1, "card %s is in use", en->name);
    if (e->note[0])
        LOGF(ESP, 0, "card %s: %s", en->name, e->note);
    return_sas(p);
}

static void opener_ready(struct loop_fd *f, uint32_t events)
{
    struct path *p = f->ctx;
    struct path_engine *en = &p->engines[PATH_CARD];
    struct esp_error err = {0};
    struct esp_engine *e;
    (void)events;
    if (!opener_wait(en->opener, 0))
        return;
    loop_del(p->loop, &en->fd);
    err.code = opener_take(en->opener, &e, &err);
    en->opener = NULL;
    opened(p, e, &err);
}

static void open_card(struct path *p)
{
    const struct settings *s = &p->set;
    struct path_engine *en = &p->engines[PATH_CARD];
    struct esp_error err = {0};
    if (!p->worker->dma &&
        esp_pool_create(&p->worker->dma, 2 * (PATH_ON_CARD + PATH_BURST), p->worker->buffer, &err) < 0) {
        not_opened(p, &err);
        return;
    }
    struct esp_card_options o = {.pci_sysfs = s->pci_sysfs,
                                 .bdf = strcmp(s->card, "auto") ? s->card : NULL,
                                 .pool = {p->worker->dma},
                                 .pool_count = 1,
                                 .no_thread = !p->threads};
    struct esp_engine *e = NULL;
    if (!p->threads) {
        err.code = esp_card_open(&e, &o, &err);
        opened(p, e, &err);
        return;
    }
    if (opener_start(&en->opener, &o, &err) < 0) {
        not_opened(p, &err);
        return;
    }
    en->state = ENGINE_OPENING;
    if (watch(p, opener_fd(en->opener), opener_ready, &err) < 0) // then by the next scan
        LOGF(ESP, 0, "%s: %s", err.field, err.text);
}

void card_scan(struct path *p)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    if (!strcmp(p->set.card, "none")) {
        snprintf(en->reason, sizeof(en->reason), "no card is wanted (--card none)");
        return;
    }
    if (en->state == ENGINE_READY) {
        return_sas(p);
        busiest_look(p);
    } else if (en->state == ENGINE_OPENING) {
        opener_ready(&en->fd, 0);
    } else if (!en->loud && (en->state == ENGINE_ABSENT ||
                             (en->state == ENGINE_BACKOFF && loop_now(p->loop) >= en->retry_at))) {
        open_card(p);
    }
}

void card_await(struct path *p, int ms)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    if (en->state == ENGINE_OPENING && opener_wait(en->opener, ms))
        opener_ready(&en->fd, 0);
}

// A thread that waits for a card which does not answer goes on, with what it uses: all that ends with the
// process.
static void close_opener(struct path *p)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    struct esp_error err;
    loop_del(p->loop, &en->fd);
    opener_give_up(en->opener);
    en->state = ENGINE_ABSENT;
    if (opener_wait(en->opener, CLOSE_WAIT_MS)) {
        (void)opener_take(en->opener, &en->e, &err);
    } else {
        p->worker->dma = NULL;
        p->thread_left = true;
    }
    en->opener = NULL;
}

void card_close(struct path *p)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    if (en->state == ENGINE_OPENING)
        close_opener(p);
    if (en->e)
        en->e->ops->destroy(en->e);
    en->e = NULL;
}

static bool take_over(struct half *h, struct esp_engine *card)
{
    struct esp_sa_params s = {.dir = half_dir(h)};
    if (card->ops->sa_handover(card, h->sa, &s) != 0)
        return false;
    sadb_take_over(h, s.seq, s.seen);
    return true;
}

// An SA that was still being added has protected nothing: it starts where it would have started. False: it
// cannot go on.
static bool move_half(struct path *p, struct half *h, struct esp_engine *card, struct esp_error *err)
{
    if (h->engine != card || h->state == HALF_NONE || h->state == HALF_FAILED)
        return true;
    if (h->state == HALF_DELETING || (h->child->dying && (h == &h->child->in || !h->child->in_flight))) {
        sadb_forget_half(p, h);
        return true;
    }
    if (h->state != HALF_ADDING && !take_over(h, card)) {
        sadb_forget_half(p, h);
        esp_fail(err, -EINVAL, card->name, "the card may still be using its sequence numbers");
        return false;
    }
    sadb_continue(p, h, err);
    return h->state != HALF_FAILED;
}

void card_failed(struct path *p, const struct esp_event *ev)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    struct child *next;
    if (path_card_failed(p))
        return;
    en->state = ENGINE_FAILED;
    en->loud = !ev->silent;
    p->failovers++;
    p->resume_from_us = loop_now_us(p->loop);
    p->failover_detect_us = p->card_last_us ? p->resume_from_us - p->card_last_us : 0;
    p->failover_moved = 0;
    snprintf(en->reason, sizeof(en->reason), "card %.40s failed: %.120s", en->name, ev->error.text);
    en->was_used = true;
    LOGF(ESP, 0, "%s", en->reason);
    for (struct child *c = p->children; c; c = next) {
        next = c->next;
        bool touched = c->in.engine == en->e || c->out.engine == en->e;
        struct esp_error err = {0};
        bool in = move_half(p, &c->in, en->e, &err), out = move_half(p, &c->out, en->e, &err); // both, always
        if (!touched)
            continue;
        if (!in || !out) {
            sadb_give_up(p, c, err.text);
        } else if (c->dying) {
            sadb_maybe_free(p, c);
        } else {
            sadb_set_offload(p, c, false, en->reason);
            c->card_missing = true;
            p->failover_moved += (c->in.state != HALF_NONE) + (c->out.state != HALF_NONE);
            ipc_send(p->ike, MSG_CHILD_EVENT,
                     &(struct msg_CHILD_EVENT){.child_id = c->c.child_id, .event = CHILD_EVENT_MOVED});
        }
    }
}

// One that fails for the first time in a long while is tried again at once.
static void back_off(struct path_engine *en, uint64_t now)
{
    if (now - en->ready_at >= WELL_AGAIN_MS)
        en->failures = 0;
    en->backoff = wait_ms(en->failures++);
    en->retry_at = now + en->backoff;
    en->state = ENGINE_BACKOFF;
}

void card_leave(struct path *p)
{
    struct path_engine *en = &p->engines[PATH_CARD];
    struct esp_engine *card = en->e;
    loop_del(p->loop, &en->fd);
    en->e = NULL;
    io_leave_card(p->worker);
    card->ops->destroy(card);
    LOGF(ESP, 0, "%llu SAs moved to software, %llu packets run again", (unsigned long long)p->failover_moved,
         (unsigned long long)p->worker->rerun);
    back_off(en, loop_now(p->loop));
    if (en->loud)
        LOGF(ESP, 0, "card %s is not used again: it could not be shown silent", en->name);
}
