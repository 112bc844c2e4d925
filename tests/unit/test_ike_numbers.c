// SPDX-License-Identifier: Apache-2.0
// The numbers of IANA's IKEv2 registries that stand in our lists, held against those of tshark and scapy: one
// of both at least calls the number as we do. What is younger than those two must not have another name
// there.
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "ctrl/crypto/signature.h"
#include "ctrl/ike/cert_payload.h"
#include "ctrl/ike/cp.h"
#include "ctrl/ike/identity.h"
#include "ctrl/ike/message.h"
#include "ctrl/lib/transforms.h"

enum { ROWS_MAX = 4000, NAME_LEN = 100 };
struct row { // of theirs
    char kind[16], name[NAME_LEN];
    unsigned number;
};
static struct row rows[ROWS_MAX];
static unsigned row_count;

// tshark's field of each kind.
static const struct {
    const char *field, *kind;
} fields[] = {{"isakmp.notify.msgtype", "notify"}, {"isakmp.exchangetype", "exchange"},
              {"isakmp.typepayload", "payload"},   {"isakmp.auth.method", "auth"},
              {"isakmp.cert.encoding", "cert"},    {"isakmp.cfg.attr.type", "attribute"},
              {"isakmp.ts.type", "selector"},      {"isakmp.id.type", "id"},
              {"isakmp.prop.protoid", "protocol"}, {"isakmp.cfg.type", "cfg"},
              {"isakmp.tf.type", "transform"},     {"isakmp.tf.id.encr", "encr"},
              {"isakmp.tf.id.prf", "prf"},         {"isakmp.tf.id.integ", "integ"},
              {"isakmp.tf.id.dh", "ke"},           {"isakmp.tf.id.esn", "esn"}};

static void add(const char *kind, unsigned number, const char *name)
{
    struct row *r = &rows[row_count];
    assert_in_range(row_count, 0, ROWS_MAX - 1);
    snprintf(r->kind, sizeof(r->kind), "%s", kind);
    snprintf(r->name, sizeof(r->name), "%s", name);
    r->name[strcspn(r->name, "\n")] = 0;
    r->number = number;
    row_count++;
}

// "V field number name" or "R field first last name", tabs between.
static void take_tshark(char *line)
{
    char *cell[5] = {0};
    unsigned n = 0;
    while (n < 5 && line)
        cell[n++] = strsep(&line, "\t");
    bool range = cell[0][0] == 'R';
    if (n < (range ? 5u : 4u) || (range && strcmp(cell[2], cell[3]) != 0)) // a range is of what has no name
        return;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (strcmp(cell[1], fields[i].field) == 0)
            add(fields[i].kind, (unsigned)strtoul(cell[2], NULL, 10), cell[range ? 4 : 3]);
}

static void take_scapy(char *line)
{
    char *kind = strsep(&line, "\t"), *number = strsep(&line, "\t");
    if (line)
        add(kind, (unsigned)strtoul(number, NULL, 10), line);
}

static void read_rows(const char *command, void (*take)(char *line))
{
    char line[400];
    unsigned before = row_count;
    FILE *p = popen(command, "r");
    assert_non_null(p);
    while (fgets(line, sizeof(line), p))
        take(line);
    if (pclose(p) != 0 || row_count < before + 100)
        fail_msg("'%s' ended badly (run in the root of the source tree), or says nothing", command);
}

static int set_up(void **state)
{
    (void)state;
    read_rows("tshark -G values 2>/dev/null", take_tshark);
    read_rows("${PYTHON:-/usr/bin/python3} tests/unit/ike_numbers_oracle.py", take_scapy);
    return 0;
}

// Letters and digits alone, in one case.
static void plain(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; *text && n + 1 < size; text++)
        if (isalnum((unsigned char)*text))
            out[n++] = (char)tolower((unsigned char)*text);
    out[n] = 0;
}

static bool has_all(const char *name, const char *words)
{
    char theirs[NAME_LEN], word[NAME_LEN], list[200], *rest = list, *next;
    plain(name, theirs, sizeof(theirs));
    snprintf(list, sizeof(list), "%s", words);
    while ((next = strsep(&rest, " "))) {
        plain(next, word, sizeof(word));
        if (!strstr(theirs, word))
            return false;
    }
    return true;
}

static bool is_name(const char *name)
{
    static const char *const none[] = {"reserved", "unassigned", "future", "private", "unknown", "undefined"};
    char theirs[NAME_LEN];
    plain(name, theirs, sizeof(theirs));
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (strstr(theirs, none[i]))
            return false;
    return true;
}

