// SPDX-License-Identifier: Apache-2.0
// The engine interface: what protects packets. The card and software engines stand behind it and give
// the same bytes for the same SA, sequence number and packet; so does Linux itself (ESP_CAP_AUTONOMOUS),
// which moves the packets too. Everything is asynchronous. An engine's operations (SAs, events, counters) are
// called from one thread, a queue's from one thread; those are the same thread unless the engine was opened
// for several. Packets are IP packets from the first octet of their IP header. Addresses are in network
// order, ports and SPIs are numbers in host order.
//
// Nonce rule: the IV of 8 octets that AES-GCM and all but AES-CBC have is the 64-bit sequence number (RFC
// 4106 section 3.1), so a (key, IV) pair is unique as long as a sequence number has one owner. AES-CBC's
// cannot be foretold (RFC 3602 section 3). Each outbound SA holds a lease [seq, seq_limit); the engine stops
// at its end.
#ifndef ESPALIER_ENGINE_H
#define ESPALIER_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "espalier/error.h"
#include "espalier/pool.h"
#include "espalier/status.h"

enum esp_dir { ESP_OUT = 0, ESP_IN = 1 };
enum esp_mode { ESP_TRANSPORT = 0, ESP_TUNNEL = 1 };
enum esp_protocol { ESP_PROTOCOL_ESP = 0, ESP_PROTOCOL_AH = 1 };
enum { ESP_FAMILY_IPV4 = 1, ESP_FAMILY_IPV6 = 2 }; // bits

// X(symbol, swanctl name, key octets, salt octets, IV octets, ICV octets, what the ciphertext is a multiple
// of). Without an ICV of its own an algorithm needs an integrity algorithm beside it.
#define ESP_ALG_LIST(X)                                                                                      \
    X(AES128_GCM16, "aes128gcm16", 16, 4, 8, 16, 4)                                                          \
    X(AES192_GCM16, "aes192gcm16", 24, 4, 8, 16, 4)                                                          \
    X(AES256_GCM16, "aes256gcm16", 32, 4, 8, 16, 4)                                                          \
    X(CHACHA20_POLY1305, "chacha20poly1305", 32, 4, 8, 16, 4)                                                \
    X(AES128_GCM8, "aes128gcm8", 16, 4, 8, 8, 4)                                                             \
    X(AES192_GCM8, "aes192gcm8", 24, 4, 8, 8, 4)                                                             \
    X(AES256_GCM8, "aes256gcm8", 32, 4, 8, 8, 4)                                                             \
    X(AES128_GCM12, "aes128gcm12", 16, 4, 8, 12, 4)                                                          \
    X(AES192_GCM12, "aes192gcm12", 24, 4, 8, 12, 4)                                                          \
    X(AES256_GCM12, "aes256gcm12", 32, 4, 8, 12, 4)                                                          \
    X(AES128_CCM8, "aes128ccm8", 16, 3, 8, 8, 4)                                                             \
    X(AES192_CCM8, "aes192ccm8", 24, 3, 8, 8, 4)                                                             \
    X(AES256_CCM8, "aes256ccm8", 32, 3, 8, 8, 4)                                                             \
    X(AES128_CCM12, "aes128ccm12", 16, 3, 8, 12, 4)                                                          \
    X(AES192_CCM12, "aes192ccm12", 24, 3, 8, 12, 4)                                                          \
    X(AES256_CCM12, "aes256ccm12", 32, 3, 8, 12, 4)                                                          \
    X(AES128_CCM16, "aes128ccm16", 16, 3, 8, 16, 4)                                                          \
    X(AES192_CCM16, "aes192ccm16", 24, 3, 8, 16, 4)                                                          \
    X(AES256_CCM16, "aes256ccm16", 32, 3, 8, 16, 4)                                                          \
    X(AES128_GMAC, "aes128gmac", 16, 4, 8, 16, 4)                                                            \
    X(AES192_GMAC, "aes192gmac", 24, 4, 8, 16, 4)                                                            \
    X(AES256_GMAC, "aes256gmac", 32, 4, 8, 16, 4)                                                            \
    X(AES128_CBC, "aes128", 16, 0, 16, 0, 16)                                                                \
    X(AES192_CBC, "aes192", 24, 0, 16, 0, 16)                                                                \
    X(AES256_CBC, "aes256", 32, 0, 16, 0, 16)                                                                \
    X(AES128_CTR, "aes128ctr", 16, 4, 8, 0, 4)                                                               \
    X(AES192_CTR, "aes192ctr", 24, 4, 8, 0, 4)                                                               \
    X(AES256_CTR, "aes256ctr", 32, 4, 8, 0, 4)                                                               \
    X(NULL, "null", 0, 0, 0, 0, 4)
