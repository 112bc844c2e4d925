// SPDX-License-Identifier: Apache-2.0
// What path's packets become on their way into the kernel: together where they may be, in their order, by the
// right socket, and each by itself where the kernel refuses them together. Against a model that records, and
// over the loop of the machine that the test runs on.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/path/net.h"
#include "tests/unit/path_rig.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { RAW4 = 104, UDP4 = 204, RAW6 = 106, UDP6 = 206, PORT = 4500, MANY = 64 };

#define FAMILY(r, u)                                                                                         \
    {                                                                                                        \
        .raw = (r), .udp = (u)                                                                               \
    }

// ---- the model

static struct model {
    bool knows_segments;
    int df, no_checksum;                     // of the IPv4 UDP socket
    unsigned calls, messages;                // that it took
    size_t limit;                            // octets of a datagram, more is EMSGSIZE
    int refuse, refuse_together, refuse_udp; // errno; of everything, of what is together, of one by UDP
    unsigned count;
    struct left {
        int fd, df, tos, ttl;
        unsigned together; // how many left in its message
        uint8_t bytes[200];
        size_t len;
        uint16_t port;
        uint8_t to[16], from[16];
    } left[4 * MANY];
} k;

static int value(const struct cmsghdr *c)
{
    int v;
    memcpy(&v, CMSG_DATA(c), sizeof(v));
    return v;
}

static size_t control(struct msghdr *m, struct left *l)
{
    size_t size = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        uint16_t v;
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT) {
            memcpy(&v, CMSG_DATA(c), sizeof(v));
            size = v;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            memcpy(l->from, CMSG_DATA(c) + offsetof(struct in_pktinfo, ipi_spec_dst), 4);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            memcpy(l->from, CMSG_DATA(c), 16);
        } else if (c->cmsg_type == (c->cmsg_level == IPPROTO_IP ? IP_TOS : IPV6_TCLASS)) {
            l->tos = value(c);
        } else if (c->cmsg_type == (c->cmsg_level == IPPROTO_IP ? IP_TTL : IPV6_HOPLIMIT)) {
            l->ttl = value(c);
        } else {
            fail_msg("control message %d of level %d", c->cmsg_type, c->cmsg_level);
        }
    }
    return size;
}

static void take(int fd, struct msghdr *m)
{
    const struct sockaddr_in *in = m->msg_name;
    const struct sockaddr_in6 *in6 = m->msg_name;
    struct left one = {.fd = fd, .df = k.df, .together = (unsigned)m->msg_iovlen};
    size_t size = control(m, &one);
    bool six = in->sin_family == AF_INET6;
    assert_int_equal(six, fd == RAW6 || fd == UDP6);
    memcpy(one.to, six ? (const void *)&in6->sin6_addr : &in->sin_addr, six ? 16 : 4);
    one.port = ntohs(six ? in6->sin6_port : in->sin_port);
    assert_true(m->msg_iovlen == 1 || size > 0);
    for (size_t i = 0; i < m->msg_iovlen; i++) { // what the kernel would cut is what path has put there
        const struct iovec *v = &m->msg_iov[i];
        assert_true(m->msg_iovlen == 1 || v->iov_len == size ||
                    (i + 1 == m->msg_iovlen && v->iov_len < size));
        assert_true(v->iov_len <= sizeof(one.bytes) && k.count < sizeof(k.left) / sizeof(k.left[0]));
        memcpy(one.bytes, v->iov_base, v->iov_len);
        one.len = v->iov_len;
        k.left[k.count++] = one;
    }
}

static int refusal(int fd, const struct msghdr *m)
{
    for (size_t i = 0; i < m->msg_iovlen; i++)
        if (m->msg_iov[i].iov_len > k.limit)
            return EMSGSIZE;
    if (k.refuse)
        return k.refuse;
    if (m->msg_iovlen > 1 && k.no_checksum) // as the kernel does
        return EINVAL;
    if (m->msg_iovlen > 1)
        return k.refuse_together;
    return fd == UDP4 || fd == UDP6 ? k.refuse_udp : 0;
}

