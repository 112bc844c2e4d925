// SPDX-License-Identifier: Apache-2.0
// The supervisor's loop: signals, the channels to the rooms, and the way down. On SIGTERM `ike` says goodbye
// to its peers first, then the others end; all of it within two seconds. A room that dies unasked takes the
// daemon down, with exit status 1: what policy protects stays blocked by what `path` has put into the kernel.
// All may die (room_comes_again): what has not died goes on, and it is started again, later each time that it
// dies. Its neighbours are handed the other ends of its new channels. The sockets that they serve are ours,
// so that whoever asks meanwhile waits.
//
// The second life of `path`. The TUN and the sockets are ours too: what comes meanwhile waits in them, and
// what it has put into the kernel keeps closed. Its traffic keys are gone, and no SA of its goes on. The next
// one reads nothing before `ike` has given it all policies (PATH_OPEN); then `ike` makes each CHILD SA anew
// on the IKE SA that lives on (ctrl/ike/path_again.h). One that dies again and again is not for ever started:
// then the daemon ends, closed. So it does where the TUN itself is gone.
//
// The second life of `ike`. What it had of the configuration `ctl` gives to the next one (ctrl/ctl/replay.h)
// and says when that is all of it (WHOLE); until then there is one copy, and `ctl` may not die. `keys`
// forgets what it held for it, and tells of its private keys again. IKE SAs are gone, as their keys are;
// their CHILD SAs stay in `path` and carry traffic (ctrl/path/survivors.c): `path` asks for each loaded
// policy that has one, so that the next `ike` makes a new IKE SA, with INITIAL_CONTACT, and when the new
// CHILD SA is in place the old one ends. Numbers of SAs and policies go on in another range (ike_follow), as
// `path` has those of the last life still.
//
// The second life of `keys`. The shared secrets and private keys are in a memory file that we hold for it and
// map nowhere, and that nobody else is given (ctrl/keys/secrets_file.h): the next one reads them before it is
// READY. SK_d of the IKE SAs is gone for good, and with it all that could be made of them: no CHILD SA could
// be rekeyed, no proof checked. So `ike` is ended with it, as soon as we hear of its death, and comes behind
// it, as above: what `ctl` loads meanwhile waits, CHILD SAs go on, and each IKE SA is made anew before the
// CHILD SAs of the old one end. Where `ctl` cannot give `ike` what that had, the daemon ends.
#include "ctrl/super/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/log.h"
#include "ctrl/super/again.h"
#include "ctrl/super/children.h"
#include "ctrl/super/files.h"
#include "ctrl/super/filter.h"
#include "ctrl/super/rights.h"
#include "ctrl/super/watchdog.h"

enum {
    START_MS = 30000,  // for all rooms to be ready
    GOODBYE_MS = 1200, // from the signal: for ike's DELETEs
    END_MS = 1800,     // and for everything
    PATH_DEATHS = 6,   // in a row, none of them after a minute's life: with the next one the daemon ends
    EXIT_MISSING = 3,  // of a room: what it cannot do without is not there
};

enum phase { STARTING, SERVING, GOODBYE, ENDING };

struct super {
    struct loop *loop;
    const struct options *options;
    struct daemon_config *config;
    pid_t pid[ROOM_COUNT];
    struct remains left[ROOM_COUNT]; // of those that died
    struct ipc_chan *chan[ROOM_COUNT];
    bool ready[ROOM_COUNT];
    struct socket_set *sockets;
    struct again again[ROOM_COUNT];
    uint32_t lives[ROOM_COUNT]; // how often it was started again
    bool ctl_serves;            // it has all of the configuration
    bool ike_whole;             // likewise
    bool keys_serves;           // it has all secrets
    struct timer start_again[ROOM_COUNT];
    struct watchdog watchdog;
    struct timer beat; // of the watchdog
    struct loop_fd signals;
    struct timer timer;
    int announce; // where `ready` is written
    enum phase phase;
    uint64_t ending_since;
    bool failed_start; // it ends before it was ready
    int status;
};

