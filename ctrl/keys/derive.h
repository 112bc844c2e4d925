// SPDX-License-Identifier: Apache-2.0
// The key schedule of RFC 7296 sections 2.14, 2.15, 2.17 and 2.18 as plain functions, so that recorded
// exchanges can check it.
#ifndef CTRL_KEYS_DERIVE_H
#define CTRL_KEYS_DERIVE_H

#include "ctrl/crypto/crypto.h"
#include "ctrl/lib/slice.h"

enum { DERIVE_SECRETS_MAX = 8 }; // a first key exchange and seven additional ones

struct ike_secrets { // wiped by whoever owns it
    uint16_t prf;
    uint8_t prf_len;
    uint8_t sk_d[CR_PRF_MAX], sk_pi[CR_PRF_MAX], sk_pr[CR_PRF_MAX];
    uint8_t sk_ai[CR_SK_KEY_MAX], sk_ar[CR_SK_KEY_MAX], sk_ei[CR_SK_KEY_MAX], sk_er[CR_SK_KEY_MAX];
    uint8_t ka_len, ke_len;
};

// old: the IKE SA that is being rekeyed (2.18), NULL for a new one (2.14). shared: the secrets of the key
// exchanges in their order; more than one in a rekey alone (RFC 9370 2.2.2, 2.2.4: additional ones of a new
// IKE SA follow later).
int derive_ike(const struct cr_sk_alg *alg, uint16_t prf, const struct slice *shared, unsigned count,
               struct slice ni, struct slice nr, uint64_t spi_i, uint64_t spi_r,
               const struct ike_secrets *old, struct ike_secrets *out);
// KEYMAT of a CHILD SA (2.17): out gets len octets. No secret: without a key exchange of its own.
int derive_child(const struct ike_secrets *s, const struct slice *shared, unsigned count, struct slice ni,
                 struct slice nr, uint8_t *out, size_t len);
// SK_d, SK_pi and SK_pr with a postquantum preshared key in them: prf+ (PPK, each) (RFC 8784 section 3).
int derive_ppk(const struct ike_secrets *s, struct slice ppk, struct ike_secrets *out);
// prf(SK_p of an end, its ID): what its AUTH covers beside its first message and the other's nonce (2.15).
int derive_maced_id(const struct ike_secrets *s, bool of_initiator, struct slice id_body,
                    uint8_t out[CR_PRF_MAX]);
// AUTH with a shared secret (2.15): message and nonce are what the signing end sent and received.
int derive_psk_auth(const struct ike_secrets *s, bool of_initiator, struct slice psk, struct slice message,
                    struct slice nonce, struct slice id_body, uint8_t out[CR_PRF_MAX]);

#endif
