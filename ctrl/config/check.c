// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/swanctl_file.h"
#include "ctrl/lib/printable.h"

struct tally {
    struct check_counts n; // first
    const struct check_report *report;
};

static void print(void *ctx, const char *kind, const char *where, const char *path, const char *text)
{
    const char *const parts[] = {where, ": ", kind, path, path[0] ? ": " : "", text};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        printable_put(ctx, parts[i]);
    fputc('\n', ctx);
}

static void tell(struct tally *t, const char *kind, const char *where, const char *path, const char *text)
{
    t->n.faults += !kind[0];
    t->n.warnings += kind[0] != 0;
    t->report->line(t->report->ctx, kind, where, path, text);
}

static void syntax_fault(void *ctx, const char *where, const char *text)
{
    tell(ctx, "", where, "", text);
}

static void file_fault(void *ctx, const char *where, const char *path, const char *text)
{
    tell(ctx, "", where, path, text);
}

static void file_warn(void *ctx, const char *where, const char *path, const char *text)
{
    tell(ctx, "warning: ", where, path, text);
}

static void count_conn(void *ctx, const struct conn_config *c)
{
    (void)c;
    ((struct tally *)ctx)->n.conns++;
}

static void count_secret(void *ctx, const struct vici_node *root)
{
    (void)root;
    ((struct tally *)ctx)->n.secrets++;
}

static void count_cert(void *ctx, uint8_t kind, const char *flag, const uint8_t *der, size_t len)
{
    (void)kind;
    (void)flag;
    (void)der;
    (void)len;
    ((struct tally *)ctx)->n.certs++;
}

static void count_key(void *ctx, const uint8_t id[20], const uint8_t *der, size_t len)
{
    (void)id;
    (void)der;
    (void)len;
    ((struct tally *)ctx)->n.keys++;
}

// ---- settings

static void settings_fault(void *ctx, const char *where, const struct esp_error *err)
{
    tell(ctx, "", where, err->field, err->text);
}

static void settings_warn(const char *text)
{
    fputs("warning: ", stdout);
    printable_put(stdout, text);
    putchar('\n');
}

static void check_settings(const struct conf_tree *t, struct tally *n)
{
    struct daemon_config config = {0};
    struct esp_error err = {0};
    struct conf conf = {0};
    settings_default(&config.settings);
    int r = conf_flatten(&conf, t, &err);
    if (r)
        file_fault(n, err.field, "", err.text);
    else
        config_apply_all(&config, &conf, n->report->settings_warn, settings_fault, n, &err);
    conf_free(&conf);
}

static bool has_settings(const struct conf_tree *t)
{
    return conf_find(&t->top.sections, "charon") || conf_find(&t->top.sections, "espalierd");
}

void config_swanctl_dir(char *dir, size_t size, const char *file)
{
    const char *set = getenv("SWANCTL_DIR"), *slash = strrchr(file, '/');
    if (set && set[0])
        snprintf(dir, size, "%s", set);
    else
        snprintf(dir, size, "%.*s", slash ? (int)(slash - file) : 1, slash ? file : ".");
}

static int check_swanctl(const struct conf_tree *t, const char *file, const struct swanctl_report *report)
{
    char dir[1024];
    config_swanctl_dir(dir, sizeof(dir), file);
    return swanctl_file_check(t, dir, report);
}

static void print_counts(FILE *out, const struct check_counts *n)
{
    fprintf(out, "%u connection%s, %u secret%s", n->conns, n->conns == 1 ? "" : "s", n->secrets,
            n->secrets == 1 ? "" : "s");
    if (n->certs || n->keys)
        fprintf(out, ", %u certificate%s, %u private key%s", n->certs, n->certs == 1 ? "" : "s", n->keys,
                n->keys == 1 ? "" : "s");
    fprintf(out, ", no fault\n");
}

void config_check_print(FILE *out, const char *file, const struct check_counts *n)
{
    printable_put(out, file);
    fputs(": ", out);
    if (n->faults)
        fprintf(out, "%u fault%s\n", n->faults, n->faults > 1 ? "s" : "");
    else if (n->settings)
        fputs("settings, no fault\n", out);
    else
        print_counts(out, n);
}

int config_check_file(const char *file, bool settings, const struct check_report *to,
                      struct check_counts *counts)
{
    struct tally n = {.report = to};
    const struct conf_faults faults = {&n, syntax_fault};
    const struct swanctl_report report = {.ctx = &n,
                                          .fault = file_fault,
                                          .warn = file_warn,
                                          .conn = count_conn,
                                          .secret = count_secret,
                                          .cert = count_cert,
                                          .key = count_key};
    struct conf_tree t;
    struct esp_error err = {0};
    int r = conf_tree_read(&t, file, &faults, &err);
    if (r == -ENOMEM)
        return r;
    n.n.settings = settings || (has_settings(&t) && !swanctl_file_is(&t));
    if (n.n.settings)
        check_settings(&t, &n);
    else
        r = check_swanctl(&t, file, &report);
    conf_tree_free(&t);
    *counts = n.n;
    return r == -ENOMEM ? r : n.n.faults ? -EINVAL : 0;
}

static int check_and_print(const char *file, bool settings, const struct check_report *report)
{
    struct check_counts n;
    int r = config_check_file(file, settings, report, &n);
    if (r != -ENOMEM)
        config_check_print(stdout, file, &n);
    return r;
}

int config_check(const struct options *o)
{
    const struct check_report report = {stdout, print, settings_warn};
    struct daemon_config config = {0};
    struct esp_error err;
    struct tally n = {.report = &report};
    int result = o->config ? check_and_print(o->config, true, &report) : 0;
    settings_default(&config.settings);
    if (config_apply_all(&config, &o->overrides, settings_warn, settings_fault, &n, &err) && !result)
        result = -EINVAL;
    for (unsigned i = 0; i < o->file_count && result != -ENOMEM; i++) {
        int r = check_and_print(o->files[i], false, &report);
        result = r ? r : result;
    }
    return result;
}
