// SPDX-License-Identifier: Apache-2.0
#include "ctrl/fleet/etcd_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <openssl/evp.h>

// ---- what is asked

static json_t *base64(const void *p, size_t len)
{
    size_t room = 4 * ((len + 2) / 3) + 1;
    unsigned char *text = len < INT32_MAX ? malloc(room) : NULL;
    if (!text)
        return NULL;
    int n = EVP_EncodeBlock(text, p, (int)len);
    json_t *s = json_stringn((const char *)text, (size_t)n);
    free(text);
    return s;
}

static json_t *key_of(const char *key)
{
    return base64(key, strlen(key));
}

static json_t *number(uint64_t n)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, n);
    return json_string(text);
}

bool etcd_prefix_end(const char *prefix, char *buf)
{
    size_t n = strlen(prefix);
    memcpy(buf, prefix, n + 1);
    if (!n)
        return false;
    buf[n - 1]++; // a key is text: it has no 0xff
    return true;
}

// Where `key` begins it, or all behind `after`. False: no memory.
static bool put_range(json_t *o, const char *from, const char *prefix)
{
    char *end = malloc(strlen(prefix) + 1);
    bool ok = end && etcd_prefix_end(prefix, end) && json_object_set_new(o, "key", key_of(from)) == 0 &&
              json_object_set_new(o, "range_end", key_of(end)) == 0;
    free(end);
    return ok;
}

static bool put_behind(json_t *o, const struct etcd_question *q)
{
    // the first key behind it is that with a NUL more
    size_t n = strlen(q->after) + 1;
    return put_range(o, q->key, q->key) && json_object_set_new(o, "key", base64(q->after, n)) == 0;
}

