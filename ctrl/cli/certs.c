// SPDX-License-Identifier: Apache-2.0
// `espalier certs`: what the daemon has of certificates, read here, as VICI hands out their octets.
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/evp.h>

#include "ctrl/cli/json.h"
#include "ctrl/cli/table.h"
#include "ctrl/config/cert_kind.h"
#include "ctrl/pki/pki.h"

enum { DAY_S = 86400, SOON_DAYS = 30 };

static const struct table_column columns[] = {{"SUBJECT", 16, 0, false}, {"ISSUER", 12, 1, false},
                                              {"KIND", 0, 0, false},     {"KEY", 0, 2, false},
                                              {"UNTIL", 0, 0, false},    {0}};

struct look {
    struct cli *cli;
    struct table table;
    json_t *list;
};

struct cert {
    const char *type, *flag;
    const struct vici_node *data;
    bool private_key, known; // known: `info` is
    uint8_t kind;
    struct pki_info info;
};

static void read_cert(struct cert *c, const struct vici_node *n)
{
    const char *warning;
    *c =
        (struct cert){.type = vici_get(n, "type"), .flag = vici_get(n, "flag"), .data = vici_find(n, "data")};
    c->type = c->type ? c->type : "?";
    c->private_key = vici_get_yes(n, "has_privkey", false);
    if (!c->data || cert_kind(c->type, c->flag, &c->kind, &warning, NULL) != 0)
        return;
    c->known =
        pki_describe((enum pki_kind)c->kind, slice_of(c->data->value, c->data->len), &c->info, NULL) == 0;
}

static bool has_dates(const struct cert *c)
{
    return c->known && c->kind != PKI_PUBKEY;
}

static const char *key_name(const struct pki_info *i)
{
    switch (i->key_type) {
    case CR_KEY_RSA: return "RSA";
    case CR_KEY_ECDSA: return "ECDSA";
    case CR_KEY_ED25519: return "Ed25519";
    case CR_KEY_ED448: return "Ed448";
    default: return "";
    }
}

static const char *kind_name(const struct cert *c)
{
    return !c->known               ? c->type
           : c->kind == PKI_CA     ? "CA"
           : c->kind == PKI_CRL    ? "CRL"
           : c->kind == PKI_PUBKEY ? "public key"
           : c->info.is_ca         ? "CA, not trusted"
                                   : "certificate";
}

static void print_day(char *buf, size_t size, int64_t t, const char *format)
{
    time_t at = (time_t)t;
    struct tm tm;
    if (!gmtime_r(&at, &tm) || !strftime(buf, size, format, &tm))
        snprintf(buf, size, "?");
}

static void add_until(struct table *t, const struct cert *c)
{
    char day[40];
    int64_t left = c->info.not_after - time(NULL);
    if (!has_dates(c) || c->info.not_after == INT64_MAX) {
        table_add(t, PLAIN, "%s", "");
        return;
    }
    print_day(day, sizeof(day), c->info.not_after, "%Y-%m-%d");
    if (left < 0)
        table_add(t, BAD, "%s (expired)", day);
    else if (c->info.not_before > time(NULL))
        table_add(t, BAD, "%s (not yet valid)", day);
    else
        table_add(t, left < SOON_DAYS * DAY_S ? NOTABLE : PLAIN, "%s (%lld days)", day,
                  (long long)(left / DAY_S));
}

static void add_row(struct table *t, const struct cert *c)
{
    table_add(t, PLAIN, "%s", c->known ? c->info.subject : "");
    table_add(t, PLAIN, "%s", !has_dates(c) ? "" : c->info.self_signed ? "itself" : c->info.issuer);
    table_add(t, PLAIN, "%s", kind_name(c));
    if (c->known && c->info.key_type)
        table_add(t, PLAIN, "%s-%u%s", key_name(&c->info), c->info.key_bits, c->private_key ? "*" : "");
    else
        table_add(t, PLAIN, "%s", "");
    add_until(t, c);
}

