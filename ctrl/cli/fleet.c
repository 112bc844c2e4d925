// SPDX-License-Identifier: Apache-2.0
// `espalier fleet`: what etcd says of the fleet.
#include "ctrl/cli/fleet.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/table.h"

struct looked_at { // for both looks
    struct cli *cli;
    struct fleet_etcd *etcd;
    struct fleet_current current;
    json_t *nodes, *owners; // by name
    json_t *conns;          // names of the current generation
};

static json_t *value_of(const struct etcd_kv *kv)
{
    json_t *o = json_loadb((const char *)kv->value, kv->len, 0, NULL);
    if (json_is_object(o))
        return o;
    json_decref(o);
    return json_object();
}

static int add_node(void *ctx, const char *name, const struct etcd_kv *kv)
{
    struct looked_at *l = ctx;
    json_t *v = value_of(kv);
    json_object_set_new(v, "session", json_integer((json_int_t)kv->created));
    return json_object_set_new(l->nodes, name, v) < 0 ? -ENOMEM : 0;
}

static int add_drain(void *ctx, const char *name, const struct etcd_kv *kv)
{
    struct looked_at *l = ctx;
    json_t *v = json_object_get(l->nodes, name);
    (void)kv;
    if (v)
        json_object_set_new(v, "draining", json_true());
    return 0;
}

static int add_owner(void *ctx, const char *name, const struct etcd_kv *kv)
{
    struct looked_at *l = ctx;
    json_t *v = value_of(kv),
           *node = json_object_get(l->nodes, json_string_value(json_object_get(v, "node")));
    json_object_set_new(v, "epoch", json_integer((json_int_t)kv->created));
    if (node)
        json_object_set_new(node, "connections",
                            json_integer(json_integer_value(json_object_get(node, "connections")) + 1));
    return json_object_set_new(l->owners, name, v) < 0 ? -ENOMEM : 0;
}

static int add_conn(void *ctx, const char *name, const struct etcd_kv *kv)
{
    struct looked_at *l = ctx;
    (void)kv;
    return json_array_append_new(l->conns, json_string(name)) < 0 ? -ENOMEM : 0;
}

static int look(struct looked_at *l, struct esp_error *err)
{
    char part[80];
    l->nodes = json_object();
    l->owners = json_object();
    l->conns = json_array();
    int rc = fleet_etcd_current(l->etcd, &l->current, err);
    if (!rc)
        rc = fleet_etcd_each(l->etcd, "nodes/", false, add_node, l, err);
    if (!rc)
        rc = fleet_etcd_each(l->etcd, "drain/", true, add_drain, l, err);
    if (!rc)
        rc = fleet_etcd_each(l->etcd, "owners/", false, add_owner, l, err);
    snprintf(part, sizeof(part), "conns/%s/", l->current.generation);
    if (!rc && l->current.generation[0])
        rc = fleet_etcd_each(l->etcd, part, true, add_conn, l, err);
    if (rc && !err->code)
        esp_fail(err, rc, "", "out of memory");
    return rc;
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? s : "";
}

static const char *age(char buf[FIGURE], const json_t *o)
{
    time_t since = (time_t)json_integer_value(json_object_get(o, "since")), now = time(NULL);
    return figure_seconds(buf, since && now > since ? (uint64_t)(now - since) : 0);
}

// ---- nodes

static json_t *named(const char *key, const char *name, json_t *v)
{
    json_t *o = json_pack("{s:o}", key, json_text(name));
    json_object_update_missing(o, v);
    return o;
}

static void show_nodes(struct looked_at *l)
{
    static const struct table_column columns[] = {{"NODE", 10, 0, false},  {"CONNECTIONS", 0, 0, true},
                                                  {"STATE", 0, 0, false},  {"SINCE", 0, 0, true},
                                                  {"SESSION", 0, 1, true}, {0}};
    bool json = cli_given(l->cli, CLI_JSON);
    json_t *list = json_array(), *v;
    struct table t;
    char buf[FIGURE];
    const char *name;
    table_begin(&t, columns);
    json_object_foreach(l->nodes, name, v)
    {
        bool draining = json_is_true(json_object_get(v, "draining"));
        table_add(&t, PLAIN, "%s", name);
        table_add(&t, PLAIN, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(v, "connections")));
        table_add(&t, draining ? NOTABLE : GOOD, "%s", draining ? "draining" : "in");
        table_add(&t, PLAIN, "%s", age(buf, v));
        table_add(&t, FAINT, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(v, "session")));
        json_array_append_new(list, named("name", name, v));
    }
    if (json) {
        table_free(&t);
        json_put(l->cli, json_pack("{s:o}", "nodes", list));
        return;
    }
    table_end(&t, l->cli, "no node has a lease in etcd");
    json_decref(list);
}

// ---- status

