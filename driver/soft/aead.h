// SPDX-License-Identifier: Apache-2.0
// One AEAD key of the software engine: an OpenSSL context whose key is set once, when the SA is added.
// AES-GCM as RFC 4106 uses it, ChaCha20-Poly1305 as RFC 7634 does: 12-octet nonce; a
// tag of 16 octets, of GCM also of 8 or 12.
#ifndef ESPALIER_SOFT_AEAD_H
#define ESPALIER_SOFT_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "espalier/engine.h"

enum { AEAD_NONCE = 12, AEAD_TAG = 16, AEAD_MAX_TAIL = 17 };

struct aead {
    EVP_CIPHER_CTX *ctx;
    int tag; // octets
};

int aead_init(struct aead *a, enum esp_alg alg, enum esp_dir dir, const uint8_t *key, struct esp_error *err);
void aead_free(struct aead *a); // zeroises the key schedule

// Encrypts in || tail and writes in_len + tail_len and the tag's octets to out, which may be in. 0 or -EIO.
int aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, int aad_len,
              const uint8_t *in, size_t in_len, const uint8_t *tail, size_t tail_len, uint8_t *out);

// Decrypts len octets whose tag follows them. 0, or -EBADMSG and out is wiped.
int aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE], const uint8_t *aad, int aad_len,
              const uint8_t *in, size_t len, uint8_t *out);

#endif
