// SPDX-License-Identifier: Apache-2.0
// Cuts an `ip -batch` file into words as iproute2 6.1 does: `#` starts a comment anywhere, a backslash before
// the end of the line continues it, a word that starts with ' or " goes to the next such quote. Also the
// values that words hold.
#include "sim/workbench/sad_words.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sim/workbench/util.h"

static int fail_at(struct sad_words *w, unsigned line, const char *text)
{
    char where[sizeof(w->err->field)];
    const char *base = strrchr(w->file, '/');

    snprintf(where, sizeof(where), "%.32s:%u", base ? base + 1 : w->file, line);
    return esp_fail(w->err, -EINVAL, where, "%s", text);
}

int sad_refuse(struct sad_words *w, unsigned i, const char *fmt, ...)
{
    char why[150], text[200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    snprintf(text, sizeof(text), "\"%.40s\": %s", w->word[i].text, why);
    return fail_at(w, w->word[i].line, text);
}

int sad_lacks(struct sad_words *w, const char *what)
{
    char text[200];

    snprintf(text, sizeof(text), "the line ends after \"%.40s\" without %s",
             w->n ? w->word[w->n - 1].text : "", what);
    return fail_at(w, w->n ? w->word[w->n - 1].line : w->part[0].line, text);
}

static unsigned line_of(const struct sad_words *w, size_t at)
{
    unsigned i = w->n_parts;

    while (i > 1 && w->part[i - 1].at > at)
        i--;
    return w->part[i - 1].line;
}

static int cut_words(struct sad_words *w)
{
    static const char blanks[] = " \t\r\n";
    char *p = w->text + strspn(w->text, blanks);

    for (w->n = w->at = 0; *p; p += strspn(p, blanks)) {
        unsigned line = line_of(w, (size_t)(p - w->text));
        char quote = *p == '\'' || *p == '"' ? *p : 0;

        if (w->n == SAD_MAX_WORDS)
            return fail_at(w, line, "more than 100 words in a line");
        p += quote != 0;
        w->word[w->n].text = p;
        w->word[w->n++].line = line;
        p = quote ? strchr(p, quote) : p + strcspn(p, blanks);
        if (!p)
            return fail_at(w, line, "the quotation mark is never closed");
        if (*p == 0)
            break;
        *p++ = 0;
    }
    return 0;
}

int sad_read_line(struct sad_words *w, char **text, const char *end, unsigned *line)
{
    char *from = *text, *to = *text;
    bool more = from < end;

    if (!more)
        return 0;
    w->text = to;
    w->n_parts = 0;
    while (more) { // the joined line is never longer than its parts: it is joined in place
        char *newline = memchr(from, '\n', (size_t)(end - from));
        size_t len = (size_t)((newline ? newline : end) - from);
        char *next = newline ? newline + 1 : from + len;
        char *comment = memchr(from, '#', len);

        if (w->n_parts == SAD_MAX_PARTS)
            return fail_at(w, *line, "more than 256 continued lines");
        w->part[w->n_parts].at = (size_t)(to - w->text);
        w->part[w->n_parts++].line = ++*line;
        more = !comment && newline && len > 0 && newline[-1] == '\\' && next < end;
        if (comment)
            len = (size_t)(comment - from);
        else if (newline && len > 0 && newline[-1] == '\\')
            len--;
        memmove(to, from, len);
        to += len;
        from = next;
    }
    *text = from;
    // a joined line ends before its newline, or at the zero octet behind the file
    *to = 0;
    return cut_words(w) == 0 ? 1 : -EINVAL;
}

const char *sad_peek(const struct sad_words *w)
{
    return w->at < w->n ? w->word[w->at].text : NULL;
}

bool sad_accept(struct sad_words *w, const char *keyword)
{
    const char *word = sad_peek(w);

    if (!word || strcmp(word, keyword) != 0)
        return false;
    w->at++;
    return true;
}

bool sad_accept_command(struct sad_words *w, const char *command)
{
    const char *word = sad_peek(w);

    if (!word || !*word || strncmp(word, command, strlen(word)) != 0)
        return false;
    w->at++;
    return true;
}

int sad_word(struct sad_words *w, const char *expected, const char **out)
{
    *out = sad_peek(w);
    if (!*out)
        return sad_lacks(w, expected);
    w->at++;
    return 0;
}

static bool parse_number(const char *s, uint64_t *out, char **end)
{
    if (*s < '0' || *s > '9')
        return false;
    errno = 0;
    *out = strtoull(s, end, 0);
    return errno == 0;
}

int sad_number(struct sad_words *w, uint64_t max, uint64_t *out)
{
    const char *word;
    char *end;
    int ret = sad_word(w, "a number", &word);

    if (ret == 0 && (!parse_number(word, out, &end) || *end != 0 || *out > max))
        ret = sad_refuse(w, w->at - 1, "expected a number of at most %llu", (unsigned long long)max);
    return ret;
}

int sad_number32(struct sad_words *w, uint32_t *out)
{
    uint64_t v = 0;
    int ret = sad_number(w, UINT32_MAX, &v);

    *out = (uint32_t)v;
    return ret;
}

int sad_port(struct sad_words *w, uint16_t *out)
{
    uint64_t v = 0;
    int ret = sad_number(w, UINT16_MAX, &v);

    *out = (uint16_t)v;
    return ret;
}

int sad_size(struct sad_words *w, uint64_t *out)
{
    // in eighths of an octet, so that the bit units stay whole
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = {{"", 3},    {"b", 3},     {"k", 13}, {"kb", 13}, {"kbit", 10}, {"m", 23},
                 {"mb", 23}, {"mbit", 20}, {"g", 33}, {"gb", 33}, {"gbit", 30}};
    const char *word;
    char *end;
    uint64_t n;
    int ret = sad_word(w, "a size", &word);

    if (ret != 0)
        return ret;
    if (parse_number(word, &n, &end))
        for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
            if (strcasecmp(end, units[i].suffix) == 0 && n <= UINT64_MAX >> (units[i].shift - 3)) {
                *out = n << (units[i].shift - 3);
                return 0;
            }
    return sad_refuse(w, w->at - 1, "expected octets as a number, with k, m or g where wanted");
}

// One to four numbers with dots between them; octets left out are 0, as iproute2 has it (10.1/16).
static bool parse_dotted(const char *s, size_t len, uint32_t *address)
{
    const char *end = s + len;
    unsigned octets = 0;

    for (*address = 0; octets < 4; s++) {
        unsigned v = 0, digits = 0;
        for (; s < end && *s >= '0' && *s <= '9' && digits < 4; s++, digits++)
            v = v * 10 + (unsigned)(*s - '0');
        if (digits == 0 || v > 255)
            return false;
        *address |= v << (24 - 8 * octets++);
        if (s == end)
            return true;
        if (*s != '.')
            return false;
    }
    return false;
}

struct prefix {
    uint8_t family; // 0: any, all, default
    uint8_t address[16];
    unsigned bits;
};

static bool parse_address(const char *word, size_t len, struct prefix *p)
{
    char text[INET6_ADDRSTRLEN];
    uint32_t v4;

    p->family = memchr(word, ':', len) ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4;
    if (p->family == ESP_FAMILY_IPV4) {
        if (!parse_dotted(word, len, &v4))
            return false;
        wb_put32(p->address, v4);
        return true;
    }
    if (len >= sizeof(text))
        return false;
    memcpy(text, word, len);
    text[len] = 0;
    return inet_pton(AF_INET6, text, p->address) == 1;
}

static int parse_prefix(struct sad_words *w, struct prefix *p)
{
    const char *word, *slash;
    uint64_t bits, most;
    size_t len;
    char *end;
    int ret = sad_word(w, "an address", &word);

    memset(p, 0, sizeof(*p));
    if (ret != 0)
        return ret;
    if (strcmp(word, "any") == 0 || strcmp(word, "all") == 0 || strcmp(word, "default") == 0)
        return 0;
    len = strcspn(word, "/");
    slash = word[len] ? word + len : NULL;
    if (!parse_address(word, len, p))
        return sad_refuse(w, w->at - 1, "expected an IPv4 or IPv6 address");
    bits = most = p->family == ESP_FAMILY_IPV6 ? 128 : 32;
    if (slash && (!parse_number(slash + 1, &bits, &end) || *end != 0 || bits > most))
        return sad_refuse(w, w->at - 1, "expected a prefix length of 0 ... %u behind the address",
                          (unsigned)most);
    p->bits = (unsigned)bits;
    return 0;
}

int sad_end(struct sad_words *w, uint8_t out[16], bool *ipv6)
{
    const char *word = sad_peek(w);
    unsigned dots = 0;
    struct prefix p;
    int ret = parse_prefix(w, &p);

    if (ret != 0)
        return ret;
    for (; *word; word++)
        dots += *word == '.';
    if (p.family == 0 || (p.family == ESP_FAMILY_IPV4 && dots != 3)) // an end is written out in full
        return sad_refuse(w, w->at - 1, "expected an IPv4 or IPv6 address");
    memcpy(out, p.address, 16);
    *ipv6 = p.family == ESP_FAMILY_IPV6;
    return 0;
}

int sad_address(struct sad_words *w, uint8_t out[16])
{
    const char *word = sad_peek(w);
    bool ipv6;
    int ret = sad_end(w, out, &ipv6);

    if (ret == 0 && strchr(word, '/'))
        ret = sad_refuse(w, w->at - 1, "expected one address, not a prefix");
    return ret;
}

static void mask(uint8_t *address, unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned here = bits > 8 * i ? bits - 8 * i : 0;
        if (here < 8)
            address[i] &= (uint8_t)(0xff00u >> here);
    }
}

