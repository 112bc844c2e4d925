// SPDX-License-Identifier: Apache-2.0
// Cycles of the ESP pipelines, packets back to back: by size, number of SAs that they go round, direction
// (alone and beside the other) and width; and the latency of one packet alone. All 1,024 slots hold an SA.
// What comes out of one direction is what the other takes, and must give the inner packet back. The numbers
// are exact: more cycles anywhere than in the accepted file is a failure. usage: test_perf [ACCEPTED.json
// [NEW.json]]
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "sim/pipe_model.h"

#define ACCEPTED "rtl/perf.json"
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { SLOTS = 1024, MOST = 600, TRIES = 64 };

enum way { ENCAP, DECAP, ENCAP_BOTH, DECAP_BOTH, LATENCY_ENCAP, LATENCY_DECAP, FIGURES };
static const char *const NAMES[FIGURES] = {"encap",      "decap",         "encap_both",
                                           "decap_both", "latency_encap", "latency_decap"};

static const uint32_t SIZES[] = {46, 62, 64, 128, 256, 576, 1468, 1500, 9000};
static const unsigned SA_COUNTS[] = {1, 64, 1024};
static const struct pipe_ops *const WIDTHS[] = {&pipe_ops_l1, &pipe_ops_l2, &pipe_ops_l4};

struct bench {
    const struct pipe_ops *ops;
    struct pipe_model *model;
    uint8_t *inner, *outer[2], *opened;
    uint32_t outer_len[2][MOST];
};

struct point {
    unsigned lanes, sas, packets, before; // `before` packets fill the pipeline and are not measured
    uint32_t size;
    uint64_t bound, figure[FIGURES];
};

static void die(const char *what)
{
    fprintf(stderr, "test_perf: %s\n", what);
    exit(1);
}

static void *memory(size_t octets)
{
    void *p = calloc(1, octets);

    if (p == NULL)
        die("no memory");
    return p;
}

// ---- SAs: AES-256, a quarter of them AES-128, tunnels over IPv4 without UDP, the same both ways

static struct espc_sa_blob blob_of(uint32_t slot, unsigned try, bool inbound)
{
    struct espc_sa_blob b = {.alg = slot % 4 ? ESPC_SA_ALG_AES256_GCM16 : ESPC_SA_ALG_AES128_GCM16,
                             .mode = ESPC_SA_MODE_TUNNEL,
                             .outer = ESPC_FAMILY_IPV4,
                             .inner = ESPC_FAMILY_IPV4,
                             .spi = 0x10000 + try * 0x1000 + slot};

    for (unsigned i = 0; i < (slot % 4 ? 32 : 16); i++)
        b.key[i] = (uint8_t)(slot * 31 + i * 7 + 1);
    memcpy(b.salt, &slot, 4);
    memcpy(b.src, "\xc0\x00\x02\x01", 4);
    memcpy(b.dst, "\xc6\x33\x64\x02", 4);
    b.flags = slot & 2 ? ESPC_SA_BLOB_FLAGS_ESN_MASK : 0;
    if (inbound)
        b.window = 1024;
    else
        b.ttl = 64, b.seq = 1, b.seq_limit = 1 << 24;
    return b;
}

static uint16_t add(struct bench *b, uint32_t slot, unsigned try, bool inbound)
{
    struct espc_sa_command c = {.op = ESPC_SA_OP_ADD, .dir = inbound, .generation = 1, .sa_index = slot};
    struct espc_sa_blob blob = blob_of(slot, try, inbound);
    struct espc_sa_result result;
    uint16_t status = 0;

    if (b->ops->sa_command(b->model, &c, &blob, &result, &status) != 0)
        die("an SA command is not answered");
    return status;
}

static void add_all(struct bench *b)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        unsigned try = 0;

        // an SPI whose bucket is full is not taken: another one then, as a daemon does
        while (add(b, slot, try, true) != ESPC_STATUS_OK)
            if (++try == TRIES)
                die("an inbound SA is refused");
        if (add(b, slot, try, false) != ESPC_STATUS_OK)
            die("an outbound SA is refused");
    }
}

