// SPDX-License-Identifier: Apache-2.0
// See watch.h. A packet socket with a ring, which holds a whole run: an ordinary queue would lose what comes
// while nobody reads.
#include "sim/pair/watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FRAME = 256, BLOCK = 1 << 16, BLOCKS = 128, FRAMES = BLOCKS * (BLOCK / FRAME) };
enum { IP4 = 20, UDP = 8, PORT_IKE = 500, PORT_NAT_T = 4500 };

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static int interface(const struct pair_lab *l)
{
    struct ifreq r = {.ifr_name = "outer"};
    int fd = lab_socket(l, &l->site[PAIR_WEST], AF_INET, SOCK_DGRAM, 0);
    int rc = fd < 0 ? -1 : ioctl(fd, SIOCGIFINDEX, &r);
    if (fd >= 0)
        close(fd);
    return rc < 0 ? -1 : r.ifr_ifindex;
}

static bool set_up(struct pair_watch *w, const struct pair_lab *l)
{
    int version = TPACKET_V2;
    struct tpacket_req ring = {
        .tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = FRAME, .tp_frame_nr = FRAMES};
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = interface(l)};
    if (w->fd < 0 || at.sll_ifindex < 0 ||
        setsockopt(w->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
        setsockopt(w->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) < 0)
        return false;
    void *m = mmap(NULL, (size_t)BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
    if (m == MAP_FAILED)
        return false;
    w->ring = m;
    return bind(w->fd, (struct sockaddr *)&at, sizeof(at)) == 0;
}

bool watch_open(struct pair_watch *w, struct pair_lab *l)
{
    *w = (struct pair_watch){.fd = lab_socket(l, &l->site[PAIR_WEST], AF_PACKET, SOCK_DGRAM, 0)};
    for (int i = 0; i < PAIR_SITES; i++)
        w->inner[i] = ntohl(inet_addr(l->site[i].inner));
    if (set_up(w, l))
        return true;
    pair_fail(l, "the link cannot be watched: %s", strerror(errno));
    watch_close(w);
    return false;
}

// A number that is not above the last one of its SA was there before: the link keeps the order.
static void take_esp(struct pair_watch *w, const uint8_t *p, uint32_t n)
{
    uint32_t spi = be32(p), number = be32(p + 4);
    unsigned i = 0;
    if (n < 8)
        return;
    w->esp++;
    while (i < w->sas && w->sa[i].spi != spi)
        i++;
    if (i == w->sas && i < WATCH_SPIS) {
        w->sa[w->sas++].spi = spi;
        w->sa[i].last = 0;
    }
    if (i == WATCH_SPIS)
        return;
    w->repeated += number <= w->sa[i].last;
    w->sa[i].last = number;
}

static bool of_inside(const struct pair_watch *w, const uint8_t *p)
{
    uint32_t src = be32(p + 12), dst = be32(p + 16);
    return src == w->inner[0] || src == w->inner[1] || dst == w->inner[0] || dst == w->inner[1];
}

static void take_udp(struct pair_watch *w, const uint8_t *p, uint32_t n)
{
    bool nat_t = be16(p) == PORT_NAT_T || be16(p + 2) == PORT_NAT_T;
    if (nat_t && n >= UDP + 8 && be32(p + UDP))
        take_esp(w, p + UDP, n - UDP);
    else if (nat_t || be16(p) == PORT_IKE || be16(p + 2) == PORT_IKE)
        w->ike++;
    else
        w->other++;
}

static void take_ip(struct pair_watch *w, const uint8_t *p, uint32_t n)
{
    uint32_t header = (p[0] & 15u) * 4;
    if (n < IP4 + UDP || n < header + UDP || header < IP4)
        w->other++;
    else if (of_inside(w, p))
        w->clear++;
    else if (p[9] == IPPROTO_ESP)
        take_esp(w, p + header, n - header);
    else if (p[9] == IPPROTO_UDP)
        take_udp(w, p + header, n - header);
    else
        w->other++;
}

static struct tpacket2_hdr *frame(const struct pair_watch *w)
{
    return (struct tpacket2_hdr *)(void *)(w->ring + (size_t)w->next * FRAME);
}

void watch_take(struct pair_watch *w)
{
    struct tpacket_stats lost = {0};
    socklen_t len = sizeof(lost);
    if (!w->ring)
        return;
    for (struct tpacket2_hdr *h; (h = frame(w))->tp_status & TP_STATUS_USER;
         w->next = (w->next + 1) % FRAMES) {
        const struct sockaddr_ll *from = (void *)((uint8_t *)h + TPACKET_ALIGN(sizeof(*h)));
        atomic_thread_fence(memory_order_acquire);
        if (from->sll_protocol == htons(ETH_P_IP))
            take_ip(w, (uint8_t *)h + h->tp_net, h->tp_snaplen);
        atomic_thread_fence(memory_order_release);
        h->tp_status = TP_STATUS_KERNEL;
    }
    if (getsockopt(w->fd, SOL_PACKET, PACKET_STATISTICS, &lost, &len) == 0)
        w->unseen += lost.tp_drops;
}

void watch_close(struct pair_watch *w)
{
    if (w->ring)
        munmap(w->ring, (size_t)BLOCK * BLOCKS);
    if (w->fd >= 0)
        close(w->fd);
    w->ring = NULL;
    w->fd = -1;
}
