// SPDX-License-Identifier: Apache-2.0
// Connections: load-conn validates and hands on to `ike`, which has the last word; what it has taken is kept
// here for list-conns and get-conns.
#include "ctrl/ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/conn_load.h"
#include "ctrl/ctl/names.h"
#include "ctrl/ctl/replay.h"
#include "ctrl/crypto/signature.h"
#include "ctrl/lib/fence.h"
#include "ctrl/lib/log.h"
#include "ctrl/pki/pki.h"

static void loaded(struct pending *p, bool ok, const char *text);

// ---- the store

static struct conn_entry *find_entry(const struct ctl *c, const char *name)
{
    for (struct hash_node *n = hash_first(&c->conn_names, hash_str(0, name)); n; n = hash_next(n))
        if (strcmp(conn_entry_name((struct conn_entry *)n), name) == 0)
            return (struct conn_entry *)n;
    return NULL;
}

const struct conn_entry *ctl_find_conn(const struct ctl *c, const char *name)
{
    return find_entry(c, name);
}

// Of several connections that have one of that name the first that was loaded.
const struct conn_entry *ctl_find_child(const struct ctl *c, const char *conn, const char *child)
{
    const struct conn_entry *first = NULL;
    for (struct hash_node *n = hash_first(&c->child_names, hash_str(0, child)); n; n = hash_next(n)) {
        const struct child_entry *k = (const struct child_entry *)n;
        if (strcmp(k->name, child) == 0 && (!conn[0] || strcmp(conn_entry_name(k->of), conn) == 0) &&
            (!first || k->of->number < first->number))
            first = k->of;
    }
    return first;
}

// With those that ike has not answered yet: it must not fail when it has said yes.
static bool room_for(struct ctl *c, const struct conn_entry *e)
{
    size_t conns = 1, children = e->child_count;
    for (const struct pending *p = c->pending; p; p = p->next)
        if (p->done == loaded) {
            conns++;
            children += ((const struct conn_entry *)p->data)->child_count;
        }
    return hash_room(&c->conn_names, conns) == 0 && hash_room(&c->child_names, children) == 0;
}

static void enter(struct ctl *c, struct conn_entry *e)
{
    (void)hash_add(&c->conn_names, &e->node, hash_str(0, conn_entry_name(e))); // room_for has been asked
    for (unsigned i = 0; i < e->child_count; i++)
        (void)hash_add(&c->child_names, &e->children[i].node, hash_str(0, e->children[i].name));
}

static void leave(struct ctl *c, struct conn_entry *e)
{
    hash_del(&c->conn_names, &e->node);
    for (unsigned i = 0; i < e->child_count; i++)
        hash_del(&c->child_names, &e->children[i].node);
}

// Behind those with a lower number, which is looked for from `after` on, both ways: nearly always it is
// there.
static void put_into_list(struct ctl *c, struct conn_entry *e, struct conn_entry *after)
{
    while (after && after->number > e->number)
        after = after->prev;
    struct conn_entry *next = after ? after->next : c->conns;
    for (; next && next->number < e->number; next = next->next)
        after = next;
    e->prev = after;
    e->next = next;
    *(e->prev ? &e->prev->next : &c->conns) = e;
    *(e->next ? &e->next->prev : &c->last_conn) = e;
}

static void take_off_list(struct ctl *c, struct conn_entry *e)
{
    *(e->prev ? &e->prev->next : &c->conns) = e->next;
    *(e->next ? &e->next->prev : &c->last_conn) = e->prev;
}

bool ctl_read_conn(const struct conn_entry *e, struct conn_config *out)
{
    struct reader r = reader_of(slice_of(conn_entry_wire(e), e->wire_len));
    return conn_read(&r, out);
}

