// SPDX-License-Identifier: Apache-2.0
// Parser and builder of VICI messages. The parser trusts nothing: every length is checked against what is
// left, sections and lists must balance, names are unique in their section, and the number of elements and
// their depth are bounded.
#include "ctrl/ctl/vici_msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

// ---- parsing

struct parser {
    const uint8_t *data;
    size_t len, pos;
    struct vici_msg *m;
    size_t arena_used, node_cap;
    struct vici_node **seen; // open-addressed set of (parent, name)
    size_t seen_cap;
    struct vici_node *open;  // the innermost open section or list
    struct vici_node **last; // last child of each open level
    unsigned depth;
    struct esp_error *err;
};

static int bad(struct parser *p, const char *what)
{
    return esp_fail(p->err, -EBADMSG, "message", "%s at octet %zu of %zu", what, p->pos, p->len);
}

static const char *take_copy(struct parser *p, size_t n)
{
    uint8_t *to = p->m->arena + p->arena_used;
    if (n)
        memcpy(to, p->data + p->pos, n);
    to[n] = 0;
    p->arena_used += n + 1;
    p->pos += n;
    return (const char *)to;
}

// A section may have an empty name: that of charon's global counters has.
static int take_name(struct parser *p, const char **name, bool may_be_empty)
{
    if (p->pos == p->len)
        return bad(p, "name length missing");
    size_t n = p->data[p->pos++];
    if (n == 0 && !may_be_empty)
        return bad(p, "empty name");
    if (n > p->len - p->pos)
        return bad(p, "name longer than the message");
    for (size_t i = 0; i < n; i++) {
        if (p->data[p->pos + i] < 0x20 || p->data[p->pos + i] == 0x7f)
            return bad(p, "control character in a name");
    }
    *name = take_copy(p, n);
    return 0;
}

static int take_value(struct parser *p, struct vici_node *n)
{
    if (p->len - p->pos < 2)
        return bad(p, "value length missing");
    size_t len = (size_t)p->data[p->pos] << 8 | p->data[p->pos + 1];
    p->pos += 2;
    if (len > p->len - p->pos)
        return bad(p, "value longer than the message");
    n->len = len;
    n->value = (const uint8_t *)take_copy(p, len);
    return 0;
}

static size_t hash_name(const struct vici_node *parent, const char *name)
{
    uint64_t h = 1469598103934665603ULL ^ (uintptr_t)parent;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 1099511628211ULL;
    return (size_t)(h ^ h >> 29);
}

static int check_unique(struct parser *p, struct vici_node *n)
{
    for (size_t i = hash_name(n->parent, n->name) % p->seen_cap;; i = (i + 1) % p->seen_cap) {
        struct vici_node *other = p->seen[i];
        if (!other) {
            p->seen[i] = n;
            return 0;
        }
        if (other->parent == n->parent && strcmp(other->name, n->name) == 0)
            return esp_fail(p->err, -EBADMSG, "message", "%.100s is there twice", n->name);
    }
}

// NULL: too many
static struct vici_node *add_node(struct parser *p, enum vici_kind kind)
{
    if (p->m->count == p->node_cap) {
        esp_fail(p->err, -E2BIG, "message", "more than %d elements", VICI_MAX_ELEMENTS);
        return NULL;
    }
    struct vici_node *n = &p->m->nodes[p->m->count++];
    *n = (struct vici_node){.kind = kind, .name = "", .parent = p->open};
    if (p->last[p->depth])
        p->last[p->depth]->next = n;
    else
        p->open->child = n;
    p->last[p->depth] = n;
    return n;
}

static int descend(struct parser *p, struct vici_node *n)
{
    if (p->depth + 1 > VICI_MAX_DEPTH)
        return esp_fail(p->err, -E2BIG, "message", "sections nested deeper than %d", VICI_MAX_DEPTH);
    p->depth++;
    p->last[p->depth] = NULL;
    p->open = n;
    return 0;
}

static int ascend(struct parser *p)
{
    p->depth--;
    p->open = p->open->parent;
    return 0;
}

