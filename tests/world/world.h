// SPDX-License-Identifier: Apache-2.0
// The world in one process: sites with whole daemons (ike, keys, path, ctl, the software engine), hosts
// behind them, operators, the kernel's part and the network between, under one virtual clock and one seed.
// Whatever happens is an event at a time; between two steps of a room other events may come. After every step
// the invariants are asked (check.c); the first that does not hold ends the run, with its name.
#ifndef TESTS_WORLD_WORLD_H
#define TESTS_WORLD_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctrl/ctl/ctl.h"
#include "ctrl/ike/room.h"
#include "ctrl/keys/keys.h"
#include "ctrl/lib/log.h"
#include "ctrl/path/room.h"
#include "tests/world/packet.h"
#include "tests/world/rng.h"

enum { SITES = 3, PACKET_MAX = 2048, PAIRS = SITES * (SITES - 1) / 2, CHILDREN = 3, VARIANTS = 4 };
#define SECOND 1000000ull // of virtual time, us
#define MINUTE (60 * SECOND)

struct world;
struct site;

// ---- memory.c
unsigned memory_of(const struct site *s); // this one works from now on, NULL: the world; how it was before
void memory_as(unsigned before);
void memory_scarce(struct site *s, unsigned fail_per_mille, uint64_t for_us);

// ---- events.c: what will happen, in order of time, then of asking
typedef void (*event_fn)(struct world *w, void *ctx, uint64_t arg);
struct event {
    uint64_t at, order;
    event_fn fn;
    void *ctx;
    uint64_t arg;
};
struct agenda {
    struct event *heap;
    size_t count, cap;
    uint64_t order;
};
void agenda_add(struct world *w, uint64_t in_us, event_fn fn, void *ctx, uint64_t arg);
bool agenda_next(struct world *w, struct event *e);
void agenda_free(struct agenda *a);

// ---- kernel_model.c: what Linux does between the interfaces of a gateway
enum iface { IF_NONE, IF_LAN, IF_WAN, IF_TUN, IF_LOCAL };
enum verdict { PASS_TO, DROP_POLICY, DROP_ROUTE };
struct kernel_model;
struct kernel_model *kernel_model_new(struct site *s);
void kernel_model_free(struct kernel_model *k);
void kernel_model_meddle(struct kernel_model *k);         // somebody else's hands
void kernel_model_flap(struct kernel_model *k);           // ... on the TUN: down and up
void kernel_model_lose(struct kernel_model *k, int kind); // somebody takes all objects of a kind away
void kernel_model_moved(struct kernel_model *k);          // its addresses are others
bool kernel_model_virtual(const struct kernel_model *k, uint32_t n); // an address of the TUN's
void kernel_model_tun_gone(struct kernel_model *k); // its owner has died: the kernel takes its routes
// Where a packet that came in by `in` goes, by rules, routes and policies.
enum verdict kernel_model_forward(struct kernel_model *k, enum iface in, const uint8_t *p, uint32_t len,
                                  enum iface *out);
// ... and one that a program of the gateway sends.
// What the kernel says about a packet that came by `in`.
enum verdict kernel_model_error(struct kernel_model *k, enum iface in, const uint8_t *about, uint32_t len,
                                enum iface *out);
enum verdict kernel_model_output(struct kernel_model *k, const uint8_t *p, uint32_t len, enum iface *out);

// ---- site_card.c
// clang-format off
#define CARD_FAULT_LIST(X)                                                                                   \
    X(WELL, "well") X(KILLED, "killed") X(HUNG, "hangs") X(FROZEN, "hangs, its clock too")                   \
    X(NONSENSE, "says nonsense") X(RESET, "loses its EPOCH") X(FATAL, "FATAL") X(ALL_ONES, "reads all ones") \
    X(MUTE, "does not answer")
// clang-format on
enum card_fault {
#define X(sym, name) CARD_##sym,
    CARD_FAULT_LIST(X)
#undef X
        CARD_FAULTS
};
struct site_card;
struct site_card *site_card_new(struct site *s, unsigned slots);
void site_card_free(struct site_card *c);
void site_card_fault(struct site_card *c, enum card_fault f);
void site_card_habits(struct site_card *c, unsigned refuse, unsigned slow, unsigned lose_irq);
unsigned site_card_sas(const struct site_card *c); // that it holds, both ways
bool site_card_verilated(void);                    // is the Verilated card in this program?

