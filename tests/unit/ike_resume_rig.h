// SPDX-License-Identifier: Apache-2.0
// Two daemons that resume their IKE SA (RFC 5723), side 0 the client, and what goes between them.
#ifndef TESTS_UNIT_IKE_RESUME_RIG_H
#define TESTS_UNIT_IKE_RESUME_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "tests/unit/ike_pair.h"

enum { RESUME_SILENCE_MS = 200000, RESUME_FALL_BACK_MS = 60000 };

struct resume_seen {      // of the network
    unsigned of[256];     // datagrams by exchange type, requests and responses
    uint8_t resume[2048]; // the last IKE_SESSION_RESUME request
    size_t resume_len;
    struct net_path path; // and as the responder saw it
    uint8_t answer[512];  // and the last answer
    size_t answer_len;
    unsigned nacks, cookies;
    bool (*lose)(unsigned number, const struct datagram *d);
    unsigned number;
};

extern struct resume_seen resume_seen;

void resume_on(struct pair *p); // both ends take part, and resume_seen begins
struct pair *resume_pair_unique(uint8_t unique, pair_tune tune);
struct pair *resume_pair(pair_tune tune); // that has UNIQUE_REPLACE
struct pair *resume_up(pair_tune tune);
void resume_note(const struct datagram *d);
int resume_watch(struct pair *p, unsigned number, struct datagram *d); // a filter: by resume_seen.lose
void resume_silent(
    struct pair *p); // the client hears nothing any more and gives up; the gateway does not know
void resume_assert(struct pair *p);      // one of each, and without an IKE_SA_INIT
void resume_assert_anew(struct pair *p); // with one

#endif
