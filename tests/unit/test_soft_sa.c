// SPDX-License-Identifier: Apache-2.0
// The software engine's SAs: leases, limits, replay, bursts in order, asynchronous delivery, deletion, what
// the next engine is told, ends that move.
#include "tests/unit/soft_rig.h"

#include <errno.h>
#include <poll.h>

static void test_lease_and_low_mark_and_extension(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 7);
    struct esp_sa *sa;

    p.seq = 100;
    p.seq_limit = 108;
    sa = must_add(f->e, &p);
    make_inner(f->in, 40, 0, 1, &f->seed);
    for (uint64_t s = 100; s < 108; s++) {
        assert_int_equal(rig_encap(f, sa, 40), ESP_STATUS_OK);
        assert_true(f->job.seq == s);
        assert_int_equal(f->job.lease_low, s >= 106); // fewer than 2 of 8 left from 106 on
    }
    assert_int_equal(rig_encap(f, sa, 40), ESP_STATUS_LEASE_END);
    assert_int_equal(f->e->ops->sa_lease(f->e, sa, 108), -EINVAL);
    assert_int_equal(f->e->ops->sa_lease(f->e, sa, 110), 0);
    assert_int_equal(next_event(f->e).type, ESP_EVENT_SA_LEASED);
    assert_int_equal(rig_encap(f, sa, 40), ESP_STATUS_OK);
    assert_true(f->job.seq == 108);
    assert_true(must_delete(f->e, sa).last_seq == 108);
}

static void test_sequence_never_wraps_without_esn(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 8);
    struct esp_sa *sa;

    p.seq = 0xfffffffe;
    sa = must_add(f->e, &p);
    make_inner(f->in, 40, 0, 1, &f->seed);
    assert_int_equal(rig_encap(f, sa, 40), ESP_STATUS_OK);
    assert_int_equal(rig_encap(f, sa, 40), ESP_STATUS_OK);
    assert_true(f->job.seq == 0xffffffff);
    assert_int_equal(rig_encap(f, sa, 40), ESP_STATUS_SEQ_OVERFLOW);
    p.esn = true;
    sa = must_add(f->e, &p);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_encap(f, sa, 40), ESP_STATUS_OK);
    assert_true(f->job.seq == 0x100000000);
}

static void test_limits_soft_and_hard_both_ways(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES256_GCM16, 9),
                         in = make_params(ESP_IN, ESP_ALG_AES256_GCM16, 9);
    struct esp_sa *tx, *free_tx, *rx;
    struct esp_sa_stats st;

    in.soft_bytes = out.soft_bytes = 120;
    in.hard_bytes = out.hard_bytes = 200;
    tx = must_add(f->e, &out);
    rx = must_add(f->e, &in);
    make_inner(f->in, 60, 0, 1, &f->seed);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(rig_encap(f, tx, 60), ESP_STATUS_OK);
        assert_int_equal(f->job.soft_limit, i >= 2);
        assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_OK);
        assert_int_equal(f->job.soft_limit, i >= 2);
    }
    assert_int_equal(rig_encap(f, tx, 60), ESP_STATUS_HARD_LIMIT);
    out.hard_bytes = 0;
    out.seq = 4;
    free_tx = must_add(f->e, &out);
    assert_int_equal(rig_encap(f, free_tx, 60), ESP_STATUS_OK);
    assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_HARD_LIMIT);
    st = must_delete(f->e, rx);
    assert_int_equal(st.packets, 3);
    assert_int_equal(st.bytes, 180);
    assert_int_equal(st.drops, 1);
    assert_int_equal(st.last_seq, 4); // authentic: received, though not passed on
    out.hard_packets = 1;
    tx = must_add(f->e, &out);
    assert_int_equal(rig_encap(f, tx, 60), ESP_STATUS_OK);
    assert_int_equal(rig_encap(f, tx, 60), ESP_STATUS_HARD_LIMIT);
}

static void test_replay_old_seen_and_seed(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 10),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 10);
    struct esp_sa *tx = must_add(f->e, &out), *rx;
    uint8_t packet[40][BUF];
    uint32_t len = 0;

    in.window = 8;
    in.seq = 20;
    in.seen[0] = 1 | 1 << 3; // 20 and 17
    rx = must_add(f->e, &in);
    make_inner(f->in, 60, 0, 1, &f->seed);
    for (int i = 1; i < 40; i++) {
        assert_int_equal(rig_encap(f, tx, 60), ESP_STATUS_OK);
        len = f->job.out_len;
        memcpy(packet[i], f->mid, len);
    }
