// SPDX-License-Identifier: Apache-2.0
// The path room and the outer side of packets: where ESP is found in them, that nothing but the SA's ESP
// leaves, ends that move, and virtual addresses.
#include "ctrl/path/outer.h"
#include "tests/unit/path_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- outer headers

struct sealed { // as tests/vectors/esp_modes.inc has them
    const char *name;
    int mode;
    bool ipv6;
    unsigned inner;
    bool udp, esn;
    uint64_t seq;
    const char *src, *dst, *in, *outer, *back;
};
static const struct sealed sealed[] = {
#define V(...) {__VA_ARGS__},
#include "tests/vectors/esp_modes.inc"
#undef V
};

static uint32_t unhex(uint8_t *to, const char *hex)
{
    uint32_t n = 0;
    for (unsigned v; sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
        to[n] = (uint8_t)v;
    return n;
}

// Packets of every family and mode, with options and extension headers, sealed by scapy: ESP is found in
// each, and in none that ends before its sequence number.
static void test_esp_is_found_in_every_family_and_mode(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(sealed) / sizeof(sealed[0]); i++) {
        const struct sealed *v = &sealed[i];
        uint8_t room[1024], dst[16] = {0};
        uint32_t len = unhex(room, v->outer), spi;
        struct outer o, cut_o;
        unhex(dst, v->dst);
        if (!outer_look(room, len, &o))
            fail_msg("%s: no ESP was found", v->name);
        memcpy(&spi, room + o.esp, 4);
        assert_int_equal(ntohl(spi), 0xc0ffee01);
        assert_int_equal(o.udp, v->udp);
        assert_int_equal(o.dst.family, v->ipv6 ? 6 : 4);
        assert_memory_equal(o.dst.a, dst, 16);
        assert_int_equal(o.dport, v->udp ? 4501 : 0);
        for (uint32_t cut = 0; cut < o.esp + 8; cut++) {
            uint8_t *p = malloc(cut ? cut : 1); // of this size, for the address sanitizer
            assert_non_null(p);
            memcpy(p, room, cut);
            assert_false(outer_look(p, cut, &cut_o));
            free(p);
        }
    }
}

// ---- a card that writes where it should not

static struct rig *scribbling; // net's hooks have no other way to the rig
static struct path_net sockets;

static int scribbled_send(void *ctx, struct mmsghdr *m, unsigned n)
{
    (void)ctx;
    fake_scribble(&scribbling->card);
    return rig_catch(scribbling, m, n);
}

static int scribbled_write(const struct path_tun *t, const uint8_t *p, uint32_t len)
{
    fake_scribble(&scribbling->card);
    return sockets.tun.write(t, p, len);
}

// What is sent, and what enters the TUN, is what was checked, whatever the card writes between the two.
static void test_a_card_that_writes_after_its_completion_changes_nothing(void **state)
{
    struct rig *r = *state;
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    scribbling = r;
    sockets = r->p->worker->net;
    r->p->worker->net.send = scribbled_send;
    r->p->worker->net.tun.write = scribbled_write;
    rig_out(r, 0, 50);
    rig_expect(r, 0, 50);
    for (uint32_t i = 0; i < 50; i++) {
        rig_in(r, 0x1001, "10.2.0.1", i);
        assert_int_equal(rig_read(r), i);
    }
    sadb_delete(r->p, 1); // and what goes through software is nowhere near it
    rig_turn(r);
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    rig_out(r, 50, 50);
    rig_expect(r, 50, 50);
    scribbling = NULL;
}

// ---- the ends move

static struct esp_endpoint ends(struct rig *r, uint8_t last_octet, uint16_t port)
{
    return (struct esp_endpoint){.udp_encap = true,
                                 .src = {127, 0, 0, 1},
                                 .dst = {127, 0, 0, last_octet},
                                 .sport = r->own_port,
                                 .dport = port};
}

