// SPDX-License-Identifier: Apache-2.0
// Policies in force (RFC 4301 sections 4.4.1 and 5), with the real software engine: what is loaded, what an
// SA still needs, which SA a packet takes, what an SA may bring in.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/spd_rig.h"

#define NONE UINT32_MAX

// ---- lists

// All policies, page by page; their ranks must grow.
static unsigned list_pages(struct rig *r, unsigned *pages)
{
    uint8_t buf[16384];
    union msg m;
    uint64_t from = 0, rank = 0;
    unsigned n = 0;
    for (bool more = true; more; ++*pages) {
        more = false;
        policy_list(r->p, &(struct msg_POLICY_LIST){.req = 5, .from = from});
        for (enum msg_type t = MSG_NONE; t != MSG_RESULT && t != MSG_LIST_MORE;) {
            ssize_t len = recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT);
            if (len < 0) {
                loop_once(r->p->loop, 0); // sends what waits
                continue;
            }
            t = msg_read(slice_of(buf, (size_t)len), &m);
            if (t == MSG_POLICY_IS) {
                assert_true(n++ == 0 || m.POLICY_IS.rank > rank);
                rank = m.POLICY_IS.rank;
            }
            more = t == MSG_LIST_MORE;
            from = more ? m.LIST_MORE.next : from;
        }
    }
    return n;
}

static double list_many(struct rig *r, unsigned conns, unsigned total)
{
    static struct policy_spec s[100];
    struct timespec a, b;
    unsigned pages = 0;
    for (unsigned i = 0; i < conns; i++) {
        char name[32], remote[32];
        for (unsigned k = 0; k < 100; k++) {
            snprintf(remote, sizeof(remote), "%u.%u.%u.%u/32", total == 13000 ? 11 : 12, i / 250, i % 250,
                     k + 1);
            s[k] = rig_spec(total * 10 + i * 100 + k, "net", "10.1.0.0/16", remote);
        }
        snprintf(name, sizeof(name), "many-%u-%u", total, i);
        rig_must_apply(r, name, s, 100);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    assert_int_equal(list_pages(r, &pages), total);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    assert_true(pages > total / LIST_PAGE_MAX);
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

// Ten times as many take about ten times as long; a sort or a search from the start for each page would show.
static void test_policies_come_in_pages_in_time_that_grows_as_they_do(void **state)
{
    struct rig *r = *state;
    rig_must_apply(r, "rig", NULL, 0);
    double few = list_many(r, 130, 13000), many = list_many(r, 1170, 130000);
    printf("13000 policies listed in %.3f s, 130000 in %.3f s of CPU\n", few, many);
    assert_true(many < 30 * few);
}

// The SAs that are asked for and there; more of them than a page holds are refused.
static void test_traffic_of_the_sas_that_were_asked_for(void **state)
{
    struct rig *r = *state;
    static uint8_t ids[(LIST_PAGE_MAX + 1) * sizeof(uint32_t)] = {0, 0, 0, 1, 0, 0, 0, 77};
    uint8_t buf[16384];
    union msg m;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    stats_sas(r->p, &(struct msg_PATH_LIST){.req = 5, .children = slice_of(ids, 8)});
    assert_true(spd_take_message(r->ctl, buf, sizeof(buf), MSG_PATH_SA, &m));
    assert_int_equal(m.PATH_SA.child_id, 1);
    assert_true(recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT) > 0);
    assert_int_equal(recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT), -1);
    stats_sas(r->p, &(struct msg_PATH_LIST){.req = 5, .children = slice_of(ids, sizeof(ids))});
    assert_true(spd_take_message(r->ctl, buf, sizeof(buf), MSG_RESULT, &m));
    assert_false(m.RESULT.ok);
}

// ---- what quotes protected packets

// An ICMP error of a router into the TUN, and the packet that it is about, or as much of it as `quoted`
// octets.
static void send_error(struct rig *r, const struct rig_packet *error, const struct rig_packet *about,
                       uint32_t quoted)
{
    uint8_t p[200], whole[64];
    uint32_t len = rig_build(whole, about), at = strchr(error->src, ':') ? 40 : 20;
    rig_build(p, error);
    memset(p + at, 0, 8);
    p[at] = at == 40 ? 3 : 11; // time exceeded
    if (quoted < len)
        len = quoted;
    memcpy(p + at + 8, whole, len);
    if (at == 40)
        p[5] = (uint8_t)(8 + len);
    else
        p[3] = (uint8_t)(28 + len);
    assert_int_equal(write(r->tun, p, at + 8 + len), at + 8 + len);
    rig_turn(r);
}

