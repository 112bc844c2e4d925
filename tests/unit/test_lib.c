// SPDX-License-Identifier: Apache-2.0
// The daemon's library: slices, timers under virtual time, traffic selectors, the written form of a
// connection, and the messages between the processes (every prefix of every message is refused).
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "ctrl/ipc/ipc.h"
#include "ctrl/lib/policy_wire.h"
#include "ctrl/lib/conn.h"
#include "ctrl/lib/log.h"

static uint64_t virtual_now;
static uint64_t virtual_clock(void *ctx)
{
    (void)ctx;
    return virtual_now * 1000;
}

static void test_reader_past_the_end_is_bad_and_gives_zeros(void **state)
{
    (void)state;
    struct reader r = reader_of(slice_of("\x01\x02\x03", 3));
    assert_int_equal(rd_u16(&r), 0x0102);
    assert_int_equal(rd_u32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(rd_u8(&r), 0); // sticky, although an octet is left
    assert_false(rd_done(&r));
}

static void test_writer_full_is_bad_and_writes_nothing_more(void **state)
{
    (void)state;
    uint8_t buf[4] = {0};
    struct writer w = writer_of(buf, 3);
    wr_u16(&w, 0x1122);
    wr_u16(&w, 0x3344);
    wr_u8(&w, 0x55);
    assert_true(w.bad);
    assert_int_equal(wr_written(&w).len, 0);
    assert_memory_equal(buf, "\x11\x22\0\0", 4);
}

static unsigned fired[64], fired_count;
static void note(struct timer *t)
{
    fired[fired_count++] = (unsigned)(uintptr_t)t->ctx;
}

static void test_timers_fire_in_order_and_stopped_ones_do_not(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct timer t[32] = {0};
    loop_set_clock(l, (struct clock){virtual_clock, NULL});
    virtual_now = 1000;
    fired_count = 0;
    for (unsigned i = 0; i < 32; i++) {
        t[i] = (struct timer){.fire = note, .ctx = (void *)(uintptr_t)(i * 7 % 32)};
        timer_set(l, &t[i], 1000 + i * 7 % 32);
    }
    for (unsigned i = 0; i < 32; i += 3)
        timer_stop(l, &t[i]);
    timer_set(l, &t[1], 5000); // re-armed later
    virtual_now = 1031;
    loop_run_timers(l);
    assert_int_equal(fired_count, 32 - 11 - 1);
    for (unsigned i = 1; i < fired_count; i++)
        assert_true(fired[i - 1] < fired[i]);
    assert_int_equal(loop_next_timer(l), 5000);
    timer_stop(l, &t[1]);
    assert_true(loop_next_timer(l) == UINT64_MAX);
    loop_free(l);
}

static struct ts range(const char *lo, const char *hi, uint8_t proto, uint16_t plo, uint16_t phi)
{
    struct ts t = {.family = 4, .proto = proto, .port_lo = plo, .port_hi = phi};
    inet_pton(AF_INET, lo, t.lo);
    inet_pton(AF_INET, hi, t.hi);
    return t;
}

static void test_selectors_intersect_contain_and_print(void **state)
{
    (void)state;
    char text[128];
    struct ts a = range("10.1.0.0", "10.1.255.255", 0, 0, 65535),
              b = range("10.1.2.0", "10.2.0.0", 6, 80, 90), c;
    assert_true(ts_intersect(&a, &b, &c));
    assert_string_equal(ts_print(&c, text, sizeof(text)), "10.1.2.0..10.1.255.255[tcp/80-90]");
    assert_true(ts_contains(&a, &c) && ts_contains(&b, &c));
    assert_false(ts_contains(&a, &b));
    struct ts d = range("10.3.0.0", "10.3.0.255", 17, 0, 65535);
    assert_false(ts_intersect(&a, &d, &c));
    struct ts e = range("10.1.2.0", "10.1.2.255", 17, 0, 65535);
    assert_false(ts_intersect(&b, &e, &c)); // protocols differ
    assert_string_equal(ts_print(&a, text, sizeof(text)), "10.1.0.0/16");
    assert_true(ts_match(&b, 4, (const uint8_t *)"\x0a\x01\x02\x01", 6, 85));
    assert_false(ts_match(&b, 4, (const uint8_t *)"\x0a\x01\x02\x01", 6, 91));
    assert_false(ts_match(&b, 4, (const uint8_t *)"\x0a\x02\x00\x01", 6, 85));
}

static void test_opaque_ports_lie_in_any_and_in_themselves_alone(void **state)
{
    (void)state;
    char text[128];
    struct ts opaque = range("10.1.0.0", "10.1.255.255", 17, 65535, 0), c;
    const struct ts any = range("10.1.0.0", "10.1.255.255", 0, 0, 65535),
                    some = range("10.1.0.0", "10.1.255.255", 17, 1024, 65535);
    assert_true(ts_contains(&any, &opaque) && ts_contains(&opaque, &opaque));
    assert_false(ts_contains(&opaque, &any) || ts_contains(&some, &opaque));
    assert_false(ts_intersect(&opaque, &some, &c) || ts_intersect(&some, &opaque, &c));
    assert_true(ts_intersect(&any, &opaque, &c) && ts_eq(&c, &opaque));
    assert_true(ts_intersect(&opaque, &any, &c) && ts_eq(&c, &opaque));
    assert_string_equal(ts_print(&opaque, text, sizeof(text)), "10.1.0.0/16[udp/OPAQUE]");
    assert_false(ts_match(&opaque, 4, (const uint8_t *)"\x0a\x01\x02\x01", 17, 0));
    struct ts_list in = {.count = 1, .t = {opaque}}, out;
    uint8_t buf[256];
    struct writer w = writer_of(buf, sizeof(buf));
    ts_list_write(&w, &in);
    struct reader r = reader_of(wr_written(&w));
    assert_true(ts_list_read(&r, &out) && rd_done(&r) && ts_eq(&out.t[0], &opaque));
}

static char prefixes[512];
static void add_prefix(void *ctx, const uint8_t *addr, unsigned len)
{
    char a[32];
    (void)ctx;
    inet_ntop(AF_INET, addr, a, sizeof(a));
    snprintf(prefixes + strlen(prefixes), sizeof(prefixes) - strlen(prefixes), "%s/%u ", a, len);
}

static void test_ranges_split_into_prefixes_that_cover_them_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *lo, *hi, *want;
    } cases[] = {
        {"10.1.0.0", "10.1.255.255", "10.1.0.0/16 "},
        {"10.0.0.1", "10.0.0.1", "10.0.0.1/32 "},
        {"0.0.0.0", "255.255.255.255", "0.0.0.0/0 "},
        {"10.0.0.1", "10.0.0.6", "10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32 "},
        {"192.168.255.254", "192.169.0.1", "192.168.255.254/31 192.169.0.0/31 "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ts t = range(cases[i].lo, cases[i].hi, 0, 0, 65535);
        prefixes[0] = 0;
        ts_prefixes(&t, add_prefix, NULL);
        assert_string_equal(prefixes, cases[i].want);
    }
}

