// SPDX-License-Identifier: Apache-2.0
// Octets that lie: header and payload lengths, counts, critical bits, proposals, selectors, identities,
// DELETEs. The rows of known daemon bugs are named where a test stands for one. Run under the sanitizers
// these show over-reads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/message.h"
#include "ctrl/ike/proposal.h"
#include "ctrl/ike/selectors.h"
#include "ctrl/crypto/crypto.h"
#include "ctrl/crypto/signature.h"
#include "ctrl/lib/log.h"
#include "tests/unit/ike_watch.h"

// A copy of its own size, so that a sanitizer sees a read past the end.
static uint8_t *exact(const void *p, size_t n)
{
    uint8_t *c = malloc(n ? n : 1);
    if (n)
        memcpy(c, p, n);
    return c;
}

static void test_header_needs_its_length_field_to_be_right(void **state)
{
    uint8_t msg[64] = {0};
    struct ike_header h;
    (void)state;
    for (size_t len = 0; len <= sizeof(msg); len++) {
        for (uint32_t claim = 0; claim < 70; claim++) {
            msg[27] = (uint8_t)claim;
            assert_int_equal(header_read(slice_of(msg, len), &h), len >= 28 && claim == len);
        }
    }
}

static void test_payload_length_lies_are_invalid_syntax(void **state)
{
    (void)state;
    for (unsigned real = 4; real < 40; real++) {
        for (unsigned claim = 0; claim < 60; claim++) {
            uint8_t msg[64] = {0, 0, 0, (uint8_t)claim};
            uint8_t *m = exact(msg, real);
            struct payloads pl;
            struct refusal r = {0};
            int rc = payloads_read(PL_VENDOR, slice_of(m, real), &pl, &r);
            assert_int_equal(rc == 0, claim == real);
            if (rc)
                assert_int_equal(r.notify, N_INVALID_SYNTAX);
            free(m);
        }
    }
}

static void test_payload_count_has_a_limit_that_is_refused_not_asserted(void **state)
{
    (void)state; // CVE-2026-12413: max - 1, max, max + 1
    for (unsigned n = MAX_PAYLOADS - 1; n <= MAX_PAYLOADS + 1; n++) {
        uint8_t buf[4 * (MAX_PAYLOADS + 1)];
        struct pb b = pb_of(buf, sizeof(buf));
        struct payloads pl;
        struct refusal r = {0};
        for (unsigned i = 0; i < n; i++)
            pb_payload(&b, PL_VENDOR, slice_of(NULL, 0));
        int rc = payloads_read(b.first, wr_written(&b.w), &pl, &r);
        assert_int_equal(rc == 0, n <= MAX_PAYLOADS);
        assert_int_equal(r.notify, rc ? N_TEMPORARY_FAILURE : 0); // not INVALID_SYNTAX, which ends an IKE SA
    }
}

static void test_every_unknown_payload_type_is_skipped_or_refused_if_critical(void **state)
{
    (void)state;
    for (unsigned type = 1; type < 256; type++) {
        for (int critical = 0; critical < 2; critical++) {
            uint8_t msg[] = {0, (uint8_t)(critical ? 0x80 : 0), 0, 8, 0, 0, 0, 0};
            struct payloads pl;
            struct refusal r = {0};
            int rc = payloads_read((uint8_t)type, slice_of(msg, sizeof(msg)), &pl, &r);
            bool known = payload_name((uint8_t)type) != NULL;
            assert_int_equal(rc == 0, known || !critical);
            if (rc) {
                assert_int_equal(r.notify, N_UNSUPPORTED_CRITICAL_PAYLOAD);
                assert_int_equal(r.data[0], type);
            } else {
                assert_int_equal(pl.count, known);
            }
        }
    }
}

