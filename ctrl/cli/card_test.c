// SPDX-License-Identifier: Apache-2.0
// Through the engine interface alone, as the daemon uses it. The rings are made short, so that each step goes
// around them several times.
#include "ctrl/cli/card_test.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "ctrl/cli/card_answers.h"
#include "espalier/engine.h"

enum { PACKETS = 64, BUFFER = 2048, RING_LOG2 = 4, WAIT_MS = 10000, NAP_MS = 50, LONGEST = 1414 };
enum { HEADER = 20, ROOM = 128, WINDOW = 128, SPI = 0x1001, ASKED = 8, TRIES = 200 };

struct test {
    struct esp_engine *card, *soft;
    struct esp_pool *pool;
    uint8_t *buf[4][PACKETS]; // packets, sealed by the card, by software, and what came back
    struct esp_job job[PACKETS];
    struct esp_capabilities caps;
    unsigned sealed, opened; // by the card, and well
    unsigned woken;          // sleeps that the card's descriptor has ended
    struct esp_error *err;
};
enum { PLAIN_TEXT, BY_CARD, BY_SOFTWARE, BACK };

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

// Until the engine has something, or a tick is due.
static void rest(struct test *t, struct esp_engine *e)
{
    struct pollfd p = {.fd = e->fd, .events = POLLIN};
    if (!esp_arm(e))
        t->woken += poll(&p, 1, NAP_MS) == 1 && e == t->card;
    e->ops->tick(e, now_ms());
}

// ---- SAs

static int expect(struct test *t, struct esp_engine *e, enum esp_event_type type, const char *what)
{
    struct esp_event ev;
    for (uint64_t end = now_ms() + WAIT_MS; now_ms() < end; rest(t, e)) {
        if (!e->ops->events(e, &ev, 1))
            continue;
        if (ev.type == type && ev.status == ESP_STATUS_OK)
            return 0;
        if (ev.error.text[0])
            return esp_fail(t->err, -EIO, e->name, "%s", ev.error.text);
        return esp_fail(t->err, -EIO, e->name, "%s was answered by %s", what, esp_status_name(ev.status));
    }
    return esp_fail(t->err, -ETIMEDOUT, e->name, "%s was not done within %d ms", what, WAIT_MS);
}

static int add(struct test *t, struct esp_engine *e, const struct esp_sa_params *p, struct esp_sa **sa)
{
    int rc = e->ops->sa_add(e, p, NULL, sa, t->err);
    return rc ? rc : expect(t, e, ESP_EVENT_SA_ADDED, "adding an SA");
}

static int delete (struct test *t, struct esp_engine *e, struct esp_sa *sa)
{
    int rc = e->ops->sa_delete(e, sa);
    return rc ? esp_fail(t->err, rc, e->name, "an SA cannot be deleted: %s", strerror(-rc))
              : expect(t, e, ESP_EVENT_SA_DELETED, "deleting an SA");
}

static struct esp_sa_params params(enum esp_alg alg, uint64_t first)
{
    struct esp_sa_params p = {.mode = ESP_TUNNEL,
                              .alg = alg,
                              .spi = SPI,
                              .ttl = 64,
                              .seq = first,
                              .seq_limit = first + 1000000,
                              .src = {192, 0, 2, 1}, // RFC 5737
                              .dst = {192, 0, 2, 2},
                              .salt = {0xa0, 0xb1, 0xc2, 0xd3}};
    for (unsigned i = 0; i < (alg == ESP_ALG_AES128_GCM16 ? 16u : 32u); i++)
        p.key[i] = (uint8_t)(i * 5 + 1);
    return p;
}

static struct esp_sa_params inbound(const struct esp_sa_params *out, uint32_t window)
{
    struct esp_sa_params p = *out;
    p.dir = ESP_IN;
    p.window = window;
    p.seq = out->seq - 1;
    p.seen[0] = p.seq > 0;
    return p;
}

// ---- packets

