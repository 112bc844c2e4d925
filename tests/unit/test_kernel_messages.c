// SPDX-License-Identifier: Apache-2.0
// What the kernel's engine tells the kernel is, octet for octet, what iproute2's `ip xfrm` tells it of the
// same SA or policy. ip's messages are taken on their way (xfrm_shim.c); attributes may come in any order.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/common/params.h"
#include "tests/unit/xfrm_model.h"

#include <arpa/inet.h>
#include <string.h>

static uint8_t told[65536];
static size_t told_len;

// ---- iproute2

static void read_told(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    told_len = fread(told, 1, sizeof(told), f);
    assert_int_equal(fclose(f), 0);
    unlink(path);
}

// The whole path of a file in the folder that this program is in.
static void beside_us(char *out, size_t n, const char *name)
{
    ssize_t len = readlink("/proc/self/exe", out, n - 1);
    assert_in_range(len, 1, n - 2);
    out[len] = 0;
    char *last = strrchr(out, '/');
    assert_non_null(last);
    snprintf(last + 1, n - (size_t)(last + 1 - out), "%s", name);
}

// Runs `ip xfrm ...`; its message is in `told` then.
static struct nlmsghdr *ip_says(const char *line)
{
    char dir[] = "/tmp/espalier-xfrm.XXXXXX", path[64], shim[500], command[2048];
    assert_non_null(mkdtemp(dir));
    beside_us(shim, sizeof(shim), "xfrm_shim.so");
    snprintf(path, sizeof(path), "%s/told", dir);
    snprintf(command, sizeof(command),
             "LSAN_OPTIONS=detect_leaks=0 XFRM_TOLD=%s LD_PRELOAD=%s ip xfrm %s 2>%s/said", path, shim, line,
             dir);
    (void)!system(command);
    if (access(path, R_OK)) {
        snprintf(command, sizeof(command), "echo 'ip xfrm %.300s:' >&2; cat %s/said >&2", line, dir);
        (void)!system(command);
        fail_msg("ip has said nothing");
    }
    read_told(path);
    snprintf(path, sizeof(path), "%s/said", dir);
    unlink(path);
    rmdir(dir);
    struct nlmsghdr *h = (struct nlmsghdr *)(void *)told;
    assert_true(mnl_nlmsg_ok(h, (int)told_len) && h->nlmsg_len == told_len);
    return h;
}

// ---- the two side by side

static const struct nlattr *attr_of(const struct nlmsghdr *h, size_t fixed, uint16_t type)
{
    const struct nlattr *a;
    mnl_attr_for_each(a, h, fixed)
    {
        if (mnl_attr_get_type(a) == type)
            return a;
    }
    return NULL;
}

static void each_in(const struct nlmsghdr *h, const struct nlmsghdr *in, size_t fixed, const char *line)
{
    const struct nlattr *a, *b;
    mnl_attr_for_each(a, h, fixed)
    {
        if (!(b = attr_of(in, fixed, mnl_attr_get_type(a))))
            fail_msg("%s: only one has attribute %u", line, mnl_attr_get_type(a));
        if (a->nla_len != b->nla_len || memcmp(a, b, a->nla_len))
            fail_msg("%s: attribute %u differs", line, mnl_attr_get_type(a));
    }
}

static void same(const struct nlmsghdr *ours, const char *line)
{
    const struct nlmsghdr *ips = ip_says(line);
    size_t fixed = ours->nlmsg_type == XFRM_MSG_NEWSA       ? sizeof(struct xfrm_usersa_info)
                   : ours->nlmsg_type == XFRM_MSG_UPDPOLICY ? sizeof(struct xfrm_userpolicy_info)
                   : ours->nlmsg_type == XFRM_MSG_DELPOLICY ? sizeof(struct xfrm_userpolicy_id)
                                                            : sizeof(struct xfrm_usersa_id);
    assert_int_equal(ours->nlmsg_type, ips->nlmsg_type);
    assert_int_equal(ours->nlmsg_flags, ips->nlmsg_flags);
    for (size_t i = NLMSG_HDRLEN; i < NLMSG_HDRLEN + fixed; i++)
        if (((const uint8_t *)ours)[i] != ((const uint8_t *)ips)[i])
            fail_msg("%s: octet %zu is %02x, ip's is %02x", line, i - NLMSG_HDRLEN,
                     ((const uint8_t *)ours)[i], ((const uint8_t *)ips)[i]);
    each_in(ours, ips, fixed, line);
    each_in(ips, ours, fixed, line);
    assert_int_equal(ours->nlmsg_len, ips->nlmsg_len);
}

