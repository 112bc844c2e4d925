// SPDX-License-Identifier: Apache-2.0
// `espalier-sim esp-vectors`: whole ESP packets (a JSON list with SA parameters, inner packet, ESP octets
// and, where known, the outer packet). Each AES-GCM-16 vector goes through the AES-GCM core and OpenSSL under
// its own IV (RFC 4106); packets with an outer header also through the software engine and, where
// all is IPv4, the card's pipeline (in transport mode not in UDP), outbound too where the IV is the sequence
// number. AES-192 and ChaCha20-Poly1305 (RFC 7634) go through OpenSSL and the software engine.
#include "sim/workbench/vectors.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "sim/workbench/engine.h"
#include "sim/workbench/gcm_check.h"

enum { ESP_HEADER_IV = 16, ICV = 16, IP4_HEADER = 20, IP6_HEADER = 40, UDP_HEADER = 8 };

struct esp_vector {
    const char *file, *name;
    unsigned long id;
    struct wb_bytes key, salt, iv, inner, payload, outer, esp;
    const char *enc, *mode;
    json_int_t icv_len, pad_len, next_header;
    uint64_t seq; // 64 bits with ESN
    bool esn, valid, udp;
    enum esp_alg alg; // NONE: not offered
};

struct esp_run {
    struct gcm_check *core;
    struct wb_engine *engines[2];
    struct wb_tally tally;
    uint64_t through_core, decapsulated, encapsulated;
};

static void clear(struct esp_vector *v)
{
    struct wb_bytes *all[] = {&v->key, &v->salt, &v->iv, &v->inner, &v->payload, &v->outer, &v->esp};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]->data);
    memset(v, 0, sizeof(*v));
}

// ---- reading
static int read_bytes(const json_t *o, const char *name, struct wb_bytes *out, struct esp_vector *v,
                      struct esp_error *err)
{
    const json_t *member = json_object_get(o, name);
    const char *hex = !member || json_is_null(member) ? "" : json_string_value(member);

    out->data = hex ? wb_hex_dup(hex, &out->len) : NULL;
    return out->data
               ? 0
               : esp_fail(err, -EINVAL, v->file, "vector %lu: \"%s\" is not hexadecimal octets", v->id, name);
}

static int read_vector(struct esp_vector *v, const json_t *o, struct esp_error *err)
{
    const json_t *hi = json_object_get(o, "esn_hi");
    int ret = 0;

    v->name = json_string_value(json_object_get(o, "name"));
    v->enc = json_string_value(json_object_get(o, "enc"));
    v->mode = json_string_value(json_object_get(o, "mode"));
    if (!v->name || !v->enc || !v->mode || !json_is_integer(json_object_get(o, "seq")))
        return esp_fail(err, -EINVAL, v->file, "vector %lu lacks one of name, enc, mode, seq", v->id);
    v->icv_len = json_integer_value(json_object_get(o, "icv_len"));
    v->pad_len = json_integer_value(json_object_get(o, "pad_len"));
    v->next_header = json_integer_value(json_object_get(o, "next_header"));
    v->esn = json_is_integer(hi);
    v->seq = (uint64_t)json_integer_value(hi) << 32 | (uint32_t)json_integer_value(json_object_get(o, "seq"));
    v->valid = !json_is_false(json_object_get(o, "valid"));
    v->udp = json_is_true(json_object_get(o, "udp_encap"));
    ret = read_bytes(o, "key", &v->key, v, err);
    ret = ret ? ret : read_bytes(o, "salt", &v->salt, v, err);
    ret = ret ? ret : read_bytes(o, "iv", &v->iv, v, err);
    ret = ret ? ret : read_bytes(o, "inner", &v->inner, v, err);
    ret = ret ? ret : read_bytes(o, "payload", &v->payload, v, err);
    ret = ret ? ret : read_bytes(o, "outer", &v->outer, v, err);
    ret = ret ? ret : read_bytes(o, "esp", &v->esp, v, err);
    if (strcmp(v->enc, "CHACHA20-POLY1305") == 0 && v->key.len == 32)
        v->alg = ESP_ALG_CHACHA20_POLY1305;
    else if (strcmp(v->enc, "AES-GCM") == 0)
        v->alg = v->key.len == 16   ? ESP_ALG_AES128_GCM16
                 : v->key.len == 24 ? ESP_ALG_AES192_GCM16
                 : v->key.len == 32 ? ESP_ALG_AES256_GCM16
                                    : ESP_ALG_NONE;
    return ret;
}

