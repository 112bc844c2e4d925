// SPDX-License-Identifier: Apache-2.0
// The keys of swanctl.conf: each of strongSwan 5.9.8's does something or is refused by name, and the manual
// says what the list says.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctrl/config/gen/table.h"
#include "ctrl/config/keys.h"
#include "ctrl/config/swanctl_file.h"
#include "tests/unit/config_key_rows.h"
#include "tests/unit/cred_dir.h"

// What a file says: the connection as it is handed on, its faults and warnings, the secrets.
struct told {
    uint8_t conn[65536];
    size_t conn_len;
    char faults[2000], warnings[2000], secrets[400];
    unsigned keys;
};
static char conn_dir[128], keys_dir[128]; // with certificates, and with private keys

static void append(char *to, size_t size, const char *path, const char *text)
{
    size_t n = strlen(to);
    snprintf(to + n, size - n, "%s: %s\n", path, text);
}

static void fault(void *ctx, const char *where, const char *path, const char *text)
{
    struct told *t = ctx;
    assert_non_null(strstr(where, "keys.conf:"));
    append(t->faults, sizeof(t->faults), path, text);
}

static void warn(void *ctx, const char *where, const char *path, const char *text)
{
    struct told *t = ctx;
    if (!strstr(where, "keys.conf:")) // another file of the directory
        return;
    append(t->warnings, sizeof(t->warnings), path, text);
}

static void conn(void *ctx, const struct conn_config *c)
{
    struct told *t = ctx;
    struct writer w = writer_of(t->conn, sizeof(t->conn));
    conn_write(&w, c);
    assert_false(w.bad);
    t->conn_len = w.len;
}

static void secret(void *ctx, const struct vici_node *root)
{
    struct told *t = ctx;
    const struct vici_node *data = vici_find(root, "data"), *owners = vici_find(root, "owners");
    char text[100];
    snprintf(text, sizeof(text), "%.*s of %s", (int)data->len, (const char *)data->value,
             owners->child ? vici_text(owners->child) : "all");
    append(t->secrets, sizeof(t->secrets), vici_get(root, "id"), text);
}

static void key(void *ctx, const uint8_t id[20], const uint8_t *der, size_t len)
{
    (void)id;
    assert_true(len > 0 && der[0] == 0x30);
    ((struct told *)ctx)->keys++;
}

static void tell(struct told *t, const char *dir, const char *text)
{
    const struct swanctl_report report = {
        .ctx = t, .fault = fault, .warn = warn, .conn = conn, .secret = secret, .key = key};
    struct conf_tree tree;
    struct esp_error err = {0};
    memset(t, 0, sizeof(*t));
    if (conf_tree_parse(&tree, text, strlen(text), "keys.conf", ".", NULL, &err) != 0)
        fail_msg("%s: %s\n%s", err.field, err.text, text);
    assert_int_equal(swanctl_file_check(&tree, dir, &report), 0);
    conf_tree_free(&tree);
}

struct cert_section { // empty unless it holds the line
    char text[3300];
};

static struct cert_section cert(const char *name, const char *line)
{
    struct cert_section c = {""};
    if (line[0])
        snprintf(c.text, sizeof(c.text), "%s {\n%s\n}", name, line);
    return c;
}

// A connection with one more line in one of its sections.
static void tell_conn(struct told *t, enum key_section s, const char *line)
{
    char text[16000];
#define AT(section) (s == (section) ? line : "")
    struct cert_section local = cert("cert1", AT(SEC_LOCAL_CERT)),
                        remote = cert("cert1", AT(SEC_REMOTE_CERT)),
                        ca = cert("cacert1", AT(SEC_REMOTE_CACERT));
    snprintf(text, sizeof(text),
             "connections { gw {\n%s\nlocal { auth = psk\n%s\n%s }\nremote { auth = psk\n%s\n%s\n%s }\n"
             "children { net {\n%s\n} } } }\n",
             AT(SEC_CONN), AT(SEC_LOCAL), local.text, AT(SEC_REMOTE), remote.text, ca.text, AT(SEC_CHILD));
    tell(t, conn_dir, text);
}

// A path among the values is that of the directory.
static const char *value_of(const struct key_row *r)
{
    static char text[300];
    const char *rest = strncmp(r->value, "%s", 2) == 0 ? r->value + 2 : NULL;
    snprintf(text, sizeof(text), "%s%s", rest ? conn_dir : "", rest ? rest : r->value);
    return text;
}

static void walk_conn(const struct key_row *r)
{
    static struct told base, t;
    char line[400], named[100];
    tell_conn(&base, r->section, "");
    assert_string_equal(base.faults, "");
    assert_true(base.conn_len > 0);
    snprintf(line, sizeof(line), "%s = %s", r->key, value_of(r));
    snprintf(named, sizeof(named), "invalid value for: %s: ", r->key);
    tell_conn(&t, r->section, line);
    bool effect = !t.faults[0] && (t.conn_len != base.conn_len || memcmp(t.conn, base.conn, t.conn_len) != 0);
    if (!effect && !strstr(t.faults, named))
        fail_msg("%s is taken without effect, or refused without its name: \"%s\"", line, t.faults);
}

