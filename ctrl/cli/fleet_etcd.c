// SPDX-License-Identifier: Apache-2.0
#include "ctrl/cli/fleet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "ctrl/config/options.h"
#include "ctrl/fleet/etcd_http.h"
#include "ctrl/fleet/tls_file.h"
#include "ctrl/lib/loop.h"

enum { TIMEOUT_MS = 5000, PAGE = 256 };

struct fleet_etcd {
    struct loop *loop;
    struct etcd *etcd;
    char prefix[FLEET_PREFIX_LEN];
    bool allows_clear;
    // of the question under way
    etcd_answer_fn *fn;
    void *ctx;
    struct esp_error *err;
    int rc;
    bool succeeded, done;
};

static int settings_of(const char *config, struct settings *s, struct esp_error *err)
{
    char *const argv[] = {"espalierd", "--config", (char *)(uintptr_t)config, NULL};
    struct options o;
    struct daemon_config c;
    int rc = options_parse(&o, 3, argv, err);
    if (rc)
        return rc;
    rc = config_build(&c, &o, NULL, err);
    options_free(&o);
    if (rc)
        return rc;
    *s = c.settings;
    return s->fleet_endpoints[0] ? 0
                                 : esp_fail(err, -EINVAL, "espalierd.fleet.endpoints",
                                            "%.120s does not name etcd: expected https://HOST:2379", config);
}

static int reach(struct fleet_etcd *e, const struct settings *s, struct esp_error *err)
{
    struct tls_files t;
    int rc = tls_files_read(&t, s, err);
    if (rc)
        return rc;
    const struct etcd_http_config c = {
        .endpoints = s->fleet_endpoints, .ca = t.ca, .cert = t.cert, .key = t.key, .timeout_ms = TIMEOUT_MS};
    snprintf(e->prefix, sizeof(e->prefix), "%s", s->fleet_prefix);
    e->allows_clear = s->fleet_allow_clear;
    e->loop = loop_new();
    e->etcd = e->loop ? etcd_http_new(e->loop, &c, err) : NULL;
    tls_files_free(&t);
    return e->etcd ? 0 : err->code ? err->code : esp_fail(err, -ENOMEM, "", "out of memory");
}

int fleet_etcd_open(struct fleet_etcd **out, const char *config, struct esp_error *err)
{
    struct settings s;
    struct fleet_etcd *e = calloc(1, sizeof(*e));
    if (!e)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    int rc = settings_of(config, &s, err);
    if (!rc)
        rc = reach(e, &s, err);
    if (rc)
        fleet_etcd_close(e);
    else
        *out = e;
    return rc;
}

void fleet_etcd_close(struct fleet_etcd *e)
{
    if (!e)
        return;
    etcd_free(e->etcd);
    if (e->loop)
        loop_free(e->loop);
    free(e);
}

bool fleet_etcd_allows_clear(const struct fleet_etcd *e)
{
    return e->allows_clear;
}

const char *fleet_etcd_key(const struct fleet_etcd *e, char buf[512], const char *part, const char *name)
{
    snprintf(buf, 512, "%s%s%s", e->prefix, part, name);
    return buf;
}

static void answered(void *ctx, const struct etcd_answer *a)
{
    struct fleet_etcd *e = ctx;
    e->done = true;
    e->succeeded = a->succeeded;
    if (a->error)
        e->rc = esp_fail(e->err, a->error, "etcd", "%s", a->text);
    else if (e->fn)
        e->fn(e->ctx, a);
}

static void turn(struct loop *l)
{
    uint64_t now = loop_now(l), next = loop_next_timer(l);
    loop_once(l, next <= now ? 0 : next - now > TIMEOUT_MS ? TIMEOUT_MS : (int)(next - now));
}

int fleet_etcd_ask(struct fleet_etcd *e, const struct etcd_question *q, etcd_answer_fn *fn, void *ctx,
                   struct esp_error *err)
{
    e->fn = fn;
    e->ctx = ctx;
    e->err = err;
    e->rc = 0;
    e->done = false;
    if (etcd_ask(e->etcd, q, answered, e) < 0)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    while (!e->done)
        turn(e->loop);
    return e->rc;
}

int fleet_etcd_txn(struct fleet_etcd *e, const struct etcd_compare *c, size_t compares,
                   const struct etcd_op *op, size_t ops, struct esp_error *err)
{
    struct etcd_question q = {.kind = ETCD_TXN, .compare = c, .compares = compares, .op = op, .ops = ops};
    int rc = fleet_etcd_ask(e, &q, NULL, NULL, err);
    if (rc || e->succeeded)
        return rc;
    return esp_fail(err, -EAGAIN, "etcd", "somebody else has changed it meanwhile: look, and do it again");
}

// ---- all below a part

struct each {
    const char *key;
    fleet_etcd_each_fn *fn;
    void *ctx;
    int rc;
    bool more;
    char after[512];
};

static void page(void *ctx, const struct etcd_answer *a)
{
    struct each *each = ctx;
    for (size_t i = 0; i < a->count && !each->rc; i++)
        each->rc = each->fn(each->ctx, a->kv[i].key + strlen(each->key), &a->kv[i]);
    each->more = a->more && a->count;
    if (each->more)
        snprintf(each->after, sizeof(each->after), "%s", a->kv[a->count - 1].key);
}

int fleet_etcd_each(struct fleet_etcd *e, const char *part, bool keys_only, fleet_etcd_each_fn *fn, void *ctx,
                    struct esp_error *err)
{
    char key[512];
    struct each each = {.key = fleet_etcd_key(e, key, part, ""), .fn = fn, .ctx = ctx, .more = true};
    int rc = 0;
    while (!rc && !each.rc && each.more) {
        struct etcd_question q = {.kind = ETCD_RANGE,
                                  .key = key,
                                  .most = PAGE,
                                  .keys_only = keys_only,
                                  .after = each.after[0] ? each.after : NULL};
        rc = fleet_etcd_ask(e, &q, page, &each, err);
    }
    return rc ? rc : each.rc;
}

// ---- current

struct wanted_current {
    struct fleet_current *c;
    json_int_t schema;
    bool there;
};

static int take_current(void *ctx, const char *name, const struct etcd_kv *kv)
{
    struct wanted_current *w = ctx;
    if (name[0]) // another key that begins so
        return 0;
    json_t *o = json_loadb((const char *)kv->value, kv->len, 0, NULL);
    const char *generation = json_string_value(json_object_get(o, "generation")),
               *before = json_string_value(json_object_get(o, "before"));
    w->there = true;
    w->schema = json_integer_value(json_object_get(o, "schema"));
    snprintf(w->c->generation, sizeof(w->c->generation), "%s", generation ? generation : "");
    snprintf(w->c->before, sizeof(w->c->before), "%s", before ? before : "");
    w->c->connections = (uint64_t)json_integer_value(json_object_get(o, "connections"));
    w->c->loaded = (uint64_t)json_integer_value(json_object_get(o, "loaded"));
    w->c->changed = kv->changed;
    json_decref(o);
    return 0;
}

int fleet_etcd_current(struct fleet_etcd *e, struct fleet_current *c, struct esp_error *err)
{
    struct wanted_current w = {.c = c};
    *c = (struct fleet_current){0};
    int rc = fleet_etcd_each(e, "current", false, take_current, &w, err);
    if (!rc && w.there && w.schema != FLEET_SCHEMA)
        rc = esp_fail(err, -EPROTO, "etcd",
                      "%.80scurrent is of schema %lld: this espalier knows schema %d alone", e->prefix,
                      (long long)w.schema, FLEET_SCHEMA);
    return rc;
}
