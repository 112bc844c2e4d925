// SPDX-License-Identifier: Apache-2.0
// SAs are added and deleted without end beside a flow of packets of other SAs, out and in: none of the flow's
// packets is wrong, out of order, or later by more than the fetch of one descriptor takes, and what a deleted
// SA's packet finds is the reason. The delay is what is left when the same flow has run without the commands.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/rtl/top_esp.h"
#include "tests/rtl/top_host.h"

enum { FLOW = 4, FIRST = 16, CHURNED = 64 };                   // slots
enum { COMMANDS = 2000, AT_ONCE = 8 };                         // adds and deletes together
enum { LEN = 200, BUFFERS = 64, PERIOD = 60, PACKETS = 2000 }; // a packet in so many cycles
enum { READ_LATENCY = 60, OVERHEAD = 16 };

static struct host h;
static struct queue sq, pq[2];
static struct espc_packet_desc job[2][BUFFERS];
static uint64_t rung[2][BUFFERS], results;
static uint64_t blob[CHURNED];
static unsigned sent[2], came[2], out_len[BUFFERS];
static uint64_t worst[2];
static unsigned asked, answered, commands, wanted;

static uint64_t cycles(void)
{
    struct card_model_stats st;
    card_model_stats(h.card, &st);
    return st.cycles;
}

// The answers of a queue come in the order of its descriptors.
static void on_completion(struct host *host, const struct espc_completion *c, void *arg)
{
    unsigned dir = c->cookie >> 32 & 1, i = came[dir] % BUFFERS;
    (void)arg;
    assert_int_equal((uint32_t)c->cookie, came[dir]);
    if (c->status != ESPC_STATUS_OK)
        fail_msg("packet %u, direction %u: status %u", came[dir], dir, c->status);
    uint64_t took = cycles() - rung[dir][i];
    worst[dir] = took > worst[dir] ? took : worst[dir];
    const uint8_t *got = host_at(host, job[dir][i].dst_iova);
    if (dir == 0) {
        esp_check(got, c->out_len, c->seq, job[0][i].sa_index, host_at(host, job[0][i].src_iova), LEN);
        out_len[i] = c->out_len;
    } else {
        assert_int_equal(c->out_len, LEN);
        assert_memory_equal(got, host_at(host, job[0][i].src_iova), LEN);
    }
    came[dir]++;
}

// ---- the flow

static void send(unsigned dir)
{
    unsigned i = sent[dir] % BUFFERS;
    struct espc_packet_desc *d = &job[dir][i];
    d->cookie = (uint64_t)dir << 32 | sent[dir]++;
    if (dir == 1)
        d->src_len = out_len[i];
    queue_put(&pq[dir], d);
    rung[dir][i] = cycles();
    queue_ring(&pq[dir]);
}

static void take(struct queue *q)
{
    struct espc_completion c;
    bool any = false;
    while (queue_poll(q, &c))
        any = true;
    if (any)
        queue_consumed(q, false);
}

// What went out a while ago comes in.
static void flow(void)
{
    if (sent[0] < came[1] + BUFFERS / 2)
        send(0);
    if (sent[1] < came[0])
        send(1);
    take(&pq[0]);
    take(&pq[1]);
}

// ---- the others

static void command(unsigned n)
{
    uint32_t slot = n / 2 % CHURNED;
    struct espc_sa_command cmd = {.op = n % 2 ? ESPC_SA_OP_DELETE : ESPC_SA_OP_ADD,
                                  .dir = n / 2 / CHURNED & 1,
                                  .sa_index = FIRST + slot,
                                  .generation = (uint16_t)(n / 2 / CHURNED + 1),
                                  .cookie = n,
                                  .blob_iova = blob[slot],
                                  .result_iova = results + (uint64_t)(n % AT_ONCE) * 64};
    queue_put(&sq, &cmd);
}

static void churn(void)
{
    struct espc_completion c;
    bool any = false;
    for (; queue_poll(&sq, &c); any = true) {
        assert_int_equal(c.cookie, answered++);
        if (c.status != ESPC_STATUS_OK)
            fail_msg("command %u: status %u", answered - 1, c.status);
    }
    if (any)
        queue_consumed(&sq, false);
    any = false;
    for (; asked < commands && asked - answered < AT_ONCE; any = true)
        command(asked++);
    if (any)
        queue_ring(&sq);
}

// ---- both

static void wait_until(uint64_t at)
{
    for (uint64_t now = cycles(); now < at && card_model_step(h.card, at - now); now = cycles())
        ;
}

