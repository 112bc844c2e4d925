// SPDX-License-Identifier: Apache-2.0
// What a child's SAs have carried, by its name: over rekeyings, fail-over, an edit of its policy and the end
// of its SAs.
#include <sys/socket.h>

#include "tests/unit/path_rig.h"
#include "tests/unit/spd_rig.h"

static struct msg_TRAFFIC told;
static unsigned answers;
static bool good;

static uint32_t req = 100;

static void ask_for(struct rig *r, struct slice names)
{
    static uint8_t buf[16384];
    union msg m = {0};
    answers = 0;
    traffic_list(r->p, &(struct msg_TRAFFIC_LIST){.req = ++req, .names = names});
    for (bool over = false; !over;) {
        ssize_t n = recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT);
        assert_true(n > 0);
        enum msg_type t = msg_read(slice_of(buf, (size_t)n), &m);
        if (t == MSG_TRAFFIC) {
            assert_int_equal(m.TRAFFIC.req, req);
            told = m.TRAFFIC;
            answers++;
        }
        over = t == MSG_RESULT;
    }
    good = m.RESULT.ok;
}

static void ask(struct rig *r, const char *conn)
{
    uint8_t names[NAME_MAX_LEN + 2];
    struct writer w = writer_of(names, sizeof(names));
    wr_cstr(&w, conn);
    ask_for(r, wr_written(&w));
    assert_true(good);
}

static void expect(struct rig *r, unsigned out, unsigned in)
{
    ask(r, "rig");
    assert_int_equal(answers, 1);
    assert_string_equal(told.conn, "rig");
    assert_string_equal(told.child, "net");
    assert_int_equal(told.packets_out, out);
    assert_int_equal(told.packets_in, in);
}

static void come_in(struct rig *r, uint32_t spi, uint32_t from, uint32_t count)
{
    for (uint32_t n = from; n < from + count; n++) {
        rig_in(r, spi, "10.2.0.1", n);
        assert_int_equal(rig_read(r), n);
    }
}

static void test_counts_go_on_over_fail_over_rekeying_edit_and_end(void **state)
{
    struct rig *r = *state;
    expect(r, 0, 0); // of which nothing is kept: thousands never have an SA
    assert_int_equal(r->p->traffic.count, 0);
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_AUTO, "card");
    rig_out(r, 0, 20);
    come_in(r, 0x1001, 0, 3);
    expect(r, 20, 3);
    uint64_t octets = told.bytes_out / 20;
    assert_true(octets > 20 && told.bytes_out == 20 * octets);
    assert_int_equal(told.bytes_out, r->p->worker->count[PATH_CARD].bytes_out);
    fake_fail(&r->card);
    rig_turn(r);
    rig_out(r, 20, 10);
    expect(r, 30, 3);
    rig_must_install(r, 2, OFFLOAD_NO, "software"); // its successor
    sadb_delete(r->p, 1);
    rig_turn(r);
    rig_out(r, 30, 5);
    come_in(r, 0x1002, 3, 2);
    expect(r, 35, 5);
    struct policy_spec edit = rig_spec(9, "net", "10.1.0.0/16", "10.2.0.0/15");
    rig_must_apply(r, "rig", &edit, 1); // the SA still serves the policy before
    rig_out(r, 35, 1);
    expect(r, 36, 5);
    sadb_delete(r->p, 2);
    rig_turn(r);
    assert_null(r->p->children);
    expect(r, 36, 5);
    assert_int_equal(told.bytes_out, 36 * octets);
    rig_must_apply(r, "rig", NULL, 0);
    ask(r, "rig");
    assert_int_equal(answers, 0);
    assert_int_equal(r->p->traffic.count, 0);
    rig_must_apply(r, "rig", &edit, 1);
    expect(r, 0, 0);
}

// Which numbers its questions like the one before it.
static void test_ctl_that_was_started_again_is_told_all(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_out(r, 0, 2);
    expect(r, 2, 0);
    req--;
    expect(r, 2, 0);
}

static void test_what_is_dropped_on_its_way_out_is_counted(void **state)
{
    struct rig *r = *state;
    uint64_t dropped = 0;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_out(r, 0, 2);
    r->p->children->out.ended = true; // no number is left
    rig_out(r, 2, 4);
    for (unsigned i = 1; i < ESP_STATUS_BAD_OPCODE; i++)
        dropped += r->p->worker->drop_out[i];
    expect(r, 2, 0);
    assert_int_equal(told.dropped, dropped);
    assert_int_equal(dropped, 4);
}

