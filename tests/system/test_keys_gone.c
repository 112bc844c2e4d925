// SPDX-License-Identifier: Apache-2.0
// Traffic keys and salts are where they are needed and, once their SA has gone, nowhere: the memory of each
// of the daemon's processes and of the simulated card, whose memories and registers are in its process, is
// searched for them while the SA lives, after its deletion, after a rekeying, after fail-over and the
// rekeying behind it, after a reset behind the driver's back, and, in the card, after the daemon's end. The
// other end tells them (--debug-keys). And no process of the daemon leaves a core.
#include <setjmp.h>
#include <signal.h>
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
#include "tests/system/memory_scan.h"

enum { KEYS = 32, KEY = 32, SALT = 4, PART = 16 };

struct key { // of one direction, and its salt
    uint8_t octets[KEY + SALT];
};
static struct key key[KEYS];
static unsigned keys;

static struct lab lab;
static char out[65536], debug_dir[160];
static const char *const rooms[] = {"ctl", "ike", "path", "keys", "fetch"};
enum { ROOMS = sizeof(rooms) / sizeof(rooms[0]) };

// ---- the keys

static bool read_hex(struct key *k, const char *hex)
{
    for (unsigned i = 0; i < sizeof(k->octets); i++) {
        unsigned octet;
        if (sscanf(hex + 2 * (size_t)i, "%2x", &octet) != 1)
            return false;
        k->octets[i] = (uint8_t)octet;
    }
    return hex[2 * sizeof(k->octets)] == '"';
}

