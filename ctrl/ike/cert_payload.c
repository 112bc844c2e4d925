// SPDX-License-Identifier: Apache-2.0
// Certificates, requests for them, and hashes on the wire. Nothing here looks into a certificate.
#include "ctrl/ike/cert_payload.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "ctrl/lib/log.h"

static bool take_cert(struct slice data, struct peer_certs *out, struct esp_error *err)
{
    if (!data.len)
        return esp_fail(err, -EINVAL, "CERT", "an empty certificate") == 0;
    if (out->count == PKI_PEER_CERTS_MAX)
        return esp_fail(err, -E2BIG, "CERT", "more than %d certificates", PKI_PEER_CERTS_MAX) == 0;
    out->certs[out->count++] = data;
    return true;
}

static bool take_key(struct slice data, struct peer_certs *out, struct esp_error *err)
{
    if (!data.len || out->pubkey.len)
        return esp_fail(err, -EINVAL, "CERT",
                        data.len ? "more than one raw public key" : "an empty public key") == 0;
    out->pubkey = data;
    return true;
}

bool certs_read(const struct payloads *pl, struct peer_certs *out, struct esp_error *err)
{
    size_t octets = 0;
    unsigned other = 0;
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < pl->count; i++) {
        struct reader r = reader_of(pl->p[i].body);
        bool good = true;
        if (pl->p[i].type != PL_CERT)
            continue;
        uint8_t encoding = rd_u8(&r);
        struct slice data = rd_rest(&r);
        octets += data.len;
        if (r.bad)
            return esp_fail(err, -EINVAL, "CERT", "a CERT payload without an encoding (RFC 7296 3.6)") == 0;
        if (octets > CERT_OCTETS_MAX)
            return esp_fail(err, -E2BIG, "CERT", "more than %d octets of certificates", CERT_OCTETS_MAX) == 0;
        switch (encoding) {
        case CERT_X509: good = take_cert(data, out, err); break;
        case CERT_RAW_KEY: good = take_key(data, out, err); break;
        case CERT_CRL: break; // what the issuer says is asked for where it says so
        case CERT_HASH_URL:
        case CERT_HASH_URL_BUNDLE:
            good =
                esp_fail(err, -ENOTSUP, "CERT",
                         "a certificate by hash and URL (encoding %u): it was not asked for, and nothing is "
                         "fetched for a stranger",
                         encoding) == 0;
            break;
        default: other++; break;
        }
        if (!good)
            return false;
    }
    if (other)
        LOGF(IKE, 1, "%u CERT payloads of other encodings than X.509 and raw public keys ignored", other);
    return true;
}

static void put(struct pb *b, uint8_t type, uint8_t encoding, struct slice data)
{
    pb_begin(b, type);
    wr_u8(&b->w, encoding);
    wr_slice(&b->w, data);
    pb_end(b);
}

void pb_cert(struct pb *b, uint8_t encoding, struct slice data)
{
    put(b, PL_CERT, encoding, data);
}

// Returns how many there was no room for.
static size_t take_cas(struct slice hashes, struct peer_cas *out)
{
    struct reader r = reader_of(hashes);
    while (r.left >= sizeof(out->hash[0]) && out->count < PEER_CAS_MAX)
        memcpy(out->hash[out->count++], rd_bytes(&r, sizeof(out->hash[0])).p, sizeof(out->hash[0]));
    return r.left / sizeof(out->hash[0]);
}

bool certreq_read(const struct payloads *pl, struct peer_cas *out)
{
    bool asks = false;
    size_t cut = 0;
    out->count = 0;
    for (unsigned i = 0; i < pl->count; i++) {
        struct slice body = pl->p[i].body;
        if (pl->p[i].type != PL_CERTREQ || !body.len)
            continue;
        asks = asks || body.p[0] == CERT_X509 || body.p[0] == CERT_RAW_KEY;
        if (body.p[0] == CERT_X509)
            cut += take_cas(slice_of(body.p + 1, body.len - 1), out);
    }
    if (cut)
        LOGF(IKE, 1, "the peer names %zu authorities, the last %zu are left out: %d are taken",
             out->count + cut, cut, PEER_CAS_MAX);
    return asks;
}

bool certreq_keep(const struct payloads *pl, struct peer_cas **kept)
{
    struct peer_cas named;
    bool asks = certreq_read(pl, &named);
    size_t octets = offsetof(struct peer_cas, hash) + named.count * sizeof(named.hash[0]);
    free(*kept);
    *kept = named.count ? malloc(octets) : NULL;
    if (*kept)
        memcpy(*kept, &named, octets);
    return asks;
}

void pb_certreq(struct pb *b, struct slice hashes)
{
    put(b, PL_CERTREQ, CERT_X509, hashes);
}

void pb_signature_hashes(struct pb *b)
{
    static const uint16_t ours[] = {CR_HASH_SHA256, CR_HASH_SHA384, CR_HASH_SHA512, CR_HASH_IDENTITY};
    uint8_t buf[sizeof(ours)];
    struct writer w = writer_of(buf, sizeof(buf));
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        wr_u16(&w, ours[i]);
    pb_notify(b, PROTO_NONE, slice_of(NULL, 0), N_SIGNATURE_HASH_ALGORITHMS, wr_written(&w));
}

bool signature_hashes_read(const struct payloads *pl, uint32_t *schemes)
{
    struct notify n;
    *schemes = 0;
    if (!notify_find(pl, N_SIGNATURE_HASH_ALGORITHMS, &n))
        return false;
    struct reader r = reader_of(n.data);
    while (r.left >= 2) {
        uint16_t hash = rd_u16(&r);
        *schemes |= cr_schemes_with_hashes(&hash, 1);
    }
    return true;
}
