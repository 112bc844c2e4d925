// SPDX-License-Identifier: Apache-2.0
// Transfers by libcurl's multi interface in the loop of the process. A transfer waits for its turn, runs, and
// is done; the answers of those that are done go to `ike` as its channel has room for them. Names are looked
// up by a thread of libcurl's, so that a name server which does not answer holds up nobody else.
#include "ctrl/fetch/fetch.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <curl/curl.h>

#include "ctrl/lib/log.h"

enum { REDIRECTIONS = 3, CONNECT_MS = 5000, FLUSH_MS = 20, ALONE_MS = 2000 };

struct transfer {
    struct transfer *next;
    struct fetch *fetch;
    uint32_t req;
    char url[1024], host[256], content_type[80];
    uint8_t *body; // what is POSTed
    size_t body_len;
    size_t most;
    uint64_t deadline;
    CURL *easy;
    struct curl_slist *headers;
    uint8_t *got;
    size_t len, cap, sent;
    bool ok;
    const char *refused; // why it was broken off here
    char text[400];
};

struct queue { // first in, first out
    struct transfer *first, **last;
    unsigned count;
};

struct watch {
    struct loop_fd fd;
    struct watch *next, **at;
};

struct fetch {
    struct loop *loop;
    struct ipc_chan *chan[ROOM_COUNT];
    CURLM *multi;
    bool local;
    struct timer curl_timer, queue_timer, flush_timer;
    struct timer alone; // without ike
    struct queue waiting, running, done;
    struct watch *watches;
};

// ---- queues

static void queue_init(struct queue *q)
{
    *q = (struct queue){.last = &q->first};
}

static void put(struct queue *q, struct transfer *t)
{
    t->next = NULL;
    *q->last = t;
    q->last = &t->next;
    q->count++;
}

static void take(struct queue *q, const struct transfer *t)
{
    struct transfer **p = &q->first;
    while (*p && *p != t)
        p = &(*p)->next;
    if (!*p)
        return;
    *p = t->next;
    if (q->last == &t->next)
        q->last = p;
    q->count--;
}

