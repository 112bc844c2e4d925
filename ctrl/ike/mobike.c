// SPDX-License-Identifier: Apache-2.0
// MOBIKE (RFC 4555): what is negotiated, the answer to INFORMATIONAL requests with addresses, and the
// requests of ours: UPDATE_SA_ADDRESSES by the end that decides, COOKIE2 alone by the one that follows, and
// of either the list of its further addresses when that is another. Which way to take is mobike_paths.c's
// business.
#include "ctrl/ike/mobike.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/childsa.h"
#include "ctrl/ike/conns.h"
#include "ctrl/ike/exchange.h"
#include "ctrl/ike/exchange_send.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/init.h"
#include "ctrl/ike/lifetime.h"
#include "ctrl/ike/mobike_paths.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/hash.h"
#include "ctrl/lib/log.h"

enum { COOKIE2_LEN = 16, COOKIE2_MIN = 8, COOKIE2_MAX = 64, REQUEST_MAX = 512 };

struct update {
    bool addresses; // UPDATE_SA_ADDRESSES
    uint32_t told;  // of the list that is in it
    struct net_path path;
    uint8_t cookie[COOKIE2_LEN];
};

static void put(struct pb *b, uint16_t type)
{
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), type, slice_of(NULL, 0));
}

// --- what both ends say in IKE_AUTH ---

static struct addr sends_from(const struct ike_sa *sa)
{
    struct net_path to;
    return sa->later->mobike.astray && mobike_best(sa, &to) ? to.local : sa->path.local;
}

// An address of the peer's of that family; NULL: none is known.
static const struct addr *peers_of(const struct ike_sa *sa, uint8_t family)
{
    const struct mobike *k = &sa->later->mobike;
    if (sa->path.remote.family == family)
        return &sa->path.remote;
    for (unsigned i = 0; i < k->count; i++)
        if (k->others[i].family == family)
            return &k->others[i];
    return NULL;
}

struct further {
    unsigned count;
    struct addr a[MOBIKE_ADDRS];
};

// Our further addresses are those that the connection names, as far as they are there. Where the peer has
// none of a family nobody can say whether there is a way to it from an address of that family, which is named
// then.
static struct further further(const struct ike_sa *sa)
{
    const struct conn_config *cfg = &sa->conn->cfg;
    struct addr own = sends_from(sa);
    struct further f = {0};
    for (unsigned i = 0; i < cfg->local_count && f.count < MOBIKE_ADDRS; i++) {
        const struct addr *a = &cfg->local_addrs[i], *peer = peers_of(sa, a->family);
        if (a->family && !addr_eq(a, &own) && (!peer || conn_can_send(sa->ike, a, peer)))
            f.a[f.count++] = *a;
    }
    return f;
}

// Two lists are told apart by it.
static uint32_t sum_of(const struct further *f)
{
    uint64_t h = 0;
    for (unsigned i = 0; i < f->count; i++)
        h = hash_bytes(h + f->a[i].family, f->a[i].a, f->a[i].family == 4 ? 4 : 16);
    return (uint32_t)(h ^ h >> 32);
}

static void put_others(struct pb *b, const struct further *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        bool v4 = f->a[i].family == 4;
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), v4 ? N_ADDITIONAL_IP4_ADDRESS : N_ADDITIONAL_IP6_ADDRESS,
                  slice_of(f->a[i].a, v4 ? 4 : 16));
    }
    if (!f->count)
        put(b, N_NO_ADDITIONAL_ADDRESSES);
}

static bool has_news(const struct ike_sa *sa)
{
    struct further f = further(sa);
    return sa->later->mobike.untold || sa->later->mobike.check || sum_of(&f) != sa->later->mobike.told;
}

static bool add_other(struct mobike *k, const struct addr *a)
{
    struct addr *more = k->count < MOBIKE_ADDRS ? realloc(k->others, (k->count + 1u) * sizeof(*more)) : NULL;
    if (!more)
        return false;
    k->others = more;
    k->others[k->count++] = *a;
    return true;
}

static bool take_other(struct mobike *k, const struct notify *n)
{
    bool v4 = n->type == N_ADDITIONAL_IP4_ADDRESS;
    struct addr a = {.family = v4 ? 4 : 6};
    if (n->data.len != (v4 ? 4u : 16u))
        return false;
    memcpy(a.a, n->data.p, n->data.len);
    return add_other(k, &a);
}

