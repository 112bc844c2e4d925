// SPDX-License-Identifier: Apache-2.0
// The kernel in memory of kernel_model.h.
#include "tests/unit/kernel_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/path/kset_values.h"

static void *more(void *p, unsigned count, unsigned *room, size_t size)
{
    if (count < *room)
        return p;
    *room = *room ? 2 * *room : 64;
    p = realloc(p, *room * size);
    if (!p)
        abort();
    return p;
}

static struct kobj *find(const struct kernel_model *m, const struct kobj *key)
{
    for (unsigned i = 0; i < m->count; i++)
        if (kobj_same_key(&m->objects[i], key))
            return &m->objects[i];
    return NULL;
}

const struct kobj *model_find(const struct kernel_model *m, const struct kobj *key)
{
    return find(m, key);
}

void model_remove(struct kernel_model *m, unsigned i)
{
    m->objects[i] = m->objects[--m->count];
}

static int change(struct kernel_model *m, const struct kchange *c)
{
    struct kobj *at = find(m, c->o);
    m->asked++;
    bool fails = m->asked == m->fail_at || (m->asked >= m->fail_from && m->asked < m->fail_to);
    if (fails && !m->fail_does)
        return m->fail_rc;
    if (c->add && at) {
        *at = *c->o;
    } else if (c->add) {
        m->objects = more(m->objects, m->count, &m->room, sizeof(*m->objects));
        m->objects[m->count++] = *c->o;
    } else if (at) {
        model_remove(m, (unsigned)(at - m->objects));
    }
    m->steps = more(m->steps, m->step_count, &m->step_room, sizeof(*m->steps));
    m->steps[m->step_count++] = (struct model_step){c->add, *c->o};
    return fails ? m->fail_rc : 0;
}

static unsigned apply(struct kernel *k, struct kchange *c, unsigned n, struct esp_error *err)
{
    unsigned failed = 0;
    for (unsigned i = 0; i < n; i++) {
        c[i].rc = change((struct kernel_model *)k, &c[i]);
        if (c[i].rc < 0 && failed++ == 0)
            esp_fail(err, c[i].rc, "kernel", "%s", strerror(-c[i].rc));
    }
    return failed;
}

static int dump(struct kernel *k, void (*each)(void *ctx, const struct kobj *o), void *ctx,
                struct esp_error *err)
{
    struct kernel_model *m = (struct kernel_model *)k;
    (void)err;
    for (unsigned i = 0; i < m->count && !m->dump_rc; i++)
        each(ctx, &m->objects[i]);
    return m->dump_rc;
}

static int addresses(struct kernel *k, void (*each)(void *ctx, const struct addr *a, uint8_t len), void *ctx)
{
    struct kernel_model *m = (struct kernel_model *)k;
    for (unsigned i = 0; i < m->address_count; i++)
        each(ctx, &m->addresses[i], m->lens[i]);
    return 0;
}

static int default_source(struct kernel *k, uint8_t family, struct addr *out)
{
    struct kernel_model *m = (struct kernel_model *)k;
    *out = m->preferred[family == 6];
    return out->family ? 0 : -ENETUNREACH;
}

static int tun_up(struct kernel *k, const char *name, uint32_t mtu, struct esp_error *err)
{
    (void)k, (void)name, (void)mtu, (void)err;
    return 7;
}

static void notices(struct kernel *k, void (*each)(void *ctx, const struct knotice *n), void *ctx)
{
    (void)k, (void)each, (void)ctx;
}

static void no_close(struct kernel *k, bool leave)
{
    (void)k, (void)leave;
}

static int address(struct kernel *k, const struct addr *a, bool add)
{
    (void)k;
    (void)a;
    (void)add;
    return 0; // those of the TUN are not in `addresses`
}

static const struct kernel_ops ops = {tun_up,  apply, dump, addresses, default_source, notices, no_close,
                                      address, NULL,  NULL, NULL,      NULL,           NULL,    NULL,
                                      NULL,    NULL,  NULL, NULL,      NULL,           NULL};

void model_open(struct kernel_model *m)
{
    *m = (struct kernel_model){.base = {.ops = &ops, .fd = -1, .tables = 1000}, .fail_rc = -ENOSPC};
}

void model_free(struct kernel_model *m)
{
    free(m->objects);
    free(m->steps);
}

void model_copy(struct kernel_model *to, const struct kernel_model *from)
{
    model_open(to);
    for (unsigned i = 0; i < from->count; i++) {
        to->objects = more(to->objects, to->count, &to->room, sizeof(*to->objects));
        to->objects[to->count++] = from->objects[i];
    }
}

bool model_same(const struct kernel_model *a, const struct kernel_model *b)
{
    bool same = a->count == b->count;
    for (unsigned i = 0; i < a->count && same; i++) {
        const struct kobj *o = find(b, &a->objects[i]);
        same = o && kobj_same_value(o, &a->objects[i]);
    }
    return same;
}

// ---- verdict

static bool in_prefix(const uint8_t *a, const uint8_t *prefix, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        if ((a[i / 8] ^ prefix[i / 8]) & 0x80 >> i % 8)
            return false;
    return true;
}

int model_verdict(const struct kernel_model *m, enum kobj_dir dir, uint8_t family, const uint8_t *src,
                  const uint8_t *dst, uint8_t proto, uint16_t sport, uint16_t dport)
{
    const struct kobj *best = NULL;
    for (unsigned i = 0; i < m->count; i++) {
        const struct kobj *o = &m->objects[i];
        if (o->kind == KOBJ_XFRM && o->dir == dir && o->family == family && !o->ifindex && !o->mark_mask &&
            (!o->proto || o->proto == proto) && in_prefix(src, o->src, o->src_len) &&
            in_prefix(dst, o->dst, o->dst_len) && !((sport ^ o->sport) & o->sport2) &&
            !((dport ^ o->dport) & o->dport2) && (!best || o->priority < best->priority))
            best = o;
    }
    return best ? best->action : 0;
}
