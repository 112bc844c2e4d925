// SPDX-License-Identifier: Apache-2.0
// Messages at the wrong time or with the wrong content, sent with the right keys: every exchange in every
// state, payloads inside SK, DELETEs in any order, answers nobody asked for, limits for strangers.
#include <setjmp.h>
#include <stdarg.h>
#include <malloc.h>
#include <stdio.h>
#include <cmocka.h>

#include "ctrl/ike/exchange.h"
#include "tests/unit/ike_pair.h"

static struct ike_sa *only(struct pair *p, int side)
{
    return p->s[side].ike->sas;
}

static struct net_path toward(struct ike_sa *from)
{
    struct net_path p = from->path;
    struct addr a = p.local;
    uint16_t port = p.local_port;
    p.local = p.remote;
    p.local_port = p.remote_port;
    p.remote = a;
    p.remote_port = port;
    return p;
}

// A message of `side`'s SA, sealed with its keys and delivered to the other end.
static void forge(struct pair *p, int side, uint8_t exchange, bool response, uint32_t mid, const struct pb *b)
{
    struct ike_sa *sa = only(p, side);
    struct net_path path = toward(sa);
    uint8_t *msg;
    size_t len;
    assert_int_equal(seal(sa, exchange, response, mid, b, &msg, &len), 0);
    pair_inject(p, 1 - side, &path, msg, len);
    free(msg);
}

static struct pb empty(void)
{
    static uint8_t buf[4096];
    return pb_of(buf, sizeof(buf));
}

static struct pair *established(void)
{
    struct pair *p = pair_new(NULL);
    pair_simple(p);
    pair_result(p, 0, pair_initiate(p, 0, "c"), true);
    return p;
}

static int lose_from(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    return number < *(unsigned *)p->ctx;
}

static void test_half_open_sa_takes_nothing_but_ike_auth(void **state)
{
    (void)state; // CVE-2014-2338, CVE-2021-45079
    struct pair *p = pair_new(NULL);
    unsigned from = 2;
    pair_simple(p);
    p->filter = lose_from;
    p->ctx = &from;
    pair_initiate(p, 0, "c"); // IKE_AUTH is lost: the responder is half-open, the initiator has its keys
    assert_non_null(only(p, 0)->sk_out);
    for (int round = 0; round < 2; round++) { // the second with the responder's keys derived
        for (unsigned x = 0; x < 256; x++) {
            for (uint32_t mid = 0; mid < 3; mid++) {
                struct pb b = empty();
                if (x == EX_SA_INIT || (x == EX_AUTH && mid == 1))
                    continue;
                pb_delete(&b, PROTO_IKE, NULL, 0);
                forge(p, 0, (uint8_t)x, false, mid, &b);
                forge(p, 0, (uint8_t)x, true, mid, &b);
                assert_int_equal(p->s[1].ike->sa_count, 1);
                assert_int_equal(only(p, 1)->state, SA_CONNECTING);
            }
        }
        uint8_t junk[80] = {0};
        struct ike_header h = {only(p, 0)->spi_i, only(p, 0)->spi_r, PL_SK, IKE_VERSION,
                               EX_AUTH,           FLAG_INITIATOR,    1,     80};
        struct writer w = writer_of(junk, sizeof(junk));
        header_write(&w, &h);
        junk[31] = 52;
        struct net_path path = toward(only(p, 0));
        pair_inject(p, 1, &path, junk, sizeof(junk)); // makes it derive, and is then refused
        assert_int_equal(only(p, 1)->state, SA_CONNECTING);
        assert_non_null(only(p, 1)->sk_in);
    }
    p->filter = NULL;
    pair_wait(p, 5000); // the true IKE_AUTH still gets through
    assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
    pair_free(p);
}

