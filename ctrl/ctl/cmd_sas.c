// SPDX-License-Identifier: Apache-2.0
// SAs and policies as VICI shows them: what `ike` knows of an SA, with the counters and the engine that
// `path` knows.
#include "ctrl/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/lib/log.h"
#include "ctrl/lib/sa_edition.h"

// ---- one SA

static void put_transform(struct vici_out *o, const char *name, enum transform_type type, uint16_t id,
                          uint16_t bits)
{
    if (id)
        vici_put(o, name, transform_name((struct transform){(uint8_t)type, id, bits}));
}

static void put_endpoint(struct vici_out *o, const char *side, const struct addr *a, uint16_t port,
                         const char *id)
{
    char key[32], text[64];
    snprintf(key, sizeof(key), "%s-host", side);
    vici_put(o, key, addr_print(a, text, sizeof(text)));
    snprintf(key, sizeof(key), "%s-port", side);
    vici_putf(o, key, "%u", port);
    snprintf(key, sizeof(key), "%s-id", side);
    vici_put(o, key, id[0] ? id : "%any");
}

// Virtual addresses, with a blank between two.
static void put_vips(struct vici_out *o, const char *name, const char *vips)
{
    char one[64];
    if (!vips[0])
        return;
    vici_list(o, name);
    while (*vips) {
        size_t n = strcspn(vips, " ");
        snprintf(one, sizeof(one), "%.*s", (int)n, vips);
        vici_item(o, one);
        vips += n + strspn(vips + n, " ");
    }
    vici_list_end(o);
}

// What is not as it is loaded; and why it cannot become that without an end of it.
static void put_edition(struct vici_out *o, uint8_t edition, const char *what)
{
    static const char *const why[SA_EDITIONS] = {
        [SA_PEER_BEGINS] =
            "it has been edited, and no address of its peer is configured: the peer has to begin",
        [SA_NO_CHILD] = "it has been edited, and none of its CHILD_SAs is configured any more",
        [SA_NOT_LOADED] = "is loaded no more, or protects no more",
    };
    if (edition == SA_AS_LOADED || edition >= SA_EDITIONS)
        return;
    vici_put(o, "edition", edition == SA_NOT_LOADED ? "not-loaded" : "edited");
    if (edition == SA_NOT_LOADED)
        vici_putf(o, "stays", "its %s %s", what, why[edition]);
    else if (why[edition])
        vici_put(o, "stays", why[edition]);
}

void ctl_put_ike(struct vici_out *o, const struct msg_IKE_INFO *i)
{
    vici_putf(o, "uniqueid", "%u", i->id);
    vici_put(o, "version", "2");
    vici_put(o, "state", i->state);
    put_endpoint(o, "local", &i->local, i->local_port, i->local_id);
    put_endpoint(o, "remote", &i->remote, i->remote_port, i->remote_id);
    if (i->initiator)
        vici_put(o, "initiator", "yes");
    vici_putf(o, "initiator-spi", "%016llx", (unsigned long long)i->spi_i);
    vici_putf(o, "responder-spi", "%016llx", (unsigned long long)i->spi_r);
    if (i->nat_local)
        vici_put(o, "nat-local", "yes");
    if (i->nat_remote)
        vici_put(o, "nat-remote", "yes");
    if (i->nat_local || i->nat_remote)
        vici_put(o, "nat-any", "yes");
    put_transform(o, "encr-alg", TR_ENCR, i->encr, i->encr_bits);
    if (i->encr_bits)
        vici_putf(o, "encr-keysize", "%u", i->encr_bits);
    put_transform(o, "integ-alg", TR_INTEG, i->integ, 0);
    put_transform(o, "prf-alg", TR_PRF, i->prf, 0);
    put_transform(o, "dh-group", TR_KE, i->ke, 0);
    if (strcmp(i->state, "ESTABLISHED") == 0)
        vici_putf(o, "established", "%u", i->established_s);
    if (i->rekey_s)
        vici_putf(o, "rekey-time", "%u", i->rekey_s);
    if (i->ppk)
        vici_put(o, "ppk", "yes");
    if (i->handshake_us)
        vici_putf(o, "handshake-us", "%u", i->handshake_us);
    put_edition(o, i->edition, "connection");
    put_vips(o, "local-vips", i->local_vips);
    put_vips(o, "remote-vips", i->remote_vips);
    put_vips(o, "dns-servers", i->dns);
}