static void sink(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                 const char *text)
{
    struct msg_LOG m = {.room = ROOM_SUPER, .subsys = (uint8_t)s, .level = (uint8_t)level, .ike_id = ike_id};
    snprintf(m.ike_name, sizeof(m.ike_name), "%s", ike_name);
    snprintf(m.text, sizeof(m.text), "%s", text);
    struct super *super = ctx;
    ipc_send(super->chan[ROOM_CTL], MSG_LOG, &m);
}

static void tell(struct super *s, enum room room, bool soon)
{
    if (s->pid[room] > 0)
        ipc_send(s->chan[room], MSG_SHUTDOWN,
                 &(struct msg_SHUTDOWN){.soon = soon, .orderly = s->status == 0});
}

static void end_rest(struct super *s)
{
    s->phase = ENDING;
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        if (r != ROOM_IKE)
            tell(s, (enum room)r, false);
    }
    sockets_end_vici(s->sockets);
    timer_set(s->loop, &s->timer, s->ending_since + END_MS);
}

static void begin_end(struct super *s, int status)
{
    if (s->phase >= GOODBYE)
        return;
    s->status = status;
    s->failed_start = s->phase == STARTING;
    s->phase = GOODBYE;
    s->ending_since = loop_now(s->loop);
    notify_send("STOPPING=1");
    for (int r = 0; r < ROOM_COUNT; r++)
        timer_stop(s->loop, &s->start_again[r]);
    timer_stop(s->loop, &s->beat);
    timer_set(s->loop, &s->timer, s->ending_since + GOODBYE_MS);
    tell(s, ROOM_PATH, true); // before any SA ends: what it keeps closed stays so
    tell(s, ROOM_IKE, false);
    if (s->pid[ROOM_IKE] <= 0)
        end_rest(s);
}

static void kill_all(struct super *s)
{
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        if (s->pid[r] <= 0)
            continue;
        LOGF(DMN, 0, "%s does not end, killed", room_name((enum room)r));
        kill(s->pid[r], SIGKILL);
        s->status = s->status ? s->status : 1;
    }
}

static void start_overdue(struct super *s)
{
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        if (!s->ready[r] && room_is_wanted((enum room)r, &s->config->settings))
            LOGF(DMN, 0, "%s is not ready after %d s", room_name((enum room)r), START_MS / 1000);
    }
    begin_end(s, 1);
}

static void on_timer(struct timer *t)
{
    struct super *s = t->ctx;
    if (s->phase == STARTING)
        start_overdue(s);
    else if (s->phase == GOODBYE)
        end_rest(s);
    else
        kill_all(s);
}

static bool any_left(const struct super *s)
{
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        if (s->pid[r] > 0)
            return true;
    }
    return false;
}

// Of ctl and ike one has what the other needs; ike goes with keys.
static bool may_come_again(const struct super *s, enum room room)
{
    bool other = room == ROOM_CTL                        ? s->ike_whole
                 : room == ROOM_IKE || room == ROOM_KEYS ? s->ctl_serves
                                                         : true;
    return s->phase == SERVING && room_comes_again(room) && other;
}

// code: its exit status, -1: it was killed.
static bool is_given_up(const struct super *s, enum room room, int code)
{
    bool often = again_deaths(&s->again[room], loop_now(s->loop)) >= PATH_DEATHS;
    if (room != ROOM_PATH || s->phase != SERVING || !(often || code == EXIT_MISSING))
        return false;
    if (often)
        LOGF(DMN, 0, "path has died %d times in a row and is not started again: the daemon ends, closed",
             PATH_DEATHS + 1);
    return true;
}

static void tell_dead(struct super *s, enum room dead, enum room to)
{
    ipc_send(s->chan[to], MSG_ROOM_PID, &(struct msg_ROOM_PID){.room = (uint8_t)dead});
}

