// SPDX-License-Identifier: Apache-2.0
// The supervisor's own work once the sockets are open: start the rooms, tell them of changed settings, end
// them in order.
#ifndef CTRL_SUPER_SUPERVISE_H
#define CTRL_SUPER_SUPERVISE_H

#include "ctrl/config/options.h"
#include "ctrl/super/sockets.h"

// Runs until the daemon ends; returns its exit status (0 asked to end, 1 a room died, 2 or 3 as a room said
// at its start). `ready` is written to announce, wherever the log goes.
int supervise(const struct options *o, struct daemon_config *config, struct socket_set *sockets,
              int announce);

// sd_notify's protocol: one datagram to $NOTIFY_SOCKET. Nothing happens where that is not set.
void notify_send(const char *state);

#endif
