// SPDX-License-Identifier: Apache-2.0
// `espalier conns`: what is loaded, and how much of it is up.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/names.h"
#include "ctrl/cli/table.h"

static const struct table_column columns[] = {{"CONNECTION", 10, 0, false},
                                              {"STATE", 0, 0, false},
                                              {"LOCAL", 12, 0, false},
                                              {"REMOTE", 12, 0, false},
                                              {"AUTH OR MODE", 8, 2, false},
                                              {"REKEY", 0, 1, true},
                                              {0}};

struct look {
    struct cli *cli;
    struct names up;
    struct table table;
    json_t *list;
    unsigned seen;
};

static int absent(struct cli *cli)
{
    return cli_absent(cli, "no connection of that name is loaded; see `espalier conns`");
}

// down: what it is called where no SA of it is there.
static void add_state(struct look *l, const char *conn, const char *child, const char *down)
{
    size_t n = names_count(&l->up, conn, child);
    if (n > 1)
        table_add(&l->table, GOOD, "%zu up", n);
    else
        table_add(&l->table, n ? GOOD : FAINT, "%s", n ? "up" : down);
}

// "down, next try in 12s"
static const char *when_again(const struct vici_node *child, char *buf, size_t size)
{
    uint64_t failures = vici_get_num(child, "failures", 0), s = vici_get_num(child, "next-try", UINT64_MAX);
    char text[FIGURE];
    if (!failures)
        return "down";
    if (s == UINT64_MAX)
        snprintf(buf, size, "down, failed %llu times", (unsigned long long)failures);
    else
        snprintf(buf, size, "down, next try in %s", figure_seconds(text, s));
    return buf;
}

// A policy without SAs has none that could be down, and a trap waits for a packet.
static const char *without_sa(const struct vici_node *child, char *buf, size_t size)
{
    const char *mode = vici_get(child, "mode"), *start = vici_get(child, "start_action");
    if (mode && (strcmp(mode, "PASS") == 0 || strcmp(mode, "DROP") == 0))
        return "policy";
    return start && strcmp(start, "trap") == 0 ? "trap" : when_again(child, buf, size);
}

static void add_time(struct table *t, const struct vici_node *n, const char *key)
{
    char text[FIGURE];
    uint64_t s = vici_get_num(n, key, 0);
    table_add(t, PLAIN, "%s", s ? figure_seconds(text, s) : "never");
}

// "psk, EAP" of a side's rounds.
static void print_auth(char *buf, size_t size, const struct vici_node *conn, const char *side)
{
    size_t at = 0;
    buf[0] = 0;
    for (const struct vici_node *k = conn->child; k && at < size; k = k->next) {
        if (k->kind != VICI_SECTION || strncmp(k->name, side, strlen(side)) != 0)
            continue;
        const char *class = vici_get(k, "class");
        class = !class                                 ? "any"
                : strcmp(class, "pre-shared key") == 0 ? "psk"
                : strcmp(class, "public key") == 0     ? "pubkey"
                                                       : class;
        int n = snprintf(buf + at, size - at, "%s%s", at ? "+" : "", class);
        at += n > 0 ? (size_t)n : 0;
    }
}

static void add_conn(struct look *l, const struct vici_node *conn)
{
    char local[80], remote[80];
    table_add(&l->table, PLAIN, "%s", conn->name);
    add_state(l, conn->name, "", "down");
    table_add_list(&l->table, vici_find(conn, "local_addrs"), "%any");
    table_add_list(&l->table, vici_find(conn, "remote_addrs"), "%any");
    print_auth(local, sizeof(local), conn, "local-");
    print_auth(remote, sizeof(remote), conn, "remote-");
    table_add(&l->table, PLAIN, "%s%s%s", local, strcmp(local, remote) == 0 ? "" : " / ",
              strcmp(local, remote) == 0 ? "" : remote);
    add_time(&l->table, conn, "rekey_time");
}

static void add_child(struct look *l, const char *conn, const struct vici_node *child)
{
    char down[80];
    table_add(&l->table, PLAIN, "  %s", child->name);
    add_state(l, conn, child->name, without_sa(child, down, sizeof(down)));
    table_add_list(&l->table, vici_find(child, "local-ts"), "");
    table_add_list(&l->table, vici_find(child, "remote-ts"), "");
    table_add(&l->table, PLAIN, "%s", vici_get(child, "mode") ? vici_get(child, "mode") : "");
    add_time(&l->table, child, "rekey_time");
}

