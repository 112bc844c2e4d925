// SPDX-License-Identifier: Apache-2.0
// Rings: submissions of 64 bytes, completions of 32 whose last word carries the phase bit, doorbells.
// Everything that the card writes is copied once and checked before it is believed.
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "driver/card/barrier.h"
#include "driver/card/card.h"
#include "driver/common/bytes.h"
#include "driver/common/lock.h"

// Cuts n bytes off the ring memory, aligned to 64.
static uint8_t *take(struct card *c, size_t *used, size_t n, uint64_t *iova)
{
    uint8_t *p = c->mem + *used;

    *iova = c->mem_iova + *used;
    *used += (n + 63) / 64 * 64;
    return p;
}

static int create_memory(struct card *c, struct esp_error *err)
{
    int rc;

    c->mem_length = (c->mem_length + 4095) / 4096 * 4096;
    c->mem_fd = memfd_create("espalier-rings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (c->mem_fd < 0 || ftruncate(c->mem_fd, (off_t)c->mem_length) ||
        fcntl(c->mem_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        return esp_fail(err, -errno, c->bus->name, "cannot reserve %zu bytes of ring memory: %s",
                        c->mem_length, strerror(errno));
    c->mem = mmap(NULL, c->mem_length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, c->mem_fd, 0);
    if (c->mem == MAP_FAILED) {
        rc = -errno;
        c->mem = NULL;
        return esp_fail(err, rc, c->bus->name, "cannot map the ring memory: %s", strerror(-rc));
    }
    memory_protect(c->mem, c->mem_length, "ring memory", c->base.note);
    return bus_dma_map(c->bus, c->mem, c->mem_length, c->mem_fd, &c->mem_iova, err);
}

int queue_draw_salt(struct queue *q)
{
    return RAND_bytes((unsigned char *)&q->salt, sizeof(q->salt)) == 1 ? 0 : -EIO;
}

int card_draw_mark(struct card *c)
{
    return RAND_bytes((unsigned char *)&c->mark, sizeof(c->mark)) == 1 ? 0 : -EIO;
}

void queue_clear(struct queue *q)
{
    memset(q->cq, 0, (size_t)q->size * CQE_BYTES);
    q->sq_tail = q->sq_told = q->sq_head = q->cq_head = q->cq_told = 0;
    q->rearm = false;
    atomic_store(&q->shown_told, 0);
    atomic_store(&q->shown_done, 0);
}

static int init_queue(struct queue *q, unsigned index, uint32_t log2)
{
    q->index = index;
    q->log2 = log2;
    q->size = 1u << log2;
    q->entry = calloc(q->size, sizeof(*q->entry));
    return q->entry ? queue_draw_salt(q) : -ENOMEM;
}

int card_queues_create(struct card *c, uint32_t ring_log2, struct esp_error *err)
{
    size_t used = 0, commands = 1u << CARD_COMMAND_LOG2;
    int rc;

    for (unsigned i = 0; i <= c->queues; i++) {
        if (init_queue(&c->queue[i], i, i ? ring_log2 : CARD_COMMAND_LOG2))
            return esp_fail(err, -ENOMEM, c->bus->name, "out of memory");
        c->mem_length += (size_t)c->queue[i].size * (SQE_BYTES + CQE_BYTES);
    }
    c->mem_length += commands * (BLOB_BYTES + RESULT_BYTES) + CARD_SCRATCH_BYTES;
    rc = create_memory(c, err);
    if (rc)
        return rc;
    for (unsigned i = 0; i <= c->queues; i++) {
        struct queue *q = &c->queue[i];
        q->sq = take(c, &used, (size_t)q->size * SQE_BYTES, &q->sq_iova);
        q->cq = take(c, &used, (size_t)q->size * CQE_BYTES, &q->cq_iova);
    }
    c->blobs = take(c, &used, commands * BLOB_BYTES, &c->blobs_iova);
    c->results = take(c, &used, commands * RESULT_BYTES, &c->results_iova);
    c->scratch = take(c, &used, CARD_SCRATCH_BYTES, &c->scratch_iova);
    return 0;
}

void card_queues_destroy(struct card *c)
{
    for (unsigned i = 0; i < CARD_MAX_QUEUES; i++)
        free(c->queue[i].entry);
    if (c->mem) {
        OPENSSL_cleanse(c->mem, c->mem_length);
        munmap(c->mem, c->mem_length);
    }
    if (c->mem_fd >= 0)
        close(c->mem_fd);
}

static uint32_t queue_reg(const struct card *c, const struct queue *q, uint32_t reg_of_queue_0)
{
    return c->off_queues + (reg_of_queue_0 - ESPC_REG_QUEUE(0)) + q->index * ESPC_QUEUE_STRIDE;
}

static uint32_t doorbell(const struct card *c, const struct queue *q, uint32_t reg_of_queue_0)
{
    return c->off_doorbells + (reg_of_queue_0 - ESPC_REG_DOORBELL(0)) + q->index * ESPC_DOORBELL_STRIDE;
}

void card_queue_start(struct card *c, struct queue *q)
{
    uint32_t vector = c->irqs == 0 ? 0 : q->index < c->irqs ? q->index : c->irqs - 1;

    bus_write32(c->bus, queue_reg(c, q, ESPC_REG_QUEUE_SQ_BASE_LO(0)), (uint32_t)q->sq_iova);
    bus_write32(c->bus, queue_reg(c, q, ESPC_REG_QUEUE_SQ_BASE_HI(0)), (uint32_t)(q->sq_iova >> 32));
    bus_write32(c->bus, queue_reg(c, q, ESPC_REG_QUEUE_CQ_BASE_LO(0)), (uint32_t)q->cq_iova);
    bus_write32(c->bus, queue_reg(c, q, ESPC_REG_QUEUE_CQ_BASE_HI(0)), (uint32_t)(q->cq_iova >> 32));
    bus_write32(c->bus, queue_reg(c, q, ESPC_REG_QUEUE_LOG2_SIZE(0)),
                q->log2 << ESPC_QUEUE_LOG2_SIZE_SQ_SHIFT | q->log2 << ESPC_QUEUE_LOG2_SIZE_CQ_SHIFT |
                    SQE_LOG2 << ESPC_QUEUE_LOG2_SIZE_SQE_SHIFT | CQE_LOG2 << ESPC_QUEUE_LOG2_SIZE_CQE_SHIFT);
    bus_write32(c->bus, queue_reg(c, q, ESPC_REG_QUEUE_VECTOR(0)), vector);
    bus_write32(c->bus, queue_reg(c, q, ESPC_REG_QUEUE_CTRL(0)), ESPC_QUEUE_CTRL_ENABLE_MASK);
}

void card_queue_stop(struct card *c, struct queue *q)
{
    bus_write32(c->bus, queue_reg(c, q, ESPC_REG_QUEUE_CTRL(0)), 0);
}

uint32_t card_queue_status(struct card *c, struct queue *q)
{
    return bus_read32(c->bus, queue_reg(c, q, ESPC_REG_QUEUE_STATUS(0)));
}

struct entry *queue_push(struct card *c, struct queue *q, void *owner, enum entry_state state)
{
    struct entry *e = &q->entry[q->next++ & (q->size - 1)];

    e->owner = owner;
    e->stamp = c->stamp++;
    e->state = state;
    return e;
}

uint8_t *queue_submission(struct queue *q)
{
    uint8_t *s = q->sq + (size_t)(q->sq_tail++ & (q->size - 1)) * SQE_BYTES;

    memset(s, 0, SQE_BYTES);
    return s;
}

uint64_t queue_cookie(const struct queue *q)
{
    return (uint64_t)q->salt << 32 | q->next;
}

static uint8_t *completion_at(const struct queue *q, uint32_t head)
{
    return q->cq + (size_t)(head & (q->size - 1)) * CQE_BYTES;
}

static uint32_t load_phase_word(const struct queue *q, uint32_t head)
{
    const void *at = completion_at(q, head) + offsetof(struct espc_completion, head_phase);

    return le32toh(__atomic_load_n((const uint32_t *)at, __ATOMIC_RELAXED));
}

// The phase bit is 1 in the first round of the ring and inverts with each.
static bool phase_matches(const struct queue *q, uint32_t head, uint32_t word)
{
    return (word >> ESPC_COMPLETION_HEAD_PHASE_PHASE_SHIFT) == !(head >> q->log2 & 1);
}

static bool phase_matches_at(const struct queue *q, uint32_t head)
{
    return phase_matches(q, head, load_phase_word(q, head));
}

void queue_ring(struct card *c, struct queue *q)
{
    if (q->sq_told == q->sq_tail || queue_health(q) != QUEUE_GOOD)
        return;
    to_device();
    if (bus_post32(c->bus, doorbell(c, q, ESPC_REG_DOORBELL_SQ_TAIL(0)), q->sq_tail) == -EAGAIN)
        return;
    q->sq_told = q->sq_tail;
    c->doorbells++;
    atomic_store_explicit(&q->shown_told, q->sq_told, memory_order_relaxed);
}

void queue_tell_head(struct card *c, struct queue *q, bool arm)
{
    uint32_t value =
        (q->cq_head & ESPC_DOORBELL_CQ_HEAD_HEAD_MASK) | (arm ? ESPC_DOORBELL_CQ_HEAD_ARM_MASK : 0);
    bool full;

    if (queue_health(q) != QUEUE_GOOD) // it has no doorbell: its restart is told by our own event
        return;
    full = bus_post32(c->bus, doorbell(c, q, ESPC_REG_DOORBELL_CQ_HEAD(0)), value) == -EAGAIN;

    if (!full)
        q->cq_told = q->cq_head;
    q->rearm = full && arm;
}

void queue_retell(struct card *c, struct queue *q)
{
    queue_ring(c, q);
    if (q->rearm)
        queue_tell_head(c, q, true);
}

// Told and not answered, and no answer lies in the ring for the host to take.
bool queue_waits_for_card(const struct queue *q)
{
    uint32_t told = atomic_load(&q->shown_told), done = atomic_load(&q->shown_done);

    return queue_health(q) == QUEUE_GOOD && told != done && !phase_matches_at(q, done);
}

bool queue_ready(const struct queue *q)
{
    return phase_matches_at(q, q->cq_head);
}

// Believes nothing: the cookie must be one of ours that is outstanding, the consumed count must lie between
// the last one and what was submitted, the epoch must be the one that this driver wrote.
static int check_completion(struct card *c, struct queue *q, uint64_t cookie, uint32_t head,
                            struct completion *done)
{
    uint32_t mask = ESPC_COMPLETION_HEAD_PHASE_SQ_HEAD_MASK;

    if ((done->flags & ESPC_COMPLETION_FLAGS_EPOCH_MASK) != (c->epoch & 0xff)) {
        card_fail(c, "a completion of queue %u carries epoch 0x%02x, expected 0x%02x", q->index,
                  done->flags & ESPC_COMPLETION_FLAGS_EPOCH_MASK, c->epoch & 0xff);
        return -1;
    }
    done->entry = (uint32_t)cookie;
    if (cookie >> 32 != q->salt || done->entry - q->oldest >= q->next - q->oldest ||
        q->entry[done->entry & (q->size - 1)].state != ENTRY_POSTED) {
        card_fail(c, "a completion of queue %u carries a cookie that is not outstanding", q->index);
        return -1;
    }
    if (((head - q->sq_head) & mask) > ((q->sq_told - q->sq_head) & mask)) {
        card_fail(c, "queue %u: the card states %u submissions consumed, %u were made", q->index, head,
                  q->sq_told & mask);
        return -1;
    }
    q->sq_head = head;
    return 1;
}

int queue_fetch(struct card *c, struct queue *q, struct completion *done)
{
    uint32_t word = load_phase_word(q, q->cq_head);
    struct espc_completion raw;

    if (!phase_matches(q, q->cq_head, word))
        return 0;
    from_device();
    memcpy(&raw, completion_at(q, q->cq_head), sizeof(raw));
    done->seq = le64toh(raw.seq);
    done->slot = le32toh(raw.sa_index);
    done->generation = le16toh(raw.generation);
    done->status = le16toh(raw.status);
    done->out_len = le16toh(raw.out_len);
    done->flags = le16toh(raw.flags);
    q->cq_head++;
    c->completions++;
    atomic_store_explicit(&q->shown_done, q->cq_head, memory_order_relaxed);
    if (check_completion(c, q, le64toh(raw.cookie), word & ESPC_COMPLETION_HEAD_PHASE_SQ_HEAD_MASK, done) < 0)
        return -1;
    if (q->cq_head - q->cq_told >= q->size / 2) // the card must never wait for us to sleep
        queue_tell_head(c, q, false);
    return 1;
}

void queue_release(struct queue *q, uint32_t entry)
{
    q->entry[entry & (q->size - 1)].state = ENTRY_FREE;
    while (q->oldest != q->next && q->entry[q->oldest & (q->size - 1)].state == ENTRY_FREE)
        q->oldest++;
}
