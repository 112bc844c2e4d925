// SPDX-License-Identifier: Apache-2.0
// See path_rig.h.
#include "tests/unit/path_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct rig *catching;

int rig_catch(struct rig *r, struct mmsghdr *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct iovec *v = m[i].msg_hdr.msg_iov;
        assert_true(r->sent_count < RIG_SENT && v->iov_len <= sizeof(r->sent[0].bytes));
        memcpy(r->sent[r->sent_count].bytes, v->iov_base, v->iov_len);
        r->sent[r->sent_count++].len = (uint32_t)v->iov_len;
    }
    return (int)n;
}

static int catch_all(void *ctx, struct mmsghdr *m, unsigned n)
{
    (void)ctx;
    return rig_catch(catching, m, n);
}

static int catch_past(void *ctx, const uint8_t *p, uint32_t len)
{
    struct rig *r = catching;
    (void)ctx;
    if (r->past_rc < 0)
        return r->past_rc;
    assert_true(r->past_count < RIG_PAST && len <= sizeof(r->past[0].bytes));
    memcpy(r->past[r->past_count].bytes, p, len);
    r->past[r->past_count++].len = len;
    return (int)len;
}

static void message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx, (void)c, (void)t, (void)m;
}

static void closed(void *ctx, struct ipc_chan *c)
{
    (void)ctx, (void)c;
}

static enum msg_type take(int fd, uint8_t *buf, size_t size, union msg *m)
{
    ssize_t n = recv(fd, buf, size, MSG_DONTWAIT);
    return n > 0 ? msg_read(slice_of(buf, (size_t)n), m) : MSG_NONE;
}

static struct ipc_chan *channel(struct rig *r, int *ours, enum room peer)
{
    static const struct ipc_handler handler = {message, closed};
    int pair[2], size = 4 << 20;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    setsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    *ours = pair[0];
    return ipc_open(r->p->loop, pair[1], ROOM_PATH, peer, &handler, r->p);
}

static int udp(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static uint64_t rig_now_us(void *ctx)
{
    const struct rig *r = ctx;
    struct timespec ts;
    if (r->now_us)
        return r->now_us;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void rig_pass(struct rig *r, uint64_t ms)
{
    r->now_us = rig_now_us(r) + 1000 * ms;
    rig_turn(r);
}

static void open_worker(struct worker *w)
{
    struct esp_error err = {0};
    w->net = path_net_sockets(&w->sockets, w->env);
    w->net.send = catch_all;
    w->net.past = catch_past;
    assert_int_equal(io_open(w, &err), 0);
}

static void further_worker(struct rig *r, unsigned i)
{
    int tun[2];
    r->env_of[i] = r->env;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, tun), 0);
    r->tun_of[i] = tun[0];
    r->env_of[i].tun = tun[1];
    r->env_of[i].sock_esp_nat_t = r->env_of[i].sock_esp = -1;
    r->p->worker[i].env = &r->env_of[i];
}

