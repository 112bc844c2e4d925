// SPDX-License-Identifier: Apache-2.0
// One whole daemon: the rooms in loops of their own, socket pairs between them, and the supervisor's part,
// which this file plays (as ctrl/super does it: a room that ends takes the others with it, ike says goodbye
// first). Rooms run in turns; between two turns the world goes on.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/ctl/configured.h"
#include "ctrl/fetch/fetch.h"
#include "ctrl/keys/secrets_file.h"
#include "ctrl/lib/log.h"
#include "ctrl/path/path.h"
#include "tests/world/world.h"

enum { GOODBYE_US = 1000000, TIMERS = 2000 };
#define CONN_SALT 0x5a17c0de0badcafeu // of all lives of an ike
static const enum room order[] = {ROOM_KEYS, ROOM_PATH, ROOM_IKE, ROOM_CTL};
static const char *const room_names[] = {"super", "ctl", "ike", "keys", "path", "fetch"};

// ---- seams: time, log, network

static uint64_t clock_us(void *ctx)
{
    struct daemon *d = ctx;
    return d->site->w->now + d->offset;
}

static void sink(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                 const char *text)
{
    const struct voice *v = ctx;
    struct site *site = v->site;
    if (v != &site->d.voice[ROOM_FETCH]) { // which comes and goes, and with it what it has dropped
        readers_line(&site->d, v->room, s, level, ike_name, ike_id, text);
        disk_line(site);
    }
    if (site->w->tail)
        world_say(site->w, "%c [%s] <%u> %s", site->letter, log_subsys_name(s), ike_id, text);
}

static int queue_take(struct queue *q, uint8_t *p, uint32_t cap)
{
    if (q->head == q->tail)
        return -EAGAIN;
    unsigned i = q->head++ % QUEUE_LEN;
    uint32_t n = q->slot[i].len;
    memcpy(p, q->slot[i].bytes, n < cap ? n : cap);
    return (int)n;
}

static int tun_read(const struct path_tun *t, uint8_t *p, uint32_t cap)
{
    return queue_take(&((struct site *)t->ctx)->d.tun, p, cap);
}

static int tun_write(const struct path_tun *t, const uint8_t *p, uint32_t len)
{
    struct site *s = t->ctx;
    if (!s->d.cut)
        gateway_in(s, IF_TUN, p, len);
    return (int)len;
}

static int send_many(void *ctx, struct mmsghdr *m, unsigned n)
{
    struct site *s = ctx;
    for (unsigned i = 0; i < n && !s->d.cut; i++)
        wire_send(s, m[i].msg_hdr.msg_iov->iov_base, (uint32_t)m[i].msg_hdr.msg_iov->iov_len);
    return (int)n;
}

// What waits is the whole packet; the kernel gives the datagram and tells the rest.
static void of_outer(const uint8_t *whole, uint32_t len, struct view *v, struct arrival *a)
{
    view_of(v, whole, len);
    *a = (struct arrival){
        .from.family = v->family, .to.family = v->family, .from_port = v->sport, .ttl = 64, .index = 1};
    a->ttl = whole[v->family == 6 ? 7 : 8];
    a->tos = v->family == 6 ? (uint8_t)(get16(whole) >> 4) : whole[1];
    memcpy(a->from.a, v->from, v->family == 6 ? 16 : 4);
    memcpy(a->to.a, v->to, v->family == 6 ? 16 : 4);
}

static void append(struct datagram *d, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, d->len++) {
        if (d->len < d->cap)
            d->p[d->len] = p[i];
        else if (d->len - d->cap < d->more_cap)
            d->more[d->len - d->cap] = p[i];
        else
            d->a.cut = true;
    }
}

