// SPDX-License-Identifier: Apache-2.0
// What a connection and its children have where the file is silent (swanctl.conf(5)), and what does not go
// together.
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "ctrl/config/keys.h"
#include "ctrl/config/proposal_text.h"

enum { IKE_REKEY_TIME = 4 * 3600, CHILD_REKEY_TIME = 3600 }; // s

void config_conn_defaults(struct conn_config *c)
{
    *c = (struct conn_config){.name = "",
                              .ppk_id = "",
                              .local.id = "",
                              .remote.id = "",
                              .mobike = true,
                              .send_certreq = true,
                              .send_cert = 1,
                              .fragmentation = FRAGMENTATION_YES,
                              .unique = UNIQUE_NO,
                              .keyingtries = 1,
                              .rekey_time = UINT32_MAX,
                              .reauth_time = UINT32_MAX,
                              .over_time = UINT32_MAX,
                              .rand_time = UINT32_MAX};
}

void config_child_defaults(struct child_config *c)
{
    *c = (struct child_config){.name = "",
                               .action = POLICY_PROTECT,
                               .mode = MODE_TUNNEL,
                               .replay_window = UINT32_MAX,
                               .rekey_time = UINT32_MAX,
                               .life_time = UINT32_MAX,
                               .rand_time = UINT32_MAX,
                               .rekey_bytes = UNSET,
                               .life_bytes = UNSET,
                               .rand_bytes = UNSET,
                               .rekey_packets = UNSET,
                               .life_packets = UNSET,
                               .rand_packets = UNSET,
                               .copy_df = 1,
                               .copy_ecn = 1,
                               .copy_dscp_out = 1};
}

// swanctl.conf(5): a life is 110 % of the rekey limit where it is not given; where it alone is given, the
// same holds the other way round, but not beyond the default. The random part is what lies between them.
static void finish_limit(uint64_t *rekey, uint64_t *life, uint64_t *random_part, uint64_t usual)
{
    if (*rekey == UNSET && *life == UNSET)
        *rekey = usual;
    if (*rekey == UNSET) {
        *rekey = *life / 11 * 10 + *life % 11 * 10 / 11;
        if (usual && (!*life || *rekey > usual))
            *rekey = usual;
    }
    if (*life == UNSET)
        *life = *rekey <= UNSET / 11 * 10 ? *rekey / 10 * 11 + *rekey % 10 * 11 / 10 : UNSET - 1;
    if (*random_part == UNSET)
        *random_part = *life > *rekey ? *life - *rekey : 0;
}

static uint64_t wide(uint32_t seconds)
{
    return seconds == UINT32_MAX ? UNSET : seconds;
}

// An SA that is to end before it is rekeyed ends, as with charon, and that is said.
static void finish_lifetimes(struct load *l, struct child_config *child)
{
    uint64_t rekey = wide(child->rekey_time), life = wide(child->life_time), part = wide(child->rand_time);
    finish_limit(&rekey, &life, &part, CHILD_REKEY_TIME);
    child->rekey_time = (uint32_t)rekey;
    child->life_time = life < UINT32_MAX ? (uint32_t)life : UINT32_MAX - 1;
    child->rand_time = (uint32_t)part;
    finish_limit(&child->rekey_bytes, &child->life_bytes, &child->rand_bytes, 0);
    finish_limit(&child->rekey_packets, &child->life_packets, &child->rand_packets, 0);
    if (child->life_time && child->rekey_time >= child->life_time)
        load_warn(l, "rekey_time %us is not below life_time %us: the SAs end without being rekeyed",
                  child->rekey_time, child->life_time);
}

// Extended sequence numbers are followed by the window alone (RFC 4303 section 3.3.3): without one they are
// left out where the proposal has the short ones too.
static void check_window(struct load *l, struct child_config *child)
{
    for (unsigned i = 0; i < child->proposal_count && child->replay_window == 0; i++) {
        struct proposal *p = &child->proposals[i];
        bool shorter = false;
        unsigned kept = 0;
        for (unsigned k = 0; k < p->count; k++)
            shorter = shorter || (p->t[k].type == TR_ESN && p->t[k].id == TRID_NO_ESN);
        for (unsigned k = 0; k < p->count; k++) {
            if (!shorter || p->t[k].type != TR_ESN || p->t[k].id != TRID_ESN)
                p->t[kept++] = p->t[k];
        }
        p->count = (uint8_t)kept;
        if (!shorter)
            load_refuse(l,
                        "children.%.40s: replay_window = 0 does not go with esn (RFC 4303 3.3.3): set a "
                        "window, or noesn",
                        child->name);
    }
}

