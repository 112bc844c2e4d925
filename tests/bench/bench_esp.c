// SPDX-License-Identifier: Apache-2.0
// `make bench-esp`: CPU time per packet of the software engine, whole ESP encapsulation and decapsulation in
// memory in bursts of 32, beside AES-256-GCM alone on the same bytes, with OpenSSL and with ipsec-mb where it
// is installed, all in the same run. Medians of interleaved rounds.
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver/soft/mb.h"
#include "driver/soft/queue.h"
#include "espalier/engine.h"

#define BURST  32
#define ROUNDS 15

static const uint8_t key[32] = "a key that is only for measuring";
static const uint32_t sizes[] = {64, 576, 1420};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_esp: %s: %s\n", what, why);
    exit(1);
}

static double cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof(*v), by_value);
    return v[ROUNDS / 2];
}

struct bench {
    struct esp_engine *e;
    struct esp_pool *pool;
    struct esp_sa *out;
    struct esp_job inner[BURST], outer[BURST]; // ENCAP, and DECAP of what it made
    EVP_CIPHER_CTX *ctx;
    struct mb *mb; // NULL: it is OpenSSL that is measured
    struct mb_gcm gcm;
};

static struct esp_sa *add(struct bench *b, enum esp_dir dir)
{
    struct esp_sa_params p = {
        .dir = dir, .mode = ESP_TUNNEL, .alg = ESP_ALG_AES256_GCM16, .spi = 0x1000, .ttl = 64};
    struct esp_error err = {0};
    struct esp_event ev;
    struct esp_sa *sa;
    memcpy(p.key, key, sizeof(key));
    memcpy(p.src, (uint8_t[]){10, 0, 0, 1}, 4);
    memcpy(p.dst, (uint8_t[]){10, 0, 0, 2}, 4);
    p.window = dir == ESP_IN ? 1024 : 0;
    p.seq = dir == ESP_OUT ? 1 : 0;
    p.seq_limit = UINT64_MAX;
    if (b->e->ops->sa_add(b->e, &p, NULL, &sa, &err) < 0)
        die(err.field, err.text);
    if (b->e->ops->events(b->e, &ev, 1) != 1 || ev.type != ESP_EVENT_SA_ADDED)
        die("SA", "was not added");
    return sa;
}

static void fill(uint8_t *p, uint32_t len)
{
    memset(p, 0x5a, len);
    memcpy(p,
           (uint8_t[]){
               0x45, 0, (uint8_t)(len >> 8), (uint8_t)len, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2,
               0,    1},
           20);
}

static void run(struct bench *b, struct esp_job *jobs)
{
    struct esp_job *list[BURST], *done[BURST];
    unsigned n = 0;
    for (int i = 0; i < BURST; i++)
        list[i] = &jobs[i];
    if (esp_submit(b->e, list, BURST) != BURST)
        die("submit", "the burst was not taken whole");
    while (n < BURST)
        n += esp_poll(b->e, done, BURST);
    for (int i = 0; i < BURST; i++) {
        if (jobs[i].status != ESP_STATUS_OK)
            die("packet", esp_status_name(jobs[i].status));
    }
}

static void crypto_alone(struct bench *b, uint32_t len)
{
    uint8_t iv[12] = {0}, tag[16], aad[8] = {0};
    int n;
    for (int i = 0; i < BURST; i++) {
        iv[11] = (uint8_t)i;
        if (b->mb) {
            mb_gcm_seal(&b->gcm, iv, aad, sizeof(aad), b->inner[i].in, b->inner[i].out, len, tag, 16);
            continue;
        }
        EVP_EncryptInit_ex(b->ctx, NULL, NULL, NULL, iv);
        EVP_EncryptUpdate(b->ctx, NULL, &n, aad, sizeof(aad));
        EVP_EncryptUpdate(b->ctx, b->inner[i].out, &n, b->inner[i].in, (int)len);
        EVP_EncryptFinal_ex(b->ctx, b->inner[i].out + n, &n);
        EVP_CIPHER_CTX_ctrl(b->ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag);
    }
}

