// SPDX-License-Identifier: Apache-2.0
// A card made of C for the driver's tests: a vfio-user server in a thread of its own, registers, rings and a
// toy transform in the place of ESP (12 bytes, the SPI and the sequence number, in front of the packet). It
// can be told to misbehave.
#ifndef ESPALIER_TESTS_DRV_FAKE_CARD_H
#define ESPALIER_TESTS_DRV_FAKE_CARD_H

#include <stdbool.h>
#include <stdint.h>

enum { FAKE_PREFIX = 12 };

enum fake_fault {
    FAKE_GOOD,
    // from the next packet completion on
    FAKE_BAD_COOKIE,
    FAKE_BAD_EPOCH,
    FAKE_BAD_LENGTH,
    FAKE_BAD_HEAD,
    FAKE_BAD_STATUS,
    FAKE_BAD_SLOT,
    FAKE_REPEAT_SEQ,
    FAKE_BEYOND_LEASE,
    FAKE_SEEN_TWICE,
    FAKE_WIDE_SEQ, // decapsulation: a number that no window leads to
    FAKE_ZERO_SEQ,
    FAKE_BAD_IP,        // decapsulation: refused with its SA and number
    FAKE_LAST_BEHIND,   // answers to SA commands state a last number below what was used
    FAKE_LAST_BEYOND,   // or the lease's end
    FAKE_PART,          // of a result the first 64 octets are written, and no more
    FAKE_LONG,          // results are longer than their packets can give
    FAKE_NO_DESC,       // does not understand what it is asked
    FAKE_NO_DMA,        // cannot read or write
    FAKE_NO_SA,         // knows no SA
    FAKE_LOST_SA,       // likewise, and is FATAL
    FAKE_SPURIOUS,      // a completion that nobody asked for
    FAKE_STOP_ONCE,     // the queue of encapsulation stops in the middle of what was submitted
    FAKE_STOP_ALWAYS,   // and does so again
    FAKE_STOP_COMMANDS, // that of the SA commands
    // at once
    FAKE_HOLD,         // takes descriptors, completes nothing; its clock runs
    FAKE_HOLD_ENCAP,   // completes no encapsulation, all else goes on
    FAKE_FREEZE,       // likewise, and its clock stands still
    FAKE_FREEZE_LATER, // likewise, but its clock is looked at three times before it stands still
    FAKE_FATAL,
    FAKE_RESET,         // EPOCH is lost
    FAKE_ALL_ONES,      // every register reads all ones
    FAKE_ONES_LATER,    // ... from the next look at EPOCH on
    FAKE_MUTE,          // answers no message any more
    FAKE_HANG_UP,       // closes the stream, and completes nothing any more
    FAKE_NO_RESET,      // a reset that the bus asks for is acknowledged and not done
    FAKE_RESET_ENABLE,  // EPOCH is lost when CTRL.ENABLE is written
    FAKE_GONE_AT_CLOCK, // closes the stream when its clock is looked at
    FAKE_NEVER_READY,   // after a reset
    FAKE_SLOW_ENABLE,   // takes more than a second for an answer when CTRL is read
};

struct fake_options {
    uint32_t magic, abi, queues, features, next_of_block_1;
    uint32_t clock_khz, look; // look: cycles that pass between two looks at its clock
    bool no_server;
};

struct fake_card;
extern const struct fake_options fake_default;
struct fake_card *fake_card_start(const struct fake_options *o);
void fake_card_stop(struct fake_card *f);
const char *fake_card_sysfs(const struct fake_card *f);
void fake_card_fault(struct fake_card *f, enum fake_fault fault);
void fake_card_sleep(struct fake_card *f, uint64_t cycles); // its clock goes on unseen
bool fake_card_master(struct fake_card *f);                 // is bus mastering on?
bool fake_card_saw_key(struct fake_card *f); // do key octets stand in the memory of the SA commands?
// mode, outer, inner of a valid SA's blob, an octet each from bit 0 on; all ones: there is none. Once its ADD
// is answered.
uint32_t fake_card_shape(struct fake_card *f, int dir, uint32_t spi);
unsigned fake_card_doorbells(struct fake_card *f);
unsigned fake_card_reads(struct fake_card *f); // BAR0 reads so far
unsigned fake_card_looks(struct fake_card *f); // of them at its clock

#endif
