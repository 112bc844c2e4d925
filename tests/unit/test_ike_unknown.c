// SPDX-License-Identifier: Apache-2.0
// SPIs that one end does not know (RFC 7296 sections 1.5 and 2.21.4) between two daemons: who has forgotten
// all says so, in clear and once a second, the other one asks and comes back; and strangers get little by it.
// And the CHILD SAs that a peer may have of the same selectors (RFC 9611).
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "ctrl/ike/invalid_spi.h"
#include "ctrl/ike/resources.h"
#include "tests/unit/ike_pair.h"

struct heard { // of what goes from one side to the other
    unsigned clear_spi, clear_ike_spi, others;
    uint8_t last[200];
    size_t last_len;
};

// Datagrams in clear to either side, by their notify.
static int hear(struct pair *p, unsigned number, struct datagram *d)
{
    struct heard *h = p->ctx;
    struct ike_header head;
    (void)number;
    if (header_read(slice_of(d->data, d->len), &head) && head.next == PL_NOTIFY &&
        head.exchange != EX_SA_INIT) {
        uint16_t type = (uint16_t)(d->data[IKE_HEADER_LEN + 6] << 8 | d->data[IKE_HEADER_LEN + 7]);
        h->clear_spi += type == N_INVALID_SPI;
        h->clear_ike_spi += type == N_INVALID_IKE_SPI;
        assert_true(d->len <= sizeof(h->last));
        memcpy(h->last, d->data, d->len);
        h->last_len = d->len;
    } else {
        h->others++;
    }
    return 1;
}

static struct msg_UNKNOWN_SPI unknown(int side, uint32_t spi)
{
    struct msg_UNKNOWN_SPI m = {.spi = spi};
    addr_parse(side ? "10.0.0.2" : "10.0.0.1", &m.local);
    addr_parse(side ? "10.0.0.1" : "10.0.0.2", &m.remote);
    return m;
}

static void tell(struct pair *p, int side, const struct msg_UNKNOWN_SPI *m)
{
    ipc_send(p->s[side].path_ike, MSG_UNKNOWN_SPI, m);
    pair_run(p);
}

// One end is as after a start anew: it has nothing of what was.
static void forget(struct pair *p, int side)
{
    while (p->s[side].ike->sas)
        sa_destroy(p->s[side].ike->sas);
    pair_run(p);
}

static void test_an_end_that_has_forgotten_all_is_found_out(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    struct heard h = {0};
    uint32_t spi = pair_sa(&p->s[0], 0)->child.spi_out;
    forget(p, 1);
    p->ctx = &h;
    p->filter = hear;
    struct msg_UNKNOWN_SPI m = unknown(1, spi);
    tell(p, 1, &m);
    assert_int_equal(h.clear_spi, 1);
    // Side 0 asked, and heard that its IKE SA is not known; it goes on asking, until that is long enough.
    assert_int_equal(h.others, 1);
    assert_int_equal(p->s[0].ike->sa_count, 1);
    pair_wait(p, 400000);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    assert_true(h.clear_ike_spi >= 1);
    pair_free(p);
}

// The one before had said DELETE of it, which was lost, and died before it said so again.
static void test_an_ike_in_the_place_of_another_says_so_beside_an_ike_sa(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    struct heard h = {0};
    p->ctx = &h;
    p->filter = hear;
    ike_follow(p->s[1].ike, 1, 0);
    struct msg_UNKNOWN_SPI m = unknown(1, 0x1234567);
    tell(p, 1, &m);
    assert_int_equal(h.clear_spi, 1);
    pair_free(p);
}

static void test_nothing_is_said_where_there_is_an_ike_sa_or_no_connection(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    struct heard h = {0};
    p->ctx = &h;
    p->filter = hear;
    struct msg_UNKNOWN_SPI m = unknown(1, 0x1234567);
    tell(p, 1, &m);
    assert_int_equal(h.clear_spi, 0);
    forget(p, 1);
    m.remote.a[3] = 99; // of no connection
    tell(p, 1, &m);
    assert_int_equal(h.clear_spi, 0);
    pair_free(p);
}

static void test_much_is_answered_by_little(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    struct heard h = {0};
    forget(p, 1);
    p->ctx = &h;
    p->filter = hear;
    pair_wait(p, 2000);
    for (unsigned i = 0; i < 500; i++) {
        struct msg_UNKNOWN_SPI m = unknown(1, 0x10000 + i);
        tell(p, 1, &m);
    }
    assert_in_range(h.clear_spi, 1, 2); // a second may end meanwhile
    pair_free(p);
}

static void say_hint(struct pair *p, uint32_t spi, size_t data)
{
    uint8_t buf[100];
    struct pb b = pb_of(buf, sizeof(buf));
    uint8_t d[8] = {(uint8_t)(spi >> 24), (uint8_t)(spi >> 16), (uint8_t)(spi >> 8), (uint8_t)spi};
    struct ike_header head = {.next = PL_NOTIFY,
                              .version = IKE_VERSION,
                              .exchange = EX_INFORMATIONAL,
                              .flags = FLAG_INITIATOR,
                              .length = (uint32_t)(IKE_HEADER_LEN + 8 + data)};
    header_write(&b.w, &head);
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_INVALID_SPI, slice_of(d, data));
    struct net_path path = p->s[0].ike->sas->path;
    pair_inject(p, 0, &path, buf, IKE_HEADER_LEN + 8 + data);
    pair_run(p);
}

