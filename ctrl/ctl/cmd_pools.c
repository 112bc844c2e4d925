// SPDX-License-Identifier: Apache-2.0
// Address pools: read here, kept by `ike`, their leases by leases.c over a restart.
#include "ctrl/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/config/pool_load.h"
#include "ctrl/ctl/leases.h"
#include "ctrl/ctl/replay.h"
#include "ctrl/lib/log.h"

enum { POOL_WIRE_MAX = 4096 };

static struct leases *kept(struct ctl *c)
{
    char path[300];
    if (!c->leases) {
        if (c->settings.pool_leases[0])
            snprintf(path, sizeof(path), "%s", c->settings.pool_leases);
        else
            snprintf(path, sizeof(path), "%s/leases", c->settings.run_dir);
        c->leases = leases_open(path);
        c->leases_asked_ms = c->leases ? 0 : loop_now(c->loop);
    }
    return c->leases;
}

void ctl_lease(struct ctl *c, const struct msg_LEASE *m)
{
    bool soon = c->leases_asked_ms && loop_now(c->loop) < c->leases_asked_ms + CTL_LEASES_MS;
    if (!soon && kept(c))
        leases_keep(c->leases, m);
}

bool ctl_tell_leases(struct ctl *c, const char *pool, uint32_t req)
{
    return kept(c) && leases_send(c->leases, pool, req, c->chan[ROOM_IKE]);
}

// ---- load-pool

static void warn(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    (void)ctx;
    (void)at;
    LOGF(CFG, 0, "warning: pool %s: %s", path, text);
}

static void note_fault(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    (void)ctx;
    (void)at;
    LOGF(CFG, 0, "pool %s refused: %s", path, text);
}

static void pool_loaded(struct pending *p, bool ok, const char *text)
{
    const char *name = p->cmd->msg.root->child->name;
    if (ok)
        LOGF(CFG, 1, "loaded pool %s", name);
    else
        LOGF(CFG, 0, "pool %s refused: %s", name, text);
    if (ok && p->untold)
        replay_pool(p->ctl, name, "no memory to tell of them");
    ctl_done_simple(p, ok, text);
}

void cmd_load_pool(struct ctl *c, struct command *cmd)
{
    const struct load_report report = {.fault = note_fault, .warn = warn};
    const struct vici_node *section = cmd->msg.root->child;
    struct pool_config pool;
    struct esp_error err = {0};
    uint8_t wire[POOL_WIRE_MAX];
    struct writer w = writer_of(wire, sizeof(wire));
    if (!section || section->kind != VICI_SECTION || section->next) {
        server_reply_error(cmd, "load-pool: expected one section, the pool's");
        return;
    }
    if (config_load_pool(&pool, section, &report, &err) < 0) {
        server_reply_error(cmd, "%s", err.text);
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    uint32_t req = p->req;
    p->done = pool_loaded;
    pool_write(&w, &pool);
    ctl_send(p, ROOM_IKE, MSG_POOL_LOAD, &(struct msg_POOL_LOAD){.req = p->req, .pool = wr_written(&w)});
    if (!replay_leases(c, pool.name))
        replay_untold(c, req);
}

// ---- unload-pool

static void pool_unloaded(struct pending *p, bool ok, const char *text)
{
    const char *name = vici_get(p->cmd->msg.root, "name");
    if (ok) {
        LOGF(CFG, 1, "unloaded pool %s", name);
        if (kept(p->ctl))
            leases_drop(p->ctl->leases, name);
    }
    ctl_done_simple(p, ok, text);
}

void cmd_unload_pool(struct ctl *c, struct command *cmd)
{
    const char *name = vici_get(cmd->msg.root, "name");
    if (!name || strlen(name) >= NAME_MAX_LEN) {
        server_reply_error(cmd, name ? "unload: the pool's name is too long" : "unload: missing pool name");
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->done = pool_unloaded;
    struct msg_POOL_UNLOAD m = {.req = p->req};
    snprintf(m.name, sizeof(m.name), "%s", name);
    ctl_send(p, ROOM_IKE, MSG_POOL_UNLOAD, &m);
}

// ---- get-pools: one reply, which a frame bounds

struct pool_list {
    struct pages pages;
    struct vici_out out;
    bool in_pool, in_leases;
    unsigned lease;
};

static void end_pool(struct pool_list *l)
{
    if (l->in_leases)
        vici_section_end(&l->out);
    if (l->in_pool)
        vici_section_end(&l->out);
    l->in_pool = l->in_leases = false;
}

static void add_pool(struct pool_list *l, const struct msg_POOL_IS *m)
{
    char text[64];
    end_pool(l);
    vici_section(&l->out, m->name);
    vici_put(&l->out, "base", addr_print(&m->base, text, sizeof(text)));
    vici_putf(&l->out, "size", "%llu", (unsigned long long)m->size);
    vici_putf(&l->out, "online", "%u", m->online);
    vici_putf(&l->out, "offline", "%u", m->offline);
    l->in_pool = true;
    l->lease = 0;
}

static void add_lease(struct pool_list *l, const struct msg_LEASE_IS *m)
{
    char text[64];
    if (!l->in_pool)
        return;
    if (!l->in_leases)
        vici_section(&l->out, "leases");
    l->in_leases = true;
    snprintf(text, sizeof(text), "%u", l->lease++);
    vici_section(&l->out, text);
    vici_put(&l->out, "address", addr_print(&m->address, text, sizeof(text)));
    vici_put(&l->out, "identity", m->identity);
    vici_put(&l->out, "status", m->online ? "online" : "offline");
    vici_section_end(&l->out);
}

static void add(struct pages *p, enum msg_type t, const union msg *m)
{
    if (t == MSG_POOL_IS)
        add_pool((struct pool_list *)p, &m->POOL_IS);
    else if (t == MSG_LEASE_IS)
        add_lease((struct pool_list *)p, &m->LEASE_IS);
}

static void reply(struct pages *p)
{
    struct pool_list *l = (struct pool_list *)p;
    end_pool(l);
    struct vici_out o = l->out;
    l->out = (struct vici_out){0}; // the reply outlives the command
    server_reply(p->cmd, &o);
}

static void ask(struct pages *p)
{
    const char *name = vici_get(p->cmd->msg.root, "name");
    if (((struct pool_list *)p)->out.len > VICI_MAX_FRAME) {
        server_reply_error(p->cmd, "more pools or leases than a reply of %d octets holds: name one pool",
                           VICI_MAX_FRAME);
        return;
    }
    struct pending *q = pages_ask(p);
    if (!q)
        return;
    struct msg_POOL_LIST m = {
        .req = q->req, .leases = vici_get_yes(p->cmd->msg.root, "leases", false), .from = p->from};
    snprintf(m.name, sizeof(m.name), "%s", name ? name : "");
    ctl_send(q, ROOM_IKE, MSG_POOL_LIST, &m);
}

static void free_list(void *data)
{
    struct pool_list *l = data;
    vici_out_free(&l->out);
    free(l);
}

void cmd_get_pools(struct ctl *c, struct command *cmd)
{
    struct pool_list *l = calloc(1, sizeof(*l));
    if (!l) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    l->pages = (struct pages){.ctl = c, .cmd = cmd, .ask = ask, .message = add, .end = reply, .room = "ike"};
    cmd->data = l;
    cmd->free_data = free_list;
    vici_out_begin(&l->out, VICI_CMD_RESPONSE, NULL);
    pages_begin(&l->pages);
}