static void transfer_free(struct transfer *t)
{
    if (t->easy) {
        curl_multi_remove_handle(t->fetch->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    free(t->body);
    free(t->got);
    free(t);
}

// ---- answers

static bool send_piece(struct fetch *f, struct transfer *t)
{
    size_t n = t->len - t->sent < FETCH_PIECE ? t->len - t->sent : FETCH_PIECE;
    struct msg_FETCHED m = {.req = t->req, .ok = t->ok};
    snprintf(m.text, sizeof(m.text), "%s", t->text);
    m.body = t->ok ? slice_of(t->got + t->sent, n) : slice_of(NULL, 0);
    m.more = t->ok && t->sent + n < t->len;
    ipc_send(f->chan[ROOM_IKE], MSG_FETCHED, &m);
    t->sent += n;
    return m.more;
}

static void flush(struct fetch *f)
{
    while (f->done.first && f->chan[ROOM_IKE]) {
        struct transfer *t = f->done.first;
        if (!ipc_has_room(f->chan[ROOM_IKE])) {
            timer_set(f->loop, &f->flush_timer, loop_now(f->loop) + FLUSH_MS);
            return;
        }
        if (send_piece(f, t))
            continue;
        take(&f->done, t);
        transfer_free(t);
    }
}

static void flush_again(struct timer *timer)
{
    flush(timer->ctx);
}

// It is in no queue now.
static void finish(struct fetch *f, struct transfer *t, bool ok, const char *text)
{
    t->ok = ok;
    snprintf(t->text, sizeof(t->text), "%s", text);
    if (t->easy) {
        curl_multi_remove_handle(f->multi, t->easy);
        curl_easy_cleanup(t->easy);
        t->easy = NULL;
    }
    put(&f->done, t);
}

// ---- libcurl's side

// RFC 6890: this machine, its links, and what is no machine.
static bool is_local4(uint32_t a)
{
    return a >> 24 == 0 || a >> 24 == 127 || a >> 16 == 0xa9fe || a >> 28 >= 0xe;
}

static bool is_local(const struct sockaddr *sa)
{
    const struct sockaddr_in *v4 = (const void *)sa;
    const struct sockaddr_in6 *v6 = (const void *)sa;
    if (sa->sa_family == AF_INET)
        return is_local4(ntohl(v4->sin_addr.s_addr));
    if (sa->sa_family != AF_INET6)
        return true;
    const struct in6_addr *a = &v6->sin6_addr;
    uint32_t low;
    memcpy(&low, a->s6_addr + 12, sizeof(low));
    if (IN6_IS_ADDR_V4MAPPED(a))
        return is_local4(ntohl(low));
    return IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_LINKLOCAL(a) ||
           IN6_IS_ADDR_MULTICAST(a);
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool is_that(const struct sockaddr *own, const union address *to)
{
    const struct sockaddr_in *v4 = (const void *)own;
    const struct sockaddr_in6 *v6 = (const void *)own;
    if (own->sa_family == AF_INET && to->any.sa_family == AF_INET6) // ::ffff:10.1.0.1
        return IN6_IS_ADDR_V4MAPPED(&to->v6.sin6_addr) &&
               !memcmp(to->v6.sin6_addr.s6_addr + 12, &v4->sin_addr, sizeof(v4->sin_addr));
    if (own->sa_family != to->any.sa_family)
        return false;
    if (own->sa_family == AF_INET)
        return v4->sin_addr.s_addr == to->v4.sin_addr.s_addr;
    return own->sa_family == AF_INET6 && !memcmp(&v6->sin6_addr, &to->v6.sin6_addr, sizeof(v6->sin6_addr));
}

static bool is_listed(const union address *to)
{
    struct ifaddrs *all = NULL;
    bool own = false;
    if (getifaddrs(&all) < 0)
        return true; // what cannot be looked at is not asked
    for (const struct ifaddrs *i = all; i && !own; i = i->ifa_next)
        own = i->ifa_addr && is_that(i->ifa_addr, to);
    freeifaddrs(all);
    return own;
}

// What this machine says to itself it says from the same address, but for the second address of a network,
// which it speaks to from the first; and it may take more for its own than it lists. Nothing is sent by this
// socket.
static bool is_own(const struct sockaddr *sa, socklen_t len)
{
    union address to = {0}, from = {0};
    socklen_t n = sizeof(from);
    memcpy(&to, sa, len < sizeof(to) ? len : sizeof(to));
    int fd = socket(to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true; // likewise
    bool way = connect(fd, &to.any, len) == 0 && getsockname(fd, &from.any, &n) == 0;
    close(fd);
    return (way && is_that(&from.any, &to)) || is_listed(&to);
}

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct transfer *t = ctx;
    const char *why = NULL;
    (void)purpose;
    if (!t->fetch->local && is_local(&to->addr))
        why = "its address is this machine's loopback, a link's or of several machines, which are not asked";
    else if (!t->fetch->local && is_own(&to->addr, to->addrlen))
        why = "its address is this machine's own, which are not asked: what this machine serves itself "
              "crl_uris can name as file:///PATH";
    if (why) {
        t->refused = why; // its other addresses may be better ones
        return CURL_SOCKET_BAD;
    }
    return socket(to->family, to->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, to->protocol);
}

static size_t receive(char *data, size_t size, size_t count, void *ctx)
{
    struct transfer *t = ctx;
    size_t n = size * count;
    if (n > t->most - t->len) {
        t->refused = "its answer has more octets than are taken";
        return 0;
    }
    if (t->len + n > t->cap) {
        size_t cap = 2 * (t->len + n) < t->most ? 2 * (t->len + n) : t->most;
        uint8_t *more = realloc(t->got, cap);
        if (!more) {
            t->refused = "no memory for its answer";
            return 0;
        }
        t->got = more;
        t->cap = cap;
    }
    memcpy(t->got + t->len, data, n);
    t->len += n;
    return n;
}

static bool set_up(struct transfer *t, long ms)
{
    CURL *e = t->easy;
    bool ok = curl_easy_setopt(e, CURLOPT_URL, t->url) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http") == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK && // not even the environment's
              curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, receive) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) ==
                  CURLE_OK && // never wait for the thread that looks a name up
              curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, ms) == CURLE_OK &&
              curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK;
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "espalier");
    curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)REDIRECTIONS);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, t->body_len ? 0L : 1L);
    if (ok && t->body_len) {
        t->headers = curl_slist_append(NULL, t->content_type);
        ok = t->headers && curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK &&
             curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->body) == CURLE_OK &&
             curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body_len) == CURLE_OK;
    }
    return ok;
}

