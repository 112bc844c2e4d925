// SPDX-License-Identifier: Apache-2.0
// Generated from hw/regs/espalier.rdl by hw/regs/gen.py; do not edit.
// Registers, descriptors and completions of the card. All of it is little-endian (le16_t ... le64_t).
#ifndef ESPALIER_CARD_H
#define ESPALIER_CARD_H

#include <stddef.h>
#include <stdint.h>

typedef uint16_t le16_t;
typedef uint32_t le32_t;
typedef uint64_t le64_t;

enum espc_status {
    ESPC_STATUS_OK = 0, // Done.
    ESPC_STATUS_SA_INVALID = 1, // No valid SA in the slot named by the descriptor.
    ESPC_STATUS_SA_STALE_GEN = 2, // The slot has been recycled: the descriptor's generation is not the SA's.
    ESPC_STATUS_SA_DRAINING = 3, // The SA drains and takes no new packets.
    ESPC_STATUS_LEASE_END = 4, // The SA's sequence lease is used up.
    ESPC_STATUS_SEQ_OVERFLOW = 5, // Without ESN there is no sequence number after 2^32 - 1 (RFC 4303 section 3.3.3).
    ESPC_STATUS_HARD_LIMIT = 6, // The SA's hard byte or packet limit is reached.
    ESPC_STATUS_REPLAY_OLD = 7, // Sequence number left of the replay window (RFC 4303 section 3.4.3).
    ESPC_STATUS_REPLAY_SEEN = 8, // Sequence number already received (RFC 4303 section 3.4.3).
    ESPC_STATUS_NO_SA = 9, // No inbound SA has the packet's SPI.
    ESPC_STATUS_SA_MISMATCH = 10, // Inbound: the SPI's SA has another protocol, destination address or destination port; on a card also a packet in UDP for an SA in transport mode. Outbound in transport mode: the addresses are not the SA's.
    ESPC_STATUS_ICV_FAIL = 11, // The integrity check value is wrong.
    ESPC_STATUS_TRUNCATED = 12, // Fewer bytes than a header or length field promises.
    ESPC_STATUS_BAD_IP = 13, // Not an IP header that is handled (version, IHL, length; inbound the outer one's checksum). In transport mode also a wrong checksum outbound and, on a card, options in either direction.
    ESPC_STATUS_FRAGMENT = 14, // A fragment where a whole packet is needed.
    ESPC_STATUS_BAD_PAD = 15, // ESP padding is not 1, 2, 3 ... or longer than the payload (RFC 4303 section 2.4).
    ESPC_STATUS_BAD_NEXT_HEADER = 16, // The next header is not the one that the SA's mode and the inner packet ask for.
    ESPC_STATUS_TOO_LONG = 17, // The packet, or its result, is longer than the card's or the buffer's limit.
    ESPC_STATUS_ECN_CE = 18, // Outer CE on a Not-ECT inner packet (RFC 6040 section 4.2).
    ESPC_STATUS_BAD_DESC = 19, // A field of the descriptor is out of range.
    ESPC_STATUS_DMA_ERROR = 20, // The bus answered a DMA of this descriptor with an error.
    ESPC_STATUS_ABORTED = 21, // Reset, zeroise or disable took the work away before it was done.
    ESPC_STATUS_DUMMY = 22, // A dummy packet (next header 59), discarded after verification (RFC 4303 section 2.6).
    ESPC_STATUS_NOT_ESP = 23, // Neither ESP nor ESP in UDP.
    ESPC_STATUS_POLICY = 24, // A policy or an SA's selector does not allow the packet. Given by the host, never by the card.
    ESPC_STATUS_LEASE_EXPIRED = 25, // The SA's deadline has passed without a renewal: the SA has stopped. Packets and command LEASE.
    ESPC_STATUS_BAD_OPCODE = 64, // SA command: unknown or not offered operation.
    ESPC_STATUS_BAD_INDEX = 65, // SA command: slot index out of range.
    ESPC_STATUS_SLOT_BUSY = 66, // SA command: the slot holds an SA.
    ESPC_STATUS_BAD_FIELD = 67, // SA command: the blob's field at refused_offset is out of range or unsupported.
    ESPC_STATUS_BUCKET_FULL = 68, // SA command: the SPI table has no room in this SPI's bucket.
    ESPC_STATUS_SPI_EXISTS = 69, // SA command: an inbound SA with this SPI and destination exists.
    ESPC_STATUS_BAD_LEASE = 70, // SA command: the lease's limit is not above its start, or moves backward.
};
// X(name, value, description)
#define ESPC_STATUS_LIST(X) \
    X(OK, 0, "Done.") \
    X(SA_INVALID, 1, "No valid SA in the slot named by the descriptor.") \
    X(SA_STALE_GEN, 2, "The slot has been recycled: the descriptor's generation is not the SA's.") \
    X(SA_DRAINING, 3, "The SA drains and takes no new packets.") \
    X(LEASE_END, 4, "The SA's sequence lease is used up.") \
    X(SEQ_OVERFLOW, 5, "Without ESN there is no sequence number after 2^32 - 1 (RFC 4303 section 3.3.3).") \
    X(HARD_LIMIT, 6, "The SA's hard byte or packet limit is reached.") \
    X(REPLAY_OLD, 7, "Sequence number left of the replay window (RFC 4303 section 3.4.3).") \
    X(REPLAY_SEEN, 8, "Sequence number already received (RFC 4303 section 3.4.3).") \
    X(NO_SA, 9, "No inbound SA has the packet's SPI.") \
    X(SA_MISMATCH, 10, "Inbound: the SPI's SA has another protocol, destination address or destination port; on a card also a packet in UDP for an SA in transport mode. Outbound in transport mode: the addresses are not the SA's.") \
    X(ICV_FAIL, 11, "The integrity check value is wrong.") \
    X(TRUNCATED, 12, "Fewer bytes than a header or length field promises.") \
    X(BAD_IP, 13, "Not an IP header that is handled (version, IHL, length; inbound the outer one's checksum). In transport mode also a wrong checksum outbound and, on a card, options in either direction.") \
    X(FRAGMENT, 14, "A fragment where a whole packet is needed.") \
    X(BAD_PAD, 15, "ESP padding is not 1, 2, 3 ... or longer than the payload (RFC 4303 section 2.4).") \
    X(BAD_NEXT_HEADER, 16, "The next header is not the one that the SA's mode and the inner packet ask for.") \
    X(TOO_LONG, 17, "The packet, or its result, is longer than the card's or the buffer's limit.") \
    X(ECN_CE, 18, "Outer CE on a Not-ECT inner packet (RFC 6040 section 4.2).") \
    X(BAD_DESC, 19, "A field of the descriptor is out of range.") \
    X(DMA_ERROR, 20, "The bus answered a DMA of this descriptor with an error.") \
    X(ABORTED, 21, "Reset, zeroise or disable took the work away before it was done.") \
    X(DUMMY, 22, "A dummy packet (next header 59), discarded after verification (RFC 4303 section 2.6).") \
    X(NOT_ESP, 23, "Neither ESP nor ESP in UDP.") \
    X(POLICY, 24, "A policy or an SA's selector does not allow the packet. Given by the host, never by the card.") \
    X(LEASE_EXPIRED, 25, "The SA's deadline has passed without a renewal: the SA has stopped. Packets and command LEASE.") \
    X(BAD_OPCODE, 64, "SA command: unknown or not offered operation.") \
    X(BAD_INDEX, 65, "SA command: slot index out of range.") \
    X(SLOT_BUSY, 66, "SA command: the slot holds an SA.") \
    X(BAD_FIELD, 67, "SA command: the blob's field at refused_offset is out of range or unsupported.") \
    X(BUCKET_FULL, 68, "SA command: the SPI table has no room in this SPI's bucket.") \
    X(SPI_EXISTS, 69, "SA command: an inbound SA with this SPI and destination exists.") \
    X(BAD_LEASE, 70, "SA command: the lease's limit is not above its start, or moves backward.")

