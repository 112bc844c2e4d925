// SPDX-License-Identifier: Apache-2.0
// Each allocation and each system call of a process of espalierd's fails once: at its start, when settings
// are read again, when `fetch` is started again, and at the end. Either the daemon does without, and serves,
// or it ends with a status that is documented and a line that says what the system refused; in both cases
// nothing of it is left: no process, no TUN, and its run directory can be taken again.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/harness.h"
#include "tests/system/inject.h"

enum { MOST = 5000 };

static struct lab lab;
static struct inject *told;
static char program[300], vici[200], run_dir[200], log_path[200], config[200];
static char said[65536]; // the daemon's log
static int status;       // of the one that has ended
static unsigned complaints;
static struct busy ending; // since it was told to

// ---- the daemon

static const char *read_log(void)
{
    int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, said, sizeof(said) - 1);
    said[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
    return said;
}

static bool ended(void)
{
    pid_t pid = lab.west.daemon;
    if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid)
        lab.west.daemon = 0;
    return lab.west.daemon == 0;
}

// The socket is there before anybody serves it.
static bool answers(void)
{
    static const char version[] = "\0\0\0\11\0\7version"; // a length, a command and its name
    const struct timeval most = {.tv_usec = 100000};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char any;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(to.sun_path, sizeof(to.sun_path), "%.100s", vici);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most)); // connect, too
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof(most));
    bool yes = connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
               send(fd, version, sizeof(version) - 1, MSG_NOSIGNAL) == sizeof(version) - 1 &&
               recv(fd, &any, 1, 0) == 1;
    close(fd);
    return yes;
}

static bool ended_or_serves(void *ctx)
{
    (void)ctx;
    return ended() || answers();
}

static bool serves(void *ctx)
{
    (void)ctx;
    return answers();
}

static bool has_ended(void *ctx)
{
    (void)ctx;
    return ended();
}

static void arm(const char *room, unsigned n)
{
    atomic_store(&told->left, 0);
    atomic_store(&told->errors, 0);
    snprintf(told->room, sizeof(told->room), "%s", room);
    told->what[0] = 0;
    atomic_store(&told->left, (int)n);
}

static void start(void)
{
    char uri[220];
    char *argv[] = {program, "--vici", uri, "--run-dir", run_dir, "--card", "none", "--config", config, NULL};
    snprintf(uri, sizeof(uri), "unix://%s", vici);
    unlink(log_path);
    lab.west.daemon = spawn(log_path, lab.west.ns, argv);
}

// ---- what is left of one that has ended

static bool is_ours(const char *pid)
{
    char path[300], exe[400];
    snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
    ssize_t n = readlink(path, exe, sizeof(exe) - 1);
    exe[n > 0 ? n : 0] = 0;
    struct stat is, wanted;
    snprintf(path, sizeof(path), "/proc/%.20s/ns/net", pid);
    return strcmp(exe, program) == 0 && stat(path, &is) == 0 && stat(lab.west.ns, &wanted) == 0 &&
           is.st_ino == wanted.st_ino;
}

static bool none_runs(void *ctx)
{
    bool any = false;
    DIR *d = opendir("/proc");
    (void)ctx;
    if (!d)
        return complain("/proc cannot be read");
    for (const struct dirent *e; !any && (e = readdir(d)) != NULL;)
        any = e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_ours(e->d_name);
    closedir(d);
    return !any;
}

static bool tun_is_there(void)
{
    char path[100], line[300];
    bool there = false;
    snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)lab.west.keeper);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f))
        there |= strstr(line, "espalier0:") != NULL;
    if (f)
        fclose(f);
    return there;
}

static const char *where(char *at, size_t size)
{
    sh_read(at, size, "addr2line -spe %s 0x%lx", program, (unsigned long)told->where - 1);
    at[strcspn(at, "\n")] = 0;
    return at;
}

static void complain_of(const char *room, unsigned n, const char *what)
{
    char at[300] = "";
    print_error("%s, call %u (%s: %s, %s): %s; it said:\n%s\n", room, n, told->what, strerror(told->error),
                where(at, sizeof(at)), what, read_log());
    complaints++;
}

static void nothing_is_left(const char *room, unsigned n)
{
    if (!wait_for(none_runs, NULL, 1000))
        complain_of(room, n, "processes of it still run");
    if (tun_is_there())
        complain_of(room, n, "its TUN is still there");
}

// ---- what becomes of it

// Memory is called by its name, everything else by what the system says.
static bool names_the_refusal(void)
{
    read_log();
    return strstr(said, strerror(told->error)) || (told->error == ENOMEM && strstr(said, "memory"));
}

static void end_is_documented(const char *room, unsigned n)
{
    char what[100];
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code < 1 || code > 3) {
        snprintf(what, sizeof(what), "it ended with %s %d", code < 0 ? "signal" : "status",
                 code < 0 ? WTERMSIG(status) : code);
        complain_of(room, n, what);
    }
    if (!names_the_refusal())
        complain_of(room, n, "it does not say what was refused");
}

