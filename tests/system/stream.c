// SPDX-License-Identifier: Apache-2.0
// The sender and the receiver of a stream, each a process in its site's namespace; what they note is in
// memory that both share with the test.
#include <arpa/inet.h>
#include <errno.h>
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

#include "tests/system/stream.h"

struct stream_shared {
    volatile uint32_t next; // the number to be sent next
    volatile int stop, paused, ready;
    volatile uint64_t came, overtaken, wrong, refused, overflows, max_gap_us, late_us;
};

enum { PORT = 7100, MAGIC = 0x6e756d62, LARGEST = STREAM_SMALLEST + STREAM_SIZES * STREAM_STEP };

struct body {
    uint32_t magic, stream, number;
};

uint64_t real_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

unsigned stream_period(const struct stream *s)
{
    return STREAM_SIZES / s->count;
}

static struct sockaddr_in address(const struct stream *s, const struct site *site)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(PORT + s->index))};
    char text[32];
    snprintf(text, sizeof(text), "10.%d.%u.1", strcmp(site->name, "west") ? 2 : 1, s->child);
    inet_pton(AF_INET, text, &a.sin_addr);
    return a;
}

static int open_socket(const struct stream *s, const struct site *site, bool any_port)
{
    struct sockaddr_in a = address(s, site);
    a.sin_port = any_port ? 0 : a.sin_port; // the other direction's receiver has this one
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1, size = 16 << 20;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static uint8_t filling(uint32_t number, size_t at)
{
    return (uint8_t)(number * 31 + at);
}

bool stream_head_at(const uint8_t *payload, struct stream_head *h)
{
    struct body body;
    memcpy(&body, payload, sizeof(body));
    *h = (struct stream_head){body.stream, body.number};
    return body.magic == MAGIC;
}

size_t stream_size(const struct stream *s, uint32_t number)
{
    return STREAM_SMALLEST + STREAM_STEP * (size_t)(s->index * stream_period(s) + number % stream_period(s));
}

static void note_arrival(struct stream *s, const uint8_t *b, size_t n, uint32_t *highest, uint64_t *last_us)
{
    struct body body;
    uint64_t now = real_us();
    bool ok = n >= sizeof(body);
    if (ok)
        memcpy(&body, b, sizeof(body));
    ok = ok && body.magic == MAGIC && body.stream == s->index && body.number < s->capacity &&
         n == stream_size(s, body.number);
    for (size_t i = sizeof(body); ok && i < n; i++)
        ok = b[i] == filling(body.number, i);
    if (!ok) {
        s->shared->wrong++;
        return;
    }
    if (s->slots[body.number].copies++ == 0)
        s->slots[body.number].came_us = now;
    s->shared->came++;
    if (body.number < *highest)
        s->shared->overtaken++;
    else
        *highest = body.number;
    if (*last_us && now - *last_us > s->shared->max_gap_us)
        s->shared->max_gap_us = now - *last_us;
    *last_us = now;
}

static void receive(struct stream *s)
{
    static uint8_t b[2048];
    uint32_t highest = 0, over;
    uint64_t last_us = 0;
    int fd = enter_ns(s->to->ns) ? open_socket(s, s->to, false) : -1;
    if (fd < 0)
        _exit(1);
    s->shared->ready = 1;
    for (;;) {
        char control[128];
        struct iovec v = {b, sizeof(b)};
        struct msghdr m = {
            .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(fd, &m, 0);
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); n >= 0 && c; c = CMSG_NXTHDR(&m, c)) {
            if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL)
                continue;
            memcpy(&over, CMSG_DATA(c), sizeof(over));
            s->shared->overflows = over;
        }
        if (n >= 0)
            note_arrival(s, b, (size_t)n, &highest, &last_us);
    }
}

static void send_one(struct stream *s, int fd, const struct sockaddr_in *to, uint32_t number)
{
    static uint8_t b[LARGEST];
    struct body body = {MAGIC, s->index, number};
    size_t n = stream_size(s, number);
    memcpy(b, &body, sizeof(body));
    for (size_t i = sizeof(body); i < n; i++)
        b[i] = filling(number, i);
    s->slots[number].sent_us = real_us();
    if ((s->skip && number == s->skip) ||
        sendto(fd, b, n, 0, (const struct sockaddr *)to, sizeof(*to)) == (ssize_t)n)
        return;
    s->slots[number].sent_us = 0;
    s->shared->refused++;
}

