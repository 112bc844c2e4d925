// SPDX-License-Identifier: Apache-2.0
// espalier-card as a process under the driver's own card engine: the bytes that come back are those of the
// software engine, whatever the length, many packets at once; and the engine's answer to each of the card's
// faults.
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "espalier/engine.h"

enum { BUFFERS = 1024, BUFFER = 2048, SPI = 0x1001, WAIT_MS = 30000 };

static char program[512], dir[64];
static const char *stats_file; // --json of the next card, or NULL
static pid_t card_pid;

struct side {
    struct esp_engine *e;
    struct esp_pool *pool;
    struct esp_sa *out, *in;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static void nap(void)
{
    struct timespec t = {.tv_nsec = 200000};
    nanosleep(&t, NULL);
}

// -------------------------------------------------------------------------------------------------------
// process

static void launch_card(const char *lanes)
{
    int out[2];
    assert_int_equal(pipe(out), 0);
    card_pid = fork();
    assert_true(card_pid >= 0);
    if (card_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], 1);
        close(out[0]);
        close(out[1]);
        execl(program, program, "--dir", dir, "--lanes", lanes, stats_file ? "--json" : (char *)NULL,
              stats_file, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    char line[128] = "";
    ssize_t n = read(out[0], line, sizeof line - 1);
    close(out[0]);
    if (n <= 0 || strncmp(line, "ready ", 6) != 0)
        fail_msg("%s did not come up: got '%s', expected 'ready ...'", program, line);
}

static void start_card(const char *lanes)
{
    strcpy(dir, "/tmp/card-engine-XXXXXX");
    assert_non_null(mkdtemp(dir));
    launch_card(lanes);
}

static int stop_card(void)
{
    int status = -1;
    kill(card_pid, SIGTERM);
    waitpid(card_pid, &status, 0);
    return rmdir(dir) == 0 ? status : -1; // nothing may be left in DIR
}

static void ctl(const char *command)
{
    char line[700];
    snprintf(line, sizeof line, "%s ctl --dir %s %s > /dev/null", program, dir, command);
    assert_int_equal(system(line), 0);
}

// -------------------------------------------------------------------------------------------------------
// engines

static void open_side_by(struct side *s, bool card, uint32_t deadline_ms)
{
    const struct esp_card_options o = {.pci_sysfs = dir, .deadline_ms = deadline_ms};
    struct esp_error err = {0};
    memset(s, 0, sizeof *s);
    int rc = card ? esp_card_open(&s->e, &o, &err) : esp_soft_open(&s->e, &err);
    if (rc)
        fail_msg("engine: %s", err.text);
    assert_int_equal(esp_pool_create(&s->pool, BUFFERS, BUFFER, &err), 0);
    assert_int_equal(s->e->ops->attach_pool(s->e, s->pool, &err), 0);
}

static void open_side(struct side *s, bool card)
{
    open_side_by(s, card, 0);
}

static void close_side(struct side *s)
{
    s->e->ops->destroy(s->e);
    esp_pool_destroy(s->pool);
}

static bool next_event(struct side *s, struct esp_event *ev)
{
    for (uint64_t end = now_ms() + WAIT_MS; now_ms() < end; nap()) {
        s->e->ops->tick(s->e, now_ms());
        if (s->e->ops->events(s->e, ev, 1))
            return true;
    }
    return false;
}

static void expect(struct side *s, enum esp_event_type type, struct esp_event *ev)
{
    *ev = (struct esp_event){0};
    if (!next_event(s, ev))
        fail_msg("no event within %d ms, expected type %d", WAIT_MS, (int)type);
    if (ev->type != type)
        fail_msg("event %d, expected %d: %s %s", (int)ev->type, (int)type, esp_status_name(ev->status),
                 ev->error.text);
}

static struct esp_sa_params params(enum esp_dir way)
{
    struct esp_sa_params p = {.dir = way,
                              .mode = ESP_TUNNEL,
                              .alg = ESP_ALG_AES128_GCM16,
                              .spi = SPI,
                              .esn = true,
                              .ttl = 64,
                              .window = 128,
                              .seq_limit = 1u << 20};
    p.seq = way == ESP_OUT; // the first to send, or none received
    p.window = way == ESP_IN ? 128 : 0;
    for (uint8_t i = 0; i < 16; i++)
        p.key[i] = (uint8_t)(0x10 + i);
    memcpy(p.salt, "\1\2\3\4", 4);
    memcpy(p.src, "\xc0\0\2\1", 4);
    memcpy(p.dst, "\xc0\0\2\2", 4);
    return p;
}

static struct esp_sa *add(struct side *s, enum esp_dir way)
{
    struct esp_sa_params p = params(way);
    struct esp_event ev;
    struct esp_error err = {0};
    struct esp_sa *sa;
    if (s->e->ops->sa_add(s->e, &p, NULL, &sa, &err))
        fail_msg("sa_add: %s", err.text);
    expect(s, ESP_EVENT_SA_ADDED, &ev);
    return sa;
}

static void put_sum(uint8_t *ip)
{
    uint32_t sum = 0;
    ip[10] = ip[11] = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;
    ip[10] = (uint8_t)(~sum >> 8);
    ip[11] = (uint8_t)~sum;
}

static void make_inner(uint8_t *p, uint32_t len, uint32_t seed)
{
    memset(p, 0, 20);
    p[0] = 0x45;
    p[1] = (uint8_t)(seed << 2);
    p[2] = (uint8_t)(len >> 8);
    p[3] = (uint8_t)len;
    p[6] = seed & 1 ? 0x40 : 0;
    p[8] = 63;
    p[9] = 17;
    memcpy(p + 12, "\x0a\1\0\1\x0a\2\0\1", 8);
    put_sum(p);
    for (uint32_t i = 20; i < len; i++)
        p[i] = (uint8_t)(i * 7 + seed);
}

// A job with its buffers; the packet is an inner one, or a copy of `from`.
static struct esp_job *make_job(struct side *s, enum esp_op op, uint32_t len, uint32_t seed,
                                const uint8_t *from)
{
    struct esp_job *j = calloc(1, sizeof *j);
    *j = (struct esp_job){.op = op,
                          .sa = op == ESP_ENCAP ? s->out : NULL,
                          .in = esp_pool_get(s->pool),
                          .out = esp_pool_get(s->pool),
                          .in_len = len,
                          .out_cap = BUFFER};
    assert_non_null(j->in);
    assert_non_null(j->out);
    if (from)
        memcpy(j->in, from, len);
    else
        make_inner(j->in, len, seed);
    return j;
}

static void free_job(struct side *s, struct esp_job *j)
{
    esp_pool_put(s->pool, j->in);
    esp_pool_put(s->pool, j->out);
    free(j);
}

static void run_jobs(struct side *s, struct esp_job **jobs, unsigned n)
{
    struct esp_job **back = calloc(n, sizeof(struct esp_job *));
    unsigned sent = 0, done = 0;
    for (uint64_t end = now_ms() + WAIT_MS; done < n && now_ms() < end;) {
        if (sent < n)
            sent += esp_submit(s->e, jobs + sent, n - sent);
        unsigned m = esp_poll(s->e, back + done, n - done);
        done += m;
        s->e->ops->tick(s->e, now_ms());
        if (!m)
            nap();
    }
    if (done != n)
        fail_msg("%u of %u jobs came back within %d ms", done, n, WAIT_MS);
    for (unsigned i = 0; i < n; i++)
        assert_ptr_equal(back[i], jobs[i]);
    free(back);
}

static void same_result(const struct esp_job *card, const struct esp_job *soft)
{
    if (card->status != soft->status || card->out_len != soft->out_len || card->seq != soft->seq)
        fail_msg("length %u: card %s, %u bytes, sequence %llu; software %s, %u bytes, sequence %llu",
                 card->in_len, esp_status_name(card->status), card->out_len, (unsigned long long)card->seq,
                 esp_status_name(soft->status), soft->out_len, (unsigned long long)soft->seq);
    assert_memory_equal(card->out, soft->out, card->out_len);
}

// ----------------------------------------------------------------------------------------------------------
// tests

static void encap_both(struct side *card, struct side *soft, const uint32_t *lengths, unsigned n,
                       struct esp_job **on_card, struct esp_job **on_soft)
{
    for (unsigned i = 0; i < n; i++) {
        on_card[i] = make_job(card, ESP_ENCAP, lengths[i], i, NULL);
        on_soft[i] = make_job(soft, ESP_ENCAP, lengths[i], i, NULL);
    }
    run_jobs(card, on_card, n);
    run_jobs(soft, on_soft, n);
    for (unsigned i = 0; i < n; i++)
        same_result(on_card[i], on_soft[i]);
}

static void decap_both(struct side *card, struct side *soft, struct esp_job **outer, unsigned n)
{
    struct esp_job *on_card[BUFFERS / 4], *on_soft[BUFFERS / 4];
    for (unsigned i = 0; i < n; i++) {
        on_card[i] = make_job(card, ESP_DECAP, outer[i]->out_len, 0, outer[i]->out);
        on_soft[i] = make_job(soft, ESP_DECAP, outer[i]->out_len, 0, outer[i]->out);
        if (i % 16 == 5)
            on_card[i]->in[on_card[i]->in_len - 1] ^= 1, on_soft[i]->in[on_card[i]->in_len - 1] ^= 1;
    }
    run_jobs(card, on_card, n);
    run_jobs(soft, on_soft, n);
    for (unsigned i = 0; i < n; i++) {
        same_result(on_card[i], on_soft[i]);
        assert_int_equal(on_card[i]->status, i % 16 == 5 ? ESP_STATUS_ICV_FAIL : ESP_STATUS_OK);
        free_job(card, on_card[i]);
        free_job(soft, on_soft[i]);
    }
}

static void same_bytes(const char *lanes, unsigned n)
{
    struct side card, soft;
    struct esp_event ev;
    struct esp_job *on_card[BUFFERS / 4], *on_soft[BUFFERS / 4];
    uint32_t lengths[BUFFERS / 4];
    for (unsigned i = 0; i < n; i++)
        lengths[i] = 20 + i * 37 % 1400;
    start_card(lanes);
    open_side(&card, true);
    open_side(&soft, false);
    card.out = add(&card, ESP_OUT);
    soft.out = add(&soft, ESP_OUT);
    encap_both(&card, &soft, lengths, n, on_card, on_soft);
    card.in = add(&card, ESP_IN);
    soft.in = add(&soft, ESP_IN);
    decap_both(&card, &soft, on_soft, n);
    for (unsigned i = 0; i < n; i++) {
        free_job(&card, on_card[i]);
        free_job(&soft, on_soft[i]);
    }
    assert_int_equal(card.e->ops->sa_delete(card.e, card.out), 0);
    expect(&card, ESP_EVENT_SA_DELETED, &ev);
    assert_int_equal(ev.stats.packets, n);
    assert_int_equal(ev.stats.last_seq, n);
    close_side(&card);
    close_side(&soft);
    assert_int_equal(stop_card(), 0);
}

static void test_card_and_software_give_the_same_bytes(void **state)
{
    (void)state;
    same_bytes("1", 200);
}

static void test_four_lanes_give_the_same_bytes(void **state)
{
    (void)state;
    same_bytes("4", 100);
}

// Waits for the engine to declare itself failed, while polling as any user does; *back is a job that came
// back.
static void expect_failure(struct side *s, struct esp_event *ev, struct esp_job **back)
{
    *ev = (struct esp_event){0};
    for (uint64_t end = now_ms() + WAIT_MS; now_ms() < end; nap()) {
        if (!*back)
            esp_poll(s->e, back, 1);
        s->e->ops->tick(s->e, now_ms());
        if (s->e->ops->events(s->e, ev, 1))
            break;
    }
    if (ev->type != ESP_EVENT_FAILED)
        fail_msg("got event %d, expected the engine to fail", (int)ev->type);
    if (!*back)
        esp_poll(s->e, back, 1);
}

// `silent`: the fault also keeps results out of memory.
static void fails_with(const char *fault, const char *text, bool silent)
{
    struct side card;
    struct esp_event ev;
    start_card("1");
    open_side(&card, true);
    card.out = add(&card, ESP_OUT);
    ctl(fault);
    struct esp_job *j = make_job(&card, ESP_ENCAP, 100, 0, NULL), *back = NULL;
    // on a busy machine the driver may have found a dead card before it is given the job
    bool taken = esp_submit(card.e, &j, 1) == 1;
    assert_true(taken || !strcmp(fault, "fault dead"));
    expect_failure(&card, &ev, &back);
    if (!strstr(ev.error.text, text))
        fail_msg("%s: got '%s', expected something with '%s'", fault, ev.error.text, text);
    assert_ptr_equal(back, taken ? j : NULL);
    assert_true(!taken || j->status == ESP_STATUS_ABORTED);
    ctl("fault clear");
    usleep(100000);
    for (size_t at = sizeof(uint64_t); silent && at < 64; at++) // behind the driver's mark
        assert_int_equal(j->out[at], 0); // what was asked of it before its end never arrives
    free_job(&card, j);
    close_side(&card);
    open_side(&card, true); // the card is there again for the next driver
    close_side(&card);
    assert_int_equal(stop_card(), 0);
}

static void test_hung_card_fails_the_engine(void **state)
{
    (void)state;
    fails_with("fault hang", "hang", true);
}

static void test_dead_card_fails_the_engine(void **state)
{
    (void)state;
    fails_with("fault dead", "all ones", true);
}

static void runs_at(struct side *card, uint32_t seed, enum esp_status want)
{
    struct esp_job *j = make_job(card, ESP_ENCAP, 100, seed, NULL);
    run_jobs(card, &j, 1);
    if (j->status != want)
        fail_msg("%s, expected %s", esp_status_name(j->status), esp_status_name(want));
    free_job(card, j);
}

enum { DEADLINE_MS = 1500 };

// The RTL's own comparison, by its own clock: as long as this driver lives the SA goes on, and past its
// silence it stops, and nothing revives it.
static void test_card_whose_host_is_silent_stops_its_sas(void **state)
{
    (void)state;
    struct side card;
    struct esp_event ev;
    start_card("1");
    open_side_by(&card, true, DEADLINE_MS);
    card.out = add(&card, ESP_OUT);
    for (uint64_t end = now_ms() + 2 * DEADLINE_MS; now_ms() < end; usleep(20000))
        runs_at(&card, 1, ESP_STATUS_OK);
    usleep(2 * DEADLINE_MS * 1000);
    struct esp_job *j = make_job(&card, ESP_ENCAP, 100, 0, NULL), *back;
    assert_int_equal(esp_submit(card.e, &j, 1), 1);
    for (uint64_t end = now_ms() + WAIT_MS; !esp_poll(card.e, &back, 1);) {
        assert_true(now_ms() < end);
        nap();
    }
    assert_int_equal(j->status, ESP_STATUS_LEASE_EXPIRED);
    assert_int_equal(j->out_len, 0);
    free_job(&card, j);
    expect(&card, ESP_EVENT_SA_LEASED, &ev); // the renewal that came too late
    assert_int_equal(ev.status, ESP_STATUS_LEASE_EXPIRED);
    runs_at(&card, 2, ESP_STATUS_LEASE_EXPIRED);
    card.out = NULL;
    close_side(&card);
    assert_int_equal(stop_card(), 0);
}

// One queue of the card stops, twenty packets on their way: those that come back have gone nowhere, the SA
// goes on with its numbers, the other queue and the other SA have seen nothing.
static void stops_one_queue(const char *fault, const char *text)
{
    struct side card;
    struct esp_event ev;
    struct esp_job *jobs[20];
    unsigned aborted = 0;
    uint64_t last = 0;
    start_card("4");
    open_side(&card, true);
    card.out = add(&card, ESP_OUT);
    card.in = add(&card, ESP_IN);
    runs_at(&card, 1, ESP_STATUS_OK);
    ctl(fault);
    for (unsigned i = 0; i < 20; i++)
        jobs[i] = make_job(&card, ESP_ENCAP, 100 + i, i, NULL);
    run_jobs(&card, jobs, 20);
    for (unsigned i = 0; i < 20; i++) {
        aborted += jobs[i]->status == ESP_STATUS_ABORTED;
        if (jobs[i]->status == ESP_STATUS_OK) {
            assert_int_equal(aborted, 0);
            last = jobs[i]->seq;
        }
    }
    assert_true(aborted > 0);
    expect(&card, ESP_EVENT_QUEUE_RESET, &ev);
    if (!strstr(ev.error.text, text))
        fail_msg("%s: got '%s', expected something with '%s'", fault, ev.error.text, text);
    for (unsigned i = 0; i < 20; i++)
        free_job(&card, jobs[i]);
    struct esp_job *again = make_job(&card, ESP_ENCAP, 300, 9, NULL);
    run_jobs(&card, &again, 1);
    assert_int_equal(again->status, ESP_STATUS_OK);
    assert_true(again->seq > last);
    struct esp_job *in = make_job(&card, ESP_DECAP, again->out_len, 0, again->out);
    run_jobs(&card, &in, 1);
    assert_int_equal(in->status, ESP_STATUS_OK);
    assert_ptr_equal(in->sa, card.in);
    assert_memory_equal(in->out, again->in, 300);
    free_job(&card, again);
    free_job(&card, in);
    close_side(&card);
    assert_int_equal(stop_card(), 0);
}

static void test_bad_doorbell_stops_its_queue_alone(void **state)
{
    (void)state;
    stops_one_queue("fault bad-doorbell", "a doorbell made no sense");
}

static void test_bus_error_on_a_ring_stops_its_queue_alone(void **state)
{
    (void)state;
    stops_one_queue("fault ring-error", "a bus error when the card wrote its completions");
}

// A NAT rebinds: both engines move the SA where it is, and go on with the same bytes.
static void test_moved_ends_give_the_same_bytes_as_in_software(void **state)
{
    (void)state;
    struct side card, soft;
    struct esp_event ev;
    struct esp_error err = {0};
    struct esp_endpoint out = {
        .udp_encap = true, .src = {192, 0, 2, 1}, .dst = {203, 0, 113, 5}, .sport = 4500, .dport = 1027};
    start_card("1");
    open_side(&card, true);
    open_side(&soft, false);
    card.out = add(&card, ESP_OUT);
    soft.out = add(&soft, ESP_OUT);
    for (unsigned round = 0; round < 4; round++) {
        struct esp_job *a = make_job(&card, ESP_ENCAP, 90 + round, 2 * round, NULL);
        struct esp_job *b = make_job(&soft, ESP_ENCAP, 90 + round, 2 * round, NULL);
        run_jobs(&card, &a, 1);
        run_jobs(&soft, &b, 1);
        assert_int_equal(a->status, ESP_STATUS_OK);
        same_result(a, b);
        assert_int_equal(a->out[19] == 5 + round - 1, round > 0);
        free_job(&card, a);
        free_job(&soft, b);
        out.dst[3] = (uint8_t)(5 + round);
        assert_int_equal(card.e->ops->sa_endpoint(card.e, card.out, &out, &err), 0);
        assert_int_equal(soft.e->ops->sa_endpoint(soft.e, soft.out, &out, &err), 0);
        assert_int_equal(card.e->ops->sa_query(card.e, card.out), 0);
        expect(&card, ESP_EVENT_SA_STATS, &ev); // the command before it is done, and says nothing
    }
    close_side(&card);
    close_side(&soft);
    assert_int_equal(stop_card(), 0);
}

// Refused by the card, after the call: the SA's owner hears it as it hears of a lease.
static void test_ends_that_another_sa_has_are_refused(void **state)
{
    (void)state;
    struct side card;
    struct esp_sa_params p = params(ESP_IN);
    struct esp_event ev;
    struct esp_error err = {0};
    struct esp_endpoint to = {.src = {192, 0, 2, 1}, .dst = {192, 0, 2, 9}, .dport = 4500};
    struct esp_sa *other;
    start_card("1");
    open_side(&card, true);
    card.in = add(&card, ESP_IN);
    p.dst[3] = 9;
    assert_int_equal(card.e->ops->sa_add(card.e, &p, NULL, &other, &err), 0);
    expect(&card, ESP_EVENT_SA_ADDED, &ev);
    assert_int_equal(card.e->ops->sa_endpoint(card.e, card.in, &to, &err), 0);
    expect(&card, ESP_EVENT_SA_LEASED, &ev);
    assert_int_equal(ev.status, ESP_STATUS_SPI_EXISTS);
    assert_ptr_equal(ev.sa, card.in);
    assert_int_equal(card.e->ops->sa_delete(card.e, other), 0);
    expect(&card, ESP_EVENT_SA_DELETED, &ev);
    assert_int_equal(card.e->ops->sa_endpoint(card.e, card.in, &to, &err), 0);
    assert_int_equal(card.e->ops->sa_query(card.e, card.in), 0);
    expect(&card, ESP_EVENT_SA_STATS, &ev); // and not a refusal before it
    close_side(&card);
    assert_int_equal(stop_card(), 0);
}

static void test_nonsense_in_completions_fails_the_engine(void **state)
{
    (void)state;
    fails_with("fault bad-cookie", "cookie", false);
    fails_with("fault bad-length", "nonsense", false);
    fails_with("fault bad-head", "consumed", false);
    fails_with("fault bad-status", "nonsense", false);
    fails_with("fault bad-epoch", "epoch", false);
}

static void test_lost_interrupts_delay_but_lose_nothing(void **state)
{
    (void)state;
    struct side card;
    start_card("1");
    open_side(&card, true);
    card.out = add(&card, ESP_OUT);
    ctl("fault drop-irq");
    struct esp_job *jobs[64], *back[64];
    for (unsigned i = 0; i < 64; i++)
        jobs[i] = make_job(&card, ESP_ENCAP, 500, i, NULL);
    assert_int_equal(esp_submit(card.e, jobs, 64), 64);
    unsigned done = 0;
    for (uint64_t end = now_ms() + WAIT_MS; done < 64 && now_ms() < end;) {
        struct pollfd p = {.fd = card.e->fd, .events = POLLIN};
        done += esp_poll(card.e, back + done, 64 - done);
        if (!esp_arm(card.e))
            poll(&p, 1, 50);
        card.e->ops->tick(card.e, now_ms());
    }
    assert_int_equal(done, 64);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(jobs[i]->status, ESP_STATUS_OK);
        free_job(&card, jobs[i]);
    }
    ctl("fault clear");
    close_side(&card);
    assert_int_equal(stop_card(), 0);
}

