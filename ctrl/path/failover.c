// SPDX-License-Identifier: Apache-2.0
// The card comes and goes. It is looked for once a second; when it fails, its engine has made sure that it is
// silent, and every SA goes on in software: outbound from the end of its lease (never from "last seen"),
// inbound with exactly the sequences whose packets this process has taken. What the card had not given back
// is run again.
#include "ctrl/path/path.h"

#include <errno.h>
#include <sys/epoll.h>

#include "ctrl/lib/log.h"

static void card_ready(struct loop_fd *f, uint32_t events)
{
    struct path *p = f->ctx;
    (void)events;
    if (p->card)
        p->card->ops->tick(p->card, loop_now(p->loop));
    io_pump(p);
}

static int open_card(struct path *p, struct esp_error *err)
{
    const struct settings *s = p->env->settings;
    struct esp_card_options o = {.pci_sysfs = s->pci_sysfs, .bdf = strcmp(s->card, "auto") ? s->card : NULL};
    struct esp_engine *e;
    int rc = esp_card_open(&e, &o, err);
    if (rc < 0)
        return rc;
    if ((rc = e->ops->attach_pool(e, p->pool, err)) < 0) {
        e->ops->destroy(e);
        return rc;
    }
    p->card_fd = (struct loop_fd){.fd = e->fd, .events = EPOLLIN, .ready = card_ready, .ctx = p};
    if ((rc = loop_add(p->loop, &p->card_fd)) < 0) {
        e->ops->destroy(e);
        return esp_fail(err, rc, e->name, "cannot watch its events: %s", strerror(-rc));
    }
    p->card = e;
    snprintf(p->card_name, sizeof(p->card_name), "%s", e->name);
    p->card_reason[0] = 0;
    return 0;
}

void card_scan(struct path *p)
{
    struct esp_error err = {0};
    char why[200];
    if (p->card || p->card_failed)
        return;
    if (!strcmp(p->env->settings->card, "none")) {
        snprintf(p->card_reason, sizeof(p->card_reason), "no card is wanted (--card none)");
        return;
    }
    int rc = open_card(p, &err);
    if (rc == 0) {
        LOGF(ESP, 1, "card %s is in use", p->card_name);
        return;
    }
    if (rc == -ENODEV)
        snprintf(why, sizeof(why), "no card was found");
    else
        snprintf(why, sizeof(why), "the card is not usable: %.40s: %.120s", err.field, err.text);
    if (strcmp(why, p->card_reason) && rc != -ENODEV)
        LOGF(ESP, 0, "%s", why);
    snprintf(p->card_reason, sizeof(p->card_reason), "%s", why);
}

// An SA that was still being added has protected nothing: it starts where it would have started. False: it
// cannot go on.
static bool move_half(struct path *p, struct half *h, struct esp_engine *card, struct esp_error *err)
{
    if (h->engine != card || h->state == HALF_NONE || h->state == HALF_FAILED)
        return true;
    if (h->state == HALF_DELETING || h->child->dying) {
        sadb_forget_half(p, h);
        return true;
    }
    if (h->state != HALF_ADDING && card->ops->sa_handover(card, h->sa, &h->params) != 0) {
        sadb_forget_half(p, h);
        esp_fail(err, -EINVAL, card->name, "the card may still be using its sequence numbers");
        return false;
    }
    sadb_continue(p, h, err);
    return h->state != HALF_FAILED;
}

void card_failed(struct path *p, const struct esp_error *why)
{
    struct child *next;
    if (p->card_failed)
        return;
    p->card_failed = true;
    p->failovers++;
    p->resume_from_us = loop_now_us(p->loop);
    p->failover_detect_us = p->card_last_us ? p->resume_from_us - p->card_last_us : 0;
    p->failover_moved = 0;
    snprintf(p->card_reason, sizeof(p->card_reason), "card %s failed: %.120s", p->card_name, why->text);
    LOGF(ESP, 0, "%s", p->card_reason);
    for (struct child *c = p->children; c; c = next) {
        next = c->next;
        bool touched = c->in.engine == p->card || c->out.engine == p->card;
        struct esp_error err = {0};
        bool in = move_half(p, &c->in, p->card, &err),
             out = move_half(p, &c->out, p->card, &err); // both, always
        if (!touched)
            continue;
        if (!in || !out) {
            sadb_give_up(p, c, err.text);
        } else if (c->dying) {
            sadb_maybe_free(p, c);
        } else {
            sadb_set_offload(p, c, false, p->card_reason);
            p->failover_moved += (c->in.state != HALF_NONE) + (c->out.state != HALF_NONE);
            ipc_send(p->ike, MSG_CHILD_EVENT,
                     &(struct msg_CHILD_EVENT){.child_id = c->c.child_id, .event = CHILD_EVENT_MOVED});
        }
    }
}

void card_leave(struct path *p)
{
    struct esp_engine *card = p->card;
    loop_del(p->loop, &p->card_fd);
    p->card = NULL;
    io_leave_card(p);
    card->ops->destroy(card);
    LOGF(ESP, 0, "%llu SAs moved to software, %llu packets run again", (unsigned long long)p->failover_moved,
         (unsigned long long)p->rerun);
}
