// SPDX-License-Identifier: Apache-2.0
// The table of DMA maps: accesses that cross maps, permissions, ranges that cut maps, shared files, a file
// that shrinks, and random operations against a page-by-page reference.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "sim/vfio_user/dma.h"
#include "sim/vfio_user/proto.h"
#include "tests/unit/vfu_client.h"

enum { PAGE = 4096, RW = VFU_DMA_F_READ | VFU_DMA_F_WRITE };

struct fixture {
    struct vfu_dma dma;
    uint8_t *mem;
    int fd;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    vfu_dma_init(&f->dma);
    f->fd = client_memory(64 * PAGE, &f->mem);
    for (size_t i = 0; i < (size_t)64 * PAGE; i++)
        f->mem[i] = (uint8_t)(i / PAGE);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vfu_dma_free(&f->dma);
    munmap(f->mem, 64 * PAGE);
    close(f->fd);
    free(f);
    return 0;
}

static void test_access_across_maps_follows_each_map(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[16], want[16];
    assert_int_equal(vfu_dma_map(&f->dma, 0x10000, PAGE, 9 * PAGE, RW, f->fd), 0);
    assert_int_equal(vfu_dma_map(&f->dma, 0x11000, PAGE, 3 * PAGE, RW, f->fd), 0);
    assert_int_equal(vfu_dma_read(&f->dma, 0x10ff8, buf, 16), 0);
    memset(want, 9, 8);
    memset(want + 8, 3, 8);
    assert_memory_equal(buf, want, 16);
    memset(buf, 0xaa, 16);
    assert_int_equal(vfu_dma_write(&f->dma, 0x10ff8, buf, 16), 0);
    assert_int_equal(f->mem[10 * PAGE - 1], 0xaa);
    assert_int_equal(f->mem[3 * PAGE + 7], 0xaa);
    assert_int_equal(f->mem[3 * PAGE + 8], 3);
    assert_int_equal(vfu_dma_read(&f->dma, 0x11ff8, buf, 16), -EFAULT); // runs out behind
    assert_int_equal(vfu_dma_read(&f->dma, 0xfff8, buf, 16), -EFAULT);  // begins before
}

static void test_access_without_permission_or_descriptor_fails(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[4] = {1};
    assert_int_equal(vfu_dma_map(&f->dma, 0x1000, PAGE, 0, VFU_DMA_F_READ, f->fd), 0);
    assert_int_equal(vfu_dma_map(&f->dma, 0x2000, PAGE, 0, RW, -1), 0);
    assert_int_equal(vfu_dma_map(&f->dma, 0x3000, PAGE, PAGE, VFU_DMA_F_WRITE, f->fd), 0);
    assert_int_equal(vfu_dma_read(&f->dma, 0x1000, buf, 4), 0);
    assert_int_equal(vfu_dma_write(&f->dma, 0x1000, buf, 4), -EFAULT);
    assert_int_equal(vfu_dma_read(&f->dma, 0x2000, buf, 4), -EFAULT);
    assert_int_equal(vfu_dma_write(&f->dma, 0x2000, buf, 4), -EFAULT);
    assert_int_equal(vfu_dma_read(&f->dma, 0x3000, buf, 4), -EFAULT);
    assert_int_equal(vfu_dma_write(&f->dma, 0x3000, buf, 4), 0);
}

static void test_unmap_that_cuts_a_map_keeps_the_rest(void **state)
{
    struct fixture *f = *state;
    uint8_t byte;
    assert_int_equal(vfu_dma_map(&f->dma, 0, 16 * PAGE, 0, RW, f->fd), 0);
    assert_int_equal(vfu_dma_unmap(&f->dma, 4 * PAGE, 2 * PAGE), 0);   // a hole
    assert_int_equal(vfu_dma_unmap(&f->dma, 15 * PAGE, 40 * PAGE), 0); // the tail
    assert_int_equal(vfu_dma_unmap(&f->dma, 0, PAGE), 0);              // the head
    for (uint64_t page = 0; page < 16; page++) {
        bool there = page >= 1 && page < 15 && page != 4 && page != 5;
        assert_int_equal(vfu_dma_read(&f->dma, page * PAGE + 17, &byte, 1), there ? 0 : -EFAULT);
        if (there)
            assert_int_equal(byte, page);
    }
    vfu_dma_unmap_all(&f->dma);
    assert_int_equal(f->dma.count, 0);
}

