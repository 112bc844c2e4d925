// SPDX-License-Identifier: Apache-2.0
// Lists page by page: one is asked for when the client has read most of what the ones before have brought it.
#include "ctrl/ctl/ctl.h"

static void page_message(struct pending *p, enum msg_type t, const union msg *m)
{
    struct pages *l = p->cmd->data;
    l->message(l, t, m);
}

void pages_done(struct pending *p, bool ok, const char *text)
{
    struct pages *l = p->cmd->data;
    if (ok)
        pages_next(l, p->more);
    else
        server_reply_error(p->cmd, "%s: %s", l->room, text);
}

struct pending *pages_ask(struct pages *l)
{
    struct pending *p = ctl_ask(l->ctl, l->cmd, CTL_ANSWER_MS);
    if (p) {
        p->message = page_message;
        p->done = pages_done;
    }
    return p;
}

static void resume(struct command *cmd)
{
    struct pages *l = cmd->data;
    if (cmd->client)
        l->ask(l);
    else
        server_reply(cmd, NULL);
}

void pages_next(struct pages *l, uint64_t more)
{
    struct command *cmd = l->cmd;
    l->from = more;
    if (cmd->client && !more && l->end)
        l->end(l);
    else if (!cmd->client || !more)
        server_reply(cmd, NULL);
    else if (server_full(cmd))
        cmd->resume = resume;
    else
        l->ask(l);
}

void pages_begin(struct pages *l)
{
    l->ask(l);
}
