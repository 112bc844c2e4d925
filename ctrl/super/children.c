// SPDX-License-Identifier: Apache-2.0
// One fork and exec per room. A child keeps standard error, its ends of the channels and the sockets of its
// job; everything else is closed. It dies with the supervisor, leaves no core dump, and cannot be traced by
// its own user.
#include "ctrl/super/children.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctrl/lib/log.h"
#include "ctrl/lib/log_journal.h"
#include "ctrl/lib/log_page.h"
#include "ctrl/super/files.h"
#include "ctrl/super/filter.h"
#include "ctrl/super/rights.h"

static int (*const mains[ROOM_COUNT])(const struct child_env *) = {
    [ROOM_CTL] = ctl_main,    [ROOM_IKE] = ike_main,     [ROOM_KEYS] = keys_main,
    [ROOM_PATH] = path_main,  [ROOM_FETCH] = fetch_main, [ROOM_METRICS] = metrics_main,
    [ROOM_FLEET] = fleet_main};

// fetch reads what strangers' servers say, and metrics what strangers ask: neither has a channel to where
// keys are, and metrics none but to ctl, as fleet, which hears what etcd says. a is the lower one.
static bool joined(int a, int b)
{
    if (b == ROOM_METRICS || b == ROOM_FLEET)
        return a == ROOM_SUPER || a == ROOM_CTL;
    return b != ROOM_FETCH || (a != ROOM_KEYS && a != ROOM_PATH);
}

static int join(struct channels *c, int a, int b, struct esp_error *err)
{
    int pair[2];
    if (!joined(a, b))
        return 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        int e = errno;
        channels_close(c, ROOM_COUNT);
        return esp_fail(err, -e, "channels", "%s", strerror(e));
    }
    c->fd[a][b] = pair[0];
    c->fd[b][a] = pair[1];
    return 0;
}

int channels_open(struct channels *c, struct esp_error *err)
{
    int rc = 0;
    memset(c->fd, -1, sizeof(c->fd));
    for (int a = 0; a < ROOM_COUNT && rc == 0; a++)
        for (int b = a + 1; b < ROOM_COUNT && rc == 0; b++)
            rc = join(c, a, b, err);
    return rc;
}

int channels_open_of(struct channels *c, enum room room, struct esp_error *err)
{
    int rc = 0;
    memset(c->fd, -1, sizeof(c->fd));
    for (int other = 0; other < ROOM_COUNT && rc == 0; other++)
        if (other != (int)room)
            rc = other < (int)room ? join(c, other, room, err) : join(c, room, other, err);
    return rc;
}

void channels_without(struct channels *c, enum room room)
{
    for (int other = 0; other < ROOM_COUNT; other++) {
        int *ends[] = {&c->fd[room][other], &c->fd[other][room]};
        for (int i = 0; i < 2; i++) {
            if (*ends[i] >= 0)
                close(*ends[i]);
            *ends[i] = -1;
        }
    }
}

void channels_close(struct channels *c, enum room keep)
{
    for (int a = 0; a < ROOM_COUNT; a++) {
        for (int b = 0; b < ROOM_COUNT; b++) {
            if (a != (int)keep && c->fd[a][b] >= 0) {
                close(c->fd[a][b]);
                c->fd[a][b] = -1;
            }
        }
    }
}

