// SPDX-License-Identifier: Apache-2.0
// Nonces and KE payloads, and the order of nonces that settles simultaneous rekeying (RFC 7296
// section 2.8.1).
#include "ctrl/ike/kex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ipc/ipc.h"

// A copy of its own in place of the last; false: no memory.
static bool copy(struct slice from, uint8_t **kept)
{
    uint8_t *p = malloc(from.len ? from.len : 1);
    if (!p)
        return false;
    if (from.len)
        memcpy(p, from.p, from.len);
    free(*kept);
    *kept = p;
    return true;
}

static bool keep(struct slice from, uint8_t **kept, struct slice *out)
{
    if (!copy(from, kept))
        return false;
    *out = slice_of(*kept, from.len);
    return true;
}

static bool keep_short(struct slice from, uint8_t **kept, uint16_t *len)
{
    if (from.len > UINT16_MAX || !copy(from, kept))
        return false;
    *len = (uint16_t)from.len;
    return true;
}

static void forget(struct ike *ike, const struct key_exchange *e)
{
    if (e->ke_id)
        ipc_send(ike->chan[ROOM_KEYS], MSG_KE_FORGET, &(struct msg_KE_FORGET){.ke_id = e->ke_id});
}

static void drop(struct ike *ike, struct key_exchange *e)
{
    forget(ike, e);
    free(e->kept);
    memset(e, 0, sizeof(*e));
}

bool ike_kex_room(struct kex *k)
{
    if (!k->more)
        k->more = calloc(ADDKE_MAX, sizeof(*k->more));
    return k->more;
}

void ike_kex_generate(struct task *t, struct key_exchange *e, uint16_t group, kex_fn fn)
{
    struct ike *ike = t->sa->ike;
    forget(ike, e);
    e->group = group;
    e->ke_id = ++ike->next_ke;
    struct msg_KE_GENERATE q = {.req = ask_new(t, fn), .ke_id = e->ke_id, .group = group};
    ask(ike, ROOM_KEYS, q.req, MSG_KE_GENERATE, &q);
}

void ike_kex_respond(struct task *t, struct key_exchange *e, uint16_t group, kex_fn fn)
{
    struct ike *ike = t->sa->ike;
    e->group = group;
    e->ke_id = ++ike->next_ke;
    struct msg_KE_RESPOND q = {
        .req = ask_new(t, fn), .ke_id = e->ke_id, .group = group, .peer_public = e->peer};
    e->peer = slice_of(NULL, 0); // keys has it from here on
    ask(ike, ROOM_KEYS, q.req, MSG_KE_RESPOND, &q);
}

bool ike_kex_public(struct kex *k, enum msg_type type, const union msg *m)
{
    return type == MSG_KE_PUBLIC && keep_short(m->KE_PUBLIC.value, &k->value, &k->value_len);
}

void ike_kex_put(struct pb *b, const struct kex *k)
{
    pb_payload(b, PL_NONCE, slice_of(k->nonce, NONCE_LEN));
    if (k->first.group)
        pb_ke(b, k->first.group, ike_kex_value(k));
}

static int no_memory(struct refusal *r)
{
    return refuse(r, N_TEMPORARY_FAILURE, "KE", "no memory");
}

static int take_value(struct key_exchange *e, const struct payload *p, uint16_t group, bool answered,
                      struct refusal *r)
{
    struct ke ke = {0};
    size_t want = answered ? cr_dh_answer_len(group) : cr_dh_public_len(group);
    if (p && !ke_read(p->body, &ke))
        return refuse(r, N_INVALID_SYNTAX, "KE", "the KE payload is malformed (RFC 7296 3.4)");
    if (!p || ke.group != group) {
        refuse(r, N_INVALID_KE_PAYLOAD, "KE",
               "the KE payload is for group %u, the proposal asks for %u (RFC 7296 1.3)", ke.group, group);
        r->data[0] = (uint8_t)(group >> 8);
        r->data[1] = (uint8_t)group;
        r->data_len = 2;
        return -EPROTO;
    }
    if (ke.value.len != want)
        return refuse(r, N_INVALID_SYNTAX, "KE",
                      "a value of %zu octets for group %u, expected %zu (RFC 7296 3.4)", ke.value.len, group,
                      want);
    return keep(ke.value, &e->kept, &e->peer) ? 0 : no_memory(r);
}