// ---- SAs

static struct esp_sa_params base(enum esp_dir dir)
{
    struct esp_sa_params p = {.dir = dir,
                              .mode = ESP_TUNNEL,
                              .alg = ESP_ALG_AES128_GCM16,
                              .spi = 0xc0ffee01,
                              .group = 7,
                              .ttl = 64,
                              .seq = dir == ESP_OUT,
                              .seq_limit = UINT64_MAX,
                              .salt = {0xa1, 0xa2, 0xa3, 0xa4}};
    for (unsigned i = 0; i < sizeof(p.key); i++)
        p.key[i] = (uint8_t)(i + 1);
    for (unsigned i = 0; i < sizeof(p.integ_key); i++)
        p.integ_key[i] = (uint8_t)(0x80 + i);
    inet_pton(AF_INET, "192.0.2.1", p.src);
    inet_pton(AF_INET, "198.51.100.2", p.dst);
    return p;
}

#define ENDS "src 192.0.2.1 dst 198.51.100.2 proto esp spi 0xc0ffee01 "
#define GCM  "aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f10a1a2a3a4 128 "

static void same_sa(const struct esp_sa_params *p, enum esp_offload offload, const char *line)
{
    _Alignas(uint64_t) uint8_t buf[XFRM_REQUEST_MAX];
    struct esp_error why = {0};
    if (kernel_check(p, &why))
        fail_msg("%s: %s: %s", line, why.field, why.text);
    same(xfrm_put_sa(buf, p, &(struct xfrm_wish){.offload = offload, .ifindex = offload ? 1 : 0}), line);
}

static char *hex(char *to, const uint8_t *key, unsigned n, const uint8_t *salt, unsigned more)
{
    char *at = to + sprintf(to, "0x");
    for (unsigned i = 0; i < n + more; i++)
        at += sprintf(at, "%02x", i < n ? key[i] : salt[i - n]);
    return to;
}

static void test_sa_of_every_aead_is_what_ip_says(void **state)
{
    static const struct {
        enum esp_alg alg;
        const char *name;
        unsigned icv;
    } all[] = {{ESP_ALG_AES128_GCM16, "rfc4106(gcm(aes))", 128},
               {ESP_ALG_AES192_GCM16, "rfc4106(gcm(aes))", 128},
               {ESP_ALG_AES256_GCM16, "rfc4106(gcm(aes))", 128},
               {ESP_ALG_AES256_GCM12, "rfc4106(gcm(aes))", 96},
               {ESP_ALG_AES128_GCM8, "rfc4106(gcm(aes))", 64},
               {ESP_ALG_CHACHA20_POLY1305, "rfc7539esp(chacha20,poly1305)", 128},
               {ESP_ALG_AES128_CCM16, "rfc4309(ccm(aes))", 128},
               {ESP_ALG_AES192_CCM12, "rfc4309(ccm(aes))", 96},
               {ESP_ALG_AES256_CCM8, "rfc4309(ccm(aes))", 64},
               {ESP_ALG_AES128_GMAC, "rfc4543(gcm(aes))", 128},
               {ESP_ALG_AES256_GMAC, "rfc4543(gcm(aes))", 128}};
    (void)state;
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct esp_sa_params p = base(ESP_OUT);
        struct alg_sizes a = alg_sizes(all[i].alg);
        char key[128], line[400];
        p.alg = all[i].alg;
        snprintf(line, sizeof(line), "state add " ENDS "reqid 7 mode tunnel aead '%s' %s %u flag af-unspec",
                 all[i].name, hex(key, p.key, a.key, p.salt, a.salt), all[i].icv);
        same_sa(&p, ESP_OFFLOAD_NONE, line);
    }
}

