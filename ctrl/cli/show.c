// SPDX-License-Identifier: Apache-2.0
// What the commands that show something have in common.
#include <errno.h>
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

int cli_show(struct cli *cli, int (*look)(struct cli *cli, void *ctx), void *ctx)
{
    unsigned interval = (unsigned)cli_number(cli, CLI_INTERVAL, INTERVAL_S);
    bool watch = cli_given(cli, CLI_WATCH), json = cli_given(cli, CLI_JSON);
    uint64_t most = cli_number(cli, CLI_COUNT, watch ? UINT64_MAX : 1);
    struct timespec next;
    int status = CLI_DONE;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (uint64_t n = 0; n < most && status == CLI_DONE; n++) {
        if (n)
            rest_until(&next, interval);
        if (watch && !json)
            put_head(cli, interval);
        status = look(cli, ctx);
        if (fflush(cli->out) != 0)
            return CLI_FAILED; // cli_main says why
    }
    return status;
}

int cli_register(struct cli *cli, const char *event)
{
    struct esp_error err = {0};
    int r = talk_register(cli->talk, event, &err);
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
    char part[2048];
    snprintf(part, sizeof(part), "%s", text);
    printable_make(part);
    fputs(part, cli->out);
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
        char items[2048];
        const char *text = k->kind == VICI_LIST ? join(items, sizeof(items), k, "-") : vici_text(k);
        cli_put_clean(cli, text ? text : "(octets)");
        fputc('\n', cli->out);
    }
}
