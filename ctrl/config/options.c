// SPDX-License-Identifier: Apache-2.0
// The options of espalierd. Long options take their value as the next argument or after '='; an unknown
// option, a missing or a bad value is refused by name.
#include "ctrl/config/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/values.h"
#include "ctrl/lib/log_journal.h"

enum option_id {
    OPT_VICI,
    OPT_VICI_INSECURE,
    OPT_RUN_DIR,
    OPT_CARD,
    OPT_PCI_SYSFS,
    OPT_PORT,
    OPT_PORT_NAT_T,
    OPT_LISTEN,
    OPT_TUN,
    OPT_DEBUG_KEYS,
    OPT_CONFIG,
    OPT_CHECK,
    OPT_PURGE,
    OPT_SET,
    OPT_LOG_LEVEL,
    OPT_LOG_FORMAT,
    OPT_HELP,
    OPT_VERSION,
};

struct option_def {
    const char *name;
    enum option_id id;
    size_t offset, size; // of a text in struct settings; size 0: handled by code
    bool flag;           // takes no value
    const char *arg, *help;
};
#define TEXT(field) offsetof(struct settings, field), sizeof(((struct settings *)0)->field)
static const struct option_def defs[] = {
    {"--vici", OPT_VICI, TEXT(vici_uri), false, "URI",
     "where swanctl finds the daemon (unix:///var/run/charon.vici)"},
    {"--vici-insecure", OPT_VICI_INSECURE, 0, 0, true, "",
     "allow --vici tcp://, which has no access control; loopback only"},
    {"--run-dir", OPT_RUN_DIR, TEXT(run_dir), false, "DIR",
     "files of this instance (/run/espalier); one directory, one daemon"},
    {"--card", OPT_CARD, TEXT(card), false, "auto|none|BDF",
     "the card to use: any that is there or comes (auto), none, or one by PCI address"},
    {"--pci-sysfs", OPT_PCI_SYSFS, TEXT(pci_sysfs), false, "DIR",
     "where PCI devices are looked for (/sys/bus/pci); espalier-card --dir makes another"},
    {"--port", OPT_PORT, 0, 0, false, "N", "UDP port of IKE (500)"},
    {"--port-nat-t", OPT_PORT_NAT_T, 0, 0, false, "N", "UDP port of IKE and ESP behind NAT (4500)"},
    {"--listen", OPT_LISTEN, 0, 0, false, "ADDR",
     "listen on this address alone; may be repeated (any address)"},
    {"--tun", OPT_TUN, TEXT(tun), false, "NAME", "name of the TUN interface (espalier0)"},
    {"--debug-keys", OPT_DEBUG_KEYS, TEXT(debug_keys), false, "DIR",
     "write all keys there in Wireshark's own format: whoever reads them can decrypt"},
    {"--config", OPT_CONFIG, 0, 0, false, "FILE",
     "settings in strongswan.conf's syntax; SIGHUP reads it again"},
    {"--check", OPT_CHECK, 0, 0, true, "FILE...",
     "say every fault of a swanctl.conf or settings file, with what it includes, and start nothing"},
    {"--purge", OPT_PURGE, 0, 0, true, "",
     "remove what earlier runs with --run-dir have left in the kernel (blocks, rules, routes, tables, TUNs), "
     "and start nothing"},
    {"-o", OPT_SET, 0, 0, false, "KEY=VALUE", "one setting, after those of FILE; may be repeated"},
    {"--log-level", OPT_LOG_LEVEL, 0, 0, false, "[SUBSYS=]LEVEL",
     "-1 silent, 0 audit, 1 control (default), 2 detail, 3 raw"},
    {"--log-format", OPT_LOG_FORMAT, 0, 0, false, "text|json|journal",
     "text (default), one JSON object a line, or entries of systemd's journal with fields; journal:PATH: of "
     "its "
     "socket there"},
    {"--help", OPT_HELP, 0, 0, true, "", "this text"},
    {"--version", OPT_VERSION, 0, 0, true, "", "the version"},
};
enum { DEF_COUNT = sizeof(defs) / sizeof(defs[0]) };

