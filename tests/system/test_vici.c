// SPDX-License-Identifier: Apache-2.0
// The daemon as its operator meets it: stock swanctl's commands, refusals by name, exit codes, and what
// happens when a process dies, a socket is left behind, or someone talks nonsense to it.
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/harness.h"
#include "tests/system/memory_scan.h"

static struct lab lab;
static char out[65536];
static char *const no_card[] = {"--card", "none", NULL};
static const struct tunnel_options plain = {0};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espvici") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static void start(void)
{
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
}

static void assert_shows(const char *expected)
{
    if (!strstr(out, expected))
        fail_msg("expected \"%s\" in:\n%s", expected, out);
}

static void client(int status, const char *args)
{
    int rc = swanctl(&lab.west, out, sizeof(out), "%s", args);
    if (rc != status)
        fail_msg("swanctl %s: status %d, expected %d:\n%s", args, rc, status, out);
}

// Loads another swanctl.conf.
static int load_file(const char *text)
{
    char path[300], args[400];
    snprintf(path, sizeof(path), "%s/other.conf", lab.west.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    snprintf(args, sizeof(args), "--load-all --file %s", path);
    return swanctl(&lab.west, out, sizeof(out), "%s", args);
}

// ---- stock swanctl

static void test_swanctl_commands_that_show_things(void **state)
{
    (void)state;
    start();
    client(0, "--version --daemon");
    assert_shows("espalierd");
    client(0, "--stats");
    assert_shows("uptime:");
    assert_shows("IKE_SAs: 0 total, 0 half-open");
    client(0, "--stats --raw");
    assert_shows("supervisor=");
    assert_shows("keys=");
    client(0, "--list-conns");
    assert_shows("no reauthentication, rekeying every 14400s");
    assert_shows("net: TUNNEL, no rekeying"); // as this test has it
    assert_shows("site: IKEv2");
    assert_shows("local pre-shared key authentication:");
    assert_shows("net: TUNNEL");
    client(0, "--list-pols");
    client(0, "--list-sas");
    client(0, "--list-certs");
    client(0, "--list-authorities");
    client(0, "--list-pools");
    client(0, "--list-algs");
    assert_shows("AES_GCM_16");
    assert_shows("CURVE_25519");
    client(0, "--counters");
    client(0, "--counters --reset");
    client(0, "--reload-settings");
    client(0, "--load-all"); // once more, unchanged
    assert_shows("successfully loaded 1 connections, 0 unloaded");
    client(1, "--initiate --child nonesuch");
    assert_shows("CHILD_SA config 'nonesuch' not found");
    client(1, "--terminate --ike site");
    assert_shows("no matching SAs");
    client(1, "--rekey --ike site");
    assert_shows("no matching SAs to rekey found");
}

#define CONN(more, child)                                                                                    \
    "connections { c1 { remote_addrs = 10.10.0.9\n local { auth = psk\n }\n remote { auth = psk\n }\n" more  \
    "\n children { k1 { remote_ts = 10.9.0.0/16\n" child "\n } } } }\n"

static void test_load_all_replaces_refuses_and_unloads(void **state)
{
    (void)state;
    start();
    assert_int_equal(load_file(CONN("", "") "pools { p1 { addrs = 10.8.0.0/24 } }\n"), 0);
    assert_shows("loaded connection 'c1'");
    assert_shows("loaded pool 'p1'");
    client(0, "--list-conns");
    assert_null(strstr(out, "site:")); // it is not in that file
    assert_shows("c1: IKEv2");
    assert_int_not_equal(load_file("authorities { a1 { cert_uri_base = http://example.net/ } }\n"), 0);
    assert_shows("CA certificate missing: a1"); // as charon has it
    assert_int_not_equal(load_file(CONN("frobnicate = 1", "")), 0);
    assert_shows("loading connection 'c1' failed: unknown option: frobnicate, config discarded");
    assert_int_not_equal(load_file(CONN("", "mode = beet")), 0);
    assert_shows("invalid value for: mode: 'beet'");
    assert_int_not_equal(load_file(CONN("proposals = aes999", "")), 0);
    assert_shows("invalid value for: proposals: 'aes999'");
    client(0, "--list-conns"); // what was there stays
    assert_shows("c1: IKEv2");
    assert_int_equal(load_file("secrets { eap-x { secret = x } }\n"),
                     0); // as charon: a refused secret is said, not fatal
    assert_shows("an EAP secret needs the identity that it goes by");
    client(0, "--list-conns");
    assert_null(strstr(out, "c1"));
    client(0, "--list-pools");
    assert_null(strstr(out, "p1"));
}

struct line {
    const char *path, *text;
};

static bool file_has(void *ctx)
{
    const struct line *l = ctx;
    return sh("grep -q -F '%s' %s", l->text, l->path) == 0;
}

static bool file_awaited(const char *path, const char *text)
{
    return wait_for(file_has, &(struct line){path, text}, PATIENCE_MS) ||
           complain("%s lacks: %s", path, text);
}

// A client that has registered hears what another command makes the daemon say.
static bool log_listens(void *path)
{
    client(0, "--load-all");
    return file_has(&(struct line){path, "loaded IKE shared key"});
}

static void test_log_shows_lines_of_every_process(void **state)
{
    (void)state;
    char path[200];
    start();
    snprintf(path, sizeof(path), "%s/log.out", lab.west.dir);
    char cmd[500];
    snprintf(cmd, sizeof(cmd),
             "STRONGSWAN_CONF=%s/client.conf exec stdbuf -oL swanctl --log --uri unix://%s/vici",
             lab.west.dir, lab.west.dir);
    char *argv[] = {"sh", "-c", cmd, NULL};
    pid_t pid = spawn(path, NULL, argv);
    assert_true(wait_for(log_listens, path, PATIENCE_MS));
    swanctl(&lab.west, out, sizeof(out), "--initiate --child net --timeout 1"); // nobody answers
    assert_true(file_awaited(path, "[IKE] initiating IKE_SA site[1]"));
    client(0, "--load-all");
    assert_true(file_awaited(path, "[CFG] loaded IKE shared key"));
    kill(lab.west.daemon, SIGHUP);
    assert_true(file_awaited(path, "[CFG] settings reloaded"));
    stop(&pid, SIGTERM, PATIENCE_MS);
}

// ---- other clients

static int dial(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%.90s/vici", lab.west.dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

static void test_nonsense_on_the_socket_does_no_harm(void **state)
{
    (void)state;
    uint32_t seed = 7;
    start();
    for (int round = 0; round < 300; round++) {
        uint8_t b[64];
        int fd = dial();
        for (size_t i = 0; i < sizeof(b); i++) {
            seed = seed * 1664525 + 1013904223;
            b[i] = (uint8_t)(seed >> 24);
        }
        if (round & 1)
            memcpy(b, "\0\0\0\x3c\x00\x09load-conn\x01", 16);
        assert_int_equal(send(fd, b, sizeof(b), MSG_NOSIGNAL), sizeof(b));
        close(fd);
    }
    int stuck[5]; // begun and never ended frames
    for (int i = 0; i < 5; i++) {
        stuck[i] = dial();
        assert_int_equal(send(stuck[i], "\0\x08\0\0\0", 5, MSG_NOSIGNAL), 5);
    }
    client(0, "--list-conns");
    assert_shows("site: IKEv2");
    for (int i = 0; i < 5; i++)
        close(stuck[i]);
}

// ---- processes and exit codes

static int run_daemon(const char *args)
{
    return sh_read(out, sizeof(out), "nsenter --net=%s timeout 10 %s/espalierd %s 2>&1", lab.west.ns,
                   bin_dir(), args);
}

static void test_exit_codes_name_what_is_wrong(void **state)
{
    (void)state;
    char args[500];
    assert_int_equal(run_daemon("--frobnicate"), 2);
    assert_shows("--frobnicate: unknown option");
    assert_int_equal(run_daemon("--config /nonexistent"), 2);
    assert_shows("/nonexistent");
    assert_int_equal(run_daemon("-o espalierd.frobnicate=1"), 2);
    assert_shows("espalierd.frobnicate: (-o): unknown key");
    assert_int_equal(run_daemon("--vici tcp://127.0.0.1:9999"), 2);
    assert_int_equal(run_daemon("--vici tcp://10.0.0.1:9999 --vici-insecure"), 2);
    assert_shows("not a loopback address");
    assert_int_equal(run_daemon("--card 0000:7f:00.0"), 3);
    assert_shows("--card: 0000:7f:00.0 is not in /sys/bus/pci/devices");
    assert_int_equal(run_daemon("--card 0000:7f:00.0 --log-format json"), 3);
    assert_shows("{\"time\":");
    assert_int_equal(run_daemon("-o filelog.x.path=/nonexistent/log"), 3);
    assert_shows("/nonexistent/log: opening the log: No such file");
    start();
    snprintf(args, sizeof(args), "--vici unix://%s/vici --run-dir %s/run2 --card none", lab.west.dir,
             lab.west.dir);
    assert_int_equal(run_daemon(args), 3);
    assert_shows("another daemon is listening there");
    snprintf(args, sizeof(args), "--vici unix://%s/vici2 --run-dir %s/run --card none", lab.west.dir,
             lab.west.dir);
    assert_int_equal(run_daemon(args), 3);
    assert_shows("is used by process");
    snprintf(args, sizeof(args), "--vici unix://%s/vici2 --run-dir %s/run2 --card none", lab.west.dir,
             lab.west.dir);
    assert_int_equal(run_daemon(args), 3);
    assert_shows("UDP port 500");
    snprintf(args, sizeof(args),
             "--vici unix://%s/vici2 --run-dir %s/run2 --card none --port 1500 --port-nat-t 1501",
             lab.west.dir, lab.west.dir);
    assert_int_equal(run_daemon(args), 3);
    assert_shows("espalier0");
    client(0, "--stats"); // the first one has not noticed
}

static void test_missing_right_is_named(void **state)
{
    (void)state;
    char dir[] = "/tmp/espalier-nobody-XXXXXX";
    assert_non_null(mkdtemp(dir));
    assert_int_equal(sh("cp %s/espalierd %s/ && chmod -R a+rwX %s", bin_dir(), dir, dir), 0);
    int rc =
        sh_read(out, sizeof(out),
                "setpriv --reuid=65534 --regid=65534 --clear-groups timeout 10 %s/espalierd --run-dir %s/run "
                "--vici unix://%s/vici 2>&1",
                dir, dir, dir);
    sh("rm -r %s", dir);
    if (rc == 127 || strstr(out, "setpriv: ")) {
        print_message("skip: cannot become another user\n");
        return;
    }
    assert_int_equal(rc, 3);
    assert_shows("CAP_NET_ADMIN");
}

static bool socket_there(void)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof(path), "%s/vici", lab.west.dir);
    return stat(path, &st) == 0;
}

