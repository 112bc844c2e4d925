// SPDX-License-Identifier: Apache-2.0
// After an SA has gone, its key is nowhere in the process: the heap and every other writable mapping are
// searched, the stack of the test itself apart. The key stands in the test as its complement.
#include "driver/soft/mb.h"
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

// What the kernel says of each page of a mapping, before anything of it is read: that maps empty ones.
static uint64_t *pages_of(int pagemap, unsigned long from, unsigned long to, unsigned long page)
{
    size_t size = (to - from) / page * sizeof(uint64_t);
    uint64_t *entries = malloc(size);

    assert_non_null(entries);
    assert_int_equal(pread(pagemap, entries, size, (off_t)(from / page * sizeof(uint64_t))), (ssize_t)size);
    return entries;
}

// In memory or swapped. What is only reserved would take long to read.
static bool touched(const uint64_t *entries, size_t from, size_t to)
{
    for (size_t i = from; i <= to; i++)
        if (entries[i] >> 62)
            return true;
    return false;
}

// How often the key stands in writable memory, stacks apart.
static unsigned count_keys(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int mem = open("/proc/self/mem", O_RDONLY), pagemap = open("/proc/self/pagemap", O_RDONLY);
    unsigned long size = (unsigned long)sysconf(_SC_PAGESIZE);
    unsigned found = 0;
    char line[512];

    assert_non_null(maps);
    assert_true(mem >= 0 && pagemap >= 0);
    while (fgets(line, sizeof(line), maps)) {
        static uint8_t page[1 << 16];
        unsigned long from, to;
        uint64_t *entries;
        char rights[8];

        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' ||
            strstr(line, "[stack]") || to - from > 1ul << 29)
            continue; // no memory of ours is so large, but a sanitizer's shadow is
        entries = pages_of(pagemap, from, to, size);
        for (unsigned long at = from; at < to; at += sizeof(page) - 16) {
            size_t want = to - at < sizeof(page) ? to - at : sizeof(page);
            ssize_t n;
            if ((uintptr_t)page >= from && (uintptr_t)page < to && at <= (uintptr_t)page + sizeof(page) &&
                at + want > (uintptr_t)page)
                continue; // the buffer that we read into
            if (!touched(entries, (at - from) / size, (at + want - 1 - from) / size))
                continue;
            n = pread(mem, page, want, (off_t)at);
            found += n > 0 ? count_in(page, (size_t)n) : 0;
            memset(page, 0, sizeof(page));
        }
        free(entries);
    }
    fclose(maps);
    close(mem);
    close(pagemap);
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