static void test_ike_auth_without_identity_or_proof_authenticates_nobody(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct pair *p = pair_new(NULL);
        unsigned from = 2;
        uint8_t id[] = {ID_FQDN, 0, 0, 0, 'a', '.', 't', 'e', 's', 't'}, proof[32] = {1};
        pair_simple(p);
        p->filter = lose_from;
        p->ctx = &from;
        pair_initiate(p, 0, "c");
        struct pb b = empty();
        if (kind == 1 || kind == 3)
            pb_payload(&b, PL_IDI, slice_of(id, sizeof(id)));
        if (kind == 2 || kind == 3)
            pb_auth(&b, 2, slice_of(proof, sizeof(proof)));
        forge(p, 0, EX_AUTH, false, 1, &b);
        struct pb c = empty(); // what is refused stays refused, and keeps nothing open
        pb_delete(&c, PROTO_IKE, NULL, 0);
        forge(p, 0, EX_INFORMATIONAL, false, 2, &c);
        assert_int_equal(only(p, 1)->state, SA_REFUSED);
        assert_int_equal(p->s[1].ike->half_open_count, 1);
        p->filter = pair_lose_all;
        pair_wait(p, 6000);
        assert_int_equal(p->s[1].ike->sa_count, 0);
        assert_int_equal(p->s[1].ike_up + p->s[1].sa_count, 0);
        pair_free(p);
    }
}

static void test_established_sa_takes_no_other_exchange_and_no_other_message_id(void **state)
{
    (void)state;
    struct pair *p = established();
    for (unsigned x = 0; x < 256; x++) {
        for (uint32_t mid = 0; mid < 5; mid++) {
            struct pb b = empty();
            bool good = mid == 2 && (x == EX_CREATE_CHILD || x == EX_INFORMATIONAL || x == EX_FOLLOWUP_KE);
            if (x == EX_SA_INIT || good)
                continue;
            pb_delete(&b, PROTO_IKE, NULL, 0);
            forge(p, 0, (uint8_t)x, false, mid, &b);
            forge(p, 0, (uint8_t)x, true, mid, &b);
            assert_int_equal(only(p, 1)->state, SA_ESTABLISHED);
        }
    }
    assert_int_equal(only(p, 1)->in_mid, 2);
    pair_free(p);
}

static void in_fragments(struct conn_config *c, int side)
{
    (void)side;
    c->fragmentation = FRAGMENTATION_YES;
}

// The peer asks again, and is heard as if it had not asked before.
static void test_a_reply_that_cannot_be_built_leaves_room_for_the_request_again(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_REPLACE, in_fragments);
    struct pb b = empty();
    unsigned before = p->sent;
    p->s[1].ike->set.fragment_size = 40; // no fragment fits into that
    forge(p, 0, EX_INFORMATIONAL, false, 2, &b);
    assert_int_equal(p->sent, before);
    assert_null(only(p, 1)->passive);
    assert_int_equal(only(p, 1)->in_mid, 2);
    p->s[1].ike->set.fragment_size = 0;
    forge(p, 0, EX_INFORMATIONAL, false, 2, &b);
    assert_int_equal(p->sent, before + 1);
    assert_int_equal(only(p, 1)->in_mid, 3);
    pair_free(p);
}

static uint16_t refused_with; // the error notify of the last response to side 0

static int read_refusal(struct pair *p, unsigned number, struct datagram *d)
{
    static uint8_t plain[4096];
    struct ike_header h;
    struct payloads pl;
    struct refusal r = {0};
    struct notify n;
    size_t len;
    (void)number;
    assert_true(header_read(slice_of(d->data, d->len), &h) && d->len <= sizeof(plain));
    if (d->to == 1 || !(h.flags & FLAG_RESPONSE))
        return 0; // requests of the ends' own are lost
    assert_int_equal(
        cr_sk_open(only(p, 0)->sk_in, d->data, IKE_HEADER_LEN + PAYLOAD_HEADER_LEN, d->len, plain, &len), 0);
    assert_int_equal(payloads_read(d->data[IKE_HEADER_LEN], slice_of(plain, len), &pl, &r), 0);
    refused_with = notify_first_error(&pl, &n) ? n.type : 0;
    return 0;
}