static pid_t child_named(const char *name)
{
    char cmd[300];
    snprintf(cmd, sizeof(cmd), "pgrep -P %d -f '^espalierd: %s'", (int)lab.west.daemon, name);
    sh_read(out, sizeof(out), "%s", cmd);
    return (pid_t)strtol(out, NULL, 10);
}

// Of ctl and ike one has what the other needs; one process alone comes again: system_kill.
static void test_two_dead_processes_end_the_daemon_with_1(void **state)
{
    (void)state;
    start();
    pid_t child = child_named("ike"), ctl = child_named("ctl");
    assert_true(child > 1 && ctl > 1);
    kill(child, SIGTERM); // only the supervisor ends a room
    kill(child, SIGINT);
    usleep(50000);
    assert_int_equal(kill(child, 0), 0);
    kill(ctl, SIGSTOP); // it gives the next one nothing
    kill(child, SIGKILL);
    kill(ctl, SIGKILL);
    int status = 0;
    uint64_t from = mono_us();
    while (waitpid(lab.west.daemon, &status, WNOHANG) == 0 && mono_us() - from < 4000000)
        usleep(5000);
    lab.west.daemon = 0;
    assert_true(mono_us() - from < 2500000);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    sh_read(out, sizeof(out), "cat %s/daemon.log", lab.west.dir);
    assert_false(socket_there());
    assert_shows("ike died of signal 9");
}