static int up(void **state, unsigned workers, bool apart)
{
    struct rig *r = calloc(1, sizeof(*r));
    struct esp_error err = {0};
    int tun[2], raw[2];
    assert_non_null(r);
    *state = catching = r;
    r->now_us =
        rig_now_us(r); // and there it stays but for rig_pass: how long a test takes is nobody's business
    settings_default(&r->settings);
    r->settings.lease_min = 64;
    r->env.settings = &r->settings;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, tun), 0);
    r->tun = tun[0];
    r->env.tun = tun[1];
    r->env.sock_esp_nat_t = udp(&r->own_port);
    r->settings.port_nat_t = r->own_port;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, raw), 0);
    r->raw = raw[0];
    r->env.sock_esp = raw[1];
    r->env.sock_ah = r->env.sock_ah6 = -1;
    r->env.sock_send = r->env.sock_esp6 = r->env.sock_esp6_nat_t = r->env.sock_send6 = -1;
    r->udp = udp(&r->udp_port);
    r->p = calloc(1, sizeof(*r->p));
    assert_non_null(r->p);
    r->p->env = &r->env;
    r->p->set = r->settings;
    path_set_workers(r->p, workers);
    for (unsigned i = 1; i < workers; i++)
        further_worker(r, i);
    r->p->loop = loop_new();
    loop_set_clock(r->p->loop, (struct clock){rig_now_us, r});
    if (apart)
        assert_int_equal(crew_open(r->p, &err), 0);
    r->p->keys = channel(r, &r->keys, ROOM_KEYS);
    r->p->ike = channel(r, &r->ike, ROOM_IKE);
    r->p->ctl = channel(r, &r->ctl, ROOM_CTL);
    struct esp_engine **soft = &r->p->engines[PATH_SOFT].e;
    assert_int_equal(workers == 1 ? esp_soft_open(soft, &err) : esp_soft_open_queues(soft, workers, &err), 0);
    assert_int_equal(esp_soft_open(&r->peer, &err), 0);
    for (unsigned i = 0; i < workers; i++)
        open_worker(&r->p->worker[i]);
    const struct kset_options routes_too = {
        .routes = true, .rule_priority = 220, .own_mark = ESPALIER_SO_MARK};
    r->p->kernel = fake_kernel();
    assert_int_equal(kset_open(&r->p->kset, r->p->kernel, &routes_too, &err), 0);
    struct policy_spec net = rig_spec(1, "net", "10.1.0.0/16", "10.2.0.0/16");
    net.trap = 1;
    r->conn_peer = 1;
    rig_must_apply(r, "rig", &net, 1);
    fake_plug(NULL);
    fake_open_rc = 0;
    struct path_engine *en = &r->p->engines[PATH_CARD];
    snprintf(en->reason, sizeof(en->reason), "no card was found");
    return 0;
}

int rig_up(void **state)
{
    return up(state, 1, false);
}

int rig_up_two(void **state)
{
    return up(state, 2, false);
}

int rig_up_many(void **state)
{
    return up(state, PATH_WORKERS, false);
}

int rig_up_apart(void **state)
{
    return up(state, 3, true);
}

void rig_card(struct rig *r)
{
    fake_init(&r->card);
    fake_plug(&r->card);
    card_scan(r->p);
    assert_ptr_equal(path_card(r->p), &r->card.base);
}

static unsigned free_packets(const struct worker *w)
{
    unsigned n = 0;
    for (const struct packet *i = w->free; i; i = i->next)
        n++;
    return n;
}

void rig_gives_up(struct rig *r)
{
    for (unsigned i = 0; i < r->p->workers; i++)
        trapped_expire(&r->p->worker[i], UINT64_MAX);
}

int rig_down(void **state)
{
    struct rig *r = *state;
    struct path *p = r->p;
    r->card.hold_jobs = r->card.hold_events = false;
    crew_end(p);
    for (struct child *c = p->children, *next; c; c = next) {
        next = c->next;
        sadb_delete(p, c->c.child_id);
    }
    for (unsigned i = 0; i < p->workers; i++) {
        orphans_expire(&p->worker[i], UINT64_MAX);
        early_expire(&p->worker[i], UINT64_MAX);
    }
    rig_gives_up(r);
    rig_turn(r);
    assert_null(p->children);
    for (unsigned i = 0; i < p->workers; i++)
        assert_int_equal(free_packets(&p->worker[i]), PATH_JOBS);
    assert_int_equal(p->by_spi.count + p->by_id.count, 0);
    p->set.block_on_exit = false;
    policy_drop_all(p);
    kset_close(p->kset, false);
    assert_int_equal(p->spd.classes.rules, 0);
    if (path_card(p))
        path_card(p)->ops->destroy(path_card(p));
    path_soft(p)->ops->destroy(path_soft(p));
    r->peer->ops->destroy(r->peer);
    ipc_close(p->keys);
    ipc_close(p->ike);
    ipc_close(p->ctl);
    crew_close(p);
    loop_free(p->loop);
    for (unsigned i = 0; i < p->workers; i++)
        io_close(&p->worker[i]);
    for (unsigned i = 1; i < p->workers; i++) {
        close(r->tun_of[i]);
        close(r->env_of[i].tun);
    }
    hash_free(&p->by_spi);
    hash_free(&p->by_id);
    survivors_forget(p);
    free(p);
    const int fds[] = {r->tun, r->env.tun,     r->keys, r->ike, r->ctl, r->udp, r->env.sock_esp_nat_t,
                       r->raw, r->env.sock_esp};
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        close(fds[i]);
    free(r);
    return 0;
}

