// SPDX-License-Identifier: Apache-2.0
// What goes wrong between the card and the host's memory when a tester asks for it: completions that are
// lost, late or said twice, results that are written in part, descriptors and keys with a bit inverted, a
// read that is never answered, a fault inside the card. The rings are known from the card's own queue
// registers.
#ifndef ESP_CARD_TROUBLE_H
#define ESP_CARD_TROUBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hw/regs/gen/espalier_card.h"
#include "sim/card_model.h"

enum card_trouble_kind {
    CARD_TROUBLE_NONE,
    CARD_TROUBLE_STALL,          // no completion of any queue
    CARD_TROUBLE_STALL_COMMANDS, // ... of queue 0, and so on
    CARD_TROUBLE_STALL_ENCAP,
    CARD_TROUBLE_STALL_DECAP,
    CARD_TROUBLE_DUPLICATE,
    CARD_TROUBLE_LATE,
    CARD_TROUBLE_SLOW,
    CARD_TROUBLE_PARTIAL,
    CARD_TROUBLE_STUCK,
    CARD_TROUBLE_DESCRIPTOR,
    CARD_TROUBLE_KEY,
    CARD_TROUBLE_INSIDE,
};

enum { CARD_TROUBLE_QUEUES = 8, CARD_TROUBLE_HELD = 4096, CARD_TROUBLE_KEYS = 16 };
enum { CARD_TROUBLE_LATE_MS = 500, CARD_TROUBLE_SLOW_MS = 30, CARD_TROUBLE_PART = 64 };

struct card_held { // a completion, or an interrupt behind it, that is to come later
    uint64_t due_ns, addr;
    size_t len; // 0: an interrupt of this vector
    unsigned vector;
    uint8_t data[64];
};

struct card_trouble {
    struct {
        uint64_t sq, cq;
        uint32_t sizes; // LOG2_SIZE
        bool said;
        uint8_t last[32]; // the completion said last
    } ring[CARD_TROUBLE_QUEUES];
    struct card_held *held; // [CARD_TROUBLE_HELD], in order
    size_t first, count;
    uint64_t random;
    struct card_known_key {
        uint8_t key[16]; // its beginning
        uint32_t sa_index;
        uint8_t dir;
        bool held;            // by the card: nobody else keeps it longer
    } key[CARD_TROUBLE_KEYS]; // of the SAs added last
    unsigned keys;
    uint8_t context[18]; // of the packet descriptor read last: cookie, dst_iova, dst_cap
    bool has_context;
    bool upset; // a bit of one has been inverted
};

int card_trouble_init(struct card_trouble *t);
void card_trouble_free(struct card_trouble *t);
void card_trouble_reset(struct card_trouble *t); // the card's queues are no more
// Follows a register write.
void card_trouble_register(struct card_trouble *t, uint32_t offset, uint32_t value);
// The queue whose completion ring this is in, -1: none.
int card_trouble_queue(const struct card_trouble *t, uint64_t addr);

// A descriptor that the card has read; key: reads 16 octets of host memory.
void card_trouble_read(struct card_trouble *t, enum card_trouble_kind kind, uint64_t addr, uint8_t *buf,
                       size_t len, int (*host)(void *ctx, uint64_t addr, void *buf, size_t len), void *ctx);
// What the card is about to write. True: it is not to be written, now or at all.
bool card_trouble_write(struct card_trouble *t, enum card_trouble_kind kind, uint64_t now_ns, uint64_t addr,
                        uint8_t *buf, size_t *len);
bool card_trouble_irq(struct card_trouble *t, enum card_trouble_kind kind, uint64_t now_ns, unsigned vector);
// What is due; NULL: nothing.
const struct card_held *card_trouble_due(struct card_trouble *t, uint64_t now_ns);
int card_trouble_wait_ms(const struct card_trouble *t,
                         uint64_t now_ns); // until something is; -1: nothing is held

// Inverts a bit of each key that is known: how many were found.
unsigned card_trouble_invert_keys(struct card_trouble *t, struct card_model *m);
// A slice in which a bit of a packet's context inside is inverted, where there is one.
void card_trouble_upset(struct card_trouble *t, struct card_model *m);

#endif
