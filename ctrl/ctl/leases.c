// SPDX-License-Identifier: Apache-2.0
#include "ctrl/ctl/leases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctrl/ctl/kept_file.h"
#include "ctrl/lib/hash.h"
#include "ctrl/lib/log.h"

enum {
    ID_MAX = 516, // type, three reserved octets, and data
    LINE_MAX_LEN = 3 * NAME_MAX_LEN + 64 + 2 * ID_MAX + 8,
    BATCH = 60000, // octets of a message
    SPARE_LINES = 1024
};
static const char HEADER[] = "espalier leases 1\n";

struct kept {
    struct hash_node by_addr; // of its pool
    struct kept *next;
    struct addr addr;
    uint16_t id_len;
    uint8_t *id;
};
struct kept_pool {
    struct kept_pool *next;
    struct hash by_addr;
    struct kept *first;
    char name[NAME_MAX_LEN];
};
struct leases {
    struct kept_pool *pools;
    unsigned pool_count, count;
    uint64_t lines; // in the file
    bool full_told, fault_told;
    int fd; // to append to; -1: not open
    char path[300];
};

static uint64_t addr_hash(const struct addr *a)
{
    return hash_bytes(a->family, a->a, a->family == 4 ? 4 : 16);
}

static struct kept_pool *find_pool(const struct leases *l, const char *name)
{
    struct kept_pool *p = l->pools;
    while (p && strcmp(p->name, name) != 0)
        p = p->next;
    return p;
}

// Both NULL, errno says why: ENOSPC, there are as many as are kept, or ENOMEM.
static struct kept_pool *need_pool(struct leases *l, const char *name)
{
    struct kept_pool *p = find_pool(l, name);
    errno = ENOSPC;
    if (p || l->pool_count == LEASES_POOLS_MAX || !(p = calloc(1, sizeof(*p))))
        return p;
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->next = l->pools;
    l->pools = p;
    l->pool_count++;
    return p;
}

static struct kept *need_kept(struct leases *l, struct kept_pool *p, const struct addr *a)
{
    for (struct hash_node *n = hash_first(&p->by_addr, addr_hash(a)); n; n = hash_next(n)) {
        struct kept *k = (struct kept *)(void *)n;
        if (addr_eq(&k->addr, a))
            return k;
    }
    errno = ENOSPC;
    struct kept *k = l->count < LEASES_KEPT_MAX ? calloc(1, sizeof(*k)) : NULL;
    if (!k || hash_add(&p->by_addr, &k->by_addr, addr_hash(a)) != 0) {
        errno = k ? ENOMEM : errno;
        free(k);
        return NULL;
    }
    k->addr = *a;
    k->next = p->first;
    p->first = k;
    l->count++;
    return k;
}

// 0, -ENOSPC or -ENOMEM.
static int put(struct leases *l, const char *pool, const struct addr *a, struct slice id)
{
    if (id.len > ID_MAX)
        return -ENOSPC;
    struct kept_pool *p = need_pool(l, pool);
    struct kept *k = p ? need_kept(l, p, a) : NULL;
    if (!k)
        return -errno;
    uint8_t *copy = malloc(id.len ? id.len : 1);
    if (!copy)
        return -ENOMEM; // one without an identity is not written
    if (id.len)
        memcpy(copy, id.p, id.len);
    free(k->id);
    k->id = copy;
    k->id_len = (uint16_t)id.len;
    return 0;
}

static void empty(struct leases *l, struct kept_pool *p)
{
    while (p->first) {
        struct kept *k = p->first;
        p->first = k->next;
        hash_del(&p->by_addr, &k->by_addr);
        free(k->id);
        free(k);
        l->count--;
    }
}

// --- a line ---

