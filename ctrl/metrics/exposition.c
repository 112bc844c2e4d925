// SPDX-License-Identifier: Apache-2.0
#include "ctrl/metrics/exposition.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char exposition_type_openmetrics[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const char exposition_type_text[] = "text/plain; version=0.0.4; charset=utf-8";

const struct family_info families[FAM_COUNT] = {
#define X(sym, type, name, unit, labels, help) {FAMILY_##type, name, unit, labels, help},
    FAMILY_LIST(X)
#undef X
};

// ---- labels

// Of the UTF-8 character that begins there (RFC 3629); 0: none does.
static size_t utf8_length(const uint8_t *p)
{
    static const struct {
        uint8_t lo, hi, second_lo, second_hi, len;
    } kinds[] = {{0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                 {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (p[0] < kinds[i].lo || p[0] > kinds[i].hi)
            continue;
        if (kinds[i].len > 1 && (p[1] < kinds[i].second_lo || p[1] > kinds[i].second_hi))
            return 0;
        for (size_t k = 2; k < kinds[i].len; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return kinds[i].len;
    }
    return 0;
}

struct labels labels_none(void)
{
    struct labels l;
    l.len = 0;
    l.text[0] = 0;
    return l;
}

static void put(struct labels *l, const char *p, size_t n)
{
    if (l->len + n >= sizeof(l->text)) // longer than any name: it is cut, at a character's end
        return;
    memcpy(l->text + l->len, p, n);
    l->len += n;
    l->text[l->len] = 0;
}

// Two names are two labels: an octet that is no UTF-8 is U+FFFD and its two digits, and that character itself
// stands twice.
static void put_escaped(struct labels *l, const char *value)
{
    static const char replacement[] = "\xef\xbf\xbd";
    char digits[3];
    while (*value) {
        size_t n = utf8_length((const uint8_t *)value);
        bool room = l->len + 8 < sizeof(l->text); // for this and the closing quote
        if (!room)
            return;
        if (n == 0) {
            snprintf(digits, sizeof(digits), "%02x", (uint8_t)*value);
            put(l, replacement, 3);
            put(l, digits, 2);
        } else if (n == 3 && memcmp(value, replacement, 3) == 0) {
            put(l, replacement, 3);
            put(l, replacement, 3);
        } else if (*value == '\n') {
            put(l, "\\n", 2);
        } else if (*value == '"' || *value == '\\') {
            put(l, (const char[]){'\\', *value}, 2);
        } else {
            put(l, value, n);
        }
        value += n ? n : 1;
    }
}

void labels_add(struct labels *l, const char *name, const char *value)
{
    if (l->len + strlen(name) + 16 > sizeof(l->text))
        return;
    put(l, l->len ? "," : "{", 1);
    put(l, name, strlen(name));
    put(l, "=\"", 2);
    put_escaped(l, value);
    put(l, "\"", 1);
}

void labels_addf(struct labels *l, const char *name, const char *fmt, ...)
{
    char value[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    labels_add(l, name, value);
}

// ---- samples

static bool reserve(struct text *t, size_t n)
{
    size_t cap = t->cap ? t->cap : 256;
    while (cap < t->len + n)
        cap *= 2;
    char *p = cap == t->cap ? t->p : realloc(t->p, cap);
    if (!p)
        return false;
    t->p = p;
    t->cap = cap;
    return true;
}

static void append(struct text *t, const char *p, size_t n)
{
    memcpy(t->p + t->len, p, n);
    t->len += n;
}

static const char *suffix_of(enum family f)
{
    return families[f].type == FAMILY_COUNTER ? "_total" : families[f].type == FAMILY_INFO ? "_info" : "";
}

static void add(struct exposition *e, enum family f, const char *suffix, const struct labels *l,
                const char *value)
{
    struct text *t = &e->body[f];
    const char *name = families[f].name;
    size_t n = strlen(name) + strlen(suffix) + l->len + strlen(value) + 3;
    e->failed = e->failed || e->len + n > EXPOSITION_MOST || !reserve(t, n);
    if (e->failed)
        return;
    append(t, name, strlen(name));
    append(t, suffix, strlen(suffix));
    append(t, l->text, l->len);
    append(t, "} ", l->len ? 2 : 0);
    append(t, " ", l->len ? 0 : 1);
    append(t, value, strlen(value));
    append(t, "\n", 1);
    e->len += n;
}

static void add_number(struct exposition *e, enum family f, const char *suffix, const struct labels *l,
                       uint64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    add(e, f, suffix, l, text);
}

// Microseconds are as much as anything here is known by. The locale is C: nobody sets another one.
static void print_real(char text[32], double value)
{
    snprintf(text, 32, "%.6f", value);
}

void exposition_add(struct exposition *e, enum family f, const struct labels *l, uint64_t value)
{
    add_number(e, f, suffix_of(f), l, value);
}

void exposition_add_real(struct exposition *e, enum family f, const struct labels *l, double value)
{
    char text[32];
    print_real(text, value);
    add(e, f, suffix_of(f), l, text);
}

void exposition_add_histogram(struct exposition *e, enum family f, const double *bounds,
                              const uint64_t *counts, unsigned bound_count, double sum)
{
    struct labels none = labels_none();
    uint64_t all = 0;
    char text[32];
    for (unsigned i = 0; i <= bound_count; i++) {
        struct labels l = labels_none();
        all += counts[i];
        if (i < bound_count)
            labels_addf(&l, "le", bounds[i] < 1 ? "%g" : "%.1f", bounds[i]); // the canonical form
        else
            labels_add(&l, "le", "+Inf");
        add_number(e, f, "_bucket", &l, all);
    }
    add_number(e, f, "_count", &none, all);
    print_real(text, sum);
    add(e, f, "_sum", &none, text);
}

void exposition_clear(struct exposition *e)
{
    for (unsigned f = 0; f < FAM_COUNT; f++)
        free(e->body[f].p);
    memset(e, 0, sizeof(*e));
}

// ---- the text

static size_t header(char *to, size_t size, enum family f, bool openmetrics)
{
    static const char *const types[] = {[FAMILY_COUNTER] = "counter",
                                        [FAMILY_GAUGE] = "gauge",
                                        [FAMILY_INFO] = "info",
                                        [FAMILY_HISTOGRAM] = "histogram"};
    const struct family_info *i = &families[f];
    const char *suffix = openmetrics ? "" : suffix_of(f);
    const char *type = !openmetrics && i->type == FAMILY_INFO ? "gauge" : types[i->type];
    int n = snprintf(to, size, "# HELP %s%s %s\n# TYPE %s%s %s\n", i->name, suffix, i->help, i->name, suffix,
                     type);
    if (openmetrics && i->unit[0])
        n += snprintf(to ? to + n : NULL, to ? size - (size_t)n : 0, "# UNIT %s %s\n", i->name, i->unit);
    return (size_t)n;
}

char *exposition_text(const struct exposition *e, bool openmetrics, size_t *len)
{
    static const char eof[] = "# EOF\n";
    struct text t = {0};
    size_t n = sizeof(eof);
    for (unsigned f = 0; f < FAM_COUNT; f++)
        if (e->body[f].len)
            n += header(NULL, 0, (enum family)f, openmetrics) + 1;
    if (e->failed || !reserve(&t, e->len + n))
        return NULL;
    for (unsigned f = 0; f < FAM_COUNT; f++) {
        if (!e->body[f].len)
            continue;
        t.len += header(t.p + t.len, t.cap - t.len, (enum family)f, openmetrics);
        append(&t, e->body[f].p, e->body[f].len);
    }
    append(&t, eof, openmetrics ? sizeof(eof) - 1 : 0);
    *len = t.len;
    return t.p;
}
