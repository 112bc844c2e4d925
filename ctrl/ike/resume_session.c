// SPDX-License-Identifier: Apache-2.0
// See resume_session.h. What was proven is good for an IKE SA that is resumed as long as it would have been
// for the one before: the connection is the very one, nothing has gone that peers are known by, no
// certificate of the peer's has ended or was revoked, and another proof is due when it was.
#include "ctrl/ike/resume_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/creds.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/sa.h"

enum { STATE_VERSION = 1 };

void session_free(struct session *s)
{
    if (!s)
        return;
    if (s->ike) {
        timer_stop(s->ike->loop, &s->timer);
        ipc_send(s->ike->chan[ROOM_KEYS], MSG_TICKET_FORGET, &(struct msg_TICKET_FORGET){.ticket_id = s->id});
    }
    for (unsigned i = 0; i < 2; i++)
        pki_standing_unref(s->standing[i]);
    free(s->local);
    free(s->remote);
    free(s->said);
    free(s->ticket);
    free(s);
}

struct session *session_of(const struct ike_sa *sa, const struct identity *said)
{
    struct session *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    snprintf(s->conn, sizeof(s->conn), "%s", sa->conn->cfg.name);
    s->creds = sa->ike->creds->gone;
    s->own_spi = sa_own_spi(sa);
    s->reauth_at = sa->later->reauth_at;
    s->proven_until = sa->later->proven_until;
    s->ppk = sa->ppk;
    s->suite = *sa->suite;
    s->local = identity_dup(sa->local_id);
    s->remote = identity_dup(sa->remote_id);
    s->said = identity_dup(said ? said : sa->remote_id);
    for (unsigned i = 0; i < 2; i++)
        s->standing[i] = pki_standing_ref(sa->later->standing[i]);
    _Static_assert(sizeof(s->digest) == sizeof(sa->conn->digest), "SHA-256");
    memcpy(s->digest, sa->conn->digest, sizeof(s->digest));
    if (s->local && s->remote && s->said)
        return s;
    session_free(s);
    return NULL;
}

// --- as octets ---

static void write_transform(struct writer *w, const struct transform *t)
{
    wr_u16(w, t->id);
    wr_u16(w, t->key_bits);
}

static void write_id(struct writer *w, const struct identity *id)
{
    uint8_t buf[ID_DATA_MAX + 4];
    struct writer one = writer_of(buf, sizeof(buf));
    identity_write(&one, id);
    wr_slice16(w, wr_written(&one));
}

void session_write(struct writer *w, const struct session *s, uint32_t standing)
{
    wr_u8(w, STATE_VERSION);
    wr_cstr(w, s->conn);
    wr_bytes(w, s->digest, sizeof(s->digest));
    wr_u64(w, s->creds);
    wr_u64(w, s->own_spi);
    wr_u64(w, s->reauth_at);
    wr_u64(w, (uint64_t)s->proven_until);
    wr_u8(w, s->ppk);
    wr_u32(w, standing);
    write_transform(w, &s->suite.encr);
    write_transform(w, &s->suite.integ);
    write_transform(w, &s->suite.prf);
    write_transform(w, &s->suite.ke);
    for (unsigned i = 0; i < ADDKE_MAX; i++)
        write_transform(w, &s->suite.addke[i]);
    write_id(w, s->local);
    write_id(w, s->remote);
    write_id(w, s->said);
}

static void read_transform(struct reader *r, uint8_t type, struct transform *t)
{
    t->type = type;
    t->id = rd_u16(r);
    t->key_bits = rd_u16(r);
}

static bool read_id(struct reader *r, struct identity **out)
{
    struct identity id;
    *out = identity_read(rd_slice16(r), &id) ? identity_dup(&id) : NULL;
    return *out != NULL;
}

struct session *session_read(struct slice state, uint32_t *standing)
{
    struct reader r = reader_of(state);
    struct session *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    uint8_t version = rd_u8(&r);
    rd_cstr(&r, s->conn, sizeof(s->conn));
    struct slice digest = rd_bytes(&r, sizeof(s->digest));
    if (digest.len == sizeof(s->digest))
        memcpy(s->digest, digest.p, sizeof(s->digest));
    s->creds = rd_u64(&r);
    s->own_spi = rd_u64(&r);
    s->reauth_at = rd_u64(&r);
    s->proven_until = (int64_t)rd_u64(&r);
    s->ppk = rd_u8(&r) != 0;
    *standing = rd_u32(&r);
    s->suite.protocol = PROTO_IKE;
    read_transform(&r, TR_ENCR, &s->suite.encr);
    read_transform(&r, TR_INTEG, &s->suite.integ);
    read_transform(&r, TR_PRF, &s->suite.prf);
    read_transform(&r, TR_KE, &s->suite.ke);
    for (unsigned i = 0; i < ADDKE_MAX; i++)
        read_transform(&r, (uint8_t)(TR_ADDKE1 + i), &s->suite.addke[i]);
    bool good = read_id(&r, &s->local) && read_id(&r, &s->remote) && read_id(&r, &s->said);
    if (good && rd_done(&r) && version == STATE_VERSION)
        return s;
    session_free(s);
    return NULL;
}

// --- what it is good for ---

static const char *ended(struct ike *ike, const struct session *s)
{
    struct esp_error err = {0};
    if (s->creds != ike->creds->gone)
        return "certificates or authorities have gone since";
    if (s->proven_until && creds_now(ike) >= s->proven_until)
        return "what proved the peer has ended";
    if (s->reauth_at && loop_now(ike->loop) >= s->reauth_at)
        return "another proof is due";
    for (unsigned i = 0; i < 2; i++)
        if (s->standing[i] && pki_standing_judge(ike->creds->pki, s->standing[i], creds_now(ike), &err) != 0)
            return "a certificate that proved the peer is revoked";
    return NULL;
}

struct conn *session_conn(struct ike *ike, const struct session *s, char *why, size_t size)
{
    struct conn *c = conn_find(ike, s->conn);
    const char *no = !c || memcmp(c->digest, s->digest, sizeof(c->digest)) != 0
                         ? "its connection is not loaded any more, or another one now"
                     : conn_is_closed(ike, c) ? "its connection is the fleet's, and not this node's now"
                                              : ended(ike, s);
    snprintf(why, size, "%s", no ? no : "");
    return no ? NULL : c;
}

void session_ids(struct ike_sa *sa, const struct session *s)
{
    identity_copy(sa->local_id, s->local);
    identity_copy(sa->remote_id, s->remote);
}

void session_inherit(struct ike_sa *sa, const struct session *s)
{
    if (!s)
        return;
    session_ids(sa, s);
    sa->ppk = s->ppk;
    sa->later->proven_until = s->proven_until;
    for (unsigned i = 0; i < 2; i++) {
        pki_standing_unref(sa->later->standing[i]);
        sa->later->standing[i] = pki_standing_ref(s->standing[i]);
    }
}

void session_bound(struct ike_sa *sa, const struct session *s)
{
    if (!s)
        return;
    COUNT(sa->ike, resumed);
    if (s->reauth_at)
        lifetime_ike_reauth(sa, s->reauth_at);
}