static int model_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    assert_int_equal(flags, 0);
    k.calls++;
    for (unsigned i = 0; i < n; i++) {
        errno = refusal(fd, &m[i].msg_hdr);
        if (errno)
            return i ? (int)i : -1;
        take(fd, &m[i].msg_hdr);
        k.messages++;
    }
    return (int)n;
}

static int model_setsockopt(int fd, int level, int name, const void *v, socklen_t len)
{
    (void)len;
    if (fd == UDP4 && level == IPPROTO_IP && name == IP_MTU_DISCOVER)
        memcpy(&k.df, v, sizeof(k.df));
    else if (fd == UDP4 && level == SOL_SOCKET && name == SO_NO_CHECK)
        memcpy(&k.no_checksum, v, sizeof(k.no_checksum));
    else if (fd != UDP6 || level != IPPROTO_IPV6)
        fail_msg("option %d of level %d", name, level);
    return 0;
}

static int model_getsockopt(int fd, int level, int name, void *v, socklen_t *len)
{
    (void)fd, (void)v, (void)len;
    assert_true(level == IPPROTO_UDP && name == UDP_SEGMENT);
    errno = ENOPROTOOPT;
    return k.knows_segments ? 0 : -1;
}

static const struct net_calls calls = {model_sendmmsg, model_setsockopt, model_getsockopt};

static struct net_sender sender(bool knows_segments)
{
    struct net_sender s = {.calls = &calls, .port = PORT, .family = {FAMILY(RAW4, UDP4), FAMILY(RAW6, UDP6)}};
    k = (struct model){.knows_segments = knows_segments, .limit = 10000, .df = -1};
    net_sender_open(&s);
    return s;
}

// ---- packets

static struct packets {
    uint8_t bytes[4 * MANY][300];
    struct iovec iov[4 * MANY];
    struct sockaddr_storage to[4 * MANY];
    struct mmsghdr m[4 * MANY];
    unsigned count;
} p;

struct shape {
    uint32_t payload;
    bool six, raw, no_df;
    uint8_t tos, peer;
    uint16_t dport;
};

static uint8_t *add(struct shape s)
{
    unsigned i = p.count++;
    uint8_t *b = p.bytes[i];
    uint32_t ip = s.six ? 40 : 20, front = s.raw ? ip : ip + 8, len = front + s.payload;
    struct addr to = {.family = s.six ? 6 : 4};
    memset(b, 0, sizeof(p.bytes[0]));
    if (s.six) {
        b[0] = (uint8_t)(0x60 | s.tos >> 4);
        b[1] = (uint8_t)(s.tos << 4);
        b[5] = (uint8_t)(len - 40);
        b[6] = s.raw ? IPPROTO_ESP : IPPROTO_UDP;
        b[7] = 64;
        b[8] = b[24] = 0xfd;
        b[23] = 1;
        b[39] = (uint8_t)(2 + s.peer);
    } else {
        b[0] = 0x45;
        b[1] = s.tos;
        b[3] = (uint8_t)len;
        b[6] = s.no_df ? 0 : 0x40;
        b[8] = 64;
        b[9] = s.raw ? IPPROTO_ESP : IPPROTO_UDP;
        b[12] = b[16] = 10;
        b[15] = 1;
        b[19] = (uint8_t)(2 + s.peer);
    }
    if (!s.raw) {
        b[ip] = PORT >> 8;
        b[ip + 1] = PORT & 255;
        b[ip + 2] = (uint8_t)((s.dport ? s.dport : 4501) >> 8);
        b[ip + 3] = (uint8_t)(s.dport ? s.dport : 4501);
        b[ip + 5] = (uint8_t)(8 + s.payload);
    }
    for (uint32_t n = front; n < len; n++)
        b[n] = (uint8_t)(i + n);
    b[front] = (uint8_t)i; // its number
    memcpy(to.a, b + (s.six ? 24 : 16), s.six ? 16 : 4);
    addr_to_sockaddr(&to, 0, &p.to[i]);
    p.iov[i] = (struct iovec){b, len};
    p.m[i] = (struct mmsghdr){
        .msg_hdr = {.msg_name = &p.to[i],
                    .msg_namelen = s.six ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
                    .msg_iov = &p.iov[i],
                    .msg_iovlen = 1}};
    return b;
}

static void add_many(struct shape s, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        add(s);
}

