// SPDX-License-Identifier: Apache-2.0
// A hand-written scanner. Every refusal names file and line; files, includes, depth and the number of nodes
// are bounded. Where all faults are asked for, the scan goes on in the next line.
#include "ctrl/config/conffile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scanner {
    struct conf_tree *tree;
    const char *text, *end;
    const char *name; // of the file
    const char *dir;
    unsigned line;
    unsigned includes;                          // depth
    struct conf_node *open[CONF_MAX_DEPTH + 1]; // the sections around, outermost first
    unsigned depth;                             // sections that are open
    const struct conf_faults *faults;
    const char *key; // whose value is read
    bool failed;     // the first fault is in *err
    struct esp_error *err;
};

static int read_file(struct scanner *from, const char *file, unsigned includes);

__attribute__((format(printf, 3, 4))) static int refuse(struct scanner *s, int code, const char *fmt, ...)
{
    char where[48], full[300], text[200];
    va_list ap;
    size_t n = strlen(s->name);
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (s->faults) {
        snprintf(full, sizeof(full), "%.280s:%u", s->name, s->line);
        s->faults->fault(s->faults->ctx, full, text);
    }
    if (s->failed)
        return code;
    s->failed = true;
    snprintf(where, sizeof(where), "%s:%u", n > 36 ? s->name + n - 36 : s->name, s->line);
    return esp_fail(s->err, code, where, "%s", text);
}

// ---- the tree

enum { CONF_LONG = 32 }; // nodes, from which on a list has an index

static struct conf_node *by_index(const struct conf_list *l, const char *name)
{
    for (struct hash_node *n = hash_first(l->names, hash_str(0, name)); n; n = hash_next(n))
        if (strcmp(((struct conf_node *)n)->name, name) == 0)
            return (struct conf_node *)n;
    return NULL;
}

struct conf_node *conf_find(const struct conf_list *l, const char *name)
{
    if (l->names)
        return by_index(l, name);
    struct conf_node *n = l->first;
    while (n && strcmp(n->name, name) != 0)
        n = n->next;
    return n;
}

// False: no memory.
static bool make_index(struct conf_list *l)
{
    l->names = calloc(1, sizeof(*l->names));
    for (struct conf_node *n = l->first; n && l->names; n = n->next)
        if (hash_add(l->names, &n->by_name, hash_str(0, n->name)) < 0)
            return false;
    return l->names != NULL;
}

// Of a list that can be found by name: a node that has just come to its end. False: no memory.
static bool enter(struct conf_list *l, struct conf_node *n)
{
    return l->names ? hash_add(l->names, &n->by_name, hash_str(0, n->name)) == 0
                    : l->count < CONF_LONG || make_index(l);
}

static void free_list(struct conf_list *l)
{
    if (l->names)
        hash_free(l->names);
    free(l->names);
    l->names = NULL;
    while (l->first) {
        struct conf_node *n = l->first;
        l->first = n->next;
        free_list(&n->values);
        free_list(&n->sections);
        free_list(&n->references);
        free(n->name);
        free(n->value);
        free(n->where);
        free(n);
    }
}

void conf_tree_free(struct conf_tree *t)
{
    free_list(&t->top.values);
    free_list(&t->top.sections);
    free_list(&t->top.references);
    free_list(&t->lost);
    *t = (struct conf_tree){0};
}

// A node behind the others of the list, which it belongs to from then on; or NULL, and a fault was told.
static struct conf_node *append(struct scanner *s, struct conf_list *l, const char *name)
{
    char where[300];
    if (s->tree->count == CONF_MAX_NODES) {
        refuse(s, -E2BIG, "more than %d settings and sections", CONF_MAX_NODES);
        return NULL;
    }
    struct conf_node *n = calloc(1, sizeof(*n));
    if (n) {
        snprintf(where, sizeof(where), "%.280s:%u", s->name, s->line);
        *(l->first ? &l->last->next : &l->first) = n;
        l->last = n;
        l->count++;
        s->tree->count++;
        n->name = strdup(name);
        n->where = strdup(where);
    }
    if (!n || !n->name || !n->where || (l != &s->tree->lost && !enter(l, n))) {
        refuse(s, -ENOMEM, "out of memory");
        return NULL;
    }
    return n;
}

// ---- the text

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
            return refuse(s, -E2BIG, "name longer than %zu characters: %.12s...", size - 1, s->text - n);
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

static void skip_blanks(struct scanner *s)
{
    while (s->text < s->end && (*s->text == ' ' || *s->text == '\t' || *s->text == '\r'))
        s->text++;
}

static int scan_word(struct scanner *s, char *value, size_t size, size_t *len)
{
    for (; s->text < s->end && !strchr("\n\r\t #}\"", *s->text); s->text++) {
        if (*len + 1 >= size)
            return refuse(s, -E2BIG, "%.60s: value longer than %zu characters", s->key, size - 1);
        value[(*len)++] = *s->text;
    }
    return 0;
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
            return refuse(s, -E2BIG, "%.60s: value longer than %zu characters", s->key, size - 1);
        value[(*len)++] = ch;
    }
    s->line = start;
    return refuse(s, -EINVAL, "%.60s: quote not closed", s->key);
}

