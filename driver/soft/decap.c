// SPDX-License-Identifier: Apache-2.0
// Decapsulation in software. The order of the verdicts is part of the engine interface: the card gives the
// same reason for the same packet. RFC 4303 section 3.4, RFC 4106, RFC 7634, RFC 6040 section 4.2, RFC 3948
// section 2, RFC 1624.
#include <string.h>

#include "driver/common/bytes.h"
#include "driver/soft/sa.h"

enum { NEXT_HEADER_IPV4 = 4, NEXT_HEADER_NONE = 59, PROTO_UDP = 17, PROTO_ESP = 50, MIN_PAYLOAD = 4 };
enum { ECN_NOT_ECT = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3 };

struct outer {
    const uint8_t *ip, *esp;
    uint32_t esp_len;
    bool udp;
    uint16_t sport, dport;
};

static bool checksum_ok(const uint8_t *h, uint32_t len)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < len; i += 2)
        sum += get_be16(h + i);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff;
}

// ESP in UDP: a zero SPI is IKE and a single octet a keepalive (RFC 3948 section 2); the checksum is ignored.
static enum esp_status parse_udp(struct outer *o, const uint8_t *udp, uint32_t len)
{
    uint32_t udp_len;

    if (len < UDP_HEADER)
        return ESP_STATUS_TRUNCATED;
    udp_len = get_be16(udp + 4);
    if (udp_len < UDP_HEADER || udp_len > len)
        return ESP_STATUS_TRUNCATED;
    o->udp = true;
    o->sport = get_be16(udp);
    o->dport = get_be16(udp + 2);
    o->esp = udp + UDP_HEADER;
    o->esp_len = udp_len - UDP_HEADER;
    if (o->esp_len < ESP_HEADER || get_be32(o->esp) == 0)
        return ESP_STATUS_NOT_ESP;
    return ESP_STATUS_OK;
}

static enum esp_status parse_outer(struct outer *o, const uint8_t *in, uint32_t len)
{
    uint32_t header, total;

    if (len < IP4_HEADER)
        return ESP_STATUS_TRUNCATED;
    header = (in[0] & 15u) * 4;
    total = get_be16(in + 2);
    if (in[0] >> 4 != 4 || header < IP4_HEADER)
        return ESP_STATUS_BAD_IP;
    if (len < header)
        return ESP_STATUS_TRUNCATED;
    if (!checksum_ok(in, header) || total < header)
        return ESP_STATUS_BAD_IP;
    if (total > len)
        return ESP_STATUS_TRUNCATED;
    if (get_be16(in + 6) & 0x3fff) // more fragments, or an offset
        return ESP_STATUS_FRAGMENT;
    o->ip = in;
    o->udp = false;
    o->esp = in + header;
    o->esp_len = total - header;
    if (in[9] == PROTO_UDP)
        return parse_udp(o, in + header, total - header);
    if (in[9] != PROTO_ESP)
        return ESP_STATUS_NOT_ESP;
    return o->esp_len < ESP_HEADER ? ESP_STATUS_TRUNCATED : ESP_STATUS_OK;
}

// Plain ESP and ESP in UDP are both taken at any time, whether a NAT was found or not (RFC 7296
// section 2.23).
static enum esp_status find_sa(struct spi_table *spis, const struct outer *o, struct esp_job *job)
{
    struct esp_sa *sa = spi_table_find(spis, get_be32(o->esp), o->ip + 16);

    job->sa = sa;
    if (!sa)
        return ESP_STATUS_NO_SA;
    if (memcmp(sa->dst, o->ip + 16, sizeof(sa->dst)) || (o->udp && sa->dport != o->dport))
        return ESP_STATUS_SA_MISMATCH;
    return sa->draining ? ESP_STATUS_SA_DRAINING : ESP_STATUS_OK;
}

static int open_payload(struct esp_sa *sa, const uint8_t *esp, uint32_t payload, uint64_t seq, uint8_t *plain)
{
    uint8_t nonce[AEAD_NONCE], aad[12];
    int aad_len = 8;

    memcpy(nonce, sa->salt, 4);
    memcpy(nonce + 4, esp + ESP_HEADER, ESP_IV);
    memcpy(aad, esp, 8);
    if (sa->esn) {
        put_be64(aad + 4, seq);
        aad_len = 12;
    }
    return aead_open(&sa->aead, nonce, aad, aad_len, esp + ESP_HEADER + ESP_IV, payload, plain);
}

// Trailer and inner header of an authentic payload. Sets the inner length where the header gives one.
static enum esp_status check_plain(const uint8_t *plain, uint32_t payload, uint32_t *inner_len)
{
    uint32_t pad = plain[payload - 2], next = plain[payload - 1], room, header, total;

