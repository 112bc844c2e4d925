// SPDX-License-Identifier: Apache-2.0
// After an SA has gone, its key is nowhere in the process: the heap and every other writable mapping are
// searched, the stack of the test itself apart. The key stands in the test as its complement.
#include "drv_util.h"

#include <fcntl.h>
#include <stdio.h>

static const uint8_t complement[16] = {0x21, 0x52, 0x41, 0x10, 0x3c, 0x77, 0x1d, 0x08,
                                       0xe9, 0x4b, 0x96, 0x2f, 0xb0, 0xd5, 0x6a, 0x83};

static unsigned count_in(const uint8_t *p, size_t n)
{
    unsigned found = 0;

    for (size_t i = 0; i + sizeof(complement) <= n; i++) {
        size_t k = 0;
        while (k < sizeof(complement) && p[i + k] + complement[k] == 0xff)
            k++;
        found += k == sizeof(complement);
    }
    return found;
}

// How often the key stands in writable memory, stacks apart.
static unsigned count_keys(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY);
    unsigned found = 0;
    char line[512];

    assert_non_null(maps);
    assert_true(mem >= 0);
    while (fgets(line, sizeof(line), maps)) {
        static uint8_t page[1 << 16];
        unsigned long from, to;
        char rights[8];

        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' ||
            strstr(line, "[stack]") || to - from > 1ul << 28)
            continue; // no memory of ours is so large, but a sanitizer's shadow is
        for (unsigned long at = from; at < to; at += sizeof(page) - 16) {
            size_t want = to - at < sizeof(page) ? to - at : sizeof(page);
            ssize_t n;
            if ((uintptr_t)page >= from && (uintptr_t)page < to && at <= (uintptr_t)page + sizeof(page) &&
                at + want > (uintptr_t)page)
                continue; // the buffer that we read into
            n = pread(mem, page, want, (off_t)at);
            found += n > 0 ? count_in(page, (size_t)n) : 0;
            memset(page, 0, sizeof(page));
        }
    }
    fclose(maps);
    close(mem);
    return found;
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_key_is_gone_after_delete_and_destroy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
