// SPDX-License-Identifier: Apache-2.0
// Certification authorities: read here, kept by `ike`.
#include "ctrl/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/config/authority_load.h"
#include "ctrl/lib/log.h"

enum { URIS_WIRE_MAX = AUTHORITY_URIS_MAX * (AUTHORITY_URI_LEN + 2) };

// ---- load-authority

static void warn(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    (void)ctx;
    (void)at;
    LOGF(CFG, 0, "warning: authority %s: %s", path, text);
}

static void note_fault(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    (void)ctx;
    (void)at;
    LOGF(CFG, 0, "authority %s refused: %s", path, text);
}

static struct slice write_uris(struct writer *w, const struct blobs *list)
{
    for (unsigned i = 0; i < list->count; i++)
        wr_slice16(w, blobs_at(list, i));
    return wr_written(w);
}

static void authority_loaded(struct pending *p, bool ok, const char *text)
{
    const char *name = p->cmd->msg.root->child->name;
    if (ok)
        LOGF(CFG, 1, "loaded authority %s", name);
    else
        LOGF(CFG, 0, "authority %s refused: %s", name, text);
    ctl_done_simple(p, ok, text);
}

static void crl_loaded(struct pending *p, bool ok, const char *text)
{
    (void)p;
    if (!ok)
        LOGF(CFG, 0, "warning: a CRL of a file is not taken: %s", text);
}

// Before the authority itself, so that its CRLs are there when the command is answered.
static void send_crls(struct ctl *c, const struct authority_config *a)
{
    for (unsigned i = 0; i < a->crl_count; i++) {
        struct pending *p = ctl_ask(c, NULL, CTL_ANSWER_MS);
        if (!p) {
            LOGF(CFG, 0, "warning: authority %s: a CRL is not loaded: too many commands under way", a->name);
            return;
        }
        p->done = crl_loaded;
        ctl_send(p, ROOM_IKE, MSG_CERT_LOAD,
                 &(struct msg_CERT_LOAD){
                     .req = p->req, .kind = PKI_CRL, .data = slice_of(a->crls[i].der, a->crls[i].len)});
    }
}

static void send_authority(struct pending *p, const struct authority_config *a)
{
    uint8_t crl[URIS_WIRE_MAX], ocsp[URIS_WIRE_MAX];
    struct writer cw = writer_of(crl, sizeof(crl)), ow = writer_of(ocsp, sizeof(ocsp));
    struct msg_AUTHORITY_LOAD m = {.req = p->req,
                                   .cacert = blobs_at(&a->cacert, 0),
                                   .crl_uris = write_uris(&cw, &a->crl_uris),
                                   .ocsp_uris = write_uris(&ow, &a->ocsp_uris)};
    snprintf(m.name, sizeof(m.name), "%s", a->name);
    snprintf(m.cert_uri_base, sizeof(m.cert_uri_base), "%s", a->cert_uri_base);
    ctl_send(p, ROOM_IKE, MSG_AUTHORITY_LOAD, &m);
}