static size_t print_line(char *buf, size_t size, const char *pool, const struct addr *a, struct slice id)
{
    char text[64];
    size_t n = kept_print_name(buf, size, pool);
    n += (size_t)snprintf(buf + n, size - n, " %s ", addr_print(a, text, sizeof(text)));
    for (size_t i = 0; i < id.len && n + 3 < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%02x", id.p[i]);
    buf[n++] = '\n';
    return n;
}

// Without its newline, which is cut at its blanks. -EINVAL: it is damaged; or as put().
static int read_line(struct leases *l, char *line)
{
    char name[NAME_MAX_LEN];
    uint8_t id[ID_MAX];
    struct addr a;
    size_t n = 0;
    char *addr = strchr(line, ' '), *hex = addr ? strchr(addr + 1, ' ') : NULL;
    if (!hex)
        return -EINVAL;
    *addr++ = 0;
    *hex++ = 0;
    if (kept_read_name(line, name) <= 0 || !addr_parse(addr, &a))
        return -EINVAL;
    for (; *hex; hex += 2, n++)
        if (n == ID_MAX || !kept_octet(hex, &id[n]))
            return -EINVAL;
    return n >= 4 ? put(l, name, &a, slice_of(id, n)) : -EINVAL;
}

// --- the file ---

static void fault(struct leases *l, const char *what)
{
    if (!l->fault_told)
        LOGF(CFG, 0, "leases are not kept over a restart: %s: %s: %s", l->path, what, strerror(errno));
    l->fault_told = true;
}

static bool write_pools(const void *leases, int fd)
{
    const struct leases *l = leases;
    char line[LINE_MAX_LEN];
    bool good = kept_write(fd, HEADER, sizeof(HEADER) - 1);
    for (const struct kept_pool *p = l->pools; p && good; p = p->next)
        for (const struct kept *k = p->first; k && good; k = k->next)
            good = !k->id ||
                   kept_write(fd, line,
                              print_line(line, sizeof(line), p->name, &k->addr, slice_of(k->id, k->id_len)));
    return good;
}

// The next lease writes the file anew: what has been dropped meanwhile must not stay in it.
static void stop_appending(struct leases *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

// All that is known, in a new file that takes the old one's place when it is whole.
static void rewrite(struct leases *l)
{
    int fd = kept_replace(l->path, write_pools, l);
    if (fd < 0) {
        fault(l, "writing it");
        stop_appending(l);
        return;
    }
    stop_appending(l);
    l->fd = fd; // the same file under its new name
    l->lines = l->count;
    l->fault_told = false;
}

static void set_aside(struct leases *l, uint64_t number)
{
    char bad[sizeof(l->path) + 4];
    snprintf(bad, sizeof(bad), "%s.bad", l->path);
    LOGF(CFG, 0, "%s: line %llu is no lease; the file is set aside as %s, what can be read of it is taken",
         l->path, (unsigned long long)number, bad);
    if (rename(l->path, bad) != 0)
        fault(l, "setting it aside");
}

// Each line by itself; *wrong is 0 or the number of the first that is damaged. A last line without its end
// was being written when the daemon died. 0, or a negative errno: nothing is wrong with the file, but it has
// not been read to its end.
static int read_file(struct leases *l, FILE *f, uint64_t *wrong)
{
    char line[LINE_MAX_LEN];
    uint64_t number = 0;
    *wrong = 0;
    while (fgets(line, sizeof(line), f)) {
        size_t n = strlen(line);
        bool whole = n && line[n - 1] == '\n';
        number++;
        if (!whole && feof(f))
            break;
        if (number == 1) {
            *wrong = strcmp(line, HEADER) != 0;
            if (*wrong)
                return 0;
            continue;
        }
        if (whole)
            line[n - 1] = 0;
        int rc = whole ? read_line(l, line) : -EINVAL;
        if (rc == -ENOMEM)
            return rc;
        if (rc == -EINVAL && !*wrong)
            *wrong = number;
    }
    return ferror(f) ? -errno : 0;
}

// What is short now may be there the next time, when it is read; until then it stays as it is. What is no
// file of ours is replaced.
static struct leases *unread(struct leases *l, int error)
{
    errno = error;
    fault(l, "reading it");
    if (error != ENOMEM && error != EMFILE && error != ENFILE && error != EIO)
        return l;
    leases_close(l);
    return NULL;
}

struct leases *leases_open(const char *path)
{
    struct leases *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->fd = -1;
    snprintf(l->path, sizeof(l->path), "%s", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (!f) {
        int e = errno;
        if (fd >= 0)
            close(fd);
        return e == ENOENT ? l : unread(l, e);
    }
    uint64_t wrong;
    int rc = read_file(l, f, &wrong);
    fclose(f);
    if (rc < 0)
        return unread(l, -rc);
    if (wrong)
        set_aside(l, wrong);
    rewrite(l);
    return l;
}

void leases_close(struct leases *l)
{
    if (!l)
        return;
    while (l->pools) {
        struct kept_pool *p = l->pools;
        l->pools = p->next;
        empty(l, p);
        hash_free(&p->by_addr);
        free(p);
    }
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

static bool is_kept(const struct leases *l, const struct msg_LEASE *m)
{
    const struct kept_pool *p = find_pool(l, m->pool);
    for (struct hash_node *n = p ? hash_first(&p->by_addr, addr_hash(&m->address)) : NULL; n;
         n = hash_next(n)) {
        const struct kept *k = (const struct kept *)(void *)n;
        if (addr_eq(&k->addr, &m->address))
            return k->id && slice_eq(slice_of(k->id, k->id_len), m->identity);
    }
    return false;
}

void leases_keep(struct leases *l, const struct msg_LEASE *m)
{
    char line[LINE_MAX_LEN];
    if (l->fd >= 0 && is_kept(l, m)) // said again
        return;
    int rc = put(l, m->pool, &m->address, m->identity);
    if (rc == -ENOMEM)
        LOGF(CFG, 0, "pool %s: out of memory for a lease, which is not kept over a restart", m->pool);
    else if (rc < 0 && !l->full_told)
        LOGF(CFG, 0, "more leases than can be kept over a restart (%d)", LEASES_KEPT_MAX);
    l->full_told |= rc == -ENOSPC;
    if (rc < 0)
        return;
    if (l->fd < 0 || l->lines > 2 * (uint64_t)l->count + SPARE_LINES) {
        rewrite(l);
        return;
    }
    l->lines++;
    if (!kept_write(l->fd, line, print_line(line, sizeof(line), m->pool, &m->address, m->identity))) {
        fault(l, "writing it");
        stop_appending(l); // whole again with the next lease
    }
}

void leases_drop(struct leases *l, const char *pool)
{
    struct kept_pool *p = find_pool(l, pool);
    if (!p || !p->first)
        return;
    empty(l, p);
    rewrite(l);
}

unsigned leases_count(const struct leases *l)
{
    return l->count;
}

bool leases_send(const struct leases *l, const char *pool, uint32_t req, struct ipc_chan *ike)
{
    const struct kept_pool *p = find_pool(l, pool);
    const struct kept *first = p ? p->first : NULL;
    uint8_t *buf = first ? malloc(BATCH) : NULL;
    struct msg_POOL_LEASES m = {0};
    if (first && !buf)
        return false;
    snprintf(m.name, sizeof(m.name), "%s", pool);
    struct writer w = writer_of(buf, buf ? BATCH : 0);
    for (const struct kept *k = first; k; k = k->next) {
        if (!k->id)
            continue;
        if (BATCH - w.len <= ID_MAX + 32) {
            m.leases = wr_written(&w);
            ipc_send(ike, MSG_POOL_LEASES, &m);
            w = writer_of(buf, BATCH);
        }
        wr_u8(&w, k->addr.family);
        wr_bytes(&w, k->addr.a, 16);
        wr_slice16(&w, slice_of(k->id, k->id_len));
    }
    m.req = req;
    m.leases = wr_written(&w);
    if (req || m.leases.len)
        ipc_send(ike, MSG_POOL_LEASES, &m);
    free(buf);
    return true;
}
