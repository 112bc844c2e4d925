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

enum { ACTS_MAX = 4, FLIGHT_MAX = 64, SEEN_MAX = 512, DEPTH_MAX = 400, LOSSES_MAX = 8, WHY_MAX = 300 };

// ---- what the ends do, a letter each
#define ACT_LETTERS "cidDlmn"
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
struct cause { // of random numbers: how often it has been one
    uint64_t of;
    unsigned times;
};
struct lost { // an exchange of which a datagram was lost: its request goes out again
    uint64_t spi_i;
    uint32_t mid;
    int by; // who asks
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
    unsigned answered_again;    // responses that went out
    bool resting, copies_apart; // copies_apart: trial_copies has what would come of copies
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
unsigned trial_events(const struct trial *t, struct event_of *e, unsigned max);
void trial_do(struct trial *t, const struct event_of *e);
uint64_t trial_opened(const struct trial *t, const uint8_t *datagram, size_t len); // a hash of what is in it
const struct ike_sa *trial_asks(const struct trial *t, int side, uint64_t spi_i, uint32_t mid); // or NULL
// Whatever has arrived comes once more, and must change nothing. An IKE_SA_INIT request may: it is no part of
// this, and comes by EV_KEEP.
void trial_copies(struct trial *t);
bool trial_at_end(const struct trial *t); // nothing is on its way, nothing left to begin
void trial_rest(struct trial *t);         // minutes, in which all arrives
void trial_fail(struct trial *t, const char *invariant, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool event_read(const struct trial *t, const char *text, struct event_of *e);

// ---- state.c
uint64_t state_hash(const struct trial *t);
uint64_t hash_more(uint64_t h, const void *p, size_t n);

// ---- judge.c
void judge_moment(struct trial *t);
void judge_rest(struct trial *t);

// ---- search.c
struct tally { // in memory that all forks share
    uint64_t states, transitions, ends, failed;
    bool full;
    char why[WHY_MAX], order[DEPTH_MAX * 5];
};
struct search;
struct search *search_new(unsigned log2_states);
void search_free(struct search *s);
// True: all held. The first order that fails stands in the tally.
bool search_all(struct search *s, const struct scenario *sc, struct tally *out);
bool search_walk(struct search *s, const struct scenario *sc, struct tally *out); // one order, at random
bool search_again(struct search *s, const struct scenario *sc, const char *order,
                  struct tally *out);                             // the order as it stands
bool search_replay(const struct scenario *sc, const char *order); // tells each step

#endif
