// SPDX-License-Identifier: Apache-2.0
// A bridge of two AF_PACKET sockets in a namespace of its own. Frames wait in one queue per direction, so
// that the order stays. The NAT keeps Ethernet addresses as they are: each site has a fixed neighbour entry
// for what it sees.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/system/middle.h"

enum {
    FRAME = 2048,
    WAITING = 4096,
    IP = 14,
    UDP = IP + 20,
    UDP6 = IP + 40,
    PORT_IKE = 500,
    PORT_NATT = 4500
};

struct frame {
    uint64_t due_us;
    uint32_t len;
    uint8_t b[FRAME];
};
struct queue {
    uint32_t head, tail; // tail - head wait
    struct frame f[WAITING];
};
struct bridge {
    struct middle_control *c;
    int fd[2]; // west's, east's side
    struct queue *q[2];
    uint64_t random;
};

static uint16_t be16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t next_random(struct bridge *b)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(b->random >> 33);
}

static uint32_t sum(uint32_t s, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        s += be16(p + i);
    if (n & 1)
        s += (uint32_t)p[n - 1] << 8;
    return s;
}

static uint16_t fold(uint32_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

// A sum that the sender's kernel left to its card is not there yet, and an address may be another one now.
static void set_sums(uint8_t *f, uint32_t len)
{
    uint32_t n = len - UDP;
    put16(f + IP + 10, 0);
    put16(f + IP + 10, fold(sum(0, f + IP, 20)));
    if (f[IP + 9] != IPPROTO_UDP || n < 8 || be16(f + UDP + 4) > n || be16(f + UDP + 6) == 0)
        return;
    n = be16(f + UDP + 4);
    put16(f + UDP + 6, 0);
    uint16_t s = fold(sum(sum(IPPROTO_UDP + n, f + IP + 12, 8), f + UDP, n));
    put16(f + UDP + 6, s ? s : 0xffff);
}

static bool is_ip6(const struct frame *f)
{
    return f->len >= UDP6 + 8 && be16(f->b + 12) == ETH_P_IPV6;
}

static void set_sum6(uint8_t *f)
{
    uint32_t n = be16(f + IP + 4);
    if (f[IP + 6] != IPPROTO_UDP || n < 8 || be16(f + UDP6 + 4) != n)
        return;
    put16(f + UDP6 + 6, 0);
    uint16_t s = fold(sum(sum(IPPROTO_UDP + n, f + IP + 8, 32), f + UDP6, n));
    put16(f + UDP6 + 6, s ? s : 0xffff);
}

static bool is_udp(const struct frame *f)
{
    return f->len >= UDP + 8 && be16(f->b + 12) == ETH_P_IP && f->b[IP] == 0x45 &&
           f->b[IP + 9] == IPPROTO_UDP;
}

static bool natt(const struct bridge *b, uint16_t port)
{
    return port == PORT_NATT || (b->c->nat && port == PORT_NATT + b->c->nat);
}

static bool is_esp(const struct bridge *b, const struct frame *f)
{
    if (f->len >= UDP + 8 && be16(f->b + 12) == ETH_P_IP && f->b[IP + 9] == IPPROTO_ESP)
        return true;
    return is_udp(f) && f->len >= UDP + 8 + 8 &&
           (natt(b, be16(f->b + UDP)) || natt(b, be16(f->b + UDP + 2))) &&
           (be16(f->b + UDP + 8) || be16(f->b + UDP + 10));
}

static bool is_esp6(const struct frame *f)
{
    const uint8_t *p = f->b + UDP6;
    return is_ip6(f) &&
           (f->b[IP + 6] == IPPROTO_ESP || (f->b[IP + 6] == IPPROTO_UDP && f->len >= UDP6 + 16 &&
                                            be16(p) == PORT_NATT && (be16(p + 8) || be16(p + 10))));
}

// As a router that marks what passes (RFC 3168, RFC 2474), and what it has seen before that.
static void look_and_mark(struct middle_control *c, uint8_t *ip)
{
    bool six = ip[0] >> 4 == 6;
    uint8_t tos = (uint8_t)c->mark;
    c->tos = six ? be16(ip) >> 4 & 255u : ip[1];
    c->ttl = six ? ip[7] : ip[8];
    c->label = six ? (ip[1] & 15u) << 16 | be16(ip + 2) : 0;
    c->df = !six && ip[6] & 0x40;
    if (!(c->mark & 256))
        return;
    if (six) {
        ip[0] = (uint8_t)(0x60 | tos >> 4);
        ip[1] = (uint8_t)(tos << 4 | (ip[1] & 15));
    } else {
        ip[1] = tos;
    }
}

static bool is_ike(const struct bridge *b, const struct frame *f)
{
    return is_udp(f) && !is_esp(b, f) && f->len > UDP + 8 + 28; // no keepalive
}

static void translate(const struct bridge *b, struct frame *f, int from)
{
    static const uint8_t inside[4] = {10, 10, 0, 1};
    const uint8_t outside[4] = {10, 10, 0, b->c->nat_host ? (uint8_t)b->c->nat_host : 77};
    uint8_t *address = f->b + IP + (from ? 16 : 12), *port = f->b + UDP + (from ? 2 : 0);
    if (!b->c->nat || !is_udp(f) || memcmp(address, from ? outside : inside, 4) != 0)
        return;
    memcpy(address, from ? inside : outside, 4);
    put16(port, be16(port) + (from ? -b->c->nat : b->c->nat));
}

static bool due_now(volatile uint32_t *count)
{
    return *count && --*count == 0;
}

static void enqueue(struct bridge *b, const struct frame *f, int from)
{
    struct queue *q = b->q[from];
    if (q->tail - q->head == WAITING) {
        b->c->failed++;
        return;
    }
    q->f[q->tail++ % WAITING] = *f;
}

static void handle(struct bridge *b, struct frame *f, int from)
{
    bool esp = is_esp(b, f), twice = false;
    if (is_ike(b, f) && next_random(b) % 1000 < b->c->ike_loss) {
        b->c->ike_dropped++;
        return;
    }
    if (esp) {
        if (due_now(&b->c->esp_drop[from]))
            return;
        if (due_now(&b->c->esp_spoil[from]))
            f->b[f->len - 1] ^= 1;
        twice = due_now(&b->c->esp_twice[from]);
    }
    if (from == 0 && (esp || is_esp6(f)))
        look_and_mark(b->c, f->b + IP);
    if (is_ip6(f))
        set_sum6(f->b);
    if (f->len >= UDP && be16(f->b + 12) == ETH_P_IP && f->b[IP] == 0x45) {
        translate(b, f, from);
        set_sums(f->b, f->len);
    }
    f->due_us = mono_us() + b->c->delay_us;
    for (int i = 0; i < (twice ? 2 : 1); i++)
        enqueue(b, f, from);
}

static void throw_in(struct bridge *b)
{
    struct frame f = {.len = UDP + 8 + 20, .b = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}};
    static const uint8_t addresses[8] = {10, 1, 0, 1, 10, 2, 0, 1};
    put16(f.b + 12, ETH_P_IP);
    f.b[IP] = 0x45;
    put16(f.b + IP + 2, f.len - IP);
    f.b[IP + 8] = 64;
    f.b[IP + 9] = IPPROTO_UDP;
    memcpy(f.b + IP + 12, addresses, sizeof(addresses));
    put16(f.b + UDP + 2, 9);
    put16(f.b + UDP + 4, 28);
    set_sums(f.b, f.len);
    enqueue(b, &f, 0);
}