static void end(const char *room, unsigned n)
{
    busy_from(&ending);
    kill(lab.west.daemon, SIGTERM);
    if (!wait_for(has_ended, NULL, PATIENCE_MS))
        complain_of(room, n, "it does not end");
}

// It gives its processes two seconds, which are not enough where they wait for a processor.
static bool ended_well(void)
{
    return status == 0 ||
           (strstr(read_log(), "does not end, killed") && busy_once_more(&ending, "the way down"));
}

// One call fails at the start. False: there are fewer.
static bool start_with(const char *room, unsigned n)
{
    arm(room, n);
    start();
    if (!wait_for(ended_or_serves, NULL, PATIENCE_MS))
        complain_of(room, n, "it neither serves nor ends");
    bool reached = atomic_load(&told->errors) > 0;
    if (lab.west.daemon == 0) {
        if (!reached)
            complain_of(room, n, "it ended though nothing was refused");
        end_is_documented(room, n);
    } else {
        arm(room, 0);
        end(room, n);
        if (!ended_well())
            complain_of(room, n, "it served, and yet did not end with status 0");
    }
    nothing_is_left(room, n);
    return reached;
}

static void starts(const char *room)
{
    unsigned n = 1;
    while (n < MOST && start_with(room, n))
        n++;
    print_message("  %s: each of %u calls at the start\n", room, n - 1);
    assert_true(n > 10 && n < MOST);
    assert_int_equal(complaints, 0);
}

static void test_supervisor_whose_calls_fail_at_the_start(void **state)
{
    (void)state;
    starts("supervisor");
}

static void test_ctl_whose_calls_fail_at_the_start(void **state)
{
    (void)state;
    starts("ctl");
}

static void test_ike_whose_calls_fail_at_the_start(void **state)
{
    (void)state;
    starts("ike");
}

static void test_keys_whose_calls_fail_at_the_start(void **state)
{
    (void)state;
    starts("keys");
}

static void test_path_whose_calls_fail_at_the_start(void **state)
{
    (void)state;
    starts("path");
}

static void test_fetch_whose_calls_fail_at_the_start(void **state)
{
    (void)state;
    starts("fetch");
}

static void test_metrics_whose_calls_fail_at_the_start(void **state)
{
    (void)state;
    starts("metrics");
}

// ---- of one that serves

static void serve(void)
{
    arm("supervisor", 0);
    start();
    if (!wait_for(ended_or_serves, NULL, PATIENCE_MS) || lab.west.daemon == 0)
        fail_msg("it does not serve though nothing was refused:\n%s", read_log());
}

static bool says(const char *text)
{
    return strstr(read_log(), text) != NULL;
}

// The log itself had no room: the next line says that one is missing.
static bool log_was_refused(void)
{
    char at[300] = "";
    if (atomic_load(&told->errors) == 0)
        return false;
    return strcmp(told->what, "poll") == 0 || strcmp(told->what, "send") == 0 ||
           (strcmp(told->what, "write") == 0 && strstr(where(at, sizeof(at)), "log.c"));
}

static bool reread_or_ended(void *ctx)
{
    (void)ctx;
    return ended() || log_was_refused() || says("settings reloaded") || says("settings not reloaded");
}

static bool is_reread(void *ctx)
{
    (void)ctx;
    return says("settings reloaded");
}

static bool tells_what_is_missing(void)
{
    kill(lab.west.daemon, SIGHUP);
    return wait_for(is_reread, NULL, PATIENCE_MS) && says("1 lines are missing here");
}

// A file that cannot be read changes nothing, and is read the next time.
static bool reload_with(unsigned n)
{
    if (lab.west.daemon == 0)
        serve();
    assert_int_equal(truncate(log_path, 0), 0);
    arm("supervisor", n);
    kill(lab.west.daemon, SIGHUP);
    if (!wait_for(reread_or_ended, NULL, PATIENCE_MS))
        complain_of("reload", n, "nothing comes of it");
    bool reached = atomic_load(&told->errors) > 0;
    atomic_store(&told->left, 0);
    if (lab.west.daemon == 0)
        end_is_documented("reload", n);
    else if (says("settings not reloaded") && !names_the_refusal())
        complain_of("reload", n, "it does not say what was refused");
    else if (!wait_for(serves, NULL, PATIENCE_MS)) // one question has a tenth of a second
        complain_of("reload", n, "it serves no more");
    else if (log_was_refused() && !tells_what_is_missing())
        complain_of("reload", n, "it does not say that a line is missing");
    return reached;
}

static void test_supervisor_whose_calls_fail_when_settings_are_read_again(void **state)
{
    unsigned n = 1;
    (void)state;
    while (n < MOST && reload_with(n))
        n++;
    print_message("  each of %u calls when settings are read again\n", n - 1);
    end("reload", n);
    nothing_is_left("reload", n);
    assert_true(n > 5 && n < MOST);
    assert_int_equal(complaints, 0);
}

