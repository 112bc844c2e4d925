// SPDX-License-Identifier: Apache-2.0
// `espalier up | down | rekey`: one command of the daemon for each tunnel, with what it logs meanwhile.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/names.h"
#include "ctrl/cli/table.h"
#include "ctrl/lib/printable.h"

struct target {
    const char *conn, *child; // either may be empty
    const char *id, *child_id;
    char name[2 * VICI_MAX_NAME + 8]; // for people
};

struct control {
    struct cli *cli;
    const char *command; // of VICI
    struct names names;  // what is loaded, and what has an SA
    struct names up;     // what has an SA
    json_t *results, *log;
    int status;
    char split[VICI_MAX_NAME + 1]; // the connection of CONNECTION/CHILD
};

// ---- one tunnel

static int take_log(void *ctx, const char *event, const struct vici_node *root)
{
    struct control *c = ctx;
    const char *group = vici_get(root, "group"), *msg = vici_get(root, "msg");
    if (strcmp(event, "control-log") != 0 || !msg)
        return 0;
    if (c->log) {
        json_array_append_new(c->log, json_section(root));
        return 0;
    }
    fputc('[', c->cli->out);
    cli_put_clean(c->cli, group ? group : "?");
    fputs("] ", c->cli->out);
    cli_put_clean(c->cli, msg);
    fputc('\n', c->cli->out);
    fflush(c->cli->out);
    return 0;
}

static void put_if(struct vici_out *o, const char *key, const char *value)
{
    if (value && value[0])
        vici_put(o, key, value);
}

static void fill(const struct control *c, struct vici_out *o, const struct target *t)
{
    const struct cli *cli = c->cli;
    vici_out_begin(o, VICI_CMD_REQUEST, c->command);
    put_if(o, "child", t->child);
    put_if(o, "ike", t->conn);
    put_if(o, "ike-id", t->id);
    put_if(o, "child-id", t->child_id);
    if (cli_given(cli, CLI_FORCE))
        vici_put(o, "force", "yes");
    if (cli_given(cli, CLI_REAUTH))
        vici_put(o, "reauth", "yes");
    if (cli_given(cli, CLI_TIMEOUT))
        vici_putf(o, "timeout", "%llu", 1000ull * cli_number(cli, CLI_TIMEOUT, 0));
    vici_put(o, "loglevel", cli->value[CLI_LEVEL] ? cli->value[CLI_LEVEL] : "1");
}

static void note(struct control *c, const struct target *t, int r, const struct esp_error *err,
                 const struct vici_msg *reply)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", json_text(t->name));
    json_object_set_new(o, "success", json_boolean(r == 0));
    if (r)
        json_object_set_new(o, "error", json_text(r == -EREMOTEIO ? talk_refusal(c->cli->talk) : err->text));
    if (r == 0 && vici_find(reply->root, "matches"))
        json_object_set_new(o, "matches", json_integer((json_int_t)vici_get_num(reply->root, "matches", 0)));
    json_object_set_new(o, "log", c->log);
    json_array_append_new(c->results, o);
    c->log = NULL;
}

static void say(struct control *c, const struct target *t, int r, const struct esp_error *err)
{
    static const char *const done[] = {"is up", "is down", "is being rekeyed"};
    const char *what = done[c->command[0] == 'i' ? 0 : c->command[0] == 't' ? 1 : 2];
    char text[600];
    snprintf(text, sizeof(text), "%s %s", t->name, what);
    printable_make(text);
    if (r == 0) {
        put_tone(c->cli, GOOD, text);
        fputc('\n', c->cli->out);
    } else {
        fflush(c->cli->out);
        fputs("espalier: ", c->cli->err);
        printable_put(c->cli->err, t->name);
        fputs(": ", c->cli->err);
        printable_put(c->cli->err, r == -EREMOTEIO ? talk_refusal(c->cli->talk) : err->text);
        fputc('\n', c->cli->err);
    }
}

