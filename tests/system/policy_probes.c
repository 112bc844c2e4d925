// SPDX-License-Identifier: Apache-2.0
// Probes: sent by programs of the gateway and by a host behind it, and judged by what the far end of the link
// sees and what comes out of its SAs; and what an attacker on the link sends in clear.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/system/policy_lab.h"
#include "tests/system/policy_packets.h"

enum {
    PROBES = 10,
    ERRORS = 3,
    SETTLE_MS = 60,
    AGAIN_MS = 400,
    FIRST_ID = 20000,
    LAST_ID = 60000,
    NEAR_PORT = 7000
};
enum { BIG = 2000 }; // octets that leave in two pieces

int socket_in(const struct site *s, int family, int type, int proto)
{
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), ns = open(s->ns, O_RDONLY | O_CLOEXEC);
    if (own < 0 || ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        abort();
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, proto);
    close(ns);
    if (setns(own, CLONE_NEWNET) < 0)
        abort();
    close(own);
    return fd;
}

static socklen_t address(struct sockaddr_storage *ss, const char *text, uint16_t port)
{
    struct sockaddr_in *in = (void *)ss;
    struct sockaddr_in6 *in6 = (void *)ss;
    memset(ss, 0, sizeof(*ss));
    if (strchr(text, ':')) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        inet_pton(AF_INET6, text, &in6->sin6_addr);
        return sizeof(*in6);
    }
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    inet_pton(AF_INET, text, &in->sin_addr);
    return sizeof(*in);
}

// ---- sending

static void frame_send(int fd, const uint8_t mac[6], const struct packet_kind *k, enum piece piece)
{
    uint8_t f[ETH_HLEN + MARKED_MAX] = {0};
    bool v6 = strchr(k->src, ':');
    memcpy(f, mac, 6);
    f[12] = v6 ? 0x86 : 8;
    f[13] = v6 ? 0xdd : 0;
    (void)!send(fd, f, ETH_HLEN + packet_build(f + ETH_HLEN, k, piece), 0);
}

static void pieces_send(int fd, const uint8_t mac[6], const struct packet_kind *k, enum cut cut)
{
    if (cut == WHOLE)
        frame_send(fd, mac, k, PIECE_ALL);
    if (cut == SPLIT)
        frame_send(fd, mac, k, PIECE_FIRST);
    if (cut != WHOLE)
        frame_send(fd, mac, k, PIECE_SECOND);
}