static int parse_side(struct sad_words *w, struct sad_selector *sel, uint8_t address[16], unsigned *bits)
{
    struct prefix p;
    int ret = parse_prefix(w, &p);

    if (ret != 0)
        return ret;
    if (p.family && sel->family && p.family != sel->family)
        return sad_refuse(w, w->at - 1, "expected the family of the selector's other address");
    sel->family = sel->family ? sel->family : p.family;
    memcpy(address, p.address, 16);
    mask(address, p.bits);
    *bits = p.bits;
    return 0;
}

static int protocol(struct sad_words *w, uint8_t *out)
{
    static const struct {
        const char *name;
        uint8_t number;
    } known[] = {{"tcp", 6},  {"udp", 17}, {"icmp", 1}, {"sctp", 132},    {"dccp", 33},     {"gre", 47},
                 {"esp", 50}, {"ah", 51},  {"ipip", 4}, {"udplite", 136}, {"ipv6-icmp", 58}};
    struct protoent *entry;
    const char *word;
    uint64_t n;
    char *end;
    int ret = sad_word(w, "a protocol", &word);

    if (ret != 0)
        return ret;
    if (parse_number(word, &n, &end) && *end == 0 && n <= 255) {
        *out = (uint8_t)n;
        return 0;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(word, known[i].name) == 0) {
            *out = known[i].number;
            return 0;
        }
    entry = getprotobyname(word);
    if (!entry || entry->p_proto < 0 || entry->p_proto > 255)
        return sad_refuse(w, w->at - 1, "expected a protocol's name or number");
    *out = (uint8_t)entry->p_proto;
    return 0;
}

