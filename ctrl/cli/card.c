// SPDX-License-Identifier: Apache-2.0
// `espalier card`: what the daemon says of its card, which cards PCI has, and what can be done with each.
#include <errno.h>
#include <string.h>

#include "ctrl/cli/card_ops.h"
#include "ctrl/cli/json.h"
#include "ctrl/cli/pci.h"
#include "ctrl/cli/table.h"

// ---- card list

static const char *state_of(const struct pci_card *c)
{
    return c->simulated                         ? "simulated"
           : strcmp(c->driver, "vfio-pci") == 0 ? "ready for the daemon"
           : c->driver[0]                       ? "another driver has it"
                                                : "bound to no driver";
}

static json_t *card_json(const struct pci_card *c)
{
    json_t *o =
        json_pack("{s:s, s:s, s:b}", "address", c->name, "driver", c->driver, "simulated", (int)c->simulated);
    if (c->group >= 0)
        json_object_set_new(o, "iommu-group", json_integer(c->group));
    return o;
}

static int list(struct cli *cli, void *ctx)
{
    (void)ctx;
    static const struct table_column columns[] = {{"ADDRESS", 0, 0, false},
                                                  {"DRIVER", 0, 0, false},
                                                  {"IOMMU GROUP", 0, 0, true},
                                                  {"STATE", 0, 0, false},
                                                  {0}};
    struct pci_card cards[PCI_CARDS];
    struct esp_error err = {0};
    struct table t;
    json_t *doc = cli_given(cli, CLI_JSON) ? json_array() : NULL;
    int n = pci_cards(cards, cli->value[CLI_PCI_SYSFS], &err);
    table_begin(&t, columns);
    for (int i = 0; i < n; i++) {
        json_array_append_new(doc, card_json(&cards[i]));
        table_add(&t, PLAIN, "%s", cards[i].name);
        table_add(&t, PLAIN, "%s", cards[i].driver);
        if (cards[i].group >= 0)
            table_add(&t, PLAIN, "%d", cards[i].group);
        else
            table_add(&t, PLAIN, "%s", "none");
        table_add(&t, PLAIN, "%s", state_of(&cards[i]));
    }
    if (n >= 0 && !doc)
        table_end(&t, cli, "no card");
    table_free(&t);
    if (n < 0) {
        json_decref(doc);
        cli_fail(cli, n, &err);
        return CLI_MISSING;
    }
    if (doc)
        json_put(cli, json_pack("{s:o}", "cards", doc));
    return CLI_DONE;
}

// ---- what the daemon says

struct offload {
    unsigned total, on_card;
    char card[64], reason[300]; // the last of each that was seen
};

static int take_sa(void *ctx, const char *event, const struct vici_node *root)
{
    struct offload *o = ctx;
    const struct vici_node *children = root->child ? vici_find(root->child, "child-sas") : NULL;
    if (strcmp(event, "list-sa") != 0)
        return 0;
    for (const struct vici_node *k = children ? children->child : NULL; k; k = k->next) {
        const char *engine = vici_get(k, "offload"), *card = vici_get(k, "card"),
                   *why = vici_get(k, "offload-reason");
        o->total++;
        o->on_card += engine && strcmp(engine, "card") == 0;
        if (card)
            snprintf(o->card, sizeof(o->card), "%s", card);
        if (why)
            snprintf(o->reason, sizeof(o->reason), "%s", why);
    }
    return 0;
}

static int ask(struct cli *cli, struct vici_msg *counters, struct offload *o, struct esp_error *err)
{
    struct vici_out out;
    vici_out_begin(&out, VICI_CMD_REQUEST, "get-counters");
    int r = talk_ask_ok(cli->talk, &out, counters, err);
    return r ? r : cli_list(cli, "list-sas", take_sa, o, "ike", NULL, "noblock", err);
}

static bool of_card(const char *name)
{
    return strncmp(name, "card_", 5) == 0 || strncmp(name, "failover", 8) == 0;
}

static void put_json(struct cli *cli, const struct vici_node *all, const struct offload *o, bool present)
{
    json_t *counters = json_object();
    for (const struct vici_node *k = all ? all->child : NULL; k; k = k->next)
        if (of_card(k->name))
            json_object_set_new(counters, k->name, json_integer((json_int_t)vici_get_num(all, k->name, 0)));
    json_t *doc = json_pack("{s:b, s:i, s:i, s:o}", "in-use", (int)present, "child-sas", (int)o->total,
                            "on-card", (int)o->on_card, "counters", counters);
    if (o->card[0])
        json_object_set_new(doc, "card", json_text(o->card));
    if (o->reason[0])
        json_object_set_new(doc, "reason-in-software", json_text(o->reason));
    json_put(cli, doc);
}

static void put_table(struct cli *cli, const struct vici_node *all, const struct offload *o, bool present)
{
    static const struct table_column columns[] = {{"COUNTER", 0, 0, false}, {"VALUE", 0, 0, true}, {0}};
    char text[FIGURE];
    struct table t;
    put_tone(cli, present ? GOOD : NOTABLE, present ? "the daemon uses a card" : "the daemon uses no card");
    fprintf(cli->out, "; %u of %u CHILD SAs on it\n", o->on_card, o->total);
    if (o->on_card < o->total && o->reason[0]) {
        fputs("in software: ", cli->out);
        cli_put_clean(cli, o->reason);
        fputc('\n', cli->out);
    }
    table_begin(&t, columns);
    for (const struct vici_node *k = all ? all->child : NULL; k; k = k->next) {
        if (!of_card(k->name))
            continue;
        table_add(&t, PLAIN, "%s", k->name);
        table_add(&t, PLAIN, "%s", figure_number(text, vici_get_num(all, k->name, 0)));
    }
    table_end(&t, cli, "this daemon counts nothing of a card");
}

