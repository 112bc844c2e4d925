// SPDX-License-Identifier: Apache-2.0
// What an SA of the software engine costs in memory, so that it does not grow unseen, and the store of
// AES-GCM schedules: made when a packet needs one, given on when the SA goes, made again where more are in
// use than it holds.
#include "drv_util.h"

#include <malloc.h>

#include "driver/soft/queue.h"

enum { SAS = 2000, MOST_OCTETS = 600 }; // the larger direction, all that the allocator takes for it

static void without_mb(void)
{
    print_message("skip: ipsec-mb is not in use here\n");
    skip();
}

static size_t heap(void)
{
    return mallinfo2().uordblks;
}

static struct mb *mb_of(struct esp_engine *e)
{
    return ((struct soft_engine *)e)->queue[0]->mb;
}

static struct esp_sa *add(struct esp_engine *e, enum esp_dir dir, uint32_t spi)
{
    struct esp_sa_params p = make_params(dir, ESP_ALG_AES256_GCM16, spi);

    return must_add(e, &p);
}

static void test_an_sa_at_rest_is_small(void **state)
{
    struct esp_engine *e;
    size_t at_first;

    (void)state;
    assert_int_equal(esp_soft_open(&e, NULL), 0);
    if (!mb_of(e)) // OpenSSL's contexts are larger, and not ours
        without_mb();
    at_first = mb_schedules(mb_of(e)); // of the trial whether it is faster
    for (int dir = ESP_OUT; dir <= ESP_IN; dir++) {
        size_t before = heap();
        for (uint32_t i = 0; i < SAS; i++)
            add(e, (enum esp_dir)dir, 1000 + i);
        printf("%s: %zu octets an SA\n", dir == ESP_OUT ? "out" : "in", (heap() - before) / SAS);
        assert_true(heap() - before <= SAS * MOST_OCTETS);
    }
    assert_int_equal(mb_schedules(mb_of(e)), at_first);
    e->ops->destroy(e);
}

static void send_one(struct esp_engine *e, struct esp_sa *sa)
{
    uint8_t in[64] = {0}, out[256];
    struct esp_job job = {.op = ESP_ENCAP, .sa = sa, .in = in, .out = out, .in_len = 64, .out_cap = 256};
    uint64_t seed = 1;

    make_inner(in, 64, 0, 0, &seed);
    assert_int_equal(run_job(e, &job), ESP_STATUS_OK);
}

static void test_schedules_are_made_for_traffic_and_used_again(void **state)
{
    struct esp_sa *sa[8];
    struct esp_engine *e;

    (void)state;
    assert_int_equal(esp_soft_open(&e, NULL), 0);
    if (!mb_of(e))
        without_mb();
    for (int turn = 0; turn < 3; turn++) {
        for (uint32_t i = 0; i < 8; i++)
            sa[i] = add(e, ESP_OUT, 1 + i);
        for (uint32_t i = 0; i < 4; i++)
            send_one(e, sa[2 * i]);
        send_one(e, sa[0]);
        assert_int_equal(mb_schedules(mb_of(e)), 4);
        for (uint32_t i = 0; i < 8; i++)
            must_delete(e, sa[i]);
    }
    e->ops->destroy(e);
}

static void seal(struct mb_gcm *k, uint32_t n, uint8_t tag[16])
{
    uint8_t iv[12] = {0}, aad[8] = {0}, text[16] = {0};

    put_be32(iv, n);
    mb_gcm_seal(k, iv, aad, sizeof(aad), text, text, sizeof(text), tag, 16);
}

// As two keys alone would: none of the others' schedules is taken for theirs.
static void test_more_keys_in_use_than_the_store_holds_seal_right(void **state)
{
    enum { KEYS = MB_SCHEDULES + 100 };
    uint8_t key[32] = {7}, want[2][16], tag[16];
    struct mb *m = mb_open();
    struct mb_gcm *k;

    (void)state;
    if (!m)
        without_mb();
    k = calloc(KEYS, sizeof(*k));
    assert_non_null(k);
    for (uint32_t i = 0; i < KEYS; i++) {
        put_be32(key, i);
        mb_gcm_init(&k[i], m, key, sizeof(key));
        seal(&k[i], i, i < 2 ? want[i] : tag);
    }
    assert_int_equal(mb_schedules(m), MB_SCHEDULES);
    for (uint32_t i = 0; i < 2; i++) { // theirs have gone to others meanwhile
        assert_null(k[i].schedule);
        seal(&k[i], i, tag);
        assert_memory_equal(tag, want[i], 16);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        mb_gcm_free(&k[i]);
    assert_int_equal(mb_schedules(m), MB_SCHEDULES);
    mb_close(m);
    free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_sa_at_rest_is_small),
        cmocka_unit_test(test_schedules_are_made_for_traffic_and_used_again),
        cmocka_unit_test(test_more_keys_in_use_than_the_store_holds_seal_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
