// SPDX-License-Identifier: Apache-2.0
// The card engine's own structures: queues, SAs in slots, requests waiting for the SA command ring.
// One thread uses the engine; the card's own thread (thread.c) does what waits for the card. What both touch
// is atomic, constant after opening, or handed over by `state`.
#ifndef ESPALIER_CARD_CARD_H
#define ESPALIER_CARD_CARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "driver/bus/bus.h"
#include "driver/common/event_queue.h"
#include "driver/common/lock.h"
#include "driver/common/window.h"
#include "espalier/card_id.h"
#include "espalier/engine.h"
#include "hw/regs/gen/espalier_card.h"

enum { CARD_MAX_QUEUES = 3, CARD_MAX_POOLS = 8, CARD_COMMAND_LOG2 = 8, CARD_RING_LOG2 = 9, CARD_NO_SA = -1 };
enum {
    SQE_LOG2 = 6,
    CQE_LOG2 = 5,
    SQE_BYTES = 1 << SQE_LOG2,
    CQE_BYTES = 1 << CQE_LOG2,
    BLOB_BYTES = 512,
    RESULT_BYTES = 64,
    CARD_SCRATCH_BYTES = 36 * 2048
};
_Static_assert(sizeof(struct espc_packet_desc) == SQE_BYTES && sizeof(struct espc_sa_command) == SQE_BYTES,
               "submission");
_Static_assert(sizeof(((struct esp_engine *)0)->note) == MEMORY_NOTE, "the engine's note");
_Static_assert(sizeof(struct espc_completion) == CQE_BYTES, "completion");
_Static_assert(sizeof(struct espc_sa_blob) == BLOB_BYTES && sizeof(struct espc_sa_result) == RESULT_BYTES,
               "SA memory");

enum entry_state {
    ENTRY_FREE,
    ENTRY_POSTED,
    ENTRY_LOCAL
}; // LOCAL: decided by the driver, returned in its turn

struct entry {
    void *owner;    // struct esp_job or struct request
    uint64_t stamp; // order of submission over all queues
    enum entry_state state;
};

// A queue that the card has stopped: the card's thread finds it (STOPPED: nothing more is submitted) and
// waits until the card has no work of it any more (QUIET); the packets' side takes the completions that are
// there, gives the other jobs back and clears the rings (FRESH); the card's thread starts it again.
enum queue_health { QUEUE_GOOD, QUEUE_STOPPED, QUEUE_QUIET, QUEUE_FRESH };

// Submissions and entries are numbered apart: an entry that the driver answers itself has no submission.
struct queue {
    unsigned index;
    uint32_t log2, size;
    uint8_t *sq, *cq;
    uint64_t sq_iova, cq_iova;
    uint32_t sq_tail, sq_told; // submissions written; the doorbell's last value
    uint32_t sq_head;          // consumed by the card, as its completions say
    uint32_t cq_head, cq_told; // completions consumed; the doorbell's last value
    bool rearm;                // the doorbell that arms has not gone yet
    uint32_t oldest, next;     // entries in use: [oldest, next)
    uint32_t salt;             // high half of every cookie: a foreign completion is found out
    struct entry *entry;
    // for the card's thread: submissions told, completions consumed
    atomic_uint shown_told, shown_done;
    atomic_int health; // enum queue_health
    char why[80];      // it stopped; from STOPPED on
    // the card's thread alone
    uint64_t stopped_ms, first_stop_ms;
    unsigned stops;
    bool stalled;
    uint32_t stall_done;
    uint64_t stall_freerun, stall_last; // the card's clock at its begin, and at the last look
    unsigned stall_still;
};

// CLAIMED: its reason is being written. FAILING: to be made silent. DEAD: that is done, jobs may come back.
enum card_state { CARD_RUNNING, CARD_CLAIMED, CARD_FAILING, CARD_DEAD };

// One completion, copied once out of memory that the card can write.
struct completion {
    uint64_t seq;
    uint32_t slot;
    uint16_t generation, status, out_len, flags;
    uint32_t entry; // index of the entry it answers
};

enum sa_state { SA_ADDING, SA_VALID, SA_DELETING, SA_DELETED };