enum espc_sa_op {
    ESPC_SA_OP_ADD = 1, // Add an SA from the blob; refused unless the slot is invalid.
    ESPC_SA_OP_DRAIN = 2, // Take no new packets; completes when the SA's last one has left.
    ESPC_SA_OP_DELETE = 3, // Drain, overwrite keys, schedules and hash powers with zeros, free the slot.
    ESPC_SA_OP_LEASE = 4, // Extend the outbound sequence lease to seq_limit, which may stay as it is, and set the deadline.
    ESPC_SA_OP_ENDPOINT = 5, // Take the SA's ends (src, dst, sport, dport, outer and the flag UDP_ENCAP) from the blob, of which nothing else is read; what is reserved of it is zero (NAT rebinding, MOBIKE). Packets looked up before keep the old ends. Offered with feature ENDPOINT only.
    ESPC_SA_OP_QUERY = 6, // Fill the result buffer; changes nothing.
    ESPC_SA_OP_FENCE = 7, // Completes after every packet descriptor fetched before it has completed.
    ESPC_SA_OP_ZEROIZE_ALL = 8, // Delete every SA and zero all key memory.
};
// X(name, value, description)
#define ESPC_SA_OP_LIST(X) \
    X(ADD, 1, "Add an SA from the blob; refused unless the slot is invalid.") \
    X(DRAIN, 2, "Take no new packets; completes when the SA's last one has left.") \
    X(DELETE, 3, "Drain, overwrite keys, schedules and hash powers with zeros, free the slot.") \
    X(LEASE, 4, "Extend the outbound sequence lease to seq_limit, which may stay as it is, and set the deadline.") \
    X(ENDPOINT, 5, "Take the SA's ends (src, dst, sport, dport, outer and the flag UDP_ENCAP) from the blob, of which nothing else is read; what is reserved of it is zero (NAT rebinding, MOBIKE). Packets looked up before keep the old ends. Offered with feature ENDPOINT only.") \
    X(QUERY, 6, "Fill the result buffer; changes nothing.") \
    X(FENCE, 7, "Completes after every packet descriptor fetched before it has completed.") \
    X(ZEROIZE_ALL, 8, "Delete every SA and zero all key memory.")

enum espc_pkt_op {
    ESPC_PKT_OP_ENCAP = 1, // Inner IP packet in, outer packet out, by the outbound SA sa_index/generation.
    ESPC_PKT_OP_DECAP = 2, // Outer packet in, inner packet out; the SA is found by SPI, sa_index is ignored.
};
// X(name, value, description)
#define ESPC_PKT_OP_LIST(X) \
    X(ENCAP, 1, "Inner IP packet in, outer packet out, by the outbound SA sa_index/generation.") \
    X(DECAP, 2, "Outer packet in, inner packet out; the SA is found by SPI, sa_index is ignored.")

enum espc_sa_alg {
    ESPC_SA_ALG_AES128_GCM16 = 1, // AES-GCM, 128-bit key, 16-octet ICV (RFC 4106).
    ESPC_SA_ALG_AES256_GCM16 = 2, // AES-GCM, 256-bit key, 16-octet ICV (RFC 4106).
    ESPC_SA_ALG_AES128_GMAC = 3, // AES-GMAC, 128-bit key (RFC 4543). Offered with feature GMAC only.
    ESPC_SA_ALG_AES256_GMAC = 4, // AES-GMAC, 256-bit key (RFC 4543). Offered with feature GMAC only.
};
// X(name, value, description)
#define ESPC_SA_ALG_LIST(X) \
    X(AES128_GCM16, 1, "AES-GCM, 128-bit key, 16-octet ICV (RFC 4106).") \
    X(AES256_GCM16, 2, "AES-GCM, 256-bit key, 16-octet ICV (RFC 4106).") \
    X(AES128_GMAC, 3, "AES-GMAC, 128-bit key (RFC 4543). Offered with feature GMAC only.") \
    X(AES256_GMAC, 4, "AES-GMAC, 256-bit key (RFC 4543). Offered with feature GMAC only.")

enum espc_sa_integ {
    ESPC_SA_INTEG_NONE = 0, // The algorithm is an AEAD.
    ESPC_SA_INTEG_HMAC_SHA256_128 = 1, // HMAC-SHA2-256-128 (RFC 4868). Offered with feature INTEGRITY only.
    ESPC_SA_INTEG_HMAC_SHA384_192 = 2, // HMAC-SHA2-384-192 (RFC 4868). Offered with feature INTEGRITY only.
    ESPC_SA_INTEG_HMAC_SHA512_256 = 3, // HMAC-SHA2-512-256 (RFC 4868). Offered with feature INTEGRITY only.
};
// X(name, value, description)
#define ESPC_SA_INTEG_LIST(X) \
    X(NONE, 0, "The algorithm is an AEAD.") \
    X(HMAC_SHA256_128, 1, "HMAC-SHA2-256-128 (RFC 4868). Offered with feature INTEGRITY only.") \
    X(HMAC_SHA384_192, 2, "HMAC-SHA2-384-192 (RFC 4868). Offered with feature INTEGRITY only.") \
    X(HMAC_SHA512_256, 3, "HMAC-SHA2-512-256 (RFC 4868). Offered with feature INTEGRITY only.")