// Linux puts datagrams of one flow together, of one length but for the last (UDP_GRO): in every other world.
static bool follows(const struct datagram *d, const struct arrival *a, uint32_t n, uint32_t first)
{
    return d->len % first == 0 && n <= first && d->len + n <= 65000 && d->len / first < 64 &&
           a->from_port == d->a.from_port && a->tos == d->a.tos && a->ttl == d->a.ttl &&
           !memcmp(&a->from, &d->a.from, sizeof(a->from)) && !memcmp(&a->to, &d->a.to, sizeof(a->to));
}

static uint32_t behind(const struct view *v, enum path_socket from)
{
    return from == PATH_ESP ? 0 : v->at + (from == PATH_ESP6 ? 0 : 8);
}

static bool receive_one(struct site *s, struct queue *q, enum path_socket from, struct datagram *d)
{
    bool together = (s->w->o.seed & 1) && (from == PATH_UDP || from == PATH_UDP6);
    uint32_t first = 0;
    struct arrival a;
    struct view v;
    d->len = d->segment = 0;
    while (q->head != q->tail) {
        const uint8_t *whole = q->slot[q->head % QUEUE_LEN].bytes;
        uint32_t len = q->slot[q->head % QUEUE_LEN].len;
        of_outer(whole, len, &v, &a);
        uint32_t at = behind(&v, from), n = len - at;
        if (first && (!together || !follows(d, &a, n, first)))
            break;
        if (first) {
            d->segment = first;
        } else {
            d->a = a;
            first = n;
        }
        append(d, whole + at, n);
        q->head++;
    }
    return first;
}

static int receive(void *ctx, enum path_socket from, struct datagram *d, unsigned n)
{
    struct site *s = ctx;
    struct queue *const q[PATH_SOCKETS] = {&s->d.udp, &s->d.udp6, &s->d.raw, &s->d.raw6};
    unsigned got = 0;
    while (q[from] && got < n && receive_one(s, q[from], from, &d[got]))
        got++;
    return got ? (int)got : -EAGAIN;
}

// A marked raw socket with a bypass policy of its own: neither our rules nor our blocks see it.
static int past(void *ctx, const uint8_t *p, uint32_t len)
{
    struct site *s = ctx;
    if (s->d.cut)
        return (int)len;
    TRACE(s->w, 6, check_id(p, len), "%c path lets id %lld past", s->letter, (long long)check_id(p, len));
    struct view v;
    if (view_of(&v, p, len) && (v.dst & 0xffff0000u) == s->lan)
        check_delivered(s, p, len, false);
    else
        wire_send(s, p, len);
    return (int)len;
}

static void ike_send(void *ctx, const struct net_path *path, struct slice d, bool marker)
{
    struct site *s = ctx;
    uint8_t p[PACKET_MAX];
    uint32_t front = marker && path->nat_t ? 4 : 0, n = (uint32_t)d.len + front + 8;
    if (s->d.cut || n + 40 > sizeof(p))
        return;
    uint8_t family = path->remote.family;
    uint32_t src = number_of(path->local.a, family);
    if (!path->local.family && !site_source(s, family, &src))
        return;
    uint32_t at = put_header(p, family, src, number_of(path->remote.a, family), IPPROTO_UDP, n);
    put16(p + at, path->nat_t ? 4500 : 500);
    put16(p + at + 2, path->remote_port);
    put16(p + at + 4, (uint16_t)n);
    put16(p + at + 6, 0);
    put32(p + at + 8, 0);
    memcpy(p + at + 8 + front, d.p, d.len);
    s->w->datagrams++;
    check_exchange(s->w, d);
    wire_send(s, p, n + at);
}

static bool source_for(void *ctx, const struct addr *remote, struct addr *local)
{
    uint32_t n;
    local->family = remote->family;
    if (!site_source(ctx, remote->family, &n))
        return false;
    put_address(local->a, remote->family, n);
    return true;
}

static bool can_send(void *ctx, const struct addr *local, const struct addr *remote)
{
    return local->family == remote->family &&
           site_has(ctx, local->family, number_of(local->a, local->family));
}

// ---- making one

