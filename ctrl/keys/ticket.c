// SPDX-License-Identifier: Apache-2.0
// Resuming an IKE SA (RFC 5723): what SK_d of one that was proven at both ends makes another one of, as the
// one who gave the ticket (SK_d is in it, and comes out of it here alone) and as the one who got it (SK_d is
// kept here, by a number). Both ends prove themselves by SK_p of the new one, which who knew that SK_d alone
// can make. A ticket is used up when its holder has proven itself, and void when the IKE SA that it was given
// on ends otherwise than by silence, is rekeyed, or when a secret or key goes that peers are known by.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>

#include "ctrl/keys/room.h"
#include "ctrl/keys/vault.h"
#include "ctrl/lib/log.h"

enum { KEPT_MAX = 1 << 16 }; // tickets of ours, at a time

struct kept {
    struct table_node node;   // key: ike's number of the ticket
    struct ticket_secrets *s; // in the vault
};

static void free_kept(struct kept *t)
{
    if (t)
        vault_put(t->s);
    free(t);
}

static struct kept *find_kept(struct keys *k, uint32_t id)
{
    return (struct kept *)(void *)table_find(&k->kept_tickets, id);
}

void keys_ticket_forget(struct keys *k, const struct msg_TICKET_FORGET *m)
{
    struct kept *t = find_kept(k, m->ticket_id);
    if (t)
        table_del(&k->kept_tickets, &t->node);
    free_kept(t);
}

static void keys_are_old(struct timer *t);

static void watch_age(struct keys *k)
{
    uint64_t next = ticket_age(&k->tickets, loop_now(k->loop));
    k->ticket_timer.fire = keys_are_old;
    k->ticket_timer.ctx = k;
    if (next)
        timer_set(k->loop, &k->ticket_timer, next);
    else
        timer_stop(k->loop, &k->ticket_timer);
}

static void keys_are_old(struct timer *t)
{
    watch_age(t->ctx);
}

void keys_ticket_free(struct keys *k, bool given)
{
    struct table_node *n;
    while ((n = table_pop(&k->kept_tickets)) != NULL)
        free_kept((struct kept *)(void *)n);
    table_free(&k->kept_tickets);
    if (given) {
        ticket_forget_all(&k->tickets);
        watch_age(k);
    }
}

void keys_ticket_void(struct keys *k, struct ike_entry *e)
{
    if (!e->rare)
        return;
    ticket_use_up(&k->tickets, e->rare->gave);
    e->rare->gave = (struct ticket_ref){0};
}

static void take_secrets(const struct ike_secrets *from, uint64_t until, struct ticket_secrets *out)
{
    *out = (struct ticket_secrets){.until = until, .prf = cr_prf_id(from->prf), .len = from->prf_len};
    memcpy(out->sk_d, from->sk_d, from->prf_len);
}

// One at a time: another one for the same IKE SA takes its place.
void keys_ticket_seal(struct keys *k, struct ipc_chan *c, const struct msg_TICKET_SEAL *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    uint64_t now = loop_now(k->loop);
    struct ticket_secrets s;
    struct ticket_ref ref;
    uint8_t ticket[TICKET_MAX];
    size_t len = 0;
    if (!keys_both_proven(e) || !m->lifetime_s || m->lifetime_s > TICKET_LIFE_MAX_S) {
        ipc_result(c, m->req, false, "%s",
                   !e                     ? "no such IKE SA"
                   : !keys_both_proven(e) ? "the IKE SA is not authenticated"
                                          : "a ticket's lifetime is out of its bounds");
        return;
    }
    take_secrets(e->s, now + (uint64_t)m->lifetime_s * 1000, &s);
    int rc = keys_rare(e) ? ticket_seal(&k->tickets, now, &s, m->state, ticket, &len, &ref) : -ENOMEM;
    OPENSSL_cleanse(&s, sizeof(s));
    watch_age(k); // it may have made a key
    if (rc) {
        ipc_result(c, m->req, false, "sealing a ticket failed: %s", strerror(-rc));
        return;
    }
    keys_ticket_void(k, e);
    e->rare->gave = ref;
    ipc_send(c, MSG_TICKET_IS, &(struct msg_TICKET_IS){.req = m->req, .ticket = slice_of(ticket, len)});
}