static uint16_t checksum(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < n; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

// Between those two addresses, with a checksum as it has to be.
static void make_packet(uint8_t *ip, uint32_t len, const uint8_t ends[8])
{
    memset(ip, 0, HEADER);
    ip[0] = 0x45;
    ip[2] = (uint8_t)(len >> 8);
    ip[3] = (uint8_t)len;
    ip[6] = 0x40; // not to be fragmented
    ip[8] = 63;
    ip[9] = 17;
    memcpy(ip + 12, ends, 8);
    uint16_t sum = checksum(ip, HEADER);
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    for (uint32_t i = HEADER; i < len; i++)
        ip[i] = (uint8_t)(i * 7 + 3);
}

static void make_job(struct test *t, unsigned i, struct esp_sa *sa, int from, int to, uint32_t len)
{
    t->job[i] = (struct esp_job){.op = sa ? ESP_ENCAP : ESP_DECAP,
                                 .sa = sa,
                                 .in = t->buf[from][i],
                                 .out = t->buf[to][i],
                                 .in_len = len,
                                 .out_cap = BUFFER};
}

static int run(struct test *t, struct esp_engine *e, unsigned n)
{
    struct esp_job *jobs[PACKETS], *back[PACKETS];
    unsigned sent = 0, done = 0;
    for (unsigned i = 0; i < n; i++)
        jobs[i] = &t->job[i];
    for (uint64_t end = now_ms() + WAIT_MS; done < n && now_ms() < end;) {
        sent += esp_submit(e, jobs + sent, n - sent);
        done += esp_poll(e, back, n - done);
        if (done < n)
            rest(t, e);
    }
    if (done < n)
        return esp_fail(t->err, -ETIMEDOUT, e->name, "%u of %u packets came back within %d ms", done, n,
                        WAIT_MS);
    for (unsigned i = 0; i < n && e == t->card; i++) {
        t->sealed += jobs[i]->op == ESP_ENCAP && jobs[i]->status == ESP_STATUS_OK;
        t->opened += jobs[i]->op == ESP_DECAP && jobs[i]->status == ESP_STATUS_OK;
    }
    return 0;
}

static int run_well(struct test *t, struct esp_engine *e, unsigned n)
{
    int rc = run(t, e, n);
    for (unsigned i = 0; i < n && rc == 0; i++)
        if (t->job[i].status != ESP_STATUS_OK)
            rc = esp_fail(t->err, -EIO, e->name, "packet %u of %u octets was answered by %s", i,
                          t->job[i].in_len, esp_status_name(t->job[i].status));
    return rc;
}

static int same(struct test *t, const char *what, const uint8_t *got, uint32_t got_len, const uint8_t *want,
                uint32_t want_len)
{
    uint32_t at = 0;
    if (got_len != want_len)
        return esp_fail(t->err, -EIO, t->card->name, "%s: %u octets came out, %u were expected", what,
                        got_len, want_len);
    while (at < got_len && got[at] == want[at])
        at++;
    return at == got_len
               ? 0
               : esp_fail(t->err, -EIO, t->card->name, "%s: octet %u of %u is 0x%02x, expected 0x%02x", what,
                          at, got_len, got[at], want[at]);
}

// ---- answers that are known

static int known(struct test *t, struct esp_engine *e, const struct card_answer *a)
{
    struct esp_sa_params p = params(a->alg, a->seq);
    struct esp_sa *sa;
    char what[60];
    p.esn = a->esn;
    p.udp_encap = a->udp;
    p.sport = p.dport = a->udp ? 4500 : 0;
    p.window = a->esn ? WINDOW : 0;
    int rc = add(t, e, &p, &sa);
    OPENSSL_cleanse(&p, sizeof(p));
    if (rc)
        return rc;
    make_packet(t->buf[PLAIN_TEXT][0], a->inner, (const uint8_t[]){10, 1, 0, 1, 10, 2, 0, 1});
    make_job(t, 0, sa, PLAIN_TEXT, BY_CARD, a->inner);
    rc = run_well(t, e, 1);
    snprintf(what, sizeof(what), "the known answer for %s%s%s", esp_alg_name(a->alg), a->esn ? ", ESN" : "",
             a->udp ? ", in UDP" : "");
    rc = rc ? rc : same(t, what, t->job[0].out, t->job[0].out_len, a->sealed, a->len);
    return rc ? rc : delete (t, e, sa);
}

// Software's too: where it is wrong, what follows would say so of the card.
static int known_answers(struct test *t, char *shown, size_t size)
{
    int rc = 0;
    for (unsigned i = 0; i < card_answer_count && rc == 0; i++) {
        rc = known(t, t->soft, &card_answers[i]);
        rc = rc ? rc : known(t, t->card, &card_answers[i]);
    }
    snprintf(shown, size, "%u packets sealed to what is known", card_answer_count);
    return rc;
}

// ---- against software, and back

static uint32_t length_of(const struct test *t, unsigned i)
{
    uint32_t most = t->caps.max_packet - ROOM < LONGEST ? t->caps.max_packet - ROOM : LONGEST;
    return 28 + i * (most - 28) / (PACKETS - 1);
}

static int seal(struct test *t, struct esp_engine *e, const struct esp_sa_params *p, int to)
{
    struct esp_sa *sa;
    int rc = add(t, e, p, &sa);
    if (rc)
        return rc;
    for (unsigned i = 0; i < PACKETS; i++)
        make_job(t, i, sa, PLAIN_TEXT, to, length_of(t, i));
    rc = run_well(t, e, PACKETS);
    return rc ? rc : delete (t, e, sa);
}

static int come_back(struct test *t, const struct esp_sa_params *p, const uint32_t sealed[PACKETS])
{
    struct esp_sa *sa;
    int rc = add(t, t->card, p, &sa);
    if (rc)
        return rc;
    for (unsigned i = 0; i < PACKETS; i++)
        make_job(t, i, NULL, BY_CARD, BACK, sealed[i]);
    rc = run_well(t, t->card, PACKETS);
    for (unsigned i = 0; i < PACKETS && rc == 0; i++)
        rc = same(t, "a packet that came back", t->job[i].out, t->job[i].out_len, t->buf[PLAIN_TEXT][i],
                  length_of(t, i));
    return rc ? rc : delete (t, t->card, sa);
}

static int there_and_back(struct test *t, const struct esp_sa_params *out, const struct esp_sa_params *in)
{
    uint32_t sealed[PACKETS];
    int rc = seal(t, t->card, out, BY_CARD);
    for (unsigned i = 0; i < PACKETS && rc == 0; i++)
        sealed[i] = t->job[i].out_len;
    rc = rc ? rc : seal(t, t->soft, out, BY_SOFTWARE);
    for (unsigned i = 0; i < PACKETS && rc == 0; i++)
        rc = same(t, "beside software", t->buf[BY_CARD][i], sealed[i], t->buf[BY_SOFTWARE][i],
                  t->job[i].out_len);
    return rc ? rc : come_back(t, in, sealed);
}

// One kind of SA, where the card takes it: in tunnel mode, with ESN, in UDP; in transport mode.
static int one_kind(struct test *t, enum esp_alg alg, unsigned kind, unsigned *kinds)
{
    struct esp_sa_params out = params(alg, kind == 1 ? (1ull << 32) - PACKETS / 2 : 1), in;
    int rc = 0;
    out.esn = kind == 1;
    out.window = out.esn ? WINDOW : 0;
    out.udp_encap = kind == 2;
    out.sport = out.dport = out.udp_encap ? 4500 : 0;
    out.mode = kind == 3 ? ESP_TRANSPORT : ESP_TUNNEL;
    if (RAND_bytes(out.key, alg == ESP_ALG_AES128_GCM16 ? 16 : 32) != 1 ||
        RAND_bytes(out.salt, sizeof(out.salt)) != 1)
        rc = esp_fail(t->err, -EIO, "card", "no random numbers");
    in = inbound(&out, t->caps.window_max ? WINDOW : 0);
    if (rc == 0 && t->card->ops->capable(t->card, &out, NULL) == 0 &&
        t->card->ops->capable(t->card, &in, NULL) == 0) {
        rc = there_and_back(t, &out, &in);
        ++*kinds;
    }
    OPENSSL_cleanse(&out, sizeof(out));
    OPENSSL_cleanse(&in, sizeof(in));
    return rc;
}

// With ESN the numbers go past 2^32 in the middle.
static int against_software(struct test *t, char *shown, size_t size)
{
    static const enum esp_alg algs[] = {ESP_ALG_AES128_GCM16, ESP_ALG_AES256_GCM16};
    unsigned kinds = 0;
    int rc = 0;
    for (unsigned i = 0; i < PACKETS; i++)
        make_packet(t->buf[PLAIN_TEXT][i], length_of(t, i), (const uint8_t[]){192, 0, 2, 1, 192, 0, 2, 2});
    for (unsigned n = 0; n < 8 && rc == 0; n++)
        rc = one_kind(t, algs[n / 4], n % 4, &kinds);
    if (rc == 0 && kinds == 0)
        rc = esp_fail(t->err, -ENOTSUP, t->card->name, "the card takes no kind of SA that is known here");
    snprintf(shown, size,
             "%u packets of 28 to %u octets by %u kinds of SA, sealed as software does and opened again",
             kinds * PACKETS, length_of(t, PACKETS - 1), kinds);
    return rc;
}

// ---- what it has to refuse

static int refuses(struct test *t, uint32_t len, enum esp_status want, const char *what)
{
    make_job(t, 0, NULL, BY_SOFTWARE, BACK, len);
    memset(t->buf[BACK][0], 0, BUFFER);
    int rc = run(t, t->card, 1);
    if (rc)
        return rc;
    if (t->job[0].status != want)
        return esp_fail(t->err, -EIO, t->card->name, "%s was answered by %s, expected %s", what,
                        esp_status_name(t->job[0].status), esp_status_name(want));
    if (want != ESP_STATUS_OK && memmem(t->buf[BACK][0], BUFFER, t->buf[PLAIN_TEXT][0] + HEADER, 16))
        return esp_fail(t->err, -EIO, t->card->name, "%s was refused, and its plaintext is in memory", what);
    return 0;
}

static int refuse_all(struct test *t, uint32_t len)
{
    uint8_t *spi = &t->buf[BY_SOFTWARE][0][HEADER + 2], *text = &t->buf[BY_SOFTWARE][0][HEADER + 40];
    *spi ^= 0x40;
    int rc = refuses(t, len, ESP_STATUS_NO_SA, "a packet of no SA");
    *spi ^= 0x40;
    *text ^= 1;
    rc = rc ? rc : refuses(t, len, ESP_STATUS_ICV_FAIL, "a changed packet");
    *text ^= 1;
    rc = rc ? rc : refuses(t, len, ESP_STATUS_OK, "the packet as it was sealed");
    return rc || !t->caps.window_max ? rc : refuses(t, len, ESP_STATUS_REPLAY_SEEN, "the same packet again");
}

static int refusals(struct test *t, char *shown, size_t size)
{
    struct esp_sa_params out = params(ESP_ALG_AES128_GCM16, 1);
    struct esp_sa_params in = inbound(&out, t->caps.window_max ? WINDOW : 0);
    struct esp_sa *by, *sa;
    make_packet(t->buf[PLAIN_TEXT][0], 100, (const uint8_t[]){192, 0, 2, 1, 192, 0, 2, 2});
    int rc = add(t, t->soft, &out, &by);
    if (rc)
        return rc;
    make_job(t, 0, by, PLAIN_TEXT, BY_SOFTWARE, 100);
    rc = run_well(t, t->soft, 1);
    rc = rc ? rc : delete (t, t->soft, by);
    uint32_t len = t->job[0].out_len;
    rc = rc ? rc : add(t, t->card, &in, &sa);
    if (rc)
        return rc;
    rc = refuse_all(t, len);
    snprintf(shown, size, "a packet of no SA, a changed one%s; nothing of them got out",
             t->caps.window_max ? ", one that came twice" : "");
    return rc ? rc : delete (t, t->card, sa);
}

// ---- interrupts

// Nothing is asked of the engine between the sleep and what ends it.
static int sleep_once(struct test *t, const char *what)
{
    struct pollfd p = {.fd = t->card->fd, .events = POLLIN};
    if (esp_arm(t->card)) // it is there already
        return 0;
    t->woken++;
    return poll(&p, 1, WAIT_MS) == 1
               ? 0
               : esp_fail(t->err, -EIO, t->card->name, "no interrupt came for %s", what);
}

static int ask_packets(struct test *t, struct esp_sa *sa)
{
    struct esp_job *job = &t->job[0], *back;
    make_job(t, 0, sa, PLAIN_TEXT, BY_CARD, LONGEST < t->caps.max_packet - ROOM ? LONGEST : 100);
    if (esp_submit(t->card, &job, 1) != 1)
        return esp_fail(t->err, -EIO, t->card->name, "an idle ring takes no packet");
    for (uint64_t end = now_ms() + WAIT_MS; now_ms() < end;) {
        int rc = sleep_once(t, "a packet");
        if (rc)
            return rc;
        if (esp_poll(t->card, &back, 1)) {
            t->sealed += back->status == ESP_STATUS_OK;
            return 0;
        }
        t->card->ops->tick(t->card, now_ms());
    }
    return esp_fail(t->err, -ETIMEDOUT, t->card->name, "a packet did not come back within %d ms", WAIT_MS);
}

static int ask_commands(struct test *t, struct esp_sa *sa)
{
    struct esp_event ev;
    int rc = t->card->ops->sa_query(t->card, sa);
    if (rc)
        return esp_fail(t->err, rc, t->card->name, "an SA cannot be asked: %s", strerror(-rc));
    for (uint64_t end = now_ms() + WAIT_MS; now_ms() < end;) {
        rc = sleep_once(t, "an SA command");
        if (rc)
            return rc;
        if (t->card->ops->events(t->card, &ev, 1))
            return ev.type == ESP_EVENT_SA_STATS
                       ? 0
                       : esp_fail(t->err, -EIO, t->card->name, "a question about an SA ended in %s",
                                  ev.error.text);
        t->card->ops->tick(t->card, now_ms());
    }
    return esp_fail(t->err, -ETIMEDOUT, t->card->name, "an SA command was not answered within %d ms",
                    WAIT_MS);
}

// A card may be faster than the way to sleep: so it is tried until some sleeps were ended.
static int wakes(struct test *t, struct esp_sa *sa, int (*ask)(struct test *t, struct esp_sa *sa))
{
    int rc = 0;
    t->woken = 0;
    for (unsigned i = 0; i < TRIES && t->woken < ASKED && rc == 0; i++)
        rc = ask(t, sa);
    if (rc == 0 && t->woken == 0)
        rc = esp_fail(t->err, -EIO, t->card->name, "in %d tries nobody slept until an interrupt came", TRIES);
    return rc;
}

static int interrupts(struct test *t, char *shown, size_t size)
{
    struct esp_sa_params p = params(ESP_ALG_AES128_GCM16, 1);
    struct esp_sa *sa;
    int rc = add(t, t->card, &p, &sa);
    if (rc)
        return rc;
    make_packet(t->buf[PLAIN_TEXT][0], LONGEST < t->caps.max_packet - ROOM ? LONGEST : 100,
                (const uint8_t[]){192, 0, 2, 1, 192, 0, 2, 2});
    rc = wakes(t, sa, ask_commands);
    unsigned commands = t->woken;
    rc = rc ? rc : wakes(t, sa, ask_packets);
    snprintf(shown, size, "%u sleeps were ended by SA commands, %u by packets", commands, t->woken);
    return rc ? rc : delete (t, t->card, sa);
}

// ---- what it has counted

static bool counter(const char *text, const char *name, uint64_t *value)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ' ') {
            *value = strtoull(line + len, NULL, 10);
            return true;
        }
    }
    return false;
}

