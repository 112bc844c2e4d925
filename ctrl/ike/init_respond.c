// SPDX-License-Identifier: Apache-2.0
// IKE_SA_INIT as responder (RFC 7296 sections 1.2, 2.7): what it has of its own (first_request.h has the
// rest). Keys are derived when IKE_AUTH comes.
#include "ctrl/ike/init_respond.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/childless.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/exchange_receive.h"
#include "ctrl/ike/first_request.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/intermediate.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/ppk.h"
#include "ctrl/ike/proof.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/redirect.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

// PAIRS_MOST: proposals of a peer's and of ours that are held against each other for whoever asks. That costs
// about as much as the key exchange that each address gets; for more it has to show that it is there (2.6).
enum { RESPONSE_MAX = 2048, PAIRS_MOST = 16384 };

struct init_in { // what a request brought
    struct first_request f;
    struct ke ke;
    struct offers offers;
    struct suite suite;
    const struct offer *chosen;
    const struct proposal *tried; // the last that did not fit
    unsigned tried_count;
    struct conn *conn;
};

// Its lists are filled as far as they count: zeros in all of them would cost more than the answer to a flood.
static void begin(struct init_in *in, const struct net_path *path, const struct ike_header *h, struct slice d)
{
    first_request_begin(&in->f, path, h, d);
    in->ke = (struct ke){0};
    in->offers.count = 0;
    in->suite = (struct suite){0};
    in->chosen = NULL;
    in->tried = NULL;
    in->tried_count = 0;
    in->conn = NULL;
}

static bool read_payloads(struct init_in *in, struct refusal *r)
{
    struct payloads *pl = &in->f.pl;
    if (!first_request_read(&in->f, r))
        return false;
    const struct payload *sa = payload_find(pl, PL_SA), *no = payload_find(pl, PL_NONCE),
                         *ke = payload_find(pl, PL_KE);
    if (!sa || !no || !ke || payload_count(pl, PL_SA) != 1 || payload_count(pl, PL_KE) != 1 ||
        payload_count(pl, PL_NONCE) != 1) {
        refuse(r, N_INVALID_SYNTAX, "IKE_SA_INIT",
               "one SA, KE and nonce payload each are needed (RFC 7296 1.2)");
        return false;
    }
    in->f.nonce = no->body;
    return offers_read(sa->body, &in->offers, r) == 0 && ke_read(ke->body, &in->ke);
}

static bool read_request(struct ike *ike, struct init_in *in)
{
    struct refusal r = {0};
    char list[600];
    if (read_payloads(in, &r)) {
        LOGF(ENC, 1, "parsed IKE_SA_INIT request 0 %s", payloads_print(&in->f.pl, list, sizeof(list)));
        return true;
    }
    first_request_refuse(ike, &in->f, &r);
    return false;
}

static bool fits(void *ctx, const struct proposal *p, unsigned count)
{
    struct init_in *in = ctx;
    in->tried = p;
    in->tried_count = count;
    return offers_choose(&in->offers, p, count, true, &in->suite, &in->chosen);
}

