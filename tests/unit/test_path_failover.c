// SPDX-License-Identifier: Apache-2.0
// The card comes, fails and comes back under the path room: every packet leaves once, in order, and no number
// is used twice.
#include "tests/unit/path_rig.h"
#include "tests/unit/busy.h"
#include "ctrl/lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail_over(struct rig *r)
{
    fake_fail(&r->card);
    rig_turn(r);
    assert_null(path_card(r->p));
    assert_true(r->card.destroyed);
}

static void test_failure_runs_aborted_then_backlog_then_new_in_order(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_out(r, 0, 20);
    r->card.hold_jobs = true;
    rig_out(r, 20, 700); // 512 in the card, the rest in the backlog
    assert_int_equal(fake_jobs(&r->card), FAKE_JOBS);
    uint64_t limit = r->card.last_limit;
    fail_over(r);
    rig_out(r, 720, 30);
    rig_expect(r, 0, 750);
    rig_unique(r);
    assert_true(r->p->children->out.last_seq == limit + 729); // from the lease's end on, without a gap
    assert_int_equal(r->p->worker->rerun, FAKE_JOBS);
    assert_int_equal(rig_events(r, CHILD_EVENT_MOVED), 1);
    assert_string_equal(child_offload(r->p->children), "software");
}

// However many there are, and in whichever queue: none that has been taken in is lost, the newest neither.
static void test_failure_with_long_queues_loses_none(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    r->card.hold_jobs = true;
    rig_out(r, 0, 1000); // 512 in the card, the rest in the backlog
    rig_in(r, 0x1001, "10.2.0.1", 1);
    fail_over(r);
    rig_expect(r, 0, 1000);
    assert_int_equal(rig_read(r), 1);
    assert_int_equal(r->p->worker->queue_full, 0);
    rig_unique(r);
}

static void test_failure_while_waiting_for_a_lease_keeps_order(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    r->card.hold_events = true;
    rig_out(r, 0, 100); // 36 wait
    fake_lose_events(&r->card);
    fail_over(r);
    rig_expect(r, 0, 100);
    rig_unique(r);
}

static void test_failure_keeps_what_inbound_has_seen(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_in(r, 0x1001, "10.2.0.1", 1);
    assert_int_equal(rig_read(r), 1);
    r->card.hold_jobs = true;
    rig_in(r, 0x1001, "10.2.0.1", 2);
    assert_int_equal(rig_read(r), UINT32_MAX);
    fail_over(r);
    assert_int_equal(rig_read(r), 2); // seen by nobody: run again, not taken for a replay
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_REPLAY_SEEN], 0);
    assert_int_equal(rig_read(r), UINT32_MAX);
}

// Its keys are gone a moment before it is known to have failed: the packets are still here.
static void test_failure_after_a_card_has_forgotten_its_sas_loses_nothing(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    r->card.forgets = r->card.hold_jobs = true;
    r->card.jobs_left = 1;
    rig_in(r, 0x1001, "10.2.0.1", 1);
    assert_int_equal(rig_read(r), UINT32_MAX);
    fail_over(r);
    assert_int_equal(rig_read(r), 1);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_NO_SA], 0);
}

// One SA alone is lost: it goes on in software with its window, and the card goes on with the others.
static void test_an_inbound_sa_that_a_card_has_lost_goes_to_software(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_in(r, 0x1001, "10.2.0.1", 1);
    assert_int_equal(rig_read(r), 1);
    r->card.forgets = true;
    rig_in(r, 0x1001, "10.2.0.1", 2);
    rig_turn(r);
    assert_int_equal(rig_read(r), 2);
    assert_string_equal(child_offload(r->p->children), "software");
    assert_string_equal(child_reason(r->p->children), "the card has lost it");
    assert_int_equal(r->p->failovers, 0);
    rig_in(r, 0x5555, "10.2.0.1", 3); // an SPI that nobody has
    assert_int_equal(rig_read(r), UINT32_MAX);
}

