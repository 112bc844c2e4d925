// SPDX-License-Identifier: Apache-2.0
// Route-based tunnels (ctrl/path/vti.h): policies with a TUN of their own. Two with the same selectors are
// kept apart whichever way packets go, what has no SA or no policy leaves by no other way, our own ESP and
// IKE goes into none, and a device comes and goes with its policies.
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctrl/path/icmp.h"
#include "ctrl/path/io.h"
#include "ctrl/path/sadb.h"
#include "tests/unit/spd_rig.h"

// ---- devices of a test

enum { DEVICES = 8, QUEUES = 3 };
static struct device {
    char name[VTI_NAME]; // empty: there is none
    bool ours, kept;
    unsigned queues;
    int end[QUEUES]; // ours
} device[DEVICES];
static struct kernel_ops ops;
static const struct kernel_ops *ops_before;
static const char *own_address;

static struct device *device_of(const char *name)
{
    for (int i = 0; i < DEVICES; i++)
        if (strcmp(device[i].name, name) == 0)
            return &device[i];
    return NULL;
}

static void drop(struct device *d)
{
    for (unsigned i = 0; i < d->queues; i++)
        close(d->end[i]);
    *d = (struct device){0};
}

static int pipe_read(const struct path_tun *t, uint8_t *p, uint32_t cap)
{
    ssize_t n = read(t->fd, p, cap);
    return n == 0 ? -EBADFD : n < 0 ? -errno : (int)n; // its other end is gone: somebody has deleted it
}

static int pipe_write(const struct path_tun *t, const uint8_t *p, uint32_t len)
{
    return (int)write(t->fd, p, len);
}

static int open_queue(void *ctx, const char *name, struct path_tun *out)
{
    struct device *d = device_of(name);
    int pair[2];
    (void)ctx;
    if (!d && !(d = device_of("")))
        return -ENOSPC;
    snprintf(d->name, sizeof(d->name), "%s", name);
    assert_true(d->queues < QUEUES);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    d->end[d->queues++] = pair[0];
    *out = (struct path_tun){.fd = pair[1], .read = pipe_read, .write = pipe_write};
    return 0;
}

static int keep(const struct path_tun *t, bool on)
{
    (void)t;
    for (int i = 0; i < DEVICES && on; i++)
        device[i].kept = device[i].kept || device[i].ours;
    return 0;
}

static int find(struct kernel *k, const char *name)
{
    const struct device *d = device_of(name);
    (void)k;
    return !d ? 0 : d->ours ? 1 : -EEXIST;
}

static int bring_up(struct kernel *k, const char *name, uint32_t mtu, struct esp_error *err)
{
    (void)k, (void)mtu, (void)err;
    device_of(name)->ours = true;
    return (int)(device_of(name) - device) + 1;
}

static int take_away(struct kernel *k, const char *name)
{
    struct device *d = device_of(name);
    (void)k;
    if (!d)
        return -ENODEV;
    drop(d);
    return 0;
}

static void each_of(struct kernel *k, void (*each)(void *ctx, const char *name, uint32_t index), void *ctx)
{
    (void)k;
    for (int i = 0; i < DEVICES; i++)
        if (device[i].ours)
            each(ctx, device[i].name, (uint32_t)i + 1);
}

static int addresses(struct kernel *k, void (*each)(void *ctx, const struct addr *a, uint8_t len), void *ctx)
{
    struct addr a;
    (void)k;
    if (own_address && addr_parse(own_address, &a))
        each(ctx, &a, 24);
    return 0;
}

static int with_devices(struct rig *r)
{
    ops_before = r->p->kernel->ops;
    ops = *ops_before;
    ops.vti_find = find;
    ops.vti_up = bring_up;
    ops.vti_remove = take_away;
    ops.vti_each = each_of;
    ops.addresses = addresses;
    r->p->kernel->ops = &ops;
    for (unsigned i = 0; i < r->p->workers; i++) {
        r->p->worker[i].net.vti_open = open_queue;
        r->p->worker[i].net.vti_keep = keep;
    }
    own_address = NULL;
    r->p->orderly = true; // devices go at the end, see rig_down
    return 0;
}

static int up(void **state)
{
    return rig_up(state) || with_devices(*state);
}

static int up_two(void **state)
{
    return rig_up_two(state) || with_devices(*state);
}

static int down(void **state)
{
    struct rig *r = *state;
    struct kernel *k = r->p->kernel;
    int rc = rig_down(state);
    for (int i = 0; i < DEVICES; i++) {
        assert_string_equal(device[i].name, ""); // they went with their policies
        drop(&device[i]);
    }
    k->ops = ops_before;
    return rc;
}

// ---- packets

static struct rig_packet packet(const char *src, const char *dst, uint32_t number)
{
    return (struct rig_packet){
        .src = src, .dst = dst, .proto = 17, .sport = 1000, .dport = 2000, .number = number};
}

static void put(struct rig *r, const char *name, unsigned queue, const struct rig_packet *k)
{
    uint8_t p[200];
    uint32_t n = rig_build(p, k);
    assert_int_equal(write(device_of(name)->end[queue], p, n), n);
    rig_turn(r);
}

static void put_number(struct rig *r, const char *name, uint32_t number)
{
    struct rig_packet k = packet("10.1.0.1", "10.2.0.1", number);
    put(r, name, 0, &k);
}

// The number of the next packet that came out of the device, UINT32_MAX: none.
static uint32_t taken(const char *name)
{
    uint8_t p[2000];
    uint32_t number = UINT32_MAX;
    ssize_t n = read(device_of(name)->end[0], p, sizeof(p));
    if (n >= 4)
        memcpy(&number, p + n - 4, 4);
    return number;
}

