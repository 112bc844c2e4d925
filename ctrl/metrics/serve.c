// SPDX-License-Identifier: Apache-2.0
#include "ctrl/metrics/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "ctrl/lib/log.h"

enum {
    TICK_MS = 500,            // for those who are slow
    ROOM = SERVE_CLIENTS * 2, // what libmicrohttpd accepts, until the oldest ones are gone
    CLIENT_OCTETS = 16384,    // memory of one, its request too
};

struct client { // a connection
    struct client *next, **at;
    struct serve *s;
    struct MHD_Connection *connection;
    int fd;
    uint64_t since;
    bool waits, has_waited; // for a snapshot
    bool hung;              // up on
};
struct serve {
    struct loop *loop;
    struct MHD_Daemon *http;
    struct loop_fd fd;
    struct timer again, tick;
    struct client *clients; // the newest first
    unsigned client_count;  // of them those that were not hung up on
    void (*wanted)(void *ctx);
    void *ctx;
    bool asked; // a snapshot is on its way
    struct exposition now;
    char fault[256]; // of the last one; "": it is whole
    uint64_t taken_at;
    bool taken;
    bool loopback;                 // it listens there
    struct MHD_Response *whole[2]; // made where somebody asks for that form
};

// ---- answers

static struct MHD_Response *text_response(const char *text)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (r)
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
    return r;
}

// One request a connection: who holds one open takes nobody's place for long.
static enum MHD_Result queue(struct MHD_Connection *c, unsigned status, struct MHD_Response *r)
{
    enum MHD_Result done = MHD_NO;
    if (r) {
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
        done = MHD_queue_response(c, status, r);
    }
    return done;
}

static enum MHD_Result refuse(struct MHD_Connection *c, unsigned status, const char *text)
{
    struct MHD_Response *r = text_response(text);
    if (r && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result done = queue(c, status, r);
    if (r)
        MHD_destroy_response(r);
    return done;
}

static struct MHD_Response *whole(struct serve *s, bool openmetrics)
{
    struct MHD_Response **r = &s->whole[openmetrics];
    size_t len = 0;
    char *text = *r ? NULL : exposition_text(&s->now, openmetrics, &len);
    if (!text)
        return *r;
    *r = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
    if (!*r) {
        free(text);
        return NULL;
    }
    MHD_add_response_header(*r, MHD_HTTP_HEADER_CONTENT_TYPE,
                            openmetrics ? exposition_type_openmetrics : exposition_type_text);
    return *r;
}

static enum MHD_Result answer(struct serve *s, struct MHD_Connection *c)
{
    const char *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    if (s->fault[0])
        return refuse(c, MHD_HTTP_SERVICE_UNAVAILABLE, s->fault);
    struct MHD_Response *r = whole(s, accept && strstr(accept, "application/openmetrics-text"));
    return r ? queue(c, MHD_HTTP_OK, r)
             : refuse(c, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory for the answer\n");
}

// ---- requests

// An address, or this machine's own name for itself; with a port or without.
static bool is_local_name(const char *host)
{
    char name[64];
    struct in6_addr address;
    bool six = host[0] == '[';
    size_t n = six ? strcspn(host + 1, "]") : strcspn(host, ":");
    if (n >= sizeof(name))
        return false;
    snprintf(name, sizeof(name), "%.*s", (int)n, host + six);
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET6, name, &address) == 1 ||
           inet_pton(AF_INET, name, &address) == 1;
}

// A page in a browser of this machine that has its own name lead here (DNS rebinding) asks by that name.
// Where others are to ask, any name may be right, and programs of old send none.
static bool is_for_us(const struct serve *s, struct MHD_Connection *c)
{
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    return !s->loopback || !host || is_local_name(host);
}

static bool is_loopback(int fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return false;
    if (ss.ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)&ss)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return ss.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&ss)->sin6_addr);
}

static bool is_fresh(const struct serve *s)
{
    return s->taken && loop_now(s->loop) - s->taken_at < SERVE_FRESH_MS;
}

static struct client *client_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *i = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return i ? i->socket_context : NULL;
}