// A hint is a question to the peer and never more, and one in ten seconds however many come.
static void test_a_hint_is_a_question_and_no_more(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    struct heard h = {0};
    uint32_t spi = pair_sa(&p->s[0], 0)->child.spi_out;
    p->ctx = &h;
    p->filter = hear;
    pair_wait(p, 2000);
    say_hint(p, spi + 1, 4); // of no SA
    pair_wait(p, 2000);
    say_hint(p, spi, 3);
    pair_wait(p, 2000);
    assert_int_equal(h.others, 0);
    for (unsigned i = 0; i < 30; i++) {
        say_hint(p, spi, 4);
        pair_wait(p, 1000);
    }
    assert_in_range(h.others, 2 * 3, 2 * 4); // a question and its answer, each
    pair_assert_one(p);
    pair_free(p);
}

// Who has forgotten it answers nothing: a new IKE SA is begun beside the old one, which has its place before
// the old one's requests have all been sent in vain. One hint alone does not do that, nor do many to one that
// answers.
static void test_one_that_is_forgotten_and_hinted_at_is_made_anew_at_once(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    uint32_t spi = pair_sa(&p->s[0], 0)->child.spi_out;
    forget(p, 1);
    pair_wait(p, 2000);
    say_hint(p, spi, 4);
    pair_wait(p, 15000); // asked three times by now
    assert_null(p->s[1].ike->sas);
    say_hint(p, spi, 4);
    pair_wait(p, 1000);
    assert_int_equal(p->s[1].ike->sa_count, 1);
    assert_int_equal(p->s[1].ike->sas->state, SA_ESTABLISHED);
    assert_int_equal(p->s[0].ike->sas->state, SA_ESTABLISHED);
    assert_non_null(child_by_spi_out(p->s[0].ike->sas, p->s[1].ike->sas->children->spi_in));
    pair_wait(p, 200000);
    pair_assert_one(p);
    pair_free(p);
}

static void test_requests_of_unknown_ike_sas_are_answered_once_a_second(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    struct heard h = {0};
    uint8_t buf[60] = {0};
    struct writer w = writer_of(buf, sizeof(buf));
    struct net_path path = p->s[1].ike->sas->path;
    struct ike_header head = {.spi_i = 5,
                              .spi_r = 6,
                              .next = PL_SK,
                              .version = IKE_VERSION,
                              .exchange = EX_CREATE_CHILD,
                              .flags = FLAG_INITIATOR,
                              .mid = 77,
                              .length = sizeof(buf)};
    header_write(&w, &head);
    p->ctx = &h;
    p->filter = hear;
    pair_wait(p, 2000);
    for (unsigned i = 0; i < 100; i++) {
        pair_inject(p, 1, &path, buf, sizeof(buf));
        pair_run(p);
    }
    assert_in_range(h.clear_ike_spi, 1, 2);
    struct ike_header got;
    assert_true(header_read(slice_of(h.last, h.last_len), &got));
    assert_true(got.spi_i == 5 && got.spi_r == 6 && got.mid == 77 && got.exchange == EX_CREATE_CHILD &&
                got.flags == FLAG_RESPONSE);
    h.clear_ike_spi = 0;
    pair_wait(p, 2000);
    buf[19] |= FLAG_RESPONSE; // nobody answers an answer
    pair_inject(p, 1, &path, buf, sizeof(buf));
    pair_run(p);
    assert_int_equal(h.clear_ike_spi, 0);
    pair_free(p);
}

// --- RFC 9611 ---

static void test_a_peer_has_so_many_sas_of_the_same_selectors(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, NULL);
    struct ike_sa *sa = p->s[1].ike->sas;
    uint8_t buf[32];
    struct pb b = pb_of(buf, sizeof(buf));
    struct payloads with, without = {0};
    struct refusal r = {0};
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_SA_RESOURCE_INFO, slice_of("cpu 3", 5));
    assert_int_equal(payloads_read(b.first, wr_written(&b.w), &with, &r), 0);
    for (unsigned i = 1; i < 40; i++) {
        struct child_sa *c = child_new(sa, sa->children->conn, sa->children->cfg);
        assert_non_null(c);
        assert_int_equal(resources_full(c, &with), i >= 16);
        assert_false(resources_full(c, &without));
    }
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_end_that_has_forgotten_all_is_found_out),
        cmocka_unit_test(test_an_ike_in_the_place_of_another_says_so_beside_an_ike_sa),
        cmocka_unit_test(test_nothing_is_said_where_there_is_an_ike_sa_or_no_connection),
        cmocka_unit_test(test_much_is_answered_by_little),
        cmocka_unit_test(test_a_hint_is_a_question_and_no_more),
        cmocka_unit_test(test_one_that_is_forgotten_and_hinted_at_is_made_anew_at_once),
        cmocka_unit_test(test_requests_of_unknown_ike_sas_are_answered_once_a_second),
        cmocka_unit_test(test_a_peer_has_so_many_sas_of_the_same_selectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
