// SPDX-License-Identifier: Apache-2.0
// SAs between our parameters and messages of XFRM: what the kernel is told, attribute by attribute in the
// order of iproute2's, and whether what it says it has taken is that. Names and lengths of algorithms: RFC
// 4106, 4309, 4543, 3686, 7634 as the kernel calls them (net/xfrm/xfrm_algo.c).
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "driver/common/params.h"
#include "driver/kernel/kernel.h"

enum { ENCAP_ESPINUDP = 2, OUT_WINDOW = 32 };

// ---- algorithms

static const char *cipher_name(enum esp_alg a)
{
    switch (a) {
    case ESP_ALG_NULL: return "ecb(cipher_null)";
    case ESP_ALG_CHACHA20_POLY1305: return "rfc7539esp(chacha20,poly1305)";
    case ESP_ALG_AES128_CBC:
    case ESP_ALG_AES192_CBC:
    case ESP_ALG_AES256_CBC: return "cbc(aes)";
    case ESP_ALG_AES128_CTR:
    case ESP_ALG_AES192_CTR:
    case ESP_ALG_AES256_CTR: return "rfc3686(ctr(aes))";
    case ESP_ALG_AES128_GMAC:
    case ESP_ALG_AES192_GMAC:
    case ESP_ALG_AES256_GMAC: return "rfc4543(gcm(aes))";
    default: return alg_sizes(a).salt == 3 ? "rfc4309(ccm(aes))" : "rfc4106(gcm(aes))";
    }
}

static const char *integ_kernel_name(enum esp_integ i)
{
    switch (i) {
    case ESP_INTEG_HMAC_SHA256_128: return "hmac(sha256)";
    case ESP_INTEG_HMAC_SHA384_192: return "hmac(sha384)";
    case ESP_INTEG_HMAC_SHA512_256: return "hmac(sha512)";
    default: return "hmac(sha1)";
    }
}

// struct xfrm_algo has no length of an ICV; it is the one attribute of these that is that much shorter.
static void put_algorithm(struct nlmsghdr *h, uint16_t type, const char *name, unsigned icv_bits,
                          const uint8_t *key, unsigned octets, const uint8_t *salt, unsigned more)
{
    struct nlattr *a = mnl_nlmsg_get_payload_tail(h);
    size_t head = type == XFRMA_ALG_CRYPT ? sizeof(struct xfrm_algo) : sizeof(struct xfrm_algo_aead);
    uint8_t *at = mnl_attr_get_payload(a);
    uint32_t key_bits = (octets + more) * 8, icv = icv_bits;

    a->nla_type = type;
    a->nla_len = (uint16_t)(MNL_ATTR_HDRLEN + head + octets + more);
    memset(at, 0, MNL_ALIGN(head + octets + more));
    memcpy(at, name, strlen(name));
    memcpy(at + 64, &key_bits, sizeof(key_bits));
    if (type != XFRMA_ALG_CRYPT)
        memcpy(at + 68, &icv, sizeof(icv));
    memcpy(at + head, key, octets);
    memcpy(at + head + octets, salt, more);
    h->nlmsg_len += MNL_ALIGN(a->nla_len);
}

static void put_algorithms(struct nlmsghdr *h, const struct esp_sa_params *p)
{
    struct alg_sizes a = alg_sizes(p->alg), i = integ_sizes(p->integ);

    if (p->protocol == ESP_PROTOCOL_ESP)
        put_algorithm(h, a.icv ? XFRMA_ALG_AEAD : XFRMA_ALG_CRYPT, cipher_name(p->alg), a.icv * 8u, p->key,
                      a.key, p->salt, a.salt);
    if (p->integ != ESP_INTEG_NONE)
        put_algorithm(h, XFRMA_ALG_AUTH_TRUNC, integ_kernel_name(p->integ), i.icv * 8u, p->integ_key, i.key,
                      p->salt, 0);
}

// ---- the rest

void xfrm_address(xfrm_address_t *to, const uint8_t from[16], bool ipv6)
{
    memset(to, 0, sizeof(*to));
    memcpy(to, from, ipv6 ? 16 : 4);
}

