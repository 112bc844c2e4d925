// SPDX-License-Identifier: Apache-2.0
// Proposals as people write them: keywords joined by '-'. A proposal is completed and checked as RFC 7296
// section 3.3 asks: IKE needs encryption, a PRF and a key exchange; AEADs stand without integrity algorithms
// and apart from the others.
#include "ctrl/config/proposal_text.h"

#include <errno.h>
#include <string.h>
#include <openssl/crypto.h>

#include "ctrl/crypto/crypto.h"

static int add_transform(struct proposal *p, struct transform t, struct esp_error *err)
{
    for (int i = 0; i < p->count; i++) {
        if (p->t[i].type == t.type && p->t[i].id == t.id && p->t[i].key_bits == t.key_bits)
            return 0;
    }
    if (p->count == PROPOSAL_MAX_TRANSFORMS)
        return esp_fail(err, -EINVAL, "", "more than %d algorithms in one proposal", PROPOSAL_MAX_TRANSFORMS);
    p->t[p->count++] = t;
    return 0;
}

static const char *protocol_name(uint8_t protocol)
{
    return protocol == PROTO_IKE ? "IKE" : protocol == PROTO_AH ? "AH" : "ESP";
}

// In AH the GMACs are integrity algorithms (RFC 4543 section 9).
static struct transform as_integrity(struct transform t)
{
    uint16_t id = t.key_bits == 128   ? TRID_AH_AES128_GMAC
                  : t.key_bits == 192 ? TRID_AH_AES192_GMAC
                                      : TRID_AH_AES256_GMAC;
    return t.type == TR_ENCR && t.id == TRID_AES128_GMAC ? (struct transform){TR_INTEG, id, 0} : t;
}

static int add_keyword(struct proposal *p, const char *word, struct esp_error *err)
{
    struct transform t;
    const char *weak = transform_weak(p->protocol, word);
    if (weak)
        return esp_fail(err, -EINVAL, "", "'%.40s' is refused: %s", word, weak);
    if (!transform_by_keyword(word, &t))
        return esp_fail(err, -EINVAL, "", "algorithm '%.40s' is unknown or not supported", word);
    bool kem = (t.type == TR_KE || transform_is_addke(t)) && cr_dh_is_kem(t.id);
    if (kem && !cr_dh_public_len(t.id))
        return esp_fail(err, -EINVAL, "", "'%.40s' needs OpenSSL 3.5 or later, here is %s", word,
                        OpenSSL_version(OPENSSL_VERSION_STRING));
    if (kem && t.type == TR_KE)
        return esp_fail(err, -EINVAL, "", "'%.40s' is an additional key exchange: x25519-ke1_%.40s", word,
                        word);
    bool no_ke = t.type == TR_KE && t.id == TRID_KE_NONE;
    if (p->protocol == PROTO_AH)
        t = as_integrity(t);
    bool fits = p->protocol == PROTO_IKE
                    ? t.type != TR_ESN && !no_ke && !transform_is_of_esp_alone(t)
                    : t.type != TR_PRF && (t.type != TR_ENCR || p->protocol == PROTO_ESP);
    if (!fits)
        return esp_fail(err, -EINVAL, "", "'%.40s' has no place in an %s proposal", word,
                        protocol_name(p->protocol));
    return add_transform(p, t, err);
}

static unsigned of_type(const struct proposal *p, uint8_t type)
{
    unsigned n = 0;
    for (int i = 0; i < p->count; i++)
        n += p->t[i].type == type;
    return n;
}

static void remove_type(struct proposal *p, uint8_t type)
{
    uint8_t n = 0;
    for (int i = 0; i < p->count; i++) {
        if (p->t[i].type != type)
            p->t[n++] = p->t[i];
    }
    p->count = n;
}

static bool only_no_ke(const struct proposal *p)
{
    for (int i = 0; i < p->count; i++) {
        if (p->t[i].type == TR_KE && p->t[i].id != TRID_KE_NONE)
            return false;
    }
    return true;
}

static bool has_addke(const struct proposal *p)
{
    for (int i = 0; i < p->count; i++)
        if (transform_is_addke(p->t[i]) && p->t[i].id)
            return true;
    return false;
}

static bool may_lack_ke(const struct proposal *p)
{
    bool none = !of_type(p, TR_KE);
    for (int i = 0; i < p->count; i++)
        none = none || (p->t[i].type == TR_KE && p->t[i].id == TRID_KE_NONE);
    return none;
}