static void test_sa_of_cipher_and_integrity_is_what_ip_says(void **state)
{
    static const struct {
        enum esp_alg alg;
        enum esp_integ integ;
        const char *enc, *auth;
        unsigned icv;
    } all[] = {
        {ESP_ALG_AES128_CBC, ESP_INTEG_HMAC_SHA256_128, "cbc(aes)", "hmac(sha256)", 128},
        {ESP_ALG_AES256_CBC, ESP_INTEG_HMAC_SHA512_256, "cbc(aes)", "hmac(sha512)", 256},
        {ESP_ALG_AES192_CBC, ESP_INTEG_HMAC_SHA1_96, "cbc(aes)", "hmac(sha1)", 96},
        {ESP_ALG_AES256_CTR, ESP_INTEG_HMAC_SHA384_192, "rfc3686(ctr(aes))", "hmac(sha384)", 192},
        {ESP_ALG_NULL, ESP_INTEG_HMAC_SHA256_128, "ecb(cipher_null)", "hmac(sha256)", 128},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct esp_sa_params p = base(ESP_IN);
        struct alg_sizes a = alg_sizes(all[i].alg);
        char key[128], auth[160], line[600];
        p.alg = all[i].alg;
        p.integ = all[i].integ;
        p.window = 32;
        snprintf(line, sizeof(line),
                 "state add " ENDS
                 "reqid 7 mode tunnel enc '%s' %s auth-trunc '%s' %s %u replay-window 32 flag af-unspec",
                 all[i].enc, a.key ? hex(key, p.key, a.key, p.salt, a.salt) : "''", all[i].auth,
                 hex(auth, p.integ_key, integ_sizes(p.integ).key, NULL, 0), all[i].icv);
        same_sa(&p, ESP_OFFLOAD_NONE, line);
    }
}

static void test_sa_of_ah_is_what_ip_says(void **state)
{
    struct esp_sa_params p = base(ESP_OUT);
    char key[160], line[400];
    (void)state;
    p.protocol = ESP_PROTOCOL_AH;
    p.alg = ESP_ALG_NONE;
    p.integ = ESP_INTEG_HMAC_SHA256_128;
    p.mode = ESP_TRANSPORT;
    snprintf(line, sizeof(line),
             "state add src 192.0.2.1 dst 198.51.100.2 proto ah spi 0xc0ffee01 reqid 7 mode transport "
             "auth-trunc 'hmac(sha256)' %s 128 flag align4",
             hex(key, p.integ_key, 32, NULL, 0));
    same_sa(&p, ESP_OFFLOAD_NONE, line);
}

