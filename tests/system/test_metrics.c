// SPDX-License-Identifier: Apache-2.0
// Metrics of two espalierd that face each other: what a scrape says is held against what was sent, against
// swanctl, and against the parsers of Prometheus' own client library and promtool. A connection that is down
// stays in them, totals go on over a rekeying and an end, the process that serves them dies and comes back,
// and who is slow keeps nobody waiting.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/steps.h"

#define PORT  "9909"
#define PLACE "metrics=127.0.0.1:9909"

static const char down_connection[] =
    "connections { down { remote_addrs = 10.10.0.77\n keyingtries = 1\n local { auth = psk\n id = a }\n "
    "remote { "
    "auth = psk\n id = b }\n children { other { local_ts = 10.1.0.0/16\n remote_ts = 10.77.0.0/16 } } } }\n"
    "secrets { ike-other { secret = \"another shared secret of the lab\" } }\n";

static struct lab lab;
static char scraped[1 << 20]; // the oracle's lines

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espmet") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static bool start(char *const west_settings[])
{
    static char *const no_card[] = {"--card", "none", NULL};
    struct tunnel_options west = {.sections = down_connection}, east = {0};
    return espalierd_start(&lab, &lab.east, &lab.west, &east, no_card) &&
           espalierd_start(&lab, &lab.west, &lab.east, &west, west_settings);
}

static char *const usual[] = {
    "--card", "none", "-o", PLACE, "-o", "retransmit_tries=1", "-o", "retransmit_timeout=0.1", NULL};

// ---- scrapes

static bool scrape_form(const char *form, const char *accept)
{
    return sh("nsenter --net=%s curl -sS -f -m 5 -H 'Accept: %s' -o %s/scrape http://127.0.0.1:" PORT
              "/metrics",
              lab.west.ns, accept, lab.dir) == 0 &&
           sh_read(scraped, sizeof(scraped), "/usr/bin/python3 tests/system/openmetrics.py %s %s/scrape",
                   form, lab.dir) == 0;
}

// A new snapshot: the one before is good for a second.
static void scrape(void)
{
    usleep(1100000);
    assert_true(scrape_form("openmetrics", "application/openmetrics-text;version=1.0.0"));
}

// Of a sample as the oracle prints it, labels in brackets; -1: there is none.
static double value_of(const char *sample)
{
    size_t n = strlen(sample);
    for (const char *line = scraped; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, sample, n) == 0 && line[n] == ' ')
            return strtod(line + n, NULL);
    }
    return -1;
}

static void expect(const char *sample, double value)
{
    double is = value_of(sample);
    if (is < value || is > value)
        fail_msg("%s is %g, expected %g", sample, is, value);
}

#define CHILD(family)      "espalier_child_" family "{child=\"net\",connection=\"site\"}"
#define CONNECTION(family) "espalier_connection_" family "{connection=\"site\"}"

// As swanctl shows it: "name=123".
static double of_swanctl(const char *command, const char *name)
{
    char out[32768];
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "%s", command), 0);
    uint64_t value = number_after(out, name, UINT64_MAX);
    if (value == UINT64_MAX)
        fail_msg("swanctl %s: no %s in %s", command, name, out);
    return (double)value;
}

static bool down(void *ctx)
{
    (void)ctx;
    scrape();
    return value_of(CONNECTION("up")) <= 0;
}

// ---- what is in a scrape

static void pings(int n)
{
    assert_true(ping(&lab, &lab.west, &lab.east, n));
}

static void holds_traffic(double packets)
{
    double octets = packets * 84; // ping's packets
    scrape();
    expect(CHILD("sent_packets_total"), packets);
    expect(CHILD("received_packets_total"), packets);
    expect(CHILD("sent_bytes_total"), octets);
    expect(CHILD("received_bytes_total"), octets);
    expect("espalier_engine_packets_total{direction=\"sent\",engine=\"software\"}", packets);
    expect("espalier_engine_packets_total{direction=\"sent\",engine=\"software\"}",
           of_swanctl("--counters --all --raw", "software_packets_out"));
    expect("espalier_engine_bytes_total{direction=\"received\",engine=\"software\"}",
           of_swanctl("--counters --all --raw", "software_bytes_in"));
}

