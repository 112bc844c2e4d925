// SPDX-License-Identifier: Apache-2.0
// Child SAs in the kernel's own ESP, which is driver/kernel on a kernel in memory: policies and routes come
// and go with them, by the one that sends; what does not fit is in software and says why; what the kernel
// says of them ike is told, and nothing that was there comes to software with its keys.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/xfrm.h>
#include <string.h>

#include "tests/unit/path_rig.h"
#include "tests/unit/xfrm_model.h"

enum { OWNER = 0x40001234, LINK = 7 };

static struct xfrm_model m;

static int open_engine(struct esp_engine **e, struct esp_error *err)
{
    return kernel_open_link(e, &m.base, &(struct esp_kernel_options){.owner = OWNER}, err);
}

static int up(void **state)
{
    int rc = rig_up(state);
    struct rig *r = *state;
    model_begin(&m);
    fake_kernel_engine = open_engine;
    fake_way_to = LINK;
    r->p->kernel->hooks4 = true;
    r->p->set.kernel_esp = true;
    kernel_esp_open(r->p);
    return rc;
}

static int down(void **state)
{
    struct rig *r = *state;
    for (struct child *c = r->p->children, *next; c; c = next) {
        next = c->next;
        sadb_delete(r->p, c->c.child_id);
    }
    rig_turn(r);
    kernel_esp_close(r->p);
    assert_int_equal(model_states(&m) + model_policies(&m), 0);
    r->p->kernel->hooks4 = false;
    fake_kernel_engine = NULL;
    return rig_down(state);
}

// ---- what the kernel has

static struct xfrm_usersa_info state_of(uint32_t spi)
{
    struct xfrm_usersa_info i;
    int at = model_state(&m, spi);
    assert_true(at >= 0);
    memcpy(&i, m.state[at].bytes + NLMSG_HDRLEN, sizeof(i));
    return i;
}

// The number of the SAs that the policy of that direction asks for; 0: there is no policy.
static uint32_t asks_for(uint8_t dir)
{
    int at = model_policy(&m, dir);
    if (at < 0)
        return 0;
    const struct xfrm_user_tmpl *t =
        xfrm_attr(model_header(&m.policy[at]), sizeof(struct xfrm_userpolicy_info), XFRMA_TMPL, sizeof(*t));
    assert_non_null(t);
    assert_int_equal(t->optional, 0);
    return t->reqid;
}

static void sends_by(uint32_t id)
{
    assert_int_equal(asks_for(XFRM_POLICY_OUT), state_of(0x2000 + id).reqid);
    assert_int_equal(fake_way, LINK);
}

static void lets_in(uint32_t id)
{
    assert_int_equal(asks_for(XFRM_POLICY_IN), state_of(0x1000 + id).reqid);
    assert_int_equal(asks_for(XFRM_POLICY_FWD), state_of(0x1000 + id).reqid);
}

static struct child *child(struct rig *r, uint32_t id)
{
    return sadb_by_id(r->p, id);
}

static void ends(struct rig *r, uint32_t id)
{
    sadb_delete(r->p, id);
    rig_turn(r);
}

static struct msg_CHILD plain(struct rig *r, uint32_t id)
{
    struct msg_CHILD c = rig_child(r, id);
    c.udp_encap = 0;
    return c;
}

static void in_kernel(struct rig *r, uint32_t id, uint32_t after)
{
    struct msg_CHILD c = plain(r, id);
    c.out_after = after;
    rig_must_install_child(r, &c);
    assert_string_equal(child_offload(child(r, id)), "kernel");
    rig_turn(r);
}

static void in_software(struct rig *r, const struct msg_CHILD *c, const char *why)
{
    rig_must_install_child(r, c);
    assert_string_equal(child_offload(child(r, c->child_id)), "software");
    if (!strstr(child_reason(child(r, c->child_id)), why))
        fail_msg("the reason is \"%s\", expected \"%s\"", child_reason(child(r, c->child_id)), why);
    assert_int_equal(model_states(&m), 0);
    ends(r, c->child_id);
}

// ---- one SA

