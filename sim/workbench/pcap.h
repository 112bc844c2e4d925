// SPDX-License-Identifier: Apache-2.0
// Classic pcap files (draft-ietf-opsawg-pcap): reader and writer that keep byte order, time unit, link type
// and time stamps as they are, and know which packets the snap length cut.
#ifndef SIM_WORKBENCH_PCAP_H
#define SIM_WORKBENCH_PCAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "espalier/error.h"

#define PCAP_MAX_PACKET 262144

enum pcap_link { PCAP_LINK_ETHERNET, PCAP_LINK_RAW, PCAP_LINK_IPV4, PCAP_LINK_IPV6 };

struct pcap_packet {
    uint32_t sec, frac; // frac in the file's own unit
    uint32_t wire_len;  // length before the snap length cut it
    uint32_t len;       // octets at data
    uint8_t *data;
};

struct pcap_reader;
int pcap_open(struct pcap_reader **r, const char *path, struct esp_error *err);
enum pcap_link pcap_link(const struct pcap_reader *r);
// 1 with *p filled (data lives until the next call), 0 at the end of the file, negative errno with *err.
int pcap_next(struct pcap_reader *r, struct pcap_packet *p, struct esp_error *err);
void pcap_close(struct pcap_reader *r);

// Writes beside `path` into a temporary file; pcap_commit renames it, pcap_abandon and signals remove it.
// Where `path` is there and no regular file (a pipe, /dev/null), it is written itself.
struct pcap_writer;
int pcap_create(struct pcap_writer **w, const char *path, const struct pcap_reader *like,
                struct esp_error *err);
int pcap_write(struct pcap_writer *w, const struct pcap_packet *p, struct esp_error *err);
int pcap_commit(struct pcap_writer *w, struct esp_error *err);
void pcap_abandon(struct pcap_writer *w); // NULL is allowed

// Where a frame's IP packet starts. Returns its offset, or -1 where the frame holds no IP packet.
// For Ethernet *type_at is the offset of the EtherType that names IP (behind any VLAN tags), otherwise -1.
int pcap_find_ip(enum pcap_link link, const uint8_t *data, size_t len, int *type_at);

#endif
