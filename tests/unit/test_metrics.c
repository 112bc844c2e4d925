// SPDX-License-Identifier: Apache-2.0
// The metrics process without its neighbours: the text of a scrape, how the other rooms' lines become
// families, one snapshot as `ctl` tells it page by page, and who is answered when.
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/ike/ike.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/metrics_at.h"
#include "ctrl/lib/trust.h"
#include "ctrl/metrics/collect.h"
#include "ctrl/metrics/metrics.h"
#include "ctrl/metrics/processes.h"
#include "ctrl/metrics/serve.h"
#include "ctrl/metrics/totals.h"
#include "espalier/engine.h"

static struct exposition e;
static char *text;

static int clear(void **state)
{
    (void)state;
    exposition_clear(&e);
    free(text);
    text = NULL;
    return 0;
}

static const char *made(bool openmetrics)
{
    size_t len = 0;
    free(text);
    char *p = exposition_text(&e, openmetrics, &len);
    assert_non_null(p);
    text = malloc(len + 1);
    assert_non_null(text);
    memcpy(text, p, len);
    text[len] = 0;
    free(p);
    return text;
}

static void assert_line(const char *line)
{
    const char *at = strstr(text, line);
    size_t n = strlen(line);
    while (at && ((at != text && at[-1] != '\n') || at[n] != '\n'))
        at = strstr(at + 1, line);
    if (!at)
        fail_msg("there is no line %s in:\n%s", line, text);
}

// ---- the text

static void test_label_values_are_escaped_and_are_utf8(void **state)
{
    (void)state;
    struct labels l = labels_none();
    labels_add(&l, "a", "q\"b\\n\nx");
    labels_add(&l, "b", "\xc3\xa4 \xf0\x9f\x98\x80 \xff \xc0\xaf \xed\xa0\x80 \xe2\x82");
#define NOT_UTF8(digits) "\xef\xbf\xbd" digits
    assert_string_equal(l.text, "{a=\"q\\\"b\\\\n\\nx\",b=\"\xc3\xa4 \xf0\x9f\x98\x80 " NOT_UTF8(
                                    "ff") " " NOT_UTF8("c0") NOT_UTF8("af") " " NOT_UTF8("ed") NOT_UTF8("a0")
                                    NOT_UTF8("80") " " NOT_UTF8("e2") NOT_UTF8("82") "\"");
}

// Or two connections would be one series, and the scrape be refused for it.
static void test_names_that_differ_are_labels_that_differ(void **state)
{
    static const char *const names[] = {"\xff",
                                        "\xfe",
                                        "\xff\xfe",
                                        "\xfe\xff",
                                        "\xef\xbf\xbd",
                                        "\xef\xbf\xbd"
                                        "ff",
                                        "\xef\xbf\xbd\xef\xbf\xbd",
                                        "\xff"
                                        "ff",
                                        "\xef\xbf",
                                        "\xef\xbf\xbd\xff",
                                        "ff",
                                        "\xff\xef\xbf\xbd",
                                        "\xef"
                                        "bfbd",
                                        "\\xff"};
    enum { NAMES = sizeof(names) / sizeof(names[0]) };
    struct labels l[NAMES];
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        l[i] = labels_none();
        labels_add(&l[i], "connection", names[i]);
        for (int k = 0; k < i; k++)
            if (strcmp(l[k].text, l[i].text) == 0)
                fail_msg("names %d and %d are both %s", k, i, l[i].text);
    }
}

static void test_label_that_is_too_long_is_cut_and_whole_all_the_same(void **state)
{
    (void)state;
    static char longer[3 * sizeof(((struct labels *)0)->text)];
    struct labels l = labels_none();
    memset(longer, '"', sizeof(longer) - 1);
    labels_add(&l, "a", longer);
    labels_add(&l, "b", "no room");
    assert_true(l.len < sizeof(l.text));
    assert_string_equal(l.text + l.len - 3, "\\\"\"");
    assert_null(strstr(l.text, "b="));
}

