// SPDX-License-Identifier: Apache-2.0
// `xfrm state add ...`: the words of iproute2 6.1 that this build honours (AES-GCM-16 and
// ChaCha20-Poly1305, tunnel and transport mode, IPv4 and IPv6, UDP encapsulation, ESN, replay windows). Every
// other word is refused by line and word.
#include "sim/workbench/sad_words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/workbench/util.h"

enum { MAX_WINDOW = 1024 };

struct state_parse {
    struct sad_words *w;
    struct sad_state st;
    bool has_src, has_dst, has_proto, has_spi, has_alg, has_mode, src_ipv6, af_unspec;
    unsigned dst_word, sel_word;
    unsigned hi_word; // 1 + index of replay-seq-hi or replay-oseq-hi with a non-zero value
    unsigned esn_word, oseq_word;
    uint32_t seq, seq_hi, oseq, oseq_hi;
};

static int id_once(struct state_parse *p, bool *seen)
{
    if (*seen)
        return sad_refuse(p->w, p->w->at - 1, "is there twice");
    *seen = true;
    return 0;
}

static int parse_src(struct state_parse *p)
{
    int ret = id_once(p, &p->has_src);
    return ret ? ret : sad_end(p->w, p->st.src, &p->src_ipv6);
}

static int parse_dst(struct state_parse *p)
{
    int ret = id_once(p, &p->has_dst);
    p->dst_word = p->w->at;
    return ret ? ret : sad_end(p->w, p->st.dst, &p->st.ipv6);
}

static int parse_proto(struct state_parse *p)
{
    const char *word;
    int ret = id_once(p, &p->has_proto);

    if (ret == 0)
        ret = sad_word(p->w, "a protocol", &word);
    if (ret == 0 && strcmp(word, "esp") != 0)
        ret = sad_refuse(p->w, p->w->at - 1, "expected proto esp");
    return ret;
}

static int parse_spi(struct state_parse *p)
{
    int ret = id_once(p, &p->has_spi);

    if (ret == 0)
        ret = sad_number32(p->w, &p->st.spi);
    if (ret == 0 && p->st.spi == 0)
        ret = sad_refuse(p->w, p->w->at - 1, "SPI 0 is reserved (RFC 4303 section 2.1)");
    return ret;
}

static int parse_mode(struct state_parse *p)
{
    const char *word;
    int ret = sad_word(p->w, "a mode", &word);

    if (ret == 0 && strcmp(word, "tunnel") != 0 && strcmp(word, "transport") != 0)
        ret = sad_refuse(p->w, p->w->at - 1, "this build offers mode tunnel and mode transport only");
    if (ret == 0)
        p->st.mode = strcmp(word, "tunnel") == 0 ? ESP_TUNNEL : ESP_TRANSPORT;
    p->has_mode = true;
    return ret;
}

static enum esp_alg alg_of(size_t octets, bool chacha)
{
    if (chacha)
        return octets == 36 ? ESP_ALG_CHACHA20_POLY1305 : ESP_ALG_NONE;
    return octets == 20   ? ESP_ALG_AES128_GCM16
           : octets == 28 ? ESP_ALG_AES192_GCM16
           : octets == 36 ? ESP_ALG_AES256_GCM16
                          : ESP_ALG_NONE;
}

// Key and salt: as many octets as one of the AEAD's key sizes and 4.
static int parse_key(struct state_parse *p, bool chacha)
{
    uint8_t octets[ESP_MAX_KEY + 4];
    const char *word;
    size_t len = 0;
    int ret = sad_word(p->w, "a key", &word);

    if (ret != 0)
        return ret;
    if (strncmp(word, "0x", 2) != 0 || wb_hex(word + 2, octets, sizeof(octets), &len) != 0 ||
        (p->st.alg = alg_of(len, chacha)) == ESP_ALG_NONE) {
        p->w->word[p->w->at - 1].text = "KEY"; // the message must not repeat it
        explicit_bzero(octets, sizeof(octets));
        return sad_refuse(p->w, p->w->at - 1,
                          chacha ? "expected 0x and 36 octets: the key, then 4 of salt"
                                 : "expected 0x and 20, 28 or 36 octets: the key, then 4 of salt");
    }
    p->st.key_len = (unsigned)len - 4;
    memcpy(p->st.key, octets, p->st.key_len);
    memcpy(p->st.salt, octets + p->st.key_len, 4);
    explicit_bzero(octets, sizeof(octets));
    return 0;
}

