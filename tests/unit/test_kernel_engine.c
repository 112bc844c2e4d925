// SPDX-License-Identifier: Apache-2.0
// The kernel's engine with a kernel in memory: what is there is what was asked for, whatever fails in
// between, and what the kernel has done by itself is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/xfrm_model.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

enum { OWNER = 0xe5a11e0, SPI_OUT = 0x1001, SPI_IN = 0x2002 };
static struct xfrm_model m;
static struct esp_engine *e;
static struct esp_error err;
static int cookie;

static int begin(void **state)
{
    (void)state;
    memset(&err, 0, sizeof(err));
    model_begin(&m);
    return kernel_open_link(&e, &m.base, &(struct esp_kernel_options){.owner = OWNER}, &err);
}

static int end(void **state)
{
    (void)state;
    e->ops->destroy(e);
    return m.closed && model_states(&m) == 0 && model_policies(&m) == 0 ? 0 : -1; // nothing is left
}

static struct esp_sa_params params(enum esp_dir dir)
{
    struct esp_sa_params p = {.dir = dir,
                              .mode = ESP_TUNNEL,
                              .alg = ESP_ALG_AES256_GCM16,
                              .spi = dir == ESP_OUT ? SPI_OUT : SPI_IN,
                              .group = 7,
                              .ttl = 64,
                              .seq = dir == ESP_OUT,
                              .window = dir == ESP_IN ? 64 : 0,
                              .seq_limit = UINT64_MAX};
    memset(p.key, 0x5a, sizeof(p.key));
    inet_pton(AF_INET, dir == ESP_OUT ? "192.0.2.1" : "198.51.100.2", p.src);
    inet_pton(AF_INET, dir == ESP_OUT ? "198.51.100.2" : "192.0.2.1", p.dst);
    return p;
}

static struct esp_event next_event(enum esp_event_type type)
{
    struct esp_event ev;
    struct pollfd p = {.fd = e->fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 1); // it is said that there is one
    assert_int_equal(e->ops->events(e, &ev, 1), 1);
    assert_int_equal(ev.type, type);
    if (type != ESP_EVENT_SA_STATS)
        assert_ptr_equal(ev.cookie, &cookie);
    return ev;
}

static void no_event(void)
{
    struct esp_event ev;
    assert_int_equal(e->ops->events(e, &ev, 1), 0);
    assert_int_equal(poll(&(struct pollfd){.fd = e->fd, .events = POLLIN}, 1, 0), 0);
}

static struct esp_sa *add(const struct esp_sa_params *p)
{
    struct esp_sa *sa;
    if (e->ops->sa_add(e, p, &cookie, &sa, &err))
        fail_msg("%s: %s", err.field, err.text);
    assert_ptr_equal(next_event(ESP_EVENT_SA_ADDED).sa, sa);
    return sa;
}

static struct esp_event refused(const struct esp_sa_params *p)
{
    struct esp_sa *sa;
    assert_int_equal(e->ops->sa_add(e, p, &cookie, &sa, &err), 0);
    struct esp_event ev = next_event(ESP_EVENT_SA_REFUSED);
    assert_null(ev.sa);
    no_event();
    return ev;
}

// ---- SAs

static void test_an_sa_that_is_added_is_in_the_kernel_until_it_is_deleted(void **state)
{
    struct esp_sa_params p = params(ESP_OUT);
    (void)state;
    struct esp_sa *sa = add(&p);
    int at = model_state(&m, SPI_OUT);
    assert_true(at >= 0);
    m.count[at].packets = 3;
    m.count[at].bytes = 300;
    m.count[at].oseq = 3;
    assert_int_equal(e->ops->sa_query(e, sa), 0);
    struct esp_event ev = next_event(ESP_EVENT_SA_STATS);
    assert_int_equal(ev.stats.packets, 3);
    assert_int_equal(ev.stats.bytes, 300);
    assert_int_equal(ev.stats.last_seq, 3);
    m.count[at].packets = 4;
    assert_int_equal(e->ops->sa_delete(e, sa), 0);
    assert_int_equal(model_states(&m), 0);
    ev = next_event(ESP_EVENT_SA_DELETED);
    assert_int_equal(ev.stats.packets, 4); // the last ones too
    assert_int_equal(ev.next.seq, 0);      // and nobody goes on
    no_event();
}

