// SPDX-License-Identifier: Apache-2.0
// Policies (RFC 4301 section 4.4.1): what is protected from the moment its connection is loaded, SA or not.
#include "ctrl/path/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctrl/lib/log.h"

// What the selectors look at.
struct fields {
    uint8_t family, proto;
    const uint8_t *src, *dst;
    uint16_t sport, dport;
    bool ports; // a first fragment or whole packet of a protocol with ports
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static bool parse(const uint8_t *pkt, uint32_t len, struct fields *f)
{
    uint32_t l4;
    memset(f, 0, sizeof(*f));
    if (len >= 20 && pkt[0] >> 4 == 4) {
        *f = (struct fields){.family = 4, .proto = pkt[9], .src = pkt + 12, .dst = pkt + 16};
        l4 = 4u * (pkt[0] & 15);
        if (l4 < 20 || (be16(pkt + 6) & 0x1fff))
            l4 = len; // no ports to see
    } else if (len >= 40 && pkt[0] >> 4 == 6) {
        *f = (struct fields){.family = 6, .proto = pkt[6], .src = pkt + 8, .dst = pkt + 24};
        l4 = 40;
    } else {
        return false;
    }
    if ((f->proto == 6 || f->proto == 17 || f->proto == 132) && l4 + 4 <= len) {
        f->sport = be16(pkt + l4);
        f->dport = be16(pkt + l4 + 2);
        f->ports = true;
    }
    return true;
}

static bool any_port(const struct ts *t)
{
    return t->port_lo == 0 && t->port_hi == 65535;
}

static bool side_match(const struct ts_list *l, const struct fields *f, const uint8_t *addr, uint16_t port)
{
    for (int i = 0; i < l->count; i++) {
        const struct ts *t = &l->t[i];
        if (!f->ports && !any_port(t))
            continue; // a selector with ports needs to see them
        if (ts_match(t, f->family, addr, f->proto, f->ports ? port : t->port_lo))
            return true;
    }
    return false;
}

bool selectors_match(const struct ts_list *src, const struct ts_list *dst, const uint8_t *packet,
                     uint32_t len)
{
    struct fields f;
    return parse(packet, len, &f) && side_match(src, &f, f.src, f.sport) &&
           side_match(dst, &f, f.dst, f.dport);
}

static void one_selector(const struct fields *f, const uint8_t *addr, uint16_t port, struct ts_list *out)
{
    struct ts *t = &out->t[0];
    size_t size = f->family == 4 ? 4 : 16;
    *t = (struct ts){.family = f->family, .proto = f->proto, .port_hi = 65535};
    if (f->ports)
        t->port_lo = t->port_hi = port;
    memcpy(t->lo, addr, size);
    memcpy(t->hi, addr, size);
    out->count = 1;
}

void packet_selectors(const uint8_t *packet, uint32_t len, struct ts_list *src, struct ts_list *dst)
{
    struct fields f;
    if (!parse(packet, len, &f))
        return;
    one_selector(&f, f.src, f.sport, src);
    one_selector(&f, f.dst, f.dport, dst);
}

const struct policy *policy_find(struct path *p, const uint8_t *packet, uint32_t len)
{
    for (struct policy *i = p->policies; i; i = i->next) {
        if (selectors_match(&i->local, &i->remote, packet, len))
            return i;
    }
    return NULL;
}

static bool elsewhere(struct path *p, const struct policy *except, const struct ts *local,
                      const struct ts *remote)
{
    for (struct policy *i = p->policies; i; i = i->next) {
        for (int a = 0; i != except && a < i->local.count; a++) {
            for (int b = 0; b < i->remote.count; b++) {
                if (ts_eq(&i->local.t[a], local) && ts_eq(&i->remote.t[b], remote))
                    return true;
            }
        }
    }
    return false;
}

// A route goes by its destination alone.
static bool routed_elsewhere(struct path *p, const struct policy *except, const struct ts *remote)
{
    for (struct policy *i = p->policies; i; i = i->next) {
        for (int b = 0; i != except && b < i->remote.count; b++) {
            if (ts_eq(&i->remote.t[b], remote))
                return true;
        }
    }
    return false;
}

static bool usable(const struct ts *l, const struct ts *r)
{
    return l->family && l->family == r->family;
}

// Installs or removes what the kernel holds for one policy. Removal spares what another policy needs.
static int kernel(struct path *p, const struct policy *pol, bool add, bool block, struct esp_error *err)
{
    int rc = 0;
    for (int a = 0; a < pol->local.count && rc == 0; a++) {
        for (int b = 0; b < pol->remote.count && rc == 0; b++) {
            const struct ts *l = &pol->local.t[a], *r = &pol->remote.t[b];
            if (!usable(l, r) || (!add && elsewhere(p, pol, l, r)))
                continue;
            if (block)
                rc = netlink_block(p->nl, add, l, r, err);
            if (rc == 0 && p->env->settings->install_routes && (add || !routed_elsewhere(p, pol, r)))
                rc = netlink_routes(p->nl, add, l, r, p->tun_index, p->env->settings->routing_table, err);
        }
    }
    return rc;
}

static int set(struct path *p, const char *conn, const struct policy_spec *s, struct esp_error *err)
{
    struct policy **at = &p->policies, *old = NULL;
    while (*at && (strcmp((*at)->conn, conn) || strcmp((*at)->child, s->child)))
        at = &(*at)->next;
    struct policy *pol = calloc(1, sizeof(*pol));
    if (!pol)
        return esp_fail(err, -ENOMEM, "policy", "out of memory");
    snprintf(pol->conn, sizeof(pol->conn), "%s", conn);
    snprintf(pol->child, sizeof(pol->child), "%s", s->child);
    pol->id = s->id;
    pol->local = s->local;
    pol->remote = s->remote;
    pol->trap = s->trap;
    if (*at) { // replaced in its place; the new one is in force before the old one goes
        old = *at;
        pol->next = old->next;
    }
    *at = pol;
    int rc = kernel(p, pol, true, true, err);
    if (old) {
        struct esp_error ignored;
        kernel(p, old, false, true, &ignored);
        free(old);
    }
    if (rc < 0)
        LOGF(KNL, 0, "policy %s/%s: %s: %s", conn, s->child, err->field, err->text);
    return rc;
}

static bool listed(const struct policy *pol, const struct policy_spec *s, unsigned n)
{
    while (n-- > 0)
        if (strcmp(pol->child, s++->child) == 0)
            return true;
    return false;
}

// Takes away what the connection has beside these.
static void clear(struct path *p, const char *conn, const struct policy_spec *s, unsigned n)
{
    struct policy **at = &p->policies;
    while (*at) {
        struct policy *pol = *at;
        struct esp_error err = {0};
        if (strcmp(pol->conn, conn) || listed(pol, s, n)) {
            at = &pol->next;
            continue;
        }
        if (kernel(p, pol, false, true, &err) < 0)
            LOGF(KNL, 0, "policy %s/%s: %s: %s", pol->conn, pol->child, err.field, err.text);
        *at = pol->next;
        free(pol);
    }
}

void policy_apply(struct path *p, const struct msg_POLICY_APPLY *m)
{
    struct esp_error err = {0};
    struct policy_spec *s = NULL;
    unsigned n = 0;
    int rc = policies_read(m->policies, &s, &n);
    if (rc)
        esp_fail(&err, rc, "policies", "%s", strerror(-rc));
    for (unsigned i = 0; i < n && rc == 0; i++)
        rc = s[i].action == POLICY_PROTECT && s[i].mode == MODE_TUNNEL
                 ? set(p, m->conn, &s[i], &err)
                 : esp_fail(&err, -ENOTSUP, s[i].child, "only mode = tunnel is supported");
    if (rc == 0)
        clear(p, m->conn, s, n);
    free(s);
    ipc_result(p->ike, m->req, rc == 0, "%s%s%s", rc ? err.field : "", rc ? ": " : "", rc ? err.text : "");
}

void policy_clear(struct path *p, const struct msg_POLICY_CLEAR *m)
{
    clear(p, m->conn, NULL, 0);
    ipc_result(p->ike, m->req, true, "%s", "");
}

void policy_drop_all(struct path *p)
{
    while (p->policies) {
        struct policy *pol = p->policies;
        struct esp_error err;
        if (!p->env->settings->block_on_exit)
            kernel(p, pol, false, true, &err); // routes go with the TUN either way
        p->policies = pol->next;
        free(pol);
    }
}

void policy_list(struct path *p, uint32_t req)
{
    for (struct policy *i = p->policies; i; i = i->next) {
        struct msg_POLICY_IS m = {.req = req,
                                  .local_ts = i->local,
                                  .remote_ts = i->remote,
                                  .trap = i->trap,
                                  .id = i->id,
                                  .action = POLICY_PROTECT,
                                  .mode = MODE_TUNNEL,
                                  .loaded = 1};
        memcpy(m.conn, i->conn, sizeof(m.conn));
        memcpy(m.child, i->child, sizeof(m.child));
        ipc_send(p->ctl, MSG_POLICY_IS, &m);
    }
    ipc_result(p->ctl, req, true, "%s", "");
}
