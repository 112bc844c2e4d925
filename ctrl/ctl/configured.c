// SPDX-License-Identifier: Apache-2.0
// The file is records one behind the other. What goes leaves its place to what comes and fits into it.
#include "ctrl/ctl/configured.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ctrl/lib/hash.h"

struct head {        // of a record in the file
    uint64_t number; // grows; 0: nothing is in its place
    uint32_t room, len;
};
struct record {
    struct head h;
    int64_t at;
    enum msg_type type;
    uint64_t name; // what it is known by, hashed
};
struct configured {
    int fd;
    int64_t end;
    uint64_t number;
    size_t count, room;
    struct record *of;
    uint8_t in[IPC_MAX_MESSAGE], out[IPC_MAX_MESSAGE];
};

int configured_new(void)
{
    int fd = memfd_create("espalier-configured", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, CONFIGURED_BYTES_MAX) == 0 && // takes no memory before something is written
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    int e = errno;
    close(fd);
    return -e;
}

bool configured_keeps(enum msg_type t)
{
    return t == MSG_CERT_LOAD || t == MSG_CERTS_CLEAR || t == MSG_AUTHORITY_LOAD ||
           t == MSG_AUTHORITY_UNLOAD || t == MSG_POOL_LOAD || t == MSG_POOL_UNLOAD;
}

// ---- names: a certificate is known by itself, the others by what they are called

static uint64_t name_in(enum msg_type t, const char *name)
{
    return hash_str(t, name);
}

// False: the message is malformed.
static bool name_of(enum msg_type t, const union msg *m, uint64_t *out)
{
    struct reader r;
    char pool[NAME_MAX_LEN];
    switch (t) {
    case MSG_CERT_LOAD:
        *out = hash_bytes(m->CERT_LOAD.kind, m->CERT_LOAD.data.p, m->CERT_LOAD.data.len);
        return true;
    case MSG_AUTHORITY_LOAD: *out = name_in(t, m->AUTHORITY_LOAD.name); return true;
    case MSG_POOL_LOAD:
        r = reader_of(m->POOL_LOAD.pool);
        rd_cstr(&r, pool, sizeof(pool)); // with which pool_write begins
        *out = name_in(t, pool);
        return !r.bad;
    default: return false;
    }
}

// ---- the file

