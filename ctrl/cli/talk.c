// SPDX-License-Identifier: Apache-2.0
#include "ctrl/cli/talk.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "ctrl/lib/printable.h"

struct talk {
    int fd;
    uint8_t *frame; // VICI_MAX_FRAME octets
    size_t len;
    char command[VICI_MAX_NAME + 1]; // that is being asked
    char *refusal;                   // the last, as the daemon said it
    bool over;
};

// ---- opening

static const char *advice(int e)
{
    switch (e) {
    case ENOENT:
    case ECONNREFUSED: return "no daemon listens there; start espalierd, or name another socket with --uri";
    case EACCES:
    case EPERM: return "the socket is its owner's and its group's (mode 0660); become one of them, or root";
    default: return "name another socket with --uri";
    }
}

static int unreachable(const char *uri, int e, struct esp_error *err)
{
    return esp_fail(err, -e, "", "%.90s: %s: %s", uri, strerror(e), advice(e));
}

static int open_unix(const char *uri, struct esp_error *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const char *path = uri + strlen("unix://");
    if (path[0] != '/' || strlen(path) >= sizeof(un.sun_path))
        return esp_fail(err, -EINVAL, "--uri", "'%.80s': expected an absolute path of at most %zu characters",
                        path, sizeof(un.sun_path) - 1);
    memcpy(un.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return esp_fail(err, -errno, "", "socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0)
        return fd;
    int e = errno;
    close(fd);
    return unreachable(uri, e, err);
}

// [::1]:4502 or 127.0.0.1:4502: addresses and numbers only, nothing is looked up.
static int open_tcp(const char *uri, struct esp_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    const char *text = uri + strlen("tcp://"), *colon = strrchr(text, ':');
    struct addrinfo *to = NULL;
    char host[64] = "";
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (n > 2 && text[0] == '[' && text[n - 1] == ']')
        snprintf(host, sizeof(host), "%.*s", (int)n - 2, text + 1);
    else if (n)
        snprintf(host, sizeof(host), "%.*s", (int)n, text);
    if (!host[0] || getaddrinfo(host, colon + 1, &hints, &to) != 0)
        return esp_fail(err, -EINVAL, "--uri", "'%.80s': expected ADDRESS:PORT after tcp://", text);
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), e = errno;
    if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) < 0) {
        e = errno;
        close(fd);
        fd = -1;
    }
    freeaddrinfo(to);
    return fd >= 0 ? fd : unreachable(uri, e, err);
}

int talk_open(struct talk **out, const char *uri, struct esp_error *err)
{
    int fd;
    *out = NULL;
    if (strncmp(uri, "unix://", strlen("unix://")) == 0)
        fd = open_unix(uri, err);
    else if (strncmp(uri, "tcp://", strlen("tcp://")) == 0)
        fd = open_tcp(uri, err);
    else
        return esp_fail(err, -EINVAL, "--uri", "'%.80s': expected unix:///PATH or tcp://ADDRESS:PORT", uri);
    if (fd < 0)
        return fd;
    struct talk *t = calloc(1, sizeof(*t));
    if (t)
        t->frame = malloc(VICI_MAX_FRAME);
    if (!t || !t->frame) {
        free(t);
        close(fd);
        return esp_fail(err, -ENOMEM, "", "out of memory");
    }
    t->fd = fd;
    *out = t;
    return 0;
}

