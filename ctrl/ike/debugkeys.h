// SPDX-License-Identifier: Apache-2.0
// --debug-keys: Wireshark's table of an IKE SA's keys, for those who asked for it.
#ifndef CTRL_IKE_DEBUGKEYS_H
#define CTRL_IKE_DEBUGKEYS_H

#include "ctrl/ipc/ipc.h"

struct ike_sa;
void debug_keys_ike(struct ike_sa *sa, const struct msg_IKE_KEYS *m);

#endif