enum esp_alg {
    ESP_ALG_NONE, // AH
#define X(sym, name, key, salt, iv, icv, align) ESP_ALG_##sym,
    ESP_ALG_LIST(X)
#undef X
        ESP_ALG_COUNT
};

// Integrity apart from the cipher, or AH's. X(symbol, swanctl name, key octets, salt octets, IV octets, ICV
// octets): those with an IV are AH's alone (RFC 4543 section 5), their salt stands behind the key in
// integ_key.
#define ESP_INTEG_LIST(X)                                                                                    \
    X(HMAC_SHA256_128, "sha256", 32, 0, 0, 16)                                                               \
    X(HMAC_SHA384_192, "sha384", 48, 0, 0, 24)                                                               \
    X(HMAC_SHA512_256, "sha512", 64, 0, 0, 32)                                                               \
    X(HMAC_SHA1_96, "sha1", 20, 0, 0, 12)                                                                    \
    X(AES128_GMAC, "aes128gmac", 16, 4, 8, 16)                                                               \
    X(AES192_GMAC, "aes192gmac", 24, 4, 8, 16)                                                               \
    X(AES256_GMAC, "aes256gmac", 32, 4, 8, 16)
enum esp_integ {
    ESP_INTEG_NONE, // the cipher is an AEAD
#define X(sym, name, key, salt, iv, icv) ESP_INTEG_##sym,
    ESP_INTEG_LIST(X)
#undef X
        ESP_INTEG_COUNT
};

#define ESP_MAX_KEY        32
#define ESP_MAX_INTEG_KEY  64
#define ESP_MAX_WINDOW     1024
#define ESP_MAX_ICV        32
#define ESP_PARAMS_VERSION 6

// What a network device does of an AUTONOMOUS engine's SA.
enum esp_offload {
    ESP_OFFLOAD_NONE,
    ESP_OFFLOAD_CRYPTO, // its cipher
    ESP_OFFLOAD_PACKET, // all of it, policies too
    ESP_OFFLOAD_AUTO,   // asked for: the most that the device takes
};

// Everything an engine must know of an SA. Callers wipe it (OPENSSL_cleanse) once sa_add has returned.
struct esp_sa_params {
    uint16_t version,
        size; // ESP_PARAMS_VERSION and sizeof of this; 0 and 0: the caller is built with the library
    enum esp_protocol protocol;
    enum esp_dir dir;
    enum esp_mode mode;
    enum esp_alg alg;
    enum esp_integ integ;
    uint8_t integ_key[ESP_MAX_INTEG_KEY];
    uint32_t spi;
    uint8_t key[ESP_MAX_KEY];
    uint8_t salt[4]; // of AES-CCM the first 3 octets
    bool esn;
    bool udp_encap; // RFC 3948
    bool ipv6;      // src and dst are IPv6
    uint16_t queue; // that its jobs go through
    // out, ESP in tunnel mode: shorter packets inside are padded to so many octets (RFC 4303 section 2.7), as
    // far as their job's tfc_max allows. Inbound such padding is always taken, and cut
    uint16_t tfc;
    uint8_t inner;     // tunnel mode: ESP_FAMILY_* that may be inside, 0: IPv4
    bool df_clear;     // out: outer DF 0 (otherwise copied from an IPv4 inner packet, set for an IPv6 one)
    bool no_dscp_copy; // out: outer DSCP 0
    bool no_ecn;       // out: outer ECN 0; in: outer ECN ignored (RFC 6040 otherwise)
    bool dscp_decap;   // in: inner DSCP := outer DSCP
    // out: the ID of an outer IPv4 header without DF is the sequence number plus this, in every engine; SAs
    // between the same ends want different ones (RFC 6864)
    uint16_t id_offset;
    uint8_t ttl;     // out, tunnel mode: outer TTL or hop limit
    uint8_t src[16]; // outer source; IPv4 in the first 4 octets, the rest zero. Not checked inbound
    uint8_t dst[16]; // outer destination; checked inbound
    // UDP encapsulation ports. Inbound both forms are taken whatever udp_encap says (RFC 7296 section 2.23);
    // of a packet in UDP the destination port must be dport, or 4500 where dport is 0.
    uint16_t sport, dport;
    uint32_t window;    // in: replay window, 0 (no check) or 1 ... ESP_MAX_WINDOW
    uint64_t seq;       // out: first sequence number to use, >= 1. in: highest received, 0: none
    uint64_t seq_limit; // out: end of the lease (first number not to be used); UINT64_MAX: no lease
    uint64_t seen[16];  // in: bit n (word n/64, bit n%64) = sequence seq - n has been received; bit 0 set
                        // whenever seq > 0
    uint64_t soft_bytes, hard_bytes, soft_packets, hard_packets; // inner bytes and packets; 0: none
    // AUTONOMOUS engines alone; the others do not look at these. The SA is for the policies with this group,
    // which is not 0; it is looked up by packets with this mark and if_id (0: those without, mask 0: any).
    uint32_t group, mark, mark_mask, if_id;
    enum esp_offload offload; // by that network device, which has to be named unless it is NONE
    char device[16];
};

