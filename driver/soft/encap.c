// SPDX-License-Identifier: Apache-2.0
// Encapsulation in software: outer headers (tunnel mode) or the packet's own (transport mode), UDP where
// asked, then ESP header, IV, payload, padding, ICV, or AH and payload. RFC 4303 section 3.3, RFC 4106
// sections 3 to 5, RFC 7634 section 2, RFC 6040 section 4.1, RFC 3948 sections 2.1 and 3.
#include <string.h>

#include <openssl/crypto.h>

#include "driver/common/bytes.h"
#include "driver/common/checksum.h"
#include "driver/soft/sa.h"

// One packet on its way out.
struct plan {
    struct ip_view v; // the packet that came
    const uint8_t *payload;
    uint32_t payload_len, tfc, pad; // tfc: zeros behind the payload
    uint32_t front, out_len;        // octets before the ESP header; of the result
    uint8_t next;
};

// Tunnel mode: its header must be whole and its length within what was given; what follows it is link
// padding.
static enum esp_status plan_tunnel(const struct esp_sa *sa, const struct esp_job *job, struct plan *x)
{
    enum esp_status st = ip_look(job->in, job->in_len, sa->inner, &x->v);

    x->payload = job->in;
    x->payload_len = x->v.total;
    x->next = x->v.v6 ? PROTO_IPV6 : PROTO_IPV4;
    x->front = sa->header_len;
    return st;
}

// Transport mode: a whole packet between the SA's own ends (RFC 4303 section 3.3.4 allows no fragments).
static enum esp_status plan_transport(const struct esp_sa *sa, const struct esp_job *job, struct plan *x)
{
    const uint8_t *ip = job->in;
    enum esp_status st = ip_look(ip, job->in_len, sa->ipv6 ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4, &x->v);

    if (!st && !x->v.v6 && sum_fold(sum_octets(0, ip, x->v.header)))
        st = ESP_STATUS_BAD_IP; // the header is written anew: a wrong sum must not become right
    if (!st)
        st = ip_walk(ip, &x->v);
    if (st)
        return st;
    if (memcmp(ip_src(ip, sa->ipv6), sa->must.src, ip_addr_octets(sa->ipv6)) ||
        memcmp(ip_dst(ip, sa->ipv6), sa->must.dst, ip_addr_octets(sa->ipv6)))
        return ESP_STATUS_SA_MISMATCH;
    x->payload = ip + x->v.header;
    x->payload_len = x->v.total - x->v.header;
    x->next = x->v.proto;
    x->front = x->v.header + sa->header_len;
    return ESP_STATUS_OK;
}

// RFC 4303 section 2.6: next header 59, and nothing but what stands in for a packet. What is outside is that
// of a packet that is marked with nothing and is not to be fragmented.
static enum esp_status plan_dummy(const struct esp_sa *sa, const struct esp_job *job, struct plan *x)
{
    if (sa->transport || sa->is_ah)
        return ESP_STATUS_SA_MISMATCH;
    x->payload = job->in;
    x->next = PROTO_NONE;
    x->front = sa->header_len;
    return ESP_STATUS_OK;
}

static enum esp_status plan(const struct esp_sa *sa, const struct esp_job *job, struct plan *x)
{
    if (job->dummy)
        return plan_dummy(sa, job, x);
    return sa->transport ? plan_transport(sa, job, x) : plan_tunnel(sa, job, x);
}

// What stops an SA that is otherwise able to take this packet.
static enum esp_status check_limits(const struct esp_sa *sa, uint32_t inner_len)
{
    if (sa_hard(sa, inner_len))
        return ESP_STATUS_HARD_LIMIT;
    if (!sa->esn && sa->next_seq > UINT32_MAX)
        return ESP_STATUS_SEQ_OVERFLOW;
    if (sa->next_seq >= sa->seq_limit)
        return ESP_STATUS_LEASE_END;
    return ESP_STATUS_OK;
}

static uint16_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

// RFC 4301 section 5.1.2: DF of an IPv4 packet is copied; an IPv6 packet is not to be fragmented on the way.
static uint16_t outer_df(const struct esp_sa *sa, const struct plan *x)
{
    if (sa->df_clear)
        return 0;
    return x->v.v6 || x->next == PROTO_NONE ? 0x4000 : get_be16(x->payload + 6) & 0x4000;
}

static void write_tunnel_header(const struct esp_sa *sa, const struct plan *x, uint8_t *out, uint64_t seq)
{
    uint8_t tos = x->next == PROTO_NONE ? 0 : ip_tos(x->payload, x->v.v6);
    uint16_t df = outer_df(sa, x), id;

    tos = (uint8_t)((sa->no_dscp_copy ? 0 : tos & 0xfc) | (sa->no_ecn ? 0 : tos & 3));
    memcpy(out, sa->header, sa->header_len + 4);
    if (sa->ipv6) {
        ip_set_tos(out, true, tos);
        put_be16(out + 4, (uint16_t)(x->out_len - IP6_HEADER));
        return;
    }
    id = df ? 0
            : (uint16_t)(seq + sa->id_offset); // one need only be unique where fragments can arise (RFC 6864)
    if (sa->is_ah && !df && !id) // the ICV is over it, and Linux gives a raw packet without one another
        id = 1;
    out[1] = tos;
    put_be16(out + 2, (uint16_t)x->out_len);
    put_be16(out + 4, id);
    put_be16(out + 6, df);
    put_be16(out + 10, fold(sa->header_sum + tos + x->out_len + id + df));
}

