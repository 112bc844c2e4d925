// SPDX-License-Identifier: Apache-2.0
// The command line: options in any order after the command's name, each refused by name where the command has
// no use for it.
#include "ctrl/cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "ctrl/cli/json.h"
#include "ctrl/config/values.h"
#include "ctrl/config/version.h"
#include "ctrl/lib/printable.h"

enum { NUMBER_MAX = 1 << 30 };

bool cli_given(const struct cli *cli, enum cli_option o)
{
    return cli->given & 1u << o;
}

uint64_t cli_number(const struct cli *cli, enum cli_option o, uint64_t absent)
{
    uint64_t n = absent;
    if (cli->value[o])
        value_number(cli->value[o], 0, UINT32_MAX, &n);
    return n;
}

// ---- failures

static int status_of(int r)
{
    switch (-r) {
    case EINVAL: return CLI_USAGE;
    case EACCES:
    case EPERM:
    case ENODEV: return CLI_MISSING;
    default: return CLI_FAILED;
    }
}

int cli_fail(struct cli *cli, int r, const struct esp_error *err)
{
    const char *refusal = r == -EREMOTEIO && cli->talk ? talk_refusal(cli->talk) : NULL;
    const char *text = refusal ? refusal : err->text;
    fputs("espalier: ", cli->err);
    printable_put(cli->err, err->field);
    fputs(err->field[0] ? ": " : "", cli->err);
    printable_put(cli->err, text);
    fputc('\n', cli->err);
    if (cli_given(cli, CLI_JSON)) {
        json_t *doc = json_object(), *e = json_object();
        json_object_set_new(e, "field", json_text(err->field));
        json_object_set_new(e, "text", json_text(text));
        json_object_set_new(doc, "error", e);
        json_put(cli, doc);
    }
    return status_of(r);
}

int cli_absent(struct cli *cli, const char *why)
{
    struct esp_error err = {0};
    return cli_fail(cli, esp_fail(&err, -ENOENT, cli->operand[0], "%s", why), &err);
}

int cli_connect(struct cli *cli)
{
    struct esp_error err = {0};
    const char *uri = cli->value[CLI_URI] ? cli->value[CLI_URI] : CLI_DEFAULT_URI;
    int r = talk_open(&cli->talk, uri, &err);
    cli->talks += r == 0;
    if (r == 0)
        return CLI_DONE;
    int status = cli_fail(cli, r, &err);
    return r == -ENOMEM || r == -EINVAL ? status : CLI_MISSING; // whatever it is, no daemon is reached
}

// ---- reading the line

static bool is_number(enum cli_option o)
{
    return o == CLI_INTERVAL || o == CLI_COUNT || o == CLI_ID || o == CLI_CHILD_ID || o == CLI_TIMEOUT;
}

static bool is_type(const char *value)
{
    static const char *const types[] = {"x509", "x509ca", "x509_crl", "pubkey", "ocsp_response"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i], value) == 0)
            return true;
    return false;
}

static int set_option(struct cli *cli, enum cli_option o, const char *value, struct esp_error *err)
{
    uint64_t n;
    if (is_number(o) && !value_number(value, 1, NUMBER_MAX, &n))
        return esp_fail(err, -EINVAL, cli_options[o].name, "'%.60s': expected a number from 1 on", value);
    if (o == CLI_LEVEL && strcmp(value, "-1") != 0 && !value_number(value, 0, 4, &n))
        return esp_fail(err, -EINVAL, cli_options[o].name, "'%.60s': expected -1 to 4", value);
    if (o == CLI_TYPE && !is_type(value))
        return esp_fail(err, -EINVAL, cli_options[o].name, "'%.60s': expected " CLI_TYPES, value);
    cli->given |= 1u << o;
    cli->value[o] = value;
    return 0;
}

