// SPDX-License-Identifier: Apache-2.0
// IKE_INTERMEDIATE with an additional key exchange (RFC 9242, RFC 9370 2.2.2) or a postquantum preshared key
// (RFC 9867): the keys of an IKE SA that is not authenticated yet are replaced by those that the new secret
// makes of them, and both messages are remembered for AUTH. Once either end's AUTH has been made or checked
// this is over.
#include <errno.h>
#include <string.h>
#include <openssl/crypto.h>

#include "ctrl/keys/room.h"
#include "ctrl/keys/vault.h"

enum { INTERMEDIATES_MAX = DERIVE_SECRETS_MAX - 1 };

static int update(struct keys *k, struct ike_entry *e, const struct msg_IKE_UPDATE *m)
{
    struct cr_sk_alg alg = {m->encr, m->encr_bits, m->integ};
    struct kex_secrets shared = {0};
    struct slice ppk = slice_of(NULL, 0);
    struct ike_secrets *next = vault_get(k->vault, sizeof(*next));
    int rc = next ? 0 : -ENOMEM;
    if (!rc && m->ke_id)
        rc = kex_take(&k->kex, m->ke_id, m->peer_public, &shared);
    if (!rc && m->ke_id && shared.count != 1)
        rc = -EINVAL;
    if (!rc && m->ppk_id.len && !psk_find_named(k->psks, SECRET_PPK, m->ppk_id, &ppk, NULL))
        rc = -ENOKEY;
    if (!rc)
        rc = derive_intermediate(&alg, m->ke_id ? shared.s[0] : slice_of(NULL, 0), ppk, m->ni, m->nr,
                                 m->spi_i, m->spi_r, m->request, m->response, e->s, next);
    kex_secrets_wipe(&shared);
    vault_put(rc ? next : e->s);
    if (!rc)
        e->s = next;
    return rc;
}

void keys_ike_update(struct keys *k, struct ipc_chan *c, const struct msg_IKE_UPDATE *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    bool late = e && (e->checked || e->made || e->octets || e->ppk_tried);
    int rc = !e || late ? -EPERM : e->s->intermediates >= INTERMEDIATES_MAX ? -E2BIG : update(k, e, m);
    if (!rc)
        keys_send_ike(c, m->req, e->s);
    else
        ipc_result(c, m->req, false, "%s",
                   !e               ? "no such IKE SA"
                   : late           ? "its authentication has begun"
                   : rc == -EBADMSG ? "the peer's public value is not valid"
                                    : strerror(-rc));
}

// Of a PPK that is loaded. Whoever asks knows the nonces and the SPIs already.
void keys_ppk_confirm(struct keys *k, struct ipc_chan *c, const struct msg_PPK_CONFIRM *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    uint8_t out[PPK_CONFIRMATION];
    struct slice ppk;
    const char *no = !e                                                   ? "no such IKE SA"
                     : e->checked || e->made || e->octets || e->ppk_tried ? "it is too late for a PPK"
                     : !psk_find_named(k->psks, SECRET_PPK, m->ppk_id, &ppk, NULL)
                         ? "no PPK of that identity is loaded"
                     : derive_ppk_confirmation(e->s->prf, ppk, m->ni, m->nr, m->spi_i, m->spi_r, out) != 0
                         ? "its confirmation could not be made"
                         : NULL;
    if (no) {
        ipc_result(c, m->req, false, "%s", no);
        return;
    }
    ipc_send(c, MSG_PPK_CONFIRM_IS,
             &(struct msg_PPK_CONFIRM_IS){.req = m->req, .confirmation = slice_of(out, sizeof(out))});
}
