// SPDX-License-Identifier: Apache-2.0
// What each process of espalierd has been left with, and what a broken-in `ike` gets of the others: an
// espalierd whose `ike` tries it (trying.c).
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/system/harness.h"

static struct lab lab;
static char out[65536];
static const struct tunnel_options plain = {0};
static const char *const rooms[] = {"ctl", "ike", "keys", "path", "fetch", "metrics"};
enum { ROOMS = sizeof(rooms) / sizeof(rooms[0]) };

// With a sanitizer that brings calls of its own there is no filter.
static bool filtered(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;
#else
    return true;
#endif
}

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espcon") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

// Without further users, as in a user namespace of one, there is nothing to tell apart.
static bool has_users(void)
{
    return sh("awk '$1 <= 1880000000 && $1 + $3 > 1880000010 {ok = 1} END {exit !ok}' /proc/self/uid_map") ==
           0;
}

static void status_of(pid_t pid, const char *field, char *buf, size_t size)
{
    assert_int_equal(
        sh_read(buf, size, "sed -n 's/^%s:[[:space:]]*//p' /proc/%d/status | tr -d '\\n'", field, (int)pid),
        0);
}

static unsigned long number_of(pid_t pid, const char *field, int base)
{
    char text[256];
    status_of(pid, field, text, sizeof(text));
    return strtoul(text, NULL, base);
}

// Capabilities by their numbers in capability.h.
static void test_each_process_has_a_user_and_the_rights_of_its_job_alone(void **state)
{
    static char *const settings[] = {"--card", "none", "-o", "metrics=9909", NULL};
    enum { DAC_OVERRIDE = 1 << 1, NET_ADMIN = 1 << 12, NET_RAW = 1 << 13, IPC_LOCK = 1 << 14 };
    static const unsigned long capabilities[] = {
        DAC_OVERRIDE, 0, IPC_LOCK, NET_ADMIN | NET_RAW | DAC_OVERRIDE | IPC_LOCK, 0, 0};
    (void)state;
    if (!has_users()) {
        print_message("skip: this user namespace has no further users\n");
        skip();
    }
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, settings));
    for (int i = 0; i < ROOMS; i++) {
        pid_t pid = room_pid(&lab.west, rooms[i]);
        assert_true(pid > 0);
        unsigned long uid = number_of(pid, "Uid", 10);
        assert_true(uid > 1880000000ul && uid <= 1880000006ul);
        assert_int_equal(number_of(pid, "CapEff", 16), capabilities[i]);
        assert_int_equal(number_of(pid, "CapPrm", 16), capabilities[i]);
        assert_int_equal(number_of(pid, "CapInh", 16), 0);
        assert_int_equal(number_of(pid, "CapBnd", 16), 0);
        assert_int_equal(number_of(pid, "NoNewPrivs", 10), 1);
        assert_int_equal(number_of(pid, "Seccomp", 10), filtered() ? 2 : 0);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(number_of(room_pid(&lab.west, rooms[k]), "Uid", 10), uid);
    }
    // as anyone of them without capabilities
    for (int i = 0; i < ROOMS; i++) {
        for (int k = 0; k < ROOMS; k++) {
            int of = (int)room_pid(&lab.west, rooms[k]);
            unsigned long uid = number_of(room_pid(&lab.west, rooms[i]), "Uid", 10);
            int rc = sh("setpriv --reuid=%lu --clear-groups sh -c 'kill -0 %d || cat /proc/%d/maps || cat "
                        "/proc/%d/environ || ls /proc/%d/fd' >/dev/null 2>&1",
                        uid, of, of, of, of);
            if ((i == k) != (rc == 0))
                fail_msg("%s and %s: %d", rooms[i], rooms[k], rc);
        }
    }
}