static int program_at(struct test *t, const char *addr, int proto, uint16_t port)
{
    struct sockaddr_storage at;
    bool v6 = strchr(addr, ':');
    int fd = socket_in(&t->lab.west, v6 ? AF_INET6 : AF_INET,
                       proto == NAIVE_ICMP ? SOCK_RAW
                       : proto == 17       ? SOCK_DGRAM
                                           : SOCK_STREAM,
                       proto == NAIVE_ICMP ? (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) : 0);
    socklen_t len = address(&at, addr, proto == NAIVE_ICMP ? 0 : port);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void own_send(struct test *t, const struct probe_kind *p, uint16_t id)
{
    struct sockaddr_storage to;
    uint8_t out[8 + BIG] = {0};
    bool v6 = strchr(p->near, ':'), icmp = p->proto == NAIVE_ICMP;
    size_t carried = p->cut == SPLIT ? BIG : 3 * MARK_LEN, front = icmp ? 8 : 0;
    int fd = program_at(t, p->near, p->proto, id);
    socklen_t len = address(&to, p->far, icmp ? 0 : p->port);
    if (fd < 0)
        return;
    packet_mark(out + front, carried, id);
    if (icmp) {
        uint32_t sum = 0;
        out[0] = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
        out[4] = (uint8_t)(id >> 8);
        out[5] = (uint8_t)id;
        for (size_t i = 0; i < front + carried; i += 2)
            sum += (uint32_t)(out[i] << 8 | out[i + 1]);
        while (sum >> 16)
            sum = (sum & 0xffff) + (sum >> 16);
        out[2] = (uint8_t)(~sum >> 8); // of IPv6 the kernel puts its own
        out[3] = (uint8_t)~sum;
    }
    if (p->proto == 6)
        (void)!connect(fd, (struct sockaddr *)&to, len); // the first SYN is enough
    else
        (void)!sendto(fd, out, front + carried, 0, (struct sockaddr *)&to, len);
    close(fd);
}

static void send_probe(struct test *t, const struct probe_kind *p, uint16_t id)
{
    const struct packet_kind k = {p->near, p->far, p->proto, id, p->port, id};
    if (p->behind)
        pieces_send(t->lan_tx, t->lan_mac, &k, p->cut);
    else
        own_send(t, p, id);
}

// ---- seeing

struct sight {
    uint16_t first;
    bool clear[PROBES], delivered[PROBES];
};

// What has come to a link and was not sent from there.
static uint16_t next_seen(int fd)
{
    uint8_t p[4096];
    struct sockaddr_ll from = {0};
    for (;;) {
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(fd, p, sizeof(p), MSG_DONTWAIT, (struct sockaddr *)&from, &len);
        if (n < 0 && errno == ENETDOWN) // the link has been down: said once
            continue;
        if (n < 0)
            return 0;
        uint16_t id = from.sll_pkttype == PACKET_OUTGOING ? 0 : packet_id(p, (size_t)n);
        if (id)
            return id;
    }
}

static void drain(int fd, uint16_t first, bool *seen)
{
    uint16_t id;
    while ((id = next_seen(fd)))
        if (seen && id >= first && id < first + PROBES)
            seen[id - first] = true;
}

static void look(struct test *t, struct sight *s)
{
    drain(t->link, s->first, s->clear);
    drain(t->tunnel, s->first, s->delivered);
}

static uint16_t ids(struct test *t, uint16_t n)
{
    if (t->next_id < FIRST_ID || t->next_id > LAST_ID)
        t->next_id = FIRST_ID;
    t->next_id = (uint16_t)(t->next_id + n);
    return (uint16_t)(t->next_id - n);
}

static bool broken(struct test *t, const char *what, const struct probe_kind *p)
{
    static const char *const cuts[] = {"", ", a later piece alone", ", in two pieces"};
    note(t, "PROBE %s: %s%s > %s protocol %d port %u%s", what, p->near, p->behind ? " (forwarded)" : "",
         p->far, p->proto, p->port, cuts[p->cut]);
    fprintf(stderr, "policy: %s\n", t->log[(t->log_count - 1) % LOG_LINES]);
    return false;
}

static bool is_awaited(struct test *t, const struct probe_kind *p, const struct sight *s, int i, enum way way)
{
    bool can = way != WAY_DOWN && !(way == WAY_AWAY && naive_of_the_ends(p));
    return (!s->clear[i] && can && naive_expect(&t->naive, p) == MUST_PASS) ||
           (!s->delivered[i] && way == WAY_UP && naive_delivered(&t->naive, p));
}

static bool one_is_awaited(struct test *t, const struct probe_kind *p, const struct sight *s, enum way way)
{
    for (int i = 0; i < PROBES; i++)
        if (is_awaited(t, &p[i], s, i, way))
            return true;
    return false;
}

// What has to come comes in the end: an SA may still be on its way to path, a neighbour be looked for.
static void await(struct test *t, const struct probe_kind *p, struct sight *s, enum way way)
{
    uint64_t end = mono_us() + PATIENCE_MS * 1000ull, again = mono_us() + AGAIN_MS * 1000;
    for (look(t, s); one_is_awaited(t, p, s, way) && mono_us() < end; look(t, s)) {
        usleep(5000);
        if (mono_us() < again)
            continue;
        again = mono_us() + AGAIN_MS * 1000;
        for (int i = 0; i < PROBES; i++)
            if (is_awaited(t, &p[i], s, i, way))
                send_probe(t, &p[i], (uint16_t)(s->first + i));
    }
}

bool probe_out(struct test *t, enum way way)
{
    struct probe_kind p[PROBES];
    struct sight s = {.first = ids(t, PROBES)};
    drain(t->link, 0, NULL);
    for (int i = 0; i < PROBES; i++) {
        p[i] = naive_probe(&t->rng, true);
        send_probe(t, &p[i], (uint16_t)(s.first + i));
    }
    usleep(SETTLE_MS * 1000); // for what must not come
    await(t, p, &s, way);
    for (int i = 0; i < PROBES; i++) {
        enum expected e = naive_expect(&t->naive, &p[i]);
        t->probes++;
        t->seen += s.clear[i];
        t->delivered += s.delivered[i];
        if (s.clear[i] && e == NEVER_CLEAR)
            return broken(t, "seen in clear", &p[i]);
        if (is_awaited(t, &p[i], &s, i, way))
            return broken(t,
                          e == MUST_PASS ? "held up although no child names it"
                                         : "not delivered by the SA that is up",
                          &p[i]);
    }
    return true;
}

// ---- what west says about what came

// A datagram of east's that has one hop left at west, which has to say so to east.
static void send_short(struct test *t, const struct probe_kind *p, uint16_t id)
{
    struct sockaddr_storage at, to;
    uint8_t out[3 * MARK_LEN];
    bool v6 = strchr(p->near, ':');
    const int one = 1;
    int fd = socket_in(&t->lab.east, v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    socklen_t len = address(&at, p->far, p->port);
    address(&to, p->near, NEAR_PORT);
    packet_mark(out, sizeof(out), id);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (v6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &one, sizeof(one));
    else
        setsockopt(fd, IPPROTO_IP, IP_TTL, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&at, len) < 0)
        abort();
    (void)!sendto(fd, out, sizeof(out), 0, (struct sockaddr *)&to, len); // east has its own blocks
    close(fd);
}

// Whatever becomes of it, it does not come back in clear: east has sent none in clear.
bool probe_errors(struct test *t)
{
    struct probe_kind p[ERRORS];
    struct sight s = {.first = ids(t, PROBES)};
    drain(t->link, 0, NULL);
    for (int i = 0; i < ERRORS; i++) {
        p[i] = naive_error_probe(&t->rng);
        send_short(t, &p[i], (uint16_t)(s.first + i));
        t->errors += naive_delivered(&t->naive, &p[i]);
    }
    usleep(SETTLE_MS * 1000);
    look(t, &s);
    for (int i = 0; i < ERRORS; i++)
        if (s.clear[i])
            return broken(t, "quoted in clear by an error", &p[i]);
    return true;
}

// ---- in clear from the link

// True when the host behind west, or the program, has got it.
static bool heard(struct test *t, int program, uint16_t id)
{
    uint8_t p[4096];
    uint16_t got;
    if (program < 0) {
        while ((got = next_seen(t->lan)))
            if (got == id)
                return true;
        return false;
    }
    for (ssize_t n; (n = recv(program, p, sizeof(p), MSG_DONTWAIT)) > 0;)
        if (packet_id(p, (size_t)n) == id)
            return true;
    return false;
}

static bool comes(struct test *t, int program, uint16_t id, int ms)
{
    uint64_t end = mono_us() + (uint64_t)ms * 1000;
    do {
        struct pollfd w = {program < 0 ? t->lan : program, POLLIN, 0};
        poll(&w, 1, 20);
        if (heard(t, program, id))
            return true;
    } while (mono_us() < end);
    return false;
}

// As an attacker on the link would send it. West's selectors name east's port.
bool probe_in(struct test *t)
{
    struct probe_kind p = naive_probe(&t->rng, true), whole;
    uint16_t id = ids(t, 1);
    const struct packet_kind k = {p.far, p.near, p.proto, p.port, NEAR_PORT, id};
    int program = -1;
    if (p.proto == 6 && !p.behind) // nobody would say that it has come
        return true;
    if (!p.behind && (program = program_at(t, p.near, p.proto, NEAR_PORT)) < 0)
        abort();
    whole = p;
    if (!p.behind && p.cut == SPLIT) // it is put together before anybody judges
        whole.cut = WHOLE;
    bool must = naive_expect(&t->naive, &p) == MUST_PASS,
         never = naive_expect(&t->naive, &whole) == NEVER_CLEAR;
    pieces_send(t->link_tx, t->wan_mac, &k, p.cut);
    bool came = comes(t, program, id, must ? PATIENCE_MS : SETTLE_MS);
    if (program >= 0)
        close(program);
    t->probes++;
    if (came && never)
        return broken(t, "taken in clear", &p);
    return came || !must || broken(t, "held up on its way in although no child names it", &p);
}

// ---- sockets

static int wire(const struct site *s, const char *link, bool frames, int proto)
{
    char out[200];
    int room = 8 << 20,
        fd = socket_in(s, AF_PACKET, frames ? SOCK_RAW : SOCK_DGRAM, proto ? htons(ETH_P_ALL) : 0);
    struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = proto ? htons(ETH_P_ALL) : 0};
    sh_read(out, sizeof(out), "nsenter --net=%s ip -o link show %s", s->ns, link);
    ll.sll_ifindex = atoi(out);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    if (fd < 0 || bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0) {
        complain("cannot watch %s of %s: %s", link, s->name, strerror(errno));
        return -1;
    }
    return fd;
}

static bool mac_of(const struct site *s, const char *link, uint8_t mac[6])
{
    char out[200];
    unsigned m[6];
    sh_read(out, sizeof(out), "nsenter --net=%s ip -o link show %s | sed 's/.*ether //'", s->ns, link);
    if (sscanf(out, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
        return complain("%s has no address", link);
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)m[i];
    return true;
}

bool probes_open(struct test *t)
{
    t->link = wire(&t->lab.east, "outer", false, 1);
    t->link_tx = wire(&t->lab.east, "outer", true, 0);
    t->tunnel = wire(&t->lab.east, "espalier0", false, 1);
    t->lan = wire(&t->lab.west, "lan1", false, 1);
    t->lan_tx = wire(&t->lab.west, "lan1", true, 0);
    return t->link >= 0 && t->link_tx >= 0 && t->tunnel >= 0 && t->lan >= 0 && t->lan_tx >= 0 &&
           mac_of(&t->lab.west, "lan0", t->lan_mac) && mac_of(&t->lab.west, "outer", t->wan_mac);
}
