// SPDX-License-Identifier: Apache-2.0
// Shared secrets. They pass through to `keys` and stay nowhere here: the request is wiped with its command.
#include "ctrl/ctl/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "ctrl/config/shared.h"
#include "ctrl/lib/log.h"

// ---- load-shared

static void write_owners(struct writer *w, const struct vici_node *list)
{
    for (const struct vici_node *n = list ? list->child : NULL; n; n = n->next)
        wr_slice16(w, slice_of(n->value, n->len));
}

static void shared_loaded(struct pending *p, bool ok, const char *text)
{
    const char *id = vici_get(p->cmd->msg.root, "id");
    if (ok)
        LOGF(CFG, 1, "loaded IKE shared key with id '%s'", id ? id : "");
    else
        LOGF(CFG, 0, "IKE shared key with id '%s' refused: %s", id ? id : "", text);
    ctl_done_simple(p, ok, text);
}

static void send_shared(struct pending *p)
{
    const struct vici_node *root = p->cmd->msg.root, *data = vici_find(root, "data");
    uint8_t wire[SHARED_OWNERS_MAX * (ID_MAX_LEN + 2)];
    const char *id = vici_get(root, "id");
    struct writer owners = writer_of(wire, sizeof(wire));
    write_owners(&owners, vici_find(root, "owners"));
    struct msg_SECRET_LOAD m = {
        .req = p->req, .data = slice_of(data->value, data->len), .owners = wr_written(&owners)};
    snprintf(m.type, sizeof(m.type), "%s", shared_type(vici_get(root, "type")));
    if (id)
        snprintf(m.id, sizeof(m.id), "%s", id);
    else
        snprintf(m.id, sizeof(m.id), SHARED_UNNAMED "%u", *(uint32_t *)p->data);
    ctl_send(p, ROOM_KEYS, MSG_SECRET_LOAD, &m);
}

