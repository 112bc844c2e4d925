// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/authority_load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctrl/config/cred_file.h"
#include "ctrl/config/keys.h"
#include "ctrl/pki/pki.h"

void authority_clear(struct authority_config *a)
{
    blobs_clear(&a->cacert);
    blobs_clear(&a->crl_uris);
    blobs_clear(&a->ocsp_uris);
    for (unsigned i = 0; i < a->crl_count; i++)
        free(a->crls[i].der);
    memset(a, 0, sizeof(*a));
}

int authority_cacert(struct load *l, void *owner, struct slice data)
{
    struct authority_config *a = owner;
    uint8_t *der = NULL;
    size_t len = 0;
    if (a->cacert.count)
        return load_refuse(l, "%s: a certificate is given already: expected one of cacert and file",
                           l->key->name);
    int r = load_der(l, PKI_CA, data, &der, &len);
    if (r == 0 && blobs_add(&a->cacert, slice_of(der, len)) != 0) {
        l->no_memory = true;
        r = load_refuse(l, "out of memory");
    }
    free(der);
    return r;
}

int authority_file(struct load *l, void *owner, const char *text)
{
    struct esp_error e = {0};
    uint8_t *data;
    size_t len;
    if (text[0] != '/')
        return load_bad_value(l, text, "an absolute path");
    int r = cred_read(text, &data, &len, &e);
    if (r == -ENOMEM)
        l->no_memory = true;
    if (r)
        return load_refuse(l, "invalid value for: file: %.220s", e.text);
    r = authority_cacert(l, owner, slice_of(data, len));
    cred_free(data, len);
    return r;
}

static int add_uri(struct load *l, struct blobs *list, const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len >= AUTHORITY_URI_LEN || text[strcspn(text, " \t\r\n")])
        return load_refuse(
            l, "invalid value for: %s: '%.40s', expected a URI of 1 to %d characters without blanks",
            l->key->name, text, AUTHORITY_URI_LEN - 1);
    if (list->count == AUTHORITY_URIS_MAX)
        return load_too_many(l, text, AUTHORITY_URIS_MAX, " of them");
    if (blobs_add(list, slice_str(text)) == 0)
        return 0;
    l->no_memory = true;
    return load_refuse(l, "out of memory");
}

static bool has_scheme(const char *uri, const char *scheme)
{
    return strncasecmp(uri, scheme, strlen(scheme)) == 0;
}

// The CRL of a file is read now. Where that fails the authority is taken without it, as without a server that
// does not answer: revocation = strict or ifuri says what follows.
static void read_crl(struct load *l, struct authority_config *a, const char *path)
{
    struct esp_error e = {0};
    uint8_t *data = NULL, *der = NULL;
    size_t len = 0, n = 0;
    int r = cred_read(path, &data, &len, &e);
    if (r == 0)
        r = pki_read_der(PKI_CRL, data, len, &der, &n, &e);
    cred_free(data, len);
    if (r == 0 && a->crl_count < AUTHORITY_URIS_MAX) {
        a->crls[a->crl_count].der = der;
        a->crls[a->crl_count++].len = n;
        return;
    }
    free(der);
    load_warn(l, "crl_uris: file://%.100s has no effect: %.180s", path, e.text);
}

// A URI that nobody can ask is no reason to refuse the others: a refusal would end swanctl --load-all.
int authority_crl_uri(struct load *l, void *owner, const char *text)
{
    struct authority_config *a = owner;
    int r = add_uri(l, &a->crl_uris, text);
    if (r == 0 && has_scheme(text, "file:///"))
        read_crl(l, a, text + strlen("file://"));
    else if (r == 0 && !has_scheme(text, "http://"))
        load_warn(l, "crl_uris: %.100s has no effect: CRLs come by http:// and file:///", text);
    return r;
}

int authority_ocsp_uri(struct load *l, void *owner, const char *text)
{
    if (!has_scheme(text, "http://"))
        load_warn(l, "ocsp_uris: %.100s has no effect: OCSP responders are asked by http://", text);
    return add_uri(l, &((struct authority_config *)owner)->ocsp_uris, text);
}

int authority_uri_base(struct load *l, void *owner, const char *text)
{
    struct authority_config *a = owner;
    if (strlen(text) >= sizeof(a->cert_uri_base))
        return load_too_long(l, text, AUTHORITY_URI_LEN - 1);
    strcpy(a->cert_uri_base, text);
    if (text[0])
        load_warn(l, "cert_uri_base = %.60s has no effect: certificates are sent whole, not by hash and URL",
                  text);
    return 0;
}

static int load_all(struct load *l, struct authority_config *a, const struct vici_node *section)
{
    l->node = section;
    if (!section->name[0] || strlen(section->name) >= NAME_MAX_LEN)
        load_refuse(l, "expected a name of 1 to %d characters", NAME_MAX_LEN - 1);
    snprintf(a->name, sizeof(a->name), "%s", section->name);
    snprintf(l->path, sizeof(l->path), "%s", a->name);
    for (const struct vici_node *k = section->child; k; k = k->next) {
        if (k->kind == VICI_SECTION) {
            l->node = k;
            load_refuse(l, "unknown option: %.80s", k->name);
        } else {
            load_key(l, a, SEC_AUTHORITY, k);
        }
    }
    l->node = section;
    if (!l->faults && !a->cacert.count)
        load_refuse(l, "CA certificate missing: %.100s: expected cacert or file", a->name);
    if (l->no_memory)
        return esp_fail(l->err, -ENOMEM, "", "out of memory, authority discarded");
    return l->faults ? -EINVAL : 0;
}

int config_load_authority(struct authority_config *out, const struct vici_node *section,
                          const struct load_report *report, struct esp_error *err)
{
    struct esp_error unused;
    struct load l = {.report = report, .err = err ? err : &unused, .what = "authority"};
    *out = (struct authority_config){0};
    int r = load_all(&l, out, section);
    if (r)
        authority_clear(out);
    return r;
}