enum espc_sa_mode {
    ESPC_SA_MODE_TRANSPORT = 0, // Transport mode. Offered with feature TRANSPORT only.
    ESPC_SA_MODE_TUNNEL = 1, // Tunnel mode.
};
// X(name, value, description)
#define ESPC_SA_MODE_LIST(X) \
    X(TRANSPORT, 0, "Transport mode. Offered with feature TRANSPORT only.") \
    X(TUNNEL, 1, "Tunnel mode.")

enum espc_family {
    ESPC_FAMILY_IPV4 = 1, // IPv4.
    ESPC_FAMILY_IPV6 = 2, // IPv6. Offered with features OUTER_IPV6 and INNER_IPV6 only.
};
// X(name, value, description)
#define ESPC_FAMILY_LIST(X) \
    X(IPV4, 1, "IPv4.") \
    X(IPV6, 2, "IPv6. Offered with features OUTER_IPV6 and INNER_IPV6 only.")

enum espc_queue_cause {
    ESPC_QUEUE_CAUSE_NONE = 0, // The queue is in order.
    ESPC_QUEUE_CAUSE_BAD_DOORBELL = 1, // A doorbell index beyond the ring, or one that goes back.
    ESPC_QUEUE_CAUSE_SQ_READ = 2, // The bus answered a read of the submission ring with an error.
    ESPC_QUEUE_CAUSE_CQ_WRITE = 3, // The bus answered a write of the completion ring with an error.
};
// X(name, value, description)
#define ESPC_QUEUE_CAUSE_LIST(X) \
    X(NONE, 0, "The queue is in order.") \
    X(BAD_DOORBELL, 1, "A doorbell index beyond the ring, or one that goes back.") \
    X(SQ_READ, 2, "The bus answered a read of the submission ring with an error.") \
    X(CQ_WRITE, 3, "The bus answered a write of the completion ring with an error.")

enum espc_block_type {
    ESPC_BLOCK_TYPE_END = 0, // End of the directory.
    ESPC_BLOCK_TYPE_ID = 1, // Identity and control.
    ESPC_BLOCK_TYPE_QUEUES = 2, // Queue configuration; doorbells follow in block DOORBELL.
    ESPC_BLOCK_TYPE_DOORBELL = 3, // Doorbells.
    ESPC_BLOCK_TYPE_COUNTERS = 4, // 64-bit counters, latched by SNAPSHOT.
    ESPC_BLOCK_TYPE_COUNTER_NAMES = 5, // One 32-byte name per counter, in the order of block COUNTERS.
    ESPC_BLOCK_TYPE_MSIX = 6, // MSI-X table and pending bits.
};
// X(name, value, description)
#define ESPC_BLOCK_TYPE_LIST(X) \
    X(END, 0, "End of the directory.") \
    X(ID, 1, "Identity and control.") \
    X(QUEUES, 2, "Queue configuration; doorbells follow in block DOORBELL.") \
    X(DOORBELL, 3, "Doorbells.") \
    X(COUNTERS, 4, "64-bit counters, latched by SNAPSHOT.") \
    X(COUNTER_NAMES, 5, "One 32-byte name per counter, in the order of block COUNTERS.") \
    X(MSIX, 6, "MSI-X table and pending bits.")

enum espc_counter {
    ESPC_COUNTER_CYCLES_BUSY = 0, // Clock cycles in which a packet was in either pipeline.
    ESPC_COUNTER_ENC_PACKETS = 1, // Packets encapsulated with status OK.
    ESPC_COUNTER_ENC_BYTES = 2, // Outer bytes of those packets.
    ESPC_COUNTER_ENC_BEATS = 3, // Output beats of the encapsulation pipeline.
    ESPC_COUNTER_ENC_DROPS = 4, // Packets not encapsulated.
    ESPC_COUNTER_DEC_PACKETS = 5, // Packets decapsulated with status OK.
    ESPC_COUNTER_DEC_BYTES = 6, // Inner bytes of those packets.
    ESPC_COUNTER_DEC_BEATS = 7, // Output beats of the decapsulation pipeline.
    ESPC_COUNTER_DEC_DROPS = 8, // Packets not decapsulated.
    ESPC_COUNTER_DMA_READ_BEATS = 9, // Beats of DMA read data.
    ESPC_COUNTER_DMA_WRITE_BEATS = 10, // Beats of DMA write data.
    ESPC_COUNTER_SA_COMMANDS = 11, // SA commands completed.
    ESPC_COUNTER_SA_REFUSED = 12, // SA commands refused.
    ESPC_COUNTER_DESC_FETCHED = 13, // Packet descriptors fetched.
    ESPC_COUNTER_COMPLETIONS = 14, // Completions written, all queues.
    ESPC_COUNTER_DOORBELLS = 15, // Doorbell writes accepted.
};
// X(name, value, description)
#define ESPC_COUNTER_LIST(X) \
    X(CYCLES_BUSY, 0, "Clock cycles in which a packet was in either pipeline.") \
    X(ENC_PACKETS, 1, "Packets encapsulated with status OK.") \
    X(ENC_BYTES, 2, "Outer bytes of those packets.") \
    X(ENC_BEATS, 3, "Output beats of the encapsulation pipeline.") \
    X(ENC_DROPS, 4, "Packets not encapsulated.") \
    X(DEC_PACKETS, 5, "Packets decapsulated with status OK.") \
    X(DEC_BYTES, 6, "Inner bytes of those packets.") \
    X(DEC_BEATS, 7, "Output beats of the decapsulation pipeline.") \
    X(DEC_DROPS, 8, "Packets not decapsulated.") \
    X(DMA_READ_BEATS, 9, "Beats of DMA read data.") \
    X(DMA_WRITE_BEATS, 10, "Beats of DMA write data.") \
    X(SA_COMMANDS, 11, "SA commands completed.") \
    X(SA_REFUSED, 12, "SA commands refused.") \
    X(DESC_FETCHED, 13, "Packet descriptors fetched.") \
    X(COMPLETIONS, 14, "Completions written, all queues.") \
    X(DOORBELLS, 15, "Doorbell writes accepted.")

