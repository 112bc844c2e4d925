// SPDX-License-Identifier: Apache-2.0
// After an SA has gone, its key is nowhere in the process: the heap and every other writable mapping are
// searched, the stack of the test itself apart. The key stands in the test as its complement.
#include "driver/soft/mb.h"
#include "drv_util.h"

#include "tests/unit/memory_search.h"

static const uint8_t complement[16] = {0x21, 0x52, 0x41, 0x10, 0x3c, 0x77, 0x1d, 0x08,
                                       0xe9, 0x4b, 0x96, 0x2f, 0xb0, 0xd5, 0x6a, 0x83};

// How often the key stands in writable memory, stacks apart.
static unsigned count_keys(void)
{
    return memory_count(complement, sizeof(complement));
}

static struct esp_sa *add(struct esp_engine *e, enum esp_dir dir, enum esp_alg alg)
{
    struct esp_sa_params p = make_params(dir, alg, 77);

    for (size_t i = 0; i < sizeof(complement); i++)
        p.key[i] = p.integ_key[i] = (uint8_t)~complement[i];
    return must_add(e, &p);
}

static void test_key_is_gone_after_delete_and_destroy(void **state)
{
    (void)state;
    for (int alg = ESP_ALG_AES128_GCM16; alg < ESP_ALG_COUNT; alg++) {
        struct esp_engine *e;
        struct esp_sa *tx, *rx;

        assert_int_equal(esp_soft_open(&e, NULL), 0);
        tx = add(e, ESP_OUT, (enum esp_alg)alg);
        rx = add(e, ESP_IN, (enum esp_alg)alg);
        if (alg ==
            ESP_ALG_CHACHA20_POLY1305) // its state holds the key as it is; AES schedules may be transformed
            assert_int_equal(count_keys(), 2);     // so the search does find what is there
        if (alg_sizes((enum esp_alg)alg).icv == 0) // HMAC keeps its key as it is, too
            assert_true(count_keys() >= 2);
        must_delete(e, tx);
        assert_in_range(count_keys(), 0, alg_sizes((enum esp_alg)alg).icv ? 1 : 2);
        must_delete(e, rx);
        assert_int_equal(count_keys(), 0);
        add(e, ESP_OUT, (enum esp_alg)alg);
        e->ops->destroy(e);
        assert_int_equal(count_keys(), 0);
    }
}

static void test_schedule_is_gone_with_its_key(void **state)
{
    uint8_t iv[12] = {0}, aad[8] = {0}, text[16] = {0}, tag[16], key[16];
    struct mb *m = mb_open();
    struct mb_gcm k;

    (void)state;
    if (!m)
        skip();
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)~complement[i];
    mb_gcm_init(&k, m, key, sizeof(key)); // what it holds itself is on the stack
    assert_int_equal(count_keys(), 0);
    mb_gcm_seal(&k, iv, aad, sizeof(aad), text, text, sizeof(text), tag, sizeof(tag));
    assert_int_equal(count_keys(), 1); // the first round's key
    mb_gcm_free(&k);
    assert_int_equal(count_keys(), 0);
    mb_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_key_is_gone_after_delete_and_destroy),
                                       cmocka_unit_test(test_schedule_is_gone_with_its_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
