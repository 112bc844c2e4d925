// SPDX-License-Identifier: Apache-2.0
// Both families outside and inside, plain and in UDP, tunnel and transport mode, with the real software
// engine at both ends; and what comes over IPv6 without being ours.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctrl/path/outer.h"
#include "tests/unit/path_rig.h"

struct waiting { // a datagram for path, as the kernel would hand it over
    uint8_t bytes[400];
    int len; // 0: none
    struct arrival a;
};
static struct waiting udp6, esp6;

static int (*sockets)(void *ctx, enum path_socket from, struct datagram *d, unsigned n); // of IPv4

static int receive(void *ctx, enum path_socket from, struct datagram *d, unsigned n)
{
    struct waiting *w = from == PATH_UDP6 ? &udp6 : &esp6;
    if (from != PATH_UDP6 && from != PATH_ESP6)
        return sockets(ctx, from, d, n);
    if (!w->len || !n)
        return -EAGAIN;
    d->len = (uint32_t)w->len;
    d->segment = 0;
    d->a = w->a;
    d->a.cut = d->len > d->cap + d->more_cap;
    memcpy(d->p, w->bytes, d->len > d->cap ? d->cap : d->len);
    w->len = 0;
    return 1;
}

static int up(void **state)
{
    int rc = rig_up(state);
    struct rig *r = *state;
    sockets = r->p->worker->net.receive;
    r->p->worker->net.receive = receive;
    udp6.len = esp6.len = 0;
    return rc;
}

struct shape {
    bool six, udp, transport;
    const char *src, *dst; // inside
};

static const char *const ends[2][2] = {{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}};

static struct addr address(const char *text)
{
    struct addr a;
    assert_true(addr_parse(text, &a));
    return a;
}

static void host(struct ts_list *l, const char *text)
{
    struct addr a = address(text);
    *l = (struct ts_list){.count = 1, .t = {{.family = a.family, .port_hi = 65535}}};
    memcpy(l->t[0].lo, a.a, 16);
    memcpy(l->t[0].hi, a.a, 16);
}

static struct esp_sa *peer_sa(struct rig *r, const struct shape *s, enum esp_dir dir, uint32_t spi,
                              const uint8_t *key)
{
    struct addr us = address(ends[s->six][0]), them = address(ends[s->six][1]);
    struct esp_sa_params k = {.dir = dir,
                              .mode = s->transport ? ESP_TRANSPORT : ESP_TUNNEL,
                              .alg = ESP_ALG_AES256_GCM16,
                              .spi = spi,
                              .udp_encap = s->udp,
                              .ipv6 = s->six,
                              .inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
                              .ttl = 64,
                              .window = dir == ESP_IN ? 64 : 0,
                              .seq = dir == ESP_OUT ? 1 : 0,
                              .seq_limit = UINT64_MAX,
                              .sport = dir == ESP_IN ? r->own_port : 4500,
                              .dport = dir == ESP_IN ? 4500 : r->own_port};
    struct esp_error err = {0};
    struct esp_event ev;
    struct esp_sa *sa;
    memcpy(k.src, dir == ESP_IN ? us.a : them.a, 16);
    memcpy(k.dst, dir == ESP_IN ? them.a : us.a, 16);
    memcpy(k.key, key, 32);
    memcpy(k.salt, key + 32, 4);
    if (r->peer->ops->sa_add(r->peer, &k, NULL, &sa, &err) < 0)
        fail_msg("the peer: %s: %s", err.field, err.text);
    assert_int_equal(r->peer->ops->events(r->peer, &ev, 1), 1);
    return sa;
}

static struct esp_job run(struct rig *r, struct esp_job job)
{
    struct esp_job *one = &job, *back = NULL;
    assert_int_equal(esp_submit(r->peer, &one, 1), 1);
    assert_int_equal(esp_poll(r->peer, &back, 1), 1);
    return job;
}

// What the rig gives path as keys for SA 1 (rig_install_child).
static void keys(uint8_t out[36], uint8_t in[36])
{
    for (int i = 0; i < 36; i++) {
        out[i] = (uint8_t)(1 + i);
        in[i] = (uint8_t)(1 + 3 * i + 1);
    }
}

