// SPDX-License-Identifier: Apache-2.0
// See kernel_watch.h. What happens in bursts (an interface that flaps, a firewall that is loaded again) is
// answered once, a moment later.
#include "ctrl/path/kernel_watch.h"

#include <errno.h>
#include <sys/epoll.h>

#include "ctrl/lib/log.h"
#include "ctrl/path/netlink.h"
#include "ctrl/path/path.h"

enum {
    REPAIR_MS = 50,   // from the first notice of a burst
    MOVED_MS = 10,    // likewise, of addresses and routes: a tunnel may hang on it
    MOVED_SHARE = 10, // of the time, at most, while they go on moving: packets wait meanwhile
    AGAIN_MS = 1000,  // where something could not be put back
    LOG_EVERY_MS = 10000,
};

static void say(struct path *p, unsigned were, unsigned failed)
{
    struct kernel_watch *w = &p->watch;
    uint64_t now = loop_now(p->loop);
    w->repaired += were - failed;
    if (w->logged_at && now - w->logged_at < LOG_EVERY_MS)
        return;
    w->logged_at = now;
    LOGF(
        KNL, 0,
        "%u objects in the kernel were not as they have to be: somebody else has removed or changed them, or "
        "the kernel refused them; %u put right%s",
        were, were - failed, failed ? ", the others are tried again" : "");
}

static void moved(struct timer *t)
{
    struct path *p = t->ctx;
    uint64_t from = loop_now_us(p->loop);
    kset_addresses_changed(p->kset);
    kernel_esp_again(p);
    vti_addresses(p);
    kernel_watch_changed(p);
    uint64_t now = loop_now_us(p->loop);
    p->watch.rest_until = (now + MOVED_SHARE * (now - from)) / 1000;
    ipc_send(p->ike, MSG_ADDRS_CHANGED, &(struct msg_ADDRS_CHANGED){0});
}

static void notice(void *ctx, const struct knotice *n);

// What the notices that were lost would have said of the TUN. What it had of routes and addresses may have
// gone and come again meanwhile. False: it cannot be said now.
static bool look_at_tun(struct path *p)
{
    int up = p->kernel->ops->tun_state ? p->kernel->ops->tun_state(p->kernel) : !p->watch.tun_down;
    if (up < 0 && up != -ENODEV)
        return false;
    p->watch.tun_lost = false;
    notice(p, &(struct knotice){.kind = up < 0 ? KNOTE_TUN_GONE : up ? KNOTE_TUN_UP : KNOTE_TUN_DOWN});
    return true;
}

static void repair(struct timer *t)
{
    struct path *p = t->ctx;
    unsigned failed = 0, were = 0;
    bool unknown = p->watch.tun_lost && !look_at_tun(p);
    if ((were = kset_repair(p->kset, &failed)))
        say(p, were, failed);
    if (failed || unknown)
        timer_set(p->loop, t, loop_now(p->loop) + AGAIN_MS);
}

void kernel_watch_changed(struct path *p)
{
    if (kset_unsettled(p->kset) && !p->watch.repair.armed)
        timer_set(p->loop, &p->watch.repair, loop_now(p->loop) + REPAIR_MS);
}

// Deleted, or moved to another network namespace, where packets would come and go by nobody's policies.
static void gone(struct path *p)
{
    if (!p->status) // or its descriptor has said so
        LOGF(KNL, 0, "the TUN device is gone; what is protected stays blocked");
    p->status = PATH_MISSING;
    loop_stop(p->loop);
}

static void notice(void *ctx, const struct knotice *n)
{
    struct path *p = ctx;
    struct kernel_watch *w = &p->watch;
    bool wrong = kset_notice(p->kset, n), addresses = false;
    if (n->kind == KNOTE_TUN_DOWN && !w->tun_down)
        LOGF(KNL, 0, "%s was set down: what goes through it stays blocked until it is up", p->set.tun);
    if (n->kind == KNOTE_TUN_DOWN || n->kind == KNOTE_TUN_UP)
        w->tun_down = n->kind == KNOTE_TUN_DOWN;
    if (n->kind == KNOTE_TUN_UP)
        virtual_again(p);
    if (n->kind == KNOTE_TUN_GONE)
        gone(p);
    if (n->kind == KNOTE_LOST)
        w->tun_lost = true;
    if (n->kind == KNOTE_ADDRESSES || n->kind == KNOTE_LINKS || n->kind == KNOTE_LOST)
        addresses = true;
    uint64_t soon = loop_now(p->loop) + MOVED_MS;
    if (addresses && !w->moved.armed)
        timer_set(p->loop, &w->moved, soon > w->rest_until ? soon : w->rest_until);
    if ((wrong || addresses) && !w->repair.armed)
        timer_set(p->loop, &w->repair, loop_now(p->loop) + REPAIR_MS);
}

static void news(struct loop_fd *f, uint32_t events)
{
    struct path *p = f->ctx;
    (void)events;
    p->kernel->ops->notices(p->kernel, notice, p);
}

