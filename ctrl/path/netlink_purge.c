// SPDX-License-Identifier: Apache-2.0
// See purge.h. What is this instance's is known as its next run knows it: by the tag of its run directory, in
// the devices' aliases, the anchor's and the policies' owner and the names of nf_tables' tables. Nothing else
// is looked at twice.
#include "ctrl/path/purge.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/child.h"
#include "ctrl/path/netlink.h"
#include "espalier/engine.h"

// ---- objects

struct left {
    struct kobj *o;
    size_t count, room;
    bool failed; // no memory
};

static void found(void *ctx, const struct kobj *o)
{
    struct left *l = ctx;
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        struct kobj *more = realloc(l->o, room * sizeof(*more));
        if (!more) {
            l->failed = true;
            return;
        }
        l->o = more;
        l->room = room;
    }
    l->o[l->count++] = *o;
}

// In which order they go: what leads into a TUN that is not there, what lets by, what holds back.
static int turn_of(const struct kobj *o)
{
    switch (o->kind) {
    case KOBJ_RULE:
    case KOBJ_ROUTE: return 0;
    case KOBJ_XFRM: return o->action == KXFRM_ALLOW ? 1 : 3;
    default: return 2;
    }
}

static int in_order(const void *a, const void *b)
{
    return turn_of(a) - turn_of(b);
}

static void count(struct purged *out, const struct kobj *o)
{
    switch (o->kind) {
    case KOBJ_RULE: out->rules++; break;
    case KOBJ_ROUTE: out->routes++; break;
    case KOBJ_XFRM: out->policies++; break;
    default: out->tables++; break;
    }
}

static int remove_objects(struct kernel *k, const struct left *l, struct purged *out, struct esp_error *err)
{
    struct kchange *c = calloc(l->count + 1, sizeof(*c));
    if (!c)
        return esp_fail(err, -ENOMEM, "kernel", "out of memory");
    for (size_t i = 0; i < l->count; i++)
        c[i].o = &l->o[i];
    unsigned failed = k->ops->apply(k, c, (unsigned)l->count, err);
    for (size_t i = 0; i < l->count; i++)
        if (c[i].rc == 0)
            count(out, c[i].o);
    free(c);
    return failed ? err->code : 0;
}

static int objects(struct kernel *k, struct purged *out, struct esp_error *err)
{
    struct left l = {0};
    int rc = k->ops->dump(k, found, &l, err);
    if (rc == 0 && l.failed)
        rc = esp_fail(err, -ENOMEM, "kernel", "out of memory");
    if (l.count)
        qsort(l.o, l.count, sizeof(*l.o), in_order);
    if (rc == 0)
        rc = remove_objects(k, &l, out, err);
    free(l.o);
    return rc;
}

// ---- devices

struct removing {
    struct kernel *k;
    void (*device)(void *ctx, const char *name);
    void *ctx;
    struct purged *out;
    struct esp_error *err;
    int rc;
};

static void one_device(void *ctx, const char *name, uint32_t index)
{
    struct removing *r = ctx;
    (void)index;
    int rc = r->k->ops->vti_remove(r->k, name);
    if (rc < 0 && r->rc == 0)
        r->rc = esp_fail(r->err, rc, name, "the TUN device cannot be removed: %s", strerror(-rc));
    if (rc < 0)
        return;
    r->out->devices++;
    r->device(r->ctx, name);
}

static void way_around(struct kernel *k, struct purged *out)
{
    struct netlink_around_left before = netlink_around_left(k);
    k->ops->vti_around(k, NULL, 0);
    struct netlink_around_left after = netlink_around_left(k);
    out->rules += before.rules - after.rules;
    out->routes += before.routes - after.routes;
}

// ----

// SAs and policies of the kernel's own ESP, which goes first: what it has protected is blocked behind it.
static int kernel_esp(struct kernel *k, struct esp_error *err)
{
    struct esp_engine *e;
    int rc = k->ops->engine(k, &e, err);
    if (rc == 0)
        e->ops->destroy(e);
    return rc == -ENODEV ? 0 : rc;
}

static int open_kernel(struct kernel **out, const struct settings *s, struct esp_error *err)
{
    struct netlink_options o = {.owner = s->run_dir,
                                .routing_table = s->routing_table,
                                .own_mark = ESPALIER_SO_MARK,
                                .port_nat_t = s->port_nat_t,
                                .routes = true};
    int rc = netlink_kernel_open(out, &o, err);
    if (rc != -EBUSY)
        return rc;
    o.routes = false; // others have all tables, so none is ours
    *err = (struct esp_error){0};
    return netlink_kernel_open(out, &o, err);
}

int purge(const struct settings *s, void (*device)(void *ctx, const char *name), void *ctx,
          struct purged *out, struct esp_error *err)
{
    struct kernel *k;
    *out = (struct purged){0};
    int rc = open_kernel(&k, s, err);
    if (rc < 0)
        return rc;
    if (rc == 0 && (rc = kernel_esp(k, err)) < 0) {
        k->ops->close(k, true);
        return rc;
    }
    struct removing r = {.k = k, .device = device, .ctx = ctx, .out = out, .err = err};
    k->ops->vti_each(k, one_device, &r);
    rc = r.rc;
    way_around(k, out);
    if (rc == 0)
        rc = objects(k, out, err);
    k->ops->close(k, rc < 0); // the anchor says what is ours: it goes when all has gone
    return rc;
}