static uint64_t ns_of(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_nsec;
}

// Behind its clock it sends twice as fast until it has caught up, so that the rate holds and a busy machine
// makes no bursts that no daemon's socket holds.
static void send_all(struct stream *s)
{
    struct sockaddr_in to = address(s, s->to);
    struct timespec now, at;
    int fd = enter_ns(s->from->ns) ? open_socket(s, s->from, true) : -1;
    if (fd < 0)
        _exit(1);
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t due = ns_of(&now), period = 1000000000u / s->per_second, next = due;
    while (!s->shared->stop && s->shared->next < s->capacity) {
        due += period;
        next = next + period / 2 > due ? next + period / 2 : due;
        at = (struct timespec){(time_t)(next / 1000000000), (long)(next % 1000000000)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
            ;
        clock_gettime(CLOCK_MONOTONIC, &now);
        next = ns_of(&now);
        if ((ns_of(&now) - due) / 1000 > s->shared->late_us)
            s->shared->late_us = (ns_of(&now) - due) / 1000;
        if (s->shared->paused)
            continue;
        send_one(s, fd, &to, s->shared->next);
        s->shared->next++;
    }
    _exit(0);
}

static void *share(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool receiver_ready(void *ctx)
{
    struct stream *s = ctx;
    return s->shared->ready;
}

bool stream_start(struct stream *s)
{
    s->shared = share(sizeof(*s->shared));
    s->slots = share(s->capacity * sizeof(*s->slots));
    if (!s->shared || !s->slots)
        return complain("out of memory");
    if ((s->rx = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        receive(s);
    }
    if (!wait_for(receiver_ready, s, PATIENCE_MS))
        return complain("stream %s -> %s: the receiver does not start", s->from->name, s->to->name);
    if ((s->tx = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        send_all(s);
    }
    return s->tx > 0;
}

uint64_t stream_came(const struct stream *s)
{
    return s->shared->came;
}

void stream_pause(struct stream *s, bool on)
{
    s->shared->paused = on;
}

void stream_quit(struct stream *s)
{
    s->shared->stop = 1;
}

bool stream_stop(struct stream *s, struct stream_account *a)
{
    struct stream_shared *h = s->shared;
    int status = 0;
    memset(a, 0, sizeof(*a));
    h->stop = 1;
    if (waitpid(s->tx, &status, 0) != s->tx || status)
        return complain("stream %s -> %s: the sender failed", s->from->name, s->to->name);
    s->tx = 0;
    await_the_rest(&h->came, h->next - h->refused);
    if (waitpid(s->rx, NULL, WNOHANG) != 0)
        return complain("stream %s -> %s: the receiver has died", s->from->name, s->to->name);
    stop(&s->rx, SIGKILL, 500);
    *a = (struct stream_account){.overtaken = h->overtaken,
                                 .wrong = h->wrong,
                                 .refused = h->refused,
                                 .overflows = h->overflows,
                                 .max_gap_us = h->max_gap_us,
                                 .late_us = h->late_us};
    for (uint32_t i = 0; i < h->next; i++) {
        const struct stream_slot *slot = &s->slots[i];
        a->sent += slot->sent_us != 0;
        a->lost += slot->sent_us && !slot->copies;
        a->repeated += slot->copies > 1;
    }
    return h->next < s->capacity ||
           complain("stream %s -> %s: more packets than were reckoned with", s->from->name, s->to->name);
}

void stream_free(struct stream *s)
{
    stop(&s->tx, SIGKILL, 500);
    stop(&s->rx, SIGKILL, 500);
    if (s->slots)
        munmap(s->slots, s->capacity * sizeof(*s->slots));
    if (s->shared)
        munmap(s->shared, sizeof(*s->shared));
    s->slots = NULL;
    s->shared = NULL;
}
