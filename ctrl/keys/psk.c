// SPDX-License-Identifier: Apache-2.0
// The store of shared secrets. A secret without owners serves for everyone, with the lowest rank; otherwise
// it serves where one of its owners matches the peer, or where its only owner is ourselves. The better both
// ends match the earlier it comes; of two equals the one that matches ourselves better, as in charon.
#include "ctrl/keys/psk.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <openssl/crypto.h>

#include "ctrl/keys/vault.h"
#include "ctrl/lib/table.h"

struct psk_key {
    struct hash_node node; // first
    struct psk *of;
};
struct psk {
    struct hash_node by_name;
    struct psk_key *keys; // of its owners
    struct psk *next_loose, *prev_loose;
    uint64_t order; // of loading
    struct table_node by_serial;
    struct psk *next, *prev; // in the order of loading
    uint32_t serial;
    enum secret_kind kind; // any but IKE is never a secret of AUTH by itself
    char name[NAME_MAX_LEN + 1];
    uint8_t *data; // in the vault
    size_t len;
    unsigned owner_count;
    struct identity *owners;
};
struct psk_store {
    struct vault *vault;
    struct psk *first, *last;
    struct hash by_name;
    struct table by_serial;
    uint32_t serial;
    uint64_t order;
    // Where it is found by an owner: of AUTH's, those with one owner; those with several; and in a list those
    // with none, or with a pattern among them. The others by kind and octets.
    struct hash alone, among, named;
    struct psk *loose;
};

struct psk_store *psk_store_new(struct vault *v)
{
    struct psk_store *s = calloc(1, sizeof(*s));
    if (s)
        s->vault = v;
    return s;
}

static void drop(struct psk *p)
{
    vault_put(p->data);
    free(p->keys);
    free(p->owners);
    free(p);
}

static bool is_loose(const struct psk *p)
{
    bool loose = !p->owner_count;
    for (unsigned i = 0; i < p->owner_count && !loose; i++)
        loose = identity_is_pattern(&p->owners[i]);
    return loose && p->kind == SECRET_IKE;
}

static struct hash *table_of(struct psk_store *s, const struct psk *p)
{
    return p->kind != SECRET_IKE ? &s->named : p->owner_count == 1 ? &s->alone : &s->among;
}

static uint64_t name_key(enum secret_kind kind, struct slice id)
{
    return hash_bytes(kind, id.p, id.len);
}

static uint64_t owner_key(const struct psk *p, unsigned i)
{
    const struct identity *o = &p->owners[i];
    return p->kind == SECRET_IKE ? identity_key(o) : name_key(p->kind, slice_of(o->data, o->len));
}

static void unlist(struct psk_store *s, struct psk *p)
{
    for (unsigned i = 0; i < p->owner_count && p->keys; i++)
        hash_del(table_of(s, p), &p->keys[i].node);
    if (p->next_loose)
        p->next_loose->prev_loose = p->prev_loose;
    if (p->prev_loose)
        p->prev_loose->next_loose = p->next_loose;
    else if (s->loose == p)
        s->loose = p->next_loose;
}

static int list(struct psk_store *s, struct psk *p)
{
    p->order = ++s->order;
    if (is_loose(p)) {
        p->next_loose = s->loose;
        if (s->loose)
            s->loose->prev_loose = p;
        s->loose = p;
        return 0;
    }
    if (!(p->keys = calloc(p->owner_count, sizeof(*p->keys))))
        return -ENOMEM;
    for (unsigned i = 0; i < p->owner_count; i++) {
        p->keys[i].of = p;
        if (hash_add(table_of(s, p), &p->keys[i].node, owner_key(p, i)) < 0) {
            unlist(s, p);
            return -ENOMEM;
        }
    }
    return 0;
}

static void leave(struct psk_store *s, struct psk *p)
{
    *(p->prev ? &p->prev->next : &s->first) = p->next;
    *(p->next ? &p->next->prev : &s->last) = p->prev;
    hash_del(&s->by_name, &p->by_name);
    table_del(&s->by_serial, &p->by_serial);
    unlist(s, p);
    drop(p);
}

static int enter(struct psk_store *s, struct psk *p)
{
    if (table_count(&s->by_serial) >= PSK_SECRETS_MAX)
        return -ENOBUFS;
    do
        s->serial++;
    while (!s->serial || table_find(&s->by_serial, s->serial));
    p->serial = s->serial;
    if (list(s, p) < 0)
        return -ENOMEM;
    if (hash_add(&s->by_name, &p->by_name, hash_str(0, p->name)) < 0) {
        unlist(s, p);
        return -ENOMEM;
    }
    if (!table_add(&s->by_serial, &p->by_serial, p->serial)) {
        hash_del(&s->by_name, &p->by_name);
        unlist(s, p);
        return -ENOMEM;
    }
    p->prev = s->last;
    *(s->last ? &s->last->next : &s->first) = p;
    s->last = p;
    return 0;
}