static void ended(struct fetch *f, struct transfer *t, CURLcode code)
{
    long status = 0;
    char text[300];
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    take(&f->running, t);
    if (code == CURLE_OK && status == 200) {
        finish(f, t, true, "");
        return;
    }
    if (t->refused)
        snprintf(text, sizeof(text), "%s", t->refused);
    else if (code == CURLE_OK)
        snprintf(text, sizeof(text), "it answered with HTTP status %ld", status);
    else if (code == CURLE_UNSUPPORTED_PROTOCOL)
        snprintf(text, sizeof(text), "it sends us on to what is no http:// URL");
    else if (code == CURLE_OPERATION_TIMEDOUT)
        snprintf(text, sizeof(text), "it did not answer in time");
    else
        snprintf(text, sizeof(text), "%s", curl_easy_strerror(code));
    finish(f, t, false, text);
}

static unsigned of_host(const struct fetch *f, const char *host)
{
    unsigned n = 0;
    for (const struct transfer *t = f->running.first; t; t = t->next)
        n += strcmp(t->host, host) == 0;
    return n;
}

static void start(struct fetch *f, struct transfer *t, uint64_t now)
{
    take(&f->waiting, t);
    if (t->deadline <= now) {
        finish(f, t, false, "it was not its turn in time");
        return;
    }
    t->easy = curl_easy_init();
    put(&f->running, t);
    if (t->easy && set_up(t, (long)(t->deadline - now)) &&
        curl_multi_add_handle(f->multi, t->easy) == CURLM_OK)
        return;
    take(&f->running, t);
    finish(f, t, false, "no memory");
}

// Starts what can be, and remembers when the first of the others has waited too long.
static void start_waiting(struct fetch *f)
{
    uint64_t now = loop_now(f->loop), first = UINT64_MAX;
    for (struct transfer *t = f->waiting.first, *next; t; t = next) {
        next = t->next;
        bool turn = f->running.count < FETCH_AT_ONCE && of_host(f, t->host) < FETCH_OF_A_HOST;
        if (turn || t->deadline <= now)
            start(f, t, now);
        else if (t->deadline < first)
            first = t->deadline;
    }
    timer_stop(f->loop, &f->queue_timer);
    if (first != UINT64_MAX)
        timer_set(f->loop, &f->queue_timer, first);
}

static void go_on(struct fetch *f)
{
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(f->multi, &left)) != NULL) {
        char *t = NULL;
        if (m->msg == CURLMSG_DONE && curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t) == CURLE_OK &&
            t)
            ended(f, (struct transfer *)(void *)t, m->data.result);
    }
    start_waiting(f);
    flush(f);
}

static void queue_due(struct timer *timer)
{
    go_on(timer->ctx);
}

static void curl_due(struct timer *timer)
{
    struct fetch *f = timer->ctx;
    int running;
    curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    go_on(f);
}

static int set_timer(CURLM *multi, long ms, void *ctx)
{
    struct fetch *f = ctx;
    (void)multi;
    timer_stop(f->loop, &f->curl_timer);
    if (ms >= 0)
        timer_set(f->loop, &f->curl_timer, loop_now(f->loop) + (uint64_t)ms);
    return 0;
}

