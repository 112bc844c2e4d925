// SPDX-License-Identifier: Apache-2.0
// Records what passes a site's end of the link into a pcap file. What had passed before capture_stop was
// called is in the file: the kernel puts a packet into the ring at once, and the ring is emptied before the
// recorder ends. What the ring had no room for is said, because a capture with holes proves nothing.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/system/harness.h"

enum { FRAME = 4096, FRAMES = 8192, BLOCK = 1 << 20 };

static volatile sig_atomic_t stopped;

static void on_stop(int sig)
{
    (void)sig;
    stopped = 1;
}

struct ring {
    int fd;
    uint8_t *at;
    unsigned next;
    FILE *to;
    unsigned snaplen;
};

static bool ring_open(struct ring *r)
{
    struct sockaddr_ll link = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_ALL),
                               .sll_ifindex = (int)if_nametoindex("outer")};
    struct tpacket_req req = {.tp_block_size = BLOCK,
                              .tp_block_nr = FRAMES / (BLOCK / FRAME),
                              .tp_frame_size = FRAME,
                              .tp_frame_nr = FRAMES};
    int version = TPACKET_V2;
    r->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); // hears nothing before it is bound
    if (r->fd < 0 || setsockopt(r->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
        setsockopt(r->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0)
        return false;
    r->at = mmap(NULL, (size_t)FRAME * FRAMES, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
    return r->at != MAP_FAILED && bind(r->fd, (struct sockaddr *)&link, sizeof(link)) == 0;
}

static bool file_open(struct ring *r, const char *path)
{
    const uint32_t head[6] = {0xa1b2c3d4, 4u << 16 | 2u, 0, 0, 262144, 1}; // version 2.4, Ethernet
    r->to = fopen(path, "wb");
    return r->to && fwrite(head, sizeof(head), 1, r->to) == 1;
}

static bool write_frame(struct ring *r, const struct tpacket2_hdr *h)
{
    uint32_t kept = r->snaplen && r->snaplen < h->tp_snaplen ? r->snaplen : h->tp_snaplen;
    const uint32_t rec[4] = {h->tp_sec, h->tp_nsec / 1000, kept, h->tp_len};
    return fwrite(rec, sizeof(rec), 1, r->to) == 1 &&
           fwrite((const uint8_t *)h + h->tp_mac, kept, 1, r->to) == 1;
}

static bool empty_ring(struct ring *r)
{
    for (;; r->next = (r->next + 1) % FRAMES) {
        struct tpacket2_hdr *h = (void *)(r->at + (size_t)r->next * FRAME);
        if (!(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
            return true;
        if (!write_frame(r, h))
            return false;
        __atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    }
}

static bool missed_nothing(const struct ring *r)
{
    struct tpacket_stats s = {0};
    socklen_t len = sizeof(s);
    if (getsockopt(r->fd, SOL_PACKET, PACKET_STATISTICS, &s, &len) < 0)
        return false;
    return !s.tp_drops || complain("the recorder had no room for %u of %u packets", s.tp_drops, s.tp_packets);
}

static bool record(struct ring *r)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    int error;
    socklen_t len = sizeof(error);
    while (!stopped) {
        if (poll(&p, 1, 100) > 0 && p.revents & POLLERR) // the link went down
            getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (!empty_ring(r))
            return false;
    }
    return empty_ring(r) && fflush(r->to) == 0 && missed_nothing(r);
}

bool capture_start(struct lab *l, struct site *s, const char *path)
{
    struct ring r = {.snaplen = s->snaplen};
    int ready[2];
    char c;
    (void)l;
    if (pipe(ready) < 0 || (s->capture = fork()) < 0)
        return complain("%s: no recorder: %s", s->name, strerror(errno));
    if (s->capture == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGINT, on_stop);
        close(ready[0]);
        if (!enter_ns(s->ns) || !ring_open(&r) || !file_open(&r, path) || write(ready[1], "", 1) != 1)
            _exit(1);
        _exit(!record(&r));
    }
    close(ready[1]);
    bool ok = read(ready[0], &c, 1) == 1;
    close(ready[0]);
    return ok || complain("%s: the link cannot be recorded into %s", s->name, path);
}

bool capture_stop(struct site *s)
{
    return stop(&s->capture, SIGINT, PATIENCE_MS) ||
           complain("%s: the link was not recorded as a whole", s->name);
}
