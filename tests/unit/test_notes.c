// SPDX-License-Identifier: Apache-2.0
// What the packets' way tells ike goes by a bounded ring to control (ctrl/path/notes.h): in order, whole, and
// what must not be lost is not.
#include "tests/unit/path_rig.h"

#include <pthread.h>
#include <stdlib.h>

#include "ctrl/path/io.h"

static uint8_t big[65536];

static bool put(struct notes *n, uint32_t number, uint32_t octets, uint32_t leave)
{
    struct msg_IKE_DATAGRAM m = {.interface = number, .datagram = slice_of(big, octets)};
    return notes_put(n, MSG_IKE_DATAGRAM, &m, leave);
}

static void expect_note(struct notes *n, uint32_t number, uint32_t octets)
{
    union msg m;
    assert_int_equal(msg_read(notes_next(n), &m), MSG_IKE_DATAGRAM);
    assert_int_equal(m.IKE_DATAGRAM.interface, number);
    assert_int_equal(m.IKE_DATAGRAM.datagram.len, octets);
    assert_memory_equal(m.IKE_DATAGRAM.datagram.p, big, octets);
    notes_take(n);
}

static void fill_big(void)
{
    for (uint32_t i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
}

// Each length meets the end of the ring at some time, many times round.
static void test_notes_come_whole_and_in_order_over_the_rings_end(void **state)
{
    struct notes n;
    uint32_t number = 0, taken = 0, lengths[64] = {0};
    (void)state;
    fill_big();
    assert_int_equal(notes_open(&n), 0);
    assert_int_equal(notes_next(&n).len, 0);
    for (uint32_t i = 0; i < 6000; i++) {
        uint32_t octets = i * 37 % 3001 + (i % 50 == 0 ? 62000 : 0);
        while (!put(&n, number, octets, 0)) {
            assert_true(taken < number); // whatever stands in the empty ring, there is room for the longest
            expect_note(&n, taken, lengths[taken % 64]);
            taken++;
        }
        lengths[number++ % 64] = octets;
        if (number - taken == 64 || i % 3 == 0) {
            expect_note(&n, taken, lengths[taken % 64]);
            taken++;
        }
    }
    for (; taken < number; taken++)
        expect_note(&n, taken, lengths[taken % 64]);
    assert_int_equal(notes_next(&n).len, 0);
    notes_close(&n);
}

static void test_full_ring_takes_nothing_counts_it_and_strangers_leave_a_quarter(void **state)
{
    struct notes n;
    uint32_t strangers = 0, all;
    (void)state;
    fill_big();
    assert_int_equal(notes_open(&n), 0);
    while (put(&n, strangers, 1000, NOTES_LEFT_BY_STRANGERS))
        strangers++;
    assert_int_equal(n.full, 1);
    assert_in_range(strangers, 170, 3 * NOTES_BYTES / 4 / 1000);
    for (all = strangers; put(&n, all, 1000, 0);)
        all++;
    assert_int_equal(n.full, 2);
    assert_in_range(all, 225, NOTES_BYTES / 1000);
    for (uint32_t i = 0; i < all; i++)
        expect_note(&n, i, 1000);
    assert_int_equal(notes_next(&n).len, 0);
    notes_close(&n);
}

enum { THREAD_NOTES = 100000 };

static void *write_notes(void *ctx)
{
    for (uint32_t i = 0; i < THREAD_NOTES;)
        i += put(ctx, i, i * 13 % 900, 0);
    return NULL;
}

static void test_one_thread_writes_while_another_reads(void **state)
{
    struct notes n;
    pthread_t writer;
    (void)state;
    fill_big();
    assert_int_equal(notes_open(&n), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_notes, &n), 0);
    for (uint32_t i = 0; i < THREAD_NOTES; i++) {
        while (!notes_next(&n).len)
            ;
        expect_note(&n, i, i * 13 % 900);
    }
    pthread_join(writer, NULL);
    notes_close(&n);
}

// ---- in the room

// What has come to ike of that kind; what waits for its socket comes with path's loop.
static unsigned at_ike(struct rig *r, enum msg_type wanted)
{
    static uint8_t buf[IPC_MAX_MESSAGE];
    unsigned count = 0;
    bool any = true;
    union msg m;
    while (any) {
        any = false;
        for (ssize_t n; (n = recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT)) > 0; any = true)
            count += msg_read(slice_of(buf, (size_t)n), &m) == wanted;
        loop_once(r->p->loop, 0); // which does not pump
    }
    return count;
}

