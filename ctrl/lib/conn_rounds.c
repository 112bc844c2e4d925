// SPDX-License-Identifier: Apache-2.0
// The rounds of authentication of a connection's ends (RFC 4739), and which go together.
#include <stdlib.h>

#include "ctrl/lib/conn.h"

static const struct auth_side *first_of(const struct conn_config *c, bool local)
{
    return local ? &c->local : &c->remote;
}

static const struct auth_round *more_of(const struct conn_config *c, bool local)
{
    return local ? c->local_more : c->remote_more;
}

struct auth_side *conn_add_round(struct conn_config *c, bool local)
{
    struct auth_round **r = local ? &c->local_more : &c->remote_more;
    for (unsigned n = 1; *r; r = &(*r)->next)
        if (++n == ROUNDS_MAX)
            return NULL;
    *r = calloc(1, sizeof(**r));
    return *r ? &(*r)->side : NULL;
}

unsigned conn_rounds(const struct conn_config *c, bool local)
{
    unsigned n = 1;
    for (const struct auth_round *r = more_of(c, local); r; r = r->next)
        n++;
    return n;
}

const struct auth_side *conn_round(const struct conn_config *c, bool local, unsigned n)
{
    const struct auth_side *s = first_of(c, local);
    for (const struct auth_round *r = more_of(c, local); n && r; n--, r = r->next)
        s = &r->side;
    return s;
}

bool conn_round_by(const struct conn_config *c, bool local, enum auth_method how)
{
    for (unsigned n = 0; n < conn_rounds(c, local); n++)
        if (conn_round(c, local, n)->auth == how)
            return true;
    return false;
}

static bool early_eap(const struct conn_config *c, bool local, unsigned last)
{
    for (unsigned i = 0; i < last && i < conn_rounds(c, local); i++)
        if (conn_round(c, local, i)->auth == AUTH_EAP)
            return true;
    return false;
}

const char *conn_rounds_fault(const struct conn_config *c)
{
    unsigned own = conn_rounds(c, true), peer = conn_rounds(c, false), last = (own > peer ? own : peer) - 1;
    const struct auth_side *l = own > last ? conn_round(c, true, last) : NULL,
                           *r = peer > last ? conn_round(c, false, last) : NULL;
    bool l_eap = l && l->auth == AUTH_EAP, r_eap = r && r->auth == AUTH_EAP;
    if (!last)
        return NULL;
    if (early_eap(c, true, last) || early_eap(c, false, last))
        return "of several rounds of authentication EAP is the last one: those before it are psk or pubkey";
    if (l_eap && r_eap)
        return "the last rounds of both ends are EAP: one of them is";
    if ((l_eap && r && r->auth != AUTH_PUBKEY) || (r_eap && l && l->auth != AUTH_PUBKEY))
        return "a last round by EAP goes with one of certificates of the other end, or none";
    if (r_eap && r->eap_type == EAP_TLS && c->local.auth != AUTH_PUBKEY)
        return "remote: eap-tls as the last round goes with a local first one of certificates, which TLS "
               "shows";
    return NULL;
}
