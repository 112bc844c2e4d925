// SPDX-License-Identifier: Apache-2.0
// One message as it goes out: protected whole (RFC 7296 section 3.14), or in fragments where both ends said
// that they can and it would be larger than a datagram may be (RFC 7383 sections 2.5 and 2.5.1). Each
// fragment has an initialization vector and a check value of its own, and says its number and how many there
// are under it.
#include "ctrl/ike/seal.h"

#include <errno.h>
#include <stdlib.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/fragments.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/lib/log.h"

enum { IP4_HEADER = 20, IP6_HEADER = 40, UDP_HEADER = 8, MARKER = 4, LENGTH_AT = 24 };
enum { SMALLEST_IP4 = 576, SMALLEST_IP6 = 1280 }; // what every network carries (RFC 7383 2.5.1)
enum { SK_HEAD = IKE_HEADER_LEN + PAYLOAD_HEADER_LEN, SKF_HEAD = SK_HEAD + FRAGMENT_NUMBERS };

struct part { // one datagram of the message
    struct ike_header h;
    uint8_t first;       // type of the first payload inside
    uint16_t number, of; // 0: whole
    struct slice inner;
};

static void log_generated(uint8_t x, bool response, uint32_t mid, const struct pb *b)
{
    struct payloads pl;
    struct refusal r = {0};
    if (payloads_read(b->first, wr_written(&b->w), &pl, &r) == 0)
        exchange_log("generating", x, response, mid, &pl);
}

static size_t part_head(const struct part *p)
{
    return p->number ? SKF_HEAD : SK_HEAD;
}

static size_t part_len(const struct ike_sa *sa, const struct part *p)
{
    return part_head(p) + cr_sk_sealed_len(sa->sk_out, p->inner.len);
}

static int put_part(struct ike_sa *sa, struct part *p, uint8_t *at)
{
    size_t len = part_len(sa, p);
    struct writer w = writer_of(at, len);
    p->h.next = p->number ? PL_SKF : PL_SK;
    p->h.length = (uint32_t)len;
    header_write(&w, &p->h);
    wr_u8(&w, p->first);
    wr_u8(&w, 0);
    wr_u16(&w, (uint16_t)(len - IKE_HEADER_LEN));
    if (p->number) {
        wr_u16(&w, p->number);
        wr_u16(&w, p->of);
    }
    return cr_sk_seal(sa->sk_out, at, w.len, p->inner.p, p->inner.len, len);
}

// What a datagram may hold, from the IKE header on.
static size_t room(const struct ike_sa *sa, const struct net_path *path)
{
    bool v6 = path->remote.family == 6;
    size_t size = sa->ike->set.fragment_size,
           heads = (v6 ? IP6_HEADER : IP4_HEADER) + UDP_HEADER + (path->nat_t ? MARKER : 0u);
    if (!size)
        size = v6 ? SMALLEST_IP6 : SMALLEST_IP4;
    return size > heads ? size - heads : 0;
}

// Octets of the message that one fragment carries; 0: none.
static size_t share(const struct ike_sa *sa, size_t datagram)
{
    size_t sealed = datagram > SKF_HEAD ? datagram - SKF_HEAD : 0, n = sealed;
    while (n && cr_sk_sealed_len(sa->sk_out, n) > sealed)
        n--;
    return n;
}

static int seal_whole(struct ike_sa *sa, struct part *whole, uint8_t **out, size_t *len)
{
    *len = part_len(sa, whole);
    if (*len > MAX_MESSAGE)
        return -EMSGSIZE;
    *out = malloc(*len);
    return *out ? put_part(sa, whole, *out) : -ENOMEM;
}

static int seal_fragments(struct ike_sa *sa, const struct part *whole, size_t each, uint8_t **out,
                          size_t *len)
{
    struct slice rest = whole->inner;
    struct part p = *whole;
    size_t of = each ? (rest.len + each - 1) / each : SIZE_MAX, at = 0;
    if (of > FRAGMENTS_MAX || rest.len > MAX_MESSAGE)
        return -EMSGSIZE;
    p.of = (uint16_t)of;
    p.number = 1;
    p.inner.len = each;
    *len = of * part_len(sa, &p);
    *out = malloc(*len);
    if (!*out)
        return -ENOMEM;
    LOGF(ENC, 1, "splitting IKE message of %zu octets into %u fragments", rest.len, p.of);
    for (; p.number <= p.of; p.number++) {
        p.inner = slice_of(rest.p, rest.len < each ? rest.len : each);
        p.first = p.number == 1 ? whole->first : PL_NONE; // 2.5: said once
        rest = slice_of(rest.p + p.inner.len, rest.len - p.inner.len);
        int rc = put_part(sa, &p, *out + at);
        if (rc)
            return rc;
        at += part_len(sa, &p);
    }
    *len = at;
    COUNT(sa->ike, fragmented_out);
    return 0;
}

int seal(struct ike_sa *sa, uint8_t exchange, bool response, uint32_t mid, const struct pb *b, uint8_t **out,
         size_t *len)
{
    struct part whole = {.h = {.spi_i = sa->spi_i,
                               .spi_r = sa->spi_r,
                               .version = IKE_VERSION,
                               .exchange = exchange,
                               .mid = mid},
                         .inner = wr_written(&b->w)};
    size_t most = room(sa, response ? &sa->later->in_path : &sa->path);
    bool split = sa->fragmentation && sa->conn->cfg.fragmentation == FRAGMENTATION_YES;
    if (b->w.bad)
        return -EMSGSIZE;
    log_generated(exchange, response, mid, b);
    whole.h.flags = (uint8_t)((sa->initiator ? FLAG_INITIATOR : 0) | (response ? FLAG_RESPONSE : 0));
    whole.first = whole.inner.len ? b->first : PL_NONE;
    *out = NULL;
    int rc = split && part_len(sa, &whole) > most ? seal_fragments(sa, &whole, share(sa, most), out, len)
                                                  : seal_whole(sa, &whole, out, len);
    if (rc)
        free(*out);
    return rc;
}

struct slice datagrams_next(struct slice *rest)
{
    struct reader r = reader_of(*rest);
    rd_bytes(&r, LENGTH_AT);
    size_t len = rd_u32(&r);
    struct slice d = slice_of(rest->p, r.bad || len < IKE_HEADER_LEN || len > rest->len ? rest->len : len);
    *rest = slice_of(rest->p + d.len, rest->len - d.len);
    return d;
}