// ---- daemon.c
enum life { DOWN, UP, GOODBYE, ENDING };
struct queue { // packets that wait for path to read them
    struct {
        uint32_t len;
        uint8_t bytes[PACKET_MAX];
    } * slot;
    unsigned head, tail;
};
enum { QUEUE_LEN = 256, OURS = ROOM_COUNT };
struct daemon {
    struct site *site;
    enum life life;
    unsigned generation;
    bool cut; // killed: nothing of what it still does counts
    bool pumping;
    struct settings settings;
    struct child_env env;
    struct loop *loop[ROOM_COUNT];
    struct log *log[ROOM_COUNT];
    struct voice { // whose lines those are; ROOM_SUPER: it ends
        struct site *site;
        enum room room;
    } voice[ROOM_COUNT];
    struct path *path;
    struct ike *ike;
    struct keys *keys;
    struct ctl *ctl;
    struct fetch *fetch;   // where there are certificates
    int super[ROOM_COUNT]; // the supervisor's ends
    int gate;              // epoll over the rooms' loops
    uint32_t lives;        // of ike, in this life of the daemon
    uint32_t path_lives;   // likewise
    int secrets;           // the file of keys; -1: the daemon is down
    struct queue tun, udp, raw, udp6, raw6;
    uint64_t offset, booted;      // its clock is ahead of the world's; from the beginning
    uint64_t ends_at, started_at; // of the world
    uint64_t scarce_until;        // until then an allocation of its rooms fails ...
    unsigned scarce;              // ... with so many per mille
    uint64_t frozen_until;        // it gets no processor: its card's deadlines may pass meanwhile
};
void daemon_loop(struct daemon *d, enum room r);                            // makes that of a room
void daemon_join(enum room a, enum room b, int fd[ROOM_COUNT][ROOM_COUNT]); // a pair of channels
// The supervisor's: the channel to `of`, which was started again; the descriptor is taken.
void daemon_hand_over(struct daemon *d, enum room to, enum room of, int fd);
void daemon_freeze(struct site *s, uint64_t for_us);
void daemon_start(struct site *s);
void daemon_kill(struct site *s, int room); // SIGKILL; ROOM_SUPER: all of it at once
void daemon_stop(struct site *s);           // SIGTERM
void daemon_wake(struct site *s);           // something waits for it
void daemon_run_timers(struct site *s);
uint64_t daemon_next_timer(struct site *s); // in world time; UINT64_MAX: none
void daemon_free(struct site *s);
uint64_t ike_counted(const struct ike *ike, const char *name); // counted.c