static void test_nothing_may_follow_the_last_payload(void **state)
{
    uint8_t msg[] = {0, 0, 0, 4, 0};
    struct payloads pl;
    struct refusal r = {0};
    (void)state;
    assert_int_not_equal(payloads_read(PL_VENDOR, slice_of(msg, 5), &pl, &r), 0);
    assert_int_not_equal(payloads_read(PL_NONE, slice_of(msg, 1), &pl, &r), 0);
    assert_int_equal(payloads_read(PL_NONE, slice_of(msg, 0), &pl, &r), 0);
}

static void test_delete_takes_only_what_fits_exactly(void **state)
{
    (void)state; // CVE-2023-38710: protocol 0...255; counts and sizes that lie
    for (unsigned proto = 0; proto < 256; proto++) {
        for (unsigned size = 0; size < 10; size++) {
            for (unsigned count = 0; count < 5; count++) {
                uint8_t msg[64] = {(uint8_t)proto, (uint8_t)size, 0, (uint8_t)count};
                struct delete_payload d;
                for (size_t len = 0; len < 24; len += 4) {
                    uint8_t *m = exact(msg, len);
                    bool want =
                        len >= 4 && ((proto == 1 && !size && !count && len == 4) ||
                                     ((proto == 2 || proto == 3) && size == 4 && len == 4 + 4 * count));
                    assert_int_equal(delete_read(slice_of(m, len), &d), want);
                    free(m);
                }
            }
        }
    }
    static uint8_t big[4 + 4 * 16000] = {3, 4, 16000 >> 8, 16000 & 0xff};
    struct delete_payload d;
    big[sizeof(big) - 1] = 7;
    assert_true(delete_read(slice_of(big, sizeof(big)), &d)); // there is no limit but the message
    assert_int_equal(d.count, 16000);
    assert_int_equal(delete_spi(&d, 15999), 7);
    assert_false(delete_read(slice_of(big, sizeof(big) - 1), &d));
}

static void test_notify_spi_length_lies_are_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < 16; len++) {
        for (unsigned spi = 0; spi < 256; spi++) {
            uint8_t msg[16] = {0, (uint8_t)spi, 0x40, 0};
            uint8_t *m = exact(msg, len);
            struct notify n;
            assert_int_equal(notify_read(slice_of(m, len), &n), len >= 4 && spi <= len - 4);
            free(m);
        }
    }
}

static void test_identities_of_every_type_and_length_are_read_or_refused(void **state)
{
    char text[ID_TEXT_MAX];
    (void)state; // CVE-2013-6075
    for (unsigned type = 0; type < 256; type++) {
        for (size_t len = 0; len < 40; len++) {
            uint8_t body[64] = {(uint8_t)type};
            struct identity id, none = {0};
            memset(body + 4, 'x', 40);
            uint8_t *m = exact(body, len);
            bool reserved = type == 4 || (type >= 6 && type <= 8); // RFC 7296 3.5
            bool want = type && !reserved && len > 4 && (type != ID_IPV4 || len == 8) &&
                        (type != ID_IPV6 || len == 20);
            assert_int_equal(identity_read(slice_of(m, len), &id), want);
            free(m);
            if (want) {
                identity_print(&id, text, sizeof(text));
                assert_true(identity_eq(&id, &id));
                assert_false(identity_eq(&id, &none));
                assert_int_equal(identity_match(&id, &none), MATCH_ANY);
            }
        }
    }
    uint8_t *big = calloc(1, 70000);
    struct identity id;
    big[0] = ID_FQDN;
    assert_true(identity_read(slice_of(big, 4 + ID_DATA_MAX), &id));
    assert_false(identity_read(slice_of(big, 5 + ID_DATA_MAX), &id));
    assert_false(identity_read(slice_of(big, 65531), &id));
    free(big);
}

