// SPDX-License-Identifier: Apache-2.0
// Bench for the decapsulation pipeline: makes ESP packets with OpenSSL, streams them in back to back or with
// gaps, and compares every packet that comes out with what the test expects. Slot operations run beside the
// packets.
#ifndef TESTS_RTL_RX_BENCH_H
#define TESTS_RTL_RX_BENCH_H
#include "hw/regs/gen/espalier_card.h"
#include "tests/rtl/rx_shim.h"

enum { RX_SLOTS = 128, RX_MAX = 9300, RX_RING = 256 };
enum rx_op { RX_WRITE = 0, RX_DRAIN = 1, RX_CLEAR = 2, RX_QUERY = 4, RX_ENDPOINT = 5 };

struct rx_sa {
    struct espc_sa_blob blob;
    uint16_t gen;
};

// how a packet is to be built; zero everywhere is a plain one
struct rx_make {
    uint64_t seq;
    uint8_t outer_tos, options; // words of IP options
    uint8_t pad;                // pad length beyond the minimal
    uint16_t tfc;               // bytes behind the inner packet
    uint8_t next;               // next header, 0: 4, in transport mode the packet's own
    uint8_t pad_lie;            // another pad length than there is, 0: none
    bool bad_pad, bad_icv, udp, not_udp;
    uint16_t trailing; // bytes behind the outer packet
};

struct rx_packet {
    uint8_t wire[RX_MAX], inner[RX_MAX];
    uint16_t len, inner_len;
    uint16_t said;              // what the port is told of the length; 0: the truth
    uint16_t status, or_status; // or_status: another one that is right too
    uint32_t slot;              // 0xffffffff: none expected
    uint64_t seq;
    uint16_t gen;
    bool src_changed, soft;
};

struct rx_bench {
    struct rx_dut *dut;
    struct rx_pins pins;
    int lanes;
    uint64_t cycle;
    unsigned in_gap, out_stall; // percent of cycles
    uint64_t rng;

    const struct rx_packet *packets;
    size_t n_packets, sent, received;
    size_t sent_bytes, got_bytes;
    uint64_t first_in, last_in, first_out, last_out, beats_out;
    uint16_t first_tag;
    bool loose; // accept ABORTED in the place of any status

    bool op_active, op_done;
    uint64_t op_started;
};

void rx_open(struct rx_bench *b, int lanes, uint64_t seed);
void rx_close(struct rx_bench *b);
uint32_t rx_rng(struct rx_bench *b);
void rx_fill(struct rx_bench *b, void *p, size_t n);

// one clock cycle, with sending, receiving and checking
void rx_cycle(struct rx_bench *b);
void rx_idle(struct rx_bench *b, int cycles);
// announce packets, and run until all have come out
void rx_expect(struct rx_bench *b, const struct rx_packet *packets, size_t n);
void rx_run(struct rx_bench *b);

// an operation on a slot; rx_op_start leaves it running
void rx_op_start(struct rx_bench *b, enum rx_op op, uint32_t slot, uint16_t gen,
                 const struct espc_sa_blob *blob);
uint16_t rx_op(struct rx_bench *b, enum rx_op op, uint32_t slot, uint16_t gen,
               const struct espc_sa_blob *blob);
void rx_sa_init(struct rx_bench *b, struct rx_sa *sa, uint32_t spi, uint32_t window, uint32_t flags,
                bool aes256);
uint16_t rx_sa_add(struct rx_bench *b, struct rx_sa *sa, uint32_t slot);

// a random inner IPv4 packet of `len` bytes with a right header checksum
void rx_inner(struct rx_bench *b, uint8_t *inner, uint16_t len, uint8_t tos);
// p->inner and p->inner_len to wire bytes (in transport mode its header becomes one between the SA's ends);
// the expectation becomes OK with this slot, sequence number and generation
void rx_make(struct rx_packet *p, const struct rx_sa *sa, uint32_t slot, const struct rx_make *how);
void rx_fail(struct rx_packet *p, uint16_t status);
void rx_ip_checksum(uint8_t *ip);

struct rx_bench *rx_bench_new(int lanes, uint64_t seed);
void rx_bench_done(struct rx_bench *b, void *packets);
struct rx_packet *rx_packets(size_t n);
void rx_run_all(struct rx_bench *b, const struct rx_packet *packets, size_t n);
// a good packet of `len` inner bytes
void rx_good(struct rx_bench *b, struct rx_packet *p, const struct rx_sa *sa, uint32_t slot, uint64_t seq,
             uint16_t len);
// SAs of every kind in slots spread over the table, from RX_TRANSPORT on in transport mode
enum { RX_KINDS = 20, RX_TRANSPORT = 16 };
extern const uint32_t rx_kind_slot[RX_KINDS];
void rx_add_kinds(struct rx_bench *b, struct rx_sa *sa);
#endif
