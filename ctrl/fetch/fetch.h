// SPDX-License-Identifier: Apache-2.0
// The fetch process: it asks HTTP servers for CRLs and OCSP answers, so that what strangers' servers say is
// parsed where no key is. It only does as `ike` asks, which asks for URLs of trusted chains and of the
// operator's authorities alone. Plain HTTP (what comes is signed, RFC 5280 8), few at once, bounded in
// octets, time and redirections, without proxies, cookies or credentials, and never to this machine itself or
// its link.
#ifndef ESPALIER_CTRL_FETCH_H
#define ESPALIER_CTRL_FETCH_H

#include <stdbool.h>

#include "ctrl/ipc/ipc.h"

enum {
    FETCH_AT_ONCE = 8,
    FETCH_OF_A_HOST = 3,  // of those
    FETCH_WAITING = 64,   // more are refused
    FETCH_MOST = 1 << 20, // octets of an answer
    FETCH_BODY_MOST = 16 * 1024,
    FETCH_TIME_MS = 10000, // where the request names none
    FETCH_TIME_MOST_MS = 30000,
    FETCH_PIECE = 64 * 1024, // an answer goes to `ike` in pieces
};

struct fetch;
// local: loopback and link-local addresses are asked as well (for tests).
struct fetch *fetch_new(struct loop *l, bool local);
int fetch_attach(struct fetch *f, enum room peer, int fd);
struct ipc_chan *fetch_channel(struct fetch *f, enum room peer);
void fetch_free(struct fetch *f);

#endif
