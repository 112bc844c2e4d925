// SPDX-License-Identifier: Apache-2.0
// Encapsulation in software: outer IPv4 header, UDP where asked, ESP header, IV, payload, padding, ICV. RFC
// 4303 section 3.3, RFC 4106 sections 3 to 5, RFC 7634 section 2, RFC 6040 section 4.1, RFC 3948 section 2.1.
#include <string.h>

#include "driver/common/bytes.h"
#include "driver/soft/sa.h"

enum { NEXT_HEADER_IPV4 = 4, MAX_IP = 65535 };

// The inner packet: its header must be whole and its length within what was given; what follows it is link
// padding.
static enum esp_status check_inner(const struct esp_job *job, uint32_t *inner_len)
{
    const uint8_t *in = job->in;
    uint32_t header, total;

    if (job->in_len < IP4_HEADER)
        return ESP_STATUS_TRUNCATED;
    header = (in[0] & 15u) * 4;
    total = get_be16(in + 2);
    if (in[0] >> 4 != 4 || header < IP4_HEADER || total < header)
        return ESP_STATUS_BAD_IP;
    if (total > job->in_len)
        return ESP_STATUS_TRUNCATED;
    *inner_len = total;
    return ESP_STATUS_OK;
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

static void write_headers(struct esp_sa *sa, const uint8_t *in, uint8_t *out, uint32_t out_len, uint64_t seq)
{
    uint8_t tos = (uint8_t)((sa->no_dscp_copy ? 0 : in[1] & 0xfc) | (sa->no_ecn ? 0 : in[1] & 3));
    uint16_t df = sa->df_clear ? 0 : get_be16(in + 6) & 0x4000;
    uint16_t id = df ? 0 : sa->next_id++; // an ID need only be unique where fragments can arise (RFC 6864)
    uint8_t *esp = out + sa->header_len;

    memcpy(out, sa->header, sa->header_len + 4);
    out[1] = tos;
    put_be16(out + 2, (uint16_t)out_len);
    put_be16(out + 4, id);
    put_be16(out + 6, df);
    put_be16(out + 10, fold(sa->header_sum + tos + out_len + id + df));
    if (sa->udp_encap)
        put_be16(out + IP4_HEADER + 4, (uint16_t)(out_len - IP4_HEADER));
    put_be32(esp + 4, (uint32_t)seq);
    put_be64(esp + ESP_HEADER, seq);
}

static int seal(struct esp_sa *sa, const struct esp_job *job, uint32_t inner_len, uint32_t pad, uint64_t seq)
{
    uint8_t *esp = job->out + sa->header_len;
    uint8_t nonce[AEAD_NONCE], aad[12], tail[5] = {1, 2, 3};
    int aad_len = 8;

    memcpy(nonce, sa->salt, 4);
    memcpy(nonce + 4, esp + ESP_HEADER, ESP_IV);
    memcpy(aad, esp, 8);
    if (sa->esn) { // RFC 4106 section 5: the whole 64-bit number is authenticated
        put_be64(aad + 4, seq);
        aad_len = 12;
    }
    tail[pad] = (uint8_t)pad;
    tail[pad + 1] = NEXT_HEADER_IPV4;
    return aead_seal(&sa->aead, nonce, aad, aad_len, job->in, inner_len, tail, pad + 2,
                     esp + ESP_HEADER + ESP_IV);
}

enum esp_status soft_encap(struct esp_sa *sa, struct esp_job *job)
{
    uint32_t inner_len = 0, pad, out_len;
    enum esp_status st;
    uint64_t seq;

    if (!sa || sa->dir != ESP_OUT)
        return ESP_STATUS_SA_INVALID;
    if (sa->draining)
        return ESP_STATUS_SA_DRAINING;
    st = check_inner(job, &inner_len);
    if (st)
        return st;
    pad = -(inner_len + 2) & 3;
    out_len = sa->header_len + ESP_HEADER + ESP_IV + inner_len + pad + 2 + ESP_ICV;
    if (out_len > MAX_IP || out_len > job->out_cap)
        return ESP_STATUS_TOO_LONG;
    st = check_limits(sa, inner_len);
    if (st)
        return st;

    seq = sa->next_seq++; // from here on the number is spent, whatever happens
    job->seq = seq;
    write_headers(sa, job->in, job->out, out_len, seq);
    if (seal(sa, job, inner_len, pad, seq))
        return ESP_STATUS_ABORTED;
    sa_count(sa, inner_len);
    job->out_len = out_len;
    return ESP_STATUS_OK;
}
