// SPDX-License-Identifier: Apache-2.0
// Fragments of messages as they come in (RFC 7383 section 2.6), and what those of messages that are not whole
// yet may take of memory.
#ifndef CTRL_IKE_FRAGMENTS_H
#define CTRL_IKE_FRAGMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "ctrl/lib/loop.h"
#include "ctrl/lib/slice.h"

enum {
    FRAGMENT_NUMBERS = 4,                  // octets of the two numbers behind the payload's header
    FRAGMENTS_MAX = 1024,                  // of one message
    FRAGMENTS_PEERS = 16 * 1024 * 1024,    // octets that all half-made messages hold: of peers that are known
    FRAGMENTS_STRANGERS = 4 * 1024 * 1024, // and of those that have not said who they are
    FRAGMENTS_MS = 60000 // from its first fragment on; a sender that still waits sends all of them again
};

struct fragments;      // of one message that is not whole yet
struct fragment_pool { // those of all SAs, the one that began first in front
    struct fragments *first, *last;
    size_t bytes;
    struct timer timer; // armed while there is one: when the first is given up
};

struct ike_header;
struct ike_sa;
struct inmsg;
struct net_path;
// One fragment of the message that is expected now. The message, where it is whole with this one; the caller
// owns it. NULL: it is not, or the fragment was dropped.
struct inmsg *fragments_take(struct ike_sa *sa, const struct ike_header *h, const struct net_path *path,
                             struct slice d);
// Whether it is a message's first fragment, and the peer's: what asks for an answer once more (2.6.1).
bool fragments_first(struct ike_sa *sa, struct slice d);
void fragments_forget(struct ike_sa *sa, bool response);

#endif