// RFC 7296 2.25: what the end cannot do now it may do later, and the peer must not take it for good.
static void test_a_child_asked_for_at_the_wrong_moment_is_put_off_with_temporary_failure(void **state)
{
    (void)state;
    for (int moment = 0; moment < 2; moment++) {
        struct pair *p = established();
        uint8_t nonce[32] = {1};
        struct pb b = empty();
        p->filter = read_refusal;
        if (moment == 0) { // it rekeys its IKE SA
            struct msg_REKEY m = {.req = 7, .conn = "t"};
            ipc_send(p->s[1].ctl_ike, MSG_REKEY, &m);
            pair_run(p);
            assert_int_equal(p->s[1].ike->sa_count, 2); // and the one that is to be
        } else {                                        // it deletes it
            pair_terminate(p, 1, NULL, false);
            assert_int_equal(only(p, 1)->state, SA_DELETING);
        }
        pb_payload(&b, PL_NONCE, slice_of(nonce, sizeof(nonce)));
        refused_with = 0;
        forge(p, 0, EX_CREATE_CHILD, false, 2, &b);
        assert_int_equal(refused_with, N_TEMPORARY_FAILURE);
        pair_free(p);
    }
}

static void test_own_messages_thrown_back_are_dropped(void **state)
{
    (void)state;
    struct pair *p = established();
    struct ike_sa *sa = only(p, 0);
    struct pb b = empty();
    uint8_t *msg;
    size_t len;
    pb_delete(&b, PROTO_IKE, NULL, 0);
    assert_int_equal(seal(sa, EX_INFORMATIONAL, false, 0, &b, &msg, &len), 0);
    pair_inject(p, 0, &sa->path, msg, len);
    msg[19] ^= FLAG_INITIATOR;
    pair_inject(p, 0, &sa->path, msg, len);
    assert_int_equal(only(p, 0)->state, SA_ESTABLISHED);
    free(msg);
    pair_free(p);
}

static void test_critical_unknown_payload_inside_sk_is_answered_and_the_sa_stays(void **state)
{
    (void)state;
    struct pair *p = established();
    for (unsigned type = 49, mid = 2; type < 256; type += 23, mid++) {
        struct pb b = empty();
        pb_payload(&b, (uint8_t)type, slice_of(NULL, 0));
        b.w.p[1] = 0x80;
        unsigned before = p->sent;
        forge(p, 0, EX_INFORMATIONAL, false, mid, &b);
        assert_int_equal(p->sent, before + 1);
        assert_int_equal(only(p, 1)->state, SA_ESTABLISHED);
        assert_int_equal(only(p, 1)->in_mid, mid + 1);
    }
    pair_free(p);
}

static void test_malformed_payload_inside_sk_ends_the_sa(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct pair *p = established();
        struct pb b = empty();
        uint8_t delete_lie[] = {3, 4, 0, 2, 1, 1, 1, 1}, notify_lie[] = {3, 200, 0, 1};
        if (kind == 0)
            pb_payload(&b, PL_DELETE, slice_of(delete_lie, sizeof(delete_lie)));
        else if (kind == 1)
            pb_payload(&b, PL_NOTIFY, slice_of(notify_lie, sizeof(notify_lie)));
        else if (kind == 2)
            pb_payload(&b, PL_SK, slice_of(NULL, 0));
        else
            pb_payload(&b, PL_VENDOR, slice_of(NULL, 0)), b.w.p[3] = 200;
        forge(p, 0, EX_INFORMATIONAL, false, 2, &b);
        assert_int_equal(p->s[1].ike->sa_count, 0);
        assert_int_equal(pair_live(&p->s[1]), 0);
        pair_free(p);
    }
}

static void test_several_deletes_in_any_order_are_survived(void **state)
{
    (void)state; // CVE-2023-38712, VPP's loop, OpenIKED's double deletes
    for (unsigned order = 0; order < 64; order++) {
        struct pair *p = established();
        uint32_t own = only(p, 0)->children->spi_in, other = only(p, 0)->children->spi_out, many[40];
        struct pb b = empty();
        for (unsigned i = 0; i < 40; i++)
            many[i] = own;
        for (unsigned step = 0, o = order; step < 3; step++, o /= 4) {
            if (o % 4 == 0)
                pb_delete(&b, PROTO_ESP, &own, 1);
            else if (o % 4 == 1)
                pb_delete(&b, PROTO_IKE, NULL, 0);
            else if (o % 4 == 2)
                pb_delete(&b, PROTO_AH, &other, 1);
            else
                pb_delete(&b, PROTO_ESP, many, 40);
        }
        bool end = order % 4 == 1 || order / 4 % 4 == 1 || order / 16 == 1;
        unsigned before = p->sent;
        forge(p, 0, EX_INFORMATIONAL, false, 2, &b);
        assert_int_equal(p->sent, before + 1);
        assert_int_equal(p->s[1].ike->sa_count, !end);
        forge(p, 0, EX_INFORMATIONAL, false, 3, &b); // and once more
        pair_wait(p, 1000);
        pair_free(p);
    }
}