// Without a PRF the one of each integrity algorithm's hash is meant.
static int derive_prfs(struct proposal *p, struct esp_error *err)
{
    static const struct {
        uint16_t integ, prf;
    } same_hash[] = {{TRID_HMAC_SHA1_96, TRID_PRF_HMAC_SHA1},
                     {TRID_HMAC_SHA2_256_128, TRID_PRF_HMAC_SHA2_256},
                     {TRID_HMAC_SHA2_384_192, TRID_PRF_HMAC_SHA2_384},
                     {TRID_HMAC_SHA2_512_256, TRID_PRF_HMAC_SHA2_512}};
    for (int i = 0, n = p->count; i < n; i++) {
        for (size_t k = 0; k < sizeof(same_hash) / sizeof(same_hash[0]); k++) {
            if (p->t[i].type != TR_INTEG || p->t[i].id != same_hash[k].integ)
                continue;
            int r = add_transform(p, (struct transform){TR_PRF, same_hash[k].prf, 0}, err);
            if (r)
                return r;
        }
    }
    return 0;
}

static int complete_ike(struct proposal *p, struct esp_error *err)
{
    int r = of_type(p, TR_PRF) ? 0 : derive_prfs(p, err);
    if (r)
        return r;
    if (!of_type(p, TR_PRF))
        return esp_fail(err, -EINVAL, "", "a PRF is missing, such as prfsha256");
    if (!of_type(p, TR_KE))
        return esp_fail(err, -EINVAL, "", "a key exchange group is missing, such as x25519");
    return 0;
}

static int complete(struct proposal *p, struct esp_error *err)
{
    unsigned aeads = 0, ciphers = of_type(p, TR_ENCR);
    for (int i = 0; i < p->count; i++)
        aeads += transform_is_aead(p->t[i]);
    if (!ciphers && p->protocol != PROTO_AH)
        return esp_fail(err, -EINVAL, "", "an encryption algorithm is missing, such as aes256gcm16");
    if (aeads && aeads != ciphers)
        return esp_fail(err, -EINVAL, "", "AEAD and other encryption algorithms cannot be in one proposal");
    int r = p->protocol == PROTO_IKE ? complete_ike(p, err) : 0;
    if (r)
        return r;
    if (aeads)
        remove_type(p, TR_INTEG);
    else if (!of_type(p, TR_INTEG))
        return esp_fail(err, -EINVAL, "", "an integrity algorithm is missing, such as sha256");
    bool none = p->protocol != PROTO_IKE && has_addke(p) && may_lack_ke(p);
    if (none)
        return esp_fail(err, -EINVAL, "",
                        "an additional key exchange stands behind a first one, such as x25519, and 'none' "
                        "has no place beside it (RFC 9370 2.2.4)");
    if (p->protocol != PROTO_IKE && only_no_ke(p))
        remove_type(p, TR_KE); // what holds without a group
    if (p->protocol != PROTO_IKE && !of_type(p, TR_ESN))
        return add_transform(p, (struct transform){TR_ESN, TRID_NO_ESN, 0}, err);
    return 0;
}

int proposal_default_add(struct proposal *list, uint8_t *count, uint8_t protocol, struct esp_error *err)
{
    // No SHA-1, no 3DES, no MODP-1024; one algorithm at least of each kind that stock strongSwan offers by
    // default.
#define GROUPS "x25519-ecp256-ecp384-ecp521-x448-modp3072-modp4096-modp2048"
    int r;
    if (protocol == PROTO_AH)
        return proposal_text_add(list, count, protocol, "sha256-sha384-sha512-noesn", err);
    if (protocol == PROTO_ESP) {
        r = proposal_text_add(list, count, protocol,
                              "aes256gcm16-aes128gcm16-aes192gcm16-chacha20poly1305-noesn", err);
        return r ? r
                 : proposal_text_add(list, count, protocol, "aes256-aes192-aes128-sha256-sha384-sha512-noesn",
                                     err);
    }
    r = proposal_text_add(
        list, count, protocol,
        "aes256gcm16-aes128gcm16-aes192gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-" GROUPS, err);
    if (r == 0)
        r = proposal_text_add(
            list, count, protocol,
            "aes256-aes192-aes128-sha256-sha384-sha512-prfsha256-prfsha384-prfsha512-" GROUPS, err);
    return r;
}

int proposal_text_add(struct proposal *list, uint8_t *count, uint8_t protocol, const char *text,
                      struct esp_error *err)
{
    char copy[256], *save = NULL;
    struct proposal p = {.protocol = protocol};
    int r = 0;
    if (strcmp(text, "default") == 0)
        return proposal_default_add(list, count, protocol, err);
    if (*count >= PROPOSALS_MAX)
        return esp_fail(err, -EINVAL, "", "more than %d proposals", PROPOSALS_MAX);
    if (strlen(text) >= sizeof(copy))
        return esp_fail(err, -EINVAL, "", "proposal longer than %zu characters", sizeof(copy) - 1);
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, "-", &save); word && r == 0; word = strtok_r(NULL, "-", &save))
        r = add_keyword(&p, word, err);
    if (r == 0)
        r = complete(&p, err);
    if (r == 0)
        list[(*count)++] = p;
    return r;
}
