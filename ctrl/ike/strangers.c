// SPDX-License-Identifier: Apache-2.0
// What those who have not proved who they are may cost: keys of tables that nobody outside can aim at,
// half-open SAs counted by address, and answers counted by address.
#include "ctrl/ike/strangers.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"

// Mixed with a salt, so that nobody outside can aim at one chain of the table.
uint64_t peer_key(const struct ike *ike, uint64_t spi_i, const struct addr *a)
{
    uint64_t hi, lo;
    memcpy(&hi, a->a, 8);
    memcpy(&lo, a->a + 8, 8);
    uint64_t k = (spi_i ^ ike->peer_salt) * 0xff51afd7ed558ccdu;
    k = (k ^ (k >> 33) ^ hi) * 0xc4ceb9fe1a85ec53u;
    return (k ^ (k >> 29) ^ lo) * 0x9e3779b97f4a7c15u;
}

// --- half-open SAs, counted per peer address ---
struct half_open {
    struct table_one node; // key: peer_key of SPI 0
    unsigned count;
};

static struct half_open *half_open_find(struct ike *ike, const struct addr *a)
{
    return (struct half_open *)(void *)table_get(&ike->half_open, peer_key(ike, 0, a));
}

unsigned half_open_from(struct ike *ike, const struct addr *a)
{
    struct half_open *h = half_open_find(ike, a);
    return h ? h->count : 0;
}

void sa_set_half_open(struct ike_sa *sa, bool on)
{
    struct ike *ike = sa->ike;
    struct half_open *h = half_open_find(ike, &sa->path.remote);
    if (sa->half_open == on)
        return;
    if (on && !h) {
        h = calloc(1, sizeof(*h));
        if (!h || !table_put(&ike->half_open, &h->node, peer_key(ike, 0, &sa->path.remote))) {
            free(h);
            return;
        }
    }
    sa->half_open = on;
    ike->half_open_count += on ? 1u : -1u;
    if (h)
        h->count += on ? 1u : -1u;
    if (h && !h->count) {
        table_take(&ike->half_open, &h->node);
        free(h);
    }
}

// --- answers ---

// Counted by the address that the answers go to, so that nobody is flooded through us, and so that a flood
// from elsewhere takes nobody's answer away.
static bool take(struct ike *ike, struct by_second *slots, const struct addr *a, unsigned limit)
{
    uint64_t second = loop_now(ike->loop) / 1000;
    struct by_second *b = &slots[(peer_key(ike, 0, a) >> 32) % ANSWER_SLOTS];
    if (b->second != second)
        *b = (struct by_second){.second = second};
    return b->count++ < limit;
}

bool may_answer(struct ike *ike, const struct addr *a, unsigned limit)
{
    return take(ike, ike->answers, a, limit);
}

// Apart from the answers, which are taken from an address by whoever pretends to be there.
bool may_choose(struct ike *ike, const struct addr *a)
{
    return take(ike, ike->choices, a, CHOICES_A_SECOND);
}

enum { COMPLAINTS_A_SECOND = 2 }; // to one address

// Answers to anyone at all are at most ten a second; nobody alone uses them up.
bool may_complain(struct ike *ike, const struct addr *a)
{
    uint64_t now = loop_now(ike->loop);
    if (!may_answer(ike, a, COMPLAINTS_A_SECOND))
        return false;
    if (now - ike->error_at >= 1000) {
        ike->error_at = now;
        ike->error_count = 0;
    }
    return ike->error_count++ < 10;
}

// --- proofs by signature, each of which costs a path of certificates and a verification ---

enum { FAILED_PROOFS = 16, PROOF_WINDOW_MS = 10000 };

static unsigned *failed_proofs(struct ike *ike, const struct addr *a)
{
    uint64_t window = loop_now(ike->loop) / PROOF_WINDOW_MS,
             slot = (peer_key(ike, 0, a) >> 32) % ANSWER_SLOTS;
    if (ike->failed_proofs[slot].window != window) {
        ike->failed_proofs[slot].window = window;
        ike->failed_proofs[slot].count = 0;
    }
    return &ike->failed_proofs[slot].count;
}

bool may_prove(struct ike *ike, const struct addr *a)
{
    return *failed_proofs(ike, a) < FAILED_PROOFS;
}

void proof_failed(struct ike *ike, const struct addr *a)
{
    ++*failed_proofs(ike, a);
}
