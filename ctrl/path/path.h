// SPDX-License-Identifier: Apache-2.0
// The path process: traffic keys, engines, packets and policy. What all share (struct path: SPD, SAs,
// engines, control) is apart from what carries packets (struct worker: its sockets, packets, lists, memory of
// flows and counters), which is one thread's own. One worker runs, in the loop of the rest.
//   TUN -> policy (spd.c) -> its child SA -> engine.submit ... engine.poll -> socket       (outbound.c)
//   UDP 4500 or raw ESP -> child SA by SPI -> engine ... -> its policy and selectors -> TUN (inbound.c)
// A child SA lives in the card or in software (sadb.c); when the card fails everything moves at once
// (failover.c).
#ifndef CTRL_PATH_PATH_H
#define CTRL_PATH_PATH_H

#include <sys/socket.h>

#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/child.h"
#include "ctrl/path/crew.h"
#include "ctrl/path/flow.h"
#include "ctrl/path/gso.h"
#include "ctrl/path/hand.h"
#include "ctrl/path/kernel_esp.h"
#include "ctrl/path/kernel_watch.h"
#include "ctrl/path/kset.h"
#include "ctrl/path/look_up.h"
#include "ctrl/path/notes.h"
#include "ctrl/path/room.h"
#include "ctrl/path/spd.h"
#include "ctrl/path/traffic.h"
#include "ctrl/path/vti_ways.h"
#include "espalier/engine.h"

#define PATH_JOBS   2048 // packets in flight, all engines
#define PATH_BUFFER 2560 // at least, two for each job: room for the TUN's MTU and the outer headers
#define PATH_BURST  64
// Shares of these, so that no SA and no engine that stands still takes what the others need: PATH_WAITING may
// wait (for an SA to be added, to move, for its lease), and one SA takes at most half of what is left of
// that; PATH_ON_CARD may be with the card.
#define PATH_WAITING 512
#define PATH_ON_CARD 1024
#define PATH_RUNS    8 // times that a packet may come back undone

struct child;
struct engine_count;
struct packet {          // a job and who it belongs to
    struct esp_job job;  // first: engines hand back its address
    struct child *child; // ENCAP only
    struct packet *next;
    uint32_t inner_len;             // ENCAP
    uint32_t spi;                   // DECAP; ENCAP: the policy whose SA it waits for
    uint64_t stamp;                 // order of arrival
    uint8_t vti;                    // ENCAP: by which it came, see vti.h
    unsigned runs;                  // how often it came back undone
    unsigned hops;                  // how often one worker has given it to another
    uint64_t since;                 // ms, that it has waited as a fragment without its first one
    struct engine_count *opened_by; // DECAP
    bool on_card;                   // counted in PATH_ON_CARD
    bool held;                      // a queue has taken it in: from then on no full one loses it
    uint8_t *in, *out;              // its own memory, which no card reaches
    bool lent;                      // job.in and job.out are buffers that the card may write to
};
struct packet_list { // those of one SA in order of arrival
    struct packet *head, *last;
    unsigned count;
};