static int parse_aead(struct state_parse *p)
{
    const char *name;
    uint64_t icv;
    bool chacha = false;
    int ret = id_once(p, &p->has_alg);

    if (ret == 0)
        ret = sad_word(p->w, "an algorithm", &name);
    if (ret == 0)
        chacha = strcmp(name, "rfc7539esp(chacha20,poly1305)") == 0;
    if (ret == 0 && !chacha && strcmp(name, "rfc4106(gcm(aes))") != 0)
        ret = sad_refuse(p->w, p->w->at - 1,
                         "this build offers rfc4106(gcm(aes)) and rfc7539esp(chacha20,poly1305) only");
    if (ret == 0)
        ret = parse_key(p, chacha);
    if (ret == 0)
        ret = sad_number(p->w, 65535, &icv);
    if (ret == 0 && icv != 128)
        ret = sad_refuse(p->w, p->w->at - 1, "this build offers an ICV of 128 bits only");
    return ret;
}

static int parse_other_alg(struct state_parse *p)
{
    return sad_refuse(p->w, p->w->at - 1,
                      "this build offers aead 'rfc4106(gcm(aes))' and 'rfc7539esp(chacha20,poly1305)' only");
}

static int parse_reqid(struct state_parse *p)
{
    return sad_number32(p->w, &p->st.reqid);
}

static int parse_window(struct state_parse *p)
{
    uint64_t n = 0;
    int ret = sad_number(p->w, UINT32_MAX, &n);

    if (ret == 0 && n > MAX_WINDOW)
        ret = sad_refuse(p->w, p->w->at - 1, "expected a window of 0 ... 1024 packets");
    p->st.window = (uint32_t)n;
    return ret;
}

static int parse_seq(struct state_parse *p)
{
    return sad_number32(p->w, &p->seq);
}

static int parse_oseq(struct state_parse *p)
{
    p->oseq_word = p->w->at - 1;
    return sad_number32(p->w, &p->oseq);
}

static int parse_hi(struct state_parse *p, uint32_t *out)
{
    int ret = sad_number32(p->w, out);

    if (ret == 0 && *out != 0)
        p->hi_word = p->w->at - 1; // the keyword's index + 1
    return ret;
}

static int parse_seq_hi(struct state_parse *p)
{
    return parse_hi(p, &p->seq_hi);
}

static int parse_oseq_hi(struct state_parse *p)
{
    return parse_hi(p, &p->oseq_hi);
}

static int parse_flag(struct state_parse *p)
{
    bool any = false;

    for (;; any = true) {
        if (sad_accept(p->w, "esn")) {
            p->st.esn = true;
            p->esn_word = p->w->at - 1;
        } else if (sad_accept(p->w, "noecn")) {
            p->st.no_ecn = true;
        } else if (sad_accept(p->w, "decap-dscp")) {
            p->st.dscp_decap = true;
        } else if (sad_accept(p->w, "nopmtudisc")) {
            p->st.df_clear = true;
        } else if (sad_accept(p->w, "af-unspec")) {
            p->af_unspec = true;
        } else if (!sad_accept(p->w, "align4")) { // changes no octet of ESP over IPv4, nor ours over IPv6
            break;
        }
    }
    if (any)
        return 0;
    return sad_peek(p->w) ? sad_refuse(p->w, p->w->at,
                                       "expected esn, noecn, decap-dscp, nopmtudisc, af-unspec or align4")
                          : sad_lacks(p->w, "a flag");
}