static void show_conns(struct looked_at *l)
{
    static const struct table_column columns[] = {{"CONNECTION", 12, 0, false},
                                                  {"NODE", 8, 0, false},
                                                  {"SINCE", 0, 0, true},
                                                  {"EPOCH", 0, 1, true},
                                                  {0}};
    struct table t;
    char buf[FIGURE];
    size_t i;
    json_t *name;
    table_begin(&t, columns);
    json_array_foreach(l->conns, i, name)
    {
        const json_t *owner = json_object_get(l->owners, json_string_value(name));
        table_add(&t, PLAIN, "%s", json_string_value(name));
        table_add(&t, owner ? PLAIN : BAD, "%s", owner ? text(owner, "node") : "nobody");
        table_add(&t, PLAIN, "%s", owner ? age(buf, owner) : "");
        table_add(&t, FAINT, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(owner, "epoch")));
    }
    fprintf(l->cli->out, "generation %s, %" PRIu64 " connections, %zu nodes\n",
            l->current.generation[0] ? l->current.generation : "none", l->current.connections,
            json_object_size(l->nodes));
    table_end(&t, l->cli, "no connection is loaded: espalier fleet load FILE");
}

static void show_status(struct looked_at *l)
{
    size_t i;
    json_t *name, *list = json_array();
    if (!cli_given(l->cli, CLI_JSON)) {
        json_decref(list);
        show_conns(l);
        return;
    }
    json_array_foreach(l->conns, i, name)
    {
        json_t *owner = json_object_get(l->owners, json_string_value(name));
        json_array_append_new(list, named("name", json_string_value(name), owner));
    }
    json_put(l->cli, json_pack("{s:s, s:I, s:o, s:i}", "generation", l->current.generation, "loaded",
                               (json_int_t)l->current.loaded, "connections", list, "nodes",
                               (int)json_object_size(l->nodes)));
}

static int show(struct cli *cli, struct fleet_etcd *e, void (*what)(struct looked_at *l))
{
    struct looked_at l = {.cli = cli, .etcd = e};
    struct esp_error err = {0};
    int rc = look(&l, &err);
    if (!rc)
        what(&l);
    json_decref(l.nodes);
    json_decref(l.owners);
    json_decref(l.conns);
    return rc ? cli_fail(cli, rc, &err) : CLI_DONE;
}

// ---- drain

static int drain(struct cli *cli, struct fleet_etcd *e, const char *node)
{
    char key[512];
    struct esp_error err = {0};
    const struct etcd_op put = {.change = cli_given(cli, CLI_UNDO) ? ETCD_DELETE : ETCD_PUT,
                                .key = fleet_etcd_key(e, key, "drain/", node),
                                .value = "{}",
                                .len = 2};
    int rc =
        strlen(node) < FLEET_NODE_LEN
            ? fleet_etcd_txn(e, NULL, 0, &put, 1, &err)
            : esp_fail(&err, -EINVAL, "NODE", "a node's name has fewer than %d characters", FLEET_NODE_LEN);
    if (rc)
        return cli_fail(cli, rc, &err);
    if (cli_given(cli, CLI_JSON)) {
        json_put(cli, json_pack("{s:o, s:b}", "node", json_text(node), "draining", put.change == ETCD_PUT));
        return CLI_DONE;
    }
    cli_put_clean(cli, node);
    fputs(put.change == ETCD_PUT ? ": gives its connections to the others, and takes none until --undo\n"
                                 : ": takes connections again\n",
          cli->out);
    return CLI_DONE;
}

// ---- the command

static int wrong(struct cli *cli, const char *why)
{
    struct esp_error err;
    return cli_fail(cli, esp_fail(&err, -EINVAL, "fleet", "%s", why), &err);
}

int cmd_fleet(struct cli *cli)
{
    const char *action = cli->operand[0], *operand = cli->operands > 1 ? cli->operand[1] : NULL;
    const char *config = cli_given(cli, CLI_CONFIG) ? cli->value[CLI_CONFIG] : CLI_DEFAULT_CONFIG;
    bool load = strcmp(action, "load") == 0, draining = strcmp(action, "drain") == 0,
         nodes = strcmp(action, "nodes") == 0, status = strcmp(action, "status") == 0;
    struct fleet_etcd *e = NULL;
    struct esp_error err = {0};
    if (!load && !draining && !nodes && !status)
        return wrong(cli, "expected load FILE, status, nodes or drain NODE");
    if ((load || draining) != (operand != NULL))
        return wrong(cli, load       ? "expected load FILE"
                          : draining ? "expected drain NODE"
                                     : "it takes nothing behind it");
    int rc = fleet_etcd_open(&e, config, &err);
    if (rc) {
        cli_fail(cli, rc, &err);
        return rc == -EINVAL || rc == -ENOENT ? CLI_USAGE : CLI_FAILED;
    }
    int result = load       ? fleet_load(cli, e, operand)
                 : draining ? drain(cli, e, operand)
                            : show(cli, e, nodes ? show_nodes : show_status);
    fleet_etcd_close(e);
    return result;
}
