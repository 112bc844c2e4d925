// SPDX-License-Identifier: Apache-2.0
// A card engine for the tests of path: it seals and opens with a software engine inside, so its bytes are
// right, and answers when and as the test says. esp_card_open gives the one that fake_plug has put in.
#ifndef TESTS_PATH_FAKE_H
#define TESTS_PATH_FAKE_H

#include <stdatomic.h>

#include "ctrl/lib/conn.h"
#include "ctrl/path/kernel.h"
#include "espalier/engine.h"

#define FAKE_JOBS   512
#define FAKE_EVENTS 2048

struct fake_sa {
    struct fake_card *card;
    struct esp_sa *inner;
    struct esp_sa_params params;
    void *cookie;
    bool live, deleting;
};
struct fake_card {
    struct esp_engine base; // first
    struct esp_queue queue, *list[1];
    struct esp_engine *inner;
    struct fake_sa *sas[64];
    unsigned sa_count;
    struct esp_job *jobs[FAKE_JOBS];
    unsigned job_head, job_tail;
    struct esp_event events[FAKE_EVENTS];
    unsigned event_head, event_tail;
    // what the test says; by direction where there are two
    int capable_rc;
    int add_rc[2], add_rc_times[2]; // sa_add returns this so often (-1: always)
    enum esp_status refuse[2];      // the answer to sa_add
    unsigned slots;                 // 0: any number
    int lease_rc;
    enum esp_status lease_status;
    bool moves;                  // changes an SA's ends in place
    enum esp_status refuse_ends; // ... but says so afterwards
    bool hold_events, hold_jobs;
    unsigned jobs_left;              // with hold_jobs: so many still come back
    bool loud;                       // cannot be shown silent
    bool mute;                       // hands nothing over
    bool lies;                       // says OK and writes nothing
    bool forgets;                    // says that it has no inbound SA
    bool expired;                    // has stopped every outbound SA
    bool stopped;                    // the queue: jobs come back ABORTED, unseen
    struct esp_job given[FAKE_JOBS]; // what it has given back: it can still write to those buffers
    unsigned given_count;
    // what it saw
    bool failed, destroyed;
    unsigned leases, deletes;
    uint64_t last_limit; // the highest lease end asked for, any SA
};

struct kernel *fake_kernel(void); // counts what it is told
extern int
    fake_way; // of the last route to 10.2.0.0/16: by which interface it leads past the TUN; 0: into the TUN
extern int fake_way_to; // by which a packet of ours goes to a peer, or -errno
extern int (*fake_kernel_engine)(struct esp_engine **e, struct esp_error *err); // NULL: there is none
extern int fake_routes;                                                         // added less removed
extern int fake_blocks;
extern int fake_addresses, fake_address_rc; // on the TUN; what putting one there gives
extern uint64_t fake_tun_lost;              // what the kernel says of the TUN's queue
extern atomic_bool fake_open_held;          // the card is not opened before this is false, or it is given up
extern int fake_open_rc;                    // not 0: what opening a card gives, whatever is plugged
extern unsigned fake_opens;                 // tries
extern int fake_block_fails_in; // the n-th block policy to be added from now on is refused; 0: none
#define FAKE_CHANGES 256
struct fake_change {
    bool add;
    struct ts local, remote;
};
extern struct fake_change fake_changes[FAKE_CHANGES]; // of block policies
extern unsigned fake_change_count;
void fake_plug(struct fake_card *f); // NULL: none
void fake_init(struct fake_card *f);
void fake_fail(struct fake_card *f);
void fake_scribble(struct fake_card *f);       // over every buffer that it ever had
void fake_lose_events(struct fake_card *f);    // those that wait: the card never came to give them
void fake_stale_events(struct fake_card *f);   // after FAILED: that every SA has been deleted
unsigned fake_live(const struct fake_card *f); // SAs that it holds
unsigned fake_jobs(const struct fake_card *f); // jobs that it holds

#endif
