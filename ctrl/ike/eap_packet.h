// SPDX-License-Identifier: Apache-2.0
// EAP packets (RFC 3748 section 4) and those of EAP-MSCHAPv2 (type 26) as octets.
#ifndef CTRL_IKE_EAP_PACKET_H
#define CTRL_IKE_EAP_PACKET_H

#include <stdbool.h>

#include "ctrl/ike/message.h"

enum eap_code { EAP_CODE_REQUEST = 1, EAP_CODE_RESPONSE, EAP_CODE_SUCCESS, EAP_CODE_FAILURE };
enum {
    EAP_TYPE_IDENTITY = 1,
    EAP_TYPE_NOTIFICATION = 2,
    EAP_TYPE_NAK = 3,
    EAP_TYPE_TLS = 13,
    EAP_TYPE_MSCHAPV2 = 26,
    EAP_NAME_MAX = 253,
};
enum mschap_op {
    MSCHAP_OP_CHALLENGE = 1,
    MSCHAP_OP_RESPONSE,
    MSCHAP_OP_SUCCESS,
    MSCHAP_OP_FAILURE,
};
enum {
    MSCHAP_CHALLENGE_LEN = 16,
    MSCHAP_REPLY_LEN = 49,
    MSCHAP_RESPONSE_LEN = 24,
    MSCHAP_AUTHENTICATOR_LEN = 20,
};

struct eap_packet {
    uint8_t code, id, type; // type 0: success and failure have none
    struct slice data;      // behind the type
};
bool eap_read(struct slice body, struct eap_packet *out); // false: a length that lies, an unknown code
void pb_eap(struct pb *b, uint8_t code, uint8_t id, uint8_t type, struct slice data);

struct mschap_reply { // opcode Response
    struct slice peer_challenge, response, name;
};
bool mschap_read_reply(struct slice data, uint8_t id, struct mschap_reply *out);
struct mschap_challenge {
    uint8_t id; // which the reply carries too
    struct slice challenge;
};
bool mschap_read_challenge(struct slice data, struct mschap_challenge *out);
bool mschap_read_success(struct slice data, uint8_t out[MSCHAP_AUTHENTICATOR_LEN]);

#endif
