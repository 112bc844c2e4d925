// SPDX-License-Identifier: Apache-2.0
// Workers in threads of their own (ctrl/path/crew.h): while packets come to all of them control installs and
// deletes SAs, loads and unloads policies, and asks for counters. No packet is lost but where that is
// counted, no number is used twice or out of order, and none of it under a packet (SAN=thread says so too).
#include "tests/unit/path_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctrl/path/io.h"

enum { QUEUES = 2, PACKETS = 20000, CHANGES = 30 }; // PACKETS: at most, by each

struct sent {
    uint32_t spi, seq;
};
static struct sent_by {
    unsigned count;
    struct sent of[QUEUES * PACKETS];
} sent[QUEUES + 1];

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// Each worker's own.
static int keep(void *ctx, struct mmsghdr *m, unsigned n)
{
    const struct worker *w = (struct worker *)(void *)((char *)ctx - offsetof(struct worker, sockets));
    struct sent_by *s = &sent[w->index];
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *p = m[i].msg_hdr.msg_iov->iov_base;
        s->of[s->count++] = (struct sent){be32(p + 28), be32(p + 32)};
    }
    return (int)n;
}

struct feeder {
    pthread_t thread;
    int tun;
    atomic_bool enough;
    atomic_uint fed;
};

static void *feed(void *ctx)
{
    struct feeder *f = ctx;
    while (!atomic_load(&f->enough) && atomic_load(&f->fed) < PACKETS)
        if (rig_write_to(f->tun, atomic_load(&f->fed)))
            atomic_fetch_add(&f->fed, 1);
        else
            poll(&(struct pollfd){.fd = f->tun, .events = POLLOUT}, 1, 100);
    return NULL;
}

static void start(struct rig *r, struct feeder f[QUEUES])
{
    struct esp_error err = {0};
    memset(sent, 0, sizeof(sent));
    for (unsigned i = 1; i <= QUEUES; i++) {
        r->p->worker[i].net.send = keep;
        f[i - 1].tun = r->tun_of[i];
        f[i - 1].enough = false;
        f[i - 1].fed = 0;
    }
    assert_int_equal(crew_start(r->p, &err), 0);
    for (unsigned i = 0; i < QUEUES; i++)
        assert_int_equal(pthread_create(&f[i].thread, NULL, feed, &f[i]), 0);
}

static uint64_t total(const struct path *p, size_t offset)
{
    uint64_t sum = 0, one;
    for (unsigned i = 0; i < p->workers; i++) {
        memcpy(&one, (const char *)&p->worker[i] + offset, sizeof(one));
        sum += one;
    }
    return sum;
}
#define TOTAL(r, field) total((r)->p, offsetof(struct worker, field))

static uint64_t gone(struct rig *r)
{
    crew_stop(r->p);
    uint64_t n = TOTAL(r, count[PATH_SOFT].packets_out) + TOTAL(r, queue_full) + TOTAL(r, hand_full) +
                 TOTAL(r, no_sa_out);
    for (unsigned i = 0; i < ESP_STATUS_BAD_OPCODE; i++)
        n += TOTAL(r, drop_out[i]) - (i == ESP_STATUS_POLICY ? TOTAL(r, no_sa_out) : 0);
    crew_go(r->p);
    return n;
}

static void drain(struct rig *r)
{
    for (char buf[8192]; recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT) > 0 ||
                         recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT) > 0;)
        ;
}

static void install(struct rig *r, uint32_t id)
{
    crew_stop(r->p);
    rig_must_install(r, id, OFFLOAD_NO, "software");
    assert_int_not_equal(sadb_by_id(r->p, id)->w->index, 0);
    crew_go(r->p);
}

static void loads(struct rig *r, uint32_t id)
{
    struct policy_spec other = rig_spec(100 + id, "other", "10.9.0.0/16", "10.8.0.0/16");
    crew_stop(r->p);
    rig_must_apply(r, "other", &other, id & 1);
    stats_counters(r->p, id);
    crew_go(r->p);
}

static void expect_order(const struct sent_by *s)
{
    uint32_t last[CHANGES + 1] = {0};
    for (unsigned i = 0; i < s->count; i++) {
        uint32_t id = s->of[i].spi - 0x2000;
        assert_in_range(id, 1, CHANGES);
        assert_int_equal(s->of[i].seq, last[id] + 1); // none twice, none left out
        last[id]++;
    }
}

