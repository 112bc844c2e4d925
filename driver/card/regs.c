// SPDX-License-Identifier: Apache-2.0
// Identity, block directory, reset and feature handshake of the card, in the order of the manual
// (hw/regs/gen/registers.md).
#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

#include "driver/card/card.h"

#define CARD_MAGIC 0x4c505345u // "ESPL"
enum { RESET_WAIT_MS = 5000, DIRECTORY_STEPS = 64, PAGE = 0x1000, BAR0_BYTES = 0x10000 };

// What this driver can use.
#define KNOWN_FEATURES                                                                                       \
    (ESPC_FEATURES_OFFERED_AES128_GCM16_MASK | ESPC_FEATURES_OFFERED_AES256_GCM16_MASK |                     \
     ESPC_FEATURES_OFFERED_TUNNEL_MASK | ESPC_FEATURES_OFFERED_OUTER_IPV4_MASK |                             \
     ESPC_FEATURES_OFFERED_INNER_IPV4_MASK | ESPC_FEATURES_OFFERED_UDP_ENCAP_MASK |                          \
     ESPC_FEATURES_OFFERED_ESN_MASK | ESPC_FEATURES_OFFERED_REPLAY_MASK |                                    \
     ESPC_FEATURES_OFFERED_LOOKASIDE_MASK | ESPC_FEATURES_OFFERED_DEADLINE_MASK |                            \
     ESPC_FEATURES_OFFERED_ENDPOINT_MASK | ESPC_FEATURES_OFFERED_TRANSPORT_MASK)
// What it cannot do without.
#define NEEDED_FEATURES                                                                                      \
    (ESPC_FEATURES_OFFERED_TUNNEL_MASK | ESPC_FEATURES_OFFERED_OUTER_IPV4_MASK |                             \
     ESPC_FEATURES_OFFERED_INNER_IPV4_MASK | ESPC_FEATURES_OFFERED_LOOKASIDE_MASK)

static void note_block(struct card *c, uint32_t type, uint32_t offset)
{
    switch (type) {
    case ESPC_BLOCK_TYPE_QUEUES: c->off_queues = offset; break;
    case ESPC_BLOCK_TYPE_DOORBELL: c->off_doorbells = offset; break;
    case ESPC_BLOCK_TYPE_COUNTERS: c->off_counters = offset; break;
    case ESPC_BLOCK_TYPE_COUNTER_NAMES: c->off_names = offset; break;
    default: break; // blocks of later cards
    }
}

// Walks the directory; `seen` holds a bit for each place an entry can be at, so a loop ends the walk.
static int walk_directory(struct card *c, struct esp_error *err)
{
    uint8_t seen[BAR0_BYTES / 16 / 8] = {0};
    uint32_t at = ESPC_REG_BLOCK(0);

    for (int step = 0; at && step < DIRECTORY_STEPS; step++) {
        uint32_t type, version, offset, place = at / 16;

        if (at % 16 || at > BAR0_BYTES - 16 || seen[place / 8] & 1u << place % 8)
            return esp_fail(err, -EPROTO, c->bus->name, "the block directory loops or leaves BAR0 at 0x%x",
                            at);
        seen[place / 8] |= (uint8_t)(1u << place % 8);
        type = bus_read32(c->bus, at);
        version = bus_read32(c->bus, at + 4);
        offset = bus_read32(c->bus, at + 8);
        if (type == ESPC_BLOCK_TYPE_END)
            break;
        if (offset >= BAR0_BYTES)
            return esp_fail(err, -EPROTO, c->bus->name, "block type %u lies outside BAR0 at 0x%x", type,
                            offset);
        if (version >> 16 == ESPC_ABI_MAJOR) // a block of another major version is as good as unknown
            note_block(c, type, offset);
        at = bus_read32(c->bus, at + 12);
    }
    if (!c->off_queues || !c->off_doorbells)
        return esp_fail(err, -EPROTO, c->bus->name, "the block directory names no queues or no doorbells");
    return 0;
}

