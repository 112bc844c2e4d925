// SPDX-License-Identifier: Apache-2.0
// What an operator has to expect when something under espalierd gives way, while numbered packets run both
// ways: no room left for its log, its run directory or its socket, a file that is refused after a restart, a
// reader of its log that stands still, and none at all. In every case nothing is seen in clear and no (SPI,
// sequence) twice; what is gone is named, and what comes again is the same tunnel. What comes of each of its
// processes being killed is in test_kill.c.
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/death.h"
#include "tests/system/rekey_lab.h"

enum { RATE = 500 };

static const char other_connection[] =
    "connections { other { remote_addrs = 10.10.0.77\n local { auth = psk\n id = a }\n remote { auth = psk\n "
    "id = b }\n children { other { local_ts = 10.1.0.0/16\n remote_ts = 10.77.0.0/16 } } } }\n"
    "secrets { ike-other { secret = \"another shared secret of the lab\" } }\n";
static struct rig rig;
static struct flow_report flow;
static char full[160]; // a file system that is mounted
static char *const settings[] = {"-o", "delete_rekeyed_delay=1", NULL};

static int tear_down(void **state)
{
    (void)state;
    if (full[0])
        sh("umount -l %s; rmdir %s", full, full);
    full[0] = 0;
    rig_down(&rig);
    return 0;
}

static struct rig_options options(void)
{
    struct rig_options o = {.settings = settings};
    for (int i = 0; i < 2; i++) {
        o.side[i].conn = "rekey_time = 0";
        o.side[i].encap = true;
    }
    o.side[WEST].start_action = "trap";
    return o;
}

static void start(const struct rig_options *o, unsigned rate)
{
    assert_true(rig_up(&rig, "espfault", o));
    assert_true(rig_at_rest(&rig, NULL));
    assert_true(rig_flow_start(&rig, rate, 120));
    usleep(300000);
}

// Whatever was lost: nothing in clear, nothing twice, nothing wrong.
static void finish(const char *what)
{
    assert_true(rig_flow_stop(&rig, &flow));
    flow_print(what, &flow);
    assert_int_equal(flow.clear[WEST] + flow.clear[EAST], 0);
    assert_int_equal(flow.wire_repeated + flow.repeated + flow.wrong, 0);
}

static bool write_config(const char *path, const char *text)
{
    return sh("printf '%%s\\n' '%s' >%s", text, path) == 0;
}

// ---- a process that dies

static unsigned blocks(void)
{
    return death_blocks(&rig.lab.west);
}

// block_on_exit = no is for the end that somebody has asked for.
static void test_blocks_go_at_an_orderly_end_alone(void **state)
{
    (void)state;
    static char path[64];
    static char *const extra[] = {"--card", "none", "--config", path, NULL};
    const struct tunnel_options o = {.start_action = "none"};
    struct lab *l = &rig.lab;
    memset(&rig, 0, sizeof(rig));
    rig.vici[WEST] = rig.vici[EAST] = -1;
    snprintf(path, sizeof(path), "/tmp/espfault-%d.conf", (int)getpid());
    assert_true(write_config(path, "espalierd { block_on_exit = no }") && lab_up(l, "espfault"));
    struct death d;
    assert_true(espalierd_start(l, &l->west, &l->east, &o, extra));
    assert_true(blocks() > 0);
    assert_true(death_takes_all(&l->west, "supervisor", &d));
    assert_true(blocks() > 0 && unanswered(l, &l->west, &l->east, 1));
    assert_true(espalierd_start(l, &l->west, &l->east, &o, extra));
    assert_true(stop(&l->west.daemon, SIGTERM, PATIENCE_MS));
    sh("rm %s", path);
    assert_int_equal(blocks(), 0);
}

// What watches over it starts it anew at once: its processes are about to go, and the ports and the TUN are
// theirs until then.
static void test_start_right_behind_a_supervisor_that_was_killed(void **state)
{
    (void)state;
    char *const no_card[] = {"--card", "none", NULL};
    const struct tunnel_options o = {.start_action = "none"};
    struct lab *l = &rig.lab;
    memset(&rig, 0, sizeof(rig));
    rig.vici[WEST] = rig.vici[EAST] = -1;
    assert_true(lab_up(l, "espfault") && espalierd_start(l, &l->west, &l->east, &o, no_card));
    for (unsigned i = 0; i < 8; i++) {
        kill(l->west.daemon, SIGKILL);
        waitpid(l->west.daemon, NULL, 0);
        sh("rm %s/vici", l->west.dir); // or it would be taken for the new one's
        assert_true(espalierd_start(l, &l->west, &l->east, &o, no_card));
        assert_true(blocks() > 0);
    }
}

