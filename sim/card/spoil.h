// SPDX-License-Identifier: Apache-2.0
// Nonsense on purpose: changes completions on their way to the host, so that a driver's checks can be tested.
// The completion rings are known from the card's own queue registers.
#ifndef ESP_CARD_SPOIL_H
#define ESP_CARD_SPOIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum card_spoil_kind {
    CARD_SPOIL_NONE,
    CARD_SPOIL_COOKIE, // a cookie that was never given
    CARD_SPOIL_LENGTH, // a result longer than its buffer
    CARD_SPOIL_HEAD,   // more submissions consumed than were made
    CARD_SPOIL_STATUS, // a status that does not exist
    CARD_SPOIL_EPOCH,  // of another life of the card
};

enum { CARD_SPOIL_QUEUES = 8 };

struct card_spoil {
    struct {
        uint64_t base;
        uint32_t sizes; // LOG2_SIZE
    } ring[CARD_SPOIL_QUEUES];
};

// Follows a register write.
void card_spoil_register(struct card_spoil *s, uint32_t offset, uint32_t value);
// Is this in the completion ring of a packet queue?
bool card_spoil_in_packet_ring(const struct card_spoil *s, uint64_t addr);
// Changes the completions inside buf, which is about to be written to addr.
void card_spoil_completions(const struct card_spoil *s, enum card_spoil_kind kind, uint64_t addr,
                            uint8_t *buf, size_t len);

#endif