void daemon_join(enum room a, enum room b, int fd[ROOM_COUNT][ROOM_COUNT])
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    fd[a][b] = pair[0];
    fd[b][a] = pair[1];
}

void daemon_hand_over(struct daemon *d, enum room to, enum room of, int fd)
{
    uint8_t b[64], control[CMSG_SPACE(sizeof(int))] = {0};
    struct writer w = writer_of(b, sizeof(b));
    const union msg m = {.CHANNEL = {.room = (uint8_t)of}};
    msg_write(&w, MSG_CHANNEL, &m);
    struct iovec io = {b, w.len};
    struct msghdr h = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    (void)!sendmsg(d->super[to], &h, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void attach(struct daemon *d, int fd[ROOM_COUNT][ROOM_COUNT])
{
    int rc = 0;
    for (int p = 0; p < ROOM_FETCH; p++) { // which web.c attaches
        if (p != ROOM_PATH)
            rc |= path_attach(d->path, (enum room)p, fd[ROOM_PATH][p]);
        if (p != ROOM_KEYS)
            rc |= keys_attach(d->keys, (enum room)p, fd[ROOM_KEYS][p]);
        if (p != ROOM_IKE)
            rc |= ike_attach(d->ike, (enum room)p, fd[ROOM_IKE][p]);
        if (p != ROOM_CTL)
            rc |= ctl_connect(d->ctl, (enum room)p, fd[ROOM_CTL][p]);
    }
    if (rc)
        abort();
}

// A process that finds no memory for a timer ends at once (abort), and here all would: there is room for
// them.
static void make_room_for_timers(struct loop *l)
{
    struct timer *t = calloc(TIMERS, sizeof(*t));
    for (int i = 0; t && i < TIMERS; i++)
        timer_set(l, &t[i], UINT64_MAX);
    for (int i = 0; t && i < TIMERS; i++)
        timer_stop(l, &t[i]);
    free(t);
}

void daemon_loop(struct daemon *d, enum room r)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = r};
    d->loop[r] = loop_new();
    d->log[r] = log_new();
    if (!d->loop[r] || !d->log[r])
        abort();
    make_room_for_timers(d->loop[r]);
    struct log *before = log_use(d->log[r]);
    log_set_output(-1);
    log_set_all(1);
    d->voice[r] = (struct voice){d->site, r};
    log_set_sink(sink, &d->voice[r]);
    log_use(before);
    loop_set_log(d->loop[r], d->log[r]);
    loop_set_clock(d->loop[r], (struct clock){clock_us, d});
    epoll_ctl(d->gate, EPOLL_CTL_ADD, loop_pollfd(d->loop[r]), &ev);
}

static void make_loops(struct daemon *d)
{
    d->gate = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        daemon_loop(d, order[i]);
}

static uint32_t lease(struct world *w)
{
    const struct plain *plain = w->o.plain;
    return !plain ? 16u << rng_below(&w->rng, 9) : plain->lease ? plain->lease : 64;
}

// By the seed alone, so that what the dice decide stays what it was. The smallest puts nearly every message
// but IKE_SA_INIT into fragments (RFC 7383).
static uint32_t fragment_size(const struct site *s)
{
    static const uint32_t sizes[] = {1280, 150, 576, 256};
    return s->w->o.plain ? sizes[0] : sizes[(s->w->o.seed + s->index) % 4];
}

// Both take tickets (RFC 5723), one of them, or neither; by the seed alone.
static bool resumes(const struct site *s)
{
    const struct plain *plain = s->w->o.plain;
    uint64_t n = (s->w->o.seed / 3) % 4;
    return plain ? plain->resume : n < 2 || (n == 2 && s->index == s->w->o.seed % 2);
}

