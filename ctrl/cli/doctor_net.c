// SPDX-License-Identifier: Apache-2.0
// What of the machine stands between a tunnel and its packets.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "ctrl/cli/doctor.h"
#include "ctrl/lib/child.h"

enum { PORT_IKE = 500, PORT_NAT_T = 4500, MTU_LEAST = 1280, MTU_USUAL = 1400 };
enum { CAP_NET_ADMIN_BIT = 12, CAP_NET_RAW_BIT = 13 };

long doctor_sysctl(const char *family, const char *iface, const char *name)
{
    char path[300], text[32] = "";
    snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%.60s/%s", family, iface, name);
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    long n = fgets(text, sizeof(text), f) ? strtol(text, NULL, 10) : -1;
    fclose(f);
    return n;
}

static void each_interface(struct doctor *d, void (*look)(struct doctor *d, const char *name))
{
    DIR *dir = opendir("/proc/sys/net/ipv4/conf");
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.' && strcmp(e->d_name, "default") != 0)
            look(d, e->d_name);
    if (dir)
        closedir(dir);
}

// ---- rights

static uint64_t own_capabilities(void)
{
    char line[128];
    unsigned long long caps = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, "CapEff:", 7) == 0)
            caps = strtoull(line + 7, NULL, 16);
    if (f)
        fclose(f);
    return caps;
}

void doctor_rights(struct doctor *d)
{
    const uint64_t needed = 1u << CAP_NET_ADMIN_BIT | 1u << CAP_NET_RAW_BIT;
    bool lacks = (own_capabilities() & needed) != needed;
    if (lacks && d->daemon)
        doctor_find(d, NOTE, "who holds a port, and interfaces of others, are seen by root alone",
                    "sudo espalier doctor", "this is not run as root");
    if (d->daemon)
        return;
    if (lacks)
        doctor_find(d, WRONG, "espalierd makes a TUN interface, raw sockets and kernel policies",
                    "start it as root, or with CAP_NET_ADMIN and CAP_NET_RAW",
                    "CAP_NET_ADMIN or CAP_NET_RAW is missing here");
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        doctor_find(d, WRONG, "packets go to and from the tunnel through it",
                    errno == ENOENT ? "modprobe tun; in a container give it the device /dev/net/tun"
                                    : "chmod 0666 /dev/net/tun, or run as root",
                    "/dev/net/tun: %s", strerror(errno));
    else
        close(fd);
}

// ---- ports

struct owner {
    pid_t pid;
    char name[32];
};

static bool has_socket(const char *pid, unsigned long inode)
{
    char path[400], link[64], wanted[64];
    bool has = false;
    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && !has && (e = readdir(dir));) {
        snprintf(path, sizeof(path), "/proc/%.20s/fd/%.20s", pid, e->d_name);
        ssize_t n = readlink(path, link, sizeof(link) - 1);
        link[n > 0 ? n : 0] = 0;
        has = strcmp(link, wanted) == 0;
    }
    if (dir)
        closedir(dir);
    return has;
}

static void read_name(struct owner *o)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)o->pid);
    FILE *f = fopen(path, "re");
    if (!f || !fgets(o->name, sizeof(o->name), f))
        snprintf(o->name, sizeof(o->name), "?");
    o->name[strcspn(o->name, "\n")] = 0;
    if (f)
        fclose(f);
}

static bool is_daemon(const struct doctor *d, pid_t pid)
{
    for (unsigned i = 0; i < d->pid_count; i++)
        if (pid > 0 && d->pids[i] == pid)
            return true;
    return false;
}

// A process that has it open: the daemon's, where it is one of them. pid 0: none is seen.
static struct owner owner_of(const struct doctor *d, unsigned long inode)
{
    struct owner o = {0, ""};
    DIR *dir = opendir("/proc");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 0 && !is_daemon(d, o.pid) && has_socket(e->d_name, inode))
            o.pid = pid;
    }
    if (dir)
        closedir(dir);
    if (o.pid)
        read_name(&o);
    return o;
}

static void judge_socket(struct doctor *d, unsigned port, unsigned long inode)
{
    static const char why[] = "the peer's messages go there and not to the daemon, or it cannot start";
    struct owner o = owner_of(d, inode);
    char mend[120];
    if (is_daemon(d, o.pid) || (!o.pid && d->daemon))
        return;
    snprintf(mend, sizeof(mend),
             "ss -lunp 'sport = :%u'; stop that program, or give espalierd --port and --port-nat-t", port);
    if (o.pid)
        doctor_find(d, WRONG, why, mend, "UDP port %u is held by %s (process %d)", port, o.name, (int)o.pid);
    else
        doctor_find(d, WRONG, why, mend, "UDP port %u is held by a program that is not seen from here", port);
}

