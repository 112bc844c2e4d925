// SPDX-License-Identifier: Apache-2.0
// What an SA of the software engine does to the payload of an ESP packet: an AEAD (GCM, CCM,
// ChaCha20-Poly1305), or a cipher with an integrity algorithm beside it (CBC, CTR, NULL with HMAC; GMAC).
// Contexts are keyed once, when the SA is added (ipsec-mb: when it first has a packet); per packet only the
// IV is set. RFC 4303 sections 2.2.1 and 3.3.2, RFC 4106, RFC 4309, RFC 7634, RFC 4543, RFC 3602, RFC 3686,
// RFC 2410.
#ifndef ESPALIER_SOFT_CRYPT_H
#define ESPALIER_SOFT_CRYPT_H

#include "driver/soft/aead.h"
#include "driver/soft/mac.h"
#include "driver/soft/mb.h"

enum { ESP_HEADER = 8, CRYPT_MAX_IV = 16, CRYPT_MAX_TAIL = 17 };

struct crypt;
struct crypt_seal { // one packet on its way out
    uint8_t *esp;   // its header, behind which IV, ciphertext and ICV are written
    uint64_t seq;
    const uint8_t *payload; // elsewhere, or where its ciphertext will be
    const uint8_t *tail;    // padding, its length, next header
    uint32_t payload_len, tail_len;
};
struct crypt_ops {
    int (*init)(struct crypt *c, const struct esp_sa_params *p, struct esp_error *err);
    int (*seal)(struct crypt *c, const struct crypt_seal *s);
    int (*open)(struct crypt *c, const uint8_t *esp, uint32_t len, uint64_t seq, uint8_t *plain);
};
struct iv_source;
struct crypt {
    const struct crypt_ops *ops;
    uint8_t iv, icv, align; // octets; align: what the ciphertext is a multiple of
    bool esn;
    uint8_t salt[4];
    union {
        struct mb_gcm gcm; // GCM by ipsec-mb: crypt_mb; else OpenSSL does all
        struct {
            struct aead aead;      // GCM, ChaCha20-Poly1305
            EVP_CIPHER_CTX *ctx;   // CCM, CBC, CTR
            struct mac mac;        // beside CBC, CTR, NULL; GMAC
            struct iv_source *ivs; // of CBC, out
        };
    };
};

// mb: NULL, or ipsec-mb, which outlives it, for what it does.
int crypt_init(struct crypt *c, const struct esp_sa_params *p, struct mb *mb, struct esp_error *err);
void crypt_free(struct crypt *c); // zeroises all keys

// 0 or -EIO, and what was written behind the header is wiped.
static inline int crypt_seal(struct crypt *c, const struct crypt_seal *s)
{
    return c->ops->seal(c, s);
}

// esp: the header, IV, len octets of ciphertext, ICV. 0, or -EBADMSG and nothing of the plaintext is left in
// `plain`.
static inline int crypt_open(struct crypt *c, const uint8_t *esp, uint32_t len, uint64_t seq, uint8_t *plain)
{
    return c->ops->open(c, esp, len, seq, plain);
}

// ipsec-mb, where it seals packets in less time than OpenSSL, or NULL.
struct mb *crypt_mb_if_faster(void);

// ---- for the files that implement it
extern const struct crypt_ops crypt_aead, crypt_mb, crypt_ccm, crypt_gmac, crypt_encr_integ;
// The AAD of an AEAD: with ESN the whole 64-bit number is in it (RFC 4106 section 5). Returns its octets.
int crypt_aad(const struct crypt *c, const uint8_t *esp, uint64_t seq, uint8_t aad[12]);
// Sixteen octets that nobody can foretell, an IV of AES-CBC. 0 or -EIO.
int crypt_next_iv(struct crypt *c, uint8_t iv[CRYPT_MAX_IV]);
int crypt_ivs_init(struct crypt *c);
void crypt_ivs_free(struct crypt *c);

#endif