static void expect_sent_to(struct rig *r, unsigned from, unsigned count, uint8_t last_octet, uint16_t port)
{
    assert_int_equal(r->sent_count, from + count);
    for (unsigned i = from; i < from + count; i++) {
        assert_int_equal(r->sent[i].bytes[19], last_octet);
        assert_int_equal(r->sent[i].bytes[22] << 8 | r->sent[i].bytes[23], port);
    }
}

static void test_moved_ends_hold_at_once_in_software(void **state)
{
    struct rig *r = *state;
    struct esp_endpoint to = ends(r, 9, 7777), back = ends(r, 1, r->udp_port);
    struct esp_error err = {0};
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    rig_out(r, 0, 3);
    assert_int_equal(sadb_endpoint(r->p, r->p->children, &to, &err), 0);
    rig_out(r, 3, 3);
    expect_sent_to(r, 3, 3, 9, 7777);
    rig_in(r, 0x1001, "10.2.0.1", 5); // from whatever address: it is the SPI that counts
    assert_int_equal(rig_read(r), 5);
    assert_int_equal(sadb_endpoint(r->p, r->p->children, &back, &err), 0);
    rig_out(r, 6, 3);
    expect_sent_to(r, 6, 3, 1, r->udp_port);
    assert_string_equal(child_offload(r->p->children), "software");
    rig_unique(r);
}

// The card changes nothing in place: the SA leaves it in order. Nothing is lost, no number comes twice, and
// what was received stays received.
static void test_moved_ends_take_an_sa_off_a_healthy_card(void **state)
{
    struct rig *r = *state;
    struct esp_endpoint to = ends(r, 9, 7777);
    struct esp_error err = {0};
    rig_card(r);
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    struct child *c = r->p->children;
    rig_out(r, 0, 5);
    rig_in(r, 0x1001, "10.2.0.1", 50);
    assert_int_equal(rig_read(r), 50);
    r->card.hold_jobs = true;
    rig_out(r, 5, 40); // on the card when the ends move
    assert_int_equal(sadb_endpoint(r->p, c, &to, &err), 0);
    rig_out(r, 45, 20); // these wait
    assert_int_equal(r->sent_count, 5);
    r->card.hold_jobs = false;
    for (int i = 0; i < 5; i++)
        rig_turn(r);
    expect_sent_to(r, 45, 20, 9, 7777);
    rig_unique(r);
    for (unsigned i = 0; i < 65; i++) // in order, one after the other: nothing was skipped or lost
        assert_int_equal(r->sent[i].bytes[35], i + 1);
    assert_string_equal(child_offload(c), "software");
    assert_non_null(strstr(child_reason(c), "address"));
    assert_int_equal(c->out.seq, 46);
    assert_true(c->in.seq > 0);
    rig_datagram(r, r->last_in, r->last_in_len); // no replay slips through the move
    assert_int_equal(rig_read(r), UINT32_MAX);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_REPLAY_SEEN], 1);
    rig_in(r, 0x1001, "10.2.0.1", 51);
    assert_int_equal(rig_read(r), 51);
    assert_int_equal(r->p->failovers, 0);
    assert_int_equal(fake_live(&r->card), 0);
}

static void test_moved_ends_leave_an_sa_on_a_card_that_moves_them(void **state)
{
    struct rig *r = *state;
    struct esp_endpoint to = ends(r, 9, 7777);
    struct esp_error err = {0};
    rig_card(r);
    r->card.moves = true;
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    struct child *c = r->p->children;
    rig_out(r, 0, 5);
    assert_int_equal(sadb_endpoint(r->p, c, &to, &err), 0);
    rig_out(r, 5, 20);
    expect_sent_to(r, 5, 20, 9, 7777);
    rig_in(r, 0x1001, "10.2.0.1", 5);
    assert_int_equal(rig_read(r), 5);
    assert_string_equal(child_offload(c), "card");
    assert_int_equal(fake_live(&r->card), 2);
    rig_unique(r);
}

