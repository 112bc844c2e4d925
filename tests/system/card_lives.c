// SPDX-License-Identifier: Apache-2.0
// card_lives [SEED [STEPS]]: whole lives of random SAs on two engines at once, the card (espalier-card under
// the driver's card engine) and software. Everything that the card can be told of an SA is drawn at random
// (what it cannot is drawn, too, and must be refused before it is tried); packets go through both, numbers
// are leased, ends move, SAs are asked about, deleted, and go on from where they were: in the engine that
// they were in, or each in the other one, so that what one has left the other takes up. After each step the
// verdict, the number, every octet, the counters and what is handed over are the same. A seed replays.
// Exit status: 0 the same throughout, 1 not.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/drv_util.h"
#include "tests/system/card_process.h"

enum { BUFFERS = 256, BUFFER = 2048, BATCH = 24, LIVES = 8, OLD = 32, DEFAULT_STEPS = 700 };
enum { CARD, SOFT };

struct life { // an SA out and one in, which have one key
    bool there;
    struct esp_sa_params out, in;
    int at[2];                // the engine that side 0 (and 1) of it is in
    struct esp_sa *sa[2][2];  // side, direction
    uint64_t top;             // about the highest number that has come
    struct esp_endpoint ends; // at first
};
struct world {
    struct esp_engine *e[2], *peer; // peer: software, which seals what a peer may
    struct esp_pool *pool;
    struct life life[LIVES];
    struct esp_job job[2][BATCH]; // by side
    uint8_t old[OLD][BUFFER];     // what has been sealed
    uint32_t old_len[OLD];
    uint64_t seed, first_seed;
    unsigned step;
    unsigned verdicts[2][ESP_STATUS_BAD_OPCODE + 8];
    unsigned added, refused, moved, leased, turned, asked;
    uint32_t next_spi;
};

__attribute__((format(printf, 2, 3))) static void wrong(const struct world *w, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fail_msg("seed %llx step %u: %s", (unsigned long long)w->first_seed, w->step, text);
}

static uint64_t below(struct world *w, uint64_t n)
{
    return (rnd(&w->seed) >> 16) % n;
}

static bool chance(struct world *w, unsigned percent)
{
    return below(w, 100) < percent;
}

// ---- SAs

