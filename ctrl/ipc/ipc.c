// SPDX-License-Identifier: Apache-2.0
// Channels that carry messages between the rooms.
#include "ctrl/ipc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/lib/log.h"

static const char *const room_names[ROOM_COUNT] = {
#define X(sym, name) name,
    ROOM_LIST(X)
#undef X
};
struct queued {
    struct queued *next;
    int fd; // that goes along; -1: none
    size_t len;
    uint8_t bytes[];
};
// So many messages go at most at once, so that the other room begins meanwhile.
enum { HEAD = 2, LENGTH = 4, HELD_MOST = 16, HELD_BYTES = 16 * 1024 };
struct ipc_chan {
    struct loop *loop;
    struct loop_fd watch;
    const struct ipc_handler *handler;
    void *ctx;
    enum room self, peer;
    int fd; // that came with the message which is being handled; -1: none
    struct queued *head, **tail;
    size_t queued;
    bool holds; // what is sent goes at the end of the loop's turn
    struct loop_late late;
    size_t held; // octets of out that wait for it, their head too; 0: none
    unsigned held_count;
    uint64_t logs_dropped, logs_told; // LOG messages that there was no room for; of them reported
    bool no_logs, no_events, alerts;  // the peer has said that nobody takes them, that somebody does (LISTEN)
    bool broken; // full: takes nothing more, and the loop will find its end; closed() is never called out of
                 // ipc_send
    bool failed; // closed() is due or done
    bool busy;   // inside ready(): ipc_close only marks it dead
    bool dead;
    // What comes or leaves, wiped after; any message has room behind what is held.
    uint8_t in[IPC_MAX_MESSAGE], out[HELD_BYTES + LENGTH + IPC_MAX_MESSAGE];
};

static void forget_held(struct ipc_chan *c)
{
    loop_put_off_no(c->loop, &c->late);
    OPENSSL_cleanse(c->out, c->held);
    c->held = 0;
    c->held_count = 0;
}

static void fail(struct ipc_chan *c)
{
    if (c->failed)
        return;
    c->failed = true;
    forget_held(c);
    loop_del(c->loop, &c->watch);
    c->handler->closed(c->ctx, c);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void queued_free(struct queued *q)
{
    close_fd(q->fd);
    OPENSSL_cleanse(q->bytes, q->len);
    free(q);
}

static ssize_t put(const struct ipc_chan *c, const uint8_t *p, size_t len, int fd)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(fd))] = {0};
    struct iovec iov = {(void *)(uintptr_t)p, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        struct cmsghdr *h = (void *)control;
        *h = (struct cmsghdr){CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(h), &fd, sizeof(fd));
        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
    }
    return sendmsg(c->watch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void flush(struct ipc_chan *c)
{
    while (c->head) {
        struct queued *q = c->head;
        if (put(c, q->bytes, q->len, q->fd) < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
                fail(c);
            return;
        }
        c->head = q->next;
        if (!c->head)
            c->tail = &c->head;
        c->queued -= q->len;
        queued_free(q);
    }
    c->watch.events = EPOLLIN;
    loop_modify(c->loop, &c->watch);
}

// Only the supervisor's channels have room for a descriptor; of any other one the kernel drops it.
static ssize_t get(struct ipc_chan *c)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(c->fd))];
    struct iovec iov = {c->in, sizeof(c->in)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (c->peer == ROOM_SUPER) {
        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
    }
    ssize_t n = recvmsg(c->watch.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    c->fd = -1;
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
        h->cmsg_len == CMSG_LEN(sizeof(c->fd)))
        memcpy(&c->fd, CMSG_DATA(h), sizeof(c->fd));
    return n;
}

int ipc_take_fd(struct ipc_chan *c)
{
    int fd = c->fd;
    c->fd = -1;
    return fd;
}

static void one_message(struct ipc_chan *c, struct slice s)
{
    union msg m;
    size_t touched;
    enum msg_type t = msg_parse(s, &m, &touched);
    if (t == MSG_NONE || (t == MSG_CHANNEL) != (c->fd >= 0)) {
        LOGF(DMN, 0, "malformed message of %zu bytes from %s, channel closed", s.len, room_names[c->peer]);
        fail(c);
    } else if (!ipc_may_send(c->peer, c->self, t)) {
        LOGF(DMN, 0, "message %s is not for %s to send to %s, channel closed", msg_name(t),
             room_names[c->peer], room_names[c->self]);
        fail(c);
    } else if (t == MSG_LISTEN) {
        c->no_logs = !m.LISTEN.logs;
        c->no_events = !m.LISTEN.events;
        c->alerts = m.LISTEN.alerts;
    } else if (t == MSG_PING) {
        ipc_send(c, MSG_PONG, &(struct msg_PONG){.number = m.PING.number});
    } else {
        c->handler->message(c->ctx, c, t, &m);
    }
    OPENSSL_cleanse(&m, touched);
}

