// SPDX-License-Identifier: Apache-2.0
#include "ctrl/cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/printable.h"

enum { GAP = 2 };

void table_begin(struct table *t, const struct table_column *columns)
{
    *t = (struct table){.columns = columns};
    while (columns[t->count].head)
        t->count++;
}

// Takes the text over.
static void add(struct table *t, enum tone tone, char *text)
{
    t->no_memory |= !text;
    if (t->used == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 64;
        struct table_cell *cells = realloc(t->cells, cap * sizeof(*cells));
        if (!cells) {
            t->no_memory = true;
            free(text);
            return;
        }
        t->cells = cells;
        t->cap = cap;
    }
    if (text)
        printable_make(text);
    t->cells[t->used++] = (struct table_cell){text, tone};
}

void table_add(struct table *t, enum tone tone, const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    add(t, tone, text);
}

void table_add_list(struct table *t, const struct vici_node *list, const char *none)
{
    add(t, PLAIN, join(list, none));
}

void table_free(struct table *t)
{
    for (size_t k = 0; k < t->used; k++)
        free(t->cells[k].text);
    free(t->cells);
    *t = (struct table){0};
}

// ---- widths

static unsigned width_of(const char *text)
{
    unsigned n = 0;
    for (; text && *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

struct layout {
    unsigned width[TABLE_COLUMNS];
    bool gone[TABLE_COLUMNS];
};

static unsigned total(const struct table *t, const struct layout *l)
{
    unsigned sum = 0, shown = 0;
    for (unsigned i = 0; i < t->count; i++) {
        sum += l->gone[i] ? 0 : l->width[i];
        shown += !l->gone[i];
    }
    return sum + (shown ? GAP * (shown - 1) : 0);
}

// One character off the widest column that may be cut. False: there is none.
static bool cut_widest(const struct table *t, struct layout *l)
{
    unsigned widest = TABLE_COLUMNS;
    for (unsigned i = 0; i < t->count; i++) {
        bool may = !l->gone[i] && t->columns[i].least && l->width[i] > t->columns[i].least;
        if (may && (widest == TABLE_COLUMNS || l->width[i] > l->width[widest]))
            widest = i;
    }
    if (widest == TABLE_COLUMNS)
        return false;
    l->width[widest]--;
    return true;
}

static bool drop_one(const struct table *t, struct layout *l)
{
    unsigned drop = TABLE_COLUMNS, rank = 0;
    for (unsigned i = 0; i < t->count; i++) {
        if (!l->gone[i] && t->columns[i].expendable > rank) {
            drop = i;
            rank = t->columns[i].expendable;
        }
    }
    if (drop == TABLE_COLUMNS)
        return false;
    l->gone[drop] = true;
    return true;
}

static void natural(const struct table *t, struct layout *l)
{
    for (unsigned i = 0; i < t->count; i++)
        l->width[i] = width_of(t->columns[i].head);
    for (size_t k = 0, i = 0; k < t->used; k++, i = i + 1 < t->count ? i + 1 : 0) {
        unsigned w = width_of(t->cells[k].text);
        if (w > l->width[i])
            l->width[i] = w;
    }
}

static void lay_out(const struct table *t, struct layout *l, unsigned width)
{
    *l = (struct layout){0};
    natural(t, l);
    while (total(t, l) > width) {
        if (cut_widest(t, l))
            continue;
        if (!drop_one(t, l))
            return;
        natural(t, l); // there is room again for what was cut
    }
}

// ---- printing

static const char *const codes[] = {"", "\033[32m", "\033[33m", "\033[31m", "\033[2m"};

void put_tone(struct cli *cli, enum tone tone, const char *text)
{
    bool colour = cli->colour && tone != PLAIN;
    fprintf(cli->out, "%s%s%s", colour ? codes[tone] : "", text, colour ? "\033[0m" : "");
}

// The octets of its first `width` characters.
static size_t octets_of(const char *text, unsigned width)
{
    size_t n = 0;
    for (unsigned shown = 0; text[n]; n++) {
        shown += ((unsigned char)text[n] & 0xc0) != 0x80;
        if (shown > width)
            break;
    }
    return n;
}

// As much of it as fits.
static void put_cell(struct cli *cli, enum tone tone, const char *text, unsigned width)
{
    bool colour = cli->colour && tone != PLAIN, cut = width_of(text) > width;
    size_t n = octets_of(text, cut ? width - 1 : width);
    fprintf(cli->out, "%s%.*s%s%s", colour ? codes[tone] : "", (int)n, text, cut ? "~" : "",
            colour ? "\033[0m" : "");
}

static void put_row(struct cli *cli, const struct table *t, const struct layout *l,
                    const struct table_cell *row)
{
    unsigned pending = 0; // blanks, none of which end a line
    bool first = true;
    for (unsigned i = 0; i < t->count; i++) {
        if (l->gone[i])
            continue;
        const char *text = row[i].text ? row[i].text : "";
        unsigned n = width_of(text), pad = n < l->width[i] ? l->width[i] - n : 0;
        pending += (first ? 0 : GAP) + (t->columns[i].right ? pad : 0);
        first = false;
        if (n) {
            fprintf(cli->out, "%*s", (int)pending, "");
            put_cell(cli, row[i].tone, text, l->width[i]);
            pending = 0;
        }
        pending += t->columns[i].right ? 0 : pad;
    }
    fputc('\n', cli->out);
}

static void put_head(struct cli *cli, const struct table *t, const struct layout *l)
{
    struct table_cell head[TABLE_COLUMNS];
    for (unsigned i = 0; i < t->count; i++)
        head[i] = (struct table_cell){(char *)(uintptr_t)t->columns[i].head, FAINT};
    put_row(cli, t, l, head);
}

void table_end(struct table *t, struct cli *cli, const char *nothing)
{
    struct layout l;
    lay_out(t, &l, cli->width);
    if (!t->used)
        fprintf(cli->out, "%s\n", nothing);
    else
        put_head(cli, t, &l);
    for (size_t k = 0; k + t->count <= t->used; k += t->count)
        put_row(cli, t, &l, t->cells + k);
    if (t->no_memory)
        fputs("(the rest is missing: out of memory)\n", cli->out);
    table_free(t);
}

// ---- figures

const char *figure_octets(char buf[FIGURE], uint64_t n)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned u = 0;
    double v = (double)n;
    while (v >= 999.95 && u < 6) {
        v /= 1024;
        u++;
    }
    snprintf(buf, FIGURE, u ? "%.1f %s" : "%.0f %s", v, units[u]);
    return buf;
}

const char *figure_seconds(char buf[FIGURE], uint64_t s)
{
    unsigned long long d = s / 86400, h = s / 3600 % 24, m = s / 60 % 60;
    if (d)
        snprintf(buf, FIGURE, "%llud%02lluh", d, h);
    else if (h)
        snprintf(buf, FIGURE, "%lluh%02llum", h, m);
    else if (m)
        snprintf(buf, FIGURE, "%llum%02llus", m, (unsigned long long)s % 60);
    else
        snprintf(buf, FIGURE, "%llus", (unsigned long long)s);
    return buf;
}

const char *figure_number(char buf[FIGURE], uint64_t n)
{
    char plain[24];
    int len = snprintf(plain, sizeof(plain), "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf[at++] = ',';
        buf[at++] = plain[i];
    }
    buf[at] = 0;
    return buf;
}

char *join(const struct vici_node *list, const char *none)
{
    char *all = NULL;
    size_t len;
    FILE *f = open_memstream(&all, &len);
    if (!f)
        return NULL;
    if (!list || !list->child)
        fputs(none, f);
    for (const struct vici_node *k = list ? list->child : NULL; k; k = k->next)
        fprintf(f, "%s%s", k == list->child ? "" : ", ", vici_text(k) ? vici_text(k) : "?");
    bool whole = !ferror(f);
    if (fclose(f) == 0 && whole)
        return all;
    free(all);
    return NULL;
}
