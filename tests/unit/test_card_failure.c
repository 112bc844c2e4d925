// SPDX-License-Identifier: Apache-2.0
// Every way in which a card can fail or lie: the engine falls silent, says so, and gives the jobs back in
// order.
#include "card_rig.h"

#include <errno.h>
#include <poll.h>

#include "driver/card/card.h"

// Three good encapsulations and decapsulations, then the fault with jobs outstanding.
static struct esp_event provoke(struct fixture *f, enum fake_fault fault, const char *word)
{
    struct esp_job *list[8];
    struct esp_event ev;

    add_pair(f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run_job(f->e, encap_job(f, 0, 40)), ESP_STATUS_OK);
        assert_int_equal(run_job(f->e, decap_job(f, 1, 7, (uint64_t)i * 2 + 1)), ESP_STATUS_OK);
    }
    fake_card_fault(f->card, fault);
    for (int i = 0; i < 8; i++)
        list[i] = i % 2 ? decap_job(f, i, 7, 20 + (uint64_t)i) : encap_job(f, i, 40);
    assert_true(esp_submit(f->e, list, 8) <= 8);
    ev = wait_failed(f);
    if (!strstr(ev.error.text, word))
        fail_msg("\"%s\" does not say \"%s\"", ev.error.text, word);
    return ev;
}

static void check_after_failure(struct fixture *f)
{
    struct esp_sa_params out = card_params(ESP_OUT, 7), in = card_params(ESP_IN, 7);
    struct esp_job *job = encap_job(f, 0, 40), *back;
    struct esp_error err;
    struct esp_sa *sa;

    while (esp_poll(f->e, &back, 1))
        assert_int_equal(back->status, ESP_STATUS_ABORTED);
    assert_int_equal(esp_submit(f->e, &job, 1), 0);
    assert_int_equal(f->e->ops->sa_add(f->e, &out, NULL, &sa, &err), -ENODEV);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &out), 0);
    assert_true(out.seq == 1000); // the lease's end, whatever was used of it
    assert_int_equal(f->e->ops->sa_handover(f->e, f->rx, &in), 0);
    assert_true(in.seq == 5);
    assert_true(in.seen[0] == 0x15); // 5, 3, 1: exactly what poll has returned
    assert_false(esp_arm(f->e));
    assert_int_equal(sleep_on(f->e, 20), 0);
}

static void test_nonsense_completions_fail_the_card(void **unused)
{
    static const struct {
        enum fake_fault fault;
        const char *word;
    } cases[] = {
        {FAKE_BAD_COOKIE, "cookie"},     {FAKE_BAD_EPOCH, "epoch"},         {FAKE_BAD_LENGTH, "length"},
        {FAKE_BAD_HEAD, "consumed"},     {FAKE_BAD_STATUS, "status"},       {FAKE_BAD_SLOT, "SA"},
        {FAKE_REPEAT_SEQ, "repeats"},    {FAKE_BEYOND_LEASE, "lease"},      {FAKE_NO_DESC, "descriptor"},
        {FAKE_NO_DMA, "could not read"}, {FAKE_NO_SA, "know the job's SA"}, {FAKE_LOST_SA, "FATAL"},
    };

    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_setup(&state);
        provoke(state, cases[i].fault, cases[i].word);
        assert_false(fake_card_master(((struct fixture *)state)->card));
        check_after_failure(state);
        rig_teardown(&state);
    }
}

static void test_second_pass_of_a_sequence_fails_the_card(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job;

    add_pair(f);
    assert_int_equal(run_job(f->e, decap_job(f, 0, 7, 1)), ESP_STATUS_OK);
    fake_card_fault(f->card, FAKE_SEEN_TWICE);
    job = decap_job(f, 1, 7, 9);
    esp_submit(f->e, &job, 1);
    assert_non_null(strstr(wait_failed(f).error.text, "second time"));
}