#define EXPECT(seqno, verdict)                                                                               \
    do {                                                                                                     \
        memcpy(f->mid, packet[seqno], len);                                                                  \
        assert_int_equal(rig_decap(f, len), verdict);                                                        \
        assert_true(f->job.seq == (seqno));                                                                  \
        assert_ptr_equal(f->job.sa, rx);                                                                     \
    } while (0)
    EXPECT(20, ESP_STATUS_REPLAY_SEEN);
    EXPECT(17, ESP_STATUS_REPLAY_SEEN);
    EXPECT(12, ESP_STATUS_REPLAY_OLD);
    EXPECT(13, ESP_STATUS_OK);
    EXPECT(13, ESP_STATUS_REPLAY_SEEN);
    EXPECT(30, ESP_STATUS_OK);
    EXPECT(22, ESP_STATUS_REPLAY_OLD);
    EXPECT(23, ESP_STATUS_OK);
    packet[39][len - 1] ^= 1;
    EXPECT(39, ESP_STATUS_ICV_FAIL);
    EXPECT(24, ESP_STATUS_OK); // the forged number moved nothing
#undef EXPECT
}

static void test_failed_icv_leaves_no_plaintext(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 11),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 11);
    struct esp_sa *tx = must_add(f->e, &out);
    uint32_t len;

    must_add(f->e, &in);
    make_inner(f->in, 600, 0, 1, &f->seed);
    assert_int_equal(rig_encap(f, tx, 600), ESP_STATUS_OK);
    len = f->job.out_len;
    for (uint32_t at = 20; at < len; at++) { // every octet from the SPI on is bound by the ICV or the look-up
        f->mid[at] ^= 0x40;
        memset(f->out, 0, BUF);
        assert_int_not_equal(rig_decap(f, len), ESP_STATUS_OK);
        assert_int_equal(f->job.out_len, 0);
        for (int i = 0; i + 8 <= 600; i++)
            assert_memory_not_equal(f->out + i, f->in + 24, 8);
        f->mid[at] ^= 0x40;
    }
    assert_int_equal(rig_decap(f, len), ESP_STATUS_OK);
}

static void test_delete_waits_for_outstanding_jobs(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 23);
    struct esp_sa *sa = must_add(f->e, &p);
    struct esp_job *job = &f->job, *back,
                   late = {
                       .op = ESP_ENCAP, .sa = sa, .in = f->in, .in_len = 40, .out = f->out, .out_cap = BUF};
    struct esp_job *plate = &late;
    struct esp_event ev;

    make_inner(f->in, 40, 0, 1, &f->seed);
    f->job =
        (struct esp_job){.op = ESP_ENCAP, .sa = sa, .in = f->in, .in_len = 40, .out = f->mid, .out_cap = BUF};
    assert_int_equal(esp_submit(f->e, &job, 1), 1);
    assert_int_equal(f->e->ops->sa_delete(f->e, sa), 0);
    assert_int_equal(f->e->ops->sa_delete(f->e, sa), -EINVAL);
    assert_int_equal(f->e->ops->events(f->e, &ev, 1), 0);
    assert_int_equal(esp_submit(f->e, &plate, 1), 1);
    assert_int_equal(esp_poll(f->e, &back, 1), 1);
    assert_ptr_equal(back, job);
    assert_int_equal(f->e->ops->events(f->e, &ev, 1), 1);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_int_equal(ev.stats.packets, 1);
    assert_int_equal(esp_poll(f->e, &back, 1), 1);
    assert_int_equal(late.status, ESP_STATUS_SA_DRAINING);
}