void rig_turn(struct rig *r)
{
    crew_stop(r->p);
    for (int i = 0; i < 6; i++) {
        loop_once(r->p->loop, 0);
        path_pump(r->p);
        sadb_retry(r->p);
        kernel_esp_turn(r->p);
    }
    for (unsigned i = 0; i < r->p->workers; i++) {
        orphans_expire(&r->p->worker[i], loop_now(r->p->loop));
        early_expire(&r->p->worker[i], loop_now(r->p->loop));
    }
    path_pump(r->p);
    crew_go(r->p);
}

// ---- child SAs

struct ts_list rig_net(const char *lo, const char *hi)
{
    struct ts_list l = {.count = 1, .t = {{.family = 4, .port_hi = 65535}}};
    inet_pton(AF_INET, lo, l.t[0].lo);
    inet_pton(AF_INET, hi, l.t[0].hi);
    return l;
}

static struct ts rig_ts(const char *text)
{
    struct ts t = {.port_hi = 65535};
    char addr[64], *slash, *rest;
    snprintf(addr, sizeof(addr), "%s", text);
    if ((rest = strchr(addr, '['))) { // [proto/lo-hi]
        unsigned proto = 0, lo = 0, hi = 65535;
        *rest++ = 0;
        int n = sscanf(rest, "%u/%u-%u", &proto, &lo, &hi);
        t.proto = (uint8_t)proto;
        t.port_lo = (uint16_t)lo;
        t.port_hi = (uint16_t)(n == 2 ? lo : hi);
    }
    if (!strcmp(addr, "dynamic"))
        return t;
    slash = strchr(addr, '/');
    assert_non_null(slash);
    *slash++ = 0;
    t.family = strchr(addr, ':') ? 6 : 4;
    assert_int_equal(inet_pton(t.family == 6 ? AF_INET6 : AF_INET, addr, t.lo), 1);
    memcpy(t.hi, t.lo, 16);
    for (unsigned i = (unsigned)atoi(slash); i < (t.family == 6 ? 128u : 32u); i++) {
        t.lo[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
        t.hi[i / 8] |= (uint8_t)(0x80 >> i % 8);
    }
    return t;
}

struct ts_list rig_list(const char *text)
{
    struct ts_list l = {0};
    char copy[256], *save, *one;
    snprintf(copy, sizeof(copy), "%s", text);
    for (one = strtok_r(copy, ",", &save); one; one = strtok_r(NULL, ",", &save))
        l.t[l.count++] = rig_ts(one);
    return l;
}

struct policy_spec rig_spec(uint32_t id, const char *child, const char *local, const char *remote)
{
    struct policy_spec s = {.id = id,
                            .action = POLICY_PROTECT,
                            .mode = MODE_TUNNEL,
                            .local = rig_list(local),
                            .remote = rig_list(remote)};
    snprintf(s.child, sizeof(s.child), "%s", child);
    return s;
}

bool rig_apply(struct rig *r, const char *conn, const struct policy_spec *s, unsigned n, char *text,
               size_t size)
{
    static uint8_t buf[300000];
    uint8_t answer[8192];
    union msg m;
    struct writer w = writer_of(buf, sizeof(buf));
    struct msg_POLICY_APPLY apply = {.req = 9, .peer = r->conn_peer, .first = r->first_of_ike};
    while (take(r->ike, answer, sizeof(answer), &m) != MSG_NONE)
        ;
    policies_write(&w, s, n);
    assert_false(w.bad);
    snprintf(apply.conn, sizeof(apply.conn), "%s", conn);
    apply.policies = wr_written(&w);
    policy_apply(r->p, &apply);
    rig_turn(r);
    assert_int_equal(take(r->ike, answer, sizeof(answer), &m), MSG_RESULT);
    snprintf(text, size, "%s", m.RESULT.text);
    return m.RESULT.ok;
}

void rig_must_apply(struct rig *r, const char *conn, const struct policy_spec *s, unsigned n)
{
    char text[400];
    if (!rig_apply(r, conn, s, n, text, sizeof(text)))
        fail_msg("policies of %s are refused: %s", conn, text);
}

static void peer_opens(struct rig *r, uint32_t spi, const uint8_t *key)
{
    struct esp_sa_params s = {.dir = ESP_IN,
                              .mode = ESP_TUNNEL,
                              .alg = ESP_ALG_AES256_GCM16,
                              .spi = spi,
                              .inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
                              .udp_encap = true,
                              .window = 1024,
                              .src = {127, 0, 0, 1},
                              .dst = {127, 0, 0, 1},
                              .sport = r->own_port,
                              .dport = r->udp_port};
    struct esp_error err = {0};
    struct esp_event ev;
    struct esp_sa *sa;
    memcpy(s.key, key, 32);
    memcpy(s.salt, key + 32, 4);
    assert_int_equal(r->peer->ops->sa_add(r->peer, &s, NULL, &sa, &err), 0);
    assert_int_equal(r->peer->ops->events(r->peer, &ev, 1), 1);
}

struct msg_CHILD rig_child(struct rig *r, uint32_t id)
{
    struct msg_CHILD c = {.child_id = id,
                          .spi_in = 0x1000 + id,
                          .spi_out = 0x2000 + id,
                          .encr = TRID_AES256_GCM16,
                          .encr_bits = 256,
                          .udp_encap = 1,
                          .local_port = r->own_port,
                          .remote_port = r->udp_port,
                          .local = {4, {127, 0, 0, 1}},
                          .remote = {4, {127, 0, 0, 1}},
                          .policy_id = 1,
                          .mode = MODE_TUNNEL,
                          .hw_offload = OFFLOAD_NO,
                          .replay_window = 1024};
    c.local_ts = rig_list("10.1.0.0/16");
    c.remote_ts = rig_list("10.2.0.0/16");
    return c;
}

void rig_install(struct rig *r, uint32_t id, enum offload_mode mode, uint64_t life_packets)
{
    struct msg_CHILD c = rig_child(r, id);
    c.hw_offload = (uint8_t)mode;
    c.life_packets = life_packets;
    rig_install_child(r, &c);
}

static void keys_of(uint32_t id, uint8_t key[2][36])
{
    for (int i = 0; i < 36; i++) {
        key[0][i] = (uint8_t)(id + i);
        key[1][i] = (uint8_t)(id + 3 * i + 1);
    }
}

void rig_ask_for_child(struct rig *r, const struct msg_CHILD *c)
{
    uint8_t buf[8192], key[2][36];
    struct writer w = writer_of(buf, sizeof(buf));
    keys_of(c->child_id, key);
    msg_write(&w, MSG_CHILD, c);
    assert_false(w.bad);
    struct msg_CHILD_INSTALL m = {.req = 100 + c->child_id,
                                  .child = wr_written(&w),
                                  .key_out = slice_of(key[0], 36),
                                  .key_in = slice_of(key[1], 36)};
    sadb_install(r->p, &m);
}

void rig_install_child(struct rig *r, const struct msg_CHILD *c)
{
    uint8_t key[2][36];
    keys_of(c->child_id, key);
    rig_ask_for_child(r, c);
    peer_opens(r, c->spi_out, key[0]);
}

bool rig_result(struct rig *r, bool *ok, char *text, size_t size)
{
    uint8_t buf[8192];
    union msg m;
    if (take(r->keys, buf, sizeof(buf), &m) != MSG_RESULT)
        return false;
    *ok = m.RESULT.ok;
    snprintf(text, size, "%s", m.RESULT.text);
    return true;
}

static void must_be_installed(struct rig *r, uint32_t id)
{
    char text[400] = "no answer";
    bool ok = false;
    rig_turn(r);
    if (!rig_result(r, &ok, text, sizeof(text)) || !ok)
        fail_msg("child %u is refused: %s", id, text);
}

void rig_must_install(struct rig *r, uint32_t id, enum offload_mode mode, const char *where)
{
    rig_install(r, id, mode, 0);
    must_be_installed(r, id);
    assert_string_equal(child_offload(r->p->children), where);
}

void rig_must_install_child(struct rig *r, const struct msg_CHILD *c)
{
    rig_install_child(r, c);
    must_be_installed(r, c->child_id);
}

unsigned rig_events(struct rig *r, uint8_t event)
{
    uint8_t buf[8192];
    union msg m;
    unsigned n = 0;
    enum msg_type t;
    while ((t = take(r->ike, buf, sizeof(buf), &m)) != MSG_NONE) {
        n += t == MSG_CHILD_EVENT && m.CHILD_EVENT.event == event;
        if (t == MSG_UNKNOWN_SPI)
            r->unknown = m.UNKNOWN_SPI, r->unknowns++;
    }
    return n;
}

// ---- packets

static void put_be16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void ip_sum(uint8_t *p)
{
    uint32_t sum = 0;
    put_be16(p + 10, 0);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    put_be16(p + 10, ~sum);
}

static uint32_t build4(uint8_t *p, const struct rig_packet *k)
{
    memset(p, 0, 20);
    p[0] = 0x45;
    put_be16(p + 2, 32);
    put_be16(p + 4, k->id);
    put_be16(p + 6, (k->more ? 0x2000u : 0) | k->offset / 8);
    p[8] = 64;
    p[9] = k->proto;
    inet_pton(AF_INET, k->src, p + 12);
    inet_pton(AF_INET, k->dst, p + 16);
    ip_sum(p);
    return 20;
}

static uint32_t build6(uint8_t *p, const struct rig_packet *k)
{
    bool cut = k->more || k->offset;
    memset(p, 0, 48);
    p[0] = 0x60;
    put_be16(p + 4, cut ? 20 : 12);
    p[6] = cut ? IPPROTO_FRAGMENT : k->proto;
    p[7] = 64;
    inet_pton(AF_INET6, k->src, p + 8);
    inet_pton(AF_INET6, k->dst, p + 24);
    if (!cut)
        return 40;
    p[40] = k->proto;
    put_be16(p + 42, k->offset | k->more);
    put_be16(p + 44, k->id >> 16);
    put_be16(p + 46, k->id);
    return 48;
}

uint32_t rig_build(uint8_t *p, const struct rig_packet *k)
{
    uint32_t n = strchr(k->src, ':') ? build6(p, k) : build4(p, k);
    memset(p + n, 0, 8);
    put_be16(p + n, k->offset ? 0 : k->sport);
    put_be16(p + n + 2, k->offset ? 0 : k->dport);
    memcpy(p + n + 8, &k->number, 4);
    return n + 12;
}

static uint32_t inner(uint8_t *p, const char *src, const char *dst, uint32_t number)
{
    memset(p, 0, 24);
    p[0] = 0x45;
    put_be16(p + 2, 24);
    p[8] = 64;
    p[9] = 253;
    inet_pton(AF_INET, src, p + 12);
    inet_pton(AF_INET, dst, p + 16);
    ip_sum(p);
    memcpy(p + 20, &number, 4);
    return 24;
}

static uint32_t number_of(const uint8_t *p, uint32_t len)
{
    uint32_t n;
    memcpy(&n, p + len - 4, 4);
    return n;
}

void rig_out_packet(struct rig *r, const struct rig_packet *k)
{
    uint8_t p[64];
    uint32_t len = rig_build(p, k);
    assert_int_equal(write(r->tun, p, len), len);
    rig_turn(r);
}

bool rig_write_to(int tun, uint32_t number)
{
    uint8_t pkt[24];
    uint32_t len = inner(pkt, "10.1.0.1", "10.2.0.1", number);
    return write(tun, pkt, len) == (ssize_t)len;
}

bool rig_write(struct rig *r, uint32_t number)
{
    return rig_write_to(r->tun, number);
}

void rig_out(struct rig *r, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        while (!rig_write(r, from + i))
            rig_turn(r);
        if (i % 64 == 63)
            rig_turn(r);
    }
    rig_turn(r);
}

