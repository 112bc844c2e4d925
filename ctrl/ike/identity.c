// SPDX-License-Identifier: Apache-2.0
// Identities: parsing text as charon does, printing, octets of the ID payload (RFC 7296 section 3.5) and
// matching.
#include "ctrl/ike/identity.h"
#include "ctrl/lib/hash.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctrl/crypto/dn.h"

static bool set(struct identity *out, uint8_t type, const void *data, size_t len)
{
    memset(out, 0, sizeof(*out));
    if (len > ID_DATA_MAX)
        return false;
    out->type = type;
    out->len = (uint16_t)len;
    if (len)
        memcpy(out->data, data, len);
    return true;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Hex digits, with colons between octets where someone wrote them so.
static bool set_hex(struct identity *out, uint8_t type, const char *hex)
{
    uint8_t buf[ID_DATA_MAX];
    size_t n = 0;
    while (*hex) {
        if (*hex == ':') {
            hex++;
            continue;
        }
        int hi = nibble(hex[0]), lo = hex[0] ? nibble(hex[1]) : -1;
        if (hi < 0 || lo < 0 || n == sizeof(buf))
            return false;
        buf[n++] = (uint8_t)(hi << 4 | lo);
        hex += 2;
    }
    return set(out, type, buf, n);
}

static bool set_addr(struct identity *out, const char *text)
{
    struct addr a;
    if (!addr_parse(text, &a))
        return false;
    identity_of_addr(&a, out);
    return true;
}

// Two addresses behind one another, of one family.
static bool set_two(struct identity *out, bool range, const struct addr *a, const uint8_t *second)
{
    size_t n = a->family == 4 ? 4 : 16;
    uint8_t both[32];
    memcpy(both, a->a, n);
    memcpy(both + n, second, n);
    return set(out,
               a->family == 4 ? range ? ID_IPV4_RANGE : ID_IPV4_SUBNET
               : range        ? ID_IPV6_RANGE
                              : ID_IPV6_SUBNET,
               both, 2 * n);
}

// What is before `at`, which is where a slash or a hyphen is.
static bool addr_before(const char *text, const char *at, struct addr *out)
{
    char buf[64];
    size_t n = (size_t)(at - text);
    if (n >= sizeof(buf))
        return false;
    memcpy(buf, text, n);
    buf[n] = 0;
    return addr_parse(buf, out);
}

static bool set_subnet(struct identity *out, const char *text, const char *slash)
{
    struct addr a;
    uint8_t mask[16] = {0};
    char *end;
    if (!isdigit((unsigned char)slash[1]) || !addr_before(text, slash, &a))
        return false;
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (*end || bits > (a.family == 4 ? 32u : 128u))
        return false;
    for (unsigned i = 0; i < bits; i++)
        mask[i / 8] = (uint8_t)(mask[i / 8] | 0x80 >> i % 8);
    for (unsigned i = 0; i < sizeof(mask); i++)
        a.a[i] &= mask[i];
    return set_two(out, false, &a, mask);
}

static bool set_range(struct identity *out, const char *text, const char *hyphen)
{
    struct addr from, to;
    return addr_before(text, hyphen, &from) && addr_parse(hyphen + 1, &to) && from.family == to.family &&
           memcmp(from.a, to.a, sizeof(from.a)) <= 0 && set_two(out, true, &from, to.a);
}

// An address, or many of them.
static bool set_addrs(struct identity *out, const char *text)
{
    const char *slash = strchr(text, '/'), *hyphen = strchr(text, '-');
    return set_addr(out, text) || (slash && set_subnet(out, text, slash)) ||
           (hyphen && set_range(out, text, hyphen));
}

static bool set_dn(struct identity *out, const char *text)
{
    uint8_t der[ID_DATA_MAX];
    size_t len;
    return dn_parse(text, der, sizeof(der), &len) == 0 && set(out, ID_DN, der, len);
}

static bool parse_typed(const char *text, struct identity *out, bool *handled)
{
    static const struct {
        const char *prefix;
        uint8_t type;
    } types[] = {
        {"ipv4:", ID_IPV4},       {"ipv6:", ID_IPV6}, {"rfc822:", ID_RFC822}, {"email:", ID_RFC822},
        {"userfqdn:", ID_RFC822}, {"fqdn:", ID_FQDN}, {"dns:", ID_FQDN},      {"keyid:", ID_KEY},
        {"asn1dn:", ID_DN},       {"asn1gn:", ID_GN},
    };
    *handled = true;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t n = strlen(types[i].prefix);
        if (strncasecmp(text, types[i].prefix, n) != 0)
            continue;
        if (text[n] == '#')
            return set_hex(out, types[i].type, text + n + 1);
        if (types[i].type == ID_IPV4 || types[i].type == ID_IPV6)
            return set_addr(out, text + n) && out->type == types[i].type;
        if (types[i].type == ID_DN)
            return set_dn(out, text + n);
        if (types[i].type == ID_GN)
            return false;
        return set(out, types[i].type, text + n, strlen(text + n));
    }
    *handled = false;
    return false;
}