// Whoever submits looks with arm before he sleeps; no descriptor is written or read for it.
static void test_arm_says_what_waits_and_the_descriptor_stays_quiet(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 24);
    struct esp_sa *sa = must_add(f->e, &p);
    struct esp_job *job = &f->job, *back;
    struct pollfd quiet = {.fd = f->e->fd, .events = POLLIN};
    struct esp_event ev;

    make_inner(f->in, 40, 0, 1, &f->seed);
    f->job =
        (struct esp_job){.op = ESP_ENCAP, .sa = sa, .in = f->in, .in_len = 40, .out = f->mid, .out_cap = BUF};
    assert_false(esp_arm(f->e));
    esp_submit(f->e, &job, 1);
    assert_true(esp_arm(f->e)); // there is more: do not sleep
    assert_int_equal(poll(&quiet, 1, 0), 0);
    assert_int_equal(esp_poll(f->e, &back, 1), 1);
    assert_false(esp_arm(f->e));
    f->e->ops->sa_query(f->e, sa);
    assert_true(esp_arm(f->e));
    assert_int_equal(f->e->ops->events(f->e, &ev, 1), 1);
    assert_false(esp_arm(f->e));
    assert_int_equal(poll(&quiet, 1, 0), 0);
}

static void test_burst_keeps_order_and_bounds(void **state)
{
    enum { N = 1500 };
    struct fixture *f = *state;
    struct esp_sa_params p = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 25);
    struct esp_sa *sa = must_add(f->e, &p);
    struct esp_job *jobs = calloc(N, sizeof(*jobs)), **list = calloc(N, sizeof(struct esp_job *)), *back[N];
    unsigned taken;

    make_inner(f->in, 40, 0, 1, &f->seed);
    for (int i = 0; i < N; i++) {
        jobs[i] = (struct esp_job){
            .op = ESP_ENCAP, .sa = sa, .in = f->in, .in_len = 40, .out = f->mid, .out_cap = BUF};
        list[i] = &jobs[i];
    }
    taken = esp_submit(f->e, list, N);
    assert_true(taken > 0 && taken < N);
    assert_int_equal(esp_submit(f->e, list + taken, 1), 0);
    assert_int_equal(esp_poll(f->e, back, N), taken);
    for (unsigned i = 0; i < taken; i++) {
        assert_ptr_equal(back[i], &jobs[i]);
        assert_true(jobs[i].seq == i + 1);
    }
    free(jobs);
    free(list);
}

static void test_many_sas_are_found(void **state)
{
    enum { N = 3000 };
    struct fixture *f = *state;
    struct esp_sa_params in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 1),
                         out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 1);
    struct esp_sa **rx = calloc(N, sizeof(struct esp_sa *));

    for (uint32_t i = 0; i < N; i++) {
        in.spi = 0xc0000000 + i * 4096;
        rx[i] = must_add(f->e, &in);
    }
    for (uint32_t i = 0; i < N; i += 7) {
        struct esp_sa *tx;
        out.spi = 0xc0000000 + i * 4096;
        tx = must_add(f->e, &out);
        make_inner(f->in, 40, 0, 1, &f->seed);
        assert_int_equal(rig_encap(f, tx, 40), ESP_STATUS_OK);
        assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_OK);
        assert_ptr_equal(f->job.sa, rx[i]);
        must_delete(f->e, rx[i]);
        assert_int_equal(rig_encap(f, tx, 40), ESP_STATUS_OK);
        assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_NO_SA);
        must_delete(f->e, tx);
    }
    free(rx);
}

static void test_handover_states_next_sequence_and_window(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 30),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 30);
    struct esp_sa *tx = must_add(f->e, &out), *rx = must_add(f->e, &in);

    make_inner(f->in, 40, 0, 1, &f->seed);
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(rig_encap(f, tx, 40), ESP_STATUS_OK);
        if (i != 3)
            assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_OK);
    }
    assert_int_equal(f->e->ops->sa_handover(f->e, tx, &out), 0);
    assert_true(out.seq == 6);
    assert_int_equal(f->e->ops->sa_handover(f->e, rx, &in), 0);
    assert_true(in.seq == 5);
    assert_true(in.seen[0] == 0x1b); // 5 4 - 2 1
    assert_int_equal(f->e->ops->sa_handover(f->e, rx, &out), -EINVAL);
}

