// SPDX-License-Identifier: Apache-2.0
// EAP inside IKE_AUTH as responder (RFC 7296 section 2.16): packets (RFC 3748 section 4) and the one method
// there is, EAP-MSCHAPv2 (type 26). `keys` has the passwords and makes challenge and MSK; what the peer sends
// is taken apart here. Our own AUTH, a signature, comes first; both AUTHs by the MSK come last.
#ifndef CTRL_IKE_EAP_H
#define CTRL_IKE_EAP_H

#include <stdbool.h>

#include "ctrl/ike/message.h"
#include "espalier/error.h"

enum eap_code { EAP_CODE_REQUEST = 1, EAP_CODE_RESPONSE, EAP_CODE_SUCCESS, EAP_CODE_FAILURE };
enum { EAP_TYPE_IDENTITY = 1, EAP_TYPE_NAK = 3, EAP_TYPE_MSCHAPV2 = 26, EAP_NAME_MAX = 253 };

struct eap_packet {
    uint8_t code, id, type; // type 0: success and failure have none
    struct slice data;      // behind the type
};
bool eap_read(struct slice body, struct eap_packet *out); // false: a length that lies, an unknown code

struct mschap_reply { // opcode Response
    struct slice peer_challenge, response, name;
};
bool mschap_read_reply(struct slice data, uint8_t id, struct mschap_reply *out);

struct conn;
struct eap_session;
struct ike_sa;
struct task;
int eap_check_conn(const struct conn *c, struct esp_error *err);
void eap_free(struct eap_session *e);
// The first request, without AUTH: takes it out of t, answers with our AUTH and the challenge.
void eap_begin(struct task *t);
// Those that follow. True: EAP is over and the request holds the peer's AUTH, which is to be checked.
bool eap_request(struct task *t);
bool eap_is_over(const struct ike_sa *sa);     // with an MSK
struct slice eap_idi(const struct ike_sa *sa); // its body as it came in the first request
void eap_first_again(struct task *t);          // what the first one asked for is answered now

#endif