struct child_env children_env(enum room room, const struct channels *c, const struct socket_set *s,
                              const struct settings *settings)
{
    struct child_env env = {.settings = settings,
                            .sock_ike = -1,
                            .sock_ike_nat_t = -1,
                            .tun = -1,
                            .sock_esp_nat_t = -1,
                            .sock_esp = -1,
                            .sock_send = -1,
                            .sock_ike6 = -1,
                            .sock_ike6_nat_t = -1,
                            .sock_esp6_nat_t = -1,
                            .sock_esp6 = -1,
                            .sock_send6 = -1,
                            .sock_ah = -1,
                            .sock_ah6 = -1,
                            .sock_metrics = -1,
                            .sock_vici = -1,
                            .kept = -1,
                            .configured = -1,
                            .secrets = -1,
                            .fence = -1,
                            .fleet_tls = -1,
                            .run_lock = s->run_lock,
                            .log_page = -1};
    memcpy(env.chan, c->fd[room], sizeof(env.chan));
    for (size_t i = 0; i < SETTINGS_MAX_WORKERS - 1; i++)
        env.more[i] = (struct worker_fds){-1, -1, -1};
    if (room == ROOM_IKE) {
        env.sock_ike = s->ike;
        env.sock_ike_nat_t = s->ike_nat_t;
        env.sock_ike6 = s->ike6;
        env.sock_ike6_nat_t = s->ike6_nat_t;
        env.conn_salt = s->conn_salt;
    }
    if (room == ROOM_KEYS)
        env.secrets = s->secrets;
    if (room == ROOM_IKE || room == ROOM_PATH)
        env.fence = s->fence_read;
    if (room == ROOM_FLEET) {
        env.fence = s->fence;
        env.fleet_tls = s->fleet_tls;
    }
    if (room == ROOM_METRICS)
        env.sock_metrics = s->metrics;
    if (room == ROOM_CTL) {
        env.sock_vici = s->vici;
        env.kept = s->kept;
        env.configured = s->configured;
    }
    if (room == ROOM_PATH) {
        env.tun = s->tun;
        env.sock_esp_nat_t = s->esp_nat_t;
        env.sock_esp = s->esp;
        env.sock_send = s->send;
        env.sock_esp6_nat_t = s->esp6_nat_t;
        env.sock_esp6 = s->esp6;
        env.sock_send6 = s->send6;
        env.sock_ah = s->ah;
        env.sock_ah6 = s->ah6;
        for (unsigned i = 0; i + 1 < settings->workers; i++)
            env.more[i] = s->more[i];
    }
    return env;
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int close_from_to(unsigned from, unsigned to)
{
    return from > to || close_range(from, to, 0) == 0 ? 0 : -errno;
}

// What is kept, apart from the program's own descriptor, also outlives the exec.
static int close_all_but(const struct child_env *env, int program, int journal)
{
    int keep[ROOM_COUNT + 29 + 3 * SETTINGS_MAX_WORKERS] = {
        STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, ROOM_START_FD, FILTER_WORDS_FD, journal, program};
    size_t n = 7;
    for (int i = 0; i < ROOM_COUNT; i++)
        keep[n++] = env->chan[i];
    const int own[] = {env->sock_ike,        env->sock_ike_nat_t, env->tun,        env->sock_esp_nat_t,
                       env->sock_esp,        env->sock_send,      env->sock_ike6,  env->sock_ike6_nat_t,
                       env->sock_esp6_nat_t, env->sock_esp6,      env->sock_send6, env->sock_ah,
                       env->sock_ah6,        env->sock_metrics,   env->sock_vici,  env->kept,
                       env->configured,      env->secrets,        env->run_lock,   env->log_page,
                       env->fence,           env->fleet_tls};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        keep[n++] = own[i];
    for (size_t i = 0; i < SETTINGS_MAX_WORKERS - 1; i++) {
        keep[n++] = env->more[i].tun;
        keep[n++] = env->more[i].esp_nat_t;
        keep[n++] = env->more[i].esp6_nat_t;
    }
    qsort(keep, n, sizeof(keep[0]), by_number);
    unsigned from = 1; // standard input is kept
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (keep[i] < 0)
            continue;
        if (keep[i] > 0)
            rc = close_from_to(from, (unsigned)keep[i] - 1);
        from = (unsigned)keep[i] + 1;
        if (rc == 0 && keep[i] != program && fcntl(keep[i], F_SETFD, 0) < 0)
            rc = -errno;
    }
    return rc ? rc : close_from_to(from, ~0u);
}

// A terminal is the supervisor's to talk to.
static int drop_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return -errno;
    return 0;
}

// What it is left with of the supervisor's rights; what is refused here is refused for good.
static int confine(const struct room_start *start)
{
    const struct settings *s = &start->config.settings;
    int rc = rights_keep(start->room, s, start->apart, start->parent);
    if (rc < 0) {
        LOGF(DMN, 0, "rights cannot be taken off: %s", strerror(-rc));
        return rc;
    }
    rc = s->landlock && filter_is_there() ? files_limit(start->room, s) : 0;
    if (rc < 0) {
        LOGF(DMN, 0, "its files cannot be limited: %s (espalierd.landlock = no does without)", strerror(-rc));
        return rc;
    }
    rc = s->seccomp && filter_is_there() ? filter_load(start->room, s) : 0;
    if (rc < 0)
        LOGF(DMN, 0, "its system calls cannot be limited: %s (espalierd.seccomp = no does without)",
             strerror(-rc));
    return rc;
}

static void harden(pid_t parent)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ // the leak checker has to look at its own process
    prctl(PR_SET_DUMPABLE, 0);
#endif
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) // it went before the line above
        _exit(1);
}

static void child_signals(void)
{
    // A terminal sends its signals to the whole group; only the supervisor decides when a child ends.
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT};
    sigset_t none;
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void become_room(struct room_start *start, int program, int words)
{
    int rc = room_start_file(start);
    if (rc >= 0 && (dup2(rc, ROOM_START_FD) < 0 || dup2(words, FILTER_WORDS_FD) < 0))
        rc = -errno;
    if (rc >= 0)
        rc = drop_terminal();
    if (rc >= 0)
        rc = close_all_but(&start->env, program, start->config.log_journal ? LOG_JOURNAL_FD : -1);
    if (rc >= 0)
        rc = room_exec(program, start->room);
    LOGF(DMN, 0, "%s: executing the program again: %s", room_name(start->room), strerror(-rc));
    _exit(1);
}

