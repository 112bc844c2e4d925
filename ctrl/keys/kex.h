// SPDX-License-Identifier: Apache-2.0
// Key exchanges by the numbers that ike gave them: a private value that waits for the peer's public one, or
// the secret that an answer to the peer's has already made. Each is used once.
#ifndef CTRL_KEYS_KEX_H
#define CTRL_KEYS_KEX_H

#include "ctrl/keys/derive.h"
#include "ctrl/lib/table.h"

enum {
    KEX_MAX = 1 << 17, // at a time: no ike makes this room grow without bound
    KEX_LIST = DERIVE_SECRETS_MAX
};
struct vault;
struct kex_store { // all zero but for the vault: empty
    struct vault *vault;
    struct table entries;
    struct cr_algs *algs;
};
struct kex_secrets { // in the vault; all zero: none
    struct slice s[KEX_LIST];
    unsigned count;
};

// Both write the public value for the peer (at most CR_DH_MAX octets). An exchange of the same number is
// forgotten.
int kex_generate(struct kex_store *k, uint32_t id, uint16_t group, uint8_t *value, size_t *len);
// As the one who answers: the secret is known from here on. -EBADMSG: the peer's value is not valid.
int kex_respond(struct kex_store *k, uint32_t id, uint16_t group, struct slice peer, uint8_t *value,
                size_t *len);
// The secret of exchange `id`, which is used up whatever comes of it, becomes the next one of the list.
// `peer` is empty where kex_respond has had it. Number 0 adds nothing.
int kex_take(struct kex_store *k, uint32_t id, struct slice peer, struct kex_secrets *out);
// The same for a list of additional exchanges (u32 number, slice16 the peer's value).
int kex_take_list(struct kex_store *k, struct slice list, struct kex_secrets *out);
void kex_secrets_wipe(struct kex_secrets *s);
void kex_forget(struct kex_store *k, uint32_t id);
void kex_forget_all(struct kex_store *k);

#endif
