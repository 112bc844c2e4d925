// SPDX-License-Identifier: Apache-2.0
// IKE_INTERMEDIATE (RFC 9242) in both roles, for additional key exchanges between IKE_SA_INIT and IKE_AUTH
// (RFC 9370 2.2.2): one exchange each, in the order of their transform types; and for a postquantum preshared
// key (RFC 9867), in the last of them or in one of its own. Each is protected by the keys of the one before;
// `keys` makes the next ones and remembers both messages for AUTH.
#include "ctrl/ike/intermediate.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/ppk_int.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"

enum {
    KE_HEAD = PAYLOAD_HEADER_LEN + 4,
    SK_HEAD = IKE_HEADER_LEN + PAYLOAD_HEADER_LEN,
    PEER_MESSAGE_MAX = 16384 // octets: many times what the largest key exchange needs
};

struct step {
    struct pb own; // our payloads
    uint8_t inner[KE_HEAD + CR_DH_MAX + PPK_INT_ROOM];
    uint8_t octets[SK_HEAD + KE_HEAD + CR_DH_MAX + PPK_INT_ROOM]; // what IntAuth covers of our message
    size_t octets_len;
};

static const struct transform *addke(const struct ike_sa *sa)
{
    return sa->hs && !sa->hs->later->resumption ? suite_addke(sa->suite, sa->hs->kex.added) : NULL;
}

static bool proposes(const struct conn_config *cfg)
{
    for (unsigned i = 0; i < cfg->proposal_count; i++)
        for (unsigned k = 0; k < cfg->proposals[i].count; k++)
            if (transform_is_addke(cfg->proposals[i].t[k]))
                return true;
    return false;
}

void intermediate_put(struct pb *b, const struct ike_sa *sa)
{
    if (sa->initiator ? proposes(&sa->conn->cfg) || ppk_int_offers(sa)
                      : suite_addkes(sa->suite) != 0 || sa->hs->use_ppk_int)
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_INTERMEDIATE_EXCHANGE_SUPPORTED, slice_of(NULL, 0));
}

bool intermediate_lacks(const struct suite *s, const struct payloads *pl)
{
    struct notify n;
    return suite_addkes(s) && !notify_find(pl, N_INTERMEDIATE_EXCHANGE_SUPPORTED, &n);
}

uint8_t intermediate_expected(const struct ike_sa *sa)
{
    return addke(sa) || ppk_int_due(sa) ? EX_INTERMEDIATE : EX_AUTH;
}

void intermediate_next(struct ike_sa *sa)
{
    // before what waits for the IKE SA to be there
    exchange_first(sa, addke(sa) || ppk_int_due(sa) ? TASK_INTERMEDIATE : TASK_AUTH, 0);
}

static void undo(struct task *t)
{
    free(t->data);
    t->data = NULL;
}

static struct step *begin(struct task *t)
{
    bool room = !addke(t->sa) || ike_kex_room(&t->sa->hs->kex);
    struct step *s = room ? calloc(1, sizeof(*s)) : NULL;
    t->data = s;
    return s;
}

// RFC 9242 3.3.1: a message as if it were neither encrypted nor in fragments: header and SK payload's header
// with the lengths of what is inside, and that. Returns its length, 0: it does not fit.
static size_t octets(struct ike_header h, uint8_t first, struct slice inner, uint8_t *out, size_t size)
{
    struct writer w = writer_of(out, size);
    h.next = PL_SK;
    h.length = (uint32_t)(SK_HEAD + inner.len);
    header_write(&w, &h);
    wr_u8(&w, first);
    wr_u8(&w, 0);
    wr_u16(&w, (uint16_t)(PAYLOAD_HEADER_LEN + inner.len));
    wr_bytes(&w, inner.p, inner.len);
    return w.bad ? 0 : w.len;
}

// Begun by a key exchange value, or empty.
static void begin_own(const struct ike_sa *sa, struct step *s, struct slice value)
{
    s->own = pb_of(s->inner, sizeof(s->inner));
    if (value.len)
        pb_ke(&s->own, addke(sa)->id, value);
}