// MOVING: it is being deleted in the card and goes on in software from where the card stopped.
enum half_state { HALF_NONE, HALF_ADDING, HALF_READY, HALF_FAILED, HALF_DELETING, HALF_MOVING };
struct key_use { // what engines have sealed or opened by it, let in or not; and what was forged
    uint64_t packets, bytes, blocks, forged;
};
struct half { // one direction of a child SA; what a packet meets first
    struct child *child;
    uint8_t state; // enum half_state
    bool moved;    // while ADDING: the engine knows the ends before
    bool queued;   // ADDING, but the engine had no room for the command yet
    bool homeward; // MOVING from software back to a card
    bool leasing;
    bool spent;        // there are no sequence numbers behind seq_limit
    bool slot;         // it has one of the card, or is on its way to one; counted in card_slots
    atomic_bool ended; // by a hard limit or its last number: it protects no packet any more. All workers look
    struct esp_engine *engine;
    struct esp_sa *sa;
    struct packet_list waiting; // for ADDING or MOVING to end, or for a lease
    uint64_t packets, bytes, drops;
    struct key_use used;
    uint64_t used_at; // ms, 0: never
    uint64_t last_seq;
    uint64_t seq; // where an engine takes it over
};
struct child_lease {         // of the outbound half
    uint64_t limit;          // its end in the engine
    uint64_t size, extended; // packets; ms
};
struct child_idle { // of one that may be idle for so long only
    struct timer timer;
    uint64_t from, told; // ms: it was not used before; when it was last used before IDLE was told
};
struct child_dummies { // of one that sends such
    struct timer timer;
    uint64_t due, sent; // ms; in all
    uint64_t packets;   // its own, when it was last looked at
};
struct child_facts { // of CHILD, what is needed after the installation
    uint32_t child_id, spi_in, spi_out, replay_window;
    uint16_t encr, encr_bits, integ, local_port, remote_port, tfc_padding;
    uint8_t mode, hw_offload, tfc_dummies;
    bool esn : 1, udp_encap : 1, copy_df : 1, copy_ecn : 1, copy_dscp_out : 1, copy_dscp_in : 1;
    struct addr local, remote;
    uint32_t idle_s;
    uint64_t rekey_bytes, life_bytes, rekey_packets, life_packets;
    uint32_t fence;
    uint32_t survives_to; // ms, their lower half: of a survivor, which ends then
    const char *name;
};
struct worker;
struct child {                // what a packet meets first
    struct hash_one spi_node; // by inbound SPI
    struct policy *policy;    // that it serves
    struct traffic *traffic;  // of its names; NULL: it is not installed yet
    struct child *serves_next, **serves_at;
    struct worker *w;           // whose packets are its
    unsigned in_flight;         // packets that point here, and callers; freed only at 0
    _Atomic uint32_t out_after; // until then the child with this number sends for it; 0: it sends
    bool aside;                 // that is so whatever comes by it: it is on its way out
    bool reported, dying;
    bool installed;      // it was reported as such
    bool card_missing;   // it wants one, and there was none or no room or no longer
    bool declined;       // the card has not taken it, or has not kept it: no other move there
    uint8_t limit_event; // the last one that it has come to
    uint8_t limit_told;  // ... that is on its way to ike
    struct half out, in;
    struct child_lease lease;
    struct hash_one id_node;                // by child_id, until it is dying
    struct child *next, **at;               // of all
    struct child *counts_next, **counts_at; // that count in `traffic`
    struct child_facts c;
    uint64_t installed_at, path_since, traffic_event_at, rebound_event_at;
    uint32_t path_mtu, inner_mtu; // see mtu.h; 0: nobody has asked yet
    uint64_t mtu_at;              // ms
    // Of the outbound half, before the last move: what was sealed for it may come. NULL: it has not moved.
    struct esp_endpoint *before;
    struct reason *reason;                   // why it is not on a card; NULL: none to tell
    uint8_t alg;                             // enum esp_alg
    bool ah : 1, on_card : 1, in_kernel : 1; // in_kernel: see kernel_esp.h
    uint8_t inner;                           // ESP_FAMILY_* that may be inside
    uint8_t vti;                             // its policy's
    bool survivor;                           // the ike that made it has died (survivors.c)
    uint16_t keymat;                         // octets of one direction
    uint32_t carried, load;                  // see busiest.c
    uint32_t size;                           // octets of this: it is wiped
    uint32_t keys_req;                       // RESULT due to keys
    // The replay window that the next engine starts with. NULL: it has not left an engine, and can leave
    // none, as in software, which it only leaves with room for that.
    uint64_t *seen;
    // Of its own length: child_idle; child_dummies; KEYMAT out and in, which is needed again when an engine
    // fails; and the name.
    _Alignas(8) uint8_t tail[];
};
struct reason { // many children have the same one
    unsigned users;
    char text[];
};
static inline struct child_idle *child_idle(const struct child *c) // NULL: it may be idle for ever
{
    return c->c.idle_s ? (struct child_idle *)(uintptr_t)c->tail : NULL;
}
static inline struct child_dummies *child_dummies(const struct child *c) // NULL: it sends none
{
    size_t before = c->c.idle_s ? sizeof(struct child_idle) : 0;
    return c->c.tfc_dummies ? (struct child_dummies *)(uintptr_t)(c->tail + before) : NULL;
}
static inline uint8_t *child_keymat(struct child *c, enum esp_dir dir)
{
    return c->tail + (c->c.idle_s ? sizeof(struct child_idle) : 0) +
           (c->c.tfc_dummies ? sizeof(struct child_dummies) : 0) + (dir == ESP_IN ? c->keymat : 0);
}
static inline enum esp_dir half_dir(const struct half *h)
{
    return h == &h->child->in ? ESP_IN : ESP_OUT;
}
// SPIs are drawn at random, so SAs between the same ends have different ones.
static inline uint16_t child_id_offset(const struct child *c)
{
    return (uint16_t)(c->c.spi_out ^ c->c.spi_out >> 16);
}
// By AH, NULL and GMAC who it is from is known alone: what is inside can be read on the way.
static inline bool child_conceals(const struct child *c)
{
    return !c->ah && c->alg != ESP_ALG_NULL && c->alg != ESP_ALG_AES128_GMAC &&
           c->alg != ESP_ALG_AES192_GMAC && c->alg != ESP_ALG_AES256_GMAC;
}
static inline const char *child_offload(const struct child *c)
{
    return c->in_kernel ? "kernel" : c->on_card ? "card" : "software";
}
static inline const char *child_reason(const struct child *c)
{
    return c->reason ? c->reason->text : "";
}

