// SPDX-License-Identifier: Apache-2.0
// Route-based tunnels. A child with `if_id_in` and `if_id_out` (equal) has a TUN of its own, named "ipsec"
// and that number, and what is routed into it is what is protected: routing chooses, as it does between
// XFRM interfaces with charon, and two children with the same selectors do not meet.
//
//   One SPD for each TUN (RFC 4301 section 4.4.1: an SPD per interface). A policy is in the classifier of its
//   TUN, and a packet out of a TUN is looked up there and nowhere else; what comes out of an SA is looked up
//   in the SPD of the SA's policy and leaves by that TUN. In `struct fields` the TUN stands beside the
//   addresses, so flows and fragments of two TUNs are never one. Everything else (SAs, instances, heirs,
//   engines, MTU, the way to the peer) does not know the difference.
//
//   Closed: what meets no policy there, or one without an SA, is dropped and counted (and asks for an SA
//   where it traps). It never goes past us in clear, unlike what the TUN that all share has brought. For such
//   a policy the kernel holds nothing: no rules and routes, as those are the operator's or his routing
//   daemon's, and no blocks, as 0.0.0.0/0 === 0.0.0.0/0 means nothing outside of the TUN. What is routed
//   elsewhere is none of its business: a route of last resort that is a `blackhole` keeps it closed.
//
//   The device lives from the load to the unload of its last policy, or until the last SA of that has gone.
//   It is persistent: between the end of this process, whatever that was, and the next run it stays where it
//   is with its routes, and what comes into it is dropped by the kernel. The next run finds it by its alias
//   (this instance's tag), takes it over, and removes it when the whole configuration is there and nobody has
//   asked for it; a load that fails leaves it as it was. A device of that name with another alias is somebody
//   else's, and is refused by name. One that somebody deletes is made again.
//
//   Our own IKE and ESP is not for any tunnel: it is led around them (netlink_around.c), whatever the main
//   table says. What another rule leads into one all the same is dropped and counted here, by what it is: ESP
//   or AH of a living SA, UDP from the ports of IKE, from one of this machine's addresses.
//
// A slot's memory stays until the end: a worker may have an event of its descriptor in hand.
#include "ctrl/path/vti.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/io.h"

enum { AGAIN_MS = 1000 };

// ---- queues

static void stop_watching(struct vti_port *q)
{
    if (q->fd.fd >= 0)
        loop_del(crew_loop(q->w), &q->fd);
    q->fd.fd = -1;
}

static void ready(struct loop_fd *f, uint32_t events)
{
    struct vti_port *q = f->ctx;
    (void)events;
    if (out_read(q->w, &q->tun, q->v->index) != -EBADFD)
        return;
    stop_watching(q); // the rest is control's
    atomic_store(&q->v->lost, true);
}

// Beside workers in threads of their own control has no queue, and writes by the first one's.
static bool shares(const struct worker *w)
{
    return w->p->crew.apart && !w->index;
}

static void close_queues(struct path *p, struct vti *v)
{
    for (unsigned i = 0; i < p->workers; i++) {
        struct vti_port *q = &v->port[i];
        stop_watching(q);
        if (q->tun.fd >= 0 && !shares(q->w))
            close(q->tun.fd);
        q->tun.fd = -1;
    }
}

static int open_queue(struct vti *v, unsigned i)
{
    struct vti_port *q = &v->port[i];
    struct worker *w = q->w;
    int rc = w->net.vti_open(w->net.ctx, v->name, &q->tun);
    if (rc < 0)
        return rc;
    q->fd = (struct loop_fd){.fd = q->tun.fd, .events = w->reading ? EPOLLIN : 0, .ready = ready, .ctx = q};
    rc = loop_add(crew_loop(w), &q->fd);
    if (rc < 0)
        q->fd.fd = -1;
    return rc;
}

static int open_queues(struct path *p, struct vti *v)
{
    int rc = 0;
    for (unsigned i = 0; i < p->workers && rc == 0; i++)
        rc = shares(v->port[i].w) ? 0 : open_queue(v, i);
    if (rc == 0 && shares(p->worker))
        v->port[0].tun = v->port[1].tun;
    if (rc < 0)
        close_queues(p, v);
    return rc;
}

// ---- the device

