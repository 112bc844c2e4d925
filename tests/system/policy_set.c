// SPDX-License-Identifier: Apache-2.0
// See policy_set.h. What has to be there, in words:
//   block policies  behind every selector, out, in and forwarded; where it has ports, one for each run of
//                   ports that a mask can say, and one for what shows none (0 and 0); of IPv6 with a protocol
//                   one for each header behind which it may stand; outward in IPv6 they hold, where there are
//                   hooks and a tunnel
//   allow policies  the same of what is let pass, but for what shows no ports; in IPv6 the way into the TUN
//                   and to the hooks for the kernel's own errors from west's addresses; of either family
//                   what the hooks have marked, in
//   rules, routes   of tunnels: into the TUN by source, protocol and ports, and once more without ports; and
//                   for programs that have not chosen a source
//   hooks           of each family in which there is a tunnel
#include "tests/system/policy_set.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OURS_FROM 0x3fffffffu // priorities of XFRM policies

__attribute__((format(printf, 2, 3))) static void put(struct set *s, const char *fmt, ...)
{
    va_list ap;
    if (s->count == SET_LINES)
        abort();
    va_start(ap, fmt);
    vsnprintf(s->line[s->count++], SET_LINE, fmt, ap);
    va_end(ap);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void sort(struct set *s)
{
    unsigned n = 0;
    qsort(s->line, s->count, SET_LINE, by_text);
    for (unsigned i = 0; i < s->count; i++)
        if (!n || strcmp(s->line[n - 1], s->line[i]) != 0)
            memmove(s->line[n++], s->line[i], SET_LINE);
    s->count = n;
}

const char *set_first_missing(const struct set *a, const struct set *b)
{
    for (unsigned i = 0; i < a->count; i++)
        if (!bsearch(a->line[i], b->line, b->count, SET_LINE, by_text))
            return a->line[i];
    return NULL;
}

// ---- expected

static void three_ways(struct set *s, const struct child *c, const char *proto, const char *near_port,
                       const char *far_port, bool hooks)
{
    const char *l = local_text(c), *r = remote_text(c), *action = c->mode == PASS ? "allow" : "block";
    put(s, "out %s > %s%s%s%s %s", l, r, proto, near_port, far_port,
        six(c) && protects(c) && hooks ? "hold" : action);
    // the peer's ports are where it sends from
    char turned[24] = "";
    if (*far_port)
        snprintf(turned, sizeof(turned), " sport %s", far_port + 7);
    if (*near_port)
        snprintf(turned + strlen(turned), sizeof(turned) - strlen(turned), " dport %s", near_port + 7);
    put(s, "in %s > %s%s%s %s", r, l, proto, turned, action);
    put(s, "fwd %s > %s%s%s %s", r, l, proto, turned, action);
}

static void policies(struct set *s, const struct child *c, bool hooks)
{
    static const char *const go_on[] = {" proto ipv6-route", " proto ipv6-frag", " proto ipv6-opts"};
    struct child_kind k = child_kind(c);
    char proto[24] = "", port[24];
    if (k.proto[0])
        snprintf(proto, sizeof(proto), " proto %s", k.proto);
    if (!k.ports)
        three_ways(s, c, proto, "", "", hooks);
    for (unsigned at = k.lo, size; k.ports && at <= k.hi; at += size) {
        for (size = 1; at % (2 * size) == 0 && at + 2 * size - 1 <= k.hi;)
            size *= 2;
        snprintf(port, sizeof(port), " dport %u", at);
        three_ways(s, c, proto, "", port, hooks);
    }
    if (c->mode == PASS)
        return;
    if (k.ports)
        three_ways(s, c, proto, " sport 0", " dport 0", hooks);
    for (int i = 0; i < 3 && k.proto[0] && six(c); i++)
        three_ways(s, c, go_on[i], "", "", hooks);
}

static void frame(struct set *s, int family, bool ports, bool sources)
{
    put(s, "rule%d 220 from all fwmark 0xe59 goto 228", family);
    put(s, "rule%d 228 from all nop", family);
    if (ports) {
        put(s, "rule%d 225 not from all dport 1-65534 goto 227", family);
        put(s, "rule%d 226 from all goto 228", family);
    }
    if (family == 6 && sources) {
        put(s, "rule6 221 from ::/1 goto 223");
        put(s, "rule6 221 from 8000::/1 goto 223");
        put(s, "rule6 223 from all nop");
    }
}

static void rules(struct set *s, const struct child *c)
{
    struct child_kind k = child_kind(c);
    int family = six(c) ? 6 : 4;
    char proto[24] = "", ports[32] = "", from[32];
    snprintf(from, sizeof(from), "%s", local_text(c));
    char *whole = strstr(from, family == 6 ? "/128" : "/32"); // rules do not show it
    if (whole)
        *whole = 0;
    if (k.proto[0])
        snprintf(proto, sizeof(proto), " ipproto %s", k.proto);
    if (k.ports && k.lo == k.hi)
        snprintf(ports, sizeof(ports), " dport %u", k.lo);
    else if (k.ports)
        snprintf(ports, sizeof(ports), " dport %u-%u", k.lo, k.hi);
    frame(s, family, k.ports, local_is_wests(c));
    put(s, "way%d 224 from %s%s%s to %s", family, from, proto, ports, remote_text(c));
    if (k.ports)
        put(s, "way%d 227 from %s%s to %s", family, from, proto, remote_text(c));
    if (local_is_wests(c))
        put(s, "way%d %s%s%s to %s with a source", family, family == 6 ? "222 from all" : "224 from 0.0.0.0",
            proto, ports, remote_text(c));
}

// From each address of west's that the policy names, where it names ICMPv6.
static void errors(struct set *s, const struct child *c)
{
    const char *proto = child_kind(c).proto;
    if (!local_is_wests(c) || (proto[0] && strcmp(proto, "ipv6-icmp") != 0))
        return;
    put(s, "out fd01::1/128 > ::/0 proto ipv6-icmp type 0 mark allow");
    if (strcmp(local_text(c), "fd01::/64") == 0)
        put(s, "out fd01::9/128 > ::/0 proto ipv6-icmp type 0 mark allow");
}

static void one(struct set *s, const struct child *c, bool hooks)
{
    if (!c->there)
        return;
    policies(s, c, hooks);
    if (!protects(c))
        return;
    rules(s, c);
    if (hooks) {
        put(s, "hooks of IPv%d", six(c) ? 6 : 4);
        put(s, "in %s mark allow", six(c) ? "::/0 > ::/0" : "0.0.0.0/0 > 0.0.0.0/0");
    }
    if (!six(c))
        return;
    put(s, "out ::/0 > ::/0 dev espalier0 allow");
    if (hooks)
        errors(s, c);
}

void set_expected(struct set *out, const struct naive *n, bool maybe, bool hooks)
{
    out->count = 0;
    for (int i = 0; i < CONNS * CONN_CHILDREN; i++)
        one(out, &n->loaded.child[i / CONN_CHILDREN][i % CONN_CHILDREN], hooks);
    for (unsigned i = 0; i < n->held_count; i++)
        if (maybe || !n->held[i].maybe)
            one(out, &n->held[i].was, hooks);
    sort(out);
}

void set_without_ways(struct set *s)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->count; i++)
        if (strncmp(s->line[i], "way", 3) != 0)
            memmove(s->line[n++], s->line[i], SET_LINE);
    s->count = n;
}