static int read_option(struct cli *cli, char *const *argv, int *at, struct esp_error *err)
{
    const char *arg = argv[*at], *eq = strchr(arg, '=');
    size_t len = eq ? (size_t)(eq - arg) : strlen(arg);
    unsigned o = 0;
    while (o < CLI_OPTION_COUNT &&
           (strlen(cli_options[o].name) != len || strncmp(cli_options[o].name, arg, len) != 0))
        o++;
    if (o == CLI_OPTION_COUNT)
        return esp_fail(err, -EINVAL, arg, "unknown option");
    if (!(cli->command->options & 1u << o) && o != CLI_HELP)
        return esp_fail(err, -EINVAL, cli_options[o].name, "`espalier %s` has no such option",
                        cli->command->name);
    if (!cli_options[o].arg[0] && eq)
        return esp_fail(err, -EINVAL, cli_options[o].name, "takes no value");
    const char *value = !cli_options[o].arg[0] ? "" : eq ? eq + 1 : argv[++*at]; // argv ends in NULL
    if (!value)
        return esp_fail(err, -EINVAL, cli_options[o].name, "expected %s after it", cli_options[o].arg);
    return set_option(cli, (enum cli_option)o, value, err);
}

static int check_line(const struct cli *cli, struct esp_error *err)
{
    const struct cli_command *c = cli->command;
    if (cli->operands < c->least)
        return esp_fail(err, -EINVAL, c->name, "expected %s after it", c->operands);
    if (cli->operands > c->most)
        return esp_fail(err, -EINVAL, cli->operand[c->most], "more than `espalier %s` takes", c->name);
    if (cli_given(cli, CLI_INTERVAL) && !cli_given(cli, CLI_WATCH))
        return esp_fail(err, -EINVAL, "--interval", "has a meaning with --watch alone");
    if (cli_given(cli, CLI_RUN_DIR) && !cli_given(cli, CLI_PURGE))
        return esp_fail(err, -EINVAL, "--run-dir", "has a meaning with --purge alone");
    if (cli_given(cli, CLI_DRY_RUN) && (cli_given(cli, CLI_APPLY) || cli_given(cli, CLI_CLEAR)))
        return esp_fail(err, -EINVAL, "--dry-run", "changes nothing: not together with --apply or --clear");
    return 0;
}

static int read_line(struct cli *cli, int argc, char *const *argv, struct esp_error *err)
{
    bool options = true;
    cli->command = cli_find(argv[1]);
    if (!cli->command)
        return esp_fail(err, -EINVAL, "", "no command '%.60s'", argv[1]);
    for (int i = 2; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
        } else if (options && argv[i][0] == '-' && argv[i][1]) {
            int r = read_option(cli, argv, &i, err);
            if (r)
                return r;
        } else if (cli->operands == CLI_OPERANDS) {
            return esp_fail(err, -EINVAL, argv[i], "more than %d names", CLI_OPERANDS);
        } else {
            cli->operand[cli->operands++] = argv[i];
        }
    }
    return cli_given(cli, CLI_HELP) ? 0 : check_line(cli, err);
}

// ---- running it

static int run(struct cli *cli)
{
    if (cli_given(cli, CLI_HELP)) {
        cli_help(cli->out, cli->command);
        return CLI_DONE;
    }
    bool itself = cli->command->run == cmd_card || cli->command->run == cmd_doctor ||
                  cli_given(cli, CLI_PURGE); // where they have to
    if (cli->command->options & 1u << CLI_URI && !itself) {
        int status = cli_connect(cli);
        if (status)
            return status;
    }
    return cli->command->run(cli);
}

static int carry_out(struct cli *cli, int argc, char *const *argv)
{
    struct esp_error err = {0};
    if (argc < 2) {
        cli_usage(cli->err);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0) {
        cli_help(cli->out, NULL);
        return CLI_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        fputs("espalier " ESPALIER_VERSION "\n", cli->out);
        return CLI_DONE;
    }
    int r = read_line(cli, argc, argv, &err);
    if (r == 0)
        return run(cli);
    int status = cli_fail(cli, r, &err);
    if (!cli->command)
        fputs("see `espalier --help`\n", cli->err);
    return status;
}

int cli_main(FILE *out, FILE *err, bool terminal, unsigned width, int argc, char *const *argv)
{
    const char *no_colour = getenv("NO_COLOR");
    struct cli cli = {.out = out, .err = err, .terminal = terminal, .width = terminal ? width : UINT_MAX};
    cli.colour = terminal && !(no_colour && no_colour[0]);
    int status = carry_out(&cli, argc, argv);
    talk_close(cli.talk);
    if (fflush(out) == 0 && !ferror(out))
        return status;
    fprintf(err, "espalier: standard output: %s\n", strerror(errno));
    return status ? status : CLI_FAILED;
}