// False: nothing more can be asked.
static bool run(struct control *c, const struct target *t)
{
    struct vici_out o;
    struct vici_msg reply = {0};
    struct esp_error err = {0};
    fill(c, &o, t);
    c->log = c->results ? json_array() : NULL;
    int r = talk_ask_while(c->cli->talk, &o, take_log, c, &reply, &err);
    if (c->results)
        note(c, t, r, &err, &reply);
    else
        say(c, t, r, &err);
    vici_msg_free(&reply);
    if (r)
        c->status = CLI_FAILED;
    return r == 0 || r == -EREMOTEIO;
}

// ---- what a name is

static int learn(struct control *c, struct esp_error *err)
{
    int r = cli_list(c->cli, "list-conns", names_take, &c->names, "ike", NULL, NULL, err);
    if (r == 0 && c->command[0] != 'i') // there may be SAs of what is no longer configured
        r = cli_list(c->cli, "list-sas", names_take, &c->up, "ike", NULL, "noblock", err);
    for (size_t i = 0; r == 0 && i < c->up.count; i++)
        names_add(&c->names, c->up.pairs[i].conn, c->up.pairs[i].child);
    return r == 0 && (c->names.no_memory || c->up.no_memory) ? esp_fail(err, -ENOMEM, "", "out of memory")
                                                             : r;
}

// The connections that have a child of that name, up to `most`; how many there are.
static size_t owners(struct control *c, const char *child, const char **list, size_t most)
{
    size_t n = 0;
    names_count(&c->names, "", ""); // in order from here on
    for (size_t i = 0; i < c->names.count; i++) {
        const struct name_pair *p = &c->names.pairs[i];
        bool again = n && n <= most && strcmp(list[n - 1], p->conn) == 0;
        if (strcmp(p->child, child) != 0 || again)
            continue;
        if (n < most)
            list[n] = p->conn;
        n++;
    }
    return n;
}

static int ambiguous(const char *name, const char *const *conns, size_t count, bool conn,
                     struct esp_error *err)
{
    if (conn)
        return esp_fail(err, -EINVAL, name,
                        "a connection and a child have that name: say %.60s/%.60s for the child, "
                        "--ike %.40s for the connection",
                        conns[0], name, name);
    return esp_fail(err, -EINVAL, name,
                    "%zu connections have a child of that name: say %.50s/%.50s, or %.50s/%.50s", count,
                    conns[0], name, conns[1], name);
}

static void label(struct target *t)
{
    if (t->child[0])
        snprintf(t->name, sizeof(t->name), "%s%s%s", t->conn, t->conn[0] ? "/" : "", t->child);
    else
        snprintf(t->name, sizeof(t->name), "%s", t->conn);
}

// "gw/net", where neither a connection nor a child is called so.
static bool split(struct control *c, const char *name, struct target *t)
{
    const char *slash = strchr(name, '/');
    if (!slash || slash == name || !slash[1] || (size_t)(slash - name) >= sizeof(c->split))
        return false;
    snprintf(c->split, sizeof(c->split), "%.*s", (int)(slash - name), name);
    *t = (struct target){.conn = c->split, .child = slash + 1};
    return true;
}

// Each child of the connection that is among them, once; in order: names_count has sorted them.
static bool run_children(struct control *c, const char *conn, const struct names *among, bool *any)
{
    bool more = true;
    for (size_t i = 0; i < among->count && more; i++) {
        struct target t = {.conn = conn, .child = among->pairs[i].child};
        bool again = i && strcmp(among->pairs[i - 1].conn, conn) == 0 &&
                     strcmp(among->pairs[i - 1].child, t.child) == 0;
        if (strcmp(among->pairs[i].conn, conn) != 0 || !t.child[0] || again)
            continue;
        *any = true;
        label(&t);
        more = run(c, &t);
    }
    return more;
}

static bool run_ike(struct control *c, const char *conn)
{
    struct target t = {.conn = conn, .child = ""};
    label(&t);
    return run(c, &t);
}

// All of a connection: brought up it is its children; rekeyed its CHILD SAs and then the IKE SA, which makes
// them anew itself where it is authenticated anew.
static bool run_connection(struct control *c, const char *conn)
{
    bool any = false, more = true, up = c->command[0] == 'i';
    if (up)
        more = run_children(c, conn, &c->names, &any);
    else if (c->command[0] == 'r' && !cli_given(c->cli, CLI_REAUTH))
        more = run_children(c, conn, &c->up, &any);
    return more && (up && any ? true : run_ike(c, conn));
}