// Such a number would close the window of the engine that takes the SA over.
static void test_a_number_that_cannot_be_received_fails_the_card(void **unused)
{
    static const struct {
        bool esn;
        enum fake_fault fault;
        const char *word;
    } cases[] = {{false, FAKE_WIDE_SEQ, "32 bits"},
                 {true, FAKE_WIDE_SEQ, "2^32"},
                 {false, FAKE_ZERO_SEQ, "number 0"},
                 {true, FAKE_ZERO_SEQ, "number 0"}};
    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct esp_sa_params in = card_params(ESP_IN, 7);
        struct esp_job *job;
        struct fixture *f;

        rig_setup(&state);
        f = state;
        in.esn = cases[i].esn;
        f->rx = must_add(f->e, &in);
        assert_int_equal(run_job(f->e, decap_job(f, 0, 7, 5)), ESP_STATUS_OK);
        fake_card_fault(f->card, cases[i].fault);
        job = decap_job(f, 1, 7, 9);
        esp_submit(f->e, &job, 1);
        assert_non_null(strstr(wait_failed(f).error.text, cases[i].word));
        in = card_params(ESP_IN, 7);
        assert_int_equal(f->e->ops->sa_handover(f->e, f->rx, &in), 0);
        assert_true(in.seq == 5);
        rig_teardown(&state);
    }
}

// To an SA in transport mode a card refuses IP options before it looks at the ICV: no number that such a
// packet claims, which anybody can send, counts as received or fails the card. In a tunnel BAD_IP is said of
// what the peer has sealed.
static void test_a_number_refused_for_its_header_counts_in_tunnels_alone(void **unused)
{
    static const uint64_t claimed[] = {9, 0, 1ull << 40};
    void *state;

    (void)unused;
    for (int i = 0; i < 4; i++) {
        struct esp_sa_params in = card_params(ESP_IN, 7);
        bool transport = i / 2;
        struct fixture *f;

        rig_setup(&state);
        f = state;
        in.esn = i % 2;
        in.mode = transport ? ESP_TRANSPORT : ESP_TUNNEL;
        f->rx = must_add(f->e, &in);
        assert_int_equal(run_job(f->e, decap_job(f, 0, 7, 5)), ESP_STATUS_OK);
        fake_card_fault(f->card, FAKE_BAD_IP);
        for (int n = 0; n < (transport ? 3 : 1); n++)
            assert_int_equal(run_job(f->e, decap_job(f, 1, 7, claimed[n])), ESP_STATUS_BAD_IP);
        if (transport) {
            fake_card_fault(f->card, FAKE_GOOD);
            assert_int_equal(run_job(f->e, decap_job(f, 0, 7, 8)), ESP_STATUS_OK);
            assert_int_equal(run_job(f->e, decap_job(f, 0, 7, 9)), ESP_STATUS_OK);
        }
        fake_card_fault(f->card, FAKE_FATAL);
        wait_failed(f);
        assert_int_equal(f->e->ops->sa_handover(f->e, f->rx, &in), 0);
        assert_true(in.seq == 9);
        rig_teardown(&state);
    }
}

// What the card leaves out of a result stands in the buffer from before, perhaps in clear: it goes nowhere.
static void test_a_result_that_is_not_whole_fails_the_card(void **unused)
{
    static const struct {
        enum fake_fault fault;
        enum esp_op op;
        uint32_t len; // of the job
        const char *word;
    } cases[] = {{FAKE_PART, ESP_ENCAP, 300, "whole"},
                 {FAKE_PART, ESP_ENCAP, 64 - FAKE_PREFIX + 8, "whole"},
                 {FAKE_PART, ESP_DECAP, FAKE_PREFIX + 300, "whole"},
                 {FAKE_LONG, ESP_ENCAP, 300, "what the packet can give"},
                 {FAKE_LONG, ESP_DECAP, FAKE_PREFIX + 300, "what the packet can give"}};
    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct esp_event ev;
        struct esp_job *job;
        struct fixture *f;

        rig_setup(&state);
        f = state;
        add_pair(f);
        job = cases[i].op == ESP_ENCAP ? encap_job(f, 0, cases[i].len) : decap_job(f, 0, 7, 1);
        job->in_len = cases[i].len;
        assert_int_equal(run_job(f->e, job), ESP_STATUS_OK); // its buffer now holds something of before
        if (cases[i].op == ESP_DECAP)
            put_le64(job->in + 4, 2);
        fake_card_fault(f->card, cases[i].fault);
        assert_int_equal(esp_submit(f->e, &job, 1), 1);
        ev = wait_failed(f);
        if (!strstr(ev.error.text, cases[i].word))
            fail_msg("case %u: \"%s\" does not say \"%s\"", i, ev.error.text, cases[i].word);
        if (job->status != ESP_STATUS_ABORTED)
            poll_one(f->e, job);
        assert_int_equal(job->status, ESP_STATUS_ABORTED);
        rig_teardown(&state);
    }
}

