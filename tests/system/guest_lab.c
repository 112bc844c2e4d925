// SPDX-License-Identifier: Apache-2.0
#include "tests/system/guest_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The site's end of the link becomes a bridge's, with the guest at its other one.
static bool bridge(const struct site *east)
{
    return sh("nsenter --net=%s sh -c 'ip addr flush dev outer; ip link set outer address 02:00:00:00:00:03; "
              "ip tuntap add dev guest0 mode tap; ip link add br0 type bridge; "
              "for d in outer guest0 br0; do echo 1 >/proc/sys/net/ipv6/conf/$d/disable_ipv6; done; "
              "ip link set guest0 master br0 && ip link set outer master br0 && ip link set br0 up && "
              "ip link set guest0 up'",
              east->ns) == 0 ||
           complain("cannot put a guest in the place of the east site");
}

static bool network(struct guest_lab *g)
{
    char said[1000];
    return guest_run(&g->guest, said, sizeof(said),
                     "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_ra; "
                     "ip addr add 10.10.0.2/24 dev eth0; ip -6 addr add fd10::2/64 dev eth0 nodad; "
                     "ip addr add 10.2.0.1/32 dev lo; ip -6 addr add fd02::1/128 dev lo; "
                     "ip link set eth0 up; ip neigh add 10.10.0.1 lladdr 02:00:00:00:00:01 dev eth0; "
                     "ip neigh add " MIDDLE_NAT_ADDRESS " lladdr 02:00:00:00:00:01 dev eth0; "
                     "ip route add 10.1.0.0/16 via 10.10.0.1 src 10.2.0.1; "
                     "ip -6 route add fd01::/64 via fd10::1 src fd02::1") == 0 ||
           complain("the guest's network: %s", said);
}

static bool card(struct guest_lab *g)
{
    snprintf(g->card, sizeof(g->card), "%s/devices/0000:01:00.0/vfio-user.sock", g->lab.card_dir);
    return card_start(&g->lab, NULL);
}

bool guest_lab_up(struct guest_lab *g, const char *prefix, bool with_card)
{
    const struct middle_control plain = {0};
    struct guest_options o = {.files = getenv("ESPALIER_GUEST"),
                              .image = getenv("ESPALIER_GUEST_IMAGE"),
                              .ns = g->lab.east.ns,
                              .tap = "guest0",
                              .vfio_user = with_card ? g->card : NULL,
                              .neighbour = g->neighbour};
    if (!o.files || !o.image)
        return complain("ESPALIER_GUEST and ESPALIER_GUEST_IMAGE name no guest (make check-qemu)");
    return lab_up(&g->lab, prefix) && middle_start(&g->lab, &g->middle, &plain) && lab_ipv6(&g->lab) &&
           sh("nsenter --net=%s ip -6 addr add fd01::1/128 dev lo", g->lab.west.ns) == 0 &&
           bridge(&g->lab.east) && (!with_card || card(g)) && guest_start(&g->guest, &o) && network(g);
}

void guest_lab_down(struct guest_lab *g)
{
    guest_stop(&g->guest);
    if (g->middle.pid)
        middle_stop(&g->middle);
    lab_down(&g->lab);
}

static const char *west_is(const struct guest_lab *g)
{
    return g->west_is ? g->west_is : g->lab.west.inner;
}

bool in_guest(struct guest_lab *g, const char *command)
{
    char said[4000];
    return guest_run(&g->guest, said, sizeof(said), "%s", command) == 0 ||
           complain("the guest: %s\n%s", command, said);
}

bool guest_pings(struct guest_lab *g, int count)
{
    char order[200];
    snprintf(order, sizeof(order), "ping -q -c %d -W 10 -I %s %s", count, g->lab.east.inner, west_is(g));
    return ping(&g->lab, &g->lab.west, &g->lab.east, count) && in_guest(g, order);
}

static bool file_there(struct guest_lab *g, unsigned octets)
{
    char here[64] = "", there[64] = "";
    const struct site *w = &g->lab.west, *e = &g->lab.east;
    bool sent = in_guest(g, "rm -f /run/file.whole; (nc -l -p 5001 >/run/file; : >/run/file.whole) "
                            ">/dev/null 2>&1 </dev/null & sleep 0.5") &&
                sh("head -c %u /dev/urandom >%s/file && nsenter --net=%s nc -N -w 60 -s %s %s 5001 <%s/file",
                   octets, g->lab.dir, w->ns, w->inner, e->inner, g->lab.dir) == 0 &&
                in_guest(g, "i=0; until [ -e /run/file.whole ]; do [ $((i += 1)) -lt 300 ] || exit 1; "
                            "sleep 0.2; done");
    sh_read(here, sizeof(here), "md5sum <%s/file", g->lab.dir);
    guest_run(&g->guest, there, sizeof(there), "md5sum </run/file");
    return sent && strncmp(here, there, 32) == 0 ? true
                                                 : complain("the file did not come to the guest as it was");
}

static bool file_back(struct guest_lab *g)
{
    char order[200], back[200];
    const struct site *w = &g->lab.west;
    snprintf(back, sizeof(back), "%s/back", g->lab.dir);
    char *argv[] = {"nc", "-d", "-l", (char *)w->inner, "5002", NULL};
    remove(back);
    pid_t nc = spawn(back, w->ns, argv);
    snprintf(order, sizeof(order), "sleep 0.5; nc -w 60 %s 5002 </run/file", west_is(g));
    bool ok =
        in_guest(g, order) && sh("for i in $(seq 300); do cmp -s %s/file %s && exit 0; sleep 0.2; done; "
                                 "exit 1",
                                 g->lab.dir, back) == 0;
    stop(&nc, 9, 1000);
    return ok || complain("the file did not come back as it was");
}

bool guest_files(struct guest_lab *g, unsigned octets)
{
    return file_there(g, octets) && file_back(g);
}