static void socket_ready(struct loop_fd *fd, uint32_t events)
{
    struct fetch *f = fd->ctx;
    int running, how = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                       (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(f->multi, fd->fd, how, &running);
    go_on(f);
}

static void unwatch(struct fetch *f, struct watch *w)
{
    loop_del(f->loop, &w->fd);
    *w->at = w->next;
    if (w->next)
        w->next->at = w->at;
    free(w);
}

static int set_socket(CURL *easy, curl_socket_t s, int what, void *ctx, void *socket_ctx)
{
    struct fetch *f = ctx;
    struct watch *w = socket_ctx;
    uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            unwatch(f, w);
        curl_multi_assign(f->multi, s, NULL);
        return 0;
    }
    if (w) {
        w->fd.events = events;
        return loop_modify(f->loop, &w->fd) ? -1 : 0;
    }
    w = calloc(1, sizeof(*w));
    if (!w)
        return -1;
    w->fd = (struct loop_fd){.fd = s, .events = events, .ready = socket_ready, .ctx = f};
    if (loop_add(f->loop, &w->fd)) {
        free(w);
        return -1;
    }
    w->next = f->watches;
    w->at = &f->watches;
    if (w->next)
        w->next->at = &w->next;
    f->watches = w;
    curl_multi_assign(f->multi, s, w);
    return 0;
}

// ---- requests

static void refuse(struct fetch *f, uint32_t req, const char *text)
{
    struct msg_FETCHED m = {.req = req};
    snprintf(m.text, sizeof(m.text), "%s", text);
    ipc_send(f->chan[ROOM_IKE], MSG_FETCHED, &m);
}

// What is wrong with the request, or NULL with the host of its URL.
static const char *check_request(const struct msg_FETCH *m, char *host, size_t size)
{
    const char *wrong = NULL;
    char *part = NULL;
    if (strncasecmp(m->url, "https://", 8) == 0)
        return "https is not asked: CRLs and OCSP answers are signed and come by http://";
    if (strncasecmp(m->url, "http://", 7) != 0)
        return "it is no http:// URL";
    if (m->body.len > FETCH_BODY_MOST)
        return "the request is too long";
    CURLU *u = curl_url();
    if (!u || curl_url_set(u, CURLUPART_URL, m->url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &part, 0) != CURLUE_OK)
        wrong = "it is no URL that can be read";
    else
        snprintf(host, size, "%s", part);
    curl_free(part);
    curl_url_cleanup(u);
    return wrong;
}

static struct transfer *transfer_new(struct fetch *f, const struct msg_FETCH *m)
{
    struct transfer *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    uint32_t ms = !m->timeout_ms                       ? FETCH_TIME_MS
                  : m->timeout_ms > FETCH_TIME_MOST_MS ? FETCH_TIME_MOST_MS
                                                       : m->timeout_ms;
    t->fetch = f;
    t->req = m->req;
    t->deadline = loop_now(f->loop) + ms;
    t->most = !m->most || m->most > FETCH_MOST ? FETCH_MOST : m->most;
    snprintf(t->url, sizeof(t->url), "%s", m->url);
    snprintf(t->content_type, sizeof(t->content_type), "Content-Type: %s", m->content_type);
    t->body_len = m->body.len;
    t->body = m->body.len ? malloc(m->body.len) : NULL;
    if (m->body.len && !t->body) {
        free(t);
        return NULL;
    }
    if (t->body)
        memcpy(t->body, m->body.p, m->body.len);
    return t;
}

static void request(struct fetch *f, const struct msg_FETCH *m)
{
    char host[256] = "";
    const char *wrong = check_request(m, host, sizeof(host));
    if (!wrong && f->waiting.count >= FETCH_WAITING)
        wrong = "too many others are asked for";
    struct transfer *t = wrong ? NULL : transfer_new(f, m);
    if (!t) {
        refuse(f, m->req, wrong ? wrong : "no memory");
        return;
    }
    memcpy(t->host, host, sizeof(host));
    put(&f->waiting, t);
    go_on(f);
}