static size_t longest;
static int measure(struct pair *p, unsigned number, struct datagram *d)
{
    (void)p;
    (void)number;
    longest = d->len > longest ? d->len : longest;
    return 1;
}

// No limit of the RFC's: 65 and more are deleted as one is, and the answer names them all.
static void test_deletes_of_many_children_are_all_taken(void **state)
{
    (void)state;
    for (unsigned n = 64; n <= 400; n = n == 64 ? 65 : n == 65 ? 400 : 1000) {
        struct pair *p = established();
        struct ike_sa *sa = only(p, 1);
        uint32_t spis[400];
        struct pb b = empty();
        for (unsigned i = 0; i < n; i++) {
            struct child_sa *c = child_new(sa, sa->conn, &sa->conn->cfg.children[0]);
            c->spi_out = spis[i] = 0x10000 + i;
            c->state = CHILD_INSTALLED;
        }
        pb_delete(&b, PROTO_ESP, spis, n);
        p->filter = measure;
        longest = 0;
        forge(p, 0, EX_INFORMATIONAL, false, 2, &b);
        unsigned left = 0;
        for (struct child_sa *c = sa->children; c; c = c->next)
            left += c->state == CHILD_INSTALLED;
        assert_int_equal(p->s[1].ike->sa_count, 1);
        assert_int_equal(left, 1); // the one that was there before
        assert_true(longest >= 4u * n);
        pair_free(p);
    }
}

static void test_unknown_spis_and_payloads_without_number_keep_the_ike_sa(void **state)
{
    (void)state;
    struct pair *p = established();
    uint32_t spis[900];
    struct pb b = empty();
    for (unsigned i = 0; i < 900; i++)
        spis[i] = i + 1;
    pb_delete(&b, PROTO_ESP, spis, 900);
    forge(p, 0, EX_INFORMATIONAL, false, 2, &b);
    for (unsigned n = 65; n <= MAX_PAYLOADS + 1; n += MAX_PAYLOADS - 64) {
        struct pb many = empty();
        for (unsigned i = 0; i < n; i++)
            pb_payload(&many, PL_VENDOR, slice_of(NULL, 0));
        unsigned before = p->sent;
        forge(p, 0, EX_INFORMATIONAL, false, n == 65 ? 3 : 4, &many);
        assert_int_equal(p->sent, before + 1);
    }
    assert_int_equal(p->s[1].ike->sa_count, 1);
    assert_int_equal(pair_live(&p->s[1]), 1);
    pair_free(p);
}

static void test_the_own_spi_in_an_answer_after_the_end_reaches_nothing(void **state)
{
    (void)state; // CVE-2023-30570
    struct pair *p = established();
    struct ike_sa *sa = only(p, 1);
    struct pb b = empty();
    uint8_t *msg;
    size_t len;
    struct net_path path = toward(sa);
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_NO_PROPOSAL_CHOSEN, slice_of(NULL, 0));
    assert_int_equal(seal(sa, EX_CREATE_CHILD, true, 0, &b, &msg, &len), 0);
    pair_terminate(p, 0, NULL, false);
    pair_inject(p, 0, &path, msg, len);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    free(msg);
    pair_free(p);
}

static void test_create_child_sa_is_declined_and_the_sa_stays(void **state)
{
    (void)state;
    struct pair *p = established();
    for (unsigned proto = 0; proto < 256; proto++) { // CVE-2023-38710: REKEY_SA of any protocol
        struct pb b = empty();
        uint8_t spi[4] = {1, 2, 3, 4};
        pb_notify(&b, (uint8_t)proto, slice_of(spi, 4), N_REKEY_SA, slice_of(NULL, 0));
        forge(p, 0, EX_CREATE_CHILD, false, 2 + proto, &b);
        assert_int_equal(only(p, 1)->in_mid, 3 + proto);
    }
    assert_true(pair_agree(p) && pair_live(&p->s[0]) == 1);
    pair_free(p);
}