// The engine with OpenSSL alone, or (mb) as the library opens it.
static void set_up(struct bench *b, bool mb)
{
    struct esp_error err = {0};
    if (esp_pool_create(&b->pool, 4 * BURST, 2048, &err) < 0 ||
        (mb ? esp_soft_open(&b->e, &err) : soft_open_openssl(&b->e, &err)) < 0 ||
        b->e->ops->attach_pool(b->e, b->pool, &err) < 0)
        die(err.field, err.text);
    b->out = add(b, ESP_OUT);
    add(b, ESP_IN);
    for (int i = 0; i < BURST; i++) {
        b->inner[i] = (struct esp_job){.op = ESP_ENCAP,
                                       .sa = b->out,
                                       .in = esp_pool_get(b->pool),
                                       .out = esp_pool_get(b->pool),
                                       .out_cap = 2048};
        b->outer[i] = (struct esp_job){
            .op = ESP_DECAP, .in = b->inner[i].out, .out = esp_pool_get(b->pool), .out_cap = 2048};
    }
    b->ctx = EVP_CIPHER_CTX_new();
    if (!b->ctx || EVP_EncryptInit_ex(b->ctx, EVP_aes_256_gcm(), NULL, key, NULL) != 1)
        die("OpenSSL", "no AES-256-GCM");
    b->mb = mb ? mb_open() : NULL;
    if (b->mb)
        mb_gcm_init(&b->gcm, b->mb, key, sizeof(key));
}

static void tear_down(struct bench *b)
{
    if (b->mb)
        mb_gcm_free(&b->gcm);
    mb_close(b->mb);
    EVP_CIPHER_CTX_free(b->ctx);
    b->e->ops->destroy(b->e);
    esp_pool_destroy(b->pool);
}

// One round of what is measured: crypto alone, encapsulation, decapsulation.
static void round_of(struct bench *b, uint32_t len, double spent[3])
{
    const int bursts = 300;
    double at;
    for (int i = 0; i < BURST; i++) {
        fill(b->inner[i].in, len);
        b->inner[i].in_len = len;
    }
    for (int k = 0; k < bursts; k++) {
        at = cpu_ns();
        crypto_alone(b, len);
        spent[0] += (cpu_ns() - at) / bursts / BURST;
        at = cpu_ns();
        run(b, b->inner);
        spent[1] += (cpu_ns() - at) / bursts / BURST;
        for (int i = 0; i < BURST; i++)
            b->outer[i].in_len = b->inner[i].out_len;
        at = cpu_ns();
        run(b, b->outer);
        spent[2] += (cpu_ns() - at) / bursts / BURST;
    }
}

static void measure(struct bench *b, unsigned benches, uint32_t len, double result[2][3])
{
    static double t[2][3][ROUNDS];
    for (int r = 0; r < ROUNDS; r++) {
        for (unsigned k = 0; k < benches; k++) {
            double spent[3] = {0};
            round_of(&b[k], len, spent);
            for (int i = 0; i < 3; i++)
                t[k][i][r] = spent[i];
        }
    }
    for (unsigned k = 0; k < benches; k++)
        for (int i = 0; i < 3; i++)
            result[k][i] = median(t[k][i]);
}

int main(int argc, char **argv)
{
    struct bench b[2] = {0};
    bool json = argc > 1 && !strcmp(argv[1], "--json");
    unsigned benches = 2;
    if (argc > 1 && !json) {
        fprintf(stderr, "usage: bench_esp [--json]\n");
        return 2;
    }
    set_up(&b[0], false);
    set_up(&b[1], true);
    if (!strcmp(b[1].e->name, b[0].e->name)) // ipsec-mb is not there or does not win
        benches = 1;
    if (!json)
        printf("ns of CPU time per packet, AES-256-GCM, median of %d rounds\n%8s %16s %14s %14s %14s\n",
               ROUNDS, "bytes", "", "crypto alone", "encapsulate", "decapsulate");
    for (size_t i = 0; i < SIZES; i++) {
        double r[2][3];
        measure(b, benches, sizes[i], r);
        for (unsigned k = 0; k < benches; k++)
            printf(json ? "{\"bytes\":%u,\"crypto\":\"%s\",\"crypto_ns\":%.0f,\"encap_ns\":%.0f,\"decap_ns\":"
                          "%.0f}\n"
                        : "%8u %16s %14.0f %14.0f %14.0f\n",
                   sizes[i], b[k].e->name, r[k][0], r[k][1], r[k][2]);
    }
    tear_down(&b[0]);
    tear_down(&b[1]);
    return 0;
}
