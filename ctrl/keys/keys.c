// SPDX-License-Identifier: Apache-2.0
// The keys room's state and its messages: key exchange values and the secrets of IKE SAs by the numbers that
// ike gave them, and what may be asked in which order. A peer is verified before our own AUTH is made as
// responder (RFC 7296 2.15 leaves it open), and traffic keys exist only once both ends are authenticated.
#include "ctrl/keys/keys.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/crypto.h>

#include "ctrl/keys/room.h"
#include "ctrl/keys/vault.h"
#include "ctrl/lib/child_algs.h"
#include "ctrl/lib/log.h"

enum {
    KEYMAT_MAX = 4 * CR_SK_KEY_MAX,
    CHILDREN_OF_ONE = 1 << 16, // CHILD SAs of one IKE SA, over its whole life
    ALONE_MS = 2000            // in which the daemon ends, when it does
};

static void free_ike(struct ike_entry *e)
{
    struct table_one *n;
    while (e->rare && (n = table_pop_one(&e->rare->used)) != NULL)
        free(n);
    if (e->rare)
        table_free(&e->rare->used);
    free(e->rare);
    vault_put(e->s);
    vault_put(e->ppk);
    vault_put(e->eap_state);
    free(e);
}

void keys_drop_ike(struct keys *k, struct ike_entry *e)
{
    if (!e)
        return;
    table_take(&k->ikes, &e->node);
    free_ike(e);
}

struct ike_entry *keys_find_ike(struct keys *k, uint32_t id)
{
    return (struct ike_entry *)(void *)table_get(&k->ikes, id);
}

struct ike_rare *keys_rare(struct ike_entry *e)
{
    if (!e->rare)
        e->rare = calloc(1, sizeof(*e->rare));
    return e->rare;
}

bool keys_both_proven(const struct ike_entry *e)
{
    return e && e->checked && e->made && !e->more && (!e->eap || (e->made_by_eap && e->checked_by_eap));
}

void keys_settle(struct keys *k, struct ike_entry *e)
{
    if (e->settled || !keys_both_proven(e))
        return;
    size_t kept = offsetof(struct ike_secrets, sk_d) + e->s->prf_len;
    struct ike_secrets *small = vault_get(k->vault, kept);
    if (small) {
        memcpy(small, e->s, kept);
        vault_put(e->s);
        e->s = small;
    } else { // it stays where it is, alone
        OPENSSL_cleanse((uint8_t *)e->s + kept, sizeof(*e->s) - kept);
    }
    e->s->intermediates = 0; // what they added is gone
    keys_eap_over(e);
    e->settled = true;
}

static void ke_answer(struct ipc_chan *c, uint32_t req, uint16_t group, int rc, const uint8_t *value,
                      size_t len)
{
    if (rc == 0)
        ipc_send(c, MSG_KE_PUBLIC, &(struct msg_KE_PUBLIC){.req = req, .value = slice_of(value, len)});
    else
        ipc_result(c, req, false, "key exchange group %u: %s", group,
                   rc == -EBADMSG ? "the peer's public value is not valid" : strerror(-rc));
}

static void ke_generate(struct keys *k, struct ipc_chan *c, const struct msg_KE_GENERATE *m)
{
    uint8_t value[CR_DH_MAX];
    size_t len = 0;
    int rc = kex_generate(&k->kex, m->ke_id, m->group, value, &len);
    ke_answer(c, m->req, m->group, rc, value, len);
}

static void ke_respond(struct keys *k, struct ipc_chan *c, const struct msg_KE_RESPOND *m)
{
    uint8_t value[CR_DH_MAX];
    size_t len = 0;
    int rc = kex_respond(&k->kex, m->ke_id, m->group, m->peer_public, value, &len);
    ke_answer(c, m->req, m->group, rc, value, len);
}

// The secrets of an exchange's first and additional key exchanges, all of which are used up. The caller wipes
// them.
static int take_secrets(struct keys *k, uint32_t ke_id, struct slice peer, struct slice more,
                        struct kex_secrets *out)
{
    int rc = kex_take(&k->kex, ke_id, peer, out);
    return rc || !more.len ? rc : ke_id ? kex_take_list(&k->kex, more, out) : -EINVAL;
}