static void send_due(struct bridge *b, int from)
{
    struct queue *q = b->q[from];
    for (uint64_t now = mono_us(); q->head != q->tail && q->f[q->head % WAITING].due_us <= now; q->head++) {
        const struct frame *f = &q->f[q->head % WAITING];
        if (send(b->fd[!from], f->b, f->len, 0) == (ssize_t)f->len)
            b->c->passed++;
        else
            b->c->failed++;
    }
}

static void take(struct bridge *b, int from)
{
    static struct frame f;
    ssize_t n;
    while ((n = recv(b->fd[from], f.b, sizeof(f.b), MSG_DONTWAIT | MSG_TRUNC)) > 0) {
        f.len = (uint32_t)n;
        if (f.len <= sizeof(f.b))
            handle(b, &f, from);
        else
            b->c->failed++;
    }
}

static struct timespec until_due(const struct bridge *b)
{
    uint64_t now = mono_us(), least = 20000; // what is thrown in is looked for that often
    for (int i = 0; i < 2; i++) {
        const struct queue *q = b->q[i];
        if (q->head == q->tail)
            continue;
        uint64_t due = q->f[q->head % WAITING].due_us;
        if (due <= now)
            least = 0;
        else if (due - now < least)
            least = due - now;
    }
    return (struct timespec){0, (long)least * 1000};
}

