// SPDX-License-Identifier: Apache-2.0
// The card as a PCI function: configuration space, BAR0 in front of the RTL model, MSI-X, DMA through the
// maps of the vfio-user client, resets, and the faults that a tester can switch on. It knows no driver.
#ifndef ESP_CARD_DEVICE_H
#define ESP_CARD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/card/pci_config.h"
#include "sim/card/spoil.h"
#include "sim/card/trouble.h"
#include "sim/card_model.h"
#include "sim/vfio_user/server.h"

// X(enumerator, name, how completions are spoilt, what goes wrong with DMA, description)
#define CARD_FAULT_LIST(X)                                                                                   \
    X(NONE, "none", NONE, NONE, "no fault")                                                                  \
    X(HANG, "hang", NONE, NONE, "the clock stops: registers answer, nothing else happens")                   \
    X(DEAD, "dead", NONE, NONE, "as if pulled: all ones, writes and DMA vanish; clearing is a power cycle")  \
    X(ALL_ONES, "all-ones", NONE, NONE, "registers read all ones, all else goes on")                         \
    X(SOCKET_CUT, "socket-cut", NONE, NONE, "the client's connection is closed, once")                       \
    X(FATAL, "fatal", NONE, INSIDE, "a bit of a packet's context is inverted inside: the card finds it")     \
    X(STALL, "stall", NONE, STALL, "packets and commands are worked on and never completed")                 \
    X(STALL_COMMANDS, "stall-commands", NONE, STALL_COMMANDS, "likewise, commands only")                     \
    X(STALL_ENCAP, "stall-encap", NONE, STALL_ENCAP, "likewise, queue 1 (encapsulation) only")               \
    X(STALL_DECAP, "stall-decap", NONE, STALL_DECAP, "likewise, queue 2 (decapsulation) only")               \
    X(STUCK_DMA, "stuck-dma", NONE, STUCK, "the host's memory answers no read")                              \
    X(PARTIAL_DMA, "partial-dma", NONE, PARTIAL, "of each burst of a result only 64 octets are written")     \
    X(DROP_IRQ, "drop-irq", NONE, NONE, "interrupts are lost")                                               \
    X(SLOW, "slow", NONE, SLOW, "completions of packets come 30 ms late: slow, and well")                    \
    X(LATE, "late", NONE, LATE, "completions of packets come 500 ms late")                                   \
    X(DUPLICATE, "duplicate", NONE, DUPLICATE,                                                               \
      "each completion of a packet says what the one before it said")                                        \
    X(BAD_DESCRIPTOR, "bad-descriptor", NONE, DESCRIPTOR,                                                    \
      "one packet descriptor in four has a bit inverted")                                                    \
    X(BAD_KEY, "bad-key", NONE, KEY, "a bit of every key inside is inverted, once")                          \
    X(BAD_COOKIE, "bad-cookie", COOKIE, NONE, "completions carry cookies that were never given")             \
    X(BAD_LENGTH, "bad-length", LENGTH, NONE, "completions state results longer than their buffers")         \
    X(BAD_HEAD, "bad-head", HEAD, NONE, "completions state more submissions consumed than were made")        \
    X(BAD_STATUS, "bad-status", STATUS, NONE, "completions carry a status that does not exist")              \
    X(BAD_EPOCH, "bad-epoch", EPOCH, NONE, "completions carry another epoch")                                \
    X(BAD_DOORBELL, "bad-doorbell", NONE, NONE,                                                              \
      "the next doorbell of a packet queue states an index beyond the ring")                                 \
    X(RING_ERROR, "ring-error", NONE, NONE,                                                                  \
      "the bus answers the next completion of a packet queue with an error")

enum card_fault {
#define X(id, name, spoil, dma, text) CARD_FAULT_##id,
    CARD_FAULT_LIST(X)
#undef X
        CARD_FAULT_COUNT
};

enum { CARD_MODEL_SPACE = CARD_PCI_MSIX_TABLE, CARD_MAX_HELD_WRITES = 1024 };

// What the card's registers say while its clock stands still, and the writes that wait for it.
struct card_hang {
    uint32_t value[CARD_MODEL_SPACE / 4];
    bool known[CARD_MODEL_SPACE / 4];
    struct {
        uint32_t offset, value;
    } held[CARD_MAX_HELD_WRITES];
    size_t nheld;
};

struct card_wave {
    const char *file;
    uint64_t from, to; // cycles; to == 0: no end
    bool wanted, running;
};

struct card_device {
    struct card_model *model;
    struct pci_config pci;
    struct vfu_server server;
    uint8_t msix_table[VFU_MAX_VECTORS * 16];
    enum card_fault fault;
    struct card_hang hang;
    struct card_spoil spoil;
    struct card_trouble trouble;
    bool stuck;         // a read waits for an answer that does not come
    uint64_t stuck_for; // cycles since then, or since the last register access
    struct card_wave wave;
    uint32_t sa_slots; // as the card reports them
    uint64_t clock_khz, idle_since;
    uint64_t run_cycles, cpu_ns; // of the clock in slices: what simulation costs
    uint64_t dma_errors, irqs_dropped, resets, refused_accesses;
    bool told_disabled; // one line per client, not per access
    // Called after the configuration space changed; may be NULL.
    void (*config_changed)(void *ctx);
    void *config_ctx;
};

struct card_device_options {
    unsigned lanes;    // 1 or 4
    unsigned sa_slots; // 0: all the model has
};

// 0 or a negative errno: ENOMEM, ENOTSUP (no model of so many lanes), ERANGE (more slots than the model has).
int card_device_init(struct card_device *d, const struct card_device_options *o);
void card_device_free(struct card_device *d);

// Work is pending and the clock may run.
bool card_device_busy(const struct card_device *d);
// How long the process may sleep while it is not; -1: for ever.
int card_device_wait_ms(const struct card_device *d);
// The connection is to be closed; asked for once.
bool card_device_cut(struct card_device *d);
// Runs at most `cycles` cycles.
void card_device_run(struct card_device *d, uint64_t cycles);
// Takes a client's socket. Memory space is enabled for it, as VFIO does when a device is opened; bus
// mastering is the client's to enable. 0 or a negative errno (fd is still the caller's then).
int card_device_attach(struct card_device *d, int fd);
// Function-level reset: configuration, model, pending interrupts. Maps, eventfds and memory enable stay, as
// with VFIO; bus mastering is off until the client enables it again.
int card_device_reset(struct card_device *d);
// The client is gone: drop what it brought, reset.
void card_device_detach(struct card_device *d);

void card_device_set_fault(struct card_device *d, enum card_fault fault);
const char *card_fault_name(enum card_fault fault);
int card_fault_parse(const char *name, enum card_fault *out);

// 0 or a negative errno (see card_model.h).
int card_device_wave_start(struct card_device *d, const char *file);
void card_device_wave_stop(struct card_device *d);

// Any register of the model, for statistics; not while hanging.
uint32_t card_device_peek(struct card_device *d, uint32_t offset);
void card_device_snapshot(struct card_device *d);
// The 4096 bytes that a reader of the configuration space sees now.
void card_device_config(const struct card_device *d, uint8_t out[CARD_PCI_CONFIG_SIZE]);

#endif
