// SPDX-License-Identifier: Apache-2.0
// `espalier counters` and `espalier stats`.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/table.h"

static const struct table_column plain[] = {{"COUNTER", 16, 0, false}, {"VALUE", 0, 0, true}, {0}};
static const struct table_column rated[] = {
    {"COUNTER", 16, 0, false}, {"VALUE", 0, 0, true}, {"A SECOND", 0, 0, true}, {0}};

struct look {
    struct vici_msg last; // what there was after the look before, while --watch
    uint64_t last_us, now_us;
    unsigned talk; // that they are of: what another daemon counts begins anew
};

static uint64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

// ---- counters: "counters" has a section for each connection, and one without a name for all together

static bool wanted(const struct cli *cli, const char *name)
{
    return !cli->operands || strstr(name, cli->operand[0]);
}

static void add_rate(struct table *t, const struct look *l, const struct vici_node *before, const char *name,
                     uint64_t value)
{
    uint64_t was = vici_get_num(before, name, UINT64_MAX), past_us = l->now_us - l->last_us;
    if (was == UINT64_MAX || was > value || !past_us || value == was)
        table_add(t, PLAIN, "%s", "");
    else
        table_add(t, GOOD, "%.1f", (double)(value - was) * 1e6 / (double)past_us);
}

static void add_section(struct cli *cli, struct table *t, const struct look *l,
                        const struct vici_node *section)
{
    const struct vici_node *before =
        l->last.root ? vici_find(vici_find(l->last.root, "counters"), section->name) : NULL;
    char text[FIGURE];
    for (const struct vici_node *k = section->child; k; k = k->next) {
        uint64_t value = vici_get_num(section, k->name, 0);
        if (k->kind != VICI_VALUE || !wanted(cli, k->name))
            continue;
        table_add(t, PLAIN, "%s%s%s", section->name, section->name[0] ? ": " : "", k->name);
        table_add(t, value ? PLAIN : FAINT, "%s", figure_number(text, value));
        if (cli_given(cli, CLI_WATCH))
            add_rate(t, l, before, k->name, value);
    }
}

static json_t *section_json(const struct cli *cli, const struct vici_node *section)
{
    json_t *o = json_section(section);
    for (const struct vici_node *k = section->child; k; k = k->next)
        if (!wanted(cli, k->name))
            json_object_del(o, k->name);
    return o;
}

static void show_json(struct cli *cli, const struct vici_node *counters)
{
    json_t *all = json_object(), *conns = json_object();
    for (const struct vici_node *k = counters ? counters->child : NULL; k; k = k->next) {
        json_t *o = section_json(cli, k);
        if (k->name[0])
            json_object_set_new(conns, k->name, o);
        else
            json_object_update(all, o);
        if (!k->name[0])
            json_decref(o);
    }
    json_put(cli, json_pack("{s:o, s:o}", "counters", all, "connections", conns));
}

static void show(struct cli *cli, const struct look *l, const struct vici_node *root)
{
    const struct vici_node *counters = vici_find(root, "counters");
    struct table t;
    if (cli_given(cli, CLI_JSON)) {
        show_json(cli, counters);
        return;
    }
    table_begin(&t, cli_given(cli, CLI_WATCH) ? rated : plain);
    for (const struct vici_node *k = counters ? counters->child : NULL; k; k = k->next)
        add_section(cli, &t, l, k);
    table_end(&t, cli, "no counters");
}

static int reset(struct cli *cli, struct esp_error *err)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "reset-counters");
    vici_put(&o, "all", "yes");
    return talk_do(cli->talk, &o, NULL, NULL, TALK_ANSWER_MS, err);
}

static int ask_counters(struct cli *cli, struct vici_msg *reply, struct esp_error *err)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, "get-counters");
    vici_put(&o, "all", "yes");
    return talk_ask_ok(cli->talk, &o, reply, err);
}

static void keep(struct look *l, struct vici_msg *reply)
{
    vici_msg_free(&l->last);
    l->last = *reply;
    l->last_us = clock_us();
}

// What the next look is held against is what there is after the reset, which is not 0 of every counter.
static int reset_and_keep(struct cli *cli, struct look *l, struct esp_error *err)
{
    struct vici_msg reply = {0};
    int r = reset(cli, err);
    if (r == 0 && cli_given(cli, CLI_WATCH))
        r = ask_counters(cli, &reply, err);
    if (r == 0)
        keep(l, &reply);
    return r;
}