int keys_add_ike(struct keys *k, uint32_t id, bool initiator, struct ike_entry **out)
{
    struct ike_entry *e = calloc(1, sizeof(*e));
    keys_drop_ike(k, keys_find_ike(k, id));
    if (e)
        e->s = vault_get(k->vault, sizeof(*e->s));
    if (!e || !e->s || !table_put(&k->ikes, &e->node, id)) {
        if (e)
            vault_put(e->s);
        free(e);
        return -ENOMEM;
    }
    e->initiator = initiator;
    *out = e;
    return 0;
}

static int new_ike(struct keys *k, const struct msg_IKE_DERIVE *m, struct ike_entry **out)
{
    struct cr_sk_alg alg = {m->encr, m->encr_bits, m->integ};
    struct ike_entry *e = NULL, *old = m->old_ike_id ? keys_find_ike(k, m->old_ike_id) : NULL;
    struct kex_secrets shared = {0};
    int rc = take_secrets(k, m->ke_id, m->peer_public, m->more, &shared);
    if (!rc && m->old_ike_id && !keys_both_proven(old))
        rc = -EPERM;
    if (!rc && (!m->ke_id || m->old_ike_id == m->ike_id))
        rc = -EINVAL;
    if (!rc)
        rc = keys_add_ike(k, m->ike_id, m->initiator, &e);
    if (!rc)
        rc = derive_ike(&alg, cr_prf_find(k->algs, m->prf), shared.s, shared.count, m->ni, m->nr, m->spi_i,
                        m->spi_r, old ? old->s : NULL, e->s);
    kex_secrets_wipe(&shared);
    if (rc) {
        keys_drop_ike(k, e);
        return rc;
    }
    e->peer_again = old != NULL;
    e->rounds = old ? ROUNDS_MAX : 0;
    if (old) // a ticket is of one IKE SA (RFC 5723 6.2)
        keys_ticket_void(k, old);
    e->checked = e->made = old != NULL; // who proved itself for the old one has the new one's keys from it
    *out = e;
    return 0;
}

void keys_send_ike(struct ipc_chan *c, uint32_t req, struct ike_secrets *s)
{
    ipc_send(c, MSG_IKE_KEYS,
             &(struct msg_IKE_KEYS){.req = req,
                                    .sk_ai = slice_of(s->sk_ai, s->ka_len),
                                    .sk_ar = slice_of(s->sk_ar, s->ka_len),
                                    .sk_ei = slice_of(s->sk_ei, s->ke_len),
                                    .sk_er = slice_of(s->sk_er, s->ke_len)});
    OPENSSL_cleanse(s->sk_ai, sizeof(s->sk_ai));
    OPENSSL_cleanse(s->sk_ar, sizeof(s->sk_ar));
    OPENSSL_cleanse(s->sk_ei, sizeof(s->sk_ei));
    OPENSSL_cleanse(s->sk_er, sizeof(s->sk_er));
}

static void ike_derive(struct keys *k, struct ipc_chan *c, const struct msg_IKE_DERIVE *m)
{
    struct ike_entry *e = NULL;
    int rc = new_ike(k, m, &e);
    if (rc) {
        ipc_result(c, m->req, false, "%s",
                   rc == -EBADMSG ? "the peer's public value is not valid" : strerror(-rc));
        return;
    }
    keys_send_ike(c, m->req, e->s);
    keys_settle(k, e);
}

// KEYMAT depends on SK_d and on both nonces in a row (2.17), not on the SPIs: the same nonces a second time
// would be the same keys, and their sequence numbers start again at 1.
static int use_nonces_once(struct keys *k, struct ike_entry *e, struct slice ni, struct slice nr)
{
    struct cr_slice parts[] = {{ni.p, ni.len}, {nr.p, nr.len}};
    uint8_t hash[32];
    uint64_t key;
    int rc = cr_sha256(k->algs, parts, 2, hash);
    if (rc)
        return rc;
    memcpy(&key, hash, sizeof(key));
    if (!e->used_count) {
        e->used_first = key;
        e->used_count = 1;
        return 0;
    }
    if (e->used_first == key || (e->rare && table_get(&e->rare->used, key)))
        return -EEXIST;
    if (e->used_count == CHILDREN_OF_ONE)
        return -EDQUOT;
    struct table_one *n = keys_rare(e) ? calloc(1, sizeof(*n)) : NULL;
    if (!n || !table_put(&e->rare->used, n, key)) {
        free(n);
        return -ENOMEM;
    }
    e->used_count++;
    return 0;
}

