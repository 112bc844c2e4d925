// SPDX-License-Identifier: Apache-2.0
// The keys of swanctl.conf's connections, as tables: what each one's value must look like and where it goes.
// A key that is unknown, or that this build cannot honour although it would change security or behaviour, is
// refused by its name and the whole connection with it; a key without consequence is passed over with a
// warning.
#include "ctrl/config/conn_load.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "ctrl/config/proposal_text.h"
#include "ctrl/config/values.h"

enum kind {
    TIME,    // u32 seconds
    SIZE,    // u64 octets
    COUNT,   // u64
    NUMBER,  // u32 up to `max`
    PORT,    // u16
    YESNO,   // u8
    CHOICE,  // u8, one of `choices`
    TEXT,    // char[max]
    ITEMS,   // a list; `item` takes each
    IGNORED, // any value, without effect and without harm
    WARNED,  // likewise, with a warning unless the value is one of `choices`
    REFUSED, // anything but one of `choices` is refused; `choices` may be empty
};
struct choice {
    const char *text;
    int value;
};
struct load;
struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    uint64_t max;
    const struct choice *choices;
    int (*item)(struct load *l, void *owner, const char *text);
    const char *why; // REFUSED: what is missing; TIME, NUMBER, PORT: why a value other than 0 has no effect
};
struct load {
    struct conn_config *conn;
    void (*warn)(void *ctx, const char *text);
    void *ctx;
    struct esp_error *err;
    const struct key *key;
    const char *where; // the section the key is in
};

// A value that the file did not give, until finish_child and finish_conn have put what holds then.
#define UNSET UINT64_MAX

enum { IKE_REKEY_TIME = 4 * 3600, CHILD_REKEY_TIME = 3600 }; // s, swanctl.conf(5)

#define CONN(f)  offsetof(struct conn_config, f)
#define CHILD(f) offsetof(struct child_config, f)
#define ANSWERS(...)                                                                                         \
    (const struct choice[])                                                                                  \
    {                                                                                                        \
        __VA_ARGS__,                                                                                         \
        {                                                                                                    \
            NULL, 0                                                                                          \
        }                                                                                                    \
    }
static const struct choice none[] = {{"", 0}, {NULL, 0}};
static const struct choice only_no[] = {{"no", 0}, {"false", 0}, {"0", 0}, {"disabled", 0}, {NULL, 0}};
static const struct choice only_yes[] = {{"yes", 0}, {"true", 0}, {"1", 0}, {"enabled", 0}, {NULL, 0}};
static const struct choice zero[] = {
    {"0", 0}, {"0x0", 0}, {"0/0xffffffff", 0}, {"0x0/0xffffffff", 0}, {NULL, 0}};
static const struct choice actions[] = {
    {"none", ACTION_NONE}, {"trap", ACTION_TRAP}, {"route", ACTION_TRAP}, {"start", ACTION_START}, {NULL, 0}};

