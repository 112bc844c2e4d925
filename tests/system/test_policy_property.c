// SPDX-License-Identifier: Apache-2.0
// Random sequences of what operators, peers, other programs and accidents do to a gateway's policies, with
// real daemons and the real kernel. After each step probes are sent both ways, and what the far end of the
// link sees is held against a naive second reading of the files alone: nothing that a child protects or drops
// is ever seen in clear, in whatever state, and nothing that no child names is ever held up.
//
//   policy_property [SEED [SECONDS]]     a failing seed prints its steps and the command to run again
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/harness.h"

enum {
    CONNS = 3,
    CHILDREN = 2,
    HELD = 64,
    PROBES = 10,
    SETTLE_MS = 60,
    REPAIR_MS = 400,
    MORE_MS = 5000,
    PROTO_FRAGMENT = 256
};
#define BEHIND "10.1.7.7" // a host behind west; the others are addresses of west itself
enum mode { TUNNEL, PASS, DROP };

// ---- what may be in a file

static const char *const locals[] = {"10.1.0.0/16", "10.1.0.0/24", "10.1.0.1/32", "fd01::/64"};
static const char *const remotes[] = {"10.2.0.0/16", "10.2.0.0/24", "10.2.1.0/24", "10.2.0.1/32",
                                      "fd02::/64"};
static const char *const open_remotes[] = {"10.2.3.0/24", "10.2.3.1/32"}; // of pass and drop: only these
static const char *const shut_remotes[] = {"10.2.4.0/24", "10.2.4.1/32"};
static const struct {
    const char *text;
    int proto;
    uint16_t lo, hi; // of the remote side
} kinds[] = {{"", 0, 0, 65535},        {"", 0, 0, 65535},
             {"[udp]", 17, 0, 65535},  {"[udp/9000-9100]", 17, 9000, 9100},
             {"[udp/53]", 17, 53, 53}, {"[tcp/443]", 6, 443, 443},
             {"[icmp]", 1, 0, 65535}};

struct child {
    bool there;
    enum mode mode;
    int local, remote, kind;
    bool trap;
};
struct file { // a swanctl.conf
    struct child child[CONNS][CHILDREN];
};
struct held { // a CHILD SA keeps the policy that it was made for
    int conn, child;
    struct child was;
    bool maybe; // perhaps: by traffic, where the child is a trap, or until a newer one is up
};
struct test {
    struct lab lab;
    uint64_t rng, seed;
    struct file loaded;
    struct held held[HELD];
    unsigned held_count, steps, probes, seen, log_count, not_as_before;
    bool alive;
    int sniff, link_tx; // AF_PACKET in east
    int lan_tx;         // and behind west
    uint8_t lan_mac[6];
    uint16_t next_id;
    char log[400][96];
};
static struct test t;

static uint64_t rnd(uint64_t n)
{
    t.rng ^= t.rng << 13;
    t.rng ^= t.rng >> 7;
    t.rng ^= t.rng << 17;
    return t.rng % n;
}

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t.log[t.log_count++ % 400], sizeof(t.log[0]), fmt, ap);
    va_end(ap);
}

static const char *remote_text(const struct child *c)
{
    return c->mode == PASS   ? open_remotes[c->remote % 2]
           : c->mode == DROP ? shut_remotes[c->remote % 2]
                             : remotes[c->remote];
}

static bool six(const struct child *c)
{
    return c->mode == TUNNEL && c->remote == 4;
}

static const char *local_text(const struct child *c)
{
    return six(c) ? locals[3] : locals[c->local % 3];
}

// ---- the naive reading

static bool in_prefix(const char *prefix, const char *addr)
{
    char net[64];
    uint8_t a[16], b[16];
    const char *slash = strchr(prefix, '/');
    int family = strchr(addr, ':') ? AF_INET6 : AF_INET;
    snprintf(net, sizeof(net), "%.*s", (int)(slash - prefix), prefix);
    if (inet_pton(family, net, a) != 1 || inet_pton(family, addr, b) != 1)
        return false;
    for (int i = 0; i < atoi(slash + 1); i++)
        if ((a[i / 8] ^ b[i / 8]) & (0x80 >> i % 8))
            return false;
    return true;
}

