// SPDX-License-Identifier: Apache-2.0
// Rekeying with libreswan, a second IKEv2 that is independent of ours: CHILD and IKE SA, by either end, with
// and without a new key exchange, whichever end began. It was a rekey if there was no further IKE_SA_INIT,
// the SPIs of what was rekeyed are others and those of the rest are not, and pluto has the same SAs. There is
// no traffic: this kernel has no ESP, and pluto is only told that it had (peers/no_esp_netlink.c).
// ESPALIER_PEERS: what peers/get.sh has made, and no_esp_netlink.so in it.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/system/rekey_lab.h"

enum { PLUTO_MS = 15000, ROUNDS = 3 };

static struct rig rig;
static const char *peers;
static char pcap[200];

static int tear_down(void **state)
{
    (void)state;
    rig_down(&rig);
    return 0;
}

static void write_file(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void write_file(const char *name, const char *fmt, ...)
{
    char path[240];
    va_list ap;
    snprintf(path, sizeof(path), "%s/%s", rig.lab.east.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    va_start(ap, fmt);
    vfprintf(f, fmt, ap);
    va_end(ap);
    fclose(f);
}

static int whack(char *out, size_t size, const char *args)
{
    const struct site *e = &rig.lab.east;
    return sh_read(out, size,
                   "LD_LIBRARY_PATH=%s/root/usr/lib/x86_64-linux-gnu nsenter --net=%s "
                   "%s/root/usr/libexec/ipsec/whack --ctlsocket %s/run/pluto.ctl %s 2>&1",
                   peers, e->ns, peers, e->dir, args);
}

static bool pluto_listens(void *ctx)
{
    char path[240];
    (void)ctx;
    snprintf(path, sizeof(path), "%s/run/pluto.ctl", rig.lab.east.dir);
    return access(path, F_OK) == 0;
}

// With pfs its CHILD SAs take the group of the IKE SA.
static void pluto_conf(bool pfs)
{
    const struct site *e = &rig.lab.east, *w = &rig.lab.west;
    write_file("ipsec.secrets", "@west.example @east.example : PSK \"a shared secret of the lab\"\n");
    write_file(
        "ipsec.conf",
        "config setup\n  logfile=%s/pluto.log\nconn site\n  ikev2=insist\n  authby=secret\n  left=%s\n"
        "  leftid=@east.example\n  leftsubnet=%s\n  right=%s\n  rightid=@west.example\n  rightsubnet=%s\n"
        "  ike=aes_gcm256-sha2_384;dh31\n  esp=aes_gcm256\n  pfs=%s\n  leftupdown=/bin/true\n  "
        "auto=ignore\n",
        e->dir, e->outer, e->subnet, w->outer, w->subnet, pfs ? "yes" : "no");
}

static void pluto_start(bool pfs)
{
    char cmd[2400], log[200], out[4096];
    struct site *e = &rig.lab.east;
    const char *d = e->dir;
    pluto_conf(pfs);
    assert_int_equal(
        sh("mkdir -p %s/run %s/nss %s/ipsec.d/policies && LD_LIBRARY_PATH=%s/root/usr/lib/x86_64-linux-gnu "
           "%s/root/usr/bin/certutil -N -d sql:%s/nss --empty-password",
           d, d, d, peers, peers, d),
        0);
    snprintf(
        cmd, sizeof(cmd),
        "exec unshare -m sh -c 'mount -t tmpfs none /run; mount --bind %s/root/usr/libexec /usr/libexec; "
        "exec env "
        "LD_LIBRARY_PATH=%s/root/usr/lib/x86_64-linux-gnu LD_PRELOAD=%s/no_esp_netlink.so "
        "/usr/libexec/ipsec/pluto --nofork --config %s/ipsec.conf --logfile %s/pluto.log --rundir %s/run "
        "--nssdir sql:%s/nss --ipsecdir %s/ipsec.d --secretsfile %s/ipsec.secrets --no-dnssec'",
        peers, peers, peers, d, d, d, d, d, d);
    char *argv[] = {"sh", "-c", cmd, NULL};
    snprintf(log, sizeof(log), "%s/stdout.log", d);
    e->daemon = spawn(log, e->ns, argv);
    assert_true(wait_for(pluto_listens, NULL, PLUTO_MS));
    whack(out, sizeof(out), "--listen");
    assert_int_equal(
        sh("LD_LIBRARY_PATH=%s/root/usr/lib/x86_64-linux-gnu nsenter --net=%s "
           "%s/root/usr/libexec/ipsec/addconn --config %s/ipsec.conf --ctlsocket %s/run/pluto.ctl site",
           peers, e->ns, peers, d, d),
        0);
}

static void start(bool pfs, int initiator)
{
    char out[8192], path[200];
    static char *const settings[] = {"--card", "none", "-o", "delete_rekeyed_delay=1", NULL};
    struct tunnel_options o = {.conn = "rekey_time = 0", .esp = pfs ? "aes256gcm16-x25519" : NULL};
    memset(&rig, 0, sizeof(rig));
    rig.vici[WEST] = rig.vici[EAST] = -1;
    assert_true(lab_up(&rig.lab, "esppeers"));
    snprintf(pcap, sizeof(pcap), "%.90s/wire.pcap", rig.lab.dir);
    assert_true(capture_start(&rig.lab, &rig.lab.west, pcap));
    pluto_start(pfs);
    assert_true(espalierd_start(&rig.lab, &rig.lab.west, &rig.lab.east, &o, settings));
    snprintf(path, sizeof(path), "%s/vici", rig.lab.west.dir);
    rig.vici[WEST] = vici_open(path);
    assert_true(rig.vici[WEST] >= 0);
    if (initiator == WEST)
        assert_int_equal(swanctl(&rig.lab.west, out, sizeof(out), "--initiate --child net --timeout 20"), 0);
    else
        assert_int_equal(whack(out, sizeof(out), "--name site --initiate"), 0);
}

// What both have when it is quiet: pluto's status has the SPIs of espalierd's only child, and no other SA.
static bool agreed(void *ctx)
{
    struct vici_sas *sas = ctx;
    static char out[65536];
    char in[24], on[24];
    if (!rig_sas(&rig, WEST, sas) || sas->count != 1 || sas->children_count != 1)
        return false;
    const struct vici_child *c = installed(sas, "net");
    if (!c || whack(out, sizeof(out), "--status"))
        return false;
    snprintf(in, sizeof(in), "esp.%x@", c->spi_in);
    snprintf(on, sizeof(on), "esp.%x@", c->spi_out);
    return strstr(out, in) && strstr(out, on) && strstr(out, "IKE SAs: total(1)") &&
           strstr(out, "IPsec SAs: total(1)");
}

static void by_pluto(enum rekey what, const struct vici_sas *before)
{
    struct vici_sas now;
    char out[4096];
    bool changed = false;
    whack(out, sizeof(out), what == REKEY_CHILD ? "--rekey-ipsec --name site" : "--rekey-ike --name site");
    for (int i = 0; i < 500 && !changed; i++) {
        assert_true(rig_sas(&rig, WEST, &now));
        const struct vici_child *c = installed(&now, "net");
        changed = what == REKEY_CHILD ? c && c->spi_in != before->child[0].spi_in
                                      : now.count == 1 && now.sa[0].spi_i != before->sa[0].spi_i;
        usleep(20000);
    }
    if (!changed)
        fail_msg("pluto did not rekey: %s", out);
}

static void rekey_by(int side, enum rekey what)
{
    static struct vici_sas before, after;
    assert_true(wait_for(agreed, &before, PLUTO_MS));
    if (side == WEST)
        assert_true(rig_rekey(&rig, WEST, what, 0));
    else
        by_pluto(what, &before);
    assert_true(wait_for(agreed, &after, PLUTO_MS));
    bool same_ike = before.sa[0].spi_i == after.sa[0].spi_i,
         same_child = before.child[0].spi_in == after.child[0].spi_in;
    assert_int_equal(same_ike, what == REKEY_CHILD);
    assert_int_equal(same_child, what == REKEY_IKE);
}

static void all_rekeys(bool pfs, int initiator)
{
    struct capture_log log;
    start(pfs, initiator);
    for (int i = 0; i < ROUNDS; i++)
        for (int side = 0; side < 2; side++)
            for (int what = 0; what < 2; what++)
                rekey_by(side, what ? REKEY_IKE : REKEY_CHILD);
    assert_true(capture_stop(&rig.lab.west));
    assert_true(capture_read(&log, &rig.lab.west, pcap));
    assert_int_equal(capture_requests(&log, EXCHANGE_SA_INIT), 1);
    assert_int_equal(capture_requests(&log, EXCHANGE_AUTH), 1);
    assert_true(capture_requests(&log, EXCHANGE_CREATE_CHILD) >= 4 * ROUNDS);
    print_message("  %d rekeys: CHILD and IKE SA, by us and by libreswan\n", 4 * ROUNDS);
    capture_free(&log);
}

static void test_libreswan_rekeys_when_we_initiated(void **state)
{
    (void)state;
    all_rekeys(false, WEST);
}

static void test_libreswan_rekeys_when_it_initiated(void **state)
{
    (void)state;
    all_rekeys(false, EAST);
}

static void test_libreswan_rekeys_with_new_key_exchanges_when_we_initiated(void **state)
{
    (void)state;
    all_rekeys(true, WEST);
}

static void test_libreswan_rekeys_with_new_key_exchanges_when_it_initiated(void **state)
{
    (void)state;
    all_rekeys(true, EAST);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_libreswan_rekeys_when_we_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_when_it_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_with_new_key_exchanges_when_we_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_with_new_key_exchanges_when_it_initiated, tear_down),
    };
    peers = getenv("ESPALIER_PEERS");
    if (!peers) {
        fprintf(stderr, "missing: ESPALIER_PEERS, a folder with libreswan (make check-peers)\n");
        return 3;
    }
    setenv("ESPALIER_REKEY_WEST", "espalierd", 1);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("other peers", tests, NULL, NULL);
}