// A card that does not answer is opened beside the packets.
static void test_software_goes_on_while_a_slow_card_is_being_opened(void **state)
{
    struct rig *r = *state;
    r->now_us = 0; // a thread opens the card meanwhile
    rig_must_install(r, 1, OFFLOAD_AUTO, "software");
    r->p->threads = true;
    atomic_store(&fake_open_held, true);
    fake_init(&r->card);
    fake_plug(&r->card);
    card_scan(r->p);
    assert_int_equal(r->p->engines[PATH_CARD].state, ENGINE_OPENING);
    for (uint32_t n = 0; n < 100; n++) { // whoever waited for the card here would wait for ever
        rig_in(r, 0x1001, "10.2.0.1", n);
        assert_int_equal(rig_read(r), n);
        card_scan(r->p); // not a second time
    }
    assert_null(path_card(r->p));
    atomic_store(&fake_open_held, false);
    for (uint64_t end = loop_now_us(r->p->loop) + PATIENCE_MS * 1000ull;
         !path_card(r->p) && loop_now_us(r->p->loop) < end;)
        loop_once(r->p->loop, 50);
    assert_ptr_equal(path_card(r->p), &r->card.base);
    rig_must_install(r, 2, OFFLOAD_AUTO, "card");
}

// At the end of path it would otherwise be waited for, or left behind.
static void test_a_card_that_is_being_opened_at_the_end_is_given_up(void **state)
{
    struct rig *r = *state;
    struct path_engine *en = &r->p->engines[PATH_CARD];
    fake_init(&r->card);
    fake_plug(&r->card);
    r->p->threads = true;
    atomic_store(&fake_open_held, true);
    card_scan(r->p);
    assert_int_equal(en->state, ENGINE_OPENING);
    card_close(r->p);
    atomic_store(&fake_open_held, false);
    assert_false(r->p->thread_left);
    assert_non_null(r->p->worker->dma);
    assert_int_equal(en->state, ENGINE_ABSENT);
    assert_null(en->opener);
}

// So many tries in the ms that pass: path looks twice in each second.
static unsigned tries(struct rig *r, unsigned ms)
{
    unsigned before = fake_opens;
    for (unsigned i = 0; i < ms; i += 500) {
        r->now_us += 500 * 1000;
        card_scan(r->p);
    }
    return fake_opens - before;
}

// Each try resets it: the first one is made at the next look, and then one after a while that doubles.
static void test_a_card_that_fails_its_self_test_is_tried_ever_more_seldom(void **state)
{
    static const unsigned waits[] = {500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    struct rig *r = *state;
    struct path_engine *en = &r->p->engines[PATH_CARD];
    rig_must_install(r, 1, OFFLOAD_AUTO, "software");
    fake_open_rc = -EIO;
    card_scan(r->p);
    for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        assert_int_equal(tries(r, waits[i] - 500), 0);
        assert_int_equal(tries(r, 500), 1);
    }
    fake_open_rc = 0;
    r->now_us += 60 * 1000000;
    rig_card(r);
    rig_turn(r);
    assert_int_equal(fake_live(&r->card), 2); // no SA has known of all that
    fail_over(r);
    assert_int_equal(en->backoff, 0);
    fake_open_rc = -EIO; // and it counts anew
    assert_int_equal(tries(r, 500), 1);
    assert_int_equal(tries(r, 500), 1);
    assert_int_equal(tries(r, 500), 0);
}

// A card that has failed in use is not tried more often because it does not pass its test either.
static void test_a_self_test_that_fails_does_not_end_the_back_off(void **state)
{
    struct rig *r = *state;
    struct path_engine *en = &r->p->engines[PATH_CARD];
    rig_card(r);
    for (int i = 0; i < 5; i++) {
        fail_over(r);
        if (i < 4)
            r->now_us = (en->retry_at + 1) * 1000, rig_card(r);
    }
    assert_int_equal(en->backoff, 8000);
    fake_open_rc = -EIO;
    assert_int_equal(tries(r, 8000), 1);
    assert_int_equal(tries(r, 7500), 0);
    assert_int_equal(tries(r, 500), 1);
}

