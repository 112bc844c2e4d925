// SPDX-License-Identifier: Apache-2.0
// EAP inside IKE_AUTH as responder (RFC 7296 section 2.16) by the one method there is, EAP-MSCHAPv2. `keys`
// has the passwords and makes challenge and MSK; what the peer sends is taken apart here. Our own AUTH, a
// signature, comes first; both AUTHs by the MSK come last.
#ifndef CTRL_IKE_EAP_H
#define CTRL_IKE_EAP_H

#include <stdbool.h>

#include "ctrl/ike/eap_packet.h"
#include "espalier/error.h"

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
struct slice eap_idi(const struct ike_sa *sa); // its body as it came in the first request
void eap_first_again(struct task *t);          // what the first one asked for is answered now

#endif
