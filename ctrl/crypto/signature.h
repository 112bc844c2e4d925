// SPDX-License-Identifier: Apache-2.0
// Digital signatures of the AUTH payload: RFC 7427 (method 14, RSASSA-PSS and PKCS#1, ECDSA), RFC 8420
// (Ed25519, Ed448), RFC 4754 (methods 9 to 11) and RFC 7296 2.15 (method 1). Keys are RSA of 2048 to 8192
// bits, ECDSA on P-256, P-384 and P-521, Ed25519 and Ed448; every other is refused by its name. A public key
// and a signature may come from anybody: both are bounded before anything is computed with them.
#ifndef ESPALIER_CTRL_SIGNATURE_H
#define ESPALIER_CTRL_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctrl/crypto/crypto.h"
#include "espalier/error.h"

enum cr_key_type { CR_KEY_RSA = 1, CR_KEY_ECDSA, CR_KEY_ED25519, CR_KEY_ED448 };

// The registry "IKEv2 Hash Algorithms" (RFC 7427, 8420).
enum {
    CR_HASH_SHA1 = 1,
    CR_HASH_SHA256 = 2,
    CR_HASH_SHA384 = 3,
    CR_HASH_SHA512 = 4,
    CR_HASH_IDENTITY = 5,
};

// The registry "IKEv2 Authentication Method".
enum {
    CR_METHOD_RSA = 1, // RSASSA-PKCS1 with SHA-1
    CR_METHOD_PSK = 2,
    CR_METHOD_ECDSA_256 = 9,
    CR_METHOD_ECDSA_384 = 10,
    CR_METHOD_ECDSA_521 = 11,
    CR_METHOD_SIGNATURE = 14,
};

// X(symbol, name, key type, hash, RSASSA-PSS): what an AUTH payload can be made with. Names are those of
// `auth` in swanctl.conf without its "ike:". SHA-1 is in no default (cr_schemes_default): only `rsa-sha1`
// asks for it.
#define CR_SCHEME_LIST(X)                                                                                    \
    X(RSA_SHA1, "rsa-sha1", RSA, SHA1, false)                                                                \
    X(RSA_SHA256, "rsa-sha256", RSA, SHA256, false)                                                          \
    X(RSA_SHA384, "rsa-sha384", RSA, SHA384, false)                                                          \
    X(RSA_SHA512, "rsa-sha512", RSA, SHA512, false)                                                          \
    X(RSA_PSS_SHA256, "rsa/pss-sha256", RSA, SHA256, true)                                                   \
    X(RSA_PSS_SHA384, "rsa/pss-sha384", RSA, SHA384, true)                                                   \
    X(RSA_PSS_SHA512, "rsa/pss-sha512", RSA, SHA512, true)                                                   \
    X(ECDSA_SHA256, "ecdsa-sha256", ECDSA, SHA256, false)                                                    \
    X(ECDSA_SHA384, "ecdsa-sha384", ECDSA, SHA384, false)                                                    \
    X(ECDSA_SHA512, "ecdsa-sha512", ECDSA, SHA512, false)                                                    \
    X(ED25519, "ed25519", ED25519, IDENTITY, false)                                                          \
    X(ED448, "ed448", ED448, IDENTITY, false)

enum cr_scheme_index {
#define X(sym, name, type, hash, pss) CR_SCHEME_INDEX_##sym,
    CR_SCHEME_LIST(X)
#undef X
        CR_SCHEME_COUNT
};
enum cr_scheme_bit { // a set of schemes is a uint32_t of these
#define X(sym, name, type, hash, pss) CR_SCHEME_##sym = 1 << CR_SCHEME_INDEX_##sym,
    CR_SCHEME_LIST(X)
#undef X
};
struct cr_scheme {
    const char *name;
    uint8_t key_type, hash;
    bool pss;
};
const struct cr_scheme *cr_scheme(enum cr_scheme_index i);
uint32_t cr_schemes_default(void); // all but those with SHA-1
// Schemes that may be used toward a peer which sent these hashes in SIGNATURE_HASH_ALGORITHMS.
uint32_t cr_schemes_with_hashes(const uint16_t *hashes, size_t n);
uint32_t cr_schemes_of_type(enum cr_key_type type);
char *cr_schemes_print(uint32_t schemes, char *buf, size_t size); // "a, b, c"; returns buf

enum { CR_SIG_MAX = 1024 + 128 }; // octets of the longest AUTH value: RSA-8192 with its AlgorithmIdentifier
enum { CR_SIGNED_MAX = 256 * 1024 }; // octets that are signed at once

struct cr_key; // public, or private with its public half
// SubjectPublicKeyInfo, DER, whole. Errors: -EINVAL not one, -ENOTSUP a kind or size of key that is not
// taken.
int cr_key_public(const uint8_t *spki, size_t len, struct cr_key **out, struct esp_error *err);
// PKCS#8, PKCS#1 (RSA) or SEC 1 (EC), DER, unencrypted, whole. What it is instead is named. The two halves of
// the key are tried against each other.
int cr_key_private(const uint8_t *der, size_t len, struct cr_key **out, struct esp_error *err);
void cr_key_free(struct cr_key *k); // wipes
// SHA-1 of the subjectPublicKey bits: subjectKeyIdentifier of most certificates, charon's keyid.
int cr_key_id(const struct cr_key *k, uint8_t out[20]);
// SHA-1 of the whole SubjectPublicKeyInfo: what a CERTREQ names a CA by (RFC 7296 3.7).
int cr_key_info_id(const struct cr_key *k, uint8_t out[20]);
enum cr_key_type cr_key_type(const struct cr_key *k);
unsigned cr_key_bits(const struct cr_key *k); // of the modulus, of the curve's order
const char *cr_key_type_name(enum cr_key_type type);
// Its SubjectPublicKeyInfo; -ENOSPC: cap is too small.
int cr_key_spki(const struct cr_key *k, uint8_t *out, size_t cap, size_t *len);

// What cr_sign would take: among `schemes` and for this key the one whose hash is as strong as the key, the
// next stronger one, or the strongest there is; RSASSA-PSS before PKCS#1. -EACCES: none.
int cr_scheme_choose(const struct cr_key *k, uint32_t schemes, enum cr_scheme_index *out);
// The method toward a peer that did or did not send SIGNATURE_HASH_ALGORITHMS; 0: none can be used.
uint8_t cr_method_for(const struct cr_key *k, bool peer_has_hashes);

// The AUTH payload's value over the parts in a row. Method 14: with the length octet and AlgorithmIdentifier
// of RFC 7427 section 3; 9 to 11: r | s; 1: RSA with SHA-1, where `schemes` has that. -EACCES: no scheme is
// allowed, named.
int cr_sign(const struct cr_key *k, uint32_t schemes, uint8_t method, const struct cr_slice *parts, size_t n,
            uint8_t *out, size_t cap, size_t *len, struct esp_error *err);
// What method 14's AUTH value says that it was made with, for people to read; it proves nothing.
int cr_auth_scheme(const uint8_t *auth, size_t len, enum cr_scheme_index *out);
// -EBADMSG: it is not this key's signature over that; -EACCES: made with a scheme that is not allowed
// (named).
int cr_verify(const struct cr_key *k, uint32_t schemes, uint8_t method, const uint8_t *auth, size_t auth_len,
              const struct cr_slice *parts, size_t n, struct esp_error *err);

#endif