static void make_flow(void)
{
    for (unsigned i = 0; i < BUFFERS; i++) {
        uint64_t in = host_alloc(&h, LEN, 64), out = host_alloc(&h, LEN + 100, 64),
                 back = host_alloc(&h, LEN, 64);
        esp_inner(host_at(&h, in), LEN);
        job[0][i] = (struct espc_packet_desc){.op = ESPC_PKT_OP_ENCAP,
                                              .src_iova = in,
                                              .dst_iova = out,
                                              .src_len = LEN,
                                              .dst_cap = LEN + 100,
                                              .sa_index = 1 + i % FLOW,
                                              .generation = 1};
        job[1][i] = (struct espc_packet_desc){
            .op = ESPC_PKT_OP_DECAP, .src_iova = out, .dst_iova = back, .dst_cap = LEN};
    }
    for (uint32_t slot = 1; slot <= FLOW; slot++)
        for (uint8_t dir = 0; dir < 2; dir++) {
            struct espc_sa_command add = {
                .op = ESPC_SA_OP_ADD, .dir = dir, .sa_index = slot, .generation = 1};
            struct espc_sa_blob b = esp_blob(slot);
            assert_int_equal(sa_command(&sq, add, &b, NULL), ESPC_STATUS_OK);
        }
}

static void make_others(void)
{
    results = host_alloc(&h, AT_ONCE * 64, 64);
    for (uint32_t i = 0; i < CHURNED; i++) {
        struct espc_sa_blob b = esp_blob(FIRST + i);
        blob[i] = host_alloc(&h, sizeof b, 64);
        memcpy(host_at(&h, blob[i]), &b, sizeof b);
    }
}

static void open(card_new make)
{
    static const struct card_model_config bus = {.read_latency = READ_LATENCY, .write_latency = READ_LATENCY};
    srand(1);
    host_open(&h, make, bus);
    host_enable(&h);
    queue_open(&sq, &h, 0, 4, 4, 0);
    queue_open(&pq[0], &h, 1, 6, 6, 1);
    queue_open(&pq[1], &h, 2, 6, 6, 2);
    make_flow();
    make_others();
    h.on_completion = on_completion;
    memset(sent, 0, sizeof sent);
    memset(came, 0, sizeof came);
    memset(worst, 0, sizeof worst);
    asked = answered = 0;
}

static void run(bool with_others)
{
    for (uint64_t at = cycles(); with_others ? answered < commands : came[1] < PACKETS; at += PERIOD) {
        flow();
        if (with_others)
            churn();
        wait_until(at + PERIOD);
        at = cycles() < at + PERIOD ? cycles() - PERIOD : at; // it was idle: time did not pass
    }
    host_idle(&h);
}

static void beside(card_new make, unsigned how_many)
{
    commands = how_many;
    uint64_t alone[2];
    open(make);
    run(false);
    memcpy(alone, worst, sizeof alone);
    host_close(&h);
    open(make);
    uint64_t from = cycles();
    run(true);
    unsigned lanes = card_model_lanes(h.card);
    uint64_t fetch = READ_LATENCY + 4 / lanes + OVERHEAD;
    print_message(
        "%u lanes: %u adds and deletes in %llu cycles beside %u packets; longest way %llu and %llu cycles, "
        "alone %llu and %llu; a fetch takes %llu\n",
        lanes, commands, (unsigned long long)(cycles() - from), came[0] + came[1],
        (unsigned long long)worst[0], (unsigned long long)worst[1], (unsigned long long)alone[0],
        (unsigned long long)alone[1], (unsigned long long)fetch);
    assert_true(came[0] > 100 && came[1] > 100);
    for (unsigned dir = 0; dir < 2; dir++)
        assert_true(worst[dir] <= alone[dir] + fetch);
    assert_int_equal(host_read(&h, ESPC_REG_ERR_CAUSE), 0);
    assert_int_equal(h.strays, 0);
    host_close(&h);
}

static void test_adds_and_deletes_delay_no_other_sas_packet_by_more_than_a_fetch(void **state)
{
    (void)state;
    beside(card_model_l1_new, wanted);
    beside(card_model_l4_new, wanted / 10);
}

// usage: test_top_churn [COMMANDS]; ten times as many (check-churn) take half a minute
int main(int argc, char **argv)
{
    wanted = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : COMMANDS;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adds_and_deletes_delay_no_other_sas_packet_by_more_than_a_fetch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
