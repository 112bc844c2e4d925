// SPDX-License-Identifier: Apache-2.0
// Before a card is used it shows that it works: an SA in each direction under a key drawn at random, packets
// of many lengths through both queues, there and back, and the SAs deleted again. Whatever makes a card in
// use fail (watch.c, the checks of packet.c) makes it fail here, where nothing depends on it yet.
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "driver/card/card.h"
#include "driver/common/bytes.h"
#include "driver/common/checksum.h"

enum { PACKETS = 12, BUFFER = 2048, SHORTEST = 64, LONGEST = 1400, ADDED = 128, WAIT_MS = 5000 };
enum { HEADER = 20, EXPERIMENT = 253, WINDOW = 64 };
_Static_assert(3 * PACKETS * BUFFER == CARD_SCRATCH_BYTES, "its memory");
_Static_assert(LONGEST + ADDED <= BUFFER, "the longest");

struct test {
    struct card *c;
    struct esp_sa *sa[2]; // by direction
    struct esp_job job[PACKETS];
    struct esp_error *err;
    uint8_t *packet, *sealed, *opened; // PACKETS buffers each
};

static uint64_t clock_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

__attribute__((format(printf, 3, 4))) static int failed(struct test *t, int code, const char *fmt, ...)
{
    char what[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return esp_fail(t->err, code, "self-test", "%s", what);
}

static bool may_wait(const struct test *t, uint64_t end)
{
    return clock_ms() < end && !card_given_up(t->c);
}

// The card may have failed: then its reason says more.
static int not_in_time(struct test *t, const char *what)
{
    struct card *c = t->c;

    for (uint64_t end = clock_ms() + WAIT_MS; card_failed(c) && !card_dead(c) && may_wait(t, end);)
        nap();
    if (card_dead(c))
        return failed(t, -EIO, "%s", c->reason);
    if (card_given_up(c))
        return failed(t, -ECANCELED, "it was given up");
    return failed(t, -ETIMEDOUT, "%s was not done within %d ms", what, WAIT_MS);
}

static int await_event(struct test *t, enum esp_event_type want, struct esp_event *ev, const char *what)
{
    struct esp_engine *e = &t->c->base;

    for (uint64_t end = clock_ms() + WAIT_MS; may_wait(t, end) && !card_failed(t->c); nap()) {
        e->ops->tick(e, clock_ms());
        if (!e->ops->events(e, ev, 1))
            continue;
        if (ev->type == want && ev->status == ESP_STATUS_OK)
            return 0;
        if (card_failed(t->c)) // which this is the answer to
            break;
        return failed(t, -EIO, "%s was answered by %s", what, esp_status_name(ev->status));
    }
    return not_in_time(t, what);
}

static int add(struct test *t, enum esp_dir dir, struct esp_sa_params *p)
{
    struct esp_engine *e = &t->c->base;
    struct esp_event ev;
    int rc;

    p->dir = dir;
    p->seq = dir == ESP_OUT;
    rc = e->ops->sa_add(e, p, NULL, &t->sa[dir], t->err);
    if (card_failed(t->c)) // -ENODEV would say that there is none
        return not_in_time(t, "adding an SA");
    return rc ? rc : await_event(t, ESP_EVENT_SA_ADDED, &ev, "adding an SA");
}

static int add_both(struct test *t)
{
    bool long_keys = t->c->features & ESPC_FEATURES_OFFERED_AES256_GCM16_MASK;
    struct esp_sa_params p = {.mode = ESP_TUNNEL,
                              .alg = long_keys ? ESP_ALG_AES256_GCM16 : ESP_ALG_AES128_GCM16,
                              .src = {192, 0, 2, 1}, // RFC 5737
                              .dst = {192, 0, 2, 2},
                              .ttl = 64,
                              .seq_limit = PACKETS + 1};
    int rc;

    if (t->c->features & ESPC_FEATURES_OFFERED_REPLAY_MASK)
        p.window = WINDOW;
    if (RAND_bytes(p.key, long_keys ? 32 : 16) != 1 || RAND_bytes(p.salt, sizeof(p.salt)) != 1 ||
        RAND_bytes((unsigned char *)&p.spi, sizeof(p.spi)) != 1)
        return failed(t, -EIO, "no random numbers");
    p.spi |= 0x100; // 0 ... 255 are not for use (RFC 4303 section 2.1)
    rc = add(t, ESP_OUT, &p);
    if (!rc)
        rc = add(t, ESP_IN, &p);
    OPENSSL_cleanse(&p, sizeof(p));
    return rc;
}

static uint32_t length_of(const struct test *t, unsigned i)
{
    uint32_t longest = t->c->max_len < LONGEST + ADDED ? t->c->max_len - ADDED : LONGEST;

    return SHORTEST + i * (longest - SHORTEST) / (PACKETS - 1);
}

static int make_packets(struct test *t)
{
    for (unsigned i = 0; i < PACKETS; i++) {
        uint8_t *ip = t->packet + (size_t)i * BUFFER;
        uint32_t len = length_of(t, i);

        if (RAND_bytes(ip, (int)len) != 1)
            return failed(t, -EIO, "no random numbers");
        memset(ip, 0, HEADER);
        ip[0] = 0x45;
        put_be16(ip + 2, (uint16_t)len);
        ip[8] = 64;
        ip[9] = EXPERIMENT;
        memcpy(ip + 12, (const uint8_t[]){192, 0, 2, 1, 192, 0, 2, 2}, 8);
        put_be16(ip + 10, sum_fold(sum_octets(0, ip, HEADER)));
    }
    return 0;
}

static void make_jobs(struct test *t, enum esp_op op)
{
    bool encap = op == ESP_ENCAP;

    for (unsigned i = 0; i < PACKETS; i++)
        t->job[i] = (struct esp_job){.op = op,
                                     .sa = encap ? t->sa[ESP_OUT] : NULL,
                                     .in = (encap ? t->packet : t->sealed) + (size_t)i * BUFFER,
                                     .out = (encap ? t->sealed : t->opened) + (size_t)i * BUFFER,
                                     .in_len = encap ? length_of(t, i) : t->job[i].out_len,
                                     .out_cap = BUFFER};
}

// A ring may have room for fewer.
static int run(struct test *t, enum esp_op op, const char *what)
{
    struct esp_engine *e = &t->c->base;
    struct esp_job *jobs[PACKETS], *back[PACKETS];
    unsigned taken = 0, done = 0;

    make_jobs(t, op);
    for (unsigned i = 0; i < PACKETS; i++)
        jobs[i] = &t->job[i];
    for (uint64_t end = clock_ms() + WAIT_MS; done < PACKETS && may_wait(t, end) && !card_failed(t->c);
         nap()) {
        taken += esp_submit(e, jobs + taken, PACKETS - taken);
        done += esp_poll(e, back + done, PACKETS - done);
        e->ops->tick(e, clock_ms());
    }
    if (done < PACKETS || card_failed(t->c))
        return not_in_time(t, what);
    for (unsigned i = 0; i < PACKETS; i++)
        if (t->job[i].status)
            return failed(t, -EIO, "%s ended with %s", what, esp_status_name(t->job[i].status));
    return 0;
}

static int compare(struct test *t)
{
    for (unsigned i = 0; i < PACKETS; i++)
        if (t->job[i].out_len != length_of(t, i) ||
            memcmp(t->opened + (size_t)i * BUFFER, t->packet + (size_t)i * BUFFER, length_of(t, i)) != 0)
            return failed(t, -EIO, "a packet of %u octets did not come back as it was", length_of(t, i));
    return 0;
}

static int delete (struct test *t, enum esp_dir dir)
{
    struct esp_engine *e = &t->c->base;
    struct esp_event ev;
    int rc = e->ops->sa_delete(e, t->sa[dir]);

    if (card_failed(t->c))
        return not_in_time(t, "deleting an SA");
    return rc ? failed(t, rc, "an SA cannot be deleted")
              : await_event(t, ESP_EVENT_SA_DELETED, &ev, "deleting an SA");
}

static int whole(struct test *t)
{
    int rc = make_packets(t);

    rc = rc ? rc : add_both(t);
    rc = rc ? rc : run(t, ESP_ENCAP, "encapsulation");
    rc = rc ? rc : run(t, ESP_DECAP, "decapsulation");
    rc = rc ? rc : compare(t);
    rc = rc ? rc : delete (t, ESP_OUT);
    return rc ? rc : delete (t, ESP_IN);
}

// What follows is counted from here, by the card too. The first look may have begun before the last packet
// was counted.
static int count_from_here(struct test *t)
{
    struct card *c = t->c;
    unsigned taken = atomic_load(&c->snapshots), now = taken;

    for (uint64_t end = clock_ms() + WAIT_MS; now - taken < 2 && !card_failed(c) && may_wait(t, end);) {
        atomic_store(&c->snapshot_wanted, 1);
        card_nudge(c);
        nap();
        now = atomic_load(&c->snapshots);
    }
    if (now - taken < 2)
        return not_in_time(t, "reading the card's counters");
    for (unsigned i = 0; i < ESPC_COUNTER_COUNT; i++)
        c->counted_from[i] = atomic_load(&c->counter[now % 2][i]);
    c->completions = c->doorbells = c->jobs_done = c->jobs_aborted = 0;
    return 0;
}

int card_selftest(struct card *c, struct esp_error *err)
{
    struct test t = {.c = c,
                     .err = err,
                     .packet = c->scratch,
                     .sealed = c->scratch + (size_t)PACKETS * BUFFER,
                     .opened = c->scratch + (size_t)2 * PACKETS * BUFFER};
    int rc;

    c->pool[c->pools++] = (struct dma_pool){c->scratch, CARD_SCRATCH_BYTES, c->scratch_iova};
    rc = whole(&t);
    c->pools--;
    return rc ? rc : count_from_here(&t);
}
