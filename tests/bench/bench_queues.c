// SPDX-License-Identifier: Apache-2.0
// `make bench-esp`, second part: the software engine's queues, a thread each. Each thread's own CPU time per
// packet would grow with their number if they shared anything. Packets a second stand beside it, with the
// part of the cores that the machine gave: where that is not nearly all of them, they measure the machine.
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "espalier/engine.h"

enum { BURST = 32, BUFFER = 2048, MOST = 2, ROUNDS = 5, ROUND_MS = 200 };
#define NEARLY_ALL 0.95

struct worker {
    struct esp_queue *q;
    struct esp_sa *sa;
    pthread_t thread;
    atomic_int *go, *stop;
    uint64_t packets;
    double cpu_ns, wall_ns;
    struct esp_job job[BURST];
    uint8_t in[BURST][BUFFER], out[BURST][BUFFER];
};

static void die(const char *what)
{
    fprintf(stderr, "bench_queues: %s\n", what);
    exit(1);
}

static double clock_ns(clockid_t c)
{
    struct timespec t;
    clock_gettime(c, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void burst(struct worker *w)
{
    struct esp_job *list[BURST], *back[BURST];
    unsigned n = 0;
    for (int i = 0; i < BURST; i++)
        list[i] = &w->job[i];
    if (w->q->ops->submit(w->q, list, BURST) != BURST)
        die("a burst was not taken whole");
    while (n < BURST)
        n += w->q->ops->poll(w->q, back, BURST);
    if (w->job[0].status != ESP_STATUS_OK)
        die(esp_status_name(w->job[0].status));
    w->packets += BURST;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    (void)w->q->ops->arm(w->q); // takes the SA
    while (!atomic_load(w->go))
        nanosleep(&(struct timespec){0, 100000}, NULL);
    double from = clock_ns(CLOCK_THREAD_CPUTIME_ID), began = clock_ns(CLOCK_MONOTONIC);
    while (!atomic_load(w->stop))
        burst(w);
    w->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - from;
    w->wall_ns = clock_ns(CLOCK_MONOTONIC) - began;
    return NULL;
}

static void set_up(struct worker *w, struct esp_engine *e, unsigned index, uint32_t len)
{
    struct esp_sa_params p = {.alg = ESP_ALG_AES256_GCM16,
                              .mode = ESP_TUNNEL,
                              .spi = 0x1000 + index,
                              .ttl = 64,
                              .queue = (uint16_t)index,
                              .seq = 1,
                              .esn = true,
                              .seq_limit = UINT64_MAX};
    struct esp_error err = {0};
    w->q = e->queue[index];
    w->packets = 0;
    if (e->ops->sa_add(e, &p, NULL, &w->sa, &err) < 0)
        die(err.text);
    for (int i = 0; i < BURST; i++) {
        memset(w->in[i], 0x5a, len);
        memcpy(w->in[i], (uint8_t[]){0x45, 0, (uint8_t)(len >> 8), (uint8_t)len, 0, 0, 0x40, 0, 64, 17}, 10);
        w->job[i] = (struct esp_job){
            .op = ESP_ENCAP, .sa = w->sa, .in = w->in[i], .in_len = len, .out = w->out[i], .out_cap = BUFFER};
    }
}

struct figures {
    double ns;     // CPU time of a packet
    double per_ns; // packets a nanosecond, by the clock on the wall
    double share;  // of a core for each thread
};

static struct figures run(unsigned queues, uint32_t len)
{
    static struct worker workers[MOST];
    struct timespec nap = {0, ROUND_MS * 1000000L};
    struct figures f = {0};
    struct esp_engine *e;
    atomic_int go = 0, stop = 0;
    if (esp_soft_open_queues(&e, queues, NULL) < 0)
        die("the engine does not open");
    for (unsigned i = 0; i < queues; i++) {
        set_up(&workers[i], e, i, len);
        workers[i].go = &go;
        workers[i].stop = &stop;
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
            die("no thread");
    }
    nanosleep(&(struct timespec){0, 20000000}, NULL); // until all wait
    atomic_store(&go, 1);
    nanosleep(&nap, NULL);
    atomic_store(&stop, 1);
    for (unsigned i = 0; i < queues; i++) {
        pthread_join(workers[i].thread, NULL);
        f.ns += workers[i].cpu_ns / (double)workers[i].packets / queues;
        f.per_ns += (double)workers[i].packets / workers[i].wall_ns;
        f.share += workers[i].cpu_ns / workers[i].wall_ns / queues;
    }
    e->ops->destroy(e);
    return f;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct figures *f, size_t offset)
{
    double v[ROUNDS];
    for (int i = 0; i < ROUNDS; i++)
        memcpy(&v[i], (const uint8_t *)&f[i] + offset, sizeof(v[i]));
    qsort(v, ROUNDS, sizeof(v[0]), by_value);
    return v[ROUNDS / 2];
}
#define MEDIAN(f, of) median(f, offsetof(struct figures, of))

int main(void)
{
    static const uint32_t sizes[] = {64, 576, 1420};
    printf("\nthe software engine's queues, a thread each: CPU ns to encapsulate a packet, medians of %d "
           "rounds\n"
           "%8s %14s %14s %22s %14s\n",
           ROUNDS, "bytes", "one", "two at once", "with a core each", "by the clock");
    for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct figures f[MOST][ROUNDS];
        for (int i = 0; i < ROUNDS; i++)
            for (unsigned q = 1; q <= MOST; q++)
                f[q - 1][i] = run(q, sizes[s]);
        double one = MEDIAN(f[0], ns), two = MEDIAN(f[1], ns), share = MEDIAN(f[1], share);
        printf("%8u %14.0f %14.0f %20.2fx %12.2fx", sizes[s], one, two, 2 * one / two,
               MEDIAN(f[1], per_ns) / MEDIAN(f[0], per_ns));
        printf(share < NEARLY_ALL ? "  (%.0f %% of two cores were given: says nothing)\n" : "\n",
               100 * share);
    }
    return 0;
}
