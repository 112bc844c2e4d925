// SPDX-License-Identifier: Apache-2.0
// The peer of keyed.h.
#include "tests/fuzz/keyed.h"

#include "ctrl/crypto/crypto.h"

enum { SK_AT = IKE_HEADER_LEN, NUMBERS = 4 };

struct net_path keyed_path(const struct ike_sa *from)
{
    struct net_path p = from->path;
    p.local = from->path.remote;
    p.local_port = from->path.remote_port;
    p.remote = from->path.local;
    p.remote_port = from->path.local_port;
    return p;
}

void keyed_send(struct pair *p, int from, struct ike_sa *sa, const struct keyed *k)
{
    size_t head = SK_AT + PAYLOAD_HEADER_LEN + (k->of ? NUMBERS : 0u),
           len = head + cr_sk_sealed_len(sa->sk_out, k->inner.len);
    if (len > MAX_MESSAGE)
        return;
    uint8_t *d = malloc(len);
    struct writer w = writer_of(d, len);
    struct ike_header h = {sa->spi_i, sa->spi_r, k->of ? PL_SKF : PL_SK, IKE_VERSION, k->exchange, 0,
                           k->mid,    0};
    h.flags = (uint8_t)((sa->initiator ? FLAG_INITIATOR : 0) | (k->response ? FLAG_RESPONSE : 0));
    h.length = (uint32_t)len;
    header_write(&w, &h);
    wr_u8(&w, k->first);
    wr_u8(&w, 0);
    wr_u16(&w, (uint16_t)(len - SK_AT));
    if (k->of) {
        wr_u16(&w, k->number);
        wr_u16(&w, k->of);
    }
    if (cr_sk_seal(sa->sk_out, d, w.len, k->inner.p, k->inner.len, len) == 0) {
        struct net_path path = keyed_path(sa);
        pair_inject(p, 1 - from, &path, d, len);
    }
    free(d);
}

bool keyed_open(struct ike_sa *sa, struct slice d, uint8_t *buf, struct payloads *out)
{
    struct ike_header h;
    struct refusal r = {0};
    size_t len;
    if (!header_read(d, &h) || h.next != PL_SK || !sa->sk_in || d.len <= SK_AT + PAYLOAD_HEADER_LEN ||
        cr_sk_open(sa->sk_in, d.p, SK_AT + PAYLOAD_HEADER_LEN, d.len, buf, &len) != 0)
        return false;
    return payloads_read(d.p[SK_AT], slice_of(buf, len), out, &r) == 0;
}

bool keyed_open_own(struct ike_sa *sa, struct slice datagram, uint8_t *buf, struct payloads *out)
{
    struct cr_sk *theirs = sa->sk_in;
    sa->sk_in = sa->sk_out;
    bool open = keyed_open(sa, datagram, buf, out);
    sa->sk_in = theirs;
    return open;
}

static struct slice genuine_body(const struct payloads *genuine, uint8_t type)
{
    const struct payload *p = genuine ? payload_find(genuine, type) : NULL;
    return p ? p->body : slice_of(NULL, 0);
}

static void compose_one(struct reader *in, uint8_t type, const struct payloads *genuine, uint32_t spi,
                        struct pb *out)
{
    uint8_t flags = fuzz_u8(in);
    struct slice body = flags & FLAG_GENUINE ? genuine_body(genuine, type) : fuzz_bytes(in, fuzz_u16(in));
    if (flags & FLAG_CUT) {
        size_t most = fuzz_u8(in);
        body.len = most < body.len ? most : body.len;
    }
    if (flags & FLAG_RAW) {
        wr_slice(&out->w, body);
        return;
    }
    pb_payload(out, type, body);
    if (out->w.bad)
        return;
    if (flags & FLAG_CRITICAL)
        out->w.p[out->start + 1] = 0x80;
    if (flags & FLAG_LIE)
        out->w.p[out->start + 3]++;
    for (unsigned i = 0; flags & FLAG_SPI && i < 4 && body.len >= 4; i++)
        out->w.p[out->w.len - 1 - i] = (uint8_t)(spi >> 8 * i);
}

void keyed_compose(struct reader *in, const struct payloads *genuine, uint32_t spi, struct pb *out)
{
    for (uint8_t type = fuzz_u8(in); type; type = fuzz_u8(in))
        compose_one(in, type, genuine, spi, out);
}