// ---- no room left

static bool mount_tmpfs(const char *limits)
{
    snprintf(full, sizeof(full), "/tmp/espfault-%d", (int)getpid());
    return sh("mkdir -p %s && mount -t tmpfs -o %s none %s", full, limits, full) == 0;
}

static bool fill(void)
{
    return sh("dd if=/dev/zero of=%s/filler bs=1k 2>/dev/null", full) != 0;
}

static void test_log_without_room_stops_nothing_and_tells_what_is_missing(void **state)
{
    (void)state;
    static char option[200];
    static char *logging[] = {"-o", option, NULL};
    struct rig_options o = options();
    o.settings = logging;
    assert_true(mount_tmpfs("size=64k"));
    snprintf(option, sizeof(option), "charon.filelog.one.path=%.90s/log", full);
    assert_true(fill());
    start(&o, RATE);
    for (int i = 0; i < 4; i++)
        assert_true(rig_rekey(&rig, i % 2, REKEY_CHILD, 0));
    assert_int_equal(sh("rm %s/filler", full), 0);
    assert_true(rig_rekey(&rig, WEST, REKEY_CHILD, 0));
    assert_int_equal(
        sh("grep -q '[0-9] lines are missing here' %s/log && grep -q 'CHILD_SA net.* established' %s/log",
           full, full),
        0);
    assert_true(rig_at_rest(&rig, NULL));
    finish("a log without room");
    assert_true(flow_is_clean(&flow));
}

static int start_in(const char *run, const char *vici, char *out, size_t size)
{
    return sh_read(
        out, size,
        "nsenter --net=%s timeout -s KILL 8 %s/espalierd --card none --run-dir %s --vici unix://%s 2>&1",
        rig.lab.west.ns, bin_dir(), run, vici);
}

static void test_run_directory_or_socket_without_room_is_named(void **state)
{
    (void)state;
    char out[8192], run[200], vici[200];
    memset(&rig, 0, sizeof(rig));
    rig.vici[WEST] = rig.vici[EAST] = -1;
    assert_true(lab_up(&rig.lab, "espfault"));
    assert_true(mount_tmpfs("size=64k") && sh("mkdir %s/run", full) == 0 && fill());
    snprintf(run, sizeof(run), "%.150s/run", full);
    snprintf(vici, sizeof(vici), "%.100s/west/vici", rig.lab.dir);
    assert_int_equal(start_in(run, vici, out, sizeof(out)), 3);
    assert_non_null(strstr(out, "run/espalierd.pid: No space left on device"));
    assert_int_equal(sh("umount %s", full), 0);
    assert_true(mount_tmpfs("nr_inodes=1"));
    snprintf(run, sizeof(run), "%.100s/west/run", rig.lab.dir);
    snprintf(vici, sizeof(vici), "%.150s/vici", full);
    int status = start_in(run, vici, out, sizeof(out));
    if (status != 3)
        fail_msg("status %d, expected 3:\n%s", status, out);
    assert_non_null(strstr(out, "No space left on device"));
    assert_non_null(strstr(out, "/vici"));
}

// By further names, so that the next one takes a further page.
static bool fill_last_page(const char *run)
{
    char path[220];
    struct stat st;
    long page = sysconf(_SC_PAGESIZE);
    snprintf(path, sizeof(path), "%s/connections", run);
    FILE *f = stat(path, &st) == 0 ? fopen(path, "a") : NULL;
    if (!f)
        return false;
    long left = page - (long)st.st_size % page, n;
    for (left += left < 3 ? page : 0; left > 0; left -= n) {
        n = left > 250 ? 200 : left;
        fprintf(f, "+%0*d\n", (int)n - 2, 0);
    }
    return fclose(f) == 0 && stat(path, &st) == 0 && st.st_size % page == 0;
}

static bool names_are(const char *run, const char *what, const char *name)
{
    return sh("head -n 1 %s/connections | grep -qx 'espalier connections 1 %s' && grep -qx '+%s' "
              "%s/connections",
              run, what, name, run) == 0;
}

