// SPDX-License-Identifier: Apache-2.0
// What a ticket stands for (RFC 5723 section 5): who both ends are and were proven to be, by which connection
// and until when, and the algorithms. The gateway has it out of the ticket, its client keeps it beside the
// ticket. SK_d is in `keys` alone.
#ifndef CTRL_IKE_RESUME_SESSION_H
#define CTRL_IKE_RESUME_SESSION_H

#include "ctrl/ike/identity.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/lib/loop.h"
#include "ctrl/lib/slice.h"

struct conn;
struct ike;
struct ike_sa;
struct pki_standing;

enum { SESSION_STATE_MAX = 2048, SESSION_DIGEST = 32 };

struct session {
    char conn[NAME_MAX_LEN];
    uint8_t digest[SESSION_DIGEST]; // of the connection as it was loaded
    uint64_t creds;                 // what had gone of the certificates (creds.h)
    uint64_t own_spi;               // of the IKE SA that it was
    uint64_t reauth_at;             // ms by the loop's clock; 0: never
    int64_t proven_until;           // seconds since 1970; 0: no end
    bool ppk;
    struct suite suite;
    struct identity *local, *remote; // the peer as it was proven
    struct identity *said;           // and as its ID payload says
    struct pki_standing *standing[2];
    // --- of a client: the ticket
    struct session *next;
    struct ike *ike;
    struct addr gateway;
    uint32_t id; // in keys
    uint64_t until;
    struct timer timer; // another one is asked for; or it is of no use any more
    uint8_t *ticket;
    size_t ticket_len;
};

// Of an IKE SA that is up; said NULL: as it was proven. NULL: no memory.
struct session *session_of(const struct ike_sa *sa, const struct identity *said);
void session_free(struct session *s); // and what keys has of it
// The gateway's state in a ticket; standing: the number that what may be revoked is found by, 0: nothing can.
void session_write(struct writer *w, const struct session *s, uint32_t standing);
struct session *session_read(struct slice state, uint32_t *standing); // NULL: malformed, or no memory
// The connection, where it is loaded as it was and what proved the peer still does. NULL: why says why not.
struct conn *session_conn(struct ike *ike, const struct session *s, char *why, size_t size);
void session_ids(struct ike_sa *sa, const struct session *s);
// Both of an SA that it makes: before and behind sa_established. It ends when the one before would have.
void session_inherit(struct ike_sa *sa, const struct session *s);
void session_bound(struct ike_sa *sa, const struct session *s);

#endif