struct esp_sa {
    struct card *card;
    enum esp_dir dir;
    enum sa_state state;
    uint32_t slot;
    uint16_t generation;
    bool esn, replay_check, transport;
    uint32_t outstanding; // ENCAP jobs on the card
    uint64_t seq_limit;   // the highest lease end ever asked for: nothing at or beyond it was used
    uint64_t last_seq;    // outbound: highest seen in a completion
    struct window shadow; // inbound: the sequences whose jobs poll has returned; in:
    uint64_t shadow_bits[WINDOW_MAX_WORDS];
    void *cookie;
    uint32_t mark[CARD_MAX_QUEUES]; // DELETED: entries submitted by then
    struct request *deletion;       // made with it: that one always finds memory
    struct event_node *farewell;    // DELETED: the event, held until those entries are back
    struct esp_sa *prev, *next;
};

// An SA command from its acceptance to its answer.
struct request {
    uint8_t op; // enum espc_sa_op
    struct esp_sa *sa;
    uint64_t seq_limit;
    bool renewal; // of our own: told only where it is refused
    struct esp_endpoint to;
    struct event_node *node;
    struct request *next;
};

struct slots {
    struct esp_sa **sa; // by slot, NULL: free
    uint16_t *generation;
    uint32_t *free_ring; // first in, first out: a slot rests as long as possible before it is used again
    uint32_t head, count;
};

struct dma_pool {
    uint8_t *base;
    size_t length;
    uint64_t iova;
};

struct card {
    struct esp_engine base;
    struct esp_queue packets, *queue_list[1];
    struct bus *bus;
    uint32_t off_queues, off_doorbells, off_counters, off_names; // block offsets from the directory
    uint32_t features, slots_per_dir, max_len, epoch, clock_khz;
    unsigned queues;        // packet queues in use: 1 or 2
    uint64_t deadline;      // of outbound SAs, in cycles from the last sign of life; 0: none
    _Atomic uint64_t clock; // FREERUN as the card's thread read it last
    uint64_t renewed;       // `clock` when deadlines were moved last
    struct queue queue[CARD_MAX_QUEUES];
    struct dma_pool pool[CARD_MAX_POOLS + 1]; // and that of the self-test
    unsigned pools;

    uint8_t *mem; // rings, blobs and results
    size_t mem_length;
    int mem_fd;
    uint64_t mem_iova;
    uint8_t *blobs, *results, *scratch; // scratch: packets of the self-test
    uint64_t blobs_iova, results_iova, scratch_iova;

    struct slots slots[2];
    struct esp_sa *all;
    struct request *requests, **requests_last;
    struct event_queue events;
    uint32_t deleted; // SAs in state SA_DELETED whose event is held back

    int wake_fd, irq_fd[CARD_MAX_QUEUES];
    unsigned irqs;

    atomic_int state;               // enum card_state
    bool silent;                    // from DEAD on
    char reason[200];               // from FAILING on
    struct event_node *failed_node; // reserved at open: failure must be able to speak; NULL: it has spoken

    const atomic_bool *give_up; // while it is opened; NULL: nobody sets it

    uint64_t stamp; // jobs submitted
    uint64_t mark;  // what stands in a result's buffer before the card has written there: drawn at random
    uint64_t completions, doorbells, jobs_done, jobs_aborted;

    // the card's thread
    pthread_t thread;
    pthread_mutex_t control; // held while it talks to the card; never taken on the packets' way
    bool thread_runs;
    atomic_int stop;
    int nudge_fd;
    bool watches_work; // it was the card's turn at the last look
    uint64_t checked_ms, snapshot_ms;
    uint32_t snapshot_done;
    char (*counter_name)[ESPC_COUNTER_NAME_STRIDE + 1]; // read from the card once
    atomic_int snapshot_wanted;
    atomic_uint snapshots; // taken; the last one is counter[snapshots % 2]
    _Atomic uint64_t counter[2][ESPC_COUNTER_COUNT];
    uint64_t counted_from[ESPC_COUNTER_COUNT]; // what the card had counted when it was taken into use
};

static inline bool card_failed(const struct card *c)
{
    return atomic_load_explicit(&c->state, memory_order_acquire) != CARD_RUNNING;
}

static inline bool card_dead(const struct card *c)
{
    return atomic_load_explicit(&c->state, memory_order_acquire) == CARD_DEAD;
}

static inline bool card_given_up(const struct card *c)
{
    return c->give_up && atomic_load_explicit(c->give_up, memory_order_relaxed);
}

static inline struct card *card_of(struct esp_engine *e)
{
    return (struct card *)e;
}

// ---- registers (regs.c)
int card_identify(struct card *c, struct esp_error *err);
int card_reset(struct card *c, struct esp_error *err);
int card_handshake(struct card *c, struct esp_error *err);
uint64_t card_freerun(struct card *c);