// Makes the keys of a CHILD SA and sends them to path; ike hears only how it went.
static int child_install(struct keys *k, struct ike_entry *e, const struct msg_CHILD_DERIVE *m,
                         const struct msg_CHILD *child)
{
    uint8_t mat[KEYMAT_MAX];
    struct kex_secrets shared = {0};
    size_t one = child_algs_keymat(child_algs(child->encr, child->encr_bits, child->integ));
    int rc = one == 0 || 2 * one > sizeof(mat) ? -EOPNOTSUPP : 0;
    if (!rc)
        rc = use_nonces_once(k, e, m->ni, m->nr);
    if (!rc)
        rc = take_secrets(k, m->ke_id, m->peer_public, m->more, &shared);
    if (!rc)
        rc = derive_child(e->s, shared.s, shared.count, m->ni, m->nr, mat, 2 * one);
    struct install *wait = rc ? NULL : calloc(1, sizeof(*wait));
    if (!rc && (!wait || !table_add(&k->installs, &wait->node, ++k->next_req)))
        rc = -ENOMEM;
    if (!rc) {
        // The first half protects what the exchange's initiator sends (2.17).
        struct slice ini = slice_of(mat, one), res = slice_of(mat + one, one);
        struct msg_CHILD_INSTALL install = {.req = k->next_req,
                                            .child = m->child,
                                            .key_out = m->initiator ? ini : res,
                                            .key_in = m->initiator ? res : ini};
        wait->ike_req = m->req;
        rc = ipc_send(k->chan[ROOM_PATH], MSG_CHILD_INSTALL, &install);
        if (rc)
            table_del(&k->installs, &wait->node);
    }
    if (rc)
        free(wait);
    kex_secrets_wipe(&shared);
    OPENSSL_cleanse(mat, sizeof(mat));
    return rc;
}

static void child_derive(struct keys *k, struct ipc_chan *c, const struct msg_CHILD_DERIVE *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    union msg child;
    if (!keys_both_proven(e)) {
        ipc_result(c, m->req, false, "%s", e ? "the IKE SA is not authenticated" : "no such IKE SA");
        return;
    }
    if (msg_read(m->child, &child) != MSG_CHILD || child.CHILD.ike_id != m->ike_id) {
        ipc_result(c, m->req, false, "the description of the CHILD SA is malformed");
        return;
    }
    int rc = child_install(k, e, m, &child.CHILD);
    if (rc == -EPIPE || rc == -ENOTCONN || rc == -ECONNRESET)
        ipc_result(c, m->req, false, "%s", PATH_GONE);
    else if (rc)
        ipc_result(c, m->req, false, "installing the CHILD SA failed: %s",
                   rc == -EEXIST ? "these nonces have made keys before" : strerror(-rc));
}

static void ike_forget(struct keys *k, const struct msg_IKE_FORGET *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    if (e && !m->lost)
        keys_ticket_void(k, e);
    keys_drop_ike(k, e);
}

