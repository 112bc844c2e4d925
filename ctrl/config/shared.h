// SPDX-License-Identifier: Apache-2.0
// What load-shared takes. The texts never hold the secret.
#ifndef CTRL_CONFIG_SHARED_H
#define CTRL_CONFIG_SHARED_H

#include "ctrl/ctl/vici_msg.h"

#define SHARED_UNNAMED "unnamed#" // ids of secrets that came without one; get-shared does not show them

enum { SHARED_MAX = 512, SHARED_OWNERS_MAX = 32 };

// "ike", "ppk" or "eap"; NULL: not supported.
const char *shared_type(const char *text);
// root: the message's keys id, type, data and owners. NULL: taken; otherwise what is wrong.
const char *config_check_shared(const struct vici_node *root);

#endif
