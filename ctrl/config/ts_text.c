// SPDX-License-Identifier: Apache-2.0
// Traffic selectors as people write them: a subnet, an address, a range or "dynamic", then protocol and port
// in brackets.
#include "ctrl/config/proposal_text.h"

#include <errno.h>
#include <netdb.h>
#include <nss.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/values.h"

static int bad(struct esp_error *err, const char *text, const char *expected)
{
    return esp_fail(err, -EINVAL, "", "'%.60s': expected %s", text, expected);
}

// The name service asks others than the machine's files (nscd, LDAP) by sockets, which the process that reads
// this here for a client has to do without: the filter of its system calls would end it for the attempt.
static void by_file_alone(const char *database)
{
    __nss_configure_lookup(database, "files");
}

static bool protocol_number(const char *name, uint8_t *out)
{
    static const struct {
        const char *name;
        uint8_t number;
    } known[] = {{"icmp", 1},   {"tcp", 6},       {"udp", 17}, {"gre", 47}, {"icmpv6", 58}, {"ipv6-icmp", 58},
                 {"sctp", 132}, {"udplite", 136}, {"esp", 50}, {"ah", 51},  {"ospf", 89},   {"ipencap", 4}};
    uint64_t n;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i].number;
            return true;
        }
    }
    if (value_number(name, 0, 255, &n)) {
        *out = (uint8_t)n;
        return true;
    }
    by_file_alone("protocols");
    const struct protoent *p = getprotobyname(name); // /etc/protocols
    if (p)
        *out = (uint8_t)p->p_proto;
    return p != NULL;
}

static bool port_number(const char *text, uint16_t *port)
{
    uint64_t n;
    if (value_number(text, 0, 65535, &n)) {
        *port = (uint16_t)n;
        return true;
    }
    by_file_alone("services");
    const struct servent *s = getservbyname(text, NULL);
    if (s)
        *port = ntohs((uint16_t)s->s_port);
    return s != NULL;
}

// A type of ICMP stands in the port's high octet, its code in the low one (RFC 4301 section 4.4.1.1), as
// charon writes it: "3(1)"; and as it reads it: a number below 256 is a type with code 0, one above it both.
static bool icmp_type(const char *text, uint16_t *port)
{
    char type[8];
    const char *bracket = strchr(text, '(');
    size_t n = bracket ? (size_t)(bracket - text) : 0, len = strlen(text);
    uint64_t t, code;
    if (bracket && n < sizeof(type) && text[len - 1] == ')' && len - n < sizeof(type)) {
        char number[8];
        snprintf(type, sizeof(type), "%.*s", (int)n, text);
        snprintf(number, sizeof(number), "%.*s", (int)(len - n - 2), bracket + 1);
        if (!value_number(type, 0, 255, &t) || !value_number(number, 0, 255, &code))
            return false;
        *port = (uint16_t)(t << 8 | code);
        return true;
    }
    if (!value_number(text, 0, 65535, &t))
        return false;
    *port = (uint16_t)(t < 256 ? t << 8 : t);
    return true;
}

// "tcp/80", "udp/1024-65535", "icmp/8", "icmp/3(1)-3(4)", "tcp", "17"
static int parse_protoport(char *text, struct ts *out, struct esp_error *err)
{
    char *port = strchr(text, '/');
    if (port)
        *port++ = 0;
    if (text[0] && strcmp(text, "any") != 0 && strcmp(text, "%any") != 0 &&
        !protocol_number(text, &out->proto))
        return bad(err, text, "a protocol name or number");
    if (!port || !*port || strcmp(port, "any") == 0 || strcmp(port, "%any") == 0)
        return 0;
    bool icmp = out->proto == 1 || out->proto == 58;
    if (!icmp && out->proto != 6 && out->proto != 17 && out->proto != 132 && out->proto != 136)
        return bad(err, port, "a port only with tcp, udp, sctp or udplite, a type only with icmp or icmpv6");
    if (strcmp(port, "opaque") == 0) {
        out->port_lo = 65535;
        out->port_hi = 0;
        return 0;
    }
    char *dash = strchr(port, '-');
    if (dash)
        *dash++ = 0;
    bool (*number)(const char *, uint16_t *) = icmp ? icmp_type : port_number;
    if (!number(port, &out->port_lo))
        return bad(err, port,
                   icmp ? "a type of ICMP, TYPE(CODE), or two joined by '-'"
                        : "a port, or two joined by '-'");
    out->port_hi = out->port_lo;
    if (dash && (!number(dash, &out->port_hi) || out->port_hi < out->port_lo))
        return bad(err, dash,
                   icmp ? "a type or TYPE(CODE) that is not below the first"
                        : "a port that is not below the first");
    return 0;
}

static void mask(struct ts *t, const struct addr *a, unsigned bits, unsigned total)
{
    for (unsigned i = 0; i < total; i++) {
        uint8_t bit = (uint8_t)(0x80 >> i % 8);
        bool one = a->a[i / 8] & bit;
        if (i < bits ? one : false)
            t->lo[i / 8] |= bit;
        if (i < bits ? one : true)
            t->hi[i / 8] |= bit;
    }
}

static int parse_range(const char *lo, const char *hi, struct ts *out, struct esp_error *err)
{
    struct addr a, b;
    if (!addr_parse(lo, &a) || !addr_parse(hi, &b) || a.family != b.family ||
        memcmp(a.a, b.a, sizeof(a.a)) > 0)
        return esp_fail(err, -EINVAL, "",
                        "'%.45s-%.45s': expected a range: two addresses of one family, the lower first", lo,
                        hi);
    out->family = a.family;
    memcpy(out->lo, a.a, sizeof(out->lo));
    memcpy(out->hi, b.a, sizeof(out->hi));
    return 0;
}

static int parse_address(char *text, struct ts *out, struct esp_error *err)
{
    struct addr a;
    uint64_t bits = 0;
    char *sep;
    if (strcmp(text, "dynamic") == 0)
        return 0;
    if ((sep = strstr(text, ".."))) {
        *sep = 0;
        return parse_range(text, sep + 2, out, err);
    }
    if ((sep = strchr(text, '-'))) {
        *sep = 0;
        return parse_range(text, sep + 1, out, err);
    }
    if ((sep = strchr(text, '/')))
        *sep = 0;
    if (!addr_parse(text, &a) || !a.family)
        return bad(err, text, "an address, a subnet, a range or dynamic");
    unsigned total = a.family == 4 ? 32 : 128;
    bits = total;
    if (sep && !value_number(sep + 1, 0, total, &bits))
        return bad(err, sep + 1,
                   a.family == 4 ? "a prefix length from 0 to 32" : "a prefix length from 0 to 128");
    out->family = a.family;
    mask(out, &a, (unsigned)bits, total);
    return 0;
}

int ts_text_parse(const char *text, struct ts *out, struct esp_error *err)
{
    char copy[160];
    *out = (struct ts){.port_hi = 65535};
    if (strlen(text) >= sizeof(copy))
        return bad(err, text, "at most 159 characters");
    snprintf(copy, sizeof(copy), "%s", text);
    char *bracket = strchr(copy, '[');
    if (bracket) {
        size_t n = strlen(bracket);
        if (bracket[n - 1] != ']')
            return bad(err, text, "']' at the end");
        bracket[n - 1] = 0;
        *bracket = 0;
        int r = parse_protoport(bracket + 1, out, err);
        if (r)
            return r;
    }
    return parse_address(copy, out, err);
}
