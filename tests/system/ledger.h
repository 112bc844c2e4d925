// SPDX-License-Identifier: Apache-2.0
// What became of each number of a stream, from the captures at both ends: a number that did not arrive was
// lost before the sender's wire, between the wires, or behind the receiver's. Needs AES-GCM, whose packets'
// sizes tell the number.
#ifndef TESTS_LEDGER_H
#define TESTS_LEDGER_H

#include "tests/system/stream.h"

struct ledger_esp {
    uint64_t t_us;
    uint32_t spi, seq, number; // number: of its stream, once ledger_attribute has seen it
    uint16_t size;             // of the ESP packet
    uint8_t from_east;
};
struct ledger_ike {
    uint64_t t_us;
    uint64_t spi_i, spi_r;
    uint32_t message_id;
    uint8_t exchange, response, from_east, fragment;
};
struct capture_log {
    const struct site *site; // at whose end
    struct ledger_esp *esp;
    struct ledger_ike *ike;
    size_t esp_count, esp_room, ike_count, ike_room;
    uint64_t clear[2]; // packets of the inner networks in clear, from west, from east
};

enum { EXCHANGE_SA_INIT = 34, EXCHANGE_AUTH = 35, EXCHANGE_CREATE_CHILD = 36, EXCHANGE_INFORMATIONAL = 37 };

bool capture_read(struct capture_log *c, const struct site *site, const char *pcap);
void capture_free(struct capture_log *c);
// IKE datagrams of that exchange; requests only
uint64_t capture_requests(const struct capture_log *c, uint8_t exchange);
uint64_t capture_fragments(const struct capture_log *c, bool from_east); // RFC 7383
uint64_t capture_spis(const struct capture_log *c, bool from_east);      // different ones with ESP packets
uint64_t capture_repeated(const struct capture_log *c, bool from_east);

struct ledger_losses {
    // by the end whose doing it was: the sender's end did not send it, or sent it before the receiver could
    // have its SA (early); the link lost it; the receiver's end had it and did not deliver it, perhaps
    // (ended) because it had just ended the SA itself while the packet was on its way
    uint64_t sender, early, link, receiver, ended;
};
// West's and east's captures in ends[0] and [1]. Prints a line for each run of losses with the same cause.
bool ledger_attribute(const struct stream *s, struct capture_log ends[2], struct ledger_losses *out);
#endif