static void come_again(struct super *s, enum room room)
{
    if (room == ROOM_CTL)
        s->ctl_serves = false;
    if (room == ROOM_KEYS) {
        s->keys_serves = false;
        if (s->pid[ROOM_IKE] > 0)
            kill(s->pid[ROOM_IKE], SIGKILL);
    }
    if (room == ROOM_IKE || room == ROOM_KEYS)
        s->ike_whole = false;
    if (room == ROOM_IKE || room == ROOM_KEYS || room == ROOM_PATH)
        tell_dead(s, room, ROOM_CTL); // which knows so that it is not its channel alone that is gone
    if (room == ROOM_PATH) {
        tell_dead(s, room, ROOM_IKE);
        tell_dead(s, room, ROOM_KEYS);
    }
    uint64_t now = loop_now(s->loop), ms = again_after(&s->again[room], now);
    LOGF(DMN, 0, "%s is started again in %llu ms; the others go on", room_name(room), (unsigned long long)ms);
    timer_set(s->loop, &s->start_again[room], now + ms);
}

static const struct ipc_handler handler;

// Its neighbours hear of it by a new channel, in place of the one that its end has closed or will. One that
// cannot be handed out would be missed for ever. A neighbour that lies dead too gets its own when it comes.
static int join_again(struct super *s, enum room room, const struct channels *c)
{
    int own = c->fd[ROOM_SUPER][room], rc = 0;
    ipc_close(s->chan[room]);
    s->chan[room] = ipc_open(s->loop, own, ROOM_SUPER, room, &handler, s);
    if (!s->chan[room]) {
        rc = -errno;
        close(own);
    }
    for (int other = ROOM_COUNT - 1; other >= ROOM_CTL; other--) { // ctl comes last: by then the others know
        int sent = c->fd[other][room] < 0 ? 0 : ipc_send_channel(s->chan[other], room, c->fd[other][room]);
        rc = sent < 0 && s->chan[other] ? sent : rc;
    }
    return rc;
}

// Who shows what each process takes, or that it is there.
static void tell_pid(struct super *s, enum room of, enum room to)
{
    if (s->pid[of] > 0)
        ipc_send(s->chan[to], MSG_ROOM_PID,
                 &(struct msg_ROOM_PID){.room = (uint8_t)of, .pid = (uint32_t)s->pid[of]});
}

// Which may have waited for another room.
static void start_ike(struct super *s)
{
    if (s->phase == SERVING && s->pid[ROOM_IKE] <= 0 && !s->start_again[ROOM_IKE].armed)
        timer_set(s->loop, &s->start_again[ROOM_IKE], loop_now(s->loop));
}

static void start_again(struct timer *t)
{
    struct super *s = t->ctx;
    enum room room = (enum room)(t - s->start_again);
    struct channels c;
    struct esp_error err = {0};
    if (room == ROOM_IKE && (!s->keys_serves || s->pid[ROOM_PATH] <= 0)) // it comes behind them
        return;
    int rc = room == ROOM_CTL ? sockets_renew_vici(s->sockets, &s->config->settings, &err) : 0;
    if (rc >= 0)
        rc = children_start_again(room, s->lives[room] + 1, s->pid, s->left, &c, s->sockets, s->config, &err);
    if (rc < 0) {
        LOGF(DMN, 0, "%s: %s", err.field, err.text);
        come_again(s, room);
        return;
    }
    s->lives[room]++;
    again_started(&s->again[room], loop_now(s->loop));
    watchdog_joined(&s->watchdog, room);
    rc = join_again(s, room, &c);
    if (room == ROOM_PATH)
        start_ike(s);
    tell_pid(s, room, ROOM_CTL);
    if (room != ROOM_METRICS) // which was started with all of them
        tell_pid(s, room, ROOM_METRICS);
    if (rc < 0) {
        LOGF(DMN, 0, "%s: handing out its channels: %s", room_name(room), strerror(-rc));
        kill(s->pid[room], SIGKILL); // and once more
    }
}

// What it had not written of its log yet, and why it ended itself, where that was for a system call that is
// none of its.
static void hear_last_words(struct super *s, enum room room)
{
    struct remains *left = &s->left[room];
    char name[64];
    int call;
    if (left->log)
        log_rest(left->log);
    if (left->words >= 0 && read(left->words, &call, sizeof(call)) == sizeof(call))
        LOGF(DMN, 0, "%s was ended: the system call %s is not allowed to it (espalierd.seccomp)",
             room_name(room), filter_call_name(name, sizeof(name), call));
    remains_free(left);
}

