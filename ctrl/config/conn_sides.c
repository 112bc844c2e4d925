// SPDX-License-Identifier: Apache-2.0
// The keys of local and remote: how either end proves itself, by which certificates, and what is expected of
// the peer's. Certificates come as octets, out of files by swanctl; only `file` is read here.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/objects.h>

#include "ctrl/config/auth_text.h"
#include "ctrl/config/cred_file.h"
#include "ctrl/config/keys.h"
#include "ctrl/crypto/dn.h"
#include "ctrl/pki/pki.h"

enum { OID_MAX = 64 };

static bool of_local(const struct load *l)
{
    return l->key->section == SEC_LOCAL || l->key->section == SEC_LOCAL_CERT;
}

static struct auth_side *side(struct load *l)
{
    return of_local(l) ? &l->conn->local : &l->conn->remote;
}

void side_defaults(struct auth_side *s, bool local)
{
    struct auth_text a;
    struct esp_error unused;
    auth_text_parse("pubkey", local, &a, &unused);
    s->id = "";
    s->auth = a.auth;
    s->eap_type = a.eap_type;
    s->schemes = a.schemes;
    s->cert_hashes = a.cert_hashes;
    s->rsa_bits = a.rsa_bits;
    s->ecdsa_bits = a.ecdsa_bits;
}

int side_auth(struct load *l, void *owner, const char *text)
{
    struct auth_side *s = side(l);
    struct auth_text a;
    struct esp_error e;
    (void)owner;
    if (auth_text_parse(text, of_local(l), &a, &e) < 0)
        return load_refuse(l, "invalid value for: auth: '%.40s': %.180s", text, e.text);
    s->auth = a.auth;
    s->eap_type = a.eap_type;
    s->schemes = a.schemes;
    s->cert_hashes = a.cert_hashes;
    s->rsa_bits = a.rsa_bits;
    s->ecdsa_bits = a.ecdsa_bits;
    return 0;
}

// ---- certificates and keys

static int add_blob(struct load *l, struct blobs *list, struct slice data)
{
    switch (blobs_add(list, data)) {
    case 0: return 0;
    case -ENOSPC:
        return load_refuse(l, "invalid value for: %s: more than %d of them", l->key->name, BLOBS_MAX);
    case -EMSGSIZE:
        return load_refuse(l, "invalid value for: %s: longer than %d octets", l->key->name, BLOB_MAX_LEN);
    default: l->no_memory = true; return load_refuse(l, "out of memory");
    }
}

int load_der(struct load *l, enum pki_kind kind, struct slice data, uint8_t **der, size_t *len)
{
    struct esp_error e = {0};
    struct pki_info info;
    int r = pki_read_der(kind, data.p, data.len, der, len, &e);
    if (r == 0 && kind == PKI_CA)
        r = pki_describe(kind, slice_of(*der, *len), &info, &e);
    if (r == 0 && kind == PKI_CA && !info.is_ca)
        r = esp_fail(&e, -EINVAL, "", "%.100s is no authority's certificate: basicConstraints CA is missing",
                     info.subject);
    if (r == -ENOMEM)
        l->no_memory = true;
    return r ? load_refuse(l, "invalid value for: %s: %.200s", l->key->name, e.text) : 0;
}

// PEM or DER of that kind behind the others of the list, as DER.
static int add_der(struct load *l, struct blobs *list, enum pki_kind kind, struct slice data)
{
    uint8_t *der = NULL;
    size_t len = 0;
    int r = load_der(l, kind, data, &der, &len);
    if (r == 0)
        r = add_blob(l, list, slice_of(der, len));
    free(der);
    return r;
}

int side_cert(struct load *l, void *owner, struct slice data)
{
    (void)owner;
    return add_der(l, &side(l)->certs, PKI_X509, data);
}

int side_cacert(struct load *l, void *owner, struct slice data)
{
    (void)owner;
    return add_der(l, &side(l)->cacerts, PKI_CA, data);
}

int side_pubkey(struct load *l, void *owner, struct slice data)
{
    (void)owner;
    return add_der(l, &side(l)->pubkeys, PKI_PUBKEY, data);
}

int side_file(struct load *l, void *owner, const char *text)
{
    struct esp_error e = {0};
    uint8_t *data;
    size_t len;
    (void)owner;
    if (text[0] != '/')
        return load_bad_value(l, text, "an absolute path");
    int r = cred_read(text, &data, &len, &e);
    if (r == -ENOMEM)
        l->no_memory = true;
    if (r)
        return load_refuse(l, "invalid value for: file: %.220s", e.text);
    r = l->key->section == SEC_REMOTE_CACERT ? side_cacert(l, owner, slice_of(data, len))
                                             : side_cert(l, owner, slice_of(data, len));
    cred_free(data, len);
    return r;
}

// ---- what the chain must have

// Numbers between single dots, at least two, that are an object identifier's.
static bool is_oid(const char *text)
{
    bool dots = strspn(text, "0123456789.") == strlen(text) && strchr(text, '.') && !strstr(text, "..");
    size_t len = strlen(text);
    if (!dots || len >= OID_MAX || text[0] == '.' || text[len - 1] == '.')
        return false;
    ASN1_OBJECT *o = OBJ_txt2obj(text, 1);
    ASN1_OBJECT_free(o);
    ERR_clear_error();
    return o != NULL;
}

