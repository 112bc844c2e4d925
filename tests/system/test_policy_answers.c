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

// Where the table is not ours alone. `table` stands for it in the command.
static void change_by_hand(bool six, const char *command)
{
    char line[300];
    snprintf(line, sizeof(line),
             "table=\"%s $(nft list tables | sed -n 's/^table %s \\(espalier-[0-9a-f]*-udp\\)$/\\1/p')\"; %s",
             six ? "ip6" : "ip", six ? "ip6" : "ip", command);
    if (lab_shell(line))
        fail_msg("%s", line);
}

static void forget_that_nobody_is_known(bool six)
{
    change_by_hand(six, "nft flush set $table unknown");
}

static void none_is_ours_alone(struct gateway *g)
{
    struct netlink_kernel *n = (struct netlink_kernel *)g->l.k;
    n->keeps[0] = n->keeps[1] = false;
}

static void next_run(struct gateway *g, bool keeps)
{
    lab_die(&g->l);
    lab_open(&g->l, "/run/a", "esp0");
    if (!keeps)
        none_is_ours_alone(g);
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
    if (keeps && !n->keeps[six])
        print_message("no table is ours alone on this kernel: who has asked is not known after a flush\n");
    keeps &= n->keeps[six];
    if (!keeps)
        none_is_ours_alone(&g);
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

// Whoever asks while it is not as it was made may not be kept, and who was may not be any more.
static void answers_outlive_a_change(bool six, const char *command)
{
    struct gateway g;
    struct sockaddr_storage before, meanwhile;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    none_is_ours_alone(&g);
    everywhere(&g, six);
    lab_take(&g.l, &g.p);
    struct server s = serve(six, 0), other = serve(six, 0);
    assert_true(is_asked(&g, &s, 5, &before));
    lab_listen(&g.l);
    change_by_hand(six, command);
    assert_true(is_asked(&g, &s, 6, &meanwhile));
    put_back(&g);
    expect_said(&g, &s, &before, false, command);
    expect_said(&g, &s, &meanwhile, false, command);
    forget_that_nobody_is_known(six);
    expect_said(&g, &other, &meanwhile, true, "a while later");
    assert_true(is_asked(&g, &s, 5, &before));
    expect_said(&g, &s, &before, false, "asked again");
    close(s.fd);
    close(other.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_own_answers_are_held_back_after_somebody_has_changed_the_table(void **state)
{
    static const char *const commands[] = {
        "nft flush table $table",
        "nft flush chain $table asked",
        "nft add table $table '{ flags dormant; }'",
        "nft flush set $table askers",
        "nft delete table $table",
    };
    for (unsigned i = 0; i < 2 * sizeof(commands) / sizeof(commands[0]); i++) {
        assert_int_equal(lab_namespace(state), 0);
        answers_outlive_a_change(i % 2, commands[i / 2]);
    }
}

// Where notices were lost, what they would have said is not known.
static void test_own_answers_are_held_back_after_lost_notices(void **state)
{
    struct gateway g;
    struct sockaddr_storage from;
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    none_is_ours_alone(&g);
    everywhere(&g, false);
    lab_take(&g.l, &g.p);
    struct server s = serve(false, 0);
    assert_true(is_asked(&g, &s, 5, &from));
    change_by_hand(false, "nft flush set $table askers");
    assert_int_equal(
        lab_shell("for i in $(seq 12000); do echo add table inet t$i; echo delete table inet t$i; "
                  "done | nft -f -"),
        0);
    assert_true(lab_listen(&g.l).lost > 0);
    unsigned failed;
    assert_true(kset_repair(g.l.s, &failed) > 0);
    expect_said(&g, &s, &from, false, "lost");
    close(s.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

// A TUN that stays, with its number: the next run finds all as it has to be, but that the table is nobody's.
static void answers_of_a_tun_that_stays(bool six, bool keeps)
{
    struct gateway g;
    struct sockaddr_storage from;
    assert_int_equal(lab_shell("ip tuntap add esp0 mode tun"), 0);
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    keeps &= ((struct netlink_kernel *)g.l.k)->keeps[six];
    if (!keeps)
        none_is_ours_alone(&g);
    everywhere(&g, six);
    lab_take(&g.l, &g.p);
    struct server s = serve(six, 0), other = serve(six, 0);
    assert_true(is_asked(&g, &s, 5, &from));
    next_run(&g, keeps);
    expect_said(&g, &s, &from, false, "in the next run");
    lab_listen(&g.l);
    assert_int_equal(lab_shell("nft flush ruleset"), 0);
    put_back(&g);
    expect_said(&g, &s, &from, false, "flushed");
    expect_said(&g, &other, &from, keeps, "another one, flushed");
    close(s.fd);
    close(other.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_own_answers_by_a_tun_that_stays_are_held_back_after_a_flush(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(lab_namespace(state), 0);
        answers_of_a_tun_that_stays(i & 1, i & 2);
    }
}

// Between two runs anybody may load a firewall again. What an orderly end takes away nobody has lost.
static void answers_between_runs(bool six, bool killed)
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
    if (killed) {
        lab_die(&g.l);
        assert_int_equal(lab_shell("nft flush ruleset"), 0);
    } else {
        kset_close(g.l.s, true);
        g.l.k->ops->close(g.l.k, true);
        close(g.l.tun);
    }
    lab_open(&g.l, "/run/a", "esp0");
    lab_take(&g.l, &g.p);
    expect_said(&g, &s, &from, !killed, killed ? "killed" : "ended");
    close(s.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

static void test_own_answers_are_held_back_after_a_flush_between_runs(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(lab_namespace(state), 0);
        answers_between_runs(i & 1, i & 2);
    }
}

// A program whose way out only its mark finds.
static void test_own_answers_by_ipv6_are_held_back_whatever_finds_their_way(void **state)
{
    struct gateway g;
    struct sockaddr_storage from;
    const uint32_t mark = 7;
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    none_is_ours_alone(&g);
    assert_int_equal(
        lab_shell("ip -6 route del default; ip -6 route add default via fd10::2 dev wan0 table 77; "
                  "ip -6 rule add fwmark 7 lookup 77"),
        0);
    everywhere(&g, true);
    lab_take(&g.l, &g.p);
    struct server s = serve(true, 0);
    assert_int_equal(setsockopt(s.fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)), 0);
    assert_true(is_asked(&g, &s, 5, &from));
    expect_said(&g, &s, &from, false, "asked");
    lab_listen(&g.l);
    assert_int_equal(lab_shell("nft flush ruleset"), 0);
    put_back(&g);
    expect_said(&g, &s, &from, false, "flushed");
    forget_that_nobody_is_known(true);
    expect_said(&g, &s, &from, true, "a while later"); // by that way, past the TUN
    close(s.fd);
    lab_close(&g.l);
    gateway_down(&g);
}

// Of two families each is asked for itself: here somebody has what the try of IPv6 would be called.
static void test_table_is_ours_alone_of_a_family_whatever_the_other_has(void **state)
{
    struct gateway g;
    char name[32];
    (void)state;
    gateway_up(&g);
    if (no_hooks(&g))
        skip();
    struct netlink_kernel *n = (struct netlink_kernel *)g.l.k;
    bool keeps = n->keeps[1];
    assert_int_equal(n->keeps[0], keeps);
    snprintf(name, sizeof(name), "%s", n->hook_name);
    lab_close(&g.l);
    FILE *nft = popen("exec nft -i >/dev/null", "w");
    assert_non_null(nft);
    fprintf(nft, "add table ip6 %s-try { flags owner; }\n", name);
    fflush(nft);
    for (int i = 0; i < 100 && lab_shell("nft list tables | grep -q try"); i++)
        usleep(20000);
    lab_open(&g.l, "/run/a", "esp0");
    n = (struct netlink_kernel *)g.l.k;
    assert_true(n->base.hooks4 && !n->base.hooks);
    assert_int_equal(n->keeps[0], keeps);
    assert_false(n->keeps[1]);
    lab_close(&g.l);
    pclose(nft);
    gateway_down(&g);
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
        T(test_own_answers_are_held_back_after_somebody_has_changed_the_table),
        T(test_own_answers_are_held_back_after_lost_notices),
        T(test_own_answers_by_a_tun_that_stays_are_held_back_after_a_flush),
        T(test_own_answers_are_held_back_after_a_flush_between_runs),
        T(test_own_answers_by_ipv6_are_held_back_whatever_finds_their_way),
        T(test_table_is_ours_alone_of_a_family_whatever_the_other_has),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("answers of the gateway's programs", tests, NULL, NULL);
}