static void test_unasked_completion_fails_the_card(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job;

    add_pair(f);
    fake_card_fault(f->card, FAKE_SPURIOUS);
    job = encap_job(f, 0, 40);
    esp_submit(f->e, &job, 1);
    poll_one(f->e, job);
    assert_int_equal(job->status, ESP_STATUS_OK);
    job = encap_job(f, 0, 40);
    esp_submit(f->e, &job, 1);
    assert_non_null(strstr(wait_failed(f).error.text, "cookie"));
}

static void test_dead_and_hanging_cards_are_found(void **unused)
{
    static const struct {
        enum fake_fault fault;
        const char *word;
    } cases[] = {
        {FAKE_HOLD, "hangs"},
        {FAKE_FREEZE, "stands still"},
        {FAKE_ALL_ONES, "all ones"},
        {FAKE_HANG_UP, "gone"},
        {FAKE_GONE_AT_CLOCK, "the card is gone"},
    };

    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *f;
        struct esp_job *list[8], *back[8];
        unsigned got = 0;

        rig_setup(&state);
        f = state;
        add_pair(f);
        for (int k = 0; k < 3; k++)
            assert_int_equal(run_job(f->e, decap_job(f, 1, 7, (uint64_t)k * 2 + 1)), ESP_STATUS_OK);
        fake_card_fault(f->card, FAKE_HOLD);
        for (int k = 0; k < 8; k++)
            list[k] = k % 3 ? decap_job(f, k, 7, 20 + (uint64_t)k) : encap_job(f, k, 40);
        assert_int_equal(esp_submit(f->e, list, 8), 8);
        sync_card(f);
        fake_card_fault(f->card, cases[i].fault);
        for (uint64_t end = now_ms() + PATIENCE_MS; got < 8; nap()) {
            if (now_ms() > end)
                fail_msg("case %u: %u of 8 jobs came back", i, got);
            f->e->ops->tick(f->e, now_ms());
            got += esp_poll(f->e, back + got, 8 - got);
        }
        for (int k = 0; k < 8; k++) {
            assert_ptr_equal(back[k], list[k]); // in order of submission, over both queues
            assert_int_equal(back[k]->status, ESP_STATUS_ABORTED);
        }
        struct esp_event ev = next_event(f->e);
        assert_int_equal(ev.type, ESP_EVENT_FAILED);
        if (!strstr(ev.error.text, cases[i].word))
            fail_msg("\"%s\" does not say \"%s\"", ev.error.text, cases[i].word);
        check_after_failure(f);
        rig_teardown(&state);
    }
}

// Its clock still ran when the watch first saw the work stand, and only then stood still itself.
static void test_a_clock_that_stops_later_than_the_work_is_found(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job;

    add_pair(f);
    fake_card_fault(f->card, FAKE_FREEZE_LATER);
    job = encap_job(f, 0, 40);
    assert_int_equal(esp_submit(f->e, &job, 1), 1);
    assert_non_null(strstr(wait_failed(f).error.text, "stands still"));
}

