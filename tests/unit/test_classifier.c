// SPDX-License-Identifier: Apache-2.0
// The classifier and the fields that it looks at: random rules that come and go against a plain search
// through all of them, both families, both directions, ports, ICMP, fragments and memory that runs out.
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/path/classifier.h"

#define RULES 400

struct rule {
    bool in;
    struct ts_list local, remote;
    uint64_t rank;
};

static uint32_t below(uint32_t n)
{
    return (uint32_t)rand() % n;
}

// Few addresses, so that much lies over one another.
static void random_address(uint8_t *a, uint8_t family)
{
    memset(a, 0, 16);
    for (int i = 0; i < (family == 4 ? 4 : 16); i++)
        a[i] = (uint8_t)(below(4) ? 0 : below(2) ? 0x80 : below(256));
}

static void random_ports(struct ts *t)
{
    static const uint8_t protos[] = {0, 6, 17, 1, 58, 50};
    t->proto = protos[below(sizeof(protos))];
    t->port_hi = 65535;
    switch (below(5)) {
    case 4: // OPAQUE
        t->port_lo = 65535;
        t->port_hi = 0;
        break;
    case 0:
        t->port_lo = (uint16_t)below(10);
        t->port_hi = (uint16_t)(t->port_lo + below(10));
        break;
    case 1: t->port_lo = t->port_hi = (uint16_t)below(10); break;
    case 2: t->port_lo = (uint16_t)below(2); break;
    default: break;
    }
}

