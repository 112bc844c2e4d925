// SPDX-License-Identifier: Apache-2.0
// The keys of a pool: its addresses, and what goes with one, as attributes of the Configuration payload.
#include "ctrl/config/pool_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/keys.h"
#include "ctrl/config/values.h"

enum { UNITY_PADDING = 6 };

int pool_addrs(struct load *l, void *owner, const char *text)
{
    struct pool_config *p = owner;
    const char *why;
    if (p->base.family)
        return load_bad_value(l, text, "one network or range, further ones in a pool of their own");
    if (pool_addrs_parse(p, text, &why))
        return 0;
    p->base.family = 0;
    return load_bad_value(l, text, why);
}

static int add_attr(struct load *l, struct pool_config *p, uint16_t type, struct slice value)
{
    struct writer w = writer_of(p->attrs + p->attrs_len, sizeof(p->attrs) - p->attrs_len);
    wr_u16(&w, type);
    wr_slice16(&w, value);
    if (w.bad)
        return load_refuse(l, "invalid value for: %.40s: the attributes are more than %d octets",
                           l->node->name, POOL_ATTRS_BYTES);
    p->attrs_len = (uint16_t)(p->attrs_len + w.len);
    return 0;
}

// "10.1.0.0/16"; an address alone is a host. False: it is neither.
static bool parse_net(const char *text, struct addr *a, unsigned *len)
{
    char copy[80];
    uint64_t n = 0;
    if (strlen(text) >= sizeof(copy))
        return false;
    strcpy(copy, text);
    char *slash = strchr(copy, '/');
    if (slash)
        *slash++ = 0;
    if (!addr_parse(copy, a))
        return false;
    unsigned width = a->family == 4 ? 32 : 128;
    if (slash && !value_number(slash, 0, width, &n))
        return false;
    *len = slash ? (unsigned)n : width;
    return true;
}

static void put_mask(struct writer *w, unsigned len)
{
    uint32_t mask = len ? UINT32_MAX << (32 - len) : 0;
    wr_u32(w, mask);
}

// What the value of a key is on the wire: 3.15.1 for subnets, Unity's own form for its two.
enum form { FORM_ADDRESS, FORM_SUBNET, FORM_UNITY };
static const struct {
    const char *name;
    uint16_t v4, v6; // 0: there is none
    enum form form;
} attributes[] = {
    {"dns", 3, 10, FORM_ADDRESS},
    {"nbns", 4, 0, FORM_ADDRESS},
    {"dhcp", 6, 12, FORM_ADDRESS},
    {"netmask", 2, 0, FORM_ADDRESS},
    {"server", 23456, 23457, FORM_ADDRESS},
    {"p_cscf", 20, 21, FORM_ADDRESS},
    {"subnet", 13, 15, FORM_SUBNET},
    {"split_include", 28676, 0, FORM_UNITY},
    {"split_exclude", 28677, 0, FORM_UNITY},
};

static int add_net(struct load *l, struct pool_config *p, unsigned which, const char *text)
{
    uint8_t value[17 + UNITY_PADDING];
    struct writer w = writer_of(value, sizeof(value));
    struct addr a;
    unsigned len = 0;
    bool whole = attributes[which].form == FORM_ADDRESS;
    bool good = whole ? addr_parse(text, &a) : parse_net(text, &a, &len);
    uint16_t type = !good ? 0 : a.family == 4 ? attributes[which].v4 : attributes[which].v6;
    if (!type)
        return load_bad_value(l, text,
                              whole ? attributes[which].v6 ? "an IP address" : "an IPv4 address"
                              : attributes[which].v6 ? "a network, such as 10.1.0.0/16"
                                                     : "an IPv4 network, such as 10.1.0.0/16");
    wr_bytes(&w, a.a, a.family == 4 ? 4 : 16);
    if (!whole && a.family == 4)
        put_mask(&w, len);
    else if (!whole)
        wr_u8(&w, (uint8_t)len);
    if (attributes[which].form == FORM_UNITY)
        wr_uint(&w, 0, UNITY_PADDING);
    return add_attr(l, p, type, wr_written(&w));
}

int pool_attr(struct load *l, void *owner, const char *text)
{
    for (unsigned i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
        if (strcmp(attributes[i].name, l->node->name) == 0)
            return add_net(l, owner, i, text);
    return load_bad_value(l, text, "a known attribute");
}

// A type by its number: an address or a network as octets, other text as it is.
int pool_attr_number(struct load *l, void *owner, const char *text)
{
    uint8_t value[20];
    struct writer w = writer_of(value, sizeof(value));
    struct addr a;
    uint64_t type;
    unsigned len;
    if (!value_number(l->node->name, 1, 0x7fff, &type))
        return load_refuse(l, "unknown option: %.40s: an attribute's type is 1 to 32767", l->node->name);
    if (!parse_net(text, &a, &len))
        return add_attr(l, owner, (uint16_t)type, slice_str(text));
    wr_bytes(&w, a.a, a.family == 4 ? 4 : 16);
    if (strchr(text, '/') && a.family == 4)
        put_mask(&w, len);
    else if (strchr(text, '/'))
        wr_u8(&w, (uint8_t)len);
    return add_attr(l, owner, (uint16_t)type, wr_written(&w));
}

int config_load_pool(struct pool_config *out, const struct vici_node *section,
                     const struct load_report *report, struct esp_error *err)
{
    struct esp_error unused;
    struct load l = {.report = report, .err = err ? err : &unused, .what = "pool", .node = section};
    memset(out, 0, sizeof(*out));
    if (!section->name[0] || strlen(section->name) >= NAME_MAX_LEN)
        load_refuse(&l, "expected a name of 1 to %d characters", NAME_MAX_LEN - 1);
    snprintf(out->name, sizeof(out->name), "%s", section->name);
    snprintf(l.path, sizeof(l.path), "%s", out->name);
    for (const struct vici_node *k = section->child; k; k = k->next) {
        l.node = k;
        if (k->kind == VICI_SECTION)
            load_refuse(&l, "unknown option: %.80s", k->name);
        else
            load_key(&l, out, SEC_POOL, k);
    }
    l.node = section;
    if (!l.faults && !out->base.family)
        load_refuse(&l, "addrs is missing: expected a network or a range");
    return l.faults ? -EINVAL : 0;
}
