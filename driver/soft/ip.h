// SPDX-License-Identifier: Apache-2.0
// IPv4 and IPv6 packets as ESP sees them: the header as a whole, and where the payload begins that a
// transport mode SA protects. RFC 791, RFC 8200, RFC 4303 section 3.1.
#ifndef ESPALIER_SOFT_IP_H
#define ESPALIER_SOFT_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/common/bytes.h"
#include "espalier/engine.h"

enum { IP4_HEADER = 20, IP6_HEADER = 40, UDP_HEADER = 8, MAX_IP = 65535 };
enum {
    PROTO_HOP_BY_HOP = 0,
    PROTO_IPV4 = 4,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_IPV6 = 41,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_ESP = 50,
    PROTO_AH = 51,
    PROTO_ICMPV6 = 58,
    PROTO_NONE = 59,
    PROTO_DEST_OPTIONS = 60,
};

struct ip_view {
    bool v6;
    uint32_t header, total; // octets of the header (with options or extension headers) and of the packet
    uint32_t proto_at;      // where the number of the payload's protocol stands
    uint8_t proto;
};

static inline bool ip_is_v6(const uint8_t *ip)
{
    return ip[0] >> 4 == 6;
}

static inline uint32_t ip_addr_octets(bool v6)
{
    return v6 ? 16 : 4;
}

static inline const uint8_t *ip_src(const uint8_t *ip, bool v6)
{
    return ip + (v6 ? 8 : 12);
}

static inline const uint8_t *ip_dst(const uint8_t *ip, bool v6)
{
    return ip + (v6 ? 24 : 16);
}

// TOS or traffic class.
static inline uint8_t ip_tos(const uint8_t *ip, bool v6)
{
    return v6 ? (uint8_t)(ip[0] << 4 | ip[1] >> 4) : ip[1];
}

// Sets it; an IPv4 checksum is mended by difference (RFC 1624 equation 3): a wrong one stays wrong.
void ip_set_tos(uint8_t *ip, bool v6, uint8_t tos);

// The packet at p, of which `room` octets are there, of one of the families (ESP_FAMILY_*): OK, TRUNCATED or
// BAD_IP. Extension headers are not looked at.
enum esp_status ip_look(const uint8_t *p, uint32_t room, unsigned families, struct ip_view *v);

// After ip_look: takes the extension headers of an IPv6 packet that stay in front of ESP or AH into
// v->header. OK, TRUNCATED, BAD_IP, or FRAGMENT for a fragment of either family.
enum esp_status ip_walk(const uint8_t *p, struct ip_view *v);

// A packet whose header (v, by ip_walk) is in place gets another protocol and length; the checksum of IPv4 is
// made anew.
void ip_rewrite(uint8_t *ip, const struct ip_view *v, uint8_t proto, uint32_t total);

#endif