static void room_ended(struct super *s, enum room room, int status)
{
    bool asked = s->phase >= GOODBYE;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    s->pid[room] = 0;
    hear_last_words(s, room);
    if (code < 0)
        LOGF(DMN, 0, "%s died of signal %d (%s)", room_name(room), WTERMSIG(status),
             strsignal(WTERMSIG(status)));
    else if (!asked || code)
        LOGF(DMN, 0, "%s ended %swith status %d", room_name(room), asked ? "" : "unasked ", code);
    if (code == FILTER_STATUS) // that is between the two
        code = EXIT_FAILURE;
    if (may_come_again(s, room) && !is_given_up(s, room, code)) {
        come_again(s, room);
        return;
    }
    if (!asked) // at the start a room says what it misses by its status; later on an end is a failure
        begin_end(s, s->phase == STARTING && code > 0 ? code : 1);
    else if (code > 1 && s->status == 1 && s->failed_start)
        s->status = code; // a room that only lost this one as its neighbour has ended first
    else if (code && s->status == 0)
        s->status = 1;
    if (room == ROOM_IKE && s->phase == GOODBYE)
        end_rest(s);
    if (!any_left(s))
        loop_stop(s->loop);
}

static void reap(struct super *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
            if (s->pid[r] == pid)
                room_ended(s, (enum room)r, status);
        }
    }
}

// ---- the service manager's watchdog

static void ask_all(struct super *s)
{
    s->watchdog.asked++;
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++)
        ipc_send(s->chan[r], MSG_PING, &(struct msg_PING){.number = s->watchdog.asked});
    timer_set(s->loop, &s->beat, loop_now(s->loop) + s->watchdog.every_ms);
}

// One that hangs and can be had again is ended here, so that the others go on. With any other it is the
// service manager that ends all, when its time is over.
static bool lives(struct super *s, enum room room)
{
    enum { MOST_MISSED = 2 };
    uint32_t ms;
    if (s->pid[room] <= 0 || watchdog_lives(&s->watchdog, room, &ms))
        return true;
    if (s->watchdog.missed[room] == MOST_MISSED) {
        bool again = may_come_again(s, room);
        LOGF(DMN, 0, "%s has not answered for %lu ms%s", room_name(room), (unsigned long)ms,
             again ? ", killed" : ": the service manager is told nothing more until it does");
        if (again)
            kill(s->pid[room], SIGKILL);
    }
    return false;
}

static void on_beat(struct timer *t)
{
    struct super *s = t->ctx;
    bool all = true;
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++)
        all &= lives(s, (enum room)r);
    if (all)
        notify_send("WATCHDOG=1");
    ask_all(s);
}

static void warn(const char *text)
{
    LOGF(CFG, 0, "warning: %s", text);
}

static int read_again(struct super *s, struct esp_error *err)
{
    struct daemon_config next;
    int r = config_build(&next, s->options, warn, err);
    if (r) {
        LOGF(CFG, 0, "settings not reloaded: %s: %s", err->field, err->text);
        return r;
    }
    settings_keep_fixed(&next.settings, &s->config->settings, warn);
    if (memcmp(next.log_level, s->config->log_level, sizeof(next.log_level)) != 0)
        LOGF(CFG, 0, "log levels take effect at the next start");
    if (strcmp(next.log_path, s->config->log_path) != 0 ||
        strcmp(next.log_time_format, s->config->log_time_format) != 0)
        LOGF(CFG, 0, "the log's path and time_format take effect at the next start");
    s->config->settings = next.settings;
    struct msg_SETTINGS m = {.settings = slice_of(&s->config->settings, sizeof(s->config->settings))};
    for (int room = ROOM_CTL; room < ROOM_COUNT; room++)
        ipc_send(s->chan[room], MSG_SETTINGS, &m);
    LOGF(CFG, 1, "settings reloaded");
    return 0;
}

// systemd waits for both where it asked for a reload itself (systemd.service(5), notify-reload).
static int reload(struct super *s, struct esp_error *err)
{
    struct timespec t = {0};
    char state[64];
    clock_gettime(CLOCK_MONOTONIC, &t);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
    if (s->phase == SERVING)
        notify_send(state);
    int rc = read_again(s, err);
    if (s->phase == SERVING)
        notify_send("READY=1");
    return rc;
}