static uint64_t limit(uint64_t n)
{
    return n ? n : XFRM_INF;
}

static uint8_t flags(const struct esp_sa_params *p)
{
    uint8_t f = 0;

    if (p->no_ecn)
        f |= XFRM_STATE_NOECN;
    if (p->dir == ESP_IN && p->dscp_decap)
        f |= XFRM_STATE_DECAP_DSCP;
    if (p->dir == ESP_OUT && p->df_clear)
        f |= XFRM_STATE_NOPMTUDISC;
    if (p->mode == ESP_TUNNEL) // what is inside is its policy's business, of either family
        f |= XFRM_STATE_AF_UNSPEC;
    if (p->protocol == ESP_PROTOCOL_AH && !p->ipv6) // RFC 4302 section 3.3.3.2.1; not the kernel's default
        f |= XFRM_STATE_ALIGN4;
    if (p->esn)
        f |= XFRM_STATE_ESN;
    return f;
}

// With extended numbers the kernel wants a window of what it sends by, too, and never looks at it.
static uint32_t window(const struct esp_sa_params *p)
{
    if (p->dir == ESP_IN)
        return p->window;
    return p->esn ? OUT_WINDOW : 0;
}

static bool long_replay(const struct esp_sa_params *p)
{
    return p->esn || window(p) > 32;
}

static void put_info(struct nlmsghdr *h, const struct esp_sa_params *p, const struct xfrm_wish *w)
{
    struct xfrm_usersa_info i;

    memset(&i, 0, sizeof(i)); // its holes too: they go to the kernel
    xfrm_address(&i.id.daddr, p->dst, p->ipv6);
    xfrm_address(&i.saddr, p->src, p->ipv6);
    i.id.spi = htonl(p->spi);
    i.id.proto = p->protocol == ESP_PROTOCOL_AH ? IPPROTO_AH : IPPROTO_ESP;
    i.sel.user = w->owner;
    i.family = p->ipv6 ? AF_INET6 : AF_INET;
    i.mode = p->mode == ESP_TUNNEL ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT;
    i.reqid = p->group;
    i.flags = flags(p);
    i.replay_window = long_replay(p) ? 0 : (uint8_t)window(p);
    i.lft.soft_byte_limit = limit(p->soft_bytes);
    i.lft.hard_byte_limit = limit(p->hard_bytes);
    i.lft.soft_packet_limit = limit(p->soft_packets);
    i.lft.hard_packet_limit = limit(p->hard_packets);
    // 64-bit members, in a message of 32-bit words
    memcpy(mnl_nlmsg_put_extra_header(h, sizeof(i)), &i, sizeof(i));
}

static void put_encap(struct nlmsghdr *h, const struct esp_sa_params *p)
{
    struct xfrm_encap_tmpl e;

    memset(&e, 0, sizeof(e));
    e.encap_type = ENCAP_ESPINUDP;
    e.encap_sport = htons(p->sport);
    e.encap_dport = htons(p->dport);
    mnl_attr_put(h, XFRMA_ENCAP, sizeof(e), &e);
}

static void put_offload(struct nlmsghdr *h, const struct esp_sa_params *p, const struct xfrm_wish *w)
{
    struct xfrm_user_offload o;

    memset(&o, 0, sizeof(o));
    o.ifindex = (int)w->ifindex;
    o.flags = (uint8_t)((p->dir == ESP_IN ? XFRM_OFFLOAD_INBOUND : 0) |
                        (w->offload == ESP_OFFLOAD_PACKET ? XFRM_OFFLOAD_PACKET : 0));
    mnl_attr_put(h, XFRMA_OFFLOAD_DEV, sizeof(o), &o);
}

// The bitmap, of nothing received, need not be there (verify_replay in the kernel).
static void put_replay(struct nlmsghdr *h, const struct esp_sa_params *p)
{
    const struct xfrm_replay_state_esn r = {.bmp_len = (window(p) + 31) / 32, .replay_window = window(p)};

    mnl_attr_put(h, XFRMA_REPLAY_ESN_VAL, sizeof(r), &r);
}

