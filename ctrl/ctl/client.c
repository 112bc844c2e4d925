// SPDX-License-Identifier: Apache-2.0
// One connection of a VICI client on the loop: framing, its queue, and their limits.
#include "ctrl/ctl/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "ctrl/lib/log.h"

// ---- a client's end

static void wipe_input(struct client *c)
{
    if (c->in)
        OPENSSL_cleanse(c->in, c->in_cap); // secrets come in here
    free(c->in);
    c->in = NULL;
    c->in_len = c->in_cap = 0;
}

void client_free(struct client *c)
{
    struct server *s = c->server;
    for (struct client **p = &s->clients; *p; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    close(c->watch.fd);
    wipe_input(c);
    while (c->head) {
        struct queued *q = c->head;
        c->head = q->next;
        free(q);
    }
    free(c);
}

// It did not go by itself.
static void cut(const struct client *c)
{
    if (c->loads && c->server->ops->dropped)
        c->server->ops->dropped(c->server->ctx);
}

// Nobody is there any more who would read.
static void cannot_write(struct client *c)
{
    cut(c);
    client_drop(c, NULL);
}

void client_drop(struct client *c, const char *why)
{
    struct server *s = c->server;
    if (c->gone)
        return;
    c->gone = true;
    s->counts.clients--;
    loop_del(s->loop, &c->watch);
    timer_stop(s->loop, &c->timer);
    if (c->busy)
        c->busy->client = NULL;
    c->busy = NULL;
    timer_set(s->loop, &s->reaper, loop_now(s->loop));
    if (why) {
        s->counts.clients_dropped++;
        cut(c);
        LOGF(CFG, 1, "VICI client %u disconnected: %s", c->id, why);
    }
}

// ---- sending

void client_rearm(struct client *c)
{
    if (c->gone)
        return;
    uint32_t events = (c->busy ? 0 : EPOLLIN) | (c->head ? EPOLLOUT : 0);
    if (c->watch.events != events) {
        c->watch.events = events;
        loop_modify(c->server->loop, &c->watch);
    }
    bool waiting = c->head || c->in_len;
    if (waiting && !c->timer.armed)
        timer_set(c->server->loop, &c->timer, loop_now(c->server->loop) + SERVER_FRAME_TIMEOUT_MS);
    else if (!waiting && c->timer.armed)
        timer_stop(c->server->loop, &c->timer);
}

// 0, or -errno when the connection is broken. Progress puts the deadline off.
static int flush(struct client *c)
{
    while (c->head) {
        struct queued *q = c->head;
        ssize_t n = send(c->watch.fd, q->bytes + c->sent, q->len - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        timer_stop(c->server->loop, &c->timer);
        c->queued -= (size_t)n;
        c->sent += (size_t)n;
        if (c->sent < q->len)
            continue;
        c->sent = 0;
        c->head = q->next;
        if (!c->head)
            c->tail = &c->head;
        free(q);
    }
    return 0;
}

void client_send(struct client *c, const uint8_t *data, size_t len)
{
    if (c->gone)
        return;
    bool full = c->queued + len > SERVER_QUEUE;
    struct queued *q = full ? NULL : malloc(sizeof(*q) + len);
    if (!q) {
        client_drop(c, full ? "it does not read its replies" : "out of memory");
        return;
    }
    q->next = NULL;
    q->len = len;
    memcpy(q->bytes, data, len);
    *c->tail = q;
    c->tail = &q->next;
    c->queued += len;
    if (flush(c) < 0)
        cannot_write(c);
    else
        client_rearm(c);
}

// ---- receiving

static size_t frame_len(const struct client *c)
{
    return (size_t)c->in[0] << 24 | (size_t)c->in[1] << 16 | (size_t)c->in[2] << 8 | c->in[3];
}

// Octets that the frame still lacks; 0: complete. SIZE_MAX: refused.
static size_t missing(struct client *c)
{
    if (c->in_len < 4)
        return 4 - c->in_len;
    size_t len = frame_len(c);
    if (len == 0 || len > VICI_MAX_FRAME) {
        c->server->counts.bad_frames++;
        client_drop(c, len ? "frame longer than 512 KiB" : "empty frame");
        return SIZE_MAX;
    }
    return 4 + len - c->in_len;
}

static bool make_room(struct client *c, size_t more)
{
    if (c->in_len + more <= c->in_cap)
        return true;
    size_t cap = c->in_len + more;
    uint8_t *in = malloc(cap);
    if (!in) {
        client_drop(c, "out of memory");
        return false;
    }
    size_t len = c->in_len;
    if (len)
        memcpy(in, c->in, len);
    wipe_input(c);
    c->in = in;
    c->in_len = len;
    c->in_cap = cap;
    return true;
}

// Reads exactly one frame's octets at a time, so that nothing is left over while a command is pending.
static void receive(struct client *c)
{
    while (!c->busy && !c->gone) {
        size_t want = missing(c);
        if (want == SIZE_MAX)
            return;
        if (want == 0) {
            server_frame(c, c->in + 4, frame_len(c));
            wipe_input(c);
            timer_stop(c->server->loop, &c->timer);
            continue;
        }
        size_t step =
            want < 16384 ? want : 16384; // memory grows with what has come, not with what was promised
        if (!make_room(c, step))
            return;
        ssize_t n = recv(c->watch.fd, c->in + c->in_len, step, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            client_drop(c, n < 0 || c->in_len ? "connection ended inside a frame" : NULL);
            return;
        }
        c->in_len += (size_t)n;
    }
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    struct client *c = f->ctx;
    if (events & EPOLLOUT && flush(c) < 0)
        cannot_write(c);
    if (c->busy && c->busy->resume && !server_full(c->busy))
        server_resume(c->busy);
    if (!c->gone && events & EPOLLIN)
        receive(c);
    else if (!c->gone && events & (EPOLLHUP | EPOLLERR))
        client_drop(c, NULL);
    client_rearm(c);
}

static void on_timeout(struct timer *t)
{
    struct client *c = t->ctx;
    client_drop(c, c->head ? "it does not read its replies" : "a frame did not arrive in time");
}

int server_adopt(struct server *s, int fd)
{
    struct client *c = s->counts.clients < SERVER_MAX_CLIENTS ? calloc(1, sizeof(*c)) : NULL;
    if (!c)
        return -EMFILE;
    c->server = s;
    c->id = ++s->next_id;
    c->tail = &c->head;
    c->watch = (struct loop_fd){fd, EPOLLIN, on_ready, c};
    c->timer = (struct timer){.fire = on_timeout, .ctx = c};
    int r = loop_add(s->loop, &c->watch);
    if (r) {
        free(c);
        return r;
    }
    c->next = s->clients;
    s->clients = c;
    s->counts.clients++;
    return 0;
}
