// SPDX-License-Identifier: Apache-2.0
// Requests to the kernel and lists of its, with a kernel that the test plays: what libmnl would read from its
// socket is what stands in `queue`.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/path/netlink.h"

enum { QUEUE = 8, LONGEST = 32768 };
static struct {
    _Alignas(struct nlmsghdr) char bytes[LONGEST];
    size_t len;
    int error; // instead
} queue[QUEUE];
static unsigned queued, taken, sent;
static int send_error;

ssize_t mnl_socket_sendto(const struct mnl_socket *s, const void *buf, size_t len)
{
    (void)s;
    (void)buf;
    sent++;
    errno = send_error;
    return send_error ? -1 : (ssize_t)len;
}

// One datagram, as of a socket: what does not fit into the buffer is lost.
ssize_t mnl_socket_recvfrom(const struct mnl_socket *s, void *buf, size_t size)
{
    (void)s;
    if (taken == queued) {
        errno = EAGAIN; // nothing for as long as the socket waits
        return -1;
    }
    unsigned i = taken++;
    if (queue[i].error || queue[i].len > size) {
        errno = queue[i].error ? queue[i].error : ENOSPC;
        return -1;
    }
    memcpy(buf, queue[i].bytes, queue[i].len);
    return (ssize_t)queue[i].len;
}

unsigned int mnl_socket_get_portid(const struct mnl_socket *s)
{
    (void)s;
    return 0;
}

static int begin(void **state)
{
    (void)state;
    queued = taken = sent = 0;
    send_error = 0;
    memset(queue, 0, sizeof(queue));
    return 0;
}

// One message more in the last datagram.
static void put(uint32_t seq, uint16_t type, uint16_t flags, const void *data, size_t len)
{
    size_t at = queue[queued - 1].len, whole = MNL_ALIGN(sizeof(struct nlmsghdr) + len);
    assert_true(at + whole <= LONGEST);
    struct nlmsghdr h = {
        .nlmsg_len = (uint32_t)(sizeof(h) + len), .nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = seq};
    memcpy(queue[queued - 1].bytes + at, &h, sizeof(h));
    if (len)
        memcpy(queue[queued - 1].bytes + at + sizeof(h), data, len);
    queue[queued - 1].len += whole;
}

static void datagram(uint32_t seq, uint16_t type, uint16_t flags, const void *data, size_t len)
{
    assert_true(queued++ < QUEUE);
    put(seq, type, flags, data, len);
}

static void answer(uint32_t seq, int error)
{
    datagram(seq, NLMSG_ERROR, 0, &(struct nlmsgerr){.error = error}, sizeof(struct nlmsgerr));
}

static void done(uint32_t seq)
{
    datagram(seq, NLMSG_DONE, NLM_F_MULTI, &(int){0}, sizeof(int));
}

static void lost(uint32_t seq, int error)
{
    datagram(seq, NLMSG_MIN_TYPE, NLM_F_MULTI, NULL, 0);
    queue[queued - 1].error = error;
}

static int count(const struct nlmsghdr *h, void *ctx)
{
    (void)h;
    ++*(unsigned *)ctx;
    return 0;
}

static int refuse(const struct nlmsghdr *h, void *ctx)
{
    (void)h;
    (void)ctx;
    errno = ENOMEM;
    return -1;
}

static int dump(struct netlink_kernel *n, int (*each)(const struct nlmsghdr *h, void *ctx), unsigned *seen)
{
    _Alignas(struct nlmsghdr) char buf[64];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = NLMSG_MIN_TYPE;
    h->nlmsg_flags = NLM_F_DUMP;
    return netlink_dump(n, NULL, h, each, seen);
}

static int one(struct netlink_kernel *n)
{
    _Alignas(struct nlmsghdr) char buf[64];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = NLMSG_MIN_TYPE;
    return netlink_one(n, NULL, h);
}

