// SPDX-License-Identifier: Apache-2.0
// The codec that the message list makes, and channels that carry it between the rooms.
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

static const char *const names[MSG_COUNT] = {"NONE",
#define X(name, routes) #name,
                                             MSG_LIST(X)
#undef X
};

static const char *const room_names[ROOM_COUNT] = {
#define X(sym, name) name,
    ROOM_LIST(X)
#undef X
};
#define AT(from, to) (1ull << (ROOM_##from * ROOM_COUNT + ROOM_##to))
#define FROM_ALL(to)                                                                                         \
    (AT(SUPER, to) | AT(CTL, to) | AT(IKE, to) | AT(KEYS, to) | AT(PATH, to) | AT(FETCH, to) |               \
     AT(METRICS, to))
#define TO_ALL(from)                                                                                         \
    (AT(from, SUPER) | AT(from, CTL) | AT(from, IKE) | AT(from, KEYS) | AT(from, PATH) | AT(from, FETCH) |   \
     AT(from, METRICS))
_Static_assert(ROOM_COUNT *ROOM_COUNT <= 64, "a bit for each pair of rooms");
static const uint64_t routes_of[MSG_COUNT] = {0,
#define X(name, routes) routes,
                                              MSG_LIST(X)
#undef X
};

bool ipc_may_send(enum room from, enum room to, enum msg_type t)
{
    return (unsigned)t < MSG_COUNT && from != to && (routes_of[t] >> (from * ROOM_COUNT + to) & 1);
}

const char *msg_name(enum msg_type t)
{
    return (unsigned)t < MSG_COUNT ? names[t] : "?";
}

static void write_addr(struct writer *w, const struct addr *a)
{
    wr_u8(w, a->family);
    wr_bytes(w, a->a, 16);
}

static struct addr read_addr(struct reader *r)
{
    struct addr a = {.family = rd_u8(r)};
    struct slice s = rd_bytes(r, 16);
    if (s.len == 16)
        memcpy(a.a, s.p, 16);
    if (a.family != 0 && a.family != 4 && a.family != 6)
        r->bad = true;
    return a;
}

#define PUT(kind, name, size) PUT_##kind(name)
#define PUT_U8(name)          wr_u8(w, m->name);
#define PUT_U16(name)         wr_u16(w, m->name);
#define PUT_U32(name)         wr_u32(w, m->name);
#define PUT_U64(name)         wr_u64(w, m->name);
#define PUT_STR(name)         wr_cstr(w, m->name);
#define PUT_BLOB(name)        wr_slice32(w, m->name);
#define PUT_ADDR(name)        write_addr(w, &m->name);
#define PUT_TSL(name)         ts_list_write(w, &m->name);

#define GET(kind, name, size) GET_##kind(name)
#define GET_U8(name)          m->name = rd_u8(r);
#define GET_U16(name)         m->name = rd_u16(r);
#define GET_U32(name)         m->name = rd_u32(r);
#define GET_U64(name)         m->name = rd_u64(r);
#define GET_STR(name)         rd_cstr(r, m->name, sizeof(m->name));
#define GET_BLOB(name)        m->name = rd_slice32(r);
#define GET_ADDR(name)        m->name = read_addr(r);
#define GET_TSL(name)         r->bad |= !ts_list_read(r, &m->name);

#define X(name, routes)                                                                                      \
    static void put_##name(struct writer *w, const struct msg_##name *m)                                     \
    {                                                                                                        \
        MSG_##name##_FIELDS(PUT)                                                                             \
    }                                                                                                        \
    static void get_##name(struct reader *r, struct msg_##name *m)                                           \
    {                                                                                                        \
        MSG_##name##_FIELDS(GET)                                                                             \
    }
MSG_LIST(X)
#undef X

void msg_write(struct writer *w, enum msg_type t, const void *m)
{
    wr_u16(w, (uint16_t)t);
    switch (t) {
#define X(name, routes)                                                                                      \
    case MSG_##name: put_##name(w, m); break;
        MSG_LIST(X)
#undef X
    default: w->bad = true;
    }
}