static void make_settings(struct daemon *d)
{
    settings_default(&d->settings);
    snprintf(d->settings.card, sizeof(d->settings.card), "%s", d->site->card ? "auto" : "none");
    const char *leases = warriors_leases(d->site);
    snprintf(d->settings.pool_leases, sizeof(d->settings.pool_leases), "%s", leases ? leases : "");
    d->settings.lease_min = lease(d->site->w);
    d->settings.fragment_size = fragment_size(d->site);
    d->settings.session_resumption = resumes(d->site);
    if (d->site->w->short_retry) {
        d->settings.retransmit_timeout = 1.0;
        d->settings.retransmit_tries = 3;
    }
    snprintf(d->settings.vici_uri, sizeof(d->settings.vici_uri), "none");
    d->settings.port = 500;
    d->settings.port_nat_t = 4500;
    d->env = (struct child_env){.settings = &d->settings,
                                .sock_ike = -1,
                                .sock_ike_nat_t = -1,
                                .tun = -1,
                                .sock_esp_nat_t = -1,
                                .sock_esp = -1,
                                .sock_ah = -1,
                                .sock_ah6 = -1,
                                .sock_send = -1,
                                .sock_ike6 = -1,
                                .sock_ike6_nat_t = -1,
                                .sock_esp6_nat_t = -1,
                                .sock_esp6 = -1,
                                .sock_send6 = -1};
    memset(d->env.chan, -1, sizeof(d->env.chan));
}

static void make_queues(struct daemon *d)
{
    struct queue *all[] = {&d->tun, &d->udp, &d->raw, &d->udp6, &d->raw6};
    for (int i = 0; i < 5; i++) {
        if (!all[i]->slot)
            all[i]->slot = calloc(QUEUE_LEN, sizeof(*all[i]->slot));
        if (!all[i]->slot)
            abort();
        all[i]->head = all[i]->tail = 0;
    }
}

static void open_path(struct site *s)
{
    const struct path_net net = {.ctx = s,
                                 .tun = {.ctx = s, .fd = -1, .read = tun_read, .write = tun_write},
                                 .receive = receive,
                                 .send = send_many,
                                 .past = past};
    struct esp_error err = {0};
    struct log *before = log_use(s->d.log[ROOM_PATH]);
    if (path_open(s->d.path, &net, &err) < 0)
        world_fail(s->w, "start", "path of %c does not open: %s: %s", s->letter, err.field, err.text);
    log_use(before);
}

void daemon_start(struct site *s)
{
    struct daemon *d = &s->d;
    int fd[ROOM_COUNT][ROOM_COUNT];
    const struct net net = {s, ike_send, source_for, certs_wall, can_send, NULL};
    the_site = s;
    d->site = s;
    d->cut = false;
    d->generation++;
    d->pumping = false;
    d->started_at = s->w->now;
    d->frozen_until = d->scarce_until = 0;
    kept_scarce(s, false);
    TRACE(s->w, 1, s->index, "%c daemon starts", s->letter);
    for (int a = 0; a < ROOM_FETCH; a++) {
        for (int b = a + 1; b < ROOM_FETCH; b++)
            daemon_join((enum room)a, (enum room)b, fd);
        d->super[a] = a == ROOM_SUPER ? -1 : fd[ROOM_SUPER][a];
    }
    make_queues(d);
    make_settings(d);
    make_loops(d);
    d->path = path_new(d->loop[ROOM_PATH], &d->env);
    if (d->path && s->w->o.workers)
        path_set_workers(d->path, s->w->o.workers);
    d->keys = keys_new(d->loop[ROOM_KEYS]);
    d->secrets = secrets_file_new();
    d->ike = ike_new(d->loop[ROOM_IKE], &d->settings, &net);
    d->lives = d->path_lives = 0;
    d->env.life = 0;
    d->ctl = ctl_new(d->loop[ROOM_CTL], &d->settings);
    if (!d->path || !d->keys || !d->ike || !d->ctl || ctl_configure(d->ctl, configured_new()) < 0 ||
        keys_inherit(d->keys, dup(d->secrets)) < 0)
        abort();
    ike_follow(d->ike, 0, CONN_SALT);
    attach(d, fd);
    web_start(d);
    open_path(s);
    d->life = UP;
    operator_connect(s);
    daemon_wake(s);
}