// BAR0 registers: byte offsets, field masks and shifts.
#define ESPC_REG_MAGIC 0x0000u // Reads 0x4c505345, the letters ESPL.
#define ESPC_REG_ABI 0x0004u // Interface version; an unknown major is refused.
#define ESPC_ABI_MINOR_SHIFT 0
#define ESPC_ABI_MINOR_MASK 0x0000ffffu
#define ESPC_ABI_MINOR 0
#define ESPC_ABI_MAJOR_SHIFT 16
#define ESPC_ABI_MAJOR_MASK 0xffff0000u
#define ESPC_ABI_MAJOR 2
#define ESPC_REG_BUILD_HASH 0x0008u // Hash of the sources this card was built from.
#define ESPC_REG_FEATURES_OFFERED 0x000cu // Features the card offers.
#define ESPC_FEATURES_OFFERED_AES128_GCM16_SHIFT 0
#define ESPC_FEATURES_OFFERED_AES128_GCM16_MASK 0x00000001u
#define ESPC_FEATURES_OFFERED_AES256_GCM16_SHIFT 1
#define ESPC_FEATURES_OFFERED_AES256_GCM16_MASK 0x00000002u
#define ESPC_FEATURES_OFFERED_TUNNEL_SHIFT 2
#define ESPC_FEATURES_OFFERED_TUNNEL_MASK 0x00000004u
#define ESPC_FEATURES_OFFERED_TRANSPORT_SHIFT 3
#define ESPC_FEATURES_OFFERED_TRANSPORT_MASK 0x00000008u
#define ESPC_FEATURES_OFFERED_OUTER_IPV4_SHIFT 4
#define ESPC_FEATURES_OFFERED_OUTER_IPV4_MASK 0x00000010u
#define ESPC_FEATURES_OFFERED_OUTER_IPV6_SHIFT 5
#define ESPC_FEATURES_OFFERED_OUTER_IPV6_MASK 0x00000020u
#define ESPC_FEATURES_OFFERED_INNER_IPV4_SHIFT 6
#define ESPC_FEATURES_OFFERED_INNER_IPV4_MASK 0x00000040u
#define ESPC_FEATURES_OFFERED_INNER_IPV6_SHIFT 7
#define ESPC_FEATURES_OFFERED_INNER_IPV6_MASK 0x00000080u
#define ESPC_FEATURES_OFFERED_UDP_ENCAP_SHIFT 8
#define ESPC_FEATURES_OFFERED_UDP_ENCAP_MASK 0x00000100u
#define ESPC_FEATURES_OFFERED_ESN_SHIFT 9
#define ESPC_FEATURES_OFFERED_ESN_MASK 0x00000200u
#define ESPC_FEATURES_OFFERED_REPLAY_SHIFT 10
#define ESPC_FEATURES_OFFERED_REPLAY_MASK 0x00000400u
#define ESPC_FEATURES_OFFERED_LOOKASIDE_SHIFT 11
#define ESPC_FEATURES_OFFERED_LOOKASIDE_MASK 0x00000800u
#define ESPC_FEATURES_OFFERED_WIRE_SHIFT 12
#define ESPC_FEATURES_OFFERED_WIRE_MASK 0x00001000u
#define ESPC_FEATURES_OFFERED_ENDPOINT_SHIFT 13
#define ESPC_FEATURES_OFFERED_ENDPOINT_MASK 0x00002000u
#define ESPC_FEATURES_OFFERED_GMAC_SHIFT 14
#define ESPC_FEATURES_OFFERED_GMAC_MASK 0x00004000u
#define ESPC_FEATURES_OFFERED_INTEGRITY_SHIFT 15
#define ESPC_FEATURES_OFFERED_INTEGRITY_MASK 0x00008000u
#define ESPC_FEATURES_OFFERED_TFC_SHIFT 16
#define ESPC_FEATURES_OFFERED_TFC_MASK 0x00010000u
#define ESPC_FEATURES_OFFERED_DEADLINE_SHIFT 17
#define ESPC_FEATURES_OFFERED_DEADLINE_MASK 0x00020000u
#define ESPC_FEATURES_OFFERED_VLAN_SHIFT 18
#define ESPC_FEATURES_OFFERED_VLAN_MASK 0x00040000u
#define ESPC_REG_FEATURES_ACCEPTED 0x0010u // Features the driver accepts: a subset of those offered, written before CTRL.ENABLE.
#define ESPC_REG_SA_SLOTS 0x0014u // SA slots in each direction.
#define ESPC_REG_QUEUES 0x0018u // Packet queue pairs (queue 0, the SA command queue, not counted).
#define ESPC_REG_MAX_LEN 0x001cu // Longest packet in bytes, in or out.
#define ESPC_REG_CLOCK_KHZ 0x0020u // Nominal clock rate in kHz.
#define ESPC_REG_LANES 0x0024u // Lanes of 16 bytes a cycle.
#define ESPC_REG_VECTORS 0x0028u // MSI-X vectors.
#define ESPC_REG_EPOCH 0x002cu // Written by the driver with a random non-zero value at start; every reset clears it. Completions carry its low 8 bits.
#define ESPC_REG_CTRL 0x0040u // Control.
#define ESPC_CTRL_ENABLE_SHIFT 0
#define ESPC_CTRL_ENABLE_MASK 0x00000001u
#define ESPC_CTRL_RESET_SHIFT 1
#define ESPC_CTRL_RESET_MASK 0x00000002u
#define ESPC_CTRL_QUIESCE_SHIFT 2
#define ESPC_CTRL_QUIESCE_MASK 0x00000004u
#define ESPC_CTRL_ZEROIZE_SHIFT 3
#define ESPC_CTRL_ZEROIZE_MASK 0x00000008u
#define ESPC_REG_STATUS 0x0044u // Status.
#define ESPC_STATUS_READY_SHIFT 0
#define ESPC_STATUS_READY_MASK 0x00000001u
#define ESPC_STATUS_FEATURES_OK_SHIFT 1
#define ESPC_STATUS_FEATURES_OK_MASK 0x00000002u
#define ESPC_STATUS_FATAL_SHIFT 2
#define ESPC_STATUS_FATAL_MASK 0x00000004u
#define ESPC_STATUS_DRAINED_SHIFT 3
#define ESPC_STATUS_DRAINED_MASK 0x00000008u
#define ESPC_STATUS_ZEROIZED_SHIFT 4
#define ESPC_STATUS_ZEROIZED_MASK 0x00000010u
#define ESPC_STATUS_QUEUE_ERROR_SHIFT 5
#define ESPC_STATUS_QUEUE_ERROR_MASK 0x00000020u
#define ESPC_REG_ERR_CAUSE 0x0048u // Cause of FATAL; write one to clear.
#define ESPC_ERR_CAUSE_INTERNAL_SHIFT 0
#define ESPC_ERR_CAUSE_INTERNAL_MASK 0x00000001u
#define ESPC_REG_ERR_SYNDROME 0x004cu // Detail of the first error: pipelines that failed, bit 0 encapsulation, bit 1 decapsulation.
#define ESPC_REG_FREERUN_LO 0x0050u // Free-running clock counter, low half; reading it latches the high half.
#define ESPC_REG_FREERUN_HI 0x0054u // Free-running clock counter, high half.
#define ESPC_REG_SNAPSHOT 0x0058u // Any write latches all 64-bit counters at one instant, some cycles after it; reads wait until that is done.
#define ESPC_REG_MSIX_TABLE 0x8000u // First word of the MSI-X table (owned by the PCIe shell).
#define ESPC_REG_MSIX_PBA 0x9000u // First word of the MSI-X pending bits (owned by the PCIe shell).
#define ESPC_BLOCK_COUNT 8
#define ESPC_BLOCK_STRIDE 0x10
#define ESPC_REG_BLOCK(i) (0x0800u + 0x10u * (uint32_t)(i))
#define ESPC_REG_BLOCK_TYPE(i) (0x0800u + 0x10u * (uint32_t)(i))
#define ESPC_REG_BLOCK_VERSION(i) (0x0804u + 0x10u * (uint32_t)(i)) // major << 16 | minor
#define ESPC_REG_BLOCK_OFFSET(i) (0x0808u + 0x10u * (uint32_t)(i)) // BAR0 offset of the block.
#define ESPC_REG_BLOCK_NEXT(i) (0x080cu + 0x10u * (uint32_t)(i)) // BAR0 offset of the next entry, 0 at the end.
#define ESPC_QUEUE_COUNT 8
#define ESPC_QUEUE_STRIDE 0x40
#define ESPC_REG_QUEUE(i) (0x1000u + 0x40u * (uint32_t)(i))
#define ESPC_REG_QUEUE_SQ_BASE_LO(i) (0x1000u + 0x40u * (uint32_t)(i)) // Submission ring address, low half; 64-byte aligned.
#define ESPC_REG_QUEUE_SQ_BASE_HI(i) (0x1004u + 0x40u * (uint32_t)(i)) // Submission ring address, high half.
#define ESPC_REG_QUEUE_CQ_BASE_LO(i) (0x1008u + 0x40u * (uint32_t)(i)) // Completion ring address, low half; 64-byte aligned.
#define ESPC_REG_QUEUE_CQ_BASE_HI(i) (0x100cu + 0x40u * (uint32_t)(i)) // Completion ring address, high half.
#define ESPC_REG_QUEUE_LOG2_SIZE(i) (0x1010u + 0x40u * (uint32_t)(i)) // Binary logarithms of the rings' entries, 2 ... 15, and of the bytes of an entry. The completion ring is at least as long as the submission ring.
#define ESPC_QUEUE_LOG2_SIZE_SQ_SHIFT 0
#define ESPC_QUEUE_LOG2_SIZE_SQ_MASK 0x000000ffu
#define ESPC_QUEUE_LOG2_SIZE_CQ_SHIFT 8
#define ESPC_QUEUE_LOG2_SIZE_CQ_MASK 0x0000ff00u
#define ESPC_QUEUE_LOG2_SIZE_SQE_SHIFT 16
#define ESPC_QUEUE_LOG2_SIZE_SQE_MASK 0x00ff0000u
#define ESPC_QUEUE_LOG2_SIZE_CQE_SHIFT 24
#define ESPC_QUEUE_LOG2_SIZE_CQE_MASK 0xff000000u
#define ESPC_REG_QUEUE_VECTOR(i) (0x1014u + 0x40u * (uint32_t)(i)) // MSI-X vector.
#define ESPC_REG_QUEUE_CTRL(i) (0x1018u + 0x40u * (uint32_t)(i))
#define ESPC_QUEUE_CTRL_ENABLE_SHIFT 0
#define ESPC_QUEUE_CTRL_ENABLE_MASK 0x00000001u
#define ESPC_REG_QUEUE_STATUS(i) (0x101cu + 0x40u * (uint32_t)(i)) // ERROR takes no doorbell and fetches nothing; what had been fetched still completes. The queue's interrupt fires once. Every other queue and every SA goes on. To start afresh: CTRL.ENABLE 0, wait until ACTIVE is 0, CTRL.ENABLE 1.
#define ESPC_QUEUE_STATUS_ACTIVE_SHIFT 0
#define ESPC_QUEUE_STATUS_ACTIVE_MASK 0x00000001u
#define ESPC_QUEUE_STATUS_ERROR_SHIFT 1
#define ESPC_QUEUE_STATUS_ERROR_MASK 0x00000002u
#define ESPC_QUEUE_STATUS_CAUSE_SHIFT 2
#define ESPC_QUEUE_STATUS_CAUSE_MASK 0x000003fcu
#define ESPC_QUEUE_STATUS_CAUSE 0
#define ESPC_REG_QUEUE_SQ_HEAD(i) (0x1020u + 0x40u * (uint32_t)(i)) // Submission entries consumed (free-running).
#define ESPC_REG_QUEUE_CQ_TAIL(i) (0x1024u + 0x40u * (uint32_t)(i)) // Completions written (free-running).
#define ESPC_DOORBELL_COUNT 8
#define ESPC_DOORBELL_STRIDE 0x8
#define ESPC_REG_DOORBELL(i) (0x2000u + 0x8u * (uint32_t)(i))
#define ESPC_REG_DOORBELL_SQ_TAIL(i) (0x2000u + 0x8u * (uint32_t)(i)) // Free-running 32-bit index of the first entry not yet written.
#define ESPC_REG_DOORBELL_CQ_HEAD(i) (0x2004u + 0x8u * (uint32_t)(i)) // Free-running 31-bit count of completions consumed; bit 31 arms the interrupt, which fires at once if more are waiting.
#define ESPC_DOORBELL_CQ_HEAD_HEAD_SHIFT 0
#define ESPC_DOORBELL_CQ_HEAD_HEAD_MASK 0x7fffffffu
#define ESPC_DOORBELL_CQ_HEAD_ARM_SHIFT 31
#define ESPC_DOORBELL_CQ_HEAD_ARM_MASK 0x80000000u
#define ESPC_COUNTER_COUNT 64
#define ESPC_COUNTER_STRIDE 0x8
#define ESPC_REG_COUNTER(i) (0x3000u + 0x8u * (uint32_t)(i))
#define ESPC_REG_COUNTER_LO(i) (0x3000u + 0x8u * (uint32_t)(i))
#define ESPC_REG_COUNTER_HI(i) (0x3004u + 0x8u * (uint32_t)(i))
#define ESPC_COUNTER_NAME_COUNT 64
#define ESPC_COUNTER_NAME_STRIDE 0x20
#define ESPC_REG_COUNTER_NAME(i) (0x4000u + 0x20u * (uint32_t)(i))
#define ESPC_REG_COUNTER_NAME_WORD(i, j) (0x4000u + 0x20u * (uint32_t)(i) + 0x4u * (uint32_t)(j))