static void on_signal(struct loop_fd *f, uint32_t events)
{
    struct super *s = f->ctx;
    struct signalfd_siginfo info;
    struct esp_error err;
    (void)events;
    while (read(f->fd, &info, sizeof(info)) == sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGCHLD: reap(s); break;
        case SIGHUP: reload(s, &err); break;
        default:
            // A second one changes nothing: the end comes within two seconds, and timeout(1) sends two.
            if (s->phase < GOODBYE)
                LOGF(DMN, 1, "signal %u, ending", info.ssi_signo);
            begin_end(s, 0);
        }
    }
}

static void room_ready_again(struct super *s, enum room from)
{
    if (from == ROOM_KEYS) {
        s->keys_serves = true;
        start_ike(s);
    }
    if (from == ROOM_CTL)
        ipc_send(s->chan[ROOM_CTL], MSG_GO, &(struct msg_GO){0});
    else if (from != ROOM_IKE && from != ROOM_PATH) // which have nothing yet
        LOGF(DMN, 1, "%s serves again", room_name(from));
}

static void room_ready(struct super *s, enum room from)
{
    s->ready[from] = true;
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        if (!s->ready[r] && room_is_wanted((enum room)r, &s->config->settings))
            return;
    }
    for (int r = ROOM_SUPER; r < ROOM_COUNT; r++)
        tell_pid(s, (enum room)r, ROOM_METRICS);
    ipc_send(s->chan[ROOM_CTL], MSG_GO, &(struct msg_GO){0});
}

static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    struct super *s = ctx;
    enum room from = ROOM_SUPER;
    struct esp_error err = {0};
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        if (s->chan[r] == c)
            from = (enum room)r;
    }
    if (t == MSG_READY && !s->ready[from]) {
        room_ready(s, from);
    } else if (t == MSG_READY && room_comes_again(from)) {
        room_ready_again(s, from);
    } else if (t == MSG_SERVING && from == ROOM_CTL && s->phase != STARTING) {
        s->ctl_serves = true;
        LOGF(DMN, 1, "%s serves again", room_name(from));
    } else if (t == MSG_WHOLE && from == ROOM_CTL && m->WHOLE.pid == (uint32_t)s->pid[ROOM_IKE]) {
        s->ike_whole = true;
        LOGF(DMN, 1, "%s serves again", room_name(ROOM_IKE));
    } else if (t == MSG_SERVING && from == ROOM_CTL) {
        s->ctl_serves = s->ike_whole = s->keys_serves = true;
        s->phase = SERVING;
        timer_stop(s->loop, &s->timer);
        log_announce(s->announce, "ready");
        notify_send("READY=1");
        if (s->watchdog.every_ms)
            ask_all(s);
    } else if (t == MSG_PONG) {
        watchdog_answer(&s->watchdog, from, m->PONG.number);
    } else if (t == MSG_SHUTDOWN_DONE) {
        if (from == ROOM_IKE && s->phase == GOODBYE)
            end_rest(s);
    } else if (t == MSG_RELOAD && from == ROOM_CTL) {
        int r = reload(s, &err);
        ipc_result(c, m->RELOAD.req, r == 0, "%s%s%s", err.field, r ? ": " : "", err.text);
    } else {
        LOGF(DMN, 0, "message %s from %s is not for the supervisor", msg_name(t), room_name(from));
    }
}

static void on_closed(void *ctx, struct ipc_chan *c)
{
    struct super *s = ctx;
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        if (s->chan[r] != c)
            continue;
        s->chan[r] = NULL;
        ipc_close(c);
        if (may_come_again(s, (enum room)r)) {
            if (s->pid[r] > 0) // its end, which is told by its pid, must come
                kill(s->pid[r], SIGKILL);
            return;
        }
        if (s->phase < GOODBYE && s->pid[r] > 0) { // it broke the channel and may still live
            LOGF(DMN, 0, "%s has closed its channel", room_name((enum room)r));
            reap(s);
            if (s->phase < GOODBYE)
                begin_end(s, 1);
        }
        return;
    }
}

