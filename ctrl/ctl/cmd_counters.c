// SPDX-License-Identifier: Apache-2.0
// get-counters of one connection (`name`), or the global ones and those of each that is loaded (`all`): what
// `ike` counts by their names, that of a connection's children summed. They go on as long as something of the
// name is there, and are not reset.
#include <stdlib.h>
#include <string.h>

#include "ctrl/ctl/ctl.h"

struct counts {
    struct pages pages; // first
    struct vici_out out;
    uint64_t next; // the connection behind the page that is asked for; 0: there is none
    bool open;     // a section, whose children are being summed
    unsigned shown;
    struct {
        uint64_t up, installed, rekeyed, failed;
    } child;
    uint8_t names[COUNTS_PAGE * NAME_MAX_LEN];
};

static uint64_t sum(struct slice of) // of u64 each
{
    struct reader r = reader_of(of);
    uint64_t n = 0;
    while (!rd_done(&r) && !r.bad)
        n += rd_u64(&r);
    return n;
}

static void put(struct vici_out *o, const char *name, uint64_t n)
{
    vici_putf(o, name, "%llu", (unsigned long long)n);
}

static void end_section(struct counts *l)
{
    if (!l->open)
        return;
    put(&l->out, "child_up", l->child.up);
    put(&l->out, "child_installed", l->child.installed);
    put(&l->out, "child_rekeyed", l->child.rekeyed);
    put(&l->out, "child_failed", l->child.failed);
    vici_section_end(&l->out);
    memset(&l->child, 0, sizeof(l->child));
    l->open = false;
}

static void add(struct pages *p, enum msg_type t, const union msg *m)
{
    struct counts *l = (struct counts *)p;
    if (t == MSG_CONN_COUNTS) {
        end_section(l);
        vici_section(&l->out, m->CONN_COUNTS.conn);
        l->open = true;
        l->shown++;
        put(&l->out, "ike_up", m->CONN_COUNTS.up);
        put(&l->out, "ike_established", m->CONN_COUNTS.established);
        put(&l->out, "ike_rekeyed", m->CONN_COUNTS.rekeyed);
        put(&l->out, "ike_failed", sum(m->CONN_COUNTS.failed));
    } else if (t == MSG_CHILD_COUNTS && l->open) {
        l->child.up += m->CHILD_COUNTS.up;
        l->child.installed += m->CHILD_COUNTS.installed;
        l->child.rekeyed += m->CHILD_COUNTS.rekeyed;
        l->child.failed += sum(m->CHILD_COUNTS.failed);
    }
}

static void reply(struct pages *p)
{
    struct counts *l = (struct counts *)p;
    const char *name = vici_get(p->cmd->msg.root, "name");
    end_section(l);
    if (name && name[0] && !l->shown) {
        server_reply_error(p->cmd, "counters: connection '%.128s' is not loaded", name);
        return;
    }
    struct vici_out o = l->out;
    l->out = (struct vici_out){0}; // the reply outlives the command
    vici_section_end(&o);
    vici_put(&o, "success", "yes");
    server_reply(p->cmd, &o);
}

static void page_done(struct pending *p, bool ok, const char *text)
{
    struct counts *l = p->cmd->data;
    p->more = l->next;
    pages_done(p, ok, text);
}

static void ask(struct pages *p)
{
    struct counts *l = (struct counts *)p;
    struct writer w = writer_of(l->names, sizeof(l->names));
    const char *name = vici_get(p->cmd->msg.root, "name");
    const struct conn_entry *e = p->ctl->conns;
    if (l->out.len > VICI_MAX_FRAME) {
        server_reply_error(p->cmd, "counters of more connections than a reply of %d octets holds: name one",
                           VICI_MAX_FRAME);
        return;
    }
    for (unsigned n = 0; e && n < COUNTS_PAGE; e = e->next) {
        if (e->number < p->from || (name && name[0] && strcmp(conn_entry_name(e), name) != 0))
            continue;
        wr_cstr(&w, conn_entry_name(e));
        n++;
    }
    l->next = e ? e->number : 0;
    struct pending *q = pages_ask(p);
    if (!q)
        return;
    q->done = page_done;
    ctl_send(q, ROOM_IKE, MSG_COUNTS_LIST, &(struct msg_COUNTS_LIST){.req = q->req, .names = wr_written(&w)});
}

static void free_counts(void *data)
{
    struct counts *l = data;
    vici_out_free(&l->out);
    free(l);
}

void ctl_count_conns(struct ctl *c, struct command *cmd)
{
    struct counts *l = calloc(1, sizeof(*l));
    if (!l) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    l->pages = (struct pages){.ctl = c, .cmd = cmd, .ask = ask, .message = add, .end = reply, .room = "ike"};
    cmd->data = l;
    cmd->free_data = free_counts;
    vici_out_begin(&l->out, VICI_CMD_RESPONSE, NULL);
    vici_section(&l->out, "counters");
    if (vici_get_yes(cmd->msg.root, "all", false))
        ctl_put_counters(c, &l->out);
    pages_begin(&l->pages);
}