// words: all of them are in their name, or all of those in also. young: it may be missing there.
static void check_names(const char *kind, unsigned number, const char *words, const char *also, bool young)
{
    const char *other = NULL;
    for (unsigned i = 0; i < row_count; i++) {
        const struct row *r = &rows[i];
        if (r->number != number || strcmp(r->kind, kind) != 0 || !is_name(r->name))
            continue;
        if (has_all(r->name, words) || has_all(r->name, also))
            return;
        other = r->name;
    }
    if (other || !young)
        fail_msg("%s %u is '%s' with us, and '%s' with the others", kind, number, words,
                 other ? other : "nothing");
}

static void check(const char *kind, unsigned number, const char *words, bool young)
{
    check_names(kind, number, words, words, young);
}

static void check_either(const char *kind, unsigned number, const char *words, const char *also)
{
    check_names(kind, number, words, also, false);
}

// What Debian 12's tshark and scapy do not have.
static bool is_young_notify(unsigned n)
{
    return (n >= 47 && n < 16384) || n >= 16432;
}

static void test_notifies_have_the_numbers_that_others_know(void **state)
{
    (void)state;
#define X(sym, num, places, effect)                                                                          \
    check_names("notify", num, #sym, (num) == 16429 ? "SENDER_REQUEST_ID" : #sym, is_young_notify(num));
    NOTIFY_LIST(X) // 16429: RFC 9838 renamed it
#undef X
}

static void test_configuration_attributes_have_the_numbers_that_others_know(void **state)
{
    (void)state;
#define X(sym, num, name)                                                                                    \
    if ((num) < 16384) /* above: private use, Cisco's */                                                     \
        check("attribute", num, name, false);
    CP_ATTR_LIST(X)
#undef X
}

static void test_transforms_have_the_numbers_that_others_know(void **state)
{
    static const struct {
        unsigned id;
        const char *words;
    } encr[] = {{TRID_AES128_CBC, "AES CBC"},
                {TRID_AES128_CTR, "AES CTR"},
                {TRID_AES128_GCM8, "AES GCM 8"},
                {TRID_AES128_GCM12, "AES GCM 12"},
                {TRID_AES128_GCM16, "AES GCM 16"},
                {TRID_AES128_CCM8, "AES CCM 8"},
                {TRID_AES128_CCM12, "AES CCM 12"},
                {TRID_AES128_CCM16, "AES CCM 16"},
                {TRID_AES128_GMAC, "NULL AES GMAC"},
                {TRID_ESP_NULL, "NULL"},
                {TRID_CHACHA20_POLY1305, "ChaCha20 Poly1305"}},
      integ[] = {{TRID_HMAC_SHA1_96, "SHA1 96"},           {TRID_HMAC_SHA2_256_128, "SHA2 256 128"},
                 {TRID_HMAC_SHA2_384_192, "SHA2 384 192"}, {TRID_HMAC_SHA2_512_256, "SHA2 512 256"},
                 {TRID_AH_AES128_GMAC, "AES 128 GMAC"},    {TRID_AH_AES192_GMAC, "AES 192 GMAC"},
                 {TRID_AH_AES256_GMAC, "AES 256 GMAC"}},
      prf[] = {{TRID_PRF_HMAC_SHA1, "SHA1"},
               {TRID_PRF_HMAC_SHA2_256, "SHA2 256"},
               {TRID_PRF_HMAC_SHA2_384, "SHA2 384"},
               {TRID_PRF_HMAC_SHA2_512, "SHA2 512"}},
      ke[] = {{TRID_MODP_2048, "2048 MODP"}, {TRID_MODP_3072, "3072 MODP"}, {TRID_MODP_4096, "4096 MODP"},
              {TRID_MODP_6144, "6144 MODP"}, {TRID_MODP_8192, "8192 MODP"}, {TRID_ECP_256, "256 ECP"},
              {TRID_ECP_384, "384 ECP"},     {TRID_ECP_521, "521 ECP"},     {TRID_CURVE_25519, "25519"},
              {TRID_CURVE_448, "448"}},
      young[] = {{TRID_ML_KEM_512, "ML KEM 512"},
                 {TRID_ML_KEM_768, "ML KEM 768"},
                 {TRID_ML_KEM_1024, "ML KEM 1024"}};
    unsigned known = 0;
    (void)state;
#define CHECK(kind, list, may_lack)                                                                          \
    for (size_t i = 0; i < sizeof(list) / sizeof((list)[0]); i++, known++)                                   \
    check(kind, (list)[i].id, (list)[i].words, may_lack)
    CHECK("encr", encr, false);
    CHECK("integ", integ, false);
    CHECK("prf", prf, false);
    CHECK("ke", ke, false);
    CHECK("ke", young, true);
    check("esn", TRID_ESN, "E S N", false);
    check("esn", TRID_NO_ESN, "No E S N", false);
    // Each number of the list is one of these; 9 of encr have three key lengths.
#define X(sym, ttype, tid, bits, kw, name) +1
    assert_int_equal(known + 9 * 2 + 3, 0 TRANSFORM_LIST(X)); // ESN, no ESN, KE_NONE
#undef X
}

static void test_transform_types_have_the_numbers_that_others_know(void **state)
{
    (void)state;
    check("transform", TR_ENCR, "Encr", false);
    check("transform", TR_PRF, "PRF", false);
    check("transform", TR_INTEG, "Integ", false);
    check_either("transform", TR_KE, "Group", "Key Exchange"); // RFC 9370 renamed it
    check("transform", TR_ESN, "Sequence Number", false);
    for (unsigned i = TR_ADDKE1; i <= TR_ADDKE7; i++)
        check_names("transform", i, "Additional Key Exchange", "ADDKE", true);
}

static void test_payloads_and_exchanges_have_the_numbers_that_others_know(void **state)
{
    static const struct {
        unsigned number;
        const char *words;
    } payloads[] = {{PL_SA, "Security Association"},
                    {PL_KE, "Key Exchange"},
                    {PL_IDI, "Identification Initiator"},
                    {PL_IDR, "Identification Responder"},
                    {PL_CERT, "Certificate"},
                    {PL_CERTREQ, "Certificate Request"},
                    {PL_AUTH, "Authentication"},
                    {PL_NONCE, "Nonce"},
                    {PL_NOTIFY, "Notify"},
                    {PL_DELETE, "Delete"},
                    {PL_VENDOR, "Vendor ID"},
                    {PL_TSI, "Traffic Selector Initiator"},
                    {PL_TSR, "Traffic Selector Responder"},
                    {PL_SK, "Encrypted Authenticated"},
                    {PL_CP, "Configuration"},
                    {PL_EAP, "Extensible Authentication"},
                    {PL_SKF, "Encrypted Authenticated Fragment"}};
    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
        check("payload", payloads[i].number, payloads[i].words, false);
#define X(sym, num, name) +1
    assert_int_equal(sizeof(payloads) / sizeof(payloads[0]), 0 PAYLOAD_LIST(X));
#undef X
    check("exchange", EX_SA_INIT, "IKE_SA_INIT", false);
    check("exchange", EX_AUTH, "IKE_AUTH", false);
    check("exchange", EX_CREATE_CHILD, "CREATE_CHILD_SA", false);
    check("exchange", EX_INFORMATIONAL, "INFORMATIONAL", false);
    check("exchange", EX_SESSION_RESUME, "IKE_SESSION_RESUME", false);
    check("exchange", EX_INTERMEDIATE, "IKE_INTERMEDIATE", true);
    check("exchange", EX_FOLLOWUP_KE, "IKE_FOLLOWUP_KE", true);
    check("protocol", PROTO_IKE, "IKE", false);
    check("protocol", PROTO_AH, "AH", false);
    check("protocol", PROTO_ESP, "ESP", false);
    check("cfg", CP_REQUEST, "CFG REQUEST", false);
    check("cfg", CP_REPLY, "CFG REPLY", false);
    check("cfg", CP_SET, "CFG SET", false);
    check("cfg", CP_ACK, "CFG ACK", false);
}

static void test_proofs_and_identities_have_the_numbers_that_others_know(void **state)
{
    (void)state;
    check("auth", CR_METHOD_RSA, "RSA Digital Signature", false);
    check("auth", CR_METHOD_PSK, "Shared Key", false);
    check("auth", CR_METHOD_ECDSA_256, "ECDSA SHA-256 P-256", false);
    check("auth", CR_METHOD_ECDSA_384, "ECDSA SHA-384 P-384", false);
    check("auth", CR_METHOD_ECDSA_521, "ECDSA SHA-512 P-521", false);
    check("auth", CR_METHOD_SIGNATURE, "Digital Signature", false);
    check("cert", CERT_X509, "X.509 Signature", false);
    check("cert", CERT_CRL, "CRL", false);
    check("cert", CERT_HASH_URL, "Hash URL certificate", false);
    check("cert", CERT_HASH_URL_BUNDLE, "Hash URL bundle", false);
    check("cert", CERT_RAW_KEY, "Raw Public Key", true);
    check("id", ID_IPV4, "IPV4_ADDR", false);
    check("id", ID_FQDN, "FQDN", false);
    check("id", ID_RFC822, "RFC822", false);
    check("id", ID_IPV6, "IPV6_ADDR", false);
    check("id", ID_DN, "DER_ASN1_DN", false);
    check("id", ID_GN, "DER_ASN1_GN", false);
    check("id", ID_KEY, "KEY_ID", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notifies_have_the_numbers_that_others_know),
        cmocka_unit_test(test_configuration_attributes_have_the_numbers_that_others_know),
        cmocka_unit_test(test_transforms_have_the_numbers_that_others_know),
        cmocka_unit_test(test_transform_types_have_the_numbers_that_others_know),
        cmocka_unit_test(test_payloads_and_exchanges_have_the_numbers_that_others_know),
        cmocka_unit_test(test_proofs_and_identities_have_the_numbers_that_others_know),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