static void fill_side(struct auth_side *s, uint8_t auth)
{
    s->auth = auth;
    s->round = 2;
    s->schemes = 0x805;
    s->cert_hashes = 1u << 2 | 1u << 4;
    s->rsa_bits = 3072;
    s->ecdsa_bits = 384;
    s->revocation = PKI_STRICT;
    assert_int_equal(auth_set_id(s, AUTH_CA_ID, "C=CH, CN=root"), 0);
    assert_int_equal(blobs_add(&s->certs, slice_str("a certificate")), 0);
    assert_int_equal(blobs_add(&s->certs, slice_str("another")), 0);
    assert_int_equal(blobs_add(&s->cacerts, slice_str("its authority")), 0);
    assert_int_equal(blobs_add(&s->pubkeys, slice_str("a key")), 0);
    assert_int_equal(blobs_add(&s->cert_policy, slice_str("1.2.3")), 0);
}

static void assert_blobs_equal(const struct blobs *a, const struct blobs *b)
{
    assert_int_equal(a->count, b->count);
    for (unsigned i = 0; i < a->count; i++)
        assert_true(slice_eq(blobs_at(a, i), blobs_at(b, i)));
}

static void assert_sides_equal(const struct auth_side *a, const struct auth_side *b)
{
    assert_string_equal(a->id, b->id);
    size_t round = offsetof(struct auth_side, round);
    assert_memory_equal((const char *)a + round, (const char *)b + round,
                        offsetof(struct auth_side, certs) - round);
    assert_blobs_equal(&a->certs, &b->certs);
    assert_blobs_equal(&a->cacerts, &b->cacerts);
    assert_blobs_equal(&a->pubkeys, &b->pubkeys);
    assert_blobs_equal(&a->cert_policy, &b->cert_policy);
    for (unsigned i = 0; i < AUTH_IDS; i++)
        assert_string_equal(auth_id(a, (enum auth_id)i), auth_id(b, (enum auth_id)i));
}

static void test_lists_of_octets_refuse_what_they_have_no_room_for(void **state)
{
    (void)state;
    static const uint8_t long_one[BLOB_MAX_LEN + 1];
    struct blobs l = {0};
    assert_int_equal(blobs_add(&l, slice_of(long_one, sizeof(long_one))), -EMSGSIZE);
    assert_int_equal(blobs_add(&l, slice_of(long_one, 0)), -EMSGSIZE);
    for (int i = 0; i < BLOBS_MAX; i++)
        assert_int_equal(blobs_add(&l, slice_of(long_one, BLOB_MAX_LEN)), 0);
    assert_int_equal(blobs_add(&l, slice_str("x")), -ENOSPC);
    assert_int_equal(l.count, BLOBS_MAX);
    assert_int_equal(blobs_at(&l, BLOBS_MAX).len, 0);
    blobs_clear(&l);
    assert_int_equal(l.count, 0);
}

// These are equal, and of those that were read there is room for no more.
static void take_selectors(struct ts_list **to, struct ts_list *from)
{
    assert_int_equal((*to)->count, from->count);
    assert_memory_equal((*to)->t, from->t, from->count * sizeof(from->t[0]));
    assert_true(malloc_usable_size(*to) < 2 * sizeof(struct ts) + 32);
    free(*to);
    *to = from;
}