static void test_drops_of_an_inbound_sa_are_told(void **state)
{
    struct esp_sa_params p = params(ESP_IN);
    (void)state;
    struct esp_sa *sa = add(&p);
    int at = model_state(&m, SPI_IN);
    m.count[at].seq = 70;
    m.count[at].replay = 2;
    m.count[at].integrity_failed = 3;
    assert_int_equal(e->ops->sa_query(e, sa), 0);
    struct esp_event ev = next_event(ESP_EVENT_SA_STATS);
    assert_int_equal(ev.stats.last_seq, 70);
    assert_int_equal(ev.stats.drops, 5);
}

static void test_a_refusal_has_the_kernels_words_and_leaves_nothing(void **state)
{
    struct esp_sa_params p = params(ESP_OUT);
    (void)state;
    m.refuse = XFRM_MSG_NEWSA;
    m.refuse_rc = -ENOSYS;
    m.words = "Requested AEAD algorithm not found";
    struct esp_event ev = refused(&p);
    assert_non_null(strstr(ev.error.text, m.words));
    assert_int_equal(model_states(&m), 0);
}

static void test_an_sa_of_somebody_elses_is_left_alone(void **state)
{
    struct esp_sa_params p = params(ESP_OUT);
    struct esp_sa *sa;
    (void)state;
    add(&p);
    struct model_message there = m.state[model_state(&m, SPI_OUT)];
    assert_int_equal(e->ops->sa_add(e, &p, &cookie, &sa, &err), 0);
    assert_int_equal(next_event(ESP_EVENT_SA_REFUSED).status, ESP_STATUS_SPI_EXISTS);
    assert_memory_equal(&there, &m.state[model_state(&m, SPI_OUT)], sizeof(there));
}

// An answer that does not come: it may have been done.
static void test_a_request_without_an_answer_is_looked_at(void **state)
{
    struct esp_sa_params p = params(ESP_OUT);
    (void)state;
    m.refuse = XFRM_MSG_NEWSA;
    m.refuse_rc = -ETIMEDOUT;
    refused(&p);
    m.does = true;
    add(&p);
    assert_int_equal(model_states(&m), 1);
}

// ---- what the kernel has taken in truth

static struct nlattr *attr_in(struct nlmsghdr *h, uint16_t type)
{
    const size_t fixed = sizeof(struct xfrm_usersa_info);
    const uint8_t *at = xfrm_attr(h, fixed, type, 1);
    return at ? (struct nlattr *)(uintptr_t)(at - MNL_ATTR_HDRLEN) : NULL;
}

static uint16_t spoiled;
static size_t spoiled_at;
static void spoil_attr(struct nlmsghdr *h)
{
    struct nlattr *a = attr_in(h, spoiled);
    if (a)
        ((uint8_t *)a)[MNL_ATTR_HDRLEN + spoiled_at] ^= 1;
}
static void lose_attr(struct nlmsghdr *h)
{
    struct nlattr *a = attr_in(h, spoiled);
    if (a)
        a->nla_type = XFRMA_PAD;
}
static void spoil_info(struct nlmsghdr *h)
{
    ((uint8_t *)mnl_nlmsg_get_payload(h))[spoiled_at] ^= 1;
}

static struct esp_sa_params rich(void)
{
    struct esp_sa_params p = params(ESP_OUT);
    p.udp_encap = true;
    p.sport = p.dport = 4500;
    p.mark = p.mark_mask = 1;
    p.if_id = 9;
    p.no_dscp_copy = p.esn = true;
    p.tfc = 100;
    p.hard_bytes = p.hard_packets = 1000;
    return p;
}