// A driver in a process of its own keeps the card's queues full until it is killed.
static void flood(void)
{
    struct side s;
    struct esp_job *jobs[128], *back[128];
    open_side(&s, true);
    s.out = add(&s, ESP_OUT);
    for (unsigned i = 0; i < 128; i++)
        jobs[i] = make_job(&s, ESP_ENCAP, 1400, i, NULL);
    for (unsigned n = 128;;) {
        esp_submit(s.e, jobs, n);
        while ((n = esp_poll(s.e, back, 128)) == 0)
            ;
        for (unsigned i = 0; i < n; i++)
            jobs[i] = back[i];
    }
}

static void test_driver_killed_under_load_leaves_a_clean_card(void **state)
{
    (void)state;
    start_card("1");
    for (int round = 0; round < 3; round++) {
        struct side card, soft;
        struct esp_job *on_card[32], *on_soft[32];
        uint32_t lengths[32];
        pid_t pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            flood();
            _exit(0);
        }
        usleep(300000 + 37000 * (unsigned)round);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        open_side(&card, true);
        open_side(&soft, false);
        card.out = add(&card, ESP_OUT); // the slot is free: the reset took the other driver's SA away
        soft.out = add(&soft, ESP_OUT);
        for (unsigned i = 0; i < 32; i++)
            lengths[i] = 100 + 40 * i;
        encap_both(&card, &soft, lengths, 32, on_card, on_soft);
        for (unsigned i = 0; i < 32; i++) {
            free_job(&card, on_card[i]);
            free_job(&soft, on_soft[i]);
        }
        close_side(&card);
        close_side(&soft);
    }
    assert_int_equal(stop_card(), 0);
}

