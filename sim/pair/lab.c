// SPDX-License-Identifier: Apache-2.0
// See lab.h.
#include "sim/pair/lab.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SYSTEM_PATH "/usr/sbin:/usr/bin:/sbin:/bin"

uint64_t pair_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool pair_fail(struct pair_lab *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->why, sizeof(l->why), fmt, ap);
    va_end(ap);
    return false;
}

static void nap(unsigned ms)
{
    poll(NULL, 0, (int)ms);
}

// ---- programs

// In the child: nothing of it outlives us.
static void become(const struct pair_site *s, int out, char *const argv[])
{
    int null = open("/dev/null", O_RDONLY);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null, 0);
    dup2(out, 1);
    dup2(out, 2);
    if (s && setns(s->ns, CLONE_NEWNET) < 0) {
        fprintf(stderr, "cannot enter the network namespace of %s: %s\n", s->name, strerror(errno));
        _exit(126);
    }
    execvp(argv[0], argv);
    fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

// What it says until it closes its output, or the time is over.
static bool listen_to(int fd, char *buf, size_t size, uint64_t until)
{
    size_t n = 0;
    buf[0] = 0;
    for (;;) {
        char rest[256];
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = pair_ms();
        if (now >= until || poll(&p, 1, (int)(until - now)) <= 0)
            return false;
        bool room = n + 1 < size;
        ssize_t got = read(fd, room ? buf + n : rest, room ? size - 1 - n : sizeof(rest));
        if (got <= 0)
            return true;
        n += room ? (size_t)got : 0;
        buf[n] = 0;
    }
}

