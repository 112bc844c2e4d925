// SPDX-License-Identifier: Apache-2.0
// Cookies against floods of IKE_SA_INIT (RFC 7296 section 2.6).
#ifndef CTRL_IKE_COOKIE_H
#define CTRL_IKE_COOKIE_H

#include "ctrl/ike/room.h"

enum { COOKIE_LEN = 17 };
bool cookie_needed(struct ike *ike, const struct net_path *path);
bool cookie_make(struct ike *ike, uint8_t version, struct slice ni, const struct addr *a, uint64_t spi_i,
                 uint8_t out[COOKIE_LEN]);
bool cookie_check(struct ike *ike, struct slice cookie, struct slice ni, const struct addr *a,
                  uint64_t spi_i);
uint8_t cookie_version(struct ike *ike); // rotates the secrets when it is time

#endif