// The first connection for these addresses that has a proposal in common.
static bool choose(struct ike *ike, struct init_in *in)
{
    char why[OFFERS_TEXT], a[64], b[64];
    in->conn = conn_for_offers(ike, in->f.path, fits, in);
    if (!in->conn) {
        if (in->tried)
            LOGF(CFG, 1, "%s", offers_print(&in->offers, in->tried, in->tried_count, why, sizeof(why)));
        LOGF(IKE, 1, "%s for %s...%s, sending NO_PROPOSAL_CHOSEN (RFC 7296 2.7)",
             in->tried ? "no acceptable proposal" : "no IKE config found",
             addr_print(&in->f.path->local, a, sizeof(a)), addr_print(&in->f.path->remote, b, sizeof(b)));
        if (in->tried)
            ike->events->alert(ike, NULL, ALERT_IKE_PROPOSAL);
        first_request_answer(ike, in->f.path, in->f.h, N_NO_PROPOSAL_CHOSEN, slice_of(NULL, 0));
        return false;
    }
    if (intermediate_lacks(&in->suite, &in->f.pl)) {
        LOGF(IKE, 1,
             "the peer proposes additional key exchanges without IKE_INTERMEDIATE, sending "
             "NO_PROPOSAL_CHOSEN (RFC "
             "9370 2.2.1)");
        first_request_answer(ike, in->f.path, in->f.h, N_NO_PROPOSAL_CHOSEN, slice_of(NULL, 0));
        return false;
    }
    uint16_t group = in->suite.ke.id;
    if (in->ke.group != group) {
        uint8_t want[2] = {(uint8_t)(group >> 8), (uint8_t)group};
        struct transform got = {TR_KE, in->ke.group, 0};
        LOGF(IKE, 1, "key exchange method %s (%u) unacceptable, requesting %s", transform_name(got),
             in->ke.group, transform_name(in->suite.ke));
        first_request_answer(ike, in->f.path, in->f.h, N_INVALID_KE_PAYLOAD, slice_of(want, 2));
        return false;
    }
    if (in->ke.value.len != cr_dh_public_len(group)) {
        LOGF(ENC, 1,
             "IKE_SA_INIT request refused: a KE payload of %zu octets for %s, expected %zu (RFC 7296 3.4)",
             in->ke.value.len, transform_name(in->suite.ke), cr_dh_public_len(group));
        first_request_answer(ike, in->f.path, in->f.h, N_INVALID_SYNTAX, slice_of(NULL, 0));
        return false;
    }
    return true;
}

static void respond(struct ike_sa *sa, struct slice public_value)
{
    uint8_t buf[RESPONSE_MAX];
    struct handshake *hs = sa->hs;
    struct pb b = pb_of(buf, sizeof(buf));
    struct ike_header h = {sa->spi_i, sa->spi_r, PL_SA, IKE_VERSION, EX_SA_INIT, FLAG_RESPONSE, 0, 0};
    header_write(&b.w, &h);
    pb_chosen(&b, sa->suite, hs->number, PROTO_IKE, 0, 0);
    pb_ke(&b, hs->kex.first.group, public_value);
    pb_payload(&b, PL_NONCE, slice_of(hs->kex.nonce, NONCE_LEN));
    init_put_nat(&b, sa, &sa->path);
    init_put_fragmentation(&b, sa);
    intermediate_put(&b, sa);
    bool asks = pb_ask_certs(&b, sa);
    if (hs->peer_signs)
        pb_signature_hashes(&b);
    ppk_put_use(&b, sa);
    childless_put(&b, sa);
    rounds_put_supported(&b, sa);
    LOGF(ENC, 1, "generating IKE_SA_INIT response 0 [ SA KE No N(NATD_S_IP) N(NATD_D_IP) %s%s%s]",
         asks ? "CERTREQ " : "", hs->peer_signs ? "N(HASH_ALG) " : "", hs->use_ppk ? "N(USE_PPK) " : "");
    first_request_respond(sa, &b, &h);
}

static void got_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    sa->passive = NULL;
    task_free(t);
    if (type == MSG_KE_PUBLIC) {
        respond(sa, m->KE_PUBLIC.value);
        return;
    }
    sa_why(sa, "no key exchange value: %.150s", answer_text(type, m));
    LOGF(IKE, 1, "%s", sa_reason(sa));
    sa_destroy(sa);
}

static bool remember(struct ike_sa *sa, const struct init_in *in)
{
    struct handshake *hs = sa->hs;
    if (!first_request_keep(sa, &in->f))
        return false;
    hs->kex.first.peer = slice_of(hs->peer_init + (in->ke.value.p - in->f.datagram.p), in->ke.value.len);
    hs->number = in->chosen->number;
    return true;
}

