// SPDX-License-Identifier: Apache-2.0
// A packet's end in words: what it is, which line of the SA file decided, what was expected and, where the
// packets before it are the cause, which of them.
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/workbench/explain.h"
#include "sim/workbench/util.h"

enum { IP4_HEADER = 20, IP6_HEADER = 40 };
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ESP = 50, PROTO_ICMP6 = 58 };

static void print_addresses(FILE *f, const uint8_t *ip, bool ipv6)
{
    int family = ipv6 ? AF_INET6 : AF_INET;
    char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];

    inet_ntop(family, ip + (ipv6 ? 8 : 12), src, sizeof(src));
    inet_ntop(family, ip + (ipv6 ? 24 : 16), dst, sizeof(dst));
    fprintf(f, "%s > %s", src, dst);
}

static void print_protocol(FILE *f, uint8_t proto, const uint8_t *body, size_t len)
{
    if (proto == PROTO_ESP && len >= 8)
        fprintf(f, ", ESP, SPI 0x%08x, sequence number %u", wb_get32(body), wb_get32(body + 4));
    else if ((proto == PROTO_UDP || proto == PROTO_TCP) && len >= 4)
        fprintf(f, ", %s %u > %u", proto == PROTO_UDP ? "UDP" : "TCP", wb_get16(body), wb_get16(body + 2));
    else if (proto == PROTO_ICMP || proto == PROTO_ICMP6)
        fputs(", ICMP", f);
    else
        fprintf(f, ", protocol %u", proto);
}

// An IP packet in a few words.
static void print_ip(FILE *f, const uint8_t *ip, size_t len)
{
    bool ipv6 = len > 0 && ip[0] >> 4 == 6;
    size_t header = ipv6 ? IP6_HEADER : len > 0 ? (ip[0] & 15u) * 4 : IP4_HEADER;

    if (len < header || (!ipv6 && (header < IP4_HEADER || ip[0] >> 4 != 4))) {
        fputs("a broken IP packet", f);
        return;
    }
    print_addresses(f, ip, ipv6);
    if (!ipv6 && (wb_get16(ip + 6) & 0x1fff) != 0)
        fputs(", a later fragment", f);
    else
        print_protocol(f, ip[ipv6 ? 6 : 9], ip + header, len - header);
}

static void print_packet(FILE *f, const struct explain *x, size_t i)
{
    const struct capture_packet *p = &x->packets[i];
    int type_at, at = capture_find_ip(x->link, p->data, p->len, &type_at);

    fprintf(f, "packet %zu, ", i + 1);
    if (at < 0)
        fputs("no IP packet", f);
    else
        print_ip(f, p->data + at, p->len - (size_t)at);
    fprintf(f, ", %u octets", p->wire_len);
}

// What came out of an SA and was then not allowed.
static void print_inner(FILE *f, const struct explain *x, const struct told *t)
{
    int type_at, at = t->out ? capture_find_ip(x->link, t->out, t->out_len, &type_at) : -1;

    if (at < 0)
        fputs("what came out", f);
    else
        print_ip(f, t->out + at, t->out_len - (size_t)at);
}

// Had the packet passed the ICV, so that its sequence number counts as received?
static bool received(const struct told *t)
{
    if (t->verdict.action != FLOW_DECAP || !t->went_in)
        return false;
    if (t->end == PASS_DECRYPTED)
        return true;
    switch (t->reason) {
    case ESP_STATUS_POLICY:
    case ESP_STATUS_BAD_PAD:
    case ESP_STATUS_BAD_NEXT_HEADER:
    case ESP_STATUS_DUMMY:
    case ESP_STATUS_ECN_CE:
    case ESP_STATUS_HARD_LIMIT: return true;
    default: return false;
    }
}

static void say_seen(FILE *f, const struct explain *x, const struct told *all, size_t i)
{
    const struct told *t = &all[i];

    for (size_t k = i; k-- > 0;)
        if (received(&all[k]) && all[k].state == t->state && all[k].seq == t->seq) {
            fprintf(f, "sequence number %" PRIu64 " was received before, in packet %zu", t->seq, k + 1);
            return;
        }
    fprintf(f, "sequence number %" PRIu64 " counts as received from the start (replay-seq %" PRIu64 ")",
            t->seq, t->state < x->sad.n_states ? x->sad.states[t->state].last_in : 0);
}

static void say_old(FILE *f, const struct explain *x, const struct told *all, size_t i)
{
    const struct told *t = &all[i];
    const struct sad_state *st = t->state < x->sad.n_states ? &x->sad.states[t->state] : NULL;
    uint64_t top = st ? st->last_in : 0;
    size_t where = 0;

    for (size_t k = 0; k < i; k++)
        if (received(&all[k]) && all[k].state == t->state && all[k].seq > top) {
            top = all[k].seq;
            where = k + 1;
        }
    fprintf(f, "sequence number %" PRIu64 " is left of the window of %u: %" PRIu64 " was received", t->seq,
            st ? st->window : 0, top);
    if (where)
        fprintf(f, " in packet %zu", where);
}