// Without a page each line goes out by itself.
static void gather_log(const struct child_env *env)
{
    if (env->log_page < 0)
        return;
    log_gather(log_page_map(env->log_page));
    close(env->log_page);
}

int children_run(const struct room_start *start)
{
    harden(start->parent);
    child_signals();
    prctl(PR_SET_NAME, room_name(start->room));
    log_set_process(room_name(start->room));
    config_apply_log(&start->config);
    gather_log(&start->env);
    int rc = confine(start) < 0 ? EXIT_FAILURE : mains[start->room](&start->env);
    log_flush();
    return rc;
}

void remains_free(struct remains *r)
{
    if (r->words >= 0)
        close(r->words);
    log_page_unmap(r->log);
    *r = (struct remains){-1, NULL};
}

static int fork_room(struct room_start *start, int program, int words, pid_t *pid)
{
    pid_t p = fork();
    if (p == 0)
        become_room(start, program, words);
    if (p < 0)
        return -errno;
    *pid = p;
    return 0;
}

static int start_one(struct room_start *start, int program, pid_t *pid, struct remains *left,
                     struct esp_error *err)
{
    int ends[2], log = log_page_file();
    *left = (struct remains){-1, NULL};
    if (log >= 0)
        left->log = log_page_map(log);
    start->env.log_page = left->log ? log : -1;
    int rc = pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
    if (!rc) {
        left->words = ends[0];
        rc = fork_room(start, program, ends[1], pid);
        close(ends[1]);
    }
    if (log >= 0)
        close(log);
    if (!rc)
        return 0;
    remains_free(left);
    return esp_fail(err, rc, room_name(start->room), "starting the process: %s", strerror(-rc));
}

// What it holds, such as the TUN, is free when this returns.
static void end_at_once(pid_t *pid, struct remains *left)
{
    remains_free(left);
    kill(*pid, SIGKILL);
    while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *pid = 0;
}

int children_start(pid_t pid[ROOM_COUNT], struct remains left[ROOM_COUNT], struct channels *c,
                   const struct socket_set *s, const struct daemon_config *config, struct esp_error *err)
{
    static const enum room order[] = {ROOM_KEYS,  ROOM_PATH, ROOM_FETCH, ROOM_METRICS,
                                      ROOM_FLEET, ROOM_IKE,  ROOM_CTL};
    struct room_start start = {
        .parent = getpid(), .config = *config, .apart = !rights_apart(config->settings.uid_base)};
    int program = room_program(err), rc = program < 0 ? program : 0;
    memset(pid, 0, ROOM_COUNT * sizeof(*pid));
    for (int r = 0; r < ROOM_COUNT; r++)
        left[r] = (struct remains){-1, NULL};
    pid[ROOM_SUPER] = start.parent;
    for (size_t i = 0; rc == 0 && i < sizeof(order) / sizeof(order[0]); i++) {
        start.room = order[i];
        if (!room_is_wanted(start.room, &config->settings))
            continue;
        start.env = children_env(start.room, c, s, &config->settings);
        memcpy(start.env.pid, pid, sizeof(start.env.pid));
        rc = start_one(&start, program, &pid[start.room], &left[start.room], err);
        for (size_t k = 0; rc < 0 && k < i; k++)
            if (pid[order[k]])
                end_at_once(&pid[order[k]], &left[order[k]]);
    }
    if (program >= 0)
        close(program);
    if (rc == 0)
        channels_close(c, ROOM_SUPER);
    return rc;
}

int children_start_again(enum room room, uint32_t life, pid_t pid[ROOM_COUNT],
                         struct remains left[ROOM_COUNT], struct channels *c, const struct socket_set *s,
                         const struct daemon_config *config, struct esp_error *err)
{
    struct room_start start = {.parent = getpid(),
                               .room = room,
                               .config = *config,
                               .apart = !rights_apart(config->settings.uid_base)};
    int program = room_program(err), rc = program < 0 ? program : channels_open_of(c, room, err);
    if (rc == 0) {
        start.env = children_env(room, c, s, &config->settings);
        start.env.life = life;
        memcpy(start.env.pid, pid, sizeof(start.env.pid));
        rc = start_one(&start, program, &pid[room], &left[room], err);
        for (int other = 0; other < ROOM_COUNT; other++) {
            if (c->fd[room][other] >= 0)
                close(c->fd[room][other]);
            c->fd[room][other] = -1;
        }
        if (rc < 0)
            channels_close(c, ROOM_COUNT);
    }
    if (program >= 0)
        close(program);
    return rc;
}