// What thousands of loaded connections cost each.
static void test_a_connection_and_its_child_are_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct child_config) <= 136);
    assert_true(sizeof(struct conn_config) <= 400);
    assert_true(sizeof(struct auth_side) <= 120);
}

static void test_connection_written_and_read_is_the_same_and_every_cut_is_refused(void **state)
{
    (void)state;
    static uint8_t buf[65536];
    static struct conn_config c, d;
    assert_true(conn_set_text(&c, &c.name, "site"));
    c.local.id = "";
    c.ppk_id = "the key";
    struct addr a;
    addr_parse("10.10.0.1", &a);
    assert_non_null(conn_add_addr(&c, true, &a));
    assert_non_null(conn_add_addr(&c, false, &(struct addr){0}));
    assert_non_null(conn_add_addr(&c, false, &a));
    c.remote.id = "east.example";
    fill_side(&c.local, AUTH_PSK);
    fill_side(&c.remote, AUTH_PUBKEY);
    c.dpd_delay = 30;
    c.rand_time = 40;
    for (int i = 0; i < 2; i++) {
        assert_non_null(conn_add_child(&c));
        c.children[i].action = POLICY_PROTECT;
        c.children[i].mode = MODE_TUNNEL;
        assert_true(conn_set_text(&c, &c.children[i].name, i ? "net1" : "net0"));
        c.children[i].proposal_count = 1;
        assert_non_null(conn_room(&c.children[i].proposals));
        c.children[i].proposals[0] = (struct proposal){
            .protocol = 3,
            .count = 3,
            .t = {{TR_ENCR, 20, 256}, {TR_KE, TRID_CURVE_25519, 0}, {TR_KE, TRID_KE_NONE, 0}}};
        c.children[i].rand_time = 30;
        c.children[i].rand_bytes = 1ull << 33;
        c.children[i].rand_packets = 1ull << 34;
        assert_non_null(ts_room(&c.children[i].local_ts));
        assert_non_null(ts_room(&c.children[i].remote_ts));
        c.children[i].local_ts->count = 1;
        c.children[i].local_ts->t[0] = range("10.1.0.0", "10.1.255.255", 0, 0, 65535);
        c.children[i].life_bytes = 1ull << 40;
        c.children[i].hw_offload = OFFLOAD_AUTO;
    }
    struct tunnel_route *route = conn_child_route(&c.children[1]);
    assert_non_null(route);
    route->metric = 10;
    addr_parse("10.2.0.1", &route->probe);
    struct writer w = writer_of(buf, sizeof(buf));
    conn_write(&w, &c);
    assert_false(w.bad);
    struct reader r = reader_of(wr_written(&w));
    assert_true(conn_read(&r, &d) && rd_done(&r));
    assert_string_equal((const char *)wr_written(&w).p + CONN_NAME_AT, "site");
    assert_string_equal((const char *)wr_written(&w).p + conn_names_at(&c), "net0");
    assert_string_equal(d.name, "site");
    assert_string_equal(d.ppk_id, "the key");
    for (int i = 0; i < 2; i++) {
        assert_string_equal(d.children[i].name, c.children[i].name);
        d.children[i].name = c.children[i].name;
        size_t octets = proposals_octets(c.children[i].proposals, 1);
        assert_memory_equal(c.children[i].proposals, d.children[i].proposals, octets);
        // As many as there are: thousands of connections are held.
        assert_true(malloc_usable_size(d.children[i].proposals) < octets + 16);
        free(d.children[i].proposals);
        d.children[i].proposals = c.children[i].proposals;
        take_selectors(&d.children[i].local_ts, c.children[i].local_ts);
        take_selectors(&d.children[i].remote_ts, c.children[i].remote_ts);
    }
    assert_true(tunnel_routes_eq(route, d.children[1].route));
    free(d.children[1].route);
    d.children[1].route = route;
    assert_memory_equal(c.children, d.children, 2 * sizeof(*c.children));
    d.children[1].route = NULL;
    d.children[0].proposals = d.children[1].proposals = NULL;
    d.children[0].local_ts = d.children[0].remote_ts = NULL;
    d.children[1].local_ts = d.children[1].remote_ts = NULL;
    assert_sides_equal(&c.local, &d.local);
    assert_sides_equal(&c.remote, &d.remote);
    struct conn_config c_rest = c, d_rest = d; // what has been compared is left out
    memset(&c_rest.local, 0, sizeof(c_rest.local));
    memset(&c_rest.remote, 0, sizeof(c_rest.remote));
    memset(&d_rest.local, 0, sizeof(d_rest.local));
    memset(&d_rest.remote, 0, sizeof(d_rest.remote));
    assert_true(d.local_count == 1 && addr_eq(&d.local_addrs[0], &c.local_addrs[0]));
    assert_true(d.remote_count == 2 && addr_eq(&d.remote_addrs[1], &c.remote_addrs[1]));
    assert_true(malloc_usable_size(d.local_addrs) < 2 * sizeof(struct addr));
    c_rest.texts = d_rest.texts = NULL;
    c_rest.name = d_rest.name = c_rest.ppk_id = d_rest.ppk_id = NULL;
    c_rest.local_addrs = d_rest.local_addrs = NULL;
    c_rest.remote_addrs = d_rest.remote_addrs = NULL;
    assert_memory_equal(&c_rest, &d_rest, offsetof(struct conn_config, children));
    conn_clear(&d);
    for (size_t n = 0; n < w.len; n++) {
        struct reader cut = reader_of(slice_of(buf, n));
        assert_false(conn_read(&cut, &d));
    }
    conn_clear(&c);
}