static void write_headers(struct esp_sa *sa, const struct plan *x, const uint8_t *in, uint8_t *out,
                          uint64_t seq)
{
    uint8_t *esp = out + x->front;

    if (sa->transport) {
        memcpy(out, in, x->v.header);
        memcpy(out + x->v.header, sa->header, sa->header_len + 4);
        ip_rewrite(out, &x->v, sa->is_ah ? PROTO_AH : sa->udp_encap ? PROTO_UDP : PROTO_ESP, x->out_len);
    } else {
        write_tunnel_header(sa, x, out, seq);
    }
    if (sa->udp_encap)
        put_be16(esp - UDP_HEADER + 4, (uint16_t)(x->out_len - (x->front - UDP_HEADER)));
    if (!sa->is_ah)
        put_be32(esp + 4, (uint32_t)seq);
}

// Zero over IPv4 (RFC 3948 section 2.1); IPv6 has no other check over its addresses (RFC 8200 section 8.1).
static void write_udp_checksum(const struct plan *x, uint8_t *out)
{
    uint8_t *udp = out + x->front - UDP_HEADER;
    uint32_t len = x->out_len - (x->front - UDP_HEADER);
    uint64_t sum = sum_number(sum_number(sum_octets(0, out + 8, 32), (uint16_t)len), PROTO_UDP);
    uint16_t check = sum_fold(sum_octets(sum, udp, len));

    put_be16(udp + 6, check ? check : 0xffff);
}

// The packet with its TFC padding, where it will be encrypted (RFC 4303 section 2.7).
static const uint8_t *with_tfc(const struct esp_sa *sa, const struct plan *x, uint8_t *esp)
{
    uint8_t *text = esp + ESP_HEADER + sa->crypt.iv;

    memcpy(text, x->payload, x->payload_len);
    memset(text + x->payload_len, 0, x->tfc);
    return text;
}

static int seal(struct esp_sa *sa, const struct plan *x, uint8_t *esp, uint64_t seq)
{
    const uint8_t *payload = x->tfc ? with_tfc(sa, x, esp) : x->payload;
    uint8_t tail[CRYPT_MAX_TAIL] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

    tail[x->pad] = (uint8_t)x->pad;
    tail[x->pad + 1] = x->next;
    return crypt_seal(&sa->crypt,
                      &(struct crypt_seal){esp, seq, payload, tail, x->payload_len + x->tfc, x->pad + 2});
}

static uint32_t tfc_padding(const struct esp_sa *sa, const struct esp_job *job, uint32_t len)
{
    uint32_t to = job->tfc_max && job->tfc_max < sa->tfc ? job->tfc_max : sa->tfc;

    return to > len ? to - len : 0;
}

// The length of the result, and of the padding in it.
static void size_up(const struct esp_sa *sa, const struct esp_job *job, struct plan *x)
{
    uint32_t len;

    if (sa->is_ah) {
        x->out_len = x->front + ah_octets(&sa->ah, sa->ipv6) + x->payload_len;
        return;
    }
    x->tfc = tfc_padding(sa, job, x->payload_len);
    len = x->payload_len + x->tfc;
    x->pad = -(len + 2) & (sa->crypt.align - 1u);
    x->out_len = x->front + ESP_HEADER + sa->crypt.iv + len + x->pad + 2 + sa->crypt.icv;
}

static enum esp_status protect(struct esp_sa *sa, const struct plan *x, uint8_t *out, uint64_t seq)
{
    enum esp_status st;

    if (!sa->is_ah)
        return seal(sa, x, out + x->front, seq) ? ESP_STATUS_ABORTED : ESP_STATUS_OK;
    memcpy(out + x->out_len - x->payload_len, x->payload, x->payload_len);
    st = ah_seal(&sa->ah, out, x->front, x->out_len, sa->spi, x->next, seq);
    if (st) // nothing in clear without its ICV
        OPENSSL_cleanse(out, x->out_len);
    return st;
}

enum esp_status soft_encap(struct esp_sa *sa, struct esp_job *job)
{
    struct plan x = {0};
    enum esp_status st;
    uint64_t seq;

    if (!sa || sa->dir != ESP_OUT)
        return ESP_STATUS_SA_INVALID;
    if (sa->draining)
        return ESP_STATUS_SA_DRAINING;
    st = plan(sa, job, &x);
    if (st)
        return st;
    size_up(sa, job, &x);
    if (x.out_len > MAX_IP || x.out_len > job->out_cap)
        return ESP_STATUS_TOO_LONG;
    st = check_limits(sa, x.v.total);
    if (st)
        return st;

    seq = sa->next_seq++; // from here on the number is spent, whatever happens
    job->seq = seq;
    write_headers(sa, &x, job->in, job->out, seq);
    st = protect(sa, &x, job->out, seq);
    if (st)
        return st;
    if (sa->udp_encap && sa->ipv6)
        write_udp_checksum(&x, job->out);
    if (!job->dummy)
        sa_count(sa, x.v.total);
    job->out_len = x.out_len;
    return ESP_STATUS_OK;
}
