// SPDX-License-Identifier: Apache-2.0
// The VICI server above its connections: the packet types, commands under way, events, and its life.
#include "ctrl/ctl/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/ctl/client.h"
#include "ctrl/lib/log.h"

static const char *const event_names[] = {
#define X(sym, name) name,
    VICI_EVENT_LIST(X)
#undef X
};

// ---- sending

static void send_out(struct client *c, struct vici_out *o)
{
    if (vici_out_finish(o) == 0) {
        client_send(c, o->data, o->len);
    } else { // it must neither wait for ever nor take what it gets for all
        LOGF(CFG, 0, "a VICI message could not be built: %s", strerror(-o->error));
        client_drop(c, strerror(-o->error));
    }
}

static void send_plain(struct client *c, enum vici_packet type)
{
    struct vici_out o;
    vici_out_begin(&o, type, NULL);
    send_out(c, &o);
    vici_out_free(&o);
}

static void send_event(struct client *c, struct vici_out *o)
{
    if (c->gone || vici_out_finish(o) < 0)
        return;
    if (c->queued + o->len > SERVER_EVENT_QUEUE) {
        c->server->counts.events_dropped++;
        c->dropped++;
        return;
    }
    if (c->dropped) {
        uint64_t n = c->dropped;
        c->dropped = 0; // before the line, which is an event itself
        LOGF(CFG, 1, "VICI client %u reads slowly: %llu events dropped", c->id, (unsigned long long)n);
    }
    client_send(c, o->data, o->len);
}

// ---- replies and events

static void command_free(struct command *cmd)
{
    struct server *s = cmd->server;
    for (struct command **p = &s->commands; *p; p = &(*p)->next) {
        if (*p == cmd) {
            *p = cmd->next;
            break;
        }
    }
    if (cmd->client)
        cmd->client->busy = NULL;
    vici_msg_free(&cmd->msg);
    if (cmd->free_data)
        cmd->free_data(cmd->data);
    free(cmd);
}

void server_reply(struct command *cmd, struct vici_out *o)
{
    struct client *c = cmd->client;
    struct vici_out empty = {0};
    if (!o) {
        vici_out_begin(&empty, VICI_CMD_RESPONSE, NULL);
        o = &empty;
    }
    if (vici_out_finish(o) < 0) { // the client must not wait for ever
        int e = -o->error;
        vici_out_free(o);
        vici_out_begin(o, VICI_CMD_RESPONSE, NULL);
        vici_put(o, "success", "no");
        vici_putf(o, "errmsg", "the reply cannot be sent: %s", strerror(e));
    }
    command_free(cmd);
    if (c) {
        send_out(c, o);
        client_rearm(c); // it may send its next command
    }
    vici_out_free(o);
}

void server_reply_ok(struct command *cmd)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", "yes");
    server_reply(cmd, &o);
}

void server_put_errmsg(struct vici_out *o, const char *text)
{
    char shown[SERVER_ERRMSG];
    esp_text_end(shown, sizeof(shown), snprintf(shown, sizeof(shown), "%s", text));
    for (char *c = shown; *c; c++) {
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    }
    vici_put(o, "errmsg", shown);
}

void server_reply_error(struct command *cmd, const char *fmt, ...)
{
    char text[SERVER_ERRMSG];
    struct vici_out o;
    va_list ap;
    va_start(ap, fmt);
    esp_text_end(text, sizeof(text), vsnprintf(text, sizeof(text), fmt, ap));
    va_end(ap);
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_put(&o, "success", "no");
    server_put_errmsg(&o, text);
    server_reply(cmd, &o);
}

unsigned server_client_loads(const struct command *cmd)
{
    if (!cmd->client)
        return 0;
    cmd->client->loads = true;
    return cmd->client->id;
}

unsigned server_loaders(const struct server *s)
{
    unsigned n = 0;
    for (const struct client *c = s->clients; c; c = c->next)
        n += c->loads && !c->gone;
    return n;
}