// Both forms, by parsers that are not ours.
static void test_scrape_is_what_prometheus_reads(void **state)
{
    (void)state;
    assert_true(start(usual));
    assert_true(initiate(&lab.west));
    pings(1);
    scrape();
    assert_true(strstr(scraped, "espalier_build_info{version="));
    assert_true(value_of("espalier_ike_handshake_seconds_count{}") >= 1);
    assert_true(value_of("espalier_ike_handshake_seconds_sum{}") > 0);
    expect("espalier_ike_handshake_seconds_bucket{le=\"+Inf\"}", 1);
    double began = value_of("process_start_time_seconds{process=\"ike\"}");
    assert_true(began > 1.7e9 && value_of("process_resident_memory_bytes{process=\"path\"}") > 1e6);
    assert_null(strstr(scraped, "espalier_card_events")); // a line of path's that nobody here knows
    assert_true(scrape_form("text", "text/plain;version=0.0.4"));
    assert_true(value_of("espalier_ike_sas{}") >= 1);
    if (sh("command -v promtool") == 0)
        assert_int_equal(sh("promtool check metrics <%s/scrape", lab.dir), 0);
    else
        print_message("skip: promtool is not installed\n");
}

static void test_alerts_fire_when_they_are_to(void **state)
{
    (void)state;
    if (sh("command -v promtool") != 0) {
        print_message("skip: promtool is not installed\n");
        skip();
    }
    assert_int_equal(sh("promtool check rules ctrl/metrics/alerts.yml"), 0);
    assert_int_equal(sh("promtool test rules tests/system/alerts_test.yml"), 0);
}

static void test_counts_are_those_of_what_was_sent_over_a_rekeying_and_an_end(void **state)
{
    (void)state;
    char out[16384];
    assert_true(start(usual));
    scrape();
    expect(CONNECTION("up"), 0);
    expect(CHILD("up"), 0);
    expect(CHILD("sent_packets_total"), 0);
    assert_true(initiate(&lab.west));
    pings(5);
    holds_traffic(5);
    expect(CONNECTION("up"), 1);
    expect(CONNECTION("ike_sas_established_total"), 1);
    expect(CHILD("up"), 1);
    expect(CHILD("sas"), 1);
    expect(CHILD("sent_packets_total"), of_swanctl("--list-sas --raw", "packets-out"));
    expect(CHILD("received_bytes_total"), of_swanctl("--list-sas --raw", "bytes-in"));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --child net"), 0);
    pings(4);
    holds_traffic(9);
    expect(CHILD("sas_rekeyed_total"), 1);
    expect(CHILD("sas_installed_total"), 2);
    expect(CHILD("sas"), 1);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--rekey --ike site"), 0);
    pings(1);
    holds_traffic(10);
    expect(CONNECTION("ike_sas_rekeyed_total"), 1);
    expect(CONNECTION("ike_sas"), 1);
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--terminate --ike site"), 0);
    assert_true(wait_for(down, NULL, PATIENCE_MS));
    expect(CHILD("up"), 0);
    expect(CONNECTION("ike_sas_established_total"), 1);
    holds_traffic(10); // what has ended was sent all the same
    assert_true(initiate(&lab.west));
    pings(2);
    holds_traffic(12);
    expect(CONNECTION("up"), 1);
    expect(CONNECTION("ike_sas_established_total"), 2);
}

static void test_connection_that_never_came_up_is_there_and_says_why(void **state)
{
    (void)state;
    char out[16384];
    assert_true(start(usual));
    scrape();
    expect("espalier_connection_up{connection=\"down\"}", 0);
    expect("espalier_child_up{child=\"other\",connection=\"down\"}", 0);
    expect("espalier_connection_failures_total{connection=\"down\",reason=\"no_answer\"}", 0);
    assert_int_not_equal(swanctl(&lab.west, out, sizeof(out), "--initiate --child other --timeout 5"), 0);
    scrape();
    expect("espalier_connection_up{connection=\"down\"}", 0);
    expect("espalier_connection_failures_total{connection=\"down\",reason=\"no_answer\"}", 1);
    expect("espalier_connection_failures_total{connection=\"site\",reason=\"no_answer\"}", 0);
}

// ---- over a fail-over

