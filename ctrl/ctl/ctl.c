// SPDX-License-Identifier: Apache-2.0
// The ctl process: its loop, the channels to the other rooms, the questions under way, and what it does with
// the messages that nobody asked for (log lines, SAs that come and go).
#include "ctrl/ctl/ctl.h"
#include "ctrl/ctl/leases.h"
#include "ctrl/ctl/configured.h"
#include "ctrl/ctl/recover.h"
#include "ctrl/ctl/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctrl/lib/log.h"

static const char *const channels[ROOM_COUNT] = {[ROOM_IKE] = "the channel to ike",
                                                 [ROOM_KEYS] = "the channel to keys",
                                                 [ROOM_PATH] = "the channel to path"};

// ---- what the other rooms send unasked

static void say_who_listens(struct ctl *c, enum room room)
{
    if (c->chan[room] && ipc_may_send(ROOM_CTL, room, MSG_LISTEN))
        ipc_send(c->chan[room], MSG_LISTEN, &c->listen);
}

void ctl_listen(struct ctl *c)
{
    static const enum vici_event of_sas[] = {VICI_EV_IKE_UPDOWN, VICI_EV_IKE_REKEY, VICI_EV_CHILD_UPDOWN,
                                             VICI_EV_CHILD_REKEY, VICI_EV_IKE_UPDATE};
    struct msg_LISTEN m = {.logs = ctl_takes_logs(c), .alerts = server_wants(c->server, VICI_EV_ALERT)};
    for (unsigned i = 0; i < sizeof(of_sas) / sizeof(of_sas[0]); i++)
        m.events |= server_wants(c->server, of_sas[i]);
    if (m.logs == c->listen.logs && m.events == c->listen.events && m.alerts == c->listen.alerts)
        return;
    c->listen = m;
    for (int r = 0; r < ROOM_COUNT; r++)
        say_who_listens(c, (enum room)r);
}

static void listeners(void *ctx)
{
    ctl_listen(ctx);
    ctl_sweep_clients(ctx);
}

// ---- questions

static void unlink_pending(struct pending *p)
{
    struct ctl *c = p->ctl;
    for (struct pending **at = &c->pending; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            c->pending_count--;
            break;
        }
    }
    timer_stop(c->loop, &p->deadline);
    ctl_listen(c);
}

static void release(struct pending *p)
{
    if (p->data && p->free_data)
        p->free_data(p->data);
    free(p->changes);
    free(p);
}

// What ike has taken is there for the next one, too.
static void keep_changes(const struct pending *p)
{
    if (!p->ctl->configured) // alone: no ike follows another
        return;
    int rc = configured_take(p->ctl->configured, slice_of(p->changes, p->changes_len));
    if (rc < 0)
        LOGF(DMN, 0, "what was loaded will not be there again if ike dies: %s", strerror(-rc));
}

static void finish(struct pending *p, bool ok, const char *text)
{
    unlink_pending(p); // first: done may ask the next question
    if (ok && p->changes)
        keep_changes(p);
    p->done(p, ok, text);
    release(p);
}

static void on_deadline(struct timer *t)
{
    finish(t->ctx, false, "no answer in time");
}

struct pending *ctl_ask(struct ctl *c, struct command *cmd, uint64_t timeout_ms)
{
    struct pending *p = c->pending_count < CTL_MAX_PENDING ? calloc(1, sizeof(*p)) : NULL;
    if (!p) {
        if (cmd)
            server_reply_error(cmd, "%s",
                               c->pending_count < CTL_MAX_PENDING ? "out of memory"
                                                                  : "too many commands under way");
        return NULL;
    }
    p->ctl = c;
    p->cmd = cmd;
    p->control_level = -1;
    p->done = ctl_done_simple;
    p->deadline = (struct timer){.fire = on_deadline, .ctx = p};
    do { // a room that was slow may still answer an old question
        c->kept->last_req++;
    } while (c->kept->last_req == 0);
    p->req = c->kept->last_req;
    p->next = c->pending;
    c->pending = p;
    c->pending_count++;
    if (timeout_ms)
        timer_set(c->loop, &p->deadline, loop_now(c->loop) + timeout_ms);
    return p;
}

void ctl_drop(struct pending *p, const char *text)
{
    finish(p, false, text);
}