static void test_deleted_sa_states_exactly_where_the_next_one_starts(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 31),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 31);
    struct esp_sa *tx = must_add(f->e, &out), *rx = must_add(f->e, &in);
    struct esp_event ev;

    make_inner(f->in, 40, 0, 1, &f->seed);
    for (int i = 1; i <= 5; i++) {
        assert_int_equal(rig_encap(f, tx, 40), ESP_STATUS_OK);
        if (i != 3)
            assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_OK);
    }
    assert_int_equal(f->e->ops->sa_delete(f->e, tx), 0);
    ev = next_event(f->e);
    assert_int_equal(ev.type, ESP_EVENT_SA_DELETED);
    assert_true(ev.next.seq == 6);
    assert_int_equal(f->e->ops->sa_delete(f->e, rx), 0);
    ev = next_event(f->e);
    assert_true(ev.next.seq == 5);
    assert_true(ev.next.seen[0] == 0x1b); // 5 4 - 2 1
}

static void test_endpoint_of_an_outbound_sa_moves_and_the_number_goes_on(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params p = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 32);
    struct esp_endpoint to = {
        .udp_encap = true, .src = {10, 9, 9, 1}, .dst = {10, 9, 9, 2}, .sport = 4500, .dport = 61000};
    struct esp_sa *sa = must_add(f->e, &p);
    struct esp_error err = {0};

    make_inner(f->in, 40, 0, 1, &f->seed);
    assert_int_equal(rig_encap(f, sa, 40), ESP_STATUS_OK);
    assert_int_equal(f->mid[9], 50);
    assert_int_equal(f->e->ops->sa_endpoint(f->e, sa, &to, &err), 0);
    assert_int_equal(rig_encap(f, sa, 40), ESP_STATUS_OK);
    assert_int_equal(f->job.seq, 2);
    assert_int_equal(f->mid[9], 17);
    assert_memory_equal(f->mid + 12, "\x0a\x09\x09\x01\x0a\x09\x09\x02", 8);
    assert_int_equal(get_be16(f->mid + 22), 61000);
    memcpy(f->out, f->mid, 20);
    ip_checksum(f->out);
    assert_memory_equal(f->out, f->mid, 20);
    to.dport = 0;
    assert_int_equal(f->e->ops->sa_endpoint(f->e, sa, &to, &err), -EINVAL);
    assert_string_equal(err.field, "dport");
}

static void test_endpoint_of_an_inbound_sa_moves_and_the_window_stays(void **state)
{
    struct fixture *f = *state;
    struct esp_sa_params out = make_params(ESP_OUT, ESP_ALG_AES128_GCM16, 33),
                         in = make_params(ESP_IN, ESP_ALG_AES128_GCM16, 33), third = in;
    struct esp_endpoint to = {.src = {192, 0, 2, 1}, .dst = {10, 9, 9, 2}};
    struct esp_sa *tx = must_add(f->e, &out), *rx = must_add(f->e, &in);
    struct esp_error err = {0};

    make_inner(f->in, 40, 0, 1, &f->seed);
    assert_int_equal(rig_encap(f, tx, 40), ESP_STATUS_OK);
    assert_int_equal(rig_decap(f, f->job.out_len), ESP_STATUS_OK);
    assert_int_equal(f->e->ops->sa_endpoint(f->e, rx, &to, &err), 0);
    assert_int_equal(rig_decap(f, f->job.in_len), ESP_STATUS_SA_MISMATCH);
    memcpy(f->mid + 16, to.dst, 4);
    ip_checksum(f->mid);
    assert_int_equal(rig_decap(f, f->job.in_len), ESP_STATUS_REPLAY_SEEN);
    must_add(f->e, &third); // its old place is free
    memcpy(to.dst, third.dst, 4);
    assert_int_equal(f->e->ops->sa_endpoint(f->e, rx, &to, &err), -EEXIST);
}

#define T(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_lease_and_low_mark_and_extension),
        T(test_sequence_never_wraps_without_esn),
        T(test_limits_soft_and_hard_both_ways),
        T(test_replay_old_seen_and_seed),
        T(test_failed_icv_leaves_no_plaintext),
        T(test_delete_waits_for_outstanding_jobs),
        T(test_arm_says_what_waits_and_the_descriptor_stays_quiet),
        T(test_burst_keeps_order_and_bounds),
        T(test_many_sas_are_found),
        T(test_handover_states_next_sequence_and_window),
        T(test_deleted_sa_states_exactly_where_the_next_one_starts),
        T(test_endpoint_of_an_outbound_sa_moves_and_the_number_goes_on),
        T(test_endpoint_of_an_inbound_sa_moves_and_the_window_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