// What the peer has written since: all keys that there have ever been.
static void read_keys(void)
{
    char path[200], line[700];
    snprintf(path, sizeof(path), "%s/esp_sa", debug_dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (keys = 0; fgets(line, sizeof(line), f); keys++) {
        const char *at = strstr(line, "\"AES-GCM with 16 octet ICV [RFC4106]\",\"0x");
        assert_true(at && keys < KEYS);
        assert_true(read_hex(&key[keys], strstr(at, "\"0x") + 3));
    }
    fclose(f);
}

enum { PARTS = 3 };
// A key's halves, and its end with the salt behind it as they stand in key material: how often, in all, of
// each of these keys. False: it cannot be read.
static bool look_for(pid_t pid, unsigned from, unsigned to, int seen[KEYS])
{
    struct scan s[PARTS * KEYS];
    unsigned n = 0;
    for (unsigned k = from; k < to; k++) {
        s[n++] = (struct scan){.what = key[k].octets, .len = PART};
        s[n++] = (struct scan){.what = key[k].octets + PART, .len = PART};
        s[n++] = (struct scan){.what = key[k].octets + KEY - 8, .len = 8 + SALT};
    }
    bool ok = scan_memory_for(pid, s, n);
    for (unsigned k = from, i = 0; k < to; k++, i += PARTS)
        seen[k] = s[i].found + s[i + 1].found + s[i + 2].found;
    return ok;
}

static int seen_in(pid_t pid, unsigned k)
{
    int seen[KEYS];
    return look_for(pid, k, k + 1, seen) ? seen[k] : -1;
}

struct places { // of the keys from..to: where they are to be, and where else they are
    unsigned from, to;
    bool in_path, in_card;
    bool returns; // to the card, some time: then nothing is said of that
    char wrong[120];
};

static bool are_right_in(struct places *p, const char *where, pid_t pid, bool wanted)
{
    int seen[KEYS];
    bool right = look_for(pid, p->from, p->to, seen);
    for (unsigned k = p->from; right && k < p->to; k++) {
        right = wanted ? seen[k] > 0 : seen[k] == 0;
        if (!right)
            snprintf(p->wrong, sizeof(p->wrong), "key %u is in %s %d times", k, where, seen[k]);
    }
    return right;
}

static bool all_right(void *ctx)
{
    struct places *p = ctx;
    for (unsigned r = 0; r < ROOMS; r++) {
        pid_t pid = room_pid(&lab.west, rooms[r]);
        if (pid && !are_right_in(p, rooms[r], pid, p->in_path && strcmp(rooms[r], "path") == 0))
            return false;
    }
    return are_right_in(p, "the supervisor", lab.west.daemon, false) &&
           (p->returns || are_right_in(p, "the card", lab.card, p->in_card));
}

// An engine lets go of an SA a moment after ike has.
static void are(struct places p, const char *when)
{
    if (!wait_for(all_right, &p, PATIENCE_MS))
        fail_msg("%s: %s", when, p.wrong);
}

static void is_nowhere(unsigned from, unsigned to, const char *when)
{
    are((struct places){.from = from, .to = to}, when);
}

// Of the SA that is up: the last two.
static void is_in_use(const char *when, bool in_card)
{
    are(
        (struct places){
            .from = keys - 2, .to = keys, .in_path = true, .in_card = in_card, .returns = !in_card},
        when);
}

// ---- the tunnel

static uint64_t stat(const char *name)
{
    swanctl(&lab.west, out, sizeof(out), "--counters --all --raw");
    return number_after(out, name, 0);
}

static bool has_card(void *ctx)
{
    (void)ctx;
    return stat("card_present") == 1;
}

static bool has_ended(void *ctx)
{
    return kill(*(pid_t *)ctx, 0) != 0;
}

static unsigned sas(const char *offload)
{
    unsigned n = 0;
    swanctl(&lab.west, out, sizeof(out), "--list-sas --raw");
    for (const char *at = out; (at = strstr(at, offload)); at++)
        n++;
    return n;
}

static bool one_on_card(void *ctx)
{
    (void)ctx;
    return sas("offload=") == 1 && sas("offload=card") == 1;
}

static bool one_in_software(void *ctx)
{
    (void)ctx;
    return sas("offload=") == 1 && sas("offload=software") == 1;
}

static bool none(void *ctx)
{
    (void)ctx;
    return sas("offload=") == 0;
}

static bool more_keys(void *ctx)
{
    unsigned before = *(unsigned *)ctx;
    read_keys();
    return keys > before;
}

static void client(const char *args)
{
    if (swanctl(&lab.west, out, sizeof(out), "%s", args) != 0)
        fail_msg("swanctl %s:\n%s", args, out);
}

static void ctl(const char *command)
{
    assert_int_equal(sh("%s/espalier-card ctl --dir %s %s", bin_dir(), lab.card_dir, command), 0);
}

static void up(void)
{
    unsigned before = keys;
    client("--initiate --child net --timeout 20");
    assert_true(wait_for(one_on_card, NULL, PATIENCE_MS));
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
    read_keys();
    assert_int_equal(keys, before + 2);
}

// The SA moves, and another one comes for it.
static void fails(const char *command, bool (*then)(void *ctx), const char *when)
{
    unsigned before = keys;
    ctl(command);
    assert_true(ping(&lab, &lab.west, &lab.east, 3)); // under traffic the failure is found soonest
    assert_true(wait_for(more_keys, &before, PATIENCE_MS));
    assert_true(wait_for(then, NULL, PATIENCE_MS));
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
    read_keys();
    is_nowhere(0, before, when);
    is_in_use(when, then == one_on_card);
}

static void start(void)
{
    char *with_card[] = {"--card", "auto", "--pci-sysfs", lab.card_dir, NULL};
    char *telling[] = {"--card", "none", "--debug-keys", debug_dir, NULL};
    struct tunnel_options o = {.encap = true, .hw_offload = "auto"}, plain = {.encap = true};
    snprintf(debug_dir, sizeof(debug_dir), "%.100s/wireshark", lab.east.dir);
    keys = 0;
    assert_true(card_start(&lab, ""));
    assert_true(espalierd_start(&lab, &lab.east, &lab.west, &plain, telling));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, with_card));
    assert_true(wait_for(has_card, NULL, PATIENCE_MS));
}

