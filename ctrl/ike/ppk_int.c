// SPDX-License-Identifier: Apache-2.0
// RFC 9867 section 3: the initiator names its PPK and shows that it has it; the responder names it too where
// it has the same, and then both mix it in. Where it does not, the exchange changes no key, and whether that
// will do is for the connection to say when IKE_AUTH comes.
#include "ctrl/ike/ppk_int.h"

#include <stdlib.h>

#include "ctrl/ike/conns.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/kex.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"

enum { PPK_ID_FIXED = 2, CONFIRMATION = 8, CANDIDATES_MAX = 4 };

struct ppk_int { // of the one exchange
    struct identity id;
    bool used;     // it goes in
    unsigned next; // as responder: of the peer's candidates
    struct pb *b;
    ppk_int_fn fn;
};

bool ppk_int_offers(const struct ike_sa *sa)
{
    struct identity id;
    return sa->ike->set.ppk_intermediate && sa->conn->cfg.ppk_id[0] &&
           identity_parse(sa->conn->cfg.ppk_id, &id) && !identity_is_pattern(&id) && id.type != ID_ANY;
}

bool ppk_int_due(const struct ike_sa *sa)
{
    unsigned n = suite_addkes(sa->suite);
    return sa->hs && sa->hs->use_ppk_int && sa->hs->intermediates == (n ? n - 1 : 0);
}

static void ask_confirmation(struct task *t, reply_fn fn)
{
    const struct ike_sa *sa = t->sa;
    const struct identity *id = &sa->hs->later->ppk_int->id;
    struct msg_PPK_CONFIRM q = {.req = ask_new(t, fn),
                                .ike_id = sa->id,
                                .ppk_id = slice_of(id->data, id->len),
                                .ni = ike_kex_ni(&sa->hs->kex, sa->initiator),
                                .nr = ike_kex_nr(&sa->hs->kex, sa->initiator),
                                .spi_i = sa->spi_i,
                                .spi_r = sa->spi_r};
    ask(sa->ike, ROOM_KEYS, q.req, MSG_PPK_CONFIRM, &q);
}

static struct ppk_int *begin(struct task *t, struct pb *b, ppk_int_fn fn)
{
    struct ppk_int *x = calloc(1, sizeof(*x));
    free(t->sa->hs->later->ppk_int);
    t->sa->hs->later->ppk_int = x;
    if (x) {
        x->b = b;
        x->fn = fn;
    } else {
        fn(t); // without one: whether that will do is seen in IKE_AUTH
    }
    return x;
}

// --- the initiator ---

static void put_named(struct pb *b, uint16_t type, const struct identity *id, struct slice behind)
{
    uint8_t buf[PPK_INT_ROOM];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_u8(&w, PPK_ID_FIXED);
    wr_bytes(&w, id->data, id->len);
    wr_slice(&w, behind);
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), type, wr_written(&w));
}

static void own_confirmed(struct task *t, enum msg_type type, const union msg *m)
{
    struct ppk_int *x = t->sa->hs->later->ppk_int;
    if (type == MSG_PPK_CONFIRM_IS && m->PPK_CONFIRM_IS.confirmation.len == CONFIRMATION)
        put_named(x->b, N_PPK_IDENTITY_KEY, &x->id, m->PPK_CONFIRM_IS.confirmation);
    else
        LOGF(CFG, 1, "PPK '%s': %.100s", t->sa->conn->cfg.ppk_id, answer_text(type, m));
    x->fn(t);
}

void ppk_int_put_request(struct task *t, struct pb *b, ppk_int_fn fn)
{
    struct ppk_int *x = begin(t, b, fn);
    if (!x)
        return;
    identity_parse(t->sa->conn->cfg.ppk_id, &x->id); // it could be when it was offered
    ask_confirmation(t, own_confirmed);
}