static struct ts random_ts(uint8_t family)
{
    struct ts t = {.family = family};
    unsigned bits = family == 4 ? 32 : 128, length = below(3) ? below(bits + 1) : bits / 4 * below(5);
    random_ports(&t);
    random_address(t.lo, family);
    memcpy(t.hi, t.lo, 16);
    if (!below(8)) { // no prefix
        uint8_t step = (uint8_t)(1 + below(5));
        t.lo[bits / 8 - 1] &= 0xf0;
        t.hi[bits / 8 - 1] = (uint8_t)(t.lo[bits / 8 - 1] + step);
        return t;
    }
    for (unsigned i = length; i < bits; i++) {
        t.lo[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
        t.hi[i / 8] |= (uint8_t)(0x80 >> i % 8);
    }
    return t;
}

static struct ts_list random_list(uint8_t family)
{
    struct ts_list l = {.count = (uint8_t)(1 + below(3))};
    for (int i = 0; i < l.count; i++)
        l.t[i] = random_ts(below(10) ? family : (uint8_t)(10 - family));
    if (!below(10))
        l.t[0].family = 0;
    return l;
}

static struct fields random_fields(void)
{
    static const uint8_t protos[] = {6, 17, 1, 58, 50, 47};
    struct fields f = {.family = below(2) ? 4 : 6, .proto = protos[below(sizeof(protos))]};
    random_address(f.src, f.family);
    random_address(f.dst, f.family);
    bool some = f.proto == 6 || f.proto == 17 || f.proto == (f.family == 4 ? 1 : 58);
    f.unseen = some && !below(4);
    f.ports = some && !f.unseen;
    if (f.ports) {
        f.sport = (uint16_t)below(12);
        f.dport = f.proto == 6 || f.proto == 17 ? (uint16_t)below(12) : f.sport;
    }
    if (!below(20)) {
        f.ports = false;
        f.hidden = f.unseen = true;
        f.proto = 0;
    }
    return f;
}

static bool addr_in(const struct ts *t, const struct fields *f, const uint8_t *a)
{
    size_t n = f->family == 4 ? 4 : 16;
    return t->family == f->family && memcmp(a, t->lo, n) >= 0 && memcmp(a, t->hi, n) <= 0;
}

static bool all_ports(const struct ts *t)
{
    return t->port_lo == 0 && t->port_hi == 65535;
}

static bool opaque(const struct ts *t)
{
    return t->port_lo == 65535 && t->port_hi == 0;
}

// 1: it holds the packet; 2: it might, if the packet showed more.
static int one_pair(const struct ts *l, const struct ts *r, const struct fields *f, bool reverse)
{
    uint16_t lp = reverse ? f->dport : f->sport, rp = reverse ? f->sport : f->dport;
    uint8_t proto = l->proto ? l->proto : r->proto;
    if (!addr_in(l, f, reverse ? f->dst : f->src) || !addr_in(r, f, reverse ? f->src : f->dst) ||
        (l->proto && r->proto && l->proto != r->proto))
        return 0;
    if (opaque(l) || opaque(r)) {
        bool fits = f->unseen && (opaque(l) || all_ports(l)) && (opaque(r) || all_ports(r)) &&
                    (!proto || proto == f->proto || f->hidden);
        return !fits ? 0 : proto && f->hidden ? 2 : 1;
    }
    if (f->hidden)
        return !proto && all_ports(l) && all_ports(r) ? 1 : 2;
    if (proto && proto != f->proto)
        return 0;
    if (all_ports(l) && all_ports(r))
        return 1;
    if (!f->ports)
        return f->unseen ? 2 : 0;
    return lp >= l->port_lo && lp <= l->port_hi && rp >= r->port_lo && rp <= r->port_hi;
}

static struct class_match plainly(struct rule *all, const struct fields *f, bool reverse)
{
    struct class_match m = {.rank = UINT64_MAX, .could = UINT64_MAX};
    for (int i = 0; i < RULES; i++) {
        struct rule *k = &all[i];
        for (int a = 0; k->in && a < k->local.count; a++) {
            for (int b = 0; b < k->remote.count; b++) {
                int v = one_pair(&k->local.t[a], &k->remote.t[b], f, reverse);
                if (v == 1 && k->rank < m.rank) {
                    m.rank = k->rank;
                    m.of = k;
                    m.hidden = opaque(&k->local.t[a]) || opaque(&k->remote.t[b]);
                } else if (v == 2 && k->rank < m.could) {
                    m.could = k->rank;
                }
            }
        }
    }
    return m;
}

static void compare_one(const struct class_query *q, struct rule *all)
{
    struct class_match got = q->m, want = plainly(all, q->f, q->reverse);
    if (got.of != want.of || got.rank != want.rank)
        fail_msg("got rank %llx, expected %llx", (unsigned long long)got.rank, (unsigned long long)want.rank);
    const struct rule *k = want.of;
    if (k && k->local.count == 1 && k->remote.count == 1)
        assert_int_equal(got.hidden, want.hidden);
    // a bound: never worse than it should be where that decides
    if (want.could < want.rank && got.could > want.could)
        fail_msg("something may hold it at rank %llx, and was not seen", (unsigned long long)want.could);
}

static void compare(const struct classifier *c, struct rule *all, unsigned bursts)
{
    for (unsigned i = 0; i < bursts; i++) {
        struct fields f[CLASS_BURST];
        struct class_query q[CLASS_BURST];
        unsigned n = 1 + below(CLASS_BURST);
        for (unsigned k = 0; k < n; k++) {
            f[k] = random_fields();
            q[k] = (struct class_query){.f = &f[k], .reverse = below(2)};
        }
        classifier_find_burst(c, q, n);
        for (unsigned k = 0; k < n; k++)
            compare_one(&q[k], all);
    }
}

static void flip(struct classifier *c, struct rule *k, uint64_t rank)
{
    struct esp_error err = {0};
    if (k->in) {
        classifier_remove(c, selectors_of(&k->local), selectors_of(&k->remote),
                          (struct class_rule){k->rank, k});
    } else {
        uint8_t family = below(2) ? 4 : 6;
        k->local = random_list(family);
        k->remote = random_list(family);
        k->rank = rank;
        if (classifier_add(c, selectors_of(&k->local), selectors_of(&k->remote), (struct class_rule){rank, k},
                           &err) < 0) {
            assert_int_equal(err.code, -E2BIG); // many ports on both sides of many prefixes
            return;
        }
    }
    k->in = !k->in;
}

static void test_random_rules_that_come_and_go_agree_with_a_plain_search(void **state)
{
    struct rule *all = calloc(RULES, sizeof(*all));
    struct classifier c = {0};
    (void)state;
    assert_non_null(all);
    srand(20);
    for (unsigned step = 0; step < 3000; step++) {
        flip(&c, &all[below(RULES)], (uint64_t)below(1000) << 32 | step);
        if (step % 30 == 0)
            compare(&c, all, 7);
    }
    for (int i = 0; i < RULES; i++)
        if (all[i].in)
            flip(&c, &all[i], 0);
    assert_int_equal(c.rules + c.prefixes.count + c.pairs.count + c.cells.count, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(c.lengths[i / 2][i % 2].count, 0);
    classifier_free(&c);
    free(all);
}

static struct fields udp(uint8_t last, uint16_t dport)
{
    return (struct fields){.family = 4,
                           .proto = 17,
                           .ports = true,
                           .dport = dport,
                           .src = {10, 0, 0, 1},
                           .dst = {10, 0, 1, last}};
}

static struct ts net(uint8_t third, uint8_t length, uint16_t lo, uint16_t hi)
{
    struct ts t = {.family = 4,
                   .proto = 17,
                   .port_lo = lo,
                   .port_hi = hi,
                   .lo = {10, 0, third},
                   .hi = {10, 0, third, 255}};
    if (length == 32)
        t.hi[3] = t.lo[3];
    return t;
}

static void test_a_range_of_ports_holds_its_ends_and_nothing_beyond(void **state)
{
    struct classifier c = {0};
    struct ts l = net(0, 24, 0, 65535), r = net(1, 24, 1023, 49153);
    struct esp_error err;
    int me;
    (void)state;
    assert_int_equal(classifier_add(&c, (struct selectors){&l, 1}, (struct selectors){&r, 1},
                                    (struct class_rule){7, &me}, &err),
                     0);
    for (uint32_t port = 0; port < 65536; port++) {
        struct fields f = udp(1, (uint16_t)port);
        assert_ptr_equal(classifier_find(&c, &f, false).of, port >= 1023 && port <= 49153 ? &me : NULL);
    }
    classifier_remove(&c, (struct selectors){&l, 1}, (struct selectors){&r, 1}, (struct class_rule){7, &me});
    classifier_free(&c);
}

static void test_what_splits_into_too_much_is_refused_by_name_and_leaves_nothing(void **state)
{
    struct classifier c = {0};
    struct ts l[24], r = net(1, 24, 1, 65534);
    struct esp_error err = {0};
    (void)state;
    for (uint8_t i = 0; i < 24; i++)
        l[i] = net(i, 24, 1, 65534);
    assert_int_equal(classifier_add(&c, (struct selectors){l, 24}, (struct selectors){&r, 1},
                                    (struct class_rule){7, &c}, &err),
                     -E2BIG);
    assert_non_null(strstr(err.text, "10.0.1.0/24"));
    assert_int_equal(c.rules + c.prefixes.count + c.pairs.count + c.cells.count, 0);
    classifier_free(&c);
}

// Half of a table whose every entry wants the last place but one: the run goes over the end, and beyond the
// eight places that are looked at together.
static void test_what_stands_far_from_its_place_is_found_too(void **state)
{
    struct class_table t = {.halves = true};
    struct class_key k[8];
    bool beyond = false;
    (void)state;
    for (uint64_t i = 0, n = 0; n < 8; i++) {
        struct class_key key = {i, 0, 1};
        if (class_home(&(struct class_table){.size = 16}, class_hash(&t, key)) != 14)
            continue;
        void *line = class_put(&t, key);
        assert_non_null(line);
        class_note(&t, line, 1ull << n);
        k[n++] = key;
    }
    assert_int_equal(t.size, 16);
    for (unsigned n = 0; n < 8; n++) {
        bool more;
        uint64_t hash = class_hash(&t, k[n]), places = class_places(&t, hash, &more),
                 notes = class_notes(&t, hash, places);
        assert_true(more);
        assert_non_null(class_find(&t, k[n]));
        assert_true((notes | class_more_notes(&t, hash)) & 1ull << n);
    }
    for (unsigned n = 0; n < 8; n += 2)
        class_take(&t, class_find(&t, k[n]));
    for (unsigned n = 0; n < 8; n++) {
        uint64_t hash = class_hash(&t, k[n]), places = class_places(&t, hash, &beyond);
        assert_false(beyond);
        assert_int_equal(class_notes(&t, hash, places) >> n & 1, n % 2);
    }
    class_table_free(&t);
}

// Eight in a row, and the ninth behind them.
static void test_the_ninth_place_is_looked_at(void **state)
{
    struct class_table t = {.halves = true};
    struct class_key k[9];
    unsigned n = 0;
    bool more;
    (void)state;
    for (uint64_t i = 0; n < 9; i++) {
        struct class_key key = {i, 0, 1};
        if (class_home(&(struct class_table){.size = 16}, class_hash(&t, key)) == 11)
            k[n++] = key;
    }
    for (unsigned i = 0; i < 9; i++) {
        void *line = class_put(&t, k[i]);
        assert_non_null(line);
        class_note(&t, line, 1ull << i);
    }
    assert_int_equal(t.size, 16);
    uint64_t hash = class_hash(&t, k[8]), places = class_places(&t, hash, &more);
    assert_true(more);
    assert_false(class_notes(&t, hash, places) & 1ull << 8);
    assert_true(class_more_notes(&t, hash) & 1ull << 8);
    class_table_free(&t);
}

// Octets an entry at the worst size: each road warrior has a prefix and a pair.
static double most_octets(bool halves)
{
    enum { LEAST = 1000, MOST = 50000 };
    struct class_table t = {.halves = halves};
    double most = 0;
    for (uint64_t i = 0; i < MOST; i++) {
        assert_non_null(class_put(&t, (struct class_key){i, 0, 1}));
        double each = (double)malloc_usable_size(t.memory) / (double)t.count;
        most = i >= LEAST && each > most ? each : most;
    }
    for (uint64_t i = 0; i < MOST; i += 7)
        assert_non_null(class_find(&t, (struct class_key){i, 0, 1}));
    class_table_free(&t);
    return most;
}

static void test_table_is_never_half_empty(void **state)
{
    (void)state;
    double prefix = most_octets(true), pair = most_octets(false);
    printf("at most %.0f octets a prefix, %.0f a pair\n", prefix, pair);
    assert_true(prefix < 88);
    assert_true(pair < 140);
}

// ---- fields

static void test_icmp_type_and_code_stand_for_both_ports(void **state)
{
    uint8_t p[28] = {0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 8, 3};
    struct fields f;
    (void)state;
    assert_true(fields_parse(p, sizeof(p), &f));
    assert_true(f.ports);
    assert_int_equal(f.sport, 0x0803);
    assert_int_equal(f.dport, 0x0803);
    p[9] = 58; // that of IPv6 is nothing in IPv4
    assert_true(fields_parse(p, sizeof(p), &f));
    assert_false(f.ports || f.unseen);
}

static void test_what_lies_behind_the_ip_packets_own_length_is_not_looked_at(void **state)
{
    uint8_t p[28] = {0x45, 0, 0, 22, 0, 0, 0, 0, 64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 53, 0, 53};
    struct fields f;
    (void)state;
    assert_true(fields_parse(p, sizeof(p), &f));
    assert_false(f.ports);
    assert_true(f.unseen);
}

static struct fields parse6(const uint8_t *tail, size_t n, uint8_t first, bool *ok)
{
    uint8_t p[200] = {0x60, 0, 0, 0, 0, (uint8_t)n, first, 64};
    struct fields f;
    memcpy(p + 40, tail, n);
    *ok = fields_parse(p, 40 + (uint32_t)n, &f);
    return f;
}

static void test_ipv6_extension_headers_are_looked_through(void **state)
{
    static const uint8_t udp_behind[] = {60, 0, 1, 4, 0, 0, 0,  0, 43, 1, 1, 2, 0, 0, 0, 0,   0, 0,
                                         0,  0, 0, 0, 0, 0, 17, 0, 1,  4, 0, 0, 0, 0, 4, 210, 0, 53};
    bool ok;
    (void)state;
    // hop-by-hop, destination options, routing of 16 octets: the order of a chain is its own affair
    struct fields f = parse6(udp_behind, sizeof(udp_behind), 0, &ok);
    assert_true(ok && f.ports);
    assert_int_equal(f.proto, 17);
    assert_int_equal(f.sport, 1234);
    assert_int_equal(f.dport, 53);
    f = parse6(udp_behind, 30, 0, &ok); // cut inside the chain
    assert_true(ok && f.hidden && f.unseen);
}

static void test_ipv6_chain_without_end_hides_the_protocol(void **state)
{
    uint8_t tail[128] = {0};
    bool ok;
    (void)state;
    struct fields f = parse6(tail, sizeof(tail), 0, &ok); // hop-by-hop, for ever
    assert_true(ok && f.hidden && f.unseen && !f.ports);
}

static void test_ipv6_fragments_are_told_apart(void **state)
{
    uint8_t tail[] = {17, 0, 0, 1, 1, 2, 3, 4, 4, 210, 0, 53};
    bool ok;
    (void)state;
    struct fields f = parse6(tail, sizeof(tail), 44, &ok);
    assert_true(ok && f.first && !f.later && f.ports);
    assert_int_equal(f.id, 0x01020304);
    tail[3] = 0; // an atomic one (RFC 6946) is a whole packet
    f = parse6(tail, sizeof(tail), 44, &ok);
    assert_true(ok && !f.first && !f.later && f.ports);
    tail[3] = 8;
    f = parse6(tail, sizeof(tail), 44, &ok);
    assert_true(ok && !f.first && f.later && !f.ports && f.unseen);
    tail[0] = 60; // what follows the options was in the first one
    f = parse6(tail, sizeof(tail), 44, &ok);
    assert_true(ok && f.later && f.hidden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_rules_that_come_and_go_agree_with_a_plain_search),
        cmocka_unit_test(test_a_range_of_ports_holds_its_ends_and_nothing_beyond),
        cmocka_unit_test(test_what_splits_into_too_much_is_refused_by_name_and_leaves_nothing),
        cmocka_unit_test(test_what_stands_far_from_its_place_is_found_too),
        cmocka_unit_test(test_the_ninth_place_is_looked_at),
        cmocka_unit_test(test_table_is_never_half_empty),
        cmocka_unit_test(test_icmp_type_and_code_stand_for_both_ports),
        cmocka_unit_test(test_what_lies_behind_the_ip_packets_own_length_is_not_looked_at),
        cmocka_unit_test(test_ipv6_extension_headers_are_looked_through),
        cmocka_unit_test(test_ipv6_chain_without_end_hides_the_protocol),
        cmocka_unit_test(test_ipv6_fragments_are_told_apart),
    };
    return cmocka_run_group_tests_name("the classifier", tests, NULL, NULL);
}
