// SPDX-License-Identifier: Apache-2.0
// X.500 names on OpenSSL's X509_NAME. Values are cut at commas or slashes without any quoting, as strongSwan
// reads them; their type is what RFC 5280 asks for: IA5String where the attribute wants it, otherwise
// PrintableString or, for what that cannot hold, UTF8String.
#include "ctrl/crypto/dn.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

// Names as strongSwan has them; the first of an attribute is the one that is printed.
static const struct attribute {
    const char *name, *oid;
} attributes[] = {
    {"C", "2.5.4.6"},
    {"CN", "2.5.4.3"},
    {"O", "2.5.4.10"},
    {"OU", "2.5.4.11"},
    {"L", "2.5.4.7"},
    {"ST", "2.5.4.8"},
    {"STREET", "2.5.4.9"},
    {"SN", "2.5.4.4"},
    {"G", "2.5.4.42"},
    {"I", "2.5.4.43"},
    {"N", "2.5.4.41"},
    {"T", "2.5.4.12"},
    {"D", "2.5.4.13"},
    {"E", "1.2.840.113549.1.9.1"},
    {"DC", "0.9.2342.19200300.100.1.25"},
    {"UID", "0.9.2342.19200300.100.1.1"},
    {"ID", "2.5.4.45"},
    {"ND", "0.2.262.1.10.7.20"},
    {"serialNumber", "2.5.4.5"},
    {"dnQualifier", "2.5.4.46"},
    {"dmdName", "2.5.4.54"},
    {"postalAddress", "2.5.4.16"},
    {"postalCode", "2.5.4.17"},
    {"pseudonym", "2.5.4.65"},
    {"employeeNumber", "2.16.840.1.113730.3.1.3"},
    {"unstructuredName", "1.2.840.113549.1.9.2"},
    {"unstructuredAddress", "1.2.840.113549.1.9.8"},
    {"challengePassword", "1.2.840.113549.1.9.7"},
    {"Email", "1.2.840.113549.1.9.1"},
    {"emailAddress", "1.2.840.113549.1.9.1"},
    {"EN", "2.16.840.1.113730.3.1.3"},
    {"UN", "1.2.840.113549.1.9.2"},
    {"UA", "1.2.840.113549.1.9.8"},
};
enum { ATTRIBUTES = sizeof(attributes) / sizeof(attributes[0]), OID_TEXT_MAX = 64 };

// ---- from text

// The OID behind an attribute's name, or the number itself; NULL: neither.
static const char *find_oid(const char *name, size_t len, char *number)
{
    for (size_t i = 0; i < ATTRIBUTES; i++)
        if (strlen(attributes[i].name) == len && strncasecmp(attributes[i].name, name, len) == 0)
            return attributes[i].oid;
    if (len == 0 || len >= OID_TEXT_MAX || strspn(name, "0123456789.") < len || !memchr(name, '.', len))
        return NULL;
    memcpy(number, name, len);
    number[len] = 0;
    return number;
}

// The length of the attribute's name that the text begins with; *value: behind the '='. 0: there is none.
static size_t attribute_name(const char *text, const char **value)
{
    size_t n = strcspn(text, "= ,/");
    const char *equals = text + n + strspn(text + n, " ");
    *value = equals + (*equals == '=');
    return *equals == '=' ? n : 0;
}

bool dn_is_text(const char *text)
{
    char number[OID_TEXT_MAX];
    const char *value;
    if (strncasecmp(text, "asn1dn:", 7) == 0)
        return true;
    text += strspn(text, "/ ");
    size_t n = attribute_name(text, &value);
    return n && find_oid(text, n, number) != NULL;
}

static int string_type(const char *oid, const char *value, size_t len)
{
    static const char *const ascii[] = {"1.2.840.113549.1.9.1", "0.9.2342.19200300.100.1.25"};
    for (size_t i = 0; i < sizeof(ascii) / sizeof(ascii[0]); i++)
        if (strcmp(oid, ascii[i]) == 0)
            return V_ASN1_IA5STRING;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)value[i]) && !strchr(" '()+,-./:=?", value[i]))
            return V_ASN1_UTF8STRING;
    return V_ASN1_PRINTABLESTRING;
}

static int add_attribute(X509_NAME *name, const char *oid, const char *value, size_t len)
{
    if (X509_NAME_entry_count(name) == DN_PARTS_MAX || len > DN_DER_MAX)
        return -E2BIG;
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    if (!object)
        return -EINVAL;
    bool ok = X509_NAME_add_entry_by_OBJ(name, object, string_type(oid, value, len),
                                         (const unsigned char *)value, (int)len, -1, 0) == 1;
    ASN1_OBJECT_free(object);
    return ok ? 0 : -ENOMEM;
}

// One attribute to the next `separator`, which commas and slashes in its value are not when they are the
// other one. *at moves behind it.
static int take_attribute(X509_NAME *name, const char **at, char separator)
{
    char number[OID_TEXT_MAX];
    const char *value, *text = *at + strspn(*at, " ");
    size_t n = attribute_name(text, &value);
    const char *oid = n ? find_oid(text, n, number) : NULL;
    if (!oid)
        return -EINVAL;
    value += strspn(value, " ");
    const char *end = strchr(value, separator);
    size_t len = end ? (size_t)(end - value) : strlen(value);
    *at = end ? end + 1 : value + len;
    while (len && value[len - 1] == ' ')
        len--;
    return add_attribute(name, oid, value, len);
}

