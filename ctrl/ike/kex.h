// SPDX-License-Identifier: Apache-2.0
// One key exchange with its nonces, as every exchange that makes keys has it (RFC 7296
// sections 1.2, 1.3, 2.10, 3.4, 3.9). The private value stays in `keys`, under a number.
#ifndef CTRL_IKE_KEX_H
#define CTRL_IKE_KEX_H

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/message.h"
#include "ctrl/ipc/ipc.h"

struct ike;
struct task;

enum { PEER_NONCE_MIN = 16, PEER_NONCE_MAX = 256 }; // octets (2.10, 3.9)
struct nonce {
    uint16_t len;
    uint8_t n[PEER_NONCE_MAX];
};
struct rekey_race { // simultaneous rekeying (2.8.1, 2.8.2): what the peer's request made, 0: nothing
    uint32_t child_id, ike_id;
    struct nonce lowest;
};
struct kex {
    uint32_t ke_id; // of the private value in keys, 0: none, or used up
    uint16_t group; // 0: no key exchange, the nonces alone
    uint8_t nonce[NONCE_LEN];
    struct nonce peer_nonce;
    uint16_t value_len, peer_len; // public values, ours and the peer's
    uint8_t value[CR_DH_MAX], peer[CR_DH_MAX];
};

// Asks keys for a private value of k->group; the answer is for ike_kex_public: false, it holds none.
void ike_kex_generate(struct task *t, struct kex *k,
                      void (*fn)(struct task *t, enum msg_type type, const union msg *m));
bool ike_kex_public(struct kex *k, enum msg_type type, const union msg *m);
void ike_kex_put(struct pb *b, const struct kex *k); // nonce and KE payload
// The peer's nonce and, where group is not 0, its KE payload. -EPROTO with INVALID_KE_PAYLOAD and the group
// in r where it is for another or lacks, INVALID_SYNTAX where a payload is missing or of a wrong length.
int ike_kex_take(struct kex *k, const struct payloads *pl, uint16_t group, struct refusal *r);
void ike_kex_forget(struct ike *ike, struct kex *k); // what keys still holds of it
// The lower one of both nonces, octet by octet (2.8.1).
void ike_kex_lowest(const struct kex *k, struct nonce *out);
bool nonce_lower(const struct nonce *a, const struct nonce *b);

#endif
