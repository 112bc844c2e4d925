// SPDX-License-Identifier: Apache-2.0
// `espalier-sim vectors`: reads NIST CAVP response files (GCMVS: gcmEncryptExtIV*, gcmDecrypt*) and
// Wycheproof's JSON (AEAD schema) and runs each vector through the RTL's AES-GCM core and OpenSSL; AES-192
// and ChaCha20-Poly1305 through OpenSSL alone.
#include "sim/workbench/vectors.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sim/workbench/gcm_check.h"

static void drop(struct wb_bytes *b)
{
    free(b->data);
    b->data = NULL;
    b->len = 0;
}

static void vector_clear(struct gcm_vector *v)
{
    drop(&v->key);
    drop(&v->iv);
    drop(&v->aad);
    drop(&v->msg);
    drop(&v->ct);
    drop(&v->tag);
    v->invalid = false;
}

// ---- CAVP
struct rsp {
    struct gcm_check *check;
    struct wb_tally *tally;
    struct gcm_vector v;
    bool open; // a Count line has been seen
    unsigned long vectors;
    unsigned line;
};

static int rsp_fail(struct rsp *r, struct esp_error *err, const char *what, const char *word)
{
    return esp_fail(err, -EINVAL, r->v.file, "line %u: %s \"%.60s\"", r->line, what, word);
}

static int rsp_close(struct rsp *r, struct esp_error *err)
{
    if (!r->open)
        return 0;
    if (!r->v.key.data || !r->v.iv.data || !r->v.ct.data || !r->v.tag.data || !r->v.aad.data ||
        (!r->v.msg.data && !r->v.invalid))
        return rsp_fail(r, err, "the vector before this line lacks one of Key, IV, PT, AAD, CT, Tag; at",
                        "Count");
    gcm_check_vector(r->check, &r->v, r->tally);
    vector_clear(&r->v);
    r->open = false;
    return 0;
}

static struct wb_bytes *rsp_field(struct gcm_vector *v, const char *name)
{
    static const char *const names[] = {"Key", "IV", "PT", "AAD", "CT", "Tag"};
    struct wb_bytes *const fields[] = {&v->key, &v->iv, &v->msg, &v->aad, &v->ct, &v->tag};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return fields[i];
    return NULL;
}

static char *trim(char *s)
{
    char *end = s + strlen(s);

    while (end > s && isspace((unsigned char)end[-1]))
        *--end = 0;
    while (isspace((unsigned char)*s))
        s++;
    return s;
}

static int rsp_value(struct rsp *r, const char *name, const char *value, struct esp_error *err)
{
    struct wb_bytes *field;

    if (strcmp(name, "Count") == 0) {
        int ret = rsp_close(r, err);
        r->open = ret == 0;
        r->v.id = strtoul(value, NULL, 10);
        r->vectors++;
        return ret;
    }
    field = rsp_field(&r->v, name);
    if (!field || !r->open)
        return rsp_fail(r, err, "expected a field of a GCM response file, found", name);
    drop(field);
    field->data = wb_hex_dup(value, &field->len);
    return field->data ? 0 : rsp_fail(r, err, "expected hexadecimal octets, found", value);
}

static int rsp_line(struct rsp *r, char *text, struct esp_error *err)
{
    char *line = trim(text), *equals;

    if (*line == 0 || *line == '#')
        return 0;
    if (*line == '[')
        return rsp_close(r, err);
    if (strcmp(line, "FAIL") == 0 && r->open) {
        r->v.invalid = true;
        return 0;
    }
    equals = strchr(line, '=');
    if (!equals)
        return rsp_fail(r, err, "expected NAME = VALUE, found", line);
    *equals = 0;
    return rsp_value(r, trim(line), trim(equals + 1), err);
}

static int run_rsp(struct rsp *r, char *text, struct esp_error *err)
{
    char *next;
    int ret = 0;

    for (char *line = text; line && ret == 0; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        r->line++;
        ret = rsp_line(r, line, err);
    }
    if (ret == 0)
        ret = rsp_close(r, err);
    if (ret == 0 && r->vectors == 0)
        ret = esp_fail(err, -EINVAL, r->v.file,
                       "no vector found, expected a CAVP .rsp file or Wycheproof JSON");
    vector_clear(&r->v);
    return ret;
}