static struct policy_spec everything(uint32_t id, uint32_t if_id)
{
    struct policy_spec s = rig_spec(id, "net", "0.0.0.0/0", "0.0.0.0/0");
    s.if_id = if_id;
    return s;
}

static struct msg_CHILD sa_of(struct rig *r, uint32_t child, uint32_t policy, const char *local,
                              const char *remote)
{
    struct msg_CHILD c = rig_child(r, child);
    c.policy_id = policy;
    c.local_ts = rig_list(local);
    c.remote_ts = rig_list(remote);
    return c;
}

static void install(struct rig *r, uint32_t child, uint32_t policy)
{
    struct msg_CHILD c = sa_of(r, child, policy, "0.0.0.0/0", "0.0.0.0/0");
    rig_must_install_child(r, &c);
}

static void load(struct rig *r, const char *conn, uint32_t id, uint32_t if_id)
{
    struct policy_spec s = everything(id, if_id);
    rig_must_apply(r, conn, &s, 1);
}

static void unload(struct rig *r, const char *conn)
{
    rig_must_apply(r, conn, NULL, 0);
}

static void load_two(struct rig *r)
{
    load(r, "five", 5, 5);
    load(r, "six", 6, 6);
    install(r, 15, 5);
    install(r, 16, 6);
}

static void test_two_tunnels_with_equal_selectors_are_kept_apart(void **state)
{
    struct rig *r = *state;
    load_two(r);
    for (uint32_t i = 0; i < 6; i++) { // the same flow, by either in turns
        put_number(r, i & 1 ? "ipsec6" : "ipsec5", i);
        assert_int_equal(r->sent_count, i + 1);
        assert_int_equal(spd_spi_of(r, i), i & 1 ? 0x2010 : 0x200f);
    }
    rig_expect(r, 0, 6);
    for (uint32_t i = 10; i < 16; i++) {
        const char *from = i & 1 ? "ipsec6" : "ipsec5", *other = i & 1 ? "ipsec5" : "ipsec6";
        rig_in(r, i & 1 ? 0x1010 : 0x100f, "10.2.0.1", i);
        assert_int_equal(taken(from), i);
        assert_int_equal(taken(other), UINT32_MAX);
    }
    assert_int_equal(rig_read(r), UINT32_MAX);
    assert_int_equal(r->past_count, 0);
}

// The newer one, whose policy is more specific, would take it if there were one SPD.
static void test_a_narrower_policy_of_another_interface_takes_nothing(void **state)
{
    struct rig *r = *state;
    struct policy_spec narrow = rig_spec(6, "net", "10.1.0.0/16", "10.2.0.0/16");
    load(r, "five", 5, 5);
    install(r, 15, 5);
    narrow.if_id = 6;
    rig_must_apply(r, "six", &narrow, 1);
    struct msg_CHILD c = sa_of(r, 16, 6, "10.1.0.0/16", "10.2.0.0/16");
    rig_must_install_child(r, &c);
    put_number(r, "ipsec5", 1);
    assert_int_equal(spd_spi_of(r, 0), 0x200f);
    rig_in(r, 0x100f, "10.2.0.1", 2);
    assert_int_equal(taken("ipsec5"), 2);
    rig_out(r, 3, 1); // the rig's own policy, equal to that and with no SA
    assert_int_equal(r->sent_count, 1);
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 1);
    rig_in(r, 0x1010, "10.9.0.1", 4); // outside of what it protects, though inside of the other's
    assert_int_equal(taken("ipsec6"), UINT32_MAX);
    assert_int_equal(taken("ipsec5"), UINT32_MAX);
    assert_int_equal(r->p->worker->drop_in[ESP_STATUS_POLICY], 1);
}

static void test_what_has_no_sa_is_dropped_and_counted(void **state)
{
    struct rig *r = *state;
    load(r, "five", 5, 5);
    for (uint32_t i = 0; i < 3; i++)
        put_number(r, "ipsec5", i);
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 3);
    assert_int_equal(r->sent_count + r->past_count, 0);
    install(r, 15, 5);
    put_number(r, "ipsec5", 3);
    assert_int_equal(r->sent_count, 1);
}

static void test_what_traps_asks_for_an_sa(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = everything(5, 5);
    uint8_t buf[8192];
    union msg m;
    s.trap = 1;
    rig_must_apply(r, "five", &s, 1);
    put_number(r, "ipsec5", 0);
    assert_true(spd_take_message(r->ike, buf, sizeof(buf), MSG_ACQUIRE, &m));
    assert_int_equal(m.ACQUIRE.policy_id, 5);
    rig_gives_up(r);
    assert_int_equal(r->p->worker->no_sa_out, 1);
}

// The next tunnel gets the number of the one before, and may lead to another peer.
static void test_what_waits_goes_by_no_other_tunnel_once_its_own_is_gone(void **state)
{
    struct rig *r = *state;
    struct rig_packet later = packet("10.1.0.1", "10.2.0.1", 1);
    struct policy_spec s = rig_spec(5, "net", "0.0.0.0/0", "0.0.0.0/0[17/2000]");
    s.if_id = 5;
    s.trap = 1;
    later.id = 77;
    later.offset = 64;
    rig_must_apply(r, "five", &s, 1);
    put_number(r, "ipsec5", 0);
    put(r, "ipsec5", 0, &later);
    assert_int_equal(r->p->worker->trapped.count, 1);
    assert_int_equal(r->p->worker->orphans.count, 1);
    unload(r, "five");
    load(r, "six", 6, 6);
    assert_int_equal(vti_if_id(&r->p->spd.vtis, 1), 6);
    install(r, 16, 6);
    rig_turn(r);
    assert_int_equal(r->sent_count, 0);
    assert_int_equal(r->p->worker->trapped.count + r->p->worker->orphans.count, 0);
}