static int refuse(struct load *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(struct load *l, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return esp_fail(l->err, -EINVAL, l->key ? l->key->name : "", "%.170s, config discarded", text);
}

static int bad_value(struct load *l, const char *value, const char *expected)
{
    return refuse(l, "invalid value for: %s: '%.40s', expected %.90s", l->key->name, value, expected);
}

// ---- list items

static int add_address(struct load *l, struct addr *list, uint8_t *count, const char *text)
{
    struct addr a = {0};
    bool any = strcmp(text, "%any") == 0 || strcmp(text, "0.0.0.0") == 0 || strcmp(text, "%any4") == 0 ||
               strcmp(text, "%any6") == 0 || strcmp(text, "::") == 0;
    if (!any && !addr_parse(text, &a))
        return bad_value(l, text, "an IP address or %any (names, subnets and ranges are not supported yet)");
    if (!any && a.family == 6 && a.a[0] == 0xfe && (a.a[1] & 0xc0) == 0x80)
        return bad_value(l, text, "an IPv6 address that is not of one link alone");
    if (*count == ADDRS_MAX)
        return refuse(l, "invalid value for: %s: more than %d addresses", l->key->name, ADDRS_MAX);
    list[(*count)++] = a;
    return 0;
}

static int local_addr(struct load *l, void *owner, const char *text)
{
    struct conn_config *c = owner;
    return add_address(l, c->local_addrs, &c->local_count, text);
}

static int remote_addr(struct load *l, void *owner, const char *text)
{
    struct conn_config *c = owner;
    return add_address(l, c->remote_addrs, &c->remote_count, text);
}

static int add_proposal(struct load *l, struct proposal *list, uint8_t *count, uint8_t protocol,
                        const char *text)
{
    struct esp_error e;
    if (proposal_text_add(list, count, protocol, text, &e) == 0)
        return 0;
    return refuse(l, "invalid value for: %s: '%.40s': %.100s", l->key->name, text, e.text);
}

static int ike_proposal(struct load *l, void *owner, const char *text)
{
    struct conn_config *c = owner;
    return add_proposal(l, c->proposals, &c->proposal_count, PROTO_IKE, text);
}

static int esp_proposal(struct load *l, void *owner, const char *text)
{
    struct child_config *c = owner;
    return add_proposal(l, c->proposals, &c->proposal_count, PROTO_ESP, text);
}

static int add_ts(struct load *l, struct ts_list *list, const char *text)
{
    struct esp_error e;
    if (list->count == TS_MAX)
        return refuse(l, "invalid value for: %s: more than %d traffic selectors", l->key->name, TS_MAX);
    if (ts_text_parse(text, &list->t[list->count], &e) < 0)
        return refuse(l, "invalid value for: %s: %.110s", l->key->name, e.text);
    list->count++;
    return 0;
}

static int local_ts(struct load *l, void *owner, const char *text)
{
    return add_ts(l, &((struct child_config *)owner)->local_ts, text);
}

static int remote_ts(struct load *l, void *owner, const char *text)
{
    return add_ts(l, &((struct child_config *)owner)->remote_ts, text);
}

// swanctl.conf(5): pass and drop are policies without an SA.
static int child_mode(struct load *l, void *owner, const char *text)
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
    return refuse(l, "invalid value for: mode: '%.40s': expected tunnel, transport, pass or drop", text);
}

static int not_supported(struct load *l, void *owner, const char *text)
{
    (void)owner;
    return refuse(l, "invalid value for: %s: '%.40s': %s", l->key->name, text, l->key->why);
}

// ---- the keys

#define LATER   "not supported yet"
#define BY_TIME "SAs are neither rekeyed nor ended by time yet"
static const struct key conn_keys[] = {
    {"version", REFUSED, 0, 0, ANSWERS({"0", 0}, {"2", 0}), NULL,
     "only IKEv2 (2, or 0 for any) is supported"},
    {"local_addrs", ITEMS, 0, 0, NULL, local_addr, NULL},
    {"remote_addrs", ITEMS, 0, 0, NULL, remote_addr, NULL},
    {"local_port", PORT, CONN(local_port), 0, NULL, NULL, "the ports of --port and --port-nat-t are used"},
    {"remote_port", PORT, CONN(remote_port), 0, NULL, NULL, NULL},
    {"proposals", ITEMS, 0, 0, NULL, ike_proposal, NULL},
    {"vips", ITEMS, 0, 0, NULL, not_supported, "virtual IP addresses are " LATER},
    {"pools", ITEMS, 0, 0, NULL, not_supported, "address pools are " LATER},
    {"encap", YESNO, CONN(encap), 0, NULL, NULL, NULL},
    {"mobike", YESNO, CONN(mobike), 0, NULL, NULL, NULL},
    {"send_cert", CHOICE, CONN(send_cert), 0,
     ANSWERS({"always", 2}, {"ifasked", 1}, {"never", 0}, {"no", 0}, {"yes", 2}), NULL, NULL},
    {"send_certreq", IGNORED, 0, 0, NULL, NULL, NULL},
    {"ocsp", IGNORED, 0, 0, NULL, NULL, NULL},
    {"unique", CHOICE, CONN(unique), 0,
     ANSWERS({"no", UNIQUE_NO}, {"never", UNIQUE_NEVER}, {"keep", UNIQUE_KEEP}, {"replace", UNIQUE_REPLACE}),
     NULL, NULL},
    {"dpd_delay", TIME, CONN(dpd_delay), 0, NULL, NULL, NULL},
    {"dpd_timeout", IGNORED, 0, 0, NULL, NULL, NULL}, // IKEv1; retransmission decides
    {"keyingtries", NUMBER, CONN(keyingtries), UINT32_MAX, NULL, NULL, NULL},
    {"rekey_time", TIME, CONN(rekey_time), 0, NULL, NULL, BY_TIME},
    {"reauth_time", TIME, CONN(reauth_time), 0, NULL, NULL, BY_TIME},
    {"over_time", TIME, CONN(over_time), 0, NULL, NULL, NULL},
    {"rand_time", TIME, CONN(rand_time), 0, NULL, NULL, NULL},
    {"fragmentation", REFUSED, 0, 0, ANSWERS({"yes", 0}, {"accept", 0}, {"no", 0}), NULL,
     "forced IKE fragmentation is " LATER},
    {"childless", CHOICE, CONN(childless), 0, ANSWERS({"allow", CHILDLESS_ALLOW}, {"never", CHILDLESS_NEVER}),
     NULL, NULL}, // prefer and force: childless initiation is not supported yet
    {"aggressive", WARNED, 0, 0, only_no, NULL, NULL}, // IKEv1
    {"pull", WARNED, 0, 0, only_yes, NULL, NULL},      // IKEv1
    {"dscp", WARNED, 0, 0, ANSWERS({"0", 0}, {"000000", 0}), NULL, NULL},
    {"ppk_id", REFUSED, 0, 0, none, NULL, "post-quantum preshared keys are " LATER},
    {"ppk_required", REFUSED, 0, 0, only_no, NULL, "post-quantum preshared keys are " LATER},
    {"if_id_in", REFUSED, 0, 0, zero, NULL, "XFRM interfaces are " LATER},
    {"if_id_out", REFUSED, 0, 0, zero, NULL, "XFRM interfaces are " LATER},
    {"mediation", REFUSED, 0, 0, only_no, NULL, "mediation is not supported"},
    {"mediated_by", REFUSED, 0, 0, none, NULL, "mediation is not supported"},
    {"mediation_peer", REFUSED, 0, 0, none, NULL, "mediation is not supported"},
};

