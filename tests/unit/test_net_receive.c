// SPDX-License-Identifier: Apache-2.0
// Datagrams many a call, and many in one: against a model of the kernel's calls, through the whole of path,
// and over the loop of the machine that the test runs on, which puts together what was sent together.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ctrl/path/io.h"
#include "tests/unit/path_rig.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

// ---- the calls

static struct model {
    int missing; // errno of recvmmsg
    unsigned waiting, many, single;
} k;

static int fill(struct msghdr *m)
{
    uint8_t number = (uint8_t)k.waiting--;
    memset(m->msg_iov->iov_base, number, 10);
    m->msg_controllen = 0;
    m->msg_flags = 0;
    *(struct sockaddr_in *)m->msg_name =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(number)};
    return 10;
}

static int model_recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *timeout)
{
    unsigned got = 0;
    (void)timeout;
    assert_true(fd == 7 && flags == (MSG_DONTWAIT | MSG_TRUNC));
    k.many++;
    errno = k.missing ? k.missing : EAGAIN;
    for (; !k.missing && k.waiting && got < n; got++)
        m[got].msg_len = (unsigned)fill(&m[got].msg_hdr);
    return got ? (int)got : -1;
}

static ssize_t model_recvmsg(int fd, struct msghdr *m, int flags)
{
    assert_true(fd == 7 && flags == (MSG_DONTWAIT | MSG_TRUNC));
    k.single++;
    errno = EAGAIN;
    return k.waiting ? fill(m) : -1;
}

static const struct net_receive_calls calls = {model_recvmmsg, model_recvmsg};

static unsigned take_all(struct net_receiver *r)
{
    uint8_t room[NET_RECEIVE_MAX][20];
    struct datagram d[NET_RECEIVE_MAX];
    unsigned expected = k.waiting;
    int got;
    do {
        for (int i = 0; i < NET_RECEIVE_MAX; i++)
            d[i] = (struct datagram){.p = room[i], .cap = sizeof(room[i])};
        got = net_receive(r, 7, d, 100);
        for (int i = 0; i < got; i++, expected--) {
            assert_int_equal(d[i].len, 10);
            assert_int_equal(d[i].segment, 0);
            assert_int_equal(room[i][9], expected);
            assert_int_equal(d[i].a.from_port, expected);
        }
    } while (got == NET_RECEIVE_MAX);
    return expected;
}

static void test_many_datagrams_come_in_one_call(void **state)
{
    struct net_receiver r = {.calls = &calls};
    (void)state;
    k = (struct model){.waiting = 40};
    assert_int_equal(take_all(&r), 0);
    assert_int_equal(k.many, 3);
    assert_int_equal(k.single, 0);
    assert_int_equal(net_receive(&r, 7, NULL, 0), -EAGAIN);
}

static void test_a_kernel_without_that_call_is_asked_for_one_at_a_time(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct net_receiver r = {.calls = &calls};
        k = (struct model){.waiting = 40, .missing = i ? EPERM : ENOSYS};
        assert_int_equal(take_all(&r), 0);
        assert_int_equal(k.many, 1);
        assert_int_equal(k.single, 41);
    }
}

static void test_nothing_there_is_no_missing_call(void **state)
{
    struct net_receiver r = {.calls = &calls};
    struct datagram d = {0};
    (void)state;
    k = (struct model){0};
    assert_int_equal(net_receive(&r, 7, &d, 1), -EAGAIN);
    assert_false(r.one_by_one);
}

// ---- taken apart

static struct together {
    uint8_t bytes[80000];
    uint32_t len, segment;
    struct arrival a;
    unsigned given;
} all; // net's hooks have no other way to it

static int give_together(void *ctx, enum path_socket from, struct datagram *d, unsigned n)
{
    (void)ctx;
    if (from != PATH_UDP || !n || !all.len)
        return -EAGAIN;
    uint32_t first = all.len < d->cap ? all.len : d->cap;
    assert_true(all.len - first <= d->more_cap);
    memcpy(d->p, all.bytes, first);
    memcpy(d->more, all.bytes + first, all.len - first);
    d->len = all.len;
    d->segment = all.segment;
    d->a = all.a;
    all.len = 0;
    all.given++;
    return 1;
}

