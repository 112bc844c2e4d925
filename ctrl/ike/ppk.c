// SPDX-License-Identifier: Apache-2.0
// RFC 8784 in both roles. An initiator sends AUTH with the PPK in it and, unless its connection requires the
// PPK, the one without in NO_PPK_AUTH; the responder's answer says which of both counts. A responder without
// that PPK goes on by NO_PPK_AUTH where there is one and its connection does not require the PPK.
#include "ctrl/ike/ppk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/conns.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/ppk_int.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"

enum { PPK_ID_FIXED = 2, PPK_ID_MAX = ID_DATA_MAX };

int ppk_check_conn(const struct conn *c, struct esp_error *err)
{
    struct identity id;
    if (!identity_parse(c->cfg.ppk_id, &id))
        return esp_fail(err, -EINVAL, "ppk_id", "'%.100s' is not an identity that is supported",
                        c->cfg.ppk_id);
    return 0;
}

// RFC 8784's way is none beside EAP here: `keys` settles the PPK before anything is proven.
static bool by_eap(const struct conn *c)
{
    return conn_round_by(&c->cfg, true, AUTH_EAP) || conn_round_by(&c->cfg, false, AUTH_EAP);
}

int ppk_check_way(const struct ike *ike, const struct conn *c, struct esp_error *err)
{
    if (c->cfg.ppk_id[0] && by_eap(c) && !ike->set.ppk_intermediate)
        return esp_fail(
            err, -EINVAL, "ppk_id",
            "with EAP a PPK goes into IKE_INTERMEDIATE alone (RFC 9867): that wants ppk_intermediate = "
            "yes in the settings");
    return 0;
}

static bool configured(const struct ike_sa *sa)
{
    return sa->conn->cfg.ppk_id[0] != 0;
}

bool ppk_same(const struct conn *a, const struct conn *b)
{
    return strcmp(a->cfg.ppk_id, b->cfg.ppk_id) == 0 && a->cfg.ppk_required == b->cfg.ppk_required;
}

// --- IKE_SA_INIT ---

void ppk_put_use(struct pb *b, const struct ike_sa *sa)
{
    if (sa->initiator ? ppk_int_offers(sa) : sa->hs->use_ppk_int)
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_USE_PPK_INT, slice_of(NULL, 0));
    if (sa->initiator ? configured(sa) && !by_eap(sa->conn) : sa->hs->use_ppk)
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_USE_PPK, slice_of(NULL, 0));
}

// As responder it is not known yet which connection it will be.
void ppk_read_use(struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    bool own = sa->initiator ? configured(sa) : sa->ike->ppk_conns != 0;
    bool own_int = sa->initiator ? ppk_int_offers(sa) : own && sa->ike->set.ppk_intermediate;
    sa->hs->use_ppk_int = own_int && notify_find(pl, N_USE_PPK_INT, &n) &&
                          notify_find(pl, N_INTERMEDIATE_EXCHANGE_SUPPORTED, &n);
    sa->hs->use_ppk = own && !sa->hs->use_ppk_int && notify_find(pl, N_USE_PPK, &n);
}

// --- both roles: asking keys ---

static bool named(const struct ike_sa *sa, const struct notify *n, struct identity *out);

// As it is said to a person: the peer's where it named one.
static const char *name_of(const struct task *t, char *buf, size_t size)
{
    struct notify n;
    struct identity id;
    snprintf(buf, size, "%s", t->sa->conn->cfg.ppk_id);
    if (t->msg && notify_find(&t->msg->pl, N_PPK_IDENTITY, &n) && named(t->sa, &n, &id))
        identity_print(&id, buf, size);
    return buf;
}

static void selected(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    char why[200], name[ID_TEXT_MAX];
    bool good = answer_ok(type, m), needed = sa->hs->ppk_needed;
    sa->ppk = good;
    snprintf(why, sizeof(why), "PPK '%.80s': %.100s", name_of(t, name, sizeof(name)), answer_text(type, m));
    if (good)
        LOGF(CFG, 1, "using PPK for PPK_ID '%s'", name);
    else if (!needed)
        LOGF(CFG, 1, "%s; ignored because it is not required", why);
    sa->hs->later->ppk_next(t, good || !needed, why);
}

// no_plain: no AUTH without it is made either. needed: there is no way without it.
static void ask_keys(struct task *t, const struct identity *id, bool no_plain, bool needed, ppk_fn fn)
{
    struct handshake *hs = t->sa->hs;
    hs->later->ppk_next = fn;
    hs->ppk_needed = needed;
    struct msg_PPK_SELECT q = {.req = ask_new(t, selected),
                               .ike_id = t->sa->id,
                               .ppk_id = slice_of(id->data, id->len),
                               .required = no_plain};
    ask(t->sa->ike, ROOM_KEYS, q.req, MSG_PPK_SELECT, &q);
}

// --- the initiator ---