static int take_attributes(X509_NAME *name, const char *text)
{
    char separator = *text == '/' ? '/' : ',';
    int r = 0;
    text += *text == '/';
    do {
        r = take_attribute(name, &text, separator);
    } while (r == 0 && text[strspn(text, " ")]);
    return r;
}

static int to_der(X509_NAME *name, uint8_t *der, size_t cap, size_t *len)
{
    unsigned char *bytes = NULL;
    int n = i2d_X509_NAME(name, &bytes);
    if (n > 0 && (size_t)n <= cap && n <= DN_DER_MAX) {
        memcpy(der, bytes, (size_t)n);
        *len = (size_t)n;
    }
    OPENSSL_free(bytes);
    return n <= 0 ? -ENOMEM : (size_t)n <= cap && n <= DN_DER_MAX ? 0 : -E2BIG;
}

static X509_NAME *from_der(const uint8_t *der, size_t len)
{
    const unsigned char *at = der;
    X509_NAME *name = len <= DN_DER_MAX ? d2i_X509_NAME(NULL, &at, (long)len) : NULL;
    if (name && (at != der + len || X509_NAME_entry_count(name) > DN_PARTS_MAX)) {
        X509_NAME_free(name);
        name = NULL;
    }
    ERR_clear_error();
    return name;
}

static int parse_hex(const char *hex, uint8_t *der, size_t cap, size_t *len)
{
    size_t n = 0;
    for (; isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1]); hex += 2, n++) {
        if (n == cap)
            return -E2BIG;
        sscanf(hex, "%2hhx", &der[n]);
    }
    X509_NAME *name = *hex ? NULL : from_der(der, n);
    X509_NAME_free(name);
    *len = n;
    return name ? 0 : -EINVAL;
}

int dn_parse(const char *text, uint8_t *der, size_t cap, size_t *len)
{
    if (strncasecmp(text, "asn1dn:#", 8) == 0)
        return parse_hex(text + 8, der, cap, len);
    if (strncasecmp(text, "asn1dn:", 7) == 0)
        text += 7;
    X509_NAME *name = X509_NAME_new();
    int r = name ? take_attributes(name, text) : -ENOMEM;
    if (r == 0)
        r = to_der(name, der, cap, len);
    X509_NAME_free(name);
    ERR_clear_error();
    return r;
}

// ---- to text

struct text {
    char *p;
    size_t left; // with the zero
};

static void put(struct text *t, const char *more, size_t len)
{
    for (size_t i = 0; i < len && t->left > 1; i++, t->left--)
        *t->p++ = isprint((unsigned char)more[i]) ? more[i] : '?';
    *t->p = 0;
}

// charon prints the octets of an OID that it has no name for.
static void put_type(struct text *t, const ASN1_OBJECT *object)
{
    char oid[OID_TEXT_MAX], octet[4];
    OBJ_obj2txt(oid, sizeof(oid), object, 1);
    for (size_t i = 0; i < ATTRIBUTES; i++) {
        if (strcmp(attributes[i].oid, oid) == 0) {
            put(t, attributes[i].name, strlen(attributes[i].name));
            return;
        }
    }
    const unsigned char *b = OBJ_get0_data(object);
    for (size_t i = 0; i < OBJ_length(object); i++) {
        snprintf(octet, sizeof(octet), "%s%02x", i ? ":" : "", b[i]);
        put(t, octet, strlen(octet));
    }
}

bool dn_print(const uint8_t *der, size_t len, char *buf, size_t size)
{
    struct text t = {buf, size};
    X509_NAME *name = from_der(der, len);
    buf[0] = 0;
    for (int i = 0; name && i < X509_NAME_entry_count(name); i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(e);
        put(&t, ", ", i ? 2 : 0);
        put_type(&t, X509_NAME_ENTRY_get_object(e));
        put(&t, "=", 1);
        put(&t, (const char *)ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    }
    X509_NAME_free(name);
    return name != NULL;
}

// ---- matching

static bool same_text(const ASN1_STRING *a, const ASN1_STRING *b)
{
    int n = ASN1_STRING_length(a);
    const unsigned char *x = ASN1_STRING_get0_data(a), *y = ASN1_STRING_get0_data(b);
    if (n != ASN1_STRING_length(b))
        return false;
    for (int i = 0; i < n; i++)
        if (tolower(x[i]) != tolower(y[i]))
            return false;
    return true;
}

static bool is_star(const ASN1_STRING *s)
{
    return ASN1_STRING_length(s) == 1 && ASN1_STRING_get0_data(s)[0] == '*';
}

static int match(const X509_NAME *a, const X509_NAME *pattern)
{
    int count = X509_NAME_entry_count(a), stars = 0;
    if (count != X509_NAME_entry_count(pattern))
        return -1;
    for (int i = 0; i < count; i++) {
        const X509_NAME_ENTRY *x = X509_NAME_get_entry(a, i), *y = X509_NAME_get_entry(pattern, i);
        const ASN1_STRING *want = X509_NAME_ENTRY_get_data(y);
        if (OBJ_cmp(X509_NAME_ENTRY_get_object(x), X509_NAME_ENTRY_get_object(y)) != 0)
            return -1;
        if (is_star(want)) // whatever there is, an asterisk too: so a pattern is told by itself
            stars++;
        else if (!same_text(X509_NAME_ENTRY_get_data(x), want))
            return -1;
    }
    return stars;
}

int dn_match(const uint8_t *der, size_t len, const uint8_t *pattern, size_t pattern_len)
{
    X509_NAME *a = from_der(der, len), *b = from_der(pattern, pattern_len);
    int r = a && b ? match(a, b) : -1;
    X509_NAME_free(a);
    X509_NAME_free(b);
    return r;
}
