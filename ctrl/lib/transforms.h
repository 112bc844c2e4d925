// SPDX-License-Identifier: Apache-2.0
// The registry of IKEv2 transforms (RFC 7296 section 3.3.2 and IANA "IKEv2 Parameters"): one list makes the
// numbers, the swanctl keywords and the names in logs and VICI output.
#ifndef CTRL_TRANSFORMS_H
#define CTRL_TRANSFORMS_H

#include <stdbool.h>
#include <stdint.h>

enum transform_type {
    TR_ENCR = 1,
    TR_PRF = 2,
    TR_INTEG = 3,
    TR_KE = 4,
    TR_ESN = 5,
    TR_ADDKE1 = 6,
    TR_ADDKE7 = 12
};
enum { ADDKE_MAX = TR_ADDKE7 - TR_ADDKE1 + 1 }; // additional key exchanges (RFC 9370): any of type KE

// clang-format off
// X(symbol, type, IANA id, key bits attribute or 0, swanctl keyword, charon's name)
#define TRANSFORM_LIST(X)                                                                                    \
    X(AES128_CBC, TR_ENCR, 12, 128, "aes128", "AES_CBC")                                                     \
    X(AES192_CBC, TR_ENCR, 12, 192, "aes192", "AES_CBC")                                                     \
    X(AES256_CBC, TR_ENCR, 12, 256, "aes256", "AES_CBC")                                                     \
    X(AES128_CTR, TR_ENCR, 13, 128, "aes128ctr", "AES_CTR")                                                  \
    X(AES192_CTR, TR_ENCR, 13, 192, "aes192ctr", "AES_CTR")                                                  \
    X(AES256_CTR, TR_ENCR, 13, 256, "aes256ctr", "AES_CTR")                                                  \
    X(AES128_GCM8, TR_ENCR, 18, 128, "aes128gcm8", "AES_GCM_8")                                              \
    X(AES192_GCM8, TR_ENCR, 18, 192, "aes192gcm8", "AES_GCM_8")                                              \
    X(AES256_GCM8, TR_ENCR, 18, 256, "aes256gcm8", "AES_GCM_8")                                              \
    X(AES128_GCM12, TR_ENCR, 19, 128, "aes128gcm12", "AES_GCM_12")                                           \
    X(AES192_GCM12, TR_ENCR, 19, 192, "aes192gcm12", "AES_GCM_12")                                           \
    X(AES256_GCM12, TR_ENCR, 19, 256, "aes256gcm12", "AES_GCM_12")                                           \
    X(AES128_GCM16, TR_ENCR, 20, 128, "aes128gcm16", "AES_GCM_16")                                           \
    X(AES192_GCM16, TR_ENCR, 20, 192, "aes192gcm16", "AES_GCM_16")                                           \
    X(AES256_GCM16, TR_ENCR, 20, 256, "aes256gcm16", "AES_GCM_16")                                           \
    X(CHACHA20_POLY1305, TR_ENCR, 28, 0, "chacha20poly1305", "CHACHA20_POLY1305")                            \
    X(ESP_NULL, TR_ENCR, 11, 0, "null", "NULL") \
    X(AES128_CCM8, TR_ENCR, 14, 128, "aes128ccm8", "AES_CCM_8") \
    X(AES192_CCM8, TR_ENCR, 14, 192, "aes192ccm8", "AES_CCM_8") \
    X(AES256_CCM8, TR_ENCR, 14, 256, "aes256ccm8", "AES_CCM_8") \
    X(AES128_CCM12, TR_ENCR, 15, 128, "aes128ccm12", "AES_CCM_12") \
    X(AES192_CCM12, TR_ENCR, 15, 192, "aes192ccm12", "AES_CCM_12") \
    X(AES256_CCM12, TR_ENCR, 15, 256, "aes256ccm12", "AES_CCM_12") \
    X(AES128_CCM16, TR_ENCR, 16, 128, "aes128ccm16", "AES_CCM_16") \
    X(AES192_CCM16, TR_ENCR, 16, 192, "aes192ccm16", "AES_CCM_16") \
    X(AES256_CCM16, TR_ENCR, 16, 256, "aes256ccm16", "AES_CCM_16") \
    X(AES128_GMAC, TR_ENCR, 21, 128, "aes128gmac", "NULL_AES_GMAC") \
    X(AES192_GMAC, TR_ENCR, 21, 192, "aes192gmac", "NULL_AES_GMAC") \
    X(AES256_GMAC, TR_ENCR, 21, 256, "aes256gmac", "NULL_AES_GMAC") \
    X(PRF_HMAC_SHA1, TR_PRF, 2, 0, "prfsha1", "PRF_HMAC_SHA1")                                               \
    X(PRF_HMAC_SHA2_256, TR_PRF, 5, 0, "prfsha256", "PRF_HMAC_SHA2_256")                                     \
    X(PRF_HMAC_SHA2_384, TR_PRF, 6, 0, "prfsha384", "PRF_HMAC_SHA2_384")                                     \
    X(PRF_HMAC_SHA2_512, TR_PRF, 7, 0, "prfsha512", "PRF_HMAC_SHA2_512")                                     \
    X(HMAC_SHA1_96, TR_INTEG, 2, 0, "sha1", "HMAC_SHA1_96")                                                  \
    X(HMAC_SHA2_256_128, TR_INTEG, 12, 0, "sha256", "HMAC_SHA2_256_128")                                     \
    X(HMAC_SHA2_384_192, TR_INTEG, 13, 0, "sha384", "HMAC_SHA2_384_192")                                     \
    X(HMAC_SHA2_512_256, TR_INTEG, 14, 0, "sha512", "HMAC_SHA2_512_256")                                     \
    X(AH_AES128_GMAC, TR_INTEG, 9, 0, "ah-aes128gmac", "AES_128_GMAC") \
    X(AH_AES192_GMAC, TR_INTEG, 10, 0, "ah-aes192gmac", "AES_192_GMAC") \
    X(AH_AES256_GMAC, TR_INTEG, 11, 0, "ah-aes256gmac", "AES_256_GMAC") \
    X(KE_NONE, TR_KE, 0, 0, "none", "MODP_NONE")                                                             \
    X(MODP_2048, TR_KE, 14, 0, "modp2048", "MODP_2048")                                                      \
    X(MODP_3072, TR_KE, 15, 0, "modp3072", "MODP_3072")                                                      \
    X(MODP_4096, TR_KE, 16, 0, "modp4096", "MODP_4096")                                                      \
    X(MODP_6144, TR_KE, 17, 0, "modp6144", "MODP_6144")                                                      \
    X(MODP_8192, TR_KE, 18, 0, "modp8192", "MODP_8192")                                                      \
    X(ECP_256, TR_KE, 19, 0, "ecp256", "ECP_256")                                                            \
    X(ECP_384, TR_KE, 20, 0, "ecp384", "ECP_384")                                                            \
    X(ECP_521, TR_KE, 21, 0, "ecp521", "ECP_521")                                                            \
    X(CURVE_25519, TR_KE, 31, 0, "curve25519", "CURVE_25519")                                                \
    X(CURVE_448, TR_KE, 32, 0, "curve448", "CURVE_448")                                                      \
    X(ML_KEM_512, TR_KE, 35, 0, "mlkem512", "ML_KEM_512")                                                    \
    X(ML_KEM_768, TR_KE, 36, 0, "mlkem768", "ML_KEM_768")                                                    \
    X(ML_KEM_1024, TR_KE, 37, 0, "mlkem1024", "ML_KEM_1024")                                                 \
    X(NO_ESN, TR_ESN, 0, 0, "noesn", "NO_EXT_SEQ")                                                           \
    X(ESN, TR_ESN, 1, 0, "esn", "EXT_SEQ")
