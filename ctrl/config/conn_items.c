// SPDX-License-Identifier: Apache-2.0
// The keys whose values have a language of their own: addresses, proposals, traffic selectors, modes.
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "ctrl/config/keys.h"
#include "ctrl/config/proposal_text.h"
#include "ctrl/config/values.h"

static int no_memory(struct load *l)
{
    l->no_memory = true;
    return -ENOMEM;
}

static int add_address(struct load *l, struct conn_config *c, bool local, const char *text)
{
    struct addr a = {0};
    bool any = strcmp(text, "%any") == 0 || strcmp(text, "0.0.0.0") == 0 || strcmp(text, "%any4") == 0 ||
               strcmp(text, "%any6") == 0 || strcmp(text, "::") == 0;
    if (!any && !addr_parse(text, &a))
        return load_bad_value(l, text,
                              "an IP address or %any (names, subnets and ranges are not supported yet)");
    if (!any && a.family == 6 && a.a[0] == 0xfe && (a.a[1] & 0xc0) == 0x80)
        return load_bad_value(l, text, "an IPv6 address that is not of one link alone");
    if ((local ? c->local_count : c->remote_count) == ADDRS_MAX)
        return load_too_many(l, text, ADDRS_MAX, " addresses");
    return conn_add_addr(c, local, &a) ? 0 : no_memory(l);
}

int conn_local_addr(struct load *l, void *owner, const char *text)
{
    return add_address(l, owner, true, text);
}

int conn_remote_addr(struct load *l, void *owner, const char *text)
{
    return add_address(l, owner, false, text);
}

int conn_local_port(struct load *l, void *owner, const char *text)
{
    uint64_t port;
    if (!value_number(text, 0, 65535, &port) || (port != 0 && port != 500 && port != 4500))
        return load_bad_value(l, text,
                              "500 or 4500: the ports of --port and --port-nat-t, whatever their numbers");
    ((struct conn_config *)owner)->local_port = (uint16_t)port;
    return 0;
}

static int set_if_id(struct load *l, const char *text, uint32_t *out)
{
    uint64_t id;
    if (!value_number(text, 0, UINT32_MAX, &id))
        return load_bad_value(l, text, "a number from 0 to 4294967295, as decimal or 0x hexadecimal");
    *out = (uint32_t)id;
    return 0;
}

int conn_if_id_in(struct load *l, void *owner, const char *text)
{
    (void)owner;
    return set_if_id(l, text, &l->conn_if_ids.in);
}

int conn_if_id_out(struct load *l, void *owner, const char *text)
{
    (void)owner;
    return set_if_id(l, text, &l->conn_if_ids.out);
}

int child_if_id_in(struct load *l, void *owner, const char *text)
{
    (void)owner;
    return set_if_id(l, text, &l->child_if_ids.in);
}

int child_if_id_out(struct load *l, void *owner, const char *text)
{
    (void)owner;
    return set_if_id(l, text, &l->child_if_ids.out);
}

int conn_pool(struct load *l, void *owner, const char *text)
{
    struct conn_config *c = owner;
    if (!text[0] || strlen(text) >= NAME_MAX_LEN)
        return load_bad_value(l, text, "the name of a pool");
    if (c->pool_count == POOLS_MAX)
        return load_too_many(l, text, POOLS_MAX, "");
    if (conn_add_pool(c, text))
        return 0;
    return no_memory(l);
}

int conn_vip(struct load *l, void *owner, const char *text)
{
    struct conn_config *c = owner;
    struct addr a;
    if (strcmp(text, "%config") == 0 || strcmp(text, "%config4") == 0)
        text = "0.0.0.0";
    else if (strcmp(text, "%config6") == 0)
        text = "::";
    if (!addr_parse(text, &a))
        return load_bad_value(l, text, "0.0.0.0, :: or an IP address");
    if (c->vip_count == VIPS_MAX)
        return load_too_many(l, text, VIPS_MAX, "");
    return conn_add_vip(c, &a) ? 0 : no_memory(l);
}

static int add_proposal(struct load *l, struct proposal **list, uint8_t *count, uint8_t protocol,
                        const char *text)
{
    struct esp_error e;
    if (!conn_room(list)) { // no fault of the text
        l->no_memory = true;
        return -ENOMEM;
    }
    if (proposal_text_add(*list, count, protocol, text, &e) == 0)
        return 0;
    return load_refuse(l, "invalid value for: %s: '%.40s': %.100s", l->key->name, text, e.text);
}

int conn_ike_proposal(struct load *l, void *owner, const char *text)
{
    struct conn_config *c = owner;
    return add_proposal(l, &c->proposals, &c->proposal_count, PROTO_IKE, text);
}