struct probe_kind {
    const char *near, *far; // of west and of east
    int proto;              // 17, 6, 1, PROTO_FRAGMENT: a later fragment of UDP
    uint16_t port;          // of east
};

static bool names(const struct child *c, const struct probe_kind *p)
{
    bool fragment = p->proto == PROTO_FRAGMENT;
    int proto = fragment ? 17 : p->proto;
    if (!c->there || !in_prefix(local_text(c), p->near) || !in_prefix(remote_text(c), p->far))
        return false;
    if (kinds[c->kind].proto && kinds[c->kind].proto != proto)
        return false;
    if (proto == 1 || fragment) // a fragment may belong to any port
        return true;
    return p->port >= kinds[c->kind].lo && p->port <= kinds[c->kind].hi;
}

enum expected { MUST_PASS, NEVER_CLEAR, EITHER };

static enum expected expect(const struct probe_kind *p)
{
    bool closed = false, open = false, maybe = false;
    for (int i = 0; i < CONNS * CHILDREN; i++) {
        const struct child *c = &t.loaded.child[i / CHILDREN][i % CHILDREN];
        if (names(c, p))
            *(c->mode == PASS ? &open : &closed) = true;
    }
    for (unsigned i = 0; i < t.held_count; i++)
        *(t.held[i].maybe ? &maybe : &closed) |= names(&t.held[i].was, p);
    if (p->proto == PROTO_FRAGMENT && open)
        return EITHER;
    // what is let pass lies beside what is dropped, and goes before what protects it
    return open ? MUST_PASS : closed ? NEVER_CLEAR : maybe ? EITHER : MUST_PASS;
}

// ---- probes

static int own_ns = -1;

