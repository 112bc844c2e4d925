// SPDX-License-Identifier: Apache-2.0
// What VICI says as JSON: sections are objects, lists arrays, and values text but for the keys whose values
// are numbers or yes and no wherever they come.
#ifndef CTRL_CLI_JSON_H
#define CTRL_CLI_JSON_H

#include <jansson.h>

#include "ctrl/cli/cli.h"

// NULL, where there is no memory, is taken by the jansson functions that it is handed to, and by json_put.
json_t *json_text(const char *text); // made printable
json_t *json_node(const struct vici_node *n);
json_t *json_section(const struct vici_node *n); // all of it, an object
// The sections in `n` as an array of objects, each with its name first.
json_t *json_named(const struct vici_node *n);
json_t *json_now(void); // "2026-11-30T12:00:00.123Z"
// Prints a document, on a line of its own where there will be more, and frees it.
void json_put(struct cli *cli, json_t *doc);

#endif