static void test_openmetrics_has_units_and_an_end_and_the_older_form_neither(void **state)
{
    (void)state;
    struct labels l = labels_none();
    labels_add(&l, "connection", "a");
    labels_add(&l, "child", "b");
    exposition_add(&e, FAM_CHILD_TX_BYTES, &l, UINT64_MAX);
    exposition_add(&e, FAM_BUILD, &l, 1);
    made(true);
    assert_line("# TYPE espalier_child_sent_bytes counter");
    assert_line("# UNIT espalier_child_sent_bytes bytes");
    assert_line("espalier_child_sent_bytes_total{connection=\"a\",child=\"b\"} 18446744073709551615");
    assert_line("# TYPE espalier_build info");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    made(false);
    assert_line("# TYPE espalier_child_sent_bytes_total counter");
    assert_line("# TYPE espalier_build_info gauge");
    assert_line("espalier_build_info{connection=\"a\",child=\"b\"} 1");
    assert_null(strstr(text, "# EOF"));
    assert_null(strstr(text, "# UNIT"));
}

static void test_families_are_named_as_openmetrics_wants_it(void **state)
{
    (void)state;
    for (int f = 0; f < FAM_COUNT; f++) {
        const struct family_info *i = &families[f];
        size_t n = strlen(i->name), u = strlen(i->unit);
        assert_true(strncmp(i->name, "espalier_", 9) == 0 || strncmp(i->name, "process_", 8) == 0);
        if (strspn(i->name, "abcdefghijklmnopqrstuvwxyz_") != n || strstr(i->name, "_total") ||
            strstr(i->name, "_info"))
            fail_msg("%s", i->name);
        if (u && (n < u + 2 || strcmp(i->name + n - u, i->unit) != 0 || i->name[n - u - 1] != '_'))
            fail_msg("%s does not end with its unit, %s", i->name, i->unit);
        assert_true(i->help[strlen(i->help) - 1] == '.' && !strpbrk(i->help, "\\\"\n"));
        for (int k = 0; k < f; k++)
            assert_string_not_equal(families[k].name, i->name);
    }
}

static void test_histogram_counts_what_is_below_each_bound(void **state)
{
    (void)state;
    static const double bounds[] = {0.005, 0.25, 10};
    static const uint64_t counts[] = {3, 0, 4, 5};
    exposition_add_histogram(&e, FAM_IKE_HANDSHAKE, bounds, counts, 3, 1.5);
    made(true);
    assert_line("espalier_ike_handshake_seconds_bucket{le=\"0.005\"} 3");
    assert_line("espalier_ike_handshake_seconds_bucket{le=\"0.25\"} 3");
    assert_line("espalier_ike_handshake_seconds_bucket{le=\"10.0\"} 7");
    assert_line("espalier_ike_handshake_seconds_bucket{le=\"+Inf\"} 12");
    assert_line("espalier_ike_handshake_seconds_count 12");
    assert_line("espalier_ike_handshake_seconds_sum 1.500000");
}

static void test_more_than_an_answer_may_be_is_none(void **state)
{
    (void)state;
    struct labels l = labels_none();
    e.len = EXPOSITION_MOST - 100;
    labels_add(&l, "connection",
               "a name of a connection that is longer than what is left of all the room "
               "that there was for samples");
    exposition_add(&e, FAM_CONNECTION_UP, &l, 1);
    size_t len;
    assert_true(e.failed);
    assert_null(exposition_text(&e, true, &len));
}

// ---- lines of the other rooms

static void test_every_counter_of_ike_has_a_family(void **state)
{
    (void)state;
    static const char *const names[] = {
#define X(sym, text) #sym,
        COUNTER_LIST(X)
#undef X
    };
    for (unsigned i = 0; i < CNT_COUNT; i++)
        if (!totals_knows(names[i]))
            fail_msg("%s has no line in ctrl/metrics/totals.c", names[i]);
}