struct conn_entry *ctl_new_conn(const struct conn_config *cfg, struct slice wire)
{
    struct conn_entry *e = calloc(1, sizeof(*e) + cfg->child_count * sizeof(e->children[0]) + wire.len);
    if (!e)
        return NULL;
    e->wire_len = (uint32_t)wire.len;
    e->child_count = cfg->child_count;
    e->fleet = cfg->fence != FENCE_NONE;
    for (unsigned i = 0; i < e->child_count; i++)
        e->by_hand |= cfg->children[i].trap_by_hand != TRAP_AS_CONFIGURED;
    uint8_t *copy = memcpy(e->children + e->child_count, wire.p, wire.len);
    const char *at = (const char *)copy + conn_names_at(cfg);
    for (unsigned i = 0; i < e->child_count; i++) {
        e->children[i].of = e;
        e->children[i].name = at;
        at += strlen(at) + 1;
    }
    return e;
}

void ctl_free_conns(struct ctl *c)
{
    while (c->conns) {
        struct conn_entry *e = c->conns;
        c->conns = e->next;
        free(e);
    }
    c->last_conn = NULL;
    hash_free(&c->conn_names);
    hash_free(&c->child_names);
}

// ---- load-conn

static void warn(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    (void)ctx;
    (void)at;
    LOGF(CFG, 0, "warning: %s: %s", path, text);
}

// The faults of one connection, for the log and, as far as they fit, for the client.
struct faults {
    unsigned count;
    size_t len;
    char first[480]; // the first one's, without where it is
    char text[900];  // one after the other, behind the number of faults
};
enum { FAULTS_LOGGED = 64 };

static void note_fault(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    struct faults *f = ctx;
    char line[600];
    (void)at;
    if (!f->count)
        snprintf(f->first, sizeof(f->first), "%s", text);
    if (f->count++ < FAULTS_LOGGED)
        LOGF(CFG, 0, "connection refused: %s: %s", path, text);
    int n = snprintf(line, sizeof(line), "%s %s: %s", f->len ? ";" : "", path, text);
    if (n <= 0 || (size_t)n >= sizeof(line) || (size_t)n >= sizeof(f->text) - f->len)
        return; // the client is told how many there are
    memcpy(f->text + f->len, line, (size_t)n + 1);
    f->len += (size_t)n;
}

static void reply_faults(struct command *cmd, const struct faults *f, const struct esp_error *first)
{
    if (f->count > FAULTS_LOGGED)
        LOGF(CFG, 0, "connection refused: %u more faults", f->count - FAULTS_LOGGED);
    if (f->count > 1)
        server_reply_error(cmd, "%u faults, config discarded (all are in the log):%s", f->count, f->text);
    else if (f->count == 1)
        server_reply_error(cmd, "%s, config discarded", f->first);
    else
        server_reply_error(cmd, "%s", first->text);
}

static void unloaded(struct pending *p, bool ok, const char *text);

static const char *name_of(const struct pending *p) // that a load or unload is about; NULL: another question
{
    const struct conn_entry *e = p->data;
    return p->done == unloaded ? p->data : p->done == loaded ? conn_entry_name(e) : NULL;
}

// It is ike that knows what comes of the next one.
bool ctl_under_way(const struct ctl *c, const char *name)
{
    for (const struct pending *p = c->pending; p; p = p->next)
        if (name_of(p) && strcmp(name_of(p), name) == 0)
            return true;
    return false;
}

// The client has waited long enough. What ike does later still counts.
static void too_late(struct timer *t)
{
    struct pending *p = t->ctx;
    LOGF(CFG, 0, "connection %s: no answer in time", name_of(p));
    if (p->done == loaded) {
        ctl_sweep_refused(p->ctl, name_of(p));
        ctl_sweep_ends(p->ctl, p->cmd);
    }
    ctl_done_simple(p, false, "no answer in time");
    if (p->fleet_req)
        ctl_fleet_loaded(p->ctl, p->fleet_req, NULL, false, "no answer in time");
    p->fleet_req = 0;
    p->cmd = NULL;
}

static void keep(struct ctl *c, struct conn_entry *e)
{
    struct conn_entry *old = find_entry(c, conn_entry_name(e));
    c->conn_count += !old;
    if (old && c->replay.told == old)
        c->replay.told = e; // it has its number
    if (old) {
        take_off_list(c, old);
        leave(c, old);
    }
    put_into_list(c, e, old ? old->prev : c->last_conn);
    enter(c, e);
    LOGF(CFG, 2, "%s connection: %s", old ? "updated" : "added", conn_entry_name(e));
    free(old);
}