struct engine_count {
    uint64_t packets_out, bytes_out, packets_in, bytes_in;
};

// ABSENT -> OPENING -> READY -> FAILED (it gives back what it has) -> BACKOFF -> OPENING; what cannot be
// opened goes to BACKOFF, and where there is none to ABSENT.
enum engine_state { ENGINE_ABSENT, ENGINE_OPENING, ENGINE_READY, ENGINE_FAILED, ENGINE_BACKOFF };
enum { PATH_SOFT, PATH_CARD, PATH_KERNEL, PATH_ENGINES };
struct path_engine {
    enum engine_state state;
    struct esp_engine *e;       // READY and FAILED
    struct opener *opener;      // OPENING
    struct loop_fd fd;          // of the engine, or of its opener
    char name[64], reason[200]; // why there is none
    bool was_used;              // `reason` is the failure of a card that was in use
    bool loud;         // FAILED: it may still write to memory that it was given; it is never used again
    unsigned failures; // since it was last well for long
    unsigned refusals; // tries to open it that have failed, since it was last READY
    uint64_t ready_at, retry_at, backoff; // ms
    bool returned;                        // READY: the SAs that it had are going back, or there were none
};
struct path;
struct worker { // see README.md
    struct path *p;
    unsigned index;
    const struct child_env *env; // its descriptors
    struct crew_member own;      // where it has a thread of its own
    struct path_net net;
    struct path_sockets sockets; // where net is theirs
    struct loop_fd tun_fd, udp_fd, raw_fd, udp6_fd, raw6_fd, ah_fd, ah6_fd;
    bool reading;               // they are watched
    unsigned alone, turns;      // that a TUN gave one packet, see big.c
    uint8_t came[PATH_SOCKETS]; // datagrams, in the last turn of each socket
    struct esp_pool *pool;
    struct esp_pool *dma; // what a card reads and writes; packets are copied there and back
    uint32_t buffer;      // bytes of each
    struct packet *packets, *free;
    uint64_t stamp;
    uint64_t now;                             // ms, when the burst that an engine gave back came
    unsigned waiting, on_card;                // packets, see PATH_WAITING and PATH_ON_CARD
    struct packet_list backlog[PATH_ENGINES]; // submit was full
    struct packet_list orphans;
    struct packet_list early;   // of SAs that are expected
    struct packet_list trapped; // of policies that have asked for one
    bool trapped_again;         // these are looked at
    struct packet *send_list[PATH_BURST];
    unsigned send_count;
    struct flows flows;
    uint8_t *big;              // what came out of the TUN, before it is cut; NULL: nothing comes that big
    struct gro gro[GRO_FLOWS]; // what goes into it
    uint8_t *gro_bufs;
    uint8_t *together;      // of what came together by UDP, all but the first
    struct notes notes;     // to ike
    struct hand_ring *hand; // from each worker, in which it is the taker; NULL: there is no other
    bool limits_untold;     // of an SA of its: there was no room for that
    // counters
    struct engine_count count[PATH_ENGINES];
    uint64_t drop_out[ESP_STATUS_BAD_OPCODE], drop_in[ESP_STATUS_BAD_OPCODE];
    uint64_t handed_over, hand_full;             // packets of other workers; that found no room
    uint64_t big_reads, big_writes, taken_apart; // of several packets
    uint64_t ike_handed_on, ike_lost;            // that came together with others
    uint64_t vti_no_policy, vti_own; // came by a TUN of its own and met no policy; was our own ESP or IKE
    uint64_t fenced;                 // of the fleet's: this node has it no more
    uint64_t no_sa_out, past_us, past_us_refused, prohibited, too_big, keepalives, queue_full, tun_errors,
        rerun;
    uint64_t fragmented_before, fragmented_after, fragments; // packets, encryption between; what came of them
    uint64_t orphans_late,
        orphans_displaced; // fragments dropped: their first one has not come; too many waited
    uint64_t mss_clamped;
    uint64_t dummies;                                                               // sent
    uint64_t send_full, send_too_long, send_refused, send_unreachable, send_errors; // lost by what send said
    uint64_t icmp_second;                                                           // of our own ICMP errors
    unsigned icmp_in_second;
    uint64_t unknown_second; // likewise of what ike is told of SPIs that there are not
    unsigned unknown_in_second;
};
enum { PATH_VIRTUAL_MAX = 64 };
struct virtual_ips {
    unsigned count;
    struct virtual_ip {
        struct addr a;
        unsigned users; // IKE SAs
        bool kept;      // for those that outlived their ike, too
        bool put;       // by us: install_virtual_ip may have changed since
    } ip[PATH_VIRTUAL_MAX];
};
#define PATH_WORKERS  16 // at most
#define PATH_MISSING  3  // its exit status where what it cannot do without is not there, and will not be
#define PATH_EXPECTED 1024
struct path {
    const struct child_env *env;
    const struct fence_page *fence; // NULL: what is the fleet's is closed
    struct settings set;            // as they are now: what may change while we run comes by MSG_SETTINGS
    struct loop *loop;
    struct ipc_chan *super, *ctl, *ike, *keys;
    struct kernel *kernel;
    struct kset *kset;
    struct kernel_watch watch;
    struct kernel_esp kern;
    struct virtual_ips virtual;
    struct timer tick, scan;
    struct path_engine engines[PATH_ENGINES];
    bool leaving; // see spd_leave_closed
    // In the place of one that died: nothing is read before ike says that all policies are there, and while
    // one is missing (PATH_OPEN) nothing goes past us, and what the last one blocked in the kernel stays.
    bool shut, lacks;
    bool orderly; // the daemon ends as somebody has asked it to, and nothing has failed
    bool threads; // a card may be opened, and looked after, in threads of its own
    bool locked;  // all memory is, and what will be, page by page as it is first used
    bool retry;   // a half waits for room in an engine
    int status;   // of the process at its end
    // By card_close: the process ends beneath a thread that still opens a card.
    bool thread_left;
    struct child *children;
    struct vti_way *ways;       // routes into TUNs of their own that are kept here (vti_ways.h)
    uint32_t survivors;         // of them
    bool virtual_held;          // for them
    struct hash survivor_hosts; // of them, by that
    bool survivors_unlisted;    // without memory: not all of these are in it
    struct reason *reason;      // the last one that was told
    struct hash by_spi, by_id;
    uint32_t expected[PATH_EXPECTED]; // SPIs of SAs to come, each at its rest; the newest of several with one
    struct spd spd;
    struct hash traffic;    // by the names of connection and child
    uint32_t traffic_lists; // that ctl has asked for
    struct card_totals card_totals;
    unsigned workers;
    struct crew crew;
    struct worker worker[PATH_WORKERS]; // the first one also has the card's packets
    uint64_t failovers, failover_moved, failover_detect_us, failover_resume_us; // of the last fail-over
    uint64_t card_last_us;                                                      // last completion
    _Atomic uint64_t resume_from_us;             // detection, until software has sent a packet
    uint64_t busiest_at, busiest_in, idlest_out; // the last look, ms; SAs that have moved for that
    uint32_t card_slots[2];                      // by enum esp_dir
    uint32_t of_mode[OFFLOAD_PACKET + 1];        // children, by what their own hw_offload says
    uint32_t card_error_logged;
};