static void test_messages_cut_anywhere_or_with_a_tail_are_refused(void **state)
{
    (void)state;
    uint8_t buf[2048];
    static union msg m;
    struct msg_CHILD_DERIVE d = {
        .req = 7, .ike_id = 3, .ni = slice_str("nonce"), .child = slice_of("\0\1", 2), .initiator = 1};
    struct writer w = writer_of(buf, sizeof(buf) - 1);
    msg_write(&w, MSG_CHILD_DERIVE, &d);
    assert_int_equal(msg_read(wr_written(&w), &m), MSG_CHILD_DERIVE);
    assert_int_equal(m.CHILD_DERIVE.req, 7);
    assert_true(slice_eq(m.CHILD_DERIVE.ni, slice_str("nonce")));
    for (size_t n = 0; n < w.len; n++)
        assert_int_equal(msg_read(slice_of(buf, n), &m), MSG_NONE);
    buf[w.len] = 0;
    assert_int_equal(msg_read(slice_of(buf, w.len + 1), &m), MSG_NONE);
    assert_int_equal(msg_read(slice_of("\xff\xff", 2), &m), MSG_NONE);
}

static unsigned got, closed;
static void on_message(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx;
    (void)c;
    assert_int_equal(t, MSG_RESULT);
    assert_int_equal(m->RESULT.req, got);
    got++;
}
static void on_closed(void *ctx, struct ipc_chan *c)
{
    (void)ctx;
    closed++;
    ipc_close(c);
}
static const struct ipc_handler handler = {on_message, on_closed};

static void test_channel_keeps_order_when_the_socket_is_full_and_reports_the_end(void **state)
{
    (void)state;
    int fds[2];
    struct loop *l = loop_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    struct ipc_chan *a = ipc_open(l, fds[0], ROOM_PATH, ROOM_KEYS, &handler, NULL),
                    *b = ipc_open(l, fds[1], ROOM_KEYS, ROOM_PATH, &handler, NULL);
    got = closed = 0;
    for (unsigned i = 0; i < 20000; i++)
        assert_int_equal(ipc_result(a, i, true, "some text to fill the socket's buffer with"), 0);
    for (int i = 0; i < 2000 && got < 20000; i++)
        loop_once(l, 0);
    assert_int_equal(got, 20000);
    assert_int_equal(send(fds[0], "\xff\xff", 2, 0), 2); // not a message: b closes
    ipc_close(a);
    for (int i = 0; i < 10; i++)
        loop_once(l, 0);
    assert_int_equal(closed, 1);
    (void)b;
    loop_free(l);
}

// The only ways of what carries secrets, sets policy or asks for keys, written down a second time.
static void test_only_the_rooms_that_may_can_send_what_matters(void **state)
{
    (void)state;
    static const struct {
        enum msg_type t;
        enum room from, to;
    } only[] = {
        {MSG_SECRET_LOAD, ROOM_CTL, ROOM_KEYS},
        {MSG_SECRETS_CLEAR, ROOM_CTL, ROOM_KEYS},
        {MSG_CHILD_INSTALL, ROOM_KEYS, ROOM_PATH},
        {MSG_POLICY_APPLY, ROOM_IKE, ROOM_PATH},
        {MSG_POLICY_CLEAR, ROOM_IKE, ROOM_PATH},
        {MSG_CHILD_DELETE, ROOM_IKE, ROOM_PATH},
        {MSG_CHILD_EXPECT, ROOM_IKE, ROOM_PATH},
        {MSG_CHILD_ENDPOINT, ROOM_IKE, ROOM_PATH},
        {MSG_CONN_LOAD, ROOM_CTL, ROOM_IKE},
        {MSG_AUTH_MAKE, ROOM_IKE, ROOM_KEYS},
        {MSG_CHILD_DERIVE, ROOM_IKE, ROOM_KEYS},
        {MSG_IKE_KEYS, ROOM_KEYS, ROOM_IKE},
        {MSG_GO, ROOM_SUPER, ROOM_CTL},
        {MSG_FETCH, ROOM_IKE, ROOM_FETCH},
        {MSG_FETCHED, ROOM_FETCH, ROOM_IKE},
    };
    for (size_t i = 0; i < sizeof(only) / sizeof(only[0]); i++) {
        for (int a = 0; a < ROOM_COUNT; a++) {
            for (int b = 0; b < ROOM_COUNT; b++) {
                bool may = a == (int)only[i].from && b == (int)only[i].to;
                assert_int_equal(ipc_may_send((enum room)a, (enum room)b, only[i].t), may);
            }
        }
    }
    assert_false(ipc_may_send(ROOM_IKE, ROOM_KEYS, MSG_RESULT)); // path's answer, forged by ike
    assert_false(ipc_may_send(ROOM_IKE, ROOM_PATH, MSG_SHUTDOWN));
    for (int t = MSG_NONE; t <= MSG_COUNT; t++) // there is no channel from a room to itself
        for (int a = 0; a < ROOM_COUNT; a++)
            assert_false(ipc_may_send((enum room)a, (enum room)a, (enum msg_type)t));
}

