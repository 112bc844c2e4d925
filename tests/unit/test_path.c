// SPDX-License-Identifier: Apache-2.0
// The path room against a card that refuses, hesitates, fails and lies: installation is whole or leaves
// nothing, no packet that the host holds is lost, no sequence is used twice.
#include "ctrl/path/io.h"
#include "ctrl/path/sadb.h"
#include "tests/unit/path_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- installation

static void test_install_in_software_carries_both_ways(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_out(r, 0, 10);
    rig_expect(r, 0, 10);
    rig_in(r, 0x1001, "10.2.0.1", 77);
    assert_int_equal(rig_read(r), 77);
    assert_int_equal(rig_events(r, CHILD_EVENT_TRAFFIC_IN), 1);
}

static void test_install_on_the_card_carries_both_ways(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_out(r, 0, 10);
    rig_expect(r, 0, 10);
    rig_in(r, 0x1001, "10.2.0.1", 77);
    assert_int_equal(rig_read(r), 77);
    assert_int_equal(r->p->worker->count[PATH_CARD].packets_out, 10);
    assert_int_equal(r->p->worker->count[PATH_CARD].packets_in, 1);
}

static void expect_refusal(struct rig *r, const char *word)
{
    char text[400] = "";
    bool ok = true;
    rig_turn(r);
    if (!rig_result(r, &ok, text, sizeof(text)) || ok || !strstr(text, word))
        fail_msg("expected a refusal that says \"%s\", got %s \"%s\"", word, ok ? "ok" : "no", text);
    assert_false(rig_result(r, &ok, text, sizeof(text))); // once
    assert_null(r->p->children);
    assert_int_equal(fake_live(&r->card), 0);
}

static void test_each_half_refused_by_the_card_leaves_nothing(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    for (int dir = 0; dir < 2; dir++) {
        r->card.refuse[dir] = ESP_STATUS_BUCKET_FULL;
        rig_install(r, 1 + (uint32_t)dir, OFFLOAD_YES, 0);
        expect_refusal(r, esp_status_name(ESP_STATUS_BUCKET_FULL));
        r->card.refuse[dir] = ESP_STATUS_OK;
        r->card.add_rc[dir] = -ENOSPC;
        r->card.add_rc_times[dir] = -1;
        rig_install(r, 1 + (uint32_t)dir, OFFLOAD_YES, 0);
        expect_refusal(r, "the test says no");
        r->card.add_rc_times[dir] = 0;
    }
}

static void test_each_half_refused_by_the_card_goes_on_in_software_with_auto(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    for (uint32_t dir = 0; dir < 2; dir++) {
        r->card.refuse[dir] = ESP_STATUS_BUCKET_FULL;
        rig_must_install(r, 1 + dir, OFFLOAD_AUTO, "software");
        r->card.refuse[dir] = ESP_STATUS_OK;
        r->card.add_rc[dir] = -ENOSPC;
        r->card.add_rc_times[dir] = -1;
        rig_must_install(r, 3 + dir, OFFLOAD_AUTO, "software");
        r->card.add_rc_times[dir] = 0;
        rig_out(r, 10 * dir, 10);
        rig_expect(r, 10 * dir, 10);
        rig_in(r, 0x1003 + dir, "10.2.0.1", 5 + dir);
        assert_int_equal(rig_read(r), 5 + dir);
    }
}

static void test_no_capability_is_a_refusal_for_all_but_auto(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->card.capable_rc = -EOPNOTSUPP;
    rig_must_install(r, 1, OFFLOAD_AUTO, "software");
    sadb_delete(r->p, 1);
    rig_turn(r);
    rig_install(r, 2, OFFLOAD_YES, 0);
    expect_refusal(r, "the test does not want it");
    rig_install(r, 3, OFFLOAD_PACKET, 0);
    expect_refusal(r, "the test does not want it");
    rig_install(r, 4, OFFLOAD_CRYPTO, 0);
    expect_refusal(r, "crypto needs a network device");
}

static void test_no_card_is_a_refusal_for_yes_and_packet(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_AUTO, "software");
    sadb_delete(r->p, 1);
    rig_turn(r);
    rig_install(r, 2, OFFLOAD_YES, 0);
    expect_refusal(r, "hw_offload: yes is set and no card was found");
    rig_install(r, 3, OFFLOAD_PACKET, 0);
    expect_refusal(r, "hw_offload: packet is set and no card was found");
}

