// SPDX-License-Identifier: Apache-2.0
// Certificates, CRLs and raw public keys: `ike` has the store and parses them.
#include "ctrl/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctrl/config/cert_kind.h"
#include "ctrl/lib/log.h"
#include "ctrl/lib/trust.h"

// ---- load-cert

static void cert_loaded(struct pending *p, bool ok, const char *text)
{
    const char *type = vici_get(p->cmd->msg.root, "type");
    if (ok) {
        LOGF(CFG, 1, "loaded certificate of type %s%s%s", type, text[0] ? ": " : "", text);
        ctl_done_simple(p, true, "");
        return;
    }
    LOGF(CFG, 0, "certificate of type %s refused: %s", type, text);
    server_reply_error(p->cmd, "parsing %.20s certificate failed: %s", type, text);
}

void cmd_load_cert(struct ctl *c, struct command *cmd)
{
    const struct vici_node *data = vici_find(cmd->msg.root, "data");
    const char *warning;
    struct esp_error err = {0};
    uint8_t kind = 0;
    if (cert_kind(vici_get(cmd->msg.root, "type"), vici_get(cmd->msg.root, "flag"), &kind, &warning, &err) <
        0) {
        LOGF(CFG, 0, "load-cert: %s", err.text);
        server_reply_error(cmd, "%s", err.text);
        return;
    }
    if (!data || data->kind != VICI_VALUE || !data->len) {
        server_reply_error(cmd, "certificate data missing");
        return;
    }
    if (warning)
        LOGF(CFG, 0, "warning: load-cert: %s", warning);
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->done = cert_loaded;
    ctl_send(p, ROOM_IKE, MSG_CERT_LOAD,
             &(struct msg_CERT_LOAD){.req = p->req, .kind = kind, .data = slice_of(data->value, data->len)});
}

// ---- list-certs

// What `type` and `flag` of the request leave in.
struct wanted {
    uint32_t kinds; // 1 << enum pki_kind
};
enum { ALL_KINDS = 1u << PKI_X509 | 1u << PKI_CA | 1u << PKI_CRL | 1u << PKI_PUBKEY | 1u << PKI_OCSP };

static bool is(const char *text, const char *name)
{
    return strcasecmp(text, name) == 0;
}

// As charon reads them: a flag counts beside type x509 alone, and of kinds that there are none of none is
// listed.
static int read_wanted(const struct command *cmd, struct wanted *w)
{
    const char *type = vici_get(cmd->msg.root, "type"), *flag = vici_get(cmd->msg.root, "flag");
    w->kinds = ALL_KINDS;
    if (!type || is(type, "any"))
        return 0;
    if (is(type, "x509")) {
        bool any = !flag || is(flag, "any");
        w->kinds =
            (any || is(flag, "none") ? 1u << PKI_X509 : 0) | (any || is(flag, "ca") ? 1u << PKI_CA : 0);
        return any || w->kinds || is(flag, "aa") || is(flag, "ocsp") ? 0 : -1;
    }
    w->kinds = is(type, "x509ca")                            ? 1u << PKI_CA
               : is(type, "x509_crl") || is(type, "x509crl") ? 1u << PKI_CRL
               : is(type, "pubkey")                          ? 1u << PKI_PUBKEY
               : is(type, "ocsp_response")                   ? 1u << PKI_OCSP
                                                             : 0;
    return w->kinds || is(type, "x509_ac") || is(type, "x509ac") || is(type, "x509aa") || is(type, "x509ocsp")
               ? 0
               : -1;
}

struct cert_list {
    struct pages pages;
    struct wanted wanted;
};

static void put_cert(struct vici_out *o, const struct msg_CERT_IS *m)
{
    const char *flag = cert_kind_flag(m->kind);
    vici_put(o, "type", cert_kind_type(m->kind));
    if (flag)
        vici_put(o, "flag", flag);
    if (m->has_key)
        vici_put(o, "has_privkey", "yes");
    vici_put_blob(o, "data", m->data.p, m->data.len);
}

static void add_cert(struct pages *p, enum msg_type t, const union msg *m)
{
    const struct cert_list *l = (const struct cert_list *)p;
    struct vici_out o;
    if (t != MSG_CERT_IS || m->CERT_IS.kind > PKI_OCSP || !(l->wanted.kinds & 1u << m->CERT_IS.kind))
        return;
    if (m->CERT_IS.data.len == 0 || m->CERT_IS.data.len > UINT16_MAX) {
        LOGF(CFG, 1, "list-certs: %s is left out: longer than a VICI value may be", m->CERT_IS.subject);
        return;
    }
    server_event_begin(&o, VICI_EV_LIST_CERT);
    put_cert(&o, &m->CERT_IS);
    server_event_to(p->cmd, VICI_EV_LIST_CERT, &o);
}

static void ask_certs(struct pages *l)
{
    const char *subject = vici_get(l->cmd->msg.root, "subject");
    struct pending *p = pages_ask(l);
    if (!p)
        return;
    struct msg_CERT_LIST m = {.req = p->req, .from = l->from};
    snprintf(m.subject, sizeof(m.subject), "%s", subject ? subject : "");
    ctl_send(p, ROOM_IKE, MSG_CERT_LIST, &m);
}

void cmd_list_certs(struct ctl *c, struct command *cmd)
{
    struct wanted w;
    if (read_wanted(cmd, &w) < 0) {
        server_reply_error(
            cmd, "invalid certificate type or flag: expected x509, x509_crl, pubkey, ocsp_response or "
                 "any, and none, ca or any");
        return;
    }
    struct cert_list *l = calloc(1, sizeof(*l));
    if (!l) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    l->pages = (struct pages){.ctl = c, .cmd = cmd, .ask = ask_certs, .message = add_cert, .room = "ike"};
    l->wanted = w;
    cmd->data = l;
    cmd->free_data = free;
    pages_begin(&l->pages);
}

// ---- flush-certs

// What is cached: everything else was loaded, and stays.
static int cached_kind(const char *type, uint8_t *kind)
{
    static const char *const none[] = {"x509", "x509_ac", "pubkey"};
    *kind = 0;
    if (!type || is(type, "any"))
        return 0;
    if (is(type, "x509_crl"))
        *kind = PKI_CRL;
    else if (is(type, "ocsp_response"))
        *kind = PKI_OCSP;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (is(type, none[i]))
            return 1;
    return *kind ? 0 : -1;
}

void cmd_flush_certs(struct ctl *c, struct command *cmd)
{
    const char *type = vici_get(cmd->msg.root, "type");
    uint8_t kind;
    int r = cached_kind(type, &kind);
    if (r < 0) {
        server_reply_error(cmd, "invalid certificate type '%.40s': expected x509_crl, ocsp_response or any",
                           type);
        return;
    }
    if (r > 0) { // none of that kind is kept unless it was loaded
        server_reply_ok(cmd);
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (p)
        ctl_send(p, ROOM_IKE, MSG_CERTS_FLUSH, &(struct msg_CERTS_FLUSH){.req = p->req, .kind = kind});
}
