// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl/config/swanctl_file.h"

struct tally {
    unsigned faults, warnings, conns, secrets, certs, keys;
};

static void print(const char *kind, const char *where, const char *path, const char *text)
{
    printf("%s: %s%s%s%s\n", where, kind, path, path[0] ? ": " : "", text);
}

static void syntax_fault(void *ctx, const char *where, const char *text)
{
    ((struct tally *)ctx)->faults++;
    print("", where, "", text);
}

static void file_fault(void *ctx, const char *where, const char *path, const char *text)
{
    ((struct tally *)ctx)->faults++;
    print("", where, path, text);
}

static void file_warn(void *ctx, const char *where, const char *path, const char *text)
{
    ((struct tally *)ctx)->warnings++;
    print("warning: ", where, path, text);
}

static void count_conn(void *ctx, const struct conn_config *c)
{
    (void)c;
    ((struct tally *)ctx)->conns++;
}

static void count_secret(void *ctx, const struct vici_node *root)
{
    (void)root;
    ((struct tally *)ctx)->secrets++;
}

static void count_cert(void *ctx, uint8_t kind, const uint8_t *der, size_t len)
{
    (void)kind;
    (void)der;
    (void)len;
    ((struct tally *)ctx)->certs++;
}

static void count_key(void *ctx, const uint8_t id[20])
{
    (void)id;
    ((struct tally *)ctx)->keys++;
}

// ---- settings

static void settings_fault(void *ctx, const char *where, const struct esp_error *err)
{
    ((struct tally *)ctx)->faults++;
    print("", where, err->field, err->text);
}

static void settings_warn(const char *text)
{
    printf("warning: %s\n", text);
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
        config_apply_all(&config, &conf, settings_warn, settings_fault, n, &err);
    conf_free(&conf);
}

static bool has_settings(const struct conf_tree *t)
{
    return conf_find(&t->top.sections, "charon") || conf_find(&t->top.sections, "espalierd");
}

// swanctl has its directories in $SWANCTL_DIR, or where its file is.
static int check_swanctl(const struct conf_tree *t, const char *file, const struct swanctl_report *report)
{
    char dir[1024];
    const char *set = getenv("SWANCTL_DIR"), *slash = strrchr(file, '/');
    if (set && set[0])
        snprintf(dir, sizeof(dir), "%s", set);
    else
        snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - file) : 1, slash ? file : ".");
    return swanctl_file_check(t, dir, report);
}

static void print_counts(const struct tally *n, const char *file)
{
    printf("%s: %u connection%s, %u secret%s", file, n->conns, n->conns == 1 ? "" : "s", n->secrets,
           n->secrets == 1 ? "" : "s");
    if (n->certs || n->keys)
        printf(", %u certificate%s, %u private key%s", n->certs, n->certs == 1 ? "" : "s", n->keys,
               n->keys == 1 ? "" : "s");
    printf(", no fault\n");
}

static int check_file(const char *file, bool settings)
{
    struct tally n = {0};
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
    settings = settings || (has_settings(&t) && !swanctl_file_is(&t));
    if (settings)
        check_settings(&t, &n);
    else
        r = check_swanctl(&t, file, &report);
    conf_tree_free(&t);
    if (r == -ENOMEM)
        return r;
    if (n.faults)
        printf("%s: %u fault%s\n", file, n.faults, n.faults > 1 ? "s" : "");
    else if (settings)
        printf("%s: settings, no fault\n", file);
    else
        print_counts(&n, file);
    return n.faults ? -EINVAL : 0;
}

int config_check(const struct options *o)
{
    struct daemon_config config = {0};
    struct esp_error err;
    struct tally n = {0};
    int result = o->config ? check_file(o->config, true) : 0;
    settings_default(&config.settings);
    if (config_apply_all(&config, &o->overrides, settings_warn, settings_fault, &n, &err) && !result)
        result = -EINVAL;
    for (unsigned i = 0; i < o->file_count && result != -ENOMEM; i++) {
        int r = check_file(o->files[i], false);
        result = r ? r : result;
    }
    return result;
}
