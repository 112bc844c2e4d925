// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/config_conn_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

char warnings[1000], faults[2000];
struct conn_config conn;
struct esp_error err;

static void warn(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    (void)ctx;
    (void)at;
    size_t n = strlen(warnings);
    snprintf(warnings + n, sizeof(warnings) - n, "%s: %s\n", path, text);
}

static void fault(void *ctx, const struct vici_node *at, const char *path, const char *text)
{
    (void)ctx;
    assert_non_null(at);
    size_t n = strlen(faults);
    snprintf(faults + n, sizeof(faults) - n, "%s: %s\n", path, text);
}
static const struct load_report report = {NULL, fault, warn};

int load_out(struct vici_out *o)
{
    struct vici_msg m;
    assert_int_equal(vici_out_finish(o), 0);
    assert_int_equal(vici_msg_parse(&m, o->data + 5, o->len - 5, &err), 0);
    warnings[0] = faults[0] = 0;
    err = (struct esp_error){0};
    conn_clear(&conn);
    int r = config_load_conn(&conn, m.root->child, &report, &err);
    vici_msg_free(&m);
    vici_out_free(o);
    return r;
}

void put(struct vici_out *o, enum place here, enum place place, const char *key, const char *value)
{
    if (here == place)
        vici_put(o, key, value);
}

int load(enum place place, const char *key, const char *value)
{
    struct vici_out o;
    vici_out_begin(&o, VICI_CMD_RESPONSE, NULL);
    vici_section(&o, "gw");
    put(&o, IN_CONN, place, key, value);
    vici_section(&o, "local");
    if (place != IN_LOCAL || strcmp(key, "auth") != 0)
        vici_put(&o, "auth", "psk");
    put(&o, IN_LOCAL, place, key, value);
    vici_section_end(&o);
    vici_section(&o, "remote-1");
    vici_put(&o, "auth", "psk");
    put(&o, IN_REMOTE, place, key, value);
    vici_section_end(&o);
    vici_section(&o, "children");
    vici_section(&o, "net");
    put(&o, IN_CHILD, place, key, value);
    vici_section_end(&o);
    vici_section_end(&o);
    vici_section_end(&o);
    return load_out(&o);
}

void assert_text(const char *expected)
{
    if (!strstr(err.text, expected))
        fail_msg("got \"%s\", expected \"%s\" in it", err.text, expected);
}