static void test_an_spi_in_use_is_refused(void **state)
{
    struct rig *r = *state;
    char text[400] = "";
    bool ok = true;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_install(r, 1, OFFLOAD_NO, 0);
    assert_true(rig_result(r, &ok, text, sizeof(text)));
    assert_false(ok);
    assert_non_null(strstr(text, "in use"));
}

static void test_a_full_command_ring_delays_and_refuses_nothing(void **state)
{
    struct rig *r = *state;
    char text[400];
    bool ok = false;
    rig_card(r);
    r->card.add_rc[ESP_IN] = r->card.add_rc[ESP_OUT] = -EAGAIN;
    r->card.add_rc_times[ESP_IN] = r->card.add_rc_times[ESP_OUT] = -1;
    rig_install(r, 1, OFFLOAD_YES, 0);
    rig_out(r, 0, 5);
    assert_false(rig_result(r, &ok, text, sizeof(text)));
    r->card.add_rc_times[ESP_IN] = r->card.add_rc_times[ESP_OUT] = 0;
    rig_turn(r);
    assert_true(rig_result(r, &ok, text, sizeof(text)) && ok);
    rig_expect(r, 0, 5);
}

// The next one's questions have the same numbers.
static void test_what_the_last_keys_asked_is_not_answered_to_the_next(void **state)
{
    struct rig *r = *state;
    char text[400];
    bool ok = false;
    rig_card(r);
    r->card.add_rc[ESP_IN] = r->card.add_rc[ESP_OUT] = -EAGAIN;
    r->card.add_rc_times[ESP_IN] = r->card.add_rc_times[ESP_OUT] = -1;
    rig_install(r, 1, OFFLOAD_YES, 0);
    sadb_next_keys(r->p);
    r->card.add_rc_times[ESP_IN] = r->card.add_rc_times[ESP_OUT] = 0;
    rig_turn(r);
    assert_false(rig_result(r, &ok, text, sizeof(text)));
    rig_install(r, 2, OFFLOAD_YES, 0);
    rig_turn(r);
    assert_true(rig_result(r, &ok, text, sizeof(text)) && ok);
    assert_false(rig_result(r, &ok, text, sizeof(text)));
}

static void test_deleted_while_its_commands_wait_for_room(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->card.add_rc[ESP_OUT] = -EAGAIN;
    r->card.add_rc_times[ESP_OUT] = -1;
    rig_install(r, 1, OFFLOAD_YES, 0);
    rig_out(r, 0, 5);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_null(r->p->children);
    assert_int_equal(fake_live(&r->card), 0);
}

static void test_packets_wait_while_the_sa_is_being_added(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->card.hold_events = true;
    rig_install(r, 1, OFFLOAD_YES, 0);
    rig_out(r, 0, 20);
    rig_in(r, 0x1001, "10.2.0.1", 9);
    assert_int_equal(r->sent_count, 0);
    r->card.hold_events = false;
    rig_turn(r);
    rig_expect(r, 0, 20);
    assert_int_equal(rig_read(r), 9);
}

static void test_a_refusal_frees_the_child_under_its_waiting_packets(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    r->card.hold_events = true;
    r->card.refuse[ESP_IN] = r->card.refuse[ESP_OUT] = ESP_STATUS_BUCKET_FULL;
    rig_install(r, 1, OFFLOAD_YES, 0);
    rig_out(r, 0, 20);
    r->card.hold_events = false;
    expect_refusal(r, esp_status_name(ESP_STATUS_BUCKET_FULL));
    assert_int_equal(r->sent_count, 0);
}

// ---- leases

static void test_a_used_up_lease_is_waited_for_and_nothing_is_lost_or_reordered(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    r->card.hold_events = true; // the answer does not come
    rig_out(r, 0, 100);         // 64 fit
    assert_int_equal(r->sent_count, 64);
    r->card.hold_events = false;
    rig_turn(r);
    rig_expect(r, 0, 100);
    rig_out(r, 100, 900);
    rig_expect(r, 100, 900);
    assert_true(r->card.leases >= 2);
    rig_unique(r);
}

static void test_what_comes_back_without_a_number_goes_before_what_has_come_since(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    r->card.hold_events = true;
    rig_out(r, 0, 64);
    r->card.hold_jobs = true;
    rig_out(r, 64, 20); // the lease is used up, the card will say so
    r->card.jobs_left = 10;
    rig_turn(r);
    rig_out(r, 84, 6);
    r->card.hold_jobs = r->card.hold_events = false;
    rig_turn(r);
    rig_expect(r, 0, 90);
}