static void put_ts(struct vici_out *o, const char *name, const struct ts_list *l)
{
    char text[128];
    vici_list(o, name);
    for (int i = 0; i < l->count; i++)
        vici_item(o, ts_print(&l->t[i], text, sizeof(text)));
    vici_list_end(o);
}

static void put_traffic(struct vici_out *o, const struct msg_PATH_SA *p)
{
    vici_putf(o, "bytes-in", "%llu", (unsigned long long)p->bytes_in);
    vici_putf(o, "packets-in", "%llu", (unsigned long long)p->packets_in);
    if (p->use_in_s != UINT32_MAX)
        vici_putf(o, "use-in", "%u", p->use_in_s);
    vici_putf(o, "bytes-out", "%llu", (unsigned long long)p->bytes_out);
    vici_putf(o, "packets-out", "%llu", (unsigned long long)p->packets_out);
    if (p->use_out_s != UINT32_MAX)
        vici_putf(o, "use-out", "%u", p->use_out_s);
    if (p->dummies_out)
        vici_putf(o, "dummies-out", "%llu", (unsigned long long)p->dummies_out);
}

static void put_engine(struct vici_out *o, const struct msg_PATH_SA *p)
{
    vici_put(o, "offload", p->offload);
    if (p->offload_reason[0])
        vici_put(o, "offload-reason", p->offload_reason);
    if (p->card[0])
        vici_put(o, "card", p->card);
    vici_putf(o, "path-since", "%u", p->path_since_s);
}

// As charon names them; and the device, which it has none of.
static void put_interface(struct vici_out *o, const struct msg_PATH_SA *p)
{
    if (!p->if_id)
        return;
    vici_putf(o, "if-id-in", "%08x", p->if_id);
    vici_putf(o, "if-id-out", "%08x", p->if_id);
    vici_put(o, "interface", p->interface);
    if (p->route[0])
        vici_put(o, "route", p->route);
}

void ctl_put_child_keys(struct vici_out *o, const struct msg_CHILD_INFO *i, const struct msg_PATH_SA *path)
{
    const struct msg_PATH_SA unused = {.use_in_s = UINT32_MAX, .use_out_s = UINT32_MAX};
    vici_put(o, "name", i->name);
    vici_putf(o, "uniqueid", "%u", i->id);
    vici_putf(o, "reqid", "%u", i->reqid);
    vici_put(o, "state", i->state);
    vici_put(o, "mode", ctl_mode_name(POLICY_PROTECT, i->mode));
    vici_put(o, "protocol", i->encr ? "ESP" : "AH");
    if (i->udp_encap)
        vici_put(o, "encap", "yes");
    vici_putf(o, "spi-in", "%08x", i->spi_in);
    vici_putf(o, "spi-out", "%08x", i->spi_out);
    if (i->encr)
        put_transform(o, "encr-alg", TR_ENCR, i->encr, i->encr_bits);
    if (i->encr_bits)
        vici_putf(o, "encr-keysize", "%u", i->encr_bits);
    put_transform(o, "integ-alg", TR_INTEG, i->integ, 0);
    if (i->esn)
        vici_put(o, "esn", "1");
    if (path)
        put_interface(o, path);
    put_traffic(o, path ? path : &unused);
    if (i->rekey_s)
        vici_putf(o, "rekey-time", "%u", i->rekey_s);
    if (i->life_s)
        vici_putf(o, "life-time", "%u", i->life_s);
    vici_putf(o, "install-time", "%u", i->install_s);
    put_edition(o, i->edition, "child");
    put_ts(o, "local-ts", &i->local_ts);
    put_ts(o, "remote-ts", &i->remote_ts);
    if (path)
        put_engine(o, path);
}

void ctl_put_child(struct vici_out *o, const struct msg_CHILD_INFO *i, const struct msg_PATH_SA *path)
{
    char name[NAME_MAX_LEN + 16];
    snprintf(name, sizeof(name), "%s-%u", i->name, i->id);
    vici_section(o, name);
    ctl_put_child_keys(o, i, path);
    vici_section_end(o);
}

// ---- list-sas

enum { SA_PAGE = 128 }; // entries; all of them in one IKE SA still fit into a frame

struct array {
    void *items;
    size_t count, cap, size;
};

