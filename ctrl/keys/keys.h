// SPDX-License-Identifier: Apache-2.0
// The keys room: secrets, private key exchange values, SK_d and SK_p live here and nowhere else. It parses
// nothing off the network but what ike hands it in typed messages.
#ifndef CTRL_KEYS_KEYS_H
#define CTRL_KEYS_KEYS_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/child.h"
#include "ctrl/lib/loop.h"

struct keys;
struct keys *keys_new(struct loop *l);
// Takes the descriptor of ctrl/keys/secrets_file.h: has what the last one had, and keeps there what it is
// given itself. 0 or -errno. Before anything is attached.
int keys_inherit(struct keys *k, int fd);
int keys_attach(struct keys *k, enum room peer, int fd);       // takes the channel's descriptor
struct ipc_chan *keys_channel(struct keys *k, enum room peer); // NULL: not there, or gone
void keys_free(struct keys *k);                                // wipes everything

#endif
