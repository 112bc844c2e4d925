// SPDX-License-Identifier: Apache-2.0
// The TS payloads (RFC 7296 section 3.13) and the narrowing of traffic selectors (section 2.9).
#ifndef CTRL_IKE_SELECTORS_H
#define CTRL_IKE_SELECTORS_H

#include "ctrl/ike/message.h"
#include "ctrl/lib/conn.h"

enum { SELECTORS_TEXT = 600 }; // enough for a log line

// Selectors of a type that is not known are left out (2.9), and so are those behind the first TS_MAX:
// narrower is always allowed. The log says so.
int selectors_read(struct slice body, const char *name, struct ts_list *out, struct refusal *r);
void pb_selectors(struct pb *b, uint8_t type, const struct ts_list *l);
// Replaces dynamic entries by the endpoint's own address.
void selectors_resolve(const struct ts_list *in, const struct addr *host, struct ts_list *out);
// All that both allow, each once, in the order of ours. False: nothing.
bool selectors_narrow(const struct ts_list *ours, const struct ts_list *theirs, struct ts_list *out);
// Whether every entry of inner lies in some entry of outer.
bool selectors_within(const struct ts_list *outer, const struct ts_list *inner);
char *selectors_print(const struct ts_list *l, char *buf, size_t size);

#endif