static void test_an_sa_has_policies_and_routes_as_long_as_it_is_there(void **state)
{
    struct rig *r = *state;
    in_kernel(r, 1, 0);
    assert_string_equal(child_reason(child(r, 1)), "");
    rig_turn(r);
    assert_int_equal(model_states(&m), 2);
    assert_int_equal(model_policies(&m), 3);
    sends_by(1);
    lets_in(1);
    assert_int_not_equal(state_of(0x1001).reqid, state_of(0x2001).reqid);
    ends(r, 1);
    assert_int_equal(model_states(&m) + model_policies(&m), 0);
    assert_int_equal(fake_way, 0);
}

// The kernel sends and takes them by itself. One that has come here all the same is not sent by anybody else.
static void test_packets_are_none_of_ours(void **state)
{
    struct rig *r = *state;
    in_kernel(r, 1, 0);
    rig_turn(r);
    rig_out(r, 0, 5);
    rig_in(r, 0x1001, "10.2.0.1", 7);
    rig_turn(r);
    assert_int_equal(r->sent_count, 0);
    assert_int_equal(rig_read(r), UINT32_MAX);
    assert_int_equal(child(r, 1)->out.drops, 5);
    assert_int_equal(r->p->worker->drop_out[ESP_STATUS_SA_INVALID], 5);
    assert_int_equal(r->unknowns, 0);
}

static void test_what_the_kernel_counts_is_counted(void **state)
{
    struct rig *r = *state;
    in_kernel(r, 1, 0);
    rig_turn(r);
    m.count[model_state(&m, 0x2001)].packets = 4;
    m.count[model_state(&m, 0x2001)].bytes = 400;
    m.count[model_state(&m, 0x2001)].oseq = 4;
    m.count[model_state(&m, 0x1001)].packets = 3;
    m.count[model_state(&m, 0x1001)].bytes = 30;
    m.count[model_state(&m, 0x1001)].integrity_failed = 2;
    kernel_esp_refresh(r->p, child(r, 1));
    assert_int_equal(child(r, 1)->out.packets, 4);
    assert_int_equal(child(r, 1)->out.bytes, 400);
    assert_int_equal(child(r, 1)->out.last_seq, 4);
    assert_int_equal(child(r, 1)->in.packets, 3);
    assert_int_equal(child(r, 1)->in.drops, 2);
    assert_int_equal(child(r, 1)->in.used_at, loop_now(r->p->loop));
    assert_int_equal(r->p->worker->count[PATH_KERNEL].bytes_out, 400);
    assert_int_equal(rig_events(r, CHILD_EVENT_TRAFFIC_IN), 1);
    kernel_esp_look(r->p);
    assert_int_equal(child(r, 1)->out.packets, 4);
    assert_int_equal(r->p->worker->count[PATH_KERNEL].packets_in, 3);
    assert_int_equal(rig_events(r, CHILD_EVENT_TRAFFIC_IN), 0);
}

// What a key lasts for is not the operator's to say: see limits.c.
static void test_a_key_that_has_done_enough_is_followed(void **state)
{
    struct rig *r = *state;
    in_kernel(r, 1, 0);
    m.count[model_state(&m, 0x2001)].packets = 1;
    m.count[model_state(&m, 0x2001)].bytes = 1ull << 39; // 2^35 blocks of AES-GCM
    kernel_esp_look(r->p);
    rig_turn(r);
    assert_int_equal(rig_events(r, CHILD_EVENT_SOFT_LIMIT), 1);
}

// ---- one follows the other

static void test_the_newest_sends_unless_its_peer_may_not_have_it(void **state)
{
    struct rig *r = *state;
    in_kernel(r, 1, 0);
    in_kernel(r, 2, 1);
    sends_by(1);
    lets_in(1);
    lets_in(2);
    m.count[model_state(&m, 0x1002)].packets = 1; // its peer has it
    kernel_esp_look(r->p);
    rig_turn(r);
    sends_by(2);
    in_kernel(r, 3, 0);
    rig_turn(r);
    sends_by(3);
    ends(r, 3);
    sends_by(2);
}

static void test_the_last_one_going_lets_the_next_one_send(void **state)
{
    struct rig *r = *state;
    in_kernel(r, 1, 0);
    in_kernel(r, 2, 1);
    ends(r, 1);
    sends_by(2);
    assert_int_equal(model_states(&m), 2);
}