struct nlmsghdr *xfrm_put_sa(void *buf, const struct esp_sa_params *p, const struct xfrm_wish *w)
{
    const struct xfrm_mark mark = {p->mark, p->mark_mask};
    struct nlmsghdr *h;

    memset(buf, 0, XFRM_REQUEST_MAX);
    h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = XFRM_MSG_NEWSA;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    put_info(h, p, w);
    put_algorithms(h, p);
    if (p->udp_encap)
        put_encap(h, p);
    if (p->mark_mask)
        mnl_attr_put(h, XFRMA_MARK, sizeof(mark), &mark);
    if (p->dir == ESP_OUT && p->no_dscp_copy)
        mnl_attr_put_u32(h, XFRMA_SA_EXTRA_FLAGS, XFRM_SA_XFLAG_DONT_ENCAP_DSCP);
    if (w->offload != ESP_OFFLOAD_NONE)
        put_offload(h, p, w);
    if (p->if_id)
        mnl_attr_put_u32(h, XFRMA_IF_ID, p->if_id);
    if (long_replay(p))
        put_replay(h, p);
    if (p->dir == ESP_OUT && p->tfc)
        mnl_attr_put_u32(h, XFRMA_TFCPAD, p->tfc);
    return h;
}

struct nlmsghdr *xfrm_put_id(void *buf, uint16_t type, const struct esp_sa *sa)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    memcpy(mnl_nlmsg_put_extra_header(h, sizeof(sa->id)), &sa->id, sizeof(sa->id));
    if (sa->mark.m)
        mnl_attr_put(h, XFRMA_MARK, sizeof(sa->mark), &sa->mark);
    return h;
}

// ---- what the kernel has taken

const void *xfrm_attr(const struct nlmsghdr *h, size_t fixed, uint16_t type, size_t size)
{
    const struct nlattr *a;

    if (mnl_nlmsg_get_payload_len(h) < fixed)
        return NULL;
    mnl_attr_for_each(a, h, fixed)
    {
        if (mnl_attr_get_type(a) == type)
            return mnl_attr_get_payload_len(a) >= size ? mnl_attr_get_payload(a) : NULL;
    }
    return NULL;
}

static int other(struct esp_error *why, const char *field)
{
    return esp_fail(why, -EPROTO, field, "the kernel says that it has taken another one than it was told");
}

static int same_info(const struct xfrm_usersa_info *a, const struct xfrm_usersa_info *b,
                     struct esp_error *why)
{
    if (!same_octets(&a->id.daddr, &b->id.daddr, sizeof(a->id.daddr)) || a->id.spi != b->id.spi ||
        a->id.proto != b->id.proto)
        return other(why, "spi");
    if (!same_octets(&a->saddr, &b->saddr, sizeof(a->saddr)) || a->family != b->family)
        return other(why, "src");
    if (a->mode != b->mode)
        return other(why, "mode");
    if (a->reqid != b->reqid)
        return other(why, "group");
    if ((a->flags ^ b->flags) & XFRM_STATE_ESN)
        return other(why, "esn");
    if (a->flags != b->flags)
        return other(why, "flags");
    if (a->lft.soft_byte_limit != b->lft.soft_byte_limit || a->lft.hard_byte_limit != b->lft.hard_byte_limit)
        return other(why, "hard_bytes");
    if (a->lft.soft_packet_limit != b->lft.soft_packet_limit ||
        a->lft.hard_packet_limit != b->lft.hard_packet_limit)
        return other(why, "hard_packets");
    return 0;
}

struct checked { // an attribute, what it holds, and how much of it is compared (0: all)
    uint16_t type;
    const char *field;
    uint16_t octets;
};

// A kernel that is locked down tells of no key: keys are not compared, their lengths are.
static const struct checked checks[] = {
    {XFRMA_ALG_AEAD, "alg", sizeof(struct xfrm_algo_aead)},
    {XFRMA_ALG_CRYPT, "alg", sizeof(struct xfrm_algo)},
    {XFRMA_ALG_AUTH_TRUNC, "integ", sizeof(struct xfrm_algo_auth)},
    {XFRMA_ENCAP, "udp_encap", 0},
    {XFRMA_MARK, "mark", 0},
    {XFRMA_SA_EXTRA_FLAGS, "no_dscp_copy", 0},
    {XFRMA_IF_ID, "if_id", 0},
    {XFRMA_REPLAY_ESN_VAL, "window", sizeof(struct xfrm_replay_state_esn)},
    {XFRMA_TFCPAD, "tfc", 0},
};