static bool append(struct array *a, const void *item)
{
    if (a->count == 2 * LIST_PAGE_MAX) // no other room makes this one grow without bound
        return false;
    if (a->count == a->cap) {
        size_t cap = a->cap ? 2 * a->cap : 16;
        void *items = realloc(a->items, cap * a->size);
        if (!items)
            return false;
        a->items = items;
        a->cap = cap;
    }
    memcpy((char *)a->items + a->count++ * a->size, item, a->size);
    return true;
}

struct sa_list {
    struct pages pages;
    uint64_t more; // after the page whose traffic is being asked for
    struct array ike, child, path;
    bool incomplete;                 // something of the page found no room here
    bool survive;                    // there are some whose ike has died
    struct msg_SURVIVOR_IS survivor; // of these the last one that was told, before its traffic
};

static void free_sa_list(void *data)
{
    struct sa_list *l = data;
    free(l->ike.items);
    free(l->child.items);
    free(l->path.items);
    free(l);
}

static void collect(struct pages *p, enum msg_type t, const union msg *m)
{
    struct sa_list *l = (struct sa_list *)p;
    bool kept = true;
    if (t == MSG_IKE_INFO)
        kept = append(&l->ike, &m->IKE_INFO);
    else if (t == MSG_CHILD_INFO)
        kept = append(&l->child, &m->CHILD_INFO);
    else if (t == MSG_PATH_SA)
        kept = append(&l->path, &m->PATH_SA);
    l->incomplete |= !kept;
}