// Connections are loaded all the same, by the same ctl, and the file says that not all are in it, until there
// is room.
static void test_names_of_connections_without_room_end_nothing(void **state)
{
    (void)state;
    static char run[200];
    static char *const in_full[] = {"--card", "none", "--run-dir", run, NULL};
    struct tunnel_options o = {.start_action = "none"};
    struct lab *l = &rig.lab;
    memset(&rig, 0, sizeof(rig));
    rig.vici[WEST] = rig.vici[EAST] = -1;
    assert_true(lab_up(l, "espfault"));
    assert_true(mount_tmpfs("size=1m") && sh("mkdir %s/run", full) == 0);
    snprintf(run, sizeof(run), "%.150s/run", full);
    assert_true(espalierd_start(l, &l->west, &l->east, &o, in_full));
    assert_true(names_are(run, "whole", "site") && fill_last_page(run) && fill());
    pid_t ctl = room_pid(&l->west, "ctl");
    o.sections = other_connection;
    assert_true(site_load(&l->west, &l->east, &o));
    assert_false(names_are(run, "whole", "site"));
    assert_true(names_are(run, "parts", "site"));
    assert_int_equal(
        sh("grep -q 'connections: writing it: No space left on device' %s/daemon.log", l->west.dir), 0);
    o.name = "second"; // the file is written anew, in vain
    assert_true(site_load(&l->west, &l->east, &o));
    assert_true(names_are(run, "parts", "site"));
    assert_int_equal(sh("rm %s/filler", full), 0);
    o.name = "third";
    assert_true(site_load(&l->west, &l->east, &o));
    assert_true(names_are(run, "whole", "other") && names_are(run, "whole", "third"));
    assert_int_equal(room_pid(&l->west, "ctl"), ctl);
    assert_int_not_equal(sh("grep -q 'was ended' %s/daemon.log", l->west.dir), 0);
}

// ---- a connection that is refused after a restart

static bool load_only_the_other(void)
{
    char path[200], out[4096];
    snprintf(path, sizeof(path), "%.100s/swanctl/swanctl.conf", rig.lab.west.dir);
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(other_connection, f) >= 0;
    ok = f && fclose(f) == 0 && ok;
    return ok && swanctl(&rig.lab.west, out, sizeof(out), "--load-all --noprompt") == 0;
}

static bool opens(void *unused)
{
    (void)unused;
    return ping(&rig.lab, &rig.lab.west, &rig.lab.east, 1);
}

// The file still names it: what it protected stays closed until it is loaded or taken out of the file,
// however long that takes. There is nobody at the other end, so that a ping that is answered went in clear.
static void stays_blocked(const char *line)
{
    char *const no_card[] = {"--card", "none", NULL};
    const struct tunnel_options good = {.start_action = "none", .sections = other_connection},
                                broken = {.start_action = "none", .sections = other_connection, .conn = line};
    struct lab *l = &rig.lab;
    memset(&rig, 0, sizeof(rig));
    rig.vici[WEST] = rig.vici[EAST] = -1;
    assert_true(lab_up(l, "espfault"));
    assert_true(opens(NULL));
    assert_true(espalierd_start(l, &l->west, &l->east, &good, no_card));
    unsigned both = blocks();
    assert_true(both > 0 && unanswered(l, &l->west, &l->east, 1));
    assert_true(stop(&l->west.daemon, SIGTERM, 4000));
    assert_false(espalierd_start(l, &l->west, &l->east, &broken, no_card)); // and says so
    usleep(11500000);
    assert_int_equal(blocks(), both);
    assert_true(unanswered(l, &l->west, &l->east, 1));
    assert_int_equal(sh("grep -q \"stays blocked, until connection 'site'\" %s/daemon.log", l->west.dir), 0);
    assert_true(load_only_the_other());
    assert_true(wait_for(opens, NULL, 20000));
    assert_true(blocks() > 0 && blocks() < both);
}

static void test_connection_refused_after_a_restart_keeps_its_traffic_blocked(void **state)
{
    (void)state;
    stays_blocked("dpd_delay = soon");
}

// Swanctl cannot read its certificate, and sends nothing of it.
static void test_connection_passed_over_after_a_restart_keeps_its_traffic_blocked(void **state)
{
    (void)state;
    stays_blocked("local-2 { certs = /nonexistent/cert.pem }");
}

