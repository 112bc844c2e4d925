// SPDX-License-Identifier: Apache-2.0
// An SA of ours as a Linux kernel is told of it by iproute2 (`ip -batch`), and echo requests with which it is
// tried.
#ifndef TESTS_SYSTEM_GUEST_XFRM_H
#define TESTS_SYSTEM_GUEST_XFRM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "espalier/engine.h"

// The state of that SA at its other end, whose window is as p's or 64; its sequence numbers go on where p's
// do.
int xfrm_state(char *to, size_t size, const struct esp_sa_params *p);
// The policies there for packets from `near` (ours) to `far` and back through SAs such as p (ours, outbound).
int xfrm_policies(char *to, size_t size, const struct esp_sa_params *p, const char *near, const char *far);

// The question number `seq` of `id`, with so many octets: its length. Its answer is a packet from far to near
// with the same octets.
struct echo {
    bool ipv6;
    uint8_t near[16], far[16];
    uint16_t id;
};
uint32_t echo_ask(const struct echo *e, uint16_t seq, uint32_t octets, uint8_t *p);
int echo_answered(const struct echo *e, const uint8_t *p, size_t len,
                  uint32_t octets); // its number, -1: none

#endif
