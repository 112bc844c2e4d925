// SPDX-License-Identifier: Apache-2.0
// IKE_SA_INIT as initiator (RFC 7296 sections 1.2, 2.6, 2.7, 2.23), with COOKIE and INVALID_KE_PAYLOAD
// answered by another request, at most MAX_RESTARTS times; and what both roles share: NAT detection and the
// keys.
#include "ctrl/ike/init.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childless.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/counts.h"
#include "ctrl/ike/debugkeys.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/fragments.h"
#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/intermediate.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/pending.h"
#include "ctrl/ike/ppk.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/redirect.h"
#include "ctrl/ike/resume.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/rounds.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/ike/ways.h"
#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"

enum { INIT_MAX = 16384 };
_Static_assert((int)INIT_MAX <= (int)BUILT_MESSAGE_MAX, "it is built there");

void init_nat_hash(struct ike *ike, uint64_t spi_i, uint64_t spi_r, const struct addr *a, uint16_t port,
                   uint8_t out[20])
{
    uint8_t buf[34];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_u64(&w, spi_i);
    wr_u64(&w, spi_r);
    wr_bytes(&w, a->a, a->family == 4 ? 4 : 16);
    wr_u16(&w, port);
    struct cr_slice part = {buf, w.len};
    if (cr_sha1(ike->algs, &part, 1, out) != 0)
        memset(out, 0, 20);
}

void init_put_nat(struct pb *b, const struct ike_sa *sa, const struct net_path *p)
{
    uint8_t hash[20];
    init_nat_hash(sa->ike, sa->spi_i, sa->spi_r, &p->local, p->local_port, hash);
    if (sa->nat.pretends) // nobody's address: the peer sees a NAT, and ESP goes in UDP
        cr_random(hash, sizeof(hash));
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_NAT_DETECTION_SOURCE_IP, slice_of(hash, 20));
    init_nat_hash(sa->ike, sa->spi_i, sa->spi_r, &p->remote, p->remote_port, hash);
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_NAT_DETECTION_DESTINATION_IP, slice_of(hash, 20));
}

bool init_nat_seen(const struct ike_sa *sa, const struct payloads *pl, uint64_t spi_r,
                   const struct net_path *p, struct nats *n)
{
    uint8_t here[20], there[20];
    bool source = false, destination = false, same_source = false, same_destination = false;
    init_nat_hash(sa->ike, sa->spi_i, spi_r, &p->remote, p->remote_port, there);
    init_nat_hash(sa->ike, sa->spi_i, spi_r, &p->local, p->local_port, here);
    for (unsigned i = 0; i < pl->count; i++) {
        struct notify said;
        if (pl->p[i].type != PL_NOTIFY || !notify_read(pl->p[i].body, &said))
            continue;
        if (said.type == N_NAT_DETECTION_SOURCE_IP) {
            source = true;
            same_source = same_source || slice_eq(said.data, slice_of(there, 20));
        } else if (said.type == N_NAT_DETECTION_DESTINATION_IP) {
            destination = true;
            same_destination = same_destination || slice_eq(said.data, slice_of(here, 20));
        }
    }
    if (!source || !destination)
        return false;
    n->remote = !same_source;
    n->pretends = sa->nat.pretends;
    n->behind = !same_destination;
    n->local = n->behind || n->pretends;
    return true;
}

// spi_r: 0 in the request.
void init_read_nat(struct ike_sa *sa, const struct payloads *pl, uint64_t spi_r)
{
    sa->hs->peer_natd = init_nat_seen(sa, pl, spi_r, &sa->path, &sa->nat);
    if (!sa->hs->peer_natd)
        return;
    if (sa->nat.behind)
        LOGF(IKE, 1, "local host is behind NAT, sending keep alives");
    else if (sa->nat.local)
        LOGF(IKE, 1, "faking NAT situation to enforce UDP encapsulation");
    if (sa->nat.remote)
        LOGF(IKE, 1, "remote host is behind NAT");
}

// RFC 7383 2.3: the responder says it where the initiator has.
void init_put_fragmentation(struct pb *b, const struct ike_sa *sa)
{
    if (sa->initiator ? sa->conn->cfg.fragmentation != FRAGMENTATION_NO : sa->fragmentation)
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_IKEV2_FRAGMENTATION_SUPPORTED, slice_of(NULL, 0));
}

void init_read_fragmentation(struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    sa->fragmentation = sa->conn->cfg.fragmentation != FRAGMENTATION_NO &&
                        notify_find(pl, N_IKEV2_FRAGMENTATION_SUPPORTED, &n);
}