static bool feeds(struct feeder f[QUEUES])
{
    bool more = false;
    for (unsigned i = 0; i < QUEUES; i++)
        more |= !atomic_load(&f[i].enough) && atomic_load(&f[i].fed) < PACKETS;
    return more;
}

// Until so many have left, or are counted as lost; or no more come.
static void let_run(struct rig *r, struct feeder f[QUEUES], uint64_t until)
{
    while (gone(r) < until && (feeds(f) || gone(r) < f[0].fed + f[1].fed))
        loop_once(r->p->loop, 5);
}

static uint64_t end_feeding(struct rig *r, struct feeder f[QUEUES])
{
    for (unsigned i = 0; i < QUEUES; i++)
        f[i].enough = true;
    for (unsigned i = 0; i < QUEUES; i++)
        pthread_join(f[i].thread, NULL);
    uint64_t fed = f[0].fed + f[1].fed;
    let_run(r, f, fed);
    crew_end(r->p);
    assert_int_equal(gone(r), fed);
    return fed;
}

static void test_control_changes_everything_while_packets_come(void **state)
{
    struct rig *r = *state;
    struct feeder f[QUEUES];
    install(r, 1);
    start(r, f);
    for (uint32_t id = 2; id <= CHANGES; id++) {
        install(r, id);
        crew_stop(r->p);
        sadb_delete(r->p, id - 1);
        crew_go(r->p);
        loads(r, id);
        drain(r);
        let_run(r, f, gone(r) + 200);
    }
    uint64_t fed = end_feeding(r, f);
    assert_int_equal(TOTAL(r, no_sa_out), 0);
    assert_true(sent[1].count > 0 && sent[2].count > 0 && TOTAL(r, handed_over) > 0);
    assert_int_equal(sent[0].count, 0);
    for (unsigned i = 1; i <= QUEUES; i++)
        expect_order(&sent[i]);
    print_message("%llu packets, %u and %u sent, %llu handed over\n", (unsigned long long)fed, sent[1].count,
                  sent[2].count, (unsigned long long)TOTAL(r, handed_over));
}

// Nobody moves while control has stopped them, and they go on by themselves.
static void test_who_is_stopped_stands_still(void **state)
{
    struct rig *r = *state;
    struct feeder f[QUEUES];
    install(r, 1);
    start(r, f);
    for (int i = 0; i < 30; i++) {
        crew_stop(r->p);
        unsigned before = sent[1].count + sent[2].count;
        for (int k = 0; k < 100; k++)
            sched_yield();
        assert_int_equal(sent[1].count + sent[2].count, before);
        crew_go(r->p);
        let_run(r, f, gone(r) + 20);
    }
    end_feeding(r, f);
    assert_true(sent[1].count + sent[2].count > 0);
}

static unsigned lines_in(int fd)
{
    char buf[4096];
    unsigned n = 0;
    ssize_t got = read(fd, buf, sizeof(buf));
    for (ssize_t i = 0; i < got; i++)
        n += buf[i] == '\n';
    return n;
}

static void log_as(struct worker *w)
{
    struct log *before = log_use(w->own.log);
    LOGF(NET, 0, "a line of a worker's");
    log_use(before);
}

// It would wait in the midst of its burst where nobody reads, and control for it.
static void test_a_worker_writes_no_line_itself(void **state)
{
    struct rig *r = *state;
    int ends[2], kept = dup(STDERR_FILENO);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    dup2(ends[1], STDERR_FILENO);
    for (unsigned i = 1; i < r->p->workers; i++)
        log_as(&r->p->worker[i]);
    unsigned own = lines_in(ends[0]);
    notes_forward(r->p);
    unsigned controls = lines_in(ends[0]);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(own, 0);
    assert_int_equal(controls, QUEUES);
}

int main(void)
{
#define APART(f) cmocka_unit_test_setup_teardown(f, rig_up_apart, rig_down)
    const struct CMUnitTest tests[] = {
        APART(test_control_changes_everything_while_packets_come),
        APART(test_who_is_stopped_stands_still),
        APART(test_a_worker_writes_no_line_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