static void test_an_sa_that_the_kernel_took_otherwise_does_not_stay(void **state)
{
    static const struct {
        void (*how)(struct nlmsghdr *h);
        uint16_t type;
        size_t at;
        const char *field;
    } all[] = {
        {spoil_attr, XFRMA_ALG_AEAD, offsetof(struct xfrm_algo_aead, alg_icv_len), "alg"},
        {spoil_attr, XFRMA_ALG_AEAD, offsetof(struct xfrm_algo_aead, alg_key_len), "alg"},
        {lose_attr, XFRMA_ALG_AEAD, 0, "alg"},
        {spoil_attr, XFRMA_ENCAP, offsetof(struct xfrm_encap_tmpl, encap_dport), "udp_encap"},
        {lose_attr, XFRMA_ENCAP, 0, "udp_encap"},
        {lose_attr, XFRMA_MARK, 0, "mark"},
        {spoil_attr, XFRMA_IF_ID, 0, "if_id"},
        {lose_attr, XFRMA_SA_EXTRA_FLAGS, 0, "no_dscp_copy"},
        {spoil_attr, XFRMA_REPLAY_ESN_VAL, offsetof(struct xfrm_replay_state_esn, replay_window), "window"},
        {lose_attr, XFRMA_TFCPAD, 0, "tfc"},
        {spoil_info, 0, offsetof(struct xfrm_usersa_info, saddr), "src"},
        {spoil_info, 0, offsetof(struct xfrm_usersa_info, mode), "mode"},
        {spoil_info, 0, offsetof(struct xfrm_usersa_info, reqid), "group"},
        {spoil_info, 0, offsetof(struct xfrm_usersa_info, flags), "flags"},
        {spoil_info, 0, offsetof(struct xfrm_usersa_info, lft.hard_byte_limit), "hard_bytes"},
        {spoil_info, 0, offsetof(struct xfrm_usersa_info, lft.hard_packet_limit), "hard_packets"},
    };
    struct esp_sa_params p = rich();
    (void)state;
    e->ops->sa_delete(e, add(&p)); // nothing of that is wrong
    next_event(ESP_EVENT_SA_DELETED);
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        m.other = all[i].how;
        spoiled = all[i].type;
        spoiled_at = all[i].at;
        struct esp_event ev = refused(&p);
        assert_string_equal(ev.error.field, all[i].field);
        assert_int_equal(model_states(&m), 0);
    }
}

static void test_integrity_that_the_kernel_took_otherwise_does_not_stay(void **state)
{
    struct esp_sa_params p = params(ESP_IN);
    (void)state;
    p.alg = ESP_ALG_AES128_CBC;
    p.integ = ESP_INTEG_HMAC_SHA256_128;
    p.window = 32;
    m.other = spoil_attr;
    spoiled = XFRMA_ALG_AUTH_TRUNC;
    spoiled_at = offsetof(struct xfrm_algo_auth, alg_trunc_len); // 96 bits, as an old kernel's
    assert_string_equal(refused(&p).error.field, "integ");
    m.other = spoil_info;
    spoiled_at = offsetof(struct xfrm_usersa_info, replay_window);
    assert_string_equal(refused(&p).error.field, "window");
    assert_int_equal(model_states(&m), 0);
}

// ---- devices

static struct esp_sa_params offloaded(enum esp_offload how)
{
    struct esp_sa_params p = params(ESP_OUT);
    p.offload = how;
    snprintf(p.device, sizeof(p.device), "lo");
    return p;
}

static enum esp_offload becomes(enum esp_offload how)
{
    struct esp_sa_params p = offloaded(how);
    struct esp_sa *sa;
    assert_int_equal(e->ops->sa_add(e, &p, &cookie, &sa, &err), 0);
    enum esp_offload got = next_event(ESP_EVENT_SA_ADDED).offload;
    assert_int_equal(e->ops->sa_delete(e, sa), 0);
    next_event(ESP_EVENT_SA_DELETED);
    return got;
}