// ---- Wycheproof
static bool json_bytes(const json_t *object, const char *name, struct wb_bytes *out)
{
    const char *hex = json_string_value(json_object_get(object, name));

    drop(out);
    if (hex)
        out->data = wb_hex_dup(hex, &out->len);
    return out->data != NULL;
}

static int run_test(struct rsp *r, const json_t *test, struct esp_error *err)
{
    const char *result = json_string_value(json_object_get(test, "result"));
    struct gcm_vector *v = &r->v;

    v->id = (unsigned long)json_integer_value(json_object_get(test, "tcId"));
    r->vectors++;
    if (!result || !json_bytes(test, "key", &v->key) || !json_bytes(test, "iv", &v->iv) ||
        !json_bytes(test, "aad", &v->aad) || !json_bytes(test, "msg", &v->msg) ||
        !json_bytes(test, "ct", &v->ct) || !json_bytes(test, "tag", &v->tag))
        return esp_fail(
            err, -EINVAL, v->file,
            "test %lu lacks one of key, iv, aad, msg, ct, tag, result in Wycheproof's AEAD schema", v->id);
    v->invalid = strcmp(result, "invalid") == 0;
    if (strcmp(result, "acceptable") == 0)
        wb_skip(r->tally, "result \"acceptable\": either answer is right");
    else
        gcm_check_vector(r->check, v, r->tally);
    vector_clear(v);
    return 0;
}

static int run_json(struct rsp *r, const char *text, size_t len, struct esp_error *err)
{
    json_error_t where;
    json_t *root = json_loadb(text, len, 0, &where), *group, *test;
    const char *algorithm = json_string_value(json_object_get(root, "algorithm"));
    json_t *groups = json_object_get(root, "testGroups");
    size_t i, j, n = 0;
    int ret = 0;

    if (!root)
        return esp_fail(err, -EINVAL, r->v.file, "line %d: %s", where.line, where.text);
    if (!algorithm || !json_is_array(groups))
        ret = esp_fail(err, -EINVAL, r->v.file,
                       "no \"algorithm\" and \"testGroups\", expected Wycheproof JSON");
    r->v.chacha = algorithm && strcasecmp(algorithm, "CHACHA20-POLY1305") == 0;
    bool offered = r->v.chacha || (algorithm && strcmp(algorithm, "AES-GCM") == 0);
    json_array_foreach(groups, i, group) json_array_foreach(json_object_get(group, "tests"), j, test)
    {
        n++;
        if (ret == 0 && !offered)
            wb_skip(r->tally, "algorithm %s", algorithm);
        else if (ret == 0)
            ret = run_test(r, test, err);
    }
    json_decref(root);
    if (ret == 0 && n == 0)
        ret = esp_fail(err, -EINVAL, r->v.file, "no vector found in \"testGroups\"");
    return ret;
}

static int run_file(struct rsp *r, const char *path, struct esp_error *err)
{
    size_t len;
    char *text = wb_read_file(path, &len, err);
    int ret;

    if (!text)
        return err->code;
    r->v.file = path;
    r->open = r->v.chacha = false;
    r->vectors = r->line = 0;
    if (text[strspn(text, " \t\r\n")] == '{')
        ret = run_json(r, text, len, err);
    else if (memchr(text, 0, len))
        ret = esp_fail(err, -EINVAL, path, "is binary, expected a CAVP .rsp file or Wycheproof JSON");
    else
        ret = run_rsp(r, text, err);
    free(text);
    return ret;
}

int wb_vectors(int n_files, char **files)
{
    struct wb_tally tally = {0};
    struct rsp r = {.check = gcm_check_new(), .tally = &tally};
    struct esp_error err = {0};
    int ret = 0;

    if (!r.check)
        ret = esp_fail(&err, -ENOMEM, "", "out of memory");
    for (int i = 0; i < n_files && ret == 0; i++)
        ret = run_file(&r, files[i], &err);
    vector_clear(&r.v);
    gcm_check_free(r.check);
    return ret ? wb_report(&err) : wb_tally_print(&tally);
}
