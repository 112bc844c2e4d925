// SPDX-License-Identifier: Apache-2.0
// SKEYSEED, SK_*, KEYMAT and the AUTH value of a shared secret: RFC 7296 sections 2.14, 2.15, 2.17 and 2.18,
// the PPK of RFC 8784, and what IKE_INTERMEDIATE adds to them (RFC 9242, RFC 9370).
#include "ctrl/keys/derive.h"

#include <errno.h>
#include <openssl/crypto.h>

static struct cr_slice part(struct slice s)
{
    return (struct cr_slice){s.p, s.len};
}

// g^ir (new) | Ni | Nr, then the additional secrets (RFC 9370 2.2.4).
struct seed {
    struct cr_slice parts[DERIVE_SECRETS_MAX + 2];
    size_t count;
};

static int make_seed(const struct slice *shared, unsigned count, struct slice ni, struct slice nr,
                     struct seed *out)
{
    if (count > DERIVE_SECRETS_MAX)
        return -E2BIG;
    out->count = 0;
    if (count)
        out->parts[out->count++] = part(shared[0]);
    out->parts[out->count++] = part(ni);
    out->parts[out->count++] = part(nr);
    for (unsigned i = 1; i < count; i++)
        out->parts[out->count++] = part(shared[i]);
    return 0;
}

static int skeyseed(const struct cr_prf *prf, const struct slice *shared, unsigned count, struct slice ni,
                    struct slice nr, const struct ike_secrets *old, uint8_t out[CR_PRF_MAX])
{
    if (old) {
        struct seed seed;
        int rc = make_seed(shared, count, ni, nr, &seed);
        return rc ? rc : cr_prf(old->prf, old->sk_d, old->prf_len, seed.parts, seed.count, out);
    }
    if (count != 1)
        return -EINVAL;
    uint8_t key[512];
    if (ni.len + nr.len > sizeof(key))
        return -EINVAL;
    memcpy(key, ni.p, ni.len);
    memcpy(key + ni.len, nr.p, nr.len);
    struct cr_slice parts[] = {part(shared[0])};
    return cr_prf(prf, key, ni.len + nr.len, parts, 1, out);
}

struct inputs { // of prf+ behind SKEYSEED
    struct slice ni, nr;
    uint64_t spi_i, spi_r;
};

// All keys of SKEYSEED (2.14).
static int expand(const struct cr_sk_alg *alg, const struct cr_prf *prf, const uint8_t *seed, size_t seed_len,
                  const struct inputs *in, struct ike_secrets *out)
{
    uint8_t spis[16], all[3 * CR_PRF_MAX + 4 * CR_SK_KEY_MAX];
    size_t n = cr_prf_len(cr_prf_id(prf));
    memset(out, 0, sizeof(*out));
    out->prf = prf;
    out->prf_len = (uint8_t)n;
    out->ka_len = (uint8_t)(cr_encr_is_aead(alg->encr) ? 0 : cr_integ_key_len(alg->integ));
    out->ke_len = (uint8_t)cr_encr_key_len(alg->encr, alg->key_bits);
    struct writer w = writer_of(spis, sizeof(spis));
    wr_u64(&w, in->spi_i);
    wr_u64(&w, in->spi_r);
    size_t total = 3 * n + 2u * out->ka_len + 2u * out->ke_len;
    struct cr_slice parts[] = {part(in->ni), part(in->nr), {spis, sizeof(spis)}};
    int rc = cr_prf_plus(prf, seed, seed_len, parts, 3, all, total);
    if (!rc) {
        struct reader r = reader_of(slice_of(all, total));
        memcpy(out->sk_d, rd_bytes(&r, n).p, n);
        memcpy(out->sk_ai, rd_bytes(&r, out->ka_len).p, out->ka_len);
        memcpy(out->sk_ar, rd_bytes(&r, out->ka_len).p, out->ka_len);
        memcpy(out->sk_ei, rd_bytes(&r, out->ke_len).p, out->ke_len);
        memcpy(out->sk_er, rd_bytes(&r, out->ke_len).p, out->ke_len);
        memcpy(out->sk_pi, rd_bytes(&r, n).p, n);
        memcpy(out->sk_pr, rd_bytes(&r, n).p, n);
    }
    OPENSSL_cleanse(all, sizeof(all));
    return rc;
}