// SA command: 64-byte submission entry of queue 0.
struct espc_sa_command {
    uint8_t op;
    uint8_t dir; // Direction of the slot index: 0 outbound, 1 inbound.
    le16_t generation; // Generation of the SA; ADD sets it, the other commands must match it.
    le32_t sa_index; // Slot.
    le64_t cookie; // Echoed in the completion.
    le64_t blob_iova; // ADD and ENDPOINT: address of the SA blob, 64-byte aligned.
    le64_t result_iova; // Address of the result buffer, 64-byte aligned; written before the completion.
    le64_t seq_limit; // LEASE: first sequence number not to be used.
    le64_t deadline; // LEASE: the new deadline, as in the blob; 0: none. Zero without feature DEADLINE.
    le64_t reserved[2]; // Zero.
};
_Static_assert(sizeof(struct espc_sa_command) == 64, "size of sa_command");
_Static_assert(offsetof(struct espc_sa_command, op) == 0x0, "sa_command.op");
_Static_assert(offsetof(struct espc_sa_command, dir) == 0x1, "sa_command.dir");
_Static_assert(offsetof(struct espc_sa_command, generation) == 0x2, "sa_command.generation");
_Static_assert(offsetof(struct espc_sa_command, sa_index) == 0x4, "sa_command.sa_index");
_Static_assert(offsetof(struct espc_sa_command, cookie) == 0x8, "sa_command.cookie");
_Static_assert(offsetof(struct espc_sa_command, blob_iova) == 0x10, "sa_command.blob_iova");
_Static_assert(offsetof(struct espc_sa_command, result_iova) == 0x18, "sa_command.result_iova");
_Static_assert(offsetof(struct espc_sa_command, seq_limit) == 0x20, "sa_command.seq_limit");
_Static_assert(offsetof(struct espc_sa_command, deadline) == 0x28, "sa_command.deadline");
_Static_assert(offsetof(struct espc_sa_command, reserved) == 0x30, "sa_command.reserved");
// X(field, offset, bytes)
#define ESPC_SA_COMMAND_FIELDS(X) \
    X(op, 0x0, 1) \
    X(dir, 0x1, 1) \
    X(generation, 0x2, 2) \
    X(sa_index, 0x4, 4) \
    X(cookie, 0x8, 8) \
    X(blob_iova, 0x10, 8) \
    X(result_iova, 0x18, 8) \
    X(seq_limit, 0x20, 8) \
    X(deadline, 0x28, 8) \
    X(reserved, 0x30, 16)