// Words and quoted texts up to the end of the line, a comment or a brace, joined by single blanks, as
// strongSwan has it. *none: there was nothing.
static int scan_value(struct scanner *s, char *value, size_t size, bool *none)
{
    size_t len = 0;
    *none = true;
    for (skip_blanks(s); s->text < s->end && !strchr("\n#{}", *s->text); skip_blanks(s)) {
        if (!*none && len + 1 < size)
            value[len++] = ' ';
        *none = false;
        int r = *s->text == '"' ? scan_quoted(s, value, size, &len) : scan_word(s, value, size, &len);
        if (r)
            return r;
    }
    value[len] = 0;
    return 0;
}

static int include(struct scanner *s)
{
    char pattern[512], full[1024];
    bool none;
    s->key = "include";
    int r = scan_value(s, pattern, sizeof(pattern), &none);
    if (r)
        return r;
    if (!pattern[0])
        return refuse(s, -EINVAL, "include: expected a file name or pattern");
    if (s->includes + 1 > CONF_MAX_INCLUDES)
        return refuse(s, -ELOOP, "include: %.100s: files nested deeper than %d; does one include itself?",
                      pattern, CONF_MAX_INCLUDES);
    snprintf(full, sizeof(full), "%s%s%s", pattern[0] == '/' ? "" : s->dir, pattern[0] == '/' ? "" : "/",
             pattern);
    glob_t g;
    r = glob(full, 0, NULL, &g); // a folder that is not there holds nothing, as charon sees it
    if (r == GLOB_NOMATCH) {     // a pattern may match nothing, a plain name may not
        globfree(&g);
        return strpbrk(pattern, "*?[") ? 0 : refuse(s, -ENOENT, "include: %.150s not found", pattern);
    }
    if (r == GLOB_NOSPACE)
        return refuse(s, -ENOMEM, "include: %.150s: out of memory", pattern);
    if (r)
        return refuse(s, -EIO, "include: %.150s cannot be read", pattern);
    for (size_t i = 0; (r == 0 || s->faults) && r != -ENOMEM && i < g.gl_pathc; i++)
        r = read_file(s, g.gl_pathv[i], s->includes + 1);
    globfree(&g);
    return r;
}

static struct conf_node *section(const struct scanner *s)
{
    return s->open[s->depth];
}

// The section of this name is open now; NULL: one that could not be read, so that its end is known.
static int push(struct scanner *s, const char *name)
{
    struct conf_node *n = name ? conf_find(&section(s)->sections, name) : NULL;
    if (s->depth == CONF_MAX_DEPTH)
        return refuse(s, -E2BIG, "sections nested deeper than %d", CONF_MAX_DEPTH);
    if (!n)
        n = append(s, name ? &section(s)->sections : &s->tree->lost, name ? name : "");
    if (!n)
        return s->tree->count == CONF_MAX_NODES ? -E2BIG : -ENOMEM;
    s->open[++s->depth] = n;
    return 0;
}

static int assign(struct scanner *s, const char *name)
{
    char value[4096], where[300];
    bool none;
    s->text++; // the equals sign
    s->key = name;
    int r = scan_value(s, value, sizeof(value), &none);
    if (r)
        return r;
    if (s->text < s->end && *s->text == '{')
        return refuse(s, -EINVAL, "%.60s: '{' inside a value; quote it", name);
    struct conf_node *n = conf_find(&section(s)->values, name);
    if (!n)
        n = append(s, &section(s)->values, name);
    if (!n)
        return s->tree->count == CONF_MAX_NODES ? -E2BIG : -ENOMEM;
    char *copy = none ? NULL : strdup(value);
    snprintf(where, sizeof(where), "%.280s:%u", s->name, s->line);
    char *at = strdup(where);
    if ((!none && !copy) || !at) {
        free(copy);
        free(at);
        return refuse(s, -ENOMEM, "out of memory");
    }
    free(n->value);
    free(n->where);
    n->value = copy;
    n->where = at;
    return 0;
}

// "name : other.section, another {": behind the colon.
static int refer(struct scanner *s, const char *name)
{
    char to[CONF_MAX_NAME];
    skip_space(s, true);
    int r = push(s, name);
    if (r)
        return r;
    do {
        if (*s->text == ',')
            s->text++;
        skip_space(s, true);
        r = scan_name(s, to, sizeof(to));
        if (r == 0 && !conf_find(&section(s)->references, to) && !append(s, &section(s)->references, to))
            r = s->err->code;
        skip_space(s, true);
    } while (r == 0 && s->text < s->end && *s->text == ',');
    if (r == 0 && (s->text == s->end || *s->text != '{'))
        r = refuse(s, -EINVAL, "%.60s: expected '{' behind the references", name);
    if (r)
        s->depth--;
    else
        s->text++;
    return r;
}

