// SPDX-License-Identifier: Apache-2.0
// What `metrics` gets of ctl: one question at a time, passed on to those who count, and of their answers what
// is for everybody's eyes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/lib/trust.h"
#include "tests/unit/ctl_rig.h"

static uint32_t last_req;

static uint32_t ask(enum metrics_what what, uint64_t from)
{
    struct msg_METRICS_LIST m = {.req = ++last_req, .what = (uint8_t)what, .from = from};
    tell(ROOM_METRICS, MSG_METRICS_LIST, &m);
    return last_req;
}

static void expect_result(uint32_t req, bool ok, const char *text)
{
    union msg m = expect(ROOM_METRICS, MSG_RESULT);
    assert_int_equal(m.RESULT.req, req);
    assert_int_equal(m.RESULT.ok, ok);
    assert_string_equal(m.RESULT.text, text);
    expect_nothing(ROOM_METRICS);
}

static void test_totals_are_those_of_ike_and_then_of_path(void **state)
{
    (void)state;
    uint32_t req = ask(METRICS_TOTALS, 0);
    uint32_t of_ike = expect(ROOM_IKE, MSG_IKE_STATS).IKE_STATS.req;
    expect_nothing(ROOM_PATH);
    tell(ROOM_IKE, MSG_IKE_STATS_IS,
         &(struct msg_IKE_STATS_IS){.req = of_ike, .total = 3, .counters = slice_str("established 5\n")});
    union msg m = expect(ROOM_METRICS, MSG_IKE_STATS_IS);
    assert_int_equal(m.IKE_STATS_IS.req, req);
    assert_int_equal(m.IKE_STATS_IS.total, 3);
    assert_true(slice_eq(m.IKE_STATS_IS.counters, slice_str("established 5\n")));
    result(ROOM_IKE, of_ike, true, "");
    uint32_t of_path = expect(ROOM_PATH, MSG_PATH_STATS).PATH_STATS.req;
    tell(ROOM_PATH, MSG_PATH_STATS_IS,
         &(struct msg_PATH_STATS_IS){.req = of_path, .counters = slice_str("keepalives 1\n")});
    assert_int_equal(expect(ROOM_METRICS, MSG_PATH_STATS_IS).PATH_STATS_IS.req, req);
    result(ROOM_PATH, of_path, true, "");
    expect_result(req, true, "");
}

static void test_room_that_does_not_answer_is_named(void **state)
{
    (void)state;
    uint32_t req = ask(METRICS_TOTALS, 0);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_IKE_STATS).IKE_STATS.req, true, "");
    expect(ROOM_PATH, MSG_PATH_STATS);
    now += FEED_ANSWER_MS;
    expect_result(req, false, "path: no answer in time");
    req = ask(METRICS_CONNS, 0); // the next one is answered all the same
    result(ROOM_IKE, expect(ROOM_IKE, MSG_COUNTS_LIST).COUNTS_LIST.req, false, "malformed list");
    expect_result(req, false, "ike: malformed list");
    expect_nothing(ROOM_PATH);
}

static void test_one_question_at_a_time_and_only_so_many_a_second(void **state)
{
    (void)state;
    uint32_t first = ask(METRICS_TOTALS, 0), second = ask(METRICS_TOTALS, 0);
    expect_result(second, false, "ctl: one question at a time");
    uint32_t of_ike = expect(ROOM_IKE, MSG_IKE_STATS).IKE_STATS.req;
    expect_nothing(ROOM_IKE);
    result(ROOM_IKE, of_ike, false, "no");
    expect_result(first, false, "ike: no");
    for (unsigned i = 1; i < FEED_A_SECOND; i++) {
        ask(METRICS_TOTALS, 0);
        result(ROOM_IKE, expect(ROOM_IKE, MSG_IKE_STATS).IKE_STATS.req, false, "no");
        expect(ROOM_METRICS, MSG_RESULT);
    }
    ask(METRICS_TOTALS, 0);
    expect(ROOM_METRICS, MSG_RESULT);
    expect_nothing(ROOM_IKE);
    now += 1000;
    ask(METRICS_TOTALS, 0);
    expect(ROOM_IKE, MSG_IKE_STATS);
}

static void test_list_that_there_is_not_is_refused(void **state)
{
    (void)state;
    expect_result(ask(METRICS_WHAT_COUNT, 0), false, "ctl: there is no such list");
    expect_nothing(ROOM_IKE);
}