static void fill(struct worker *w)
{
    struct msg_UNKNOWN_SPI m = {.spi = 1};
    while (note_to_ike(w, MSG_UNKNOWN_SPI, &m))
        ;
}

static void test_what_carries_packets_sends_nothing_itself(void **state)
{
    struct rig *r = *state;
    at_ike(r, MSG_NONE);
    assert_true(rig_write(r, 1));
    out_ready(&r->p->worker->tun_fd, 0);
    assert_int_equal(at_ike(r, MSG_ACQUIRE), 0);
    path_pump(r->p);
    assert_int_equal(at_ike(r, MSG_ACQUIRE), 1);
}

static void test_who_finds_no_room_asks_again_with_the_next_packet(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    at_ike(r, MSG_NONE);
    fill(w);
    uint64_t full = w->notes.full;
    assert_true(rig_write(r, 1));
    out_ready(&w->tun_fd, 0);
    assert_int_equal(w->notes.full, full + 1);
    notes_forward(r->p);
    assert_int_equal(at_ike(r, MSG_ACQUIRE), 0);
    assert_true(rig_write(r, 2)); // no time has passed
    rig_turn(r);
    assert_int_equal(at_ike(r, MSG_ACQUIRE), 1);
}

static void test_limit_is_told_once_though_there_was_no_room(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    at_ike(r, MSG_NONE);
    fill(r->p->worker);
    limit_event(sadb_by_id(r->p, 1), CHILD_EVENT_SOFT_LIMIT);
    limit_event(sadb_by_id(r->p, 2), CHILD_EVENT_HARD_LIMIT);
    notes_forward(r->p); // what filled it
    notes_forward(r->p);
    assert_int_equal(at_ike(r, MSG_CHILD_EVENT), 2);
    limit_event(sadb_by_id(r->p, 1), CHILD_EVENT_SOFT_LIMIT);
    rig_turn(r);
    assert_int_equal(at_ike(r, MSG_CHILD_EVENT), 0);
    limit_event(sadb_by_id(r->p, 1), CHILD_EVENT_HARD_LIMIT);
    rig_turn(r);
    assert_int_equal(at_ike(r, MSG_CHILD_EVENT), 1);
}

// Control sleeps where nobody rings.
static void test_control_has_to_look_at_a_limit(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    notes_forward(r->p);
    assert_false(r->p->worker->own.noted);
    limit_event(sadb_by_id(r->p, 1), CHILD_EVENT_SOFT_LIMIT);
    assert_true(r->p->worker->own.noted);
}

static unsigned untold(const struct rig *r)
{
    unsigned n = 0;
    for (const struct child *c = r->p->children; c; c = c->next)
        n += !c->dying && c->limit_told < c->limit_event;
    return n;
}

// Those that wait are looked at as long as there is room, and that there is none is no loss that counts.
static void test_limits_that_wait_are_told_while_there_is_room(void **state)
{
    enum { SAS = 50 };
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    struct msg_IKE_DATAGRAM m = {.datagram = slice_of(big, 60000)};
    for (uint32_t i = 1; i <= SAS; i++)
        rig_must_install(r, i, OFFLOAD_NO, "software");
    at_ike(r, MSG_NONE);
    fill(w);
    uint64_t full = w->notes.full;
    for (uint32_t i = 1; i <= SAS; i++)
        limit_event(sadb_by_id(r->p, i), CHILD_EVENT_SOFT_LIMIT);
    limit_event(sadb_by_id(r->p, 2), CHILD_EVENT_HARD_LIMIT); // it waits once
    assert_int_equal(untold(r), SAS);
    limits_tell(r->p);
    assert_int_equal(untold(r), SAS);
    assert_int_equal(w->notes.full, full);
    notes_take(&w->notes);
    notes_take(&w->notes);
    limits_tell(r->p);
    unsigned left = untold(r);
    assert_in_range(left, SAS / 2, SAS - 1);
    while (ipc_has_room(r->p->ike))
        ipc_send(r->p->ike, MSG_IKE_DATAGRAM, &m);
    for (uint32_t i = 1; i < 4; i++) // in the midst of the others, and at their end
        sadb_delete(r->p, 2 * i - 1);
    rig_turn(r);
    assert_int_equal(untold(r), left - 3);
    assert_int_equal(at_ike(r, MSG_CHILD_EVENT), 0);
    rig_turn(r);
    assert_int_equal(untold(r), 0);
    assert_int_equal(at_ike(r, MSG_CHILD_EVENT), SAS - 3);
}

