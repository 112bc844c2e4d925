// SPDX-License-Identifier: Apache-2.0
// A hand-written scanner for strongswan.conf's syntax. Every refusal names file and line; files, includes,
// depth and the number of entries are bounded.
#include "ctrl/config/conffile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scanner {
    struct conf *conf;
    const char *text, *end;
    const char *name; // of the file
    const char *dir;
    unsigned line;
    unsigned includes; // depth
    char path[CONF_MAX_PATH];
    size_t marks[CONF_MAX_DEPTH]; // length of path before each open section
    unsigned depth;
    struct esp_error *err;
};

static int read_file(struct conf *c, const char *file, unsigned includes, const char *prefix,
                     struct esp_error *err);

__attribute__((format(printf, 3, 4))) static int refuse(struct scanner *s, int code, const char *fmt, ...)
{
    char where[48], text[200];
    va_list ap;
    size_t n = strlen(s->name);
    snprintf(where, sizeof(where), "%s:%u", n > 36 ? s->name + n - 36 : s->name, s->line);
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return esp_fail(s->err, code, where, "%s", text);
}

int conf_add(struct conf *c, const char *path, const char *value, const char *where)
{
    if (c->count == CONF_MAX_ENTRIES)
        return -E2BIG;
    if (c->count == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 32;
        struct conf_entry *e = realloc(c->entries, cap * sizeof(*e));
        if (!e)
            return -ENOMEM;
        c->entries = e;
        c->cap = cap;
    }
    struct conf_entry *e = &c->entries[c->count];
    *e = (struct conf_entry){strdup(path), strdup(value), strdup(where)};
    c->count++; // counted even when a copy failed, so that conf_free releases the others
    return e->path && e->value && e->where ? 0 : -ENOMEM;
}

void conf_free(struct conf *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->entries[i].path);
        free(c->entries[i].value);
        free(c->entries[i].where);
    }
    free(c->entries);
    *c = (struct conf){0};
}

static void skip_space(struct scanner *s, bool lines)
{
    while (s->text < s->end) {
        char ch = *s->text;
        if (ch == '#') {
            while (s->text < s->end && *s->text != '\n')
                s->text++;
        } else if (ch == '\n' && lines) {
            s->line++;
            s->text++;
        } else if (ch == ' ' || ch == '\t' || ch == '\r') {
            s->text++;
        } else {
            return;
        }
    }
}

static bool name_char(char ch)
{
    return (unsigned char)ch > ' ' && ch != 0x7f && !strchr("{}=#:,\"", ch);
}

static int scan_name(struct scanner *s, char *name, size_t size)
{
    size_t n = 0;
    while (s->text < s->end && name_char(*s->text)) {
        if (n + 1 >= size)
            return refuse(s, -E2BIG, "name longer than %zu characters", size - 1);
        name[n++] = *s->text++;
    }
    name[n] = 0;
    if (n == 0)
        return refuse(s, -EINVAL, "expected a key or section name, got '%c'",
                      isprint((unsigned char)*s->text) ? *s->text : '?');
    return 0;
}

static char unescape(char ch)
{
    switch (ch) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    default: return ch;
    }
}

// "..." with backslash escapes; an escaped newline joins lines.
static int scan_quoted(struct scanner *s, char *value, size_t size, size_t *len)
{
    unsigned start = s->line;
    for (s->text++; s->text < s->end; s->text++) {
        char ch = *s->text;
        if (ch == '"') {
            s->text++;
            return 0;
        }
        if (ch == '\n')
            s->line++;
        if (ch == '\\' && s->text + 1 < s->end) {
            ch = *++s->text;
            if (ch == '\n') {
                s->line++;
                continue;
            }
            ch = unescape(ch);
        }
        if (*len + 1 >= size)
            return refuse(s, -E2BIG, "value longer than %zu characters", size - 1);
        value[(*len)++] = ch;
    }
    s->line = start;
    return refuse(s, -EINVAL, "quote not closed");
}

// Up to the end of the line, a comment or a brace; blanks at either end are dropped.
static int scan_value(struct scanner *s, char *value, size_t size)
{
    size_t len = 0, keep = 0;
    skip_space(s, false);
    while (s->text < s->end && !strchr("\n#{}", *s->text)) {
        if (*s->text == '"') {
            int r = scan_quoted(s, value, size, &len);
            if (r)
                return r;
            keep = len;
            continue;
        }
        if (len + 1 >= size)
            return refuse(s, -E2BIG, "value longer than %zu characters", size - 1);
        value[len++] = *s->text;
        if (!isspace((unsigned char)*s->text))
            keep = len;
        s->text++;
    }
    value[keep] = 0;
    return 0;
}

static int include(struct scanner *s)
{
    char pattern[512], full[1024];
    int r = scan_value(s, pattern, sizeof(pattern));
    if (r)
        return r;
    if (!pattern[0])
        return refuse(s, -EINVAL, "include: expected a file name or pattern");
    if (s->includes + 1 > CONF_MAX_INCLUDES)
        return refuse(s, -ELOOP, "include: files nested deeper than %d", CONF_MAX_INCLUDES);
    snprintf(full, sizeof(full), "%s%s%s", pattern[0] == '/' ? "" : s->dir, pattern[0] == '/' ? "" : "/",
             pattern);
    glob_t g;
    r = glob(full, 0, NULL, &g); // a folder that is not there holds nothing, as charon sees it
    if (r == GLOB_NOMATCH) {     // a pattern may match nothing, a plain name may not
        globfree(&g);
        return strpbrk(pattern, "*?[") ? 0 : refuse(s, -ENOENT, "include: %.150s not found", pattern);
    }
    if (r)
        return refuse(s, -EIO, "include: %.150s cannot be read", pattern);
    for (size_t i = 0; r == 0 && i < g.gl_pathc; i++)
        r = read_file(s->conf, g.gl_pathv[i], s->includes + 1, s->path, s->err);
    globfree(&g);
    return r;
}