// The log in a file of the operator's, and every line on standard error or in the file an object.
static void test_log_goes_to_filelogs_path_and_json_is_json_throughout(void **state)
{
    char path[200], option[240];
    (void)state;
    snprintf(path, sizeof(path), "%s/charon.log", lab.west.dir);
    snprintf(option, sizeof(option), "charon.filelog.one.path=%s", path);
    char *const text[] = {"--card", "none", "-o", option, "-o", "charon.filelog.one.time_format=[%Y]", NULL};
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, text));
    sh_read(out, sizeof(out), "cat %s/daemon.log", lab.west.dir);
    assert_string_equal(out, "ready\n");
    sh_read(out, sizeof(out), "cat %s; grep -cv '^\\[20[0-9][0-9]\\] [0-4] [a-z]*\\[' %s", path, path);
    assert_shows(" ctl[cfg] ");
    assert_shows(" ike[cfg] ");
    assert_shows("\n0\n"); // lines of another form
    stop(&lab.west.daemon, SIGTERM, 4000);
    assert_int_equal(sh("rm %s/daemon.log", lab.west.dir), 0);
    char *const json[] = {"--card", "none", "--log-format", "json", NULL};
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, json));
    sh_read(out, sizeof(out),
            "python3 -c 'import json, sys; print([json.loads(l)[\"text\"] for l in open(sys.argv[1], "
            "encoding=\"utf-8\")])' %s/daemon.log",
            lab.west.dir);
    assert_shows("'ready'");
}

