// SPDX-License-Identifier: Apache-2.0
// Checks of SA parameters that hold for every engine. RFC 4303 sections 3.3.3 and 3.4.3, RFC 4106
// section 3.1.
#include "driver/common/params.h"

#include <errno.h>
#include <string.h>

enum { UDP_ENCAP_PORT = 4500 };

struct alg_sizes alg_sizes(enum esp_alg a)
{
    static const struct alg_sizes sizes[ESP_ALG_COUNT] = {
#define X(sym, name, key, salt, iv, icv, align) [ESP_ALG_##sym] = {key, salt, iv, icv, align},
        ESP_ALG_LIST(X)
#undef X
    };

    return (unsigned)a < ESP_ALG_COUNT ? sizes[a] : (struct alg_sizes){0};
}

struct alg_sizes integ_sizes(enum esp_integ a)
{
    static const struct alg_sizes sizes[ESP_INTEG_COUNT] = {
#define X(sym, name, key, salt, iv, icv) [ESP_INTEG_##sym] = {key, salt, iv, icv, 0},
        ESP_INTEG_LIST(X)
#undef X
    };

    return (unsigned)a < ESP_INTEG_COUNT ? sizes[a] : (struct alg_sizes){0};
}

unsigned alg_key_octets(enum esp_alg a)
{
    return alg_sizes(a).key;
}

// A peer may send ESP in UDP although no NAT was found (RFC 7296 section 2.23): then to the port of RFC 3948.
uint16_t inbound_dport(uint16_t dport)
{
    return dport ? dport : UDP_ENCAP_PORT;
}

struct esp_endpoint params_endpoint(const struct esp_sa_params *p)
{
    struct esp_endpoint to = {
        .ipv6 = p->ipv6, .udp_encap = p->udp_encap, .sport = p->sport, .dport = p->dport};

    memcpy(to.src, p->src, sizeof(to.src));
    memcpy(to.dst, p->dst, sizeof(to.dst));
    return to;
}

int endpoint_check(const struct esp_endpoint *to, enum esp_dir dir, struct esp_error *err)
{
    if (to->udp_encap && dir == ESP_OUT && to->sport == 0)
        return esp_fail(err, -EINVAL, "sport", "UDP encapsulation needs a port from 1 to 65535");
    if (to->udp_encap && to->dport == 0)
        return esp_fail(err, -EINVAL, "dport", "UDP encapsulation needs a port from 1 to 65535");
    return 0;
}

uint64_t lease_low_mark(uint64_t seq, uint64_t limit)
{
    if (limit == UINT64_MAX)
        return UINT64_MAX;
    return limit - (limit - seq) / 4;
}

static int check_out(const struct esp_sa_params *p, struct esp_error *err)
{
    if (p->seq == 0)
        return esp_fail(err, -EINVAL, "seq", "the first outbound sequence number must be at least 1");
    if (p->seq_limit <= p->seq)
        return esp_fail(err, -EINVAL, "seq_limit", "the lease must end above its start %llu, it ends at %llu",
                        (unsigned long long)p->seq, (unsigned long long)p->seq_limit);
    if (p->ttl == 0 && p->mode == ESP_TUNNEL)
        return esp_fail(err, -EINVAL, "ttl", "the outer TTL must be 1 to 255");
    if (p->tfc && (p->mode == ESP_TRANSPORT || p->protocol == ESP_PROTOCOL_AH))
        return esp_fail(err, -EINVAL, "tfc",
                        "TFC padding is for ESP in tunnel mode, whose packets inside say how long they are "
                        "(RFC 4303 section 2.7)");
    return 0;
}

static int check_in(const struct esp_sa_params *p, struct esp_error *err)
{
    if (p->window > ESP_MAX_WINDOW)
        return esp_fail(err, -EINVAL, "window", "a replay window is 0 to %u packets, %u was asked for",
                        ESP_MAX_WINDOW, p->window);
    if (p->esn && p->window == 0) // the high half is inferred from the window (RFC 4303 section 2.2.1)
        return esp_fail(err, -EINVAL, "window",
                        "extended sequence numbers need a replay window of at least 1");
    if (!p->esn && p->seq > UINT32_MAX)
        return esp_fail(err, -EINVAL, "seq",
                        "without extended sequence numbers the highest received is below 2^32");
    return 0;
}

unsigned params_inner(const struct esp_sa_params *p)
{
    return p->inner ? p->inner : ESP_FAMILY_IPV4;
}

static const char *family_name(unsigned family)
{
    return family & ESP_FAMILY_IPV6 ? "IPv6" : "IPv4";
}

static int caps_check_families(const struct esp_capabilities *caps, const char *who,
                               const struct esp_sa_params *p, struct esp_error *why)
{
    unsigned outer = p->ipv6 ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4, lacks = params_inner(p) & ~caps->inner;

    if (!(caps->outer & outer))
        return esp_fail(why, -EOPNOTSUPP, "ipv6", "%s does not offer %s outer headers", who,
                        family_name(outer));
    if (p->mode == ESP_TUNNEL && lacks)
        return esp_fail(why, -EOPNOTSUPP, "inner", "%s does not offer %s packets inside", who,
                        family_name(lacks));
    return 0;
}