static void add_json(struct look *l, const struct vici_node *root)
{
    json_t *more = json_named(root), *conn = json_array_get(more, 0), *child;
    const char *name = root->child->name;
    size_t i;
    json_object_set_new(conn, "up", json_integer((json_int_t)names_count(&l->up, name, "")));
    json_array_foreach(json_object_get(conn, "children"), i, child)
    {
        const char *of = json_string_value(json_object_get(child, "name"));
        json_object_set_new(child, "up", json_integer((json_int_t)names_count(&l->up, name, of ? of : "")));
    }
    json_array_extend(l->list, more);
    json_decref(more);
}

static int take_conn(void *ctx, const char *name, const struct vici_node *root)
{
    struct look *l = ctx;
    const struct vici_node *conn = root->child, *children = conn ? vici_find(conn, "children") : NULL;
    if (strcmp(name, "list-conn") != 0 || !conn || conn->kind != VICI_SECTION)
        return 0;
    l->seen++;
    if (l->list) {
        add_json(l, root);
    } else if (cli_given(l->cli, CLI_LONG)) {
        cli_put_tree(l->cli, root, 0);
    } else {
        add_conn(l, conn);
        for (const struct vici_node *k = children ? children->child : NULL; k; k = k->next)
            add_child(l, conn->name, k);
    }
    return 0;
}

static int ask(struct look *l, struct esp_error *err)
{
    const char *only = l->cli->operand[0];
    int r = cli_list(l->cli, "list-sas", names_take, &l->up, "ike", only, "noblock", err);
    if (r == 0 && l->up.no_memory)
        r = esp_fail(err, -ENOMEM, "", "out of memory");
    return r ? r : cli_list(l->cli, "list-conns", take_conn, l, "ike", only, "tries", err);
}

static int look(struct cli *cli, void *ctx)
{
    struct look l = {.cli = cli, .list = cli_given(cli, CLI_JSON) ? json_array() : NULL};
    struct esp_error err = {0};
    (void)ctx;
    table_begin(&l.table, columns);
    int r = ask(&l, &err), status = CLI_DONE;
    names_free(&l.up);
    bool there = r == 0 && (l.seen || !cli->operands);
    if (there && !l.list && !cli_given(cli, CLI_LONG))
        table_end(&l.table, cli, "no connections");
    table_free(&l.table);
    if (!there) {
        json_decref(l.list);
        status = r ? cli_fail(cli, r, &err) : absent(cli);
    } else if (l.list) {
        json_put(cli, json_pack("{s:o}", "connections", l.list));
    }
    return status;
}

// ---- --names

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_name(struct cli *cli, const char *name)
{
    cli_put_clean(cli, name);
    fputc('\n', cli->out);
}

static void put_names(struct cli *cli, const struct names *n)
{
    const char **list = calloc(n->count + 1, sizeof(*list));
    for (size_t i = 0; list && i < n->count; i++)
        list[i] = n->pairs[i].child[0] ? n->pairs[i].child : n->pairs[i].conn;
    if (list)
        qsort(list, n->count, sizeof(*list), by_text);
    for (size_t i = 0; list && i < n->count; i++)
        if (i == 0 || strcmp(list[i], list[i - 1]) != 0)
            put_name(cli, list[i]);
    free(list);
}

static int look_names(struct cli *cli, void *ctx)
{
    struct names n = {0};
    struct esp_error err = {0};
    (void)ctx;
    int r = cli_list(cli, "list-conns", names_take, &n, "ike", cli->operand[0], NULL, &err);
    bool there = n.count || !cli->operands;
    if (r == 0)
        put_names(cli, &n);
    names_free(&n);
    return r ? cli_fail(cli, r, &err) : there ? CLI_DONE : absent(cli);
}

int cmd_conns(struct cli *cli)
{
    bool names = cli_given(cli, CLI_NAMES) && !cli_given(cli, CLI_JSON);
    int status = cli_register(cli, "list-conn");
    if (status == 0 && !names)
        status = cli_register(cli, "list-sa");
    return status ? status : cli_show(cli, names ? look_names : look, NULL);
}