static void test_killed_card_fails_the_engine_and_its_dir_is_taken_over(void **state)
{
    (void)state;
    struct side card;
    struct esp_event ev;
    char line[700];
    start_card("1");
    open_side(&card, true);
    card.out = add(&card, ESP_OUT);
    kill(card_pid, SIGKILL);
    waitpid(card_pid, NULL, 0);
    expect(&card, ESP_EVENT_FAILED, &ev);
    close_side(&card);
    snprintf(line, sizeof line, "%s ctl --dir %s counters 2>/dev/null", program, dir);
    assert_int_equal(WEXITSTATUS(system(line)), 3);
    launch_card("1");
    assert_int_equal(stop_card(), 0);
}

static void test_idle_card_costs_no_processor(void **state)
{
    (void)state;
    struct side card;
    start_card("1");
    open_side(&card, true);
    card.out = add(&card, ESP_OUT);
    char path[64], text[512] = "";
    unsigned long ticks[2][2] = {{0}};
    snprintf(path, sizeof path, "/proc/%d/stat", (int)card_pid);
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        assert_true(fread(text, 1, sizeof text - 1, f) > 0);
        fclose(f);
        assert_int_equal(sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                                &ticks[i][0], &ticks[i][1]),
                         2);
        if (i == 0)
            sleep(2);
    }
    // 2 % of two seconds in clock ticks
    unsigned long used = ticks[1][0] + ticks[1][1] - ticks[0][0] - ticks[0][1];
    assert_true(used <= 2 * (unsigned long)sysconf(_SC_CLK_TCK) / 50);
    close_side(&card);
    assert_int_equal(stop_card(), 0);
}