void mobike_free(struct ike_sa *sa)
{
    free(sa->later->mobike.others);
    sa->later->mobike.others = NULL;
    sa->later->mobike.count = 0;
}

static bool has_list(const struct payloads *pl)
{
    struct notify n;
    return notify_find(pl, N_ADDITIONAL_IP4_ADDRESS, &n) || notify_find(pl, N_ADDITIONAL_IP6_ADDRESS, &n) ||
           notify_find(pl, N_NO_ADDITIONAL_ADDRESSES, &n);
}

// A list replaces the one before as a whole (3.6).
static void read_others(struct ike_sa *sa, const struct payloads *pl)
{
    struct mobike *k = &sa->later->mobike;
    struct notify n;
    unsigned left_out = 0;
    if (!has_list(pl))
        return;
    mobike_free(sa);
    for (unsigned i = 0; i < pl->count; i++)
        if (pl->p[i].type == PL_NOTIFY && notify_read(pl->p[i].body, &n) &&
            (n.type == N_ADDITIONAL_IP4_ADDRESS || n.type == N_ADDITIONAL_IP6_ADDRESS))
            left_out += !take_other(k, &n);
    if (left_out)
        LOGF(IKE, 1,
             "%u further addresses of the peer left out: not of 4 or 16 octets, no memory, or more than %d",
             left_out, MOBIKE_ADDRS);
}

static void offer(struct pb *b, struct ike_sa *sa)
{
    struct further f = further(sa);
    sa->later->mobike.told = sum_of(&f);
    put(b, N_MOBIKE_SUPPORTED);
    put_others(b, &f);
}

// NAT detection goes with it (3.1).
void mobike_offer(struct pb *b, struct ike_sa *sa)
{
    if (!sa->conn->cfg.mobike || !sa->hs->peer_natd)
        return;
    offer(b, sa);
}

static void hear(struct ike_sa *sa, const struct payloads *pl)
{
    struct notify n;
    sa->later->mobike.said = notify_find(pl, N_MOBIKE_SUPPORTED, &n);
    if (sa->later->mobike.said)
        read_others(sa, pl);
}

void mobike_offered(struct ike_sa *sa, const struct payloads *pl)
{
    hear(sa, pl);
}

static void agree(struct ike_sa *sa)
{
    struct mobike *k = &sa->later->mobike;
    k->on = k->said && sa->conn->cfg.mobike && sa->hs->peer_natd;
    k->decides = sa->initiator;
    if (k->on)
        LOGF(IKE, 1, "peer supports MOBIKE");
}

void mobike_accept(struct pb *b, struct ike_sa *sa)
{
    agree(sa);
    if (!sa->later->mobike.on)
        return;
    offer(b, sa);
}

void mobike_agreed(struct ike_sa *sa, const struct payloads *pl)
{
    hear(sa, pl);
    agree(sa);
}

void mobike_inherit(struct ike_sa *next, struct ike_sa *old)
{
    size_t len = old->later->mobike.count * sizeof(*old->later->mobike.others);
    struct addr *others = len ? malloc(len) : NULL;
    mobike_free(next);
    next->later->mobike = old->later->mobike;
    next->later->mobike.others = others;
    if (others)
        memcpy(others, old->later->mobike.others, len);
    else
        next->later->mobike.count = 0;                   // no memory: the peer is where it is
    next->later->mobike.mapped = false;                  // the IKE SPIs are in it
    bool asks = next->later->mobike.on && has_news(old); // which is where it is
    struct task *t = asks ? task_new(next, TASK_MOBIKE, 0) : NULL;
    next->later->mobike.unasked = asks && !t;
    if (!t)
        return;
    t->next = next->queue; // begins when the SA has taken over
    next->queue = t;
}

// --- the peer's requests ---

static bool has_transport(const struct ike_sa *sa)
{
    bool has = false;
    for (const struct child_sa *c = sa->children; c; c = c->next)
        has = has || c->cfg->mode == MODE_TRANSPORT;
    return has;
}