// 0 or 1 (nothing more can be asked), or -EINVAL.
static int run_name(struct control *c, const char *name, struct esp_error *err)
{
    const char *list[2] = {"", ""};
    size_t children = owners(c, name, list, 2);
    bool conn = names_count(&c->names, name, "") > 0, up = c->command[0] == 'i';
    struct target t = {.conn = "", .child = name};
    if (children > 1 || (children && conn && !up))
        return ambiguous(name, list, children, conn, err);
    names_count(&c->up, "", ""); // in order from here on
    if (children == 1)
        t.conn = list[0];
    else if (conn)
        return !run_connection(c, name);
    else
        split(c, name, &t); // and what nobody knows the daemon refuses in its own words
    label(&t);
    return !run(c, &t);
}

// ---- the command

static int check(const struct cli *cli, struct esp_error *err)
{
    bool by_option = cli_given(cli, CLI_IKE) || cli_given(cli, CLI_ID) || cli_given(cli, CLI_CHILD_ID);
    if (by_option && cli->operands)
        return esp_fail(err, -EINVAL, cli->operand[0],
                        "a name beside --ike, --id or --child-id: expected one or the other");
    if (!by_option && !cli->operands)
        return esp_fail(err, -EINVAL, cli->command->name, "expected %s after it", cli->command->operands);
    if (cli_given(cli, CLI_IKE) + cli_given(cli, CLI_ID) + cli_given(cli, CLI_CHILD_ID) > 1)
        return esp_fail(err, -EINVAL, "--ike", "--ike, --id and --child-id: expected one of them");
    return 0;
}

static bool by_option(struct control *c)
{
    const struct cli *cli = c->cli;
    struct target t = {.conn = cli->value[CLI_IKE] ? cli->value[CLI_IKE] : "",
                       .child = "",
                       .id = cli->value[CLI_ID],
                       .child_id = cli->value[CLI_CHILD_ID]};
    if (t.conn[0])
        label(&t);
    else
        snprintf(t.name, sizeof(t.name), "%s %s", t.id ? "IKE SA" : "CHILD SA", t.id ? t.id : t.child_id);
    run(c, &t);
    return true;
}

static int prepare(struct control *c, struct esp_error *err)
{
    const struct cli *cli = c->cli;
    int r = 0;
    bool quiet = cli->value[CLI_LEVEL] && strcmp(cli->value[CLI_LEVEL], "-1") == 0;
    if (!quiet && cli->command->options & 1u << CLI_LEVEL)
        r = talk_register(cli->talk, "control-log", err);
    if (r == 0 && cli->operands)
        r = talk_register(cli->talk, "list-conn", err);
    if (r == 0 && cli->operands && c->command[0] != 'i')
        r = talk_register(cli->talk, "list-sa", err);
    return r == 0 && cli->operands ? learn(c, err) : r;
}

static int control(struct cli *cli, const char *command)
{
    struct control c = {.cli = cli, .command = command};
    struct esp_error err = {0};
    int r = check(cli, &err);
    if (r == 0)
        r = prepare(&c, &err);
    if (r == 0 && cli_given(cli, CLI_JSON))
        c.results = json_array();
    if (r == 0 && !cli->operands)
        by_option(&c);
    for (unsigned i = 0; i < cli->operands && r == 0; i++)
        r = run_name(&c, cli->operand[i], &err);
    names_free(&c.names);
    names_free(&c.up);
    if (r < 0) {
        json_decref(c.results);
        return cli_fail(cli, r, &err);
    }
    if (c.results)
        json_put(cli, json_pack("{s:o}", "results", c.results));
    return c.status;
}

int cmd_up(struct cli *cli)
{
    return control(cli, "initiate");
}

int cmd_down(struct cli *cli)
{
    if (cli_given(cli, CLI_PURGE))
        return cmd_purge(cli);
    return control(cli, "terminate");
}

int cmd_rekey(struct cli *cli)
{
    return control(cli, "rekey");
}
