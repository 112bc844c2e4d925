// SPDX-License-Identifier: Apache-2.0
// The whole card under load: many packets of many SAs in both directions on two queues, rings that wrap, a
// bus that answers late and out of order. At the moment when a completion is written its payload must already
// be there and right. Arguments: none, or the seed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/rtl/top_host.h"
#include "tests/rtl/top_esp.h"

enum { SLOTS = 8, JOBS = 4096 };

struct job {
    struct espc_packet_desc desc;
    uint16_t want; // status
    uint32_t inner_len;
    uint64_t inner; // address of the inner packet
    bool done;
    uint16_t out_len;
    uint64_t seq;
};

static struct host h;
static struct queue sq, pq[2];
static struct job jobs[JOBS];
static unsigned n_jobs, n_done;
static unsigned seed = 20240229;
static uint64_t next_seq[SLOTS + 1];

static void on_completion(struct host *host, const struct espc_completion *c, void *arg)
{
    (void)arg;
    assert_true(c->cookie < n_jobs);
    struct job *j = &jobs[c->cookie];
    const uint8_t *out = host_at(host, j->desc.dst_iova);
    assert_false(j->done);
    j->done = true;
    n_done++;
    if (c->status != j->want)
        fail_msg("packet %u (op %u, %u bytes): status %u, expected %u", (unsigned)c->cookie, j->desc.op,
                 j->desc.src_len, c->status, j->want);
    if (c->status != ESPC_STATUS_OK) {
        assert_int_equal(c->out_len, 0);
        assert_int_equal(out[0], 0xee);
        return;
    }
    j->out_len = c->out_len;
    j->seq = c->seq;
    if (j->desc.op == ESPC_PKT_OP_ENCAP) {
        assert_int_equal(c->seq, next_seq[j->desc.sa_index]++); // packets of one SA keep their order
        esp_check(out, c->out_len, c->seq, j->desc.sa_index, host_at(host, j->inner), j->inner_len);
    } else {
        assert_int_equal(c->out_len, j->inner_len);
        assert_memory_equal(out, host_at(host, j->inner), j->inner_len);
    }
    assert_int_equal(out[c->out_len], 0xee);
}

static struct job *new_job(uint8_t op, uint32_t len, uint32_t cap)
{
    assert_true(n_jobs < JOBS);
    struct job *j = &jobs[n_jobs];
    memset(j, 0, sizeof *j);
    j->desc = (struct espc_packet_desc){
        .op = op, .src_len = len, .dst_cap = cap, .generation = 1, .cookie = n_jobs++};
    j->desc.dst_iova = host_alloc(&h, cap + 16, 64);
    memset(host_at(&h, j->desc.dst_iova), 0xee, cap + 16);
    return j;
}

static void encap(uint32_t len)
{
    struct job *j = new_job(ESPC_PKT_OP_ENCAP, len, len + 100);
    j->desc.sa_index = 1 + (unsigned)rand() % SLOTS;
    j->desc.src_iova = host_alloc(&h, len + 80, 64) + (unsigned)rand() % 70;
    j->inner = j->desc.src_iova;
    j->inner_len = len;
    esp_inner(host_at(&h, j->inner), len);
    switch (rand() % 16) {
    case 0:
        j->desc.generation = 2;
        j->want = ESPC_STATUS_SA_STALE_GEN;
        break;
    case 1:
        j->desc.op = 9;
        j->want = ESPC_STATUS_BAD_DESC;
        break;
    }
}

static void decap(const struct job *e, bool corrupt)
{
    struct job *j = new_job(ESPC_PKT_OP_DECAP, e->out_len, e->inner_len + 20);
    j->desc.src_iova = host_alloc(&h, e->out_len + 80u, 64) + (unsigned)rand() % 70;
    memcpy(host_at(&h, j->desc.src_iova), host_at(&h, e->desc.dst_iova), e->out_len);
    j->inner = e->inner;
    j->inner_len = e->inner_len;
    if (corrupt) {
        host_at(&h, j->desc.src_iova)[e->out_len - 1] ^= 1;
        j->want = ESPC_STATUS_ICV_FAIL;
    }
}