bool server_full(const struct command *cmd)
{
    return cmd->client && cmd->client->queued > SERVER_STREAM;
}

bool server_wants(const struct server *s, enum vici_event ev)
{
    for (const struct client *c = s->clients; c; c = c->next) {
        if (c->events & 1u << ev && !c->gone)
            return true;
    }
    return false;
}

bool server_command_wants(const struct command *cmd, enum vici_event ev)
{
    return cmd->client && !cmd->client->gone && cmd->client->events & 1u << ev;
}

void server_event_begin(struct vici_out *o, enum vici_event ev)
{
    vici_out_begin(o, VICI_EVENT, event_names[ev]);
}

void server_event(struct server *s, enum vici_event ev, struct vici_out *o)
{
    for (struct client *c = s->clients, *next; c; c = next) {
        next = c->next;
        if (c->events & 1u << ev)
            send_event(c, o);
    }
    vici_out_free(o);
}

void server_event_to(struct command *cmd, enum vici_event ev, struct vici_out *o)
{
    // What a command streams is its answer: it counts against the reply limit, not that of events.
    if (server_command_wants(cmd, ev))
        send_out(cmd->client, o);
    vici_out_free(o);
}

// ---- packets

static int event_by_name(const char *name)
{
    for (int i = 0; i < VICI_EV_COUNT; i++) {
        if (strcmp(event_names[i], name) == 0)
            return i;
    }
    return -1;
}

static void listeners_changed(const struct server *s)
{
    if (s->ops->listeners)
        s->ops->listeners(s->ctx);
}

static void handle_event_packet(struct client *c, uint8_t type, const char *name)
{
    int ev = event_by_name(name);
    if (ev < 0) {
        send_plain(c, VICI_EVENT_UNKNOWN);
        return;
    }
    if (type == VICI_EVENT_REGISTER)
        c->events |= 1u << ev;
    else
        c->events &= ~(1u << ev);
    listeners_changed(c->server);
    send_plain(c, VICI_EVENT_CONFIRM);
}

static void handle_command(struct client *c, const char *name, const uint8_t *data, size_t len)
{
    struct server *s = c->server;
    struct esp_error err = {0};
    struct command *cmd = calloc(1, sizeof(*cmd));
    if (!cmd) {
        client_drop(c, "out of memory");
        return;
    }
    if (vici_msg_parse(&cmd->msg, data, len, &err) < 0) {
        free(cmd);
        if (err.code == -ENOMEM) {
            client_drop(c, "out of memory");
            return;
        }
        s->counts.bad_frames++;
        LOGF(CFG, 1, "VICI client %u, command %s: malformed message: %s", c->id, name, err.text);
        client_drop(c, "malformed message");
        return;
    }
    cmd->server = s;
    cmd->client = c;
    snprintf(cmd->name, sizeof(cmd->name), "%s", name);
    cmd->next = s->commands;
    s->commands = cmd;
    c->busy = cmd;
    s->counts.commands++;
    LOGF(CFG, 2, "VICI client %u: command %s", c->id, name);
    if (!s->ops->command(s->ctx, cmd)) {
        command_free(cmd);
        send_plain(c, VICI_CMD_UNKNOWN);
    }
}

// One whole frame's contents.
void server_frame(struct client *c, const uint8_t *data, size_t len)
{
    char name[VICI_MAX_NAME + 1];
    uint8_t type = data[0];
    size_t n = len > 1 ? data[1] : 0;
    if ((type != VICI_CMD_REQUEST && type != VICI_EVENT_REGISTER && type != VICI_EVENT_UNREGISTER) ||
        len < 2 || n == 0 || n > len - 2 || memchr(data + 2, 0, n)) {
        c->server->counts.bad_frames++;
        client_drop(c, "malformed packet");
        return;
    }
    memcpy(name, data + 2, n);
    name[n] = 0;
    if (type == VICI_CMD_REQUEST)
        handle_command(c, name, data + 2 + n, len - 2 - n);
    else if (n + 2 == len)
        handle_event_packet(c, type, name);
    else
        client_drop(c, "malformed packet");
}

