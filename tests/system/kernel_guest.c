// SPDX-License-Identifier: Apache-2.0
// In a virtual machine whose kernel has ESP and AH: the driver's kernel engine on that kernel. Every kind of
// SA that it offers is put there in both directions, read back and taken away; limits, what others take away,
// and what an earlier run has left are seen; at the end nothing is there. Exit status 0: all that held.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver/common/params.h"

enum { OWNER = 0xe5a11e0, PATIENCE_S = 30 };
static struct esp_engine *e;
static struct esp_error err;
static unsigned kinds, taken, faults;

static void fault(const char *what, const char *why)
{
    faults++;
    printf("FAULT: %s: %s\n", what, why);
}

static bool await(enum esp_event_type type, struct esp_event *ev)
{
    time_t until = time(NULL) + PATIENCE_S;
    while (time(NULL) < until) {
        e->ops->tick(e, 0);
        if (e->ops->events(e, ev, 1) == 0)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        else if (ev->type == type)
            return true;
        else if (ev->type == ESP_EVENT_SA_REFUSED)
            return false;
    }
    snprintf(ev->error.text, sizeof(ev->error.text), "no event %d", (int)type);
    return false;
}

static struct esp_sa_params params(enum esp_dir dir, bool ipv6)
{
    struct esp_sa_params p = {.dir = dir,
                              .mode = ESP_TUNNEL,
                              .alg = ESP_ALG_AES256_GCM16,
                              .ipv6 = ipv6,
                              .spi = dir == ESP_OUT ? 0x1001 : 0x2002,
                              .group = 7,
                              .ttl = 64,
                              .seq = dir == ESP_OUT,
                              .window = dir == ESP_IN ? 128 : 0,
                              .sport = 4500,
                              .dport = 4500,
                              .hard_packets = 1000000,
                              .seq_limit = UINT64_MAX};
    memset(p.key, 0x5a, sizeof(p.key));
    memset(p.integ_key, 0xa5, sizeof(p.integ_key));
    inet_pton(ipv6 ? AF_INET6 : AF_INET, ipv6 ? "2001:db8::1" : "192.0.2.1", dir == ESP_OUT ? p.src : p.dst);
    inet_pton(ipv6 ? AF_INET6 : AF_INET, ipv6 ? "2001:db8::2" : "192.0.2.2", dir == ESP_OUT ? p.dst : p.src);
    return p;
}

static struct esp_sa *add(const struct esp_sa_params *p, const char *what)
{
    struct esp_event ev = {0};
    struct esp_sa *sa;
    if (e->ops->sa_add(e, p, NULL, &sa, &err))
        fault(what, err.text);
    else if (await(ESP_EVENT_SA_ADDED, &ev))
        return sa;
    else
        fault(what, ev.error.text);
    return NULL;
}

static void gone(struct esp_sa *sa, const char *what)
{
    struct esp_event ev = {0};
    if (sa && (e->ops->sa_delete(e, sa) || !await(ESP_EVENT_SA_DELETED, &ev)))
        fault(what, "it does not go");
}

static void kind(struct esp_sa_params *p)
{
    char what[160];
    snprintf(what, sizeof(what), "%s %s %s%s%s%s %s", esp_alg_name(p->alg), esp_integ_name(p->integ),
             p->mode == ESP_TUNNEL ? "tunnel" : "transport", p->ipv6 ? " IPv6" : "",
             p->udp_encap ? " UDP" : "", p->esn ? " ESN" : "", p->dir == ESP_OUT ? "out" : "in");
    kinds++;
    if (e->ops->capable(e, p, &err)) {
        fault(what, err.text);
        return;
    }
    struct esp_sa *sa = add(p, what);
    taken += sa != NULL;
    gone(sa, what);
}

// In either mode, family, encapsulation, numbering and direction.
static void every_shape(enum esp_protocol protocol, enum esp_alg alg, enum esp_integ integ)
{
    for (unsigned bits = 0; bits < 32; bits++) {
        struct esp_sa_params p = params(bits & 1 ? ESP_IN : ESP_OUT, bits & 2);
        p.mode = bits & 4 ? ESP_TRANSPORT : ESP_TUNNEL;
        p.udp_encap = bits & 8;
        p.esn = bits & 16;
        p.protocol = protocol;
        p.alg = alg;
        p.integ = integ;
        if (!(p.udp_encap && protocol == ESP_PROTOCOL_AH))
            kind(&p);
    }
}

static void every_kind(void)
{
    for (unsigned a = 1; a < ESP_ALG_COUNT; a++)
        every_shape(ESP_PROTOCOL_ESP, (enum esp_alg)a,
                    alg_sizes((enum esp_alg)a).icv ? ESP_INTEG_NONE : ESP_INTEG_HMAC_SHA256_128);
    for (unsigned i = ESP_INTEG_HMAC_SHA256_128; i <= ESP_INTEG_HMAC_SHA1_96; i++) {
        every_shape(ESP_PROTOCOL_ESP, ESP_ALG_AES256_CBC, (enum esp_integ)i);
        every_shape(ESP_PROTOCOL_AH, ESP_ALG_NONE, (enum esp_integ)i);
    }
}

static struct esp_policy policy(enum esp_dir dir)
{
    struct esp_sa_params p = params(dir, false);
    struct esp_policy o = {
        .dir = dir, .src_len = 24, .dst_len = 24, .priority = 100, .mode = ESP_TUNNEL, .group = 7};
    inet_pton(AF_INET, dir == ESP_OUT ? "10.1.0.0" : "10.2.0.0", o.src);
    inet_pton(AF_INET, dir == ESP_OUT ? "10.2.0.0" : "10.1.0.0", o.dst);
    memcpy(o.outer_src, p.src, 16);
    memcpy(o.outer_dst, p.dst, 16);
    return o;
}