#define CERTS_LATER "certificates are " LATER
#define EAP_LATER   "EAP is " LATER
static const struct choice auth_methods[] = {{"psk", AUTH_PSK}, {NULL, 0}};
#define AUTH_KEYS(side)                                                                                      \
    {"auth", CHOICE, CONN(side##_auth), 0, auth_methods, NULL, NULL},                                        \
        {"id", TEXT, CONN(side##_id), ID_MAX_LEN, NULL, NULL, NULL},                                         \
        {"round", IGNORED, 0, 0, NULL, NULL, NULL},                                                          \
        {"revocation", IGNORED, 0, 0, NULL, NULL, NULL}, /* of certificates, which are refused */            \
        {"aaa_id", REFUSED, 0, 0, none, NULL, EAP_LATER}, {"eap_id", REFUSED, 0, 0, none, NULL, EAP_LATER},  \
        {"xauth_id", REFUSED, 0, 0, none, NULL, "XAuth belongs to IKEv1, which is not supported"},           \
        {"ca_id", REFUSED, 0, 0, none, NULL, CERTS_LATER},                                                   \
        {"groups", ITEMS, 0, 0, NULL, not_supported, "group membership is " LATER},                          \
        {"cert_policy", ITEMS, 0, 0, NULL, not_supported, CERTS_LATER},                                      \
        {"certs", ITEMS, 0, 0, NULL, not_supported, CERTS_LATER},                                            \
        {"cacerts", ITEMS, 0, 0, NULL, not_supported, CERTS_LATER},                                          \
        {"pubkeys", ITEMS, 0, 0, NULL, not_supported, "raw public keys are " LATER},
static const struct key local_keys[] = {AUTH_KEYS(local)};
static const struct key remote_keys[] = {AUTH_KEYS(remote)};

static const struct key child_keys[] = {
    {"esp_proposals", ITEMS, 0, 0, NULL, esp_proposal, NULL},
    {"ah_proposals", ITEMS, 0, 0, NULL, not_supported, "AH is not supported"},
    {"local_ts", ITEMS, 0, 0, NULL, local_ts, NULL},
    {"remote_ts", ITEMS, 0, 0, NULL, remote_ts, NULL},
    {"mode", ITEMS, 0, 0, NULL, child_mode, NULL},
    {"updown", REFUSED, 0, 0, none, NULL, "updown scripts are " LATER},
    {"hostaccess", WARNED, 0, 0, only_no, NULL, NULL}, // for updown scripts
    {"policies", REFUSED, 0, 0, only_yes, NULL, "a CHILD SA without policies is " LATER},
    {"policies_fwd_out", WARNED, 0, 0, only_no, NULL, NULL},
    {"replay_window", NUMBER, CHILD(replay_window), 1024, NULL, NULL, NULL},
    {"rekey_time", TIME, CHILD(rekey_time), 0, NULL, NULL, BY_TIME},
    {"life_time", TIME, CHILD(life_time), 0, NULL, NULL, BY_TIME},
    {"rand_time", TIME, CHILD(rand_time), 0, NULL, NULL, NULL},
    {"rekey_bytes", SIZE, CHILD(rekey_bytes), 0, NULL, NULL, NULL},
    {"life_bytes", SIZE, CHILD(life_bytes), 0, NULL, NULL, NULL},
    {"rand_bytes", SIZE, CHILD(rand_bytes), 0, NULL, NULL, NULL},
    {"rekey_packets", COUNT, CHILD(rekey_packets), 0, NULL, NULL, NULL},
    {"life_packets", COUNT, CHILD(life_packets), 0, NULL, NULL, NULL},
    {"rand_packets", COUNT, CHILD(rand_packets), 0, NULL, NULL, NULL},
    {"dpd_action", CHOICE, CHILD(dpd_action), 0,
     ANSWERS({"clear", DPD_NONE}, {"none", DPD_NONE}, {"trap", DPD_TRAP}, {"hold", DPD_TRAP},
             {"restart", DPD_START}, {"start", DPD_START}),
     NULL, NULL},
    {"start_action", CHOICE, CHILD(start_action), 0, actions, NULL, NULL},
    {"close_action", CHOICE, CHILD(close_action), 0, actions, NULL, NULL},
    {"ipcomp", REFUSED, 0, 0, only_no, NULL, "IPComp is " LATER},
    {"inactivity", TIME, CHILD(inactivity), 0, NULL, NULL, BY_TIME},
    {"reqid", NUMBER, CHILD(reqid), UINT32_MAX, NULL, NULL, NULL},
    {"priority", NUMBER, CHILD(priority), UINT32_MAX, NULL, NULL, NULL},
    {"interface", REFUSED, 0, 0, none, NULL, "policies for one interface are " LATER},
    {"mark_in", REFUSED, 0, 0, zero, NULL, "marks are " LATER},
    {"mark_in_sa", REFUSED, 0, 0, only_no, NULL, "marks are " LATER},
    {"mark_out", REFUSED, 0, 0, zero, NULL, "marks are " LATER},
    {"set_mark_in", REFUSED, 0, 0, zero, NULL, "marks are " LATER},
    {"set_mark_out", REFUSED, 0, 0, zero, NULL, "marks are " LATER},
    {"tfc_padding", REFUSED, 0, 0, ANSWERS({"0", 0}), NULL, "traffic flow confidentiality is " LATER},
    {"hw_offload", CHOICE, CHILD(hw_offload), 0,
     ANSWERS({"no", OFFLOAD_NO}, {"auto", OFFLOAD_AUTO}, {"yes", OFFLOAD_YES}, {"crypto", OFFLOAD_CRYPTO},
             {"packet", OFFLOAD_PACKET}),
     NULL, NULL},
    {"sha256_96", REFUSED, 0, 0, only_no, NULL, "96-bit truncation of SHA-256 is not supported"},
    {"copy_df", YESNO, CHILD(copy_df), 0, NULL, NULL, NULL},
    {"copy_ecn", YESNO, CHILD(copy_ecn), 0, NULL, NULL, NULL},
    {"copy_dscp", CHOICE, 0, 0, ANSWERS({"out", 1}, {"in", 2}, {"yes", 3}, {"no", 0}), NULL, NULL},
    {"icmp", WARNED, 0, 0, only_no, NULL, NULL},
    {"if_id_in", REFUSED, 0, 0, zero, NULL, "XFRM interfaces are " LATER},
    {"if_id_out", REFUSED, 0, 0, zero, NULL, "XFRM interfaces are " LATER},
    {"label", REFUSED, 0, 0, none, NULL, "security labels are " LATER},
    {"label_mode", WARNED, 0, 0, ANSWERS({"system", 0}), NULL, NULL},
    {"per_cpu_sas", REFUSED, 0, 0, only_no, NULL, "SAs per CPU are " LATER},
};

// ---- one key

static const struct choice *find_choice(const struct choice *c, const char *text)
{
    for (; c && c->text; c++) {
        if (strcasecmp(c->text, text) == 0)
            return c;
    }
    return NULL;
}

static int bad_choice(struct load *l, const char *value)
{
    char list[90] = "one of";
    for (const struct choice *c = l->key->choices; c->text; c++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof(list) - n, "%s %s", c == l->key->choices ? "" : ",", c->text);
    }
    return bad_value(l, value, list);
}

static int set_choice(struct load *l, void *owner, const char *value)
{
    const struct choice *c = find_choice(l->key->choices, value);
    if (!c && l->key->choices == auth_methods)
        return bad_value(l, value, "psk (certificates and EAP are " LATER ")");
    if (!c && l->key->choices == actions && strchr(value, '|'))
        return bad_value(l, value, "none, trap or start (both together are " LATER ")");
    if (!c)
        return bad_choice(l, value);
    if (strcmp(l->key->name, "copy_dscp") == 0) {
        struct child_config *child = owner;
        child->copy_dscp_out = c->value & 1;
        child->copy_dscp_in = c->value >> 1 & 1;
    } else {
        *((uint8_t *)owner + l->key->offset) = (uint8_t)c->value;
    }
    return 0;
}

static void warn_key(struct load *l, const char *value)
{
    char text[300];
    snprintf(text, sizeof(text), "%.100s: %s = %.60s has no effect%s%s", l->where, l->key->name, value,
             l->key->why ? ": " : "", l->key->why ? l->key->why : "");
    if (l->warn)
        l->warn(l->ctx, text);
}

static int set_number(struct load *l, void *at, const char *value)
{
    uint64_t n;
    switch (l->key->kind) {
    case TIME:
        if (!value_time(value, UINT32_MAX - 1, &n))
            return bad_value(l, value, "a time (30, 30s, 5m, 1h, 1d)");
        break;
    case SIZE:
        if (!value_size(value, at) || *(uint64_t *)at == UNSET)
            return bad_value(l, value, "a number of octets (1000, 10k, 5m, 1g)");
        return 0;
    case COUNT: return value_number(value, 0, UNSET - 1, at) ? 0 : bad_value(l, value, "a number");
    case PORT:
        if (!value_number(value, 0, 65535, &n))
            return bad_value(l, value, "a port from 0 to 65535");
        *(uint16_t *)at = (uint16_t)n;
        if (n && l->key->why)
            warn_key(l, value);
        return 0;
    default:
        if (!value_number(value, 0, l->key->max, &n)) {
            char expected[40];
            snprintf(expected, sizeof(expected), "a number from 0 to %llu", (unsigned long long)l->key->max);
            return bad_value(l, value, expected);
        }
    }
    *(uint32_t *)at = (uint32_t)n;
    if (n && l->key->why)
        warn_key(l, value);
    return 0;
}

static int set_value(struct load *l, void *owner, const char *value)
{
    const struct key *k = l->key;
    void *at = (uint8_t *)owner + k->offset;
    bool yes;
    switch (k->kind) {
    case YESNO:
        if (!value_bool(value, &yes))
            return bad_value(l, value, "yes or no");
        *(uint8_t *)at = yes;
        return 0;
    case CHOICE: return set_choice(l, owner, value);
    case TEXT:
        if (strlen(value) >= k->max)
            return refuse(l, "invalid value for: %s: longer than %d characters", k->name, (int)k->max - 1);
        snprintf(at, k->max, "%s", value);
        return 0;
    case IGNORED: return 0;
    case WARNED:
        if (!find_choice(k->choices, value))
            warn_key(l, value);
        return 0;
    case REFUSED:
        return find_choice(k->choices, value)
                   ? 0
                   : refuse(l, "invalid value for: %s: '%.40s': %s", k->name, value, k->why);
    default: return set_number(l, at, value);
    }
}

static int set_items(struct load *l, void *owner, const struct vici_node *n)
{
    for (const struct vici_node *i = n->child; i; i = i->next) {
        const char *text = vici_text(i);
        if (!text)
            return refuse(l, "invalid value for: %s: it holds a zero octet", l->key->name);
        int r = l->key->item(l, owner, text);
        if (r)
            return r;
    }
    return 0;
}

static int set_key(struct load *l, void *owner, const struct key *keys, size_t count,
                   const struct vici_node *n)
{
    l->key = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i].name, n->name) == 0)
            l->key = &keys[i];
    }
    if (!l->key) {
        refuse(l, "unknown option: %.80s", n->name);
        snprintf(l->err->field, sizeof(l->err->field), "%.47s", n->name);
        return -EINVAL;
    }
    bool list = l->key->kind == ITEMS;
    if (n->kind == VICI_LIST && list)
        return set_items(l, owner, n);
    const char *text = vici_text(n);
    if (n->kind != VICI_VALUE || !text)
        return refuse(l, "invalid value for: %s: expected %s", l->key->name, list ? "a list" : "text");
    return list ? l->key->item(l, owner, text) : set_value(l, owner, text);
}

