// SPDX-License-Identifier: Apache-2.0
// What traffic selectors look at in a packet (RFC 4301 section 4.4.1.1): addresses, next layer protocol,
// ports, or the type and code of ICMP and the type of a mobility header, which stand for both ports
// (RFC 7296 section 3.13.1). IPv6 extension headers are looked through.
#ifndef CTRL_PATH_FIELDS_H
#define CTRL_PATH_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "ctrl/lib/conn.h"

struct fields {
    // what a flow is known by; compared as bytes
    uint8_t src[16], dst[16]; // IPv4 in the first 4, the rest zero
    uint16_t sport, dport;    // where `ports`
    uint8_t family;           // 4, 6
    uint8_t proto;
    bool ports;  // they are known
    bool unseen; // it has ports, but this packet does not show them: a later or a tiny first fragment
    bool hidden; // proto itself is not known: extension headers without end
    uint8_t vti; // by which it came or shall go, see vti.h; 0: the TUN that all share
    bool first;  // of several fragments
    bool later;  // a fragment that is not the first
    uint32_t id; // of a fragment
};
#define FIELDS_FLOW_LEN offsetof(struct fields, first) // of the octets that a flow is known by

// False: it is no IP packet, or shorter than its headers.
bool fields_parse(const uint8_t *packet, uint32_t len, struct fields *f);

struct selectors { // a list of traffic selectors that somebody else keeps
    const struct ts *t;
    unsigned count;
};
static inline struct selectors selectors_of(const struct ts_list *l)
{
    return (struct selectors){l->t, l->count};
}
// Do the packet's addresses, protocol and ports lie in these (near side first)? A selector with ports holds
// no packet whose ports are not known; one of OPAQUE ports no other.
bool selectors_hold(struct selectors src, struct selectors dst, const struct fields *f);
// The packet's own selectors, one of each.
void fields_selectors(const struct fields *f, struct ts_list *src, struct ts_list *dst);
bool fields_one_packet(const struct fields *a, const struct fields *b); // of two fragments

#endif