// --- an answer that does not fit the question ---

static int meddle_ts(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    if (number == 3) // as if less had been asked for than the answer gives
        only(p, 0)->hs->later->pending->local_ts->t[0].hi[2] = 1;
    return 1;
}

static void test_selectors_wider_than_asked_for_are_not_taken(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    pair_simple(p);
    p->filter = meddle_ts;
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "not within ours"));
    assert_int_equal(p->s[0].sa_count, 0);
    assert_int_equal(pair_live(&p->s[1]), 0); // deleted there too
    assert_int_equal(only(p, 0)->state, SA_ESTABLISHED);
    pair_free(p);
}

static int meddle_id(struct pair *p, unsigned number, struct datagram *d)
{
    (void)d;
    if (number == 3)
        pair_identity(&only(p, 0)->conn->remote_id, "z.test");
    return 1;
}

static void test_another_identity_than_expected_is_refused_though_its_secret_is_right(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    pair_simple(p);
    p->filter = meddle_id;
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "does not match"));
    assert_int_equal(p->s[0].ike_up + p->s[0].sa_count, 0);
    assert_int_equal(p->s[1].ike->sa_count, 0); // it heard AUTHENTICATION_FAILED
    pair_free(p);
}

static void test_a_weaker_connection_does_not_open_a_stronger_one(void **state)
{
    (void)state;
    struct pair *p = pair_new(NULL);
    struct conn_config c;
    pair_simple(p); // at 1 connection t wants AES-256 of a.test
    pair_default_conn(&c, 1);
    c.name = "weak";
    c.remote.id = "w.test";
    pair_proposal(&c.proposals[0], PROTO_IKE, "aes128gcm16 prfsha256 x25519");
    pair_load(p, 1, &c);
    pair_default_conn(&c, 0);
    pair_proposal(&c.proposals[0], PROTO_IKE, "aes128gcm16 prfsha256 x25519");
    pair_load(p, 0, &c);
    pair_result(p, 0, pair_initiate(p, 0, "c"), false);
    assert_non_null(strstr(p->s[0].last_text, "AUTHENTICATION_FAILED"));
    pair_free(p);
}

static void test_an_answer_of_another_exchange_is_not_one(void **state)
{
    (void)state;
    struct pair *p = established();
    unsigned from = p->sent;
    p->filter = lose_from;
    p->ctx = &from;
    exchange_queue(only(p, 0), TASK_LIVENESS, 0);
    pair_run(p);
    struct pb b = empty();
    forge(p, 1, EX_CREATE_CHILD, true, 2, &b);
    assert_non_null(only(p, 0)->request);
    forge(p, 1, EX_INFORMATIONAL, true, 3, &b);
    assert_non_null(only(p, 0)->request);
    forge(p, 1, EX_INFORMATIONAL, true, 2, &b);
    assert_null(only(p, 0)->request);
    pair_free(p);
}

static size_t lengths[8];
static int note_lengths(struct pair *p, unsigned number, struct datagram *d)
{
    lengths[(number - *(unsigned *)p->ctx) % 8] = d->len;
    return 1;
}

static void test_child_deleted_from_both_ends_at_once_is_named_once(void **state)
{
    (void)state; // RFC 7296 1.4.1
    struct pair *p = established();
    unsigned from = p->sent;
    struct msg_TERMINATE m = {.req = 1, .child = "c"};
    p->filter = note_lengths;
    p->ctx = &from;
    ipc_send(p->s[0].ctl_ike, MSG_TERMINATE, &m);
    ipc_send(p->s[1].ctl_ike, MSG_TERMINATE, &m);
    pair_run(p);
    assert_int_equal(p->sent, from + 4);
    assert_int_equal(lengths[0], lengths[1]);      // the requests
    assert_int_equal(lengths[0] - lengths[2], 12); // the answers hold no DELETE
    assert_int_equal(lengths[2], lengths[3]);
    assert_int_equal(pair_live(&p->s[0]) + pair_live(&p->s[1]), 0);
    assert_true(p->s[0].last_ok && p->s[1].last_ok);
    pair_free(p);
}