// Submits the jobs from `from` on over both queues, in bursts of random size, until all are complete.
static void run(unsigned from)
{
    struct espc_completion c;
    unsigned next = from, which = 0;
    for (unsigned i = 0; n_done < n_jobs; i++) {
        if (i > 2000000)
            fail_msg("%u of %u complete, STATUS %08x", n_done, n_jobs, host_read(&h, ESPC_REG_STATUS));
        unsigned burst = (unsigned)rand() % 24;
        struct queue *q = &pq[which];
        for (; burst && next < n_jobs && q->tail - q->sq_head < (1u << q->sq_log2); burst--)
            queue_put(q, &jobs[next++].desc);
        if (next == n_jobs || q->tail - q->sq_head == 1u << q->sq_log2 || rand() % 4 == 0)
            queue_ring(q);
        which ^= rand() % 2; // so that either gets its last doorbell
        card_model_step(h.card, 20);
        for (unsigned k = 0; k < 2; k++)
            if (queue_poll(&pq[k], &c)) {
                while (queue_poll(&pq[k], &c))
                    ;
                queue_consumed(&pq[k], rand() % 2);
                queue_ring(&pq[k]);
            }
    }
    host_idle(&h);
}

// Every packet is counted once by direction and once by status.
static void check_counters(void)
{
    uint64_t by_status = 0, bad = host_counter(&h, 32 + ESPC_STATUS_BAD_DESC);
    for (unsigned s = 0; s < 32; s++)
        by_status += host_counter(&h, 32 + s);
    assert_int_equal(host_counter(&h, ESPC_COUNTER_DESC_FETCHED), n_jobs);
    assert_int_equal(by_status, n_jobs);
    assert_int_equal(host_counter(&h, ESPC_COUNTER_ENC_PACKETS) + host_counter(&h, ESPC_COUNTER_ENC_DROPS) +
                         host_counter(&h, ESPC_COUNTER_DEC_PACKETS) +
                         host_counter(&h, ESPC_COUNTER_DEC_DROPS) + bad,
                     n_jobs);
    assert_int_equal(host_counter(&h, ESPC_COUNTER_COMPLETIONS),
                     n_jobs + host_counter(&h, ESPC_COUNTER_SA_COMMANDS));
    assert_true(host_counter(&h, ESPC_COUNTER_CYCLES_BUSY) > 0);
}

static void load(card_new make, struct card_model_config config, unsigned packets, uint32_t max_len)
{
    struct card_model_stats before, after;
    srand(seed);
    config.seed = seed;
    host_open(&h, make, config);
    host_enable(&h);
    queue_open(&sq, &h, 0, 2, 2, 0);
    queue_open(&pq[0], &h, 1, 4, 5, 1);
    queue_open(&pq[1], &h, 2, 6, 6, 2);
    h.on_completion = on_completion;
    n_jobs = n_done = 0;
    for (uint32_t slot = 1; slot <= SLOTS; slot++)
        for (uint8_t dir = 0; dir < 2; dir++) {
            struct espc_sa_command add = {
                .op = ESPC_SA_OP_ADD, .dir = dir, .sa_index = slot, .generation = 1};
            struct espc_sa_blob blob = esp_blob(slot);
            next_seq[slot] = 1;
            assert_int_equal(sa_command(&sq, add, &blob, NULL), ESPC_STATUS_OK);
        }
    clock_t start = clock();
    card_model_stats(h.card, &before);
    for (unsigned i = 0; i < packets; i++)
        encap(20 + (unsigned)rand() % (max_len - 19));
    run(0);
    unsigned half = n_jobs;
    for (unsigned i = 0; i < half; i++)
        if (jobs[i].want == ESPC_STATUS_OK) {
            decap(&jobs[i], rand() % 16 == 0);
            if (rand() % 2)
                encap(20 + (unsigned)rand() % (max_len - 19));
        }
    run(half);
    card_model_stats(h.card, &after);
    print_message("%u lanes: %u packets, %.1f cycles each, %.0f cycles per CPU second\n",
                  card_model_lanes(h.card), n_jobs, (double)(after.cycles - before.cycles) / n_jobs,
                  (double)(after.cycles - before.cycles) * CLOCKS_PER_SEC / (double)(clock() - start));
    assert_int_equal(host_read(&h, ESPC_REG_ERR_CAUSE), 0);
    assert_true(host_read(&h, ESPC_REG_STATUS) & ESPC_STATUS_DRAINED_MASK);
    check_counters();
    host_close(&h);
}

