// SPDX-License-Identifier: Apache-2.0
// IKE identities: charon's text syntax, the ID payload's octets (RFC 7296 section 3.5) and matching with
// wildcards. Two identities are compared by type, length and octets, never as C strings.
#ifndef CTRL_IKE_IDENTITY_H
#define CTRL_IKE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/lib/conn.h"

enum id_type {
    ID_ANY = 0,
    ID_IPV4 = 1,
    ID_FQDN = 2,
    ID_RFC822 = 3,
    ID_IPV4_SUBNET = 4, // these four are patterns of a configuration alone: IKEv2 reserves their numbers
    ID_IPV6 = 5,
    ID_IPV6_SUBNET = 6,
    ID_IPV4_RANGE = 7,
    ID_IPV6_RANGE = 8,
    ID_DN = 9,
    ID_GN = 10,
    ID_KEY = 11
};
enum { ID_DATA_MAX = 512, ID_TEXT_MAX = 257 };
enum { MATCH_NONE = 0, MATCH_ANY = 1, MATCH_WILDCARD = 10, MATCH_PERFECT = 20 };

struct identity {
    uint8_t type;
    uint16_t len;
    uint8_t data[ID_DATA_MAX];
};

// "a.test", "@a.test", "10.0.0.1", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "user@host", "C=CH, CN=a", "@#0a0b",
// "keyid:x", "%any" ...; false: a form that is not supported, or too long.
bool identity_parse(const char *text, struct identity *out);
void identity_of_addr(const struct addr *a, struct identity *out);
// The ID payload's body from the ID type octet on. False: too short or long, or an address of the wrong
// length.
bool identity_read(struct slice body, struct identity *out);
void identity_write(struct writer *w, const struct identity *id);
// One that is kept for long has only the octets of its name behind it (identity_dup): it is not assigned, it
// is copied.
void identity_copy(struct identity *to, const struct identity *from);
size_t identity_octets(const struct identity *id);        // that such a one has
struct identity *identity_dup(const struct identity *id); // NULL: no memory
bool identity_eq(const struct identity *a, const struct identity *b);
uint64_t
identity_key(const struct identity *id); // equal where one matches the other perfectly, as no pattern
// "*.example.org", "*@example.org", "C=CH, CN=*", "10.0.0.0/8", any: stands for many.
bool identity_is_pattern(const struct identity *id);
bool identity_is_addrs(const struct identity *id); // a network or range of addresses: nobody's own name
// How well `id` matches a pattern: MATCH_*.
int identity_match(const struct identity *id, const struct identity *pattern);
char *identity_print(const struct identity *id, char *buf, size_t size); // returns buf

#endif
