// SPDX-License-Identifier: Apache-2.0
// `espalier sas`: IKE SAs, and below each its CHILD SAs.
#include <string.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/table.h"

static const struct table_column columns[] = {{"SA", 10, 0, false},
                                              {"STATE", 0, 0, false},
                                              {"LOCAL", 12, 0, false},
                                              {"REMOTE", 12, 0, false},
                                              {"CIPHER", 8, 3, false},
                                              {"ENGINE", 0, 0, false},
                                              {"IN", 0, 0, true},
                                              {"OUT", 0, 0, true},
                                              {"AGE", 0, 2, true},
                                              {"REKEY IN", 0, 1, true},
                                              {0}};

struct look {
    struct cli *cli;
    struct table table;
    json_t *list;
    unsigned seen; // IKE SAs, or connections
};

static const char *get(const struct vici_node *n, const char *key)
{
    const char *text = vici_get(n, key);
    return text ? text : "";
}

static enum tone tone_of(const char *state)
{
    return strcmp(state, "ESTABLISHED") == 0 || strcmp(state, "INSTALLED") == 0 ? GOOD : NOTABLE;
}

// The address, and the identity where it is another.
static void add_end(struct table *t, const struct vici_node *ike, const char *host_key, const char *id_key)
{
    const char *host = get(ike, host_key), *id = get(ike, id_key);
    bool same = !id[0] || strcmp(id, host) == 0 || strcmp(id, "%any") == 0;
    table_add(t, PLAIN, "%s%s%s%s", host, same ? "" : " [", same ? "" : id, same ? "" : "]");
}

static void add_time(struct table *t, const struct vici_node *n, const char *key)
{
    char text[FIGURE];
    uint64_t s = vici_get_num(n, key, UINT64_MAX);
    table_add(t, PLAIN, "%s", s == UINT64_MAX ? "" : figure_seconds(text, s));
}

static void add_octets(struct table *t, const struct vici_node *n, const char *key)
{
    char text[FIGURE];
    uint64_t octets = vici_get_num(n, key, UINT64_MAX);
    table_add(t, PLAIN, "%s", octets == UINT64_MAX ? "" : figure_octets(text, octets));
}

static void add_cipher(struct table *t, const struct vici_node *n)
{
    const char *alg = get(n, "encr-alg"), *bits = get(n, "encr-keysize"), *integ = get(n, "integ-alg");
    table_add(t, PLAIN, "%s%s%s%s%s", alg, bits[0] ? "-" : "", bits, alg[0] && integ[0] ? "/" : "", integ);
}

static void add_ike(struct table *t, const struct vici_node *ike)
{
    table_add(t, PLAIN, "%s[%s]", ike->name, get(ike, "uniqueid"));
    table_add(t, tone_of(get(ike, "state")), "%s", get(ike, "state"));
    add_end(t, ike, "local-host", "local-id");
    add_end(t, ike, "remote-host", "remote-id");
    add_cipher(t, ike);
    table_add(t, PLAIN, "%s", "");
    table_add(t, PLAIN, "%s", "");
    table_add(t, PLAIN, "%s", "");
    add_time(t, ike, "established");
    add_time(t, ike, "rekey-time");
}

static void add_child(struct table *t, const struct vici_node *child)
{
    const char *engine = get(child, "offload"), *device = get(child, "interface"),
               *route = get(child, "route");
    table_add(t, PLAIN, "  %s[%s]%s%s%s%s%s", vici_get(child, "name") ? get(child, "name") : child->name,
              get(child, "uniqueid"), device[0] ? " by " : "", device, route[0] ? " (" : "", route,
              route[0] ? ")" : "");
    table_add(t, tone_of(get(child, "state")), "%s", get(child, "state"));
    table_add_list(t, vici_find(child, "local-ts"), "");
    table_add_list(t, vici_find(child, "remote-ts"), "");
    add_cipher(t, child);
    table_add(t, strcmp(engine, "card") == 0 || strcmp(engine, "packet") == 0 ? GOOD : PLAIN, "%s", engine);
    add_octets(t, child, "bytes-in");
    add_octets(t, child, "bytes-out");
    add_time(t, child, "install-time");
    add_time(t, child, "rekey-time");
}

static int take_sa(void *ctx, const char *name, const struct vici_node *root)
{
    struct look *l = ctx;
    const struct vici_node *ike = root->child;
    if (strcmp(name, "list-sa") != 0 || !ike || ike->kind != VICI_SECTION)
        return 0;
    l->seen++;
    if (l->list) {
        json_t *more = json_named(root);
        json_array_extend(l->list, more);
        json_decref(more);
        return 0;
    }
    if (cli_given(l->cli, CLI_LONG)) {
        cli_put_tree(l->cli, root, 0);
        return 0;
    }
    add_ike(&l->table, ike);
    const struct vici_node *children = vici_find(ike, "child-sas");
    for (const struct vici_node *k = children ? children->child : NULL; k; k = k->next)
        add_child(&l->table, k);
    return 0;
}

static int count_conn(void *ctx, const char *name, const struct vici_node *root)
{
    (void)root;
    *(unsigned *)ctx += strcmp(name, "list-conn") == 0;
    return 0;
}

// The SAs; seen counts the connection too, which may have none.
static int ask(struct look *l, struct esp_error *err)
{
    const char *only = l->cli->operand[0];
    int r = cli_list(l->cli, "list-sas", take_sa, l, "ike", only, "noblock", err);
    if (r == 0 && only && !l->seen)
        r = cli_list(l->cli, "list-conns", count_conn, &l->seen, "ike", only, NULL, err);
    return r;
}

static int look(struct cli *cli, void *ctx)
{
    struct look l = {.cli = cli, .list = cli_given(cli, CLI_JSON) ? json_array() : NULL};
    struct esp_error err = {0};
    (void)ctx;
    table_begin(&l.table, columns);
    int r = ask(&l, &err);
    if (r || (cli->operand[0] && !l.seen)) {
        json_decref(l.list);
        table_free(&l.table);
        return r ? cli_fail(cli, r, &err)
                 : cli_absent(cli,
                              "no connection of that name is loaded, or has an SA; see `espalier conns`");
    }
    if (l.list) {
        json_put(cli, json_pack("{s:o}", "sas", l.list));
        table_free(&l.table);
    } else if (!cli_given(cli, CLI_LONG)) {
        table_end(&l.table, cli, "no SAs");
    }
    return CLI_DONE;
}

int cmd_sas(struct cli *cli)
{
    int status = cli_register(cli, "list-sa");
    if (status == 0 && cli->operands)
        status = cli_register(cli, "list-conn");
    return status ? status : cli_show(cli, look, NULL);
}