// Of an address that no policy names: it would go on in clear, with the packet that came out of an SA in it.
static void test_an_error_about_what_is_protected_does_not_go_on_in_clear(void **state)
{
    struct rig *r = *state;
    struct policy_spec six = rig_spec(7, "six", "fd01::/64", "fd02::/64");
    const struct rig_packet error = {.src = "10.9.0.1", .dst = "10.2.0.1", .proto = 1},
                            error6 = {.src = "fd09::1", .dst = "fd02::1", .proto = 58},
                            about = {.src = "10.2.0.1", .dst = "10.1.0.5", .proto = 17, .sport = 53},
                            about6 = {.src = "fd02::1", .dst = "fd01::5", .proto = 17, .sport = 53},
                            other = {.src = "10.2.0.1", .dst = "10.9.0.5", .proto = 17, .sport = 53},
                            other6 = {.src = "fd02::1", .dst = "fd09::5", .proto = 17, .sport = 53};
    rig_must_apply(r, "w", &six, 1);
    send_error(r, &error, &about, 100);
    send_error(r, &error6, &about6, 100);
    send_error(r, &error, &other, 12); // it does not show what it is about
    assert_int_equal(r->past_count, 0);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_POLICY], 3);
    send_error(r, &error, &other, 100);
    send_error(r, &error6, &other6, 100);
    assert_int_equal(r->past_count, 2);
}

// ---- loading and unloading

static void test_unload_with_sa_up_stays_protected(void **state)
{
    struct rig *r = *state;
    struct msg_POLICY_IS list[4];
    fake_blocks = 1;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_apply(r, "rig", NULL, 0);
    spd_expect_protected(r, 0);
    rig_in(r, 0x1001, "10.2.0.1", 5);
    assert_int_equal(rig_read(r), 5);
    assert_int_equal(fake_blocks, 1);
    assert_int_equal(spd_count_policies(r, list, 4), 1);
    assert_int_equal(list[0].loaded, 0);
    assert_int_equal(list[0].sa_count, 1);
    sadb_delete(r->p, 1); // the last that needed it
    rig_turn(r);
    assert_int_equal(fake_blocks, 0);
    assert_int_equal(spd_count_policies(r, list, 4), 0);
    rig_write(r, 99);
    rig_turn(r);
    assert_int_equal(r->past_count, 1);
}

// An orderly end takes the SAs first, and their peers may answer before path ends.
static void test_what_an_sa_keeps_closed_stays_closed_when_the_daemon_ends(void **state)
{
    struct rig *r = *state;
    fake_blocks = 1;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_apply(r, "rig", NULL, 0);
    spd_leave_closed(r->p);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(fake_blocks, 1);
    rig_write(r, 99);
    rig_turn(r);
    assert_int_equal(r->past_count + r->sent_count, 0);
}

static void test_what_an_sa_kept_closed_opens_at_the_end_where_blocks_go_with_the_daemon(void **state)
{
    struct rig *r = *state;
    fake_blocks = 1;
    r->p->set.block_on_exit = false;
    r->p->orderly = true;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_apply(r, "rig", NULL, 0);
    spd_leave_closed(r->p);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(fake_blocks, 0);
}

static void test_an_edit_with_sa_up_keeps_the_old_policy_until_the_sa_ends(void **state)
{
    struct rig *r = *state;
    struct policy_spec other = rig_spec(2, "net", "10.1.0.0/16", "10.3.0.0/16");
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_apply(r, "rig", &other, 1);
    spd_expect_protected(r, 0);
    spd_send_udp(r, "10.1.0.1", "10.3.0.1", 1, 1); // the new one is in force beside it
    assert_int_equal(r->past_count + r->sent_count, 10);
    sadb_delete(r->p, 1);
    rig_turn(r);
    rig_write(r, 99);
    spd_send_udp(r, "10.1.0.1", "10.3.0.1", 1, 2);
    assert_int_equal(r->past_count, 1);
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 2);
}

static void test_a_policy_is_about_more_later_until_it_is_loaded_otherwise(void **state)
{
    struct rig *r = *state;
    struct policy_spec spec = rig_spec(7, "net", "10.1.0.0/16", "10.7.0.0/16");
    assert_null(spd_later(r->p));
    spec.later = 1;
    rig_must_apply(r, "other", &spec, 1);
    assert_non_null(spd_later(r->p));
    assert_string_equal(policy_conn(spd_later(r->p)), "other");
    spec.later = 0; // under its id
    rig_must_apply(r, "other", &spec, 1);
    assert_null(spd_later(r->p));
    spec.later = 1;
    rig_must_apply(r, "other", &spec, 1);
    assert_non_null(spd_later(r->p));
    rig_must_apply(r, "other", NULL, 0);
    assert_null(spd_later(r->p));
}