// Every message, as an empty one from ike to path: those that ike may not send end the channel unheard.
static unsigned heard;
static void hear(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx, (void)c, (void)t, (void)m;
    heard++;
}

static void test_a_message_from_the_wrong_room_ends_the_channel_unheard(void **state)
{
    (void)state;
    static const struct ipc_handler h = {hear, on_closed};
    static const union msg empty;
    unsigned refused = 0;
    for (int t = MSG_NONE + 1; t < MSG_COUNT; t++) {
        uint8_t buf[4096];
        int fds[2];
        struct loop *l = loop_new();
        struct writer w = writer_of(buf, sizeof(buf));
        bool may = ipc_may_send(ROOM_IKE, ROOM_PATH, (enum msg_type)t);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
        struct ipc_chan *c = ipc_open(l, fds[1], ROOM_PATH, ROOM_IKE, &h, NULL);
        msg_write(&w, (enum msg_type)t, &empty);
        assert_int_equal(send(fds[0], buf, w.len, 0), (ssize_t)w.len);
        heard = closed = 0;
        loop_once(l, 0);
        assert_int_equal(heard, may);
        assert_int_equal(closed, !may);
        refused += closed;
        if (!closed)
            ipc_close(c);
        close(fds[0]);
        loop_free(l);
    }
    assert_in_range(refused, 30, MSG_COUNT - 2);
}

// ---- descriptors

static int came_fd; // with the last CHANNEL
static void take_fd(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx;
    assert_int_equal(t, MSG_CHANNEL);
    assert_int_equal(m->CHANNEL.room, ROOM_FETCH);
    came_fd = ipc_take_fd(c);
    assert_int_equal(ipc_take_fd(c), -1); // once
}

static unsigned open_fds(void)
{
    unsigned n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void test_channel_comes_with_its_descriptor_in_its_place(void **state)
{
    (void)state;
    static const struct ipc_handler h = {take_fd, on_closed};
    int fds[2], pipes[2];
    char b = 0;
    struct loop *l = loop_new();
    unsigned before = open_fds();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    struct ipc_chan *a = ipc_open(l, fds[0], ROOM_SUPER, ROOM_IKE, &h, NULL),
                    *c = ipc_open(l, fds[1], ROOM_IKE, ROOM_SUPER, &h, NULL);
    for (int i = 0; i < 400; i++) { // the first go straight into the socket, the others wait
        assert_int_equal(pipe(pipes), 0);
        assert_int_equal(ipc_send_channel(a, ROOM_FETCH, pipes[1]), 0);
        assert_int_equal(fcntl(pipes[1], F_GETFD), -1); // taken
        came_fd = -1;
        loop_once(l, 0);
        loop_once(l, 0);
        assert_true(came_fd >= 0 && (fcntl(came_fd, F_GETFD) & FD_CLOEXEC));
        assert_int_equal(write(came_fd, "x", 1), 1);
        assert_int_equal(read(pipes[0], &b, 1), 1);
        close(came_fd);
        close(pipes[0]);
    }
    ipc_close(a);
    ipc_close(c);
    assert_int_equal(open_fds(), before);
    loop_free(l);
}

enum { FDS = 100 };
static int took[FDS];
static unsigned took_count;
static void take_all(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx, (void)t, (void)m;
    assert_true(took_count < FDS);
    took[took_count++] = ipc_take_fd(c);
}

static void test_descriptors_that_wait_go_in_order_or_are_closed(void **state)
{
    (void)state;
    static const struct ipc_handler h = {take_all, on_closed};
    int fds[2], pipes[FDS][2], size = 4096;
    for (int read_all = 0; read_all < 2; read_all++) {
        struct loop *l = loop_new();
        unsigned before = open_fds();
        char b;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
        struct ipc_chan *a = ipc_open(l, fds[0], ROOM_SUPER, ROOM_IKE, &h, NULL);
        assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
        for (int i = 0; i < FDS; i++) {
            assert_int_equal(pipe(pipes[i]), 0);
            assert_int_equal(ipc_send_channel(a, ROOM_FETCH, pipes[i][1]), 0);
        }
        took_count = 0;
        struct ipc_chan *c = ipc_open(l, fds[1], ROOM_IKE, ROOM_SUPER, &h, NULL);
        for (int i = 0; i < FDS && read_all; i++)
            loop_once(l, 0);
        assert_int_equal(took_count, read_all ? FDS : 0);
        ipc_close(a); // otherwise with all of them in its queue or the socket
        ipc_close(c);
        for (unsigned i = 0; i < FDS; i++) {
            if (read_all) {
                assert_int_equal(write(took[i], "x", 1), 1);
                assert_int_equal(read(pipes[i][0], &b, 1), 1);
                close(took[i]);
            }
            close(pipes[i][0]);
        }
        assert_int_equal(open_fds(), before);
        loop_free(l);
    }
}

// A descriptor with anything else, or from anybody else, and a CHANNEL without one, open nothing here.
static void test_descriptor_that_nobody_may_send_is_not_taken(void **state)
{
    (void)state;
    static const struct ipc_handler h = {hear, on_closed};
    static const struct {
        enum room from;
        enum msg_type t;
        bool with, heard;
    } cases[] = {{ROOM_SUPER, MSG_CHANNEL, false, false},
                 {ROOM_SUPER, MSG_SHUTDOWN, true, false},
                 {ROOM_SUPER, MSG_SHUTDOWN, false, true},
                 {ROOM_KEYS, MSG_CHANNEL, true, false},
                 {ROOM_KEYS, MSG_KE_PUBLIC, true, true}}; // and it is not kept
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t buf[4096];
        int fds[2];
        struct loop *l = loop_new();
        static const union msg empty;
        struct writer w = writer_of(buf, sizeof(buf));
        _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))] = {0};
        struct cmsghdr *hdr = (void *)control;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
        struct ipc_chan *c = ipc_open(l, fds[1], ROOM_IKE, cases[i].from, &h, NULL);
        msg_write(&w, cases[i].t, &empty);
        struct iovec iov = {buf, w.len};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
        *hdr = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(hdr), &fds[0], sizeof(int));
        if (cases[i].with) {
            msg.msg_control = control;
            msg.msg_controllen = sizeof(control);
        }
        unsigned before = open_fds();
        assert_int_equal(sendmsg(fds[0], &msg, 0), (ssize_t)w.len);
        heard = closed = 0;
        loop_once(l, 0);
        assert_int_equal(heard, cases[i].heard);
        assert_int_equal(closed, !cases[i].heard);
        assert_int_equal(open_fds(), before - closed);
        if (!closed)
            ipc_close(c);
        close(fds[0]);
        loop_free(l);
    }
}