pid_t talk_pid(const struct talk *t)
{
    struct ucred who = {0};
    socklen_t len = sizeof(who);
    return getsockopt(t->fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 ? who.pid : 0;
}

void talk_close(struct talk *t)
{
    if (!t)
        return;
    close(t->fd);
    OPENSSL_cleanse(t->frame, VICI_MAX_FRAME);
    free(t->frame);
    free(t->refusal);
    free(t);
}

bool talk_is_over(const struct talk *t)
{
    return t->over;
}

// ---- frames

static int lost(struct talk *t, int e, struct esp_error *err)
{
    t->over = true;
    if (e == EPIPE || e == ECONNRESET)
        return esp_fail(err, -ECONNRESET, t->command, "the daemon has closed the connection");
    return esp_fail(err, -e, t->command, "the connection to the daemon: %s", strerror(e));
}

static int send_out(struct talk *t, struct vici_out *o, struct esp_error *err)
{
    int r = vici_out_finish(o);
    if (r)
        return esp_fail(err, r, t->command, "%s",
                        r == -ENOMEM ? "out of memory" : "more than one message holds");
    for (size_t done = 0; done < o->len;) {
        ssize_t n = send(t->fd, o->data + done, o->len - done, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return lost(t, errno, err);
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int await(struct talk *t, int64_t until, struct esp_error *err)
{
    for (;;) {
        int64_t left = until < 0 ? -1 : until - now_ms();
        struct pollfd p = {.fd = t->fd, .events = POLLIN};
        int n = poll(&p, 1, left > 0 || until < 0 ? (int)left : 0);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return lost(t, errno, err);
        if (n == 0)
            return esp_fail(err, -ETIMEDOUT, t->command, "the daemon has not answered in time");
    }
}

static int receive(struct talk *t, uint8_t *to, size_t len, int64_t until, struct esp_error *err)
{
    while (len) {
        int r = await(t, until, err);
        if (r)
            return r;
        ssize_t n = recv(t->fd, to, len, 0);
        if (n == 0)
            return lost(t, ECONNRESET, err);
        if (n < 0 && errno != EINTR)
            return lost(t, errno, err);
        to += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int receive_frame(struct talk *t, int64_t until, struct esp_error *err)
{
    uint8_t head[4];
    int r = receive(t, head, sizeof(head), until, err);
    if (r)
        return r;
    t->len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (!t->len || t->len > VICI_MAX_FRAME)
        return esp_fail(err, -EBADMSG, t->command, "what answers is no VICI: a frame of %zu octets", t->len);
    return receive(t, t->frame, t->len, until, err);
}

// ---- events

static int take_event(struct talk *t, talk_event_fn *event, void *ctx, struct esp_error *err)
{
    char name[VICI_MAX_NAME + 1];
    struct vici_msg m;
    size_t n = t->len > 1 ? t->frame[1] : 0;
    if (t->len < 2 + n)
        return esp_fail(err, -EBADMSG, t->command, "an event without a name");
    snprintf(name, sizeof(name), "%.*s", (int)n, (const char *)t->frame + 2);
    if (!event)
        return 0;
    int r = vici_msg_parse(&m, t->frame + 2 + n, t->len - 2 - n, err);
    if (r)
        return r;
    r = event(ctx, name, m.root);
    vici_msg_free(&m);
    return r;
}

static int take_packets(struct talk *t, talk_event_fn *event, void *ctx, int timeout_ms, uint8_t *type,
                        struct esp_error *err)
{
    int64_t until = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    for (;;) {
        int r = receive_frame(t, until, err);
        if (r)
            return r;
        *type = t->frame[0];
        if (*type != VICI_EVENT)
            return 0;
        r = take_event(t, event, ctx, err);
        if (r)
            return r;
        if (timeout_ms >= 0) // who streams is there
            until = now_ms() + timeout_ms;
    }
}

// The packet that is no event, or a failure.
static int await_packet(struct talk *t, talk_event_fn *event, void *ctx, int timeout_ms, uint8_t *type,
                        struct esp_error *err)
{
    int r = take_packets(t, event, ctx, timeout_ms, type, err);
    t->over = t->over || r < 0;
    return r;
}

int talk_listen(struct talk *t, talk_event_fn *event, void *ctx, struct esp_error *err)
{
    uint8_t type;
    int r = await_packet(t, event, ctx, TALK_FOREVER, &type, err);
    return r ? r : esp_fail(err, -EBADMSG, "", "the daemon answers what was not asked");
}

int talk_register(struct talk *t, const char *event, struct esp_error *err)
{
    struct vici_out o;
    uint8_t type = 0;
    snprintf(t->command, sizeof(t->command), "%s", event);
    vici_out_begin(&o, VICI_EVENT_REGISTER, event);
    int r = send_out(t, &o, err);
    vici_out_free(&o);
    if (r == 0)
        r = await_packet(t, NULL, NULL, TALK_ANSWER_MS, &type, err);
    if (r == 0 && type == VICI_EVENT_UNKNOWN)
        return esp_fail(err, -ENOSYS, "", "this daemon has no event '%s'", event);
    if (r == 0 && type != VICI_EVENT_CONFIRM)
        return esp_fail(err, -EBADMSG, event, "an answer of type %u, expected a confirmation", type);
    return r;
}

// ---- commands

int talk_begin(struct talk *t, struct vici_out *request, struct esp_error *err)
{
    snprintf(t->command, sizeof(t->command), "%.*s", request->len > 5 ? request->data[5] : 0,
             request->len > 5 ? (const char *)request->data + 6 : "");
    int r = send_out(t, request, err);
    vici_out_free(request);
    return r;
}

static int take_answer(struct talk *t, talk_event_fn *event, void *ctx, struct vici_msg *reply,
                       int timeout_ms, struct esp_error *err)
{
    uint8_t type = 0;
    *reply = (struct vici_msg){0};
    int r = await_packet(t, event, ctx, timeout_ms, &type, err);
    if (r)
        return r;
    if (type == VICI_CMD_UNKNOWN)
        return esp_fail(err, -ENOSYS, "", "this daemon has no command '%.60s'", t->command);
    if (type != VICI_CMD_RESPONSE)
        return esp_fail(err, -EBADMSG, t->command, "an answer of type %u, expected a response", type);
    return vici_msg_parse(reply, t->frame + 1, t->len - 1, err);
}

int talk_ask(struct talk *t, struct vici_out *request, talk_event_fn *event, void *ctx,
             struct vici_msg *reply, int timeout_ms, struct esp_error *err)
{
    *reply = (struct vici_msg){0};
    int r = talk_begin(t, request, err);
    return r ? r : take_answer(t, event, ctx, reply, timeout_ms, err);
}

static int refused(struct talk *t, const char *why, struct esp_error *err)
{
    free(t->refusal);
    t->refusal = strdup(why && why[0] ? why : "the daemon gives no reason");
    if (!t->refusal)
        return esp_fail(err, -ENOMEM, "", "out of memory");
    printable_make(t->refusal);
    return esp_fail(err, -EREMOTEIO, "", "%s", t->refusal);
}

static int judged(struct talk *t, struct vici_msg *reply, struct esp_error *err)
{
    if (vici_get_yes(reply->root, "success", true))
        return 0;
    int r = refused(t, vici_get(reply->root, "errmsg"), err);
    vici_msg_free(reply);
    return r;
}

int talk_end(struct talk *t, struct vici_msg *reply, struct esp_error *err)
{
    int r = take_answer(t, NULL, NULL, reply, TALK_ANSWER_MS, err);
    return r ? r : judged(t, reply, err);
}

static int ask_ok(struct talk *t, struct vici_out *request, talk_event_fn *event, void *ctx,
                  struct vici_msg *reply, int timeout_ms, struct esp_error *err)
{
    int r = talk_ask(t, request, event, ctx, reply, timeout_ms, err);
    return r ? r : judged(t, reply, err);
}

int talk_ask_ok(struct talk *t, struct vici_out *request, struct vici_msg *reply, struct esp_error *err)
{
    return ask_ok(t, request, NULL, NULL, reply, TALK_ANSWER_MS, err);
}

int talk_ask_while(struct talk *t, struct vici_out *request, talk_event_fn *event, void *ctx,
                   struct vici_msg *reply, struct esp_error *err)
{
    return ask_ok(t, request, event, ctx, reply, TALK_FOREVER, err);
}

int talk_do(struct talk *t, struct vici_out *request, talk_event_fn *event, void *ctx, int timeout_ms,
            struct esp_error *err)
{
    struct vici_msg reply;
    int r = ask_ok(t, request, event, ctx, &reply, timeout_ms, err);
    if (r == 0)
        vici_msg_free(&reply);
    return r;
}

const char *talk_refusal(const struct talk *t)
{
    return t->refusal;
}