// What protected policies block stays when path ends: unless that is not wanted and the end is an orderly
// one.
static inline bool path_leaves_closed(const struct path *p)
{
    return p->set.block_on_exit || p->status || !p->orderly;
}

// A worker's own queue in an engine. A card has one queue: the first worker's.
static inline struct esp_queue *path_queue(const struct worker *w, const struct esp_engine *e)
{
    return e->queue[e == w->p->engines[PATH_CARD].e ? 0 : w->index];
}

static inline struct esp_engine *path_soft(const struct path *p)
{
    return p->engines[PATH_SOFT].e;
}

static inline struct esp_engine *path_card(const struct path *p) // NULL: there is none
{
    return p->engines[PATH_CARD].e;
}

static inline struct esp_engine *path_kernel(const struct path *p) // NULL: it is not used
{
    return p->engines[PATH_KERNEL].e;
}

static inline bool path_card_failed(const struct path *p)
{
    return p->engines[PATH_CARD].state == ENGINE_FAILED;
}

// By its index, see vti.h.
static inline const struct path_tun *vti_tun(const struct worker *w, uint8_t vti)
{
    return vti ? &w->p->spd.vtis.at[vti]->port[w->index].tun : &w->net.tun;
}

// sadb.c
void sadb_install(struct path *p, const struct msg_CHILD_INSTALL *m);
void sadb_delete(struct path *p, uint32_t child_id);
struct child *sadb_by_spi(struct path *p, uint32_t spi);
struct child *sadb_by_id(struct path *p, uint32_t child_id); // no deleted one
// It will be looked for: its place in the table; then, once that is there, what a packet meets of it.
static inline void sadb_ask(const struct path *p, uint32_t spi)
{
    hash_ask(&p->by_spi, hash_u64(spi));
}
// That of the SA, 0 where there is none.
static inline uint8_t vti_of_spi(struct path *p, uint32_t spi)
{
    const struct child *c = p->spd.vtis.count ? sadb_by_spi(p, spi) : NULL;
    return c ? c->vti : 0;
}
static inline void child_ask(const struct child *c)
{
    __builtin_prefetch(c);
    __builtin_prefetch((const char *)c + 64);
}
static inline void sadb_ask_child(const struct path *p, uint32_t spi)
{
    const struct hash_one *n = hash_only(&p->by_spi, hash_u64(spi));
    if (n) {
        __builtin_prefetch(n);
        __builtin_prefetch((const char *)n - offsetof(struct child, spi_node) + offsetof(struct child, in));
    }
}
// What an engine has to know of it now: without its keys, or with them, to be wiped.
void sadb_shape(const struct half *h, struct esp_sa_params *s);
void sadb_params(const struct half *h, struct esp_sa_params *s);
struct esp_endpoint half_ends(const struct half *h);
int sadb_capable(struct esp_engine *e, const struct half *h, struct esp_error *why); // as engine.h's capable
void sadb_take_over(struct half *h, uint64_t seq, const uint64_t *seen); // from where an engine has stopped
int sadb_add_half(struct path *p, struct half *h, struct esp_engine *e, struct esp_error *err);
void sadb_event(struct path *p, struct esp_engine *e, const struct esp_event *ev);
void sadb_set_offload(struct path *p, struct child *c, bool on_card, const char *reason);
void sadb_clear(struct path *p);
void sadb_maybe_free(struct path *p, struct child *c); // a dying one, once nothing refers to it
void sadb_free_dying(struct path *p);                  // all that may go
void sadb_forget_half(struct path *p, struct half *h); // its engine is gone
void sadb_lease_low(struct path *p, struct half *h);
void sadb_retry(struct path *p);                                           // what an engine had no room for
void sadb_continue(struct path *p, struct half *h, struct esp_error *err); // in software, from params.seq on
void sadb_give_up(struct path *p, struct child *c,
                  const char *why); // an installed one: deleted, and ike is told
