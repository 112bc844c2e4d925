// SPDX-License-Identifier: Apache-2.0
// A peer that holds the keys: it seals whatever the fuzzer wants it to say with the keys of its IKE SA, so
// that what stands behind the decryption is reached, whole or in fragments.
#ifndef TESTS_FUZZ_KEYED_H
#define TESTS_FUZZ_KEYED_H

#include "tests/fuzz/fuzz.h"
#include "tests/unit/ike_pair.h"

struct keyed {
    uint8_t exchange;
    bool response;
    uint32_t mid;
    uint8_t first;       // type of the first payload inside
    uint16_t number, of; // of a fragment; of 0: the message is whole
    struct slice inner;
};
struct net_path keyed_path(const struct ike_sa *from); // as the other end sees it
// One datagram, sealed by this SA and delivered to the other end of the pair.
void keyed_send(struct pair *p, int from, struct ike_sa *sa, const struct keyed *k);
// What stands inside a genuine datagram of `sa`'s peer: its payloads point into buf. False: it cannot be
// opened.
bool keyed_open(struct ike_sa *sa, struct slice datagram, uint8_t *buf, struct payloads *out);
bool keyed_open_own(struct ike_sa *sa, struct slice datagram, uint8_t *buf, struct payloads *out); // by `sa`

// The payloads that the fuzzer describes, one after the other until a type 0 or the end of its octets:
//   type, flags, then
//   FLAG_GENUINE: nothing more; the body is that of the genuine message's payload of this type
//   FLAG_RAW:     length, octets; all of it as it stands, header included, and nothing else is said of the
//   chain otherwise:    length, octets of the body
// FLAG_SPI: the last four octets become `spi`. FLAG_CRITICAL, FLAG_LIE: in the header; the length is one too
// many.
enum { FLAG_CRITICAL = 1, FLAG_GENUINE = 2, FLAG_SPI = 4, FLAG_RAW = 8, FLAG_LIE = 16, FLAG_CUT = 32 };
void keyed_compose(struct reader *in, const struct payloads *genuine, uint32_t spi, struct pb *out);

#endif