static unsigned look_through(struct doctor *d, const char *path)
{
    char line[512];
    unsigned seen = 0, port;
    unsigned long inode;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %*x %*x:%*x %*x:%*x %*x %*u %*u %lu",
                   &port, &inode) != 2 ||
            (port != PORT_IKE && port != PORT_NAT_T))
            continue;
        seen++;
        judge_socket(d, port, inode);
    }
    if (f)
        fclose(f);
    return seen;
}

void doctor_ports(struct doctor *d)
{
    unsigned seen = look_through(d, "/proc/net/udp") + look_through(d, "/proc/net/udp6");
    if (!seen && d->daemon)
        doctor_find(d, NOTE, "a peer that uses the usual ports does not reach it",
                    "look at its --port and --port-nat-t, or run this in its network namespace (nsenter)",
                    "the daemon answers here, and nobody listens on UDP ports 500 and 4500");
}

// ---- policies that are not looked at

static bool is_tun(const char *name)
{
    struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
    struct ifreq r = {.ifr_data = (char *)&info};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%.15s", name);
    bool tun = fd >= 0 && ioctl(fd, SIOCETHTOOL, &r) == 0 && strcmp(info.driver, "tun") == 0;
    if (fd >= 0)
        close(fd);
    return tun;
}

static void look_at_policy(struct doctor *d, const char *name)
{
    static const char *const keys[] = {"disable_policy", "disable_xfrm"};
    char mend[160];
    if (strcmp(name, "lo") == 0 ||
        is_tun(name)) // the kernel's own; what comes out of a tunnel is judged by the daemon
        return;
    for (size_t i = 0; i < 2; i++) {
        if (doctor_sysctl("ipv4", name, keys[i]) != 1)
            continue;
        snprintf(mend, sizeof(mend), "sysctl -w net.ipv4.conf.%.40s.%s=0", name, keys[i]);
        doctor_find(d, WRONG,
                    "the kernel's block policies are passed over there: protected traffic can leave in clear",
                    mend, "net.ipv4.conf.%s.%s is 1", name, keys[i]);
    }
}

void doctor_policy(struct doctor *d)
{
    each_interface(d, look_at_policy);
}

// ---- rp_filter

enum { TUNS = 300 };
struct tuns { // that the daemon has open, each once
    char name[TUNS][IFNAMSIZ];
    unsigned count;
};

static void add_tun(struct tuns *l, const char *name)
{
    for (unsigned i = 0; i < l->count; i++)
        if (strcmp(l->name[i], name) == 0)
            return;
    if (l->count < TUNS)
        snprintf(l->name[l->count++], sizeof(l->name[0]), "%s", name);
}

static void tuns_of(pid_t pid, struct tuns *out)
{
    char path[400], line[128], name[IFNAMSIZ];
    snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.20s", (int)pid, e->d_name);
        FILE *f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
            if (sscanf(line, "iff: %15s", name) == 1)
                add_tun(out, name);
        if (f)
            fclose(f);
    }
    if (dir)
        closedir(dir);
}

// The greater of both holds; 2 is loose.
bool doctor_is_strict(const char *name)
{
    long all = doctor_sysctl("ipv4", "all", "rp_filter"), own = doctor_sysctl("ipv4", name, "rp_filter");
    return (all == 1 && own != 2) || (own == 1 && all != 2);
}

void doctor_rp_filter(struct doctor *d)
{
    struct tuns tuns = {.count = 0};
    char mend[200];
    for (unsigned i = 0; i < d->pid_count; i++)
        tuns_of(d->pids[i], &tuns);
    for (unsigned i = 0; i < tuns.count; i++) {
        const char *name = tuns.name[i];
        bool all = doctor_sysctl("ipv4", "all", "rp_filter") == 1;
        const char *which = all ? "all" : name;
        if (!doctor_is_strict(name))
            continue;
        snprintf(mend, sizeof(mend), "sysctl -w net.ipv4.conf.%s.rp_filter=%s", which, all ? "2" : "0");
        doctor_find(
            d, WRONG,
            "packets out of the tunnel are dropped, without a word, where the way back to their sender leads "
            "elsewhere",
            mend, "net.ipv4.conf.%s.rp_filter is 1, strict, for %s", which, name);
        if (all) // for the others too
            return;
    }
}

// ---- forwarding

static bool is_network(const char *ts)
{
    const char *slash = strchr(ts, '/');
    long length = slash ? strtol(slash + 1, NULL, 10) : 0;
    return slash && length < (strchr(ts, ':') ? 128 : 32);
}