static void test_replay_windows_are_what_ip_says(void **state)
{
    static const uint32_t windows[] = {32, 33, 64, 128, 1024};
    (void)state;
    for (unsigned i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
        for (unsigned esn = 0; esn < 2; esn++) {
            struct esp_sa_params p = base(ESP_IN);
            char line[400];
            p.window = windows[i];
            p.esn = esn;
            snprintf(line, sizeof(line),
                     "state add " ENDS "reqid 7 mode tunnel " GCM "replay-window %u flag af-unspec%s",
                     windows[i], esn ? " flag esn" : "");
            same_sa(&p, ESP_OFFLOAD_NONE, line);
        }
    struct esp_sa_params out = base(ESP_OUT);
    out.esn = true;
    same_sa(&out, ESP_OFFLOAD_NONE,
            "state add " ENDS "reqid 7 mode tunnel " GCM "replay-window 32 flag af-unspec flag esn");
}

static void test_limits_are_what_ip_says(void **state)
{
    struct esp_sa_params p = base(ESP_OUT);
    (void)state;
    p.soft_bytes = 900000000000;
    p.hard_bytes = 1000000000000;
    p.soft_packets = 4000;
    p.hard_packets = 5000000000;
    same_sa(&p, ESP_OFFLOAD_NONE,
            "state add " ENDS "reqid 7 mode tunnel " GCM
            "flag af-unspec limit byte-soft 900000000000 limit byte-hard 1000000000000 "
            "limit packet-soft 4000 limit packet-hard 5000000000");
}

static void test_flags_mark_and_interface_are_what_ip_says(void **state)
{
    struct esp_sa_params p = base(ESP_OUT), in = base(ESP_IN);
    (void)state;
    p.mark = 0x20;
    p.mark_mask = 0xff;
    p.if_id = 42;
    p.no_ecn = p.df_clear = p.no_dscp_copy = true;
    same_sa(&p, ESP_OFFLOAD_NONE,
            "state add " ENDS "reqid 7 mode tunnel mark 0x20 mask 0xff if_id 42 " GCM
            "flag noecn flag nopmtudisc flag af-unspec extra-flag dont-encap-dscp");
    in.dscp_decap = true;
    same_sa(&in, ESP_OFFLOAD_NONE,
            "state add " ENDS "reqid 7 mode tunnel " GCM "flag decap-dscp flag af-unspec");
}

static void test_sa_in_udp_and_over_ipv6_is_what_ip_says(void **state)
{
    struct esp_sa_params p = base(ESP_OUT);
    (void)state;
    p.udp_encap = true;
    p.sport = 4500;
    p.dport = 12345;
    same_sa(&p, ESP_OFFLOAD_NONE,
            "state add " ENDS "reqid 7 mode tunnel " GCM "flag af-unspec encap espinudp 4500 12345 0.0.0.0");
    p = base(ESP_IN);
    p.ipv6 = true;
    p.mode = ESP_TRANSPORT;
    inet_pton(AF_INET6, "2001:db8::1", p.src);
    inet_pton(AF_INET6, "2001:db8:ffff::2", p.dst);
    same_sa(&p, ESP_OFFLOAD_NONE,
            "state add src 2001:db8::1 dst 2001:db8:ffff::2 proto esp spi 0xc0ffee01 reqid 7 mode "
            "transport " GCM);
}

// iproute2 since 6.2 knows `packet`.
static void test_offload_is_what_ip_says(void **state)
{
    struct esp_sa_params p = base(ESP_OUT);
    (void)state;
    p.offload = ESP_OFFLOAD_CRYPTO;
    snprintf(p.device, sizeof(p.device), "lo");
    same_sa(&p, ESP_OFFLOAD_CRYPTO,
            "state add " ENDS "reqid 7 mode tunnel " GCM "flag af-unspec offload dev lo dir out");
    p.dir = ESP_IN;
    p.seq = 0;
    same_sa(&p, ESP_OFFLOAD_CRYPTO,
            "state add " ENDS "reqid 7 mode tunnel " GCM "flag af-unspec offload dev lo dir in");
    if (system("ip xfrm state help 2>&1 | grep -q packet") == 0 &&
        system("ip xfrm state help 2>&1 | grep -q 'crypto | packet'") == 0)
        same_sa(&p, ESP_OFFLOAD_PACKET,
                "state add " ENDS "reqid 7 mode tunnel " GCM "flag af-unspec offload packet dev lo dir in");
}

static void test_deletion_is_what_ip_says(void **state)
{
    _Alignas(uint64_t) uint8_t buf[XFRM_REQUEST_MAX];
    struct esp_sa_params p = base(ESP_OUT);
    struct esp_sa sa = {0};
    (void)state;
    p.mark = 0x20;
    p.mark_mask = 0xff;
    kernel_identify(&sa, &p);
    struct nlmsghdr *ours = xfrm_put_id(buf, XFRM_MSG_DELSA, &sa),
                    *ips = ip_says("state delete " ENDS "mark 0x20 mask 0xff");
    // ip names the source too, which tells no two of ESP apart
    assert_int_equal(ours->nlmsg_type, ips->nlmsg_type);
    assert_memory_equal(mnl_nlmsg_get_payload(ours), mnl_nlmsg_get_payload(ips),
                        sizeof(struct xfrm_usersa_id));
    each_in(ours, ips, sizeof(struct xfrm_usersa_id), "state delete");
}

// ---- policies

static struct esp_policy policy(enum esp_dir dir)
{
    struct esp_policy p = {.dir = dir,
                           .src_len = 24,
                           .dst_len = 16,
                           .proto = IPPROTO_TCP,
                           .sport = 80,
                           .sport_mask = 0xffff,
                           .dport = 0x1000,
                           .dport_mask = 0xf000,
                           .priority = 1234,
                           .mode = ESP_TUNNEL,
                           .group = 7};
    inet_pton(AF_INET, "10.1.2.0", p.src);
    inet_pton(AF_INET, "10.2.0.0", p.dst);
    inet_pton(AF_INET, "192.0.2.1", p.outer_src);
    inet_pton(AF_INET, "198.51.100.2", p.outer_dst);
    return p;
}

static struct nlmsghdr *logged(struct xfrm_model *m, uint16_t type, unsigned n)
{
    for (unsigned i = 0; i < m->logged; i++)
        if (model_header(&m->log[i])->nlmsg_type == type && n-- == 0)
            return model_header(&m->log[i]);
    fail_msg("the kernel was told less");
    return NULL;
}

// The engine's selectors name their owner, which ip cannot: here there is none.
static void tell_model(struct xfrm_model *m, const struct esp_policy *p)
{
    struct esp_error err = {0};
    struct esp_engine *e;
    model_begin(m);
    assert_int_equal(kernel_open_link(&e, &m->base, &(struct esp_kernel_options){0}, &err), 0);
    if (e->ops->policy_set(e, p, &err) || e->ops->policy_drop(e, p, &err))
        fail_msg("%s: %s", err.field, err.text);
    e->ops->destroy(e);
}

#define SELECTOR "src 10.1.2.0/24 dst 10.2.0.0/16 proto tcp sport 80 dport 5000 "
#define TEMPLATE "tmpl src 192.0.2.1 dst 198.51.100.2 proto esp reqid 7 mode tunnel"

static void test_policies_are_what_ip_says(void **state)
{
    static struct xfrm_model m;
    struct esp_policy p = policy(ESP_OUT);
    (void)state;
    p.dport = 5000; // ip knows no mask
    p.dport_mask = 0xffff;
    tell_model(&m, &p);
    same(logged(&m, XFRM_MSG_UPDPOLICY, 0), "policy update " SELECTOR "dir out priority 1234 " TEMPLATE);
    same(logged(&m, XFRM_MSG_DELPOLICY, 0), "policy delete " SELECTOR "dir out");
    p.dir = ESP_IN;
    p.mark = 0x20;
    p.mark_mask = 0xff;
    p.if_id = 42;
    tell_model(&m, &p);
    same(logged(&m, XFRM_MSG_UPDPOLICY, 0),
         "policy update " SELECTOR "dir in mark 0x20 mask 0xff if_id 42 priority 1234 " TEMPLATE);
    same(logged(&m, XFRM_MSG_UPDPOLICY, 1),
         "policy update " SELECTOR "dir fwd mark 0x20 mask 0xff if_id 42 priority 1234 " TEMPLATE);
}

static void test_policies_of_ipv6_in_transport_mode_are_what_ip_says(void **state)
{
    static struct xfrm_model m;
    struct esp_policy p = {.dir = ESP_IN,
                           .ipv6 = true,
                           .outer_ipv6 = true,
                           .src_len = 128,
                           .dst_len = 128,
                           .proto = IPPROTO_ICMPV6,
                           .sport = 128,
                           .sport_mask = 0xffff,
                           .dport = 0,
                           .dport_mask = 0xffff,
                           .protocol = ESP_PROTOCOL_AH,
                           .mode = ESP_TRANSPORT,
                           .group = 9};
    (void)state;
    inet_pton(AF_INET6, "2001:db8::1", p.src);
    inet_pton(AF_INET6, "2001:db8::2", p.dst);
    memcpy(p.outer_src, p.src, 16);
    memcpy(p.outer_dst, p.dst, 16);
    tell_model(&m, &p);
    same(logged(&m, XFRM_MSG_UPDPOLICY, 0),
         "policy update src 2001:db8::1 dst 2001:db8::2 proto ipv6-icmp type 128 code 0 dir in "
         "tmpl src 2001:db8::1 dst 2001:db8::2 proto ah reqid 9 mode transport");
    assert_int_equal(model_policies(&m), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sa_of_every_aead_is_what_ip_says),
        cmocka_unit_test(test_sa_of_cipher_and_integrity_is_what_ip_says),
        cmocka_unit_test(test_sa_of_ah_is_what_ip_says),
        cmocka_unit_test(test_replay_windows_are_what_ip_says),
        cmocka_unit_test(test_limits_are_what_ip_says),
        cmocka_unit_test(test_flags_mark_and_interface_are_what_ip_says),
        cmocka_unit_test(test_sa_in_udp_and_over_ipv6_is_what_ip_says),
        cmocka_unit_test(test_offload_is_what_ip_says),
        cmocka_unit_test(test_deletion_is_what_ip_says),
        cmocka_unit_test(test_policies_are_what_ip_says),
        cmocka_unit_test(test_policies_of_ipv6_in_transport_mode_are_what_ip_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
