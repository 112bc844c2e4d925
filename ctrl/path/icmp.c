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

uint32_t icmp_echo(uint8_t *o, const struct addr *from, const struct addr *to, uint16_t ident,
                   uint16_t number)
{
    uint32_t at = from->family == 6 ? 40 : 20;
    memset(o, 0, at + 8);
    if (from->family == 6) {
        o[0] = 0x60;
        put16(o + 4, 8);
        o[6] = IPPROTO_ICMPV6;
        o[7] = 64;
        memcpy(o + 8, from->a, 16);
        memcpy(o + 24, to->a, 16);
    } else {
        o[0] = 0x45;
        put16(o + 2, 28);
        o[8] = 64;
        o[9] = IPPROTO_ICMP;
        memcpy(o + 12, from->a, 4);
        memcpy(o + 16, to->a, 4);
        put16(o + 10, folded(sum(0, o, 20)));
    }
    o[at] = from->family == 6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
    put16(o + at + 4, ident);
    put16(o + at + 6, number);
    put16(o + at + 2, folded(sum(from->family == 6 ? sum(8 + IPPROTO_ICMPV6, o + 8, 32) : 0, o + at, 8)));
    return at + 8;
}

static uint32_t icmp_at(const uint8_t *packet)
{
    return packet[0] >> 4 == 6 ? 40 : 4u * (packet[0] & 15);
}

// Where its ICMP begins, which is not cut; 0: there is none of that type.
static uint32_t whole_icmp(const uint8_t *packet, uint32_t len, uint8_t type4, uint8_t type6)
{
    bool six = packet[0] >> 4 == 6;
    uint32_t at = icmp_at(packet);
    if (len < at + 8 || packet[six ? 6 : 9] != (six ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ||
        (!six && (packet[6] & 0x3f || packet[7])))
        return 0;
    return packet[at] == (six ? type6 : type4) ? at : 0;
}

bool icmp_echo_answers(const uint8_t *packet, uint32_t len, const struct addr *by, uint16_t ident,
                       uint16_t *number)
{
    uint32_t at =
        packet[0] >> 4 == by->family ? whole_icmp(packet, len, ICMP_ECHOREPLY, ICMP6_ECHO_REPLY) : 0;
    bool six = by->family == 6;
    if (!at || memcmp(packet + (six ? 8 : 12), by->a, six ? 16 : 4) != 0 ||
        (packet[at + 4] << 8 | packet[at + 5]) != ident)
        return false;
    *number = (uint16_t)(packet[at + 6] << 8 | packet[at + 7]);
    return true;
}

bool icmp_echo_asks(const uint8_t *packet, uint32_t len, const struct addr *whom)
{
    bool six = whom->family == 6;
    return packet[0] >> 4 == whom->family && whole_icmp(packet, len, ICMP_ECHO, ICMP6_ECHO_REQUEST) &&
           memcmp(packet + (six ? 24 : 16), whom->a, six ? 16 : 4) == 0;
}

static void swap(uint8_t *a, uint8_t *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

void icmp_echo_turn(uint8_t *packet, uint32_t len)
{
    bool six = packet[0] >> 4 == 6;
    uint32_t at = icmp_at(packet), n = len - at;
    swap(packet + (six ? 8 : 12), packet + (six ? 24 : 16), six ? 16 : 4);
    packet[six ? 7 : 8] = 64;
    if (!six) {
        put16(packet + 10, 0);
        put16(packet + 10, folded(sum(0, packet, at)));
    }
    packet[at] = six ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY;
    put16(packet + at + 2, 0);
    put16(packet + at + 2, folded(sum(six ? sum(n + IPPROTO_ICMPV6, packet + 8, 32) : 0, packet + at, n)));
}

void icmp_prohibited(struct worker *w, const uint8_t *packet, uint32_t len, const struct fields *f)
{
    w->prohibited += answer(w, packet, len, f, 0);
}

void icmp_too_big(struct worker *w, const uint8_t *packet, uint32_t len, const struct fields *f, uint32_t mtu)
{
    w->too_big += answer(w, packet, len, f, mtu);
}