static void begin(struct rig *r)
{
    const uint8_t lo[4] = {127, 0, 0, 1};
    memset(&all, 0, sizeof(all));
    all.a =
        (struct arrival){.from.family = 4, .to.family = 4, .from_port = r->udp_port, .ttl = 64, .index = 3};
    memcpy(all.a.from.a, lo, 4);
    memcpy(all.a.to.a, lo, 4);
    r->p->worker->net.receive = give_together;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
}

static void put(const void *p, uint32_t n)
{
    assert_true(all.len + n <= sizeof(all.bytes));
    memcpy(all.bytes + all.len, p, n);
    all.len += n;
}

static void seal(struct rig *r, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rig_seal(r, 0x1001, "10.2.0.1", from + i);
        put(r->last_in, (uint32_t)r->last_in_len);
        all.segment = (uint32_t)r->last_in_len;
    }
}

static void expect(struct rig *r, uint32_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(rig_read(r), from + i);
    assert_int_equal(rig_read(r), UINT32_MAX);
}

static void arrive(struct rig *r)
{
    in_udp(&r->p->worker->udp_fd, 0);
    rig_turn(r);
}

static void test_what_came_together_is_taken_apart_in_order(void **state)
{
    static const uint32_t counts[] = {2, 3, 63, 64, 65, 200};
    struct rig *r = *state;
    uint32_t at = 0;
    begin(r);
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        seal(r, at, counts[i]);
        arrive(r);
        expect(r, at, counts[i]);
        at += counts[i];
    }
    assert_int_equal(r->p->worker->taken_apart, 6);
    assert_int_equal(sadb_by_id(r->p, 1)->in.packets, at);
}

static void test_the_last_may_be_shorter_and_anything(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    begin(r);
    seal(r, 0, 40);
    put("\xff", 1);
    arrive(r);
    expect(r, 0, 40);
    assert_int_equal(w->keepalives, 1);
    seal(r, 40, 40);
    put("abc", 3);
    arrive(r);
    expect(r, 40, 40);
    assert_int_equal(w->drop_in[ESP_STATUS_NOT_ESP], 1);
    seal(r, 80, 2);
    all.bytes[0] ^= 1; // one is forged or not ours: the other is let in
    arrive(r);
    expect(r, 81, 1);
    assert_int_equal(w->drop_in[ESP_STATUS_NO_SA], 1);
}

// So many octets with their marker.
static uint8_t *ike_message(uint32_t n)
{
    static uint8_t m[6000];
    memset(m, 0, 4);
    memset(m + 4, (int)n, n - 4);
    m[28] = m[29] = 0;
    m[30] = (uint8_t)((n - 4) >> 8);
    m[31] = (uint8_t)(n - 4);
    return m;
}

static void forget_told(struct rig *r)
{
    static uint8_t buf[IPC_MAX_MESSAGE];
    while (recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT) > 0)
        ;
}

// The next that was handed on, as it was sent.
static void expect_handed_on(struct rig *r, uint32_t n)
{
    static uint8_t buf[IPC_MAX_MESSAGE];
    const uint8_t *message = ike_message(n);
    union msg m = {0};
    ssize_t got;
    while ((got = recv(r->ike, buf, sizeof(buf), MSG_DONTWAIT)) > 0 &&
           msg_read(slice_of(buf, (size_t)got), &m) != MSG_IKE_DATAGRAM)
        ;
    assert_true(got > 0);
    assert_int_equal(m.IKE_DATAGRAM.datagram.len, n - 4);
    assert_memory_equal(m.IKE_DATAGRAM.datagram.p, message + 4, n - 4);
    assert_int_equal(m.IKE_DATAGRAM.remote_port, r->udp_port);
    assert_int_equal(m.IKE_DATAGRAM.interface, 3);
    assert_memory_equal(m.IKE_DATAGRAM.remote.a, all.a.from.a, 16);
    assert_memory_equal(m.IKE_DATAGRAM.local.a, all.a.to.a, 16);
}

