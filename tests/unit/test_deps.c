// SPDX-License-Identifier: Apache-2.0
// tests/deps.sh against a Debian of stubs: what it installs, what it leaves alone, and what it leaves behind.
// The stubs of apt-get, dpkg-query, systemctl, id and sudo work on files of one folder.
#include <stdio.h>
#include <string.h>

#include "tests/unit/script_rig.h"

static const char *what = "all";

static const char *get(const char *name)
{
    static char text[8192];
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    text[n] = 0;
    if (f)
        fclose(f);
    return text;
}

// Exit status; what it printed is in `output`.
static int deps(const char *before)
{
    char cmd[640];
    snprintf(cmd, sizeof(cmd),
             "%s S=%s TMPDIR=%s PATH=%s/stubs:$PATH ESPALIER_POLICY_RC_D=%s/policy ESPALIER_UNITS=%s/units "
             "tests/deps.sh %s",
             before, dir, dir, dir, dir, dir, what);
    return command(cmd);
}

// apt-get asks policy-rc.d as dpkg's scripts would, for a unit that it brings and for one of somebody else.
static const char apt_stub[] =
    "#!/bin/sh\n"
    "echo \"$*\" >>$S/apt\n"
    "case \"$*\" in *\" install \"*) ;; *) exit 0 ;; esac\n"
    "echo 'pmstatus:gcc:50.0:Unpacking gcc' >&3\n"
    "for u in strongswan-starter.service etcd.service ssh.service; do\n"
    "  $S/policy $u start; echo \"$u $?\" >>$S/asked\n"
    "done\n"
    "[ ! -e $S/terminate ] || kill -TERM $(cat $S/terminate)\n"
    "[ ! -e $S/broken ] || { echo 'E: no such disk'; exit 100; }\n"
    "case \"$*\" in *strongswan-charon*) : >$S/units/strongswan-starter.service ;; esac\n"
    "[ ! -e $S/with_etcd ] || : >$S/units/etcd.service\n";

static int setup(void **state)
{
    (void)state;
    what = "all";
    dir_make("deps");
    dir_folder("stubs");
    dir_folder("units");
    put("stubs/dpkg-query", "#!/bin/sh\nfor p; do :; done\ngrep -qx \"$p\" $S/installed && echo installed\n");
    put("stubs/apt-get", apt_stub);
    put("stubs/systemctl", "#!/bin/sh\necho \"$*\" >>$S/systemctl\n");
    put("stubs/id", "#!/bin/sh\ncat $S/uid\n");
    put("stubs/sudo", "#!/bin/sh\nexit 1\n");
    put("uid", "0\n");
    put("installed", "make\n");
    return 0;
}

static void test_deps_nothing_missing_calls_no_apt(void **state)
{
    (void)state;
    put("stubs/dpkg-query", "#!/bin/sh\necho installed\n");
    assert_int_equal(deps(""), 0);
    assert_string_equal(output, "");
    assert_false(exists("apt"));
}

static void test_deps_without_rights_prints_the_line_and_exits_3(void **state)
{
    (void)state;
    put("uid", "1000\n");
    assert_int_equal(deps(""), 3);
    assert_non_null(strstr(output, "apt-get install -y --no-remove --no-install-recommends gcc g++ ccache"));
    assert_null(strstr(output, " make "));
    assert_false(exists("apt"));
    assert_false(exists("policy"));
}

// Nothing that only root may is done without sudo, and what apt says comes through it. Root is named no file
// of the user's: it may not write to one in /tmp.
static void test_deps_with_sudo_installs_as_root_does(void **state)
{
    char apt[1024], sudo[2048];
    (void)state;
    put("uid", "1000\n");
    snprintf(sudo, sizeof(sudo), "#!/bin/sh\necho \"$*\" >>$S/sudo\n%s", strchr(sudo_stub, '\n') + 1);
    put("stubs/sudo", sudo);
    snprintf(apt, sizeof(apt), "#!/bin/sh\n[ \"$ROOT\" = 1 ] || { echo 'E: are you root?'; exit 100; }\n%s",
             strchr(apt_stub, '\n') + 1);
    put("stubs/apt-get", apt);
    put("stubs/systemctl", "#!/bin/sh\n[ \"$ROOT\" = 1 ] && echo \"$*\" >>$S/systemctl\n");
    assert_int_equal(deps("ESPALIER_TICK=0"), 0);
    must_say("unpacking and configuring: 50 %");
    assert_non_null(strstr(get("apt"), "install -y --no-remove"));
    assert_non_null(strstr(get("asked"), "strongswan-starter.service 101\n"));
    assert_string_equal(get("systemctl"), "disable --now strongswan-starter.service\n");
    assert_non_null(strstr(get("sudo"), "apt-get"));
    assert_null(strstr(get("sudo"), "espalier-deps-"));
    assert_false(exists("policy"));
}

static void test_deps_of_software_alone_are_eleven_packages(void **state)
{
    (void)state;
    what = "software";
    put("installed", "");
    put("uid", "1000\n");
    assert_int_equal(deps(""), 3);
    assert_non_null(strstr(
        output, "--no-install-recommends gcc make libssl-dev libpci-dev libmnl-dev libcurl4-openssl-dev "
                "libmicrohttpd-dev libseccomp-dev libcap-ng-dev libjansson-dev iproute2\n"));
}

