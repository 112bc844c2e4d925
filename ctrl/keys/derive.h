// SPDX-License-Identifier: Apache-2.0
// The key schedule of RFC 7296 sections 2.14, 2.15, 2.17 and 2.18 as plain functions, so that recorded
// exchanges can check it.
#ifndef CTRL_KEYS_DERIVE_H
#define CTRL_KEYS_DERIVE_H

#include "ctrl/crypto/crypto.h"
#include "ctrl/lib/slice.h"

enum { DERIVE_SECRETS_MAX = 8 }; // a first key exchange and seven additional ones

struct ike_secrets { // wiped by whoever owns it
    const struct cr_prf *prf;
    uint8_t prf_len, ka_len, ke_len;
    uint8_t intermediates; // N of the exchanges below; 0: AUTH is that of RFC 7296
    uint8_t sk_d[CR_PRF_MAX];
    // --- until both ends are proven, and no longer: an IKE SA that stays has no room for these
    uint8_t sk_pi[CR_PRF_MAX], sk_pr[CR_PRF_MAX];
    uint8_t sk_ai[CR_SK_KEY_MAX], sk_ar[CR_SK_KEY_MAX], sk_ei[CR_SK_KEY_MAX], sk_er[CR_SK_KEY_MAX];
    // What the IKE_INTERMEDIATE exchanges so far add to AUTH (RFC 9242 3.3.1): IntAuth_iN and IntAuth_rN.
    uint8_t int_i[CR_PRF_MAX], int_r[CR_PRF_MAX];
};
enum { INT_AUTH_MAX = 2 * CR_PRF_MAX + 4 };

// old: the IKE SA that is being rekeyed (2.18), NULL for a new one (2.14). shared: the secrets of the key
// exchanges in their order; more than one in a rekey alone (RFC 9370 2.2.2, 2.2.4: additional ones of a new
// IKE SA follow later).
int derive_ike(const struct cr_sk_alg *alg, const struct cr_prf *prf, const struct slice *shared,
               unsigned count, struct slice ni, struct slice nr, uint64_t spi_i, uint64_t spi_r,
               const struct ike_secrets *old, struct ike_secrets *out);
// One IKE_INTERMEDIATE exchange (RFC 9242 3.3.1) with a key exchange (RFC 9370 2.2.2), a postquantum
// preshared key (RFC 9867 3.2), which comes behind it, both or neither: `request` and `response` are what
// goes into IntAuth of its messages. old's SK_p authenticate them, `shared` and `ppk` make the keys from then
// on.
int derive_intermediate(const struct cr_sk_alg *alg, struct slice shared, struct slice ppk, struct slice ni,
                        struct slice nr, uint64_t spi_i, uint64_t spi_r, struct slice request,
                        struct slice response, const struct ike_secrets *old, struct ike_secrets *out);
enum { PPK_CONFIRMATION = 8 };
// That an end knows the PPK (RFC 9867 3.2): the beginning of prf(PPK, Ni | Nr | SPIi | SPIr).
int derive_ppk_confirmation(const struct cr_prf *prf, struct slice ppk, struct slice ni, struct slice nr,
                            uint64_t spi_i, uint64_t spi_r, uint8_t out[PPK_CONFIRMATION]);
// IntAuth_iN | IntAuth_rN | IKE_AUTH_MID behind the other octets that AUTH covers; empty without
// intermediates.
size_t derive_int_auth(const struct ike_secrets *s, uint8_t out[INT_AUTH_MAX]);
// KEYMAT of a CHILD SA (2.17): out gets len octets. No secret: without a key exchange of its own.
int derive_child(const struct ike_secrets *s, const struct slice *shared, unsigned count, struct slice ni,
                 struct slice nr, uint8_t *out, size_t len);
// SK_d, SK_pi and SK_pr with a postquantum preshared key in them: prf+ (PPK, each) (RFC 8784 section 3).
int derive_ppk(const struct ike_secrets *s, struct slice ppk, struct ike_secrets *out);
// All keys of an IKE SA that is resumed, from SK_d of the one before and both nonces (RFC 5723 5.1).
int derive_resumed(const struct cr_sk_alg *alg, const struct cr_prf *prf, struct slice old_sk_d,
                   struct slice ni, struct slice nr, uint64_t spi_i, uint64_t spi_r, struct ike_secrets *out);
// AUTH of an end of such a one: prf(SK_p of that end, what AUTH covers) (RFC 5723 4.3.3). message_alone: as
// libreswan 5.2 has it, where that is the end's first message and nothing else.
int derive_resumed_auth(const struct ike_secrets *s, bool of_initiator, bool message_alone,
                        struct slice message, struct slice nonce, struct slice id_body,
                        uint8_t out[CR_PRF_MAX]);
// prf(SK_p of an end, its ID): what its AUTH covers beside its first message and the other's nonce (2.15).
int derive_maced_id(const struct ike_secrets *s, bool of_initiator, struct slice id_body,
                    uint8_t out[CR_PRF_MAX]);
// AUTH with a shared secret (2.15): message and nonce are what the signing end sent and received.
int derive_psk_auth(const struct ike_secrets *s, bool of_initiator, struct slice psk, struct slice message,
                    struct slice nonce, struct slice id_body, uint8_t out[CR_PRF_MAX]);

#endif
