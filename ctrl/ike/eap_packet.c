// SPDX-License-Identifier: Apache-2.0
// EAP packets (RFC 3748 section 4) and those of EAP-MSCHAPv2 as octets, both ways. Whoever sent them may be
// anybody: every length is the slice reader's business.
#include "ctrl/ike/eap_packet.h"

#include <string.h>

bool eap_read(struct slice body, struct eap_packet *out)
{
    struct reader r = reader_of(body);
    memset(out, 0, sizeof(*out));
    out->code = rd_u8(&r);
    out->id = rd_u8(&r);
    if (rd_u16(&r) != body.len || r.bad)
        return false;
    if (out->code == EAP_CODE_SUCCESS || out->code == EAP_CODE_FAILURE)
        return r.left == 0;
    out->type = rd_u8(&r);
    out->data = rd_bytes(&r, r.left);
    return !r.bad && (out->code == EAP_CODE_REQUEST || out->code == EAP_CODE_RESPONSE) && out->type != 0;
}

bool mschap_read_reply(struct slice data, uint8_t id, struct mschap_reply *out)
{
    struct reader r = reader_of(data);
    bool good = rd_u8(&r) == MSCHAP_OP_RESPONSE && rd_u8(&r) == id && rd_u16(&r) == data.len &&
                rd_u8(&r) == MSCHAP_REPLY_LEN;
    out->peer_challenge = rd_bytes(&r, MSCHAP_CHALLENGE_LEN);
    rd_bytes(&r, 8); // reserved
    out->response = rd_bytes(&r, MSCHAP_RESPONSE_LEN);
    rd_u8(&r); // flags
    out->name = rd_bytes(&r, r.left);
    return good && !r.bad && out->name.len > 0 && out->name.len <= EAP_NAME_MAX;
}

void pb_eap(struct pb *b, uint8_t code, uint8_t id, uint8_t type, struct slice data)
{
    bool typed = type != 0;
    pb_begin(b, PL_EAP);
    wr_u8(&b->w, code);
    wr_u8(&b->w, id);
    wr_u16(&b->w, (uint16_t)(4 + typed + data.len));
    if (typed)
        wr_u8(&b->w, type);
    wr_bytes(&b->w, data.p, data.len);
    pb_end(b);
}

bool mschap_read_challenge(struct slice data, struct mschap_challenge *out)
{
    struct reader r = reader_of(data);
    bool good = rd_u8(&r) == MSCHAP_OP_CHALLENGE;
    out->id = rd_u8(&r);
    good = good && rd_u16(&r) == data.len && rd_u8(&r) == MSCHAP_CHALLENGE_LEN;
    out->challenge = rd_bytes(&r, MSCHAP_CHALLENGE_LEN);
    return good && !r.bad; // behind it the server's name
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

// "S=" and 40 digits, then, behind a blank, what is for people to read (RFC 2759 section 5).
bool mschap_read_success(struct slice data, uint8_t out[MSCHAP_AUTHENTICATOR_LEN])
{
    struct reader r = reader_of(data);
    bool good = rd_u8(&r) == MSCHAP_OP_SUCCESS;
    rd_u8(&r); // an identifier, which servers choose each in its own way
    good = good && rd_u16(&r) == data.len && slice_eq(rd_bytes(&r, 2), slice_str("S="));
    struct slice hex = rd_bytes(&r, 2 * MSCHAP_AUTHENTICATOR_LEN);
    if (!good || r.bad || (r.left && rd_u8(&r) != ' '))
        return false;
    for (unsigned i = 0; i < MSCHAP_AUTHENTICATOR_LEN; i++) {
        int hi = hex_digit(hex.p[2 * i]), lo = hex_digit(hex.p[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}