// The addresses and ports as the peer sees them are the ones on the datagram (3.9).
static bool is_plain(const struct notify *n, const struct net_path *p)
{
    uint8_t buf[36];
    struct writer w = writer_of(buf, sizeof(buf));
    size_t len = p->remote.family == 4 ? 4 : 16;
    wr_bytes(&w, p->remote.a, len);
    wr_bytes(&w, p->local.a, len);
    wr_u16(&w, p->remote_port);
    wr_u16(&w, p->local_port);
    return slice_eq(n->data, wr_written(&w));
}

static void log_move(const struct ike_sa *sa, const struct net_path *to)
{
    char a[64], b[64], c[64], d[64];
    LOGF(IKE, 0, "IKE_SA %s moves from %s...%s to %s...%s", sa_label(sa),
         addr_print(&sa->path.local, a, sizeof(a)), addr_print(&sa->path.remote, b, sizeof(b)),
         addr_print(&to->local, c, sizeof(c)), addr_print(&to->remote, d, sizeof(d)));
}

// Where UDP encapsulation changes, the CHILD SAs have to hear it.
static bool take_nats(struct ike_sa *sa, const struct nats *n)
{
    bool others = sa->nat.local != n->local || sa->nat.remote != n->remote;
    sa->nat = *n;
    if (!others)
        return false;
    LOGF(IKE, 1, "%s behind a NAT now",
         n->local && n->remote ? "both ends are"
         : n->local            ? "we are"
         : n->remote           ? "the peer is"
                               : "nobody is");
    return true;
}

static bool update(struct ike_sa *sa, const struct inmsg *m)
{
    struct nats seen = sa->nat;
    bool elsewhere = !addr_eq(&m->path.remote, &sa->path.remote);
    if (!path_eq(&m->path, &sa->path))
        log_move(sa, &m->path);
    (void)init_nat_seen(sa, &m->pl, sa->spi_r, &m->path, &seen);
    if (take_nats(sa, &seen) || !path_eq(&m->path, &sa->path))
        sa_set_path(sa, &m->path);
    sa->later->mobike.astray = false;
    sa_watch(sa);
    sa->later->mobike.check = sa->later->mobike.check || elsewhere;
    return true;
}

static uint16_t refusal(const struct ike_sa *sa, const struct inmsg *m)
{
    struct notify n;
    if (notify_find(&m->pl, N_NO_NATS_ALLOWED, &n) && !is_plain(&n, &m->path))
        return N_UNEXPECTED_NAT_DETECTED;
    if (has_transport(sa) && !path_eq(&m->path, &sa->path))
        return N_UNACCEPTABLE_ADDRESSES; // their selectors are the old ones (RFC 4555 1.2)
    return 0;
}

static void go(struct ike_sa *sa, const struct net_path *to)
{
    log_move(sa, to);
    sa_set_path(sa, to);
    sa->later->mobike.mapped = false; // it sees us elsewhere because we are
    sa->later->mobike.untold = sa->later->mobike.moved = true;
}

// The end that follows has sent its list from another of its addresses: it is where it was no more (3.6).
static bool leads(const struct ike_sa *sa, const struct net_path *from)
{
    return sa->state == SA_ESTABLISHED && !path_eq(from, &sa->path) && !has_transport(sa) &&
           mobike_is_way(sa, from);
}

bool mobike_answer(struct ike_sa *sa, const struct inmsg *m, struct pb *b)
{
    struct notify n, cookie;
    bool wants = notify_find(&m->pl, N_UPDATE_SA_ADDRESSES, &n), moved = false;
    if (!sa->later->mobike.on) {
        if (wants)
            LOGF(IKE, 1, "UPDATE_SA_ADDRESSES ignored: MOBIKE was not agreed on");
        return false;
    }
    uint16_t no = wants ? refusal(sa, m) : 0;
    bool led = sa->later->mobike.decides && !wants && has_list(&m->pl) && leads(sa, &m->path);
    read_others(sa, &m->pl);
    if (led)
        go(sa, &m->path);
    else if (has_list(&m->pl) && !addr_eq(&m->path.remote, &sa->path.remote))
        (void)add_other(&sa->later->mobike, &m->path.remote); // it is one of them by that (3.6)
    if (wants && sa->later->mobike.decides)
        LOGF(IKE, 1, "UPDATE_SA_ADDRESSES ignored: we began this IKE_SA, its addresses are our choice");
    else if (no)
        LOGF(IKE, 1, "UPDATE_SA_ADDRESSES refused, sending %s", notify_name(no));
    else if (wants)
        moved = update(sa, m);
    if (no && !sa->later->mobike.decides)
        put(b, no);
    if (notify_find(&m->pl, N_NAT_DETECTION_SOURCE_IP, &n))
        init_put_nat(b, sa, &m->path);
    if (notify_find(&m->pl, N_COOKIE2, &cookie) && cookie.data.len >= COOKIE2_MIN &&
        cookie.data.len <= COOKIE2_MAX)
        pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_COOKIE2, cookie.data);
    return moved || led;
}

