// SPDX-License-Identifier: Apache-2.0
// AUTH of both kinds (RFC 7296 2.15): shared secrets are made and checked here; private keys sign here, and
// what a peer has signed is checked by ike, which gets the one part of it that needs a secret. Whichever it
// is, the peer has one try an IKE SA, and a responder proves itself only to whom it knows.
#include <openssl/crypto.h>
#include <string.h>

#include "ctrl/keys/room.h"
#include "ctrl/lib/log.h"

static unsigned secrets_for(struct keys *k, struct slice id_body, struct slice peer_id_body,
                            struct psk_match out[PSK_TRIES], char *who, size_t size)
{
    struct identity me, peer;
    char a[ID_TEXT_MAX], b[ID_TEXT_MAX];
    snprintf(who, size, "(malformed identity)");
    if (!identity_read(id_body, &me) || !identity_read(peer_id_body, &peer))
        return 0;
    snprintf(who, size, "'%.150s' - '%.150s'", identity_print(&me, a, sizeof(a)),
             identity_print(&peer, b, sizeof(b)));
    return psk_find(k->psks, &me, &peer, out);
}

// The one secret that AUTH is made with: where the peer was checked before, the one that it has shown to know
// and no other, else the best.
static bool own_secret(struct keys *k, const struct ike_entry *e, const struct msg_AUTH_MAKE *m,
                       struct slice *out, char *why, size_t size)
{
    if (e->resumed) { // by SK_p
        *out = slice_of(NULL, 0);
        return true;
    }
    if (e->eap == EAP_DONE) {
        *out = slice_of(e->eap_state->msk, MSCHAP_MSK);
        return true;
    }
    struct psk_match found[PSK_TRIES];
    char who[340];
    unsigned n = secrets_for(k, m->id_body, m->peer_id_body, found, who, sizeof(who)), i = 0;
    while (e->checked && e->proven && i < n && found[i].serial != e->proven)
        i++;
    if (i < n)
        *out = found[i].data;
    else if (n)
        snprintf(why, size, "the shared key that the peer was checked with serves no more for %.300s", who);
    else
        snprintf(why, size, "no shared key found for %s", who);
    return i < n;
}

static bool may_make(const struct ike_entry *e, char *why, size_t size)
{
    const char *no =
        !e                                                    ? "no such IKE SA"
        : !e->initiator && !e->checked && e->eap != EAP_BEGUN ? "the peer has not been authenticated yet"
        : e->eap == EAP_FAILED                                ? "EAP has failed"
        : e->eap == EAP_BEGUN && (e->initiator || e->eap_state->only) ? "the EAP method is not over"
        : e->eap == EAP_DONE && !e->made_by_eap && !e->settled        ? NULL
        : e->made ? "AUTH has been made already" // each one more is a guess at the secret
                  : NULL;
    snprintf(why, size, "%s", no ? no : "");
    return !no;
}

static int derive_auth(const struct ike_entry *e, const struct ike_secrets *s, bool of_initiator,
                       struct slice secret, struct slice message, struct slice nonce, struct slice id_body,
                       uint8_t out[CR_PRF_MAX])
{
    if (e->resumed)
        return derive_resumed_auth(s, of_initiator, e->message_alone, message, nonce, id_body, out);
    return derive_psk_auth(s, of_initiator, secret, message, nonce, id_body, out);
}

static bool make_by_secret(struct keys *k, const struct ike_entry *e, const struct ike_secrets *s,
                           const struct msg_AUTH_MAKE *m, uint8_t *auth, size_t *len, char *why, size_t size)
{
    struct slice psk;
    if (!own_secret(k, e, m, &psk, why, size))
        return false;
    *len = s->prf_len;
    if (derive_auth(e, s, e->initiator, psk, m->message, m->peer_nonce, m->id_body, auth) == 0)
        return true;
    snprintf(why, size, "making AUTH failed");
    return false;
}