// Until the routes are there packets still come here, and go by the one before; and back.
static void test_from_software_and_back_to_it(void **state)
{
    struct rig *r = *state;
    r->p->set.kernel_esp = false;
    rig_must_install(r, 1, OFFLOAD_NO, "software");
    r->p->set.kernel_esp = true;
    in_kernel(r, 2, 0);
    rig_turn(r);
    sends_by(2);
    rig_out(r, 0, 3);
    rig_expect(r, 0, 3);
    r->p->set.kernel_esp = false;
    rig_must_install(r, 3, OFFLOAD_NO, "software");
    rig_turn(r);
    assert_int_equal(asks_for(XFRM_POLICY_OUT), 0);
    assert_int_equal(fake_way, 0);
    lets_in(2);
    rig_out(r, 3, 3);
    rig_expect(r, 3, 3);
    ends(r, 2);
    assert_int_equal(model_policies(&m), 0);
}

// ---- which SAs

static void test_what_does_not_fit_is_in_software_and_says_why(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = plain(r, 1);
    c.udp_encap = 1;
    in_software(r, &c, "not in the kernel: in UDP");
    c = plain(r, 2);
    c.tfc_padding = 200;
    c.tfc_dummies = 1;
    in_software(r, &c, "tfc_dummies");
    c = plain(r, 3);
    c.fence = 1;
    in_software(r, &c, "fleet");
    c = plain(r, 4);
    c.local_ts = rig_list("10.1.0.0/16[6/0-65535]");
    in_software(r, &c, "its selectors are not IPv4 networks alone");
    r->p->set.kernel_esp = false;
    c = plain(r, 5);
    in_software(r, &c, "hw_offload is no");
}

static void apply_other(struct rig *r, uint32_t id, const char *local, const char *remote)
{
    struct policy_spec s = rig_spec(id, "wide", local, remote);
    rig_must_apply(r, "other", &s, 1);
    rig_turn(r);
}

static void test_a_policy_in_the_way_is_named(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = plain(r, 1);
    apply_other(r, 21, "10.0.0.0/8", "10.2.7.0/24");
    in_software(r, &c, "another policy overlaps with its: other/wide");
    apply_other(r, 22, "10.7.0.0/16", "10.2.7.0/24");
    in_kernel(r, 2, 0);
}

static void test_a_policy_that_comes_into_the_way_has_them_rekeyed(void **state)
{
    struct rig *r = *state;
    in_kernel(r, 1, 0);
    apply_other(r, 23, "10.7.0.0/16", "10.2.7.0/24");
    assert_int_equal(rig_events(r, CHILD_EVENT_MOVED), 0);
    apply_other(r, 24, "10.0.0.0/8", "10.0.0.0/8");
    rig_turn(r);
    assert_int_equal(rig_events(r, CHILD_EVENT_MOVED), 1);
    sends_by(1); // meanwhile: that one is behind
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    rig_turn(r);
    assert_int_equal(asks_for(XFRM_POLICY_OUT), 0);
    assert_int_equal(fake_way, 0);
}

// What that one is for is its own from its load on, and the kernel does not ask it.
static void test_a_policy_that_comes_before_them_closes_them(void **state)
{
    struct rig *r = *state;
    in_kernel(r, 1, 0);
    sends_by(1);
    apply_other(r, 24, "10.1.7.0/24", "10.2.7.0/24");
    kernel_esp_turn(r->p);
    assert_int_equal(rig_events(r, CHILD_EVENT_MOVED), 1);
    assert_int_equal(model_policies(&m), 0);
    assert_int_equal(fake_way, 0);
    rig_out(r, 0, 2);
    assert_int_equal(r->sent_count, 0);
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    rig_turn(r);
    rig_out(r, 2, 2);
    rig_expect(r, 2, 2);
}

static void test_of_networks_in_one_another_none_is_the_kernels(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(9, "all", "10.7.0.0/16", "0.0.0.0/0");
    struct msg_CHILD c = plain(r, 1);
    c.policy_id = 9;
    c.local_ts = rig_list("10.7.0.0/16");
    c.remote_ts = rig_list("0.0.0.0/0");
    rig_must_apply(r, "other", &s, 1);
    in_software(r, &c, "its remote networks contain local ones");
    s = rig_spec(10, "groups", "10.7.0.0/16", "224.0.0.0/4"); // and what is of one link
    c = plain(r, 2);
    c.policy_id = 10;
    c.local_ts = rig_list("10.7.0.0/16");
    c.remote_ts = rig_list("224.0.0.0/4");
    rig_must_apply(r, "other", &s, 1);
    in_software(r, &c, "its remote networks contain local ones");
}