static int look_at_counters(struct test *t, char *text, size_t size)
{
    uint64_t first = 0, now = 0;
    for (uint64_t end = now_ms() + WAIT_MS; now_ms() < end; rest(t, t->card)) {
        int n = t->card->ops->counters(t->card, text, size);
        if (n <= 0 || (size_t)n >= size || !counter(text, "driver_snapshots", &now))
            return esp_fail(t->err, -EIO, t->card->name, "its counters cannot be read");
        first = first ? first : now;
        if (now >= first + 2)
            return 0;
    }
    return esp_fail(t->err, -ETIMEDOUT, t->card->name, "its counters were not read within %d ms", WAIT_MS);
}

static int counters(struct test *t, char *shown, size_t size)
{
    char text[8192] = "";
    uint64_t sealed = 0, opened = 0;
    int rc = look_at_counters(t, text, sizeof(text));
    if (rc)
        return rc;
    if (!counter(text, "ENC_PACKETS", &sealed) || !counter(text, "DEC_PACKETS", &opened)) {
        snprintf(shown, size, "it counts nothing");
        return 0;
    }
    if (sealed != t->sealed || opened != t->opened)
        return esp_fail(t->err, -EIO, t->card->name,
                        "it has counted %llu packets sealed and %llu opened, and it was %u and %u",
                        (unsigned long long)sealed, (unsigned long long)opened, t->sealed, t->opened);
    snprintf(shown, size, "%u packets sealed and %u opened, as it has counted", t->sealed, t->opened);
    return 0;
}