// As out_send does it; how many were lost, each with this errno.
static unsigned send_all(struct net_sender *s, int lost_by)
{
    unsigned lost = 0;
    for (unsigned done = 0; done < p.count;) {
        int rc = net_send(s, p.m + done, p.count - done);
        if (rc > 0) {
            done += (unsigned)rc;
            continue;
        }
        assert_int_equal(rc, -1);
        if (errno == EINTR)
            continue;
        assert_int_equal(errno, lost_by);
        lost++;
        done++;
    }
    assert_int_equal(s->alone, 0);
    return lost;
}

// What left is, in order, what was to (but for those of the one number that was lost).
static void expect_left(int missing)
{
    unsigned at = 0;
    for (unsigned i = 0; i < p.count; i++) {
        const struct left *l = &k.left[at];
        const uint8_t *b = p.bytes[i];
        uint32_t skip = l->fd == RAW4 || l->fd == RAW6 ? 0 : b[0] >> 4 == 6 ? 48 : 28;
        if ((int)i == missing)
            continue;
        assert_true(at++ < k.count);
        assert_int_equal(l->len, p.iov[i].iov_len - skip);
        assert_memory_equal(l->bytes, b + skip, l->len);
        if (b[0] >> 4 == 4)
            assert_memory_equal(l->to, b + 16, 4);
        else
            assert_memory_equal(l->to, b + 24, 16);
    }
    assert_int_equal(at, k.count);
}

static int fresh(void **state)
{
    (void)state;
    p.count = 0;
    return 0;
}

// ----

static void test_packets_to_one_place_of_one_size_leave_together(void **state)
{
    (void)state;
    for (int six = 0; six < 2; six++) {
        struct net_sender s = sender(true);
        p.count = 0;
        add_many((struct shape){.six = six, .payload = 100, .tos = 0xb9}, 50);
        add((struct shape){.six = six, .payload = 40, .tos = 0xb9}); // the last may be shorter
        assert_int_equal(send_all(&s, 0), 0);
        expect_left(-1);
        assert_int_equal(k.calls, 1);
        assert_int_equal(k.messages, 1);
        assert_int_equal(k.left[0].fd, six ? UDP6 : UDP4);
        assert_int_equal(k.left[0].port, 4501);
        assert_int_equal(k.left[0].tos, 0xb9);
        assert_int_equal(k.left[0].ttl, 64);
        assert_memory_equal(k.left[0].from, p.bytes[0] + (six ? 8 : 12), six ? 16 : 4);
        assert_int_equal(s.cut_packets, 51);
    }
}

static void test_what_differs_leaves_apart_and_in_order(void **state)
{
    static const struct shape other[] = {{.payload = 100, .tos = 1},
                                         {.payload = 100, .peer = 1},
                                         {.payload = 100, .dport = 7000},
                                         {.payload = 100, .six = true},
                                         {.payload = 100, .raw = true}};
    struct net_sender s = sender(true);
    (void)state;
    for (unsigned i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        p.count = k.count = 0;
        add_many((struct shape){.payload = 100}, 3);
        add(other[i]);
        add_many((struct shape){.payload = 100}, 3);
        assert_int_equal(send_all(&s, 0), 0);
        expect_left(-1);
        for (unsigned n = 0; n < 7; n++)
            assert_int_equal(k.left[n].together, n == 3 ? 1 : 3);
    }
    p.count = k.count = 0;
    add((struct shape){.payload = 50});
    add((struct shape){.payload = 100}); // a longer one does not follow
    add((struct shape){.payload = 50});
    add((struct shape){.payload = 50}); // behind a shorter one nothing follows
    assert_int_equal(send_all(&s, 0), 0);
    expect_left(-1);
    for (unsigned n = 0; n < 4; n++)
        assert_int_equal(k.left[n].together, n % 3 ? 2 : 1);
}

static void test_df_is_what_the_packet_says(void **state)
{
    struct net_sender s = sender(true);
    (void)state;
    for (unsigned i = 0; i < 12; i++)
        add((struct shape){.payload = 100, .no_df = i / 3 % 2});
    assert_int_equal(send_all(&s, 0), 0);
    expect_left(-1);
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(k.left[i].df, i / 3 % 2 ? IP_PMTUDISC_DONT : IP_PMTUDISC_DO);
        assert_int_equal(k.left[i].together, 3);
    }
}