static void loaded(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    struct conn_entry *e = p->data;
    if (p->cmd)
        ctl_sweep_ends(c, p->cmd);
    if (!ok) {
        LOGF(CFG, 0, "connection %s refused: %s", conn_entry_name(e), text);
        ctl_sweep_refused(c, conn_entry_name(e));
        ctl_done_simple(p, false, text);
        if (p->fleet_req)
            ctl_fleet_loaded(c, p->fleet_req, e, false, text);
        return;
    }
    p->data = NULL;                           // the list has it
    names_keep(c->names, conn_entry_name(e)); // an unload that came before has been answered since
    keep(c, e);
    ctl_sweep_taken(c, conn_entry_name(e));
    replay_settled(c);
    ctl_done_simple(p, true, "");
    if (p->fleet_req)
        ctl_fleet_loaded(c, p->fleet_req, e, true, "");
}

bool ctl_conn_is(struct ctl *c, const struct msg_CONN_IS *m)
{
    struct conn_config cfg;
    struct reader r = reader_of(m->conn);
    if (!conn_read(&r, &cfg))
        return false;
    struct conn_entry *e = rd_done(&r) ? ctl_new_conn(&cfg, m->conn) : NULL;
    conn_clear(&cfg);
    if (!e || !room_for(c, e)) {
        free(e);
        return false;
    }
    e->number = m->number;
    if (e->number > c->conn_number)
        c->conn_number = e->number;
    names_keep(c->names, conn_entry_name(e)); // the file may have lost it
    keep(c, e);
    ctl_sweep_taken(c, conn_entry_name(e));
    return true;
}

static void forget(struct ctl *c, struct conn_entry *e)
{
    if (c->replay.told == e)
        c->replay.told = e->prev;
    take_off_list(c, e);
    leave(c, e);
    free(e);
    c->conn_count--;
}

// What it protects stays blocked meanwhile, also what an earlier run left.
bool ctl_conn_is_missing(struct ctl *c, const char *name, bool missing)
{
    struct conn_entry *e = find_entry(c, name);
    if (!e || e->missing == missing)
        return false;
    e->missing = missing;
    if (missing)
        ctl_sweep_refused(c, name);
    else
        ctl_sweep_taken(c, name);
    return true;
}

static void not_loaded(struct ctl *c, const struct command *cmd)
{
    for (const struct vici_node *n = cmd->msg.root->child; n; n = n->next)
        if (n->kind == VICI_SECTION)
            ctl_sweep_refused(c, n->name);
}

// A connection that has been read; 0: what it is as it goes to ike.
static int read_conn(struct ctl *c, const struct vici_node *section, uint32_t fence, struct faults *faults,
                     struct writer *w, struct conn_entry **out, struct esp_error *err)
{
    const struct load_report report = {.ctx = faults, .fault = note_fault, .warn = warn};
    struct conn_config cfg = {0};
    int r = config_load_conn(&cfg, section, &report, err);
    if (r == 0)
        r = ctl_fence_conn(c, &cfg, fence, err);
    if (r == 0 && !ctl_keep_by_hand(c, &cfg))
        r = esp_fail(err, -ENOMEM, "", "out of memory");
    if (r == 0)
        conn_write(w, &cfg);
    if (r == 0 && (w->bad || (c->conn_count >= CTL_MAX_CONNS && !ctl_find_conn(c, section->name))))
        r = esp_fail(err, -1, "",
                     w->bad ? "the connection is too large, config discarded"
                            : "more than %d connections, config discarded",
                     CTL_MAX_CONNS);
    if (r)
        LOGF(CFG, 0, "loading connection %.100s failed: %s", section->name, err->text);
    else if (!(*out = ctl_new_conn(&cfg, wr_written(w))) || !room_for(c, *out))
        r = esp_fail(err, -ENOMEM, "", "out of memory");
    if (r) {
        free(*out);
        *out = NULL;
    }
    conn_clear(&cfg);
    return r;
}

