// SPDX-License-Identifier: Apache-2.0
// SAs, inner packets and the OpenSSL check of top_esp.h. Written from the RFCs alone; shares nothing with the
// pipelines' own test model. RFC 4303 section 2, RFC 4106 sections 3 to 5, RFC 3948 section 2.1.
#include "tests/rtl/top_esp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

struct espc_sa_blob esp_blob(uint32_t slot)
{
    struct espc_sa_blob b = {.alg = slot % 4 ? ESPC_SA_ALG_AES256_GCM16 : ESPC_SA_ALG_AES128_GCM16,
                             .mode = ESPC_SA_MODE_TUNNEL,
                             .outer = ESPC_FAMILY_IPV4,
                             .inner = ESPC_FAMILY_IPV4,
                             .window = 1024,
                             .ttl = 64,
                             .seq_limit = 1 << 24};
    b.spi = 0x10000 + slot * 77;
    b.flags =
        (slot & 1 ? ESPC_SA_BLOB_FLAGS_UDP_ENCAP_MASK : 0) | (slot & 2 ? ESPC_SA_BLOB_FLAGS_ESN_MASK : 0);
    for (unsigned i = 0; i < (slot % 4 ? 32 : 16); i++)
        b.key[i] = (uint8_t)(slot * 31 + i * 7 + 1);
    for (unsigned i = 0; i < sizeof b.salt; i++)
        b.salt[i] = (uint8_t)(slot * 47 + i * 59 + 0xa5);
    memcpy(b.src, "\xc0\x00\x02\x01", 4);
    memcpy(b.dst, "\xc6\x33\x64\x02", 4);
    b.sport = b.dport = slot & 1 ? 4500 : 0;
    b.seq = 1;
    return b;
}

void esp_inner(uint8_t *packet, size_t len)
{
    for (size_t i = 0; i < len; i++)
        packet[i] = (uint8_t)rand();
    if (len < 20)
        return;
    memset(packet, 0, 12);
    packet[0] = 0x45;
    packet[2] = (uint8_t)(len >> 8);
    packet[3] = (uint8_t)len;
    packet[8] = 64;
    packet[9] = 17;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void esp_check(const uint8_t *outer, size_t outer_len, uint64_t seq, uint32_t slot, const uint8_t *inner,
               size_t len)
{
    struct espc_sa_blob b = esp_blob(slot);
    size_t head = 20 + (slot & 1 ? 8 : 0);
    const uint8_t *esp = outer + head;
    uint8_t nonce[12], aad[12], plain[10240];
    size_t aad_len = 8;
    int n = 0;

    assert_int_equal(outer[2] << 8 | outer[3], outer_len);
    assert_true(outer_len >= head + 8 + 8 + len + 2 + 16 && outer_len < sizeof plain);
    assert_int_equal(outer[9], slot & 1 ? 17 : 50);
    assert_int_equal(be32(esp), b.spi);
    assert_int_equal(be32(esp + 4), (uint32_t)seq);
    assert_int_equal((uint64_t)be32(esp + 8) << 32 | be32(esp + 12), seq);
    memcpy(nonce, b.salt, 4);
    memcpy(nonce + 4, esp + 8, 8);
    memcpy(aad, esp, 8);
    if (slot & 2) { // ESN: SPI, high half, low half
        memcpy(aad + 4, esp + 8, 8);
        aad_len = 12;
    }

    size_t text = outer_len - head - 32;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    assert_int_equal(
        EVP_DecryptInit_ex(ctx, slot % 4 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), NULL, b.key, nonce), 1);
    assert_int_equal(EVP_DecryptUpdate(ctx, NULL, &n, aad, (int)aad_len), 1);
    assert_int_equal(EVP_DecryptUpdate(ctx, plain, &n, esp + 16, (int)text), 1);
    uint8_t icv[16];
    memcpy(icv, esp + 16 + text, 16);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, 16, icv), 1);
    assert_int_equal(EVP_DecryptFinal_ex(ctx, plain + n, &n), 1);
    EVP_CIPHER_CTX_free(ctx);

    assert_int_equal(plain[text - 1], 4);
    assert_int_equal(text, len + plain[text - 2] + 2u);
    assert_memory_equal(plain, inner, len);
}