static int parse_element(struct parser *p)
{
    uint8_t type = p->data[p->pos++];
    bool in_list = p->open->kind == VICI_LIST;
    struct vici_node *n;
    int r;
    if (in_list != (type == VICI_LIST_ITEM || type == VICI_LIST_END))
        return bad(p, in_list ? "something else than an item in a list" : "list element outside a list");
    switch (type) {
    case VICI_SECTION_END: return p->depth ? ascend(p) : bad(p, "section end without a section");
    case VICI_LIST_END: return ascend(p);
    case VICI_LIST_ITEM: n = add_node(p, VICI_ITEM); return n ? take_value(p, n) : -E2BIG;
    case VICI_SECTION_START:
    case VICI_LIST_START:
    case VICI_KEY_VALUE:
        n = add_node(p, type == VICI_SECTION_START ? VICI_SECTION
                        : type == VICI_LIST_START  ? VICI_LIST
                                                   : VICI_VALUE);
        if (!n)
            return -E2BIG;
        r = take_name(p, &n->name, type == VICI_SECTION_START);
        if (r == 0)
            r = check_unique(p, n);
        if (r)
            return r;
        return type == VICI_KEY_VALUE ? take_value(p, n) : descend(p, n);
    default: return bad(p, "unknown element type");
    }
}

int vici_msg_parse(struct vici_msg *m, const uint8_t *data, size_t len, struct esp_error *err)
{
    *m = (struct vici_msg){0};
    if (len > VICI_MAX_FRAME)
        return esp_fail(err, -E2BIG, "message", "%zu octets, at most %d are allowed", len, VICI_MAX_FRAME);
    struct vici_node *last[VICI_MAX_DEPTH + 1] = {0};
    size_t cap =
        (len < VICI_MAX_ELEMENTS ? len : VICI_MAX_ELEMENTS) + 1; // an element takes an octet or more; + root
    struct parser p = {
        .data = data, .len = len, .m = m, .node_cap = cap, .seen_cap = 2 * cap + 1, .last = last, .err = err};
    m->nodes = malloc(cap * sizeof(*m->nodes));
    m->arena_len =
        len + 1; // every copy is followed by a NUL and was preceded by at least one octet of framing
    m->arena = malloc(m->arena_len);
    p.seen = calloc(p.seen_cap, sizeof(struct vici_node *));
    int r = -ENOMEM;
    if (!m->nodes || !m->arena || !p.seen) {
        esp_fail(err, r, "message", "out of memory");
        goto out;
    }
    m->nodes[0] = (struct vici_node){.kind = VICI_SECTION, .name = ""};
    m->root = p.open = &m->nodes[m->count++];
    r = 0;
    while (r == 0 && p.pos < len)
        r = parse_element(&p);
    if (r == 0 && p.depth)
        r = bad(&p, p.open->kind == VICI_LIST ? "list not closed" : "section not closed");
out:
    free(p.seen);
    if (r)
        vici_msg_free(m);
    return r;
}

void vici_msg_free(struct vici_msg *m)
{
    if (m->arena)
        OPENSSL_cleanse(m->arena, m->arena_len);
    free(m->arena);
    free(m->nodes);
    *m = (struct vici_msg){0};
}

const struct vici_node *vici_find(const struct vici_node *section, const char *name)
{
    if (!section || section->kind != VICI_SECTION)
        return NULL;
    for (const struct vici_node *n = section->child; n; n = n->next) {
        if (strcmp(n->name, name) == 0)
            return n;
    }
    return NULL;
}

const char *vici_text(const struct vici_node *n)
{
    if (!n || (n->kind != VICI_VALUE && n->kind != VICI_ITEM) || memchr(n->value, 0, n->len))
        return NULL;
    return (const char *)n->value;
}

const char *vici_get(const struct vici_node *section, const char *name)
{
    return vici_text(vici_find(section, name));
}

bool vici_get_yes(const struct vici_node *section, const char *name, bool absent)
{
    const char *v = vici_get(section, name);
    if (!v)
        return absent;
    return strcmp(v, "yes") == 0 || strcmp(v, "true") == 0 || strcmp(v, "1") == 0 ||
           strcmp(v, "enabled") == 0;
}

uint64_t vici_get_num(const struct vici_node *section, const char *name, uint64_t absent)
{
    const char *v = vici_get(section, name);
    if (!v || *v < '0' || *v > '9')
        return absent;
    char *end;
    errno = 0;
    uint64_t n = strtoull(v, &end, 10);
    return *end || errno ? absent : n;
}

// ---- building

enum { FRAME_HEAD = 4 };

static uint8_t *grow(struct vici_out *o, size_t n)
{
    if (o->error)
        return NULL;
    if (o->len + n > VICI_MAX_FRAME + FRAME_HEAD) {
        o->error = -E2BIG;
        return NULL;
    }
    if (o->len + n > o->cap) {
        size_t cap = o->cap ? o->cap : 512;
        while (cap < o->len + n)
            cap *= 2;
        uint8_t *data = malloc(cap); // not realloc: the old copy may hold a secret and is wiped
        if (!data) {
            o->error = -ENOMEM;
            return NULL;
        }
        if (o->data) {
            memcpy(data, o->data, o->len);
            OPENSSL_cleanse(o->data, o->len);
            free(o->data);
        }
        o->data = data;
        o->cap = cap;
    }
    uint8_t *at = o->data + o->len;
    o->len += n;
    return at;
}

