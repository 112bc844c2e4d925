// SPDX-License-Identifier: Apache-2.0
// What happens to a packet (RFC 4301 sections 5.1 and 5.2 as far as a replay goes): decapsulation where
// destination, SPI and protocol match a state, else the first `dir out` policy by priority, else it passes.
// ESP in UDP: RFC 3948 section 2.
#include "sim/workbench/flow.h"

#include <string.h>

#include "sim/workbench/util.h"

enum { IP4_HEADER = 20, IP6_HEADER = 40, UDP_HEADER = 8 };
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ESP = 50, PROTO_ICMP6 = 58 };
enum { EXT_HOPS = 0, EXT_ROUTING = 43, EXT_FRAGMENT = 44, EXT_DESTINATION = 60 };
static const uint8_t extensions[] = {EXT_HOPS, EXT_ROUTING, EXT_FRAGMENT, EXT_DESTINATION};

struct parsed {
    struct flow flow;
    const uint8_t *payload;
    size_t payload_len;
    bool later_fragment;
};

static bool port_in(const struct flow_table *t, uint16_t port)
{
    return t->encap_ports[port / 8] >> (port % 8) & 1;
}

void flow_table_init(struct flow_table *t, const struct sad *sad)
{
    memset(t, 0, sizeof(*t));
    t->sad = sad;
    for (size_t i = 0; i < sad->n_states; i++) {
        const struct sad_state *st = &sad->states[i];
        if (!st->udp)
            continue;
        t->encap_ports[st->sport / 8] |= (uint8_t)(1u << (st->sport % 8));
        t->encap_ports[st->dport / 8] |= (uint8_t)(1u << (st->dport % 8));
    }
    for (size_t i = 0; i < sad->n_policies; i++)
        if (sad->policies[i].dir != SAD_OUT)
            t->checks_in = true;
}

static void read_ports(struct parsed *p)
{
    static const uint8_t with_ports[] = {PROTO_TCP, PROTO_UDP, 33, 132, 136};
    struct flow *f = &p->flow;

    if (p->later_fragment)
        return;
    if ((f->proto == PROTO_ICMP || f->proto == PROTO_ICMP6) && p->payload_len >= 2) {
        f->has_ports = true;
        f->sport = p->payload[0];
        f->dport = p->payload[1];
    } else if (memchr(with_ports, f->proto, sizeof(with_ports)) && p->payload_len >= 4) {
        f->has_ports = true;
        f->sport = wb_get16(p->payload);
        f->dport = wb_get16(p->payload + 2);
    }
}

static enum esp_status parse4(struct parsed *p, const uint8_t *ip, size_t len)
{
    size_t header = (ip[0] & 15u) * 4, total;

    if (len < IP4_HEADER)
        return ESP_STATUS_TRUNCATED;
    total = wb_get16(ip + 2);
    if (ip[0] >> 4 != 4 || header < IP4_HEADER || total < header)
        return ESP_STATUS_BAD_IP;
    if (header > len)
        return ESP_STATUS_TRUNCATED;
    p->flow.family = ESP_FAMILY_IPV4;
    memcpy(p->flow.src, ip + 12, 4);
    memcpy(p->flow.dst, ip + 16, 4);
    p->flow.proto = ip[9];
    p->later_fragment = (wb_get16(ip + 6) & 0x1fff) != 0;
    p->payload = ip + header;
    p->payload_len = (total < len ? total : len) - header; // what follows is link padding
    return ESP_STATUS_OK;
}

// Walks the extension headers (RFC 8200 section 4). Where their chain is broken the walk ends there, and the
// packet has no ports.
static enum esp_status parse6(struct parsed *p, const uint8_t *ip, size_t len)
{
    size_t at = IP6_HEADER, end, step;
    uint8_t next;

    if (len < IP6_HEADER)
        return ESP_STATUS_TRUNCATED;
    next = ip[6];
    end = IP6_HEADER + (size_t)wb_get16(ip + 4);
    end = end < len ? end : len;
    for (; memchr(extensions, next, sizeof(extensions)) && at + 8 <= end && !p->later_fragment; at += step) {
        step = next == EXT_FRAGMENT ? 8 : (ip[at + 1] + 1u) * 8;
        if (next == EXT_FRAGMENT)
            p->later_fragment = (wb_get16(ip + at + 2) & 0xfff8) != 0;
        next = ip[at];
    }
    p->flow.family = ESP_FAMILY_IPV6;
    memcpy(p->flow.src, ip + 8, 16);
    memcpy(p->flow.dst, ip + 24, 16);
    p->flow.proto = next;
    p->payload = ip + (at < end ? at : end);
    p->payload_len = at < end ? end - at : 0;
    return ESP_STATUS_OK;
}

static enum esp_status parse(struct parsed *p, const uint8_t *ip, size_t len)
{
    enum esp_status st;

    memset(p, 0, sizeof(*p));
    if (len == 0)
        return ESP_STATUS_TRUNCATED;
    st = ip[0] >> 4 == 6 ? parse6(p, ip, len) : parse4(p, ip, len);
    if (st == ESP_STATUS_OK)
        read_ports(p);
    return st;
}

static bool state_for(const struct flow_table *t, const struct flow *f, uint32_t spi)
{
    for (size_t i = 0; i < t->sad->n_states; i++) {
        const struct sad_state *st = &t->sad->states[i];
        if (st->spi == spi && st->ipv6 == (f->family == ESP_FAMILY_IPV6) && memcmp(st->dst, f->dst, 16) == 0)
            return true;
    }
    return false;
}