// Where the packet inside does not say how long it is, nothing tells the padding from it.
static void check_tfc(struct load *l, const struct child_config *child)
{
    bool ah = false;
    for (unsigned i = 0; i < child->proposal_count; i++)
        ah = ah || child->proposals[i].protocol == PROTO_AH;
    l->key = key_find(SEC_CHILD, "tfc_padding");
    if (child->tfc_padding && (ah || child->mode == MODE_TRANSPORT))
        load_refuse(
            l, "children.%.40s: tfc_padding does not go with %s: it is for ESP in tunnel mode (RFC 4303 2.7)",
            child->name, ah ? "ah_proposals" : "mode = transport");
    l->key = key_find(SEC_CHILD, "tfc_dummies");
    if (child->tfc_dummies && !child->tfc_padding)
        load_refuse(
            l,
            "invalid value for: tfc_dummies: of children.%.40s: it needs tfc_padding, which makes all "
            "packets of one length: without that dummies are told by theirs",
            child->name);
    l->key = NULL;
}

// A TUN takes what is to be sealed and gives what was opened: both numbers name it.
static uint32_t one_if_id(struct load *l, const struct if_ids *i, enum key_section section)
{
    if (i->in == i->out)
        return i->in;
    bool in = i->in != 0;
    l->key = key_find(section, in ? "if_id_in" : "if_id_out");
    load_refuse(l, "invalid value for: %s: %u, expected the same as %s, which is %u", l->key->name,
                in ? i->in : i->out, in ? "if_id_out" : "if_id_in", in ? i->out : i->in);
    l->key = NULL;
    return 0;
}

static void finish_interface(struct load *l, struct child_config *child)
{
    child->if_id = one_if_id(l, &l->child_if_ids, SEC_CHILD);
    l->child_if_ids = (struct if_ids){0};
    if (!child->if_id || child->action == POLICY_PROTECT)
        return;
    l->key = key_find(SEC_CHILD, "if_id_out");
    load_refuse(l, "invalid value for: if_id_out: only mode tunnel and transport have an interface");
    l->key = NULL;
}

static void refuse_route(struct load *l, const struct child_config *child, const char *key, const char *why)
{
    l->key = key_find(SEC_CHILD, key);
    load_refuse(l, "invalid value for: %s: of children.%.40s: %s", key, child->name, why);
    l->key = NULL;
}

static bool has_address(const struct ts_list *l, const struct addr *a)
{
    for (unsigned i = 0; i < l->count; i++)
        if (ts_match(&l->t[i], a->family, a->a, l->t[i].proto, l->t[i].port_lo))
            return true;
    return false;
}

static void check_probe(struct load *l, const struct child_config *child)
{
    const struct tunnel_route *t = child->route;
    if (t->probe.family && !t->metric)
        refuse_route(l, child, "probe", "it decides whether routes lead into the tunnel: set route_metric");
    else if (t->probe.family && !has_address(child->remote_ts, &t->probe))
        refuse_route(l, child, "probe", "it is no address of remote_ts");
    if (t->probe_from.family && t->probe_from.family != t->probe.family)
        refuse_route(l, child, "probe_from", "it asks `probe`, which has to be of its family");
    else if (t->probe_from.family && !has_address(child->local_ts, &t->probe_from))
        refuse_route(l, child, "probe_from", "it is no address of local_ts");
}

// What routes lead to is known when the connection is loaded, and a packet that no route leads there traps
// nothing. A pace alone says nothing.
static void check_routes(struct load *l, struct child_config *child)
{
    const struct tunnel_route *t = child->route;
    bool dynamic = false;
    for (unsigned i = 0; i < child->remote_ts->count; i++)
        dynamic |= !child->remote_ts->t[i].family;
    if (t->metric && (!child->if_id || child->action != POLICY_PROTECT))
        refuse_route(l, child, "route_metric",
                     "it is of a tunnel with an interface of its own: set if_id_in and if_id_out");
    else if (t->metric && child->mode != MODE_TUNNEL)
        refuse_route(l, child, "route_metric", "it goes with mode = tunnel alone");
    else if (t->metric && dynamic)
        refuse_route(l, child, "route_metric",
                     "it needs remote_ts that name networks: where dynamic leads is not known");
    else if (t->metric && child->start_action & ACTION_TRAP)
        refuse_route(l, child, "route_metric",
                     "it does not go with start_action = trap: a tunnel carries before there is a packet for "
                     "it; use start");
    check_probe(l, child);
}