static void install(struct rig *r, const struct shape *s)
{
    struct msg_CHILD c = rig_child(r, 1);
    struct policy_spec pol = rig_spec(7, "c", "dynamic", "dynamic");
    pol.mode = s->transport ? MODE_TRANSPORT : MODE_TUNNEL;
    host(&pol.local, s->src);
    host(&pol.remote, s->dst);
    rig_must_apply(r, "six", &pol, 1);
    c.policy_id = 7;
    c.mode = pol.mode;
    c.local_ts = pol.local;
    c.remote_ts = pol.remote;
    c.local = address(ends[s->six][0]);
    c.remote = address(ends[s->six][1]);
    c.udp_encap = s->udp;
    c.remote_port = 4500;
    rig_must_install_child(r, &c);
}

static void give(struct rig *r, const struct shape *s, const uint8_t *outer, uint32_t len)
{
    struct waiting *w = s->udp ? &udp6 : &esp6;
    if (!s->six && s->udp) {
        rig_datagram(r, outer + 28, len - 28);
        return;
    }
    if (!s->six) {
        assert_int_equal(write(r->raw, outer, len), len);
        rig_turn(r);
        return;
    }
    uint32_t skip = outer_octets(6, s->udp);
    w->len = (int)(len - skip);
    memcpy(w->bytes, outer + skip, len - skip);
    w->a = (struct arrival){
        .from = address(ends[1][1]), .to = address(ends[1][0]), .from_port = 4500, .ttl = 64};
    path_arrived(r->p);
    rig_turn(r);
}

static void both_ways(struct rig *r, const struct shape *s)
{
    uint8_t out_key[36], in_key[36], pkt[100];
    keys(out_key, in_key);
    install(r, s);
    peer_sa(r, s, ESP_IN, 0x2001, out_key);
    struct rig_packet k = {.src = s->src, .dst = s->dst, .proto = 17, .sport = 7, .dport = 9, .number = 42};
    rig_out_packet(r, &k);
    assert_int_equal(r->sent_count, 1);
    assert_int_equal(r->sent[0].bytes[0] >> 4, s->six ? 6 : 4);
    struct esp_job j = run(r, (struct esp_job){.op = ESP_DECAP,
                                               .in = r->sent[0].bytes,
                                               .in_len = r->sent[0].len,
                                               .out = r->out,
                                               .out_cap = sizeof(r->out)});
    assert_int_equal(j.status, ESP_STATUS_OK);
    uint32_t len = rig_build(pkt, &k);
    assert_int_equal(j.out_len, len);
    assert_memory_equal(r->out, pkt, len);

    struct rig_packet back = {
        .src = s->dst, .dst = s->src, .proto = 17, .sport = 9, .dport = 7, .number = 43};
    struct esp_sa *sa = peer_sa(r, s, ESP_OUT, 0x1001, in_key);
    len = rig_build(r->in, &back);
    j = run(
        r,
        (struct esp_job){
            .op = ESP_ENCAP, .sa = sa, .in = r->in, .in_len = len, .out = r->out, .out_cap = sizeof(r->out)});
    assert_int_equal(j.status, ESP_STATUS_OK);
    give(r, s, r->out, j.out_len);
    assert_int_equal(read(r->tun, pkt, sizeof(pkt)), len);
    assert_memory_equal(pkt, r->in, len);
    assert_int_equal(r->past_count, 0);
}

static void test_tunnel_of_each_family_carries_each_family(void **state)
{
    static const char *const inside[2][2] = {{"10.1.0.1", "10.7.0.1"}, {"fd01::1", "fd02::1"}};
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct shape s = {.six = i & 1, .udp = i & 2, .src = inside[i / 4][0], .dst = inside[i / 4][1]};
        struct rig *r;
        if (!s.six && s.udp)
            continue; // what the other tests do; the rig's sockets are those of 127.0.0.1
        assert_int_equal(up((void **)&r), 0);
        both_ways(r, &s);
        assert_int_equal(rig_down((void **)&r), 0);
    }
}

static void test_transport_mode_of_each_family_carries_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct shape s = {.six = i > 0, .udp = i == 2, .transport = true};
        struct rig *r;
        s.src = ends[s.six][0];
        s.dst = ends[s.six][1];
        assert_int_equal(up((void **)&r), 0);
        both_ways(r, &s);
        assert_int_equal(rig_down((void **)&r), 0);
    }
}

