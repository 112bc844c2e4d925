// SPDX-License-Identifier: Apache-2.0
// What operators, peers, other programs and accidents do to a gateway.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/system/policy_lab.h"
#include "tests/system/vici_client.h"

enum { INITIATE_S = 4 };

// ---- files

static void say(void *ctx, const char *text)
{
    note(ctx, "%s", text);
}

static bool step_load(struct test *t)
{
    struct file next = t->naive.loaded;
    naive_edit(&t->rng, &next, true, say, t);
    if (lab_load(t, &next, "") != 0)
        return complain("a good file is refused");
    naive_loaded(&t->naive, &next);
    return true;
}

// A connection whose policies cannot be put in force beside good ones: nothing of it is there.
static bool step_bad_load(struct test *t)
{
    note(t, "load: one more connection, with a range that splits into too many prefixes");
    lab_load(
        t, &t->naive.loaded,
        "connections { bad { local_addrs = 10.10.0.1\n remote_addrs = 10.10.0.2\n local { auth = psk }\n "
        "remote { auth = psk }\n children { b { local_ts = 10.1.9.0/24,fd01::/64\n remote_ts = "
        "10.2.9.0/24,fd00::1-fdff:ffff:ffff:ffff:ffff:ffff:ffff:fffe } } } }\n");
    return lab_load(t, &t->naive.loaded, "") == 0 || complain("the good file is refused after a bad one");
}

// ---- SAs

static bool list(const struct site *s, struct vici_sas *out)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/vici", s->dir);
    int fd = vici_open(path);
    bool ok = fd >= 0 && vici_list_sas(fd, out);
    if (fd >= 0)
        close(fd);
    return ok;
}

static const struct child *any_child(struct test *t, int *conn, int *child)
{
    *conn = (int)rng_below(&t->rng, CONNS);
    *child = (int)rng_below(&t->rng, CONN_CHILDREN);
    return &t->naive.loaded.child[*conn][*child];
}

static bool step_initiate(struct test *t)
{
    char out[8192];
    int i, k, tries = 0;
    const struct child *c = any_child(t, &i, &k);
    while ((!c->there || !protects(c)) && tries++ < 20)
        c = any_child(t, &i, &k);
    if (!c->there || !protects(c))
        return true;
    int rc =
        swanctl(&t->lab.west, out, sizeof(out), "--initiate --child k%d%d --timeout %d", i, k, INITIATE_S);
    note(t, "initiate k%d%d: %s", i, k, rc ? "refused" : "up");
    if (rc == 0)
        naive_up(&t->naive, i, k);
    return true;
}

static bool step_terminate(struct test *t)
{
    char out[8192];
    int i = (int)rng_below(&t->rng, CONNS);
    note(t, "terminate c%d", i);
    swanctl(&t->lab.west, out, sizeof(out), "--terminate --ike c%d --timeout 4", i);
    naive_down(&t->naive, i, -1);
    return true;
}

static const struct vici_child *installed(const struct vici_sas *sas, const char *name)
{
    for (unsigned i = 0; i < sas->children_count; i++)
        if (!strcmp(sas->child[i].name, name) && !strcmp(sas->child[i].state, "INSTALLED"))
            return &sas->child[i];
    return NULL;
}

// All of a child's SAs by its name, or one of them by its number.
static bool step_delete_child(struct test *t)
{
    struct vici_sas sas;
    char out[8192], name[8];
    int i, k;
    any_child(t, &i, &k);
    snprintf(name, sizeof(name), "k%d%d", i, k);
    if (!list(&t->lab.west, &sas))
        return complain("list-sas is not answered");
    const struct vici_child *c = installed(&sas, name);
    if (!c)
        return true;
    bool one = rng_chance(&t->rng, 500);
    note(t, one ? "delete %s{%u}" : "delete %s", name, c->id);
    int rc = one ? swanctl(&t->lab.west, out, sizeof(out), "--terminate --child-id %u --timeout 4", c->id)
                 : swanctl(&t->lab.west, out, sizeof(out), "--terminate --child %s --timeout 4", name);
    if (rc)
        return complain("%s is not deleted: %s", name, out);
    if (one)
        naive_unsure(&t->naive, i, k);
    else
        naive_down(&t->naive, i, k);
    return true;
}

static bool step_peer_deletes(struct test *t)
{
    char out[8192];
    note(t, "the peer deletes its CHILD SAs");
    for (int i = 0; i < EAST_CHILDREN; i++)
        swanctl(&t->lab.east, out, sizeof(out), "--terminate --child %s --timeout 4", east_children[i]);
    naive_down(&t->naive, -1, -1);
    return true;
}

// ---- rekeying: what protected goes on protecting