static struct ipc_chan *sinking;
static void sink(void *ctx, enum log_subsys s, int level, const char *ike_name, unsigned ike_id,
                 const char *text)
{
    (void)ctx, (void)s, (void)level, (void)ike_name, (void)ike_id;
    ipc_result(sinking, 1, false, "%s", text);
}

static void forget(void *ctx, struct ipc_chan *c)
{
    (void)ctx;
    closed++;
    sinking = NULL;
    ipc_close(c);
}

// The line that tells of the full queue goes to a sink that sends on the same channel, as in every room but
// ctl.
static void test_channel_whose_reader_sleeps_is_closed_once_although_the_log_uses_it(void **state)
{
    (void)state;
    static const struct ipc_handler h = {on_message, forget};
    int fds[2];
    struct loop *l = loop_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    sinking = ipc_open(l, fds[0], ROOM_PATH, ROOM_IKE, &h, NULL);
    closed = 0;
    log_set_sink(sink, NULL);
    int rc = 0;
    for (unsigned i = 0; i < 200000 && rc == 0; i++)
        rc = ipc_result(sinking, i, true, "some text to fill the queue of a channel that nobody reads with");
    assert_true(rc < 0);
    assert_int_equal(closed, 0); // not out of a send: its caller may be walking what closed() frees
    log_set_sink(NULL, NULL);
    for (int i = 0; i < 5; i++)
        loop_once(l, 0);
    assert_int_equal(closed, 1);
    assert_null(sinking);
    close(fds[1]);
    loop_free(l);
}

static void test_policies_on_the_wire_come_back_equal_and_malformed_ones_are_refused(void **state)
{
    (void)state;
    static uint8_t buf[4096];
    struct policy_spec in[2], *out;
    unsigned count;
    struct writer w = writer_of(buf, sizeof(buf));
    memset(in, 0, sizeof(in));
    for (unsigned i = 0; i < 2; i++) {
        in[i] = (struct policy_spec){
            .id = 7 + i, .child = "net", .action = POLICY_PROTECT + i, .mode = MODE_TUNNEL, .priority = i};
        in[i].later = (uint8_t)i;
        in[i].local.count = 1;
        in[i].local.t[0] = (struct ts){.family = 4, .port_hi = 65535, .hi = {255, 255, 255, 255}};
        in[i].remote.count = 1;
        in[i].remote.t[0] = (struct ts){.proto = 17, .port_lo = 5, .port_hi = 9}; // dynamic
    }
    in[0].if_id = 5;
    in[0].route.metric = 10;
    in[0].route.probe_delay = 2;
    addr_parse("10.2.0.1", &in[0].route.probe);
    addr_parse("10.1.255.1", &in[0].route.probe_from);
    policies_write(&w, in, 2);
    assert_int_equal(policies_read(wr_written(&w), &out, &count), 0);
    assert_int_equal(count, 2);
    assert_true(tunnel_routes_eq(&out[0].route, &in[0].route));
    assert_memory_equal(out, in, sizeof(in));
    free(out);
    for (size_t cut = 0; cut < w.len; cut++)
        assert_int_equal(policies_read(slice_of(buf, cut), &out, &count), -EBADMSG);
    buf[0] = 0x7f; // a count that no message can hold is not allocated for
    assert_int_equal(policies_read(wr_written(&w), &out, &count), -EBADMSG);
    for (unsigned bad = 0; bad < 4; bad++) {
        struct policy_spec one = in[0];
        one.id = bad == 0 ? 0 : 1;
        one.action = bad == 1 ? POLICY_DISCARD + 1 : POLICY_BYPASS;
        one.mode = bad == 2 ? 0 : MODE_TUNNEL;
        one.later = bad == 3 ? 2 : 0;
        one.route.metric = 0;
        w = writer_of(buf, sizeof(buf));
        policies_write(&w, &one, 1);
        assert_int_equal(policies_read(wr_written(&w), &out, &count), -EBADMSG);
    }
    for (unsigned bad = 0; bad < 6; bad++) { // of routes into a tunnel
        struct policy_spec one = in[0];
        one.if_id = bad == 0 ? 0 : 5;
        one.action = bad == 1 ? POLICY_BYPASS : POLICY_PROTECT;
        one.route.metric = bad == 2 ? ROUTE_METRICS + 1 : 10;
        one.route.probe_delay = bad == 3 ? 0 : 1;
        one.route.probe_from.family = bad == 4 ? 6 : 4;
        one.route.probe.family = bad == 5 ? 7 : 4;
        w = writer_of(buf, sizeof(buf));
        policies_write(&w, &one, 1);
        assert_int_equal(policies_read(wr_written(&w), &out, &count), -EBADMSG);
    }
}