static long file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (long)st.st_size : -1;
}

static void test_wave_and_statistics_are_written(void **state)
{
    (void)state;
    char wave[128], json[128], text[8192] = "";
    struct side card, soft;
    struct esp_job *on_card[4], *on_soft[4];
    const uint32_t lengths[4] = {40, 100, 500, 1300};
    snprintf(json, sizeof json, "/tmp/card-engine-%d.json", (int)getpid());
    stats_file = json;
    start_card("1");
    stats_file = NULL;
    snprintf(wave, sizeof wave, "%s/espalier-card.fst", dir);
    open_side(&card, true);
    open_side(&soft, false);
    card.out = add(&card, ESP_OUT);
    soft.out = add(&soft, ESP_OUT);
    ctl("wave start");
    encap_both(&card, &soft, lengths, 4, on_card, on_soft);
    ctl("wave stop");
    assert_true(file_size(wave) > 1000);
    assert_int_equal(unlink(wave), 0);
    for (unsigned i = 0; i < 4; i++) {
        free_job(&card, on_card[i]);
        free_job(&soft, on_soft[i]);
    }
    kill(card_pid, SIGTERM); // with its driver still there
    waitpid(card_pid, NULL, 0);
    close_side(&card);
    close_side(&soft);
    FILE *f = fopen(json, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    unlink(json);
    assert_non_null(strstr(text, "\"ENC_PACKETS\": 16")); // twelve of them the driver's own, before it begins
    assert_non_null(strstr(text, "\"SA_COMMANDS\": 5"));
    assert_non_null(strstr(text, "\"cycles_per_cpu_second\""));
    assert_non_null(strstr(text, "\"drop_BAD_NEXT_HEADER\": 0")); // the longest name, whole
    assert_int_equal(rmdir(dir), 0);
}

static void test_driver_reads_whole_counter_names(void **state)
{
    static char text[8192];
    struct side card;

    (void)state;
    start_card("1");
    open_side(&card, true);
    for (uint64_t end = now_ms() + 5000; !strstr(text, "drop_SA_STALE_GEN") && now_ms() < end; nap())
        assert_true(card.e->ops->counters(card.e, text, sizeof text) > 0);
    close_side(&card);
    assert_int_equal(stop_card(), 0);
    assert_non_null(strstr(text, "drop_BAD_NEXT_HEADER 0\n"));
    assert_non_null(strstr(text, "drop_SA_STALE_GEN 0\n"));
}

static void test_unwritable_wave_is_bad_input(void **state)
{
    char command[700];
    int status;

    (void)state;
    snprintf(
        command, sizeof command,
        "%s --dir /tmp/card-engine-none --fst /nonexistent/x.fst 2>&1 | grep -q 'x.fst: cannot be written'",
        program);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "%s --dir /tmp/card-engine-none --fst /nonexistent/x.fst 2> /dev/null",
             program);
    status = system(command);
    assert_int_equal(WEXITSTATUS(status), 2);
}