// What came by the TUN that all share goes on past us where no policy has it; what was routed into a tunnel
// does not.
static void test_what_meets_no_policy_goes_past_us_from_no_tunnel(void **state)
{
    struct rig *r = *state;
    struct policy_spec narrow = rig_spec(5, "net", "10.1.0.0/16", "10.2.0.0/16");
    struct rig_packet k = packet("10.1.0.1", "10.7.0.1", 1);
    narrow.if_id = 5;
    rig_must_apply(r, "five", &narrow, 1);
    put(r, "ipsec5", 0, &k);
    assert_int_equal(r->past_count, 0);
    assert_int_equal(r->p->worker->vti_no_policy, 1);
    assert_int_equal(r->p->worker->prohibited, 1);
    uint8_t p[2000];
    assert_int_equal(read(device_of("ipsec5")->end[0], p, sizeof(p)), 60); // ICMP, by where it came from
    assert_int_equal(rig_read(r), UINT32_MAX);
    rig_out_packet(r, &k);
    assert_int_equal(r->past_count, 1);
}

// A later fragment shows no ports: it goes by its first one's, of its own TUN.
static void test_fragments_by_two_tunnels_are_not_one_packet(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(5, "net", "0.0.0.0/0", "0.0.0.0/0[17/2000]");
    struct rig_packet first = packet("10.1.0.1", "10.2.0.1", 1), later = first;
    s.if_id = 5;
    rig_must_apply(r, "five", &s, 1);
    struct msg_CHILD c = sa_of(r, 15, 5, "0.0.0.0/0", "0.0.0.0/0[17/2000]");
    rig_must_install_child(r, &c);
    s.id = s.if_id = 6;
    rig_must_apply(r, "six", &s, 1);
    first.more = true;
    first.id = later.id = 77;
    later.offset = 64;
    put(r, "ipsec5", 0, &first);
    assert_int_equal(r->sent_count, 1);
    put(r, "ipsec6", 0, &later);
    assert_int_equal(r->sent_count, 1);
    assert_int_equal(r->p->worker->orphans.count, 1);
    put(r, "ipsec5", 0, &later);
    assert_int_equal(r->sent_count, 2);
}

static void test_our_own_ike_and_esp_goes_into_no_tunnel(void **state)
{
    struct rig *r = *state;
    struct rig_packet k = packet("192.0.2.1", "192.0.2.9", 1);
    own_address = "192.0.2.1";
    load(r, "five", 5, 5);
    install(r, 15, 5);
    k.sport = k.dport = 500;
    r->p->set.port = 500;
    put(r, "ipsec5", 0, &k);
    k.sport = r->p->set.port_nat_t;
    put(r, "ipsec5", 0, &k);
    assert_int_equal(r->sent_count, 0);
    assert_int_equal(r->p->worker->vti_own, 2);
    k.src = "192.0.2.2"; // another machine's IKE, which we forward
    put(r, "ipsec5", 0, &k);
    assert_int_equal(r->sent_count, 1);
    uint8_t p[200];
    k = (struct rig_packet){.src = "192.0.2.1", .dst = "127.0.0.1", .proto = 50, .number = 1};
    uint32_t n = rig_build(p, &k);
    memcpy(p + 20, (uint8_t[]){0, 0, 0x20, 0x0f}, 4); // the SA's own
    assert_int_equal(write(device_of("ipsec5")->end[0], p, n), n);
    rig_turn(r);
    assert_int_equal(r->p->worker->vti_own, 3);
    p[23]++; // the kernel's, inside of ours
    assert_int_equal(write(device_of("ipsec5")->end[0], p, n), n);
    rig_turn(r);
    assert_int_equal(r->p->worker->vti_own, 3);
    assert_int_equal(r->sent_count, 2);
}

// Whether ESP with that SPI from here to 127.0.0.1 is dropped as our own.
static bool is_own_esp(struct rig *r, uint32_t spi)
{
    struct rig_packet k = {.src = "192.0.2.1", .dst = "127.0.0.1", .proto = 50, .number = 1};
    uint8_t p[200];
    uint64_t before = r->p->worker->vti_own;
    uint32_t n = rig_build(p, &k);
    memcpy(p + 20, (uint8_t[]){(uint8_t)(spi >> 24), (uint8_t)(spi >> 16), (uint8_t)(spi >> 8), (uint8_t)spi},
           4);
    assert_int_equal(write(device_of("ipsec5")->end[0], p, n), n);
    rig_turn(r);
    return r->p->worker->vti_own > before;
}

enum { OWN_SPI = 0x2000 }; // and the child's number: the outbound one (spd_rig.c)

// Of whichever policy its SA is, before and behind the first tunnel; and no more when it has gone.
static void test_esp_of_every_sa_is_our_own_as_long_as_it_is_there(void **state)
{
    struct rig *r = *state;
    struct policy_spec plain = rig_spec(3, "net", "10.1.0.0/16", "10.2.0.0/16");
    own_address = "192.0.2.1";
    rig_must_apply(r, "plain", &plain, 1);
    struct msg_CHILD c = sa_of(r, 11, 3, "10.1.0.0/16", "10.2.0.0/16");
    rig_must_install_child(r, &c);
    load(r, "five", 5, 5);
    install(r, 15, 5);
    install(r, 16, 5);
    for (uint32_t child = 10; child < 18; child++)
        assert_int_equal(is_own_esp(r, OWN_SPI + child), child == 11 || child == 15 || child == 16);
    assert_int_equal(r->p->spd.vtis.own_spis.count, 3);
    sadb_delete(r->p, 15);
    rig_turn(r);
    assert_false(is_own_esp(r, OWN_SPI + 15));
    assert_true(is_own_esp(r, OWN_SPI + 16));
    assert_int_equal(r->p->spd.vtis.own_spis.count, 2);
    r->p->spd.vtis.own_spis_lack = true; // no memory for one: all are asked
    vti_child_goes(r->p, sadb_by_id(r->p, 16));
    assert_true(is_own_esp(r, OWN_SPI + 16));
    assert_false(is_own_esp(r, OWN_SPI + 15));
    sadb_delete(r->p, 16);
    unload(r, "five");
    rig_turn(r);
    assert_int_equal(r->p->spd.vtis.own_spis.count, 0);
}