static int open_side(const char *ifname)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), one = 1, size = 32 << 20;
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
                            .sll_protocol = htons(ETH_P_ALL),
                            .sll_ifindex = (int)if_nametoindex(ifname)};
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
    return bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 ? fd : (close(fd), -1);
}

static void pass_on(struct middle_control *c)
{
    static struct bridge b;
    b.c = c;
    b.fd[0] = open_side("mid-west");
    b.fd[1] = open_side("mid-east");
    for (int i = 0; i < 2; i++)
        b.q[i] = calloc(1, sizeof(*b.q[i]));
    if (b.fd[0] < 0 || b.fd[1] < 0 || !b.q[0] || !b.q[1])
        _exit(1);
    b.random = c->seed;
    c->ready = 1;
    for (;;) {
        struct pollfd p[2] = {{.fd = b.fd[0], .events = POLLIN}, {.fd = b.fd[1], .events = POLLIN}};
        struct timespec wait = until_due(&b);
        ppoll(p, 2, &wait, NULL);
        for (int i = 0; i < 2; i++) {
            take(&b, i);
            send_due(&b, i);
        }
        for (; c->clear; c->clear--)
            throw_in(&b);
    }
}

// A process in a namespace of its own, which waits for its links. -> what tells it that they are there, or -1
static int make_namespace(struct middle *m)
{
    int made[2], go[2];
    char byte;
    if (pipe(made) < 0 || pipe(go) < 0 || (m->pid = fork()) < 0)
        return -1;
    if (m->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(made[0]);
        close(go[1]);
        if (unshare(CLONE_NEWNET) == 0 && write(made[1], "", 1) == 1 && read(go[0], &byte, 1) == 1)
            pass_on(m->control);
        _exit(1);
    }
    close(made[1]);
    close(go[0]);
    bool ok = read(made[0], &byte, 1) == 1;
    close(made[0]);
    return ok ? go[1] : (close(go[1]), -1);
}

static bool make_link(const struct middle *m, const struct site *s, const struct site *peer,
                      const char *seen_as)
{
    const char *n = s->name;
    return sh("nsenter --net=%s ip link del outer 2>/dev/null; "
              "nsenter --net=%s ip link add outer address 02:00:00:00:00:%s type veth peer name mid-%s && "
              "nsenter --net=%s ip link set mid-%s netns %d && nsenter --net=/proc/%d/ns/net ip link set "
              "mid-%s "
              "up && "
              "nsenter --net=%s sh -c 'ip addr add %s/24 dev outer && ip link set outer gso_max_segs 1 up && "
              "ip route add %s via %s src %s && echo 0 >/proc/sys/net/ipv4/conf/outer/rp_filter && "
              "ip neigh replace %s lladdr 02:00:00:00:00:%s dev outer nud permanent && "
              "ip neigh replace %s lladdr 02:00:00:00:00:%s dev outer nud permanent'",
              s->ns, s->ns, *n == 'w' ? "01" : "02", n, s->ns, n, (int)m->pid, (int)m->pid, n, s->ns,
              s->outer, peer->subnet, peer->outer, s->inner, peer->outer, *n == 'w' ? "02" : "01", seen_as,
              *n == 'w' ? "02" : "01") == 0;
}

static bool gets_through(void *ctx)
{
    struct lab *l = ctx;
    return sh("nsenter --net=%s ping -q -c 1 -W 1 %s", l->west.ns, l->east.outer) == 0;
}

static bool listens(void *ctx)
{
    struct middle *m = ctx;
    return m->control->ready;
}

bool middle_start(struct lab *l, struct middle *m, const struct middle_control *first)
{
    m->control = mmap(NULL, sizeof(*m->control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m->control == MAP_FAILED)
        return complain("out of memory");
    *m->control = *first;
    int go = make_namespace(m);
    bool ok = go >= 0 && make_link(m, &l->west, &l->east, l->east.outer) &&
              make_link(m, &l->east, &l->west, MIDDLE_NAT_ADDRESS) && write(go, "", 1) == 1;
    if (go >= 0)
        close(go);
    // the links' first packets may find them not quite up
    ok = ok && wait_for(listens, m, PATIENCE_MS) && wait_for(gets_through, l, PATIENCE_MS);
    return ok || complain("cannot put anything between the sites");
}

void middle_stop(struct middle *m)
{
    stop(&m->pid, SIGKILL, 1000);
    if (m->control)
        munmap(m->control, sizeof(*m->control));
    m->control = NULL;
}