// Whether CAP_IPC_LOCK counts here: in a user namespace it does not, and with a sanitizer nothing is locked.
static bool may_lock(void)
{
    int status = 1;
    pid_t pid = filtered() ? fork() : -1;
    if (pid == 0) {
        struct rlimit none = {0};
        getrlimit(RLIMIT_MEMLOCK, &none);
        none.rlim_cur = 0;
        _exit(setrlimit(RLIMIT_MEMLOCK, &none) < 0 || mlockall(MCL_CURRENT) < 0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

// A container has CAP_IPC_LOCK, and often no right to lift the limit.
static void test_all_memory_of_path_is_locked_where_it_may_also_below_a_limit(void **state)
{
    (void)state;
    if (!may_lock()) {
        print_message("skip: CAP_IPC_LOCK does not count here\n");
        skip();
    }
    static const char *const kept[] = {"", "--bounding-set -sys_resource"};
    for (int i = 0; i < 2; i++) {
        sh_read(out, sizeof(out),
                "mkdir -p %s/run4 && cd %s && ulimit -l 64 && nsenter --net=%s setpriv --no-new-privs %s sh "
                "-c '%s/espalierd "
                "--vici unix://%s/vici4 --run-dir %s/run4 --tun espother --card none >log4 2>&1 & daemon=$!; "
                "for i in $(seq 100); do grep -q ready log4 && break; sleep 0.1; done; "
                "cat log4 /proc/$(pgrep -P $daemon -f espalierd:.path)/status; kill $daemon; wait $daemon'",
                lab.dir, lab.dir, lab.west.ns, kept[i], bin_dir(), lab.dir, lab.dir);
        assert_non_null(strstr(out, "ready"));
        assert_null(strstr(out, "swapped out"));
        const char *locked = strstr(out, "VmLck:"), *all = strstr(out, "VmSize:");
        assert_true(locked && all);
        if (2 * strtoul(locked + 6, NULL, 10) < strtoul(all + 7, NULL, 10))
            fail_msg("of %lu KiB %lu are locked", strtoul(all + 7, NULL, 10), strtoul(locked + 6, NULL, 10));
    }
}

// The trying daemon's lines, until it serves or ends.
static int tries(const char *it, const char *more)
{
    return sh_read(
        out, sizeof(out),
        "mkdir -p %s/run2 && ESPALIER_TRY=%s nsenter --net=%s timeout -s TERM 3 "
        "%s/../tests/espalierd_trying --vici unix://%s/vici2 --run-dir %s/run2 --port 1500 --port-nat-t "
        "1501 --tun espother --card none %s 2>&1",
        lab.dir, *it ? it : "nothing", lab.west.ns, bin_dir(), lab.dir, lab.dir, more);
}

static void shows(const char *text)
{
    if (!strstr(out, text))
        fail_msg("expected \"%s\" in:\n%s", text, out);
}

static void test_broken_in_ike_ends_at_what_is_none_of_its(void **state)
{
    static const char *const calls[][2] = {
        {"ptrace", "ptrace"}, {"kill", "kill"}, {"memory", "process_vm_readv"}, {"exec", "execve"}};
    char line[120];
    (void)state;
    if (!filtered()) {
        print_message("skip: with AddressSanitizer there is no filter\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        assert_int_equal(tries(calls[i][0], ""), 1);
        snprintf(line, sizeof(line), "espalierd[dmn] ike was ended: the system call %s (", calls[i][1]);
        shows(line);
        assert_null(strstr(out, "tried"));
        assert_null(strstr(out, "ready"));
    }
}

// Its user alone, without the filter.
static void test_broken_in_ike_reaches_no_other_process_and_no_file_of_roots(void **state)
{
    (void)state;
    if (!has_users())
        skip();
    tries("each", "-o seccomp=no -o landlock=no");
    shows("system calls of the processes are not limited: espalierd.seccomp = no");
    shows("tried ptrace of room 3: Operation not permitted"); // keys
    shows("tried kill of room 3: Operation not permitted");
    shows("tried memory of room 3: Operation not permitted");
    shows("tried mem of room 3: Permission denied");
    shows("tried environ of room 3: Permission denied");
    shows("tried maps of room 3: Permission denied");
    shows("tried shadow of room 0: Permission denied");
    shows("tried kill of room 0: Operation not permitted"); // the supervisor
    assert_null(strstr(out, ": done"));
    shows("ready"); // and its job is done all the same
}

// Not even those that are anybody's.
static void test_broken_in_ike_opens_no_file_that_is_none_of_its(void **state)
{
    (void)state;
    if (!filtered()) {
        print_message("skip: with AddressSanitizer files are not limited\n");
        skip();
    }
    tries("passwd", "-o landlock=no");
    shows("files of the processes are not limited: espalierd.landlock = no");
    shows("tried passwd: done");
    shows("ready");
    tries("passwd", "");
    if (strstr(out, "this kernel has no Landlock")) {
        print_message("skip: this kernel has no Landlock\n");
        skip();
    }
    assert_null(strstr(out, "files of the processes"));
    shows("tried passwd: Permission denied");
    shows("ready");
}

static void test_processes_that_share_a_user_are_said_at_the_start(void **state)
{
    (void)state;
    tries("", "-o uid_base=0");
    shows("all processes share one user: uid_base is 0");
    shows("ready");
    assert_int_equal(sh("unshare -Urnm true"), 0);
    sh_read(out, sizeof(out),
            "mkdir -p %s/run3 && unshare -Urnm timeout 3 %s/espalierd --vici unix://%s/vici3 --run-dir "
            "%s/run3 --card "
            "none 2>&1",
            lab.dir, bin_dir(), lab.dir, lab.dir);
    shows("all processes share one user: this user namespace has no further users");
    shows("ready");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_each_process_has_a_user_and_the_rights_of_its_job_alone),
        T(test_all_memory_of_path_is_locked_where_it_may_also_below_a_limit),
        T(test_broken_in_ike_ends_at_what_is_none_of_its),
        T(test_broken_in_ike_reaches_no_other_process_and_no_file_of_roots),
        T(test_broken_in_ike_opens_no_file_that_is_none_of_its),
        T(test_processes_that_share_a_user_are_said_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