// Where nobody is there, a look costs nothing: it is found as soon as it comes.
static void test_a_card_that_is_not_there_is_looked_for_all_the_time(void **state)
{
    static const int codes[] = {-ENODEV, -ECONNREFUSED};
    struct rig *r = *state;
    for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        fake_open_rc = codes[i];
        assert_int_equal(tries(r, 60000), 120);
    }
    fake_open_rc = 0;
    rig_card(r);
}

static void test_a_card_that_may_write_on_gets_its_buffers_for_good(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    r->card.hold_jobs = r->card.loud = true;
    rig_out(r, 0, 100);
    uint8_t *in = r->card.jobs[0]->in, *out = r->card.jobs[0]->out;
    fail_over(r);
    assert_int_equal(r->sent_count, 0);
    for (const struct packet *i = r->p->worker->free; i; i = i->next)
        assert_true(i->job.in != in && i->job.out != out && i->job.in != out && i->job.out != in);
    r->p->engines[PATH_CARD].retry_at = 0;
    card_scan(r->p); // nor is it ever taken again
    assert_null(path_card(r->p));
}

// The card is taken again at once, and after a while that doubles with each failure soon after.
static void test_a_card_comes_back_after_its_failure(void **state)
{
    static const uint64_t waits[] = {0, 1000, 2000, 4000};
    struct rig *r = *state;
    struct path_engine *en;
    rig_card(r);
    en = &r->p->engines[PATH_CARD];
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    fail_over(r);
    for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        assert_int_equal(en->state, ENGINE_BACKOFF);
        assert_int_equal(en->backoff, waits[i]);
        fake_init(&r->card);
        fake_plug(&r->card);
        card_scan(r->p);
        assert_true((path_card(r->p) != NULL) == (waits[i] == 0));
        if (waits[i]) {
            en->retry_at = 0;
            card_scan(r->p);
        }
        assert_int_equal(en->state, ENGINE_READY);
        rig_must_install(r, 10 + i, OFFLOAD_AUTO, "card");
        rig_out(r, 1000 * i, 10);
        fail_over(r);
    }
    rig_out(r, 9000, 10);
    rig_unique(r);
    assert_int_equal(r->p->failovers, 5);
}

// One that was well for a hundred times the longest back-off is no worse than one that has never failed.
static void test_a_card_that_was_well_for_long_is_taken_again_at_once(void **state)
{
    struct rig *r = *state;
    struct path_engine *en = &r->p->engines[PATH_CARD];
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    for (int i = 0; i < 3; i++) {
        fail_over(r);
        en->retry_at = 0;
        rig_card(r);
    }
    assert_int_equal(en->backoff, 2000);
    r->now_us += 100 * 60000 * 1000ull - 1000;
    fail_over(r);
    assert_int_equal(en->backoff, 4000);
    r->now_us += 4000 * 1000ull;
    rig_card(r);
    r->now_us += 100 * 60000 * 1000ull;
    fail_over(r);
    assert_int_equal(en->backoff, 0);
}