static void say_hard_limit(FILE *f, const struct explain *x, const struct told *all, size_t i)
{
    const struct told *t = &all[i];
    const struct sad_state *st = t->state < x->sad.n_states ? &x->sad.states[t->state] : NULL;
    unsigned long before = 0;

    for (size_t k = 0; k < i; k++)
        before += all[k].went_in && all[k].state == t->state && all[k].verdict.action == t->verdict.action &&
                  all[k].end != PASS_DROPPED;
    fprintf(f, "a hard limit is reached (%s %" PRIu64 "): %lu went through before it",
            st && st->hard_packets ? "packet-hard" : "byte-hard",
            st ? (st->hard_packets ? st->hard_packets : st->hard_bytes) : 0, before);
}

static void say_policy(FILE *f, const struct explain *x, const struct told *t)
{
    const struct sad_state *st = t->state < x->sad.n_states ? &x->sad.states[t->state] : NULL;

    if (!t->went_in || !st) {
        fprintf(f, "the policy of line %u blocks it", t->verdict.line);
        return;
    }
    print_inner(f, x, t);
    if (t->verdict.line == st->line)
        fprintf(f, " came out, which does not fit the state's own sel");
    else if (t->verdict.line == 0)
        fprintf(f, " came out, which no policy with dir in or fwd allows");
    else
        fprintf(f, " came out, which the policy of line %u does not let out of this state", t->verdict.line);
}

static void say_truncated(FILE *f, const struct explain *x, const struct told *t, size_t i)
{
    const struct capture_packet *p = &x->packets[i];

    if (!t->went_in && p->len < p->wire_len)
        fprintf(f, "the capture's snap length left %u of its %u octets", p->len, p->wire_len);
    else
        fputs("it has fewer octets than one of its length fields promises", f);
}

static void say_why(FILE *f, const struct explain *x, const struct told *all, size_t i)
{
    const struct told *t = &all[i];

    switch (t->reason) {
    case ESP_STATUS_REPLAY_SEEN: say_seen(f, x, all, i); return;
    case ESP_STATUS_REPLAY_OLD: say_old(f, x, all, i); return;
    case ESP_STATUS_HARD_LIMIT: say_hard_limit(f, x, all, i); return;
    case ESP_STATUS_POLICY: say_policy(f, x, t); return;
    case ESP_STATUS_TRUNCATED: say_truncated(f, x, t, i); return;
    case ESP_STATUS_NO_SA:
        fprintf(f, "the policy of line %u protects it, but no state fits its template", t->verdict.line);
        return;
    case ESP_STATUS_ICV_FAIL:
        fputs("the integrity check value is wrong: another key or salt, flag esn at one end only, or octets "
              "changed "
              "on the way",
              f);
        return;
    default: fprintf(f, "%s", esp_status_text(t->reason));
    }
}

static const char *end_name(const struct told *t)
{
    switch (t->end) {
    case PASS_ENCRYPTED: return "encrypted";
    case PASS_DECRYPTED: return "decrypted";
    case PASS_BYPASSED: return "passed in the clear";
    case PASS_DROPPED: return esp_status_name(t->reason);
    }
    return "?";
}

static void print_state(FILE *f, const struct explain *x, const struct told *t)
{
    bool out = t->verdict.action == FLOW_ENCAP;

    if (t->state >= x->sad.n_states)
        return;
    fprintf(f, "  It went to the state of line %u (SPI 0x%08x) to be %s", x->sad.states[t->state].line,
            x->sad.states[t->state].spi, out ? "encrypted" : "decrypted");
    if (out)
        fprintf(f, ", by the policy of line %u", t->verdict.line);
    fputs(".\n", f);
}

static void print_difference(FILE *f, const struct told *c, const struct told *s)
{
    uint32_t at = 0, least = c->out_len < s->out_len ? c->out_len : s->out_len;

    if (c->end != s->end || c->end == PASS_DROPPED)
        return;
    while (at < least && c->out[at] == s->out[at])
        at++;
    if (at < least)
        fprintf(f, "  The frames differ first at octet %u: 0x%02x of the card, 0x%02x of software.\n", at,
                c->out[at], s->out[at]);
    else
        fprintf(f, "  The card's frame has %u octets, that of software %u.\n", c->out_len, s->out_len);
}

void explain_words(FILE *f, const struct explain *x, size_t i)
{
    const struct told *s = &x->by_soft[i], *c = x->card ? &x->by_card[i] : s;

    print_packet(f, x, i);
    if (told_same(c, s)) {
        fprintf(f, ": dropped, %s: ", esp_status_name(s->reason));
        say_why(f, x, x->by_soft, i);
        fputs("\n", f);
        print_state(f, x, s);
        return;
    }
    fprintf(f, ": WRONG: %s by the card, %s by software\n", end_name(c), end_name(s));
    if (c->end == PASS_DROPPED) {
        fputs("  The card says: ", f);
        say_why(f, x, x->by_card, i);
        fputs("\n", f);
    }
    if (s->end == PASS_DROPPED) {
        fputs("  Software says: ", f);
        say_why(f, x, x->by_soft, i);
        fputs("\n", f);
    }
    print_difference(f, c, s);
    print_state(f, x, s);
}