static void test_over_ipv4_without_cutting_the_checksum_is_zero(void **state)
{
    struct net_sender s = sender(true);
    (void)state;
    assert_int_equal(k.no_checksum, 0); // a sum is what cutting costs
    add_many((struct shape){.payload = 100}, 10);
    assert_int_equal(send_all(&s, 0), 0);
    k.refuse_together = EMSGSIZE; // for once
    assert_int_equal(send_all(&s, 0), 0);
    assert_int_equal(k.no_checksum, 0);
    k.refuse_together = EIO; // a device that cannot
    assert_int_equal(send_all(&s, 0), 0);
    assert_int_equal(k.no_checksum, 1);
    assert_int_equal(k.left[k.count - 1].together, 1);
    s = sender(false);
    assert_int_equal(k.no_checksum, 1);
}

// What the model's kernel does.
static void test_this_kernel_does_not_cut_without_a_checksum(void **state)
{
    static const uint8_t bytes[100];
    (void)state;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, size = 50, fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0) {
        print_message("skip: this kernel does not cut UDP\n");
        skip();
    }
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)), 0);
    assert_int_equal(sendto(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&to, sizeof(to)), -1);
    assert_int_equal(errno, EINVAL);
    close(fd);
}

static void test_no_more_leave_together_than_every_kernel_takes(void **state)
{
    struct net_sender s = sender(true);
    (void)state;
    add_many((struct shape){.payload = 10}, 3 * MANY);
    assert_int_equal(send_all(&s, 0), 0);
    expect_left(-1);
    for (unsigned i = 0; i < p.count; i++)
        assert_int_equal(k.left[i].together, NET_SEND_SEGMENT);
}

// An old one sends what is together as one datagram.
static void test_a_kernel_that_cannot_cut_gets_each_by_itself_in_one_call(void **state)
{
    struct net_sender s = sender(false);
    (void)state;
    add_many((struct shape){.payload = 100}, 40);
    add_many((struct shape){.payload = 100, .six = true}, 40);
    assert_int_equal(send_all(&s, 0), 0);
    expect_left(-1);
    assert_int_equal(k.calls, 2); // one for each family
    assert_int_equal(k.messages, 80);
    assert_int_equal(s.cut_packets, 0);
}

static void test_one_that_is_too_long_is_lost_alone(void **state)
{
    struct net_sender s = sender(true);
    (void)state;
    add_many((struct shape){.payload = 90}, 20);
    add((struct shape){.payload = 120});
    add_many((struct shape){.payload = 90}, 20);
    k.limit = 100;
    assert_int_equal(send_all(&s, EMSGSIZE), 1); // in a message of its own and of the next shorter one
    expect_left(20);
    assert_int_equal(s.cut_refused, 2);
    assert_true(s.family[0].cuts);
}

static void test_all_that_are_too_long_together_are_tried_once_together(void **state)
{
    struct net_sender s = sender(true);
    (void)state;
    add_many((struct shape){.payload = 120}, 30);
    k.limit = 100;
    assert_int_equal(send_all(&s, EMSGSIZE), 30);
    assert_int_equal(k.count, 0);
    assert_int_equal(k.calls, 31);
    assert_int_equal(s.cut_refused, 30);
}

static void test_a_device_that_cannot_is_not_asked_again(void **state)
{
    struct net_sender s = sender(true);
    (void)state;
    add_many((struct shape){.payload = 90}, 3 * MANY);
    k.refuse_together = EIO;
    assert_int_equal(send_all(&s, 0), 0);
    expect_left(-1);
    assert_int_equal(k.calls, 4);
    assert_false(s.family[0].cuts);
    assert_true(s.family[1].cuts);
}

static void test_a_full_buffer_loses_what_has_no_room_and_nothing_goes_another_way(void **state)
{
    static const int errors[] = {EAGAIN, ENOBUFS, EPERM, EHOSTUNREACH};
    (void)state;
    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct net_sender s = sender(true);
        p.count = 0;
        add_many((struct shape){.payload = 90}, 5);
        add_many((struct shape){.payload = 90, .raw = true}, 5);
        k.refuse = errors[i];
        assert_int_equal(send_all(&s, errors[i]), 10);
        assert_int_equal(k.count, 0);
        k.refuse = 0;
        assert_int_equal(send_all(&s, 0), 0);
        expect_left(-1);
    }
}

