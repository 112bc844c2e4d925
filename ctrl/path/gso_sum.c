// SPDX-License-Identifier: Apache-2.0
// See gso_sum.h. Sums side by side, as all octets of TCP and UDP go through here on both ends; twice as wide
// where the processor has AVX2.
#include "ctrl/path/gso_sum.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { BLOCK = 64 };

// Of whole blocks. Sums of 32-bit halves do not overflow within 64 KiB.
static uint64_t blocks(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t n)
{
    typedef uint64_t pair __attribute__((vector_size(16)));
    pair a = {0}, b = {0}, v, w;
    for (uint32_t i = 0; i < n; i += 2 * sizeof(v)) {
        memcpy(&v, p + i, sizeof(v));
        memcpy(&w, p + i + sizeof(v), sizeof(w));
        if (to) {
            memcpy(to + i, &v, sizeof(v));
            memcpy(to + i + sizeof(v), &w, sizeof(w));
        }
        a += (v & UINT32_MAX) + (v >> 32);
        b += (w & UINT32_MAX) + (w >> 32);
    }
    a += b;
    return sum + a[0] + a[1];
}

#ifdef __x86_64__
#define WITH_AVX2 __attribute__((target("avx2")))

WITH_AVX2 static inline __m256i halves(__m256i sum, __m256i v)
{
    const __m256i low = _mm256_set1_epi64x(UINT32_MAX);
    return _mm256_add_epi64(sum, _mm256_add_epi64(_mm256_and_si256(v, low), _mm256_srli_epi64(v, 32)));
}

WITH_AVX2 static uint64_t blocks_avx2(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t n)
{
    __m256i a = _mm256_setzero_si256(), b = a;
    uint64_t s[4];
    for (uint32_t i = 0; i < n; i += BLOCK) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(p + i));
        __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)(p + i + 32));
        if (to) {
            _mm256_storeu_si256((__m256i *)(void *)(to + i), v);
            _mm256_storeu_si256((__m256i *)(void *)(to + i + 32), w);
        }
        a = halves(a, v);
        b = halves(b, w);
    }
    _mm256_storeu_si256((__m256i *)(void *)s, _mm256_add_epi64(a, b));
    return sum + s[0] + s[1] + s[2] + s[3];
}

static uint64_t best(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t n)
{
    return __builtin_cpu_supports("avx2") ? blocks_avx2(sum, to, p, n) : blocks(sum, to, p, n);
}
#else
static uint64_t best(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t n)
{
    return blocks(sum, to, p, n);
}
#endif

static uint64_t with_rest(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t n)
{
    if (to)
        memcpy(to, p, n);
    return sum_short(sum, p, n);
}

uint64_t sum_long(uint64_t sum, const uint8_t *p, uint32_t n)
{
    uint32_t whole = n / BLOCK * BLOCK;
    return with_rest(best(sum, NULL, p, whole), NULL, p + whole, n - whole);
}

uint64_t sum_copy(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t n)
{
    uint32_t whole = n / BLOCK * BLOCK;
    return with_rest(best(sum, to, p, whole), to + whole, p + whole, n - whole);
}

uint64_t sum_copy_plain(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t n)
{
    uint32_t whole = n / BLOCK * BLOCK;
    return with_rest(blocks(sum, to, p, whole), to + whole, p + whole, n - whole);
}