void child_finish(struct load *l, struct child_config *child)
{
    const struct ts dynamic = {.port_hi = 65535};
    struct esp_error e;
    if (!conn_room(&child->proposals))
        l->no_memory = true;
    else if (!child->proposal_count &&
             proposal_default_add(child->proposals, &child->proposal_count, PROTO_ESP, &e) < 0)
        load_refuse(l, "default proposals: %.100s", e.text);
    struct ts_list *both[] = {ts_room(&child->local_ts), ts_room(&child->remote_ts)};
    for (int i = 0; i < 2; i++) {
        if (!both[i])
            l->no_memory = true;
        else if (!both[i]->count)
            both[i]->t[both[i]->count++] = dynamic;
    }
    finish_lifetimes(l, child);
    check_window(l, child);
    check_tfc(l, child);
    finish_interface(l, child);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// swanctl.conf(5): an IKE SA that is reauthenticated is not rekeyed unless that is asked for too. The random
// part is at most half of the shorter time, so that nothing is made anew as soon as it stands.
static void finish_ike_times(struct load *l, struct conn_config *c)
{
    if (c->rekey_time == UINT32_MAX)
        c->rekey_time = c->reauth_time == UINT32_MAX ? IKE_REKEY_TIME : 0;
    if (c->reauth_time == UINT32_MAX)
        c->reauth_time = 0;
    uint32_t longer = c->rekey_time > c->reauth_time ? c->rekey_time : c->reauth_time;
    uint32_t shorter = c->rekey_time && c->reauth_time ? smaller(c->rekey_time, c->reauth_time) : longer;
    if (c->over_time == UINT32_MAX)
        c->over_time = longer / 10;
    if (c->rand_time == UINT32_MAX)
        c->rand_time = smaller(c->over_time, shorter / 2);
    if (shorter && !c->over_time) // as of a CHILD SA
        load_warn(l, "over_time 0s behind %s %us: the IKE SAs end without being %s",
                  c->rekey_time == shorter ? "rekey_time" : "reauth_time", shorter,
                  c->rekey_time == shorter ? "rekeyed" : "reauthenticated");
}

// Both ways are the same to whoever looks at addresses, and, of ICMP, at a type.
static bool same_both_ways(const struct ts *l, const struct ts *r)
{
    uint8_t proto = l->proto ? l->proto : r->proto;
    bool icmp = proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6,
         one = memcmp(l->lo, l->hi, sizeof(l->lo)) == 0; // what is there is not forwarded to itself
    if (!l->family || l->family != r->family || (l->proto && r->proto && l->proto != r->proto) || one)
        return false;
    return !memcmp(l->lo, r->lo, sizeof(l->lo)) && !memcmp(l->hi, r->hi, sizeof(l->hi)) &&
           (icmp || (l->port_lo == r->port_lo && l->port_hi == r->port_hi));
}

// What goes into the tunnel and what has come out of it is told apart by where it is from and where to. With
// the same network on both sides neither the kernel nor we could say of a forwarded packet which it is: it
// would be blocked, or go round. A device of its own says so.
static void check_ways(struct load *l, const struct child_config *child)
{
    char text[128], why[200];
    if (child->if_id || child->action != POLICY_PROTECT || child->mode != MODE_TUNNEL || !child->local_ts ||
        !child->remote_ts)
        return;
    for (unsigned i = 0; i < child->local_ts->count; i++) {
        for (unsigned j = 0; j < child->remote_ts->count; j++) {
            if (!same_both_ways(&child->local_ts->t[i], &child->remote_ts->t[j]))
                continue;
            snprintf(why, sizeof(why),
                     "%.50s on both sides leaves open which way forwarded packets go: set if_id_in and "
                     "if_id_out, or narrow local_ts",
                     ts_print(&child->local_ts->t[i], text, sizeof(text)));
            refuse_route(l, child, "remote_ts", why);
            return;
        }
    }
}

// Children that give none have the connection's, where they protect something.
static void finish_interfaces(struct load *l)
{
    uint32_t id = one_if_id(l, &l->conn_if_ids, SEC_CONN);
    for (unsigned i = 0; i < l->conn->child_count; i++) {
        struct child_config *child = &l->conn->children[i];
        if (!child->if_id && child->action == POLICY_PROTECT)
            child->if_id = id;
        if (child->route && child->local_ts && child->remote_ts)
            check_routes(l, child);
        check_ways(l, child);
    }
}

void conn_finish(struct load *l)
{
    struct conn_config *c = l->conn;
    struct esp_error e;
    if (!conn_room(&c->proposals))
        l->no_memory = true;
    else if (!c->proposal_count && proposal_default_add(c->proposals, &c->proposal_count, PROTO_IKE, &e) < 0)
        load_refuse(l, "default proposals: %.100s", e.text);
    l->key = key_find(SEC_CONN, "local_port");
    if (c->local_port == 4500 && (c->remote_port == 0 || c->remote_port == 500))
        load_refuse(l, "local_port = 4500 goes with a remote_port other than 500: toward port 500 an IKE SA "
                       "begins on --port");
    l->key = key_find(SEC_CONN, "ppk_required");
    if (c->ppk_required && !c->ppk_id[0])
        load_refuse(l, "invalid value for: ppk_required: yes goes with ppk_id, which says what PPK that is");
    l->key = NULL;
    sides_finish(l);
    finish_ike_times(l, c);
    finish_interfaces(l);
}
