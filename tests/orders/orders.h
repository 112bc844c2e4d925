// SPDX-License-Identifier: Apache-2.0
// Every order in which two IKE daemons can come to what both are about to do: each end begins its acts, and
// each datagram on its way arrives, is lost or arrives twice, at any moment. A state that was seen before is
// left, however it was come to; after the last event all is at rest for minutes of virtual time, and is
// judged.
#ifndef TESTS_ORDERS_ORDERS_H
#define TESTS_ORDERS_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/ike_pair.h"
#include "tests/world/rng.h"

enum { END_SAS = 8, UNANSWERED_MAX = 4 };
enum { ACTS_MAX = 4, FLIGHT_MAX = 64, SEEN_MAX = 512, DEPTH_MAX = 400, LOSSES_MAX = 8, WHY_MAX = 300 };

// ---- what the ends do, a letter each
#define ACT_LETTERS "cidDlmn"
#define ACTS_FIRST  "cidlm" // whose lists are gone through before all others
// ... and only where they are named: path refuses the next CHILD SA; an operator ends one by force; it has
// been idle; the IKE SA reauthenticates
#define ACT_REFUSE 'x'
#define ACT_FORCE  'f'
#define ACT_IDLE   'z'
#define ACT_REAUTH 'r'
#define ACT_NAMED  "xfzr"
#define ACT_ENDS   "dfzD" // after these there need not be any
const char *act_name(char act);
struct trial;
void act_begin(struct trial *t, int side, char act);

