// SPDX-License-Identifier: Apache-2.0
// See net_send.h.
#include "ctrl/path/net_send.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT // linux/udp.h, which does not go together with netinet/udp.h
#define UDP_SEGMENT 103
#endif

enum { RUN_OCTETS = 65000, CONTROL = 128, IP4 = 20, IP6 = 40, UDP = 8 };

const struct net_calls net_linux = {sendmmsg, setsockopt, getsockopt};

struct run { // packets that one call's message carries
    unsigned count;
    uint32_t size, octets; // of each but the last; of all, without headers
    const uint8_t *first;  // whole packet
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } to;
    _Alignas(struct cmsghdr) uint8_t control[CONTROL];
};
struct batch { // by one socket
    int fd;
    unsigned runs;
    struct run run[NET_SEND_MAX];
    struct iovec iov[NET_SEND_MAX];
    struct mmsghdr msg[NET_SEND_MAX];
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static bool is6(const uint8_t *p)
{
    return p[0] >> 4 == 6;
}

// RFC 3948 section 2.1 would have the checksum zero over IPv4. The kernel refuses that of what it is to cut
// (EINVAL), and puts together on the other end's behalf only what has one. Without cutting a gateway carries
// a third of the TCP and takes four times the CPU time for a packet (measured by make bench-gateway with
// UDP_SEGMENT taken out), so there is a checksum where the kernel cuts, and none where it does not. No
// receiver may depend on either.
static void set_cuts(const struct net_calls *c, struct net_send_family *f, bool cuts)
{
    int none = 1;
    f->cuts = cuts;
    if (!cuts && f->udp >= 0 && !f->six)
        (void)c->setsockopt(f->udp, SOL_SOCKET, SO_NO_CHECK, &none, sizeof(none));
}

static void ask(const struct net_calls *c, struct net_send_family *f)
{
    int v = 0;
    socklen_t n = sizeof(v);
    f->df = -1;
    // A kernel that does not know it would send all of a run as one datagram.
    set_cuts(c, f, f->udp >= 0 && c->getsockopt(f->udp, IPPROTO_UDP, UDP_SEGMENT, &v, &n) == 0);
}

void net_sender_open(struct net_sender *s)
{
    int off = 0, whole = IPV6_PMTUDISC_DO;
    s->family[1].six = true;
    for (int i = 0; i < 2; i++)
        ask(s->calls, &s->family[i]);
    int six = s->family[1].udp;
    // No fragments, and the flow label that path's header has, as by the raw socket.
    if (six >= 0 && (s->calls->setsockopt(six, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &whole, sizeof(whole)) < 0 ||
                     s->calls->setsockopt(six, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, &off, sizeof(off)) < 0))
        s->family[1].udp = -1;
}

// ---- what goes by the UDP socket

// Octets of the headers that the kernel can write as path has; 0: it cannot.
static uint32_t headers(const struct net_sender *s, const uint8_t *p, uint32_t len)
{
    uint32_t n = is6(p) ? IP6 : IP4;
    if (len <= n + UDP || s->family[is6(p)].udp < 0)
        return 0;
    bool plain = is6(p) ? !(p[1] & 15) && !p[2] && !p[3] && p[6] == IPPROTO_UDP // no flow label
                        : p[0] == 0x45 && !(p[6] & ~0x40) && !p[7] && p[9] == IPPROTO_UDP;
    return plain && be16(p + n) == s->port && be16(p + n + 4) + n == len ? n + UDP : 0;
}

static bool same_headers(const uint8_t *a, const uint8_t *b)
{
    if (a[0] != b[0])
        return false;
    if (is6(a))
        return !memcmp(a, b, 4) && !memcmp(a + 6, b + 6, IP6 - 6 + 4);
    return a[1] == b[1] && a[6] == b[6] && a[8] == b[8] && !memcmp(a + 12, b + 12, 8 + 4);
}

static bool joins(const struct net_sender *s, const struct run *r, const uint8_t *p, uint32_t octets,
                  unsigned at)
{
    return s->family[is6(p)].cuts && at > s->alone && r->count < NET_SEND_SEGMENT &&
           r->octets == r->count * r->size && octets <= r->size && r->octets + octets <= RUN_OCTETS &&
           same_headers(r->first, p);
}

static void put(struct msghdr *m, int level, int type, const void *v, size_t n)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)m->msg_control + m->msg_controllen);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(n);
    memcpy(CMSG_DATA(c), v, n);
    m->msg_controllen += CMSG_SPACE(n);
}

static void put_int(struct msghdr *m, int level, int type, int v)
{
    put(m, level, type, &v, sizeof(v));
}

static void headers4(struct run *r, struct msghdr *m)
{
    struct in_pktinfo from = {0};
    const uint8_t *p = r->first;
    r->to.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(be16(p + IP4 + 2))};
    memcpy(&r->to.in.sin_addr, p + 16, 4);
    memcpy(&from.ipi_spec_dst, p + 12, 4);
    m->msg_namelen = sizeof(r->to.in);
    put(m, IPPROTO_IP, IP_PKTINFO, &from, sizeof(from));
    put_int(m, IPPROTO_IP, IP_TOS, p[1]);
    put_int(m, IPPROTO_IP, IP_TTL, p[8]);
}

