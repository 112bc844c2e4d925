// SPDX-License-Identifier: Apache-2.0
// The completion for zsh and fish, out of the table of commands; bash's is beside --help.
#include <string.h>

#include "ctrl/cli/cli.h"

bool cli_takes_names(const struct cli_command *c)
{
    return strstr(c->operands, "NAME") || strstr(c->operands, "[CONNECTION]");
}

static bool has(const struct cli_command *c, unsigned option)
{
    return c->options & 1u << option || option == CLI_HELP;
}

// Between single quotes, of either shell.
static void put_quoted(FILE *f, const char *text)
{
    fputc('\'', f);
    for (; *text; text++)
        fputs(*text == '\'' ? "'\\''" : (char[]){*text, 0}, f);
    fputc('\'', f);
}

// ---- zsh

static void put_zsh_commands(FILE *f)
{
    fputs("    local -a verbs=(\n", f);
    for (unsigned i = 0; i < cli_command_count; i++) {
        char entry[200];
        snprintf(entry, sizeof(entry), "%s:%s", cli_commands[i].name, cli_commands[i].summary);
        fputs("        ", f);
        put_quoted(f, entry);
        fputc('\n', f);
    }
    fputs("    )\n", f);
}

static void put_zsh_case(FILE *f, const struct cli_command *c)
{
    fprintf(f, "    %s) options=(", c->name);
    for (unsigned i = 0; i < CLI_OPTION_COUNT; i++)
        if (has(c, i))
            fprintf(f, "%s ", cli_options[i].name);
    fprintf(f, ")%s ;;\n", cli_takes_names(c) ? " named=1" : "");
}

void cli_complete_zsh(FILE *f)
{
    fputs("#compdef espalier\n# zsh completion for espalier; made by `espalier completion zsh`\n_espalier() "
          "{\n",
          f);
    put_zsh_commands(f);
    fprintf(f,
            "    local -a options uri\n    local named= i\n"
            "    if ((CURRENT == 2)); then\n        _describe command verbs\n        compadd -- %s %s\n"
            "        return\n    fi\n"
            "    for ((i = 3; i < CURRENT; i++)); do\n"
            "        [[ ${words[i]} != --uri ]] || uri=(--uri ${words[i + 1]})\n    done\n"
            "    case ${words[2]} in\n",
            cli_options[CLI_HELP].name, cli_options[CLI_VERSION].name);
    for (unsigned i = 0; i < cli_command_count; i++)
        put_zsh_case(f, &cli_commands[i]);
    fputs("    esac\n"
          "    if [[ -n $named && ${words[CURRENT]} != -* ]]; then\n"
          "        compadd -- ${(f)\"$(espalier conns --names $uri 2>/dev/null)\"}\n"
          "    else\n        compadd -- $options\n    fi\n}\ncompdef _espalier espalier\n",
          f);
}

// ---- fish

static void put_fish_option(FILE *f, const struct cli_command *c, unsigned o)
{
    const struct cli_option_def *d = &cli_options[o];
    fprintf(f, "complete -c espalier -n '__fish_seen_subcommand_from %s' -l %s%s", c->name, d->name + 2,
            d->arg[0] ? " -x" : "");
    if (o == CLI_TYPE)
        fputs(" -k -a 'x509 x509ca x509_crl pubkey ocsp_response'", f);
    fputs(" -d ", f);
    put_quoted(f, d->help);
    fputc('\n', f);
}

void cli_complete_fish(FILE *f)
{
    fputs("# fish completion for espalier; made by `espalier completion fish`\ncomplete -c espalier -f\n", f);
    for (unsigned i = 0; i < cli_command_count; i++) {
        const struct cli_command *c = &cli_commands[i];
        fprintf(f, "complete -c espalier -n __fish_use_subcommand -a %s -d ", c->name);
        put_quoted(f, c->summary);
        fputc('\n', f);
        for (unsigned o = 0; o < CLI_OPTION_COUNT; o++)
            if (has(c, o))
                put_fish_option(f, c, o);
        if (cli_takes_names(c))
            fprintf(f,
                    "complete -c espalier -n '__fish_seen_subcommand_from %s' -a '(espalier conns --names "
                    "2>/dev/null)'\n",
                    c->name);
    }
    fputs("complete -c espalier -n __fish_use_subcommand -l help\n"
          "complete -c espalier -n __fish_use_subcommand -l version\n",
          f);
}