static void drop_all(struct fetch *f)
{
    struct queue *const all[] = {&f->waiting, &f->running, &f->done};
    for (int i = 0; i < 3; i++) {
        for (struct transfer *t; (t = all[i]->first) != NULL;) {
            take(all[i], t);
            transfer_free(t);
        }
    }
}

// Nobody asks by a channel that either end had no memory for: with another fetch comes another channel.
static void alone_too_long(struct timer *t)
{
    struct fetch *f = t->ctx;
    if (!f->chan[ROOM_IKE])
        loop_stop(f->loop);
}

// What the last ike asked for nobody waits for.
static void without_ike(struct fetch *f)
{
    drop_all(f);
    timer_set(f->loop, &f->alone, loop_now(f->loop) + ALONE_MS);
}

// A room that died is there again.
static void attach_again(struct fetch *f, enum room room, int fd)
{
    if (room != ROOM_CTL && room != ROOM_IKE) {
        close(fd);
        return;
    }
    if (room == ROOM_IKE)
        without_ike(f);
    ipc_close(f->chan[room]);
    if (fetch_attach(f, room, fd) < 0)
        close(fd);
}

static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct fetch *f = ctx;
    if (t == MSG_FETCH && c == f->chan[ROOM_IKE])
        request(f, &m->FETCH);
    else if (t == MSG_CHANNEL)
        attach_again(f, (enum room)m->CHANNEL.room, ipc_take_fd(c));
    else if (t == MSG_SHUTDOWN)
        loop_stop(f->loop);
}

static void on_closed(void *ctx, struct ipc_chan *c)
{
    struct fetch *f = ctx;
    for (int room = 0; room < ROOM_COUNT; room++) {
        if (f->chan[room] != c)
            continue;
        f->chan[room] = NULL;
        if (room == ROOM_IKE)
            without_ike(f);
        if (room == ROOM_SUPER)
            loop_stop(f->loop);
    }
    ipc_close(c);
}

// ---- life

static bool set_up_multi(struct fetch *f)
{
    return f->multi && curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, set_socket) == CURLM_OK &&
           curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f) == CURLM_OK &&
           curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
           curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f) == CURLM_OK;
}

struct fetch *fetch_new(struct loop *l, bool local)
{
    struct fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->loop = l;
    f->local = local;
    f->curl_timer = (struct timer){.fire = curl_due, .ctx = f};
    f->queue_timer = (struct timer){.fire = queue_due, .ctx = f};
    f->flush_timer = (struct timer){.fire = flush_again, .ctx = f};
    f->alone = (struct timer){.fire = alone_too_long, .ctx = f};
    queue_init(&f->waiting);
    queue_init(&f->running);
    queue_init(&f->done);
    if (curl_global_init(CURL_GLOBAL_NOTHING) == CURLE_OK)
        f->multi = curl_multi_init();
    if (set_up_multi(f))
        return f;
    fetch_free(f);
    return NULL;
}

int fetch_attach(struct fetch *f, enum room peer, int fd)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    f->chan[peer] = ipc_open(f->loop, fd, ROOM_FETCH, peer, &handler, f);
    return f->chan[peer] ? 0 : -errno;
}

struct ipc_chan *fetch_channel(struct fetch *f, enum room peer)
{
    return f->chan[peer];
}

void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    drop_all(f);
    curl_multi_cleanup(f->multi);
    for (struct watch *w = f->watches, *next; w; w = next) {
        next = w->next;
        loop_del(f->loop, &w->fd);
        free(w);
    }
    timer_stop(f->loop, &f->curl_timer);
    timer_stop(f->loop, &f->queue_timer);
    timer_stop(f->loop, &f->flush_timer);
    timer_stop(f->loop, &f->alone);
    for (int room = 0; room < ROOM_COUNT; room++)
        ipc_close(f->chan[room]);
    free(f);
}
