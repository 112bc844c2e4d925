// SPDX-License-Identifier: Apache-2.0
// EAP-MSCHAPv2 as the client (RFC 2759): the answer to a challenge, for a server that has proven itself by
// its signature (RFC 7296 section 2.16), and whether the server knows the password too. Only then the MSK is
// the secret that both AUTHs are made with.
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "ctrl/keys/room.h"
#include "ctrl/keys/vault.h"

// What the password makes of both challenges: the response, what the server must say, and the MSK.
static int answer(const struct keys *k, const struct msg_EAP_ANSWER *m, const uint8_t *peer_challenge,
                  const uint8_t *nt_hash, struct eap_state *s, uint8_t response[MSCHAP_RESPONSE])
{
    struct mschap_exchange x = {.authenticator_challenge = m->challenge.p,
                                .peer_challenge = peer_challenge,
                                .user = m->account.p,
                                .user_len = m->account.len};
    int rc = mschap_response(k->mschap, &x, nt_hash, response);
    if (!rc)
        rc = mschap_authenticator(k->mschap, &x, nt_hash, response, s->authenticator);
    return rc ? rc : mschap_msk(k->mschap, nt_hash, response, s->msk);
}

static const char *not_now(const struct ike_entry *e)
{
    return !e                              ? "no such IKE SA"
           : !e->initiator                 ? "it is the initiator who answers by EAP"
           : !e->checked                   ? "the server has not been authenticated yet"
           : e->made || e->eap != EAP_NONE ? "AUTH has been made, or EAP has begun"
           : e->ppk || e->ppk_tried        ? "a PPK is used"
                                           : NULL;
}

void keys_eap_answer(struct keys *k, struct ipc_chan *c, const struct msg_EAP_ANSWER *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    uint8_t response[MSCHAP_RESPONSE];
    struct slice nt_hash;
    const char *name, *no = not_now(e);
    if (!no && m->challenge.len != MSCHAP_CHALLENGE)
        no = "a challenge of another length than MS-CHAP-V2 has";
    if (!no && (!k->mschap || !psk_find_named(k->psks, SECRET_EAP, m->user, &nt_hash, &name)))
        no = "no EAP secret of that identity is loaded";
    struct eap_state *s = no ? NULL : vault_get(k->vault, sizeof(*s));
    if (!no && (!s || cr_random(s->challenge, sizeof(s->challenge)) != 0 ||
                answer(k, m, s->challenge, nt_hash.p, s, response) != 0))
        no = "MS-CHAP-V2 could not be computed";
    if (no) {
        vault_put(s);
        ipc_result(c, m->req, false, "%s", no);
        return;
    }
    snprintf(s->secret, sizeof(s->secret), "%s", name);
    e->eap = EAP_BEGUN;
    e->eap_state = s;
    struct msg_EAP_ANSWER_IS is = {.req = m->req,
                                   .peer_challenge = slice_of(s->challenge, sizeof(s->challenge)),
                                   .response = slice_of(response, sizeof(response))};
    ipc_send(c, MSG_EAP_ANSWER_IS, &is);
    OPENSSL_cleanse(response, sizeof(response));
}

void keys_eap_server(struct keys *k, struct ipc_chan *c, const struct msg_EAP_SERVER *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    if (!e || !e->initiator || e->eap != EAP_BEGUN || e->eap_state->tls) {
        ipc_result(c, m->req, false, "%s", e ? "no answer of ours waits for the server's" : "no such IKE SA");
        return;
    }
    bool right = m->authenticator.len == MSCHAP_AUTHENTICATOR &&
                 CRYPTO_memcmp(m->authenticator.p, e->eap_state->authenticator, MSCHAP_AUTHENTICATOR) == 0;
    e->eap = right ? EAP_DONE : EAP_FAILED; // one try
    if (!right)
        keys_eap_over(e);
    ipc_result(c, m->req, right, "%s", right ? "" : "the server does not know the password");
}