static void from_ike(struct keys *k, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    switch (t) {
    case MSG_KE_GENERATE: ke_generate(k, c, &m->KE_GENERATE); break;
    case MSG_KE_RESPOND: ke_respond(k, c, &m->KE_RESPOND); break;
    case MSG_KE_FORGET: kex_forget(&k->kex, m->KE_FORGET.ke_id); break;
    case MSG_IKE_DERIVE: ike_derive(k, c, &m->IKE_DERIVE); break;
    case MSG_IKE_UPDATE: keys_ike_update(k, c, &m->IKE_UPDATE); break;
    case MSG_PPK_CONFIRM: keys_ppk_confirm(k, c, &m->PPK_CONFIRM); break;
    case MSG_IKE_FORGET: ike_forget(k, &m->IKE_FORGET); break;
    case MSG_IKE_RESUME: keys_ike_resume(k, c, &m->IKE_RESUME); break;
    case MSG_TICKET_SEAL: keys_ticket_seal(k, c, &m->TICKET_SEAL); break;
    case MSG_TICKET_OPEN: keys_ticket_open(k, c, &m->TICKET_OPEN); break;
    case MSG_TICKET_KEEP: keys_ticket_keep(k, &m->TICKET_KEEP); break;
    case MSG_TICKET_FORGET: keys_ticket_forget(k, &m->TICKET_FORGET); break;
    case MSG_EAP_BEGIN: keys_eap_begin(k, c, &m->EAP_BEGIN); break;
    case MSG_EAP_MSCHAP: keys_eap_mschap(k, c, &m->EAP_MSCHAP); break;
    case MSG_EAP_ANSWER: keys_eap_answer(k, c, &m->EAP_ANSWER); break;
    case MSG_EAP_SERVER: keys_eap_server(k, c, &m->EAP_SERVER); break;
    case MSG_EAP_TLS_BEGIN: keys_eap_tls_begin(k, c, &m->EAP_TLS_BEGIN); break;
    case MSG_EAP_TLS_SIGN: keys_eap_tls_sign(k, c, &m->EAP_TLS_SIGN); break;
    case MSG_EAP_TLS_MSK: keys_eap_tls_msk(k, c, &m->EAP_TLS_MSK); break;
    case MSG_PPK_SELECT: keys_ppk_select(k, c, &m->PPK_SELECT); break;
    case MSG_AUTH_ROUND: keys_auth_round(k, &m->AUTH_ROUND); break;
    case MSG_PPK_SETTLE: keys_ppk_settle(k, &m->PPK_SETTLE); break;
    case MSG_AUTH_MAKE: keys_auth_make(k, c, &m->AUTH_MAKE); break;
    case MSG_AUTH_CHECK: keys_auth_check(k, c, &m->AUTH_CHECK); break;
    case MSG_AUTH_OCTETS: keys_auth_octets(k, c, &m->AUTH_OCTETS); break;
    case MSG_AUTH_VERIFIED: keys_auth_verified(k, &m->AUTH_VERIFIED); break;
    case MSG_CHILD_DERIVE: child_derive(k, c, &m->CHILD_DERIVE); break;
    default: LOGF(DMN, 1, "message %s from ike is not for keys, ignored", msg_name(t)); break;
    }
}

static void from_path(struct keys *k, enum msg_type t, const union msg *m)
{
    struct install *w =
        t == MSG_RESULT ? (struct install *)(void *)table_find(&k->installs, m->RESULT.req) : NULL;
    if (!w)
        return;
    table_del(&k->installs, &w->node);
    ipc_result(k->chan[ROOM_IKE], w->ike_req, m->RESULT.ok, "%s", m->RESULT.text);
    free(w);
}

static void closed(void *ctx, struct ipc_chan *c);
static void lose_path(struct keys *k);

// path may have heard of it before it has installed what the last one asked for.
static void follow_ike(struct keys *k)
{
    ipc_send(k->chan[ROOM_PATH], MSG_NEXT_IKE, &(struct msg_NEXT_IKE){0});
    keys_tell_ike_all(k);
}

// A room that died is there again.
static void attach_again(struct keys *k, enum room room, int fd)
{
    if (!room_comes_again(room)) {
        close(fd);
        return;
    }
    if (k->chan[room])
        closed(k, k->chan[room]);
    if (keys_attach(k, room, fd) < 0) {
        close(fd);
        if (room == ROOM_PATH) { // which does not miss it
            k->path_died = false;
            lose_path(k);
        }
    } else if (room == ROOM_IKE) {
        follow_ike(k);
    } else if (room == ROOM_PATH) {
        k->path_died = false;
        timer_stop(k->loop, &k->alone);
    }
}

// Another one comes: it is no loss of ours.
static void path_died(struct keys *k)
{
    k->path_died = true;
    timer_stop(k->loop, &k->alone);
}

