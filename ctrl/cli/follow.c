// SPDX-License-Identifier: Apache-2.0
// `espalier log` and `espalier events`: what the daemon says by itself, until it is interrupted.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/table.h"
#include "ctrl/lib/printable.h"

struct follow {
    struct cli *cli;
    uint64_t left; // lines
    int level;     // of the log, at most
};

static void put_clock(struct cli *cli)
{
    char clock[16];
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(clock, sizeof(clock), "%H:%M:%S ", &tm);
    put_tone(cli, FAINT, clock);
}

static const char *get(const struct vici_node *n, const char *key)
{
    const char *text = vici_get(n, key);
    return text ? text : "";
}

// 1 after the last that is wanted.
static int counted(struct follow *f)
{
    fflush(f->cli->out);
    return ferror(f->cli->out) || --f->left == 0;
}

// ---- log

static int take_log(void *ctx, const char *event, const struct vici_node *root)
{
    struct follow *f = ctx;
    const char *level = get(root, "level");
    char text[600];
    if (strcmp(event, "log") != 0 || (level[0] == '-' ? -1 : (int)vici_get_num(root, "level", 0)) > f->level)
        return 0;
    if (cli_given(f->cli, CLI_JSON)) {
        json_t *o = json_pack("{s:o}", "time", json_now()), *rest = json_section(root);
        json_object_update(o, rest);
        json_decref(rest);
        json_put(f->cli, o);
        return counted(f);
    }
    put_clock(f->cli);
    snprintf(text, sizeof(text), "[%s] %s%s%s%s%s", get(root, "group"),
             vici_find(root, "ikesa-name") ? "<" : "", get(root, "ikesa-name"),
             vici_find(root, "ikesa-uniqueid") ? "|" : "", get(root, "ikesa-uniqueid"),
             vici_find(root, "ikesa-name") ? "> " : "");
    cli_put_clean(f->cli, text);
    cli_put_clean(f->cli, get(root, "msg"));
    fputc('\n', f->cli->out);
    return counted(f);
}

static int follow(struct cli *cli, talk_event_fn *take)
{
    struct follow f = {.cli = cli, .left = cli_number(cli, CLI_COUNT, UINT64_MAX), .level = 4};
    struct esp_error err = {0};
    if (cli->value[CLI_LEVEL])
        f.level = cli->value[CLI_LEVEL][0] == '-' ? -1 : (int)cli_number(cli, CLI_LEVEL, 4);
    int r = talk_listen(cli->talk, take, &f, &err);
    return r < 0 ? cli_fail(cli, r, &err) : CLI_DONE;
}

int cmd_log(struct cli *cli)
{
    int status = cli_register(cli, "log");
    return status ? status : follow(cli, take_log);
}

// ---- events

static const struct vici_node *section_of(const struct vici_node *root)
{
    const struct vici_node *n = root->child;
    while (n && n->kind != VICI_SECTION)
        n = n->next;
    return n;
}

static void put_json(struct follow *f, const char *event, const struct vici_node *root)
{
    const struct vici_node *sa = section_of(root);
    json_t *o = json_pack("{s:o, s:o}", "time", json_now(), "event", json_text(event));
    if (strstr(event, "updown"))
        json_object_set_new(o, "up", json_boolean(vici_get_yes(root, "up", false)));
    if (sa) {
        json_t *all = json_named(root);
        json_object_set(o, "sa", json_array_get(all, 0));
        json_decref(all);
    } else {
        json_t *rest = json_section(root);
        json_object_update(o, rest);
        json_decref(rest);
    }
    json_put(f->cli, o);
}

// To be freed; NULL: no memory.
static char *print_ike(const char *conn, const struct vici_node *ike)
{
    char *text;
    return asprintf(&text, "IKE SA %s[%s] %s [%s] - %s [%s]", conn, get(ike, "uniqueid"),
                    get(ike, "local-host"), get(ike, "local-id"), get(ike, "remote-host"),
                    get(ike, "remote-id")) < 0
               ? NULL
               : text;
}

static char *print_child(const char *conn, const struct vici_node *child)
{
    char *text = NULL, *local = join(vici_find(child, "local-ts"), "?"),
         *remote = join(vici_find(child, "remote-ts"), "?");
    if (local && remote &&
        asprintf(&text, "CHILD SA %s[%s] of %s %s - %s, SPIs %s in, %s out", get(child, "name"),
                 get(child, "uniqueid"), conn, local, remote, get(child, "spi-in"),
                 get(child, "spi-out")) < 0)
        text = NULL;
    free(local);
    free(remote);
    return text;
}

static void put_event(struct cli *cli, enum tone tone, const char *word, const char *text)
{
    char field[300];
    snprintf(field, sizeof(field), "%-8s ", word);
    printable_make(field); // of an event that is not known it is the daemon's
    put_clock(cli);
    put_tone(cli, tone, field);
    cli_put_clean(cli, text);
    fputc('\n', cli->out);
}

// Both ends of a rekeying stand where otherwise the SA does.
static void put_sa(struct cli *cli, const char *event, bool up, const struct vici_node *sa)
{
    bool rekey = strstr(event, "rekey") != NULL, child = strncmp(event, "child", 5) == 0;
    const struct vici_node *at = child ? vici_find(sa, "child-sas") : sa;
    enum tone tone = rekey ? PLAIN : strstr(event, "updown") ? (up ? GOOD : BAD) : NOTABLE;
    const char *word = rekey ? "rekeyed" : !strstr(event, "updown") ? "moved" : up ? "up" : "down";
    for (at = child && at ? at->child : at; at; at = child ? at->next : NULL) {
        const struct vici_node *is = rekey ? vici_find(at, "new") : at;
        char *text = (child ? print_child : print_ike)(sa->name, is ? is : at);
        put_event(cli, tone, word, text ? text : "(out of memory)");
        free(text);
    }
}

static int take_event(void *ctx, const char *event, const struct vici_node *root)
{
    struct follow *f = ctx;
    const struct vici_node *sa = section_of(root);
    if (cli_given(f->cli, CLI_JSON)) {
        put_json(f, event, root);
    } else if (sa && (strncmp(event, "ike-", 4) == 0 || strncmp(event, "child-", 6) == 0)) {
        put_sa(f->cli, event, vici_get_yes(root, "up", false), sa);
    } else {
        put_event(f->cli, NOTABLE, event, "");
        cli_put_tree(f->cli, root, 1);
    }
    return counted(f);
}

int cmd_events(struct cli *cli)
{
    static const char *const events[] = {"ike-updown",  "child-updown", "ike-rekey",
                                         "child-rekey", "ike-update",   "alert"};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        struct esp_error err = {0};
        int r = talk_register(cli->talk, events[i], &err);
        if (r && r != -ENOSYS) // strongSwan has not had all of them always
            return cli_fail(cli, r, &err);
    }
    return follow(cli, take_event);
}

// ---- completion

int cmd_completion(struct cli *cli)
{
    static const struct {
        const char *name;
        void (*put)(FILE *f);
    } shells[] = {{"bash", cli_complete_bash}, {"zsh", cli_complete_zsh}, {"fish", cli_complete_fish}};
    struct esp_error err = {0};
    for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (strcmp(cli->operand[0], shells[i].name) == 0) {
            shells[i].put(cli->out);
            return CLI_DONE;
        }
    }
    return cli_fail(
        cli, esp_fail(&err, -EINVAL, "completion", "'%.60s': expected bash, zsh or fish", cli->operand[0]),
        &err);
}