void ppk_offer(struct task *t, ppk_fn fn)
{
    const struct ike_sa *sa = t->sa;
    bool required = sa->conn->cfg.ppk_required;
    struct identity id;
    if (!configured(sa) || ppk_int_used(sa, &id)) {
        fn(t, true, "");
    } else if (sa->hs->use_ppk_int) {
        fn(t, !required, "the peer does not have the PPK, and ppk_required says that one is needed");
    } else if (!sa->hs->use_ppk) {
        LOGF(CFG, 1, "the peer does not support PPKs (it sent no USE_PPK, RFC 8784 3)%s",
             required ? "" : ", going on without");
        fn(t, !required, "the peer does not support PPKs, and ppk_required says that one is needed");
    } else if (!identity_parse(sa->conn->cfg.ppk_id, &id) || identity_is_pattern(&id)) {
        LOGF(CFG, 1, "ppk_id '%s' names no single PPK to begin with", sa->conn->cfg.ppk_id);
        fn(t, !required,
           "ppk_id is a pattern, which names no PPK to begin with, and ppk_required says that "
           "one is needed");
    } else {
        ask_keys(t, &id, required, required, fn);
    }
}

void ppk_put_offer(struct pb *b, const struct ike_sa *sa, struct slice no_ppk_auth)
{
    uint8_t buf[1 + PPK_ID_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    struct identity id;
    if (!sa->ppk || ppk_int_used(sa, &id) || !identity_parse(sa->conn->cfg.ppk_id, &id))
        return;
    wr_u8(&w, PPK_ID_FIXED);
    wr_bytes(&w, id.data, id.len);
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_PPK_IDENTITY, wr_written(&w));
    if (no_ppk_auth.len)
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_NO_PPK_AUTH, no_ppk_auth);
}

bool ppk_take_answer(struct ike_sa *sa, const struct payloads *pl, char *why, size_t size)
{
    struct notify n;
    struct identity id;
    bool used = notify_find(pl, N_PPK_IDENTITY, &n);
    if (ppk_int_used(sa, &id) && !used)
        return true;
    if (used && (!sa->ppk || ppk_int_used(sa, &id))) {
        snprintf(why, size, "the peer says that it uses a PPK, and none was offered (RFC 8784 3)");
        return false;
    }
    if (!used && sa->ppk && sa->conn->cfg.ppk_required) {
        snprintf(why, size, "the peer does not use the PPK, which ppk_required asks for");
        return false;
    }
    if (sa->ppk) {
        if (!used)
            LOGF(CFG, 1, "the peer does not have the PPK '%s', going on without", sa->conn->cfg.ppk_id);
        struct msg_PPK_SETTLE q = {.ike_id = sa->id, .used = used};
        ipc_send(sa->ike->chan[ROOM_KEYS], MSG_PPK_SETTLE, &q);
    }
    sa->ppk = used;
    return true;
}

// --- the responder ---

// The PPK that the peer names, as far as the connection takes it.
static bool named(const struct ike_sa *sa, const struct notify *n, struct identity *out)
{
    struct reader r = reader_of(n->data);
    struct identity own;
    uint8_t type = rd_u8(&r);
    struct slice id = rd_bytes(&r, r.left);
    if (r.bad || type != PPK_ID_FIXED || id.len == 0 || id.len > PPK_ID_MAX ||
        !identity_parse(sa->conn->cfg.ppk_id, &own))
        return false;
    *out = (struct identity){.type = own.type == ID_ANY ? ID_KEY : own.type, .len = (uint16_t)id.len};
    memcpy(out->data, id.p, id.len);
    return identity_match(out, &own) != MATCH_NONE;
}

static bool fits_name(const struct identity *id, const struct identity *own)
{
    struct identity as;
    identity_copy(&as, id); // a PPK_ID has no type of its own
    as.type = own->type == ID_ANY ? ID_KEY : own->type;
    return identity_match(&as, own) != MATCH_NONE;
}

void ppk_request(struct task *t, const struct payloads *pl, ppk_fn fn)
{
    const struct ike_sa *sa = t->sa;
    bool required = sa->conn->cfg.ppk_required;
    struct notify n, plain;
    struct identity id, own;
    if (ppk_int_used(sa, &id)) { // of the connections only this one says which it takes
        bool fits = !configured(sa) || !identity_parse(sa->conn->cfg.ppk_id, &own) || fits_name(&id, &own);
        fn(t, fits || !required,
           "the peer's PPK is another one than ppk_id says, and ppk_required that one is needed");
        return;
    }
    bool offered = sa->hs->use_ppk && !by_eap(sa->conn) && notify_find(pl, N_PPK_IDENTITY, &n);
    bool without = !required && (!offered || notify_find(pl, N_NO_PPK_AUTH, &plain));
    if (offered && configured(sa) && named(sa, &n, &id)) {
        ask_keys(t, &id, false, !without, fn);
        return;
    }
    if (offered)
        LOGF(CFG, 1, "the peer offers a PPK that this connection has not%s",
             without ? ", going on without" : "");
    fn(t, without,
       !offered   ? "the peer uses no PPK, and ppk_required says that one is needed"
       : required ? "the peer offers another PPK than ppk_id says, and ppk_required that one is needed"
                  : "the peer requires a PPK that we do not have");
}

void ppk_choose_auth(const struct ike_sa *sa, const struct payloads *pl, struct auth *auth)
{
    struct notify n;
    if (!sa->ppk && sa->hs->use_ppk && notify_find(pl, N_PPK_IDENTITY, &n) &&
        notify_find(pl, N_NO_PPK_AUTH, &n))
        auth->value = n.data;
}

void ppk_put_answer(struct pb *b, const struct ike_sa *sa)
{
    struct identity id;
    if (sa->ppk && !ppk_int_used(sa, &id))
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_PPK_IDENTITY, slice_of(NULL, 0));
}
