// SPDX-License-Identifier: Apache-2.0
// The software engine opened for several threads: one controls SAs while each queue's own thread seals and
// opens packets. SAs come, move, get leases and go under traffic; nothing is lost, repeated or touched by a
// thread that it is not the business of (`make check-san` and a build with -fsanitize=thread look too).
#include "drv_util.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

enum { QUEUES = 3, ROUNDS = 30, BUF = 512, INNER = 60, BURST = 16 };

struct worker {
    struct esp_queue *q;
    pthread_t thread;
    _Atomic(struct esp_sa *) tx; // set once it is ADDED; NULL again by the thread when it drains
    atomic_uint sealed, opened;  // of the SA in tx
    atomic_int stop;
    uint64_t expect;
    const char *wrong; // read after the join
    struct esp_job job[BURST];
    uint8_t in[BURST][BUF], out[BURST][BUF];
};

static void sleep_on(struct worker *w)
{
    struct pollfd p = {.fd = w->q->fd, .events = POLLIN};

    if (!w->q->ops->arm(w->q))
        (void)poll(&p, 1, 5);
}

// Runs the jobs through the queue; false: they did not come back in order.
static bool run(struct worker *w, unsigned n)
{
    struct esp_job *list[BURST], *back[BURST];
    unsigned got = 0;

    for (unsigned i = 0; i < n; i++)
        list[i] = &w->job[i];
    if (w->q->ops->submit(w->q, list, n) != n)
        return false;
    while (got < n)
        got += w->q->ops->poll(w->q, back + got, 5);
    for (unsigned i = 0; i < n; i++)
        if (back[i] != list[i])
            return false;
    return true;
}

static void seal_and_open(struct worker *w, struct esp_sa *tx)
{
    uint64_t seed = 1;
    bool draining = false;

    for (unsigned i = 0; i < BURST; i++) {
        make_inner(w->in[i], INNER, 0, 1, &seed);
        w->job[i] = (struct esp_job){
            .op = ESP_ENCAP, .sa = tx, .in = w->in[i], .in_len = INNER, .out = w->out[i], .out_cap = BUF};
    }
    if (!run(w, BURST))
        w->wrong = "order";
    for (unsigned i = 0; i < BURST; i++) {
        draining |= w->job[i].status == ESP_STATUS_SA_DRAINING;
        if (w->job[i].status == ESP_STATUS_OK) {
            if (w->job[i].seq != ++w->expect)
                w->wrong = "a number was skipped or came twice";
            atomic_fetch_add(&w->sealed, 1);
        } else if (w->job[i].status != ESP_STATUS_LEASE_END && w->job[i].status != ESP_STATUS_SA_DRAINING) {
            w->wrong = esp_status_name(w->job[i].status);
        }
        w->job[i].op = ESP_DECAP;
        w->job[i].in_len = w->job[i].out_len;
        w->job[i].in = w->out[i];
        w->job[i].out = w->in[i];
    }
    if (!run(w, BURST))
        w->wrong = "order";
    for (unsigned i = 0; i < BURST; i++)
        atomic_fetch_add(&w->opened, w->job[i].status == ESP_STATUS_OK);
    if (draining)
        atomic_store(&w->tx, NULL);
}

static void *work(void *arg)
{
    struct worker *w = arg;

    while (!atomic_load(&w->stop)) {
        struct esp_sa *tx = atomic_load(&w->tx);
        if (tx)
            seal_and_open(w, tx);
        else
            sleep_on(w); // takes commands, and gives up DELETED
    }
    return NULL;
}

static struct esp_event take(struct esp_engine *e)
{
    struct pollfd p = {.fd = e->fd, .events = POLLIN};
    struct esp_event ev;

    for (uint64_t end = now_ms() + 10000; e->ops->events(e, &ev, 1) == 0;) {
        if (now_ms() > end)
            fail_msg("no event within 10 s");
        (void)poll(&p, 1, 100);
    }
    return ev;
}

static struct esp_sa *add(struct esp_engine *e, enum esp_dir dir, unsigned queue, uint32_t spi,
                          uint64_t limit)
{
    struct esp_sa_params p = make_params(dir, ESP_ALG_AES128_GCM16, spi);
    struct esp_error err = {0};
    struct esp_sa *sa;

    p.queue = (uint16_t)queue;
    p.window = dir == ESP_IN ? 1024 : 0;
    p.seq_limit = limit;
    if (e->ops->sa_add(e, &p, NULL, &sa, &err))
        fail_msg("%s: %s", err.field, err.text);
    assert_int_equal(take(e).type, ESP_EVENT_SA_ADDED);
    return sa;
}

static void wait_until(atomic_uint *n, unsigned least)
{
    for (uint64_t end = now_ms() + 10000; atomic_load(n) < least; nap())
        if (now_ms() > end)
            fail_msg("%u of %u packets within 10 s", atomic_load(n), least);
}

