// SPDX-License-Identifier: Apache-2.0
#include "ctrl/lib/conn_diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/conn_fields.h"

struct diff {
    void (*each)(void *ctx, const char *key);
    void *ctx;
    const char *child; // NULL: of the connection
    const char *last;  // two fields of one key are said once
};

static void say(struct diff *d, bool differs, const char *key)
{
    char text[NAME_MAX_LEN + 64];
    if (!differs || (d->last && strcmp(d->last, key) == 0))
        return;
    d->last = key;
    snprintf(text, sizeof(text), "%s%s%s%s", d->child ? "children." : "", d->child ? d->child : "",
             d->child ? "." : "", key);
    d->each(d->ctx, text);
}

// Where swanctl.conf has another name for it; "": no file says it.
static const char *key_of(const char *field)
{
    static const char *const others[][2] = {
        {"action", "mode"},
        {"copy_dscp_out", "copy_dscp"},
        {"copy_dscp_in", "copy_dscp"},
        {"if_id", "if_id_in"},
        {"fence", ""},
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (strcmp(others[i][0], field) == 0)
            return others[i][1];
    return field;
}

static void number(struct diff *d, const char *field, uint64_t was, uint64_t is)
{
    const char *key = key_of(field);
    say(d, key[0] && was != is, key);
}

static bool same_octets(const void *a, size_t a_len, const void *b, size_t b_len)
{
    return a_len == b_len && (!a_len || memcmp(a, b, a_len) == 0);
}

static bool same_proposals(const struct proposal *a, unsigned a_count, const struct proposal *b,
                           unsigned b_count)
{
    return a_count == b_count &&
           same_octets(a, proposals_octets(a, a_count), b, proposals_octets(b, b_count));
}

static bool same_addrs(const struct addr *a, unsigned a_count, const struct addr *b, unsigned b_count)
{
    return same_octets(a, a_count * sizeof(*a), b, b_count * sizeof(*b));
}

// ---- what the ends are authenticated by

static bool same_blobs(const struct blobs *a, const struct blobs *b)
{
    bool same = a->count == b->count;
    for (unsigned i = 0; same && i < a->count; i++)
        same = slice_eq(blobs_at(a, i), blobs_at(b, i));
    return same;
}

static bool same_side(const struct auth_side *a, const struct auth_side *b)
{
    bool same = strcmp(a->id, b->id) == 0 && a->round == b->round && a->auth == b->auth &&
                a->eap_type == b->eap_type && a->revocation == b->revocation && a->schemes == b->schemes &&
                a->cert_hashes == b->cert_hashes && a->rsa_bits == b->rsa_bits &&
                a->ecdsa_bits == b->ecdsa_bits && same_blobs(&a->certs, &b->certs) &&
                same_blobs(&a->cacerts, &b->cacerts) && same_blobs(&a->pubkeys, &b->pubkeys) &&
                same_blobs(&a->cert_policy, &b->cert_policy);
    for (unsigned i = 0; same && i < AUTH_IDS; i++)
        same = strcmp(auth_id(a, (enum auth_id)i), auth_id(b, (enum auth_id)i)) == 0;
    return same;
}

static bool same_end(const struct conn_config *a, const struct conn_config *b, bool local)
{
    unsigned rounds = conn_rounds(a, local);
    bool same = rounds == conn_rounds(b, local);
    for (unsigned i = 0; same && i < rounds; i++)
        same = same_side(conn_round(a, local, i), conn_round(b, local, i));
    return same;
}

// ---- children

static const struct child_config *child_of(const struct conn_config *c, const char *name)
{
    for (unsigned i = 0; i < c->child_count; i++)
        if (strcmp(c->children[i].name, name) == 0)
            return &c->children[i];
    return NULL;
}

static void diff_child(struct diff *d, const struct child_config *a, const struct child_config *b)
{
    d->child = b->name;
    d->last = NULL;
    say(d, !same_proposals(a->proposals, a->proposal_count, b->proposals, b->proposal_count),
        "esp_proposals");
    say(d, !ts_lists_eq(a->local_ts, b->local_ts), "local_ts");
    say(d, !ts_lists_eq(a->remote_ts, b->remote_ts), "remote_ts");
#define F(bits, field) number(d, #field, a->field, b->field);
    CHILD_SCALARS(F)
#undef F
    say(d, !tunnel_routes_eq(a->route, b->route), "route_metric");
    d->child = NULL;
}

static void only_one_has(struct diff *d, const struct conn_config *all, const struct conn_config *other)
{
    char text[NAME_MAX_LEN + 16];
    for (unsigned i = 0; i < all->child_count; i++) {
        if (child_of(other, all->children[i].name))
            continue;
        snprintf(text, sizeof(text), "children.%s", all->children[i].name);
        d->each(d->ctx, text);
    }
}

// ---- the whole

static bool same_pools(const struct conn_config *a, const struct conn_config *b)
{
    bool same = a->pool_count == b->pool_count;
    for (unsigned i = 0; same && i < a->pool_count; i++)
        same = strcmp(a->pools[i], b->pools[i]) == 0;
    return same;
}

void conn_diff(const struct conn_config *was, const struct conn_config *is,
               void (*each)(void *ctx, const char *key), void *ctx)
{
    struct diff d = {.each = each, .ctx = ctx};
    say(&d, !same_addrs(was->local_addrs, was->local_count, is->local_addrs, is->local_count), "local_addrs");
    say(&d, !same_addrs(was->remote_addrs, was->remote_count, is->remote_addrs, is->remote_count),
        "remote_addrs");
    say(&d, !same_proposals(was->proposals, was->proposal_count, is->proposals, is->proposal_count),
        "proposals");
    say(&d, !same_end(was, is, true), "local");
    say(&d, !same_end(was, is, false), "remote");
#define F(bits, field) number(&d, #field, was->field, is->field);
    CONN_SCALARS(F)
#undef F
    say(&d, strcmp(was->ppk_id, is->ppk_id) != 0, "ppk_id");
    say(&d, !same_addrs(was->vips, was->vip_count, is->vips, is->vip_count), "vips");
    say(&d, !same_pools(was, is), "pools");
    for (unsigned i = 0; i < is->child_count; i++) {
        const struct child_config *before = child_of(was, is->children[i].name);
        if (before)
            diff_child(&d, before, &is->children[i]);
    }
    only_one_has(&d, was, is);
    only_one_has(&d, is, was);
}