static void test_a_policy_loaded_again_under_its_id_is_not_touched(void **state)
{
    struct rig *r = *state;
    struct policy_spec both[2] = {rig_spec(1, "net", "10.1.0.0/16", "10.2.0.0/16"),
                                  rig_spec(2, "more", "10.1.0.0/16", "10.3.0.0/16")};
    fake_change_count = 0;
    rig_must_apply(r, "rig", both, 2);
    rig_must_apply(r, "rig", both, 1); // the second child is taken out
    rig_must_apply(r, "rig", both, 1);
    assert_int_equal(fake_change_count, 2); // of the second one: there and gone
    for (unsigned i = 0; i < fake_change_count; i++)
        assert_int_equal(fake_changes[i].remote.lo[1], 3);
    rig_write(r, 1);
    rig_turn(r);
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 1);
}

static void test_a_replaced_policy_is_in_the_kernel_before_the_old_one_leaves(void **state)
{
    struct rig *r = *state;
    struct policy_spec wider = rig_spec(2, "net", "10.0.0.0/8", "10.2.0.0/16");
    fake_change_count = 0;
    rig_must_apply(r, "rig", &wider, 1);
    assert_int_equal(fake_change_count, 2);
    assert_true(fake_changes[0].add);
    assert_false(fake_changes[1].add);
}

static void test_a_load_that_fails_changes_nothing(void **state)
{
    struct rig *r = *state;
    struct policy_spec two[3] = {
        rig_spec(7, "a", "10.1.0.0/16", "10.7.0.0/16"), rig_spec(8, "b", "10.1.0.0/16", "10.8.0.0/16"), {0}};
    struct msg_POLICY_IS list[4];
    char text[400];
    for (int how = 0; how < 4; how++) {
        unsigned n = 2;
        fake_blocks = 0;
        fake_block_fails_in = how == 0 ? 2 : 0;
        if (how == 1) { // an id that another connection has
            struct policy_spec taken = rig_spec(20, "c", "10.1.0.0/16", "10.9.0.0/16");
            rig_must_apply(r, "other", &taken, 1);
            fake_blocks = 0;
            two[2] = taken;
            n = 3;
        } else if (how == 2) { // one id twice
            two[2] = two[0];
            n = 3;
        } else if (how == 3) { // it splits into too many pieces
            rig_must_apply(r, "other", NULL, 0);
            fake_blocks = 0;
            two[2] = rig_spec(9, "d", "10.1.0.0/16[17/1-65534]", "fd00::/64");
            for (int i = 0; i < 32; i++)
                two[2].local.t[i] = two[2].local.t[0];
            two[2].remote = rig_list("10.9.0.0/16[17/1-65534]");
            two[2].local.count = 32;
            n = 3;
        }
        assert_false(rig_apply(r, "rig", two, n, text, sizeof(text)));
        assert_true(strlen(text) > 10);
        assert_int_equal(fake_blocks, 0);
        assert_int_equal(spd_count_policies(r, list, 4), how == 1 || how == 2 ? 2 : 1);
        assert_int_equal(list[0].id, 1);
        assert_int_equal(list[0].loaded, 1);
    }
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    spd_expect_protected(r, 0);
}

// Of an ike that follows one that died, and lacks a pool still: what the last one protected stays so.
static void test_less_of_what_was_known_is_refused_from_an_ike_that_has_none_of_it(void **state)
{
    struct rig *r = *state;
    struct policy_spec was = rig_spec(7, "net", "10.1.0.0/16", "10.7.0.0/16"),
                       less = rig_spec(8, "net", "10.1.0.0/16", "10.9.9.9/32");
    char text[400];
    rig_must_apply(r, "roads", &was, 1);
    r->first_of_ike = true;
    less.later = 1;
    assert_false(rig_apply(r, "roads", &less, 1, text, sizeof(text)));
    assert_non_null(strstr(text, "net: not all addresses that it had are known again"));
    assert_null(spd_later(r->p)); // it is the one before that is in force
    r->first_of_ike = false;      // an edit that the same one makes
    rig_must_apply(r, "roads", &less, 1);
    r->first_of_ike = true; // and what was not known then is no reason
    less.id = 9;
    rig_must_apply(r, "roads", &less, 1);
    assert_non_null(spd_later(r->p));
    less.later = 0;
    less.id = 10;
    rig_must_apply(r, "roads", &less, 1);
    rig_must_apply(r, "roads", NULL, 0);
    r->first_of_ike = false;
}