static void accept_request(struct ike *ike, const struct init_in *in)
{
    char text[300], a[64];
    struct ike_sa *sa = sa_new(ike, in->conn, false, in->f.path);
    if (!sa)
        return;
    sa->spi_i = in->f.h->spi_i;
    log_set_context(sa->conn->cfg.name, sa->id);
    LOGF(IKE, 0, "%s is initiating an IKE_SA", addr_print(&in->f.path->remote, a, sizeof(a)));
    suite_print(&in->suite, PROTO_IKE, text, sizeof(text));
    LOGF(CFG, 1, "selected proposal: %s", text);
    sa->passive = task_new(sa, TASK_INIT, 0);
    if (!sa->passive || !suite_keep(&ike->shared, &sa->suite, &in->suite) || !remember(sa, in)) {
        sa_destroy(sa);
        return;
    }
    first_request_half_open(sa);
    init_read_nat(sa, &in->f.pl, 0);
    init_read_fragmentation(sa, &in->f.pl);
    init_read_auth(sa, &in->f.pl);
    redirect_read(sa, &in->f.pl);
    ike_kex_generate(sa->passive, &sa->hs->kex.first, in->ke.group, got_public);
    log_set_context("", 0);
}

static bool choice_costs(const struct ike *ike, const struct init_in *in)
{
    return in->offers.count > PAIRS_MOST / (ike->class_proposals + 1);
}

// A cookie may come again and again, and what is refused leaves no half-open IKE SA that would count.
static bool may_cost(struct ike *ike, const struct init_in *in)
{
    bool costs = choice_costs(ike, in);
    if (!first_request_cookie(ike, &in->f, costs))
        return false;
    if (!costs || may_choose(ike, &in->f.path->remote))
        return true;
    COUNT(ike, dropped_limit);
    return false;
}

void init_request(struct ike *ike, const struct net_path *path, const struct ike_header *h, struct slice d)
{
    struct init_in in;
    begin(&in, path, h, d);
    if (first_request_is_new(ike, &in.f) && read_request(ike, &in) && may_cost(ike, &in) && choose(ike, &in))
        accept_request(ike, &in);
}

// --- IKE_AUTH came, and its keys are not there yet ---

static void got_keys(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    struct handshake *hs = sa->hs;
    struct ike_header h;
    sa->passive = NULL;
    task_free(t);
    if (!init_take_keys(sa, type, m)) {
        sa_destroy(sa);
        return;
    }
    struct early *early = hs->early; // the handler may end the handshake, or the SA
    hs->early = NULL;
    for (const struct early *e = early; e && sa->sk_in; e = e->next)
        if (header_read(slice_of(e->data, e->len), &h))
            exchange_protected(sa, &h, &e->path, slice_of(e->data, e->len));
    early_free(early);
}

// Anyone may have sent it. What is kept of one IKE_SA_INIT is no more than a message may have.
static bool keep_early(struct handshake *hs, const struct net_path *path, struct slice d)
{
    struct early **end = &hs->early, *e;
    if (hs->early_len + d.len > MAX_MESSAGE || !(e = malloc(sizeof(*e) + d.len)))
        return false;
    while (*end)
        end = &(*end)->next;
    *end = e;
    e->next = NULL;
    e->path = *path;
    e->len = d.len;
    memcpy(e->data, d.p, d.len);
    hs->early_len += (uint32_t)d.len;
    return true;
}

void init_early(struct ike_sa *sa, const struct net_path *path, struct slice d)
{
    struct handshake *hs = sa->hs;
    if (d.len < IKE_HEADER_LEN + PAYLOAD_HEADER_LEN)
        return;
    if (hs->early && sa->passive) // the keys are on their way: another fragment of it
        keep_early(hs, path, d);
    if (sa->passive || !hs->kex.first.ke_id || !hs->own_init || !sa_room(sa) || !keep_early(hs, path, d))
        return;
    sa->passive = task_new(sa, TASK_AUTH_RESPOND, 0);
    if (sa->passive)
        init_ask_keys(sa->passive, got_keys);
}
