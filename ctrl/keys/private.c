// SPDX-License-Identifier: Apache-2.0
// The store of private keys: few, so a list in the order of loading.
#include "ctrl/keys/private.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

struct private
{
    struct private *next;
    uint32_t serial;
    uint8_t id[PRIVATE_ID];
    struct cr_key *key;
};
struct private_store {
    struct private *first;
    uint32_t serial;
    unsigned count;
};

struct private_store *private_store_new(void)
{
    return calloc(1, sizeof(struct private_store));
}

static void drop(struct private_store *s, struct private **at)
{
    struct private *p = *at;
    *at = p->next;
    s->count--;
    cr_key_free(p->key);
    free(p);
}

void private_clear(struct private_store *s)
{
    while (s->first)
        drop(s, &s->first);
}

void private_store_free(struct private_store *s)
{
    if (s)
        private_clear(s);
    free(s);
}

static struct private **find(const struct private_store *s, struct slice id)
{
    struct private **at = (struct private **)(uintptr_t)&s->first;
    while (*at && !slice_eq(slice_of((*at)->id, PRIVATE_ID), id))
        at = &(*at)->next;
    return at;
}

const struct cr_key *private_find(const struct private_store *s, struct slice id)
{
    const struct private *p = *find(s, id);
    return p ? p->key : NULL;
}

bool private_unload(struct private_store *s, struct slice id)
{
    struct private **at = find(s, id);
    bool found = *at != NULL;
    if (found)
        drop(s, at);
    return found;
}

static bool type_fits(const char *type, enum cr_key_type is)
{
    return strcasecmp(type, "rsa") == 0     ? is == CR_KEY_RSA
           : strcasecmp(type, "ecdsa") == 0 ? is == CR_KEY_ECDSA
                                            : true;
}

// The end of the list gets it, which owns its key from then on.
static int enter(struct private_store *s, struct cr_key *key, const uint8_t id[PRIVATE_ID],
                 struct esp_error *err)
{
    struct private **end = &s->first;
    if (s->count == PRIVATE_KEYS_MAX)
        return esp_fail(err, -ENOBUFS, "data", "more than %d private keys", PRIVATE_KEYS_MAX);
    struct private *p = calloc(1, sizeof(*p));
    if (!p)
        return esp_fail(err, -ENOMEM, "", "no memory");
    while (*end)
        end = &(*end)->next;
    p->serial = ++s->serial;
    p->key = key;
    memcpy(p->id, id, PRIVATE_ID);
    *end = p;
    s->count++;
    return 0;
}

int private_load(struct private_store *s, const char *type, struct slice der, uint8_t id[PRIVATE_ID],
                 struct esp_error *err)
{
    struct cr_key *key = NULL;
    if (!der.len || der.len > PRIVATE_DER_MAX)
        return esp_fail(err, -EINVAL, "data", "a private key of %zu octets, expected 1 to %d", der.len,
                        PRIVATE_DER_MAX);
    int rc = cr_key_private(der.p, der.len, &key, err);
    if (rc)
        return rc;
    enum cr_key_type is = cr_key_type(key);
    if (!type_fits(type, is))
        rc = esp_fail(err, -EINVAL, "type", "the private key is %s, expected %.15s", cr_key_type_name(is),
                      type);
    if (!rc && cr_key_id(key, id) != 0)
        rc = esp_fail(err, -EINVAL, "data", "the key's identifier could not be made");
    bool known = !rc && *find(s, slice_of(id, PRIVATE_ID));
    if (!rc && !known)
        rc = enter(s, key, id, err);
    if (rc || known)
        cr_key_free(key);
    return rc;
}

uint32_t private_list(const struct private_store *s, uint32_t from,
                      bool (*f)(void *ctx, const uint8_t id[PRIVATE_ID], enum cr_key_type type), void *ctx)
{
    const struct private *p = s->first;
    while (p && p->serial < from)
        p = p->next;
    while (p && f(ctx, p->id, cr_key_type(p->key)))
        p = p->next;
    return p ? p->serial : 0;
}