// SA blob: 512 bytes in locked memory; the driver wipes it when the completion arrives. A field that the card does not offer must be zero, or what it means there; so must every reserved one: else BAD_FIELD with its offset.
struct espc_sa_blob {
    le32_t spi; // SPI, as a number (host order 0x12345678 is sent as 12 34 56 78).
    le32_t flags; // Flags.
    le32_t alg;
    le32_t integ;
    uint8_t key[32]; // Key octets in the order of RFC 4106; unused ones zero.
    uint8_t salt[4]; // Salt octets (RFC 4106 section 4).
    le32_t window; // Inbound: replay window in packets, 0 (no check) or 1 ... 1024.
    uint8_t src[16]; // Outer source address, network order; IPv4 in the first four octets, the rest zero. Not checked inbound.
    uint8_t dst[16]; // Outer destination address; likewise. Checked inbound.
    le16_t sport; // UDP source port, as a number. Not checked inbound.
    le16_t dport; // UDP destination port, as a number. Checked inbound.
    uint8_t ttl; // Outbound: outer TTL or hop limit.
    uint8_t mode;
    uint8_t outer; // Family of src and dst.
    uint8_t inner; // Tunnel mode: families that may be inside; the values may be added.
    le64_t seq; // Outbound: first sequence number to use, at least 1. Inbound: highest sequence number received (0: none).
    le64_t seq_limit; // Outbound: first sequence number not to be used (the lease's end).
    le64_t soft_bytes; // Bytes (inner, both directions) that raise SOFT_LIMIT; 0: none.
    le64_t hard_bytes; // Bytes after which the SA stops with HARD_LIMIT; 0: none.
    le64_t soft_packets; // Packets that raise SOFT_LIMIT; 0: none.
    le64_t hard_packets; // Packets after which the SA stops with HARD_LIMIT; 0: none.
    le64_t deadline; // Outbound: value of FREERUN from which on the SA takes no packet (LEASE_EXPIRED) unless LEASE has moved it before; 0: none. Once it has passed nothing revives the SA. Zero inbound and without feature DEADLINE.
    le32_t tfc_length; // Outbound: pad inner packets to this length (RFC 4303 section 2.7); 0: none. Zero without feature TFC.
    le16_t id_offset; // Outbound: added to the sequence number's low 16 bits to give the identification of an outer IPv4 header without DF; with DF it is 0 (RFC 6864). Zero inbound.
    uint8_t reserved0[98]; // Zero.
    le64_t seen[16]; // Inbound: seen bits. Bit n of the 1024 (word n / 64, bit n mod 64) stands for sequence number seq - n; bits at or beyond the window are ignored. Bit 0 is set whenever seq > 0.
    uint8_t integ_key[64]; // Key of the integrity algorithm. Zero without feature INTEGRITY.
    uint8_t wire_dst[6]; // Outbound, to the wire: Ethernet destination address. Zero without feature WIRE, as the next three.
    uint8_t wire_src[6]; // Outbound, to the wire: Ethernet source address.
    le16_t wire_vlan; // Outbound, to the wire: VLAN tag control information, 0: no tag.
    le16_t wire_port; // Outbound, to the wire: port.
    uint8_t reserved1[48]; // Zero.
};
_Static_assert(sizeof(struct espc_sa_blob) == 512, "size of sa_blob");
_Static_assert(offsetof(struct espc_sa_blob, spi) == 0x0, "sa_blob.spi");
_Static_assert(offsetof(struct espc_sa_blob, flags) == 0x4, "sa_blob.flags");
#define ESPC_SA_BLOB_FLAGS_ESN_SHIFT 0
#define ESPC_SA_BLOB_FLAGS_ESN_MASK 0x1u
#define ESPC_SA_BLOB_FLAGS_UDP_ENCAP_SHIFT 1
#define ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK 0x2u
#define ESPC_SA_BLOB_FLAGS_DF_CLEAR_SHIFT 2
#define ESPC_SA_BLOB_FLAGS_DF_CLEAR_MASK 0x4u
#define ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_SHIFT 3
#define ESPC_SA_BLOB_FLAGS_NO_DSCP_COPY_MASK 0x8u
#define ESPC_SA_BLOB_FLAGS_NO_ECN_SHIFT 4
#define ESPC_SA_BLOB_FLAGS_NO_ECN_MASK 0x10u
#define ESPC_SA_BLOB_FLAGS_DSCP_DECAP_SHIFT 5
#define ESPC_SA_BLOB_FLAGS_DSCP_DECAP_MASK 0x20u
_Static_assert(offsetof(struct espc_sa_blob, alg) == 0x8, "sa_blob.alg");
_Static_assert(offsetof(struct espc_sa_blob, integ) == 0xc, "sa_blob.integ");
_Static_assert(offsetof(struct espc_sa_blob, key) == 0x10, "sa_blob.key");
_Static_assert(offsetof(struct espc_sa_blob, salt) == 0x30, "sa_blob.salt");
_Static_assert(offsetof(struct espc_sa_blob, window) == 0x34, "sa_blob.window");
_Static_assert(offsetof(struct espc_sa_blob, src) == 0x38, "sa_blob.src");
_Static_assert(offsetof(struct espc_sa_blob, dst) == 0x48, "sa_blob.dst");
_Static_assert(offsetof(struct espc_sa_blob, sport) == 0x58, "sa_blob.sport");
_Static_assert(offsetof(struct espc_sa_blob, dport) == 0x5a, "sa_blob.dport");
_Static_assert(offsetof(struct espc_sa_blob, ttl) == 0x5c, "sa_blob.ttl");
_Static_assert(offsetof(struct espc_sa_blob, mode) == 0x5d, "sa_blob.mode");
_Static_assert(offsetof(struct espc_sa_blob, outer) == 0x5e, "sa_blob.outer");
_Static_assert(offsetof(struct espc_sa_blob, inner) == 0x5f, "sa_blob.inner");
_Static_assert(offsetof(struct espc_sa_blob, seq) == 0x60, "sa_blob.seq");
_Static_assert(offsetof(struct espc_sa_blob, seq_limit) == 0x68, "sa_blob.seq_limit");
_Static_assert(offsetof(struct espc_sa_blob, soft_bytes) == 0x70, "sa_blob.soft_bytes");
_Static_assert(offsetof(struct espc_sa_blob, hard_bytes) == 0x78, "sa_blob.hard_bytes");
_Static_assert(offsetof(struct espc_sa_blob, soft_packets) == 0x80, "sa_blob.soft_packets");
_Static_assert(offsetof(struct espc_sa_blob, hard_packets) == 0x88, "sa_blob.hard_packets");
_Static_assert(offsetof(struct espc_sa_blob, deadline) == 0x90, "sa_blob.deadline");
_Static_assert(offsetof(struct espc_sa_blob, tfc_length) == 0x98, "sa_blob.tfc_length");
_Static_assert(offsetof(struct espc_sa_blob, id_offset) == 0x9c, "sa_blob.id_offset");
_Static_assert(offsetof(struct espc_sa_blob, reserved0) == 0x9e, "sa_blob.reserved0");
_Static_assert(offsetof(struct espc_sa_blob, seen) == 0x100, "sa_blob.seen");
_Static_assert(offsetof(struct espc_sa_blob, integ_key) == 0x180, "sa_blob.integ_key");
_Static_assert(offsetof(struct espc_sa_blob, wire_dst) == 0x1c0, "sa_blob.wire_dst");
_Static_assert(offsetof(struct espc_sa_blob, wire_src) == 0x1c6, "sa_blob.wire_src");
_Static_assert(offsetof(struct espc_sa_blob, wire_vlan) == 0x1cc, "sa_blob.wire_vlan");
_Static_assert(offsetof(struct espc_sa_blob, wire_port) == 0x1ce, "sa_blob.wire_port");
_Static_assert(offsetof(struct espc_sa_blob, reserved1) == 0x1d0, "sa_blob.reserved1");
// X(field, offset, bytes)
#define ESPC_SA_BLOB_FIELDS(X) \
    X(spi, 0x0, 4) \
    X(flags, 0x4, 4) \
    X(alg, 0x8, 4) \
    X(integ, 0xc, 4) \
    X(key, 0x10, 32) \
    X(salt, 0x30, 4) \
    X(window, 0x34, 4) \
    X(src, 0x38, 16) \
    X(dst, 0x48, 16) \
    X(sport, 0x58, 2) \
    X(dport, 0x5a, 2) \
    X(ttl, 0x5c, 1) \
    X(mode, 0x5d, 1) \
    X(outer, 0x5e, 1) \
    X(inner, 0x5f, 1) \
    X(seq, 0x60, 8) \
    X(seq_limit, 0x68, 8) \
    X(soft_bytes, 0x70, 8) \
    X(hard_bytes, 0x78, 8) \
    X(soft_packets, 0x80, 8) \
    X(hard_packets, 0x88, 8) \
    X(deadline, 0x90, 8) \
    X(tfc_length, 0x98, 4) \
    X(id_offset, 0x9c, 2) \
    X(reserved0, 0x9e, 98) \
    X(seen, 0x100, 128) \
    X(integ_key, 0x180, 64) \
    X(wire_dst, 0x1c0, 6) \
    X(wire_src, 0x1c6, 6) \
    X(wire_vlan, 0x1cc, 2) \
    X(wire_port, 0x1ce, 2) \
    X(reserved1, 0x1d0, 48)