static void hold_back(struct path *p, const struct msg_SWEEP *m)
{
    unsigned n = kset_count(p->kset).found;
    if (!n || p->watch.held_told)
        return;
    p->watch.held_told = true;
    if (m->awaited)
        LOGF(KNL, 0,
             "%u objects in the kernel of an earlier run stay, and what they protect stays blocked, until "
             "connection '%s' is loaded or taken out of the configuration (%u such)",
             n, m->held, m->awaited);
    else
        LOGF(KNL, 0,
             "%u objects in the kernel of an earlier run stay, and what they protect stays blocked: %s", n,
             m->held);
}

static void sweep(struct path *p)
{
    unsigned n = kset_sweep(p->kset) + vti_sweep(p);
    kernel_watch_changed(p);
    if (n)
        LOGF(KNL, 0, "%u objects in the kernel of an earlier run, which is not configured any more, removed",
             n);
}

// What a loaded policy will be about, and the earlier run knew, is blocked by nothing else meanwhile.
static void sweep_when_known(struct timer *t)
{
    struct path *p = t->ctx;
    const struct policy *later = spd_later(p);
    unsigned n = kset_count(p->kset).found;
    if (!later) {
        sweep(p);
        return;
    }
    if (n && !p->watch.later_told)
        LOGF(
            KNL, 0,
            "%u objects in the kernel of an earlier run stay, and what they protect stays blocked, until all "
            "addresses of connection '%s' are known: its pools are not all loaded, or there is no way to its "
            "peer",
            n, policy_conn(later));
    p->watch.later_told = n > 0;
    timer_set(p->loop, t, loop_now(p->loop) + AGAIN_MS);
}

void kernel_watch_sweep(struct path *p, const struct msg_SWEEP *m)
{
    p->watch.sweep_due = !m->held[0] && p->lacks;
    if (m->held[0])
        hold_back(p, m);
    else if (!p->lacks)
        sweep_when_known(&p->watch.sweep);
}

void kernel_watch_whole(struct path *p)
{
    kset_guard_no_more(p->kset);
    kernel_watch_changed(p);
    if (p->watch.sweep_due)
        sweep_when_known(&p->watch.sweep);
    p->watch.sweep_due = false;
}

void kernel_watch_edited(struct path *p)
{
    if (!p->lacks)
        return;
    kset_close_lets(p->kset);
    kernel_watch_changed(p);
}

int kernel_watch_open(struct path *p, struct esp_error *err)
{
    const struct settings *s = &p->set;
    struct kernel_watch *w = &p->watch;
    const struct netlink_options o = {.owner = s->run_dir,
                                      .routing_table = s->routing_table,
                                      .own_mark = ESPALIER_SO_MARK,
                                      .port_nat_t = s->port_nat_t,
                                      .routes = s->install_routes,
                                      .kernel_esp = s->kernel_esp};
    struct kset_options k = {.routes = s->install_routes,
                             .rule_priority = s->routing_priority,
                             .own_mark = ESPALIER_SO_MARK,
                             .follows = p->lacks};
    w->repair = (struct timer){.fire = repair, .ctx = p};
    w->moved = (struct timer){.fire = moved, .ctx = p};
    w->sweep = (struct timer){.fire = sweep_when_known, .ctx = p};
    int rc = netlink_kernel_open(&p->kernel, &o, err);
    if (rc == 0 && (rc = p->kernel->ops->tun_up(p->kernel, s->tun, s->mtu, err)) > 0) {
        k.tun_index = (uint32_t)rc;
        k.hooks = p->kernel->hooks;
        k.hooks4 = p->kernel->hooks4;
        k.number = p->kernel->number;
        rc = 0;
    }
    if (rc == 0 && !k.hooks)
        LOGF(KNL, 0,
             "no nf_tables here with route chains and fib for IPv6: IPv6 between this machine's own "
             "programs and protected networks stays blocked");
    if (rc == 0 && !k.hooks4)
        LOGF(KNL, 0,
             "no nf_tables here for IPv4: ICMP errors of this machine's own to protected networks stay "
             "blocked where they do not lead into the TUN, whatever they are about");
    if (rc == 0 && !(k.hooks && k.hooks4))
        LOGF(KNL, 0,
             "no nf_tables here: multicast that a multicast routing daemon has the kernel forward leaves in "
             "clear, also from and to what is protected");
    if (rc == 0)
        rc = kset_open(&p->kset, p->kernel, &k, err);
    w->fd = (struct loop_fd){.fd = rc == 0 ? p->kernel->fd : -1, .events = EPOLLIN, .ready = news, .ctx = p};
    if (w->fd.fd >= 0 && (rc = loop_add(p->loop, &w->fd)) < 0) {
        w->fd.fd = -1;
        return esp_fail(err, rc, "netlink", "cannot watch what happens: %s", strerror(-rc));
    }
    return rc;
}

void kernel_watch_close(struct path *p)
{
    bool leave = path_leaves_closed(p);
    timer_stop(p->loop, &p->watch.repair);
    timer_stop(p->loop, &p->watch.moved);
    timer_stop(p->loop, &p->watch.sweep);
    if (p->watch.fd.fd >= 0 && p->kernel)
        loop_del(p->loop, &p->watch.fd);
    kset_close(p->kset, leave);
    if (p->kernel)
        p->kernel->ops->close(p->kernel, leave);
    p->kset = NULL;
    p->kernel = NULL;
}