// Every 101 s, for ever: soon its SAs stay in software.
static void test_a_card_that_fails_at_even_intervals_backs_off(void **state)
{
    static const uint64_t waits[] = {0, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    struct rig *r = *state;
    struct path_engine *en = &r->p->engines[PATH_CARD];
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    for (unsigned i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        r->now_us += 101 * 1000000;
        card_scan(r->p);
        rig_turn(r);
        assert_int_equal(fake_live(&r->card), i && 10 * waits[i - 1] > 101000 ? 0 : 2);
        fail_over(r);
        assert_int_equal(en->backoff, waits[i]);
        r->now_us += 1000 * waits[i];
        rig_card(r);
    }
}

static char told[400]; // the last line about an SA

static void keep(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                 const char *text)
{
    (void)ctx, (void)s, (void)level, (void)ike_name, (void)ike_id;
    if (strstr(text, "software"))
        snprintf(told, sizeof(told), "%s", text);
}

// Those that were in software all the time have not waited.
static void test_service_is_back_with_the_first_packet_of_what_the_card_had(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_pass(r, 0);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    fake_fail(&r->card);
    rig_turn(r);
    rig_pass(r, 3);
    rig_out(r, 0, 1); // by the newer one
    assert_int_equal(r->p->failover_resume_us, 0);
    sadb_delete(r->p, 2);
    rig_turn(r);
    rig_pass(r, 4);
    rig_out(r, 1, 1);
    rig_expect(r, 0, 2);
    assert_int_equal(r->p->failover_resume_us, 7000);
}

// An SA that is made after the failure has never been on that card: it says since when there is none.
static void test_an_sa_made_after_a_failure_says_since_when_there_is_no_card(void **state)
{
    struct rig *r = *state;
    char failed[200], since[240];
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    fail_over(r);
    snprintf(failed, sizeof(failed), "%s", child_reason(r->p->children));
    assert_memory_equal(failed, "card ", 5);
    assert_non_null(strstr(failed, " failed: "));
    snprintf(since, sizeof(since), "no card since %s", failed);
    log_set_all(1);
    log_set_sink(keep, NULL);
    rig_must_install(r, 2, OFFLOAD_AUTO, "software");
    log_set_sink(NULL, NULL);
    log_set_all(-1);
    assert_string_equal(child_reason(sadb_by_id(r->p, 2)), since);
    assert_non_null(strstr(told, since));
    assert_string_equal(child_reason(sadb_by_id(r->p, 1)), failed); // which it was on
}

// After a second failure: it has been opened; then it has been well for long enough to get its SAs back.
static void be_well(struct rig *r)
{
    struct path_engine *en = &r->p->engines[PATH_CARD];
    assert_int_equal(en->state, ENGINE_READY);
    en->ready_at -= 10 * en->backoff;
    card_scan(r->p);
}

static void come_back(struct rig *r)
{
    r->p->engines[PATH_CARD].retry_at = 0;
    rig_card(r);
}

// An SA goes to software when the card fails and back when it returns, under traffic both ways: every packet
// once and in order, no number twice, nothing received twice.
static void test_sas_go_back_to_a_card_that_has_come_back(void **state)
{
    struct rig *r = *state;
    uint8_t first[2600];
    size_t first_len;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    struct child *c = r->p->children;
    rig_out(r, 0, 30);
    fail_over(r);
    rig_out(r, 30, 30);
    rig_in(r, 0x1001, "10.2.0.1", 500);
    assert_int_equal(rig_read(r), 500);
    first_len = r->last_in_len;
    memcpy(first, r->last_in, first_len);
    uint64_t last = c->out.last_seq;
    come_back(r);
    for (uint32_t i = 60; i < 75; i++) // while it moves
        assert_true(rig_write(r, i));
    rig_turn(r);
    rig_out(r, 75, 25);
    rig_expect(r, 0, 100);
    rig_unique(r);
    assert_string_equal(child_offload(c), "card");
    assert_string_equal(child_reason(c), "");
    assert_int_equal(fake_live(&r->card), 2);
    assert_true(c->out.last_seq == last + 40); // it left software in order: no number was skipped
    rig_datagram(r, first, first_len);
    assert_int_equal(rig_read(r), UINT32_MAX); // the window came along
    rig_in(r, 0x1001, "10.2.0.1", 501);
    assert_int_equal(rig_read(r), 501);
    fail_over(r);
    rig_out(r, 100, 10);
    rig_expect(r, 100, 10);
    rig_unique(r);
}

static void test_sas_wait_until_a_card_that_flaps_is_well(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    struct child *c = r->p->children;
    fail_over(r);
    come_back(r);
    rig_turn(r);
    assert_int_equal(fake_live(&r->card), 2); // at once
    fail_over(r);
    come_back(r);
    card_scan(r->p);
    rig_turn(r);
    assert_int_equal(fake_live(&r->card), 0); // not yet
    assert_string_equal(child_offload(c), "software");
    be_well(r);
    rig_turn(r);
    assert_int_equal(fake_live(&r->card), 2);
    rig_out(r, 0, 10);
    rig_expect(r, 0, 10);
    assert_string_equal(child_offload(c), "card");
}

static void test_an_sa_that_missed_the_card_gets_it_when_it_appears(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_AUTO, "software");
    struct child *c = r->p->children;
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    rig_out(r, 0, 10);
    rig_card(r);
    card_scan(r->p);
    rig_out(r, 10, 10);
    rig_expect(r, 0, 20);
    rig_unique(r);
    assert_string_equal(child_offload(c), "card");
    assert_string_equal(child_offload(r->p->children), "software"); // which does not want it
    assert_int_equal(fake_live(&r->card), 2);
}