// ---- operator.c
struct selector { // one side, as the test itself understands it
    uint32_t addr, mask;
    uint8_t proto;
    uint16_t lo, hi;
};
enum start { START_NONE, START_TRAP, START_START };
struct child_plan {
    char name[16];
    uint8_t proto;
    uint16_t lo, hi; // ports of both sides
    enum start start[2];
};
struct range { // UDP ports of both sides; lo 0: none
    uint16_t lo, hi;
};
struct variant { // one form of the connection between two sites
    unsigned children;
    struct child_plan child[CHILDREN];
    struct range pass, drop; // children of these modes, which go before those that protect
};
enum { IN4 = 1, IN6 = 2 };
struct pair { // two sites that want to talk
    unsigned a, b, variants;
    char name[16], secret[24];
    bool encap, outer6, natted; // by IPv6 between the gateways; a is behind a NAT
    bool roams;                 // a's addresses change
    uint8_t inner;              // IN4 | IN6: families of the networks
    struct own {                // a child between the gateways themselves, for what their programs say
        bool on, transport, trap;
        struct range ports; // lo 0: everything
        uint64_t last;      // sent of those that have arrived
    } own;
    const char *unique; // NULL: the default
    unsigned dpd_s;
    struct variant variant[VARIANTS];
    uint64_t life_packets;
    unsigned dummies; // tfc_dummies of its children
    bool taken_down;  // an operator has, and none has asked for it and got it since
    uint64_t taken_down_at;
    uint64_t up_from;          // fair weather: packets must arrive that are sent then or later
    uint64_t disturbed_at;     // nothing is said of those sent before
    uint64_t hands_until;      // what operators have begun goes on
    unsigned closures, begins; // begins: the side that has to, 2: either
    const char *hw_offload;
    bool by_cert[2]; // how each end proves itself
    const char *revocation;
};
struct want {        // what an operator has asked of its site, by pair
    int variant;     // -1: not loaded
    int pending;     // a load under way: both count where they say the same
    int leaving;     // an unload under way, of this one
    unsigned unsure; // forms whose load nobody has answered, and which may be what is there: bits
    bool unknown;    // the daemon went before it answered
    unsigned named;  // how it is called in the file: bits
    bool twice;      // it may be loaded under its former name too
    uint64_t since;  // the last load was confirmed
};
enum command_kind {
    CMD_SHARED,
    CMD_LOAD,
    CMD_UNLOAD,
    CMD_INITIATE,
    CMD_TERMINATE,
    CMD_LIST,
    CMD_REGISTER,
    CMD_REKEY,
    CMD_POOL, // of road warriors, whose number stands in the pair's place
    CMD_WARRIOR_SECRET,
    CMD_WARRIOR_LOAD,
    CMD_WARRIOR_INITIATE,
    CMD_WARRIOR_TERMINATE,
    CMD_CERT_CA, // what certificates need, in the order in which it is loaded
    CMD_CERT_MID,
    CMD_CERT_KEY,
    CMD_CERT_END,
    CMD_RENAME, // `how`: loaded as it is under those names, and then unloaded under the former one
    CMD_UNLOAD_FORMER
};
enum { DETACHED = 1, FORCED = 2 };        // not to wait for what comes of it; not to wait for the peer
enum { OTHER_CONN = 1, OTHER_CHILD = 2 }; // the connection, its children have another name
struct order {
    enum command_kind kind;
    unsigned pair, variant, child, how;
    uint64_t sent_at;
    struct order *next;
};
struct sa_seen { // of list-sas
    char conn[16], child[16];
    uint64_t spi_i, spi_r;
    uint32_t spi_in, spi_out;
    char state[24];
};
enum { SA_SEEN_MAX = 64 };
struct operator
{
    int fd; // a VICI connection to ctl, -1: none
    struct order *queue;
    bool busy;
    uint8_t in[65536];
    size_t have;
    struct want want[PAIRS];
    struct sa_seen ike[SA_SEEN_MAX], child[SA_SEEN_MAX];
    unsigned ikes, children;
    bool listed;
    bool refused; // a load, since all were loaded
    char last_error[200];
};
void plans_make(struct world *w);
void operator_connect(struct site *s);
void operator_gone(struct site *s); // the daemon went
void operator_load_all(struct site *s);
void operator_read(struct site *s); // answers wait
void operator_order(struct site *s, enum command_kind k, unsigned pair, unsigned variant, unsigned child);
void operator_hurry(struct site *s, enum command_kind k, unsigned pair, unsigned how); // DETACHED, FORCED
void operator_rename(struct site *s, unsigned pair);
bool names_pair(const struct pair *p, const char *conn); // by either name
struct pair *plan_of(struct world *w, unsigned a, unsigned b);

// ---- network.c
struct nat {
    bool on;
    uint32_t outside;
    struct {
        uint16_t in, out;
    } map[8];
    unsigned maps;
    uint16_t next_port;
};
void wire_send(struct site *s, const uint8_t *p, uint32_t len); // leaves by the WAN
void nat_rebind(struct site *s);
void replay(struct site *to); // by somebody in between
void network_clear(void);
void network_forget(const struct event *e); // an event that does not happen any more: frees a packet

// ---- hosts.c
void hosts_start(struct world *w);
void host_send(struct world *w, unsigned from, unsigned to, unsigned child, bool matching);
void host_shunt(struct world *w, unsigned from, unsigned to, bool pass); // what a child passes or drops
// From one address to another, in the ledger.
uint32_t host_packet(struct world *w, uint8_t *p, unsigned from, unsigned to, uint32_t src, uint32_t dst);
bool own_send(struct world *w, unsigned from, unsigned to, bool matching); // a program of the gateway's
void forge_clear(struct world *w, unsigned from, unsigned to, unsigned child);