static uint64_t pick(struct world *w, const uint64_t *of, unsigned n)
{
    return of[below(w, n)];
}
#define PICK(w, ...)                                                                                         \
    pick(w, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

// Where numbers begin: at the start, anywhere, and short of where 32 bits end.
static uint64_t first_number(struct world *w, bool esn)
{
    switch (below(w, 4)) {
    case 0: return 1;
    case 1: return 1 + below(w, 1000);
    case 2: return 0xffffffc0u + below(w, 0x3f) + (esn ? below(w, 1100) : 0);
    default:
        return esn ? (below(w, 1u << 20) << 32 | below(w, UINT32_MAX)) + 1 : 1 + below(w, UINT32_MAX - 1);
    }
}

static void draw_ends(struct world *w, struct esp_endpoint *e)
{
    *e = (struct esp_endpoint){.udp_encap = chance(w, 50)};
    rnd_fill(&w->seed, e->src, 4);
    memcpy(e->dst, "\xc0\x00\x02", 3);
    e->dst[3] = (uint8_t)below(w, 4);
    e->sport = (uint16_t)PICK(w, 4500, 500, 1, 65535, 40000);
    e->dport = (uint16_t)PICK(w, 4500, 4501, 1, 65535);
}

static void put_ends(struct esp_sa_params *p, const struct esp_endpoint *e)
{
    p->udp_encap = e->udp_encap;
    memcpy(p->src, e->src, 16);
    memcpy(p->dst, e->dst, 16);
    p->sport = e->sport;
    p->dport = e->dport;
}

// Some that the card has not, which it must say beforehand.
static void spoil_params(struct world *w, struct esp_sa_params *p)
{
    switch (below(w, 6)) {
    case 0: p->ipv6 = true; break;
    case 1:
        p->mode = ESP_TRANSPORT;
        p->udp_encap = true;
        break;
    case 2: p->inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6; break;
    case 3:
        p->alg = (enum esp_alg)PICK(w, ESP_ALG_AES192_GCM16, ESP_ALG_CHACHA20_POLY1305, ESP_ALG_AES256_GCM12,
                                    ESP_ALG_AES128_CCM16, ESP_ALG_AES128_GMAC);
        break;
    case 4: p->tfc = 600; break;
    default: p->alg = ESP_ALG_AES128_CBC; p->integ = ESP_INTEG_HMAC_SHA256_128;
    }
}

static void draw_limits(struct world *w, struct esp_sa_params *p)
{
    p->soft_packets = PICK(w, 0, 0, 1, 30, 200);
    p->hard_packets = PICK(w, 0, 0, 0, 0, 0, 0, 60, 300);
    p->soft_bytes = PICK(w, 0, 0, 100, 20000);
    p->hard_bytes = PICK(w, 0, 0, 0, 0, 0, 0, 5000, 70000);
}

static void draw(struct world *w, struct life *l)
{
    struct esp_sa_params *p = &l->out;
    *p = make_params(ESP_OUT, (enum esp_alg)PICK(w, ESP_ALG_AES128_GCM16, ESP_ALG_AES256_GCM16), w->next_spi);
    w->next_spi += 1 + (uint32_t)below(w, 5000);
    rnd_fill(&w->seed, p->key, alg_key_octets(p->alg));
    rnd_fill(&w->seed, p->salt, sizeof(p->salt));
    p->esn = chance(w, 50);
    p->df_clear = chance(w, 50);
    p->no_dscp_copy = chance(w, 50);
    p->no_ecn = chance(w, 50);
    p->dscp_decap = chance(w, 50);
    p->id_offset = (uint16_t)below(w, 65536);
    p->ttl = (uint8_t)(1 + below(w, 255));
    p->seq = first_number(w, p->esn);
    p->seq_limit = chance(w, 20) ? UINT64_MAX : p->seq + 1 + below(w, 100);
    draw_ends(w, &l->ends);
    put_ends(p, &l->ends);
    draw_limits(w, p);
    l->in = *p;
    l->in.dir = ESP_IN;
    l->in.window =
        (uint32_t)(p->esn ? PICK(w, 1, 31, 32, 64, 65, 1000, 1024) : PICK(w, 0, 1, 32, 64, 200, 1024));
    l->in.seq = l->top = p->seq - 1;
    rnd_fill(&w->seed, (uint8_t *)l->in.seen, sizeof(l->in.seen));
    for (int i = 0; i < 16; i++)
        l->in.seen[i] = l->in.seq && chance(w, 50) ? l->in.seen[i] : 0;
    l->in.seen[0] |= l->in.seq > 0;
    draw_limits(w, &l->in);
}

static struct esp_sa_params *params(struct life *l, int d)
{
    return d == ESP_IN ? &l->in : &l->out;
}

static bool refused(struct world *w, const struct esp_sa_params *p)
{
    struct esp_error why = {0};
    struct esp_sa *sa = NULL;
    if (w->e[CARD]->ops->capable(w->e[CARD], p, &why) == 0)
        return false;
    if (why.code != -EOPNOTSUPP || !why.field[0] || !why.text[0])
        wrong(w, "the card says no without a reason: %d %s %s", why.code, why.field, why.text);
    if (w->e[CARD]->ops->sa_add(w->e[CARD], p, NULL, &sa, &why) == 0)
        wrong(w, "the card takes what it has said that it cannot: %s", why.text);
    w->refused++;
    return true;
}

static void begin(struct world *w, struct life *l)
{
    struct esp_sa_params spoilt;
    draw(w, l);
    spoilt = l->out;
    if (chance(w, 30)) {
        spoil_params(w, &spoilt);
        if (!refused(w, &spoilt))
            wrong(w, "the card says that it can hold an SA that it has not");
    }
    if (refused(w, &l->out) || refused(w, &l->in))
        wrong(w, "the card refuses an SA that it has");
    for (int side = 0; side < 2; side++) {
        l->at[side] = side;
        for (int d = 0; d < 2; d++)
            l->sa[side][d] = must_add(w->e[side], params(l, d));
    }
    l->there = true;
    w->added++;
}

// ---- their packets

static void run_side(struct world *w, int engine, struct esp_job **list, unsigned n)
{
    struct esp_job *back[BATCH];
    unsigned sent = 0, done = 0;
    struct esp_engine *e = w->e[engine];
    for (uint64_t end = now_ms() + PATIENCE_MS; done < n;) {
        unsigned got;
        if (now_ms() > end)
            wrong(w, "%u of %u jobs came back from %s", done, n, e->name);
        sent += esp_submit(e, list + sent, n - sent);
        got = esp_poll(e, back, BATCH);
        done += got;
        e->ops->tick(e, now_ms());
        if (!got)
            nap();
    }
}

// Each side of a life may be in either engine: jobs of one engine go together, in order.
static void run(struct world *w, unsigned n, const int *engine_of_side0)
{
    for (int engine = 0; engine < 2; engine++) {
        struct esp_job *list[2 * BATCH];
        unsigned count = 0;
        for (unsigned i = 0; i < n; i++)
            list[count++] = &w->job[engine_of_side0[i] == engine ? 0 : 1][i];
        run_side(w, engine, list, count);
    }
}

// Which SA it is, as a number that is the same in both engines; 0: none.
static unsigned identity(const struct world *w, const struct esp_sa *sa)
{
    for (unsigned i = 0; sa && i < LIVES; i++)
        for (int d = 0; d < 2 && w->life[i].there; d++)
            if (sa == w->life[i].sa[0][d] || sa == w->life[i].sa[1][d])
                return 2 * i + (unsigned)d + 1;
    return 0;
}

static unsigned first_difference(const uint8_t *a, const uint8_t *b, unsigned n)
{
    unsigned i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static void compare(struct world *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct esp_job *a = &w->job[0][i], *b = &w->job[1][i];
        bool decap = a->op == ESP_DECAP, known = b->sa && b->status != ESP_STATUS_SA_MISMATCH;
        w->verdicts[decap][b->status]++;
        if (a->status != b->status || a->out_len != b->out_len || memcmp(a->out, b->out, b->out_len) ||
            identity(w, a->sa) != identity(w, b->sa))
            wrong(w,
                  "job %u (%s of %u octets): %s %u octets SA %u, %s %u octets SA %u, the same up to "
                  "%u",
                  i, decap ? "decap" : "encap", b->in_len, esp_status_name(a->status), a->out_len,
                  identity(w, a->sa), esp_status_name(b->status), b->out_len, identity(w, b->sa),
                  first_difference(a->out, b->out, b->out_len));
        if (b->status == ESP_STATUS_OK && (a->seq != b->seq || a->src_changed != b->src_changed))
            wrong(w, "job %u: number %llx source changed %d, %llx %d", i, (unsigned long long)a->seq,
                  a->src_changed, (unsigned long long)b->seq, b->src_changed);
        if (known && (a->soft_limit != b->soft_limit || a->lease_low != b->lease_low))
            wrong(w, "job %u %s: soft limit %d, lease low %d; %d %d", i, esp_status_name(b->status),
                  a->soft_limit, a->lease_low, b->soft_limit, b->lease_low);
    }
}

static struct life *some_life(struct world *w)
{
    return &w->life[below(w, LIVES)];
}

static void draw_inner(struct world *w, uint8_t *p, uint32_t *len)
{
    uint32_t n = 20 + (uint32_t)(chance(w, 85) ? below(w, 180) : below(w, 1480));
    make_inner(p, n, (uint8_t)below(w, 256), chance(w, 50), &w->seed);
    *len = n + (chance(w, 12) ? (uint32_t)below(w, 30) : 0);
    if (chance(w, 4))
        p[below(w, 4)] ^= (uint8_t)(1 << below(w, 8));
    if (chance(w, 3))
        *len = (uint32_t)below(w, 24) + 1;
}

static void keep_old(struct world *w, const struct esp_job *j)
{
    unsigned at = (unsigned)below(w, OLD);
    if (j->status)
        return;
    memcpy(w->old[at], j->out, j->out_len);
    w->old_len[at] = j->out_len;
}

static void seal(struct world *w)
{
    int engine[BATCH];
    unsigned n = 0;
    for (unsigned i = 0, most = 1 + (unsigned)below(w, BATCH); i < most; i++) {
        struct life *l = some_life(w);
        struct esp_job *a = &w->job[0][n], *b = &w->job[1][n];
        if (!l->there)
            continue;
        a->op = b->op = ESP_ENCAP;
        draw_inner(w, b->in, &b->in_len);
        memcpy(a->in, b->in, b->in_len);
        a->in_len = b->in_len;
        a->sa = l->sa[0][ESP_OUT];
        b->sa = l->sa[1][ESP_OUT];
        engine[n++] = l->at[0];
    }
    run(w, n, engine);
    compare(w, n);
    for (unsigned i = 0; i < n; i++)
        keep_old(w, &w->job[0][i]);
}

// What the network may do to an outer packet.
static void spoil(struct world *w, uint8_t *p, uint32_t *len)
{
    uint32_t at = (uint32_t)below(w, *len);
    switch (below(w, 14)) {
    case 0: p[at] ^= (uint8_t)(1 << below(w, 8)); break;
    case 1: *len = at + 1; break;
    case 2:
        p[at % 28] ^= (uint8_t)(1 << below(w, 8));
        ip_checksum(p);
        break;
    case 3:
        put_be16(p + 2, (uint16_t)(get_be16(p + 2) - below(w, 64)));
        ip_checksum(p);
        break;
    case 4:
        p[1] = (uint8_t)below(w, 256);
        ip_checksum(p);
        break;
    case 5:
        p[12 + below(w, 8)] ^= 1;
        ip_checksum(p);
        break;
    case 6: *len += 5; break;
    default: break;
    }
    if (*len && p[0] >> 4 == 6) // IPv6 and AH are not the card's, as `capable` says
        p[0] ^= 0x20;
    if (*len > 9 && p[9] == 51) {
        p[9] = 50;
        ip_checksum(p);
    }
}

// Whose SPI it is: where that one's sides are decides which engine is asked for which side.
static const struct life *life_of(const struct world *w, const uint8_t *p, uint32_t len)
{
    for (unsigned at = 20; at <= 28 && at + 4 <= len; at += 8)
        for (unsigned i = 0; i < LIVES; i++)
            if (w->life[i].there && w->life[i].in.spi == get_be32(p + at))
                return &w->life[i];
    return NULL;
}

// A number around the highest received, near and far, and over the end of 32 bits. No farther than half of
// those: what is 2^32 off is another number by what has come before it, which a card has perhaps not seen
// yet.
static uint64_t some_number(struct world *w, const struct life *l)
{
    uint64_t top = l->top, next = ((top >> 32) + 1) << 32, n;
    switch (below(w, 6)) {
    case 0: n = top + 1 + below(w, 4); break;
    case 1: n = top - l->in.window + below(w, 3) - 1; break; // where the window ends
    case 2: n = top + below(w, 2000); break;
    case 3: n = top - below(w, 2000); break;
    case 4: n = top + (chance(w, 10) ? below(w, 1ull << 29) : 1); break;
    default: n = next - top < 1u << 29 ? next - 20 + below(w, 100) : top + 1;
    }
    n = l->in.esn ? n : n & UINT32_MAX;
    return n && n <= top + (1u << 30) ? n : 1;
}

static uint32_t draw_inner6(struct world *w, uint8_t *p)
{
    uint32_t n = 40 + (uint32_t)below(w, 200);
    rnd_fill(&w->seed, p, n);
    p[0] = 0x60;
    put_be16(p + 4, (uint16_t)(n - 40));
    return n;
}

// What the peer of this SA may send, who has its key: any number, padded for traffic flow confidentiality, of
// a family that the SA does not have inside, longer or shorter than it says.
static void peer_sends(struct world *w, struct life *l)
{
    unsigned at = (unsigned)below(w, OLD);
    struct esp_sa_params p = l->in;
    uint8_t inner[BUFFER];
    struct esp_job j = {.op = ESP_ENCAP, .in = inner, .out = w->old[at], .out_cap = BUFFER};
    p.dir = ESP_OUT;
    p.window = 0;
    p.seq = some_number(w, l);
    p.seq_limit = UINT64_MAX;
    p.soft_packets = p.soft_bytes = p.hard_packets = p.hard_bytes = 0;
    p.inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6;
    p.tfc = chance(w, 20) ? (uint16_t)below(w, 1400) : 0;
    j.sa = must_add(w->peer, &p);
    if (chance(w, 90))
        draw_inner(w, inner, &j.in_len);
    else
        j.in_len = draw_inner6(w, inner);
    w->old_len[at] = run_job(w->peer, &j) == ESP_STATUS_OK ? j.out_len : 0;
    (void)must_delete(w->peer, j.sa);
}

static void keep_top(struct world *w, const struct esp_job *j)
{
    unsigned which = identity(w, j->sa);
    struct life *l = which ? &w->life[(which - 1) / 2] : NULL;
    if (l && j->status == ESP_STATUS_OK && j->seq > l->top)
        l->top = j->seq;
}

static void open_some(struct world *w)
{
    int engine[BATCH];
    unsigned n = 0;
    for (unsigned i = (unsigned)below(w, 6); i; i--) {
        struct life *l = some_life(w);
        if (l->there)
            peer_sends(w, l);
    }
    for (unsigned i = 0, most = 1 + (unsigned)below(w, BATCH); i < most; i++) {
        struct esp_job *a = &w->job[0][n], *b = &w->job[1][n];
        unsigned from = (unsigned)below(w, OLD);
        uint32_t len = w->old_len[from];
        if (!len)
            continue;
        memcpy(b->in, w->old[from], len);
        if (chance(w, 40))
            spoil(w, b->in, &len);
        const struct life *l = life_of(w, b->in, len);
        memcpy(a->in, b->in, len);
        a->op = b->op = ESP_DECAP;
        a->sa = b->sa = NULL;
        a->in_len = b->in_len = len;
        engine[n++] = l ? l->at[0] : 0;
    }
    run(w, n, engine);
    compare(w, n);
    for (unsigned i = 0; i < n; i++)
        keep_top(w, &w->job[0][i]);
}

// ---- what is done with them

static void lease(struct world *w, struct life *l)
{
    uint64_t to = l->out.seq_limit + 1 + below(w, 100);
    if (l->out.seq_limit == UINT64_MAX)
        return;
    for (int side = 0; side < 2; side++) {
        struct esp_engine *e = w->e[l->at[side]];
        assert_int_equal(e->ops->sa_lease(e, l->sa[side][ESP_OUT], to), 0);
        struct esp_event ev = next_event(e);
        if (ev.type != ESP_EVENT_SA_LEASED || ev.status)
            wrong(w, "%s does not lease: event %d %s", e->name, ev.type, esp_status_name(ev.status));
    }
    l->out.seq_limit = to;
    w->leased++;
}

static void same_stats(struct world *w, const struct esp_sa_stats *a, const struct esp_sa_stats *b)
{
    if (memcmp(a, b, sizeof(*a)))
        wrong(w, "last %llx packets %llu bytes %llu drops %llu; %llx %llu %llu %llu",
              (unsigned long long)a->last_seq, (unsigned long long)a->packets, (unsigned long long)a->bytes,
              (unsigned long long)a->drops, (unsigned long long)b->last_seq, (unsigned long long)b->packets,
              (unsigned long long)b->bytes, (unsigned long long)b->drops);
}

static void ask(struct world *w, struct life *l, int d)
{
    struct esp_event ev[2];
    for (int side = 0; side < 2; side++) {
        struct esp_engine *e = w->e[l->at[side]];
        assert_int_equal(e->ops->sa_query(e, l->sa[side][d]), 0);
        ev[side] = next_event(e);
        assert_int_equal(ev[side].type, ESP_EVENT_SA_STATS);
    }
    same_stats(w, &ev[0].stats, &ev[1].stats);
    w->asked++;
}

static void turn_one(struct world *w, struct life *l, int d, const struct esp_endpoint *to)
{
    struct esp_error why = {0};
    for (int side = 0; side < 2; side++) {
        struct esp_engine *e = w->e[l->at[side]];
        if (e->ops->sa_endpoint(e, l->sa[side][d], to, &why))
            wrong(w, "%s does not take new ends: %s %s", e->name, why.field, why.text);
    }
    put_ends(params(l, d), to);
    ask(w, l, d); // a card takes packets beside its commands: the answer shows that it has taken this one
}

// Mostly both ways, so that what is sealed from then on is opened.
static void turn(struct world *w, struct life *l)
{
    struct esp_endpoint to;
    int d = (int)below(w, 2);
    draw_ends(w, &to);
    turn_one(w, l, d, &to);
    if (chance(w, 80))
        turn_one(w, l, !d, &to);
    w->turned++;
}

static uint64_t left(uint64_t limit, uint64_t used)
{
    return !limit ? 0 : limit > used ? limit - used : 1;
}

// The rest of what it may carry, and from where it was.
static void go_on(struct esp_sa_params *p, const struct esp_event *ev)
{
    p->seq = ev->next.seq;
    if (p->dir == ESP_IN)
        memcpy(p->seen, ev->next.seen, sizeof(p->seen));
    p->soft_packets = left(p->soft_packets, ev->stats.packets);
    p->hard_packets = left(p->hard_packets, ev->stats.packets);
    p->soft_bytes = left(p->soft_bytes, ev->stats.bytes);
    p->hard_bytes = left(p->hard_bytes, ev->stats.bytes);
}

static void same_window(struct world *w, const struct esp_sa_params *p, const struct esp_handover *a,
                        const struct esp_handover *b)
{
    for (unsigned i = 0; i < p->window; i++)
        if ((a->seen[i / 64] ^ b->seen[i / 64]) >> i % 64 & 1)
            wrong(w, "window %u, number %llx: %llu and %llu", p->window, (unsigned long long)(a->seq - i),
                  (unsigned long long)(a->seen[i / 64] >> i % 64 & 1),
                  (unsigned long long)(b->seen[i / 64] >> i % 64 & 1));
}

static void take_out(struct world *w, struct life *l, int d, struct esp_event ev[2])
{
    for (int side = 0; side < 2; side++) {
        struct esp_engine *e = w->e[l->at[side]];
        assert_int_equal(e->ops->sa_delete(e, l->sa[side][d]), 0);
        ev[side] = next_event(e);
        assert_int_equal(ev[side].type, ESP_EVENT_SA_DELETED);
    }
    same_stats(w, &ev[0].stats, &ev[1].stats);
    if (ev[0].next.seq != ev[1].next.seq)
        wrong(w, "the next number is %llx and %llx", (unsigned long long)ev[0].next.seq,
              (unsigned long long)ev[1].next.seq);
    if (d == ESP_IN)
        same_window(w, &l->in, &ev[0].next, &ev[1].next);
}

// Out of both engines, and where it goes on into the same, or each into the other.
static void leave(struct world *w, struct life *l)
{
    bool on = chance(w, 75), cross = chance(w, 60);
    for (int d = 0; d < 2; d++) {
        struct esp_event ev[2];
        take_out(w, l, d, ev);
        for (int side = 0; side < 2 && on; side++) {
            struct esp_sa_params p = *params(l, d);
            go_on(&p, &ev[side]);
            if (d == ESP_OUT && p.seq >= p.seq_limit) // nothing of its lease is left
                p.seq_limit = p.seq + 10;
            l->sa[side][d] = must_add(w->e[cross ? !l->at[side] : l->at[side]], &p);
            if (side)
                *params(l, d) = p;
        }
    }
    for (int side = 0; side < 2 && cross; side++)
        l->at[side] = !l->at[side];
    l->there = on;
    w->moved += on;
}

static void step(struct world *w)
{
    struct life *l = some_life(w);
    if (!l->there) {
        begin(w, l);
        return;
    }
    switch (below(w, 16)) {
    case 0: lease(w, l); break;
    case 1: turn(w, l); break;
    case 2: ask(w, l, (int)below(w, 2)); break;
    case 3: leave(w, l); break;
    default:
        if (chance(w, 50))
            seal(w);
        else
            open_some(w);
    }
}

// ---- the card's process

static int after(void **state)
{
    (void)state;
    if (card_pid > 0)
        kill(card_pid, SIGKILL);
    return 0;
}

// ----

static uint64_t seed_given = 0x51ab1e0ddba11, steps_given = DEFAULT_STEPS;

static void open_engines(struct world *w)
{
    struct esp_card_options o = {.pci_sysfs = dir, .deadline_ms = ESP_NO_DEADLINE};
    struct esp_error err = {0};
    assert_int_equal(esp_pool_create(&w->pool, BUFFERS, BUFFER, NULL), 0);
    if (esp_card_open(&w->e[CARD], &o, &err))
        fail_msg("%s: %s", err.field, err.text);
    assert_int_equal(esp_soft_open(&w->e[SOFT], NULL), 0);
    assert_int_equal(esp_soft_open(&w->peer, NULL), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(w->e[i]->ops->attach_pool(w->e[i], w->pool, &err), 0);
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < BATCH; i++)
            w->job[side][i] = (struct esp_job){
                .in = esp_pool_get(w->pool), .out = esp_pool_get(w->pool), .out_cap = BUFFER};
}

static void tell(const struct world *w)
{
    printf("%u SAs each way, %u refused, %u asked about, %u leased, %u turned, %u gone on\n", w->added,
           w->refused, w->asked, w->leased, w->turned, w->moved);
    for (int d = 0; d < 2; d++)
        for (unsigned st = 0; st < ESP_STATUS_BAD_OPCODE + 8; st++)
            if (w->verdicts[d][st])
                printf("%s %s: %u\n", d ? "decap" : "encap", esp_status_name((enum esp_status)st),
                       w->verdicts[d][st]);
}

static void test_whole_lives_are_the_same_in_both_engines(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    (void)state;
    assert_non_null(w);
    w->seed = w->first_seed = seed_given;
    w->next_spi = 0x1000;
    start_card("card-lives");
    open_engines(w);
    for (w->step = 0; w->step < steps_given; w->step++)
        step(w);
    for (unsigned i = 0; i < LIVES; i++)
        for (int d = 0; d < 2 && w->life[i].there; d++) {
            struct esp_event ev[2];
            take_out(w, &w->life[i], d, ev);
        }
    tell(w);
    for (int i = 0; i < 2; i++)
        w->e[i]->ops->destroy(w->e[i]);
    w->peer->ops->destroy(w->peer);
    esp_pool_destroy(w->pool);
    free(w);
    stop_card(SIGTERM);
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_whole_lives_are_the_same_in_both_engines, after),
    };
    snprintf(program, sizeof(program), "%.*s/../bin/espalier-card", slash ? (int)(slash - argv[0]) : 1,
             slash ? argv[0] : ".");
    seed_given = argc > 1 ? strtoull(argv[1], NULL, 16) : seed_given;
    steps_given = argc > 2 ? strtoull(argv[2], NULL, 10) : steps_given;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