static void test_new_ends_that_the_card_refuses_later_take_the_sa_to_software(void **state)
{
    struct rig *r = *state;
    struct esp_endpoint to = ends(r, 9, 7777);
    struct esp_error err = {0};
    rig_card(r);
    r->card.moves = true;
    r->card.refuse_ends = ESP_STATUS_SPI_EXISTS;
    rig_must_install(r, 1, OFFLOAD_YES, "card");
    struct child *c = r->p->children;
    rig_out(r, 0, 5);
    assert_int_equal(sadb_endpoint(r->p, c, &to, &err), 0);
    for (int i = 0; i < 5; i++)
        rig_turn(r);
    rig_out(r, 5, 20);
    expect_sent_to(r, 5, 20, 9, 7777);
    assert_string_equal(child_offload(c), "software");
    assert_non_null(strstr(child_reason(c), "new ends"));
    rig_unique(r);
}

static void test_moved_ends_while_the_sa_is_being_added(void **state)
{
    struct rig *r = *state;
    struct esp_endpoint to = ends(r, 9, 7777);
    struct esp_error err = {0};
    bool ok = false;
    char text[400];
    rig_card(r);
    r->card.hold_events = true;
    rig_install(r, 1, OFFLOAD_YES, 0);
    rig_turn(r);
    rig_out(r, 0, 3);
    assert_int_equal(sadb_endpoint(r->p, r->p->children, &to, &err), 0);
    r->card.hold_events = false;
    for (int i = 0; i < 5; i++)
        rig_turn(r);
    assert_true(rig_result(r, &ok, text, sizeof(text)) && ok);
    expect_sent_to(r, 0, 3, 9, 7777);
    assert_string_equal(child_offload(r->p->children), "software");
}

static void test_a_route_stays_while_another_policy_needs_it(void **state)
{
    struct rig *r = *state;
    struct policy_spec a = rig_spec(11, "net", "10.1.0.0/24", "10.3.0.0/16,10.4.0.0/16"),
                       b = rig_spec(12, "net", "10.1.0.0/24", "10.3.0.0/16");
    fake_routes = fake_blocks = 0;
    rig_must_apply(r, "a", &a, 1);
    rig_must_apply(r, "b", &b, 1);
    rig_must_apply(r, "b", &b, 1); // again: nothing changes
    assert_int_equal(fake_routes, 2);
    assert_int_equal(fake_blocks, 2);
    policy_clear(r->p, &(struct msg_POLICY_CLEAR){.req = 3, .conn = "a"});
    assert_int_equal(fake_routes, 1);
    assert_int_equal(fake_blocks, 1);
    policy_clear(r->p, &(struct msg_POLICY_CLEAR){.req = 4, .conn = "b"});
    assert_int_equal(fake_routes, 0);
    assert_int_equal(fake_blocks, 0);
}

#define WITH(t) cmocka_unit_test_setup_teardown(t, rig_up, rig_down)
// ---- virtual addresses

static bool ask_address(struct rig *r, const char *text)
{
    static uint8_t buf[4096];
    union msg answer;
    struct msg_VIRTUAL_ADD m = {.req = 77};
    addr_parse(text, &m.address);
    virtual_add(r->p, &m);
    ssize_t n = read(r->ike, buf, sizeof(buf));
    assert_true(n > 0);
    assert_int_equal(msg_read(slice_of(buf, (size_t)n), &answer), MSG_RESULT);
    assert_int_equal(answer.RESULT.req, 77);
    return answer.RESULT.ok;
}

static void lose_address(struct rig *r, const char *text)
{
    struct msg_VIRTUAL_DEL m = {0};
    addr_parse(text, &m.address);
    virtual_del(r->p, &m);
}