// A value that a key cannot have is refused with both in the words, and so is one that is too long.
static unsigned refuses(const struct key_row *r, const char *value)
{
    static struct told t;
    char line[3200], named[100];
    snprintf(line, sizeof(line), "%s = \"%s\"", r->key, value);
    snprintf(named, sizeof(named), "invalid value for: %s: ", r->key);
    tell_conn(&t, r->section, line);
    const char *at = strstr(t.faults, named);
    const char *wrong = !t.faults[0] ? NULL
                        : !at        ? "key"
                        : memmem(at, strcspn(at, "\n"), value, strlen(value) < 20 ? strlen(value) : 20)
                            ? NULL
                            : "value";
    if (wrong)
        print_error("%s = %.60s: the refusal does not name the %s: %s", r->key, value, wrong, t.faults);
    return wrong != NULL;
}

static void test_refusals_of_a_connection_name_key_and_value(void **state)
{
    char long_one[3001];
    unsigned bad = 0;
    (void)state;
    memset(long_one, 'x', sizeof(long_one) - 1);
    long_one[sizeof(long_one) - 1] = 0;
    for (unsigned i = 0; i < KEY_ROWS; i++) {
        bool never_read = key_rows[i].section == SEC_LOCAL && strcmp(key_rows[i].key, "cacerts") == 0;
        if (key_rows[i].section > SEC_CHILD || never_read) // refused whatever file it names
            continue;
        bad += refuses(&key_rows[i], "no such value");
        bad += refuses(&key_rows[i], "-1");
        bad += refuses(&key_rows[i], "99999999999999999999");
        bad += refuses(&key_rows[i], long_one);
    }
    assert_int_equal(bad, 0);
}

static const char *prefix_of(enum key_section s)
{
    static const char *const prefixes[] = {"eap", "ntlm",  "ike",   "ppk",    "private",
                                           "rsa", "ecdsa", "pkcs8", "pkcs12", "token"};
    return prefixes[s - SEC_EAP];
}

// The password of a file: with both keys right it is read, and with this one wrong it is named.
static void walk_file_secret(const struct key_row *r)
{
    static struct told t;
    char text[300];
    bool file = strcmp(r->key, "file") == 0, container = r->section == SEC_PKCS12;
    for (int right = 1; right >= 0; right--) {
        const char *name = container ? "east.p12" : "north.pem", *password = container ? "p12" : "geheim";
        snprintf(text, sizeof(text), "secrets { %s-1 { file = %s\n secret = %s\n } }\n",
                 prefix_of(r->section), file && !right ? "other" : name,
                 !file && !right ? "other" : password);
        tell(&t, keys_dir, text);
        assert_int_equal(t.keys > 0, right);
        if (right)
            assert_string_equal(t.faults, "");
        else if (!strstr(t.faults, file ? "file = other: no such file" : "the secret does not decrypt"))
            fail_msg("%s: got \"%s\"", text, t.faults);
    }
}

static void walk_secret(const struct key_row *r)
{
    static struct told t;
    char text[300], named[100];
    if (r->section >= SEC_PRIVATE && r->section <= SEC_PKCS12) {
        walk_file_secret(r);
        return;
    }
    snprintf(text, sizeof(text), "secrets { %s-1 { %s = %s\n%s } }\n", prefix_of(r->section), r->key,
             r->value, strcmp(r->key, "id") == 0 ? "secret = s" : "");
    tell(&t, NULL, text);
    if (r->section == SEC_PPK || r->section == SEC_EAP) {
        bool id = strcmp(r->key, "id") == 0;
        snprintf(named, sizeof(named), "%s-1: s of i\n", prefix_of(r->section));
        assert_string_equal(t.secrets, id ? named : "");
        assert_true(id ? !t.faults[0] : strstr(t.faults, "needs the identity that it goes by") != NULL);
        return;
    }
    if (r->section == SEC_IKE) {
        assert_string_equal(t.faults, "");
        assert_string_equal(t.secrets, strcmp(r->key, "id") == 0 ? "ike-1: s of i\n" : "ike-1: s of all\n");
        return;
    }
    snprintf(named, sizeof(named), "secrets.%s-1: invalid value for: %s: ", prefix_of(r->section), r->key);
    if (!strstr(t.faults, named))
        fail_msg("%s: got \"%s\"", named, t.faults);
}