static void test_ike_that_came_together_with_esp_goes_to_ike(void **state)
{
    struct rig *r = *state;
    begin(r);
    forget_told(r);
    seal(r, 0, 30);
    put(ike_message(all.segment - 1), all.segment - 1);
    arrive(r);
    expect(r, 0, 30);
    assert_int_equal(r->p->worker->ike_handed_on, 1);
    expect_handed_on(r, all.segment - 1);
}

static void test_esp_behind_ike_and_between_is_let_in(void **state)
{
    struct rig *r = *state;
    begin(r);
    rig_seal(r, 0x1001, "10.2.0.1", 0); // only to know how long it is
    forget_told(r);
    uint32_t n = (uint32_t)r->last_in_len;
    put(ike_message(n), n);
    seal(r, 1, 3);
    put(ike_message(n), n);
    put(ike_message(n), n);
    seal(r, 4, 2);
    arrive(r);
    expect(r, 1, 5);
    assert_int_equal(r->p->worker->ike_handed_on, 3);
    for (int i = 0; i < 3; i++)
        expect_handed_on(r, n);
}

static void test_ike_longer_than_any_packet_of_ours_is_handed_on_too(void **state)
{
    struct rig *r = *state;
    begin(r);
    forget_told(r);
    put(ike_message(5000), 5000);
    put(ike_message(5000), 5000);
    memset(all.bytes + all.len, 1, 5000);
    all.len += 5000;
    put(ike_message(3000), 3000);
    all.segment = 5000;
    arrive(r);
    assert_int_equal(r->p->worker->ike_handed_on, 3);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_TRUNCATED], 1);
    expect_handed_on(r, 5000);
    expect_handed_on(r, 5000);
    expect_handed_on(r, 3000);
}

// What ike could not read is not handed on, alone or together.
static void test_a_marker_without_the_ike_header_of_that_length_is_dropped(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    begin(r);
    for (uint32_t n = 4; n < 40; n++) {
        put(ike_message(n < 32 ? 32 : n), n);
        all.bytes[31] += n >= 32; // octets that are not there
        arrive(r);
        assert_int_equal(w->drop_in[ESP_STATUS_NOT_ESP], n - 3);
    }
    put(ike_message(60), 60);
    put("\0\0\0\0", 4);
    all.segment = 60;
    arrive(r);
    assert_int_equal(w->drop_in[ESP_STATUS_NOT_ESP], 37);
    assert_int_equal(w->ike_handed_on, 1);
    assert_int_equal(w->ike_lost, 0);
}

static void test_ike_that_does_not_keep_up_loses_it_counted(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    begin(r);
    for (int i = 0; i < 10000 && !w->ike_lost; i++) { // nobody reads them
        put(ike_message(5000), 5000);
        put(ike_message(5000), 5000);
        all.segment = 5000;
        in_udp(&w->udp_fd, 0);
    }
    assert_true(w->ike_lost > 0 && w->ike_handed_on > 0);
}

static void test_without_a_free_packet_the_rest_is_counted(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    static struct packet *kept[PATH_JOBS];
    begin(r);
    struct child *c = sadb_by_id(r->p, 1);
    for (int i = 0; i < PATH_JOBS - 10; i++)
        assert_non_null(kept[i] = packet_get(w));
    c->in.state = HALF_MOVING; // they wait
    seal(r, 0, 30);
    arrive(r);
    assert_int_equal(w->queue_full, 20);
    c->in.state = HALF_READY;
    io_flush_waiting(w, &c->in);
    io_pump(w);
    expect(r, 0, 10);
    for (int i = 0; i < PATH_JOBS - 10; i++)
        packet_release(w, kept[i]);
}

