// SPDX-License-Identifier: Apache-2.0
// Places have one of a few sizes, four to an octave, so that one that was left is found at once by what fits
// into it, however many there are.
#include "ctrl/lib/records.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct head { // of a place in the file
    uint64_t number;
    uint32_t room, len;
};

int records_file(const char *name, int64_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, bytes) == 0 && // takes no memory before something is written
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        return fd;
    int e = errno;
    close(fd);
    return -e;
}

static uint32_t size_of(unsigned kind)
{
    return (4u + kind % 4) << (4 + kind / 4);
}
_Static_assert(RECORD_MAX == (4 + (RECORD_SIZES - 1) % 4) << (4 + (RECORD_SIZES - 1) / 4), "the last size");

static unsigned kind_of(size_t len)
{
    unsigned kind = 0;
    while (kind < RECORD_SIZES && size_of(kind) < len)
        kind++;
    return kind;
}

// ---- the file

static int write_all(const struct records *r, const void *p, size_t len, int64_t at)
{
    for (const uint8_t *from = p; len;) {
        ssize_t n = pwrite(r->fd, from, len, at);
        if (n < 0 && errno != EINTR)
            return -errno;
        from += n > 0 ? n : 0;
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static bool read_all(const struct records *r, void *p, size_t len, int64_t at)
{
    return pread(r->fd, p, len, at) == (ssize_t)len;
}

static int write_head(const struct records *r, const struct record *of)
{
    const struct head h = {of->number, of->room, of->len};
    return write_all(r, &h, sizeof(h), of->at);
}

static int64_t octets_at(const struct record *of)
{
    return of->at + (int64_t)sizeof(struct head);
}

// Over octets that are there: it does not fail.
static void wipe(const struct records *r, const struct record *of)
{
    static const uint8_t zeros[4096];
    for (uint32_t at = 0; at < of->len; at += sizeof(zeros)) {
        size_t n = of->len - at < sizeof(zeros) ? of->len - at : sizeof(zeros);
        (void)write_all(r, zeros, n, octets_at(of) + at);
    }
}

struct slice records_read(struct records *r, const struct record *of)
{
    bool whole = of->len <= sizeof(r->in) && read_all(r, r->in, of->len, octets_at(of));
    return slice_of(r->in, whole ? of->len : 0);
}

// ---- places

static void leave(struct records *r, struct record *place)
{
    unsigned kind = kind_of(place->room);
    if (r->wiped)
        wipe(r, place);
    place->number = 0;
    place->len = 0;
    (void)write_head(r, place); // likewise
    place->next = r->unused[kind];
    r->unused[kind] = place;
}

static void enter(struct records *r, struct record *of)
{
    of->prev = r->last;
    of->next = NULL;
    *(r->last ? &r->last->next : &r->first) = of;
    r->last = of;
    if (of->number > r->number)
        r->number = of->number;
}

void records_drop(struct records *r, struct record *of)
{
    *(of->prev ? &of->prev->next : &r->first) = of->next;
    *(of->next ? &of->next->prev : &r->last) = of->prev;
    hash_del(&r->by_key, &of->by_key);
    r->at = r->at == of ? of->next : r->at;
    leave(r, of);
}

static struct record *take_unused(struct records *r, unsigned kind)
{
    while (kind < RECORD_SIZES && !r->unused[kind])
        kind++;
    struct record *place = kind < RECORD_SIZES ? r->unused[kind] : NULL;
    if (place)
        r->unused[kind] = place->next;
    return place;
}

// At the end. Without its head what comes behind it would not be found: where there is no memory for that
// there is no place.
static int new_place(struct records *r, unsigned kind, struct record **out)
{
    struct record *place = *out = calloc(1, sizeof(*place));
    if (!place)
        return -ENOMEM;
    place->at = r->end;
    place->room = size_of(kind);
    int rc = write_head(r, place);
    if (rc < 0) {
        free(place);
        return rc;
    }
    r->places++;
    r->end += (int64_t)sizeof(struct head) + size_of(kind);
    return 0;
}

// One of its size, else a new one; where there is no room for that, a larger one.
static int place_for(struct records *r, size_t len, struct record **out)
{
    unsigned kind = kind_of(len);
    if (kind == RECORD_SIZES)
        return -ENOSPC;
    int64_t end = r->end + (int64_t)sizeof(struct head) + size_of(kind);
    if (!r->unused[kind] && end <= r->bytes && r->places < r->most)
        return new_place(r, kind, out);
    *out = take_unused(r, kind);
    return *out ? 0 : -ENOSPC;
}

// ---- what comes and goes

struct record *records_find(const struct records *r, uint64_t key)
{
    return (struct record *)(void *)hash_first(&r->by_key, key);
}

// Its octets first, then the head that says that they are there.
static int put(struct records *r, struct record *place, struct slice octets)
{
    place->number = 0;
    place->marked = false;
    place->len = (uint32_t)octets.len;
    int rc = write_head(r, place);
    if (rc == 0)
        rc = write_all(r, octets.p, octets.len, octets_at(place));
    place->number = r->number + 1;
    return rc ? rc : write_head(r, place);
}

int records_put(struct records *r, uint64_t key, struct slice octets)
{
    struct record *old = records_find(r, key), *place = NULL;
    int rc = place_for(r, octets.len, &place);
    if (rc < 0)
        return rc;
    rc = put(r, place, octets);
    if (rc == 0)
        rc = hash_add(&r->by_key, &place->by_key, key);
    if (rc < 0) {
        leave(r, place);
        return rc;
    }
    enter(r, place);
    if (old)
        records_drop(r, old);
    return 0;
}

struct record *records_behind(struct records *r, uint64_t number)
{
    struct record *next = r->at && number ? r->at : r->first; // all are gone through, with a look back
    while (next && next->prev && next->prev->number > number)
        next = next->prev;
    while (next && next->number <= number)
        next = next->next;
    if (next)
        r->at = next;
    return next;
}

// ---- what was there before

struct found {
    struct record *of;
};

static int newest_first(const void *a, const void *b)
{
    const struct record *x = ((const struct found *)a)->of, *y = ((const struct found *)b)->of;
    return x->number > y->number ? -1 : x->number < y->number;
}

// 1: there is a place at the end of those before, 0: there is none.
static int scan_place(struct records *r, struct record **out)
{
    struct head h;
    if (r->places == r->most || r->end + (int64_t)sizeof(h) > r->bytes)
        return 0;
    if (!read_all(r, &h, sizeof(h), r->end))
        return -EIO;
    if (!h.room || h.room > RECORD_MAX || h.len > h.room || size_of(kind_of(h.room)) != h.room)
        return 0;
    int64_t end = r->end + (int64_t)sizeof(h) + h.room;
    if (end > r->bytes)
        return 0;
    struct record *place = *out = calloc(1, sizeof(*place));
    if (!place)
        return -ENOMEM;
    *place = (struct record){.at = r->end, .number = h.number, .room = h.room, .len = h.len};
    r->places++;
    r->end = end;
    return 1;
}

// Numbers go on behind the highest one: what stands so high was not given by us.
static bool counts(struct records *r, const struct record *of,
                   bool (*key)(struct slice octets, uint64_t *key), uint64_t *k)
{
    return of->number && of->number <= INT64_MAX && key(slice_of(r->in, of->len), k);
}

// What makes sense, one behind the other by `next`. What cannot be read is none that makes none.
static int scan(struct records *r, bool (*key)(struct slice octets, uint64_t *key), struct record **found,
                size_t *count)
{
    struct record *place = NULL;
    int rc;
    while ((rc = scan_place(r, &place)) > 0) {
        uint64_t k = 0;
        if (records_read(r, place).len != place->len) {
            free(place);
            rc = -EIO;
            break;
        }
        if (!counts(r, place, key, &k)) {
            leave(r, place);
            continue;
        }
        place->by_key.one.hash = k;
        place->next = *found;
        *found = place;
        ++*count;
    }
    explicit_bzero(r->in, sizeof(r->in));
    return rc;
}

// Of two of one key, as one was to take the other's place, the newer.
static int list(struct records *r, struct found *f, size_t count)
{
    int rc = 0;
    qsort(f, count, sizeof(*f), newest_first);
    for (size_t i = 0; i < count; i++) {
        struct record *of = f[i].of;
        uint64_t key = of->by_key.one.hash;
        of->by_key = (struct hash_node){0};
        bool older = records_find(r, key) != NULL;
        if (!older && rc == 0)
            rc = hash_add(&r->by_key, &of->by_key, key);
        if (older) {
            leave(r, of);
            f[i].of = NULL;
        }
    }
    for (size_t i = count; i; i--)
        if (f[i - 1].of)
            enter(r, f[i - 1].of);
    return rc;
}

static int find_all(struct records *r, bool (*key)(struct slice octets, uint64_t *key))
{
    struct record *found = NULL;
    size_t count = 0, n = 0;
    int rc = scan(r, key, &found, &count);
    struct found *f = count ? malloc(count * sizeof(*f)) : NULL;
    for (struct record *next; found; found = next) {
        next = found->next;
        if (f)
            f[n++].of = found;
        else
            free(found);
    }
    rc = rc == 0 && count && !f ? -ENOMEM : rc;
    if (f)
        rc = list(r, f, count) < 0 ? -ENOMEM : rc;
    free(f);
    return rc;
}

struct records *records_open(int fd, int64_t bytes, unsigned most, bool wiped,
                             bool (*key)(struct slice octets, uint64_t *key))
{
    struct records *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    r->fd = fd;
    r->bytes = bytes;
    r->most = most;
    r->wiped = wiped;
    // The file's flags are those of all lives: with O_APPEND nothing could be overwritten.
    int rc = fcntl(fd, F_SETFL, 0) < 0 ? -errno : find_all(r, key);
    if (rc == 0)
        return r;
    r->fd = -1; // the caller's still
    records_close(r);
    errno = -rc;
    return NULL;
}

void records_close(struct records *r)
{
    if (!r)
        return;
    if (r->fd >= 0)
        close(r->fd);
    for (struct record *of = r->first, *next; of; of = next) {
        next = of->next;
        free(of);
    }
    for (unsigned kind = 0; kind < RECORD_SIZES; kind++)
        for (struct record *of = r->unused[kind], *next; of; of = next) {
            next = of->next;
            free(of);
        }
    hash_free(&r->by_key);
    explicit_bzero(r->in, sizeof(r->in));
    free(r);
}