static void send_load(struct pending *p)
{
    const struct conn_entry *e = p->data;
    struct msg_CONN_LOAD m = {
        .req = p->req, .number = e->number, .conn = slice_of(conn_entry_wire(e), e->wire_len)};
    ctl_send(p, ROOM_IKE, MSG_CONN_LOAD, &m);
}

static void ask_ike(struct ctl *c, struct command *cmd, uint32_t fleet_req, struct conn_entry *e)
{
    struct pending *p;
    ctl_sweep_begins(c, conn_entry_name(e));
    if (!(p = ctl_ask(c, cmd, CTL_ANSWER_MS))) {
        ctl_sweep_refused(c, conn_entry_name(e));
        ctl_sweep_ends(c, NULL);
        if (fleet_req)
            ctl_fleet_loaded(c, fleet_req, NULL, false, "too many commands under way");
        free(e);
        return;
    }
    p->fleet_req = fleet_req;
    p->data = e;
    p->free_data = free;
    p->done = loaded;
    p->deadline.fire = too_late;
    const struct conn_entry *old = find_entry(c, conn_entry_name(e));
    e->number = old ? old->number : ++c->conn_number;
    p->ask_again = send_load;
    send_load(p);
}

// Swanctl sends every connection again with each --load-all; what is as it was is left alone.
static bool is_unchanged(struct ctl *c, const struct conn_entry *e, struct slice wire)
{
    const struct conn_entry *old = ctl_find_conn(c, conn_entry_name(e));
    if (!old || old->missing || ctl_under_way(c, conn_entry_name(e)) ||
        !slice_eq(slice_of(conn_entry_wire(old), old->wire_len), wire))
        return false;
    LOGF(CFG, 2, "connection %s is unchanged", conn_entry_name(old));
    ctl_sweep_taken(c, conn_entry_name(old));
    return true;
}

void ctl_load_conn(struct ctl *c, struct command *cmd, struct conn_entry *e)
{
    ask_ike(c, cmd, 0, e);
}

struct conn_entry *ctl_conn_of(struct ctl *c, struct command *cmd, bool loads, struct writer *w)
{
    struct esp_error err = {0};
    struct faults faults = {0};
    struct conn_entry *e = NULL;
    const struct vici_node *section = cmd->msg.root->child;
    bool one = section && section->kind == VICI_SECTION && !section->next;
    const struct conn_entry *old = one ? ctl_find_conn(c, section->name) : NULL;
    if (old && old->fleet) {
        server_reply_error(cmd, "connection '%.128s' is the fleet's: espalier fleet load", section->name);
        return NULL;
    }
    if (one && read_conn(c, section, FENCE_NONE, &faults, w, &e, &err) == 0)
        return e;
    if (loads)
        not_loaded(c, cmd);
    if (one)
        reply_faults(cmd, &faults, &err);
    else
        server_reply_error(cmd, "%s: expected one section, the connection's", cmd->name);
    return NULL;
}

void cmd_load_conn(struct ctl *c, struct command *cmd)
{
    struct writer w = writer_of(c->conn_wire, sizeof(c->conn_wire));
    ctl_sweep_load(c, cmd);
    struct conn_entry *e = ctl_conn_of(c, cmd, true, &w);
    if (e && is_unchanged(c, e, wr_written(&w))) {
        server_reply_ok(cmd);
        free(e);
    } else if (e) {
        ask_ike(c, cmd, 0, e);
    }
}

void ctl_load_fleet_conn(struct ctl *c, const struct vici_node *section, uint32_t fence, uint32_t req)
{
    struct esp_error err = {0};
    struct faults faults = {0};
    struct conn_entry *e = NULL;
    struct writer w = writer_of(c->conn_wire, sizeof(c->conn_wire));
    if (read_conn(c, section, fence, &faults, &w, &e, &err) != 0) {
        ctl_sweep_refused(c, section->name);
        ctl_fleet_loaded(c, req, NULL, false, err.text);
    } else if (is_unchanged(c, e, wr_written(&w))) {
        ctl_fleet_loaded(c, req, e, true, "");
        free(e);
    } else {
        ask_ike(c, NULL, req, e);
    }
}