const char *options_usage(void)
{
    return "usage: espalierd [--config FILE] [-o key=value]... [--vici URI] [--vici-insecure] [--run-dir "
           "DIR]\n"
           "                 [--card auto|none|BDF] [--pci-sysfs DIR] [--port N] [--port-nat-t N] [--listen "
           "ADDR]...\n"
           "                 [--tun NAME] [--log-level [SUBSYS=]LEVEL]... [--log-format text|json|journal] "
           "[--debug-keys DIR]\n"
           "       espalierd [--config FILE] --check [FILE]...\n"
           "       espalierd [--config FILE] [--run-dir DIR] --purge\n";
}

void options_help(FILE *out)
{
    fputs(options_usage(), out);
    fputs("Negotiates IPsec tunnels (IKEv2) and carries their packets, on a card or in software. Connections "
          "and "
          "secrets come over VICI:\nswanctl --load-all. Stays in the foreground; logs to standard error; "
          "says `ready` "
          "when commands are served.\n\n",
          out);
    for (size_t i = 0; i < DEF_COUNT; i++) {
        char name[40];
        snprintf(name, sizeof(name), "%s %s", defs[i].name, defs[i].arg);
        fprintf(out, "  %-28s %s\n", name, defs[i].help);
    }
    fputs("\nExit status: 0 done, 1 a process of it died, 2 usage or bad input, 3 a missing right, device or "
          "port; the "
          "message names it.\nSettings and what swanctl.conf may say: ctrl/config/README.md.\n",
          out);
}

static int set_port(const char *name, const char *value, uint16_t *port, struct esp_error *err)
{
    uint64_t n;
    if (!value_number(value, 1, 65535, &n))
        return esp_fail(err, -EINVAL, name, "'%.60s' is not a port; expected 1 to 65535", value);
    *port = (uint16_t)n;
    return 0;
}

static int add_listen(struct settings *s, const char *value, struct esp_error *err)
{
    if (s->listen_count == SETTINGS_MAX_LISTEN)
        return esp_fail(err, -EINVAL, "--listen", "'%.60s': given more than %d times", value,
                        SETTINGS_MAX_LISTEN);
    struct sockaddr_storage *ss = &s->listen[s->listen_count];
    struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
    memset(ss, 0, sizeof(*ss));
    if (inet_pton(AF_INET, value, &v4->sin_addr) == 1)
        ss->ss_family = AF_INET;
    else if (inet_pton(AF_INET6, value, &v6->sin6_addr) == 1)
        ss->ss_family = AF_INET6;
    else
        return esp_fail(err, -EINVAL, "--listen", "'%.60s' is not an IPv4 or IPv6 address", value);
    s->listen_count++;
    return 0;
}

static int set_log_level(struct options *o, const char *value, struct esp_error *err)
{
    const char *eq = strchr(value, '='), *level = eq ? eq + 1 : value;
    uint64_t n;
    int l = strcmp(level, "-1") == 0 ? -1 : value_number(level, 0, 4, &n) ? (int)n : LOG_LEVEL_UNSET;
    if (l == LOG_LEVEL_UNSET)
        return esp_fail(err, -EINVAL, "--log-level", "'%.60s' is not a level; expected -1 to 4", level);
    if (!eq) {
        for (int i = 0; i < LOG_SUBSYS_COUNT; i++)
            o->log_level[i] = l;
        return 0;
    }
    char name[16];
    snprintf(name, sizeof(name), "%.*s", (int)(eq - value), value);
    int sub = log_subsys_by_name(name);
    if (sub < 0)
        return esp_fail(err, -EINVAL, "--log-level", "no subsystem '%.*s'", (int)(eq - value), value);
    o->log_level[sub] = l;
    return 0;
}