// ---- service.c: fair weather, in which service is judged
void service_start(struct world *w);
void service_sent(struct world *w, struct pair *p, uint64_t id); // a packet that is to arrive
void service_own_arrived(struct world *w, uint64_t id);          // that a gateway's program has sent
bool service_own_is_up(const struct world *w, const struct pair *p);
void service_clear(struct world *w, uint64_t id);                     // one that both ends let pass
void service_arrived(struct site *s, const uint8_t *p, uint32_t len); // by the network
void service_installs(struct site *s, uint32_t spi);                  // path is given an inbound SA
void service_forget(struct site *s);                                  // its daemon is killed

// ---- roam.c: a gateway whose addresses change
struct roam {
    bool on, families, named; // it may go to the other family; its connections name its addresses
    uint32_t away;
    unsigned place;  // where it is: 0 at home, 1 away
    uint8_t here[2]; // what it has at each: IN4 | IN6
    bool moving;
};
void roam_make(struct world *w);
bool site_has(const struct site *s, uint8_t family, uint32_t n);     // just now
bool site_owns(const struct site *s, uint32_t n);                    // now or another time
bool site_source(const struct site *s, uint8_t family, uint32_t *n); // what its routes say; false: none
uint64_t roam_move(struct site *s);
void roam_settle(struct world *w, void *site, uint64_t arg);

// ---- warrior.c: virtual addresses out of a pool
enum { WARRIORS = PAIRS };
struct warrior {
    unsigned site;
    char name[16];
    bool loaded[2]; // by its own operator, by the gateway's
};
struct warrior_sa { // at the gateway
    uint32_t spi, at;
    char conn[16];
};
enum { WARRIOR_SAS = 64 };
struct owners { // of the pool's addresses, by their last octet: a warrior's number, -1: nobody
    int8_t of[WARRIORS + 1];
};
struct kept {                   // what becomes of leases (kept.c)
    struct owners ctl, ike;     // as the one has written it, as the other has given it
    uint8_t ever[WARRIORS + 1]; // bits: has had it at some time
    uint8_t seen;               // bits: has been given one since the daemon came up
    bool scarce;                // since then there was no memory for a while
};
struct warriors {
    unsigned count, pool; // addresses of the pool
    struct warrior one[WARRIORS];
    char leases[40]; // the file
    struct warrior_sa sa[WARRIOR_SAS];
    unsigned sas;
    struct kept kept;
};
struct vici_out;
void warriors_make(struct world *w);
void warriors_start(struct world *w);
void warriors_free(struct world *w);
const char *warriors_leases(const struct site *s); // NULL: none are kept there
void warriors_connect(struct site *s);
void warriors_encode(struct vici_out *o, struct site *s, const struct order *c);
void warriors_answered(struct site *s, const struct order *c, bool ok);
bool warriors_require(struct site *s, uint32_t near, uint32_t far);
void warriors_installed(struct site *s, const struct msg_CHILD *c); // path has another SA
void warriors_address(struct site *s, uint32_t n, bool there);      // ... puts an address on its TUN
void warriors_settle(struct world *w);
void warriors_check_up(struct world *w);

// ---- kept.c: leases over the gateway's deaths
void kept_scarce(struct site *s, bool scarce); // it has no memory; it begins anew

// ---- certs.c
enum { ISSUED_MAX = 32, PROVEN = 64 };
struct octets { // in DER
    uint8_t p[2000];
    size_t len;
};
struct issued { // a site's certificate
    unsigned site, by;
    int64_t ends;
    bool revoked;
    struct octets der;
};
struct certs {
    bool on;
    struct rng dice;
    struct x509_st *ca[2];
    bool by_mid[SITES];
    struct issued issued[ISSUED_MAX];
    unsigned count, now[SITES];
    long crl_number;
};
struct proven { // by what its peers have proven themselves to a site, by what ike keeps of the proof
    const void *by;
    unsigned issued;
    uint64_t ended_at; // of the world, when it was first seen past its end
};
struct known {        // the newest CRL that it has
    uint32_t revoked; // bits: certs.issued
    uint64_t at;
    int64_t until, longest; // longest: the last nextUpdate of all that ike was given
};
void certs_make(struct world *w);
void certs_plan(struct world *w);
void certs_free(struct world *w);
void certs_start(struct world *w);
void certs_outlive(struct world *w);
void certs_settle(struct world *w);
int64_t certs_wall(void *site); // seconds since 1970
void certs_connect(struct site *s);
void certs_encode(struct vici_out *o, const struct site *s, const struct order *c);
bool certs_serve(struct site *s, const char *url, struct octets *out);
void certs_gone(struct site *s); // its daemon has