// ---- unload-conn

static void unloaded(struct pending *p, bool ok, const char *text)
{
    struct ctl *c = p->ctl;
    const char *name = p->data;
    struct conn_entry *e = find_entry(c, name);
    if (ok && ctl_under_way(c, name)) // it is loaded again
        ctl_sweep_taken(c, name);
    else if (ok)
        ctl_sweep_unloaded(c, name);
    if (ok && e) {
        forget(c, e);
        LOGF(CFG, 1, "removed connection: %s", name);
        replay_settled(c);
    }
    ctl_done_simple(p, ok, text);
    if (p->fleet_req)
        ctl_fleet_loaded(c, p->fleet_req, NULL, ok, text);
}

static void send_unload(struct pending *p)
{
    struct msg_CONN_UNLOAD m = {.req = p->req};
    snprintf(m.conn, sizeof(m.conn), "%s", (const char *)p->data);
    ctl_send(p, ROOM_IKE, MSG_CONN_UNLOAD, &m);
}

static void unload(struct ctl *c, struct command *cmd, uint32_t fleet_req, const char *name)
{
    char *copy = strdup(name);
    if (!copy && cmd)
        server_reply_error(cmd, "out of memory");
    struct pending *p = copy ? ctl_ask(c, cmd, CTL_ANSWER_MS) : NULL;
    if (!p) {
        if (fleet_req)
            ctl_fleet_loaded(c, fleet_req, NULL, false, "out of memory");
        free(copy);
        return;
    }
    p->fleet_req = fleet_req;
    p->data = copy;
    p->free_data = free;
    p->done = unloaded;
    p->deadline.fire = too_late;
    p->ask_again = send_unload;
    send_unload(p);
}

void ctl_unload_fleet_conn(struct ctl *c, const char *name, uint32_t req)
{
    unload(c, NULL, req, name);
}

// A connection that was refused, or that only an earlier run had, is out of the configuration with this, too.
// What is awaited behind a ctl that died path may have still, though ike has it not.
void cmd_unload_conn(struct ctl *c, struct command *cmd)
{
    const char *name = vici_get(cmd->msg.root, "name");
    const struct conn_entry *e = name ? ctl_find_conn(c, name) : NULL;
    if (!name)
        server_reply_error(cmd, "unload: connection name missing");
    else if (e && e->fleet)
        server_reply_error(cmd, "unload: connection '%.128s' is the fleet's: espalier fleet load", name);
    else if (ctl_find_conn(c, name) || ctl_under_way(c, name) || (c->follows && ctl_sweep_knows(c, name)))
        unload(c, cmd, 0, name);
    else if (ctl_sweep_given_up(c, name))
        server_reply_ok(cmd);
    else
        server_reply_error(cmd, "unload: connection '%.128s' not found", name);
}

// ---- listing

struct awaited_names {
    const struct ctl *ctl;
    struct vici_out *out;
};

// Refused, or of an earlier run, and something may still stand in the kernel for it: swanctl unloads what is
// listed here and not in its file, which is how a connection is taken out.
static void put_awaited(void *ctx, const char *name)
{
    struct awaited_names *r = ctx;
    if (!ctl_find_conn(r->ctl, name))
        vici_item(r->out, name);
}

void cmd_get_conns(struct ctl *c, struct command *cmd)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_list(&o, "conns");
    for (const struct conn_entry *e = c->conns; e; e = e->next)
        if (!e->fleet)
            vici_item(&o, conn_entry_name(e));
    ctl_sweep_names(c, put_awaited, &(struct awaited_names){c, &o});
    vici_list_end(&o);
    server_reply(cmd, &o);
}

static void put_addrs(struct vici_out *o, const char *name, const struct addr *list, unsigned count)
{
    char text[64];
    vici_list(o, name);
    for (unsigned i = 0; i < count; i++)
        vici_item(o, addr_print(&list[i], text, sizeof(text)));
    if (!count)
        vici_item(o, "%any");
    vici_list_end(o);
}