// Where a process has its program mapped, the first that has a name (a sanitizer's shadow has none); 0: it
// cannot be read.
static unsigned long base_of(pid_t pid)
{
    char path[64], line[100] = "";
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "r");
    if (!maps)
        return 0;
    while (fgets(line, sizeof(line), maps) && !strchr(line, '/'))
        line[0] = 0;
    fclose(maps);
    return strtoul(line, NULL, 16);
}

// A fork alone would share the layout: an address leaked by the room that talks to strangers would then hold
// in the one that has the keys.
static void test_each_process_has_an_address_layout_of_its_own(void **state)
{
    (void)state;
    static const char *const rooms[] = {"ctl", "ike", "keys", "path"};
    start();
    unsigned long base[5] = {base_of(lab.west.daemon)};
    for (int i = 0; i < 4; i++)
        base[i + 1] = base_of(child_named(rooms[i]));
    if (!base[0]) {
        print_message("skip: no right to read another process's memory map\n");
        return;
    }
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < i; k++)
            assert_int_not_equal(base[i], base[k]);
    }
}

static void test_killed_daemon_leaves_no_process_and_starts_again(void **state)
{
    (void)state;
    start();
    assert_true(daemon_kill(&lab.west));
    start();
    client(0, "--stats");
}

static void test_socket_is_private_and_gone_after_the_end(void **state)
{
    (void)state;
    char path[300];
    struct stat st;
    start();
    snprintf(path, sizeof(path), "%s/vici", lab.west.dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_true(stop(&lab.west.daemon, SIGTERM, 2000));
    assert_false(socket_there());
}

// The service manager's end, and a daemon that is told of it.
static int start_notified(const char *watchdog_usec)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%.90s/notify", lab.dir);
    unlink(un.sun_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    setenv("NOTIFY_SOCKET", un.sun_path, 1);
    if (watchdog_usec)
        setenv("WATCHDOG_USEC", watchdog_usec, 1);
    start();
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    return fd;
}

// The next that it is told; "": nothing in that time.
static const char *told(int fd, int timeout_ms)
{
    static char got[128];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    memset(got, 0, sizeof(got));
    if (poll(&p, 1, timeout_ms) == 1)
        assert_true(recv(fd, got, sizeof(got) - 1, 0) > 0);
    return got;
}

static void test_service_manager_is_told(void **state)
{
    enum { SOON_MS = 10000 };
    unsigned long long since = 0;
    (void)state;
    int fd = start_notified(NULL);
    assert_string_equal(told(fd, SOON_MS), "READY=1");
    for (int i = 0; i < 2; i++) { // in either way
        if (i)
            client(0, "--reload-settings");
        else
            kill(lab.west.daemon, SIGHUP);
        uint64_t before = since;
        assert_int_equal(sscanf(told(fd, SOON_MS), "RELOADING=1\nMONOTONIC_USEC=%llu", &since), 1);
        assert_true(since > before && since <= mono_us());
        assert_string_equal(told(fd, SOON_MS), "READY=1");
    }
    assert_string_equal(told(fd, 500), ""); // nobody watches
    assert_true(stop(&lab.west.daemon, SIGTERM, 2000));
    assert_string_equal(told(fd, SOON_MS), "STOPPING=1");
    close(fd);
}

struct stopped {
    const char *name;
    pid_t pid;
};

static bool is_another(void *ctx)
{
    const struct stopped *s = ctx;
    pid_t now = room_pid(&lab.west, s->name);
    return now > 0 && now != s->pid;
}

// Asked once a second.
static void test_service_manager_hears_of_life_and_who_does_not_answer_is_ended(void **state)
{
    static const char *const again[] = {"fetch", "ike", "keys", "path"};
    enum { SOON_MS = 10000, BEATS = 2 };
    char log[300];
    (void)state;
    int fd = start_notified("4000000");
    assert_string_equal(told(fd, SOON_MS), "READY=1");
    assert_int_equal(sh("for p in $(cat /proc/%d/task/%d/children); do tr '\\0' '\\n' </proc/$p/environ | "
                        "grep -E '^(NOTIFY|WATCHDOG)' && exit 1; done; true",
                        (int)lab.west.daemon, (int)lab.west.daemon),
                     0);
    for (int i = 0; i < BEATS; i++)
        assert_string_equal(told(fd, SOON_MS), "WATCHDOG=1");
    // what can be had again is ended, and life goes on without a break that the service manager would end
    for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
        struct stopped s = {again[i], room_pid(&lab.west, again[i])};
        assert_int_equal(kill(s.pid, SIGSTOP), 0);
        assert_true(wait_for(is_another, &s, SOON_MS));
        assert_string_equal(told(fd, SOON_MS), "WATCHDOG=1");
        snprintf(log, sizeof(log), "%s has not answered for .*, killed", again[i]);
        assert_int_equal(sh("grep -q '%s' %s/daemon.log", log, lab.west.dir), 0);
    }
    client(0, "--stats");
    while (*told(fd, 0))
        ;
    assert_true(stop(&lab.west.daemon, SIGTERM, 2000));
    const char *last = told(fd, SOON_MS);
    assert_string_equal(strcmp(last, "WATCHDOG=1") ? last : told(fd, SOON_MS), "STOPPING=1");
    assert_string_equal(told(fd, 2000), "");
    close(fd);
}