// ---- the core
static int fail(const struct esp_vector *v, const char *engine, const char *what)
{
    fprintf(stderr, "FAILED %s: %s: %s: %s\n", v->file, v->name, engine, what);
    return -EBADMSG;
}

// Payload, padding 1, 2, 3 ..., pad length, next header (RFC 4303 section 2.4).
static uint8_t *build_plain(const struct esp_vector *v, size_t *len)
{
    uint8_t *plain = malloc(v->payload.len + (size_t)v->pad_len + 2), *end;

    if (!plain)
        return NULL;
    memcpy(plain, v->payload.data, v->payload.len);
    end = plain + v->payload.len;
    for (json_int_t i = 1; i <= v->pad_len; i++)
        *end++ = (uint8_t)i;
    *end++ = (uint8_t)v->pad_len;
    *end++ = (uint8_t)v->next_header;
    *len = (size_t)(end - plain);
    return plain;
}

static int check_core(struct esp_run *r, const struct esp_vector *v)
{
    uint8_t nonce[12], aad[12];
    struct gcm_vector g = {.file = v->file,
                           .id = v->id,
                           .key = v->key,
                           .iv = {nonce, 12},
                           .chacha = v->alg == ESP_ALG_CHACHA20_POLY1305,
                           .invalid = !v->valid};
    size_t ct_len = v->esp.len - ESP_HEADER_IV - ICV;
    int ret;

    memcpy(nonce, v->salt.data, 4);
    memcpy(nonce + 4, v->esp.data + 8, 8);
    memcpy(aad, v->esp.data, 8);
    if (v->esn) { // the high half goes between SPI and low half (RFC 4106 section 5)
        memcpy(aad + 8, v->esp.data + 4, 4);
        wb_put32(aad + 4, (uint32_t)(v->seq >> 32));
    }
    g.aad = (struct wb_bytes){aad, v->esn ? 12 : 8};
    g.ct = (struct wb_bytes){v->esp.data + ESP_HEADER_IV, ct_len};
    g.tag = (struct wb_bytes){v->esp.data + ESP_HEADER_IV + ct_len, ICV};
    g.msg.data = build_plain(v, &g.msg.len);
    if (!g.msg.data)
        return fail(v, "workbench", "out of memory");
    if (v->valid && g.msg.len != ct_len)
        ret = fail(v, "workbench", "payload, pad_len and esp do not fit together");
    else
        ret = gcm_check_one(r->core, &g);
    OPENSSL_cleanse(g.msg.data, g.msg.len);
    free(g.msg.data);
    r->through_core += ret == 0;
    return ret;
}

// ---- the engines
static size_t outer_header(const struct esp_vector *v)
{
    return v->outer.len > 0 && v->outer.data[0] >> 4 == 6 ? IP6_HEADER : IP4_HEADER;
}

static bool is_ip(const struct wb_bytes *b, json_int_t next_header)
{
    unsigned version = next_header == 41 ? 6 : 4;

    return b->len >= (version == 6 ? IP6_HEADER : IP4_HEADER) && b->data[0] >> 4 == version;
}

// Transport mode: `inner` is the whole packet, whose header is the outer one but for length, protocol and
// checksum.
static bool is_transport(const struct esp_vector *v)
{
    return strcmp(v->mode, "transport") == 0;
}

static bool is_inside(const struct esp_vector *v)
{
    if (is_transport(v))
        return is_ip(&v->inner, v->outer.data[0] >> 4 == 6 ? 41 : 4);
    return strcmp(v->mode, "tunnel") == 0 && (v->next_header == 4 || v->next_header == 41) &&
           is_ip(&v->inner, v->next_header);
}

static bool fits_engines(const struct esp_vector *v)
{
    size_t least = outer_header(v) + (v->udp ? UDP_HEADER : 0) + v->esp.len;

    return is_ip(&v->outer, outer_header(v) == IP6_HEADER ? 41 : 4) && is_inside(v) &&
           v->outer.len >= least && v->outer.len <= WB_MAX_PACKET && wb_get32(v->esp.data) != 0;
}