static void headers6(struct run *r, struct msghdr *m)
{
    struct in6_pktinfo from = {0};
    const uint8_t *p = r->first;
    r->to.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(be16(p + IP6 + 2))};
    memcpy(&r->to.in6.sin6_addr, p + 24, 16);
    memcpy(&from.ipi6_addr, p + 8, 16);
    m->msg_namelen = sizeof(r->to.in6);
    put(m, IPPROTO_IPV6, IPV6_PKTINFO, &from, sizeof(from));
    put_int(m, IPPROTO_IPV6, IPV6_TCLASS, be16(p) >> 4 & 255);
    put_int(m, IPPROTO_IPV6, IPV6_HOPLIMIT, p[7]);
}

static void finish(struct run *r, struct msghdr *m)
{
    m->msg_name = &r->to;
    m->msg_control = r->control;
    m->msg_controllen = 0;
    memset(r->control, 0, sizeof(r->control));
    if (is6(r->first))
        headers6(r, m);
    else
        headers4(r, m);
    if (r->count > 1) {
        uint16_t size = (uint16_t)r->size;
        put(m, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
    }
}

// As many as go by the UDP socket with one setting of DF, from the first.
static void gather(const struct net_sender *s, struct batch *b, const struct mmsghdr *m, unsigned n)
{
    const uint8_t *first = m->msg_hdr.msg_iov->iov_base;
    b->runs = 0;
    b->fd = s->family[is6(first)].udp;
    for (unsigned i = 0; i < n; i++) {
        uint8_t *p = m[i].msg_hdr.msg_iov->iov_base;
        uint32_t len = (uint32_t)m[i].msg_hdr.msg_iov->iov_len, skip = headers(s, p, len);
        if (!skip || is6(p) != is6(first) || (!is6(p) && p[6] != first[6]))
            break;
        b->iov[i] = (struct iovec){p + skip, len - skip};
        struct run *r = b->runs ? &b->run[b->runs - 1] : NULL;
        if (!r || !joins(s, r, p, len - skip, i)) {
            r = &b->run[b->runs];
            b->msg[b->runs++] = (struct mmsghdr){.msg_hdr = {.msg_iov = &b->iov[i]}};
            r->count = 0;
            r->octets = 0;
            r->size = len - skip;
            r->first = p;
        }
        b->msg[b->runs - 1].msg_hdr.msg_iovlen = ++r->count;
        r->octets += len - skip;
    }
    for (unsigned i = 0; i < b->runs; i++)
        finish(&b->run[i], &b->msg[i].msg_hdr);
}

static int tell_df(struct net_sender *s, const uint8_t *p)
{
    struct net_send_family *f = &s->family[is6(p)];
    int df = is6(p) || p[6] & 0x40, how = df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT;
    if (is6(p) || f->df == df)
        return 0;
    if (s->calls->setsockopt(f->udp, IPPROTO_IP, IP_MTU_DISCOVER, &how, sizeof(how)) < 0)
        return -1;
    f->df = df;
    return 0;
}

// ----

static int by_raw(struct net_sender *s, struct mmsghdr *m, unsigned n)
{
    s->calls_made++;
    return s->calls->sendmmsg(s->family[is6(m->msg_hdr.msg_iov->iov_base)].raw, m, n, 0);
}

static int by_udp(struct net_sender *s, struct mmsghdr *m, unsigned n);

// The first run was refused. Together: each by itself then, so that the error is that of one packet. One
// packet: from an address that is not the machine's only the raw socket sends.
static int refused(struct net_sender *s, const struct batch *b, struct mmsghdr *m, unsigned n)
{
    if (b->run->count > 1) {
        s->cut_refused += b->run->count;
        s->alone = b->run->count;
        if (errno == EIO) // it cannot: a device without checksums
            set_cuts(s->calls, &s->family[is6(b->run->first)], false);
        return by_udp(s, m, n);
    }
    return errno == EINVAL ? by_raw(s, m, 1) : -1;
}

static int by_udp(struct net_sender *s, struct mmsghdr *m, unsigned n)
{
    struct batch b;
    int left = 0;
    gather(s, &b, m, n);
    if (tell_df(s, m->msg_hdr.msg_iov->iov_base) < 0)
        return -1;
    s->calls_made++;
    int rc = s->calls->sendmmsg(b.fd, b.msg, b.runs, 0);
    if (rc < 0 && errno != EINTR)
        return refused(s, &b, m, n);
    for (int i = 0; i < rc; i++) {
        left += (int)b.run[i].count;
        if (b.run[i].count > 1)
            s->cut_packets += b.run[i].count;
    }
    return rc < 0 ? rc : left;
}

static bool for_udp(const struct net_sender *s, const struct mmsghdr *m)
{
    return headers(s, m->msg_hdr.msg_iov->iov_base, (uint32_t)m->msg_hdr.msg_iov->iov_len) > 0;
}

// Of one family, none of which goes by the UDP socket.
static unsigned raw_run(const struct net_sender *s, const struct mmsghdr *m, unsigned n)
{
    unsigned run = 1;
    bool six = is6(m->msg_hdr.msg_iov->iov_base);
    while (run < n && is6(m[run].msg_hdr.msg_iov->iov_base) == six && !for_udp(s, &m[run]))
        run++;
    return run;
}

int net_send(struct net_sender *s, struct mmsghdr *m, unsigned n)
{
    unsigned most = n < NET_SEND_MAX ? n : NET_SEND_MAX;
    bool udp = for_udp(s, m);
    int rc = udp ? by_udp(s, m, most) : by_raw(s, m, raw_run(s, m, n));
    unsigned gone = rc > 0 ? (unsigned)rc : rc < 0 && errno == EINTR ? 0 : 1;
    s->alone -= gone < s->alone ? gone : s->alone;
    return rc;
}