// The names of a page as ike and path are asked for them.
static unsigned names_in(struct slice s, char first[NAME_MAX_LEN], char last[NAME_MAX_LEN])
{
    struct reader r = reader_of(s);
    unsigned n = 0;
    for (; r.left && !r.bad; n++)
        rd_cstr(&r, n ? last : first, NAME_MAX_LEN);
    assert_false(r.bad);
    return n;
}

static void test_loaded_connections_come_in_pages_up_or_down(void **state)
{
    (void)state;
    char first[NAME_MAX_LEN] = "", last[NAME_MAX_LEN] = "", name[32];
    for (unsigned i = 0; i < COUNTS_PAGE + 2; i++) {
        snprintf(name, sizeof(name), "c%u", i);
        load_conn(name);
    }
    uint32_t req = ask(METRICS_CONNS, 0);
    union msg m = expect(ROOM_IKE, MSG_COUNTS_LIST);
    assert_int_equal(names_in(m.COUNTS_LIST.names, first, last), COUNTS_PAGE);
    assert_string_equal(first, "c0");
    assert_string_equal(last, "c63");
    uint32_t of_ike = m.COUNTS_LIST.req;
    tell(ROOM_IKE, MSG_CONN_COUNTS, &(struct msg_CONN_COUNTS){.req = of_ike, .conn = "c0", .established = 7});
    m = expect(ROOM_METRICS, MSG_CONN_COUNTS);
    assert_int_equal(m.CONN_COUNTS.req, req);
    assert_int_equal(m.CONN_COUNTS.established, 7);
    tell(ROOM_IKE, MSG_CHILD_COUNTS, &(struct msg_CHILD_COUNTS){.req = of_ike, .conn = "c0", .child = "net"});
    assert_string_equal(expect(ROOM_METRICS, MSG_CHILD_COUNTS).CHILD_COUNTS.child, "net");
    result(ROOM_IKE, of_ike, true, "");
    m = expect(ROOM_PATH, MSG_TRAFFIC_LIST);
    assert_int_equal(names_in(m.TRAFFIC_LIST.names, first, last), COUNTS_PAGE);
    uint32_t of_path = m.TRAFFIC_LIST.req;
    tell(ROOM_PATH, MSG_TRAFFIC,
         &(struct msg_TRAFFIC){.req = of_path, .conn = "c0", .child = "net", .bytes_in = 9});
    assert_int_equal(expect(ROOM_METRICS, MSG_TRAFFIC).TRAFFIC.bytes_in, 9);
    result(ROOM_PATH, of_path, true, "");
    m = expect(ROOM_METRICS, MSG_LIST_MORE);
    assert_int_equal(m.LIST_MORE.req, req);
    // one of the first page goes and comes again between two pages: it is in the list once
    request("unload-conn", "name", "c0", NULL);
    result(ROOM_IKE, expect(ROOM_IKE, MSG_CONN_UNLOAD).CONN_UNLOAD.req, true, "");
    expect_success();
    load_conn("c0");
    req = ask(METRICS_CONNS, m.LIST_MORE.next);
    m = expect(ROOM_IKE, MSG_COUNTS_LIST);
    assert_int_equal(names_in(m.COUNTS_LIST.names, first, last), 2);
    assert_string_equal(first, "c64");
    assert_string_equal(last, "c65");
    result(ROOM_IKE, m.COUNTS_LIST.req, true, "");
    result(ROOM_PATH, expect(ROOM_PATH, MSG_TRAFFIC_LIST).TRAFFIC_LIST.req, true, "");
    expect_result(req, true, "");
}

static void test_of_certificates_only_what_says_which_and_until_when(void **state)
{
    (void)state;
    uint32_t req = ask(METRICS_CERTS, 5);
    union msg m = expect(ROOM_IKE, MSG_CERT_LIST);
    assert_int_equal(m.CERT_LIST.from, 5);
    uint32_t of_ike = m.CERT_LIST.req;
    tell(ROOM_IKE, MSG_CERT_IS,
         &(struct msg_CERT_IS){.req = of_ike, .kind = PKI_PUBKEY, .data = slice_str("k")});
    tell(ROOM_IKE, MSG_CERT_IS,
         &(struct msg_CERT_IS){.req = of_ike,
                               .kind = PKI_X509,
                               .has_key = 1,
                               .subject = "CN=gw",
                               .not_before = 10,
                               .not_after = 20,
                               .data = slice_str("abc")});
    m = expect(ROOM_METRICS, MSG_METRIC_CERT);
    assert_int_equal(m.METRIC_CERT.req, req);
    assert_string_equal(m.METRIC_CERT.subject, "CN=gw");
    assert_int_equal(m.METRIC_CERT.not_after, 20);
    assert_string_equal(m.METRIC_CERT.fingerprint, "ba7816bf8f01cfea"); // FIPS 180-2, appendix B.1
    tell(ROOM_IKE, MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = of_ike, .next = 9});
    m = expect(ROOM_METRICS, MSG_LIST_MORE);
    assert_int_equal(m.LIST_MORE.next, 9);
}