// ---- listed

struct policy_text { // of `ip xfrm policy`, which is in several lines
    char selector[SET_LINE - 20], dir[8], action[8];
    bool ours, marked, there;
};

static void policy_end(struct set *s, struct policy_text *p)
{
    if (p->there && p->ours)
        put(s, "%s %s%s %s", p->dir, p->selector, p->marked ? " mark" : "", p->action);
    *p = (struct policy_text){0};
}

static void squeeze(char *text)
{
    size_t n = 0;
    for (size_t i = 0; text[i]; i++)
        if (text[i] != ' ' || (n && text[n - 1] != ' '))
            text[n++] = text[i];
    while (n && text[n - 1] == ' ')
        n--;
    text[n] = 0;
}

static void policy_line(struct set *s, struct policy_text *p, char *line)
{
    char src[50], dst[50];
    int at = 0;
    if (sscanf(line, "src %49s dst %49s %n", src, dst, &at) == 2 && line[0] == 's') {
        policy_end(s, p);
        p->there = true;
        squeeze(line + at);
        snprintf(p->selector, sizeof(p->selector), "%s > %s%s%.40s", src, dst, line[at] ? " " : "",
                 line + at);
        snprintf(p->action, sizeof(p->action), "allow");
        return;
    }
    const char *action = strstr(line, "action block"), *priority = strstr(line, "priority ");
    if (sscanf(line, " dir %7s", p->dir) == 1) {
        p->ours = priority && strtoul(priority + 9, NULL, 10) >= OURS_FROM;
        if (action)
            snprintf(p->action, sizeof(p->action), "block");
    }
    if (strstr(line, "tmpl src 100::"))
        snprintf(p->action, sizeof(p->action), "hold");
    p->marked |= strstr(line, "mark 0x20000000/0x2f000000") != NULL;
}