int side_policy(struct load *l, void *owner, const char *text)
{
    (void)owner;
    if (!is_oid(text))
        return load_bad_value(l, text, "an object identifier in dots, such as 1.3.6.1.4.1.99999.1");
    return add_blob(l, &side(l)->cert_policy, slice_str(text));
}

static int set_id(struct load *l, enum auth_id which, const char *text)
{
    int rc = auth_set_id(side(l), which, text);
    if (rc == -EMSGSIZE)
        return load_too_long(l, text, ID_MAX_LEN - 1);
    l->no_memory |= rc == -ENOMEM;
    return rc;
}

int side_ca_id(struct load *l, void *owner, const char *text)
{
    uint8_t der[DN_DER_MAX];
    size_t len;
    (void)owner;
    if (text[0] && (!dn_is_text(text) || dn_parse(text, der, sizeof(der), &len) < 0))
        return load_bad_value(
            l, text,
            "a distinguished name, such as C=CH, O=Lab, CN=CA (other names of an authority are not "
            "supported yet)");
    return set_id(l, AUTH_CA_ID, text);
}

int side_eap_id(struct load *l, void *owner, const char *text)
{
    (void)owner;
    return set_id(l, AUTH_EAP_ID, text);
}

int side_aaa_id(struct load *l, void *owner, const char *text)
{
    (void)owner;
    return set_id(l, AUTH_AAA_ID, text);
}

// ---- what does not go together

static bool any_peer(const char *id)
{
    return !id[0] || strcmp(id, "%any") == 0 || strcmp(id, "*") == 0 || strcmp(id, "0.0.0.0") == 0 ||
           strcmp(id, "::") == 0;
}

void side_finish(struct load *l, bool local, const struct vici_node *section)
{
    struct auth_side *s = local ? &l->conn->local : &l->conn->remote;
    bool given = s->certs.count || s->cacerts.count || s->pubkeys.count || s->cert_policy.count ||
                 auth_id(s, AUTH_CA_ID)[0];
    l->node = section;
    bool by_cert = s->auth == AUTH_PUBKEY || (s->auth == AUTH_EAP && s->eap_type == EAP_TLS);
    if (!by_cert && given)
        load_warn(l, "certificates and what they must have are without effect where auth = %s",
                  s->auth == AUTH_PSK ? "psk" : "eap-mschapv2");
    if (s->auth == AUTH_PUBKEY && !local && any_peer(s->id) && !s->certs.count && !s->cacerts.count &&
        !s->pubkeys.count && !auth_id(s, AUTH_CA_ID)[0])
        load_refuse(
            l,
            "remote: any certificate of any authority would do: expected id = NAME, cacerts, ca_id, certs or "
            "pubkeys beside auth = pubkey");
    if (s->auth != AUTH_EAP && auth_id(s, AUTH_EAP_ID)[0])
        load_warn(l, "%s: eap_id is without effect where auth is no EAP method", local ? "local" : "remote");
    if (auth_id(s, AUTH_AAA_ID)[0] && (!local || s->eap_type != EAP_TLS)) {
        l->key = key_find(local ? SEC_LOCAL : SEC_REMOTE, "aaa_id");
        load_refuse(
            l,
            "invalid value for: aaa_id: '%.40s': it goes with auth = eap-tls of the local section: no "
            "other method proves a server's identity",
            auth_id(s, AUTH_AAA_ID));
        l->key = NULL;
    }
    if (s->auth == AUTH_EAP && s->pubkeys.count)
        load_refuse(l, "%s: pubkeys do not go with EAP-TLS, which has certificates",
                    local ? "local" : "remote");
    if (s->certs.count && s->pubkeys.count)
        load_refuse(l, "%s: certs and pubkeys do not go together", local ? "local" : "remote");
    l->node = NULL;
}

void sides_finish(struct load *l)
{
    const struct conn_config *c = l->conn;
    bool both = c->remote.auth == AUTH_EAP && c->local.auth == AUTH_EAP;
    if (both && (c->remote.eap_type != EAP_TLS || c->local.eap_type != EAP_TLS))
        load_refuse(l, "EAP at both ends is no proof but by eap-tls (RFC 5998): a password could be guessed "
                       "by whoever poses as the server");
    else if (both && auth_id(&c->local, AUTH_AAA_ID)[0])
        load_refuse(l, "local: aaa_id does not go with EAP at both ends: the server's certificate is that of "
                       "its IKE identity");
    else if (!both && c->remote.auth == AUTH_EAP && c->local.auth != AUTH_PUBKEY)
        load_refuse(l, "remote: an auth of EAP goes with a local auth of certificates, as we prove "
                       "ourselves to whoever asks");
    else if (!both && c->local.auth == AUTH_EAP && c->remote.auth != AUTH_PUBKEY)
        load_refuse(l, "local: an auth of EAP goes with a remote auth of certificates: our proof is "
                       "for a server that has proven itself");
    const char *fault = conn_rounds_fault(c);
    if (fault)
        load_refuse(l, "%s", fault);
}
