// SPDX-License-Identifier: Apache-2.0
// The host of top_host.h: flat memory, bus callbacks that check every access, and the driver's side of the
// rings.
#include "tests/rtl/top_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool inside(uint64_t addr, size_t len, uint64_t from, uint64_t to)
{
    return addr < to && addr + len > from;
}

static bool legal(const struct host *h, uint64_t addr, size_t len)
{
    (void)h;
    return len <= 256 && addr / 4096 == (addr + len - 1) / 4096 && addr >= HOST_BASE &&
           addr + len <= HOST_BASE + HOST_BYTES;
}

static int on_read(void *ctx, uint64_t addr, void *buf, size_t len)
{
    struct host *h = ctx;
    if (inside(addr, len, h->bad_from, h->bad_to)) {
        h->refused++;
        return -1;
    }
    if (!legal(h, addr, len)) {
        h->strays++;
        return -1;
    }
    memcpy(buf, host_at(h, addr), len);
    return 0;
}

static bool in_packet_cq(const struct host *h, uint64_t addr, size_t len)
{
    for (unsigned n = 1; n < HOST_QUEUES; n++)
        if (inside(addr, len, h->cq_from[n], h->cq_to[n]))
            return true;
    return false;
}

static int on_write(void *ctx, uint64_t addr, const void *buf, size_t len)
{
    struct host *h = ctx;
    if (inside(addr, len, h->bad_from, h->bad_to)) {
        h->refused++;
        return -1;
    }
    if (!legal(h, addr, len)) {
        h->strays++;
        return -1;
    }
    if (inside(addr, len, h->write_from, h->write_to))
        h->writes++;
    if (h->on_completion && in_packet_cq(h, addr, len)) {
        struct espc_completion c;
        assert_int_equal(len, sizeof c);
        memcpy(&c, buf, sizeof c);
        h->on_completion(h, &c, h->on_arg);
    }
    memcpy(host_at(h, addr), buf, len);
    return 0;
}

static void on_irq(void *ctx, unsigned vector)
{
    struct host *h = ctx;
    assert_true(vector < HOST_VECTORS);
    h->irqs[vector]++;
}

void host_open(struct host *h, card_new make, struct card_model_config config)
{
    memset(h, 0, sizeof *h);
    h->memory = calloc(1, HOST_BYTES);
    assert_non_null(h->memory);
    config.dma_read = on_read;
    config.dma_write = on_write;
    config.irq = on_irq;
    config.ctx = h;
    h->card = make(&config);
    assert_non_null(h->card);
    host_forget(h);
}

void host_close(struct host *h)
{
    struct card_model_stats stats;
    card_model_stats(h->card, &stats);
    assert_int_equal(stats.violations, 0);
    assert_int_equal(h->strays, 0);
    card_model_destroy(h->card);
    free(h->memory);
}

uint64_t host_alloc(struct host *h, uint64_t bytes, uint64_t align)
{
    uint64_t at = (h->used + align - 1) / align * align;
    assert_true(at + bytes <= HOST_BYTES);
    h->used = at + bytes;
    return HOST_BASE + at;
}

void host_forget(struct host *h)
{
    h->used = 4096;
}

uint8_t *host_at(struct host *h, uint64_t iova)
{
    return h->memory + (iova - HOST_BASE);
}

void host_idle(struct host *h)
{
    card_model_step(h->card, 2000000);
    assert_false(card_model_busy(h->card));
}

uint32_t host_read(struct host *h, uint32_t reg)
{
    return card_model_csr_read32(h->card, reg);
}

void host_write(struct host *h, uint32_t reg, uint32_t value)
{
    card_model_csr_write32(h->card, reg, value);
}

uint64_t host_counter(struct host *h, unsigned index)
{
    host_write(h, ESPC_REG_SNAPSHOT, 1);
    uint64_t low = host_read(h, ESPC_REG_COUNTER_LO(index));
    return low | (uint64_t)host_read(h, ESPC_REG_COUNTER_HI(index)) << 32;
}

void host_enable(struct host *h)
{
    h->epoch += 0x5eed1235;
    host_write(h, ESPC_REG_EPOCH, h->epoch);
    host_write(h, ESPC_REG_FEATURES_ACCEPTED, host_read(h, ESPC_REG_FEATURES_OFFERED));
    host_write(h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK);
    assert_int_equal(host_read(h, ESPC_REG_CTRL), ESPC_CTRL_ENABLE_MASK);
}

