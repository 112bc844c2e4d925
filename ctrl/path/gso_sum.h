// SPDX-License-Identifier: Apache-2.0
// Internet checksums (RFC 1071) of what gso.c cuts and gro.c puts together.
#ifndef CTRL_PATH_GSO_SUM_H
#define CTRL_PATH_GSO_SUM_H

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}
static inline void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

// At most 64 KiB and a few headers together. gso_sum.c
uint64_t sum_long(uint64_t sum, const uint8_t *p, uint32_t n);
uint64_t sum_copy(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t n);       // which is copied, too
uint64_t sum_copy_plain(uint64_t sum, uint8_t *to, const uint8_t *p, uint32_t n); // ... as on any processor

static inline uint64_t sum_short(uint64_t sum, const uint8_t *p, uint32_t n)
{
    uint64_t w;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&w, p, 8);
        sum += (w & UINT32_MAX) + (w >> 32);
    }
    w = 0;
    memcpy(&w, p, n);
    return sum + (w & UINT32_MAX) + (w >> 32);
}
static inline uint64_t sum_add(uint64_t sum, const uint8_t *p, uint32_t n)
{
    return n < 128 ? sum_short(sum, p, n) : sum_long(sum, p, n);
}
static inline uint16_t sum_fold(uint64_t s)
{
    s = (s & UINT32_MAX) + (s >> 32);
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    return (uint16_t)s;
}
static inline void sum_put(uint8_t *p, uint16_t sum)
{
    memcpy(p, &sum, 2);
}
// Of so many octets of this protocol in the IP packet.
static inline uint64_t sum_pseudo(const uint8_t *ip, uint8_t proto, uint32_t len)
{
    uint64_t s = (uint64_t)htons((uint16_t)len) + htons(proto);
    return ip[0] >> 4 == 6 ? sum_add(s, ip + 8, 32) : sum_add(s, ip + 12, 8);
}
static inline void sum_ip(uint8_t *ip, uint32_t header) // the header's own
{
    put16(ip + 10, 0);
    sum_put(ip + 10, (uint16_t)~sum_fold(sum_add(0, ip, header)));
}

#endif