// ---- the whole

static int open_engines(struct test *t, const char *pci_sysfs, const char *bdf)
{
    struct esp_card_options o = {.pci_sysfs = pci_sysfs, .bdf = bdf, .ring_log2 = RING_LOG2, .pool_count = 1};
    int rc = esp_pool_create(&t->pool, 4 * (size_t)PACKETS, BUFFER, t->err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < 4 * PACKETS; i++)
        t->buf[i / PACKETS][i % PACKETS] = esp_pool_get(t->pool);
    o.pool[0] = t->pool;
    rc = esp_soft_open(&t->soft, t->err);
    rc = rc ? rc : t->soft->ops->attach_pool(t->soft, t->pool, t->err);
    rc = rc ? rc : esp_card_open(&t->card, &o, t->err);
    if (rc == 0)
        t->card->ops->capabilities(t->card, &t->caps);
    return rc;
}

static int steps(struct test *t, card_test_tell *tell, void *ctx, const char **step)
{
    static const struct {
        const char *name;
        int (*run)(struct test *t, char *shown, size_t size);
    } all[] = {{"known answers", known_answers},
               {"against software", against_software},
               {"refusals", refusals},
               {"interrupts", interrupts},
               {"counters", counters}};
    char shown[160];
    int rc = 0;
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]) && rc == 0; i++) {
        *step = all[i].name;
        rc = all[i].run(t, shown, sizeof(shown));
        if (rc == 0)
            tell(ctx, all[i].name, shown);
    }
    return rc;
}

int card_test(const char *pci_sysfs, const char *bdf, card_test_tell *tell, void *ctx, const char **step,
              struct esp_error *err)
{
    struct test *t = calloc(1, sizeof(*t));
    *step = "start";
    if (!t)
        return esp_fail(err, -ENOMEM, "card", "out of memory");
    t->err = err;
    int rc = open_engines(t, pci_sysfs, bdf);
    if (rc == 0) {
        tell(ctx, *step, "reset, handshake, rings, and the driver's own test of every queue");
        rc = steps(t, tell, ctx, step);
    }
    if (t->card)
        t->card->ops->destroy(t->card);
    if (t->soft)
        t->soft->ops->destroy(t->soft);
    if (t->pool)
        esp_pool_destroy(t->pool);
    free(t);
    return rc;
}