// Taken without a word, and a value that it cannot have is refused by name.
static void walk_pool(const struct key_row *r)
{
    static struct told t;
    char text[300], named[100];
    const char *addrs = strcmp(r->key, "addrs") == 0 ? "" : "addrs = 10.9.0.0/24\n";
    snprintf(text, sizeof(text), "pools { x { %s%s = %s\n} }\n", addrs, r->key, r->value);
    tell(&t, NULL, text);
    assert_string_equal(t.faults, "");
    assert_string_equal(t.warnings, "");
    if (r->key[0] >= '0' && r->key[0] <= '9')
        return; // text is a value too
    snprintf(text, sizeof(text), "pools { x { %s%s = nonsense\n} }\n", addrs, r->key);
    snprintf(named, sizeof(named), "pools.x: invalid value for: %s: 'nonsense'", r->key);
    tell(&t, NULL, text);
    if (!strstr(t.faults, named))
        fail_msg("%s: got \"%s\"", named, t.faults);
}

// Handed on (test_config_sides), warned about or refused by name.
static void walk_authority(const struct key_row *r)
{
    static struct told t;
    char text[500], named[100];
    bool ca = strcmp(r->key, "cacert") == 0 || strcmp(r->key, "file") == 0;
    bool token =
        strcmp(r->key, "handle") == 0 || strcmp(r->key, "slot") == 0 || strcmp(r->key, "module") == 0;
    snprintf(text, sizeof(text), "authorities { x { %s\n %s = %s\n} }\n", ca ? "" : "cacert = ca.pem", r->key,
             value_of(r));
    snprintf(named, sizeof(named), "authorities.x: invalid value for: %s: ", r->key);
    tell(&t, conn_dir, text);
    if (token ? !strstr(t.faults, named) : t.faults[0])
        fail_msg("%s: got \"%s\"", text, t.faults);
    if (strcmp(r->key, "cert_uri_base") == 0)
        assert_non_null(strstr(t.warnings, "authorities.x: cert_uri_base = http://b/ has no effect"));
}

static int up(void **state)
{
    (void)state;
    pki_files_begin();
    cred_dir_make();
    pki_run("mkdir conn keys && cp -r x509 x509ca pubkey conn/ && cd keys && mkdir private rsa ecdsa pkcs8 "
            "pkcs12 && "
            "for i in private rsa ecdsa pkcs8; do cp ../pkcs8/north.pem $i/; done && cp ../pkcs12/east.p12 "
            "pkcs12/");
    snprintf(conn_dir, sizeof(conn_dir), "%s/conn", pki_files_dir());
    snprintf(keys_dir, sizeof(keys_dir), "%s/keys", pki_files_dir());
    return 0;
}

static int down(void **state)
{
    (void)state;
    pki_files_end();
    return 0;
}

static const char *row_name(const struct key_row *r)
{
    return r->section == SEC_POOL && atoi(r->key) ? "NUMBER" : r->key;
}

static void test_each_key_has_effect_or_is_refused_by_name(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEY_ROWS; i++) {
        const struct key_row *r = &key_rows[i];
        if (!key_find(r->section, row_name(r)))
            fail_msg("%s is not in swanctl_keys.h", r->key);
        if (r->section <= SEC_CHILD)
            walk_conn(r);
        else if (r->section <= SEC_TOKEN)
            walk_secret(r);
        else if (r->section == SEC_POOL)
            walk_pool(r);
        else
            walk_authority(r);
    }
}

// The table between the marks of a page is the one that is printed now.
static void has_table(const char *page, const char *mark, void (*print)(FILE *))
{
    static char text[131072];
    char *table = NULL;
    size_t len = 0;
    FILE *f = fopen(page, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    fclose(f);
    FILE *out = open_memstream(&table, &len);
    assert_non_null(out);
    print(out);
    fclose(out);
    char *begin = strstr(text, mark);
    assert_non_null(begin);
    begin += strlen(mark);
    char *end = strstr(begin, TABLE_END);
    assert_non_null(end);
    if ((size_t)(end - begin) != len || memcmp(begin, table, len) != 0)
        fail_msg("%s: the table of keys is not that of swanctl_keys.h: run `make config-table`", page);
    free(table);
}

static void test_tables_of_the_manual_are_those_of_the_list(void **state)
{
    (void)state;
    has_table("ctrl/config/README.md", TABLE_BEGIN, table_print);
    has_table("ctrl/manual/strongswan.md", TABLE_TRIED_BEGIN, table_print_tried);
}

static void test_every_key_of_the_list_is_tried(void **state)
{
    (void)state;
    for (size_t k = 0; k < swanctl_key_count; k++) {
        bool tried = false;
        for (unsigned i = 0; i < KEY_ROWS; i++)
            tried = tried || key_find(key_rows[i].section, row_name(&key_rows[i])) == &swanctl_keys[k];
        if (!tried)
            fail_msg("%s (section %d) has no row in config_key_rows.h", swanctl_keys[k].name,
                     (int)swanctl_keys[k].section);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_key_has_effect_or_is_refused_by_name),
        cmocka_unit_test(test_refusals_of_a_connection_name_key_and_value),
        cmocka_unit_test(test_every_key_of_the_list_is_tried),
        cmocka_unit_test(test_tables_of_the_manual_are_those_of_the_list),
    };
    return cmocka_run_group_tests(tests, up, down);
}