static void test_lines_become_families_with_their_labels(void **state)
{
    (void)state;
    uint8_t handshakes[8 * (HANDSHAKE_COUNT + 2)];
    struct writer w = writer_of(handshakes, sizeof(handshakes));
    wr_u64(&w, 1500000);
    for (unsigned i = 0; i <= HANDSHAKE_COUNT; i++)
        wr_u64(&w, i == 0);
    totals_ike(&e, &(struct msg_IKE_STATS_IS){.total = 7,
                                              .half_open = 2,
                                              .counters = slice_str("ike_auth_in_req 41\nestablished 5\n"
                                                                    "malformed\n x\nretransmits 1x\n"),
                                              .handshakes = wr_written(&w)});
    totals_path(&e,
                &(struct msg_PATH_STATS_IS){
                    .counters = slice_str(
                        "child_sas 10\nchild_sas_on_card 4\nchild_sas_in_kernel 1\nkernel_bytes_in "
                        "77\ncard_bytes_out 9\n"
                        "counters_left_out 6\ndrop_in_REPLAY_SEEN 3\nreceive_queue_full_udp 8\nenc_packets "
                        "12\nfailover_detection_to_first_packet_us 1500\n")});
    made(true);
    assert_line("espalier_ike_sas 7");
    assert_line("espalier_ike_half_open_sas 2");
    assert_line("espalier_ike_requests_total{exchange=\"IKE_AUTH\",direction=\"received\"} 41");
    assert_line("espalier_ike_sas_established_total 5");
    assert_line("espalier_ike_handshake_seconds_sum 1.500000");
    assert_line("espalier_engine_child_sas{engine=\"card\"} 4");
    assert_line("espalier_engine_child_sas{engine=\"kernel\"} 1");
    assert_line("espalier_engine_child_sas{engine=\"software\"} 5");
    assert_line("espalier_engine_bytes_total{engine=\"kernel\",direction=\"received\"} 77");
    assert_line("espalier_engine_bytes_total{engine=\"card\",direction=\"sent\"} 9");
    assert_line("espalier_dropped_packets_total{direction=\"received\",reason=\"REPLAY_SEEN\"} 3");
    assert_line("espalier_dropped_packets_total{direction=\"sent\",reason=\"REPLAY_SEEN\"} 0");
    assert_line("espalier_queue_dropped_packets_total{queue=\"udp\"} 8");
    assert_line("espalier_queue_dropped_packets_total{queue=\"esp\"} 0"); // not told: none
    assert_line("espalier_card_events_total{name=\"enc_packets\"} 12");
    assert_line("espalier_failover_resume_seconds 0.001500");
    assert_line("espalier_metrics_left_out{list=\"counters\"} 6");
    assert_null(strstr(text, "retransmissions_total"));
    assert_null(strstr(text, "UNKNOWN"));
}

static void test_process_is_read_whatever_its_name_is(void **state)
{
    (void)state;
    struct process p;
    char stat[400];
    double tick = (double)sysconf(_SC_CLK_TCK);
    snprintf(stat, sizeof(stat),
             "77 (a ) 1 (b) S 1 77 77 0 -1 4194560 100 0 0 0 %.0f %.0f 0 0 20 0 1 0 %.0f 1048576 25 "
             "18446744073709551615 1 1 0 0 0 0 0 0\n",
             2 * tick, tick, 10 * tick);
    assert_true(process_read(stat, 1000, &p));
    assert_true(p.cpu_s > 2.999 && p.cpu_s < 3.001);
    assert_true(p.start_s > 1009.999 && p.start_s < 1010.001);
    assert_int_equal(p.virtual, 1048576);
    assert_int_equal(p.resident, 25 * sysconf(_SC_PAGESIZE));
    assert_false(process_read("77 (a) S 1 2 3", 0, &p));
    assert_false(process_read("", 0, &p));
}

// ---- where it listens

static void test_address_is_of_this_machine_unless_it_says_otherwise(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",           "0",          "65536", "x",       "127.0.0.1",
                                        "127.0.0.1:", ":80",        "[::1]", "::1:80",  "[::1]:0",
                                        "host:80",    "-1",         "80 ",   "unix://", "unix://relative",
                                        "1.2.3:80",   "99999999999"};
    struct metrics_at at;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (metrics_at_read(wrong[i], &at) == 0)
            fail_msg("'%s' was taken", wrong[i]);
    const struct sockaddr_in *in = (const struct sockaddr_in *)&at.address;
    assert_int_equal(metrics_at_read("9909", &at), 0);
    assert_true(in->sin_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_LOOPBACK) &&
                in->sin_port == htons(9909) && !at.wide);
    assert_int_equal(metrics_at_read("0.0.0.0:80", &at), 0);
    assert_true(at.wide);
    assert_int_equal(metrics_at_read("[::1]:80", &at), 0);
    assert_true(at.address.ss_family == AF_INET6 && !at.wide);
    assert_int_equal(metrics_at_read("[fd00::1]:80", &at), 0);
    assert_true(at.wide);
    assert_int_equal(metrics_at_read("unix:///run/x", &at), 0);
    assert_string_equal(at.path, "/run/x");
    assert_false(at.wide);
}

