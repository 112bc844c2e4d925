// SPDX-License-Identifier: Apache-2.0
// The sockets of UDP 4500 on a link whose packets come one by one, as those of a network card do: the kernel
// puts the datagrams of each flow together, whatever its ports, and what is ESP comes to path's socket.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctrl/path/net_receive.h"
#include "ctrl/super/sockets.h"

#ifndef UDP_SEGMENT // linux/udp.h, which does not go together with netinet/udp.h
#define UDP_SEGMENT 103
#endif

enum { FLOWS = 32, DATAGRAMS = 10, OCTETS = 1000 };

static struct socket_set sockets;

static void switch_on(const char *link, uint32_t what, uint32_t on)
{
    struct ethtool_value v = {.cmd = what, .data = on};
    struct ifreq r = {.ifr_data = (char *)&v};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", link);
    assert_int_equal(ioctl(fd, SIOCETHTOOL, &r), 0);
    close(fd);
}

// A process with a network namespace of its own, which its number names.
static pid_t elsewhere(void)
{
    int up[2];
    char c;
    assert_int_equal(pipe(up), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNET) < 0 || write(up[1], "", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    close(up[1]);
    assert_int_equal(read(up[0], &c, 1), 1);
    close(up[0]);
    return pid;
}

static void enter(const char *ns, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), ns, (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(setns(fd, CLONE_NEWNET), 0);
    close(fd);
}

// The sockets are there; where the test goes on is at the link's other end.
static int lab(void **state)
{
    (void)state;
    struct settings st = {.port = 500, .port_nat_t = 4500, .workers = 1, .tun = "gro0"};
    struct esp_error err = {0};
    char command[200];
    if (unshare(CLONE_NEWNET) < 0)
        fail_msg("no network namespace: the test needs root");
    pid_t pid = elsewhere();
    snprintf(command, sizeof(command),
             "ip link add there type veth peer name here && ip link set there netns %d && "
             "ip addr add 192.0.2.2/24 dev here && ip link set here up",
             (int)pid);
    assert_int_equal(system(command), 0);
    switch_on("here", ETHTOOL_SGRO, 1);
    if (sockets_open(&sockets, &st, &err) < 0)
        fail_msg("%s: %s", err.field, err.text);
    enter("/proc/%d/ns/net", pid);
    assert_int_equal(system("ip addr add 192.0.2.1/24 dev there && ip link set there up"), 0);
    // A link that hands on what is together would show nothing: without checksums it does not cut.
    switch_on("there", ETHTOOL_STSO, 0);
    switch_on("there", ETHTOOL_STXCSUM, 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    sockets_close(&sockets);
    return 0;
}

static void leave_out(const char *why)
{
    print_message("skip: %s\n", why);
    skip();
}

// In one go; the kernel cuts them before the link.
static void send_datagrams(int fd)
{
    static uint8_t bytes[DATAGRAMS * OCTETS];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(4500)};
    int size = OCTETS;
    inet_pton(AF_INET, "192.0.2.2", &to.sin_addr);
    for (int i = 0; i < DATAGRAMS; i++)
        memset(bytes + i * OCTETS, 1 + i, OCTETS);
    if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)) < 0)
        leave_out("a kernel that cuts nothing puts nothing together either");
    ssize_t n = sendto(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&to, sizeof(to));
    if (n < 0 && errno == EIO)
        leave_out("a kernel before 6.11 does not cut where the link leaves checksums to it");
    assert_int_equal(n, sizeof(bytes));
}

static void expect_datagram(const uint8_t *p, uint32_t len, unsigned number)
{
    assert_int_equal(len, OCTETS);
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(p[i], 1 + number);
}

// All of one flow, in order: how many times something came.
static unsigned receive_datagrams(void)
{
    static uint8_t first[2000], rest[65536], whole[sizeof(first) + sizeof(rest)];
    struct net_receiver r = {.calls = &net_receive_linux};
    unsigned number = 0, times = 0;
    while (number < DATAGRAMS) {
        struct datagram d = {first, sizeof(first), rest, sizeof(rest), 0, 0, {.ttl = 0}};
        struct pollfd f = {.fd = sockets.esp_nat_t, .events = POLLIN};
        assert_int_equal(poll(&f, 1, 5000), 1);
        assert_int_equal(net_receive(&r, sockets.esp_nat_t, &d, 1), 1);
        uint32_t there = d.len < sizeof(first) ? d.len : sizeof(first), each = d.segment ? d.segment : d.len;
        memcpy(whole, first, there);
        memcpy(whole + there, rest, d.len - there);
        for (uint32_t at = 0; at < d.len; at += each)
            expect_datagram(whole + at, each, number++);
        times++;
    }
    return times;
}

static void test_datagrams_of_every_flow_are_put_together(void **state)
{
    (void)state;
    for (int i = 0; i < FLOWS; i++) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        send_datagrams(fd);
        assert_true(receive_datagrams() < DATAGRAMS);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagrams_of_every_flow_are_put_together),
    };
    return cmocka_run_group_tests_name("datagrams put together by the kernel", tests, lab, end);
}
