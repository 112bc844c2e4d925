// SPDX-License-Identifier: Apache-2.0
// The ends of a child SA move (RFC 7296 section 2.23, a NAT that rebinds; RFC 4555, MOBIKE): both halves get
// the new addresses and ports where they are, or leave an engine that cannot change them for software.
#include <errno.h>
#include <stdlib.h>

#include "ctrl/path/mtu.h"

// What is known of the child says where it shall be; the engine is told, or left.
static int tell_engine(struct path *p, struct half *h, struct esp_error *err)
{
    char why[200];
    struct esp_endpoint to = half_ends(h);
    int rc = h->engine->ops->sa_endpoint(h->engine, h->sa, &to, err);
    if (rc != -EOPNOTSUPP)
        return rc;
    snprintf(why, sizeof(why), "the peer's address has changed: %.150s", err->text);
    *err = (struct esp_error){0};
    sadb_leave(p, h, why);
    return 0;
}

static int move_half(struct path *p, struct half *h, struct esp_error *err)
{
    if (h->state == HALF_ADDING)
        h->moved = !h->queued;
    return h->state == HALF_READY ? tell_engine(p, h, err) : 0; // MOVING: it starts there
}

static void set_ends(struct child *c, const struct esp_endpoint *out)
{
    c->c.udp_encap = out->udp_encap;
    c->c.local.family = c->c.remote.family = out->ipv6 ? 6 : 4;
    memcpy(c->c.local.a, out->src, 16);
    memcpy(c->c.remote.a, out->dst, 16);
    c->c.local_port = out->sport;
    c->c.remote_port = out->dport;
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
    struct esp_endpoint was = half_ends(&c->out);
    struct esp_error ignored = {0};
    if (c->in_kernel) {
        sadb_give_up(p, c, "its ends have moved, and the kernel's ESP changes none in place");
        return esp_fail(err, -EOPNOTSUPP, "child", "the kernel's ESP changes no ends in place");
    }
    if (c->dying)
        return esp_fail(err, -ENOENT, "child", "%s{%u} is being deleted", c->c.name, c->c.child_id);
    struct esp_endpoint *before = c->before ? c->before : malloc(sizeof(*before));
    if (!before)
        return esp_fail(err, -ENOMEM, "child", "out of memory");
    set_ends(c, out);
    int rc = move_half(p, &c->in, err);
    bool half = rc == 0;
    if (half)
        rc = move_half(p, &c->out, err);
    if (rc < 0) {
        set_ends(c, &was);
        if (half)
            (void)move_half(p, &c->in, &ignored);
        if (before != c->before)
            free(before);
        return rc;
    }
    *before = was;
    c->before = before;
    mtu_forget(c);
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