static int by_number(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int by_path_child(const void *a, const void *b)
{
    return by_number(((const struct msg_PATH_SA *)a)->child_id, ((const struct msg_PATH_SA *)b)->child_id);
}

static int by_child_ike(const void *a, const void *b)
{
    const struct msg_CHILD_INFO *x = a, *y = b;
    int order = by_number(x->ike_id, y->ike_id);
    return order ? order : by_number(x->id, y->id);
}

static const struct msg_PATH_SA *path_of(const struct sa_list *l, uint32_t child_id)
{
    const struct msg_PATH_SA key = {.child_id = child_id};
    return l->path.count ? bsearch(&key, l->path.items, l->path.count, sizeof(key), by_path_child) : NULL;
}

// The first child of that IKE SA in the sorted list.
static size_t first_child(const struct sa_list *l, uint32_t ike_id)
{
    const struct msg_CHILD_INFO *child = l->child.items;
    size_t lo = 0, hi = l->child.count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (child[mid].ike_id < ike_id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void emit_sa(struct command *cmd, const struct sa_list *l, const struct msg_IKE_INFO *ike)
{
    const struct msg_CHILD_INFO *child = l->child.items;
    const char *only = vici_get(cmd->msg.root, "child");
    uint64_t only_id = vici_get_num(cmd->msg.root, "child-id", 0);
    struct vici_out o;
    server_event_begin(&o, VICI_EV_LIST_SA);
    vici_section(&o, ike->conn[0] ? ike->conn : "(unnamed)");
    ctl_put_ike(&o, ike);
    vici_section(&o, "child-sas");
    for (size_t i = first_child(l, ike->id); i < l->child.count && child[i].ike_id == ike->id; i++) {
        if ((!only || strcmp(only, child[i].name) == 0) && (!only_id || only_id == child[i].id))
            ctl_put_child(&o, &child[i], path_of(l, child[i].id));
    }
    vici_section_end(&o);
    vici_section_end(&o);
    server_event_to(cmd, VICI_EV_LIST_SA, &o);
}

// ---- CHILD SAs that go on although the ike that made them has died, behind all others: of their IKE SAs
// nothing but the ends is known any more.

static void put_lost_ike(struct vici_out *o, const struct msg_SURVIVOR_IS *s)
{
    vici_put(o, "uniqueid", "0");
    vici_put(o, "version", "2");
    vici_put(o, "state", "LOST");
    put_endpoint(o, "local", &s->local, s->local_port, "");
    put_endpoint(o, "remote", &s->remote, s->remote_port, "");
    vici_put(o, "initiator-spi", "0000000000000000");
    vici_put(o, "responder-spi", "0000000000000000");
}

static struct msg_CHILD_INFO survivor_info(const struct msg_SURVIVOR_IS *s)
{
    struct msg_CHILD_INFO i = {.id = s->id,
                               .spi_in = s->spi_in,
                               .spi_out = s->spi_out,
                               .encr = s->encr,
                               .encr_bits = s->encr_bits,
                               .integ = s->integ,
                               .esn = s->esn,
                               .udp_encap = s->udp_encap,
                               .mode = s->mode,
                               .install_s = s->install_s,
                               .life_s = s->left_s};
    snprintf(i.name, sizeof(i.name), "%s", s->child);
    snprintf(i.state, sizeof(i.state), "SURVIVES");
    ts_list_copy(&i.local_ts, &s->local_ts);
    ts_list_copy(&i.remote_ts, &s->remote_ts);
    return i;
}

static bool wants_survivor(const struct command *cmd, const struct msg_SURVIVOR_IS *s)
{
    const char *conn = vici_get(cmd->msg.root, "ike"), *child = vici_get(cmd->msg.root, "child");
    uint64_t id = vici_get_num(cmd->msg.root, "child-id", 0);
    return (!conn || strcmp(conn, s->conn) == 0) && (!child || strcmp(child, s->child) == 0) &&
           (!id || id == s->id);
}

static void emit_survivor(struct pages *p, enum msg_type t, const union msg *m)
{
    struct sa_list *l = (struct sa_list *)p;
    struct msg_SURVIVOR_IS *s = &l->survivor;
    struct vici_out o;
    if (t == MSG_SURVIVOR_IS)
        *s = m->SURVIVOR_IS;
    if (t != MSG_PATH_SA || m->PATH_SA.child_id != s->id || !wants_survivor(p->cmd, s))
        return;
    struct msg_CHILD_INFO child = survivor_info(s);
    server_event_begin(&o, VICI_EV_LIST_SA);
    vici_section(&o, s->conn[0] ? s->conn : "(unnamed)");
    put_lost_ike(&o, s);
    vici_section(&o, "child-sas");
    ctl_put_child(&o, &child, &m->PATH_SA);
    vici_section_end(&o);
    vici_section_end(&o);
    server_event_to(p->cmd, VICI_EV_LIST_SA, &o);
}

static void survivors_known(struct pending *p, bool ok, const char *text)
{
    struct sa_list *l = p->cmd->data;
    if (!ok)
        LOGF(CFG, 1, "SAs are listed without those whose ike has died: path: %s", text);
    pages_next(&l->pages, ok ? p->more : 0);
}

static void ask_survivors(struct pages *l)
{
    struct pending *p = pages_ask(l);
    if (!p)
        return;
    p->done = survivors_known;
    ctl_send(p, ROOM_PATH, MSG_SURVIVOR_LIST,
             &(struct msg_SURVIVOR_LIST){.req = p->req, .from = l->from, .most = SA_PAGE});
}

static void end_of_sas(struct pages *p)
{
    const struct sa_list *l = (const struct sa_list *)p;
    p->end = NULL;
    if (!l->survive || vici_get_num(p->cmd->msg.root, "ike-id", 0)) {
        server_reply(p->cmd, NULL);
        return;
    }
    p->message = emit_survivor;
    p->ask = ask_survivors;
    p->from = 0;
    pages_begin(p);
}

static void sort(struct array *a, int (*order)(const void *, const void *))
{
    if (a->count)
        qsort(a->items, a->count, a->size, order);
}

static void traffic_known(struct pending *p, bool ok, const char *text)
{
    struct sa_list *l = p->cmd->data;
    const struct msg_IKE_INFO *ike = l->ike.items;
    if (!ok)
        LOGF(CFG, 1, "SAs are listed without their traffic: path: %s", text);
    l->survive = ok && strtoul(text, NULL, 10);
    if (l->incomplete) {
        server_reply_error(p->cmd, "out of memory: the list is not complete");
        return;
    }
    sort(&l->child, by_child_ike); // so that a page does not cost its square
    sort(&l->path, by_path_child);
    for (size_t i = 0; i < l->ike.count; i++)
        emit_sa(p->cmd, l, &ike[i]);
    l->ike.count = l->child.count = l->path.count = 0;
    pages_next(&l->pages, l->more);
}

static void sas_known(struct pending *p, bool ok, const char *text)
{
    struct sa_list *l = p->cmd->data;
    const struct msg_CHILD_INFO *child = l->child.items;
    uint8_t ids[LIST_PAGE_MAX * sizeof(uint32_t)];
    struct writer w = writer_of(ids, sizeof(ids));
    if (!ok) {
        pages_done(p, false, text);
        return;
    }
    l->more = p->more;
    for (size_t i = 0; i < l->child.count && i < LIST_PAGE_MAX; i++)
        wr_u32(&w, child[i].id);
    struct pending *next = pages_ask(&l->pages);
    if (!next)
        return;
    next->done = traffic_known;
    ctl_send(next, ROOM_PATH, MSG_PATH_LIST,
             &(struct msg_PATH_LIST){.req = next->req, .children = wr_written(&w)});
}

static void ask_sas(struct pages *l)
{
    struct command *cmd = l->cmd;
    const char *conn = vici_get(cmd->msg.root, "ike");
    struct pending *p = pages_ask(l);
    if (!p)
        return;
    p->done = sas_known;
    struct msg_IKE_LIST m = {.req = p->req,
                             .ike_id = (uint32_t)vici_get_num(cmd->msg.root, "ike-id", 0),
                             .from = l->from,
                             .most = SA_PAGE};
    snprintf(m.conn, sizeof(m.conn), "%s", conn ? conn : "");
    ctl_send(p, ROOM_IKE, MSG_IKE_LIST, &m);
}

void cmd_list_sas(struct ctl *c, struct command *cmd)
{
    struct sa_list *l = calloc(1, sizeof(*l));
    if (!l) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    l->pages = (struct pages){
        .ctl = c, .cmd = cmd, .ask = ask_sas, .message = collect, .end = end_of_sas, .room = "ike"};
    l->ike.size = sizeof(struct msg_IKE_INFO);
    l->child.size = sizeof(struct msg_CHILD_INFO);
    l->path.size = sizeof(struct msg_PATH_SA);
    cmd->data = l;
    cmd->free_data = free_sa_list;
    pages_begin(&l->pages);
}

// ---- list-policies

// Each kind only where it is asked for, as charon has it.
static bool wants_policies(const struct command *cmd, uint8_t action)
{
    const char *key = action == POLICY_BYPASS ? "pass" : action == POLICY_DISCARD ? "drop" : "trap";
    return vici_get_yes(cmd->msg.root, key, false);
}

// As it is configured; 0: each SA has one of its own. swanctl 6.1 shows it.
static uint32_t reqid_of(const struct ctl *c, const struct msg_POLICY_IS *pol)
{
    const struct conn_entry *e = ctl_find_child(c, pol->conn, pol->child);
    struct conn_config cfg;
    uint32_t reqid = 0;
    if (!e || !ctl_read_conn(e, &cfg))
        return 0;
    for (unsigned i = 0; i < cfg.child_count; i++)
        if (strcmp(cfg.children[i].name, pol->child) == 0)
            reqid = cfg.children[i].reqid;
    conn_clear(&cfg);
    return reqid;
}

static void emit_policy(struct pages *p, enum msg_type t, const union msg *m)
{
    const struct msg_POLICY_IS *pol = &m->POLICY_IS;
    const char *ike = vici_get(p->cmd->msg.root, "ike"), *child = vici_get(p->cmd->msg.root, "child");
    char name[2 * NAME_MAX_LEN + 8];
    struct vici_out o;
    if (t != MSG_POLICY_IS || !wants_policies(p->cmd, pol->action) || (ike && strcmp(ike, pol->conn) != 0) ||
        (child && strcmp(child, pol->child) != 0))
        return;
    snprintf(name, sizeof(name), "%.127s/%.127s", pol->conn, pol->child);
    server_event_begin(&o, VICI_EV_LIST_POLICY);
    vici_section(&o, name);
    vici_put(&o, "child", pol->child);
    vici_put(&o, "ike", pol->conn);
    vici_put(&o, "mode", ctl_mode_name(pol->action, pol->mode));
    vici_put(&o, "trap", pol->trap ? "yes" : "no");
    vici_putf(&o, "reqid", "%u", reqid_of(p->ctl, pol));
    put_ts(&o, "local-ts", &pol->local_ts);
    put_ts(&o, "remote-ts", &pol->remote_ts);
    vici_section_end(&o);
    server_event_to(p->cmd, VICI_EV_LIST_POLICY, &o);
}

static void ask_policies(struct pages *l)
{
    struct pending *p = pages_ask(l);
    if (p)
        ctl_send(p, ROOM_PATH, MSG_POLICY_LIST, &(struct msg_POLICY_LIST){.req = p->req, .from = l->from});
}

void cmd_list_policies(struct ctl *c, struct command *cmd)
{
    struct pages *l = calloc(1, sizeof(*l));
    if (!l) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    *l = (struct pages){.ctl = c, .cmd = cmd, .ask = ask_policies, .message = emit_policy, .room = "path"};
    cmd->data = l;
    cmd->free_data = free;
    pages_begin(l);
}