static const struct ipc_handler handler = {on_message, on_closed};

static int watch(struct super *s, struct channels *c)
{
    sigset_t set;
    sigemptyset(&set);
    static const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        sigaddset(&set, wanted[i]);
    s->signals = (struct loop_fd){signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), EPOLLIN, on_signal, s};
    if (s->signals.fd < 0)
        return -errno;
    int rc = loop_add(s->loop, &s->signals);
    for (int r = ROOM_CTL; r < ROOM_COUNT && rc == 0; r++) {
        if (c->fd[ROOM_SUPER][r] < 0)
            continue;
        s->chan[r] = ipc_open(s->loop, c->fd[ROOM_SUPER][r], ROOM_SUPER, (enum room)r, &handler, s);
        if (s->chan[r])
            c->fd[ROOM_SUPER][r] = -1; // the channel's now
        else
            rc = -errno;
    }
    return rc;
}

// Everything that can be refused comes before there is a room.
static int set_up(struct super *s, struct esp_error *err)
{
    struct channels c;
    int rc = channels_open(&c, err);
    if (rc < 0)
        return rc;
    if (!room_is_wanted(ROOM_METRICS, &s->config->settings))
        channels_without(&c, ROOM_METRICS);
    s->loop = loop_new();
    rc = s->loop ? watch(s, &c) : -errno;
    if (rc < 0)
        esp_fail(err, rc, "the supervisor's loop", "%s", strerror(-rc));
    else
        rc = children_start(s->pid, s->left, &c, s->sockets, s->config, err);
    channels_close(&c, ROOM_COUNT);
    return rc;
}

static void take_down(struct super *s)
{
    for (int room = ROOM_CTL; room < ROOM_COUNT; room++)
        remains_free(&s->left[room]);
    for (int room = ROOM_CTL; room < ROOM_COUNT; room++)
        ipc_close(s->chan[room]);
    if (s->signals.fd >= 0)
        close(s->signals.fd);
    loop_free(s->loop);
}

static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void tell_confinement(const struct settings *s)
{
    const char *why = rights_apart(s->uid_base);
    if (why)
        LOGF(DMN, 0, "all processes share one user: %s", why);
    else
        LOGF(DMN, 1, "each process has a user of its own, from %lu on",
             (unsigned long)rights_uid(s->uid_base, ROOM_CTL));
    if (!s->seccomp)
        LOGF(DMN, 0, "system calls of the processes are not limited: espalierd.seccomp = no");
    else if (!filter_is_there())
        LOGF(DMN, 0, "system calls of the processes are not limited: built with AddressSanitizer");
    if (!s->landlock)
        LOGF(DMN, 0, "files of the processes are not limited: espalierd.landlock = no");
    else if (filter_is_there() && !files_abi())
        LOGF(DMN, 0,
             "files of the processes are not limited: this kernel has no Landlock, or does not use it");
}

int supervise(const struct options *o, struct daemon_config *config, struct socket_set *sockets, int announce)
{
    struct esp_error err = {0};
    struct super s = {
        .options = o, .config = config, .announce = announce, .sockets = sockets, .signals.fd = -1};
    s.timer = (struct timer){.fire = on_timer, .ctx = &s};
    s.beat = (struct timer){.fire = on_beat, .ctx = &s};
    watchdog_init(&s.watchdog, getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    for (int r = 0; r < ROOM_COUNT; r++)
        s.start_again[r] = (struct timer){.fire = start_again, .ctx = &s};
    for (int r = 0; r < ROOM_COUNT; r++)
        s.left[r] = (struct remains){-1, NULL};
    block_signals();
    tell_confinement(&config->settings);
    if (set_up(&s, &err) < 0) {
        LOGF(DMN, 0, "%s: %s", err.field, err.text);
        take_down(&s);
        return 1;
    }
    log_set_sink(sink, &s);
    timer_set(s.loop, &s.timer, loop_now(s.loop) + START_MS);
    loop_run(s.loop);
    log_set_sink(NULL, NULL);
    take_down(&s);
    LOGF(DMN, 1, "ended with status %d", s.status);
    return s.status;
}