void init_read_auth(struct ike_sa *sa, const struct payloads *pl)
{
    sa->hs->peer_signs = signature_hashes_read(pl, &sa->hs->peer_schemes);
    sa->hs->peer_asks_cert = certreq_keep(pl, &sa->hs->peer_cas);
    ppk_read_use(sa, pl);
    if (sa->initiator)
        rounds_read_supported(sa, pl);
}

void init_ask_keys(struct task *t, reply_fn fn)
{
    struct ike_sa *sa = t->sa;
    struct handshake *hs = sa->hs;
    const struct suite *s = sa->suite;
    struct msg_IKE_DERIVE q = {.req = ask_new(t, fn),
                               .ike_id = sa->id,
                               .ke_id = hs->kex.first.ke_id,
                               .peer_public = hs->kex.first.peer,
                               .encr = s->encr.id,
                               .encr_bits = s->encr.key_bits,
                               .integ = s->integ.id,
                               .prf = s->prf.id,
                               .ni = ike_kex_ni(&hs->kex, sa->initiator),
                               .nr = ike_kex_nr(&hs->kex, sa->initiator),
                               .spi_i = sa->spi_i,
                               .spi_r = sa->spi_r,
                               .initiator = sa->initiator};
    ike_kex_used(&hs->kex);
    ask(sa->ike, ROOM_KEYS, q.req, MSG_IKE_DERIVE, &q);
}

bool init_take_keys(struct ike_sa *sa, enum msg_type t, const union msg *m)
{
    const struct suite *s = sa->suite;
    struct cr_sk_alg alg = {s->encr.id, s->encr.key_bits, s->integ.id};
    struct cr_sk *out = NULL, *in = NULL;
    const struct msg_IKE_KEYS *k = &m->IKE_KEYS;
    if (t != MSG_IKE_KEYS) {
        sa_why(sa, "deriving keys failed: %.150s", answer_text(t, m));
        LOGF(IKE, 1, "%s", sa_reason(sa));
        return false;
    }
    struct slice own_e = sa->initiator ? k->sk_ei : k->sk_er, own_a = sa->initiator ? k->sk_ai : k->sk_ar;
    struct slice peer_e = sa->initiator ? k->sk_er : k->sk_ei, peer_a = sa->initiator ? k->sk_ar : k->sk_ai;
    if (cr_sk_new(sa->ike->algs, &alg, own_e.p, own_e.len, own_a.p, own_a.len, &out) != 0 ||
        cr_sk_new(sa->ike->algs, &alg, peer_e.p, peer_e.len, peer_a.p, peer_a.len, &in) != 0) {
        cr_sk_free(out);
        sa_why(sa, "the keys do not fit the chosen algorithms");
        return false;
    }
    cr_sk_free(sa->sk_out); // of before an IKE_INTERMEDIATE
    cr_sk_free(sa->sk_in);
    sa->sk_out = out;
    sa->sk_in = in;
    debug_keys_ike(sa, k);
    return true;
}

// --- the initiator's task ---

bool init_finish(struct ike_sa *sa, struct pb *b, struct ike_header *h)
{
    uint8_t *keep = b->w.bad ? NULL : malloc(b->w.len);
    if (!keep)
        return false;
    struct writer head = writer_of(b->w.p, IKE_HEADER_LEN);
    h->next = b->first;
    h->length = (uint32_t)b->w.len;
    header_write(&head, h);
    memcpy(keep, b->w.p, b->w.len);
    free(sa->hs->own_init);
    sa->hs->own_init = keep;
    sa->hs->own_init_len = (uint32_t)b->w.len;
    return true;
}

bool init_send(struct ike_sa *sa, struct pb *b, struct ike_header *h)
{
    uint8_t *msg = b->w.bad ? NULL : malloc(b->w.len);
    if (!msg || !init_finish(sa, b, h)) {
        free(msg);
        return false;
    }
    memcpy(msg, sa->hs->own_init, b->w.len);
    exchange_send(sa, msg, b->w.len);
    return true;
}

static void failed(struct ike_sa *sa)
{
    LOGF(IKE, 1, "establishing IKE_SA failed: %s", sa_reason(sa));
    sa_destroy(sa);
}

