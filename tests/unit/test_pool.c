// SPDX-License-Identifier: Apache-2.0
// The packet pool: buffers are aligned and distinct, the region is sealed, bad requests are refused by name.
#include "drv_util.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "espalier/pool.h"

static void test_pool_hands_out_every_buffer_once(void **state)
{
    struct esp_pool *pool;
    uint8_t *buf[10];

    (void)state;
    assert_int_equal(esp_pool_create(&pool, 10, 1000, NULL), 0);
    assert_int_equal(esp_pool_buffer_size(pool), 1024);
    for (int i = 0; i < 10; i++) {
        buf[i] = esp_pool_get(pool);
        assert_non_null(buf[i]);
        assert_int_equal((uintptr_t)buf[i] % 64, 0);
        memset(buf[i], i, 1024);
    }
    assert_null(esp_pool_get(pool));
    for (int i = 0; i < 10; i++)
        for (int k = 0; k < 1024; k++)
            assert_int_equal(buf[i][k], i);
    esp_pool_put(pool, buf[3]);
    assert_int_equal(esp_pool_available(pool), 1);
    assert_ptr_equal(esp_pool_get(pool), buf[3]);
    esp_pool_destroy(pool);
}

static void test_pool_region_is_sealed(void **state)
{
    struct esp_pool *pool;
    void *base;
    size_t length;
    int fd;

    (void)state;
    assert_int_equal(esp_pool_create(&pool, 100, 2048, NULL), 0);
    esp_pool_region(pool, &base, &length, &fd);
    assert_int_equal((uintptr_t)base % 4096, 0);
    assert_int_equal(length % 4096, 0);
    assert_true(length >= 100 * 2048);
    assert_int_equal(ftruncate(fd, 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    esp_pool_destroy(pool);
}

static void test_pool_of_nothing_is_refused(void **state)
{
    struct esp_error err = {0};
    struct esp_pool *pool;

    (void)state;
    assert_int_equal(esp_pool_create(&pool, 0, 2048, &err), -EINVAL);
    assert_string_equal(err.field, "pool");
    assert_null(pool);
    assert_int_equal(esp_pool_create(&pool, 1, 0, &err), -EINVAL);
    assert_int_equal(esp_pool_create(&pool, 1, (1u << 20) + 1, &err), -EINVAL);
}

// In a process that may lock nothing: the pool works, and says so.
static void test_pool_that_cannot_be_locked_says_why(void **state)
{
    struct esp_pool *pool;
    int status = -1;
    pid_t pid;

    (void)state;
#ifdef __SANITIZE_ADDRESS__
    print_message("skip: the address sanitizer lets nothing be locked, and says that it was\n");
    skip();
#endif
    pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        if (setrlimit(RLIMIT_MEMLOCK, &none) || (geteuid() == 0 && setuid(65534)))
            _exit(2);
        if (esp_pool_create(&pool, 4, 2048, NULL))
            _exit(3);
        _exit(strstr(esp_pool_note(pool), "8 KiB of packet memory could not be locked") &&
                      strstr(esp_pool_note(pool), "RLIMIT_MEMLOCK is 0 KiB") && esp_pool_get(pool)
                  ? 0
                  : 4);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_hands_out_every_buffer_once),
        cmocka_unit_test(test_pool_region_is_sealed),
        cmocka_unit_test(test_pool_of_nothing_is_refused),
        cmocka_unit_test(test_pool_that_cannot_be_locked_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
