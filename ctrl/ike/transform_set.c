// SPDX-License-Identifier: Apache-2.0
// See transform_set.h. Of ENCR the key length is a part of a transform's number: 0, 128, 192 or 256 bits.
#include "ctrl/ike/transform_set.h"

enum { LENGTHS = 4, ENCR_IDS = 2 * 64 / LENGTHS };

#define NAME(type, id, bits) ((uint64_t)(type) << 32 | (uint64_t)(id) << 16 | (bits))
#define X(sym, ttype, tid, bits, kw, name)                                                                   \
    _Static_assert((ttype) == TR_ENCR                                                                        \
                       ? (tid) < ENCR_IDS && ((bits) == 0 || ((bits) >= 128 && (bits) <= 256))               \
                       : (tid) < 64 && (bits) == 0,                                                          \
                   "has a bit of its own");
TRANSFORM_LIST(X)
#undef X

bool transform_known(struct transform t)
{
    if (transform_is_addke(t))
        t.type = TR_KE;
    switch (NAME(t.type, t.id, t.key_bits)) {
#define X(sym, ttype, tid, bits, kw, name) case NAME(ttype, tid, bits):
        TRANSFORM_LIST(X)
#undef X
        return true;
    default: return false;
    }
}

// 0: none of the registry, which is in no set.
static uint64_t bit_of(struct transform t, unsigned *word)
{
    bool encr = t.type == TR_ENCR;
    unsigned at = encr ? t.id * LENGTHS + (t.key_bits ? t.key_bits / 64 - 1u : 0) : t.id;
    *word = encr ? at / 64 : t.type;
    if (*word > TR_ADDKE7 || (encr ? *word > 1 || t.key_bits > 256 : !t.type || at >= 64))
        *word = 0;
    else
        return 1ull << at % 64;
    return 0;
}

void transform_set_add(struct transform_set *s, struct transform t)
{
    unsigned word;
    uint64_t bit = bit_of(t, &word);
    s->word[word] |= bit;
}

bool transform_set_has(const struct transform_set *s, struct transform t)
{
    unsigned word;
    uint64_t bit = bit_of(t, &word);
    return s->word[word] & bit;
}

bool transform_sets_meet(const struct transform_set *a, const struct transform_set *b, uint8_t type)
{
    bool more = type == TR_ENCR && a->word[0] & b->word[0];
    return more || a->word[type] & b->word[type];
}
