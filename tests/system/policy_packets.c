// SPDX-License-Identifier: Apache-2.0
// See policy_packets.h.
#include "tests/system/policy_packets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

enum { CARRIED = 3 * MARK_LEN, CUT_AT = 16, TTL = 64 };

static void word(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t sum_of(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    return sum;
}

static uint16_t folded(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

void packet_mark(uint8_t *to, size_t size, uint16_t id)
{
    static const uint8_t magic[4] = {0xe5, 0x9a, 0x50, 0x72};
    for (size_t i = 0; i + MARK_LEN <= size; i += MARK_LEN) {
        memcpy(to + i, magic, 4);
        word(to + i + 4, id);
        word(to + i + 6, (uint16_t)~id);
    }
}

// The transport's header and what it carries; the checksum is over a pseudo header but for ICMP of IPv4.
static size_t transport(uint8_t *l4, const struct packet_kind *k, uint8_t proto, uint32_t pseudo)
{
    size_t header = k->proto == IPPROTO_TCP ? 20 : 8, n = header + CARRIED;
    size_t sum_at = proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2;
    memset(l4, 0, n);
    word(l4, k->sport);
    word(l4 + 2, k->dport);
    if (proto == IPPROTO_TCP) {
        l4[12] = 5 << 4;
        l4[13] = 2; // SYN
    } else if (proto == IPPROTO_UDP) {
        word(l4 + 4, (unsigned)n);
    } else {
        word(l4, proto == IPPROTO_ICMP ? 8 << 8 : 128 << 8);
        word(l4 + 2, 0);
        word(l4 + 4, k->id);
    }
    packet_mark(l4 + header, CARRIED, k->id);
    if (proto != IPPROTO_ICMP)
        pseudo += proto + (uint32_t)n;
    word(l4 + sum_at, folded(sum_of(l4, n) + (proto == IPPROTO_ICMP ? 0 : pseudo)));
    return n;
}

static size_t build4(uint8_t *ip, const struct packet_kind *k, enum piece piece)
{
    uint8_t l4[MARKED_MAX];
    memset(ip, 0, 20);
    inet_pton(AF_INET, k->src, ip + 12);
    inet_pton(AF_INET, k->dst, ip + 16);
    size_t n = transport(l4, k, (uint8_t)k->proto, sum_of(ip + 12, 8));
    size_t from = piece == PIECE_SECOND ? CUT_AT : 0, len = piece == PIECE_FIRST ? CUT_AT : n - from;
    ip[0] = 0x45;
    word(ip + 2, (unsigned)(20 + len));
    word(ip + 4, k->id);
    word(ip + 6, (piece == PIECE_FIRST ? 0x2000u : 0) | (unsigned)from / 8);
    ip[8] = TTL;
    ip[9] = (uint8_t)k->proto;
    word(ip + 10, folded(sum_of(ip, 20)));
    memcpy(ip + 20, l4 + from, len);
    return 20 + len;
}

static size_t build6(uint8_t *ip, const struct packet_kind *k, enum piece piece)
{
    uint8_t l4[MARKED_MAX], proto = k->proto == IPPROTO_ICMP ? IPPROTO_ICMPV6 : (uint8_t)k->proto;
    memset(ip, 0, 48);
    inet_pton(AF_INET6, k->src, ip + 8);
    inet_pton(AF_INET6, k->dst, ip + 24);
    size_t n = transport(l4, k, proto, sum_of(ip + 8, 32)), front = piece == PIECE_ALL ? 0 : 8;
    size_t from = piece == PIECE_SECOND ? CUT_AT : 0, len = piece == PIECE_FIRST ? CUT_AT : n - from;
    ip[0] = 0x60;
    word(ip + 4, (unsigned)(front + len));
    ip[6] = front ? IPPROTO_FRAGMENT : proto;
    ip[7] = TTL;
    if (front) {
        ip[40] = proto;
        word(ip + 42, (unsigned)from | (piece == PIECE_FIRST));
        word(ip + 46, k->id);
    }
    memcpy(ip + 40 + front, l4 + from, len);
    return 40 + front + len;
}

size_t packet_build(uint8_t *to, const struct packet_kind *k, enum piece piece)
{
    return strchr(k->src, ':') ? build6(to, k, piece) : build4(to, k, piece);
}

void packet_last_hop(uint8_t *p)
{
    p[p[0] >> 4 == 6 ? 7 : 8] = 1;
    if (p[0] >> 4 == 4) {
        word(p + 10, 0);
        word(p + 10, folded(sum_of(p, 20)));
    }
}

uint16_t packet_id(const uint8_t *p, size_t n)
{
    uint8_t mark[MARK_LEN];
    for (size_t i = 0; i + MARK_LEN <= n; i++) {
        uint16_t id = (uint16_t)(p[i + 4] << 8 | p[i + 5]);
        packet_mark(mark, sizeof(mark), id);
        if (memcmp(p + i, mark, sizeof(mark)) == 0)
            return id;
    }
    size_t header = n && p[0] >> 4 == 6 ? 40 : 20;
    bool tcp = n >= header + 20 && (header == 40 ? p[6] : p[9]) == IPPROTO_TCP;
    return tcp && p[header + 13] == 2 ? (uint16_t)(p[header] << 8 | p[header + 1]) : 0;
}
