// SPDX-License-Identifier: Apache-2.0
// A text is a row of terms: a kind of key, which "ike:" may stand before, then for the kinds with a choice
// the least bits, then hashes. Terms without "ike:" say what the chain may be made of, and the AUTH payload
// too where no term has "ike:"; those with it say it of the AUTH payload alone.
#include "ctrl/config/auth_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/values.h"
#include "ctrl/crypto/signature.h"
#include "ctrl/lib/conn.h"

enum { TERMS_MAX = 8, WORD_MAX = 32, RSA_LEAST = 2048, RSA_MOST = 8192, ECDSA_LEAST = 256, ECDSA_MOST = 521 };
#define TYPE(name) (1u << CR_KEY_##name)
#define HASH(name) (1u << CR_HASH_##name)

struct term {
    const char *name;
    bool ike, pss;
    uint32_t types, hashes; // bits by enum; no hash: any but SHA-1
    uint16_t bits;
};
struct parse {
    struct term terms[TERMS_MAX];
    unsigned count;
    bool local;
    struct esp_error *err;
};

static const struct {
    const char *name;
    uint32_t types;
    bool pss;
} kinds[] = {
    {"pubkey", TYPE(RSA) | TYPE(ECDSA) | TYPE(ED25519) | TYPE(ED448), false},
    {"rsa", TYPE(RSA), false},
    {"rsa/pss", TYPE(RSA), true},
    {"ecdsa", TYPE(ECDSA), false},
    {"ed25519", TYPE(ED25519), false},
    {"ed448", TYPE(ED448), false},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const struct {
    const char *name;
    uint32_t hash;
} hashes[] = {{"sha1", HASH(SHA1)},
              {"sha256", HASH(SHA256)},
              {"sha384", HASH(SHA384)},
              {"sha512", HASH(SHA512)},
              {"identity", HASH(IDENTITY)}};
enum { HASHES = sizeof(hashes) / sizeof(hashes[0]) };

__attribute__((format(printf, 2, 3))) static int wrong(struct parse *p, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return esp_fail(p->err, -EINVAL, "auth", "%s", text);
}

// 1: the word begins no term.
static int begin_term(struct parse *p, const char *word)
{
    bool ike = strncmp(word, "ike:", 4) == 0;
    unsigned k = 0;
    word += ike ? 4 : 0;
    while (k < KINDS && strcmp(kinds[k].name, word) != 0)
        k++;
    if (k == KINDS)
        return ike ? wrong(p,
                           "'%s' is no kind of key; expected ike:pubkey, ike:rsa, ike:rsa/pss, ike:ecdsa, "
                           "ike:ed25519 or ike:ed448",
                           word)
                   : 1;
    if (p->count == TERMS_MAX)
        return wrong(p, "more than %d kinds of keys", TERMS_MAX);
    p->terms[p->count++] =
        (struct term){.name = kinds[k].name, .ike = ike, .types = kinds[k].types, .pss = kinds[k].pss};
    return 0;
}

// 1: the word is no number.
static int add_bits(struct parse *p, struct term *t, const char *word)
{
    uint64_t n = 0;
    bool rsa = t->types == TYPE(RSA), ecdsa = t->types == TYPE(ECDSA);
    unsigned least = rsa ? RSA_LEAST : ECDSA_LEAST, most = rsa ? RSA_MOST : ECDSA_MOST;
    if (!word[0] || word[strspn(word, "0123456789")])
        return 1;
    if (!rsa && !ecdsa)
        return wrong(p, "'%s': no length of a key goes with %s, only with rsa and ecdsa", word, t->name);
    if (!value_number(word, least, most, &n))
        return wrong(p, "'%s': expected the least length of %s keys, %u to %u bits", word, t->name, least,
                     most);
    if (t->bits)
        return wrong(p, "'%s': %s has a length already", word, t->name);
    t->bits = (uint16_t)n;
    return 0;
}

static int add_hash(struct parse *p, struct term *t, const char *word)
{
    unsigned h = 0;
    while (h < HASHES && strcmp(hashes[h].name, word) != 0)
        h++;
    if (h == HASHES)
        return wrong(p,
                     "'%s' is unknown or not supported; expected a kind of key (pubkey, rsa, rsa/pss, "
                     "ecdsa, ed25519, ed448), sha256, sha384, sha512 or identity",
                     word);
    if (hashes[h].hash == HASH(SHA1) && !t->ike)
        return wrong(p,
                     "SHA-1 is not accepted in certificates; expected ike:%s-sha1 for the AUTH payload alone",
                     t->name);
    t->hashes |= hashes[h].hash;
    return 0;
}

static int take_word(struct parse *p, const char *word)
{
    int r = begin_term(p, word);
    struct term *t = p->count ? &p->terms[p->count - 1] : NULL;
    if (r <= 0)
        return r;
    if (!t)
        return wrong(p,
                     "'%s': expected psk, pubkey, rsa, rsa/pss, ecdsa, ed25519 or ed448, ike: before it for "
                     "the AUTH payload alone; eap-mschapv2 or eap-tls",
                     word);
    r = add_bits(p, t, word);
    return r == 1 ? add_hash(p, t, word) : r;
}

static bool allows(const struct parse *p, const struct term *t, const struct cr_scheme *s)
{
    bool hash = t->hashes ? t->hashes & 1u << s->hash : s->hash != CR_HASH_SHA1;
    // RSASSA-PSS is made only where it is asked for by name, as swanctl.conf(5) has it; taken it is anyway.
    bool padding = s->key_type != CR_KEY_RSA || (t->pss ? s->pss : !s->pss || !p->local);
    return t->types & 1u << s->key_type && hash && padding;
}

static uint32_t schemes_of(const struct parse *p, const struct term *t)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < CR_SCHEME_COUNT; i++)
        if (allows(p, t, cr_scheme((enum cr_scheme_index)i)))
            set |= 1u << i;
    return set;
}

