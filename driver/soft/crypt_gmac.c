// SPDX-License-Identifier: Apache-2.0
// AES-GMAC in ESP (RFC 4543 section 3): integrity without encryption. What is authenticated is the ESP header
// (with ESN the whole number), the IV and the payload with its padding, as Linux and everyone else reads
// section 3.3.
#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>

#include "driver/common/bytes.h"
#include "driver/common/params.h"
#include "driver/soft/crypt.h"

enum { IV = 8 };

static int init(struct crypt *c, const struct esp_sa_params *p, struct esp_error *err)
{
    static const enum esp_integ same[] = {ESP_INTEG_AES128_GMAC, ESP_INTEG_AES192_GMAC,
                                          ESP_INTEG_AES256_GMAC};
    uint8_t key[ESP_MAX_KEY + 4];
    unsigned n = alg_key_octets(p->alg);
    int rc;

    memcpy(key, p->key, n);
    memcpy(key + n, p->salt, 4);
    rc = mac_init(&c->mac, same[n / 8 - 2], key, err);
    OPENSSL_cleanse(key, sizeof(key));
    return rc;
}

static int seal(struct crypt *c, const struct crypt_seal *s)
{
    uint8_t head[12], *iv = s->esp + ESP_HEADER, *text = iv + IV;
    uint32_t len = s->payload_len + s->tail_len;
    struct mac_part parts[] = {{head, 0}, {iv, IV + len}};

    put_be64(iv, s->seq);
    memmove(text, s->payload, s->payload_len);
    memcpy(text + s->payload_len, s->tail, s->tail_len);
    parts[0].n = (size_t)crypt_aad(c, s->esp, s->seq, head);
    if (mac_make(&c->mac, iv, parts, 2, text + len) == 0)
        return 0;
    OPENSSL_cleanse(text, len + c->icv);
    return -EIO;
}

static int open_(struct crypt *c, const uint8_t *esp, uint32_t len, uint64_t seq, uint8_t *plain)
{
    uint8_t head[12];
    const uint8_t *iv = esp + ESP_HEADER, *text = iv + IV;
    struct mac_part parts[] = {{head, 0}, {iv, IV + len}};

    parts[0].n = (size_t)crypt_aad(c, esp, seq, head);
    if (mac_check(&c->mac, iv, parts, 2, text + len))
        return -EBADMSG;
    memcpy(plain, text, len);
    return 0;
}

const struct crypt_ops crypt_gmac = {init, seal, open_};
