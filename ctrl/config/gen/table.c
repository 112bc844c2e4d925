// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/gen/table.h"

#include <stdbool.h>
#include <string.h>

#include "ctrl/config/keys.h"
#include "tests/unit/config_key_rows.h"

static const char *section_title(enum key_section s)
{
    switch (s) {
    case SEC_CONN: return "`connections.CONN`";
    case SEC_LOCAL: return "`connections.CONN.local*` (one)";
    case SEC_REMOTE: return "`connections.CONN.remote*` (one)";
    case SEC_LOCAL_CERT: return "`connections.CONN.local*.cert*`";
    case SEC_REMOTE_CERT: return "`connections.CONN.remote*.cert*`";
    case SEC_REMOTE_CACERT: return "`connections.CONN.remote*.cacert*`";
    case SEC_CHILD: return "`connections.CONN.children.CHILD`";
    case SEC_EAP: return "`secrets.eap*`, `secrets.xauth*`";
    case SEC_NTLM: return "`secrets.ntlm*`";
    case SEC_IKE: return "`secrets.ike*`";
    case SEC_PPK: return "`secrets.ppk*`";
    case SEC_PRIVATE: return "`secrets.private*`";
    case SEC_RSA: return "`secrets.rsa*`";
    case SEC_ECDSA: return "`secrets.ecdsa*`";
    case SEC_PKCS8: return "`secrets.pkcs8*`";
    case SEC_PKCS12: return "`secrets.pkcs12*`";
    case SEC_TOKEN: return "`secrets.token*`";
    case SEC_POOL: return "`pools.NAME`";
    case SEC_AUTHORITY: return "`authorities.NAME`";
    }
    return "";
}

// A bar would begin the next cell.
static void print_word(FILE *out, const char *word)
{
    for (fputc('`', out); *word; word++)
        fprintf(out, "%s%c", *word == '|' ? "\\" : "", *word);
    fputc('`', out);
}

// Of several words for the same the first.
static void print_choices(FILE *out, const struct choice *c)
{
    for (const struct choice *at = c; at->text; at++) {
        const struct choice *first = c;
        while (first->value != at->value)
            first++;
        if (first == at) {
            fputs(at == c ? "" : ", ", out);
            print_word(out, at->text);
        }
    }
}

static void print_words(FILE *out, const struct key *k)
{
    if (k->awaited)
        fprintf(out, "taken with a warning: ");
    if (k->kind == K_NEVER)
        fprintf(out, "refused: ");
    if (k->kind == K_ONLY && !k->choices[0].text[0]) {
        fprintf(out, "refused: ");
    } else if (k->kind == K_ONLY) {
        fprintf(out, "only ");
        print_choices(out, k->choices);
        fprintf(out, ", others are refused: ");
    } else if (k->kind == K_CHOICE) {
        print_choices(out, k->choices);
        fprintf(out, ": ");
    }
    fputs(k->words, out);
}

static void print_row(FILE *out, const struct key *k)
{
    fprintf(out, "| `%s` | %s | ", k->name, k->usual);
    print_words(out, k);
    fputs(" |\n", out);
}

static void print_section(FILE *out, size_t i, const char *cells)
{
    if (i == 0 || swanctl_keys[i].section != swanctl_keys[i - 1].section)
        fprintf(out, "| **%s** | | %s|\n", section_title(swanctl_keys[i].section), cells);
}

void table_print(FILE *out)
{
    fputs("| key | default | |\n|---|---|---|\n", out);
    for (size_t i = 0; i < swanctl_key_count; i++) {
        print_section(out, i, "");
        print_row(out, &swanctl_keys[i]);
    }
}

static const char *fate(const struct key *k)
{
    if (k->kind == K_NEVER || (k->kind == K_ONLY && !k->choices[0].text[0]))
        return "**refused**";
    if (k->kind == K_ONLY)
        return "**other values refused**";
    return k->awaited || strncmp(k->words, "taken with a warning", 20) == 0 ? "**no effect**" : "honoured";
}

static void print_tried(FILE *out, const struct key *k)
{
    for (size_t i = 0; i < KEY_ROWS; i++) {
        const char *name = key_rows[i].key, *value = key_rows[i].value;
        bool number = name[0] >= '0' && name[0] <= '9'; // of an attribute of a pool
        if (key_rows[i].section != k->section || strcmp(number ? "NUMBER" : name, k->name) != 0)
            continue;
        fprintf(out, "`%s = %s`", name, strncmp(value, "%s", 2) == 0 ? value + 2 : value);
        return;
    }
}

void table_print_tried(FILE *out)
{
    fputs("| key | | default | | tried with |\n|---|---|---|---|---|\n", out);
    for (size_t i = 0; i < swanctl_key_count; i++) {
        const struct key *k = &swanctl_keys[i];
        print_section(out, i, "| | ");
        fprintf(out, "| `%s` | %s | %s | ", k->name, fate(k), k->usual);
        print_words(out, k);
        fputs(" | ", out);
        print_tried(out, k);
        fputs(" |\n", out);
    }
}