static const struct nlattr *find_attr(const struct nlmsghdr *h, uint16_t type)
{
    const struct nlattr *a;

    mnl_attr_for_each(a, h, sizeof(struct xfrm_usersa_info))
    {
        if (mnl_attr_get_type(a) == type)
            return a;
    }
    return NULL;
}

static bool same_attr(const struct checked *c, const struct nlattr *a, const struct nlattr *b)
{
    uint16_t n = mnl_attr_get_payload_len(a), m = mnl_attr_get_payload_len(b);

    if (c->octets ? n < c->octets || m < c->octets : n != m)
        return false;
    return memcmp(mnl_attr_get_payload(a), mnl_attr_get_payload(b), c->octets ? c->octets : n) == 0;
}

static enum esp_offload offload_of(const struct nlmsghdr *h)
{
    struct xfrm_user_offload o;
    const void *at = xfrm_attr(h, sizeof(struct xfrm_usersa_info), XFRMA_OFFLOAD_DEV, sizeof(o));

    if (!at)
        return ESP_OFFLOAD_NONE;
    memcpy(&o, at, sizeof(o));
    return o.flags & XFRM_OFFLOAD_PACKET ? ESP_OFFLOAD_PACKET : ESP_OFFLOAD_CRYPTO;
}

int xfrm_same_sa(const struct nlmsghdr *sent, const struct nlmsghdr *got, enum esp_offload *offload,
                 struct esp_error *why)
{
    struct xfrm_usersa_info a, b;
    int rc;

    if (mnl_nlmsg_get_payload_len(got) < sizeof(b))
        return other(why, "spi");
    memcpy(&a, mnl_nlmsg_get_payload(sent), sizeof(a));
    memcpy(&b, mnl_nlmsg_get_payload(got), sizeof(b));
    if ((rc = same_info(&a, &b, why)))
        return rc;
    for (unsigned i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        const struct nlattr *s = find_attr(sent, checks[i].type), *g = find_attr(got, checks[i].type);
        if (!s != !g || (s && !same_attr(&checks[i], s, g)))
            return other(why, checks[i].field);
    }
    if (!find_attr(sent, XFRMA_REPLAY_ESN_VAL) && a.replay_window != b.replay_window)
        return other(why, "window");
    *offload = offload_of(got);
    return 0;
}

static uint64_t last_seq(const struct nlmsghdr *h, enum esp_dir dir)
{
    const size_t fixed = sizeof(struct xfrm_usersa_info);
    struct xfrm_replay_state_esn e;
    struct xfrm_replay_state r;
    const void *at = xfrm_attr(h, fixed, XFRMA_REPLAY_ESN_VAL, sizeof(e));

    if (at) {
        memcpy(&e, at, sizeof(e));
        return dir == ESP_OUT ? (uint64_t)e.oseq_hi << 32 | e.oseq : (uint64_t)e.seq_hi << 32 | e.seq;
    }
    if (!(at = xfrm_attr(h, fixed, XFRMA_REPLAY_VAL, sizeof(r))))
        return 0;
    memcpy(&r, at, sizeof(r));
    return dir == ESP_OUT ? r.oseq : r.seq;
}

bool xfrm_get_stats(const struct nlmsghdr *got, enum esp_dir dir, struct esp_sa_stats *out)
{
    struct xfrm_usersa_info i;

    if (mnl_nlmsg_get_payload_len(got) < sizeof(i))
        return false;
    memcpy(&i, mnl_nlmsg_get_payload(got), sizeof(i));
    *out = (struct esp_sa_stats){.last_seq = last_seq(got, dir),
                                 .packets = i.curlft.packets,
                                 .bytes = i.curlft.bytes,
                                 .drops = (uint64_t)i.stats.replay_window + i.stats.replay +
                                          i.stats.integrity_failed,
                                 .forged = i.stats.integrity_failed};
    return true;
}
