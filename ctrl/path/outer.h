// SPDX-License-Identifier: Apache-2.0
// The headers around ESP, IPv4 and IPv6, plain and in UDP (RFC 3948): put back where the kernel has taken
// them off, and read from what is to be sent.
#ifndef CTRL_PATH_OUTER_H
#define CTRL_PATH_OUTER_H

#include "ctrl/path/net.h"

struct outer {
    bool udp;
    struct addr src, dst;
    uint16_t sport, dport; // where udp
    uint32_t esp;          // where ESP begins
};
// False: neither ESP nor ESP in UDP, or shorter than its headers and the first 8 octets of ESP.
bool outer_look(const uint8_t *packet, uint32_t len, struct outer *o);

uint32_t outer_octets(uint8_t family, bool udp);
// In front of so many octets of payload, from what the kernel has told of them. False: of two families.
bool outer_put(uint8_t *to, const struct arrival *a, bool udp, uint16_t dport, uint32_t payload);

#endif