// ---- life

void server_resume(struct command *cmd)
{
    void (*fn)(struct command *) = cmd->resume;
    cmd->resume = NULL;
    fn(cmd);
}

// A command that waited for its client to read ends without it.
static struct command *waits_for_nobody(const struct server *s)
{
    struct command *cmd = s->commands;
    while (cmd && (cmd->client || !cmd->resume))
        cmd = cmd->next;
    return cmd;
}

static void reap(struct timer *t)
{
    struct server *s = t->ctx;
    for (struct command *cmd; (cmd = waits_for_nobody(s)) != NULL;)
        server_resume(cmd);
    for (struct client *c = s->clients, *next; c; c = next) {
        next = c->next;
        if (c->gone)
            client_free(c);
    }
    listeners_changed(s);
}

static void listen_again(struct timer *t)
{
    struct server *s = t->ctx;
    s->listener.events = EPOLLIN;
    loop_modify(s->loop, &s->listener);
}

// Whoever waits keeps the socket readable: without this the loop would turn until there is room.
static void pause_listening(struct server *s, int why)
{
    LOGF(CFG, 0, "VICI client has to wait: %s", strerror(why));
    s->listener.events = 0;
    loop_modify(s->loop, &s->listener);
    timer_set(s->loop, &s->again, loop_now(s->loop) + SERVER_AGAIN_MS);
}

// All who were ever given the socket can shut it down: the loop would turn for ever.
static void stop_unheard(struct server *s)
{
    server_stop(s);
    if (s->ops->unheard)
        s->ops->unheard(s->ctx);
}

static void on_accept(struct loop_fd *f, uint32_t events)
{
    struct server *s = f->ctx;
    struct ucred peer;
    socklen_t len = sizeof(peer);
    int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (events & EPOLLHUP)
            stop_unheard(s);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_listening(s, errno);
        return;
    }
    int r = server_adopt(s, fd);
    if (r) {
        LOGF(CFG, 0, "VICI client refused: %s", r == -EMFILE ? "too many clients" : strerror(-r));
        close(fd);
    } else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0) {
        LOGF(CFG, 1, "VICI client %u connected: pid %d, uid %u, gid %u", s->next_id, peer.pid, peer.uid,
             peer.gid);
    } else {
        LOGF(CFG, 2, "VICI client %u connected over TCP", s->next_id);
    }
}

struct server *server_new(struct loop *l, const struct server_ops *ops, void *ctx)
{
    struct server *s = calloc(1, sizeof(*s));
    if (s) {
        s->loop = l;
        s->ops = ops;
        s->ctx = ctx;
        s->listener.fd = -1;
        s->reaper = (struct timer){.fire = reap, .ctx = s};
        s->again = (struct timer){.fire = listen_again, .ctx = s};
    }
    return s;
}

int server_start(struct server *s, int fd)
{
    s->listener = (struct loop_fd){fd, EPOLLIN, on_accept, s};
    int r = loop_add(s->loop, &s->listener);
    if (r) {
        close(fd);
        return r;
    }
    s->listening = true;
    return 0;
}

void server_stop(struct server *s)
{
    if (!s->listening)
        return;
    timer_stop(s->loop, &s->again);
    loop_del(s->loop, &s->listener);
    close(s->listener.fd);
    s->listening = false;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    server_stop(s);
    for (struct command *cmd = s->commands; cmd; cmd = cmd->next)
        cmd->resume = NULL;
    for (struct client *c = s->clients; c; c = c->next)
        client_drop(c, NULL);
    reap(&s->reaper);
    timer_stop(s->loop, &s->reaper);
    for (struct command *cmd = s->commands, *next; cmd; cmd = next) {
        next = cmd->next;
        command_free(cmd);
    }
    free(s);
}

struct server_counts server_counts(const struct server *s)
{
    return s->counts;
}
