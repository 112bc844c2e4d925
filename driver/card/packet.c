// SPDX-License-Identifier: Apache-2.0
// Packets through the card: descriptors out, completions back, each checked against what the card was asked
// to do. A job that the card need not see (no such SA, memory it cannot reach) is answered here, in its turn.
#include <string.h>

#include "driver/card/card.h"
#include "driver/common/bytes.h"

enum { ALIGN = 64, MARK = sizeof(uint64_t) };
enum { MOST_ADDED = 128 }; // outer header, UDP, ESP, IV, padding and ICV come to less

// The pool that holds [p, p + len), NULL: none.
static const struct dma_pool *pool_of(const struct card *c, const uint8_t *p, uint32_t len)
{
    for (unsigned i = 0; i < c->pools; i++) {
        const struct dma_pool *d = &c->pool[i];
        if (p >= d->base && (size_t)(p - d->base) < d->length && len <= d->length - (size_t)(p - d->base))
            return d;
    }
    return NULL;
}

static struct queue *queue_of(struct card *c, enum esp_op op)
{
    return &c->queue[op == ESP_DECAP && c->queues > 1 ? 2 : 1];
}

static enum esp_status check_job(const struct card *c, const struct esp_job *job)
{
    const struct esp_sa *sa = job->sa;

    if (job->op == ESP_ENCAP) {
        if (!sa || sa->card != c || sa->dir != ESP_OUT || sa->state == SA_ADDING)
            return ESP_STATUS_SA_INVALID;
        if (sa->state != SA_VALID)
            return ESP_STATUS_SA_DRAINING;
        if (job->dummy)
            return ESP_STATUS_SA_MISMATCH;
    }
    if (job->in_len == 0)
        return ESP_STATUS_TRUNCATED;
    if (job->in_len > c->max_len)
        return ESP_STATUS_TOO_LONG;
    if (!pool_of(c, job->in, job->in_len) || !pool_of(c, job->out, job->out_cap) || job->out_cap == 0 ||
        (uintptr_t)job->out % ALIGN)
        return ESP_STATUS_BAD_DESC;
    return ESP_STATUS_OK;
}

static uint32_t longest_result(const struct esp_job *job)
{
    return job->in_len + (job->op == ESP_ENCAP ? MOST_ADDED : 0);
}

// A result comes in bursts that begin at multiples of 64 octets. A mark stands where each of them begins: one
// that is still there afterwards says that the card has left a part of the result out, and what stands in
// that part is of another packet, perhaps in clear.
static void put_marks(const struct card *c, const struct esp_job *job)
{
    for (uint32_t at = 0; at < longest_result(job) && at + MARK <= job->out_cap; at += ALIGN)
        memcpy(job->out + at, &c->mark, MARK);
}

// Fewer octets than a mark has, at the end of a result, say nothing.
static const char *check_marks(const struct card *c, const struct esp_job *job, uint32_t len)
{
    for (uint32_t at = 0; at + MARK <= len; at += ALIGN)
        if (memcmp(job->out + at, &c->mark, MARK) == 0)
            return "its result was not written as a whole";
    return NULL;
}

static void write_descriptor(const struct card *c, const struct queue *q, const struct esp_job *job,
                             uint8_t *s, uint64_t cookie)
{
    const struct dma_pool *in = pool_of(c, job->in, job->in_len), *out = pool_of(c, job->out, job->out_cap);

    (void)q;
    put_le64(s + offsetof(struct espc_packet_desc, src_iova), in->iova + (uint64_t)(job->in - in->base));
    put_le64(s + offsetof(struct espc_packet_desc, dst_iova), out->iova + (uint64_t)(job->out - out->base));
    put_le32(s + offsetof(struct espc_packet_desc, src_len), job->in_len);
    put_le32(s + offsetof(struct espc_packet_desc, dst_cap), job->out_cap);
    if (job->op == ESP_ENCAP) {
        put_le32(s + offsetof(struct espc_packet_desc, sa_index), job->sa->slot);
        put_le16(s + offsetof(struct espc_packet_desc, generation), job->sa->generation);
    }
    s[offsetof(struct espc_packet_desc, op)] = job->op == ESP_ENCAP ? ESPC_PKT_OP_ENCAP : ESPC_PKT_OP_DECAP;
    put_le64(s + offsetof(struct espc_packet_desc, cookie), cookie);
}