static void test_a_list_is_read_to_its_end(void **state)
{
    (void)state;
    struct netlink_kernel n = {.seq = 10};
    unsigned seen = 0;
    datagram(9, NLMSG_MIN_TYPE, 0, NULL, 0); // of what was given up
    datagram(11, NLMSG_MIN_TYPE, NLM_F_MULTI, NULL, 0);
    put(11, NLMSG_MIN_TYPE, NLM_F_MULTI, NULL, 0);
    done(11);
    assert_int_equal(dump(&n, count, &seen), 0);
    assert_int_equal(seen, 2);
}

// However it ends: the next change finds its own answer, and the next list is not refused.
static void test_nothing_is_left_of_a_list_that_is_given_up(void **state)
{
    static char much[20000];
    for (int how = 0; how < 5; how++) {
        struct netlink_kernel n = {.seq = 10};
        unsigned seen = 0;
        begin(state);
        if (how == 3) // truncated
            lost(11, ENOSPC);
        else
            datagram(11, NLMSG_MIN_TYPE, how == 0 ? NLM_F_MULTI | NLM_F_DUMP_INTR : NLM_F_MULTI, NULL, 0);
        if (how == 1) // changed in the middle
            datagram(11, NLMSG_MIN_TYPE, NLM_F_MULTI | NLM_F_DUMP_INTR, NULL, 0);
        if (how == 4) { // by a list's end that stands in the same datagram
            put(11, NLMSG_MIN_TYPE, NLM_F_MULTI | NLM_F_DUMP_INTR, NULL, 0);
            put(11, NLMSG_DONE, NLM_F_MULTI, &(int){0}, sizeof(int));
        } else {
            datagram(11, NLMSG_MIN_TYPE, NLM_F_MULTI, much, sizeof(much));
            done(11);
        }
        answer(12, -EEXIST);
        int rc = dump(&n, how == 2 ? refuse : count, &seen);
        assert_int_equal(rc, how == 2 ? -ENOMEM : how == 3 ? -ENOSPC : -EAGAIN);
        assert_int_equal(taken, queued - 1);
        assert_int_equal(one(&n), -EEXIST);
    }
}

static void test_a_list_that_is_refused_has_no_rest(void **state)
{
    (void)state;
    struct netlink_kernel n = {.seq = 10};
    unsigned seen = 0;
    answer(11, -EBUSY);
    answer(12, 0);
    assert_int_equal(dump(&n, count, &seen), -EBUSY);
    assert_int_equal(one(&n), 0);
}

// What is read before the answer, however long, is no answer.
static void test_what_is_left_of_anything_hides_no_answer(void **state)
{
    (void)state;
    static char much[20000];
    struct netlink_kernel n = {.seq = 10};
    datagram(9, NLMSG_MIN_TYPE, NLM_F_MULTI, much, sizeof(much));
    answer(9, -EPERM);
    answer(11, 0);
    assert_int_equal(one(&n), 0);
}

// The kernel may have done it: -EAGAIN, as kset_entries.c has it, and not what it would say by itself.
static void test_a_change_that_is_not_answered_is_not_known(void **state)
{
    static const int errors[] = {0, ENOSPC, ENOBUFS, EINVAL};
    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct netlink_kernel n = {.seq = 10};
        begin(state);
        if (errors[i])
            lost(11, errors[i]);
        assert_int_equal(one(&n), -EAGAIN);
    }
    struct netlink_kernel n = {.seq = 10};
    begin(state);
    send_error = ENOBUFS;
    assert_int_equal(one(&n), -EAGAIN);
}

#define T(t) cmocka_unit_test_setup(t, begin)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_list_is_read_to_its_end),
        T(test_nothing_is_left_of_a_list_that_is_given_up),
        T(test_a_list_that_is_refused_has_no_rest),
        T(test_what_is_left_of_anything_hides_no_answer),
        T(test_a_change_that_is_not_answered_is_not_known),
    };
    return cmocka_run_group_tests_name("netlink's requests and lists", tests, NULL, NULL);
}