static int statement(struct scanner *s, unsigned base)
{
    char name[CONF_MAX_NAME];
    if (*s->text == '}') {
        s->text++;
        if (s->depth == base)
            return refuse(s, -EINVAL, "'}' without a section");
        s->depth--;
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
    if (next == ':') {
        s->text++;
        return refer(s, name);
    }
    skip_space(s, true);
    if (s->text == s->end || *s->text != '{')
        return refuse(s, -EINVAL, "%.60s: expected '=' or '{' after it", name);
    s->text++;
    return push(s, name);
}

// To the end of the line. A section that begins there is one whose content belongs nowhere.
static int skip_line(struct scanner *s)
{
    char last = 0;
    for (; s->text < s->end && *s->text != '\n' && *s->text != '#' && *s->text != '}'; s->text++)
        last = isspace((unsigned char)*s->text) ? last : *s->text;
    return last == '{' ? push(s, NULL) : 0;
}

static int scan(struct scanner *s)
{
    unsigned base = s->depth;
    int first = 0;
    for (;;) {
        skip_space(s, true);
        if (s->text == s->end)
            break;
        int r = statement(s, base);
        first = first ? first : r;
        if (r && s->faults && r != -ENOMEM && s->tree->count < CONF_MAX_NODES)
            r = skip_line(s);
        if (r)
            return r;
    }
    if (s->depth != base)
        return refuse(s, -EINVAL, "section %.100s is not closed", section(s)->name);
    return first;
}

static int read_text(struct scanner *s)
{
    size_t len = (size_t)(s->end - s->text);
    if (len >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0)
        return refuse(s, -EINVAL, "the file begins with a byte order mark: expected plain UTF-8 without one");
    const char *zero = memchr(s->text, 0, len);
    for (const char *at = s->text; zero && at < zero; at++)
        s->line += *at == '\n';
    if (zero)
        return refuse(s, -EINVAL, "the file holds a zero octet; it is not a text file");
    return scan(s);
}

static int more_room(char **text, size_t *room, const char *file, struct esp_error *err)
{
    size_t twice = *room < CONF_MAX_FILE / 2 ? 2 * *room : CONF_MAX_FILE + 1;
    char *more = realloc(*text, twice);
    if (!more)
        return esp_fail(err, -ENOMEM, file, "out of memory");
    *text = more;
    *room = twice;
    return 0;
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
    if (fstat(fd, &st) < 0)
        r = esp_fail(err, -errno, file, "%s", strerror(errno));
    else if (S_ISDIR(st.st_mode))
        r = esp_fail(err, -EISDIR, file, "it is a folder, expected a file");
    size_t room = r == 0 && st.st_size > 0 && st.st_size < CONF_MAX_FILE ? (size_t)st.st_size + 1 : 4096;
    if (r == 0 && !(*text = malloc(room)))
        r = esp_fail(err, -ENOMEM, file, "out of memory");
    while (r == 0) {
        ssize_t n = read(fd, *text + *len, room - *len);
        if (n < 0)
            r = esp_fail(err, -errno, file, "%s", strerror(errno));
        if (n <= 0)
            break;
        *len += (size_t)n;
        if (*len > CONF_MAX_FILE)
            r = esp_fail(err, -EFBIG, file, "longer than %d octets", CONF_MAX_FILE);
        else if (*len == room)
            r = more_room(text, &room, file, err);
    }
    close(fd);
    if (r)
        free(*text);
    return r;
}

// The file is read where `from` stands: an include, or the whole.
static int read_file(struct scanner *from, const char *file, unsigned includes)
{
    char *text = NULL, dir[1024];
    size_t len = 0;
    struct esp_error e = {0};
    int r = load(file, &text, &len, &e);
    if (r || !text) {
        if (from->faults)
            from->faults->fault(from->faults->ctx, file, e.text);
        if (!from->failed)
            *from->err = e;
        from->failed = true;
        return r;
    }
    snprintf(dir, sizeof(dir), "%s", file);
    char *slash = strrchr(dir, '/');
    if (slash)
        *slash = 0;
    else
        snprintf(dir, sizeof(dir), ".");
    struct scanner s = *from;
    s.text = text;
    s.end = text + len;
    s.name = file;
    s.dir = dir;
    s.line = 1;
    s.includes = includes;
    r = read_text(&s);
    from->failed = s.failed;
    free(text);
    return r;
}

static int finish(struct conf_tree *t, int r, const struct conf_faults *faults)
{
    if (r && (!faults || r == -ENOMEM))
        conf_tree_free(t);
    return r;
}

int conf_tree_read(struct conf_tree *t, const char *file, const struct conf_faults *faults,
                   struct esp_error *err)
{
    *t = (struct conf_tree){0};
    struct scanner s = {.tree = t, .open = {&t->top}, .faults = faults, .err = err, .name = file};
    return finish(t, read_file(&s, file, 0), faults);
}

int conf_tree_parse(struct conf_tree *t, const char *text, size_t len, const char *name, const char *dir,
                    const struct conf_faults *faults, struct esp_error *err)
{
    *t = (struct conf_tree){0};
    struct scanner s = {.tree = t,
                        .text = text,
                        .end = text + len,
                        .name = name,
                        .dir = dir,
                        .line = 1,
                        .open = {&t->top},
                        .faults = faults,
                        .err = err};
    return finish(t, read_text(&s), faults);
}