static bool serves_again_or_ended(void *ctx)
{
    (void)ctx;
    return ended() || says("fetch serves again") ||
           (log_was_refused() && says("the fetch process is there again"));
}

// However its start fails, it comes again, and the others go on.
static bool restart_with(const char *room, unsigned n)
{
    serve();
    arm(room, n);
    kill(room_pid(&lab.west, "fetch"), SIGKILL);
    bool again = wait_for(serves_again_or_ended, NULL, PATIENCE_MS) && lab.west.daemon != 0;
    bool reached = atomic_load(&told->errors) > 0;
    atomic_store(&told->left, 0);
    if (!again)
        complain_of(room, n, "fetch does not serve again");
    const char *first = strstr(read_log(), "fetch is started again");
    if (first && strstr(first + 1, "fetch is started again") && !names_the_refusal())
        complain_of(room, n, "it does not say what was refused");
    if (lab.west.daemon != 0)
        end(room, n);
    if (!ended_well())
        complain_of(room, n, "it did not end with status 0");
    nothing_is_left(room, n);
    return reached;
}

static void restarts(const char *room)
{
    unsigned n = 1;
    while (n < MOST && restart_with(room, n))
        n++;
    print_message("  %s: each of %u calls when fetch is started again\n", room, n - 1);
    assert_true(n > 10 && n < MOST);
    assert_int_equal(complaints, 0);
}

static void test_supervisor_whose_calls_fail_when_fetch_is_started_again(void **state)
{
    (void)state;
    restarts("supervisor");
}

static void test_fetch_whose_calls_fail_when_it_is_started_again(void **state)
{
    (void)state;
    restarts("fetch");
}

static bool end_with(unsigned n)
{
    serve();
    arm("supervisor", n);
    end("end", n);
    bool reached = atomic_load(&told->errors) > 0;
    atomic_store(&told->left, 0);
    if (!ended_well())
        end_is_documented("end", n);
    nothing_is_left("end", n);
    return reached;
}

static void test_supervisor_whose_calls_fail_at_the_end(void **state)
{
    unsigned n = 1;
    (void)state;
    while (n < MOST && end_with(n))
        n++;
    print_message("  each of %u calls at the end\n", n - 1);
    assert_true(n > 5 && n < MOST);
    assert_int_equal(complaints, 0);
}

static int begin(void **state)
{
    char path[PATH_MAX];
    (void)state;
    if (!lab_up(&lab, "espinj"))
        return -1;
    snprintf(program, sizeof(program), "%s/../tests/espalierd_inject", bin_dir());
    if (!realpath(program, path))
        return -1;
    snprintf(program, sizeof(program), "%.290s", path);
    snprintf(vici, sizeof(vici), "%s/vici", lab.west.dir);
    snprintf(run_dir, sizeof(run_dir), "%s/run", lab.west.dir);
    snprintf(log_path, sizeof(log_path), "%s/daemon.log", lab.west.dir);
    snprintf(config, sizeof(config), "%s/espalierd.conf", lab.west.dir);
    snprintf(path, sizeof(path), "%s/inject", lab.west.dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*told)) < 0 ||
        sh("echo 'charon { retransmit_tries = 3 } espalierd { metrics = 9909 }' >%s", config))
        return -1;
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return told == MAP_FAILED || setenv(INJECT_FILE, path, 1) ? -1 : 0;
}

static int anew(void **state)
{
    (void)state;
    complaints = 0;
    stop(&lab.west.daemon, SIGKILL, PATIENCE_MS);
    return wait_for(none_runs, NULL, PATIENCE_MS) ? 0 : -1;
}

static int done(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_supervisor_whose_calls_fail_at_the_start, anew),
        cmocka_unit_test_setup(test_ctl_whose_calls_fail_at_the_start, anew),
        cmocka_unit_test_setup(test_ike_whose_calls_fail_at_the_start, anew),
        cmocka_unit_test_setup(test_keys_whose_calls_fail_at_the_start, anew),
        cmocka_unit_test_setup(test_path_whose_calls_fail_at_the_start, anew),
        cmocka_unit_test_setup(test_fetch_whose_calls_fail_at_the_start, anew),
        cmocka_unit_test_setup(test_metrics_whose_calls_fail_at_the_start, anew),
        cmocka_unit_test_setup(test_supervisor_whose_calls_fail_when_settings_are_read_again, anew),
        cmocka_unit_test_setup(test_supervisor_whose_calls_fail_when_fetch_is_started_again, anew),
        cmocka_unit_test_setup(test_fetch_whose_calls_fail_when_it_is_started_again, anew),
        cmocka_unit_test_setup(test_supervisor_whose_calls_fail_at_the_end, anew),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("what the system refuses", tests, begin, done);
}