static void test_a_refused_lease_goes_on_in_software_at_the_next_number(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    r->card.lease_status = ESP_STATUS_BAD_LEASE;
    rig_out(r, 0, 300);
    rig_expect(r, 0, 300);
    rig_unique(r);
    assert_true(r->p->worker->count[PATH_SOFT].packets_out >= 200);
    assert_int_equal(r->p->children->out.last_seq, 300); // none skipped
    assert_int_equal(fake_live(&r->card), 1);            // inbound stays
    rig_in(r, 0x1001, "10.2.0.1", 3);
    assert_int_equal(rig_read(r), 3);
}

static void test_an_sa_that_the_card_has_stopped_goes_on_in_software_at_the_next_number(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    rig_out(r, 0, 20);
    r->card.expired = true; // path slept for long
    rig_out(r, 20, 30);
    rig_expect(r, 0, 50);
    rig_unique(r);
    assert_int_equal(r->p->children->out.last_seq, 50); // none skipped, none twice
    assert_int_equal(r->p->worker->count[PATH_SOFT].packets_out, 30);
    assert_int_equal(fake_live(&r->card), 1); // inbound stays
}

static void test_jobs_of_a_stopped_queue_go_through_it_again(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    rig_out(r, 0, 20);
    r->card.stopped = r->card.hold_jobs = true;
    rig_out(r, 20, 10);
    r->card.jobs_left = 10;
    rig_turn(r); // they come back, and go to the card again
    r->card.stopped = r->card.hold_jobs = false;
    rig_turn(r);
    rig_expect(r, 0, 30);
    rig_unique(r);
    assert_int_equal(r->p->worker->count[PATH_SOFT].packets_out, 0);
    assert_int_equal(fake_live(&r->card), 2);
}

static void test_a_lease_that_cannot_be_asked_for_is_asked_for_again(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    r->card.lease_rc = -ENOMEM;
    rig_out(r, 0, 100);
    assert_int_equal(r->sent_count, 64);
    r->card.lease_rc = 0;
    rig_turn(r);
    rig_expect(r, 0, 100);
    rig_unique(r);
}

static void test_deleted_while_moving_after_a_refused_lease(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    r->card.lease_status = ESP_STATUS_BAD_LEASE;
    r->card.hold_events = true;
    rig_out(r, 0, 50);
    r->card.hold_jobs = true; // the SA drains for ever
    rig_out(r, 50, 5);
    r->card.hold_events = false;
    rig_out(r, 55, 10); // these wait for it
    assert_int_equal(r->p->children->out.state, HALF_MOVING);
    sadb_delete(r->p, 1);
    r->card.hold_jobs = false;
    rig_turn(r);
    assert_null(r->p->children);
    assert_int_equal(fake_live(&r->card), 0);
    rig_expect(r, 0, 65);
}

// ---- deletion, selectors, resources

static void test_delete_with_packets_in_flight_frees_after_them(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    r->card.hold_jobs = true;
    rig_out(r, 0, 30);
    rig_in(r, 0x1001, "10.2.0.1", 1);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(r->p->children->in_flight, 30);
    rig_out(r, 30, 5); // a deleted one takes no new packets
    r->card.hold_jobs = false;
    rig_turn(r);
    assert_null(r->p->children);
    assert_int_equal(fake_live(&r->card), 0);
    rig_expect(r, 0, 30);
    assert_int_equal(rig_read(r), 1);
}

static void test_an_inner_packet_outside_the_selectors_is_dropped_as_policy(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_in(r, 0x1001, "10.9.0.1", 1);
    assert_int_equal(rig_read(r), UINT32_MAX);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_POLICY], 1);
    assert_int_equal(r->p->children->in.drops, 1);
    rig_in(r, 0x1001, "10.2.0.1", 2);
    assert_int_equal(rig_read(r), 2);
}

static void test_an_unknown_spi_is_dropped_and_counted(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_in(r, 0x1099, "10.2.0.1", 1);
    assert_int_equal(rig_read(r), UINT32_MAX);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_NO_SA], 1);
    assert_int_equal(r->p->children->in.drops, 0);
}