static bool note_changes(struct pending *p, enum msg_type t, const void *m)
{
    uint8_t *buf = malloc(IPC_MAX_MESSAGE);
    struct writer w = writer_of(buf, buf ? IPC_MAX_MESSAGE : 0);
    free(p->changes); // where it is asked again
    msg_write(&w, t, m);
    p->changes = w.bad ? NULL : realloc(buf, w.len);
    if (!p->changes)
        free(buf);
    p->changes_len = w.len;
    return p->changes != NULL;
}

static bool has_died(const struct ctl *c, enum room room)
{
    return c->died[room];
}

static const char *died_text(enum room room)
{
    return room == ROOM_IKE ? IKE_DIED : room == ROOM_KEYS ? KEYS_DIED : PATH_DIED;
}

// Or may have: nobody has told yet.
static bool is_away(const struct ctl *c, enum room room)
{
    return has_died(c, room) || (room == ROOM_IKE && c->replay.active) || c->deaf[room] ||
           (c->lost && !c->chan[room]);
}

void ctl_send(struct pending *p, enum room room, enum msg_type t, const void *m)
{
    struct ctl *c = p->ctl;
    p->room = room;
    p->held = p->ask_again && is_away(c, room);
    if (p->held)
        return;
    if (room == ROOM_IKE && configured_keeps(t) && !note_changes(p, t, m)) {
        finish(p, false, "out of memory");
        return;
    }
    int r = ipc_send(c->chan[room], t, m);
    if (r == -EMSGSIZE)
        finish(p, false, "too long");
    else if (r && p->ask_again && c->chan[room])
        p->held = c->deaf[room] = true;
    else if (r && has_died(c, room))
        finish(p, false, died_text(room));
    else if (r)
        finish(p, false, "the daemon is ending");
}

static struct pending *first_held(struct ctl *c, enum room room)
{
    struct pending *first = NULL;
    for (struct pending *p = c->pending; p; p = p->next) // the newest stands first
        first = p->held && p->room == room ? p : first;
    return first;
}

void ctl_ask_held(struct ctl *c, enum room room)
{
    for (struct pending *p; !is_away(c, room) && (p = first_held(c, room)) != NULL;) {
        p->held = false;
        p->ask_again(p);
    }
}

// It has died. What it was asked for waits for the next one, or fails.
static void is_gone(struct ctl *c, enum room room)
{
    struct pending *p = c->pending;
    if (room == ROOM_IKE)
        replay_end(c);
    while (p) {
        bool waits = p->held || (p->ask_again && !p->once), fails = p->room == room && !waits;
        p->held |= p->room == room && waits;
        struct pending *next = p->next;
        if (fails) {
            finish(p, false, died_text(room));
            next = c->pending; // others may have gone or come with it
        }
        p = next;
    }
}

void ctl_done_simple(struct pending *p, bool ok, const char *text)
{
    if (!p->cmd)
        return;
    if (ok)
        server_reply_ok(p->cmd);
    else
        server_reply_error(p->cmd, "%s", text[0] ? text : "failed");
}

static struct pending *find_pending(struct ctl *c, uint32_t req)
{
    for (struct pending *p = c->pending; p; p = p->next) {
        if (p->req == req)
            return p;
    }
    return NULL;
}

// ---- messages

static uint32_t answer_to(enum msg_type t, const union msg *m)
{
    switch (t) {
    case MSG_IKE_INFO: return m->IKE_INFO.req;
    case MSG_CHILD_INFO: return m->CHILD_INFO.req;
    case MSG_IKE_STATS_IS: return m->IKE_STATS_IS.req;
    case MSG_SECRET_IS: return m->SECRET_IS.req;
    case MSG_CONN_COUNTS: return m->CONN_COUNTS.req;
    case MSG_CHILD_COUNTS: return m->CHILD_COUNTS.req;
    case MSG_TRAFFIC: return m->TRAFFIC.req;
    case MSG_PATH_SA: return m->PATH_SA.req;
    case MSG_SURVIVOR_IS: return m->SURVIVOR_IS.req;
    case MSG_PATH_STATS_IS: return m->PATH_STATS_IS.req;
    case MSG_POLICY_IS: return m->POLICY_IS.req;
    case MSG_KEY_LOADED: return m->KEY_LOADED.req;
    case MSG_KEY_IS: return m->KEY_IS.req;
    case MSG_CERT_IS: return m->CERT_IS.req;
    case MSG_AUTHORITY_IS: return m->AUTHORITY_IS.req;
    case MSG_POOL_IS: return m->POOL_IS.req;
    case MSG_LEASE_IS: return m->LEASE_IS.req;
    case MSG_CONN_IS: return m->CONN_IS.req;
    default: return 0;
    }
}

