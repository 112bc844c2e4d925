// SPDX-License-Identifier: Apache-2.0
// What an exchange that makes keys brings for them: both nonces and up to eight key exchanges, a first one
// and additional ones (RFC 7296 sections 1.2, 1.3, 2.10, 3.4, 3.9; RFC 9370). IKE_SA_INIT with its
// IKE_INTERMEDIATEs has one such, and CREATE_CHILD_SA with its IKE_FOLLOWUP_KEs. Private values and secrets
// stay in `keys`, each under a number.
#ifndef CTRL_IKE_KEX_H
#define CTRL_IKE_KEX_H

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/message.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/transforms.h"

struct ike;
struct suite;
struct task;

enum { PEER_NONCE_MIN = 16, PEER_NONCE_MAX = 256 }; // octets (2.10, 3.9)
struct nonce {
    uint16_t len;
    uint8_t n[PEER_NONCE_MAX];
};
struct rekey_race { // simultaneous rekeying (2.8.1, 2.8.2): what the peer's request made, 0: nothing
    uint32_t child_id, ike_id;
    bool taken_back; // by the peer: nothing any more
    struct nonce lowest;
};
enum { KEX_MORE_MAX = ADDKE_MAX * (4 + 2 + CR_DH_MAX) };
struct key_exchange {
    uint32_t ke_id;    // in keys; 0: none, or used up
    uint16_t group;    // 0: none
    struct slice peer; // the peer's value; empty where keys has had it
    uint8_t *kept;     // where that is a copy
};
struct kex {
    uint8_t nonce[NONCE_LEN];
    struct slice peer_nonce; // in `kept`, or in a message that its owner keeps
    uint8_t *kept;
    uint8_t *value; // ours of the exchange at work, until it has been sent; of value_len octets
    uint8_t *link;  // what the peer wants back with the next IKE_FOLLOWUP_KE; of link_len octets
    struct key_exchange first;
    struct key_exchange *more; // the additional ones in their order, ADDKE_MAX; NULL: none was begun
    uint16_t value_len, link_len;
    uint8_t added; // of the additional ones: those that are done
};

bool ike_kex_room(struct kex *k); // for additional ones, before the first of them begins; false: no memory
// The one at work, behind `added` additional ones.
static inline struct key_exchange *ike_kex_next(struct kex *k)
{
    return &k->more[k->added < ADDKE_MAX ? k->added : ADDKE_MAX - 1];
}

typedef void (*kex_fn)(struct task *t, enum msg_type type, const union msg *m);
// Asks keys for a value to send: as the one who begins, and as the one who answers the peer's. The answer is
// for ike_kex_public: false, it holds none, or there is no memory.
void ike_kex_generate(struct task *t, struct key_exchange *e, uint16_t group, kex_fn fn);
void ike_kex_respond(struct task *t, struct key_exchange *e, uint16_t group, kex_fn fn);
bool ike_kex_public(struct kex *k, enum msg_type type, const union msg *m);
void ike_kex_put(struct pb *b, const struct kex *k); // nonce and KE payload of the first one
// The peer's nonce and, where group is not 0, its KE payload; answered: it is one to ours. -EPROTO with
// INVALID_KE_PAYLOAD and the group in r where it is for another or lacks, INVALID_SYNTAX where a payload is
// missing or of a wrong length, TEMPORARY_FAILURE without memory.
int ike_kex_take(struct kex *k, const struct payloads *pl, uint16_t group, bool answered, struct refusal *r);
// Likewise the one KE payload of an additional exchange.
int ike_kex_take_more(struct kex *k, const struct payloads *pl, uint16_t group, bool answered,
                      struct refusal *r);
static inline struct slice ike_kex_value(const struct kex *k)
{
    return slice_of(k->value, k->value_len);
}
bool ike_kex_keep_link(struct kex *k, struct slice link); // false: no memory
static inline struct slice ike_kex_link(const struct kex *k)
{
    return slice_of(k->link, k->link_len);
}
// Nonces as the initiator and the responder of the exchange sent them.
struct slice ike_kex_ni(const struct kex *k, bool initiator);
struct slice ike_kex_nr(const struct kex *k, bool initiator);
// The additional exchanges for keys (messages.h: IKE_DERIVE), which uses them all up.
struct slice ike_kex_more(const struct kex *k, uint8_t buf[KEX_MORE_MAX]);
void ike_kex_used(struct kex *k);                    // keys has them all
void ike_kex_forget(struct ike *ike, struct kex *k); // what keys still holds, and all copies
// The lower one of both nonces, octet by octet (2.8.1).
void ike_kex_lowest(const struct kex *k, struct nonce *out);
bool nonce_lower(const struct nonce *a, const struct nonce *b);

#endif