// It is deleted at once, and nobody looks at it again.
static void test_sa_that_is_given_up_is_told_of_though_there_was_no_room(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    at_ike(r, MSG_NONE);
    fill(r->p->worker);
    limit_event(sadb_by_id(r->p, 2), CHILD_EVENT_HARD_LIMIT);
    sadb_give_up(r->p, sadb_by_id(r->p, 1), "the test says so");
    sadb_give_up(r->p, sadb_by_id(r->p, 2), "the test says so");
    rig_turn(r);
    assert_int_equal(at_ike(r, MSG_CHILD_EVENT), 2);
    assert_null(r->p->children);
}

// What ike does not take waits in the ring, and nothing of it is lost or told in another order.
static void test_ring_waits_while_ike_does_not_keep_up(void **state)
{
    struct rig *r = *state;
    struct msg_IKE_DATAGRAM m = {.datagram = slice_of(big, 60000)};
    unsigned sent = 0;
    for (; ipc_has_room(r->p->ike); sent++)
        ipc_send(r->p->ike, MSG_IKE_DATAGRAM, &m);
    note_to_ike(r->p->worker, MSG_UNKNOWN_SPI, &(struct msg_UNKNOWN_SPI){.spi = 7});
    rig_turn(r);
    assert_true(notes_next(&r->p->worker->notes).len > 0);
    assert_int_equal(at_ike(r, MSG_IKE_DATAGRAM), sent);
    assert_int_equal(at_ike(r, MSG_UNKNOWN_SPI), 0);
    rig_turn(r);
    assert_int_equal(at_ike(r, MSG_UNKNOWN_SPI), 1);
    assert_int_equal(notes_next(&r->p->worker->notes).len, 0);
}

static unsigned lines;

static void expect_line(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                        const char *text)
{
    (void)ctx, (void)ike_name, (void)ike_id;
    assert_string_equal(text, lines++ ? "second" : "first");
    assert_int_equal(s, lines == 1 ? LOG_NET : LOG_ESP);
    assert_int_equal(level, lines == 1 ? 1 : 0);
}

// A worker's line is a note, which becomes a line of control's: what that has goes to ctl.
static void test_lines_of_a_workers_log_are_controls(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    struct msg_UNKNOWN_SPI other = {.spi = 1};
    at_ike(r, MSG_NONE);
    note_to_ike(w, MSG_UNKNOWN_SPI, &other);
    note_log(w, LOG_NET, 1, "first");
    note_log(w, LOG_ESP, 0, "second");
    note_to_ike(w, MSG_UNKNOWN_SPI, &other);
    assert_true(w->own.noted);
    lines = 0;
    log_set_sink(expect_line, NULL);
    notes_forward(r->p);
    log_set_sink(NULL, NULL);
    assert_int_equal(lines, 2);
    assert_int_equal(at_ike(r, MSG_LOG), 0);
}

int main(void)
{
#define ROOM(f) cmocka_unit_test_setup_teardown(f, rig_up, rig_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notes_come_whole_and_in_order_over_the_rings_end),
        cmocka_unit_test(test_full_ring_takes_nothing_counts_it_and_strangers_leave_a_quarter),
        cmocka_unit_test(test_one_thread_writes_while_another_reads),
        ROOM(test_what_carries_packets_sends_nothing_itself),
        ROOM(test_who_finds_no_room_asks_again_with_the_next_packet),
        ROOM(test_limit_is_told_once_though_there_was_no_room),
        ROOM(test_control_has_to_look_at_a_limit),
        ROOM(test_limits_that_wait_are_told_while_there_is_room),
        ROOM(test_sa_that_is_given_up_is_told_of_though_there_was_no_room),
        ROOM(test_ring_waits_while_ike_does_not_keep_up),
        ROOM(test_lines_of_a_workers_log_are_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