int derive_ike(const struct cr_sk_alg *alg, const struct cr_prf *prf, const struct slice *shared,
               unsigned count, struct slice ni, struct slice nr, uint64_t spi_i, uint64_t spi_r,
               const struct ike_secrets *old, struct ike_secrets *out)
{
    uint8_t seed[CR_PRF_MAX];
    size_t seed_len = old ? old->prf_len : prf ? cr_prf_len(cr_prf_id(prf)) : 0;
    struct inputs in = {ni, nr, spi_i, spi_r};
    int rc = prf ? cr_sk_check(alg) : -EOPNOTSUPP;
    if (!rc)
        rc = skeyseed(prf, shared, count, ni, nr, old, seed);
    // In a rekey SKEYSEED comes out of the old PRF and feeds the new one (2.18).
    if (!rc)
        rc = expand(alg, prf, seed, seed_len, &in, out);
    OPENSSL_cleanse(seed, sizeof(seed));
    return rc;
}

int derive_resumed(const struct cr_sk_alg *alg, const struct cr_prf *prf, struct slice old_sk_d,
                   struct slice ni, struct slice nr, uint64_t spi_i, uint64_t spi_r, struct ike_secrets *out)
{
    static const uint8_t label[] = {'R', 'e', 's', 'u', 'm', 'p', 't', 'i', 'o', 'n'};
    uint8_t seed[CR_PRF_MAX];
    struct inputs in = {ni, nr, spi_i, spi_r};
    struct cr_slice parts[] = {{label, sizeof(label)}, part(ni), part(nr)};
    int rc = prf && old_sk_d.len ? cr_sk_check(alg) : -EOPNOTSUPP;
    if (!rc)
        rc = cr_prf(prf, old_sk_d.p, old_sk_d.len, parts, 3, seed);
    if (!rc)
        rc = expand(alg, prf, seed, cr_prf_len(cr_prf_id(prf)), &in, out);
    OPENSSL_cleanse(seed, sizeof(seed));
    return rc;
}

// SKEYSEED' = prf+ (PPK, SK_d), and all keys of it (RFC 9867 3.2).
static int mix_ppk(const struct cr_sk_alg *alg, struct slice ppk, const struct inputs *in,
                   struct ike_secrets *s)
{
    uint8_t seed[CR_PRF_MAX];
    struct cr_slice d = {s->sk_d, s->prf_len};
    uint8_t n = s->prf_len;
    int rc = cr_sk_check(alg);
    if (!rc)
        rc = cr_prf_plus(s->prf, ppk.p, ppk.len, &d, 1, seed, n);
    if (!rc)
        rc = expand(alg, s->prf, seed, n, in, s);
    OPENSSL_cleanse(seed, sizeof(seed));
    return rc;
}

int derive_ppk_confirmation(const struct cr_prf *prf, struct slice ppk, struct slice ni, struct slice nr,
                            uint64_t spi_i, uint64_t spi_r, uint8_t out[PPK_CONFIRMATION])
{
    uint8_t spis[16], all[CR_PRF_MAX];
    struct writer w = writer_of(spis, sizeof(spis));
    wr_u64(&w, spi_i);
    wr_u64(&w, spi_r);
    struct cr_slice parts[] = {part(ni), part(nr), {spis, sizeof(spis)}};
    int rc = cr_prf(prf, ppk.p, ppk.len, parts, 3, all);
    if (!rc)
        memcpy(out, all, PPK_CONFIRMATION);
    OPENSSL_cleanse(all, sizeof(all));
    return rc;
}

static int int_auth(const struct ike_secrets *s, const uint8_t *sk_p, const uint8_t *before,
                    struct slice octets, uint8_t out[CR_PRF_MAX])
{
    struct cr_slice parts[] = {{before, s->intermediates ? s->prf_len : 0u}, part(octets)};
    return cr_prf(s->prf, sk_p, s->prf_len, parts, 2, out);
}