// ---- ending one

static void free_room(struct daemon *d, enum room r)
{
    if (!d->loop[r])
        return;
    struct log *before = log_use(d->log[r]);
    d->voice[r].room = ROOM_SUPER; // its channels go
    switch (r) {
    case ROOM_CTL: ctl_free(d->ctl), d->ctl = NULL; break;
    case ROOM_IKE: ike_free(d->ike), d->ike = NULL; break;
    case ROOM_KEYS: keys_free(d->keys), d->keys = NULL; break;
    case ROOM_PATH: path_free(d->path), d->path = NULL; break;
    case ROOM_FETCH: fetch_free(d->fetch), d->fetch = NULL; break;
    default: break;
    }
    log_use(before);
    loop_free(d->loop[r]);
    log_free(d->log[r]);
    d->loop[r] = NULL;
    d->log[r] = NULL;
    if (d->super[r] >= 0)
        close(d->super[r]);
    d->super[r] = -1;
}

static void all_down(struct daemon *d)
{
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++)
        free_room(d, (enum room)r);
    if (d->gate > 0)
        close(d->gate);
    d->gate = -1;
    if (d->secrets >= 0)
        close(d->secrets);
    d->secrets = -1;
    kernel_model_tun_gone(d->site->kernel); // it was the supervisor's
    d->life = DOWN;
    TRACE(d->site->w, 2, d->site->index, "%c daemon is down", d->site->letter);
    operator_gone(d->site);
}