static void test_offload_is_what_the_kernel_says_and_not_what_was_asked(void **state)
{
    struct esp_sa_params crypto = offloaded(ESP_OFFLOAD_CRYPTO), packet = offloaded(ESP_OFFLOAD_PACKET);
    (void)state;
    assert_int_equal(becomes(ESP_OFFLOAD_AUTO), ESP_OFFLOAD_NONE);
    // which the kernel takes, and has in software
    assert_string_equal(refused(&crypto).error.field, "offload");
    assert_non_null(strstr(refused(&packet).error.text, "Packet offload is not supported"));
    assert_int_equal(model_states(&m), 0);
    m.crypto = true;
    assert_int_equal(becomes(ESP_OFFLOAD_CRYPTO), ESP_OFFLOAD_CRYPTO);
    assert_int_equal(becomes(ESP_OFFLOAD_AUTO), ESP_OFFLOAD_CRYPTO);
    m.packet = true;
    assert_int_equal(becomes(ESP_OFFLOAD_AUTO), ESP_OFFLOAD_PACKET);
    assert_int_equal(becomes(ESP_OFFLOAD_PACKET), ESP_OFFLOAD_PACKET);
}

static void test_offload_by_a_device_that_is_not_there_is_refused_by_name(void **state)
{
    struct esp_sa_params p = offloaded(ESP_OFFLOAD_CRYPTO);
    struct esp_sa *sa;
    (void)state;
    snprintf(p.device, sizeof(p.device), "no-such-device");
    struct esp_event ev = refused(&p);
    assert_string_equal(ev.error.field, "device");
    assert_non_null(strstr(ev.error.text, "no-such-device"));
    p.device[0] = 0;
    assert_int_equal(e->ops->sa_add(e, &p, &cookie, &sa, &err), -EINVAL);
    assert_string_equal(err.field, "device");
}

// ---- by itself

static void test_limits_are_told_and_an_ended_sa_is_deleted_once(void **state)
{
    struct esp_sa_params p = params(ESP_OUT);
    (void)state;
    struct esp_sa *sa = add(&p);
    m.count[model_state(&m, SPI_OUT)].packets = 50;
    model_expire(&m, SPI_OUT, false);
    struct esp_event ev = next_event(ESP_EVENT_SA_SOFT_LIMIT);
    assert_ptr_equal(ev.sa, sa);
    assert_int_equal(ev.stats.packets, 50);
    model_expire(&m, SPI_OUT, true);
    ev = next_event(ESP_EVENT_SA_ENDED);
    assert_int_equal(ev.status, ESP_STATUS_HARD_LIMIT);
    assert_int_equal(e->ops->sa_delete(e, sa), 0);
    next_event(ESP_EVENT_SA_DELETED);
    no_event();
}

static void test_an_sa_that_somebody_else_deletes_has_ended(void **state)
{
    struct esp_sa_params out = params(ESP_OUT), in = params(ESP_IN);
    (void)state;
    struct esp_sa *sa = add(&out);
    add(&in);
    model_state_gone(&m, SPI_OUT, true);
    struct esp_event ev = next_event(ESP_EVENT_SA_ENDED);
    assert_ptr_equal(ev.sa, sa);
    assert_int_equal(ev.status, ESP_STATUS_SA_INVALID);
    no_event(); // the other one is there
}

static void test_after_lost_notices_and_flushes_each_sa_is_asked_for(void **state)
{
    struct esp_sa_params out = params(ESP_OUT), in = params(ESP_IN);
    const struct xfrm_usersa_flush all = {255};
    (void)state;
    add(&out);
    add(&in);
    model_state_gone(&m, SPI_OUT, false);
    m.lost = true;
    e->ops->tick(e, 0);
    assert_int_equal(next_event(ESP_EVENT_SA_ENDED).status, ESP_STATUS_SA_INVALID);
    no_event();
    model_state_gone(&m, SPI_IN, false);
    model_notice(&m, XFRM_MSG_FLUSHSA, &all, sizeof(all));
    e->ops->tick(e, 0);
    next_event(ESP_EVENT_SA_ENDED);
    no_event();
}