static void test_random_maps_and_unmaps_equal_a_page_table(void **state)
{
    struct fixture *f = *state;
    enum { PAGES = 256 };
    int table[PAGES]; // page of the file, or -1
    for (int i = 0; i < PAGES; i++)
        table[i] = -1;
    srand(1);
    for (int round = 0; round < 3000; round++) {
        int at = rand() % PAGES, n = 1 + rand() % 24, from = rand() % 40;
        n = at + n > PAGES ? PAGES - at : n;
        bool overlap = false;
        if (rand() % 3) {
            for (int i = 0; i < n; i++)
                overlap |= table[at + i] >= 0;
            int rc = vfu_dma_map(&f->dma, (uint64_t)at * PAGE, (uint64_t)n * PAGE, (uint64_t)from * PAGE, RW,
                                 f->fd);
            assert_int_equal(rc, overlap ? -EEXIST : 0);
            for (int i = 0; i < n && !overlap; i++)
                table[at + i] = from + i;
        } else {
            assert_int_equal(vfu_dma_unmap(&f->dma, (uint64_t)at * PAGE, (uint64_t)n * PAGE), 0);
            for (int i = 0; i < n; i++)
                table[at + i] = -1;
        }
        for (int i = 0; i < PAGES; i += 1 + rand() % 8) {
            uint8_t byte;
            int rc = vfu_dma_read(&f->dma, (uint64_t)i * PAGE + 5, &byte, 1);
            assert_int_equal(rc, table[i] < 0 ? -EFAULT : 0);
            if (rc == 0)
                assert_int_equal(byte, table[i]);
        }
    }
}

static void test_maps_of_one_file_share_one_mapping(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 64; i++)
        assert_int_equal(vfu_dma_map(&f->dma, i * 2 * PAGE, PAGE, i * PAGE, RW, f->fd), 0);
    for (size_t i = 1; i < f->dma.count; i++)
        assert_ptr_equal(f->dma.maps[i].backing, f->dma.maps[0].backing);
    assert_int_equal(f->dma.maps[0].backing->users, 64);
}

static void test_file_that_shrinks_fails_the_access_only(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[64] = {0};
    struct vfu_dma other;
    vfu_dma_init(&other); // again, because cmocka has put its own SIGBUS handler over the one from the setup
    assert_int_equal(vfu_dma_map(&f->dma, 0, 64 * PAGE, 0, RW, f->fd), 0);
    assert_int_equal(ftruncate(f->fd, 8 * PAGE), 0);
    for (int i = 0; i < 3; i++) { // the guard works more than once
        assert_int_equal(vfu_dma_read(&f->dma, 32 * PAGE, buf, 64), -EFAULT);
        assert_int_equal(vfu_dma_write(&f->dma, 32 * PAGE, buf, 64), -EFAULT);
        assert_int_equal(vfu_dma_read(&f->dma, 7 * PAGE, buf, 64), 0);
    }
}

static void test_map_beyond_the_limit_is_refused(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < VFU_MAX_DMA_MAPS; i++)
        assert_int_equal(vfu_dma_map(&f->dma, i * PAGE, PAGE, (i % 64) * PAGE, RW, f->fd), 0);
    assert_int_equal(vfu_dma_map(&f->dma, (uint64_t)VFU_MAX_DMA_MAPS * PAGE, PAGE, 0, RW, f->fd), -ENOSPC);
    assert_int_equal(vfu_dma_unmap(&f->dma, 0, UINT64_MAX), 0);
    assert_int_equal(f->dma.count, 0);
}

static void test_descriptor_that_is_no_file_is_refused(void **state)
{
    struct fixture *f = *state;
    int p[2];
    assert_int_equal(pipe(p), 0);
    assert_int_equal(vfu_dma_map(&f->dma, 0, PAGE, 0, RW, p[0]), -EINVAL);
    close(p[0]);
    close(p[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_access_across_maps_follows_each_map),  T(test_access_without_permission_or_descriptor_fails),
        T(test_unmap_that_cuts_a_map_keeps_the_rest), T(test_random_maps_and_unmaps_equal_a_page_table),
        T(test_maps_of_one_file_share_one_mapping),   T(test_file_that_shrinks_fails_the_access_only),
        T(test_map_beyond_the_limit_is_refused),      T(test_descriptor_that_is_no_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