// ---- the whole room, with the test as ctl and as its clients

static uint64_t now;
static struct loop *loop;
static struct metrics *room;
static int ctl, super, port;
static struct settings st;

static uint64_t virtual_now(void *ctx)
{
    (void)ctx;
    return now * 1000;
}

static void turn(void)
{
    for (int i = 0; i < 50; i++)
        loop_once(loop, 0);
}

static int room_up(void **state)
{
    pid_t pid[ROOM_COUNT] = {[ROOM_METRICS] = getpid()};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int pair[2], fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    (void)state;
    log_set_all(-1);
    now = 100000;
    settings_default(&st);
    st.metrics_per_sa = true;
    loop = loop_new();
    loop_set_clock(loop, (struct clock){virtual_now, NULL});
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    port = at.sin_port;
    room = metrics_new(loop, &st, pid, fd);
    assert_non_null(room);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(metrics_attach(room, ROOM_CTL, pair[0]), 0);
    ctl = pair[1];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(metrics_attach(room, ROOM_SUPER, pair[0]), 0);
    super = pair[1];
    return 0;
}

static int room_down(void **state)
{
    metrics_free(room);
    loop_free(loop);
    close(ctl);
    close(super);
    return clear(state);
}

static int ask(const char *request)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = (in_port_t)port};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
    turn();
    return fd;
}

static int client(void)
{
    return ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n");
}

// What ctl is asked: 0 nothing, otherwise the question's number.
static uint32_t asked(enum metrics_what what, uint64_t from)
{
    static uint8_t wire[4096];
    union msg m;
    turn();
    ssize_t n = recv(ctl, wire, sizeof(wire), 0);
    if (n < 0)
        return 0;
    assert_int_equal(msg_read(slice_of(wire, (size_t)n), &m), MSG_METRICS_LIST);
    assert_int_equal(m.METRICS_LIST.what, what);
    assert_int_equal(m.METRICS_LIST.from, from);
    return m.METRICS_LIST.req;
}

static void tell(enum msg_type t, const void *m)
{
    static uint8_t wire[8192];
    struct writer w = writer_of(wire, sizeof(wire));
    msg_write(&w, t, m);
    assert_int_equal(send(ctl, wire, w.len, 0), w.len);
    turn();
}

static void result(uint32_t req, bool ok, const char *why)
{
    struct msg_RESULT m = {.req = req, .ok = ok};
    snprintf(m.text, sizeof(m.text), "%s", why);
    tell(MSG_RESULT, &m);
}

// All lists but those of connections and SAs are empty.
static void answer_all(void)
{
    uint32_t req = asked(METRICS_TOTALS, 0);
    assert_true(req);
    tell(MSG_IKE_STATS_IS, &(struct msg_IKE_STATS_IS){.req = req, .total = 3});
    result(req, true, "");
    req = asked(METRICS_CONNS, 0);
    tell(MSG_CONN_COUNTS, &(struct msg_CONN_COUNTS){.req = req, .conn = "a", .up = 2, .established = 4});
    tell(MSG_CHILD_COUNTS,
         &(struct msg_CHILD_COUNTS){.req = req, .conn = "a", .child = "n", .failures = 2, .next_ms = 1500});
    tell(MSG_TRAFFIC, &(struct msg_TRAFFIC){.req = req, .conn = "a", .child = "n", .bytes_in = 77});
    tell(MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = req, .next = 65});
    req = asked(METRICS_CONNS, 65);
    tell(MSG_CONN_COUNTS, &(struct msg_CONN_COUNTS){.req = req, .conn = "b"});
    result(req, true, "");
    req = asked(METRICS_CERTS, 0);
    result(req, true, "");
    req = asked(METRICS_SAS, 0);
    tell(MSG_METRIC_IKE_SA, &(struct msg_METRIC_IKE_SA){.req = req, .id = 5, .conn = "a", .state = "UP"});
    tell(MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = req, .next = 9});
    req = asked(METRICS_SAS, 9); // the same IKE SA once more, for its CHILD SA's sake
    tell(MSG_METRIC_IKE_SA, &(struct msg_METRIC_IKE_SA){.req = req, .id = 5, .conn = "a", .state = "UP"});
    tell(MSG_METRIC_CHILD_SA,
         &(struct msg_METRIC_CHILD_SA){.req = req, .id = 8, .conn = "c", .child = "n", .bytes_out = 6});
    result(req, true, "");
}

