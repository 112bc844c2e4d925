// SPDX-License-Identifier: Apache-2.0
// A process with a room's filter tries what is none of its job, and ends at it; what belongs to it is carried
// out.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/super/filter.h"

struct outcome {
    int status;
    int word; // its last one; -1: none
};

// What becomes of a process that is that room and does this.
static struct outcome in_room(enum room room, void (*act)(void), bool debug_keys)
{
    struct settings s = {.seccomp = true};
    struct outcome o = {.word = -1};
    int ends[2];
    snprintf(s.debug_keys, sizeof(s.debug_keys), "%s", debug_keys ? "/tmp" : "");
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (dup2(ends[1], FILTER_WORDS_FD) < 0 || filter_load(room, &s) != 0)
            _exit(99);
        act();
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(waitpid(pid, &o.status, 0), pid);
    if (read(ends[0], &o.word, sizeof(o.word)) != sizeof(o.word))
        o.word = -1;
    close(ends[0]);
    return o;
}

static void expect_end(enum room room, void (*act)(void), const char *what, long number)
{
    struct outcome o = in_room(room, act, false);
    if (!WIFEXITED(o.status) || WEXITSTATUS(o.status) != FILTER_STATUS || o.word != number)
        fail_msg("room %d, %s: status %x, last word %d, expected exit status %d and %ld", room, what,
                 (unsigned)o.status, o.word, FILTER_STATUS, number);
}

static void expect_done(enum room room, void (*act)(void), const char *what)
{
    struct outcome o = in_room(room, act, false);
    char name[64];
    if (!WIFEXITED(o.status) || WEXITSTATUS(o.status) != 0)
        fail_msg("room %d, %s: status %x, %s", room, what, (unsigned)o.status,
                 filter_call_name(name, sizeof(name), o.word));
}

#define EACH_ROOM(r) for (enum room r = ROOM_CTL; r < ROOM_COUNT; r++)

// ---- what no room does

static void act_execve(void)
{
    char *none[] = {NULL};
    execve("/bin/true", none, none);
}
static void act_execveat(void)
{
    syscall(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 0);
}
static void act_fork(void)
{
    syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}
static void act_ptrace(void)
{
    ptrace(PTRACE_ATTACH, getppid(), 0, 0);
}
static void act_kill(void)
{
    kill(getppid(), 0);
}
static void act_signal_other(void)
{
    syscall(SYS_tgkill, getppid(), getppid(), 0);
}
static void act_read_other(void)
{
    struct iovec v = {&v, sizeof(v)};
    process_vm_readv(getppid(), &v, 1, &v, 1, 0);
}
static void act_unshare(void)
{
    unshare(CLONE_NEWUSER);
}
static void act_setns(void)
{
    setns(0, 0);
}
static void act_mount(void)
{
    syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL);
}
static void act_bpf(void)
{
    syscall(SYS_bpf, 0, NULL, 0);
}
static void act_io_uring(void)
{
    syscall(SYS_io_uring_setup, 1, NULL);
}
static void act_keyctl(void)
{
    syscall(SYS_keyctl, 0, 0, 0, 0, 0);
}
static void act_setuid(void)
{
    syscall(SYS_setresuid, 0, 0, 0);
}
static void act_pidfd(void)
{
    syscall(SYS_pidfd_open, getppid(), 0);
}
static void act_code_to_write(void)
{
    (void)!mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void act_written_to_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, 4096, PROT_READ | PROT_EXEC);
}
static void act_packet_socket(void)
{
    (void)!socket(AF_PACKET, SOCK_RAW, 0);
}
static void act_other_handler(void)
{
    signal(SIGSYS, SIG_IGN);
}
// The kernel takes the signal's number as an int: what is above its 32 bits does not count.
static void act_other_handler_above(void)
{
    syscall(SYS_rt_sigaction, 1ul << 32 | SIGSYS, NULL, NULL, 8);
}
static void act_more_rights(void)
{
    prctl(PR_SET_SECUREBITS, 0);
}
static void act_other_filter(void)
{
    syscall(SYS_seccomp, 1, 0, NULL);
}

