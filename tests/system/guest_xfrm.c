// SPDX-License-Identifier: Apache-2.0
#include "tests/system/guest_xfrm.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "driver/common/bytes.h"
#include "driver/common/checksum.h"
#include "driver/common/params.h"

// ---- what iproute2 is told

static int hex(char *to, size_t size, const uint8_t *p, unsigned n, const uint8_t *more, unsigned m)
{
    int at = snprintf(to, size, "0x");
    for (unsigned i = 0; i < n + m; i++)
        at += snprintf(to + at, size - (size_t)at, "%02x", i < n ? p[i] : more[i - n]);
    return at;
}

// How the kernel calls a cipher (RFC 4106, 4309, 4543, 3686, 7634).
static const char *cipher(enum esp_alg a)
{
    const char *name = esp_alg_name(a);
    return strstr(name, "gcm")              ? "rfc4106(gcm(aes))"
           : strstr(name, "gmac")           ? "rfc4543(gcm(aes))"
           : strstr(name, "ccm")            ? "rfc4309(ccm(aes))"
           : strstr(name, "ctr")            ? "rfc3686(ctr(aes))"
           : a == ESP_ALG_CHACHA20_POLY1305 ? "rfc7539esp(chacha20,poly1305)"
           : a == ESP_ALG_NULL              ? "ecb(cipher_null)"
                                            : "cbc(aes)";
}

static const char *hash(enum esp_integ i)
{
    return i == ESP_INTEG_HMAC_SHA256_128   ? "hmac(sha256)"
           : i == ESP_INTEG_HMAC_SHA384_192 ? "hmac(sha384)"
           : i == ESP_INTEG_HMAC_SHA512_256 ? "hmac(sha512)"
                                            : "hmac(sha1)";
}

static int algorithms(char *to, size_t size, const struct esp_sa_params *p)
{
    struct alg_sizes a = alg_sizes(p->alg), i = integ_sizes(p->integ);
    char key[160] = "\"\"";
    int n = 0;
    if (p->protocol == ESP_PROTOCOL_ESP) {
        if (a.key)
            hex(key, sizeof(key), p->key, a.key, p->salt, a.salt);
        n = snprintf(to, size, " %s %s %s", a.icv ? "aead" : "enc", cipher(p->alg), key);
        if (a.icv)
            n += snprintf(to + n, size - (size_t)n, " %d", a.icv * 8);
    }
    if (p->integ != ESP_INTEG_NONE) {
        hex(key, sizeof(key), p->integ_key, i.key, NULL, 0);
        n += snprintf(to + n, size - (size_t)n, " auth-trunc %s %s %d", hash(p->integ), key, i.icv * 8);
    }
    return n;
}

static void ends(const struct esp_sa_params *p, char src[INET6_ADDRSTRLEN], char dst[INET6_ADDRSTRLEN])
{
    int family = p->ipv6 ? AF_INET6 : AF_INET;
    inet_ntop(family, p->src, src, INET6_ADDRSTRLEN);
    inet_ntop(family, p->dst, dst, INET6_ADDRSTRLEN);
}

static const char *mode(const struct esp_sa_params *p)
{
    return p->mode == ESP_TUNNEL ? "tunnel" : "transport";
}

static const char *protocol(const struct esp_sa_params *p)
{
    return p->protocol == ESP_PROTOCOL_AH ? "ah" : "esp";
}

int xfrm_state(char *to, size_t size, const struct esp_sa_params *p)
{
    char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
    uint64_t last = p->dir == ESP_OUT ? p->seq - 1 : p->seq; // that its sender has used
    const char *way = p->dir == ESP_OUT ? "" : "o";          // what we send it receives
    ends(p, src, dst);
    int n = snprintf(to, size, "xfrm state add src %s dst %s proto %s spi 0x%08x reqid 7 mode %s", src, dst,
                     protocol(p), p->spi, mode(p));
    n += algorithms(to + n, size - (size_t)n, p);
    n += snprintf(to + n, size - (size_t)n, " replay-window %u", p->window ? p->window : 64);
    if (last)
        n += snprintf(to + n, size - (size_t)n, " replay-%sseq 0x%x", way, (uint32_t)last);
    if (last >> 32)
        n += snprintf(to + n, size - (size_t)n, " replay-%sseq-hi 0x%x", way, (uint32_t)(last >> 32));
    // align4: AH over IPv4 as RFC 4302 has it, which is not the kernel's default
    n += snprintf(to + n, size - (size_t)n, " flag af-unspec%s%s", p->esn ? " esn" : "",
                  p->protocol == ESP_PROTOCOL_AH && !p->ipv6 ? " align4" : "");
    if (p->udp_encap)
        n += snprintf(to + n, size - (size_t)n, " encap espinudp %u %u %s", p->sport, p->dport,
                      p->ipv6 ? "::" : "0.0.0.0");
    return n + snprintf(to + n, size - (size_t)n, "\\n");
}