static void test_an_interface_of_another_is_refused_by_name_and_nothing_changes(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = everything(5, 5), two[] = {everything(7, 7), s};
    char text[400];
    snprintf(device[0].name, sizeof(device[0].name), "ipsec5");
    assert_false(rig_apply(r, "five", &s, 1, text, sizeof(text)));
    assert_non_null(strstr(text, "ipsec5"));
    assert_non_null(strstr(text, "not this daemon's"));
    assert_false(rig_apply(r, "two", two, 2, text, sizeof(text)));
    assert_null(device_of("ipsec7")); // nothing of it stays
    assert_int_equal(r->p->spd.vtis.count, 0);
    drop(&device[0]);
    rig_must_apply(r, "two", two, 2);
    assert_true(device_of("ipsec5")->kept && device_of("ipsec7")->kept);
}

static void test_a_device_lives_as_long_as_its_policies_and_their_sas(void **state)
{
    struct rig *r = *state;
    load(r, "five", 5, 5);
    load(r, "more", 8, 5); // two connections may share one
    install(r, 15, 5);
    unload(r, "more");
    load(r, "five", 5, 5); // again: nothing happens to it
    int end = device_of("ipsec5")->end[0];
    load(r, "five", 9, 5); // edited
    assert_int_equal(device_of("ipsec5")->end[0], end);
    unload(r, "five");
    assert_non_null(device_of("ipsec5"));
    put_number(r, "ipsec5", 1);
    assert_int_equal(r->sent_count, 1); // it protects as long as it is there
    sadb_delete(r->p, 15);
    rig_turn(r);
    assert_null(device_of("ipsec5"));
}

// An edit of the number makes another policy of it: the SA stays with the one that it was made for.
static void test_another_if_id_is_another_policy(void **state)
{
    struct rig *r = *state;
    char text[400];
    load(r, "five", 5, 5);
    install(r, 15, 5);
    struct policy_spec s = everything(5, 6);
    assert_false(rig_apply(r, "five", &s, 1, text, sizeof(text)));
    load(r, "five", 6, 6);
    put_number(r, "ipsec6", 1);
    assert_int_equal(r->sent_count, 0);
    put_number(r, "ipsec5", 2);
    assert_int_equal(r->sent_count, 1);
}

static void test_only_what_protects_has_an_interface(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = everything(5, 5);
    char text[400];
    s.action = POLICY_BYPASS;
    assert_false(rig_apply(r, "five", &s, 1, text, sizeof(text)));
    assert_non_null(strstr(text, "only what protects"));
    assert_null(device_of("ipsec5"));
}

static void test_the_kernel_blocks_nothing_for_it(void **state)
{
    struct rig *r = *state;
    int blocks = fake_blocks, routes = fake_routes;
    load_two(r);
    assert_int_equal(fake_blocks, blocks);
    assert_int_equal(fake_routes, routes);
}

static void test_one_that_was_deleted_is_made_again(void **state)
{
    struct rig *r = *state;
    load(r, "five", 5, 5);
    install(r, 15, 5);
    take_away(NULL, "ipsec5");
    rig_turn(r);
    assert_null(device_of("ipsec5"));
    vti_repair(r->p);
    assert_non_null(device_of("ipsec5"));
    put_number(r, "ipsec5", 1);
    assert_int_equal(r->sent_count, 1);
}

static void test_devices_of_an_earlier_run_are_taken_over_or_swept(void **state)
{
    struct rig *r = *state;
    snprintf(device[0].name, sizeof(device[0].name), "ipsec5");
    snprintf(device[1].name, sizeof(device[1].name), "ipsec6");
    device[0].ours = device[1].ours = true;
    load(r, "five", 5, 5);
    assert_int_equal(device[0].queues, 1);
    assert_int_equal(vti_sweep(r->p), 1);
    assert_non_null(device_of("ipsec5"));
    assert_null(device_of("ipsec6"));
}

// What an earlier run has left closed stays until a load comes to pass: its routes would go with it, and what
// they lead into it would leave in clear.
static void test_a_load_that_fails_leaves_the_device_of_an_earlier_run(void **state)
{
    struct rig *r = *state;
    struct policy_spec both[] = {everything(5, 5), everything(6, 6)};
    char text[400];
    snprintf(device[0].name, sizeof(device[0].name), "ipsec5");
    snprintf(device[1].name, sizeof(device[1].name), "ipsec6"); // another's
    device[0].ours = true;
    assert_false(rig_apply(r, "five", both, 2, text, sizeof(text)));
    assert_non_null(device_of("ipsec5"));
    drop(&device[1]);
    load(r, "five", 5, 5);
    unload(r, "five"); // it is this run's now
    assert_null(device_of("ipsec5"));
}

