// SPDX-License-Identifier: Apache-2.0
// Virtual addresses that a gateway gave to this machine: on the TUN from when ike says so until the last IKE
// SA that has one is over. The policies that hold such an address are in force before it is here (ike applies
// them first), and stay when it goes; the routes that give local programs this source come last and go first.
#include "ctrl/path/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctrl/lib/log.h"

static struct virtual_ip *find(struct virtual_ips *v, const struct addr *a)
{
    for (unsigned i = 0; i < v->count; i++)
        if (addr_eq(&v->ip[i].a, a))
            return &v->ip[i];
    return NULL;
}

// Where we are told not to, the operator does. What we have put is ours to take away.
static int put(struct path *p, struct virtual_ip *ip)
{
    int rc = p->set.install_virtual_ip ? p->kernel->ops->address(p->kernel, &ip->a, true) : 0;
    ip->put = rc == 0 && p->set.install_virtual_ip;
    return rc;
}

static void sources(struct path *p)
{
    struct addr a[PATH_VIRTUAL_MAX];
    for (unsigned i = 0; i < p->virtual.count; i++)
        a[i] = p->virtual.ip[i].a;
    kset_virtual(p->kset, a, p->virtual.count);
    kernel_watch_changed(p);
}

void virtual_add(struct path *p, const struct msg_VIRTUAL_ADD *m)
{
    struct virtual_ips *v = &p->virtual;
    struct virtual_ip *ip = find(v, &m->address);
    struct virtual_ip new = {.a = m->address};
    char text[64];
    int rc = 0;
    if (!ip && (m->address.family == 0 || v->count == PATH_VIRTUAL_MAX))
        rc = -ENOSPC;
    else if (!ip)
        rc = put(p, &new);
    if (rc == 0 && !ip) {
        ip = &v->ip[v->count++];
        *ip = new;
        sources(p);
    }
    if (rc == 0 && ip)
        ip->users++;
    else
        LOGF(KNL, 0, "virtual IP %s cannot be put on %s: %s", addr_print(&m->address, text, sizeof(text)),
             p->set.tun, strerror(-rc));
    ipc_result(p->ike, m->req, rc == 0, "%s%s", rc ? "putting the virtual IP on the TUN: " : "",
               rc ? strerror(-rc) : "");
}

static void take_away(struct path *p, struct virtual_ip *ip)
{
    struct virtual_ips *v = &p->virtual;
    struct virtual_ip was = *ip;
    char text[64];
    *ip = v->ip[--v->count];
    sources(p);
    int rc = was.put ? p->kernel->ops->address(p->kernel, &was.a, false) : 0;
    if (rc)
        LOGF(KNL, 0, "virtual IP %s cannot be taken away: %s", addr_print(&was.a, text, sizeof(text)),
             strerror(-rc));
}

void virtual_del(struct path *p, const struct msg_VIRTUAL_DEL *m)
{
    struct virtual_ip *ip = find(&p->virtual, &m->address);
    if (ip && ip->users && !--ip->users && !ip->kept)
        take_away(p, ip);
}

void virtual_hold(struct path *p)
{
    for (unsigned i = 0; i < p->virtual.count; i++) {
        p->virtual.ip[i].kept = true;
        p->virtual.ip[i].users = 0;
    }
}

void virtual_drop(struct path *p, bool (*goes)(void *ctx, const struct addr *a), void *ctx)
{
    for (unsigned i = p->virtual.count; i-- > 0;) {
        struct virtual_ip *ip = &p->virtual.ip[i];
        if (ip->kept && !ip->users && goes(ctx, &ip->a))
            take_away(p, ip);
    }
}

void virtual_let_go(struct path *p)
{
    for (unsigned i = p->virtual.count; i-- > 0;) {
        p->virtual.ip[i].kept = false;
        if (!p->virtual.ip[i].users)
            take_away(p, &p->virtual.ip[i]);
    }
}

// Of whom they were ike may have forgotten: what nobody asks for again goes.
static void take_over(void *ctx, const struct addr *a)
{
    struct path *p = ctx;
    struct virtual_ips *v = &p->virtual;
    if (v->count < PATH_VIRTUAL_MAX && !find(v, a))
        v->ip[v->count++] = (struct virtual_ip){.a = *a, .kept = true, .put = true};
}

int virtual_take_over(struct path *p)
{
    const struct kernel_ops *k = p->kernel->ops;
    if (!p->set.install_virtual_ip || !k->tun_addresses)
        return 0;
    int rc = k->tun_addresses(p->kernel, take_over, p);
    sources(p);
    return rc;
}

void virtual_again(struct path *p)
{
    for (unsigned i = 0; i < p->virtual.count; i++)
        if (p->virtual.ip[i].put)
            p->kernel->ops->address(p->kernel, &p->virtual.ip[i].a, true);
}