static void test_a_malformed_list_is_refused(void **state)
{
    struct rig *r = *state;
    struct msg_POLICY_APPLY m = {.req = 3, .conn = "rig", .policies = slice_of("\0\0\0\1\0", 5)};
    uint8_t buf[8192];
    union msg answer;
    policy_apply(r->p, &m);
    assert_true(spd_take_message(r->ike, buf, sizeof(buf), MSG_RESULT, &answer));
    assert_false(answer.RESULT.ok && strstr(answer.RESULT.text, "malformed"));
    struct policy_spec none = rig_spec(4, "c", "10.1.0.0/16", "10.2.0.0/16");
    char text[400];
    none.remote.count = 0;
    assert_false(rig_apply(r, "rig", &none, 1, text, sizeof(text)));
    assert_non_null(strstr(text, "remote"));
}

// ---- which policy, which SA

static void test_the_more_specific_policy_has_the_packet_whatever_was_loaded_first(void **state)
{
    struct rig *r = *state;
    struct policy_spec host = rig_spec(2, "host", "10.1.0.0/16", "10.2.0.7/32"),
                       port = rig_spec(3, "port", "10.1.0.0/16", "10.2.0.7/32[17/53]");
    struct msg_POLICY_IS list[4];
    rig_must_apply(r, "h", &host, 1);
    rig_must_apply(r, "p", &port, 1);
    assert_int_equal(spd_count_policies(r, list, 4), 3);
    assert_int_equal(list[0].id, 3);
    assert_int_equal(list[1].id, 2);
    assert_int_equal(list[2].id, 1);
    assert_true(list[0].rank < list[1].rank && list[1].rank < list[2].rank);
}

static void test_explicit_priority_goes_before_specificity_and_bypass_before_protect(void **state)
{
    struct rig *r = *state;
    struct policy_spec s[4] = {
        rig_spec(2, "specific", "10.1.0.1/32", "10.2.0.7/32"), rig_spec(3, "pass", "0.0.0.0/0", "0.0.0.0/0"),
        rig_spec(4, "late", "0.0.0.0/0", "0.0.0.0/0"), rig_spec(5, "early", "0.0.0.0/0", "0.0.0.0/0")};
    struct msg_POLICY_IS list[8];
    s[1].action = POLICY_BYPASS;
    s[2].priority = 900;
    s[3].priority = 10;
    rig_must_apply(r, "x", s, 4);
    assert_int_equal(spd_count_policies(r, list, 8), 5);
    const uint32_t order[] = {5, 4, 3, 2, 1};
    for (int i = 0; i < 5; i++)
        assert_int_equal(list[i].id, order[i]);
}

static void test_a_packet_takes_its_policys_sa_not_the_newest_that_fits(void **state)
{
    struct rig *r = *state;
    spd_two_policies(r);
    rig_write(r, 1);
    rig_turn(r);
    spd_send_udp(r, "10.1.0.1", "10.9.0.1", 1, 2);
    assert_int_equal(r->sent_count, 2);
    assert_int_equal(spd_spi_of(r, 0), 0x2001);
    assert_int_equal(spd_spi_of(r, 1), 0x2002);
    sadb_delete(r->p, 1); // without its own SA it waits for one, and takes nobody else's
    rig_turn(r);
    rig_write(r, 3);
    rig_turn(r);
    assert_int_equal(r->sent_count, 2);
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 1);
}

static void test_the_newest_sa_of_a_policy_takes_over(void **state)
{
    struct rig *r = *state;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_out(r, 0, 1);
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    rig_out(r, 1, 1);
    sadb_delete(r->p, 2);
    rig_turn(r);
    rig_out(r, 2, 1);
    assert_int_equal(spd_spi_of(r, 0), 0x2001);
    assert_int_equal(spd_spi_of(r, 1), 0x2002);
    assert_int_equal(spd_spi_of(r, 2), 0x2001);
}

