// SPDX-License-Identifier: Apache-2.0
// Traffic between the two sites: ping, a file over TCP that is compared byte by byte, and a numbered UDP
// stream that shows how long nothing came through.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/system/harness.h"

static bool ping_within(struct site *from, struct site *to, int count, const char *seconds)
{
    return sh("nsenter --net=%s ping -q -c %d -i 0.05 -W %s %s %s %s", from->ns, count, seconds,
              from->inner[0] ? "-I" : "", from->inner, to->inner) == 0;
}

bool ping(struct lab *l, struct site *from, struct site *to, int count)
{
    (void)l;
    return ping_within(from, to, count, "10"); // one that is answered is not waited for
}

bool answered(struct site *from, struct site *to, int count)
{
    return ping_within(from, to, count, "0.5");
}

// ---- what leaves in clear, seen where it leaves: the far end's own policies would let nobody answer it

static bool is_echo_to(const uint8_t *frame, size_t len, const char *to)
{
    uint8_t dst[16];
    const uint8_t *ip = frame + 14;
    if (len >= 14 + 28 && inet_pton(AF_INET, to, dst) == 1)
        return frame[12] == 8 && frame[13] == 0 && ip[9] == 1 && memcmp(ip + 16, dst, 4) == 0 &&
               ip[4 * (ip[0] & 15)] == 8;
    if (len >= 14 + 48 && inet_pton(AF_INET6, to, dst) == 1)
        return frame[12] == 0x86 && frame[13] == 0xdd && ip[6] == 58 && memcmp(ip + 24, dst, 16) == 0 &&
               ip[40] == 128;
    return false;
}

static unsigned echoes_seen(int fd, const char *to)
{
    uint8_t frame[256];
    unsigned seen = 0;
    ssize_t n;
    while ((n = recv(fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0)
        seen += is_echo_to(frame, (size_t)n, to);
    return seen;
}

// Ends with the number of them when `go` is closed; has written an octet to `ready` by then.
static void watch_outer(const struct site *from, const struct site *to, int ready, int go)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    unsigned seen = 0;
    char octet;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = enter_ns(from->ns) ? socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0) : -1;
    at.sll_ifindex = (int)if_nametoindex("outer");
    if (fd < 0 || !at.sll_ifindex || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
        write(ready, "", 1) != 1)
        _exit(255);
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = go, .events = POLLIN}};
    while (poll(p, 2, -1) > 0 && !p[1].revents)
        seen += echoes_seen(fd, to->inner);
    (void)!read(go, &octet, 1);
    seen += echoes_seen(fd, to->inner);
    _exit(seen < 200 ? (int)seen : 200);
}

bool unanswered(struct lab *l, struct site *from, struct site *to, int count)
{
    int ready[2], go[2], status = 0;
    char octet;
    (void)l;
    if (from->charon) // what that lets out is its own affair
        return !answered(from, to, count);
    if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
        return complain("pipe: %s", strerror(errno));
    pid_t watcher = fork();
    if (watcher == 0) {
        close(go[1]);
        watch_outer(from, to, ready[1], go[0]);
    }
    close(ready[1]);
    close(go[0]);
    bool watched = read(ready[0], &octet, 1) == 1, silent = !answered(from, to, count);
    close(ready[0]);
    close(go[1]);
    waitpid(watcher, &status, 0);
    if (!watched || !WIFEXITED(status))
        return complain("%s: nobody saw what left in clear", from->name);
    if (WEXITSTATUS(status))
        return complain("%s: %d packets for %s left in clear", from->name, WEXITSTATUS(status), to->inner);
    return silent;
}

static socklen_t address(struct sockaddr_storage *to, const char *text, uint16_t port)
{
    struct sockaddr_in *in = (void *)to;
    struct sockaddr_in6 *in6 = (void *)to;
    memset(to, 0, sizeof(*to));
    if (strchr(text, ':')) {
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        inet_pton(AF_INET6, text, &in6->sin6_addr);
        return sizeof(*in6);
    }
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, text, &in->sin_addr);
    return sizeof(*in);
}

