// SPDX-License-Identifier: Apache-2.0
// Distinguished names (RFC 5280 4.1.2.4): from text as swanctl.conf has them, back to text as charon prints
// them, and matched with wildcards. The DER may come from a stranger; none of these trusts it.
#ifndef CTRL_CRYPTO_DN_H
#define CTRL_CRYPTO_DN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DN_DER_MAX = 1024, DN_TEXT_MAX = 1024, DN_PARTS_MAX = 48 };

// Whether a text begins as a distinguished name does: the name of an attribute, or its number, and '='.
bool dn_is_text(const char *text);
// "C=CH, O=Lab, CN=gw.lab", with slashes, or behind "asn1dn:#" as the octets in hexadecimal. 0, -EINVAL: not
// a distinguished name; -E2BIG: more than DN_PARTS_MAX attributes or `cap` octets; -ENOMEM.
int dn_parse(const char *text, uint8_t *der, size_t cap, size_t *len);
// The whole of it as text, or as much as fits; octets that do not print are '?'. False: malformed, and buf is
// empty.
bool dn_print(const uint8_t *der, size_t len, char *buf, size_t size);
// Attribute by attribute in order, letters of either case alike; a pattern's value "*" stands for any. -1:
// they differ, or one of them is malformed; otherwise how many attributes a wildcard stood for.
int dn_match(const uint8_t *der, size_t len, const uint8_t *pattern, size_t pattern_len);

#endif
