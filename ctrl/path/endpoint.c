// SPDX-License-Identifier: Apache-2.0
// The ends of a child SA move (RFC 7296 section 2.23, a NAT that rebinds; RFC 4555, MOBIKE): both halves get
// the new addresses and ports where they are, or leave an engine that cannot change them for software.
#include <errno.h>

#include "ctrl/path/mtu.h"

static struct esp_endpoint ends_of(const struct esp_sa_params *s)
{
    struct esp_endpoint e = {
        .ipv6 = s->ipv6, .udp_encap = s->udp_encap, .sport = s->sport, .dport = s->dport};
    memcpy(e.src, s->src, 16);
    memcpy(e.dst, s->dst, 16);
    return e;
}

static void set_ends(struct esp_sa_params *s, const struct esp_endpoint *e)
{
    s->ipv6 = e->ipv6;
    s->udp_encap = e->udp_encap;
    s->sport = e->sport;
    s->dport = e->dport;
    memcpy(s->src, e->src, 16);
    memcpy(s->dst, e->dst, 16);
}

// The params say where it shall be; the engine is told, or left.
static int tell_engine(struct path *p, struct half *h, struct esp_error *err)
{
    char why[200];
    struct esp_endpoint to = ends_of(&h->params);
    int rc = h->engine->ops->sa_endpoint(h->engine, h->sa, &to, err);
    if (rc != -EOPNOTSUPP)
        return rc;
    snprintf(why, sizeof(why), "the peer's address has changed: %.150s", err->text);
    *err = (struct esp_error){0};
    sadb_leave(p, h, why);
    return 0;
}

static int move_half(struct path *p, struct half *h, const struct esp_endpoint *to, struct esp_error *err)
{
    struct esp_endpoint was = ends_of(&h->params);
    if (h->state == HALF_NONE || h->state == HALF_FAILED || h->state == HALF_DELETING)
        return 0;
    h->before = was;
    h->rebound = true;
    set_ends(&h->params, to);
    if (h->state == HALF_ADDING) {
        h->moved = !h->queued;
        return 0;
    }
    int rc = h->state == HALF_READY ? tell_engine(p, h, err) : 0; // MOVING: it starts there
    if (rc < 0)
        set_ends(&h->params, &was);
    return rc;
}

void sadb_endpoint_added(struct path *p, struct half *h)
{
    struct esp_error err = {0};
    if (!h->moved)
        return;
    h->moved = false;
    if (tell_engine(p, h, &err) < 0)
        sadb_give_up(p, h->child, err.text);
}

int sadb_endpoint(struct path *p, struct child *c, const struct esp_endpoint *out, struct esp_error *err)
{
    struct esp_endpoint in = *out;
    memcpy(in.src, out->dst, 16);
    memcpy(in.dst, out->src, 16);
    in.sport = out->dport;
    in.dport = p->env->settings->port_nat_t;
    if (c->dying)
        return esp_fail(err, -ENOENT, "child", "%s{%u} is being deleted", c->c.name, c->c.child_id);
    int rc = move_half(p, &c->in, &in, err);
    if (rc == 0 && (rc = move_half(p, &c->out, out, err)) < 0) {
        struct esp_error ignored = {0};
        struct esp_endpoint back = c->in.before;
        (void)move_half(p, &c->in, &back, &ignored);
    }
    if (rc < 0)
        return rc;
    mtu_forget(c);
    c->c.udp_encap = out->udp_encap;
    c->c.local.family = c->c.remote.family = out->ipv6 ? 6 : 4;
    memcpy(c->c.local.a, out->src, 16);
    memcpy(c->c.remote.a, out->dst, 16);
    c->c.local_port = out->sport;
    c->c.remote_port = out->dport;
    return 0;
}

void child_endpoint(struct path *p, const struct msg_CHILD_ENDPOINT *m)
{
    struct esp_error err = {0};
    struct child *c = sadb_by_id(p, m->child_id);
    struct esp_endpoint out = {.ipv6 = m->local.family == 6,
                               .udp_encap = m->udp_encap,
                               .sport = m->local_port,
                               .dport = m->remote_port};
    memcpy(out.src, m->local.a, 16);
    memcpy(out.dst, m->remote.a, 16);
    int rc;
    if (!c)
        rc = esp_fail(&err, -ENOENT, "child", "there is none with number %u", m->child_id);
    else if (!m->local.family || m->local.family != m->remote.family)
        rc = esp_fail(&err, -EINVAL, "addresses", "the new ends are not of one address family");
    else
        rc = sadb_endpoint(p, c, &out, &err);
    ipc_result(p->ike, m->req, rc == 0, "%s%s%s", err.field, rc ? ": " : "", err.text);
}