static int push(struct scanner *s, const char *name)
{
    size_t n = strlen(s->path);
    if (s->depth == CONF_MAX_DEPTH)
        return refuse(s, -E2BIG, "sections nested deeper than %d", CONF_MAX_DEPTH);
    int more = snprintf(s->path + n, sizeof(s->path) - n, "%s%s", n ? "." : "", name);
    if (more < 0 || (size_t)more >= sizeof(s->path) - n)
        return refuse(s, -E2BIG, "path of section %.60s longer than %d characters", name, CONF_MAX_PATH - 1);
    s->marks[s->depth++] = n;
    return 0;
}

static int assign(struct scanner *s, const char *name)
{
    char value[4096], path[2 * CONF_MAX_PATH], where[300];
    s->text++; // the equals sign
    int r = scan_value(s, value, sizeof(value));
    if (r)
        return r;
    if (s->text < s->end && *s->text == '{')
        return refuse(s, -EINVAL, "%.60s: '{' inside a value; quote it", name);
    snprintf(path, sizeof(path), "%s%s%s", s->path, s->path[0] ? "." : "", name);
    snprintf(where, sizeof(where), "%.250s:%u", s->name, s->line);
    r = conf_add(s->conf, path, value, where);
    return r ? refuse(s, r, "%s", r == -E2BIG ? "too many settings" : "out of memory") : 0;
}

static int statement(struct scanner *s, unsigned base)
{
    char name[CONF_MAX_PATH];
    if (*s->text == '}') {
        if (s->depth == base)
            return refuse(s, -EINVAL, "'}' without a section");
        s->path[s->marks[--s->depth]] = 0;
        s->text++;
        return 0;
    }
    int r = scan_name(s, name, sizeof(name));
    if (r)
        return r;
    skip_space(s, false);
    char next = s->text < s->end ? *s->text : 0;
    if (strcmp(name, "include") == 0 && next != '=' && next != '{')
        return include(s);
    if (next == '=')
        return assign(s, name);
    if (next == ':')
        return refuse(s, -EOPNOTSUPP, "%.60s: section references are not supported", name);
    skip_space(s, true);
    if (s->text == s->end || *s->text != '{')
        return refuse(s, -EINVAL, "%.60s: expected '=' or '{' after it", name);
    s->text++;
    return push(s, name);
}

static int scan(struct scanner *s)
{
    unsigned base = s->depth;
    for (;;) {
        skip_space(s, true);
        if (s->text == s->end)
            break;
        int r = statement(s, base);
        if (r)
            return r;
    }
    return s->depth == base ? 0 : refuse(s, -EINVAL, "section %.100s is not closed", s->path);
}

static int read_text(struct conf *c, const char *text, size_t len, const char *name, const char *dir,
                     unsigned includes, const char *prefix, struct esp_error *err)
{
    struct scanner s = {.conf = c,
                        .text = text,
                        .end = text + len,
                        .name = name,
                        .dir = dir,
                        .line = 1,
                        .includes = includes,
                        .err = err};
    snprintf(s.path, sizeof(s.path), "%s", prefix);
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return refuse(&s, -EINVAL,
                      "the file begins with a byte order mark: expected plain UTF-8 without one");
    if (memchr(text, 0, len))
        return refuse(&s, -EINVAL, "the file holds a zero octet; it is not a text file");
    return scan(&s);
}

static int load(const char *file, char **text, size_t *len, struct esp_error *err)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return esp_fail(err, -errno, file, "%s", strerror(errno));
    int r = 0;
    *text = NULL;
    *len = 0;
    if (fstat(fd, &st) < 0 || S_ISDIR(st.st_mode))
        r = esp_fail(err, -EISDIR, file, "expected a file");
    else if (!(*text = malloc(CONF_MAX_FILE + 1)))
        r = esp_fail(err, -ENOMEM, file, "out of memory");
    while (r == 0) {
        ssize_t n = read(fd, *text + *len, CONF_MAX_FILE + 1 - *len);
        if (n < 0)
            r = esp_fail(err, -errno, file, "%s", strerror(errno));
        if (n <= 0)
            break;
        *len += (size_t)n;
        if (*len > CONF_MAX_FILE)
            r = esp_fail(err, -EFBIG, file, "longer than %d octets", CONF_MAX_FILE);
    }
    close(fd);
    if (r)
        free(*text);
    return r;
}

static int read_file(struct conf *c, const char *file, unsigned includes, const char *prefix,
                     struct esp_error *err)
{
    char *text = NULL, dir[1024];
    size_t len = 0;
    int r = load(file, &text, &len, err);
    if (r || !text)
        return r;
    snprintf(dir, sizeof(dir), "%s", file);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = 0;
    else
        snprintf(dir, sizeof(dir), ".");
    r = read_text(c, text, len, file, dir, includes, prefix, err);
    free(text);
    return r;
}

int conf_read_file(struct conf *c, const char *file, struct esp_error *err)
{
    *c = (struct conf){0};
    int r = read_file(c, file, 0, "", err);
    if (r)
        conf_free(c);
    return r;
}

int conf_read_text(struct conf *c, const char *text, size_t len, const char *name, const char *dir,
                   struct esp_error *err)
{
    *c = (struct conf){0};
    int r = read_text(c, text, len, name, dir, 0, "", err);
    if (r)
        conf_free(c);
    return r;
}
