// SPDX-License-Identifier: Apache-2.0
// IKEv2 messages as octets (RFC 7296 section 3): header, the chain of payloads, and a builder for it. Nothing
// here knows a state; lengths are checked by the slice reader alone, and each refusal names the payload and
// the section.
#ifndef CTRL_IKE_MESSAGE_H
#define CTRL_IKE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/lib/slice.h"
#include "espalier/error.h"

enum { IKE_HEADER_LEN = 28, PAYLOAD_HEADER_LEN = 4, MAX_PAYLOADS = 256, NONCE_LEN = 32 };
enum { IKE_VERSION = 0x20, FLAG_INITIATOR = 0x08, FLAG_VERSION = 0x10, FLAG_RESPONSE = 0x20 };
enum {
    EX_SA_INIT = 34,
    EX_AUTH = 35,
    EX_CREATE_CHILD = 36,
    EX_INFORMATIONAL = 37,
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

// X(symbol, number, name)
// clang-format off
#define NOTIFY_LIST(X) \
    X(UNSUPPORTED_CRITICAL_PAYLOAD, 1) \
    X(INVALID_IKE_SPI, 4) \
    X(INVALID_MAJOR_VERSION, 5) \
    X(INVALID_SYNTAX, 7) \
    X(INVALID_MESSAGE_ID, 9) \
    X(INVALID_SPI, 11) \
    X(NO_PROPOSAL_CHOSEN, 14) \
    X(INVALID_KE_PAYLOAD, 17) \
    X(AUTHENTICATION_FAILED, 24) \
    X(SINGLE_PAIR_REQUIRED, 34) \
    X(NO_ADDITIONAL_SAS, 35) \
    X(INTERNAL_ADDRESS_FAILURE, 36) \
    X(FAILED_CP_REQUIRED, 37) \
    X(TS_UNACCEPTABLE, 38) \
    X(INVALID_SELECTORS, 39) \
    X(UNACCEPTABLE_ADDRESSES, 40) \
    X(UNEXPECTED_NAT_DETECTED, 41) \
    X(TEMPORARY_FAILURE, 43) \
    X(CHILD_SA_NOT_FOUND, 44) \
    X(STATE_NOT_FOUND, 47) \
    X(INITIAL_CONTACT, 16384) \
    X(SET_WINDOW_SIZE, 16385) \
    X(ADDITIONAL_TS_POSSIBLE, 16386) \
    X(NAT_DETECTION_SOURCE_IP, 16388) \
    X(NAT_DETECTION_DESTINATION_IP, 16389) \
    X(COOKIE, 16390) \
    X(USE_TRANSPORT_MODE, 16391) \
    X(HTTP_CERT_LOOKUP_SUPPORTED, 16392) \
    X(REKEY_SA, 16393) \
    X(ESP_TFC_PADDING_NOT_SUPPORTED, 16394) \
    X(NON_FIRST_FRAGMENTS_ALSO, 16395) \
    X(MOBIKE_SUPPORTED, 16396) \
    X(ADDITIONAL_IP4_ADDRESS, 16397) \
    X(ADDITIONAL_IP6_ADDRESS, 16398) \
    X(NO_ADDITIONAL_ADDRESSES, 16399) \
    X(UPDATE_SA_ADDRESSES, 16400) \
    X(COOKIE2, 16401) \
    X(NO_NATS_ALLOWED, 16402) \
    X(MULTIPLE_AUTH_SUPPORTED, 16404) \
    X(EAP_ONLY_AUTHENTICATION, 16417) \
    X(CHILDLESS_IKEV2_SUPPORTED, 16418) \
    X(QUICK_CRASH_DETECTION, 16419) \
    X(IKEV2_MESSAGE_ID_SYNC_SUPPORTED, 16420) \
    X(IKEV2_FRAGMENTATION_SUPPORTED, 16430) \
    X(SIGNATURE_HASH_ALGORITHMS, 16431) \
    X(REDIRECT_SUPPORTED, 16406) \
    X(REDIRECT, 16407) \
    X(REDIRECTED_FROM, 16408) \
    X(USE_PPK, 16435) \
    X(PPK_IDENTITY, 16436) \
    X(NO_PPK_AUTH, 16437) \
    X(INTERMEDIATE_EXCHANGE_SUPPORTED, 16438) \
    X(ADDITIONAL_KEY_EXCHANGE, 16441)
// clang-format on
enum notify_type {
#define X(sym, num) N_##sym = num,
    NOTIFY_LIST(X)
#undef X
};
const char *notify_name(uint16_t type); // "(unknown)" where not listed
bool notify_is_error(uint16_t type);    // below 16384

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
// "[ SA KE No N(NATD_S_IP) ]"-like list for the log.
void payloads_print(const struct payloads *l, char *buf, size_t size);

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
