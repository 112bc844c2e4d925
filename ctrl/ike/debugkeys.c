// SPDX-License-Identifier: Apache-2.0
// --debug-keys: Wireshark's ikev2_decryption_table with SK_e and SK_a of each IKE SA, for those who asked for
// it. The file is only ever readable by its owner.
#include "ctrl/ike/debugkeys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>

#include "ctrl/ike/ike.h"
#include "ctrl/ike/sa.h"
#include "ctrl/lib/log.h"

static const char *encr_name(struct transform t, char *buf, size_t size)
{
    if (t.id == TRID_AES256_CBC)
        snprintf(buf, size, "AES-CBC-%u [RFC3602]", t.key_bits);
    else if (t.id == TRID_AES256_CTR)
        snprintf(buf, size, "AES-CTR-%u [RFC5930]", t.key_bits);
    else if (t.id == TRID_AES256_GCM16 || t.id == TRID_AES256_GCM12 || t.id == TRID_AES256_GCM8)
        snprintf(buf, size, "AES-GCM-%u with %d octet ICV [RFC5282]", t.key_bits,
                 16 - 4 * (TRID_AES256_GCM16 - t.id));
    else
        return NULL;
    return buf;
}

static const char *integ_name(uint16_t id)
{
    switch (id) {
    case TRID_HMAC_SHA1_96: return "HMAC_SHA1_96 [RFC2404]";
    case TRID_HMAC_SHA2_256_128: return "HMAC_SHA2_256_128 [RFC4868]";
    case TRID_HMAC_SHA2_384_192: return "HMAC_SHA2_384_192 [RFC4868]";
    case TRID_HMAC_SHA2_512_256: return "HMAC_SHA2_512_256 [RFC4868]";
    default: return "NONE [RFC4306]";
    }
}

static size_t put_hex(char *at, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        sprintf(at + 2 * i, "%02x", s.p[i]);
    return 2 * s.len;
}

static size_t put_line(char *line, const struct ike_sa *sa, const struct msg_IKE_KEYS *m, const char *encr)
{
    size_t n = (size_t)sprintf(line, "%016llx,%016llx,", (unsigned long long)sa->spi_i,
                               (unsigned long long)sa->spi_r);
    n += put_hex(line + n, m->sk_ei);
    line[n++] = ',';
    n += put_hex(line + n, m->sk_er);
    n += (size_t)sprintf(line + n, ",\"%s\",", encr);
    n += put_hex(line + n, m->sk_ai);
    line[n++] = ',';
    n += put_hex(line + n, m->sk_ar);
    n += (size_t)sprintf(line + n, ",\"%s\"\n", integ_name(sa->suite->integ.id));
    return n;
}

void debug_keys_ike(struct ike_sa *sa, const struct msg_IKE_KEYS *m)
{
    const char *dir = sa->ike->set.debug_keys;
    char path[256], line[40 + 8 * CR_SK_KEY_MAX + 160], name[64];
    if (!dir[0])
        return;
    const char *encr = encr_name(sa->suite->encr, name, sizeof(name));
    if (!encr) {
        LOGF(ENC, 1, "debug keys: Wireshark has no name for %s in IKE, nothing written",
             transform_name(sa->suite->encr));
        return;
    }
    snprintf(path, sizeof(path), "%s/ikev2_decryption_table", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    size_t n = put_line(line, sa, m, encr);
    if (fd < 0 || fchmod(fd, 0600) < 0 || write(fd, line, n) != (ssize_t)n)
        LOGF(ENC, 0, "debug keys: writing %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    OPENSSL_cleanse(line, sizeof(line));
}
