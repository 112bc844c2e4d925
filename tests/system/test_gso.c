// SPDX-License-Identifier: Apache-2.0
// Cutting and putting together of TCP segments and UDP datagrams against the kernel's own: it forwards from a
// TUN that takes big packets to one that takes none, and what comes out is compared octet by octet.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/segments.h"

enum { ROUNDS = 200 };

#ifndef TUN_F_USO4 // in Linux since 6.2
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int in, out;  // TUNs
static bool udp_too; // this kernel knows UDP that is to be cut

static int tun_new(const char *name, int flags)
{
    struct ifreq r = {.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | flags)};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
        fail_msg("cannot make a TUN: the test needs root and /dev/net/tun");
    return fd;
}

static int lab(void **state)
{
    (void)state;
    if (unshare(CLONE_NEWNET) < 0)
        return -1;
    in = tun_new("in", IFF_VNET_HDR);
    udp_too = ioctl(in, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6)) == 0;
    (void)ioctl(in, TUNSETOFFLOAD, 0ul);
    out = tun_new("out", 0);
    return system("echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; "
                  "for i in in out; do echo 0 >/proc/sys/net/ipv4/conf/$i/rp_filter; "
                  "ip link set $i addrgenmode none mtu 1500 up; done; "
                  "ip addr add 10.9.0.1/24 dev in && ip addr add 10.8.0.1/24 dev out && "
                  "ip addr add fd09::1/64 dev in nodad && ip addr add fd08::1/64 dev out nodad");
}

static void into_the_kernel(const struct virtio_net_hdr *h, uint8_t *p, uint32_t len)
{
    struct iovec v[] = {{(void *)(uintptr_t)h, sizeof(*h)}, {p, len}};
    assert_int_equal(writev(in, v, 2), len + sizeof(*h));
}

// What the kernel has forwarded, as it came in: its hop is put back. 0: nothing.
static uint32_t forwarded(uint8_t *p, uint32_t cap)
{
    struct pollfd f = {.fd = out, .events = POLLIN};
    while (poll(&f, 1, 2000) > 0) {
        ssize_t n = read(out, p, cap);
        uint8_t proto = p[p[0] >> 4 == 4 ? 9 : 6];
        if (n < 28 || (proto != IPPROTO_TCP && proto != IPPROTO_UDP))
            continue; // of its own
        if (p[0] >> 4 == 6) {
            p[7]++;
        } else { // RFC 1624: the higher octet of a word of the sum
            uint32_t sum = (uint32_t)(p[10] << 8 | p[11]) + 0xffff - 0x100;
            sum = (sum & 0xffff) + (sum >> 16);
            p[8]++;
            p[10] = (uint8_t)(sum >> 8);
            p[11] = (uint8_t)sum;
        }
        return (uint32_t)n;
    }
    return 0;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)rand() % n;
}

static struct big_packet random_packet(bool cut)
{
    static const uint8_t flags[] = {0x10, 0x18, 0x11, 0x19, 0x90, 0x98, 0x50};
    struct big_packet k = {.six = below(2),
                           .udp = udp_too && below(2),
                           .flags = flags[below(sizeof(flags))],
                           .options = 4 * below(11),
                           .payload = 1 + below(cut ? 60000 : 1300),
                           .seed = below(60)};
    k.gso_size = cut ? (uint16_t)(500 + below(900)) : 0;
    if (cut && k.udp) { // no more than 64
        k.gso_size = (uint16_t)(1 + below(1400));
        k.payload = 1 + below(k.gso_size * GSO_UDP < 60000 ? k.gso_size * GSO_UDP : 60000);
    }
    if (cut && k.payload <= k.gso_size)
        k.payload += k.gso_size;
    return k;
}

static void expect_forwarded(const uint8_t *want, uint32_t len)
{
    static uint8_t got[65536];
    uint32_t n = forwarded(got, sizeof(got));
    if (n != len)
        fail_msg("the kernel gives %u octets, we %u", n, len);
    for (uint32_t i = 0; i < len; i++)
        if (got[i] != want[i])
            fail_msg("octet %u of %u: the kernel gives %02x, we %02x", i, len, got[i], want[i]);
}

static void test_a_big_packet_is_cut_as_the_kernel_cuts_it(void **state)
{
    static uint8_t p[65536], segment[2048];
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct big_packet k = random_packet(true);
        struct virtio_net_hdr h;
        struct gso g;
        uint32_t len = big_build(&k, p, &h), n;
        into_the_kernel(&h, p, len);
        assert_int_equal(gso_begin(&g, &h, p, len), 0);
        assert_int_equal(gso_left(&g), (k.payload + k.gso_size - 1) / k.gso_size);
        while ((n = gso_next(&g, segment, sizeof(segment))))
            expect_forwarded(segment, n);
        assert_int_equal(gso_left(&g), 0);
    }
}

static void test_a_checksum_is_completed_as_the_kernel_does_it(void **state)
{
    static uint8_t p[2048];
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct big_packet k = random_packet(false);
        struct virtio_net_hdr h;
        uint32_t len = big_build(&k, p, &h);
        into_the_kernel(&h, p, len);
        assert_int_equal(gso_complete(&h, p, len), 0);
        expect_forwarded(p, len);
    }
}

// What was put together is written, and the kernel cuts it again.
static void test_what_is_put_together_the_kernel_cuts_into_what_it_was(void **state)
{
    static uint8_t p[65536], whole[GSO_MAX], segment[128][2048];
    struct gro r = {.buf = whole};
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct big_packet k = random_packet(true);
        struct virtio_net_hdr h;
        struct gso g;
        uint32_t n = 0, size[128];
        k.flags &= 0x18;
        uint32_t len = big_build(&k, p, &h);
        assert_int_equal(gso_begin(&g, &h, p, len), 0);
        while (gso_left(&g)) {
            size[n] = gso_next(&g, segment[n], sizeof(segment[n]));
            struct gro_place at;
            assert_true(gro_look(segment[n], size[n], &at));
            if (n)
                assert_true(gro_append(&r, segment[n], size[n], &at));
            else
                gro_start(&r, segment[n], size[n], &at);
            n++;
        }
        assert_int_equal(gro_end(&r, &h), len);
        assert_int_equal(h.gso_size, k.gso_size);
        assert_memory_equal(whole, p, len); // the sender's own packet again
        into_the_kernel(&h, whole, len);
        for (uint32_t s = 0; s < n; s++)
            expect_forwarded(segment[s], size[s]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_big_packet_is_cut_as_the_kernel_cuts_it),
        cmocka_unit_test(test_a_checksum_is_completed_as_the_kernel_does_it),
        cmocka_unit_test(test_what_is_put_together_the_kernel_cuts_into_what_it_was),
    };
    return cmocka_run_group_tests_name("big packets against the kernel", tests, lab, NULL);
}