static const struct card_model_config PLAIN = {0};
static const struct card_model_config ROUGH = {
    .read_latency = 30, .jitter = 300, .reorder = true, .stalls = true};

static void test_load_on_a_plain_bus(void **state)
{
    (void)state;
    load(card_model_l1_new, PLAIN, 400, 300);
}

static void test_load_on_a_slow_bus_out_of_order(void **state)
{
    (void)state;
    load(card_model_l1_new, ROUGH, 400, 300);
}

static void test_load_of_long_packets(void **state)
{
    (void)state;
    load(card_model_l1_new, ROUGH, 40, 9000);
}

static void test_load_four_lanes(void **state)
{
    (void)state;
    load(card_model_l4_new, PLAIN, 300, 400);
    load(card_model_l4_new, ROUGH, 300, 1500);
}

// ---- reset on a slow bus: no DMA follows READY, and the card is whole again

static void test_no_dma_follows_a_reset(void **state)
{
    (void)state;
    srand(seed);
    host_open(&h, card_model_l1_new, ROUGH);
    for (unsigned round = 0; round < 40; round++) {
        host_forget(&h);
        host_enable(&h);
        queue_open(&sq, &h, 0, 2, 2, 0);
        queue_open(&pq[0], &h, 1, 6, 6, 1);
        struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .sa_index = 1, .generation = 1};
        struct espc_sa_blob blob = esp_blob(1);
        assert_int_equal(sa_command(&sq, add, &blob, NULL), ESPC_STATUS_OK);
        n_jobs = 0;
        for (unsigned i = 0; i < 50; i++) {
            struct job *j = new_job(ESPC_PKT_OP_ENCAP, 20 + (unsigned)rand() % 1000, 2000);
            j->desc.sa_index = 1;
            j->desc.src_iova = host_alloc(&h, 2000, 64);
            esp_inner(host_at(&h, j->desc.src_iova), j->desc.src_len);
            queue_put(&pq[0], &j->desc);
        }
        queue_ring(&pq[0]);
        card_model_step(h.card, (unsigned)rand() % 3000);
        host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK);
        while (!(host_read(&h, ESPC_REG_STATUS) & ESPC_STATUS_READY_MASK))
            card_model_step(h.card, 1);
        h.bad_from = h.refused = 0;
        h.bad_to = ~0ull;
        struct card_model_stats a, b;
        card_model_stats(h.card, &a);
        host_idle(&h);
        card_model_stats(h.card, &b);
        assert_int_equal(a.read_bursts + a.write_bursts, b.read_bursts + b.write_bursts);
        assert_int_equal(h.refused, 0);
        h.bad_to = 0;
    }
    host_close(&h);
}

// ---- cycles per packet of the whole card: descriptor, DMA in, pipeline, DMA out, completion; one direction

enum { RATE_PACKETS = 1000, RATE_SKIP = 200 };
static uint64_t rate_first, rate_last;
static unsigned rate_seen;