static void test_another_of_its_name_does_not_go_with_its_policies(void **state)
{
    struct rig *r = *state;
    load(r, "five", 5, 5);
    take_away(NULL, "ipsec5");
    rig_turn(r);
    snprintf(device[0].name, sizeof(device[0].name), "ipsec5");
    vti_repair(r->p);
    unload(r, "five");
    assert_non_null(device_of("ipsec5"));
    drop(device_of("ipsec5"));
}

static void test_one_with_another_name_is_not_swept(void **state)
{
    struct rig *r = *state;
    load(r, "five", 5, 5);
    snprintf(device[0].name, sizeof(device[0].name), "tunnel");
    assert_int_equal(vti_sweep(r->p), 0);
    assert_non_null(device_of("tunnel"));
    snprintf(device[0].name, sizeof(device[0].name), "ipsec5");
}

static unsigned leads;
static void lead(struct kernel *k, const uint32_t *index, unsigned count)
{
    (void)k, (void)index, (void)count;
    leads++;
}

// Somebody has deleted the devices of an earlier run, and not what led our own packets around them.
static void test_what_led_around_devices_that_are_gone_goes_once(void **state)
{
    struct rig *r = *state;
    leads = 0;
    ops.vti_around = lead;
    assert_int_equal(vti_sweep(r->p), 0);
    assert_int_equal(leads, 1);
    assert_int_equal(vti_sweep(r->p), 0);
    assert_int_equal(leads, 1);
}

// What stays closed at the end are devices too: the next run finds them with their routes.
static void test_at_an_end_that_leaves_things_closed_devices_stay(void **state)
{
    struct rig *r = *state;
    load(r, "five", 5, 5);
    assert_true(path_leaves_closed(r->p));
    policy_drop_all(r->p);
    assert_non_null(device_of("ipsec5"));
    drop(device_of("ipsec5"));
}

static void test_while_no_packet_is_free_what_comes_by_a_tunnel_waits(void **state)
{
    struct rig *r = *state;
    struct worker *w = r->p->worker;
    struct packet *all = NULL, *pkt;
    load(r, "five", 5, 5);
    install(r, 15, 5);
    while ((pkt = packet_get(w))) {
        pkt->next = all;
        all = pkt;
    }
    put_number(r, "ipsec5", 1);
    assert_int_equal(r->sent_count, 0);
    while ((pkt = all)) {
        all = pkt->next;
        packet_release(w, pkt);
    }
    rig_turn(r);
    assert_int_equal(r->sent_count, 1);
}

// SPIs of odd numbers are the second worker's, who is given what comes by the first one's queue.
static void test_two_workers_have_a_queue_each(void **state)
{
    struct rig *r = *state;
    struct rig_packet k = packet("10.1.0.1", "10.2.0.1", 1);
    load_two(r);
    assert_int_equal(sadb_by_id(r->p, 15)->w->index, 1);
    assert_int_equal(device_of("ipsec5")->queues, 2);
    for (unsigned i = 0; i < 4; i++)
        put(r, i & 2 ? "ipsec6" : "ipsec5", i & 1, &k);
    assert_int_equal(r->sent_count, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(spd_spi_of(r, i), i & 2 ? 0x2010 : 0x200f);
    assert_int_equal(r->p->worker[0].handed_over + r->p->worker[1].handed_over, 2);
}

// ---- routes that are kept here (ctrl/path/vti_ways.h)

enum { ROUTES = 32, LAST_RESORT = ROUTE_METRICS + 1 };
static struct kernel_route routes[ROUTES];
static unsigned route_count;
static int route_rc;         // what the kernel says to those that are added,
static unsigned route_room;  // ... behind so many
static unsigned routes_gone; // taken away, that were there

static unsigned find_route(const struct kernel_route *r)
{
    unsigned i = 0;
    while (i < route_count &&
           (routes[i].family != r->family || routes[i].len != r->len ||
            (r->link && routes[i].link != r->link) || // as to Linux: any
            routes[i].metric != r->metric || memcmp(routes[i].dst, r->dst, sizeof(r->dst)) != 0))
        i++;
    return i;
}

static int route(struct kernel *k, const struct kernel_route *r, bool add)
{
    unsigned i = find_route(r);
    (void)k;
    if (add && route_rc && !route_room--)
        return route_rc;
    if (add && i == route_count) {
        assert_true(route_count < ROUTES);
        routes[route_count++] = *r;
    } else if (!add && i < route_count) {
        routes[i] = routes[--route_count];
        routes_gone++;
    }
    return 0;
}

static void each_route(struct kernel *k, void (*each)(void *ctx, const struct kernel_route *r), void *ctx)
{
    (void)k;
    for (unsigned i = 0; i < route_count; i++)
        each(ctx, &routes[i]);
}

static void with_routes(struct rig *r)
{
    route_count = 0;
    route_rc = 0;
    route_room = 0;
    routes_gone = 0;
    ops.vti_route = route;
    ops.vti_routes = each_route;
    own_address = "10.1.0.1";
    (void)r;
}

static bool half_by(const char *net, uint8_t len, const char *name, uint32_t metric)
{
    struct addr a;
    assert_true(addr_parse(net, &a));
    struct kernel_route r = {
        .family = a.family, .len = len, .link = (uint32_t)(device_of(name) - device) + 1, .metric = metric};
    memcpy(r.dst, a.a, sizeof(r.dst));
    return find_route(&r) < route_count;
}

// 10.2.0.0/16, as two halves: another route to it is none before them.
static bool routed_by(const char *name, uint32_t metric)
{
    bool lower = half_by("10.2.0.0", 17, name, metric), upper = half_by("10.2.128.0", 17, name, metric);
    assert_int_equal(lower, upper);
    return lower;
}

static struct policy_spec routed(uint32_t id, uint32_t if_id, uint8_t metric, const char *probe)
{
    struct policy_spec s = rig_spec(id, "net", "10.1.0.0/16", "10.2.0.0/16");
    s.if_id = if_id;
    s.route.metric = metric;
    s.route.probe_delay = 1;
    if (probe)
        assert_true(addr_parse(probe, &s.route.probe));
    return s;
}

static void turn(struct rig *r, uint64_t ms)
{
    rig_pass(r, ms);
    vti_ways_turn(r->p);
    rig_turn(r);
}

static void routed_child(struct rig *r, uint32_t child, uint32_t policy)
{
    struct msg_CHILD c = sa_of(r, child, policy, "10.1.0.0/16", "10.2.0.0/16");
    rig_must_install_child(r, &c);
}

static void test_a_tunnel_has_its_metric_while_it_has_an_sa_and_is_a_last_resort_without(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, NULL);
    with_routes(r);
    rig_must_apply(r, "five", &s, 1);
    turn(r, 20);
    assert_int_equal(route_count, 2);
    assert_true(routed_by("ipsec5", LAST_RESORT + 10));
    routed_child(r, 15, 5);
    turn(r, 20);
    assert_int_equal(route_count, 4);
    assert_true(routed_by("ipsec5", 10));
    assert_int_equal(routes[0].from.family, 0);
    assert_int_equal(routes[2].from.a[1], 1); // 10.1.0.1, for the gateway's own programs
    route_count = 0;                          // somebody has set the device down and up again
    vti_addresses(r->p);
    turn(r, 20);
    assert_int_equal(route_count, 4);
    sadb_delete(r->p, 15);
    turn(r, 20);
    assert_int_equal(route_count, 2);
    assert_true(routed_by("ipsec5", LAST_RESORT + 10));
    unload(r, "five");
    assert_int_equal(route_count, 0);
}