static void test_keys_of_an_sa_that_has_gone_are_nowhere(void **state)
{
    (void)state;
    start();
    up();
    if (seen_in(room_pid(&lab.west, "path"), 0) < 0) {
        print_message("skip: no right to read another process's memory\n");
        return;
    }
    is_in_use("up", true);
    client("--terminate --child net --timeout 20");
    assert_true(wait_for(none, NULL, PATIENCE_MS));
    is_nowhere(0, keys, "deleted");
    up();
    unsigned before = keys;
    client("--rekey --child net");
    assert_true(wait_for(more_keys, &before, PATIENCE_MS));
    assert_true(wait_for(one_on_card, NULL, PATIENCE_MS));
    assert_true(ping(&lab, &lab.west, &lab.east, 3));
    is_nowhere(0, before, "rekeyed");
    is_in_use("rekeyed", true);
    fails("reset", one_on_card, "reset by another");
    fails("fault fatal", one_in_software, "fatal");
    assert_true(stop(&lab.west.daemon, SIGTERM, PATIENCE_MS));
    for (unsigned i = 0; i < keys; i++)
        assert_int_equal(seen_in(lab.card, i), 0);
}

// A driver that is killed says nothing to its card, which sees the end of it.
static void test_a_card_whose_driver_is_killed_has_no_key(void **state)
{
    (void)state;
    start();
    up();
    if (seen_in(lab.card, 0) < 0)
        return;
    assert_true(seen_in(lab.card, 0) > 0 && seen_in(lab.card, 1) > 0);
    assert_true(daemon_kill(&lab.west));
    ctl("counters"); // it has seen that end
    for (unsigned i = 0; i < keys; i++)
        assert_int_equal(seen_in(lab.card, i), 0);
}

// Neither the kernel's file nor the reader of a core_pattern pipe gets one: the limit is zero in each, and a
// pipe's reader is not called for a process that is not dumpable.
static void test_no_process_leaves_a_core(void **state)
{
    (void)state;
    struct rlimit was, any = {RLIM_INFINITY, RLIM_INFINITY};
    getrlimit(RLIMIT_CORE, &was);
    if (setrlimit(RLIMIT_CORE, &any) < 0) { // there would be none in any case
        print_message(
            "skip: whether there is a core, because sudo has set the limit of cores to 0, and this root may "
            "not raise it (CAP_SYS_RESOURCE)\n");
        skip();
    }
    start();
    setrlimit(RLIMIT_CORE, &was);
    up();
    for (unsigned r = 0; r < ROOMS; r++) {
        pid_t pid = room_pid(&lab.west, rooms[r]);
        if (!pid)
            continue;
        sh_read(out, sizeof(out), "grep '^Max core file size' /proc/%d/limits", (int)pid);
        char limit[40] = "";
        assert_int_equal(sscanf(out, "Max core file size %39s", limit), 1);
        assert_string_equal(limit, "0");
        assert_int_equal(sh("test $(stat -c %%u /proc/%d/mem) = 0", (int)pid),
                         0); // root's: it is not dumpable
        assert_int_not_equal(sh("test -n \"$(ls /proc/%d/cwd/core* 2>/dev/null)\"", (int)pid), 0);
    }
    pid_t path = room_pid(&lab.west, "path");
    assert_int_equal(kill(path, SIGSEGV), 0);
    assert_true(wait_for(has_ended, &path, PATIENCE_MS));
    assert_int_not_equal(sh("ls %s/core* /core* 2>/dev/null", lab.west.dir), 0);
}

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espkeys") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_keys_of_an_sa_that_has_gone_are_nowhere),
        T(test_a_card_whose_driver_is_killed_has_no_key),
        T(test_no_process_leaves_a_core),
    };
    cmocka_set_test_filter(getenv("KEYS_TEST")); // a pattern
    return cmocka_run_group_tests_name("keys that are no longer needed", tests, NULL, NULL);
}