static void on_log(struct ctl *c, const struct msg_LOG *m)
{
    ctl_log_event(c, m);
    ctl_control_log(c, m);
}

static void sink(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                 const char *text)
{
    struct msg_LOG m = {.room = ROOM_CTL, .subsys = (uint8_t)s, .level = (uint8_t)level, .ike_id = ike_id};
    snprintf(m.ike_name, sizeof(m.ike_name), "%s", ike_name);
    snprintf(m.text, sizeof(m.text), "%s", text);
    ctl_log_event(ctx, &m);
}

static void serve(struct ctl *c, const char *fault)
{
    int r = fault ? 0 : server_start(c->server, c->listener);
    if (!fault)
        c->listener = -1;
    if (fault || r < 0) {
        LOGF(CFG, 0, "VICI cannot be served: %s", fault ? fault : strerror(-r));
        c->status = c->chan[ROOM_IKE] != NULL; // without it the daemon ends
        loop_stop(c->loop);
        return;
    }
    c->serving = true;
    replay_recovered(c);
    LOGF(CFG, 1, "serving VICI at %s", c->settings.vici_uri);
    ctl_sweep_again(c);
    ipc_send(c->chan[ROOM_SUPER], MSG_SERVING, &(struct msg_SERVING){0});
}

static void shut_down(struct ctl *c)
{
    c->stopping = true;
    server_stop(c->server);
    ipc_send(c->chan[ROOM_SUPER], MSG_SHUTDOWN_DONE, &(struct msg_SHUTDOWN_DONE){.room = ROOM_CTL});
    loop_stop(c->loop);
}

static void on_closed(void *ctx, struct ipc_chan *chan);
static void lose(struct ctl *c, const char *what);

// That of another one may be.
static void no_loss(struct ctl *c, enum room room)
{
    if (!c->lost || c->lost != channels[room])
        return;
    c->lost = NULL;
    timer_stop(c->loop, &c->alone);
    for (int r = 0; r < ROOM_COUNT; r++)
        if (channels[r] && !c->chan[r] && !has_died(c, (enum room)r))
            lose(c, channels[r]);
}

// The supervisor makes another one: it is no loss of ours.
static void died(struct ctl *c, enum room room)
{
    c->died[room] = true;
    if (room == ROOM_IKE)
        replay_end(c); // what still comes by its channel makes it whole no more
    no_loss(c, room);
    if (!c->chan[room])
        is_gone(c, room);
}

// A room that died is there again.
static void connect_again(struct ctl *c, enum room room, int fd)
{
    if (!room_comes_again(room)) {
        close(fd);
        return;
    }
    if (channels[room] && c->chan[room])
        on_closed(c, c->chan[room]);
    else
        ipc_close(c->chan[room]);
    if (ctl_connect(c, room, fd) == 0)
        return;
    close(fd);
    if (room == ROOM_KEYS || room == ROOM_PATH) // which are not told
        lose(c, channels[room]);
}

// Which room goes by that number: of ike, behind its channel, that it is to be given what it had.
static void take_pid(struct ctl *c, const struct msg_ROOM_PID *m)
{
    if (m->room >= ROOM_COUNT)
        return;
    c->pid[m->room] = (pid_t)m->pid;
    if (!channels[m->room])
        return;
    if (!m->pid) {
        died(c, (enum room)m->room);
    } else if (m->room != ROOM_IKE) {
        c->died[m->room] = false;
        ctl_ask_held(c, (enum room)m->room);
        if (m->room == ROOM_PATH)
            ctl_sweep_again(c);
    } else if (c->chan[ROOM_IKE]) {
        replay_begin(c, m->pid);
    }
}