static int add_override(struct options *o, const char *value, struct esp_error *err)
{
    const char *eq = strchr(value, '=');
    char path[CONF_MAX_PATH];
    if (!eq || eq == value)
        return esp_fail(err, -EINVAL, "-o", "'%.60s': expected key=value", value);
    bool full = strncmp(value, "charon.", 7) == 0 || strncmp(value, "espalierd.", 10) == 0;
    int n = snprintf(path, sizeof(path), "%s%.*s", full ? "" : "espalierd.", (int)(eq - value), value);
    if (n < 0 || (size_t)n >= sizeof(path))
        return esp_fail(err, -EINVAL, "-o", "'%.40s...': key longer than %d characters", value,
                        CONF_MAX_PATH - 11);
    int r = conf_add(&o->overrides, path, eq + 1, "-o");
    return r ? esp_fail(err, r, "-o", "%s", strerror(-r)) : 0;
}

// auto, none or a PCI address with its domain.
static bool is_card(const char *text)
{
    static const char form[] = "hhhh:hh:hh.h";
    if (strcmp(text, "auto") == 0 || strcmp(text, "none") == 0)
        return true;
    for (size_t i = 0; i < sizeof(form); i++) {
        if (form[i] == 'h' ? !strchr("0123456789abcdef", text[i]) || !text[i] : form[i] != text[i])
            return false;
    }
    return true;
}

static int set_text(struct options *o, const struct option_def *d, const char *value, struct esp_error *err)
{
    if (!*value)
        return esp_fail(err, -EINVAL, d->name, "expected a value, got an empty one");
    if (strlen(value) >= d->size)
        return esp_fail(err, -EINVAL, d->name, "'%.40s...' is longer than %zu characters", value,
                        d->size - 1);
    snprintf((char *)&o->named + d->offset, d->size, "%s", value);
    return 0;
}

static int set_log_format(struct options *o, const char *name, const char *value, struct esp_error *err)
{
    static const char journal[] = "journal:/";
    bool there = strncmp(value, journal, strlen(journal)) == 0;
    if (!there && strcmp(value, "text") != 0 && strcmp(value, "json") != 0 && strcmp(value, "journal") != 0)
        return esp_fail(err, -EINVAL, name, "'%.60s': expected text or json, journal or journal:/PATH",
                        value);
    o->log_json = strcmp(value, "json") == 0;
    o->journal = there                           ? value + strlen(journal) - 1
                 : strcmp(value, "journal") == 0 ? LOG_JOURNAL_PATH
                                                 : NULL;
    return 0;
}

static int set_option(struct options *o, const struct option_def *d, const char *value, struct esp_error *err)
{
    o->given |= 1u << d->id;
    switch (d->id) {
    case OPT_PORT: return set_port(d->name, value, &o->named.port, err);
    case OPT_PORT_NAT_T: return set_port(d->name, value, &o->named.port_nat_t, err);
    case OPT_LISTEN: return add_listen(&o->named, value, err);
    case OPT_LOG_LEVEL: return set_log_level(o, value, err);
    case OPT_SET: return add_override(o, value, err);
    case OPT_CONFIG: o->config = value; return 0;
    case OPT_HELP: o->help = true; return 0;
    case OPT_CHECK: o->check = true; return 0;
    case OPT_PURGE: o->purge = true; return 0;
    case OPT_VERSION: o->version = true; return 0;
    case OPT_VICI_INSECURE: o->named.vici_insecure = true; return 0;
    case OPT_LOG_FORMAT: return set_log_format(o, d->name, value, err);
    case OPT_CARD:
        if (!is_card(value))
            return esp_fail(err, -EINVAL, d->name,
                            "'%.60s': expected auto, none or a PCI address such as 0000:01:00.0", value);
        return set_text(o, d, value, err);
    default: return set_text(o, d, value, err);
    }
}

static int check_files(const struct options *o, struct esp_error *err)
{
    for (unsigned i = 0; i < o->file_count; i++)
        if (o->files[i][0] == '-')
            return esp_fail(err, -EINVAL, o->files[i], "options come before the files of --check");
    if (o->check && !o->file_count && !o->config)
        return esp_fail(err, -EINVAL, "--check", "expected a file after it, or --config FILE");
    return 0;
}