// In order: from what the engine says once it has let go of the SA. To software; and, of an SA that a failed
// card had, from software to a card that has come back.
bool sadb_return(struct path *p, struct child *c);                // false: it stays
bool sadb_must_card(const struct path *p, const struct child *c); // hw_offload is yes or packet
void sadb_leave(struct path *p, struct half *h, const char *why);

// early.c: a peer may send by that SPI before the SA is there, as ike says; the SA is there, or is being
// added; there will be none
void early_expect(struct path *p, uint32_t spi);
void early_found(struct path *p, uint32_t spi);
void early_over(struct path *p, uint32_t spi);
void early_expire(struct worker *w, uint64_t now); // now and then
// trapped.c: an SA has come, for which packets may wait
void trapped_found(struct path *p);
void trapped_expire(struct worker *w, uint64_t now); // now and then
// What waits for an SA, or for a first fragment, and came by a TUN that goes: another one gets its number.
void waiting_forget(struct path *p, uint8_t vti);

// limits.c
void limit_event(struct child *c, uint8_t event);         // told to ike once
void limits_tell(struct path *p);                         // ... what there was no room for
void limit_last(struct path *p, struct child *c);         // it ends and is still there: HARD_LIMIT, at once
void limit_job(struct child *c, const struct esp_job *j); // what the engine says of it
void limit_count(struct half *h, uint32_t octets, uint64_t seq); // sealed or opened
void limit_many(struct half *h, uint64_t packets, uint64_t octets, uint64_t seq);
void limit_dummy(struct half *h, uint32_t octets, uint64_t seq); // sealed without a packet inside
void limit_forged(struct half *h, uint64_t more);
void limits_left(const struct half *h, struct esp_sa_params *s); // for an engine that counts from zero