static void test_fatal_and_foreign_reset_are_found_when_idle(void **unused)
{
    static const struct {
        enum fake_fault fault;
        const char *word;
    } cases[] = {{FAKE_FATAL, "FATAL"},
                 {FAKE_RESET, "EPOCH"},
                 {FAKE_ALL_ONES, "all ones"},
                 {FAKE_ONES_LATER, "all ones"}};

    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *f;

        rig_setup(&state);
        f = state;
        fake_card_fault(f->card, cases[i].fault);
        struct esp_event ev = wait_failed(f);
        if (!strstr(ev.error.text, cases[i].word))
            fail_msg("\"%s\" does not say \"%s\"", ev.error.text, cases[i].word);
        rig_teardown(&state);
    }
}

static void test_hang_up_of_an_idle_card_wakes_the_sleeper(void **state)
{
    struct fixture *f = *state;
    struct esp_event ev;

    while (esp_arm(f->e))
        ;
    fake_card_fault(f->card, FAKE_HANG_UP);
    assert_int_equal(sleep_on(f->e, 2000), 1);
    assert_int_equal(f->e->ops->events(f->e, &ev, 1), 1);
    assert_int_equal(ev.type, ESP_EVENT_FAILED);
    assert_true(ev.silent);
}

static void test_mute_card_cannot_be_shown_silent(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = card_params(ESP_OUT, 7), in = card_params(ESP_IN, 7);
    struct busy busy;
    struct esp_event ev;

    add_pair(f);
    fake_card_fault(f->card, FAKE_MUTE);
    busy_from(&busy);
    ev = wait_failed(f);
    assert_in_range(busy_own_ms(&busy), 0, 4000);
    assert_non_null(strstr(ev.error.text, "could not be shown silent"));
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &out), -EINVAL);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->rx, &in), 0);
}

// The card has stopped answering: whoever uses the engine is never made to wait for it, whatever he calls.
static void test_no_call_waits_for_a_mute_card(void **state)
{
    struct fixture *f = *state;
    uint64_t longest = 0, end = now_ms() + PATIENCE_MS;
    struct esp_event ev = {.type = ESP_EVENT_SA_ADDED};
    char buf[4096];

    add_pair(f);
    fake_card_fault(f->card, FAKE_MUTE);
    for (int i = 0; ev.type != ESP_EVENT_FAILED && now_ms() < end; i++) {
        struct esp_job *job = encap_job(f, i % MANY, 40), *back;
        struct busy busy;
        busy_from(&busy);
        esp_submit(f->e, &job, 1);
        while (esp_poll(f->e, &back, 1))
            ;
        (void)esp_arm(f->e);
        f->e->ops->tick(f->e, now_ms());
        (void)f->e->ops->counters(f->e, buf, sizeof(buf));
        (void)f->e->ops->events(f->e, &ev, 1);
        uint64_t from = busy_own_ms(&busy);
        longest = from > longest ? from : longest;
        nap();
    }
    assert_int_equal(ev.type, ESP_EVENT_FAILED);
    assert_false(ev.silent);
    assert_in_range(longest, 0,
                    300); // the bus waits a second for an answer, and did so in the caller's thread
}

// Decapsulation goes on, so the card as a whole moves: the queue that stands still is found all the same.
static void test_a_queue_that_stands_still_is_found_while_the_other_moves(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job, *back;
    struct esp_event ev = {.type = ESP_EVENT_SA_ADDED};
    uint64_t seq = 1;

    add_pair(f);
    fake_card_fault(f->card, FAKE_HOLD_ENCAP);
    job = encap_job(f, 0, 40);
    assert_int_equal(esp_submit(f->e, &job, 1), 1);
    for (uint64_t end = now_ms() + PATIENCE_MS; ev.type != ESP_EVENT_FAILED;) {
        if (now_ms() > end)
            fail_msg("%u decapsulations later the stuck queue was not found", (unsigned)seq);
        job = decap_job(f, 1, 7, seq++);
        esp_submit(f->e, &job, 1);
        while (esp_poll(f->e, &back, 1) == 0 && f->e->ops->events(f->e, &ev, 1) == 0)
            nap();
    }
    if (!strstr(ev.error.text, "hangs: queue 1"))
        fail_msg("\"%s\" does not say \"hangs: queue 1\"", ev.error.text);
    assert_true(seq > 3);
}