static int cannot(const struct vti *v, int rc, const char *what, struct esp_error *err)
{
    return esp_fail(err, rc, v->name, "%s the TUN device of if_id %u: %s", what, v->if_id, strerror(-rc));
}

static int keep(struct path *p, struct vti *v, bool on)
{
    unsigned last = p->workers - 1;
    return p->worker[last].net.vti_keep(&v->port[last].tun, on);
}

static int open_device(struct path *p, struct vti *v, struct esp_error *err)
{
    int rc = open_queues(p, v);
    if (rc < 0)
        return cannot(v, rc, rc == -EBUSY ? "another program has" : "cannot make", err);
    rc = p->kernel->ops->vti_up(p->kernel, v->name, p->set.mtu, err);
    v->link = rc > 0 ? (uint32_t)rc : 0;
    if (rc >= 0 && (rc = keep(p, v, true)) < 0)
        cannot(v, rc, "cannot keep", err);
    if (rc < 0)
        close_queues(p, v);
    return rc < 0 ? rc : 0;
}

static int make_device(struct path *p, struct vti *v, struct esp_error *err)
{
    const struct kernel_ops *k = p->kernel->ops;
    if (!p->worker[p->workers - 1].net.vti_open || !k->vti_up)
        return esp_fail(err, -EOPNOTSUPP, v->name, "no TUN device but one is to be had here");
    int found = k->vti_find(p->kernel, v->name);
    if (found == -EEXIST)
        return esp_fail(err, found, v->name,
                        "there is an interface of that name already, and it is not this daemon's");
    if (found < 0)
        return cannot(v, found, "cannot look for", err);
    v->found = found;
    return open_device(p, v, err);
}

// Wherever it is by now, and whatever it is called; but not one of its name that is somebody else's.
static void end_device(struct path *p, struct vti *v)
{
    const struct kernel_ops *k = p->kernel->ops;
    keep(p, v, false);
    close_queues(p, v);
    if (k->vti_find(p->kernel, v->name) == 1)
        k->vti_remove(p->kernel, v->name);
}

// ---- slots

static struct vti *slot_new(struct path *p, uint8_t index)
{
    struct vti *v = calloc(1, sizeof(*v) + p->workers * sizeof(struct vti_port));
    if (!v)
        return NULL;
    v->index = index;
    for (unsigned i = 0; i < p->workers; i++)
        v->port[i] = (struct vti_port){.v = v, .w = &p->worker[i], .tun = {.fd = -1}, .fd = {.fd = -1}};
    return v;
}

static struct vti *free_slot(struct path *p)
{
    struct vtis *s = &p->spd.vtis;
    for (unsigned i = 1; i <= VTI_MAX; i++) {
        if (!s->at[i])
            return s->at[i] = slot_new(p, (uint8_t)i);
        if (!s->at[i]->users)
            return s->at[i];
    }
    return NULL;
}

static struct vti *find(const struct vtis *s, uint32_t if_id)
{
    for (unsigned i = 1; i <= VTI_MAX && s->at[i]; i++)
        if (s->at[i]->users && s->at[i]->if_id == if_id)
            return s->at[i];
    return NULL;
}

int vti_get(struct path *p, uint32_t if_id, uint8_t *index, struct esp_error *err)
{
    struct vtis *s = &p->spd.vtis;
    struct vti *v = find(s, if_id);
    if (v) {
        v->users++;
        *index = v->index;
        return 0;
    }
    if (s->count == VTI_MAX)
        return esp_fail(err, -ENOSPC, "if_id", "more than %d tunnels with an interface of their own",
                        VTI_MAX);
    v = free_slot(p);
    if (!v)
        return esp_fail(err, -ENOMEM, "if_id", "out of memory");
    v->if_id = if_id;
    v->link = 0;
    v->told = false;
    atomic_store(&v->lost, false);
    snprintf(v->name, sizeof(v->name), VTI_PREFIX "%u", if_id);
    int rc = make_device(p, v, err);
    if (rc < 0)
        return rc;
    v->users = 1;
    if (!s->count++)
        vti_own_begin(p);
    vti_addresses(p);
    LOGF(KNL, 1, "%s is the interface of if_id %u", v->name, if_id);
    *index = v->index;
    return 0;
}