static int parse_extra_flag(struct state_parse *p)
{
    if (!sad_peek(p->w))
        return sad_lacks(p->w, "a flag");
    if (!sad_accept(p->w, "dont-encap-dscp"))
        return sad_refuse(p->w, p->w->at, "expected dont-encap-dscp");
    p->st.no_dscp_copy = true;
    return 0;
}

static int parse_sel(struct state_parse *p)
{
    struct sad_selector_seen seen = {0};
    bool any = false;
    int ret;

    if (p->st.has_sel)
        return sad_refuse(p->w, p->w->at - 1, "is there twice");
    p->st.has_sel = true;
    p->sel_word = p->w->at - 1;
    while ((ret = sad_selector_word(p->w, &p->st.sel, &seen)) > 0)
        any = true;
    if (ret < 0)
        return ret;
    if (!any)
        return sad_peek(p->w) ? sad_refuse(p->w, p->w->at,
                                           "expected a selector: src, dst, proto, sport, dport, type, code")
                              : sad_lacks(p->w, "a selector");
    return sad_selector_check(p->w, &p->st.sel, &seen);
}

static int parse_limit(struct state_parse *p)
{
    if (!sad_peek(p->w))
        return sad_lacks(p->w, "a limit");
    if (sad_accept(p->w, "byte-soft"))
        return sad_size(p->w, &p->st.soft_bytes);
    if (sad_accept(p->w, "byte-hard"))
        return sad_size(p->w, &p->st.hard_bytes);
    if (sad_accept(p->w, "packet-soft"))
        return sad_number(p->w, UINT64_MAX, &p->st.soft_packets);
    if (sad_accept(p->w, "packet-hard"))
        return sad_number(p->w, UINT64_MAX, &p->st.hard_packets);
    if (strncmp(sad_peek(p->w), "time-", 5) == 0)
        return sad_refuse(p->w, p->w->at, "a replay has no clock: only byte and packet limits are offered");
    return sad_refuse(p->w, p->w->at, "expected byte-soft, byte-hard, packet-soft or packet-hard");
}

static int parse_encap(struct state_parse *p)
{
    uint8_t ignored[16]; // the original address: checksums of transport mode are made anew without it
    int ret;

    if (!sad_peek(p->w))
        return sad_lacks(p->w, "an encapsulation");
    if (!sad_accept(p->w, "espinudp"))
        return sad_refuse(p->w, p->w->at, "this build offers encap espinudp only");
    p->st.udp = true;
    ret = sad_port(p->w, &p->st.sport);
    if (ret == 0)
        ret = sad_port(p->w, &p->st.dport);
    if (ret == 0 && (p->st.sport == 0 || p->st.dport == 0))
        ret = sad_refuse(p->w, p->w->at - 1, "expected ports 1 ... 65535");
    return ret ? ret : sad_address(p->w, ignored);
}

static int parse_tfcpad(struct state_parse *p)
{
    uint64_t n = 0;
    int ret = sad_number(p->w, UINT16_MAX, &n);

    p->st.tfc = (uint16_t)n;
    return ret;
}

static const struct {
    const char *word;
    int (*parse)(struct state_parse *p);
} keywords[] = {
    {"src", parse_src},
    {"dst", parse_dst},
    {"proto", parse_proto},
    {"spi", parse_spi},
    {"mode", parse_mode},
    {"aead", parse_aead},
    {"enc", parse_other_alg},
    {"auth", parse_other_alg},
    {"auth-trunc", parse_other_alg},
    {"comp", parse_other_alg},
    {"reqid", parse_reqid},
    {"replay-window", parse_window},
    {"replay-seq", parse_seq},
    {"replay-oseq", parse_oseq},
    {"replay-seq-hi", parse_seq_hi},
    {"replay-oseq-hi", parse_oseq_hi},
    {"flag", parse_flag},
    {"extra-flag", parse_extra_flag},
    {"sel", parse_sel},
    {"limit", parse_limit},
    {"encap", parse_encap},
    {"tfcpad", parse_tfcpad},
};

