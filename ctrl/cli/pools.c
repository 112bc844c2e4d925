// SPDX-License-Identifier: Apache-2.0
// `espalier pools`.
#include <string.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/table.h"

static const struct table_column columns[] = {{"POOL", 10, 0, false},
                                              {"FIRST", 0, 0, false},
                                              {"SIZE", 0, 0, true},
                                              {"ONLINE", 0, 0, true},
                                              {"OFFLINE", 0, 0, true},
                                              {"FREE", 0, 0, true},
                                              {0}};
static const struct table_column with_leases[] = {{"POOL", 10, 0, false},
                                                  {"ADDRESS", 0, 0, false},
                                                  {"STATUS", 0, 0, false},
                                                  {"IDENTITY", 16, 0, false},
                                                  {0}};

static void add_pool(struct table *t, const struct vici_node *p)
{
    static const char *const keys[] = {"size", "online", "offline"};
    char text[FIGURE];
    uint64_t n[3];
    table_add(t, PLAIN, "%s", p->name);
    table_add(t, PLAIN, "%s", vici_get(p, "base") ? vici_get(p, "base") : "");
    for (int i = 0; i < 3; i++) {
        n[i] = vici_get_num(p, keys[i], 0);
        table_add(t, PLAIN, "%s", figure_number(text, n[i]));
    }
    uint64_t used = n[1] + n[2], left = n[0] > used ? n[0] - used : 0;
    table_add(t, left ? PLAIN : BAD, "%s", figure_number(text, left));
}

static void add_leases(struct table *t, const struct vici_node *p)
{
    const struct vici_node *leases = vici_find(p, "leases");
    for (const struct vici_node *k = leases ? leases->child : NULL; k; k = k->next) {
        const char *status = vici_get(k, "status"), *address = vici_get(k, "address"),
                   *id = vici_get(k, "identity");
        table_add(t, PLAIN, "%s", p->name);
        table_add(t, PLAIN, "%s", address ? address : "");
        table_add(t, status && strcmp(status, "online") == 0 ? GOOD : FAINT, "%s", status ? status : "");
        table_add(t, PLAIN, "%s", id ? id : "");
    }
}

static void show(struct cli *cli, const struct vici_node *root)
{
    bool leases = cli_given(cli, CLI_LEASES);
    struct table t;
    if (cli_given(cli, CLI_JSON)) {
        json_put(cli, json_pack("{s:o}", "pools", json_named(root)));
        return;
    }
    table_begin(&t, leases ? with_leases : columns);
    for (const struct vici_node *p = root->child; p; p = p->next) {
        if (p->kind == VICI_SECTION)
            (leases ? add_leases : add_pool)(&t, p);
    }
    table_end(&t, cli, leases ? "no leases" : "no pools");
}

static int look(struct cli *cli, void *ctx)
{
    struct vici_msg reply;
    struct vici_out o;
    struct esp_error err = {0};
    (void)ctx;
    vici_out_begin(&o, VICI_CMD_REQUEST, "get-pools");
    if (cli->operands)
        vici_put(&o, "name", cli->operand[0]);
    if (cli_given(cli, CLI_LEASES))
        vici_put(&o, "leases", "yes");
    int r = talk_ask_ok(cli->talk, &o, &reply, &err);
    if (r)
        return cli_fail(cli, r, &err);
    bool there = !cli->operands || vici_find(reply.root, cli->operand[0]);
    if (there)
        show(cli, reply.root);
    vici_msg_free(&reply);
    return there ? CLI_DONE : cli_absent(cli, "no pool of that name is loaded; see `espalier pools`");
}

int cmd_pools(struct cli *cli)
{
    return cli_show(cli, look, NULL);
}