// ike may tell its sender; a flood of them is a few messages a second.
static void test_an_unknown_spi_is_told_to_ike_a_few_times_a_second(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_events(r, 0);
    for (unsigned i = 0; i < 200; i++) {
        rig_in(r, 0x1099 + i, "10.2.0.1", 1);
        if (i == 0) {
            rig_events(r, 0);
            assert_int_equal(r->unknowns, 1);
            assert_int_equal(r->unknown.spi, 0x1099);
            assert_true(addr_eq(&r->unknown.remote, &r->p->children->c.remote));
            assert_true(addr_eq(&r->unknown.local, &r->p->children->c.local));
        }
    }
    rig_events(r, 0);
    assert_in_range(r->unknowns, 10, 20); // a second may end meanwhile
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_NO_SA], 200);
}

static void ip_sum(uint8_t *p)
{
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)p[i] << 8 | p[i + 1];
    sum = (sum >> 16) + (sum & 0xffff);
    p[10] = (uint8_t)(~sum >> 8);
    p[11] = (uint8_t)~sum;
}

// What came in UDP, sent on as plain ESP from elsewhere by somebody on the way: let in, and no news of a NAT.
static void test_plain_esp_from_elsewhere_is_no_news_of_a_nat(void **state)
{
    struct rig *r = *state;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(r->own_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t p[300] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 50, 0, 0, 127, 0, 0, 9, 127, 0, 0, 1};
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_seal(r, 0x1001, "10.2.0.1", 4);
    memcpy(p + 20, r->last_in, r->last_in_len);
    p[3] = (uint8_t)(20 + r->last_in_len);
    ip_sum(p);
    assert_int_equal(write(r->raw, p, p[3]), p[3]);
    rig_turn(r);
    for (int i = 0; i < 64; i++)
        if (r->p->worker->drop_in[i])
            fprintf(stderr, "drop %d %llu len %zu\n", i, (unsigned long long)r->p->worker->drop_in[i],
                    r->last_in_len);
    assert_int_equal(rig_read(r), 4);
    assert_int_equal(rig_events(r, CHILD_EVENT_REBOUND), 0);
    int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); // the NAT itself, by another port
    rig_seal(r, 0x1001, "10.2.0.1", 5);
    assert_int_equal(sendto(other, r->last_in, r->last_in_len, 0, (struct sockaddr *)&to, sizeof(to)),
                     r->last_in_len);
    close(other);
    rig_turn(r);
    assert_int_equal(rig_read(r), 5);
    assert_int_equal(rig_events(r, CHILD_EVENT_REBOUND), 1);
}

static void random_bytes(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(rand() >> 7);
}

static void test_datagrams_of_every_length_and_any_content_end_as_drops(void **state)
{
    struct rig *r = *state;
    uint8_t p[300];
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    srand(1);
    for (size_t len = 0; len < 260; len++) {
        random_bytes(p, sizeof(p));
        memcpy(p, "\0\0\x10\x01", 4);
        rig_datagram(r, p, len);
        random_bytes(p, sizeof(p));
        p[0] = (uint8_t)(0x40 + len % 16); // of every header length, also impossible ones
        p[9] = len % 3 ? 50 : 17;
        if (len)
            assert_int_equal(write(r->raw, p, len), len);
        rig_turn(r);
    }
    assert_int_equal(rig_read(r), UINT32_MAX);
    rig_in(r, 0x1001, "10.2.0.1", 4); // and life goes on
    assert_int_equal(rig_read(r), 4);
}

static void test_selectors_look_at_nothing_behind_the_packet(void **state)
{
    struct ts_list any = rig_net("0.0.0.0", "255.255.255.255"), web = any;
    unsigned matched = 0;
    (void)state;
    web.t[0].proto = 6;
    web.t[0].port_lo = web.t[0].port_hi = 80;
    srand(1);
    for (size_t len = 0; len < 90; len++) {
        for (int i = 0; i < 60; i++) {
            uint8_t *p = malloc(len ? len : 1); // of this size, for the address sanitizer
            assert_non_null(p);
            random_bytes(p, len);
            if (len)
                p[0] = (uint8_t)(i % 2 ? 0x40 + i % 16 : 0x60);
            if (len > 9)
                p[9] = p[6] = 6;
            struct fields f;
            if (fields_parse(p, (uint32_t)len, &f)) {
                matched += selectors_hold(selectors_of(&any), selectors_of(&any), &f);
                matched += selectors_hold(selectors_of(&any), selectors_of(&web), &f);
            }
            free(p);
        }
    }
    assert_true(matched > 100);
}

