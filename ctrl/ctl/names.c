// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ctl/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/ctl/kept_file.h"
#include "ctrl/lib/conn.h"
#include "ctrl/lib/hash.h"
#include "ctrl/lib/log.h"

enum { LINE_MAX_LEN = 3 * NAME_MAX_LEN + 8, SPARE_LINES = 1024 };
static const char WHOLE[] = "espalier connections 1 whole\n", PARTS[] = "espalier connections 1 parts\n";

struct name {
    struct hash_node node; // first
    char text[];
};
struct names {
    struct hash table;
    uint64_t lines; // in the file
    int fd;         // to append to; -1: not open
    bool parts;     // names are missing in `table`
    bool told;
    char path[300];
};

static struct name *find(const struct names *n, const char *text)
{
    for (struct hash_node *at = hash_first(&n->table, hash_str(0, text)); at; at = hash_next(at))
        if (strcmp(((struct name *)at)->text, text) == 0)
            return (struct name *)at;
    return NULL;
}

static bool add(struct names *n, const char *text) // false: there are too many, or no memory
{
    size_t len = strlen(text) + 1;
    struct name *m = n->table.count < NAMES_KEPT_MAX ? calloc(1, sizeof(*m) + len) : NULL;
    if (m)
        memcpy(m->text, text, len);
    if (m && hash_add(&n->table, &m->node, hash_str(0, text)) < 0) {
        free(m);
        m = NULL;
    }
    return m != NULL;
}

static void remove_name(struct names *n, struct name *m)
{
    hash_del(&n->table, &m->node);
    free(m);
}

// ---- the file

static void fault(struct names *n, const char *what, const char *why)
{
    if (!n->told)
        LOGF(CFG, 0,
             "not all names of connections are kept over a restart, after which what an earlier run left "
             "blocked stays so: %s: %s: %s",
             n->path, what, why);
    n->told = true;
}

static bool write_line(int fd, char sign, const char *name)
{
    char line[LINE_MAX_LEN] = {sign};
    size_t len = 1 + kept_print_name(line + 1, sizeof(line) - 2, name);
    line[len++] = '\n';
    return kept_write(fd, line, len);
}

static bool write_names(const void *names, int fd)
{
    const struct names *n = names;
    bool good = kept_write(fd, n->parts ? PARTS : WHOLE, sizeof(WHOLE) - 1);
    for (const struct hash_node *at = NULL; good && (at = hash_each(&n->table, at));)
        good = write_line(fd, '+', ((const struct name *)at)->text);
    return good;
}

static void stop_appending(struct names *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

static bool rewrite(struct names *n)
{
    int fd = kept_replace(n->path, write_names, n);
    if (fd < 0)
        fault(n, "writing it", strerror(errno));
    stop_appending(n);
    n->fd = fd; // the same file under its new name
    n->lines = n->table.count;
    n->told &= fd < 0 || n->parts;
    return fd >= 0;
}

static bool append(struct names *n, char sign, const char *name)
{
    if (n->fd < 0 || n->lines > 2 * (uint64_t)n->table.count + SPARE_LINES)
        return rewrite(n);
    n->lines++;
    if (write_line(n->fd, sign, name))
        return true;
    fault(n, "writing it", strerror(errno));
    stop_appending(n); // the next one writes it anew
    return false;
}

// What is in the file is not all: said in its first line, in place, which takes no room.
static void spoil(const struct names *n)
{
    int fd = open(n->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (pwrite(fd, PARTS, sizeof(PARTS) - 1, 0) != sizeof(PARTS) - 1)
        (void)!ftruncate(fd, 0); // damaged says the same
    close(fd);
}

// 0, -EINVAL or -ENOMEM.
static int read_line(struct names *n, const char *line)
{
    char name[NAME_MAX_LEN];
    if ((line[0] != '+' && line[0] != '-') || kept_read_name(line + 1, name) < 0)
        return -EINVAL;
    struct name *m = find(n, name);
    if (line[0] == '-' && m)
        remove_name(n, m);
    if (line[0] == '-' || m || add(n, name))
        return 0;
    return n->table.count < NAMES_KEPT_MAX ? -ENOMEM : -EINVAL;
}

static int read_first(struct names *n, const char *line)
{
    n->parts = strcmp(line, PARTS) == 0;
    return n->parts || strcmp(line, WHOLE) == 0 ? 0 : -EINVAL;
}

// *wrong: the number of the first damaged line, or 0. A last line without its end was being written when the
// daemon died, before anything came of it. 0 or -errno: it has not been read to its end.
static int read_file(struct names *n, FILE *f, unsigned long long *wrong)
{
    char *line = NULL;
    size_t size = 0;
    unsigned long long number = 0;
    int rc = 0;
    errno = 0;
    for (ssize_t len; rc == 0 && (len = getline(&line, &size, f)) > 0;) {
        bool cut = line[len - 1] != '\n', whole = strlen(line) == (size_t)len && !cut;
        number++;
        if (cut && number > 1 && strlen(line) == (size_t)len)
            break;
        if (whole && number > 1)
            line[len - 1] = 0;
        rc = !whole ? -EINVAL : number == 1 ? read_first(n, line) : read_line(n, line);
        if (rc == -EINVAL && !*wrong)
            *wrong = number;
        rc = rc == -EINVAL ? 0 : rc;
    }
    if (rc == 0 && (ferror(f) || (errno == ENOMEM && !feof(f))))
        rc = -errno;
    if (rc == 0 && !number)
        *wrong = 1;
    free(line);
    return rc;
}

static int read_names(struct names *n)
{
    unsigned long long wrong = 0;
    int fd = open(n->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    int rc = f ? read_file(n, f, &wrong) : -errno;
    if (f)
        fclose(f);
    else if (fd >= 0)
        close(fd);
    if (rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE)
        return rc;
    n->parts |= wrong || (rc < 0 && rc != -ENOENT);
    if (wrong)
        LOGF(CFG, 0, "%s: line %llu is no connection's name; what can be read of it is taken", n->path,
             wrong);
    else if (n->parts)
        fault(n, "reading it", rc < 0 ? strerror(-rc) : "it has been incomplete since an earlier run");
    return 0;
}

struct names *names_open(const char *path)
{
    struct names *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->fd = -1;
    snprintf(n->path, sizeof(n->path), "%s", path);
    int rc = read_names(n);
    if (rc < 0) {
        names_close(n);
        errno = -rc;
        return NULL;
    }
    rewrite(n);
    return n;
}

void names_close(struct names *n)
{
    struct hash_node *at;
    if (!n)
        return;
    while ((at = hash_pop(&n->table)))
        free(at);
    hash_free(&n->table);
    stop_appending(n);
    free(n);
}

void names_keep(struct names *n, const char *name)
{
    if (!n || find(n, name))
        return;
    bool added = add(n, name);
    if (!added) {
        n->parts = true;
        fault(n, name, "no room for it");
    }
    if (!added || !append(n, '+', name))
        spoil(n);
}

void names_drop(struct names *n, const char *name)
{
    struct name *m = n ? find(n, name) : NULL;
    if (!m)
        return;
    remove_name(n, m);
    append(n, '-', name);
}

bool names_whole(const struct names *n)
{
    return !n->parts;
}

void names_each(const struct names *n, void (*each)(void *ctx, const char *name), void *ctx)
{
    for (const struct hash_node *at = NULL; (at = hash_each(&n->table, at));)
        each(ctx, ((const struct name *)at)->text);
}