static void build(struct ike_sa *sa, struct slice public_value)
{
    struct handshake *hs = sa->hs;
    const struct conn_config *cfg = &sa->conn->cfg;
    struct pb b = pb_of(sa->ike->scratch.message, INIT_MAX);
    struct ike_header h = {
        .spi_i = sa->spi_i, .version = IKE_VERSION, .exchange = EX_SA_INIT, .flags = FLAG_INITIATOR};
    header_write(&b.w, &h);
    if (hs->later->cookie_len)
        pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_COOKIE,
                  slice_of(hs->later->cookie, hs->later->cookie_len));
    pb_offer(&b, cfg->proposals, cfg->proposal_count, true, 0, 0);
    pb_ke(&b, hs->kex.first.group, public_value);
    pb_payload(&b, PL_NONCE, slice_of(hs->kex.nonce, NONCE_LEN));
    init_put_nat(&b, sa, &sa->path);
    init_put_fragmentation(&b, sa);
    intermediate_put(&b, sa);
    pb_signature_hashes(&b);
    ppk_put_use(&b, sa);
    redirect_put(&b, sa);
    LOGF(ENC, 1, "generating IKE_SA_INIT request 0 [ %sSA KE No N(NATD_S_IP) N(NATD_D_IP) %sN(HASH_ALG) %s]",
         hs->later->cookie_len ? "N(COOKIE) " : "",
         cfg->fragmentation == FRAGMENTATION_NO ? "" : "N(FRAG_SUP) ", cfg->ppk_id[0] ? "N(USE_PPK) " : "");
    if (init_send(sa, &b, &h)) {
        COUNT(sa->ike, ike_init_out_req);
    } else {
        sa_why(sa, "building the IKE_SA_INIT request failed");
        failed(sa);
    }
}

static void got_public(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    if (type == MSG_KE_PUBLIC) {
        build(sa, m->KE_PUBLIC.value);
        return;
    }
    sa_why(sa, "no key exchange value: %.150s", answer_text(type, m));
    failed(sa);
}

static void generate(struct ike_sa *sa, uint16_t group)
{
    timer_stop(sa->ike->loop, &sa->later->retransmit);
    free(sa->request); // no answer to the last one counts any more
    sa->request = NULL;
    ike_kex_generate(sa->active, &sa->hs->kex.first, group, got_public);
}

static uint16_t first_group(const struct conn_config *cfg)
{
    for (unsigned i = 0; i < cfg->proposal_count; i++)
        for (unsigned k = 0; k < cfg->proposals[i].count; k++)
            if (cfg->proposals[i].t[k].type == TR_KE)
                return cfg->proposals[i].t[k].id;
    return 0;
}

static void start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    char a[64];
    LOGF(IKE, 0, "initiating IKE_SA %s to %s", sa_label(sa), addr_print(&sa->path.remote, a, sizeof(a)));
    if (cr_random(sa->hs->kex.nonce, NONCE_LEN) != 0) {
        sa_why(sa, "no random octets");
        failed(sa);
        return;
    }
    generate(sa, first_group(&sa->conn->cfg));
}

// Back to before the first message: keys, the peer's answers, the CHILD SA and its numbers.
static bool forget_attempt(struct ike_sa *sa)
{
    while (sa->children)
        child_destroy(sa->children);
    if (!handshake_anew(sa))
        return false;
    ipc_send(sa->ike->chan[ROOM_KEYS], MSG_IKE_FORGET, &(struct msg_IKE_FORGET){.ike_id = sa->id});
    cr_sk_free(sa->sk_in);
    cr_sk_free(sa->sk_out);
    sa->sk_in = sa->sk_out = NULL;
    sa->spi_r = 0;
    sa->out_mid = 0;
    sa->nat = (struct nats){.pretends = sa->conn->cfg.encap};
    sa->fragmentation = sa->ppk = false;
    fragments_forget(sa, true);
    free(sa->request);
    sa->request = NULL;
    return true;
}

void init_restart(struct ike_sa *sa)
{
    struct ike *ike = sa->ike;
    struct net_path path;
    bool way = way_again(sa, &path),
         again = sa->active->kind == TASK_INIT || (sa->active->ops->tries && !exchange_tried_enough(sa));
    if (sa->active->kind != TASK_INIT && sa->active->ops->undo)
        sa->active->ops->undo(sa->active);
    if (sa->active->kind != TASK_INIT && (!forget_attempt(sa) || !way)) {
        sa_destroy(sa);
        return;
    }
    if (way)
        sa->path = path;
    if (sa->active->kind != TASK_INIT) // lost in IKE_AUTH: the responder's half-open state is gone by now
        task_become(sa->active, TASK_INIT);
    table_take(&ike->by_spi, &sa->by_spi); // an attempt of its own: the peer may remember the one before
    do {
        if (cr_random(&sa->spi_i, sizeof(sa->spi_i)) != 0)
            break;
    } while (sa->spi_i == 0 || sa_by_spi(ike, sa->spi_i));
    if (!table_put(&ike->by_spi, &sa->by_spi, sa->spi_i) || cr_random(sa->hs->kex.nonce, NONCE_LEN) != 0) {
        sa_destroy(sa);
        return;
    }
    sa->hs->later->cookie_len = 0;
    sa->hs->later->restarts = 0;
    if (again && resume_begin(sa)) { // there may be a way again, and the ticket is still good
        task_become(sa->active, TASK_RESUME);
        sa->active->ops->start(sa->active);
        return;
    }
    generate(sa, first_group(&sa->conn->cfg));
}