static void test_a_peer_that_moves_is_told_and_no_notice_of_it_is_read_too_far(void **state)
{
    struct esp_sa_params p = params(ESP_IN);
    const uint8_t from[4] = {203, 0, 113, 7};
    (void)state;
    p.udp_encap = true;
    p.sport = p.dport = 4500;
    add(&p);
    model_maps(&m, SPI_IN, from, 33333);
    struct esp_event ev = next_event(ESP_EVENT_SA_SOURCE);
    assert_memory_equal(ev.from.src, from, 4);
    assert_int_equal(ev.from.sport, 33333);
    assert_memory_equal(ev.from.dst, p.dst, 16);
    model_notice(&m, XFRM_MSG_MAPPING, from, sizeof(from));
    model_notice(&m, XFRM_MSG_EXPIRE, from, sizeof(from));
    model_notice(&m, XFRM_MSG_DELSA, from, sizeof(from));
    model_notice(&m, XFRM_MSG_DELPOLICY, from, sizeof(from));
    no_event();
}

static void test_a_deletion_that_fails_is_tried_again(void **state)
{
    struct esp_sa_params p = params(ESP_OUT);
    (void)state;
    struct esp_sa *sa = add(&p);
    m.refuse = XFRM_MSG_DELSA;
    m.refuse_rc = -ENOBUFS;
    assert_int_equal(e->ops->sa_delete(e, sa), 0);
    e->ops->tick(e, 0);
    no_event(); // it is still there
    assert_int_equal(e->ops->sa_delete(e, sa), -EINVAL);
    m.refuse_rc = 0;
    e->ops->tick(e, 0);
    next_event(ESP_EVENT_SA_DELETED);
    assert_int_equal(model_states(&m), 0);
}

// ---- an SA never moves

static void test_an_sa_neither_comes_from_elsewhere_nor_goes_there(void **state)
{
    struct esp_sa_params p = params(ESP_OUT), in = params(ESP_IN);
    struct esp_sa *sa;
    unsigned asked = m.logged;
    (void)state;
    p.seq = 2;
    assert_int_equal(e->ops->sa_add(e, &p, &cookie, &sa, &err), -EOPNOTSUPP);
    assert_string_equal(err.field, "seq");
    in.seq = in.seen[0] = 1;
    assert_int_equal(e->ops->capable(e, &in, &err), -EOPNOTSUPP);
    assert_string_equal(err.field, "seq");
    p = params(ESP_OUT);
    p.seq_limit = 1000;
    assert_int_equal(e->ops->sa_add(e, &p, &cookie, &sa, &err), -EOPNOTSUPP);
    assert_string_equal(err.field, "seq_limit");
    assert_int_equal(m.logged, asked); // the kernel was asked for nothing
    p = params(ESP_OUT);
    sa = add(&p);
    assert_int_equal(e->ops->sa_handover(e, sa, &p), -EINVAL);
    assert_int_equal(e->ops->sa_lease(e, sa, 1000), -EINVAL);
    assert_int_equal(e->ops->sa_endpoint(e, sa, &(struct esp_endpoint){0}, &err), -EOPNOTSUPP);
}

static void test_capable_asks_the_kernel_and_leaves_nothing_there(void **state)
{
    struct esp_sa_params p = params(ESP_OUT);
    struct esp_capabilities caps;
    (void)state;
    e->ops->capabilities(e, &caps);
    assert_true(caps.flags & ESP_CAP_AUTONOMOUS);
    m.refuse = XFRM_MSG_NEWSA;
    m.refuse_rc = -EPROTONOSUPPORT;
    m.words = "Requested type not found";
    assert_int_equal(e->ops->capable(e, &p, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.text, m.words));
    m.refuse_rc = 0; // a module has been loaded
    unsigned before = m.logged;
    assert_int_equal(e->ops->capable(e, &p, &err), 0);
    assert_int_equal(m.logged, before + 2); // put there and taken away
    assert_int_equal(model_states(&m), 0);
    assert_null(memmem(m.log[before].bytes, m.log[before].len, p.key, 16)); // not with the key
    assert_int_equal(e->ops->capable(e, &p, &err), 0);
    assert_int_equal(m.logged, before + 2);
    p.esn = true; // another kind
    assert_int_equal(e->ops->capable(e, &p, &err), 0);
    assert_int_equal(m.logged, before + 4);
}

// ---- policies