struct rekeying {
    struct test *t;
    const char *name; // of the connection or child; NULL: any child
    struct vici_sas before;
};

static bool was_child(const struct rekeying *r, const struct vici_child *c)
{
    for (unsigned i = 0; i < r->before.children_count; i++)
        if (r->before.child[i].spi_in == c->spi_in)
            return true;
    return false;
}

static bool children_are_others(void *ctx)
{
    const struct rekeying *r = ctx;
    struct vici_sas now;
    if (!list(&r->t->lab.west, &now))
        return false;
    for (unsigned i = 0; i < now.children_count; i++)
        if (!strcmp(now.child[i].state, "INSTALLED") && was_child(r, &now.child[i]) &&
            (!r->name || !strcmp(now.child[i].name, r->name)))
            return false;
    return true;
}

static bool was_ike(const struct rekeying *r, const struct vici_sa *sa)
{
    for (unsigned i = 0; i < r->before.count; i++)
        if (r->before.sa[i].spi_i == sa->spi_i && r->before.sa[i].spi_r == sa->spi_r)
            return true;
    return false;
}

static bool ikes_are_others(void *ctx)
{
    const struct rekeying *r = ctx;
    struct vici_sas now;
    if (!list(&r->t->lab.west, &now))
        return false;
    for (unsigned i = 0; i < now.count; i++)
        if (was_ike(r, &now.sa[i]) && (!r->name || !strcmp(now.sa[i].name, r->name)))
            return false;
    return true;
}

// False: there is none.
static bool peer_rekeys(struct test *t, bool ike)
{
    char out[8192];
    bool any = false;
    for (int i = 0; i < EAST_CHILDREN && !ike; i++)
        any |= swanctl(&t->lab.east, out, sizeof(out), "--rekey --child %s", east_children[i]) == 0;
    return ike ? swanctl(&t->lab.east, out, sizeof(out), "--rekey --ike e") == 0 : any;
}

static bool step_rekey(struct test *t)
{
    struct rekeying r = {.t = t};
    char out[8192], name[8];
    int i, k;
    any_child(t, &i, &k);
    bool by_peer = rng_chance(&t->rng, 300), ike = rng_chance(&t->rng, 300);
    snprintf(name, sizeof(name), ike ? "c%d" : "k%d%d", i, k);
    if (!list(&t->lab.west, &r.before))
        return complain("list-sas is not answered");
    if (!by_peer)
        r.name = name;
    if (by_peer ? !peer_rekeys(t, ike)
                : swanctl(&t->lab.west, out, sizeof(out), "--rekey --%s %s", ike ? "ike" : "child", name))
        return true; // there is none
    note(t, "rekey %s", !by_peer ? name : ike ? "of the peer's IKE SAs" : "of the peer's CHILD SAs");
    return wait_for(ike ? ikes_are_others : children_are_others, &r, PATIENCE_MS) ||
           complain("%s is not rekeyed", name);
}

// A connection and its children get other names, and theirs again, with SAs of either name: what protects and
// what is carried is the same all along.
static bool step_rename(struct test *t)
{
    char out[8192];
    int i = (int)rng_below(&t->rng, CONNS), k = (int)rng_below(&t->rng, CONN_CHILDREN);
    const struct child *c = &t->naive.loaded.child[i][k];
    t->renamed = 1u << i;
    note(t, "load: c%d is d%d, its children m%d0 and m%d1", i, i, i, i);
    bool good = lab_load(t, &t->naive.loaded, "") == 0 && probe_out(t, WAY_UP) && probe_in(t);
    if (good && c->there && protects(c) && rng_chance(&t->rng, 500)) {
        int rc = swanctl(&t->lab.west, out, sizeof(out), "--initiate --child m%d%d --timeout %d", i, k,
                         INITIATE_S);
        note(t, "initiate m%d%d: %s", i, k, rc ? "refused" : "up");
        if (rc == 0)
            naive_up_renamed(&t->naive, i, k);
        good = probe_out(t, WAY_UP) && probe_in(t);
    }
    if (good && rng_chance(&t->rng, 500))
        good = step_rekey(t) && probe_out(t, WAY_UP) && probe_in(t);
    t->renamed = 0;
    note(t, "load: c%d is c%d again", i, i);
    if (!good || lab_load(t, &t->naive.loaded, "") != 0 || !probe_out(t, WAY_UP) || !probe_in(t))
        return complain("a connection is renamed");
    swanctl(&t->lab.west, out, sizeof(out), "--terminate --ike d%d --timeout 4", i);
    return true;
}

// ---- the daemon

