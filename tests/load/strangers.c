// SPDX-License-Identifier: Apache-2.0
// A request is a client's own with another SPI, nonce and key exchange value (any 32 octets are one of
// X25519): cheap to make, as a flood's are.
#include "tests/load/strangers.h"

#include <errno.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/message.h"

enum { JUNK_LEN = 300, UNKNOWN_LEN = 80 };

static uint64_t next_random(struct stranger *s) // xorshift64*: no secret hangs on it
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return s->random * 0x2545F4914F6CDD1Du;
}

static void scatter(struct stranger *s, size_t at, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = next_random(s);
        memcpy(s->data + at + i, &v, len - i < 8 ? len - i : 8);
    }
}

int stranger_make(struct stranger *s, const struct load_options *o, const struct client_ends *ends)
{
    struct client c = {0};
    int ret = cr_random(&s->random, sizeof(s->random));

    s->random |= 1;
    s->len = o->kind == LOAD_JUNK ? JUNK_LEN : UNKNOWN_LEN;
    if (ret != 0 || o->kind != LOAD_REQUESTS)
        return ret;
    ret = client_begin(&c, o, ends);
    if (ret == 0 && c.request_len > sizeof(s->data))
        ret = -EMSGSIZE;
    if (ret == 0) {
        s->len = c.request_len;
        memcpy(s->data, c.request, c.request_len);
    }
    client_free(&c);
    return ret;
}

static void vary_request(struct stranger *s)
{
    struct refusal r = {0};
    struct payloads pl;
    const struct payload *p;

    scatter(s, 0, 8);
    s->data[0] |= 1; // an SPI is never zero
    if (payloads_read(s->data[16], slice_of(s->data + IKE_HEADER_LEN, s->len - IKE_HEADER_LEN), &pl, &r) != 0)
        return;
    p = payload_find(&pl, PL_NONCE);
    if (p)
        scatter(s, (size_t)(p->body.p - s->data), p->body.len);
    p = payload_find(&pl, PL_KE);
    if (p && p->body.len > 4)
        scatter(s, (size_t)(p->body.p - s->data) + 4, p->body.len - 4);
}

void stranger_vary(struct stranger *s, enum load_kind kind, uint32_t n)
{
    struct ike_header h = {.next = PL_SK,
                           .version = IKE_VERSION,
                           .exchange = EX_INFORMATIONAL,
                           .flags = FLAG_INITIATOR,
                           .mid = n % 8,
                           .length = UNKNOWN_LEN};
    struct writer w = writer_of(s->data, sizeof(s->data));

    if (kind == LOAD_REQUESTS) {
        vary_request(s);
        return;
    }
    scatter(s, 0, s->len);
    if (kind == LOAD_UNKNOWN_SPI) {
        h.spi_i = next_random(s) | 1;
        h.spi_r = next_random(s) | 1;
        header_write(&w, &h);
        wr_u16(&w, 0);
        wr_u16(&w, UNKNOWN_LEN - IKE_HEADER_LEN);
    }
}