static void test_sas_come_with_what_path_knows_of_them_or_without(void **state)
{
    (void)state;
    uint32_t req = ask(METRICS_SAS, 0);
    uint32_t of_ike = expect(ROOM_IKE, MSG_IKE_LIST).IKE_LIST.req;
    tell(ROOM_IKE, MSG_IKE_INFO,
         &(struct msg_IKE_INFO){.req = of_ike, .id = 3, .conn = "gw", .state = "ESTABLISHED"});
    assert_string_equal(expect(ROOM_METRICS, MSG_METRIC_IKE_SA).METRIC_IKE_SA.conn, "gw");
    for (uint32_t id = 11; id <= 14; id++)
        tell(ROOM_IKE, MSG_CHILD_INFO,
             &(struct msg_CHILD_INFO){.req = of_ike, .id = id, .ike_id = 3, .name = "net"});
    // all of them go on before path is asked about their CHILD SAs
    tell(ROOM_IKE, MSG_IKE_INFO,
         &(struct msg_IKE_INFO){.req = of_ike, .id = 4, .conn = "far", .state = "ESTABLISHED"});
    assert_string_equal(expect(ROOM_METRICS, MSG_METRIC_IKE_SA).METRIC_IKE_SA.conn, "far");
    tell(ROOM_IKE, MSG_CHILD_INFO,
         &(struct msg_CHILD_INFO){.req = of_ike, .id = 15, .ike_id = 4, .name = "net"});
    result(ROOM_IKE, of_ike, true, "");
    union msg m = expect(ROOM_PATH, MSG_PATH_LIST);
    assert_int_equal(m.PATH_LIST.children.len, 20);
    uint32_t of_path = m.PATH_LIST.req;
    tell(ROOM_PATH, MSG_PATH_SA,
         &(struct msg_PATH_SA){.req = of_path, .child_id = 12, .bytes_out = 5, .offload = "card"});
    tell(ROOM_PATH, MSG_PATH_SA,
         &(struct msg_PATH_SA){.req = of_path, .child_id = 13, .bytes_out = 6, .offload = "software"});
    result(ROOM_PATH, of_path, true, "");
    static const uint64_t octets[] = {0, 5, 6, 0, 0};
    for (uint32_t i = 0; i < 5; i++) {
        m = expect(ROOM_METRICS, MSG_METRIC_CHILD_SA);
        assert_int_equal(m.METRIC_CHILD_SA.req, req);
        assert_int_equal(m.METRIC_CHILD_SA.id, 11 + i);
        assert_string_equal(m.METRIC_CHILD_SA.conn, i < 4 ? "gw" : "far");
        assert_int_equal(m.METRIC_CHILD_SA.bytes_out, octets[i]);
    }
    expect_result(req, true, "");
}

static void test_process_that_was_started_again_is_listed_by_its_new_number(void **state)
{
    (void)state;
    tell(ROOM_SUPER, MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = ROOM_FETCH, .pid = 4711});
    turn();
    assert_int_equal(ctl->pid[ROOM_FETCH], 4711);
}

static int set_up(void **state)
{
    int rc = ctl_set_up(state);
    ctl->serving = true;
    return rc;
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, ctl_tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_totals_are_those_of_ike_and_then_of_path),
        T(test_room_that_does_not_answer_is_named),
        T(test_one_question_at_a_time_and_only_so_many_a_second),
        T(test_list_that_there_is_not_is_refused),
        T(test_loaded_connections_come_in_pages_up_or_down),
        T(test_of_certificates_only_what_says_which_and_until_when),
        T(test_sas_come_with_what_path_knows_of_them_or_without),
        T(test_process_that_was_started_again_is_listed_by_its_new_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
