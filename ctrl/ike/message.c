// SPDX-License-Identifier: Apache-2.0
// The header, the payload chain and the plain payloads of RFC 7296 sections 3.1, 3.2, 3.4, 3.8, 3.10
// and 3.11, read and written. SA and TS payloads are in proposal.c and selectors.c, as their substructures
// fill a file each.
#include "ctrl/ike/message.h"

#include <errno.h>
#include <stdio.h>

const char *payload_name(uint8_t type)
{
    switch (type) {
#define X(sym, num, name)                                                                                    \
    case num: return name;
        PAYLOAD_LIST(X)
#undef X
    default: return NULL;
    }
}

static const struct {
    const char *name;
    uint16_t type;
    uint8_t places, effect;
} notifies[] = {
#define X(sym, num, where, what) {#sym, num, where, what},
    NOTIFY_LIST(X)
#undef X
};
enum { NOTIFIES = sizeof(notifies) / sizeof(notifies[0]) };

// Its place in the list, which is in the order of the numbers; NOTIFIES: it has none.
static unsigned notify_find_type(uint16_t type)
{
    unsigned lo = 0, hi = NOTIFIES;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (notifies[mid].type < type)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < NOTIFIES && notifies[lo].type == type ? lo : NOTIFIES;
}

const char *notify_name(uint16_t type)
{
    unsigned i = notify_find_type(type);
    return i < NOTIFIES ? notifies[i].name : "(unknown)";
}

bool notify_is_known(uint16_t type)
{
    return notify_find_type(type) < NOTIFIES;
}

bool notify_is_of_child(uint16_t type)
{
    switch (type) {
    case N_NO_PROPOSAL_CHOSEN:
    case N_SINGLE_PAIR_REQUIRED:
    case N_NO_ADDITIONAL_SAS:
    case N_INTERNAL_ADDRESS_FAILURE:
    case N_FAILED_CP_REQUIRED:
    case N_TS_UNACCEPTABLE: return true;
    default: return false;
    }
}

static uint8_t place_of(uint8_t exchange)
{
    switch (exchange) {
    case EX_SA_INIT: return IN_INIT;
    case EX_AUTH: return IN_AUTH;
    case EX_CREATE_CHILD: return IN_CHILD;
    case EX_SESSION_RESUME: return IN_RESUME;
    case EX_INTERMEDIATE: return IN_INTER;
    case EX_FOLLOWUP_KE: return IN_FOLLOWUP;
    default: return IN_INFO;
    }
}

bool notify_has_effect(uint16_t type, uint8_t exchange)
{
    unsigned i = notify_find_type(type);
    return i < NOTIFIES && notifies[i].effect != IGNORED && (notifies[i].places & place_of(exchange));
}

bool notify_is_error(uint16_t type)
{
    return type < 16384;
}

int refuse(struct refusal *r, uint16_t notify, const char *field, const char *fmt, ...)
{
    va_list ap;
    char text[sizeof(r->why.text)];
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->notify = notify;
    return esp_fail(&r->why, -EBADMSG, field, "%s", text);
}

bool header_read(struct slice d, struct ike_header *h)
{
    struct reader r = reader_of(d);
    h->spi_i = rd_u64(&r);
    h->spi_r = rd_u64(&r);
    h->next = rd_u8(&r);
    h->version = rd_u8(&r);
    h->exchange = rd_u8(&r);
    h->flags = rd_u8(&r);
    h->mid = rd_u32(&r);
    h->length = rd_u32(&r);
    return !r.bad && h->length == d.len;
}

void header_write(struct writer *w, const struct ike_header *h)
{
    wr_u64(w, h->spi_i);
    wr_u64(w, h->spi_r);
    wr_u8(w, h->next);
    wr_u8(w, h->version);
    wr_u8(w, h->exchange);
    wr_u8(w, h->flags);
    wr_u32(w, h->mid);
    wr_u32(w, h->length);
}

