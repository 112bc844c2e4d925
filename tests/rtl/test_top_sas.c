// SPDX-License-Identifier: Apache-2.0
// The whole card at its bus: what the host may change of an SA that works (deadlines, leases, ends), and what
// not.
#include <string.h>

#include "tests/rtl/top_rig.h"

static uint64_t freerun(void)
{
    uint64_t low = host_read(&h, ESPC_REG_FREERUN_LO);
    return low | (uint64_t)host_read(&h, ESPC_REG_FREERUN_HI) << 32;
}

static uint16_t add_with_deadline(uint8_t dir, uint32_t slot, uint64_t limit, uint64_t deadline)
{
    struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .dir = dir, .sa_index = slot, .generation = 1};
    struct espc_sa_blob blob = esp_blob(slot);
    blob.seq_limit = limit;
    blob.deadline = deadline;
    return sa_command(&sq, add, &blob, NULL);
}

static uint16_t lease(uint32_t slot, uint64_t limit, uint64_t deadline)
{
    struct espc_sa_command c = {
        .op = ESPC_SA_OP_LEASE, .sa_index = slot, .generation = 1, .seq_limit = limit, .deadline = deadline};
    return sa_command(&sq, c, NULL, NULL);
}

enum { LONG = 1000000 };

static void test_past_its_deadline_an_sa_stops_and_says_so(void **state)
{
    (void)state;
    struct espc_sa_result r;
    struct espc_sa_command c = {.op = ESPC_SA_OP_DELETE, .sa_index = 1, .generation = 1};
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1), other = d;
    other.sa_index = 2;
    assert_int_equal(add_with_deadline(0, 1, 100, freerun() + LONG), ESPC_STATUS_OK);
    assert_int_equal(add_with_deadline(0, 2, 100, 0), ESPC_STATUS_OK);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    card_model_freerun_add(h.card, LONG);
    for (unsigned i = 0; i < 3; i++) {
        struct espc_completion done = submit(&q1, &d);
        assert_int_equal(done.status, ESPC_STATUS_LEASE_EXPIRED);
        assert_int_equal(done.out_len, 0);
        assert_int_equal(done.seq, 0);
        assert_int_equal(host_at(&h, d.dst_iova)[0], i ? 0xee : 0x45);
        memset(host_at(&h, d.dst_iova), 0xee, d.dst_cap);
    }
    assert_int_equal(submit(&q1, &other).status, ESPC_STATUS_OK);  // that one has none
    assert_int_equal(lease(1, 200, 0), ESPC_STATUS_LEASE_EXPIRED); // nothing revives it
    assert_int_equal(lease(1, 100, UINT64_MAX - 1), ESPC_STATUS_LEASE_EXPIRED);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_LEASE_EXPIRED);
    assert_int_equal(host_counter(&h, 32 + ESPC_STATUS_LEASE_EXPIRED), 4);
    assert_int_equal(sa_command(&sq, c, NULL, &r), ESPC_STATUS_OK);
    assert_int_equal(r.last_seq, 1);
    assert_int_equal(r.packets, 1);
    assert_int_equal(r.drops, 4);
}

static void test_lease_moves_the_deadline_and_leaves_the_mark(void **state)
{
    (void)state;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    uint64_t from = freerun();
    assert_int_equal(add_with_deadline(0, 1, 17, from + LONG), ESPC_STATUS_OK); // numbers 1 ... 16
    for (unsigned i = 1; i <= 15; i++) {
        assert_int_equal(lease(1, 17, from + (i + 2) * LONG), ESPC_STATUS_OK);
        card_model_freerun_add(h.card, LONG);
        struct espc_completion c = submit(&q1, &d);
        assert_int_equal(c.status, ESPC_STATUS_OK);
        assert_int_equal(!!(c.flags & ESPC_COMPLETION_FLAGS_LEASE_LOW_MASK), i >= 13); // of 16: a quarter
    }
    assert_int_equal(lease(1, 16, from + 100ull * LONG), ESPC_STATUS_BAD_LEASE);
    assert_int_equal(lease(1, 30, 0), ESPC_STATUS_OK); // no deadline any more
    card_model_freerun_add(h.card, 1000ull * LONG);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    assert_int_equal(lease(1, 30, freerun() + LONG), ESPC_STATUS_OK);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    card_model_freerun_add(h.card, LONG);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_LEASE_EXPIRED);
}

static void test_deadlines_are_for_outbound_sas_and_leases(void **state)
{
    (void)state;
    struct espc_sa_command query = {.op = ESPC_SA_OP_QUERY, .sa_index = 1, .generation = 1, .deadline = 1};
    assert_int_equal(add_with_deadline(1, 1, 0, 5), ESPC_STATUS_BAD_FIELD);
    assert_int_equal(add_with_deadline(1, 1, 0, 0), ESPC_STATUS_OK);
    query.dir = 1;
    assert_int_equal(sa_command(&sq, query, NULL, NULL), ESPC_STATUS_BAD_DESC);
    query.deadline = 0;
    assert_int_equal(sa_command(&sq, query, NULL, NULL), ESPC_STATUS_OK);
}

static uint16_t move_ends(uint8_t dir, uint32_t slot, const struct espc_sa_blob *ends,
                          struct espc_sa_result *r)
{
    struct espc_sa_command c = {.op = ESPC_SA_OP_ENDPOINT, .dir = dir, .sa_index = slot, .generation = 1};
    return sa_command(&sq, c, ends, r);
}

