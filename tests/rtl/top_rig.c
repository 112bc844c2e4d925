// SPDX-License-Identifier: Apache-2.0
#include "tests/rtl/top_rig.h"

#include <string.h>

struct host h;
struct queue sq, q1, q2;
card_new make = card_model_l1_new;

int open_card(void **state)
{
    (void)state;
    host_open(&h, make, (struct card_model_config){0});
    host_enable(&h);
    queue_open(&sq, &h, 0, 3, 3, 0);
    queue_open(&q1, &h, 1, 4, 5, 1);
    queue_open(&q2, &h, 2, 4, 4, 2);
    return 0;
}

int close_card(void **state)
{
    (void)state;
    host_idle(&h);
    host_close(&h);
    return 0;
}

uint32_t status(void)
{
    return host_read(&h, ESPC_REG_STATUS);
}

// A descriptor for a packet of random inner bytes with its buffers from host memory.
struct espc_packet_desc packet(uint8_t op, uint32_t len, uint64_t cookie)
{
    struct espc_packet_desc d = {
        .op = op, .src_len = len, .dst_cap = 10240, .sa_index = 1, .generation = 1, .cookie = cookie};
    d.src_iova = host_alloc(&h, len + 64, 64) + (cookie & 3);
    d.dst_iova = host_alloc(&h, d.dst_cap, 64);
    esp_inner(host_at(&h, d.src_iova), len);
    memset(host_at(&h, d.dst_iova), 0xee, d.dst_cap);
    return d;
}

struct espc_completion submit(struct queue *q, const struct espc_packet_desc *d)
{
    struct espc_completion c;
    queue_put(q, d);
    queue_ring(q);
    queue_wait(q, &c);
    queue_consumed(q, false);
    assert_int_equal(c.cookie, d->cookie);
    return c;
}

void add_sa(uint8_t dir, uint32_t slot, uint16_t generation)
{
    struct espc_sa_command add = {
        .op = ESPC_SA_OP_ADD, .dir = dir, .sa_index = slot, .generation = generation, .cookie = 0xc0ffee};
    struct espc_sa_blob blob = esp_blob(slot);
    assert_int_equal(sa_command(&sq, add, &blob, NULL), ESPC_STATUS_OK);
}

uint32_t queue_status(unsigned q)
{
    return host_read(&h, ESPC_REG_QUEUE_STATUS(q));
}

// A context whose tag is not that of the packet that leaves the pipeline: a bit has fallen over inside.
void upset(void)
{
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 900, 0x1122334455667788);
    uint64_t context[2] = {d.cookie, d.dst_iova};
    unsigned found = 0;
    queue_put(&q1, &d);
    queue_ring(&q1);
    for (unsigned i = 0; i < 200 && !found; i++) {
        card_model_step(h.card, 1);
        found = card_model_flip(h.card, context, sizeof context, 2, 0x08);
    }
    assert_true(found);
    host_idle(&h);
}

int at_each_width(const struct CMUnitTest *tests, size_t count)
{
    make = card_model_l1_new;
    int failed = _cmocka_run_group_tests("1 lane", tests, count, NULL, NULL);
    make = card_model_l4_new;
    return failed + _cmocka_run_group_tests("4 lanes", tests, count, NULL, NULL);
}
