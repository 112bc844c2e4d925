// SPDX-License-Identifier: Apache-2.0
// Rekeying with libreswan, a second IKEv2 that is independent of ours: CHILD and IKE SA, by either end, with
// and without a new key exchange, with ESP and with AH, whichever end began. It was a rekey if there was no
// further IKE_SA_INIT, the SPIs of what was rekeyed are others and those of the rest are not, and pluto has
// the same SAs. There is no traffic: this kernel has no ESP, and pluto is only told that it had.
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

#include "tests/system/pluto.h"
#include "tests/system/rekey_lab.h"

enum { PLUTO_MS = 15000, ROUNDS = 3 };

static struct rig rig;
static const char *peers;
static char pcap[200];

// What a CHILD SA is made of, as each end is told.
struct kind {
    const char *esp, *ah, *pluto;
    bool pfs;
};
static const struct kind gcm = {NULL, NULL, "esp=aes_gcm256", false},
                         gcm_pfs = {"aes256gcm16-x25519", NULL, "esp=aes_gcm256", true},
                         cbc = {"aes256-sha512", NULL, "esp=aes_cbc256-sha2_512", false},
                         ah = {NULL, "sha256", "phase2=ah\n  phase2alg=sha2_256", false};

static int tear_down(void **state)
{
    (void)state;
    rig_down(&rig);
    return 0;
}

// With pfs its CHILD SAs take the group of the IKE SA.
static void start_pluto(const struct kind *k)
{
    char conn[600];
    struct site *e = &rig.lab.east, *w = &rig.lab.west;
    snprintf(conn, sizeof(conn),
             "  authby=secret\n  left=%s\n  leftid=@east.example\n  leftsubnet=%s\n  right=%s\n"
             "  rightid=@west.example\n  rightsubnet=%s\n  ike=aes_gcm256-sha2_384;dh31\n  "
             "%s\n  pfs=%s\n",
             e->outer, e->subnet, w->outer, w->subnet, k->pluto, k->pfs ? "yes" : "no");
    assert_true(pluto_files(peers, e));
    assert_true(
        pluto_start(peers, e, conn, "@west.example @east.example : PSK \"a shared secret of the lab\"\n"));
}

static void start(const struct kind *k, int initiator)
{
    char out[8192], path[200];
    static char *const settings[] = {"--card", "none", "-o", "delete_rekeyed_delay=1", NULL};
    struct tunnel_options o = {.conn = "rekey_time = 0", .esp = k->esp, .ah = k->ah};
    memset(&rig, 0, sizeof(rig));
    rig.vici[WEST] = rig.vici[EAST] = -1;
    assert_true(lab_up(&rig.lab, "esppeers"));
    snprintf(pcap, sizeof(pcap), "%.90s/wire.pcap", rig.lab.dir);
    assert_true(capture_start(&rig.lab, &rig.lab.west, pcap));
    start_pluto(k);
    assert_true(espalierd_start(&rig.lab, &rig.lab.west, &rig.lab.east, &o, settings));
    snprintf(path, sizeof(path), "%s/vici", rig.lab.west.dir);
    rig.vici[WEST] = vici_open(path);
    assert_true(rig.vici[WEST] >= 0);
    if (initiator == WEST)
        assert_int_equal(swanctl(&rig.lab.west, out, sizeof(out), "--initiate --child net --timeout 20"), 0);
    else
        assert_int_equal(pluto_whack(peers, &rig.lab.east, out, sizeof(out), "--name site --initiate"), 0);
}

// What both have when it is quiet: pluto's status has the SPIs of espalierd's only child, and no other SA.
static bool agreed(void *ctx)
{
    struct vici_sas *sas = ctx;
    if (!rig_sas(&rig, WEST, sas) || sas->count != 1 || sas->children_count != 1)
        return false;
    const struct vici_child *c = installed(sas, "net");
    return c && pluto_has(peers, &rig.lab.east, c->spi_in, c->spi_out);
}

static void by_pluto(enum rekey what, const struct vici_sas *before)
{
    struct vici_sas now;
    char out[4096];
    bool changed = false;
    pluto_whack(peers, &rig.lab.east, out, sizeof(out), "--rekey-%s --name site",
                what == REKEY_CHILD ? "ipsec" : "ike");
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

// libreswan 4.10 deletes an AH SA that it has rekeyed as one of ESP with SPI 0, so it stays: not asked for.
static unsigned rekeyed_by(const struct kind *k, int side, enum rekey what)
{
    if (k->ah && side == EAST && what == REKEY_CHILD)
        return 0;
    rekey_by(side, what);
    return 1;
}

static void all_rekeys(const struct kind *k, int initiator)
{
    struct capture_log log;
    unsigned done = 0;
    start(k, initiator);
    for (int i = 0; i < ROUNDS; i++)
        for (int side = 0; side < 2; side++)
            for (int what = 0; what < 2; what++)
                done += rekeyed_by(k, side, what ? REKEY_IKE : REKEY_CHILD);
    assert_true(capture_stop(&rig.lab.west));
    assert_true(capture_read(&log, &rig.lab.west, pcap));
    assert_int_equal(capture_requests(&log, EXCHANGE_SA_INIT), 1);
    assert_int_equal(capture_requests(&log, EXCHANGE_AUTH), 1);
    assert_true(capture_requests(&log, EXCHANGE_CREATE_CHILD) >= done);
    print_message("  %u rekeys: CHILD and IKE SA, by us and by libreswan\n", done);
    capture_free(&log);
}

static void test_libreswan_rekeys_when_we_initiated(void **state)
{
    (void)state;
    all_rekeys(&gcm, WEST);
}

static void test_libreswan_rekeys_when_it_initiated(void **state)
{
    (void)state;
    all_rekeys(&gcm, EAST);
}

static void test_libreswan_rekeys_with_new_key_exchanges_when_we_initiated(void **state)
{
    (void)state;
    all_rekeys(&gcm_pfs, WEST);
}

static void test_libreswan_rekeys_with_new_key_exchanges_when_it_initiated(void **state)
{
    (void)state;
    all_rekeys(&gcm_pfs, EAST);
}

static void test_libreswan_rekeys_cbc_when_we_initiated(void **state)
{
    (void)state;
    all_rekeys(&cbc, WEST);
}

static void test_libreswan_rekeys_cbc_when_it_initiated(void **state)
{
    (void)state;
    all_rekeys(&cbc, EAST);
}

static void test_libreswan_rekeys_ah_when_we_initiated(void **state)
{
    (void)state;
    all_rekeys(&ah, WEST);
}

static void test_libreswan_rekeys_ah_when_it_initiated(void **state)
{
    (void)state;
    all_rekeys(&ah, EAST);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_libreswan_rekeys_when_we_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_when_it_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_with_new_key_exchanges_when_we_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_with_new_key_exchanges_when_it_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_cbc_when_we_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_cbc_when_it_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_ah_when_we_initiated, tear_down),
        cmocka_unit_test_teardown(test_libreswan_rekeys_ah_when_it_initiated, tear_down),
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
