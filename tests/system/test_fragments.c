// SPDX-License-Identifier: Apache-2.0
// IKE fragmentation (RFC 7383) with stock strongSwan, either end beginning, over IPv4 and IPv6: with a
// fragment_size of 256 at both ends every message but IKE_SA_INIT is in datagrams of at most so many octets,
// nothing is fragmented by IP, and the SAs come up, are rekeyed and carry traffic.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/system/steps.h"

enum { SIZE = 256, EX_SA_INIT = 34, PL_SKF = 53, ETHERNET = 14, MARKER = 4 };

static struct lab lab;

struct heard { // on the link; [1]: from east
    unsigned parts[2], whole[2], too_large, by_ip;
};

static int set_up(void **state)
{
    (void)state;
    return lab_up(&lab, "espfrag") && lab_ipv6(&lab) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    lab_down(&lab);
    return 0;
}

static void addresses(bool v6)
{
    struct site *both[] = {&lab.west, &lab.east};
    for (int i = 0; i < 2; i++)
        snprintf(both[i]->outer, sizeof(both[i]->outer), v6 ? "fd10::%d" : "10.10.0.%d", i + 1);
}

// --- what was on the link ---

static void ike(struct heard *h, int from, const uint8_t *m, size_t len, size_t ip_len)
{
    if (len < 28 || m[18] == EX_SA_INIT)
        return; // which is never in fragments
    h->too_large += ip_len > SIZE;
    h->parts[from] += m[16] == PL_SKF;
    h->whole[from] += m[16] != PL_SKF;
}

static unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static void packet(struct heard *h, const uint8_t *p, size_t len)
{
    const uint8_t *ip = p + ETHERNET;
    bool v6 = p[12] == 0x86 && p[13] == 0xdd;
    if (len < ETHERNET + 48u || (!v6 && (p[12] != 0x08 || p[13] != 0x00)))
        return;
    size_t head = v6 ? 40u : 4u * (ip[0] & 15);
    size_t ip_len = v6 ? 40u + be16(ip + 4) : be16(ip + 2);
    if (v6 ? ip[6] == 44 : ((ip[6] & 0x3f) | ip[7]) != 0) {
        h->by_ip++;
        return;
    }
    if ((v6 ? ip[6] : ip[9]) != 17 || ip_len < head + 8 || ETHERNET + ip_len > len)
        return;
    const uint8_t *udp = ip + head, *m = udp + 8;
    unsigned ports[] = {be16(udp), be16(udp + 2)};
    size_t left = ip_len - head - 8;
    int from = v6 ? ip[23] == 2 : ip[15] == 2;
    static const uint8_t marker[MARKER];
    if (ports[0] == 500 || ports[1] == 500)
        ike(h, from, m, left, ip_len);
    else if ((ports[0] == 4500 || ports[1] == 4500) && left > MARKER && memcmp(m, marker, MARKER) == 0)
        ike(h, from, m + MARKER, left - MARKER, ip_len);
}

static void listen_to(const char *pcap, struct heard *h)
{
    static uint8_t buf[70000];
    uint32_t head[6], rec[4];
    FILE *f = fopen(pcap, "rb");
    memset(h, 0, sizeof(*h));
    assert_non_null(f);
    assert_int_equal(fread(head, sizeof(head), 1, f), 1);
    while (fread(rec, sizeof(rec), 1, f) == 1 && rec[2] <= sizeof(buf) && fread(buf, 1, rec[2], f) == rec[2])
        packet(h, buf, rec[2]);
    fclose(f);
}

// --- the cells ---

static void swan(struct site *s, const char *command)
{
    char out[16384];
    if (swanctl(s, out, sizeof(out), "%s", command)) {
        print_error("%s: %s: %s\n", s->name, command, out);
        fail();
    }
}

static void cell(bool charon_begins, bool v6)
{
    static char *const ours[] = {"--card", "none", "-o", "fragment_size=256", NULL};
    const struct tunnel_options o = {.ike = "aes256gcm16-prfsha384-modp3072",
                                     .conn = "rekey_time = 0",
                                     .charon_settings = "fragment_size = 256"};
    struct site *first = charon_begins ? &lab.east : &lab.west;
    char pcap[200], out[16384];
    struct heard h;
    snprintf(pcap, sizeof(pcap), "%.90s/fragments-%d%d.pcap", lab.dir, charon_begins, v6);
    addresses(v6);
    assert_true(capture_start(&lab, &lab.west, pcap));
    assert_true(charon_start(&lab, &lab.east, &lab.west, &o));
    assert_true(espalierd_start(&lab, &lab.west, &lab.east, &o, ours));
    swan(first, "--initiate --child net --timeout 20");
    assert_true(ping(&lab, &lab.west, &lab.east, 5));
    swan(&lab.west, "--rekey --ike site"); // a modp3072 value does not fit a datagram of 256 octets
    assert_true(ping(&lab, &lab.west, &lab.east, 5));
    swan(&lab.east, "--rekey --ike site");
    assert_true(ping(&lab, &lab.east, &lab.west, 5));
    assert_int_equal(swanctl(&lab.west, out, sizeof(out), "--list-sas"), 0);
    assert_non_null(strstr(out, "ESTABLISHED"));
    assert_non_null(strstr(out, "INSTALLED"));
    swan(first, "--terminate --ike site --timeout 10");
    assert_true(capture_stop(&lab.west));
    assert_true(stop(&lab.west.daemon, SIGTERM, 10000));
    assert_true(stop(&lab.east.daemon, SIGTERM, 10000));
    listen_to(pcap, &h);
    print_message("%s begins, IPv%d: %u and %u fragments, %u and %u whole messages, %u too large, %u by IP\n",
                  first->name, v6 ? 6 : 4, h.parts[0], h.parts[1], h.whole[0], h.whole[1], h.too_large,
                  h.by_ip);
    for (int i = 0; i < 2; i++)
        assert_true(h.parts[i] >= 6); // of IKE_AUTH and of two rekeyings
    assert_int_equal(h.too_large, 0);
    assert_int_equal(h.by_ip, 0);
}

static void test_strongswan_takes_our_fragments_and_we_take_its(void **state)
{
    (void)state;
    needs_strongswan();
    for (int v6 = 0; v6 < 2; v6++) {
        cell(false, v6);
        cell(true, v6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_strongswan_takes_our_fragments_and_we_take_its, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