void cmd_load_shared(struct ctl *c, struct command *cmd)
{
    const char *id = vici_get(cmd->msg.root, "id");
    const char *wrong = config_check_shared(cmd->msg.root);
    if (wrong) {
        LOGF(CFG, 0, "shared key '%s' refused: %s", id ? id : "", wrong);
        server_reply_error(cmd, "%s", wrong);
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->done = shared_loaded;
    p->ask_again = send_shared;
    uint32_t *number = p->data =
        malloc(sizeof(*number)); // of one without a name: the same where it is asked again
    p->free_data = free;
    if (!number) {
        ctl_drop(p, "out of memory");
        return;
    }
    *number = id ? 0 : ++c->kept->unnamed;
    send_shared(p);
}

// ---- the others on secrets

static void send_unload(struct pending *p)
{
    struct msg_SECRET_UNLOAD m = {.req = p->req};
    snprintf(m.id, sizeof(m.id), "%s", vici_get(p->cmd->msg.root, "id"));
    ctl_send(p, ROOM_KEYS, MSG_SECRET_UNLOAD, &m);
}

void cmd_unload_shared(struct ctl *c, struct command *cmd)
{
    const char *id = vici_get(cmd->msg.root, "id");
    if (!id || strlen(id) >= NAME_MAX_LEN) {
        server_reply_error(cmd, "unload-shared: %s", id ? "the id is too long" : "id missing");
        return;
    }
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->ask_again = send_unload;
    p->once = true; // keys would know it no more
    send_unload(p);
}

struct secret_list {
    struct pages pages;
    struct vici_out out; // one reply, which a frame bounds
    pid_t keys;          // whose pages these are: the next keys has numbers of its own
};

static void add_secret(struct pages *p, enum msg_type t, const union msg *m)
{
    struct vici_out *o = &((struct secret_list *)p)->out;
    if (t == MSG_SECRET_IS && m->SECRET_IS.id[0] &&
        strncmp(m->SECRET_IS.id, SHARED_UNNAMED, strlen(SHARED_UNNAMED)) != 0)
        vici_item(o, m->SECRET_IS.id);
}

static void reply_secrets(struct pages *p)
{
    struct secret_list *l = (struct secret_list *)p;
    struct vici_out o = l->out;
    l->out = (struct vici_out){0}; // the reply outlives the command
    vici_list_end(&o);
    if (p->from)
        vici_putf(&o, "next", "%llu", (unsigned long long)l->keys << 32 | p->from);
    server_reply(p->cmd, &o);
}

static void begin_secrets(struct secret_list *l)
{
    vici_out_begin(&l->out, VICI_CMD_RESPONSE, NULL);
    vici_list(&l->out, "keys");
}

static void send_list(struct pending *p)
{
    const struct pages *l = p->cmd->data;
    ((struct secret_list *)p->cmd->data)->keys = p->ctl->pid[ROOM_KEYS];
    ctl_send(p, ROOM_KEYS, MSG_SECRET_LIST, &(struct msg_SECRET_LIST){.req = p->req, .from = l->from});
}

static void list_again(struct pending *p)
{
    struct secret_list *l = p->cmd->data;
    vici_out_free(&l->out);
    begin_secrets(l);
    send_list(p);
}

// Octets, from which on a client that says where to begin (`from`, 0 first) is told where to go on (`next`):
// a page of keys' has room behind them.
enum { SECRETS_A_REPLY = VICI_MAX_FRAME / 4 };

// The next keys has numbers of its own: what is behind a page of the last one it cannot tell.
static void ask_secrets(struct pages *l)
{
    size_t len = ((struct secret_list *)l)->out.len;
    if (l->from && ((struct secret_list *)l)->keys != l->ctl->pid[ROOM_KEYS]) {
        server_reply_error(l->cmd,
                           "keys has been started again, and numbers them anew: ask from 0 once more");
        return;
    }
    if (len > SECRETS_A_REPLY && vici_get(l->cmd->msg.root, "from")) {
        reply_secrets(l);
        return;
    }
    if (len > VICI_MAX_FRAME) {
        server_reply_error(l->cmd, "more secrets than a reply of %d octets holds", VICI_MAX_FRAME);
        return;
    }
    struct pending *p = pages_ask(l);
    if (!p)
        return;
    p->ask_again = l->from ? NULL : list_again;
    send_list(p);
}

static void free_secret_list(void *data)
{
    struct secret_list *l = data;
    vici_out_free(&l->out);
    free(l);
}

void cmd_get_shared(struct ctl *c, struct command *cmd)
{
    struct secret_list *l = calloc(1, sizeof(*l));
    uint64_t from = vici_get_num(cmd->msg.root, "from", 0);
    if (!l) {
        server_reply_error(cmd, "out of memory");
        return;
    }
    l->keys = (pid_t)(from >> 32);
    l->pages = (struct pages){.ctl = c,
                              .cmd = cmd,
                              .ask = ask_secrets,
                              .message = add_secret,
                              .end = reply_secrets,
                              .from = (uint32_t)from,
                              .room = "keys"};
    cmd->data = l;
    cmd->free_data = free_secret_list;
    begin_secrets(l);
    pages_begin(&l->pages);
}

// ---- clear-creds

static void certs_cleared(struct pending *p, bool ok, const char *text)
{
    if (ok)
        LOGF(CFG, 1, "cleared secrets, private keys and certificates");
    ctl_done_simple(p, ok, text);
}

// Keys have gone; what they belong to follows.
static void secrets_cleared(struct pending *p, bool ok, const char *text)
{
    struct pending *next = ok ? ctl_ask(p->ctl, p->cmd, CTL_ANSWER_MS) : NULL;
    if (!ok)
        ctl_done_simple(p, false, text);
    if (!next)
        return;
    next->done = certs_cleared;
    ctl_send(next, ROOM_IKE, MSG_CERTS_CLEAR, &(struct msg_CERTS_CLEAR){.req = next->req});
}

static void send_clear(struct pending *p)
{
    ctl_send(p, ROOM_KEYS, MSG_SECRETS_CLEAR, &(struct msg_SECRETS_CLEAR){.req = p->req});
}

void cmd_clear_creds(struct ctl *c, struct command *cmd)
{
    struct pending *p = ctl_ask(c, cmd, CTL_ANSWER_MS);
    if (!p)
        return;
    p->done = secrets_cleared;
    p->ask_again = send_clear;
    send_clear(p);
}