int caps_check(const struct esp_capabilities *caps, const char *who, const struct esp_sa_params *p,
               struct esp_error *why)
{
    if (!(caps->protocols & 1u << p->protocol))
        return esp_fail(why, -EOPNOTSUPP, "protocol", "%s does not offer %s", who,
                        p->protocol == ESP_PROTOCOL_AH ? "AH" : "ESP");
    if (p->queue >= caps->queues)
        return esp_fail(why, -EOPNOTSUPP, "queue", "%s has %u queues, number %u was asked for", who,
                        caps->queues, p->queue);
    if (!(caps->algs & 1u << p->alg))
        return esp_fail(why, -EOPNOTSUPP, "alg", "%s does not offer %s", who, esp_alg_name(p->alg));
    if (!(caps->integs & 1u << p->integ))
        return esp_fail(why, -EOPNOTSUPP, "integ", "%s does not offer integrity by %s", who,
                        esp_integ_name(p->integ));
    if (!(caps->modes & 1u << p->mode))
        return esp_fail(why, -EOPNOTSUPP, "mode", "%s does not offer %s mode", who,
                        p->mode == ESP_TUNNEL ? "tunnel" : "transport");
    if (p->udp_encap && !(caps->flags & ESP_CAP_UDP_ENCAP))
        return esp_fail(why, -EOPNOTSUPP, "udp_encap", "%s does not offer UDP encapsulation", who);
    if (p->esn && !(caps->flags & ESP_CAP_ESN))
        return esp_fail(why, -EOPNOTSUPP, "esn", "%s does not offer extended sequence numbers", who);
    if (p->dir == ESP_OUT && p->tfc && !(caps->flags & ESP_CAP_TFC))
        return esp_fail(why, -EOPNOTSUPP, "tfc", "%s does not offer TFC padding", who);
    if (p->dir == ESP_IN && p->window > caps->window_max)
        return esp_fail(why, -EOPNOTSUPP, "window", "%s offers anti-replay windows up to %u, not %u", who,
                        caps->window_max, p->window);
    return caps_check_families(caps, who, p, why);
}

// Each packet is vouched for exactly once: by the cipher, or by an integrity algorithm beside it.
static int check_esp_algs(const struct esp_sa_params *p, struct esp_error *err)
{
    if (!alg_sizes(p->alg).align)
        return esp_fail(err, -EINVAL, "alg", "unknown algorithm number %d", (int)p->alg);
    if (alg_sizes(p->alg).icv && p->integ)
        return esp_fail(err, -EINVAL, "integ", "%s has an ICV of its own, %s beside it has no place",
                        esp_alg_name(p->alg), esp_integ_name(p->integ));
    if (!alg_sizes(p->alg).icv && !p->integ)
        return esp_fail(err, -EINVAL, "integ",
                        "%s needs an integrity algorithm beside it (RFC 4303 section 3.2)",
                        esp_alg_name(p->alg));
    if (integ_sizes(p->integ).iv)
        return esp_fail(err, -EINVAL, "integ",
                        "%s is for AH; in ESP it is an algorithm of its own (RFC 4543)",
                        esp_integ_name(p->integ));
    return 0;
}

static int check_ah_algs(const struct esp_sa_params *p, struct esp_error *err)
{
    if (p->alg != ESP_ALG_NONE)
        return esp_fail(err, -EINVAL, "alg", "AH encrypts nothing (RFC 4302), %s was asked for",
                        esp_alg_name(p->alg));
    if (!p->integ)
        return esp_fail(err, -EINVAL, "integ", "AH needs an integrity algorithm");
    if (p->udp_encap)
        return esp_fail(err, -EINVAL, "udp_encap", "AH has no UDP encapsulation (RFC 3948 section 1)");
    return 0;
}

int params_check(const struct esp_sa_params *p, struct esp_error *err)
{
    struct esp_endpoint to;

    if ((p->version && p->version != ESP_PARAMS_VERSION) || (p->size && p->size != sizeof(*p)))
        return esp_fail(err, -EINVAL, "version",
                        "SA parameters of version %u with %u octets, expected version %d with %zu",
                        p->version, p->size, ESP_PARAMS_VERSION, sizeof(*p));
    if (p->protocol != ESP_PROTOCOL_ESP && p->protocol != ESP_PROTOCOL_AH)
        return esp_fail(err, -EINVAL, "protocol", "the protocol must be ESP (0) or AH (1), it is %d",
                        (int)p->protocol);
    if ((unsigned)p->integ >= ESP_INTEG_COUNT)
        return esp_fail(err, -EINVAL, "integ", "unknown integrity algorithm number %d", (int)p->integ);
    if (p->inner & ~(ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6))
        return esp_fail(err, -EINVAL, "inner",
                        "the families inside are IPv4 (1), IPv6 (2) or both (3), not %u", p->inner);
    if (p->dir != ESP_OUT && p->dir != ESP_IN)
        return esp_fail(err, -EINVAL, "dir", "the direction must be out (0) or in (1), it is %d",
                        (int)p->dir);
    if (p->mode != ESP_TRANSPORT && p->mode != ESP_TUNNEL)
        return esp_fail(err, -EINVAL, "mode", "the mode must be transport (0) or tunnel (1), it is %d",
                        (int)p->mode);
    if (p->protocol == ESP_PROTOCOL_AH ? check_ah_algs(p, err) : check_esp_algs(p, err))
        return -EINVAL;
    if (p->spi == 0)
        return esp_fail(err, -EINVAL, "spi", "SPI 0 is reserved (RFC 4303 section 2.1)");
    to = params_endpoint(p);
    if (endpoint_check(&to, p->dir, err))
        return -EINVAL;
    return p->dir == ESP_OUT ? check_out(p, err) : check_in(p, err);
}