int xfrm_policies(char *to, size_t size, const struct esp_sa_params *p, const char *near, const char *far)
{
    char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
    ends(p, src, dst);
    return snprintf(to, size,
                    "xfrm policy add src %s dst %s dir in tmpl src %s dst %s proto %s reqid 7 mode %s\\n"
                    "xfrm policy add src %s dst %s dir out tmpl src %s dst %s proto %s reqid 7 mode %s\\n",
                    near, far, src, dst, protocol(p), mode(p), far, near, dst, src, protocol(p), mode(p));
}

// ---- echo requests

enum { ASK4 = 8, ANSWER4 = 0, ASK6 = 128, ANSWER6 = 129, ICMP = 8 };

static uint64_t pseudo(const struct echo *e, uint32_t len)
{
    uint64_t sum = sum_octets(sum_octets(0, e->near, 16), e->far, 16);
    return sum_number(sum_number(sum, (uint16_t)len), IPPROTO_ICMPV6);
}

static uint32_t head4(const struct echo *e, uint8_t *p, uint16_t seq, uint32_t len)
{
    static const uint8_t tos[] = {0, 0xb8, 0x02, 0x29}; // DSCP and ECT, which the other end gives back
    p[0] = 0x45;
    p[1] = tos[seq % 4];
    put_be16(p + 2, (uint16_t)(20 + len));
    put_be16(p + 4, (uint16_t)(seq * 7u));
    p[6] = seq & 1 ? 0x40 : 0;
    p[8] = 61;
    p[9] = IPPROTO_ICMP;
    memcpy(p + 12, e->near, 4);
    memcpy(p + 16, e->far, 4);
    put_be16(p + 10, sum_fold(sum_octets(0, p, 20)));
    return 20;
}

static uint32_t head6(const struct echo *e, uint8_t *p, uint32_t len)
{
    p[0] = 0x60;
    put_be16(p + 4, (uint16_t)len);
    p[6] = IPPROTO_ICMPV6;
    p[7] = 61;
    memcpy(p + 8, e->near, 16);
    memcpy(p + 24, e->far, 16);
    return 40;
}

static uint8_t octet(uint16_t seq, uint32_t i)
{
    return (uint8_t)(i * 31 + seq * 17u + (i >> 8));
}

uint32_t echo_ask(const struct echo *e, uint16_t seq, uint32_t octets, uint8_t *p)
{
    uint32_t len = ICMP + octets;
    memset(p, 0, 40 + len);
    uint32_t head = e->ipv6 ? head6(e, p, len) : head4(e, p, seq, len);
    uint8_t *icmp = p + head;
    icmp[0] = e->ipv6 ? ASK6 : ASK4;
    put_be16(icmp + 4, e->id);
    put_be16(icmp + 6, seq);
    for (uint32_t i = 0; i < octets; i++)
        icmp[ICMP + i] = octet(seq, i);
    put_be16(icmp + 2, sum_fold(sum_octets(e->ipv6 ? pseudo(e, len) : 0, icmp, len)));
    return head + len;
}

static bool from_far(const struct echo *e, const uint8_t *p, size_t len)
{
    if (e->ipv6)
        return len >= 48 && p[0] >> 4 == 6 && get_be16(p + 4) == len - 40 && p[6] == IPPROTO_ICMPV6 &&
               memcmp(p + 8, e->far, 16) == 0 && memcmp(p + 24, e->near, 16) == 0;
    return len >= 28 && p[0] == 0x45 && get_be16(p + 2) == len && p[9] == IPPROTO_ICMP &&
           sum_fold(sum_octets(0, p, 20)) == 0 && memcmp(p + 12, e->far, 4) == 0 &&
           memcmp(p + 16, e->near, 4) == 0;
}

int echo_answered(const struct echo *e, const uint8_t *p, size_t len, uint32_t octets)
{
    uint32_t head = e->ipv6 ? 40 : 20, size = ICMP + octets;
    const uint8_t *icmp = p + head;
    if (len != head + size || !from_far(e, p, len) || icmp[0] != (e->ipv6 ? ANSWER6 : ANSWER4) || icmp[1] ||
        get_be16(icmp + 4) != e->id || sum_fold(sum_octets(e->ipv6 ? pseudo(e, size) : 0, icmp, size)))
        return -1;
    uint16_t seq = get_be16(icmp + 6);
    for (uint32_t i = 0; i < octets; i++)
        if (icmp[ICMP + i] != octet(seq, i))
            return -1;
    return seq;
}