// ---- sections

static int load_auth(struct load *l, const struct vici_node *section, bool local)
{
    const struct key *keys = local ? local_keys : remote_keys;
    size_t count = sizeof(local_keys) / sizeof(local_keys[0]);
    uint8_t *auth = local ? &l->conn->local_auth : &l->conn->remote_auth;
    l->where = section->name;
    l->key = NULL;
    if (*auth)
        return refuse(l, "%.40s: more than one authentication round is " LATER, section->name);
    for (const struct vici_node *n = section->child; n; n = n->next) {
        if (n->kind == VICI_SECTION)
            return refuse(l, "%.40s.%.40s: " CERTS_LATER, section->name, n->name);
        int r = set_key(l, l->conn, keys, count, n);
        if (r)
            return r;
    }
    l->key = NULL;
    if (!*auth) // charon's default is pubkey
        return refuse(l, "%.40s.auth is missing: only psk is supported, " CERTS_LATER, section->name);
    return 0;
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
    char text[200];
    uint64_t rekey = wide(child->rekey_time), life = wide(child->life_time), part = wide(child->rand_time);
    finish_limit(&rekey, &life, &part, CHILD_REKEY_TIME);
    child->rekey_time = (uint32_t)rekey;
    child->life_time = life < UINT32_MAX ? (uint32_t)life : UINT32_MAX - 1;
    child->rand_time = (uint32_t)part;
    finish_limit(&child->rekey_bytes, &child->life_bytes, &child->rand_bytes, 0);
    finish_limit(&child->rekey_packets, &child->life_packets, &child->rand_packets, 0);
    if (!child->life_time || child->rekey_time < child->life_time || !l->warn)
        return;
    snprintf(text, sizeof(text),
             "children.%.60s: rekey_time %us is not below life_time %us: its SAs end without being rekeyed",
             child->name, child->rekey_time, child->life_time);
    l->warn(l->ctx, text);
}