// How many messages there were in it. One that is cut is malformed, as is a bundle inside another, and what
// is more than any room sends: whoever is not to be trusted would keep this one from all its other channels.
static unsigned messages(struct ipc_chan *c, struct slice s)
{
    struct reader r = reader_of(s);
    unsigned n = 0;
    if (!c->holds || rd_u16(&r) != IPC_BUNDLE) {
        one_message(c, s);
        return 1;
    }
    do {
        struct slice one = rd_slice32(&r);
        one_message(c, r.bad || n == HELD_MOST ? slice_of(NULL, 0) : one);
        n++;
    } while (r.left && !r.bad && !c->dead && !c->failed);
    return n;
}

static void receive(struct ipc_chan *c)
{
    enum { MOST = 64 };
    for (unsigned i = 0; !c->dead && !c->failed && i < MOST;) {
        ssize_t n = get(c);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            fail(c);
            break;
        }
        i += messages(c, slice_of(c->in, (size_t)n));
        close_fd(ipc_take_fd(c));
        OPENSSL_cleanse(c->in, (size_t)n);
    }
}

static void release(struct ipc_chan *c)
{
    while (c->head) {
        struct queued *q = c->head;
        c->head = q->next;
        queued_free(q);
    }
    free(c);
}

static void ready(struct loop_fd *f, uint32_t events)
{
    struct ipc_chan *c = f->ctx;
    c->busy = true;
    if (events & EPOLLOUT)
        flush(c);
    if (!c->dead && !c->failed && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        receive(c);
    c->busy = false;
    if (c->dead)
        release(c);
}

static int enqueue(struct ipc_chan *c, struct slice s, int fd)
{
    struct queued *q;
    if (c->queued + s.len > IPC_QUEUE_BYTES || !(q = malloc(sizeof(*q) + s.len))) {
        c->broken = true; // first, as the line's sink may send on this very channel
        shutdown(c->watch.fd, SHUT_RDWR);
        LOGF(DMN, 0, "%s does not read its messages (%zu bytes wait), channel closed", room_names[c->peer],
             c->queued);
        return -ENOBUFS;
    }
    q->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fd >= 0 && q->fd < 0) {
        free(q);
        return -EMFILE;
    }
    q->next = NULL;
    q->len = s.len;
    memcpy(q->bytes, s.p, s.len);
    *c->tail = q;
    c->tail = &q->next;
    c->queued += s.len;
    c->watch.events = EPOLLIN | EPOLLOUT;
    return loop_modify(c->loop, &c->watch);
}

bool ipc_has_room(const struct ipc_chan *c)
{
    return c && c->queued < IPC_QUEUE_BYTES - (1u << 20);
}

bool ipc_takes_events(const struct ipc_chan *c)
{
    return c && !c->no_events;
}

bool ipc_takes_alerts(const struct ipc_chan *c)
{
    return c && c->alerts;
}

uint64_t ipc_logs_dropped(const struct ipc_chan *c)
{
    return c ? c->logs_dropped : 0;
}

static bool log_fits(struct ipc_chan *c, size_t len)
{
    bool fits = c->queued + len <= (c->logs_dropped == c->logs_told ? IPC_LOG_BYTES : IPC_LOG_BYTES / 2);
    c->logs_dropped += !fits;
    return fits;
}

// There is room again, by half: before the next line goes the one that says what is missing.
static void tell_dropped(struct ipc_chan *c)
{
    struct msg_LOG m = {.room = (uint8_t)c->self, .subsys = LOG_DMN};
    snprintf(m.text, sizeof(m.text), "%llu log lines are missing here: %s did not read them",
             (unsigned long long)(c->logs_dropped - c->logs_told), room_names[c->peer]);
    c->logs_told = c->logs_dropped;
    ipc_send(c, MSG_LOG, &m);
}