// What packets an AUTONOMOUS engine gives to SAs of a group, and takes from these alone. It has no action in
// clear: without such an SA what matches is dropped. Addresses are those of the packet as it goes in that
// direction; a mask of 0: any port. Of ICMP the kernel takes type and code in the place of the ports.
struct esp_policy {
    enum esp_dir dir; // in: in tunnel mode what is forwarded too
    bool ipv6;
    uint8_t src[16], dst[16], src_len, dst_len;
    uint8_t proto; // 0: any
    uint16_t sport, sport_mask, dport, dport_mask;
    uint32_t mark, mark_mask, if_id; // as in esp_sa_params. With those above: what two are told apart by
    uint32_t priority;               // among all of the kernel's: lower first
    enum esp_protocol protocol;      // of the SA
    enum esp_mode mode;
    bool outer_ipv6;
    uint8_t outer_src[16], outer_dst[16];
    uint32_t group;
    enum esp_offload offload; // NONE, or PACKET, as its SAs
    char device[16];
};

// Where an SA's packets come from and go to, as in esp_sa_params.
struct esp_endpoint {
    bool ipv6, udp_encap;
    uint8_t src[16], dst[16];
    uint16_t sport, dport;
};

// Where the next engine takes an SA over: its esp_sa_params' seq (and, inbound, seen).
struct esp_handover {
    uint64_t seq;
    uint64_t seen[ESP_MAX_WINDOW / 64];
};

struct esp_sa_stats {
    uint64_t last_seq; // out: last used, in: highest received
    uint64_t packets, bytes, drops;
    uint64_t forged; // in, of an AUTONOMOUS engine: of these drops those whose tag was wrong
};

struct esp_sa; // an SA inside an engine; valid from sa_add until its ESP_EVENT_SA_DELETED or the engine's
               // destruction

enum esp_op { ESP_ENCAP, ESP_DECAP };

// One packet. `in` and `out` are distinct buffers inside an attached pool; the engine owns both from submit
// until the job comes back from poll, and leaves `in` as it was. Fields after `status` are results.
struct esp_job {
    enum esp_op op;
    struct esp_sa *sa; // ENCAP: the outbound SA. DECAP: filled with the inbound SA, NULL where none was found
    uint8_t *in, *out;
    uint32_t in_len, out_cap;
    uint16_t tfc_max; // ENCAP: TFC padding makes no packet inside longer than this, 0: or as long as tfc says
    // ENCAP, ESP in tunnel mode, where ESP_CAP_TFC is offered (SA_MISMATCH otherwise): a dummy packet (RFC
    // 4303 section 2.6) as long as the SA's padded ones, 0 octets where it has no tfc. `in` is not looked at.
    // It takes a sequence number and counts in no packets and no bytes.
    bool dummy;
    void *cookie; // the caller's