// ---- web.c: the fetch room, and what it asks
void web_start(struct daemon *d);
void web_died(struct daemon *d);

// ---- disk.c
struct disk {
    bool full;
    size_t room;  // octets, while it is full
    bool logging; // what the rooms log goes to this file:
    int log;
    uint64_t lines, dropped; // logged since; dropped before
    uint64_t refused;        // found no room
};
void disk_start(struct world *w);
void disk_full(struct site *s, uint64_t for_us);
void disk_line(struct site *s); // one has been logged
void disk_gone(struct site *s); // its daemon has
void disk_room_died(struct site *s);

// ---- gateway.c: a packet between the interfaces of one site
void gateway_in(struct site *s, enum iface in, const uint8_t *p, uint32_t len);
void gateway_out(struct site *s, const uint8_t *p, uint32_t len); // from a program of its own

// ---- readers.c: who reads the log
struct silent {
    bool on;
    int err[2], vici; // the pipe, and the end of a client of events
    uint64_t number, lines, had, missing, dropped, events;
    unsigned steps;
    uint8_t in[8192];
    size_t have;
};
void readers_silent(struct site *s, uint64_t for_us); // they stand still
void readers_gone(struct site *s);
void readers_room_died(struct site *s); // and another one comes
void readers_line(struct daemon *d, enum room r, enum log_subsys sub, int level, const char *ike_name,
                  unsigned ike_id, const char *text);

// ---- faults.c
void faults_start(struct world *w);
void faults_end(struct world *w); // heals everything
void fault_restart(struct site *s, uint64_t in_us);
void fault_clock(struct site *s, uint64_t by_us); // jumps ahead
void fault_card(struct site *s, enum card_fault f, uint64_t for_us);

// ---- check.c
struct sent { // a host's packet
    uint8_t from, to;
    bool forged, own;        // own: from a gateway itself
    bool warrior;            // ... or for it: at a virtual address
    uint8_t delivered, seen; // out of a tunnel; in clear
    uint8_t proto;           // of the datagram that it is, or is a piece of
    uint16_t sport, dport;
    uint32_t len;
    uint64_t hash;
    uint64_t at;
};
struct ledger {
    struct sent *sent;
    size_t count, cap;
    struct nonces {
        uint64_t *slot; // open addressing
        size_t count, cap;
    } sent_nonces, sealed, exchanges;
    struct {
        uint8_t site;
        uint32_t spi;
        uint64_t key;
        struct ts local[2], remote[2]; // each end has one selector a family here
    } * keys;
    size_t key_count, key_cap;
};
enum { MAGIC_LEN = 8, STAMP_LEN = 16 };
extern const uint8_t magic[MAGIC_LEN];
void check_learn_key(unsigned site, const struct msg_CHILD *c, const uint8_t *key, size_t len);
struct sealer { // an outbound SA of an engine
    uint64_t key;
    size_t known; // in the ledger's keys, SIZE_MAX: not there
};
struct sealer check_sealer(uint32_t spi, const uint8_t key[32], const uint8_t salt[4]);
void check_seals(const struct sealer *s, uint64_t seq,
                 const uint8_t *inner);                 // it has sealed a packet; NULL: a dummy
void check_exchange(struct world *w, struct slice ike); // counts those that are answered
void check_wire(struct site *s, const uint8_t *p, uint32_t len);
void check_delivered(struct site *s, const uint8_t *p, uint32_t len, bool from_tun);
void check_agreement(struct world *w);
void check_one(struct world *w);   // at rest exactly one IKE SA for each connection that is up
void check_leaks(struct world *w); // at the end: path holds no packet and no SA that is gone
void check_free(struct ledger *l);

// ---- verdict.c: what the connections that a site's operator has loaded say about a packet
enum said { SAYS_NOTHING, SAYS_PROTECT, SAYS_PASS, SAYS_DROP, SAYS_EITHER };
int64_t check_id(const uint8_t *p, uint32_t len); // -1: not a host's packet in clear
enum said verdict(struct site *s, const uint8_t *p, uint32_t len, bool inbound, uint64_t *since);
bool check_required(struct site *s, const uint8_t *p, uint32_t len, bool inbound); // not in clear
bool verdict_may_pass(struct site *s, const uint8_t *p, uint32_t len); // by any form that may be in force