static int parse_word(struct state_parse *p)
{
    const char *word = sad_peek(p->w);

    p->w->at++;
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (strcmp(word, keywords[i].word) == 0)
            return keywords[i].parse(p);
    return sad_refuse(p->w, p->w->at - 1, "not honoured in xfrm state");
}

static int complete(struct state_parse *p)
{
    if (!p->has_src)
        return sad_lacks(p->w, "src ADDRESS");
    if (!p->has_dst)
        return sad_lacks(p->w, "dst ADDRESS");
    if (!p->has_proto)
        return sad_lacks(p->w, "proto esp");
    if (!p->has_spi)
        return sad_lacks(p->w, "spi NUMBER");
    if (!p->has_alg)
        return sad_lacks(p->w, "aead 'rfc4106(gcm(aes))' KEY 128");
    if (!p->has_mode)
        return sad_lacks(p->w, "mode tunnel or mode transport (iproute2's default, which few mean)");
    if (p->src_ipv6 != p->st.ipv6)
        return sad_refuse(p->w, p->dst_word, "expected an address of the family of src");
    if (p->st.mode == ESP_TRANSPORT && p->st.sel.family &&
        p->st.sel.family != (p->st.ipv6 ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4))
        return sad_refuse(p->w, p->sel_word, "in transport mode the selector has the family of the ends");
    if (p->st.esn && p->st.window == 0)
        return sad_refuse(p->w, p->esn_word, "flag esn needs a replay-window above 0");
    if (!p->st.esn && p->hi_word)
        return sad_refuse(p->w, p->hi_word - 1, "needs flag esn");
    if (p->oseq_hi == UINT32_MAX && p->oseq >= UINT32_MAX - 1)
        return sad_refuse(p->w, p->oseq_word, "leaves no sequence number to use");
    return 0;
}

// Which families may be inside, as the kernel has it: the selector's; without one the ends', or both with
// flag af-unspec.
static void set_inner(struct state_parse *p)
{
    uint8_t ends = p->st.ipv6 ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4;

    if (p->st.mode == ESP_TRANSPORT)
        p->st.inner = ends;
    else if (p->st.sel.family)
        p->st.inner = p->st.sel.family;
    else
        p->st.inner = p->af_unspec ? ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6 : ends;
}

// Puts the state into the list. `add` refuses one that is there; `update` replaces it, and adds where there
// is none.
static int store(struct state_parse *p, struct sad *s, bool update)
{
    struct sad_state *bigger;

    for (size_t i = 0; i < s->n_states; i++) {
        struct sad_state *old = &s->states[i];
        if (old->spi != p->st.spi || old->ipv6 != p->st.ipv6 || memcmp(old->dst, p->st.dst, 16) != 0)
            continue;
        if (!update)
            return sad_refuse(p->w, 2, "the state with this dst, spi and proto is there since line %u",
                              old->line);
        *old = p->st;
        return 0;
    }
    bigger = malloc((s->n_states + 1) * sizeof(*bigger)); // not realloc: it would leave keys behind
    if (!bigger)
        return esp_fail(p->w->err, -ENOMEM, p->w->file, "out of memory");
    if (s->n_states) {
        memcpy(bigger, s->states, s->n_states * sizeof(*bigger));
        explicit_bzero(s->states, s->n_states * sizeof(*bigger));
    }
    free(s->states);
    s->states = bigger;
    s->states[s->n_states++] = p->st;
    return 0;
}

int sad_parse_state(struct sad_words *w, struct sad *s, bool update)
{
    struct state_parse p = {.w = w, .st = {.line = w->word[0].line}};
    int ret = 0;

    while (ret == 0 && sad_peek(w))
        ret = parse_word(&p);
    if (ret == 0)
        ret = complete(&p);
    set_inner(&p);
    p.st.last_in = (uint64_t)p.seq_hi << 32 | p.seq;
    p.st.last_out = (uint64_t)p.oseq_hi << 32 | p.oseq;
    if (ret == 0)
        ret = store(&p, s, update);
    explicit_bzero(&p, sizeof(p));
    return ret;
}