static int once(struct sad_words *w, bool *seen)
{
    if (*seen)
        return sad_refuse(w, w->at, "is there twice");
    *seen = true;
    w->at++;
    return 0;
}

static int port_word(struct sad_words *w, bool *has, uint16_t *value, bool is_type,
                     struct sad_selector_seen *seen)
{
    uint64_t v = 0;
    int ret;

    if (!seen->ports && !seen->types)
        seen->word = w->at;
    *(is_type ? &seen->types : &seen->ports) = true;
    ret = once(w, has);
    if (ret == 0)
        ret = sad_number(w, is_type ? UINT8_MAX : UINT16_MAX, &v);
    *value = (uint16_t)v;
    return ret;
}

int sad_selector_word(struct sad_words *w, struct sad_selector *sel, struct sad_selector_seen *seen)
{
    const char *word = sad_peek(w);
    int ret = 0;

    if (!word)
        return 0;
    if (strcmp(word, "src") == 0) {
        ret = once(w, &seen->src);
        ret = ret ? ret : parse_side(w, sel, sel->src, &sel->src_bits);
    } else if (strcmp(word, "dst") == 0) {
        ret = once(w, &seen->dst);
        ret = ret ? ret : parse_side(w, sel, sel->dst, &sel->dst_bits);
    } else if (strcmp(word, "proto") == 0) {
        ret = once(w, &seen->proto);
        ret = ret ? ret : protocol(w, &sel->proto);
    } else if (strcmp(word, "sport") == 0 || strcmp(word, "type") == 0) {
        ret = port_word(w, &sel->has_sport, &sel->sport, *word == 't', seen);
    } else if (strcmp(word, "dport") == 0 || strcmp(word, "code") == 0) {
        ret = port_word(w, &sel->has_dport, &sel->dport, *word == 'c', seen);
    } else {
        return 0;
    }
    return ret ? ret : 1;
}

int sad_selector_check(struct sad_words *w, const struct sad_selector *sel,
                       const struct sad_selector_seen *seen)
{
    bool has_ports = sel->proto == 6 || sel->proto == 17 || sel->proto == 33 || sel->proto == 132;

    if (seen->ports && !has_ports)
        return sad_refuse(w, seen->word, "needs proto tcp, udp, sctp or dccp");
    if (seen->types && sel->proto != 1 && sel->proto != 58)
        return sad_refuse(w, seen->word, "needs proto icmp or ipv6-icmp");
    return 0;
}
