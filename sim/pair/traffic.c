// SPDX-License-Identifier: Apache-2.0
// See traffic.h. A socket stays in the namespace that it was made in, so one thread has both ends.
#include "sim/pair/traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ECHO_PORT = 7002, STREAM_PORT = 7001, LONGEST = 1300, MOST_ECHOES = 1024, CHUNK = 65536, GIVE_UP = 3 };

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct sockaddr_in address(const struct pair_site *s, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr(s->inner)};
}

// From the address inside.
static int bound(struct pair_lab *l, int site, int type, uint16_t port)
{
    struct sockaddr_in a = address(&l->site[site], port);
    int fd = lab_socket(l, &l->site[site], AF_INET, type, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        pair_fail(l, "%s: no socket on %s: %s", l->site[site].name, l->site[site].inner, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

// What stands at that place of a stream, and in the datagram of that number.
static uint8_t octet_at(uint64_t at)
{
    uint64_t x = (at / 8 + 1) * 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    return (uint8_t)(x >> at % 8 * 8);
}

// ---- datagrams

struct echo {
    int west, east;
    struct sockaddr_in to;
    uint64_t took[MOST_ECHOES];
};

static size_t fill(uint8_t *buf, unsigned n)
{
    size_t len = 4 + (size_t)n * 37 % (LONGEST - 4);
    memcpy(buf, &n, 4);
    for (size_t i = 4; i < len; i++)
        buf[i] = octet_at((uint64_t)n * LONGEST + i);
    return len;
}

// East sends back what it is sent; west takes what comes. Whether the datagram of that number came back.
static bool turn(struct echo *x, struct pair_echo *e, unsigned number, uint64_t until)
{
    uint8_t got[2048], want[2048];
    struct pollfd p[] = {{.fd = x->west, .events = POLLIN}, {.fd = x->east, .events = POLLIN}};
    for (uint64_t now; (now = now_us()) < until;) {
        struct sockaddr_in from;
        socklen_t len = sizeof(from);
        if (poll(p, 2, (int)((until - now) / 1000) + 1) <= 0)
            continue;
        ssize_t n = recvfrom(x->east, got, sizeof(got), 0, (struct sockaddr *)&from, &len);
        if (n >= 0)
            (void)sendto(x->east, got, (size_t)n, 0, (struct sockaddr *)&from, len);
        n = recv(x->west, got, sizeof(got), 0);
        if (n < 4)
            continue;
        unsigned which;
        memcpy(&which, got, 4);
        if (which != number) // of one that was given up
            continue;
        e->wrong += fill(want, number) != (size_t)n || memcmp(got, want, (size_t)n) != 0;
        return true;
    }
    return false;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void echo_all(struct echo *x, unsigned count, unsigned wait_ms, struct pair_echo *e)
{
    unsigned lost = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t buf[2048];
        uint64_t from = now_us();
        size_t len = fill(buf, i);
        e->sent += sendto(x->west, buf, len, 0, (struct sockaddr *)&x->to, sizeof(x->to)) == (ssize_t)len;
        if (turn(x, e, i, from + 1000ull * wait_ms))
            x->took[e->returned++] = now_us() - from;
        else if (++lost == GIVE_UP)
            return;
    }
}

static void sum_up(struct echo *x, struct pair_echo *e)
{
    qsort(x->took, e->returned, sizeof(x->took[0]), by_size);
    e->median_us = e->returned ? x->took[e->returned / 2] : 0;
}

bool echo_run(struct pair_lab *l, unsigned count, unsigned wait_ms, struct pair_echo *e)
{
    struct echo x = {.west = -1, .east = -1, .to = address(&l->site[PAIR_EAST], ECHO_PORT)};
    *e = (struct pair_echo){0};
    x.west = bound(l, PAIR_WEST, SOCK_DGRAM, 0);
    x.east = bound(l, PAIR_EAST, SOCK_DGRAM, ECHO_PORT);
    bool ok = x.west >= 0 && x.east >= 0;
    if (ok) {
        echo_all(&x, count < MOST_ECHOES ? count : MOST_ECHOES, wait_ms, e);
        sum_up(&x, e);
    }
    if (x.west >= 0)
        close(x.west);
    if (x.east >= 0)
        close(x.east);
    return ok;
}

// ---- the stream

struct stream {
    int listener, out, in; // in: -1 until it is there
    uint64_t octets, sent, came;
    uint8_t buf[CHUNK];
};

static bool connect_stream(struct pair_lab *l, struct stream *x, int from)
{
    struct sockaddr_in to = address(&l->site[!from], STREAM_PORT);
    int one = 1;
    if (x->listener < 0 || x->out < 0)
        return false;
    (void)setsockopt(x->out, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (listen(x->listener, 1) < 0 ||
        (connect(x->out, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
        return pair_fail(l, "%s: no stream to %s: %s", l->site[from].name, l->site[!from].inner,
                         strerror(errno));
    return true;
}

static bool send_some(struct stream *x)
{
    uint64_t n = x->octets - x->sent < CHUNK ? x->octets - x->sent : CHUNK;
    for (uint64_t i = 0; i < n; i++)
        x->buf[i] = octet_at(x->sent + i);
    ssize_t w = n ? send(x->out, x->buf, n, MSG_NOSIGNAL) : 0;
    x->sent += w > 0 ? (uint64_t)w : 0;
    return w >= 0 || errno == EAGAIN || errno == EINPROGRESS || errno == ENOTCONN;
}

// false: it is not what was sent, or the stream has broken.
static bool take_some(struct stream *x)
{
    ssize_t n = recv(x->in, x->buf, CHUNK, 0);
    for (ssize_t i = 0; i < n; i++)
        if (x->buf[i] != octet_at(x->came + (uint64_t)i))
            return false;
    x->came += n > 0 ? (uint64_t)n : 0;
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static bool step(struct stream *x, unsigned wait_ms)
{
    struct pollfd p[] = {{.fd = x->out, .events = x->sent < x->octets ? POLLOUT : 0},
                         {.fd = x->in >= 0 ? x->in : x->listener, .events = POLLIN}};
    if (poll(p, 2, (int)wait_ms) <= 0)
        return true;
    if (x->in < 0 && p[1].revents)
        x->in = accept4(x->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    else if (p[1].revents && !take_some(x))
        return false;
    return !p[0].revents || send_some(x);
}

bool stream_run(struct pair_lab *l, int from, uint64_t octets, unsigned timeout_ms, struct pair_stream *st)
{
    struct stream x = {.in = -1, .octets = octets};
    uint64_t begun = pair_ms(), until = begun + timeout_ms;
    x.listener = bound(l, !from, SOCK_STREAM, STREAM_PORT);
    x.out = bound(l, from, SOCK_STREAM, 0);
    bool ok = connect_stream(l, &x, from);
    while (ok && x.came < octets && pair_ms() < until)
        ok = step(&x, 100);
    *st = (struct pair_stream){.octets = x.came, .ms = pair_ms() - begun};
    int fds[] = {x.in, x.out, x.listener};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return ok && x.came == octets;
}