// survivors.c
void survivors_begin(struct path *p); // another ike is there
void survivors_late(struct path *p);  // keys has installed all that the last one asked for
// A host that is behind that peer now was behind another one: nothing goes there, nor comes from there, any
// more.
void survivors_make_way(struct path *p, const struct child *c);
void survivors_ask(struct path *p, const char *conn);                  // it has loaded that connection
void survivors_look(struct path *p);                                   // now and then
void survivors_forget(struct path *p);                                 // there are none
void survivors_end(struct path *p, const struct msg_SURVIVORS_END *m); // somebody has said so; it is answered
void survivors_list(struct path *p, const struct msg_SURVIVOR_LIST *m);
void virtual_hold(struct path *p); // virtual_ip.c: as long as they are there
// Of those that are held and have nobody else: which go now.
void virtual_drop(struct path *p, bool (*goes)(void *ctx, const struct addr *a), void *ctx);
// One of these ends: what it had of virtual addresses goes first, as nothing protects that any more.
void survivors_goes(struct path *p, struct child *c);
void virtual_let_go(struct path *p);

// idle.c
void idle_start(struct path *p, struct child *c); // it is installed
void idle_stop(struct path *p, struct child *c);

// dummies.c
void dummies_start(struct path *p, struct child *c); // it is installed
void dummies_stop(struct path *p, struct child *c);
void dummy_sealed(struct worker *w, struct half *h, const struct packet *pkt); // and on its way