int lab_run(const struct pair_lab *l, const struct pair_site *s, char *const argv[], char *buf, size_t size,
            unsigned timeout_ms)
{
    int out[2], status = 0;
    (void)l;
    if (pipe2(out, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become(s, out[1], argv);
    close(out[1]);
    bool in_time = pid > 0 && listen_to(out[0], buf, size, pair_ms() + timeout_ms);
    close(out[0]);
    if (pid < 0)
        return -1;
    if (!in_time)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return in_time && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

pid_t lab_start(const struct pair_lab *l, const struct pair_site *s, const char *log, char *const argv[])
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", s ? s->dir : l->dir, log);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become(s, fd, argv);
    close(fd);
    return pid;
}

bool lab_ended(pid_t *pid)
{
    if (*pid > 0 && waitpid(*pid, NULL, WNOHANG) != *pid)
        return false;
    *pid = 0;
    return true;
}

bool lab_stop(pid_t *pid, int sig, unsigned within)
{
    int status = 0;
    uint64_t until = pair_ms() + within;
    bool in_time = false;
    if (*pid <= 0)
        return false;
    kill(*pid, sig);
    while (!in_time && pair_ms() < until) {
        in_time = waitpid(*pid, &status, WNOHANG) == *pid;
        nap(in_time ? 0 : 5);
    }
    if (!in_time) {
        kill(*pid, SIGKILL);
        waitpid(*pid, &status, 0);
    }
    *pid = 0;
    return in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// ---- what has to be there

static bool find_programs(struct pair_lab *l, bool card)
{
    static const char *const ours[] = {"espalierd", "espalier", "espalier-card"};
    char path[600];
    ssize_t n = readlink("/proc/self/exe", l->bin, sizeof(l->bin) - 1);
    l->bin[n > 0 ? n : 0] = 0;
    char *slash = strrchr(l->bin, '/');
    if (!slash)
        return pair_fail(l, "/proc: where this program lies is not to be seen");
    *slash = 0;
    for (unsigned i = 0; i < (card ? 3u : 2u); i++) {
        snprintf(path, sizeof(path), "%s/%s", l->bin, ours[i]);
        if (access(path, X_OK) < 0)
            return pair_fail(l, "%s: %s (`make %s` builds it)", path, strerror(errno),
                             i < 2 ? "software" : "programs");
    }
    return true;
}

static bool find_ip(struct pair_lab *l)
{
    char out[256], path[1024];
    char *const argv[] = {"ip", "-V", NULL};
    const char *had = getenv("PATH");
    snprintf(path, sizeof(path), "%s%s" SYSTEM_PATH, had ? had : "", had ? ":" : "");
    setenv("PATH", path, 1);
    return lab_run(l, NULL, argv, out, sizeof(out), 10000) == 0 ||
           pair_fail(l, "the program ip (Debian's package iproute2) is not installed");
}

static bool find_tun(struct pair_lab *l)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return pair_fail(l, "/dev/net/tun: %s (in a container: --device /dev/net/tun)", strerror(errno));
    close(fd);
    return true;
}

static bool put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool user_namespace(struct pair_lab *l)
{
    char uid[64], gid[64];
    snprintf(uid, sizeof(uid), "0 %u 1", (unsigned)geteuid());
    snprintf(gid, sizeof(gid), "0 %u 1", (unsigned)getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return pair_fail(l,
                         "no network namespace: %s (either root with CAP_SYS_ADMIN, or user namespaces for "
                         "everybody: sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces, "
                         "kernel.apparmor_restrict_unprivileged_userns=0; in a container: --privileged, or "
                         "--security-opt seccomp=unconfined)",
                         strerror(errno));
    if (!put_file("/proc/self/setgroups", "deny") || !put_file("/proc/self/uid_map", uid) ||
        !put_file("/proc/self/gid_map", gid))
        return pair_fail(l, "the user namespace has no use: its maps cannot be written: %s", strerror(errno));
    l->user_namespace = true;
    return true;
}

static int here(void)
{
    return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static bool namespaces(struct pair_lab *l)
{
    if (unshare(CLONE_NEWNET) < 0 && !user_namespace(l))
        return false;
    l->home = here();
    for (int i = 0; i < PAIR_SITES; i++)
        if (unshare(CLONE_NEWNET) < 0 || (l->site[i].ns = here()) < 0)
            return pair_fail(l, "no network namespace: %s", strerror(errno));
    return setns(l->home, CLONE_NEWNET) == 0 || pair_fail(l, "setns: %s", strerror(errno));
}

// The right may be there and the kernel's part not.
static bool kernel_has(struct pair_lab *l)
{
    const struct pair_site *w = &l->site[PAIR_WEST];
    char out[256];
    char *const tun[] = {"ip", "tuntap", "add", "dev", "try", "mode", "tun", NULL};
    char *const block[] = {"ip",        "xfrm", "policy", "add",    "src",   "192.0.2.1", "dst",
                           "192.0.2.2", "dir",  "out",    "action", "block", NULL};
    char *const no_tun[] = {"ip", "link", "del", "try", NULL};
    char *const no_block[] = {"ip", "xfrm", "policy", "flush", NULL};
    if (lab_run(l, w, tun, out, sizeof(out), 10000))
        return pair_fail(l, "no TUN interface can be made by /dev/net/tun (CAP_NET_ADMIN): %.200s", out);
    if (lab_run(l, w, block, out, sizeof(out), 10000))
        return pair_fail(
            l,
            "the kernel has no IPsec policies (xfrm_user), without which nothing can be held back in "
            "clear: %.200s",
            out);
    lab_run(l, w, no_tun, out, sizeof(out), 10000);
    lab_run(l, w, no_block, out, sizeof(out), 10000);
    return true;
}

bool lab_possible(struct pair_lab *l, bool card)
{
    return find_programs(l, card) && find_ip(l) && find_tun(l) && namespaces(l) && kernel_has(l);
}

// ---- the link

__attribute__((format(printf, 3, 4))) static bool ip(struct pair_lab *l, const struct pair_site *s,
                                                     const char *fmt, ...)
{
    char line[256], out[512], *argv[32] = {"ip"}, *rest = line;
    int n = 1;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    while (n < 31 && (argv[n] = strsep(&rest, " ")))
        n++;
    if (lab_run(l, s, argv, out, sizeof(out), 10000) == 0)
        return true;
    out[strcspn(out, "\n")] = 0;
    return pair_fail(l, "%s: ip %s %s ...: %.200s", s->name, argv[1], argv[2], out);
}

// As it would come and go in clear: only what espalierd sets up stands in its way. One packet a frame, as on
// a cable, so that what is on the link can be counted.
static bool site_up(struct pair_lab *l, const struct pair_site *s, const struct pair_site *peer)
{
    return ip(l, s, "link set lo up") && ip(l, s, "addr add %s/32 dev lo", s->inner) &&
           ip(l, s, "addr add %s/24 dev outer", s->outer) && ip(l, s, "link set outer gso_max_segs 1 up") &&
           ip(l, s, "route add %s via %s src %s", peer->inner, peer->outer, s->inner);
}

// Short enough for the sockets in it, whose paths may have 107 octets.
bool lab_begin(struct pair_lab *l)
{
    const char *tmp = getenv("TMPDIR");
    *l = (struct pair_lab){.site = {{.name = "west", .outer = "10.90.0.1", .inner = "10.91.0.1", .ns = -1},
                                    {.name = "east", .outer = "10.90.0.2", .inner = "10.92.0.1", .ns = -1}},
                           .home = -1};
    snprintf(l->dir, sizeof(l->dir), "%s/espalier-pair-XXXXXX", tmp && strlen(tmp) <= 50 ? tmp : "/tmp");
    if (!mkdtemp(l->dir))
        return pair_fail(l, "%s: %s", l->dir, strerror(errno));
    // The gateway's path, which looks for the card in here, has a user of its own. What each gateway has is
    // in a folder of its own that nobody else can look into.
    return chmod(l->dir, 0711) == 0 || pair_fail(l, "%s: %s", l->dir, strerror(errno));
}

bool lab_open(struct pair_lab *l)
{
    const struct pair_site *w = &l->site[PAIR_WEST], *e = &l->site[PAIR_EAST];
    for (int i = 0; i < PAIR_SITES; i++) {
        struct pair_site *s = &l->site[i];
        snprintf(s->dir, sizeof(s->dir), "%s/%s", l->dir, s->name);
        if (mkdir(s->dir, 0700) < 0)
            return pair_fail(l, "%s: %s", s->dir, strerror(errno));
    }
    return ip(l, w, "link add outer type veth peer name outer netns /proc/%d/fd/%d", (int)getpid(), e->ns) &&
           site_up(l, w, e) && site_up(l, e, w);
}

int lab_socket(const struct pair_lab *l, const struct pair_site *s, int domain, int type, int protocol)
{
    int fd = -1;
    if (setns(s->ns, CLONE_NEWNET) == 0) {
        fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
        int error = errno;
        if (setns(l->home, CLONE_NEWNET) < 0)
            abort(); // everything from here on would be in the wrong place
        errno = error;
    }
    return fd;
}

// ---- the end

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

void lab_close(struct pair_lab *l)
{
    for (int i = 0; i < PAIR_SITES; i++) {
        lab_stop(&l->site[i].daemon, SIGTERM, 4000);
        if (l->site[i].ns >= 0)
            close(l->site[i].ns);
    }
    lab_stop(&l->card, SIGTERM, 4000);
    if (l->home >= 0)
        close(l->home);
}

void lab_sweep(const struct pair_lab *l)
{
    for (int i = 0; i < 100 && nftw(l->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); i++)
        nap(20);
}

static void show_end(const char *dir, const char *name)
{
    char path[200], text[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return;
    (void)fseek(f, -(long)(sizeof(text) - 1), SEEK_END); // a shorter one is shown whole
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    fprintf(stderr, "-- the end of %s\n%s\n", path, text);
}

void lab_show_logs(const struct pair_lab *l)
{
    for (int i = 0; i < PAIR_SITES; i++)
        show_end(l->site[i].dir, "espalierd.log");
    show_end(l->dir, "card.log");
}
