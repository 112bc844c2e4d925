// SPDX-License-Identifier: Apache-2.0
// One message as it goes out: protected whole (RFC 7296 section 3.14), or in fragments that are protected one
// by one (RFC 7383 section 2.5). Its datagrams stand one behind the other: the IKE header of each says its
// length.
#ifndef CTRL_IKE_SEAL_H
#define CTRL_IKE_SEAL_H

#include "ctrl/ike/message.h"

struct ike_sa;
// The caller frees *out.
int seal(struct ike_sa *sa, uint8_t exchange, bool response, uint32_t mid, const struct pb *b, uint8_t **out,
         size_t *len);
// Takes the first datagram off.
struct slice datagrams_next(struct slice *rest);

#endif