static void test_deps_new_strongswan_is_kept_from_starting_and_disabled(void **state)
{
    (void)state;
    assert_int_equal(deps(""), 0);
    assert_non_null(
        strstr(get("apt"), "install -y --no-remove --no-upgrade --no-install-recommends gcc g++ ccache"));
    assert_non_null(strstr(get("apt"), " strongswan-charon "));
    assert_non_null(strstr(get("asked"), "strongswan-starter.service 101\n"));
    assert_non_null(strstr(get("asked"), "ssh.service 0\n"));
    assert_string_equal(get("systemctl"), "disable --now strongswan-starter.service\n");
    assert_non_null(strstr(output, "disabling strongswan-starter.service"));
    assert_false(exists("policy"));
}

static void test_deps_new_etcd_is_kept_from_starting_and_disabled(void **state)
{
    (void)state;
    what = "fleet";
    put("with_etcd", "");
    assert_int_equal(deps(""), 0);
    assert_non_null(strstr(get("apt"), " etcd-server"));
    assert_non_null(strstr(get("asked"), "etcd.service 101\n"));
    assert_non_null(strstr(get("systemctl"), "disable --now etcd.service\n"));
}

static void test_deps_strongswan_in_use_is_left_alone(void **state)
{
    static const char *const daemon[] = {"strongswan-charon", "charon-systemd", "strongswan-starter",
                                         "libreswan"};
    (void)state;
    for (size_t i = 0; i < sizeof(daemon) / sizeof(daemon[0]); i++) {
        char line[64];
        snprintf(line, sizeof(line), "%s\n", daemon[i]);
        put("installed", line);
        put("units/strongswan-starter.service", "");
        put("apt", "");
        put("asked", "");
        assert_int_equal(deps(""), 0);
        assert_null(strstr(get("apt"), "strongswan-charon"));
        assert_null(strstr(get("apt"), "libcharon-extra-plugins"));
        assert_non_null(strstr(get("asked"), "strongswan-starter.service 0\n"));
        assert_false(exists("systemctl"));
        snprintf(line, sizeof(line), "%s is installed here and is left as it is", daemon[i]);
        assert_non_null(strstr(output, line));
    }
}

static void test_deps_unit_without_package_is_not_disabled(void **state)
{
    (void)state;
    put("units/strongswan-starter.service", ""); // somebody's own build
    assert_int_equal(deps(""), 0);
    assert_non_null(strstr(get("asked"), "strongswan-starter.service 0\n"));
    assert_false(exists("systemctl"));
}

static void test_deps_says_how_far_apt_is(void **state)
{
    (void)state;
    assert_int_equal(deps("ESPALIER_TICK=0"), 0);
    assert_non_null(strstr(output, "  unpacking and configuring: 50 %, "));
}

static void test_deps_failed_apt_shows_its_last_lines(void **state)
{
    (void)state;
    put("broken", "");
    assert_int_equal(deps(""), 1);
    assert_non_null(strstr(output, "E: no such disk"));
    const char *at = strstr(output, "/espalier-deps-");
    assert_non_null(at);
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(at + 1, ")\n"), at + 1);
    assert_true(exists(name)); // the file that it points to
    assert_false(exists("policy"));
    char lacks[128];
    snprintf(lacks, sizeof(lacks), "ESPALIER_LACKS=%s/lacks", dir);
    assert_int_equal(deps(lacks), 1);
    assert_false(exists("lacks")); // no network is not what is wrong
}

static void test_deps_that_cannot_be_fetched_are_named_to_who_goes_on_without_them(void **state)
{
    (void)state;
    char lacks[128];
    snprintf(lacks, sizeof(lacks), "ESPALIER_LACKS=%s/lacks", dir);
    put("stubs/apt-get",
        "#!/bin/sh\necho 'E: Failed to fetch http://nowhere.example/gcc.deb  No route'; exit 100\n");
    what = "qemu";
    assert_int_equal(deps(lacks), 1);
    assert_non_null(strstr(get("lacks"), "packages cannot be fetched: gcc "));
    assert_non_null(strstr(get("lacks"), "(apt-get said: E: Failed to fetch http://nowhere.example/gcc.deb"));
}

static void test_deps_terminated_leaves_no_policy_behind(void **state)
{
    (void)state;
    char before[160];
    snprintf(before, sizeof(before), "exec sh -c 'echo $$ >%s/terminate; exec env \"$@\"' sh", dir);
    assert_int_equal(deps(before), 143);
    assert_non_null(strstr(get("asked"), "strongswan-starter.service 101\n"));
    assert_false(exists("policy"));
}

static void test_deps_policy_of_the_machine_stays(void **state)
{
    (void)state;
    put("policy", "#!/bin/sh\nexit 104\n");
    assert_int_equal(deps(""), 0);
    assert_string_equal(get("policy"), "#!/bin/sh\nexit 104\n");
    assert_non_null(strstr(get("asked"), "ssh.service 104\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_deps_nothing_missing_calls_no_apt, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_without_rights_prints_the_line_and_exits_3, setup,
                                        dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_with_sudo_installs_as_root_does, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_of_software_alone_are_eleven_packages, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_new_strongswan_is_kept_from_starting_and_disabled, setup,
                                        dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_new_etcd_is_kept_from_starting_and_disabled, setup,
                                        dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_strongswan_in_use_is_left_alone, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_unit_without_package_is_not_disabled, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_says_how_far_apt_is, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_failed_apt_shows_its_last_lines, setup, dir_remove),
        cmocka_unit_test_setup_teardown(
            test_deps_that_cannot_be_fetched_are_named_to_who_goes_on_without_them, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_terminated_leaves_no_policy_behind, setup, dir_remove),
        cmocka_unit_test_setup_teardown(test_deps_policy_of_the_machine_stays, setup, dir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