static void put_ts(struct vici_out *o, const char *name, const struct ts_list *l)
{
    char text[128];
    vici_list(o, name);
    for (int i = 0; i < l->count; i++)
        vici_item(o, ts_print(&l->t[i], text, sizeof(text)));
    vici_list_end(o);
}

// ---- local and remote, as charon shows them

static void print_key_id(char *text, size_t size, struct slice spki)
{
    struct cr_key *key = NULL;
    struct esp_error unused;
    uint8_t id[20] = {0};
    size_t n = 0;
    text[0] = 0;
    if (cr_key_public(spki.p, spki.len, &key, &unused) == 0 && cr_key_info_id(key, id) == 0)
        for (size_t i = 0; i < sizeof(id) && n + 4 < size; i++)
            n += (size_t)snprintf(text + n, size - n, "%s%02x", i ? ":" : "", id[i]);
    cr_key_free(key);
}

static void print_subject(char *text, size_t size, enum pki_kind kind, struct slice der)
{
    struct pki_info info;
    struct esp_error unused;
    if (kind == PKI_PUBKEY)
        print_key_id(text, size, der);
    else
        snprintf(text, size, "%s", pki_describe(kind, der, &info, &unused) == 0 ? info.subject : "");
}

static void put_subjects(struct vici_out *o, enum pki_kind kind, const struct blobs *list)
{
    char text[PKI_TEXT_LEN];
    for (unsigned i = 0; i < list->count; i++) {
        print_subject(text, sizeof(text), kind, blobs_at(list, i));
        vici_item(o, text);
    }
}

static void put_policies(struct vici_out *o, const struct blobs *list)
{
    char text[80];
    vici_list(o, "cert_policy");
    for (unsigned i = 0; i < list->count; i++) {
        struct slice s = blobs_at(list, i);
        snprintf(text, sizeof(text), "%.*s", (int)s.len, (const char *)s.p);
        vici_item(o, text);
    }
    vici_list_end(o);
}

// The identity; where none is given and a certificate or key stands for it, that one's.
static void put_id(struct vici_out *o, const struct auth_side *s)
{
    char text[PKI_TEXT_LEN] = "%any";
    bool key = !s->certs.count && s->pubkeys.count;
    if (s->id[0])
        snprintf(text, sizeof(text), "%s", s->id);
    else if (s->auth == AUTH_PUBKEY && (s->certs.count || s->pubkeys.count))
        print_subject(text, sizeof(text), key ? PKI_PUBKEY : PKI_X509,
                      blobs_at(key ? &s->pubkeys : &s->certs, 0));
    vici_put(o, "id", text);
}

static void put_auth(struct vici_out *o, const char *name, const struct auth_side *s)
{
    static const char *const revocation[] = {NULL, "SKIPPED", "GOOD"}; // the least that an answer must say
    vici_section(o, name);
    vici_put(o, "class",
             s->auth == AUTH_PUBKEY ? "public key"
             : s->auth == AUTH_EAP  ? "EAP"
                                    : "pre-shared key");
    if (s->auth == AUTH_EAP)
        vici_put(o, "eap-type", s->eap_type == EAP_TLS ? "TLS" : "MSCHAPV2");
    put_id(o, s);
    if (auth_id(s, AUTH_AAA_ID)[0])
        vici_put(o, "aaa_id", auth_id(s, AUTH_AAA_ID));
    if (auth_id(s, AUTH_EAP_ID)[0])
        vici_put(o, "eap_id", auth_id(s, AUTH_EAP_ID));
    if (revocation[s->revocation % 3])
        vici_put(o, "revocation", revocation[s->revocation % 3]);
    vici_list(o, "groups");
    vici_list_end(o);
    put_policies(o, &s->cert_policy);
    vici_list(o, "certs");
    put_subjects(o, PKI_X509, &s->certs);
    put_subjects(o, PKI_PUBKEY, &s->pubkeys);
    vici_list_end(o);
    vici_list(o, "cacerts");
    put_subjects(o, PKI_CA, &s->cacerts);
    vici_list_end(o);
    vici_section_end(o);
}