void mobike_ask(struct ike_sa *sa)
{
    sa->later->mobike.unasked = false;
    if (!task_is_asked(sa, TASK_MOBIKE, 0))
        exchange_first(sa, TASK_MOBIKE, 0);
}

// What was on its way to where the peer is no more goes out again, and the peer proves where it is.
void mobike_follow(struct ike_sa *sa)
{
    exchange_again(sa);
    if (sa->later->mobike.check || sa->later->mobike.untold)
        mobike_ask(sa);
}

// --- our requests ---

static void start(struct task *t)
{
    struct ike_sa *sa = t->sa;
    uint8_t buf[REQUEST_MAX];
    struct pb b = pb_of(buf, sizeof(buf));
    struct update *u = calloc(1, sizeof(*u));
    struct further f = further(sa);
    bool list = sum_of(&f) != sa->later->mobike.told,
         news = list || sa->later->mobike.untold || sa->later->mobike.check;
    if (!u || !sa->later->mobike.on || !news || cr_random(u->cookie, sizeof(u->cookie)) != 0) {
        sa->later->mobike.unasked = !u && sa->later->mobike.on;
        lifetime_ike_arm(sa);
        free(u);
        exchange_done(sa);
        return;
    }
    t->data = u;
    u->addresses = sa->later->mobike.decides && sa->later->mobike.untold;
    u->told = sum_of(&f);
    u->path = sa->path;
    sa->later->mobike.moved = false;
    if (u->addresses) {
        put(&b, N_UPDATE_SA_ADDRESSES);
        init_put_nat(&b, sa, &sa->path);
    }
    if (u->addresses || list)
        put_others(&b, &f);
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_COOKIE2, slice_of(u->cookie, sizeof(u->cookie)));
    COUNT(sa->ike, info_out_req);
    exchange_send_inner(sa, EX_INFORMATIONAL, &b);
}

static void updated(struct ike_sa *sa, const struct update *u, const struct inmsg *m)
{
    struct notify n;
    struct nats seen = sa->nat;
    if (sa->later->mobike.moved || !path_eq(&u->path, &sa->path))
        return; // we are elsewhere again, or were meanwhile: the peer hears it next
    sa->later->mobike.untold = false;
    if (notify_find(&m->pl, N_UNACCEPTABLE_ADDRESSES, &n) ||
        notify_find(&m->pl, N_UNEXPECTED_NAT_DETECTED, &n)) {
        LOGF(IKE, 0, "the peer does not take our addresses: received %s", notify_name(n.type));
        return;
    }
    if (!init_nat_seen(sa, &m->pl, sa->spi_r, &m->path, &seen))
        return;
    mobike_read_probe(sa, &m->pl);
    sa->later->mobike.untold = false; // it has just heard it
    if (take_nats(sa, &seen))
        sa_set_path(sa, &sa->path);
    sa_watch(sa);
}

static bool response(struct task *t, struct inmsg *m)
{
    struct ike_sa *sa = t->sa;
    struct update *u = t->data;
    struct notify n;
    bool refused = notify_first_error(&m->pl, &n);
    if (!refused && (!notify_find(&m->pl, N_COOKIE2, &n) || n.data.len != sizeof(u->cookie) ||
                     CRYPTO_memcmp(n.data.p, u->cookie, sizeof(u->cookie)) != 0)) {
        LOGF(IKE, 0, "COOKIE2 did not come back as it was sent, closing IKE_SA %s (RFC 4555 3.7)",
             sa_label(sa));
        exchange_done(sa);
        sa_delete(sa);
        return false;
    }
    sa->later->mobike.check = false;
    sa->later->mobike.told = u->told;
    if (u->addresses)
        updated(sa, u, m);
    exchange_done(sa);
    if (sa->state == SA_ESTABLISHED && has_news(sa))
        mobike_ask(sa);
    return false;
}

