// SPDX-License-Identifier: Apache-2.0
// seccomp, by libseccomp. SIGSYS is handled where the call was made, as its number is known only there; that
// the handler stays is seen to by the filter itself.
#include "ctrl/super/filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <linux/netlink.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#define IN(room) (1u << ROOM_##room)
enum {
    ALL = IN(CTL) | IN(IKE) | IN(KEYS) | IN(PATH) | IN(FETCH) | IN(METRICS) | IN(FLEET),
    FILES = IN(CTL) | IN(PATH), // write some
    NET = IN(IKE) | IN(PATH) | IN(FETCH) | IN(FLEET),
};

// X(system call, rooms); what glibc of Debian 12 or 13, OpenSSL, libcurl and libmicrohttpd make of their
// calls on this or that processor is here too.
// clang-format off
#define CALL_LIST(X)                                                                                           \
    /* memory */                                                                                               \
    X(brk, ALL) X(munmap, ALL) X(mremap, ALL) X(madvise, ALL) X(mlock, ALL) X(mlock2, ALL) X(munlock, ALL)     \
    X(mlockall, IN(PATH)) X(membarrier, ALL) X(mseal, ALL)                                                     \
    /* threads, time, signals of its own */                                                                    \
    X(futex, ALL) X(set_robust_list, ALL) X(rseq, ALL) X(set_tid_address, ALL) X(sched_yield, ALL)             \
    X(sched_getaffinity, ALL) X(gettid, ALL) X(getpid, ALL) X(getppid, ALL) X(getuid, ALL) X(geteuid, ALL)     \
    X(getgid, ALL) X(getegid, ALL) X(getrusage, ALL) X(sysinfo, ALL) X(uname, ALL) X(getrandom, ALL)           \
    X(clock_gettime, ALL) X(clock_getres, ALL) X(gettimeofday, ALL) X(time, ALL) X(nanosleep, ALL)             \
    X(clock_nanosleep, ALL) X(getcpu, ALL) X(rt_sigprocmask, ALL) X(rt_sigreturn, ALL) X(sigaltstack, ALL)     \
    X(restart_syscall, ALL) X(exit, ALL) X(exit_group, ALL) X(getrlimit, ALL) X(setrlimit, IN(PATH))           \
    X(sched_setaffinity, IN(PATH)) X(times, ALL)                                          \
    /* waiting */                                                                                              \
    X(epoll_create1, ALL) X(epoll_ctl, ALL) X(epoll_wait, ALL) X(epoll_pwait, ALL) X(epoll_pwait2, ALL)        \
    X(poll, ALL) X(ppoll, ALL) X(select, ALL) X(pselect6, ALL) X(timerfd_create, ALL) X(timerfd_settime, ALL)  \
    X(timerfd_gettime, ALL) X(eventfd2, ALL) X(pipe2, ALL)                                                     \
    /* descriptors */                                                                                          \
    X(read, ALL) X(readv, ALL) X(pread64, ALL) X(write, ALL) X(writev, ALL) X(lseek, ALL) X(close, ALL)        \
    X(fstat, ALL) X(newfstatat, ALL) X(fstatat64, ALL) X(statx, ALL) X(stat, ALL) X(lstat, ALL)                \
    X(statfs, ALL) X(fstatfs, ALL) X(access, ALL) X(faccessat, ALL) X(faccessat2, ALL) X(readlink, ALL)        \
    X(readlinkat, ALL) X(getdents64, ALL) X(getcwd, ALL) X(dup, ALL) X(dup3, ALL)                \
    X(fadvise64, ALL) X(pwrite64, FILES | IN(KEYS)) X(ftruncate, FILES) X(fallocate, FILES) X(fsync, FILES)               \
    X(fdatasync, FILES) X(fchmod, IN(IKE))                                                                     \
    X(unlink, IN(CTL)) X(unlinkat, IN(CTL)) X(rename, IN(CTL)) X(renameat, IN(CTL)) X(renameat2, IN(CTL))      \
    X(memfd_create, IN(PATH))                                                                                  \
    /* sockets that there are */                                                                               \
    X(sendto, ALL) X(sendmsg, ALL) X(sendmmsg, ALL) X(recvfrom, ALL) X(recvmsg, ALL) X(recvmmsg, ALL)          \
    X(getsockopt, ALL) X(setsockopt, ALL) X(getsockname, ALL) X(getpeername, ALL) X(shutdown, ALL)             \
    X(connect, NET) X(bind, NET) X(accept4, IN(CTL) | IN(METRICS)) X(accept, IN(METRICS))                      \
    X(sendfile, IN(METRICS)) X(socketpair, IN(FETCH) | IN(FLEET))