// The newest one is being deleted, and a card still has packets of it: the one before takes over at once.
static void test_a_deleted_sa_takes_no_packet_while_it_lingers(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_install(r, 2, OFFLOAD_YES, "card");
    r->card.hold_jobs = true;
    rig_out(r, 0, 3);
    sadb_delete(r->p, 2);
    rig_out(r, 3, 3);
    assert_int_equal(r->sent_count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(spd_spi_of(r, i), 0x2001);
    r->card.hold_jobs = false;
    rig_turn(r);
    assert_int_equal(r->sent_count, 6); // what it had is not lost
}

static void test_what_comes_out_of_an_sa_must_meet_the_policy_that_it_serves(void **state)
{
    struct rig *r = *state;
    spd_two_policies(r);
    struct rig_packet mine = {.src = "10.2.0.1", .dst = "10.1.0.1", .proto = 17, .number = 1};
    rig_in_packet(r, 0x1001, &mine);
    assert_int_equal(rig_read(r), 1);
    rig_in_packet(r, 0x1002, &mine); // it lies in this SA's selectors, but it is the other policy's
    assert_int_equal(rig_read(r), NONE);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_POLICY], 1);
    mine.src = "10.9.0.1";
    rig_in_packet(r, 0x1002, &mine);
    assert_int_equal(rig_read(r), 1);
}

static void test_a_child_unloaded_and_loaded_again_lets_the_sas_of_both_editions_in(void **state)
{
    struct rig *r = *state;
    struct policy_spec again = rig_spec(7, "net", "10.1.0.0/16", "10.2.0.0/16");
    struct rig_packet one = {.src = "10.2.0.1", .dst = "10.1.0.1", .proto = 17, .number = 1}, two = one;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_must_apply(r, "rig", NULL, 0);
    rig_must_apply(r, "rig", &again, 1);
    struct msg_CHILD c = rig_child(r, 2);
    c.policy_id = 7;
    rig_must_install_child(r, &c);
    rig_in_packet(r, 0x1001, &one); // the peer, which knows of no reload, may use either
    assert_int_equal(rig_read(r), 1);
    two.number = 2;
    rig_in_packet(r, 0x1002, &two);
    assert_int_equal(rig_read(r), 2);
}

static void test_a_narrowed_sa_takes_what_it_holds_and_nothing_else(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = rig_child(r, 1);
    c.remote_ts = rig_list("10.2.7.0/24");
    rig_must_install_child(r, &c);
    spd_send_udp(r, "10.1.0.1", "10.2.7.1", 1, 1);
    assert_int_equal(r->sent_count, 1);
    spd_send_udp(r, "10.1.0.1", "10.2.8.1", 1, 2);
    assert_int_equal(r->sent_count, 1);
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 1);
    assert_int_equal(r->past_count, 0);
    struct rig_packet in = {.src = "10.2.8.1", .dst = "10.1.0.1", .proto = 17, .number = 3};
    rig_in_packet(r, 0x1001, &in);
    assert_int_equal(rig_read(r), NONE);
    in.src = "10.2.7.1";
    rig_in_packet(r, 0x1001, &in);
    assert_int_equal(rig_read(r), 3);
    c = rig_child(r, 2); // a second one for all of it: each takes its own
    rig_must_install_child(r, &c);
    spd_send_udp(r, "10.1.0.1", "10.2.7.1", 1, 4);
    spd_send_udp(r, "10.1.0.1", "10.2.8.1", 1, 5);
    assert_int_equal(spd_spi_of(r, 1), 0x2001);
    assert_int_equal(spd_spi_of(r, 2), 0x2002);
}

// Two connections share a pool: whoever has an address of it gets what is for that address, in the order of
// loading or not. What a peer narrows by itself draws nothing of another connection's.
static void test_sas_of_connections_that_share_a_pool_get_each_its_own(void **state)
{
    struct rig *r = *state;
    static const char *const nets[] = {"10.78.0.0/24", "10.77.0.0/24"}, *const has[] = {"10.78.0.2",
                                                                                        "10.77.0.2"};
    for (uint8_t given = 2; given--;) {
        struct policy_spec one = rig_spec(2 + 2u * given, "one", "10.1.0.0/16", nets[given]),
                           two = rig_spec(3 + 2u * given, "two", "10.1.0.0/16", nets[given]);
        char ts[20];
        one.given = two.given = given;
        rig_must_apply(r, given ? "one" : "a", &one, 1);
        rig_must_apply(r, given ? "two" : "b", &two, 1);
        struct msg_CHILD c = rig_child(r, 1 + given);
        c.policy_id = two.id;
        snprintf(ts, sizeof(ts), "%s/32", has[given]);
        c.remote_ts = rig_list(ts);
        rig_must_install_child(r, &c);
        unsigned before = r->sent_count;
        spd_send_udp(r, "10.1.0.1", has[given], 1, 1);
        assert_int_equal(r->sent_count - before, given);
        spd_send_udp(r, "10.1.0.1", given ? "10.77.0.3" : "10.78.0.3", 1, 2);
        assert_int_equal(r->sent_count - before, given);
        struct rig_packet in = {.src = has[given], .dst = "10.1.0.1", .proto = 17, .number = 3};
        rig_in_packet(r, 0x1001 + given, &in);
        assert_int_equal(rig_read(r), given ? 3 : NONE);
    }
}