static bool in_software(void *ctx)
{
    (void)ctx;
    scrape();
    return value_of("espalier_engine_child_sas{engine=\"software\"}") >= 1;
}

static void test_counts_go_on_when_the_card_is_killed(void **state)
{
    (void)state;
    char *const with_card[] = {"--card", "auto", "--pci-sysfs", lab.card_dir, "-o", PLACE, NULL};
    static char *const no_card[] = {"--card", "none", NULL};
    struct tunnel_options west = {.hw_offload = "auto"}, east = {0};
    assert_true(card_start(&lab, ""));
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &east, no_card) &&
                espalierd_start(&lab, &lab.west, &lab.east, &west, with_card));
    assert_true(initiate(&lab.west));
    pings(6);
    scrape();
    expect("espalier_card_present{}", 1);
    expect(CHILD("sent_packets_total"), 6);
    expect("espalier_engine_packets_total{direction=\"sent\",engine=\"card\"}", 6);
    usleep(1200000); // the card says what it counts once a second, when it was asked
    scrape();
    expect("espalier_card_events_total{name=\"ENC_PACKETS\"}", 6);
    assert_true(stop(&lab.card, SIGKILL, 4000));
    assert_true(wait_for(in_software, NULL, PATIENCE_MS));
    pings(3);
    scrape();
    expect("espalier_card_present{}", 0);
    expect("espalier_failovers_total{}", 1);
    expect(CHILD("sent_packets_total"), 9);
    expect(CHILD("received_packets_total"), 9);
    expect("espalier_engine_packets_total{direction=\"sent\",engine=\"card\"}", 6);
    expect("espalier_engine_packets_total{direction=\"sent\",engine=\"software\"}", 3);
    expect("espalier_card_events_total{name=\"ENC_PACKETS\"}", 6); // what the one that is gone has counted
}

// ---- each SA by itself, only where that is asked for

static void test_each_sa_is_told_of_where_that_is_asked_for(void **state)
{
    (void)state;
    static char *const per_sa[] = {"--card", "none", "-o", PLACE, "-o", "metrics_per_sa=yes", NULL};
    assert_true(start(per_sa));
    assert_true(initiate(&lab.west));
    pings(3);
    scrape();
    char id[32];
    const char *child = strstr(scraped, "espalier_child_sa_sent_packets_total{child=\"net\"");
    assert_non_null(child);
    assert_int_equal(sscanf(strstr(child, "id="), "id=%31[^}]} ", id), 1);
    expect(CHILD("sent_packets_total"), 3);
    char sample[200];
    snprintf(sample, sizeof(sample),
             "espalier_child_sa_sent_packets_total{child=\"net\",connection=\"site\",id=%s}", id);
    expect(sample, 3);
    assert_non_null(strstr(scraped, "engine=\"software\""));
    assert_non_null(strstr(scraped, "espalier_ike_sa_info{connection=\"site\""));
}

// ---- certificates

static void test_certificate_says_when_it_ends(void **state)
{
    (void)state;
    char out[64], sample[300];
    assert_int_equal(
        sh("mkdir -p %s/swanctl/x509ca && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
           "-nodes "
           "-days 30 -subj '/O=A \"quoted\" name/CN=ca' -keyout %s/ca.key -out %s/swanctl/x509ca/ca.pem",
           lab.west.dir, lab.west.dir, lab.west.dir),
        0);
    assert_true(start(usual));
    scrape();
    sh_read(out, sizeof(out),
            "date -d \"$(openssl x509 -in %s/swanctl/x509ca/ca.pem -noout -enddate | cut -d= -f2)\" +%%s",
            lab.west.dir);
    const char *line = strstr(scraped, "espalier_certificate_not_after_timestamp_seconds{");
    assert_non_null(line);
    snprintf(sample, sizeof(sample), "%.*s", (int)strcspn(line, "\n"), line);
    assert_non_null(strstr(sample, "kind=\"ca\",private_key=\"no\""));
    assert_non_null(strstr(sample, "A \"quoted\" name")); // escaped, and read back
    assert_int_equal(strtoull(strrchr(sample, ' '), NULL, 10), strtoull(out, NULL, 10));
}

// ---- the process dies

static bool another(void *ctx)
{
    pid_t now = room_pid(&lab.west, "metrics");
    return now && now != *(pid_t *)ctx;
}

