// SPDX-License-Identifier: Apache-2.0
// Queues that the card stops, and deadlines of SAs whose host is silent.
#include "card_rig.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "driver/card/card.h"

static void test_a_queue_that_the_card_stops_fails_alone(void **state)
{
    struct fixture *f = *state;
    struct esp_job *job, *back;
    struct esp_event ev;
    uint64_t last;

    add_pair(f);
    fake_card_fault(f->card, FAKE_STOP_ONCE);
    there_and_back(f, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(f->job[i].status, i < 5 ? ESP_STATUS_OK : ESP_STATUS_ABORTED);
    last = f->job[4].seq;
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_QUEUE_RESET);
    assert_non_null(strstr(ev.error.text, "queue 1 had stopped: a bus error when the card read"));
    there_and_back(f, 20); // by the same SA, whose numbers go on
    for (int i = 0; i < 20; i++) {
        assert_int_equal(f->job[i].status, ESP_STATUS_OK);
        assert_true(f->job[i].seq > last);
        last = f->job[i].seq;
    }
    job = decap_job(f, 0, 7, 1);
    assert_int_equal(esp_submit(f->e, &job, 1), 1);
    for (uint64_t end = now_ms() + PATIENCE_MS; !esp_poll(f->e, &back, 1) && now_ms() < end;)
        nap();
    assert_int_equal(job->status, ESP_STATUS_OK);
    assert_int_equal(f->e->ops->sa_delete(f->e, f->tx), 0); // no job of it is missing
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_int_equal(ev.next.seq, last + 1);
    assert_true(fake_card_master(f->card)); // and nobody has taken the card away
}

static void fails_by_queue(struct fixture *f, const char *text)
{
    struct esp_event ev;

    do
        ev = next_event(f->e);
    while (ev.type == ESP_EVENT_QUEUE_RESET);
    assert_int_equal(ev.type, ESP_EVENT_FAILED);
    if (!strstr(ev.error.text, text))
        fail_msg("\"%s\" does not say \"%s\"", ev.error.text, text);
}

static void test_a_queue_that_stops_again_and_again_is_the_cards_end(void **state)
{
    struct fixture *f = *state;

    add_pair(f);
    fake_card_fault(f->card, FAKE_STOP_ALWAYS);
    for (int i = 0; i < 5; i++)
        there_and_back(f, 4);
    fails_by_queue(f, "queue 1 has stopped 5 times");
}

static void test_a_stopped_queue_of_sa_commands_is_the_cards_end(void **state)
{
    struct fixture *f = *state;

    add_pair(f);
    fake_card_fault(f->card, FAKE_STOP_COMMANDS);
    assert_int_equal(f->e->ops->sa_query(f->e, f->tx), 0);
    fails_by_queue(f, "the queue of SA commands has stopped");
}

enum { DEADLINE_MS = 100, DEADLINE = DEADLINE_MS * 250000 };

// Its time is the test's: what the card's thread does happens in tick.
static void open_with_deadline(struct fixture *f, struct esp_engine **e)
{
    struct esp_card_options o = {.ring_log2 = 5, .no_thread = true, .deadline_ms = DEADLINE_MS};
    struct fake_options of = fake_default;
    struct esp_error err = {0};

    rig_end(f);
    of.features |= ESPC_FEATURES_OFFERED_DEADLINE_MASK;
    f->card = fake_card_start(&of);
    o.pci_sysfs = fake_card_sysfs(f->card);
    if (esp_card_open(e, &o, &err))
        fail_msg("open: %s: %s", err.field, err.text);
    assert_int_equal((*e)->ops->attach_pool(*e, f->pool, NULL), 0);
    add_pair(f);
}

static void test_deadlines_move_while_the_host_lives(void **state)
{
    struct fixture *f = *state;
    struct esp_event ev;
    uint64_t now = now_ms();

    open_with_deadline(f, &f->e);
    for (int i = 0; i < 40; i++) { // each look at the clock takes 4 million cycles
        f->e->ops->tick(f->e, now += 1000);
        there_and_back(f, 1);
        assert_int_equal(f->job[0].status, ESP_STATUS_OK);
    }
    assert_int_equal(f->e->ops->events(f->e, &ev, 1), 0); // the renewals are nobody's business
}

static void test_silent_host_finds_its_sa_stopped(void **state)
{
    struct fixture *f = *state;
    struct esp_event ev;

    open_with_deadline(f, &f->e);
    there_and_back(f, 3);
    fake_card_sleep(f->card, 2 * DEADLINE);
    there_and_back(f, 2);
    assert_int_equal(f->job[0].status, ESP_STATUS_LEASE_EXPIRED);
    assert_int_equal(f->job[1].status, ESP_STATUS_LEASE_EXPIRED);
    f->e->ops->tick(f->e, now_ms() + 1000); // it is too late to move the deadline
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_LEASED);
    assert_int_equal(ev.status, ESP_STATUS_LEASE_EXPIRED);
    assert_ptr_equal(ev.sa, f->tx);
    assert_int_equal(f->e->ops->sa_delete(f->e, f->tx), 0);
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_int_equal(ev.next.seq, 4); // and the next owner goes on where it was
}

// In a process that may lock nothing: the card works, and its engine says so.
static void test_ring_memory_that_cannot_be_locked_says_why(void **state)
{
    int status = -1;
    pid_t pid;

    (void)state;
#ifdef __SANITIZE_ADDRESS__
    print_message("skip: the address sanitizer lets nothing be locked, and says that it was\n");
    skip();
#endif
    pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        struct fixture *f;
        void *own = NULL;
        if (setrlimit(RLIMIT_MEMLOCK, &none) || (geteuid() == 0 && setuid(65534)))
            _exit(2);
        rig_setup(&own);
        f = own;
        bool said = strstr(f->e->note, "of ring memory could not be locked") &&
                    strstr(f->e->note, "RLIMIT_MEMLOCK is 0 KiB");
        rig_teardown(&own);
        _exit(said ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_queue_that_the_card_stops_fails_alone),
        T(test_a_queue_that_stops_again_and_again_is_the_cards_end),
        T(test_a_stopped_queue_of_sa_commands_is_the_cards_end),
        T(test_deadlines_move_while_the_host_lives),
        T(test_silent_host_finds_its_sa_stopped),
        cmocka_unit_test(test_ring_memory_that_cannot_be_locked_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