// Log lines give way: a reader that stands still costs lines, never the channel.
static void test_log_lines_to_a_room_that_does_not_read_are_dropped(void **state)
{
    (void)state;
    int fds[2], rc = 0;
    struct loop *l = loop_new();
    struct msg_LOG m = {.text = "some text to fill the socket's buffer with"};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    struct ipc_chan *a = ipc_open(l, fds[0], ROOM_PATH, ROOM_CTL, &handler, NULL);
    for (unsigned i = 0; i < 200000 && rc == 0; i++)
        rc = ipc_send(a, MSG_LOG, &m);
    assert_int_equal(rc, -ENOBUFS);
    for (int i = 0; i < 1000; i++)
        ipc_send(a, MSG_LOG, &m);
    assert_int_equal(ipc_result(a, 1, true, "%s", ""), 0); // what counts still goes
    for (unsigned i = 0; i < 1000000 && ipc_has_room(a); i++)
        assert_int_equal(ipc_result(a, 1, true, "an entry of a long list"), 0);
    assert_false(ipc_has_room(a)); // in time for the list's own end
    assert_int_equal(ipc_result(a, 1, false, "%s", ""), 0);
    ipc_close(a);
    close(fds[1]);
    loop_free(l);
}

static unsigned lines;
static void count_lines(void *ctx, struct ipc_chan *c, enum msg_type t, const union msg *m)
{
    (void)ctx, (void)c;
    assert_int_equal(t, MSG_LOG);
    assert_int_equal(m->LOG.room, ROOM_IKE);
    assert_string_equal(m->LOG.text, "a line");
    lines++;
}

// What nobody takes is not sent; until ctl has said so, all is.
static void test_log_lines_are_sent_where_somebody_takes_them(void **state)
{
    static const struct ipc_handler h = {count_lines, on_closed};
    static const struct msg_LISTEN said[] = {{0, 0, 1}, {1, 0, 0}, {0, 1, 0}, {1, 1, 1}};
    (void)state;
    int fds[2];
    struct loop *l = loop_new();
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    struct ipc_chan *ike = ipc_open(l, fds[0], ROOM_IKE, ROOM_CTL, &h, NULL),
                    *ctl = ipc_open(l, fds[1], ROOM_CTL, ROOM_IKE, &h, NULL);
    lines = 0;
    ipc_log(NULL, LOG_DMN, 1, "", 0, "a line");
    ipc_log(ike, LOG_DMN, 1, "", 0, "a line");
    assert_false(ipc_takes_events(NULL));
    assert_true(ipc_takes_events(ike));
    assert_false(ipc_takes_alerts(NULL) || ipc_takes_alerts(ike)); // these are not, until somebody wants them
    loop_once(l, 0);
    assert_int_equal(lines, 1);
    for (unsigned i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        lines = 0;
        ipc_send(ctl, MSG_LISTEN, &said[i]);
        loop_once(l, 0);
        ipc_log(ike, LOG_DMN, 1, "", 0, "a line");
        loop_once(l, 0);
        assert_int_equal(lines, said[i].logs);
        assert_int_equal(ipc_takes_events(ike), said[i].events);
        assert_int_equal(ipc_takes_alerts(ike), said[i].alerts);
    }
    ipc_close(ike);
    ipc_close(ctl);
    loop_free(l);
}