static void test_process_that_dies_is_back_and_nobody_else_hears_of_it(void **state)
{
    (void)state;
    assert_true(start(usual));
    assert_true(initiate(&lab.west));
    pings(2);
    scrape();
    pid_t was = room_pid(&lab.west, "metrics"), path = room_pid(&lab.west, "path");
    double rx = value_of(CHILD("received_packets_total"));
    assert_true(was > 0 && rx >= 2);
    assert_int_equal(kill(was, SIGKILL), 0);
    pings(2);
    assert_true(wait_for(another, &was, PATIENCE_MS));
    assert_true(logged(&lab.west, "metrics serves again"));
    scrape();
    expect(CHILD("received_packets_total"), rx + 2);
    expect(CONNECTION("up"), 1);
    assert_true(value_of("process_resident_memory_bytes{process=\"metrics\"}") > 0);
    assert_int_equal(room_pid(&lab.west, "path"), path);
    expect("espalier_ike_sas_failed_total{}", 0);
    assert_true(of_swanctl("--stats --raw", "metrics") == room_pid(&lab.west, "metrics"));
}

// ---- clients

// To west's port, from its own namespace; it sends `text` and no more.
static int knock(const char *text)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(PORT))};
    char path[64];
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there, fd;
    snprintf(path, sizeof(path), "%s", lab.west.ns);
    there = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(home >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setns(home, CLONE_NEWNET), 0);
    close(home);
    close(there);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    return fd;
}