    enum esp_status status;
    uint32_t out_len; // 0 unless ESP_STATUS_OK
    uint64_t seq;     // 64-bit sequence number used or received (once an SA was found)
    bool soft_limit;  // a soft limit is reached
    bool lease_low;   // ENCAP: less than a quarter of the lease is left
    bool src_changed; // DECAP: outer source address or UDP source port is not the SA's
    void *engine_private;
    struct esp_job *next; // the owner's: lists
};

enum esp_event_type {
    ESP_EVENT_SA_ADDED,    // sa, cookie; the SA carries traffic
    ESP_EVENT_SA_REFUSED,  // cookie, status, error; sa is gone
    ESP_EVENT_SA_DELETED,  // sa (now invalid), cookie, stats, next; drained, every job of it is back, keys
                           // zeroised. `next` is exact: an SA can leave an engine that is well
    ESP_EVENT_SA_STATS,    // sa, cookie, stats
    ESP_EVENT_SA_LEASED,   // sa, cookie; the lease asked for holds, or, with a status, neither it
                           // nor new ends are to be had: delete the SA
    ESP_EVENT_QUEUE_RESET, // error: what had stopped one of its queues, which works again. Jobs that were in
                           // it come back ABORTED, the others and every SA go on
    // AUTONOMOUS engines alone
    ESP_EVENT_SA_SOFT_LIMIT, // sa, cookie, stats: a soft limit is reached
    ESP_EVENT_SA_SOURCE,     // sa, cookie, from: its peer's packets, verified, come from there (ESP in UDP)
    ESP_EVENT_SA_ENDED,      // sa, cookie, status, stats: it protects nothing any more: HARD_LIMIT, or
                             // SA_INVALID: somebody else has taken it away. It wants sa_delete all the same
    ESP_EVENT_FAILED, // error: the last event: the engine is gone and silent, it will put nothing more on a
                      // wire or into memory. Jobs outstanding come back from poll with ESP_STATUS_ABORTED in
                      // order of submission; sa_handover works; nothing else does. An engine that cannot be
                      // shown silent refuses to hand an outbound SA over: that SA ends, and the memory of
                      // jobs that came back ABORTED must not be used again.
};
struct esp_event {
    enum esp_event_type type;
    struct esp_sa *sa;
    void *cookie; // that of sa_add
    enum esp_status status;
    struct esp_sa_stats stats;
    struct esp_handover next; // SA_DELETED; of an AUTONOMOUS engine all 0: nobody may go on
    enum esp_offload offload; // SA_ADDED, of an AUTONOMOUS engine: what it has become, as it says itself
    struct esp_endpoint from; // SA_SOURCE
    bool silent;              // FAILED: it was shown that the engine can reach no memory any more
    struct esp_error error;
};

enum {
    ESP_CAP_LOOKASIDE = 1 << 0,  // jobs come back to memory
    ESP_CAP_INLINE = 1 << 1,     // packets may go to and come from a wire of the engine's own
    ESP_CAP_AUTONOMOUS = 1 << 2, // takes SAs and policies and does its own I/O: no queue, submit or poll
    ESP_CAP_ENDPOINT = 1 << 3,   // sa_endpoint
    ESP_CAP_UDP_ENCAP = 1 << 4,
    ESP_CAP_ESN = 1 << 5,
    ESP_CAP_TFC = 1 << 6,
};
// What an engine can do at all; `capable` judges one SA and says why not.
struct esp_capabilities {
    uint32_t flags;        // ESP_CAP_*
    uint32_t protocols;    // 1 << enum esp_protocol
    uint32_t modes;        // 1 << enum esp_mode
    uint32_t outer, inner; // ESP_FAMILY_*
    uint32_t algs;         // 1 << enum esp_alg
    uint32_t integs;       // 1 << enum esp_integ
    uint32_t window_max;   // 0: no anti-replay window
    uint32_t sas;          // of one direction, 0: as memory allows
    uint32_t max_packet;   // octets of one job's packet
    uint32_t queues;
};