static void end_own(struct ike_sa *sa, struct step *s, bool response)
{
    struct ike_header h = {.spi_i = sa->spi_i,
                           .spi_r = sa->spi_r,
                           .version = IKE_VERSION,
                           .exchange = EX_INTERMEDIATE,
                           .mid = response ? sa->in_mid : sa->out_mid};
    h.flags = (uint8_t)((sa->initiator ? FLAG_INITIATOR : 0) | (response ? FLAG_RESPONSE : 0));
    s->octets_len = octets(h, s->own.first, wr_written(&s->own.w), s->octets, sizeof(s->octets));
}

static void failed(struct ike_sa *sa)
{
    LOGF(IKE, 1, "establishing IKE_SA failed: %s", sa_reason(sa));
    sa_destroy(sa);
}

// The peer's value, of the length that its end sends; false: sa->why says what is wrong.
static bool take_ke(struct ike_sa *sa, const struct inmsg *m, bool answered)
{
    struct refusal r = {0};
    const struct transform *t = addke(sa);
    if (!t && !payload_find(&m->pl, PL_KE) && m->len <= PEER_MESSAGE_MAX)
        return true;
    if (!t)
        return sa_why(sa, "IKE_INTERMEDIATE holds a KE payload, and all key exchanges are done") == 0;
    if (ike_kex_take_more(&sa->hs->kex, &m->pl, t->id, answered, &r) == 0 && m->len <= PEER_MESSAGE_MAX)
        return true;
    sa_why(sa, "IKE_INTERMEDIATE must hold one KE payload of %s: %.100s", transform_name(*t),
           r.why.text[0] ? r.why.text : "the message is too large");
    return false;
}

static bool ask_update(struct task *t, const struct inmsg *m, reply_fn fn)
{
    struct ike_sa *sa = t->sa;
    struct step *s = t->data;
    struct handshake *hs = sa->hs;
    uint8_t *theirs = malloc(SK_HEAD + m->len);
    struct key_exchange none = {0}, *ke = addke(sa) ? ike_kex_next(&hs->kex) : &none;
    struct slice mine = slice_of(s->octets, s->octets_len);
    size_t len = theirs ? octets(m->h, m->h.next, slice_of(m->data, m->len), theirs, SK_HEAD + m->len) : 0;
    if (!len || !mine.len) {
        free(theirs);
        sa_why(sa, "no memory");
        return false;
    }
    struct slice peer = slice_of(theirs, len);
    struct msg_IKE_UPDATE q = {.req = ask_new(t, fn),
                               .ike_id = sa->id,
                               .ke_id = ke->ke_id,
                               .peer_public = ke->peer,
                               .encr = sa->suite->encr.id,
                               .encr_bits = sa->suite->encr.key_bits,
                               .integ = sa->suite->integ.id,
                               .ni = ike_kex_ni(&hs->kex, sa->initiator),
                               .nr = ike_kex_nr(&hs->kex, sa->initiator),
                               .spi_i = sa->spi_i,
                               .spi_r = sa->spi_r,
                               .request = sa->initiator ? mine : peer,
                               .response = sa->initiator ? peer : mine,
                               .ppk_id = ppk_int_due(sa) ? ppk_int_id(sa) : slice_of(NULL, 0)};
    ke->ke_id = 0; // keys uses it up
    ask(sa->ike, ROOM_KEYS, q.req, MSG_IKE_UPDATE, &q);
    free(theirs);
    return true;
}

static void done(struct ike_sa *sa)
{
    const struct transform *t = addke(sa);
    if (ppk_int_due(sa))
        ppk_int_done(sa);
    sa->hs->intermediates++;
    if (!t)
        return;
    LOGF(IKE, 1, "additional key exchange %d with %s done, keys replaced", t->type - TR_ADDKE1 + 1,
         transform_name(*t));
    sa->hs->kex.added++;
}

// --- as initiator ---

static void send_own(struct task *t)
{
    struct step *s = t->data;
    end_own(t->sa, s, false);
    exchange_send_inner(t->sa, EX_INTERMEDIATE, &s->own);
}

static void with_value(struct task *t, struct slice value)
{
    struct step *s = t->data;
    begin_own(t->sa, s, value);
    if (ppk_int_due(t->sa))
        ppk_int_put_request(t, &s->own, send_own);
    else
        send_own(t);
}

