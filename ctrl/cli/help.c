// SPDX-License-Identifier: Apache-2.0
// --help and the completion, out of the table of commands.
#include <errno.h>
#include <string.h>

#include "ctrl/cli/cli.h"

const struct cli_command *cli_find(const char *name)
{
    for (unsigned i = 0; i < cli_command_count; i++)
        if (strcmp(cli_commands[i].name, name) == 0)
            return &cli_commands[i];
    return NULL;
}

void cli_usage(FILE *f)
{
    fputs("usage: espalier COMMAND [OPTION]... [NAME]...\n       espalier COMMAND --help\n", f);
}

static void put_option(FILE *f, const struct cli_option_def *o)
{
    char name[48];
    snprintf(name, sizeof(name), "%s%s%s", o->name, o->arg[0] ? " " : "", o->arg);
    fprintf(f, "  %-20s %s\n", name, o->help);
}

// At blanks, so that no line is longer than 100 characters.
static void put_wrapped(FILE *f, const char *text)
{
    enum { LINE = 100 };
    size_t at = 0;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (at && at + 1 + n > LINE) {
            fputc('\n', f);
            at = 0;
        }
        fprintf(f, "%s%.*s", at ? " " : "", (int)n, text);
        at += n + (at != 0);
        text += n + strspn(text + n, " ");
    }
    fputc('\n', f);
}

static void help_command(FILE *f, const struct cli_command *c)
{
    fprintf(f, "usage: espalier %s%s%s%s\n%s.\n", c->name, c->options ? " [OPTION]..." : "",
            c->operands[0] ? " " : "", c->operands, c->summary);
    if (c->more[0])
        put_wrapped(f, c->more);
    fputs("\n", f);
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++)
        if (c->options & 1u << i || i == CLI_HELP)
            put_option(f, &cli_options[i]);
}

static void help_all(FILE *f)
{
    cli_usage(f);
    fputs("Asks and drives espalierd, or another daemon that speaks VICI, such as strongSwan's charon.\n\n",
          f);
    for (unsigned i = 0; i < cli_command_count; i++)
        fprintf(f, "  %-10s %-14s %s\n", cli_commands[i].name, cli_commands[i].operands,
                cli_commands[i].summary);
    fputs("\nOptions, each with the commands that their --help names:\n", f);
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++)
        put_option(f, &cli_options[i]);
    fputs("\nExit status: 0 done, 1 an operation failed, 2 usage or bad input, 3 no daemon, or a right that "
          "is missing; "
          "the message\nnames it. Colours only on a terminal, and not where NO_COLOR is set.\n",
          f);
}

void cli_help(FILE *f, const struct cli_command *c)
{
    if (c)
        help_command(f, c);
    else
        help_all(f);
}

int cmd_help(struct cli *cli)
{
    const struct cli_command *c = cli->operands ? cli_find(cli->operand[0]) : NULL;
    struct esp_error err = {0};
    if (cli->operands && !c)
        return cli_fail(cli, esp_fail(&err, -EINVAL, "", "no command '%.60s'", cli->operand[0]), &err);
    cli_help(cli->out, c);
    return CLI_DONE;
}

// ---- completion

// What names a command takes is asked of the daemon.
static void put_names(FILE *f)
{
    fputs("_espalier_names() {\n"
          "    local -a uri=()\n"
          "    local i\n"
          "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
          "        [[ ${COMP_WORDS[i]} != --uri ]] || uri=(--uri \"${COMP_WORDS[i + 1]}\")\n"
          "    done\n"
          "    espalier conns --names \"${uri[@]}\" 2>/dev/null\n"
          "}\n",
          f);
}

static void put_case(FILE *f, const struct cli_command *c)
{
    fprintf(f, "    %s)\n        options=\"", c->name);
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++)
        if (c->options & 1u << i || i == CLI_HELP)
            fprintf(f, "%s ", cli_options[i].name);
    fprintf(f, "\"\n%s        ;;\n",
            cli_takes_names(c) ? "        [[ $word == -* ]] || options=$(_espalier_names)\n" : "");
}

void cli_complete_bash(FILE *f)
{
    fputs("# bash completion for espalier; made by `espalier completion bash`\n", f);
    put_names(f);
    fputs("_espalier() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} options\n    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n        mapfile -t COMPREPLY < <(compgen -W \"",
          f);
    for (unsigned i = 0; i < cli_command_count; i++)
        fprintf(f, "%s ", cli_commands[i].name);
    fprintf(f, "%s %s\" -- \"$word\")\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n",
            cli_options[CLI_HELP].name, cli_options[CLI_VERSION].name);
    for (unsigned i = 0; i < cli_command_count; i++)
        put_case(f, &cli_commands[i]);
    fputs("    *) return ;;\n    esac\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
          "}\ncomplete -o default -F _espalier espalier\n",
          f);
}