// Two IKE SAs have one while the one takes the other's place.
static void test_virtual_address_stays_until_the_last_ike_sa_lets_go(void **state)
{
    struct rig *r = *state;
    fake_addresses = fake_address_rc = 0;
    assert_true(ask_address(r, "10.3.0.1"));
    assert_true(ask_address(r, "10.3.0.1"));
    assert_true(ask_address(r, "fd03::1"));
    assert_int_equal(fake_addresses, 2);
    lose_address(r, "10.3.0.1");
    assert_int_equal(fake_addresses, 2);
    lose_address(r, "10.3.0.1");
    assert_int_equal(fake_addresses, 1);
    lose_address(r, "10.3.0.1"); // nobody has it
    lose_address(r, "10.3.0.2");
    assert_int_equal(fake_addresses, 1);
    fake_address_rc = -EPERM;
    assert_false(ask_address(r, "10.3.0.1"));
    fake_address_rc = 0;
    lose_address(r, "fd03::1");
    assert_int_equal(fake_addresses, 0);
    assert_int_equal(r->p->virtual.count, 0);
}

// The setting may have changed since: what we have put is ours to take away, what we have not is not.
// The next ike counts from nothing; what of it nobody has asked for again goes with them.
static void test_virtual_address_stays_with_sas_that_outlive_their_ike(void **state)
{
    enum { LONG_MS = 300000 };
    struct rig *r = *state;
    fake_addresses = fake_address_rc = 0;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    assert_true(ask_address(r, "10.1.3.1"));
    assert_true(ask_address(r, "10.1.3.1"));
    assert_true(ask_address(r, "10.1.3.2"));
    survivors_begin(r->p);
    (void)rig_events(r, 0);
    assert_true(ask_address(r, "10.1.3.1"));
    lose_address(r, "10.1.3.1");
    assert_int_equal(fake_addresses, 2);
    assert_true(ask_address(r, "10.1.3.1"));
    rig_pass(r, LONG_MS);
    for (int i = 0; i < 2; i++) {
        survivors_look(r->p);
        rig_turn(r);
    }
    assert_int_equal(fake_addresses, 1);
    lose_address(r, "10.1.3.1");
    assert_int_equal(fake_addresses, 0);
}

static void test_virtual_address_goes_as_it_was_put(void **state)
{
    struct rig *r = *state;
    fake_addresses = fake_address_rc = 0;
    r->p->set.install_virtual_ip = false;
    assert_true(ask_address(r, "10.3.0.1"));
    r->p->set.install_virtual_ip = true;
    assert_true(ask_address(r, "10.3.0.2"));
    assert_int_equal(fake_addresses, 1);
    lose_address(r, "10.3.0.1");
    assert_int_equal(fake_addresses, 1);
    r->p->set.install_virtual_ip = false;
    lose_address(r, "10.3.0.2");
    assert_int_equal(fake_addresses, 0);
}

static void test_virtual_addresses_have_a_bound(void **state)
{
    struct rig *r = *state;
    char text[32];
    fake_addresses = 0;
    for (int i = 0; i < PATH_VIRTUAL_MAX; i++) {
        snprintf(text, sizeof(text), "10.3.1.%d", i);
        assert_true(ask_address(r, text));
    }
    assert_false(ask_address(r, "10.3.2.1"));
    assert_true(ask_address(r, "10.3.1.0"));
    assert_int_equal(fake_addresses, PATH_VIRTUAL_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_esp_is_found_in_every_family_and_mode),
        WITH(test_a_card_that_writes_after_its_completion_changes_nothing),
        WITH(test_moved_ends_hold_at_once_in_software),
        WITH(test_moved_ends_take_an_sa_off_a_healthy_card),
        WITH(test_moved_ends_leave_an_sa_on_a_card_that_moves_them),
        WITH(test_new_ends_that_the_card_refuses_later_take_the_sa_to_software),
        WITH(test_moved_ends_while_the_sa_is_being_added),
        WITH(test_a_route_stays_while_another_policy_needs_it),
        WITH(test_virtual_address_stays_until_the_last_ike_sa_lets_go),
        WITH(test_virtual_address_stays_with_sas_that_outlive_their_ike),
        WITH(test_virtual_address_goes_as_it_was_put),
        WITH(test_virtual_addresses_have_a_bound),
    };
    return cmocka_run_group_tests_name("the path room's ends", tests, NULL, NULL);
}
