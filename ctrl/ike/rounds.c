// SPDX-License-Identifier: Apache-2.0
// RFC 4739. EAP is the last of the rounds: whoever asks by it has been proven.
#include "ctrl/ike/rounds.h"

#include <errno.h>
#include <stdlib.h>

#include "ctrl/ike/conns.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/pki/pki.h"

struct rounds {
    unsigned at;         // the one that is at work, from 0 on; with one alone there is no such struct
    struct inmsg *first; // of the peer
    struct inmsg *named; // as initiator: the last one behind it in which the peer said who it is; NULL: none
};

bool rounds_of(const struct conn *c)
{
    return c->cfg.local_more || c->cfg.remote_more;
}

static int check_ids(const struct auth_round *more, bool own, struct esp_error *err)
{
    const char *whose = own ? "local.id" : "remote.id";
    struct identity id;
    for (; more; more = more->next) {
        if (!identity_parse(more->side.id, &id))
            return esp_fail(err, -EINVAL, whose, "'%.100s' is not an identity that is supported",
                            more->side.id);
        if (own && identity_is_addrs(&id)) // as of the first round
            return esp_fail(err, -EINVAL, whose, "'%.100s' is many addresses: expected one identity",
                            more->side.id);
    }
    return 0;
}

int rounds_check(const struct conn *c, struct esp_error *err)
{
    const char *fault = conn_rounds_fault(&c->cfg);
    if (fault)
        return esp_fail(err, -EINVAL, "auth", "%s", fault);
    int rc = check_ids(c->cfg.local_more, true, err);
    return rc ? rc : check_ids(c->cfg.remote_more, false, err);
}

// --- where they are ---

static unsigned at(const struct ike_sa *sa)
{
    return sa->hs && sa->hs->later->rounds ? sa->hs->later->rounds->at : 0;
}

const struct auth_side *rounds_own(const struct ike_sa *sa)
{
    return conn_round(&sa->conn->cfg, true, at(sa));
}

const struct auth_side *rounds_peer(const struct ike_sa *sa)
{
    return conn_round(&sa->conn->cfg, false, at(sa));
}

bool rounds_own_has(const struct ike_sa *sa)
{
    return at(sa) < conn_rounds(&sa->conn->cfg, true);
}

bool rounds_peer_has(const struct ike_sa *sa)
{
    return at(sa) < conn_rounds(&sa->conn->cfg, false);
}

unsigned rounds_at(const struct ike_sa *sa)
{
    return at(sa);
}

static void own_id(const struct ike_sa *sa, const struct auth_side *s, struct identity *out)
{
    struct pki_info info;
    struct esp_error err = {0};
    if (s == &sa->conn->cfg.local)
        identity_copy(out, sa->conn->local_id);
    else if (!identity_parse(s->id, out) ||
             (out->type == ID_ANY && s->certs.count && s->auth == AUTH_PUBKEY &&
              (pki_describe(PKI_X509, blobs_at(&s->certs, 0), &info, &err) != 0 ||
               !identity_parse(info.subject, out))))
        out->type = ID_ANY;
    if (out->type == ID_ANY)
        identity_of_addr(&sa->path.local, out);
}

static void peer_id(const struct ike_sa *sa, const struct auth_side *s, struct identity *out)
{
    if (s == &sa->conn->cfg.remote || !identity_parse(s->id, out))
        identity_copy(out, sa->conn->remote_id);
}

void rounds_own_id(const struct ike_sa *sa, struct identity *out)
{
    own_id(sa, rounds_own(sa), out);
}

void rounds_peer_id(const struct ike_sa *sa, struct identity *out)
{
    peer_id(sa, rounds_peer(sa), out);
}

void rounds_last_ids(const struct ike_sa *sa, struct identity *own, struct identity *peer)
{
    identity_copy(own, sa->local_id);
    identity_copy(peer, sa->remote_id);
    if (!rounds_more(sa))
        return;
    own_id(sa, conn_round(&sa->conn->cfg, true, ROUNDS_MAX), own);
    peer_id(sa, conn_round(&sa->conn->cfg, false, ROUNDS_MAX), peer);
    if (identity_is_pattern(peer))
        *peer = (struct identity){.type = ID_ANY};
}

bool rounds_own_signs(const struct ike_sa *sa)
{
    return rounds_own_has(sa) && rounds_own(sa)->auth != AUTH_EAP;
}

bool rounds_peer_signs(const struct ike_sa *sa)
{
    return rounds_peer_has(sa) && rounds_peer(sa)->auth != AUTH_EAP;
}

// --- what the ends say of them ---

static void put(struct pb *b, uint16_t type)
{
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), type, slice_of(NULL, 0));
}

// As responder it is not known yet which connection it will be.
void rounds_put_supported(struct pb *b, const struct ike_sa *sa)
{
    if (sa->initiator ? rounds_of(sa->conn) : sa->ike->round_conns != 0)
        put(b, N_MULTIPLE_AUTH_SUPPORTED);
}

void rounds_read_supported(struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    sa->hs->peer_rounds = notify_find(pl, N_MULTIPLE_AUTH_SUPPORTED, &n);
}

void rounds_put_follows(struct pb *b, const struct ike_sa *sa)
{
    if (at(sa) + 1 < conn_rounds(&sa->conn->cfg, true))
        put(b, N_ANOTHER_AUTH_FOLLOWS);
}

const char *rounds_fault(const struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    bool follows = notify_find(pl, N_ANOTHER_AUTH_FOLLOWS, &n),
         due = at(sa) + 1 < conn_rounds(&sa->conn->cfg, false);
    return follows == due ? NULL
           : due ? "the peer has no further round of authentication, which the connection asks for (RFC 4739)"
                 : "the peer announces another round of authentication than the connection has (RFC 4739)";
}

bool rounds_more(const struct ike_sa *sa)
{
    const struct conn_config *c = &sa->conn->cfg;
    unsigned next = at(sa) + 1;
    return next < conn_rounds(c, true) || next < conn_rounds(c, false);
}

// --- from one to the next ---

// Of the first one alone more is needed than that.
static void keep_name(struct rounds *r, struct inmsg *m)
{
    struct inmsg *old = payload_find(&m->pl, PL_IDR) ? r->named : m;
    if (old != m)
        r->named = m;
    free(old);
}

bool rounds_next(struct ike_sa *sa, struct inmsg *m)
{
    struct rounds *r = sa->hs->later->rounds;
    if (r) {
        keep_name(r, m);
    } else if ((r = calloc(1, sizeof(*r))) != NULL) {
        r->first = m;
    } else {
        free(m);
        return false;
    }
    sa->hs->later->rounds = r;
    r->at++;
    rounds_own_id(sa, sa->local_id);
    struct msg_AUTH_ROUND q = {
        .ike_id = sa->id, .own = rounds_own_has(sa), .peer = rounds_peer_has(sa), .more = rounds_more(sa)};
    ipc_send(sa->ike->chan[ROOM_KEYS], MSG_AUTH_ROUND, &q);
    return true;
}

struct slice rounds_last_idr(const struct ike_sa *sa)
{
    const struct rounds *r = sa->hs->later->rounds;
    return payload_find(r->named ? &r->named->pl : &r->first->pl, PL_IDR)->body;
}

void rounds_first_again(struct task *t)
{
    struct rounds *r = t->sa->hs->later->rounds;
    if (!r)
        return;
    free(t->msg);
    t->msg = r->first;
    r->first = NULL;
}

void rounds_free(struct rounds *r)
{
    if (r) {
        free(r->first);
        free(r->named);
    }
    free(r);
}