// As Linux takes IPv4 routes along with the address that is their source.
static void address_goes(void)
{
    own_address = NULL;
    for (unsigned i = 0; i < route_count;)
        if (routes[i].from.family)
            routes[i] = routes[--route_count];
        else
            i++;
}

static void test_what_is_protected_stays_closed_when_the_gateways_address_goes(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, NULL);
    with_routes(r);
    rig_must_apply(r, "five", &s, 1);
    routed_child(r, 15, 5);
    turn(r, 20);
    assert_int_equal(route_count, 4);
    address_goes();
    assert_true(routed_by("ipsec5", LAST_RESORT + 10));
    vti_addresses(r->p);
    turn(r, 20);
    assert_true(routed_by("ipsec5", 10));
    assert_true(routed_by("ipsec5", LAST_RESORT + 10));
    routes_gone = 0;
    own_address = "10.1.0.9";
    vti_addresses(r->p);
    turn(r, 20);
    assert_int_equal(route_count, 4);
    assert_int_equal(routes_gone, 2); // of which those of last resort were none
}

static int stays_down(struct kernel *k, const char *name, uint32_t mtu, struct esp_error *err)
{
    (void)k, (void)mtu;
    return esp_fail(err, -ENOMEM, name, "out of memory");
}

static void test_one_that_cannot_be_made_again_takes_no_routes_of_another(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, NULL), t = routed(6, 6, 10, NULL);
    with_routes(r);
    rig_must_apply(r, "five", &s, 1);
    rig_must_apply(r, "six", &t, 1);
    routed_child(r, 15, 5);
    routed_child(r, 16, 6);
    turn(r, 20);
    ops.vti_up = stays_down;
    for (unsigned i = 0; i < route_count;) // those of the device that somebody deletes go with it
        if (routes[i].link == r->p->spd.vtis.at[1]->link)
            routes[i] = routes[--route_count];
        else
            i++;
    drop(device_of("ipsec5"));
    rig_turn(r);
    vti_repair(r->p);
    turn(r, 20);
    sadb_delete(r->p, 15);
    turn(r, 20);
    unload(r, "five");
    assert_true(routed_by("ipsec6", 10));
    assert_true(routed_by("ipsec6", LAST_RESORT + 10));
    drop(device_of("ipsec5"));
}

static void test_default_routes_are_two_halves(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = everything(5, 5);
    s.route.metric = 1;
    s.route.probe_delay = 1;
    with_routes(r);
    rig_must_apply(r, "five", &s, 1);
    assert_int_equal(route_count, 2);
    assert_true(half_by("0.0.0.0", 1, "ipsec5", LAST_RESORT + 1));
    assert_true(half_by("128.0.0.0", 1, "ipsec5", LAST_RESORT + 1));
}

// Takes the last ping that has left, and lets it be answered by that tunnel's SA.
static void answer_as(struct rig *r, uint32_t spi, uint16_t behind, uint16_t ident)
{
    struct addr here, there;
    assert_true(addr_parse("10.1.0.1", &here) && addr_parse("10.2.0.1", &there));
    uint32_t n = icmp_echo(r->in, &here, &there, ident, (uint16_t)(r->p->ways->number - behind));
    icmp_echo_turn(r->in, n);
    rig_in_bytes(r, spi, n);
    rig_turn(r);
}

static void answer_by(struct rig *r, uint32_t spi, uint16_t behind)
{
    answer_as(r, spi, behind, r->p->ways->ident);
}