static void put_octet(struct vici_out *o, uint8_t v)
{
    uint8_t *at = grow(o, 1);
    if (at)
        *at = v;
}

static void put_bytes(struct vici_out *o, const void *data, size_t n)
{
    uint8_t *at = n ? grow(o, n) : NULL;
    if (at)
        memcpy(at, data, n);
}

static void put_name(struct vici_out *o, const char *name)
{
    size_t n = strlen(name);
    if (n > VICI_MAX_NAME) {
        o->error = o->error ? o->error : -EINVAL;
        return;
    }
    put_octet(o, (uint8_t)n);
    put_bytes(o, name, n);
}

static void put_sized(struct vici_out *o, const void *data, size_t n)
{
    if (n > UINT16_MAX) {
        o->error = o->error ? o->error : -E2BIG;
        return;
    }
    put_octet(o, (uint8_t)(n >> 8));
    put_octet(o, (uint8_t)n);
    put_bytes(o, data, n);
}

static void expect(struct vici_out *o, bool in_list)
{
    if (o->in_list != in_list && !o->error)
        o->error = -EINVAL;
}

void vici_out_begin(struct vici_out *o, enum vici_packet type, const char *name)
{
    *o = (struct vici_out){0};
    uint8_t *head = grow(o, FRAME_HEAD);
    if (head)
        memset(head, 0, FRAME_HEAD);
    put_octet(o, (uint8_t)type);
    if (name)
        put_name(o, name);
}

int vici_out_finish(struct vici_out *o)
{
    if (!o->error && (o->depth || o->in_list))
        o->error = -EINVAL;
    if (o->error)
        return o->error;
    size_t n = o->len - FRAME_HEAD;
    for (int i = 0; i < FRAME_HEAD; i++)
        o->data[i] = (uint8_t)(n >> (8 * (FRAME_HEAD - 1 - i)));
    return 0;
}

void vici_out_free(struct vici_out *o)
{
    if (o->data)
        OPENSSL_cleanse(o->data, o->len);
    free(o->data);
    *o = (struct vici_out){0};
}

void vici_section(struct vici_out *o, const char *name)
{
    expect(o, false);
    put_octet(o, VICI_SECTION_START);
    put_name(o, name);
    o->depth++;
}

void vici_section_end(struct vici_out *o)
{
    expect(o, false);
    if (o->depth)
        o->depth--;
    else if (!o->error)
        o->error = -EINVAL;
    put_octet(o, VICI_SECTION_END);
}

void vici_list(struct vici_out *o, const char *name)
{
    expect(o, false);
    put_octet(o, VICI_LIST_START);
    put_name(o, name);
    o->in_list = true;
}

void vici_item(struct vici_out *o, const char *text)
{
    expect(o, true);
    put_octet(o, VICI_LIST_ITEM);
    put_sized(o, text, strlen(text));
}

void vici_item_blob(struct vici_out *o, const void *data, size_t len)
{
    expect(o, true);
    put_octet(o, VICI_LIST_ITEM);
    put_sized(o, data, len);
}

void vici_list_end(struct vici_out *o)
{
    expect(o, true);
    put_octet(o, VICI_LIST_END);
    o->in_list = false;
}

void vici_put_blob(struct vici_out *o, const char *name, const void *data, size_t len)
{
    expect(o, false);
    put_octet(o, VICI_KEY_VALUE);
    put_name(o, name);
    put_sized(o, data, len);
}

void vici_put(struct vici_out *o, const char *name, const char *text)
{
    vici_put_blob(o, name, text, strlen(text));
}

void vici_putf(struct vici_out *o, const char *name, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(text))
        n = (int)strlen(text);
    vici_put_blob(o, name, text, (size_t)n);
}

static void put_list(struct vici_out *o, const struct vici_node *list)
{
    vici_list(o, list->name);
    for (const struct vici_node *k = list->child; k; k = k->next)
        vici_item_blob(o, k->value, k->len);
    vici_list_end(o);
}

void vici_put_all(struct vici_out *o, const struct vici_node *section)
{
    for (const struct vici_node *k = section->child; k; k = k->next) {
        if (k->kind == VICI_LIST) {
            put_list(o, k);
        } else if (k->kind == VICI_SECTION) {
            vici_section(o, k->name);
            vici_put_all(o, k);
            vici_section_end(o);
        } else {
            vici_put_blob(o, k->name, k->value, k->len);
        }
    }
}
