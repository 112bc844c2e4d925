// SPDX-License-Identifier: Apache-2.0
// The first request of an IKE SA as its responder: what IKE_SA_INIT (RFC 7296) and IKE_SESSION_RESUME (RFC
// 5723) have in common. Nothing of one is kept until it is acceptable, and has brought its cookie where one
// is asked for.
#ifndef CTRL_IKE_FIRST_REQUEST_H
#define CTRL_IKE_FIRST_REQUEST_H

#include "ctrl/ike/message.h"
#include "ctrl/ike/room.h"

struct ike;
struct ike_sa;
struct pb;

enum {
    FIRST_REQUEST_MAX = 8192
}; // it is kept until IKE_AUTH: what no honest peer needs is no stranger's due

struct first_request {
    const struct net_path *path;
    const struct ike_header *h;
    struct slice datagram;
    // --- once it is read
    struct payloads pl;
    struct slice nonce;
};

void first_request_begin(struct first_request *f, const struct net_path *path, const struct ike_header *h,
                         struct slice datagram); // all of it but what the list of payloads has not
// False: dropped, or one that came again, and is answered again.
bool first_request_is_new(struct ike *ike, const struct first_request *f);
bool first_request_within_limits(struct ike *ike, const struct net_path *path);
// The payloads, each good in itself. False: r says what is wrong.
bool first_request_read(struct first_request *f, struct refusal *r);
// Strangers are told a bounded number of times what is wrong with theirs.
void first_request_refuse(struct ike *ike, const struct first_request *f, const struct refusal *r);
// True: it is to go on. Otherwise a cookie went out. busy: one is asked for, whatever else there is.
bool first_request_cookie(struct ike *ike, const struct first_request *f, bool busy);
// A notify in clear, as often as one address may have it.
void first_request_answer(struct ike *ike, const struct net_path *path, const struct ike_header *in,
                          uint16_t type, struct slice data);

// --- of the IKE SA that is made of it ---

// The request and its nonce, a nonce of ours, the place where it is found when it comes again.
bool first_request_keep(struct ike_sa *sa, const struct first_request *f);
void first_request_half_open(struct ike_sa *sa); // counted, and for as long as half_open_timeout says
// The response that b is, from its header on; or the end of the IKE SA.
void first_request_respond(struct ike_sa *sa, struct pb *b, struct ike_header *h);

#endif