int ike_kex_take(struct kex *k, const struct payloads *pl, uint16_t group, bool answered, struct refusal *r)
{
    const struct payload *no = payload_find(pl, PL_NONCE), *p = payload_find(pl, PL_KE);
    struct ke ke;
    if (!no || payload_count(pl, PL_NONCE) != 1 || no->body.len < PEER_NONCE_MIN ||
        no->body.len > PEER_NONCE_MAX)
        return refuse(r, N_INVALID_SYNTAX, "No", "one nonce of %d to %d octets is needed (RFC 7296 3.9)",
                      PEER_NONCE_MIN, PEER_NONCE_MAX);
    if (payload_count(pl, PL_KE) > 1 || (p && !ke_read(p->body, &ke)))
        return refuse(r, N_INVALID_SYNTAX, "KE", "the KE payload is malformed, or not alone (RFC 7296 3.4)");
    if (!keep(no->body, &k->kept, &k->peer_nonce))
        return no_memory(r);
    k->first.peer = slice_of(NULL, 0);
    // one that comes without a group is for one that was not chosen
    return group ? take_value(&k->first, p, group, answered, r) : 0;
}

int ike_kex_take_more(struct kex *k, const struct payloads *pl, uint16_t group, bool answered,
                      struct refusal *r)
{
    if (payload_count(pl, PL_KE) > 1)
        return refuse(r, N_INVALID_SYNTAX, "KE", "more than one KE payload (RFC 9370 2.2.2)");
    return take_value(ike_kex_next(k), payload_find(pl, PL_KE), group, answered, r);
}

bool ike_kex_keep_link(struct kex *k, struct slice link)
{
    return keep_short(link, &k->link, &k->link_len);
}

struct slice ike_kex_ni(const struct kex *k, bool initiator)
{
    return initiator ? slice_of(k->nonce, NONCE_LEN) : k->peer_nonce;
}

struct slice ike_kex_nr(const struct kex *k, bool initiator)
{
    return ike_kex_ni(k, !initiator);
}

struct slice ike_kex_more(const struct kex *k, uint8_t buf[KEX_MORE_MAX])
{
    struct writer w = writer_of(buf, KEX_MORE_MAX);
    for (unsigned i = 0; i < k->added && i < ADDKE_MAX; i++) {
        wr_u32(&w, k->more[i].ke_id);
        wr_u16(&w, (uint16_t)k->more[i].peer.len);
        wr_bytes(&w, k->more[i].peer.p, k->more[i].peer.len);
    }
    return wr_written(&w);
}

void ike_kex_used(struct kex *k)
{
    k->first.ke_id = 0;
    for (unsigned i = 0; k->more && i < ADDKE_MAX; i++)
        k->more[i].ke_id = 0;
}

void ike_kex_forget(struct ike *ike, struct kex *k)
{
    drop(ike, &k->first);
    for (unsigned i = 0; k->more && i < ADDKE_MAX; i++)
        drop(ike, &k->more[i]);
    free(k->more);
    k->more = NULL;
    free(k->kept);
    free(k->value);
    free(k->link);
    k->kept = k->value = k->link = NULL;
    k->peer_nonce = slice_of(NULL, 0);
    k->value_len = k->link_len = 0;
    k->added = 0;
}

bool nonce_lower(const struct nonce *a, const struct nonce *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int d = memcmp(a->n, b->n, n);
    return d ? d < 0 : a->len < b->len;
}

static struct nonce nonce_of(struct slice s)
{
    struct nonce n = {.len = (uint16_t)(s.len < PEER_NONCE_MAX ? s.len : PEER_NONCE_MAX)};
    memcpy(n.n, s.p, n.len);
    return n;
}

void ike_kex_lowest(const struct kex *k, struct nonce *out)
{
    struct nonce own = nonce_of(slice_of(k->nonce, NONCE_LEN)), peer = nonce_of(k->peer_nonce);
    *out = nonce_lower(&own, &peer) ? own : peer;
}