static void test_what_is_longer_than_any_packet_of_ours_is_counted_each(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    begin(r);
    memset(all.bytes, 1, sizeof(all.bytes)); // not the marker of IKE
    all.len = 10001;
    all.segment = 5000;
    arrive(r);
    assert_int_equal(w->drop_in[ESP_STATUS_TRUNCATED], 3);
    all.len = 9000;
    all.segment = 0;
    arrive(r);
    assert_int_equal(w->drop_in[ESP_STATUS_TRUNCATED], 4);
    seal(r, 0, 2); // and the others as ever
    arrive(r);
    expect(r, 0, 2);
}

static unsigned asked;

// As much as there is room for, and there is no end of it: too long for any packet of ours, or cut.
static int give_without_end(void *ctx, enum path_socket from, struct datagram *d, unsigned n)
{
    (void)ctx;
    if (from != PATH_UDP || !n || asked == 10 * PATH_BURST)
        return -EAGAIN;
    asked++;
    for (unsigned i = 0; i < n; i++) {
        memset(d[i].p, 1, d[i].cap);
        memset(d[i].more, 1, 10000 - d[i].cap);
        d[i].len = 10000;
        d[i].segment = 5000;
        d[i].a = all.a;
    }
    return (int)n;
}

static void test_no_sender_keeps_path_at_one_socket(void **state)
{
    struct rig *r = *state;
    struct loop_fd f = {.ctx = r->p->worker};
    begin(r);
    r->p->worker->net.receive = give_without_end;
    for (int cut = 0; cut < 2; cut++) {
        all.a.cut = cut;
        asked = 0;
        in_udp(&f, 0);
        assert_in_range(asked, 1, PATH_BURST);
    }
}

static struct { // datagrams that wait, each too short for a packet
    unsigned left, calls, room;
} alone;

static int give_alone(void *ctx, enum path_socket from, struct datagram *d, unsigned n)
{
    unsigned i = 0;
    (void)ctx;
    assert_int_equal(from, PATH_ESP);
    alone.calls++;
    alone.room += n;
    for (; i < n && alone.left; i++, alone.left--)
        d[i].len = 1;
    return i ? (int)i : -EAGAIN;
}

static unsigned calls_for(struct rig *r, unsigned each, unsigned turns)
{
    alone.calls = alone.room = 0;
    for (unsigned i = 0; i < turns; i++) {
        alone.left = each;
        in_raw(&r->p->worker->raw_fd, 0);
        assert_int_equal(alone.left, 0);
    }
    return alone.calls;
}

// Room costs time, too.
static void test_room_is_made_for_about_as_many_as_came_before(void **state)
{
    struct rig *r = *state;
    begin(r);
    r->p->worker->net.receive = give_alone;
    assert_int_equal(calls_for(r, 1, 20), 20);
    assert_int_equal(alone.room, 2 + 19 * 3);
    assert_int_equal(calls_for(r, 40, 1), 4); // of 3, 16, 16 and 16
    assert_int_equal(calls_for(r, 7, 20), 20);
    assert_int_equal(alone.room, NET_RECEIVE_MAX + 19 * 9);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_TRUNCATED], 20 + 40 + 7 * 20);
}

// ---- the machine's own

static void test_this_kernel_gives_together_what_it_has_together(void **state)
{
    struct rig *r = *state;
    static uint8_t bytes[64 * 200];
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(r->own_port)};
    struct iovec v = {bytes, 0};
    struct msghdr m = {.msg_name = &to,
                       .msg_namelen = sizeof(to),
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    int on = 1;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    for (int cuts = 0; cuts < 2; cuts++) { // as if the kernel did not, and as it does
        uint16_t size = 0;
        if (setsockopt(r->env.sock_esp_nat_t, IPPROTO_UDP, UDP_GRO, &cuts, sizeof(cuts)) < 0 ||
            setsockopt(r->udp, IPPROTO_UDP, UDP_SEGMENT, &(int){0}, sizeof(on)) < 0)
            skip(); // a kernel that can neither
        v.iov_len = 0;
        for (uint32_t i = 0; i < 50; i++) {
            rig_seal(r, 0x1001, "10.2.0.1", i);
            size = (uint16_t)r->last_in_len;
            memcpy(bytes + v.iov_len, r->last_in, size);
            v.iov_len += size;
        }
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof(size));
        memcpy(CMSG_DATA(c), &size, sizeof(size));
        assert_int_equal(sendmsg(r->udp, &m, 0), v.iov_len);
        rig_turn(r);
        expect(r, 0, 50);
        assert_int_equal(r->p->worker->taken_apart, cuts);
    }
}