static void test_more_networks_than_one_have_a_policy_each(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(9, "some", "10.7.0.0/16,10.8.0.1/32", "10.9.0.0/16,10.20.0.0/24");
    struct msg_CHILD c = plain(r, 1);
    c.policy_id = 9;
    c.local_ts = rig_list("10.7.0.0/16,10.8.0.1/32");
    c.remote_ts = rig_list("10.9.0.0/16");
    rig_must_apply(r, "other", &s, 1);
    rig_must_install_child(r, &c);
    assert_string_equal(child_offload(child(r, 1)), "kernel");
    rig_turn(r);
    assert_int_equal(model_policies(&m), 6);
}

// ---- what the kernel says

static void test_limits_are_told_once(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = plain(r, 1);
    c.rekey_bytes = 1000;
    c.life_bytes = 2000;
    rig_must_install_child(r, &c);
    rig_turn(r);
    assert_int_equal(state_of(0x2001).lft.soft_byte_limit, 1000);
    assert_int_equal(state_of(0x1001).lft.hard_byte_limit, 2000);
    model_expire(&m, 0x2001, false);
    rig_turn(r);
    assert_int_equal(rig_events(r, CHILD_EVENT_SOFT_LIMIT), 1);
    model_expire(&m, 0x2001, true);
    rig_turn(r);
    assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 1);
    assert_int_equal(asks_for(XFRM_POLICY_OUT), 0); // it sends no more: the blocks, and the TUN
    assert_int_equal(fake_way, 0);
}

static void test_one_that_somebody_takes_away_ends(void **state)
{
    struct rig *r = *state;
    in_kernel(r, 1, 0);
    rig_turn(r);
    model_state_gone(&m, 0x1001, true);
    rig_turn(r);
    rig_turn(r);
    assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 1);
    assert_null(child(r, 1));
    assert_int_equal(model_states(&m) + model_policies(&m), 0);
}

// In software it would use numbers again that the kernel has used by that key.
static void test_ends_that_move_end_it(void **state)
{
    struct rig *r = *state;
    struct esp_error err = {0};
    in_kernel(r, 1, 0);
    rig_turn(r);
    struct esp_endpoint to = half_ends(&child(r, 1)->out);
    to.dst[3]++;
    assert_int_equal(sadb_endpoint(r->p, child(r, 1), &to, &err), -EOPNOTSUPP);
    rig_turn(r);
    assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 1);
    assert_null(r->p->children);
    rig_out(r, 0, 2);
    assert_int_equal(r->sent_count, 0);
    assert_int_equal(model_states(&m) + model_policies(&m), 0);
}

static void test_keys_that_the_kernel_has_are_given_to_nobody_else(void **state)
{
    struct rig *r = *state;
    struct esp_error err = {0};
    in_kernel(r, 1, 0);
    assert_int_equal(sadb_add_half(r->p, &child(r, 1)->out, path_soft(r->p), &err), -EINVAL);
    assert_string_equal(err.text, "its keys are the kernel's");
    sadb_leave(r->p, &child(r, 1)->out, "of a test");
    assert_int_equal(child(r, 1)->out.state, HALF_READY);
}

// ---- what does not work

static void wrong_mode(struct nlmsghdr *h)
{
    struct xfrm_usersa_info *i = mnl_nlmsg_get_payload(h);
    if (h->nlmsg_type == XFRM_MSG_NEWSA)
        i->mode = XFRM_MODE_TRANSPORT;
}

// Such a kernel says that it can; it is asked no more.
static void test_a_kernel_that_does_other_than_it_is_told_has_no_more(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = plain(r, 1);
    char text[200] = "";
    bool ok = true;
    m.other = wrong_mode;
    rig_install_child(r, &c);
    rig_turn(r);
    assert_true(rig_result(r, &ok, text, sizeof(text)) && !ok);
    m.other = NULL;
    rig_turn(r);
    assert_int_equal(model_states(&m), 0);
    c = plain(r, 2);
    in_software(r, &c, "the kernel's ESP is not used: mode: ");
}

static void test_a_policy_that_cannot_be_set_has_the_sa_rekeyed(void **state)
{
    struct rig *r = *state;
    m.refuse = XFRM_MSG_UPDPOLICY;
    m.refuse_rc = -ENOSPC;
    in_kernel(r, 1, 0);
    rig_turn(r);
    assert_int_equal(model_policies(&m), 0);
    assert_int_equal(rig_events(r, CHILD_EVENT_MOVED), 1);
    m.logged = 0;
    rig_turn(r);
    assert_int_equal(m.logged, 0); // it is not tried again and again
    rig_must_install(r, 2, OFFLOAD_NO, "software");
    rig_out(r, 0, 2);
    rig_expect(r, 0, 2);
}