static bool is_any(const char *s)
{
    static const char *const any[] = {"", "%any", "%any6", "0.0.0.0", "*", "::", "0::0"};
    for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++)
        if (strcmp(s, any[i]) == 0)
            return true;
    return false;
}

bool identity_parse(const char *text, struct identity *out)
{
    bool handled;
    memset(out, 0, sizeof(*out));
    if (is_any(text))
        return true;
    bool ok = parse_typed(text, out, &handled);
    if (handled)
        return ok;
    if (dn_is_text(text))
        return set_dn(out, text);
    if (strchr(text, '='))
        return set(out, ID_KEY, text, strlen(text)); // as charon takes what is none after all
    const char *at = strchr(text, '@');
    if (!at) {
        if (set_addrs(out, text))
            return true;
        return set(out, strchr(text, ':') ? ID_KEY : ID_FQDN, text, strlen(text));
    }
    if (at != text)
        return set(out, ID_RFC822, text, strlen(text));
    if (text[1] == '#')
        return set_hex(out, ID_KEY, text + 2);
    if (text[1] == '@')
        return set(out, ID_RFC822, text + 2, strlen(text + 2));
    return set(out, ID_FQDN, text + 1, strlen(text + 1));
}

void identity_of_addr(const struct addr *a, struct identity *out)
{
    set(out,
        a->family == 4   ? ID_IPV4
        : a->family == 6 ? ID_IPV6
                         : ID_ANY,
        a->a,
        a->family == 4   ? 4
        : a->family == 6 ? 16
                         : 0);
}

static bool is_addrs(uint8_t type)
{
    return type == ID_IPV4_SUBNET || type == ID_IPV6_SUBNET || type == ID_IPV4_RANGE || type == ID_IPV6_RANGE;
}

bool identity_read(struct slice body, struct identity *out)
{
    struct reader r = reader_of(body);
    uint8_t type = rd_u8(&r);
    rd_bytes(&r, 3);
    struct slice data = rd_rest(&r);
    if (r.bad || data.len == 0 || type == ID_ANY)
        return false;
    if ((type == ID_IPV4 && data.len != 4) || (type == ID_IPV6 && data.len != 16) || is_addrs(type))
        return false;
    return set(out, type, data.p, data.len);
}

void identity_write(struct writer *w, const struct identity *id)
{
    wr_u8(w, id->type);
    wr_uint(w, 0, 3);
    wr_bytes(w, id->data, id->len);
}

size_t identity_octets(const struct identity *id)
{
    return offsetof(struct identity, data) + id->len;
}

void identity_copy(struct identity *to, const struct identity *from)
{
    memcpy(to, from, identity_octets(from));
}

struct identity *identity_dup(const struct identity *id)
{
    struct identity *copy = malloc(identity_octets(id));
    if (copy)
        memcpy(copy, id, identity_octets(id));
    return copy;
}

static bool names_eq(const uint8_t *a, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tolower(a[i]) != tolower(b[i]))
            return false;
    return true;
}

static bool is_name(uint8_t type)
{
    return type == ID_FQDN || type == ID_RFC822;
}

bool identity_eq(const struct identity *a, const struct identity *b)
{
    if (a->type != b->type || a->len != b->len)
        return false;
    return is_name(a->type) ? names_eq(a->data, b->data, a->len) : memcmp(a->data, b->data, a->len) == 0;
}

// Distinguished names of one meaning may have different octets: all have one key.
uint64_t identity_key(const struct identity *id)
{
    uint8_t folded[ID_DATA_MAX];
    size_t len = id->type == ID_DN ? 0 : id->len;
    for (size_t i = 0; i < len; i++)
        folded[i] = is_name(id->type) ? (uint8_t)tolower(id->data[i]) : id->data[i];
    return hash_bytes(id->type, folded, len);
}