static void test_pool_of_one_address_is_shared_by_connections(void **state)
{
    struct rig *r = *state;
    struct policy_spec one = rig_spec(2, "one", "10.1.0.0/16", "10.77.0.1/32"),
                       two = rig_spec(3, "two", "10.1.0.0/16", "10.77.0.1/32");
    one.given = two.given = 1;
    rig_must_apply(r, "one", &one, 1);
    rig_must_apply(r, "two", &two, 1);
    struct msg_CHILD c = rig_child(r, 1);
    c.policy_id = two.id;
    c.remote_ts = two.remote;
    rig_must_install_child(r, &c);
    spd_send_udp(r, "10.1.0.1", "10.77.0.1", 1, 1);
    assert_int_equal(r->sent_count, 1);
}

static void test_acquire_names_policy_and_packet_once_a_second(void **state)
{
    struct rig *r = *state;
    uint8_t buf[8192];
    union msg m;
    rig_events(r, 0);
    for (uint32_t i = 0; i < 20; i++)
        spd_send_udp(r, "10.1.0.9", "10.2.0.7", 53, i);
    assert_true(spd_take_message(r->ike, buf, sizeof(buf), MSG_ACQUIRE, &m));
    assert_int_equal(m.ACQUIRE.policy_id, 1);
    assert_string_equal(m.ACQUIRE.conn, "rig");
    assert_string_equal(m.ACQUIRE.child, "net");
    assert_int_equal(m.ACQUIRE.local_ts.count, 1);
    assert_memory_equal(m.ACQUIRE.local_ts.t[0].lo, ((uint8_t[]){10, 1, 0, 9}), 4);
    assert_memory_equal(m.ACQUIRE.remote_ts.t[0].hi, ((uint8_t[]){10, 2, 0, 7}), 4);
    assert_int_equal(m.ACQUIRE.remote_ts.t[0].proto, 17);
    assert_int_equal(m.ACQUIRE.remote_ts.t[0].port_lo, 53);
    assert_int_equal(m.ACQUIRE.remote_ts.t[0].port_hi, 53);
    assert_false(spd_take_message(r->ike, buf, sizeof(buf), MSG_ACQUIRE, &m));
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 20);
}

// Within the second: it asks for another one, and waits for that.
static void test_packet_behind_the_end_of_its_sa_asks_at_once_and_waits(void **state)
{
    struct rig *r = *state;
    uint8_t buf[8192];
    union msg m;
    rig_events(r, 0);
    spd_send_udp(r, "10.1.0.9", "10.2.0.7", 53, 0);
    assert_true(spd_take_message(r->ike, buf, sizeof(buf), MSG_ACQUIRE, &m));
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    assert_int_equal(r->sent_count, 1);
    sadb_delete(r->p, 1);
    rig_turn(r);
    spd_send_udp(r, "10.1.0.9", "10.2.0.7", 53, 1);
    assert_int_equal(r->sent_count, 1);
    assert_true(spd_take_message(r->ike, buf, sizeof(buf), MSG_ACQUIRE, &m));
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    assert_int_equal(r->sent_count, 2);
    assert_int_equal(r->p->worker->no_sa_out, 0);
}

// ---- what a CHILD must be to be installed

static void expect_refused(struct rig *r, const struct msg_CHILD *c, const char *word)
{
    char text[400] = "";
    bool ok = true;
    rig_install_child(r, c);
    rig_turn(r);
    if (!rig_result(r, &ok, text, sizeof(text)) || ok || !strstr(text, word))
        fail_msg("expected a refusal that says \"%s\", got %s \"%s\"", word, ok ? "ok" : "no", text);
    assert_null(r->p->children);
    assert_int_equal(r->p->spd.instances.count, 0);
}