// ---- secrets (robustness: a preshared key lives in `keys` and nowhere else)

static void test_debug_keys_are_private_and_as_wireshark_reads_them(void **state)
{
    static const char *const files[] = {"ikev2_decryption_table", "esp_sa"};
    static const uint8_t empty_pcap[24] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, [17] = 1, [20] = 1};
    char dir[200], path[300];
    char *const extra[] = {"--card", "none", "--debug-keys", dir, NULL};
    struct stat st;
    (void)state;
    snprintf(dir, sizeof(dir), "%s/wireshark", lab.west.dir);
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, extra));
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, no_card));
    client(0, "--initiate --child net");
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_true(st.st_size > 100);
    }
    snprintf(path, sizeof(path), "%s/empty.pcap", lab.west.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fwrite(empty_pcap, sizeof(empty_pcap), 1, f);
    fclose(f);
    if (sh("command -v tshark") != 0) {
        print_message("no tshark here: its reading of the tables is not tried\n");
        return;
    }
    // It complains of each line that is not as it should be, for instance of a field too many.
    sh_read(out, sizeof(out), "XDG_CONFIG_HOME=%s tshark -r %s 2>&1", lab.west.dir, path);
    if (strstr(out, "UAT") || strstr(out, "rror"))
        fail_msg("tshark does not like the tables:\n%s", out);
}