static int look(struct cli *cli, void *ctx)
{
    struct look *l = ctx;
    struct vici_msg reply;
    struct esp_error err = {0};
    if (l->talk != cli->talks)
        vici_msg_free(&l->last);
    l->talk = cli->talks;
    int r = ask_counters(cli, &reply, &err);
    if (r)
        return cli_fail(cli, r, &err);
    l->now_us = clock_us();
    show(cli, l, reply.root);
    keep(l, &reply);
    r = cli_given(cli, CLI_RESET) ? reset_and_keep(cli, l, &err) : 0;
    return r ? cli_fail(cli, r, &err) : CLI_DONE;
}

int cmd_counters(struct cli *cli)
{
    struct look l = {0};
    int status = cli_show(cli, look, &l);
    vici_msg_free(&l.last);
    return status;
}

// ---- stats

static void put_line(struct cli *cli, const char *name, const char *text)
{
    char field[64];
    snprintf(field, sizeof(field), "%-12s ", name);
    cli_put_clean(cli, field);
    cli_put_clean(cli, text);
    fputc('\n', cli->out);
}

static void put_list(struct cli *cli, const char *name, const struct vici_node *list)
{
    char *items = join(list, "");
    put_line(cli, name, items ? items : "(out of memory)");
    free(items);
}

static const char *get(const struct vici_node *n, const char *key)
{
    const char *text = vici_get(n, key);
    return text ? text : "?";
}

// "ctl 12, ike 13"
static void put_section(struct cli *cli, const struct vici_node *section)
{
    char text[1024];
    size_t at = 0;
    text[0] = 0;
    for (const struct vici_node *k = section->child; k && at < sizeof(text); k = k->next) {
        if (k->kind == VICI_VALUE) {
            int n = snprintf(text + at, sizeof(text) - at, "%s%s %s", at ? ", " : "", k->name,
                             get(section, k->name));
            at += n > 0 ? (size_t)n : 0;
        }
    }
    if (at)
        put_line(cli, section->name, text);
}

static void show_stats(struct cli *cli, const struct vici_node *version, const struct vici_node *stats)
{
    static const char *const own[] = {"uptime", "ikesas", "plugins", "workers", "queues"};
    const struct vici_node *uptime = vici_find(stats, "uptime"), *ike = vici_find(stats, "ikesas");
    char text[1024];
    snprintf(text, sizeof(text), "%s %s, %s %s, %s", get(version, "daemon"), get(version, "version"),
             get(version, "sysname"), get(version, "release"), get(version, "machine"));
    put_line(cli, "daemon", text);
    snprintf(text, sizeof(text), "%s, since %s", get(uptime, "running"), get(uptime, "since"));
    put_line(cli, "running", text);
    snprintf(text, sizeof(text), "%s, %s of them half open", get(ike, "total"), get(ike, "half-open"));
    put_line(cli, "IKE SAs", text);
    for (const struct vici_node *k = stats->child; k; k = k->next) {
        bool done = false;
        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
            done = done || strcmp(own[i], k->name) == 0;
        if (!done && k->kind == VICI_SECTION)
            put_section(cli, k);
        else if (!done && k->kind == VICI_VALUE)
            put_line(cli, k->name, get(stats, k->name));
    }
    if (vici_find(stats, "plugins") && vici_find(stats, "plugins")->child)
        put_list(cli, "plugins", vici_find(stats, "plugins"));
}

static int ask(struct cli *cli, const char *command, struct vici_msg *reply, struct esp_error *err)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, command);
    return talk_ask_ok(cli->talk, &o, reply, err);
}

static int look_stats(struct cli *cli, void *ctx)
{
    struct vici_msg version = {0}, stats = {0};
    struct esp_error err = {0};
    (void)ctx;
    int r = ask(cli, "version", &version, &err);
    if (r == 0)
        r = ask(cli, "stats", &stats, &err);
    if (r == 0 && cli_given(cli, CLI_JSON)) {
        json_t *doc = json_pack("{s:o}", "version", json_section(version.root)),
               *rest = json_section(stats.root);
        json_object_update(doc, rest);
        json_decref(rest);
        json_put(cli, doc);
    } else if (r == 0) {
        show_stats(cli, version.root, stats.root);
    }
    vici_msg_free(&version);
    vici_msg_free(&stats);
    return r ? cli_fail(cli, r, &err) : CLI_DONE;
}

int cmd_stats(struct cli *cli)
{
    return cli_show(cli, look_stats, NULL);
}