struct esp_engine;
struct esp_engine_ops {
    void (*capabilities)(struct esp_engine *e, struct esp_capabilities *caps);
    // 0, or -EOPNOTSUPP with the attribute and the reason in *why: can this engine hold such an SA?
    int (*capable)(struct esp_engine *e, const struct esp_sa_params *p, struct esp_error *why);
    // Memory that jobs will use. Attach before the first submit. 0 or negative errno.
    int (*attach_pool)(struct esp_engine *e, struct esp_pool *pool, struct esp_error *err);
    // Starts adding; the answer is an event (ADDED or REFUSED) that carries cookie. -ENOSPC: full. *sa may be
    // used in jobs from the ADDED event on.
    int (*sa_add)(struct esp_engine *e, const struct esp_sa_params *p, void *cookie, struct esp_sa **sa,
                  struct esp_error *err);
    // Answer: SA_DELETED; needs no memory. Its queue's thread submits no more jobs that name it before that
    // event is taken; those that it had not stopped submitting in time end with SA_DRAINING.
    int (*sa_delete)(struct esp_engine *e, struct esp_sa *sa);
    int (*sa_query)(struct esp_engine *e, struct esp_sa *sa);                     // answer: SA_STATS
    int (*sa_lease)(struct esp_engine *e, struct esp_sa *sa, uint64_t seq_limit); // answer: SA_LEASED
    // The ends of the SA have moved (RFC 7296 section 2.23, RFC 4555). 0: holds from now on, for jobs
    // submitted after this but for those that a card takes before the command. -EOPNOTSUPP with the reason:
    // this engine changes nothing in place; delete the SA and go on elsewhere from SA_DELETED's `next`.
    // -EINVAL, -EEXIST: what is wrong with it.
    int (*sa_endpoint)(struct esp_engine *e, struct esp_sa *sa, const struct esp_endpoint *to,
                       struct esp_error *why);
    // After FAILED, where another engine may take over: sets p->seq, and for inbound p->seen. out: the
    // lease's end; in: exactly the sequences whose jobs poll has returned. Returns 0 or -EINVAL.
    int (*sa_handover)(struct esp_engine *e, struct esp_sa *sa, struct esp_sa_params *p);
    // AUTONOMOUS engines alone, NULL in the others. Puts the policy in force, or replaces the one that is
    // told apart from it by nothing. 0, or what is wrong with it, or the kernel's refusal: then there is
    // neither.
    int (*policy_set)(struct esp_engine *e, const struct esp_policy *p, struct esp_error *err);
    // One that is not there is no failure.
    int (*policy_drop)(struct esp_engine *e, const struct esp_policy *p, struct esp_error *err);
    unsigned (*events)(struct esp_engine *e, struct esp_event *ev, unsigned max);
    // Call when fd is readable and at least every 50 ms: re-arming, events, and watchdogs where the engine
    // has no thread for them. now_ms: CLOCK_BOOTTIME.
    void (*tick)(struct esp_engine *e, uint64_t now_ms);
    // Writes named counters as lines "name value\n" (for metrics and people); returns the length as snprintf
    // does. What a device counts is as it last said, up to a second old, and is asked for anew: when
    // driver_snapshots has grown by two, all that was before this call is in it.
    int (*counters)(struct esp_engine *e, char *buf, size_t size);
    void (*destroy)(struct esp_engine *e); // deletes all SAs, zeroises keys; outstanding jobs are forgotten
};
// Packets go through queues, each the business of one thread. An SA belongs to the queue that its parameters
// name: its jobs go there, inbound packets of its SPI too (another queue answers NO_SA).
struct esp_queue;
struct esp_queue_ops {
    // Takes up to n jobs, returns how many were taken (0: full, or failed), in order.
    unsigned (*submit)(struct esp_queue *q, struct esp_job **jobs, unsigned n);
    // Returns up to max finished jobs; those of one SA in order of submission.
    unsigned (*poll)(struct esp_queue *q, struct esp_job **jobs, unsigned max);
    // Before each sleep on fd, after the last submit (and, where one thread does all, the last SA command):
    // true when there is more to poll or an event (do not sleep), false when fd will become readable once
    // there is.
    bool (*arm)(struct esp_queue *q);
};
struct esp_queue {
    const struct esp_queue_ops *ops;
    struct esp_engine *engine;
    unsigned index;
    int fd; // pollable; where one thread does all, the engine's
};

