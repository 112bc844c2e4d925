// SPDX-License-Identifier: Apache-2.0
// Fragments of messages as they come in (RFC 7383 section 2.6). Each is opened before it is kept, so that
// nobody but the peer takes memory; what is kept is the text inside, in the order of its number. Of one
// message two divisions may come, as a sender tries smaller ones: the one with more fragments counts. All
// half-made messages together are bounded, apart for peers and for those who have not said who they are: the
// one that began first makes room, and its sender sends again. What is not whole after FRAGMENTS_MS is given
// up, however long its IKE SA lives.
#include "ctrl/ike/fragments.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/sa.h"
#include "ctrl/ike/task.h"
#include "ctrl/lib/log.h"

struct piece {
    struct piece *next; // a higher number
    uint16_t number;
    size_t len, size; // of the text; as it was allocated
    uint8_t text[];
};
struct fragments {
    struct fragments *next, *prev; // in their pool
    struct fragment_pool *pool;
    struct ike_sa *sa;
    struct piece *pieces;
    uint32_t mid;
    uint16_t total, have;
    uint8_t exchange, first; // first: type of the first payload inside
    size_t len, bytes;       // of all texts; of memory
    uint64_t began;
    uint8_t hash[32]; // of the first fragment as it came
};
struct skf { // what stands in the clear
    uint8_t first;
    uint16_t number, total;
};

static bool skf_read(struct slice d, struct skf *f)
{
    struct reader r = reader_of(d);
    rd_bytes(&r, IKE_HEADER_LEN);
    f->first = rd_u8(&r);
    rd_u8(&r);
    uint16_t len = rd_u16(&r);
    f->number = rd_u16(&r);
    f->total = rd_u16(&r);
    return !r.bad && len == d.len - IKE_HEADER_LEN && f->number && f->number <= f->total;
}

// --- memory ---

static void charge(struct fragments *m, size_t bytes)
{
    m->bytes += bytes;
    m->pool->bytes += bytes;
}

static void drop_message(struct fragments *m)
{
    struct fragment_pool *pool = m->pool;
    pool->bytes -= m->bytes;
    *(m->prev ? &m->prev->next : &pool->first) = m->next;
    *(m->next ? &m->next->prev : &pool->last) = m->prev;
    if (!pool->first)
        timer_stop(m->sa->ike->loop, &pool->timer);
    for (unsigned i = 0; i < 2; i++)
        if (m->sa->later->parts[i] == m)
            m->sa->later->parts[i] = NULL;
    while (m->pieces) {
        struct piece *p = m->pieces;
        m->pieces = p->next;
        free(p);
    }
    free(m);
}

void fragments_forget(struct ike_sa *sa, bool response)
{
    if (sa->later->parts[response])
        drop_message(sa->later->parts[response]);
}

static void give_up(struct fragments *m)
{
    struct ike_sa *sa = m->sa;
    bool limited = sa->half_open; // what strangers may write is bounded
    log_set_context(sa->conn->cfg.name, sa->id);
    if (limited)
        log_limit_begin(&sa->ike->log_limit, &sa->path.remote);
    LOGF(ENC, 1, "gave up an IKE message of which %u of %u fragments came in %u s (RFC 7383 2.6)", m->have,
         m->total, FRAGMENTS_MS / 1000);
    if (limited)
        log_limit_end(&sa->ike->log_limit);
    log_set_context("", 0);
    COUNT(sa->ike, fragments_overdue);
    drop_message(m);
}

// The one in front began first. Where others stand behind it, the timer goes on with the next.
static void give_up_old(struct timer *t)
{
    struct fragment_pool *pool = t->ctx;
    struct loop *loop = pool->first->sa->ike->loop;
    uint64_t now = loop_now(loop);
    while (pool->first && pool->first->began + FRAGMENTS_MS <= now)
        give_up(pool->first);
    if (pool->first)
        timer_set(loop, t, pool->first->began + FRAGMENTS_MS);
}

static void arm(struct fragment_pool *pool, const struct fragments *m)
{
    pool->timer.fire = give_up_old;
    pool->timer.ctx = pool;
    if (!pool->timer.armed)
        timer_set(m->sa->ike->loop, &pool->timer, m->began + FRAGMENTS_MS);
}

static struct fragments *new_message(struct ike_sa *sa, const struct ike_header *h, uint16_t total)
{
    struct fragments *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->pool = &sa->ike->fragments[sa->half_open];
    m->sa = sa;
    m->mid = h->mid;
    m->exchange = h->exchange;
    m->total = total;
    m->began = loop_now(sa->ike->loop);
    m->prev = m->pool->last;
    *(m->prev ? &m->prev->next : &m->pool->first) = m;
    m->pool->last = m;
    charge(m, sizeof(*m));
    arm(m->pool, m);
    sa->later->parts[(h->flags & FLAG_RESPONSE) != 0] = m;
    return m;
}

// But for keep, which is being added to.
static void make_room(struct fragments *keep)
{
    struct fragment_pool *pool = keep->pool;
    size_t most = pool == &keep->sa->ike->fragments[1] ? FRAGMENTS_STRANGERS : FRAGMENTS_PEERS;
    struct fragments *m = pool->first;
    while (pool->bytes > most && m) {
        struct fragments *next = m->next;
        if (m != keep) {
            COUNT(keep->sa->ike, fragments_evicted);
            drop_message(m);
        }
        m = next;
    }
}