// Extended sequence numbers are followed by the window alone (RFC 4303 section 3.3.3): without one they are
// left out where the proposal has the short ones too.
static int check_window(struct load *l, struct child_config *child)
{
    for (unsigned i = 0; i < child->proposal_count && child->replay_window == 0; i++) {
        struct proposal *p = &child->proposals[i];
        bool shorter = false;
        unsigned kept = 0;
        for (unsigned k = 0; k < p->count; k++)
            shorter = shorter || (p->t[k].type == TR_ESN && p->t[k].id == TRID_NO_ESN);
        for (unsigned k = 0; k < p->count; k++) {
            if (p->t[k].type != TR_ESN || p->t[k].id != TRID_ESN)
                p->t[kept++] = p->t[k];
            else if (!shorter)
                return refuse(
                    l,
                    "children.%.40s: replay_window = 0 does not go with esn (RFC 4303 3.3.3): set a window, "
                    "or noesn",
                    child->name);
        }
        p->count = (uint8_t)kept;
    }
    return 0;
}

static int finish_child(struct load *l, struct child_config *child)
{
    struct esp_error e;
    l->key = NULL;
    if (!child->proposal_count &&
        proposal_default_add(child->proposals, &child->proposal_count, PROTO_ESP, &e) < 0)
        return refuse(l, "default proposals: %.100s", e.text);
    const struct ts dynamic = {.port_hi = 65535};
    if (!child->local_ts.count)
        child->local_ts.t[child->local_ts.count++] = dynamic;
    if (!child->remote_ts.count)
        child->remote_ts.t[child->remote_ts.count++] = dynamic;
    finish_lifetimes(l, child);
    return check_window(l, child);
}

