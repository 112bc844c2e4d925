// SPDX-License-Identifier: Apache-2.0
// What swanctl 5.9.8 does: it sends each file of seven directories with load-cert and each of five with
// load-key, hidden files too, subdirectories not. Keys it decrypts itself, by the sections of `secrets` whose
// names begin as the directory does and that have the file.
#include "ctrl/config/swanctl_creds.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include "ctrl/config/cert_kind.h"
#include "ctrl/config/cred_file.h"
#include "ctrl/crypto/signature.h"
#include "ctrl/pki/pki.h"

enum { PATH_LEN = 1024, FILES_MAX = 8192, PASSWORD_MAX = 512, TRIES = 3 };

struct folder {
    const char *name;
    const char *type, *flag; // of load-cert
    bool keys, containers;   // load-key, PKCS#12
    enum cr_key_type only;   // 0: any
};
static const struct folder folders[] = {
    {.name = "x509", .type = "X509", .flag = "NONE"},
    {.name = "x509ca", .type = "X509", .flag = "CA"},
    {.name = "x509ocsp", .type = "X509", .flag = "OCSP"},
    {.name = "x509aa", .type = "X509", .flag = "AA"},
    {.name = "x509ac", .type = "X509_AC"},
    {.name = "x509crl", .type = "X509_CRL"},
    {.name = "pubkey", .type = "PUBKEY"},
    {.name = "private", .keys = true},
    {.name = "rsa", .keys = true, .only = CR_KEY_RSA},
    {.name = "ecdsa", .keys = true, .only = CR_KEY_ECDSA},
    {.name = "bliss", .keys = true},
    {.name = "pkcs8", .keys = true},
    {.name = "pkcs12", .containers = true},
};

struct creds {
    struct file_secret *secrets;
    const struct creds_report *report;
    const struct folder *folder;
    const char *file; // the whole path
    const char *name; // without the folder
};

static void fault(struct creds *c, const char *text)
{
    c->report->fault(c->report->ctx, c->file, c->folder->name, text);
}

static void warn(struct creds *c, const char *text)
{
    c->report->warn(c->report->ctx, c->file, c->folder->name, text);
}

void file_secrets_free(struct file_secret **list)
{
    while (*list) {
        struct file_secret *s = *list;
        *list = s->next;
        if (s->secret)
            OPENSSL_cleanse(s->secret, strlen(s->secret));
        free(s->secret);
        free(s->file);
        free(s->path);
        free(s);
    }
}

static bool is_of(const struct file_secret *s, const struct creds *c)
{
    return strcmp(s->folder, c->folder->name) == 0 && strcmp(s->file, c->name) == 0;
}

// ---- certificates

static void print_day(char *buf, size_t size, int64_t t)
{
    time_t day = (time_t)t;
    struct tm tm;
    if (!gmtime_r(&day, &tm) || !strftime(buf, size, "%Y-%m-%d %H:%M:%S UTC", &tm))
        snprintf(buf, size, "%lld s after 1970", (long long)t);
}

static void check_dates(struct creds *c, const struct pki_info *info, bool crl)
{
    char day[60], text[160];
    int64_t now = time(NULL);
    bool late = info->not_after<now, early = info->not_before> now;
    if (!late && !early)
        return;
    print_day(day, sizeof(day), late ? info->not_after : info->not_before);
    snprintf(text, sizeof(text), "the %s %s %s", crl ? "CRL" : "certificate",
             late ? (crl ? "was to be replaced at" : "expired at") : "is valid only from", day);
    warn(c, text);
}

static int take_cert(struct creds *c, uint8_t kind, const uint8_t *data, size_t len)
{
    struct esp_error err = {0};
    struct pki_info info;
    uint8_t *der = NULL;
    size_t n = 0;
    int r = pki_read_der((enum pki_kind)kind, data, len, &der, &n, &err);
    if (r == 0 && kind != PKI_PUBKEY && pki_describe((enum pki_kind)kind, slice_of(der, n), &info, &err) == 0)
        check_dates(c, &info, kind == PKI_CRL);
    if (r == 0 && c->report->cert)
        c->report->cert(c->report->ctx, kind, c->folder->flag, der, n);
    else if (r && r != -ENOMEM)
        fault(c, err.text);
    free(der);
    return r == -ENOMEM ? r : 0;
}

static int check_cert(struct creds *c, const uint8_t *data, size_t len)
{
    struct esp_error err = {0};
    const char *warning;
    uint8_t kind = 0;
    if (cert_kind(c->folder->type, c->folder->flag, &kind, &warning, &err) < 0) {
        fault(c, err.text);
        return 0;
    }
    if (warning)
        warn(c, warning);
    return take_cert(c, kind, data, len);
}

// ---- keys

static bool is_pkcs8(const uint8_t *der, size_t len)
{
    const unsigned char *at = der;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)len);
    PKCS8_PRIV_KEY_INFO_free(info);
    ERR_clear_error();
    return info != NULL;
}