static void on_rate(struct host *host, const struct espc_completion *c, void *arg)
{
    struct card_model_stats st;
    (void)arg;
    assert_int_equal(c->status, ESPC_STATUS_OK);
    card_model_stats(host->card, &st);
    rate_seen++;
    if (rate_seen == RATE_SKIP)
        rate_first = st.cycles;
    if (rate_seen == RATE_PACKETS - RATE_SKIP)
        rate_last = st.cycles;
    jobs[c->cookie].out_len = c->out_len;
}

static double rate_of(unsigned from)
{
    struct espc_completion c;
    rate_seen = 0;
    for (unsigned i = from; i < from + RATE_PACKETS; i++)
        queue_put(&pq[0], &jobs[i].desc);
    queue_ring(&pq[0]);
    host_idle(&h);
    assert_int_equal(rate_seen, RATE_PACKETS);
    while (queue_poll(&pq[0], &c))
        ;
    queue_consumed(&pq[0], false);
    return (double)(rate_last - rate_first) / (RATE_PACKETS - 2 * RATE_SKIP);
}

static void rate(card_new make, uint32_t len, double most)
{
    static const struct card_model_config bus = {
        .read_latency = 200, .write_latency = 200, .jitter = 100, .reorder = true, .seed = 7};
    host_open(&h, make, bus);
    host_enable(&h);
    queue_open(&sq, &h, 0, 2, 2, 0);
    queue_open(&pq[0], &h, 1, 11, 11, 1);
    for (uint32_t slot = 1; slot <= SLOTS; slot++)
        for (uint8_t dir = 0; dir < 2; dir++) {
            struct espc_sa_command add = {
                .op = ESPC_SA_OP_ADD, .dir = dir, .sa_index = slot, .generation = 1};
            struct espc_sa_blob blob = esp_blob(slot);
            assert_int_equal(sa_command(&sq, add, &blob, NULL), ESPC_STATUS_OK);
        }
    h.on_completion = on_rate;
    n_jobs = 0;
    for (unsigned i = 0; i < RATE_PACKETS; i++) {
        struct job *j = new_job(ESPC_PKT_OP_ENCAP, len, len + 100);
        j->desc.sa_index = 1 + i % SLOTS;
        j->desc.src_iova = host_alloc(&h, len, 64);
        esp_inner(host_at(&h, j->desc.src_iova), len);
    }
    double out = rate_of(0);
    for (unsigned i = 0; i < RATE_PACKETS; i++) {
        struct job *j = new_job(ESPC_PKT_OP_DECAP, jobs[i].out_len, len);
        j->desc.src_iova = jobs[i].desc.dst_iova;
        j->desc.dst_iova = jobs[i].desc.src_iova & ~63ull;
    }
    double in = rate_of(RATE_PACKETS);
    print_message(
        "%u lanes, %4u bytes: %5.1f cycles a packet to encapsulate, %5.1f to decapsulate, at most %.1f\n",
        card_model_lanes(h.card), len, out, in, most);
    assert_true(out <= most && in <= most);
    host_close(&h);
}

// The bus carries a descriptor of 64 bytes and the packet one way, the result and a completion of 32 bytes
// the other way.
static void test_rate_of_the_whole_card_on_a_slow_bus(void **state)
{
    (void)state;
    rate(card_model_l1_new, 46, 12);
    rate(card_model_l1_new, 1500, 104);
    rate(card_model_l4_new, 46, 4);
    rate(card_model_l4_new, 64, 4);
    rate(card_model_l4_new, 1500, 1500.0 / 48);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        seed = (unsigned)strtoul(argv[1], NULL, 0);
    print_message("seed %u (to repeat: %s %u)\n", seed, argv[0], seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_on_a_plain_bus),
        cmocka_unit_test(test_load_on_a_slow_bus_out_of_order),
        cmocka_unit_test(test_load_of_long_packets),
        cmocka_unit_test(test_load_four_lanes),
        cmocka_unit_test(test_no_dma_follows_a_reset),
        cmocka_unit_test(test_rate_of_the_whole_card_on_a_slow_bus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