static int look(struct cli *cli, void *ctx)
{
    struct vici_msg counters = {0};
    struct offload o = {0};
    struct esp_error err = {0};
    (void)ctx;
    int r = ask(cli, &counters, &o, &err);
    if (r == 0) {
        const struct vici_node *all = vici_find(vici_find(counters.root, "counters"), "");
        bool present = vici_get_num(all, "card_present", 0) > 0;
        (cli_given(cli, CLI_JSON) ? put_json : put_table)(cli, all, &o, present);
    }
    vici_msg_free(&counters);
    return r ? cli_fail(cli, r, &err) : CLI_DONE;
}

// ---- what the card itself counts

// As it and its driver call them: ENC_PACKETS, drop_ICV_FAIL, driver_doorbells.
static bool by_card(const char *name)
{
    return (name[0] >= 'A' && name[0] <= 'Z') || strncmp(name, "driver_", 7) == 0 ||
           strcmp(name, "packets_OK") == 0 ||
           (strncmp(name, "drop_", 5) == 0 && name[5] >= 'A' && name[5] <= 'Z');
}

static void put_counted(struct cli *cli, const struct vici_node *all)
{
    static const struct table_column columns[] = {{"COUNTER", 0, 0, false}, {"VALUE", 0, 0, true}, {0}};
    json_t *doc = cli_given(cli, CLI_JSON) ? json_object() : NULL;
    char text[FIGURE];
    struct table t;
    table_begin(&t, columns);
    for (const struct vici_node *k = all ? all->child : NULL; k; k = k->next) {
        if (!by_card(k->name))
            continue;
        uint64_t n = vici_get_num(all, k->name, 0);
        json_object_set_new(doc, k->name, json_integer((json_int_t)n));
        table_add(&t, PLAIN, "%s", k->name);
        table_add(&t, PLAIN, "%s", figure_number(text, n));
    }
    if (doc)
        json_put(cli, json_pack("{s:o}", "counters", doc));
    else
        table_end(&t, cli, "the daemon has had no card that counts");
    table_free(&t);
}

static int counted(struct cli *cli, void *ctx)
{
    struct vici_msg counters = {0};
    struct esp_error err = {0};
    struct vici_out out;
    (void)ctx;
    vici_out_begin(&out, VICI_CMD_REQUEST, "get-counters");
    int r = talk_ask_ok(cli->talk, &out, &counters, &err);
    if (r == 0)
        put_counted(cli, vici_find(vici_find(counters.root, "counters"), ""));
    vici_msg_free(&counters);
    return r ? cli_fail(cli, r, &err) : CLI_DONE;
}

// ---- which of them

static int show_list(struct cli *cli)
{
    return cli_show(cli, list, NULL);
}

static int show_counters(struct cli *cli)
{
    int status = cli_connect(cli);
    return status ? status : cli_show(cli, counted, NULL);
}

static int show_use(struct cli *cli)
{
    int status = cli_connect(cli);
    if (status == 0)
        status = cli_register(cli, "list-sa");
    return status ? status : cli_show(cli, look, NULL);
}

#define O(sym) (1u << CLI_##sym)
enum { DAEMONS = O(URI), MACHINES = O(PCI_SYSFS), SHOWN = O(WATCH) | O(INTERVAL) | O(COUNT) };
static const struct action {
    const char *name;
    int (*run)(struct cli *cli);
    uint32_t options; // beside --json
    unsigned most;    // operands behind it
} actions[] = {
    {NULL, show_use, DAEMONS | SHOWN, 0},
    {"list", show_list, DAEMONS | MACHINES | SHOWN, 0},
    {"info", card_info, MACHINES, 1},
    {"bind", card_bind, MACHINES | O(FORCE), 1},
    {"unbind", card_unbind, MACHINES, 1},
    {"selftest", card_selftest_it, MACHINES, 1},
    {"counters", show_counters, DAEMONS | SHOWN, 0},
    {"reset", card_reset_it, MACHINES, 1},
};

static const struct action *action_of(const struct cli *cli)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (cli->operands ? actions[i].name && strcmp(cli->operand[0], actions[i].name) == 0
                          : !actions[i].name)
            return &actions[i];
    return NULL;
}

static int judge(const struct cli *cli, const struct action *a, struct esp_error *err)
{
    if (!a)
        return esp_fail(err, -EINVAL, "card",
                        "'%.60s': expected list, info, bind, unbind, selftest, counters, reset, or nothing",
                        cli->operand[0]);
    for (unsigned o = 0; o < CLI_OPTION_COUNT; o++)
        if (cli_given(cli, (enum cli_option)o) && !((a->options | O(JSON)) & 1u << o))
            return esp_fail(err, -EINVAL, cli_options[o].name, "has no meaning with `espalier card%s%s`",
                            a->name ? " " : "", a->name ? a->name : "");
    if (cli->operands > 1 + a->most)
        return esp_fail(err, -EINVAL, cli->operand[1 + a->most], "more than `espalier card %s` takes",
                        a->name);
    return 0;
}

int cmd_card(struct cli *cli)
{
    struct esp_error err = {0};
    const struct action *a = action_of(cli);
    int r = judge(cli, a, &err);
    return r ? cli_fail(cli, r, &err) : a->run(cli);
}