static struct esp_policy policy(enum esp_dir dir)
{
    struct esp_policy p = {
        .dir = dir, .src_len = 24, .dst_len = 24, .priority = 100, .mode = ESP_TUNNEL, .group = 7};
    inet_pton(AF_INET, "10.1.0.0", p.src);
    inet_pton(AF_INET, "10.2.0.0", p.dst);
    inet_pton(AF_INET, "192.0.2.1", p.outer_src);
    inet_pton(AF_INET, "198.51.100.2", p.outer_dst);
    return p;
}

static uint32_t priority_of(uint8_t dir)
{
    struct xfrm_userpolicy_info i;
    int at = model_policy(&m, dir);
    assert_true(at >= 0);
    memcpy(&i, m.policy[at].bytes + NLMSG_HDRLEN, sizeof(i));
    assert_int_equal(i.sel.user, OWNER);
    return i.priority;
}

static void test_a_policy_inbound_is_also_of_what_is_forwarded(void **state)
{
    struct esp_policy p = policy(ESP_IN);
    (void)state;
    assert_int_equal(e->ops->policy_set(e, &p, &err), 0);
    assert_int_equal(priority_of(XFRM_POLICY_IN), 100);
    assert_int_equal(priority_of(XFRM_POLICY_FWD), 100);
    p.priority = 50; // replaced, not another one
    assert_int_equal(e->ops->policy_set(e, &p, &err), 0);
    assert_int_equal(model_policies(&m), 2);
    assert_int_equal(priority_of(XFRM_POLICY_FWD), 50);
    assert_int_equal(e->ops->policy_drop(e, &p, &err), 0);
    assert_int_equal(model_policies(&m), 0);
    assert_int_equal(e->ops->policy_drop(e, &p, &err), 0);
}

static void test_a_policy_that_fails_halfway_is_not_there(void **state)
{
    struct esp_policy p = policy(ESP_IN);
    (void)state;
    m.refuse = XFRM_MSG_UPDPOLICY;
    m.refuse_rc = -ENOBUFS;
    m.refuse_from = 1; // the second one
    assert_int_equal(e->ops->policy_set(e, &p, &err), -ENOBUFS);
    assert_int_equal(model_policies(&m), 0);
}

static void optional(struct nlmsghdr *h)
{
    const void *t = xfrm_attr(h, sizeof(struct xfrm_userpolicy_info), XFRMA_TMPL, 1);
    if (h->nlmsg_type == XFRM_MSG_NEWPOLICY)
        ((struct xfrm_user_tmpl *)(uintptr_t)t)->optional = 1;
}
static void open_template(struct nlmsghdr *h) // what has none lets everything by in clear
{
    const uint8_t *t = xfrm_attr(h, sizeof(struct xfrm_userpolicy_info), XFRMA_TMPL, 1);
    if (h->nlmsg_type == XFRM_MSG_NEWPOLICY)
        ((struct nlattr *)(uintptr_t)(t - MNL_ATTR_HDRLEN))->nla_type = XFRMA_PAD;
}

static void test_a_policy_that_would_let_by_in_clear_does_not_stay(void **state)
{
    struct esp_policy p = policy(ESP_OUT);
    (void)state;
    m.other = optional;
    assert_int_equal(e->ops->policy_set(e, &p, &err), -EPROTO);
    assert_string_equal(err.field, "template");
    assert_int_equal(model_policies(&m), 0);
    m.other = open_template;
    assert_int_equal(e->ops->policy_set(e, &p, &err), -EPROTO);
    assert_int_equal(model_policies(&m), 0);
}

static void test_policies_that_others_take_away_are_put_back(void **state)
{
    struct esp_policy p = policy(ESP_IN);
    struct xfrm_userpolicy_id id = {.dir = XFRM_POLICY_FWD, .sel.user = OWNER};
    (void)state;
    assert_int_equal(e->ops->policy_set(e, &p, &err), 0);
    m.policy[model_policy(&m, XFRM_POLICY_FWD)].len = 0;
    e->ops->tick(e, 0);
    assert_int_equal(model_policies(&m), 1); // nobody has said so
    model_notice(&m, XFRM_MSG_DELPOLICY, &id, sizeof(id));
    m.refuse = XFRM_MSG_UPDPOLICY;
    m.refuse_rc = -ENOBUFS;
    e->ops->tick(e, 0);
    assert_true(model_policies(&m) < 2);
    m.refuse_rc = 0;
    e->ops->tick(e, 0); // tried again
    assert_int_equal(model_policies(&m), 2);
    m.policy[model_policy(&m, XFRM_POLICY_IN)].len = 0;
    m.lost = true;
    e->ops->tick(e, 0);
    assert_int_equal(model_policies(&m), 2);
}