static void test_a_child_outside_its_policy_is_refused(void **state)
{
    struct rig *r = *state;
    struct policy_spec s[2] = {rig_spec(2, "pass", "10.1.0.0/16", "10.5.0.0/16"),
                               rig_spec(3, "host", "127.0.0.1/32", "127.0.0.1/32")};
    struct msg_CHILD c;
    s[0].action = POLICY_BYPASS;
    s[1].mode = MODE_TRANSPORT;
    rig_must_apply(r, "s", s, 2);
    c = rig_child(r, 1);
    c.policy_id = 99;
    expect_refused(r, &c, "99");
    c.policy_id = 0;
    expect_refused(r, &c, "policy");
    c.policy_id = 2;
    expect_refused(r, &c, "does not protect");
    c.policy_id = 3;
    expect_refused(r, &c, "transport");
    c = rig_child(r, 1);
    c.mode = MODE_TRANSPORT;
    expect_refused(r, &c, "tunnel");
    const char *const outside[] = {"0.0.0.0/0", "10.2.0.0/15", "10.2.0.0/16,10.3.0.0/16", "fd00::/8",
                                   "dynamic"};
    for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        c = rig_child(r, 1);
        c.remote_ts = rig_list(outside[i]);
        expect_refused(r, &c, "remote_ts");
        c = rig_child(r, 1);
        c.local_ts = rig_list(outside[i]);
        expect_refused(r, &c, "local_ts");
    }
    c.local_ts.count = 0;
    expect_refused(r, &c, "local_ts");
}

static void test_a_child_of_any_protocol_is_outside_a_policy_of_one(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(2, "port", "10.1.0.0/16[17]", "10.3.0.0/16[17/53]");
    struct msg_CHILD c = rig_child(r, 1);
    rig_must_apply(r, "s", &s, 1);
    c.policy_id = 2;
    c.local_ts = rig_list("10.1.0.0/16");
    c.remote_ts = rig_list("10.3.0.0/16[17/53]");
    expect_refused(r, &c, "local_ts");
    c.local_ts = rig_list("10.1.0.0/16[17]");
    c.remote_ts = rig_list("10.3.0.0/16[17/52-53]");
    expect_refused(r, &c, "remote_ts");
    c.remote_ts = rig_list("10.3.0.0/16[17/53]");
    rig_must_install_child(r, &c);
}

static void test_a_refused_installation_leaves_no_policy_behind(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = rig_child(r, 1);
    c.remote_ts = rig_list("10.2.7.0/24");
    c.encr = 9999;
    expect_refused(r, &c, "encryption");
    c = rig_child(r, 1);
    c.remote_ts = rig_list("10.2.7.0/24");
    c.hw_offload = OFFLOAD_YES; // there is no card
    expect_refused(r, &c, "no card");
    struct msg_POLICY_IS list[4] = {0};
    assert_int_equal(spd_count_policies(r, list, 4), 1);
    assert_int_equal(list[0].sa_count, 0);
}

// ---- dynamic selectors

static struct msg_CHILD dynamic_child(struct rig *r, uint32_t id)
{
    struct msg_CHILD c = rig_child(r, id);
    c.policy_id = 2;
    c.local_ts = rig_list("10.1.0.0/16");
    c.remote_ts = rig_list("127.0.0.1/32");
    return c;
}

static void test_a_dynamic_policy_is_in_force_while_an_sa_gives_it_an_address(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(2, "warrior", "10.1.0.0/16", "dynamic");
    struct msg_CHILD c = dynamic_child(r, 1);
    rig_must_apply(r, "w", &s, 1);
    fake_blocks = 0;
    rig_must_install_child(r, &c);
    assert_int_equal(fake_blocks, 1);
    c = dynamic_child(r, 2);
    rig_must_install_child(r, &c); // its successor: the same instance
    assert_int_equal(fake_blocks, 1);
    sadb_delete(r->p, 1);
    rig_turn(r);
    assert_int_equal(fake_blocks, 1);
    rig_out_packet(r, &(struct rig_packet){.src = "10.1.0.1", .dst = "127.0.0.1", .proto = 17, .number = 8});
    assert_int_equal(r->sent_count, 1);
    rig_must_apply(r, "w", NULL, 0); // unloaded: not before the SA ends
    rig_out_packet(r, &(struct rig_packet){.src = "10.1.0.1", .dst = "127.0.0.1", .proto = 17, .number = 9});
    assert_int_equal(r->sent_count, 2);
    sadb_delete(r->p, 2);
    rig_turn(r);
    assert_int_equal(fake_blocks, 0);
    assert_int_equal(r->p->spd.instances.count, 0);
    assert_int_equal(r->p->spd.by_id.count, 1);
}

static void test_a_dynamic_selector_is_the_sas_own_end_and_nothing_else(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(2, "warrior", "10.1.0.0/16", "dynamic[17/1000-2000]");
    struct msg_CHILD c = dynamic_child(r, 1);
    const char *const wrong[] = {"127.0.0.2/32[17/1000]", "127.0.0.0/31[17/1000]",     "0.0.0.0/0[17/1000]",
                                 "127.0.0.1/32",          "127.0.0.1/32[17/999-1000]", "::/0[17/1000]"};
    rig_must_apply(r, "w", &s, 1);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        c.remote_ts = rig_list(wrong[i]);
        expect_refused(r, &c, "remote_ts");
    }
    c.remote_ts = rig_list("127.0.0.1/32[17/1500]");
    rig_must_install_child(r, &c);
}