#define ROADS(addrs)                                                                                         \
    "connections { roads { pools = roads\n local { auth = psk\n id = a }\n remote { auth = psk\n id = b "    \
    "}\n "                                                                                                   \
    "children { roads { local_ts = 10.1.0.0/16\n } } } }\n"                                                  \
    "pools { roads { addrs = " addrs " } }\n"

static unsigned blocks_of_roads(void)
{
    char out[32] = "";
    sh_read(out, sizeof(out), "nsenter --net=%s ip xfrm policy | grep -c 10.3.0.0/24", rig.lab.west.ns);
    return (unsigned)strtoul(out, NULL, 10);
}

// Its connection is loaded, and means nobody without the pool.
static void test_pool_refused_after_a_restart_keeps_its_traffic_blocked(void **state)
{
    (void)state;
    char *const no_card[] = {"--card", "none", NULL};
    const struct tunnel_options good = {.start_action = "none", .sections = ROADS("10.3.0.0/24")},
                                broken = {.start_action = "none", .sections = ROADS("nowhere")};
    struct lab *l = &rig.lab;
    char out[4096];
    memset(&rig, 0, sizeof(rig));
    rig.vici[WEST] = rig.vici[EAST] = -1;
    assert_true(lab_up(l, "espfault"));
    assert_true(espalierd_start(l, &l->west, &l->east, &good, no_card));
    unsigned of_roads = blocks_of_roads();
    assert_true(of_roads > 0);
    assert_true(daemon_kill(&l->west));
    assert_false(espalierd_start(l, &l->west, &l->east, &broken, no_card)); // --load-all ends there
    assert_int_equal(swanctl(&l->west, out, sizeof(out), "--load-conns"), 0);
    usleep(11500000);
    assert_int_equal(blocks_of_roads(), of_roads);
    assert_int_equal(
        sh("grep -q \"until all addresses of connection 'roads' are known\" %s/daemon.log", l->west.dir), 0);
    assert_true(site_load(&l->west, &l->east, &good));
    usleep(1500000);
    assert_int_equal(blocks_of_roads(), of_roads);
}

// ---- a reader that stands still

static pid_t flood(unsigned datagrams)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(500)};
    inet_pton(AF_INET, rig.lab.west.outer, &to.sin_addr);
    int fd = enter_ns(rig.lab.east.ns) ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    uint8_t junk[200];
    for (unsigned i = 0; i < datagrams && fd >= 0; i++) {
        memset(junk, (int)i, sizeof(junk));
        junk[17] = 0x20; // IKEv2, so that it is looked at
        sendto(fd, junk, sizeof(junk), 0, (const struct sockaddr *)&to, sizeof(to));
        if (i % 32 == 0)
            usleep(1000);
    }
    _exit(fd < 0);
}

// However late it gets a processor: something has been read by it, as soon as that fills its output's buffer.
static pid_t start_reader(const char *log, char *const argv[])
{
    struct stat st = {0};
    pid_t reader = spawn(log, rig.lab.west.ns, argv);
    for (unsigned i = 0; i < 200 && (stat(log, &st) != 0 || st.st_size == 0); i++) {
        assert_true(rig_rekey(&rig, (int)(i % 2), REKEY_CHILD, 0));
        usleep(20000);
    }
    assert_true(st.st_size > 0);
    return reader;
}

