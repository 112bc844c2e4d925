// SPDX-License-Identifier: Apache-2.0
// The path room from outside: made in a loop, attached to its neighbours, opened with a way to the network.
// Like the ike room it can share a process with others; whoever steps its loop tells it of packets that wait
// where no descriptor does.
#ifndef CTRL_PATH_ROOM_H
#define CTRL_PATH_ROOM_H

#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/child.h"
#include "ctrl/path/net.h"
#include "espalier/error.h"

struct path;
struct path *path_new(struct loop *l, const struct child_env *env);
void path_set_workers(struct path *p, unsigned n);       // before it is opened; without, there is one
int path_attach(struct path *p, enum room peer, int fd); // takes the descriptor
struct ipc_chan *path_channel(struct path *p, enum room peer);
// TUN, kernel policies, engines. net NULL: env's descriptors.
int path_open(struct path *p, const struct path_net *net, struct esp_error *err);
void path_arrived(struct path *p);     // packets wait in net, which has no descriptor
int path_status(const struct path *p); // of the process at its end
// Engines and kernel state go; block policies stay unless the operator asked for the opposite.
void path_close(struct path *p);
void path_free(struct path *p); // closes first

#endif
