// SPDX-License-Identifier: Apache-2.0
// The secrets of a hundred thousand devices, each with its identity: loaded within 30 s by `espalier load`,
// from one file; known in full to whoever loads the file again; and changed one by one. DEVICES=N: so many.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/harness.h"
#include "tests/system/vici_client.h"

enum { LOAD_MS = 30000, CHANGES = 100 };

static struct lab lab;
static char out[8192], file[160];
static char *const no_card[] = {"--card", "none", NULL};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espsecr") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static unsigned devices(void)
{
    const char *n = getenv("DEVICES");
    return n ? (unsigned)strtoul(n, NULL, 10) : 100000;
}

// Device `without` has none.
static void write_devices(unsigned count, unsigned without)
{
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fprintf(
        f,
        "connections { fleet {\n local_addrs = %s\n remote_addrs = %%any\n"
        " proposals = aes256gcm16-prfsha384-x25519\n"
        " local { auth = psk\n id = west.example\n }\n remote { auth = psk\n id = %%any\n }\n"
        " children { net { local_ts = %s\n remote_ts = 10.2.0.0/16\n esp_proposals = aes256gcm16\n } } } }\n"
        "secrets {\n",
        lab.west.outer, lab.west.subnet);
    for (unsigned i = 0; i < count; i++)
        if (i != without)
            fprintf(f, " ike-%u {\n  id = dev-%06u.example\n  secret = \"secret of %u\"\n }\n", i, i, i);
    fprintf(f, "}\n");
    assert_int_equal(fclose(f), 0);
}

// Of the processes that a secret goes through, and of those that have been waited for here.
static uint64_t cpu_ms(void)
{
    static const char *const rooms[] = {"ctl", "keys", "ike"};
    unsigned long long ticks = 0;
    struct rusage u;
    getrusage(RUSAGE_CHILDREN, &u);
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        char path[40], line[600] = "";
        unsigned long long user = 0, sys = 0;
        snprintf(path, sizeof(path), "/proc/%d/stat", room_pid(&lab.west, rooms[i]));
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof(line), f));
        fclose(f);
        const char *behind = strrchr(line, ')'); // of a name that may hold blanks
        assert_non_null(behind);
        assert_int_equal(
            sscanf(behind, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys), 2);
        ticks += user + sys;
    }
    return ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK) +
           (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

// Its last lines are in `out`. The time is judged without what processes waited for a processor meanwhile,
// and by what it costs them, which no other load hides: they wait for one another.
static void load(void)
{
    struct busy b;
    uint64_t before = cpu_ms();
    busy_from(&b);
    int rc = sh_read(out, sizeof(out), "%s/espalier load --uri unix://%s/vici %s 2>&1 | tail -n 4", bin_dir(),
                     lab.west.dir, file);
    uint64_t own = busy_own_ms(&b), all = (busy_now_us() - b.from_us) / 1000;
    uint64_t cpu = cpu_ms() - before;
    print_message("espalier load: %llu ms, %llu of them not for want of a processor; CPU time %llu ms\n",
                  (unsigned long long)all, (unsigned long long)own, (unsigned long long)cpu);
    if (rc != 0 || !strstr(out, "1 connection loaded"))
        fail_msg("espalier load: status %d: %s", rc, out);
    assert_in_range(own, 0, LOAD_MS);
    assert_in_range(cpu, 1, LOAD_MS);
}

static void shows(const char *expected)
{
    if (!strstr(out, expected))
        fail_msg("expected \"%s\" in: %s", expected, out);
}

static void change_one_by_one(unsigned count)
{
    char path[160], why[400], id[32], data[40];
    struct busy b;
    snprintf(path, sizeof(path), "%s/vici", lab.west.dir);
    int fd = vici_open(path);
    assert_true(fd >= 0);
    busy_from(&b);
    for (unsigned i = 0; i < CHANGES; i++) {
        unsigned device = (unsigned)((uint64_t)i * count / CHANGES);
        snprintf(id, sizeof(id), "ike-%u", device);
        snprintf(data, sizeof(data), "another secret of %u", device);
        assert_true(vici_ask(fd, "unload-shared", "id", id, NULL) && vici_answer(fd, why, sizeof(why)));
        assert_true(vici_ask(fd, "load-shared", "id", id, "type", "IKE", "data", data, NULL) &&
                    vici_answer(fd, why, sizeof(why)));
    }
    uint64_t own = busy_own_ms(&b);
    print_message("%d secrets changed one by one: %llu ms\n", CHANGES, (unsigned long long)own);
    assert_in_range(own, 0, 100 * CHANGES); // none of them costs a look at all of them
    close(fd);
}

static void test_the_secrets_of_a_hundred_thousand_devices(void **state)
{
    unsigned count = devices(), one = count / 2 + 1;
    char expected[60], device[40], secret[40];
    (void)state;
    struct tunnel_options plain = {0};
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &plain, no_card));
    snprintf(file, sizeof(file), "%s/devices.conf", lab.west.dir);
    write_devices(count, count);
    load();
    snprintf(expected, sizeof(expected), "%u secrets,", count);
    shows(expected);
    write_devices(count, one); // another load: one device has gone, which is found among all that there are
    load();
    snprintf(expected, sizeof(expected), "unloaded secret 'ike-%u'", one);
    shows(expected);
    change_one_by_one(count);
    snprintf(device, sizeof(device), "dev-%06u.example", one + 1);
    snprintf(secret, sizeof(secret), "secret of %u", one + 1);
    struct tunnel_options e = {.local_id = device, .psk = secret};
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &e, no_card));
    assert_int_equal(swanctl(&lab.east, out, sizeof(out), "--initiate --child net"), 0);
    assert_true(ping(&lab, &lab.east, &lab.west, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_secrets_of_a_hundred_thousand_devices, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("secrets of many devices", tests, NULL, NULL);
}
