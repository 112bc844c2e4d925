// SPDX-License-Identifier: Apache-2.0
// MS-CHAP-V2 (RFC 2759) and its keys (RFC 3079 section 3.4). MD4 and DES come out of OpenSSL's legacy
// provider, which is loaded into a library context of its own, so that nothing else can fetch them.
#ifndef CTRL_CRYPTO_MSCHAPV2_H
#define CTRL_CRYPTO_MSCHAPV2_H

#include <stddef.h>
#include <stdint.h>

enum {
    MSCHAP_CHALLENGE = 16,
    MSCHAP_NT_HASH = 16,
    MSCHAP_RESPONSE = 24,
    MSCHAP_AUTHENTICATOR = 20,
    MSCHAP_MSK = 64,
    MSCHAP_PASSWORD_MAX = 256 // octets of UTF-8, and characters (RFC 2759 8.3)
};

struct mschap;
struct cr_algs;
struct mschap *mschap_new(struct cr_algs *algs); // NULL: no memory, or no legacy provider
void mschap_free(struct mschap *m);
// -EINVAL: the password is too long or no UTF-8.
int mschap_nt_hash(const struct mschap *m, const void *password, size_t len, uint8_t out[MSCHAP_NT_HASH]);
struct mschap_exchange {
    const uint8_t *authenticator_challenge, *peer_challenge; // MSCHAP_CHALLENGE octets each
    const void *user;                                        // without a domain
    size_t user_len;
};
int mschap_response(const struct mschap *m, const struct mschap_exchange *x,
                    const uint8_t nt_hash[MSCHAP_NT_HASH], uint8_t out[MSCHAP_RESPONSE]);
// What the server proves itself by, the octets behind "S=" (8.7).
int mschap_authenticator(const struct mschap *m, const struct mschap_exchange *x,
                         const uint8_t nt_hash[MSCHAP_NT_HASH], const uint8_t response[MSCHAP_RESPONSE],
                         uint8_t out[MSCHAP_AUTHENTICATOR]);
// MasterReceiveKey and MasterSendKey of the server, then zeros.
int mschap_msk(const struct mschap *m, const uint8_t nt_hash[MSCHAP_NT_HASH],
               const uint8_t response[MSCHAP_RESPONSE], uint8_t out[MSCHAP_MSK]);

#endif