// ---- a trial: two daemons, and what is between them
// KEEP: it arrives, and a copy stays. PAST: a copy of what arrived before
enum event_kind { EV_BEGIN, EV_ARRIVE, EV_LOSE, EV_KEEP, EV_AGAIN, EV_PAST };
struct event_of {
    enum event_kind kind;
    int side;    // BEGIN, AGAIN
    uint32_t at; // place among those in flight, or that have arrived; AGAIN: the IKE SA's number
    uint64_t of; // ARRIVE, LOSE, KEEP: the datagram's key; AGAIN: the request that goes out again
};
struct flight {
    int to;
    struct net_path path;
    size_t len;
    uint64_t hash;
    uint8_t *data;
};
struct opened { // what was sealed into a datagram: that decides what it brings about, and not its IV
    uint64_t datagram, inner;
};
struct cause { // of random numbers: an IKE_SA_INIT that has arrived, and how often
    uint64_t of;
    unsigned times;
    int side;
};
struct unanswered { // a request that has been taken, and is not answered when it comes again
    uint64_t spi_i;
    uint32_t mid;
};
struct lost { // an exchange of which a datagram was lost: its request goes out again
    uint64_t spi_i;
    uint32_t mid;
    int by; // who asks
};
struct gram {                                         // a datagram as far as it matters
    uint64_t key;                                     // of what is in it, to whom, which way
    uint64_t inner, way, spi_i, own_spi_i, own_spi_r; // spi_i: as it stands in the message
    uint32_t mid;
    int to;
    bool response, first; // first: IKE_SA_INIT
};
struct seal_seen { // an IV under a key of an IKE SA, and what was sealed with it
    uint8_t spis[16], iv[8];
    int from;
    uint64_t hash;
};
struct scenario {
    char acts[2][ACTS_MAX + 1];
    unsigned losses, copies;
    uint64_t seed;
};
struct trial {
    const struct scenario *sc;
    struct pair *p;
    struct rng rng; // of the end that is at work, for what has just happened to it
    struct cause causes[SEEN_MAX];
    unsigned cause_count;
    unsigned begun[2];
    unsigned losses, copies; // left
    struct lost owed[LOSSES_MAX];
    unsigned owed_count;
    struct flight *flight[FLIGHT_MAX];
    struct flight *past[FLIGHT_MAX]; // what has arrived, each once
    unsigned in_flight, past_count;
    unsigned answered_again;      // responses that went out
    struct gram sent[FLIGHT_MAX]; // by the last step
    unsigned sent_count;
    struct unanswered unanswered[UNANSWERED_MAX]; // now, by what trial_copies has seen
    unsigned unanswered_count;
    bool resting;
    bool copies_apart, drops_copies; // trial_copies has what would come of copies; they are not on their way
    struct seal_seen seals[SEEN_MAX];
    struct opened opened[SEEN_MAX];
    unsigned seal_count, opened_count;
    uint8_t keys[SEEN_MAX][32]; // outbound keys of CHILD SAs that were installed
    int key_of[SEEN_MAX];
    unsigned key_count, keys_taken[2];
    char order[DEPTH_MAX * 5];
    char why[WHY_MAX]; // the first that did not hold; empty: nothing
};
bool trial_begins_anew(const struct scenario *sc); // an IKE SA may be made while it runs
bool trial_new(struct trial *t, const struct scenario *sc);
void trial_free(struct trial *t);
unsigned trial_events(struct trial *t, struct event_of *e, unsigned max);
bool trial_finds(const struct trial *t, struct event_of *e); // by `of`, where it is here; false: nowhere
void trial_do(struct trial *t, const struct event_of *e);
uint64_t trial_opened(const struct trial *t, const uint8_t *datagram, size_t len); // a hash of what is in it
const struct ike_sa *trial_asks(const struct trial *t, int side, uint64_t spi_i, uint32_t mid); // or NULL
// Whatever has arrived at that end comes once more, and must change nothing. An IKE_SA_INIT request may: it
// is no part of this, and comes by EV_KEEP.
void trial_copies(struct trial *t, int side);
bool trial_at_end(const struct trial *t); // nothing is on its way, nothing left to begin
void trial_rest(struct trial *t);         // minutes, in which all arrives
void trial_fail(struct trial *t, const char *invariant, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool event_read(const struct trial *t, const char *text, struct event_of *e);

// ---- state.c: an end, and a moment of both
struct end_sa {
    uint64_t hash, spi_i, spi_r;
    uint64_t request, way, reply, own_init; // what is in them; 0: there is none
    uint64_t asked_spi_i;                   // as it stands in the request
    uint32_t in_mid, out_mid, asked_mid, id;
    bool asks;
};
// All that decides what an end will do, and what the search has to know of it.
struct end {
    uint64_t key; // the same: the same end
    uint64_t head, tail;
    struct end_sa sa[END_SAS];
    uint32_t receives_by[PAIR_SAS], sends_by; // CHILD SA "c"; 0: none
    uint8_t sas, receives, unanswered;
    struct unanswered without[UNANSWERED_MAX];
};
struct moment {
    const struct scenario *sc;
    const struct end *end[2];
    const struct gram *flight[FLIGHT_MAX];
    struct lost owed[LOSSES_MAX];
    unsigned begun[2], losses, copies, in_flight, owed_count;
    bool copies_apart;
};
uint64_t hash_more(uint64_t h, const void *p, size_t n);
void end_of(struct trial *t, int side, struct end *e);
void gram_of(const struct trial *t, const struct flight *f, struct gram *g);
struct moment_room { // for that of a trial
    struct end end[2];
    struct gram gram[FLIGHT_MAX];
    struct moment m;
};
const struct moment *moment_of(struct trial *t, struct moment_room *r);
uint64_t moment_hash(const struct moment *m);
uint64_t state_hash(struct trial *t);

// ---- moment.c: what may happen then, and what is between the ends behind it
unsigned moment_events(const struct moment *m, struct event_of *e, unsigned max);
bool moment_at_end(const struct moment *m); // nothing is on its way, nothing left to begin
int event_side(const struct moment *m, const struct event_of *e); // whose end goes on by it; -1: neither
// What of the network it takes and leaves. The end that goes on by it is the caller's.
void moment_take(struct moment *m, const struct event_of *e);
bool moment_send(struct moment *m, const struct gram *g); // false: there is no room for it
bool moment_asks(const struct moment *m, int side, uint64_t spi_i, uint32_t mid);

// ---- judge.c
void judge_carriers(const struct side *s, struct end *e); // by what it sends and receives
void judge_moment(struct trial *t);
// The invariant that does not hold, in words; NULL: all do.
const char *judge_ends(const struct moment *m, char *why, size_t n);
void judge_rest(struct trial *t);

// ---- search.c
struct tally { // in memory that all forks share
    uint64_t states, transitions, ends, failed;
    uint64_t gone; // steps that the ends themselves have gone
    bool full;
    char why[WHY_MAX], order[DEPTH_MAX * 5];
};
struct search;
struct search *search_new(unsigned log2_states);
void search_free(struct search *s);
// True: all held. The first order that fails stands in the tally.
// by_ends: the ends go each step themselves, whether one has gone it before or not.
bool search_all(struct search *s, const struct scenario *sc, bool by_ends, struct tally *out);
bool search_walk(struct search *s, const struct scenario *sc, struct tally *out); // one order, at random
bool search_again(struct search *s, const struct scenario *sc, const char *order,
                  struct tally *out);                             // the order as it stands
bool search_replay(const struct scenario *sc, const char *order); // tells each step

#endif