// ESP, plain or in UDP, for one of the states; IKE and keepalives on the encapsulation ports pass.
static bool classify_esp(const struct flow_table *t, const struct parsed *p, struct flow_verdict *v)
{
    const uint8_t *esp = p->payload;
    size_t len = p->payload_len;

    if (p->later_fragment)
        return false;
    if (p->flow.proto == PROTO_UDP) {
        if (len < UDP_HEADER || !port_in(t, p->flow.dport))
            return false;
        esp += UDP_HEADER;
        len -= UDP_HEADER;
        if ((len == 1 && esp[0] == 0xff) || (len >= 4 && wb_get32(esp) == 0)) {
            v->action = FLOW_PASS;
            return true;
        }
    } else if (p->flow.proto != PROTO_ESP) {
        return false;
    }
    if (len < 4 || !state_for(t, &p->flow, wb_get32(esp)))
        return false;
    v->action = FLOW_DECAP;
    return true;
}

static bool in_prefix(const uint8_t *address, const uint8_t *prefix, unsigned bits)
{
    unsigned left = bits % 8;

    if (memcmp(address, prefix, bits / 8) != 0)
        return false;
    return left == 0 || ((address[bits / 8] ^ prefix[bits / 8]) & (0xff00u >> left) & 0xff) == 0;
}

bool flow_matches(const struct sad_selector *sel, const struct flow *f, bool if_unknown)
{
    if (sel->family && sel->family != f->family)
        return false;
    if (!in_prefix(f->src, sel->src, sel->src_bits) || !in_prefix(f->dst, sel->dst, sel->dst_bits))
        return false;
    if (sel->proto != 0 && sel->proto != f->proto)
        return false;
    if ((sel->has_sport || sel->has_dport) && !f->has_ports)
        return if_unknown;
    return (!sel->has_sport || sel->sport == f->sport) && (!sel->has_dport || sel->dport == f->dport);
}

static bool is_any(const uint8_t *address)
{
    static const uint8_t zero[16];

    return memcmp(address, zero, 16) == 0;
}

// In transport mode the packet's own addresses must be the state's ends, and the template's do not count.
static bool ends_fit(const struct sad_policy *po, const struct sad_state *st, const struct flow *f)
{
    uint8_t family = st->ipv6 ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4;

    if (st->mode == ESP_TRANSPORT)
        return f->family == family && memcmp(f->src, st->src, 16) == 0 && memcmp(f->dst, st->dst, 16) == 0;
    if ((!is_any(po->tmpl_src) || !is_any(po->tmpl_dst)) && po->tmpl_ipv6 != st->ipv6)
        return false;
    return (is_any(po->tmpl_src) || memcmp(po->tmpl_src, st->src, 16) == 0) &&
           (is_any(po->tmpl_dst) || memcmp(po->tmpl_dst, st->dst, 16) == 0);
}

static bool template_names(const struct sad_policy *po, const struct sad_state *st, const struct flow *f)
{
    return po->tmpl_mode == st->mode && (po->tmpl_spi == 0 || po->tmpl_spi == st->spi) &&
           (po->tmpl_reqid == 0 || po->tmpl_reqid == st->reqid) && ends_fit(po, st, f);
}

// The newest state that the template names, as in Linux.
static struct flow_verdict by_template(const struct flow_table *t, const struct sad_policy *po,
                                       const struct flow *f)
{
    for (size_t i = t->sad->n_states; i-- > 0;) {
        const struct sad_state *st = &t->sad->states[i];
        if (template_names(po, st, f) && (st->inner & f->family) &&
            (!st->has_sel || flow_matches(&st->sel, f, true)))
            return (struct flow_verdict){.action = FLOW_ENCAP, .state = (unsigned)i, .line = po->line};
    }
    return (struct flow_verdict){.action = FLOW_DROP, .reason = ESP_STATUS_NO_SA, .line = po->line};
}

static struct flow_verdict classify_out(const struct flow_table *t, const struct flow *f)
{
    struct flow_verdict v = {.action = FLOW_PASS};

    for (size_t i = 0; i < t->sad->n_policies; i++) {
        const struct sad_policy *po = &t->sad->policies[i];
        bool closed =
            po->block || po->has_tmpl; // where ports are unknown: rather protected or blocked than clear
        if (po->dir != SAD_OUT || !flow_matches(&po->sel, f, closed))
            continue;
        if (po->block)
            return (struct flow_verdict){.action = FLOW_DROP, .reason = ESP_STATUS_POLICY, .line = po->line};
        v.line = po->line;
        return po->has_tmpl ? by_template(t, po, f) : v;
    }
    return v;
}

struct flow_verdict flow_classify(const struct flow_table *t, const uint8_t *ip, size_t len)
{
    struct flow_verdict v = {.action = FLOW_PASS};
    struct parsed p;

    v.reason = parse(&p, ip, len);
    if (v.reason != ESP_STATUS_OK)
        v.action = FLOW_DROP;
    else if (!classify_esp(t, &p, &v))
        v = classify_out(t, &p.flow);
    return v;
}

bool flow_allows_inner(const struct flow_table *t, unsigned state, const uint8_t *ip, size_t len,
                       unsigned *line)
{
    const struct sad_state *st = &t->sad->states[state];
    struct parsed p;

    *line = st->line;
    if (parse(&p, ip, len) != ESP_STATUS_OK || (st->has_sel && !flow_matches(&st->sel, &p.flow, false)))
        return false;
    *line = 0;
    if (!t->checks_in)
        return true;
    for (size_t i = 0; i < t->sad->n_policies; i++) {
        const struct sad_policy *po = &t->sad->policies[i];
        if (po->dir == SAD_OUT || !flow_matches(&po->sel, &p.flow, po->block))
            continue;
        *line = po->line;
        return !po->block && po->has_tmpl &&
               template_names(po, st, &p.flow); // one without a template is for cleartext only
    }
    return false;
}
