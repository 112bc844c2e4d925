// SPDX-License-Identifier: Apache-2.0
// Postquantum preshared keys (RFC 8784): SK_d, SK_pi and SK_pr with the PPK in them stand beside those
// without it until it is known whether the peer uses it. One try an IKE SA, before anything is proven.
#include <stdio.h>

#include "ctrl/keys/room.h"
#include "ctrl/keys/vault.h"
#include "ctrl/lib/log.h"

static void take(struct ike_entry *e)
{
    vault_put(e->s);
    e->s = e->ppk;
    e->ppk = NULL;
}

void keys_ppk_select(struct keys *k, struct ipc_chan *c, const struct msg_PPK_SELECT *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    struct slice ppk;
    if (!e || e->checked || e->made || e->octets || e->ppk_tried) {
        ipc_result(c, m->req, false, "%s", e ? "it is too late for a PPK" : "no such IKE SA");
        return;
    }
    e->ppk_tried = true;
    e->ppk_required = m->required;
    if (!psk_find_named(k->psks, SECRET_PPK, m->ppk_id, &ppk, NULL)) {
        ipc_result(c, m->req, false, "no PPK of that identity is loaded");
        return;
    }
    e->ppk = vault_get(k->vault, sizeof(*e->ppk));
    if (!e->ppk || derive_ppk(e->s, ppk, e->ppk) != 0) {
        vault_put(e->ppk);
        e->ppk = NULL;
        ipc_result(c, m->req, false, "the keys with the PPK could not be derived");
        return;
    }
    if (!e->initiator)
        take(e);
    ipc_result(c, m->req, true, "%s", "");
}

void keys_ppk_settle(struct keys *k, const struct msg_PPK_SETTLE *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    if (!e || !e->ppk || e->checked || e->octets) {
        LOGF(DMN, 1, "ike says whether IKE SA %u uses a PPK, which is not open", m->ike_id);
    } else if (m->used) {
        take(e);
    } else if (e->ppk_required) {
        keys_drop_ike(k, e);
    } else {
        vault_put(e->ppk);
        e->ppk = NULL;
    }
}
