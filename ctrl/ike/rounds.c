// SPDX-License-Identifier: Apache-2.0
// RFC 4739 with at most two rounds of each end. EAP is the last of them: whoever asks by it has been proven.
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
    struct inmsg *first; // of the peer
};

bool rounds_of(const struct conn *c)
{
    return c->cfg.local_more || c->cfg.remote_more;
}

int rounds_check(const struct conn *c, struct esp_error *err)
{
    const struct conn_config *cfg = &c->cfg;
    const struct auth_side *own = cfg->local_more, *peer = cfg->remote_more;
    struct identity id;
    if (!rounds_of(c))
        return 0;
    if (cfg->local.auth == AUTH_EAP || cfg->remote.auth == AUTH_EAP)
        return esp_fail(err, -EINVAL, "auth", "of two rounds EAP is the second one");
    if (own && !identity_parse(own->id, &id))
        return esp_fail(err, -EINVAL, "local.id", "'%.100s' is not an identity that is supported", own->id);
    if (peer && !identity_parse(peer->id, &id))
        return esp_fail(err, -EINVAL, "remote.id", "'%.100s' is not an identity that is supported", peer->id);
    bool own_eap = own && own->auth == AUTH_EAP, peer_eap = peer && peer->auth == AUTH_EAP;
    if ((own_eap && peer && peer->auth != AUTH_PUBKEY) || (peer_eap && own && own->auth != AUTH_PUBKEY))
        return esp_fail(
            err, -EINVAL, "auth",
            "a second round by EAP goes with a second one of certificates of the other end, or none");
    if (peer_eap && peer->eap_type == EAP_TLS && cfg->local.auth != AUTH_PUBKEY)
        return esp_fail(
            err, -EINVAL, "remote.auth",
            "eap-tls as the second round goes with a local round of certificates, which TLS shows");
    return 0;
}

// --- where they are ---

const struct auth_side *rounds_own(const struct ike_sa *sa)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    return sa->hs && sa->hs->later->rounds && cfg->local_more ? cfg->local_more : &cfg->local;
}

const struct auth_side *rounds_peer(const struct ike_sa *sa)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    return sa->hs && sa->hs->later->rounds && cfg->remote_more ? cfg->remote_more : &cfg->remote;
}

void rounds_own_id(const struct ike_sa *sa, struct identity *out)
{
    const struct auth_side *s = rounds_own(sa);
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

void rounds_peer_id(const struct ike_sa *sa, struct identity *out)
{
    const struct auth_side *s = rounds_peer(sa);
    if (s == &sa->conn->cfg.remote || !identity_parse(s->id, out))
        identity_copy(out, sa->conn->remote_id);
}

bool rounds_own_signs(const struct ike_sa *sa)
{
    return (!sa->hs->later->rounds || sa->conn->cfg.local_more) && rounds_own(sa)->auth != AUTH_EAP;
}

bool rounds_peer_signs(const struct ike_sa *sa)
{
    return (!sa->hs->later->rounds || sa->conn->cfg.remote_more) && rounds_peer(sa)->auth != AUTH_EAP;
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
    if (!sa->hs->later->rounds && sa->conn->cfg.local_more)
        put(b, N_ANOTHER_AUTH_FOLLOWS);
}

const char *rounds_fault(const struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    bool follows = notify_find(pl, N_ANOTHER_AUTH_FOLLOWS, &n),
         due = !sa->hs->later->rounds && sa->conn->cfg.remote_more;
    return follows == due ? NULL
           : due ? "the peer has no second round of authentication, which the connection asks for (RFC 4739)"
                 : "the peer announces another round of authentication than the connection has (RFC 4739)";
}

bool rounds_more(const struct ike_sa *sa)
{
    return !sa->hs->later->rounds && rounds_of(sa->conn);
}

// --- from the first to the second ---

bool rounds_next(struct ike_sa *sa, struct inmsg *m)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    struct rounds *r = calloc(1, sizeof(*r));
    if (!r) {
        free(m);
        return false;
    }
    r->first = m;
    sa->hs->later->rounds = r;
    rounds_own_id(sa, sa->local_id);
    struct msg_AUTH_ROUND q = {
        .ike_id = sa->id, .own = cfg->local_more != NULL, .peer = cfg->remote_more != NULL};
    ipc_send(sa->ike->chan[ROOM_KEYS], MSG_AUTH_ROUND, &q);
    return true;
}

struct slice rounds_first_idr(const struct ike_sa *sa)
{
    return payload_find(&sa->hs->later->rounds->first->pl, PL_IDR)->body;
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
    if (r)
        free(r->first);
    free(r);
}