static int write_all(const struct configured *c, const void *p, size_t len, int64_t at)
{
    for (const uint8_t *from = p; len;) {
        ssize_t n = pwrite(c->fd, from, len, at);
        if (n < 0 && errno != EINTR)
            return -errno;
        from += n > 0 ? n : 0;
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static bool read_all(const struct configured *c, void *p, size_t len, int64_t at)
{
    return pread(c->fd, p, len, at) == (ssize_t)len;
}

static bool read_record(struct configured *c, const struct record *r, union msg *m)
{
    return read_all(c, c->in, r->h.len, r->at + (int64_t)sizeof(r->h)) &&
           msg_read(slice_of(c->in, r->h.len), m) == r->type;
}

static struct record *add_record(struct configured *c)
{
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 16;
        struct record *of = realloc(c->of, room * sizeof(*of));
        if (!of)
            return NULL;
        c->of = of;
        c->room = room;
    }
    struct record *r = &c->of[c->count++];
    *r = (struct record){0};
    return r;
}

static void take_out(struct configured *c, struct record *r)
{
    r->h.number = 0;
    (void)write_all(c, &r->h, sizeof(r->h), r->at); // into octets that are there: it does not fail
}

// Of what is there. What is malformed counts as a place alone.
static bool scan_one(struct configured *c, int64_t at)
{
    union msg m;
    struct record *r = add_record(c);
    if (!r)
        return false;
    r->at = at;
    if (!read_all(c, &r->h, sizeof(r->h), at) || !r->h.room || r->h.len > r->h.room ||
        r->h.room > IPC_MAX_MESSAGE) {
        c->count--;
        return false;
    }
    c->end = at + (int64_t)sizeof(r->h) + r->h.room;
    if (!r->h.number)
        return true;
    bool whole = read_all(c, c->in, r->h.len, at + (int64_t)sizeof(r->h));
    r->type = whole ? msg_read(slice_of(c->in, r->h.len), &m) : MSG_NONE;
    if (!name_of(r->type, &m, &r->name))
        r->h.number = 0;
    if (r->h.number > c->number)
        c->number = r->h.number;
    return true;
}

struct configured *configured_open(int fd)
{
    struct configured *c = fd < 0 ? NULL : malloc(sizeof(*c));
    if (!c)
        return NULL;
    memset(c, 0, offsetof(struct configured, in));
    c->fd = fd;
    while (scan_one(c, c->end))
        ;
    return c;
}

void configured_close(struct configured *c)
{
    if (!c)
        return;
    close(c->fd);
    free(c->of);
    free(c);
}

// ---- what comes and goes

static struct record *find(struct configured *c, enum msg_type t, uint64_t name)
{
    for (size_t i = 0; i < c->count; i++) {
        struct record *r = &c->of[i];
        if (r->h.number && r->type == t && r->name == name)
            return r;
    }
    return NULL;
}

static bool is_same(struct configured *c, const struct record *r, struct slice octets)
{
    return r && r->h.len == octets.len && read_all(c, c->in, octets.len, r->at + (int64_t)sizeof(r->h)) &&
           memcmp(c->in, octets.p, octets.len) == 0;
}

// Where it fits, with least to spare; else at the end.
static struct record *place_for(struct configured *c, size_t len)
{
    struct record *best = NULL;
    for (size_t i = 0; i < c->count; i++) {
        struct record *r = &c->of[i];
        if (!r->h.number && r->h.room >= len && (!best || r->h.room < best->h.room))
            best = r;
    }
    if (best)
        return best;
    int64_t end = c->end + (int64_t)(sizeof(struct head) + len);
    struct record *r = end <= CONFIGURED_BYTES_MAX ? add_record(c) : NULL;
    if (!r)
        return NULL;
    r->at = c->end;
    r->h.room = (uint32_t)len;
    c->end = end;
    return r;
}

// Its octets first, then the head that says that they are there.
static int put(struct configured *c, struct record *r, struct slice octets)
{
    struct head h = {.room = r->h.room, .len = (uint32_t)octets.len};
    int rc = write_all(c, &h, sizeof(h), r->at);
    if (rc == 0)
        rc = write_all(c, octets.p, octets.len, r->at + (int64_t)sizeof(h));
    h.number = c->number + 1;
    if (rc == 0)
        rc = write_all(c, &h, sizeof(h), r->at);
    if (rc == 0) {
        r->h = h;
        c->number = h.number;
    }
    return rc;
}

// Without the number of the question, with which each of them begins.
static struct slice unasked(struct configured *c, struct slice message)
{
    enum { TYPE = 2, REQ = 4 };
    memcpy(c->out, message.p, message.len);
    memset(c->out + TYPE, 0, REQ);
    return slice_of(c->out, message.len);
}

static int keep(struct configured *c, enum msg_type t, const union msg *m, struct slice message)
{
    uint64_t name;
    if (!name_of(t, m, &name))
        return -EINVAL;
    struct slice octets = unasked(c, message);
    struct record *old = find(c, t, name);
    if (is_same(c, old, octets))
        return 0;
    size_t was = old ? (size_t)(old - c->of) : 0;
    struct record *r = place_for(c, octets.len);
    if (!r)
        return -ENOSPC;
    int rc = put(c, r, octets);
    if (rc < 0)
        return rc;
    r->type = t;
    r->name = name;
    if (old)
        take_out(c, &c->of[was]);
    return 0;
}

static void drop(struct configured *c, enum msg_type t, const char *name)
{
    struct record *r = find(c, t, name_in(t, name));
    if (r)
        take_out(c, r);
}

static void drop_certs(struct configured *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->of[i].h.number && c->of[i].type == MSG_CERT_LOAD)
            take_out(c, &c->of[i]);
}

int configured_take(struct configured *c, struct slice message)
{
    union msg m;
    enum msg_type t = message.len <= sizeof(c->out) ? msg_read(message, &m) : MSG_NONE;
    switch (t) {
    case MSG_CERT_LOAD:
    case MSG_AUTHORITY_LOAD:
    case MSG_POOL_LOAD: return keep(c, t, &m, message);
    case MSG_CERTS_CLEAR: drop_certs(c); return 0;
    case MSG_AUTHORITY_UNLOAD: drop(c, MSG_AUTHORITY_LOAD, m.AUTHORITY_UNLOAD.name); return 0;
    case MSG_POOL_UNLOAD: drop(c, MSG_POOL_LOAD, m.POOL_UNLOAD.name); return 0;
    default: return -EINVAL;
    }
}

uint64_t configured_next(struct configured *c, uint64_t after, enum msg_type *t, union msg *m)
{
    for (;;) {
        const struct record *next = NULL;
        for (size_t i = 0; i < c->count; i++) {
            const struct record *r = &c->of[i];
            if (r->h.number > after && (!next || r->h.number < next->h.number))
                next = r;
        }
        if (!next)
            return 0;
        *t = next->type;
        if (read_record(c, next, m))
            return next->h.number;
        after = next->h.number;
    }
}