static void test_from_an_address_that_is_not_ours_it_goes_by_the_raw_socket(void **state)
{
    struct net_sender s = sender(true);
    (void)state;
    add_many((struct shape){.payload = 90}, 5);
    add_many((struct shape){.payload = 90, .six = true}, 5);
    k.refuse_together = k.refuse_udp = EINVAL;
    assert_int_equal(send_all(&s, 0), 0);
    expect_left(-1);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(k.left[i].fd, i < 5 ? RAW4 : RAW6);
}

static void test_headers_that_the_kernel_would_not_write_so_go_by_the_raw_socket(void **state)
{
    struct net_sender s = sender(true);
    struct shape udp = {.payload = 90}, udp6 = {.payload = 90, .six = true};
    (void)state;
    add(udp)[6] = 0x60; // more fragments
    add(udp)[7] = 1;    // an offset
    add(udp)[21] = 0;   // another port of ours
    add(udp6)[3] = 1;   // flow label
    add(udp6)[6] = 60;  // destination options
    add(udp)[25] = 1;   // a length that is not the packet's
    add((struct shape){.payload = 90, .raw = true});
    uint8_t *options = add(udp);
    options[0] = 0x46;
    assert_int_equal(send_all(&s, 0), 0);
    assert_int_equal(k.count, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(k.left[i].fd, i == 3 || i == 4 ? RAW6 : RAW4);
        assert_memory_equal(k.left[i].bytes, p.bytes[i], k.left[i].len);
    }
    assert_int_equal(k.calls, 3); // as many of one family as follow one another
}

static void test_without_a_udp_socket_everything_goes_by_the_raw_one(void **state)
{
    struct net_sender s = {.calls = &calls, .port = PORT, .family = {FAMILY(RAW4, -1), FAMILY(RAW6, -1)}};
    (void)state;
    k = (struct model){.knows_segments = true, .limit = 10000};
    net_sender_open(&s);
    add_many((struct shape){.payload = 100}, 5);
    add_many((struct shape){.payload = 100, .six = true}, 5);
    assert_int_equal(send_all(&s, 0), 0);
    expect_left(-1);
    assert_int_equal(k.left[0].fd, RAW4);
    assert_int_equal(k.left[9].fd, RAW6);
}

// ---- what path makes of it

static struct rig *rig; // net's hooks have no other way to it
static int third;       // errno of every third packet
static unsigned asked;

static int fail_third(void *ctx, struct mmsghdr *m, unsigned n)
{
    unsigned run = 2 - asked % 3;
    (void)ctx;
    if (!run) {
        asked++;
        errno = third;
        return -1;
    }
    run = run < n ? run : n;
    asked += run;
    return rig_catch(rig, m, run);
}

static void test_path_loses_the_one_that_send_refuses_and_counts_why(void **state)
{
    struct rig *r = rig = *state;
    struct worker *w = r->p->worker;
    const struct {
        int error;
        const uint64_t *count;
    } by[] = {{EAGAIN, &w->send_full},
              {ENOBUFS, &w->send_full},
              {EMSGSIZE, &w->send_too_long},
              {EPERM, &w->send_refused},
              {EHOSTUNREACH, &w->send_unreachable},
              {ENETUNREACH, &w->send_unreachable},
              {EIO, &w->send_errors}};
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    w->net.send = fail_third;
    for (uint32_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
        uint64_t before = *by[i].count;
        third = by[i].error;
        asked = 0;
        rig_out(r, 9 * i, 9);
        for (uint32_t n = 0; n < 9; n++)
            if (n % 3 != 2)
                assert_int_equal(rig_opened(r), 9 * i + n);
        assert_int_equal(rig_opened(r), UINT32_MAX);
        assert_int_equal(*by[i].count - before, 3);
    }
    assert_int_equal(w->send_full + w->send_too_long + w->send_refused + w->send_unreachable + w->send_errors,
                     21);
    rig_unique(r);
}

// ---- the machine's own