// Lines of what `ip xfrm` lists: "src ..." begins each SA and each policy.
static unsigned listed(const char *what)
{
    char command[200], said[32] = "";
    snprintf(command, sizeof(command), "ip xfrm %s list | grep -c '^src'", what);
    FILE *f = popen(command, "r");
    bool ok = f && fgets(said, sizeof(said), f);
    if (f)
        pclose(f);
    if (!ok)
        fault(command, "no answer");
    return (unsigned)strtoul(said, NULL, 10);
}

static void expect(const char *what, unsigned got, unsigned want)
{
    char why[64];
    snprintf(why, sizeof(why), "%u, expected %u", got, want);
    if (got != want)
        fault(what, why);
}

static void policies(void)
{
    struct esp_policy out = policy(ESP_OUT), in = policy(ESP_IN);
    if (e->ops->policy_set(e, &out, &err) || e->ops->policy_set(e, &in, &err))
        fault("policy_set", err.text);
    expect("policies", listed("policy"), 3);
    if (system("ip xfrm policy flush"))
        fault("ip xfrm policy flush", "it fails");
    for (time_t until = time(NULL) + PATIENCE_S; listed("policy") != 3 && time(NULL) < until;)
        e->ops->tick(e, 0);
    expect("policies after somebody else's flush", listed("policy"), 3);
    if (e->ops->policy_drop(e, &in, &err))
        fault("policy_drop", err.text);
    expect("policies after a drop", listed("policy"), 1);
}

static void taken_away(void)
{
    struct esp_sa_params p = params(ESP_OUT, false);
    struct esp_event ev = {0};
    struct esp_sa *sa = add(&p, "an SA");
    if (sa && (system("ip xfrm state flush") || !await(ESP_EVENT_SA_ENDED, &ev)))
        fault("somebody else's flush", "it is not told");
    gone(sa, "an SA");
}

// Three echo requests by an SA that ends with the second.
static void limits(void)
{
    struct esp_sa_params p = params(ESP_OUT, false);
    struct esp_event ev = {0};
    p.soft_packets = 1;
    p.hard_packets = 2;
    struct esp_sa *sa = add(&p, "an SA with limits");
    // not by lo, which the kernel exempts (disable_xfrm)
    if (system("ip addr add 192.0.2.1/24 dev eth0; ip addr add 10.1.0.1/32 dev eth0; ip link set eth0 up; "
               "ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:01 dev eth0; "
               "ip route add 10.2.0.0/24 via 192.0.2.2 src 10.1.0.1; "
               "ping -c 4 -i 0.2 -W 1 10.2.0.1 >/dev/null") < 0)
        fault("ping", "it does not run");
    if (!await(ESP_EVENT_SA_SOFT_LIMIT, &ev))
        fault("soft limit", "it is not told");
    if (!await(ESP_EVENT_SA_ENDED, &ev) || ev.status != ESP_STATUS_HARD_LIMIT || ev.stats.packets != 2)
        fault("hard limit", "it is not told, or of another number of packets");
    gone(sa, "an SA with limits");
}

static void devices(void)
{
    struct esp_sa_params p = params(ESP_OUT, false);
    struct esp_event ev = {0};
    struct esp_sa *sa;
    snprintf(p.device, sizeof(p.device), "lo"); // which offloads nothing
    p.offload = ESP_OFFLOAD_AUTO;
    if (e->ops->sa_add(e, &p, NULL, &sa, &err) || !await(ESP_EVENT_SA_ADDED, &ev) ||
        ev.offload != ESP_OFFLOAD_NONE)
        fault("offload auto", "it is not in software");
    else
        gone(sa, "offload auto");
    for (unsigned how = ESP_OFFLOAD_CRYPTO; how <= ESP_OFFLOAD_PACKET; how++) {
        p.offload = (enum esp_offload)how;
        if (e->ops->sa_add(e, &p, NULL, &sa, &err) || await(ESP_EVENT_SA_ADDED, &ev))
            fault("offload", "a device that has none takes it");
        printf("offload %u: %s\n", how, ev.error.text);
    }
    expect("SAs after refusals", listed("state"), 0);
}

static bool opened(void)
{
    if (esp_kernel_open(&e, &(struct esp_kernel_options){.owner = OWNER}, &err) == 0)
        return true;
    fault("esp_kernel_open", err.text);
    return false;
}

// Of an engine that goes without a word: the next one takes it away.
static void earlier_run(void)
{
    struct esp_sa_params p = params(ESP_IN, true);
    struct esp_policy out = policy(ESP_OUT);
    struct esp_engine *first = e;
    add(&p, "an SA that is left");
    if (e->ops->policy_set(e, &out, &err))
        fault("policy_set", err.text);
    expect("what is left", listed("state") + listed("policy"), 2);
    if (!opened())
        exit(1);
    expect("what is left after the next run's beginning", listed("state") + listed("policy"), 0);
    first->ops->destroy(first);
}

int main(void)
{
    if (!opened())
        return 1;
    every_kind();
    expect("SAs after all kinds", listed("state"), 0);
    policies();
    limits();
    taken_away();
    devices();
    e->ops->destroy(e);
    expect("what is left at the end", listed("state") + listed("policy"), 0);
    if (opened())
        earlier_run();
    e->ops->destroy(e);
    printf("%u kinds of SA, the kernel has taken %u; %u faults\n", kinds, taken, faults);
    return faults || taken != kinds || !taken;
}