static void test_without_a_way_to_the_peer_packets_go_nowhere(void **state)
{
    struct rig *r = *state;
    fake_way_to = -ENETUNREACH;
    in_kernel(r, 1, 0);
    rig_turn(r);
    assert_int_equal(fake_way, 0);
    rig_out(r, 0, 2);
    assert_int_equal(r->sent_count, 0);
    fake_way_to = LINK;
    rig_pass(r, 1000);
    rig_turn(r);
    sends_by(1);
    fake_way_to = LINK + 1;
    kernel_esp_again(r->p);
    assert_int_equal(fake_way, LINK + 1);
}

static void test_an_interface_that_passes_xfrm_over_is_no_way(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = plain(r, 1);
    fake_way_to = -EACCES;
    in_software(r, &c, "passes XFRM over (disable_xfrm is 1)");
    fake_way_to = LINK;
    in_kernel(r, 2, 0);
    sends_by(2);
    fake_way_to = -EACCES;
    kernel_esp_again(r->p);
    assert_int_equal(fake_way, 0);
}

static void test_what_an_earlier_run_has_left_goes_also_where_it_is_not_wanted(void **state)
{
    struct rig *r = *state;
    kernel_esp_close(r->p);
    model_begin(&m);
    model_put_state(&m, OWNER, 0x5000);
    model_put_policy(&m, OWNER, XFRM_POLICY_OUT);
    r->p->set.kernel_esp = false;
    kernel_esp_open(r->p);
    assert_null(path_kernel(r->p));
    assert_int_equal(model_states(&m) + model_policies(&m), 0);
}

// Its inbound SA has the number that it was added with.
static void test_a_policy_that_gets_another_name_lets_in_what_it_did(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(2, "net", "10.1.0.0/16", "10.2.0.0/16");
    in_kernel(r, 1, 0);
    rig_must_apply(r, "named", &s, 1);
    rig_must_apply(r, "rig", NULL, 0);
    rig_turn(r);
    kernel_esp_turn(r->p);
    lets_in(1);
    sends_by(1);
    struct msg_CHILD c = plain(r, 2);
    c.policy_id = 2;
    rig_must_install_child(r, &c);
    assert_string_equal(child_offload(child(r, 2)), "kernel");
    rig_turn(r);
    lets_in(1);
    lets_in(2);
}

// Two SAs of one policy that are for other networks of it: each takes what is for its own alone.
static void test_sas_for_parts_of_a_policy_have_numbers_of_their_own(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = plain(r, 1), d = plain(r, 2);
    c.remote_ts = rig_list("10.2.1.0/24");
    d.remote_ts = rig_list("10.2.2.0/24");
    rig_must_install_child(r, &c);
    rig_must_install_child(r, &d);
    rig_turn(r);
    assert_string_equal(child_offload(child(r, 1)), "kernel");
    assert_string_equal(child_offload(child(r, 2)), "kernel");
    assert_int_not_equal(state_of(0x1001).reqid, state_of(0x1002).reqid);
}

// What is its own goes by that SA, which may be another peer's.
static void test_an_sa_for_a_part_of_a_policy_is_a_policy_in_the_way(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = plain(r, 2);
    in_kernel(r, 1, 0);
    sends_by(1);
    c.remote_ts = rig_list("10.2.1.0/24");
    rig_must_install_child(r, &c);
    assert_string_equal(child_offload(child(r, 2)), "software");
    rig_turn(r);
    kernel_esp_turn(r->p);
    assert_int_equal(rig_events(r, CHILD_EVENT_MOVED), 1);
    assert_int_equal(asks_for(XFRM_POLICY_OUT), 0);
    assert_int_equal(fake_way, 0);
}

// The kernel's own ESP packets are asked for by our rules, as those of our own sockets are not.
static void test_networks_that_contain_the_tunnels_ends_are_not_the_kernels(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(9, "hosts", "192.0.2.0/24", "198.51.100.0/24");
    struct msg_CHILD c = plain(r, 1);
    c.policy_id = 9;
    c.local_ts = rig_list("192.0.2.0/24");
    c.remote_ts = rig_list("198.51.100.0/24");
    c.local = (struct addr){4, {192, 0, 2, 1}};
    c.remote = (struct addr){4, {198, 51, 100, 1}};
    rig_must_apply(r, "other", &s, 1);
    in_software(r, &c, "its networks contain both ends of the tunnel");
}

