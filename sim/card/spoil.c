// SPDX-License-Identifier: Apache-2.0
// Finds the completions in a DMA write and spoils one field of each.
#include "sim/card/spoil.h"

#include <string.h>

#include "hw/regs/gen/espalier_card.h"

enum { ENTRY = sizeof(struct espc_completion) };

void card_spoil_register(struct card_spoil *s, uint32_t offset, uint32_t value)
{
    if (offset < ESPC_REG_QUEUE(0) || offset >= ESPC_REG_QUEUE(CARD_SPOIL_QUEUES))
        return;
    unsigned q = (offset - ESPC_REG_QUEUE(0)) / ESPC_QUEUE_STRIDE;
    uint64_t base = s->ring[q].base;
    if (offset == ESPC_REG_QUEUE_CQ_BASE_LO(q))
        s->ring[q].base = (base & 0xffffffff00000000) | value;
    else if (offset == ESPC_REG_QUEUE_CQ_BASE_HI(q))
        s->ring[q].base = (base & 0xffffffff) | (uint64_t)value << 32;
    else if (offset == ESPC_REG_QUEUE_LOG2_SIZE(q))
        s->ring[q].sizes = value;
}

static bool in_rings_from(const struct card_spoil *s, unsigned first, uint64_t addr)
{
    for (unsigned q = first; q < CARD_SPOIL_QUEUES; q++) {
        uint32_t log2 = (s->ring[q].sizes & ESPC_QUEUE_LOG2_SIZE_CQ_MASK) >> ESPC_QUEUE_LOG2_SIZE_CQ_SHIFT;
        if (log2 && log2 < 32 && addr >= s->ring[q].base && addr - s->ring[q].base < (uint64_t)ENTRY << log2)
            return true;
    }
    return false;
}

static bool in_ring(const struct card_spoil *s, uint64_t addr)
{
    return in_rings_from(s, 0, addr);
}

bool card_spoil_in_packet_ring(const struct card_spoil *s, uint64_t addr)
{
    return in_rings_from(s, 1, addr);
}

static void spoil(enum card_spoil_kind kind, uint8_t entry[ENTRY])
{
    const size_t head = offsetof(struct espc_completion, head_phase);
    switch (kind) {
    case CARD_SPOIL_NONE: break;
    case CARD_SPOIL_COOKIE: memset(entry + offsetof(struct espc_completion, cookie), 0xa5, 8); break;
    case CARD_SPOIL_LENGTH: memset(entry + offsetof(struct espc_completion, out_len), 0xff, 2); break;
    case CARD_SPOIL_HEAD: entry[head + 2] ^= 0x40; break;
    case CARD_SPOIL_STATUS: memset(entry + offsetof(struct espc_completion, status), 0x7f, 2); break;
    case CARD_SPOIL_EPOCH: entry[offsetof(struct espc_completion, flags)] ^= 0xff; break;
    }
}

void card_spoil_completions(const struct card_spoil *s, enum card_spoil_kind kind, uint64_t addr,
                            uint8_t *buf, size_t len)
{
    // A burst may hold several entries; a piece of one, at either end, passes as it is.
    size_t skip = (size_t)(-addr % ENTRY);
    for (size_t at = skip; at + ENTRY <= len; at += ENTRY)
        if (in_ring(s, addr + at))
            spoil(kind, buf + at);
}