static struct esp_job run_peer(struct rig *r, struct esp_job job)
{
    struct esp_job *one = &job, *back = NULL;
    assert_int_equal(esp_submit(r->peer, &one, 1), 1);
    assert_int_equal(esp_poll(r->peer, &back, 1), 1);
    return job;
}

uint32_t rig_opened(struct rig *r)
{
    if (r->seen == r->sent_count)
        return UINT32_MAX;
    struct esp_job j = run_peer(r, (struct esp_job){.op = ESP_DECAP,
                                                    .in = r->sent[r->seen].bytes,
                                                    .in_len = r->sent[r->seen].len,
                                                    .out = r->out,
                                                    .out_cap = sizeof(r->out)});
    if (j.status != ESP_STATUS_OK)
        fail_msg("packet %u of those sent cannot be opened: %s", r->seen, esp_status_name(j.status));
    r->seen++;
    return number_of(r->out, j.out_len);
}

void rig_expect(struct rig *r, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(rig_opened(r), from + i);
    assert_int_equal(r->seen, r->sent_count);
}

static int by_sequence(const void *a, const void *b)
{
    return memcmp(a, b, 8);
}

void rig_unique(struct rig *r)
{
    uint8_t(*keys)[8] = calloc(r->sent_count + 1, 8);
    assert_non_null(keys);
    for (unsigned i = 0; i < r->sent_count; i++)
        memcpy(keys[i], r->sent[i].bytes + 28, 8);
    qsort(keys, r->sent_count, 8, by_sequence);
    for (unsigned i = 1; i < r->sent_count; i++)
        assert_memory_not_equal(keys[i], keys[i - 1], 8);
    free(keys);
}