// Eight SAs at once, of which one is being told of.
static void test_one_that_goes_while_it_is_listed_is_not_there(void **state)
{
    static const uint8_t id[4] = {0, 0, 0, 3};
    struct rig *r = *state;
    uint8_t buf[16384];
    for (uint32_t i = 1; i <= 8; i++)
        in_kernel(r, i, 0);
    while (recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT) > 0)
        ;
    for (uint32_t i = 1; i <= 8; i++) {
        model_state_gone(&m, 0x1000 + i, true);
        model_state_gone(&m, 0x2000 + i, true);
    }
    stats_sas(r->p, &(struct msg_PATH_LIST){.req = 5, .children = slice_of(id, 4)});
    assert_null(child(r, 3));
    rig_turn(r);
    assert_true(recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT) > 0); // the RESULT
    assert_int_equal(recv(r->ctl, buf, sizeof(buf), MSG_DONTWAIT), -1);
}

static void forge(struct rig *r, uint32_t n)
{
    m.count[model_state(&m, 0x1001)].integrity_failed = n;
    kernel_esp_look(r->p);
    rig_turn(r);
}

// A tag of eight octets bears 2^22, and ends at 2^23: see limits.c.
static void test_forged_packets_are_counted_against_the_key(void **state)
{
    struct rig *r = *state;
    struct msg_CHILD c = plain(r, 1);
    c.encr = 18; // AES-GCM with such a tag
    rig_must_install_child(r, &c);
    assert_string_equal(child_offload(child(r, 1)), "kernel");
    forge(r, (1 << 22) - 1);
    assert_int_equal(rig_events(r, CHILD_EVENT_SOFT_LIMIT), 0);
    forge(r, 1 << 22);
    assert_int_equal(rig_events(r, CHILD_EVENT_SOFT_LIMIT), 1);
    forge(r, 1 << 23);
    assert_int_equal(rig_events(r, CHILD_EVENT_HARD_LIMIT), 1);
    assert_null(child(r, 1)); // in software it would take no more; the kernel takes it as long as it is there
    assert_int_equal(model_states(&m) + model_policies(&m), 0);
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        T(test_an_sa_has_policies_and_routes_as_long_as_it_is_there),
        T(test_packets_are_none_of_ours),
        T(test_what_the_kernel_counts_is_counted),
        T(test_a_key_that_has_done_enough_is_followed),
        T(test_the_newest_sends_unless_its_peer_may_not_have_it),
        T(test_the_last_one_going_lets_the_next_one_send),
        T(test_from_software_and_back_to_it),
        T(test_what_does_not_fit_is_in_software_and_says_why),
        T(test_a_policy_in_the_way_is_named),
        T(test_a_policy_that_comes_into_the_way_has_them_rekeyed),
        T(test_a_policy_that_comes_before_them_closes_them),
        T(test_of_networks_in_one_another_none_is_the_kernels),
        T(test_more_networks_than_one_have_a_policy_each),
        T(test_limits_are_told_once),
        T(test_one_that_somebody_takes_away_ends),
        T(test_ends_that_move_end_it),
        T(test_keys_that_the_kernel_has_are_given_to_nobody_else),
        T(test_a_kernel_that_does_other_than_it_is_told_has_no_more),
        T(test_a_policy_that_cannot_be_set_has_the_sa_rekeyed),
        T(test_without_a_way_to_the_peer_packets_go_nowhere),
        T(test_an_interface_that_passes_xfrm_over_is_no_way),
        T(test_what_an_earlier_run_has_left_goes_also_where_it_is_not_wanted),
        T(test_a_policy_that_gets_another_name_lets_in_what_it_did),
        T(test_sas_for_parts_of_a_policy_have_numbers_of_their_own),
        T(test_an_sa_for_a_part_of_a_policy_is_a_policy_in_the_way),
        T(test_networks_that_contain_the_tunnels_ends_are_not_the_kernels),
        T(test_one_that_goes_while_it_is_listed_is_not_there),
        T(test_forged_packets_are_counted_against_the_key),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
