// SPDX-License-Identifier: Apache-2.0
// IKEv2's own cryptography on OpenSSL: PRF and prf+ (RFC 7296 2.13), key exchange groups (RFC 3526, 5903,
// 8031) and the cipher of the SK payload (RFC 7296 3.14, 5282, 5930, 7634). Algorithms are named by their
// IANA transform numbers. Every buffer with a secret in it is wiped by whoever owns it; nothing here logs.
#ifndef ESPALIER_CTRL_CRYPTO_H
#define ESPALIER_CTRL_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CR_PRF_MAX = 64,      // octets of the longest PRF output (HMAC-SHA2-512)
    CR_DH_MAX = 1568,     // octets of the longest value on the wire (ML-KEM-1024)
    CR_SHARED_MAX = 1024, // of the longest shared secret (MODP-8192)
    CR_SK_IV_MAX = 16,    // octets of the longest IV in front of an SK payload's ciphertext
    CR_SK_ICV_MAX = 32,   // octets of the longest tag behind it
    CR_SK_KEY_MAX = 64,   // octets of the longest single key (HMAC-SHA2-512)
};

struct cr_slice {
    const void *data;
    size_t len;
};

// --- OpenSSL's algorithms
// ------------------------------------------------------------------------------------
// Fetching one takes longer than a whole HMAC: a room keeps those that it has asked for. It is given to what
// uses them; NULL instead: nothing is kept, and it takes its time.
struct cr_algs;
struct cr_algs *cr_algs_new(void);    // NULL: no memory
void cr_algs_free(struct cr_algs *a); // when nothing is left that was made with it

// --- PRF
// -----------------------------------------------------------------------------------------------------
// Output length of a PRF, which is also its preferred key length; 0: not known here.
size_t cr_prf_len(uint16_t prf);
struct cr_prf;
const struct cr_prf *cr_prf_find(struct cr_algs *a, uint16_t prf); // lives as long as a; NULL: not known here
uint16_t cr_prf_id(const struct cr_prf *p);
// prf(key, parts[0] | parts[1] | ...) into out (cr_prf_len octets). prf NULL: -EOPNOTSUPP.
int cr_prf(const struct cr_prf *prf, const void *key, size_t key_len, const struct cr_slice *parts,
           size_t nparts, uint8_t *out);
// prf+(key, parts...) stretched to out_len octets (at most 255 blocks).
int cr_prf_plus(const struct cr_prf *prf, const void *key, size_t key_len, const struct cr_slice *parts,
                size_t nparts, uint8_t *out, size_t out_len);

// --- hashes
// --------------------------------------------------------------------------------------------------
int cr_sha1(struct cr_algs *a, const struct cr_slice *parts, size_t nparts, uint8_t out[20]);
int cr_sha256(struct cr_algs *a, const struct cr_slice *parts, size_t nparts, uint8_t out[32]);

// --- key exchange
// --------------------------------------------------------------------------------------------
struct cr_dh;
// Octets of a public value on the wire, which every KE payload of the group has exactly; 0: not known here,
// or the OpenSSL at hand does not have it (ML-KEM comes with 3.5). cr_dh_answer_len: of the answer, which of
// a KEM is a ciphertext.
size_t cr_dh_public_len(uint16_t group);
size_t cr_dh_answer_len(uint16_t group);
bool cr_dh_is_kem(uint16_t group); // whether OpenSSL has it or not
int cr_dh_new(struct cr_algs *a, uint16_t group, struct cr_dh **out);
// The same with a private value given (big endian for MODP and ECP, as RFC 7748 encodes it for X25519 and
// X448): for known-answer tests.
int cr_dh_from_private(struct cr_algs *a, uint16_t group, const uint8_t *priv, size_t len,
                       struct cr_dh **out);
int cr_dh_public(const struct cr_dh *dh, uint8_t *out, size_t cap, size_t *len);
// -EBADMSG: the peer's value is not a valid one of the group.
int cr_dh_shared(struct cr_algs *a, const struct cr_dh *dh, const uint8_t *peer, size_t peer_len,
                 uint8_t *out, size_t cap, size_t *len);
// As the one who answers, of a KEM or not: value for the peer, and the secret. -EBADMSG as above.
int cr_dh_respond(struct cr_algs *a, uint16_t group, const uint8_t *peer, size_t peer_len,
                  uint8_t value[CR_DH_MAX], size_t *value_len, uint8_t secret[CR_SHARED_MAX],
                  size_t *secret_len);
void cr_dh_free(struct cr_dh *dh);

// --- the SK payload's cipher
// ---------------------------------------------------------------------------------
struct cr_sk_alg {
    uint16_t encr, key_bits, integ; // integ 0 (NONE) with an AEAD
};

// Octets of key that the KEYMAT must give (an AEAD's salt included); 0: not known here, or the wrong key
// length.
size_t cr_encr_key_len(uint16_t encr, uint16_t key_bits);
bool cr_encr_is_aead(uint16_t encr);
size_t cr_integ_key_len(uint16_t integ);
// 0, or -EINVAL where the pair cannot protect an SK payload (cipher without integrity, AEAD with it,
// unknown).
int cr_sk_check(const struct cr_sk_alg *alg);

// One direction of one IKE SA. The IV of an AEAD and of AES-CTR is a counter, so one of these exists per key
// and is never copied.
struct cr_sk;
int cr_sk_new(struct cr_algs *a, const struct cr_sk_alg *alg, const uint8_t *ke, size_t ke_len,
              const uint8_t *ka, size_t ka_len, struct cr_sk **out);
void cr_sk_free(struct cr_sk *sk);
// Octets from IV to tag for plain_len octets of inner payloads.
size_t cr_sk_sealed_len(const struct cr_sk *sk, size_t plain_len);
// msg[0 .. head_len) is the message up to and including the SK payload's generic header, with the lengths
// already set; IV, ciphertext (inner, padding, pad length) and tag are appended. Needs cr_sk_sealed_len more
// octets in cap.
int cr_sk_seal(struct cr_sk *sk, uint8_t *msg, size_t head_len, const uint8_t *inner, size_t inner_len,
               size_t cap);
// Checks and decrypts msg[head_len .. len) into out (at least len - head_len octets). -EBADMSG: it is not
// what the peer sealed, or its padding is not plausible.
int cr_sk_open(struct cr_sk *sk, const uint8_t *msg, size_t head_len, size_t len, uint8_t *out,
               size_t *out_len);

// --- randomness
// ----------------------------------------------------------------------------------------------
int cr_random(void *out, size_t len);

#endif