static int listener(const char *addr, uint16_t port, int type)
{
    struct sockaddr_storage a;
    socklen_t len = address(&a, addr, port);
    int fd = socket(a.ss_family, type | SOCK_CLOEXEC, 0), one = 1, size = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (bind(fd, (struct sockaddr *)&a, len) < 0 || (type == SOCK_STREAM && listen(fd, 1) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

// from "": as the kernel chooses
static int dial(const char *from, const char *to, uint16_t port, int type)
{
    struct sockaddr_storage a, b;
    socklen_t len = address(&b, to, port);
    int fd = socket(b.ss_family, type | SOCK_CLOEXEC, 0);
    if (from[0] && bind(fd, (struct sockaddr *)&a, address(&a, from, 0)) < 0) {
        close(fd);
        return -1;
    }
    for (int i = 0; i < 50; i++) {
        if (connect(fd, (struct sockaddr *)&b, len) == 0)
            return fd;
        usleep(100000);
    }
    close(fd);
    return -1;
}

// The file's content: the same on both sides from its position alone.
static uint8_t octet_at(uint64_t at)
{
    uint64_t x = (at / 8 + 1) * 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    return (uint8_t)(x >> (at % 8 * 8));
}

struct progress {
    volatile uint64_t received;
    volatile int wrong, done;
};

static void receive_file(struct site *to, size_t bytes, struct progress *pr)
{
    static uint8_t buf[65536];
    int ls = enter_ns(to->ns) ? listener(to->inner, 7001, SOCK_STREAM) : -1;
    int fd = ls >= 0 ? accept(ls, NULL, NULL) : -1;
    while (fd >= 0 && pr->received < bytes) {
        ssize_t n = read(fd, buf, sizeof(buf));
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            pr->wrong |= buf[i] != octet_at(pr->received + (uint64_t)i);
        pr->received += (uint64_t)n;
    }
    pr->done = 1;
    _exit(0);
}

static void send_file(struct site *from, struct site *to, size_t bytes)
{
    static uint8_t buf[16384];
    int fd = enter_ns(from->ns) ? dial(from->inner, to->inner, 7001, SOCK_STREAM) : -1;
    for (uint64_t at = 0; fd >= 0 && at < bytes;) {
        size_t n = bytes - at < sizeof(buf) ? bytes - at : sizeof(buf);
        for (size_t i = 0; i < n; i++)
            buf[i] = octet_at(at + i);
        ssize_t w = write(fd, buf, n);
        if (w <= 0)
            break;
        at += (uint64_t)w;
    }
    if (fd >= 0)
        shutdown(fd, SHUT_WR);
    sleep(1);
    _exit(0);
}

bool transfer(struct lab *l, struct site *from, struct site *to, size_t bytes, int timeout_ms,
              void (*half_way)(void *), void *ctx)
{
    struct progress *pr = mmap(NULL, sizeof(*pr), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t end = mono_us() + (uint64_t)timeout_ms * 1000;
    pid_t rx, tx;
    (void)l;
    if (pr == MAP_FAILED)
        return complain("out of memory");
    if ((rx = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        receive_file(to, bytes, pr);
    }
    usleep(50000);
    if ((tx = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        send_file(from, to, bytes);
    }
    while (!pr->done && mono_us() < end) {
        if (half_way && pr->received >= bytes / 2) {
            half_way(ctx);
            half_way = NULL;
        }
        usleep(1000);
    }
    bool ok = pr->received == bytes && !pr->wrong;
    if (!ok)
        complain("file %s -> %s: %llu of %zu bytes came%s", from->name, to->name,
                 (unsigned long long)pr->received, bytes, pr->wrong ? ", and they are wrong" : "");
    stop(&tx, SIGKILL, 100);
    stop(&rx, SIGKILL, 100);
    munmap(pr, sizeof(*pr));
    return ok;
}

// ---- the numbered stream

#define PROBE_MAX (1u << 20)
struct probe_shared {
    volatile uint64_t sent, received, repeated, max_gap_us;
    volatile uint32_t next;              // the number to be sent next
    volatile uint64_t first_us, sent_us; // when the first and the newest packet went out
    volatile uint64_t last_us;           // when the newest one came
    volatile int ready, stop;            // ready: there is a receiver
    uint8_t seen[PROBE_MAX / 8];
};
static struct probe_shared *shared;

// Before the first arrival and behind the last it is silent too.
static void silent_until(uint64_t now)
{
    uint64_t since = shared->received ? shared->last_us : shared->first_us;
    if (now > since && now - since > shared->max_gap_us)
        shared->max_gap_us = now - since;
}

static uint64_t longest_lost(uint32_t sent)
{
    uint64_t run = 0, longest = 0;
    for (uint32_t i = 0; i < sent; i++) {
        run = shared->seen[i / 8] & 1u << i % 8 ? 0 : run + 1;
        longest = run > longest ? run : longest;
    }
    return longest;
}

static void probe_receive(struct site *to)
{
    int fd = enter_ns(to->ns) ? listener(to->inner, 7002, SOCK_DGRAM) : -1;
    uint32_t n;
    shared->ready = fd >= 0;
    while (fd >= 0 && read(fd, &n, sizeof(n)) == sizeof(n)) {
        uint64_t now = mono_us();
        if (n >= PROBE_MAX)
            continue;
        if (shared->seen[n / 8] & 1u << n % 8)
            shared->repeated++;
        shared->seen[n / 8] |= (uint8_t)(1u << n % 8);
        silent_until(now);
        shared->last_us = now;
        shared->received++;
    }
    _exit(1);
}

static void probe_send(struct site *from, struct site *to, unsigned interval_us)
{
    int fd = enter_ns(from->ns) ? dial(from->inner, to->inner, 7002, SOCK_DGRAM) : -1;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (uint32_t n = 0; fd >= 0 && n < PROBE_MAX && !shared->stop; n++) {
        uint64_t now = mono_us();
        if (!shared->sent)
            shared->first_us = now;
        if (write(fd, &n, sizeof(n)) == sizeof(n)) {
            shared->sent_us = now;
            shared->sent++;
        }
        shared->next = n + 1;
        next.tv_nsec += interval_us * 1000L;
        if (next.tv_nsec >= 1000000000L) {
            next.tv_nsec -= 1000000000L;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
    _exit(0);
}

static bool probe_is_heard(void *ctx)
{
    (void)ctx;
    return shared->ready;
}

bool probe_start(struct lab *l, struct probe *p, struct site *from, struct site *to, unsigned interval_us)
{
    (void)l;
    if (!shared)
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return complain("out of memory");
    memset(shared, 0, sizeof(*shared));
    if ((p->rx = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        probe_receive(to);
    }
    if (!wait_for(probe_is_heard, NULL, PATIENCE_MS))
        return complain("nobody listens for the stream at %s", to->name);
    if ((p->tx = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        probe_send(from, to, interval_us);
    }
    return true;
}

static bool enough_sent(void *n)
{
    return shared->sent >= *(uint64_t *)n;
}

static bool enough_received(void *n)
{
    return shared->received >= *(uint64_t *)n;
}

bool probe_sends(uint64_t n)
{
    return wait_for(enough_sent, &n, PATIENCE_MS) || complain("the stream does not begin");
}

bool probe_hears(uint64_t n)
{
    return wait_for(enough_received, &n, PATIENCE_MS) || complain("of the stream nothing comes");
}

void await_the_rest(const volatile uint64_t *came, uint64_t sent)
{
    uint64_t before = *came, at = mono_us();
    while (mono_us() - at < (before < sent ? 1000000 : 100000)) {
        usleep(10000);
        if (*came == before)
            continue;
        before = *came;
        at = mono_us();
    }
}

bool probe_stop(struct probe *p, struct probe_result *r)
{
    shared->stop = 1;
    waitpid(p->tx, NULL, 0);
    await_the_rest(&shared->received, shared->sent);
    stop(&p->rx, SIGKILL, 500);
    silent_until(shared->sent_us);
    *r = (struct probe_result){shared->sent, shared->received, shared->repeated, shared->max_gap_us,
                               longest_lost(shared->next)};
    return r->sent > 0;
}