static int take_key(struct creds *c, const uint8_t *der, size_t len)
{
    static const char *const kinds[] = {"", "an RSA", "an ECDSA", "an Ed25519", "an Ed448"};
    struct cr_key *key = NULL;
    struct esp_error err = {0};
    char text[120];
    uint8_t id[20];
    int r = cr_key_private(der, len, &key, &err);
    if (r) {
        if (r != -ENOMEM)
            fault(c, err.text);
        return r == -ENOMEM ? r : 0;
    }
    enum cr_key_type type = cr_key_type(key);
    // In PKCS#8 the kind stands beside the key: swanctl takes it from anywhere.
    if (c->folder->only && c->folder->only != type && !is_pkcs8(der, len)) {
        snprintf(text, sizeof(text), "it is %s key; expected %s key in this directory, any in private",
                 kinds[type], kinds[c->folder->only]);
        fault(c, text);
    } else if (cr_key_id(key, id) == 0 && c->report->key) {
        c->report->key(c->report->ctx, id, der, len);
    }
    cr_key_free(key);
    return 0;
}

static void bad_password(struct creds *c, const struct file_secret *s)
{
    char text[400];
    snprintf(text, sizeof(text), "the secret does not decrypt %.300s", c->file);
    c->report->fault(c->report->ctx, s->where, s->path, text);
}

static void warn_password(struct creds *c, const char *why)
{
    char text[240];
    snprintf(text, sizeof(text),
             "%s%sno section %s* of secrets has its file: swanctl asks for the password where it has a "
             "terminal, and "
             "loads nothing of it where it has none",
             why, why[0] ? " " : "", c->folder->name);
    warn(c, text);
}

// 0: a password that `opens` says is right, which is in `password`. -ENOTTY, -EKEYREJECTED after it was said.
static int ask_password(struct creds *c, const char *what, char *password,
                        bool (*opens)(void *of, const char *password), void *of)
{
    char text[240];
    for (int i = 0; i < TRIES; i++) {
        int r = c->report->ask(c->report->ctx, c->file, password, PASSWORD_MAX);
        if (r == 0 && opens(of, password))
            return 0;
        if (r) {
            snprintf(
                text, sizeof(text),
                "%s is encrypted, no section %s* of secrets has its file, and there is no terminal to ask on",
                what, c->folder->name);
            fault(c, text);
            return r;
        }
    }
    fault(c, "no password that was entered decrypts it");
    return -EKEYREJECTED;
}

struct sealed {
    const uint8_t *data;
    size_t len;
    uint8_t **der;
    size_t *n;
    int r;
    struct esp_error err;
};

static bool key_opens(void *of, const char *password)
{
    struct sealed *s = of;
    s->r = cred_key(s->data, s->len, password, s->der, s->n, &s->err);
    return s->r != -EKEYREJECTED;
}

static int ask_key(struct creds *c, const uint8_t *data, size_t len, uint8_t **der, size_t *n)
{
    struct sealed s = {.data = data, .len = len, .der = der, .n = n};
    char password[PASSWORD_MAX];
    int r = ask_password(c, "the key", password, key_opens, &s);
    OPENSSL_cleanse(password, sizeof(password));
    if (r == 0 && s.r && s.r != -ENOMEM)
        fault(c, s.err.text);
    return r ? -EKEYREJECTED : s.r;
}

// By each secret of the file's name until one decrypts it. -EKEYREJECTED: none does, and that was said.
static int decrypt_key(struct creds *c, const uint8_t *data, size_t len, uint8_t **der, size_t *n)
{
    struct esp_error err = {0};
    bool named = false;
    int r = cred_key(data, len, NULL, der, n, &err);
    for (struct file_secret *s = c->secrets; s; s = s->next) {
        if (!is_of(s, c))
            continue;
        s->used = named = true;
        if (r != -EKEYREJECTED || !s->secret)
            continue;
        r = cred_key(data, len, s->secret, der, n, &err);
        if (r == -EKEYREJECTED)
            bad_password(c, s);
    }
    if (r == -EKEYREJECTED && !named && c->report->ask)
        return ask_key(c, data, len, der, n);
    if (r == -EKEYREJECTED && !named)
        warn_password(c, "the key is encrypted and");
    else if (r && r != -EKEYREJECTED && r != -ENOMEM)
        fault(c, err.text);
    return r;
}

static int check_key(struct creds *c, const uint8_t *data, size_t len)
{
    uint8_t *der = NULL;
    size_t n = 0;
    if (strcmp(c->folder->name, "bliss") == 0) {
        fault(c, "BLISS keys are not supported");
        return 0;
    }
    int r = decrypt_key(c, data, len, &der, &n);
    if (r == 0)
        r = take_key(c, der, n);
    cred_free(der, n);
    return r == -ENOMEM ? r : 0;
}

// ---- PKCS#12

static int take_x509(struct creds *c, X509 *x)
{
    unsigned char *b = NULL;
    int n = i2d_X509(x, &b), r = n > 0 ? take_cert(c, PKI_X509, b, (size_t)n) : -ENOMEM;
    OPENSSL_free(b);
    return r;
}

