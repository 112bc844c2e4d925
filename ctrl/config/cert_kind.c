// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/cert_kind.h"

#include <errno.h>
#include <stddef.h>
#include <stdbool.h>
#include <strings.h>

#include "ctrl/pki/pki.h"

#define AA_LATER "attribute authorities and attribute certificates are not supported yet"
static const char ocsp_delegated[] = "the certificate of an OCSP responder is trusted as far as its issuer "
                                     "made it one (RFC 6960 4.2.2.2), not by "
                                     "being loaded";

// The short forms are those of the directories beside swanctl.conf.
static const struct {
    const char *name;
    uint8_t kind; // 0: refused with `why`
    const char *flag, *why;
} types[] = {
    {"X509", PKI_X509, NULL, NULL},
    {"X509_CRL", PKI_CRL, NULL, NULL},
    {"PUBKEY", PKI_PUBKEY, NULL, NULL},
    {"x509ca", PKI_X509, "CA", NULL},
    {"x509ocsp", PKI_X509, "OCSP", NULL},
    {"x509crl", PKI_CRL, NULL, NULL},
    {"x509aa", 0, NULL, AA_LATER},
    {"x509ac", 0, NULL, AA_LATER},
    {"X509_AC", 0, NULL, AA_LATER},
    {"OCSP_RESPONSE", 0, NULL, "OCSP responses are fetched when a certificate is checked, not loaded"},
    {"ANY", PKI_X509, NULL, NULL},
};

static int by_flag(const char *flag, uint8_t *kind, const char **warning, struct esp_error *err)
{
    if (!flag || strcasecmp(flag, "NONE") == 0)
        return 0;
    if (strcasecmp(flag, "CA") == 0) {
        *kind = PKI_CA;
        return 0;
    }
    if (strcasecmp(flag, "OCSP") == 0) {
        *warning = ocsp_delegated;
        return 0;
    }
    if (strcasecmp(flag, "AA") == 0)
        return esp_fail(err, -EOPNOTSUPP, "flag", "%s", AA_LATER);
    return esp_fail(err, -EINVAL, "flag", "invalid certificate flag '%.40s': expected NONE, CA or OCSP",
                    flag);
}

int cert_kind(const char *type, const char *flag, uint8_t *kind, const char **warning, struct esp_error *err)
{
    size_t count = sizeof(types) / sizeof(types[0]), t = 0;
    *warning = NULL;
    if (!type)
        return esp_fail(err, -EINVAL, "type", "certificate type missing");
    while (t < count && strcasecmp(types[t].name, type) != 0)
        t++;
    if (t == count)
        return esp_fail(err, -EINVAL, "type",
                        "invalid certificate type '%.40s': expected X509, X509_CRL or PUBKEY", type);
    if (types[t].why)
        return esp_fail(err, -EOPNOTSUPP, "type", "%s", types[t].why);
    *kind = types[t].kind;
    return *kind == PKI_X509 ? by_flag(types[t].flag ? types[t].flag : flag, kind, warning, err) : 0;
}

const char *cert_kind_type(uint8_t kind)
{
    switch (kind) {
    case PKI_CRL: return "X509_CRL";
    case PKI_PUBKEY: return "PUBKEY";
    case PKI_OCSP: return "OCSP_RESPONSE";
    default: return "X509";
    }
}

const char *cert_kind_flag(uint8_t kind)
{
    return kind == PKI_CA ? "CA" : kind == PKI_X509 ? "NONE" : NULL;
}