static void from_supervisor(struct ctl *c, enum msg_type t, const union msg *m)
{
    switch (t) {
    case MSG_CHANNEL: connect_again(c, (enum room)m->CHANNEL.room, ipc_take_fd(c->chan[ROOM_SUPER])); break;
    case MSG_GO: recover_begin(c, serve); break;
    case MSG_ROOM_PID: take_pid(c, &m->ROOM_PID); break;
    case MSG_SHUTDOWN: shut_down(c); break;
    case MSG_SETTINGS:
        if (m->SETTINGS.settings.len == sizeof(c->settings))
            memcpy(&c->settings, m->SETTINGS.settings.p, sizeof(c->settings));
        break;
    default: LOGF(DMN, 0, "unexpected message %s from the supervisor", msg_name(t));
    }
}

static void on_message(void *ctx, struct ipc_chan *chan, enum msg_type t, const union msg *m)
{
    struct ctl *c = ctx;
    uint32_t req = answer_to(t, m);
    struct pending *p;
    if (t == MSG_LOG) {
        on_log(c, &m->LOG);
    } else if (t == MSG_RESULT) {
        if ((p = find_pending(c, m->RESULT.req)))
            finish(p, m->RESULT.ok, m->RESULT.text);
    } else if (t == MSG_LIST_MORE) {
        if ((p = find_pending(c, m->LIST_MORE.req))) {
            p->more = m->LIST_MORE.next;
            finish(p, p->more != 0, "a page without a next one");
        }
    } else if (req) {
        if ((p = find_pending(c, req)) && p->message)
            p->message(p, t, m);
        if (p && t == MSG_KEY_LOADED) // the answer itself
            finish(p, true, "");
    } else if (chan == c->chan[ROOM_SUPER]) {
        from_supervisor(c, t, m);
    } else if (t == MSG_IKE_UPDOWN || t == MSG_CHILD_UPDOWN || t == MSG_IKE_REKEY || t == MSG_CHILD_REKEY ||
               t == MSG_IKE_MOVES || t == MSG_ALERT || t == MSG_IKE_INFO || t == MSG_CHILD_INFO) {
        ctl_updown(c, t, m);
    } else if (t == MSG_METRICS_LIST) {
        feed_ask(c, &m->METRICS_LIST);
    } else if (t == MSG_FLEET_CONN) {
        ctl_fleet_conn(c, &m->FLEET_CONN);
    } else if (t == MSG_FLEET_UNLOAD) {
        ctl_fleet_unload(c, &m->FLEET_UNLOAD);
    } else if (t == MSG_FLEET_LIST) {
        ctl_fleet_list(c, &m->FLEET_LIST);
    } else if (t == MSG_LEASE) {
        ctl_lease(c, &m->LEASE);
    } else {
        LOGF(DMN, 0, "unexpected message %s from %s", msg_name(t), ipc_peer(chan));
    }
}

// When nothing has come of it.
static void no_end_came(struct timer *t)
{
    struct ctl *c = t->ctx;
    LOGF(DMN, 0, "%s is lost to it: it ends, and the next one is given another", c->lost);
    loop_stop(c->loop);
}

// What the supervisor alone can give is gone. Where the daemon ends, everything goes, and we are told so
// within that time.
static void lose(struct ctl *c, const char *what)
{
    if (c->lost)
        return;
    c->lost = what;
    c->alone = (struct timer){.fire = no_end_came, .ctx = c};
    timer_set(c->loop, &c->alone, loop_now(c->loop) + CTL_ALONE_MS);
}

static void lose_listener(void *ctx)
{
    lose(ctx, "the socket that VICI is served at");
}

static void on_closed(void *ctx, struct ipc_chan *chan)
{
    struct ctl *c = ctx;
    for (int r = 0; r < ROOM_COUNT; r++) {
        if (c->chan[r] != chan)
            continue;
        c->chan[r] = NULL;
        c->deaf[r] = false;
        ipc_close(chan);
        if (r == ROOM_SUPER)
            loop_stop(c->loop);
        else if (has_died(c, (enum room)r))
            is_gone(c, (enum room)r);
        else if (channels[r])
            lose(c, channels[r]);
    }
}

// ---- life

int ctl_connect(struct ctl *c, enum room room, int fd)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    c->chan[room] = ipc_open(c->loop, fd, ROOM_CTL, room, &handler, c);
    if (!c->chan[room])
        return -errno;
    say_who_listens(c, room);
    return 0;
}

