// SPDX-License-Identifier: Apache-2.0
// See kernel_esp.h: the engine, which SAs it takes, and what it says of them. Policies and routes are
// kernel_way.c's.
#include "ctrl/path/kernel_esp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/io.h"
#include "ctrl/path/kernel_way.h"
#include "ctrl/path/sadb.h"

enum { ASKED_AT_ONCE = 64 };          // SAs, in one look
enum { EVENTS = 16, SAS_MAX = 1024 }; // that are looked at in turn

// ---- opening and closing

static void pump(struct path *p)
{
    struct esp_engine *e = path_kernel(p);
    struct esp_event ev[EVENTS];
    unsigned n;
    if (!e)
        return;
    do {
        n = e->ops->events(e, ev, EVENTS);
        for (unsigned i = 0; i < n; i++)
            sadb_event(p, e, &ev[i]);
    } while (n == EVENTS);
}

void kernel_esp_tick(struct path *p)
{
    if (!path_kernel(p))
        return;
    path_kernel(p)->ops->tick(path_kernel(p), loop_now(p->loop));
    pump(p);
    kernel_esp_turn(p);
}

static void ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    kernel_esp_tick(f->ctx);
    path_pump(f->ctx);
}

void kernel_unusable(struct path *p, const char *field, const char *text)
{
    struct kernel_esp *k = &p->kern;
    if (k->unusable[0])
        return;
    snprintf(k->unusable, sizeof(k->unusable), "the kernel's ESP is not used: %.40s: %.100s", field, text);
    LOGF(KNL, 0, "%s", k->unusable);
}

static int watch(struct path *p, struct esp_error *err)
{
    struct path_engine *en = &p->engines[PATH_KERNEL];
    en->fd = (struct loop_fd){.fd = en->e->fd, .events = EPOLLIN, .ready = ready, .ctx = p};
    int rc = loop_add(p->loop, &en->fd);
    return rc < 0 ? esp_fail(err, rc, "kernel", "cannot watch its events: %s", strerror(-rc)) : 0;
}

void kernel_esp_open(struct path *p)
{
    struct path_engine *en = &p->engines[PATH_KERNEL];
    struct esp_error err = {0};
    int rc = p->kernel->ops->engine ? p->kernel->ops->engine(p->kernel, &en->e, &err)
                                    : esp_fail(&err, -ENODEV, "kernel", "there is none");
    if (rc == 0 && !p->set.kernel_esp) { // what was to go has gone
        en->e->ops->destroy(en->e);
        en->e = NULL;
        return;
    }
    if (!p->set.kernel_esp)
        return;
    if (rc == 0 && !p->set.install_routes)
        rc = esp_fail(&err, -EINVAL, "install_routes", "what it protects needs routes of its own");
    if (rc == 0 && !p->kernel->hooks4) // what the kernel itself says of a packet quotes it
        rc = esp_fail(&err, -EOPNOTSUPP, "nf_tables", "there is none, or it lacks something");
    if (rc == 0)
        rc = watch(p, &err);
    if (rc == 0) {
        en->state = ENGINE_READY;
        snprintf(en->name, sizeof(en->name), "%s", en->e->name);
        return;
    }
    if (en->e)
        en->e->ops->destroy(en->e);
    en->e = NULL;
    kernel_unusable(p, err.field, err.text);
}

void kernel_esp_close(struct path *p)
{
    struct path_engine *en = &p->engines[PATH_KERNEL];
    if (!en->e)
        return;
    kernel_ways_close(p);
    loop_del(p->loop, &en->fd);
    en->e->ops->destroy(en->e);
    en->e = NULL;
    en->state = ENGINE_ABSENT;
}

// ---- which SAs

static const char *unfit(struct path *p, const struct child *c)
{
    if (p->kern.unusable[0] || !path_kernel(p))
        return p->kern.unusable;
    if (c->ah)
        return "by AH";
    if (c->c.mode != MODE_TUNNEL)
        return "in transport mode";
    if (c->c.local.family != 4)
        return "its ends are not IPv4";
    if (c->c.udp_encap)
        return "in UDP";
    if (c->c.tfc_dummies)
        return "dummy packets (tfc_dummies)";
    if (c->c.fence)
        return "of a fleet, whose lease is looked at for each packet";
    if (c->vti)
        return "by a TUN of its own";
    return p->kern.count >= SAS_MAX ? "there are as many already as espalierd looks after" : NULL;
}

bool kernel_esp_takes(struct path *p, struct child *c, char *why, unsigned size)
{
    struct esp_error err = {0};
    char other[100] = "";
    const char *no = NULL;
    why[0] = 0;
    if (!p->set.kernel_esp)
        return false;
    if (!(no = unfit(p, c)))
        no = kernel_way_unfit(p, c, other, sizeof(other));
    if (!no && kernel_way_link(p, c, &err) == -EACCES)
        no = err.text;
    if (!no &&
        (sadb_capable(path_kernel(p), &c->in, &err) < 0 || sadb_capable(path_kernel(p), &c->out, &err) < 0))
        no = err.text;
    if (no)
        snprintf(why, size, p->kern.unusable[0] ? "%.150s%.0s" : "not in the kernel: %.100s%.60s", no, other);
    return !no;
}