// Each way in which the way back can end: refused by direction, no room, failed again in the middle. The SA
// lives on in software, whatever its hw_offload says.
static void test_a_way_back_that_fails_ends_in_software(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    struct child *c = r->p->children;
    uint32_t n = 0;
    fail_over(r);
    for (int how = 0; how < 5; how++) {
        fake_init(&r->card);
        fake_plug(&r->card);
        if (how < 2)
            r->card.refuse[how] = ESP_STATUS_BUCKET_FULL;
        else if (how < 4)
            r->card.add_rc[how - 2] = -ENOSPC, r->card.add_rc_times[how - 2] = -1;
        else
            r->card.hold_events = true; // it is being added when the card fails
        r->p->engines[PATH_CARD].retry_at = 0;
        card_scan(r->p);
        be_well(r);
        rig_out(r, n, 20);
        n += 20;
        if (how == 4)
            fake_lose_events(&r->card);
        fail_over(r);
        rig_out(r, n, 20);
        n += 20;
        assert_ptr_equal(r->p->children, c);
        assert_string_equal(child_offload(c), "software");
        rig_expect(r, 0 + (uint32_t)how * 40, 40);
        rig_in(r, 0x1001, "10.2.0.1", 600 + (uint32_t)how);
        assert_int_equal(rig_read(r), 600 + (uint32_t)how);
    }
    rig_unique(r);
    assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 0);
}

static void test_failure_in_the_middle_of_installation(void **state)
{
    struct rig *r = *state;
    char text[400];
    bool ok = false;
    rig_card(r);
    r->card.hold_events = true;
    rig_install(r, 1, OFFLOAD_AUTO, 0);
    rig_out(r, 0, 10);
    fail_over(r);
    assert_true(rig_result(r, &ok, text, sizeof(text)) && ok);
    rig_expect(r, 0, 10);
    rig_unique(r);
}

static void test_failure_with_a_deletion_under_way(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    r->card.hold_jobs = true;
    rig_out(r, 0, 10);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_non_null(r->p->children); // its packets are out
    fail_over(r);
    assert_null(r->p->children);
    rig_expect(r, 0, 10); // they leave by software
    rig_unique(r);
}

static void test_failure_and_deletion_before_it_is_told(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    r->card.hold_events = true;
    rig_out(r, 0, 40);    // a lease has been asked for, its answer waits
    fake_fail(&r->card);  // events come again, the lease's first
    sadb_delete(r->p, 1); // refused by the engine: it has failed
    assert_non_null(r->p->children);
    rig_turn(r);
    assert_null(r->p->children);
}

static void test_what_a_failed_card_says_later_is_not_heard(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_must_install(r, 2, OFFLOAD_AUTO, "card");
    r->card.hold_events = true;
    sadb_delete(r->p, 1); // gone with the failure, and its memory
    fake_fail(&r->card);
    fake_stale_events(&r->card);
    rig_turn(r);
    assert_int_equal(r->p->children->c.child_id, 2);
    rig_out(r, 0, 10);
    rig_expect(r, 0, 10);
}

