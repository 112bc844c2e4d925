// SPDX-License-Identifier: Apache-2.0
// What the packets outside show of those inside, through real daemons, in every mix of families and
// encapsulation: DSCP, ECN, DF, hop limit and flow label (RFC 4301 section 5.1.2); and what becomes inside of
// the marks that routers make on the way (RFC 6040).
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/system/middle.h"
#include "tests/system/steps.h"

static struct lab lab;
static struct middle middle;
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    struct middle_control first = {0};
    (void)state;
    if (!lab_up(&lab, "espmark") || !middle_start(&lab, &middle, &first) || !lab_ipv6(&lab))
        return -1;
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++)
        if (sh("nsenter --net=%s ip -6 addr add fd0%d::1/128 dev lo nodad", both[i]->ns, i + 1))
            return -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    middle_stop(&middle);
    lab_down(&lab);
    return 0;
}

enum { PORT = 7000, DSCP = 0x28, DSCP_ON_THE_WAY = 0xb8 };

static void sockaddr_of(const struct site *s, struct sockaddr_storage *to)
{
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;
    memset(to, 0, sizeof(*to));
    if (strchr(s->inner, ':')) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(PORT);
        assert_int_equal(inet_pton(AF_INET6, s->inner, &in6->sin6_addr), 1);
    } else {
        in->sin_family = AF_INET;
        in->sin_port = htons(PORT);
        assert_int_equal(inet_pton(AF_INET, s->inner, &in->sin_addr), 1);
    }
}

// In the site's namespace, at its inner address.
static int socket_at(const struct site *s)
{
    struct sockaddr_storage own;
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), on = 1;
    sockaddr_of(s, &own);
    assert_true(here >= 0 && enter_ns(s->ns));
    int fd = socket(own.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setns(here, CLONE_NEWNET), 0);
    close(here);
    assert_true(fd >= 0);
    if (own.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof(on));
    else
        setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on));
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    return fd;
}

static void send_number(int fd, const struct site *to, uint8_t tos, bool df, uint32_t number)
{
    struct sockaddr_storage there;
    int v = tos, whole = df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT;
    sockaddr_of(to, &there);
    if (there.ss_family == AF_INET6) {
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &v, sizeof(v)), 0);
    } else {
        assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TOS, &v, sizeof(v)), 0);
        assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &whole, sizeof(whole)), 0);
    }
    assert_int_equal(sendto(fd, &number, sizeof(number), 0, (struct sockaddr *)&there, sizeof(there)),
                     sizeof(number));
}

// The number of the next datagram, and the TOS or traffic class that its packet had.
static uint32_t receive_number(int fd, int *tos)
{
    uint32_t number = 0;
    _Alignas(struct cmsghdr) uint8_t control[128] = {0};
    struct iovec v = {&number, sizeof(number)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, PATIENCE_MS) != 1 || recvmsg(fd, &m, 0) != sizeof(number))
        fail_msg("a datagram does not come");
    *tos = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS)
            *tos = *CMSG_DATA(c);
        else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS)
            memcpy(tos, CMSG_DATA(c), sizeof(*tos));
    }
    return number;
}

struct rules { // of an SA's outer fields
    const char *child;
    bool dscp_out, dscp_in, ecn, df;
};
static const struct rules rules[] = {
    {"rekey_time = 0", true, false, true, true},
    {"rekey_time = 0\n copy_dscp = no\n copy_ecn = no\n copy_df = no", false, false, false, false},
    {"rekey_time = 0\n copy_dscp = in", false, true, true, true},
    {"rekey_time = 0\n copy_dscp = yes\n copy_ecn = no", true, true, false, true},
};

// RFC 6040 figure 3, normal mode, or the compatibility mode; and what else is copied or set.
static void check_outer(const struct rules *r, int outer, int inner, uint8_t tos, bool df)
{
    const struct middle_control *c = middle.control;
    assert_int_equal(c->tos, (r->dscp_out ? tos & 0xfc : 0) | (r->ecn ? tos & 3 : 0));
    assert_int_equal(c->ttl, 64);
    assert_int_equal(c->label, 0);
    assert_int_equal(c->df, outer == 4 && r->df && (inner == 6 || df));
}

static void check_all_marks(const struct rules *r, int outer, int inner)
{
    static const int figure4[4][4] = {// [inner][outer]; -1: dropped
                                      {0, 0, 0, -1},
                                      {1, 1, 1, 3},
                                      {2, 1, 2, 3},
                                      {3, 3, 3, 3}};
    int from = socket_at(&lab.west), to = socket_at(&lab.east), tos;
    uint32_t number = 0, dropped = 0;
    for (int k = 0; k < 16; k++) {
        int in = k / 4, out = k % 4, want = r->ecn ? figure4[in][out] : in;
        middle.control->mark = 256u + DSCP_ON_THE_WAY + (unsigned)out;
        send_number(from, &lab.east, (uint8_t)(DSCP + in), k & 1, ++number);
        if (want < 0) { // the next one comes instead
            dropped++;
            send_number(from, &lab.east, DSCP + 2, k & 1, ++number);
            in = 2;
            want = 3;
        }
        assert_int_equal(receive_number(to, &tos), number);
        assert_int_equal(tos, (r->dscp_in ? DSCP_ON_THE_WAY : DSCP) + want);
        check_outer(r, outer, inner, (uint8_t)(DSCP + in), k & 1);
    }
    close(from);
    close(to);
    char out[65536];
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--counters --all --raw"), 0);
    assert_int_equal(number_after(out, "drop_in_ECN_CE", 0), dropped);
}

static void marks(int outer, int inner, bool encap, const struct rules *r)
{
    struct tunnel_options o = {.child = r->child, .encap = encap};
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++) {
        snprintf(both[i]->outer, sizeof(both[i]->outer), outer == 6 ? "fd10::%d" : "10.10.0.%d", i + 1);
        snprintf(both[i]->inner, sizeof(both[i]->inner), inner == 6 ? "fd0%d::1" : "10.%d.0.1", i + 1);
        snprintf(both[i]->subnet, sizeof(both[i]->subnet), inner == 6 ? "fd0%d::/64" : "10.%d.0.0/16", i + 1);
    }
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &o, no_card));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, no_card));
    assert_true(initiate(&lab.west));
    check_all_marks(r, outer, inner);
    assert_true(stop(&lab.west.daemon, SIGTERM, PATIENCE_MS) && stop(&lab.east.daemon, SIGTERM, PATIENCE_MS));
}

static void test_outer_fields_and_marks_on_the_way_over_ipv4(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++)
        marks(4, k & 1 ? 6 : 4, k & 2, &rules[0]);
}

static void test_outer_fields_and_marks_on_the_way_over_ipv6(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++)
        marks(6, k & 1 ? 6 : 4, k & 2, &rules[0]);
}

static void test_copy_dscp_copy_ecn_and_copy_df_do_what_they_say(void **state)
{
    (void)state;
    for (unsigned i = 1; i < sizeof(rules) / sizeof(rules[0]); i++) {
        marks(4, 4, true, &rules[i]);
        marks(i & 1 ? 6 : 4, 6, false, &rules[i]);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_outer_fields_and_marks_on_the_way_over_ipv4),
        T(test_outer_fields_and_marks_on_the_way_over_ipv6),
        T(test_copy_dscp_copy_ecn_and_copy_df_do_what_they_say),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