struct rule_text {
    char text[SET_LINE];
    int family;
    unsigned long table;
};
struct listing {
    struct rule_text rule[SET_LINES / 4];
    unsigned rules;
};

// "224:	from 10.1.0.0/16 ipproto udp lookup 220000003 proto 89"; of those without a table what is
// done.
static void rule_line(struct set *s, struct listing *l, int family, char *line)
{
    char *ours = strstr(line, " proto 89"), *lookup = strstr(line, " lookup "), *colon = strchr(line, ':');
    if (!ours || !colon || strstr(line, " tun_id ")) // a mark of the running instance, which leads nowhere
        return;
    *ours = 0;
    *colon = ' ';
    for (char *c = line; *c; c++)
        *c = *c == '\t' ? ' ' : *c;
    char *jump = strstr(line, " goto "), *nop = strstr(line, " nop"), *then = jump ? jump : nop ? nop : "";
    char end[32];
    snprintf(end, sizeof(end), "%.31s", then);
    unsigned long table = lookup ? strtoul(lookup + 8, NULL, 10) : 0;
    if (lookup)
        *lookup = 0;
    squeeze(line);
    squeeze(end + (end[0] == ' '));
    if (end[0]) {
        put(s, "rule%d %.60s%.31s", family, line, end);
        return;
    }
    if (l->rules == sizeof(l->rule) / sizeof(l->rule[0]))
        abort();
    struct rule_text *r = &l->rule[l->rules++];
    snprintf(r->text, sizeof(r->text), "%.100s", line);
    r->family = family;
    r->table = table;
}

static bool whole_address(const char *prefix)
{
    return !strchr(prefix, '/');
}

// "10.2.0.0/16 dev espalier0 table 220000003 src 10.1.0.1 …": by each rule that leads there.
static void route_line(struct set *s, const struct listing *l, int family, const char *line)
{
    char to[64];
    const char *table = strstr(line, " table "), *dev = strstr(line, " dev espalier0");
    if (sscanf(line, "%63s", to) != 1 || !table)
        return;
    for (unsigned i = 0; i < l->rules; i++)
        if (l->rule[i].family == family && l->rule[i].table == strtoul(table + 7, NULL, 10))
            put(s, "way%d %.70s to %s%s%s%s", family, l->rule[i].text, to,
                whole_address(to) ? (family == 6 ? "/128" : "/32") : "",
                strstr(line, " src ") ? " with a source" : "", dev ? "" : " elsewhere");
}

void set_read(struct set *out, char *text)
{
    static struct listing l;
    struct policy_text p = {0};
    char what[16] = "", *rest = text;
    out->count = l.rules = 0;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (line[0] == '@') {
            snprintf(what, sizeof(what), "%.15s", line + 1);
            policy_end(out, &p);
        } else if (!strcmp(what, "policies")) {
            policy_line(out, &p, line);
        } else if (!strncmp(what, "rules", 5)) {
            rule_line(out, &l, what[5] - '0', line);
        } else if (!strncmp(what, "routes", 6)) {
            route_line(out, &l, what[6] - '0', line);
        } else if (!strcmp(what, "tables") && !strncmp(line, "espalier", 8)) {
            put(out, "hooks of IPv%s", strchr(line, ' ') + 1);
        }
    }
    policy_end(out, &p);
    sort(out);
}
