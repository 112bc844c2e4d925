// SPDX-License-Identifier: Apache-2.0
// What becomes of connections, IKE SAs and CHILD SAs, told upwards: an exchange or an SA says what happened
// and knows nobody who cares. wiring.c has what follows from each: ctl hears of it, whoever waits is
// answered, what ended comes back. Set once, before the first SA.
#ifndef CTRL_IKE_EVENTS_H
#define CTRL_IKE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

struct child_config;
struct child_sa;
struct conn;
struct ike;
struct ike_sa;
struct net_path;

enum lost_why { LOST_CLOSED, LOST_DEAD }; // by the peer; with a peer that does not answer
struct ike_events {
    void (*conn_loaded)(struct ike *ike, struct conn *c);

    void (*sa_up)(struct ike_sa *sa);
    void (*sa_alone)(struct ike_sa *sa);                            // without a CHILD SA, as was asked
    void (*sa_redirected)(struct ike_sa *old, struct ike_sa *next); // next begins in its place
    // Its connection has been renamed, and has another one to its peer; NULL: it has not.
    void (*sa_renamed)(struct ike_sa *sa, const struct conn *was, struct ike_sa *other);
    void (*sa_rekeyed)(struct ike_sa *old, struct ike_sa *next);
    void (*sa_cannot_rekey)(struct ike_sa *sa); // the peer will not
    void (*sa_unanswered)(
        struct ike_sa *sa);                // somebody says that the peer has forgotten it, and it is silent
    void (*sa_at_rest)(struct ike_sa *sa); // an exchange or a CHILD SA of it is over
    void (*sa_due)(struct ike_sa *sa);     // its lifetime
    void (*sa_moves)(const struct ike_sa *sa, const struct net_path *to); // its ends are others from now on
    void (*sa_goes)(struct ike_sa *sa);                                   // our DELETE is next
    void (*sa_ends)(struct ike_sa *sa);                                   // it is going, with all that it has
    void (*sa_deleted)(struct ike_sa *sa);                                // ... for the peer has said so
    void (*sa_replaced)(struct ike_sa *sa); // it ends for another one's sake, which may not have all it had
    void (*sa_down)(struct ike_sa *sa);     // one that was up: without its CHILD SAs now
    void (*sa_over)(struct ike_sa *sa);     // it is found nowhere any more

    void (*child_up)(struct child_sa *c,
                     struct child_sa *before); // before: in the place of that one, or NULL
    void (*child_back)(struct child_sa *c);    // its successor was taken back
    void (*child_due)(struct child_sa *c);
    void (*child_down)(struct child_sa *c);
    void (*child_cannot_rekey)(struct child_sa *c);
    // Of one that is not there: by the names of the connection and the child.
    void (*child_failed)(struct ike_sa *sa, const char *child, const char *why);
    void (*child_later)(struct ike_sa *sa, const struct child_config *cfg); // the peer is busy
    void (*child_closed)(struct child_sa *c);                               // by the peer, and by itself
    void (*child_lost)(struct ike *ike, const struct conn *was, const char *child, enum lost_why why);

    // enum ike_alert: beside the log's line; sa: NULL where there is none. What follows changes nothing here.
    void (*alert)(struct ike *ike, const struct ike_sa *sa, uint8_t what);
};

#endif
