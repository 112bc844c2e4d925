// SPDX-License-Identifier: Apache-2.0
// The JSON of etcd's gateway (https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/): keys and values in
// base64 (RFC 4648 section 4), 64-bit numbers as text, what is zero left out.
#ifndef CTRL_FLEET_ETCD_JSON_H
#define CTRL_FLEET_ETCD_JSON_H

#include "ctrl/fleet/etcd.h"

// What is POSTed, to be freed, and to where ("/v3/kv/range"). NULL: no memory.
char *etcd_json_question(const struct etcd_question *q, const char **path);
char *etcd_json_watch(const char *prefix, uint64_t from); // to /v3/watch

// An answer, by its HTTP status. What it says is in *a, to be freed in any case.
void etcd_json_answer(enum etcd_kind kind, long status, const char *body, size_t len, struct etcd_answer *a);
void etcd_answer_free(struct etcd_answer *a);
// A line of a watch's. Likewise.
void etcd_json_news(const char *line, size_t len, struct etcd_news *n);
void etcd_news_free(struct etcd_news *n);

// The end of the range of keys that begin with that: the prefix with its last octet one higher. buf as long
// as the prefix with its NUL; false: there is none (an empty one).
bool etcd_prefix_end(const char *prefix, char *buf);

#endif