static void test_reading_stops_without_packets_and_starts_again(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    r->card.hold_jobs = true;
    struct packet *rest = r->p->worker->free->next; // all but one are elsewhere
    r->p->worker->free->next = NULL;
    for (uint32_t i = 0; i < 3; i++)
        assert_true(rig_write(r, i));
    rig_turn(r);
    assert_null(r->p->worker->free);
    assert_false(r->p->worker->reading);
    r->card.hold_jobs = false;
    rig_turn(r);
    assert_true(r->p->worker->reading);
    assert_null(r->p->worker->free->next);
    r->p->worker->free->next = rest;
    rig_expect(r, 0, 3);
}

static unsigned free_packets(const struct path *p)
{
    unsigned n = 0;
    for (const struct packet *i = p->worker->free; i; i = i->next)
        n++;
    return n;
}

// Three SAs wait for the card to take them, a fourth one is on a card that gives nothing back: the one in
// software is served all the same.
static void test_sas_that_wait_and_a_card_that_stands_still_leave_packets_for_the_others(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_install(r, 2, OFFLOAD_YES, "card");
    r->card.hold_events = r->card.hold_jobs = true;
    for (uint32_t id = 3; id <= 5; id++)
        rig_install(r, id, OFFLOAD_YES, 0);
    rig_turn(r);
    for (uint32_t i = 0; i < 2000; i++)
        for (uint32_t id = 2; id <= 5; id++)
            rig_in(r, 0x1000 + id, "10.2.0.1", i);
    assert_true(r->p->worker->waiting <= PATH_WAITING);
    assert_true(r->p->worker->on_card <= PATH_ON_CARD);
    assert_true(free_packets(r->p) >= PATH_JOBS - PATH_WAITING - PATH_ON_CARD);
    assert_true(r->p->worker->queue_full > 0);
    for (struct child *c = r->p->children; c; c = c->next)
        if (c->c.child_id >= 3) // the last one is not starved by the first
            assert_true(c->in.waiting.count >= PATH_WAITING / 16);
    rig_in(r, 0x1001, "10.2.0.1", 77);
    assert_int_equal(rig_read(r), 77);
    r->card.hold_events = r->card.hold_jobs = false;
    for (int i = 0; i < 100; i++) {
        rig_turn(r);
        while (rig_read(r) != UINT32_MAX)
            ;
    }
    assert_int_equal(r->p->worker->waiting, 0);
    assert_int_equal(r->p->worker->on_card, 0);
}

// Whoever waits first has no more than half of what may wait, so that the next ones find room too.
static void test_one_sa_that_waits_leaves_room_for_the_next(void **state)
{
    struct rig *r = *state;
    unsigned waiting[3] = {0};
    rig_card(r);
    r->card.hold_events = true;
    for (uint32_t id = 1; id <= 3; id++)
        rig_install(r, id, OFFLOAD_YES, 0);
    rig_turn(r);
    for (uint32_t id = 1; id <= 3; id++) // one after the other, each with more than all may have
        for (uint32_t i = 0; i < 2 * PATH_WAITING; i++)
            rig_in(r, 0x1000 + id, "10.2.0.1", i);
    for (struct child *c = r->p->children; c; c = c->next)
        waiting[c->c.child_id - 1] = c->in.waiting.count;
    assert_int_equal(waiting[0], PATH_WAITING / 2);
    assert_int_equal(waiting[1], PATH_WAITING / 4);
    assert_int_equal(waiting[2], PATH_WAITING / 8);
    r->card.hold_events = false;
    for (int i = 0; i < 100; i++) {
        rig_turn(r);
        while (rig_read(r) != UINT32_MAX)
            ;
    }
    assert_int_equal(r->p->worker->waiting, 0);
}