int payloads_read(uint8_t first, struct slice s, struct payloads *out, struct refusal *r)
{
    struct reader rd = reader_of(s);
    uint8_t type = first;
    out->count = 0;
    while (type != PL_NONE) {
        uint8_t next = rd_u8(&rd), flags = rd_u8(&rd);
        uint16_t len = rd_u16(&rd);
        struct slice body = rd_bytes(&rd, len >= PAYLOAD_HEADER_LEN ? len - 4u : rd.left + 1);
        const char *name = payload_name(type);
        if (rd.bad)
            return refuse(r, N_INVALID_SYNTAX, name ? name : "payload",
                          "length %u of payload %u does not fit the message (RFC 7296 3.2)", len, type);
        if (!name && (flags & 0x80)) {
            r->data[0] = type;
            r->data_len = 1;
            return refuse(r, N_UNSUPPORTED_CRITICAL_PAYLOAD, "payload",
                          "payload type %u is critical and not known (RFC 7296 2.5)", type);
        }
        if (name && out->count == MAX_PAYLOADS) // no fault of its syntax: nothing says how many there may be
            return refuse(r, N_TEMPORARY_FAILURE, "payloads",
                          "more than %d payloads in one message are not supported", MAX_PAYLOADS);
        if (name)
            out->p[out->count++] = (struct payload){type, next, flags & 0x80, body};
        if (type == PL_SK || type == PL_SKF)
            break;
        type = next;
    }
    if (rd.left)
        return refuse(r, N_INVALID_SYNTAX, "payloads", "%zu octets behind the last payload (RFC 7296 3.2)",
                      rd.left);
    return 0;
}

const struct payload *payload_find(const struct payloads *l, uint8_t type)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->p[i].type == type)
            return &l->p[i];
    return NULL;
}

unsigned payload_count(const struct payloads *l, uint8_t type)
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->count; i++)
        n += l->p[i].type == type;
    return n;
}

const char *payloads_print(const struct payloads *l, char *buf, size_t size)
{
    size_t at = (size_t)snprintf(buf, size, "[ ");
    for (unsigned i = 0; i < l->count && at < size; i++) {
        struct notify n;
        if (l->p[i].type == PL_NOTIFY && notify_read(l->p[i].body, &n))
            at += (size_t)snprintf(buf + at, size - at, "N(%s) ", notify_name(n.type));
        else
            at += (size_t)snprintf(buf + at, size - at, "%s ", payload_name(l->p[i].type));
    }
    if (at < size)
        snprintf(buf + at, size - at, "]");
    return buf;
}

bool notify_read(struct slice body, struct notify *n)
{
    struct reader r = reader_of(body);
    n->protocol = rd_u8(&r);
    uint8_t spi_len = rd_u8(&r);
    n->type = rd_u16(&r);
    n->spi = rd_bytes(&r, spi_len);
    n->data = rd_rest(&r);
    return !r.bad;
}

bool notify_find(const struct payloads *l, uint16_t type, struct notify *out)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->p[i].type == PL_NOTIFY && notify_read(l->p[i].body, out) && out->type == type)
            return true;
    return false;
}

bool notify_first_error(const struct payloads *l, struct notify *out)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->p[i].type == PL_NOTIFY && notify_read(l->p[i].body, out) && notify_is_error(out->type))
            return true;
    return false;
}

bool notify_unknown_error(const struct payloads *l, struct notify *out)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->p[i].type == PL_NOTIFY && notify_read(l->p[i].body, out) && notify_is_error(out->type) &&
            !notify_is_known(out->type))
            return true;
    return false;
}

bool ke_read(struct slice body, struct ke *out)
{
    struct reader r = reader_of(body);
    out->group = rd_u16(&r);
    rd_u16(&r); // reserved
    out->value = rd_rest(&r);
    return !r.bad;
}

bool auth_read(struct slice body, struct auth *out)
{
    struct reader r = reader_of(body);
    out->method = rd_u8(&r);
    rd_bytes(&r, 3);
    out->value = rd_rest(&r);
    return !r.bad && out->value.len > 0;
}