void psk_clear(struct psk_store *s)
{
    while (s->first)
        leave(s, s->first);
    hash_free(&s->by_name);
    hash_free(&s->alone);
    hash_free(&s->among);
    hash_free(&s->named);
    table_free(&s->by_serial);
}

void psk_store_free(struct psk_store *s)
{
    if (s)
        psk_clear(s);
    free(s);
}

static struct psk *find(const struct psk_store *s, const char *name)
{
    for (struct hash_node *n = hash_first(&s->by_name, hash_str(0, name)); n; n = hash_next(n))
        if (strcmp(((struct psk *)(void *)n)->name, name) == 0)
            return (struct psk *)(void *)n;
    return NULL;
}

static struct psk *by_serial(const struct psk_store *s, uint32_t serial)
{
    struct table_node *n = table_find(&s->by_serial, serial);
    return n ? (struct psk *)(void *)((char *)n - offsetof(struct psk, by_serial)) : NULL;
}

bool psk_unload(struct psk_store *s, const char *name)
{
    struct psk *p = find(s, name);
    if (p)
        leave(s, p);
    return p != NULL;
}

// For one owner more.
static bool make_room(struct psk *p)
{
    if (p->owner_count & (p->owner_count - 1))
        return true; // only a full array has a power of two
    struct identity *more = realloc(p->owners, (p->owner_count ? 2u * p->owner_count : 1u) * sizeof(*more));
    if (more)
        p->owners = more;
    return more != NULL;
}

static int read_owners(struct psk *p, struct slice owners, struct esp_error *err)
{
    struct reader r = reader_of(owners);
    while (r.left && !r.bad) {
        char text[ID_MAX_LEN];
        bool room = make_room(p);
        rd_cstr(&r, text, sizeof(text));
        if (!room)
            return esp_fail(err, -ENOMEM, "owners", "no memory");
        if (r.bad || p->owner_count == PSK_OWNERS_MAX)
            return esp_fail(err, -EINVAL, "owners", "secret %s: at most %d owners of at most %d characters",
                            p->name, PSK_OWNERS_MAX, ID_MAX_LEN - 1);
        if (!identity_parse(text, &p->owners[p->owner_count]))
            return esp_fail(err, -EINVAL, "owners", "secret %s: '%s' is not an identity that is supported",
                            p->name, text);
        p->owner_count++;
    }
    return r.bad ? esp_fail(err, -EINVAL, "owners", "malformed list") : 0;
}

static bool same_owners(const struct psk *p, struct slice owners)
{
    struct reader r = reader_of(owners);
    unsigned n = 0;
    for (; r.left && !r.bad && n < p->owner_count; n++) {
        char text[ID_MAX_LEN];
        struct identity id;
        rd_cstr(&r, text, sizeof(text));
        if (r.bad || !identity_parse(text, &id) || !identity_eq(&id, &p->owners[n]))
            return false;
    }
    return rd_done(&r) && n == p->owner_count;
}

bool psk_replaces(const struct psk_store *s, const char *name, const char *type, struct slice data,
                  struct slice owners)
{
    const struct psk *p = find(s, name);
    return p && ((int)p->kind != secret_kind(type) || p->len != data.len ||
                 CRYPTO_memcmp(p->data, data.p, p->len) != 0 || !same_owners(p, owners));
}

int secret_kind(const char *type)
{
    return strcasecmp(type, "ike") == 0   ? SECRET_IKE
           : strcasecmp(type, "ppk") == 0 ? SECRET_PPK
           : strcasecmp(type, "eap") == 0 ? SECRET_EAP
                                          : -1;
}