static const char *const psk = "Ohwai7eethaisohX"; // nowhere else in this world

static void psk_is_in_keys_alone(void)
{
    static const char *const rooms[] = {"ctl", "ike", "path", "keys"};
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        int found = scan_memory(child_named(rooms[i]), psk, strlen(psk));
        if (strcmp(rooms[i], "keys") == 0)
            assert_true(found >= 1);
        else if (found)
            fail_msg("%s holds the preshared key %d times", rooms[i], found);
    }
    assert_int_equal(scan_memory(lab.west.daemon, psk, strlen(psk)), 0); // the supervisor
}

static bool ike_serves_again(void *ctx)
{
    (void)ctx;
    return sh("grep -q 'ike serves again' %s/daemon.log", lab.west.dir) == 0;
}

static void test_preshared_key_is_in_keys_alone(void **state)
{
    (void)state;
    char text[600];
    start();
    snprintf(text, sizeof(text), "secrets { ike-9 { id = 10.10.0.9\n secret = %s } }\n" CONN("", ""), psk);
    for (int i = 0; i < 3; i++)
        assert_int_equal(load_file(text), 0);
    swanctl(&lab.west, out, sizeof(out), "--stats"); // what comes next must not be what overwrites it
    if (scan_memory(child_named("keys"), psk, strlen(psk)) < 0) {
        print_message("skip: no right to read another process's memory\n");
        return;
    }
    psk_is_in_keys_alone();
    kill(child_named("keys"), SIGKILL);
    assert_true(wait_for(ike_serves_again, NULL, PATIENCE_MS));
    psk_is_in_keys_alone(); // of the next one
    sh_read(out, sizeof(out), "cat %s/daemon.log", lab.west.dir);
    assert_null(strstr(out, psk));
    assert_int_equal(load_file(CONN("", "")), 0); // unloads it
    assert_int_equal(scan_memory(child_named("keys"), psk, strlen(psk)), 0);
}

int main(void)
{
    if (!have_swanctl()) {
        fprintf(stderr, "missing: swanctl (Debian package strongswan-swanctl)\n");
        return 3;
    }
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_swanctl_commands_that_show_things),
        T(test_load_all_replaces_refuses_and_unloads),
        T(test_log_shows_lines_of_every_process),
        T(test_nonsense_on_the_socket_does_no_harm),
        T(test_exit_codes_name_what_is_wrong),
        T(test_missing_right_is_named),
        T(test_two_dead_processes_end_the_daemon_with_1),
        T(test_log_goes_to_filelogs_path_and_json_is_json_throughout),
        T(test_each_process_has_an_address_layout_of_its_own),
        T(test_killed_daemon_leaves_no_process_and_starts_again),
        T(test_socket_is_private_and_gone_after_the_end),
        T(test_service_manager_is_told),
        T(test_service_manager_hears_of_life_and_who_does_not_answer_is_ended),
        T(test_debug_keys_are_private_and_as_wireshark_reads_them),
        T(test_preshared_key_is_in_keys_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
