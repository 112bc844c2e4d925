// SPDX-License-Identifier: Apache-2.0
// ICMP errors of our own (RFC 4301 section 6), into the TUN.
#ifndef CTRL_PATH_ICMP_H
#define CTRL_PATH_ICMP_H

#include "ctrl/path/path.h"

// Administratively prohibited; fragmentation needed or packet too big, with the MTU. No answer where there
// must be none (to an error, a later fragment, what is of one link) or there were too many this second.
void icmp_prohibited(struct worker *w, const uint8_t *packet, uint32_t len, const struct fields *f);
void icmp_too_big(struct worker *w, const uint8_t *packet, uint32_t len, const struct fields *f,
                  uint32_t mtu);
// It is an error (of whoever said it) about a packet that no policy lets in in clear.
bool icmp_quotes_protected(struct worker *w, const uint8_t *packet, uint32_t len, const struct fields *f);
bool icmp_of_one_link(const uint8_t *a, uint8_t family);
// A ping, and its length; whether a packet answers one of that identifier, and which.
enum { ICMP_ECHO_MAX = 48 };
uint32_t icmp_echo(uint8_t *o, const struct addr *from, const struct addr *to, uint16_t ident,
                   uint16_t number);
// A whole ping to that address; and the answer in its place.
bool icmp_echo_asks(const uint8_t *packet, uint32_t len, const struct addr *whom);
void icmp_echo_turn(uint8_t *packet, uint32_t len);
bool icmp_echo_answers(const uint8_t *packet, uint32_t len, const struct addr *by, uint16_t ident,
                       uint16_t *number);

#endif