static void test_no_room_executes_traces_or_signals(void **state)
{
    static const struct {
        void (*act)(void);
        const char *what;
        long number;
    } cases[] = {{act_execve, "execve", SYS_execve},
                 {act_execveat, "execveat", SYS_execveat},
                 {act_fork, "fork", SYS_clone},
                 {act_ptrace, "ptrace", SYS_ptrace},
                 {act_kill, "kill", SYS_kill},
                 {act_signal_other, "tgkill", SYS_tgkill},
                 {act_read_other, "process_vm_readv", SYS_process_vm_readv},
                 {act_unshare, "unshare", SYS_unshare},
                 {act_setns, "setns", SYS_setns},
                 {act_mount, "mount", SYS_mount},
                 {act_bpf, "bpf", SYS_bpf},
                 {act_io_uring, "io_uring_setup", SYS_io_uring_setup},
                 {act_keyctl, "keyctl", SYS_keyctl},
                 {act_setuid, "setresuid", SYS_setresuid},
                 {act_pidfd, "pidfd_open", SYS_pidfd_open},
                 {act_code_to_write, "mmap of memory to write and execute", SYS_mmap},
                 {act_written_to_code, "mprotect to execute", SYS_mprotect},
                 {act_packet_socket, "socket AF_PACKET", SYS_socket},
                 {act_other_handler, "another handler of SIGSYS", SYS_rt_sigaction},
                 {act_other_handler_above, "another handler of SIGSYS, by 64 bits", SYS_rt_sigaction},
                 {act_more_rights, "prctl", SYS_prctl},
                 {act_other_filter, "seccomp", SYS_seccomp}};
    (void)state;
    EACH_ROOM(r)
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_end(r, cases[i].act, cases[i].what, cases[i].number);
}

// ---- what some do