static int send_bytes(struct ipc_chan *c, struct slice s, int fd)
{
    if (!c->head && put(c, s.p, s.len, fd) >= 0)
        return 0;
    if (c->head || errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
        return enqueue(c, s, fd);
    return -errno; // the receive side sees the end and calls closed()
}

static int too_long(const struct ipc_chan *c, enum msg_type t)
{
    LOGF(DMN, 0, "message %s to %s is too long, not sent", msg_name(t), room_names[c->peer]);
    return -EMSGSIZE;
}

static int let_go(struct ipc_chan *c)
{
    size_t len = c->held;
    if (!len)
        return 0;
    struct slice all = slice_of(c->out, len);
    if (c->held_count == 1)
        all = slice_of(c->out + HEAD + LENGTH, len - HEAD - LENGTH);
    c->held = 0;
    c->held_count = 0;
    int rc = send_bytes(c, all, -1);
    OPENSSL_cleanse(c->out, len);
    return rc;
}

static void turn_ends(struct loop_late *l)
{
    struct ipc_chan *c = (struct ipc_chan *)(void *)((char *)l - offsetof(struct ipc_chan, late));
    if (!c->failed && !c->broken)
        let_go(c);
}

// Behind what is held already. What is too much for that goes by itself.
static int hold(struct ipc_chan *c, enum msg_type t, const void *m)
{
    size_t at = c->held ? c->held : HEAD;
    struct writer head = writer_of(c->out, HEAD), length = writer_of(c->out + at, LENGTH),
                  w = writer_of(c->out + at + LENGTH, IPC_MAX_MESSAGE);
    msg_write(&w, t, m);
    if (w.bad) {
        OPENSSL_cleanse(c->out + at + LENGTH, IPC_MAX_MESSAGE);
        return too_long(c, t);
    }
    wr_u16(&head, IPC_BUNDLE);
    wr_u32(&length, (uint32_t)w.len);
    if (at + LENGTH + w.len > HELD_BYTES) {
        int rc = let_go(c);
        if (!rc)
            rc = send_bytes(c, wr_written(&w), -1);
        OPENSSL_cleanse(c->out + at + LENGTH, w.len);
        return rc;
    }
    c->held = at + LENGTH + w.len;
    return ++c->held_count < HELD_MOST ? 0 : let_go(c);
}

static bool takes(const struct ipc_chan *c)
{
    return c && !c->failed && !c->broken;
}

int ipc_send_written(struct ipc_chan *c, struct slice m)
{
    if (takes(c))
        loop_catch_up(c->loop);
    return takes(c) ? send_bytes(c, m, -1) : -ENOTCONN;
}

static int send_now(struct ipc_chan *c, enum msg_type t, const void *m, int fd)
{
    struct writer w = writer_of(c->out, IPC_MAX_MESSAGE);
    msg_write(&w, t, m);
    if (w.bad) {
        OPENSSL_cleanse(c->out, IPC_MAX_MESSAGE);
        return too_long(c, t);
    }
    struct slice s = wr_written(&w);
    int rc = t == MSG_LOG && !log_fits(c, s.len) ? -ENOBUFS : send_bytes(c, s, fd);
    OPENSSL_cleanse(c->out, s.len);
    return rc;
}

static int send_with(struct ipc_chan *c, enum msg_type t, const void *m, int fd)
{
    if (t == MSG_LOG && c && c->logs_dropped != c->logs_told && c->queued <= IPC_LOG_BYTES / 2)
        tell_dropped(c);
    if (!takes(c))
        return -ENOTCONN;
    if (c->holds && fd < 0 && loop_put_off(c->loop, &c->late))
        return hold(c, t, m);
    loop_catch_up(c->loop); // what is held was sent before this
    return takes(c) ? send_now(c, t, m, fd) : -ENOTCONN;
}

int ipc_send(struct ipc_chan *c, enum msg_type t, const void *m)
{
    return send_with(c, t, m, -1);
}

void ipc_log(struct ipc_chan *c, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
             const char *text)
{
    if (!c || c->no_logs)
        return;
    struct msg_LOG m = {
        .room = (uint8_t)c->self, .subsys = (uint8_t)s, .level = (uint8_t)level, .ike_id = ike_id};
    snprintf(m.ike_name, sizeof(m.ike_name), "%s", ike_name);
    snprintf(m.text, sizeof(m.text), "%s", text);
    ipc_send(c, MSG_LOG, &m);
}

int ipc_send_channel(struct ipc_chan *c, enum room of, int fd)
{
    int rc = send_with(c, MSG_CHANNEL, &(struct msg_CHANNEL){.room = (uint8_t)of}, fd);
    close_fd(fd);
    return rc;
}

struct ipc_chan *ipc_open(struct loop *l, int fd, enum room self, enum room peer, const struct ipc_handler *h,
                          void *ctx)
{
    struct ipc_chan *c = malloc(sizeof(*c));
    if (!c)
        return NULL;
    memset(c, 0, offsetof(struct ipc_chan, in)); // of the rest there is as much as messages have been long
    int size = 1 << 20;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    c->loop = l;
    c->handler = h;
    c->ctx = ctx;
    c->tail = &c->head;
    c->self = self;
    c->peer = peer;
    c->fd = -1;
    c->holds = (self == ROOM_KEYS && (peer == ROOM_IKE || peer == ROOM_PATH)) ||
               (peer == ROOM_KEYS && (self == ROOM_IKE || self == ROOM_PATH));
    c->late.run = turn_ends;
    c->watch = (struct loop_fd){.fd = fd, .events = EPOLLIN, .ready = ready, .ctx = c};
    int rc = loop_add(l, &c->watch);
    if (rc < 0) {
        free(c);
        errno = -rc;
        return NULL;
    }
    return c;
}

void ipc_close(struct ipc_chan *c)
{
    if (!c || c->dead)
        return;
    if (!c->failed) {
        let_go(c);
        loop_del(c->loop, &c->watch);
    }
    forget_held(c);
    c->failed = true;
    close(c->watch.fd);
    c->dead = true;
    if (!c->busy)
        release(c);
}

const char *ipc_peer(const struct ipc_chan *c)
{
    return room_names[c->peer];
}

unsigned ipc_page(uint32_t most)
{
    return most && most < LIST_PAGE_MAX ? most : LIST_PAGE_MAX;
}

int ipc_result(struct ipc_chan *c, uint32_t req, bool ok, const char *fmt, ...)
{
    struct msg_RESULT m = {.req = req, .ok = ok};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(m.text, sizeof(m.text), fmt, ap);
    va_end(ap);
    return ipc_send(c, MSG_RESULT, &m);
}