static void test_a_card_that_may_not_be_silent_ends_the_child_and_ike_is_told(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_out(r, 0, 10);
    r->card.hold_jobs = r->card.loud = true;
    rig_out(r, 10, 30);
    r->card.hold_events = true;
    fail_over(r);
    assert_null(r->p->children);
    assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 1);
    rig_out(r, 40, 10);
    rig_expect(r, 0, 10); // nothing after the failure, neither in clear nor under a number of the card's
    rig_must_install(r, 2, OFFLOAD_AUTO, "software");
    rig_expect(r, 40, 10); // they asked for it
    rig_out(r, 50, 10);
    rig_expect(r, 50, 10);
}

static void test_a_card_that_hands_nothing_over_with_packets_waiting_for_a_lease(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    r->card.hold_events = r->card.mute = true;
    rig_out(r, 0, 100);
    fake_lose_events(&r->card);
    fail_over(r);
    assert_null(r->p->children);
    rig_expect(r, 0, 64);
}

static void test_failure_counts_a_limit_on(void **state)
{
    struct rig *r = *state;
    char text[400];
    bool ok = false;
    rig_card(r);
    rig_install(r, 1, OFFLOAD_AUTO, 20);
    rig_turn(r);
    assert_true(rig_result(r, &ok, text, sizeof(text)) && ok);
    rig_out(r, 0, 15);
    fail_over(r);
    rig_out(r, 15, 15);
    rig_expect(r, 0, 20);
    assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 1);
}

static void test_what_is_not_the_sas_esp_does_not_leave(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_in(r, 0x1001, "10.2.0.1", 1); // an out buffer now holds an inner packet in clear
    r->card.lies = true;
    rig_out(r, 0, 10);
    assert_int_equal(r->sent_count, 0);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_DMA_ERROR], 10);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_failure_runs_aborted_then_backlog_then_new_in_order),
        WITH(test_failure_with_long_queues_loses_none),
        WITH(test_failure_while_waiting_for_a_lease_keeps_order),
        WITH(test_failure_keeps_what_inbound_has_seen),
        WITH(test_failure_after_a_card_has_forgotten_its_sas_loses_nothing),
        WITH(test_an_inbound_sa_that_a_card_has_lost_goes_to_software),
        WITH(test_software_goes_on_while_a_slow_card_is_being_opened),
        WITH(test_a_card_that_is_being_opened_at_the_end_is_given_up),
        WITH(test_a_card_that_fails_its_self_test_is_tried_ever_more_seldom),
        WITH(test_a_self_test_that_fails_does_not_end_the_back_off),
        WITH(test_a_card_that_is_not_there_is_looked_for_all_the_time),
        WITH(test_a_card_that_may_write_on_gets_its_buffers_for_good),
        WITH(test_a_card_comes_back_after_its_failure),
        WITH(test_a_card_that_was_well_for_long_is_taken_again_at_once),
        WITH(test_a_card_that_fails_at_even_intervals_backs_off),
        WITH(test_service_is_back_with_the_first_packet_of_what_the_card_had),
        WITH(test_an_sa_made_after_a_failure_says_since_when_there_is_no_card),
        WITH(test_sas_go_back_to_a_card_that_has_come_back),
        WITH(test_sas_wait_until_a_card_that_flaps_is_well),
        WITH(test_an_sa_that_missed_the_card_gets_it_when_it_appears),
        WITH(test_a_way_back_that_fails_ends_in_software),
        WITH(test_failure_in_the_middle_of_installation),
        WITH(test_failure_with_a_deletion_under_way),
        WITH(test_failure_and_deletion_before_it_is_told),
        WITH(test_what_a_failed_card_says_later_is_not_heard),
        WITH(test_a_card_that_may_not_be_silent_ends_the_child_and_ike_is_told),
        WITH(test_a_card_that_hands_nothing_over_with_packets_waiting_for_a_lease),
        WITH(test_failure_counts_a_limit_on),
        WITH(test_what_is_not_the_sas_esp_does_not_leave),
    };
    return cmocka_run_group_tests_name("the path room over a card's failures", tests, NULL, NULL);
}