void queue_open(struct queue *q, struct host *h, unsigned number, unsigned sq_log2, unsigned cq_log2,
                unsigned vector)
{
    memset(q, 0, sizeof *q);
    q->host = h;
    q->number = number;
    q->sq_log2 = sq_log2;
    q->cq_log2 = cq_log2;
    q->sq = host_alloc(h, 64u << sq_log2, 64);
    q->cq = host_alloc(h, 32u << cq_log2, 64);
    memset(host_at(h, q->cq), 0, 32u << cq_log2);
    h->cq_from[number] = q->cq;
    h->cq_to[number] = q->cq + (32u << cq_log2);
    host_write(h, ESPC_REG_QUEUE_CTRL(number), 0);
    host_write(h, ESPC_REG_QUEUE_SQ_BASE_LO(number), (uint32_t)q->sq);
    host_write(h, ESPC_REG_QUEUE_SQ_BASE_HI(number), (uint32_t)(q->sq >> 32));
    host_write(h, ESPC_REG_QUEUE_CQ_BASE_LO(number), (uint32_t)q->cq);
    host_write(h, ESPC_REG_QUEUE_CQ_BASE_HI(number), (uint32_t)(q->cq >> 32));
    host_write(h, ESPC_REG_QUEUE_LOG2_SIZE(number), sq_log2 | cq_log2 << 8 | HOST_ENTRIES);
    host_write(h, ESPC_REG_QUEUE_VECTOR(number), vector);
    host_write(h, ESPC_REG_QUEUE_CTRL(number), ESPC_QUEUE_CTRL_ENABLE_MASK);
    assert_int_equal(host_read(h, ESPC_REG_QUEUE_CTRL(number)), ESPC_QUEUE_CTRL_ENABLE_MASK);
}

void queue_put(struct queue *q, const void *entry)
{
    uint32_t slot = q->tail & ((1u << q->sq_log2) - 1);
    memcpy(host_at(q->host, q->sq + 64u * slot), entry, 64);
    q->tail++;
}

void queue_ring(struct queue *q)
{
    host_write(q->host, ESPC_REG_DOORBELL_SQ_TAIL(q->number), q->tail);
}

bool queue_poll(struct queue *q, struct espc_completion *c)
{
    uint32_t slot = q->head & ((1u << q->cq_log2) - 1);
    uint32_t phase = !(q->head >> q->cq_log2 & 1);
    memcpy(c, host_at(q->host, q->cq + 32u * slot), sizeof *c);
    if (c->head_phase >> 31 != phase)
        return false;
    assert_int_equal(c->flags & 0xff, q->host->epoch & 0xff);
    q->sq_head = c->head_phase & 0x7fffffff;
    q->head++;
    return true;
}

void queue_wait(struct queue *q, struct espc_completion *c)
{
    for (unsigned i = 0; i < 20000; i++) {
        if (queue_poll(q, c))
            return;
        card_model_step(q->host->card, 10);
    }
    fail_msg("queue %u: no completion %u within 200000 cycles (STATUS %08x, SQ_HEAD %u)", q->number, q->head,
             host_read(q->host, ESPC_REG_STATUS), host_read(q->host, ESPC_REG_QUEUE_SQ_HEAD(q->number)));
}

void queue_consumed(struct queue *q, bool arm)
{
    host_write(q->host, ESPC_REG_DOORBELL_CQ_HEAD(q->number),
               (q->head & 0x7fffffff) | (arm ? 0x80000000u : 0));
}

uint16_t sa_command(struct queue *q, struct espc_sa_command cmd, const struct espc_sa_blob *blob,
                    struct espc_sa_result *result)
{
    struct host *h = q->host;
    struct espc_completion c;
    uint64_t mark = h->used;
    uint64_t where = host_alloc(h, 64, 64);
    cmd.result_iova = where;
    memset(host_at(h, where), 0xaa, 64);
    if (blob) {
        cmd.blob_iova = host_alloc(h, sizeof *blob, 64);
        memcpy(host_at(h, cmd.blob_iova), blob, sizeof *blob);
    }
    queue_put(q, &cmd);
    queue_ring(q);
    queue_wait(q, &c);
    queue_consumed(q, false);
    assert_int_equal(c.cookie, cmd.cookie);
    if (result)
        memcpy(result, host_at(h, where), sizeof *result);
    h->used = mark;
    return c.status;
}