static void undo(struct task *t)
{
    free(t->data);
    t->data = NULL;
}

const struct task_ops task_mobike = {.name = "MOBIKE", .start = start, .response = response, .undo = undo};

static void settle(struct ike_sa *sa, const struct net_path *at)
{
    log_move(sa, at);
    sa_set_path(sa, at);
    sa->later->mobike.astray = false;
    sa_watch(sa);
}

// --- as the end that decides ---

static void move(struct ike_sa *sa, const struct net_path *to)
{
    go(sa, to);
    mobike_ask(sa);
}

// The request came through although not by our way: that one is. Where we follow and are no more where we
// were, so too: strongSwan goes to where it has heard us from without a word.
void mobike_heard(struct ike_sa *sa, const struct net_path *path, bool is_response)
{
    bool may = sa->later->mobike.decides || sa->later->mobike.astray;
    if (!is_response || !may || sa->state != SA_ESTABLISHED || path_eq(path, &sa->path) ||
        has_transport(sa) || !mobike_is_way(sa, path))
        return;
    if (sa->later->mobike.decides)
        move(sa, path);
    else
        settle(sa, path);
}

static void move_on(struct ike_sa *sa)
{
    struct net_path to;
    if (!mobike_best(sa, &to) || path_eq(&to, &sa->path))
        return;
    bool waits = sa->request != NULL;
    move(sa, &to);
    if (waits)
        exchange_again(sa); // the update waits behind it
}

// --- as the end that follows ---

// Where the connection names no other address the peer knows of none that it could hear us from.
// last: an address of ours that there is a way from, to whomever: of most it is the same.
static void look_where_we_are(struct ike_sa *sa, struct addr *last)
{
    bool was = sa->later->mobike.astray;
    if (addr_eq(&sa->path.local, last)) {
        sa->later->mobike.astray = false;
        return;
    }
    bool there = conn_can_send(sa->ike, &sa->path.local, &sa->path.remote);
    if (there)
        *last = sa->path.local;
    sa->later->mobike.astray = !there && mobike_names_addresses(sa);
    if (sa->later->mobike.astray && !was && sa->request)
        exchange_again(sa);
}

void mobike_addrs_changed(struct ike *ike)
{
    struct addr last = {0};
    for (struct ike_sa *sa = ike->sas, *next; sa; sa = next) {
        next = sa->next;
        if (sa->state != SA_ESTABLISHED || !sa->later->mobike.on || has_transport(sa))
            continue;
        log_set_context(sa->conn->cfg.name, sa->id);
        if (sa->later->mobike.decides)
            move_on(sa);
        else
            look_where_we_are(sa, &last);
        struct net_path way;
        if (mobike_best(sa, &way) &&
            has_news(sa)) // without one nobody would be reached, and the SA would end
            mobike_ask(sa);
        log_set_context("", 0);
    }
}

// --- NAT mappings ---

bool mobike_tells_first(struct ike_sa *sa)
{
    struct mobike *k = &sa->later->mobike;
    if (!k->on || !k->decides || k->mapped || !sa->nat.local || has_transport(sa))
        return false;
    k->untold = true;
    return true;
}

void mobike_put_probe(struct pb *b, const struct ike_sa *sa)
{
    if (sa->later->mobike.on && sa->later->mobike.decides && sa->nat.local)
        init_put_nat(b, sa, &sa->path);
}

// It sees us elsewhere than before: our NAT has another mapping for us, and the peer goes by what we say.
void mobike_read_probe(struct ike_sa *sa, const struct payloads *pl)
{
    struct mobike *k = &sa->later->mobike;
    struct notify n;
    if (!k->on || !k->decides || !notify_find(pl, N_NAT_DETECTION_DESTINATION_IP, &n) ||
        n.data.len != sizeof(k->seen))
        return;
    if (k->mapped && memcmp(k->seen, n.data.p, sizeof(k->seen)) != 0) {
        LOGF(IKE, 1, "our NAT has another mapping for us, telling the peer");
        k->untold = true;
        mobike_ask(sa);
    }
    memcpy(k->seen, n.data.p, sizeof(k->seen));
    k->mapped = true;
}
