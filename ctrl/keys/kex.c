// SPDX-License-Identifier: Apache-2.0
// Key exchanges for both ends. What a KEM's responder does (take the initiator's value, answer, know the
// secret) is done for Diffie-Hellman in the same shape, so that those who ask need not know which of them it
// is.
#include "ctrl/keys/kex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/keys/vault.h"

struct entry {
    struct table_one node; // key: the exchange's number
    union {
        struct cr_dh *dh;
        uint8_t *secret; // once it is known, in the vault
    };
    bool known;
    uint16_t len;
};

static struct entry *find(struct kex_store *k, uint32_t id)
{
    return (struct entry *)(void *)table_get(&k->entries, id);
}

static void free_entry(struct entry *e)
{
    if (!e)
        return;
    if (e->known)
        vault_put(e->secret);
    else
        cr_dh_free(e->dh);
    free(e);
}

void kex_forget(struct kex_store *k, uint32_t id)
{
    struct entry *e = find(k, id);
    if (e)
        table_take(&k->entries, &e->node);
    free_entry(e);
}

void kex_forget_all(struct kex_store *k)
{
    struct table_one *n;
    while ((n = table_pop_one(&k->entries)) != NULL)
        free_entry((struct entry *)(void *)n);
    table_free(&k->entries);
}

// In a cell of its own length: half-open IKE SAs have one each. *secret goes.
static int keep_secret(struct kex_store *k, struct entry *e, uint8_t *secret, size_t len)
{
    e->known = true;
    e->len = (uint16_t)len;
    e->secret = vault_get(k->vault, len);
    if (e->secret)
        memcpy(e->secret, secret, len);
    vault_put(secret);
    return e->secret ? 0 : -ENOMEM;
}

static int make_secret(struct kex_store *k, struct entry *e, struct slice peer)
{
    _Static_assert((int)CR_SHARED_MAX <= (int)VAULT_CELL, "a secret fits into a cell");
    uint8_t *secret = vault_get(k->vault, CR_SHARED_MAX);
    size_t len = 0;
    int rc = secret ? cr_dh_shared(k->algs, e->dh, peer.p, peer.len, secret, CR_SHARED_MAX, &len) : -ENOMEM;
    cr_dh_free(e->dh);
    e->dh = NULL;
    if (!rc)
        return keep_secret(k, e, secret, len);
    vault_put(secret);
    return rc;
}

// The secret is known before anything goes out.
static int answer(struct kex_store *k, struct entry *e, uint16_t group, struct slice peer, uint8_t *value,
                  size_t *len)
{
    uint8_t *secret = vault_get(k->vault, CR_SHARED_MAX);
    size_t n = 0;
    int rc = secret ? cr_dh_respond(k->algs, group, peer.p, peer.len, value, len, secret, &n) : -ENOMEM;
    if (!rc)
        return keep_secret(k, e, secret, n);
    vault_put(secret);
    return rc;
}

static int offer(struct kex_store *k, struct entry *e, uint16_t group, uint8_t *value, size_t *len)
{
    int rc = cr_dh_new(k->algs, group, &e->dh);
    return rc ? rc : cr_dh_public(e->dh, value, CR_DH_MAX, len);
}

static int begin(struct kex_store *k, uint32_t id, uint16_t group, const struct slice *peer, uint8_t *value,
                 size_t *len)
{
    kex_forget(k, id);
    if (!id || table_count(&k->entries) >= KEX_MAX)
        return id ? -ENOBUFS : -EINVAL;
    struct entry *e = calloc(1, sizeof(*e));
    int rc = !e ? -ENOMEM : peer ? answer(k, e, group, *peer, value, len) : offer(k, e, group, value, len);
    if (!rc && !table_put(&k->entries, &e->node, id))
        rc = -ENOMEM;
    if (rc)
        free_entry(e);
    return rc;
}

int kex_generate(struct kex_store *k, uint32_t id, uint16_t group, uint8_t *value, size_t *len)
{
    return begin(k, id, group, NULL, value, len);
}

int kex_respond(struct kex_store *k, uint32_t id, uint16_t group, struct slice peer, uint8_t *value,
                size_t *len)
{
    return begin(k, id, group, &peer, value, len);
}

int kex_take(struct kex_store *k, uint32_t id, struct slice peer, struct kex_secrets *out)
{
    struct entry *e = find(k, id);
    int rc = !id ? 0 : !e ? -ENOENT : out->count == KEX_LIST ? -E2BIG : 0;
    if (!rc && e && !e->known)
        rc = make_secret(k, e, peer);
    else if (!rc && e && peer.len)
        rc = -EINVAL; // it was answered already, and not to this value
    if (!rc && e) {
        out->s[out->count++] = slice_of(e->secret, e->len);
        e->secret = NULL;
    }
    kex_forget(k, id);
    return rc;
}

int kex_take_list(struct kex_store *k, struct slice list, struct kex_secrets *out)
{
    struct reader r = reader_of(list);
    int rc = 0;
    while (!rc && r.left) {
        uint32_t id = rd_u32(&r);
        struct slice peer = rd_slice16(&r);
        rc = r.bad || !id ? -EINVAL : kex_take(k, id, peer, out);
    }
    return rc;
}

void kex_secrets_wipe(struct kex_secrets *s)
{
    for (unsigned i = 0; i < s->count; i++)
        vault_put((void *)(uintptr_t)s->s[i].p);
    s->count = 0;
}