// ---- JSON

static json_t *octets(const uint8_t *p, size_t len)
{
    char text[VICI_MAX_FRAME / 3 * 4 + 8];
    EVP_EncodeBlock((unsigned char *)text, p, (int)len);
    return json_string(text);
}

static void set_dates(json_t *o, const struct pki_info *i)
{
    char day[40];
    print_day(day, sizeof(day), i->not_before, "%Y-%m-%dT%H:%M:%SZ");
    json_object_set_new(o, "not-before", json_string(day));
    print_day(day, sizeof(day), i->not_after, "%Y-%m-%dT%H:%M:%SZ");
    if (i->not_after != INT64_MAX)
        json_object_set_new(o, "not-after", json_string(day));
}

static void set_key(json_t *o, const struct pki_info *i)
{
    char id[2 * sizeof(i->key_id) + 1];
    for (size_t k = 0; k < sizeof(i->key_id); k++)
        snprintf(id + 2 * k, 3, "%02x", i->key_id[k]);
    json_object_set_new(
        o, "key", json_pack("{s:s, s:i, s:s}", "type", key_name(i), "bits", (int)i->key_bits, "id", id));
}

static json_t *as_json(const struct cert *c)
{
    json_t *o = json_object();
    json_object_set_new(o, "type", json_text(c->type));
    if (c->flag)
        json_object_set_new(o, "flag", json_text(c->flag));
    json_object_set_new(o, "private-key", json_boolean(c->private_key));
    if (c->known) {
        json_object_set_new(o, "subject", json_text(c->info.subject));
        if (has_dates(c)) {
            json_object_set_new(o, "issuer", json_text(c->info.issuer));
            json_object_set_new(o, "serial", json_text(c->info.serial));
            set_dates(o, &c->info);
        }
        if (c->info.names[0])
            json_object_set_new(o, "names", json_text(c->info.names));
        if (c->info.key_type)
            set_key(o, &c->info);
    }
    if (c->data)
        json_object_set_new(o, "data", octets(c->data->value, c->data->len));
    return o;
}

// ---- --long

static void put_long(struct cli *cli, const struct cert *c)
{
    json_t *o = as_json(c), *v;
    const char *key;
    json_object_del(o, "data");
    json_object_foreach(o, key, v)
    {
        char *text = json_is_string(v) ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        fprintf(cli->out, "%-12s %s\n", key, json_is_string(v) ? json_string_value(v) : text ? text : "?");
        free(text);
    }
    fputc('\n', cli->out);
    json_decref(o);
}

static int take_cert(void *ctx, const char *name, const struct vici_node *root)
{
    struct look *l = ctx;
    struct cert c;
    if (strcmp(name, "list-cert") != 0)
        return 0;
    read_cert(&c, root);
    if (l->list)
        json_array_append_new(l->list, as_json(&c));
    else if (cli_given(l->cli, CLI_LONG))
        put_long(l->cli, &c);
    else
        add_row(&l->table, &c);
    return 0;
}

static int look(struct cli *cli, void *ctx)
{
    struct look l = {.cli = cli, .list = cli_given(cli, CLI_JSON) ? json_array() : NULL};
    struct esp_error err = {0};
    const char *type = cli->value[CLI_TYPE];
    (void)ctx;
    table_begin(&l.table, columns);
    int r = cli_list(cli, "list-certs", take_cert, &l, "type", type ? type : "any", NULL, &err);
    if (r == 0 && !l.list && !cli_given(cli, CLI_LONG))
        table_end(&l.table, cli, "no certificates");
    table_free(&l.table);
    if (r) {
        json_decref(l.list);
        return cli_fail(cli, r, &err);
    }
    if (l.list)
        json_put(cli, json_pack("{s:o}", "certificates", l.list));
    return CLI_DONE;
}

int cmd_certs(struct cli *cli)
{
    int status = cli_register(cli, "list-cert");
    return status ? status : cli_show(cli, look, NULL);
}