// clang-format on
// Further keywords for the same transforms: x25519 = curve25519, x448 = curve448, aes = aes128, aes128gcm =
// aes128gcm16 ... KE_NONE has a place in ESP proposals alone: a CHILD SA may then also be made without a key
// exchange of its own (RFC 7296 section 3.3.2). CCM, GMAC and NULL are for ESP alone; the GMACs of AH, whose
// keywords no text can hold, are what aes128gmac ... mean in an AH proposal (RFC 4543 section 9).

struct transform {
    uint8_t type;      // enum transform_type
    uint16_t id;       // IANA
    uint16_t key_bits; // key length attribute, 0: none
};
#define X(sym, ttype, tid, bits, kw, name) enum { TRID_##sym = tid, TRBITS_##sym = bits };
TRANSFORM_LIST(X)
#undef X

#define PROPOSAL_MAX_TRANSFORMS 64
struct proposal {     // of one protocol; transforms in order of preference within a type
    uint8_t protocol; // 1 IKE, 2 AH, 3 ESP
    uint8_t count;
    struct transform t[PROPOSAL_MAX_TRANSFORMS];
};

const char *transform_name(struct transform t); // charon's name, "(unknown)" where not listed
bool transform_by_keyword(const char *keyword, struct transform *out); // false: unknown
bool transform_is_aead(struct transform t);
bool transform_is_addke(struct transform t);        // "ke1_x25519"
bool transform_is_of_esp_alone(struct transform t); // has no place in an IKE proposal
// Why the algorithm of that keyword is not taken in this protocol, whatever a peer asks for: the document
// that calls it weak; NULL: it is not one of them.
const char *transform_weak(uint8_t protocol, const char *keyword);
// "IKE:AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519"
void proposal_print(const struct proposal *p, char *buf, unsigned size);

#endif