static void test_only_what_protects_and_each_child_once(void **state)
{
    struct rig *r = *state;
    struct policy_spec s[3] = {rig_spec(5, "one", "10.3.0.0/16", "10.4.0.0/16"),
                               rig_spec(6, "two", "10.5.0.0/16", "10.6.0.0/16"),
                               rig_spec(7, "pass", "10.7.0.0/16", "10.8.0.0/16")};
    s[2].action = POLICY_BYPASS;
    rig_must_apply(r, "w", s, 3);
    ask(r, "w");
    assert_int_equal(answers, 2);
    ask(r, "nobody");
    assert_int_equal(answers, 0);
}

static void test_page_has_an_end(void **state)
{
    struct rig *r = *state;
    static uint8_t names[4096];
    struct writer w = writer_of(names, sizeof(names));
    for (unsigned i = 0; i < COUNTS_PAGE; i++)
        wr_cstr(&w, "x");
    ask_for(r, wr_written(&w));
    assert_true(good);
    wr_cstr(&w, "x");
    ask_for(r, wr_written(&w));
    assert_false(good);
    ask_for(r, slice_of("\0\5ab", 4));
    assert_false(good);
}

static uint64_t card_total(const struct card_totals *c, const char *name)
{
    for (unsigned i = 0; i < c->count; i++)
        if (strcmp(c->t[i].name, name) == 0)
            return c->t[i].before + c->t[i].now;
    return UINT64_MAX;
}

static void take(struct card_totals *c, const char *text)
{
    card_totals_take(c, text, strlen(text));
}

static void test_what_cards_count_never_goes_back(void **state)
{
    (void)state;
    struct card_totals c = {0};
    take(&c, "enc_packets 10\nenc_bytes 1000\n");
    take(&c, "enc_packets 12\nenc_bytes 1000\nmalformed\nlost 5\n");
    assert_int_equal(card_total(&c, "enc_packets"), 12);
    take(&c, "enc_packets 3\n"); // it was reset
    assert_int_equal(card_total(&c, "enc_packets"), 15);
    card_totals_keep(&c); // another card
    assert_int_equal(card_total(&c, "enc_packets"), 15);
    take(&c, "enc_packets 40\n");
    assert_int_equal(card_total(&c, "enc_packets"), 55);
    assert_int_equal(card_total(&c, "enc_bytes"), 1000);
    assert_int_equal(card_total(&c, "lost"), UINT64_MAX); // what is malformed ends it
    for (unsigned i = 0; i < 2 * CARD_TOTALS; i++) {
        char line[64];
        snprintf(line, sizeof(line), "name%u 1\n", i);
        take(&c, line);
    }
    assert_int_equal(c.count, CARD_TOTALS);
    assert_int_equal(c.left_out, 1); // of the last line
    take(&c, "enc_packets 41\nmore 1\nstill_more 1\n");
    assert_int_equal(c.left_out, 2);
}

static void test_counters_that_there_is_no_room_for_are_told(void **state)
{
    static uint8_t buf[IPC_MAX_MESSAGE];
    static char text[16384];
    struct rig *r = *state;
    union msg m = {0};
    r->p->card_totals.left_out = 3;
    stats_counters(r->p, 7);
    ssize_t n = recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT);
    assert_true(n > 0);
    assert_int_equal(msg_read(slice_of(buf, (size_t)n), &m), MSG_PATH_STATS_IS);
    snprintf(text, sizeof(text), "%.*s", (int)m.PATH_STATS_IS.counters.len,
             (const char *)m.PATH_STATS_IS.counters.p);
    assert_non_null(strstr(text, "\ncounters_left_out 3\n"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_counters_that_there_is_no_room_for_are_told),
        T(test_counts_go_on_over_fail_over_rekeying_edit_and_end),
        T(test_ctl_that_was_started_again_is_told_all),
        T(test_what_is_dropped_on_its_way_out_is_counted),
        T(test_only_what_protects_and_each_child_once),
        T(test_page_has_an_end),
        cmocka_unit_test(test_what_cards_count_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