bool ppk_int_take_answer(struct ike_sa *sa, const struct payloads *pl)
{
    struct ppk_int *x = sa->hs->later->ppk_int;
    struct notify n;
    if (!notify_find(pl, N_PPK_IDENTITY, &n)) {
        LOGF(CFG, 1, "the peer does not have the PPK '%s'", sa->conn->cfg.ppk_id);
        return true;
    }
    struct reader r = reader_of(n.data);
    bool fixed = rd_u8(&r) == PPK_ID_FIXED;
    struct slice id = rd_bytes(&r, r.left);
    if (!x || !fixed || !slice_eq(id, slice_of(x->id.data, x->id.len)))
        return sa_why(sa, "the peer uses another PPK than was offered (RFC 9867 3.2)") == 0;
    x->used = true;
    return true;
}

// --- the responder ---

// The n-th that the peer has; false: there are no more.
static bool candidate(const struct payloads *pl, unsigned n, struct identity *id, struct slice *confirmation)
{
    struct notify k;
    for (unsigned i = 0; i < pl->count; i++) {
        if (pl->p[i].type != PL_NOTIFY || !notify_read(pl->p[i].body, &k) || k.type != N_PPK_IDENTITY_KEY ||
            n--)
            continue;
        struct reader r = reader_of(k.data);
        bool fixed = rd_u8(&r) == PPK_ID_FIXED;
        struct slice name = rd_bytes(&r, r.left > CONFIRMATION ? r.left - CONFIRMATION : r.left + 1);
        *confirmation = rd_bytes(&r, CONFIRMATION);
        *id = (struct identity){.type = ID_KEY};
        if (r.bad || !fixed || name.len > ID_DATA_MAX)
            return true; // id->len 0: not this one
        id->len = (uint16_t)name.len;
        memcpy(id->data, name.p, name.len);
        return true;
    }
    return false;
}

static void try_next(struct task *t);

static void theirs_confirmed(struct task *t, enum msg_type type, const union msg *m)
{
    struct ppk_int *x = t->sa->hs->later->ppk_int;
    struct identity id;
    struct slice confirmation;
    char text[ID_TEXT_MAX];
    bool same = candidate(&t->msg->pl, x->next++, &id, &confirmation) && type == MSG_PPK_CONFIRM_IS &&
                slice_eq(m->PPK_CONFIRM_IS.confirmation, confirmation);
    if (!same) {
        LOGF(CFG, 1, "PPK '%s' of the peer: %.100s", identity_print(&x->id, text, sizeof(text)),
             type == MSG_PPK_CONFIRM_IS ? "ours of that identity is another one" : answer_text(type, m));
        try_next(t);
        return;
    }
    x->used = true;
    put_named(x->b, N_PPK_IDENTITY, &x->id, slice_of(NULL, 0));
    x->fn(t);
}

static void try_next(struct task *t)
{
    struct ppk_int *x = t->sa->hs->later->ppk_int;
    struct slice confirmation;
    while (x->next < CANDIDATES_MAX && candidate(&t->msg->pl, x->next, &x->id, &confirmation)) {
        if (x->id.len) {
            ask_confirmation(t, theirs_confirmed);
            return;
        }
        x->next++;
    }
    x->fn(t); // without one
}

void ppk_int_answer(struct task *t, struct pb *b, ppk_int_fn fn)
{
    if (begin(t, b, fn))
        try_next(t);
}

// --- both ---

bool ppk_int_used(const struct ike_sa *sa, struct identity *id)
{
    const struct ppk_int *x = sa->hs->later->ppk_int;
    if (!x || !x->used)
        return false;
    *id = x->id;
    return true;
}

struct slice ppk_int_id(const struct ike_sa *sa)
{
    const struct ppk_int *x = sa->hs->later->ppk_int;
    return x && x->used ? slice_of(x->id.data, x->id.len) : slice_of(NULL, 0);
}

void ppk_int_done(struct ike_sa *sa)
{
    struct ppk_int *x = sa->hs->later->ppk_int;
    char text[ID_TEXT_MAX];
    if (!x || !x->used || sa->ppk)
        return;
    sa->ppk = true;
    LOGF(CFG, 1, "using PPK for PPK_ID '%s' from IKE_AUTH on", identity_print(&x->id, text, sizeof(text)));
}

void ppk_int_free(struct ppk_int *x)
{
    free(x);
}