static void tell(struct daemon *d, enum room r, enum msg_type t, bool soon)
{
    uint8_t b[64];
    struct writer w = writer_of(b, sizeof(b));
    union msg m = {.SHUTDOWN = {.soon = soon, .orderly = true}};
    msg_write(&w, t, &m);
    if (d->super[r] >= 0)
        (void)!send(d->super[r], b, w.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void end_rest(struct daemon *d)
{
    d->life = ENDING;
    free_room(d, ROOM_CTL);
    free_room(d, ROOM_IKE);
    free_room(d, ROOM_KEYS);
    free_room(d, ROOM_FETCH);
    all_down(d); // path: in order, as SHUTDOWN has it
}

static void goodbye(struct daemon *d)
{
    d->life = GOODBYE;
    d->ends_at = d->site->w->now + GOODBYE_US;
    tell(d, ROOM_PATH, MSG_SHUTDOWN, true);
    if (d->ike)
        tell(d, ROOM_IKE, MSG_SHUTDOWN, false);
    else
        end_rest(d);
}

// ---- the second life of ike

static void tell_pid_to(struct daemon *d, enum room to, enum room of, uint32_t pid)
{
    uint8_t b[64];
    struct writer w = writer_of(b, sizeof(b));
    union msg m = {.ROOM_PID = {.room = (uint8_t)of, .pid = pid}};
    msg_write(&w, MSG_ROOM_PID, &m);
    (void)!send(d->super[to], b, w.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void tell_pid(struct daemon *d, enum room of, uint32_t pid)
{
    tell_pid_to(d, ROOM_CTL, of, pid);
}

static void ike_again(struct world *w, void *ctx, uint64_t generation)
{
    static const enum room peers[] = {ROOM_FETCH, ROOM_PATH, ROOM_KEYS, ROOM_CTL, ROOM_SUPER};
    struct site *s = ctx;
    struct daemon *d = &s->d;
    const struct net net = {s, ike_send, source_for, certs_wall, can_send, NULL};
    int fd[ROOM_COUNT][ROOM_COUNT];
    if (d->generation != generation || d->life != UP || d->ike || !d->keys || !d->path)
        return;
    TRACE(w, 6, d->lives, "%c ike starts again", s->letter);
    the_site = s;
    daemon_loop(d, ROOM_IKE);
    d->ike = ike_new(d->loop[ROOM_IKE], &d->settings, &net);
    if (!d->ike)
        abort();
    ike_follow(d->ike, ++d->lives, CONN_SALT);
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        if (peers[i] == ROOM_FETCH && !d->fetch)
            continue;
        daemon_join(ROOM_IKE, peers[i], fd);
        if (ike_attach(d->ike, peers[i], fd[ROOM_IKE][peers[i]]) < 0)
            abort();
        if (peers[i] != ROOM_SUPER)
            daemon_hand_over(d, peers[i], ROOM_IKE, fd[peers[i]][ROOM_IKE]);
    }
    d->super[ROOM_IKE] = fd[ROOM_SUPER][ROOM_IKE];
    tell_pid(d, ROOM_IKE, d->lives);
    daemon_wake(s);
}

static void ike_died(struct daemon *d)
{
    tell_pid(d, ROOM_IKE, 0);
    certs_gone(d->site); // what it has fetched; nothing else is loaded
    readers_room_died(d->site);
    disk_room_died(d->site);
    agenda_add(d->site->w, SECOND / 10, ike_again, d->site, d->generation);
}

// ---- the second life of keys, with which ike goes

static void keys_again(struct world *w, void *ctx, uint64_t generation)
{
    static const enum room peers[] = {ROOM_PATH, ROOM_IKE, ROOM_CTL, ROOM_SUPER};
    struct site *s = ctx;
    struct daemon *d = &s->d;
    int fd[ROOM_COUNT][ROOM_COUNT];
    if (d->generation != generation || d->life != UP || d->keys)
        return;
    TRACE(w, 6, d->lives, "%c keys starts again", s->letter);
    the_site = s;
    daemon_loop(d, ROOM_KEYS);
    d->keys = keys_new(d->loop[ROOM_KEYS]);
    if (!d->keys || keys_inherit(d->keys, dup(d->secrets)) < 0)
        abort();
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        daemon_join(ROOM_KEYS, peers[i], fd);
        if (keys_attach(d->keys, peers[i], fd[ROOM_KEYS][peers[i]]) < 0)
            abort();
        if (peers[i] == ROOM_IKE) // which is dead
            close(fd[ROOM_IKE][ROOM_KEYS]);
        else if (peers[i] != ROOM_SUPER)
            daemon_hand_over(d, peers[i], ROOM_KEYS, fd[peers[i]][ROOM_KEYS]);
    }
    d->super[ROOM_KEYS] = fd[ROOM_SUPER][ROOM_KEYS];
    tell_pid(d, ROOM_KEYS, 1);
    ike_again(w, s, generation);
    daemon_wake(s);
}

static void keys_died(struct daemon *d)
{
    tell_pid(d, ROOM_KEYS, 0);
    if (d->ike) {
        d->cut = true;
        free_room(d, ROOM_IKE);
        d->cut = false;
        tell_pid(d, ROOM_IKE, 0);
    }
    certs_gone(d->site); // what it has fetched; nothing else is loaded
    readers_room_died(d->site);
    disk_room_died(d->site);
    agenda_add(d->site->w, SECOND / 10, keys_again, d->site, d->generation);
}

// ---- the second life of path

static void path_again(struct world *w, void *ctx, uint64_t generation)
{
    static const enum room peers[] = {ROOM_KEYS, ROOM_IKE, ROOM_CTL, ROOM_SUPER};
    struct site *s = ctx;
    struct daemon *d = &s->d;
    int fd[ROOM_COUNT][ROOM_COUNT];
    if (d->generation != generation || d->life != UP || d->path)
        return;
    TRACE(w, 6, d->path_lives, "%c path starts again", s->letter);
    the_site = s;
    d->env.life = ++d->path_lives;
    daemon_loop(d, ROOM_PATH);
    d->path = path_new(d->loop[ROOM_PATH], &d->env);
    if (!d->path)
        abort();
    if (w->o.workers)
        path_set_workers(d->path, w->o.workers);
    for (unsigned i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        daemon_join(ROOM_PATH, peers[i], fd);
        if (path_attach(d->path, peers[i], fd[ROOM_PATH][peers[i]]) < 0)
            abort();
        if (peers[i] == ROOM_SUPER)
            d->super[ROOM_PATH] = fd[ROOM_SUPER][ROOM_PATH];
        else if (d->loop[peers[i]])
            daemon_hand_over(d, peers[i], ROOM_PATH, fd[peers[i]][ROOM_PATH]);
        else
            close(fd[peers[i]][ROOM_PATH]); // it lies dead, and gets its own
    }
    open_path(s);
    tell_pid(d, ROOM_PATH, d->path_lives);
    ike_again(w, s, generation); // which may have waited for it
    daemon_wake(s);
}

static void path_died(struct daemon *d)
{
    static const enum room told[] = {ROOM_CTL, ROOM_IKE, ROOM_KEYS};
    for (unsigned i = 0; i < sizeof(told) / sizeof(told[0]); i++)
        if (d->loop[told[i]])
            tell_pid_to(d, told[i], ROOM_PATH, 0);
    readers_room_died(d->site);
    disk_room_died(d->site);
    agenda_add(d->site->w, SECOND / 10, path_again, d->site, d->generation);
}

// Without fetch the others go on, without path too, and without ike or keys while there is a ctl.
static void gone(struct daemon *d, enum room r)
{
    if (r == ROOM_FETCH)
        web_died(d);
    else if (r == ROOM_IKE && d->ctl)
        ike_died(d);
    else if (r == ROOM_KEYS && d->ctl)
        keys_died(d);
    else if (r == ROOM_PATH)
        path_died(d);
    else
        goodbye(d);
}

void daemon_stop(struct site *s)
{
    if (s->d.life != UP)
        return;
    TRACE(s->w, 3, s->index, "%c SIGTERM", s->letter);
    goodbye(&s->d);
    daemon_wake(s);
}

void daemon_kill(struct site *s, int room)
{
    struct daemon *d = &s->d;
    if (d->life == DOWN)
        return;
    the_site = s;
    TRACE(s->w, 4, room, "%c SIGKILL %s", s->letter, room == ROOM_SUPER ? "all" : room_names[room]);
    if (room == ROOM_SUPER) {
        d->cut = true;
        all_down(d);
    } else if (d->loop[room]) {
        d->cut = true; // its own last acts do not happen
        free_room(d, (enum room)room);
        d->cut = false;
        if (d->life == UP)
            gone(d, (enum room)room);
        daemon_wake(s);
    }
}

// SIGSTOP, or a machine that has other things to do. Its sockets keep what comes for it (network.c for
// IKE's).
void daemon_freeze(struct site *s, uint64_t for_us)
{
    if (s->d.life == DOWN)
        return;
    TRACE(s->w, 7, for_us, "%c gets no processor for %.1f s", s->letter, (double)for_us / 1e6);
    s->d.frozen_until = s->w->now + for_us;
}

void daemon_free(struct site *s)
{
    struct queue *all[] = {&s->d.tun, &s->d.udp, &s->d.raw, &s->d.udp6, &s->d.raw6};
    daemon_kill(s, ROOM_SUPER);
    for (int i = 0; i < 5; i++)
        free(all[i]->slot);
}

// ---- running

static void from_room(struct daemon *d, enum room r)
{
    static uint8_t b[IPC_MAX_MESSAGE];
    union msg m;
    ssize_t n;
    while (d->super[r] >= 0 && (n = recv(d->super[r], b, sizeof(b), MSG_DONTWAIT)) > 0) {
        enum msg_type t = msg_read(slice_of(b, (size_t)n), &m);
        if (t == MSG_SHUTDOWN_DONE && r == ROOM_IKE && d->life == GOODBYE) {
            end_rest(d);
            return;
        }
    }
}

static bool step(struct daemon *d, enum room r)
{
    if (!d->loop[r])
        return false;
    the_site = d->site;
    unsigned memory = memory_of(d->site);
    bool did = loop_step(d->loop[r]);
    memory_as(memory);
    if (loop_stopped(d->loop[r]) && d->life == UP) {
        TRACE(d->site->w, 5, r, "%c %s ends unasked", d->site->letter, room_names[r]);
        free_room(d, r);
        gone(d, r);
    }
    return did;
}

static unsigned taken(const struct daemon *d)
{
    return d->tun.head + d->udp.head + d->raw.head + d->udp6.head + d->raw6.head;
}

static bool packets_wait(const struct daemon *d)
{
    return taken(d) != d->tun.tail + d->udp.tail + d->raw.tail + d->udp6.tail + d->raw6.tail;
}

// One turn of every room that has something to do. False: all rest.
static bool turn(struct daemon *d)
{
    struct epoll_event ev[ROOM_COUNT];
    bool did = false;
    if (d->path && packets_wait(d)) {
        unsigned before = taken(d);
        the_site = d->site;
        struct log *log = log_use(d->log[ROOM_PATH]);
        unsigned memory = memory_of(d->site);
        path_arrived(d->path);
        memory_as(memory);
        log_use(log);
        step(d, ROOM_PATH);
        did = before != taken(d);
    }
    int n = d->gate >= 0 ? epoll_wait(d->gate, ev, ROOM_COUNT, 0) : 0;
    for (int i = 0; i < n && d->life != DOWN; i++)
        did |= step(d, (enum room)ev[i].data.u32);
    if (d->life != DOWN && n > 0) {
        from_room(d, ROOM_IKE);
        if (d->life != DOWN)
            operator_read(d->site);
    }
    return did;
}

static void pump(struct world *w, void *ctx, uint64_t generation)
{
    struct site *s = ctx;
    struct daemon *d = &s->d;
    if (d->generation != generation || d->life == DOWN)
        return;
    if (w->now < d->frozen_until) {
        agenda_add(w, d->frozen_until - w->now, pump, s, generation);
        return;
    }
    d->pumping = false;
    if (turn(d) && d->life != DOWN && !w->failed)
        daemon_wake(s);
}

// Soon, but not at once: what happens meanwhile happens between two messages of the rooms.
void daemon_wake(struct site *s)
{
    struct daemon *d = &s->d;
    if (d->pumping || d->life == DOWN)
        return;
    d->pumping = true;
    agenda_add(s->w, rng_between(&s->w->rng, 5, 120), pump, s, d->generation);
}

uint64_t daemon_next_timer(struct site *s)
{
    struct daemon *d = &s->d;
    uint64_t best = d->life == GOODBYE ? d->ends_at : UINT64_MAX;
    for (int r = ROOM_CTL; r < ROOM_COUNT && d->life != DOWN; r++) {
        uint64_t at = d->loop[r] ? loop_next_timer(d->loop[r]) : UINT64_MAX;
        at = at == UINT64_MAX ? at : at * 1000 < d->offset ? 0 : at * 1000 - d->offset;
        best = at < best ? at : best;
    }
    return best == UINT64_MAX || best > d->frozen_until ? best : d->frozen_until;
}

void daemon_run_timers(struct site *s)
{
    struct daemon *d = &s->d;
    for (int r = ROOM_CTL; r < ROOM_COUNT; r++) {
        uint64_t at = d->loop[r] ? loop_next_timer(d->loop[r]) : UINT64_MAX;
        if (at != UINT64_MAX && at * 1000 <= s->w->now + d->offset)
            step(d, (enum room)r);
    }
    if (d->life == GOODBYE && d->ends_at <= s->w->now)
        end_rest(d);
    if (d->life != DOWN)
        daemon_wake(s);
}