// Its packets have come after the deletion, the card has not answered yet: they are dropped, not lost.
static void test_deleted_while_being_added_and_then_refused_gives_its_packets_back(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    for (int fails = 0; fails < 2; fails++) {
        r->card.hold_events = true;
        r->card.refuse[ESP_IN] = r->card.refuse[ESP_OUT] = ESP_STATUS_BUCKET_FULL;
        rig_install(r, 1, OFFLOAD_YES, 0);
        rig_turn(r);
        rig_in(r, 0x1001, "10.2.0.1", 0);
        sadb_delete(r->p, 1);
        for (uint32_t i = 1; i < 5; i++)
            rig_in(r, 0x1001, "10.2.0.1", i);
        if (fails) {
            fake_lose_events(&r->card);
            fake_fail(&r->card);
        }
        r->card.hold_events = false;
        rig_turn(r);
        assert_null(r->p->children);
        assert_int_equal(free_packets(r->p), PATH_JOBS);
    }
}

// ---- a TUN that is asked for no more than it has

static unsigned waiting;

static int read_one(const struct path_tun *t, struct virtio_net_hdr *h, uint8_t *first, uint32_t cap,
                    uint8_t *rest, uint32_t rest_cap)
{
    const struct rig_packet k = {.src = "10.1.0.1", .dst = "10.2.0.1", .proto = 17};
    (void)t, (void)cap, (void)rest, (void)rest_cap;
    if (!waiting)
        return -EAGAIN;
    waiting--;
    *h = (struct virtio_net_hdr){0};
    return (int)rig_build(first, &k);
}

static void test_of_a_tun_with_more_than_a_burst_all_bursts_are_whole_once_it_was_asked(void **state)
{
    enum { ALONE = 6, TURNS = 16, ASKED_BY = 8 };
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    struct path_tun tun = {.read_big = read_one};
    assert_non_null(w->big = malloc(w->buffer + GSO_MAX + 1));
    for (unsigned i = 0; i < ALONE; i++) {
        waiting = 1;
        big_ready(w, &tun, 0);
    }
    waiting = TURNS * PATH_BURST;
    for (unsigned i = 0; i < TURNS; i++)
        big_ready(w, &tun, 0);
    assert_true(waiting < ASKED_BY * PATH_BURST);
    rig_gives_up(r);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_install_in_software_carries_both_ways),
        WITH(test_install_on_the_card_carries_both_ways),
        WITH(test_each_half_refused_by_the_card_leaves_nothing),
        WITH(test_each_half_refused_by_the_card_goes_on_in_software_with_auto),
        WITH(test_no_capability_is_a_refusal_for_all_but_auto),
        WITH(test_no_card_is_a_refusal_for_yes_and_packet),
        WITH(test_an_spi_in_use_is_refused),
        WITH(test_a_full_command_ring_delays_and_refuses_nothing),
        WITH(test_what_the_last_keys_asked_is_not_answered_to_the_next),
        WITH(test_deleted_while_its_commands_wait_for_room),
        WITH(test_packets_wait_while_the_sa_is_being_added),
        WITH(test_a_refusal_frees_the_child_under_its_waiting_packets),
        WITH(test_a_used_up_lease_is_waited_for_and_nothing_is_lost_or_reordered),
        WITH(test_what_comes_back_without_a_number_goes_before_what_has_come_since),
        WITH(test_a_refused_lease_goes_on_in_software_at_the_next_number),
        WITH(test_an_sa_that_the_card_has_stopped_goes_on_in_software_at_the_next_number),
        WITH(test_jobs_of_a_stopped_queue_go_through_it_again),
        WITH(test_a_lease_that_cannot_be_asked_for_is_asked_for_again),
        WITH(test_deleted_while_moving_after_a_refused_lease),
        WITH(test_delete_with_packets_in_flight_frees_after_them),
        WITH(test_an_inner_packet_outside_the_selectors_is_dropped_as_policy),
        WITH(test_an_unknown_spi_is_dropped_and_counted),
        WITH(test_an_unknown_spi_is_told_to_ike_a_few_times_a_second),
        WITH(test_plain_esp_from_elsewhere_is_no_news_of_a_nat),
        WITH(test_datagrams_of_every_length_and_any_content_end_as_drops),
        WITH(test_selectors_look_at_nothing_behind_the_packet),
        WITH(test_reading_stops_without_packets_and_starts_again),
        WITH(test_sas_that_wait_and_a_card_that_stands_still_leave_packets_for_the_others),
        WITH(test_one_sa_that_waits_leaves_room_for_the_next),
        WITH(test_deleted_while_being_added_and_then_refused_gives_its_packets_back),
        WITH(test_of_a_tun_with_more_than_a_burst_all_bursts_are_whole_once_it_was_asked),
    };
    return cmocka_run_group_tests_name("the path room", tests, NULL, NULL);
}
