// SPDX-License-Identifier: Apache-2.0
// IPv4 and IPv6 headers: lengths, extension headers up to where ESP stands, rewriting. RFC 791, RFC 8200,
// RFC 4303 sections 3.1.1 and 3.3.4.
#include "driver/soft/ip.h"

#include "driver/common/checksum.h"

enum { MAX_EXTENSIONS = 8 };

void ip_set_tos(uint8_t *ip, bool v6, uint8_t tos)
{
    uint16_t old = get_be16(ip);
    uint32_t sum;

    if (v6) {
        ip[0] = (uint8_t)(0x60 | tos >> 4);
        ip[1] = (uint8_t)(tos << 4 | (ip[1] & 15));
        return;
    }
    if (ip[1] == tos)
        return;
    ip[1] = tos;
    sum = (uint32_t)(uint16_t)~get_be16(ip + 10) + (uint16_t)~old + get_be16(ip);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put_be16(ip + 10, (uint16_t)~sum);
}

static enum esp_status look4(const uint8_t *p, uint32_t room, struct ip_view *v)
{
    if (room < IP4_HEADER)
        return ESP_STATUS_TRUNCATED;
    v->v6 = false;
    v->header = (p[0] & 15u) * 4;
    v->total = get_be16(p + 2);
    v->proto_at = 9;
    v->proto = p[9];
    if (p[0] >> 4 != 4 || v->header < IP4_HEADER || v->total < v->header)
        return ESP_STATUS_BAD_IP;
    return v->total > room ? ESP_STATUS_TRUNCATED : ESP_STATUS_OK;
}

static enum esp_status look6(const uint8_t *p, uint32_t room, struct ip_view *v)
{
    if (room < IP6_HEADER)
        return ESP_STATUS_TRUNCATED;
    v->v6 = true;
    v->header = IP6_HEADER;
    v->total = IP6_HEADER + get_be16(p + 4);
    v->proto_at = 6;
    v->proto = p[6];
    return v->total > room ? ESP_STATUS_TRUNCATED : ESP_STATUS_OK;
}

enum esp_status ip_look(const uint8_t *p, uint32_t room, unsigned families, struct ip_view *v)
{
    bool v6 = room && ip_is_v6(p) && families & ESP_FAMILY_IPV6;

    if (v6)
        return look6(p, room, v);
    if (families & ESP_FAMILY_IPV4)
        return look4(p, room, v);
    return room ? ESP_STATUS_BAD_IP : ESP_STATUS_TRUNCATED;
}

// Destination options are in front of ESP only where a routing header follows them: those are for each hop
// that it names, the others for the end alone (RFC 8200 section 4.1, RFC 4303 section 3.1.1).
static bool stays_in_front(const uint8_t *p, const struct ip_view *v, bool *bad)
{
    uint32_t length;

    if (v->proto != PROTO_HOP_BY_HOP && v->proto != PROTO_ROUTING && v->proto != PROTO_DEST_OPTIONS)
        return false;
    *bad = v->total - v->header < 8;
    if (*bad)
        return false;
    length = (p[v->header + 1] + 1u) * 8;
    *bad = v->total - v->header < length;
    return !*bad && (v->proto != PROTO_DEST_OPTIONS || p[v->header] == PROTO_ROUTING ||
                     p[v->header] == PROTO_ESP || p[v->header] == PROTO_AH);
}

enum esp_status ip_walk(const uint8_t *p, struct ip_view *v)
{
    bool bad = false;

    if (!v->v6)
        return get_be16(p + 6) & 0x3fff ? ESP_STATUS_FRAGMENT : ESP_STATUS_OK; // more fragments, or an offset
    for (int n = 0; stays_in_front(p, v, &bad); n++) {
        if (n == MAX_EXTENSIONS)
            return ESP_STATUS_BAD_IP;
        v->proto_at = v->header;
        v->header += (p[v->header + 1] + 1u) * 8;
        v->proto = p[v->proto_at];
    }
    if (bad)
        return ESP_STATUS_TRUNCATED;
    return v->proto == PROTO_FRAGMENT ? ESP_STATUS_FRAGMENT : ESP_STATUS_OK;
}

void ip_rewrite(uint8_t *ip, const struct ip_view *v, uint8_t proto, uint32_t total)
{
    ip[v->proto_at] = proto;
    if (v->v6) {
        put_be16(ip + 4, (uint16_t)(total - IP6_HEADER));
        return;
    }
    put_be16(ip + 2, (uint16_t)total);
    put_be16(ip + 10, 0);
    put_be16(ip + 10, sum_fold(sum_octets(0, ip, v->header)));
}
