// SPDX-License-Identifier: Apache-2.0
// What a TUN with IFF_VNET_HDR leaves to its reader, and takes from its writer: checksums that are not
// complete, TCP segments and UDP datagrams that are not cut (out) or that were put together (in). Packets are
// IP packets.
#ifndef CTRL_PATH_GSO_H
#define CTRL_PATH_GSO_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#define GSO_MAX 65535 // octets of a packet
#define GSO_UDP 64    // datagrams in one, as many as every kernel takes

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 // in Linux since 6.2
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

// A packet that is not to be cut: its checksum is put in where that is missing. 0 or -EINVAL.
int gso_complete(const struct virtio_net_hdr *h, uint8_t *p, uint32_t len);

// A packet that is to be cut (h->gso_type says so) into TCP segments or UDP datagrams, as the kernel would
// have done.
struct gso {
    const uint8_t *p; // stays where it is
    uint32_t len;
    uint8_t proto;
    uint32_t transport, payload; // where TCP or UDP and what it carries begin
    uint32_t at;                 // of the payload, what was not cut off yet
    uint32_t size;               // of a segment's payload
    uint32_t done;               // segments
    uint64_t ip_sum, sum;        // of the headers, without what differs from segment to segment
};
int gso_begin(struct gso *g, const struct virtio_net_hdr *h, const uint8_t *p,
              uint32_t len);                                 // 0 or -EINVAL
unsigned gso_left(const struct gso *g);                      // segments
uint32_t gso_next(struct gso *g, uint8_t *to, uint32_t cap); // its octets, 0: it has no room there

// TCP segments or UDP datagrams that follow one another become one packet, which the kernel cuts again where
// it has to: same headers but for length, sequence number, ID (one after the other) and PSH, complete and
// right checksums, payloads of one size but for the last. The ID of a datagram with DF says nothing (RFC
// 6864) and Linux gives most of them 0: they become the first one's and those that follow.
struct gro {
    uint8_t *buf; // of GSO_MAX; NULL: nothing is put together
    uint32_t len; // 0: none
    uint8_t proto;
    uint8_t vti; // where it goes, see vti.h
    uint32_t transport, payload, size;
    uint32_t count;
    bool closed; // nothing may follow
};
#define GRO_FLOWS 8 // at a time
struct gro_place {  // where in a packet
    uint8_t proto;
    uint32_t transport, payload;
};
bool gro_look(const uint8_t *p, uint32_t len, struct gro_place *at); // false: it is not for this
void gro_start(struct gro *g, const uint8_t *p, uint32_t len, const struct gro_place *at); // of an empty one
bool gro_append(struct gro *g, const uint8_t *p, uint32_t len,
                const struct gro_place *at); // false: it does not follow
bool gro_same_flow(const struct gro *g, const uint8_t *p, const struct gro_place *at);
bool gro_same_ends(const struct gro *g, const uint8_t *p, uint32_t len); // by the addresses alone
// What is to be written, with *h before it; empty then. The octets stand in buf.
uint32_t gro_end(struct gro *g, struct virtio_net_hdr *h);

#endif
