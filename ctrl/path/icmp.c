// SPDX-License-Identifier: Apache-2.0
// ICMP errors of our own, written into the TUN at a bounded rate: as from the address that the packet was
// for, to its sender.
#include "ctrl/path/icmp.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#define ICMP_PER_SECOND 50
#define QUOTE4          548  // of the packet: RFC 1812 section 4.3.2.3
#define QUOTE6          1232 // RFC 4443 section 2.4

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t sum(uint32_t s, const uint8_t *p, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    return s;
}

static uint16_t folded(uint32_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

// Addresses that mean something on one link only: what has them was never to be routed.
bool icmp_of_one_link(const uint8_t *a, uint8_t family)
{
    static const uint8_t zero[16] = {0}, all[4] = {255, 255, 255, 255};
    if (family == 4)
        return a[0] == 0 || a[0] == 127 || a[0] >> 4 == 14 || (a[0] == 169 && a[1] == 254) ||
               !memcmp(a, all, 4);
    return a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || !memcmp(a, zero, 15);
}

// Errors are not answered by errors (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
static bool is_error(const struct fields *f)
{
    unsigned type = f->sport >> 8;
    if (f->family == 6)
        return f->proto == IPPROTO_ICMPV6 && (!f->ports || type < 128);
    return f->proto == IPPROTO_ICMP &&
           (!f->ports || type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
            type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB);
}

// What of the error behind its own eight octets is the packet that it is about.
static uint32_t quote_at(const uint8_t *packet, uint32_t len, const struct fields *f)
{
    uint32_t at = f->family == 6 ? 40 : 4u * (packet[0] & 15);
    return f->family == 6 && packet[6] != IPPROTO_ICMPV6 ? len : at + 8;
}

bool icmp_quotes_protected(struct worker *w, const uint8_t *packet, uint32_t len, const struct fields *f)
{
    struct fields quoted;
    struct policy *pol = NULL;
    if (f->later || !is_error(f))
        return false;
    uint32_t at = quote_at(packet, len, f);
    if (at >= len || !fields_parse(packet + at, len - at, &quoted))
        return true; // what it may be about is not seen
    enum spd_verdict v = look_up_afresh(w, &quoted, true, &pol);
    return v == SPD_UNCLEAR || (v == SPD_FOUND && pol->action != POLICY_BYPASS);
}

static bool within_rate(struct worker *w)
{
    uint64_t second = loop_now(w->p->loop) / 1000;
    if (second != w->icmp_second) {
        w->icmp_second = second;
        w->icmp_in_second = 0;
    }
    return w->icmp_in_second++ < ICMP_PER_SECOND;
}

static uint32_t answer4(uint8_t *o, const uint8_t *packet, uint32_t len, uint32_t mtu)
{
    uint32_t quote = len < QUOTE4 ? len : QUOTE4, total = 28 + quote;
    memset(o, 0, 28);
    o[0] = 0x45;
    put16(o + 2, total);
    o[8] = 64;
    o[9] = IPPROTO_ICMP;
    memcpy(o + 12, packet + 16, 4);
    memcpy(o + 16, packet + 12, 4);
    put16(o + 10, folded(sum(0, o, 20)));
    o[20] = ICMP_DEST_UNREACH;
    o[21] = mtu ? ICMP_FRAG_NEEDED : ICMP_PKT_FILTERED;
    put16(o + 26, mtu); // RFC 1191 section 4
    memcpy(o + 28, packet, quote);
    put16(o + 22, folded(sum(0, o + 20, 8 + quote)));
    return total;
}

static uint32_t answer6(uint8_t *o, const uint8_t *packet, uint32_t len, uint32_t mtu)
{
    uint32_t quote = len < QUOTE6 - 48 ? len : QUOTE6 - 48, payload = 8 + quote;
    memset(o, 0, 48);
    o[0] = 0x60;
    put16(o + 4, payload);
    o[6] = IPPROTO_ICMPV6;
    o[7] = 64;
    memcpy(o + 8, packet + 24, 16);
    memcpy(o + 24, packet + 8, 16);
    o[40] = mtu ? ICMP6_PACKET_TOO_BIG : ICMP6_DST_UNREACH;
    o[41] = mtu ? 0 : ICMP6_DST_UNREACH_ADMIN;
    put16(o + 46, mtu);
    memcpy(o + 48, packet, quote);
    put16(o + 42, folded(sum(sum(payload + IPPROTO_ICMPV6, o + 8, 32), o + 40, payload)));
    return 40 + payload;
}

static bool answer(struct worker *w, const uint8_t *packet, uint32_t len, const struct fields *f,
                   uint32_t mtu)
{
    uint8_t out[QUOTE6 + 48];
    if (f->later || is_error(f) || icmp_of_one_link(f->src, f->family) || !within_rate(w))
        return false;
    uint32_t n = f->family == 4 ? answer4(out, packet, len, mtu) : answer6(out, packet, len, mtu);
    const struct path_tun *tun = vti_tun(w, f->vti);
    if (tun->write(tun, out, n) >= 0)
        return true;
    w->tun_errors++;
    return false;
}

void icmp_prohibited(struct worker *w, const uint8_t *packet, uint32_t len, const struct fields *f)
{
    w->prohibited += answer(w, packet, len, f, 0);
}

void icmp_too_big(struct worker *w, const uint8_t *packet, uint32_t len, const struct fields *f, uint32_t mtu)
{
    w->too_big += answer(w, packet, len, f, mtu);
}