static void test_a_child_given_up_while_it_is_installed_leaves_path_again(void **state)
{
    (void)state; // DELETE overtakes the keys on their way through another process
    struct pair *p = pair_new(NULL);
    pair_simple(p);
    p->s[0].hold_install = true;
    pair_initiate(p, 0, "c");
    assert_true(p->s[0].held_len > 0);
    pair_terminate(p, 0, NULL, true);
    assert_int_equal(p->s[0].ike->sa_count, 0);
    pair_release(&p->s[0]);
    assert_int_equal(p->s[0].sa_count, 1);
    assert_int_equal(pair_live(&p->s[0]), 0);
    pair_free(p);
}

// What stays for as long as an IKE SA with its CHILD SA does, in `ike`: a hundred thousand of them are held.
// Of two alike, as a block is longer than was asked for where what was left of it could not stand alone.
static size_t less(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void test_an_established_sa_keeps_no_more_than_it_is(void **state)
{
    (void)state;
    struct pair *p = pair_established(UNIQUE_NO, NULL);
    for (int side = 0; side < 2; side++) {
        struct ike_sa *sa = only(p, side);
        struct child_sa *c = sa->children;
        assert_true(sa->own_shared && c->own_shared); // its own name and selectors are there once
        size_t octets = malloc_usable_size(sa) + malloc_usable_size(sa->remote_id) +
                        2 * less(malloc_usable_size(sa->sk_in), malloc_usable_size(sa->sk_out)) +
                        malloc_usable_size(sa->reply) + malloc_usable_size(c) +
                        malloc_usable_size(c->remote_ts);
        assert_null(sa->hs);
        assert_null(sa->request);
        assert_null(sa->vips);
        assert_null(sa->why);
        printf("%zu octets an IKE SA with its CHILD SA\n", octets);
        assert_true(octets <= 1500);
        const struct conn *k = sa->conn;
        assert_true(malloc_usable_size(sa->conn) + malloc_usable_size(k->local_id) +
                        malloc_usable_size(k->remote_id) <=
                    4352); // but for its children and proposals
    }
    pair_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_open_sa_takes_nothing_but_ike_auth),
        cmocka_unit_test(test_ike_auth_without_identity_or_proof_authenticates_nobody),
        cmocka_unit_test(test_established_sa_takes_no_other_exchange_and_no_other_message_id),
        cmocka_unit_test(test_a_reply_that_cannot_be_built_leaves_room_for_the_request_again),
        cmocka_unit_test(test_a_child_asked_for_at_the_wrong_moment_is_put_off_with_temporary_failure),
        cmocka_unit_test(test_own_messages_thrown_back_are_dropped),
        cmocka_unit_test(test_critical_unknown_payload_inside_sk_is_answered_and_the_sa_stays),
        cmocka_unit_test(test_malformed_payload_inside_sk_ends_the_sa),
        cmocka_unit_test(test_several_deletes_in_any_order_are_survived),
        cmocka_unit_test(test_deletes_of_many_children_are_all_taken),
        cmocka_unit_test(test_unknown_spis_and_payloads_without_number_keep_the_ike_sa),
        cmocka_unit_test(test_the_own_spi_in_an_answer_after_the_end_reaches_nothing),
        cmocka_unit_test(test_create_child_sa_is_declined_and_the_sa_stays),
        cmocka_unit_test(test_selectors_wider_than_asked_for_are_not_taken),
        cmocka_unit_test(test_another_identity_than_expected_is_refused_though_its_secret_is_right),
        cmocka_unit_test(test_a_weaker_connection_does_not_open_a_stronger_one),
        cmocka_unit_test(test_an_answer_of_another_exchange_is_not_one),
        cmocka_unit_test(test_child_deleted_from_both_ends_at_once_is_named_once),
        cmocka_unit_test(test_a_child_given_up_while_it_is_installed_leaves_path_again),
        cmocka_unit_test(test_an_established_sa_keeps_no_more_than_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