static bool make_by_key(struct keys *k, const struct ike_entry *e, const struct ike_secrets *s,
                        const struct msg_AUTH_MAKE *m, uint8_t *auth, size_t *len, char *why, size_t size)
{
    const struct cr_key *key = private_find(k->privates, m->key_id);
    uint8_t maced_id[CR_PRF_MAX], more[INT_AUTH_MAX];
    struct esp_error err = {0};
    if (!key) {
        snprintf(why, size, "the private key is not loaded");
        return false;
    }
    int rc = derive_maced_id(s, e->initiator, m->id_body, maced_id);
    struct cr_slice octets[] = {{m->message.p, m->message.len},
                                {m->peer_nonce.p, m->peer_nonce.len},
                                {maced_id, s->prf_len},
                                {more, derive_int_auth(s, more)}};
    if (!rc)
        rc = cr_sign(key, m->schemes, m->method, octets, 4, auth, CR_SIG_MAX, len, &err);
    if (rc)
        snprintf(why, size, "signing failed: %s", err.text[0] ? err.text : strerror(-rc));
    return rc == 0;
}

void keys_auth_make(struct keys *k, struct ipc_chan *c, const struct msg_AUTH_MAKE *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    bool (*make)(struct keys *, const struct ike_entry *, const struct ike_secrets *,
                 const struct msg_AUTH_MAKE *, uint8_t *, size_t *, char *, size_t) =
        m->key_id.len ? make_by_key : make_by_secret;
    uint8_t auth[CR_SIG_MAX], plain[CR_SIG_MAX];
    size_t len = 0, plain_len = 0;
    char why[400];
    bool good = may_make(e, why, sizeof(why));
    if (good && e->eap && (e->eap == EAP_DONE) != (m->method == CR_METHOD_PSK)) {
        snprintf(why, sizeof(why), "with EAP the first AUTH is a signature, and the second by the MSK");
        good = false;
    }
    if (good && e->resumed && m->method != CR_METHOD_PSK) {
        snprintf(why, sizeof(why), "an IKE SA that is resumed is proven by its own keys alone");
        good = false;
    }
    if (good && (m->method == CR_METHOD_PSK) != (m->key_id.len == 0)) {
        snprintf(why, sizeof(why), "authentication method %u %s a private key", m->method,
                 m->key_id.len ? "takes no key, which came with it," : "needs");
        good = false;
    }
    if (good)
        good = make(k, e, e->ppk ? e->ppk : e->s, m, auth, &len, why, sizeof(why));
    if (good && e->ppk && !e->ppk_required) // for a peer without it (RFC 8784 3)
        good = make(k, e, e->s, m, plain, &plain_len, why, sizeof(why));
    if (!good) {
        ipc_result(c, m->req, false, "%s", why);
        return;
    }
    e->made = true;
    e->made_by_eap = e->eap == EAP_DONE;
    e->more = m->more;
    ipc_send(c, MSG_AUTH_IS,
             &(struct msg_AUTH_IS){
                 .req = m->req, .auth = slice_of(auth, len), .no_ppk = slice_of(plain, plain_len)});
    OPENSSL_cleanse(auth, sizeof(auth));
    OPENSSL_cleanse(plain, sizeof(plain));
    keys_settle(k, e);
}

static void proven(struct keys *k, struct ipc_chan *c, uint32_t req, struct ike_entry *e,
                   const struct psk_match *by)
{
    struct msg_AUTH_PROVEN is = {.req = req};
    e->checked = true;
    e->checked_by_eap = e->eap == EAP_DONE;
    e->proven = by->serial;
    snprintf(is.secret, sizeof(is.secret), "%s", by->name);
    if (by->owner)
        identity_print(by->owner, is.owner, sizeof(is.owner));
    ipc_send(c, MSG_AUTH_PROVEN, &is);
    keys_settle(k, e);
}