void doctor_forwarding(struct doctor *d)
{
    char text[8] = "";
    size_t i, k, t;
    json_t *conn, *child, *ts;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_forward", "re");
    bool off = f && fgets(text, sizeof(text), f) && text[0] == '0';
    if (f)
        fclose(f);
    if (!off)
        return;
    json_array_foreach(d->conns, i, conn)
    {
        json_array_foreach(json_object_get(conn, "children"), k, child)
        {
            json_array_foreach(json_object_get(child, "local-ts"), t, ts)
            {
                const char *text_of = json_string_value(ts);
                if (!text_of || strchr(text_of, ':') || !is_network(text_of))
                    continue;
                doctor_find(
                    d, NOTE,
                    "what other machines of that network send is not handed on; its own programs are served",
                    "sysctl -w net.ipv4.ip_forward=1",
                    "net.ipv4.ip_forward is 0, and %s of a connection is a network behind this machine",
                    text_of);
                return;
            }
        }
    }
}

// ---- addresses and ways

// An address of the configuration; what is a name, a range or %any is none.
static bool to_address(const char *text, struct sockaddr_storage *ss, socklen_t *len)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
    memset(ss, 0, sizeof(*ss));
    if (text && inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        ss->ss_family = AF_INET;
        *len = sizeof(*v4);
        return true;
    }
    if (text && inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        ss->ss_family = AF_INET6;
        *len = sizeof(*v6);
        return true;
    }
    return false;
}

void doctor_each_address(struct doctor *d, const char *key,
                         void (*look)(struct doctor *d, const char *conn, const char *address,
                                      struct sockaddr_storage *ss, socklen_t len))
{
    size_t i, k;
    json_t *conn, *a;
    json_array_foreach(d->conns, i, conn)
    {
        json_array_foreach(json_object_get(conn, key), k, a)
        {
            struct sockaddr_storage ss;
            socklen_t len = 0;
            if (to_address(json_string_value(a), &ss, &len))
                look(d, json_string_value(json_object_get(conn, "name")), json_string_value(a), &ss, len);
        }
    }
}

static void look_at_own(struct doctor *d, const char *conn, const char *address, struct sockaddr_storage *ss,
                        socklen_t len)
{
    char mend[160];
    int fd = socket(ss->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)ss, len) < 0 && errno == EADDRNOTAVAIL) {
        snprintf(mend, sizeof(mend), "ip address add %.60s/%d dev INTERFACE, or mend local_addrs", address,
                 ss->ss_family == AF_INET ? 24 : 64);
        doctor_find(d, WRONG, "the daemon cannot send from it, so the connection never comes up", mend,
                    "local_addrs of %.80s: %s is no address of this machine", conn, address);
    }
    if (fd >= 0)
        close(fd);
}

void doctor_addresses(struct doctor *d)
{
    doctor_each_address(d, "local_addrs", look_at_own);
}

static void judge_mtu(struct doctor *d, const char *conn, const char *address, int mtu)
{
    static const char why[] = "large packets, and with them downloads and not pings, hang";
    char mend[200];
    snprintf(mend, sizeof(mend),
             "ip route get %.60s; ip link set dev INTERFACE mtu 1500 where the link takes it, else "
             "espalierd's setting mtu below that",
             address);
    if (mtu < MTU_LEAST)
        doctor_find(d, WRONG, why, mend,
                    "the way to %s of %.80s takes packets of %d octets, less than IPv6 wants at all (1280)",
                    address, conn, mtu);
    else if (mtu < MTU_USUAL)
        doctor_find(d, NOTE, why, mend, "the way to %s of %.80s takes packets of %d octets, less than usual",
                    address, conn, mtu);
}

static void look_at_way(struct doctor *d, const char *conn, const char *address, struct sockaddr_storage *ss,
                        socklen_t len)
{
    bool v4 = ss->ss_family == AF_INET;
    char mend[200];
    int mtu = 0, own = ESPALIER_SO_MARK, fd = socket(ss->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof(mtu);
    *(v4 ? &((struct sockaddr_in *)ss)->sin_port : &((struct sockaddr_in6 *)ss)->sin6_port) = htons(PORT_IKE);
    if (fd < 0)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_MARK, &own, sizeof(own)); // the way that the daemon's packets take
    if (connect(fd, (struct sockaddr *)ss, len) < 0 && (errno == ENETUNREACH || errno == EHOSTUNREACH)) {
        snprintf(mend, sizeof(mend), "ip route add %.60s via GATEWAY; ip route get %.60s", address, address);
        doctor_find(d, WRONG, "the peer is never asked", mend, "there is no route to %s, the peer of %.80s",
                    address, conn);
    } else if (getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu, &size) == 0) {
        judge_mtu(d, conn, address, mtu);
    }
    close(fd);
}

void doctor_ways(struct doctor *d)
{
    doctor_each_address(d, "remote_addrs", look_at_way);
}