static void test_transport_mode_between_others_than_the_ends_is_refused(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = rig_child(r, 1);
    struct policy_spec pol = rig_spec(7, "c", "10.1.0.1/32", "10.7.0.1/32");
    char text[400] = "";
    bool ok = true;
    pol.mode = c.mode = MODE_TRANSPORT;
    rig_must_apply(r, "t", &pol, 1);
    c.policy_id = 7;
    c.local_ts = pol.local;
    c.remote_ts = pol.remote;
    rig_install_child(r, &c);
    rig_turn(r);
    assert_true(rig_result(r, &ok, text, sizeof(text)) && !ok);
    assert_non_null(strstr(text, "transport"));
}

static void test_what_comes_by_ipv6_and_is_not_ours_ends_as_drops(void **state)
{
    struct rig *r = *state;
    struct shape s = {.six = true, .udp = true, .src = "fd01::1", .dst = "fd02::1"};
    install(r, &s);
    memset(r->p->worker->drop_in, 0, sizeof(r->p->worker->drop_in));
    for (int len = 1; len < 380; len++) {
        for (int which = 0; which < 2; which++) {
            struct waiting *w = which ? &esp6 : &udp6;
            for (int i = 0; i < len; i++)
                w->bytes[i] = (uint8_t)(i * 7 + len);
            memcpy(w->bytes, "\0\0\x10\x01", 4);
            w->len = len;
            w->a =
                (struct arrival){.from = address(ends[1][1]), .to = address(ends[len % 3 == 0][0]), .ttl = 1};
            path_arrived(r->p);
            rig_turn(r);
        }
    }
    assert_int_equal(rig_read(r), UINT32_MAX);
    uint64_t drops = 0;
    for (int i = 0; i < ESP_STATUS_BAD_OPCODE; i++)
        drops += r->p->worker->drop_in[i];
    assert_int_equal(drops, 2 * 379);
    assert_true(r->p->worker->drop_in[ESP_STATUS_TRUNCATED] > 100 &&
                r->p->worker->drop_in[ESP_STATUS_NOT_ESP] == 7);
    udp6.bytes[0] = 0xff;
    udp6.len = 1;
    path_arrived(r->p);
    assert_int_equal(r->p->worker->keepalives, 1);
}

// ---- a path of 1280, which every IPv6 link takes (RFC 8200 section 5), and so every tunnel has to

enum { LEAST = 1280 };
static struct { // what has left
    unsigned count;
    uint32_t len[8];
    uint8_t bytes[8][LEAST];
} pieces;

static int narrow_mtu(void *ctx, const struct addr *from, const struct addr *to)
{
    (void)ctx;
    assert_int_equal(from->family + to->family, 12);
    return LEAST;
}

static int narrow_send(void *ctx, struct mmsghdr *m, unsigned n)
{
    (void)ctx;
    for (unsigned i = 0; i < n; i++) {
        const struct iovec *v = m[i].msg_hdr.msg_iov;
        const struct sockaddr_in6 *to = m[i].msg_hdr.msg_name;
        errno = EMSGSIZE;
        if (v->iov_len > LEAST)
            return i ? (int)i : -1;
        assert_true(pieces.count < 8);
        assert_int_equal(m[i].msg_hdr.msg_namelen, sizeof(*to));
        assert_memory_equal(&to->sin6_addr, address(ends[1][1]).a, 16);
        memcpy(pieces.bytes[pieces.count], v->iov_base, v->iov_len);
        pieces.len[pieces.count++] = (uint32_t)v->iov_len;
    }
    return (int)n;
}

// As RFC 8200 section 4.5 puts them together; the length of the whole.
static uint32_t put_together(uint8_t *whole)
{
    uint32_t at = 40;
    memcpy(whole, pieces.bytes[0], 40);
    whole[6] = pieces.bytes[0][40];
    for (unsigned i = 0; i < pieces.count; i++) {
        const uint8_t *p = pieces.bytes[i];
        bool last = i + 1 == pieces.count;
        uint32_t n = pieces.len[i] - 48, place = (uint32_t)(p[42] << 8 | p[43]);
        assert_int_equal(p[4] << 8 | p[5], n + 8);
        assert_int_equal(p[6], 44);
        assert_memory_equal(p, whole, 4);
        assert_memory_equal(p + 7, whole + 7, 33);
        assert_memory_equal(p + 44, pieces.bytes[0] + 44, 4);
        assert_int_equal(p[40], whole[6]);
        assert_int_equal(place & 7, last ? 0 : 1);
        assert_int_equal(place & ~7u, at - 40);
        assert_true(last || n % 8 == 0);
        memcpy(whole + at, p + 48, n);
        at += n;
    }
    whole[4] = (uint8_t)((at - 40) >> 8);
    whole[5] = (uint8_t)(at - 40);
    return at;
}