static void got_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    if (type == MSG_KE_PUBLIC) {
        with_value(t, m->KE_PUBLIC.value);
        return;
    }
    sa_why(sa, "no key exchange value: %.150s", answer_text(type, m));
    failed(sa);
}

static void start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct step *s = begin(t);
    if (!s) {
        sa_why(sa, "no memory");
        failed(sa);
        return;
    }
    if (addke(sa))
        ike_kex_generate(t, ike_kex_next(&sa->hs->kex), addke(sa)->id, got_public);
    else
        with_value(t, slice_of(NULL, 0));
}

static void got_keys(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    if (!init_take_keys(sa, type, m)) {
        failed(sa);
        return;
    }
    done(sa);
    intermediate_next(sa);
    exchange_done(sa);
}

static bool response(struct task *t, struct inmsg *m)
{
    struct ike_sa *sa = t->sa;
    struct notify n;
    if (notify_first_error(&m->pl, &n)) {
        LOGF(IKE, 1, "received %s notify error", notify_name(n.type));
        sa_why(sa, "received %s notify error", notify_name(n.type));
        counts_notify(sa, n.type);
        failed(sa);
    } else if (!take_ke(sa, m, true) || (ppk_int_due(sa) && !ppk_int_take_answer(sa, &m->pl)) ||
               !ask_update(t, m, got_keys)) {
        failed(sa);
    }
    return false;
}

// --- as responder ---

static void refuse_with(struct ike_sa *sa, uint16_t notify)
{
    LOGF(IKE, 1, "%s, sending %s", sa_reason(sa), notify_name(notify));
    exchange_reply_notify(sa, EX_INTERMEDIATE, notify, slice_of(NULL, 0));
    sa_refused(sa);
}

// The answer still goes out under the keys of the request (RFC 9370 2.2.2).
static void answer_keys(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    struct step *s = t->data;
    struct cr_sk *out = sa->sk_out, *in = sa->sk_in;
    sa->sk_out = sa->sk_in = NULL;
    bool good = init_take_keys(sa, type, m);
    struct cr_sk *new_out = sa->sk_out, *new_in = sa->sk_in;
    sa->sk_out = out;
    sa->sk_in = in;
    if (!good) {
        refuse_with(sa, N_INVALID_SYNTAX);
        return;
    }
    good = exchange_reply(sa, EX_INTERMEDIATE, &s->own); // the task is over
    if (good)
        done(sa);
    cr_sk_free(out);
    cr_sk_free(in);
    sa->sk_out = new_out;
    sa->sk_in = new_in;
    if (!good)
        sa_destroy(sa);
}

static void answer_own(struct task *t)
{
    end_own(t->sa, t->data, true);
    if (!ask_update(t, t->msg, answer_keys))
        refuse_with(t->sa, N_TEMPORARY_FAILURE);
}

static void answer_with(struct task *t, struct slice value)
{
    struct step *s = t->data;
    begin_own(t->sa, s, value);
    if (ppk_int_due(t->sa))
        ppk_int_answer(t, &s->own, answer_own);
    else
        answer_own(t);
}

static void answer_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    if (type == MSG_KE_PUBLIC) {
        answer_with(t, m->KE_PUBLIC.value);
        return;
    }
    sa_why(sa, "%.190s", answer_text(type, m));
    refuse_with(sa, N_INVALID_SYNTAX);
}

static void request(struct task *t)
{
    struct ike_sa *sa = t->sa;
    struct step *s = begin(t);
    if (!s) {
        exchange_drop_request(sa); // the peer asks again
        return;
    }
    if (!take_ke(sa, t->msg, false)) {
        refuse_with(sa, N_INVALID_SYNTAX);
        return;
    }
    if (addke(sa))
        ike_kex_respond(t, ike_kex_next(&sa->hs->kex), addke(sa)->id, answer_public);
    else
        answer_with(t, slice_of(NULL, 0));
}

const struct task_ops task_intermediate = {
    .name = "IKE_INTERMEDIATE", .start = start, .response = response, .restart = init_restart, .undo = undo};
const struct task_ops task_intermediate_respond = {
    .name = "IKE_INTERMEDIATE", .exchange = EX_INTERMEDIATE, .request = request, .undo = undo};
