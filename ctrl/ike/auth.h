// SPDX-License-Identifier: Apache-2.0
// IKE_AUTH: what both roles share.
#ifndef CTRL_IKE_AUTH_H
#define CTRL_IKE_AUTH_H

#include "ctrl/ike/identity.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"

void auth_log_proven(const struct msg_AUTH_PROVEN *m);
struct slice auth_id_body(const struct identity *id, uint8_t *buf, size_t size);

#endif