// --- what comes ---

static bool drop(struct ike_sa *sa, const struct skf *f, const char *why)
{
    COUNT(sa->ike, fragments_dropped);
    LOGF(ENC, 1, "fragment %u of %u dropped: %s (RFC 7383 2.6)", f->number, f->total, why);
    return false;
}

static bool have_number(const struct fragments *m, uint16_t number)
{
    const struct piece *p = m->pieces;
    while (p && p->number < number)
        p = p->next;
    return p && p->number == number;
}

// All that can be told before it is opened.
static bool is_wanted(struct ike_sa *sa, const struct ike_header *h, const struct skf *f,
                      const struct fragments *m)
{
    if (!sa->fragmentation)
        return drop(sa, f, "IKE fragmentation was not agreed on");
    if (f->total > FRAGMENTS_MAX)
        return drop(sa, f, "more fragments of one message than are supported");
    if (!m || f->total > m->total)
        return true;
    if (f->total < m->total)
        return drop(sa, f, "the message is in more fragments than that");
    if (h->exchange != m->exchange)
        return drop(sa, f, "of another exchange than those before it");
    if (have_number(m, f->number)) {
        COUNT(sa->ike, fragments_dropped); // a repetition: no line for each
        return false;
    }
    return true;
}

static struct piece *open_piece(struct ike_sa *sa, const struct skf *f, struct slice d)
{
    struct piece *p = malloc(sizeof(*p) + d.len);
    if (!p)
        return NULL;
    p->number = f->number;
    p->size = sizeof(*p) + d.len;
    int rc = cr_sk_open(sa->sk_in, d.p, IKE_HEADER_LEN + PAYLOAD_HEADER_LEN + FRAGMENT_NUMBERS, d.len,
                        p->text, &p->len);
    if (!rc)
        return p;
    COUNT(sa->ike, dropped_integrity);
    drop(sa, f, "its integrity check failed");
    free(p);
    return NULL;
}

static void insert(struct fragments *m, struct piece *p)
{
    struct piece **at = &m->pieces;
    while (*at && (*at)->number < p->number)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
    m->have++;
    m->len += p->len;
    charge(m, p->size);
}

static struct inmsg *assemble(const struct fragments *m, const struct ike_header *h,
                              const struct net_path *path)
{
    struct inmsg *whole = malloc(sizeof(*whole) + m->len);
    if (!whole)
        return NULL;
    memset(whole, 0, sizeof(*whole));
    whole->h = *h;
    whole->h.next = m->first;
    whole->path = *path;
    whole->fragmented = true;
    memcpy(whole->hash, m->hash, sizeof(whole->hash));
    for (const struct piece *p = m->pieces; p; p = p->next) {
        memcpy(whole->data + whole->len, p->text, p->len);
        whole->len += p->len;
    }
    LOGF(ENC, 1, "received fragment #%u of %u, reassembled IKE message of %zu octets", m->pieces->number,
         m->total, m->len);
    COUNT(m->sa->ike, fragmented_in);
    return whole;
}

static bool keep(struct fragments *m, const struct skf *f, struct piece *p, struct slice d)
{
    struct cr_slice part = {d.p, d.len};
    if (m->len + p->len > MAX_MESSAGE) {
        free(p);
        drop(m->sa, f, "the message would be larger than is supported");
        drop_message(m);
        return false;
    }
    if (f->number == 1) {
        m->first = f->first;
        if (cr_sha256(m->sa->ike->algs, &part, 1, m->hash) != 0)
            memset(m->hash, 0, sizeof(m->hash));
    }
    insert(m, p);
    return true;
}

struct inmsg *fragments_take(struct ike_sa *sa, const struct ike_header *h, const struct net_path *path,
                             struct slice d)
{
    bool response = h->flags & FLAG_RESPONSE;
    struct fragments *m = sa->later->parts[response];
    struct skf f;
    COUNT(sa->ike, fragments_in);
    if (m && m->mid != h->mid) { // of one that was given up
        drop_message(m);
        m = NULL;
    }
    if (!skf_read(d, &f)) {
        drop(sa, &f, "its numbers or its length are malformed");
        return NULL;
    }
    struct piece *p = is_wanted(sa, h, &f, m) ? open_piece(sa, &f, d) : NULL;
    if (!p)
        return NULL;
    if (m && f.total > m->total) {
        drop_message(m);
        m = NULL;
    }
    if (!m)
        m = new_message(sa, h, f.total);
    if (!m) {
        free(p);
        return NULL;
    }
    if (!keep(m, &f, p, d))
        return NULL;
    struct inmsg *whole = m->have == m->total ? assemble(m, h, path) : NULL;
    if (m->have == m->total) {
        drop_message(m);
    } else {
        LOGF(ENC, 1, "received fragment #%u of %u, waiting for complete IKE message", f.number, f.total);
        make_room(m);
    }
    return whole;
}

bool fragments_first(struct ike_sa *sa, struct slice d)
{
    struct skf f;
    if (!sa->fragmentation || !skf_read(d, &f) || f.number != 1)
        return false;
    struct piece *p = open_piece(sa, &f, d);
    free(p);
    return p != NULL;
}
