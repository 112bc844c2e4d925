// SPDX-License-Identifier: Apache-2.0
// Distinguished names; what is printed and what is read is what strongSwan 5.9.8 printed and read.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/x509.h>

#include "ctrl/crypto/dn.h"

static uint8_t der[DN_DER_MAX];
static char text[DN_TEXT_MAX];

static const char *printed(const uint8_t *b, size_t len)
{
    return dn_print(b, len, text, sizeof(text)) ? text : "(malformed)";
}

static const char *round_trip(const char *from)
{
    size_t len = 0;
    int r = dn_parse(from, der, sizeof(der), &len);
    return r ? r == -EINVAL ? "(none)" : "(other)" : printed(der, len);
}

static void test_print_names_attributes_as_charon_does(void **state)
{
    (void)state;
    static const char *const oids[][2] = {{"2.5.4.6", "CH"},
                                          {"2.5.4.8", "State"},
                                          {"2.5.4.7", "Loc"},
                                          {"2.5.4.10", "Org"},
                                          {"2.5.4.11", "Unit"},
                                          {"2.5.4.3", "Common"},
                                          {"0.9.2342.19200300.100.1.25", "dom"},
                                          {"1.2.840.113549.1.9.1", "a@b.c"},
                                          {"2.5.4.4", "surname"},
                                          {"2.5.4.42", "given"},
                                          {"2.5.4.43", "ini"},
                                          {"2.5.4.12", "titel"},
                                          {"2.5.4.41", "nom"},
                                          {"2.5.4.13", "descr"},
                                          {"2.5.4.5", "12345"},
                                          {"0.9.2342.19200300.100.1.1", "uid"},
                                          {"2.5.4.46", "qual"},
                                          {"1.2.840.113549.1.9.2", "uname"},
                                          {"1.2.840.113549.1.9.8", "uaddr"},
                                          {"2.5.4.17", "8000"},
                                          {"2.5.4.9", "Street"},
                                          {"2.5.4.65", "pseudo"},
                                          {"2.5.4.44", "III"},
                                          {"2.5.4.45", "uniq"},
                                          {"2.16.840.1.113730.3.1.3", "empno"},
                                          {"1.2.3.4", "unknown"},
                                          {"1.2.840.113549.1.9.7", "chal"},
                                          {"0.2.262.1.10.7.20", "nd"},
                                          {"2.5.4.3", "tab\tx \xc3\xbc"}};
    X509_NAME *name = X509_NAME_new();
    for (size_t i = 0; i < sizeof(oids) / sizeof(oids[0]); i++)
        assert_int_equal(X509_NAME_add_entry_by_txt(name, oids[i][0], V_ASN1_UTF8STRING,
                                                    (const unsigned char *)oids[i][1], -1, -1, 0),
                         1);
    unsigned char *b = NULL;
    int n = i2d_X509_NAME(name, &b);
    assert_true(n > 0);
    assert_string_equal(printed(b, (size_t)n),
                        "C=CH, ST=State, L=Loc, O=Org, OU=Unit, CN=Common, DC=dom, E=a@b.c, SN=surname, "
                        "G=given, I=ini, T=titel, N=nom, D=descr, serialNumber=12345, UID=uid, "
                        "dnQualifier=qual, unstructuredName=uname, unstructuredAddress=uaddr, "
                        "postalCode=8000, STREET=Street, pseudonym=pseudo, 55:04:2c=III, ID=uniq, "
                        "employeeNumber=empno, 2a:03:04=unknown, challengePassword=chal, ND=nd, CN=tab?x ??");
    OPENSSL_free(b);
    X509_NAME_free(name);
}

static void test_parse_reads_as_charon_does(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"C=CH, O=Lab, CN=x", "C=CH, O=Lab, CN=x"},
        {"C=CH,O=Lab,CN=x", "C=CH, O=Lab, CN=x"},
        {"/C=CH/O=Lab/CN=x", "C=CH, O=Lab, CN=x"},
        {"CN=x, O=*, C=CH", "CN=x, O=*, C=CH"},
        {"c=ch, cn=x", "C=ch, CN=x"},
        {"C = CH , O = Lab", "C=CH, O=Lab"},
        {"C=CH, O=A/B, CN=x", "C=CH, O=A/B, CN=x"},
        {"/C=CH/O=A, B/CN=x", "C=CH, O=A, B, CN=x"},
        {"emailAddress=a@b.c", "E=a@b.c"},
        {"UID=u, DC=d", "UID=u, DC=d"},
        {"serialNumber=5, SN=x", "serialNumber=5, SN=x"},
        {"OU=two+O=one", "OU=two+O=one"},
        {"CN=", "CN="},
        {"CN=x,", "CN=x"},
        {"CN=a b  c", "CN=a b  c"},
        {"CN= lead", "CN=lead"},
        {"C=CHE", "C=CHE"},
        {"street=x, UA=y, EN=z", "STREET=x, unstructuredAddress=y, employeeNumber=z"},
        {"2.5.4.3=x", "CN=x"},
        {"asn1dn:CN=x", "CN=x"},
        {"asn1dn:#300c310a300806035504030c0161", "CN=a"},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_string_equal(round_trip(lines[i][0]), lines[i][1]);
        assert_true(dn_is_text(lines[i][0]));
    }
}