// Until the end; the answer's status.
static int answered(int fd)
{
    static char got[4 << 20];
    size_t n = 0;
    ssize_t r = 0;
    for (int i = 0; i < 200 && n < sizeof(got) - 1; i++) {
        turn();
        r = recv(fd, got + n, sizeof(got) - 1 - n, MSG_DONTWAIT);
        if (r == 0)
            break;
        n += r > 0 ? (size_t)r : 0;
        if (r < 0)
            usleep(1000);
    }
    got[n] = 0;
    close(fd);
    free(text);
    text = strdup(got);
    assert_int_equal(r, 0);
    return n > 12 ? atoi(got + 9) : 0;
}

static void test_snapshot_is_asked_for_page_by_page_and_serves_for_a_second(void **state)
{
    (void)state;
    int first = client(), second = client();
    answer_all();
    assert_int_equal(answered(second), 200);
    assert_int_equal(answered(first), 200);
    assert_line("espalier_connection_up{connection=\"a\"} 1");
    assert_line("espalier_connection_up{connection=\"b\"} 0");
    assert_line("espalier_child_up{connection=\"a\",child=\"n\"} 0");
    assert_line("espalier_child_failed_tries{connection=\"a\",child=\"n\"} 2");
    assert_line("espalier_child_next_try_seconds{connection=\"a\",child=\"n\"} 1.500000");
    assert_line("espalier_child_received_bytes_total{connection=\"a\",child=\"n\"} 77");
    assert_line("espalier_child_sa_sent_bytes_total{connection=\"c\",child=\"n\",id=\"8\"} 6");
    const char *info = strstr(text, "espalier_ike_sa_info{");
    assert_non_null(info);
    assert_null(strstr(info + 1, "espalier_ike_sa_info{"));
    now += SERVE_FRESH_MS - 1;
    assert_int_equal(answered(client()), 200);
    assert_int_equal(asked(METRICS_TOTALS, 0), 0);
    now += 1;
    int third = client();
    answer_all();
    assert_int_equal(answered(third), 200);
}

static void test_host_of_this_machine_is_answered_and_so_is_who_names_none(void **state)
{
    static const char *const asks[] = {"GET /metrics HTTP/1.1\r\nHost: localhost:9909\r\n\r\n",
                                       "GET /metrics HTTP/1.1\r\nHost: LOCALHOST\r\n\r\n",
                                       "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9909\r\n\r\n",
                                       "GET /metrics HTTP/1.1\r\nHost: [::1]:9909\r\n\r\n",
                                       "GET /metrics HTTP/1.0\r\n\r\n"};
    (void)state;
    int first = client();
    answer_all();
    assert_int_equal(answered(first), 200);
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++)
        assert_int_equal(answered(ask(asks[i])), 200);
}

static void test_room_that_does_not_answer_makes_the_scrape_fail_and_the_next_one_is_tried(void **state)
{
    (void)state;
    int fd = client();
    uint32_t req = asked(METRICS_TOTALS, 0);
    result(req, false, "path: no answer in time");
    assert_int_equal(answered(fd), 503);
    assert_line("path: no answer in time");
    fd = client();
    req = asked(METRICS_TOTALS, 0);
    assert_true(req);
    now += METRICS_COLLECT_MS;
    assert_int_equal(answered(fd), 503);
    fd = client();
    result(req, true, ""); // too late: of one that was given up
    answer_all();
    assert_int_equal(answered(fd), 200);
}