static void test_whom_nobody_answers_through_does_not_carry_until_three_are(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, "10.2.0.1");
    with_routes(r);
    rig_must_apply(r, "five", &s, 1);
    turn(r, 20);
    assert_int_equal(r->sent_count, 0); // without an SA nobody is asked
    routed_child(r, 15, 5);
    turn(r, 20);
    assert_int_equal(r->sent_count, 1);
    assert_int_equal(spd_spi_of(r, 0), 0x200f);
    assert_false(routed_by("ipsec5", 10));
    answer_by(r, 0x100f, 0);
    assert_int_equal(taken("ipsec5"), UINT32_MAX); // it is for nobody else
    turn(r, 20);
    assert_true(routed_by("ipsec5", 10)); // by the first answer
    for (unsigned i = 0; i < 3; i++)
        turn(r, 1000); // asked three times more
    assert_int_equal(r->sent_count, 4);
    assert_true(routed_by("ipsec5", 10));
    turn(r, 1000);
    assert_false(routed_by("ipsec5", 10));
    assert_true(routed_by("ipsec5", LAST_RESORT + 10));
    for (unsigned i = 0; i < 3; i++) {
        assert_false(routed_by("ipsec5", 10));
        answer_by(r, 0x100f, 0);
        turn(r, 1000);
    }
    assert_true(routed_by("ipsec5", 10));
}

static void test_an_answer_by_the_sa_before_says_nothing_of_the_next(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, "10.2.0.1");
    with_routes(r);
    rig_must_apply(r, "five", &s, 1);
    routed_child(r, 15, 5);
    turn(r, 20);
    answer_by(r, 0x100f, 0);
    assert_int_not_equal(atomic_load(&r->p->ways->answered), 0);
    sadb_delete(r->p, 15);
    turn(r, 20);
    routed_child(r, 16, 5);
    turn(r, 20);
    assert_false(routed_by("ipsec5", 10));
    answer_by(r, 0x1010, 0);
    turn(r, 20);
    assert_true(routed_by("ipsec5", 10));
}

static void test_slow_answers_count_and_those_of_others_do_not(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, "10.2.0.1"), t = routed(6, 6, 20, NULL);
    with_routes(r);
    rig_must_apply(r, "six", &t, 1);
    rig_must_apply(r, "five", &s, 1); // the first of p->ways
    routed_child(r, 16, 6);
    routed_child(r, 15, 5);
    turn(r, 20);
    answer_by(r, 0x1010, 0); // by the other tunnel: it says nothing of this one
    turn(r, 20);
    assert_false(routed_by("ipsec5", 10));
    assert_true(routed_by("ipsec6", 20));
    answer_as(r, 0x100f, 0, (uint16_t)(r->p->ways->ident + 1)); // of somebody else's ping
    turn(r, 20);
    assert_false(routed_by("ipsec5", 10));
    answer_by(r, 0x100f, 0);
    turn(r, 20);
    assert_true(routed_by("ipsec5", 10));
    for (unsigned i = 0; i < 6; i++) {
        turn(r, 1000);
        answer_by(r, 0x100f, 1); // each a second late
    }
    turn(r, 1000);
    assert_true(routed_by("ipsec5", 10));
}

static void test_our_end_inside_the_tunnel_asks_and_answers(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, "10.2.0.1");
    struct addr here, there;
    with_routes(r);
    own_address = NULL; // the machine has none of its own that is protected
    assert_true(addr_parse("10.1.255.1", &s.route.probe_from));
    rig_must_apply(r, "five", &s, 1);
    routed_child(r, 15, 5);
    turn(r, 20);
    assert_int_equal(r->sent_count, 1);
    assert_true(addr_parse("10.2.7.7", &there));
    here = s.route.probe_from;
    uint32_t n = icmp_echo(r->in, &there, &here, 77, 3);
    rig_in_bytes(r, 0x100f, n);
    rig_turn(r);
    assert_int_equal(r->sent_count, 2); // the answer, by the tunnel that it has come by
    assert_int_equal(spd_spi_of(r, 1), 0x200f);
    assert_int_equal(taken("ipsec5"), UINT32_MAX);
    n = icmp_echo(r->in, &there, &here, 77, 4);
    r->in[19] = 2; // to 10.1.255.2, which is not ours to answer for
    r->in[11]--;
    rig_in_bytes(r, 0x100f, n);
    rig_turn(r);
    assert_int_equal(r->sent_count, 2);
    assert_true(taken("ipsec5") != UINT32_MAX);
}

static void test_whom_an_ipv6_tunnel_asks_answers_in_icmpv6(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = rig_spec(5, "net", "fd01::/32", "fd02::/32");
    with_routes(r);
    own_address = "fd01::1";
    s.if_id = 5;
    s.route.metric = 10;
    s.route.probe_delay = 1;
    assert_true(addr_parse("fd02::1", &s.route.probe));
    rig_must_apply(r, "five", &s, 1);
    r->p->ways->ident = 0x1234;
    r->p->ways->number = 0x5677;
    struct msg_CHILD c = sa_of(r, 15, 5, "fd01::/32", "fd02::/32");
    rig_must_install_child(r, &c);
    turn(r, 20);
    assert_int_equal(r->sent_count, 1);
    rig_opened(r);
    const uint8_t asks[] = {128, 0, 0x1d, 0x0a, 0x12, 0x34, 0x56, 0x78}; // summed by Python
    const uint8_t says[] = {129, 0, 0x1c, 0x0a, 0x12, 0x34, 0x56, 0x78};
    assert_memory_equal(r->out + 40, asks, 8);
    memcpy(r->in, r->out, 48);
    icmp_echo_turn(r->in, 48);
    assert_memory_equal(r->in + 40, says, 8);
    rig_in_bytes(r, 0x100f, 48);
    turn(r, 20);
    assert_true(half_by("fd02::", 33, "ipsec5", 10));
    assert_true(half_by("fd02:0:8000::", 33, "ipsec5", 10));
    assert_int_equal(taken("ipsec5"), UINT32_MAX);
}