bool delete_read(struct slice body, struct delete_payload *out)
{
    struct reader r = reader_of(body);
    out->protocol = rd_u8(&r);
    uint8_t size = rd_u8(&r);
    uint16_t count = rd_u16(&r);
    out->count = 0;
    out->spis = slice_of(NULL, 0);
    if (out->protocol == PROTO_IKE)
        return rd_done(&r) && size == 0 && count == 0;
    if ((out->protocol != PROTO_ESP && out->protocol != PROTO_AH) || size != 4)
        return false;
    out->spis = rd_bytes(&r, 4u * count);
    out->count = count;
    return rd_done(&r);
}

int payloads_validate(const struct payloads *l, struct refusal *r)
{
    for (unsigned i = 0; i < l->count; i++) {
        const struct payload *p = &l->p[i];
        struct notify n;
        struct ke ke;
        struct auth auth;
        struct delete_payload del;
        bool ok = true;
        switch (p->type) {
        case PL_KE: ok = ke_read(p->body, &ke); break;
        case PL_IDI:
        case PL_IDR: ok = p->body.len >= 4; break;
        case PL_AUTH: ok = auth_read(p->body, &auth); break;
        case PL_NONCE: ok = p->body.len >= 16 && p->body.len <= 256; break;
        case PL_NOTIFY: ok = notify_read(p->body, &n); break;
        case PL_DELETE: ok = delete_read(p->body, &del); break;
        default: break; // SA and TS have readers of their own
        }
        if (!ok)
            return refuse(r, N_INVALID_SYNTAX, payload_name(p->type),
                          "the %s payload's %zu octets are malformed "
                          "(RFC 7296 section 3)",
                          payload_name(p->type), p->body.len);
    }
    return 0;
}

struct pb pb_of(void *buf, size_t cap)
{
    return (struct pb){.w = writer_of(buf, cap), .next_at = SIZE_MAX};
}

void pb_begin(struct pb *b, uint8_t type)
{
    if (b->next_at == SIZE_MAX)
        b->first = type;
    else if (!b->w.bad)
        b->w.p[b->next_at] = type;
    b->next_at = b->start = b->w.len;
    wr_u8(&b->w, PL_NONE);
    wr_u8(&b->w, 0);
    wr_u16(&b->w, 0); // the length, set by pb_end
}

void pb_end(struct pb *b)
{
    size_t len = b->w.len - b->start;
    if (len > UINT16_MAX)
        b->w.bad = true;
    wr_set_u16(&b->w, b->start + 2, (uint16_t)len);
}

void pb_payload(struct pb *b, uint8_t type, struct slice body)
{
    pb_begin(b, type);
    wr_slice(&b->w, body);
    pb_end(b);
}

void pb_notify(struct pb *b, uint8_t protocol, struct slice spi, uint16_t type, struct slice data)
{
    pb_begin(b, PL_NOTIFY);
    wr_u8(&b->w, protocol);
    wr_u8(&b->w, (uint8_t)spi.len);
    wr_u16(&b->w, type);
    wr_slice(&b->w, spi);
    wr_slice(&b->w, data);
    pb_end(b);
}

void pb_ke(struct pb *b, uint16_t group, struct slice value)
{
    pb_begin(b, PL_KE);
    wr_u16(&b->w, group);
    wr_u16(&b->w, 0);
    wr_slice(&b->w, value);
    pb_end(b);
}

void pb_auth(struct pb *b, uint8_t method, struct slice value)
{
    pb_begin(b, PL_AUTH);
    wr_u8(&b->w, method);
    wr_uint(&b->w, 0, 3);
    wr_slice(&b->w, value);
    pb_end(b);
}

void pb_delete(struct pb *b, uint8_t protocol, const uint32_t *spis, unsigned count)
{
    pb_begin(b, PL_DELETE);
    wr_u8(&b->w, protocol);
    wr_u8(&b->w, count ? 4 : 0);
    wr_u16(&b->w, (uint16_t)count);
    for (unsigned i = 0; i < count; i++)
        wr_u32(&b->w, spis[i]);
    pb_end(b);
}