static int load_child(struct load *l, const struct vici_node *section)
{
    struct conn_config *c = l->conn;
    l->key = NULL;
    l->where = section->name;
    if (section->kind != VICI_SECTION)
        return refuse(l, "unknown option: %.80s", section->name);
    if (c->child_count == CHILDREN_MAX)
        return refuse(l, "more than %d children", CHILDREN_MAX);
    if (!section->name[0])
        return refuse(l, "a child without a name");
    if (strlen(section->name) >= NAME_MAX_LEN)
        return refuse(l, "the name of child %.40s... is longer than %d characters", section->name,
                      NAME_MAX_LEN - 1);
    struct child_config *child = conn_add_child(c);
    if (!child)
        return refuse(l, "out of memory");
    config_child_defaults(child);
    snprintf(child->name, sizeof(child->name), "%s", section->name);
    for (const struct vici_node *n = section->child; n; n = n->next) {
        int r = set_key(l, child, child_keys, sizeof(child_keys) / sizeof(child_keys[0]), n);
        if (r)
            return r;
    }
    return finish_child(l, child);
}

static int load_section(struct load *l, const struct vici_node *n)
{
    l->key = NULL;
    if (strncmp(n->name, "local", 5) == 0 || strncmp(n->name, "remote", 6) == 0)
        return load_auth(l, n, n->name[0] == 'l');
    if (strcmp(n->name, "children") != 0)
        return refuse(l, "unknown option: %.80s", n->name);
    int r = 0;
    for (const struct vici_node *child = n->child; child && r == 0; child = child->next)
        r = load_child(l, child);
    return r;
}

