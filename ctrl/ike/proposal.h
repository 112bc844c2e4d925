// SPDX-License-Identifier: Apache-2.0
// The SA payload (RFC 7296 section 3.3): reading and writing proposals, and choosing one
// (section 2.7, 3.3.6).
#ifndef CTRL_IKE_PROPOSAL_H
#define CTRL_IKE_PROPOSAL_H

#include "ctrl/ike/message.h"
#include "ctrl/ike/transform_set.h"
#include "ctrl/lib/transforms.h"

enum { OFFERS_MAX = 64 };
struct offer { // one proposal off the wire
    uint8_t number, protocol;
    uint64_t spi;
    uint8_t spi_len;
    bool usable;       // false: has a transform type that is not known (3.3.6), or an SPI that cannot be
    uint16_t types;    // bit per transform type that it has a choice in
    struct proposal p; // those of its transforms that we know
    struct transform_set has;
};
struct offers {
    unsigned count;
    struct offer o[OFFERS_MAX];
};
// One transform of each type; type 0: none.
struct suite {
    uint8_t protocol;
    struct transform encr, prf, integ, ke, esn;
    struct transform addke[ADDKE_MAX]; // RFC 9370; id 0: none after all
};

int offers_read(struct slice body, struct offers *out, struct refusal *r);
// Our preference first; `with_ke` false leaves the groups of an ESP proposal aside (IKE_AUTH, 1.2). False:
// none fits.
bool offers_choose(const struct offers *theirs, const struct proposal *ours, unsigned count, bool with_ke,
                   struct suite *out, const struct offer **chosen);
// What was offered and what is configured; returns buf.
enum { OFFERS_TEXT = 900 };
char *offers_print(const struct offers *theirs, const struct proposal *ours, unsigned count, char *buf,
                   size_t size);
// Whether a suite is one that these proposals allow.
bool suite_allowed(const struct suite *s, const struct proposal *ours, unsigned count, bool with_ke);
// Writes the SA payload with all of ours; spi_len 0, 4 or 8.
void pb_offer(struct pb *b, const struct proposal *ours, unsigned count, bool with_ke, uint64_t spi,
              uint8_t spi_len);
// The answer: the chosen proposal's number and our SPI.
void pb_chosen(struct pb *b, const struct suite *s, uint8_t number, uint8_t protocol, uint64_t spi,
               uint8_t spi_len);
// Checks the initiator's side of the answer: exactly one proposal, one of ours, one transform per type.
// protocol: PROTO_NONE: that of one of ours.
int answer_read(struct slice body, const struct proposal *ours, unsigned count, bool with_ke,
                uint8_t protocol, uint8_t spi_len, struct suite *out, uint64_t *spi, struct refusal *r);
void suite_print(const struct suite *s, uint8_t protocol, char *buf, size_t size);
unsigned suite_addkes(const struct suite *s); // how many additional key exchanges it has
const struct transform *suite_addke(const struct suite *s, unsigned n); // the n-th, from 0; NULL: none
bool proposal_has(const struct proposal *p, uint8_t type, uint16_t id);

#endif