static void submit_one(struct card *c, struct queue *q, struct esp_job *job)
{
    enum esp_status st = check_job(c, job);
    uint64_t cookie = queue_cookie(q);

    job->status = st;
    job->out_len = 0;
    job->seq = 0;
    job->soft_limit = job->lease_low = job->src_changed = false;
    if (job->op == ESP_DECAP)
        job->sa = NULL;
    if (st) {
        queue_push(c, q, job, ENTRY_LOCAL);
        return;
    }
    put_marks(c, job);
    write_descriptor(c, q, job, queue_submission(q), cookie);
    queue_push(c, q, job, ENTRY_POSTED);
    if (job->op == ESP_ENCAP)
        job->sa->outstanding++;
}

unsigned card_submit(struct esp_queue *packets, struct esp_job **jobs, unsigned n)
{
    struct card *c = card_of(packets->engine);
    unsigned taken = 0;

    while (!card_failed(c) && taken < n) {
        struct queue *q = queue_of(c, jobs[taken]->op);
        if (queue_room(q) == 0 || queue_health(q) != QUEUE_GOOD)
            break;
        submit_one(c, q, jobs[taken++]);
    }
    for (unsigned i = 1; i <= c->queues && !card_failed(c); i++)
        queue_ring(c, &c->queue[i]);
    return taken;
}

// What the driver has seen to before the card got the job, and what is not the packet's doing: dropped for
// it, a packet would be lost that is still here.
static const char *check_refusal(const struct esp_job *job, enum esp_status st)
{
    switch (st) {
    case ESP_STATUS_BAD_DESC: return "it does not understand the descriptor";
    case ESP_STATUS_DMA_ERROR: return "it could not read the packet or write the result";
    case ESP_STATUS_SA_INVALID:
    case ESP_STATUS_SA_STALE_GEN:
    case ESP_STATUS_SA_DRAINING:
    case ESP_STATUS_NO_SA: return job->op == ESP_ENCAP ? "it does not know the job's SA" : NULL;
    default: return NULL;
    }
}

// NULL: as it should be; otherwise what is wrong with the completion of an ENCAP job.
static const char *check_encap(const struct esp_job *job, const struct completion *done)
{
    const struct esp_sa *sa = job->sa;

    if (done->status)
        return NULL;
    if (done->slot != sa->slot || done->generation != sa->generation)
        return "it names another SA than the job's";
    if (done->seq <= sa->last_seq)
        return "it repeats a sequence number";
    if (done->seq >= sa->seq_limit)
        return "its sequence number is outside the lease";
    return NULL;
}

// Which verdicts come after the ICV has been verified: the number counts as received. To an SA in transport
// mode BAD_IP is none of them: it is the packet's own header that has options, and anybody can have sent it.
static bool authentic(const struct esp_sa *sa, enum esp_status st)
{
    return st == ESP_STATUS_OK || st == ESP_STATUS_DUMMY || st == ESP_STATUS_BAD_PAD ||
           st == ESP_STATUS_BAD_NEXT_HEADER || st == ESP_STATUS_ECN_CE || st == ESP_STATUS_HARD_LIMIT ||
           st == ESP_STATUS_TOO_LONG || (st == ESP_STATUS_BAD_IP && !sa->transport);
}

// What a number received can be, by the window that its upper half is inferred from (RFC 4303 appendix A2.2):
// the shadow follows the card's window, one queue being in order. One that cannot be would close the window
// of whoever takes the SA over.
static const char *check_received(const struct esp_sa *sa, uint64_t seq)
{
    if (seq == 0)
        return "it passes sequence number 0";
    if (!sa->esn && seq > UINT32_MAX)
        return "its sequence number has more than 32 bits";
    if (sa->esn && seq > sa->shadow.top && seq - sa->shadow.top > UINT32_MAX)
        return "its sequence number is further than 2^32 from the last";
    return NULL;
}

// Finds the inbound SA that the completion names.
static const char *check_decap(const struct card *c, struct esp_job *job, const struct completion *done)
{
    const char *wrong;
    struct esp_sa *sa;

    if (done->slot == (uint32_t)CARD_NO_SA)
        return done->status ? NULL : "it succeeded without an SA";
    if (done->slot >= c->slots_per_dir)
        return "its SA slot does not exist";
    sa = c->slots[ESP_IN].sa[done->slot];
    if (!sa || sa->generation != done->generation)
        return "it names an SA that is not in use";
    if (done->status == ESP_STATUS_OK && sa->replay_check &&
        window_look(&sa->shadow, done->seq) == ESP_STATUS_REPLAY_SEEN)
        return "it passes a sequence number for the second time";
    wrong = authentic(sa, (enum esp_status)done->status) ? check_received(sa, done->seq) : NULL;
    if (wrong)
        return wrong;
    job->sa = sa;
    return NULL;
}