int card_identify(struct card *c, struct esp_error *err)
{
    uint32_t magic, abi, queues;

    if (c->bus->bar0_size < BAR0_BYTES)
        return esp_fail(err, -EPROTO, c->bus->name, "BAR0 has %llu bytes, 65536 were expected",
                        (unsigned long long)c->bus->bar0_size);
    magic = bus_read32(c->bus, ESPC_REG_MAGIC);
    if (magic != CARD_MAGIC)
        return esp_fail(err, magic == UINT32_MAX ? -ENODEV : -EPROTO, c->bus->name,
                        "MAGIC reads 0x%08x, expected 0x%08x", magic, CARD_MAGIC);
    abi = bus_read32(c->bus, ESPC_REG_ABI);
    if (abi >> 16 != ESPC_ABI_MAJOR)
        return esp_fail(err, -ENOTSUP, c->bus->name,
                        "the card's interface is version %u.%u, this driver knows %u.x", abi >> 16,
                        abi & 0xffff, ESPC_ABI_MAJOR);
    c->slots_per_dir = bus_read32(c->bus, ESPC_REG_SA_SLOTS);
    c->max_len = bus_read32(c->bus, ESPC_REG_MAX_LEN);
    c->clock_khz = bus_read32(c->bus, ESPC_REG_CLOCK_KHZ);
    queues = bus_read32(c->bus, ESPC_REG_QUEUES);
    if (c->slots_per_dir == 0 || c->slots_per_dir > 1u << 20)
        return esp_fail(err, -EPROTO, c->bus->name, "the card states %u SA slots", c->slots_per_dir);
    if (queues == 0 || queues >= ESPC_QUEUE_COUNT)
        return esp_fail(err, -EPROTO, c->bus->name, "the card states %u packet queues, 1 to %d are possible",
                        queues, ESPC_QUEUE_COUNT - 1);
    if (c->max_len < 576 || c->max_len > 65535)
        return esp_fail(err, -EPROTO, c->bus->name, "the card states a longest packet of %u bytes",
                        c->max_len);
    c->queues = queues > CARD_MAX_QUEUES - 1 ? CARD_MAX_QUEUES - 1 : queues;
    return walk_directory(c, err);
}

// Waits until all bits of mask are as in want.
static int wait_status(struct card *c, uint32_t mask, uint32_t want, const char *what, struct esp_error *err)
{
    struct timespec nap = {0, 1000000};
    uint32_t status = 0;

    for (int ms = 0; ms < RESET_WAIT_MS; ms++) {
        status = bus_read32(c->bus, ESPC_REG_STATUS);
        if (status == UINT32_MAX)
            return esp_fail(err, -ENODEV, c->bus->name, "the card went away during start-up");
        if (status & mask & ESPC_STATUS_FATAL_MASK)
            return esp_fail(err, -EIO, c->bus->name, "the card stopped during start-up: FATAL, cause 0x%x",
                            bus_read32(c->bus, ESPC_REG_ERR_CAUSE));
        if ((status & mask) == want)
            return 0;
        if (card_given_up(c))
            return esp_fail(err, -ECANCELED, c->bus->name, "its start-up was given up");
        nanosleep(&nap, NULL);
    }
    return esp_fail(err, -ETIMEDOUT, c->bus->name, "the card did not %s within %d ms (STATUS 0x%x)", what,
                    RESET_WAIT_MS, status);
}

int card_reset(struct card *c, struct esp_error *err)
{
    bus_write32(c->bus, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK);
    return wait_status(c, ESPC_STATUS_READY_MASK, ESPC_STATUS_READY_MASK, "become ready after reset", err);
}

uint64_t card_freerun(struct card *c)
{
    uint64_t low = bus_read32(c->bus, ESPC_REG_FREERUN_LO); // latches the other half

    return low | (uint64_t)bus_read32(c->bus, ESPC_REG_FREERUN_HI) << 32;
}

int card_handshake(struct card *c, struct esp_error *err)
{
    uint32_t offered = bus_read32(c->bus, ESPC_REG_FEATURES_OFFERED);

    if ((offered & NEEDED_FEATURES) != NEEDED_FEATURES)
        return esp_fail(err, -ENOTSUP, c->bus->name, "the card offers features 0x%x, this driver needs 0x%x",
                        offered, (unsigned)NEEDED_FEATURES);
    c->features = offered & KNOWN_FEATURES;
    bus_write32(c->bus, ESPC_REG_FEATURES_ACCEPTED, c->features);
    do { // never zero, and never zero in the bits that completions carry
        if (RAND_bytes((unsigned char *)&c->epoch, sizeof(c->epoch)) != 1)
            return esp_fail(err, -EIO, c->bus->name, "no random number for EPOCH");
    } while ((c->epoch & 0xff) == 0);
    bus_write32(c->bus, ESPC_REG_EPOCH, c->epoch);
    if (bus_read32(c->bus, ESPC_REG_EPOCH) != c->epoch)
        return esp_fail(err, -EPROTO, c->bus->name, "EPOCH does not hold the value written to it");
    return wait_status(c, ESPC_STATUS_FEATURES_OK_MASK | ESPC_STATUS_FATAL_MASK, ESPC_STATUS_FEATURES_OK_MASK,
                       "accept the features", err);
}
