// SPDX-License-Identifier: Apache-2.0
// EAP inside IKE_AUTH as initiator (RFC 7296 section 2.16) by EAP-MSCHAPv2: the first request has no AUTH,
// the server proves itself by a signature, then asks; `keys` has the password, answers the challenge, and
// judges whether the server knows it too.
#ifndef CTRL_IKE_EAP_CLIENT_H
#define CTRL_IKE_EAP_CLIENT_H

#include <stdbool.h>

#include "ctrl/ike/eap_packet.h"
#include "espalier/error.h"

struct conn;
struct eap_client;
struct ike_sa;
struct inmsg;
struct task;

int eap_client_check(const struct conn *c, struct esp_error *err);
// why NULL: it is over, and `keys` has the MSK, by which both AUTHs are made from here on.
typedef void (*eap_end_fn)(struct task *t, const char *why);
bool eap_client_begin(struct ike_sa *sa, eap_end_fn end); // before the first request; false: no memory
// The server has proven itself by this message, or is to do so by EAP alone (RFC 5998); it is taken and kept:
// to what it asks for first.
void eap_client_first(struct task *t, struct inmsg *m);
// Whether its EAP is at work, so that the next response is for eap_client_response.
bool eap_client_waits(const struct ike_sa *sa);
void eap_client_response(struct task *t, const struct payloads *pl);
struct slice eap_client_idr(const struct ike_sa *sa); // its body as the server proved itself
void eap_client_free(struct eap_client *e);

#endif
