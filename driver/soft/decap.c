// SPDX-License-Identifier: Apache-2.0
// Decapsulation in software. The order of the verdicts is part of the engine interface: the card gives the
// same reason for the same packet. RFC 4303 section 3.4, RFC 4302 section 3.4,
// RFC 4106, RFC 7634, RFC 6040 section 4.2, RFC 3948
// sections 2 and 3.1.2, RFC 7296 section 2.23.
#include <string.h>

#include "driver/common/bytes.h"
#include "driver/common/checksum.h"
#include "driver/soft/sa.h"

enum { MIN_PAYLOAD = 4 };
enum { ECN_NOT_ECT = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3 };

struct outer {
    struct ip_view v;
    const uint8_t *ip, *esp;
    uint32_t esp_len;
    bool udp, ah; // ah: `esp` is an AH
    uint16_t sport, dport;
};

// An authentic payload.
struct opened {
    const struct outer *o;
    uint8_t *plain;
    uint32_t payload; // octets, with padding and trailer where there are such
    uint32_t inner;   // octets of the packet or of the transport payload inside
    uint8_t next;
};

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

static enum esp_status parse_ip4(struct ip_view *v, const uint8_t *in, uint32_t len)
{
    if (len < IP4_HEADER)
        return ESP_STATUS_TRUNCATED;
    v->header = (in[0] & 15u) * 4;
    v->total = get_be16(in + 2);
    v->proto_at = 9;
    v->proto = in[9];
    if (in[0] >> 4 != 4 || v->header < IP4_HEADER)
        return ESP_STATUS_BAD_IP;
    if (len < v->header)
        return ESP_STATUS_TRUNCATED;
    if (sum_fold(sum_octets(0, in, v->header)) || v->total < v->header)
        return ESP_STATUS_BAD_IP;
    return v->total > len ? ESP_STATUS_TRUNCATED : ESP_STATUS_OK;
}

static enum esp_status parse_outer(struct outer *o, const uint8_t *in, uint32_t len)
{
    enum esp_status st;

    if (len && ip_is_v6(in))
        st = ip_look(in, len, ESP_FAMILY_IPV6, &o->v);
    else
        st = parse_ip4(&o->v, in, len);
    if (!st)
        st = ip_walk(in, &o->v);
    if (st)
        return st;
    o->ip = in;
    o->esp = in + o->v.header;
    o->esp_len = o->v.total - o->v.header;
    if (o->v.proto == PROTO_UDP)
        return parse_udp(o, o->esp, o->esp_len);
    o->ah = o->v.proto == PROTO_AH;
    if (o->ah)
        return o->esp_len < AH_FIXED ? ESP_STATUS_TRUNCATED : ESP_STATUS_OK;
    if (o->v.proto != PROTO_ESP)
        return ESP_STATUS_NOT_ESP;
    return o->esp_len < ESP_HEADER ? ESP_STATUS_TRUNCATED : ESP_STATUS_OK;
}

// Plain ESP and ESP in UDP are both taken at any time, whether a NAT was found or not (RFC 7296
// section 2.23).
static enum esp_status find_sa(struct spi_table *spis, const struct outer *o, struct esp_job *job)
{
    const uint8_t *dst = ip_dst(o->ip, o->v.v6);
    struct esp_sa *sa = spi_table_find(spis, get_be32(o->esp + (o->ah ? 4 : 0)), o->v.v6, dst);

    job->sa = sa;
    if (!sa)
        return ESP_STATUS_NO_SA;
    if (!sa_is_for(sa, o->v.v6, dst) || sa->is_ah != o->ah || (o->udp && sa->dport != o->dport))
        return ESP_STATUS_SA_MISMATCH;
    return sa->draining ? ESP_STATUS_SA_DRAINING : ESP_STATUS_OK;
}

// What is left of the payload without its padding.
static enum esp_status check_trailer(struct opened *x)
{
    uint32_t pad = x->plain[x->payload - 2];