static void test_parse_refuses_what_is_no_name(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",   "foo=bar",    "CN",         "C=CH, foo=bar", "CN=x,,O=y",
        "=x", "asn1dn:#30", "asn1dn:#zz", "S=x",           "C=CH, O=\"A, B\", CN=x"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_string_equal(round_trip(lines[i]), "(none)");
    assert_false(dn_is_text("gw.lab"));
    assert_false(dn_is_text("a@b=c"));
    assert_false(dn_is_text("10.0.0.1"));
}

static void test_parse_is_bounded(void **state)
{
    (void)state;
    char longest[4 * DN_DER_MAX] = "CN=";
    size_t len;
    memset(longest + 3, 'x', DN_DER_MAX);
    assert_int_equal(dn_parse(longest, der, sizeof(der), &len), -E2BIG);
    longest[0] = 0;
    for (int i = 0; i <= DN_PARTS_MAX; i++)
        strcat(longest, "C=x,");
    assert_int_equal(dn_parse(longest, der, sizeof(der), &len), -E2BIG);
    assert_int_equal(dn_parse("CN=x", der, 4, &len), -E2BIG);
}

static int matches(const char *name, const char *pattern)
{
    uint8_t b[DN_DER_MAX];
    size_t n, m;
    assert_int_equal(dn_parse(name, der, sizeof(der), &n), 0);
    assert_int_equal(dn_parse(pattern, b, sizeof(b), &m), 0);
    return dn_match(der, n, b, m);
}

static void test_match_counts_wildcards(void **state)
{
    (void)state;
    assert_int_equal(matches("C=CH, O=Lab, CN=x", "C=CH, O=Lab, CN=x"), 0);
    assert_int_equal(matches("C=CH, O=Lab, CN=x", "C=ch, O=LAB, CN=X"), 0);
    assert_int_equal(matches("C=CH, O=Lab, CN=x", "C=CH, O=*, CN=*"), 2);
    assert_int_equal(matches("C=CH, O=Lab, CN=x", "C=CH, CN=x, O=Lab"), -1);
    assert_int_equal(matches("C=CH, O=Lab, CN=x", "C=CH, O=Lab"), -1);
    assert_int_equal(matches("C=CH, O=Lab", "C=CH, O=Lab, CN=*"), -1);
    assert_int_equal(matches("C=CH, O=Lab, CN=x", "C=CH, O=Lab, CN=xy"), -1);
    assert_int_equal(matches("C=CH, O=Lab, CN=x", "C=CH, O=Lab, OU=*"), -1);
    assert_int_equal(matches("C=CH, O=*, CN=*", "C=CH, O=*, CN=*"), 2); // so it is told by itself
    assert_int_equal(matches("C=CH, O=*", "C=CH, O=Lab"), -1);          // only the pattern's star
}

// Every octet of a name changed to every value, and every length: no crash, and nothing beyond the buffer.
static void test_hostile_names_do_no_harm(void **state)
{
    (void)state;
    uint8_t good[DN_DER_MAX];
    char small[24];
    size_t n;
    assert_int_equal(dn_parse("C=CH, O=Lab, E=a@b.c, CN=x", good, sizeof(good), &n), 0);
    for (size_t cut = 0; cut < n; cut++)
        assert_string_equal(printed(good, cut), "(malformed)");
    for (size_t at = 0; at < n; at++) {
        for (unsigned v = 0; v < 256; v++) {
            memcpy(der, good, n);
            der[at] = (uint8_t)v;
            dn_print(der, n, small, sizeof(small));
            assert_true(strlen(small) < sizeof(small));
            int r = dn_match(der, n, good, n);
            assert_true(r == -1 || r == 0);
        }
    }
    memcpy(der, good, n);
    der[n] = 0;
    assert_string_equal(printed(der, n + 1), "(malformed)"); // something behind it
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_print_names_attributes_as_charon_does),
        cmocka_unit_test(test_parse_reads_as_charon_does),
        cmocka_unit_test(test_parse_refuses_what_is_no_name),
        cmocka_unit_test(test_parse_is_bounded),
        cmocka_unit_test(test_match_counts_wildcards),
        cmocka_unit_test(test_hostile_names_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
