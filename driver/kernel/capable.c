// SPDX-License-Identifier: Apache-2.0
// What the kernel can do. What this engine can say is a table; what this kernel takes of it is asked of the
// kernel itself: an SA of such a kind, with a random key, between addresses that nobody has (RFC 5737, RFC
// 3849), is put there, and taken away again. What it has taken once is not asked again; a refusal is, as a
// module may be loaded meanwhile.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "driver/common/params.h"
#include "driver/kernel/kernel.h"

enum { SPI_LEAST = 256 }; // those below are reserved (RFC 4303 section 2.1)

void kernel_capabilities(struct esp_engine *e, struct esp_capabilities *caps)
{
    (void)e;
    *caps = (struct esp_capabilities){
        .flags = ESP_CAP_AUTONOMOUS | ESP_CAP_UDP_ENCAP | ESP_CAP_ESN | ESP_CAP_TFC,
        .protocols = 1u << ESP_PROTOCOL_ESP | 1u << ESP_PROTOCOL_AH,
        .modes = 1u << ESP_TRANSPORT | 1u << ESP_TUNNEL,
        .outer = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
        .inner = ESP_FAMILY_IPV4 | ESP_FAMILY_IPV6,
        .algs = (uint32_t)((1ull << ESP_ALG_COUNT) - 1),
        .integs = 1u << ESP_INTEG_NONE | 1u << ESP_INTEG_HMAC_SHA256_128 | 1u << ESP_INTEG_HMAC_SHA384_192 |
                  1u << ESP_INTEG_HMAC_SHA512_256 | 1u << ESP_INTEG_HMAC_SHA1_96,
        .window_max = ESP_MAX_WINDOW,
    };
}

static int check_offload(const struct esp_sa_params *p, struct esp_error *why)
{
    if ((unsigned)p->offload > ESP_OFFLOAD_AUTO)
        return esp_fail(why, -EINVAL, "offload", "it is none (0), crypto (1), packet (2) or auto (3), not %d",
                        (int)p->offload);
    if (p->offload != ESP_OFFLOAD_NONE && (!p->device[0] || !memchr(p->device, 0, sizeof(p->device))))
        return esp_fail(why, -EINVAL, "device", "offload needs the name of a network device");
    return 0;
}

int kernel_check(const struct esp_sa_params *p, struct esp_error *why)
{
    struct esp_capabilities caps;
    int rc = params_check(p, why);

    if (rc)
        return rc;
    kernel_capabilities(NULL, &caps);
    caps.queues = p->queue + 1u; // it has none, whoever's it is
    if ((rc = caps_check(&caps, "the kernel", p, why)) || (rc = check_offload(p, why)))
        return rc;
    if (p->group == 0)
        return esp_fail(why, -EINVAL, "group", "the kernel finds an SA for a policy by it: it must not be 0");
    // the IV is the number under a mask that the kernel alone knows
    if (p->seq != (p->dir == ESP_OUT ? 1 : 0))
        return esp_fail(why, -EOPNOTSUPP, "seq",
                        "the kernel makes its own IVs: an SA that was elsewhere does not come to it; rekey");
    if (p->dir == ESP_OUT && p->seq_limit != UINT64_MAX)
        return esp_fail(why, -EOPNOTSUPP, "seq_limit", "the kernel numbers by itself and knows no lease");
    return 0;
}

// ---- asking

enum { MODES = 2, FAMILIES = 2, ENCAPS = 2, ESNS = 2 };
enum { COMBINATIONS = ESP_ALG_COUNT * ESP_INTEG_COUNT * MODES * FAMILIES * ENCAPS * ESNS };

size_t kernel_known_octets(void)
{
    return COMBINATIONS / 8 + 1;
}

// AH is the one without a cipher.
static unsigned combination(const struct esp_sa_params *p)
{
    unsigned n = (unsigned)p->alg * ESP_INTEG_COUNT + (unsigned)p->integ;

    return (((n * MODES + (unsigned)p->mode) * FAMILIES + p->ipv6) * ENCAPS + p->udp_encap) * ESNS + p->esn;
}

static int make_trial(const struct esp_sa_params *p, struct esp_sa_params *t, struct esp_sa *id)
{
    const char *src = p->ipv6 ? "2001:db8::1" : "192.0.2.1", *dst = p->ipv6 ? "2001:db8::2" : "192.0.2.2";

    *t = (struct esp_sa_params){.protocol = p->protocol,
                                .dir = p->dir,
                                .mode = p->mode,
                                .alg = p->alg,
                                .integ = p->integ,
                                .esn = p->esn,
                                .udp_encap = p->udp_encap,
                                .sport = p->sport,
                                .dport = p->dport,
                                .ipv6 = p->ipv6,
                                .group = p->group,
                                .window = p->window};
    if (RAND_bytes((uint8_t *)&t->spi, sizeof(t->spi)) != 1 || RAND_bytes(t->key, sizeof(t->key)) != 1 ||
        RAND_bytes(t->integ_key, sizeof(t->integ_key)) != 1)
        return -EIO;
    t->spi = t->spi < SPI_LEAST ? t->spi + SPI_LEAST : t->spi;
    inet_pton(p->ipv6 ? AF_INET6 : AF_INET, src, t->src);
    inet_pton(p->ipv6 ? AF_INET6 : AF_INET, dst, t->dst);
    kernel_identify(id, t);
    return 0;
}

static int ask(struct kernel_engine *k, const struct esp_sa_params *p, struct esp_error *why)
{
    _Alignas(uint64_t) uint8_t buf[XFRM_REQUEST_MAX];
    struct esp_sa_params t;
    struct esp_sa id = {0};
    int rc = make_trial(p, &t, &id);

    if (rc)
        return esp_fail(why, rc, "kernel", "no random numbers are to be had");
    k->probes++;
    rc = kernel_say(k, xfrm_put_sa(buf, &t, &(struct xfrm_wish){.owner = k->owner}), "kernel", why);
    OPENSSL_cleanse(buf, sizeof(buf));
    OPENSSL_cleanse(&t, sizeof(t));
    if (rc == 0 || rc == -ETIMEDOUT)
        (void)kernel_say(k, xfrm_put_id(buf, XFRM_MSG_DELSA, &id), "kernel", NULL);
    return rc == -EEXIST ? 0 : rc; // somebody has just that SPI: such a one is there
}

int kernel_capable(struct esp_engine *e, const struct esp_sa_params *p, struct esp_error *why)
{
    struct kernel_engine *k = (struct kernel_engine *)e;
    int rc = kernel_check(p, why);
    unsigned at;

    if (rc)
        return rc;
    at = combination(p);
    if (k->known[at / 8] >> at % 8 & 1)
        return 0;
    if (ask(k, p, why))
        return -EOPNOTSUPP;
    k->known[at / 8] |= (uint8_t)(1u << at % 8);
    return 0;
}
