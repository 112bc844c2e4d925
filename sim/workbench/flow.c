// SPDX-License-Identifier: Apache-2.0
// What happens to a packet (RFC 4301 sections 5.1 and 5.2 as far as a replay goes): decapsulation where
// destination, SPI and protocol match a state, else the first `dir out` policy by priority, else it passes.
// ESP in UDP: RFC 3948 section 2.
#include "sim/workbench/flow.h"

#include <string.h>

#include "sim/workbench/util.h"

enum { IP4_HEADER = 20, UDP_HEADER = 8, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ESP = 50 };

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
    if (f->proto == PROTO_ICMP && p->payload_len >= 2) {
        f->has_ports = true;
        f->sport = p->payload[0];
        f->dport = p->payload[1];
    } else if (memchr(with_ports, f->proto, sizeof(with_ports)) && p->payload_len >= 4) {
        f->has_ports = true;
        f->sport = wb_get16(p->payload);
        f->dport = wb_get16(p->payload + 2);
    }
}

static enum esp_status parse(struct parsed *p, const uint8_t *ip, size_t len)
{
    size_t header, total;

    memset(p, 0, sizeof(*p));
    if (len < IP4_HEADER)
        return ESP_STATUS_TRUNCATED;
    header = (ip[0] & 15u) * 4;
    total = wb_get16(ip + 2);
    if (ip[0] >> 4 != 4 || header < IP4_HEADER || total < header)
        return ESP_STATUS_BAD_IP;
    if (header > len)
        return ESP_STATUS_TRUNCATED;
    p->flow.src = wb_get32(ip + 12);
    p->flow.dst = wb_get32(ip + 16);
    p->flow.proto = ip[9];
    p->later_fragment = (wb_get16(ip + 6) & 0x1fff) != 0;
    p->payload = ip + header;
    p->payload_len = (total < len ? total : len) - header; // what follows is link padding
    read_ports(p);
    return ESP_STATUS_OK;
}

static bool state_for(const struct flow_table *t, uint32_t dst, uint32_t spi)
{
    for (size_t i = 0; i < t->sad->n_states; i++)
        if (t->sad->states[i].spi == spi && t->sad->states[i].dst == dst)
            return true;
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
    if (len < 4 || !state_for(t, p->flow.dst, wb_get32(esp)))
        return false;
    v->action = FLOW_DECAP;
    return true;
}

bool flow_matches(const struct sad_selector *sel, const struct flow *f, bool if_unknown)
{
    if ((f->src & sel->src_mask) != sel->src || (f->dst & sel->dst_mask) != sel->dst)
        return false;
    if (sel->proto != 0 && sel->proto != f->proto)
        return false;
    if ((sel->has_sport || sel->has_dport) && !f->has_ports)
        return if_unknown;
    return (!sel->has_sport || sel->sport == f->sport) && (!sel->has_dport || sel->dport == f->dport);
}

static bool template_names(const struct sad_policy *po, const struct sad_state *st)
{
    return (po->tmpl_src == 0 || po->tmpl_src == st->src) && (po->tmpl_dst == 0 || po->tmpl_dst == st->dst) &&
           (po->tmpl_spi == 0 || po->tmpl_spi == st->spi) &&
           (po->tmpl_reqid == 0 || po->tmpl_reqid == st->reqid);
}

// The newest state that the template names, as in Linux.
static struct flow_verdict by_template(const struct flow_table *t, const struct sad_policy *po,
                                       const struct flow *f)
{
    for (size_t i = t->sad->n_states; i-- > 0;) {
        const struct sad_state *st = &t->sad->states[i];
        if (template_names(po, st) && (!st->has_sel || flow_matches(&st->sel, f, true)))
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

    if (len > 0 && ip[0] >> 4 == 6) // no state and no policy of this build is for IPv6
        return v;
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
               template_names(po, st); // one without a template is for cleartext only
    }
    return false;
}