static void test_a_policy_that_makes_no_sense_is_refused_by_name(void **state)
{
    struct esp_policy p = policy(ESP_OUT);
    (void)state;
    p.src_len = 33;
    assert_int_equal(e->ops->policy_set(e, &p, &err), -EINVAL);
    assert_string_equal(err.field, "src_len");
    p = policy(ESP_OUT);
    p.group = 0;
    assert_int_equal(e->ops->policy_set(e, &p, &err), -EINVAL);
    assert_string_equal(err.field, "group");
    p = policy(ESP_OUT);
    p.mode = ESP_TRANSPORT;
    p.outer_ipv6 = true;
    assert_int_equal(e->ops->policy_set(e, &p, &err), -EINVAL);
    assert_string_equal(err.field, "outer_ipv6");
    assert_int_equal(model_policies(&m), 0);
}

// ---- earlier runs

static void test_what_an_earlier_run_has_left_goes_and_others_stay(void **state)
{
    struct esp_engine *second;
    (void)state;
    static struct xfrm_model k;
    model_begin(&k);
    model_put_state(&k, OWNER, 0x3001);
    model_put_state(&k, 0, 0x3002);
    model_put_state(&k, OWNER + 1, 0x3003);
    model_put_policy(&k, OWNER, XFRM_POLICY_OUT);
    model_put_policy(&k, OWNER + 1, XFRM_POLICY_OUT);
    assert_int_equal(kernel_open_link(&second, &k.base, &(struct esp_kernel_options){.owner = OWNER}, &err),
                     0);
    assert_true(model_state(&k, 0x3001) < 0);
    assert_int_equal(model_states(&k), 2);
    assert_int_equal(model_policies(&k), 1);
    second->ops->destroy(second);
    assert_int_equal(model_states(&k), 2);
}

static void test_an_owner_has_to_be_named(void **state)
{
    struct esp_engine *second;
    (void)state;
    assert_int_equal(esp_kernel_open(&second, &(struct esp_kernel_options){0}, &err), -EINVAL);
    assert_string_equal(err.field, "owner");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_an_sa_that_is_added_is_in_the_kernel_until_it_is_deleted),
        T(test_drops_of_an_inbound_sa_are_told),
        T(test_a_refusal_has_the_kernels_words_and_leaves_nothing),
        T(test_an_sa_of_somebody_elses_is_left_alone),
        T(test_a_request_without_an_answer_is_looked_at),
        T(test_an_sa_that_the_kernel_took_otherwise_does_not_stay),
        T(test_integrity_that_the_kernel_took_otherwise_does_not_stay),
        T(test_offload_is_what_the_kernel_says_and_not_what_was_asked),
        T(test_offload_by_a_device_that_is_not_there_is_refused_by_name),
        T(test_limits_are_told_and_an_ended_sa_is_deleted_once),
        T(test_an_sa_that_somebody_else_deletes_has_ended),
        T(test_after_lost_notices_and_flushes_each_sa_is_asked_for),
        T(test_a_peer_that_moves_is_told_and_no_notice_of_it_is_read_too_far),
        T(test_a_deletion_that_fails_is_tried_again),
        T(test_an_sa_neither_comes_from_elsewhere_nor_goes_there),
        T(test_capable_asks_the_kernel_and_leaves_nothing_there),
        T(test_a_policy_inbound_is_also_of_what_is_forwarded),
        T(test_a_policy_that_fails_halfway_is_not_there),
        T(test_a_policy_that_would_let_by_in_clear_does_not_stay),
        T(test_policies_that_others_take_away_are_put_back),
        T(test_a_policy_that_makes_no_sense_is_refused_by_name),
        T(test_what_an_earlier_run_has_left_goes_and_others_stay),
        T(test_an_owner_has_to_be_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