    if (next == NEXT_HEADER_NONE)
        return ESP_STATUS_DUMMY;
    if (pad > payload - 2)
        return ESP_STATUS_BAD_PAD;
    room = payload - 2 - pad;
    for (uint32_t i = 0; i < pad; i++)
        if (plain[room + i] != i + 1)
            return ESP_STATUS_BAD_PAD;
    if (next != NEXT_HEADER_IPV4)
        return ESP_STATUS_BAD_NEXT_HEADER;
    if (room < IP4_HEADER)
        return ESP_STATUS_TRUNCATED;
    header = (plain[0] & 15u) * 4;
    total = get_be16(plain + 2);
    if (plain[0] >> 4 != 4 || header < IP4_HEADER || total < header)
        return ESP_STATUS_BAD_IP;
    if (total > room)
        return ESP_STATUS_TRUNCATED;
    *inner_len = total;
    return ESP_STATUS_OK;
}

// The inner TOS octet after decapsulation, or -1 where the packet must be dropped (RFC 6040 section 4.2).
static int inner_tos(const struct esp_sa *sa, uint8_t inner, uint8_t outer)
{
    uint8_t ecn = inner & 3, out = outer & 3;

    if (!sa->no_ecn) {
        if (out == ECN_CE && ecn == ECN_NOT_ECT)
            return -1;
        if (out == ECN_CE)
            ecn = ECN_CE;
        else if (out == ECN_ECT1 && ecn == ECN_ECT0)
            ecn = ECN_ECT1;
    }
    return ((sa->dscp_decap ? outer : inner) & 0xfc) | ecn;
}

// Writes the TOS octet and mends the header checksum by difference (RFC 1624 equation 3): a wrong one stays
// wrong.
static void set_tos(uint8_t *ip, uint8_t tos)
{
    uint16_t old = get_be16(ip);
    uint32_t sum;

    if (ip[1] == tos)
        return;
    ip[1] = tos;
    sum = (uint32_t)(uint16_t)~get_be16(ip + 10) + (uint16_t)~old + get_be16(ip);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    put_be16(ip + 10, (uint16_t)~sum);
}

// Everything after verification. The packet is authentic: it is marked as received whatever follows.
static enum esp_status accept_plain(struct esp_sa *sa, const struct outer *o, struct esp_job *job,
                                    uint8_t *plain, uint32_t payload)
{
    uint32_t inner_len = 0;
    enum esp_status st;
    int tos;

    window_set(&sa->window, job->seq);
    st = check_plain(plain, payload, &inner_len);
    if (sa_hard(sa,
                plain[payload - 1] == NEXT_HEADER_IPV4 ? get_be16(plain + 2) : 0)) // what the header claims
        return ESP_STATUS_HARD_LIMIT;
    if (st)
        return st;
    tos = inner_tos(sa, plain[1], o->ip[1]);
    if (tos < 0)
        return ESP_STATUS_ECN_CE;
    if (inner_len > job->out_cap)
        return ESP_STATUS_TOO_LONG;
    set_tos(plain, (uint8_t)tos);
    if (plain != job->out)
        memcpy(job->out, plain, inner_len);
    sa_count(sa, inner_len);
    job->out_len = inner_len;
    job->src_changed = memcmp(sa->src, o->ip + 12, sizeof(sa->src)) || (o->udp && sa->sport != o->sport);
    return ESP_STATUS_OK;
}

enum esp_status soft_decap(struct spi_table *spis, struct esp_job *job, uint8_t *scratch)
{
    struct outer o = {0};
    enum esp_status st = parse_outer(&o, job->in, job->in_len);
    struct esp_sa *sa;
    uint32_t payload;
    uint8_t *plain;

    job->sa = NULL;
    if (!st)
        st = find_sa(spis, &o, job);
    if (st)
        return st;
    sa = job->sa;
    if (o.esp_len < ESP_HEADER + ESP_IV + MIN_PAYLOAD + ESP_ICV || o.esp_len % 4)
        return ESP_STATUS_TRUNCATED;
    payload = o.esp_len - ESP_HEADER - ESP_IV - ESP_ICV;
    job->seq = window_infer(&sa->window, get_be32(o.esp + 4));
    st = window_look(&sa->window, job->seq);
    if (st)
        return st;
    plain = payload <= job->out_cap ? job->out : scratch;
    if (open_payload(sa, o.esp, payload, job->seq, plain))
        return ESP_STATUS_ICV_FAIL;
    return accept_plain(sa, &o, job, plain, payload);
}
