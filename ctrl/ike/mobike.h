// SPDX-License-Identifier: Apache-2.0
// MOBIKE (RFC 4555): an IKE SA and its CHILD SAs, in tunnel mode, go on at other addresses. The end that
// began the first IKE SA decides which ones; the other one follows. What moves nothing may come from
// anywhere: no IKE message but UPDATE_SA_ADDRESSES changes an address then (section 3.8).
#ifndef CTRL_IKE_MOBIKE_H
#define CTRL_IKE_MOBIKE_H

#include "ctrl/ike/message.h"
#include "ctrl/ike/room.h"

enum { MOBIKE_ADDRS = 8, MOBIKE_PROBE = 128 };

struct mobike {
    uint32_t told;    // which further addresses of ours the peer knows: a sum of them
    bool said : 1;    // by the peer
    bool on : 1;      // both ends speak it
    bool decides : 1; // we began the first IKE SA
    bool astray : 1;  // we do not, and are where the peer thinks no more: it hears that from elsewhere (3.6)
    bool untold;      // the peer has not heard yet where we are
    bool moved;       // since the update that is on its way began: its answer may be to another place's
    bool check;       // the peer is to prove that it is where it says (3.7)
    bool unasked;     // there was no memory to ask it: mobike_ask does again
    bool mapped;      // seen holds something
    uint8_t seen[20]; // how the peer sees us: its last NAT_DETECTION_DESTINATION_IP
    uint8_t count;
    struct addr *others; // the peer's further addresses, MOBIKE_ADDRS at most; NULL: none
};

struct ike;
struct ike_sa;
struct inmsg;
// IKE_AUTH: the initiator's request, what the responder makes of it, its response, what the initiator makes
// of that.
void mobike_offer(struct pb *b, struct ike_sa *sa);
void mobike_offered(struct ike_sa *sa, const struct payloads *pl);
void mobike_accept(struct pb *b, struct ike_sa *sa);
void mobike_agreed(struct ike_sa *sa, const struct payloads *pl);
void mobike_inherit(struct ike_sa *next, struct ike_sa *old); // by a rekeying
void mobike_free(struct ike_sa *sa);
// What is said of it in an INFORMATIONAL request; true: the SA has moved by that.
bool mobike_answer(struct ike_sa *sa, const struct inmsg *m, struct pb *b);
void mobike_follow(struct ike_sa *sa); // ... and it has been answered
void mobike_ask(struct ike_sa *sa);    // what it has not heard yet, or has to prove
// An authenticated message came that way.
void mobike_heard(struct ike_sa *sa, const struct net_path *path, bool response);
struct net_path mobike_way(const struct ike_sa *sa); // where a request goes, or an unanswered one next
void mobike_addrs_changed(struct ike *ike);
// Liveness checks, where a NAT is before us: whether its mapping is still the same (3.8). As long as nothing
// is known to compare with, the peer is told where we are: an update, which asks whether it is there just as
// well.
bool mobike_tells_first(struct ike_sa *sa);
void mobike_put_probe(struct pb *b, const struct ike_sa *sa);
void mobike_read_probe(struct ike_sa *sa, const struct payloads *pl);

#endif