// succession.c: of several child SAs of a policy, which one sends. See CHILD_OUTBOUND in ctrl/ipc/messages.h.
struct child *outbound_sa(struct path *p, struct policy *pol, const struct fields *f); // NULL: none
struct child *outbound_now(struct path *p,
                           struct policy *pol);          // whatever the packet, and wherever it is; NULL
bool outbound_is(struct path *p, const struct child *c); // its policy sends by it, whatever the packet
// For a packet that has no sequence number of its child: another one that sends for its policy now, or NULL.
struct child *outbound_other(struct worker *w, const struct packet *pkt);
void child_outbound(struct path *p, const struct msg_CHILD_OUTBOUND *m); // ike says so; it is answered

// endpoint.c: the ends of a child SA have moved (`out` as its outbound half sees them), which an
// authenticated packet has shown. An engine that changes nothing in place is left for software. 0 or negative
// errno.
int sadb_endpoint(struct path *p, struct child *c, const struct esp_endpoint *out, struct esp_error *err);
void child_endpoint(struct path *p, const struct msg_CHILD_ENDPOINT *m); // ike says so; it is answered
void sadb_endpoint_added(struct path *p, struct half *h); // what has moved while it was being added

// io.c
int io_open(struct worker *w, struct esp_error *err); // its p and net are set
int io_read_on(struct worker *w);                     // p is shut no more. 0 or negative errno
void io_close(struct worker *w);
void io_pump(struct worker *w);                      // polls engines, sends what is done
void path_pump(struct path *p);                      // ... of all workers; ike is told what they have noted
void orphans_expire(struct worker *w, uint64_t now); // now and then
void io_leave_card(struct worker *w); // what the card's queue holds goes to where the SAs are now
void io_drop(struct worker *w, struct packet *pkt, enum esp_status why);
void io_flush_waiting(struct worker *w, struct half *h);
void io_move_on(struct worker *w, struct child *c); // it is dying: its packets that no engine has yet
void list_init(struct packet_list *l);
void list_push(struct packet_list *l, struct packet *pkt);   // at its end
void list_insert(struct packet_list *l, struct packet *pkt); // by stamp
struct packet *list_pop(struct packet_list *l);

// past_us.c: a packet that came into the TUN although no policy protects it goes on to where the kernel would
// have sent it without us; where that cannot be, its sender is told (ICMP, administratively prohibited).
void past_us(struct worker *w, const uint8_t *packet, uint32_t len);

// failover.c
void card_scan(struct path *p);          // looks for a card where there is none
void card_await(struct path *p, int ms); // at the start: until one that is being opened is ready, at most ms
void card_failed(struct path *p, const struct esp_event *why); // moves every SA to software
void card_leave(struct path *p); // then, once it has given everything back: lets go of it
void card_close(struct path *p); // at exit

// busiest.c: of more SAs than the card has room for the busiest are there
void busiest_follows(struct path *p, struct child *c); // it is installed: what it takes the place of
void busiest_look(struct path *p);                     // now and then, while there is a card
#define CARD_KEEPS_LAST "its last free slot is for those that must be in a card"
bool card_keeps_last(const struct path *p);          // from those that need not be there
uint32_t card_room(const struct path *p, bool must); // child SAs that it has room for, see there

// virtual_ip.c
void virtual_add(struct path *p, const struct msg_VIRTUAL_ADD *m); // ike says so; it is answered
void virtual_del(struct path *p, const struct msg_VIRTUAL_DEL *m);
void virtual_again(struct path *p); // the TUN is up again
// What the path before this one has left there is held until virtual_let_go. 0 or negative errno.
int virtual_take_over(struct path *p);

// stats.c
void stats_sas(struct path *p, const struct msg_PATH_LIST *m);
void stats_sa(struct path *p, uint32_t req, const struct child *c);
void stats_counters(struct path *p, uint32_t req);
void debug_keys_write(struct path *p, const struct child *c); // only with --debug-keys

#endif