static bool is_for_card(const struct esp_vector *v)
{
    return v->alg != ESP_ALG_AES192_GCM16 && v->alg != ESP_ALG_CHACHA20_POLY1305 &&
           outer_header(v) == IP4_HEADER && (is_transport(v) ? !v->udp : v->next_header != 41);
}

static void fill_state(struct sad_state *st, const struct esp_vector *v)
{
    const uint8_t *udp = v->outer.data + outer_header(v);

    memset(st, 0, sizeof(*st));
    st->ipv6 = outer_header(v) == IP6_HEADER;
    st->mode = is_transport(v) ? ESP_TRANSPORT : ESP_TUNNEL;
    st->inner = (is_transport(v) ? st->ipv6 : v->next_header == 41) ? ESP_FAMILY_IPV6 : ESP_FAMILY_IPV4;
    memcpy(st->src, v->outer.data + (st->ipv6 ? 8 : 12), st->ipv6 ? 16 : 4);
    memcpy(st->dst, v->outer.data + (st->ipv6 ? 24 : 16), st->ipv6 ? 16 : 4);
    st->spi = wb_get32(v->esp.data);
    st->alg = v->alg;
    st->key_len = (unsigned)v->key.len;
    memcpy(st->key, v->key.data, v->key.len);
    memcpy(st->salt, v->salt.data, 4);
    st->esn = v->esn;
    st->udp = v->udp;
    st->sport = v->udp ? wb_get16(udp) : 0;
    st->dport = v->udp ? wb_get16(udp + 2) : 0;
    st->window = 64;
    st->last_in = st->last_out = v->seq ? v->seq - 1 : 0;
}

static int run_job(struct wb_engine *e, const struct esp_vector *v, bool encap, struct esp_error *err)
{
    const struct wb_bytes *in = encap ? &v->inner : &v->outer;
    struct wb_job *job = &e->jobs[0];
    int ret;

    memcpy(job->in, in->data, in->len);
    job->in_len = (uint32_t)in->len;
    job->encap = encap;
    job->state = 0;
    ret = e->ops->submit(e, job, err);
    return ret ? ret : e->ops->wait(e, job, err);
}

static int check_decap(struct wb_engine *e, const struct esp_vector *v, struct esp_error *err)
{
    const struct wb_job *job = &e->jobs[0];

    if (run_job(e, v, false, err) != 0)
        return fail(v, e->name, err->text);
    if (!v->valid)
        return job->status == ESP_STATUS_OK ? fail(v, e->name, "decapsulated, expected a drop") : 0;
    if (job->status != ESP_STATUS_OK)
        return fail(v, e->name, esp_status_name(job->status));
    if (job->out_len != v->inner.len || memcmp(job->out, v->inner.data, v->inner.len) != 0)
        return fail(v, e->name, "another inner packet");
    return 0;
}

static int check_encap(struct wb_engine *e, const struct esp_vector *v, struct esp_error *err)
{
    const struct wb_job *job = &e->jobs[0];
    size_t header = outer_header(v) + (v->udp ? UDP_HEADER : 0);

    if (run_job(e, v, true, err) != 0)
        return fail(v, e->name, err->text);
    if (job->status != ESP_STATUS_OK)
        return fail(v, e->name, esp_status_name(job->status));
    if (job->out_len != header + v->esp.len || memcmp(job->out + header, v->esp.data, v->esp.len) != 0)
        return fail(v, e->name, "other ESP octets");
    if (is_transport(v) && memcmp(job->out, v->outer.data, header) != 0)
        return fail(v, e->name, "another header in front of ESP");
    return 0;
}

static int check_engine(struct esp_run *r, struct wb_engine *e, const struct esp_vector *v)
{
    bool encap = v->valid && wb_get64(v->iv.data) == v->seq;
    struct esp_error err = {0};
    struct sad_state st;
    int ret;

    fill_state(&st, v);
    ret = e->ops->add(e, 0, &st, &err) ? fail(v, e->name, err.text) : 0;
    OPENSSL_cleanse(&st, sizeof(st));
    if (ret != 0)
        return ret;
    ret = check_decap(e, v, &err);
    r->decapsulated += ret == 0;
    if (ret == 0 && encap) {
        ret = check_encap(e, v, &err);
        r->encapsulated += ret == 0;
    }
    if (e->ops->remove(e, 0, &err) != 0 && ret == 0)
        ret = fail(v, e->name, err.text);
    return ret;
}

