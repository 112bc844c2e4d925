// SPDX-License-Identifier: Apache-2.0
// One key of a connection: its value read by its kind and put where it belongs, or a fault that names it.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ctrl/config/keys.h"
#include "ctrl/config/values.h"

int load_refuse(struct load *l, const char *fmt, ...)
{
    char text[480];
    va_list ap;
    va_start(ap, fmt);
    esp_text_end(text, sizeof(text), vsnprintf(text, sizeof(text), fmt, ap));
    va_end(ap);
    if (l->faults++ == 0) {
        const char *name = l->key ? l->key->name : l->node ? l->node->name : "";
        esp_fail(l->err, -EINVAL, name, "%.170s, %s discarded", text, l->what);
    }
    if (l->report && l->report->fault)
        l->report->fault(l->report->ctx, l->node, l->path, text);
    return -EINVAL;
}

void load_warn(struct load *l, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (l->report && l->report->warn)
        l->report->warn(l->report->ctx, l->node, l->path, text);
}

int load_bad_value(struct load *l, const char *value, const char *expected)
{
    return load_refuse(l, "invalid value for: %s: '%.40s', expected %.120s", l->key->name, value, expected);
}

int load_too_long(struct load *l, const char *value, int most)
{
    return load_refuse(l, "invalid value for: %s: '%.40s...' is longer than %d characters", l->key->name,
                       value, most);
}

int load_too_many(struct load *l, const char *value, int most, const char *of_what)
{
    return load_refuse(l, "invalid value for: %s: '%.40s': more than %d%s", l->key->name, value, most,
                       of_what);
}

static const struct choice *find_choice(const struct choice *c, const char *text)
{
    for (; c->text; c++) {
        if (strcasecmp(c->text, text) == 0)
            return c;
    }
    return NULL;
}

// "none, trap, start": what a value may be; the empty text is none of them.
static void print_choices(const struct choice *c, char *buf, size_t size)
{
    size_t n = 0;
    buf[0] = 0;
    for (; c->text && n < size; c++)
        n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", c->text);
}

static int set_choice(struct load *l, void *at, const char *value)
{
    const struct choice *c = find_choice(l->key->choices, value);
    char list[120];
    if (c) {
        *(uint8_t *)at = c->value;
        return 0;
    }
    if (strcmp(l->key->name, "fragmentation") == 0)
        return load_bad_value(
            l, value,
            "yes, accept or no (force belongs to IKEv1: RFC 7383 2.3 has no fragments for a peer that "
            "did not ask for them)");
    strcpy(list, "one of ");
    print_choices(l->key->choices, list + strlen(list), sizeof(list) - strlen(list));
    return load_bad_value(l, value, list);
}

static int set_wide(struct load *l, void *at, const char *value)
{
    uint64_t n;
    bool size = l->key->kind == K_SIZE;
    if (!(size ? value_size(value, &n) : value_number(value, 0, UNSET - 1, &n)) || n == UNSET)
        return load_bad_value(l, value, size ? "a number of octets (1000, 10k, 5m, 1g)" : "a number");
    memcpy(at, &n, sizeof(n));
    return 0;
}

static int set_number(struct load *l, void *at, const char *value)
{
    char expected[60] = "a time (30, 30s, 5m, 1h, 1d)";
    uint64_t n = 0;
    bool ok;
    if (l->key->kind == K_TIME) {
        ok = value_time(value, UINT32_MAX - 1, &n);
    } else {
        uint64_t max = l->key->kind == K_PORT ? 65535 : l->key->max;
        ok = value_number(value, 0, max, &n);
        snprintf(expected, sizeof(expected), "a %s from 0 to %llu",
                 l->key->kind == K_PORT ? "port" : "number", (unsigned long long)max);
    }
    if (!ok)
        return load_bad_value(l, value, expected);
    if (l->key->kind == K_PORT)
        *(uint16_t *)at = (uint16_t)n;
    else
        *(uint32_t *)at = (uint32_t)n;
    return 0;
}