// A reader that goes on reading finds a line that says how many are missing, in their place.
static void test_dropped_log_messages_are_counted_and_told(void **state)
{
    (void)state;
    static uint8_t buf[IPC_MAX_MESSAGE];
    int fds[2];
    unsigned sent = 0, came = 0, missing = 0;
    union msg line;
    struct loop *l = loop_new();
    struct msg_LOG m = {.text = "some text to fill the socket's buffer with"};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    struct ipc_chan *a = ipc_open(l, fds[0], ROOM_PATH, ROOM_CTL, &handler, NULL);
    while (ipc_logs_dropped(a) < 1000 && sent < 300000)
        sent += ipc_send(a, MSG_LOG, &m) != -ENOTCONN;
    assert_int_equal(ipc_logs_dropped(a), 1000);
    for (int idle = 0; idle < 3;) {
        ssize_t n = recv(fds[1], buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0) {
            loop_once(l, 0);
            idle++;
            if (idle == 2)
                sent += ipc_send(a, MSG_LOG, &m) == 0; // after it has read all
            continue;
        }
        idle = idle == 2 ? 2 : 0;
        assert_int_equal(msg_read(slice_of(buf, (size_t)n), &line), MSG_LOG);
        if (strstr(line.LOG.text, "are missing here: ctl did not read them"))
            missing += (unsigned)strtoul(line.LOG.text, NULL, 10);
        else
            came++;
    }
    assert_int_equal(missing, 1000);
    assert_int_equal(came + missing, sent);
    ipc_close(a);
    close(fds[1]);
    loop_free(l);
}

static void test_dropped_log_lines_are_counted_and_told(void **state)
{
    (void)state;
    char buf[4096];
    int fds[2];
    struct log *l = log_new();
    assert_int_equal(pipe(fds), 0);
    struct log *before = log_use(l);
    log_set_output(fds[1]);
    log_set_all(1);
    for (int i = 0; i < 5000; i++)
        LOGF(DMN, 0, "line %d, longer than a few octets so that the pipe is full soon", i);
    unsigned long long dropped = log_dropped();
    assert_true(dropped > 100 && dropped < 5000);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    while (read(fds[0], buf, sizeof(buf)) > 0)
        ;
    LOGF(DMN, 0, "on again");
    ssize_t n = read(fds[0], buf, sizeof(buf) - 1);
    assert_true(n > 0);
    buf[n] = 0;
    char want[64];
    snprintf(want, sizeof(want), "%llu lines are missing here", dropped);
    assert_non_null(strstr(buf, want));
    assert_non_null(strstr(strstr(buf, want), "on again"));
    LOGF(DMN, 0, "and on");
    n = read(fds[0], buf, sizeof(buf) - 1);
    assert_true(n > 0);
    buf[n] = 0;
    assert_null(strstr(buf, "missing")); // once
    log_use(before);
    log_free(l);
    close(fds[0]);
    close(fds[1]);
}

static void test_log_to_a_pipe_that_nobody_reads_does_not_block(void **state)
{
    (void)state;
    int fds[2];
    struct log *l = log_new();
    assert_int_equal(pipe(fds), 0);
    struct log *before = log_use(l);
    log_set_output(fds[1]);
    log_set_all(1);
    alarm(20); // a blocked write ends the test
    for (int i = 0; i < 5000; i++)
        LOGF(DMN, 0, "line %d, longer than a few octets so that the pipe is full soon", i);
    alarm(0);
    log_use(before);
    log_free(l);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_past_the_end_is_bad_and_gives_zeros),
        cmocka_unit_test(test_writer_full_is_bad_and_writes_nothing_more),
        cmocka_unit_test(test_timers_fire_in_order_and_stopped_ones_do_not),
        cmocka_unit_test(test_selectors_intersect_contain_and_print),
        cmocka_unit_test(test_opaque_ports_lie_in_any_and_in_themselves_alone),
        cmocka_unit_test(test_ranges_split_into_prefixes_that_cover_them_exactly),
        cmocka_unit_test(test_lists_of_octets_refuse_what_they_have_no_room_for),
        cmocka_unit_test(test_a_connection_and_its_child_are_small),
        cmocka_unit_test(test_connection_written_and_read_is_the_same_and_every_cut_is_refused),
        cmocka_unit_test(test_messages_cut_anywhere_or_with_a_tail_are_refused),
        cmocka_unit_test(test_channel_keeps_order_when_the_socket_is_full_and_reports_the_end),
        cmocka_unit_test(test_only_the_rooms_that_may_can_send_what_matters),
        cmocka_unit_test(test_a_message_from_the_wrong_room_ends_the_channel_unheard),
        cmocka_unit_test(test_channel_comes_with_its_descriptor_in_its_place),
        cmocka_unit_test(test_descriptors_that_wait_go_in_order_or_are_closed),
        cmocka_unit_test(test_descriptor_that_nobody_may_send_is_not_taken),
        cmocka_unit_test(test_channel_whose_reader_sleeps_is_closed_once_although_the_log_uses_it),
        cmocka_unit_test(test_policies_on_the_wire_come_back_equal_and_malformed_ones_are_refused),
        cmocka_unit_test(test_log_lines_to_a_room_that_does_not_read_are_dropped),
        cmocka_unit_test(test_log_lines_are_sent_where_somebody_takes_them),
        cmocka_unit_test(test_dropped_log_messages_are_counted_and_told),
        cmocka_unit_test(test_dropped_log_lines_are_counted_and_told),
        cmocka_unit_test(test_log_to_a_pipe_that_nobody_reads_does_not_block),
    };
    return cmocka_run_group_tests_name("daemon library", tests, NULL, NULL);
}