struct ctl *ctl_new(struct loop *l, const struct settings *settings)
{
    static const struct server_ops ops = {
        .command = ctl_command, .listeners = listeners, .dropped = ctl_sweep_cut, .unheard = lose_listener};
    struct ctl *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->loop = l;
    c->settings = *settings;
    c->listener = -1;
    c->server = server_new(l, &ops, c);
    struct ctl_kept *k = c->server ? kept_alone() : NULL;
    if (!k) {
        server_free(c->server);
        free(c);
        return NULL;
    }
    ctl_keep(c, k);
    return c;
}

void ctl_keep(struct ctl *c, struct ctl_kept *k)
{
    kept_free(c->kept);
    c->kept = k;
    c->follows = k->started != 0;
    if (!k->started) {
        k->started = time(NULL);
        k->started_ms = loop_now(c->loop);
    }
    k->half |= k->loading > 0 && !k->swept; // the last one went in the middle of it
    k->loading = 0;
    ctl_kept_counters(c);
}

int ctl_configure(struct ctl *c, int fd)
{
    struct configured *k = fd < 0 ? NULL : configured_open(fd);
    if (!k)
        return fd < 0 ? fd : -errno;
    configured_close(c->configured);
    c->configured = k;
    return 0;
}

void ctl_free(struct ctl *c)
{
    log_set_sink(NULL, NULL);
    for (struct pending *p; (p = c->pending) != NULL;) {
        c->pending = p->next;
        timer_stop(c->loop, &p->deadline);
        release(p);
    }
    timer_stop(c->loop, &c->recover.again);
    replay_end(c);
    timer_stop(c->loop, &c->alone);
    server_free(c->server);
    if (c->listener >= 0)
        close(c->listener);
    for (int r = 0; r < ROOM_COUNT; r++)
        ipc_close(c->chan[r]);
    ctl_free_conns(c);
    ctl_sweep_free(c);
    leases_close(c->leases);
    ctl_free_counters(c);
    kept_free(c->kept);
    configured_close(c->configured);
    free(c);
}

static int remember(struct ctl *c)
{
    char path[sizeof(c->settings.run_dir) + 16];
    snprintf(path, sizeof(path), "%s/connections", c->settings.run_dir);
    int r = ctl_sweep_open(c, path);
    if (r < 0)
        LOGF(DMN, 0, "%s: %s", path, strerror(-r));
    return r;
}

static int take_over(struct ctl *c, int fd)
{
    struct ctl_kept *k = kept_map(fd);
    if (!k) {
        LOGF(DMN, 0, "what is kept for it cannot be mapped: %s", strerror(errno));
        return -1;
    }
    ctl_keep(c, k);
    return 0;
}

static int take_configured(struct ctl *c, int fd)
{
    int r = ctl_configure(c, fd);
    if (r < 0)
        LOGF(DMN, 0, "what the last one was told cannot be read: %s", strerror(-r));
    return r;
}

int ctl_main(const struct child_env *env)
{
    struct loop *l = loop_new();
    struct ctl *c = l ? ctl_new(l, env->settings) : NULL;
    int status = 1;
    if (!c) {
        LOGF(DMN, 0, "it cannot be set up: %s", strerror(l ? ENOMEM : errno));
        loop_free(l);
        return status;
    }
    c->listener = env->sock_vici;
    if (take_over(c, env->kept) < 0 || take_configured(c, env->configured) < 0 || remember(c) < 0) {
        ctl_free(c);
        loop_free(l);
        return status;
    }
    memcpy(c->pid, env->pid, sizeof(c->pid));
    c->pid[ROOM_CTL] = getpid();
    int r = 0;
    for (int room = 0; room < ROOM_COUNT && r == 0; room++)
        r = env->chan[room] < 0 ? 0 : ctl_connect(c, (enum room)room, env->chan[room]);
    if (r == 0) {
        log_set_sink(sink, c);
        ipc_send(c->chan[ROOM_SUPER], MSG_READY, &(struct msg_READY){.room = ROOM_CTL});
        r = loop_run(l);
    }
    status = r < 0 ? 1 : c->status;
    if (r < 0)
        LOGF(DMN, 0, "event loop: %s", strerror(-r));
    ctl_free(c);
    loop_free(l);
    return status;
}