static struct espc_sa_blob new_ends(void)
{
    struct espc_sa_blob b = {.flags = ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK,
                             .outer = ESPC_FAMILY_IPV4,
                             .src = {203, 0, 113, 9},
                             .dst = {198, 51, 100, 77},
                             .sport = 61000,
                             .dport = 62000};
    return b;
}

// The key, the numbers and the window stay; what leaves from then on has the new ends.
static void test_endpoint_moves_an_sa_and_nothing_else_of_it(void **state)
{
    (void)state;
    struct espc_sa_blob ends = new_ends();
    struct espc_sa_result r;
    add_sa(0, 1, 1);
    add_sa(1, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1), back = packet(ESPC_PKT_OP_DECAP, 200, 2);
    struct espc_completion c = submit(&q1, &d);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_int_equal(move_ends(0, 1, &ends, &r), ESPC_STATUS_OK);
    assert_int_equal(r.last_seq, 1);
    assert_int_equal(r.packets, 1);
    c = submit(&q1, &d);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_int_equal(c.seq, 2);
    uint8_t *o = host_at(&h, d.dst_iova);
    assert_memory_equal(o + 12, ends.src, 4);
    assert_memory_equal(o + 16, ends.dst, 4);
    assert_int_equal(o[20] << 8 | o[21], ends.sport);
    assert_int_equal(o[22] << 8 | o[23], ends.dport);
    esp_check(o, c.out_len, c.seq, 1, host_at(&h, d.src_iova), 60); // the same key
    back.src_len = c.out_len;
    memcpy(host_at(&h, back.src_iova), o, c.out_len);
    assert_int_equal(submit(&q2, &back).status, ESPC_STATUS_SA_MISMATCH); // the other end is where it was
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_OK);
    c = submit(&q2, &back);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_int_equal(c.flags & ESPC_COMPLETION_FLAGS_SRC_CHANGED_MASK, 0);
    ends.src[3]++; // it moves again, and the window is the old one
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_OK);
    assert_int_equal(r.packets, 1);
    c = submit(&q2, &back);
    assert_int_equal(c.status, ESPC_STATUS_REPLAY_SEEN);
    c = submit(&q1, &d);
    memcpy(host_at(&h, back.src_iova), o, c.out_len);
    c = submit(&q2, &back);
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_true(c.flags & ESPC_COMPLETION_FLAGS_SRC_CHANGED_MASK);
}

static void test_endpoint_is_refused_by_field_and_by_place(void **state)
{
    (void)state;
    struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .dir = 1, .sa_index = 2, .generation = 1};
    struct espc_sa_blob ends = new_ends(), twin = esp_blob(1);
    struct espc_sa_result r;
    assert_int_equal(move_ends(0, 1, &ends, &r), ESPC_STATUS_SA_INVALID);
    add_sa(1, 1, 1);
    ends.dport = 0;
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_BAD_FIELD);
    assert_int_equal(r.refused_offset, offsetof(struct espc_sa_blob, dport));
    ends = new_ends();
    ends.outer = ESPC_FAMILY_IPV6;
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_BAD_FIELD);
    assert_int_equal(r.refused_offset, offsetof(struct espc_sa_blob, outer));
    ends = new_ends();
    memcpy(twin.dst, ends.dst, 4); // another SA with this SPI is there already
    assert_int_equal(sa_command(&sq, add, &twin, NULL), ESPC_STATUS_OK);
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_SPI_EXISTS);
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1), back = packet(ESPC_PKT_OP_DECAP, 200, 2);
    struct espc_completion c = submit(&q1, &d);
    back.src_len = c.out_len;
    memcpy(host_at(&h, back.src_iova), host_at(&h, d.dst_iova), c.out_len);
    c = submit(&q2, &back); // and the refused one is where it was
    assert_int_equal(c.status, ESPC_STATUS_OK);
    assert_int_equal(c.sa_index, 1);
    struct espc_sa_command del = {.op = ESPC_SA_OP_DELETE, .dir = 1, .sa_index = 2, .generation = 1};
    assert_int_equal(sa_command(&sq, del, NULL, NULL), ESPC_STATUS_OK);
    assert_int_equal(move_ends(1, 1, &ends, &r), ESPC_STATUS_OK); // now there is room
}

// RFC 6864: with DF any, here 0; without, no two SAs share a counter that begins at the same place.
static void test_identification_is_the_number_and_the_sas_offset(void **state)
{
    (void)state;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    uint8_t *in = host_at(&h, d.src_iova), *o = host_at(&h, d.dst_iova);
    for (uint32_t slot = 1; slot <= 2; slot++) {
        struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .sa_index = slot, .generation = 1};
        struct espc_sa_blob blob = esp_blob(slot);
        blob.id_offset = (uint16_t)(0xfffe * slot);
        assert_int_equal(sa_command(&sq, add, &blob, NULL), ESPC_STATUS_OK);
        d.sa_index = slot;
        for (unsigned i = 1; i <= 6; i++) {
            in[6] = i & 1 ? 0x40 : 0;
            assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
            assert_int_equal(o[4] << 8 | o[5], i & 1 ? 0 : (uint16_t)(i + blob.id_offset));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CARD(test_past_its_deadline_an_sa_stops_and_says_so),
        CARD(test_lease_moves_the_deadline_and_leaves_the_mark),
        CARD(test_deadlines_are_for_outbound_sas_and_leases),
        CARD(test_endpoint_moves_an_sa_and_nothing_else_of_it),
        CARD(test_endpoint_is_refused_by_field_and_by_place),
        CARD(test_identification_is_the_number_and_the_sas_offset),
    };
    return at_each_width(tests, sizeof(tests) / sizeof(tests[0]));
}