static int set_schemes(struct parse *p, struct auth_text *out)
{
    uint32_t ike = 0, all = 0;
    for (unsigned i = 0; i < p->count; i++) {
        uint32_t set = schemes_of(p, &p->terms[i]);
        if (!set)
            return wrong(p, "no signature of %s keys is made with those hashes", p->terms[i].name);
        ike |= p->terms[i].ike ? set : 0;
        all |= set;
    }
    out->schemes = ike ? ike : all;
    return 0;
}

// The hashes that a term leaves to the chain: EdDSA's is the identity, and nothing else's.
static uint32_t chain_hashes(const struct term *t)
{
    uint32_t eddsa = TYPE(ED25519) | TYPE(ED448);
    if (t->hashes)
        return t->hashes;
    return (t->types & ~eddsa ? HASH(SHA256) | HASH(SHA384) | HASH(SHA512) : 0) |
           (t->types & eddsa ? HASH(IDENTITY) : 0);
}

static uint16_t greater(uint16_t a, uint16_t b)
{
    return a > b ? a : b;
}

// A kind of key that no term for the chain names has no place in it.
static void set_chain(const struct parse *p, struct auth_text *out)
{
    uint32_t types = 0;
    for (unsigned i = 0; i < p->count; i++) {
        const struct term *t = &p->terms[i];
        if (t->types == TYPE(RSA))
            out->rsa_bits = greater(out->rsa_bits, t->bits);
        if (t->types == TYPE(ECDSA))
            out->ecdsa_bits = greater(out->ecdsa_bits, t->bits);
        types |= t->ike ? 0 : t->types;
        out->cert_hashes |= t->ike ? 0 : chain_hashes(t);
    }
    if (types && !(types & TYPE(RSA)))
        out->rsa_bits = UINT16_MAX;
    if (types && !(types & TYPE(ECDSA)))
        out->ecdsa_bits = UINT16_MAX;
}

static int take_words(struct parse *p, const char *text)
{
    char word[WORD_MAX];
    int r = 0;
    for (const char *at = text; r == 0; at++) {
        size_t n = strcspn(at, "-");
        if (n == 0 || n >= sizeof(word))
            return wrong(p, n ? "'%.20s...' is unknown" : "'%.60s': nothing between two '-', or at an end",
                         n ? at : text);
        memcpy(word, at, n);
        word[n] = 0;
        r = take_word(p, word);
        at += n;
        if (!*at)
            break;
    }
    return r;
}

static const char *unsupported(const char *text)
{
    static const struct {
        const char *prefix, *why;
    } list[] = {{"eap", "of EAP there are eap-mschapv2 and eap-tls"},
                {"xauth", "XAuth belongs to IKEv1, which is not supported"},
                {"bliss", "BLISS signatures are not supported"},
                {"any", "'any' is not supported; say psk or pubkey"}};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
        if (strncmp(text, list[i].prefix, strlen(list[i].prefix)) == 0)
            return list[i].why;
    return NULL;
}

int auth_text_parse(const char *text, bool local, struct auth_text *out, struct esp_error *err)
{
    struct parse p = {.local = local, .err = err};
    const char *why = unsupported(text);
    *out = (struct auth_text){.auth = AUTH_PUBKEY};
    if (strcmp(text, "eap-mschapv2") == 0 || strcmp(text, "eap-tls") == 0) {
        out->auth = AUTH_EAP;
        out->eap_type = strcmp(text, "eap-tls") == 0 ? EAP_TLS : EAP_MSCHAPV2;
        return 0;
    }
    if (why)
        return wrong(&p, "%s; expected psk or pubkey", why);
    if (strcmp(text, "psk") == 0) {
        out->auth = AUTH_PSK;
        return 0;
    }
    int r = take_words(&p, text);
    if (r == 0)
        r = set_schemes(&p, out);
    if (r == 0)
        set_chain(&p, out);
    return r;
}