static void act_socket(void)
{
    (void)!socket(AF_INET, SOCK_STREAM, 0);
}
static void act_raw(void)
{
    (void)!socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
}
static void act_other_netlink(void)
{
    (void)!socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
}
static void act_own_netlink(void)
{
    if (socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) < 0)
        _exit(1);
}
static void act_give_signals(void)
{
    (void)fcntl(0, F_SETOWN, 1);
}
static void act_choose_signal(void)
{
    (void)fcntl(0, F_SETSIG, SIGKILL);
}
static void act_create(void)
{
    (void)!open("/tmp/espalier-filter-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}
// A page of it may be all the room that there is.
static void act_write_in_place(void)
{
    (void)!pwrite(-1, "", 1, 0);
}
static void act_shorten(void)
{
    (void)!ftruncate(-1, 0);
}
static void act_connect(void)
{
    const struct sockaddr a = {.sa_family = AF_UNSPEC};
    connect(-1, &a, sizeof(a));
}
static void act_bind(void)
{
    const struct sockaddr a = {.sa_family = AF_UNSPEC};
    bind(-1, &a, sizeof(a));
}
static void act_listen(void)
{
    listen(-1, 1);
}
static void act_accept(void)
{
    accept4(-1, NULL, NULL, 0);
}
static void act_mask(void)
{
    umask(0);
}
static void act_chmod(void)
{
    fchmod(-1, 0600);
}
static void act_unlink(void)
{
    unlink("/tmp/espalier-filter-test");
}
static void act_ioctl(void)
{
    (void)!ioctl(0, SIOCSIFFLAGS, NULL);
}
static void act_ask_interface(void)
{
    char name[IF_NAMESIZE];
    if (if_nametoindex("lo") != 1 || !if_indextoname(1, name))
        _exit(1);
}
static void act_terminal(void)
{
    if (isatty(3) != 0)
        _exit(1);
}

// done: the rooms that may.
static void expect_of(unsigned done, void (*act)(void), const char *what, long number)
{
    EACH_ROOM(r)
    {
        if (done & 1u << r)
            expect_done(r, act, what);
        else
            expect_end(r, act, what, number);
    }
}
#define IN(r) (1u << ROOM_##r)

static void test_sockets_and_files_are_those_of_the_job(void **state)
{
    (void)state;
    expect_of(IN(FETCH) | IN(FLEET), act_socket, "a TCP socket", SYS_socket);
    expect_of(IN(PATH), act_raw, "a raw socket", SYS_socket);
    expect_of(IN(PATH), act_other_netlink, "netlink to the policies", SYS_socket);
    expect_of(IN(IKE) | IN(PATH) | IN(FETCH) | IN(FLEET), act_own_netlink, "netlink to the routes",
              SYS_socket);
    EACH_ROOM(r)
    {
        expect_end(r, act_give_signals, "signals in its name to others", SYS_fcntl);
        expect_end(r, act_choose_signal, "a signal of its choice", SYS_fcntl);
    }
    expect_of(IN(CTL) | IN(PATH), act_create, "a new file", SYS_openat);
    expect_of(IN(CTL), act_unlink, "unlink", SYS_unlink);
    expect_of(IN(CTL) | IN(KEYS) | IN(PATH), act_write_in_place, "writing in place", SYS_pwrite64);
    expect_of(IN(CTL) | IN(PATH), act_shorten, "shortening a file", SYS_ftruncate);
    expect_of(IN(IKE), act_chmod, "the rights of a file", SYS_fchmod);
    expect_of(0, act_mask, "umask", SYS_umask);
    expect_of(IN(IKE) | IN(PATH) | IN(FETCH) | IN(FLEET), act_connect, "connect", SYS_connect);
    expect_of(IN(IKE) | IN(PATH) | IN(FETCH) | IN(FLEET), act_bind, "bind", SYS_bind);
    expect_of(IN(CTL) | IN(METRICS), act_accept, "accept", SYS_accept4);
    expect_of(0, act_listen, "listen", SYS_listen);
    expect_of(IN(PATH), act_ioctl, "ioctl", SYS_ioctl);
    expect_done(ROOM_IKE, act_ask_interface, "interfaces by name and number");
    expect_done(ROOM_PATH, act_ask_interface, "interfaces by name and number");
    expect_done(ROOM_FLEET, act_ask_interface, "interfaces by name and number");
    expect_done(ROOM_FETCH, act_ask_interface, "interfaces by name and number");
    EACH_ROOM(r) expect_done(r, act_terminal, "isatty");
    unlink("/tmp/espalier-filter-test");
}

static void test_ike_writes_a_file_where_keys_are_to_be_written(void **state)
{
    (void)state;
    assert_int_equal(in_room(ROOM_IKE, act_create, true).status, 0);
    assert_int_not_equal(in_room(ROOM_IKE, act_create, false).status, 0);
    assert_int_not_equal(in_room(ROOM_KEYS, act_create, true).status, 0);
    unlink("/tmp/espalier-filter-test");
}

// ---- what all do

static int in_thread(void *arg)
{
    *(int *)arg = 7;
    return 0;
}

static void act_usual(void)
{
    thrd_t t;
    int n = 0;
    char buf[64];
    void *p = malloc(1 << 20);
    FILE *f = fopen("/proc/self/stat", "re");
    if (!p || !f || !fgets(buf, sizeof(buf), f) || access("/", F_OK) != 0)
        _exit(1);
    free(p);
    fclose(f);
    if (thrd_create(&t, in_thread, &n) != thrd_success || thrd_join(t, NULL) != thrd_success || n != 7)
        _exit(2);
    if (mlock(buf, sizeof(buf)) != 0 && errno != ENOMEM && errno != EPERM)
        _exit(3);
    signal(SIGUSR1, SIG_IGN);
    usleep(1000);
}

static void act_abort(void)
{
    abort();
}

static void test_what_every_program_does_is_done(void **state)
{
    (void)state;
    EACH_ROOM(r)
    {
        expect_done(r, act_usual, "memory, files, threads");
        struct outcome o = in_room(r, act_abort, false);
        assert_true(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGABRT);
    }
}

// ---- the program that the kernel is given, for every argument

enum { PROGRAM_MAX = 4096 };
struct program {
    struct sock_filter at[PROGRAM_MAX];
    size_t count;
};

static struct program program_of(enum room room)
{
    const struct settings s = {.seccomp = true};
    static struct program p;
    int fd = memfd_create("filter", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(filter_export(room, &s, fd), 0);
    ssize_t n = pread(fd, p.at, sizeof(p.at), 0);
    assert_true(n > 0 && (size_t)n < sizeof(p.at));
    p.count = (size_t)n / sizeof(p.at[0]);
    close(fd);
    return p;
}

// What libseccomp makes use of, as the kernel does it (seccomp(2)).
static uint32_t verdict(const struct program *p, const struct seccomp_data *d)
{
    uint32_t a = 0;
    for (size_t pc = 0; pc < p->count; pc++) {
        const struct sock_filter *f = &p->at[pc];
        bool is = false;
        switch (f->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(f->k + sizeof(a) <= sizeof(*d));
            memcpy(&a, (const uint8_t *)d + f->k, sizeof(a));
            continue;
        case BPF_ALU | BPF_AND | BPF_K: a &= f->k; continue;
        case BPF_JMP | BPF_JA: pc += f->k; continue;
        case BPF_JMP | BPF_JEQ | BPF_K: is = a == f->k; break;
        case BPF_JMP | BPF_JGT | BPF_K: is = a > f->k; break;
        case BPF_JMP | BPF_JGE | BPF_K: is = a >= f->k; break;
        case BPF_JMP | BPF_JSET | BPF_K: is = a & f->k; break;
        case BPF_RET | BPF_K: return f->k;
        default: fail_msg("an instruction %x", f->code);
        }
        pc += is ? f->jt : f->jf;
    }
    fail_msg("the program has no end");
    return 0;
}

static bool lets(const struct program *p, long nr, uint64_t a, uint64_t b, uint64_t c)
{
    const struct seccomp_data d = {.nr = (int)nr, .arch = p->at[1].k, .args = {a, b, c}};
    return verdict(p, &d) == SECCOMP_RET_ALLOW;
}

static bool may_have_socket(enum room room, int family, int type, int protocol)
{
    bool fetch = room == ROOM_FETCH || room == ROOM_FLEET,
         net = room == ROOM_IKE || room == ROOM_PATH || fetch;
    switch (family) {
    case AF_UNIX: return room == ROOM_PATH || fetch;
    case AF_INET:
    case AF_INET6:
        return (type == SOCK_DGRAM && net) || (type == SOCK_STREAM && fetch) ||
               (type == SOCK_RAW && room == ROOM_PATH);
    case AF_NETLINK: return room == ROOM_PATH || (protocol == NETLINK_ROUTE && (room == ROOM_IKE || fetch));
    default: return false;
    }
}

static void every_socket(const struct program *p, enum room room)
{
    static const int flags[] = {0, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_CLOEXEC | SOCK_NONBLOCK};
    for (int family = 0; family < AF_MAX; family++)
        for (int type = 0; type < 16; type++)
            for (int protocol = 0; protocol < 24; protocol++)
                for (int i = 0; i < 4; i++)
                    if (lets(p, SYS_socket, (uint64_t)family, (uint64_t)(type | flags[i]),
                             (uint64_t)protocol) != may_have_socket(room, family, type, protocol))
                        fail_msg("room %d: socket(%d, %d | %x, %d)", room, family, type, (unsigned)flags[i],
                                 protocol);
}

static void every_signal(const struct program *p, enum room room)
{
    for (uint64_t sig = 0; sig <= 64; sig++)
        for (uint64_t above = 0; above < 2; above++)
            if (lets(p, SYS_rt_sigaction, sig | above << 32, 0, 0) != (sig != SIGSYS))
                fail_msg("room %d: rt_sigaction(%d), above its 32 bits %d", room, (int)sig, (int)above);
}

// Of memory, code is what cannot be written; a library's is mapped.
static void every_protection(const struct program *p, enum room room)
{
    for (uint64_t prot = 0; prot < 8; prot++)
        if (lets(p, SYS_mmap, 0, 4096, prot) !=
                ((prot & (PROT_EXEC | PROT_WRITE)) != (PROT_EXEC | PROT_WRITE)) ||
            lets(p, SYS_mprotect, 0, 4096, prot) != !(prot & PROT_EXEC))
            fail_msg("room %d: memory %d", room, (int)prot);
}

static void every_fcntl(const struct program *p, enum room room)
{
    static const int denied[] = {F_SETOWN, F_SETSIG, F_SETOWN_EX, F_NOTIFY, F_SETLEASE};
    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
        if (lets(p, SYS_fcntl, 0, (uint64_t)denied[i], 0))
            fail_msg("room %d: fcntl %d", room, denied[i]);
    for (int cmd = F_DUPFD; cmd <= F_SETLKW; cmd++)
        if (!lets(p, SYS_fcntl, 0, (uint64_t)cmd, 0))
            fail_msg("room %d: no fcntl %d", room, cmd);
}

static void test_program_says_of_every_argument_what_is_meant(void **state)
{
    (void)state;
    EACH_ROOM(r)
    {
        struct program p = program_of(r);
        every_socket(&p, r);
        every_signal(&p, r);
        every_protection(&p, r);
        every_fcntl(&p, r);
    }
}

// Its runtime needs calls of its own: the program has to know, or each room would end at the first of them.
static void test_with_a_sanitizer_there_is_no_filter(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    assert_false(filter_is_there());
#else
    assert_true(filter_is_there());
#endif
}

int main(void)
{
    const struct CMUnitTest none[] = {cmocka_unit_test(test_with_a_sanitizer_there_is_no_filter)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_a_sanitizer_there_is_no_filter),
        cmocka_unit_test(test_no_room_executes_traces_or_signals),
        cmocka_unit_test(test_sockets_and_files_are_those_of_the_job),
        cmocka_unit_test(test_ike_writes_a_file_where_keys_are_to_be_written),
        cmocka_unit_test(test_what_every_program_does_is_done),
        cmocka_unit_test(test_program_says_of_every_argument_what_is_meant),
    };
    if (!filter_is_there())
        return cmocka_run_group_tests(none, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