// How many path tells that its UDP socket had no room for; of the TUN in *tun.
static unsigned told_lost(struct rig *r, unsigned *tun)
{
    static uint8_t buf[IPC_MAX_MESSAGE];
    static char text[16384];
    union msg m = {0};
    ssize_t n;
    stats_counters(r->p, 7);
    while ((n = recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT)) > 0 &&
           msg_read(slice_of(buf, (size_t)n), &m) != MSG_PATH_STATS_IS)
        ;
    assert_true(n > 0 && m.PATH_STATS_IS.counters.len < sizeof(text));
    memcpy(text, m.PATH_STATS_IS.counters.p, m.PATH_STATS_IS.counters.len);
    text[m.PATH_STATS_IS.counters.len] = 0;
    const char *udp = strstr(text, "receive_queue_full_udp "), *of_tun = strstr(text, "tun_queue_full ");
    assert_null(strstr(text, "receive_queue_full_esp"));
    assert_non_null(of_tun);
    *tun = (unsigned)strtoul(of_tun + strlen("tun_queue_full "), NULL, 10);
    return udp ? (unsigned)strtoul(udp + strlen("receive_queue_full_udp "), NULL, 10) : 0;
}

static void test_what_a_queue_had_no_room_for_is_told(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    uint8_t room[600];
    struct datagram d = {.p = room, .cap = sizeof(room)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(r->own_port)};
    int little = 20000;
    unsigned came = 0, tun;
    fake_tun_lost = 5;
    assert_int_equal(told_lost(r, &tun), 0);
    assert_int_equal(tun, 5);
    assert_int_equal(setsockopt(r->env.sock_esp_nat_t, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
    for (int i = 0; i < 300; i++) {
        memset(room, 1, 500);
        assert_int_equal(sendto(r->udp, room, 500, 0, (struct sockaddr *)&to, sizeof(to)), 500);
    }
    while (net_receive(&w->sockets.receiver, r->env.sock_esp_nat_t, &d, 1) == 1)
        came++;
    assert_true(came > 0 && came < 300);
    assert_int_equal(told_lost(r, &tun), 300 - came);
    fake_tun_lost = 0;
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_datagrams_come_in_one_call),
        cmocka_unit_test(test_a_kernel_without_that_call_is_asked_for_one_at_a_time),
        cmocka_unit_test(test_nothing_there_is_no_missing_call),
        WITH(test_what_came_together_is_taken_apart_in_order),
        WITH(test_the_last_may_be_shorter_and_anything),
        WITH(test_ike_that_came_together_with_esp_goes_to_ike),
        WITH(test_esp_behind_ike_and_between_is_let_in),
        WITH(test_ike_longer_than_any_packet_of_ours_is_handed_on_too),
        WITH(test_a_marker_without_the_ike_header_of_that_length_is_dropped),
        WITH(test_ike_that_does_not_keep_up_loses_it_counted),
        WITH(test_without_a_free_packet_the_rest_is_counted),
        WITH(test_what_is_longer_than_any_packet_of_ours_is_counted_each),
        WITH(test_no_sender_keeps_path_at_one_socket),
        WITH(test_room_is_made_for_about_as_many_as_came_before),
        WITH(test_this_kernel_gives_together_what_it_has_together),
        WITH(test_what_a_queue_had_no_room_for_is_told),
    };
    return cmocka_run_group_tests_name("receiving", tests, NULL, NULL);
}