// While it is gone nothing is loaded or unloaded: what was closed is, what was open is.
static bool step_restart(struct test *t)
{
    bool kill9 = rng_chance(&t->rng, 500);
    note(t, kill9 ? "kill -9 and start again" : "stop and start again");
    if (kill9) {
        if (!daemon_kill(&t->lab.west))
            return false;
    } else if (!stop(&t->lab.west.daemon, SIGTERM, 4000)) {
        return complain("it does not stop");
    }
    if (!probe_out(t, WAY_CLEAR) || !probe_in(t) || !lab_start_west(t) || !probe_out(t, WAY_CLEAR))
        return false;
    // the SAs are gone; what only they kept closed stays so until the sweep, some seconds after the load
    if (lab_load(t, &t->naive.loaded, "") != 0)
        return complain("the file is refused after a restart");
    naive_down(&t->naive, -1, -1);
    return true;
}

// ---- other hands

// The blocks come back before the TUN does.
static bool step_tun_down(struct test *t)
{
    note(t, "somebody: the TUN down, and the policies flushed meanwhile");
    in_west(t, "ip link set espalier0 down; ip xfrm policy flush");
    if (!set_settles(t, true) || !probe_out(t, WAY_CLEAR) || !probe_in(t))
        return false;
    return in_west(t, "ip link set espalier0 up") == 0 || complain("cannot set the TUN up again");
}

static bool step_meddle(struct test *t)
{
    static const char *const what[] = {
        "ip link set espalier0 down; sleep 0.1; ip link set espalier0 up",
        "ip route flush table all proto 89",
        ("ip rule | sed -n \"s/^\\([0-9]*\\):.*proto 89.*/\\1/p\" | while read p; "
         "do ip rule del pref $p; done; true"),
        "ip xfrm policy deleteall", "ip -6 route flush table all proto 89; true"};
    const char *w = what[rng_below(&t->rng, 5)];
    note(t, "somebody: %.70s", w);
    in_west(t, w);
    return true;
}

// ---- the link

#define ROUTES_WEST                                                                                          \
    "ip route replace 10.2.0.0/16 via 10.10.0.2 src 10.1.0.1; ip route replace 10.2.9.0/24 via 10.10.0.2; "  \
    "ip "                                                                                                    \
    "-6 route replace fd02::/64 via fd10::2; ip -6 route replace fd03::/64 via fd10::2"

// Nothing can come while it is down; what a link that comes back brings in clear is seen by the probes after.
static bool step_link_flap(struct test *t)
{
    bool far = rng_chance(&t->rng, 500);
    note(t, far ? "the link's carrier goes and comes back" : "the link goes down and up");
    if (far)
        return in_east(
                   t, "ip link set outer down; sleep 0.1; ip link set outer up; ip -6 addr add fd10::2/64 "
                      "dev outer nodad; ip route replace 10.1.0.0/16 via 10.10.0.1 src 10.2.0.1; ip -6 route "
                      "replace fd01::/64 via fd10::1") == 0 ||
               complain("cannot set the far end of the link up again");
    if (in_west(t, "ip link set outer down"))
        return complain("cannot set the link down");
    if (!probe_out(t, WAY_DOWN))
        return false;
    return in_west(t, "ip link set outer up; ip -6 addr add fd10::1/64 dev outer nodad; " ROUTES_WEST) == 0 ||
           complain("cannot set the link up again");
}

// The address that the SAs end at, and its IPv6 companion; packets in clear still have a way.
static bool step_address_flap(struct test *t)
{
    note(t, "the outer address goes and comes back");
    if (in_west(t, "ip addr del 10.10.0.1/24 dev outer; ip -6 addr del fd10::1/64 dev outer"))
        return complain("cannot take the address away");
    if (!probe_out(t, WAY_AWAY))
        return false;
    return in_west(t, "ip addr add 10.10.0.1/24 dev outer; ip -6 addr add fd10::1/64 dev outer "
                      "nodad; " ROUTES_WEST) == 0 ||
           complain("cannot give the address back");
}

static bool step_flap(struct test *t)
{
    return rng_chance(&t->rng, 600) ? step_link_flap(t) : step_address_flap(t);
}

// ----

bool step(struct test *t)
{
    static const struct {
        unsigned weight;
        bool (*do_it)(struct test *t);
    } steps[] = {{9, step_load},         {6, step_initiate},  {4, step_rename},       {4, step_rekey},
                 {2, step_delete_child}, {1, step_terminate}, {1, step_peer_deletes}, {3, step_meddle},
                 {1, step_tun_down},     {2, step_flap},      {1, step_bad_load},     {1, step_restart}};
    unsigned all = 0, i = 0;
    for (unsigned j = 0; j < sizeof(steps) / sizeof(steps[0]); j++)
        all += steps[j].weight;
    for (uint64_t at = rng_below(&t->rng, all); at >= steps[i].weight; i++)
        at -= steps[i].weight;
    t->steps++;
    return steps[i].do_it(t);
}