static bool may_restart(struct ike_sa *sa, const char *what)
{
    if (++sa->hs->later->restarts <= MAX_RESTARTS)
        return true;
    sa_why(sa, "the peer asked %d times for another IKE_SA_INIT, last by %s", MAX_RESTARTS, what);
    failed(sa);
    return false;
}

bool init_keep_cookie(struct ike_sa *sa, struct slice cookie)
{
    struct handshake *hs = sa->hs;
    uint8_t *copy = malloc(cookie.len);
    if (!copy)
        return false;
    memcpy(copy, cookie.p, cookie.len);
    free(hs->later->cookie);
    hs->later->cookie = copy;
    hs->later->cookie_len = (uint8_t)cookie.len;
    return true;
}

static void on_cookie(struct ike_sa *sa, struct slice cookie)
{
    struct handshake *hs = sa->hs;
    if (cookie.len == 0 || cookie.len > COOKIE_MAX) {
        LOGF(IKE, 1, "COOKIE of %zu octets ignored, expected 1 to %d (RFC 7296 2.6)", cookie.len, COOKIE_MAX);
        return;
    }
    if (!may_restart(sa, "COOKIE"))
        return;
    if (!init_keep_cookie(sa, cookie)) // the request goes out again, and the answer comes again
        return;
    // The same request with the cookie in front (2.6): same SPI, nonce and key exchange value.
    struct payloads pl;
    struct refusal r = {0};
    struct slice body = slice_of(hs->own_init + IKE_HEADER_LEN, hs->own_init_len - IKE_HEADER_LEN);
    struct ke ke;
    const struct payload *p =
        payloads_read(hs->own_init[16], body, &pl, &r) ? NULL : payload_find(&pl, PL_KE);
    uint8_t value[CR_DH_MAX];
    if (!p || !ke_read(p->body, &ke) || ke.value.len > sizeof(value))
        return;
    memcpy(value, ke.value.p, ke.value.len);
    build(sa, slice_of(value, ke.value.len));
}

static void on_invalid_ke(struct ike_sa *sa, struct slice data)
{
    struct reader r = reader_of(data);
    uint16_t group = rd_u16(&r);
    const struct conn_config *cfg = &sa->conn->cfg;
    bool ours = false;
    for (unsigned i = 0; i < cfg->proposal_count; i++)
        ours = ours || proposal_has(&cfg->proposals[i], TR_KE, group);
    if (!rd_done(&r) || !ours || group == sa->hs->kex.first.group) {
        sa_why(sa, "the peer asked for key exchange group %u, which was %s (RFC 7296 1.3)", group,
               group == sa->hs->kex.first.group ? "sent" : "not offered");
        failed(sa);
        return;
    }
    struct transform was = {TR_KE, sa->hs->kex.first.group, 0}, now = {TR_KE, group, 0};
    LOGF(IKE, 1, "peer didn't accept key exchange method %s, it requested %s", transform_name(was),
         transform_name(now));
    if (!may_restart(sa, "INVALID_KE_PAYLOAD"))
        return;
    generate(sa, group);
}

static void got_keys(struct task *t, enum msg_type type, const union msg *m)
{
    struct ike_sa *sa = t->sa;
    if (!init_take_keys(sa, type, m)) {
        failed(sa);
        return;
    }
    sa->out_mid = 1;
    intermediate_next(sa);
    exchange_done(sa); // and on to IKE_INTERMEDIATE or IKE_AUTH
}

// Port 4500 from here on where both ends speak it (2.23), unless a port of its own was configured.
void init_float_ports(struct ike_sa *sa)
{
    if (!sa->hs->peer_natd || sa->path.nat_t)
        return;
    if (sa->path.remote_port != IKE_PORT && !(sa->nat.local || sa->nat.remote))
        return;
    sa->path.nat_t = true;
    sa->path.local_port = sa->ike->set.port_nat_t;
    if (sa->path.remote_port == IKE_PORT)
        sa->path.remote_port = NAT_T_PORT;
}

