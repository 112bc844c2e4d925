// SPDX-License-Identifier: Apache-2.0
// The headers around ESP, IPv4 and IPv6, plain and in UDP (RFC 3948): put back where the kernel has taken
// them off, and read from what is to be sent.
#ifndef CTRL_PATH_OUTER_H
#define CTRL_PATH_OUTER_H

#include "ctrl/path/net.h"

struct outer {
    bool udp, ah;
    struct addr src, dst;
    uint16_t sport, dport; // where udp
    uint32_t esp;          // where the SPI stands, the sequence number behind it: ESP's beginning, within AH
};
// False: neither AH nor ESP nor ESP in UDP, or shorter than its headers up to the sequence number.
bool outer_look(const uint8_t *packet, uint32_t len, struct outer *o);

uint32_t outer_octets(uint8_t family, bool udp);
// In front of so many octets of payload, from what the kernel has told of them. False: of two families.
bool outer_put(uint8_t *to, const struct arrival *a, bool udp, uint16_t dport, uint32_t payload);

#endif