static void test_reader_of_the_log_that_stands_still_under_a_flood_stops_nothing(void **state)
{
    (void)state;
    struct rig_options o = options();
    char uri[200], log[200], out[16384];
    char *argv[] = {"/usr/sbin/swanctl", "--log", "--uri", uri, NULL};
    int status = 0;
    start(&o, RATE);
    snprintf(uri, sizeof(uri), "unix://%.150s/vici", rig.lab.west.dir);
    snprintf(log, sizeof(log), "%.90s/reader.txt", rig.lab.dir);
    pid_t reader = start_reader(log, argv);
    kill(reader, SIGSTOP);
    pid_t sender = flood(20000);
    for (unsigned i = 0; i < 650; i++) // about 15 lines each: more than its socket and its queue hold
        assert_true(rig_rekey(&rig, (int)(i % 2), REKEY_CHILD, 0));
    assert_true(waitpid(sender, &status, 0) == sender && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    struct busy asked;
    busy_from(&asked);
    assert_int_equal(swanctl(&rig.lab.west, out, sizeof(out), "--stats --raw"), 0);
    assert_true(busy_own_ms(&asked) < 2000);
    uint64_t dropped = number_after(out, "events-dropped", 0), gone = number_after(out, "clients-dropped", 0);
    print_message("  %llu events dropped, %llu clients disconnected\n", (unsigned long long)dropped,
                  (unsigned long long)gone);
    assert_true(dropped + gone > 0);
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    assert_true(rig_at_rest(&rig, NULL));
    finish("a reader that stands still");
    assert_true(flow_is_clean(&flow));
}

// Nobody reads what the daemon says on stderr, and strangers make it say a lot: lines are lost, the daemon
// answers its operator and ends when it is told to.
static void test_a_log_that_nobody_reads_holds_up_no_end(void **state)
{
    (void)state;
    char *const talks[] = {"--card", "none", "--log-level", "4", NULL};
    const struct tunnel_options o = {.start_action = "none"};
    struct lab *l = &rig.lab;
    char path[200], out[4096];
    int status = 0, said = 0;
    memset(&rig, 0, sizeof(rig));
    rig.vici[WEST] = rig.vici[EAST] = -1;
    assert_true(lab_up(l, "espfault"));
    snprintf(path, sizeof(path), "%.150s/daemon.log", l->west.dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    int pipe = open(path, O_RDWR | O_CLOEXEC);
    assert_true(pipe >= 0 && fcntl(pipe, F_SETPIPE_SZ, 8192) == 8192);
    assert_true(espalierd_start(l, &l->west, &l->east, &o, talks));
    // what had room for a line when it looked may have none when it writes: another room was quicker
    assert_int_equal(sh("for p in %d $(cat /proc/%d/task/%d/children); do grep -q '^flags:.*04...$' "
                        "/proc/$p/fdinfo/2 || exit 1; done",
                        (int)l->west.daemon, (int)l->west.daemon, (int)l->west.daemon),
                     0);
    assert_int_equal(fcntl(pipe, F_GETFL) & O_NONBLOCK, 0); // it is nobody else's business
    pid_t sender = flood(20000);
    assert_true(waitpid(sender, &status, 0) == sender && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(ioctl(pipe, FIONREAD, &said) == 0 && said > 3000); // a page is full, the other one begun
    assert_int_equal(swanctl(&l->west, out, sizeof(out), "--stats --raw"), 0);
    struct busy told;
    busy_from(&told);
    assert_true(stop(&l->west.daemon, SIGTERM, PATIENCE_MS));
    uint64_t took = busy_own_ms(&told);
    print_message("  ended %llu ms after SIGTERM\n", (unsigned long long)took);
    assert_true(took < 2000);
    close(pipe);
}

// ---- a process that stands still

static unsigned long resident(pid_t pid) // kB
{
    char out[64] = "";
    sh_read(out, sizeof(out), "awk '/^VmRSS/{print $2}' /proc/%d/status", (int)pid);
    return strtoul(out, NULL, 10);
}

static void rekeyed_by_east(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        assert_true(rig_rekey(&rig, EAST, REKEY_CHILD, 0));
}

// A reader of the log is there, so that ctl would have each line to pass on, and the events besides: what it
// does not fetch is dropped, not kept, and what it is asked when it goes on is answered.
static void test_a_ctl_that_stands_still_stops_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"ike", "path", "keys"};
    enum { ROOMS = 3, MORE_KB = 512 };
    struct rig_options o = options();
    unsigned long before[ROOMS];
    char uri[200], log[200], out[16384];
    char *argv[] = {"/usr/sbin/swanctl", "--log", "--uri", uri, NULL};
    start(&o, RATE);
    snprintf(uri, sizeof(uri), "unix://%.150s/vici", rig.lab.west.dir);
    snprintf(log, sizeof(log), "%.90s/reader.txt", rig.lab.dir);
    pid_t reader = start_reader(log, argv), ctl = room_pid(&rig.lab.west, "ctl");
    assert_true(ctl > 0 && kill(ctl, SIGSTOP) == 0);
    rekeyed_by_east(400); // as much as the channel holds, and a queue behind it
    for (int i = 0; i < ROOMS; i++)
        before[i] = resident(room_pid(&rig.lab.west, names[i]));
    rekeyed_by_east(300);
    for (int i = 0; i < ROOMS; i++) {
        unsigned long now = resident(room_pid(&rig.lab.west, names[i]));
        print_message("  %s: %lu kB, then %lu kB\n", names[i], before[i], now);
        assert_true(before[i] && now && (now < before[i] + MORE_KB || !MEMORY_IS_JUDGED));
    }
    assert_int_equal(kill(ctl, SIGCONT), 0);
    assert_int_equal(swanctl(&rig.lab.west, out, sizeof(out), "--stats --raw"), 0);
    assert_int_equal(room_pid(&rig.lab.west, "ctl"), ctl);
    assert_true(rig_rekey(&rig, WEST, REKEY_CHILD, 0));
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    assert_true(rig_at_rest(&rig, NULL));
    finish("a ctl that stands still");
    assert_true(flow_is_clean(&flow));
}

// ---- other hands, and the operator's

static bool all_blocks(void *ctx)
{
    return blocks() == *(unsigned *)ctx;
}

static void in_west(const char *command)
{
    assert_int_equal(sh("nsenter --net=%s %s", rig.lab.west.ns, command), 0);
}

static bool ping_comes_back(void *ctx)
{
    (void)ctx;
    return ping(&rig.lab, &rig.lab.west, &rig.lab.east, 1);
}

// The routes into the TUN have to wait until it is up; what keeps closed meanwhile has not.
static void test_blocks_flushed_while_the_tun_is_down_are_put_back(void **state)
{
    (void)state;
    struct rig_options o = options();
    assert_true(rig_up(&rig, "espfault", &o));
    assert_true(rig_at_rest(&rig, NULL));
    unsigned had = blocks();
    assert_true(had > 0);
    in_west("ip link set espalier0 down");
    in_west("ip xfrm policy flush");
    assert_true(wait_for(all_blocks, &had, PATIENCE_MS));
    assert_true(unanswered(&rig.lab, &rig.lab.west, &rig.lab.east, 1));
    in_west("ip link set espalier0 up");
    assert_true(wait_for(ping_comes_back, NULL, PATIENCE_MS));
}

// What is read again holds from then on, and what is not is named.
static void test_settings_that_are_read_again_hold_at_the_end(void **state)
{
    (void)state;
    static char path[64];
    static char *const config[] = {"--config", path, NULL};
    char out[4096];
    struct rig_options o = options();
    o.settings = config;
    snprintf(path, sizeof(path), "/tmp/espfault-%d.conf", (int)getpid());
    assert_true(write_config(path, "espalierd { block_on_exit = no }"));
    assert_true(rig_up(&rig, "espfault", &o));
    unsigned had = blocks();
    assert_true(write_config(path, "espalierd { block_on_exit = yes\n mtu = 1300 }"));
    assert_int_equal(swanctl(&rig.lab.west, out, sizeof(out), "--reload-settings"), 0);
    assert_true(stop(&rig.lab.west.daemon, SIGTERM, PATIENCE_MS));
    assert_int_equal(
        sh("rm %s; grep -q 'mtu takes effect at the next start' %s/daemon.log", path, rig.lab.west.dir), 0);
    assert_true(had > 0);
    assert_int_equal(blocks(), had);
}

#define T(name) cmocka_unit_test_teardown(name, tear_down)

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        T(test_blocks_go_at_an_orderly_end_alone),
        T(test_start_right_behind_a_supervisor_that_was_killed),
        T(test_log_without_room_stops_nothing_and_tells_what_is_missing),
        T(test_run_directory_or_socket_without_room_is_named),
        T(test_names_of_connections_without_room_end_nothing),
        T(test_connection_refused_after_a_restart_keeps_its_traffic_blocked),
        T(test_pool_refused_after_a_restart_keeps_its_traffic_blocked),
        T(test_connection_passed_over_after_a_restart_keeps_its_traffic_blocked),
        T(test_reader_of_the_log_that_stands_still_under_a_flood_stops_nothing),
        T(test_a_log_that_nobody_reads_holds_up_no_end),
        T(test_a_ctl_that_stands_still_stops_nothing),
        T(test_blocks_flushed_while_the_tun_is_down_are_put_back),
        T(test_settings_that_are_read_again_hold_at_the_end),
    };
    setenv("ESPALIER_REKEY_WEST", "espalierd", 1);
    setenv("ESPALIER_REKEY_EAST", "espalierd", 1);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("something gives way", tests, NULL, NULL);
}