static const char *open_error(int rc)
{
    return rc == -ETIME      ? "the ticket has expired"
           : rc == -EALREADY ? "the ticket is used up, or void"
           : rc == -EBADMSG  ? "the ticket is not one of ours, or its key is gone"
                             : strerror(-rc);
}

// What ike put into it; SK_d stays here.
void keys_ticket_open(struct keys *k, struct ipc_chan *c, const struct msg_TICKET_OPEN *m)
{
    struct ticket_secrets s = {0};
    struct ticket_ref ref;
    struct slice state;
    uint8_t buf[TICKET_MAX];
    int rc = ticket_open(&k->tickets, loop_now(k->loop), m->ticket, &s, buf, &state, &ref);
    if (rc)
        ipc_result(c, m->req, false, "%s", open_error(rc));
    else
        ipc_send(c, MSG_TICKET_STATE, &(struct msg_TICKET_STATE){.req = m->req, .state = state});
    OPENSSL_cleanse(&s, sizeof(s));
    OPENSSL_cleanse(buf, sizeof(buf));
}

void keys_ticket_keep(struct keys *k, const struct msg_TICKET_KEEP *m)
{
    struct ike_entry *e = keys_find_ike(k, m->ike_id);
    keys_ticket_forget(k, &(struct msg_TICKET_FORGET){.ticket_id = m->ticket_id});
    struct kept *t = keys_both_proven(e) && m->ticket_id && table_count(&k->kept_tickets) < KEPT_MAX
                         ? calloc(1, sizeof(*t))
                         : NULL;
    if (t)
        t->s = vault_get(k->vault, sizeof(*t->s));
    if (!t || !t->s || !table_add(&k->kept_tickets, &t->node, m->ticket_id)) {
        LOGF(DMN, 1, "the ticket of IKE SA %u is not kept", m->ike_id); // it will not be resumed
        free_kept(t);
        return;
    }
    take_secrets(e->s, loop_now(k->loop) + (uint64_t)m->lifetime_s * 1000, t->s);
}

// SK_d of one of ours, or out of the peer's ticket.
static int old_secrets(struct keys *k, const struct msg_IKE_RESUME *m, struct ticket_secrets *out,
                       struct ticket_ref *ref)
{
    uint64_t now = loop_now(k->loop);
    uint8_t buf[TICKET_MAX];
    struct slice state;
    *ref = (struct ticket_ref){0};
    if (m->initiator) {
        const struct kept *t = find_kept(k, m->ticket_id);
        if (t)
            *out = *t->s;
        return !t ? -EBADMSG : now >= out->until ? -ETIME : 0;
    }
    int rc = ticket_open(&k->tickets, now, m->ticket, out, buf, &state, ref);
    OPENSSL_cleanse(buf, sizeof(buf));
    return rc;
}

void keys_ike_resume(struct keys *k, struct ipc_chan *c, const struct msg_IKE_RESUME *m)
{
    struct cr_sk_alg alg = {m->encr, m->encr_bits, m->integ};
    struct ticket_secrets old = {0};
    struct ticket_ref ref;
    struct ike_entry *e = NULL;
    int rc = old_secrets(k, m, &old, &ref);
    if (!rc && old.prf != m->prf)
        rc = -EINVAL;
    if (!rc)
        rc = keys_add_ike(k, m->ike_id, m->initiator, &e);
    if (!rc && !m->initiator && !keys_rare(e))
        rc = -ENOMEM;
    if (!rc)
        rc = derive_resumed(&alg, cr_prf_find(k->algs, old.prf), slice_of(old.sk_d, old.len), m->ni, m->nr,
                            m->spi_i, m->spi_r, e->s);
    OPENSSL_cleanse(&old, sizeof(old));
    if (rc) {
        keys_drop_ike(k, e);
        ipc_result(c, m->req, false, "%s", open_error(rc));
        return;
    }
    e->resumed = e->ppk_tried = true; // what went into SK_d is in its keys
    e->peer_again = true;
    e->rounds = ROUNDS_MAX; // no other rounds of authentication
    if (e->rare)
        e->rare->by = ref;
    e->message_alone = m->initiator && m->message_alone;
    keys_send_ike(c, m->req, e->s);
}

bool keys_ticket_use(struct keys *k, struct ike_entry *e)
{
    if (e->initiator)
        return true;
    bool good = e->rare && ticket_is_good(&k->tickets, e->rare->by);
    if (good)
        ticket_use_up(&k->tickets, e->rare->by);
    return good;
}