int psk_load(struct psk_store *s, const char *name, const char *type, struct slice data, struct slice owners,
             struct esp_error *err)
{
    int kind = secret_kind(type);
    if (kind < 0)
        return esp_fail(err, -EOPNOTSUPP, "type",
                        "secret %s: type '%s' is not supported, expected ike, ppk or eap", name, type);
    if (kind != SECRET_IKE && !owners.len)
        return esp_fail(err, -EINVAL, "owners", "secret %s: %s needs the identity that it goes by", name,
                        kind == SECRET_PPK ? "a PPK" : "an EAP secret");
    if (data.len == 0 || data.len > PSK_MAX)
        return esp_fail(err, -EINVAL, "data", "secret %s: %zu octets, expected 1 to %d", name, data.len,
                        PSK_MAX);
    struct psk *p = calloc(1, sizeof(*p));
    if (!p)
        return esp_fail(err, -ENOMEM, "", "no memory");
    p->kind = (enum secret_kind)kind;
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->data = vault_get(s->vault, data.len);
    int rc = -ENOMEM;
    if (p->data) {
        memcpy(p->data, data.p, data.len);
        rc = read_owners(p, owners, err);
    } else {
        esp_fail(err, rc, "data", "no memory");
    }
    p->len = data.len;
    struct psk *old = find(s, name);
    if (!rc) {
        rc = enter(s, p);
        if (rc)
            esp_fail(err, rc, "", rc == -ENOMEM ? "no memory" : "more than %d secrets", PSK_SECRETS_MAX);
    }
    if (rc)
        drop(p);
    else if (old)
        leave(s, old); // last: a secret that cannot be taken leaves the one before
    return rc;
}

uint32_t psk_names(const struct psk_store *s, uint32_t from, bool (*f)(void *ctx, const char *name),
                   void *ctx)
{
    const struct psk *p = from ? by_serial(s, from) : s->first;
    for (p = p ? p : s->first; p && p->serial < from;)
        p = p->next;
    while (p && f(ctx, p->name))
        p = p->next;
    return p ? p->serial : 0;
}

// How well the identity matches an owner, and which; a secret without owners is for everyone.
static int best(const struct psk *p, const struct identity *id, const struct identity **owner)
{
    int found = MATCH_NONE;
    *owner = NULL;
    for (unsigned i = 0; i < p->owner_count; i++) {
        int m = identity_match(id, &p->owners[i]);
        if (m <= found)
            continue;
        found = m;
        *owner = &p->owners[i];
    }
    return p->owner_count ? found : MATCH_ANY;
}

static const struct psk *of_key(const struct hash_node *n)
{
    return ((const struct psk_key *)n)->of;
}

// The last that was loaded.
bool psk_find_named(const struct psk_store *s, enum secret_kind kind, struct slice id, struct slice *out,
                    const char **name)
{
    const struct psk *last = NULL;
    for (struct hash_node *n = id.len ? hash_first(&s->named, name_key(kind, id)) : NULL; n;
         n = hash_next(n)) {
        const struct psk *p = of_key(n);
        const struct identity *o = &p->owners[(const struct psk_key *)n - p->keys];
        if (p->kind == kind && slice_eq(id, slice_of(o->data, o->len)) && (!last || p->order > last->order))
            last = p;
    }
    if (!last)
        return false;
    *out = slice_of(last->data, last->len);
    if (name)
        *name = last->name;
    return true;
}

struct found {
    const struct identity *me, *peer;
    struct psk_match *out;
    int rank[PSK_TRIES];
    uint64_t order[PSK_TRIES];
    unsigned n;
};

// Of equals the one that was loaded first. A secret may be looked at more than once.
static void look_at(struct found *f, const struct psk *p)
{
    const struct identity *owner, *self;
    int mine = best(p, f->me, &self), theirs = best(p, f->peer, &owner),
        score = (mine + theirs) * (MATCH_PERFECT + 1) + mine;
    unsigned at = 0;
    // A secret that names several ends and not this peer must not let one of them pass for someone else.
    if (!theirs && (!mine || p->owner_count > 1))
        return;
    while (at < f->n && (f->rank[at] > score || (f->rank[at] == score && f->order[at] < p->order)))
        at++;
    if (at == PSK_TRIES || (at < f->n && f->out[at].serial == p->serial))
        return;
    if (f->n < PSK_TRIES)
        f->n++;
    for (unsigned i = f->n - 1; i > at; i--) {
        f->rank[i] = f->rank[i - 1];
        f->order[i] = f->order[i - 1];
        f->out[i] = f->out[i - 1];
    }
    f->rank[at] = score;
    f->order[at] = p->order;
    f->out[at] = (struct psk_match){p->serial, slice_of(p->data, p->len), p->name, owner};
}

static void look_among(struct found *f, const struct hash *t, const struct identity *id)
{
    for (struct hash_node *n = hash_first(t, identity_key(id)); n; n = hash_next(n))
        look_at(f, of_key(n));
}

unsigned psk_find(const struct psk_store *s, const struct identity *me, const struct identity *peer,
                  struct psk_match out[PSK_TRIES])
{
    struct found f = {.me = me, .peer = peer, .out = out};
    look_among(&f, &s->alone, me);
    look_among(&f, &s->alone, peer);
    look_among(&f, &s->among, peer); // of those with several owners one is the peer
    for (const struct psk *p = s->loose; p; p = p->next_loose)
        look_at(&f, p);
    return f.n;
}
