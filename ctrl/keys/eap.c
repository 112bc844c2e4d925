// SPDX-License-Identifier: Apache-2.0
// EAP-MSCHAPv2 as the server (RFC 2759; EAP type 26): challenge, one check of a response, and the MSK, which
// is from then on the one secret that the IKE SA's AUTH is made and checked with (RFC 7296 section 2.16). Of
// what the peer sends only fields of fixed size, and a name that is compared, get here.
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "ctrl/keys/room.h"
#include "ctrl/keys/vault.h"

void keys_eap_begin(struct keys *k, struct ipc_chan *c, const struct msg_EAP_BEGIN *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    const char *no = !e                                             ? "no such IKE SA"
                     : e->initiator                                 ? "it is the responder who asks by EAP"
                     : e->checked || e->octets                      ? "the IKE SA is past that"
                     : e->made && !e->peer_again                    ? "AUTH has been made"
                     : e->eap != EAP_NONE || e->ppk || e->ppk_tried ? "EAP has begun, or a PPK is used"
                     : !k->mschap                                   ? "no EAP secret is loaded"
                                                                    : NULL;
    e = no ? NULL : e;
    struct eap_state *s = e ? vault_get(k->vault, sizeof(*s)) : NULL;
    if (!s || cr_random(s->challenge, sizeof(s->challenge)) != 0) {
        vault_put(s);
        ipc_result(c, m->req, false, "%s", no ? no : "no memory");
        return;
    }
    e->eap = EAP_BEGUN;
    e->eap_state = s;
    ipc_send(c, MSG_EAP_CHALLENGE,
             &(struct msg_EAP_CHALLENGE){.req = m->req,
                                         .challenge = slice_of(s->challenge, sizeof(s->challenge))});
}

// The response that the password makes, the proof that we know it too, and the MSK.
static int derive(const struct keys *k, const struct msg_EAP_MSCHAP *m, struct slice nt_hash,
                  struct eap_state *s, uint8_t response[MSCHAP_RESPONSE],
                  uint8_t authenticator[MSCHAP_AUTHENTICATOR])
{
    struct mschap_exchange x = {.authenticator_challenge = s->challenge,
                                .peer_challenge = m->peer_challenge.p,
                                .user = m->account.p,
                                .user_len = m->account.len};
    int rc = mschap_response(k->mschap, &x, nt_hash.p, response);
    if (!rc)
        rc = mschap_authenticator(k->mschap, &x, nt_hash.p, response, authenticator);
    return rc ? rc : mschap_msk(k->mschap, nt_hash.p, response, s->msk);
}

// NULL: the peer knows the password, and s has the MSK.
static const char *check(const struct keys *k, const struct msg_EAP_MSCHAP *m, struct eap_state *s,
                         uint8_t authenticator[MSCHAP_AUTHENTICATOR])
{
    uint8_t response[MSCHAP_RESPONSE];
    struct slice nt_hash;
    const char *name;
    if (m->peer_challenge.len != MSCHAP_CHALLENGE || m->response.len != MSCHAP_RESPONSE)
        return "a challenge or response of another length than MS-CHAP-V2 has";
    if (!psk_find_named(k->psks, SECRET_EAP, m->user, &nt_hash, &name))
        return "no EAP secret of that identity is loaded";
    int rc = derive(k, m, nt_hash, s, response, authenticator);
    bool right = !rc && CRYPTO_memcmp(response, m->response.p, MSCHAP_RESPONSE) == 0;
    OPENSSL_cleanse(response, sizeof(response));
    if (right)
        snprintf(s->secret, sizeof(s->secret), "%s", name);
    return right ? NULL : rc ? "MS-CHAP-V2 could not be computed" : "wrong password";
}

void keys_eap_over(struct ike_entry *e)
{
    vault_put(e->eap_state);
    e->eap_state = NULL;
}

void keys_eap_mschap(struct keys *k, struct ipc_chan *c, const struct msg_EAP_MSCHAP *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    uint8_t authenticator[MSCHAP_AUTHENTICATOR];
    if (!e || e->eap != EAP_BEGUN || e->eap_state->tls || !e->made) {
        ipc_result(c, m->req, false, "%s", e ? "no EAP exchange waits for a response" : "no such IKE SA");
        return;
    }
    const char *no = check(k, m, e->eap_state, authenticator);
    e->eap = no ? EAP_FAILED : EAP_DONE; // one try
    if (no) {
        keys_eap_over(e);
        ipc_result(c, m->req, false, "%s", no);
    } else {
        ipc_send(c, MSG_EAP_MSCHAP_IS,
                 &(struct msg_EAP_MSCHAP_IS){
                     .req = m->req, .authenticator = slice_of(authenticator, sizeof(authenticator))});
    }
    OPENSSL_cleanse(authenticator, sizeof(authenticator));
}
