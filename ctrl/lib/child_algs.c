// SPDX-License-Identifier: Apache-2.0
// See child_algs.h. The sizes are the engines' own.
#include "ctrl/lib/child_algs.h"

#include "ctrl/lib/transforms.h"

// X(transform, the engines' name)
#define ENCR_LIST(X)                                                                                         \
    X(AES128_GCM16, AES128_GCM16)                                                                            \
    X(AES192_GCM16, AES192_GCM16)                                                                            \
    X(AES256_GCM16, AES256_GCM16)                                                                            \
    X(AES128_GCM8, AES128_GCM8)                                                                              \
    X(AES192_GCM8, AES192_GCM8)                                                                              \
    X(AES256_GCM8, AES256_GCM8)                                                                              \
    X(AES128_GCM12, AES128_GCM12)                                                                            \
    X(AES192_GCM12, AES192_GCM12)                                                                            \
    X(AES256_GCM12, AES256_GCM12)                                                                            \
    X(AES128_CCM8, AES128_CCM8)                                                                              \
    X(AES192_CCM8, AES192_CCM8)                                                                              \
    X(AES256_CCM8, AES256_CCM8)                                                                              \
    X(AES128_CCM12, AES128_CCM12)                                                                            \
    X(AES192_CCM12, AES192_CCM12)                                                                            \
    X(AES256_CCM12, AES256_CCM12)                                                                            \
    X(AES128_CCM16, AES128_CCM16)                                                                            \
    X(AES192_CCM16, AES192_CCM16)                                                                            \
    X(AES256_CCM16, AES256_CCM16)                                                                            \
    X(AES128_GMAC, AES128_GMAC)                                                                              \
    X(AES192_GMAC, AES192_GMAC)                                                                              \
    X(AES256_GMAC, AES256_GMAC)                                                                              \
    X(AES128_CBC, AES128_CBC)                                                                                \
    X(AES192_CBC, AES192_CBC)                                                                                \
    X(AES256_CBC, AES256_CBC)                                                                                \
    X(AES128_CTR, AES128_CTR)                                                                                \
    X(AES192_CTR, AES192_CTR)                                                                                \
    X(AES256_CTR, AES256_CTR)                                                                                \
    X(CHACHA20_POLY1305, CHACHA20_POLY1305)                                                                  \
    X(ESP_NULL, NULL)
#define INTEG_LIST(X)                                                                                        \
    X(HMAC_SHA1_96, HMAC_SHA1_96)                                                                            \
    X(HMAC_SHA2_256_128, HMAC_SHA256_128)                                                                    \
    X(HMAC_SHA2_384_192, HMAC_SHA384_192)                                                                    \
    X(HMAC_SHA2_512_256, HMAC_SHA512_256)                                                                    \
    X(AH_AES128_GMAC, AES128_GMAC)                                                                           \
    X(AH_AES192_GMAC, AES192_GMAC)                                                                           \
    X(AH_AES256_GMAC, AES256_GMAC)

static enum esp_alg alg_of(uint16_t encr, uint16_t bits)
{
#define X(transform, name)                                                                                   \
    if (encr == TRID_##transform && bits == TRBITS_##transform)                                              \
        return ESP_ALG_##name;
    ENCR_LIST(X)
#undef X
    return ESP_ALG_NONE;
}

static enum esp_integ integ_of(uint16_t integ)
{
    switch (integ) {
#define X(transform, name)                                                                                   \
    case TRID_##transform: return ESP_INTEG_##name;
        INTEG_LIST(X)
#undef X
    default: return ESP_INTEG_NONE;
    }
}

static void size_cipher(struct child_algs *a)
{
    switch (a->alg) {
#define X(sym, name, key_octets, salt_octets, iv, icv, align)                                                \
    case ESP_ALG_##sym:                                                                                      \
        a->key = key_octets;                                                                                 \
        a->salt = salt_octets;                                                                               \
        a->known = (icv) ? a->integ == ESP_INTEG_NONE : a->integ != ESP_INTEG_NONE;                          \
        break;
        ESP_ALG_LIST(X)
#undef X
    default: break;
    }
}

static void size_integ(struct child_algs *a)
{
    switch (a->integ) {
#define X(sym, name, key_octets, salt_octets, iv, icv)                                                       \
    case ESP_INTEG_##sym:                                                                                    \
        a->integ_key = (key_octets) + (salt_octets);                                                         \
        a->known = a->ah || (a->known && (iv) == 0);                                                         \
        break;
        ESP_INTEG_LIST(X)
#undef X
    default: break;
    }
}

struct child_algs child_algs(uint16_t encr, uint16_t encr_bits, uint16_t integ)
{
    struct child_algs a = {.ah = !encr, .alg = alg_of(encr, encr_bits), .integ = integ_of(integ)};
    if (integ && a.integ == ESP_INTEG_NONE)
        return a;
    size_cipher(&a);
    size_integ(&a);
    return a;
}

size_t child_algs_keymat(struct child_algs a)
{
    return a.known ? (size_t)a.key + a.salt + a.integ_key : 0;
}