static uint32_t long_packet(uint8_t *p, const struct shape *s, uint32_t len)
{
    struct rig_packet k = {.src = s->src, .dst = s->dst, .proto = 17, .sport = 7, .dport = 9, .number = 1};
    uint32_t n = rig_build(p, &k);
    memset(p + n, 0x5a, len - n);
    p[4] = (uint8_t)((len - 40) >> 8);
    p[5] = (uint8_t)(len - 40);
    return len;
}

static void crosses(struct rig *r, const struct shape *s)
{
    uint8_t out_key[36], in_key[36], pkt[LEAST + 1], whole[2000], id[4];
    keys(out_key, in_key);
    install(r, s);
    peer_sa(r, s, ESP_IN, 0x2001, out_key);
    r->p->worker->net.path_mtu = narrow_mtu;
    r->p->worker->net.send = narrow_send;
    for (int i = 0; i < 3; i++) {
        pieces.count = 0;
        assert_int_equal(write(r->tun, pkt, long_packet(pkt, s, LEAST)), LEAST);
        rig_turn(r);
        assert_int_equal(pieces.count, 2);
        assert_true(i == 0 || memcmp(id, pieces.bytes[0] + 44, 4)); // no two packets have one
        memcpy(id, pieces.bytes[0] + 44, 4);
        uint32_t len = put_together(whole);
        struct esp_job j = run(
            r, (struct esp_job){
                   .op = ESP_DECAP, .in = whole, .in_len = len, .out = r->out, .out_cap = sizeof(r->out)});
        assert_int_equal(j.status, ESP_STATUS_OK);
        assert_int_equal(j.out_len, LEAST);
        assert_memory_equal(r->out, pkt, LEAST);
    }
    assert_int_equal(r->p->worker->fragmented_after, 3);
    assert_int_equal(r->p->worker->too_big, 0);
    pieces.count = 0; // one octet more its sender can do without
    assert_int_equal(write(r->tun, pkt, long_packet(pkt, s, LEAST + 1)), LEAST + 1);
    rig_turn(r);
    assert_int_equal(pieces.count, 0);
    assert_int_equal(r->p->worker->too_big, 1);
    assert_true(read(r->tun, whole, sizeof(whole)) > 48);
}

static void test_ipv6_of_1280_octets_crosses_a_path_of_1280(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct shape s = {.six = true, .udp = i & 1, .transport = i & 2, .src = "fd01::1", .dst = "fd02::1"};
        struct rig *r;
        if (s.transport) {
            s.src = ends[1][0];
            s.dst = ends[1][1];
        }
        assert_int_equal(up((void **)&r), 0);
        crosses(r, &s);
        assert_int_equal(rig_down((void **)&r), 0);
    }
}

// ---- the ends move

