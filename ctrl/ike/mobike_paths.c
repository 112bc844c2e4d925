// SPDX-License-Identifier: Apache-2.0
// The ways of a MOBIKE SA: from each address of ours (those that the connection names, otherwise the one that
// the system would send from) to each of the peer's (where it is, those that the connection names, those that
// it told). A system is asked about a bounded number of them.
#include "ctrl/ike/mobike_paths.h"

#include "ctrl/ike/conns.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/mobike.h"
#include "ctrl/ike/sa.h"

enum { FROM_MAX = 8, TO_MAX = 16, WAYS_MAX = 16 };

struct addrs {
    unsigned count, most;
    struct addr a[TO_MAX];
};

static void add(struct addrs *l, const struct addr *a)
{
    for (unsigned i = 0; i < l->count; i++)
        if (addr_eq(&l->a[i], a))
            return;
    if (a->family && l->count < l->most)
        l->a[l->count++] = *a;
}

static void peers(const struct ike_sa *sa, struct addrs *l)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    *l = (struct addrs){.most = TO_MAX};
    add(l, &sa->path.remote);
    for (unsigned i = 0; i < sa->later->mobike.count; i++)
        add(l, &sa->later->mobike.others[i]);
    for (unsigned i = 0; i < cfg->remote_count; i++)
        add(l, &cfg->remote_addrs[i]);
}

static bool names_its_own(const struct conn_config *cfg)
{
    bool names = false;
    for (unsigned i = 0; i < cfg->local_count; i++)
        names = names || cfg->local_addrs[i].family;
    return names;
}

bool mobike_names_addresses(const struct ike_sa *sa)
{
    return names_its_own(&sa->conn->cfg);
}

static void ours(const struct ike_sa *sa, const struct addr *to, struct addrs *l)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    const struct net *net = &sa->ike->net;
    struct addr by_route;
    *l = (struct addrs){.most = FROM_MAX};
    add(l, &sa->path.local);
    for (unsigned i = 0; i < cfg->local_count; i++)
        add(l, &cfg->local_addrs[i]);
    if (!names_its_own(cfg) && net->source_for(net->ctx, to, &by_route))
        add(l, &by_route);
}

static unsigned ways(const struct ike_sa *sa, struct net_path *out, unsigned most)
{
    struct addrs to, from;
    unsigned n = 0;
    peers(sa, &to);
    for (unsigned i = 0; i < to.count && n < most; i++) {
        ours(sa, &to.a[i], &from);
        for (unsigned k = 0; k < from.count && n < most; k++) {
            if (!conn_can_send(sa->ike, &from.a[k], &to.a[i]))
                continue;
            out[n] = sa->path;
            out[n].local = from.a[k];
            out[n].remote = to.a[i];
            if (i) // its port there is the usual one: a NAT's mapping is of the address that it is at
                out[n].remote_port = sa->path.nat_t ? NAT_T_PORT : sa->path.remote_port;
            n++;
        }
    }
    return n;
}

bool path_eq(const struct net_path *a, const struct net_path *b)
{
    return addr_eq(&a->local, &b->local) && addr_eq(&a->remote, &b->remote) &&
           a->local_port == b->local_port && a->remote_port == b->remote_port;
}

bool mobike_best(const struct ike_sa *sa, struct net_path *to)
{
    return ways(sa, to, 1) == 1;
}

bool mobike_is_way(const struct ike_sa *sa, const struct net_path *p)
{
    struct net_path all[WAYS_MAX];
    unsigned n = ways(sa, all, WAYS_MAX);
    for (unsigned i = 0; i < n; i++)
        if (path_eq(&all[i], p))
            return true;
    return false;
}

// Of the end that decides the first repetition goes where the request went, and from then on each takes the
// next way. The other one is led, but where it is no more: what it has to say goes by each way in turn.
struct net_path mobike_way(const struct ike_sa *sa)
{
    const struct mobike *k = &sa->later->mobike;
    struct net_path all[WAYS_MAX];
    unsigned n = 0, first = k->decides ? 1 : 0;
    if (k->on && sa->state == SA_ESTABLISHED && (k->decides ? sa->later->tries > first : k->astray))
        n = ways(sa, all, WAYS_MAX);
    return n > first ? all[(sa->later->tries - first) % n] : sa->path;
}