// clang-format on

struct call {
    const char *name;
    unsigned rooms;
};
static const struct call calls[] = {
#define X(name, rooms) {#name, rooms},
    CALL_LIST(X)
#undef X
};

// Kinds of sockets that are made: family, type (0: any), protocol (ANY: any).
enum { ANY = -1 };
static const struct {
    int family, type, protocol;
    unsigned rooms;
} sockets[] = {
    {AF_UNIX, 0, ANY, IN(PATH) | IN(FETCH) | IN(FLEET)},
    {AF_INET, SOCK_DGRAM, ANY, NET},
    {AF_INET6, SOCK_DGRAM, ANY, NET},
    {AF_INET, SOCK_STREAM, ANY, IN(FETCH) | IN(FLEET)},
    {AF_INET6, SOCK_STREAM, ANY, IN(FETCH) | IN(FLEET)},
    {AF_INET, SOCK_RAW, ANY, IN(PATH)},
    {AF_INET6, SOCK_RAW, ANY, IN(PATH)},
    {AF_NETLINK, 0, ANY, IN(PATH)},
    {AF_NETLINK, 0, NETLINK_ROUTE,
     IN(IKE) | IN(FETCH) | IN(FLEET)}, // where addresses and routes are asked for
};
// Those of fcntl: not those by which the kernel sends signals to others in the caller's name (F_SETOWN,
// F_SETSIG).
static const int fcntls[] = {F_DUPFD,     F_DUPFD_CLOEXEC, F_GETFD,      F_SETFD,
                             F_GETFL,     F_SETFL,         F_GETLK,      F_SETLK,
                             F_SETLKW,    F_OFD_GETLK,     F_OFD_SETLK,  F_OFD_SETLKW,
                             F_ADD_SEALS, F_GET_SEALS,     F_GETPIPE_SZ, F_SETPIPE_SZ};
enum { SOCKET_TYPE = 0xff, LAST_SIGNAL = 64 };
#define TCGETS_2 0x802c542aul // TCGETS2, which glibc asks from 2.42 on; its header clashes with others

static const unsigned long process_settings[] = {PR_SET_NAME,     PR_GET_NAME,      PR_SET_DUMPABLE,
                                                 PR_GET_DUMPABLE, PR_SET_PDEATHSIG, PR_CAPBSET_READ,
                                                 PR_SET_VMA};

bool filter_is_there(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) // which make calls of their own
    return false;
#else
    return true;
#endif
}

static void on_denied(int sig, siginfo_t *info, void *ctx)
{
    int number = info->si_syscall;
    (void)sig;
    (void)ctx;
    (void)!write(FILTER_WORDS_FD, &number, sizeof(number));
    _exit(FILTER_STATUS);
}

// What an argument of a call has to be.
static struct scmp_arg_cmp equal(unsigned arg, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){.arg = arg, .op = SCMP_CMP_EQ, .datum_a = value};
}

