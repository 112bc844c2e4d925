// SPDX-License-Identifier: Apache-2.0
// Cookies against floods of IKE_SA_INIT (RFC 7296 section 2.6): a version octet and a MAC over nonce, address
// and SPI, whose key is the secret. What one costs is what a flood costs. Two secrets live at a time, so that
// a cookie outlasts one change.
#include "ctrl/ike/cookie.h"

#include <openssl/crypto.h>

#include "ctrl/crypto/crypto.h"
#include "ctrl/ike/ike.h"
#include "ctrl/ike/kex.h"
#include "ctrl/ike/room.h"
#include "ctrl/ike/strangers.h"
#include "ctrl/lib/hash.h"

enum { SECRET_MS = 60 * 1000 };

uint8_t cookie_version(struct ike *ike)
{
    uint64_t now = loop_now(ike->loop);
    if (ike->secret_version && now - ike->secret_at < SECRET_MS)
        return ike->secret_version;
    bool stale = !ike->secret_version || now - ike->secret_at >= 2u * SECRET_MS;
    ike->secret_version = ike->secret_version == 255 ? 1 : (uint8_t)(ike->secret_version + 1);
    ike->secret_at = now;
    cr_random(ike->secrets[ike->secret_version & 1], sizeof(ike->secrets[0]));
    if (stale) // nobody knew it for too long: the old one must not be good either
        cr_random(ike->secrets[(ike->secret_version & 1) ^ 1], sizeof(ike->secrets[0]));
    return ike->secret_version;
}

// What has a length of its own stands behind what has not.
bool cookie_make(struct ike *ike, uint8_t version, struct slice ni, const struct addr *a, uint64_t spi_i,
                 uint8_t out[COOKIE_LEN])
{
    uint8_t buf[1 + 1 + sizeof(a->a) + sizeof(spi_i) + PEER_NONCE_MAX];
    struct writer w = writer_of(buf, sizeof(buf));
    wr_u8(&w, version);
    wr_u8(&w, a->family);
    wr_bytes(&w, a->a, sizeof(a->a));
    wr_u64(&w, spi_i);
    wr_slice(&w, ni);
    out[0] = version;
    hash_mac(ike->secrets[version & 1], buf, w.len, out + 1);
    return !w.bad;
}

bool cookie_check(struct ike *ike, struct slice cookie, struct slice ni, const struct addr *a, uint64_t spi_i)
{
    uint8_t want[COOKIE_LEN], now = cookie_version(ike), before = now == 1 ? 255 : (uint8_t)(now - 1);
    if (cookie.len != COOKIE_LEN || (cookie.p[0] != now && cookie.p[0] != before))
        return false;
    if ((cookie.p[0] & 1) == (now & 1) && cookie.p[0] != now)
        return false; // the version's turn-over leaves no secret for that one
    return cookie_make(ike, cookie.p[0], ni, a, spi_i, want) &&
           CRYPTO_memcmp(want, cookie.p, COOKIE_LEN) == 0;
}

bool cookie_needed(struct ike *ike, const struct net_path *path)
{
    const struct settings *s = &ike->set;
    if (s->cookie_threshold && ike->half_open_count >= s->cookie_threshold)
        return true;
    return s->cookie_threshold_ip && half_open_from(ike, &path->remote) >= s->cookie_threshold_ip;
}
