// SPDX-License-Identifier: Apache-2.0
// swanctl's text forms of proposals and traffic selectors.
#ifndef CTRL_CONFIG_PROPOSAL_TEXT_H
#define CTRL_CONFIG_PROPOSAL_TEXT_H

#include "ctrl/lib/conn.h"
#include "espalier/error.h"

enum { PROTO_IKE = 1, PROTO_AH = 2, PROTO_ESP = 3 };

// Adds what `text` says ("aes256gcm16-prfsha256-x25519", "default") to the list. The error text says what was
// wrong.
int proposal_text_add(struct proposal *list, uint8_t *count, uint8_t protocol, const char *text,
                      struct esp_error *err);
// Adds the default proposals: see proposal_text.c.
int proposal_default_add(struct proposal *list, uint8_t *count, uint8_t protocol, struct esp_error *err);

// "dynamic", "10.1.0.0/16", "10.1.0.1", "10.1.0.1-10.1.0.9" (or ".."), each with "[proto/port]" behind.
int ts_text_parse(const char *text, struct ts *out, struct esp_error *err);

#endif