int options_parse(struct options *o, int argc, char *const *argv, struct esp_error *err)
{
    *o = (struct options){0};
    for (int i = 0; i < LOG_SUBSYS_COUNT; i++)
        o->log_level[i] = LOG_LEVEL_UNSET;
    for (int i = 1; i < argc; i++) {
        const char *eq = strncmp(argv[i], "--", 2) == 0 ? strchr(argv[i], '=') : NULL, *value = NULL;
        size_t len = eq ? (size_t)(eq - argv[i]) : strlen(argv[i]), k = 0;
        while (k < DEF_COUNT && (strlen(defs[k].name) != len || strncmp(defs[k].name, argv[i], len) != 0))
            k++;
        if (k == DEF_COUNT && o->check && argv[i][0] != '-') { // the files, to the end
            o->files = argv + i;
            o->file_count = (unsigned)(argc - i);
            return check_files(o, err);
        }
        if (k == DEF_COUNT)
            return esp_fail(err, -EINVAL, argv[i], "unknown option");
        if (defs[k].flag && eq)
            return esp_fail(err, -EINVAL, defs[k].name, "takes no value");
        if (!defs[k].flag)
            value = eq ? eq + 1 : argv[++i]; // argv ends in NULL
        if (!defs[k].flag && !value)
            return esp_fail(err, -EINVAL, defs[k].name, "expected a value after it");
        int r = set_option(o, &defs[k], value, err);
        if (r)
            return r;
    }
    return check_files(o, err);
}

void options_free(struct options *o)
{
    conf_free(&o->overrides);
}

static int apply_named(struct settings *s, const struct options *o, struct esp_error *err)
{
    for (size_t i = 0; i < DEF_COUNT; i++) {
        if (defs[i].size && o->given & 1u << defs[i].id)
            memcpy((char *)s + defs[i].offset, (const char *)&o->named + defs[i].offset, defs[i].size);
    }
    if (o->given & 1u << OPT_PORT)
        s->port = o->named.port;
    if (o->given & 1u << OPT_PORT_NAT_T)
        s->port_nat_t = o->named.port_nat_t;
    s->vici_insecure = o->named.vici_insecure;
    memcpy(s->listen, o->named.listen, sizeof(s->listen));
    s->listen_count = o->named.listen_count;
    if (s->port == s->port_nat_t)
        return esp_fail(err, -EINVAL, "--port-nat-t", "%u is also the port of --port; they must differ",
                        s->port);
    return 0;
}

int config_build(struct daemon_config *out, const struct options *o, void (*warn)(const char *text),
                 struct esp_error *err)
{
    struct conf file = {0};
    *out = (struct daemon_config){.log_json = o->log_json, .log_journal = o->journal != NULL};
    settings_default(&out->settings);
    for (int i = 0; i < LOG_SUBSYS_COUNT; i++)
        out->log_level[i] = 1;
    int r = o->config ? conf_read_file(&file, o->config, err) : 0;
    if (r == 0)
        r = config_apply(out, &file, warn, err);
    if (r == 0)
        r = config_apply(out, &o->overrides, warn, err);
    if (r == 0)
        r = apply_named(&out->settings, o, err);
    for (int i = 0; i < LOG_SUBSYS_COUNT; i++) {
        if (o->log_level[i] != LOG_LEVEL_UNSET)
            out->log_level[i] = o->log_level[i];
    }
    conf_free(&file);
    return r;
}

void config_apply_log(const struct daemon_config *c)
{
    if (c->log_journal)
        log_set_journal(LOG_JOURNAL_FD);
    else
        log_set_json(c->log_json);
    log_set_time_format(c->log_time_format);
    for (int i = 0; i < LOG_SUBSYS_COUNT; i++)
        log_set_level((enum log_subsys)i, c->log_level[i]);
}