static void wait_looks(struct fixture *f, unsigned n)
{
    uint64_t end = now_ms() + PATIENCE_MS;
    for (unsigned from = fake_card_looks(f->card); fake_card_looks(f->card) - from < n; nap())
        if (now_ms() > end)
            fail_msg("the card's clock was looked at %u times of %u", fake_card_looks(f->card) - from, n);
}

// 60 ms of work that stands still: in cycles of a slow card, and of a fast one.
static void test_a_hang_is_judged_by_the_rate_of_the_cards_clock(void **unused)
{
    static const uint32_t khz[] = {1000, 250000, 2000000};
    void *state;

    (void)unused;
    for (unsigned i = 0; i < sizeof(khz) / sizeof(khz[0]); i++) {
        struct fake_options o = fake_default;
        struct esp_job *job;
        struct fixture *f;
        struct esp_event ev;

        o.clock_khz = khz[i];
        o.look = 1;
        rig_setup_with(&state, &o);
        f = state;
        add_pair(f);
        fake_card_fault(f->card, FAKE_HOLD);
        job = encap_job(f, 0, 40);
        assert_int_equal(esp_submit(f->e, &job, 1), 1);
        wait_looks(f, 3); // the work was seen to stand
        fake_card_sleep(f->card, 50ull * khz[i]);
        wait_looks(f, 3);
        if (f->e->ops->events(f->e, &ev, 1))
            fail_msg("%u kHz: %s, after 50 ms", khz[i], ev.error.text);
        fake_card_sleep(f->card, 15ull * khz[i]);
        ev = wait_failed(f);
        if (!strstr(ev.error.text, "hangs: queue 1 had no completion in 65 ms of the card's clock"))
            fail_msg("%u kHz: %s", khz[i], ev.error.text);
        rig_teardown(&state);
    }
}

// ---- what is asked of a card that has failed

static struct {
    const struct bus_ops *real;
    bool asked, silent; // in this order: it was asked while it could still write
} order;

static int read_noted(struct bus *b, unsigned region, uint64_t offset, void *buf, uint32_t count)
{
    if (region == BUS_REGION_BAR0 && !order.silent)
        order.asked = true;
    return order.real->read(b, region, offset, buf, count);
}

static int write_noted(struct bus *b, unsigned region, uint64_t offset, const void *buf, uint32_t count,
                       bool posted)
{
    int rc = order.real->write(b, region, offset, buf, count, posted);

    if (region == BUS_REGION_CONFIG && rc == 0)
        order.silent = true;
    return rc;
}

// An answer may be long in coming, or never come.
static void test_a_failed_card_is_made_silent_before_it_is_asked_anything(void **state)
{
    struct fixture *f = *state;
    struct card *c = (struct card *)f->e;
    static struct bus_ops noted;
    struct esp_job *job, *back;

    add_pair(f);
    pthread_mutex_lock(&c->control); // the card's own thread stands aside
    order.real = c->bus->ops;
    noted = *order.real;
    order.asked = order.silent = false;
    noted.read = read_noted;
    noted.write = write_noted;
    fake_card_fault(f->card, FAKE_LOST_SA);
    job = encap_job(f, 0, 40);
    assert_int_equal(esp_submit(f->e, &job, 1), 1);
    for (uint64_t end = now_ms() + PATIENCE_MS; !card_failed(c) && now_ms() < end; nap())
        assert_int_equal(esp_poll(f->e, &back, 1), 0);
    assert_true(card_failed(c));
    c->bus->ops = &noted;
    pthread_mutex_unlock(&c->control);
    assert_non_null(strstr(wait_failed(f).error.text, "FATAL")); // which it was asked for all the same
    assert_true(order.silent);
    assert_false(order.asked);
    assert_false(fake_card_master(f->card));
}

