// SPDX-License-Identifier: Apache-2.0
// Transport mode through a NAT (RFC 7296 section 2.23.1): the peer's selectors name its and our addresses as
// it knows them; those of an end behind a NAT are taken for the address that the IKE SA has of that end.
#ifndef CTRL_IKE_NAT_TRANSPORT_H
#define CTRL_IKE_NAT_TRANSPORT_H

#include <stdbool.h>

#include "ctrl/lib/conn.h"

struct child_config;
struct ike_sa;
// Of transport mode, as they came. False: they are no single address each, or of another family.
bool nat_transport_take(const struct ike_sa *sa, struct ts_list *local, struct ts_list *remote);
// As responder: whether packets to another peer behind the same address would be meant by these, so that they
// could go to the wrong one of both (RFC 3948 section 5.2).
bool nat_transport_taken(const struct ike_sa *sa, const struct ts_list *local, const struct ts_list *remote);

#endif