static struct scmp_arg_cmp masked(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
    return (struct scmp_arg_cmp){.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

// A call that this processor does not have is not on its list. 0 or -errno.
static int add(scmp_filter_ctx f, uint32_t action, const char *name, unsigned count,
               const struct scmp_arg_cmp *args)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (nr < 0)
        return 0;
    int rc = seccomp_rule_add_array(f, action, nr, count, args);
    return rc == -EEXIST ? 0 : rc;
}

static int allow(scmp_filter_ctx f, const char *name, unsigned count, const struct scmp_arg_cmp *args)
{
    return add(f, SCMP_ACT_ALLOW, name, count, args);
}

// glibc asks for interfaces by whatever socket there is to be had: without AF_UNIX by one of AF_INET.
static int allow_sockets(scmp_filter_ctx f, unsigned room)
{
    const struct scmp_arg_cmp local[] = {equal(0, AF_UNIX)};
    int rc = room == IN(IKE) ? add(f, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", 1, local) : 0;
    for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]) && rc == 0; i++) {
        struct scmp_arg_cmp args[3] = {equal(0, (scmp_datum_t)sockets[i].family)};
        unsigned n = 1;
        if (sockets[i].type)
            args[n++] = masked(1, SOCKET_TYPE, (scmp_datum_t)sockets[i].type);
        if (sockets[i].protocol != ANY)
            args[n++] = equal(2, (scmp_datum_t)sockets[i].protocol);
        if (sockets[i].rooms & room)
            rc = allow(f, "socket", n, args);
    }
    return rc;
}

// Nothing that can be written can be executed, nor the other way round later on.
static int allow_memory(scmp_filter_ctx f)
{
    const struct scmp_arg_cmp no_code[] = {masked(2, PROT_EXEC, 0)};
    const struct scmp_arg_cmp no_writing[] = {masked(2, PROT_EXEC | PROT_WRITE, PROT_EXEC)};
    int rc = allow(f, "mmap", 1, no_code);
    if (rc == 0)
        rc = allow(f, "mmap", 1, no_writing); // a library: OpenSSL's modules, a resolver's
    return rc ? rc : allow(f, "mprotect", 1, no_code);
}

// Threads, no processes. What clone3 is to do is where no filter looks: without it glibc takes clone.
static int allow_threads(scmp_filter_ctx f)
{
    const scmp_datum_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    const struct scmp_arg_cmp args[] = {
        masked(0, thread | CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC, thread)};
    int rc = allow(f, "clone", 1, args);
    return rc ? rc : add(f, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL);
}

// Signals to itself alone (abort); the handler of SIGSYS stays. Whatever differs from its number in one of
// the bits that numbers have: the kernel looks at 32 bits alone, and of those above a comparison of the whole
// would let it by. One rule for each other number is not to be had: from the end of a chain so long
// libseccomp 2.5.4 jumps out of other calls' comparisons into the middle of it.
static int allow_signals(scmp_filter_ctx f)
{
    const struct scmp_arg_cmp own[] = {equal(0, (scmp_datum_t)getpid())};
    int rc = allow(f, "tgkill", 1, own);
    for (unsigned bit = 1; bit <= LAST_SIGNAL && rc == 0; bit <<= 1) {
        const struct scmp_arg_cmp other[] = {masked(0, bit, ~(unsigned)SIGSYS & bit)};
        rc = allow(f, "rt_sigaction", 1, other);
    }
    return rc;
}

static int allow_fcntl(scmp_filter_ctx f)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof(fcntls) / sizeof(fcntls[0]) && rc == 0; i++) {
        const struct scmp_arg_cmp args[] = {masked(1, UINT32_MAX, (scmp_datum_t)fcntls[i])};
        rc = allow(f, "fcntl", 1, args);
    }
    return rc;
}

// Its own limits are read; path lifts that of locked memory.
static int allow_limits(scmp_filter_ctx f, unsigned room)
{
    const struct scmp_arg_cmp reading[] = {equal(0, 0), equal(2, 0)};
    const struct scmp_arg_cmp own[] = {equal(0, 0)};
    return room == IN(PATH) ? allow(f, "prlimit64", 1, own) : allow(f, "prlimit64", 2, reading);
}

