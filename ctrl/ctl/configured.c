// SPDX-License-Identifier: Apache-2.0
// A record is the message itself (ctrl/lib/records.h).
#include "ctrl/ctl/configured.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/hash.h"
#include "ctrl/lib/records.h"

struct configured {
    struct records *records;
    uint8_t out[IPC_MAX_MESSAGE];
};
_Static_assert(RECORD_MAX == IPC_MAX_MESSAGE, "each message fits into a record");

int configured_new(void)
{
    return records_file("espalier-configured", CONFIGURED_BYTES_MAX);
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

static bool key_of(struct slice octets, uint64_t *out)
{
    union msg m;
    return name_of(msg_read(octets, &m), &m, out);
}

struct configured *configured_open(int fd)
{
    struct configured *c = malloc(sizeof(*c));
    if (!c)
        return NULL;
    c->records = records_open(fd, CONFIGURED_BYTES_MAX, CONFIGURED_MOST, false, key_of);
    if (c->records)
        return c;
    int e = errno;
    free(c);
    errno = e;
    return NULL;
}

void configured_close(struct configured *c)
{
    if (!c)
        return;
    records_close(c->records);
    free(c);
}

// ---- what comes and goes

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
    const struct record *old = records_find(c->records, name);
    if (old && slice_eq(records_read(c->records, old), octets))
        return 0;
    return records_put(c->records, name, octets);
}

static void drop(struct configured *c, enum msg_type t, const char *name)
{
    struct record *r = records_find(c->records, name_in(t, name));
    if (r)
        records_drop(c->records, r);
}

static void drop_certs(struct configured *c)
{
    for (struct record *r = c->records->first, *next; r; r = next) {
        union msg m;
        next = r->next;
        if (msg_read(records_read(c->records, r), &m) == MSG_CERT_LOAD)
            records_drop(c->records, r);
    }
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

bool configured_is_missing(struct configured *c, uint64_t number, bool missing)
{
    struct record *r = number ? records_behind(c->records, number - 1) : NULL;
    bool was = r && r->number == number && r->marked;
    if (r && r->number == number)
        r->marked = missing;
    return was;
}

uint64_t configured_pool(const struct configured *c, const char *name)
{
    const struct record *r = records_find(c->records, name_in(MSG_POOL_LOAD, name));
    return r ? r->number : 0;
}

uint64_t configured_next(struct configured *c, uint64_t after, bool missing, enum msg_type *t, union msg *m)
{
    for (struct record *r; (r = records_behind(c->records, after)) != NULL; after = r->number) {
        if (missing && !r->marked)
            continue;
        *t = msg_read(records_read(c->records, r), m);
        if (*t != MSG_NONE)
            return r->number;
    }
    return 0;
}