// The routes stay while an edited connection's policy takes the place of the one before, and its SAs.
static void test_another_metric_takes_the_place_of_the_one_before(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, NULL);
    with_routes(r);
    r->conn_peer = 7;
    rig_must_apply(r, "five", &s, 1);
    routed_child(r, 15, 5);
    turn(r, 20);
    s = routed(8, 5, 30, NULL);
    rig_must_apply(r, "five", &s, 1);
    assert_true(routed_by("ipsec5", 10) || routed_by("ipsec5", 30));
    turn(r, 20);
    assert_true(routed_by("ipsec5", 30));
    assert_false(routed_by("ipsec5", 10));
    s = routed(9, 5, 0, NULL); // from now on they are the operator's
    rig_must_apply(r, "five", &s, 1);
    turn(r, 20);
    sadb_delete(r->p, 15);
    turn(r, 20);
    assert_int_equal(route_count, 0);
}

// What is there in its place is not asked before its own first answer, and until then carries as that did.
static void test_another_pace_of_the_same_probe_moves_no_route(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, "10.2.0.1");
    with_routes(r);
    r->conn_peer = 7;
    rig_must_apply(r, "five", &s, 1);
    routed_child(r, 15, 5);
    turn(r, 20);
    answer_by(r, 0x100f, 0);
    turn(r, 20);
    assert_int_equal(route_count, 4);
    s = routed(8, 5, 10, "10.2.0.1");
    s.route.probe_delay = 5;
    rig_must_apply(r, "five", &s, 1);
    turn(r, 20);
    routed_child(r, 16, 8);
    sadb_delete(r->p, 15); // with which the policy before leaves
    turn(r, 20);
    assert_int_equal(route_count, 4);
    assert_int_equal(routes_gone, 0);
}

static void test_routes_of_an_earlier_run_that_nobody_asks_for_are_swept(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, NULL);
    with_routes(r);
    rig_must_apply(r, "five", &s, 1);
    routes[route_count] = routes[0];
    routes[route_count].dst[1] = 77;
    route_count++;
    routes[route_count] = routes[0];
    routes[route_count++].link = 99; // into a device of somebody else's
    vti_sweep(r->p);
    assert_int_equal(route_count, 3);
    assert_true(routed_by("ipsec5", LAST_RESORT + 10));
    assert_false(half_by("10.77.0.0", 17, "ipsec5", LAST_RESORT + 10));
}

static void test_a_route_that_cannot_be_made_refuses_the_load(void **state)
{
    struct rig *r = *state;
    struct policy_spec s = routed(5, 5, 10, NULL);
    char text[400];
    with_routes(r);
    route_rc = -EOPNOTSUPP;
    route_room = 1; // of two
    assert_false(rig_apply(r, "five", &s, 1, text, sizeof(text)));
    assert_non_null(strstr(text, "route_metric: routes into ipsec5 cannot be made: `install_routes = no`"));
    assert_null(device_of("ipsec5"));
    assert_int_equal(route_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)
        TEST(test_two_tunnels_with_equal_selectors_are_kept_apart),
        TEST(test_a_narrower_policy_of_another_interface_takes_nothing),
        TEST(test_what_has_no_sa_is_dropped_and_counted),
        TEST(test_what_traps_asks_for_an_sa),
        TEST(test_what_waits_goes_by_no_other_tunnel_once_its_own_is_gone),
        TEST(test_what_meets_no_policy_goes_past_us_from_no_tunnel),
        TEST(test_fragments_by_two_tunnels_are_not_one_packet),
        TEST(test_our_own_ike_and_esp_goes_into_no_tunnel),
        TEST(test_esp_of_every_sa_is_our_own_as_long_as_it_is_there),
        TEST(test_an_interface_of_another_is_refused_by_name_and_nothing_changes),
        TEST(test_a_device_lives_as_long_as_its_policies_and_their_sas),
        TEST(test_another_if_id_is_another_policy),
        TEST(test_only_what_protects_has_an_interface),
        TEST(test_the_kernel_blocks_nothing_for_it),
        TEST(test_one_that_was_deleted_is_made_again),
        TEST(test_devices_of_an_earlier_run_are_taken_over_or_swept),
        TEST(test_a_load_that_fails_leaves_the_device_of_an_earlier_run),
        TEST(test_another_of_its_name_does_not_go_with_its_policies),
        TEST(test_one_with_another_name_is_not_swept),
        TEST(test_what_led_around_devices_that_are_gone_goes_once),
        TEST(test_at_an_end_that_leaves_things_closed_devices_stay),
        TEST(test_while_no_packet_is_free_what_comes_by_a_tunnel_waits),
        TEST(test_a_tunnel_has_its_metric_while_it_has_an_sa_and_is_a_last_resort_without),
        TEST(test_what_is_protected_stays_closed_when_the_gateways_address_goes),
        TEST(test_one_that_cannot_be_made_again_takes_no_routes_of_another),
        TEST(test_default_routes_are_two_halves),
        TEST(test_whom_nobody_answers_through_does_not_carry_until_three_are),
        TEST(test_an_answer_by_the_sa_before_says_nothing_of_the_next),
        TEST(test_slow_answers_count_and_those_of_others_do_not),
        TEST(test_our_end_inside_the_tunnel_asks_and_answers),
        TEST(test_whom_an_ipv6_tunnel_asks_answers_in_icmpv6),
        TEST(test_another_metric_takes_the_place_of_the_one_before),
        TEST(test_another_pace_of_the_same_probe_moves_no_route),
        TEST(test_routes_of_an_earlier_run_that_nobody_asks_for_are_swept),
        TEST(test_a_route_that_cannot_be_made_refuses_the_load),
        cmocka_unit_test_setup_teardown(test_two_workers_have_a_queue_each, up_two, down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