static enum MHD_Result wait_for_it(struct serve *s, struct client *client)
{
    client->waits = true;
    MHD_suspend_connection(client->connection);
    if (!s->asked) {
        s->asked = true;
        s->wanted(s->ctx);
    }
    return MHD_YES;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_len, void **own)
{
    struct serve *s = ctx;
    struct client *client = client_of(c);
    (void)version;
    (void)upload;
    if (!client)
        return MHD_NO;
    if (!*own) { // its headers are there: nothing is answered before the rest is
        *own = client;
        client->connection = c;
        return MHD_YES;
    }
    if (*upload_len) { // nobody wants a body
        *upload_len = 0;
        return MHD_YES;
    }
    if (!is_for_us(s, c))
        return refuse(c, MHD_HTTP_FORBIDDEN, "ask by an address or by localhost\n");
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return refuse(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD\n");
    if (strcmp(url, "/metrics") != 0)
        return refuse(c, MHD_HTTP_NOT_FOUND, "there is /metrics\n");
    if (client->has_waited || is_fresh(s))
        return answer(s, c);
    return wait_for_it(s, client);
}

// ---- clients

static void unlink_client(struct client *c)
{
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    c->s->client_count -= !c->hung;
    free(c);
}

// libmicrohttpd sees its end and lets go of it.
static void hang_up(struct client *c)
{
    if (c->hung)
        return;
    c->hung = true;
    c->s->client_count--;
    shutdown(c->fd, SHUT_RDWR);
}

static void hang_up_oldest(struct serve *s)
{
    struct client *oldest = NULL;
    for (struct client *c = s->clients; c; c = c->next)
        oldest = c->hung ? oldest : c;
    if (oldest)
        hang_up(oldest);
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct serve *s = ctx;
    struct client *c = *socket_context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (c)
            unlink_client(c);
        *socket_context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *i =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    c = i ? calloc(1, sizeof(*c)) : NULL; // without memory it is refused when it asks
    *socket_context = c;
    if (!c)
        return;
    *c = (struct client){
        .next = s->clients, .at = &s->clients, .s = s, .fd = i->connect_fd, .since = loop_now(s->loop)};
    if (c->next)
        c->next->at = &c->next;
    s->clients = c;
    if (++s->client_count > SERVE_CLIENTS)
        hang_up_oldest(s);
    if (!s->tick.armed)
        timer_set(s->loop, &s->tick, loop_now(s->loop) + TICK_MS);
}

static void run(struct serve *s);

static void on_tick(struct timer *t)
{
    struct serve *s = t->ctx;
    uint64_t now = loop_now(s->loop);
    for (struct client *c = s->clients; c; c = c->next)
        if (now - c->since >= SERVE_CLIENT_MS)
            hang_up(c);
    run(s);
    if (s->clients)
        timer_set(s->loop, t, now + TICK_MS);
}

// ---- the loop

static void run(struct serve *s)
{
    MHD_UNSIGNED_LONG_LONG ms;
    MHD_run(s->http);
    timer_stop(s->loop, &s->again);
    if (MHD_get_timeout(s->http, &ms) == MHD_YES)
        timer_set(s->loop, &s->again, loop_now(s->loop) + ms);
}

static void on_again(struct timer *t)
{
    run(t->ctx);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    run(f->ctx);
}

void serve_snapshot(struct serve *s, struct exposition *e, const char *fault)
{
    for (int i = 0; i < 2; i++) {
        if (s->whole[i])
            MHD_destroy_response(s->whole[i]); // who is reading it keeps it
        s->whole[i] = NULL;
    }
    exposition_clear(&s->now);
    s->now = *e;
    memset(e, 0, sizeof(*e));
    snprintf(s->fault, sizeof(s->fault), "%s%s", fault ? fault : "", fault ? "\n" : "");
    s->taken = !fault; // what failed is tried anew by the next one
    s->taken_at = loop_now(s->loop);
    s->asked = false;
    for (struct client *c = s->clients; c; c = c->next) {
        if (!c->waits)
            continue;
        c->waits = false;
        c->has_waited = true;
        MHD_resume_connection(c->connection);
    }
    timer_set(s->loop, &s->again, loop_now(s->loop));
}

static void log_fault(void *ctx, const char *fmt, va_list ap)
{
    char text[300];
    (void)ctx;
    vsnprintf(text, sizeof(text), fmt, ap);
    text[strcspn(text, "\n")] = 0;
    LOGF(NET, 2, "metrics: %s", text);
}

static int watch(struct serve *s)
{
    const union MHD_DaemonInfo *i = MHD_get_daemon_info(s->http, MHD_DAEMON_INFO_EPOLL_FD);
    if (!i)
        return -ENOTSUP;
    s->fd = (struct loop_fd){.fd = i->epoll_fd, .events = EPOLLIN, .ready = on_ready, .ctx = s};
    return loop_add(s->loop, &s->fd);
}

struct serve *serve_new(struct loop *l, int fd, void (*wanted)(void *ctx), void *ctx)
{
    struct serve *s = calloc(1, sizeof(*s));
    int rc = 0;
    if (!s)
        return NULL;
    *s = (struct serve){.loop = l, .wanted = wanted, .ctx = ctx, .loopback = is_loopback(fd)};
    s->again = (struct timer){.fire = on_again, .ctx = s};
    s->tick = (struct timer){.fire = on_tick, .ctx = s};
    errno = 0;
    s->http = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, s,
        MHD_OPTION_EXTERNAL_LOGGER, log_fault, NULL, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)ROOM, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(SERVE_CLIENT_MS / 1000), MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CLIENT_OCTETS,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
    if (s->http)
        rc = watch(s);
    if (s->http && rc == 0)
        return s;
    rc = s->http ? -rc : errno ? errno : EIO;
    serve_free(s);
    errno = rc;
    return NULL;
}

void serve_free(struct serve *s)
{
    if (!s)
        return;
    timer_stop(s->loop, &s->again);
    timer_stop(s->loop, &s->tick);
    for (struct client *c = s->clients; c; c = c->next)
        if (c->waits)
            MHD_resume_connection(c->connection);
    if (s->fd.ready)
        loop_del(s->loop, &s->fd);
    for (int i = 0; i < 2; i++)
        if (s->whole[i])
            MHD_destroy_response(s->whole[i]);
    if (s->http)
        MHD_stop_daemon(s->http);
    exposition_clear(&s->now);
    free(s);
}
