// SPDX-License-Identifier: Apache-2.0
#include "ctrl/config/swanctl_secret.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "ctrl/config/keys.h"
#include "ctrl/config/shared.h"
#include "ctrl/config/swanctl_tree.h"

static const struct {
    const char *prefix;
    enum key_section keys;
} types[] = {{"eap", SEC_EAP},     {"xauth", SEC_EAP},       {"ntlm", SEC_NTLM},  {"ike", SEC_IKE},
             {"ppk", SEC_PPK},     {"private", SEC_PRIVATE}, {"rsa", SEC_RSA},    {"ecdsa", SEC_ECDSA},
             {"pkcs8", SEC_PKCS8}, {"pkcs12", SEC_PKCS12},   {"token", SEC_TOKEN}};

const char *secret_folder(const char *section)
{
    static const char *const folders[] = {"private", "rsa", "ecdsa", "pkcs8", "pkcs12"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (strncmp(section, folders[i], strlen(folders[i])) == 0)
            return folders[i];
    return NULL;
}

struct secret {
    const char *where, *path;
    const struct secret_report *report;
    unsigned faults;
};

static void fault(struct secret *s, const char *where, const char *text)
{
    s->faults++;
    s->report->fault(s->report->ctx, where, s->path, text);
}

static const struct key *find_key(enum key_section keys, const char *name)
{
    return key_find(keys, strncmp(name, "id", 2) == 0 ? "id" : name); // id, id-1, idA
}

// The octets that a value stands for: text, 0x hexadecimal or 0s base64. Their number, or -EINVAL.
static int decode(const char *text, uint8_t *out, size_t size)
{
    size_t len = strlen(text), n = 0;
    if (strncasecmp(text, "0x", 2) == 0) {
        for (text += 2; isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1]) && n < size;
             text += 2)
            n += (size_t)sscanf(text, "%2hhx", &out[n]);
        return *text ? -EINVAL : (int)n;
    }
    if (strncasecmp(text, "0s", 2) == 0) {
        len -= 2;
        int r =
            len % 4 || len / 4 * 3 > size ? -1 : EVP_DecodeBlock(out, (const uint8_t *)text + 2, (int)len);
        return r < 0 ? -EINVAL : r - (len && text[len + 1] == '=') - (len && text[len] == '=');
    }
    if (len > size)
        return -EINVAL;
    memcpy(out, text, len);
    return (int)len;
}

// The message that swanctl sends for it, on the stack: nodes of its values as they are.
static void check_message(struct secret *s, const struct vici_node *section, const char *kind, uint8_t *data,
                          size_t len)
{
    enum { OWNERS = SHARED_OWNERS_MAX + 1 }; // one too many is a fault
    struct vici_node owners = {.kind = VICI_LIST, .name = "owners"}, items[OWNERS];
    struct vici_node value = {.kind = VICI_VALUE, .name = "data", .value = data, .len = len, .next = &owners};
    struct vici_node type = {
        .kind = VICI_VALUE, .name = "type", .value = (const uint8_t *)kind, .len = strlen(kind)};
    struct vici_node id = {.kind = VICI_VALUE, .name = "id", .value = (const uint8_t *)section->name};
    struct vici_node root = {.kind = VICI_SECTION, .name = "", .child = &id};
    unsigned n = 0;
    id.len = strlen(section->name);
    id.next = &type;
    type.next = &value;
    for (const struct vici_node *k = section->child; k && n < OWNERS; k = k->next) {
        if (k->kind != VICI_VALUE || strncmp(k->name, "id", 2) != 0)
            continue;
        items[n] = *k;
        items[n].kind = VICI_ITEM;
        items[n].next = NULL;
        *(n ? &items[n - 1].next : &owners.child) = &items[n];
        n++;
    }
    const char *wrong = config_check_shared(&root);
    if (wrong)
        fault(s, s->where, wrong);
    else if (!s->faults && s->report->secret)
        s->report->secret(s->report->ctx, &root);
}

static int check_preshared(struct secret *s, const struct vici_node *section, const char *kind)
{
    const struct vici_node *value = vici_find(section, "secret");
    if (!value) {
        fault(s, s->where, "secret is missing: expected secret = KEY, 0xHEX or 0sBASE64");
        return 0;
    }
    uint8_t *data = malloc(SHARED_MAX + 2);
    if (!data)
        return -ENOMEM;
    int len = decode((const char *)value->value, data, SHARED_MAX + 1);
    if (len < 0)
        fault(s, tree_where(value),
              "invalid value for: secret: expected at most 512 octets as text, behind 0x "
              "an even number of hexadecimal digits, or behind 0s base64");
    else
        check_message(s, section, kind, data, (size_t)len);
    OPENSSL_cleanse(data, SHARED_MAX + 2);
    free(data);
    return 0;
}

int secret_check(const char *where, const char *path, const struct vici_node *section,
                 const struct secret_report *report)
{
    struct secret s = {.where = where, .path = path, .report = report};
    char text[200];
    size_t t = 0, count = sizeof(types) / sizeof(types[0]);
    while (t < count && strncmp(section->name, types[t].prefix, strlen(types[t].prefix)) != 0)
        t++;
    if (t == count) {
        fault(&s, where, "unknown kind of secret: expected ike, ike-1 ...");
        return -EINVAL;
    }
    for (const struct vici_node *k = section->child; k; k = k->next) {
        const struct key *known = find_key(types[t].keys, k->name);
        snprintf(text, sizeof(text), "unknown option: %.80s", k->name);
        if (known && known->kind == K_NEVER)
            snprintf(text, sizeof(text), "invalid value for: %.80s: %s", k->name, known->words);
        if (!known || known->kind == K_NEVER)
            fault(&s, tree_where(k), text);
    }
    if (secret_folder(section->name) && !vici_find(section, "file"))
        fault(&s, where,
              "file is missing: expected the name of a file of private keys, whose password this is");
    int r = types[t].keys == SEC_IKE   ? check_preshared(&s, section, "ike")
            : types[t].keys == SEC_PPK ? check_preshared(&s, section, "ppk")
            : types[t].keys == SEC_EAP ? check_preshared(&s, section, types[t].prefix)
                                       : 0;
    return r ? r : s.faults ? -EINVAL : 0;
}