// One that was kept ends with its name: no page lies behind it.
static void test_identities_of_every_type_and_length_are_copied_whole(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)state; // CVE-2026-47895
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    for (unsigned type = 0; type < 256; type++) {
        for (size_t len = 0; len <= ID_DATA_MAX; len++) {
            size_t octets = offsetof(struct identity, data) + len, pad = octets % 2; // it is aligned
            struct identity *kept = (struct identity *)(void *)(pages + page - octets - pad), whole, *again;
            kept->type = (uint8_t)type;
            kept->len = (uint16_t)len;
            for (size_t i = 0; i < len; i++)
                kept->data[i] = (uint8_t)(type + i); // zeroes among them
            memset(&whole, 0xee, sizeof(whole));
            identity_copy(&whole, kept);
            assert_non_null(again = identity_dup(kept));
            assert_true(identity_eq(&whole, kept) && identity_eq(again, kept) && identity_eq(again, &whole));
            assert_memory_equal(whole.data, kept->data, len);
            assert_memory_equal(again->data, kept->data, len);
            assert_true(len == ID_DATA_MAX || whole.data[len] == 0xee);
            free(again);
        }
    }
    munmap(pages, 2 * page);
}

static void test_identity_text_follows_charon(void **state)
{
    static const struct {
        const char *text;
        uint8_t type;
        const char *print;
    } cases[] = {
        {"a.test", ID_FQDN, "a.test"},
        {"@a.test", ID_FQDN, "a.test"},
        {"10.0.0.1", ID_IPV4, "10.0.0.1"},
        {"fec0::1", ID_IPV6, "fec0::1"},
        {"u@h.test", ID_RFC822, "u@h.test"},
        {"@@u@h", ID_RFC822, "u@h"},
        {"@#00ff", ID_KEY, "@#00ff"},
        {"keyid:me", ID_KEY, "me"},
        {"fqdn:x", ID_FQDN, "x"},
        {"", ID_ANY, "%any"},
        {"%any", ID_ANY, "%any"},
        {"0.0.0.0", ID_ANY, "%any"},
        {"ipv4:10.0.0.9", ID_IPV4, "10.0.0.9"},
        {"email:a@b", ID_RFC822, "a@b"},
        {"C=CH, O=x, CN=y", ID_DN, "C=CH, O=x, CN=y"},
        {"asn1dn:CN=a.test", ID_DN, "CN=a.test"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct identity id;
        char text[ID_TEXT_MAX];
        assert_true(identity_parse(cases[i].text, &id));
        assert_int_equal(id.type, cases[i].type);
        assert_string_equal(identity_print(&id, text, sizeof(text)), cases[i].print);
    }
    struct identity id;
    assert_false(identity_parse("C=CH, O", &id)); // a name without a value
    assert_false(identity_parse("asn1gn:x", &id));
    assert_true(identity_parse("Zm9vYmFyYg==", &id) && id.type == ID_KEY &&
                id.len == 12); // no name has that attribute
    assert_false(identity_parse("@#0", &id));
    assert_false(identity_parse("ipv4:a.test", &id));
}

static int score(const char *id, const char *pattern)
{
    struct identity a, b;
    assert_true(identity_parse(id, &a) && identity_parse(pattern, &b));
    return identity_match(&a, &b);
}

static void test_identity_wildcards_match_whole_tails_of_the_same_type(void **state)
{
    (void)state;
    assert_int_equal(score("a.test", "A.Test"), MATCH_PERFECT);
    assert_int_equal(score("a.test", "*.test"), MATCH_WILDCARD);
    assert_int_equal(score(".test", "*.test"), MATCH_NONE);
    assert_int_equal(score("atest", "*.test"), MATCH_NONE);
    assert_int_equal(score("u@a.test", "*@a.test"), MATCH_WILDCARD);
    assert_int_equal(score("u@a.test", "*.test"), MATCH_NONE);
    assert_int_equal(score("10.0.0.1", "%any"), MATCH_ANY);
    assert_int_equal(score("10.0.0.1", "10.0.0.2"), MATCH_NONE);
    assert_int_equal(score("C=CH, O=Lab, CN=a", "C=CH, O=lab, CN=a"), MATCH_PERFECT);
    assert_int_equal(score("C=CH, O=Lab, CN=a", "C=CH, O=Lab, CN=*"), MATCH_WILDCARD);
    assert_int_equal(score("C=CH, O=Lab, CN=a", "C=CH, O=Lab"), MATCH_NONE);
    assert_int_equal(score("C=CH, O=Lab, CN=*", "C=CH, O=Lab, CN=a"), MATCH_NONE); // what a peer may say
    assert_int_equal(score("a", "CN=a"), MATCH_NONE);
}

// --- SA payloads ---

static size_t good_offer(uint8_t *buf, size_t cap)
{
    struct proposal p = {.protocol = PROTO_IKE};
    const char *const words[] = {"aes256gcm16", "aes128gcm16", "prfsha256", "x25519", "modp2048"};
    struct pb b = pb_of(buf, cap);
    for (unsigned i = 0; i < 5; i++)
        transform_by_keyword(words[i], &p.t[p.count++]);
    struct proposal two[2] = {p, p};
    pb_offer(&b, two, 2, true, 0, 0);
    return b.w.len - 4;
}

static void test_every_octet_of_an_offer_changed_or_cut_is_survived(void **state)
{
    uint8_t buf[512];
    size_t len = good_offer(buf, sizeof(buf));
    (void)state;
    for (size_t at = 0; at < len; at++) {
        for (unsigned v = 0; v < 256; v++) {
            static struct offers o;
            struct refusal r = {0};
            uint8_t *m = exact(buf + 4, len);
            m[at] = (uint8_t)v;
            int rc = offers_read(slice_of(m, len), &o, &r);
            assert_true(rc == 0 || r.notify == N_INVALID_SYNTAX);
            free(m);
        }
    }
    for (size_t cut = 0; cut < len; cut++) {
        static struct offers o;
        struct refusal r = {0};
        uint8_t *m = exact(buf + 4, cut);
        assert_int_not_equal(offers_read(slice_of(m, cut), &o, &r), 0);
        free(m);
    }
}

static void choose(const char *theirs, const char *ours, bool want)
{
    struct proposal a = {.protocol = PROTO_IKE}, b = {.protocol = PROTO_IKE};
    char text[200], *save = NULL;
    uint8_t buf[1024];
    static struct offers o;
    struct refusal r = {0};
    struct suite s;
    const struct offer *chosen;
    snprintf(text, sizeof(text), "%s", theirs);
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
        assert_true(transform_by_keyword(w, &a.t[a.count++]));
    snprintf(text, sizeof(text), "%s", ours);
    for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
        assert_true(transform_by_keyword(w, &b.t[b.count++]));
    struct pb p = pb_of(buf, sizeof(buf));
    pb_offer(&p, &a, 1, true, 0, 0);
    assert_int_equal(offers_read(slice_of(buf + 4, p.w.len - 4), &o, &r), 0);
    assert_int_equal(offers_choose(&o, &b, 1, true, &s, &chosen), want);
    if (want) {
        struct cr_sk_alg alg = {s.encr.id, s.encr.key_bits, s.integ.id};
        assert_int_equal(cr_sk_check(&alg), 0); // CVE-2024-3652: whatever is chosen has all it needs
        assert_true(s.prf.type && s.ke.type);
    }
}

static void test_a_transform_without_its_partner_is_never_chosen(void **state)
{
    static const char *const parts[] = {"aes256gcm16", "aes256", "sha256", "prfsha256", "x25519"};
    (void)state;
    for (unsigned theirs = 1; theirs < 32; theirs++) {
        for (unsigned ours = 1; ours < 32; ours++) {
            char a[100] = "", b[100] = "";
            for (unsigned i = 0; i < 5; i++) {
                if (theirs & 1u << i)
                    strcat(strcat(a, parts[i]), " ");
                if (ours & 1u << i)
                    strcat(strcat(b, parts[i]), " ");
            }
            unsigned common = theirs & ours;
            bool encr_gcm = common & 1, encr_cbc = common & 2, integ = common & 4, prf = common & 8,
                 ke = common & 16;
            // What one side insists on (an integrity algorithm beside a cipher) has to be common where it is
            // used.
            bool want = (encr_gcm || (encr_cbc && integ)) && prf && ke;
            choose(a, b, want);
        }
    }
}

static void test_key_length_is_part_of_the_choice(void **state)
{
    (void)state;
    choose("aes128gcm16 prfsha256 x25519", "aes256gcm16 prfsha256 x25519", false);
    choose("aes128gcm16 aes256gcm16 prfsha256 x25519", "aes256gcm16 prfsha256 x25519", true);
}

static void test_unknown_transform_types_and_attributes_make_an_offer_unusable_not_malformed(void **state)
{
    // One proposal, IKE: ENCR AES-GCM-16 with key length 256, PRF 5, KE 31, and a thirteenth type
    uint8_t body[] = {0, 0, 0, 44, 1, 1, 0, 4, 3, 0, 0, 12, 1, 0,  0, 20, 0x80, 14, 1,  0, 3, 0,
                      0, 8, 2, 0,  0, 5, 3, 0, 0, 8, 4, 0,  0, 31, 0, 0,  0,    8,  13, 0, 0, 1};
    static struct offers o;
    struct refusal r = {0};
    (void)state;
    assert_int_equal(offers_read(slice_of(body, sizeof(body)), &o, &r), 0);
    assert_false(o.o[0].usable);
    body[40] = 4; // a second group instead: usable
    assert_int_equal(offers_read(slice_of(body, sizeof(body)), &o, &r), 0);
    assert_true(o.o[0].usable);
    body[17] = 15; // an attribute that is not known: that transform does not count
    assert_int_equal(offers_read(slice_of(body, sizeof(body)), &o, &r), 0);
    assert_false(proposal_has(&o.o[0].p, TR_ENCR, 20));
}

static void test_the_answer_must_be_one_of_ours(void **state)
{
    struct proposal ours = {.protocol = PROTO_IKE}, theirs;
    const char *const words[] = {"aes256gcm16", "prfsha256", "x25519", "ecp256"};
    uint8_t buf[512];
    struct suite s;
    uint64_t spi;
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        transform_by_keyword(words[i], &ours.t[ours.count++]);
    for (int kind = 0; kind < 4; kind++) {
        struct refusal r = {0};
        struct pb b = pb_of(buf, sizeof(buf));
        theirs = ours;
        if (kind != 1)
            theirs.count = 3; // kind 1: two groups in the answer
        if (kind == 2)
            theirs.t[0].key_bits = 128; // never offered
        struct proposal two[2] = {theirs, theirs};
        pb_offer(&b, two, kind == 3 ? 2 : 1, true, 0, 0);
        int rc = answer_read(slice_of(buf + 4, b.w.len - 4), &ours, 1, true, PROTO_IKE, 0, &s, &spi, &r);
        assert_int_equal(rc == 0, kind == 0);
    }
}

// --- selectors ---

static void test_every_octet_of_selectors_changed_or_cut_is_survived(void **state)
{
    const uint8_t good[] = {2,    0,  0, 0,   7,   0, 0, 16, 0,  0, 255, 255, 10,  1,    0,
                            0,    10, 1, 255, 255, 8, 0, 0,  40, 0, 0,   255, 255, 0xfe, 0xc0,
                            0,    0,  0, 0,   0,   0, 0, 0,  0,  0, 0,   0,   0,   0,    0xfe,
                            0xc0, 0,  0, 0,   0,   0, 0, 0,  0,  0, 0,   0,   0,   0,    9};
    struct ts_list l;
    (void)state;
    struct refusal r0 = {0};
    assert_int_equal(selectors_read(slice_of(good, sizeof(good)), "TSi", &l, &r0), 0);
    assert_int_equal(l.count, 2);
    for (size_t at = 0; at < sizeof(good); at++) {
        for (unsigned v = 0; v < 256; v++) {
            struct refusal r = {0};
            uint8_t *m = exact(good, sizeof(good));
            m[at] = (uint8_t)v;
            int rc = selectors_read(slice_of(m, sizeof(good)), "TSi", &l, &r);
            assert_true(rc == 0 || r.notify == N_INVALID_SYNTAX);
            assert_true(l.count <= TS_MAX);
            free(m);
        }
    }
    for (size_t cut = 0; cut < sizeof(good); cut++) { // CVE-2023-23009
        struct refusal r = {0};
        uint8_t *m = exact(good, cut);
        assert_int_not_equal(selectors_read(slice_of(m, cut), "TSi", &l, &r), 0);
        free(m);
    }
}

// --- more than there is room for: the first are taken, and how many are left out is said ---

static void test_more_proposals_than_are_looked_at_are_told(void **state)
{
    static uint8_t buf[8192];
    static struct proposal p[OFFERS_MAX + 6];
    static struct offers o;
    (void)state;
    for (unsigned i = 0; i < OFFERS_MAX + 6; i++) {
        p[i].protocol = PROTO_IKE;
        transform_by_keyword("aes256gcm16", &p[i].t[p[i].count++]);
    }
    for (unsigned more = 0; more <= 6; more += 6) {
        struct refusal r = {0};
        struct pb b = pb_of(buf, sizeof(buf));
        watch_log();
        pb_offer(&b, p, OFFERS_MAX + more, true, 0, 0);
        assert_int_equal(offers_read(slice_of(buf + 4, b.w.len - 4), &o, &r), 0);
        assert_int_equal(o.count, OFFERS_MAX);
        if (!more)
            assert_string_equal(watch_lines, "");
    }
    assert_true(watch_said("the peer offers 70 proposals, the last 6 are not looked at: 64 are\n"));
    log_set_sink(NULL, NULL);
}

static size_t hosts(uint8_t *buf, size_t cap, unsigned count)
{
    struct writer w = writer_of(buf, cap);
    wr_uint(&w, (uint64_t)count << 24, 4);
    for (unsigned i = 0; i < count; i++) {
        const uint8_t one[] = {7, 0, 0, 16, 0, 0, 255, 255, 10, 1, 0, (uint8_t)i, 10, 1, 0, (uint8_t)i};
        wr_bytes(&w, one, sizeof(one));
    }
    return w.len;
}

static void test_more_selectors_than_are_taken_are_told(void **state)
{
    uint8_t buf[4096];
    struct ts_list l, common;
    (void)state;
    for (unsigned more = 0; more <= 6; more += 6) {
        struct refusal r = {0};
        watch_log();
        size_t n = hosts(buf, sizeof(buf), TS_MAX + more);
        assert_int_equal(selectors_read(slice_of(buf, n), "TSr", &l, &r), 0);
        assert_int_equal(l.count, TS_MAX);
        if (!more)
            assert_string_equal(watch_lines, "");
    }
    assert_true(watch_said("TSr holds 70 selectors, the last 6 are left out: 64 are taken\n"));
    struct ts_list ours = {.count = 2};
    for (unsigned i = 0; i < 2; i++) // every host by two protocols: twice as many in common
        ours.t[i] = (struct ts){
            .family = 4, .proto = i ? 17 : 6, .port_hi = 65535, .lo = {10}, .hi = {10, 255, 255, 255}};
    watch_log();
    assert_true(selectors_narrow(&ours, &l, &common));
    assert_int_equal(common.count, TS_MAX);
    assert_true(watch_said("what is common has 128 selectors, the last 64 are left out: 64 are taken\n"));
    log_set_sink(NULL, NULL);
}

static void test_more_authorities_than_are_kept_are_told(void **state)
{
    static uint8_t hashes[70 * 20], body[70 * 20 + 1];
    static struct peer_cas cas;
    static struct payloads pl = {.count = 1, .p = {{.type = PL_CERTREQ}}};
    (void)state;
    for (size_t i = 0; i < sizeof(hashes); i++)
        hashes[i] = (uint8_t)(i / 20);
    body[0] = 4; // X.509
    memcpy(body + 1, hashes, sizeof(hashes));
    watch_log();
    pl.p[0].body = slice_of(body, 1 + 64 * 20);
    assert_true(certreq_read(&pl, &cas));
    assert_int_equal(cas.count, 64);
    assert_string_equal(watch_lines, "");
    pl.p[0].body = slice_of(body, sizeof(body));
    assert_true(certreq_read(&pl, &cas));
    assert_int_equal(cas.count, 64);
    assert_memory_equal(cas.hash, hashes, 64 * 20);
    assert_true(watch_said("the peer names 70 authorities, the last 6 are left out: 64 are taken\n"));
    log_set_sink(NULL, NULL);
}

// However many others of no use to us stand before it.
static void test_every_hash_of_signatures_is_looked_at(void **state)
{
    static const uint16_t sha256 = CR_HASH_SHA256;
    static struct payloads pl;
    uint8_t list[2 * 200], buf[512];
    struct refusal r = {0};
    uint32_t schemes = 0;
    struct writer w = writer_of(list, sizeof(list));
    (void)state;
    for (unsigned i = 0; i < 199; i++)
        wr_u16(&w, (uint16_t)(40000 + i));
    wr_u16(&w, sha256);
    struct pb b = pb_of(buf, sizeof(buf));
    pb_notify(&b, PROTO_NONE, slice_of(NULL, 0), N_SIGNATURE_HASH_ALGORITHMS, wr_written(&w));
    assert_int_equal(payloads_read(b.first, wr_written(&b.w), &pl, &r), 0);
    assert_true(signature_hashes_read(&pl, &schemes));
    assert_int_equal(schemes, cr_schemes_with_hashes(&sha256, 1));
}

static void test_random_chains_are_survived(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t buf[200];
        struct payloads pl;
        struct refusal r = {0};
        cr_random(buf, sizeof(buf));
        size_t len = buf[0] % sizeof(buf);
        for (size_t i = 0; i + 3 < len; i += 1 + buf[i] % 20) { // some plausible lengths and types
            buf[i] = (uint8_t)(33 + buf[i] % 20);
            buf[i + 2] = 0;
            buf[i + 3] %= 60;
        }
        uint8_t *m = exact(buf, len);
        if (payloads_read((uint8_t)(33 + round % 16), slice_of(m, len), &pl, &r) == 0)
            payloads_validate(&pl, &r);
        free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_needs_its_length_field_to_be_right),
        cmocka_unit_test(test_payload_length_lies_are_invalid_syntax),
        cmocka_unit_test(test_payload_count_has_a_limit_that_is_refused_not_asserted),
        cmocka_unit_test(test_every_unknown_payload_type_is_skipped_or_refused_if_critical),
        cmocka_unit_test(test_nothing_may_follow_the_last_payload),
        cmocka_unit_test(test_delete_takes_only_what_fits_exactly),
        cmocka_unit_test(test_notify_spi_length_lies_are_refused),
        cmocka_unit_test(test_identities_of_every_type_and_length_are_read_or_refused),
        cmocka_unit_test(test_identities_of_every_type_and_length_are_copied_whole),
        cmocka_unit_test(test_identity_text_follows_charon),
        cmocka_unit_test(test_identity_wildcards_match_whole_tails_of_the_same_type),
        cmocka_unit_test(test_every_octet_of_an_offer_changed_or_cut_is_survived),
        cmocka_unit_test(test_a_transform_without_its_partner_is_never_chosen),
        cmocka_unit_test(test_key_length_is_part_of_the_choice),
        cmocka_unit_test(test_unknown_transform_types_and_attributes_make_an_offer_unusable_not_malformed),
        cmocka_unit_test(test_the_answer_must_be_one_of_ours),
        cmocka_unit_test(test_every_octet_of_selectors_changed_or_cut_is_survived),
        cmocka_unit_test(test_more_proposals_than_are_looked_at_are_told),
        cmocka_unit_test(test_more_selectors_than_are_taken_are_told),
        cmocka_unit_test(test_more_authorities_than_are_kept_are_told),
        cmocka_unit_test(test_every_hash_of_signatures_is_looked_at),
        cmocka_unit_test(test_random_chains_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