// One life of a pair of SAs on one queue, under its traffic.
static void one_round(struct esp_engine *e, struct worker *w, unsigned queue, uint32_t spi)
{
    struct esp_sa *rx = add(e, ESP_IN, queue, spi, UINT64_MAX), *tx = add(e, ESP_OUT, queue, spi, 101);
    struct esp_endpoint to = {.udp_encap = true, .sport = 4500, .dport = 4500};
    struct esp_error err = {0};
    struct esp_event ev;

    memcpy(to.src, "\xc0\x00\x02\x01", 4);
    memcpy(to.dst, "\xc0\x00\x02\x02", 4);
    w->expect = 0;
    atomic_store(&w->sealed, 0);
    atomic_store(&w->opened, 0);
    atomic_store(&w->tx, tx);
    wait_until(&w->sealed, 100); // the lease's end holds
    assert_int_equal(atomic_load(&w->sealed), 100);
    assert_int_equal(e->ops->sa_lease(e, tx, UINT64_MAX), 0);
    assert_int_equal(take(e).type, ESP_EVENT_SA_LEASED);
    wait_until(&w->sealed, 200);
    assert_int_equal(e->ops->sa_endpoint(e, tx, &to, &err), 0);
    wait_until(&w->opened, 400);
    assert_int_equal(e->ops->sa_delete(e, tx), 0);
    assert_int_equal(e->ops->sa_delete(e, tx), -EINVAL);
    while (atomic_load(&w->tx))
        nap(); // its thread has seen it drain and names it no more
    ev = take(e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_true(ev.next.seq == atomic_load(&w->sealed) + 1);
    assert_true(ev.stats.packets == atomic_load(&w->sealed));
    assert_int_equal(e->ops->sa_delete(e, rx), 0);
    ev = take(e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_true(ev.next.seq == atomic_load(&w->sealed)); // every packet sealed was opened
    assert_true(ev.stats.packets == atomic_load(&w->opened));
    assert_int_equal(atomic_load(&w->opened), atomic_load(&w->sealed));
}

static void test_sas_live_and_die_under_traffic_on_every_queue(void **state)
{
    static struct worker workers[QUEUES];
    struct esp_error err = {0};
    struct esp_engine *e;
    char text[4096];

    (void)state;
    assert_int_equal(esp_soft_open_queues(&e, QUEUES, &err), 0);
    for (unsigned i = 0; i < QUEUES; i++) {
        workers[i].q = e->queue[i];
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned r = 0; r < ROUNDS; r++) {
        one_round(e, &workers[r % QUEUES], r % QUEUES, 100 + r);
        assert_in_range(e->ops->counters(e, text, sizeof(text)), 1, sizeof(text) - 1);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        atomic_store(&workers[i].stop, 1);
        pthread_join(workers[i].thread, NULL);
        if (workers[i].wrong)
            fail_msg("queue %u: %s", i, workers[i].wrong);
    }
    assert_non_null(strstr(text, "sas_inbound 0\n"));
    e->ops->destroy(e);
}

static void test_a_queue_knows_only_its_own_sas(void **state)
{
    struct worker *w = calloc(2, sizeof(*w));
    struct esp_error err = {0};
    struct esp_capabilities caps;
    struct esp_sa_params p = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 7);
    struct esp_engine *e;
    struct esp_sa *tx, *rx;

    (void)state;
    assert_non_null(w);
    assert_int_equal(esp_soft_open_queues(&e, 0, &err), -EINVAL);
    assert_int_equal(esp_soft_open_queues(&e, 2, &err), 0);
    e->ops->capabilities(e, &caps);
    assert_int_equal(caps.queues, 2);
    p.queue = 2;
    assert_int_equal(e->ops->capable(e, &p, &err), -EOPNOTSUPP);
    assert_string_equal(err.field, "queue");
    w[0].q = e->queue[0];
    w[1].q = e->queue[1];
    p.queue = 1;
    assert_int_equal(e->ops->sa_add(e, &p, NULL, &tx, &err), 0);
    p.dir = ESP_IN;
    p.seq = 0;
    p.window = 64;
    assert_int_equal(e->ops->sa_add(e, &p, NULL, &rx, &err), 0);
    (void)w[1].q->ops->arm(w[1].q); // its thread takes the commands
    assert_int_equal(take(e).type, ESP_EVENT_SA_ADDED);
    assert_int_equal(take(e).type, ESP_EVENT_SA_ADDED);
    for (int own = 0; own < 2; own++) {
        uint64_t seed = 1;
        make_inner(w[own].in[0], INNER, 0, 1, &seed);
        w[own].job[0] = (struct esp_job){.op = ESP_ENCAP,
                                         .sa = tx,
                                         .in = w[own].in[0],
                                         .in_len = INNER,
                                         .out = w[1].out[0],
                                         .out_cap = BUF};
        assert_true(run(&w[own], 1));
        assert_int_equal(w[own].job[0].status, own ? ESP_STATUS_OK : ESP_STATUS_SA_INVALID);
    }
    for (int own = 0; own < 2; own++) {
        w[own].job[1] = (struct esp_job){.op = ESP_DECAP,
                                         .in = w[1].out[0],
                                         .in_len = w[1].job[0].out_len,
                                         .out = w[own].out[1],
                                         .out_cap = BUF};
        w[own].job[0] = w[own].job[1];
        assert_true(run(&w[own], 1));
        assert_int_equal(w[own].job[0].status, own ? ESP_STATUS_OK : ESP_STATUS_NO_SA);
    }
    e->ops->destroy(e);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sas_live_and_die_under_traffic_on_every_queue),
        cmocka_unit_test(test_a_queue_knows_only_its_own_sas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
