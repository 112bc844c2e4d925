// SPDX-License-Identifier: Apache-2.0
// What it costs to read what a stranger proposes and to hold it against our longest list: counted by the
// basic blocks that reading and choosing run through (this program is built so that they count them),
// whatever shape the peer's list has.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ctrl/ike/first_request.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/lib/conn.h"

// Most: for each transform that is read, for each pair of proposals, and for each transform of ours in a pair
// that has all types in common.
enum { A_TRANSFORM = 70, A_PAIR = 80, A_LONG_PAIR = 250, LEAST = 1000 };

static uint64_t blocks;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void)
{
    blocks++;
}

// ---- ours: each algorithm that an IKE proposal may have

static const struct transform all[] = {
#define X(sym, ttype, tid, bits, kw, name) {ttype, tid, bits},
    TRANSFORM_LIST(X)
#undef X
};
enum { ALL = sizeof(all) / sizeof(all[0]) };

static struct proposal ours[PROPOSALS_MAX];

static void own_lists(uint8_t without, bool addke)
{
    memset(ours, 0, sizeof(ours));
    for (unsigned i = 0; i < PROPOSALS_MAX; i++) {
        struct proposal *p = &ours[i];
        p->protocol = PROTO_IKE;
        for (unsigned k = 0; k < ALL; k++)
            if (all[k].type != without && all[k].type != TR_ESN && all[k].id)
                p->t[p->count++] = all[k];
        for (uint8_t type = TR_ADDKE1; addke && type <= TR_ADDKE7; type++)
            p->t[p->count++] = (struct transform){type, TRID_CURVE_25519, 0};
    }
}

// ---- theirs: as much as one datagram holds

static uint8_t body[FIRST_REQUEST_MAX];

static void transform_write(struct writer *w, struct transform t, bool last)
{
    wr_u8(w, last ? 0 : 3);
    wr_u8(w, 0);
    wr_u16(w, t.key_bits ? 12 : 8);
    wr_u8(w, t.type);
    wr_u8(w, 0);
    wr_u16(w, t.id);
    if (t.key_bits) {
        wr_u16(w, 0x800e);
        wr_u16(w, t.key_bits);
    }
}

struct shape {
    const char *what;
    unsigned offers, transforms; // of each
    struct transform t[8];       // over and over
    uint64_t most;
};

static struct slice write_shape(const struct shape *s)
{
    unsigned kinds = 0;
    struct writer w = writer_of(body, sizeof(body));
    while (kinds < 8 && s->t[kinds].type)
        kinds++;
    for (unsigned i = 0; i < s->offers; i++) {
        size_t start = w.len;
        wr_u8(&w, i + 1 < s->offers ? 2 : 0);
        wr_u8(&w, 0);
        wr_u16(&w, 0);
        wr_u8(&w, (uint8_t)(i + 1));
        wr_u8(&w, PROTO_IKE);
        wr_u8(&w, 0);
        wr_u8(&w, (uint8_t)s->transforms);
        for (unsigned k = 0; k < s->transforms; k++)
            transform_write(&w, s->t[k % kinds], k + 1 == s->transforms);
        wr_set_u16(&w, start + 2, (uint16_t)(w.len - start));
    }
    assert_false(w.bad);
    return wr_written(&w);
}

static void assert_cost(const struct shape *s)
{
    static struct offers theirs;
    struct refusal r = {0};
    struct suite suite;
    const struct offer *chosen;
    struct slice in = write_shape(s);
    uint64_t from = blocks;
    assert_int_equal(offers_read(in, &theirs, &r), 0);
    uint64_t read = blocks - from;
    from = blocks;
    assert_false(offers_choose(&theirs, ours, PROPOSALS_MAX, true, &suite, &chosen));
    uint64_t choose = blocks - from;
    printf("%s: %zu octets, %llu basic blocks to read, %llu to choose\n", s->what, in.len,
           (unsigned long long)read, (unsigned long long)choose);
    assert_true(read > LEAST && choose > LEAST); // else the build counts none
    assert_true(read <= (uint64_t)s->offers * (s->transforms + 1) * A_TRANSFORM);
    assert_true(choose <= s->most);
}

static void test_a_strangers_longest_list_costs_little_for_each_pair(void **state)
{
    static const uint64_t pairs = (uint64_t)OFFERS_MAX * PROPOSALS_MAX * A_PAIR;
    static const struct shape shapes[] = {
        {"many with no PRF in common",
         64,
         13,
         {{TR_ENCR, 12, 256}, {TR_PRF, 99, 0}, {TR_INTEG, 12, 0}, {TR_KE, 31, 0}},
         pairs},
        {"many with no group in common",
         64,
         12,
         {{TR_ENCR, 12, 256}, {TR_ENCR, 20, 256}, {TR_PRF, 5, 0}, {TR_INTEG, 12, 0}, {TR_KE, 99, 0}},
         pairs},
        {"more than are looked at", 250, 2, {{TR_ENCR, 28, 0}, {TR_KE, 99, 0}}, pairs},
        {"few as long as one can be",
         3,
         255,
         {{TR_ENCR, 28, 0}, {TR_PRF, 5, 0}, {TR_KE, 98, 0}, {TR_KE, 99, 0}},
         pairs},
    };
    (void)state;
    own_lists(0, false);
    for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        assert_cost(&shapes[i]);
}

// All types are in common, and it does not fit all the same: no method twice (RFC 9370 2.2.1).
static void test_a_list_that_fails_at_the_end_costs_what_ours_is_long(void **state)
{
    static const struct shape shape = {
        "many with one method twice",
        64,
        10,
        {{TR_ENCR, 28, 0}, {TR_PRF, 5, 0}, {TR_KE, 31, 0}, {TR_ADDKE1, 31, 0}, {TR_ADDKE7, 31, 0}},
        (uint64_t)OFFERS_MAX * PROPOSALS_MAX * A_LONG_PAIR};
    (void)state;
    own_lists(TR_KE, true);
    for (unsigned i = 0; i < PROPOSALS_MAX; i++)
        ours[i].t[ours[i].count++] = (struct transform){TR_KE, TRID_CURVE_25519, 0};
    assert_cost(&shape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_strangers_longest_list_costs_little_for_each_pair),
        cmocka_unit_test(test_a_list_that_fails_at_the_end_costs_what_ours_is_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
