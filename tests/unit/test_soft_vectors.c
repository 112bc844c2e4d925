// SPDX-License-Identifier: Apache-2.0
// ESP packets that this project did not make up (tests/vectors/esp.json), decapsulated by the software
// engine. Their IVs are not sequence numbers, so only decapsulation can be compared.
#include "drv_util.h"

#include <jansson.h>

enum { BUF = 4096 };

static const char *text(json_t *v, const char *key)
{
    const char *s = json_string_value(json_object_get(v, key));

    return s ? s : "";
}

static uint32_t unhex(uint8_t *to, uint32_t cap, const char *hex)
{
    uint32_t n = 0;

    for (unsigned v; n < cap && sscanf(hex + 2 * n, "%2x", &v) == 1; n++)
        to[n] = (uint8_t)v;
    return n;
}

// AES-GCM and AES-CBC of this key length.
static enum esp_alg by_key(size_t octets, enum esp_alg of128, enum esp_alg of192, enum esp_alg of256)
{
    return octets == 16 ? of128 : octets == 24 ? of192 : octets == 32 ? of256 : ESP_ALG_NONE;
}

static enum esp_alg alg_of(json_t *v)
{
    size_t key = strlen(text(v, "key")) / 2;

    if (!strcmp(text(v, "enc"), "CHACHA20-POLY1305"))
        return ESP_ALG_CHACHA20_POLY1305;
    if (!strcmp(text(v, "enc"), "AES-GCM"))
        return by_key(key, ESP_ALG_AES128_GCM16, ESP_ALG_AES192_GCM16, ESP_ALG_AES256_GCM16);
    if (!strcmp(text(v, "enc"), "AES-CBC"))
        return by_key(key, ESP_ALG_AES128_CBC, ESP_ALG_AES192_CBC, ESP_ALG_AES256_CBC);
    return ESP_ALG_NONE;
}

static enum esp_integ integ_of(json_t *v)
{
    return strcmp(text(v, "auth"), "HMAC-SHA2-256-128") ? ESP_INTEG_NONE : ESP_INTEG_HMAC_SHA256_128;
}

// Why this engine does not take the vector, or NULL.
static const char *skip_reason(json_t *v)
{
    uint8_t inner[BUF];

    if (alg_of(v) == ESP_ALG_NONE)
        return "algorithm";
    if (json_integer_value(json_object_get(v, "icv_len")) != 16)
        return "ICV length";
    if (json_integer_value(json_object_get(v, "next_header")) != 4 || strcmp(text(v, "mode"), "tunnel"))
        return "not an IPv4 packet in tunnel mode";
    return unhex(inner, 1, text(v, "inner")) == 1 && inner[0] >> 4 == 4 ? NULL : "inner packet is not IPv4";
}

// The outer packet; a vector that begins at the ESP header gets an IP header.
static uint32_t outer_of(json_t *v, uint8_t *outer)
{
    static const uint8_t header[20] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 50, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2};
    uint32_t len = unhex(outer, BUF, text(v, "outer"));

    if (len)
        return len;
    memcpy(outer, header, sizeof(header));
    len = 20 + unhex(outer + 20, BUF - 20, text(v, "esp"));
    put_be16(outer + 2, (uint16_t)len);
    ip_checksum(outer);
    return len;
}

static void run_vector(struct esp_engine *e, json_t *v)
{
    static uint8_t outer[BUF], inner[BUF], out[BUF];
    uint32_t outer_len = outer_of(v, outer), inner_len = unhex(inner, BUF, text(v, "inner"));
    struct esp_sa_params p = {
        .dir = ESP_IN, .mode = ESP_TUNNEL, .alg = alg_of(v), .integ = integ_of(v), .window = 64};
    struct esp_job job = {.op = ESP_DECAP, .in = outer, .in_len = outer_len, .out = out, .out_cap = BUF};
    struct esp_sa *sa;

    p.spi = (uint32_t)json_integer_value(json_object_get(v, "spi"));
    unhex(p.key, sizeof(p.key), text(v, "key"));
    unhex(p.salt, sizeof(p.salt), text(v, "salt"));
    unhex(p.integ_key, sizeof(p.integ_key), text(v, "auth_key"));
    memcpy(p.src, outer + 12, 4);
    memcpy(p.dst, outer + 16, 4);
    p.udp_encap = json_is_true(json_object_get(v, "udp_encap"));
    if (p.udp_encap) {
        p.sport = get_be16(outer + 20);
        p.dport = get_be16(outer + 22);
    }
    sa = must_add(e, &p);
    if (run_job(e, &job) != ESP_STATUS_OK)
        fail_msg("%s: status %s, expected OK", text(v, "name"), esp_status_name(job.status));
    if (job.out_len != inner_len || memcmp(out, inner, inner_len))
        fail_msg("%s: %u octets came out, not the %u of the vector", text(v, "name"), job.out_len, inner_len);
    assert_true(job.seq == (uint64_t)json_integer_value(json_object_get(v, "seq")));
    must_delete(e, sa);
}

static void test_outside_packets_decapsulate(void **state)
{
    json_t *all = json_load_file("tests/vectors/esp.json", 0, NULL), *v;
    unsigned passed = 0, skipped = 0;
    struct esp_engine *e;
    size_t i;

    (void)state;
    if (!all)
        fail_msg("cannot read tests/vectors/esp.json (the test runs in the root of the source tree)");
    assert_int_equal(esp_soft_open(&e, NULL), 0);
    json_array_foreach(all, i, v)
    {
        const char *why = skip_reason(v);
        if (why) {
            printf("not taken: %s: %s\n", text(v, "name"), why);
            skipped++;
            continue;
        }
        run_vector(e, v);
        passed++;
    }
    printf("%u vectors, %u not taken\n", passed, skipped);
    assert_int_equal(passed, 24);
    e->ops->destroy(e);
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_outside_packets_decapsulate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
