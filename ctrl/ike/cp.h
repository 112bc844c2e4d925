// SPDX-License-Identifier: Apache-2.0
// The Configuration payload as octets (RFC 7296 section 3.15): a type and attributes. Nothing here knows what
// an attribute is for but those that hold an address.
#ifndef CTRL_IKE_CP_H
#define CTRL_IKE_CP_H

#include "ctrl/ike/message.h"
#include "ctrl/lib/conn.h"

enum cp_type { CP_REQUEST = 1, CP_REPLY, CP_SET, CP_ACK };

// X(symbol, number, name): RFC 7296 3.15.1, RFC 7651, and Cisco's of Unity, which clients know.
// clang-format off
#define CP_ATTR_LIST(X) \
    X(IP4_ADDRESS, 1, "INTERNAL_IP4_ADDRESS") \
    X(IP4_NETMASK, 2, "INTERNAL_IP4_NETMASK") \
    X(IP4_DNS, 3, "INTERNAL_IP4_DNS") \
    X(IP4_NBNS, 4, "INTERNAL_IP4_NBNS") \
    X(IP4_DHCP, 6, "INTERNAL_IP4_DHCP") \
    X(APPLICATION_VERSION, 7, "APPLICATION_VERSION") \
    X(IP6_ADDRESS, 8, "INTERNAL_IP6_ADDRESS") \
    X(IP6_DNS, 10, "INTERNAL_IP6_DNS") \
    X(IP6_DHCP, 12, "INTERNAL_IP6_DHCP") \
    X(IP4_SUBNET, 13, "INTERNAL_IP4_SUBNET") \
    X(SUPPORTED_ATTRIBUTES, 14, "SUPPORTED_ATTRIBUTES") \
    X(IP6_SUBNET, 15, "INTERNAL_IP6_SUBNET") \
    X(P_CSCF_IP4_ADDRESS, 20, "P_CSCF_IP4_ADDRESS") \
    X(P_CSCF_IP6_ADDRESS, 21, "P_CSCF_IP6_ADDRESS") \
    X(UNITY_SPLIT_INCLUDE, 28676, "UNITY_SPLIT_INCLUDE") \
    X(UNITY_LOCAL_LAN, 28677, "UNITY_LOCAL_LAN")
// clang-format on
enum cp_attr_type {
#define X(sym, num, name) CP_##sym = num,
    CP_ATTR_LIST(X)
#undef X
};
const char *cp_attr_name(uint16_t type); // "(unknown)" where not listed

enum { CP_ATTRS_MAX = 64 };
struct cp_attr {
    uint16_t type;
    struct slice value;
};
struct cp {
    uint8_t type;
    unsigned count, cut; // cut: how many behind the first CP_ATTRS_MAX were left out
    struct cp_attr a[CP_ATTRS_MAX];
};

// False: the body is too short, or an attribute's length is not what is there.
bool cp_read(struct slice body, struct cp *out);
// An INTERNAL_IP4_ADDRESS or INTERNAL_IP6_ADDRESS: its family, and the address, which is all zero where none
// is named. False: it is another attribute, or has another length.
bool cp_address(const struct cp_attr *a, struct addr *out);
// An INTERNAL_IP4_DNS or INTERNAL_IP6_DNS that names a server.
bool cp_dns(const struct cp_attr *a, struct addr *out);
bool addr_is_zero(const struct addr *a);

void pb_cp_begin(struct pb *b, enum cp_type type); // ended by pb_end
void pb_cp_attr(struct pb *b, uint16_t type, struct slice value);
// An address of ours to give, or a wish; all zero: an attribute without a value.
void pb_cp_address(struct pb *b, const struct addr *a);

#endif