static int take_pkey(struct creds *c, const EVP_PKEY *pkey)
{
    unsigned char *b = NULL;
    int n = i2d_PrivateKey(pkey, &b), r = n > 0 ? take_key(c, b, (size_t)n) : -ENOMEM;
    OPENSSL_clear_free(b, n > 0 ? (size_t)n : 0);
    return r;
}

static int take_container(struct creds *c, PKCS12 *p12, const char *password)
{
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    STACK_OF(X509) *more = NULL;
    int r = 0;
    if (!PKCS12_parse(p12, password, &key, &cert, &more)) {
        fault(c, "the container cannot be read");
        return 0;
    }
    for (int i = 0; r == 0 && i < sk_X509_num(more); i++)
        r = take_x509(c, sk_X509_value(more, i));
    if (r == 0 && cert)
        r = take_x509(c, cert);
    if (r == 0 && key)
        r = take_pkey(c, key);
    sk_X509_pop_free(more, X509_free);
    X509_free(cert);
    EVP_PKEY_free(key);
    return r;
}

static bool container_opens(void *p12, const char *password)
{
    return PKCS12_verify_mac(p12, password, -1) == 1;
}

static int try_container(struct creds *c, PKCS12 *p12)
{
    for (struct file_secret *s = c->secrets; s; s = s->next) {
        if (!is_of(s, c))
            continue;
        s->used = true;
        if (s->secret && PKCS12_verify_mac(p12, s->secret, -1))
            return take_container(c, p12, s->secret);
        bad_password(c, s);
        return 0;
    }
    if (!c->report->ask) {
        warn_password(c, "");
        return 0;
    }
    char password[PASSWORD_MAX];
    int r = ask_password(c, "the container", password, container_opens, p12);
    r = r == 0 ? take_container(c, p12, password) : 0;
    OPENSSL_cleanse(password, sizeof(password));
    return r;
}

static int check_container(struct creds *c, const uint8_t *data, size_t len)
{
    const unsigned char *at = data;
    PKCS12 *p12 = d2i_PKCS12(NULL, &at, (long)len);
    int r = 0;
    if (p12 && at == data + len)
        r = try_container(c, p12);
    else
        fault(c, "it is no PKCS#12 container in DER");
    PKCS12_free(p12);
    ERR_clear_error();
    return r;
}

// ---- folders

static int check_file(struct creds *c)
{
    struct esp_error err = {0};
    uint8_t *data;
    size_t len;
    int r = cred_read(c->file, &data, &len, &err);
    if (r) {
        if (r != -ENOMEM)
            fault(c, err.text + (strncmp(err.text, c->file, strlen(c->file)) == 0 ? strlen(c->file) + 2 : 0));
        return r == -ENOMEM ? r : 0;
    }
    r = c->folder->type   ? check_cert(c, data, len)
        : c->folder->keys ? check_key(c, data, len)
                          : check_container(c, data, len);
    cred_free(data, len);
    return r;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int keep(const struct dirent *d)
{
    return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

// What swanctl reads: plain files and what links lead to.
static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 || !S_ISDIR(st.st_mode);
}

static int check_folder(struct creds *c, const char *dir)
{
    char path[PATH_LEN], file[PATH_LEN + 300];
    struct dirent **entries = NULL;
    int r = 0;
    snprintf(path, sizeof(path), "%.900s/%s", dir, c->folder->name);
    int n = scandir(path, &entries, keep, by_name);
    if (n < 0 && errno != ENOENT) {
        c->file = path;
        fault(c, strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        c->file = file;
        c->name = entries[i]->d_name;
        if (r == 0 && i < FILES_MAX && is_file(file))
            r = check_file(c);
        free(entries[i]);
    }
    free(entries);
    c->file = c->name = NULL;
    return r;
}

int creds_check(const char *dir, struct file_secret *secrets, const struct creds_report *report)
{
    struct creds c = {.secrets = secrets, .report = report};
    char text[400];
    int r = 0;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && r == 0; i++) {
        c.folder = &folders[i];
        r = check_folder(&c, dir);
    }
    for (const struct file_secret *s = secrets; s && r == 0; s = s->next) {
        snprintf(text, sizeof(text), "file = %.200s: no such file in %s, where this section's keys are",
                 s->file, s->folder);
        if (!s->used)
            report->fault(report->ctx, s->where, s->path, text);
    }
    return r;
}

int creds_read(const char *dir, const char *key, const char *name, uint8_t **data, size_t *len,
               struct esp_error *err)
{
    char path[PATH_LEN];
    const char *folder = strcmp(key, "certs") == 0     ? "x509"
                         : strcmp(key, "pubkeys") == 0 ? "pubkey"
                                                       : "x509ca";
    int n = name[0] == '/' ? snprintf(path, sizeof(path), "%s", name)
                           : snprintf(path, sizeof(path), "%s/%s/%s", dir, folder, name);
    if (n < 0 || (size_t)n >= sizeof(path))
        return esp_fail(err, -ENAMETOOLONG, key, "%.100s: the path is too long", name);
    return cred_read(path, data, len, err);
}