const char *ctl_mode_name(uint8_t action, uint8_t mode)
{
    return action == POLICY_BYPASS    ? "PASS"
           : action == POLICY_DISCARD ? "DROP"
           : mode == MODE_TRANSPORT   ? "TRANSPORT"
                                      : "TUNNEL";
}

// Of a child that is to be up and is not, as ike says it: to whom asks for `tries`, which stock clients do
// not.
struct
try {
    char conn[NAME_MAX_LEN], child[NAME_MAX_LEN];
    uint32_t failures, next_ms;
};
struct conn_list {
    struct pages pages; // first
    bool tries;
    uint64_t next; // place of the first one behind the page that ike is asked about; 0: there is none
    struct try *at;
    size_t count, room;
    uint8_t names[COUNTS_PAGE * NAME_MAX_LEN];
};

static const struct try *try_of(const struct conn_list *l, const char *conn, const char *child)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->at[i].child, child) == 0 && strcmp(l->at[i].conn, conn) == 0)
            return &l->at[i];
    return NULL;
}

static void put_try(struct vici_out *o, const struct try *t)
{
    if (!t)
        return;
    vici_putf(o, "failures", "%u", t->failures);
    if (t->next_ms != UINT32_MAX)
        vici_putf(o, "next-try", "%u", t->next_ms / 1000 + (t->next_ms % 1000 != 0));
}

static void put_child(struct vici_out *o, const struct child_config *child, const struct try *t)
{
    static const char *const dpd[] = {"clear", "trap", "restart"}, *const action[] = {"none", "trap", "start",
                                                                                      "trap|start"};
    static const char *const offload[] = {"default", "no", "auto", "yes", "crypto", "packet"};
    vici_section(o, child->name);
    vici_put(o, "mode", ctl_mode_name(child->action, child->mode));
    vici_putf(o, "rekey_time", "%u", child->rekey_time);
    vici_putf(o, "rekey_bytes", "%llu", (unsigned long long)child->rekey_bytes);
    vici_putf(o, "rekey_packets", "%llu", (unsigned long long)child->rekey_packets);
    vici_put(o, "dpd_action", dpd[child->dpd_action % 3]);
    vici_put(o, "close_action", action[child->close_action % 4]);
    vici_put(o, "start_action", action[child->start_action % 4]);
    vici_put(o, "hw_offload", offload[child->hw_offload % 6]);
    put_ts(o, "local-ts", child->local_ts);
    put_ts(o, "remote-ts", child->remote_ts);
    put_try(o, t);
    vici_section_end(o);
}

static void put_rounds(struct vici_out *o, const struct conn_config *conn, bool local)
{
    char name[24];
    for (unsigned n = 0; conn_round(conn, local, 0)->auth && n < conn_rounds(conn, local); n++) {
        snprintf(name, sizeof(name), "%s-%u", local ? "local" : "remote", n + 1);
        put_auth(o, name, conn_round(conn, local, n));
    }
}

static void put_conn(struct vici_out *o, const struct conn_config *conn, const struct conn_list *l)
{
    static const char *const unique[] = {"UNIQUE_NO", "UNIQUE_NEVER", "UNIQUE_KEEP", "UNIQUE_REPLACE"};
    vici_section(o, conn->name);
    put_addrs(o, "local_addrs", conn->local_addrs, conn->local_count);
    put_addrs(o, "remote_addrs", conn->remote_addrs, conn->remote_count);
    vici_put(o, "version", "IKEv2");
    vici_putf(o, "reauth_time", "%u", conn->reauth_time);
    vici_putf(o, "rekey_time", "%u", conn->rekey_time);
    vici_putf(o, "dpd_delay", "%u", conn->dpd_delay);
    vici_put(o, "unique", unique[conn->unique % 4]);
    for (int local = 1; local >= 0; local--)
        put_rounds(o, conn, local);
    vici_section(o, "children");
    for (int i = 0; i < conn->child_count; i++)
        put_child(o, &conn->children[i], try_of(l, conn->name, conn->children[i].name));
    vici_section_end(o);
    vici_section_end(o);
}

