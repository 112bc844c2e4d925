// SPDX-License-Identifier: Apache-2.0
// The card engine over the card made of C, for the test_card programs: a pair of SAs, jobs, and what waits
// for events.
#ifndef ESPALIER_TESTS_CARD_RIG_H
#define ESPALIER_TESTS_CARD_RIG_H

#include "drv_util.h"

#include "drv_fake_card.h"

enum { BUF = 2048, MANY = 64 };

struct fixture {
    struct fake_card *card;
    struct esp_engine *e;
    struct esp_pool *pool;
    struct esp_job job[MANY];
    struct esp_sa *tx, *rx;
};

// A card that is well, its engine, and buffers in every job; rig_end: of engine and card alone.
int rig_setup(void **state);
int rig_setup_with(void **state, const struct fake_options *o); // another card
void rig_end(struct fixture *f);
int rig_teardown(void **state);
struct esp_sa_params card_params(enum esp_dir dir, uint32_t spi);
void add_pair(struct fixture *f);
struct esp_job *encap_job(struct fixture *f, int i, uint32_t len);
struct esp_job *decap_job(struct fixture *f, int i, uint32_t spi, uint64_t seq);
unsigned snapshots(struct fixture *f);
// Acknowledged accesses, begun after this call: the card has seen every doorbell before them.
void sync_card(struct fixture *f);
int sleep_on(struct esp_engine *e, int ms);
// Asks and polls until FAILED comes; any other event before it is a failure of the test.
struct esp_event wait_failed(struct fixture *f);
void there_and_back(struct fixture *f, int n); // n packets through the outbound SA

#endif