static bool take_answer(struct ike_sa *sa, struct inmsg *m)
{
    struct handshake *hs = sa->hs;
    const struct conn_config *cfg = &sa->conn->cfg;
    const struct payload *p = payload_find(&m->pl, PL_SA), *no = payload_find(&m->pl, PL_NONCE),
                         *k = payload_find(&m->pl, PL_KE);
    struct refusal r = {0};
    uint16_t group = hs->kex.first.group;
    struct suite suite;
    struct ke ke;
    uint64_t spi;
    char text[200];
    if (!p || !no || !k || m->h.spi_r == 0 || payload_count(&m->pl, PL_SA) > 1)
        return sa_why(sa, "the IKE_SA_INIT response lacks SA, KE, nonce or SPI (RFC 7296 1.2)") == 0;
    if (answer_read(p->body, cfg->proposals, cfg->proposal_count, true, PROTO_IKE, 0, &suite, &spi, &r) != 0)
        return sa_why(sa, "%.190s", r.why.text) == 0;
    if (!suite_keep(&sa->ike->shared, &sa->suite, &suite))
        return sa_why(sa, "no memory") == 0;
    if (!ke_read(k->body, &ke) || ke.group != group || sa->suite->ke.id != group ||
        ke.value.len != cr_dh_public_len(ke.group))
        return sa_why(sa, "the response's KE payload is not of group %u, or not of its length (RFC 7296 3.4)",
                      group) == 0;
    suite_print(sa->suite, PROTO_IKE, text, sizeof(text));
    LOGF(CFG, 1, "selected proposal: %s", text);
    hs->peer_init = malloc(m->len);
    if (!hs->peer_init)
        return sa_why(sa, "no memory") == 0;
    memcpy(hs->peer_init, m->data, m->len);
    hs->peer_init_len = (uint32_t)m->len;
    hs->kex.peer_nonce = slice_of(hs->peer_init + (no->body.p - m->data), no->body.len);
    hs->kex.first.peer = slice_of(hs->peer_init + (ke.value.p - m->data), ke.value.len);
    sa->spi_r = m->h.spi_r;
    if (intermediate_lacks(sa->suite, &m->pl))
        return sa_why(sa, "the peer chose additional key exchanges and says nothing of IKE_INTERMEDIATE (RFC "
                          "9370 2.2.1)") == 0;
    init_read_auth(sa, &m->pl);
    childless_read(sa, &m->pl);
    if (childless_fault(sa))
        return sa_why(sa, "%s", childless_fault(sa)) == 0;
    return true;
}

static void on_redirect(struct ike_sa *sa, const struct payloads *pl)
{
    enum redirect_answer what = redirect_init(sa, pl);
    if (what == REDIRECT_FOLLOWED)
        init_restart(sa);
    else if (what == REDIRECT_REFUSED)
        failed(sa);
}

static bool response(struct task *t, struct inmsg *m)
{
    struct ike_sa *sa = t->sa;
    struct notify n;
    // Without SA payload this is no acceptance, whatever responder SPI stands above it: some give theirs away
    // already.
    bool again = !payload_find(&m->pl, PL_SA);
    if (again && notify_find(&m->pl, N_COOKIE, &n)) {
        on_cookie(sa, n.data);
        return false;
    }
    if (again && notify_find(&m->pl, N_INVALID_KE_PAYLOAD, &n)) {
        on_invalid_ke(sa, n.data);
        return false;
    }
    if (again && sa->redirects && notify_find(&m->pl, N_REDIRECT, &n)) {
        on_redirect(sa, &m->pl);
        return false;
    }
    if (notify_first_error(&m->pl, &n)) {
        LOGF(IKE, 1, "received %s notify error", notify_name(n.type));
        sa_why(sa, "received %s notify error", notify_name(n.type));
        counts_notify(sa, n.type);
        if (n.type == N_NO_PROPOSAL_CHOSEN)
            sa_alert(sa, ALERT_IKE_PROPOSAL);
        failed(sa);
        return false;
    }
    if (sa->later->tries)
        sa_alert(sa, ALERT_CLEARED);
    timer_stop(sa->ike->loop, &sa->later->retransmit);
    free(sa->request);
    sa->request = NULL;
    if (!take_answer(sa, m)) {
        failed(sa);
        return false;
    }
    sa_alive(sa);
    sa->path.local = m->path.local;
    init_read_nat(sa, &m->pl, sa->spi_r);
    init_read_fragmentation(sa, &m->pl);
    init_float_ports(sa);
    init_ask_keys(t, got_keys);
    return false;
}

const struct task_ops task_init = {
    .name = "IKE_SA_INIT", .start = start, .response = response, .restart = init_restart};
