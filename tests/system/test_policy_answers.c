// SPDX-License-Identifier: Apache-2.0
// What programs of the gateway itself that have no address of their own answer by UDP, by either family, to
// what the TUN has brought.
#include "tests/system/gateway_lab.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int answers(int fd, const struct sockaddr_storage *to, socklen_t len)
{
    return sendto(fd, "an answer", 9, 0, (const struct sockaddr *)to, len) < 0 ? -errno : 0;
}

// Of a server that has not said from which address it answers. The peer's port does not count.
static void answers_of(bool six)
{
    struct gateway g;
    struct sockaddr_storage from;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    everywhere(&g, six);
    lab_take(&g.l, &g.p);
    struct server s = serve(six, 0), other = serve(six, 0);
    assert_true(is_asked(&g, &s, 5, &from));
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    assert_int_equal(comes_out(&g, "an answer"), 0);
    // another program, which nobody has asked, speaks as ever, to whom it likes
    assert_int_equal(answers(other.fd, &from, s.len), 0);
    assert_int_equal(comes_out(&g, "an answer"), WAN);
    if (six)
        ((struct sockaddr_in6 *)&from)->sin6_port = htons(PORT + 1);
    else
        ((struct sockaddr_in *)&from)->sin_port = htons(PORT + 1);
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    assert_int_equal(comes_out(&g, "an answer"), 0);
    close(s.fd);
    close(other.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_own_answers_by_ipv4_from_the_outside_address_are_dropped(void **state)
{
    (void)state;
    answers_of(false);
}

static void test_own_answers_by_ipv6_from_the_outside_address_are_dropped(void **state)
{
    (void)state;
    answers_of(true);
}

// Whoever chooses its source by what it is connected to asks by the same port as a server that was asked.
static void own_questions(bool six)
{
    struct gateway g;
    struct sockaddr_storage from;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    everywhere(&g, six);
    lab_take(&g.l, &g.p);
    struct server s = serve(six, 0);
    assert_true(is_asked(&g, &s, 5, &from));
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    struct server client = serve(six, port_of(&s));
    assert_int_equal(connect(client.fd, (struct sockaddr *)&from, s.len), 0);
    assert_int_equal(send(client.fd, "a question", 10, 0), 10);
    assert_int_equal(comes_out(&g, "a question"), WAN);
    close(client.fd);
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    close(s.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_own_questions_by_ipv4_go_on_while_a_server_is_asked(void **state)
{
    (void)state;
    own_questions(false);
}

static void test_own_questions_by_ipv6_go_on_while_a_server_is_asked(void **state)
{
    (void)state;
    own_questions(true);
}

// By as many ports as there are, at a server and at nobody: a place for each server is all that it takes.
static void one_asker_takes_no_room(bool six)
{
    struct gateway g;
    struct sockaddr_storage from;
    char b[16];
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    everywhere(&g, six);
    lab_take(&g.l, &g.p);
    struct server s = serve(six, 0);
    assert_int_equal(fcntl(g.l.tun, F_SETFL, O_NONBLOCK), 0);
    for (unsigned i = 2; i < 2 * 65536 + 16384; i++) {
        uint8_t p[128];
        uint16_t port = (uint16_t)(i / 2), to = i % 2 || i >= 2 * 65536 ? (uint16_t)(i + 1) : port_of(&s);
        size_t n = question_by(p, six, port ? port : 1, to, 5);
        assert_int_equal(write(g.l.tun, p, n), n);
        while (read(g.l.tun, p, sizeof(p)) > 0) // nobody is there, says the kernel
            ;
        while (recv(s.fd, b, sizeof(b), 0) > 0)
            ;
    }
    assert_true(is_asked(&g, &s, 6, &from));
    assert_int_equal(answers(s.fd, &from, s.len), -EPERM);
    assert_int_equal(comes_out(&g, "an answer"), 0);
    close(s.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_one_asker_by_ipv4_keeps_no_other_from_being_heard(void **state)
{
    (void)state;
    one_asker_takes_no_room(false);
}

static void test_one_asker_by_ipv6_keeps_no_other_from_being_heard(void **state)
{
    (void)state;
    one_asker_takes_no_room(true);
}

// ---- what somebody does to the tables

static void expect_said(struct gateway *g, const struct server *s, const struct sockaddr_storage *to,
                        bool out, const char *when)
{
    int rc = answers(s->fd, to, s->len), where = comes_out(g, "an answer");
    if (rc != (out ? 0 : -EPERM) || where != (out ? WAN : 0))
        fail_msg("%s: %d, came out at %d", when, rc, where);
}

static void forget_that_nobody_is_known(bool six)
{
    char command[200];
    snprintf(command, sizeof(command),
             "nft flush set %s $(nft list tables | sed -n 's/^table %s \\(espalier-[0-9a-f]*-udp\\)$/\\1/p') "
             "unknown",
             six ? "ip6" : "ip", six ? "ip6" : "ip");
    assert_int_equal(lab_shell(command), 0);
}

static void next_run(struct gateway *g, bool keeps)
{
    lab_die(&g->l);
    lab_open(&g->l, "/run/a", "esp0");
    ((struct netlink_kernel *)g->l.k)->keeps = keeps;
    lab_take(&g->l, &g->p);
}

// A firewall that is loaded again flushes all that there is. Who has asked stays known where the kernel lets
// a table be ours alone; elsewhere nobody is answered past the TUN until it would be forgotten anyway. Over
// the end of a run that was killed it stays known anywhere.
static void answers_outlive_a_flush(bool six, bool keeps)
{
    struct gateway g;
    struct sockaddr_storage from;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    struct netlink_kernel *n = (struct netlink_kernel *)g.l.k;
    if (keeps && !n->keeps)
        print_message("no table is ours alone on this kernel: who has asked is not known after a flush\n");
    keeps &= n->keeps;
    n->keeps = keeps;
    everywhere(&g, six);
    lab_take(&g.l, &g.p);
    struct server s = serve(six, 0), other = serve(six, 0);
    assert_true(is_asked(&g, &s, 5, &from));
    lab_listen(&g.l);
    assert_int_equal(lab_shell("nft flush ruleset"), 0);
    if (keeps)
        expect_said(&g, &s, &from, false, "flushed");
    put_back(&g);
    expect_said(&g, &s, &from, false, "put back");
    expect_said(&g, &other, &from, keeps, "another one, put back");
    if (!keeps)
        forget_that_nobody_is_known(six);
    expect_said(&g, &other, &from, true, "another one, a while later");
    assert_true(is_asked(&g, &s, 5, &from));
    expect_said(&g, &s, &from, false, "asked again");
    next_run(&g, keeps);
    expect_said(&g, &s, &from, false, "in the next run");
    expect_said(&g, &other, &from, true, "another one, in the next run");
    close(s.fd);
    close(other.fd);
    lab_close(&g.l);
    assert_int_not_equal(lab_shell("nft list tables | grep -q espalier"), 0);
    gateway_down(&g);
}

static void test_own_answers_by_ipv4_are_held_back_after_a_flush(void **state)
{
    (void)state;
    answers_outlive_a_flush(false, true);
}

static void test_own_answers_by_ipv6_are_held_back_after_a_flush(void **state)
{
    (void)state;
    answers_outlive_a_flush(true, true);
}

static void test_own_answers_by_ipv4_are_held_back_while_nobody_is_known(void **state)
{
    (void)state;
    answers_outlive_a_flush(false, false);
}

static void test_own_answers_by_ipv6_are_held_back_while_nobody_is_known(void **state)
{
    (void)state;
    answers_outlive_a_flush(true, false);
}

#define T(name) cmocka_unit_test_setup(name, lab_namespace)
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_own_answers_by_ipv4_from_the_outside_address_are_dropped),
        T(test_own_answers_by_ipv6_from_the_outside_address_are_dropped),
        T(test_own_questions_by_ipv4_go_on_while_a_server_is_asked),
        T(test_own_questions_by_ipv6_go_on_while_a_server_is_asked),
        T(test_one_asker_by_ipv4_keeps_no_other_from_being_heard),
        T(test_one_asker_by_ipv6_keeps_no_other_from_being_heard),
        T(test_own_answers_by_ipv4_are_held_back_after_a_flush),
        T(test_own_answers_by_ipv6_are_held_back_after_a_flush),
        T(test_own_answers_by_ipv4_are_held_back_while_nobody_is_known),
        T(test_own_answers_by_ipv6_are_held_back_while_nobody_is_known),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("answers of the gateway's programs", tests, NULL, NULL);
}
