// SPDX-License-Identifier: Apache-2.0
#include "ctrl/cli/json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctrl/config/values.h"
#include "ctrl/lib/printable.h"

// By these names, and by the ends of names below.
static const char *const numbers[] = {
    "uniqueid",    "version",       "local-port",     "remote-port",  "encr-keysize",   "established",
    "rekey-time",  "reauth-time",   "life-time",      "install-time", "reqid",          "bytes-in",
    "bytes-out",   "packets-in",    "packets-out",    "use-in",       "use-out",        "path-since",
    "dummies-out", "handshake-us",  "cpi-in",         "cpi-out",      "rekey_time",     "reauth_time",
    "rekey_bytes", "rekey_packets", "dpd_delay",      "dpd_timeout",  "size",           "online",
    "offline",     "level",         "ikesa-uniqueid", "thread",       "total",          "idle",
    "half-open",   "scheduled",     "critical",       "high",         "medium",         "low",
    "matches",     "terminated",    "clients",        "commands",     "events-dropped", "clients-dropped",
    "bad-frames"};
static const char *const yes_or_no[] = {"initiator",   "nat-local", "nat-remote", "nat-any", "nat-fake",
                                        "encap",       "ppk",       "up",         "trap",    "success",
                                        "has_privkey", "esn",       "aggressive"};

static bool among(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}
#define AMONG(list, name) among(list, sizeof(list) / sizeof((list)[0]), name)

json_t *json_text(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return NULL;
    printable_make(copy);
    json_t *j = json_string(copy);
    free(copy);
    return j;
}

// The whole sections of which are counters.
static bool counts(const struct vici_node *n)
{
    for (; n; n = n->parent)
        if (strcmp(n->name, "counters") == 0 || strcmp(n->name, "processes") == 0 ||
            strcmp(n->name, "mem") == 0)
            return true;
    return false;
}

static json_t *value_of(const struct vici_node *n)
{
    const char *text = vici_text(n);
    uint64_t number;
    if (!text)
        return json_text("");
    if ((AMONG(numbers, n->name) || counts(n->parent)) && strncmp(text, "0x", 2) != 0 &&
        value_number(text, 0, INT64_MAX, &number))
        return json_integer((json_int_t)number);
    if (strcmp(n->name, "level") == 0 && strcmp(text, "-1") == 0)
        return json_integer(-1);
    if (n->kind == VICI_VALUE && AMONG(yes_or_no, n->name))
        return json_boolean(strcmp(text, "yes") == 0 || strcmp(text, "1") == 0);
    return json_text(text);
}

static json_t *items_of(const struct vici_node *n)
{
    json_t *a = json_array();
    for (const struct vici_node *k = n->child; k; k = k->next)
        json_array_append_new(a, value_of(k));
    return a;
}

json_t *json_node(const struct vici_node *n)
{
    return n->kind == VICI_LIST ? items_of(n) : n->kind == VICI_SECTION ? json_section(n) : value_of(n);
}

static bool holds_named(const char *name)
{
    return strcmp(name, "child-sas") == 0 || strcmp(name, "children") == 0 || strcmp(name, "leases") == 0;
}

static void add_each(json_t *to, const struct vici_node *n)
{
    char name[VICI_MAX_NAME + 1];
    for (const struct vici_node *k = n->child; k; k = k->next) {
        snprintf(name, sizeof(name), "%s", k->name);
        printable_make(name);
        json_object_set_new(to, name,
                            k->kind == VICI_SECTION && holds_named(k->name) ? json_named(k) : json_node(k));
    }
}

json_t *json_section(const struct vici_node *n)
{
    json_t *o = json_object();
    add_each(o, n);
    return o;
}

json_t *json_named(const struct vici_node *n)
{
    json_t *a = json_array();
    for (const struct vici_node *k = n->child; k; k = k->next) {
        if (k->kind != VICI_SECTION)
            continue;
        json_t *o = json_object();
        if (strcmp(n->name, "leases") != 0) // those are numbered
            json_object_set_new(o, "name", json_text(k->name));
        add_each(o, k);
        json_array_append_new(a, o);
    }
    return a;
}

json_t *json_now(void)
{
    struct timespec now;
    struct tm tm;
    char day[40], text[80];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof(text), "%s.%03ldZ", day, now.tv_nsec / 1000000);
    return json_string(text);
}

void json_put(struct cli *cli, json_t *doc)
{
    const struct cli_command *c = cli->command;
    bool line = cli_given(cli, CLI_WATCH) || (c && (c->run == cmd_log || c->run == cmd_events));
    if (cli_given(cli, CLI_WATCH))
        json_object_set_new(doc, "time", json_now());
    char *text = doc ? json_dumps(doc, line ? JSON_COMPACT : JSON_INDENT(2)) : NULL;
    if (text)
        fprintf(cli->out, "%s\n", text);
    else
        fputs("{\"error\": {\"field\": \"\", \"text\": \"out of memory\"}}\n", cli->out);
    free(text);
    json_decref(doc);
    fflush(cli->out);
}