void cmd_load_authority(struct ctl *c, struct command *cmd)
{
    const struct load_report report = {.fault = note_fault, .warn = warn};
    const struct vici_node *section = cmd->msg.root->child;
    struct authority_config a;
    struct esp_error err = {0};
    if (!section || section->kind != VICI_SECTION || section->next) {
        server_reply_error(cmd, "load-authority: expected one section, the authority's");
        return;
    }
    if (config_load_authority(&a, section, &report, &err) < 0) {
        server_reply_error(cmd, "%s", err.text);
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (p) {
        p->done = authority_loaded;
        send_crls(c, &a);
        send_authority(p, &a);
    }
    authority_clear(&a);
}

// ---- unload-authority

static void authority_unloaded(struct pending *p, bool ok, const char *text)
{
    if (ok)
        LOGF(CFG, 1, "unloaded authority %s", vici_get(p->cmd->msg.root, "name"));
    ctl_done_simple(p, ok, text);
}

void cmd_unload_authority(struct ctl *c, struct command *cmd)
{
    const char *name = vici_get(cmd->msg.root, "name");
    if (!name || strlen(name) >= NAME_MAX_LEN) {
        server_reply_error(cmd, name ? "unload: the authority's name is too long"
                                     : "unload: missing authority name");
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->done = authority_unloaded;
    struct msg_AUTHORITY_UNLOAD m = {.req = p->req};
    snprintf(m.name, sizeof(m.name), "%s", name);
    ctl_send(p, ROOM_IKE, MSG_AUTHORITY_UNLOAD, &m);
}

// ---- listing

struct authority_list {
    struct pages pages;
    struct vici_out out; // of get-authorities: one reply, which a frame bounds
};

static void put_uris(struct vici_out *o, const char *name, struct slice uris)
{
    char text[AUTHORITY_URI_LEN];
    struct reader r = reader_of(uris);
    vici_list(o, name);
    while (r.left && !r.bad) {
        struct slice s = rd_slice16(&r);
        if (r.bad || s.len >= sizeof(text))
            break;
        memcpy(text, s.p, s.len);
        text[s.len] = 0;
        vici_item(o, text);
    }
    vici_list_end(o);
}

static void show_authority(struct pages *p, enum msg_type t, const union msg *m)
{
    struct vici_out o;
    if (t != MSG_AUTHORITY_IS)
        return;
    server_event_begin(&o, VICI_EV_LIST_AUTHORITY);
    vici_section(&o, m->AUTHORITY_IS.name);
    vici_put(&o, "cacert", m->AUTHORITY_IS.subject);
    put_uris(&o, "crl_uris", m->AUTHORITY_IS.crl_uris);
    put_uris(&o, "ocsp_uris", m->AUTHORITY_IS.ocsp_uris);
    if (m->AUTHORITY_IS.cert_uri_base[0])
        vici_put(&o, "cert_uri_base", m->AUTHORITY_IS.cert_uri_base);
    vici_section_end(&o);
    server_event_to(p->cmd, VICI_EV_LIST_AUTHORITY, &o);
}

static void add_name(struct pages *p, enum msg_type t, const union msg *m)
{
    if (t == MSG_AUTHORITY_IS)
        vici_item(&((struct authority_list *)p)->out, m->AUTHORITY_IS.name);
}

static void reply_names(struct pages *p)
{
    struct authority_list *l = (struct authority_list *)p;
    struct vici_out o = l->out;
    l->out = (struct vici_out){0}; // the reply outlives the command
    vici_list_end(&o);
    server_reply(p->cmd, &o);
}

static void ask_authorities(struct pages *l)
{
    const char *name = l->end ? NULL : vici_get(l->cmd->msg.root, "name");
    if (((struct authority_list *)l)->out.len > VICI_MAX_FRAME) {
        server_reply_error(l->cmd, "more authorities than a reply of %d octets holds", VICI_MAX_FRAME);
        return;
    }
    struct pending *p = pages_ask(l);
    if (!p)
        return;
    struct msg_AUTHORITY_LIST m = {.req = p->req, .from = l->from};
    snprintf(m.name, sizeof(m.name), "%s", name ? name : "");
    ctl_send(p, ROOM_IKE, MSG_AUTHORITY_LIST, &m);
}

static void free_list(void *data)
{
    struct authority_list *l = data;
    vici_out_free(&l->out);
    free(l);
}

static void list(struct ctl *c, struct command *cmd, bool names)
{
    struct authority_list *l = calloc(1, sizeof(*l));
    if (!l) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    l->pages = (struct pages){.ctl = c,
                              .cmd = cmd,
                              .ask = ask_authorities,
                              .message = names ? add_name : show_authority,
                              .end = names ? reply_names : NULL,
                              .room = "ike"};
    cmd->data = l;
    cmd->free_data = free_list;
    if (names) {
        vici_out_begin(&l->out, VICI_CMD_RESPONSE, NULL);
        vici_list(&l->out, "authorities");
    }
    pages_begin(&l->pages);
}

void cmd_get_authorities(struct ctl *c, struct command *cmd)
{
    list(c, cmd, true);
}

void cmd_list_authorities(struct ctl *c, struct command *cmd)
{
    list(c, cmd, false);
}