// SA result: 64 bytes, written before the completion of every SA command.
struct espc_sa_result {
    le64_t last_seq; // Outbound: last sequence number used. Inbound: highest received.
    le64_t packets; // Packets with status OK.
    le64_t bytes; // Inner bytes of those packets.
    le64_t drops; // Packets of this SA that were dropped, all reasons.
    le32_t refused_offset; // Byte offset in the blob of the refused field (status BAD_FIELD).
    le32_t reserved0; // Zero.
    le64_t reserved1[3]; // Zero.
};
_Static_assert(sizeof(struct espc_sa_result) == 64, "size of sa_result");
_Static_assert(offsetof(struct espc_sa_result, last_seq) == 0x0, "sa_result.last_seq");
_Static_assert(offsetof(struct espc_sa_result, packets) == 0x8, "sa_result.packets");
_Static_assert(offsetof(struct espc_sa_result, bytes) == 0x10, "sa_result.bytes");
_Static_assert(offsetof(struct espc_sa_result, drops) == 0x18, "sa_result.drops");
_Static_assert(offsetof(struct espc_sa_result, refused_offset) == 0x20, "sa_result.refused_offset");
_Static_assert(offsetof(struct espc_sa_result, reserved0) == 0x24, "sa_result.reserved0");
_Static_assert(offsetof(struct espc_sa_result, reserved1) == 0x28, "sa_result.reserved1");
// X(field, offset, bytes)
#define ESPC_SA_RESULT_FIELDS(X) \
    X(last_seq, 0x0, 8) \
    X(packets, 0x8, 8) \
    X(bytes, 0x10, 8) \
    X(drops, 0x18, 8) \
    X(refused_offset, 0x20, 4) \
    X(reserved0, 0x24, 4) \
    X(reserved1, 0x28, 24)