// ---- queues (queue.c)
int card_queues_create(struct card *c, uint32_t ring_log2, struct esp_error *err);
void card_queues_destroy(struct card *c); // wipes the memory
void card_queue_start(struct card *c, struct queue *q);
void card_queue_stop(struct card *c, struct queue *q);
uint32_t card_queue_status(struct card *c, struct queue *q);
void queue_clear(
    struct queue *q); // rings and their indices, as for the first start; entries keep their numbers
int queue_draw_salt(struct queue *q);
int card_draw_mark(struct card *c);
static inline enum queue_health queue_health(const struct queue *q)
{
    return (enum queue_health)atomic_load_explicit(&q->health, memory_order_acquire);
}
static inline uint32_t queue_room(const struct queue *q)
{
    return q->size - (q->next - q->oldest);
}
static inline bool queue_busy(const struct queue *q)
{
    return q->oldest != q->next;
}
static inline bool queue_posted(const struct queue *q) // every submission ends in one completion
{
    return q->sq_tail != q->cq_head;
}
// Takes the next entry; the caller has checked queue_room.
struct entry *queue_push(struct card *c, struct queue *q, void *owner, enum entry_state state);
uint8_t *queue_submission(struct queue *q);   // the next submission's 64 bytes, zeroed
uint64_t queue_cookie(const struct queue *q); // for the entry pushed next
// One doorbell for all submissions since the last; one that the bus has no room for is rung again later.
void queue_ring(struct card *c, struct queue *q);
void queue_retell(struct card *c, struct queue *q); // what the bus had no room for
bool queue_waits_for_card(const struct queue *q);   // from the card's thread: is it the card's turn?
bool queue_ready(const struct queue *q);            // a completion waits
int queue_fetch(struct card *c, struct queue *q,
                struct completion *done);            // 1: one, 0: none, -1: the card has failed
void queue_release(struct queue *q, uint32_t entry); // the entry's owner has been answered
void queue_tell_head(struct card *c, struct queue *q, bool arm);

// ---- SAs (sa.c)
void card_capabilities(struct esp_engine *e, struct esp_capabilities *caps);
int card_capable(struct esp_engine *e, const struct esp_sa_params *p, struct esp_error *why);
int card_sa_add(struct esp_engine *e, const struct esp_sa_params *p, void *cookie, struct esp_sa **sa,
                struct esp_error *err);
int card_sa_delete(struct esp_engine *e, struct esp_sa *sa);
int card_sa_query(struct esp_engine *e, struct esp_sa *sa);
int card_sa_lease(struct esp_engine *e, struct esp_sa *sa, uint64_t seq_limit);
int card_sa_endpoint(struct esp_engine *e, struct esp_sa *sa, const struct esp_endpoint *to,
                     struct esp_error *why);
int card_sa_handover(struct esp_engine *e, struct esp_sa *sa, struct esp_sa_params *p);
int card_slots_create(struct card *c);
void card_slots_destroy(struct card *c);
void card_commands_flush(struct card *c);    // posts the requests that can go
void card_commands_complete(struct card *c); // turns completions into events
void card_renew(struct card *c);             // moves the deadlines of outbound SAs where that is due
void card_sa_free(struct card *c, struct esp_sa *sa);

// ---- packets (packet.c)
unsigned card_submit(struct esp_queue *q, struct esp_job **jobs, unsigned n);
unsigned card_poll(struct esp_queue *q, struct esp_job **jobs, unsigned max);

// ---- failure (watch.c)
__attribute__((format(printf, 2, 3))) void card_fail(struct card *c, const char *fmt, ...);
void card_settle(struct card *c);
void card_tick(struct esp_engine *e, uint64_t now_ms);
void card_watch(struct card *c, uint64_t now_ms); // one step; waits for the card
unsigned card_watch_ms(const struct card *c);     // until the next step
void card_bus_notice(struct card *c);

// ---- queues that the card has stopped (stopped.c)
void card_check_queues(struct card *c, uint64_t now_ms, bool stopped); // the card's thread
bool card_mends_queues(const struct card *c);                          // one of them is not GOOD
void card_queues_settle(struct card *c); // the packets' side: QUIET and empty: FRESH

// ---- before it is used (selftest.c)
int card_selftest(struct card *c, struct esp_error *err); // the card's thread runs

// ---- the card's thread (thread.c)
int card_thread_start(struct card *c, struct esp_error *err);
void card_thread_stop(struct card *c);
void card_nudge(struct card *c);
void card_snapshot(struct card *c); // engine.c

// ---- engine (engine.c)
void card_wake(struct card *c);

#endif
