// SPDX-License-Identifier: Apache-2.0
// See policy_lab.h: the two gateways, their files, and the host.
#include "tests/system/policy_lab.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EAST_CHILD                                                                                           \
    "e { local_ts = 10.2.0.0/16,fd02::/64\n remote_ts = 10.1.0.0/16,fd01::/64," WEST_OUTER                   \
    "/32\n esp_proposals = aes256gcm16 }\n f { remote_ts = 10.1.0.0/16\n esp_proposals = aes256gcm16 }\n x " \
    "{ mode = transport\n esp_proposals = aes256gcm16 }"
#define SECRET                                                                                               \
    "secrets { ike-1 { id-1 = west.example\n id-2 = east.example\n secret = \"a shared secret of the lab\" " \
    "} }\n"

void note(struct test *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->log[t->log_count++ % LOG_LINES], sizeof(t->log[0]), fmt, ap);
    va_end(ap);
    if (getenv("ESPALIER_STEPS"))
        fprintf(stderr, "%8.1f s  %s\n", (double)(mono_us() - t->begun) / 1e6,
                t->log[(t->log_count - 1) % LOG_LINES]);
}

int in_west(struct test *t, const char *commands)
{
    return sh("nsenter --net=%s sh -c '%s'", t->lab.west.ns, commands);
}

int in_east(struct test *t, const char *commands)
{
    return sh("nsenter --net=%s sh -c '%s'", t->lab.east.ns, commands);
}

// ---- files

const char *const east_children[EAST_CHILDREN] = {"e", "f", "x"};

static void write_side(FILE *f, const char *key, bool left_out, const char *text, const char *kind)
{
    if (left_out && !kind[0]) // as swanctl's default is
        return;
    fprintf(f, "  %s = %s%s\n", key, left_out ? "dynamic" : text, kind);
}

static void write_child(FILE *f, const char *name, const struct child *c)
{
    static const char *const modes[] = {"tunnel", "pass", "drop", "transport"};
    fprintf(f, " %s { mode = %s\n", name, modes[c->mode]);
    write_side(f, "local_ts", local_left_out(c), local_text(c), local_kind(c));
    write_side(f, "remote_ts", remote_left_out(c), remote_text(c), remote_kind(c));
    fprintf(f, "  start_action = %s\n esp_proposals = aes256gcm16 }\n", c->trap ? "trap" : "none");
}

// Where the own address is left out the way to the peer says which it is.
static void write_conn(FILE *f, int i, const struct file *file, bool renamed)
{
    const struct child *c = file->child[i];
    if (!c[0].there && !c[1].there)
        return;
    fprintf(f,
            "connections { %s%d { version = 2\n%s remote_addrs = " EAST_OUTER "\n unique = "
            "no\n proposals = aes256gcm16-prfsha384-x25519\n local { auth = psk\n id = west.example }\n"
            " remote { auth = psk\n id = east.example }\n children {\n",
            renamed ? "d" : "c", i,
            file->own_left_out[i] ? " mobike = no\n" : " local_addrs = " WEST_OUTER "\n");
    for (int k = 0; k < CONN_CHILDREN; k++) {
        char name[8];
        snprintf(name, sizeof(name), "%s%d%d", renamed ? "m" : "k", i, k);
        if (c[k].there)
            write_child(f, name, &c[k]);
    }
    fputs(" } } }\n", f);
}

static FILE *swanctl_conf(const struct site *s)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/swanctl/swanctl.conf", s->dir);
    FILE *f = fopen(path, "w");
    if (!f)
        abort();
    return f;
}

int lab_load(struct test *t, const struct file *file, const char *more)
{
    char out[8192];
    FILE *f = swanctl_conf(&t->lab.west);
    for (int i = 0; i < CONNS; i++)
        write_conn(f, i, file, t->renamed >> i & 1);
    fputs(more, f);
    fputs(SECRET, f);
    fclose(f);
    return swanctl(&t->lab.west, out, sizeof(out), "--load-all --noprompt");
}

