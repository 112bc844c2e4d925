// SPDX-License-Identifier: Apache-2.0
// A process for each TUN, which sees what the kernel shows any packet socket on it.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
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

#include "tests/system/taps.h"

struct tap_shared {
    volatile int ready, stop;
    volatile uint64_t missed;
};

static void note(struct tap *t, unsigned stream, uint32_t number, uint64_t at_us)
{
    if (stream >= TAPS_STREAMS || number >= t->capacity)
        return;
    struct tap_slot *s = &t->slots[(size_t)stream * t->capacity + number];
    if (s->copies++ == 0)
        s->first_us = at_us;
}

// The stream that a packet is of: by its port and its direction.
static unsigned stream_of(const struct tap *t, const uint8_t *ip, unsigned index)
{
    for (unsigned i = 0; i < TAPS_STREAMS; i++) {
        const struct stream *s = &t->streams[i];
        bool from_east = strcmp(s->from->name, "east") == 0;
        if (s->index == index && from_east == (ip[13] == 2))
            return i;
    }
    return TAPS_STREAMS;
}

// The kernel may show several that came together as one.
static void look_at(struct tap *t, const uint8_t *ip, size_t len, uint64_t at_us)
{
    struct stream_head h;
    size_t at = 4u * (ip[0] & 15) + 8;
    if (len < 28 || ip[0] >> 4 != 4 || ip[9] != 17)
        return;
    while (at + STREAM_HEAD <= len && stream_head_at(ip + at, &h)) {
        unsigned i = stream_of(t, ip, h.index);
        if (i == TAPS_STREAMS)
            return;
        note(t, i, h.number, at_us);
        at += stream_size(&t->streams[i], h.number);
    }
}

static int tap_open(void)
{
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 16 << 20, one = 1; // hears nothing yet
    struct sockaddr_ll at = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex("espalier0")};
    if (fd < 0 || !at.sll_ifindex || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) ||
        bind(fd, (struct sockaddr *)&at, sizeof(at)))
        return -1;
    return fd;
}

static uint64_t stamp_of(struct msghdr *m)
{
    struct timespec ts;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&ts, CMSG_DATA(c), sizeof(ts));
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
    }
    return real_us();
}

static void watch(struct tap *t, int fd)
{
    static uint8_t b[70000];
    struct tpacket_stats st = {0};
    socklen_t len = sizeof(st);
    t->shared->ready = 1;
    for (;;) {
        char control[128];
        struct iovec v = {b, sizeof(b)};
        struct msghdr m = {
            .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &m, t->shared->stop ? MSG_DONTWAIT : 0);
        if (n >= 0)
            look_at(t, b, (size_t)n, stamp_of(&m));
        else if (t->shared->stop)
            break;
    }
    if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &len) < 0)
        _exit(1);
    t->shared->missed = st.tp_drops;
    _exit(0);
}

static void on_stop(int sig)
{
    (void)sig;
}

static void *share(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool is_ready(void *ctx)
{
    const struct tap *t = ctx;
    return t->shared->ready;
}

bool tap_start(struct tap *t, struct site *s, const struct stream streams[TAPS_STREAMS], uint32_t capacity)
{
    t->capacity = capacity;
    t->streams = streams;
    t->shared = share(sizeof(*t->shared));
    t->slots = share(sizeof(*t->slots) * TAPS_STREAMS * capacity);
    if (!t->shared || !t->slots)
        return complain("out of memory");
    if ((t->pid = fork()) == 0) {
        const struct sigaction act = {.sa_handler = on_stop}; // a wait for a packet ends with it
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigaction(SIGINT, &act, NULL);
        int fd = enter_ns(s->ns) ? tap_open() : -1;
        if (fd < 0)
            _exit(1);
        watch(t, fd);
    }
    return wait_for(is_ready, t, PATIENCE_MS) || complain("%s: its TUN cannot be watched", s->name);
}

// Asked until it goes: a signal that comes just before it waits does not end that wait.
bool tap_stop(struct tap *t)
{
    int status = 0;
    t->shared->stop = 1;
    for (int i = 0; i < 500 && t->pid > 0; i++) {
        kill(t->pid, SIGINT);
        if (waitpid(t->pid, &status, WNOHANG) == t->pid)
            t->pid = 0;
        else
            usleep(2000);
    }
    if (t->pid || status)
        return complain("a TUN was not watched to the end");
    return !t->shared->missed ||
           complain("%llu packets of a TUN were not seen", (unsigned long long)t->shared->missed);
}

void tap_free(struct tap *t)
{
    stop(&t->pid, SIGKILL, 500);
    if (t->slots)
        munmap(t->slots, sizeof(*t->slots) * TAPS_STREAMS * t->capacity);
    if (t->shared)
        munmap(t->shared, sizeof(*t->shared));
    memset(t, 0, sizeof(*t));
}

static int by_time(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void note_way(struct passage *r, const struct tap_slot *out, const struct tap_slot *in, uint64_t at_us)
{
    if (in->copies && in->first_us > out->first_us && in->first_us - out->first_us > r->way_us)
        r->way_us = in->first_us - out->first_us;
    if (out->first_us < at_us && (!in->copies || in->first_us >= at_us) &&
        (!r->from_us || out->first_us < r->from_us))
        r->from_us = out->first_us;
}

struct passage tap_passage(const struct tap *from, const struct tap *to, unsigned stream, uint64_t at_us)
{
    const struct tap_slot *out = &from->slots[(size_t)stream * from->capacity],
                          *in = &to->slots[(size_t)stream * to->capacity];
    struct passage r = {0};
    uint64_t *at = calloc(from->capacity + 1, sizeof(*at)), last;
    if (!at)
        abort();
    last = 0;
    for (uint32_t n = 0; n < from->capacity; n++) {
        if (out[n].copies && (!last || out[n].first_us < last))
            last = out[n].first_us;
        r.sent += out[n].copies != 0;
        if (out[n].copies)
            note_way(&r, &out[n], &in[n], at_us);
        r.duplicates += in[n].copies > 1 ? in[n].copies - 1 : 0;
        if (in[n].copies)
            at[r.received++] = in[n].first_us;
    }
    qsort(at, r.received, sizeof(*at), by_time);
    for (uint64_t i = 0; i < r.received; i++) {
        if (at[i] > last && at[i] - last > r.gap_us)
            r.gap_us = at[i] - last;
        last = at[i];
    }
    free(at);
    return r;
}

uint64_t daemon_counter(struct site *s, const char *name)
{
    char out[16384];
    swanctl(s, out, sizeof(out), "--counters --all --raw");
    return number_after(out, name, 0);
}

uint64_t turned_away(struct lab *lab)
{
    char out[64] = "";
    uint64_t n = 0;
    const struct site *both[] = {&lab->west, &lab->east};
    for (int i = 0; i < 2; i++) {
        sh_read(out, sizeof(out),
                "nsenter --net=%s sh -c \"awk '/^Udp:/ && ++n == 2 {print \\$6}' /proc/net/snmp\"",
                both[i]->ns);
        n += strtoull(out, NULL, 10);
        sh_read(out, sizeof(out), "nsenter --net=%s awk '/espalier0:/ {print $13}' /proc/%d/net/dev",
                both[i]->ns, (int)both[i]->keeper);
        n += strtoull(out, NULL, 10);
    }
    return n + daemon_counter(&lab->west, "queue_full");
}
