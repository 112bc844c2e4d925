// SPDX-License-Identifier: Apache-2.0
// The store of shared secrets. A secret without owners serves for everyone, with the lowest rank; otherwise
// it serves where one of its owners matches the peer, or where its only owner is ourselves. The better both
// ends match the earlier it comes; of two equals the one that matches ourselves better, as in charon.
#include "ctrl/keys/psk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "ctrl/keys/vault.h"

struct psk {
    struct psk *next;
    char name[NAME_MAX_LEN + 1];
    uint8_t *data; // in the vault
    size_t len;
    unsigned owner_count;
    struct identity *owners;
};
struct psk_store {
    struct psk *first;
};

struct psk_store *psk_store_new(void)
{
    return calloc(1, sizeof(struct psk_store));
}

static void drop(struct psk *p)
{
    vault_put(p->data);
    free(p->owners);
    free(p);
}

void psk_clear(struct psk_store *s)
{
    while (s->first) {
        struct psk *p = s->first;
        s->first = p->next;
        drop(p);
    }
}

void psk_store_free(struct psk_store *s)
{
    if (s)
        psk_clear(s);
    free(s);
}

bool psk_unload(struct psk_store *s, const char *name)
{
    for (struct psk **at = &s->first; *at; at = &(*at)->next) {
        struct psk *p = *at;
        if (strcmp(p->name, name) == 0) {
            *at = p->next;
            drop(p);
            return true;
        }
    }
    return false;
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

int psk_load(struct psk_store *s, const char *name, const char *type, struct slice data, struct slice owners,
             struct esp_error *err)
{
    if (strcasecmp(type, "ike") != 0)
        return esp_fail(err, -EOPNOTSUPP, "type", "secret %s: type '%s' is not supported, expected ike", name,
                        type);
    if (data.len == 0 || data.len > PSK_MAX)
        return esp_fail(err, -EINVAL, "data", "secret %s: %zu octets, expected 1 to %d", name, data.len,
                        PSK_MAX);
    struct psk *p = calloc(1, sizeof(*p));
    if (!p)
        return esp_fail(err, -ENOMEM, "", "no memory");
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->data = vault_get(data.len);
    int rc = -ENOMEM;
    if (p->data) {
        memcpy(p->data, data.p, data.len);
        rc = read_owners(p, owners, err);
    } else {
        esp_fail(err, rc, "data", "no memory");
    }
    if (rc) {
        drop(p);
        return rc;
    }
    p->len = data.len;
    psk_unload(s, name);
    struct psk **end = &s->first;
    while (*end)
        end = &(*end)->next;
    *end = p;
    return 0;
}

void psk_names(const struct psk_store *s, void (*f)(void *ctx, const char *name), void *ctx)
{
    for (const struct psk *p = s->first; p; p = p->next)
        f(ctx, p->name);
}

static int best(const struct psk *p, const struct identity *id)
{
    int found = MATCH_NONE;
    for (unsigned i = 0; i < p->owner_count; i++) {
        int m = identity_match(id, &p->owners[i]);
        if (m > found)
            found = m;
    }
    return p->owner_count ? found : MATCH_ANY;
}

unsigned psk_find(const struct psk_store *s, const struct identity *me, const struct identity *peer,
                  struct slice out[PSK_TRIES])
{
    int rank[PSK_TRIES];
    unsigned n = 0;
    for (const struct psk *p = s->first; p; p = p->next) {
        int mine = best(p, me), theirs = best(p, peer), score = (mine + theirs) * (MATCH_PERFECT + 1) + mine;
        unsigned at = 0;
        // A secret that names several ends and not this peer must not let one of them pass for someone else.
        if (!theirs && (!mine || p->owner_count > 1))
            continue;
        while (at < n && rank[at] >= score)
            at++;
        if (at == PSK_TRIES)
            continue;
        if (n < PSK_TRIES)
            n++;
        for (unsigned i = n - 1; i > at; i--) {
            rank[i] = rank[i - 1];
            out[i] = out[i - 1];
        }
        rank[at] = score;
        out[at] = slice_of(p->data, p->len);
    }
    return n;
}