// East takes whatever west asks for.
static bool start_east(struct test *t)
{
    static const struct tunnel_options options = {.start_action = "none"};
    char out[4096];
    char *const no_card[] = {"--card", "none", NULL};
    if (!espalierd_start(&t->lab, &t->lab.east, &t->lab.west, &options, no_card))
        return false;
    FILE *f = swanctl_conf(&t->lab.east);
    fputs(
        "connections { e { local_addrs = 10.10.0.2\n remote_addrs = 10.10.0.1\n unique = no\n proposals = "
        "aes256gcm16-prfsha384-x25519\n local { auth = psk\n id = east.example }\n remote { auth = psk\n id "
        "= west.example }\n children { " EAST_CHILD " } } }\n" SECRET,
        f);
    fclose(f);
    return swanctl(&t->lab.east, out, sizeof(out), "--load-all --noprompt") == 0 || complain("%s", out);
}

// ---- west

static bool serves(void *ctx)
{
    struct test *t = ctx;
    char out[4096];
    return swanctl(&t->lab.west, out, sizeof(out), "--stats") == 0;
}

bool lab_start_west(struct test *t)
{
    char program[600], vici[200], run[200], log[200], socket[200];
    char *argv[] = {program, "--vici", vici, "--run-dir", run, "--card", "none", NULL};
    snprintf(program, sizeof(program), "%s/espalierd", bin_dir());
    snprintf(vici, sizeof(vici), "unix://%s/vici", t->lab.west.dir);
    snprintf(socket, sizeof(socket), "%s/vici", t->lab.west.dir);
    snprintf(run, sizeof(run), "%s/run", t->lab.west.dir);
    snprintf(log, sizeof(log), "%s/daemon.log", t->lab.west.dir);
    unlink(socket);
    t->lab.west.daemon = spawn(log, t->lab.west.ns, argv);
    return wait_for(serves, t, PATIENCE_MS) || complain("it does not start");
}

// ---- what they stand in

// A second address on the link: with the first one gone the ways by it stay.
static bool networks(struct test *t)
{
    return in_west(t, "for a in 10.1.1.1/32 10.1.0.9/32; do ip addr add $a dev lo; done; for a in fd01::1 "
                      "fd01::9; do ip -6 addr add $a/128 dev lo nodad; done; ip addr add 192.0.2.1/24 dev "
                      "outer; ip link add lan0 type veth peer name lan1; echo 1 "
                      ">/proc/sys/net/ipv6/conf/lan1/disable_ipv6; ip link set lan0 up; ip link set lan1 up; "
                      "ip route add 10.1.7.0/24 dev lan0; ip -6 route add fd01::7:0/112 dev lan0; "
                      "ip neigh add 10.1.7.7 lladdr 02:00:00:00:00:07 dev lan0; "
                      "ip -6 neigh add fd01::7:7 lladdr 02:00:00:00:00:07 dev lan0; "
                      "echo 0 >/proc/sys/net/ipv4/conf/lan0/rp_filter; "
                      "echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit; "
                      "for i in all default lan0 outer; do echo 1 >/proc/sys/net/ipv6/conf/$i/forwarding; "
                      "done") == 0 ||
           complain("cannot make a host behind west");
}

bool lab_prepare(struct test *t)
{
    const struct site *w = &t->lab.west;
    if (!lab_up(&t->lab, "esppol") || !lab_ipv6(&t->lab) || !networks(t) || !start_east(t) ||
        !probes_open(t) || !set_open(t))
        return false;
    if (in_east(t, "ip -6 addr add fd02::1/128 dev lo nodad") ||
        in_west(t, "ip route add 10.2.9.0/24 via 10.10.0.2; ip -6 route add fd03::/64 via fd10::2") ||
        sh("mkdir -p %s/swanctl/conf.d %s/swanctl/x509 %s/run && echo \"swanctl { }\" >%s/client.conf",
           w->dir, w->dir, w->dir, w->dir))
        return complain("cannot prepare west");
    // the neighbours know each other before anything is judged by its time
    in_west(t, "ping -c 1 -W 1 10.10.0.2; ping -c 1 -W 4 fd10::2");
    return lab_start_west(t) && lab_load(t, &t->naive.loaded, "") == 0;
}