static json_t *range(const struct etcd_question *q)
{
    json_t *o = json_object();
    bool ok = o && (q->after ? put_behind(o, q) : put_range(o, q->key, q->key));
    if (ok && q->revision)
        ok = json_object_set_new(o, "revision", number(q->revision)) == 0;
    if (ok && q->most)
        ok = json_object_set_new(o, "limit", number(q->most)) == 0;
    if (ok && q->keys_only)
        ok = json_object_set_new(o, "keys_only", json_true()) == 0;
    if (ok)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *compare(const struct etcd_compare *c)
{
    return json_pack("{s:s, s:s, s:o, s:o}", "result", "EQUAL", "target", c->creation ? "CREATE" : "MOD",
                     "key", key_of(c->key), c->creation ? "create_revision" : "mod_revision",
                     number(c->revision));
}

static json_t *operation(const struct etcd_op *op)
{
    if (op->change == ETCD_PUT)
        return json_pack("{s:{s:o, s:o, s:o}}", "request_put", "key", key_of(op->key), "value",
                         base64(op->value, op->len), "lease", number(op->lease));
    json_t *o = json_object();
    bool ok = o && (op->change == ETCD_DELETE ? json_object_set_new(o, "key", key_of(op->key)) == 0
                                              : put_range(o, op->key, op->key));
    if (ok)
        return json_pack("{s:o}", "request_delete_range", o);
    json_decref(o);
    return NULL;
}

static json_t *txn(const struct etcd_question *q)
{
    json_t *compares = json_array(), *ops = json_array();
    bool ok = compares && ops;
    for (size_t i = 0; i < q->compares && ok; i++)
        ok = json_array_append_new(compares, compare(&q->compare[i])) == 0;
    for (size_t i = 0; i < q->ops && ok; i++)
        ok = json_array_append_new(ops, operation(&q->op[i])) == 0;
    if (ok)
        return json_pack("{s:o, s:o}", "compare", compares, "success", ops);
    json_decref(compares);
    json_decref(ops);
    return NULL;
}

static char *text_of(json_t *o)
{
    char *s = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return s;
}

char *etcd_json_question(const struct etcd_question *q, const char **path)
{
    switch (q->kind) {
    case ETCD_RANGE: *path = "/v3/kv/range"; return text_of(range(q));
    case ETCD_TXN: *path = "/v3/kv/txn"; return text_of(txn(q));
    case ETCD_GRANT: *path = "/v3/lease/grant"; return text_of(json_pack("{s:o}", "TTL", number(q->ttl)));
    case ETCD_KEEPALIVE:
        *path = "/v3/lease/keepalive";
        return text_of(json_pack("{s:o}", "ID", number(q->lease)));
    case ETCD_LEASED:
        *path = "/v3/lease/timetolive";
        return text_of(json_pack("{s:o, s:b}", "ID", number(q->lease), "keys", 1));
    default: *path = "/v3/lease/revoke"; return text_of(json_pack("{s:o}", "ID", number(q->lease)));
    }
}

char *etcd_json_watch(const char *prefix, uint64_t from)
{
    json_t *o = json_object();
    if (o && put_range(o, prefix, prefix) && json_object_set_new(o, "start_revision", number(from)) == 0)
        return text_of(json_pack("{s:o}", "create_request", o));
    json_decref(o);
    return NULL;
}

// ---- what is answered

// False: it is no number. One that is not there is 0.
static bool get_number(const json_t *o, const char *name, uint64_t *out)
{
    const json_t *v = json_object_get(o, name);
    const char *text = json_string_value(v);
    char *end = NULL;
    *out = 0;
    if (!v)
        return true;
    if (json_is_integer(v) && json_integer_value(v) >= 0)
        *out = (uint64_t)json_integer_value(v);
    else if (text && text[0] >= '0' && text[0] <= '9')
        *out = strtoull(text, &end, 10);
    else
        return false;
    return !end || !*end;
}

// With a NUL behind it; NULL: it is no base64, or no memory. What is not there is empty.
static uint8_t *octets_of(const json_t *v, size_t *len)
{
    const char *text = v ? json_string_value(v) : "";
    size_t n = v ? json_string_length(v) : 0;
    if (!text || n % 4 || n > INT32_MAX)
        return NULL;
    uint8_t *p = malloc(n / 4 * 3 + 1);
    int got = p && n ? EVP_DecodeBlock(p, (const unsigned char *)text, (int)n) : 0;
    if (!p || got < 0) {
        free(p);
        return NULL;
    }
    *len = (size_t)got - (n && text[n - 1] == '=') - (n && text[n - 2] == '=');
    p[*len] = 0;
    return p;
}

static uint8_t *get_octets(const json_t *o, const char *name, size_t *len)
{
    return octets_of(json_object_get(o, name), len);
}

static bool get_kv(const json_t *o, struct etcd_kv *kv)
{
    size_t n = 0;
    uint8_t *key = get_octets(o, "key", &n);
    bool text = key && n && strlen((const char *)key) == n;
    kv->key = (const char *)key;
    kv->value = get_octets(o, "value", &kv->len);
    return text && kv->value && get_number(o, "create_revision", &kv->created) &&
           get_number(o, "mod_revision", &kv->changed) && get_number(o, "lease", &kv->lease);
}

static void free_kv(struct etcd_kv *kv)
{
    free((void *)(uintptr_t)kv->key);
    free((void *)(uintptr_t)kv->value);
}

__attribute__((format(printf, 4, 5))) static void fail(int *error, char *text, int code, const char *fmt, ...)
{
    va_list ap;
    *error = code;
    va_start(ap, fmt);
    vsnprintf(text, 240, fmt, ap);
    va_end(ap);
}

// Before anything is allocated for them: of `[0,0,0` each value takes more than ten times its text. Texts of
// etcd's are base64 and its own words, where few of these occur.
static json_t *parse(const char *text, size_t len)
{
    size_t items = 0;
    for (size_t i = 0; i < len && items <= ETCD_ITEMS_MOST; i++)
        items += text[i] == ',' || text[i] == '{' || text[i] == '[';
    return items > ETCD_ITEMS_MOST ? NULL : json_loadb(text, len, 0, NULL);
}

// grpc's codes and etcd's words
// (https://github.com/etcd-io/etcd/blob/release-3.4/etcdserver/api/v3rpc/rpctypes/error.go).
static int code_of(const char *text, long status)
{
    if (strstr(text, "requested lease not found"))
        return -ENOENT;
    if (strstr(text, "has been compacted"))
        return -ESTALE;
    if (status == 401 || status == 403 || strstr(text, "permission denied") || strstr(text, "auth"))
        return -EACCES;
    return -EIO;
}

static const char *refusal_of(const json_t *o)
{
    const char *s = json_string_value(json_object_get(o, "error"));
    if (!s)
        s = json_string_value(json_object_get(json_object_get(o, "error"), "message"));
    return s ? s : json_string_value(json_object_get(o, "message"));
}

static bool get_kvs(const json_t *o, struct etcd_answer *a)
{
    const json_t *list = json_object_get(o, "kvs");
    size_t n = json_array_size(list);
    a->kv = calloc(n ? n : 1, sizeof(*a->kv));
    for (size_t i = 0; i < n && a->kv; i++) {
        a->count++; // to be freed as far as it came
        if (!get_kv(json_array_get(list, i), &a->kv[i]))
            return false;
    }
    return a->kv != NULL;
}

// Without a time the lease has ended: that is "-1" there.
static bool get_leased(const json_t *o, struct etcd_answer *a)
{
    const json_t *list = json_object_get(o, "keys");
    const char *ttl = json_string_value(json_object_get(o, "TTL"));
    size_t n = json_array_size(list);
    uint64_t s = 0;
    if (!get_number(o, "ID", &a->lease) || ((!ttl || strcmp(ttl, "-1") != 0) && !get_number(o, "TTL", &s)))
        return false;
    a->ttl = s < UINT32_MAX ? (uint32_t)s : UINT32_MAX;
    a->kv = calloc(n ? n : 1, sizeof(*a->kv));
    for (size_t i = 0; i < n && a->kv; i++) {
        size_t len = 0;
        uint8_t *key = octets_of(json_array_get(list, i), &len);
        a->kv[a->count++].key = (const char *)key;
        if (!key || !len || strlen((const char *)key) != len)
            return false;
    }
    return a->kv != NULL;
}

static bool get_answer(enum etcd_kind kind, const json_t *o, struct etcd_answer *a)
{
    uint64_t ttl = 0;
    const json_t *body = kind == ETCD_KEEPALIVE ? json_object_get(o, "result") : o;
    if (!json_is_object(body) || !get_number(json_object_get(body, "header"), "revision", &a->revision))
        return false;
    a->more = json_is_true(json_object_get(body, "more"));
    a->succeeded = json_is_true(json_object_get(body, "succeeded"));
    if (kind == ETCD_GRANT || kind == ETCD_KEEPALIVE) {
        bool ok = get_number(body, "ID", &a->lease) && get_number(body, "TTL", &ttl) && ttl < UINT32_MAX;
        a->ttl = (uint32_t)ttl;
        return ok && (kind == ETCD_KEEPALIVE || (a->lease && a->ttl));
    }
    return kind == ETCD_LEASED ? get_leased(body, a) : kind != ETCD_RANGE || get_kvs(body, a);
}

void etcd_json_answer(enum etcd_kind kind, long status, const char *body, size_t len, struct etcd_answer *a)
{
    json_t *o = parse(body, len);
    *a = (struct etcd_answer){0};
    const char *refusal = refusal_of(o);
    if (refusal)
        fail(&a->error, a->text, code_of(refusal, status), "etcd refuses it: %.180s", refusal);
    else if (status != 200)
        fail(&a->error, a->text, code_of("", status), "etcd answered with HTTP status %ld", status);
    else if (!get_answer(kind, o, a))
        fail(&a->error, a->text, -EBADMSG,
             "what it answered is none of etcd's answers: expected the JSON of /v3");
    json_decref(o);
}

void etcd_answer_free(struct etcd_answer *a)
{
    for (size_t i = 0; i < a->count; i++)
        free_kv(&a->kv[i]);
    free(a->kv);
    a->kv = NULL;
    a->count = 0;
}

static bool get_events(const json_t *result, struct etcd_news *n)
{
    const json_t *list = json_object_get(result, "events");
    size_t count = json_array_size(list);
    n->event = calloc(count ? count : 1, sizeof(*n->event));
    for (size_t i = 0; i < count && n->event; i++) {
        const json_t *e = json_array_get(list, i);
        const char *type = json_string_value(json_object_get(e, "type"));
        n->count++;
        n->event[i].deleted = type && strcmp(type, "DELETE") == 0;
        if (!get_kv(json_object_get(e, "kv"), &n->event[i].kv))
            return false;
    }
    return n->event != NULL;
}

void etcd_json_news(const char *line, size_t len, struct etcd_news *n)
{
    json_t *o = parse(line, len);
    const json_t *result = json_object_get(o, "result");
    *n = (struct etcd_news){0};
    const char *refusal = refusal_of(o),
               *cancelled = json_string_value(json_object_get(result, "cancel_reason"));
    if (refusal)
        fail(&n->error, n->text, code_of(refusal, 200), "etcd ends the watch: %.180s", refusal);
    else if (!json_is_object(result) || !get_number(result, "compact_revision", &n->compacted) ||
             !get_number(json_object_get(result, "header"), "revision", &n->revision) ||
             !get_events(result, n))
        fail(&n->error, n->text, -EBADMSG, "what the watch says is none of etcd's answers");
    else if (n->compacted)
        fail(&n->error, n->text, -ESTALE,
             "the watch began at a revision that is compacted: %" PRIu64 " is the first", n->compacted);
    else if (json_is_true(json_object_get(result, "canceled")))
        fail(&n->error, n->text, -EIO, "etcd has ended the watch: %.180s",
             cancelled ? cancelled : "no reason given");
    json_decref(o);
}

void etcd_news_free(struct etcd_news *n)
{
    for (size_t i = 0; i < n->count; i++)
        free_kv(&n->event[i].kv);
    free(n->event);
    n->event = NULL;
    n->count = 0;
}