static void test_list_ends_at_its_bound_and_that_is_told(void **state)
{
    (void)state;
    int fd = client();
    st.metrics_per_sa = false;
    uint8_t wire[sizeof(st) + 64];
    struct writer w = writer_of(wire, sizeof(wire));
    msg_write(&w, MSG_SETTINGS, &(struct msg_SETTINGS){.settings = slice_of(&st, sizeof(st))});
    assert_int_equal(send(super, wire, w.len, 0), w.len); // holds from the next one on
    result(asked(METRICS_TOTALS, 0), true, "");
    result(asked(METRICS_CONNS, 0), true, "");
    uint32_t req = asked(METRICS_CERTS, 0);
    for (unsigned i = 0; i <= METRICS_MOST_CERTS; i++) {
        struct msg_METRIC_CERT m = {.req = req, .kind = PKI_CA, .subject = "C=DE", .not_after = i + 1};
        snprintf(m.fingerprint, sizeof(m.fingerprint), "%016x", i);
        tell(MSG_METRIC_CERT, &m);
    }
    tell(MSG_LIST_MORE, &(struct msg_LIST_MORE){.req = req, .next = 9});
    req = asked(METRICS_SAS, 0); // and no further page of certificates
    result(req, true, "");
    assert_int_equal(answered(fd), 200);
    assert_line("espalier_metrics_left_out{list=\"certificates\"} 1");
    assert_line(
        "espalier_certificate_not_after_timestamp_seconds{subject=\"C=DE\",kind=\"ca\",private_key=\"no\","
        "fingerprint=\"00000000000003e7\"} 1000");
    assert_null(strstr(text, "00000000000003e8"));
    now += SERVE_FRESH_MS;
    fd = client();
    result(asked(METRICS_TOTALS, 0), true, "");
    result(asked(METRICS_CONNS, 0), true, "");
    req = asked(METRICS_CERTS, 0);
    tell(MSG_METRIC_CERT,
         &(struct msg_METRIC_CERT){.req = req, .kind = PKI_CRL, .subject = "C=DE", .not_after = 99});
    result(req, true, "");
    assert_int_equal(answered(fd), 200); // without the SAs
    assert_line("espalier_metrics_left_out{list=\"certificates\"} 0");
    assert_line("espalier_crl_next_update_timestamp_seconds{issuer=\"C=DE\",fingerprint=\"\"} 99");
}

static void test_what_is_not_for_get_metrics_is_refused(void **state)
{
    static const struct {
        const char *ask;
        int status;
    } cases[] = {{"GET / HTTP/1.1\r\nHost: [::1]:9\r\n\r\n", 404},
                 {"GET /metrics/../x HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
                 {"POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc", 405},
                 {"DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
                 {"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
                 {"GET /metrics HTTP/1.1\r\nHost: evil.example:9909\r\n\r\n", 403},
                 {"GET /metrics HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403},
                 {"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 403},
                 {"GET /metrics HTTP/1.1\r\nHost: \r\n\r\n", 403}};
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int got = answered(ask(cases[i].ask));
        if (got != cases[i].status)
            fail_msg("%s: %d, expected %d", cases[i].ask, got, cases[i].status);
        assert_int_equal(asked(METRICS_TOTALS, 0), 0);
    }
}

#define T(name)    cmocka_unit_test_teardown(name, clear)
#define ROOM(name) cmocka_unit_test_setup_teardown(name, room_up, room_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_label_values_are_escaped_and_are_utf8),
        T(test_names_that_differ_are_labels_that_differ),
        T(test_label_that_is_too_long_is_cut_and_whole_all_the_same),
        T(test_openmetrics_has_units_and_an_end_and_the_older_form_neither),
        T(test_families_are_named_as_openmetrics_wants_it),
        T(test_histogram_counts_what_is_below_each_bound),
        T(test_more_than_an_answer_may_be_is_none),
        T(test_every_counter_of_ike_has_a_family),
        T(test_lines_become_families_with_their_labels),
        T(test_process_is_read_whatever_its_name_is),
        T(test_address_is_of_this_machine_unless_it_says_otherwise),
        ROOM(test_snapshot_is_asked_for_page_by_page_and_serves_for_a_second),
        ROOM(test_host_of_this_machine_is_answered_and_so_is_who_names_none),
        ROOM(test_room_that_does_not_answer_makes_the_scrape_fail_and_the_next_one_is_tried),
        ROOM(test_list_ends_at_its_bound_and_that_is_told),
        ROOM(test_what_is_not_for_get_metrics_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