void keys_auth_check(struct keys *k, struct ipc_chan *c, const struct msg_AUTH_CHECK *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    struct psk_match psk[PSK_TRIES];
    uint8_t auth[CR_PRF_MAX];
    char who[340];
    if (!e || m->method != CR_METHOD_PSK) {
        ipc_result(c, m->req, false,
                   e ? "authentication method %u is not that of a shared secret" : "no such IKE SA",
                   m->method);
        return;
    }
    if (e->ppk) {
        ipc_result(c, m->req, false, "whether the peer uses the PPK has not been said");
        return;
    }
    if (e->eap == EAP_BEGUN || e->eap == EAP_FAILED) {
        ipc_result(c, m->req, false, "the peer has not shown its password");
        return;
    }
    // The server of EAP has signed before, and proves by the MSK that it is the one who made that.
    bool again = e->initiator && e->eap == EAP_DONE && !e->checked_by_eap;
    if ((e->checked || e->octets) && !again) {
        ipc_result(c, m->req, false, "the peer %s", e->checked ? "is authenticated already" : "is to sign");
        return;
    }
    unsigned n = secrets_for(k, m->id_body, m->peer_id_body, psk, who, sizeof(who));
    if (e->eap == EAP_DONE) { // nothing else proves a peer that was let in by EAP
        psk[0] =
            (struct psk_match){.data = slice_of(e->eap_state->msk, MSCHAP_MSK), .name = e->eap_state->secret};
        n = 1;
    }
    if (e->resumed) { // as responder in either form, and then in that one too: only who knows SK_d has SK_p
        psk[0] = psk[1] = (struct psk_match){.name = "session ticket"};
        n = e->initiator ? 1 : 2;
    }
    const struct psk_match *by = NULL;
    for (unsigned i = 0; i < n && !by; i++) {
        e->message_alone = e->resumed && (e->initiator ? e->message_alone : i == 1);
        bool good = derive_auth(e, e->s, !e->initiator, psk[i].data, m->message, m->own_nonce,
                                m->peer_id_body, auth) == 0 &&
                    m->auth.len == e->s->prf_len && CRYPTO_memcmp(auth, m->auth.p, m->auth.len) == 0;
        by = good ? &psk[i] : NULL;
    }
    OPENSSL_cleanse(auth, sizeof(auth));
    if (by && e->resumed && !keys_ticket_use(k, e)) {
        keys_drop_ike(k, e);
        ipc_result(c, m->req, false, "the ticket is used up, or void");
        return;
    }
    if (by) {
        proven(k, c, m->req, e, by);
        return;
    }
    keys_drop_ike(k, e); // one guess an IKE SA
    if (n)
        ipc_result(c, m->req, false, "tried %u shared key%s for %s, but MAC mismatched", n, n == 1 ? "" : "s",
                   who);
    else
        ipc_result(c, m->req, false, "no shared key found for %s", who);
}

void keys_auth_octets(struct keys *k, struct ipc_chan *c, const struct msg_AUTH_OCTETS *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    uint8_t maced_id[CR_PRF_MAX + INT_AUTH_MAX]; // and IntAuth (RFC 9242 3.3.2) behind it
    if (!e || e->checked || e->octets || e->ppk || e->eap || e->resumed) {
        ipc_result(c, m->req, false, "%s",
                   !e           ? "no such IKE SA"
                   : e->resumed ? "an IKE SA that is resumed is proven by its own keys alone"
                   : e->eap     ? "the peer authenticates by EAP"
                   : e->ppk     ? "whether the peer uses the PPK has not been said"
                   : e->checked ? "the peer is authenticated already"
                                : "the peer's one try is over");
        return;
    }
    if (derive_maced_id(e->s, !e->initiator, m->id_body, maced_id) != 0) {
        ipc_result(c, m->req, false, "what the peer's signature covers could not be made");
        return;
    }
    e->octets = true;
    size_t len = e->s->prf_len + derive_int_auth(e->s, maced_id + e->s->prf_len);
    struct msg_AUTH_OCTETS_IS is = {.req = m->req, .octets = slice_of(maced_id, len)};
    ipc_send(c, MSG_AUTH_OCTETS_IS, &is);
    OPENSSL_cleanse(maced_id, sizeof(maced_id));
}

void keys_auth_verified(struct keys *k, const struct msg_AUTH_VERIFIED *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    if (!e || !e->octets) {
        LOGF(DMN, 1, "ike says that IKE SA %u is verified, which has not begun", m->ike_id);
        return;
    }
    e->checked = true;
    keys_settle(k, e);
}

// One more try of each end, only behind proofs that were good, and as often as a connection can have it.
void keys_auth_round(struct keys *k, const struct msg_AUTH_ROUND *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    if (!e || !e->more || e->eap || !e->checked || !e->made || e->rounds + 1 >= ROUNDS_MAX) {
        LOGF(DMN, 1, "ike says that IKE SA %u has another round of authentication, which is not due",
             m->ike_id);
        return;
    }
    e->more = m->more;
    e->rounds++;
    e->peer_again = m->peer;
    if (m->own)
        e->made = false;
    e->proven = 0; // what the peer showed to know was the last round's
    if (m->peer)
        e->checked = e->octets = false;
}