// Of the union only the one message's part is ever touched: most are a fiftieth of it.
static const size_t sizes[MSG_COUNT] = {0,
#define X(name, routes) sizeof(struct msg_##name),
                                        MSG_LIST(X)
#undef X
};

static enum msg_type parse(struct slice s, union msg *m, size_t *touched)
{
    struct reader r = reader_of(s);
    enum msg_type t = (enum msg_type)rd_u16(&r);
    *touched = (unsigned)t < MSG_COUNT ? sizes[t] : 0;
    memset(m, 0, *touched);
    switch (t) {
#define X(name, routes)                                                                                      \
    case MSG_##name: get_##name(&r, &m->name); break;
        MSG_LIST(X)
#undef X
    default: return MSG_NONE;
    }
    return rd_done(&r) ? t : MSG_NONE;
}

enum msg_type msg_read(struct slice s, union msg *m)
{
    size_t touched;
    return parse(s, m, &touched);
}

struct queued {
    struct queued *next;
    int fd; // that goes along; -1: none
    size_t len;
    uint8_t bytes[];
};
struct ipc_chan {
    struct loop *loop;
    struct loop_fd watch;
    const struct ipc_handler *handler;
    void *ctx;
    enum room self, peer;
    int fd; // that came with the message which is being handled; -1: none
    struct queued *head, **tail;
    size_t queued;
    uint64_t logs_dropped, logs_told; // LOG messages that there was no room for; of them reported
    bool no_logs, no_events, alerts;  // the peer has said that nobody takes them, that somebody does (LISTEN)
    bool broken; // full: takes nothing more, and the loop will find its end; closed() is never called out of
                 // ipc_send
    bool failed; // closed() is due or done
    bool busy;   // inside ready(): ipc_close only marks it dead
    bool dead;
    uint8_t in[IPC_MAX_MESSAGE], out[IPC_MAX_MESSAGE]; // the message that comes or leaves, wiped after
};

static void fail(struct ipc_chan *c)
{
    if (c->failed)
        return;
    c->failed = true;
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

static void receive(struct ipc_chan *c)
{
    for (int i = 0; !c->dead && !c->failed && i < 64; i++) {
        union msg m;
        ssize_t n = get(c);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            fail(c);
            break;
        }
        size_t touched;
        enum msg_type t = parse(slice_of(c->in, (size_t)n), &m, &touched);
        if (t == MSG_NONE || (t == MSG_CHANNEL) != (c->fd >= 0)) {
            LOGF(DMN, 0, "malformed message of %zd bytes from %s, channel closed", n, room_names[c->peer]);
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
        close_fd(ipc_take_fd(c));
        OPENSSL_cleanse(c->in, (size_t)n);
        OPENSSL_cleanse(&m, touched);
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
    if (!c->failed)
        loop_del(c->loop, &c->watch);
    c->failed = true;
    close(c->watch.fd);
    c->dead = true;
    if (!c->busy)
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

int ipc_send_written(struct ipc_chan *c, struct slice m)
{
    return !c || c->failed || c->broken ? -ENOTCONN : send_bytes(c, m, -1);
}

static int send_with(struct ipc_chan *c, enum msg_type t, const void *m, int fd)
{
    if (t == MSG_LOG && c && c->logs_dropped != c->logs_told && c->queued <= IPC_LOG_BYTES / 2)
        tell_dropped(c);
    if (!c || c->failed || c->broken)
        return -ENOTCONN;
    struct writer w = writer_of(c->out, sizeof(c->out));
    msg_write(&w, t, m);
    if (w.bad) {
        OPENSSL_cleanse(c->out, sizeof(c->out));
        LOGF(DMN, 0, "message %s to %s is too long, not sent", msg_name(t), room_names[c->peer]);
        return -EMSGSIZE;
    }
    struct slice s = wr_written(&w);
    if (t == MSG_LOG && !log_fits(c, s.len)) {
        OPENSSL_cleanse(c->out, s.len);
        return -ENOBUFS;
    }
    int rc = send_bytes(c, s, fd);
    OPENSSL_cleanse(c->out, s.len);
    return rc;
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
