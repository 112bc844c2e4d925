// SPDX-License-Identifier: Apache-2.0
// A record is what it is, what it is known by, its type, octets and owners.
#include "ctrl/keys/secrets_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <openssl/crypto.h>

enum { STEP = 64 * 1024 }; // so much more is mapped at a time

struct secrets_file {
    struct records *records;
    int64_t mapped; // up to there its pages are locked
    size_t read;    // so much of a secret is in the records' room
    uint8_t out[RECORD_MAX];
};

static uint64_t key_of(enum secret_what what, struct slice name)
{
    return hash_bytes(what, name.p, name.len);
}

// As we write it: by another one it could not be unloaded.
static bool is_name(enum secret_what what, struct slice name)
{
    return what == SECRET_SHARED    ? name.len < NAME_MAX_LEN && !memchr(name.p, 0, name.len)
           : what == SECRET_PRIVATE ? name.len == PRIVATE_ID
                                    : false;
}

static bool read_record(struct slice octets, struct slice *name, struct secret *out)
{
    struct reader r = reader_of(octets);
    out->what = (enum secret_what)rd_u8(&r);
    *name = rd_slice16(&r);
    rd_cstr(&r, out->type, sizeof(out->type));
    out->data = rd_slice16(&r);
    out->owners = rd_slice32(&r);
    return rd_done(&r) && is_name(out->what, *name);
}

static bool record_key(struct slice octets, uint64_t *key)
{
    struct slice name;
    struct secret s;
    bool good = read_record(octets, &name, &s);
    *key = good ? key_of(s.what, name) : 0;
    return good;
}

// Mapped for nothing but to be locked: what is read and written goes by the descriptor, which says so where
// there is no memory. It stays mapped while the process lives.
static void lock_pages(struct secrets_file *f)
{
    for (; f->mapped < f->records->end; f->mapped += STEP) {
        void *p = mmap(NULL, STEP, PROT_READ, MAP_SHARED, f->records->fd, f->mapped);
        if (p == MAP_FAILED)
            return;
        (void)madvise(p, STEP, MADV_DONTDUMP);
        (void)madvise(p, STEP, MADV_DONTFORK);
        (void)mlock(p, STEP); // as far as that is allowed, as in vault.c
    }
}

struct secrets_file *secrets_file_open(int fd)
{
    struct secrets_file *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->records = records_open(fd, SECRETS_BYTES_MAX, SECRETS_MOST, true, record_key);
    if (!f->records) {
        int e = errno;
        free(f);
        errno = e;
        return NULL;
    }
    lock_pages(f);
    return f;
}

void secrets_file_close(struct secrets_file *f)
{
    if (!f)
        return;
    records_close(f->records);
    OPENSSL_cleanse(f->out, sizeof(f->out));
    free(f);
}

static void drop(struct secrets_file *f, enum secret_what what, struct slice name)
{
    struct record *r = f ? records_find(f->records, key_of(what, name)) : NULL;
    if (r)
        records_drop(f->records, r);
}

// Where there is no room for it the one before goes all the same: the next one is to have none rather than
// one that counts no more.
static int put(struct secrets_file *f, enum secret_what what, struct slice name, const char *type,
               struct slice data, struct slice owners)
{
    struct writer w = writer_of(f->out, sizeof(f->out));
    wr_u8(&w, what);
    wr_slice16(&w, name);
    wr_cstr(&w, type);
    wr_slice16(&w, data);
    wr_slice32(&w, owners);
    int rc = w.bad ? -EMSGSIZE : records_put(f->records, key_of(what, name), wr_written(&w));
    OPENSSL_cleanse(f->out, w.len);
    if (rc < 0)
        drop(f, what, name);
    lock_pages(f);
    return rc;
}

int secrets_file_put_shared(struct secrets_file *f, const char *name, const char *type, struct slice data,
                            struct slice owners)
{
    return f ? put(f, SECRET_SHARED, slice_str(name), type, data, owners) : 0;
}

// One that is there already stays, as in the store.
int secrets_file_put_private(struct secrets_file *f, const uint8_t id[PRIVATE_ID], const char *type,
                             struct slice der)
{
    struct slice name = slice_of(id, PRIVATE_ID);
    if (!f || records_find(f->records, key_of(SECRET_PRIVATE, name)))
        return 0;
    return put(f, SECRET_PRIVATE, name, type, der, slice_of(NULL, 0));
}

void secrets_file_drop_shared(struct secrets_file *f, const char *name)
{
    drop(f, SECRET_SHARED, slice_str(name));
}

void secrets_file_drop_private(struct secrets_file *f, struct slice id)
{
    drop(f, SECRET_PRIVATE, id);
}

void secrets_file_clear(struct secrets_file *f)
{
    while (f && f->records->first)
        records_drop(f->records, f->records->first);
}

bool secrets_file_is_missing(struct secrets_file *f, uint64_t number, bool missing)
{
    struct record *r = number ? records_behind(f->records, number - 1) : NULL;
    bool was = r && r->number == number && r->marked;
    if (r && r->number == number)
        r->marked = missing;
    return was;
}

int secrets_file_next(struct secrets_file *f, uint64_t after, bool missing, struct secret *out)
{
    struct slice name;
    const struct record *r = records_behind(f->records, after);
    while (r && missing && !r->marked)
        r = records_behind(f->records, r->number);
    OPENSSL_cleanse(f->records->in, f->read); // of the one before
    f->read = r ? r->len : 0;
    if (!r)
        return 0;
    if (!read_record(records_read(f->records, r), &name, out)) // which it was, when the file was opened
        return -EIO;
    out->number = r->number;
    if (out->what == SECRET_PRIVATE)
        memcpy(out->id, name.p, PRIVATE_ID);
    memcpy(out->name, name.p, out->what == SECRET_SHARED ? name.len : 0);
    out->name[out->what == SECRET_SHARED ? name.len : 0] = 0;
    return 1;
}
