// SPDX-License-Identifier: Apache-2.0
// A process with a room's limits opens files: those of its job it does, and no other, though they are there
// and its user may. The kernel's own verdict, so it is skipped where that has no Landlock.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
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
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/super/files.h"

enum { ABI_NET = 4, ABI_SCOPES = 6, NOT_LIMITED = 99 };
#define IN(room) (1u << ROOM_##room)
#define ALL      (IN(CTL) | IN(IKE) | IN(KEYS) | IN(PATH) | IN(FETCH) | IN(METRICS) | IN(FLEET))

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[2][160];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
    return path[turn];
}

static void put(const char *name)
{
    int fd = open(in_dir(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    close(fd);
}

static int set_up(void **state)
{
    static const char *const folders[] = {"run", "leases", "pci", "debug", "else"};
    (void)state;
    if (!files_abi()) {
        print_message("skip: this kernel has no Landlock\n");
        skip();
    }
    snprintf(dir, sizeof(dir), "/var/tmp/espalier-files-XXXXXX"); // which nobody is given
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        assert_int_equal(mkdir(in_dir(folders[i]), 0777), 0);
    put("run/connections");
    put("leases/leases");
    put("else/file");
    return 0;
}

static int tear_down(void **state)
{
    char cmd[100];
    (void)state;
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return system(cmd);
}

static struct settings told(void)
{
    struct settings s;
    settings_default(&s);
    snprintf(s.run_dir, sizeof(s.run_dir), "%s", in_dir("run"));
    snprintf(s.pool_leases, sizeof(s.pool_leases), "%s", in_dir("leases/leases"));
    snprintf(s.pci_sysfs, sizeof(s.pci_sysfs), "%s", in_dir("pci/there/later"));
    snprintf(s.debug_keys, sizeof(s.debug_keys), "%s", in_dir("debug"));
    return s;
}

// What becomes of it in a process that is that room: 0, or the errno.
static int in_room(enum room room, int (*act)(const char *), const char *arg)
{
    const struct settings s = told();
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (files_limit(room, &s) != 0)
            _exit(NOT_LIMITED);
        errno = 0;
        _exit(act(arg) < 0 ? errno : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != NOT_LIMITED);
    return WEXITSTATUS(status);
}

static void expect(unsigned rooms, int (*act)(const char *), const char *what, const char *of, int refused)
{
    char arg[160]; // in_dir() has two for all
    snprintf(arg, sizeof(arg), "%s", of);
    for (enum room r = ROOM_CTL; r < ROOM_COUNT; r++) {
        int e = in_room(r, act, arg), expected = rooms & 1u << r ? 0 : refused;
        if (e != expected)
            fail_msg("room %d, %s %s: %s, expected %s", r, what, arg, strerror(e), strerror(expected));
    }
}

static int act_read(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}
static int act_list(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}
static int act_write(const char *path)
{
    return open(path, O_WRONLY | O_CLOEXEC);
}
// As a file is replaced whole (kept_file.c).
static int act_replace(const char *path)
{
    char fresh[200];
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : rename(fresh, path);
}
static int act_make_dir(const char *path)
{
    return mkdir(path, 0700);
}

static void test_each_room_reads_the_files_of_its_job_alone(void **state)
{
    (void)state;
    expect(ALL, act_read, "reads", "/dev/urandom", EACCES);
    expect(ALL, act_list, "lists", "/usr/lib", EACCES);
    expect(ALL, act_read, "reads", "/etc/localtime", EACCES);
    expect(IN(CTL) | IN(FETCH) | IN(FLEET), act_read, "reads", "/etc/passwd", EACCES);
    expect(IN(CTL) | IN(FETCH) | IN(FLEET), act_read, "reads", "/etc/hosts", EACCES);
    expect(IN(CTL), act_read, "reads", in_dir("else/file"), EACCES); // a certificate, as the client names it
    expect(0, act_list, "lists", in_dir("else"), EACCES);
    expect(0, act_list, "lists", "/root", EACCES);
    expect(IN(PATH), act_list, "lists", in_dir("pci"), EACCES);
    expect(IN(IKE) | IN(PATH), act_list, "lists", in_dir("debug"), EACCES);
    expect(IN(CTL) | IN(PATH) | IN(METRICS), act_read, "reads", "/proc/stat", EACCES);
}

// It would go on without the operator's settings, say of which provider it is to use.
static void test_each_room_reads_what_openssl_is_told_to_read(void **state)
{
    (void)state;
    expect(IN(CTL), act_read, "reads", in_dir("else/file"), EACCES);
    setenv("OPENSSL_CONF", in_dir("else/file"), 1);
    setenv("OPENSSL_MODULES", in_dir("pci"), 1);
    expect(ALL, act_read, "reads", in_dir("else/file"), EACCES);
    expect(0, act_write, "writes", in_dir("else/file"), EACCES);
    expect(ALL, act_list, "lists", in_dir("pci"), EACCES);
    unsetenv("OPENSSL_CONF");
    unsetenv("OPENSSL_MODULES");
}

static void test_each_room_writes_the_files_of_its_job_alone(void **state)
{
    (void)state;
    expect(IN(CTL), act_write, "writes", in_dir("run/connections"), EACCES);
    expect(IN(CTL), act_replace, "replaces", in_dir("run/connections"), EACCES);
    expect(IN(CTL), act_replace, "replaces", in_dir("leases/leases"), EACCES);
    expect(IN(IKE) | IN(PATH), act_replace, "replaces", in_dir("debug/esp_sa"), EACCES);
    expect(0, act_write, "writes", in_dir("else/file"), EACCES);
    expect(0, act_replace, "replaces", in_dir("else/file"), EACCES);
    expect(0, act_write, "writes", "/etc/passwd", EACCES);
    expect(0, act_make_dir, "makes", in_dir("run/folder"), EACCES);
}

static int act_exec(const char *path)
{
    return execl(path, path, (char *)NULL);
}
static int act_connect(const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&to, sizeof(to));
}
static int act_listen(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    return bind(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (struct sockaddr *)&at, sizeof(at));
}
static int act_signal(const char *arg)
{
    (void)arg;
    return kill(getppid(), 0);
}

static int act_tun(const char *path)
{
    unsigned features;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd < 0 ? -1 : ioctl(fd, TUNGETFEATURES, &features);
}

static void test_path_alone_opens_the_tun_and_nobody_another_device(void **state)
{
    (void)state;
    if (act_tun("/dev/net/tun") < 0)
        print_message("skip: there is no /dev/net/tun here\n");
    else
        expect(IN(PATH), act_tun, "asks", "/dev/net/tun", EACCES);
    expect(0, act_write, "writes", "/dev/zero", EACCES);
    expect(0, act_write, "writes", "/dev/full", EACCES);
}

static void test_no_room_executes_speaks_tcp_or_signals_others(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    char port[8];
    (void)state;
    expect(0, act_exec, "executes", "/bin/true", EACCES);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, ROOM_COUNT), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    snprintf(port, sizeof(port), "%u", ntohs(at.sin_port));
    if (files_abi() >= ABI_NET) {
        expect(IN(FETCH) | IN(FLEET), act_connect, "connects to", port, EACCES);
        expect(0, act_listen, "listens at", "0", EACCES);
    } else {
        print_message("skip: this kernel's Landlock does not know TCP\n");
    }
    close(fd);
    if (files_abi() >= ABI_SCOPES)
        expect(0, act_signal, "signals", "its parent", EPERM);
    else
        print_message("skip: this kernel's Landlock does not know signals\n");
}

// It may come after the room has begun, too.
static void test_folder_of_cards_may_be_made_anew(void **state)
{
    const struct settings s = told();
    char there[sizeof(s.pci_sysfs)];
    int go[2], status;
    (void)state;
    snprintf(there, sizeof(there), "%s", s.pci_sysfs);
    assert_int_equal(mkdir(in_dir("pci/there"), 0777), 0);
    assert_int_equal(mkdir(there, 0777), 0);
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (files_limit(ROOM_PATH, &s) != 0 || read(go[0], &c, 1) != 1)
            _exit(NOT_LIMITED);
        _exit(act_list(there) < 0 ? errno : 0);
    }
    assert_int_equal(rmdir(there), 0);
    put("pci/there/in_its_place"); // so that it is another one
    assert_int_equal(mkdir(there, 0777), 0);
    assert_int_equal(write(go[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(go[0]);
    close(go[1]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_each_room_reads_the_files_of_its_job_alone),
        T(test_each_room_reads_what_openssl_is_told_to_read),
        T(test_each_room_writes_the_files_of_its_job_alone),
        T(test_path_alone_opens_the_tun_and_nobody_another_device),
        T(test_no_room_executes_speaks_tcp_or_signals_others),
        T(test_folder_of_cards_may_be_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
