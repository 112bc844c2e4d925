// SPDX-License-Identifier: Apache-2.0
// Capture files: a reader by libpcap (classic pcap in either byte order and time unit, pcapng) and a writer
// of classic pcap that keeps byte order, time unit, link type and time stamps, and knows which packets the
// snap length cut.
#ifndef SIM_WORKBENCH_CAPTURE_H
#define SIM_WORKBENCH_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "espalier/error.h"

#define CAPTURE_MAX_PACKET 262144

enum capture_link { CAPTURE_ETHERNET, CAPTURE_RAW, CAPTURE_IPV4, CAPTURE_IPV6 };

struct capture_packet {
    uint32_t sec, frac; // frac in the file's own unit (pcapng: nanoseconds)
    uint32_t wire_len;  // length before the snap length cut it; some drivers say less than len
    uint32_t len;       // octets at data
    uint8_t *data;
};

struct capture_reader;
int capture_open(struct capture_reader **r, const char *path, struct esp_error *err);
enum capture_link capture_link(const struct capture_reader *r);
// 1 with *p filled (data lives until the next call); 0 at the end of the file; -EIO where the file is cut or
// damaged: *err names the packet, and everything before it has been returned.
int capture_next(struct capture_reader *r, struct capture_packet *p, struct esp_error *err);
// How much has been read, 0 ... 1000; -1 where the length is unknown (a pipe).
int capture_permille(const struct capture_reader *r);
void capture_close(struct capture_reader *r);

// Writes beside `path` into a temporary file; capture_commit renames it, capture_abandon and signals remove
// it. Where `path` is there and no regular file (a pipe, /dev/null), it is written itself.
struct capture_writer;
int capture_create(struct capture_writer **w, const char *path, const struct capture_reader *like,
                   struct esp_error *err);
int capture_write(struct capture_writer *w, const struct capture_packet *p, struct esp_error *err);
int capture_commit(struct capture_writer *w, struct esp_error *err);
void capture_abandon(struct capture_writer *w); // NULL is allowed

// Where a frame's IP packet starts. Returns its offset, or -1 where the frame holds no IP packet.
// For Ethernet *type_at is the offset of the EtherType that names IP (behind any VLAN tags), otherwise -1.
int capture_find_ip(enum capture_link link, const uint8_t *data, size_t len, int *type_at);

#endif