struct esp_engine {
    const struct esp_engine_ops *ops;
    const char *kind;         // "card", "software", "kernel"
    char name[64];            // "0000:01:00.0", "openssl", "ipsec-mb 1.3.0" (what it has not is OpenSSL's)
    char note[160];           // "", or what a person should know of it although it works
    int fd;                   // readable when there are events
    struct esp_queue **queue; // as many as the capabilities say; NULL: none
};

// For a caller of one thread: queue 0.
static inline unsigned esp_submit(struct esp_engine *e, struct esp_job **jobs, unsigned n)
{
    return e->queue[0]->ops->submit(e->queue[0], jobs, n);
}

static inline unsigned esp_poll(struct esp_engine *e, struct esp_job **jobs, unsigned max)
{
    return e->queue[0]->ops->poll(e->queue[0], jobs, max);
}

static inline bool esp_arm(struct esp_engine *e)
{
    return e->queue[0]->ops->arm(e->queue[0]);
}

const char *esp_status_name(enum esp_status s);
const char *esp_status_text(enum esp_status s); // a sentence; empty for a number that is no status
const char *esp_alg_name(enum esp_alg a);
const char *esp_integ_name(enum esp_integ a);

// ---- the engines
int esp_soft_open(struct esp_engine **e, struct esp_error *err); // one queue, one thread for all
// Each queue for a thread of its own, and one more thread (or one of them) for the engine. A queue takes SA
// commands when its thread next submits, polls or arms, for which its fd becomes readable. sa_handover is not
// offered: SA_DELETED's `next` is.
int esp_soft_open_queues(struct esp_engine **e, unsigned queues, struct esp_error *err);

struct esp_card_options {
    const char *pci_sysfs;    // "/sys/bus/pci"
    const char *bdf;          // NULL: the first card found
    uint32_t ring_log2;       // entries of each packet ring, 0: default
    struct esp_pool *pool[4]; // attached before it is opened
    unsigned pool_count;
    // What waits for the card (its registers, its end) runs in a thread of the engine's own, so that no call
    // but open, attach_pool and destroy ever waits. true: in tick instead.
    bool no_thread;
    // An outbound SA on the card stops, for good, when this library has not been heard of for so long, by the
    // card's clock, where the card can do that: its packets end with LEASE_EXPIRED. 0: 10 s; ESP_NO_DEADLINE:
    // never.
    uint32_t deadline_ms;
    // Set from another thread: opening ends with -ECANCELED, but for an answer of the bus that it waits for
    // (5 s each). NULL: nobody sets it. It is not looked at once the card is open.
    const atomic_bool *give_up;
};
#define ESP_NO_DEADLINE UINT32_MAX
// Scans with libpci, opens the first (or named) card, checks its identity, shakes hands on features, writes
// EPOCH, sets up the rings. -ENODEV: no card; other errors name what is wrong with it.
int esp_card_open(struct esp_engine **e, const struct esp_card_options *o, struct esp_error *err);

struct esp_kernel_options {
    // Stands in the selectors of all SAs and policies of this engine, as their user, so that it knows its
    // own; not 0. What there is of it was left by an earlier run, and goes when the engine is opened.
    uint32_t owner;
};
// Linux's own ESP and AH, told by XFRM netlink (CAP_NET_ADMIN). AUTONOMOUS: the kernel gives packets to SAs
// by policies, sends them and takes them from its network. A request is answered before its call returns (5 s
// at most); what the kernel says that it has taken is held against what it was told, and taken away again
// where it differs. An outbound SA begins with the number 1 and an inbound one with none, there is no lease,
// and no hand-over: IVs are the kernel's own (the number XOR a secret), so an SA neither comes nor goes with
// its keys. Outer TTL and ID are the machine's (ttl and id_offset are not looked at), and an inbound SA takes
// packets in UDP if udp_encap says so, otherwise those that are not; the UDP socket itself (UDP_ENCAP) is its
// owner's. -ENODEV: the kernel has no XFRM; -EPERM: a right is missing.
int esp_kernel_open(struct esp_engine **e, const struct esp_kernel_options *o, struct esp_error *err);

#endif