static void test_second_driver_is_refused_until_the_first_has_left(void **state)
{
    (void)state;
    struct side first, second;
    struct esp_error err = {0};
    start_card("1");
    const struct esp_card_options o = {.pci_sysfs = dir};
    open_side(&first, true);
    assert_int_not_equal(esp_card_open(&second.e, &o, &err), 0);
    first.out = add(&first, ESP_OUT); // the first notices nothing
    close_side(&first);
    open_side(&second, true);
    second.out = add(&second, ESP_OUT);
    close_side(&second);
    assert_int_equal(stop_card(), 0);
}

static int after_failure(void **state)
{
    (void)state;
    if (card_pid > 0)
        kill(card_pid, SIGKILL);
    return 0;
}

int main(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/'), *named = getenv("ESPALIER_CARD");
    (void)argc;
    if (named)
        snprintf(program, sizeof program, "%s", named);
    else
        snprintf(program, sizeof program, "%.*s/../bin/espalier-card", slash ? (int)(slash - argv[0]) : 1,
                 slash ? argv[0] : ".");
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_teardown(name, after_failure)
        T(test_card_and_software_give_the_same_bytes),
        T(test_four_lanes_give_the_same_bytes),
        T(test_hung_card_fails_the_engine),
        T(test_dead_card_fails_the_engine),
        T(test_card_whose_host_is_silent_stops_its_sas),
        T(test_bad_doorbell_stops_its_queue_alone),
        T(test_bus_error_on_a_ring_stops_its_queue_alone),
        T(test_moved_ends_give_the_same_bytes_as_in_software),
        T(test_ends_that_another_sa_has_are_refused),
        T(test_nonsense_in_completions_fails_the_engine),
        T(test_lost_interrupts_delay_but_lose_nothing),
        T(test_driver_killed_under_load_leaves_a_clean_card),
        T(test_killed_card_fails_the_engine_and_its_dir_is_taken_over),
        T(test_idle_card_costs_no_processor),
        T(test_wave_and_statistics_are_written),
        T(test_driver_reads_whole_counter_names),
        T(test_unwritable_wave_is_bad_input),
        T(test_second_driver_is_refused_until_the_first_has_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