static bool hung_up(void *ctx)
{
    char c;
    ssize_t n = recv(*(int *)ctx, &c, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static void test_who_is_slow_keeps_nobody_waiting(void **state)
{
    (void)state;
    enum { SLOW = 100 };
    int fd[SLOW];
    assert_true(start(usual));
    for (int i = 0; i < SLOW; i++) {
        fd[i] = knock("GET /metrics HTT");
        if (i % 10 == 0)
            assert_int_equal(sh("nsenter --net=%s curl -sS -f -m 2 -o /dev/null http://127.0.0.1:" PORT
                                "/metrics",
                                lab.west.ns),
                             0);
    }
    scrape();
    assert_true(hung_up(&fd[0])); // the oldest went first
    uint64_t from = mono_us();
    assert_true(wait_for(hung_up, &fd[SLOW - 1], 20000));
    print_message("  the last of %d slow clients was hung up on after %.1f s\n", SLOW,
                  (double)(mono_us() - from) / 1e6);
    for (int i = 0; i < SLOW; i++)
        close(fd[i]);
}

// ---- Prometheus itself

static bool asked_all(void *ctx)
{
    (void)ctx;
    return sh("nsenter --net=%s /usr/bin/python3 tests/system/prometheus.py http://127.0.0.1:9990 "
              "ctrl/metrics/grafana.json >%s/answers",
              lab.west.ns, lab.dir) == 0;
}

static void test_questions_of_dashboard_and_alerts_are_answered_by_prometheus(void **state)
{
    (void)state;
    char config[160], data[160], log[160], here[256];
    char *const prometheus[] = {"prometheus", config, data, "--web.listen-address=127.0.0.1:9990", NULL};
    if (sh("command -v prometheus") != 0) {
        print_message("skip: prometheus is not installed\n");
        skip();
    }
    assert_true(start(usual) && initiate(&lab.west));
    assert_non_null(getcwd(here, sizeof(here)));
    assert_int_equal(sh("printf 'global: { scrape_interval: 1s, evaluation_interval: 1s }\\nrule_files: [ "
                        "%s/ctrl/metrics/alerts.yml ]\\nscrape_configs: [ { job_name: e, static_configs: [ { "
                        "targets: [ \"127.0.0.1:" PORT "\" ] } ] } ]\\n' >%s/prometheus.yml",
                        here, lab.dir),
                     0);
    snprintf(config, sizeof(config), "--config.file=%s/prometheus.yml", lab.dir);
    snprintf(data, sizeof(data), "--storage.tsdb.path=%s/prometheus", lab.dir);
    snprintf(log, sizeof(log), "%s/prometheus.log", lab.dir);
    pid_t pid = spawn(log, lab.west.ns, prometheus);
    pings(3);
    bool all = wait_for(asked_all, NULL, 40000);
    sh_read(scraped, sizeof(scraped), "cat %s/answers", lab.dir);
    print_message("  %s", scraped);
    assert_true(stop(&pid, SIGTERM, 10000));
    assert_true(all);
}

// ---- where it listens

static bool file_serves(const char *path)
{
    return sh("curl -sS -f -m 5 --unix-socket %s http://localhost/metrics | grep -q "
              "'^espalier_connection_up.connection=.site'",
              path) == 0;
}

// What another daemon says that is to listen there.
static void started_aside(const char *where, char *out, size_t size)
{
    sh_read(out, size,
            "nsenter --net=%s timeout 10 %s/espalierd --vici unix://%s/vici2 --run-dir %s/run2 --port 1500 "
            "--port-nat-t 1501 --tun espother --card none -o %s 2>&1; echo status $?",
            lab.west.ns, bin_dir(), lab.dir, lab.dir, where);
}

static void test_socket_file_serves_and_goes_with_the_daemon(void **state)
{
    (void)state;
    char where[160], path[128], out[4096];
    snprintf(path, sizeof(path), "%.100s/metrics", lab.dir);
    snprintf(where, sizeof(where), "metrics=unix://%s", path);
    char *const settings[] = {"--card", "none", "-o", where, "-o", "metrics_group=12345", NULL};
    assert_true(start(settings));
    assert_true(file_serves(path));
    // to who is of its group, and nobody else
    assert_int_equal(sh("test \"$(stat -c %%a:%%g %s)\" = 660:12345", path), 0);
    assert_int_equal(sh("chmod 755 %s; setpriv --reuid=54321 --regid=12345 --clear-groups curl -sS -f -m 5 "
                        "--unix-socket %s http://any.name/metrics -o /dev/null",
                        lab.dir, path),
                     0);
    assert_int_not_equal(
        sh("setpriv --reuid=54321 --regid=54321 --clear-groups curl -sS -f -m 5 --unix-socket %s "
           "http://localhost/metrics -o /dev/null 2>/dev/null",
           path),
        0);
    // another daemon does not take it away
    started_aside(where, out, sizeof(out));
    assert_non_null(strstr(out, "espalierd: metrics: unix://"));
    assert_non_null(strstr(out, "Address already in use"));
    assert_non_null(strstr(out, "status 3"));
    assert_true(file_serves(path));
    assert_true(daemon_kill(&lab.west)); // which leaves it behind
    assert_int_equal(access(path, F_OK), 0);
    struct tunnel_options west = {0};
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &west, settings));
    assert_true(file_serves(path));
    assert_true(stop(&lab.west.daemon, SIGTERM, 4000));
    assert_int_not_equal(access(path, F_OK), 0);
    // nor does anybody take what is no socket
    assert_int_equal(sh("echo mine >%s", path), 0);
    started_aside(where, out, sizeof(out));
    assert_non_null(strstr(out, "Address already in use"));
    assert_non_null(strstr(out, "status 3"));
    assert_int_equal(sh("grep -qx mine %s", path), 0);
}

static void test_nothing_listens_unless_it_is_asked_for(void **state)
{
    (void)state;
    static char *const none[] = {"--card", "none", NULL};
    assert_true(start(none));
    assert_int_equal(room_pid(&lab.west, "metrics"), 0);
    assert_int_not_equal(sh("nsenter --net=%s ss -ltnH | grep .", lab.west.ns), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_scrape_is_what_prometheus_reads),
        T(test_alerts_fire_when_they_are_to),
        T(test_counts_are_those_of_what_was_sent_over_a_rekeying_and_an_end),
        T(test_connection_that_never_came_up_is_there_and_says_why),
        T(test_counts_go_on_when_the_card_is_killed),
        T(test_each_sa_is_told_of_where_that_is_asked_for),
        T(test_certificate_says_when_it_ends),
        T(test_process_that_dies_is_back_and_nobody_else_hears_of_it),
        T(test_who_is_slow_keeps_nobody_waiting),
        T(test_questions_of_dashboard_and_alerts_are_answered_by_prometheus),
        T(test_socket_file_serves_and_goes_with_the_daemon),
        T(test_nothing_listens_unless_it_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