static int refuse_for_good(struct load *l, const char *value)
{
    return load_refuse(l, "invalid value for: %s: '%.40s': %s", l->key->name, value, l->key->words);
}

static int set_text(struct load *l, const char **at, const char *value)
{
    if (strlen(value) >= l->key->max)
        return load_too_long(l, value, (int)l->key->max - 1);
    if (conn_set_text(l->conn, at, value))
        return 0;
    l->no_memory = true;
    return -ENOMEM;
}

static int set_value(struct load *l, void *owner, const char *value)
{
    const struct key *k = l->key;
    void *at = (uint8_t *)owner + k->offset;
    bool yes;
    switch (k->kind) {
    case K_YESNO:
        if (!value_bool(value, &yes))
            return load_bad_value(l, value, "yes or no");
        *(uint8_t *)at = yes;
        return 0;
    case K_CHOICE: return set_choice(l, at, value);
    case K_TEXT: return set_text(l, at, value);
    case K_ONLY: return find_choice(k->choices, value) ? 0 : refuse_for_good(l, value);
    case K_WORD:
    case K_ITEMS: return k->item(l, owner, value);
    case K_SIZE:
    case K_COUNT: return set_wide(l, at, value);
    case K_TIME:
    case K_NUMBER:
    case K_PORT: return set_number(l, at, value);
    case K_NEVER:
        if (!value[0]) // it asks for nothing
            return 0;
        break;
    case K_BLOBS: break; // octets: set_octets
    }
    return refuse_for_good(l, value);
}

// A key that is awaited says so, unless its value asks for nothing.
static void say_awaited(struct load *l, const void *owner, const char *value)
{
    static const uint8_t nothing[8];
    size_t size = l->key->kind == K_TIME ? 4 : l->key->kind == K_SIZE || l->key->kind == K_COUNT ? 8 : 1;
    if (l->key->awaited && memcmp((const uint8_t *)owner + l->key->offset, nothing, size) != 0)
        load_warn(l, "%s = %.60s has no effect: %s", l->key->name, value, l->key->words);
}

static void set_octets(struct load *l, void *owner, const struct vici_node *n)
{
    l->node = n; // of a list the entry
    if (n->len)
        l->key->octets(l, owner, slice_of(n->value, n->len));
    else
        load_refuse(l, "invalid value for: %s: it is empty", l->key->name);
}

static void set_items(struct load *l, void *owner, const struct vici_node *n)
{
    for (const struct vici_node *i = n->child; i; i = i->next) {
        const char *text = vici_text(i);
        if (l->key->kind == K_BLOBS)
            set_octets(l, owner, i);
        else if (!text)
            load_refuse(l, "invalid value for: %s: it holds a zero octet", l->key->name);
        else
            set_value(l, owner, text);
    }
}

// Attributes of pools are known by name or by number.
static const char *key_word(enum key_section section, const char *name)
{
    bool number = name[0] && name[strspn(name, "0123456789")] == 0;
    return section != SEC_POOL ? name : number ? "NUMBER" : strcmp(name, "NUMBER") == 0 ? "" : name;
}

int load_key(struct load *l, void *owner, enum key_section section, const struct vici_node *n)
{
    unsigned before = l->faults;
    l->node = n;
    l->key = key_find(section, key_word(section, n->name));
    bool list = l->key && (l->key->kind == K_ITEMS || l->key->kind == K_BLOBS || l->key->kind == K_NEVER);
    const char *text = vici_text(n);
    if (!l->key)
        load_refuse(l, "unknown option: %.80s", n->name);
    else if (n->kind == VICI_LIST && list)
        set_items(l, owner, n);
    else if (n->kind == VICI_VALUE && l->key->kind == K_BLOBS)
        set_octets(l, owner, n);
    else if (n->kind != VICI_VALUE || !text)
        load_refuse(l, "invalid value for: %s: expected %s", l->key->name, list ? "a list" : "text");
    else if (set_value(l, owner, text) == 0)
        say_awaited(l, owner, text);
    l->key = NULL;
    l->node = NULL;
    return l->faults == before ? 0 : -EINVAL;
}