static int allow_files(scmp_filter_ctx f, unsigned room, bool debug_keys)
{
    const struct scmp_arg_cmp reading[] = {masked(2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY)};
    bool writes = room & FILES || (room == IN(IKE) && debug_keys);
    int rc = allow(f, "openat", writes ? 0 : 1, writes ? NULL : reading);
    return rc ? rc : add(f, SCMP_ACT_ERRNO(ENOSYS), "openat2", 0, NULL);
}

// path speaks to a TUN, to interfaces and to cards. Of the others glibc asks whether something is a terminal,
// for an interface's number or name, and how much there is to read.
static int allow_ioctl(scmp_filter_ctx f, unsigned room)
{
    static const unsigned long asked[] = {SIOCGIFNAME, SIOCGIFINDEX, FIONREAD, FIONBIO};
    int rc = room == IN(PATH) ? allow(f, "ioctl", 0, NULL) : 0;
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]) && rc == 0 && room != IN(PATH); i++) {
        const struct scmp_arg_cmp args[] = {equal(1, asked[i])};
        rc = allow(f, "ioctl", 1, args);
    }
    static const unsigned long terminal[] = {TCGETS, TCGETS_2};
    for (size_t i = 0; i < sizeof(terminal) / sizeof(terminal[0]) && rc == 0 && room != IN(PATH); i++) {
        const struct scmp_arg_cmp args[] = {equal(1, terminal[i])};
        rc = add(f, SCMP_ACT_ERRNO(ENOTTY), "ioctl", 1, args);
    }
    return rc;
}

static int allow_settings(scmp_filter_ctx f)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof(process_settings) / sizeof(process_settings[0]) && rc == 0; i++) {
        const struct scmp_arg_cmp args[] = {equal(0, process_settings[i])};
        rc = allow(f, "prctl", 1, args);
    }
    return rc;
}

static int fill(scmp_filter_ctx f, unsigned room, bool debug_keys)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && rc == 0; i++)
        if (calls[i].rooms & room)
            rc = allow(f, calls[i].name, 0, NULL);
    if (rc == 0)
        rc = allow_fcntl(f);
    if (rc == 0)
        rc = allow_sockets(f, room);
    if (rc == 0)
        rc = allow_memory(f);
    if (rc == 0)
        rc = allow_threads(f);
    if (rc == 0)
        rc = allow_signals(f);
    if (rc == 0)
        rc = allow_limits(f, room);
    if (rc == 0)
        rc = allow_ioctl(f, room);
    if (rc == 0)
        rc = allow_files(f, room, debug_keys);
    return rc ? rc : allow_settings(f);
}

static int make(enum room room, const struct settings *s, scmp_filter_ctx *out)
{
    scmp_filter_ctx f = *out = seccomp_init(SCMP_ACT_TRAP);
    if (!f)
        return -ENOMEM;
    int rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_SSB, 1); // no process of ours runs code of strangers
    if (rc == 0)
        rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    return rc ? rc : fill(f, 1u << room, s->debug_keys[0]);
}

int filter_load(enum room room, const struct settings *s)
{
    struct sigaction sa = {.sa_sigaction = on_denied, .sa_flags = SA_SIGINFO};
    sigset_t sys;
    scmp_filter_ctx f;
    int rc = make(room, s, &f);
    sigemptyset(&sys);
    sigaddset(&sys, SIGSYS);
    if (rc == 0 && (sigaction(SIGSYS, &sa, NULL) < 0 || sigprocmask(SIG_UNBLOCK, &sys, NULL) < 0))
        rc = -errno;
    if (rc == 0)
        rc = seccomp_load(f);
    seccomp_release(f);
    return rc;
}

int filter_export(enum room room, const struct settings *s, int fd)
{
    scmp_filter_ctx f;
    int rc = make(room, s, &f);
    if (rc == 0)
        rc = seccomp_export_bpf(f, fd);
    seccomp_release(f);
    return rc;
}

const char *filter_call_name(char *buf, size_t size, int number)
{
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
    snprintf(buf, size, "%s (%d)", name ? name : "one that has no name here", number);
    free(name);
    return buf;
}