static void test_sleeping_asks_the_bus_nothing(void **state)
{
    struct fixture *f = *state;
    struct bus *bus = ((struct card *)f->e)->bus;
    const struct bus_ops *real = bus->ops;
    struct bus_ops blind = *real;

    blind.dead = NULL; // a look would end the test
    blind.read = NULL;
    sync_card(f);
    while (esp_arm(f->e))
        ;
    pthread_mutex_lock(&((struct card *)f->e)->control); // the card's own thread stands aside
    bus->ops = &blind;
    for (int i = 0; i < 100; i++)
        assert_false(esp_arm(f->e));
    bus->ops = real;
    pthread_mutex_unlock(&((struct card *)f->e)->control);
}

static void test_handover_without_a_lease_is_refused(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = card_params(ESP_OUT, 7), q = p;

    p.seq_limit = UINT64_MAX;
    f->tx = must_add(f->e, &p);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &q), -EINVAL); // it has not failed
    fake_card_fault(f->card, FAKE_HANG_UP);
    wait_failed(f);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &q), -EINVAL);
}

static void test_extended_lease_counts_from_the_request_on(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params q = card_params(ESP_OUT, 7);

    add_pair(f);
    fake_card_fault(f->card, FAKE_HOLD);
    assert_int_equal(f->e->ops->sa_lease(f->e, f->tx, 5000), 0);
    fake_card_fault(f->card, FAKE_HANG_UP);
    wait_failed(f);
    assert_int_equal(f->e->ops->sa_handover(f->e, f->tx, &q), 0);
    assert_true(q.seq == 5000);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
static const char *wanted_back(struct bus *b)
{
    (void)b;
    return "the kernel wants it back";
}

// The card is well, and has to be let go of: silent first, so that nothing of it is lost.
static void test_card_that_is_wanted_back_is_let_go_of(void **state)
{
    struct fixture *f = *state;
    struct card *c = (struct card *)f->e;
    static struct bus_ops asked; // as long as the bus
    struct esp_event ev;

    add_pair(f);
    for (int k = 0; k < 3; k++)
        assert_int_equal(run_job(f->e, decap_job(f, 1, 7, (uint64_t)k * 2 + 1)), ESP_STATUS_OK);
    asked = *c->bus->ops;
    asked.notice = wanted_back;
    pthread_mutex_lock(&c->control);
    c->bus->ops = &asked;
    card_bus_notice(c);
    pthread_mutex_unlock(&c->control);
    ev = wait_failed(f);
    assert_string_equal(ev.error.text, "the kernel wants it back");
    assert_true(ev.silent);
    assert_false(fake_card_master(f->card));
    check_after_failure(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nonsense_completions_fail_the_card),
        T(test_second_pass_of_a_sequence_fails_the_card),
        cmocka_unit_test(test_a_result_that_is_not_whole_fails_the_card),
        T(test_unasked_completion_fails_the_card),
        cmocka_unit_test(test_dead_and_hanging_cards_are_found),
        cmocka_unit_test(test_a_number_that_cannot_be_received_fails_the_card),
        cmocka_unit_test(test_a_number_refused_for_its_header_counts_in_tunnels_alone),
        T(test_a_clock_that_stops_later_than_the_work_is_found),
        cmocka_unit_test(test_fatal_and_foreign_reset_are_found_when_idle),
        T(test_hang_up_of_an_idle_card_wakes_the_sleeper),
        T(test_mute_card_cannot_be_shown_silent),
        T(test_no_call_waits_for_a_mute_card),
        T(test_a_queue_that_stands_still_is_found_while_the_other_moves),
        T(test_a_hang_is_judged_by_the_rate_of_the_cards_clock),
        T(test_a_failed_card_is_made_silent_before_it_is_asked_anything),
        T(test_sleeping_asks_the_bus_nothing),
        T(test_handover_without_a_lease_is_refused),
        T(test_card_that_is_wanted_back_is_let_go_of),
        T(test_extended_lease_counts_from_the_request_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
