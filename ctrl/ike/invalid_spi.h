// SPDX-License-Identifier: Apache-2.0
// What comes for SAs that are not there (RFC 7296 sections 1.5 and 2.21.4): an end that has forgotten its SAs
// says so in clear, and whoever is told so takes it for no more than a hint: it asks whether its peer still
// has the IKE SA. All of it is bounded by the address and altogether, as anyone can send it under anybody's
// name.
#ifndef CTRL_IKE_INVALID_SPI_H
#define CTRL_IKE_INVALID_SPI_H

#include <stdbool.h>

#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"

// From path: ESP or AH with an SPI that nobody here has.
void invalid_spi_seen(struct ike *ike, const struct msg_UNKNOWN_SPI *m);
// A message of an IKE SA that is not known: a hint is taken, a request is answered.
void invalid_spi_unknown(struct ike *ike, const struct net_path *path, const struct ike_header *h,
                         struct slice d);

#endif