static void test_a_dynamic_policy_that_the_kernel_refuses_refuses_the_sa(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(2, "warrior", "10.1.0.0/16", "dynamic");
    struct msg_CHILD c = dynamic_child(r, 1);
    rig_must_apply(r, "w", &s, 1);
    fake_block_fails_in = 1;
    expect_refused(r, &c, "no room");
}

// ---- a burst

static struct look_up burst_of_one(struct rig *r, const char *src, const char *dst)
{
    struct look_up l;
    uint8_t p[128];
    struct rig_packet k = {.src = src, .dst = dst, .proto = 17, .sport = 1, .dport = 2};
    look_up_out(&l, p, rig_build(p, &k), 0);
    look_up_burst(r->p->worker, &l, 1);
    return l;
}

static void test_what_a_burst_has_looked_up_holds_only_while_the_policies_stand(void **state)
{
    struct rig *r = *state;
    struct policy *pol = NULL;
    struct policy_spec s = rig_spec(2, "narrow", "10.1.0.0/16", "10.2.3.0/24");
    rig_must_apply(r, "narrow", &s, 1);
    struct look_up l = burst_of_one(r, "10.1.0.1", "10.2.3.4");
    assert_int_equal(l.verdict, SPD_FOUND);
    assert_int_equal(l.policy->id, 2);
    policy_clear(r->p, &(struct msg_POLICY_CLEAR){.req = 9, .conn = "narrow"}); // it is freed
    assert_int_equal(look_up_policy(r->p->worker, &l, &pol), SPD_FOUND);
    assert_int_equal(pol->id, 1);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_policies_come_in_pages_in_time_that_grows_as_they_do),
        WITH(test_traffic_of_the_sas_that_were_asked_for),
        WITH(test_an_error_about_what_is_protected_does_not_go_on_in_clear),
        WITH(test_unload_with_sa_up_stays_protected),
        WITH(test_what_an_sa_keeps_closed_stays_closed_when_the_daemon_ends),
        WITH(test_what_an_sa_kept_closed_opens_at_the_end_where_blocks_go_with_the_daemon),
        WITH(test_an_edit_with_sa_up_keeps_the_old_policy_until_the_sa_ends),
        WITH(test_a_policy_loaded_again_under_its_id_is_not_touched),
        WITH(test_a_policy_is_about_more_later_until_it_is_loaded_otherwise),
        WITH(test_less_of_what_was_known_is_refused_from_an_ike_that_has_none_of_it),
        WITH(test_a_replaced_policy_is_in_the_kernel_before_the_old_one_leaves),
        WITH(test_a_load_that_fails_changes_nothing),
        WITH(test_a_malformed_list_is_refused),
        WITH(test_the_more_specific_policy_has_the_packet_whatever_was_loaded_first),
        WITH(test_explicit_priority_goes_before_specificity_and_bypass_before_protect),
        WITH(test_a_packet_takes_its_policys_sa_not_the_newest_that_fits),
        WITH(test_the_newest_sa_of_a_policy_takes_over),
        WITH(test_a_deleted_sa_takes_no_packet_while_it_lingers),
        WITH(test_what_comes_out_of_an_sa_must_meet_the_policy_that_it_serves),
        WITH(test_a_child_unloaded_and_loaded_again_lets_the_sas_of_both_editions_in),
        WITH(test_a_narrowed_sa_takes_what_it_holds_and_nothing_else),
        WITH(test_sas_of_connections_that_share_a_pool_get_each_its_own),
        WITH(test_pool_of_one_address_is_shared_by_connections),
        WITH(test_acquire_names_policy_and_packet_once_a_second),
        WITH(test_packet_behind_the_end_of_its_sa_asks_at_once_and_waits),
        WITH(test_a_child_outside_its_policy_is_refused),
        WITH(test_a_child_of_any_protocol_is_outside_a_policy_of_one),
        WITH(test_a_refused_installation_leaves_no_policy_behind),
        WITH(test_a_dynamic_policy_is_in_force_while_an_sa_gives_it_an_address),
        WITH(test_a_dynamic_selector_is_the_sas_own_end_and_nothing_else),
        WITH(test_a_dynamic_policy_that_the_kernel_refuses_refuses_the_sa),
        WITH(test_what_a_burst_has_looked_up_holds_only_while_the_policies_stand),
    };
    return cmocka_run_group_tests_name("policies", tests, NULL, NULL);
}
