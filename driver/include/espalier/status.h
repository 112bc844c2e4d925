// SPDX-License-Identifier: Apache-2.0
// Generated from hw/regs/espalier.rdl by hw/regs/gen.py; do not edit.
// Statuses and drop reasons, the same numbers in every engine and on the card.
#ifndef ESPALIER_STATUS_H
#define ESPALIER_STATUS_H

enum esp_status {
    ESP_STATUS_OK = 0, // Done.
    ESP_STATUS_SA_INVALID = 1, // No valid SA in the slot named by the descriptor.
    ESP_STATUS_SA_STALE_GEN = 2, // The slot has been recycled: the descriptor's generation is not the SA's.
    ESP_STATUS_SA_DRAINING = 3, // The SA drains and takes no new packets.
    ESP_STATUS_LEASE_END = 4, // The SA's sequence lease is used up.
    ESP_STATUS_SEQ_OVERFLOW = 5, // Without ESN there is no sequence number after 2^32 - 1 (RFC 4303 section 3.3.3).
    ESP_STATUS_HARD_LIMIT = 6, // The SA's hard byte or packet limit is reached.
    ESP_STATUS_REPLAY_OLD = 7, // Sequence number left of the replay window (RFC 4303 section 3.4.3).
    ESP_STATUS_REPLAY_SEEN = 8, // Sequence number already received (RFC 4303 section 3.4.3).
    ESP_STATUS_NO_SA = 9, // No inbound SA has the packet's SPI.
    ESP_STATUS_SA_MISMATCH = 10, // Inbound: the SPI's SA has another protocol, destination address or destination port; on a card also a packet in UDP for an SA in transport mode. Outbound in transport mode: the addresses are not the SA's.
    ESP_STATUS_ICV_FAIL = 11, // The integrity check value is wrong.
    ESP_STATUS_TRUNCATED = 12, // Fewer bytes than a header or length field promises.
    ESP_STATUS_BAD_IP = 13, // Not an IP header that is handled (version, IHL, length; inbound the outer one's checksum). In transport mode also a wrong checksum outbound and, on a card, options in either direction.
    ESP_STATUS_FRAGMENT = 14, // A fragment where a whole packet is needed.
    ESP_STATUS_BAD_PAD = 15, // ESP padding is not 1, 2, 3 ... or longer than the payload (RFC 4303 section 2.4).
    ESP_STATUS_BAD_NEXT_HEADER = 16, // The next header is not the one that the SA's mode and the inner packet ask for.
    ESP_STATUS_TOO_LONG = 17, // The packet, or its result, is longer than the card's or the buffer's limit.
    ESP_STATUS_ECN_CE = 18, // Outer CE on a Not-ECT inner packet (RFC 6040 section 4.2).
    ESP_STATUS_BAD_DESC = 19, // A field of the descriptor is out of range.
    ESP_STATUS_DMA_ERROR = 20, // The bus answered a DMA of this descriptor with an error.
    ESP_STATUS_ABORTED = 21, // Reset, zeroise or disable took the work away before it was done.
    ESP_STATUS_DUMMY = 22, // A dummy packet (next header 59), discarded after verification (RFC 4303 section 2.6).
    ESP_STATUS_NOT_ESP = 23, // Neither ESP nor ESP in UDP.
    ESP_STATUS_POLICY = 24, // A policy or an SA's selector does not allow the packet. Given by the host, never by the card.
    ESP_STATUS_LEASE_EXPIRED = 25, // The SA's deadline has passed without a renewal: the SA has stopped. Packets and command LEASE.
    ESP_STATUS_BAD_OPCODE = 64, // SA command: unknown or not offered operation.
    ESP_STATUS_BAD_INDEX = 65, // SA command: slot index out of range.
    ESP_STATUS_SLOT_BUSY = 66, // SA command: the slot holds an SA.
    ESP_STATUS_BAD_FIELD = 67, // SA command: the blob's field at refused_offset is out of range or unsupported.
    ESP_STATUS_BUCKET_FULL = 68, // SA command: the SPI table has no room in this SPI's bucket.
    ESP_STATUS_SPI_EXISTS = 69, // SA command: an inbound SA with this SPI and destination exists.
    ESP_STATUS_BAD_LEASE = 70, // SA command: the lease's limit is not above its start, or moves backward.
};

// X(name, value, description)
#define ESP_STATUS_LIST(X) \
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

#endif