void rig_datagram(struct rig *r, const uint8_t *p, size_t len)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(r->own_port)};
    assert_int_equal(sendto(r->udp, p, len, 0, (struct sockaddr *)&to, sizeof(to)), len);
    rig_turn(r);
}

static void seal_in(struct rig *r, uint32_t spi, uint32_t len)
{
    struct esp_error err = {0};
    struct esp_event ev;
    static uint64_t next_seq = 1; // every packet from a throw-away SA of the same key: a sequence of its own
    struct esp_sa_params s = {.dir = ESP_OUT,
                              .mode = ESP_TUNNEL,
                              .alg = ESP_ALG_AES256_GCM16,
                              .spi = spi,
                              .udp_encap = true,
                              .ttl = 64,
                              .inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
                              .seq = next_seq++,
                              .seq_limit = UINT64_MAX,
                              .src = {127, 0, 0, 1},
                              .dst = {127, 0, 0, 1},
                              .sport = r->udp_port,
                              .dport = r->own_port};
    struct esp_sa *sa;
    for (int i = 0; i < 32; i++)
        s.key[i] = (uint8_t)(spi - 0x1000 + 3 * (uint32_t)i + 1);
    for (int i = 0; i < 4; i++)
        s.salt[i] = (uint8_t)(spi - 0x1000 + 3 * (uint32_t)(32 + i) + 1);
    assert_int_equal(r->peer->ops->sa_add(r->peer, &s, NULL, &sa, &err), 0);
    assert_int_equal(r->peer->ops->events(r->peer, &ev, 1), 1);
    struct esp_job j = run_peer(r, (struct esp_job){.op = ESP_ENCAP,
                                                    .sa = sa,
                                                    .in = r->in,
                                                    .in_len = len,
                                                    .out = r->out,
                                                    .out_cap = sizeof(r->out),
                                                    .dummy = len == 0});
    assert_int_equal(j.status, ESP_STATUS_OK);
    assert_int_equal(r->peer->ops->sa_delete(r->peer, sa), 0);
    assert_int_equal(r->peer->ops->events(r->peer, &ev, 1), 1);
    r->last_in_len = j.out_len - 28;
    memcpy(r->last_in, r->out + 28, r->last_in_len);
}

void rig_seal(struct rig *r, uint32_t spi, const char *inner_src, uint32_t number)
{
    seal_in(r, spi, inner(r->in, inner_src, "10.1.0.1", number));
}

void rig_in(struct rig *r, uint32_t spi, const char *inner_src, uint32_t number)
{
    seal_in(r, spi, inner(r->in, inner_src, "10.1.0.1", number));
    rig_datagram(r, r->last_in, r->last_in_len);
}

void rig_in_packet(struct rig *r, uint32_t spi, const struct rig_packet *k)
{
    seal_in(r, spi, rig_build(r->in, k));
    rig_datagram(r, r->last_in, r->last_in_len);
}

void rig_in_bytes(struct rig *r, uint32_t spi, uint32_t len)
{
    seal_in(r, spi, len);
    rig_datagram(r, r->last_in, r->last_in_len);
}

uint32_t rig_read(struct rig *r)
{
    uint8_t pkt[256];
    ssize_t n = read(r->tun, pkt, sizeof(pkt));
    return n >= 24 ? number_of(pkt, (uint32_t)n) : UINT32_MAX;
}