static bool next_event(struct rig *r, uint8_t event, struct msg_CHILD_EVENT *out)
{
    uint8_t buf[8192];
    union msg m;
    ssize_t n;
    while ((n = recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
        if (msg_read(slice_of(buf, (size_t)n), &m) == MSG_CHILD_EVENT && m.CHILD_EVENT.event == event) {
            *out = m.CHILD_EVENT;
            return true;
        }
    }
    return false;
}

// From the same port the NAT has moved to another one: ike is told once a second, of the newest packet alone.
static void test_a_packet_from_elsewhere_is_told_once_and_only_when_it_is_the_newest(void **state)
{
    struct rig *r = *state;
    struct shape s = {.six = true, .udp = true, .src = "fd01::1", .dst = "fd02::1"};
    struct msg_CHILD_EVENT ev = {0};
    uint8_t out_key[36], in_key[36], kept[3][200];
    uint32_t len[3];
    keys(out_key, in_key);
    install(r, &s);
    struct esp_sa *sa = peer_sa(r, &s, ESP_OUT, 0x1001, in_key);
    for (int i = 0; i < 3; i++) {
        uint32_t n =
            rig_build(r->in, &(struct rig_packet){.src = s.dst, .dst = s.src, .proto = 17, .number = 1});
        struct esp_job j = run(r, (struct esp_job){.op = ESP_ENCAP,
                                                   .sa = sa,
                                                   .in = r->in,
                                                   .in_len = n,
                                                   .out = kept[i],
                                                   .out_cap = sizeof(kept[0])});
        assert_int_equal(j.status, ESP_STATUS_OK);
        len[i] = j.out_len;
    }
    static const int order[] = {1, 0, 2}; // the older one comes later
    static const uint16_t port[] = {4500, 5555, 6666};
    for (int i = 0; i < 3; i++) {
        const uint8_t *o = kept[order[i]];
        udp6.len = (int)len[order[i]] - 48;
        memcpy(udp6.bytes, o + 48, (size_t)udp6.len);
        udp6.a = (struct arrival){.from = address(i == 2 ? "2001:db8::9" : ends[1][1]),
                                  .to = address(ends[1][0]),
                                  .from_port = port[i],
                                  .ttl = 60};
        path_arrived(r->p);
        rig_turn(r);
        assert_int_equal(rig_read(r), 1);
        assert_int_equal(next_event(r, CHILD_EVENT_REBOUND, &ev), i == 2);
    }
    assert_int_equal(ev.child_id, 1);
    assert_int_equal(ev.remote_port, 6666);
    struct addr from = address("2001:db8::9");
    assert_true(addr_eq(&ev.remote, &from));
}

static void endpoint(struct rig *r, struct msg_CHILD_ENDPOINT m, bool want, const char *word)
{
    uint8_t buf[8192];
    union msg answer = {0};
    ssize_t n;
    child_endpoint(r->p, &m);
    rig_turn(r);
    while ((n = recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        if (msg_read(slice_of(buf, (size_t)n), &answer) == MSG_RESULT && answer.RESULT.req == m.req)
            break;
    assert_true(n > 0);
    if (answer.RESULT.ok != want || !strstr(answer.RESULT.text, word))
        fail_msg("got %s \"%s\", expected %s \"%s\"", answer.RESULT.ok ? "ok" : "no", answer.RESULT.text,
                 want ? "ok" : "no", word);
}

static void test_ikes_answer_moves_the_sa_and_a_wrong_one_moves_nothing(void **state)
{
    struct rig *r = *state;
    struct shape s = {.six = true, .udp = true, .src = "fd01::1", .dst = "fd02::1"};
    struct msg_CHILD_ENDPOINT m = {.req = 77,
                                   .child_id = 1,
                                   .local = address("2001:db8::1"),
                                   .local_port = r->own_port,
                                   .remote = address("2001:db8::9"),
                                   .remote_port = 6666,
                                   .udp_encap = 1};
    struct rig_packet k = {.src = s.src, .dst = s.dst, .proto = 17};
    struct outer o;
    install(r, &s);
    m.child_id = 99;
    endpoint(r, m, false, "99");
    m.child_id = 1;
    m.local = address("192.0.2.1");
    endpoint(r, m, false, "family");
    rig_out_packet(r, &k);
    m.local = address("2001:db8::1");
    endpoint(r, m, true, "");
    rig_out_packet(r, &k);
    assert_int_equal(r->sent_count, 2);
    assert_true(outer_look(r->sent[0].bytes, r->sent[0].len, &o) && o.dst.a[15] == 2 && o.dport == 4500);
    assert_true(outer_look(r->sent[1].bytes, r->sent[1].len, &o) && o.dst.a[15] == 9 && o.dport == 6666);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tunnel_of_each_family_carries_each_family),
        cmocka_unit_test(test_transport_mode_of_each_family_carries_both_ways),
        cmocka_unit_test(test_ipv6_of_1280_octets_crosses_a_path_of_1280),
        WITH(test_transport_mode_between_others_than_the_ends_is_refused),
        WITH(test_what_comes_by_ipv6_and_is_not_ours_ends_as_drops),
        WITH(test_a_packet_from_elsewhere_is_told_once_and_only_when_it_is_the_newest),
        WITH(test_ikes_answer_moves_the_sa_and_a_wrong_one_moves_nothing),
    };
    return cmocka_run_group_tests_name("both families", tests, NULL, NULL);
}