int derive_intermediate(const struct cr_sk_alg *alg, struct slice shared, struct slice ppk, struct slice ni,
                        struct slice nr, uint64_t spi_i, uint64_t spi_r, struct slice request,
                        struct slice response, const struct ike_secrets *old, struct ike_secrets *out)
{
    struct inputs in = {ni, nr, spi_i, spi_r};
    int rc = 0;
    *out = *old;
    if (shared.len)
        rc = derive_ike(alg, old->prf, &shared, 1, ni, nr, spi_i, spi_r, old, out);
    if (!rc && ppk.len)
        rc = mix_ppk(alg, ppk, &in, out);
    if (!rc)
        rc = int_auth(old, old->sk_pi, old->int_i, request, out->int_i);
    if (!rc)
        rc = int_auth(old, old->sk_pr, old->int_r, response, out->int_r);
    out->intermediates = (uint8_t)(old->intermediates + 1);
    return rc;
}

size_t derive_int_auth(const struct ike_secrets *s, uint8_t out[INT_AUTH_MAX])
{
    struct writer w = writer_of(out, INT_AUTH_MAX);
    if (!s->intermediates)
        return 0;
    wr_bytes(&w, s->int_i, s->prf_len);
    wr_bytes(&w, s->int_r, s->prf_len);
    wr_u32(&w, 1u + s->intermediates); // the first IKE_AUTH's message ID
    return w.len;
}

int derive_child(const struct ike_secrets *s, const struct slice *shared, unsigned count, struct slice ni,
                 struct slice nr, uint8_t *out, size_t len)
{
    struct seed seed;
    int rc = make_seed(shared, count, ni, nr, &seed);
    return rc ? rc : cr_prf_plus(s->prf, s->sk_d, s->prf_len, seed.parts, seed.count, out, len);
}

int derive_ppk(const struct ike_secrets *s, struct slice ppk, struct ike_secrets *out)
{
    struct cr_slice d = {s->sk_d, s->prf_len}, pi = {s->sk_pi, s->prf_len}, pr = {s->sk_pr, s->prf_len};
    *out = *s;
    int rc = cr_prf_plus(s->prf, ppk.p, ppk.len, &d, 1, out->sk_d, s->prf_len);
    if (!rc)
        rc = cr_prf_plus(s->prf, ppk.p, ppk.len, &pi, 1, out->sk_pi, s->prf_len);
    if (!rc)
        rc = cr_prf_plus(s->prf, ppk.p, ppk.len, &pr, 1, out->sk_pr, s->prf_len);
    if (rc)
        OPENSSL_cleanse(out, sizeof(*out));
    return rc;
}

int derive_maced_id(const struct ike_secrets *s, bool of_initiator, struct slice id_body,
                    uint8_t out[CR_PRF_MAX])
{
    struct cr_slice id = part(id_body);
    return cr_prf(s->prf, of_initiator ? s->sk_pi : s->sk_pr, s->prf_len, &id, 1, out);
}

int derive_psk_auth(const struct ike_secrets *s, bool of_initiator, struct slice psk, struct slice message,
                    struct slice nonce, struct slice id_body, uint8_t out[CR_PRF_MAX])
{
    static const char pad[] = "Key Pad for IKEv2";
    uint8_t maced_id[CR_PRF_MAX], key[CR_PRF_MAX], more[INT_AUTH_MAX];
    struct cr_slice text = {pad, sizeof(pad) - 1};
    int rc = derive_maced_id(s, of_initiator, id_body, maced_id);
    if (!rc)
        rc = cr_prf(s->prf, psk.p, psk.len, &text, 1, key);
    struct cr_slice octets[] = {
        part(message), part(nonce), {maced_id, s->prf_len}, {more, derive_int_auth(s, more)}};
    if (!rc)
        rc = cr_prf(s->prf, key, s->prf_len, octets, 4, out);
    OPENSSL_cleanse(maced_id, sizeof(maced_id));
    OPENSSL_cleanse(key, sizeof(key));
    return rc;
}

int derive_resumed_auth(const struct ike_secrets *s, bool of_initiator, bool message_alone,
                        struct slice message, struct slice nonce, struct slice id_body,
                        uint8_t out[CR_PRF_MAX])
{
    uint8_t maced_id[CR_PRF_MAX];
    int rc = derive_maced_id(s, of_initiator, id_body, maced_id);
    struct cr_slice octets[] = {part(message), part(nonce), {maced_id, s->prf_len}};
    if (!rc)
        rc = cr_prf(s->prf, of_initiator ? s->sk_pi : s->sk_pr, s->prf_len, octets, message_alone ? 1 : 3,
                    out);
    OPENSSL_cleanse(maced_id, sizeof(maced_id));
    return rc;
}
