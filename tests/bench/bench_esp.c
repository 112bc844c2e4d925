// SPDX-License-Identifier: Apache-2.0
// `make bench-esp`: CPU time per packet of the software engine, whole ESP encapsulation and decapsulation in
// memory in bursts of 32, beside OpenSSL's AES-256-GCM alone on the same bytes in the same run. Medians of
// interleaved rounds.
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
        EVP_EncryptInit_ex(b->ctx, NULL, NULL, NULL, iv);
        EVP_EncryptUpdate(b->ctx, NULL, &n, aad, sizeof(aad));
        EVP_EncryptUpdate(b->ctx, b->inner[i].out, &n, b->inner[i].in, (int)len);
        EVP_EncryptFinal_ex(b->ctx, b->inner[i].out + n, &n);
        EVP_CIPHER_CTX_ctrl(b->ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag);
    }
}

static void set_up(struct bench *b)
{
    struct esp_error err = {0};
    if (esp_pool_create(&b->pool, 4 * BURST, 2048, &err) < 0 || esp_soft_open(&b->e, &err) < 0 ||
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
}

static void measure(struct bench *b, uint32_t len, double result[3])
{
    static double t[3][ROUNDS];
    const int bursts = 300;
    for (int i = 0; i < BURST; i++) {
        fill(b->inner[i].in, len);
        b->inner[i].in_len = len;
    }
    for (int r = 0; r < ROUNDS; r++) {
        double spent[3] = {0}, at;
        for (int k = 0; k < bursts; k++) {
            at = cpu_ns();
            crypto_alone(b, len);
            spent[0] += cpu_ns() - at;
            at = cpu_ns();
            run(b, b->inner);
            spent[1] += cpu_ns() - at;
            for (int i = 0; i < BURST; i++)
                b->outer[i].in_len = b->inner[i].out_len;
            at = cpu_ns();
            run(b, b->outer);
            spent[2] += cpu_ns() - at;
        }
        for (int i = 0; i < 3; i++)
            t[i][r] = spent[i] / bursts / BURST;
    }
    for (int i = 0; i < 3; i++)
        result[i] = median(t[i]);
}

int main(int argc, char **argv)
{
    struct bench b = {0};
    bool json = argc > 1 && !strcmp(argv[1], "--json");
    if (argc > 1 && !json) {
        fprintf(stderr, "usage: bench_esp [--json]\n");
        return 2;
    }
    set_up(&b);
    if (!json)
        printf("ns of CPU time per packet, AES-256-GCM, %s, median of %d rounds\n%8s %14s %14s %14s\n",
               b.e->name, ROUNDS, "bytes", "crypto alone", "encapsulate", "decapsulate");
    for (size_t i = 0; i < SIZES; i++) {
        double r[3];
        measure(&b, sizes[i], r);
        printf(json ? "{\"bytes\":%u,\"crypto_ns\":%.0f,\"encap_ns\":%.0f,\"decap_ns\":%.0f}\n"
                    : "%8u %14.0f %14.0f %14.0f\n",
               sizes[i], r[0], r[1], r[2]);
    }
    EVP_CIPHER_CTX_free(b.ctx);
    b.e->ops->destroy(b.e);
    esp_pool_destroy(b.pool);
    return 0;
}
