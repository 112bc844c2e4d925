// SPDX-License-Identifier: Apache-2.0
// The whole card at its bus: quiet, off and on again, reset, zeroised; no key stays behind. Waves.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/rtl/top_rig.h"

static void test_quiesce_stops_fetching_until_it_is_lifted(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    struct espc_completion c;
    host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK | ESPC_CTRL_QUIESCE_MASK);
    queue_put(&q1, &d);
    queue_ring(&q1);
    host_idle(&h);
    assert_true(status() & DRAINED);
    assert_false(queue_poll(&q1, &c));
    host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK);
    queue_wait(&q1, &c);
    assert_int_equal(c.status, ESPC_STATUS_OK);
}

static void test_disabled_queue_finishes_its_work_and_starts_afresh(void **state)
{
    (void)state;
    struct espc_completion c;
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 1400, 1);
    queue_put(&q2, &d);
    queue_put(&q2, &d);
    queue_ring(&q2);
    card_model_step(h.card, 4);
    host_write(&h, ESPC_REG_QUEUE_CTRL(2), 0);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_STATUS(2)), ESPC_QUEUE_STATUS_ACTIVE_MASK);
    host_write(&h, ESPC_REG_QUEUE_CQ_BASE_LO(2), 0x1000); // still in use
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CQ_BASE_LO(2)), (uint32_t)q2.cq);
    host_write(&h, ESPC_REG_QUEUE_CTRL(2), 1);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CTRL(2)), 0);
    host_idle(&h);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_STATUS(2)), 0);
    assert_true(queue_poll(&q2, &c));
    host_write(&h, ESPC_REG_DOORBELL_SQ_TAIL(2), 99); // a disabled queue has no doorbell
    host_idle(&h);
    assert_false(status() & FATAL);
    queue_open(&q2, &h, 2, 2, 2, 3);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_SQ_HEAD(2)), 0);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CQ_TAIL(2)), 0);
    assert_int_equal(submit(&q2, &d).status, ESPC_STATUS_SA_INVALID);
    assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CQ_TAIL(2)), 1);
}

static void test_reset_under_load_forgets_everything(void **state)
{
    (void)state;
    for (unsigned delay = 0; delay < 400; delay += 23) {
        struct espc_packet_desc d;
        add_sa(0, 1, 1);
        for (unsigned i = 0; i < 12; i++) {
            d = packet(ESPC_PKT_OP_ENCAP, 200, i);
            queue_put(&q1, &d);
        }
        queue_ring(&q1);
        card_model_step(h.card, delay);
        host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK | ESPC_CTRL_ENABLE_MASK);
        assert_false(status() & READY);
        host_idle(&h);
        assert_int_equal(status(), READY | FEATURES_OK | DRAINED | ZEROIZED);
        assert_int_equal(host_read(&h, ESPC_REG_EPOCH), 0);
        assert_int_equal(host_read(&h, ESPC_REG_CTRL), 0);
        assert_int_equal(host_read(&h, ESPC_REG_QUEUE_CTRL(1)), 0);
        assert_int_equal(host_read(&h, ESPC_REG_FEATURES_ACCEPTED), 0);
        host_forget(&h);
        host_enable(&h);
        queue_open(&sq, &h, 0, 3, 3, 0);
        queue_open(&q1, &h, 1, 4, 5, 1);
        d = packet(ESPC_PKT_OP_ENCAP, 60, 77);
        assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_SA_INVALID); // the slot is empty
    }
}

static unsigned salts_inside(void)
{
    struct espc_sa_blob b = esp_blob(1);
    return card_model_find(h.card, b.salt, sizeof b.salt);
}

// The key's halves, wherever they stand: schedules start with them.
static unsigned keys_inside(void)
{
    struct espc_sa_blob b = esp_blob(1);
    return card_model_find(h.card, b.key, 16) + card_model_find(h.card, b.key + 16, 16);
}

// The allocator gives the model memory that held keys before: what it finds must be the design's own.
static void test_new_card_on_memory_with_old_keys_shows_none(void **state)
{
    (void)state;
    struct espc_sa_blob b = esp_blob(1);
    enum { BLOCKS = 1024, SIZE = 16384 };
    unsigned char *p[BLOCKS];
    host_close(&h);
    for (unsigned i = 0; i < BLOCKS; i++) {
        p[i] = malloc(SIZE);
        assert_non_null(p[i]);
        for (size_t at = 0; at < SIZE; at += 16)
            memcpy(p[i] + at, b.key, 16);
        __asm__ volatile("" : : "r"(p[i]) : "memory"); // the writes are meant
    }
    for (unsigned i = 0; i < BLOCKS; i++)
        free(p[i]);
    open_card(NULL);
    assert_int_equal(keys_inside(), 0);
}