// Packet descriptor: 64-byte submission entry of queues 1 ... QUEUES.
struct espc_packet_desc {
    le64_t src_iova; // Address of the packet (any alignment).
    le64_t dst_iova; // Address of the result buffer, 64-byte aligned; 0 means the wire port (feature WIRE).
    le32_t src_len; // Bytes of the packet.
    le32_t dst_cap; // Bytes of the result buffer.
    le32_t sa_index; // ENCAP: SA slot.
    le16_t generation; // ENCAP: generation of the SA.
    uint8_t op;
    uint8_t flags; // Zero.
    le64_t cookie; // Echoed in the completion.
    le16_t wire_port; // Wire port where dst_iova is 0. Zero without feature WIRE.
    le16_t l3_offset; // Bytes before the IP header, which are kept as they are. Zero without feature VLAN.
    le32_t reserved0; // Zero.
    le64_t reserved1[2]; // Zero.
};
_Static_assert(sizeof(struct espc_packet_desc) == 64, "size of packet_desc");
_Static_assert(offsetof(struct espc_packet_desc, src_iova) == 0x0, "packet_desc.src_iova");
_Static_assert(offsetof(struct espc_packet_desc, dst_iova) == 0x8, "packet_desc.dst_iova");
_Static_assert(offsetof(struct espc_packet_desc, src_len) == 0x10, "packet_desc.src_len");
_Static_assert(offsetof(struct espc_packet_desc, dst_cap) == 0x14, "packet_desc.dst_cap");
_Static_assert(offsetof(struct espc_packet_desc, sa_index) == 0x18, "packet_desc.sa_index");
_Static_assert(offsetof(struct espc_packet_desc, generation) == 0x1c, "packet_desc.generation");
_Static_assert(offsetof(struct espc_packet_desc, op) == 0x1e, "packet_desc.op");
_Static_assert(offsetof(struct espc_packet_desc, flags) == 0x1f, "packet_desc.flags");
_Static_assert(offsetof(struct espc_packet_desc, cookie) == 0x20, "packet_desc.cookie");
_Static_assert(offsetof(struct espc_packet_desc, wire_port) == 0x28, "packet_desc.wire_port");
_Static_assert(offsetof(struct espc_packet_desc, l3_offset) == 0x2a, "packet_desc.l3_offset");
_Static_assert(offsetof(struct espc_packet_desc, reserved0) == 0x2c, "packet_desc.reserved0");
_Static_assert(offsetof(struct espc_packet_desc, reserved1) == 0x30, "packet_desc.reserved1");
// X(field, offset, bytes)
#define ESPC_PACKET_DESC_FIELDS(X) \
    X(src_iova, 0x0, 8) \
    X(dst_iova, 0x8, 8) \
    X(src_len, 0x10, 4) \
    X(dst_cap, 0x14, 4) \
    X(sa_index, 0x18, 4) \
    X(generation, 0x1c, 2) \
    X(op, 0x1e, 1) \
    X(flags, 0x1f, 1) \
    X(cookie, 0x20, 8) \
    X(wire_port, 0x28, 2) \
    X(l3_offset, 0x2a, 2) \
    X(reserved0, 0x2c, 4) \
    X(reserved1, 0x30, 16)

// Completion: 32 bytes, all queues. Never visible before its payload. The host fills the ring with zeros before the queue is enabled; the phase bit is 1 in the first round.
struct espc_completion {
    le64_t cookie; // The submission's cookie.
    le64_t seq; // The 64-bit sequence number used (ENCAP) or received (DECAP, once an SA was found); SA commands: last_seq.
    le32_t sa_index; // The SA's slot, 0xffffffff where none was found.
    le16_t generation; // The SA's generation.
    le16_t status;
    le16_t out_len; // Bytes of the result, 0 unless OK.
    le16_t flags; // Flags.
    le32_t head_phase;
};
_Static_assert(sizeof(struct espc_completion) == 32, "size of completion");
_Static_assert(offsetof(struct espc_completion, cookie) == 0x0, "completion.cookie");
_Static_assert(offsetof(struct espc_completion, seq) == 0x8, "completion.seq");
_Static_assert(offsetof(struct espc_completion, sa_index) == 0x10, "completion.sa_index");
_Static_assert(offsetof(struct espc_completion, generation) == 0x14, "completion.generation");
_Static_assert(offsetof(struct espc_completion, status) == 0x16, "completion.status");
_Static_assert(offsetof(struct espc_completion, out_len) == 0x18, "completion.out_len");
_Static_assert(offsetof(struct espc_completion, flags) == 0x1a, "completion.flags");
#define ESPC_COMPLETION_FLAGS_EPOCH_SHIFT 0
#define ESPC_COMPLETION_FLAGS_EPOCH_MASK 0xffu
#define ESPC_COMPLETION_FLAGS_SOFT_LIMIT_SHIFT 8
#define ESPC_COMPLETION_FLAGS_SOFT_LIMIT_MASK 0x100u
#define ESPC_COMPLETION_FLAGS_LEASE_LOW_SHIFT 9
#define ESPC_COMPLETION_FLAGS_LEASE_LOW_MASK 0x200u
#define ESPC_COMPLETION_FLAGS_SRC_CHANGED_SHIFT 10
#define ESPC_COMPLETION_FLAGS_SRC_CHANGED_MASK 0x400u
_Static_assert(offsetof(struct espc_completion, head_phase) == 0x1c, "completion.head_phase");
#define ESPC_COMPLETION_HEAD_PHASE_SQ_HEAD_SHIFT 0
#define ESPC_COMPLETION_HEAD_PHASE_SQ_HEAD_MASK 0x7fffffffu
#define ESPC_COMPLETION_HEAD_PHASE_PHASE_SHIFT 31
#define ESPC_COMPLETION_HEAD_PHASE_PHASE_MASK 0x80000000u
// X(field, offset, bytes)
#define ESPC_COMPLETION_FIELDS(X) \
    X(cookie, 0x0, 8) \
    X(seq, 0x8, 8) \
    X(sa_index, 0x10, 4) \
    X(generation, 0x14, 2) \
    X(status, 0x16, 2) \
    X(out_len, 0x18, 2) \
    X(flags, 0x1a, 2) \
    X(head_phase, 0x1c, 4)

#endif
