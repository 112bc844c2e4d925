// SPDX-License-Identifier: Apache-2.0
// Nonces and KE payloads, and the order of nonces that settles simultaneous rekeying (RFC 7296
// section 2.8.1).
#include "ctrl/ike/kex.h"

#include <errno.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ipc/ipc.h"

void ike_kex_generate(struct task *t, struct kex *k, reply_fn fn)
{
    struct ike *ike = t->sa->ike;
    k->ke_id = ++ike->next_ke;
    struct msg_KE_GENERATE q = {.req = ask_new(t, fn), .ke_id = k->ke_id, .group = k->group};
    ask(ike, ROOM_KEYS, q.req, MSG_KE_GENERATE, &q);
}

bool ike_kex_public(struct kex *k, enum msg_type type, const union msg *m)
{
    if (type != MSG_KE_PUBLIC || m->KE_PUBLIC.value.len > sizeof(k->value))
        return false;
    k->value_len = (uint16_t)m->KE_PUBLIC.value.len;
    memcpy(k->value, m->KE_PUBLIC.value.p, k->value_len);
    return true;
}

void ike_kex_put(struct pb *b, const struct kex *k)
{
    pb_payload(b, PL_NONCE, slice_of(k->nonce, NONCE_LEN));
    if (k->group)
        pb_ke(b, k->group, slice_of(k->value, k->value_len));
}

int ike_kex_take(struct kex *k, const struct payloads *pl, uint16_t group, struct refusal *r)
{
    const struct payload *no = payload_find(pl, PL_NONCE), *p = payload_find(pl, PL_KE);
    struct ke ke = {0};
    if (!no || payload_count(pl, PL_NONCE) != 1 || no->body.len < PEER_NONCE_MIN ||
        no->body.len > PEER_NONCE_MAX)
        return refuse(r, N_INVALID_SYNTAX, "No", "one nonce of %d to %d octets is needed (RFC 7296 3.9)",
                      PEER_NONCE_MIN, PEER_NONCE_MAX);
    if (payload_count(pl, PL_KE) > 1 || (p && !ke_read(p->body, &ke)))
        return refuse(r, N_INVALID_SYNTAX, "KE", "the KE payload is malformed, or not alone (RFC 7296 3.4)");
    k->peer_nonce.len = (uint16_t)no->body.len;
    memcpy(k->peer_nonce.n, no->body.p, no->body.len);
    k->peer_len = 0;
    if (!group)
        return 0; // one that came all the same is for a group that was not chosen
    if (!p || ke.group != group) {
        refuse(r, N_INVALID_KE_PAYLOAD, "KE",
               "the KE payload is for group %u, the proposal asks for %u (RFC 7296 1.3)", ke.group, group);
        r->data[0] = (uint8_t)(group >> 8);
        r->data[1] = (uint8_t)group;
        r->data_len = 2;
        return -EPROTO;
    }
    if (ke.value.len != cr_dh_public_len(group) || ke.value.len > sizeof(k->peer))
        return refuse(r, N_INVALID_SYNTAX, "KE",
                      "a value of %zu octets for group %u, expected %zu (RFC 7296 3.4)", ke.value.len, group,
                      cr_dh_public_len(group));
    k->peer_len = (uint16_t)ke.value.len;
    memcpy(k->peer, ke.value.p, ke.value.len);
    return 0;
}

void ike_kex_forget(struct ike *ike, struct kex *k)
{
    if (k->ke_id)
        ipc_send(ike->chan[ROOM_KEYS], MSG_KE_FORGET, &(struct msg_KE_FORGET){.ke_id = k->ke_id});
    k->ke_id = 0;
}

bool nonce_lower(const struct nonce *a, const struct nonce *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int d = memcmp(a->n, b->n, n);
    return d ? d < 0 : a->len < b->len;
}

void ike_kex_lowest(const struct kex *k, struct nonce *out)
{
    struct nonce own = {.len = NONCE_LEN};
    memcpy(own.n, k->nonce, NONCE_LEN);
    *out = nonce_lower(&own, &k->peer_nonce) ? own : k->peer_nonce;
}