static void test_no_key_stays_after_delete_reset_zeroize_and_fatal(void **state)
{
    (void)state;
    struct espc_sa_command del = {.op = ESPC_SA_OP_DELETE, .sa_index = 1, .generation = 1};
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    unsigned salts = salts_inside(); // four octets may stand there by chance
    for (unsigned way = 0; way < 5; way++) {
        add_sa(0, 1, 1);
        add_sa(1, 1, 1);
        assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
        host_idle(&h);
        assert_true(keys_inside() >= 4); // both halves, in both directions
        assert_true(salts_inside() >= salts + 2);
        switch (way) {
        case 0:
            assert_int_equal(sa_command(&sq, del, NULL, NULL), ESPC_STATUS_OK);
            del.dir = 1;
            assert_int_equal(sa_command(&sq, del, NULL, NULL), ESPC_STATUS_OK);
            break;
        case 1: host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK | ESPC_CTRL_ZEROIZE_MASK); break;
        case 2: upset(); break;
        case 3: host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK); break;
        default: card_model_hard_reset(h.card);
        }
        host_idle(&h);
        if (keys_inside())
            fail_msg("way %u: the key is still there, %u times", way, keys_inside());
        if (salts_inside() != salts)
            fail_msg("way %u: the salt is still there, %u times, %u before", way, salts_inside(), salts);
        if (way >= 2) {
            host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_RESET_MASK);
            host_idle(&h);
            host_enable(&h);
            queue_open(&sq, &h, 0, 3, 3, 0);
            queue_open(&q1, &h, 1, 4, 5, 1);
        }
    }
}

// A card that holds no SA has a command's key for a while, one that it refuses too.
static void test_zeroized_is_not_said_while_a_refused_key_is_inside(void **state)
{
    (void)state;
    struct espc_sa_blob blob = esp_blob(1);
    struct espc_sa_command add = {.op = ESPC_SA_OP_ADD, .sa_index = 1, .generation = 1};
    blob.mode = 99;
    add.blob_iova = host_alloc(&h, sizeof blob, 64);
    add.result_iova = host_alloc(&h, 64, 64);
    memcpy(host_at(&h, add.blob_iova), &blob, sizeof blob);
    host_idle(&h);
    assert_true(status() & ZEROIZED);
    unsigned held = 0;
    for (unsigned wait = 0; wait < 400; wait += 3) { // STATUS is read in another cycle of each command
        struct espc_completion c;
        queue_put(&sq, &add);
        queue_ring(&sq);
        card_model_step(h.card, wait);
        bool before = keys_inside() > 0;
        bool said = status() & ZEROIZED;
        held += before && keys_inside() > 0;
        assert_false(said && before && keys_inside() > 0);
        queue_wait(&sq, &c);
        queue_consumed(&sq, false);
        assert_int_not_equal(c.status, ESPC_STATUS_OK);
        host_idle(&h);
        assert_int_equal(keys_inside(), 0);
        assert_true(status() & ZEROIZED);
    }
    assert_in_range(held, 10, 400);
}

static void test_zeroize_frees_all_slots(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    add_sa(1, 1, 1);
    assert_false(status() & ZEROIZED);
    host_write(&h, ESPC_REG_CTRL, ESPC_CTRL_ENABLE_MASK | ESPC_CTRL_ZEROIZE_MASK);
    host_idle(&h);
    assert_true(status() & ZEROIZED);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_SA_INVALID);
    add_sa(0, 1, 1);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
    struct espc_sa_command all = {.op = ESPC_SA_OP_ZEROIZE_ALL};
    assert_int_equal(sa_command(&sq, all, NULL, NULL), ESPC_STATUS_OK);
    assert_true(status() & ZEROIZED);
}

static void test_hard_reset_is_like_a_new_card(void **state)
{
    (void)state;
    add_sa(0, 1, 1);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 900, 1);
    queue_put(&q1, &d);
    queue_ring(&q1);
    card_model_step(h.card, 90);
    card_model_hard_reset(h.card);
    host_idle(&h);
    assert_int_equal(status(), READY | FEATURES_OK | DRAINED | ZEROIZED);
    assert_int_equal(host_counter(&h, ESPC_COUNTER_SA_COMMANDS), 0);
    host_forget(&h);
    host_enable(&h);
    queue_open(&sq, &h, 0, 3, 3, 0);
    queue_open(&q1, &h, 1, 4, 5, 1);
    add_sa(0, 1, 1);
    d = packet(ESPC_PKT_OP_ENCAP, 900, 2);
    assert_int_equal(submit(&q1, &d).status, ESPC_STATUS_OK);
}

static void test_waveform_is_written_while_it_is_on(void **state)
{
    (void)state;
    char path[] = "/tmp/test_top.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(card_model_wave_start(h.card, "/nonexistent/x.fst"), -EIO);
    assert_int_equal(card_model_wave_start(h.card, path), 0);
    assert_int_equal(card_model_wave_start(h.card, path), -EBUSY);
    struct espc_packet_desc d = packet(ESPC_PKT_OP_ENCAP, 60, 1);
    submit(&q1, &d);
    card_model_wave_stop(h.card);
    struct stat st, later;
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 1000);
    submit(&q1, &d);
    assert_int_equal(stat(path, &later), 0);
    assert_int_equal(later.st_size, st.st_size);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CARD(test_quiesce_stops_fetching_until_it_is_lifted),
        CARD(test_disabled_queue_finishes_its_work_and_starts_afresh),
        CARD(test_reset_under_load_forgets_everything),
        CARD(test_zeroized_is_not_said_while_a_refused_key_is_inside),
        CARD(test_zeroize_frees_all_slots),
        CARD(test_new_card_on_memory_with_old_keys_shows_none),
        CARD(test_no_key_stays_after_delete_reset_zeroize_and_fatal),
        CARD(test_hard_reset_is_like_a_new_card),
        CARD(test_waveform_is_written_while_it_is_on),
    };
    return at_each_width(tests, sizeof(tests) / sizeof(tests[0]));
}