enum { HELD = 64 };
struct held { // an inbound SA that the site has had
    uint32_t spi;
    uint64_t at; // the last time
};
struct site {
    struct world *w;
    unsigned index;
    char letter;
    uint32_t wan, lan; // numbers of addresses (packet.h); the LAN is a /16, or /112
    struct daemon d;
    struct kernel_model *kernel;
    struct site_card *card; // NULL: none
    struct operator op;
    struct nat nat; // at home
    struct roam roam;
    struct held held[HELD];
    unsigned helds;
    uint64_t rx, tx, no_route, dropped_policy;
    struct disk disk;
    uint64_t clock_set_at;
    struct known known[2];        // by authority
    struct proven proven[PROVEN]; // a ring
    unsigned provens, taken;      // certificates of peers
    struct silent silent;
    uint64_t silences, silent_dropped; // those that are over, and the lines that they cost
};

// A world without chance, for a test that knows what happens: two sites, one tunnel that a trap at a (and at
// b, where asked) or start brings up.
struct plain {
    bool card[2], nat, encap, outer6;
    uint8_t inner; // 0: IN4
    bool own, transport, roam, certs, resume;
    unsigned warriors, pool;
    enum start start[2];
    const char *unique;
    bool edit;             // there is a second form: UDP ports 7000 to 7999 alone
    unsigned slots, lease; // of the cards, 0: 64; of their SAs, 0: 64
    unsigned dummies;      // a second, of each SA
};
enum { BUSY = 4500, BUSY_PER_MILLE = 150 };
struct options {
    const struct plain *plain; // NULL: all from the seed
    uint64_t seed, steps;
    unsigned minutes;
    bool trace, quiet, twice, verilated;
    const char *ignore;
    uint64_t cpu_s;
    unsigned traffic; // packets a minute that the hosts of each pair offer, 0: 1,000 or BUSY
    unsigned workers; // of each path, 0: one
    bool deaths;      // rooms die all the time
    bool fast, busy;  // the speed is judged; what went through the tunnels is
    unsigned trip_s;  // it fails by itself then, 0: never
};
struct world {
    struct options o;
    uint64_t now, steps;
    unsigned traffic; // as in the options
    bool renews;      // operators have keys renewed without end
    struct rng rng, entropy, disk_dice;
    struct agenda agenda;
    struct site site[SITES];
    unsigned sites;
    struct pair pair[PAIRS];
    unsigned pairs;
    struct warriors warriors;
    struct certs certs;
    struct ledger ledger;
    bool fair; // the beginning: one thing at a time, on a network that loses nothing
    uint64_t fair_until, auth_lost_until;
    bool short_retry; // IKE gives up after 12 s, not 165
    bool calm;        // the end: no faults, and things may settle
    bool asked;       // the last questions
    bool silent;      // the very end: hosts say nothing
    bool link_down[SITES][SITES];
    unsigned loss, dup, corrupt, jitter; // per mille; ms
    uint64_t hash;                       // of the trace
    const char *failed;                  // the invariant's name
    char why[400];
    char *tail; // the last lines of the trace
    size_t tail_at;
    uint64_t packets_through, datagrams, exchanges; // of IKE; exchanges: those that were answered
};
void world_begin(struct world *w, const struct options *o, bool trace);
void world_run_until(struct world *w, uint64_t until); // or until an invariant does not hold
void settle_plans(struct world *w);                    // all load the first form
void world_conclude(struct world *w); // calm, the same plans everywhere, and the last questions
void world_end(struct world *w);
extern struct world *the_world; // whose rooms run: link-time seams carry no context
extern struct site *the_site;

#define TAIL (1 << 16)
void world_mix(struct world *w, uint64_t a, uint64_t b);
__attribute__((format(printf, 2, 3))) void world_say(struct world *w, const char *fmt, ...);
// Every event of the world goes through here: two numbers into the hash always, words where somebody reads.
#define TRACE(w, a, b, ...)                                                                                  \
    do {                                                                                                     \
        world_mix(w, (uint64_t)(a), (uint64_t)(b));                                                          \
        if ((w)->tail)                                                                                       \
            world_say(w, __VA_ARGS__);                                                                       \
    } while (0)
__attribute__((format(printf, 3, 4))) void world_fail(struct world *w, const char *invariant, const char *fmt,
                                                      ...);

static inline uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline void put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
}
static inline void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v;
}
#endif
