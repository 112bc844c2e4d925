// SPDX-License-Identifier: Apache-2.0
// What the commands that show something have in common.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctrl/cli/cli.h"
#include "ctrl/cli/table.h"
#include "ctrl/lib/printable.h"

enum { INTERVAL_S = 2 };

static void put_head(struct cli *cli, unsigned interval)
{
    char clock[16];
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
    if (cli->terminal)
        fputs("\033[H\033[2J", cli->out);
    fprintf(cli->out, "%s  espalier %s, every %u s\n", clock, cli->command->name, interval);
}

// By the clock, so that what a look takes does not add up.
static void rest_until(struct timespec *next, unsigned interval)
{
    next->tv_sec += interval;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, next, NULL) == EINTR)
        ;
}

// ---- a daemon that goes while it is watched

struct show {
    unsigned interval;
    bool watch, json, asks; // asks: a daemon, and not this machine alone
    bool away;              // the daemon
};

static int register_again(struct cli *cli, struct esp_error *err)
{
    int r = 0;
    for (unsigned i = 0; i < cli->event_count && r == 0; i++)
        r = talk_register(cli->talk, cli->events[i], err);
    return r;
}

static int reach_again(struct cli *cli, struct esp_error *err)
{
    const char *uri = cli->value[CLI_URI] ? cli->value[CLI_URI] : CLI_DEFAULT_URI;
    int r = talk_open(&cli->talk, uri, err);
    if (r == 0)
        r = register_again(cli, err);
    if (r == 0) {
        cli->talks++;
        return 0;
    }
    talk_close(cli->talk);
    cli->talk = NULL;
    return r;
}

// Said once in a text that scrolls, with every look where there is nothing else to see.
static int still_away(struct cli *cli, const struct show *s, int r, const struct esp_error *err)
{
    if (s->json || cli->terminal)
        cli_fail(cli, r, err);
    return CLI_MISSING;
}

static int look_once(struct cli *cli, struct show *s, int (*look)(struct cli *cli, void *ctx), void *ctx)
{
    struct esp_error err = {0};
    if (s->watch && !s->json && (cli->terminal || !s->away))
        put_head(cli, s->interval);
    int r = s->away ? reach_again(cli, &err) : 0;
    if (r)
        return still_away(cli, s, r, &err);
    if (s->away)
        fputs("espalier: the daemon answers again\n", cli->err);
    s->away = false;
    int status = look(cli, ctx);
    if (s->asks && talk_is_over(cli->talk)) {
        if (s->watch)
            fputs("espalier: waiting for the daemon\n", cli->err);
        talk_close(cli->talk);
        cli->talk = NULL;
        s->away = true;
    }
    return status;
}

int cli_show(struct cli *cli, int (*look)(struct cli *cli, void *ctx), void *ctx)
{
    struct show s = {.interval = (unsigned)cli_number(cli, CLI_INTERVAL, INTERVAL_S),
                     .watch = cli_given(cli, CLI_WATCH),
                     .json = cli_given(cli, CLI_JSON),
                     .asks = cli->talk != NULL};
    uint64_t most = cli_number(cli, CLI_COUNT, s.watch ? UINT64_MAX : 1);
    struct timespec next;
    int status = CLI_DONE;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (uint64_t n = 0; n < most; n++) {
        if (n)
            rest_until(&next, s.interval);
        status = look_once(cli, &s, look, ctx);
        if (fflush(cli->out) != 0)
            return CLI_FAILED; // cli_main says why
        if (n == 0 && status != CLI_DONE)
            break;
    }
    return status;
}

int cli_register(struct cli *cli, const char *event)
{
    struct esp_error err = {0};
    int r = talk_register(cli->talk, event, &err);
    if (r == 0 && cli->event_count < CLI_EVENTS)
        cli->events[cli->event_count++] = event;
    return r ? cli_fail(cli, r, &err) : CLI_DONE;
}

int cli_list(struct cli *cli, const char *command, talk_event_fn *each, void *ctx, const char *key,
             const char *value, const char *flag, struct esp_error *err)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_REQUEST, command);
    if (value)
        vici_put(&o, key, value);
    if (flag)
        vici_put(&o, flag, "yes");
    return talk_do(cli->talk, &o, each, ctx, TALK_ANSWER_MS, err);
}

void cli_put_clean(struct cli *cli, const char *text)
{
    printable_put(cli->out, text);
}

static void put_items(struct cli *cli, const struct vici_node *list)
{
    char *items = join(list, "-");
    cli_put_clean(cli, items ? items : "(out of memory)");
    free(items);
}

void cli_put_tree(struct cli *cli, const struct vici_node *section, unsigned depth)
{
    for (const struct vici_node *k = section->child; k; k = k->next) {
        fprintf(cli->out, "%*s", (int)(4 * depth), "");
        cli_put_clean(cli, k->name);
        fputs(k->kind == VICI_SECTION ? ":\n" : ": ", cli->out);
        if (k->kind == VICI_SECTION) {
            cli_put_tree(cli, k, depth + 1);
            continue;
        }
        if (k->kind == VICI_LIST)
            put_items(cli, k);
        else
            cli_put_clean(cli, vici_text(k) ? vici_text(k) : "(octets)");
        fputc('\n', cli->out);
    }
}
