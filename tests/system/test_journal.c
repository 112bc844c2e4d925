// SPDX-License-Identifier: Apache-2.0
// The log in systemd's journal: systemd-journald itself takes the entries of every process of the daemon, and
// journalctl finds them by their fields. In a mount namespace, where /run is the test's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/harness.h"

#define JOURNALD "/lib/systemd/systemd-journald"

static struct lab lab;
static char out[32768];

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espjrnl") ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static void shows(const char *expected)
{
    if (!strstr(out, expected))
        fail_msg("expected \"%s\" in:\n%s", expected, out);
}

// $1: bin, $2: the lab's folder. What journald is asked for comes out; it ends with what began here.
static const char script[] =
    "mount -t tmpfs none /run || exit 77\n"
    "mkdir -p /run/systemd/journal /run/log/journal\n"
    "[ -s /etc/machine-id ] || { echo 0123456789abcdef0123456789abcdef >/run/id && mount --bind /run/id "
    "/etc/machine-id || exit 77; }\n" JOURNALD " 2>/dev/null & j=$!\n"
    "trap 'kill $j $d 2>/dev/null' EXIT\n"
    "n=0; until [ -S /run/systemd/journal/socket ] || [ $n = 300 ]; do sleep 0.1; n=$((n+1)); done\n"
    "\"$1\"/espalierd --card none --vici unix:///run/v --run-dir /run/d --tun espj --log-format journal & "
    "d=$!\n"
    "n=0; until [ -S /run/v ] || [ $n = 300 ]; do sleep 0.1; n=$((n+1)); done\n"
    "\"$1\"/espalier load --uri unix:///run/v \"$2\"/journal.conf || exit 1\n"
    "timeout 1 \"$1\"/espalier up --uri unix:///run/v net >/dev/null\n"
    "kill $d; wait $d\n"
    "journalctl --sync 2>/dev/null\n"
    "n=0; until journalctl -q -D /run/log/journal -o cat | grep -q 'ended with status' || [ $n = 100 ]; do "
    "sleep 0.1; "
    "n=$((n+1)); done\n"
    "journalctl -q -D /run/log/journal -o cat "
    "--output-fields=PRIORITY,ESPALIER_IKE_ID,ESPALIER_SUBSYSTEM,MESSAGE "
    "SYSLOG_IDENTIFIER=espalierd ESPALIER_CONNECTION=site\n"
    "echo processes: $(journalctl -q -D /run/log/journal -F ESPALIER_PROCESS | sort)\n";

static void test_journald_has_every_process_with_its_fields(void **state)
{
    char path[200];
    (void)state;
    if (access(JOURNALD, X_OK) != 0 || sh("command -v journalctl") != 0) {
        print_message("skip: " JOURNALD " or journalctl is not installed\n");
        skip();
    }
    snprintf(path, sizeof(path), "%s/journal.conf", lab.west.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("connections { site { remote_addrs = 10.10.0.9\n local { auth = psk\n }\n remote { auth = psk\n }\n"
          " children { net { remote_ts = 10.9.0.0/16\n } } } }\nsecrets { ike-a { secret = abc\n } }\n",
          f);
    fclose(f);
    snprintf(path, sizeof(path), "%s/journal.sh", lab.west.dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(script, f);
    fclose(f);
    int rc = sh_read(out, sizeof(out), "nsenter --net=%s unshare -m timeout 90 sh %s %s %s 2>&1", lab.west.ns,
                     path, bin_dir(), lab.west.dir);
    if (rc == 77) {
        print_message("skip: nothing can be mounted over /run here\n");
        skip();
    }
    if (rc != 0)
        fail_msg("status %d: %s", rc, out);
    shows("initiating IKE_SA site[1] to 10.10.0.9");
    shows(
        "processes: ctl espalierd ike"); // and path, where its memory cannot be locked: else it says nothing
}

static void test_a_journal_that_is_not_there_is_named(void **state)
{
    (void)state;
    int rc =
        sh_read(out, sizeof(out),
                "nsenter --net=%s %s/espalierd --card none --vici unix://%s/v --run-dir %s/r --log-format "
                "journal:%s/nowhere 2>&1",
                lab.west.ns, bin_dir(), lab.west.dir, lab.west.dir, lab.west.dir);
    assert_int_equal(rc, 3);
    shows("/nowhere");
    shows("the journal cannot be reached");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_journald_has_every_process_with_its_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_journal_that_is_not_there_is_named, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("the log in systemd's journal", tests, NULL, NULL);
}
