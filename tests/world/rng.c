// SPDX-License-Identifier: Apache-2.0
// Seeded numbers (xoshiro256**, seeded by splitmix64), for the world and, as OpenSSL's RAND method, for the
// daemons. Never for anything but a test.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <string.h>
#include <openssl/rand.h>

#include "tests/world/rng.h"

static struct rng *source; // RAND methods carry no context

void rng_seed(struct rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->s[i] = z ^ z >> 31;
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t rng_next(struct rng *r)
{
    uint64_t *s = r->s, out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t rng_below(struct rng *r, uint64_t n)
{
    return n ? rng_next(r) % n : 0;
}

uint64_t rng_between(struct rng *r, uint64_t lo, uint64_t hi)
{
    return lo + rng_below(r, hi - lo + 1);
}

bool rng_chance(struct rng *r, unsigned per_mille)
{
    return rng_below(r, 1000) < per_mille;
}

static int bytes(unsigned char *buf, int n)
{
    for (int i = 0; i < n; i += 8) {
        uint64_t v = rng_next(source);
        memcpy(buf + i, &v, n - i < 8 ? (size_t)(n - i) : 8);
    }
    return 1;
}

static int status(void)
{
    return 1;
}

void entropy_install(struct rng *r)
{
    static const RAND_METHOD method = {.bytes = bytes, .pseudorand = bytes, .status = status};
    source = r;
    RAND_set_rand_method(&method);
}