static bool is_asked_for(const struct pages *l, const struct conn_entry *e)
{
    const char *only = vici_get(l->cmd->msg.root, "ike");
    return !only || strcmp(only, conn_entry_name(e)) == 0;
}

static const struct conn_entry *first_of(const struct pages *l)
{
    const struct conn_entry *e = l->ctl->conns;
    while (e && e->number < l->from)
        e = e->next;
    return e;
}

// From memory here, but at the client's pace as what other rooms have. end: where it stops; 0: it does not.
static void tell_conns(struct pages *l, uint64_t end)
{
    const struct conn_entry *e = first_of(l);
    for (; e && (!end || e->number < end) && !server_full(l->cmd); e = e->next) {
        struct conn_config cfg;
        struct vici_out o;
        if (!is_asked_for(l, e))
            continue;
        if (!ctl_read_conn(e, &cfg)) {
            server_reply_error(l->cmd, "list-conns: out of memory");
            return;
        }
        server_event_begin(&o, VICI_EV_LIST_CONN);
        put_conn(&o, &cfg, (const struct conn_list *)l);
        server_event_to(l->cmd, VICI_EV_LIST_CONN, &o);
        conn_clear(&cfg);
    }
    pages_next(l, e ? e->number : 0);
}

static void keep_try(struct pages *p, enum msg_type t, const union msg *m)
{
    struct conn_list *l = (struct conn_list *)p;
    if (t != MSG_CHILD_COUNTS || !m->CHILD_COUNTS.failures || m->CHILD_COUNTS.up ||
        l->count == (size_t)COUNTS_PAGE * CHILDREN_MAX)
        return;
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 16;
        struct try *more = realloc(l->at, room * sizeof(*more));
        if (!more)
            return; // it is listed without
        l->at = more;
        l->room = room;
    }
    struct try *k = &l->at[l->count++];
    *k = (struct try){.failures = m->CHILD_COUNTS.failures, .next_ms = m->CHILD_COUNTS.next_ms};
    snprintf(k->conn, sizeof(k->conn), "%s", m->CHILD_COUNTS.conn);
    snprintf(k->child, sizeof(k->child), "%s", m->CHILD_COUNTS.child);
}

// Without an ike that answers they are listed all the same.
static void tries_known(struct pending *p, bool ok, const char *text)
{
    struct conn_list *l = p->cmd->data;
    (void)ok, (void)text;
    tell_conns(&l->pages, l->next ? l->next : UINT64_MAX);
}

static void ask_tries(struct conn_list *l)
{
    struct writer w = writer_of(l->names, sizeof(l->names));
    const struct conn_entry *e = first_of(&l->pages);
    unsigned n = 0;
    l->count = 0;
    for (; e && n < COUNTS_PAGE; e = e->next) {
        if (!is_asked_for(&l->pages, e))
            continue;
        wr_cstr(&w, conn_entry_name(e));
        n++;
    }
    l->next = e ? e->number : 0;
    struct pending *p = pages_ask(&l->pages);
    if (!p)
        return;
    p->done = tries_known;
    ctl_send(p, ROOM_IKE, MSG_COUNTS_LIST, &(struct msg_COUNTS_LIST){.req = p->req, .names = wr_written(&w)});
}

static void list_conns(struct pages *p)
{
    struct conn_list *l = (struct conn_list *)p;
    if (l->tries)
        ask_tries(l);
    else
        tell_conns(p, 0);
}

static void free_list(void *data)
{
    struct conn_list *l = data;
    free(l->at);
    free(l);
}

void cmd_list_conns(struct ctl *c, struct command *cmd)
{
    struct conn_list *l = calloc(1, sizeof(*l));
    if (!l) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    l->tries = vici_get_yes(cmd->msg.root, "tries", false);
    l->pages = (struct pages){.ctl = c, .cmd = cmd, .ask = list_conns, .message = keep_try, .room = "ctl"};
    cmd->data = l;
    cmd->free_data = free_list;
    pages_begin(&l->pages);
}