// ---- packets

static uint8_t *at(uint8_t *packets, unsigned n)
{
    return packets + (size_t)n * PIPE_MAX_LEN;
}

static void push_encap(struct bench *b, const struct point *p, unsigned n, unsigned set)
{
    struct pipe_packet packet = {.tag = (uint16_t)n,
                                 .data = b->inner,
                                 .len = p->size,
                                 .sa = n % p->sas,
                                 .generation = 1,
                                 .out = at(b->outer[set], n)};

    b->ops->push(b->model, false, &packet);
}

static void push_decap(struct bench *b, unsigned n, unsigned set)
{
    struct pipe_packet packet = {.tag = (uint16_t)n,
                                 .data = at(b->outer[set], n),
                                 .len = b->outer_len[set][n],
                                 .out = at(b->opened, n)};

    b->ops->push(b->model, true, &packet);
}

// Takes all results. Cycles from the last beat of the last packet that is not measured to that of the last
// one, by direction.
static void run(struct bench *b, const struct point *p, unsigned set, uint64_t cycles[2])
{
    uint64_t first[2] = {0, 0};
    struct pipe_result r;
    int ret;

    while ((ret = b->ops->pull(b->model, &r)) == 1) {
        if (r.status != ESPC_STATUS_OK)
            die("a packet is dropped");
        if (r.decap && (r.len != p->size || memcmp(at(b->opened, r.tag), b->inner, p->size) != 0))
            die("a packet that was opened is not the one that went in");
        if (!r.decap)
            b->outer_len[set][r.tag] = r.len;
        if (r.tag + 1u == p->before)
            first[r.decap] = r.last_out;
        cycles[r.decap] = r.last_out - first[r.decap];
    }
    if (ret != 0)
        die(ret == -ETIMEDOUT ? "the pipeline stands still" : b->ops->broken(b->model));
}

static uint64_t latency(struct bench *b, const struct point *p, bool decap)
{
    struct pipe_result r;

    if (decap)
        push_decap(b, 0, 0);
    else
        push_encap(b, p, 0, 0);
    if (b->ops->pull(b->model, &r) != 1 || r.status != ESPC_STATUS_OK)
        die("a packet alone is dropped");
    if (!decap)
        b->outer_len[0][0] = r.len;
    return r.first_out - r.first_in;
}

static void measure(struct bench *b, struct point *p)
{
    const unsigned all = p->before + p->packets;
    uint64_t cycles[2];

    p->figure[LATENCY_ENCAP] = latency(b, p, false);
    p->figure[LATENCY_DECAP] = latency(b, p, true);
    for (unsigned n = 0; n < all; n++)
        push_encap(b, p, n, 0);
    run(b, p, 0, cycles);
    p->figure[ENCAP] = cycles[0];
    for (unsigned n = 0; n < all; n++) {
        push_encap(b, p, n, 1);
        push_decap(b, n, 0);
    }
    run(b, p, 1, cycles);
    p->figure[ENCAP_BOTH] = cycles[0];
    p->figure[DECAP_BOTH] = cycles[1];
    for (unsigned n = 0; n < all; n++)
        push_decap(b, n, 1);
    run(b, p, 1, cycles);
    p->figure[DECAP] = cycles[1];
    // a cycle for each beat of the outer packets: no pipeline with this port does better
    for (unsigned n = p->before; n < all; n++)
        p->bound += (b->outer_len[1][n] + 16 * p->lanes - 1) / (16 * p->lanes);
}

// ---- results

static json_t *row(const struct point *p)
{
    json_t *j = json_pack("{s:i, s:i, s:i, s:i, s:I}", "lanes", (int)p->lanes, "sas", (int)p->sas, "size",
                          (int)p->size, "packets", (int)p->packets, "bound", (json_int_t)p->bound);

    for (unsigned i = 0; i < FIGURES; i++)
        json_object_set_new(j, NAMES[i], json_integer((json_int_t)p->figure[i]));
    return j;
}

static json_int_t number(const json_t *j, const char *name)
{
    return json_integer_value(json_object_get(j, name));
}