static void run_vector(struct esp_run *r, const struct esp_vector *v, bool other_padding)
{
    bool known = strcmp(v->enc, "AES-GCM") == 0 || strcmp(v->enc, "CHACHA20-POLY1305") == 0;
    bool soft_only = v->alg == ESP_ALG_AES192_GCM16 || v->alg == ESP_ALG_CHACHA20_POLY1305;
    int ret;

    if (!known) {
        wb_skip(&r->tally, "%s: only AES-GCM-16 and ChaCha20-Poly1305 are checked here", v->enc);
    } else if (v->icv_len != ICV) {
        wb_skip(&r->tally, "ICV of other than 16 octets");
    } else if (other_padding) {
        wb_skip(&r->tally, "padding other than 1, 2, 3 ...");
    } else if (v->alg == ESP_ALG_NONE || v->salt.len != 4 || v->iv.len != 8 || v->pad_len < 0 ||
               v->pad_len > 255 || v->esp.len < ESP_HEADER_IV + 2 + ICV) {
        fail(v, "workbench", "key, salt, iv, seq, pad_len or esp do not fit RFC 4106 or 7634");
        r->tally.failed++;
    } else {
        // what is wrong with an invalid packet need not be its ICV: the engines, where they can take it, must
        // drop it
        ret = v->valid || !fits_engines(v) ? check_core(r, v) : 0;
        for (int i = !is_for_card(v); i < 2 && ret == 0 && fits_engines(v); i++)
            ret = check_engine(r, r->engines[i], v);
        r->tally.software_only += ret == 0 && soft_only;
        *(ret == 0 ? &r->tally.passed : &r->tally.failed) += 1;
    }
}

static int run_file(struct esp_run *r, const char *path, struct esp_error *err)
{
    json_error_t where;
    size_t len, i;
    char *text = wb_read_file(path, &len, err);
    json_t *root = text ? json_loadb(text, len, 0, &where) : NULL, *o;
    int ret = 0;

    if (!text)
        return err->code;
    if (!root)
        ret = esp_fail(err, -EINVAL, path, "line %d: %s", where.line, where.text);
    else if (!json_is_array(root))
        ret = esp_fail(err, -EINVAL, path, "expected a JSON list of ESP vectors");
    else if (json_array_size(root) == 0)
        ret = esp_fail(err, -EINVAL, path, "no vector found in the list");
    json_array_foreach(root, i, o)
    {
        struct esp_vector v = {.file = path, .id = i};
        if (ret == 0)
            ret = read_vector(&v, o, err);
        if (ret == 0)
            run_vector(r, &v, json_is_false(json_object_get(o, "pad_monotonic")));
        clear(&v);
    }
    json_decref(root);
    free(text);
    return ret;
}

int wb_esp_vectors(int n_files, char **files)
{
    const struct wb_card_options card = {.lanes = 1};
    struct esp_run r = {.core = gcm_check_new()};
    struct esp_error err = {0};
    int ret = r.core ? 0 : esp_fail(&err, -ENOMEM, "", "out of memory");

    if (ret == 0)
        ret = wb_card_open(&r.engines[0], &card, &err);
    if (ret == 0)
        ret = wb_soft_open(&r.engines[1], &err);
    for (int i = 0; i < n_files && ret == 0; i++)
        ret = run_file(&r, files[i], &err);
    for (int i = 0; i < 2; i++)
        if (r.engines[i])
            r.engines[i]->ops->close(r.engines[i]);
    gcm_check_free(r.core);
    if (ret != 0)
        return wb_report(&err);
    printf(
        "%llu through core and OpenSSL; %llu decapsulations and %llu encapsulations by card and software\n",
        (unsigned long long)r.through_core, (unsigned long long)r.decapsulated,
        (unsigned long long)r.encapsulated);
    return wb_tally_print(&r.tally);
}