static int socket_in(const struct site *s, int family, int type, int proto)
{
    int ns = open(s->ns, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
        abort();
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, proto);
    close(ns);
    if (setns(own_ns, CLONE_NEWNET) < 0)
        abort();
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

// A frame with a UDP datagram of 24 octets, or with a part of it: off in octets, 0 and more: the first part.
static size_t frame(uint8_t *f, const uint8_t *to, const char *src, const char *dst, uint16_t sport,
                    uint16_t dport, uint16_t id, unsigned off, bool more)
{
    uint8_t *ip = f + 14, *udp = f + 34;
    unsigned bytes = more || off ? 16 : 32;
    uint32_t sum = 0;
    memset(f, 0, 14 + 20 + 32);
    memcpy(f, to, 6);
    f[12] = 8;
    ip[0] = 0x45;
    ip[3] = (uint8_t)(20 + bytes);
    ip[4] = (uint8_t)(id >> 8);
    ip[5] = (uint8_t)id;
    ip[6] = more ? 0x20 : 0;
    ip[7] = (uint8_t)(off / 8);
    ip[8] = 64;
    ip[9] = 17;
    inet_pton(AF_INET, src, ip + 12);
    inet_pton(AF_INET, dst, ip + 16);
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    ip[10] = (uint8_t)(~sum >> 8);
    ip[11] = (uint8_t)~sum;
    if (off)
        return 34 + bytes;
    udp[0] = (uint8_t)(sport >> 8);
    udp[1] = (uint8_t)sport;
    udp[2] = (uint8_t)(dport >> 8);
    udp[3] = (uint8_t)dport;
    udp[5] = 32;
    return 34 + bytes;
}

// From a host behind west: forwarded, whole or a later fragment alone.
static void send_behind(const struct probe_kind *p, uint16_t id)
{
    uint8_t f[100];
    bool later = p->proto == PROTO_FRAGMENT;
    size_t n = frame(f, t.lan_mac, p->near, p->far, id, p->port, id, later ? 16 : 0, false);
    (void)!send(t.lan_tx, f, n, 0);
}

static void send_probe(const struct probe_kind *p, uint16_t id)
{
    struct sockaddr_storage from, to;
    int family = strchr(p->near, ':') ? AF_INET6 : AF_INET;
    if (strcmp(p->near, BEHIND) == 0) {
        send_behind(p, id);
        return;
    }
    bool icmp = p->proto == 1;
    int fd = socket_in(&t.lab.west, family,
                       icmp             ? SOCK_RAW
                       : p->proto == 17 ? SOCK_DGRAM
                                        : SOCK_STREAM,
                       icmp ? IPPROTO_ICMP : 0);
    socklen_t len = address(&from, p->near, icmp ? 0 : id);
    if (fd < 0 || bind(fd, (struct sockaddr *)&from, len) < 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    len = address(&to, p->far, icmp ? 0 : p->port);
    struct icmphdr echo = {.type = ICMP_ECHO, .un.echo.id = htons(id)};
    echo.checksum = (uint16_t) ~(echo.type + echo.un.echo.id);
    if (icmp)
        (void)!sendto(fd, &echo, sizeof(echo), 0, (struct sockaddr *)&to, len);
    else if (p->proto == 17)
        (void)!sendto(fd, "probe", 5, 0, (struct sockaddr *)&to, len);
    else
        (void)!connect(fd, (struct sockaddr *)&to, len); // the first SYN is enough
    close(fd);
}

// The id of a probe that is in clear in this frame from west; 0: none.
static uint16_t id_in(const uint8_t *f, size_t n)
{
    if (n < 14 + 28)
        return 0;
    const uint8_t *ip = f + 14;
    bool v6 = f[12] == 0x86 && f[13] == 0xdd;
    if (!v6 && (f[12] != 8 || f[13] != 0))
        return 0;
    if (n < 14u + (v6 ? 40u : 4u * (ip[0] & 15)) + 8)
        return 0;
    uint8_t proto = v6 ? ip[6] : ip[9];
    const uint8_t *l4 = v6 ? ip + 40 : ip + 4 * (ip[0] & 15);
    if (!v6 && (ip[12] != 10 || ip[13] != 1))
        return 0;
    if (!v6 && ((ip[6] & 0x1f) || ip[7]))
        return (uint16_t)(ip[4] << 8 | ip[5]);
    if (proto == 17 || proto == 6)
        return (uint16_t)(l4[0] << 8 | l4[1]);
    return proto == 1 && l4[0] == ICMP_ECHO ? (uint16_t)(l4[4] << 8 | l4[5]) : 0;
}

static void drain(bool *seen, uint16_t first)
{
    uint8_t f[2048];
    struct sockaddr_ll from = {0};
    socklen_t len = sizeof(from);
    ssize_t n;
    while ((n = recvfrom(t.sniff, f, sizeof(f), MSG_DONTWAIT, (struct sockaddr *)&from, &len)) > 0) {
        uint16_t id = from.sll_pkttype == PACKET_OUTGOING ? 0 : id_in(f, (size_t)n);
        if (seen && id >= first && id < first + PROBES)
            seen[id - first] = true;
        len = sizeof(from);
    }
}

static struct probe_kind random_probe(void)
{
    static const char *const near[] = {"10.1.0.1", "10.1.1.1", "10.1.0.9"};
    static const char *const far[] = {"10.2.0.1", "10.2.1.1", "10.2.9.1", "10.2.3.1", "10.2.4.1", "10.2.4.7"};
    static const uint16_t ports[] = {53, 8999, 9000, 9050, 9100, 9101, 443, 80};
    static const int protos[] = {17, 17, 17, 6, 1, PROTO_FRAGMENT};
    struct probe_kind p = {near[rnd(3)], far[rnd(6)], protos[rnd(6)], ports[rnd(8)]};
    if (p.proto == PROTO_FRAGMENT || (p.proto == 17 && rnd(3) == 0))
        p.near = BEHIND;
    if (rnd(6) == 0)
        p = (struct probe_kind){"fd01::1", "fd02::1", rnd(2) ? 17 : 6, p.port};
    return p;
}

static bool broken(const char *what, const struct probe_kind *p)
{
    fprintf(stderr, "policy: %s: %s > %s protocol %d port %u\n", what, p->near, p->far, p->proto, p->port);
    return false;
}

static bool one_is_awaited(const struct probe_kind *p, const bool *seen)
{
    for (int i = 0; i < PROBES; i++)
        if (!seen[i] && expect(&p[i]) == MUST_PASS)
            return true;
    return false;
}

static bool probe_out(void)
{
    struct probe_kind p[PROBES];
    bool seen[PROBES] = {false};
    uint16_t first = t.next_id;
    t.next_id = (uint16_t)(t.next_id > 60000 ? 20000 : t.next_id + PROBES);
    drain(NULL, 0);
    for (int i = 0; i < PROBES; i++) {
        p[i] = random_probe();
        send_probe(&p[i], (uint16_t)(first + i));
    }
    usleep(SETTLE_MS * 1000); // for what must not come
    uint64_t end = mono_us() + PATIENCE_MS * 1000ull;
    for (drain(seen, first); one_is_awaited(p, seen) && mono_us() < end; drain(seen, first))
        usleep(5000);
    for (int i = 0; i < PROBES; i++) {
        enum expected e = expect(&p[i]);
        t.probes++;
        t.seen += seen[i];
        if (seen[i] && e == NEVER_CLEAR)
            return broken("seen in clear", &p[i]);
        if (!seen[i] && e == MUST_PASS)
            return broken("held up although no child names it", &p[i]);
    }
    return true;
}

// A datagram in clear from east, as an attacker on the link would send it: whole, or in two fragments.
static void inject(const struct probe_kind *p, const uint8_t *to, uint16_t id, bool split)
{
    uint8_t f[100];
    for (unsigned k = 0; k < (split ? 2u : 1u); k++) { // west's selectors name east's port
        size_t n = frame(f, to, p->far, p->near, p->port, 7000, id, 16 * k, split && k == 0);
        (void)!send(t.link_tx, f, n, 0);
    }
}

static bool mac_of(const char *link, uint8_t mac[6])
{
    char out[200];
    unsigned m[6];
    sh_read(out, sizeof(out), "nsenter --net=%s ip -o link show %s | sed 's/.*ether //'", t.lab.west.ns,
            link);
    if (sscanf(out, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
        return false;
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)m[i];
    return true;
}

static bool probe_in(const uint8_t *mac)
{
    struct probe_kind p = random_probe();
    struct sockaddr_storage at;
    uint8_t buf[100];
    if (p.proto != 17 || strchr(p.near, ':') || strcmp(p.near, BEHIND) == 0)
        return true;
    int fd = socket_in(&t.lab.west, AF_INET, SOCK_DGRAM, 0);
    socklen_t len = address(&at, p.near, 7000);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0)
        abort();
    bool split = rnd(2);
    struct probe_kind fragment = p;
    fragment.proto = PROTO_FRAGMENT;
    bool must_come = expect(&p) == MUST_PASS && // ports that a fragment hides may be named
                     (!split || expect(&fragment) != NEVER_CLEAR);
    inject(&p, mac, t.next_id++, split);
    struct pollfd w = {fd, POLLIN, 0};
    poll(&w, 1, must_come ? PATIENCE_MS : SETTLE_MS);
    bool came = recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0;
    close(fd);
    t.probes++;
    if (came && expect(&p) == NEVER_CLEAR)
        return broken(split ? "taken in clear, in two fragments" : "taken in clear", &p);
    if (!came && must_come)
        return broken("held up on its way in although no child names it", &p);
    return true;
}

// ---- steps

static void write_conn(FILE *f, int i, const struct file *file)
{
    static const char *const modes[] = {"tunnel", "pass", "drop"};
    const struct child *c = file->child[i];
    if (!c[0].there && !c[1].there)
        return;
    fprintf(
        f,
        "connections { c%d { version = 2\n local_addrs = 10.10.0.1\n remote_addrs = 10.10.0.2\n unique = no\n"
        " proposals = aes256gcm16-prfsha384-x25519\n local { auth = psk\n id = west.example }\n"
        " remote { auth = psk\n id = east.example }\n children {\n",
        i);
    for (int k = 0; k < CHILDREN; k++)
        if (c[k].there)
            fprintf(f,
                    "  k%d%d { mode = %s\n local_ts = %s%s%s\n remote_ts = %s%s\n start_action = %s\n "
                    "esp_proposals = aes256gcm16 }\n",
                    i, k, modes[c[k].mode], local_text(&c[k]),
                    kinds[c[k].kind].proto == 1   ? "[icmp]"
                    : kinds[c[k].kind].proto == 6 ? "[tcp]"
                    : kinds[c[k].kind].proto      ? "[udp]"
                                                  : "",
                    "", remote_text(&c[k]), kinds[c[k].kind].text, c[k].trap ? "trap" : "none");
    fputs(" } } }\n", f);
}

static int load_file(const struct file *file, const char *more)
{
    char path[200], out[8192];
    snprintf(path, sizeof(path), "%s/swanctl/swanctl.conf", t.lab.west.dir);
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    for (int i = 0; i < CONNS; i++)
        write_conn(f, i, file);
    fputs(more, f);
    fputs("secrets { ike-1 { id-1 = west.example\n id-2 = east.example\n secret = \"a shared secret of the "
          "lab\" } }\n",
          f);
    fclose(f);
    return swanctl(&t.lab.west, out, sizeof(out), "--load-all --noprompt");
}

static bool step_load(void)
{
    struct file next = t.loaded;
    int n = 1 + (int)rnd(3);
    for (int i = 0; i < n; i++) {
        struct child *c = &next.child[rnd(CONNS)][rnd(CHILDREN)];
        *c = (struct child){.there = rnd(4) > 0,
                            .mode = rnd(5) == 0   ? PASS
                                    : rnd(5) == 0 ? DROP
                                                  : TUNNEL,
                            .local = (int)rnd(3),
                            .remote = (int)rnd(5),
                            .kind = (int)rnd(7),
                            .trap = rnd(4) == 0};
        if (six(c) && kinds[c->kind].proto == 1)
            c->kind = 0;
        note("load: child %d%d %s %s %s%s mode %d", (int)((c - &next.child[0][0]) / CHILDREN),
             (int)((c - &next.child[0][0]) % CHILDREN), c->there ? "is" : "gone", local_text(c),
             remote_text(c), kinds[c->kind].text, c->mode);
    }
    if (load_file(&next, "") != 0)
        return complain("a good file is refused");
    for (int i = 0; i < CONNS * CHILDREN; i++) { // what a packet has asked for lives on
        const struct child *was = &t.loaded.child[i / CHILDREN][i % CHILDREN];
        if (was->there && was->mode == TUNNEL && was->trap && t.held_count < HELD)
            t.held[t.held_count++] = (struct held){i / CHILDREN, i % CHILDREN, *was, true};
    }
    for (unsigned i = 0; i < t.held_count; i++) // traffic may bring a newer one up
        t.held[i].maybe |= next.child[t.held[i].conn][t.held[i].child].trap;
    t.loaded = next;
    return true;
}

// A connection whose policies cannot be put in force beside good ones: nothing of it is there.
static bool step_bad_load(void)
{
    struct file next = t.loaded;
    note("load: one more connection, with a range that splits into too many prefixes");
    load_file(&next, "connections { bad { local_addrs = 10.10.0.1\n remote_addrs = 10.10.0.2\n local { auth "
                     "= psk }\n remote { auth = psk }\n"
                     " children { b { local_ts = 10.1.9.0/24,fd01::/64\n remote_ts = "
                     "10.2.9.0/24,fd00::1-fdff:ffff:ffff:ffff:ffff:ffff:ffff:fffe } } } }\n");
    return load_file(&t.loaded, "") == 0 || complain("the good file is refused after a bad one");
}

static bool same_child(const struct child *a, const struct child *b)
{
    return a->there == b->there && a->mode == b->mode && a->local == b->local && a->remote == b->remote &&
           a->kind == b->kind && a->trap == b->trap;
}

static bool step_initiate(void)
{
    char out[8192];
    int i = (int)rnd(CONNS), k = (int)rnd(CHILDREN);
    const struct child *c = &t.loaded.child[i][k];
    if (!c->there || c->mode != TUNNEL || t.held_count == HELD)
        return true;
    int rc = swanctl(&t.lab.west, out, sizeof(out), "--initiate --child k%d%d --timeout 4", i, k);
    note("initiate k%d%d: %s", i, k, rc ? "refused" : "up");
    bool there = false;
    for (unsigned j = 0; rc == 0 && j < t.held_count; j++) {
        struct held *h = &t.held[j];
        if (h->conn != i || h->child != k)
            continue;
        bool same = same_child(&h->was, c);
        h->maybe = !same; // one from before an edit goes when the new one is up
        there |= same;
    }
    if (rc == 0 && !there)
        t.held[t.held_count++] = (struct held){i, k, *c, false};
    return true;
}

static bool step_terminate(void)
{
    char out[8192];
    int i = (int)rnd(CONNS);
    note("terminate c%d", i);
    swanctl(&t.lab.west, out, sizeof(out), "--terminate --ike c%d --timeout 4", i);
    unsigned n = 0;
    for (unsigned j = 0; j < t.held_count; j++)
        if (t.held[j].conn != i)
            t.held[n++] = t.held[j];
    t.held_count = n;
    return true;
}

static bool serves(void *ctx)
{
    char out[4096];
    (void)ctx;
    return swanctl(&t.lab.west, out, sizeof(out), "--stats") == 0;
}

static bool start_west(void)
{
    char program[600], vici[200], run[200], log[200], socket[200];
    char *argv[] = {program, "--vici", vici, "--run-dir", run, "--card", "none", NULL};
    snprintf(program, sizeof(program), "%s/espalierd", bin_dir());
    snprintf(vici, sizeof(vici), "unix://%s/vici", t.lab.west.dir);
    snprintf(socket, sizeof(socket), "%s/vici", t.lab.west.dir);
    snprintf(run, sizeof(run), "%s/run", t.lab.west.dir);
    snprintf(log, sizeof(log), "%s/daemon.log", t.lab.west.dir);
    unlink(socket);
    t.lab.west.daemon = spawn(log, t.lab.west.ns, argv);
    t.alive = wait_for(serves, NULL, PATIENCE_MS);
    return t.alive || complain("it does not start");
}

// While it is gone nothing is loaded or unloaded: what was closed is, what was open is.
static bool step_restart(const uint8_t *mac)
{
    bool kill9 = rnd(2);
    note(kill9 ? "kill -9 and start again" : "stop and start again");
    t.alive = false;
    if (kill9) {
        if (!daemon_kill(&t.lab.west))
            return false;
    } else if (!stop(&t.lab.west.daemon, SIGTERM, 4000)) {
        return complain("it does not stop");
    }
    if (!probe_out() || !probe_in(mac) || !start_west() || !probe_out())
        return false;
    // the SAs are gone; what only they kept closed stays so until the sweep, some seconds after the load
    if (load_file(&t.loaded, "") != 0)
        return complain("the file is refused after a restart");
    usleep(11000000);
    t.held_count = 0;
    return true;
}

// What the kernel has of the daemon's, in one line.
static void kernel_state(char *to, size_t size)
{
    sh_read(
        to, size,
        "nsenter --net=%s sh -c 'ip rule; ip route show table all proto 89; ip -6 route show table all proto "
        "89; ip xfrm policy; ip -o link show espalier0 up' | cksum",
        t.lab.west.ns);
}

static bool as_before(void *was)
{
    char now[64] = "";
    kernel_state(now, sizeof(now));
    return strcmp(now, was) == 0;
}

static bool step_meddle(void)
{
    char was[64] = "";
    static const char rules[] = "ip rule | sed -n 's/^\\([0-9]*\\):.*proto 89.*/\\1/p' | while read p; do "
                                "ip rule del pref $p; done; true";
    static const char *const what[] = {"ip link set espalier0 down; sleep 0.1; ip link set espalier0 up",
                                       "ip route flush table all proto 89", rules, "ip xfrm policy deleteall",
                                       "ip -6 route flush table all proto 89; true"};
    const char *w = what[rnd(5)];
    note("somebody: %.70s", w);
    kernel_state(was, sizeof(was));
    sh("nsenter --net=%s sh -c \"%s\"", t.lab.west.ns, w);
    usleep(REPAIR_MS * 1000);                              // it is repaired by then, on an idle machine
    t.not_as_before += !wait_for(as_before, was, MORE_MS); // SAs may have come or gone meanwhile
    return true;
}

static bool step(const uint8_t *mac)
{
    t.steps++;
    switch (rnd(24)) {
    case 0: return t.steps > 10 ? step_restart(mac) : true;
    case 1:
    case 2:
    case 3: return step_meddle();
    case 4: return step_bad_load();
    case 5:
    case 6:
    case 7:
    case 8: return step_initiate();
    case 9:
    case 10: return step_terminate();
    default: return step_load();
    }
}

// ---- the lab

static const struct tunnel_options east_options = {.start_action = "none"};

static bool prepare(uint8_t *mac)
{
    char path[200], out[4096];
    char *const no_card[] = {"--card", "none", NULL};
    own_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (!lab_up(&t.lab, "esppol") ||
        !espalierd_start(&t.lab, &t.lab.east, &t.lab.west, &east_options, no_card))
        return false;
    // east takes whatever west asks for
    snprintf(path, sizeof(path), "%s/swanctl/swanctl.conf", t.lab.east.dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    fputs("connections { e { local_addrs = 10.10.0.2\n remote_addrs = 10.10.0.1\n unique = no\n proposals = "
          "aes256gcm16-prfsha384-x25519\n"
          " local { auth = psk\n id = east.example }\n remote { auth = psk\n id = west.example }\n"
          " children { e { local_ts = 10.2.0.0/16,fd02::/64\n remote_ts = 10.1.0.0/16,fd01::/64\n "
          "esp_proposals = aes256gcm16 } } } }\n"
          "secrets { ike-1 { id-1 = west.example\n id-2 = east.example\n secret = \"a shared secret of the "
          "lab\" } }\n",
          f);
    fclose(f);
    if (swanctl(&t.lab.east, out, sizeof(out), "--load-all --noprompt"))
        return complain("%s", out);
    sh("nsenter --net=%s sh -c 'for a in 10.1.1.1/32 10.1.0.9/32; do ip addr add $a dev lo; done; ip -6 addr "
       "add fd01::1/128 dev lo nodad; "
       "ip -6 addr add fd10::1/64 dev outer nodad; ip -6 route add fd02::/64 via fd10::2; ip route add "
       "10.2.9.0/24 via 10.10.0.2 2>/dev/null; true'",
       t.lab.west.ns);
    sh("nsenter --net=%s sh -c 'ip -6 addr add fd10::2/64 dev outer nodad; ip -6 route add fd01::/64 via "
       "fd10::1'",
       t.lab.east.ns);
    sh("mkdir -p %s/swanctl/conf.d %s/swanctl/x509 %s/run && echo 'swanctl { }' >%s/client.conf",
       t.lab.west.dir, t.lab.west.dir, t.lab.west.dir, t.lab.west.dir);
    t.sniff = socket_in(&t.lab.east, AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    t.link_tx = socket_in(&t.lab.east, AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    sh_read(out, sizeof(out), "nsenter --net=%s ip -o link show outer", t.lab.east.ns);
    ll.sll_ifindex = atoi(out);
    int room = 8 << 20;
    setsockopt(t.sniff, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
    if (bind(t.sniff, (struct sockaddr *)&ll, sizeof(ll)) < 0)
        return complain("cannot watch the link: %s", strerror(errno));
    ll.sll_protocol = 0;
    sh("nsenter --net=%s sh -c 'ip link add lan0 type veth peer name lan1; ip link set lan0 up; ip link set "
       "lan1 up; ip route "
       "add 10.1.7.0/24 dev lan0; echo 0 >/proc/sys/net/ipv4/conf/lan0/rp_filter; echo 0 "
       ">/proc/sys/net/ipv4/conf/lan1/rp_filter'",
       t.lab.west.ns);
    t.lan_tx = socket_in(&t.lab.west, AF_PACKET, SOCK_RAW, 0);
    sh_read(out, sizeof(out), "nsenter --net=%s ip -o link show lan1", t.lab.west.ns);
    struct sockaddr_ll lan = {.sll_family = AF_PACKET, .sll_ifindex = atoi(out)};
    if (bind(t.lan_tx, (struct sockaddr *)&lan, sizeof(lan)) < 0 || !mac_of("lan0", t.lan_mac))
        return complain("cannot make a host behind west: %s", strerror(errno));
    // the neighbours know each other before anything is judged by its time
    sh("nsenter --net=%s sh -c 'ping -c 1 -W 2 10.10.0.2; ping -c 1 -W 4 fd10::2'", t.lab.west.ns);
    return bind(t.link_tx, (struct sockaddr *)&ll, sizeof(ll)) == 0 && mac_of("outer", mac) && start_west() &&
           load_file(&t.loaded, "") == 0;
}

static bool run(uint64_t ms)
{
    uint8_t mac[6];
    if (!prepare(mac))
        return false;
    uint64_t end = mono_us() + ms * 1000;
    while (mono_us() < end) {
        if (!step(mac) || !probe_out())
            return false;
        for (int i = 0; i < 4; i++)
            if (!probe_in(mac))
                return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    t.seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 60;
    t.rng = t.seed * 0x9e3779b97f4a7c15u | 1;
    t.next_id = 20000;
    if (!have_swanctl()) {
        puts("skip: swanctl is not installed");
        return 3;
    }
    bool ok = run(seconds * 1000ull);
    if (!ok) {
        char out[65536];
        for (unsigned i = t.log_count > 400 ? t.log_count - 400 : 0; i < t.log_count; i++)
            fprintf(stderr, "  %3u %s\n", i + 1, t.log[i % 400]);
        sh_read(out, sizeof(out),
                "nsenter --net=%s sh -c 'ip rule; ip route show table all proto 89; ip xfrm policy | grep -v "
                "socket | head -400'",
                t.lab.west.ns);
        fprintf(stderr, "%s\nrun it again: %s %llu %u\n", out, argv[0], (unsigned long long)t.seed, seconds);
    }
    lab_down(&t.lab);
    printf(
        "seed %llu: %u steps, %u probes, %u of them seen in clear; %u times the kernel's objects were others "
        "after somebody's change\n",
        (unsigned long long)t.seed, t.steps, t.probes, t.seen, t.not_as_before);
    printf("%d passed, %d failed\n", ok, !ok);
    return !ok;
}