    if (x->next == PROTO_NONE)
        return ESP_STATUS_DUMMY;
    if (pad > x->payload - 2)
        return ESP_STATUS_BAD_PAD;
    x->inner = x->payload - 2 - pad;
    for (uint32_t i = 0; i < pad; i++)
        if (x->plain[x->inner + i] != i + 1)
            return ESP_STATUS_BAD_PAD;
    return ESP_STATUS_OK;
}

// Tunnel mode: the next header names a family that may be inside, and the packet gives its own length.
static enum esp_status check_tunnel(const struct esp_sa *sa, struct opened *x)
{
    unsigned family = x->next == PROTO_IPV4 ? ESP_FAMILY_IPV4 : x->next == PROTO_IPV6 ? ESP_FAMILY_IPV6 : 0;
    struct ip_view v = {0};
    enum esp_status st;

    if (!(family & sa->inner))
        return ESP_STATUS_BAD_NEXT_HEADER;
    st = ip_look(x->plain, x->inner, family, &v);
    x->inner = v.total;
    return st;
}

// The octets that the packet claims, which the hard limit judges before anything else does.
static uint64_t claimed(const struct esp_sa *sa, const struct opened *x)
{
    if (sa->transport)
        return x->o->v.header + x->inner;
    if (x->o->ah)
        return x->inner;
    if (x->next == PROTO_IPV4)
        return get_be16(x->plain + 2);
    return x->next == PROTO_IPV6 && sa->inner & ESP_FAMILY_IPV6 && x->payload > MIN_PAYLOAD
               ? IP6_HEADER + (uint64_t)get_be16(x->plain + 4)
               : 0;
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

static enum esp_status finish_tunnel(const struct esp_sa *sa, struct opened *x, struct esp_job *job)
{
    bool v6 = x->next == PROTO_IPV6;
    int tos = inner_tos(sa, ip_tos(x->plain, v6), ip_tos(x->o->ip, x->o->v.v6));

    if (tos < 0)
        return ESP_STATUS_ECN_CE;
    if (x->inner > job->out_cap)
        return ESP_STATUS_TOO_LONG;
    ip_set_tos(x->plain, v6, (uint8_t)tos);
    if (x->plain != job->out)
        memcpy(job->out, x->plain, x->inner);
    job->out_len = x->inner;
    return ESP_STATUS_OK;
}

// Where the checksum of such a payload stands that covers the IP addresses, 0: there is none.
static uint32_t checksum_at(uint8_t proto, bool v6, const uint8_t *p, uint32_t len)
{
    if (proto == PROTO_TCP && len >= 20)
        return 16;
    if (proto == PROTO_UDP && len >= UDP_HEADER && get_be16(p + 4) == len && (v6 || get_be16(p + 6)))
        return 6;
    return proto == PROTO_ICMPV6 && v6 && len >= 4 ? 2 : 0;
}

// A NAT may have changed the addresses that this checksum covers; the ICV has vouched for the payload, so it
// is made anew (RFC 3948 section 3.1.2).
static void mend_checksum(uint8_t *ip, const struct ip_view *v, uint8_t proto, uint32_t len)
{
    uint8_t *p = ip + v->header;
    uint32_t at = checksum_at(proto, v->v6, p, len);
    uint64_t sum;
    uint16_t check;

    if (!at)
        return;
    put_be16(p + at, 0);
    sum = sum_octets(0, ip_src(ip, v->v6), 2 * ip_addr_octets(v->v6));
    check = sum_fold(sum_octets(sum_number(sum_number(sum, (uint16_t)len), proto), p, len));
    put_be16(p + at, check || proto != PROTO_UDP ? check : 0xffff);
}

// Transport mode: the packet's own header again, in front of what was inside.
static enum esp_status finish_transport(const struct opened *x, struct esp_job *job)
{
    const struct ip_view *v = &x->o->v;
    uint32_t total = v->header + x->inner;

    if (total > job->out_cap)
        return ESP_STATUS_TOO_LONG;
    if (x->plain != job->out + v->header)
        memcpy(job->out + v->header, x->plain, x->inner);
    memcpy(job->out, x->o->ip, v->header);
    ip_rewrite(job->out, v, x->next, total);
    if (x->o->udp)
        mend_checksum(job->out, v, x->next, x->inner);
    job->out_len = total;
    return ESP_STATUS_OK;
}

static bool src_changed(const struct esp_sa *sa, const struct outer *o)
{
    return memcmp(sa->ends.src, ip_src(o->ip, o->v.v6), ip_addr_octets(o->v.v6)) ||
           (o->udp && sa->sport != o->sport);
}

// Everything after verification. The packet is authentic: it is marked as received whatever follows.
static enum esp_status accept_plain(struct esp_sa *sa, struct opened *x, struct esp_job *job)
{
    enum esp_status st;

    window_set(&sa->window, job->seq);
    if (x->o->ah) {
        x->inner = x->payload;
        st = ESP_STATUS_OK;
    } else {
        x->next = x->plain[x->payload - 1];
        st = check_trailer(x);
    }
    if (!st && !sa->transport)
        st = check_tunnel(sa, x);
    if (sa_hard(sa, claimed(sa, x)))
        return ESP_STATUS_HARD_LIMIT;
    if (!st)
        st = sa->transport ? finish_transport(x, job) : finish_tunnel(sa, x, job);
    if (st)
        return st;
    sa_count(sa, job->out_len);
    job->src_changed = src_changed(sa, x->o);
    return ESP_STATUS_OK;
}

// Where the plaintext goes: to its place in the result, or beside it where the padding would not fit.
static uint8_t *place(const struct esp_sa *sa, const struct outer *o, const struct esp_job *job,
                      uint32_t payload, uint8_t *scratch)
{
    uint32_t front = sa->transport ? o->v.header : 0;

    return front + payload <= job->out_cap ? job->out + front : scratch;
}

// How long the payload is that this SA's packet must have, and its number as it came.
static enum esp_status measure(const struct esp_sa *sa, const struct outer *o, struct opened *x,
                               uint32_t *number)
{
    uint32_t around = ESP_HEADER + sa->crypt.iv + sa->crypt.icv;

    if (o->ah) {
        uint32_t octets = (o->esp[1] + 2u) * 4;
        if (o->esp_len < octets || octets < AH_FIXED)
            return ESP_STATUS_TRUNCATED;
        x->next = o->esp[0];
        x->payload = o->esp_len - octets;
        *number = get_be32(o->esp + 8);
        return ESP_STATUS_OK;
    }
    if (o->esp_len < around + MIN_PAYLOAD || (o->esp_len - around) % sa->crypt.align)
        return ESP_STATUS_TRUNCATED;
    x->payload = o->esp_len - around;
    *number = get_be32(o->esp + 4);
    return ESP_STATUS_OK;
}

static enum esp_status verify(struct esp_sa *sa, const struct outer *o, struct opened *x, uint64_t seq)
{
    enum esp_status st;

    if (!o->ah)
        return crypt_open(&sa->crypt, o->esp, x->payload, seq, x->plain) ? ESP_STATUS_ICV_FAIL
                                                                         : ESP_STATUS_OK;
    st = ah_check(&sa->ah, o->ip, o->v.header, o->v.total, seq);
    if (!st)
        memcpy(x->plain, o->ip + o->v.total - x->payload, x->payload);
    return st;
}

enum esp_status soft_decap(struct spi_table *spis, struct esp_job *job, uint8_t *scratch)
{
    struct outer o = {0};
    enum esp_status st = parse_outer(&o, job->in, job->in_len);
    struct opened x = {.o = &o};
    struct esp_sa *sa;
    uint32_t number = 0;

    job->sa = NULL;
    if (!st)
        st = find_sa(spis, &o, job);
    if (st)
        return st;
    sa = job->sa;
    st = measure(sa, &o, &x, &number);
    if (st)
        return st;
    job->seq = window_infer(&sa->window, number);
    st = window_look(&sa->window, job->seq);
    if (st)
        return st;
    x.plain = place(sa, &o, job, x.payload, scratch);
    st = verify(sa, &o, &x, job->seq);
    return st ? st : accept_plain(sa, &x, job);
}