// Children that pass or drop need nobody to talk to.
static bool only_policies(const struct conn_config *c)
{
    for (unsigned i = 0; i < c->child_count; i++)
        if (c->children[i].action == POLICY_PROTECT)
            return false;
    return c->child_count > 0;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// swanctl.conf(5): an IKE SA that is reauthenticated is not rekeyed unless that is asked for too. The random
// part is at most half of the shorter time, so that nothing is made anew as soon as it stands.
static void finish_ike_times(struct conn_config *c)
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
}

static int finish_conn(struct load *l)
{
    struct conn_config *c = l->conn;
    struct esp_error e;
    l->key = NULL;
    if ((!c->local_auth || !c->remote_auth) && !only_policies(c))
        return refuse(l, "%s.auth is missing: only psk is supported, " CERTS_LATER,
                      c->local_auth ? "remote" : "local");
    if (!c->proposal_count && proposal_default_add(c->proposals, &c->proposal_count, PROTO_IKE, &e) < 0)
        return refuse(l, "default proposals: %.100s", e.text);
    finish_ike_times(c);
    return 0;
}

void config_conn_defaults(struct conn_config *c)
{
    *c = (struct conn_config){.mobike = true,
                              .send_cert = 1,
                              .unique = UNIQUE_NO,
                              .keyingtries = 1,
                              .rekey_time = UINT32_MAX,
                              .reauth_time = UINT32_MAX,
                              .over_time = UINT32_MAX,
                              .rand_time = UINT32_MAX};
}

void config_child_defaults(struct child_config *c)
{
    *c = (struct child_config){.action = POLICY_PROTECT,
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

static int load_all(struct load *l, const struct vici_node *section)
{
    struct conn_config *out = l->conn;
    if (!section->name[0])
        return refuse(l, "a connection without a name");
    if (strlen(section->name) >= NAME_MAX_LEN)
        return refuse(l, "the connection's name is longer than %d characters", NAME_MAX_LEN - 1);
    snprintf(out->name, sizeof(out->name), "%s", section->name);
    for (const struct vici_node *n = section->child; n; n = n->next) {
        l->where = section->name;
        int r = n->kind == VICI_SECTION
                    ? load_section(l, n)
                    : set_key(l, out, conn_keys, sizeof(conn_keys) / sizeof(conn_keys[0]), n);
        if (r)
            return r;
    }
    return finish_conn(l);
}

int config_load_conn(struct conn_config *out, const struct vici_node *section,
                     void (*warn)(void *ctx, const char *text), void *ctx, struct esp_error *err)
{
    struct esp_error unused;
    struct load l = {.conn = out, .warn = warn, .ctx = ctx, .err = err ? err : &unused};
    config_conn_defaults(out);
    int r = load_all(&l, section);
    if (r)
        conn_clear(out);
    return r;
}
