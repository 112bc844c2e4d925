// SPDX-License-Identifier: Apache-2.0
// IKEv2 messages as octets (RFC 7296 section 3): header, the chain of payloads, and a builder for it. Nothing
// here knows a state; lengths are checked by the slice reader alone, and each refusal names the payload and
// the section.
#ifndef CTRL_IKE_MESSAGE_H
#define CTRL_IKE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/ike/notifies.h"
#include "ctrl/lib/slice.h"
#include "espalier/error.h"

enum { IKE_HEADER_LEN = 28, PAYLOAD_HEADER_LEN = 4, MAX_PAYLOADS = 256, NONCE_LEN = 32 };
enum { IKE_VERSION = 0x20, FLAG_INITIATOR = 0x08, FLAG_VERSION = 0x10, FLAG_RESPONSE = 0x20 };
enum {
    EX_SA_INIT = 34,
    EX_AUTH = 35,
    EX_CREATE_CHILD = 36,
    EX_INFORMATIONAL = 37,
    EX_SESSION_RESUME = 38,
    EX_INTERMEDIATE = 43,
    EX_FOLLOWUP_KE = 44
};
enum { PROTO_NONE = 0, PROTO_IKE = 1, PROTO_AH = 2, PROTO_ESP = 3 };

// X(symbol, number, short name as charon's "parsed" lines print it)
// clang-format off
#define PAYLOAD_LIST(X) \
    X(SA, 33, "SA") \
    X(KE, 34, "KE") \
    X(IDI, 35, "IDi") \
    X(IDR, 36, "IDr") \
    X(CERT, 37, "CERT") \
    X(CERTREQ, 38, "CERTREQ") \
    X(AUTH, 39, "AUTH") \
    X(NONCE, 40, "No") \
    X(NOTIFY, 41, "N") \
    X(DELETE, 42, "D") \
    X(VENDOR, 43, "V") \
    X(TSI, 44, "TSi") \
    X(TSR, 45, "TSr") \
    X(SK, 46, "SK") \
    X(CP, 47, "CP") \
    X(EAP, 48, "EAP") \
    X(SKF, 53, "EF")
// clang-format on
enum payload_type {
    PL_NONE = 0,
#define X(sym, num, name) PL_##sym = num,
    PAYLOAD_LIST(X)
#undef X
};
const char *payload_name(uint8_t type); // NULL: not known

enum notify_type {
#define X(sym, num, places, effect) N_##sym = num,
    NOTIFY_LIST(X)
#undef X
};
const char *notify_name(uint16_t type); // "(unknown)" where not listed
bool notify_is_error(uint16_t type);    // below 16384
bool notify_is_known(uint16_t type);
bool notify_is_of_child(
    uint16_t type); // an error that ends a CHILD SA in the making, and no IKE SA (1.2, 2.21.2)
// Of the registry, with an effect in that exchange (notifies.h).
bool notify_has_effect(uint16_t type, uint8_t exchange);

struct ike_header {
    uint64_t spi_i, spi_r;
    uint8_t next, version, exchange, flags;
    uint32_t mid, length;
};
// False: shorter than a header, or the length field is not the datagram's (3.1).
bool header_read(struct slice datagram, struct ike_header *h);
void header_write(struct writer *w, const struct ike_header *h);

struct payload {
    uint8_t type;
    uint8_t next; // type of the one that follows; for SK the first one inside
    bool critical;
    struct slice body;
};
struct payloads {
    unsigned count;
    struct payload p[MAX_PAYLOADS];
};
// What a refused message is answered with: an error notify and its data.
struct refusal {
    uint16_t notify; // 0: none
    uint8_t data[2];
    uint8_t data_len;
    struct esp_error why;
};
int refuse(struct refusal *r, uint16_t notify, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

// Splits a chain. Unknown payloads are skipped, unless critical (2.5). SK and SKF end the chain, as nothing
// may follow them.
int payloads_read(uint8_t first, struct slice s, struct payloads *out, struct refusal *r);
const struct payload *payload_find(const struct payloads *l, uint8_t type); // the first, or NULL
unsigned payload_count(const struct payloads *l, uint8_t type);
// "[ SA KE No N(NATD_S_IP) ]"-like list for the log; returns buf.
const char *payloads_print(const struct payloads *l, char *buf, size_t size);

struct notify {
    uint8_t protocol;
    uint16_t type;
    struct slice spi, data;
};
bool notify_read(struct slice body, struct notify *n);
// The first notify of that type, its data or SPI as told; false: none. Malformed ones were refused by
// validate.
bool notify_find(const struct payloads *l, uint16_t type, struct notify *out);
bool notify_first_error(const struct payloads *l, struct notify *out);
// One of a type that nobody here knows: the request has failed altogether, whatever else the answer holds
// (3.10.1).
bool notify_unknown_error(const struct payloads *l, struct notify *out);

struct ke {
    uint16_t group;
    struct slice value;
};
bool ke_read(struct slice body, struct ke *out);
struct auth {
    uint8_t method;
    struct slice value;
};
bool auth_read(struct slice body, struct auth *out);
struct delete_payload {
    uint8_t protocol;
    unsigned count;
    struct slice spis; // 4 octets each: as many as the message holds
};
static inline uint32_t delete_spi(const struct delete_payload *d, unsigned i)
{
    struct reader r = reader_of(slice_of(d->spis.p + 4u * i, 4));
    return rd_u32(&r);
}
bool delete_read(struct slice body, struct delete_payload *out);

// The shape of every payload that has one, before any meaning: -EBADMSG with INVALID_SYNTAX where a length
// lies.
int payloads_validate(const struct payloads *l, struct refusal *r);

// --- building ---
struct pb {
    struct writer w;
    uint8_t first;  // type of the first payload
    size_t next_at; // where the last payload's "next" octet is; SIZE_MAX: no payload yet
    size_t start;   // of the open payload
};
struct pb pb_of(void *buf, size_t cap);
void pb_begin(struct pb *b, uint8_t type);
void pb_end(struct pb *b);
void pb_payload(struct pb *b, uint8_t type, struct slice body);
void pb_notify(struct pb *b, uint8_t protocol, struct slice spi, uint16_t type, struct slice data);
void pb_ke(struct pb *b, uint16_t group, struct slice value);
void pb_auth(struct pb *b, uint8_t method, struct slice value);
void pb_delete(struct pb *b, uint8_t protocol, const uint32_t *spis, unsigned count);

#endif