static const char *check_common(const struct esp_job *job, const struct completion *done)
{
    if (done->status >= ESP_STATUS_BAD_OPCODE ||
        strcmp(esp_status_name((enum esp_status)done->status), "UNKNOWN") == 0)
        return "its status is unknown";
    if (done->status ? done->out_len != 0 : done->out_len == 0)
        return "its length does not fit its status";
    if (done->status)
        return check_refusal(job, (enum esp_status)done->status);
    if (done->out_len > job->out_cap)
        return "its length exceeds the buffer";
    return done->out_len > longest_result(job) ? "its length exceeds what the packet can give" : NULL;
}

static void fill_result(struct esp_job *job, const struct completion *done)
{
    struct esp_sa *sa = job->sa;

    job->status = (enum esp_status)done->status;
    job->out_len = done->out_len;
    job->seq = sa ? done->seq : 0;
    job->soft_limit = done->flags & ESPC_COMPLETION_FLAGS_SOFT_LIMIT_MASK;
    job->lease_low = job->op == ESP_ENCAP && done->flags & ESPC_COMPLETION_FLAGS_LEASE_LOW_MASK;
    job->src_changed = job->op == ESP_DECAP && done->flags & ESPC_COMPLETION_FLAGS_SRC_CHANGED_MASK;
    if (sa && job->op == ESP_ENCAP) {
        sa->outstanding--;
        if (job->status == ESP_STATUS_OK)
            sa->last_seq = done->seq;
    } else if (sa && authentic(sa, job->status) && window_look(&sa->shadow, job->seq) == ESP_STATUS_OK) {
        window_set(&sa->shadow, job->seq);
    }
}

// A job that was in a queue which the card has stopped, and of which no completion came.
static unsigned give_back(struct card *c, struct queue *q, struct esp_job **out)
{
    struct esp_job *job = q->entry[q->oldest & (q->size - 1)].owner;

    job->status = ESP_STATUS_ABORTED;
    if (job->op == ESP_ENCAP)
        job->sa->outstanding--;
    c->jobs_aborted++;
    queue_release(q, q->oldest);
    *out = job;
    return 1;
}

// One job off the queue: 1, or 0 when none is ready or the card has just failed.
static unsigned poll_queue(struct card *c, struct queue *q, struct esp_job **out)
{
    struct entry *first = &q->entry[q->oldest & (q->size - 1)];
    struct completion done;
    struct esp_job *job;
    const char *wrong;

    if (queue_busy(q) && first->state == ENTRY_LOCAL) {
        *out = first->owner;
        queue_release(q, q->oldest);
        return 1;
    }
    if (queue_fetch(c, q, &done) <= 0)
        return queue_health(q) == QUEUE_QUIET && queue_busy(q) && !card_failed(c) ? give_back(c, q, out) : 0;
    job = q->entry[done.entry & (q->size - 1)].owner;
    wrong = check_common(job, &done);
    if (!wrong)
        wrong = job->op == ESP_ENCAP ? check_encap(job, &done) : check_decap(c, job, &done);
    if (!wrong)
        wrong = check_marks(c, job, done.out_len);
    if (wrong) {
        if (job->op == ESP_DECAP)
            job->sa = NULL;
        card_fail(c, "nonsense in a completion of queue %u: %s", q->index, wrong);
        return 0;
    }
    fill_result(job, &done);
    queue_release(q, done.entry);
    *out = job;
    return 1;
}

// After failure: every job that is still out, in the order of submission over all queues.
static unsigned poll_aborted(struct card *c, struct esp_job **out)
{
    struct queue *from = NULL;
    struct entry *e;

    for (unsigned i = 1; i <= c->queues; i++) {
        struct queue *q = &c->queue[i];
        if (queue_busy(q) && (!from || q->entry[q->oldest & (q->size - 1)].stamp <
                                           from->entry[from->oldest & (from->size - 1)].stamp))
            from = q;
    }
    if (!from)
        return 0;
    e = &from->entry[from->oldest & (from->size - 1)];
    *out = e->owner;
    if (e->state == ENTRY_POSTED) {
        (*out)->status = ESP_STATUS_ABORTED;
        c->jobs_aborted++;
    }
    queue_release(from, from->oldest);
    return 1;
}

unsigned card_poll(struct esp_queue *packets, struct esp_job **jobs, unsigned max)
{
    struct card *c = card_of(packets->engine);
    unsigned n = 0, idle = 0;

    for (unsigned i = 1; n < max && idle < c->queues && !card_failed(c); i = i % c->queues + 1) {
        unsigned got = poll_queue(c, &c->queue[i], &jobs[n]);
        n += got;
        idle = got ? 0 : idle + 1;
    }
    card_queues_settle(c);
    card_settle(c);
    while (card_dead(c) && n < max && poll_aborted(c, &jobs[n]))
        n++;
    c->jobs_done += n;
    if (n && c->requests)
        card_commands_flush(c);
    return n;
}