bool identity_is_pattern(const struct identity *id)
{
    if (id->type == ID_DN)
        return dn_match(id->data, id->len, id->data, id->len) > 0;
    return id->type == ID_ANY || is_addrs(id->type) ||
           (is_name(id->type) && id->len > 0 && id->data[0] == '*');
}

static bool among(const struct identity *id, const struct identity *pattern)
{
    bool range = pattern->type == ID_IPV4_RANGE || pattern->type == ID_IPV6_RANGE;
    const uint8_t *first = pattern->data, *second = pattern->data + id->len;
    if ((id->type != ID_IPV4 && id->type != ID_IPV6) || pattern->len != 2u * id->len ||
        (id->type == ID_IPV4) != (pattern->type == ID_IPV4_RANGE || pattern->type == ID_IPV4_SUBNET))
        return false;
    if (range)
        return memcmp(first, id->data, id->len) <= 0 && memcmp(id->data, second, id->len) <= 0;
    for (unsigned i = 0; i < id->len; i++)
        if ((id->data[i] ^ first[i]) & second[i])
            return false;
    return true;
}

bool identity_is_addrs(const struct identity *id)
{
    return is_addrs(id->type);
}

int identity_match(const struct identity *id, const struct identity *pattern)
{
    if (pattern->type == ID_ANY)
        return MATCH_ANY;
    if (identity_eq(id, pattern))
        return MATCH_PERFECT;
    if (id->type == ID_DN && pattern->type == ID_DN) {
        int stars = dn_match(id->data, id->len, pattern->data, pattern->len);
        return stars < 0 ? MATCH_NONE : stars == 0 ? MATCH_PERFECT : MATCH_WILDCARD;
    }
    if (is_addrs(pattern->type))
        return among(id, pattern) ? MATCH_WILDCARD : MATCH_NONE;
    // "*.example.org" and "*@example.org": the star stands for at least one octet
    if (id->type != pattern->type || !identity_is_pattern(pattern))
        return MATCH_NONE;
    size_t tail = pattern->len - 1u;
    if (id->len <= tail)
        return MATCH_NONE;
    return names_eq(id->data + id->len - tail, pattern->data + 1, tail) ? MATCH_WILDCARD : MATCH_NONE;
}

static void print_addrs(const struct identity *id, char *buf, size_t size)
{
    struct addr a = {.family = id->len == 8 ? 4 : 6}, b = a;
    char first[64], second[64];
    size_t n = id->len / 2u, bits = 0;
    memcpy(a.a, id->data, n);
    memcpy(b.a, id->data + n, n);
    addr_print(&a, first, sizeof(first));
    while (bits < 8 * n && (b.a[bits / 8] << bits % 8 & 0x80))
        bits++;
    if (id->type == ID_IPV4_RANGE || id->type == ID_IPV6_RANGE)
        snprintf(buf, size, "%s-%s", first, addr_print(&b, second, sizeof(second)));
    else
        snprintf(buf, size, "%s/%zu", first, bits);
}

static void print_octets(const struct identity *id, const char *prefix, char *buf, size_t size)
{
    size_t at = (size_t)snprintf(buf, size, "%s", prefix);
    for (unsigned i = 0; i < id->len && at + 3 <= size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%02x", id->data[i]);
}

char *identity_print(const struct identity *id, char *buf, size_t size)
{
    struct addr a = {.family = id->type == ID_IPV4 ? 4 : 6};
    bool text = true;
    for (unsigned i = 0; i < id->len; i++)
        text = text && isprint(id->data[i]);
    if (id->type == ID_ANY) {
        snprintf(buf, size, "%%any");
    } else if ((id->type == ID_IPV4 && id->len == 4) || (id->type == ID_IPV6 && id->len == 16)) {
        memcpy(a.a, id->data, id->len);
        addr_print(&a, buf, (unsigned)size);
    } else if (is_addrs(id->type) && (id->len == 8 || id->len == 32)) {
        print_addrs(id, buf, size);
    } else if (id->type == ID_DN && dn_print(id->data, id->len, buf, size)) {
        return buf;
    } else if (text && id->type != ID_DN && id->type != ID_GN) {
        snprintf(buf, size, "%.*s", id->len, (const char *)id->data);
    } else {
        print_octets(id, id->type == ID_KEY ? "@#" : "", buf, size);
    }
    return buf;
}