static const json_t *accepted_row(const json_t *accepted, const struct point *p)
{
    const json_t *j;
    size_t i;

    json_array_foreach(accepted, i, j)
    {
        if (number(j, "lanes") == p->lanes && number(j, "sas") == p->sas && number(j, "size") == p->size &&
            number(j, "packets") == p->packets)
            return j;
    }
    return NULL;
}

// How many figures are worse than accepted; each is named.
static unsigned worse(const json_t *accepted, const struct point *p)
{
    const json_t *j = accepted_row(accepted, p);
    unsigned found = 0;

    for (unsigned i = 0; i < FIGURES; i++) {
        json_int_t was = j ? number(j, NAMES[i]) : -1, now = (json_int_t)p->figure[i];

        if (now == was)
            continue;
        found += now > was;
        fprintf(stderr,
                "LANES %u, %u octets, %u SAs: %s %" JSON_INTEGER_FORMAT
                " cycles, accepted %" JSON_INTEGER_FORMAT "%s\n",
                p->lanes, p->size, p->sas, NAMES[i], now, was,
                now > was ? ": WORSE" : "; make perf-accept takes it");
    }
    return found;
}

static void inner_packet(uint8_t *packet)
{
    for (unsigned i = 20; i < PIPE_MAX_LEN; i++)
        packet[i] = (uint8_t)(i * 37 + (i >> 8));
}

static void inner_header(uint8_t *packet, uint32_t len)
{
    memset(packet, 0, 20);
    packet[0] = 0x45;
    packet[2] = (uint8_t)(len >> 8);
    packet[3] = (uint8_t)len;
    packet[8] = 64;
    packet[9] = 17;
}

static unsigned points(struct bench *b, const json_t *accepted, json_t *all, unsigned *count)
{
    unsigned found = 0;

    for (size_t s = 0; s < COUNT(SA_COUNTS); s++)
        for (size_t i = 0; i < COUNT(SIZES); i++, ++*count) {
            struct point p = {.lanes = b->ops->lanes, .sas = SA_COUNTS[s], .size = SIZES[i]};

            inner_header(b->inner, p.size);
            p.before = SIZES[i] > 2000 ? 16 : 64;
            p.packets = SIZES[i] > 2000 ? 32 : SIZES[i] > 256 ? 128 : 512;
            measure(b, &p);
            found += worse(accepted, &p);
            json_array_append_new(all, row(&p));
        }
    return found;
}

static void save(const char *path, const json_t *all)
{
    FILE *f = fopen(path, "w");
    const json_t *j;
    size_t i;

    if (f == NULL)
        die("the new file cannot be written");
    json_array_foreach(all, i, j)
    {
        char *line = json_dumps(j, 0);

        fprintf(f, "%s%s", i ? ",\n" : "[\n", line);
        free(line);
    }
    fprintf(f, "\n]\n");
    if (fclose(f) != 0)
        die("the new file cannot be written");
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : ACCEPTED;
    struct bench b = {.inner = memory(PIPE_MAX_LEN), .opened = memory((size_t)MOST * PIPE_MAX_LEN)};
    json_t *accepted = json_load_file(path, 0, NULL), *all = json_array();
    unsigned found = 0, count = 0;

    for (unsigned i = 0; i < 2; i++)
        b.outer[i] = memory((size_t)MOST * PIPE_MAX_LEN);
    inner_packet(b.inner);
    for (size_t w = 0; w < COUNT(WIDTHS); w++) {
        b.ops = WIDTHS[w];
        b.model = b.ops->create(NULL, 0, 0);
        if (b.model == NULL)
            die("no model");
        add_all(&b);
        found += points(&b, accepted, all, &count);
        b.ops->destroy(b.model);
    }
    if (argc > 2)
        save(argv[2], all);
    json_decref(accepted);
    json_decref(all);
    free(b.inner);
    free(b.opened);
    free(b.outer[0]);
    free(b.outer[1]);
    if (found != 0) {
        fprintf(stderr, "test_perf: %u figures are worse than %s\n", found, path);
        return 1;
    }
    printf("%u passed\n", count);
    return 0;
}
