// SPDX-License-Identifier: Apache-2.0
// See ah.h. What is zeroed is RFC 4302's sections 3.3.3.1.1 (IPv4), 3.3.3.1.2 (IPv6) and appendix A: options
// of IPv4 that are not known not to change, and in IPv6 the data of options that say that they may.
#include "driver/soft/ah.h"

#include <errno.h>
#include <string.h>

#include "driver/common/bytes.h"
#include "driver/common/params.h"

enum { HEADER_MAX = 1024, AH_MAX = AH_FIXED + 8 + ESP_MAX_ICV + 8 };
enum { OPTION_END = 0, OPTION_NOP = 1 };
enum { OPTION6_PAD1 = 0, OPTION6_CHANGES = 0x20, ROUTING_SEGMENTS_LEFT = 3 };

int ah_init(struct ah *a, const struct esp_sa_params *p, struct esp_error *err)
{
    struct alg_sizes s = integ_sizes(p->integ);

    a->iv = s.iv;
    a->icv = s.icv;
    a->esn = p->esn;
    return mac_init(&a->mac, p->integ, p->integ_key, err);
}

void ah_free(struct ah *a)
{
    mac_free(&a->mac);
}

uint32_t ah_octets(const struct ah *a, bool v6)
{
    uint32_t n = AH_FIXED + a->iv + a->icv, step = v6 ? 8 : 4;

    return (n + step - 1) / step * step;
}

// ---- what changes on the way

// Appendix A1: these do not; all others are zeroed whole.
static bool option_stays(uint8_t type)
{
    switch (type) {
    case 130: // security
    case 133: // extended security
    case 134: // commercial security
    case 148: // router alert
    case 149: // sender directed multi-destination delivery
        return true;
    default: return false;
    }
}

static bool zero_options(uint8_t *p, uint32_t len)
{
    for (uint32_t at = 0; at < len;) {
        if (p[at] == OPTION_END)
            return true;
        if (p[at] == OPTION_NOP) {
            at++;
            continue;
        }
        if (len - at < 2 || p[at + 1] < 2 || p[at + 1] > len - at)
            return false;
        uint32_t n = p[at + 1];
        if (!option_stays(p[at]))
            memset(p + at, 0, n);
        at += n;
    }
    return true;
}

static bool zero4(uint8_t *h, uint32_t len)
{
    h[1] = 0;            // DSCP, ECN
    put_be16(h + 6, 0);  // flags, fragment offset
    h[8] = 0;            // TTL
    put_be16(h + 10, 0); // checksum
    return zero_options(h + IP4_HEADER, len - IP4_HEADER);
}

// Of an option that may change its data alone is zeroed.
static bool zero_options6(uint8_t *p, uint32_t len)
{
    for (uint32_t at = 2; at < len;) {
        if (p[at] == OPTION6_PAD1) {
            at++;
            continue;
        }
        if (len - at < 2 || p[at + 1] > len - at - 2)
            return false;
        uint32_t n = p[at + 1];
        if (p[at] & OPTION6_CHANGES)
            memset(p + at + 2, 0, n);
        at += 2 + n;
    }
    return true;
}

// A routing header is as at its end once no segment is left: until then it is not the SA's end that has the
// packet.
static bool zero6(uint8_t *h, uint32_t len)
{
    uint8_t next = h[6];

    h[0] = 0x60; // traffic class and flow label
    h[1] = h[2] = h[3] = 0;
    h[7] = 0; // hop limit
    for (uint32_t at = IP6_HEADER; at < len;) {
        uint32_t n = (h[at + 1] + 1u) * 8;
        if (n > len - at)
            return false;
        if (next == PROTO_ROUTING ? h[at + ROUTING_SEGMENTS_LEFT] != 0 : !zero_options6(h + at, n))
            return false;
        next = h[at];
        at += n;
    }
    return true;
}

// ---- the ICV

// icv: NULL to check the one in the packet. octets: of the packet's own AH.
static enum esp_status run(struct ah *a, const uint8_t *ip, uint32_t front, uint32_t octets, uint32_t total,
                           uint64_t seq, uint8_t *icv)
{
    uint8_t header[HEADER_MAX], own[AH_MAX], high[4];
    const uint8_t *ah = ip + front, *iv = ah + AH_FIXED;
    struct mac_part parts[] = {
        {header, front}, {own, octets}, {ah + octets, total - front - octets}, {high, sizeof(high)}};
    unsigned n = a->esn ? 4 : 3; // behind the payload (RFC 4302 section 2.5.1)
    int rc;

    if (front > sizeof(header))
        return ESP_STATUS_BAD_IP;
    memcpy(header, ip, front);
    if (!(ip_is_v6(ip) ? zero6(header, front) : zero4(header, front)))
        return ESP_STATUS_BAD_IP;
    memcpy(own, ah, octets);
    memset(own + AH_FIXED, 0, a->iv + a->icv);
    put_be32(high, (uint32_t)(seq >> 32));
    if (icv)
        return mac_make(&a->mac, iv, parts, n, icv) ? ESP_STATUS_ABORTED : ESP_STATUS_OK;
    rc = mac_check(&a->mac, iv, parts, n, iv + a->iv);
    return rc ? ESP_STATUS_ICV_FAIL : ESP_STATUS_OK;
}

enum esp_status ah_seal(struct ah *a, uint8_t *ip, uint32_t front, uint32_t total, uint32_t spi, uint8_t next,
                        uint64_t seq)
{
    uint32_t octets = ah_octets(a, ip_is_v6(ip));
    uint8_t icv[ESP_MAX_ICV], *ah = ip + front;
    enum esp_status st;

    memset(ah, 0, octets);
    ah[0] = next;
    ah[1] = (uint8_t)(octets / 4 - 2);
    put_be32(ah + 4, spi);
    put_be32(ah + 8, (uint32_t)seq);
    if (a->iv)
        put_be64(ah + AH_FIXED, seq);
    st = run(a, ip, front, octets, total, seq, icv);
    if (!st)
        memcpy(ah + AH_FIXED + a->iv, icv, a->icv);
    return st;
}

// The sender may have rounded up to 8 octets where 4 would do, as some do in IPv4.
enum esp_status ah_check(struct ah *a, const uint8_t *ip, uint32_t front, uint32_t total, uint64_t seq)
{
    uint32_t octets = (ip[front + 1] + 2u) * 4;

    if (octets > total - front || (octets != ah_octets(a, ip_is_v6(ip)) && octets != ah_octets(a, true)))
        return ESP_STATUS_TRUNCATED;
    return run(a, ip, front, octets, total, seq, NULL);
}