static int bound(int family, uint16_t *port)
{
    struct sockaddr_storage ss = {.ss_family = (sa_family_t)family};
    uint16_t be = 0;
    socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (family == AF_INET)
        ((struct sockaddr_in *)&ss)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&ss)->sin6_addr = in6addr_loopback;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return -1;
    memcpy(&be, &((struct sockaddr_in *)&ss)->sin_port, sizeof(be)); // where sin6_port is too
    *port = ntohs(be);
    return fd;
}

static void to_loopback(uint8_t *b, uint16_t sport)
{
    bool six = b[0] >> 4 == 6;
    struct in6_addr lo = IN6ADDR_LOOPBACK_INIT;
    uint32_t at = six ? 40 : 20, four = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 2; i++)
        memcpy(b + (six ? 8 + 16 * i : 12 + 4 * i), six ? (void *)&lo : &four, six ? 16 : 4);
    b[at] = (uint8_t)(sport >> 8);
    b[at + 1] = (uint8_t)sport;
}

static void expect_datagram(int fd, uint16_t sport, const uint8_t *want, size_t len)
{
    uint8_t got[400];
    struct sockaddr_in6 from = {0};
    socklen_t n = sizeof(from);
    struct pollfd f = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&f, 1, 5000), 1);
    assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &n), len);
    assert_memory_equal(got, want, len);
    assert_int_equal(ntohs(from.sin6_port), sport); // where sin_port is too
}

// With what this kernel can, and as if it could not.
static void test_this_kernel_delivers_each_datagram_as_it_was(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool six = i & 1, cuts = i & 2;
        uint16_t ours = 0, theirs = 0;
        int from = bound(six ? AF_INET6 : AF_INET, &ours), to = bound(six ? AF_INET6 : AF_INET, &theirs);
        if (six && from < 0)
            continue; // a machine without IPv6
        assert_true(from >= 0 && to >= 0);
        struct net_sender s = {.calls = &net_linux, .port = ours, .family = {FAMILY(-1, -1), FAMILY(-1, -1)}};
        s.family[six].udp = from;
        net_sender_open(&s);
        s.family[six].cuts &= cuts;
        p.count = 0;
        for (unsigned n = 0; n < 60; n++)
            to_loopback(
                add((struct shape){
                    .six = six, .payload = n % 20 == 19 ? 33 : 100, .no_df = n / 10 % 2, .dport = theirs}),
                ours);
        assert_int_equal(send_all(&s, 0), 0);
        for (unsigned n = 0; n < 60; n++)
            expect_datagram(to, ours, p.bytes[n] + (six ? 48 : 28), p.iov[n].iov_len - (six ? 48 : 28));
        if (!cuts)
            assert_int_equal(s.cut_packets, 0);
        close(from);
        close(to);
    }
}

#define FRESH(t) cmocka_unit_test_setup(t, fresh)
int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(test_packets_to_one_place_of_one_size_leave_together),
        FRESH(test_what_differs_leaves_apart_and_in_order),
        FRESH(test_df_is_what_the_packet_says),
        FRESH(test_over_ipv4_without_cutting_the_checksum_is_zero),
        FRESH(test_this_kernel_does_not_cut_without_a_checksum),
        FRESH(test_no_more_leave_together_than_every_kernel_takes),
        FRESH(test_a_kernel_that_cannot_cut_gets_each_by_itself_in_one_call),
        FRESH(test_one_that_is_too_long_is_lost_alone),
        FRESH(test_all_that_are_too_long_together_are_tried_once_together),
        FRESH(test_a_device_that_cannot_is_not_asked_again),
        FRESH(test_a_full_buffer_loses_what_has_no_room_and_nothing_goes_another_way),
        FRESH(test_from_an_address_that_is_not_ours_it_goes_by_the_raw_socket),
        FRESH(test_headers_that_the_kernel_would_not_write_so_go_by_the_raw_socket),
        FRESH(test_without_a_udp_socket_everything_goes_by_the_raw_one),
        FRESH(test_this_kernel_delivers_each_datagram_as_it_was),
        cmocka_unit_test_setup_teardown(test_path_loses_the_one_that_send_refuses_and_counts_why, rig_up,
                                        rig_down),
    };
    return cmocka_run_group_tests_name("sending", tests, NULL, NULL);
}
