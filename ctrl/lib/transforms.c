// SPDX-License-Identifier: Apache-2.0
// Names and keywords of the transform registry.
#include "ctrl/lib/transforms.h"

#include <stdio.h>
#include <string.h>

static const struct {
    struct transform t;
    const char *keyword, *name;
} registry[] = {
#define X(sym, ttype, tid, bits, kw, nm) {{ttype, tid, bits}, kw, nm},
    TRANSFORM_LIST(X)
#undef X
};
static const struct {
    const char *alias, *keyword;
} aliases[] = {
    {"x25519", "curve25519"},
    {"x448", "curve448"},
    {"modpnone", "none"},
    {"aes", "aes128"},
    {"aes128gcm", "aes128gcm16"},
    {"aes192gcm", "aes192gcm16"},
    {"aes256gcm", "aes256gcm16"},
    {"aes128gcm128", "aes128gcm16"},
    {"aes192gcm128", "aes192gcm16"},
    {"aes256gcm128", "aes256gcm16"},
    {"aes128gcm64", "aes128gcm8"},
    {"aes192gcm64", "aes192gcm8"},
    {"aes256gcm64", "aes256gcm8"},
    {"aes128gcm96", "aes128gcm12"},
    {"aes192gcm96", "aes192gcm12"},
    {"aes256gcm96", "aes256gcm12"},
    {"aes128ccm", "aes128ccm16"},
    {"aes128ccm128", "aes128ccm16"},
    {"aes128ccm64", "aes128ccm8"},
    {"aes128ccm96", "aes128ccm12"},
    {"aes192ccm", "aes192ccm16"},
    {"aes192ccm128", "aes192ccm16"},
    {"aes192ccm64", "aes192ccm8"},
    {"aes192ccm96", "aes192ccm12"},
    {"aes256ccm", "aes256ccm16"},
    {"aes256ccm128", "aes256ccm16"},
    {"aes256ccm64", "aes256ccm8"},
    {"aes256ccm96", "aes256ccm12"},
    {"sha", "sha1"},
    {"sha2_256", "sha256"},
    {"sha2_384", "sha384"},
    {"sha2_512", "sha512"},
};
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

bool transform_is_addke(struct transform t)
{
    return t.type >= TR_ADDKE1 && t.type <= TR_ADDKE7;
}

const char *transform_name(struct transform t)
{
    for (size_t i = 0; i < LENGTH(registry); i++) {
        if (registry[i].t.type == (transform_is_addke(t) ? TR_KE : t.type) && registry[i].t.id == t.id)
            return registry[i].name;
    }
    return "(unknown)";
}

bool transform_by_keyword(const char *keyword, struct transform *out)
{
    if (!strncmp(keyword, "ke", 2) && keyword[2] >= '1' && keyword[2] <= '7' && keyword[3] == '_') {
        bool ok = transform_by_keyword(keyword + 4, out) && out->type == TR_KE;
        out->type = (uint8_t)(TR_ADDKE1 + keyword[2] - '1');
        return ok;
    }
    for (size_t i = 0; i < LENGTH(aliases); i++) {
        if (!strcmp(aliases[i].alias, keyword))
            keyword = aliases[i].keyword;
    }
    for (size_t i = 0; i < LENGTH(registry); i++) {
        if (!strcmp(registry[i].keyword, keyword)) {
            *out = registry[i].t;
            return true;
        }
    }
    return false;
}

bool transform_is_aead(struct transform t)
{
    bool gcm = t.id >= TRID_AES128_GCM8 && t.id <= TRID_AES128_GCM16;
    bool ccm = t.id >= TRID_AES128_CCM8 && t.id <= TRID_AES128_CCM16;
    return t.type == TR_ENCR && (gcm || ccm || t.id == TRID_AES128_GMAC || t.id == TRID_CHACHA20_POLY1305);
}

bool transform_is_of_esp_alone(struct transform t)
{
    bool ccm = t.id >= TRID_AES128_CCM8 && t.id <= TRID_AES128_CCM16;
    return t.type == TR_ENCR && (ccm || t.id == TRID_ESP_NULL || t.id == TRID_AES128_GMAC);
}

const char *transform_weak(uint8_t protocol, const char *keyword)
{
    static const struct {
        const char *keyword, *why;
    } weak[] = {
        {"des", "DES must not be used (RFC 8247 2.1, RFC 8221 5)"},
        {"3des", "3DES has blocks of 64 bits (RFC 8221 5 and our policy)"},
        {"blowfish", "Blowfish must not be used (RFC 8221 5)"},
        {"blowfish128", "Blowfish must not be used (RFC 8221 5)"},
        {"blowfish192", "Blowfish must not be used (RFC 8221 5)"},
        {"blowfish256", "Blowfish must not be used (RFC 8221 5)"},
        {"cast128", "CAST has blocks of 64 bits (our policy)"},
        {"md5", "HMAC-MD5 must not be used (RFC 8247 2.3, RFC 8221 6)"},
        {"md5_128", "HMAC-MD5 must not be used (RFC 8247 2.3, RFC 8221 6)"},
        {"prfmd5", "HMAC-MD5 must not be used (RFC 8247 2.2)"},
        {"modp768", "a modulus of 768 bits must not be used (RFC 8247 2.4)"},
        {"modp1024", "a modulus of 1024 bits is within reach of attackers (RFC 8247 2.4)"},
        {"modp1536", "a modulus of 1536 bits should not be used (RFC 8247 2.4)"},
        {"modp1024s160", "its subgroup must not be used (RFC 8247 2.4)"},
        {"modp2048s224", "its small subgroup should not be used (RFC 8247 2.4)"},
        {"modp2048s256", "its small subgroup should not be used (RFC 8247 2.4)"},
        {"ecp192", "a curve of 192 bits is too small (our policy)"},
    };
    for (size_t i = 0; i < LENGTH(weak); i++)
        if (!strcmp(weak[i].keyword, keyword))
            return weak[i].why;
    if (protocol == 1 && !strcmp(keyword, "null"))
        return "without encryption IKE is in clear (RFC 7296 5)";
    return NULL;
}

void proposal_print(const struct proposal *p, char *buf, unsigned size)
{
    unsigned n = (unsigned)snprintf(buf, size, "%s:",
                                    p->protocol == 1   ? "IKE"
                                    : p->protocol == 2 ? "AH"
                                    : p->protocol == 3 ? "ESP"
                                                       : "?");
    for (int i = 0; i < p->count && n < size; i++) {
        if (i)
            n += (unsigned)snprintf(buf + n, size - n, "/");
        if (transform_is_addke(p->t[i]) && n < size)
            n += (unsigned)snprintf(buf + n, size - n, "KE%d_", p->t[i].type - TR_ADDKE1 + 1);
        if (n < size)
            n += (unsigned)snprintf(buf + n, size - n, "%s", transform_name(p->t[i]));
        if (p->t[i].key_bits && n < size)
            n += (unsigned)snprintf(buf + n, size - n, "_%u", p->t[i].key_bits);
    }
}