int child_esp_proposal(struct load *l, void *owner, const char *text)
{
    struct child_config *c = owner;
    return add_proposal(l, &c->proposals, &c->proposal_count, PROTO_ESP, text);
}

int child_ah_proposal(struct load *l, void *owner, const char *text)
{
    struct child_config *c = owner;
    return add_proposal(l, &c->proposals, &c->proposal_count, PROTO_AH, text);
}

static int add_ts(struct load *l, struct ts_list **selectors, const char *text)
{
    struct ts_list *list = ts_room(selectors);
    struct esp_error e;
    if (!list)
        return no_memory(l);
    if (list->count == TS_MAX)
        return load_too_many(l, text, TS_MAX, " traffic selectors");
    if (ts_text_parse(text, &list->t[list->count], &e) < 0)
        return load_refuse(l, "invalid value for: %s: %.160s", l->key->name, e.text);
    list->count++;
    return 0;
}

int child_local_ts(struct load *l, void *owner, const char *text)
{
    return add_ts(l, &((struct child_config *)owner)->local_ts, text);
}

int child_remote_ts(struct load *l, void *owner, const char *text)
{
    return add_ts(l, &((struct child_config *)owner)->remote_ts, text);
}

// swanctl.conf(5): pass and drop are policies without an SA.
int child_mode(struct load *l, void *owner, const char *text)
{
    static const struct {
        const char *text;
        uint8_t action, mode;
    } modes[] = {{"tunnel", POLICY_PROTECT, MODE_TUNNEL},
                 {"transport", POLICY_PROTECT, MODE_TRANSPORT},
                 {"pass", POLICY_BYPASS, MODE_TUNNEL},
                 {"drop", POLICY_DISCARD, MODE_TUNNEL}};
    struct child_config *c = owner;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(modes[i].text, text) == 0) {
            c->action = modes[i].action;
            c->mode = modes[i].mode;
            return 0;
        }
    }
    return load_bad_value(l, text, "tunnel, transport, pass or drop");
}

// As many octets as a packet can have are more than any path takes: the MTU decides.
int child_tfc_padding(struct load *l, void *owner, const char *text)
{
    uint64_t octets = UINT16_MAX;
    if (strcmp(text, "mtu") != 0 && !value_number(text, 0, UINT16_MAX, &octets))
        return load_bad_value(l, text, "a number of octets from 0 to 65535, or mtu");
    ((struct child_config *)owner)->tfc_padding = (uint16_t)octets;
    return 0;
}

int child_tfc_dummies(struct load *l, void *owner, const char *text)
{
    uint64_t rate;
    if (!value_number(text, 0, TFC_DUMMIES_MAX, &rate))
        return load_bad_value(l, text, "a number of packets a second from 0 to 100");
    ((struct child_config *)owner)->tfc_dummies = (uint8_t)rate;
    return 0;
}

// ---- routes into tunnels

int child_route_metric(struct load *l, void *owner, const char *text)
{
    struct tunnel_route *t = conn_child_route(owner);
    uint64_t metric;
    if (!t)
        return no_memory(l);
    if (!value_number(text, 0, ROUTE_METRICS, &metric))
        return load_bad_value(l, text, "a number from 0 to 63");
    t->metric = (uint8_t)metric;
    return 0;
}

int child_probe_delay(struct load *l, void *owner, const char *text)
{
    struct tunnel_route *t = conn_child_route(owner);
    uint64_t s;
    if (!t)
        return no_memory(l);
    if (!value_time(text, UINT32_MAX, &s) || !s)
        return load_bad_value(l, text, "a time of 1s or more");
    t->probe_delay = (uint32_t)s;
    return 0;
}

static int one_address(struct load *l, const char *text, struct addr *a, const char *expected)
{
    static const uint8_t any[16];
    if (addr_parse(text, a) && memcmp(a->a, any, sizeof(any)) != 0)
        return 0;
    a->family = 0;
    return load_bad_value(l, text, expected);
}

int child_probe(struct load *l, void *owner, const char *text)
{
    struct tunnel_route *t = conn_child_route(owner);
    return t ? one_address(l, text, &t->probe, "the IP address of a machine behind the peer") : no_memory(l);
}

int child_probe_from(struct load *l, void *owner, const char *text)
{
    struct tunnel_route *t = conn_child_route(owner);
    return t ? one_address(l, text, &t->probe_from, "an IP address for this end of the tunnel")
             : no_memory(l);
}

// ----

int child_copy_dscp(struct load *l, void *owner, const char *text)
{
    static const char *const ways[] = {"no", "out", "in", "yes"}; // a bit each way
    struct child_config *c = owner;
    for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcasecmp(ways[i], text) == 0) {
            c->copy_dscp_out = i & 1;
            c->copy_dscp_in = i >> 1;
            return 0;
        }
    }
    return load_bad_value(l, text, "one of out, in, yes, no");
}