int kernel_esp_add(struct path *p, struct child *c, struct esp_error *err)
{
    int rc = kernel_child_new(p, c, err);
    if (rc == 0)
        rc = sadb_add_half(p, &c->in, path_kernel(p), err);
    if (rc == 0)
        rc = sadb_add_half(p, &c->out, path_kernel(p), err);
    return rc;
}

// ---- what it says

static void to_ike(struct path *p, const struct child *c, uint8_t event)
{
    ipc_send(p->ike, MSG_CHILD_EVENT, &(struct msg_CHILD_EVENT){.child_id = c->c.child_id, .event = event});
}

static void heard(struct path *p, struct child *c)
{
    uint64_t now = loop_now(p->loop);
    if (!c->aside && c->out_after)
        c->out_after = 0; // its peer has it, and sends by it
    if (now - c->traffic_event_at >= 1000) {
        c->traffic_event_at = now;
        to_ike(p, c, CHILD_EVENT_TRAFFIC_IN);
    }
}

static void counted(struct path *p, struct half *h, const struct esp_sa_stats *s)
{
    struct child *c = h->child;
    bool out = half_dir(h) == ESP_OUT;
    struct engine_count *n = &p->worker->count[PATH_KERNEL];
    uint64_t packets = s->packets - h->packets, octets = s->bytes - h->bytes;
    h->drops = s->drops;
    if (s->forged > h->used.forged && !c->dying)
        limit_forged(h, s->forged - h->used.forged);
    if (s->packets <= h->packets)
        return;
    *(out ? &n->packets_out : &n->packets_in) += packets;
    *(out ? &n->bytes_out : &n->bytes_in) += octets;
    h->packets = s->packets;
    h->bytes = s->bytes;
    h->last_seq = s->last_seq > h->last_seq ? s->last_seq : h->last_seq;
    h->used_at = loop_now(p->loop);
    if (c->dying)
        return;
    limit_many(h, packets, octets, h->last_seq);
    if (!out)
        heard(p, c);
}

// Somebody else has taken it away, or it has come to its end.
static void ended(struct path *p, struct half *h, const struct esp_event *ev)
{
    if (h->child->dying)
        return;
    if (ev->status != ESP_STATUS_HARD_LIMIT) {
        sadb_give_up(p, h->child, "somebody else has taken it away from the kernel");
        return;
    }
    h->ended = true;
    limit_event(h->child, CHILD_EVENT_HARD_LIMIT);
}

static bool is_mismatch(const struct esp_event *ev)
{
    return ev->error.code != -EEXIST && ev->error.code != -ENOMEM && ev->error.code != -ENOBUFS;
}

// What the kernel takes by a key that has come to its end, it takes as long as it has it.
static void key_ended(struct path *p, const struct half *h)
{
    if (h->ended && !h->child->dying && half_dir(h) == ESP_IN)
        sadb_give_up(p, h->child, "its key lasts for no more");
}

void kernel_esp_event(struct path *p, const struct esp_event *ev)
{
    struct half *h = ev->cookie;
    switch (ev->type) {
    case ESP_EVENT_SA_REFUSED: // it is capable, and does not: not to be asked again and again
        if (is_mismatch(ev))
            kernel_unusable(p, ev->error.field, ev->error.text);
        break;
    case ESP_EVENT_SA_STATS:
    case ESP_EVENT_SA_DELETED:
        counted(p, h, &ev->stats);
        key_ended(p, h);
        break;
    case ESP_EVENT_SA_SOFT_LIMIT:
        counted(p, h, &ev->stats);
        limit_event(h->child, CHILD_EVENT_SOFT_LIMIT);
        break;
    case ESP_EVENT_SA_ENDED:
        counted(p, h, &ev->stats);
        ended(p, h, ev);
        break;
    default: break;
    }
}

static void ask(struct path *p, const struct half *h)
{
    if (h->state == HALF_READY)
        (void)path_kernel(p)->ops->sa_query(path_kernel(p), h->sa);
}

void kernel_esp_refresh(struct path *p, const struct child *c)
{
    if (!c->in_kernel || !path_kernel(p))
        return;
    ask(p, &c->in);
    ask(p, &c->out);
    pump(p);
}

void kernel_esp_look(struct path *p)
{
    struct kernel_esp *k = &p->kern;
    unsigned at = 0;
    if (k->turn >= k->count)
        k->turn = 0;
    for (struct kernel_child *i = k->children; i; i = i->next, at++)
        if (at >= k->turn && at < k->turn + ASKED_AT_ONCE) {
            ask(p, &i->c->in);
            ask(p, &i->c->out);
        }
    k->turn += ASKED_AT_ONCE;
    pump(p);
}

void kernel_esp_packet(struct worker *w, struct packet *pkt)
{
    if (pkt->job.op == ESP_ENCAP) {
        io_drop(w, pkt, ESP_STATUS_SA_INVALID);
    } else {
        packet_release(w, pkt);
    }
}
