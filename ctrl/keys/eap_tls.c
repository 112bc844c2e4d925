// SPDX-License-Identifier: Apache-2.0
// What EAP-TLS needs of the private keys and of AUTH: one signature of one handshake in either role, over
// octets that have the form of TLS (RFC 8446 section 4.4.3, RFC 5246 sections 7.4.3 and 7.4.8), and the MSK
// that both AUTHs are made with (RFC 7296 section 2.16). TLS itself, and the peer's certificates, are ike's.
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "ctrl/keys/room.h"
#include "ctrl/keys/vault.h"

static const char *may_begin(const struct ike_entry *e, bool only)
{
    return !e                                           ? "no such IKE SA"
           : e->ppk || e->ppk_tried                     ? "a PPK is used"
           : e->settled                                 ? "the IKE SA is past that"
           : e->eap != EAP_NONE                         ? "EAP has begun"
           : e->made && !e->peer_again                  ? "AUTH has been made"
           : e->initiator && !e->checked && !only       ? "the server has not been authenticated yet"
           : !e->initiator && (e->checked || e->octets) ? "the IKE SA is past that"
                                                        : NULL;
}

void keys_eap_tls_begin(struct keys *k, struct ipc_chan *c, const struct msg_EAP_TLS_BEGIN *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    const char *no = may_begin(e, m->only);
    struct eap_state *s = no ? NULL : vault_get(k->vault, sizeof(*s));
    if (s) {
        *s = (struct eap_state){.tls = true, .only = m->only, .secret = "EAP-TLS"};
        e->eap = EAP_BEGUN;
        e->eap_state = s;
    }
    ipc_result(c, m->req, s != NULL, "%s", no ? no : s ? "" : "no memory");
}

// The IKE SA whose handshake is under way; as the server it has shown its own AUTH before, unless there is
// none.
static struct ike_entry *at_work(struct keys *k, uint32_t ike_id)
{
    struct ike_entry *e = keys_find_ike(k, ike_id);
    return e && e->eap == EAP_BEGUN && e->eap_state->tls && (e->initiator || e->made || e->eap_state->only)
               ? e
               : NULL;
}

// Of TLS 1.3: blanks, who speaks, a zero, the hash. Of 1.2, as the server: both random values and a named
// curve's key exchange; as the client: the handshake from its hello on.
static bool is_tls(bool client, struct slice d)
{
    static const char of[2][34] = {"TLS 1.3, server CertificateVerify", "TLS 1.3, client CertificateVerify"};
    enum { BLANKS = 64, TEXT = 34, RANDOMS = 64 };
    size_t blanks = 0;
    while (blanks < BLANKS && blanks < d.len && d.p[blanks] == ' ')
        blanks++;
    if (blanks == BLANKS)
        return d.len >= BLANKS + TEXT + 32 && d.len <= BLANKS + TEXT + 64 &&
               memcmp(d.p + BLANKS, of[client], TEXT) == 0;
    return client ? d.len > 40 && d.p[0] == 1 && d.p[4] == 3 && d.p[5] == 3
                  : d.len > RANDOMS + 4 && d.p[RANDOMS] == 3 && d.len == RANDOMS + 4u + d.p[RANDOMS + 3];
}

void keys_eap_tls_sign(struct keys *k, struct ipc_chan *c, const struct msg_EAP_TLS_SIGN *m)
{
    struct ike_entry *e = at_work(k, m->ike_id);
    const struct cr_key *key = private_find(k->privates, m->key_id);
    uint8_t out[CR_SIG_MAX];
    struct cr_slice part = {m->data.p, m->data.len};
    struct esp_error err = {0};
    size_t len = 0;
    bool one = m->scheme && !(m->scheme & (m->scheme - 1)) && (m->scheme & cr_schemes_default());
    const char *no = !e                               ? "no TLS handshake is under way"
                     : e->eap_state->tls_signed       ? "the handshake's one signature has been made"
                     : !key                           ? "the private key is not loaded"
                     : !one                           ? "a scheme that nothing is signed by"
                     : !is_tls(e->initiator, m->data) ? "what is to be signed is no handshake's"
                                                      : NULL;
    if (!no && cr_sign(key, m->scheme, CR_METHOD_SIGNATURE, &part, 1, out, sizeof(out), &len, &err) != 0)
        no = err.text;
    if (no) {
        ipc_result(c, m->req, false, "%s", no);
        return;
    }
    e->eap_state->tls_signed = true;
    size_t before = 1u + out[0]; // RFC 7427's AlgorithmIdentifier, which TLS has not
    struct msg_EAP_TLS_SIGNED is = {.req = m->req, .signature = slice_of(out + before, len - before)};
    ipc_send(c, MSG_EAP_TLS_SIGNED, &is);
}

void keys_eap_tls_msk(struct keys *k, struct ipc_chan *c, const struct msg_EAP_TLS_MSK *m)
{
    struct ike_entry *e = at_work(k, m->ike_id);
    bool good = e && e->eap_state->tls_signed && m->msk.len == MSCHAP_MSK;
    if (good) {
        memcpy(e->eap_state->msk, m->msk.p, MSCHAP_MSK);
        e->eap = EAP_DONE;
    }
    ipc_result(c, m->req, good, "%s", good ? "" : "no TLS handshake with our signature waits for its key");
}
