// SPDX-License-Identifier: Apache-2.0
// CHILD SAs for the processors of a peer (RFC 9611): further ones of the same selectors, which it asks for
// with SA_RESOURCE_INFO. All of them receive; what we send goes by one of them.
#ifndef CTRL_IKE_RESOURCES_H
#define CTRL_IKE_RESOURCES_H

#include <stdbool.h>

#include "ctrl/ike/message.h"

struct child_sa;
// c, which the peer's request asks for, is one more than it may have of its selectors: TS_MAX_QUEUE.
bool resources_full(const struct child_sa *c, const struct payloads *pl);

#endif