void vti_put(struct path *p, uint8_t index)
{
    struct vtis *s = &p->spd.vtis;
    struct vti *v = s->at[index];
    if (--v->users)
        return;
    waiting_forget(p, index);
    if (!--s->count)
        vti_own_end(s);
    if (s->stay || v->found || p->lacks) { // of another policy, that is not here yet, or to be swept
        close_queues(p, v);
        return;
    }
    end_device(p, v);
    vti_addresses(p);
    LOGF(KNL, 1, "%s, the interface of if_id %u, is gone", v->name, v->if_id);
}

void vti_settle(struct vtis *s, uint8_t index)
{
    s->at[index]->found = false;
}

uint32_t vti_if_id(const struct vtis *s, uint8_t index)
{
    return index ? s->at[index]->if_id : 0;
}

const char *vti_name(const struct vtis *s, uint8_t index)
{
    return index ? s->at[index]->name : "";
}

void vti_close(struct vtis *s)
{
    for (unsigned i = 1; i <= VTI_MAX && s->at[i]; i++) {
        classifier_free(&s->at[i]->classes);
        free(s->at[i]);
    }
    vti_own_end(s);
    free(s->own);
    *s = (struct vtis){0};
}

// ---- while it runs

void vti_lead_around(struct path *p)
{
    struct vtis *s = &p->spd.vtis;
    uint32_t link[VTI_MAX];
    unsigned n = 0;
    for (unsigned i = 1; i <= VTI_MAX && s->at[i]; i++)
        if (s->at[i]->users && s->at[i]->link)
            link[n++] = s->at[i]->link;
    if (p->kernel->ops->vti_around && (n || s->around))
        p->kernel->ops->vti_around(p->kernel, link, n);
    s->around = n > 0;
}

void vti_watch(struct worker *w, bool on)
{
    const struct vtis *s = &w->p->spd.vtis;
    for (unsigned i = 1; i <= VTI_MAX && s->count && s->at[i]; i++) {
        struct loop_fd *f = &s->at[i]->port[w->index].fd;
        if (f->fd < 0)
            continue;
        f->events = on ? EPOLLIN : 0;
        loop_modify(crew_loop(w), f);
    }
}

static void make_again(struct path *p, struct vti *v)
{
    struct esp_error err = {0};
    close_queues(p, v);
    v->again_at = loop_now(p->loop) + AGAIN_MS;
    int rc = make_device(p, v, &err);
    vti_settle(&p->spd.vtis, v->index);
    if (rc == 0)
        atomic_store(&v->lost, false);
    vti_ways_again(p);
    vti_lead_around(p);
    if (rc == 0 || !v->told)
        LOGF(KNL, 0, "%s was deleted by somebody else; %s%s%s", v->name,
             rc ? "it cannot be made again: " : "it is there again, without its routes and addresses",
             rc ? err.text : "", rc ? ", and is tried again" : "");
    v->told = rc != 0;
}

void vti_repair(struct path *p)
{
    struct vtis *s = &p->spd.vtis;
    for (unsigned i = 1; i <= VTI_MAX && s->count && s->at[i]; i++)
        if (s->at[i]->users && atomic_load(&s->at[i]->lost) && loop_now(p->loop) >= s->at[i]->again_at)
            make_again(p, s->at[i]);
}

struct sweeping {
    struct path *p;
    unsigned count;
};

// One that somebody has given another name is in use as before.
static void sweep_one(void *ctx, const char *name, uint32_t link)
{
    struct sweeping *s = ctx;
    const struct vtis *all = &s->p->spd.vtis;
    for (unsigned i = 1; i <= VTI_MAX && all->at[i]; i++)
        if (all->at[i]->users && (all->at[i]->link == link || strcmp(all->at[i]->name, name) == 0))
            return;
    s->count += s->p->kernel->ops->vti_remove(s->p->kernel, name) == 0;
}

unsigned vti_sweep(struct path *p)
{
    struct sweeping s = {p, 0};
    vti_ways_sweep(p);
    if (p->kernel->ops->vti_each)
        p->kernel->ops->vti_each(p->kernel, sweep_one, &s);
    if (!p->spd.vtis.swept || s.count) { // and what led around them, also where somebody has deleted them
        p->spd.vtis.around = p->spd.vtis.swept = true;
        vti_lead_around(p);
    }
    return s.count;
}
