// SPDX-License-Identifier: Apache-2.0
// Answers to strangers that leave together: each to its own address and from the one that was asked.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "ctrl/ike/answers.h"

static struct {
    int fd, peer;
    uint16_t peer_port;
    unsigned calls, lost_count;
    int discovery, lost_error; // discovery: IP_MTU_DISCOVER while they leave
    char lost[64];
    struct answers a;
} rig;

static int discovery(int fd)
{
    int how = -1;
    socklen_t len = sizeof(how);
    assert_int_equal(getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &how, &len), 0);
    return how;
}

int __real_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
    rig.calls++;
    rig.discovery = discovery(fd);
    return __real_sendmmsg(fd, m, n, flags);
}

static int bound(uint16_t *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static int setup(void **state)
{
    uint16_t own;
    (void)state;
    memset(&rig, 0, sizeof(rig));
    rig.fd = bound(&own);
    rig.peer = bound(&rig.peer_port);
    answers_begin(&rig.a, rig.fd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(rig.fd);
    close(rig.peer);
    return 0;
}

static void lost(void *ctx, const struct sockaddr_storage *to, int error)
{
    struct addr a;
    uint16_t port;
    assert_ptr_equal(ctx, &rig);
    addr_from_sockaddr(to, &a, &port);
    rig.lost_count++;
    rig.lost_error = error;
    addr_print(&a, rig.lost, sizeof(rig.lost));
}

static bool put(const char *to, const char *from, bool nat_t, const char *text)
{
    struct net_path path = {.remote_port = rig.peer_port, .nat_t = nat_t};
    assert_true(addr_parse(to, &path.remote));
    assert_true(addr_parse(from, &path.local));
    return answers_put(&rig.a, &path, slice_str(text));
}

static void next_is(const char *from, const char *data, size_t len)
{
    struct sockaddr_storage ss;
    socklen_t ss_len = sizeof(ss);
    char got[256], a[64];
    struct addr source;
    uint16_t port;
    ssize_t n = recvfrom(rig.peer, got, sizeof(got), 0, (struct sockaddr *)&ss, &ss_len);
    assert_int_equal(n, len);
    assert_memory_equal(got, data, len);
    addr_from_sockaddr(&ss, &source, &port);
    assert_string_equal(addr_print(&source, a, sizeof(a)), from);
}

static void nothing_more(void)
{
    char c;
    assert_int_equal(recv(rig.peer, &c, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_answers_leave_together_each_from_the_address_that_was_asked(void **state)
{
    (void)state;
    assert_true(put("127.0.0.1", "127.0.0.1", false, "one"));
    assert_true(put("127.0.0.5", "127.0.0.2", true, "two"));
    assert_true(put("127.0.0.1", "127.0.0.3", false, "three"));
    nothing_more();
    answers_send(&rig.a, lost, &rig);
    assert_int_equal(rig.calls, 1);
    assert_int_equal(rig.lost_count, 0);
    next_is("127.0.0.1", "one", 3);
    next_is("127.0.0.2", "\0\0\0\0two", 7);
    next_is("127.0.0.3", "three", 5);
    answers_send(&rig.a, lost, &rig); // each once
    nothing_more();
}

static void test_an_answer_that_cannot_leave_keeps_none_of_the_others_back(void **state)
{
    (void)state;
    assert_true(put("255.255.255.255", "127.0.0.1", false, "nobody's"));
    assert_true(put("127.0.0.1", "127.0.0.1", false, "one"));
    assert_true(put("255.255.255.255", "127.0.0.1", false, "everybody's"));
    assert_true(put("127.0.0.1", "127.0.0.1", false, "two"));
    assert_true(put("127.0.0.1", "127.0.0.1", false, "three"));
    answers_send(&rig.a, lost, &rig);
    assert_int_equal(rig.lost_count, 2);
    assert_int_equal(rig.lost_error, EACCES);
    assert_string_equal(rig.lost, "255.255.255.255");
    next_is("127.0.0.1", "one", 3);
    next_is("127.0.0.1", "two", 3);
    next_is("127.0.0.1", "three", 5);
    nothing_more();
}

static void test_what_has_no_room_goes_by_itself(void **state)
{
    char text[ANSWER_MOST + 1] = "";
    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    assert_true(put("127.0.0.1", "127.0.0.1", false, text));
    assert_false(put("127.0.0.1", "127.0.0.1", true, text)); // no room for the marker
    text[ANSWER_MOST - NON_ESP_MARKER] = 0;
    assert_true(put("127.0.0.1", "127.0.0.1", true, text));
    for (unsigned i = 2; i < ANSWERS_MOST; i++)
        assert_true(put("127.0.0.1", "127.0.0.1", false, "more"));
    assert_false(put("127.0.0.1", "127.0.0.1", false, "one too many"));
    answers_send(&rig.a, lost, &rig);
    assert_true(put("127.0.0.1", "127.0.0.1", false, "there is room again"));
}

static void test_many_answers_are_not_to_be_cut_and_what_goes_otherwise_may_be(void **state)
{
    int before = discovery(rig.fd);
    (void)state;
    assert_int_not_equal(before, IP_PMTUDISC_DO);
    for (unsigned i = 0; i < 8; i++)
        assert_true(put("127.0.0.1", "127.0.0.1", false, "one of many"));
    answers_send(&rig.a, lost, &rig);
    assert_int_equal(rig.discovery, IP_PMTUDISC_DO);
    assert_int_equal(discovery(rig.fd), before);
    assert_true(put("127.0.0.1", "127.0.0.1", false, "alone"));
    answers_send(&rig.a, lost, &rig);
    assert_int_equal(rig.discovery, before); // it costs more than it saves
}

// An ike is killed while they leave; the socket is the supervisor's, and the next one's.
static void test_socket_that_one_left_who_died_may_have_its_datagrams_cut_again(void **state)
{
    int before = discovery(rig.fd), left = IP_PMTUDISC_DO;
    (void)state;
    assert_int_equal(setsockopt(rig.fd, IPPROTO_IP, IP_MTU_DISCOVER, &left, sizeof(left)), 0);
    answers_socket(rig.fd);
    assert_int_equal(discovery(rig.fd), IP_PMTUDISC_WANT);
    left = IP_PMTUDISC_DONT; // as the system's settings may say
    assert_int_equal(setsockopt(rig.fd, IPPROTO_IP, IP_MTU_DISCOVER, &left, sizeof(left)), 0);
    answers_socket(rig.fd);
    assert_int_equal(discovery(rig.fd), IP_PMTUDISC_DONT);
    assert_int_not_equal(before, IP_PMTUDISC_DO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers_leave_together_each_from_the_address_that_was_asked,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_answer_that_cannot_leave_keeps_none_of_the_others_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_what_has_no_room_goes_by_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_answers_are_not_to_be_cut_and_what_goes_otherwise_may_be,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_that_one_left_who_died_may_have_its_datagrams_cut_again,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