static void message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct keys *k = ctx;
    if (c == k->chan[ROOM_IKE]) {
        from_ike(k, c, t, m);
    } else if (c == k->chan[ROOM_CTL]) {
        keys_from_ctl(k, c, t, m);
    } else if (c == k->chan[ROOM_PATH]) {
        from_path(k, t, m);
    } else if (t == MSG_CHANNEL) {
        attach_again(k, (enum room)m->CHANNEL.room, ipc_take_fd(c));
    } else if (t == MSG_ROOM_PID && m->ROOM_PID.room == ROOM_PATH && !m->ROOM_PID.pid) {
        path_died(k);
    } else if (t == MSG_SHUTDOWN) {
        ipc_send(c, MSG_SHUTDOWN_DONE, &(struct msg_SHUTDOWN_DONE){.room = ROOM_KEYS});
        loop_stop(k->loop);
    }
}

// What path still installs is for nobody: its answer would be taken for one of the next ike's.
static void forget_ike(struct keys *k)
{
    struct table_node *w;
    struct table_one *n;
    while ((w = table_pop(&k->installs)) != NULL)
        free(w);
    kex_forget_all(&k->kex);
    keys_ticket_free(k, false);
    while ((n = table_pop_one(&k->ikes)) != NULL)
        free_ike((struct ike_entry *)(void *)n);
}

// Without path nothing can be installed: whoever waits hears so.
static void forget_installs(struct keys *k)
{
    struct table_node *n;
    while ((n = table_pop(&k->installs)) != NULL) {
        struct install *w = (struct install *)(void *)n;
        ipc_result(k->chan[ROOM_IKE], w->ike_req, false, "%s", PATH_GONE);
        free(w);
    }
}

static void no_end_came(struct timer *t)
{
    struct keys *k = t->ctx;
    LOGF(DMN, 0, "the channel to path is lost to it: it ends, and the next one is given another");
    loop_stop(k->loop);
}

// It has died, and that is yet to be told; or it had no memory to take what it was handed.
static void lose_path(struct keys *k)
{
    forget_installs(k);
    if (!k->path_died)
        timer_set(k->loop, &k->alone, loop_now(k->loop) + ALONE_MS);
}

static void closed(void *ctx, struct ipc_chan *c)
{
    struct keys *k = ctx;
    for (int room = 0; room < ROOM_COUNT; room++) {
        if (k->chan[room] != c)
            continue;
        k->chan[room] = NULL;
        if (room == ROOM_IKE)
            forget_ike(k);
        else if (room == ROOM_PATH)
            lose_path(k);
        else if (room == ROOM_SUPER)
            loop_stop(k->loop);
    }
    ipc_close(c);
}

static const struct ipc_handler handler = {message, closed};

struct keys *keys_new(struct loop *l)
{
    struct keys *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->loop = l;
    k->alone = (struct timer){.fire = no_end_came, .ctx = k};
    k->algs = k->kex.algs = k->tickets.algs = cr_algs_new();
    k->vault = k->kex.vault = vault_new();
    k->psks = psk_store_new(k->vault);
    k->privates = private_store_new();
    if (k->algs && k->vault && k->psks && k->privates)
        return k;
    keys_free(k);
    return NULL;
}

int keys_attach(struct keys *k, enum room peer, int fd)
{
    k->chan[peer] = ipc_open(k->loop, fd, ROOM_KEYS, peer, &handler, k);
    return k->chan[peer] ? 0 : -errno;
}

struct ipc_chan *keys_channel(struct keys *k, enum room peer)
{
    return k->chan[peer];
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    for (int room = 0; room < ROOM_COUNT; room++) {
        ipc_close(k->chan[room]);
        k->chan[room] = NULL;
    }
    forget_installs(k);
    forget_ike(k);
    timer_stop(k->loop, &k->alone);
    timer_stop(k->loop, &k->inherit_again);
    keys_ticket_free(k, true);
    secrets_file_close(k->file);
    psk_store_free(k->psks);
    private_store_free(k->privates);
    mschap_free(k->mschap);
    table_free(&k->ikes);
    table_free(&k->installs);
    cr_algs_free(k->algs);
    vault_free(k->vault);
    free(k);
}
